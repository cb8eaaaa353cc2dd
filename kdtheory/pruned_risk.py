r"""What a pruned student risks: bias and variance over the teacher weight, for one kept set or a family of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from kdtheory.checks import Array, positive
from kdtheory.risk_curves import RiskCurves

__all__ = ["PrunedRisk", "PrunedRisks"]

LEVEL = 0.975  # upper end of a two-sided 95 % interval
FAINT = 0.01  # noise of this share of the student's size, in standard deviations, must not decide the weight


def _identified(bias: RiskCurves, variance: RiskCurves, noise_variance: float) -> Any:
    """Whether the teacher moves the student, and noise of a hundredth of the signal would not move the weight by more than
    one, or by half of itself.
    """
    now, more = (bias + variance.scaled(noise_variance + extra) for extra in (0.0, FAINT**2 * np.asarray(bias.size)))
    w, other = np.asarray(now.vertex), np.asarray(more.vertex)
    return (np.asarray(now.identified) & (np.abs(w - other) <= np.maximum(1.0, np.abs(w) / 2)))[()]


@dataclass(frozen=True, eq=False)
class PrunedRisk:
    r"""Expected risk of a student on kept rows over its teacher weight: squared bias and variance, each a parabola.

    Attributes
    ----------
    bias : RiskCurves
        Squared bias.
    variance : RiskCurves
        Variance per unit of noise variance.
    noise_variance : float
    ridge, ridge_convention
        As given; `ridge` in units of the convention.
    kept, n : int
        Rows that the student keeps, of all.
    """

    bias: RiskCurves
    variance: RiskCurves
    noise_variance: float
    ridge: float
    ridge_convention: str
    kept: int
    n: int

    @property
    def curves(self) -> RiskCurves:
        """Bias and variance together."""
        return self.bias + self.variance.scaled(self.noise_variance)

    def __call__(self, teacher_weight: ArrayLike) -> Any:
        """Risk at one or many teacher weights."""
        return self.curves(teacher_weight)

    def with_noise(self, noise_variance: float) -> PrunedRisk:
        """The same rows and fits under another noise: nothing is computed again."""
        return replace(self, noise_variance=positive(noise_variance, "noise_variance", zero=True))

    @property
    def optimal_weight(self) -> float:
        """The vertex; nan where it means nothing, see `identified`."""
        return float(self.curves.vertex) if self.identified else float("nan")

    @property
    def minimum(self) -> float:
        """Risk at the optimal weight; that on labels only where none is identified."""
        return float(self.curves.minimum if self.identified else self.curves.start)

    @property
    def gain(self) -> float:
        """What the optimal weight saves against no distillation."""
        return float(self.curves.gain) if self.identified else 0.0

    @property
    def identifiability(self) -> float:
        """How far the teacher moves the student, relative to its size."""
        return float(self.curves.identifiability)

    @property
    def identified(self) -> bool:
        """Whether the teacher moves the student, and noise of 1 % of the signal moves the weight by at most 1, or by half.

        A teacher that interpolates noiseless labels fails it: whatever little noise there is decides its weight.
        """
        return bool(_identified(self.bias, self.variance, self.noise_variance))

    @property
    def helps(self) -> bool:
        """Whether a little weight on the teacher lowers the risk."""
        return bool(self.curves.helps)

    @property
    def noise_limit(self) -> float:
        r"""The optimal weight in pure noise; at least 1/2 for ridge teachers that have seen the kept rows."""
        return float(self.variance.vertex)

    @property
    def helps_above(self) -> float:
        r"""The noise variance above which distillation helps; infinite if at none.

        Below it never does, if the teacher is a ridge fit that has seen the kept rows: the slope of the risk at weight zero is
        linear in :math:`\sigma^2`, and its noise part negative.
        """
        of_bias, of_noise = float(self.bias.slope), float(self.variance.slope)
        if of_noise < 0:
            return max(0.0, -of_bias / of_noise)
        return 0.0 if of_bias < 0 else float("inf")

    @property
    def rises_with_noise(self) -> bool:
        r"""Whether more label noise raises the optimal weight.

        As a ratio of two linear functions of :math:`\sigma^2` it is monotone, from its value without noise to `noise_limit`.
        """
        return bool(self.noise_limit > float(self.bias.vertex))

    def __str__(self) -> str:
        ridge = _ridge_in_words(self.ridge, self.ridge_convention)
        head = f"{self.kept} of {self.n} rows kept, {ridge}, noise variance {self.noise_variance:.4g}:\n"
        if not self.identified:
            return (
                f"{head}risk {float(self(0.0)):.4g}; the optimal teacher weight is not identified, the teacher moves the "
                f"student by {self.identifiability:.2g} of its size."
            )
        return (
            f"{head}optimal teacher weight {self.optimal_weight:.3f}, risk {float(self(0.0)):.4g} on labels, "
            f"{float(self(1.0)):.4g} on the teacher, {self.minimum:.4g} at the optimum."
        )


@dataclass(frozen=True, eq=False)
class PrunedRisks:
    r"""Expected risks of students for several shares of rows, each on several random subsets.

    Attributes
    ----------
    shares : (k,) array
        Of the rows: what the student keeps, or what the teacher has seen.
    counts : (k,) array of int
        The same in rows.
    bias, variance : RiskCurves of shape (k, subsets)
        Squared bias; variance per unit of noise variance.
    noise_variance, ridge, ridge_convention
        As given.
    whose : str
        Whose shares they are, "kept" or "seen by the teacher".
    """

    shares: Array
    counts: Any
    bias: RiskCurves
    variance: RiskCurves
    noise_variance: float
    ridge: float
    ridge_convention: str
    whose: str = "kept"

    @property
    def curves(self) -> RiskCurves:
        """Of every share and subset."""
        return self.bias + self.variance.scaled(self.noise_variance)

    @property
    def mean(self) -> RiskCurves:
        """Risk averaged over subsets, (k,): its optimal weight is the one to use for a subset that is not known yet."""
        return self.curves.mean(axis=1)

    def with_noise(self, noise_variance: float) -> PrunedRisks:
        """The same rows and fits under another noise: nothing is computed again."""
        return replace(self, noise_variance=positive(noise_variance, "noise_variance", zero=True))

    @property
    def optimal_weight(self) -> Array:
        """Of the mean risk, (k,); nan where none is identified, as in `PrunedRisk`."""
        return np.where(self.identified, self.mean.vertex, np.nan)

    @property
    def identified(self) -> Array:
        """As in `PrunedRisk`, of the mean risk, (k,)."""
        return np.asarray(_identified(self.bias.mean(axis=1), self.variance.mean(axis=1), self.noise_variance))

    @property
    def interval(self) -> Array:
        """95 % t-interval of the optimal weight over subsets, (k, 2); nan for a single subset."""
        return self._around(self.optimal_weight, np.asarray(self.curves.optimal_weight_spread(axis=1)))

    def risk_interval(self, teacher_weight: ArrayLike) -> Array:
        """95 % t-interval over subsets of the mean risk at one weight, or at one weight per share, (k, 2)."""
        risks = np.asarray(self.curves.at(np.broadcast_to(np.asarray(teacher_weight)[..., None], self.curves.shape)))
        count = risks.shape[1]
        spread = risks.std(axis=1, ddof=1) / np.sqrt(count) if count > 1 else np.full(len(risks), np.nan)
        return self._around(risks.mean(axis=1), spread)

    def _around(self, centre: Array, spread: Array) -> Array:
        half = stdtrit(max(self.curves.shape[1] - 1, 1), LEVEL) * spread
        return np.stack([centre - half, centre + half], axis=-1)

    def __str__(self) -> str:
        mean, interval = self.mean, self.interval
        lines = [
            f"{_ridge_in_words(self.ridge, self.ridge_convention)}, noise variance {self.noise_variance:.4g}, "
            f"{self.curves.shape[1]} random subset(s); shares {self.whose}",
            "  share   rows  on labels  on teacher  at optimum  optimal weight [95 % over subsets]",
        ]
        for i, (share, rows) in enumerate(zip(self.shares, self.counts, strict=True)):
            weight, least = f"{mean.vertex[i]:.3f} [{interval[i, 0]:.3f}, {interval[i, 1]:.3f}]", mean.minimum[i]
            if not self.identified[i]:
                moved = f"the teacher moves the student by {mean.identifiability[i]:.2g} of its size"
                weight, least = f"not identified: {moved}", mean.start[i]
            risks = (mean.start[i], mean(1.0)[i], least)
            lines.append(f"{share:7.3g} {rows:6d} {risks[0]:10.4g} {risks[1]:11.4g} {risks[2]:11.4g}  {weight}")
        return "\n".join(lines)


def _ridge_in_words(ridge: float, convention: str) -> str:
    return f"ridge {ridge:.4g} ({'absolute: K + ridge I' if convention == 'absolute' else 'per example: K + ridge m I'})"
