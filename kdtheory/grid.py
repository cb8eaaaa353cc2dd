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

__all__ = ["Seen", "in_power_basis", "power_coefficients", "residual_moments", "validation_grid"]

POWER_BASIS_GROWTH = 100.0
BLOCK_ENTRIES = 2**23


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

    def towards(self, columns: Array) -> tuple[Array, Array]:
        """Two factors of V @ columns, the smaller way round."""
        if self.vectors is None:
            return self.points, columns
        (m, n), r, q = self.points.shape, len(columns), columns.shape[1]
        if m * n * r + m * r * q < 2 * (n * r * q + m * n * q):  # this way round, rounding is the same in every column
            return self.basis(), columns
        return self.points, np.asarray(self.vectors @ columns)


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
    left, right = seen.towards((z[:, :, None] * chosen[:, None, :]).reshape(len(d), p * q))
    R = np.empty((0, q + 1))
    height = max(1, BLOCK_ENTRIES // (p * q))
    for start in range(0, len(left), height):
        block = np.empty((len(left[start : start + height]) * p, q + 1))
        block[:, :q] = (left[start : start + height] @ right).reshape(-1, q)
        block[:, q] = wanted[start : start + height].ravel()
        R = np.asarray(np.linalg.qr(block if len(R) == 0 else np.concatenate([R, block]), mode="r"))
    _, L, count = skeleton.coefficients.shape
    own = np.empty((L, len(R), count + 1))  # P_j of each ridge in the coordinates of R's rows, and the values wanted
    own[:, :, :count] = np.tensordot(R[:, :q], skeleton.coefficients, axes=1).transpose(1, 0, 2)
    own[:, :, count] = R[:, q]
    own = np.asarray(np.linalg.qr(own, mode="r"))
    mixes = np.concatenate([power_coefficients(weight, count - 1) for weight in weights.tolist()])  # (A (T + 1), T + 1)
    risks = np.empty((L, len(weights), count))
    for row, r in zip(risks, own, strict=True):
        residuals = r[:, :count] @ mixes.T - r[:, count:]
        row[:] = np.einsum("ij,ij->j", residuals, residuals).reshape(row.shape) / wanted.size
    return risks


def in_power_basis(weights: Array, T: int) -> NDArray[np.bool_]:
    """For which weights (A,) the combinations of `power_coefficients` keep their digits over T rounds."""
    size = np.abs(weights)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.where(size == 1, T, (1 - size**T) / np.where(size == 1, 1, 1 - size))
        return np.asarray(np.abs(1 - weights) * sums + size**T <= POWER_BASIS_GROWTH)


def power_coefficients(weight: float, T: int) -> Array:
    r"""Coefficients (T + 1, T + 1) of a constant-weight chain: round t is :math:`\sum_j c_{tj} A^{j+1}`.

    Round t has :math:`(1 - w) w^j` at powers j < t and :math:`w^t` at power t.
    """
    powers = weight ** np.arange(T + 1)
    coefficients = np.tril(np.broadcast_to((1 - weight) * powers, (T + 1, T + 1)), -1)
    coefficients[np.arange(T + 1), np.arange(T + 1)] = powers
    return coefficients


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
