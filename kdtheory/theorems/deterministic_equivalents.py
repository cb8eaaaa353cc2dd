r"""Deterministic equivalents of Dang, Patil & Rinaldo (2026), section on the proportional limit: the risk without data.

The population is made from the problem: the leading eigenvalues of its kernel matrix, and its signal in them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from kdtheory.asymptotics import Population, implicit_ridge, risk, risk_curve, two_point_risk
from kdtheory.checks import Array
from kdtheory.problem import Problem
from kdtheory.theorems.naive import SOMETHING_TO_LEARN, dual, population
from kdtheory.theorems.statement import Assumption, Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Dang, Patil & Rinaldo", 2026, "2602.17565")
POINTS = 120
DRAWS = 60
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


def _simulated(p: Problem) -> Array:
    """Mean risk of three rounds over Gaussian samples, each chain by linear solves."""
    pop, rng = population(p), np.random.default_rng(0)
    risks = []
    for _ in range(DRAWS):
        X, y = pop.sample(POINTS, rng)
        K = X @ X.T
        chain = [X.T @ dual(K, y, WEIGHTS[:t], _ridge(p)) for t in range(len(WEIGHTS) + 1)]
        risks.append([pop.error(beta) for beta in chain])
    return np.asarray(np.mean(risks, axis=0))


def _training_product(p: Problem) -> Array:
    """Mean product of the training residuals of two ridges, over samples."""
    pop, rng = population(p), np.random.default_rng(1)
    products = []
    for _ in range(DRAWS):
        X, y = pop.sample(POINTS, rng)
        K = X @ X.T
        first, second = (ridge * dual(K, y, (), ridge) for ridge in (_ridge(p), 3 * _ridge(p)))
        products.append([first @ first, first @ second, second @ second])
    return np.asarray(np.mean(products, axis=0) / POINTS)


def _training_product_by_theory(p: Problem) -> Array:
    pop, ridges = population(p), np.array([_ridge(p), 3 * _ridge(p)])
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

    return float(scipy.optimize.brentq(slope, grid[middle - 1], grid[middle + 1], xtol=1e-13))


def _no_best_ridge(p: Problem) -> str:
    if not (p.noise_variance > 0 and np.any(population(p).signal)):
        return "without noise or without signal the risk has no minimum inside the ridges"
    return "" if np.isfinite(_best_log_ridge(p)) else "the risk has no minimum inside the ridges tried"


INTERIOR = Assumption("the risk of ridge regression has a minimum at a ridge above zero", _no_best_ridge)
NOISE = Assumption("noisy labels", lambda p: "" if p.noise_variance > 0 else "the labels have no noise")
SIGNAL = Assumption("a signal in the leading directions", lambda p: "" if np.any(population(p).signal) else "no signal there")
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
        left=_simulated,
        right=lambda p: risk(population(p), n=POINTS, ridge=_ridge(p), teacher_weights=WEIGHTS),
        tolerance=0.09,  # of 60 draws at n = 120
        assumptions=(SOMETHING_TO_LEARN, SIGNAL),
        simulated=True,
        figure="proportional_asymptotics",
    ),
    Theorem(
        name="training errors are test errors times a constant",
        source=SOURCE,
        statement=r"\tfrac1n r_1^\top r_2 \to \frac{\lambda_1\lambda_2}{n^2\kappa_1\kappa_2} R(\lambda_1, \lambda_2)",
        left=_training_product,
        right=_training_product_by_theory,
        tolerance=0.09,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL),
        derived=True,
        simulated=True,
    ),
    Theorem(
        name="white features: no first round helps at the best ridge",
        source=SOURCE,
        statement=r"\Sigma = I,\ \lambda^\star = \frac{p\,\sigma^2}{r^2}: \quad w^\star(\lambda^\star) = 0",
        left=lambda p: np.ones(1),
        right=_at_the_best_ridge,
        tolerance=1e-9,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL, NOISE),
        figure="sign_rule",
    ),
    Theorem(
        name="the curvature test",
        source=SOURCE,
        statement=r"R'(\lambda^\star) = 0: \quad \partial^2_{\log\lambda} R(w^\star) = R''\left(1 - \frac{R''}{2D}\right), "
        r"\text{ below zero iff } D < \tfrac12\lambda^{\star 2}R''(\lambda^\star)",
        left=_bend_of_the_optimum,
        right=_bend_by_the_test,
        tolerance=0.02,  # of fourth-order differences with a step of 0.02
        assumptions=(SOMETHING_TO_LEARN, SIGNAL, INTERIOR),
    ),
)
