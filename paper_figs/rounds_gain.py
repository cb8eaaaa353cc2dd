"""k rounds gain up to a factor that grows with the number of distinct eigenvalues (Pareek, Du & Oh, 2024, arXiv:2407.04600).

Varied: the number of rounds k; the ridge (a), the number of directions (b), and how many of the eigenvalues are distinct
(c).
Tuned: the weights of each chain, which are optimal for the known signal and noise; in b and c the ridge too, on the same
risk.
Seeds: 10,000 draws of the labels for the points of a, means with 95 % t-intervals; b and c are deterministic.
Sizes: 4 directions (a), 1 to 16 (b), 8 (c); a fixed design, the total risk (n times the mean) at its points, no test
points.

The true parameters are one unit in the leading direction; chains by ``kdtheory.optimal_polynomial``.
(a) Risk over the ridge for 0 to 4 rounds, a synthetic example in the manner of the paper's: singular values 1, 1/2, 1/3,
1/4, noise standard deviation 1/8. Lines: the optimum. Points: chains of k linear solves at its teacher weights. Dashed: the
Wiener filter, the least risk of any linear filter. One round is best at an infinite ridge here.
(b) The same risks, each at its own best ridge, over that of the Wiener filter, for directions with squared singular values
from 1 to 1/2 and noise variance 0.001. Where the eigenvalues are as many as the rounds, k rounds reach 1.
(c) Eight directions with only m distinct eigenvalues among them, shared out as evenly as they go: chains at their best
ridge (marks) against the Wiener filter that must treat equal eigenvalues alike (line), over the Wiener filter that need
not.

The parameters of the paper's own figure are from memory of a reference and not confirmed; b and c are chosen here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

import kdtheory as kd
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, plain, round_colors, stack, where

SINGULAR_VALUES = (1.0, 1 / 2, 1 / 3, 1 / 4)  # panel a
NOISE_VARIANCE = 0.125**2
ROUNDS = (0, 1, 2, 3, 4)
RIDGES = np.logspace(-2.5, 3.5, 121)
SIMULATED = RIDGES[:81:10]  # beyond ridge 30 the weights of four rounds are so large that a chain of solves loses its digits
DRAWS = 10_000
DIRECTIONS = np.arange(1, 17)  # panel b
SMALL_NOISE = 1e-3
TIED, TIED_ROUNDS = 8, (0, 1, 8)  # panel c

Floats = NDArray[np.float64]


def compute() -> Table:
    """Total risk, its half-width where measured, and the Wiener risk, per panel, kind, k and abscissa."""
    return stack([*_over_ridge(), *_over_directions(), *_over_ties()])


def _row(panel: str, kind: str, rounds: int, x: Any, risk: Any, wiener: float, interval: float = 0.0) -> dict[str, Any]:
    """One block of the table; x is the ridge, the number of directions, or that of distinct eigenvalues."""
    return {"panel": panel, "kind": kind, "rounds": rounds, "x": x, "risk": risk, "interval": interval, "wiener": wiener}


def _leading(squares: Floats) -> tuple[kd.Spectrum, Floats]:
    """Spectrum with these eigenvalues, in that order, and the signal of unit parameters in the first direction."""
    signal = np.zeros(len(squares))
    signal[0] = np.sqrt(squares[0])
    return kd.Spectrum(squares, np.eye(len(squares))), signal


def _risk(fit: Floats, signal: Floats, noise_variance: float) -> float:
    """Total risk of a filter with these multipliers: bias and variance."""
    return float(np.sum((1 - fit) ** 2 * signal**2 + noise_variance * fit**2))


def _wiener(signal: Floats, noise_variance: float, groups: NDArray[np.int_] | None = None) -> float:
    """Least risk of one multiplier per group; by default each direction is its own group."""
    members = np.arange(len(signal)) if groups is None else groups
    energy, size = np.bincount(members, signal**2), np.bincount(members)
    return float(np.sum(energy * size * noise_variance / (energy + size * noise_variance)))


def _best(spectrum: kd.Spectrum, signal: Floats, noise_variance: float, ridge: float, rounds: int) -> float:
    """Risk of the best chain of k rounds at a ridge."""
    chain = kd.optimal_polynomial(spectrum, signal, noise_variance=noise_variance, ridge=ridge, rounds=rounds)
    return _risk(chain.fit(spectrum.eigenvalues), signal, noise_variance)


def _over_ridge() -> list[dict[str, Any]]:
    """Panel a: optimum and simulated chains."""
    spectrum, signal = _leading(np.array(SINGULAR_VALUES) ** 2)
    wiener, rows = _wiener(signal, NOISE_VARIANCE), []
    for k in ROUNDS:
        risks = [_best(spectrum, signal, NOISE_VARIANCE, ridge, k) for ridge in RIDGES.tolist()]
        rows.append(_row("a", "theory", k, RIDGES, risks, wiener))
        for ridge in SIMULATED.tolist():
            errors = _chain_of_solves(spectrum, signal, ridge, k)
            half = float(half_width(errors))
            rows.append(_row("a", "measured", k, ridge, errors.mean(), wiener, half))
    return rows


def _chain_of_solves(spectrum: kd.Spectrum, signal: Floats, ridge: float, rounds: int) -> Floats:
    """Squared error of the last of k + 1 ridge fits, each on its mix of labels and teacher, per draw of the labels."""
    best = kd.optimal_polynomial(spectrum, signal, noise_variance=NOISE_VARIANCE, ridge=ridge, rounds=rounds)
    noise = np.random.default_rng(rounds).normal(scale=np.sqrt(NOISE_VARIANCE), size=(len(signal), DRAWS))
    labels, K = signal[:, None] + noise, np.diag(spectrum.eigenvalues)
    fit = K @ np.linalg.solve(K + ridge * np.eye(len(K)), labels)
    for w in best.teacher_weights():
        fit = K @ np.linalg.solve(K + ridge * np.eye(len(K)), (1 - w) * labels + w * fit)
    return np.asarray(np.sum((fit - signal[:, None]) ** 2, axis=0))


def _over_directions() -> list[dict[str, Any]]:
    """Panel b: best ridge of each, no round, one round, four rounds."""
    rows = []
    for r in DIRECTIONS.tolist():
        spectrum, signal = _leading(np.linspace(1.0, 0.5, r))
        wiener = _wiener(signal, SMALL_NOISE)
        for k in (0, 1, 4):
            rows.append(_row("b", "theory", k, r, _at_the_best_ridge(spectrum, signal, k), wiener))
    return rows


def _at_the_best_ridge(spectrum: kd.Spectrum, signal: Floats, rounds: int) -> float:
    """Least risk over the ridge: a grid, then a search around its best point."""
    grid = np.linspace(-9.0, 6.0, 61)

    def risk(log_ridge: float) -> float:
        return _best(spectrum, signal, SMALL_NOISE, float(np.exp(log_ridge)), rounds)

    start = grid[np.argmin([risk(x) for x in grid.tolist()])]
    found = minimize_scalar(risk, bounds=(start - 0.25, start + 0.25), method="bounded", options={"xatol": 1e-8})
    return min(float(found.fun), risk(float(start)))


def _over_ties() -> list[dict[str, Any]]:
    """Panel c: pooled Wiener filter, and the chains of k rounds."""
    rows = []
    for m in range(1, TIED + 1):
        groups = np.concatenate([np.full(len(part), g) for g, part in enumerate(np.array_split(np.arange(TIED), m))])
        spectrum, signal = _leading(np.linspace(1.0, 0.5, m)[groups])
        free = _wiener(signal, SMALL_NOISE)
        rows.append(_row("c", "theory", TIED, m, _wiener(signal, SMALL_NOISE, groups), free))
        for k in TIED_ROUNDS:
            best = _at_the_best_ridge(spectrum, signal, k)
            rows.append(_row("c", "chain", k, m, best, free))
    return rows


def draw(table: Table) -> Figure:
    """Risk over the ridge; gain over the number of directions; what ties cost."""
    figure, axes = plt.subplots(1, 3, figsize=(PAGE, 2.75), width_ratios=(1.15, 1, 1))
    _draw_ridge(axes[0], where(table, panel="a"))
    _draw_directions(axes[1], where(table, panel="b"))
    _draw_ties(axes[2], where(table, panel="c"))
    return figure


def _color(rounds: int) -> Any:
    """One colour per number of rounds, in every panel."""
    return dict(zip(ROUNDS, round_colors(len(ROUNDS)), strict=True)).get(rounds, OKABE_ITO[1])


def _draw_ridge(axis: Any, panel: Table) -> None:
    """Panel a."""
    for k in ROUNDS:
        color = _color(k)
        line, points = where(panel, rounds=k, kind="theory"), where(panel, rounds=k, kind="measured")
        axis.plot(line["x"], line["risk"], color=color, label=f"k = {k}")
        axis.errorbar(points["x"], points["risk"], points["interval"], fmt="o", ms=2.5, color=color, mfc="white", mew=0.7)
    axis.axhline(panel["wiener"][0], color=INK, ls="--", lw=0.8, label="Wiener")
    axis.plot([], [], "o", ms=2.5, color=INK, mfc="white", mew=0.7, label="by solves")
    axis.set(xscale="log", yscale="log", xlabel="ridge", ylabel="total risk", title=f"(a) {len(SINGULAR_VALUES)} directions")
    axis.set_yticks((0.02, 0.05, 0.1, 0.2, 0.5, 1.0), ("0.02", "0.05", "0.1", "0.2", "0.5", "1"))
    axis.yaxis.minorticks_off()
    plain(axis.xaxis, every=2)
    axis.legend(loc="center right", handlelength=1.4)


def _draw_directions(axis: Any, panel: Table) -> None:
    """Panel b."""
    for k in (0, 1, 4):
        line = where(panel, rounds=k)
        axis.plot(line["x"], line["risk"] / line["wiener"], color=_color(k), label=f"k = {k}")
    axis.axhline(1.0, color=INK, ls="--", lw=0.8, label="Wiener")
    axis.set(xlabel="directions, all distinct", ylabel="least risk / Wiener's", title=f"(b) 1 to {DIRECTIONS[-1]} directions")
    axis.set_xticks([1, 4, 8, 12, 16])
    axis.legend(loc="upper left")


def _draw_ties(axis: Any, panel: Table) -> None:
    """Panel c."""
    line = where(panel, kind="theory")
    axis.plot(line["x"], line["risk"] / line["wiener"], color=GREY, lw=2.0, label="pooled Wiener")
    for k, marker in zip(TIED_ROUNDS, "osD", strict=True):
        points = where(panel, kind="chain", rounds=k)
        axis.plot(
            points["x"], points["risk"] / points["wiener"], marker, ms=3.5, mfc="white", color=_color(k), label=f"k = {k}"
        )
    axis.axhline(1.0, color=INK, ls="--", lw=0.8)
    axis.set(
        xlabel=f"distinct eigenvalues among {TIED}", ylabel="least risk / Wiener's", title=f"(c) {TIED} directions with ties"
    )
    axis.set(ylim=(0.0, 1.45 * axis.get_ylim()[1]), xticks=range(1, TIED + 1))
    axis.legend(loc="upper right", ncols=2, columnspacing=1.0)
