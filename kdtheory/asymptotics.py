r"""Deterministic equivalents: the risk of a chain as the sample grows, from a population and without data.

Features are :math:`x = \Sigma^{1/2} z` with eigenvalues e of :math:`\Sigma`, labels :math:`y = f(x) + \varepsilon`; n
points, :math:`K = XX^\top`, prediction by ridge regression at `ridge` :math:`\lambda` (the sum-of-squares convention: n times
the penalty of the mean loss). The sample acts like a larger, deterministic ridge :math:`\kappa` on the population,

.. math::
    \lambda = \kappa\,(n - \mathrm{df}_1), \qquad \mathrm{df}_1 = \sum_i \frac{e_i}{e_i + \kappa} .

Everything about a chain follows from the expected product of the errors of two ridge regressions on the same sample,

.. math::
    R(\lambda_1, \lambda_2) = \frac{\sigma^2 + \kappa_1\kappa_2 \sum_i v_i^2/((e_i + \kappa_1)(e_i + \kappa_2))}
                                   {1 - \tfrac1n \sum_i e_i^2/((e_i + \kappa_1)(e_i + \kappa_2))},

because a chain is a combination of ridge regressions with weights that sum to one; rounds at the same ridge are the
derivatives of R, taken here from its values on a circle around :math:`\lambda` in the complex plane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import comb

from kdtheory.checks import Array, positive, schedule, whole
from kdtheory.filters import Distilled
from kdtheory.parabola import RiskCurve
from kdtheory.population import Population, implicit_ridge
from kdtheory.random_subset import best_ridge, pruned_risk_curves

__all__ = ["Population", "best_ridge", "implicit_ridge", "pruned_risk_curves", "risk", "risk_curve", "two_point_risk"]

Complex = NDArray[np.complex128]
#: Radius of the circle around the ridge, relative, and points on it; the nearest singularity is at ridge 0, so that
#: the error is radius ** nodes. Few derivatives need a small circle, many a large one, or rounding is amplified.
FEW, MANY = (0.5, 64), (0.8, 192)


def two_point_risk(population: Population, *, n: int, ridges: ArrayLike, test_eigenvalues: ArrayLike | None = None) -> Array:
    r"""Expected product of the errors of two ridge regressions on one sample, :math:`R(\lambda_i, \lambda_j)`.

    Parameters
    ----------
    population : Population
    n : int
    ridges : (L,) array
        Positive.
    test_eigenvalues : (p,) array, optional
        Eigenvalues of the covariance where the error is measured, in the same eigenbasis, if it is another one.

    Returns
    -------
    (L, L) array
        Symmetric and positive semi-definite; its diagonal is the risk of ridge regression, noise of the new label included.

    Raises
    ------
    ValueError
        If a ridge is not positive.

    References
    ----------
    Dang, Patil & Rinaldo (2026), arXiv:2602.17565, treat the pair (ridge regression, one pure round); the two-point form and
    the chains that follow from it are derived in kdtheory and checked by simulation.

    Examples
    --------
    >>> white = Population(np.ones(50), np.full(50, 0.1), 0.5)
    >>> two_point_risk(white, n=100, ridges=[10.0, 30.0]).round(4)
    array([[0.8018, 0.7394],
           [0.7394, 0.7184]])
    """
    n, lam = whole(n, "n", least=1), schedule(ridges, "ridges", above_zero=True)
    kappas = np.array([implicit_ridge(population, n=n, ridge=ridge) for ridge in lam.tolist()])
    test = None if test_eigenvalues is None else schedule(test_eigenvalues, "test_eigenvalues")
    return np.asarray(_two_point(population, n, kappas, test).real)


def risk(population: Population, *, n: int, ridge: float, teacher_weights: ArrayLike = ()) -> Array:
    r"""Risk of every round of a chain at one ridge, in the limit of many points and features.

    Parameters
    ----------
    population : Population
    n : int
    ridge : float
        :math:`\lambda > 0`, the same in every round.
    teacher_weights : (T,) array
        Any real numbers.

    Returns
    -------
    (T + 1,) array
        Expected squared error on a new label, noise included.

    Raises
    ------
    ValueError
        If `ridge` is not positive or a weight is not finite.

    Examples
    --------
    At the optimal ridge of white features, p/n times noise over signal, no first round helps:

    >>> white = Population(np.ones(100), np.full(100, 0.1), 1.0)
    >>> at_optimum = risk_curve(white, n=200, ridge=100.0)
    >>> abs(at_optimum.optimal_weight) < 1e-9
    True
    """
    weights = schedule(teacher_weights, "teacher_weights", may_be_empty=True)
    T = len(weights)
    jets = _jets(population, whole(n, "n", least=1), positive(ridge, "ridge"), T + 1)
    # A^(k+1) on the ridge path is sum_j C(k, j) (ridge^j / j!) d^j/dridge^j
    power = np.array([[comb(k, j) for j in range(T + 1)] for k in range(T + 1)])
    risks = np.empty(T + 1)
    for t in range(T + 1):
        c = np.asarray(Distilled(ridge, weights[:t]).polynomial().coefficients) @ power[: t + 1]
        risks[t] = c @ jets @ c
    return risks


def risk_curve(population: Population, *, n: int, ridge: float) -> RiskCurve:
    r"""Risk of one round as a parabola in its teacher weight; its vertex is :math:`-\lambda R'(\lambda)/(2D)`.

    Parameters
    ----------
    population, n, ridge
        As in `risk`.

    Examples
    --------
    >>> white = Population(np.ones(100), np.full(100, 0.1), 1.0)
    >>> round(risk_curve(white, n=200, ridge=40.0).optimal_weight, 6)
    0.953571
    """
    n, ridge = whole(n, "n", least=1), positive(ridge, "ridge")
    return pruned_risk_curves(population, n=n, keep_fraction=1.0, ridge=ridge, ridge_convention="absolute").curve


def _two_point(population: Population, n: int, kappas: NDArray[Any], test: Array | None) -> NDArray[Any]:
    """R of all pairs of implicit ridges, real or complex."""
    e, v = population.eigenvalues, population.signal
    share, rest = e / (e + kappas[:, None]), kappas[:, None] / (e + kappas[:, None])
    noise = population.noise_variance + (rest * v**2) @ rest.T
    if test is None:
        return np.asarray(noise / (1.0 - share @ share.T / n))
    ratio = test / e
    spread = (share * ratio) @ share.T / n / (1.0 - share @ share.T / n)
    return np.asarray(population.noise_variance + (rest * v**2 * ratio) @ rest.T + spread * noise)


def _jets(population: Population, n: int, ridge: float, count: int) -> Array:
    """J[i, j] = ridge^(i+j)/(i! j!) d1^i d2^j R at (ridge, ridge): Taylor coefficients from values on a circle."""
    radius, nodes = FEW if count <= 3 else MANY
    kappa = implicit_ridge(population, n=n, ridge=ridge)
    here = float(_two_point(population, n, np.array([kappa]), None)[0, 0])
    kappas = _on_circle(population, n, ridge * (1.0 + radius * np.exp(2j * np.pi * np.arange(nodes) / nodes)), kappa)
    constant = population.noise_variance + float(np.sum(population.signal**2))
    if 2 * here < constant:
        values = _two_point(population, n, kappas, None)
    else:  # near its value at infinite ridge R is taken less that value, which would drown the derivatives
        v2, share = population.signal**2, population.eigenvalues / (population.eigenvalues + kappas[:, None])
        t, learned = share @ share.T / n, share @ v2
        values = ((share * v2) @ share.T - learned[:, None] - learned + constant * t) / (1.0 - t)
    coefficients = np.fft.fft2(values) / nodes**2
    coefficients[0, 0] = here
    scale = radius ** np.arange(count)
    return np.asarray(coefficients[:count, :count].real / np.multiply.outer(scale, scale))


def _on_circle(population: Population, n: int, ridges: Complex, centre: float) -> Complex:
    """Implicit ridges of complex ridges, from that of their centre outwards, so that Newton stays on its branch."""
    e, kappas, middle = population.eigenvalues, np.full(len(ridges), centre, dtype=complex), ridges.mean()
    for way in np.linspace(0.0, 1.0, 9)[1:]:
        for _ in range(6):
            share = e / (e + kappas[:, None])
            gap = kappas * (n - share.sum(axis=1)) - (middle + way * (ridges - middle))
            kappas = kappas - gap / (n - np.sum(share**2, axis=1))
    return kappas
