r"""Simon, Karkada, Ghosh & Belkin (2024): more is better in modern machine learning. The random-feature eigenframework.

The population is made from the problem: the leading eigenvalues of its kernel matrix, and its signal in them.
"""

from __future__ import annotations

import functools

import numpy as np

from kdtheory.asymptotics import Population, implicit_ridge, risk
from kdtheory.checks import Array
from kdtheory.eigenframework import random_feature_error
from kdtheory.problem import Problem
from kdtheory.theorems.naive import (
    ASYMPTOTIC,
    SOMETHING_TO_LEARN,
    Samples,
    Simulated,
    half_learned,
    population,
    ridge_fits,
    simulate,
    spread,
)
from kdtheory.theorems.statement import Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Simon, Karkada, Ghosh & Belkin", 2024, "2311.14646")
POINTS = 100
FEATURES = 80


def _ridge(p: Problem) -> float:
    return half_learned(population(p), POINTS) / 4


@functools.lru_cache(maxsize=4)
def _simulated(p: Problem) -> Simulated:
    """Excess test error and training error of ridge regression on Gaussian random features of Gaussian eigenfunctions."""

    def measure(samples: Samples) -> list[Array]:
        X, y = samples.labelled()
        W = samples.rng.normal(size=(samples.draws, X.shape[2], FEATURES)) / np.sqrt(FEATURES)
        features = X @ W
        theta = ridge_fits(features, y, _ridge(p))
        rest = y - np.einsum("bnk,bk->bn", features, theta)
        return [samples.excess(np.einsum("bpk,bk->bp", W, theta)), np.mean(rest**2, axis=1)]

    return simulate(population(p), measure, points=POINTS, seed=0)


def _predicted(p: Problem) -> Array:
    result = random_feature_error(population(p), n=POINTS, features=FEATURES, ridge=_ridge(p))
    return np.array([result.test - p.noise_variance, result.train])


def _residual_of_the_equations(p: Problem) -> Array:
    """n and k as the two sums give them back, with fewer and with more features than points."""
    pop, back = population(p), []
    for features in (FEATURES, 2 * POINTS):
        result = random_feature_error(pop, n=POINTS, features=features, ridge=_ridge(p))
        z = float(np.sum(pop.eigenvalues / (pop.eigenvalues + result.gamma)))
        back += [z + _ridge(p) / result.kappa, z + features * result.kappa / result.gamma]
    return np.array(back)


def _kernel(p: Problem) -> Array:
    """Kernel eigenframework: (sigma^2 + sum (kappa/(e+kappa))^2 v^2) n / (n - q), and its training error."""
    pop = population(p)
    kappa = implicit_ridge(pop, n=POINTS, ridge=_ridge(p))
    e, v = pop.eigenvalues, pop.signal
    q = float(np.sum((e / (e + kappa)) ** 2))
    test = (pop.noise_variance + np.sum((kappa / (e + kappa) * v) ** 2)) * POINTS / (POINTS - q)
    return np.array([test, (_ridge(p) / (POINTS * kappa)) ** 2 * test])


def _many_features(p: Problem) -> Array:
    result = random_feature_error(population(p), n=POINTS, features=10**18, ridge=_ridge(p))
    return np.array([result.test, result.train])


def _best(pop: Population, n: int, features: int) -> float:
    scale = float(pop.eigenvalues.sum())
    grid = scale * np.logspace(-6, 6, 49)
    return min(random_feature_error(pop, n=n, features=features, ridge=float(ridge)).test for ridge in grid)


THEOREMS = (
    Theorem(
        name="two implicit constants",
        source=SOURCE,
        statement=r"n = \sum_i\frac{e_i}{e_i+\gamma} + \frac{\lambda}{\kappa}, \quad "
        r"k = \sum_i\frac{e_i}{e_i+\gamma} + \frac{k\kappa}{\gamma}",
        left=lambda p: np.array([POINTS, FEATURES, POINTS, 2.0 * POINTS]),
        right=_residual_of_the_equations,
        tolerance=1e-9,
        assumptions=(SOMETHING_TO_LEARN,),
    ),
    Theorem(
        name="the error of ridge regression on random features",
        source=SOURCE,
        statement=r"E = \frac{\sum_i[\frac{\gamma}{e_i+\gamma} - \frac{\kappa e_i}{(e_i+\gamma)^2}\frac{k}{k-q}]v_i^2 "
        r"+ \sigma^2}{1 - \frac{q(k-2z)+z^2}{n(k-q)}}, \quad E_{\mathrm{train}} = \left(\frac{\lambda}{n\kappa}\right)^2 E",
        left=lambda p: _simulated(p).mean,
        right=_predicted,
        tolerance=lambda p: spread(_simulated(p), POINTS // 2),
        assumptions=(SOMETHING_TO_LEARN, ASYMPTOTIC),
        simulated=True,
        by_entry=True,
    ),
    Theorem(
        name="many features are the kernel",
        source=SOURCE,
        statement=r"k \to \infty: \quad "
        r"E \to \frac{n}{n - q}\left(\sum_i\left(\tfrac{\kappa}{e_i+\kappa}\right)^2 v_i^2 + \sigma^2\right)",
        left=_kernel,
        right=_many_features,
        tolerance=1e-5,
        assumptions=(SOMETHING_TO_LEARN,),
        figure="proportional_asymptotics",
    ),
    Theorem(
        name="the kernel limit is round 0 of a chain",
        source=SOURCE,
        statement=r"E = R(\lambda, \lambda)",
        left=lambda p: _kernel(p)[:1],
        right=lambda p: risk(population(p), n=POINTS, ridge=_ridge(p)),
        tolerance=1e-10,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
    ),
    Theorem(
        name="more is better at the best ridge",
        source=SOURCE,
        statement=r"\min_\lambda E(n', k') \le \min_\lambda E(n, k) \text{ for } n' \ge n,\ k' \ge k",
        left=lambda p: np.array([_best(population(p), 2 * POINTS, FEATURES), _best(population(p), POINTS, 2 * FEATURES)]),
        right=lambda p: np.full(2, _best(population(p), POINTS, FEATURES)),
        tolerance=1e-3,  # of a grid of ridges
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
    ),
)
