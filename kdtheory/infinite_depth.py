r"""Fully connected networks of infinite width and then infinite depth: what is left of the tangent kernel.

The correlation of two points flows to a fixed point, and the kernel forgets everything about a pair but whether its two
points are the same. How it does so depends on :math:`\chi_1 = \sigma_w^2 E[\dot\sigma(u)^2]` at the fixed variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from kdtheory.activations import DualActivation, chosen
from kdtheory.checks import Array, positive

__all__ = ["DepthLimit", "infinite_depth", "singular_exponent"]

CRITICAL = 1e-6  # |chi_1 - 1| that counts as critical: to this the critical variances of the literature are known
SMALLEST, LARGEST = 1e-60, 1e60  # a variance beyond these vanishes, or grows without bound


@dataclass(frozen=True)
class DepthLimit:
    r"""Limit of the tangent kernel :math:`\Theta^{(L)}` as the depth L grows.

    Attributes
    ----------
    phase : {"ordered", "critical", "chaotic"}
        :math:`\chi_1` below, at or above one.
    variance : float
        :math:`q^*`, the fixed point of :math:`\Sigma^{(l)}(x, x)`. In a scale-free network (piecewise linear activation
        without bias) no variance is singled out and the weight variance only scales the kernel; everything here is then in
        units of the points' own :math:`\sqrt{\Sigma^{(L)}(x, x)\,\Sigma^{(L)}(x', x')}`, and `variance` is 1.
    correlation : float
        :math:`c^*`, where that of two different points ends.
    chi, chi_apart : float
        :math:`\chi_1`, and the same expectation at correlation :math:`c^*`.
    diagonal, off_diagonal : float
        Limits of the kernel: of :math:`\Theta^{(L)}` itself (ordered), of :math:`\Theta^{(L)}/(L + 1)` (critical); in the
        chaotic phase :math:`\Theta^{(L)}/\chi_1^L` on the diagonal, for inputs that start at :math:`\Sigma^{(0)}(x, x) = q^*`
        (others have a factor of their own), and :math:`\Theta^{(L)}` itself off it.
    """

    phase: str
    variance: float
    correlation: float
    chi: float
    chi_apart: float
    diagonal: float
    off_diagonal: float

    def gram(self, n: int) -> Array:
        """The normalised limit on n different points: (n, n), ones on the diagonal.

        Ordered, all points are one; chaotic, no two points have anything in common; critical, a constant is in common,
        and kernel regression with it averages the labels.
        """
        apart = 0.0 if self.phase == "chaotic" else self.off_diagonal / self.diagonal
        return np.full((n, n), apart) + (1.0 - apart) * np.eye(n)


def infinite_depth(
    activation: str | DualActivation = "relu", *, weight_variance: float = 2.0, bias_variance: float = 0.0
) -> DepthLimit:
    r"""Phase, fixed points and limiting tangent kernel of a deep wide network.

    With :math:`\chi_1 = \sigma_w^2 E[\dot\sigma(u)^2]` and :math:`\chi_{c^*}` the same at correlation :math:`c^*`,

    * ordered, :math:`\chi_1 < 1`: :math:`\Theta^{(L)} \to q^*/(1 - \chi_1)` for every pair;
    * critical: :math:`\Theta^{(L)}/(L + 1) \to q^*` at equal points and to a quarter of it (kinked activations) or a third
      (smooth ones) at different points;
    * chaotic: :math:`\Theta^{(L)}/\chi_1^L \to q^*\chi_1/(\chi_1 - 1)` at equal points, and
      :math:`\Theta^{(L)} \to q^* c^*/(1 - \chi_{c^*})` at different ones.

    Parameters
    ----------
    activation, weight_variance, bias_variance
        As in `kdtheory.kernels.ntk`.

    Raises
    ------
    ValueError
        If the variance grows without bound or vanishes with depth, or the network is linear: then there is no such limit.

    References
    ----------
    Poole et al. (2016), arXiv:1606.05340 (phases); Xiao, Pennington & Schoenholz (2020), arXiv:1912.13053, and
    Hayou, Doucet & Rousseau (2019), arXiv:1905.13654 (tangent kernel).

    Examples
    --------
    ReLU at weight variance 2 is critical; no depth makes its kernel the identity:

    >>> limit = infinite_depth("relu", weight_variance=2.0)
    >>> limit.phase, limit.gram(2).tolist()
    ('critical', [[1.0, 0.25], [0.25, 1.0]])
    """
    dual, w = chosen(activation), positive(weight_variance, "weight_variance")
    b = positive(bias_variance, "bias_variance", zero=True)
    a = dual.negative_slope
    if _is_linear(dual):
        raise ValueError("`activation` must not be linear: a deep linear network keeps its kernel.")
    if a is not None and b == 0.0:
        w = 1.0 / float(dual.variance(np.ones(1))[0])  # the variance of every layer is the unit of the next
        q = 1.0
    else:
        q = _fixed_variance(dual, w, b)
    chi = float(w * dual.slope_variance(np.array([q]))[0])
    if abs(chi - 1.0) < CRITICAL:
        third = q / 3 if a is None else q / 4
        return DepthLimit("critical", q, 1.0, chi, chi, q, third)
    if chi < 1.0:
        level = q / (1.0 - chi)
        return DepthLimit("ordered", q, 1.0, chi, chi, level, level)
    c = _fixed_correlation(dual, w, b, q)
    apart = float(w * _pair(dual, c, q)[1])
    return DepthLimit("chaotic", q, c, chi, apart, q * chi / (chi - 1.0), q * c / (1.0 - apart))


def singular_exponent(activation: str | DualActivation) -> float:
    r"""Exponent of the singular kernel that an infinitely deep, infinitely wide classifier interpolates with.

    For :math:`\hat\sigma(c) = E[\sigma(u)\sigma(v)]/E[\sigma(u)^2]`, u, v standard normal with correlation c, and inputs on
    the sphere, :math:`\Theta^{(L)}/(L\,\hat\sigma'(0)^L) \to R(|x - z|)\,|x - z|^{-\alpha}` with R bounded and

    .. math:: \alpha = -2\,\frac{\log\hat\sigma'(0)}{\log\hat\sigma'(1)} .

    In d dimensions (on the sphere of dimension d) :math:`\alpha = d` gives a consistent classifier.

    Parameters
    ----------
    activation : str or DualActivation
        With :math:`E[\sigma] = 0` and :math:`\hat\sigma'(0) > 0`, such as `erf` or `sine`.

    Returns
    -------
    float
        :math:`\alpha`.

    Raises
    ------
    ValueError
        If :math:`E[\sigma] \ne 0` (the limit is then a majority vote) or :math:`\hat\sigma'(0) = 0` (a 1-nearest
        neighbour vote), or the activation is linear.

    References
    ----------
    Radhakrishnan, Belkin & Uhler (2022), arXiv:2204.14126: wide and deep neural networks achieve consistency for
    classification.

    Examples
    --------
    For a sine, :math:`\hat\sigma(c) = \sinh c/\sinh 1`:

    >>> bool(np.isclose(singular_exponent("sine"), 2 * np.log(np.sinh(1)) / np.log(1 / np.tanh(1))))
    True
    """
    dual = chosen(activation)
    (at_zero, slope_at_zero), size = _pair(dual, 0.0, 1.0), float(dual.variance(np.ones(1))[0])
    slope_at_one = float(dual.slope_variance(np.ones(1))[0]) / size
    if at_zero > 1e-12 * size:
        raise ValueError("`activation` must have mean zero: with another its deep limit is a majority vote.")
    if slope_at_zero <= 1e-12 * size:
        raise ValueError(
            "`activation` must have a linear part: without one its deep limit is a vote of the nearest neighbour."
        )
    if _is_linear(dual):
        raise ValueError("`activation` must not be linear: a deep linear network keeps its kernel.")
    return float(-2.0 * np.log(slope_at_zero / size) / np.log(slope_at_one))


def _pair(dual: DualActivation, c: float, q: float) -> tuple[float, float]:
    """Both expectations at correlation c and variances q."""
    value, slope = dual.pair(np.array([[c * q]]), np.array([q]), np.array([q]))
    return float(value[0, 0]), float(slope[0, 0])


def _is_linear(dual: DualActivation) -> bool:
    """Whether the correlation of two outputs is that of the inputs."""
    size = float(dual.variance(np.ones(1))[0])
    return all(abs(_pair(dual, c, 1.0)[0] - c * size) <= 1e-12 * size for c in (-0.5, 0.0, 0.5))


def _fixed_variance(dual: DualActivation, w: float, b: float) -> float:
    """Where q -> w E[sigma^2] + b ends from q = 1: the next fixed point in the direction of its first step."""
    if dual.negative_slope is not None:
        growth = w * float(dual.variance(np.ones(1))[0])
        if growth >= 1.0:
            raise ValueError("`weight_variance` makes the variance grow with depth without bound: there is no limit.")
        return b / (1.0 - growth)

    def excess(q: float) -> float:
        return float(w * dual.variance(np.array([q]))[0] + b - q)

    here, start = 1.0, excess(1.0)
    step = 2.0 if start > 0 else 0.5
    while start and excess(here * step) * start > 0:
        here *= step
        if here > LARGEST:
            raise ValueError("`weight_variance` makes the variance grow with depth without bound: there is no limit.")
        if here < SMALLEST:
            raise ValueError("`weight_variance` lets the variance vanish with depth: there is no limit.")
    low, high = sorted((here, here * step))
    q = float(brentq(excess, low, high, xtol=1e-300, rtol=1e-15)) if start else 1.0
    if b == 0.0 and q < 1e-9:  # rounding has found a zero where there is none above zero
        raise ValueError("`weight_variance` lets the variance vanish with depth: there is no limit.")
    return q


def _fixed_correlation(dual: DualActivation, w: float, b: float, q: float) -> float:
    """The stable fixed point below one of c -> (w E[sigma sigma] + b) / q."""

    def excess(c: float) -> float:
        return (w * _pair(dual, c, q)[0] + b) / q - c

    if excess(0.0) <= 0.0:
        return 0.0
    return float(brentq(excess, 0.0, 1.0 - 1e-7, xtol=1e-15))
