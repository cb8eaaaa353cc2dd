r"""Orthogonal designs: every question about a pruned student answered by an inequality of a few numbers.

One constant feature: every m of its rows have the moments m, as any rows of an orthogonal design have. The ridge, per
example unless it says absolute, and the noise are those of the problem. Derived in kdtheory. Here f and f_t are
the shares of n rows that student and teacher see, theta^2 is the signal's square.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kdtheory.checks import Array
from kdtheory.orthogonal import OrthogonalDesign
from kdtheory.problem import Problem
from kdtheory.theorems.naive import SOMETHING_TO_LEARN, solve
from kdtheory.theorems.statement import Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Ben-Baruch, Botach, Kviatkovsky, Aggarwal & Medioni", 2025, "2403.07854")
ROWS, KEPT = 20, (2, 5, 10, 15, 20)
INSIDE = np.array([0.25, 0.5, 0.75, 1.0])
NOISES = (0.0, 0.1, 1.0, 10.0, 1000.0)


def _orthogonal(p: Problem, kept: Any, convention: str = "per_example", **changes: Any) -> OrthogonalDesign:
    """One constant feature: every subset of m rows has the moments m."""
    known: dict[str, Any] = {"ridge": _level(p), "noise_variance": p.noise_variance + 0.1, "signal_square": 1.0}
    return OrthogonalDesign(ROWS, np.asarray(kept) / ROWS, ridge_convention=convention, **{**known, **changes})


def _level(p: Problem) -> float:
    """A ridge per example that differs from problem to problem, between 1e-3 and 1e3."""
    return float(np.clip(p.ridge / p.spectrum.eigenvalues[0], 1e-3, 1e3))


def _constant_feature(p: Problem, m: int, m_t: int = ROWS, noise: float | None = None, ridge: float = 0.0) -> Array:
    """Bias and variance (start, slope / 2, curvature) of the coefficient on m rows of ones, by dense solves, (2, 3).

    The ridge is the problem's per example, or an absolute one.
    """
    v = p.noise_variance + 0.1 if noise is None else noise
    own, teacher = np.zeros((1, ROWS)), np.zeros((1, ROWS))
    for fit, rows in ((own, m), (teacher, m_t)):
        fit[:, :rows] = solve(np.ones((rows, rows)), np.ones(rows), ridge or _level(p) * rows)
    D = own.sum() * teacher - own
    gap, moved = 1.0 - own.sum(), D.sum()
    return np.array([[gap**2, -gap * moved, moved**2], [v * np.sum(own**2), v * np.sum(own * D), v * np.sum(D**2)]])


def _constant_weight(p: Problem, m: int, noise: float | None = None) -> float:
    _, slope, bend = np.sum(_constant_feature(p, m, noise=noise), axis=0)
    return float(-slope / bend)


def _biases(p: Problem) -> Array:
    """Squared bias at weights up to one for teachers of 10 and of 20 rows, and on labels only; an absolute ridge."""
    start, slope, bend = np.array([_constant_feature(p, 5, m_t, ridge=ROWS * _level(p))[0] for m_t in (10, ROWS)]).T[..., None]
    return np.append(start + 2 * slope * INSIDE + bend * INSIDE**2, np.full((1, len(INSIDE)), start[1]), axis=0)


def _larger_biases(p: Problem) -> Array:
    """In the same order those of a teacher of 5 and of 10 rows, and that of distillation from all rows, in closed form."""
    shares = np.array([[5], [10], [ROWS]]) / ROWS
    design = _orthogonal(p, 5, "absolute", ridge=ROWS * _level(p), teacher_fraction=shares)
    return np.asarray(design.bias.at(INSIDE))


THEOREMS = (
    Theorem(
        name="the optimal weight of an orthogonal design",
        source=SOURCE,
        statement=r"w^\star = \frac{\sigma^2 s(\frac{1}{nf} - \frac{t}{n}) - \theta^2(1-s)(1-t)}"
        r"{s[\theta^2(1-t)^2 + \sigma^2(\frac{1}{nf} + \frac{t^2 - 2t}{n})]},\quad s = \frac{nf}{nf + \lambda_s},\ "
        r"t = \frac{n}{n + \lambda_t}",
        left=lambda p: np.array([_constant_weight(p, m) for m in KEPT]),
        right=lambda p: np.asarray(_orthogonal(p, KEPT).curves.vertex),
        tolerance=1e-8,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        by_entry=True,
        figure="pruning_phase",
    ),
    Theorem(
        name="when distillation helps",
        source=SOURCE,
        statement=r"w^\star > 0 \iff l^2 < \lambda_0\left[\tfrac{n(1-f)}{f} + \tfrac{l}{f}\right],\quad l = n\lambda,\ "
        r"\lambda_0 = \sigma^2/\theta^2",
        left=lambda p: np.sign([_constant_weight(p, m) for m in KEPT]),
        right=lambda p: np.where(_orthogonal(p, KEPT).helps, 1.0, -1.0),
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        figure="pruning_phase",
    ),
    Theorem(
        name="when the weight grows as less is kept",
        source=SOURCE,
        statement=r"\partial w^\star/\partial f < 0 \iff 2l + l^2/n > \lambda_0",
        left=lambda p: np.sign(-np.diff([_constant_weight(p, m) for m in KEPT])),
        right=lambda p: np.where(_orthogonal(p, KEPT[1:]).grows_as_kept_falls, 1.0, -1.0),
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        figure="pruning_phase",
    ),
    Theorem(
        name="the weight grows with the noise",
        source=SOURCE,
        statement=r"\partial w^\star/\partial\sigma^2 > 0 \text{ for every } f, \lambda",
        left=lambda p: np.array([_constant_weight(p, m, noise=v) for m in KEPT for v in NOISES[:-1]]),
        right=lambda p: np.array([_orthogonal(p, m, noise_variance=v).curves.vertex for m in KEPT for v in NOISES[1:]]),
        tolerance=1e-8,
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
        derived=True,
        figure="pruning_phase",
    ),
    Theorem(
        name="less bias the more the teacher has seen",
        source=SOURCE,
        statement=r"f \le f_t \le f_t' \implies |b(w; f_t')| \le |b(w; f_t)|,\ w \ge 0;\quad |b(0)| \le |b(w)|",
        left=_biases,
        right=_larger_biases,
        tolerance=1e-8,
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
        figure="teacher_share",
    ),
)
