"""The optimal teacher weight rises with label noise and passes one (Das & Sanghavi, 2023, arXiv:2301.13304).

Varied: the variance of the label noise over the mean square of the signal, the ridge, and whose error is counted.
Tuned: the teacher weight, on the known signal, which no user has.
Seeds: 200 draws of the labels per noise level; points are vertices of the averaged parabola with the 95 % percentile
interval of 1,000 bootstrap samples of the draws.
Sizes: the 442 diabetes inputs of scikit-learn, 10 standardised features; a fixed design, so no test points.

Linear kernel; the signal is the linear fit of the true labels, of mean square 1. Lines: the weight with the least expected
error of the parameters, and of the predictions at the training points (``kdtheory.weights.expected_curve``). Points: labels
simulated, two ridge fits each by linear solves, on the labels and on the teacher. Dotted: the limits of infinite noise, all
above 1. Right: what the paper reports for networks, second-hand (``das_sanghavi_reported.csv``): cross-entropy, linear
probes, so not comparable with the left; only the direction is. Its weights are from a grid; "noisy" is the share of labels.
Design, ridges and noise levels are chosen here.
"""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

import kdtheory as kd
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, plain, stack, where
from paper_figs.toy import DATA

RIDGES = (10.0, 100.0, 1000.0)
NOISES = np.logspace(-2, 3, 51)
EVERY = 5  # of them one is simulated
DRAWS, RESAMPLES = 200, 1000
ERRORS = ("parameters", "prediction")

Floats = NDArray[np.float64]


def compute() -> Table:
    """Weights: theory with its limit, measured with its interval, reported with the gain."""
    X, signal = _design()
    spectrum, nothing = kd.Spectrum.from_features(X), np.zeros(len(X))
    rows: list[dict[str, Any]] = []
    for error in ERRORS:
        for ridge in RIDGES:
            how: dict[str, Any] = {"ridge": ridge, "error": error}
            limit = kd.weights.expected_curve(spectrum, nothing, noise_variance=1.0, **how).optimal_weight
            curves = [kd.weights.expected_curve(spectrum, signal, noise_variance=v, **how) for v in NOISES.tolist()]
            line = [curve.optimal_weight for curve in curves]
            rows.append(_row("theory", line, error=error, ridge=ridge, noise_variance=NOISES, infinite_noise=limit))
    for seed, noise in enumerate(NOISES[::EVERY].tolist()):
        labels = signal[:, None] + np.sqrt(noise) * np.random.default_rng(seed).normal(size=(len(X), DRAWS))
        for ridge in RIDGES:
            for error in ERRORS:
                weight, low, high = _vertex(*_moments(X, signal, labels, ridge, error))
                rows.append(_row("measured", weight, error=error, ridge=ridge, noise_variance=noise, low=low, high=high))
    return stack(rows + _reported())


def _row(kind: str, teacher_weight: Any, **values: Any) -> dict[str, Any]:
    """One block of the table; what does not apply is nan or empty."""
    numbers = ("ridge", "noise_variance", "infinite_noise", "low", "high", "noise_share", "gain")
    empty: dict[str, Any] = {"kind": kind, "error": "", "dataset": "", "teacher_weight": teacher_weight}
    return empty | dict.fromkeys(numbers, np.nan) | values


def _design() -> tuple[Floats, Floats]:
    """Standardised features (442, 10) and a linear signal of mean square 1."""
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    signal = X @ np.linalg.lstsq(X, y - y.mean(), rcond=None)[0]
    return X, signal / np.sqrt(np.mean(signal**2))


def _moments(X: Floats, signal: Floats, labels: Floats, ridge: float, error: str) -> tuple[Floats, Floats]:
    """Per draw <truth - P_l, P_t - P_l> and |P_t - P_l|² of the student on labels and the one on its teacher."""
    matrix = X.T @ X + ridge * np.eye(X.shape[1])
    on_labels = np.linalg.solve(matrix, X.T @ labels)
    on_teacher = np.linalg.solve(matrix, X.T @ (X @ on_labels))
    truth = np.linalg.lstsq(X, signal, rcond=None)[0]
    gap, change = truth[:, None] - on_labels, on_teacher - on_labels
    if error == "prediction":
        gap, change = X @ gap, X @ change
    return np.asarray(np.sum(gap * change, axis=0)), np.asarray(np.sum(change**2, axis=0))


