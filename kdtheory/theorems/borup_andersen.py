r"""Borup & Andersen (2021): even your teacher needs guidance: ground truth dampens the regularisation of self-distillation.

Their weight on the ground truth is 1 - w, their step is t + 1.
"""

from __future__ import annotations

import numpy as np

from kdtheory.checks import Array
from kdtheory.distillation import limit, rounds
from kdtheory.filters import Distilled, Ridge
from kdtheory.problem import Problem
from kdtheory.theorems.naive import (
    LABELS_SEEN,
    MOVED,
    SCHEDULE,
    SOMETHING_TO_LEARN,
    UNEQUAL,
    dual,
    faintness,
    fit,
    new,
    positive_eigenvalues,
    solve,
    two_students,
    vertex,
)
from kdtheory.theorems.statement import Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Borup & Andersen", 2021, "2102.13088")
W, T = 0.8, 6  # teacher weight and rounds of the statements about a constant weight


def _rounds(p: Problem, weights: tuple[float, ...], *, at_new: bool = True) -> Array:
    return np.asarray(rounds(p.spectrum, p.y, ridge=p.ridge, teacher_weights=weights, cross=p.cross if at_new else None))


def _limit_and_distance(p: Problem) -> Array:
    """Limit + (w A)^(T+1) (y - limit) by repeated smoothing."""
    end = p.gram @ dual(p.gram, p.y, (), p.ridge / (1 - W))
    distance = p.y - end
    for _ in range(T + 1):
        distance = W * (p.gram @ solve(p.gram, distance, p.ridge))
    return np.asarray(end + distance)


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


def _growth_by_smoothing(p: Problem) -> Array:
    """Factor by which one round shrinks the distance to the fixed point, for weights inside and outside the interval."""
    factors = []
    for w in _edges(p):
        before = w * (p.gram @ solve(p.gram, p.spectrum.eigenvectors[:, :1], p.ridge))  # leaves rounding behind
        after = w * (p.gram @ solve(p.gram, before, p.ridge))
        factors.append(float(np.sum(after * before) / np.sum(before**2)))
    return np.array(factors)


def _norm_rounding(p: Problem) -> float:
    """The product K c is rounded relative to |K| |c|, and labels out of the kernel's reach make c large."""
    d, z = p.spectrum.eigenvalues, np.sum(p.spectrum.project(p.y) ** 2, axis=1)
    size = float(np.sum(z / (d + p.ridge) ** 2) * d[0] / max(_norms(p)[-1], 1e-300))
    return 1e-11 + p.rounding * (1000 + 100 * size)


def _residual_rounding(p: Problem) -> float:
    """What rounding does to a residual that is a difference of fits, relative to its size."""
    return float(1e-11 + 100 * p.rounding * np.linalg.norm(p.y) / np.linalg.norm(p.spectrum.residual(Ridge(p.ridge), p.y)))


def _edges(p: Problem) -> Array:
    return np.array([factor * (1 + p.ridge / p.spectrum.eigenvalues[0]) for factor in (0.9, -0.9, 1.1, -1.1)])


def _vertex_of_three(p: Problem) -> Array:
    """A parabola through the errors of students trained at three weights, far enough apart to see it bend."""
    curve = two_students(p)
    w = max(1.0 / curve.identifiability, np.sqrt(float(curve(0.0)) / curve.curvature))
    below, middle, above = (float(np.mean((new(p, (weight,)) - p.y_new) ** 2)) for weight in (-w, 0.0, w))
    return np.array([w * (below - above) / (2 * (below - 2 * middle + above))])


def _package_vertex(p: Problem) -> Array:
    on_labels, on_teacher = _rounds(p, (0.0,))[1], _rounds(p, (1.0,))[1]
    return np.array([vertex(on_labels, on_teacher - on_labels, p.y_new)])


def _training_weight(p: Problem) -> float:
    """-sum a u^2 z^2 / sum a^2 u^2 z^2."""
    d, z = p.spectrum.eigenvalues, np.sum(p.spectrum.project(p.y) ** 2, axis=1)
    a, u = d / (d + p.ridge), p.ridge / (d + p.ridge)
    return -float(np.sum(a * u**2 * z) / np.sum(a**2 * u**2 * z))


def _training_rounding(p: Problem) -> float:
    """What rounding does to the training weight: labels outside the range of the kernel meet the rounding of the fits."""
    d, z = p.spectrum.eigenvalues, np.sum(p.spectrum.project(p.y) ** 2, axis=1)
    a, u = d / (d + p.ridge), p.ridge / (d + p.ridge)
    return 1e-8 + 1000 * p.rounding * float(np.sqrt(np.sum(a**2 * z)) * np.linalg.norm(p.y) / np.sum(a * u**2 * z))


def _vertex_on_training(p: Problem) -> Array:
    on_labels = fit(p)
    change = -p.ridge * (p.gram @ solve(p.gram, solve(p.gram, p.y, p.ridge), p.ridge))
    return np.array([vertex(on_labels, change, p.y)])


THEOREMS = (
    Theorem(
        name="any schedule is a function of the initial fit",
        source=SOURCE,
        statement=r"\hat y_T = \sum_{i=0}^{T} (1 - w_{T-i})\Big(\prod_{j=T-i+1}^{T} w_j\Big) A^{i+1} y, \quad w_0 := 0",
        left=lambda p: new(p, SCHEDULE),
        right=lambda p: _rounds(p, SCHEDULE)[-1],
        figure="toy_fits",
    ),
    Theorem(
        name="one weight, 30 rounds, one formula",
        source=SOURCE,
        statement=r"b_t = \frac{(1-w)d + \lambda\,(w a)^{t+1}}{(1-w)d + \lambda}, \quad a = \frac{d}{d + \lambda}",
        left=lambda p: new(p, (W,) * 30),
        right=lambda p: p.spectrum.predict(Distilled.constant(ridge=p.ridge, teacher_weight=W, rounds=30), p.y, p.cross),
        figure="toy_losses",
    ),
    Theorem(
        name="the limit is ridge / (1 - w)",
        source=SOURCE,
        statement=r"\hat f_\infty(x) = k(x)^\top\left(K + \tfrac{\lambda}{1-w} I\right)^{-1} y, \quad 0 \le w < 1",
        left=lambda p: p.cross @ dual(p.gram, p.y, (), p.ridge / (1 - W)),
        right=lambda p: limit(p.spectrum, p.y, ridge=p.ridge, teacher_weight=W, cross=p.cross),
        figure="limit_distance",
    ),
    Theorem(
        name="the distance to the limit is exact",
        source=SOURCE,
        statement=r"\hat y_T - \hat y_\infty = (w A)^{T+1}(y - \hat y_\infty)",
        left=_limit_and_distance,
        right=lambda p: _rounds(p, (W,) * T, at_new=False)[-1],
        derived=True,
        figure="limit_distance",
    ),
    Theorem(
        name="the interval of convergence",
        source=SOURCE,
        statement=r"\hat y_t \text{ converges} \iff |w|\,\frac{d_1}{d_1 + \lambda} < 1",
        left=_growth_by_smoothing,
        right=lambda p: _edges(p) * Ridge(p.ridge).fit(p.spectrum.eigenvalues[0]),
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        figure="limit_distance",
    ),
    Theorem(
        name="with labels every multiplier falls to the limit",
        source=SOURCE,
        statement=r"0 \le w < 1:\quad b_0 \ge b_1 \ge \dots \ge b_\infty = \frac{(1-w)d}{(1-w)d + \lambda}",
        left=lambda p: np.vstack([_recursion(p, T + 1)[1:], Ridge(p.ridge / (1 - W)).fit(positive_eigenvalues(p))[None]]),
        right=lambda p: np.vstack([_multipliers(p), _multipliers(p)[-1:]]),
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
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
        figure="ratio_peak",
    ),
    Theorem(
        name="with labels sparsification overshoots its limit",
        source=SOURCE,
        statement=r"\frac{R(t)}{R(\infty)} = \frac{1 + x_1}{1 + x_j},\ x = \tfrac{\lambda}{(1-w)d}(wa)^{t+1};"
        r"\quad R(t) > R(\infty) \iff R(0)^{t+1} > \tfrac{d_1}{d_j}",
        left=lambda p: _log_ratios(_recursion(p)) - _log_ratios(Ridge(p.ridge / (1 - W)).fit(positive_eigenvalues(p))),
        right=_overshoot,
        tolerance=lambda p: 1e-9 + 1e-14 / np.abs(_overshoot(p)).max(),  # of logarithms near zero or up to 28
        assumptions=(SOMETHING_TO_LEARN, UNEQUAL),
        derived=True,
        figure="ratio_peak",
    ),
    Theorem(
        name="a student is affine in its teacher weight",
        source=SOURCE,
        statement=r"\hat f_t(w) = (1 - w)\,\hat f_t(0) + w\,\hat f_t(1)",
        left=lambda p: new(p, (0.4, -0.7)),
        right=lambda p: 1.7 * _rounds(p, (0.4, 0.0))[-1] - 0.7 * _rounds(p, (0.4, 1.0))[-1],
        figure="digits_ntk",
    ),
    Theorem(
        name="the optimal weight from two students",
        source=SOURCE,
        statement=r"w^\star = \frac{\langle y - P_l,\ P_t - P_l\rangle}{|P_t - P_l|^2}",
        left=_vertex_of_three,
        right=_package_vertex,
        tolerance=lambda p: 1e-8 + 1000 * faintness(p),
        assumptions=(MOVED,),
        figure="digits_rbf",
    ),
    Theorem(
        name="on training data the weight is at most -1",
        source=SOURCE,
        statement=r"w^\star_{\mathrm{train}} = -\frac{\sum a u^2 z^2}{\sum a^2 u^2 z^2} \le -1, \quad u = 1 - a",
        left=lambda p: np.append(_vertex_on_training(p), -_vertex_on_training(p)),
        right=lambda p: np.array([min(_training_weight(p), -1.0), -_training_weight(p)]),
        tolerance=_training_rounding,
        assumptions=(SOMETHING_TO_LEARN, LABELS_SEEN),
        at_most=True,
        derived=True,
    ),
)
