"""Products with a Gram matrix that is never held."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, matrix, whole

__all__ = ["kernel_product"]


def kernel_product(X: ArrayLike, kernel: Callable[..., Array], *, block_entries: int = 2**22) -> Callable[[Array], Array]:
    """The product V -> K V of the Gram matrix of `X`, whose kernel is evaluated anew by blocks of rows in every call.

    Parameters
    ----------
    X : (n, features) array
    kernel : callable
        ``kernel(A)`` and ``kernel(A, B)``; each pair of points is evaluated once per call.
    block_entries : int
        Kernel values held at a time.

    Raises
    ------
    ValueError
        If `X` is not a finite (n, features) array, or the kernel returns another shape or a value that is not finite.

    Examples
    --------
    >>> from kdtheory.kernels import rbf
    >>> X, V = np.linspace(0, 1, 9)[:, None], np.eye(9, 2)
    >>> bool(np.allclose(kernel_product(X, rbf, block_entries=20)(V), rbf(X) @ V))
    True
    """
    points = matrix(X, "X")
    n = len(points)
    height = max(1, whole(block_entries, "block_entries", least=1) // n)

    def product(V: Array) -> Array:
        out = np.zeros((n, V.shape[1]))
        for start in range(0, n, height):
            rows, after = slice(start, start + height), slice(start + height, n)
            here = points[rows]
            out[rows] += matrix(kernel(here), "kernel", shape=(len(here), len(here))) @ V[rows]
            if start + height < n:
                block = matrix(kernel(here, points[after]), "kernel", shape=(height, n - start - height))
                out[rows] += block @ V[after]
                out[after] += block.T @ V[rows]
        return out

    return product