def _vertex(products: Floats, squares: Floats) -> tuple[float, float, float]:
    """Vertex of the averaged parabola and its bootstrap interval over draws."""
    counts = np.random.default_rng(0).multinomial(DRAWS, np.full(DRAWS, 1 / DRAWS), size=RESAMPLES)
    low, high = np.percentile((counts @ products) / (counts @ squares), [2.5, 97.5])
    return float(products.sum() / squares.sum()), float(low), float(high)


def _reported() -> list[dict[str, Any]]:
    """The published weights and gains; a gain is that of the two accuracies where both are known."""
    with (DATA / "das_sanghavi_reported.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    rows = []
    for line in lines:
        known = line["accuracy_teacher"] and line["accuracy_student"]
        gain = float(line["accuracy_student"]) - float(line["accuracy_teacher"]) if known else float(line["gain"])
        values = {"dataset": line["dataset"], "noise_share": float(line["noise_share"]), "gain": gain}
        rows.append(_row("reported", float(line["teacher_weight"]), **values))
    return rows


def draw(table: Table) -> Figure:
    """Errors of parameters and of predictions; the reported numbers beside them."""
    figure, axes = plt.subplots(1, 3, figsize=(PAGE, 3.0), width_ratios=(1, 1, 0.95))
    for axis, error in zip(axes[:2], ERRORS, strict=True):
        for ridge, color, marker in zip(RIDGES, OKABE_ITO, "os^", strict=False):
            curve = where(table, kind="theory", error=error, ridge=ridge)
            points = where(table, kind="measured", error=error, ridge=ridge)
            axis.plot(curve["noise_variance"], curve["teacher_weight"], color=color)
            axis.axhline(curve["infinite_noise"][0], color=color, lw=0.8, ls=":")
            w = points["teacher_weight"]
            style: dict[str, Any] = {"fmt": marker, "ms": 3, "color": color, "mfc": "white", "mew": 0.8, "lw": 0.8}
            axis.errorbar(
                points["noise_variance"], w, [w - points["low"], points["high"] - w], label=f"ridge {ridge:,g}", **style
            )
        axis.axhline(1.0, color=INK, lw=0.6)
        axis.axhline(0.0, color=GREY, lw=0.6)
        axis.set(xscale="log", xlabel="noise variance / signal", title=f"error of the {error.rstrip('s')}s")
        plain(axis.xaxis)
    for dash, width, label in (("-", 1.2, "theory"), (":", 0.8, "infinite noise")):
        axes[0].plot([], [], dash, color=INK, lw=width, label=label)
    axes[0].set_ylabel("optimal teacher weight")
    axes[1].set_ylabel("optimal teacher weight")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=5, columnspacing=1.2)
    _draw_reported(axes[2], where(table, kind="reported"))
    title = f"Diabetes inputs, 442 points, 10 features, points: {DRAWS} draws of the labels"
    figure.suptitle(title, fontsize=8.5)
    return figure


def _draw_reported(axis: Any, reported: Table) -> None:
    """A small table of the published numbers."""
    axis.axis("off")
    columns = (reported["dataset"], reported["noise_share"], reported["teacher_weight"], reported["gain"])
    cells = []
    for name, share, weight, gain in zip(*columns, strict=True):
        cells.append([name, f"{100 * share:g} %", f"{weight:g}", f"{gain:+.2f}".replace("-", "\u2212")])
    sheet = axis.table(
        cells,
        colLabels=["data", "noisy", "weight", "gain"],
        colWidths=[0.42, 0.19, 0.2, 0.19],
        cellLoc="center",
        edges="horizontal",
        bbox=Bbox.from_bounds(0.0, 0.32, 1.0, 0.66),
    )
    sheet.auto_set_font_size(False)
    sheet.set_fontsize(6.5)
    for cell in sheet.get_celld().values():
        cell.set_linewidth(0.4)
    note = (
        "Reported: cross-entropy, linear probe;\nsecond-hand; not comparable,\nonly the direction is."
        "\nGain: points of test accuracy."
    )
    axis.text(0.5, 0.25, note, ha="center", va="top", fontsize=6.5, color=INK)
    axis.set_title("networks, as reported")
