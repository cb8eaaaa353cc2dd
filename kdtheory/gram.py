"""Filling a Gram or cross matrix in place: one matrix product, then strips of rows small enough to stay in cache.

The peak memory of a kernel is its result and a few strips; of a Gram matrix only one half is computed. Strips have long rows:
a tile of short ones lies on as many pages of memory, and costs several times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import blas

from kdtheory.checks import Array, matrix

__all__ = ["fill_distances", "fill_products", "inner_products", "point_sets"]

PANEL = 256  # rows that are mirrored together, in squares
STRIP_ENTRIES = 2**16
CENTRE_POINTS = 63
CLOSE = 1e-4  # a squared distance below this share of the squared norms has lost more than four digits

Transform = Callable[[Array, slice, slice], None]


def point_sets(X: ArrayLike, X_train: ArrayLike | None) -> tuple[Array, Array]:
    """Both point sets, checked; the same object twice where a Gram matrix is asked for."""
    first = matrix(X, "X")
    if X_train is None:
        return first, first
    return first, matrix(X_train, "X_train", shape=(None, first.shape[1]))


def inner_products(first: Array, second: Array, scale: float = 1.0) -> Array:
    """Scale x.x' (m, n); of a Gram matrix the upper half, zero below the diagonal."""
    if second is first:
        out = np.zeros((len(first), len(first)))
        half: Array = blas.dsyrk(scale, first.T, trans=1, c=out.T, overwrite_c=1, lower=1)
        return half.T
    return np.asarray((first if scale == 1 else scale * first) @ second.T)


def fill_products(first: Array, second: Array, transform: Transform | None = None, *, scale: float = 1.0) -> Array:
    """Scale x.x', transformed in place strip by strip; of a Gram matrix only what lies right of a strip, and mirrored."""
    out = inner_products(first, second, scale)
    below = np.tri(PANEL, k=-1, dtype=bool)
    for panel in _slices(0, len(out), PANEL if second is first else len(out)):  # a cross matrix is one panel
        columns = slice(panel.start, len(second))
        if transform is not None:
            for rows in _slices(panel.start, panel.stop, max(1, STRIP_ENTRIES // (columns.stop - columns.start))):
                transform(out[rows, columns], rows, columns)
        if second is first:
            square = out[panel, panel]  # above its diagonal as to its right: the rounding of a transform may differ below
            np.copyto(square, square.T.copy(), where=below[: len(square), : len(square)])
            for right in _slices(panel.stop, len(out), PANEL):
                out[right, panel] = out[panel, right].T
    return out


def _slices(start: int, stop: int, length: int) -> Iterator[slice]:
    """Consecutive slices of that length, the last one shorter."""
    for i in range(start, stop, length):
        yield slice(i, min(i + length, stop))


def fill_distances(first: Array, second: Array, transform: Callable[[Array], None]) -> Array:
    """|x - x'|^2, transformed in place strip by strip.

    |x|^2 + |x'|^2 - 2 x.x' is fast and loses digits where points lie close together, far from the centre; those pairs
    are subtracted first and squared then.
    """
    sample = second[:: -(-len(second) // CENTRE_POINTS)]
    centre = np.median(sample, axis=0)  # an outlier does not move it
    centred, centred_other = first, second
    if centre @ centre > np.median(np.square(sample - centre).sum(axis=1)):  # else there is nothing to gain
        centred = first - centre
        centred_other = centred if second is first else second - centre
    squares, squares_other = (np.einsum("ij,ij->i", points, points) for points in (centred, centred_other))

    def distances(product: Array, rows: slice, columns: slice) -> None:
        left, right = squares[rows, None], squares_other[columns]
        product += left
        product += right
        if second is first:
            itself = np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop) - columns.start
            product[itself] = np.inf
        if product.min() <= CLOSE * (left.max() + right.max()):
            close = np.flatnonzero(product <= CLOSE * (left + right))
            for part in _slices(0, len(close), max(1, STRIP_ENTRIES // first.shape[1])):
                i, j = np.divmod(close[part], product.shape[1])
                gap = first[rows][i] - second[columns][j]
                product[i, j] = np.einsum("kf,kf->k", gap, gap)
        if second is first:
            product[itself] = 0.0
        transform(product)

    return fill_products(centred, centred_other, distances, scale=-2.0)
