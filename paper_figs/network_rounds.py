r"""Repeated self-distillation of networks beside the kernel's path: with squared loss the first round helps under label noise.

Varied: the data, the share of training labels that are another class (0, 20, 40 %), the teacher weight w, the round, and the
learner.
Tuned: the learning rate of the fully connected networks, 0.5, chosen from a few by the kernel's path on one split, so that
round 0 fits more than half of the label noise and there is something to remove; nothing else.
Seeds: 8, each with a split, noise and networks of its own, the kernel with the same splits and noise. Points: means with 95
% t-intervals (of errors: of the logarithm of the ratio to round 0, paired).
Sizes: 1,200 training images; 449 test images of digits, 2,000 of Fashion-MNIST. Squared loss: 128-128 ReLU networks, 300
steps of 64; cross-entropy at temperature 4: convolutions of 8 and 16 channels, 250 steps of 32.

Networks are trained by minibatch steps without a ridge: the budget regularises. Round 0 learns labels, each next one (1 - w)
labels + w outputs of the one before it. Lines: the same chain of the analytic tangent kernel of infinite width under the
same steps, whose filter is h at round 0 and h ((1 - w) + w m) after a round with m; no constant is fitted. Squares: squared
loss, all rounds of one initialisation and the same minibatches (digits only); circles: the same, each round anew; triangles:
convolutional networks with cross-entropy, each round anew. These have no line: the kernel is not theirs. Upper two rows:
test error against true labels at w = 1 over that of round 0 (of probabilities with cross-entropy). Lowest row, digits with
40 %: weights 0.5, 0.75 and 1; then, at w = 1, the size of the outputs at the training points over that of round 0, and the
share of the label noise that is fitted.

The learning rate decides the picture: at 0.1, where the budget alone removes most of the noise, errors rose from the first
round on at every noise, the kernel's and, in a trial of three splits, the networks' (not recorded). The questions are those
of Mobahi, Farajtabar & Bartlett (2020, arXiv:2002.05715) and Borup & Andersen (2021, arXiv:2102.13088), whose networks are
larger. Not run: squares on Fashion-MNIST. Recorded in data/network_rounds.csv; seeds 1 to 7 by code whose flips and
minibatches draw other random numbers than the present one (column ``revision``). Measured anew by ``python -m paper_figs
network_rounds --recompute``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from paper_figs.regression_data import recorded
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where

Floats = NDArray[np.float64]
NAMES = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}
#: Name, colour, marker, and shift along the axis of rounds.
LEARNERS = {
    "same": ("squared loss, one initialisation", OKABE_ITO[0], "s", -0.12),
    "anew": ("squared loss, each anew", OKABE_ITO[1], "o", 0.0),
    "cnn": ("convolutional, cross-entropy", OKABE_ITO[2], "^", 0.12),
}
WEIGHTS = {0.5: (OKABE_ITO[5], ":"), 0.75: (OKABE_ITO[4], "--"), 1.0: (OKABE_ITO[0], "-")}
LIMITS = {"digits": (0.75, 3.0), "fashion_mnist": (0.84, 1.22)}
TICKS = {"digits": (0.8, 1.0, 1.5, 2.0, 3.0), "fashion_mnist": (0.85, 0.9, 1.0, 1.1, 1.2)}
QUANTITIES = ("error", "size", "noise_kept")


def compute() -> Table:
    """Rows: data, learner (kernel included), noise, teacher weight, round, quantity, value, low and high."""
    table = recorded("network_rounds.csv", text=("data", "learner"))
    table |= {name: _numbers(table[name]) for name in ("step", "noise_kept", "dimension", "distance")}
    rows: list[dict[str, Any]] = []
    for data in NAMES:
        for learner in ("kernel", *LEARNERS):
            here = where(table, data=data, learner=learner)
            for noise in np.unique(here["noise"]).tolist():
                for w in np.unique(here["teacher_weight"][here["round"] > 0]).tolist():
                    rows += _chain(
                        where(here, noise=noise), {"data": data, "learner": learner, "noise": noise, "teacher_weight": w}
                    )
    return stack(rows)


def _numbers(texts: NDArray[Any]) -> Floats:
    """A column with empty places, as nan."""
    return np.where(texts == "", "nan", texts).astype(float) if texts.dtype.kind == "U" else texts.astype(float)


def _chain(table: Table, about: dict[str, Any]) -> list[dict[str, Any]]:
    """Every round of one chain, over its seeds; errors over those of round 0."""
    rows = []
    first = _by_seed(where(table, round=0), "error")
    for t in np.unique(table["round"]).tolist():
        here = where(table, round=t, teacher_weight=about["teacher_weight"] if t else 0.0)
        for quantity in QUANTITIES:
            values = _by_seed(here, quantity)
            if quantity == "error":
                logs = np.log(values / first)
                mean, half = logs.mean(), half_width(logs)
                ends = np.exp([mean, mean - half, mean + half])
            else:
                ends = np.array([values.mean(), *(values.mean() + sign * half_width(values) for sign in (-1, 1))])
            rows.append(about | {"round": t, "quantity": quantity} | dict(zip(("value", "low", "high"), ends, strict=True)))
    return rows


def _by_seed(table: Table, column: str) -> Floats:
    return np.asarray(table[column][np.argsort(table["seed"])])


def draw(table: Table) -> Figure:
    """Errors without labels, a row of panels per data set; then weights, size and noise on the digits."""
    figure, axes = plt.subplots(3, 3, figsize=(PAGE, 6.0))
    noises = np.unique(table["noise"]).tolist()
    for row, (data, name) in zip(axes, NAMES.items(), strict=False):
        for axis, noise in zip(row, noises, strict=True):
            _draw_learners(axis, where(table, data=data, noise=noise, teacher_weight=1.0, quantity="error"))
            axis.axhline(1.0, color=GREY, lw=0.6, ls=":", zorder=0)
            axis.set(yscale="log", title=f"{name}: {100 * noise:.0f} % flipped", ylim=LIMITS[data])
            axis.minorticks_off()
            axis.set(yticks=TICKS[data], yticklabels=[f"{tick:g}" for tick in TICKS[data]])
        row[0].set_ylabel("test error / that of round 0")
    weights, size, noise_kept = axes[2]
    digits = where(table, data="digits", noise=noises[-1])
    for w, (color, dashes) in WEIGHTS.items():
        here = where(digits, teacher_weight=w, quantity="error")
        line = where(here, learner="kernel")
        weights.plot(line["round"], line["value"], color=color, ls=dashes)
        _points(weights, where(here, learner="same"), color, "s", 0.08 * (w - 0.75) / 0.25, f"$w$ = {w:g}")
    weights.axhline(1.0, color=GREY, lw=0.6, ls=":", zorder=0)
    weights.set(
        title=f"digits: {100 * noises[-1]:.0f} % flipped, weights", ylabel="test error / that of round 0", ylim=(0.82, 1.01)
    )
    weights.legend(loc="lower left", ncols=3, columnspacing=0.8, handletextpad=0.2, borderaxespad=0.1)
    for axis, quantity, what, label in (
        (size, "size", "outputs", "size / that of round 0"),
        (noise_kept, "noise_kept", "noise", "share of the noise fitted"),
    ):
        _draw_learners(axis, where(digits, teacher_weight=1.0, quantity=quantity))
        axis.set(title=f"digits: {100 * noises[-1]:.0f} % flipped, {what}", ylabel=label)
    noise_kept.set_ylim(bottom=0)
    for axis in axes.ravel():
        axis.set(xlabel="round", xticks=np.unique(table["round"]))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, columnspacing=1.2, handletextpad=0.4)
    return figure


def _draw_learners(axis: Any, table: Table) -> None:
    line = where(table, learner="kernel")
    axis.plot(line["round"], line["value"], color=INK, label="kernel, infinite width")
    for learner, (name, color, marker, shift) in LEARNERS.items():
        points = where(table, learner=learner)
        if len(points["round"]):
            _points(axis, points, color, marker, shift, name)


def _points(axis: Any, points: Table, color: str, marker: str, shift: float, name: str) -> None:
    bars = [points["value"] - points["low"], points["high"] - points["value"]]
    look: dict[str, Any] = {"fmt": marker, "ms": 3.2, "mfc": "white", "mew": 0.8, "lw": 0.8, "color": color}
    axis.errorbar(points["round"] + shift, points["value"], bars, label=name, **look)
