r"""A block-Krylov basis of the labels: every ridge, teacher weight and round from a few products with the Gram matrix.

Block Lanczos from the labels y gives orthonormal :math:`Q = [Q_1 \dots Q_k]` and block-tridiagonal :math:`T = Q^\top K Q`,

.. math::
    K Q = Q\,T + Q_{k+1} B E_k^\top, \qquad y = Q_1 R,

:math:`E_k` the last block of columns of the identity. The dual coefficients of all members of a chain,
:math:`c_j = M S^j y` with :math:`M = (K + \lambda I)^{-1}` and :math:`S = K M`, are approximated by the same functions of T.

**What is left is known.** With :math:`s_j = S^j y`, and hats for approximations, it holds without any error that

.. math::
    (K + \lambda I)\,\hat c_j = \hat s_j + \rho_j, \qquad
    \rho_j = Q_{k+1} B\, E_k^\top\, T^j (T + \lambda I)^{-j-1} E_1 R, \qquad \hat s_{j+1} = \hat s_j - \lambda\,\hat c_j .

So errors obey :math:`\hat s_{j+1} - s_{j+1} = S\,(\hat s_j - s_j) - \lambda M \rho_j`. For the fitted values
:math:`s_{j+1}` of member j (a round whose weights lie in [0, 1] is a convex combination of members), and at a new point x,

.. math::
    |\hat s_{j+1} - s_{j+1}| &\le \sum_{i \le j} |\rho_i|\,\max_{0 \le a \le 1} a^{j-i} (1 - a), \\
    |k(x)^\top (\hat c_j - c_j)| &\le \sqrt{k(x, x) / \lambda}\;\Bigl[ \tfrac12 |\rho_j| +
        \sum_{i < j} |\rho_i|\,\max_{0 \le a \le 1} a^{j-i-1/2} (1 - a)^{3/2} \Bigr] .
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import blas

from kdtheory.checks import Array, column_shape, matrix, outputs, positive, require_symmetric, rounding_of, schedule, whole
from kdtheory.krylov_bound import EPS, Bound, Ritz, bound
from kdtheory.reduced import Certificate, Reduced
from kdtheory.skeleton import members

__all__ = ["ConvergenceError", "Product", "krylov"]

Product = Callable[[Array], Array]

INDEFINITE = 1e-6  # an eigenvalue further below zero than this, relative to the largest, is no rounding
SINGLY = 6  # up to so many columns are multiplied one by one: 13 ms each at n = 8000, where 2 to 8 together take 80 to 90


class ConvergenceError(ArithmeticError):
    """The error estimate stayed above the tolerance, and such a basis can be worse than none."""


def krylov(
    gram: ArrayLike | Product,
    y: ArrayLike,
    *,
    ridges: ArrayLike,
    rounds: int = 0,
    teacher_weights: ArrayLike = (),
    tolerance: float = 1e-10,
    cross: Callable[[ArrayLike], Array] | None = None,
    max_rank: int | None = None,
    progress: bool = False,
) -> Reduced:
    r"""Labels reduced to a block-Krylov basis that is as large as the ridges and rounds need.

    Parameters
    ----------
    gram : (n, n) array or callable
        K, symmetric and positive semi-definite, or its product V (n, q) -> K V (n, q), as by `kdtheory.scale.kernel_product`.
    y : (n,) or (n, p) array
        Training labels. Equal, dependent or zero columns cost nothing.
    ridges : (L,) array
        Positive: those that the result is certified for, each of them in all rounds of a chain.
    rounds : int
        T: up to which round.
    teacher_weights : array, optional
        Those of chains, constant or not, that leave [0, 1], where every weight is certified.
    tolerance : float
        For `Reduced.error`.
    cross : callable, optional
        New points -> their kernel with the training points (m, n). Left out, they come as that.
    max_rank : int, optional
        Most directions; a quarter of n, at least 500, when left out.
    progress : bool
        A line on the standard error at every tenth block.

    Returns
    -------
    Reduced
        Not `complete`. `error` is the largest of the bounds on :math:`|\hat s_{j+1} - s_{j+1}|` over ridges and members, times
        the largest sum of a round's absolute coefficients in them, for each output relative to its labels :math:`|y|`.
        :math:`|\rho_j|` includes what rounding may add, about :math:`2\,\epsilon\,d_1 |\hat c_j|`; at the worst ridge it is
        compared with residuals of the result, from one more product with K. `note` has the bound for new points.

    Raises
    ------
    ConvergenceError
        If the estimate is above `tolerance` at `max_rank`, or rounding alone is.
    ValueError
        If `gram` is not symmetric or is indefinite beyond rounding, shapes disagree, or an argument is out of range.

    References
    ----------
    Golub & Underwood (1977), The block Lanczos method for computing eigenvalues.

    Examples
    --------
    Labels see one direction for each distinct eigenvalue, however many points there are:

    >>> reduced = krylov(np.diag([1.0] * 30 + [3.0] * 20), np.arange(50.0), ridges=[0.1, 1.0], rounds=9)
    >>> reduced.eigenvalues.round(12).tolist(), reduced.error < 1e-13
    ([3.0, 1.0], True)
    """
    labels = column_shape(outputs(y, "y"))
    n = len(labels)
    limit = min(n, max(500, n // 4) if max_rank is None else whole(max_rank, "max_rank", least=1))
    grid = schedule(ridges, "ridges", above_zero=True)
    weights, growth = schedule(teacher_weights, "teacher_weights", may_be_empty=True), 1.0
    for _ in range(whole(rounds, "rounds")):  # the largest sum of absolute coefficients so far
        growth = float(np.max(np.abs(1 - weights) + np.abs(weights) * growth, initial=growth))
    allowed, product = positive(tolerance, "tolerance"), _product(gram, n)
    units, norms = _units(labels)
    first, R = _orthonormal(units, n * EPS)
    if len(R) == 0:  # labels of zero: any direction will do
        first, R = np.eye(n, 1), np.zeros((1, len(norms)))
    basis, again = _Basis(product, first, limit), 0
    for residual in basis.residuals(R, float(grid.min())):
        if progress and len(basis.diagonal) % 10 == 0:
            print(f"krylov: {basis.rank} directions, residual {residual:.1e} at the smallest ridge", file=sys.stderr)
        if basis.full or (growth * residual <= allowed and basis.rank >= again):
            ritz = basis.ritz(R)
            certain = bound(ritz, grid, rounds, growth)
            if basis.full or certain.error <= allowed or certain.rounding > allowed:
                break
            again = basis.rank + basis.rank // 20 + 1
    W = basis.Q[:, : basis.rank]
    for start in range(0, n, 1024):  # Q S, written over Q
        W[start : start + 1024] = W[start : start + 1024] @ ritz.vectors
    factor = _confirmed(product, W, ritz, units, certain, rounds)
    error, at_new = factor * certain.error, factor * certain.at_new
    rounding = error - certain.error + certain.rounding
    if not error <= allowed:
        cure = "a larger `max_rank`, a Spectrum" if rounding < min(allowed, error / 2) else "a tolerance above that"
        raise ConvergenceError(
            f"`tolerance` {allowed:.1g} is not reached: {basis.rank} directions leave an error of up to {error:.1g} |y| at "
            f"ridge {certain.ridge:.3g}, {rounding:.1g} |y| by rounding; {cure} or a larger ridge would do."
        )

    def seen(new: ArrayLike) -> Array:
        return np.asarray(matrix(new if cross is None else cross(new), "cross", shape=(None, n)) @ W)

    z = ritz.z * norms
    energy, outside = np.sum(z**2, axis=1), float(np.sum((labels - W @ z) ** 2))
    note = (
        f"Block Lanczos, {basis.rank} directions by {len(basis.diagonal) + 1} products with the Gram matrix: fitted values "
        f"within {error:.1g} |y| for ridges from {grid.min():.3g}, new points within {at_new:.1g} sqrt(k(x, x)) |y|."
    )
    held = (ritz.d, z, seen, energy, outside, n, "krylov", error, note, Certificate(float(grid.min()), rounds, growth))
    return Reduced(*held, complete=False, vector=np.ndim(y) == 1)


class _Basis:
    """Orthonormal blocks and the blocks of T. Of the memory for `limit` directions only what is reached is touched."""

    def __init__(self, product: Product, first: Array, limit: int) -> None:
        width = first.shape[1]
        self.product, self.limit, self.scale = product, limit, 0.0
        self.Q = np.empty((len(first), max(limit, width)), order="F")
        self.Q[:, :width] = first
        self.edges = [0, width]  # of the blocks; the last one has not met K yet
        self.diagonal, self.coupling = list[Array](), list[Array]()

    @property
    def rank(self) -> int:  # directions that have met K
        return int(self.edges[-2])

    @property
    def full(self) -> bool:  # nothing is left to add: an invariant space, or no room
        return bool(self.edges[-1] == self.edges[-2] or self.edges[-1] > self.limit)

    def grow(self) -> tuple[Array, Array]:
        """One product with K: the next diagonal block A of T, and its coupling B to the block that follows."""
        start, stop = self.edges[-2:]
        Q = self.Q[:, :stop]
        V = self.product(Q[:, start:])
        self.scale = max(self.scale, float(np.linalg.norm(V)))
        A = Q.T @ V
        V, B = _orthonormal(V - Q @ A, EPS * self.scale)
        again = Q.T @ V  # a small block has been scaled up by now, and its rounding with it; twice is enough
        V, scaling = np.linalg.qr(V - Q @ again)
        A, B = (A + again @ B)[start:], scaling @ B
        self.diagonal.append((A + A.T) / 2)
        self.coupling.append(B)
        self.edges.append(stop + V.shape[1])
        self.Q[:, stop : self.edges[-1]] = V[:, : self.Q.shape[1] - stop]
        return self.diagonal[-1], B

    def residuals(self, R: Array, ridge: float) -> Iterator[float]:
        r"""Grows a block at a time and yields :math:`|\rho_0|`, from the block elimination of T + ridge I."""
        f, C = R, np.zeros((len(R), len(R)))
        while True:
            A, B = self.grow()
            try:
                x = np.linalg.solve(A - C + ridge * np.eye(len(A)), np.hstack([f, B.T]))
            except np.linalg.LinAlgError:
                raise ValueError(f"`gram` must be positive semi-definite, got K + {ridge:.3g} I without an inverse.") from None
            f, C = -B @ x[:, : R.shape[1]], B @ x[:, R.shape[1] :]
            yield float(np.linalg.norm(f, axis=0).max())

    def ritz(self, R: Array) -> Ritz:
        """T in its eigenbasis."""
        T = np.zeros((self.rank, self.rank))
        for k, A in enumerate(self.diagonal):
            here, after = slice(*self.edges[k : k + 2]), slice(*self.edges[k + 1 : k + 3])
            T[here, here] = A
            if after.stop <= self.rank:
                T[after, here] = self.coupling[k]
        d, S = np.linalg.eigh(T)  # of its lower half
        if d[0] < -INDEFINITE * d[-1]:
            raise ValueError(f"`gram` must be positive semi-definite, got eigenvalues from {d[0]:.3g} to {d[-1]:.3g}.")
        d, S = np.maximum(d[::-1], 0.0), S[:, ::-1]
        return Ritz(d, S, S[: len(R)].T @ R, self.coupling[-1] @ S[here])


def _confirmed(product: Product, W: Array, ritz: Ritz, units: Array, certain: Bound, rounds: int) -> float:
    """By what factor the residuals of the result's members 0 and T, from one more product with K, exceed those expected."""
    phi = members(ritz.d, np.array([certain.ridge]), rounds + 1)[:, [0, -1], 0]
    c = W @ (phi[:, :, None] * ritz.z[:, None, :]).reshape(len(ritz.d), -1)
    last = (ritz.d / (ritz.d + certain.ridge)) ** rounds * ritz.z.T
    left = product(c) + certain.ridge * c - np.hstack([units, W @ last.T])
    expected = certain.rho[:, [0, -1]].T.ravel()
    factor = float(np.max(np.linalg.norm(left, axis=0) / np.where(expected > 0, expected, 1.0)))
    if factor > 100:
        raise ValueError(f"`gram` must be one symmetric matrix in float64, got residuals {factor:.1g} times the expected.")
    return max(1.0, factor)


