"""Hard rows beat random ones while many are kept and lose when few are; with noisy labels from larger shares on.

Varied: the kept share, the rule that keeps rows (hardest, easiest, leverage, against random), and the share of labels that
are ten times as noisy (0, 5, 20 %) or, for digits in d, flipped.
Tuned: nothing in a to c; for digits the ridge, by leave-one-out on the flipped labels.
Seeds: 300 draws with 4 random sets of rows each; digits: 10 random splits, which overlap. Intervals: 95 % t, paired, over
draws or splits; of the ratio of means by linearising it.
Sizes: 6,000 points, 10 white Gaussian features, no test points: the risk is exact given the fit; digits: 1,000 training
images.

Without distillation. a to c: risk of the least-squares fit of the kept rows less that of the fit of all, relative to the
same for random rows; rules rank the rows by the fit of all of them: by the size of their residuals, or by leverage, what a
row weighs in its own prediction. Lines: closed form, large-sample limit; dotted: where the hardest rows begin to lose.
Points: simulation. a: equal label noise. b: the hardest rows. c: the easiest rows; below zero they are better than all rows,
because they leave out the noisy labels. d: share of noisy labels among the hardest rows. Solid: wrong labels stand out,
min(1, noisy share / kept share). Dashed and filled: ten times as noisy, closed form and simulation. Hollow: scikit-learn's
digits, that share of labels flipped to another class, ranked by the residual of kernel ridge regression (RBF kernel). All
settings are chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import kdtheory as kd
from kdtheory.kept import kept_count
from kdtheory.selection import crossing, excess_over_random, kept_noise_share, order_by
from paper_figs.digits import Split
from paper_figs.selection_gap import DRAWS, RULES, P, simulate, tuned_ridge
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, plain, stack, where

SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.75)
LINE = np.linspace(0.03, 0.87, 85)
NOISES = (0.0, 0.05, 0.2)  # shares of noisy labels
NOISY_SCALE = 10.0
SPLITS = 10
MARKERS = "os^"


def compute() -> Table:
    """Relative excess risk, and share of noisy labels among the kept, per kind, rule, noise and kept share; half-widths."""
    rows: list[dict[str, Any]] = []
    splits = [Split.draw("rbf", seed) for seed in range(SPLITS)]
    for noisy_share in NOISES:
        noise = {"noisy_share": noisy_share, "noisy_scale": NOISY_SCALE}
        draws = np.array([simulate(np.random.default_rng([8, d]), SHARES, **noise) for d in range(DRAWS)])
        excess, among = draws[..., 0] + 2 * draws[..., 1], draws[..., 2]
        for i, rule in enumerate(RULES):
            line = excess_over_random(LINE, rule=rule, features=P, **noise)
            rows.append(_row("theory", "ratio", rule, noisy_share, LINE, line))
            ratio = excess[:, i].mean(axis=0) / excess[:, -1].mean(axis=0)
            half = half_width(excess[:, i] - ratio * excess[:, -1]) / excess[:, -1].mean(axis=0)
            rows.append(_row("simulation", "ratio", rule, noisy_share, SHARES, ratio, half))
        rows.append(_row("crossing", "ratio", "hardest", noisy_share, crossing(**noise), 1.0))
        if noisy_share > 0:
            for kind, scale in (("theory", NOISY_SCALE), ("stands out", np.inf)):
                line = kept_noise_share(LINE, noisy_share=noisy_share, noisy_scale=scale)
                rows.append(_row(kind, "noise", "hardest", noisy_share, LINE, line))
            for kind, shares in (
                ("simulation", among[:, 0]),
                ("digits", np.array([_flipped(split, noisy_share) for split in splits])),
            ):
                rows.append(_row(kind, "noise", "hardest", noisy_share, SHARES, shares.mean(axis=0), half_width(shares)))
    return stack(rows)


def _row(kind: str, quantity: str, rule: str, noisy_share: float, *values: Any) -> dict[str, Any]:
    """One block of the table; theory has no interval."""
    names = ("kept_share", "value", "interval")
    row: dict[str, Any] = {"kind": kind, "quantity": quantity, "rule": rule, "noisy_share": noisy_share, "interval": np.nan}
    return row | dict(zip(names, values, strict=False))


def _flipped(split: Split, noisy_share: float) -> list[float]:
    """Share of flipped labels among the hardest of the digits, per kept share."""
    labels, _ = split.noisy(noisy_share)
    flipped = (labels != split.labels).any(axis=1)
    residual = split.spectrum.residual(kd.Ridge(tuned_ridge(split.spectrum, labels)), labels)
    order = order_by(np.linalg.norm(residual, axis=1))
    return [float(flipped[order[: kept_count(share, len(order))]].mean()) for share in SHARES]


def draw(table: Table) -> Figure:
    """Three panels of relative excess risk, one of the noise in what is kept."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 5.0), sharex=True)
    ratio, noise = where(table, quantity="ratio"), where(table, quantity="noise")
    labels = ["equal noise", *(f"{100 * share:.0f} % of labels noisier" for share in NOISES[1:])]
    by_noise = list(zip(NOISES, labels, (OKABE_ITO[0], OKABE_ITO[3], OKABE_ITO[4]), MARKERS, strict=True))
    for rule, color, marker in zip(RULES, OKABE_ITO, MARKERS, strict=False):
        _series(axes[0, 0], where(ratio, noisy_share=0.0, rule=rule), color, marker, rule)
    for share, label, color, marker in by_noise:
        _series(axes[0, 1], where(ratio, noisy_share=share, rule="hardest"), color, marker, label)
        _series(axes[1, 0], where(ratio, noisy_share=share, rule="easiest"), color, marker, label)
        if share > 0:
            _noise(axes[1, 1], where(noise, noisy_share=share), color, marker)
    _cross(axes[0, 0], where(ratio, kind="crossing", noisy_share=0.0), OKABE_ITO[:1], 1.2e-3)
    _cross(axes[0, 1], where(ratio, kind="crossing"), [look[2] for look in by_noise], 2.2e-2)
    for axis in axes.flat[:3]:
        axis.axhline(1.0, color=GREY, lw=0.6, zorder=0)
    axes[1, 0].axhline(0.0, color=INK, lw=0.6, zorder=0)
    axes[1, 0].annotate("better than all rows", (0.03, -0.12), fontsize=7, va="top", color=INK)
    axes[0, 0].set(yscale="log", ylim=(8e-4, 40), title="a  equal noise")
    axes[0, 1].set(yscale="log", ylim=(1.6e-2, 40), title="b  hardest rows")
    axes[1, 0].set(ylim=(-5.2, 2.2), title="c  easiest rows")
    axes[1, 1].set(ylim=(0, 1.04), title="d  noise among the hardest rows", ylabel="share of noisy labels")
    for axis in axes[0]:
        plain(axis.yaxis)
    for axis in axes.flat[:3]:
        axis.set_ylabel("excess risk / that of random rows")
    for axis in axes[1]:
        axis.set(xlabel="kept share of the data", xlim=(0.0, 0.89))
    axes[0, 0].legend(loc="upper right")
    axes[0, 1].legend(loc="upper right")
    axes[1, 0].legend(loc="lower left")
    axes[1, 1].legend(handles=_handles(), loc="upper right")
    return figure


