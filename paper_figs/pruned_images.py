"""Images with flipped labels, a teacher on all of them, students on a part: what pruned_digits and pruned_fashion share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, PercentFormatter
from numpy.typing import NDArray
from scipy.special import stdtrit
from sklearn.kernel_ridge import KernelRidge

import kdtheory as kd
from kdtheory.kept import kept_count, random_orders
from kdtheory.pruned_students import KeptStudent, Teacher
from kdtheory.pruning import plan
from kdtheory.risk_curves import RiskCurves
from paper_figs.digits import NOISES, flipped
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, round_colors, where

__all__ = ["SHARES", "SOLVED", "Images", "draw", "mean_curve", "measure"]

Array = NDArray[np.float64]

SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)
SOLVED = (-1.0, 0.5, 2.0)  # weights at which students are trained by another solver
BOUNDS = (0.0, 2.0)  # of a weight that is tuned together with the ridge: at all rows the two are near to a trade-off
CLASSES = 10
KERNEL_LOOKS = ((OKABE_ITO[0], "-", "o"), (OKABE_ITO[1], "--", "D"))


@dataclass(frozen=True, eq=False)
class Images:
    """One random split under one kernel: Gram matrix, kernel to the test images, one-hot labels less 1/10 (both clean)."""

    gram: Array
    cross: Array
    labels: Array
    labels_test: Array
    seed: int

    @classmethod
    def of(cls, gram: Array, cross: Array, classes: NDArray[np.integer[Any]], seed: int) -> Images:
        """With the classes of training and test images, one behind the other."""
        labels = np.eye(CLASSES)[classes] - 1 / CLASSES
        return cls(gram, cross, labels[: len(gram)], labels[len(gram) :], seed)

    def noisy(self, share: float) -> Array:
        """Training labels, this share flipped to another class; a larger share flips the same ones and more."""
        return flipped(self.labels, share, np.random.default_rng([self.seed, 1])) - 1 / CLASSES


def measure(images: Images, subsets: int) -> Iterator[dict[str, Any]]:
    """Of every noise and share the parabola, the plans' advice, and errors of students trained by scikit-learn.

    Parabolas have the teacher's ridge; `start_noisy` and `slope_noisy` count errors against labels as noisy as those trained
    on.
    """
    gram, n = images.gram, len(images.gram)
    orders, spectrum = random_orders(n, subsets, images.seed), kd.Spectrum.from_gram(gram)
    counts = [kept_count(share, n) for share in SHARES]
    families = [[KeptStudent.of(gram, order[:m], images.cross) for order in orders[: subsets if m < n else 1]] for m in counts]
    for noise in NOISES:
        labels = images.noisy(noise)
        how: dict[str, Any] = {"keep_fractions": SHARES, "subsets": subsets, "seed": images.seed + 100}
        same = plan(gram, labels, ridge_convention="absolute", **how)
        ridge = same.teacher_ridge
        free = plan(gram, labels, ridge_convention="tuned", ridge=ridge, bounds=BOUNDS, **how)
        best, alone = free.with_distillation, free.without
        teacher, solved = Teacher.fixed(spectrum.fit(kd.Ridge(ridge), labels)), _solved(gram, gram, labels, ridge)
        for i, students in enumerate(families):
            clean = _curve(images, students, labels, teacher, ridge)
            noisy = _curve(images, students, labels, teacher, ridge, shrinkage=1 - noise * CLASSES / (CLASSES - 1))
            weight = float(best.teacher_weight[i])
            advised = _curve(images, students, labels, teacher, float(best.ridge[i]))(np.nan_to_num(weight))
            yield {
                "noise": noise,
                "keep_fraction": SHARES[i],
                "seed": images.seed,
                "ridge": ridge,
                **{name: getattr(clean, name) for name in ("start", "slope", "curvature", "size")},
                "start_noisy": noisy.start,
                "slope_noisy": noisy.slope,
                "plan_weight": same.with_distillation.teacher_weight[i],
                "plan_low": same.with_distillation.teacher_weight_interval[i, 0],
                "plan_high": same.with_distillation.teacher_weight_interval[i, 1],
                "alone_ridge": alone.ridge[i],
                "alone_error": _curve(images, students, labels, teacher, float(alone.ridge[i]))(0.0),
                "best_ridge": best.ridge[i],
                "best_weight": weight,
                "best_error": advised,
                "teacher_weight": SOLVED,
                "solved_error": np.mean([_trained(images, s.kept, labels, solved, ridge) for s in students], axis=0),
            }


def _curve(
    images: Images, students: list[KeptStudent], labels: Array, teacher: Teacher, ridge: float, shrinkage: float = 1.0
) -> RiskCurves:
    """Mean over subsets of the test error against clean labels, or against the mean of noisy ones, which is shrunk."""

    def of(student: KeptStudent) -> RiskCurves:
        on_labels, change = student.predictions(labels, teacher, ridge)
        gap = shrinkage * images.labels_test - on_labels
        return RiskCurves(np.mean(gap**2), -2 * np.mean(gap * change), np.mean(change**2), np.mean(on_labels**2))

    return RiskCurves.gather(of(student) for student in students).mean()


def _trained(images: Images, kept: NDArray[np.intp], labels: Array, teacher: Array, ridge: float) -> list[float]:
    """Test errors of students trained on mixed labels, one for each weight."""
    mixed = [(1 - w) * labels[kept] + w * teacher[kept] for w in SOLVED]
    predictions = _solved(images.gram[np.ix_(kept, kept)], images.cross[:, kept], np.concatenate(mixed, axis=1), ridge)
    return [float(np.mean((images.labels_test - each) ** 2)) for each in np.split(predictions, len(SOLVED), axis=1)]


def _solved(gram: Array, cross: Array, targets: Array, ridge: float) -> Array:
    return np.asarray(KernelRidge(alpha=ridge, kernel="precomputed").fit(gram, targets).predict(cross))


def mean_curve(rows: Table, noisy: bool = False) -> tuple[RiskCurves, float]:
    """The mean parabola over splits, and half of the 95 % t-interval of its optimum."""
    once = where(rows, teacher_weight=SOLVED[0])
    names = ("start_noisy", "slope_noisy", "curvature", "size") if noisy else ("start", "slope", "curvature", "size")
    curves = RiskCurves(*(once[name] for name in names))
    return curves.mean(), float(stdtrit(len(once["seed"]) - 1, 0.975) * curves.optimal_weight_spread())


def draw(table: Table, kernels: dict[str, str], title: str) -> Figure:
    """Parabolas, a row per kernel and a column per noise; below the optimal weight over the kept share, beside the advice."""
    noises = np.unique(table["noise"]).tolist()
    figure = plt.figure(figsize=(PAGE, 6.9))
    above, below = figure.subfigures(2, 1, height_ratios=[4.5, 2.4], squeeze=False)[:, 0]
    axes = above.subplots(len(kernels), len(noises), sharex="col", sharey="col", squeeze=False)
    for j, noise in enumerate(noises):
        panels = {kernel: where(table, kernel=kernel, noise=noise) for kernel in kernels}
        optima = [mean_curve(where(p, keep_fraction=s))[0].optimal_weight for p in panels.values() for s in SHARES]
        ends = np.nanmin([-1.0, *optima]) - 0.35, np.nanmax([2.0, *optima]) + 0.35
        for axis, panel in zip(axes[:, j], panels.values(), strict=True):
            _parabolas(axis, panel, ends)
        axes[0, j].set_title(_flipped(noise))
        axes[-1, j].set_xlabel("teacher weight")
    for axis, name in zip(axes[:, 0], kernels.values(), strict=True):
        axis.set_ylabel(f"{name}\ntest error (clean labels)")
    shares = [Line2D([], [], color=color, label=f"{100 * share:.0f} % kept") for share, color in _colors().items()]
    look: dict[str, Any] = {"color": INK, "ls": "none"}
    marks = [
        Line2D([], [], marker="o", ms=5, label="optimum", **look),
        Line2D([], [], marker="x", ms=3.5, label="trained by scikit-learn", **look),
        Line2D([], [], marker=">", ms=4.5, mfc="white", label="labels only, ridge tuned for them", **look),
        Line2D([], [], marker="D", ms=4, mfc="white", label="weight and ridge as planned together", **look),
    ]
    above.legend(handles=shares, loc="outside upper center", ncols=len(shares), title=title, title_fontsize=8.5)
    above.legend(handles=marks, loc="outside lower center", ncols=len(marks), columnspacing=1.2, handletextpad=0.3)
    found = [noise for noise in noises if np.isfinite(where(table, noise=noise)["plan_weight"]).any()]
    panels = below.subplots(1, len(found), sharey=noises[0] not in found, squeeze=False)[0]
    for axis, noise in zip(panels, found, strict=True):
        _optima(axis, where(table, noise=noise), list(kernels))
        axis.set(title=_flipped(noise), xlabel="kept share of the images")
    panels[0].set_ylabel("optimal teacher weight")
    named = [
        Line2D([], [], color=color, ls=dash, marker=marker, ms=4, label=name)
        for name, (color, dash, marker) in zip(kernels.values(), KERNEL_LOOKS, strict=False)
    ]
    named += [
        Line2D([], [], color=INK, label="lines: planned from the training labels"),
        Line2D([], [], marker="o", ms=4, mfc="white", label="best for labels as noisy", **look),
        Line2D([], [], marker="o", ms=4, label="best for clean labels", **look),
    ]
    below.legend(handles=named, loc="outside lower center", ncols=len(named), columnspacing=1.2)
    return figure


def _colors() -> dict[float, Any]:
    return dict(zip(SHARES, round_colors(len(SHARES)), strict=True))


def _flipped(noise: float) -> str:
    return f"{100 * noise:.0f} % of the labels flipped" if noise else "labels as they are"


def _parabolas(axis: Axes, panel: Table, ends: tuple[float, float]) -> None:
    """One mean parabola per share, what was trained on it, its optimum, and what a tuned ridge makes of both ends."""
    weights = np.linspace(*ends, 101)
    found = False
    for share, color in _colors().items():
        rows = where(panel, keep_fraction=share)
        curve, half = mean_curve(rows)
        axis.plot(weights, curve(weights), color=color, lw=1)
        errors = np.stack([where(rows, teacher_weight=w)["solved_error"] for w in SOLVED], axis=1)
        look: dict[str, Any] = {"color": color, "ls": "none", "elinewidth": 0.7}
        axis.errorbar(SOLVED, errors.mean(axis=0), half_width(errors), marker="x", ms=3.5, **look)
        once = where(rows, teacher_weight=SOLVED[0])
        white: dict[str, Any] = {"mfc": "white", "mew": 0.8, "ls": "none", "color": color, "zorder": 4}
        axis.plot(0.0, once["alone_error"].mean(), ">", ms=4.5, **white)
        if curve.identified:
            found = True
            axis.errorbar(curve.vertex, curve.minimum, xerr=half, marker="o", ms=4.5, zorder=5, **look)
        if np.isfinite(once["best_weight"]).all():
            axis.plot(once["best_weight"].mean(), once["best_error"].mean(), "D", ms=4, **white)
    axis.set_xlim(*ends)
    if not found:
        axis.set_ylim(top=1.3 * axis.get_ylim()[1])
        note = "no weight is identified:\nthe teacher repeats the labels"
        axis.text(0.5, 0.97, note, transform=axis.transAxes, ha="center", va="top", fontsize=7)


def _optima(axis: Axes, panel: Table, kernels: list[str]) -> None:
    """Optimal weights on test images, of the mean over splits, over the advice from training labels alone."""
    axis.axhline(0.0, color=GREY, lw=0.6)
    for k, (kernel, (color, dash, marker)) in enumerate(zip(kernels, KERNEL_LOOKS, strict=False)):
        rows = where(panel, kernel=kernel, teacher_weight=SOLVED[0])
        low, high, advice = (
            [where(rows, keep_fraction=share)[f"plan_{name}"].mean() for share in SHARES] for name in ("low", "high", "weight")
        )
        axis.fill_between(SHARES, low, high, color=color, alpha=0.18, lw=0)
        axis.plot(SHARES, advice, color=color, ls=dash)
        for noisy, face in ((True, "white"), (False, color)):
            if noisy and not panel["noise"].any():
                continue  # the same
            means = [mean_curve(where(panel, kernel=kernel, keep_fraction=share), noisy) for share in SHARES]
            places = np.array(SHARES) * 1.04 ** (2 * k - 1)
            optima = [float(curve.optimal_weight) for curve, _ in means]
            style: dict[str, Any] = {"fmt": marker, "ms": 4, "mfc": face, "mew": 0.8, "color": color, "elinewidth": 0.8}
            axis.errorbar(places, optima, [half for _, half in means], **style)
    axis.set(xscale="log")
    axis.set_xticks(SHARES)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axis.xaxis.set_minor_locator(NullLocator())
