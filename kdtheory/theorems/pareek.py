r"""Pareek, Du & Oh (2024): understanding the gains from repeated self-distillation.

k rounds at one ridge are k free coefficients. The expected risk is quadratic in them; with as many rounds as distinct
eigenvalues its minimum is the Wiener risk, the least that any multipliers can have.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from kdtheory.checks import Array
from kdtheory.distillation import rounds
from kdtheory.filters import Distilled
from kdtheory.free_polynomial import optimal_polynomial, optimal_polynomial_on_validation
from kdtheory.problem import Problem
from kdtheory.risk import bias_variance
from kdtheory.spectrum import Filter, Spectrum
from kdtheory.theorems.naive import (
    DENSE,
    MOVED,
    SCHEDULE,
    SOMETHING_TO_LEARN,
    expected_risk,
    faintness,
    new,
    smoother,
    solve,
    two_students,
)
from kdtheory.theorems.statement import Assumption, Source, Theorem
from kdtheory.weights import optimal_weights

__all__ = ["THEOREMS"]

SOURCE = Source("Pareek, Du & Oh", 2024, "2407.04600")
LEADING = 4  # directions of the rank-limited kernel that few rounds can serve
APART = 1e-3  # by which their shrinkages must differ


def _risk_of_chain(p: Problem) -> Array:
    """By the dense operator of a chain: squared bias and sigma^2 |H|^2."""
    small = p.first(DENSE)
    return np.array([np.mean(small.signal**2), expected_risk(small, smoother(small, SCHEDULE))])


def _quadratic(p: Problem) -> Array:
    """c + 2 m'x + x'Mx in the free coefficients x of the chain, with the spectral M and m; the risk of the last round."""
    small = p.first(DENSE)
    s, f = small.spectrum, small.signal
    d, (energy, noise) = s.eigenvalues, _energy(small, s)
    h, u = d / (d + p.ridge), p.ridge / (d + p.ridge)
    x = np.array(Distilled(p.ridge, SCHEDULE).polynomial().coefficients[1:])
    columns = np.array([h * (1 - h**i) for i in range(1, len(x) + 1)])  # what coefficient i takes from the first fit
    M = (columns * (energy + noise)) @ columns.T
    m = columns @ (u * energy - h * noise)
    constant = np.sum(u**2 * energy + noise * h**2) + np.sum(s.outside(f) ** 2)
    return np.array([np.mean(f**2), (constant + 2 * m @ x + x @ M @ x) / f.size])


def _wiener_identity(p: Problem) -> Array:
    """sigma^2 sum w + sum (theta^2 + sigma^2)(P - w)^2."""
    small = p.first(DENSE)
    s, f = small.spectrum, small.signal
    energy, noise = _energy(small, s)
    total = np.maximum(energy + noise, 1e-300)
    wiener, P = energy / total, Distilled(p.ridge, SCHEDULE).fit(s.eigenvalues)
    outside = float(np.sum(s.outside(f) ** 2))
    return np.array([np.mean(f**2), (noise * wiener.sum() + np.sum(total * (P - wiener) ** 2) + outside) / f.size])


def _by_bias_and_variance(p: Problem) -> Array:
    small = p.first(DENSE)
    bias, variance = bias_variance(
        small.spectrum, small.signal, noise_variance=p.noise_variance, ridge=p.ridge, teacher_weights=SCHEDULE
    )
    return np.array([np.mean(small.signal**2), bias[-1] + variance[-1]])


def _leading(p: Problem, *, tied: bool = False) -> Spectrum:
    """The kernel's leading directions alone; tied: in two pairs of equal eigenvalues."""
    d, U = p.spectrum.eigenvalues[:LEADING], p.spectrum.eigenvectors[:, :LEADING]
    return Spectrum(d[[0, 0, -1, -1]] if tied else d.copy(), U.copy())


def _energy(p: Problem, s: Spectrum) -> tuple[Array, float]:
    f = p.signal
    return np.sum(s.project(f) ** 2, axis=1), p.noise_variance * f.shape[1]


def _risk(p: Problem, s: Spectrum, filter: Filter) -> float:
    """Summed over the directions held."""
    energy, noise = _energy(p, s)
    return float(np.sum(filter.residual(s.eigenvalues) ** 2 * energy + noise * filter.fit(s.eigenvalues) ** 2))


def _free(p: Problem, s: Spectrum, count: int, ridge: float) -> float:
    f = p.signal - s.outside(p.signal)
    return _risk(p, s, optimal_polynomial(s, f, noise_variance=p.noise_variance, ridge=ridge, rounds=count))


