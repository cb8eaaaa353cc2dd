"""The one idea, on digits: a round is a filter, a student is affine in its teacher weight, so its squared risk is a parabola.

Varied: the round (a), the teacher weight (b, c), and the kept share of the training images (c, d).
Tuned: the ridge, from 0.1 to 2, by exact leave-one-out of the teacher on the noisy training labels of the first draw; it is
0.5, absolute (K + ridge I), for the teacher and all students. No held-out label is used, but for the optima.
Seeds: one split, seed 0; 10 draws, each with label noise and a random order of the rows of its own; a and b show the first
draw. Means with 95 % t-intervals over draws, paired in c; where none is seen it is smaller than the symbol.
Sizes: 500 training images of scikit-learn's digits, all other 1,297 held out, 10 outputs; RBF kernel, gamma 0.25, pixels in
[0, 1].

Gaussian noise of variance 0.04, as much as flips of a fifth of the labels have, is added to every output of the one-hot
training labels; held-out labels are clean. Points: fits by Cholesky solves. Lines: closed forms. (a) What a chain at teacher
weight 0.9 keeps of the labels along an eigenvector of the Gram matrix, over its eigenvalue. The limit of infinitely many
rounds is ridge regression at the ridge over 1 - w. (b) The output for its own class, of four held-out images at 10, 40, 70
and 97 % of the order of what the teacher changes. Lines through the students of weights 0 and 1; points are trained at each
weight. (c) Mean squared error over that of the student on labels only, ratio of means over draws. Lines: parabolas from the
students of weights 0 and 1; stars: their vertices. (d) Line: vertex of the risk expected over the noise
(``kdtheory.pruning.risk_curves``, mean over the same 10 subsets of rows); points: vertex of the mean parabola through refits
at six weights. That the weight rises as rows are dropped is what the data show at this ridge and noise, no theorem:
pruning_phase shows where it is otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray
from scipy.special import stdtrit

import kdtheory as kd
from kdtheory.kept import kept_count, random_orders
from kdtheory.problem import digits
from kdtheory.risk_curves import RiskCurves
from paper_figs import pruned_digits
from paper_figs.pruned_images import Images
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, round_colors, stack, where

SEED, DRAWS = 0, 10
NOISE = 0.04  # variance of a label
RIDGES = (0.1, 0.2, 0.5, 1.0, 2.0)
WEIGHT, ROUNDS = 0.9, (0, 1, 4)
EIGENVALUES = np.geomspace(0.004, 200.0, 101)
SHOWN = (0.1, 0.4, 0.7, 0.97)  # of the held-out images, by the teacher's change
FITTED = np.array([-0.5, 0.0, 0.5, 1.0, 1.5, 2.0])
FINE = np.linspace(-0.6, 2.1, 55)
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
DRAWN = {0.1: (OKABE_ITO[1], "s"), 1.0: (OKABE_ITO[0], "o")}  # shares of the parabolas

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Problem:
    """Images, noise and orders of every draw, and the ridge that leave-one-out chooses on the first."""

    images: Images
    labels: Array
    orders: NDArray[np.intp]

    @classmethod
    def draw(cls) -> Problem:
        """Of the one split."""
        images = pruned_digits.split("rbf", SEED)
        noise = np.random.default_rng([SEED, 2]).normal(size=(DRAWS, *images.labels.shape))
        return cls(images, images.labels + np.sqrt(NOISE) * noise, random_orders(len(images.gram), DRAWS, SEED))

    @cached_property
    def spectrum(self) -> kd.Spectrum:
        """Of all training images."""
        return kd.Spectrum.from_gram(self.images.gram)

    @cached_property
    def ridge(self) -> float:
        """Least leave-one-out error of the first draw's teacher."""
        y = self.labels[0]
        errors = [np.mean((kd.loo(self.spectrum, y, ridge=r, teacher_weights=[])[0] - y) ** 2) for r in RIDGES]
        return RIDGES[int(np.argmin(errors))]

    def solve(self, rows: NDArray[np.intp], targets: Array) -> Array:
        """Dual coefficients of a ridge fit to these rows, by Cholesky."""
        K = self.images.gram[np.ix_(rows, rows)] + self.ridge * np.eye(len(rows))
        return np.asarray(scipy.linalg.cho_solve(scipy.linalg.cho_factor(K), targets))

    def refits(self, draw: int, share: float) -> Array:
        """Held-out predictions (weights, images, outputs) of students really trained on mixed labels."""
        gram, y = self.images.gram, self.labels[draw]
        teacher = gram @ self.solve(np.arange(len(gram)), y)
        rows = self.orders[draw][: kept_count(share, len(gram))]
        mixed = [(1 - w) * y[rows] + w * teacher[rows] for w in FITTED]
        found = self.images.cross[:, rows] @ self.solve(rows, np.concatenate(mixed, axis=1))
        return np.array(np.split(found, len(FITTED), axis=1))

    def ends(self, draw: int, share: float) -> tuple[Array, Array]:
        """The same from the eigenbasis, of weights 0 and 1 alone."""
        kept = self.orders[draw][: kept_count(share, len(self.images.gram))]
        how: dict[str, Any] = {"ridge": self.ridge, "ridge_convention": "absolute", "cross": self.images.cross}
        found = kd.pruning.students(self.images.gram, self.labels[draw], kept=kept, **how)
        return found.on_labels, found.on_teacher

    def risks(self, predictions: Array) -> Array:
        """Mean squared error on the held-out images, over the last two axes."""
        return np.asarray(np.mean((predictions - self.images.labels_test) ** 2, axis=(-2, -1)))


