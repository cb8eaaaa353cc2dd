"""Held-out predictions of two students and the labels of the same points, from arrays or files, brought to one scale."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax

from empirical.pairs import of_seeds
from kdtheory.checks import Array, finite_array

__all__ = ["KINDS", "HeldOut", "read_array", "read_predictions"]

KINDS = ("outputs", "probabilities", "logits")
NAMES = ("on_labels", "on_teacher", "labels")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions of S pairs of students at m points, ready to be mixed and compared with labels.

    Build it by `of`.

    Attributes
    ----------
    on_labels, on_teacher : (S, m, p) arrays
        Outputs as they are, or probabilities less 1/p.
    labels : (m, p) array
        On the same scale.
    classes : (m,) array of ints or None
        None for regression.
    logits : pair of (S, m, p) arrays or None
        For the cross-entropy; logarithms where probabilities were given.
    """

    on_labels: Array
    on_teacher: Array
    labels: Array
    classes: NDArray[np.int64] | None
    logits: tuple[Array, Array] | None

    @classmethod
    def of(
        cls, on_labels: ArrayLike, on_teacher: ArrayLike, labels: ArrayLike, *, predictions_are: str | None = None
    ) -> HeldOut:
        """Bring predictions and labels to one scale.

        Parameters
        ----------
        on_labels, on_teacher : (m,), (m, p) or (S, m, p) arrays
        labels : (m,) classes as whole numbers, (m,) values, or (m, p) coded targets
            Classes are coded one-hot minus 1/p. Coded targets of outputs are taken as they are; else they must be one-hot.
        predictions_are : {"outputs", "probabilities", "logits"}, optional
            "outputs" of students trained on squared error; "logits" before a softmax; left out where it is seen: one output is
            an output, rows between 0 and 1 that sum to one are probabilities.

        Raises
        ------
        ValueError
            If shapes disagree, a value is not finite, labels have other classes than the predictions, or predictions are not
            what they are said to be.

        Examples
        --------
        >>> HeldOut.of([[0.9, 0.1]], [[0.5, 0.5]], [0]).labels
        array([[ 0.5, -0.5]])
        """
        P, Q = of_seeds(on_labels, "on_labels"), of_seeds(on_teacher, "on_teacher")
        if P.shape != Q.shape:
            raise ValueError(f"`on_teacher` must have the shape of `on_labels`, {P.shape[-2:]}, got {Q.shape[-2:]}.")
        y = finite_array(labels, "labels")
        if y.ndim not in (1, 2) or len(y) != P.shape[1]:
            raise ValueError(f"`labels` must have {P.shape[1]} rows like the predictions, got shape {y.shape}.")
        kind = _kind(predictions_are, P, Q)
        if kind != "outputs" and P.shape[2] == 1:  # of the second of two classes
            P, Q = (np.concatenate([1 - z if kind == "probabilities" else np.zeros_like(z), z], axis=2) for z in (P, Q))
        p = P.shape[2]
        if p == 1 or (kind == "outputs" and y.ndim == 2 and not _is_one_hot(y)):
            return cls(P, Q, _same_width(y, p), None, None)
        classes = _classes(y, p)
        coded = np.eye(p)[classes] - 1 / p
        if kind == "outputs":
            return cls(P, Q, y if y.ndim == 2 else coded, classes, None)
        if kind == "probabilities":
            logs = tuple(np.log(np.maximum(z, np.finfo(np.float32).tiny)) for z in (P, Q))
            return cls(P - 1 / p, Q - 1 / p, coded, classes, (logs[0], logs[1]))
        return cls(softmax(P, -1) - 1 / p, softmax(Q, -1) - 1 / p, coded, classes, (log_softmax(P, -1), log_softmax(Q, -1)))


def _kind(said: str | None, P: Array, Q: Array) -> str:
    if said is not None and said not in KINDS:
        raise ValueError(f"`predictions_are` must be one of {', '.join(KINDS)}, got {said!r}.")
    sums = np.concatenate([P, Q]).sum(axis=2)
    in_range = bool(min(P.min(), Q.min()) >= -1e-6 and max(P.max(), Q.max()) <= 1 + 1e-6)
    probable = in_range and (P.shape[2] == 1 or bool(np.abs(sums - 1).max() < 1e-3))
    if said == "probabilities" and not probable:
        raise ValueError('`predictions_are` must not be "probabilities" here: they leave [0, 1] or do not sum to one.')
    if said is None and P.shape[2] > 1 and not probable:
        raise ValueError(
            '`predictions_are` must be said where predictions are not probabilities: "outputs" of students trained on squared '
            'error, or "logits".'
        )
    return said or ("outputs" if P.shape[2] == 1 else "probabilities")


