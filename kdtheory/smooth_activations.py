r"""Smooth activations with closed Gaussian expectations: erf, sine and cosine, GELU, polynomials; any other by a series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb, factorial

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.polynomial import polyder

from kdtheory.checks import Array, finite, positive, schedule, whole
from kdtheory.dual_activation import DualActivation, determinant

__all__ = ["ERF", "GELU", "polynomial", "series", "sine"]


def _erf_pair(k: Array, q: Array, q_other: Array, versine: Array | None = None) -> tuple[Array, Array]:
    r"""Arc-sine kernel (Williams, 1998), with :math:`s = (1 + 2q)(1 + 2q')`.

    :math:`E[\sigma\sigma] = \frac{2}{\pi}\arcsin\frac{2k}{\sqrt s}` and
    :math:`E[\dot\sigma\dot\sigma] = \frac{4}{\pi}(s - 4k^2)^{-1/2}`.
    """
    slope = determinant(k, q, q_other, versine)  # s - 4 k^2 = 1 + 2 q + 2 q' + 4 (q q' - k^2): nothing is negative
    slope *= 4.0
    slope += 1.0 + 2.0 * (q[:, None] + q_other)
    np.sqrt(slope, out=slope)
    np.divide(4.0 / np.pi, slope, out=slope)
    k *= 2.0
    k /= np.sqrt(1.0 + 2.0 * q)[:, None] * np.sqrt(1.0 + 2.0 * q_other)
    np.clip(k, -1.0, 1.0, out=k)
    np.arcsin(k, out=k)
    k *= 2.0 / np.pi
    return k, slope


ERF = DualActivation(
    name="erf",
    pair=_erf_pair,
    variance=lambda q: np.arcsin(2 * q / (1 + 2 * q)) * (2 / np.pi),
    slope_variance=lambda q: 4 / np.pi / np.sqrt(1 + 4 * q),
    parity=-1,
)


def _gelu_pair(k: Array, q: Array, q_other: Array, versine: Array | None = None) -> tuple[Array, Array]:
    r"""With :math:`D = qq' - k^2`, :math:`s = 1 + q + q'`, :math:`p = qq' + s`, :math:`\Delta = D + s` and
    :math:`G = \frac14 + \frac{1}{2\pi}\arcsin\frac{k}{\sqrt p}`, integrating by parts twice,

    .. math::
        E[\sigma\sigma] = kG + \frac{qq'(1 + s) + D(qq' - 1)}{2\pi p\sqrt\Delta}, \qquad
        E[\dot\sigma\dot\sigma] = G + k\,\frac{D(1 + s) + s(2 + s) + qq'}{2\pi p\,\Delta^{3/2}};

    the second is the derivative of the first in k (Price, 1958).
    """
    product = q[:, None] * q_other
    s = 1.0 + q[:, None] + q_other
    p = product + s
    D = determinant(k, q, q_other, versine)
    root = 2 * np.pi * np.sqrt(D + s)
    G = 0.25 + np.arcsin(np.clip(k / np.sqrt(p), -1.0, 1.0)) / (2 * np.pi)
    slope = G + k / (D + s) * ((D * (1.0 + s) + s * (2.0 + s) + product) / p / root)
    k *= G
    k += (product * (1.0 + s) + D * (product - 1.0)) / p / root
    return k, slope


def _gelu_variances(q: Array) -> tuple[Array, Array]:
    """The same at u = v, where D = 0."""
    s, p = 1.0 + 2.0 * q, (1.0 + q) ** 2
    root = 2 * np.pi * p * np.sqrt(s)
    G = 0.25 + np.arcsin(q / (1.0 + q)) / (2 * np.pi)
    return q * G + q * q * (1.0 + s) / root, G + q * (s * (2.0 + s) + q * q) / (root * s)


#: Gaussian error linear unit, :math:`u\,\Phi(u)` with the exact normal distribution function.
GELU = DualActivation(
    "gelu",
    pair=_gelu_pair,
    variance=lambda q: _gelu_variances(q)[0],
    slope_variance=lambda q: _gelu_variances(q)[1],
)


def sine(frequency: float = 1.0, phase: float = 0.0) -> DualActivation:
    r"""Sine, :math:`\sigma(u) = \sin(\omega u + \varphi)`; the phase :math:`\pi/2` makes it a cosine.

    .. math::
        E[\sigma\sigma] = \tfrac12 e^{-\omega^2 (q + q' - 2k)/2} - \tfrac12\cos(2\varphi)\, e^{-\omega^2 (q + q' + 2k)/2},

    and :math:`E[\dot\sigma\dot\sigma]` is :math:`\omega^2` times the same with a plus. No exponent is positive.

    Parameters
    ----------
    frequency : float
        :math:`\omega > 0`.
    phase : float
        :math:`\varphi`, in radians.

    Raises
    ------
    ValueError
        If `frequency` is not positive or `phase` not finite.

    References
    ----------
    Rahimi & Recht (2007), Random features for large-scale kernel machines: with a uniform phase the second term
    averages to zero, and the first is the Gaussian kernel.

    Examples
    --------
    >>> k, q = np.array([[0.3]]), np.array([1.0])
    >>> both = sine(2.0).pair(k.copy(), q, q)[0] + sine(2.0, np.pi / 2).pair(k.copy(), q, q)[0]
    >>> bool(np.isclose(both[0, 0], np.exp(-(2.0**2) * (1 - 0.3))))
    True
    """
    square, turn = positive(frequency, "frequency") ** 2, float(np.cos(2 * finite(phase, "phase")))

    def pair(k: Array, q: Array, q_other: Array, versine: Array | None = None) -> tuple[Array, Array]:
        mean = (q[:, None] + q_other) / 2
        gap = mean - k
        if versine is not None:
            root, other = np.sqrt(q)[:, None], np.sqrt(q_other)
            gap = (root - other) ** 2 / 2 + root * other * versine
        near, far = (0.5 * np.exp(-square * np.maximum(half, 0.0)) for half in (gap, mean + k))
        odd = -np.sign(k) * np.maximum(near, far) * np.expm1(-2 * square * np.abs(k))  # near - far, to the last digit of k
        return (1.0 - turn) * near + turn * odd, square * ((1.0 + turn) * near - turn * odd)

    def variance(q: Array) -> Array:
        return np.asarray(0.5 * (1.0 - turn) - 0.5 * turn * np.expm1(-2 * square * q))

    return DualActivation(
        name=f"sin({frequency:g} u + {phase:g})",
        pair=pair,
        variance=variance,
        slope_variance=lambda q: square * (0.5 * (1.0 + turn) + 0.5 * turn * np.expm1(-2 * square * q)),
        parity={1.0: -1, -1.0: 1}.get(turn, 0),
    )


def polynomial(coefficients: Sequence[float]) -> DualActivation:
    r"""Polynomial, :math:`\sigma(u) = \sum_i a_i u^i`: finitely many Hermite terms.

    .. math::
        E[\sigma\sigma] = \sum_j j!\, k^j\, b_j(q)\, b_j(q'), \qquad
        b_j(q) = \sum_{m \ge 0} a_{j + 2m} \binom{j + 2m}{j} (2m - 1)!!\; q^m .

    Parameters
    ----------
    coefficients : (degree + 1,) array
        :math:`a_0, a_1, \dots`, not all zero.

    Raises
    ------
    ValueError
        If the coefficients are not finite numbers or all zero.

    References
    ----------
    Kumar, Bordelon, Gershman & Pehlevan (2023), arXiv:2310.06110, train :math:`\sigma(u) = u + \epsilon u^2/2`.

    Examples
    --------
    On the sphere, :math:`E[\sigma\sigma] = k + \frac{\epsilon^2}{4}(1 + 2k^2)` and
    :math:`E[\dot\sigma\dot\sigma] = 1 + \epsilon^2 k`:

    >>> k, q = np.array([[0.3]]), np.array([1.0])
    >>> value, slope = polynomial([0.0, 1.0, 0.5 / 2]).pair(k, q, q)
    >>> bool(np.isclose(value[0, 0], 0.3 + 0.5**2 / 4 * (1 + 2 * 0.3**2))), bool(np.isclose(slope[0, 0], 1 + 0.5**2 * 0.3))
    (True, True)
    """
    a = schedule(coefficients, "coefficients")
    if not a.any():
        raise ValueError("`coefficients` must not all be zero.")
    terms, slope_terms = _hermite_terms(a), _hermite_terms(np.asarray(polyder(a), dtype=float))

    def pair(k: Array, q: Array, q_other: Array, versine: Array | None = None) -> tuple[Array, Array]:  # noqa: ARG001
        return _power_series(k, terms(q), terms(q_other)), _power_series(k, slope_terms(q), slope_terms(q_other))

    def at_same_point(b: Callable[[Array], list[Array]]) -> Callable[[Array], Array]:
        return lambda q: np.asarray(sum(factorial(j) * q**j * c * c for j, c in enumerate(b(q))))

    return DualActivation(
        name=f"polynomial({', '.join(f'{x:g}' for x in a)})",
        pair=pair,
        variance=at_same_point(terms),
        slope_variance=at_same_point(slope_terms),
        parity=-1 if not a[::2].any() else int(not a[1::2].any()),
    )


def _hermite_terms(a: Array) -> Callable[[Array], list[Array]]:
    """The functions b_j of a polynomial: of u^i, C(i, j) (i - j - 1)!! q^((i - j)/2) goes to the j-th Hermite term."""
    odd = [1.0]
    for m in range(1, len(a)):
        odd.append(odd[-1] * (2 * m - 1))

    def terms(q: Array) -> list[Array]:
        return [
            np.asarray(
                sum(a[j + 2 * m] * comb(j + 2 * m, j) * odd[m] * q**m for m in range((len(a) - j + 1) // 2)), dtype=float
            )
            + np.zeros_like(q)
            for j in range(len(a))
        ]

    return terms


def _power_series(k: Array, left: list[Array], right: list[Array]) -> Array:
    """Sum over j of j! k^j left_j right_j, by Horner's rule in k."""
    total = np.zeros_like(k)
    for j in reversed(range(len(left))):
        total *= k
        total += factorial(j) * np.outer(left[j], right[j])
    return total


def series(
    function: Callable[[Array], Array], derivative: Callable[[Array], Array], *, name: str = "series", terms: int = 100
) -> DualActivation:
    r"""Any smooth activation, by its Hermite series: :math:`E[\sigma\sigma] = \sum_j c_j(q)\,c_j(q')\,(k/\sqrt{qq'})^j`.

    :math:`c_j(q) = E[\sigma(\sqrt q z)\,\mathrm{He}_j(z)]/\sqrt{j!}` for standard normal z, by Gauss-Hermite quadrature.
    Accurate to rounding for functions that are smooth on the scale of the activations, such as tanh at variances up to 1; the
    series converges slowly at larger variances, at correlation one, and for kinks (use `leaky_relu`). Equal points do
    not go through it: their variance is a quadrature of its own.

    Parameters
    ----------
    function, derivative : callables
        :math:`\sigma` and :math:`\dot\sigma`, elementwise on arrays.
    name : str
    terms : int
        Terms of the series; the quadrature has three times as many nodes, at most 300.

    Raises
    ------
    ValueError
        If `terms` is not a whole number from 1.

    Examples
    --------
    >>> k, q = np.array([[0.3]]), np.array([0.8])
    >>> by_series = series(np.sin, np.cos, name="sine")
    >>> bool(np.allclose(by_series.pair(k.copy(), q, q), sine().pair(k.copy(), q, q), rtol=1e-13))
    True
    """
    count = whole(terms, "terms", least=1)
    nodes, mass = hermegauss(min(3 * count, 300))
    mass = mass / mass.sum()
    basis = np.empty((count, len(nodes)))  # He_j / sqrt(j!), by the recursion that stays of order one
    basis[0] = 1.0
    for j in range(1, count):
        basis[j] = (nodes * basis[j - 1] - (np.sqrt(j - 1) * basis[j - 2] if j > 1 else 0.0)) / np.sqrt(j)
    basis *= mass

    def coefficients(f: Callable[[Array], Array], q: Array) -> Array:
        return np.asarray(f(np.sqrt(q)[:, None] * nodes) @ basis.T)

    def expectation(f: Callable[[Array], Array], correlation: Array, q: Array, q_other: Array) -> Array:
        left, right = coefficients(f, q), coefficients(f, q_other)
        total = np.zeros_like(correlation)
        for j in reversed(range(count)):
            total *= correlation
            total += np.outer(left[:, j], right[:, j])
        return total

    def pair(k: Array, q: Array, q_other: Array, versine: Array | None = None) -> tuple[Array, Array]:  # noqa: ARG001
        scale = np.sqrt(q)[:, None] * np.sqrt(q_other)
        correlation = np.clip(np.divide(k, scale, out=np.zeros_like(k), where=scale > 0), -1.0, 1.0)
        return expectation(function, correlation, q, q_other), expectation(derivative, correlation, q, q_other)

    def square(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda q: np.reshape(f(np.sqrt(np.atleast_1d(q))[:, None] * nodes) ** 2 @ mass, np.shape(q))

    return DualActivation(name, pair=pair, variance=square(function), slope_variance=square(derivative))
