r"""Fully connected networks of infinite width: their prior covariance (NNGP) and their tangent kernel (NTK), in closed form.

Both are public in `kdtheory.kernels`. What they know of the nonlinearity is in `kdtheory.activations`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.activations import DUAL_ACTIVATIONS
from kdtheory.checks import Array, positive, whole
from kdtheory.gram import fill_products, point_sets

__all__ = ["nngp", "ntk"]


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
        As in `kdtheory.kernels.linear`; d is the number of features.
    depth : int
        Number of hidden layers; 0 is a linear model.
    activation : {"relu", "erf"}
    weight_variance, bias_variance : float
        :math:`\sigma_w^2 > 0` and :math:`\sigma_b^2 \ge 0`.

    Returns
    -------
    (m, n) array
        :math:`\Sigma^{(\text{depth})}`.

    Raises
    ------
    ValueError
        If a point set is not a finite two-dimensional array, or a parameter is out of its range.
    OverflowError
        If depth and weight variance make the variance grow beyond floating point.

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
    first, second = point_sets(X, X_train)
    depth = whole(depth, "depth")
    if not isinstance(activation, str) or activation not in DUAL_ACTIVATIONS:
        raise ValueError(f"`activation` must be one of {', '.join(sorted(DUAL_ACTIVATIONS))}, got {activation!r}.")
    dual = DUAL_ACTIVATIONS[activation]
    variance_w = positive(weight_variance, "weight_variance")
    variance_b = positive(bias_variance, "bias_variance", zero=True)

    def variances(points: Array) -> list[Array]:
        layers = [variance_w * np.einsum("ij,ij->i", points, points) / points.shape[1] + variance_b]
        with np.errstate(over="ignore"):
            for _ in range(depth):
                layers.append(variance_w * dual.variance(layers[-1]) + variance_b)
        if not np.isfinite(layers[-1]).all():
            raise OverflowError("`weight_variance` makes the network's variance grow beyond floating point at this `depth`.")
        return layers

    q_first = variances(first)
    q_second = q_first if second is first else variances(second)

    # x.x' carries the rounding of a sum over features; arccos would turn it into an angle of 1e-8 between equal points
    same = 2 * np.finfo(np.float64).eps * (4 + np.sqrt(first.shape[1]))

    def recursion(sigma: Array, rows: slice, columns: slice) -> None:
        sigma *= variance_w / first.shape[1]
        sigma += variance_b
        most = np.sqrt(q_first[0][rows])[:, None] * np.sqrt(q_second[0][columns])
        np.copyto(sigma, most, where=sigma >= (1.0 - same) * most)
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
