"""The optimal teacher weight over kept share and label noise: where each raises it, and the line above which a teacher helps.

Varied: the kept share, the noise variance, the convention of the ridge (a to c), and the number of points (f).
Tuned: the ridge, on the exact risk of the theory: a, b, d, f have the one that is best for ridge regression on all points at
noise variance 0.3, per example or absolute; c has both tuned, the teacher's for itself on all points, the student's together
with its weight for every share and noise; e shows the ridge that is best for the student on labels only.
Seeds: 100 for the points of d to f, each with Gaussian features and noise of its own; the maps are deterministic.
Sizes: 200 directions; 300 points of the teacher unless varied; no test points, the risk on new labels is exact given the
fit.

Eigenvalues are i^-1.2, the signal's energy is proportional to i^-1.4 and of mean square 1; a teacher on all points, a
student on a random share, all chosen here. Maps and lines: ``kdtheory.asymptotics.pruned_risk_curves``, no data. Black: the
weight is zero, above it a teacher helps; white, dashed: it is one. Pruning raises the weight at noises up to three times
that of the ridge; noise raises it but at the smallest shares, below seven in a hundred, where it is above one. In c,
together with its best weight the student wants next to no ridge, it copies its teacher: hence weights from one to two, up to
the edge where all is kept and no weight is identified.

Points: fits by singular value decompositions; the weight is the vertex of the mean parabola, with its 95 % t-interval, the
ratio linearised. In e a point is the lowest of the mean risk over a grid of ridges (steps of a factor 10^(1/4), a parabola
through three), without an interval; of few points the limit is some per cent off, and at the smallest noise the best ridge
there is next to nothing, below the grid. In f three tenths are kept, ridge per example as in a. Nothing is tuned on the
draws but what they are said to find.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from kdtheory.asymptotics import Population, best_ridge, pruned_risk_curves
from kdtheory.risk_curves import RiskCurves
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, stack, where

P, N = 200, 300
TUNED_AT = 0.3  # noise variance for which the ridge is best
SHARES = np.geomspace(0.03, 1.0, 41)
NOISES = np.geomspace(0.01, 30.0, 41)
COARSE = slice(None, None, 2)  # of both, for the diagram whose ridges are searched
SLICES = (0.03, 0.3, 3.0)  # noise variances
MEASURED, MEASURED_POINTS = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0), (100, 200, 400, 800)
RATIOS = np.geomspace(0.5, 8.0, 31)  # points per direction
RATIO_SHARE = 0.3
SEEDS = 100
MARKED = ((0.0, INK, "-"), (1.0, "white", (0, (3, 1))))  # weights with a line of their own
GRID = 10.0 ** np.arange(-1.5, 1.51, 0.25)  # student's ridges, times the noise variance over that of TUNED_AT

Floats = NDArray[np.float64]


def compute() -> Table:
    """Maps, lines and simulated points: a row per kept share, noise variance and number of points."""
    population = _population()
    level = float(best_ridge(population, n=N, keep_fraction=1.0, ridge_convention="per_example", noise_variance=TUNED_AT))
    rows = [*_maps(population, level), *_lines(population, level), *_simulated(population, level)]
    return stack(rows)


def _population() -> Population:
    return Population.power_law(P, decay=1.2, signal_decay=1.4, noise_variance=TUNED_AT)


def _row(panel: str, kind: str, share: Any, noise: Any, points: Any, value: Any, half: Any = 0.0) -> dict[str, Any]:
    names = ("panel", "kind", "keep_fraction", "noise_variance", "points", "value", "half_width")
    return dict(zip(names, (panel, kind, share, noise, points, value, half), strict=True))


def _maps(population: Population, level: float) -> list[dict[str, Any]]:
    """The three diagrams, flattened."""
    share, noise = (grid.ravel() for grid in np.meshgrid(SHARES, NOISES))
    how: dict[str, Any] = {"n": N, "keep_fraction": share, "noise_variance": noise}
    rows = []
    for name, convention, ridge in (("per example", "per_example", level), ("absolute", "absolute", level * N)):
        curves = pruned_risk_curves(population, ridge=ridge, ridge_convention=convention, **how)
        rows.append(_row(name, "theory", share, noise, N, curves.vertex))
    share, noise = (grid.ravel() for grid in np.meshgrid(SHARES[COARSE][:-1], NOISES[COARSE]))  # all rows: not identified
    of_teacher = best_ridge(population, n=N, keep_fraction=1.0, ridge_convention="absolute", noise_variance=noise)
    how = {
        "n": N,
        "keep_fraction": share,
        "noise_variance": noise,
        "teacher_ridge": of_teacher,
        "ridge_convention": "absolute",
    }
    curves = pruned_risk_curves(population, ridge=best_ridge(population, teacher_weight=None, **how), **how)
    return [*rows, _row("tuned", "theory", share, noise, N, curves.vertex)]


def _lines(population: Population, level: float) -> list[dict[str, Any]]:
    """The theory of the three slices, at each noise."""
    rows = []
    for noise in SLICES:
        how: dict[str, Any] = {"noise_variance": noise, "ridge": level, "ridge_convention": "per_example"}
        curves = pruned_risk_curves(population, n=N, keep_fraction=SHARES, **how)
        rows.append(_row("slices", "theory", SHARES, noise, N, curves.vertex))
        curves = pruned_risk_curves(population, n=RATIOS * P, keep_fraction=RATIO_SHARE, **how)
        rows.append(_row("points", "theory", RATIO_SHARE, noise, RATIOS * P, curves.vertex))
        best = best_ridge(population, n=N, keep_fraction=SHARES, ridge_convention="absolute", noise_variance=noise)
        rows.append(_row("ridge", "theory", SHARES, noise, N, best))
    return rows


def _simulated(population: Population, level: float) -> list[dict[str, Any]]:
    """The same, measured; each seed's teacher is fitted once."""
    rows, noises = [], np.array(SLICES)
    grid = level * N * GRID[:, None] * noises / TUNED_AT  # (ridges, noises)
    settings = [(N, share, np.vstack([np.full(len(SLICES), level * N * share), grid])) for share in MEASURED]
    settings += [(n, RATIO_SHARE, np.full((1, len(SLICES)), level * n * RATIO_SHARE)) for n in MEASURED_POINTS]
    for n, share, ridges in settings:
        draws = [_draw(population, n, share, ridges, level * n, seed) for seed in range(SEEDS)]
        curves, panel = RiskCurves.gather(draws), "points" if len(ridges) == 1 else "slices"
        for i, noise in enumerate(SLICES):
            rows.append(_row(panel, "simulation", share, noise, n, *_vertex(curves[:, 0, i])))
            if panel == "slices":
                risk = np.asarray(curves[:, 1:, i].start).mean(axis=0)
                rows.append(_row("ridge", "simulation", share, noise, n, _lowest(grid[:, i], risk)))
    return rows


