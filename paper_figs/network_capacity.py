r"""No teacher smaller than its student was seen to help where few rows are kept; the largest can harm at weight 1/2.

Varied: the teacher's width, the share of the rows that the student keeps (random, nested), the teacher weight (0.5, 1), the
loss with its network, and the data; below, right: the step at which the teacher is taken.
Tuned: nothing; teachers are stopped where their loss on the validation labels is least of 20 looks. Test labels are used for
nothing else.
Seeds: 8, paired: split, subset, the student's initialisation and minibatches are the same for one seed. Points are means
over seeds with 95 % t-intervals.
Sizes: digits: 1,011 rows to train, 337 to validate, 449 to test; Fashion-MNIST, averaged down to 14 × 14: 3,000, 1,000 and
4,000. Cross-entropy at temperature 4: two strided convolutions, students of 12 and 24 channels, teachers of 2 and 4 to 32
and 64. Squared loss: fully connected, two hidden layers, students of width 64, teachers of 8 to 256.

Above, middle: how much worse a student is than the same one with a teacher of its own width (dotted): lost accuracy in
points for cross-entropy, 100 times the difference of log mean squared errors for the squared loss; linear between -3 and 3,
logarithmic outside; below the line the other width is better. Below, left: the width of least cost seed by seed, geometric
mean over seeds. Below, right: teachers of the student's width taken early, against the one stopped by validation, where
least is kept. Lines join the points. The linear theory's best capacity (teacher_capacity) counts features that all are the
student's own, not neurons, and is not drawn. The best width rises with the kept share for the squared loss, and for
cross-entropy on Fashion-MNIST; on digits there it does not. It is about the student's own or larger: no smaller teacher is
significantly better where at most a tenth is kept. The largest does harm at 0.05 kept and weight 0.5: 0.5 to 1.5 % (squared
loss), 0.6 points (cross-entropy, Fashion-MNIST); at weight 1 it helps with squared loss on Fashion-MNIST, by 2.1 % there.

Cross-entropy: Adam from 0.002 (cosine), minibatches of 32; squared loss: NTK parameterisation, output minus initial output,
SGD with momentum 0.9 from 0.1 (cosine), minibatches of 64. Students train for 500 steps, teachers on all rows for up to
1,000. Labels as they are. All constants are chosen here; that smaller teachers win where little is kept is reported by
Ben-Baruch et al. (2025, arXiv:2403.07854), for larger networks and data. Not run: Fashion-MNIST at 28 × 28 or with more
rows; label noise; teachers of other depths. Recorded in data/network_teacher_capacity.csv, measured anew by ``python -m
paper_figs network_capacity --recompute``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from paper_figs.regression_data import recorded
from paper_figs.style import INK, OKABE_ITO, PAGE, Table, half_width, round_colors, stack, where

RECORD = "network_teacher_capacity.csv"
NAMES = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}
LOSSES = {"cross_entropy": "cross-entropy:\nlost accuracy (points)", "squared": "squared loss:\nchange of the error (%)"}
LINES = {("cross_entropy", 0.5): "o:", ("cross_entropy", 1.0): "o-", ("squared", 0.5): "s:", ("squared", 1.0): "s-"}
COLORS = {"cross_entropy": OKABE_ITO[1], "squared": OKABE_ITO[0]}

Array = NDArray[np.float64]


def costs(rows: Table) -> Array:
    """What students cost, by seed: lost accuracy in points of cross-entropy networks, or 100 log error."""
    order = np.argsort(rows["seed"])
    lost, error = 100 * (1 - rows["accuracy"][order]), 100 * np.log(rows["error"][order])
    return np.asarray(lost if rows["loss"][0] == "cross_entropy" else error)


def compute() -> Table:
    """Costs against the teacher of the student's width, by width and early; the best width; teachers' own accuracy."""
    table = recorded(RECORD, text=("data", "loss", "teacher"))
    return stack([row for data in NAMES for loss in LOSSES for row in _place(where(table, data=data, loss=loss))])


def _place(rows: Table) -> Iterator[dict[str, Any]]:
    """One data set and loss."""
    if not len(rows["seed"]):
        return
    about = {"data": rows["data"][0], "loss": rows["loss"][0], "student_width": rows["student_width"][0]}
    taught = {name: column[rows["teacher_width"] > 0] for name, column in rows.items()}
    for w in np.unique(taught["teacher_weight"]):
        for f in np.unique(taught["keep_fraction"]):
            here = where(taught, teacher_weight=w, keep_fraction=f)
            at = {**about, "teacher_weight": w, "keep_fraction": f}
            own = costs(where(here, teacher=f"width {about['student_width']}"))
            widths, each = [], []
            for name in dict.fromkeys(here["teacher"].tolist()):
                students = where(here, teacher=name)
                kind, number = name.split()
                yield _row(kind, **at, x=int(number), **_mean(costs(students) - own))
                if kind == "width":
                    widths.append(int(number))
                    each.append(costs(students))
            best = best_width(np.array(each), widths)
            yield _row("best", **at, x=f, **{end: 2**value for end, value in _mean(best).items()})
    for name in dict.fromkeys(taught["teacher"].tolist()):
        own = where(taught, teacher=name, keep_fraction=taught["keep_fraction"][0], teacher_weight=w)["teacher_accuracy"]
        kind, number = name.split()
        yield _row(f"teacher {kind}", **about, x=int(number), **_mean(100 * own))


def best_width(costs_of: Array, widths: list[int]) -> Array:
    """log2 of the width of least cost (widths, S), the mean of equals, per seed."""
    lowest = costs_of <= costs_of.min(axis=0)
    return np.asarray(np.log2(widths) @ lowest / lowest.sum(axis=0))


def _mean(values: Array) -> dict[str, Any]:
    mean, half = values.mean(), half_width(values)
    return {"value": mean, "low": mean - half, "high": mean + half}


def _row(kind: str, **values: Any) -> dict[str, Any]:
    return {"kind": kind, "teacher_weight": np.nan, "keep_fraction": np.nan} | values


def draw(table: Table) -> Figure:
    """Costs over the teacher's width for each data set and weight; the best width, and early teachers, below."""
    figure, axes = plt.subplots(3, 4, figsize=(PAGE, 6.2), height_ratios=(1.15, 1.15, 1.0))
    for row, (loss, name) in zip(axes, LOSSES.items(), strict=False):
        for axis, (data, w) in zip(row, product(NAMES, (0.5, 1.0)), strict=True):
            _draw_widths(axis, where(table, kind="width", data=data, loss=loss, teacher_weight=w))
            axis.set_title(f"{NAMES[data]}\nteacher weight {w:g}" if loss == "cross_entropy" else "")
        row[0].set_ylabel(name)
    for i, (data, name) in enumerate(NAMES.items()):
        _draw_best(axes[2, i], where(table, kind="best", data=data))
        _draw_early(axes[2, 2 + i], where(table, kind="step", data=data))
        axes[2, i].set_title(f"{name}:\nbest width")
        axes[2, 2 + i].set_title(f"{name}:\nearly, {100 * np.nanmin(table['keep_fraction']):g} % kept")
    axes[2, 0].set_ylabel("best width / student's width")
    axes[2, 2].set_ylabel("worse by (points or %)")
    places: tuple[Any, Any] = ("outside upper center", "outside lower center")
    for axis, place in zip(axes[[0, 2], 0], places, strict=True):
        handles, labels = axis.get_legend_handles_labels()
        figure.legend(handles, labels, loc=place, ncols=len(labels), columnspacing=1.2)
    return figure


