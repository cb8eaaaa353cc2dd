r"""Mobahi, Farajtabar & Bartlett (2020): self-distillation amplifies regularisation in Hilbert space.

Pure distillation, without labels after round 0. At a fixed ridge it is a power of the shrinkage; at a fixed training error the
ridge changes in every round, and after finitely many rounds nothing is left.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize

from kdtheory.checks import Array
from kdtheory.constrained import ConstrainedRounds, constrained_rounds
from kdtheory.filters import Distilled
from kdtheory.problem import Problem
from kdtheory.theorems.naive import DENSE, SOMETHING_TO_LEARN, UNEQUAL, fit, positive_eigenvalues, solve
from kdtheory.theorems.statement import Assumption, Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Mobahi, Farajtabar & Bartlett", 2020, "2002.05715")
SHARE = 0.2  # of the labels' mean square, the tolerance where the kernel can reach it


def _tolerance(p: Problem) -> float:
    """Mean squared error allowed per round."""
    return SHARE * float(np.mean(p.y**2))


def _rounds(p: Problem) -> ConstrainedRounds:
    small = p.first(DENSE)
    return constrained_rounds(small.spectrum, small.y, tolerance=_tolerance(small))


def _out_of_reach(p: Problem) -> str:
    small = p.first(DENSE)
    s, allowed = small.spectrum, _tolerance(small) * small.y.size
    z = s.project(small.y)
    missed = float(np.sum(z[s.eigenvalues <= 1e-13 * s.eigenvalues[0]] ** 2) + np.sum(s.outside(small.y) ** 2))
    return f"the kernel cannot fit the labels within {SHARE:.0%} of their mean square" if missed > 0.9 * allowed else ""


REACHABLE = Assumption("the kernel can fit the labels within the tolerance", _out_of_reach)


def _norms_by_solves(p: Problem) -> Array:
    """Each round's ridge by root finding on a dense residual norm; norms of the predictions until collapse."""
    small = p.first(DENSE)
    K, targets = small.gram, small.y
    threshold = np.sqrt(_tolerance(small) * targets.size)
    norms = [float(np.linalg.norm(targets))]
    while norms[-1] > threshold:

        def excess(logarithm: float, targets: Array = targets) -> float:
            ridge = np.exp(logarithm)
            return float(np.linalg.norm(ridge * solve(K, targets, ridge)) / threshold - 1.0)

        high = np.log(np.linalg.norm(K)) + np.log(threshold / (norms[-1] - threshold)) + 1.0
        ridge = np.exp(scipy.optimize.brentq(excess, high - 34.0, high, xtol=1e-13))
        targets = K @ solve(K, targets, ridge)
        norms.append(float(np.linalg.norm(targets)))
    return np.array(norms)


def _brackets(p: Problem) -> Array:
    """c_t / (threshold / (|y| - threshold)), which lies between the extreme eigenvalues."""
    result = _rounds(p)
    return np.asarray(result.ridges * (result.norms[:-1] - result.threshold) / result.threshold)


def _multipliers(p: Problem, count: int = 4) -> Array:
    """Log of the leading over every direction's (d / (d + ridge))^count, by so many divisions."""
    d = positive_eigenvalues(p)
    value = np.ones_like(d)
    for _ in range(count):
        value = d * value / (d + p.ridge)
    return np.asarray(np.log(value[0] / value))


def _root_rounding(p: Problem) -> float:
    """Of a root find on residuals of dense solves, at the smallest ridge among them."""
    largest, ridge = float(p.spectrum.eigenvalues[0]), float(_rounds(p).ridges.min())
    return 1e-8 + 1e3 * float(np.finfo(float).eps) * largest / ridge


def _logarithm_rounding(p: Problem) -> float:
    """Of logarithms of ratios that may be near one."""
    return float(1e-11 + 1e-14 / max(_ratio(p, 3)))


def _ratio(p: Problem, rounds: int) -> Array:
    """Log of the ratio of the multipliers of the leading and of every direction."""
    values = Distilled(p.ridge, [1.0] * rounds).fit(positive_eigenvalues(p))
    return np.asarray(np.log(values[0] / values))


