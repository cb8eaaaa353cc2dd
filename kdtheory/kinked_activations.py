r"""Piecewise linear activations: ReLU and its relatives, whose expectations depend on the angle between two points."""

from __future__ import annotations

import numpy as np

from kdtheory.checks import Array, finite
from kdtheory.dual_activation import DualActivation

__all__ = ["LINEAR", "RELU", "kink_of_opposite", "kink_of_versine", "leaky_relu"]

#: A correlation this close to one is one: a few rounding errors would become an angle of 1e-8.
SAME_POINT = 1.0 - 8 * np.finfo(np.float64).eps


def leaky_relu(negative_slope: float = 0.01) -> DualActivation:
    r"""Leaky ReLU, :math:`\sigma(u) = \max(u, 0) + a \min(u, 0)`; a = 0 is ReLU, a = 1 is linear, a = -1 is :math:`|u|`.

    With :math:`c = k/\sqrt{qq'}` and :math:`\theta = \arccos c`,

    .. math::
        E[\sigma\sigma] = a k + (1 - a)^2 \sqrt{qq'}\,\frac{\sin\theta + (\pi - \theta)c}{2\pi}, \qquad
        E[\dot\sigma\dot\sigma] = a + (1 - a)^2\,\frac{\pi - \theta}{2\pi}.

    Parameters
    ----------
    negative_slope : float
        a.

    Raises
    ------
    ValueError
        If `negative_slope` is not a finite number.

    References
    ----------
    Cho & Saul (2009), Kernel methods for deep learning (arc-cosine kernels).

    Examples
    --------
    It is linear plus ReLU, :math:`au + (1-a)\max(u, 0)`:

    >>> k, q = np.array([[0.3]]), np.array([1.0])
    >>> [round(float(part.pair(k.copy(), q, q)[0][0, 0]), 6) for part in (leaky_relu(1.0), leaky_relu(0.0))]
    [0.3, 0.241372]
    >>> round(float(leaky_relu(0.5).pair(k, q, q)[0][0, 0]), 6) == round(0.5 * 0.3 + 0.25 * 0.241372, 6)
    True
    """
    a = finite(negative_slope, "negative_slope")
    kink = (1.0 - a) ** 2 / (2 * np.pi)

    def pair(k: Array, q: Array, q_other: Array, versine: Array | None = None) -> tuple[Array, Array]:  # noqa: ARG001
        scale = np.sqrt(q)[:, None] * np.sqrt(q_other)
        linear = a * k if a else None
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
        scale *= kink
        cosine *= scale
        obtuse *= kink
        if linear is not None:
            cosine += linear
            obtuse += a
        return cosine, obtuse

    return DualActivation(
        name="relu" if a == 0 else f"leaky_relu({a:g})",
        pair=pair,
        variance=lambda q: q * ((1.0 + a * a) / 2),
        slope_variance=lambda q: np.full_like(q, (1.0 + a * a) / 2),
        negative_slope=a,
        parity={1.0: -1, -1.0: 1}.get(a, 0),
    )


def kink_of_versine(v: Array, a: float) -> tuple[Array, Array]:
    r"""Leaky ReLU by the versine :math:`v = 1 - c`: :math:`1 - \hat c` of its outputs, and the correlation of its slopes.

    With :math:`\theta = 2\arcsin\sqrt{v/2}` and :math:`\kappa = \frac{(1-a)^2}{\pi(1 + a^2)}` they are
    :math:`v - \kappa(\sin\theta - \theta\cos\theta)` and :math:`1 - \kappa\theta`. `v` is overwritten. Formed from v, an
    angle of 1e-12 keeps its digits, which the arccos of a correlation would not.
    """
    kappa = (1.0 - a) ** 2 / (np.pi * (1.0 + a * a))
    half, lens = _half_angle_and_lens(v)
    lens *= 2 * kappa
    v -= lens
    half *= -2 * kappa
    half += 1.0
    return v, half


def kink_of_opposite(u: Array, a: float) -> tuple[Array, Array]:
    r"""The same for nearly opposite points, by :math:`u = 1 + c`, the versine of the angle that is left to :math:`\pi`."""
    kappa, power = (1.0 - a) ** 2 / (np.pi * (1.0 + a * a)), 1.0 + a * a
    half, lens = _half_angle_and_lens(u)
    return ((1.0 + a) ** 2 - 2 * a * u) / power - 2 * kappa * lens, 2 * a / power + 2 * kappa * half


def _half_angle_and_lens(v: Array) -> tuple[Array, Array]:
    r"""Of a versine :math:`v = 1 - \cos 2h`: h, and :math:`\sin h\cos h - h\cos 2h`, half of what lens and arc differ by."""
    half_angle = v * 0.5
    lens = 1.0 - half_angle
    np.sqrt(half_angle, out=half_angle)
    np.sqrt(lens, out=lens)
    lens *= half_angle
    np.arcsin(half_angle, out=half_angle)
    cosine = 1.0 - v
    cosine *= half_angle
    lens -= cosine
    return half_angle, lens


#: Rectified linear unit, :math:`\max(u, 0)`.
RELU = leaky_relu(0.0)

#: The identity: a deep linear network.
LINEAR = DualActivation(
    "linear", pair=lambda k, *_: (k, np.ones_like(k)), variance=np.copy, slope_variance=np.ones_like, parity=-1
)
