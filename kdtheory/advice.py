"""What a plan says: per kept share the risk with and without distillation, the weight, and what could be dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from kdtheory.checks import Array
from kdtheory.likelihood import NoiseEstimate
from kdtheory.risk_curves import RiskCurves

__all__ = ["Measured", "Plan", "Strategy"]

NORMAL = float(ndtri(0.975))
TIE = 0.005
FOLDS = 5  # of the points: ridge and weight are chosen without the fold whose errors are counted


class Measured(NamedTuple):
    """Leave-one-out risk curves of one share, for every ridge tried.

    `by_point` (L, n) averages over subsets, `by_subset` (L, S) over points. Under the likelihood method `law` (3, L) is their
    expectation under the likeliest law and under those at the ends of its interval.
    """

    rows: int
    ridges: Array
    by_point: RiskCurves
    by_subset: RiskCurves
    law: RiskCurves | None = None

    @property
    def mean(self) -> RiskCurves:
        """What is minimised, (L,)."""
        return self.by_subset.mean(axis=1) if self.law is None else self.law[0]

    @property
    def inflation(self) -> float:
        """Of the variance of a mean over points.

        Held-out errors of dropped points are independent given the fits, those of kept points share them: counting these twice
        covers in simulations (`tests/test_plan.py`).
        """
        return 1.0 + self.rows / self.by_point.shape[1]


@dataclass(frozen=True, eq=False)
class Strategy:
    """One way to train on the kept rows, over the shares.

    Attributes
    ----------
    ridge : (k,) array
        Of the student, absolute.
    teacher_weight, teacher_weight_interval : (k,) and (k, 2) arrays
        With its 95 % interval over points and subsets; zero without distillation; nan where it is not identified.
    risk, risk_interval : (k,) and (k, 2) arrays
        Mean squared held-out error against the labels.
    loss, loss_interval : (k,) and (k, 2) arrays
        Its increase over the risk of all rows without distillation, paired point by point.
    """

    ridge: Array
    teacher_weight: Array
    teacher_weight_interval: Array
    risk: Array
    risk_interval: Array
    loss: Array
    loss_interval: Array


class _Choice(NamedTuple):
    """A ridge and a weight for one share, and the errors that follow: mean, by point, by subset, under the laws."""

    ridge: float
    weight: float
    weight_interval: tuple[float, float]
    risk: float
    points: Array
    subsets: Array
    laws: Array | None
    inflation: float

    def interval(self, base: _Choice | None = None) -> tuple[float, float, float]:
        """Risk with its 95 % interval, or its increase over the risk of a base on all rows."""
        value, points = self.risk, self.points
        ends = np.array([value]) if self.laws is None else self.laws
        if base is not None:
            value, points, ends = (
                value - base.risk,
                points - base.points,
                ends - (base.risk if base.laws is None else base.laws),
            )
        half = NORMAL * np.sqrt(self.inflation * _variance_of_mean(points) + _variance_of_mean(self.subsets))
        return value, float(ends.min() - half), float(ends.max() + half)


def _variance_of_mean(values: Array) -> float:
    """Of independent values; zero for a single one, all rows being one subset."""
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _best(curves: RiskCurves, bounds: tuple[float, float] | None) -> tuple[int, float]:
    """Index of the ridge and the weight of least risk; the weight is zero without bounds, and nan if it is not identified.

    A wrong ridge can be undone by an extreme weight: of ridges that risk the same within 0.5 %, the one is taken whose
    weight is nearest to [0, 1].
    """
    if bounds is None:
        return int(np.argmin(curves.start)), 0.0
    weights = np.asarray(curves.within(*bounds))
    used = np.nan_to_num(weights, nan=0.0)
    risks = np.asarray(curves.at(used))
    beyond = np.where(risks <= risks.min() * (1 + TIE), np.maximum(used - 1, 0) + np.maximum(-used, 0), np.inf)
    best = int(np.lexsort((risks, beyond))[0])
    return best, float(weights[best])


def _choose(m: Measured, bounds: tuple[float, float] | None, folds: NDArray[np.intp]) -> _Choice:
    """Ridge and weight of least mean risk, from all points; the risk of that choice made without the points it is read at."""
    best, w = _best(m.mean, bounds)
    interval = (0.0, 0.0) if bounds is None else (np.nan, np.nan)
    if bounds is not None and np.isfinite(w):
        interval = _weight_interval(m, best, bounds)
    used = float(np.nan_to_num(w, nan=0.0))
    subsets = np.asarray(m.by_subset[best](used))
    points = np.asarray(m.by_point[best](used))
    if m.law is not None:
        laws = np.asarray(m.law[:, best](used))
        return _Choice(float(m.ridges[best]), w, interval, float(laws[0]), points, subsets, laws, m.inflation)
    for fold in np.unique(folds):
        here = folds == fold
        there, weight = _best(m.by_point[:, ~here].mean(axis=1), bounds)
        points[here] = m.by_point[there, here](float(np.nan_to_num(weight, nan=0.0)))
    return _Choice(float(m.ridges[best]), w, interval, float(points.mean()), points, subsets, None, m.inflation)


def _weight_interval(m: Measured, best: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """Around the vertex, the ratio of means linearised; clipped to the bounds as the weight is."""
    curve, w = m.mean[best], float(m.mean[best].vertex)
    variances = [
        _variance_of_mean((each.slope / 2 + w * each.curvature) / float(curve.curvature))
        for each in (m.by_point[best], m.by_subset[best])
    ]
    ends = np.array([w]) if m.law is None else np.asarray(m.law[:, best].vertex)
    half = NORMAL * np.sqrt(m.inflation * variances[0] + variances[1])
    return float(np.clip(ends.min() - half, *bounds)), float(np.clip(ends.max() + half, *bounds))


@dataclass(frozen=True, eq=False)
class Plan:
    """Advice for every kept share.

    Attributes
    ----------
    keep_fractions, counts : (k,) arrays
        Shares, ascending, the last is 1; and the rows they keep.
    without, with_distillation : Strategy
    noise : NoiseEstimate
        Of largest marginal likelihood, whatever the method.
    teacher_ridge : float
        Absolute.
    ridge_convention, method, bounds, tolerance, subsets
        As given.
    """

    keep_fractions: Array
    counts: Any
    without: Strategy
    with_distillation: Strategy
    noise: NoiseEstimate
    teacher_ridge: float
    ridge_convention: str
    method: str
    bounds: tuple[float, float]
    tolerance: float
    subsets: int

    @classmethod
    def of(cls, measured: list[Measured], keep_fractions: Array, **settings: Any) -> Plan:
        """From the curves of every share; the last one is that of all rows."""
        counts = np.array([m.rows for m in measured])
        n = int(counts[-1])
        folds = np.random.default_rng(0).permutation(n) % FOLDS
        bare = [_choose(m, None, folds) for m in measured]
        distilled = [_choose(m, settings["bounds"], folds) for m in measured]
        return cls(keep_fractions, counts, _strategy(bare, bare[-1]), _strategy(distilled, bare[-1]), **settings)

    def droppable(self, *, distilled: bool = True, surely: bool = False) -> float:
        """Largest share that could be dropped at a loss within the tolerance, among the shares asked for.

        Parameters
        ----------
        distilled : bool
            With distillation at the optimal weight, or without any.
        surely : bool
            Whether the whole 95 % interval of the loss must be within the tolerance, not its estimate only.
        """
        strategy = self.with_distillation if distilled else self.without
        loss = strategy.loss_interval[:, 1] if surely else strategy.loss
        costly = np.flatnonzero(loss[:-1] > self.tolerance * self.without.risk[-1])  # keeping all rows drops nothing
        return 1.0 - float(self.keep_fractions[costly[-1] + 1 if len(costly) else 0])

    def __str__(self) -> str:
        ridge = {
            "tuned": "the student's ridge tuned for every share",
            "absolute": "the same ridge for every share",
            "per_example": "the student's ridge in proportion to its rows",
        }[self.ridge_convention]
        how = "leave-one-out" if self.method == "loo" else "expected leave-one-out under the likeliest law"
        lines = [
            f"{self.counts[-1]} rows, teacher ridge {self.teacher_ridge:.3g} (absolute: K + ridge I), {ridge}; {how}, "
            f"{self.subsets} random subsets",
            f"noise variance {self.noise.noise_variance:.3g} (marginal likelihood, 95 %: {self.noise.low[1]:.3g} to "
            f"{self.noise.high[1]:.3g}); risk is against labels, noise included",
            "",
            "              without distillation        with distillation",
            "  kept   rows    ridge    risk    loss       ridge  teacher weight [95 %]       risk    loss [95 %]",
        ]
        base = float(self.without.risk[-1])
        for i, (share, rows) in enumerate(zip(self.keep_fractions, self.counts, strict=True)):
            a, b = self.without, self.with_distillation
            low, high = b.teacher_weight_interval[i]
            weight = f"{b.teacher_weight[i]:6.2f} [{low:.2f}, {high:.2f}]" if np.isfinite(low) else "  not identified"
            lost = 100 * np.array([b.loss[i], *b.loss_interval[i]]) / base
            lines.append(
                f"{share:6.3g} {rows:6d} {a.ridge[i]:8.2g} {a.risk[i]:7.4g} {100 * a.loss[i] / base:+6.1f}%    "
                f"{b.ridge[i]:8.2g} {weight:25s} {b.risk[i]:7.4g} {lost[0]:+6.1f}% [{lost[1]:+.1f}, {lost[2]:+.1f}]"
            )
        share = [[100 * self.droppable(distilled=d, surely=s) for s in (False, True)] for d in (False, True)]
        lines += [
            "",
            f"At a loss of at most {100 * self.tolerance:.3g} % of the risk on all rows, {share[0][0]:.0f} % could be dropped "
            f"without distillation and {share[1][0]:.0f} % with it",
            f"(by the upper ends of the 95 % intervals: {share[0][1]:.0f} % and {share[1][1]:.0f} %).",
        ]
        return "\n".join(lines)

    def figure(self) -> Any:
        """Risk and optimal weight over the kept share, as a Matplotlib figure.

        Raises
        ------
        ImportError
            If Matplotlib is missing.
        """
        try:
            from matplotlib.figure import Figure  # noqa: PLC0415
        except ImportError as error:
            raise ImportError("`figure` needs Matplotlib: pip install 'kdtheory[figures]'.") from error
        figure = Figure(figsize=(7.0, 2.9), layout="constrained")
        risk, weight = figure.subplots(1, 2)
        kept = 100 * self.keep_fractions
        both = ((self.without, "#222222", "o", "without"), (self.with_distillation, "#0072B2", "s", "with"))
        for strategy, color, marker, label in both:
            gap = np.abs(strategy.risk_interval.T - strategy.risk)
            risk.errorbar(
                kept, strategy.risk, gap, marker=marker, ms=4, color=color, mfc="white", label=f"{label} distillation"
            )
        base = float(self.without.risk[-1])
        risk.axhspan(base, base * (1 + self.tolerance), color="#009E73", alpha=0.3, lw=0)
        risk.axhline(base, color="#009E73", lw=0.8, label="all rows, no distillation")
        risk.set(xlabel="kept share of the rows (%)", ylabel="held-out squared error", xscale="log")
        risk.legend(frameon=False, fontsize=7)
        chosen = self.with_distillation
        gap = np.abs(chosen.teacher_weight_interval.T - chosen.teacher_weight)
        weight.errorbar(kept, chosen.teacher_weight, gap, marker="s", ms=4, color="#0072B2", mfc="white")
        weight.axhline(0.0, color="#999999", lw=0.6)
        weight.set(xlabel="kept share of the rows (%)", ylabel="optimal teacher weight", xscale="log")
        return figure


def _strategy(choices: list[_Choice], base: _Choice) -> Strategy:
    risks = np.array([choice.interval() for choice in choices])
    losses = np.array([choice.interval(base) for choice in choices])
    return Strategy(
        ridge=np.array([choice.ridge for choice in choices]),
        teacher_weight=np.array([choice.weight for choice in choices]),
        teacher_weight_interval=np.array([choice.weight_interval for choice in choices]),
        risk=risks[:, 0],
        risk_interval=risks[:, 1:],
        loss=losses[:, 0],
        loss_interval=losses[:, 1:],
    )
