r"""A few ridges and no spectrum: one Cholesky factorisation for each, and one solve for each round.

With :math:`M = (K + \lambda I)^{-1}` and :math:`S = K M`, every round of a chain of one ridge combines the same members

.. math::
    c_j = M s_j, \qquad s_0 = y, \qquad s_{j+1} = S s_j = s_j - \lambda\,c_j,

whatever its teacher weights: T + 1 solves, and no product with K, in which digits would be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from kdtheory.checks import (
    Array,
    column_shape,
    matrix,
    outputs,
    positive,
    require_symmetric,
    rounding_of,
    schedule,
    values_like_y,
    whole,
)
from kdtheory.filters import Distilled, Polynomial, Ridge
from kdtheory.grid import POWER_BASIS_GROWTH, growth, squared_errors

__all__ = ["Factored", "FactorisationError", "cholesky", "few_ridges", "plain_chain"]

EPS = float(np.finfo(np.float64).eps)

# Costs over one eigendecomposition, by benchmarks/few_ridges.py with one thread. The ridges that cost as much, measured:
#             1 output and 0, 5, 20 rounds; 10 outputs
# n =   500   9   7   4     8   6   3
# n =  1000  11  10   6    11   8   4
# n =  2000  17  14   9    16  12   7
# n =  4000  22  19  14    22  19  11
POINTS = (500, 1000, 2000, 4000)
FACTORISATION = (0.105, 0.084, 0.056, 0.045)
SOLVE = (0.0066, 0.0034, 0.0024, 0.0012)
SOLVE_PER_OUTPUT = (0.0006, 0.0006, 0.00016, 0.00009)
PROVEN = 2.0  # factorisations: one for the chain, one for the proof that the matrix is what it should be


class FactorisationError(ValueError):
    """K + ridge I is not positive definite, in this precision."""


@dataclass(frozen=True, eq=False)
class Factored:
    r"""Dual coefficients of the members of every chain of some ridges; it is asked like a `Reduced`.

    Attributes
    ----------
    ridges : (L,) array
        :math:`\lambda`, those that were factored.
    coefficients : (L, n, p, T + 1) array
        :math:`c_j` for j up to T, the most rounds that can be asked for.
    cross : callable, optional
        New points -> their kernel with the training points (m, n). Left out, they come as that.
    error : float
        What rounding may leave of the fitted values, relative to the labels: about :math:`\epsilon\,|K|/\lambda` at the
        smallest ridge.
    note : str
        One sentence: what was chosen, and why.
    vector : bool
        Whether the labels came as (n,), so that predictions leave as (m,).
    """

    ridges: Array
    coefficients: Array
    cross: Callable[[ArrayLike], Array] | None = None
    error: float = 0.0
    note: str = ""
    vector: bool = False
    method: ClassVar[str] = "cholesky"

    def __repr__(self) -> str:
        _, n, p, count = self.coefficients.shape
        return f"Factored(cholesky, n={n}, ridges={len(self.ridges)}, rounds={count - 1}, outputs={p})"

    @property
    def n(self) -> int:
        """Number of training points."""
        return int(self.coefficients.shape[1])

    def predict(self, filter: Ridge | Distilled | Polynomial, X_new: ArrayLike) -> Array:
        """Predictions (m,) or (m, p) at new points of ridge regression, of a chain's last round or of any polynomial."""
        asked = filter.polynomial() if isinstance(filter, Distilled) else filter
        if not isinstance(asked, (Ridge, Polynomial)):
            raise ValueError(
                f"`filter` must be a Ridge, Distilled or Polynomial, got {type(asked).__name__}; take a Spectrum."
            )
        mix = np.array([(1.0,) if isinstance(asked, Ridge) else asked.coefficients])
        return np.asarray(self._combined(X_new, asked.ridge, mix)[0])

    def rounds(self, X_new: ArrayLike, *, ridge: float, teacher_weights: ArrayLike) -> Array:
        """Predictions of every round of one chain at new points: (T + 1, m) or (T + 1, m, p); see `kdtheory.rounds`."""
        return self._combined(X_new, ridge, _mixes(Distilled(positive(ridge, "ridge"), teacher_weights)))

    def risk_grid(
        self, X_val: ArrayLike, y_val: ArrayLike, *, ridges: ArrayLike, teacher_weights: ArrayLike, rounds: int
    ) -> Array:
        """Validation error of every ridge, teacher weight and round: (L, A, T + 1); see `kdtheory.risk_grid`."""
        k = self._seen(X_val)
        wanted = values_like_y(y_val, "y_val", length=len(k), columns=self.coefficients.shape[2])
        weights, count = schedule(teacher_weights, "teacher_weights"), whole(rounds, "rounds") + 1
        _require_digits(growth(np.broadcast_to(weights, (rounds, len(weights)))))
        grid = []
        for ridge in schedule(ridges, "ridges", above_zero=True).tolist():
            members = (k @ self._members(ridge, count).reshape(self.n, -1)).reshape(-1, count)
            grid.append(squared_errors(np.column_stack([members, wanted.ravel()])[None], weights)[0] / wanted.size)
        return np.array(grid)

    def _seen(self, new: ArrayLike) -> Array:
        return matrix(new if self.cross is None else self.cross(new), "cross", shape=(None, self.n))

    def _members(self, ridge: float, count: int) -> Array:
        """The first `count` members of one ridge (n, p, count)."""
        same = np.isclose(self.ridges, ridge, rtol=1e-12, atol=0.0)
        if not same.any():
            raise ValueError(
                f"`ridge` must be one of those factored, {', '.join(f'{r:.6g}' for r in self.ridges)}, got {ridge:.6g}."
            )
        most = self.coefficients.shape[3] - 1
        if count > most + 1:
            raise ValueError(f"`rounds` must be at most {most}, those solved for, got {count - 1}.")
        return np.asarray(self.coefficients[int(np.argmax(same)), :, :, :count])

    def _combined(self, X_new: ArrayLike, ridge: float, mixes: Array) -> Array:
        """Predictions of combinations (models, members) at new points: (models, m) or (models, m, p)."""
        _require_digits(float(np.abs(mixes).sum(axis=1).max()))
        coefficients = self._members(ridge, mixes.shape[1]) @ mixes.T  # (n, p, models)
        k = self._seen(X_new)
        values = np.moveaxis((k @ coefficients.reshape(self.n, -1)).reshape(len(k), -1, len(mixes)), 2, 0)
        return np.ascontiguousarray(values[..., 0] if self.vector else values)


