"""The gap between two selection rules shrinks as (1 - w)² under distillation if labels are equally noisy, and else need not.

Varied: the rule that keeps rows (hardest, easiest, largest leverage, against random), the kept share (20, 50 %), the teacher
weight w, the noise of the labels, and the learner (a, b: least squares; c, d: kernel ridge regression on digits).
Tuned: a, b: nothing; c, d: the ridge, of 10 from 0.001 to 32, by the teacher's leave-one-out error on its own training
labels, per split, the same per example for the students.
Seeds: a, b: 300 draws with 4 random sets of rows each; c, d: 10 random splits, which overlap, so that their intervals are
indicative. Intervals: 95 % t over draws or splits, paired, of a ratio of means by linearising it.
Sizes: a, b: 6,000 points, 10 white Gaussian features; c, d: 1,000 training and 400 test images of scikit-learn's digits,
clean test labels, squared error over 10 outputs.

Vertical: risk of a student on rows kept by a rule, less that of one on random rows, relative to the same at w = 0. Rules
rank the rows by the fit of all of them, the teacher: by the size of the residual, or by leverage, what a row weighs in its
own prediction. In b one label in twenty is ten times as noisy. Lines in a, b: closed form, large-sample limit; it is (1 -
w)² in a, and by leverage in b. Points: simulation. c: ridge regression on the 64 pixels, clean labels; d: RBF kernel, a
fifth of the training labels flipped; grey, clean labels. No closed form is known there: the lines are (1 - w)² and 1 - w. In
c the law nearly holds. In d it fails: flipped labels are noisier than the others, and a student of the teacher alone still
depends on its rows (w = 1), which in least squares it does not. On clean labels the teacher takes the least ridge offered,
all but interpolates and so tells the student nothing new. Drawn is each series whose gap at w = 0 is more than twice its
half-width from zero; the table has all of them. All settings are chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

import kdtheory as kd
from kdtheory.kept import kept_count
from kdtheory.problem import digits
from kdtheory.pruning import Teacher, students
from kdtheory.selection import excess_over_random, gap_ratio, order_by
from paper_figs.digits import KERNELS, TRAIN, VALIDATION, Split
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where

N, P, DRAWS = 6000, 10, 300
RANDOM = 4  # random sets of rows per draw
NOISY_SHARE, NOISY_SCALE = 0.05, 10.0
SHARES = (0.2, 0.5)
RULES = ("hardest", "easiest", "leverage")
WEIGHTS = np.linspace(0.0, 1.0, 31)
EVERY = 6  # of them one is drawn, the next series beginning at the next weight
LINE = np.linspace(0.0, 0.999, 101)
SPLITS, FLIPPED, CLEAN = 10, 0.2, ", clean labels"
RIDGES = np.logspace(-3, 1.5, 10)  # among which the teacher's is chosen

PANELS = {
    "equal": "a  least squares, equal noise",
    "unequal": f"b  least squares, {100 * NOISY_SHARE:.0f} % of labels {NOISY_SCALE:g} times as noisy",
    "pixels": "c  digits, ridge on pixels",
    "rbf": f"d  digits, RBF kernel, {100 * FLIPPED:.0f} % of labels flipped",
}

Floats = NDArray[np.float64]


def compute() -> Table:
    """Relative gap per panel, kind, rule, kept share and weight; its half-width; the gap at weight zero and its half-width."""
    rows: list[dict[str, Any]] = []
    for panel, noise in (("equal", (0.0, 1.0)), ("unequal", (NOISY_SHARE, NOISY_SCALE))):
        draws = np.array([simulate(np.random.default_rng([7, d]), SHARES, *noise) for d in range(DRAWS)])
        excess = (1 - WEIGHTS) ** 2 * draws[..., :1] + 2 * (1 - WEIGHTS) * draws[..., 1:2]
        rows += [_theory(panel, rule, share, *noise) for rule in RULES for share in SHARES]
        rows += _measured(panel, RULES, excess)
    splits = [Split.draw("rbf", seed) for seed in range(SPLITS)]
    rows += _measured("pixels", RULES, np.array([_on_pixels(split.seed) for split in splits]))
    for labels, share in (("", FLIPPED), (CLEAN, 0.0)):
        rules = [rule + labels for rule in RULES]
        rows += _measured("rbf", rules, np.array([_on_rbf(split, share) for split in splits]))
    return stack(rows)


def simulate(
    rng: np.random.Generator, kept_shares: Sequence[float], noisy_share: float = 0.0, noisy_scale: float = 1.0
) -> Floats:
    """One draw of least squares: (rules, random last; shares; |D|², <D, d>, share of noisy rows); d is the teacher's error.

    D is what the student on the kept labels adds to d, so that its excess risk is (1 - w)² |D|² + 2 (1 - w) <D, d>.
    """
    X = rng.normal(size=(N, P))
    noisy = rng.random(N) < noisy_share
    noise = rng.normal(size=N) * np.where(noisy, noisy_scale, 1.0)
    A = X.T @ X
    d = np.linalg.solve(A, X.T @ noise)
    residual = noise - X @ d
    size, leverage = np.abs(residual), np.sum(X * np.linalg.solve(A, X.T).T, axis=1)
    Z, counts, out = np.column_stack([X, residual]), [kept_count(share, N) for share in kept_shares], []
    for order in (*np.argsort([-size, size, -leverage], axis=1), *(rng.permutation(N) for _ in range(RANDOM))):
        moments = np.cumsum([block.T @ block for block in np.split(Z[order], counts)[:-1]], axis=0)  # of the rows kept
        D = np.linalg.solve(moments[:, :P, :P], moments[:, :P, P:])[..., 0]
        among = [np.mean(noisy[order[:count]]) for count in counts]
        out.append(np.stack([np.sum(D**2, axis=1), D @ d, among], axis=1))
    return np.array([*out[:-RANDOM], np.mean(out[-RANDOM:], axis=0)])


def digits_risks(spectrum: kd.Spectrum, gram: Floats, cross: Floats, labels: Floats, labels_test: Floats) -> Floats:
    """Test error (rules, random last; shares; weights) of students on rows ranked by the tuned teacher."""
    ridge = tuned_ridge(spectrum, labels)
    size = np.linalg.norm(spectrum.residual(kd.Ridge(ridge), labels), axis=1)
    leverage = spectrum.diagonal(kd.Ridge(ridge).fit(spectrum.eigenvalues))
    teacher = Teacher.fixed(spectrum.fit(kd.Ridge(ridge), labels))
    how: dict[str, Any] = {"ridge": ridge / spectrum.n, "ridge_convention": "per_example", "teacher": teacher, "cross": cross}
    risks = np.empty((4, len(SHARES), len(WEIGHTS)))
    for i, score in enumerate((size, -size, leverage, np.zeros(spectrum.n))):  # equal scores: in random order
        for j, share in enumerate(SHARES):
            kept = order_by(score)[: kept_count(share, spectrum.n)]
            curve = kd.RiskCurve.from_predictions(*students(gram, labels, kept=kept, **how), labels_test)
            risks[i, j] = [curve(w) for w in WEIGHTS]
    return risks


def _on_rbf(split: Split, flipped: float) -> Floats:
    """Kernel ridge regression, a share of the training labels flipped."""
    labels, _ = split.noisy(flipped)
    return digits_risks(split.spectrum, KERNELS["rbf"](split.images), split.cross_test, labels, split.labels_test)


def tuned_ridge(spectrum: kd.Spectrum, labels: Floats) -> float:
    """The ridge of least leave-one-out error on these labels."""
    left_out = [kd.loo(spectrum, labels, ridge=ridge, teacher_weights=[])[0] for ridge in RIDGES]
    return float(RIDGES[np.argmin([np.mean((labels - each) ** 2) for each in left_out])])


def _on_pixels(seed: int) -> Floats:
    """Ridge regression on the pixels, clean labels; the images are those of `Split.draw` with this seed."""
    X, Y = digits()
    order = np.random.default_rng(seed).permutation(len(X))
    train, test = order[:TRAIN], order[TRAIN + VALIDATION :]
    points = X / 16.0
    spectrum = kd.Spectrum.from_features(points[train])
    gram, cross = kd.kernels.linear(points[train]), kd.kernels.linear(points[test], points[train])
    return digits_risks(spectrum, gram, cross, Y[train], Y[test])


def _theory(panel: str, rule: str, share: float, noisy_share: float, noisy_scale: float) -> dict[str, Any]:
    """The gap in closed form along the weights."""
    how: dict[str, Any] = {"rule": rule, "features": P, "noisy_share": noisy_share, "noisy_scale": noisy_scale}
    ratio = np.array([excess_over_random(share, teacher_weight=w, **how) for w in LINE.tolist()])
    return _row(panel, "theory", rule, share, LINE, gap_ratio(LINE) * (ratio - 1) / (ratio[0] - 1), np.nan, np.nan, np.nan)


def _measured(panel: str, rules: Sequence[str], risks: Floats) -> list[dict[str, Any]]:
    """Relative gaps from risks (draws; rules, random last; shares; weights)."""
    rows = []
    for i, rule in enumerate(rules):
        for j, share in enumerate(SHARES):
            gaps = risks[:, i, j] - risks[:, -1, j]
            start = gaps[:, :1]
            ratio = gaps.mean(axis=0) / start.mean()
            interval = half_width(gaps - ratio * start) / abs(start.mean())
            values = (WEIGHTS, ratio, interval, start.mean(), half_width(start)[0])
            rows.append(_row(panel, "measured", rule, share, *values))
    return rows


def _row(panel: str, kind: str, rule: str, share: float, *values: Any) -> dict[str, Any]:
    """One block of the table."""
    names = ("teacher_weight", "relative_gap", "interval", "gap_at_zero", "gap_at_zero_interval")
    return {"panel": panel, "kind": kind, "rule": rule, "kept_share": share, **dict(zip(names, values, strict=True))}


def draw(table: Table) -> Figure:
    """A panel per setting, colours by rule, filled markers and solid lines for the smaller share."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 5.0), sharex=True, sharey=True)
    for axis, (panel, title) in zip(axes.flat, PANELS.items(), strict=True):
        shown = where(table, panel=panel)
        axis.axhline(0.0, color=GREY, lw=0.5)
        axis.plot(LINE, gap_ratio(LINE), color=INK, lw=1.0, zorder=1)
        if panel != "equal":
            axis.plot(LINE, 1 - LINE, color=INK, lw=0.8, ls=":", zorder=1)
        for i, (rule, color, marker) in enumerate(zip(RULES, OKABE_ITO, "os^", strict=False)):
            for j, share in enumerate(SHARES):
                line = where(shown, kind="theory", rule=rule, kept_share=share)
                if panel == "unequal" and rule != "leverage":
                    axis.plot(line["teacher_weight"], line["relative_gap"], color=color, ls=("-", "--")[j], lw=0.9, zorder=1)
                picked = slice(1 + 2 * i + j, None, EVERY)
                for name, ink in ((rule, color), (rule + CLEAN, GREY)):
                    points = where(shown, kind="measured", rule=name, kept_share=share)
                    if clear(points):
                        w, gap, half = (points[key][picked] for key in ("teacher_weight", "relative_gap", "interval"))
                        style = {"fmt": marker, "ms": 3.5, "color": ink, "mfc": (ink, "white")[j], "mew": 0.8, "lw": 0.8}
                        axis.errorbar(w, gap, half, **style)
        axis.set_title(title)
    axes[1, 1].text(0.5, 1.05, "clean labels", color=GREY, fontsize=7, ha="center")
    axes[0, 0].set(xlim=(-0.02, 1.03), ylim=(-0.09, 1.14))
    for axis in axes[:, 0]:
        axis.set_ylabel("gap to random rows / gap at $w$ = 0")
    for axis in axes[1]:
        axis.set_xlabel("teacher weight $w$")
    figure.legend(handles=_handles(), loc="outside lower center", ncols=7, columnspacing=1.2, handletextpad=0.5)
    return figure


def clear(points: Table) -> bool:
    """Whether there is a gap to speak of at weight zero."""
    return bool((np.abs(points["gap_at_zero"]) > 2 * points["gap_at_zero_interval"]).any())


def _handles() -> list[Line2D]:
    """Legend entries: rules, shares, laws."""
    entries = [
        Line2D([], [], color=color, marker=marker, ls="", ms=4, label=rule)
        for rule, color, marker in zip(RULES, OKABE_ITO, "os^", strict=False)
    ]
    for share, face, dash in zip(SHARES, (INK, "white"), ("-", "--"), strict=True):
        entries.append(
            Line2D([], [], color=INK, marker="o", ms=4, mfc=face, ls=dash, lw=0.9, label=f"{100 * share:.0f} % kept")
        )
    entries.append(Line2D([], [], color=INK, lw=1.0, label="$(1-w)^2$"))
    entries.append(Line2D([], [], color=INK, lw=0.8, ls=":", label="$1-w$"))
    return entries
