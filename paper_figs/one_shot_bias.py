"""Tuning from one fit: the leave-one-out derivative finds the weight in the proportional limit, the plain plug-in does not.

Varied: the penalty per example (ridge over points) 0.1, 0.2, 1 and 5, the number of points, 100 to 1,600, and the estimate.
Tuned: the teacher weight, by each estimate on the training labels alone (``kdtheory.one_shot_weight``); nothing else.
Seeds: 480 at 100 points, half as many with each doubling, 30 at 1,600; points are means with 95 % t-intervals. A seed serves
every penalty and estimate, so that these deviate together.
Sizes: 100 to 1,600 training points, half as many white Gaussian features; no test points, excess risk is taken in the limit.

Lines: the limits, that of the optimal weight by ``kdtheory.asymptotics``, that of the plain plug-in derived in
``plain_limit``. Signal and noise have variance 1. Right: what the limit of the plain weight costs, its excess risk over what
the optimal weight gains (line), and the mean excess of the estimates at 1,600 points, which adds their scatter (points):
there the scatter that all three have costs as much as the bias that one has. "Plain" is the degrees-of-freedom plug-in, the
trace of S² over n for the student, as given in the reproduction that we worked from. The final text of the paper (Dang,
Patil & Rinaldo, 2026, arXiv:2602.17565) was not available to us; no claim about the paper is made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

import kdtheory as kd
from kdtheory.asymptotics import Population, implicit_ridge, risk_curve, two_point_risk
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where

PENALTIES = (0.1, 0.2, 1.0, 5.0)
SEEDS = {100: 480, 200: 240, 400: 120, 800: 60, 1600: 30}  # per number of points
FEATURES_PER_POINT = 0.5
SIGNAL_SQUARE, NOISE_VARIANCE = 1.0, 1.0
METHODS = {"leave-one-out": "leave-one-out", "gcv-derivative": "GCV derivative", "gcv": "plain plug-in"}
LIMITS = {"optimal limit": "limit of the best weight", "plain limit": "limit of the plain plug-in"}
LIMIT_POINTS = 1000  # white features: the limits depend on the ratio alone
LINE = np.logspace(-2, 1.3, 40)  # penalties of the right panel
STEP = 0.02  # of log ridge

Floats = NDArray[np.float64]


def compute() -> Table:
    """Weight and relative cost: limits per penalty; estimates per method, penalty and number of points with half-widths."""
    rows: list[dict[str, Any]] = []
    population = _population(LIMIT_POINTS)
    for penalty in (*PENALTIES, *LINE.tolist()):
        truth, plain = _limit(population, penalty), plain_limit(population, n=LIMIT_POINTS, ridge=LIMIT_POINTS * penalty)
        rows.append(_row("optimal limit", penalty, np.inf, np.array([truth]), truth))
        rows.append(_row("plain limit", penalty, np.inf, np.array([plain]), truth))
    truths = {penalty: _limit(population, penalty) for penalty in PENALTIES}
    for n, seeds in SEEDS.items():
        weights = np.array([_estimates(n, seed) for seed in range(seeds)])
        for i, (penalty, truth) in enumerate(truths.items()):
            for j, method in enumerate(METHODS):
                rows.append(_row(method, penalty, n, weights[:, i, j], truth))
    return stack(rows)


def _estimates(n: int, seed: int) -> Floats:
    """Weight by every penalty and method from one draw of n points."""
    X, y = _population(n).sample(n, np.random.default_rng([n, seed]))
    spectrum = _spectrum(X)
    weights = [
        kd.one_shot_weight(spectrum, y, ridge=n * penalty, method=method) for penalty in PENALTIES for method in METHODS
    ]
    return np.array(weights).reshape(len(PENALTIES), len(METHODS))


def _row(kind: str, penalty: float, n: float, weights: Floats, truth: float) -> dict[str, Any]:
    """Mean weight and mean cost, which is D (w - w*)² over the gain D w*², with half-widths of 95 % t-intervals."""
    columns = {"teacher_weight": weights, "relative_cost": (weights / truth - 1) ** 2}
    row: dict[str, Any] = {"kind": kind, "penalty": penalty, "points": n, "seeds": len(weights)}
    for name, values in columns.items():
        half = float(half_width(values)) if len(values) > 1 else 0.0
        row |= {name: values.mean(), f"{name}_interval": half}
    return row


def _population(n: int) -> Population:
    """White features for n points."""
    p = round(FEATURES_PER_POINT * n)
    return Population(np.ones(p), np.full(p, np.sqrt(SIGNAL_SQUARE / p)), NOISE_VARIANCE)


def _limit(population: Population, penalty: float) -> float:
    """Limit of the optimal weight."""
    return risk_curve(population, n=LIMIT_POINTS, ridge=LIMIT_POINTS * penalty).optimal_weight


def _spectrum(X: Floats) -> kd.Spectrum:
    """Of K = X X', from the eigenvectors V of the smaller X'X: U = X V d^(-1/2); well conditioned at half as many features."""
    d, V = scipy.linalg.eigh(X.T @ X)
    d, V = d[::-1], V[:, ::-1]
    return kd.Spectrum(np.array(d), np.asfortranarray(X @ (V / np.sqrt(d))))


def plain_limit(population: Population, *, n: int, ridge: float) -> float:
    """Limit of the plain plug-in weight <r, r - q>/|r - q|², r = (I - S)y/(1 - tr S/n), q = (I - S²)y/(1 - tr S²/n).

    With D = d/d(log ridge), S - S² = D(I - S), so both traces and both residuals follow from the ridge path:
    u = 1 - tr S/n = ridge/(n kappa) and 1 - tr S²/n = u + Du; with the two-point training product
    T(l1, l2) = <r1, r2>/n = u(l1) u(l2) R(l1, l2) of ridge residuals at l1 and l2, the products of (I - S)y and (I - S²)y are
    T, T + D1 T and T + 2 D1 T + D1 D2 T at equal ridges. Derivatives by the five-point rule, error of order STEP**4.
    """
    ridges = ridge * np.exp(STEP * np.arange(-2, 3))
    derivative = np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / (12 * STEP)
    u = np.array([x / (n * implicit_ridge(population, n=n, ridge=x)) for x in ridges.tolist()])
    T = np.outer(u, u) * two_point_risk(population, n=n, ridges=ridges)
    left_r, left_q = u[2], u[2] + derivative @ u
    rr = T[2, 2] / left_r**2
    rq = (T[2, 2] + derivative @ T[:, 2]) / (left_r * left_q)
    qq = (T[2, 2] + 2 * derivative @ T[:, 2] + derivative @ T @ derivative) / left_q**2
    return float((rr - rq) / (rr - 2 * rq + qq))


def draw(table: Table) -> Figure:
    """The weights over the number of points, a panel per penalty; the cost at the right."""
    figure = plt.figure(figsize=(PAGE, 3.9))
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.05))
    for i, penalty in enumerate(PENALTIES):
        axis = figure.add_subplot(grid[i // 2, i % 2])
        _draw_weights(axis, where(table, penalty=penalty))
        axis.set_title(f"penalty per example {penalty:g}")
        axis.set(xlabel="training points" if i >= 2 else "", ylabel="teacher weight" if i % 2 == 0 else "")
    _draw_costs(figure.add_subplot(grid[:, 2]), table)
    figure.suptitle(
        f"Teacher weight from one fit; half as many features as points; {min(SEEDS.values())} to {max(SEEDS.values())} seeds",
        fontsize=8.5,
    )
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, columnspacing=1.2)
    return figure


def _looks() -> list[tuple[str, str, str, float]]:
    """Method, colour, marker and shift of each estimate."""
    shifts = np.linspace(-1, 1, len(METHODS)).tolist()
    return list(zip(METHODS, (OKABE_ITO[0], OKABE_ITO[2], OKABE_ITO[1]), "os^", shifts, strict=True))


def _draw_weights(axis: Any, panel: Table) -> None:
    """Estimates over the number of points, and the two limits."""
    for kind, color, dash in (("optimal limit", INK, "-"), ("plain limit", OKABE_ITO[1], "--")):
        axis.axhline(where(panel, kind=kind)["teacher_weight"][0], color=color, ls=dash, label=LIMITS[kind])
    for method, color, marker, shift in _looks():
        points = where(panel, kind=method)
        style: dict[str, Any] = {
            "fmt": marker,
            "ms": 3,
            "color": color,
            "mfc": "white",
            "mew": 0.8,
            "lw": 0.8,
            "label": METHODS[method],
        }
        axis.errorbar(points["points"] * 1.09**shift, points["teacher_weight"], points["teacher_weight_interval"], **style)
    axis.set(xscale="log", xticks=list(SEEDS), xticklabels=[f"{n:,}" for n in SEEDS])
    axis.minorticks_off()


def _draw_costs(axis: Any, table: Table) -> None:
    """Excess risk over gain, in percent, against the penalty."""
    line = where(table, kind="plain limit")
    order = np.argsort(line["penalty"])
    axis.plot(line["penalty"][order], 100 * line["relative_cost"][order], color=OKABE_ITO[1], ls="--")
    largest = where(table, points=float(max(SEEDS)))
    for method, color, marker, shift in _looks():
        points = where(largest, kind=method)
        mean, half = points["relative_cost"], points["relative_cost_interval"]
        style: dict[str, Any] = {"fmt": marker, "ms": 3, "color": color, "mfc": "white", "mew": 0.8, "lw": 0.8}
        axis.errorbar(points["penalty"] * 1.09**shift, 100 * mean, 100 * half, **style)
    axis.axhline(0.0, color=GREY, lw=0.6)
    axis.set(xscale="log", xlabel="penalty per example", ylabel="excess risk / gain of the best weight (%)")
    axis.set_xticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    axis.minorticks_off()
    axis.set_title(f"its cost: limit (line),\nat {max(SEEDS):,} points (points)")