def _least(p: Problem) -> float:
    s = p.first(DENSE).spectrum
    return float(s.eigenvalues[-1]) if s.rank == s.n else 0.0


THEOREMS = (
    Theorem(
        name="pure distillation is a power of the shrinkage",
        source=SOURCE,
        statement=r"w_1 = \dots = w_T = 1:\quad \hat y_T = A^{T+1} y, \quad A = K(K + \lambda I)^{-1}",
        left=lambda p: fit(p, (1.0,) * 3),
        right=lambda p: p.spectrum.apply((p.spectrum.eigenvalues / (p.spectrum.eigenvalues + p.ridge)) ** 4, 0.0, p.y),
        assumptions=(SOMETHING_TO_LEARN,),
        figure="toy_filters",
    ),
    Theorem(
        name="the ratio of two directions is raised to a power",
        source=SOURCE,
        statement=r"\frac{b_T(d_1)}{b_T(d_j)} = \left(\frac{b_0(d_1)}{b_0(d_j)}\right)^{T+1} \text{ for } w = 1",
        left=_multipliers,
        right=lambda p: 4 * _ratio(p, 0),
        tolerance=_logarithm_rounding,
        assumptions=(
            SOMETHING_TO_LEARN,
            UNEQUAL,
        ),
        figure="toy_ratios",
    ),
    Theorem(
        name="pure distillation sparsifies round by round",
        source=SOURCE,
        statement=r"d_1 > d_j:\quad \frac{b_{t}(d_1)}{b_{t}(d_j)} \le \frac{b_{t+1}(d_1)}{b_{t+1}(d_j)}",
        left=lambda p: np.concatenate([_multipliers(p, 1), _multipliers(p, 3)]),
        right=lambda p: np.concatenate([_ratio(p, 1), _ratio(p, 3)]),
        tolerance=_logarithm_rounding,
        assumptions=(SOMETHING_TO_LEARN, UNEQUAL),
        at_most=True,
        figure="toy_ratios",
    ),
    Theorem(
        name="at a fixed training error the ridge follows a secular equation",
        source=SOURCE,
        statement=r"\hat y_t = \prod_{s \le t} K(K + c_s I)^{-1} y, \quad |c_t(K + c_t I)^{-1}\hat y_{t-1}|^2 = n\epsilon",
        left=_norms_by_solves,
        right=lambda p: _rounds(p).norms,
        tolerance=_root_rounding,
        assumptions=(SOMETHING_TO_LEARN, REACHABLE),
    ),
    Theorem(
        name="each constrained ridge lies between scaled eigenvalues",
        source=SOURCE,
        statement=r"d_n \le c_t\,\frac{|\hat y_{t-1}| - \sqrt{n\epsilon}}{\sqrt{n\epsilon}} \le d_1",
        left=lambda p: np.concatenate([np.full(_rounds(p).rounds, _least(p)), _brackets(p)]),
        right=lambda p: np.concatenate([_brackets(p), np.full(_rounds(p).rounds, p.first(DENSE).spectrum.eigenvalues[0])]),
        tolerance=1e-10,
        assumptions=(SOMETHING_TO_LEARN, REACHABLE),
        at_most=True,
    ),
    Theorem(
        name="rounds before collapse",
        source=SOURCE,
        statement=r"T \ge \frac{|y|}{\sqrt{n\epsilon}} - 1, \quad |\hat y_T| \le \sqrt{n\epsilon} < |\hat y_{T-1}|",
        left=lambda p: np.array([np.sqrt(1 / SHARE) - 1, _rounds(p).norms[-1] / _rounds(p).threshold, 1.0]),
        right=lambda p: np.array([_rounds(p).rounds, 1.0, _rounds(p).norms[-2] / _rounds(p).threshold]),
        tolerance=1e-10,
        assumptions=(SOMETHING_TO_LEARN, REACHABLE),
        at_most=True,
        derived=True,  # by the triangle inequality; the paper's bound is smaller
    ),
)
