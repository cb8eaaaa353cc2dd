r"""The best of all chains of k rounds at one ridge: a polynomial with k free coefficients, kept in an orthogonal basis.

Every chain of k rounds is :math:`P(a) = a - a(1-a)\,q(a)` for a polynomial q of degree k - 1, and nearly every q is reached.
So the best chain is least squares in q. In powers of a its normal matrix has condition number 2e17 at six rounds; here q is
expanded in polynomials that the error itself makes orthonormal (Arnoldi's recurrence, multiplication by a centred and scaled
to [-1, 1]), and evaluated by the same recurrence: no large coefficients are formed, whatever the number of rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, outputs, positive, whole
from kdtheory.distillation import held_out
from kdtheory.elementary_filters import Polynomial, nonnegative
from kdtheory.spectrum import Spectrum, require_spectrum

__all__ = ["FreePolynomial", "optimal_polynomial", "optimal_polynomial_on_validation"]

DIGITS = 1e-6  # a direction that rounding has blurred more than this is not a direction any more


@dataclass(frozen=True)
class FreePolynomial:
    r"""Filter :math:`P(a) = a - a(1-a)\,q(a)` of a chain, q given by a recurrence.

    Made by `optimal_polynomial` and `optimal_polynomial_on_validation`; it can be used wherever a filter can.

    Attributes
    ----------
    ridge : float
        :math:`\lambda` of :math:`a = d/(d + \lambda)`.
    centre, scale : float
        Of :math:`x = (a - a_c)/\text{scale}`, in which q is expanded; :math:`a_c` is the shrinkage of the eigenvalue `centre`.
    floor : float
        Eigenvalues up to here are rounding; they are left to ridge regression, q = 0.
    recurrence : k columns
        Column j expresses :math:`x\,q_{j-1}` in :math:`q_0 \dots q_j`; column 0 holds the norm of the constant.
    coefficients : k floats
        Of q in :math:`q_0 \dots q_{k-1}`. Fewer than the rounds asked for, where fewer directions exist.

    Examples
    --------
    Two rounds fit two eigenvalues to anything, so they reach the best multipliers f²/(f² + σ²) there are:

    >>> s = Spectrum.from_gram([[2.0, 0.0], [0.0, 1.0]])
    >>> best = optimal_polynomial(s, [1.0, 0.5], noise_variance=0.25, ridge=1.0, rounds=2)
    >>> best.fit(s.eigenvalues).round(12)
    array([0.8, 0.5])
    """

    ridge: float
    centre: float
    scale: float
    floor: float
    recurrence: tuple[tuple[float, ...], ...]
    coefficients: tuple[float, ...]

    def _q(self, d: Array) -> Array:
        basis: list[Array] = []
        x, total = _centred(d, self.ridge, self.centre) / self.scale, np.zeros_like(d)
        for j, (column, c) in enumerate(zip(self.recurrence, self.coefficients, strict=True)):
            raw = np.ones_like(d) if j == 0 else x * basis[-1]
            for h, earlier in zip(column[:-1], basis, strict=True):
                raw = raw - h * earlier
            basis.append(raw / column[-1])
            total = total + c * basis[-1]
        return np.where(d > self.floor, total, 0.0)

    def fit(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`a\,[1 - (1-a)\,q(a)]`."""
        d = nonnegative(eigenvalues)
        return np.asarray(d * self.dual(d))

    def dual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`[1 - (1-a)\,q(a)]/(d + \lambda)`."""
        d = nonnegative(eigenvalues)
        u = 1.0 / (1.0 + d / self.ridge)
        return np.asarray((1.0 - u * self._q(d)) / (d + self.ridge))

    def residual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`(1-a)\,[1 + a\,q(a)]`."""
        d = nonnegative(eigenvalues)
        a, u = d / (d + self.ridge), 1.0 / (1.0 + d / self.ridge)
        return np.asarray(u * (1.0 + a * self._q(d)))

    def polynomial(self) -> Polynomial:
        """The same filter in powers of the shrinkage, with the digits that its large coefficients leave.

        Examples
        --------
        >>> s = Spectrum.from_gram([[2.0, 0.0], [0.0, 1.0]])
        >>> best = optimal_polynomial(s, [1.0, 0.5], noise_variance=0.25, ridge=1.0, rounds=2)
        >>> [round(c, 6) for c in best.polynomial().coefficients]
        [-0.8, 5.4, -3.6]
        """
        basis: list[Array] = []
        q, centre = np.zeros(max(len(self.coefficients), 1)), self.centre / (self.centre + self.ridge)
        for j, (column, c) in enumerate(zip(self.recurrence, self.coefficients, strict=True)):
            raw = np.eye(len(q))[0] if j == 0 else (np.concatenate(([0.0], basis[-1][:-1])) - centre * basis[-1]) / self.scale
            for h, earlier in zip(column[:-1], basis, strict=True):
                raw = raw - h * earlier
            basis.append(raw / column[-1])
            q += c * basis[-1]
        powers = np.concatenate(([1.0], np.zeros(len(q))))
        powers[: len(q)] -= q
        powers[1:] += q
        return Polynomial(self.ridge, tuple(powers.tolist()))

    def teacher_weights(self) -> tuple[float, ...]:
        """Schedule of the chain that is this filter, from round 1 to the last.

        Raises
        ------
        ValueError
            If no finite schedule has this filter.
        """
        return self.polynomial().teacher_weights()


