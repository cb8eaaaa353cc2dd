"""From held-out errors to a choice: the ridge and the weight for a kept share, what they risk, and how well that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from kdtheory.checks import Array
from kdtheory.risk_curves import RiskCurves

__all__ = ["FOLDS", "PARTITIONS", "Choice", "Measured", "Strategy", "choose"]

NORMAL = float(ndtri(0.975))
TIE = 0.005
WIDEST = 2.0  # half of an interval of the weight
FOLDS, PARTITIONS = 5, 5  # of the points: ridge and weight are chosen without the fold whose errors are counted


class Measured(NamedTuple):
    """Leave-one-out risk curves of one share, for every ridge tried.

    `by_point` (L, n) averages over subsets, `by_subset` (L, S) over points; `square` is the labels' variance. Under the
    likelihood method `law` (3, L) is their expectation under the likeliest law and under those at the ends of its interval.
    """

    rows: int
    ridges: Array
    by_point: RiskCurves
    by_subset: RiskCurves
    square: float
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


class Choice(NamedTuple):
    """A ridge and a weight for one share, and the errors that follow: mean, by point, by subset, under the laws."""

    ridge: float
    weight: float
    weight_interval: tuple[float, float]
    risk: float
    points: Array
    subsets: Array
    laws: Array | None
    inflation: float
    edge: str

    def interval(self, base: Choice | None = None) -> tuple[float, float, float]:
        """Risk with its 95 % interval, or its increase over the risk of a base on all rows."""
        value, points = self.risk, self.points
        ends = np.array([value]) if self.laws is None else self.laws
        if base is not None:
            value, points = value - base.risk, points - base.points
            ends = ends - (base.risk if base.laws is None else base.laws)
        half = NORMAL * np.sqrt(self.inflation * _variance_of_mean(points) + _variance_of_mean(self.subsets))
        lowest = 0.0 if base is None else -np.inf
        return value, float(max(ends.min() - half, lowest)), float(ends.max() + half)


def _variance_of_mean(values: Array) -> float:
    """Of independent values; zero for a single one, all rows being one subset."""
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _best(curves: RiskCurves, bounds: tuple[float, float] | None, square: float) -> tuple[int, float]:
    """Index of the ridge and the weight of least risk; the weight is zero without bounds, nan if the teacher moves too little.

    A wrong ridge can be undone by an extreme weight: of ridges that risk the same within 0.5 %, the one is taken whose
    weight is nearest to [0, 1].
    """
    if bounds is None:
        return int(np.argmin(curves.start)), 0.0
    weights = np.where(curves.identified_at(square), np.clip(curves.vertex, *bounds), np.nan)
    used = np.nan_to_num(weights, nan=0.0)
    risks = np.asarray(curves.at(used))
    beyond = np.where(risks <= risks.min() * (1 + TIE), np.maximum(used - 1, 0) + np.maximum(-used, 0), np.inf)
    best = int(np.lexsort((risks, beyond))[0])
    return best, float(weights[best])


def choose(m: Measured, bounds: tuple[float, float] | None, partitions: NDArray[np.intp]) -> Choice:
    """Ridge and weight of least mean risk, from all points, and the risk of that choice made without the points it is read at.

    Parameters
    ----------
    m : Measured
    bounds : (lowest, highest) or None
        Of the weight; without, it is zero.
    partitions : (r, n) array
        The fold of each point; errors are averaged over partitions.
    """
    best, w = _best(m.mean, bounds, m.square)
    used = float(np.nan_to_num(w, nan=0.0))
    points, by_fold = np.zeros(m.by_point.shape[1]), []
    for folds in partitions:
        for fold in range(FOLDS):
            here = folds == fold
            there, other = _best(m.by_point[:, ~here].mean(axis=1), bounds, m.square)
            points[here] += np.asarray(m.by_point[there, here](float(np.nan_to_num(other, nan=0.0)))) / len(partitions)
            by_fold.append(other)
    laws = None if m.law is None else np.asarray(m.law[:, best](used))
    risk = float(points.mean() if laws is None else laws[0])
    interval = (0.0, 0.0)
    if bounds is not None:
        w, interval = _weight_interval(m, best, w, np.reshape(by_fold, (-1, FOLDS)), bounds)
    edge = "" if len(m.ridges) == 1 else {0: "<", len(m.ridges) - 1: ">"}.get(best, "")
    subsets = np.asarray(m.by_subset[best](used))
    return Choice(float(m.ridges[best]), w, interval, risk, points, subsets, laws, m.inflation, edge)


def _weight_interval(
    m: Measured, best: int, w: float, by_fold: Array, bounds: tuple[float, float]
) -> tuple[float, tuple[float, float]]:
    """The weight and its 95 % interval; nan where that is wider, to a side, than 2 and than half of the weight.

    Its variance over points is that of a ratio of means, linearised, or of the delete-a-fold jackknife, which also sees the
    choice of the ridge; the larger of the two.
    """
    nothing = float("nan"), (float("nan"), float("nan"))
    if not np.isfinite(w):
        return nothing
    curve, vertex = m.mean[best], float(m.mean[best].vertex)
    over_points, over_subsets = (
        _variance_of_mean((each.slope / 2 + vertex * each.curvature) / float(curve.curvature))
        for each in (m.by_point[best], m.by_subset[best])
    )
    jackknife = (FOLDS - 1) * float(np.nan_to_num(by_fold).var(axis=1).mean())
    ends = np.array([vertex]) if m.law is None else np.asarray(m.law[:, best].vertex)
    half = NORMAL * np.sqrt(max(m.inflation * over_points, jackknife) + over_subsets)
    low, high = float(ends.min() - half), float(ends.max() + half)
    if (high - low) / 2 > max(WIDEST, abs(vertex) / 2):
        return nothing
    return w, (float(np.clip(low, *bounds)), float(np.clip(high, *bounds)))


@dataclass(frozen=True, eq=False)
class Strategy:
    """One way to train on the kept rows, over the shares.

    Attributes
    ----------
    ridge : (k,) array
        Of the student, absolute.
    teacher_weight, teacher_weight_interval : (k,) and (k, 2) arrays
        Optimal weight at that ridge, and its 95 % interval over points and subsets; zero without distillation; nan where it
        is not identified: the teacher moves too little, or the interval is wider, to a side, than 2 and than half of the
        weight.
    helps : (k,) array of bool
        Whether the weight lowers the held-out risk. Where it does not, risk and loss are those without distillation.
    risk, risk_interval : (k,) and (k, 2) arrays
        Mean squared held-out error against the labels.
    loss, loss_interval : (k,) and (k, 2) arrays
        Its increase over the risk of all rows without distillation, paired point by point.
    edge : list of str
        "<" or ">" where the ridge is the first or last that was tried.
    """

    ridge: Array
    teacher_weight: Array
    teacher_weight_interval: Array
    helps: NDArray[np.bool_]
    risk: Array
    risk_interval: Array
    loss: Array
    loss_interval: Array
    edge: list[str]

    @classmethod
    def of(cls, choices: list[Choice], instead: list[Choice], base: Choice) -> Strategy:
        """From the choice for each share, what to do instead where it does not pay, and the base on all rows."""
        helps = np.array([a.risk < b.risk and np.isfinite(a.weight) for a, b in zip(choices, instead, strict=True)])
        taken = [a if good else b for a, b, good in zip(choices, instead, helps, strict=True)]
        risks, losses = (np.array([choice.interval(other) for choice in taken]) for other in (None, base))
        return cls(
            ridge=np.array([choice.ridge for choice in choices]),
            teacher_weight=np.array([choice.weight for choice in choices]),
            teacher_weight_interval=np.array([choice.weight_interval for choice in choices]),
            helps=helps,
            risk=risks[:, 0],
            risk_interval=risks[:, 1:],
            loss=losses[:, 0],
            loss_interval=losses[:, 1:],
            edge=[choice.edge for choice in choices],
        )
