"""Fixed splits of a dataset: no row twice, every class in proportion, centred and scaled by the training rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from empirical.label_noise import stratified
from kdtheory.checks import whole

if TYPE_CHECKING:
    from empirical.data import Dataset

__all__ = ["Split", "split"]

Array32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test rows of a dataset, centred and scaled; made by `split`.

    Attributes
    ----------
    name : str
    classes : int, or None
    X, X_validation, X_test : float32 arrays
    y, y_validation, y_test : arrays
        True classes, int64; or the values of a regression, float64, less their training mean and divided by its deviation.
    rows, rows_validation, rows_test : int64 arrays
        Where they are in the dataset; `rows_test` in its official test part where it has one.
    """

    name: str
    classes: int | None
    X: Array32
    X_validation: Array32
    X_test: Array32
    y: NDArray[Any]
    y_validation: NDArray[Any]
    y_test: NDArray[Any]
    rows: NDArray[np.int64]
    rows_validation: NDArray[np.int64]
    rows_test: NDArray[np.int64]


def split(dataset: Dataset, *, train: int, validation: int, test: int, seed: int, each_column: bool = False) -> Split:
    r"""Fixed split of a dataset: no row twice, every class in proportion, centred and scaled by what the training rows say.

    .. math::
        x \mapsto (x - \bar x) / s, \qquad \bar x = \tfrac1n \sum_i x_i, \qquad s^2 = \tfrac{1}{nd} \sum_i |x_i - \bar x|^2.

    Parameters
    ----------
    dataset : Dataset
    train, validation, test : int
        Numbers of rows. Test rows come from the official test part where there is one. Classes are shared out by the largest
        remainder, every class keeps a training row, and test and validation rows do not depend on how many come after them.
    seed : int
        Of the draw; zero or positive.
    each_column : bool
        Divide every feature by its own deviation instead: for tables, whose columns have units.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If the dataset has fewer rows, `train` is less than the number of classes, or the training inputs or values are all
        equal.

    Examples
    --------
    >>> from empirical.data import load
    >>> parts = split(load("digits"), train=1000, validation=200, test=500, seed=0)
    >>> float(abs(parts.X.mean(axis=0)).max()) < 1e-6, round(float((parts.X**2).mean()), 6)
    (True, 1.0)
    """
    sizes = [whole(test, "test"), whole(validation, "validation"), whole(train, "train", least=1)]
    C, official = dataset.classes, dataset.X_test is not None
    X_of_test = dataset.X if dataset.X_test is None else dataset.X_test
    y_of_test = dataset.y if dataset.y_test is None else dataset.y_test
    if (wanted := sum(sizes[1:] if official else sizes)) > len(dataset.X):
        names = "`train` + `validation`" if official else "`train` + `validation` + `test`"
        raise ValueError(f"{names} must be at most {len(dataset.X)}, the rows of {dataset.name}, got {wanted}.")
    if test > len(y_of_test):
        raise ValueError(f"`test` must be at most {len(y_of_test)}, the official test rows of {dataset.name}, got {test}.")
    if C is not None and train < C:
        raise ValueError(f"`train` must be at least {C}, a row for every class, got {train}.")
    ours, theirs = np.random.default_rng(whole(seed, "seed")).spawn(2)
    if official:
        (at_test,), (at_validation, at) = _draw(y_of_test, C, sizes[:1], theirs), _draw(dataset.y, C, sizes[1:], ours)
    else:
        at_test, at_validation, at = _draw(dataset.y, C, sizes, ours)
    X = dataset.X[at]
    mean = X.mean(axis=0, dtype=np.float64).astype(np.float32)
    X -= mean
    flat = X.reshape(len(X), -1)
    squares = np.einsum("ij,ij->j", flat, flat, dtype=np.float64) / len(X)
    if not squares.any():
        raise ValueError(f"`dataset` must have training inputs that differ, got {len(X)} equal rows of {dataset.name}.")
    s: Any = np.float32(np.sqrt(squares.mean()))
    if each_column:  # one that is constant stays zero
        s = np.sqrt(np.where(squares > 0, squares, 1)).astype(np.float32).reshape(mean.shape)
    X /= s
    X_validation, X_test = ((inputs[rows] - mean) / s for inputs, rows in ((dataset.X, at_validation), (X_of_test, at_test)))
    y, y_validation, y_test = dataset.y[at], dataset.y[at_validation], y_of_test[at_test]
    if C is None:
        centre, deviation = y.mean(), y.std()
        if not deviation > 0:
            raise ValueError(f"`dataset` must have training values that differ, got {len(y)} times {y[0]}.")
        y, y_validation, y_test = ((values - centre) / deviation for values in (y, y_validation, y_test))
    return Split(dataset.name, C, X, X_validation, X_test, y, y_validation, y_test, at, at_validation, at_test)


def _draw(y: NDArray[Any], classes: int | None, sizes: Sequence[int], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    if classes is not None:
        return stratified(y, sizes, rng)
    return list(np.split(rng.permutation(len(y))[: sum(sizes)], np.cumsum(sizes)[:-1]))
