r"""One ridge and very many centres: a chain by preconditioned conjugate gradients, without an m³ eigendecomposition.

With centres Z of `kdtheory.low_rank.nystrom` the model :math:`f = k(\cdot, Z)\,a` solves

.. math::
    (K_{nZ}^\top K_{nZ} + \lambda K_{ZZ})\, a = K_{nZ}^\top\, \text{targets}.

`nystrom` decomposes the left side, for all ridges at once: 3 n m² operations. Here each step of an iteration multiplies by it:
n m kernel values, evaluated anew. For one ridge and a dozen steps that is as much at two thousand centres, and half at four.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cholesky, solve_triangular

from kdtheory.centres import Kernel
from kdtheory.checks import Array, column_shape, positive, schedule, whole
from kdtheory.feature_maps import chosen
from kdtheory.streaming import Block, Rows, parts

__all__ = ["Falkon", "falkon"]

SAMPLE = 5  # rows that the preconditioner is made of, as a multiple of the centres


@dataclass(frozen=True, eq=False)
class Falkon:
    r"""Every round of one chain, as combinations of the kernel with centres.

    Attributes
    ----------
    kernel : callable
    centres : (m, features) array
        Z.
    coefficients : (T + 1, m, p) array
        a of each round.
    ridge : float
    relative_residuals : (T + 1,) array
        Of each round's equations as they were left, preconditioned, recomputed from the rows; the largest over outputs.
    iterations : (T + 1,) array of int
        Passes over the rows that each round took.
    vector : bool
        Whether the labels came as (n,), so that predictions leave as (T + 1, m).
    """

    kernel: Kernel
    centres: Array
    coefficients: Array
    ridge: float
    relative_residuals: Array
    iterations: NDArray[np.intp]
    vector: bool = False

    def __repr__(self) -> str:
        rounds, m, p = self.coefficients.shape
        worst, passes = self.relative_residuals.max(), self.iterations.sum()
        return f"Falkon(centres={m}, rounds={rounds - 1}, outputs={p}, relative_residual={worst:.1g}, passes={passes})"

    def predict(self, X_new: ArrayLike) -> Array:
        """Predictions of every round: (T + 1, m) or (T + 1, m, p)."""
        a = np.concatenate(list(self.coefficients), axis=1)
        values = (self.kernel(X_new, self.centres) @ a).reshape(-1, len(self.coefficients), self.coefficients.shape[2])
        values = values.swapaxes(0, 1)
        return np.ascontiguousarray(values[..., 0] if self.vector else values)


def falkon(
    X: Any,
    y: Any = None,
    *,
    kernel: Kernel,
    centres: int | ArrayLike = 1000,
    choose: str = "uniform",
    ridge: float,
    teacher_weights: ArrayLike = (),
    tolerance: float = 1e-8,
    iterations: int = 100,
    seed: int = 0,
    block_rows: int = 4096,
    scheduler: Any = None,
) -> Falkon:
    r"""A chain at one ridge by preconditioned conjugate gradients; each round starts from the one before.

    The preconditioner, which all rounds share, is Falkon's but for S: with Cholesky factors :math:`T^\top T = K_{ZZ}` and
    :math:`A^\top A = \tfrac n{|S|} T^{-\top} K_{ZS} K_{SZ} T^{-1} + \lambda I`, the equations for :math:`A T a` have a small
    condition number. Falkon's S are the centres, which see themselves better than other rows see them; 5 m random rows take a
    third of the passes.

    Parameters
    ----------
    X, y, kernel, centres, choose, seed, block_rows, scheduler
        As in `kdtheory.low_rank.nystrom`.
    ridge : float
        :math:`\lambda > 0`.
    teacher_weights : (T,) array
        As in `kdtheory.rounds`.
    tolerance : float
        Of the relative residual of each round.
    iterations : int
        At most so many passes over the rows for each round.

    Returns
    -------
    Falkon

    Raises
    ------
    ValueError
        As in `nystrom`, or if a parameter is out of its range.

    Warns
    -----
    RuntimeWarning
        If a round ends above the tolerance: the ridge is too small for these centres, or for floating point.

    References
    ----------
    Rudi, Carratino & Rosasco (2017), arXiv:1705.10958.

    Examples
    --------
    It solves what `nystrom` solves:

    >>> from functools import partial
    >>> from kdtheory import kernels
    >>> from kdtheory.low_rank import nystrom
    >>> X, y = np.linspace(-1, 1, 200)[:, None], np.sin(3 * np.linspace(-1, 1, 200))
    >>> how = {"kernel": partial(kernels.laplace, gamma=2.0), "centres": 30}
    >>> by_steps = falkon(X, y, ridge=0.1, teacher_weights=[0.5, 0.8], **how).predict([[0.3]])
    >>> bool(np.allclose(by_steps, nystrom(X, y, **how).rounds([[0.3]], ridge=0.1, teacher_weights=[0.5, 0.8])))
    True
    """
    rows, level, most = Rows(X, y, block_rows), positive(ridge, "ridge"), whole(iterations, "iterations", least=1)
    weights, small = schedule(teacher_weights, "teacher_weights", may_be_empty=True), positive(tolerance, "tolerance")
    Z = chosen(rows, centres, kernel=kernel, choose=choose, ridge=level, seed=seed)
    b, n, vector = (np.zeros(()), 0, False)
    for part, count, kind in parts(partial(_towards, kernel, Z), rows, scheduler=scheduler):
        b, n, vector = b + part, n + count, kind
    system = _System(kernel, Z, level, n, rows, seed, scheduler)
    c = system.from_a(b)
    v, s, found = np.zeros_like(c), np.zeros_like(c), []
    for t, weight in enumerate([0.0, *weights.tolist()]):
        v, s, residual, passes = system.solved((1 - weight) * c + weight * s, v, s, small, most)
        found.append((v, residual, passes))
        if residual > small:
            warnings.warn(
                f"`tolerance` {small:.1g} is not reached by round {t}, which has {residual:.1g} after {passes} passes; more "
                f"`iterations` may help, or more centres, or a larger ridge.",
                RuntimeWarning,
                stacklevel=2,
            )
    vs, residuals, passed = zip(*found, strict=True)
    coefficients = np.array([system.to_a(v) for v in vs])
    return Falkon(kernel, Z, coefficients, level, np.array(residuals), np.array(passed), vector)


class _System:
    r"""The equations in :math:`v = Ta`: :math:`(G + \lambda I) v = c` with :math:`G = T^{-\top} K_{nZ}^\top K_{nZ} T^{-1}`."""

    def __init__(self, kernel: Kernel, Z: Array, ridge: float, n: int, rows: Rows, seed: int, scheduler: Any) -> None:
        self.kernel, self.Z, self.ridge, self.rows, self.scheduler = kernel, Z, ridge, rows, scheduler
        self.T, m = _factor(kernel(Z)), len(Z)
        S = chosen(rows, min(n, SAMPLE * m), kernel=kernel, seed=seed + 1)
        M = np.zeros((m, m))
        for start in range(0, len(S), m):
            F = self.from_a(kernel(Z, S[start : start + m]))
            M += F @ F.T
        M *= n / len(S)
        M[np.diag_indices_from(M)] += ridge
        self.A = cholesky(M, overwrite_a=True, check_finite=False)

    def from_a(self, b: Array) -> Array:
        """A gradient in a, as one in v."""
        return np.asarray(solve_triangular(self.T, b, trans="T", check_finite=False))

    def to_a(self, v: Array) -> Array:
        """Coefficients of the kernel."""
        return np.asarray(solve_triangular(self.T, v, check_finite=False))

    def product(self, v: Array) -> Array:
        """G v, by one pass over the rows."""
        part = partial(_products, self.kernel, self.Z, self.to_a(v))
        return self.from_a(sum(parts(part, self.rows, scheduler=self.scheduler)))

    def solved(self, c: Array, v: Array, s: Array, tolerance: float, most: int) -> tuple[Array, Array, float, int]:
        r"""The solution, G times it, its relative residual and the passes taken, from v with s = G v.

        Conjugate gradients for :math:`A v`, each column by itself. What they believe to be the residual is recomputed when it
        is small enough; if it is not, they start anew from there.
        """
        target, passes = np.maximum(_norms(self._tamed(c)), np.finfo(float).tiny), 0
        while True:
            r = self._tamed(c - s - self.ridge * v)
            residual = float((_norms(r) / target).max())
            if residual <= tolerance or passes >= most:
                return v, s, residual, passes
            p, square = r, _norms(r) ** 2
            while passes < most - 1 and (np.sqrt(square) > 0.5 * tolerance * target).any():
                q = solve_triangular(self.A, p, check_finite=False)
                u = self._tamed(self.product(q) + self.ridge * q)
                passes += 1
                step = _ratio(square, np.sum(p * u, axis=0))
                v, r = v + step * q, r - step * u
                before, square = square, _norms(r) ** 2
                p = r + _ratio(square, before) * p
            s, passes = self.product(v), passes + 1

    def _tamed(self, c: Array) -> Array:
        return np.asarray(solve_triangular(self.A, c, trans="T", check_finite=False))


def _factor(K: Array) -> Array:
    """T of K = T'T, upper; the least multiple of rounding that makes K definite is added to its diagonal."""
    own = K.diagonal().copy()
    jitter = len(K) * float(np.finfo(float).eps) * float(own.max())
    if not jitter > 0:
        raise ValueError("`kernel` must not vanish at all `centres`.")
    while jitter < 1e-6 * own.max():
        K[np.diag_indices_from(K)] = own + jitter
        try:
            return np.asarray(cholesky(K, check_finite=False))
        except np.linalg.LinAlgError:
            jitter *= 10
    raise ValueError("`kernel` must give a positive semi-definite matrix at `centres`, got one that is not.")


def _towards(kernel: Kernel, Z: Array, blocks: Iterator[Block]) -> tuple[Array, int, bool]:
    total, n, vector = np.zeros(()), 0, False
    for X, y in blocks:
        if y is None:
            raise ValueError("`y` must be given, or `X` give blocks (X_block, y_block).")
        total, n, vector = total + kernel(X, Z).T @ column_shape(y), n + len(X), y.ndim == 1
    return total, n, vector


def _products(kernel: Kernel, Z: Array, a: Array, blocks: Iterator[Block]) -> Array:
    total = np.zeros_like(a)
    for X, _ in blocks:
        K = kernel(X, Z)
        total += K.T @ (K @ a)
    return total


def _norms(columns: Array) -> Array:
    return np.asarray(np.linalg.norm(columns, axis=0))


def _ratio(above: Array, below: Array) -> Array:
    """Of each column; zero where it has converged to the last digit."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
