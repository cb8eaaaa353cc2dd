r"""Elementary filters: kernel ridge regression, polynomials in its shrinkage, gradient flow.

A filter gives three functions of an eigenvalue d, each by a formula that does not cancel:
``fit`` (labels -> fitted values), ``dual`` = fit / d (labels -> dual coefficients, finite at d = 0) and
``residual`` = 1 - fit. All filters are public in `kdtheory.filters`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial as Poly
from numpy.typing import ArrayLike, NDArray
from scipy.special import exprel

from kdtheory.checks import Array, finite_array, number, positive, schedule

__all__ = ["GradientFlow", "Polynomial", "Ridge", "nonnegative"]


def nonnegative(value: ArrayLike) -> Array:
    """Eigenvalues as float64, none negative."""
    d = finite_array(value, "eigenvalues")
    if (d < 0).any():
        raise ValueError(f"`eigenvalues` must be zero or positive, got {d.min()}.")
    return d


@dataclass(frozen=True)
class Ridge:
    r"""Kernel ridge regression, :math:`\mathrm{fit}(d) = d / (d + \lambda)`.

    Minimises :math:`\sum_i (f(x_i) - y_i)^2 + \lambda\,\|f\|^2` (the sum of squares, not their mean).

    Parameters
    ----------
    ridge : float
        :math:`\lambda > 0`; infinity is the zero function. Negative only below minus `largest_eigenvalue`,
        where the smoother amplifies: the limit of a chain whose teacher weight exceeds 1.
    largest_eigenvalue : float
        Upper bound on every eigenvalue this filter will meet; needed for a negative ridge only.

    Raises
    ------
    ValueError
        If `ridge` lies in [-largest_eigenvalue, 0], where K + ridge·I is singular or indefinite.

    References
    ----------
    Saunders, Gammerman & Vovk (1998), Ridge regression learning algorithm in dual variables.

    Examples
    --------
    >>> float(Ridge(0.5).fit(1.5)), float(Ridge(0.5).residual(1.5))
    (0.75, 0.25)
    """

    ridge: float
    largest_eigenvalue: float = math.inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "ridge", number(self.ridge, "ridge"))
        object.__setattr__(self, "largest_eigenvalue", number(self.largest_eigenvalue, "largest_eigenvalue"))
        if not (self.ridge > 0 or self.ridge < -self.largest_eigenvalue):
            raise ValueError(f"`ridge` must be positive, got {self.ridge}.")

    def _check(self, eigenvalues: ArrayLike) -> Array:
        d = nonnegative(eigenvalues)
        if self.ridge < 0 and d.max() > self.largest_eigenvalue:
            raise ValueError(f"`eigenvalues` must not exceed `largest_eigenvalue`={self.largest_eigenvalue}, got {d.max()}.")
        return d

    def fit(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`d / (d + \lambda)`."""
        d = self._check(eigenvalues)
        return np.asarray(d / (d + self.ridge))

    def dual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`1 / (d + \lambda)`."""
        return np.asarray(1.0 / (self._check(eigenvalues) + self.ridge))

    def residual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`\lambda / (d + \lambda)`."""
        return np.asarray(1.0 / (1.0 + self._check(eigenvalues) / self.ridge))


