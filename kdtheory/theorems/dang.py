r"""Dang, Patil & Rinaldo (2026): optimal unconstrained self-distillation in ridge regression.

The sign rule and the gain hold for any squared risk; one-shot tuning estimates the weight from the training data alone. Their
imitation parameter is the teacher weight, their penalty is ridge / n. The proportional limit: `deterministic_equivalents`.
"""

from __future__ import annotations

import numpy as np

from kdtheory.checks import Array
from kdtheory.distillation import rounds
from kdtheory.leave_one_out import loo
from kdtheory.one_shot import one_shot_curve
from kdtheory.parabola import RiskCurve
from kdtheory.problem import Problem
from kdtheory.theorems.naive import (
    DENSE,
    LABELS_SEEN,
    MOVED,
    SOMETHING_TO_LEARN,
    change,
    faintness,
    press,
    solve,
    two_students,
)
from kdtheory.theorems.statement import Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Dang, Patil & Rinaldo", 2026, "2602.17565")
COMPLEX_STEP = 1e-20  # f(x + ih) has the imaginary part h f'(x), without cancellation


def _slope(p: Problem, mass: Array) -> float:
    """ridge R'(ridge) of the held-out error of ridge regression, by a complex step."""
    prediction = p.cross @ solve(p.gram, p.y, p.ridge * (1 + 1j * COMPLEX_STEP))
    return float(np.sum(mass * ((prediction - p.y_new) ** 2).imag) / COMPLEX_STEP / p.y.shape[1])


def _distance(p: Problem, mass: Array) -> float:
    """D: mean squared distance of the student on the teacher from the student on the labels."""
    return float(np.sum(mass * change(p, p.cross) ** 2) / p.y.shape[1])


def _even(p: Problem) -> Array:
    return np.full((len(p.cross), 1), 1.0 / len(p.cross))


def _shifted(p: Problem) -> Array:
    """Another risk: held-out points weighted unequally."""
    mass = np.random.default_rng(0).gamma(0.5, size=(len(p.cross), 1)) + 1e-3
    return np.asarray(mass / mass.sum())


def _shifted_faintness(p: Problem) -> float:
    """The rounding of the weight under the other risk."""
    mass = _shifted(p)
    moved, needed = _distance(p, mass), abs(_by_slope(p, mass)[0])
    size = float(np.sum(mass * ((p.cross @ solve(p.gram, p.y, p.ridge)) ** 2 + p.y_new**2))) / p.y.shape[1]
    return float(1e-8 + 1000 * p.rounding * np.sqrt(size / moved) * (1 + (1 + np.sqrt(size / moved)) / max(needed, 1e-300)))


def _by_slope(p: Problem, mass: Array) -> Array:
    return np.array([-_slope(p, mass) / (2 * _distance(p, mass))])


def _curve(p: Problem, mass: Array) -> RiskCurve:
    """By the package: two students' predictions."""
    on_labels, on_teacher = (rounds(p.spectrum, p.y, ridge=p.ridge, teacher_weights=[w], cross=p.cross)[1] for w in (0, 1))
    return RiskCurve.from_predictions(on_labels, on_teacher, p.y_new, mass[:, 0])


def _gain_by_slope(p: Problem) -> Array:
    plain = float(np.mean((p.cross @ solve(p.gram, p.y, p.ridge) - p.y_new) ** 2))
    return np.array([plain, plain - _slope(p, _even(p)) ** 2 / (4 * _distance(p, _even(p)))])


def _sign(p: Problem) -> Array:
    """Minus the sign of the slope; zero where it is lost in rounding."""
    slope = _slope(p, _even(p))
    moved = np.sqrt(_distance(p, _even(p)))
    size = np.sqrt(np.mean(p.y_new**2)) + np.sqrt(np.mean((p.cross @ solve(p.gram, p.y, p.ridge)) ** 2))
    return np.array([-np.sign(slope) if abs(slope) > 1e-9 * moved * size + 1e4 * p.rounding * size**2 else 0.0])


def _pure_by_derivative(p: Problem) -> Array:
    """r + ridge dr/dridge of the textbook leave-one-out residuals, by a complex step."""
    r, step = _leave_one_out(p)
    return np.asarray(r + step)


def _pure_by_package(p: Problem) -> Array:
    small = p.first(DENSE)
    return np.asarray(small.y - loo(small.spectrum, small.y, ridge=small.ridge, teacher_weights=[1.0])[-1])


def _leave_one_out(p: Problem) -> tuple[Array, Array]:
    """Textbook leave-one-out residuals r, and ridge dr/dridge."""
    small = p.first(DENSE)
    r = press(small.gram, small.y, small.ridge * (1 + 1j * COMPLEX_STEP))
    return r.real, r.imag / COMPLEX_STEP


def _mean_leverage(p: Problem) -> tuple[Array, Array]:
    """The same with every leverage replaced by the mean one: r = (I - S) y / (tr (I - S) / n)."""
    small = p.first(DENSE)
    ridge = small.ridge * (1 + 1j * COMPLEX_STEP)
    left = ridge * solve(small.gram, np.eye(small.n), ridge)
    r = (left @ small.y) / (np.trace(left) / small.n)
    return r.real, r.imag / COMPLEX_STEP


def _plain(p: Problem) -> tuple[Array, Array]:
    """Each student's training residual over its own mean of 1 - H_ii: r and q - r."""
    small = p.first(DENSE)
    M = solve(small.gram, np.eye(small.n), small.ridge)
    left = small.ridge * M  # I - S
    squared = left + small.gram @ M @ left  # I - S^2
    r, q = (rest @ small.y / (np.trace(rest) / small.n) for rest in (left, squared))
    return r, q - r


ENDS = {"leave-one-out": _leave_one_out, "gcv-derivative": _mean_leverage, "gcv": _plain}


