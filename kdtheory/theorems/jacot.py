r"""Jacot, Gabriel & Hongler (2018): neural tangent kernel. Least-squares training of a linear model is a filter.

These statements hold for any kernel; that of a wide network's training is its neural tangent kernel.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from kdtheory.checks import Array
from kdtheory.filters import GradientFlow, Ridge
from kdtheory.problem import Problem
from kdtheory.theorems.naive import LABELS_SEEN, SOMETHING_TO_LEARN, solve
from kdtheory.theorems.statement import Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Jacot, Gabriel & Hongler", 2018, "1806.07572")
POINTS = 100
TIME = 2.0  # in units of the fastest direction's
STEPS = 80
NETWORKS = 4


def _by_matrix_exponential(p: Problem) -> Array:
    """k times the integral of exp(-sK) y up to time 1 / ridge, from one block exponential."""
    small = p.first(POINTS)
    n, t = small.n, 1.0 / small.ridge
    block = np.zeros((2 * n, 2 * n))
    block[:n, :n], block[:n, n:] = -t * small.gram, np.eye(n)
    flow = scipy.linalg.expm(block)
    coefficients = t * flow[:n, n:] @ small.y
    return np.concatenate([small.gram @ coefficients, small.cross @ coefficients])


def _by_filter(p: Problem) -> Array:
    small = p.first(POINTS)
    flow = GradientFlow(1.0 / small.ridge)
    return np.concatenate([small.spectrum.fit(flow, small.y), small.spectrum.predict(flow, small.y, small.cross)])


def _features(p: Problem) -> tuple[Array, Array]:
    """Feature maps of training and held-out points whose products are the kernel's."""
    s = p.spectrum
    held = s.eigenvalues > 1e-20 * s.eigenvalues[0]
    root = np.sqrt(s.eigenvalues[held])
    return np.asarray(s.eigenvectors[:, held] * root), np.asarray(p.cross @ s.eigenvectors[:, held] / root)


def _trained_ensemble(p: Problem) -> Array:
    """Mean prediction of linear networks with parameters drawn around zero and trained on the squared loss."""
    small = p.first(POINTS)
    train, new = _features(small)
    rng, points = np.random.default_rng(0), np.concatenate([train, new])
    total = np.zeros((len(points), small.y.shape[1]))
    step = TIME / (small.spectrum.eigenvalues[0] * STEPS)
    for _ in range(NETWORKS):
        start = rng.normal(size=(train.shape[1], small.y.shape[1])) * np.linalg.norm(small.y) / np.linalg.norm(train)
        for theta in (start, -start):  # pairs make the mean of the initial functions exactly zero
            total += points @ _runge_kutta(train, small.y, theta, step)
    return np.asarray(total / (2 * NETWORKS))


def _runge_kutta(train: Array, y: Array, theta: Array, step: float) -> Array:
    def slope(at: Array) -> Array:
        return np.asarray(train.T @ (y - train @ at))

    for _ in range(STEPS):
        a = slope(theta)
        b = slope(theta + step / 2 * a)
        c = slope(theta + step / 2 * b)
        d = slope(theta + step * c)
        theta = theta + step / 6 * (a + 2 * b + 2 * c + d)
    return theta


def _flow(p: Problem) -> Array:
    small = p.first(POINTS)
    flow = GradientFlow(TIME / small.spectrum.eigenvalues[0])
    return np.concatenate([small.spectrum.fit(flow, small.y), small.spectrum.predict(flow, small.y, small.cross)])


def _energies(p: Problem, times: tuple[float, ...]) -> Array:
    small = p.first(POINTS)
    d1 = small.spectrum.eigenvalues[0]
    return np.array([np.sum(small.spectrum.residual(GradientFlow(t / d1), small.y) ** 2) for t in times])


def _filters_at(p: Problem, *, flow: bool) -> Array:
    d = p.spectrum.eigenvalues
    return GradientFlow(1.0 / p.ridge).fit(d) if flow else Ridge(p.ridge).fit(d)


THEOREMS = (
    Theorem(
        name="gradient flow is a filter in the eigenbasis",
        source=SOURCE,
        statement=r"\dot f = -K(f - y),\ f_0 = 0: \quad f_t = (I - e^{-tK})y, \quad "
        r"f_t(x) = k(x)^\top\int_0^t e^{-sK}\,ds\; y",
        left=_by_matrix_exponential,
        right=_by_filter,
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        assumptions=(SOMETHING_TO_LEARN,),
    ),
    Theorem(
        name="the mean of the trained ensemble starts from zero",
        source=SOURCE,
        statement=r"\mathbb E f_0 = 0 \implies \mathbb E f_t(x) = k(x)^\top\int_0^t e^{-sK}\,ds\; y",
        left=_trained_ensemble,
        right=_flow,
        tolerance=1e-7,  # of a fourth-order integration
        assumptions=(SOMETHING_TO_LEARN, LABELS_SEEN),
    ),
    Theorem(
        name="the training loss falls along the flow",
        source=SOURCE,
        statement=r"s \le t \implies |y - f_t| \le |y - f_s|",
        left=lambda p: _energies(p, (0.5, 1.0, 10.0, 1000.0)),
        right=lambda p: _energies(p, (0.0, 0.5, 1.0, 10.0)),
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
    ),
    Theorem(
        name="stopping at time 1 / ridge shrinks less than the ridge",
        source=SOURCE,
        statement=r"\frac{d}{d + \lambda} \le 1 - e^{-d/\lambda}",
        left=lambda p: np.diag(p.spectrum.eigenvectors.T @ p.gram @ solve(p.gram, p.spectrum.eigenvectors, p.ridge)),
        right=lambda p: _filters_at(p, flow=True),
        assumptions=(SOMETHING_TO_LEARN,),
        at_most=True,
        derived=True,
    ),
)