def compute() -> Table:
    """Rows of every panel: theory and measurement over eigenvalue, weight or share, with the ends of the interval."""
    problem = Problem.draw()
    return stack([*_filters(problem), *_predictions(problem), *_risks(problem), *_optima(problem)])


def _row(panel: str, kind: str, line: float, x: Any, value: Any, half: Any = 0.0) -> dict[str, Any]:
    """One block; `line` is the round, the number of the image, or the kept share."""
    value = np.asarray(value)
    return {"panel": panel, "kind": kind, "line": line, "x": x, "value": value, "low": value - half, "high": value + half}


def _filters(problem: Problem) -> Iterator[dict[str, Any]]:
    """Multipliers: filters of the package, and the share of the labels that a chain of solves keeps of an eigenvector."""
    d, y, gram = problem.spectrum.eigenvalues, problem.labels[0], problem.images.gram
    for t in ROUNDS:
        yield _row("filter", "theory", t, EIGENVALUES, kd.Distilled(problem.ridge, [WEIGHT] * t).fit(EIGENVALUES))
    limit = kd.Distilled.limit(ridge=problem.ridge, teacher_weight=WEIGHT)
    yield _row("filter", "theory", np.inf, EIGENVALUES, limit.fit(EIGENVALUES))
    fit, everything = y, np.arange(len(y))
    at = np.unique(np.searchsorted(-d, -np.geomspace(d[0], d[-1], 9)).clip(max=len(d) - 1))
    z = problem.spectrum.project(y)[at]
    for t in range(max(ROUNDS) + 1):
        fit = gram @ problem.solve(everything, (1 - WEIGHT) * y + WEIGHT * fit)  # round 0: of the labels themselves
        if t in ROUNDS:
            kept = np.sum(problem.spectrum.project(fit)[at] * z, axis=1) / np.sum(z**2, axis=1)
            yield _row("filter", "measured", t, d[at], kept)


def _predictions(problem: Problem) -> Iterator[dict[str, Any]]:
    """Outputs for their own class of some held-out images."""
    on_labels, on_teacher = problem.ends(0, 1.0)
    trained, classes = problem.refits(0, 1.0), problem.images.labels_test.argmax(axis=1)
    pick = np.arange(len(classes)), classes
    change = (on_teacher - on_labels)[pick]
    order = np.argsort(change)
    for share in SHOWN:
        i = int(order[round(share * (len(order) - 1))])
        ends = [float(each[i, classes[i]]) + 0.1 for each in (on_labels, on_teacher)]  # labels are one-hot less a tenth
        yield _row("prediction", "theory", i, FINE, ends[0] + FINE * (ends[1] - ends[0]))
        yield _row("prediction", "measured", i, FITTED, trained[:, i, classes[i]] + 0.1)


def _risks(problem: Problem) -> Iterator[dict[str, Any]]:
    """Risk over that on labels only, in per cent: parabola of the two ends, refits, and the closed-form weight."""
    for share in DRAWN:
        both = [kd.RiskCurve.from_predictions(*problem.ends(k, share), problem.images.labels_test) for k in range(DRAWS)]
        curve = parabolas([(each(0.0), -2 * each.optimal_weight * each.curvature, each.curvature) for each in both]).mean()
        for kind, weight in (("theory", FINE), ("vertex", curve.vertex)):
            yield _row("risk", kind, share, weight, 100 * curve(weight) / curve.start)
        found = np.array([problem.risks(problem.refits(draw, share)) for draw in range(DRAWS)])
        first = found[:, FITTED == 0]
        ratio = found.mean(axis=0) / first.mean()
        yield _row("risk", "measured", share, FITTED, 100 * ratio, 100 * half_width(found - ratio * first) / first.mean())


def _optima(problem: Problem) -> Iterator[dict[str, Any]]:
    """Vertices over the kept share: of the expected risk, and of the parabola through the refits."""
    images = problem.images
    how: dict[str, Any] = {"ridge": problem.ridge, "ridge_convention": "absolute", "orders": problem.orders}
    how |= {"noise_variance": NOISE, "cross": images.cross, "signal_new": images.labels_test}
    expected = kd.pruning.risk_curves(images.gram, images.labels, keep_fractions=SHARES, **how)
    yield _row("optimum", "theory", np.nan, SHARES, expected.mean.vertex)
    for share in SHARES:
        risks = np.array([problem.risks(problem.refits(draw, share)) for draw in range(DRAWS)])
        curves = parabolas(np.polynomial.polynomial.polyfit(FITTED, risks.T, 2).T)
        half = stdtrit(DRAWS - 1, 0.975) * curves.optimal_weight_spread()
        yield _row("optimum", "measured", np.nan, share, curves.mean().vertex, half)


