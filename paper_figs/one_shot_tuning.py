"""One fit tunes the weight: leave-one-out finds what a validation split finds, without the split; both mend the ridge grid.

Varied: twelve real regression sets, the kernel (RBF with gamma = 1/features, linear), ridges per decade (1 or 4, from 1e-6
to 1e6), and seven ways to choose ridge and weight.
Tuned: ridge and weights; "by validation" on the validation points, "by leave-one-out" and "by plain GCV" on the training
points alone, where their own estimate is least ("at GCV's ridge": the ridge where the estimate without distillation is
least, then the weight there). Every method trains on the same points; no choice sees a test point.
Seeds: 10 random splits; mean and 95 % t-interval of the paired difference to ridge regression tuned by validation, in per
cent of its mean test error. Splits of one data set overlap, so the interval speaks about this data set.
Sizes: half of the rows to train, at most 1,000 (beside each name); a quarter to validate, at most 500; the rest to test, at
most 4,000. Inputs and target are standardised by the training points.

On one ridge per decade the weight gains what the grid had missed (RBF: kin8nm, communities), by leave-one-out as by
validation. On four per decade one round gains nothing that the interval can see, as the sign rule says; three rounds by
validation gain on two sets of twelve and lose on others. Plain GCV fails with the RBF kernel on three sets, whether or not
it chooses the weight: one minus the leverage differs by decades between points that nearly repeat others and those that
stand alone, GCV takes its mean for all, and the ridge that it chooses interpolates. Axes are linear within 1 %, logarithmic
beyond.

All settings are chosen here; no paper states them. With KDTHEORY_DATA set all twelve are computed, in some minutes. Sets
that are not at hand come from data/one_shot_tuning.csv, which this writes: ``python -m paper_figs.one_shot_tuning --record
FILE``
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

import kdtheory as kd
from paper_figs.regression_data import FILES, available, load, record, recorded
from paper_figs.style import INK, OKABE_ITO, PAGE, Table, half_width, stack, where

Array = NDArray[np.float64]

RECORD = "one_shot_tuning.csv"
KERNELS: dict[str, Callable[..., Array]] = {"rbf": kd.kernels.rbf, "linear": kd.kernels.linear}
TRAIN, VALIDATION, TEST = 1000, 500, 4000  # at most
RIDGES = np.logspace(-6, 6, 49)
GRIDS = {1: RIDGES[::4], 4: RIDGES}  # ridges per decade
SEEDS = 10
ROUNDS = 3
REFERENCE = "ridge by validation"
METHODS = (
    REFERENCE,
    "1 round by validation",
    f"{ROUNDS} rounds by validation",
    "ridge by leave-one-out",
    "1 round by leave-one-out",
    "1 round by plain GCV",
    "1 round by plain GCV at GCV's ridge",
)
SHORT = dict(zip(METHODS, "ABCDEFG", strict=True))


@dataclass(frozen=True, eq=False)
class Split:
    """One random split under one kernel."""

    spectrum: kd.Spectrum
    cross_validation: Array
    cross_test: Array
    labels: Array
    labels_validation: Array
    labels_test: Array

    @classmethod
    def draw(cls, X: Array, y: Array, kernel: str, seed: int) -> Split:
        """Shuffle with this seed and standardise by the training points."""
        n, m = min(TRAIN, len(y) // 2), min(VALIDATION, len(y) // 4)
        order = np.random.default_rng(seed).permutation(len(y))[: n + m + TEST]
        train = order[:n]
        spread = X[train].std(axis=0)
        points = (X[order] - X[train].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        labels = (y[order] - y[train].mean()) / y[train].std()
        Z, Z_validation, Z_test = np.split(points, [n, n + m])
        of = KERNELS[kernel]
        spectrum = _linear(Z) if kernel == "linear" else kd.Spectrum.from_gram(of(Z))
        return cls(spectrum, of(Z_validation, Z), of(Z_test, Z), *np.split(labels, [n, n + m]))


def _linear(Z: Array) -> kd.Spectrum:
    """Spectrum of the linear kernel without the rounding that equal columns leave: weights of 1e8 would amplify it."""
    whole = kd.Spectrum.from_features(Z)
    real = whole.eigenvalues > np.finfo(float).eps * len(Z) * whole.eigenvalues[0]
    return kd.Spectrum(whole.eigenvalues[real], whole.eigenvectors[:, real])


@dataclass(frozen=True)
class Candidate:
    """A model and the score by which its method would choose it; the weight is nan where there are several."""

    method: str
    score: float
    ridge: float
    teacher_weight: float
    filter: kd.Filter


def candidates(spectrum: kd.Spectrum, labels: Array, cross: Array, held_out: Array) -> Iterator[Candidate]:
    """Every method's model at every ridge, from training and validation points; there is no test point to look at."""
    for ridge in RIDGES.tolist():
        how: dict[str, Any] = {"ridge": ridge, "teacher_weights": [1.0]}
        on_labels, on_teacher = kd.rounds(spectrum, labels, cross=cross, **how)
        measured = kd.RiskCurve.from_predictions(on_labels, on_teacher, held_out)
        by_loo, by_gcv = (
            kd.weights.one_shot_curve(spectrum, labels, ridge=ridge, method=method) for method in ("leave-one-out", "gcv")
        )
        best = kd.weights.optimal_polynomial_on_validation(spectrum, labels, cross, held_out, ridge=ridge, rounds=ROUNDS)
        error = float(np.mean((spectrum.predict(best, labels, cross) - held_out) ** 2))
        for method, score, weight in (
            (METHODS[0], measured(0.0), 0.0),
            (METHODS[1], measured.minimum, measured.optimal_weight),
            (METHODS[3], by_loo(0.0), 0.0),
            (METHODS[4], by_loo.minimum, by_loo.optimal_weight),
            (METHODS[5], by_gcv.minimum, by_gcv.optimal_weight),
            (METHODS[6], by_gcv(0.0), by_gcv.optimal_weight),
        ):
            yield Candidate(method, float(score), ridge, weight, kd.Distilled(ridge, [weight]))
        yield Candidate(METHODS[2], error, ridge, float("nan"), best)


