r"""Large teachers hurt students of few rows: the best number of teacher features rises with the share of rows kept.

Varied: the teacher's number k of features, the student's kept share of the rows, and the teacher weight (1, or the best).
Tuned: all ridges on the exact expected risk, per example, between 1e-5 and 10: the teacher's for its own risk (eight per
decade), the student's per share, k, weight and design (four per decade); the best weight together with the student's ridge.
Seeds: 32 designs; points: the same designs and ridges, 10 draws of the labels each. Intervals and bands: 95 % t-intervals
over designs, paired by design; none in (a).
Sizes: 1,000 rows, 3 to 100 % of them kept; 300 features, the teacher sees the first k; errors count on the population.

Gaussian features of variance 1/i, and a signal of :math:`v_i^2 \propto i^{-1.5}`, mean square 1; noise variance 0.25.
Teacher: ridge regression on the first k features and all rows; student: all features, random rows. Lines: expected risk in
closed form (``kdtheory.teacher_capacity``), mean over designs. Points: teacher and student by linear solves in feature
space. That large teachers hurt is reported of networks (Ben-Baruch et al. 2025, arXiv:2403.07854); all numbers are chosen
here.

(a) Risk over k at weight 1, and the teachers' own. (b) The same against the teacher of all features, in per cent. (c) As
(b), not simulated, the weight tuned with the ridge. Large dots: the least of each mean; both are cut at 16 %. (d) The k of
least risk, geometric mean over designs; none for the best weight on all rows, where a student needs no teacher and all k are
within 1 %. A smaller teacher than the full one is worth 2 to 5 % up to a tenth of the rows, under 1 % at a fifth, and
nothing from half of them on, where the student has more rows than features, copies its teacher, and both curves coincide.
Coarser grids of ridges make it look like more: with two per decade it was 6 % at a tenth and 4 % at a fifth.

The designs come from data/teacher_capacity.csv, which this writes in some minutes: ``python -m paper_figs.teacher_capacity
--record FILE``
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, ScalarFormatter
from numpy.typing import NDArray

from kdtheory.kept import random_orders
from kdtheory.teacher_capacity import Capacities, leading_features, teacher_capacities
from paper_figs.regression_data import record, recorded
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, round_colors, stack, where

RECORD = "teacher_capacity.csv"
N, FEATURES, NOISE = 1000, 300, 0.25
SPREAD, SIGNAL = 1.0, 1.5  # exponents of the variances, and of the signal's spectrum
COUNTS = (5, 10, 20, 40, 60, 80, 120, 160, 220, 300)
SHARES = (0.03, 0.05, 0.1, 0.2, 0.5, 1.0)
RIDGES = {"student": np.logspace(-5, 1, 25), "teacher": np.logspace(-5, 1, 49)}
DESIGNS, DRAWS = 32, 10
WEIGHTS = ("weight 1", "best weight")
COLUMNS = {("theory", "weight 1"): "risk", ("theory", "best weight"): "risk_at_best", ("simulated", "weight 1"): "simulated"}

Array = NDArray[np.float64]


def measure(seed: int) -> Table:
    """One design: risks in closed form and simulated, and what was tuned, per share and k."""
    X, truth, at_one = design(seed)
    at_best = at_one.with_weight(None)
    whole = (len(SHARES), len(COUNTS))
    columns = {
        "design": seed,
        "share": np.repeat(SHARES, len(COUNTS)),
        "k": np.tile(COUNTS, len(SHARES)),
        "risk": at_one.risk,
        "ridge": at_one.ridges,
        "simulated": simulated(X, truth, seed, at_one),
        "risk_at_best": at_best.risk,
        "ridge_at_best": at_best.ridges,
        "best_weight": at_best.teacher_weights,
        "teacher_risk": np.broadcast_to(at_one.teacher_risk, whole),
        "teacher_ridge": np.broadcast_to(at_one.teacher_ridges, whole),
    }
    return stack([columns])


def compute() -> Table:
    """Risks of students and teachers, relative ones, and the best k, each a mean over designs with its half-width."""
    designs = recorded(RECORD)
    risks = {name: designs[name].reshape(-1, len(SHARES), len(COUNTS)) for name in COLUMNS.values()}
    own = designs["teacher_risk"].reshape(-1, len(SHARES), len(COUNTS))[:, 0]
    rows = [_row("teacher", k=COUNTS, risk=own.mean(axis=0), half=half_width(own))]
    for (kind, weight), name in COLUMNS.items():
        rows += _students(kind, weight, risks[name])
    for weight in WEIGHTS:
        best = np.log(np.array(COUNTS)[risks[COLUMNS["theory", weight]].argmin(axis=2)])
        centre, half = best.mean(axis=0), half_width(best)
        rows.append(
            _row("best", weight=weight, share=SHARES, k=np.exp(centre), low=np.exp(centre - half), high=np.exp(centre + half))
        )
    return stack(rows)


def _row(kind: str, **values: Any) -> dict[str, Any]:
    """One block of the table; what does not apply is nan or empty."""
    numbers = ("share", "k", "risk", "half", "change", "change_half", "low", "high")
    return {"kind": kind, "weight": ""} | dict.fromkeys(numbers, np.nan) | values


def _students(kind: str, weight: str, risks: Array) -> Iterator[dict[str, Any]]:
    """Risks (designs, shares, k): means, and changes against the largest teacher in per cent of its mean."""
    change = 100 * (risks - risks[..., -1:]) / risks[..., -1:].mean(axis=0)
    for i, share in enumerate(SHARES):
        parts = {"risk": risks[:, i].mean(axis=0), "half": half_width(risks[:, i])}
        parts |= {"change": change[:, i].mean(axis=0), "change_half": half_width(change[:, i])}
        yield _row(kind, weight=weight, share=share, k=COUNTS, **parts)


def population() -> tuple[Array, Array]:
    """Variances of the features, and the signal's coefficients on the features themselves."""
    i = np.arange(1, FEATURES + 1)
    variances, square = i**-SPREAD, i**-SIGNAL
    return np.asarray(variances), np.sqrt(square / square.sum() / variances)