def _errorbar(axis: Axes, rows: Table, style: str, shift: float = 1.0, **look: Any) -> None:
    spread = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
    axis.errorbar(rows["x"] * shift, rows["value"], spread, fmt=style, ms=3, lw=0.9, elinewidth=0.9, **look)


def _draw_widths(axis: Axes, rows: Table) -> None:
    shares = np.unique(rows["keep_fraction"])
    axis.axhline(0, color=INK, lw=0.6)
    axis.axvline(rows["student_width"][0], color=INK, lw=0.8, ls=":")
    shifts = np.geomspace(0.94, 1.06, len(shares))
    for f, color, marker, shift in zip(shares, round_colors(len(shares)), "os^D", shifts, strict=True):
        _errorbar(axis, where(rows, keep_fraction=f), f"{marker}-", shift, color=color, label=f"{100 * f:g} % kept")
    _ticks(axis, rows, np.unique(rows["x"])[[0, 1, 2, 3, -1]], (-6, -2, -1, 0, 1, 2, 5, 20))
    axis.set_xlabel("teacher's width")


def _ticks(axis: Axes, rows: Table, x: Array, y: tuple[int, ...]) -> None:
    """Named by whole numbers; costs are linear near zero and logarithmic further off."""
    axis.set_xscale("log")
    axis.set_yscale("symlog", linthresh=3, linscale=1.3)
    axis.margins(y=0.08)
    shown = [tick for tick in y if min(-1.0, rows["low"].min()) <= tick <= rows["high"].max()]
    axis.set_yticks(shown, [str(tick).replace("-", "−") for tick in shown])
    axis.set_xticks(x, [f"{tick:.0f}" for tick in x])
    for side in (axis.xaxis, axis.yaxis):
        side.set_minor_locator(NullLocator())


def _draw_best(axis: Axes, rows: Table) -> None:
    axis.axhline(1, color=INK, lw=0.8, ls=":")
    for ((loss, w), style), shift in zip(LINES.items(), np.geomspace(0.92, 1.08, len(LINES)), strict=True):
        here = where(rows, loss=loss, teacher_weight=w)
        over = {name: here[name] / here["student_width"] for name in ("value", "low", "high")}
        fill = "white" if w < 1 else COLORS[loss]
        label = f"{loss.replace('_', '-')}, weight {w:g}"
        _errorbar(axis, here | over, style, shift, color=COLORS[loss], mfc=fill, label=label)
    axis.set(xscale="log", yscale="log", xlabel="kept rows (%)")
    shares = np.unique(rows["x"])
    axis.set_xticks(shares, [f"{100 * f:g}" for f in shares])
    axis.set_yticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
    for side in (axis.xaxis, axis.yaxis):
        side.set_minor_locator(NullLocator())


def _draw_early(axis: Axes, rows: Table) -> None:
    """The least kept share alone."""
    axis.axhline(0, color=INK, lw=0.6)
    for ((loss, w), style), shift in zip(LINES.items(), np.geomspace(0.92, 1.08, len(LINES)), strict=True):
        here = where(rows, loss=loss, teacher_weight=w, keep_fraction=rows["keep_fraction"].min())
        _errorbar(axis, here, style, shift, color=COLORS[loss], mfc="white" if w < 1 else COLORS[loss])
    _ticks(axis, rows, np.unique(rows["x"]), (-6, -2, 0, 2, 6, 20))
    axis.set_xlabel("steps of the teacher")
