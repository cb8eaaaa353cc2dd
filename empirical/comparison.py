"""Predicted teacher weights beside measured ones: do they rank cells alike, how far off are they, and what does it cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from empirical.intervals import DRAWS, Estimate, crossed_interval, resampling_shares
from kdtheory.checks import Array, finite_array, matrix, numeric, schedule

__all__ = ["Agreement", "Regret", "agreement", "mean_over_cells", "regret"]


@dataclass(frozen=True)
class Agreement:
    """How predicted weights agree with measured ones over cells.

    Attributes
    ----------
    cells : int
        Compared.
    left_out : int
        Without a number on one of the two sides.
    rank_correlation : Estimate
        Spearman's, over cells (and seeds, where there are); nan with fewer than three cells.
    error : Estimate
        Mean absolute difference of the weights, both clipped to `bounds`.
    bounds : (float, float)
    """

    cells: int
    left_out: int
    rank_correlation: Estimate
    error: Estimate
    bounds: tuple[float, float]


def agreement(
    predicted: ArrayLike,
    measured: ArrayLike,
    *,
    bounds: tuple[float, float] = (-0.4, 1.6),
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Agreement:
    r"""Rank correlation and mean absolute error of predicted weights, with percentile intervals from resampled cells.

    Parameters
    ----------
    predicted, measured : (N,) or (N, S) arrays
        Of N cells; with seeds, a cell's seeds stay together when cells are resampled. nan is left out (a cell, if any of its
        seeds is), infinite weights count as the nearer bound.
    bounds : (float, float)
        To which both are clipped for the error; ranks are of the clipped weights too, so that a weight of -75 that nobody
        would use weighs no more than the bound.
    rng : numpy.random.Generator
    draws : int

    Returns
    -------
    Agreement
        Cells of one grid share data and often seeds: the interval is for cells like these, not for other datasets.

    Raises
    ------
    ValueError
        If shapes disagree, or no cell has both weights.

    Examples
    --------
    >>> found = agreement([0.0, 0.2, 0.4, 0.9], [0.1, 0.3, 0.5, 0.7], rng=np.random.default_rng(0))
    >>> found.rank_correlation.value, round(found.error.value, 3)
    (1.0, 0.125)
    """
    low, high = _bounds(bounds)
    pair = [np.asarray(numeric(value, name), float) for value, name in ((predicted, "predicted"), (measured, "measured"))]
    if pair[0].shape != pair[1].shape or pair[0].ndim not in (1, 2):
        raise ValueError(
            f"`predicted` must have the shape of `measured`, (N,) or (N, S), got {pair[0].shape} and {pair[1].shape}."
        )
    a, b = (np.clip(value.reshape(len(value), -1), low, high) for value in pair)
    known = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    a, b = a[known], b[known]
    N = len(a)
    if N == 0:
        raise ValueError("`predicted` and `measured` must share a cell in which neither weight is nan, got none.")
    gap = np.abs(a - b).mean(axis=1)
    error = crossed_interval(gap[:, None, None], lambda mean: mean[..., 0], rng=rng, draws=draws) if N > 1 else None
    error = Estimate(error.value, max(error.low, 0.0), error.high) if error else Estimate(float(gap[0]), 0.0, high - low)
    rank = Estimate(float("nan"), -1.0, 1.0)
    if N > 2:
        drawn = rng.integers(N, size=(draws, N))
        with np.errstate(invalid="ignore"):
            values = _spearman(a[drawn].reshape(draws, -1), b[drawn].reshape(draws, -1))
            value = float(_spearman(a.reshape(1, -1), b.reshape(1, -1))[0])
        ends = np.nanquantile(values, [0.025, 0.975]) if np.isfinite(values).any() else (-1.0, 1.0)
        rank = Estimate(value, float(ends[0]), float(ends[1]))
    return Agreement(N, int(np.sum(~known)), rank, error, (low, high))


def _spearman(a: Array, b: Array) -> Array:
    """Of each row; nan where one side is constant."""
    x, y = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (rankdata(a, axis=1), rankdata(b, axis=1)))
    return np.asarray(np.sum(x * y, axis=1) / np.sqrt(np.sum(x**2, axis=1) * np.sum(y**2, axis=1)))


@dataclass(frozen=True)
class Regret:
    """What using a predicted weight costs against the best weight of the grid.

    Attributes
    ----------
    loss : Estimate
        Best mean score of the grid less the score at the used weight, with an interval over seeds for that best weight held
        fixed. The best is chosen on the scores it is read from, so that this is too high: by about the largest of W - 1
        chance differences.
    honest : float
        The best weight is chosen on one half of the seeds and read on the other, averaged over splits; can be negative. Its
        halves share test points. nan for one seed.
    best_weight : float
        Of the grid, by mean over seeds.
    used : float or tuple of floats
        The predicted weight, clipped; one for each seed if there were more.
    """

    loss: Estimate
    honest: float
    best_weight: float
    used: float | tuple[float, ...]


def regret(
    weights: ArrayLike,
    scores: ArrayLike,
    predicted: ArrayLike,
    *,
    higher_is_better: bool,
    bounds: tuple[float, float] = (0.0, 1.0),
    between: str = "linear",
    rng: np.random.Generator,
) -> Regret:
    r"""Score lost by using a predicted weight instead of the best grid point.

    Parameters
    ----------
    weights : (W,) array
        The grid; its ends must enclose `bounds`.
    scores : (W, S) array
        Test accuracy, or squared error, of each weight and seed.
    predicted : float or (S,) array
        Teacher weight; infinite ones are clipped, nan is refused: say what is done without a prediction, such as 0.
    higher_is_better : bool
        True for accuracy, False for an error.
    bounds : (float, float)
        To which the prediction is clipped.
    between : {"linear", "nearest"}
        How scores are read between grid points.
    rng : numpy.random.Generator
        Of the interval.

    Returns
    -------
    Regret
        In the units of the scores, zero or positive where a grid point is used.

    Raises
    ------
    ValueError
        If shapes disagree, the prediction is nan, the grid does not reach the bounds, or an option is unknown.

    Examples
    --------
    >>> lost = regret([0.0, 0.5, 1.0], [[0.80, 0.82], [0.90, 0.92], [0.70, 0.74]], 0.25, higher_is_better=True,
    ...               rng=np.random.default_rng(0))
    >>> round(lost.loss.value, 3), lost.best_weight, round(lost.honest, 3)
    (0.05, 0.5, 0.05)
    """
    low, high = _bounds(bounds)
    w, table = schedule(weights, "weights"), matrix(scores, "scores")
    if len(table) != len(w):
        raise ValueError(f"`scores` must have {len(w)} rows, one for each of `weights`, got {len(table)}.")
    order = np.argsort(w, kind="stable")
    w, table = w[order], (table if higher_is_better else -table)[order]
    if w[0] > low or w[-1] < high:
        raise ValueError(f"`weights` must reach the bounds {low:g} and {high:g}, got {w[0]:g} to {w[-1]:g}.")
    wanted = np.asarray(numeric(predicted, "predicted"), float)
    S = table.shape[1]
    if np.isnan(wanted).any() or wanted.shape not in ((), (S,)):
        raise ValueError(f"`predicted` must be one weight or {S}, none of them nan, got {wanted}.")
    used = np.clip(wanted, low, high)
    reached = _read(w, table, np.broadcast_to(used, (S,)), between)
    best = int(np.argmax(table.mean(axis=1)))
    lost = table[best] - reached
    loss = Estimate(float(lost[0]), -np.inf, np.inf)
    if S > 1:
        loss = crossed_interval(lost[:, None, None], lambda mean: mean[..., 0], rng=rng)
    return Regret(loss, _honest(table, reached), float(w[best]), float(used) if used.ndim == 0 else tuple(used.tolist()))


def _read(w: Array, table: Array, used: Array, between: str) -> Array:
    """Score of each seed at its used weight."""
    seeds = range(table.shape[1])
    if between == "linear":
        return np.array([np.interp(used[s], w, table[:, s]) for s in seeds])
    if between == "nearest":
        return np.array([table[np.argmin(np.abs(w - used[s])), s] for s in seeds])
    raise ValueError(f'`between` must be "linear" or "nearest", got {between!r}.')


def _honest(table: Array, reached: Array) -> float:
    """Mean, over the S cyclic halves that choose, of the best weight's lead over what was reached on the other seeds."""
    S = table.shape[1]
    if S == 1:
        return float("nan")
    leads = []
    for first in range(S):
        chooses = np.isin(np.arange(S), (first + np.arange(S // 2)) % S)
        best = int(np.argmax(table[:, chooses].mean(axis=1)))
        leads.append((table[best] - reached)[~chooses].mean())
    return float(np.mean(leads))


def mean_over_cells(values: ArrayLike, *, rng: np.random.Generator, draws: int = DRAWS) -> Estimate:
    """Mean of one number a cell, such as regrets, with a percentile interval from resampled cells.

    Examples
    --------
    >>> mean_over_cells([0.01, 0.02, 0.03], rng=np.random.default_rng(0)).value
    0.02
    """
    x = finite_array(values, "values")
    if x.ndim != 1:
        raise ValueError(f"`values` must be one-dimensional, one number a cell, got shape {x.shape}.")
    ends = np.quantile(resampling_shares(rng, draws, len(x)) @ x, [0.025, 0.975])
    return Estimate(float(x.mean()), float(ends[0]), float(ends[1]))


def _bounds(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = schedule(bounds, "bounds").tolist()
    if not low < high:
        raise ValueError(f"`bounds` must be a lower and a higher weight, got {bounds}.")
    return low, high
