r"""Dual activations: Gaussian expectations of a nonlinearity, in closed form.

For :math:`(u, v) \sim N(0, \Sigma)` with variances :math:`q, q'` and covariance :math:`k`, a dual activation
gives :math:`E[\sigma(u)\sigma(v)]` and :math:`E[\dot\sigma(u)\dot\sigma(v)]`. They are all that the NNGP and NTK
recursions of `kdtheory.kernels` know about a network's nonlinearity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kdtheory.checks import Array

__all__ = ["DUAL_ACTIVATIONS", "DualActivation"]

#: A correlation this close to one is one: a few rounding errors would become an angle of 1e-8.
SAME_POINT = 1.0 - 8 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class DualActivation:
    r"""A nonlinearity seen through Gaussian pairs.

    Attributes
    ----------
    pair : (k, q, q') -> (E[sigma sigma], E[sigma' sigma'])
        ``k`` (rows, columns) is overwritten by the first result; ``q`` (rows,) and ``q'`` (columns,) are variances.
    variance : q -> E[sigma^2]
        The same expectation at :math:`u = v`.
    """

    pair: Callable[[Array, Array, Array], tuple[Array, Array]]
    variance: Callable[[Array], Array]


def _relu_pair(k: Array, q: Array, q_other: Array) -> tuple[Array, Array]:
    r"""Arc-cosine kernels (Cho & Saul, 2009), with :math:`c = k/\sqrt{qq'}` and :math:`\theta = \arccos c`.

    :math:`E[\sigma\sigma] = \sqrt{qq'}\,(\sin\theta + (\pi - \theta)c)/2\pi` and
    :math:`E[\dot\sigma\dot\sigma] = (\pi - \theta)/2\pi`.
    """
    scale = np.sqrt(q)[:, None] * np.sqrt(q_other)
    cosine = np.divide(k, scale, out=k, where=scale > 0)
    np.clip(cosine, -1.0, 1.0, out=cosine)
    cosine[cosine >= SAME_POINT] = 1.0
    obtuse = np.arccos(cosine)
    np.subtract(np.pi, obtuse, out=obtuse)
    sine = 1.0 - cosine  # sin^2 = (1 - c)(1 + c): 1 - c^2 would lose the digits that the angle keeps
    sine *= 1.0 + cosine
    np.sqrt(sine, out=sine)
    cosine *= obtuse
    cosine += sine
    cosine *= scale
    cosine /= 2 * np.pi
    obtuse /= 2 * np.pi
    return cosine, obtuse


def _erf_pair(k: Array, q: Array, q_other: Array) -> tuple[Array, Array]:
    r"""Arc-sine kernel (Williams, 1998), with :math:`s = (1 + 2q)(1 + 2q')`.

    :math:`E[\sigma\sigma] = \frac{2}{\pi}\arcsin\frac{2k}{\sqrt s}` and
    :math:`E[\dot\sigma\dot\sigma] = \frac{4}{\pi}(s - 4k^2)^{-1/2}`.
    """
    scale = (1.0 + 2.0 * q)[:, None] * (1.0 + 2.0 * q_other)
    slope = np.sqrt(q)[:, None] * np.sqrt(q_other)  # s - 4 k^2 = 1 + 2 q + 2 q' + 4 (q q' - k^2): nothing is negative
    slope = (slope - k) * (slope + k)
    np.maximum(slope, 0.0, out=slope)
    slope *= 4.0
    slope += 1.0 + 2.0 * (q[:, None] + q_other)
    np.sqrt(slope, out=slope)
    np.divide(4.0 / np.pi, slope, out=slope)
    k *= 2.0
    np.sqrt(scale, out=scale)
    k /= scale
    np.clip(k, -1.0, 1.0, out=k)
    np.arcsin(k, out=k)
    k *= 2.0 / np.pi
    return k, slope


DUAL_ACTIVATIONS = {
    "relu": DualActivation(pair=_relu_pair, variance=lambda q: q / 2.0),
    "erf": DualActivation(pair=_erf_pair, variance=lambda q: np.arcsin(2 * q / (1 + 2 * q)) * (2 / np.pi)),
}
