"""Trained on four points of the circle, networks of width 1,000 cannot be told from draws of the kernels' law; width 50 can.

Varied: the width of all hidden layers, 50 and 1,000.
Tuned: nothing.
Seeds: 100 initialisations a width, 10 of them drawn at the left.
Sizes: 4 training points; functions at 73 angles, 5 degrees apart.

Figure 2 of Jacot, Gabriel & Hongler (2018, arXiv:1806.07572), the law computed here from the exact limit kernels, where
they used those of a network of width 10,000. Left: ten networks after 1,000 steps of gradient descent, and the law's 10th,
50th and 90th percentiles (after 1,000 steps or infinitely many: here the two differ by less than 1e-12). Upper right:
standard deviation over all networks with 95 % intervals (chi square), and the law's (line). Lower right: share of the
functions, over networks and angles, within the law's central band of each probability, less that probability; mean and 95 %
t-interval over networks; p is of a Kolmogorov-Smirnov test of the networks' squared Mahalanobis distances, at seven angles,
against chi square.

Stated by the paper: ReLU, four layers of weights, bias scale 0.1, widths 50 and 1,000, learning rate 1, 1,000 steps, ten
networks. Not stated: the four points and their targets; here they lie at -120, -50, 30 and 100 degrees with targets x1 x2,
as in its figure 1. Recorded in ``circle_outputs.csv``; ``python -m empirical run circle_outputs`` measures it anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy import stats

import kdtheory as kd
from paper_figs.regression_data import recorded
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where

TRAINING = (-120, -50, 30, 100)  # degrees
LEARNING_RATE, STEPS = 1.0, 1000
DRAWN = 10  # networks
SHARES = tuple(round(0.1 * i, 1) for i in range(1, 10))
JOINT = (-180, -150, -85, -10, 10, 65, 140)  # angles of the joint test
LOOKS = {50: (OKABE_ITO[1], "s", -1.0), 1000: (OKABE_ITO[0], "o", 1.0)}  # colour, marker, shift per width

Floats = NDArray[np.float64]


def compute() -> Table:
    """Rows: functions, percentiles, deviations (x is the angle); shares (x is the band's probability), p-values, training."""
    networks = recorded("circle_outputs.csv")
    angles = recorded_angles(networks)
    law = limit(angles)
    X = on_circle(TRAINING)
    rows: list[dict[str, Any]] = [_row("training", x=TRAINING, value=X[:, 0] * X[:, 1])]
    for share in (0.1, 0.5, 0.9):
        rows.append(_row(f"percentile {share:g}", x=angles, value=law.mean + stats.norm.ppf(share) * law.standard_deviation))
    rows.append(_row("law's deviation", x=angles, value=law.standard_deviation))
    for width in np.unique(networks["width"]).tolist():
        F = functions(networks, width)
        rows += [_row("network", width=width, network=e, x=angles, value=F[e]) for e in range(DRAWN)]
        s, E = F.std(axis=0, ddof=1), len(F)
        low, high = (s * np.sqrt((E - 1) / stats.chi2.ppf(p, E - 1)) for p in (0.975, 0.025))
        rows.append(_row("deviation", width=width, x=angles, value=s, low=low, high=high))
        away = ~np.isin(angles, TRAINING)
        z = np.abs(F - law.mean)[:, away] / law.standard_deviation[away]
        for share in SHARES:
            inside = (z < stats.norm.ppf((1 + share) / 2)).mean(axis=1)
            middle, half = inside.mean(), half_width(inside)
            rows.append(_row("share", width=width, x=share, value=middle, low=middle - half, high=middle + half))
        rows.append(_row("p-value", width=width, value=stats.kstest(distances(F, angles), "chi2", (len(JOINT),)).pvalue))
    return stack(rows)


def _row(kind: str, **columns: Any) -> dict[str, Any]:
    return {"kind": kind, "width": 0, "network": 0, "x": 0.0, "value": 0.0, "low": np.nan, "high": np.nan} | columns


def recorded_angles(networks: Table) -> NDArray[np.int64]:
    """Angles of the recorded functions in degrees: names of columns."""
    return np.array([int(name) for name in networks if name.lstrip("-").isdigit()])


def functions(networks: Table, width: int) -> Floats:
    """Outputs of all networks of a width around the circle, (E, angles)."""
    of_width = where(networks, width=width)
    return np.stack([of_width[str(angle)] for angle in recorded_angles(networks)], axis=1)


def on_circle(degrees: Any) -> Floats:
    """Points of the unit circle, (m, 2)."""
    gamma = np.deg2rad(degrees)
    return np.stack([np.cos(gamma), np.sin(gamma)], axis=-1)


def limit(angles: Any, steps: int | None = STEPS) -> kd.dynamics.Ensemble:
    """Law of infinitely wide networks at these angles, after so many steps; None is infinitely many."""
    X = on_circle(TRAINING)
    kernel: dict[str, Any] = {"depth": 3, "activation": "relu", "weight_variance": 1.0, "bias_variance": 0.01}
    network = kd.dynamics.WideNetwork.fully_connected(X, on_circle(angles), **kernel)
    rate, c = LEARNING_RATE, kd.dynamics.loss_scale("half mean", len(X))
    return network.trained(X[:, 0] * X[:, 1], kd.GradientFlow(np.inf) if steps is None else kd.GradientDescent(rate, steps, c))


def distances(F: Floats, angles: NDArray[np.int64]) -> Floats:
    """Squared Mahalanobis distances of networks from the law's mean, at the angles of the joint test."""
    law, at = limit(JOINT), np.searchsorted(angles, JOINT)
    away = F[:, at] - law.mean
    return np.asarray(np.einsum("ei,ie->e", away, np.linalg.solve(law.covariance, away.T)))


def draw(table: Table) -> Figure:
    """Functions at the left, a panel per width; spread and calibration at the right."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.6), width_ratios=(1.15, 1))
    for axis, (width, (color, _, _)) in zip(axes[:, 0], LOOKS.items(), strict=True):
        _draw_functions(axis, table, width, color)
    handles, labels = axes[1, 0].get_legend_handles_labels()
    handles[0] = Line2D([], [], color=GREY, lw=0.8)
    figure.legend(handles, labels, loc="outside lower left", ncols=4, columnspacing=1.0, handlelength=1.6)
    _draw_deviations(axes[0, 1], table)
    _draw_shares(axes[1, 1], table)
    return figure


def _draw_functions(axis: Any, table: Table, width: int, color: str) -> None:
    networks = where(table, kind="network", width=width)
    for e in range(DRAWN):
        line = where(networks, network=e)
        axis.plot(line["x"], line["value"], color=color, lw=0.6, alpha=0.8, label="one network" if e == 0 else "_nolegend_")
    for share, dash in ((0.5, "-"), (0.1, "--"), (0.9, "--")):
        line = where(table, kind=f"percentile {share:g}")
        label = {0.5: "law: median", 0.1: "10 %, 90 %"}.get(share, "_nolegend_")
        axis.plot(line["x"], line["value"], color=INK, ls=dash, lw=1.1, label=label)
    points = where(table, kind="training")
    axis.plot(points["x"], points["value"], "o", color=INK, mfc="white", ms=4.5, mew=1.1, zorder=5, label="training point")
    axis.set_title(f"width {width:,}: {DRAWN} networks")
    _angles(axis)
    axis.set(ylabel="network function", ylim=(-0.8, 0.8))


def _draw_deviations(axis: Any, table: Table) -> None:
    law = where(table, kind="law's deviation")
    axis.plot(law["x"], law["value"], color=INK, label="law")
    for width, (color, marker, shift) in LOOKS.items():
        points = {name: column[::2] for name, column in where(table, kind="deviation", width=width).items()}
        reach = [points["value"] - points["low"], points["high"] - points["value"]]
        style: dict[str, Any] = {"fmt": marker, "ms": 2.2, "color": color, "mfc": "white", "mew": 0.7, "lw": 0.6}
        axis.errorbar(points["x"] + shift, points["value"], reach, label=f"width {width:,}", **style)
    _angles(axis)
    axis.set(ylabel="standard deviation", ylim=(-0.004, 0.26), title="spread of all networks")
    axis.legend(loc="upper center", ncols=3, columnspacing=1.0)


def _draw_shares(axis: Any, table: Table) -> None:
    axis.axhline(0.0, color=INK, lw=1.0)
    for width, (color, marker, shift) in LOOKS.items():
        points, p = where(table, kind="share", width=width), where(table, kind="p-value", width=width)["value"][0]
        style: dict[str, Any] = {"fmt": marker, "ms": 3, "color": color, "mfc": "white", "mew": 0.8, "lw": 0.8}
        reach = 100 * (points["high"] - points["value"])
        name = f"width {width:,}: p = {p:.1g}"
        axis.errorbar(100 * points["x"] + 0.5 * shift, 100 * (points["value"] - points["x"]), reach, label=name, **style)
    axis.set(xlabel="probability of the law's central band (%)", ylabel="share within \N{MINUS SIGN} probability (%)")
    axis.set(xlim=(0, 100), xticks=range(0, 101, 20), ylim=(-20, 20), title="shares within the law's bands")
    axis.legend(loc="upper left")


def _angles(axis: Any) -> None:
    axis.set(xlabel=r"angle $\gamma$ (degrees)", xticks=range(-180, 181, 60), xlim=(-184, 184))
