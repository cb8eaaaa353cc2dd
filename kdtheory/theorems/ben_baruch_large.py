r"""Pruning many points: random subsets in the limit, rules that select rows, and held-out errors without refits.

The population is made from the problem as for the deterministic equivalents; the laws of selection are those of least
squares with Gaussian noise. Derived in kdtheory. Here m of n points are kept, f is their share, and the other letters are
those of kdtheory.random_subset.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from kdtheory.asymptotics import implicit_ridge, pruned_risk_curves, two_point_risk
from kdtheory.checks import Array
from kdtheory.problem import Problem
from kdtheory.pruned_leave_one_out import held_out_pairs
from kdtheory.pruned_students import KeptStudent, Teacher
from kdtheory.risk_curves import RiskCurves
from kdtheory.selection import excess_over_random, gap_ratio, kept_noise_share, variance_inflation
from kdtheory.theorems.naive import (
    ASYMPTOTIC,
    SOMETHING_TO_LEARN,
    Samples,
    Simulated,
    half_learned,
    population,
    ridge_fits,
    simulate,
    solve,
    spread,
)
from kdtheory.theorems.statement import Assumption, Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Ben-Baruch, Botach, Kviatkovsky, Aggarwal & Medioni", 2025, "2403.07854")
POINTS, KEPT = 120, (120, 72, 36)
WEIGHTS = np.array([0.0, 0.5, 1.0])
SHARES = np.array([0.2, 0.4, 0.7])
FEW, OWN = 24, 3.0  # points of which every one is left out; the teacher's ridge, relative to the student's
ROWS, FEATURES, DRAWS = 800, 3, 5000  # of the least-squares simulation


def _ridges(p: Problem) -> tuple[float, float]:
    """Absolute, of the student and of the teacher."""
    level = half_learned(population(p), POINTS)
    return 0.5 * level, level


@functools.lru_cache(maxsize=4)
def _simulated(p: Problem) -> Simulated:
    """Excess risk of students on the first rows of samples, teachers on all rows, by linear solves."""
    own, other = _ridges(p)

    def measure(samples: Samples) -> list[Array]:
        X, y = samples.labelled()
        heard = np.einsum("bnp,bp->bn", X, ridge_fits(X, y, other))
        mixed = [(m, (1 - w) * y + w * heard) for m in KEPT for w in WEIGHTS.tolist()]
        return [samples.excess(ridge_fits(X[:, :m], labels[:, :m], own)) for m, labels in mixed]

    return simulate(population(p), measure, points=POINTS, seed=2)


def _curves(p: Problem, kept: int = POINTS) -> RiskCurves:
    own, other = _ridges(p)
    share = kept / POINTS
    return pruned_risk_curves(
        population(p), n=POINTS, keep_fraction=share, ridge=own, teacher_ridge=other, ridge_convention="absolute"
    )


def _predicted(p: Problem) -> Array:
    return np.concatenate([_curves(p, m)(WEIGHTS) for m in KEPT]) - population(p).noise_variance


def _by_partial_fractions(p: Problem) -> Array:
    """On all rows a student is a combination of ridge regressions at its own and at its teacher's ridge."""
    own, other = _ridges(p)
    R = two_point_risk(population(p), n=POINTS, ridges=[own, other])
    taught = np.array([-own, other]) / (other - own)
    mixed = np.array([(1 - w) * np.array([1.0, 0.0]) + w * taught for w in WEIGHTS])
    return np.asarray(np.einsum("wi,ij,wj->w", mixed, R, mixed))


def _added_by_pruning(p: Problem) -> Array:
    """Vertex of what a subset adds to the fit of all rows at the same implicit ridge."""
    pop, (own, other) = population(p), _ridges(p)
    kappa = implicit_ridge(pop, n=POINTS, ridge=own)
    freedom = float(np.sum(pop.eigenvalues / (pop.eigenvalues + kappa)))
    vertices = []
    for m in KEPT[1:]:
        pruned = pruned_risk_curves(
            pop,
            n=POINTS,
            keep_fraction=m / POINTS,
            ridge=max(kappa * (m - freedom), 0.0),
            teacher_ridge=other,
            ridge_convention="absolute",
        )
        vertices.append((pruned + _curves(p).scaled(-1.0)).vertex if m > freedom else np.inf)
    return np.array([v for v in vertices if np.isfinite(v)] or [1.0])


