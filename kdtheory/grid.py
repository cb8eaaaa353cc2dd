r"""Whole grids, ridge × teacher weight × round, from labels seen in an eigenbasis.

A prediction in coordinates is :math:`V\,\mathrm{dual}(d)\,z`: eigenvalues d (r,), labels z (r, p), points V (m, r). How the
basis was made (exactly, by Krylov, Nyström or random features) makes no difference here.

**Validation error.** With the members :math:`\varphi_{\lambda, j}` of `kdtheory.skeleton`, round t at constant weight w is

.. math::
    \hat y_t = (1 - w) \sum_{j < t} w^j P_{\lambda, j} + w^t P_{\lambda, t}, \qquad
    P_{\lambda, j} = V\,\varphi_{\lambda, j}(d)\,z = \sum_k c_{k \lambda j}\, P_k ,

so one QR decomposition of :math:`[P_k, y_{val}]` prices every model by vectors of its R factor, without subtracting norms.

**Generalised cross-validation.** The residual filter is :math:`\frac{\lambda}{d + \lambda} \sum_{j \le t} (w s)^j`. Its sum
over eigenvalues, and its square against the energies of the labels, are polynomials in w whose coefficients are moments of the
shrinkage s, with nonnegative terms for w >= 0.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdtheory.checks import Array
from kdtheory.filters import Distilled
from kdtheory.skeleton import ACCEPTED, Skeleton

__all__ = [
    "POWER_BASIS_GROWTH",
    "Seen",
    "growth",
    "in_power_basis",
    "residual_moments",
    "squared_errors",
    "squared_sums",
    "validation_grid",
]

POWER_BASIS_GROWTH = 100.0
BLOCK_ENTRIES = 2**23
SHORT = 64  # rounds up to which a triangular product is faster than running sums


class Seen(NamedTuple):
    r"""New points as a linear map of the coordinates: V = `points` or, where `vectors` is given, `points` @ `vectors`.

    An exact spectrum has points = cross (m, n) and vectors = eigenvectors (n, r); which product comes first is decided by
    their cost.
    """

    points: Array
    vectors: Array | None = None

    def basis(self) -> Array:
        """V (m, r)."""
        return self.points if self.vectors is None else np.asarray(self.points @ self.vectors)

    def for_columns(self, q: int) -> Seen:
        """The same points with V multiplied out, unless q columns are so few that they cost half as much without it."""
        if self.vectors is None:
            return self
        (m, n), r = self.points.shape, self.vectors.shape[1]
        if m * n * r + m * r * q < 2 * (n * r * q + m * n * q):  # then rounding is the same in every column, too
            return Seen(self.basis())
        return self


def validation_grid(
    d: Array, z: Array, seen: Seen, wanted: Array, *, ridges: Array, weights: Array, rounds: int, method: str = "auto"
) -> Array:
    """Mean squared error at points `seen` with values `wanted` (m, p), over ridge × constant weight × round: (L, A, T + 1)."""
    grid = np.empty((len(ridges), len(weights), rounds + 1))
    steady = np.zeros(len(weights), dtype=bool) if method == "direct" else in_power_basis(weights, rounds)
    if method == "basis":
        steady[:] = True
    if steady.any():
        span = functools.partial(Skeleton.of, rounds=rounds, largest=float(d[0]), smallest=float(d[-1]))
        skeleton = None if method == "basis" else span(ridges)
        if skeleton is not None and skeleton.error <= ACCEPTED:
            grid[:, steady] = _priced(skeleton, d, z, seen, wanted, weights[steady])
        else:  # the members of one ridge span its own rounds, whatever the range of the grid
            seen = seen.for_columns(z.shape[1] * len(ridges) * (rounds + 1))
            for row, ridge in zip(grid, ridges, strict=True):
                row[steady] = _priced(span(ridge[None]), d, z, seen, wanted, weights[steady])[0]
    if not steady.all():
        basis = seen.basis()
        for i in np.flatnonzero(~steady):
            for row, ridge in zip(grid, ridges.tolist(), strict=True):
                chain = Distilled.constant(ridge=ridge, teacher_weight=weights[i], rounds=rounds).every_round(d)
                row[i] = [np.mean((wanted - basis @ (dual[:, None] * z)) ** 2) for dual in chain.dual]
    return grid


def _priced(skeleton: Skeleton, d: Array, z: Array, seen: Seen, wanted: Array, weights: Array) -> Array:
    """|V dual(d) z - wanted|^2 / (m p) of every model, from the R factor of [P_k, wanted]: (L, A, T + 1)."""
    chosen = skeleton.columns(d)
    q, p = chosen.shape[1], z.shape[1]
    points, vectors = seen.for_columns(p * q)
    R, some = np.empty((0, q + 1)), max(1, BLOCK_ENTRIES // (len(d) * q))
    for outputs in (slice(first, first + some) for first in range(0, p, some)):
        columns = (z[:, outputs, None] * chosen[:, None, :]).reshape(len(d), -1)
        if vectors is not None:
            columns = vectors @ columns
        height = max(1, BLOCK_ENTRIES // columns.shape[1])
        for rows in (slice(start, start + height) for start in range(0, len(points), height)):
            values = wanted[rows, outputs].reshape(-1, 1)
            block = np.concatenate([(points[rows] @ columns).reshape(-1, q), values], axis=1)
            R = np.asarray(np.linalg.qr(block if len(R) == 0 else np.concatenate([R, block]), mode="r"))
    L, count = skeleton.coefficients.shape[1:]
    risks, some = np.empty((L, len(weights), count)), max(1, BLOCK_ENTRIES // (len(R) * (count + 1)))
    for ridges in (slice(first, first + some) for first in range(0, L, some)):
        own = np.tensordot(R[:, :q], skeleton.coefficients[:, ridges], axes=1).transpose(1, 0, 2)  # P_j in R's rows
        beside = np.concatenate([own, np.broadcast_to(R[:, q:], (*own.shape[:2], 1))], axis=2)
        risks[ridges] = squared_errors(beside, weights) / wanted.size
    return risks


def squared_errors(beside: Array, weights: Array) -> Array:
    r""":math:`|\hat y_t - y|^2` of weights and rounds (L, A, T + 1), from stacks :math:`[P_0 \dots P_T, y]` (L, rows, T + 2).

    By :math:`\hat y_t - \hat y_{t-1} = w^t (P_t - P_{t-1})`.
    """
    R = np.asarray(np.linalg.qr(beside, mode="r"))
    return squared_sums(np.diff(R[..., :-1], axis=2, prepend=0.0), weights, R[..., -1:])


def squared_sums(terms: Array, weights: Array, less: Array | float = 0.0) -> Array:
    r""":math:`|\sum_{j \le t} w^j c_j - b|^2`, columns :math:`c_j` of `terms` (L, rows, T + 1), b = `less`: (L, A, T + 1)."""
    L, rows, count = terms.shape
    squares, some = np.empty((L, len(weights), count)), max(1, BLOCK_ENTRIES // (max(rows, min(count, SHORT)) * count))
    for chosen in (slice(first, first + some) for first in range(0, len(weights), some)):
        powers = weights[chosen, None, None] ** np.arange(count)
        mixes = (powers * np.tri(count)).reshape(-1, count).T if count <= SHORT else None
        for square, c, b in zip(squares, terms, np.broadcast_to(less, (L, rows, 1)), strict=True):
            if mixes is not None:
                sums = c @ mixes - b
                square[chosen] = np.einsum("rk,rk->k", sums, sums).reshape(-1, count)
            else:
                sums = np.cumsum(powers * c, axis=2) - b
                square[chosen] = np.einsum("art,art->at", sums, sums)
    return squares


def in_power_basis(weights: Array, T: int) -> NDArray[np.bool_]:
    """For which weights (A,) a round, a combination of members, keeps its digits over T rounds: `growth` is small."""
    size = np.abs(weights)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.where(size == 1, T, (1 - size**T) / np.where(size == 1, 1, 1 - size))
        return np.asarray(np.abs(1 - weights) * sums + size**T <= POWER_BASIS_GROWTH)


def growth(weights: Array) -> float:
    """Largest sum of absolute coefficients of any round, in the members, over schedules in columns (rounds, chains)."""
    sums = largest = np.ones(weights.shape[1:])
    with np.errstate(over="ignore"):
        for w in weights:
            sums = np.abs(1 - w) + np.abs(w) * sums
            largest = np.maximum(largest, sums)
    return float(np.max(largest, initial=1.0))


def residual_moments(d: Array, energy: Array, ridges: Array, weights: Array, T: int) -> tuple[Array, Array]:
    r"""Sum of squared residuals and trace of the residual filter within the eigenbasis, each (L, A, T + 1).

    With :math:`e_t = u \sum_{j \le t} (w s)^j`, :math:`u = \lambda/(d + \lambda)`, :math:`s = d/(d + \lambda)` and
    `energy` (r,) the squared labels of each direction,

    .. math::
        \sum_i e_{t,i} = \sum_{j \le t} w^j \sum_i u_i s_i^j, \qquad
        \sum_i e_{t,i}^2\, z_i^2 = \sum_{k \le 2t} \min(k + 1, 2t + 1 - k)\, w^k \sum_i u_i^2 s_i^k z_i^2 .

    Every term is nonnegative for w >= 0; a negative weight is evaluated filter by filter.
    """
    losses, traces = np.empty((2, len(ridges), len(weights), T + 1))
    k, t = np.arange(2 * T + 1), np.arange(T + 1)
    times = np.clip(np.minimum(k + 1, 2 * t[:, None] + 1 - k), 0, None)  # (T + 1, 2 T + 1)
    positive = weights >= 0
    with np.errstate(over="ignore"):
        powers = weights[positive, None] ** k  # (A, 2 T + 1)
    powers_of_s = np.empty((2 * T + 1, len(d)))
    for row, ridge in enumerate(ridges.tolist()):
        with np.errstate(over="ignore"):
            u, s = 1.0 / (1.0 + d / ridge), d / (d + ridge)
        powers_of_s[0] = 1.0
        for j in range(1, 2 * T + 1):
            np.multiply(powers_of_s[j - 1], s, out=powers_of_s[j])
        with np.errstate(over="ignore", invalid="ignore"):
            losses[row, positive] = (powers * (powers_of_s @ (u**2 * energy))) @ times.T
            traces[row, positive] = np.cumsum(powers[:, : T + 1] * (powers_of_s[: T + 1] @ u), axis=1)
        for i in np.flatnonzero(~positive | ~np.isfinite(losses[row]).all(axis=1) | ~np.isfinite(traces[row]).all(axis=1)):
            residual = Distilled.constant(ridge=ridge, teacher_weight=weights[i], rounds=T).every_round(d).residual
            losses[row, i], traces[row, i] = residual**2 @ energy, residual.sum(axis=1)
    return losses, traces
