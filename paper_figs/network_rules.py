"""Two trained students foretell the best teacher weight closest; a kernel fed their teacher ranks as well but is further off.

Varied: the rule and its criterion, over the cells of network_weights: data set, loss, label noise and kept share.
Tuned: the weight, by each rule on the validation points of each seed, whose labels are as noisy as the training labels
("clean": true ones); the yardstick below is the best weight of the grid within 0 and 1, chosen for each seed on the other
seeds' test accuracy.
Seeds: 8 in every cell, those of network_weights; above, every cell from all its seeds; below, 95 % intervals over seeds.
Sizes: 30 cells of each data set, 15 for kernels; networks and numbers of points as in network_weights.

Upper row: optimal weight as measured, across, and as predicted, upwards, clipped to -0.4 and 1.6. Filled: the squared
error's optimum, measured by the parabola through all weights' test errors with true labels; open: the scale-free optimum
(greatest cosine with the labels), measured on the test points of the two ends; symbols: the share of labels flipped. Label
noise shrinks the mean of the labels given the image, which moves the squared error's optimum and not the scale-free one.
Grey symbols: the teacher moves the student by less than 0.15 of its size. Numbers: rank correlation with its 95 % interval
over cells, and the mean distance of the weights. a: the closed form of the two networks at weights 0 and 1. b, c: students
of the tangent kernel of infinite width under the networks' own training (its momentum filter), fed the network's teacher, or
the kernel's own, stopped where its validation error is least. Kernels speak of squared loss only.

Below: test accuracy lost, in points, by a seed that uses a rule's weight, within 0 and 1, against the yardstick: mean over
cells. Negative: the rule did better. Gaps to the first rows tell what a rule is worth; constants beside them need no rule.
The table is that of network_weights; measured anew by ``python -m paper_figs network_rules --recompute``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from empirical.bridge import vertex
from empirical.cells import BOUNDS, CRITERIA, RULES, Cell, agreement_of, regrets_of
from empirical.pairs import scale_free_weight
from paper_figs.network_weights import NAMES, TITLES, cells
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, stack, where

IDENTIFIABLE = 0.15
#: What is used, by which criterion, from which validation labels.
USED: list[tuple[str, str | float, str, str]] = [
    ("two endpoints", "two endpoints", "squared error", "noisy"),
    ("two endpoints, scale-free", "two endpoints", "scale-free", "noisy"),
    ("two endpoints, clean", "two endpoints", "squared error", "clean"),
    ("fed kernel", "fed kernel", "squared error", "noisy"),
    ("fed kernel, scale-free", "fed kernel", "scale-free", "noisy"),
    ("own kernel", "own kernel", "squared error", "noisy"),
    ("own kernel, scale-free", "own kernel", "scale-free", "noisy"),
    ("labels only", 0.0, "", ""),
    ("weight 0.5", 0.5, "", ""),
    ("teacher only", 1.0, "", ""),
]


def compute() -> Table:
    """Rows: kind (weight, agreement, regret), rule, criterion, data, loss, noise, kept share, measured, value, low, high."""
    rng, all_cells = np.random.default_rng(0), cells()
    rows: list[dict[str, Any]] = []
    blank = {
        "criterion": "",
        "data": "",
        "loss": "",
        "noise": np.nan,
        "keep_fraction": np.nan,
        "measured": np.nan,
        "moved": np.nan,
    }
    for rule in RULES:
        some = [cell for cell in all_cells if rule in cell.rules]
        for criterion in CRITERIA if some else ():
            rows += [_weight(cell, rule, criterion, rng) for cell in some]
            found = agreement_of(some, rule, criterion, "noisy", rng=rng)
            for name, e in (("rank", found.rank_correlation), ("distance", found.error)):
                rows.append(blank | {"kind": name, "rule": rule, "criterion": criterion, **vars(e)})
    for data, loss in dict.fromkeys((cell.data, cell.loss) for cell in all_cells):
        group = [cell for cell in all_cells if (cell.data, cell.loss) == (data, loss) and np.isfinite(cell.accuracies).all()]
        for name, used, criterion, labels in USED:
            if group and (isinstance(used, float) or used in group[0].rules):
                lost = regrets_of(group, used, criterion, labels, rng=rng)
                rows.append(blank | {"kind": "regret", "rule": name, "data": data, "loss": loss, **vars(lost)})
    return stack(rows)


def _weight(cell: Cell, rule: str, criterion: str, rng: np.random.Generator) -> dict[str, Any]:
    said = cell.predicted(rule, criterion, "noisy", rng)
    if criterion == "squared error":
        measured = float(vertex(cell.vertices().mean(axis=0)))
    else:
        measured = float(scale_free_weight(cell.moments["net_test"].mean(axis=0)))
    here = {"data": cell.data, "loss": cell.loss, "noise": cell.noise, "keep_fraction": cell.keep_fraction}
    return here | {
        "kind": "weight",
        "rule": rule,
        "criterion": criterion,
        "measured": measured,
        "moved": cell.identifiability,
        **vars(said),
    }


def draw(table: Table) -> Figure:
    """Three panels of weights over a row of panels of accuracy lost."""
    figure = plt.figure(figsize=(PAGE, 5.6))
    panels: Any = figure.subfigures(2, 1, height_ratios=(1.05, 1))
    upper, lower = panels
    for axis, rule, letter in zip(upper.subplots(1, 3, sharey=True), RULES, "abc", strict=True):
        _scatter(axis, table, rule)
        axis.set_xticks(np.arange(0.0, BOUNDS[1], 0.5))
        axis.set_title(f"{letter}  {rule}", loc="left")
        axis.set_xlabel("measured weight")
    upper.axes[0].set_ylabel("predicted weight")
    handles = [
        Line2D([], [], color=color, marker=marker, ms=4, lw=0, label=f"{100 * p:.0f} % flipped")
        for p, (color, marker) in _looks(table).items()
    ]
    handles += [
        Line2D([], [], color=INK, marker="D", ms=3.5, lw=0, label="filled: squared error"),
        Line2D([], [], color=INK, marker="D", ms=3.5, lw=0, mfc="none", label="open: scale-free"),
    ]
    upper.legend(handles=handles, loc="outside upper center", ncols=6)
    lost = where(table, kind="regret")
    pairs = list(dict.fromkeys(zip(lost["data"].tolist(), lost["loss"].tolist(), strict=True)))
    if pairs:
        _regrets(lower.subplots(1, len(pairs), sharey=True, squeeze=False)[0], lost, pairs)
    return figure


def _looks(table: Table) -> dict[float, tuple[str, str]]:
    """Colour and marker of each label noise."""
    noises = np.unique(table["noise"][np.isfinite(table["noise"])]).tolist()
    return dict(zip(noises, zip(OKABE_ITO, "os^", strict=False), strict=False))


def _scatter(axis: Axes, table: Table, rule: str) -> None:
    low, high = BOUNDS
    axis.plot([low, high], [low, high], color=GREY, lw=0.6)
    looks, texts = _looks(table), []
    for criterion in CRITERIA:
        points = where(table, kind="weight", rule=rule, criterion=criterion)
        for measured, value, noise, moved in zip(
            *(points[name].tolist() for name in ("measured", "value", "noise", "moved")), strict=True
        ):
            color, marker = looks[noise]
            color = color if moved >= IDENTIFIABLE else GREY
            face = color if criterion == "squared error" else "none"
            x, y = np.clip([measured, value], low, high)
            axis.plot(x, y, marker, ms=3.5, color=color, mfc=face, mew=0.7, clip_on=False)
        if len(points["value"]):
            rank, apart = (where(table, kind=kind, rule=rule, criterion=criterion) for kind in ("rank", "distance"))
            interval = f"[{rank['low'][0]:.2f}, {rank['high'][0]:.2f}]"
            fill = "filled" if criterion == "squared error" else "open"
            texts.append(f"{fill}: {rank['value'][0]:.2f} {interval}, off by {apart['value'][0]:.2f}")
    axis.text(0.02, 0.99, "\n".join(texts), transform=axis.transAxes, va="top", fontsize=6.5)
    axis.set(xlim=(low, high), ylim=(low, high + 0.4))  # with room for the text
    axis.set_yticks(np.arange(0.0, high, 0.5))


def _regrets(axes: Sequence[Axes], lost: Table, pairs: Sequence[tuple[str, str]]) -> None:
    names = [name for name, *_ in USED]
    for axis, (data, loss) in zip(axes, pairs, strict=True):
        here = where(lost, data=data, loss=loss)
        place = np.array([names.index(rule) for rule in here["rule"].tolist()])
        value, low, high = (100 * here[name] for name in ("value", "low", "high"))
        axis.errorbar(value, place, xerr=[value - low, high - value], fmt="o", ms=3, lw=0.8, color=OKABE_ITO[0])
        axis.axvline(0, color=GREY, lw=0.6)
        axis.set_xlabel("accuracy lost (points)")
        axis.set_title(f"{NAMES.get(data, data)},\n{TITLES[loss]}")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylabel("weight by")
    axes[0].invert_yaxis()
