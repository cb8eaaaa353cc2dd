"""Error over teacher weight and round, by ridge and label noise: what the figures ``digits_rbf`` and ``digits_ntk`` share.

Trained on 1,000 images; colour is the squared error on 397 validation images with clean labels, against the undistilled
round 0. One split (seed 0); no test image is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import kdtheory as kd
from paper_figs.digits import NOISES, Split
from paper_figs.style import INK, PAGE, Table, stack, where

WEIGHTS = np.sinh(np.linspace(np.arcsinh(-12.0), np.arcsinh(18.0), 67)) / 2  # -6 .. 9, dense around zero
ROUNDS = 20
MARKS = (  # column, marker, size, face, edge, label
    ("optimum_noisy", "*", 10, "white", INK, "closed-form optimum, validation labels as noisy as the training's"),
    ("optimum_clean", "*", 6.5, INK, "white", "closed-form optimum, clean validation labels"),
    ("optimum_loo", "o", 9, "none", INK, "closed-form optimum, exact leave-one-out"),
)
RATIO = 2.0  # colours end at twice and half the undistilled error


def compute(kernel: str, ridges: tuple[float, ...], seed: int = 0) -> Table:
    """Validation and leave-one-out error of every weight and round, and the three closed-form optima of round 1."""
    split = Split.draw(kernel, seed)
    s, cross, clean = split.spectrum, split.cross_validation, split.labels_validation
    rows: list[dict[str, Any]] = []
    for noise in NOISES:
        labels, noisy = split.noisy(noise)
        how: dict[str, Any] = {"ridges": ridges, "teacher_weights": WEIGHTS, "rounds": ROUNDS}
        validation = kd.risk_grid(s, labels, cross, clean, **how)
        left_out = kd.loo_grid(s, labels, **how)
        for ridge, error, loo_error in zip(ridges, validation, left_out, strict=True):
            rows.append(
                {
                    "noise": noise,
                    "ridge": ridge,
                    "teacher_weight": np.repeat(WEIGHTS, ROUNDS + 1),
                    "round": np.tile(np.arange(ROUNDS + 1), len(WEIGHTS)),
                    "validation_error": error,
                    "loo_error": loo_error,
                    "optimum_clean": split.optimum(labels, ridge, clean),
                    "optimum_noisy": split.optimum(labels, ridge, noisy),
                    "optimum_loo": split.optimum_by_loo(labels, ridge),
                }
            )
    return stack(rows)


def draw(table: Table, title: str) -> Figure:
    """A panel per ridge (columns) and noise (rows): colour is the error against no distillation."""
    noises, ridges = np.unique(table["noise"]), np.unique(table["ridge"])
    figure, axes = plt.subplots(
        len(noises), len(ridges), figsize=(PAGE, 1.75 * len(noises) + 0.6), sharex=True, sharey=True, squeeze=False
    )
    for i, noise in enumerate(noises):
        for j, ridge in enumerate(ridges):
            axis, panel = axes[i, j], where(table, noise=noise, ridge=ridge)
            image = _panel(axis, panel)
            if i == 0:
                axis.set_title(f"ridge {ridge:g}")
            if j == 0:
                axis.set_ylabel(f"label noise {100 * noise:g} %\nround $t$")
    for axis in axes[-1]:
        axis.set_xlabel("teacher weight (asinh scale)")
    bar = figure.colorbar(image, ax=axes, shrink=0.6, ticks=[0.5, 0.7, 1.0, 1.4, 2.0], extend="both", pad=0.01)
    bar.ax.set_yticklabels(["0.5", "0.7", "1", "1.4", "2"])
    bar.minorticks_off()
    bar.set_label("validation error, relative to round 0")
    dots = axes[0, 0].get_legend_handles_labels()[0][:2]
    stars = [
        Line2D([], [], marker=marker, ms=size, mfc=face, mec=edge, mew=0.7, ls="none", label=label)
        for _, marker, size, face, edge, label in MARKS
    ]
    figure.legend(handles=[*dots, *stars], loc="outside lower center", ncols=2)
    figure.suptitle(title, fontsize=8.5)
    return figure


def _panel(axis: Any, panel: Table) -> Any:
    shape = (len(WEIGHTS), ROUNDS + 1)
    error, loo_error = (panel[name].reshape(shape) for name in ("validation_error", "loo_error"))
    rounds = np.arange(1, ROUNDS + 1)
    image = axis.pcolormesh(
        WEIGHTS,
        rounds,
        (error / error[:, :1])[:, 1:].T,
        norm=LogNorm(1 / RATIO, RATIO),
        cmap="RdBu_r",
        rasterized=True,
    )
    for errors, face, label in ((error, INK, "clean validation"), (loo_error, "white", "exact leave-one-out")):
        best = WEIGHTS[errors[:, 1:].argmin(axis=0)]
        axis.plot(best[1:], rounds[1:], "o", ms=2.4, mfc=face, mec=INK, mew=0.5, label=f"best from round 2 on, {label}")
    low, high = WEIGHTS[0], WEIGHTS[-1]
    for name, marker, size, face, edge, _ in MARKS:
        weight = float(panel[name][0])
        shown = marker if low <= weight <= high else "<" if weight < low else ">"
        how: dict[str, Any] = {"ms": size, "mfc": face, "mec": edge, "mew": 0.7, "clip_on": False, "zorder": 5}
        axis.plot(np.clip(weight, low, high), 1, shown, **how)
    axis.set_xscale("asinh", linear_width=0.5)
    axis.minorticks_off()
    axis.set_xticks([-5, -2, -1, 0, 1, 2, 5], ["−5", "−2", "−1", "0", "1", "2", "5"])
    axis.set(xlim=(low, high), ylim=(0.5, ROUNDS + 0.5), yticks=[1, 5, 10, 15, 20])
    return image