def _draw(population: Population, n: int, share: float, ridges: Floats, teacher_ridge: float, seed: int) -> RiskCurves:
    """Parabolas (ridges, noises) of the exact risk of fitted students; every noise has its own column of ridges."""
    rng = np.random.default_rng(seed)
    e, v = population.eigenvalues, population.signal
    z, noise = rng.normal(size=(n, P)), rng.normal(size=n)
    X, m = z * np.sqrt(e), round(share * n)
    parts = np.stack([z @ v, noise], axis=1)  # labels are the first plus sigma times the second
    heard = X @ np.linalg.solve(X.T @ X + teacher_ridge * np.eye(P), X.T @ parts)
    U, d, V = np.linalg.svd(X[:m], full_matrices=False)
    targets = U.T @ np.concatenate([parts[:m], (heard - parts)[:m]], axis=1)  # labels, and what the teacher adds
    sigma, curves = np.sqrt(SLICES), []
    for i, noise_variance in enumerate(SLICES):
        mixed = targets[:, ::2] + sigma[i] * targets[:, 1::2]
        filters = d[:, None] / (d[:, None] ** 2 + ridges[:, i])
        fits = (V * np.sqrt(e)).T @ (mixed[:, :, None] * filters[:, None]).reshape(len(d), -1)
        on_labels, change = (fits[:, : len(ridges)] - v[:, None], fits[:, len(ridges) :])
        products = [np.sum(a * b, axis=0) for a, b in ((on_labels, on_labels), (on_labels, change), (change, change))]
        curves.append(RiskCurves(products[0] + noise_variance, 2 * products[1], products[2], 1.0))
    return RiskCurves.gather(curves).transpose()