def design(seed: int) -> tuple[Array, Array, Capacities]:
    """Features of the rows, the signal's coefficients, and the closed form at weight 1; the error is the population's."""
    variances, truth = population()
    X = np.random.default_rng(seed).normal(size=(N, FEATURES)) * np.sqrt(variances)
    metric = np.diag(np.sqrt(FEATURES * variances))  # the mean over these points is the error on the population
    found = teacher_capacities(
        X @ X.T,
        leading_features(X, COUNTS),
        X @ truth,
        noise_variance=NOISE,
        keep_fractions=SHARES,
        ridges=RIDGES["student"],
        teacher_ridges=RIDGES["teacher"],
        ridge_convention="per_example",
        cross=metric @ X.T,
        signal_new=metric @ truth,
        teacher_crosses=leading_features(X, COUNTS, metric),
        subsets=1,
        seed=seed,
    )
    return X, truth, found


def simulated(X: Array, truth: Array, seed: int, found: Capacities) -> Array:
    """Mean error over draws of the labels, (shares, k), at weight 1: fits in feature space at the ridges that were found."""
    variances, _ = population()
    noise = np.random.default_rng([seed, 1]).normal(size=(N, DRAWS)) * np.sqrt(NOISE)
    order = random_orders(N, 1, seed)[0]
    errors = np.empty((len(SHARES), len(COUNTS)))
    for j, k in enumerate(COUNTS):
        teacher = X[:, :k] @ _ridge_fit(X[:, :k], (X @ truth)[:, None] + noise, found.teacher_ridges[j])
        for i, share in enumerate(SHARES):
            rows = order[: round(share * N)]
            miss = _ridge_fit(X[rows], teacher[rows], found.ridges[i, j]) - truth[:, None]
            errors[i, j] = np.mean(variances @ miss**2)
    return errors


def _ridge_fit(X: Array, y: Array, ridge: float) -> Array:
    return np.asarray(np.linalg.solve(X.T @ X + ridge * len(X) * np.eye(X.shape[1]), X.T @ y))


def draw(table: Table) -> Figure:
    """Risks, changes at both weights, and the best k."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 5.6))
    _risks(axes[0, 0], table)
    _changes(axes[0, 1], where(table, weight="weight 1"))
    _changes(axes[1, 0], where(table, weight="best weight"))
    _best(axes[1, 1], where(table, kind="best"))
    titles = ("risk, weight 1", "against the full teacher, weight 1", "against the full teacher, best weight", "best teacher")
    for axis, letter, title in zip(axes.flat, "abcd", titles, strict=True):
        axis.set_title(f"({letter}) {title}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), columnspacing=1.2)
    kinds = [
        Line2D([], [], color=INK, label="closed form (bands: 95 %)"),
        Line2D([], [], color=INK, ls="none", marker="o", ms=3, mfc="white", mew=0.8, label="simulated"),
        Line2D([], [], color=INK, ls="none", marker="o", ms=6, label="least of each line"),
    ]
    figure.legend(handles=kinds, loc="outside lower center", ncols=len(kinds))
    return figure


def _risks(axis: Axes, table: Table) -> None:
    own = where(table, kind="teacher")
    axis.plot(own["k"], own["risk"], color=GREY, lw=2.2, label="teacher")
    for share, color in zip(SHARES, round_colors(len(SHARES)), strict=True):
        line, points = (where(table, kind=kind, weight="weight 1", share=share) for kind in ("theory", "simulated"))
        axis.plot(line["k"], line["risk"], color=color, label=f"{100 * share:g} % kept")
        axis.plot(points["k"], points["risk"], "o", ms=3, mfc="white", mew=0.8, color=color)
        best = int(line["risk"].argmin())
        axis.plot(line["k"][best], line["risk"][best], "o", ms=6, color=color)
    axis.set(xscale="log", yscale="log", xlabel="features of the teacher, k", ylabel="risk on the population")
    axis.yaxis.set_major_formatter(ScalarFormatter())
    axis.set_yticks([0.05, 0.1, 0.2, 0.3], ["0.05", "0.1", "0.2", "0.3"])
    axis.yaxis.set_minor_locator(NullLocator())
    _counts(axis)


def _changes(axis: Axes, rows: Table) -> None:
    axis.axhline(0, color=INK, lw=0.6)
    for share, color in zip(SHARES, round_colors(len(SHARES)), strict=True):
        line, points = (where(rows, kind=kind, share=share) for kind in ("theory", "simulated"))
        axis.plot(line["k"], line["change"], color=color)
        low, high = line["change"] - line["change_half"], line["change"] + line["change_half"]
        axis.fill_between(line["k"], low, high, color=color, alpha=0.15, lw=0)
        axis.errorbar(
            points["k"], points["change"], points["change_half"], fmt="o", ms=3, mfc="white", mew=0.8, lw=0.8, color=color
        )
        best = int(line["change"].argmin())
        axis.plot(line["k"][best], line["change"][best], "o", ms=6, color=color)
    axis.set(xscale="log", xlabel="features of the teacher, k", ylabel="change of the risk (%)", ylim=(-8, 16))
    _counts(axis)


def _best(axis: Axes, rows: Table) -> None:
    for weight, color, marker, shift in zip(WEIGHTS, OKABE_ITO, "os", (0.97, 1.03), strict=False):
        line = where(rows, weight=weight)
        if weight == "best weight":
            line = {name: column[line["share"] < 1] for name, column in line.items()}
        spread = [line["k"] - line["low"], line["high"] - line["k"]]
        axis.errorbar(line["share"] * shift, line["k"], spread, fmt=f"{marker}-", ms=4, color=color, lw=0.8, label=weight)
    axis.set(xscale="log", yscale="log", xlabel="kept share of the data", ylabel="best k", ylim=(40, 340))
    axis.set_xticks(SHARES, [f"{100 * share:g} %" for share in SHARES])
    axis.set_yticks([40, 80, 160, 300], ["40", "80", "160", "300"])
    for side in (axis.xaxis, axis.yaxis):
        side.set_minor_locator(NullLocator())
    axis.legend(loc="upper left")


def _counts(axis: Axes) -> None:
    ticks = [5, 10, 20, 40, 80, 160, 300]
    axis.set_xticks(ticks, [str(k) for k in ticks])
    axis.xaxis.set_minor_locator(NullLocator())


if __name__ == "__main__":
    record(lambda: stack([measure(seed) for seed in range(DESIGNS)]), ())