@dataclass(frozen=True)
class Polynomial:
    r"""Polynomial in the shrinkage, :math:`\mathrm{fit} = \sum_{i=1}^{k} c_i a^i` with :math:`\sum_i c_i = 1`.

    These are exactly the chains of k - 1 rounds at one ridge; `teacher_weights` finds the schedule.

    Parameters
    ----------
    ridge : float
        :math:`\lambda` of :math:`a = d/(d + \lambda)`.
    coefficients : sequence of k floats
        :math:`c_1 \dots c_k`, summing to one.

    Raises
    ------
    ValueError
        If the coefficients do not sum to one.

    Examples
    --------
    Tukey's twicing, 1 - (1 - a)^2, is one round at teacher weight -1:

    >>> Polynomial(1.0, (2.0, -1.0)).teacher_weights()
    (-1.0,)
    """

    ridge: float
    coefficients: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ridge", positive(self.ridge, "ridge"))
        c = schedule(self.coefficients, "coefficients")
        object.__setattr__(self, "coefficients", tuple(c.tolist()))
        if abs(c.sum() - 1.0) > 1e-9 * np.abs(c).sum():
            raise ValueError(f"`coefficients` must sum to one, got a sum of {c.sum():.12g}.")

    def fit(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`\sum_i c_i a^i`."""
        d = nonnegative(eigenvalues)
        a = d / (d + self.ridge)
        return a * _horner(self.coefficients, a)

    def dual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`\sum_i c_i a^{i-1} / (d + \lambda)`."""
        d = nonnegative(eigenvalues)
        return np.asarray(_horner(self.coefficients, d / (d + self.ridge)) / (d + self.ridge))

    def residual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`u\,q(a)` with :math:`u = 1 - a`, :math:`q(a) = \sum_j a^j \sum_{i > j} c_i`, by powers of the smaller."""
        d = nonnegative(eigenvalues)
        a, u = d / (d + self.ridge), 1.0 / (1.0 + d / self.ridge)
        tails = np.cumsum(self.coefficients[::-1])[::-1]
        tails[0] = 1.0
        around_one = Poly(tails)(Poly([1.0, -1.0])).coef  # q(1 - u): where coefficients alternate, q(a) cancels near a = 1
        return np.asarray(u * np.where(a < 0.5, _horner(tails, a), _horner(around_one, u)))

    def teacher_weights(self) -> tuple[float, ...]:
        """Schedule of the chain that is this polynomial, from round 1 to the last.

        Raises
        ------
        ValueError
            If a partial sum of the coefficients is one before the last of them: no finite schedule has this filter.
        """
        c = np.asarray(self.coefficients)
        left, weights = 1.0, []
        for i, coefficient in enumerate(c[:-1]):
            weight = 1.0 - coefficient / left
            if weight == 0.0 and np.any(c[i + 1 :] != 0.0):
                raise ValueError("`coefficients` have a partial sum of one before the end: no schedule of weights gives them.")
            weights.append(float(weight))
            if weight == 0.0:
                weights += [0.0] * (len(c) - 2 - i)
                break
            left *= weight
        return tuple(weights[::-1])


def _horner(coefficients: ArrayLike, x: Array) -> Array:
    """c_1 + x (c_2 + x (c_3 + ...))."""
    total = np.zeros_like(x)
    for c in reversed(np.asarray(coefficients)):
        total = c + x * total
    return np.asarray(total)


@dataclass(frozen=True)
class GradientFlow:
    r"""Gradient flow on the sum of squares from zero for a time t, :math:`\mathrm{fit}(d) = 1 - e^{-td}`.

    Solves :math:`\dot f = -K(f - y)`, :math:`f_0 = 0`. With learning rate :math:`\eta` on half the mean loss
    over n examples, :math:`t = \eta \cdot \text{steps} / n`; `kdtheory.dynamics.loss_scale` has the others.

    Parameters
    ----------
    time : float
        Zero or positive. At infinity the labels are interpolated in every direction whose eigenvalue is more than what
        rounding leaves of zero (r eps times the largest of the r eigenvalues passed together, as in a pseudo-inverse),
        and nothing is learned in the others.

    Raises
    ------
    ValueError
        If the time is negative or not a number.

    References
    ----------
    Jacot, Gabriel & Hongler (2018), arXiv:1806.07572 (least-squares dynamics in the eigenbasis).

    Examples
    --------
    >>> GradientFlow(2.0).fit([0.0, 0.5]).round(4)
    array([0.    , 0.6321])
    """

    time: float

    def __post_init__(self) -> None:
        time = number(self.time, "time")
        object.__setattr__(self, "time", time if time == math.inf else positive(time, "time", zero=True))

    def fit(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`1 - e^{-td}`."""
        d = nonnegative(eigenvalues)
        return np.asarray(_above_rounding(d).astype(float) if self.time == math.inf else -np.expm1(-self.time * d))

    def dual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`(1 - e^{-td})/d`, and t at d = 0."""
        d = nonnegative(eigenvalues)
        if self.time == math.inf:
            return np.divide(1.0, d, out=np.zeros_like(d), where=_above_rounding(d))
        return np.asarray(self.time * exprel(-self.time * d))

    def residual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`e^{-td}`."""
        d = nonnegative(eigenvalues)
        return np.asarray((~_above_rounding(d)).astype(float) if self.time == math.inf else np.exp(-self.time * d))


def _above_rounding(d: Array) -> NDArray[np.bool]:
    return np.asarray(d > d.size * np.finfo(float).eps * d.max())