def optimal_polynomial(
    spectrum: Spectrum, signal: ArrayLike, *, noise_variance: float, ridge: float, rounds: int
) -> FreePolynomial:
    r"""The chain of k rounds with the least expected risk at the training points.

    .. math::
        n\,R = \sigma^2\sum_i \omega_i + \sum_i (\theta_i^2 + \sigma^2)\,(P(a_i) - \omega_i)^2, \qquad
        \omega_i = \frac{\theta_i^2}{\theta_i^2 + \sigma^2}, \quad \theta = U^\top f:

    a weighted polynomial approximation of the Wiener filter :math:`\omega`, attained once k is the number of
    distinct eigenvalues.

    Parameters
    ----------
    spectrum : Spectrum
    signal : (n,) or (n, p) array
        Noiseless f.
    noise_variance : float
        :math:`\sigma^2` of each label.
    ridge : float
        :math:`\lambda > 0`, the same in every round.
    rounds : int
        k, zero or more.

    Returns
    -------
    FreePolynomial

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    Pareek, Du & Oh (2024), arXiv:2407.04600 (the quadratic in k coefficients and its minimiser).

    Examples
    --------
    >>> s = Spectrum.from_gram(np.diag([1.0, 0.25, 0.1]))
    >>> how = {"noise_variance": 0.0156, "ridge": 0.1}
    >>> for k in range(4):
    ...     P = optimal_polynomial(s, [1.0, 0.0, 0.0], rounds=k, **how).fit(s.eigenvalues)
    ...     print(round(float(np.sum((1 - P[0]) ** 2) + 0.0156 * np.sum(P**2)), 4))
    0.033
    0.0325
    0.0204
    0.0154
    """
    require_spectrum(spectrum)
    f = column_shape(outputs(signal, "signal", length=spectrum.n))
    energy = np.sum(spectrum.project(f) ** 2, axis=1)
    noise = positive(noise_variance, "noise_variance", zero=True) * f.shape[1]
    ridge, d = positive(ridge, "ridge"), spectrum.eigenvalues
    d = np.where(d > spectrum.floor, d, 0.0)  # no polynomial should be fitted to rounding
    a, u = d / (d + ridge), 1.0 / (1.0 + d / ridge)
    root = np.sqrt(energy + noise)
    # P - omega = a - omega - a u q, and a - omega = (a noise - u energy)/(energy + noise)
    gap = np.divide(a * noise - u * energy, root, out=np.zeros_like(a), where=root > 0)
    return _arnoldi(d, ridge, spectrum.floor, lambda values: values * (a * u * root), gap, whole(rounds, "rounds"))


