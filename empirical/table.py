"""Results as they leave: a tidy table, and beside it a record of how it was made."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from empirical.store import Row

__all__ = ["FORMATS", "read", "record", "write", "write_whole"]

FORMATS = ("csv", "parquet")


def record(
    name: str,
    settings: Any,
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    device: str,
    seconds: float,
    how: Mapping[str, Any] | None = None,
    format: str = "csv",
) -> Path:
    """NAME.csv (six digits) or NAME.parquet with the rows, and NAME.json with the settings and versions; the table's path.

    Parameters
    ----------
    name : str
        Of the files.
    settings : a Settings
        Of the experiment.
    rows : sequence of dicts
        Not all need all columns.
    folder : Path
        Made where it is missing.
    device : str
        As for PyTorch; what `how` says of it comes first.
    seconds : float
        Of measuring.
    how : dict, optional
        More to record, such as `empirical.runner.Outcome.how`.
    format : str
        One of `FORMATS`.
    """
    known = {
        "settings": dataclasses.asdict(settings),
        "device": _device_name(device),
        "seconds": round(seconds),
        **(how or {}),
    }
    if seeds := {row["seed"] for row in rows if isinstance(row.get("seed"), int)}:
        known["seeds"] = sorted(seeds)
    known["versions"] = {"python": platform.python_version()} | {p: version(p) for p in ("kdtheory", "torch", "numpy")}
    path = write(folder / f"{name}.{format}", rows)
    write_whole(folder / f"{name}.json", json.dumps(known, indent=1) + "\n")
    return path


def _device_name(device: str) -> str:
    from empirical.engine import device_name  # noqa: PLC0415  # loads PyTorch where there is a GPU to name

    return device_name(device)


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A table as .csv or .parquet, whole or not at all; its path.

    Raises
    ------
    ValueError
        If the path ends otherwise.
    ImportError
        If Parquet is asked for and pyarrow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     read(write(Path(folder) / "table.csv", [{"width": 64, "error": 1 / 3}, {"width": "infinite"}]))
    [{'width': 64, 'error': 0.333333}, {'width': 'infinite'}]
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, _parquet(columns, rows) if _format(path) == "parquet" else _csv(columns, rows))
    return path


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
    return text.getvalue()


def _parquet(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    with _pyarrow():
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    arrays = {}
    for column in columns:
        values = [row.get(column) for row in rows]
        try:
            arrays[column] = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # numbers beside text
            arrays[column] = pa.array([None if value is None else str(value) for value in values])
    buffer = io.BytesIO()
    parquet.write_table(pa.table(arrays), buffer)
    return buffer.getvalue()


def read(path: Path) -> list[Row]:
    """The rows of a table; what a row has not is not in its dict.

    Raises
    ------
    ValueError
        If the file is no table.
    ImportError
        If it is Parquet and pyarrow is not installed.
    """
    if not path.is_file():
        raise ValueError(f"`{path}` must be a table that is there.")
    if _format(path) == "parquet":
        with _pyarrow():
            import pyarrow as pa  # noqa: PLC0415
            from pyarrow import parquet  # noqa: PLC0415
        try:
            rows = parquet.read_table(path).to_pylist()
        except pa.ArrowInvalid as error:
            raise ValueError(f"`{path}` must be a table, and cannot be read: {' '.join(str(error).split())}.") from error
        return [{key: value for key, value in row.items() if value is not None} for row in rows]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file, strict=True)
        return [
            {key: _value(text) for key, text in zip(header, line, strict=True) if text}
            for line in lines  # a line cut short is an error
        ]
    except (ValueError, csv.Error) as error:
        raise ValueError(f"`{path}` must be a table, and cannot be read: {error}.") from error


def _value(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _format(path: Path) -> str:
    if (kind := path.suffix.removeprefix(".")) not in FORMATS:
        raise ValueError(f"a table must end in {' or '.join(f'.{name}' for name in FORMATS)}, got {str(path)!r}.")
    return kind


@contextlib.contextmanager
def _pyarrow() -> Any:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(f"Parquet needs {error.name}, which is not installed: pip install 'kdtheory[tables]'.") from error


def write_whole(path: Path, content: str | bytes) -> None:
    """A file that is never half there, whatever stops the process."""
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
