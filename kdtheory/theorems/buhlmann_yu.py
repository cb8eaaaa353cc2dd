r"""Bühlmann & Yu (2003): boosting with the L2 loss. Boosting a smoother is a chain with negative teacher weights.

Distillation with weights in [0, 1] adds shrinkage, boosting takes it away: both are polynomials in the shrinkage.
"""

from __future__ import annotations

import numpy as np

from kdtheory.checks import Array
from kdtheory.distillation import rounds
from kdtheory.filters import GradientFlow
from kdtheory.problem import Problem
from kdtheory.risk import BiasVariance, bias_variance
from kdtheory.theorems.naive import DENSE, LABELS_SEEN, SOMETHING_TO_LEARN, solve
from kdtheory.theorems.statement import Source, Theorem

__all__ = ["THEOREMS", "boosting_weights"]

SOURCE = Source("Bühlmann & Yu", 2003)
BOOSTS = 5
DOUBLINGS = 24  # 2^24 boosts stand for infinitely many


def boosting_weights(count: int) -> tuple[float, ...]:
    """Teacher weights of the chain that is `count` boosts: -i / (count - i + 1) in round i.

    Examples
    --------
    >>> boosting_weights(1)  # twicing
    (-1.0,)
    """
    return tuple(-i / (count - i + 1) for i in range(1, count + 1))


def _boosted(p: Problem) -> Array:
    """Fit the residuals again and again; also the iterated Tikhonov regularisation of Kf = y."""
    coefficients = solve(p.gram, p.y, p.ridge)
    for _ in range(BOOSTS):
        coefficients = coefficients + solve(p.gram, p.y - p.gram @ coefficients, p.ridge)
    return np.asarray(p.cross @ coefficients)


def _by_operators(p: Problem) -> Array:
    """Squared bias and variance of m = 0 .. BOOSTS boosts: I - H = (I - S)^(m+1)."""
    small = p.first(DENSE)
    left = small.ridge * solve(small.gram, np.eye(small.n), small.ridge)
    rest, rows = left.copy(), []
    for _ in range(BOOSTS + 1):
        H = np.eye(small.n) - rest
        rows.append([np.mean((rest @ small.signal) ** 2), small.noise_variance * np.sum(H**2) / small.n])
        rest = left @ rest
    return np.array(rows)


def _closed(p: Problem, count: int) -> BiasVariance:
    small = p.first(DENSE)
    weights = boosting_weights(count)
    return bias_variance(small.spectrum, small.signal, noise_variance=p.noise_variance, ridge=p.ridge, teacher_weights=weights)


def _last(p: Problem) -> Array:
    """Row m: bias and variance of the last round of the chain for m boosts."""
    return np.array([[part[-1] for part in _closed(p, count)] for count in range(BOOSTS + 1)])


def _with_scale(p: Problem, *parts: Array) -> Array:
    """Beside the signal's mean square, to which their rounding is relative."""
    return np.concatenate([np.array([np.mean(p.signal**2)]), *parts])


def _infinitely_many_boosts(p: Problem) -> Array:
    """(ridge / (K + ridge))^m at ridge m / t by repeated squaring, t = 1 over the largest eigenvalue."""
    small = p.first(DENSE // 2)
    m = 2.0**DOUBLINGS
    rest = np.eye(small.n) - small.gram @ solve(small.gram, np.eye(small.n), m * small.spectrum.eigenvalues[0])
    for _ in range(DOUBLINGS):
        rest = rest @ rest
    return np.asarray(small.y - rest @ small.y)


def _squaring(p: Problem) -> float:
    """2^24 squarings multiply the rounding of labels, of which little may be learned."""
    learned = float(np.linalg.norm(_flow(p)))
    return 1e-6 + 1e-8 * float(np.linalg.norm(p.first(DENSE // 2).y)) / max(learned, 1e-300)


def _flow(p: Problem) -> Array:
    small = p.first(DENSE // 2)
    return small.spectrum.fit(GradientFlow(1.0 / small.spectrum.eigenvalues[0]), small.y)


THEOREMS = (
    Theorem(
        name="boosting is a chain with negative teacher weights",
        source=SOURCE,
        statement=r"I - H_m = (I - A)^{m+1}: \quad w_i = \frac{-i}{m - i + 1},\ i = 1 \dots m",
        left=_boosted,
        right=lambda p: rounds(p.spectrum, p.y, ridge=p.ridge, teacher_weights=boosting_weights(BOOSTS), cross=p.cross)[-1],
        tolerance=lambda p: 1e-10 + 1e4 * p.rounding,
        derived=True,
    ),
    Theorem(
        name="bias and variance of boosting",
        source=SOURCE,
        statement=r"\text{bias}_m = \tfrac1n\sum u^{2m+2}\theta^2, \quad "
        r"\text{variance}_m = \tfrac{\sigma^2}{n}\sum(1 - u^{m+1})^2",
        left=_by_operators,
        right=_last,
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
    ),
    Theorem(
        name="boosting trades bias for variance",
        source=SOURCE,
        statement=r"\text{bias}_{m+1} \le \text{bias}_m, \quad \text{variance}_m \le \text{variance}_{m+1}",
        left=lambda p: _with_scale(p, _by_operators(p)[1:, 0], _by_operators(p)[:-1, 1]),
        right=lambda p: _with_scale(p, _last(p)[:-1, 0], _last(p)[1:, 1]),
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        at_most=True,
    ),
    Theorem(
        name="many weak boosts are gradient flow",
        source=SOURCE,
        statement=r"\lambda = \frac{m}{t},\ m \to \infty: \quad \left(\frac{\lambda}{d + \lambda}\right)^{m} \to e^{-td}",
        left=_infinitely_many_boosts,
        right=_flow,
        tolerance=_squaring,
        assumptions=(SOMETHING_TO_LEARN, LABELS_SEEN),
        derived=True,
    ),
)