def _middle(p: Problem) -> float:
    """A ridge between the leading eigenvalues: the statement is about every ridge, and here rounding leaves it visible."""
    d = p.spectrum.eigenvalues
    return float(np.sqrt(d[0] * d[LEADING - 1]))


def _plain(p: Problem, s: Spectrum) -> float:
    """Of ridge regression, by its definition."""
    (energy, noise), d, ridge = _energy(p, s), s.eigenvalues, _middle(p)
    return float(np.sum((ridge / (d + ridge)) ** 2 * energy + noise * (d / (d + ridge)) ** 2))


def _closed(p: Problem, *, tied: bool) -> Array:
    s = _leading(p, tied=tied)
    return np.array([_free(p, s, count, _middle(p)) for count in (0, LEADING)])


def _least_of_any_multipliers(p: Problem) -> Array:
    """sum of sigma^2 theta^2 / (theta^2 + sigma^2), each direction by itself, beside the risk of ridge regression."""
    energy, noise = _energy(p, _leading(p))
    return np.array([_plain(p, _leading(p)), np.sum(noise * energy / np.maximum(energy + noise, 1e-300))])


def _least_when_tied(p: Problem) -> Array:
    """Each pair of equal eigenvalues has one multiplier: the minimum of a parabola per pair."""
    s = _leading(p, tied=True)
    energy, noise = _energy(p, s)
    pooled = energy.reshape(2, 2).sum(axis=1)
    P = pooled / np.maximum(pooled + 2 * noise, 1e-300)
    return np.array([_plain(p, s), np.sum(pooled * (1 - P) ** 2 + 2 * noise * P**2)])


def _too_close(p: Problem, picks: tuple[int, ...]) -> str:
    d = p.spectrum.eigenvalues
    if len(d) < LEADING or not d[LEADING - 1] > 1e-6 * d[0]:
        return f"fewer than {LEADING} eigenvalues within six decades"
    a = d[list(picks)] / (d[list(picks)] + _middle(p))
    return "" if min(-np.diff(a)) > APART else "the leading eigenvalues are shrunk almost alike"


SEPARATE = Assumption("four eigenvalues within six decades, with different shrinkages", lambda p: _too_close(p, (0, 1, 2, 3)))
TWO_PAIRS = Assumption(
    "first and fourth eigenvalue within six decades, with different shrinkages", lambda p: _too_close(p, (0, 3))
)


def _validation_errors(p: Problem, method: str) -> float:
    weights = optimal_weights(p.spectrum, p.y, p.cross, p.y_new, ridge=p.ridge, rounds=3, method=method)
    return float(np.mean((rounds(p.spectrum, p.y, ridge=p.ridge, teacher_weights=weights, cross=p.cross)[-1] - p.y_new) ** 2))


def _plain_error(p: Problem) -> float:
    return float(np.mean((new(p) - p.y_new) ** 2))


def _design(p: Problem) -> Array:
    """What one more and two more pure rounds move, each scaled to length one."""
    columns, dual = [], solve(p.gram, p.y, p.ridge)
    for _ in range(2):
        columns.append((p.cross @ solve(p.gram, dual, p.ridge)).ravel())
        dual = p.gram @ solve(p.gram, dual, p.ridge)
    return np.asarray(np.array([column / max(float(np.linalg.norm(column)), 1e-300) for column in columns]).T)


def _angle(p: Problem) -> float:
    """Sine of the angle between the two directions."""
    values = scipy.linalg.svdvals(_design(p))
    return float(values[-1] / values[0]) if len(values) > 1 else 0.0


TWO_WAYS = Assumption(
    "two rounds move the held-out predictions in two directions",
    lambda p: "" if _angle(p) > max(1e-7, 1e4 * p.rounding) else "two rounds move the held-out predictions in one direction",
)


def _errors_by_lstsq(p: Problem) -> Array:
    """No round, and the best chain of two rounds: least squares over k M y, k M A y, k M A^2 y, weights summing to one."""
    gap, design = (new(p) - p.y_new).ravel(), _design(p)
    best = gap - design @ scipy.linalg.lstsq(design, gap)[0]
    return np.array([np.mean(gap**2), np.mean(best**2)])


