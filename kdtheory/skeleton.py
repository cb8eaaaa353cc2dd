r"""The span of a grid's filters: a hundred columns that hold every ridge, teacher weight and round.

With shrinkage :math:`s = d/(d + \lambda)`, each model of a grid is a combination, over j, of its members

.. math::
    \varphi_{\lambda, j}(d) = \frac{s^j}{d + \lambda}, \qquad j = 0 \dots T .

As functions of log d these are smooth and about a decade wide, so on a range of sixteen decades some hundred of them
span all the others, however dense the grid. `Skeleton.of` chooses such genuine members by a pivoted QR decomposition on
nodes in log d and writes every member in them. It sees ridges and the range of the eigenvalues, and no data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from kdtheory.checks import Array

__all__ = ["ACCEPTED", "Skeleton", "members"]

TOLERANCE = 1e-14  # where the pivoting stops, relative to what a member can contribute to a prediction at most
ACCEPTED = 1e-12  # a skeleton with a larger error is not used
MISSED = 1e-13  # a member that is written worse than this, on or between nodes, joins the candidates
NODES_PER_DECADE = 20
TINY = float(np.finfo(np.float64).tiny)
CANDIDATES = 400  # how many members the pivoting looks at first


def members(d: Array, ridges: Array, count: int) -> Array:
    r""":math:`\varphi_{\lambda, j}(d)` of every j < `count` and every ridge: (r, count, L)."""
    total = d[:, None] + ridges
    values = np.empty((len(d), count, len(ridges)))
    values[:, 0] = 1.0 / total
    shrinkage = d[:, None] / total
    for j in range(1, count):
        np.multiply(values[:, j - 1], shrinkage, out=values[:, j])
    return values


@dataclass(frozen=True, eq=False)
class Skeleton:
    r"""Some members of a grid, and each one written in them, :math:`\varphi_{\lambda, j} = \sum_k c_{k \lambda j}\,\varphi_k`.

    Attributes
    ----------
    ridges : (q,) array
        :math:`\lambda` of the members chosen.
    powers : (q,) array
        Their j.
    coefficients : (q, L, T + 1) array
        :math:`c_{k \lambda j}`.
    error : float
        Largest :math:`\sqrt d\,|\varphi - \sum c\,\varphi_k|` on and between the nodes, each ridge's relative to its largest
        :math:`\sqrt d / (d + \lambda)`. (A kernel's new point reaches an eigenvector by :math:`\sqrt{d\,k(x, x)}` at most.)

    Examples
    --------
    Ten thousand filters are combinations of one hundred and fifty:

    >>> import numpy as np
    >>> skeleton = Skeleton.of(np.logspace(-6, 2, 500), rounds=20, largest=1e3)
    >>> skeleton.coefficients.shape[1:], len(skeleton.ridges) < 150, skeleton.error < 1e-12
    ((500, 21), True, True)
    """

    ridges: Array
    powers: NDArray[np.intp]
    coefficients: Array
    error: float

    @classmethod
    def of(cls, ridges: Array, *, rounds: int, largest: float, smallest: float = 0.0) -> Skeleton:
        """Of the members with these positive ridges and j up to `rounds`, for eigenvalues from `smallest` to `largest`."""
        nodes, between = _nodes(float(ridges.min()), largest, smallest)
        scale = _largest_contribution(nodes, ridges)
        values, checks = (_weighted(points, ridges, scale, rounds + 1) for points in (nodes, between))
        candidates = _thinned(np.argsort(ridges), rounds + 1)
        while True:
            Q, R, order = scipy.linalg.qr(values[:, candidates], mode="economic", pivoting=True, check_finite=False)
            pivots = np.abs(np.diag(R))
            q = int(np.count_nonzero(pivots > TOLERANCE * pivots[0]))
            chosen = candidates[order[:q]]
            coefficients = scipy.linalg.solve_triangular(R[:q, :q], Q[:, :q].T @ values, check_finite=False)
            errors = np.abs(checks - checks[:, chosen] @ coefficients).max(axis=0)
            missed = np.setdiff1d(np.flatnonzero(errors > MISSED), candidates)
            if len(missed) == 0:
                break
            candidates = np.union1d(candidates, missed[:: 1 + len(missed) // CANDIDATES])
        powers, which = np.divmod(chosen, len(ridges))
        unscaled = coefficients.reshape(q, -1, len(ridges)) * (scale / scale[which, None])[:, None]
        return cls(ridges[which], powers, unscaled.transpose(0, 2, 1), float(errors.max()))

    def columns(self, d: Array) -> Array:
        r"""The members chosen, :math:`\varphi_k(d)`: (r, q)."""
        total = d[:, None] + self.ridges
        return np.asarray((d[:, None] / total) ** self.powers / total)


def _nodes(smallest_ridge: float, largest: float, smallest: float) -> tuple[Array, Array]:
    """Chebyshev nodes on every decade and some points between them; a thousandth of a ridge is zero to its members."""
    top = largest if largest > 1e3 * TINY else 1.0
    bottom = min(top, max(smallest, 1e-3 * min(smallest_ridge, top), TINY))
    decades = max(1, int(np.ceil(np.log10(top) - np.log10(bottom))))
    edges = np.linspace(np.log(bottom), np.log(top), decades + 1)
    steps = 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * NODES_PER_DECADE) / (2 * NODES_PER_DECADE))
    fine = np.add.outer(edges[:-1], steps * (edges[1] - edges[0])).ravel()
    return np.exp(np.append(fine[::2], edges[-1])), np.exp(fine[1::6])


def _largest_contribution(d: Array, ridges: Array) -> Array:
    r""":math:`\max_d \sqrt d/(d + \lambda)` for each ridge (L,)."""
    at = np.clip(ridges, d[0], d[-1])
    return np.asarray(np.sqrt(at) / (at + ridges))


def _weighted(d: Array, ridges: Array, scale: Array, count: int) -> Array:
    """Members times sqrt(d) / scale, one in each column: (r, count L)."""
    values = members(d, ridges, count)
    values *= (np.sqrt(d)[:, None] / scale)[:, None]
    return values.reshape(len(d), -1)


def _thinned(order: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Members of ridges spread over the sorted grid and of powers that grow geometrically, about `CANDIDATES` in all."""
    if len(order) * count <= CANDIDATES:
        return np.arange(len(order) * count)
    powers = np.unique(np.geomspace(1, count, min(count, 20)).astype(int)) - 1
    spread = np.linspace(0, len(order) - 1, min(max(2, CANDIDATES // len(powers)), len(order)))
    return np.asarray(np.unique(np.add.outer(powers * len(order), order[spread.astype(int)])))
