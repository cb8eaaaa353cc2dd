r"""A teacher that saw half of the rows has more than half of the worth of one that saw all, to trained students of a tenth.

Varied: the share of the rows that the teacher learned, from the student's own rows to all, nested; the teacher weight; the
labels, as they are or 20 % flipped (validation labels too); the student's share, a tenth (above, middle) or a quarter too
(below, squares); the loss with its network, and the data.
Tuned: nothing; teachers are stopped where their loss on the validation labels is least of 20 looks, students train to the
end. Test labels are true and used for nothing else.
Seeds: 8, paired: split, subset, initialisation and minibatches are the same along a line. Points are means over seeds with
95 % t-intervals; below, bootstrap intervals over seeds.
Sizes: digits: 998 rows to train, 349 to validate, 449 to test; Fashion-MNIST, averaged down to 14 × 14: 2,000, 700 and
4,000. Squared loss: fully connected, two hidden layers of 128; cross-entropy at temperature 4: two strided convolutions of
12 and 24 channels.

Above: change of the mean squared test error against the teacher of the student's own rows (100 times the difference of
logs). Points: networks. Lines: students of the analytic tangent kernel, trained for the networks' time, of kernel teachers
of the same rows and labels stopped by the same rule; no constant is fitted. Middle: lost accuracy of cross-entropy networks,
for which there is no such theory. Below: the share of the worth of a teacher of all rows that a teacher of fewer reaches,
mean over weights, where the former is known to be worth something. A teacher of all rows is better than one of the student's
rows at every weight, and one of half of the rows has more than half of that worth. What the kernel foretells of a teacher of
all rows is right to within a quarter, mean over weights and kept shares.

Squared loss: output minus initial output, 500 steps of SGD with momentum 0.9 from 0.1 (cosine), minibatches of 64;
cross-entropy: 500 steps of Adam from 0.002 (cosine), minibatches of 32. All constants are chosen here: the paper whose claim
this is (Ben-Baruch et al. 2025, arXiv:2403.07854) has teachers of all rows. Not run: Fashion-MNIST at 28 × 28 or with more
rows; teachers that have not seen all that the student keeps. Recorded in data/network_teacher_fraction.csv, measured anew by
``python -m paper_figs network_teacher_fraction --recompute``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from empirical.intervals import crossed_interval
from paper_figs.regression_data import recorded
from paper_figs.style import INK, OKABE_ITO, PAGE, Table, half_width, round_colors, stack, where

RECORD = "network_teacher_fraction.csv"
NAMES = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}
LOSSES = {"squared": OKABE_ITO[0], "cross_entropy": OKABE_ITO[1]}
SHARES = {0.1: "o", 0.25: "s"}  # kept, and how they are drawn

Array = NDArray[np.float64]


def costs(rows: Table, source: str) -> Array:
    """What students cost, (seeds, teacher's shares): 100 log error, or lost accuracy in points of cross-entropy networks."""
    order = np.lexsort((rows["seen"], rows["seed"]))
    shape = len(np.unique(rows["seed"])), -1
    if rows["loss"][0] == "cross_entropy":
        return np.asarray(100 * (1 - rows["accuracy"][order]).reshape(shape))
    return np.asarray(100 * np.log(rows["error" if source == "network" else source][order]).reshape(shape))


def compute() -> Table:
    """Changes along the teacher's share, and the share of the worth that is reached; networks and kernels."""
    table = recorded(RECORD, text=("data", "loss"))
    return stack([row for place in places(table) for row in (*_changes(place), *_reached(place))])


def places(table: Table) -> Iterator[Table]:
    """Students with a teacher, by data set, noise and loss."""
    taught = {name: column[table["seen"] > 0] for name, column in table.items()}
    for data in NAMES:
        for noise in np.unique(taught["noise"]):
            for loss in LOSSES:
                here = where(taught, data=data, noise=noise, loss=loss)
                if len(here["seed"]):
                    yield here


def _about(rows: Table) -> dict[str, Any]:
    sources = ("network", "kernel") if rows["loss"][0] == "squared" else ("network",)
    return {"sources": sources, **{name: rows[name][0] for name in ("data", "noise", "loss")}}


def _changes(rows: Table) -> Iterator[dict[str, Any]]:
    """Per kept share and weight, against the teacher of the student's own rows."""
    about = _about(rows)
    sources = about.pop("sources")
    for keep in np.unique(rows["keep_fraction"]):
        for w in np.unique(rows["teacher_weight"]):
            here = where(rows, keep_fraction=keep, teacher_weight=w)
            for source in sources:
                change = costs(here, source)
                change = change - change[:, :1]
                half = half_width(change)
                mean = change.mean(axis=0)
                line = {"value": mean, "low": mean - half, "high": mean + half, "seen": np.unique(here["seen"])}
                yield {"kind": "change", "source": source, **about, "keep_fraction": keep, "teacher_weight": w, **line}


def _reached(rows: Table) -> Iterator[dict[str, Any]]:
    """Per kept share, over all weights: the worth of a teacher over that of one of all rows."""
    about = _about(rows)
    sources = about.pop("sources")
    for keep in np.unique(rows["keep_fraction"]):
        here = where(rows, keep_fraction=keep)
        for source in sources:
            each = [costs(where(here, teacher_weight=w), source) for w in np.unique(here["teacher_weight"])]
            mean = np.mean(each, axis=0)
            worth = mean[:, :1] - mean
            if worth[:, -1].mean() - half_width(worth[:, -1]) <= 0:
                continue
            for s, of in zip(np.unique(here["seen"]), worth.T, strict=True):
                found = crossed_interval(
                    np.stack([of, worth[:, -1]], axis=-1)[:, None],
                    lambda m: m[..., 0] / m[..., 1],
                    rng=np.random.default_rng(0),
                )
                line = {"value": found.value, "low": found.low, "high": found.high, "seen": s}
                yield {"kind": "reached", "source": source, **about, "keep_fraction": keep, "teacher_weight": np.nan, **line}


def draw(table: Table) -> Figure:
    """A column for each data set and noise: squared loss, cross-entropy, and what is reached."""
    columns = [(data, noise) for data in NAMES for noise in np.unique(table["noise"])]
    figure, axes = plt.subplots(3, len(columns), figsize=(PAGE, 5.9), sharex=True, squeeze=False)
    for (data, noise), (squared, entropy, reached) in zip(columns, axes.T, strict=True):
        rows = where(table, data=data, noise=noise)
        _draw_changes(squared, where(rows, kind="change", loss="squared", keep_fraction=0.1))
        _draw_changes(entropy, where(rows, kind="change", loss="cross_entropy", keep_fraction=0.1))
        _draw_reached(reached, where(rows, kind="reached"))
        squared.set_title(f"{NAMES[data]}\n" + (f"{100 * noise:.0f} % of labels flipped" if noise else "labels as they are"))
        reached.set(xlabel="teacher's share (%)", ylim=(-0.1, 1.25))
        reached.set_xticks([0.1, 0.25, 0.5, 1.0], ["10", "25", "50", "100"])
        reached.xaxis.set_minor_locator(NullLocator())
    names = (
        "squared loss:\nchange of the error (%)",
        "cross-entropy:\nlost accuracy (points)",
        "share of the worth\nof all rows",
    )
    for axis, name in zip(axes[:, 0], names, strict=True):
        axis.set_ylabel(name)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    handles.append(Line2D([], [], color=INK, lw=1.0))
    figure.legend(handles, [*labels, "tangent kernel"], loc="outside upper center", ncols=len(handles))
    handles, labels = axes[2, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _draw_changes(axis: Axes, rows: Table) -> None:
    axis.axhline(0, color=INK, lw=0.6)
    axis.set_xscale("log")
    weights = np.unique(rows["teacher_weight"])
    shifts = np.linspace(-0.06, 0.06, len(weights))
    for w, color, marker, shift in zip(weights, round_colors(len(weights)), "os^D", shifts, strict=True):
        points, line = (where(rows, teacher_weight=w, source=source) for source in ("network", "kernel"))
        spread = [points["value"] - points["low"], points["high"] - points["value"]]
        style: dict[str, Any] = {"fmt": marker, "ms": 3, "lw": 0.9, "color": color, "label": f"weight {w:g}"}
        axis.errorbar(points["seen"] * np.exp(shift), points["value"], spread, **style)
        axis.plot(line["seen"], line["value"], color=color, lw=1.0)


def _draw_reached(axis: Axes, rows: Table) -> None:
    axis.axhline(1, color=INK, lw=0.6)
    for loss, color in LOSSES.items():
        for keep, marker in SHARES.items():
            points = where(rows, loss=loss, keep_fraction=keep, source="network")
            spread = [points["value"] - points["low"], points["high"] - points["value"]]
            label = f"{loss.replace('_', '-')}, {100 * keep:g} % kept"
            x = points["seen"] * (0.97 if loss == "squared" else 1.03)
            style: dict[str, Any] = {"fmt": marker, "ms": 3, "lw": 0.9, "mfc": "white", "color": color, "label": label}
            axis.errorbar(x, points["value"], spread, **style)
            line = where(rows, loss=loss, keep_fraction=keep, source="kernel")
            axis.plot(line["seen"], line["value"], color=color, lw=1.0)