def parabolas(coefficients: Any) -> RiskCurves:
    """From (draws, 3) coefficients, constant first."""
    start, slope, curvature = np.asarray(coefficients).T
    return RiskCurves(start, slope, curvature, 1.0)


def draw(table: Table) -> Figure:
    """Four panels in a row."""
    figure, axes = plt.subplots(1, 4, figsize=(PAGE, 2.3))
    panels = (("filter", _draw_filters), ("prediction", _draw_predictions), ("risk", _draw_risks), ("optimum", _draw_optima))
    titles = (
        "a  A round\nis a filter",
        "b  A student is affine\nin its teacher weight",
        "c  So its risk\nis a parabola",
        "d  Fewer rows,\nmore teacher",
    )
    for axis, (panel, drawn), title in zip(axes, panels, titles, strict=True):
        drawn(axis, where(table, panel=panel))
        axis.set_title(title, loc="left")
    return figure


def _draw_filters(axis: Axes, table: Table) -> None:
    looks = zip(ROUNDS, round_colors(len(ROUNDS)), "os^", strict=True)
    for t, color, marker in looks:
        line, points = (where(table, kind=kind, line=t) for kind in ("theory", "measured"))
        axis.plot(line["x"], line["value"], color=color)
        label = f"{t} round{'s' if t > 1 else ''}" if t else "labels only"
        axis.plot(points["x"], points["value"], marker, label=label, **_open(color))
    limit = where(table, kind="theory", line=np.inf)
    axis.plot(limit["x"], limit["value"], color=INK, ls="--", lw=1.0, label="limit")
    axis.set(xscale="log", xlabel="eigenvalue $d$", ylabel="share of the labels kept", xlim=(0.004, 200), ylim=(-0.03, 1.03))
    axis.set_xticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100"])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.legend(loc="upper left", handlelength=1.2, handletextpad=0.4, borderaxespad=0.0, labelspacing=0.25)


def _draw_predictions(axis: Axes, table: Table) -> None:
    pictures, _ = digits()
    order = np.random.default_rng(SEED).permutation(len(pictures))[pruned_digits.TRAIN :]  # as the split has them
    for image, color, marker in zip(dict.fromkeys(table["line"].tolist()), OKABE_ITO, "os^Dv", strict=False):
        line, points = (where(table, kind=kind, line=image) for kind in ("theory", "measured"))
        axis.plot(line["x"], line["value"], color=color)
        axis.plot(points["x"], points["value"], marker, **_open(color))
        picture = OffsetImage(1 - pictures[order[int(image)]].reshape(8, 8) / 16, cmap="gray", zoom=1.5)
        axis.add_artist(AnnotationBbox(picture, (2.5, line["value"][-1]), frameon=False))
    axis.set(xlabel="teacher weight $w$", ylabel="output for the true class", xlim=(-0.65, 2.8), xticks=[0, 1, 2])
    axis.margins(y=0.12)


def _draw_risks(axis: Axes, table: Table) -> None:
    for share, (color, marker) in DRAWN.items():
        line, points, vertex = (where(table, kind=kind, line=share) for kind in ("theory", "measured", "vertex"))
        axis.plot(line["x"], line["value"], color=color)
        spread = [points["value"] - points["low"], points["high"] - points["value"]]
        label = "all rows" if share == 1 else f"{100 * share:.0f} % kept"
        axis.errorbar(points["x"], points["value"], spread, fmt=marker, lw=0.8, label=label, **_open(color))
        axis.plot(vertex["x"], vertex["value"], "*", ms=8, color=color, mec="white", mew=0.5, zorder=4)
    axis.set(xlabel="teacher weight $w$", ylabel="held-out risk (relative, %)", xticks=[0, 1, 2])
    axis.margins(y=0.16)
    axis.plot([], [], "*", ms=8, color=INK, mec="white", mew=0.5, label="closed form $w^*$")
    axis.legend(loc="upper left", handletextpad=0.2, borderaxespad=0.0, labelspacing=0.25)


def _draw_optima(axis: Axes, table: Table) -> None:
    line, points = (where(table, kind=kind) for kind in ("theory", "measured"))
    axis.axhline(0.0, color=GREY, lw=0.6)
    axis.plot(line["x"], line["value"], color=INK, label="theory")
    for share, value, low, high in zip(*(points[name].tolist() for name in ("x", "value", "low", "high")), strict=True):
        color, marker = DRAWN.get(share, (INK, "o"))
        label = "refits" if share == points["x"][0] else None
        axis.errorbar(share, value, [[value - low], [high - value]], fmt=marker, lw=0.8, label=label, **_open(color))
    axis.set(xscale="log", xlabel="kept share (%)", ylabel="optimal teacher weight", ylim=(-0.08, None))
    axis.set_xticks([0.05, 0.1, 0.2, 0.5, 1.0], ["5", "10", "20", "50", "100"])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.legend(loc="lower left")


def _open(color: Any) -> dict[str, Any]:
    return {"ms": 3.2, "color": color, "mfc": "white", "mew": 0.8, "ls": "none"}