def _one_shot_by_definition(p: Problem, method: str) -> Array:
    r, step = ENDS[method](p)
    start, square = np.mean(r**2), np.mean(step**2)
    return np.array([-np.mean(r * step) / square, np.mean((r + step) ** 2) / start, square / start, 1.0 + np.log(start)])


def _one_shot(p: Problem, method: str) -> Array:
    small = p.first(DENSE)
    curve = one_shot_curve(small.spectrum, small.y, ridge=small.ridge, method=method)
    start = float(curve(0.0))
    return np.array([curve.optimal_weight, curve(1.0) / start, curve.curvature / start, 1.0 + np.log(start)])


def _one_shot_rounding(p: Problem, method: str) -> float:
    """Rounding over the size of the step, and over how far step and residual are from orthogonal."""
    r, step = ENDS[method](p)
    size, moved = float(np.linalg.norm(r)), max(float(np.linalg.norm(step)), 1e-300)
    cosine = abs(float(np.sum(r * step))) / max(moved * size, 1e-300)
    return float(1e-8 + 1000 * p.rounding * (1 + size / moved) / max(cosine, 1e-12))


THEOREMS = (
    Theorem(
        name="the optimal weight is -ridge R' / (2 D)",
        source=SOURCE,
        statement=r"w^\star = -\frac{\lambda R'(\lambda)}{2D}, \quad D = \overline{|\hat f_0 - \hat f_1(w{=}1)|^2}",
        left=lambda p: _by_slope(p, _even(p)),
        right=lambda p: np.array([_curve(p, _even(p)).optimal_weight]),
        tolerance=lambda p: 1e-8 + 1000 * faintness(p),
        assumptions=(MOVED,),
        figure="sign_rule",
    ),
    Theorem(
        name="the same under any other squared risk",
        source=SOURCE,
        statement=r"w^\star_B = -\frac{\lambda R_B'(\lambda)}{2D_B} \text{ for } R_B(f) = |f - \tilde y|_B^2,\ B \succeq 0",
        left=lambda p: _by_slope(p, _shifted(p)),
        right=lambda p: np.array([_curve(p, _shifted(p)).optimal_weight]),
        tolerance=_shifted_faintness,
        assumptions=(MOVED,),
    ),
    Theorem(
        name="the teacher helps where more ridge would",
        source=SOURCE,
        statement=r"\operatorname{sign} w^\star = -\operatorname{sign} R'(\lambda)",
        left=_sign,
        right=lambda p: np.array([np.sign(_curve(p, _even(p)).optimal_weight)]) * np.abs(_sign(p)),
        assumptions=(MOVED,),
        figure="sign_rule",
    ),
    Theorem(
        name="the gain is (ridge R')^2 / (4 D)",
        source=SOURCE,
        statement=r"R - R(w^\star) = \frac{\lambda^2 R'(\lambda)^2}{4D}",
        left=_gain_by_slope,
        right=lambda p: np.array([_curve(p, _even(p))(0.0), _curve(p, _even(p)).minimum]),
        tolerance=lambda p: 1e-8 + 1000 * p.rounding * (1 + 1 / two_students(p).identifiability),
        assumptions=(MOVED,),
        figure="sign_rule",
    ),
    Theorem(
        name="leave-one-out of a pure round is a derivative",
        source=SOURCE,
        statement=r"y_i - \hat y^{(-i)}_1 = r_i + \lambda\,\partial_\lambda r_i, \quad "
        r"r_i = \frac{y_i - \hat y_i}{1 - S_{ii}}",
        left=_pure_by_derivative,
        right=_pure_by_package,
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        figure="one_shot_tuning",
    ),
    Theorem(
        name="one-shot weight by leave-one-out",
        source=SOURCE,
        statement=r"w = -\frac{\langle r, \lambda\partial_\lambda r\rangle}{|\lambda\partial_\lambda r|^2}, "
        r"\quad r_i = \frac{y_i - \hat y_i}{1 - S_{ii}}",
        left=lambda p: _one_shot_by_definition(p, "leave-one-out"),
        right=lambda p: _one_shot(p, "leave-one-out"),
        tolerance=lambda p: _one_shot_rounding(p, "leave-one-out"),
        assumptions=(SOMETHING_TO_LEARN, LABELS_SEEN),
        derived=True,
        figure="one_shot_bias",
    ),
    Theorem(
        name="one-shot weight by the derivative of the GCV residual",
        source=SOURCE,
        statement=r"\text{the same with } S_{ii} \text{ replaced by } \operatorname{tr} S / n",
        left=lambda p: _one_shot_by_definition(p, "gcv-derivative"),
        right=lambda p: _one_shot(p, "gcv-derivative"),
        tolerance=lambda p: _one_shot_rounding(p, "gcv-derivative"),
        assumptions=(SOMETHING_TO_LEARN, LABELS_SEEN),
        derived=True,
        figure="one_shot_bias",
    ),
    Theorem(
        name="one-shot weight by plain degrees of freedom",
        source=SOURCE,
        statement=r"w = \frac{\langle r, r - q\rangle}{|r - q|^2}, \quad r = \frac{(I - S)y}{1 - \operatorname{tr} S/n}, "
        r"\quad q = \frac{(I - S^2)y}{1 - \operatorname{tr} S^2/n}",
        left=lambda p: _one_shot_by_definition(p, "gcv"),
        right=lambda p: _one_shot(p, "gcv"),
        tolerance=lambda p: _one_shot_rounding(p, "gcv"),
        assumptions=(SOMETHING_TO_LEARN, LABELS_SEEN),
        derived=True,  # as a reproduction of the paper gives it; whether the paper does is not known to us
        figure="one_shot_bias",
    ),
)
