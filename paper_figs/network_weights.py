"""Trained students want more teacher the less is kept; two of them, at weights 0 and 1, foretell the best weight.

Varied: the data, the loss with its network, the share of labels flipped, the kept share (random, nested), the teacher
weight.
Tuned: nothing; the teacher is stopped where its error on the (noisy) validation labels is least, students are not stopped;
the weight used at the right is chosen on noisy validation labels, seed by seed. Test labels are true and choose nothing.
Seeds: 8, each with a split, noise, teacher, subset and initialisation of its own; students of a seed differ by weight and
rows alone, minibatches included. Points are means with 95 % intervals over seeds.
Sizes: Fashion-MNIST: 3,000 training, 1,000 validation and 4,000 test images; digits: 1,011, 337 and 449. Squared loss: fully
connected, two hidden layers of 128 (NTK parameterisation, output minus initial output, 500 steps); cross-entropy at
temperature 4: convolutions of 12 and 24 channels (Adam, 500 steps).

Labels of the training and the validation part are flipped to another class. Left: squared error per output on test points
(of probabilities under cross-entropy) with a fifth flipped; lines: the parabola through the two ends' predictions, no other
student used. Middle: the vertex of the parabola through all weights' test errors (points); full lines: closed form from the
two students at weights 0 and 1 on noisy validation labels; dashed (squared loss): students of the tangent kernel of infinite
width, trained as long, fed the network's teacher. Drawn within -0.6 and 1.6; an optimum that the mean risk does not identify
is left out. Label noise pulls what is read on noisy labels up where much is kept, since it shrinks the labels' mean
(network_rules has the scale-free optimum, which it does not). Under cross-entropy the weight no longer rises below a fifth
of the rows; probabilities are not affine in the weight, and the parabola is an approximation. Right: accuracy on test points
of students on labels only (dotted), on the teacher only (thin) and at the two ends' scale-free weight of each seed, within 0
and 1 (points); dashes at the right: teacher. These thin and dotted lines join measurements.

All settings are chosen here. Recorded in data/weight_vs_fraction.csv by ``KDTHEORY_DATA=DIR python -m empirical run
weight_vs_fraction --set "data=('digits', 'fashion_mnist')"``; seeds 1 to 7 by code whose flips and minibatches draw other
random numbers than the present one (column ``revision``). Measured anew by ``python -m paper_figs network_weights
--recompute``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from empirical.cells import Cell, cells_of
from empirical.pairs import squared_error
from paper_figs.regression_data import recorded
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where

RECORD = "weight_vs_fraction.csv"
RULES = {"two endpoints": "-", "fed kernel": "--"}
SHOWN = 0.2  # label noise of the panels of risk
FINE = np.linspace(-0.1, 1.35, 59)
LOW, HIGH = -0.6, 1.6
TITLES = {"squared": "squared loss", "cross_entropy": "cross-entropy"}
NAMES = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}


def cells(file: str = RECORD) -> list[Cell]:
    """The recorded cells."""
    table = recorded(file)
    return cells_of([dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)])


def compute() -> Table:
    """Rows: quantity, data, loss, noise, kept share, weight where one belongs to it, value, low and high."""
    rng = np.random.default_rng(0)
    return stack([row for cell in cells() for row in _rows(cell, rng)])


def _rows(cell: Cell, rng: np.random.Generator) -> list[dict[str, Any]]:
    here = {"data": cell.data, "loss": cell.loss, "noise": cell.noise, "keep_fraction": cell.keep_fraction}
    rows: list[dict[str, Any]] = []

    def add(quantity: str, value: Any, half: Any = 0.0, weight: Any = np.nan, ends: tuple[float, float] | None = None) -> None:
        low, high = (np.asarray(value) - half, np.asarray(value) + half) if ends is None else ends
        rows.append(here | {"quantity": quantity, "weight": weight, "value": value, "low": low, "high": high})

    add("risk", cell.errors.mean(axis=1), half_width(cell.errors, axis=1), cell.weights)
    add("mix", squared_error(cell.moments["net_test"].mean(axis=0), FINE), weight=FINE)
    best = cell.measured(rng)
    add("optimum", best.value, ends=(best.low, best.high))
    for rule in RULES:
        if rule in cell.rules:
            said = cell.predicted(rule, "squared error", "noisy", rng)
            add(rule, said.value, ends=(said.low, said.high))
    if np.isfinite(cell.accuracies).all():
        used = cell.used_by_seed("two endpoints", "scale-free", "noisy")
        reached = np.array([np.interp(w, cell.weights, cell.accuracies[:, s]) for s, w in enumerate(used.tolist())])
        ends = {w: cell.accuracies[list(cell.weights).index(w)] for w in (0.0, 1.0)}
        for name, values in (
            ("at rule", reached),
            ("labels", ends[0.0]),
            ("teacher", ends[1.0]),
            ("itself", cell.teacher_accuracy),
        ):
            add(f"accuracy {name}", values.mean(), half_width(values))
    return rows


def draw(table: Table) -> Figure:
    """A row of three panels for each data set and loss."""
    pairs = list(dict.fromkeys(zip(table["data"].tolist(), table["loss"].tolist(), strict=True)))
    figure, axes = plt.subplots(len(pairs), 3, figsize=(PAGE, 1.8 * len(pairs) + 0.6), squeeze=False)
    noises, shares = (np.unique(table[name]) for name in ("noise", "keep_fraction"))
    of_share = dict(zip(shares.tolist(), plt.get_cmap("viridis")(np.linspace(0, 0.88, len(shares))), strict=True))
    of_noise = dict(zip(noises.tolist(), zip(OKABE_ITO, "os^", strict=False), strict=False))
    for (data, loss), (left, middle, right) in zip(pairs, axes, strict=True):
        here = where(table, data=data, loss=loss)
        _risks(left, where(here, noise=SHOWN if SHOWN in noises else noises[0]), of_share)
        _optima(middle, here, of_noise)
        _accuracies(right, here, of_noise)
        left.set_title(f"{NAMES.get(data, data)}, {TITLES[loss]}", loc="left")
        middle.set_ylabel("optimal teacher weight")
        right.set_ylabel("test accuracy (%)")
    for axis, label in zip(
        axes[-1], ("teacher weight", "kept share of the rows (%)", "kept share of the rows (%)"), strict=True
    ):
        axis.set_xlabel(label)
    noise = [
        Line2D([], [], color=color, marker=marker, ms=3, lw=0, label=f"{100 * p:.0f} % flipped")
        for p, (color, marker) in of_noise.items()
    ]
    lines = [Line2D([], [], color=INK, ls=style, lw=1, label=rule) for rule, style in RULES.items()]
    kept = [Line2D([], [], color=of_share[f], marker="o", ms=3, lw=1, label=f"{100 * f:g} % kept") for f in shares.tolist()]
    accuracy = [
        Line2D([], [], color=INK, ls=":", lw=1, label="labels only"),
        Line2D([], [], color=INK, lw=0.5, label="teacher only"),
    ]
    figure.legend(handles=kept, loc="outside upper center", ncols=len(kept))
    figure.legend(handles=[*noise, *lines, *accuracy], loc="outside lower center", ncols=4)
    return figure


def _risks(axis: Axes, here: Table, colors: dict[float, Any]) -> None:
    for f, color in colors.items():
        line, points = (where(here, quantity=quantity, keep_fraction=f) for quantity in ("mix", "risk"))
        axis.plot(line["weight"], line["value"], color=color, lw=0.8)
        bars = [points["value"] - points["low"], points["high"] - points["value"]]
        axis.errorbar(points["weight"], points["value"], bars, color=color, fmt="o", ms=2.5, lw=0.8)
    axis.set_ylabel("test squared error")


def _optima(axis: Axes, here: Table, looks: dict[float, Any]) -> None:
    for k, (p, (color, marker)) in enumerate(looks.items()):
        for rule, style in RULES.items():
            line = where(here, quantity=rule, noise=p)
            axis.plot(line["keep_fraction"], np.clip(line["value"], LOW, HIGH), color=color, ls=style, lw=0.9)
        points = where(here, quantity="optimum", noise=p)
        value, low, high = (np.clip(points[name], LOW, HIGH) for name in ("value", "low", "high"))
        inside = (points["value"] > LOW) & (points["value"] < HIGH)
        x = points["keep_fraction"] * 1.04 ** (k - 1)
        spread = [(value - low)[inside], (high - value)[inside]]
        axis.errorbar(x[inside], value[inside], spread, color=color, fmt=marker, ms=3, lw=0.8)
    axis.axhline(0, color=GREY, lw=0.5)
    axis.set(xscale="log", ylim=(LOW, HIGH))
    _shares(axis, here)


def _accuracies(axis: Axes, here: Table, looks: dict[float, Any]) -> None:
    here = here | {name: 100 * here[name] for name in ("value", "low", "high")}
    for p, (color, marker) in looks.items():
        for name, style, width in (("labels", ":", 1.0), ("teacher", "-", 0.5)):
            line = where(here, quantity=f"accuracy {name}", noise=p)
            axis.plot(line["keep_fraction"], line["value"], color=color, ls=style, lw=width)
        points = where(here, quantity="accuracy at rule", noise=p)
        if len(points["value"]):
            bars = [points["value"] - points["low"], points["high"] - points["value"]]
            axis.errorbar(points["keep_fraction"], points["value"], bars, color=color, fmt=marker, ms=3, lw=0.8)
            teacher = where(here, quantity="accuracy itself", noise=p)["value"][0]
            axis.plot([1.15, 1.4], [teacher] * 2, color=color, lw=1.5, solid_capstyle="butt")
    axis.set(xscale="log")
    _shares(axis, here)


def _shares(axis: Axes, here: Table) -> None:
    shares = np.unique(here["keep_fraction"])
    axis.set_xticks(shares, [f"{100 * f:g}" for f in shares])
    axis.minorticks_off()
