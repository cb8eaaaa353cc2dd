"""The plan's 95 % intervals against refits on other subsets: pooled, 93 to 98 % are covered where rows are dropped.

Varied: the data set (eight), the kept share, and the student's ridge: "tuned" together with the weight for every share, or
"per example", the teacher's in proportion to the rows.
Tuned: by ``kdtheory.pruning.plan``, on the training rows alone (leave-one-out, 10 random subsets of each share, unbounded
weights): the teacher's ridge, the student's, and the weight. No test row has a part in any choice.
Seeds: 50 random splits of each set; refits to 40 other random subsets of the training rows. Intervals of a coverage: 95 %
Wilson; those of single values are the plan's own and that of the refits over test rows and subsets.
Sizes: 400 rows to plan on (half of a smaller set), at most 2,000 others to test.

Inputs and target are standardised by the training rows; RBF kernel, gamma = 1/features (digits: pixels in [0, 1], gamma
0.25, ten centred outputs, 20 % of all labels flipped). Loss: as advised, with the weight or on labels alone where the plan
sees no gain in it, over all rows on labels alone, in per cent of the planned risk of these. Above: planned over refitted
values with both 95 % intervals, five splits of each set; axes linear near zero, logarithmic beyond; weights only where plan
identifies one. Below: share of the splits in which the refitted value lies within the interval of the difference; "all"
pools the sets; intervals that reach below 45 % are cut. The refitted value has an error of its own, over test rows and
subsets, so that the half widths of both intervals are added in squares; under random splits, where training and test rows
share no row, that is the error of their difference.

Pooled, the intervals of the weight hold what they promise within three points at every share, and those of the loss cover 93
or 94 % below all rows: they do not know that the teacher's ridge was chosen by the same leave-one-out errors, which makes
the risk of all rows look smaller than it is, and with the ridge per example the loss larger, at half of the rows in all
eight sets (on diabetes this bias is gone once the ridge is given). At all rows distillation rarely pays and is then not
advised; where the ridge is tuned and it is, the loss is covered in 88 % of the splits.

All settings are chosen here. Four splits of diabetes are computed when the figure is drawn, the rest comes from
data/plan_check.csv, which this writes, with KDTHEORY_DATA set, in about a quarter of an hour on one core: ``python -m
paper_figs.plan_check --record FILE``
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import binomtest, sem

import kdtheory as kd
from kdtheory.plan import plan
from kdtheory.problem import digits
from kdtheory.pruned_students import Teacher
from kdtheory.pruning import Plan, students
from kdtheory.risk_curves import RiskCurves
from paper_figs.digits import flipped
from paper_figs.regression_data import load, record, recorded
from paper_figs.style import INK, PAGE, Table, round_colors, stack, where

Array = NDArray[np.float64]

RECORD = "plan_check.csv"
SETS = ("diabetes", "digits", "airfoil", "california_housing", "concrete", "energy_efficiency", "kin8nm", "wine_quality_red")
CONVENTIONS = ("tuned", "per_example")
SHARES = (0.1, 0.2, 0.5, 1.0)
TRAIN, TEST = 400, 2000  # at most
SPLITS, SUBSETS, REFITS = 50, 10, 40
EXACT = 1e-9  # no interval: all rows without distillation, compared with themselves
LIVE, SHOWN = 4, 5  # splits: computed now, of diabetes; drawn one by one
FLIPPED = 0.2  # of the labels of digits, to train and to test
TITLES = {"weight": "teacher weight", "loss": "loss (%)"}
AXES = {"weight": (3.0, [-100, -10, 0, 1, 2, 10]), "loss": (10.0, [-10, 0, 10, 100, 1000])}  # linear up to, ticks


def measure(name: str, splits: int = SPLITS) -> Iterator[dict[str, Any]]:
    """Planned and refitted weight and loss of every split, convention and share, each with half of its 95 % interval."""
    for split in range(splits):
        train, test, labels, labels_test = _split(name, split)
        gamma = 0.25 if name == "digits" else None
        K, cross = kd.kernels.rbf(train, gamma=gamma), kd.kernels.rbf(test, train, gamma=gamma)
        for convention in CONVENTIONS:
            advice = plan(K, labels, keep_fractions=SHARES, ridge_convention=convention, subsets=SUBSETS, seed=split)
            for row in refitted(advice, K, cross, labels, labels_test, seed=[split, 1]):
                yield {"data": name, "convention": convention, "split": split} | row


def refitted(
    advice: Plan, K: Array, cross: Array, labels: Array, labels_test: Array, seed: Any, refits: int = REFITS
) -> Iterator[dict[str, Any]]:
    """Advice beside teacher and students fitted to other subsets at the advised ridges, on test points."""
    n, base = len(K), float(advice.without.risk[-1])
    echo = Teacher.ridge(K, ridge=advice.teacher_ridge, ridge_convention="absolute")
    teacher = Teacher.fixed(echo.predict(labels))
    how: dict[str, Any] = {"teacher": teacher, "cross": cross, "ridge_convention": "absolute"}
    everything = students(K, labels, kept=np.arange(n), ridge=float(advice.without.ridge[-1]), **how).on_labels
    bare = ((labels_test - everything) ** 2).mean(axis=1)  # of all rows, by test point
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(n) for _ in range(refits)])
    chosen = advice.with_distillation

    def curves(count: int, ridge: float) -> RiskCurves:
        """Of every refit and test point."""
        each = []
        for order in orders if count < n else orders[:1]:
            pair = students(K, labels, kept=order[:count], ridge=ridge, **how)
            gap, change = labels_test - pair.on_labels, pair.on_teacher - pair.on_labels
            parts = (gap**2, -2 * gap * change, change**2, pair.on_labels**2)
            each.append(RiskCurves(*(part.mean(axis=1) for part in parts)))
        return RiskCurves.gather(each)

    for i, count in enumerate(advice.counts.tolist()):
        every = curves(count, float(chosen.ridge[i]))
        whole = every.reshape(-1).mean()
        w, planned = float(whole.vertex), float(chosen.teacher_weight[i])
        influence = (every.slope / 2 + w * every.curvature) / whole.curvature
        advised = every if chosen.helps[i] else curves(count, float(advice.advised_ridge[i]))
        losses = advised(float(advice.advised_weight[i])) - bare
        yield {
            "keep_fraction": float(advice.keep_fractions[i]),
            "weight": planned,
            "weight_half": float(np.ptp(chosen.teacher_weight_interval[i])) / 2,
            "weight_refitted": w,
            "weight_refitted_half": _half(influence),
            "loss": 100 * float(chosen.loss[i]) / base,
            "loss_half": 50 * float(np.ptp(chosen.loss_interval[i])) / base,
            "loss_refitted": 100 * float(losses.mean()) / base,
            "loss_refitted_half": 100 * _half(losses) / base,
        }


def _half(values: Array) -> float:
    """Half of the 95 % interval of a mean over (subsets, test points): both are random, the subsets few."""
    errors = [sem(values.mean(axis=1 - axis)) if values.shape[axis] > 1 else 0.0 for axis in (0, 1)]
    quantiles = stdtrit(np.maximum(np.array(values.shape) - 1, 1), 0.975)
    return float(np.hypot(*(quantiles * errors)))


def _split(name: str, seed: int) -> tuple[Array, Array, Array, Array]:
    rng = np.random.default_rng(seed)
    if name == "digits":
        X, y = digits()
        X, y = X / 16.0, flipped(y, FLIPPED, rng)
    else:
        data = load(name)
        X, y = data.X, data.y[:, None]
    order = rng.permutation(len(X))
    n = min(TRAIN, len(X) // 2)
    train, test = order[:n], order[n : n + TEST]
    if name != "digits":
        spread = X[train].std(axis=0)
        X = (X - X[train].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        y = y / y[train].std()
    y = y - y[train].mean(axis=0)
    return X[train], X[test], y[train], y[test]


def compute() -> Table:
    """The recorded advice and refits, those of the first splits of diabetes computed now."""
    earlier = recorded(RECORD)
    earlier["computed"] = np.full(len(earlier["data"]), "recorded")
    live = (earlier["data"] == "diabetes") & (earlier["split"] < LIVE)
    fresh = stack([row | {"computed": "now"} for row in measure("diabetes", LIVE)])
    return stack([fresh, {name: column[~live] for name, column in earlier.items()}])


def errors(table: Table, quantity: str) -> tuple[Array, Array]:
    """Planned less refitted, and half of the 95 % interval that such a difference has; nan where no weight is identified."""
    gap = table[quantity] - table[f"{quantity}_refitted"]
    return gap, np.hypot(table[f"{quantity}_half"], table[f"{quantity}_refitted_half"])


def coverage(table: Table, quantity: str) -> tuple[float, float, float, int]:
    """Share of differences within their intervals, its 95 % Wilson interval, and how many there are."""
    gap, half = errors(table, quantity)
    known = np.isfinite(gap) & (half > EXACT)
    inside, count = int((np.abs(gap) <= half)[known].sum()), int(known.sum())
    if not count:
        return np.nan, np.nan, np.nan, 0
    interval = binomtest(inside, count).proportion_ci(method="wilson")
    return inside / count, interval.low, interval.high, count


def draw(table: Table) -> Figure:
    """Above planned over refitted values, below the coverage of every data set and share; a column per convention."""
    panels = [(quantity, convention) for quantity in TITLES for convention in CONVENTIONS]
    figure, axes = plt.subplots(2, len(panels), figsize=(PAGE, 5.6), gridspec_kw={"height_ratios": [1.0, 1.9]})
    for column, (quantity, convention) in zip(axes.T, panels, strict=True):
        rows = where(table, convention=convention)
        _scatter(column[0], {name: each[rows["split"] < SHOWN] for name, each in rows.items()}, quantity)
        column[0].set_title(f"{TITLES[quantity]},\nridge {convention.replace('_', ' ')}")
        _covered(column[1], rows, quantity)
        column[1].sharey(axes[1, 0])
    axes[0, 0].set_ylabel("as planned")
    for axis in axes[1, 1:]:
        axis.tick_params(labelleft=False)
    axes[1, 0].set_yticks(range(len(SETS) + 1), [*(name.replace("_", "\n").replace("red", "(red)") for name in SETS), "all"])
    axes[1, 0].set(ylim=(len(SETS) + 0.5, -0.5), ylabel="data set")
    shown = [
        Line2D([], [], color=color, marker=marker, ms=3.5, lw=0.8, label=f"{100 * share:.0f} % kept")
        for share, (color, marker) in _looks().items()
    ]
    figure.legend(handles=shown, loc="outside lower center", ncols=len(shown))
    return figure


def _looks() -> dict[float, Any]:
    """Colour and marker of each share."""
    return dict(zip(SHARES, zip(round_colors(len(SHARES)), "os^D", strict=True), strict=True))


def _scatter(axis: Axes, rows: Table, quantity: str) -> None:
    for share, (color, marker) in _looks().items():
        part = where(rows, keep_fraction=share)
        x, y = part[f"{quantity}_refitted"], part[quantity]
        bars: dict[str, Any] = {"xerr": part[f"{quantity}_refitted_half"], "yerr": part[f"{quantity}_half"]}
        axis.errorbar(x, y, **bars, ls="none", marker=marker, ms=2.2, mew=0, color=color, elinewidth=0.35, alpha=0.7)
    linear, ticks = AXES[quantity]
    both = np.concatenate([rows[quantity], rows[f"{quantity}_refitted"]])[np.isfinite(np.tile(rows[quantity], 2))]
    limits = tuple(1.3 * end + step for end, step in ((both.min(), -0.5), (both.max(), 0.5)))
    axis.plot(limits, limits, color=INK, lw=0.5, zorder=0)
    for which in ("x", "y"):
        getattr(axis, f"set_{which}scale")("symlog", linthresh=linear)
        getattr(axis, f"{which}axis").set(major_locator=FixedLocator(ticks), minor_locator=NullLocator())
        getattr(axis, f"{which}axis").set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set(xlim=limits, ylim=limits, xlabel="refitted", aspect="equal")


def _covered(axis: Axes, rows: Table, quantity: str) -> None:
    axis.axvline(95, color=INK, lw=0.6)
    axis.axhline(len(SETS) - 0.5, color=INK, lw=0.3)
    for i, (share, (color, marker)) in enumerate(_looks().items()):
        part = where(rows, keep_fraction=share)
        for place, chosen in enumerate([*(where(part, data=name) for name in SETS), part]):
            share_of, low, high, _ = coverage(chosen, quantity)
            y = place + 0.17 * (i - (len(SHARES) - 1) / 2)
            axis.plot([100 * low, 100 * high], [y, y], color=color, lw=0.8)
            axis.plot(100 * share_of, y, marker, ms=3.5, color=color)
    axis.set(xlim=(45, 102), xticks=[50, 60, 70, 80, 95], xlabel="within the 95 %\nintervals (%)")


if __name__ == "__main__":
    record(lambda: stack([row for name in SETS for row in measure(name)]), [name for name in SETS if name != "digits"])
