"""Finished work is kept: every unit of a grid is one file, written whole or not at all; a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Row", "Store", "write_whole"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """Results of one experiment in a folder, one file a unit.

    A unit is known by its settings and by nothing else, so that a grid that has grown computes only what is new.

    Attributes
    ----------
    folder : Path
        Made when the first result is put.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(Path(folder) / "width")
    ...     store.put({"width": 64, "seed": 0}, [{"error": 0.5}], seconds=1.5)
    ...     store.get({"seed": 0, "width": 64}), store.get({"width": 64, "seed": 1})
    (([{'error': 0.5}], 1.5), None)
    """

    folder: Path

    def get(self, unit: Mapping[str, Any]) -> tuple[list[Row], float] | None:
        """Rows of a unit and the seconds they took; None if it is not finished, or its file is damaged or of another unit."""
        try:
            content = json.loads(self._path(unit).read_text(encoding="utf-8"))
            rows, seconds = content["rows"], float(content["seconds"])
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
            return None
        return (rows, seconds) if content.get("unit") == json.loads(_text(unit)) else None

    def put(self, unit: Mapping[str, Any], rows: list[Row], seconds: float) -> None:
        """Keep the rows of a finished unit."""
        text = json.dumps({"unit": json.loads(_text(unit)), "seconds": seconds, "rows": rows})
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(unit), text)

    def _path(self, unit: Mapping[str, Any]) -> Path:
        return self.folder / f"{hashlib.sha256(_text(unit).encode()).hexdigest()[:20]}.json"


def _text(unit: Mapping[str, Any]) -> str:
    return json.dumps(unit, sort_keys=True)


def write_whole(path: Path, text: str) -> None:
    """A text file that is never half there, whatever stops the process."""
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
