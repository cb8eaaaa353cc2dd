r"""From inputs to a Gram matrix: every kernel is a function ``kernel(X)`` -> (n, n) or ``kernel(X_new, X)`` -> (m, n).

The matrices are filled in place by strips of rows (`kdtheory.gram`), so that the peak memory is the result and a few strips.
`ntk` and `nngp`, the limits of wide networks, are stated in `kdtheory.wide_networks`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, positive, whole
from kdtheory.gram import fill_distances, fill_products, point_sets
from kdtheory.wide_networks import nngp, ntk

__all__ = ["KERNELS", "laplace", "linear", "named", "nngp", "ntk", "polynomial", "rbf"]


def linear(X: ArrayLike, X_train: ArrayLike | None = None) -> Array:
    r"""Linear kernel :math:`k(x, x') = x^\top x'`.

    Parameters
    ----------
    X : (m, features) array
    X_train : (n, features) array, optional
        Left out, the result is the Gram matrix of `X`.

    Returns
    -------
    (m, n) array

    Raises
    ------
    ValueError
        If a point set is not a finite two-dimensional array, or the two have different numbers of features.

    Examples
    --------
    >>> linear([[1.0, 2.0], [3.0, 0.0]])
    array([[5., 3.],
           [3., 9.]])
    """
    return fill_products(*point_sets(X, X_train))


def polynomial(
    X: ArrayLike, X_train: ArrayLike | None = None, *, degree: int = 3, gamma: float | None = None, coef0: float = 1.0
) -> Array:
    r"""Polynomial kernel :math:`k(x, x') = (\gamma\, x^\top x' + c_0)^{\text{degree}}`.

    Parameters
    ----------
    X, X_train : arrays
        As in `linear`.
    degree : int
        At least 1.
    gamma : float, optional
        Positive; 1 / features when left out.
    coef0 : float
        :math:`c_0 \ge 0`; a negative one would not give a positive semi-definite kernel.

    Returns
    -------
    (m, n) array

    Raises
    ------
    ValueError
        If a point set is not a finite two-dimensional array, or a parameter is out of its range.

    Examples
    --------
    At degree 1, without the constant, it is the linear kernel:

    >>> X = [[1.0, 2.0], [3.0, 0.0]]
    >>> bool((polynomial(X, degree=1, gamma=1.0, coef0=0.0) == linear(X)).all())
    True
    """
    first, second = point_sets(X, X_train)
    degree, coef0 = whole(degree, "degree", least=1), positive(coef0, "coef0", zero=True)
    scale = _gamma(gamma, first)

    def power(product: Array, rows: slice, columns: slice) -> None:  # noqa: ARG001
        product += coef0
        np.power(product, degree, out=product)

    return fill_products(first, second, power, scale=scale)


def rbf(X: ArrayLike, X_train: ArrayLike | None = None, *, gamma: float | None = None) -> Array:
    r"""Gaussian kernel :math:`k(x, x') = \exp(-\gamma\,|x - x'|^2)`.

    Parameters
    ----------
    X, X_train : arrays
        As in `linear`.
    gamma : float, optional
        Inverse squared length, positive; 1 / features when left out. A length scale :math:`\ell` is
        :math:`\gamma = 1/(2\ell^2)`.

    Returns
    -------
    (m, n) array

    Raises
    ------
    ValueError
        If a point set is not a finite two-dimensional array, or `gamma` is not positive.

    Examples
    --------
    >>> rbf([[0.0], [0.5]], gamma=4.0).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]])
    """
    first, second = point_sets(X, X_train)
    rate = _gamma(gamma, first)

    def decay(squared: Array) -> None:
        squared *= -rate
        np.exp(squared, out=squared)

    return fill_distances(first, second, decay)


def laplace(X: ArrayLike, X_train: ArrayLike | None = None, *, gamma: float | None = None) -> Array:
    r"""Laplace kernel :math:`k(x, x') = \exp(-\gamma\,|x - x'|)` with the Euclidean distance.

    (scikit-learn's ``laplacian_kernel`` uses the L1 distance.)

    Parameters
    ----------
    X, X_train : arrays
        As in `linear`.
    gamma : float, optional
        Inverse length, positive; 1 / features when left out.

    Returns
    -------
    (m, n) array

    Raises
    ------
    ValueError
        If a point set is not a finite two-dimensional array, or `gamma` is not positive.

    Examples
    --------
    >>> laplace([[0.0, 0.0], [3.0, 4.0]], gamma=0.2).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]])
    """
    first, second = point_sets(X, X_train)
    rate = _gamma(gamma, first)

    def decay(squared: Array) -> None:
        np.sqrt(squared, out=squared)
        squared *= -rate
        np.exp(squared, out=squared)

    return fill_distances(first, second, decay)


#: Every kernel here, by its name.
KERNELS: dict[str, Callable[..., Array]] = {f.__name__: f for f in (laplace, linear, nngp, ntk, polynomial, rbf)}


def named(name: str, **params: float | int | None) -> Callable[..., Array]:
    """The kernel of that name with those of the parameters that it has; the others are left out.

    Examples
    --------
    >>> named("linear", gamma=3.0, depth=2)([[2.0]])
    array([[4.]])
    """
    if name not in KERNELS:
        raise ValueError(f"`kernel` must be one of {', '.join(KERNELS)}, got {name!r}.")
    takes = inspect.signature(KERNELS[name]).parameters
    return functools.partial(KERNELS[name], **{key: value for key, value in params.items() if key in takes})


def _gamma(gamma: float | None, points: Array) -> float:
    return 1.0 / points.shape[1] if gamma is None else positive(gamma, "gamma")
