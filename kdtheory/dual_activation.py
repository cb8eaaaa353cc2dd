r"""A nonlinearity as the theory of wide networks sees it: Gaussian expectations of products, in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from kdtheory.checks import Array, finite, positive

__all__ = ["DualActivation", "determinant"]


Pair = Callable[..., tuple[Array, Array]]


@dataclass(frozen=True)
class DualActivation:
    r"""A nonlinearity :math:`\sigma` seen through Gaussian pairs.

    For :math:`(u, v) \sim N(0, \Sigma)` with variances :math:`q, q'` and covariance :math:`k`, it gives
    :math:`E[\sigma(u)\sigma(v)]` and :math:`E[\dot\sigma(u)\dot\sigma(v)]`: all that the NNGP and NTK recursions know of it.

    Attributes
    ----------
    name : str
    pair : (k, q, q', versine=None) -> (E[sigma sigma], E[sigma' sigma'])
        ``k`` (rows, columns) may be overwritten; ``q`` (rows,) and ``q'`` (columns,) are variances. `versine`,
        :math:`1 - k/\sqrt{qq'}`, is passed where it is known to more digits than k tells.
    variance, slope_variance : q -> E[sigma^2], q -> E[sigma'^2]
        The same expectations at :math:`u = v`.
    negative_slope, gain : float, optional
        a and g of :math:`\sigma(u) = g\,(\max(u, 0) + a \min(u, 0))`; a is None for activations without a kink. At a kink
        the angle between two points enters, and `kdtheory.network_recursion` carries :math:`1 - c` from layer to layer.
    parity : {-1, 0, 1}
        Odd, neither, or even: what opposite points have in common.

    Examples
    --------
    A network of a scaled activation is a network of scaled weights:

    >>> from kdtheory import activations, kernels
    >>> X = [[3.0, 4.0], [1.0, 0.0]]
    >>> half = activations.ERF.scaled(inputs=0.5)
    >>> K = kernels.nngp(X, depth=1, activation=half, weight_variance=1.0)
    >>> bool(np.allclose(K, kernels.nngp(np.divide(X, 2), depth=1, activation="erf", weight_variance=1.0)))
    True
    """

    name: str
    pair: Pair
    variance: Callable[[Array], Array]
    slope_variance: Callable[[Array], Array]
    negative_slope: float | None = None
    gain: float = 1.0
    parity: int = 0

    def scaled(self, *, inputs: float = 1.0, outputs: float = 1.0) -> DualActivation:
        r"""The activation :math:`s_o\,\sigma(s_i u)`, for `inputs` :math:`s_i > 0` and `outputs` :math:`s_o`.

        Raises
        ------
        ValueError
            If `inputs` is not positive or `outputs` is not a finite number other than zero.
        """
        inside, outside = positive(inputs, "inputs") ** 2, finite(outputs, "outputs") ** 2
        if outside == 0:
            raise ValueError("`outputs` must be a number other than zero, got 0.")

        def pair(k: Array, q: Array, q_other: Array, versine: Array | None = None) -> tuple[Array, Array]:
            k *= inside
            value, slope = self.pair(k, inside * q, inside * q_other, versine)
            value *= outside
            slope *= inside * outside
            return value, slope

        return replace(
            self,
            name=f"{outputs:g} {self.name}({inputs:g} u)",
            pair=pair,
            variance=lambda q: outside * self.variance(inside * q),
            slope_variance=lambda q: inside * outside * self.slope_variance(inside * q),
            gain=self.gain * float(np.sqrt(inside * outside)),
        )


def determinant(k: Array, q: Array, q_other: Array, versine: Array | None) -> Array:
    r""":math:`qq' - k^2 = qq'(1 - c)(1 + c) \ge 0`: what cancels is subtracted once, or came with its digits."""
    root = np.sqrt(q)[:, None] * np.sqrt(q_other)
    if versine is not None:
        return np.asarray(root * root * versine * (2.0 - versine))
    gap = root - k
    root += k
    gap *= root
    return np.maximum(gap, 0.0, out=gap)