def cholesky(
    gram: ArrayLike,
    y: ArrayLike,
    *,
    ridges: ArrayLike,
    rounds: int = 0,
    cross: Callable[[ArrayLike], Array] | None = None,
    overwrite: bool = False,
) -> Factored:
    r"""Every round of every teacher weight at a few ridges, by factoring K + ridge I.

    Parameters
    ----------
    gram : (n, n) array
        K, symmetric and positive semi-definite.
    y : (n,) or (n, p) array
        Training labels.
    ridges : (L,) array
        Positive. For more of them than `few_ridges` says, a `Spectrum` costs less.
    rounds : int
        T: up to which round.
    cross : callable, optional
        New points (m, features) -> their kernel with the training points (m, n). Left out, they come as that.
    overwrite : bool
        Factor within the memory of `gram`, a float64 array, whose contents are lost. Otherwise one copy is made.

    Returns
    -------
    Factored

    Raises
    ------
    ValueError
        If `gram` is not symmetric, or K + ridge I is not positive definite, shapes disagree or an argument is out of range.

    Examples
    --------
    At teacher weight 1 each round applies the shrinkage once more, here d / (d + ridge) = 1/2:

    >>> factored = cholesky(np.eye(2), [4.0, 8.0], ridges=[1.0], rounds=2)
    >>> factored.rounds(np.eye(2), ridge=1.0, teacher_weights=[1.0, 1.0]).round(12).tolist()
    [[2.0, 4.0], [1.0, 2.0], [0.5, 1.0]]
    """
    labels = column_shape(outputs(y, "y"))
    n = len(labels)
    K = matrix(gram, "gram", shape=(n, n))
    require_symmetric(K, "gram", float(np.sqrt(rounding_of(gram, "gram"))))
    grid, count = schedule(ridges, "ridges", above_zero=True), whole(rounds, "rounds") + 1
    # in LAPACK's order: the lower half is factored; the upper one and the diagonal bring K back for the next ridge
    size = _size(K)
    A = np.array(K.T if K.flags.c_contiguous else K, order="F", copy=None if overwrite and K.flags.writeable else True)
    diagonal = A.diagonal().copy()
    coefficients = np.empty((len(grid), n, labels.shape[1], count))
    for i, ridge in enumerate(grid.tolist()):
        if i > 0:
            _mirror(A)
        A[np.diag_indices(n)] = diagonal + ridge
        L, failed = scipy.linalg.lapack.dpotrf(A, lower=1, clean=0, overwrite_a=1)
        if failed:
            raise FactorisationError(f"`gram` must be positive semi-definite, got K + {ridge:.3g} I with a pivot below zero.")
        s = labels
        for j in range(count):
            c = scipy.linalg.lapack.dpotrs(L, s, lower=1)[0]
            coefficients[i, :, :, j] = c
            s = s - ridge * c
    note = (
        f"Cholesky of K + ridge I for {n} points, ridge {', '.join(f'{ridge:.3g}' for ridge in grid)}, rounds up to {rounds}."
    )
    return Factored(grid, coefficients, cross, EPS * size / float(grid.min()), note, np.ndim(y) == 1)


