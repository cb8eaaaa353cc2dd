r"""Deterministic equivalents: the risk in the proportional limit, without data (Dang, Patil & Rinaldo, 2026).

The population is made from the problem: the leading eigenvalues of its kernel matrix, and its signal in them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from kdtheory.asymptotics import Population, implicit_ridge, risk, risk_curve, two_point_risk
from kdtheory.checks import Array
from kdtheory.problem import Problem
from kdtheory.theorems.naive import (
    ASYMPTOTIC,
    SIGNAL,
    SOMETHING_TO_LEARN,
    Samples,
    Simulated,
    half_learned,
    population,
    ridge_fits,
    simulate,
    spread,
)
from kdtheory.theorems.statement import Assumption, Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Dang, Patil & Rinaldo", 2026, "2602.17565")
POINTS = 120
WEIGHTS = (0.7, -0.5)


def _ridge(p: Problem) -> float:
    """Per point as in the problem."""
    return p.ridge * POINTS / p.n


def _explicit(p: Problem) -> Array:
    """Ridge regression R, cross risk C and one pure round P by traces up to the fourth order, at the penalty l = ridge / n."""
    pop, n = population(p), POINTS
    e, v2, s2, ell = pop.eigenvalues, pop.signal**2, pop.noise_variance, _ridge(p) / POINTS
    k = implicit_ridge(pop, n=n, ridge=_ridge(p))
    t2, t3, t4 = (float(np.sum(e**2 / (e + k) ** j)) / n for j in (2, 3, 4))
    q2, q3, q4 = (float(np.sum(v2 / (e + k) ** j)) for j in (2, 3, 4))
    b = 1 / (1 - t2)
    u2, u3, u4 = t2 * b, t3 * b**3, t4 * b**4 + 2 * t3**2 * b**5
    E = k - b * ell + b**2 * k * ell * t3
    a2 = b * E**2 + b**4 * k**2 * ell**2 * t4 + b**5 * k**2 * ell**2 * t3**2
    a3, a4 = 2 * b**2 * k * ell * E, b**3 * k**2 * ell**2
    middle = k * b * E * q2 + k**2 * b**2 * ell * q3
    R = k**2 * b * q2 + s2 * (1 + u2)
    C = 2 * k**2 * b * q2 - middle + s2 * (1 + u2 - ell * u3)
    P = 4 * k**2 * b * q2 - 4 * middle + a2 * q2 + a3 * q3 + a4 * q4 + s2 * (1 + u2 - 2 * ell * u3 + ell**2 * u4)
    return np.array([R, C, P])


def _from_two_points(p: Problem) -> Array:
    curve = risk_curve(population(p), n=POINTS, ridge=_ridge(p))
    plain, pure = float(curve(0.0)), float(curve(1.0))
    return np.array([plain, (plain + pure - curve.curvature) / 2, pure])


@functools.lru_cache(maxsize=4)
def _simulated(p: Problem) -> Simulated:
    """Excess risk of three rounds, each fitted by least squares to the mix of labels and teacher."""
    ridge = half_learned(population(p), POINTS)

    def measure(samples: Samples) -> list[Array]:
        X, y = samples.labelled()
        chain = [ridge_fits(X, y, ridge)]
        for w in WEIGHTS:
            chain.append(ridge_fits(X, (1 - w) * y + w * np.einsum("bnp,bp->bn", X, chain[-1]), ridge))
        return [samples.excess(beta) for beta in chain]

    return simulate(population(p), measure, points=POINTS, seed=0)


def _predicted(p: Problem) -> Array:
    pop = population(p)
    risks = risk(pop, n=POINTS, ridge=half_learned(pop, POINTS), teacher_weights=WEIGHTS)
    return risks - pop.noise_variance


@functools.lru_cache(maxsize=4)
def _training_product(p: Problem) -> Simulated:
    """Mean product of the training residuals of two ridges."""
    ridge = half_learned(population(p), POINTS)

    def measure(samples: Samples) -> list[Array]:
        X, y = samples.labelled()
        first, second = (y - np.einsum("bnp,bp->bn", X, ridge_fits(X, y, lam)) for lam in (ridge, 3 * ridge))
        return [np.mean(a * b, axis=1) for a, b in ((first, first), (first, second), (second, second))]

    return simulate(population(p), measure, points=POINTS, seed=1)


def _training_product_by_theory(p: Problem) -> Array:
    pop, ridges = population(p), half_learned(population(p), POINTS) * np.array([1.0, 3.0])
    R = two_point_risk(pop, n=POINTS, ridges=ridges)
    scale = [ridge / POINTS / implicit_ridge(pop, n=POINTS, ridge=float(ridge)) for ridge in ridges]
    return np.array([scale[i] * scale[j] * R[i, j] for i, j in ((0, 0), (0, 1), (1, 1))])


def _white(p: Problem) -> Population:
    """As many directions of equal variance and signal as the problem's population has."""
    count = len(population(p).eigenvalues)
    size = float(np.sum(population(p).signal ** 2))
    return Population(np.ones(count), np.full(count, np.sqrt(size / count)), p.noise_variance)


def _at_the_best_ridge(p: Problem) -> Array:
    """1 + w* at ridge p sigma^2 / r^2."""
    white = _white(p)
    best = len(white.eigenvalues) * white.noise_variance / float(np.sum(white.signal**2))
    return np.array([1.0 + risk_curve(white, n=POINTS, ridge=best).optimal_weight])


