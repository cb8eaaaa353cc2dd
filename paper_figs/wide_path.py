r"""Wide networks follow the kernel theory of self-distillation round by round: in labels kept, predictions and accuracy.

Varied: the teacher weight, 1 (above) and 0.5 (below), the round, 0 to 3, and the width.
Tuned: nothing; the ridge is 0.01 per training point.
Seeds: 10 networks up to width 1,024 and 6 at 4,096, the same ones at both weights; points are means with 95 % t-intervals.
Sizes: 200 training and 300 test images of the digits, one split; widths 64 to 4,096.

Images lie on a sphere; ReLU networks, one hidden layer, three students after the teacher, each from the teacher's
initialisation. Left: the share of the labels that a fit keeps within four ranges of the kernel's eigendirections, numbered
from the largest eigenvalue, against the multipliers of ``kdtheory.Distilled``. Middle: distance from the prediction of the
infinite width at the test points, relative to its size, against what the kernel's fluctuation at the start does to the
chain to first order (``first_order``), which falls as 1/√width and has no fitted constant. Right: test accuracy.

The theory states the limits; split, ridge and widths are choices of ours, and the limit has no rate there. Recorded in
``width.csv``; ``python -m empirical run width`` measures it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

import kdtheory as kd
from kdtheory.problem import digits
from paper_figs.regression_data import recorded
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where

Floats = NDArray[np.float64]
POINTS, NEW_POINTS, RIDGE, ROUNDS, WEIGHTS = 200, 300, 2.0, 3, (1.0, 0.5)
BANDS = (1, 4, 16, 64, 200)  # edges; the first direction, nearly constant, holds 0.2 % of the labels
KEPT_WIDTHS, WIDTHS = (64, 4096), (64, 256, 1024, 4096)
NEURONS, BATCH = 4000, 100  # drawn for `first_order`; an error of 1 %


@dataclass(frozen=True, eq=False)
class Limit:
    """Infinite width on the split of the recorded networks: inputs (n, 64), (m, 64), targets (n, 10), classes, kernels."""

    X: Floats
    X_new: Floats
    y: Floats
    classes_new: NDArray[np.int64]
    gram: Floats
    cross: Floats

    @classmethod
    def draw(cls) -> Limit:
        """One hidden layer; images centred by the training mean, then scaled to norm √64; targets one-hot minus 1/10."""
        images, labels = digits()
        order = np.random.default_rng(0).permutation(len(images))[: POINTS + NEW_POINTS]
        X = images[order] - images[order[:POINTS]].mean(axis=0)
        X = np.sqrt(X.shape[1]) * X / np.linalg.norm(X, axis=1, keepdims=True)
        X, X_new, classes = X[:POINTS], X[POINTS:], labels[order].argmax(axis=1)
        y = np.eye(10)[classes[:POINTS]] - 0.1
        return cls(X, X_new, y, classes[POINTS:], kd.kernels.ntk(X, depth=1), kd.kernels.ntk(X_new, X, depth=1))

    def accuracy(self, f: Floats) -> float:
        """Share of test points whose largest output is that of their class."""
        return float(np.mean(f.argmax(axis=1) == self.classes_new))


def first_order(limit: Limit, teacher_weights: Sequence[float], neurons: int = NEURONS, seed: int = 0) -> Floats:
    r"""Constants C_t of :math:`|f_t - f_{\infty,t}|/|f_{\infty,t}| \approx C_t/\sqrt{\text{width}}`, one a round: (T + 1,).

    At the start the tangent kernel of one hidden layer is a mean over its neurons, each with the limit as its expectation.
    So the deviation :math:`\delta\Theta` is a mean of independent terms. What it does to the chain
    :math:`c_t = (K + \lambda I)^{-1} y_t,\ y_{t+1} = (1 - w)\,y + w K c_t,\ f_t = k\,c_t` is, to first order,

    .. math::
        \delta c_t = (K + \lambda I)^{-1}(\delta y_t - \delta\Theta\, c_t), \quad
        \delta y_{t+1} = w(\delta\Theta\, c_t + K\,\delta c_t), \quad
        \delta f_t = \delta\Theta_{\mathrm{new}}\, c_t + k\,\delta c_t,

    of every neuron by itself, and drawn neurons give the mean square. A neuron with weights v into it and W out of it has the
    kernel :math:`\tfrac4d\, x^\top x'\, 1_{z>0} 1_{z'>0}\, W_o W_{o'} + 2\,\sigma(z)\sigma(z')\,\delta_{oo'}` with
    :math:`z = \sqrt{2/d}\, v^\top x`.
    """
    rng = np.random.default_rng(seed)
    n, p = limit.y.shape
    X, kernel = np.vstack([limit.X, limit.X_new]), np.vstack([limit.gram, limit.cross])
    spectrum = kd.Spectrum.from_gram(limit.gram)
    d, U, z_y = spectrum.eigenvalues[:, None], spectrum.eigenvectors, spectrum.project(limit.y)
    G, basis = 4 / X.shape[1] * X @ limit.X.T, limit.cross @ U
    squares, sizes = np.zeros((2, len(teacher_weights) + 1))
    for _ in range(neurons // BATCH):
        z = np.sqrt(2 / X.shape[1]) * X @ rng.normal(size=(X.shape[1], BATCH))
        W = rng.normal(size=(BATCH, p))
        on, active = (z > 0).astype(float), np.maximum(z, 0.0)
        targets, moved = z_y, np.zeros((n, BATCH * p))  # in the eigenbasis, where S and K are diagonal
        for t, w in enumerate([*teacher_weights, 0.0]):
            c_t = targets / (d + RIDGE)
            c = U @ c_t
            hidden = (on * (G @ (on[:n] * (c @ W.T))))[:, :, None] * W
            output = 2 * active[:, :, None] * (active[:n].T @ c)
            change = (hidden + output - (kernel @ c)[:, None]).reshape(len(X), -1)  # (n + m, BATCH · p)
            change_t = U.T @ change[:n]
            moved_c = (moved - change_t) / (d + RIDGE)
            squares[t] += np.sum((change[n:] + basis @ moved_c) ** 2)
            sizes[t] += BATCH * np.sum((basis @ c_t) ** 2)
            targets, moved = (1 - w) * z_y + w * d * c_t, w * (change_t + d * moved_c)
    return np.asarray(np.sqrt(squares / sizes))


def compute() -> Table:
    """Rows: quantity, source (theory or networks), teacher weight, round, width and band if it has them, value, interval."""
    measured, limit = where(recorded("width.csv"), depth=1), Limit.draw()
    spectrum = kd.Spectrum.from_gram(limit.gram)
    energy = np.sum(spectrum.project(limit.y) ** 2, axis=1)
    rows: list[dict[str, Any]] = []
    for w in WEIGHTS:
        weights, here = [w] * ROUNDS, where(measured, teacher_weight=w)
        kept = kd.Distilled(ridge=RIDGE, teacher_weights=weights).every_round(spectrum.eigenvalues).fit
        f = kd.rounds(spectrum, limit.y, ridge=RIDGE, teacher_weights=weights, cross=limit.cross)
        for band, (i, j) in enumerate(pairwise(BANDS)):
            rows.append(_row("kept", "theory", w, kept[:, i:j] @ energy[i:j] / energy[i:j].sum(), band=band))
            rows += [_networks(here, f"kept_{band}", "kept", w, m, band) for m in KEPT_WIDTHS]
        constants = first_order(limit, weights)
        for m in WIDTHS:
            rows += [_row("error", "theory", w, constants / np.sqrt(m), width=m), _networks(here, "error", "error", w, m)]
        rows.append(_row("accuracy", "theory", w, [limit.accuracy(f_t) for f_t in f]))
        rows += [_networks(here, "accuracy", "accuracy", w, m) for m in KEPT_WIDTHS]
    return stack(rows)


def _networks(table: Table, column: str, quantity: str, weight: float, width: int, band: int = -1) -> dict[str, Any]:
    """Mean of a recorded column over seeds, and half of its interval, for every round."""
    rows = where(table, width=width)
    values = np.array([rows[column][rows["round"] == t] for t in range(ROUNDS + 1)])
    halves = half_width(values, axis=1)
    return _row(quantity, "networks", weight, values.mean(axis=1), width=width, band=band) | {"interval": halves}


def _row(quantity: str, source: str, weight: float, values: Any, *, width: int = 0, band: int = -1) -> dict[str, Any]:
    here = {"quantity": quantity, "source": source, "teacher_weight": weight, "round": np.arange(ROUNDS + 1)}
    return here | {"width": width, "band": band, "value": values, "interval": 0.0}


def draw(table: Table) -> Figure:
    """A row of panels per teacher weight: labels kept, error, accuracy."""
    figure, axes = plt.subplots(2, 3, figsize=(PAGE, 4.5), sharex=True)
    for (left, middle, right), w in zip(axes, WEIGHTS, strict=True):
        here = where(table, teacher_weight=w)
        _draw_kept(left, where(here, quantity="kept"))
        _draw_errors(middle, where(here, quantity="error"))
        _draw_accuracy(right, where(here, quantity="accuracy"))
        left.set(ylabel=f"teacher weight {w:g}\nshare of the labels kept", ylim=(-0.04, 1.02))
        middle.set(ylabel="relative distance", yscale="log", ylim=(0.02, 0.6))
        middle.set(yticks=(0.03, 0.1, 0.3), yticklabels=("0.03", "0.1", "0.3"))
        right.set(ylabel="test accuracy", ylim=(0.84, 0.96))
        middle.minorticks_off()
    for axis in axes[1]:
        axis.set(xlabel="round (0: teacher)", xticks=range(ROUNDS + 1), xlim=(-0.25, ROUNDS + 0.75))
    for axis, title in zip(axes[0], ("labels kept", "distance from infinite width", "accuracy"), strict=True):
        axis.set_title(title)
    figure.legend(handles=_keys(), loc="outside lower center", ncols=6, columnspacing=1.1, handletextpad=0.5)
    return figure


def _looks() -> dict[int, tuple[str, str]]:
    """Colour and marker of a width."""
    return dict(zip(WIDTHS, zip(np.array(OKABE_ITO)[[1, 4, 2, 0]].tolist(), "s^Do", strict=True), strict=True))


def _shift(width: int) -> float:
    """Widths stand beside each other at every round."""
    return 0.06 if width == max(WIDTHS) else -0.06


def _points(axis: Any, table: Table, width: int, shift: float = 0.0) -> None:
    rows, (color, marker) = where(table, source="networks", width=width), _looks()[width]
    style: dict[str, Any] = {"fmt": marker, "ms": 3, "mfc": "white", "mew": 0.8, "lw": 0.8, "color": color, "zorder": 3}
    axis.errorbar(rows["round"] + shift, rows["value"], rows["interval"], **style)


def _draw_kept(axis: Any, table: Table) -> None:
    """A line a band of eigen-directions."""
    for band, (i, j) in enumerate(pairwise(BANDS)):
        here = where(table, band=band)
        line = where(here, source="theory")
        axis.plot(line["round"], line["value"], color=INK, lw=0.9)
        axis.annotate(f"{i + 1}–{j}", (ROUNDS + 0.2, line["value"][-1]), va="center", fontsize=6.5)
        for m in KEPT_WIDTHS:
            _points(axis, here, m, _shift(m))


def _draw_errors(axis: Any, table: Table) -> None:
    for m in WIDTHS:
        line = where(table, source="theory", width=m)
        axis.plot(line["round"], line["value"], color=_looks()[m][0], lw=0.9)
        _points(axis, table, m)


def _draw_accuracy(axis: Any, table: Table) -> None:
    line = where(table, source="theory")
    axis.plot(line["round"], line["value"], color=INK, lw=0.9)
    for m in KEPT_WIDTHS:
        _points(axis, table, m, _shift(m))


def _keys() -> list[Line2D]:
    keys = [Line2D([], [], color=INK, lw=0.9, label="infinite width")]
    keys.append(Line2D([], [], color=GREY, lw=0.9, label="first order in the kernel"))
    points: dict[str, Any] = {"ls": "", "ms": 3, "mfc": "white", "mew": 0.8}
    return keys + [
        Line2D([], [], color=color, marker=marker, label=f"width {m:,}", **points) for m, (color, marker) in _looks().items()
    ]
