r"""The population of the asymptotic theory, and the implicit ridge by which a sample of it acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, finite, finite_array, positive, schedule, whole

__all__ = ["Population", "implicit_ridge", "implicit_ridges", "sample_sizes"]

BLOCK = 2_000_000  # entries of settings × eigenvalues at a time


@dataclass(frozen=True, eq=False)
class Population:
    r"""What the data are drawn from: a covariance spectrum, a signal in its eigenbasis, and label noise.

    Parameters
    ----------
    eigenvalues : (p,) array
        :math:`e_i > 0` of the covariance of the features (of the kernel operator).
    signal : (p,) array
        :math:`v_i`, coefficients of the signal on the unit-variance features, so that its mean square is
        :math:`\sum_i v_i^2`. A linear signal :math:`\beta^\top x` has :math:`v_i = \sqrt{e_i}\,\beta_i`.
    noise_variance : float
        :math:`\sigma^2` of a label.

    Raises
    ------
    ValueError
        If the lengths differ, or an eigenvalue is not positive.

    Examples
    --------
    >>> white = Population(np.ones(100), np.full(100, 0.1), 1.0)
    >>> float(white.error(np.zeros(100)).round(12))  # of predicting nothing: signal and noise
    2.0

    `isotropic` and `power_law` make two families of them:

    >>> Population.power_law(3, decay=1.0, signal_decay=0.0, noise_variance=0.1, signal_square=3.0)
    Population(eigenvalues=array([1.        , 0.5       , 0.33333333]), signal=array([1., 1., 1.]), noise_variance=0.1)
    """

    eigenvalues: Array
    signal: Array
    noise_variance: float

    def __post_init__(self) -> None:
        e = schedule(self.eigenvalues, "eigenvalues", above_zero=True)
        v = schedule(self.signal, "signal")
        if len(v) != len(e):
            raise ValueError(f"`signal` must have {len(e)} entries like `eigenvalues`, got {len(v)}.")
        object.__setattr__(self, "eigenvalues", e)
        object.__setattr__(self, "signal", v)
        object.__setattr__(self, "noise_variance", positive(self.noise_variance, "noise_variance", zero=True))

    @classmethod
    def isotropic(cls, features: int, *, noise_variance: float, signal_square: float = 1.0) -> Population:
        """White features of variance one, the signal spread evenly over them; its mean square is `signal_square`."""
        p, square = whole(features, "features", least=1), positive(signal_square, "signal_square", zero=True)
        return cls(np.ones(p), np.full(p, np.sqrt(square / p)), noise_variance)

    @classmethod
    def power_law(
        cls, features: int, *, decay: float, signal_decay: float, noise_variance: float, signal_square: float = 1.0
    ) -> Population:
        r"""Eigenvalues :math:`i^{-\text{decay}}`, and :math:`v_i^2 \propto i^{-\text{signal decay}}` of the given sum."""
        p, square = whole(features, "features", least=1), positive(signal_square, "signal_square", zero=True)
        i = np.arange(1.0, p + 1.0)
        energy = i ** -finite(signal_decay, "signal_decay")
        return cls(i ** -finite(decay, "decay"), np.sqrt(square * energy / energy.sum()), noise_variance)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Gaussian features (n, p) in the eigenbasis and noisy labels (n,)."""
        z = rng.normal(size=(whole(n, "n", least=1), len(self.eigenvalues)))
        return z * np.sqrt(self.eigenvalues), z @ self.signal + np.sqrt(self.noise_variance) * rng.normal(size=n)

    def error(self, coefficients: ArrayLike) -> Array:
        """Expected squared error on a new label, noise included, of linear predictors (p,) or (p, k)."""
        beta = np.asarray(coefficients, dtype=np.float64)
        gap = (beta.T * np.sqrt(self.eigenvalues) - self.signal).T
        return np.asarray(np.sum(gap**2, axis=0) + self.noise_variance)


def implicit_ridge(population: Population, *, n: ArrayLike, ridge: ArrayLike) -> Any:
    r"""The deterministic ridge :math:`\kappa` with :math:`\lambda = \kappa\,(n - \mathrm{df}_1(\kappa))`.

    Parameters
    ----------
    population : Population
    n : int, or array
        Sample size; in an array any positive numbers.
    ridge : float, or array
        :math:`\lambda \ge 0`; at zero with more features than points, that of the smallest interpolating fit.

    Returns
    -------
    float, or array of the shape that `n` and `ridge` have together

    Raises
    ------
    ValueError
        If `ridge` is negative or `n` not a positive whole number.

    Examples
    --------
    With many points the sample adds nothing and the ridge per point remains:

    >>> round(implicit_ridge(Population([1.0], [1.0], 0.0), n=10**6, ridge=5e5), 5)
    0.5
    """
    if np.ndim(n) == 0 and np.ndim(ridge) == 0:
        sizes, ridges = np.array(float(whole(n, "n", least=1))), np.array(positive(ridge, "ridge", zero=True))
    else:
        sizes, ridges = sample_sizes(n, "n"), finite_array(ridge, "ridge")
        if (ridges < 0).any():
            raise ValueError(f"`ridge` must be zero or positive, got {float(ridges[ridges < 0][0])}.")
    found = implicit_ridges(population, sizes, ridges)
    return np.asarray(found) if found.ndim else float(found)


def sample_sizes(n: ArrayLike, name: str) -> Array:
    """Numbers of points, positive but not necessarily whole, as an array of any shape."""
    sizes = finite_array(n, name)
    if not (sizes > 0).all():
        raise ValueError(f"`{name}` must be positive, got {float(sizes[sizes <= 0][0])}.")
    return sizes


def implicit_ridges(population: Population, n: Array, ridge: Array) -> Array:
    """The implicit ridge of every pair of a size and a ridge, by Newton's method from above."""
    sizes, ridges = np.broadcast_arrays(n, ridge)
    e, shape = population.eigenvalues, sizes.shape
    found = np.empty(sizes.size)
    step_size = max(1, BLOCK // len(e))
    for start in range(0, sizes.size, step_size):
        block = slice(start, start + step_size)
        found[block] = _newton(e, sizes.ravel()[block], ridges.ravel()[block])
    return np.asarray(found.reshape(shape))


def _newton(e: Array, n: Array, ridge: Array) -> Array:
    """Roots of kappa (n - df_1) = ridge, convex in kappa, from a point above them."""
    kappa: Array = (ridge + e.sum()) / n
    zero = (ridge == 0) & (n >= len(e))
    kappa[zero] = 0.0
    moving = np.flatnonzero(~zero)
    for _ in range(200):
        share = e / (e + kappa[moving, None])
        step = (kappa[moving] * (n[moving] - share.sum(axis=1)) - ridge[moving]) / (n[moving] - np.sum(share**2, axis=1))
        kappa[moving] -= step
        moving = moving[np.abs(step) > 1e-15 * kappa[moving]]
        if not len(moving):
            break
    return kappa