def _plain(pop: Population, log_ridges: NDArray[Any]) -> Array:
    """Risk of ridge regression."""
    return np.asarray(np.diag(two_point_risk(pop, n=POINTS, ridges=np.exp(log_ridges))))


def _second(values: Array) -> float:
    """Second derivative by fourth-order differences of five values."""
    return float(np.dot([-1, 16, -30, 16, -1], values) / (12 * STEP**2))


def _best_log_ridge(p: Problem) -> float:
    """Where the risk of ridge regression is least, as a logarithm."""
    pop = population(p)
    grid = np.log(POINTS * pop.eigenvalues[0]) + np.arange(-16.0, 5.0)
    values = _plain(pop, grid)
    middle = int(np.argmin(values))
    if middle in (0, len(grid) - 1):
        return float("nan")

    def slope(x: float) -> float:
        return -risk_curve(pop, n=POINTS, ridge=np.exp(x)).optimal_weight

    around = grid[middle - 1], grid[middle + 1]
    if not slope(around[0]) < 0 < slope(around[1]):  # a plateau, on which rounding found a minimum
        return float("nan")
    return float(scipy.optimize.brentq(slope, *around, xtol=1e-13))


def _no_best_ridge(p: Problem) -> str:
    if not (p.noise_variance > 0 and np.any(population(p).signal)):
        return "without noise or without signal the risk has no minimum inside the ridges"
    return "" if np.isfinite(_best_log_ridge(p)) else "the risk has no minimum inside the ridges tried"


INTERIOR = Assumption("the risk of ridge regression has a minimum at a ridge above zero", _no_best_ridge)
NOISE = Assumption("noisy labels", lambda p: "" if p.noise_variance > 0 else "the labels have no noise")
STEP = 0.02


def _bend_of_the_optimum(p: Problem) -> Array:
    """Second derivatives in log ridge of the plain and the optimally distilled risk, where the plain one is least."""
    x, pop = _best_log_ridge(p), population(p)
    values = [risk_curve(pop, n=POINTS, ridge=np.exp(x + k * STEP)).minimum for k in (-2, -1, 0, 1, 2)]
    return np.array([_second(_plain(pop, x + STEP * np.arange(-2, 3))), _second(np.array(values))])


def _bend_by_the_test(p: Problem) -> Array:
    """R'' and R''(1 - R''/(2 D))."""
    x, pop = _best_log_ridge(p), population(p)
    second = _second(_plain(pop, x + STEP * np.arange(-2, 3)))
    curve = risk_curve(pop, n=POINTS, ridge=np.exp(x))
    return np.array([second, second * (1 - second / (2 * curve.curvature))])


THEOREMS = (
    Theorem(
        name="two points give the fourth-order equivalents",
        source=SOURCE,
        statement=r"R = R(\lambda,\lambda),\quad C = R + \lambda\partial_1 R,\quad "
        r"R_{pd} = R + 2\lambda\partial_1 R + \lambda^2\partial_{12}R",
        left=_explicit,
        right=_from_two_points,
        tolerance=1e-9,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        figure="proportional_asymptotics",
    ),
    Theorem(
        name="the risk of a chain in the proportional limit",
        source=SOURCE,
        statement=r"R_t \to c^\top J c, \quad "
        r"R(\lambda_1,\lambda_2) = \frac{\sigma^2 + \kappa_1\kappa_2\,\beta^\top G_1\Sigma G_2\beta}"
        r"{1 - \operatorname{tr}(\Sigma G_1\Sigma G_2)/n}",
        left=lambda p: _simulated(p).mean,
        right=_predicted,
        tolerance=lambda p: spread(_simulated(p), POINTS),
        assumptions=(SOMETHING_TO_LEARN, ASYMPTOTIC),
        derived=True,  # for chains; the paper has ridge regression and one round
        simulated=True,
        by_entry=True,
        figure="proportional_asymptotics",
    ),
    Theorem(
        name="training errors are test errors times a constant",
        source=SOURCE,
        statement=r"\tfrac1n r_1^\top r_2 \to \frac{\lambda_1\lambda_2}{n^2\kappa_1\kappa_2} R(\lambda_1, \lambda_2)",
        left=lambda p: _training_product(p).mean,
        right=_training_product_by_theory,
        tolerance=lambda p: spread(_training_product(p), POINTS),
        assumptions=(SOMETHING_TO_LEARN, ASYMPTOTIC),
        derived=True,
        simulated=True,
        by_entry=True,
    ),
    Theorem(
        name="white features: no first round helps at the best ridge",
        source=SOURCE,
        statement=r"\Sigma = I,\ \lambda^\star = \frac{p\,\sigma^2}{r^2}: \quad w^\star(\lambda^\star) = 0",
        left=lambda p: np.ones(1),
        right=_at_the_best_ridge,
        tolerance=1e-9,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL, NOISE),
        derived=True,
        figure="sign_rule",
    ),
    Theorem(
        name="the curvature test",
        source=SOURCE,
        statement=r"\dot R(\lambda^\star) = 0,\ \dot{} = \partial/\partial\log\lambda: \quad "
        r"\ddot R_{w^\star} = \ddot R\left(1 - \frac{\ddot R}{2D}\right) < 0 \iff D < \tfrac12\ddot R",
        left=_bend_of_the_optimum,
        right=_bend_by_the_test,
        tolerance=1e-3,  # of fourth-order differences with a step of 0.02
        assumptions=(SOMETHING_TO_LEARN, SIGNAL, INTERIOR),
        derived=True,  # the paper has the criterion, not the derivative
    ),
)