def _series(axis: Any, rows: Table, color: str, marker: str, label: str) -> None:
    """A line and simulated points."""
    line, points = (where(rows, kind=kind) for kind in ("theory", "simulation"))
    axis.plot(line["kept_share"], line["value"], color=color, lw=1.0)
    style: dict[str, Any] = {"fmt": marker, "ms": 3.5, "color": color, "mfc": "white", "mew": 0.8, "lw": 0.8}
    axis.errorbar(points["kept_share"], points["value"], points["interval"], label=label, **style)


def _cross(axis: Any, crossings: Table, colors: Sequence[str], low: float) -> None:
    """From where lines cross one down to the axis, with the share."""
    for share, color in zip(crossings["kept_share"], colors, strict=True):
        side = -1 if share == crossings["kept_share"].min() else 1
        axis.plot([share, share], [1e-9, 1.0], color=color, lw=0.8, ls=":")
        axis.text(share + side * 0.007, low, f"{share:.2f}", color=color, fontsize=7, ha="right" if side < 0 else "left")


def _noise(axis: Any, rows: Table, color: str, marker: str) -> None:
    """Lines with and without overlap of the noise, simulation and digits."""
    for kind, dash in (("stands out", "-"), ("theory", "--")):
        line = where(rows, kind=kind)
        axis.plot(line["kept_share"], line["value"], color=color, lw=1.0, ls=dash)
    for kind, face in (("simulation", color), ("digits", "white")):
        points = where(rows, kind=kind)
        style: dict[str, Any] = {"fmt": marker, "ms": 3.5, "color": color, "mfc": face, "mew": 0.8, "lw": 0.8}
        axis.errorbar(points["kept_share"], points["value"], points["interval"], **style)


def _handles() -> list[Line2D]:
    """Legend of the noise: kinds, the colours being those of the other panels."""
    looks: dict[str, Any] = {"color": INK, "lw": 1.0, "ms": 3.5, "mew": 0.8}
    return [
        Line2D([], [], ls="-", label="wrong labels stand out", **looks),
        Line2D([], [], ls="--", marker="o", label=f"{NOISY_SCALE:g} times as noisy", **looks),
        Line2D([], [], ls="", marker="o", mfc="white", label="digits, flipped labels", **looks),
    ]
