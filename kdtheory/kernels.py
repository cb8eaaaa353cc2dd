r"""From inputs to a Gram matrix: exact kernels and the infinite-width limits of fully connected networks.

Every kernel is a function ``kernel(X)`` -> (n, n) Gram matrix, or ``kernel(X_new, X)`` -> (m, n) cross matrix
(new points × training points). All are filled block by block of rows in place, so that the peak
memory is the result and a few blocks; the symmetric half is computed once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.activations import DUAL_ACTIVATIONS
from kdtheory.checks import Array, finite, matrix, positive, whole
from kdtheory.gram import fill_distances, fill_products

__all__ = ["laplace", "linear", "nngp", "ntk", "polynomial", "rbf"]


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

    Examples
    --------
    >>> linear([[1.0, 2.0], [3.0, 0.0]])
    array([[5., 3.],
           [3., 9.]])
    """
    return fill_products(*_points(X, X_train))


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

    Examples
    --------
    At degree 1, without the constant, it is the linear kernel:

    >>> X = [[1.0, 2.0], [3.0, 0.0]]
    >>> bool((polynomial(X, degree=1, gamma=1.0, coef0=0.0) == linear(X)).all())
    True
    """
    first, second = _points(X, X_train)
    degree, coef0 = whole(degree, "degree", least=1), positive(coef0, "coef0", zero=True)
    scale = _gamma(gamma, first)

    product = fill_products(first, second)
    product *= scale
    product += coef0
    product **= degree
    return product


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

    Examples
    --------
    >>> rbf([[0.0], [0.5]], gamma=4.0).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]])
    """
    first, second = _points(X, X_train)
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

    Examples
    --------
    >>> laplace([[0.0, 0.0], [3.0, 4.0]], gamma=0.2).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]])
    """
    first, second = _points(X, X_train)
    rate = _gamma(gamma, first)

    def decay(squared: Array) -> None:
        np.sqrt(squared, out=squared)
        squared *= -rate
        np.exp(squared, out=squared)

    return fill_distances(first, second, decay)


def nngp(
    X: ArrayLike,
    X_train: ArrayLike | None = None,
    *,
    depth: int,
    activation: str = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
) -> Array:
    r"""Covariance of an infinitely wide fully connected network's output at initialisation.

    .. math::
        \Sigma^{(0)} = \sigma_w^2\, x^\top x'/d + \sigma_b^2, \qquad
        \Sigma^{(l+1)} = \sigma_w^2\, E_{f \sim N(0, \Sigma^{(l)})}[\sigma(f(x))\sigma(f(x'))] + \sigma_b^2.

    Parameters
    ----------
    X, X_train : arrays
        As in `linear`; d is the number of features.
    depth : int
        Number of hidden layers; 0 is a linear model.
    activation : {"relu", "erf"}
    weight_variance, bias_variance : float
        :math:`\sigma_w^2 > 0` and :math:`\sigma_b^2 \ge 0`.

    Returns
    -------
    (m, n) array
        :math:`\Sigma^{(\text{depth})}`.

    References
    ----------
    Lee et al. (2018), arXiv:1711.00165; Jacot, Gabriel & Hongler (2018), arXiv:1806.07572, proposition 1.

    Examples
    --------
    With ReLU and weight variance 2 the prior variance is the same in every layer:

    >>> X = [[3.0, 4.0], [1.0, 0.0]]
    >>> [nngp(X, depth=depth).diagonal().round(12).tolist() for depth in (0, 1, 5)]
    [[25.0, 1.0], [25.0, 1.0], [25.0, 1.0]]
    """
    return _network(X, X_train, depth, activation, weight_variance, bias_variance, tangent=False)


def ntk(
    X: ArrayLike,
    X_train: ArrayLike | None = None,
    *,
    depth: int,
    activation: str = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
) -> Array:
    r"""Neural tangent kernel of an infinitely wide fully connected network.

    .. math::
        \Theta^{(0)} = \Sigma^{(0)}, \qquad
        \Theta^{(l+1)} = \Theta^{(l)} \cdot \sigma_w^2\, E[\dot\sigma(f(x))\dot\sigma(f(x'))] + \Sigma^{(l+1)},

    with :math:`\Sigma^{(l)}` and :math:`f \sim N(0, \Sigma^{(l)})` of `nngp`.

    Parameters
    ----------
    X, X_train, depth, activation, weight_variance, bias_variance
        As in `nngp`.

    Returns
    -------
    (m, n) array
        :math:`\Theta^{(\text{depth})}`.

    References
    ----------
    Jacot, Gabriel & Hongler (2018), arXiv:1806.07572, theorem 1. Their bias scale :math:`\beta` is
    :math:`\beta^2` = `bias_variance`, and their weight variance is 1.

    Examples
    --------
    With ReLU and weight variance 2 each layer adds one copy of the prior variance:

    >>> X = [[3.0, 4.0], [1.0, 0.0]]
    >>> [ntk(X, depth=depth).diagonal().round(12).tolist() for depth in (0, 1, 5)]
    [[25.0, 1.0], [50.0, 2.0], [150.0, 6.0]]
    """
    return _network(X, X_train, depth, activation, weight_variance, bias_variance, tangent=True)


def _network(
    X: ArrayLike,
    X_train: ArrayLike | None,
    depth: int,
    activation: str,
    weight_variance: float,
    bias_variance: float,
    *,
    tangent: bool,
) -> Array:
    first, second = _points(X, X_train)
    depth = whole(depth, "depth")
    if activation not in DUAL_ACTIVATIONS:
        raise ValueError(f"`activation` must be one of {', '.join(sorted(DUAL_ACTIVATIONS))}, got {activation!r}.")
    dual = DUAL_ACTIVATIONS[activation]
    variance_w = positive(weight_variance, "weight_variance")
    variance_b = positive(bias_variance, "bias_variance", zero=True)

    def variances(points: Array) -> list[Array]:
        layers = [variance_w * np.einsum("ij,ij->i", points, points) / points.shape[1] + variance_b]
        for _ in range(depth):
            layers.append(variance_w * dual.variance(layers[-1]) + variance_b)
        return layers

    q_first = variances(first)
    q_second = q_first if second is first else variances(second)

    def recursion(sigma: Array, rows: slice, columns: slice) -> None:
        sigma *= variance_w / first.shape[1]
        sigma += variance_b
        theta = sigma.copy() if tangent else sigma
        layer = sigma.copy() if tangent else sigma
        for q, q_other in zip(q_first[:-1], q_second[:-1], strict=True):
            layer, slope = dual.pair(layer, q[rows], q_other[columns])
            layer *= variance_w
            layer += variance_b
            if tangent:
                slope *= variance_w
                theta *= slope
                theta += layer
        sigma[...] = theta

    return fill_products(first, second, recursion)


def _points(X: ArrayLike, X_train: ArrayLike | None) -> tuple[Array, Array]:
    """Both point sets, checked; the same object twice where a Gram matrix is asked for."""
    first = matrix(X, "X")
    if X_train is None:
        return first, first
    return first, matrix(X_train, "X_train", shape=(None, first.shape[1]))


def _gamma(gamma: float | None, points: Array) -> float:
    return 1.0 / points.shape[1] if gamma is None else positive(finite(gamma, "gamma"), "gamma")