@functools.lru_cache(maxsize=1)
def _least_squares() -> tuple[Array, Array]:
    """Least-squares fits of all rows (draws, p); what random, hardest and easiest rows move them by, (draws, shares, 3, p)."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(DRAWS, ROWS, FEATURES)), rng.normal(size=(DRAWS, ROWS))
    full = ridge_fits(X, y, 0.0)
    hardest = np.argsort(-np.abs(y - np.einsum("bnp,bp->bn", X, full)), axis=1)
    orders = (np.broadcast_to(np.arange(ROWS), hardest.shape), hardest, hardest[:, ::-1])

    def fit(rows: NDArray[np.intp]) -> Array:
        return ridge_fits(np.take_along_axis(X, rows[:, :, None], axis=1), np.take_along_axis(y, rows, axis=1), 0.0)

    moved = [[fit(order[:, : round(share * ROWS)]) - full for order in orders] for share in SHARES.tolist()]
    return full, np.moveaxis(np.array(moved), 2, 0)


def _excess_ratios() -> tuple[Array, Array]:
    """Hardest and easiest over random, (2, shares), and their relative standard errors."""
    excess = np.sum(_least_squares()[1] ** 2, axis=3)
    mean, error = excess.mean(axis=0).T, excess.std(axis=0).T / np.sqrt(DRAWS)
    relative = error / mean
    return mean[1:] / mean[0], np.asarray(np.hypot(relative[1:], relative[0]))


def _gaps(weights: Array) -> Array:
    """Gap of the excess risks of random and hardest rows at the smallest share, relative to that at weight zero."""
    full, moved = _least_squares()
    mixed = full[:, None, None] + (1 - np.append(0.0, weights))[:, None] * moved[:, 0, :2, None]
    random, hardest = np.sum(mixed**2, axis=3).mean(axis=0)
    return np.asarray((hardest - random)[1:] / (hardest - random)[0])


@functools.lru_cache(maxsize=len(SHARES))
def _tail_mean_square(share: float) -> float:
    """Mean square of the largest share of normal values, from a fine grid of their quantiles."""
    u = (np.arange(2_000_000) + 0.5) / 2_000_000
    return float(np.mean(ndtri(share * u / 2) ** 2))


@functools.lru_cache(maxsize=1)
def _noisy_among_the_kept() -> Array:
    """One row in twenty is wrong by far: counted among those of largest residual."""
    rng = np.random.default_rng(1)
    wrong = np.arange(20_000) < 1_000
    residual = np.abs(rng.normal(size=20_000)) + 1e6 * wrong
    order = np.argsort(-residual)
    return np.array([wrong[order[: round(share * 20_000)]].mean() for share in (0.02, *SHARES.tolist())])


def _left_out(p: Problem) -> Array:
    """Errors of both students at each point in turn, teacher and student refitted without it."""
    small, rows = p.first(FEW), []
    kept = np.arange(max(1, small.n // 2))
    for i in range(small.n):
        seen, own = np.delete(np.arange(small.n), i), kept[kept != i]
        heard = small.gram[np.ix_(own, seen)] @ solve(small.gram[np.ix_(seen, seen)], small.y[seen], OWN * small.ridge)
        inner = small.gram[np.ix_(own, own)]
        fits = [small.gram[i, own] @ solve(inner, targets, small.ridge) for targets in (small.y[own], heard)]
        rows.append([small.y[i] - fit for fit in fits])
    return np.array(rows)


def _left_out_closed(p: Problem) -> Array:
    small = p.first(FEW)
    kept = np.arange(max(1, small.n // 2))
    teacher = Teacher.ridge(small.gram, ridge=OWN * small.ridge, ridge_convention="absolute")
    (pair,) = held_out_pairs(KeptStudent.of(small.gram, kept), small.y, teacher, np.array([small.ridge]))
    return np.stack([small.y - pair.on_labels, small.y - pair.on_labels - pair.change], axis=1)


def _limit_spread(p: Problem) -> float:
    return spread(_simulated(p), KEPT[-1])


HALVES = Assumption("at least four points, half of them kept", lambda p: "" if p.n >= 4 else "fewer than four points")

THEOREMS = (
    Theorem(
        name="leave-one-out of teacher and student",
        source=SOURCE,
        statement=r"g^{(i)} = g - G_{\cdot i}\tfrac{y_i - g_i}{1 - G_{ii}},\quad "
        r"\hat y^{(-i)} = k_{iF}M g^{(i)}_F\ (i \notin F),\ g^{(i)}_i - [Mg^{(i)}_F]_i/M_{ii}\ (i \in F)",
        left=_left_out,
        right=_left_out_closed,
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        assumptions=(SOMETHING_TO_LEARN, HALVES),
        derived=True,
        figure="plan_check",
    ),
    Theorem(
        name="the risk of a student on a random subset",
        source=SOURCE,
        statement=r"R_m(w) = |\varepsilon + w\tau\,d\varepsilon|^2 + C|\varepsilon + w\tfrac{\tau}{\kappa_t}"
        r"(\kappa\,d\varepsilon - \varepsilon)|^2,\quad C = \frac{1 - \frac1n\sum s^2}{1 - \frac1m\sum s^2} - 1",
        left=lambda p: _simulated(p).mean,
        right=_predicted,
        tolerance=_limit_spread,
        assumptions=(SOMETHING_TO_LEARN, ASYMPTOTIC),
        derived=True,
        simulated=True,
        by_entry=True,
        figure="pruning_phase",
    ),
    Theorem(
        name="the limit on all rows by partial fractions",
        source=SOURCE,
        statement=r"m = n \implies R(w) = c^\top R(\lambda_i, \lambda_j)\,c,\quad "
        r"c = (1-w)(1, 0) + \tfrac{w}{\lambda_t - \lambda_s}(-\lambda_s, \lambda_t)",
        left=_by_partial_fractions,
        right=lambda p: np.asarray(_curves(p)(WEIGHTS)),
        tolerance=1e-9,
        assumptions=(SOMETHING_TO_LEARN, ASYMPTOTIC),
        derived=True,
        figure="pruning_phase",
    ),
    Theorem(
        name="what pruning adds is least at a weight of at least one",
        source=SOURCE,
        statement=r"\mathrm{argmin}_w\,|\varepsilon + w\tfrac{\tau}{\kappa_t}(\kappa\,d\varepsilon - \varepsilon)|^2 \ge 1",
        left=lambda p: np.ones(len(_added_by_pruning(p))),
        right=_added_by_pruning,
        tolerance=1e-6,
        assumptions=(SOMETHING_TO_LEARN, ASYMPTOTIC),
        at_most=True,
        derived=True,
        figure="pruning_phase",
    ),
    Theorem(
        name="hard rows inflate the variance",
        source=SOURCE,
        statement=r"g(f) = E[e^2 : |e| > q] = 1 + 2q\varphi(q)/f,\quad q = \Phi^{-1}(1 - f/2)",
        left=lambda p: np.array([_tail_mean_square(share) for share in SHARES.tolist()]),
        right=lambda p: np.asarray(variance_inflation(SHARES)),
        tolerance=1e-5,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        by_entry=True,
        figure="hard_or_random",
    ),
    Theorem(
        name="hard against random rows",
        source=SOURCE,
        statement=r"\frac{E|\hat\theta_{\rm hard} - \hat\theta|^2}{E|\hat\theta_{\rm random} - \hat\theta|^2} "
        r"= g(f)\frac{1 - f g(f)}{1 - f}",
        left=lambda p: _excess_ratios()[0],
        right=lambda p: np.array([excess_over_random(SHARES), excess_over_random(SHARES, rule="easiest")]),
        tolerance=lambda p: float(4 * _excess_ratios()[1].max() + FEATURES / (SHARES[0] * ROWS)),
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        simulated=True,
        by_entry=True,
        figure="hard_or_random",
    ),
    Theorem(
        name="equal noise: the gap between two rules shrinks as (1 - w)^2",
        source=SOURCE,
        statement=r"\frac{R_{\rm rule}(w) - R_{\rm random}(w)}{R_{\rm rule}(0) - R_{\rm random}(0)} = (1 - w)^2",
        left=lambda p: _gaps(np.array([0.25, 0.5, 0.75])),
        right=lambda p: np.asarray(gap_ratio([0.25, 0.5, 0.75])),
        tolerance=0.05,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        simulated=True,
        figure="selection_gap",
    ),
    Theorem(
        name="wrong labels gather among hard rows",
        source=SOURCE,
        statement=r"\rho_{\rm kept} = \min(1, \rho/f)",
        left=lambda p: _noisy_among_the_kept(),
        right=lambda p: np.asarray(kept_noise_share([0.02, *SHARES], noisy_share=0.05)),
        tolerance=1e-6,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
        figure="hard_or_random",
    ),
)