def chosen(split: Split) -> Iterator[tuple[int, Candidate]]:
    """The candidate with the least score, per grid and method."""
    every = list(candidates(split.spectrum, split.labels, split.cross_validation, split.labels_validation))
    for grid, ridges in GRIDS.items():
        for method in METHODS:
            yield grid, min((c for c in every if c.method == method and c.ridge in ridges), key=lambda c: c.score)


def measure(name: str) -> Iterator[dict[str, Any]]:
    """Rows of one data set: per kernel, split, grid and method what was chosen, and its test error."""
    data = load(name)
    for kernel in KERNELS:
        for seed in range(SEEDS):
            split = Split.draw(data.X, data.y, kernel, seed)
            for grid, best in chosen(split):
                prediction = split.spectrum.predict(best.filter, split.labels, split.cross_test)
                yield {
                    "data": name,
                    "kernel": kernel,
                    "ridges_per_decade": grid,
                    "seed": seed,
                    "method": best.method,
                    "ridge": best.ridge,
                    "teacher_weight": best.teacher_weight,
                    "test_error": np.mean((prediction - split.labels_test) ** 2),
                    "n_train": len(split.labels),
                    "n_validation": len(split.labels_validation),
                    "n_test": len(split.labels_test),
                }


def compute() -> Table:
    """Rows of all data sets: those at hand measured now, the others as recorded."""
    here = available()
    fresh = stack([row for name in here for row in measure(name)])
    fresh["computed"] = np.full(len(fresh["data"]), "now")
    earlier = recorded(RECORD)
    missing = ~np.isin(earlier["data"], here)
    kept = {name: column[missing] for name, column in earlier.items()} | {"computed": np.full(missing.sum(), "recorded")}
    return stack([fresh, kept]) if missing.any() else fresh


def summary(table: Table, **conditions: Any) -> tuple[float, float, float]:
    """Mean test error of one method, and its paired difference to the reference in per cent: mean, half width of interval."""
    method = conditions.pop("method")
    rows = where(table, **conditions)
    own, reference = (where(rows, method=name)["test_error"] for name in (method, REFERENCE))
    relative = 100.0 * (own - reference) / reference.mean()
    half = half_width(relative)
    return float(own.mean()), float(relative.mean()), float(half)


