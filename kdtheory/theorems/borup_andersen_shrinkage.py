r"""Shrinkage: what is and what is not monotone along a chain (Borup & Andersen, 2021).

With labels the multipliers fall to those of the limit; ratios of two of them rise, peak, and recede.
"""

from __future__ import annotations

import numpy as np

from kdtheory.checks import Array
from kdtheory.filters import Distilled, Ridge
from kdtheory.problem import Problem
from kdtheory.theorems.naive import SOMETHING_TO_LEARN, UNEQUAL, dual, fit, positive_eigenvalues
from kdtheory.theorems.statement import Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Borup & Andersen", 2021, "2102.13088")
W, T = 0.8, 6  # teacher weight and rounds of the statements


def _recursion(p: Problem, count: int = T) -> Array:
    """Multipliers of rounds 0 .. count - 1 by the definition, (count, r)."""
    a = positive_eigenvalues(p) / (positive_eigenvalues(p) + p.ridge)
    values = [a]
    for _ in range(count - 1):
        values.append(a * ((1 - W) + W * values[-1]))
    return np.array(values)


def _multipliers(p: Problem) -> Array:
    return Distilled.constant(ridge=p.ridge, teacher_weight=W, rounds=T - 1).every_round(positive_eigenvalues(p)).fit


def _log_ratios(values: Array) -> Array:
    """log of first over every direction, round by round."""
    return np.asarray(np.log(values[..., :1]) - np.log(values))


def _first_ratio(p: Problem) -> Array:
    """log R(0) for every direction, T times over."""
    return np.asarray(np.tile(_log_ratios(Ridge(p.ridge).fit(positive_eigenvalues(p))), (T, 1)))


def _overshoot(p: Problem) -> Array:
    d = positive_eigenvalues(p)
    powers = (W * d / (d + p.ridge)) ** np.arange(1, T + 1)[:, None]
    x = p.ridge / ((1 - W) * d) * powers
    return np.asarray(np.log1p(x[:, :1]) - np.log1p(x))


def _effective(p: Problem) -> Array:
    """Ridge at which plain regression has the chain's multiplier, rounds 0 .. T - 1."""
    chain = Distilled.constant(ridge=p.ridge, teacher_weight=W, rounds=T - 1).every_round(positive_eigenvalues(p))
    return np.asarray(chain.residual / chain.dual).ravel()


def _norms(p: Problem) -> Array:
    """Squared RKHS norms of rounds 0 .. T by the filters' dual form."""
    duals = Distilled.constant(ridge=p.ridge, teacher_weight=W, rounds=T).every_round(p.spectrum.eigenvalues).dual
    z = np.sum(p.spectrum.project(p.y) ** 2, axis=1)
    return np.asarray((p.spectrum.eigenvalues * duals**2) @ z)


def _norms_by_solves(p: Problem) -> Array:
    """c' K c of rounds 0 .. T."""
    coefficients = [dual(p.gram, p.y, (W,) * t, p.ridge) for t in range(T + 1)]
    return np.array([np.sum(c * (p.gram @ c)) for c in coefficients])


def _training_errors(p: Problem) -> Array:
    chain = Distilled.constant(ridge=p.ridge, teacher_weight=W, rounds=T).every_round(p.spectrum.eigenvalues)
    z = np.sum(p.spectrum.project(p.y) ** 2, axis=1)
    return np.asarray(chain.residual**2 @ z + np.sum(p.spectrum.outside(p.y) ** 2))


def _norm_rounding(p: Problem) -> float:
    """The product K c is rounded relative to |K| |c|, and labels out of the kernel's reach make c large."""
    d, z = p.spectrum.eigenvalues, np.sum(p.spectrum.project(p.y) ** 2, axis=1)
    size = float(np.sum(z / (d + p.ridge) ** 2) * d[0] / max(_norms(p)[-1], 1e-300))
    return 1e-11 + p.rounding * (1000 + 100 * size)


def _residual_rounding(p: Problem) -> float:
    """What rounding does to a residual that is a difference of fits, relative to its size."""
    return float(1e-11 + 100 * p.rounding * np.linalg.norm(p.y) / np.linalg.norm(p.spectrum.residual(Ridge(p.ridge), p.y)))


THEOREMS = (
    Theorem(
        name="with labels every multiplier falls to the limit",
        source=SOURCE,
        statement=r"0 \le w < 1:\quad b_0 \ge b_1 \ge \dots \ge b_\infty = \frac{(1-w)d}{(1-w)d + \lambda}",
        left=lambda p: np.vstack([_recursion(p, T + 1)[1:], Ridge(p.ridge / (1 - W)).fit(positive_eigenvalues(p))[None]]),
        right=lambda p: np.vstack([_multipliers(p), _multipliers(p)[-1:]]),
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
        derived=True,
        figure="toy_filters",
    ),
    Theorem(
        name="a chain regularises between ridge and ridge / (1 - w)",
        source=SOURCE,
        statement=r"\lambda \le d\,\frac{1 - b_t}{b_t} \le \frac{\lambda}{1 - w}",
        left=lambda p: np.concatenate([np.full(_effective(p).shape, p.ridge), _effective(p)]),
        right=lambda p: np.concatenate([_effective(p), np.full(_effective(p).shape, p.ridge / (1 - W))]),
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
        derived=True,
    ),
    Theorem(
        name="the norm falls in every round",
        source=SOURCE,
        statement=r"0 \le w < 1:\quad \|\hat f_{t+1}\|_{\mathcal H} \le \|\hat f_t\|_{\mathcal H}",
        left=lambda p: _norms_by_solves(p)[1:],
        right=lambda p: _norms(p)[:-1],
        tolerance=_norm_rounding,
        at_most=True,
        derived=True,
    ),
    Theorem(
        name="the training error rises in every round",
        source=SOURCE,
        statement=r"0 \le w < 1:\quad |y - \hat y_t| \le |y - \hat y_{t+1}|",
        left=lambda p: np.array([np.sum((p.y - fit(p, (W,) * t)) ** 2) for t in range(T)]),
        right=lambda p: _training_errors(p)[1:],
        tolerance=_residual_rounding,
        at_most=True,
        derived=True,
    ),
    Theorem(
        name="sparsification is bounded on both sides",
        source=SOURCE,
        statement=r"0 \le w \le 1,\ d_1 > d_j:\quad R(0) \le R(t) \le R(0)^{t+1}, \quad R(t) = \frac{b_t(d_1)}{b_t(d_j)}",
        left=lambda p: np.vstack([_first_ratio(p), _log_ratios(_recursion(p))]),
        right=lambda p: np.vstack([_log_ratios(_multipliers(p)), _first_ratio(p) * np.arange(1, T + 1)[:, None]]),
        assumptions=(SOMETHING_TO_LEARN, UNEQUAL),
        at_most=True,
        derived=True,
        figure="ratio_peak",
    ),
    Theorem(
        name="with labels sparsification overshoots its limit",
        source=SOURCE,
        statement=r"\frac{R(t)}{R(\infty)} = \frac{1 + x_1}{1 + x_j},\ x = \tfrac{\lambda}{(1-w)d}(wa)^{t+1};"
        r"\quad 0 < w < 1",
        left=lambda p: _log_ratios(_recursion(p)) - _log_ratios(Ridge(p.ridge / (1 - W)).fit(positive_eigenvalues(p))),
        right=_overshoot,
        tolerance=lambda p: 1e-9 + 1e-14 / np.abs(_overshoot(p)).max(),  # of logarithms near zero or up to 28
        assumptions=(SOMETHING_TO_LEARN, UNEQUAL),
        derived=True,
        figure="ratio_peak",
    ),
)