def _errors_by_polynomial(p: Problem) -> Array:
    free = optimal_polynomial_on_validation(p.spectrum, p.y, p.cross, p.y_new, ridge=p.ridge, rounds=2)
    error = float(np.mean((p.spectrum.predict(free, p.y, p.cross) - p.y_new) ** 2))
    return np.array(
        [float(np.mean((rounds(p.spectrum, p.y, ridge=p.ridge, teacher_weights=(), cross=p.cross)[-1] - p.y_new) ** 2)), error]
    )


THEOREMS = (
    Theorem(
        name="the risk of k rounds is a quadratic in k coefficients",
        source=SOURCE,
        statement=r"nR = c + 2m^\top x + x^\top M x, \quad "
        r"M_{ik} = \sum_j (\theta_j^2 + \sigma^2) h_j^2 (1 - h_j^i)(1 - h_j^k)",
        left=_risk_of_chain,
        right=_quadratic,
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        figure="rounds_gain",
    ),
    Theorem(
        name="the risk is the Wiener risk and a distance to it",
        source=SOURCE,
        statement=r"nR = |f_\perp|^2 + \sigma^2\sum_i \omega_i + \sum_i (\theta_i^2 + \sigma^2)(P(h_i) - \omega_i)^2, \quad "
        r"\omega = \frac{\theta^2}{\theta^2 + \sigma^2}",
        left=_by_bias_and_variance,
        right=_wiener_identity,
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        derived=True,
        figure="rounds_gain",
    ),
    Theorem(
        name="as many rounds as distinct eigenvalues reach the Wiener risk",
        source=SOURCE,
        statement=r"\min_{P \in \mathcal P_r} R(P) = \sum_{i=1}^{r} \frac{\sigma^2\theta_i^2}{\theta_i^2 + \sigma^2} "
        r"\text{ for rank } r \text{, distinct eigenvalues, any ridge}; \quad "
        r"\mathcal P_k = \{P: \deg P \le k + 1, P(0) = 0, P(1) = 1\}",
        left=_least_of_any_multipliers,
        right=lambda p: _closed(p, tied=False),
        tolerance=1e-8,
        assumptions=(SOMETHING_TO_LEARN, SEPARATE),
        figure="rounds_gain",
    ),
    Theorem(
        name="equal eigenvalues are pooled",
        source=SOURCE,
        statement=r"\omega_G = \frac{\sum_{i \in G}\theta_i^2}{\sum_{i \in G}\theta_i^2 + |G|\sigma^2} "
        r"\text{ is the best common multiplier of a group } G \text{ of equal eigenvalues}",
        left=_least_when_tied,
        right=lambda p: _closed(p, tied=True),
        tolerance=1e-8,
        assumptions=(SOMETHING_TO_LEARN, TWO_PAIRS),
        figure="rounds_gain",
    ),
    Theorem(
        name="more free rounds never raise the risk",
        source=SOURCE,
        statement=r"\min_{P \in \mathcal P_{k+1}} R(P) \le \min_{P \in \mathcal P_k} R(P)",
        left=lambda p: np.array([_free(p, p.spectrum, k, p.ridge) for k in (0, 1, 2, 3, 4, 5, 6)]),
        right=lambda p: np.array([_free(p, p.spectrum, k, p.ridge) for k in (0, 0, 1, 2, 3, 4, 5)]),
        tolerance=1e-10,
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
        figure="rounds_gain",
    ),
    Theorem(
        name="the best chain on validation data is least squares",
        source=SOURCE,
        statement=r"\inf_{w_1, w_2} |\tilde y - \hat f_2|^2 = \min_{x \in \mathbb R^2} |\tilde y - \hat f_0 + \Phi x|^2, "
        r"\quad \Phi = \lambda k (K + \lambda I)^{-2}[y, Ay]",
        left=_errors_by_lstsq,
        right=_errors_by_polynomial,
        tolerance=lambda p: 1e-8 + 1000 * p.rounding * (1 + 1 / two_students(p).identifiability) / _angle(p),
        assumptions=(MOVED, TWO_WAYS),
        figure="published_tables",
    ),
    Theorem(
        name="joint weights beat greedy weights, which beat none",
        source=SOURCE,
        statement=r"\min_{w_1 \dots w_T} L_T \le L_T(\text{greedy}) \le L_0",
        left=lambda p: np.array([_plain_error(p), _validation_errors(p, "joint"), _validation_errors(p, "greedy")]),
        right=lambda p: np.array([_plain_error(p), _validation_errors(p, "greedy"), _plain_error(p)]),
        tolerance=lambda p: 1e-8 + 1000 * faintness(p),
        assumptions=(MOVED,),
        at_most=True,
        derived=True,
        figure="one_shot_tuning",
    ),
)