def _vertex(curves: RiskCurves) -> tuple[float, float]:
    """Of the mean parabola, with half of its 95 % t-interval."""
    half = stats.t.ppf(0.975, SEEDS - 1) * curves.optimal_weight_spread(axis=0)
    return float(curves.mean(axis=0).vertex), float(half)


def _lowest(ridges: Floats, risk: Floats) -> float:
    """Vertex, in log ridge, of the parabola through the least risk and its neighbours; nan at an end of the grid."""
    i = int(risk.argmin())
    if i in (0, len(risk) - 1):
        return float("nan")
    bend, slope, _ = np.polyfit(np.log(ridges[i - 1 : i + 2] / ridges[i]), risk[i - 1 : i + 2], 2)
    return float(ridges[i] * np.exp(-slope / (2 * bend)))


def draw(table: Table) -> Figure:
    """Three diagrams above, three slices below."""
    figure, axes = plt.subplots(2, 3, figsize=(PAGE, 4.7), height_ratios=(1.05, 1))
    titles = {"per example": "a  ridge per kept example", "absolute": "b  absolute ridge", "tuned": "c  both ridges tuned"}
    image: Any = None
    for axis, (panel, title) in zip(axes[0], titles.items(), strict=True):
        rows = where(table, panel=panel)
        shape = (-1, len(np.unique(rows["keep_fraction"])))
        x, y, weight = (rows[name].reshape(shape) for name in ("keep_fraction", "noise_variance", "value"))
        image = axis.pcolormesh(x, y, weight, vmin=-1.5, vmax=1.5, cmap="PuOr_r", shading="gouraud", rasterized=True)
        for value, color, dashes in MARKED:
            if weight.min() < value < weight.max():
                axis.contour(x, y, weight, levels=[value], colors=[color], linestyles=[dashes], linewidths=1.2)
        axis.set(xscale="log", yscale="log", title=title, xlabel="kept share of the data", xlim=(SHARES[0], SHARES[-1]))
    axes[0, 0].set_ylabel("noise variance")
    bar = figure.colorbar(image, ax=axes[0], extend="both", aspect=18, pad=0.01)
    bar.set_label("optimal teacher weight")
    for value, color, dashes in MARKED:
        bar.ax.axhline(value, color=color, ls=dashes)
    _slices(axes[1, 0], table, "slices", "keep_fraction")
    axes[1, 0].set(title="d  slices of a", xlabel="kept share of the data", ylabel="optimal teacher weight")
    _slices(axes[1, 1], table, "ridge", "keep_fraction")
    axes[1, 1].set(yscale="log", ylim=(1e-2, None), xlabel="kept share of the data", ylabel="best ridge (absolute)")
    axes[1, 1].set_title("e  ridge of a student on labels")
    _slices(axes[1, 2], table, "points", "points")
    axes[1, 2].set(xlabel="points of the teacher", ylabel="optimal teacher weight")
    axes[1, 2].set_title(f"f  {RATIO_SHARE:.0%} kept".replace("%", " %"))
    for axis in (*axes[0], *axes[1, :2]):
        axis.set_xticks([0.03, 0.1, 0.3, 1], ["0.03", "0.1", "0.3", "1"])
    axes[1, 2].set_xticks([100, 200, 400, 800, 1600], ["100", "200", "400", "800", "1,600"])
    for axis in (*axes[0], axes[1, 1]):
        axis.set_yticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    for axis in axes.flat:
        axis.minorticks_off()
    axes[1, 0].legend(title="noise variance", loc="lower left", title_fontsize=7)
    return figure


def _slices(axis: Any, table: Table, panel: str, name: str) -> None:
    for noise, color, marker in zip(SLICES, OKABE_ITO, "os^", strict=False):
        line, points = (where(table, panel=panel, kind=kind, noise_variance=noise) for kind in ("theory", "simulation"))
        axis.plot(line[name], line["value"], color=color)
        style: dict[str, Any] = {"fmt": marker, "ms": 3.5, "color": color, "mfc": "white", "mew": 0.8, "lw": 0.8}
        axis.errorbar(points[name], points["value"], points["half_width"], label=f"{noise:g}", **style)
    if panel != "ridge":
        axis.axhline(0.0, color=GREY, lw=0.6)
    axis.set_xscale("log")