def _is_one_hot(y: Array) -> bool:
    """Whether each row has one higher entry, the same everywhere, and the others are alike."""
    return y.shape[1] > 1 and len(np.unique(np.round(y, 6))) == 2 and bool((np.sum(y > y.mean(), axis=1) == 1).all())


def _same_width(y: Array, p: int) -> Array:
    values = y[:, None] if y.ndim == 1 else y
    if values.shape[1] != p:
        raise ValueError(f"`labels` must have {p} columns like the predictions, or be classes, got {values.shape[1]}.")
    return values


def _classes(y: Array, p: int) -> NDArray[np.int64]:
    if y.ndim == 2 and y.shape[1] > 1:
        if y.shape[1] != p:
            raise ValueError(f"`labels` must have {p} columns like the predictions, or be classes, got {y.shape[1]}.")
        if not _is_one_hot(y):
            raise ValueError("`labels` must be classes, or one-hot rows, beside probabilities and logits.")
        return np.asarray(y.argmax(axis=1), dtype=np.int64)
    flat = y.ravel()
    whole = flat.astype(np.int64)
    if (whole != flat).any():
        raise ValueError(
            f"`labels` must be whole numbers of classes, or targets of {p} columns, got {flat[whole != flat][0]}."
        )
    if whole.min() < 0 or whole.max() >= p:
        wrong = whole[(whole < 0) | (whole >= p)][0]
        raise ValueError(f"`labels` must be classes from 0 to {p - 1}, as many as the predictions have columns, got {wrong}.")
    return whole


def read_predictions(path: str | Path) -> tuple[Array, Array, Array]:
    """on_labels, on_teacher and labels from one .npz file.

    Raises
    ------
    ValueError
        If the file is missing, holds pickled objects or is no .npz, or lacks one of the arrays.
    """
    file = _existing(path, "predictions")
    if file.suffix.lower() != ".npz":
        raise ValueError(f"`--predictions` must be an .npz file with {', '.join(NAMES)}, got {file.name!r}.")
    archive = _load(file, "predictions")
    missing = [name for name in NAMES if name not in archive]
    if missing:
        raise ValueError(f"`--predictions` must hold {', '.join(NAMES)}; {file.name} lacks {', '.join(missing)}.")
    return archive["on_labels"], archive["on_teacher"], archive["labels"]


def read_array(path: str | Path, name: str) -> Array:
    """One array from a .npy file, or from a .csv file of numbers (a row for each point; a header is passed over).

    Raises
    ------
    ValueError
        If the file is missing, of another kind, holds pickled objects, or has a cell that is not a number.
    """
    file = _existing(path, name)
    if file.suffix.lower() == ".npy":
        return _load(file, name)[""]
    if file.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise ValueError(f"`--{name.replace('_', '-')}` must be a .npy or .csv file, got {file.name!r}.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"`--{name.replace('_', '-')}` must be UTF-8 text, {file.name} is not.") from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(cell.strip() for cell in row)]
    numbers = [_floats(row) for row in rows]
    if numbers and numbers[0] is None:
        del numbers[0], rows[0]
    for i, (row, values) in enumerate(zip(rows, numbers, strict=True)):
        if values is None or len(row) != len(rows[0]):
            raise ValueError(f"`--{name.replace('_', '-')}` row {i + 1} of {file.name} must hold {len(rows[0])} numbers.")
    table = finite_array(np.array(numbers, dtype=np.float64), name)
    return table[:, 0] if table.shape[1] == 1 else table


def _floats(row: list[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in row]
    except ValueError:
        return None


def _existing(path: str | Path, name: str) -> Path:
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"`--{name.replace('_', '-')}` must be an existing file, got {str(file)!r}.")
    return file


def _load(file: Path, name: str) -> dict[str, Array]:
    """Arrays of an .npz by name, or that of a .npy under no name."""
    try:
        with file.open("rb") as raw:
            found = np.load(raw, allow_pickle=False)
            return {"": found} if isinstance(found, np.ndarray) else {key: found[key] for key in found.files}
    except Exception as error:  # whatever a damaged file makes NumPy or zipfile say
        raise ValueError(
            f"`--{name.replace('_', '-')}` must be a file of plain arrays, without pickled objects; {file.name} is not one."
        ) from error
