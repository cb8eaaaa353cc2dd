r"""Ildiz et al. (2025): high-dimensional analysis of knowledge distillation: weak-to-strong generalisation and scaling laws.

A student on fresh points learns best from labels that are not the truth: strong directions amplified, weak ones dropped. The
population is made from the problem: the leading eigenvalues of its kernel matrix, and its signal in them.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from kdtheory.asymptotics import Population, implicit_ridge
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
from kdtheory.theorems.statement import Source, Theorem
from kdtheory.two_stage import optimal_mask, optimal_surrogate, surrogate_risk, two_stage_risk

__all__ = ["THEOREMS"]

SOURCE = Source("Ildiz et al.", 2025, "2410.18837")
MONIRI = Source("Moniri & Hassani", 2025, "2505.18346")
POINTS = 120
FEW = 6  # directions of which every subset is tried


def _ridge(p: Problem) -> float:
    return half_learned(population(p), POINTS)


def _zeta_and_share(pop: Population, ridge: float) -> tuple[Array, float]:
    kappa = implicit_ridge(pop, n=POINTS, ridge=ridge)
    zeta = kappa / (pop.eigenvalues + kappa)
    return zeta, float(np.sum((1 - zeta) ** 2)) / POINTS


def _labellers(p: Problem) -> tuple[Array, Array]:
    """The truth, and one that makes half as much again of every other direction and half of the rest."""
    truth = population(p).signal
    return truth, truth * np.where(np.arange(len(truth)) % 2, 0.5, 1.5)


@functools.lru_cache(maxsize=4)
def _students(p: Problem) -> Simulated:
    """Excess risk of students whose fresh points the truth, or another function, labels, with noise."""

    def measure(samples: Samples) -> list[Array]:
        z, noise = samples.features(), samples.noise()
        X = z * np.sqrt(samples.population.eigenvalues)
        return [samples.excess(ridge_fits(X, z @ labeller + noise, _ridge(p))) for labeller in _labellers(p)]

    return simulate(_noisy(p), measure, points=POINTS, seed=0)


def _noisy(p: Problem) -> Population:
    """The population with as much noise as signal."""
    pop = population(p)
    return Population(pop.eigenvalues, pop.signal, float(np.sum(pop.signal**2)))


def _predicted_students(p: Problem) -> Array:
    return np.array([surrogate_risk(_noisy(p), s, n=POINTS, ridge=_ridge(p)) for s in _labellers(p)])


@functools.lru_cache(maxsize=4)
def _stages(p: Problem) -> Simulated:
    """Teacher on noisy labels, student on as many fresh points with a third of the teacher's ridge; excess risks."""

    def measure(samples: Samples) -> list[Array]:
        teacher = ridge_fits(*samples.labelled(), _ridge(p))
        X = samples.features() * np.sqrt(samples.population.eigenvalues)
        student = ridge_fits(X, np.einsum("bnp,bp->bn", X, teacher), _ridge(p) / 3)
        return [samples.excess(teacher), samples.excess(student)]

    return simulate(_noisy(p), measure, points=POINTS, seed=1)


def _predicted_stages(p: Problem) -> Array:
    how = {"n_teacher": POINTS, "n_student": POINTS}
    return np.array(two_stage_risk(_noisy(p), ridge_teacher=_ridge(p), ridge_student=_ridge(p) / 3, **how))


def _vertices(p: Problem) -> Array:
    """The best surrogate from risks alone: a parabola in each coordinate, by three evaluations."""
    pop = Population(population(p).eigenvalues, population(p).signal, 0.0)  # noise only adds a constant
    step = float(np.abs(pop.signal).max())

    def risk(s: Array) -> float:
        return surrogate_risk(pop, s, n=POINTS, ridge=_ridge(p))

    middle, basis = risk(0 * pop.signal), step * np.eye(len(pop.signal))
    above, below = (np.array([risk(sign * row) for row in basis]) for sign in (1, -1))
    return np.asarray(step * (below - above) / (2 * (above - 2 * middle + below)))


