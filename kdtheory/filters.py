r"""Filters: what a training procedure does to one eigenvalue of the Gram matrix.

`Ridge`, `Polynomial` and `GradientFlow` are stated in `kdtheory.elementary_filters`, gradient descent and students of any
training in `kdtheory.training_filters`; here is `Distilled`, the chain of a teacher and its students. Its arithmetic is
`kdtheory.recursion`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, finite, numeric, positive, schedule, whole
from kdtheory.elementary_filters import GradientFlow, Polynomial, Ridge, nonnegative
from kdtheory.recursion import Chain, chain
from kdtheory.training_filters import DistilledTraining, GradientDescent, TrainingLimit

__all__ = ["Distilled", "DistilledTraining", "GradientDescent", "GradientFlow", "Polynomial", "Ridge", "TrainingLimit"]


@dataclass(frozen=True)
class Distilled:
    r"""Iterated self-distillation: round 0 fits the labels, round t the mix of labels and round t - 1.

    With shrinkage :math:`a_t = d/(d + \lambda_t)`, teacher weights :math:`w_t` and :math:`b_{-1} = 1`,

    .. math::
        b_t = a_t\,[(1 - w_t) + w_t\, b_{t-1}], \qquad \mathrm{fit}(d) = b_T .

    Parameters
    ----------
    ridge : float or (T + 1,) array
        :math:`\lambda_t > 0`; one number serves every round, an array starts with round 0.
    teacher_weights : (T,) array
        :math:`w_1 \dots w_T`: 0 ignores the teacher, 1 ignores the labels; any real number is legal.

    Raises
    ------
    ValueError
        If a ridge is not positive or the lengths disagree.
    OverflowError
        When evaluated: if weights outside the convergence interval made the chain grow beyond floating point.

    Notes
    -----
    Accurate to 1e-12 relative in fit, dual and residual for teacher weights in [0, 1], d/ridge from 1e-16 to 1e16
    and a million rounds: blocks of equal weights are advanced in closed form, single rounds with the
    rounding error carried along.

    References
    ----------
    Borup & Andersen (2021), arXiv:2102.13088; their weight on the ground truth is 1 - w, their step is t + 1.

    Examples
    --------
    Pure distillation is a power of the shrinkage; the second half of every chain is what the labels still say:

    >>> round(float(Distilled(ridge=1.0, teacher_weights=[1.0, 1.0]).fit(3.0)), 12) == 0.75**3
    True
    >>> float(Distilled(ridge=1.0, teacher_weights=[0.0]).fit(3.0)) == float(Ridge(1.0).fit(3.0))
    True
    """

    ridge: ArrayLike
    teacher_weights: ArrayLike

    def __post_init__(self) -> None:
        weights = schedule(self.teacher_weights, "teacher_weights", may_be_empty=True)
        object.__setattr__(self, "teacher_weights", tuple(weights.tolist()))
        if numeric(self.ridge, "ridge").ndim == 0:
            object.__setattr__(self, "ridge", positive(self.ridge, "ridge"))
            return
        ridges = schedule(self.ridge, "ridge", above_zero=True)
        if len(ridges) != len(weights) + 1:
            raise ValueError(
                f"`ridge` must be one number or {len(weights) + 1} of them, one per round from round 0, got {len(ridges)}."
            )
        object.__setattr__(self, "ridge", tuple(ridges.tolist()))

    @classmethod
    def constant(cls, *, ridge: float, teacher_weight: float, rounds: int) -> Distilled:
        r"""Chain with the same teacher weight in each of T = `rounds` rounds.

        With :math:`r = wd/(d + \lambda)`, :math:`\mathrm{residual}(d) = \frac{\lambda}{d + \lambda}\,(1 + r + \dots + r^T)`.

        Parameters
        ----------
        ridge, teacher_weight : float
        rounds : int
            Zero or more.

        Raises
        ------
        ValueError
            If `ridge` is not positive, `teacher_weight` not finite or `rounds` not a whole number.

        Examples
        --------
        >>> chain = Distilled.constant(ridge=1.0, teacher_weight=0.5, rounds=2)
        >>> float(chain.residual(1.0)) == 0.5 * (1 + 0.25 + 0.25**2)
        True
        """
        return cls(ridge, (finite(teacher_weight, "teacher_weight"),) * whole(rounds, "rounds"))

    @staticmethod
    def limit(*, ridge: float, teacher_weight: float, largest_eigenvalue: float | None = None) -> Ridge:
        r"""Infinitely many rounds of one teacher weight: kernel ridge regression at :math:`\lambda/(1 - w)`.

        The chain contracts by :math:`w\,d/(d + \lambda)` per round, so it converges where
        :math:`|w| < 1 + \lambda/d_1`, and on every spectrum where :math:`|w| \le 1`.

        Parameters
        ----------
        ridge, teacher_weight : float
        largest_eigenvalue : float, optional
            :math:`d_1`. Without it, only weights that converge on every spectrum are accepted.

        Returns
        -------
        Ridge
            At teacher weight 1 its ridge is infinite (the zero function); above 1 it is negative.

        Raises
        ------
        ValueError
            If the chain diverges; the message gives the interval of convergence.

        Examples
        --------
        >>> Distilled.limit(ridge=0.2, teacher_weight=0.75).ridge
        0.8
        """
        ridge, w = positive(ridge, "ridge"), finite(teacher_weight, "teacher_weight")
        if largest_eigenvalue is None:
            if abs(w) > 1:
                raise ValueError(
                    f"`teacher_weight` must lie in [-1, 1] for a chain that converges on every spectrum, got {w}; "
                    "on a given one it may lie in (-1 - ridge/d, 1 + ridge/d): pass `largest_eigenvalue`=d."
                )
        else:
            largest = positive(largest_eigenvalue, "largest_eigenvalue", zero=True)
            margin = ridge / largest if largest > 0 else math.inf
            if not abs(w) - 1 < margin:
                raise ValueError(
                    f"`teacher_weight` must lie in ({-1 - margin:.6g}, {1 + margin:.6g}), the chain's interval of "
                    f"convergence, got {w}: this chain diverges."
                )
            if w > 1:
                return Ridge(ridge / (1 - w), largest)
        return Ridge(math.inf if w == 1 else ridge / (1 - w))

    @property
    def rounds(self) -> int:
        """T, the number of students after the teacher."""
        return len(self.weights)

    @property
    def weights(self) -> Array:
        """`teacher_weights` as an array (T,)."""
        return np.asarray(self.teacher_weights, dtype=np.float64)

    @property
    def ridges(self) -> Array:
        """Ridge of each of the T + 1 rounds."""
        return np.broadcast_to(np.asarray(self.ridge, dtype=np.float64), (self.rounds + 1,))

    def every_round(self, eigenvalues: ArrayLike, /) -> Chain:
        """fit, dual and residual of rounds 0 .. T, each (T + 1, ...eigenvalues).

        Raises
        ------
        OverflowError
            If the chain grows beyond floating point.

        Examples
        --------
        Pure distillation multiplies by the shrinkage once more in every round:

        >>> Distilled(1.0, [1.0, 1.0]).every_round(1.0).fit.round(12).tolist()
        [0.5, 0.25, 0.125]
        """
        return chain(nonnegative(eigenvalues), self.ridges, self.weights)

    def _last(self, eigenvalues: ArrayLike) -> Chain:
        return chain(nonnegative(eigenvalues), self.ridges, self.weights, last_only=True)

    def fit(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`b_T`."""
        return np.asarray(self._last(eigenvalues).fit[-1])

    def dual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`[(1 - w_T) + w_T\, b_{T-1}]\,/\,(d + \lambda_T)`."""
        return np.asarray(self._last(eigenvalues).dual[-1])

    def residual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`e_T`, from :math:`e_t = (1 - a_t) + w_t a_t\, e_{t-1}`, a sum of what each round loses."""
        return np.asarray(self._last(eigenvalues).residual[-1])

    def polynomial(self) -> Polynomial:
        r"""The same filter as a polynomial in the shrinkage (one ridge only).

        The coefficient of :math:`a^{i+1}` is :math:`(1 - w_{T-i}) \prod_{j=T-i+1}^{T} w_j` with :math:`w_0 := 0`.

        Raises
        ------
        ValueError
            If the rounds have different ridges.

        Examples
        --------
        >>> Distilled(1.0, [0.5, 0.5]).polynomial().coefficients
        (0.5, 0.25, 0.25)
        """
        if np.unique(self.ridges).size > 1:
            raise ValueError("`polynomial` needs one ridge for every round, got a sequence of different ones.")
        backwards = np.concatenate(([0.0], self.weights))[::-1]
        coefficients = (1 - backwards) * np.concatenate(([1.0], np.cumprod(backwards[:-1])))
        return Polynomial(float(self.ridges[0]), tuple(coefficients.tolist()))
