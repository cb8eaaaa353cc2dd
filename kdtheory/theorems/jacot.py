r"""Jacot, Gabriel & Hongler (2018): neural tangent kernel. Least-squares training of a linear model is a filter.

These statements hold for any kernel; that of a wide network's training is its neural tangent kernel.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from kdtheory.checks import Array
from kdtheory.dynamics import Initialisation, WideNetwork
from kdtheory.filters import GradientDescent, GradientFlow
from kdtheory.problem import Problem
from kdtheory.theorems.naive import LABELS_SEEN, SOMETHING_TO_LEARN
from kdtheory.theorems.statement import Assumption, Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Jacot, Gabriel & Hongler", 2018, "1806.07572")
POINTS = 100
TIME = 2.0  # in units of the fastest direction's
STEPS = 80
NETWORKS = 4
WEIGHTS = (0.7, 1.0)


def _by_matrix_exponential(p: Problem) -> Array:
    """k times the integral of exp(-sK) y up to time 1 / ridge."""
    small = p.first(POINTS)
    _, M = _flow_matrices(small.gram, np.concatenate([small.gram, small.cross]), 1.0 / small.ridge)
    return np.asarray(M @ small.y)


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


def _halves(p: Problem) -> tuple[Problem, Array, Array]:
    """The first half of the points as a problem; kernel values of the second half with the first, and with itself."""
    small = p.first(POINTS)
    k = (small.n + 1) // 2
    return small.first(k), small.gram[k:, :k], small.gram[k:, k:]


def _flow_matrices(K: Array, k: Array, time: float) -> tuple[Array, Array]:
    """exp(-tK), and k times its integral from 0 to t, from one block exponential."""
    n = len(K)
    block = np.zeros((2 * n, 2 * n))
    block[:n, :n], block[:n, n:] = -time * K, np.eye(n)
    flow = scipy.linalg.expm(block)
    return flow[:n, :n], time * k @ flow[:n, n:]


def _wide(p: Problem) -> tuple[WideNetwork, float]:
    """Linear networks with standard normal parameters: prior covariance and tangent kernel are both the problem's."""
    half, cross, new = _halves(p)
    return WideNetwork(half.spectrum, half.gram, cross, cross, new), TIME / float(half.spectrum.eigenvalues[0])


def _spread_of_linear_networks(p: Problem) -> Array:
    """Covariance at new points of networks trained from standard normal parameters, in parameter space."""
    half = _halves(p)[0]
    features = p.first(POINTS).spectrum
    phi = features.eigenvectors * np.sqrt(features.eigenvalues)
    train, new = phi[: half.n], phi[half.n :]
    time = TIME / half.spectrum.eigenvalues[0]
    kept = new @ scipy.linalg.expm(-time * train.T @ train)  # what is left of the initial parameters
    return np.asarray(kept @ kept.T)


def _chain_from(p: Problem, *, fresh: bool) -> Array:
    """Covariance at new points of the second student, each initial function carried through the rounds by itself."""
    half, cross, new = _halves(p)
    left, M = _flow_matrices(half.gram, cross, TIME / float(half.spectrum.eigenvalues[0]))
    prior = np.block([[half.gram, cross.T], [cross, new]])
    start = np.eye(len(prior))
    first, second = start[: half.n], start[half.n :]
    zero = np.zeros_like(first)
    total = np.zeros((len(new), len(new)))
    for s in range(3 if fresh else 1):
        taught = zero  # at the training points, before round 0: labels are the same for all networks
        for t in range(3):
            f, f_new = (first, second) if (t == s or not fresh) else (zero, np.zeros_like(second))
            target = WEIGHTS[t - 1] * taught if t else zero
            taught, seen = target + left @ (f - target), f_new + M @ (target - f)
        total += seen @ prior @ seen.T
    return np.asarray(total)


def _chain_by_law(p: Problem, initialisation: Initialisation) -> Array:
    net, time = _wide(p)
    return net.distilled(_halves(p)[0].y, GradientFlow(time), WEIGHTS, initialisation=initialisation)[-1].covariance


