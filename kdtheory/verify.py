r"""The identities behind the package, each computed by two routes on one real problem.

The left side carries out the definition with linear solves and refits; the right side is the closed form, by the package's own
functions. `check` compares them; ``python -m kdtheory verify`` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from kdtheory.checks import Array
from kdtheory.distillation import limit, rounds
from kdtheory.filters import Distilled, Ridge
from kdtheory.leave_one_out import loo
from kdtheory.parabola import RiskCurve
from kdtheory.problem import Problem
from kdtheory.risk import gcv

__all__ = ["IDENTITIES", "Check", "Identity", "check"]

BORUP = "Borup & Andersen (2021)"
SCHEDULE = (0.3, 1.7, -1.0, 1.0)
REFITS = 5
STEP = 1e-3  # of the finite difference, relative
COARSEST = 1e-2  # a larger tolerance would pass anything


@dataclass(frozen=True)
class Check:
    """Outcome of one identity: largest difference of the two sides, relative to the left side's size."""

    name: str
    source: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the two sides agree, and rounding leaves enough digits to say so."""
        return self.resolved and bool(self.error <= self.tolerance)

    @property
    def resolved(self) -> bool:
        """Whether the problem is well enough conditioned to tell."""
        return self.tolerance < COARSEST


@dataclass(frozen=True)
class Identity:
    """One statement, its source, both sides as functions of a problem, and how rounding scales its tolerance."""

    name: str
    source: str
    left: Callable[[Problem], Array]
    right: Callable[[Problem], Array]
    tolerance: Callable[[Problem], float] = lambda p: 1e-11 + 100 * p.rounding

    def check(self, problem: Problem) -> Check:
        """Both sides on this problem; left alone where rounding would leave nothing to compare."""
        try:
            tolerance = self.tolerance(problem)
            if not tolerance < COARSEST:
                return Check(self.name, self.source, float("nan"), tolerance)
            left, right = self.left(problem), self.right(problem)
        except (ZeroDivisionError, scipy.linalg.LinAlgError):  # equal students, or a matrix that is singular in floating point
            return Check(self.name, self.source, float("nan"), float("inf"))
        size = max(float(np.abs(left).max()), np.finfo(float).tiny)
        return Check(self.name, self.source, float(np.abs(left - right).max()) / size, tolerance)


def check(problem: Problem) -> Iterator[Check]:
    """Every identity on one problem, one after the other."""
    for identity in IDENTITIES:
        yield identity.check(problem)


def _solve(K: Array, labels: Array, weights: tuple[float, ...], ridge: float) -> Array:
    """Dual coefficients of a chain's last round, by one Cholesky solve per round."""
    factor = scipy.linalg.cho_factor(K + ridge * np.eye(len(K)), lower=True)
    coefficients = scipy.linalg.cho_solve(factor, labels)
    for weight in weights:
        coefficients = scipy.linalg.cho_solve(factor, (1 - weight) * labels + weight * (K @ coefficients))
    return np.asarray(coefficients)


def _ridge_solve(p: Problem, ridge: float) -> Array:
    return _solve(p.gram, p.y, (), ridge)


def _fit(p: Problem, weights: tuple[float, ...] = ()) -> Array:
    return np.asarray(p.gram @ _solve(p.gram, p.y, weights, p.ridge))


def _new(p: Problem, weights: tuple[float, ...] = ()) -> Array:
    return np.asarray(p.cross @ _solve(p.gram, p.y, weights, p.ridge))


def _rounds(p: Problem, weights: tuple[float, ...], *, new: bool = True) -> Array:
    return np.asarray(rounds(p.spectrum, p.y, ridge=p.ridge, teacher_weights=weights, cross=p.cross if new else None)[-1])


def _curve(p: Problem) -> RiskCurve:
    on_labels, on_teacher = _rounds(p, (0.0,)), _rounds(p, (1.0,))
    if not np.abs(on_labels - on_teacher).max() > 1e-100:  # held-out points beyond the kernel's reach
        raise ZeroDivisionError
    return RiskCurve.from_predictions(on_labels, on_teacher, p.y_new)


def _faintness(p: Problem) -> float:
    """Rounding of the optimal weight, relative: that of the fits, over how much the teacher moves them and helps."""
    curve = _curve(p)
    needed = np.sqrt(float(curve(0.0)) / curve.curvature)
    return float(p.rounding / curve.identifiability * (1.0 + (1.0 + needed) / abs(curve.optimal_weight)))