def optimal_polynomial_on_validation(
    spectrum: Spectrum, y: ArrayLike, cross: ArrayLike, y_val: ArrayLike, *, ridge: float, rounds: int
) -> FreePolynomial:
    r"""The chain of k rounds with the least squared error on validation data.

    The same optimum as ``optimal_weights(..., method="joint")``, as a filter that keeps its digits for any number of rounds.

    Parameters
    ----------
    spectrum, y, cross, y_val
        As in `optimal_weights`.
    ridge : float
        :math:`\lambda > 0`, the same in every round.
    rounds : int
        k, zero or more.

    Returns
    -------
    FreePolynomial

    Raises
    ------
    ValueError
        If a parameter is out of its range or shapes disagree.

    References
    ----------
    Pareek, Du & Oh (2024), arXiv:2407.04600.

    Examples
    --------
    One round is the vertex of the parabola:

    >>> s = Spectrum.from_gram([[2.0, 1.0], [1.0, 2.0]])
    >>> best = optimal_polynomial_on_validation(s, [1.0, 0.0], [[1.5, 1.0]], [0.5], ridge=1.0, rounds=1)
    >>> float(s.predict(best, [1.0, 0.0], [[1.5, 1.0]])[0].round(12))
    0.5
    """
    labels, new, wanted = held_out(spectrum, y, cross, y_val)
    ridge, d = positive(ridge, "ridge"), spectrum.eigenvalues
    u = 1.0 / (1.0 + d / ridge)
    basis, z = new @ spectrum.eigenvectors, spectrum.project(labels)
    rest = (u / (d + ridge))[:, None] * z

    def image(values: Array) -> Array:
        return np.asarray(basis @ (values[:, None] * rest)).ravel()

    gap = np.asarray(basis @ (z / (d + ridge)[:, None]) - wanted).ravel()
    return _arnoldi(d, ridge, spectrum.floor, image, gap, whole(rounds, "rounds"))


def _interval(d: Array, ridge: float, floor: float) -> tuple[float, float]:
    """Eigenvalue whose shrinkage is the middle of all shrinkages, and half their range."""
    held = d[d > floor] if d.max() > 0 else d[:1]
    high, low = float(held.max()), float(held.min())
    middle = [high / (high + ridge) + low / (low + ridge), ridge / (high + ridge) + ridge / (low + ridge)]
    half = ridge * (high - low) / ((high + ridge) * (low + ridge)) / 2
    return ridge * middle[0] / middle[1], half if high - low > 10 * floor else 1.0  # equal up to rounding is equal


def _centred(d: Array, ridge: float, centre: float) -> Array:
    """a(d) - a(centre), without subtracting shrinkages that are almost equal."""
    return np.asarray(ridge * (d - centre) / ((d + ridge) * (centre + ridge)))


def _arnoldi(d: Array, ridge: float, floor: float, image: Callable[[Array], Array], gap: Array, count: int) -> FreePolynomial:
    """Least squares |gap - image(q(a))| over polynomials q of degree below `count`; ends where rounding begins."""
    basis: list[Array] = []
    images: list[Array] = []
    columns: list[tuple[float, ...]] = []
    coefficients: list[float] = []
    errors: list[float] = []  # of each image, relative: what the recurrence makes of rounding
    unit = float(np.finfo(float).eps)
    centre, scale = _interval(d, ridge, floor)
    x = _centred(d, ridge, centre) / scale
    for j in range(count):
        raw = np.ones_like(x) if j == 0 else x * basis[-1]
        shadow = image(raw)
        size = float(np.linalg.norm(shadow))
        column = np.zeros(j)
        for _ in range(2):  # twice is enough
            for i in range(j):
                h = float(images[i] @ shadow)
                column[i] += h
                raw, shadow = raw - h * basis[i], shadow - h * images[i]
        norm = float(np.linalg.norm(shadow))
        inherited = errors[-1] + float(np.abs(column) @ errors) if j else 0.0
        error = unit * (size + float(np.abs(column).sum())) + inherited
        if not error < DIGITS * norm:
            break
        errors.append(error / norm)
        basis.append(raw / norm)
        images.append(shadow / norm)
        columns.append((*column.tolist(), norm))
        coefficients.append(float(images[-1] @ gap))
        gap = gap - coefficients[-1] * images[-1]
    return FreePolynomial(ridge, centre, scale, floor, tuple(columns), tuple(coefficients))