def _missing_shares(p: Problem) -> Array:
    """What Euler steps leave of each eigendirection of the labels' space, from the leading one down."""
    small = p.first(POINTS)
    d1 = small.spectrum.eigenvalues[0]
    step = np.eye(small.n) - small.gram / (STEPS * d1)
    left = np.linalg.matrix_power(step, int(TIME * STEPS))
    return np.asarray(np.diag(small.spectrum.eigenvectors.T @ left @ small.spectrum.eigenvectors))


def _energies(p: Problem, times: tuple[float, ...]) -> Array:
    small = p.first(POINTS)
    d1 = small.spectrum.eigenvalues[0]
    return np.array([np.sum(small.spectrum.residual(GradientFlow(t / d1), small.y) ** 2) for t in times])


def _top(p: Problem) -> float:
    return float(p.first(POINTS).spectrum.eigenvalues[0])


def _few(p: Problem) -> str:
    half = (min(p.n, POINTS) + 1) // 2
    if p.n < 2 or half == p.n:
        return "a single point has no other"
    return (
        ""
        if np.trace(p.gram[:half, :half]) > 1e-10 * np.trace(p.gram)
        else "the kernel is zero on the first half of the points"
    )


SEVERAL = Assumption("points on which the kernel is not zero, and others", _few)

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
        name="leading components are learned first",
        source=SOURCE,
        statement=r"d_i \ge d_j \implies \frac{\langle u_i, y - f_t\rangle}{\langle u_i, y\rangle} = e^{-td_i} \le e^{-td_j}",
        left=lambda p: _missing_shares(p)[:-1],
        right=lambda p: _missing_shares(p)[1:],
        tolerance=1e-10,
        assumptions=(SOMETHING_TO_LEARN, SEVERAL),
        at_most=True,
        figure="removed_directions",
    ),
    Theorem(
        name="gradient descent is a power in the eigenbasis",
        source=SOURCE,
        statement=r"f_{k+1} = f_k - \eta K(f_k - y) \implies y - f_k = (I - \eta K)^k y",
        left=_missing_shares,
        right=lambda p: GradientDescent(1.0 / (STEPS * _top(p)), int(TIME * STEPS)).residual(
            p.first(POINTS).spectrum.eigenvalues
        ),
        tolerance=1e-10,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
    ),
    Theorem(
        name="the spread of the trained ensemble",
        source=SOURCE,
        statement=r"\operatorname{Cov} f_t(x) = \Sigma_{xx} - M\Sigma_{Xx} - \Sigma_{xX}M^\top + M\Sigma_{XX}M^\top, \quad "
        r"M = k(x)^\top\int_0^t e^{-sK}\,ds",
        left=_spread_of_linear_networks,
        right=lambda p: _wide(p)[0].trained(_halves(p)[0].y, GradientFlow(_wide(p)[1])).covariance,
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        assumptions=(SOMETHING_TO_LEARN, SEVERAL),
    ),
    Theorem(
        name="fresh students hand down their teachers' initial functions",
        source=SOURCE,
        statement=r"f_t = B_t y + \sum_{s \le t}\Big(\prod_{j=s+1}^{t} w_j A\Big)(I - A) f_0^{(s)}",
        left=lambda p: _chain_from(p, fresh=True),
        right=lambda p: _chain_by_law(p, "fresh"),
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        assumptions=(SOMETHING_TO_LEARN, SEVERAL),
        derived=True,
    ),
    Theorem(
        name="students from one initialisation keep one initial function",
        source=SOURCE,
        statement=r"f_t = f_0 + B_t(y - f_0)",
        left=lambda p: _chain_from(p, fresh=False),
        right=lambda p: _chain_by_law(p, "same"),
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding,
        assumptions=(SOMETHING_TO_LEARN, SEVERAL),
        derived=True,
    ),
)