def _slope_rounding(p: Problem) -> float:
    """What rounding does to a central difference of the risk, relative to its slope."""
    curve = _curve(p)
    return p.rounding * float(curve(0.0)) / (2 * curve.curvature * abs(curve.optimal_weight) * STEP)


def _training_faintness(p: Problem) -> float:
    """The same on the training data, where labels outside the range of the kernel meet the rounding of the fits."""
    d, z = p.spectrum.eigenvalues, p.spectrum.project(p.y)
    fit, u = (d / (d + p.ridge))[:, None] * z, (p.ridge / (d + p.ridge))[:, None]
    return p.rounding * float(np.linalg.norm(fit) * np.linalg.norm(p.y) / np.sum(u**2 * fit * z))


def _gcv_rounding(p: Problem) -> float:
    """What rounding does to residual and remaining freedom, both differences of nearly equal numbers at small ridges."""
    s, teacher = p.spectrum, Ridge(p.ridge)
    freedom = 1.0 - s.effective_dimension(teacher) / s.n
    return p.rounding * float(1.0 / freedom + np.linalg.norm(p.y) / np.linalg.norm(s.residual(teacher, p.y)))


def _vertex_of_three_students(p: Problem) -> Array:
    """A parabola through the errors of students trained at three weights, far enough apart to see it bend."""
    w = 1.0 / _curve(p).identifiability
    below, middle, above = (float(np.mean((_new(p, (weight,)) - p.y_new) ** 2)) for weight in (-w, 0.0, w))
    return np.array([w * (below - above) / (2 * (below - 2 * middle + above))])


def _slope_rule(p: Problem) -> Array:
    """-ridge R' / (2 D), the slope by central differences of refitted ridge regressions."""
    below, above = (float(np.mean((p.cross @ _ridge_solve(p, p.ridge * f) - p.y_new) ** 2)) for f in (1 - STEP, 1 + STEP))
    distance = float(np.mean((_new(p, (1.0,)) - _new(p)) ** 2))
    return np.array([-(above - below) / (2 * STEP) / (2 * distance)])


def _limit_and_distance(p: Problem) -> Array:
    """Limit + (w A)^(t+1) (y - limit) by repeated smoothing, at w = 0.8 and t = 6."""
    end = p.gram @ _ridge_solve(p, p.ridge / 0.2)
    distance = p.y - end
    factor = scipy.linalg.cho_factor(p.gram + p.ridge * np.eye(len(p.gram)), lower=True)
    for _ in range(7):
        distance = 0.8 * (p.gram @ scipy.linalg.cho_solve(factor, distance))
    return np.asarray(end + distance)


def _mixture_of_ridges(p: Problem) -> Array:
    """A chain with ridges l, 3l is (1 - c) ridge(3l) + c ridge(l), c = -w l / (3l - l)."""
    c = -0.7 * p.ridge / (3 * p.ridge - p.ridge)
    return np.asarray(p.cross @ (c * _ridge_solve(p, p.ridge) + (1 - c) * _ridge_solve(p, 3 * p.ridge)))


def _refit_points(p: Problem) -> NDArray[np.intp]:
    return np.random.default_rng(0).choice(len(p.y), size=min(REFITS, len(p.y)), replace=False)


def _refits(p: Problem) -> Array:
    residuals = []
    for i in _refit_points(p):
        kept = np.arange(len(p.y)) != i
        residuals.append(p.y[i] - p.gram[i, kept] @ _solve(p.gram[np.ix_(kept, kept)], p.y[kept], SCHEDULE, p.ridge))
    return np.array(residuals)


def _gcv_by_definition(p: Problem) -> Array:
    smoother = p.gram @ _solve(p.gram, np.eye(len(p.y)), (0.6,), p.ridge)
    return np.array([np.mean((p.y - smoother @ p.y) ** 2) / (1 - np.trace(smoother) / len(p.y)) ** 2])


def _weight_on_training_data(p: Problem) -> Array:
    """By the training predictions of two students, each solved for."""
    on_labels, change = _fit(p, (0.0,)), _fit(p, (1.0,)) - _fit(p, (0.0,))
    return np.array([np.sum((p.y - on_labels) * change) / np.sum(change**2)])