def _units(labels: Array) -> tuple[Array, Array]:
    """Columns of length one, or zero, and their lengths."""
    largest = np.abs(labels).max(axis=0)
    units = labels / np.where(largest > 0, largest, 1.0)
    norms = np.linalg.norm(units, axis=0)
    return units / np.where(norms > 0, norms, 1.0), norms * largest


def _orthonormal(V: Array, least: float) -> tuple[Array, Array]:
    """V = Q B with orthonormal Q, without singular values up to `least`."""
    Q, R = np.linalg.qr(V)
    U, values, Vt = np.linalg.svd(R)
    rank = int(np.count_nonzero(values > least))
    return Q @ U[:, :rank], values[:rank, None] * Vt[:rank]


def _product(gram: ArrayLike | Product, n: int) -> Product:
    """V -> K V."""
    if callable(gram):
        return lambda V: matrix(gram(V), "gram", shape=V.shape)
    K = matrix(gram, "gram", shape=(n, n))
    require_symmetric(K, "gram", float(np.sqrt(rounding_of(gram, "gram"))))
    K = np.asfortranarray(K.T if K.flags.c_contiguous else K)

    def product(V: Array) -> Array:  # reads one half of K
        if V.shape[1] > SINGLY:
            return np.asarray(blas.dsymm(1.0, K, V, lower=1))
        return np.column_stack([blas.dsymv(1.0, K, v, lower=1) for v in V.T])

    return product
