r"""Chains of one ridge and one teacher weight: residuals, leave-one-out residuals and GCV are power series in the weight.

The coefficients do not depend on the weight, which is why a grid of weights costs no more than one.
"""

from __future__ import annotations

import numpy as np

from kdtheory.checks import Array
from kdtheory.leave_one_out_grid import loo_grid
from kdtheory.problem import Problem
from kdtheory.risk import gcv_grid
from kdtheory.skeleton import members
from kdtheory.theorems.naive import DENSE, cancellation, dual, smoother
from kdtheory.theorems.statement import Source, Theorem

__all__ = ["THEOREMS"]

BORUP = Source("Borup & Andersen", 2021, "2102.13088")
GOLUB = Source("Golub, Heath & Wahba", 1979)
WEIGHTS = (-0.6, 0.0, 0.7, 1.0)
ROUNDS = 3
REFITTED = 24  # points, each of them left out


def _residuals(p: Problem) -> Array:
    small = p.first(DENSE)
    return np.array([small.y - small.gram @ dual(small.gram, small.y, (w,) * ROUNDS, p.ridge) for w in WEIGHTS])


def _residual_series(p: Problem) -> Array:
    s, y = p.first(DENSE).spectrum, p.first(DENSE).y
    phi = members(s.eigenvalues, np.array([p.ridge]), ROUNDS + 1)[:, :, 0]
    z, outside = s.project(y), s.outside(y)
    sums = [p.ridge * (s.eigenvectors @ ((phi @ float(w) ** np.arange(ROUNDS + 1))[:, None] * z)) + outside for w in WEIGHTS]
    return np.array(sums)


def _refitted_errors(p: Problem) -> Array:
    """Root mean squared leave-one-out error of every weight and round, each point left out of every fit."""
    small = p.first(REFITTED)
    errors = np.zeros((len(WEIGHTS), ROUNDS + 1))
    for i in range(small.n):
        rest = np.arange(small.n) != i
        K, y = small.gram[np.ix_(rest, rest)], small.y[rest]
        for place in np.ndindex(errors.shape):
            c = dual(K, y, (WEIGHTS[place[0]],) * place[1], p.ridge)
            errors[place] += np.sum((small.y[i] - small.gram[i, rest] @ c) ** 2)
    return np.sqrt(errors / small.y.size)


def _series_errors(p: Problem) -> Array:
    small = p.first(REFITTED)
    grid = loo_grid(small.spectrum, small.y, ridges=[p.ridge], teacher_weights=WEIGHTS, rounds=ROUNDS)
    return np.asarray(np.sqrt(grid[0]))


def _gcv_by_matrices(p: Problem) -> Array:
    small = p.first(DENSE)
    scores = []
    for w in WEIGHTS:
        left = np.eye(small.n) - smoother(small, (w,) * ROUNDS)
        scores.append(np.mean((left @ small.y) ** 2) / (np.trace(left) / small.n) ** 2)
    return np.array(scores)


def _gcv_by_moments(p: Problem) -> Array:
    small = p.first(DENSE)
    return np.asarray(gcv_grid(small.spectrum, small.y, ridges=[p.ridge], teacher_weights=WEIGHTS, rounds=ROUNDS)[0, :, -1])


def _gcv_rounding(p: Problem) -> float:
    """By matrices, residual and remaining freedom are differences of nearly equal numbers at small ridges."""
    return 1e-11 + 1e4 * p.rounding * cancellation(p.first(DENSE))


THEOREMS = (
    Theorem(
        name="residuals of a constant chain are a polynomial in its weight",
        source=BORUP,
        statement=r"y - \hat y_t = \lambda \sum_{j \le t} w^j\, M S^j y, \quad M = (K + \lambda I)^{-1},\ S = KM",
        left=_residuals,
        right=_residual_series,
        tolerance=lambda p: 1e-11 + 1000 * p.rounding,
        derived=True,
    ),
    Theorem(
        name="leave-one-out residuals of a constant chain are too",
        source=BORUP,
        statement=r"y_i - \hat y^{(-i)}_t = \sum_{j \le t} w^j q_{j,i}, \quad "
        r"\sum_j q_{j,i}\,x^j = \frac{\sum_j (M S^j y)_i\,x^j}{\sum_j (M S^j)_{ii}\,x^j}",
        left=_refitted_errors,
        right=_series_errors,
        tolerance=lambda p: 1e-10 + 1e4 * p.rounding,
        derived=True,
        figure="grid_cost",
    ),
    Theorem(
        name="generalised cross-validation of a constant chain by moments",
        source=GOLUB,
        statement=r"|y - \hat y_t|^2 = \sum_k n_{tk}\, w^k \sum_i u_i^2 s_i^k z_i^2,\quad "
        r"\operatorname{tr}(I - H_t) = \sum_{j \le t} w^j \sum_i u_i s_i^j,\quad n_{tk} = \min(k, 2t - k) + 1",
        left=_gcv_by_matrices,
        right=_gcv_by_moments,
        tolerance=_gcv_rounding,
        derived=True,
    ),
)