def _weight_on_training_spectrum(p: Problem) -> Array:
    """-sum a u^2 z^2 / sum a^2 u^2 z^2 with u = 1 - a: at most -1, because a is at most 1."""
    d, energy = p.spectrum.eigenvalues, np.sum(p.spectrum.project(p.y) ** 2, axis=1)
    a, u = d / (d + p.ridge), p.ridge / (d + p.ridge)
    return np.array([-np.sum(a * u**2 * energy) / np.sum(a**2 * u**2 * energy)])


IDENTITIES = (
    Identity(
        "any schedule is a function of the initial fit", BORUP, lambda p: _new(p, SCHEDULE), lambda p: _rounds(p, SCHEDULE)
    ),
    Identity(
        "one weight, 30 rounds, one formula",
        BORUP,
        lambda p: _new(p, (0.8,) * 30),
        lambda p: p.spectrum.predict(Distilled.constant(ridge=p.ridge, teacher_weight=0.8, rounds=30), p.y, p.cross),
    ),
    Identity(
        "the infinite-round limit is ridge / (1 - w)",
        BORUP,
        lambda p: p.cross @ _ridge_solve(p, p.ridge / 0.2),
        lambda p: limit(p.spectrum, p.y, ridge=p.ridge, teacher_weight=0.8, cross=p.cross),
    ),
    Identity(
        "the distance to the limit shrinks by w A per round",
        "derived here",
        _limit_and_distance,
        lambda p: _rounds(p, (0.8,) * 6, new=False),
    ),
    Identity(
        "pure distillation is a power of the shrinkage",
        "Mobahi et al. (2020)",
        lambda p: _fit(p, (1.0,) * 3),
        lambda p: p.spectrum.apply((p.spectrum.eigenvalues / (p.spectrum.eigenvalues + p.ridge)) ** 4, 0.0, p.y),
    ),
    Identity(
        "a student is affine in its teacher weight",
        BORUP,
        lambda p: _new(p, (0.4, -0.7)),
        lambda p: 1.7 * _rounds(p, (0.4, 0.0)) - 0.7 * _rounds(p, (0.4, 1.0)),
    ),
    Identity(
        "the optimal weight from two students",
        BORUP,
        _vertex_of_three_students,
        lambda p: np.array([_curve(p).optimal_weight]),
        lambda p: 1e-8 + 1000 * _faintness(p),
    ),
    Identity(
        "the optimal weight is -ridge R' / (2 D)",
        "Dang, Patil & Rinaldo (2026)",
        _slope_rule,
        lambda p: np.array([_curve(p).optimal_weight]),
        lambda p: 1e-4 + 10 * _slope_rounding(p),
    ),
    Identity(
        "twicing is one round at teacher weight -1",
        "Tukey (1977)",
        lambda p: p.cross @ (_ridge_solve(p, p.ridge) + _solve(p.gram, p.y - _fit(p), (), p.ridge)),
        lambda p: _rounds(p, (-1.0,)),
    ),
    Identity(
        "a schedule is a polynomial in the shrinkage",
        "derived here",
        lambda p: _new(p, SCHEDULE),
        lambda p: p.spectrum.predict(Distilled(p.ridge, SCHEDULE).polynomial(), p.y, p.cross),
    ),
    Identity(
        "different ridges are a mixture of ridge fits",
        "derived here",
        _mixture_of_ridges,
        lambda p: rounds(p.spectrum, p.y, ridge=(p.ridge, 3 * p.ridge), teacher_weights=(0.7,), cross=p.cross)[-1],
    ),
    Identity(
        f"leave-one-out of the whole chain ({REFITS} real refits)",
        "derived here",
        _refits,
        lambda p: (p.y - loo(p.spectrum, p.y, ridge=p.ridge, teacher_weights=SCHEDULE)[-1])[_refit_points(p)],
        lambda p: 1e-10 + 1000 * p.rounding,
    ),
    Identity(
        "generalised cross-validation by its traces",
        "Golub, Heath & Wahba (1979)",
        _gcv_by_definition,
        lambda p: gcv(p.spectrum, p.y, ridge=p.ridge, teacher_weights=(0.6,))[-1:],
        lambda p: 1e-11 + 1000 * _gcv_rounding(p),
    ),
    Identity(
        "on training data the weight is at most -1",
        "derived here",
        _weight_on_training_data,
        _weight_on_training_spectrum,
        lambda p: 1e-8 + 1000 * _training_faintness(p),
    ),
)
