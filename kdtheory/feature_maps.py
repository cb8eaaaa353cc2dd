r"""Kernels as features, :math:`k(x, x') \approx \phi(x)^\top\phi(x')`: Nyström's, and random ones.

A map is a function of rows (m, features) that gives their features (m, r). `kdtheory.streaming.accumulate` sums them over
data that do not fit; of data that fit, `spectrum_of` makes a `Spectrum`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdtheory.centres import CANDIDATES, Kernel, kernel_diagonal, leverage, pivoted, taken, uniform
from kdtheory.checks import Array, matrix, positive, schedule, whole
from kdtheory.spectrum import Spectrum
from kdtheory.streaming import Rows

__all__ = ["NystromMap", "RandomFourierMap", "RandomReluMap", "chosen", "spectrum_of"]

SINGLE = 1e-6  # least over largest eigenvalue of the centres' Gram matrix that float32 can whiten


@dataclass(frozen=True, eq=False)
class NystromMap:
    r"""The kernel seen from centres Z: :math:`\phi(x) = k(x, Z)\,E` with :math:`E E^\top = K_{ZZ}^+`.

    Then :math:`\phi(x)^\top\phi(x') = k(x, Z)\,K_{ZZ}^+\,k(Z, x')`: the kernel itself wherever x or x' is a centre, and never
    more than it in between: :math:`K - \Phi\Phi^\top` is positive semi-definite.

    Attributes
    ----------
    kernel : callable
        ``kernel(X, Z)``, such as ``functools.partial(kd.kernels.rbf, gamma=0.1)``.
    centres : (m, features) array
        Z.
    whitener : (m, r) array
        E, eigenvectors over the root of their eigenvalues, without those of rounding size. Features are of its dtype.

    References
    ----------
    Williams & Seeger (2000), NIPS 13.

    Examples
    --------
    >>> from kdtheory.kernels import rbf
    >>> phi = NystromMap.of(rbf, [[0.0], [1.0]])
    >>> (phi([[1.0]]) @ phi([[0.3]]).T / rbf([[1.0]], [[0.3]])).round(12)
    array([[1.]])
    """

    kernel: Kernel
    centres: Array
    whitener: NDArray[Any]

    @classmethod
    def of(cls, kernel: Kernel, centres: ArrayLike) -> NystromMap:
        """From the eigenvalues of the centres' Gram matrix above rounding: fewer features than centres if some repeat others.

        Raises
        ------
        ValueError
            If `kernel` is not callable or `centres` no points, or their Gram matrix is not positive semi-definite.
        """
        if not callable(kernel):
            raise ValueError(f"`kernel` must be a function kernel(X, Z), got {type(kernel).__name__}.")
        Z = matrix(centres, "centres")
        s = Spectrum.from_gram(kernel(Z))
        held = s.eigenvalues > s.floor
        if not held.any():
            raise ValueError("`kernel` must not vanish at all `centres`.")
        return cls(kernel, Z, s.eigenvectors[:, held] / np.sqrt(s.eigenvalues[held]))

    def __call__(self, X: ArrayLike) -> NDArray[Any]:
        """Features (m, r) of rows (m, features)."""
        return np.asarray(self.seen(X).astype(self.whitener.dtype, copy=False) @ self.whitener)

    def seen(self, X: ArrayLike) -> Array:
        """The kernel of rows with the centres, before it is whitened."""
        return self.kernel(X, self.centres)

    def diagonal(self, X: Array) -> Array:
        """The kernel of each row with itself, which its features reach from below."""
        return kernel_diagonal(self.kernel, X)

    def single(self) -> NystromMap:
        r"""The same in float32 where :math:`K_{ZZ}` allows it: features are then right to 1e-4, and half the work.

        Of a worse conditioned one (smooth kernels in few dimensions) float32 would lose the small eigenvalues: it is returned
        as it is, and only what follows, the products of features, can be had in float32.
        """
        d = 1 / np.sum(self.whitener**2, axis=0)
        if d.min() < SINGLE * d.max():
            return self
        return replace(self, whitener=self.whitener.astype(np.float32))


@dataclass(frozen=True, eq=False)
class RandomFourierMap:
    r"""Waves of random frequencies: :math:`\phi(x) = \sqrt{2/r}\,[\cos\Omega^\top x,\ \sin\Omega^\top x]`.

    The mean of :math:`\phi(x)^\top\phi(x')` over frequencies is the kernel whose Fourier transform they are drawn from, and
    :math:`|\phi(x)| = 1`.

    Attributes
    ----------
    frequencies : (features, r / 2) array
        :math:`\Omega`.

    References
    ----------
    Rahimi & Recht (2007), NIPS 20; pairs of sine and cosine: Sutherland & Schneider (2015), arXiv:1506.02785.

    Examples
    --------
    >>> from kdtheory.kernels import laplace
    >>> phi, x, z = RandomFourierMap.of("laplace", 2, gamma=0.7, count=20_000), [[0.0, 0.0]], [[0.6, 0.8]]
    >>> bool(abs(phi(x) @ phi(z).T - laplace(x, z, gamma=0.7)) < 0.02)
    True
    """

    frequencies: Array

    @classmethod
    def of(cls, kernel: str, features: int, *, gamma: float, count: int, seed: int = 0) -> RandomFourierMap:
        r"""For `kdtheory.kernels.rbf`, of Gaussian frequencies, or `laplace`, of multivariate Cauchy ones.

        Parameters
        ----------
        kernel : {"rbf", "laplace"}
        features : int
            Of a row.
        gamma : float
            The kernel's: frequencies are :math:`N(0, 2\gamma I)`, or :math:`\gamma g/|h|` with normal g and h.
        count : int
            r, even.
        seed : int

        Raises
        ------
        ValueError
            If `kernel` is another, or a number is out of its range.
        """
        rate, r, rng = positive(gamma, "gamma"), whole(count, "count", least=2), np.random.default_rng(whole(seed, "seed"))
        if r % 2:
            raise ValueError(f"`count` must be even, a cosine and a sine for each frequency, got {r}.")
        g = rng.normal(size=(whole(features, "features", least=1), r // 2))
        if kernel == "rbf":
            return cls(np.sqrt(2 * rate) * g)
        if kernel == "laplace":
            return cls(rate * g / np.abs(rng.normal(size=r // 2)))
        raise ValueError(f'`kernel` must be "rbf" or "laplace", got {kernel!r}; the others have no random frequencies here.')

    def __call__(self, X: ArrayLike) -> Array:
        """Features (m, r) of rows (m, features)."""
        half = self.frequencies.shape[1]
        angles = matrix(X, "X", shape=(None, len(self.frequencies))) @ self.frequencies
        out = np.empty((len(angles), 2 * half))
        np.cos(angles, out=out[:, :half])
        np.sin(angles, out=out[:, half:])
        out /= np.sqrt(half)
        return out


@dataclass(frozen=True, eq=False)
class RandomReluMap:
    r"""A layer of random ReLU units: :math:`\phi(x) = \sqrt{\sigma_w^2/r}\,\mathrm{relu}(\Omega^\top x + b)`; and a constant.

    The mean of :math:`\phi(x)^\top\phi(x')` is `kdtheory.kernels.nngp` at depth 1: a network of r hidden units whose last
    layer alone is trained.

    Attributes
    ----------
    weights : (features, r) array
        :math:`\Omega`, entries of variance :math:`\sigma_w^2` / features.
    offsets : (r,) array
        b, of variance :math:`\sigma_b^2`.
    weight_variance, bias_variance : float
        :math:`\sigma_w^2` and :math:`\sigma_b^2`, whose root is the constant feature.

    Examples
    --------
    >>> from kdtheory.kernels import nngp
    >>> phi, X = RandomReluMap.of(2, count=20_000, bias_variance=0.5), [[1.0, 0.0], [0.6, -0.8]]
    >>> bool((abs(phi(X) @ phi(X).T - nngp(X, depth=1, bias_variance=0.5)) < 0.05).all())
    True
    """

    weights: Array
    offsets: Array
    weight_variance: float
    bias_variance: float

    @classmethod
    def of(
        cls, features: int, *, count: int, weight_variance: float = 2.0, bias_variance: float = 0.0, seed: int = 0
    ) -> RandomReluMap:
        """Of so many units, drawn by this seed."""
        variance, rng = positive(weight_variance, "weight_variance"), np.random.default_rng(whole(seed, "seed"))
        offset, r = positive(bias_variance, "bias_variance", zero=True), whole(count, "count", least=1)
        weights = rng.normal(size=(whole(features, "features", least=1), r)) * np.sqrt(variance / features)
        return cls(weights, rng.normal(size=r) * np.sqrt(offset), variance, offset)

    def __call__(self, X: ArrayLike) -> Array:
        """Features (m, r + 1) of rows (m, features)."""
        r = len(self.offsets)
        units = matrix(X, "X", shape=(None, len(self.weights))) @ self.weights + self.offsets
        constant = np.full((len(units), 1), np.sqrt(self.bias_variance))
        return np.hstack([np.maximum(units, 0.0) * np.sqrt(self.weight_variance / r), constant])


def chosen(
    rows: Rows,
    centres: int | ArrayLike,
    *,
    kernel: Kernel,
    choose: str = "uniform",
    ridge: ArrayLike | None = None,
    seed: int = 0,
) -> Array:
    """So many of the rows by a rule of `kdtheory.centres`, or the points that are given: (m, features).

    Of rows that come in blocks, candidates are drawn by a pass over all.

    Parameters
    ----------
    rows, centres, kernel, choose, ridge, seed
        As in `kdtheory.low_rank.nystrom`.

    Raises
    ------
    ValueError
        If `choose` is unknown, or "leverage" has no ridge.
    """
    if choose not in ("uniform", "leverage", "pivoted", "random pivots"):
        raise ValueError(f'`choose` must be "uniform", "leverage", "pivoted" or "random pivots", got {choose!r}.')
    if choose == "leverage" and ridge is None:
        raise ValueError('`ridge` must be given for centres by "leverage".')
    if np.ndim(centres):
        return matrix(centres, "centres")
    count, X, share = whole(centres, "centres", least=1), rows.X, 1.0
    if rows.in_blocks:
        X, n = _drawn(rows, count if choose == "uniform" else max(CANDIDATES, 10 * count), seed)
        share = len(X) / n
    if choose == "uniform":
        return taken(X, uniform(X, count, seed=seed))
    if choose == "leverage":
        level = share * float(schedule(ridge, "ridge", above_zero=True).min())  # type: ignore[arg-type]
        return taken(X, leverage(X, count, kernel=kernel, ridge=level, seed=seed))
    return taken(X, pivoted(X, count, kernel=kernel, seed=seed, random=choose == "random pivots"))


def _drawn(rows: Rows, count: int, seed: int) -> tuple[Array, int]:
    """Rows drawn uniformly from blocks in one pass, and the number of all: every row has a random key, the least are kept."""
    rng, n = np.random.default_rng(seed), 0
    keys, kept = np.empty(0), None
    for part in rows.ranges():
        for block in part.blocks(rows.height):
            keys = np.append(keys, rng.random(len(block.X)))
            kept = block.X if kept is None else np.concatenate([kept, block.X])
            least = np.sort(np.argpartition(keys, count - 1)[:count]) if len(keys) > count else slice(None)
            keys, kept, n = keys[least], kept[least], n + len(block.X)
    assert kept is not None  # there is at least one block
    return kept, n


def spectrum_of(map: Callable[[ArrayLike], Array], X: ArrayLike) -> tuple[Spectrum, Callable[[ArrayLike], Array]]:
    r"""The spectrum of :math:`\Phi\Phi^\top` of rows that fit, and the function that gives new points' `cross` matrix.

    Examples
    --------
    With all points as centres it is the exact one:

    >>> from kdtheory import Ridge
    >>> from kdtheory.kernels import rbf
    >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 0.0, 1.0]
    >>> s, cross = spectrum_of(NystromMap.of(rbf, X), X)
    >>> exact = Spectrum.from_gram(rbf(X)).predict(Ridge(0.1), y, rbf([[0.5]], X))
    >>> bool(np.allclose(s.predict(Ridge(0.1), y, cross([[0.5]])), exact))
    True
    """
    features = map(X)
    return Spectrum.from_features(features), lambda new: np.asarray(map(new) @ features.T)
