r"""Intervals of what trained students were measured to do: both the students and the held-out points are samples.

Everything that the bridge estimates is a function of means over seeds (students, trained from other random numbers) and over
held-out points, so that one resampling serves a parabola's vertex, a cosine's maximum and an accuracy's peak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from kdtheory.checks import Array, finite_array, whole

__all__ = ["DRAWS", "Estimate", "Of", "crossed_interval", "resampling_shares"]

DRAWS = 2000
BLOCK = 2**24  # counts held at a time

#: From means (..., q) of q statistics to estimates (...).
Of = Callable[[Array], Array]


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, 95 % unless another level was asked for.

    Examples
    --------
    >>> f"{Estimate(0.5, 0.25, 1.0)}, {Estimate(0.5, 0.25, 1.0):.1%}"
    '0.50 [0.25, 1.00], 50.0% [25.0%, 100.0%]'
    """

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Of the interval."""
        return self.high - self.low

    def __contains__(self, value: float) -> bool:
        """Whether the interval covers a value."""
        return self.low <= value <= self.high

    def __format__(self, spec: str) -> str:
        value, low, high = (format(number, spec or ".2f") for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self)


def resampling_shares(rng: np.random.Generator, draws: int, n: int) -> Array:
    """How much each of n members counts in the mean of a sample of n with replacement: (draws, n), rows of sum one."""
    chosen = rng.integers(n, size=(draws, n)) + n * np.arange(draws)[:, None]
    return np.bincount(chosen.ravel(), minlength=draws * n).reshape(draws, n) / n


def crossed_interval(
    statistics: ArrayLike, of: Of, *, rng: np.random.Generator, draws: int = DRAWS, level: float = 0.95
) -> Estimate:
    r"""Interval of a function of means over seeds and points, by a bootstrap that resamples both, stretched for few seeds.

    With counts :math:`a_s` of seeds and :math:`b_i` of points, a draw is
    :math:`\theta^* = g\bigl(\tfrac{1}{Sm}\sum_{s,i} a_s b_i\, t_{si}\bigr)`. Percentiles of few seeds are too narrow twice:
    their spread is that of S - 1, and it is itself uncertain. So their distances from the estimate are multiplied by

    .. math::
        \frac{t_\nu}{z}\,\sqrt{\frac{V_s + V_i}{V_s (S-1)/S + V_i}}, \qquad
        \nu = \frac{(V_s + V_i)^2}{V_s^2/(S-1) + V_i^2/(m-1)},

    the jackknife variances over seeds and points and Satterthwaite's degrees of freedom. One seed (or one point) is not
    resampled: the interval then speaks of the points (seeds) only.

    Parameters
    ----------
    statistics : (S, m, q) array
        :math:`t_{si}`, q numbers for each seed and point.
    of : function from (..., q) to (...)
        g.
    rng : numpy.random.Generator
    draws : int
    level : float
        Of the interval, in (0, 1).

    Returns
    -------
    Estimate
        Its value is g of the means. A draw whose g is nan counts as below and as above everything.

    Raises
    ------
    ValueError
        If the statistics are not finite or not three-dimensional, hold one seed and one point, or a number is out of range.

    References
    ----------
    Owen (2007), The pigeonhole bootstrap, Annals of Applied Statistics; Hesterberg (2015), arXiv:1411.5279 (narrowness).

    Examples
    --------
    Of a mean over five values alone it is near Student's interval, which is wider than what percentiles give:

    >>> t = np.array([1.0, 2.0, 3.0, 4.0, 5.0]).reshape(5, 1, 1)
    >>> found = crossed_interval(t, lambda mean: mean[..., 0], rng=np.random.default_rng(0))
    >>> abs(found.width / 2 - 2.776 * 0.707) < 0.15
    True
    """
    t = finite_array(statistics, "statistics")
    if t.ndim != 3 or t.shape[0] * t.shape[1] < 2:
        raise ValueError(f"`statistics` must have shape (seeds, points, q) with two or more seeds or points, got {t.shape}.")
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level}.")
    S, m, q = t.shape
    by_point, values = t.transpose(1, 0, 2).reshape(m, S * q), []
    left = whole(draws, "draws", least=100)
    while left > 0:
        now = min(left, max(1, BLOCK // m))
        over_points = (resampling_shares(rng, now, m) @ by_point).reshape(now, S, q)
        values.append(of(np.einsum("bs,bsq->bq", resampling_shares(rng, now, S), over_points)))
        left -= now
    value, drawn = float(of(t.mean(axis=(0, 1)))), np.concatenate(values)
    tail = (1 - level) / 2
    ends = (_quantile(drawn, -np.inf, tail), _quantile(drawn, np.inf, 1 - tail))
    wider = _stretch(_jackknife(t.mean(axis=1), of), _jackknife(t.mean(axis=0), of), S, m, tail)
    low, high = (value + wider * (end - value) if np.isfinite([value, end]).all() else end for end in ends)
    return Estimate(value, float(low), float(high))


def _quantile(drawn: Array, missing: float, share: float) -> float:
    ordered = np.sort(np.where(np.isnan(drawn), missing, drawn))
    return float(ordered[round(share * (len(ordered) - 1))])


def _jackknife(means: Array, of: Of) -> float:
    """Variance of g of the mean of k independent rows (k, q); zero for one row, which is not known to vary."""
    k = len(means)
    if k == 1:
        return 0.0
    values = of((means.sum(axis=0) - means) / (k - 1))
    with np.errstate(invalid="ignore"):
        return float((k - 1) / k * np.sum((values - values.mean()) ** 2))


def _stretch(over_seeds: float, over_points: float, seeds: int, points: int, tail: float) -> float:
    total = over_seeds + over_points
    if total == 0:
        return 1.0
    if not np.isfinite(total):  # leaving one out changes everything: as if only that axis mattered, at its fewest
        over_seeds, over_points = (1.0, 0.0) if seeds > 1 else (0.0, 1.0)
        total = 1.0
    freedom = total**2 / (over_seeds**2 / max(seeds - 1, 1) + over_points**2 / max(points - 1, 1))
    narrow = over_seeds * (seeds - 1) / seeds + over_points * (points - 1) / points
    return float(stdtrit(freedom, tail) / ndtri(tail) * np.sqrt(total / narrow))
