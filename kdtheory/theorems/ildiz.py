r"""Ildiz et al. (2025): high-dimensional analysis of knowledge distillation: weak-to-strong generalisation and scaling laws.

A student on fresh points learns best from labels that are not the truth: strong directions amplified, weak ones dropped. The
population is made from the problem: the leading eigenvalues of its kernel matrix, and its signal in them.
"""

from __future__ import annotations

import itertools

import numpy as np

from kdtheory.asymptotics import Population, implicit_ridge
from kdtheory.checks import Array
from kdtheory.problem import Problem
from kdtheory.theorems.naive import SOMETHING_TO_LEARN, dual, population
from kdtheory.theorems.statement import Assumption, Source, Theorem
from kdtheory.two_stage import optimal_mask, optimal_surrogate, surrogate_risk, two_stage_risk

__all__ = ["THEOREMS"]

SOURCE = Source("Ildiz et al.", 2025, "2410.18837")
MONIRI = Source("Moniri & Hassani", 2025, "2505.18346")
POINTS = 100
DRAWS = 80
FEW = 6  # directions of which every subset is tried


def _ridge(p: Problem) -> float:
    return p.ridge * POINTS / p.n


def _zeta_and_share(pop: Population, ridge: float) -> tuple[Array, float]:
    kappa = implicit_ridge(pop, n=POINTS, ridge=ridge)
    zeta = kappa / (pop.eigenvalues + kappa)
    return zeta, float(np.sum((1 - zeta) ** 2)) / POINTS


def _simulated_student(p: Problem) -> Array:
    """Excess risk of students whose fresh points the optimal surrogate, or the truth, labels."""
    pop, rng = population(p), np.random.default_rng(0)
    labellers = np.stack([pop.signal, optimal_surrogate(pop, n=POINTS, ridge=_ridge(p))])
    risks = np.zeros(2)
    for _ in range(DRAWS):
        z = rng.normal(size=(POINTS, len(pop.signal)))
        X, noise = z * np.sqrt(pop.eigenvalues), rng.normal(size=POINTS) * np.sqrt(pop.noise_variance)
        for i, labeller in enumerate(labellers):
            risks[i] += float(pop.error(X.T @ dual(X @ X.T, z @ labeller + noise, (), _ridge(p)))) / DRAWS
    return risks


def _predicted_student(p: Problem) -> Array:
    pop = population(p)
    labellers = (pop.signal, optimal_surrogate(pop, n=POINTS, ridge=_ridge(p)))
    return np.array([surrogate_risk(pop, s, n=POINTS, ridge=_ridge(p)) + pop.noise_variance for s in labellers])


def _simulated_stages(p: Problem) -> Array:
    """Teacher on noisy labels, student on fresh points with a third of the teacher's ridge."""
    pop, rng = population(p), np.random.default_rng(1)
    risks = np.zeros(2)
    for _ in range(DRAWS):
        X, y = pop.sample(POINTS, rng)
        teacher = X.T @ dual(X @ X.T, y, (), _ridge(p))
        X, _ = pop.sample(2 * POINTS, rng)
        student = X.T @ dual(X @ X.T, X @ teacher, (), _ridge(p) / 3)
        risks += np.array([float(pop.error(teacher)), float(pop.error(student))]) / DRAWS
    return risks


def _predicted_stages(p: Problem) -> Array:
    pop = population(p)
    how = {"n_teacher": POINTS, "n_student": 2 * POINTS}
    risks = two_stage_risk(pop, ridge_teacher=_ridge(p), ridge_student=_ridge(p) / 3, **how)
    return np.array(risks) + pop.noise_variance


def _optimum_beside_neighbours(p: Problem) -> tuple[Array, Array]:
    """Risk of the surrogate, and of surrogates moved in one direction each."""
    pop = population(p)
    best = optimal_surrogate(pop, n=POINTS, ridge=_ridge(p))
    moved = [best + delta * np.eye(len(best))[i] for i in range(len(best)) for delta in (0.1, -0.1)] + [pop.signal]
    risks = np.array([surrogate_risk(pop, s, n=POINTS, ridge=_ridge(p)) for s in moved])
    return np.full(len(risks), surrogate_risk(pop, best, n=POINTS, ridge=_ridge(p))), risks


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


SIGNAL = Assumption("a signal in the leading directions", lambda p: "" if np.any(_few(p).signal) else "no signal there")

THEOREMS = (
    Theorem(
        name="the risk of a student on a surrogate's labels",
        source=SOURCE,
        statement=r"R = \sum_i((1-\zeta_i)s_i - v_i)^2 + \tfrac{\Omega}{1-\Omega}(\sigma^2 + \sum_i \zeta_i^2 s_i^2), "
        r"\quad \zeta = \tfrac{\kappa}{e + \kappa},\ \Omega = \tfrac1n\sum(1-\zeta)^2",
        left=_simulated_student,
        right=_predicted_student,
        tolerance=0.09,  # of 80 draws at n = 100
        assumptions=(SOMETHING_TO_LEARN, SIGNAL),
        simulated=True,
    ),
    Theorem(
        name="the optimal surrogate",
        source=SOURCE,
        statement=r"s_i = v_i\Big/\left[(1 - \zeta_i) + \tfrac{\Omega}{1 - \Omega}\tfrac{\zeta_i^2}{1 - \zeta_i}\right]",
        left=lambda p: _optimum_beside_neighbours(p)[0],
        right=lambda p: _optimum_beside_neighbours(p)[1],
        assumptions=(SOMETHING_TO_LEARN, SIGNAL),
        at_most=True,
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
        r"\tfrac{\Omega}{1-\Omega}\sum_i\zeta_i^2(m_i^2 + V_i)",
        left=_simulated_stages,
        right=_predicted_stages,
        tolerance=0.09,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL),
        derived=True,
        simulated=True,
    ),
)
