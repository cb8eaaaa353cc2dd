"""Digits: one round mends part of what a wrong ridge costs; at the best ridge leave-one-out on noisy labels gains little.

Varied: the ridge, 0.001 to 100; the share of training labels flipped to another class, 0, 20 and 40 %; the kernel, Gaussian
(RBF, gamma 0.25) and that of infinitely wide ReLU networks with 3 hidden layers (NTK).
Tuned: the teacher weight of the round, in closed form, by exact leave-one-out on the (noisy) training labels, or on the
clean labels of the validation images; the ridge is not tuned.
Seeds: 5 random splits, each with flips of its own; points are means with 95 % t-intervals.
Sizes: 1,000 training, 397 validation and 400 test images, 10 outputs; the error is the mean square on clean test labels.

Thin lines guide the eye; there is no theory in this figure. Without flips the tangent kernel is the exception: its best
ridge is the smallest of the grid, and the round still gains there. Flipped labels shrink the conditional mean by
1 - 10/9 · share; a weight tuned on clean labels undoes that shrinkage at large ridges, one tuned on the noisy labels cannot
know of it. All settings are chosen here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

import kdtheory as kd
from paper_figs.digits import KERNELS, NOISES, TRAIN, Split
from paper_figs.style import OKABE_ITO, PAGE, Table, half_width, plain, stack, where

RIDGES = np.logspace(-3, 2, 11)
SEEDS = 5
METHODS = ("no distillation", "weight by leave-one-out", "weight by clean validation")


def compute() -> Table:
    """Test error, test accuracy and weight per kernel, noise, ridge, method and seed."""
    rows: list[dict[str, Any]] = []
    for kernel in KERNELS:
        for seed in range(SEEDS):
            split = Split.draw(kernel, seed)
            for noise in NOISES:
                labels, _ = split.noisy(noise)
                for ridge in RIDGES:
                    for method, weight in zip(METHODS, _weights(split, labels, ridge), strict=True):
                        how: dict[str, Any] = {"ridge": ridge, "teacher_weights": [weight], "cross": split.cross_test}
                        prediction = kd.rounds(split.spectrum, labels, **how)[1]
                        hits = prediction.argmax(axis=1) == split.labels_test.argmax(axis=1)
                        rows.append(
                            {
                                "kernel": kernel,
                                "noise": noise,
                                "ridge": ridge,
                                "method": method,
                                "seed": seed,
                                "teacher_weight": weight,
                                "test_error": np.mean((prediction - split.labels_test) ** 2),
                                "test_accuracy": np.mean(hits),
                            }
                        )
    return stack(rows)


def _weights(split: Split, labels: Any, ridge: float) -> tuple[float, float, float]:
    """0, the vertex of the leave-one-out parabola, and that of the validation parabola."""
    return 0.0, split.optimum_by_loo(labels, ridge), split.optimum(labels, ridge, split.labels_validation)


def draw(table: Table) -> Figure:
    """A panel per kernel (rows) and noise level (columns)."""
    figure, axes = plt.subplots(len(KERNELS), len(NOISES), figsize=(PAGE, 3.9), sharex=True, sharey="col", squeeze=False)
    for i, kernel in enumerate(KERNELS):
        for j, noise in enumerate(NOISES):
            axis = axes[i, j]
            for method, color, marker in zip(METHODS, OKABE_ITO, "os^", strict=False):
                panel = where(table, kernel=kernel, noise=noise, method=method)
                by_ridge = np.stack([panel["test_error"][panel["ridge"] == ridge] for ridge in RIDGES])
                mean, error = by_ridge.mean(axis=1), half_width(by_ridge, axis=1)
                apart = RIDGES * 1.13 ** (METHODS.index(method) - 1)  # beside each other where they agree
                look: dict[str, Any] = {"color": color, "marker": marker, "ms": 3, "mfc": "white", "mew": 0.8}
                axis.errorbar(apart, mean, error, lw=0.5, elinewidth=0.8, label=method, **look)
            axis.set(xscale="log", yscale="log")
            plain(axis.xaxis)
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.yaxis.set_minor_locator(NullLocator())
            axis.set_title(f"{kernel.upper()}, label noise {100 * noise:g} %")
    for axis in axes[:, 0]:
        axis.set_ylabel("test error (mean square)")
    for axis in axes[-1]:
        axis.set_xlabel("ridge")
    figure.suptitle(f"Digits, {TRAIN:,} training images, one round: means and 95 % intervals of {SEEDS} splits", fontsize=8.5)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure
