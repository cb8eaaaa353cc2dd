r"""Random features: the eigenframework of test and training error for ridge regression on k random features.

The kernel is the k-feature estimate :math:`\tfrac1k\sum_j \phi_j(x)\phi_j(x')` of one with eigenvalues e. Two constants
:math:`\kappa, \gamma` describe n points and k features at ridge :math:`\lambda`,

.. math::
    n = \sum_i \frac{e_i}{e_i + \gamma} + \frac{\lambda}{\kappa}, \qquad
    k = \sum_i \frac{e_i}{e_i + \gamma} + \frac{k\kappa}{\gamma} .
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.optimize

from kdtheory.asymptotics import Population
from kdtheory.checks import positive, whole

__all__ = ["RandomFeatureError", "random_feature_error"]


class RandomFeatureError(NamedTuple):
    """Expected squared error on a new label and on a training label, and the two implicit constants."""

    test: float
    train: float
    kappa: float
    gamma: float


def random_feature_error(population: Population, *, n: int, features: int, ridge: float) -> RandomFeatureError:
    r"""Error of ridge regression on random features, as n and k grow in proportion.

    With :math:`z = \sum \frac{e}{e + \gamma}`, :math:`q = \sum\left(\frac{e}{e + \gamma}\right)^2`,

    .. math::
        E = \frac{\sigma^2 +
                   \sum_i \left[\frac{\gamma}{e_i + \gamma} - \frac{\kappa e_i}{(e_i + \gamma)^2}\frac{k}{k - q}\right] v_i^2}
                 {1 - \frac{q(k - 2z) + z^2}{n(k - q)}}, \qquad
        E_\text{train} = \left(\frac{\lambda}{n\kappa}\right)^2 E .

    Parameters
    ----------
    population : Population
    n : int
        Points.
    features : int
        k; as it grows, E becomes that of the kernel, :func:`kdtheory.asymptotics.risk` at round 0.
    ridge : float
        :math:`\lambda > 0` of :math:`\tfrac1k\Phi\Phi^\top + \lambda I`.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    Simon, Karkada, Ghosh & Belkin (2024), "More is better", arXiv:2311.14646.

    Examples
    --------
    More features are better once the ridge is right:

    >>> e = np.arange(1, 301) ** -1.2
    >>> truth = Population(e, np.sqrt(np.arange(1, 301) ** -1.4), 0.1)
    >>> [round(random_feature_error(truth, n=60, features=k, ridge=0.1).test, 3) for k in (40, 400)]
    [1.762, 0.714]
    """
    e, v = population.eigenvalues, population.signal
    n, k, ridge = whole(n, "n", least=1), whole(features, "features", least=1), positive(ridge, "ridge")

    def excess(logarithm: float) -> float:
        """(n - z)(k - z) gamma - ridge k, which grows from where z = min(n, k)."""
        gamma = np.exp(logarithm)
        z = float(np.sum(e / (e + gamma)))
        return (n - z) * (k - z) * gamma - ridge * k if z < min(n, k) else -ridge * k

    low = high = float(np.log(e.sum() + ridge))
    while excess(high) < 0:
        high += 1.0
    while excess(low) > 0:
        low -= 1.0
    gamma = float(np.exp(scipy.optimize.brentq(excess, low, high, xtol=1e-14, rtol=1e-15)))
    share, rest = e / (e + gamma), gamma / (e + gamma)
    z, q = float(share.sum()), float(np.sum(share**2))
    kappa = ridge / (n - z) if n > k else gamma * (k - z) / k  # by the difference that cancels less
    # the bracket of the formula, without its cancellation: z - q is a sum
    bias = np.sum(rest * (rest + share * np.sum(share * rest) / (k - q)) * v**2)
    test = float((bias + population.noise_variance) / (1 - (q * (k - 2 * z) + z**2) / (n * (k - q))))
    return RandomFeatureError(test, (ridge / (n * kappa)) ** 2 * test, kappa, gamma)
