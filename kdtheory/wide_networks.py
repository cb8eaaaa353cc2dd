r"""Fully connected networks of infinite width: their prior covariance (NNGP) and their tangent kernel (NTK), in closed form.

Both are public in `kdtheory.kernels`. What they know of the nonlinearity is in `kdtheory.activations`.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from kdtheory.activations import DualActivation
from kdtheory.checks import Array
from kdtheory.network_recursion import Network

__all__ = ["nngp", "ntk"]


def nngp(
    X: ArrayLike,
    X_train: ArrayLike | None = None,
    *,
    depth: int,
    activation: str | DualActivation = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    normalised: bool = False,
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
    activation : {"relu", "leaky_relu", "erf", "linear", "sine", "cosine", "gelu"} or DualActivation
        `leaky_relu` has slope 0.01, `gelu` is the exact one, not its tanh approximation. `kdtheory.activations` makes others.
    weight_variance, bias_variance : float
        :math:`\sigma_w^2 > 0` and :math:`\sigma_b^2 \ge 0`.
    normalised : bool
        Divide by :math:`\sqrt{k(x, x)\,k(x', x')}`, so that the kernel of every point with itself is 1.

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
    net = Network.of(depth, activation, weight_variance, bias_variance, tangent=False)
    return net.gram(X, X_train, normalised=normalised)


def ntk(
    X: ArrayLike,
    X_train: ArrayLike | None = None,
    *,
    depth: int,
    activation: str | DualActivation = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    output_layer: bool = True,
    normalised: bool = False,
) -> Array:
    r"""Neural tangent kernel of an infinitely wide fully connected network.

    .. math::
        \Theta^{(0)} = \Sigma^{(0)}, \qquad
        \Theta^{(l+1)} = \Theta^{(l)} \cdot \sigma_w^2\, E[\dot\sigma(f(x))\dot\sigma(f(x'))] + \Sigma^{(l+1)},

    with :math:`\Sigma^{(l)}` and :math:`f \sim N(0, \Sigma^{(l)})` of `nngp`.

    Parameters
    ----------
    X, X_train, depth, activation, weight_variance, bias_variance, normalised
        As in `nngp`.
    output_layer : bool
        Whether the last layer's weights and bias are trained. False leaves out the last term :math:`\Sigma^{(\text{depth})}`,
        the part that a random-feature model has; only their difference is the learning of hidden layers.

    Returns
    -------
    (m, n) array
        :math:`\Theta^{(\text{depth})}`.

    Raises
    ------
    ValueError, OverflowError
        As in `nngp`; also if `output_layer` is False at depth 0.

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
    net = Network.of(depth, activation, weight_variance, bias_variance, tangent=True, output_layer=output_layer)
    return net.gram(X, X_train, normalised=normalised)
