"""Reading a table of numbers: .csv or .npz, with one sentence for whatever is wrong in it."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from kdtheory.checks import Array, matrix, outputs

__all__ = ["read"]

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")


def read(path: str | Path, *, target: str | None = None) -> tuple[Array, Array]:
    """Inputs and targets from a .csv or .npz file.

    Parameters
    ----------
    path : str or Path
        A CSV of numbers (comma, semicolon or tab; a header is optional) or an .npz with arrays ``X`` and ``y``.
    target : str, optional
        Column of the CSV to predict, by name or number (from 1); the last one when left out.

    Returns
    -------
    X, y : (n, features) and (n,) or (n, p) arrays

    Raises
    ------
    ValueError
        If the file is missing, of another kind, or has a cell that is not a number; the message says which.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"`data` must be an existing file, got {str(file)!r}.")
    if file.suffix.lower() == ".npz":
        if target is not None:
            raise ValueError(f"`target` must name a column of a .csv file; {file.name} holds its y.")
        return _read_npz(file)
    if file.suffix.lower() in (".csv", ".tsv", ".txt"):
        return _read_csv(file, target)
    raise ValueError(f"`data` must be a .csv or .npz file, got {file.name!r}.")


def _read_npz(file: Path) -> tuple[Array, Array]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, TypeError, BadZipFile):
        raise ValueError(f"`data` must be an .npz file of plain arrays, {file.name} is not one.") from None
    if not {"X", "y"} <= set(arrays):
        raise ValueError(f"`data` must hold arrays X and y, {file.name} holds {', '.join(arrays) or 'none'}.")
    X = matrix(arrays["X"], "X")
    return X, outputs(arrays["y"], "y", length=len(X))


def _read_csv(file: Path, target: str | None) -> tuple[Array, Array]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"`data` must be UTF-8 text, {file.name} is not.") from None
    first_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(cell.strip() for cell in row)]
    if not rows:
        raise ValueError(f"`data` must not be empty, got {file.name} without rows.")
    header = any(cell.strip() and not _is_number(cell) for cell in rows[0])
    names = [cell.strip() for cell in rows[0]] if header else [str(i + 1) for i in range(len(rows[0]))]
    if len(names) < 2:
        raise ValueError(f"`data` must have at least two columns, inputs and a target, got {len(names)} in {file.name}.")
    if header:
        rows = rows[1:]
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise ValueError(f"`data` row {i + 1} must have {len(names)} cells like the others, got {len(row)}.")
        for name, cell in zip(names, row, strict=True):
            if not _is_number(cell) or not math.isfinite(float(cell)):
                text = cell.strip()
                got = "got nothing" if text.lower() in MISSING else f"got {text!r}"
                raise ValueError(f"`data` row {i + 1}, column {name!r} must be a finite number, {got}; encode or remove it.")
    table = matrix([[float(cell) for cell in row] for row in rows], "data", shape=(None, len(names)))
    if target is None:
        column = len(names) - 1
    elif target in names:
        column = names.index(target)
    elif target.isdigit() and 1 <= int(target) <= len(names):
        column = int(target) - 1
    else:
        raise ValueError(f"`target` must be a column of {file.name} ({', '.join(names[:12])}), got {target!r}.")
    return np.delete(table, column, axis=1), table[:, column]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
