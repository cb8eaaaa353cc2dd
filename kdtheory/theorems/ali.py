r"""Ali, Kolter & Tibshirani (2019): early stopping. Gradient flow stopped at time 1 / ridge is never far from the ridge.

Their statements are about least squares from zero, so they hold in any kernel's eigenbasis.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from kdtheory.checks import Array
from kdtheory.early_stopping import closest_ridge
from kdtheory.filters import GradientFlow
from kdtheory.problem import Problem
from kdtheory.theorems.naive import DENSE, LABELS_SEEN, SOMETHING_TO_LEARN, expected_risk, smoother, solve
from kdtheory.theorems.statement import Assumption, Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Ali, Kolter & Tibshirani", 2019, "1810.10082")
ABOVE = 1.2985  # the largest (1 - e^-x)(1 + x)/x, rounded up
RISK = 1.6862  # its square, rounded up
GAP = 0.2037  # the largest 1/(1 + x) - e^-x, rounded up


def _ridge_shares(p: Problem) -> Array:
    """What the ridge keeps of each direction, by dense solves."""
    return np.diag(p.spectrum.eigenvectors.T @ p.gram @ solve(p.gram, p.spectrum.eigenvectors, p.ridge))


def _bound(p: Problem) -> Array:
    kept = _ridge_shares(p)
    return np.minimum(ABOVE * kept, kept + GAP)


def _flow_shares(p: Problem) -> Array:
    return GradientFlow(1.0 / p.ridge).fit(p.spectrum.eigenvalues)


def _flow_risk(p: Problem) -> Array:
    small = p.first(DENSE)
    return np.array([expected_risk(small, np.eye(small.n) - scipy.linalg.expm(-small.gram / small.ridge))])


def _closest_gap(p: Problem) -> Array:
    flow = GradientFlow(1.0 / p.ridge)
    match = closest_ridge(p.spectrum, flow, p.y)  # perhaps so small a ridge that no dense solve has digits left
    return np.array([match.error * np.linalg.norm(p.spectrum.fit(flow, p.y))])


def _gap(p: Problem) -> Array:
    flow = p.spectrum.fit(GradientFlow(1.0 / p.ridge), p.y)
    return np.array([np.linalg.norm(flow - p.gram @ solve(p.gram, p.y, p.ridge))])


def _all_learned(p: Problem) -> str:
    d = p.spectrum.eigenvalues
    seen = (d > 0) & (np.sum(p.spectrum.project(p.y) ** 2, axis=1) > 0)
    left = GradientFlow(1.0 / p.ridge).residual(d)[seen]
    return (
        ""
        if left.size and np.max(d[seen] * left) > 1e-290
        else "by that time everything is learned: the closest ridge is zero"
    )


UNFINISHED = Assumption("something is left to learn at that time", _all_learned)

THEOREMS = (
    Theorem(
        name="stopping at time 1 / ridge shrinks less than the ridge",
        source=SOURCE,
        statement=r"\frac{d}{d + \lambda} \le 1 - e^{-d/\lambda}",
        left=_ridge_shares,
        right=_flow_shares,
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
    ),
    Theorem(
        name="and by a bounded amount",
        source=SOURCE,
        statement=r"1 - e^{-d/\lambda} \le \min\!\Big(1.2985\,\frac{d}{d + \lambda},\ \frac{d}{d + \lambda} + 0.2037\Big)",
        left=_flow_shares,
        right=_bound,
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
    ),
    Theorem(
        name="the risk of early stopping is that of the ridge up to 1.6862",
        source=SOURCE,
        statement=r"\mathbb E|f - \hat f_{t = 1/\lambda}|^2 \le 1.6862\;\mathbb E|f - \hat f_\lambda|^2",
        left=_flow_risk,
        right=lambda p: RISK * np.array([expected_risk(p.first(DENSE), smoother(p.first(DENSE)))]),
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
    ),
    Theorem(
        name="the closest ridge is at least as close as 1 / time",
        source=SOURCE,
        statement=r"\min_\lambda |\hat f_t - \hat f_\lambda| \le |\hat f_t - \hat f_{1/t}|",
        left=_closest_gap,
        right=_gap,
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        assumptions=(SOMETHING_TO_LEARN, LABELS_SEEN, UNFINISHED),
        at_most=True,
        derived=True,
    ),
)
