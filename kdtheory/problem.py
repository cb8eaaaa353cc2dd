"""A problem to check claims on: inputs, targets, a kernel, a ridge; from digits or from the user's own file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from kdtheory.checks import Array, column_shape, finite_array, matrix, positive, targets
from kdtheory.spectrum import Spectrum

__all__ = ["Problem", "digits", "read"]

FEWEST_POINTS = 4


@dataclass(frozen=True, eq=False)
class Problem:
    """Training and held-out points with a kernel and a ridge; kernel matrices are computed when first needed.

    Attributes
    ----------
    name : str
    X, y : (n, features) and (n, p) arrays
        Training points; standardised inputs, targets of unit size.
    X_new, y_new : (m, features) and (m, p) arrays
        Held-out points.
    kernel : function of two point sets
    ridge : float
    """

    name: str
    X: Array
    y: Array
    X_new: Array
    y_new: Array
    kernel: Callable[..., Array]
    ridge: float

    @cached_property
    def gram(self) -> Array:
        """K (n, n)."""
        return self.kernel(self.X)

    @cached_property
    def cross(self) -> Array:
        """k (m, n)."""
        return self.kernel(self.X_new, self.X)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Eigenbasis of the Gram matrix."""
        return Spectrum.from_gram(self.gram)

    @property
    def rounding(self) -> float:
        """What rounding alone may do to a ridge fit, relative: the unit roundoff times d_1 / ridge, at least 1."""
        largest = float(self.spectrum.eigenvalues[0])
        return float(np.finfo(np.float64).eps) * max(1.0, largest / self.ridge)

    @classmethod
    def split(
        cls, name: str, X: Array, y: Array, *, kernel: Callable[..., Array], ridge: float, seed: int, max_points: int
    ) -> Problem:
        """Shuffle, keep at most `max_points`, hold out three in ten, standardise by the training part."""
        X = matrix(X, "X")
        y = column_shape(targets(y, "y", length=len(X)))
        if len(X) < FEWEST_POINTS:
            raise ValueError(f"`X` must hold at least {FEWEST_POINTS} points, some of them to hold out, got {len(X)}.")
        if not np.any(y):
            raise ValueError("`y` must not be zero everywhere: there is nothing to learn.")
        order = np.random.default_rng(seed).permutation(len(X))[:max_points]
        held = order[: max(1, 3 * len(order) // 10)]
        kept = order[len(held) :]
        centre, scale = X[kept].mean(axis=0), X[kept].std(axis=0)
        inputs = (X - centre) / np.where(scale > 0, scale, 1.0)
        size = np.sqrt(np.mean(y[kept] ** 2)) or 1.0
        return cls(name, inputs[kept], y[kept] / size, inputs[held], y[held] / size, kernel, positive(ridge, "ridge"))


def digits() -> tuple[Array, Array]:
    """The 1,797 images of scikit-learn's digits, 64 pixels, and their one-hot labels (1797, 10)."""
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            "The digits come with scikit-learn: pip install 'kdtheory[estimators]', or give your own data."
        ) from error
    X, labels = load_digits(return_X_y=True)
    return np.asarray(X, dtype=np.float64), np.eye(10)[labels]


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
    if file.suffix == ".npz":
        return _read_npz(file)
    if file.suffix in (".csv", ".tsv", ".txt"):
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
    X, y = finite_array(arrays["X"], "X"), finite_array(arrays["y"], "y")
    return X.reshape(len(X), -1), y


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
    header = not any(_is_number(cell) for cell in rows[0])
    names = [cell.strip() for cell in rows[0]] if header else [str(i + 1) for i in range(len(rows[0]))]
    if len(names) < 2:
        raise ValueError(f"`data` must have at least two columns, inputs and a target, got {len(names)} in {file.name}.")
    if header:
        rows = rows[1:]
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise ValueError(f"`data` row {i + 1} must have {len(names)} cells like the others, got {len(row)}.")
        for name, cell in zip(names, row, strict=True):
            if not _is_number(cell):
                got = f"got the text {cell.strip()!r}; encode it as one" if cell.strip() else "got nothing; fill or remove it"
                raise ValueError(f"`data` row {i + 1}, column {name!r} must be a number, {got}.")
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
