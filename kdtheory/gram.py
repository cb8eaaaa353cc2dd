"""Filling a Gram or cross matrix in place: blocks of rows small enough to stay in cache.

The peak memory of a kernel is its result and a few blocks; of a Gram matrix only one half is computed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, matrix

__all__ = ["fill_distances", "fill_products", "point_sets"]

BLOCK_ENTRIES = 2**18
CLOSE = 1e-4  # a squared distance below this share of the squared norms has lost more than four digits


def point_sets(X: ArrayLike, X_train: ArrayLike | None) -> tuple[Array, Array]:
    """Both point sets, checked; the same object twice where a Gram matrix is asked for."""
    first = matrix(X, "X")
    if X_train is None:
        return first, first
    return first, matrix(X_train, "X_train", shape=(None, first.shape[1]))


def fill_products(first: Array, second: Array, transform: Callable[[Array, slice, slice], None] | None = None) -> Array:
    """Products x.x' by blocks of rows, each transformed in place; a Gram matrix's lower half is mirrored."""
    m, n = len(first), len(second)
    out = np.empty((m, n))
    height = int(np.clip(BLOCK_ENTRIES // n, 32, 512))
    for start in range(0, m, height):
        rows = slice(start, min(start + height, m))
        columns = slice(start if second is first else 0, n)
        block = out[rows, columns]
        np.matmul(first[rows], second[columns].T, out=block)
        if transform is not None:
            transform(block, rows, columns)
        if second is first:
            out[rows.stop :, rows] = block[:, rows.stop - start :].T
            # the block's own square: rounding may differ across its diagonal
            square = block[:, : rows.stop - start]
            lower = np.tril_indices_from(square, -1)
            square[lower] = square.T[lower]
    return out


def fill_distances(first: Array, second: Array, transform: Callable[[Array], None]) -> Array:
    """|x - x'|^2 by blocks, each transformed in place.

    |x|^2 + |x'|^2 - 2 x.x' is fast and loses digits where points lie close together, far from the centre; those pairs (the
    diagonal among them) are subtracted first and squared then.
    """
    centre = np.median(second, axis=0)  # an outlier does not move it
    centred = first - centre
    centred_other = centred if second is first else second - centre
    squares, squares_other = (np.einsum("ij,ij->i", points, points) for points in (centred, centred_other))

    def distances(product: Array, rows: slice, columns: slice) -> None:
        size = squares[rows, None] + squares_other[columns]
        product *= -2.0
        product += size
        size *= CLOSE
        close = np.argwhere(product <= size)
        step = max(1, BLOCK_ENTRIES // first.shape[1])
        for start in range(0, len(close), step):
            i, j = close[start : start + step].T
            gap = first[rows][i] - second[columns][j]
            product[i, j] = np.einsum("kf,kf->k", gap, gap)
        transform(product)

    return fill_products(centred, centred_other, distances)