def _amplified(p: Problem) -> tuple[Array, Array]:
    """Signs of what the surrogate adds to the truth, and of 1 - zeta - Omega; left out where either is lost in rounding."""
    pop = population(p)
    zeta, share = _zeta_and_share(pop, _ridge(p))
    ratio = optimal_surrogate(pop, n=POINTS, ridge=_ridge(p))[pop.signal != 0] / pop.signal[pop.signal != 0]
    rule = (1 - zeta - share)[pop.signal != 0]
    clear = (np.abs(rule) > 1e-9) & (np.abs(ratio - 1) > 1e-9)
    return np.append(np.sign(ratio - 1)[clear], 1.0), np.append(np.sign(rule)[clear], 1.0)


def _few(p: Problem) -> Population:
    pop = population(p)
    return Population(pop.eigenvalues[:FEW], pop.signal[:FEW], pop.noise_variance)


def _best_of_all_masks(p: Problem) -> Array:
    """The truth's risk, and the least risk over all subsets of directions."""
    pop = _few(p)
    subsets = itertools.product((0.0, 1.0), repeat=len(pop.signal))
    risks = [surrogate_risk(pop, pop.signal * np.array(kept), n=POINTS, ridge=_ridge(p)) for kept in subsets]
    return np.array([risks[-1], min(risks)])


def _risk_of_mask(p: Problem) -> Array:
    pop = _few(p)
    masks = (np.ones(len(pop.signal)), optimal_mask(pop, n=POINTS, ridge=_ridge(p)))
    return np.array([surrogate_risk(pop, pop.signal * mask, n=POINTS, ridge=_ridge(p)) for mask in masks])


THEOREMS = (
    Theorem(
        name="the risk of a student on a surrogate's labels",
        source=SOURCE,
        statement=r"R = \sum_i((1-\zeta_i)s_i - v_i)^2 + \tfrac{\Omega}{1-\Omega}(\sigma^2 + \sum_i \zeta_i^2 s_i^2), "
        r"\quad \zeta = \tfrac{\kappa}{e + \kappa},\ \Omega = \tfrac1n\sum(1-\zeta)^2",
        left=lambda p: _students(p).mean,
        right=_predicted_students,
        tolerance=lambda p: spread(_students(p), POINTS),
        assumptions=(SOMETHING_TO_LEARN, ASYMPTOTIC),
        derived=True,  # the paper's students have no ridge
        simulated=True,
        by_entry=True,
    ),
    Theorem(
        name="the optimal surrogate",
        source=SOURCE,
        statement=r"s_i = v_i\Big/\left[(1 - \zeta_i) + \tfrac{\Omega}{1 - \Omega}\tfrac{\zeta_i^2}{1 - \zeta_i}\right]",
        left=_vertices,
        right=lambda p: optimal_surrogate(population(p), n=POINTS, ridge=_ridge(p)),
        tolerance=1e-8,  # of parabolas through three risks
        assumptions=(SOMETHING_TO_LEARN, SIGNAL),
    ),
    Theorem(
        name="strong directions are amplified, weak ones shrunk",
        source=SOURCE,
        statement=r"\frac{s_i}{v_i} > 1 \iff 1 - \zeta_i > \Omega",
        left=lambda p: _amplified(p)[0],
        right=lambda p: _amplified(p)[1],
        assumptions=(SOMETHING_TO_LEARN, SIGNAL),
    ),
    Theorem(
        name="the best mask keeps what is worth its variance",
        source=SOURCE,
        statement=r"s_i \in \{0, v_i\}: \quad s_i = v_i \iff 1 - \zeta_i^2 > \Omega",
        left=_best_of_all_masks,
        right=_risk_of_mask,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL),
    ),
    Theorem(
        name="two stages on two samples",
        source=MONIRI,
        statement=r"R_S = \sum_i\left[((1-\zeta_i)m_i - v_i)^2 + (1-\zeta_i)^2 V_i\right] + "
        r"\tfrac{\Omega}{1-\Omega}\sum_i\zeta_i^2(m_i^2 + V_i),"
        r"\quad m = (1-\zeta_T)v,\ V = (1-\zeta_T)^2\frac{\sigma^2 + \sum\zeta_T^2v^2}{n_T(1 - \Omega_T)}",
        left=lambda p: _stages(p).mean,
        right=_predicted_stages,
        tolerance=lambda p: spread(_stages(p), POINTS),
        assumptions=(SOMETHING_TO_LEARN, ASYMPTOTIC),
        derived=True,
        simulated=True,
        by_entry=True,
    ),
)