def plain_chain(gram: Array, y: Array, chain: Distilled) -> Array | None:
    """Dual coefficients (T + 1, n, p) of a chain of one ridge, or None where an eigendecomposition is the better way.

    It is where it costs less, and where more than rounding keeps the matrix from being positive semi-definite:
    `Spectrum.from_gram` then says what is wrong, or clips it.
    """
    n, ridge = len(gram), float(chain.ridges[0])
    one_ridge = np.unique(chain.ridges).size == 1
    if (
        not one_ridge
        or growth(chain.weights[:, None]) > POWER_BASIS_GROWTH
        or few_ridges(n, y.shape[1], chain.rounds) < PROVEN
    ):
        return None
    # the eigendecomposition would clip what rounding left below zero; here it must be so little that the ridge hides it
    probe = max(min(ridge / 100, 10 * n * rounding_of(gram, "gram") * _size(gram)), float(np.finfo(float).tiny))
    try:
        cholesky(gram, np.zeros(n), ridges=[probe])
        members = cholesky(gram, y, ridges=[ridge], rounds=chain.rounds).coefficients[0]
    except ValueError:
        return None
    duals = np.moveaxis(members @ _mixes(chain).T, 2, 0)
    return duals if np.isfinite(duals).all() else None


def few_ridges(n: int, outputs: int = 1, rounds: int = 0) -> float:
    """Number of ridges at which `cholesky` costs as much as one eigendecomposition, as measured.

    Parameters
    ----------
    n, outputs, rounds : int
        Points, columns of y, and T.

    Examples
    --------
    A round is a solve, and solves cost less beside a factorisation the larger n is:

    >>> [round(few_ridges(n, rounds=20) / few_ridges(n), 1) for n in (500, 4000)]
    [0.4, 0.6]
    """
    factorisation, solve, each = (float(np.interp(n, POINTS, costs)) for costs in (FACTORISATION, SOLVE, SOLVE_PER_OUTPUT))
    return 1 / (factorisation + (rounds + 1) * (solve + outputs * each))


def _size(K: Array) -> float:
    """At most the largest eigenvalue: one step towards its eigenvector, from the mean of the rows."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        start = K.mean(axis=0)
        start = start / (np.abs(start).max() or 1.0)
        return float(np.linalg.norm(K @ start) / (np.linalg.norm(start) or 1.0))


def _require_digits(grown: float) -> None:
    """Refuse mixtures with a sum of absolute coefficients so large that digits would cancel."""
    if not np.isfinite(grown):
        raise OverflowError("`teacher_weights` make this chain grow beyond floating point.")
    if grown > POWER_BASIS_GROWTH:
        raise ValueError(
            f"`teacher_weights` must keep the sum of absolute coefficients below {POWER_BASIS_GROWTH:.0f}, got {grown:.3g}; "
            "a Spectrum keeps the digits of such chains."
        )


def _mixes(chain: Distilled) -> Array:
    """Each round of a chain of one ridge as a mixture of members: (T + 1, T + 1)."""
    mixes = np.zeros((chain.rounds + 1, chain.rounds + 1))
    mixes[0, 0] = 1.0
    with np.errstate(over="ignore"):
        for t, w in enumerate(chain.weights.tolist(), start=1):
            mixes[t, 0], mixes[t, 1:] = 1 - w, w * mixes[t - 1, :-1]
    return mixes


def _mirror(A: Array) -> None:
    """The upper half of A, written over the lower one by blocks."""
    for start in range(0, len(A), 256):
        rows = slice(start, start + 256)
        A[rows, :start] = A[:start, rows].T
        square = A[rows, rows]
        lower = np.tril_indices_from(square, -1)
        square[lower] = square.T[lower]
