"""Kept rows: which points of the training set a student sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdtheory.checks import numeric, schedule, whole

__all__ = ["Rows", "kept_count", "random_orders", "require_convention", "ridge_for", "rows_kept", "shares"]

Rows = NDArray[np.intp]
CONVENTIONS = ("absolute", "per_example")


def rows_kept(kept: ArrayLike, n: int, name: str = "kept") -> Rows:
    """Indices of kept rows, from indices or from a boolean mask of all n rows; their order is kept.

    Raises
    ------
    ValueError
        If none is kept, one is repeated or out of range, or a mask has another length than n.

    Examples
    --------
    >>> rows_kept([True, False, True], 3)
    array([0, 2])
    """
    array = numeric(kept, name)
    if array.ndim != 1:
        raise ValueError(f"`{name}` must be one-dimensional, indices of rows or a mask, got shape {array.shape}.")
    if array.dtype == bool:
        if len(array) != n:
            raise ValueError(f"`{name}` must be a mask of all {n} rows, got {len(array)} entries.")
        array = np.flatnonzero(array)
    if len(array) == 0:
        raise ValueError(f"`{name}` must keep at least one row, got none.")
    if array.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must hold whole numbers or be a boolean mask, got dtype {array.dtype}.")
    if array.min() < 0 or array.max() >= n:
        wrong = array[(array < 0) | (array >= n)][0]
        raise ValueError(f"`{name}` must hold indices between 0 and {n - 1}, got {wrong}.")
    values, counts = np.unique(array, return_counts=True)
    if len(values) < len(array):
        raise ValueError(f"`{name}` must name each row once, got {values[counts > 1][0]} more than once.")
    return array.astype(np.intp)


def shares(keep_fractions: ArrayLike, name: str = "keep_fractions") -> NDArray[np.float64]:
    """Shares of the rows, each above 0 and at most 1."""
    if numeric(keep_fractions, name).dtype == bool:
        raise ValueError(f"`{name}` must hold shares of the rows, got truth values; a mask of rows is `kept`.")
    values = schedule(keep_fractions, name, above_zero=True)
    if (values > 1).any():
        raise ValueError(f"`{name}` must be at most 1, the share that is KEPT, got {float(values[values > 1][0])}.")
    return values


def kept_count(fraction: float, n: int, name: str = "keep_fractions") -> int:
    """Rows kept: the share of n, rounded to the nearest whole number, halves to the even one.

    Raises
    ------
    ValueError
        If that is none.
    """
    count = round(float(fraction) * n)
    if count < 1:
        raise ValueError(f"`{name}` must keep at least one of {n} rows, got {float(fraction):.4g}, which keeps none.")
    return count


def random_orders(n: int, subsets: int, seed: int) -> NDArray[np.intp]:
    """Independent random orders of all rows, (subsets, n): the first m rows of one are a random subset, nested over m."""
    rng = np.random.default_rng(whole(seed, "seed"))
    return np.array([rng.permutation(n) for _ in range(whole(subsets, "subsets", least=1))])


def require_convention(convention: str) -> None:
    """Refuse what is neither of the two conventions of `ridge_for`."""
    if convention not in CONVENTIONS:
        raise ValueError(f'`ridge_convention` must be "absolute" or "per_example", got {convention!r}.')


def ridge_for(ridge: float, count: int, convention: str) -> float:
    r"""The ridge of :math:`K + \lambda I` on `count` rows, under one of the two conventions.

    "absolute": `ridge` itself, whatever is kept. "per_example": `ridge` times `count`, which is weight decay of that size in a
    mean loss, and the convention of networks.

    Examples
    --------
    >>> ridge_for(0.1, 50, "absolute"), ridge_for(0.1, 50, "per_example")
    (0.1, 5.0)
    """
    require_convention(convention)
    return ridge * count if convention == "per_example" else ridge