def draw(table: Table) -> Figure:
    """Differences per kernel (columns) and grid (rows), above the table of mean test errors on the finer grid."""
    names = [name for name in ("diabetes", *FILES) if name in table["data"]]
    figure = plt.figure(figsize=(PAGE, 9.2))
    space = figure.add_gridspec(len(GRIDS) + 1, len(KERNELS), height_ratios=[1.0] * len(GRIDS) + [0.85])
    for i, grid in enumerate(GRIDS):
        for j, kernel in enumerate(KERNELS):
            axis = figure.add_subplot(space[i, j])
            _differences(axis, where(table, ridges_per_decade=grid, kernel=kernel), names)
            axis.set_title(f"{_kernel(kernel)} kernel, {grid} ridge{'s' if grid > 1 else ''} per decade")
            axis.set_yticks(range(len(names)), _labels(table, names))
            axis.tick_params(labelleft=j == 0)
            axis.set_ylabel("data set, training points" if j == 0 else "")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    _errors(figure.add_subplot(space[-1, :]), where(table, ridges_per_decade=list(GRIDS)[-1]), names)
    mark = "; †: recorded" if "recorded" in table["computed"] else ""
    figure.suptitle(
        f"Test error against A, ridge regression tuned by validation: {SEEDS} random splits each{mark}",
        fontsize=8.5,
    )
    return figure


def _kernel(kernel: str) -> str:
    return "RBF" if kernel == "rbf" else kernel


def _labels(table: Table, names: list[str]) -> list[str]:
    """Name and number of training points; a dagger where the result was recorded."""
    blocks = [(name, where(table, data=name)) for name in names]
    return [
        f"{name}{'†' if rows['computed'][0] == 'recorded' else ''}, {rows['n_train'][0]:,}".replace("_", " ")
        for name, rows in blocks
    ]


def _differences(axis: Axes, rows: Table, names: list[str]) -> None:
    """Paired differences of every method but the reference, one line per data set."""
    axis.axvline(0.0, color=INK, lw=0.6)
    for k, method in enumerate(METHODS[1:]):
        means, halves = zip(*(summary(rows, data=name, method=method)[1:] for name in names), strict=True)
        places = np.arange(len(names)) + (k - 2.5) * 0.13
        style: dict[str, Any] = {"color": OKABE_ITO[k], "marker": "os^Dvx"[k], "ms": 2.8, "lw": 0.7}
        axis.errorbar(means, places, xerr=halves, ls="none", label=f"{SHORT[method]}  {method}", **style)
    axis.set(xscale="symlog", xlabel="difference in test error to A (%)", ylim=(len(names) - 0.5, -0.5))
    axis.set_xscale("symlog", linthresh=1.0, linscale=0.7)
    axis.xaxis.set_major_locator(FixedLocator([-100, -10, -1, 0, 1, 10, 100, 1000, 10000]))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    for line in np.arange(len(names) - 1) + 0.5:
        axis.axhline(line, color=INK, lw=0.2, alpha=0.4)


def _errors(axis: Axes, rows: Table, names: list[str]) -> None:
    """Mean test errors; blue where the interval of the difference to A lies below zero, orange where above."""
    axis.axis("off")
    cells, colors = [], []
    for name in names:
        line = [summary(rows, data=name, kernel=kernel, method=method) for kernel in KERNELS for method in METHODS]
        cells.append([f"{mean:#.3g}".lstrip("0") for mean, _, _ in line])
        colors.append([_shade(difference, half) for _, difference, half in line])
    for k, kernel in enumerate(KERNELS):
        axis.text(
            0.34 + 0.44 * k, 1.0, f"{_kernel(kernel)} kernel", transform=axis.transAxes, ha="center", va="bottom", fontsize=7
        )
    sheet = axis.table(
        cells,
        cellColours=colors,
        rowLabels=_labels(rows, names),
        colLabels=[SHORT[method] for method in METHODS] * len(KERNELS),
        cellLoc="center",
        bbox=Bbox.from_bounds(0.12, 0.0, 0.88, 1.0),
    )
    sheet.auto_set_font_size(False)
    sheet.set_fontsize(6.5)
    for cell in sheet.get_celld().values():
        cell.set_linewidth(0.3)
    count, key = rows["ridges_per_decade"][0], "blue: better than A by the interval of the difference; orange: worse"
    axis.set_title(f"Mean test error (target variance 1), {count} ridges per decade\nA: {REFERENCE}; {key}", pad=13)


def _shade(difference: float, half: float) -> str:
    if difference + half < 0:
        return OKABE_ITO[5] + "50"
    return OKABE_ITO[1] + "50" if difference - half > 0 else "#ffffff"


if __name__ == "__main__":
    record(lambda: stack([row for name in ("diabetes", *FILES) for row in measure(name)]), FILES)
