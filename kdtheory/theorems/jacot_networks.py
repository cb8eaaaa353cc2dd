r"""Jacot, Gabriel & Hongler (2018): the kernels of wide networks. Finite networks, drawn at random, have them on average.

The networks' inputs are feature vectors of the problem: points whose scalar products are its kernel matrix.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import ndtr

from kdtheory import kernels
from kdtheory.checks import Array
from kdtheory.problem import Problem
from kdtheory.theorems.naive import SOMETHING_TO_LEARN, Simulated
from kdtheory.theorems.statement import Assumption, Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Jacot, Gabriel & Hongler", 2018, "1806.07572")
POINTS = 10
BIAS = 0.1  # bias variance
WIDTH, NETWORKS = 200, 400
NODES, WEIGHTS = hermegauss(100)
APART = 1e-2  # least distance of points on the unit sphere for a spectrum that rounding does not hide


def _inputs(p: Problem) -> Array:
    """Feature vectors of the first points, of mean square at most one per feature."""
    s = p.first(POINTS).spectrum
    X = s.eigenvectors * np.sqrt(s.eigenvalues)
    return np.asarray(X * np.sqrt(X.shape[1] / np.sum(X**2, axis=1).max()))


def _gelu(u: Array) -> tuple[Array, Array]:
    """The activation and its derivative."""
    density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
    return u * ndtr(u), ndtr(u) + u * density


def _expectations(sigma: Array) -> tuple[Array, Array]:
    """E[s(u)s(v)] and E[s'(u)s'(v)] for every pair of points, by two-dimensional quadrature."""
    value, slope = np.empty_like(sigma), np.empty_like(sigma)
    for i, j in zip(*np.triu_indices(len(sigma)), strict=True):
        root, k = float(np.sqrt(sigma[i, i])), float(sigma[i, j])  # BIAS keeps every variance above zero
        rest = float(np.sqrt(np.maximum(sigma[j, j] - k * k / sigma[i, i], 0.0)))
        (f, df), (g, dg) = _gelu(root * NODES[:, None]), _gelu(k / root * NODES[:, None] + rest * NODES)
        value[i, j] = value[j, i] = WEIGHTS @ (f * g) @ WEIGHTS / (2 * np.pi)
        slope[i, j] = slope[j, i] = WEIGHTS @ (df * dg) @ WEIGHTS / (2 * np.pi)
    return value, slope


@functools.lru_cache(maxsize=4)
def _recursion(p: Problem) -> tuple[Array, Array]:
    """Covariance and tangent kernel of a network with two hidden GELU layers, layer by layer."""
    X = _inputs(p)
    sigma = X @ X.T / X.shape[1] + BIAS
    theta = sigma
    for _ in range(2):
        value, slope = _expectations(sigma)
        sigma = value + BIAS
        theta = theta * slope + sigma
    return sigma, theta


def _closed(p: Problem) -> dict[str, Array]:
    how = {"depth": 2, "activation": "gelu", "weight_variance": 1.0, "bias_variance": BIAS}
    return {"nngp": kernels.nngp(_inputs(p), **how), "ntk": kernels.ntk(_inputs(p), **how)}  # type: ignore[arg-type]


@functools.lru_cache(maxsize=4)
def _networks(p: Problem) -> Simulated:
    """Products of parameter gradients of ReLU networks with two hidden layers: mean over networks, and its error."""
    X, rng = _inputs(p).T, np.random.default_rng(0)
    grams = np.empty((NETWORKS, X.shape[1], X.shape[1]))
    for network in range(NETWORKS):
        W = rng.normal(size=(WIDTH, len(X)))
        V = rng.normal(size=(WIDTH, WIDTH))
        first = np.sqrt(2 / len(X)) * W @ X + np.sqrt(BIAS) * rng.normal(size=(WIDTH, 1))
        h = np.maximum(first, 0)
        second = np.sqrt(2 / WIDTH) * V @ h + np.sqrt(BIAS) * rng.normal(size=(WIDTH, 1))
        g = np.maximum(second, 0)
        # backpropagation: derivatives of the output by the two layers of preactivations
        back_second = np.sqrt(2 / WIDTH) * rng.normal(size=(WIDTH, 1)) * (second > 0)
        back_first = np.sqrt(2 / WIDTH) * (V.T @ back_second) * (first > 0)
        grams[network] = 2 / WIDTH * g.T @ g + BIAS
        grams[network] += (back_second.T @ back_second) * (2 / WIDTH * h.T @ h + BIAS)
        grams[network] += (back_first.T @ back_first) * (2 / len(X) * X.T @ X + BIAS)
    return Simulated(grams.mean(axis=0), grams.std(axis=0, ddof=1) / np.sqrt(NETWORKS))


def _tolerance(p: Problem) -> float:
    """Five standard errors of the worst entry, and the distance of order 1 / width of the mean from the limit."""
    simulated = _networks(p)
    return float(5 * simulated.error.max() / np.abs(simulated.mean).max()) + 4.0 / WIDTH


def _sphere(p: Problem) -> Array:
    """Inputs on the unit sphere; one feature more than there are keeps opposite and single points apart from zero."""
    X = np.column_stack([_inputs(p), np.full(min(POINTS, p.n), 0.1)])
    return np.asarray(X / np.linalg.norm(X, axis=1)[:, None])


def _too_close(p: Problem) -> str:
    X = _sphere(p)
    gaps = np.linalg.norm(X[:, None] - X, axis=2) + 2 * np.eye(len(X))
    return "" if gaps.min() > APART else "two points lie together on the sphere"


DISTINCT = Assumption("points apart from each other on the sphere", _too_close)


def _least(p: Problem) -> Array:
    K = kernels.ntk(_sphere(p), depth=2, bias_variance=BIAS)
    return np.asarray(np.linalg.eigvalsh(K)[:1])


def _rounding_floor(p: Problem) -> Array:
    K = kernels.ntk(_sphere(p), depth=2, bias_variance=BIAS)
    return np.array([10 * len(K) * np.finfo(float).eps * np.trace(K)])


THEOREMS = (
    Theorem(
        name="the covariance of a wide network, layer by layer",
        source=SOURCE,
        statement=r"\Sigma^{(1)} = \tfrac{1}{n_0}x^\top x' + \beta^2, \quad "
        r"\Sigma^{(l+1)} = \mathbb E_{f \sim N(0, \Sigma^{(l)})}[\sigma(f(x))\sigma(f(x'))] + \beta^2",
        left=lambda p: _recursion(p)[0],
        right=lambda p: _closed(p)["nngp"],
        tolerance=1e-11,  # of a quadrature
        assumptions=(SOMETHING_TO_LEARN,),
    ),
    Theorem(
        name="the tangent kernel of a wide network, layer by layer",
        source=SOURCE,
        statement=r"\Theta^{(1)} = \Sigma^{(1)}, \quad "
        r"\Theta^{(l+1)} = \Theta^{(l)}\,\mathbb E[\dot\sigma(f(x))\dot\sigma(f(x'))] + \Sigma^{(l+1)}",
        left=lambda p: _recursion(p)[1],
        right=lambda p: _closed(p)["ntk"],
        tolerance=1e-11,
        assumptions=(SOMETHING_TO_LEARN,),
    ),
    Theorem(
        name="wide networks have the tangent kernel at initialisation",
        source=SOURCE,
        statement=r"\sum_p \partial_p f(x)\,\partial_p f(x') \to \Theta(x, x') \quad \text{as the widths grow}",
        left=lambda p: _networks(p).mean,
        right=lambda p: kernels.ntk(_inputs(p), depth=2, bias_variance=BIAS),
        tolerance=_tolerance,
        assumptions=(SOMETHING_TO_LEARN,),
        simulated=True,
        figure="width_convergence",
    ),
    Theorem(
        name="the tangent kernel is positive definite on the sphere",
        source=SOURCE,
        statement=r"\lambda_{\min}(\Theta(x_i, x_j)) > 0, \quad |x_i| = 1,\ x_i \ne x_j",
        left=_rounding_floor,
        right=_least,
        assumptions=(SOMETHING_TO_LEARN, DISTINCT),
        at_most=True,
    ),
)
