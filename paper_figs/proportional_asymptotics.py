"""Deterministic equivalents predict the risk of ridge, pure and optimal distillation within 1.5 % (400 points, 200 features).

Varied: the ridge (400 times a penalty per example of 0.01 to 50), the covariance of the features (identity plus one spike of
strength 5, autoregressive with 0.5 and with 0.25, identity), and the student (labels only, one round at weight 1, one round
at the optimal weight).
Tuned: nothing on the draws. "Optimal" uses, in the simulation too, the weight that the theory predicts: the optimum of a
single draw would be tuned on its own test risk and lie below that of the mean.
Seeds: 30, each with features, noise and labels of its own; points are means with 95 % t-intervals, at every third ridge. A
seed is the same draw of random numbers for every covariance and ridge, so that neighbouring points deviate together.
Sizes: 400 training points of 200 Gaussian features; no test points, the risk on new labels is exact given the fit.

Lines: ``kdtheory.asymptotics``, no data. Signal and noise have variance 1 (coefficients of squared norm 1); the signal's
energy lies to 90 % on the top tenth of the eigenvectors, spread evenly within both parts. In the manner of figure 4 of Dang,
Patil & Rinaldo (2026), arXiv:2602.17565; the exact spike of theirs is not known to us. The panels' titles name the largest
relative deviation of a point from its line; the table records all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kdtheory.asymptotics import Population, risk_curve
from paper_figs.style import INK, OKABE_ITO, PAGE, Table, half_width, stack, where

N, P = 400, 200
RIDGES = N * np.logspace(np.log10(0.01), np.log10(50.0), 30)
EVERY = 3  # of them one is simulated
SEEDS = 30
NOISE_VARIANCE, SIGNAL_SQUARE = 1.0, 1.0
TOP_ENERGY, TOP_SHARE = 0.9, 0.1
SPIKE = 5.0
COVARIANCES = ("one spike", "autoregressive 0.5", "autoregressive 0.25", "identity")
TICKS = (10, 100, 1000, 10_000)
CHAINS = ("ridge regression", "one round, weight 1", "one round, optimal weight")

Floats = NDArray[np.float64]


def compute() -> Table:
    """Theoretical and measured risk, half-width and relative deviation, per covariance, chain and ridge."""
    rows: list[dict[str, Any]] = []
    for covariance in COVARIANCES:
        population = _population(covariance)
        curves = [risk_curve(population, n=N, ridge=ridge) for ridge in RIDGES.tolist()]
        optimum = np.array([curve.optimal_weight for curve in curves])
        weights = np.stack([np.zeros_like(optimum), np.ones_like(optimum), optimum])
        simulated = np.array([_simulate(population, weights[:, ::EVERY], seed) for seed in range(SEEDS)])
        half = half_width(simulated)
        for i, chain in enumerate(CHAINS):
            theory = np.array([float(curve(w)) for curve, w in zip(curves, weights[i].tolist(), strict=True)])
            measured, interval = np.full_like(theory, np.nan), np.full_like(theory, np.nan)
            measured[::EVERY], interval[::EVERY] = simulated[:, i].mean(axis=0), half[i]
            rows.append(
                {
                    "covariance": covariance,
                    "chain": chain,
                    "ridge": RIDGES,
                    "teacher_weight": weights[i],
                    "theory": theory,
                    "measured": measured,
                    "interval": interval,
                    "relative_deviation": measured / theory - 1,
                }
            )
    return stack(rows)


def _population(covariance: str) -> Population:
    """Eigenvalues of the covariance, descending, and the signal on them."""
    e = np.ones(P)
    if covariance == "one spike":
        e[0] += SPIKE
    elif covariance != "identity":
        correlation = float(covariance.removeprefix("autoregressive "))
        e = np.array(scipy.linalg.eigvalsh(scipy.linalg.toeplitz(correlation ** np.arange(P)))[::-1], dtype=np.float64)
    top = round(TOP_SHARE * P)
    energy = np.full(P, (1 - TOP_ENERGY) / (P - top))
    energy[:top] = TOP_ENERGY / top
    return Population(e, np.sqrt(SIGNAL_SQUARE * energy * e), NOISE_VARIANCE)


def _simulate(population: Population, weights: Floats, seed: int) -> Floats:
    """Risk of one round at each (chain, ridge) weight for one draw; one decomposition serves every ridge and weight."""
    X, y = population.sample(N, np.random.default_rng(seed))
    U, singular, V = np.linalg.svd(X, full_matrices=False)
    d = singular[:, None, None] ** 2
    ridges = RIDGES[::EVERY]
    fit = 1 / (d + ridges) * (1 - weights + weights * d / (d + ridges))  # of one eigendirection, per singular value
    coefficients = V.T @ ((singular * (U.T @ y))[:, None] * fit.reshape(len(d), -1))
    return population.error(coefficients).reshape(weights.shape)


def draw(table: Table) -> Figure:
    """A panel per covariance."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.4), sharex=True)
    for axis, covariance in zip(axes.flat, COVARIANCES, strict=True):
        for chain, color, marker in zip(CHAINS, (INK, OKABE_ITO[1], OKABE_ITO[0]), "o^s", strict=True):
            line = where(table, covariance=covariance, chain=chain)
            axis.plot(line["ridge"], line["theory"], color=color)
            style: dict[str, Any] = {"fmt": marker, "ms": 3, "color": color, "mfc": "white", "mew": 0.8, "lw": 0.8}
            axis.errorbar(line["ridge"], line["measured"], line["interval"], label=chain, **style)
        deviation = np.nanmax(np.abs(where(table, covariance=covariance)["relative_deviation"]))
        axis.set(xscale="log", xticks=TICKS, xticklabels=[f"{tick:,}" for tick in TICKS])
        axis.minorticks_off()
        axis.set_title(f"{covariance}: deviation at most {100 * deviation:.1f} %")
    for axis in axes[:, 0]:
        axis.set_ylabel("risk on new labels")
    for axis in axes[-1]:
        axis.set_xlabel("ridge (of the sum of squares)")
    figure.suptitle(
        f"{N} points, {P} features: theory (lines) and mean of {SEEDS} seeds (points, 95 % intervals)", fontsize=8.5
    )
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure
