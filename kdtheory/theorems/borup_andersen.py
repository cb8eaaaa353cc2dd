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
    change,
    dual,
    faintness,
    fit,
    new,
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


def _printed_sum(p: Problem) -> Array:
    """The statement's sum, term by term, at the held-out points."""
    d, w = p.spectrum.eigenvalues, (0.0, *SCHEDULE)
    a, last = d / (d + p.ridge), len(SCHEDULE)
    terms = [(1 - w[last - i]) * np.prod(w[last - i + 1 :]) * a**i for i in range(last + 1)]
    return np.asarray(p.cross @ p.spectrum.apply(sum(terms) / (d + p.ridge), 0.0, p.y))


def _one_formula(p: Problem) -> Array:
    """The filter, and the statement's formula, at the training points."""
    d = p.spectrum.eigenvalues
    b = ((1 - W) * d + p.ridge * (W * d / (d + p.ridge)) ** 31) / ((1 - W) * d + p.ridge)
    filter = Distilled.constant(ridge=p.ridge, teacher_weight=W, rounds=30)
    return np.concatenate([p.spectrum.fit(filter, p.y), p.spectrum.apply(b, 0.0, p.y)])


def _growth_by_smoothing(p: Problem) -> Array:
    """Factor by which one round shrinks the distance to the fixed point, for weights inside and outside the interval."""
    factors = []
    for w in _edges(p):
        before = w * (p.gram @ solve(p.gram, p.spectrum.eigenvectors[:, :1], p.ridge))  # leaves rounding behind
        after = w * (p.gram @ solve(p.gram, before, p.ridge))
        factors.append(float(np.sum(after * before) / np.sum(before**2)))
    return np.array(factors)


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
    return np.array([vertex(on_labels, change(p, p.gram), p.y)])


THEOREMS = (
    Theorem(
        name="any schedule is a function of the initial fit",
        source=SOURCE,
        statement=r"\hat y_T = \sum_{i=0}^{T} (1 - w_{T-i})\Big(\prod_{j=T-i+1}^{T} w_j\Big) A^{i+1} y, \quad w_0 := 0",
        left=lambda p: np.concatenate([new(p, SCHEDULE)] * 2),
        right=lambda p: np.concatenate([_rounds(p, SCHEDULE)[-1], _printed_sum(p)]),
        figure="toy_fits",
    ),
    Theorem(
        name="one weight, 30 rounds, one formula",
        source=SOURCE,
        statement=r"b_t = \frac{(1-w)d + \lambda\,(w a)^{t+1}}{(1-w)d + \lambda}, \quad a = \frac{d}{d + \lambda}",
        left=lambda p: np.concatenate([fit(p, (W,) * 30)] * 2),
        right=_one_formula,
        derived=True,
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
        statement=r"\hat y_t \text{ converges for every } y \iff |w|\,\frac{d_1}{d_1 + \lambda} < 1",
        left=_growth_by_smoothing,
        right=lambda p: _edges(p) * Ridge(p.ridge).fit(p.spectrum.eigenvalues[0]),
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        figure="limit_distance",
    ),
    Theorem(
        name="a student is affine in its teacher weight",
        source=SOURCE,
        statement=r"\hat f_t(w) = (1 - w)\,\hat f_t(0) + w\,\hat f_t(1)",
        left=lambda p: new(p, (0.4, -0.7)),
        right=lambda p: 1.7 * _rounds(p, (0.4, 0.0))[-1] - 0.7 * _rounds(p, (0.4, 1.0))[-1],
        derived=True,
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
