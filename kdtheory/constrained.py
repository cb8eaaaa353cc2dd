r"""Self-distillation at a fixed training error instead of a fixed ridge.

Each round looks for the smallest function within mean squared error :math:`\epsilon` of its teacher's predictions: kernel
ridge regression whose ridge :math:`c_t` is what makes the constraint tight. The ridge changes in every round, the labels
are never seen again, and after finitely many rounds nothing is left of them: the zero function is within the tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, outputs, positive
from kdtheory.spectrum import Spectrum, require_spectrum

__all__ = ["ConstrainedRounds", "constrained_rounds"]

MOST_ROUNDS = 100_000


@dataclass(frozen=True, eq=False)
class ConstrainedRounds:
    r"""The rounds of constrained self-distillation until collapse.

    Attributes
    ----------
    ridges : (T,) array
        :math:`c_1 \dots c_T`, increasing in most data but not by any theorem.
    norms : (T + 1,) array
        :math:`|\hat y_t|`, beginning with the labels' own; all but the last exceed `threshold`.
    multipliers : (T + 1, r) array
        :math:`\prod_{s \le t} d/(d + c_s)` of each eigendirection.
    threshold : float
        :math:`\sqrt{n p \epsilon}`: predictions at or below this norm are within the tolerance of zero.
    """

    ridges: Array
    norms: Array
    multipliers: Array
    threshold: float

    @property
    def rounds(self) -> int:
        """T, the number of fits before the zero function is a solution."""
        return len(self.ridges)

    @property
    def guaranteed(self) -> float:
        r"""Fits that happen whatever the kernel, :math:`|y|/\sqrt{n\epsilon} - 1`: none loses more than its tolerance."""
        return float(self.norms[0] / self.threshold - 1.0)


def constrained_rounds(spectrum: Spectrum, y: ArrayLike, *, tolerance: float) -> ConstrainedRounds:
    r"""Self-distillation where every round may miss its targets by a mean squared error of exactly :math:`\epsilon`.

    .. math::
        \hat y_t = K(K + c_t I)^{-1}\hat y_{t-1}, \qquad |\hat y_{t-1} - \hat y_t|^2 = n\,\epsilon, \qquad \hat y_0 = y .

    Parameters
    ----------
    spectrum : Spectrum
        Of the training Gram matrix, n points.
    y : (n,) or (n, p) array
        Training labels; the error is averaged over points and outputs.
    tolerance : float
        :math:`\epsilon > 0`.

    Returns
    -------
    ConstrainedRounds

    Raises
    ------
    ValueError
        If no function of the kernel comes within the tolerance of the labels, or the tolerance is not below the labels' mean
        square, where zero is the answer at once.

    References
    ----------
    Mobahi, Farajtabar & Bartlett (2020), arXiv:2002.05715.

    Examples
    --------
    One eigenvalue d and one label y lose the tolerance's root in every round:

    >>> s = Spectrum.from_gram([[2.0]])
    >>> result = constrained_rounds(s, [1.0], tolerance=0.09)
    >>> result.norms.round(12), result.ridges.round(4)
    (array([1. , 0.7, 0.4, 0.1]), array([0.8571, 1.5   , 6.    ]))
    """
    require_spectrum(spectrum)
    labels = column_shape(outputs(y, "y", length=spectrum.n))
    threshold = float(np.sqrt(labels.size * positive(tolerance, "tolerance")))
    d, z = spectrum.eigenvalues, np.linalg.norm(spectrum.project(labels), axis=1)
    lost = float(np.linalg.norm(spectrum.outside(labels)))
    norms = [float(np.linalg.norm(labels))]
    if norms[0] <= threshold:
        raise ValueError(
            f"`tolerance` must be below the labels' mean square, {norms[0] ** 2 / labels.size:.4g}, got {tolerance}."
        )
    ridges: list[float] = []
    multipliers = [np.ones_like(d)]
    while norms[-1] > threshold:
        if len(ridges) == MOST_ROUNDS:
            raise ValueError(f"`tolerance` must be larger: no collapse within {MOST_ROUNDS} rounds, got {tolerance}.")
        ridges.append(_tight_ridge(d, multipliers[-1] * z, 0.0 if ridges else lost, threshold))
        multipliers.append(multipliers[-1] * d / (d + ridges[-1]))
        norms.append(float(np.linalg.norm(multipliers[-1] * z)))
    return ConstrainedRounds(np.array(ridges), np.array(norms), np.array(multipliers), threshold)


def _tight_ridge(d: Array, z: Array, lost: float, threshold: float) -> float:
    """c with |c (K + c)^-1 y| = threshold; `lost` is what the kernel cannot reach at any ridge."""
    size = float(np.hypot(np.linalg.norm(z), lost))

    def excess(logarithm: float) -> float:
        c = np.exp(logarithm)
        return float(np.hypot(np.linalg.norm(z * (c / (d + c))), lost) / threshold - 1.0)

    ratio = threshold / (size - threshold)  # d_min ratio <= c <= d_max ratio
    high = np.log(max(float(d[0]), np.finfo(float).tiny) * ratio)
    low = high + np.log(np.finfo(float).eps)
    if not excess(low) < 0:
        raise ValueError(
            f"`tolerance` must leave room for what the kernel cannot fit, even at the smallest ridge in floating point; "
            f"the root mean squared error there is {1.0 + excess(low):.4g} times the tolerance's root."
        )
    return float(np.exp(scipy.optimize.brentq(excess, low, high + 1e-9, xtol=1e-15, rtol=1e-15, maxiter=500)))
