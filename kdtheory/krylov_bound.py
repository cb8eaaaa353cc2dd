"""What a block-Krylov basis may be wrong by: the bounds stated in `kdtheory.krylov`, over ridges, members and outputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kdtheory.checks import Array
from kdtheory.skeleton import members

__all__ = ["EPS", "Bound", "Ritz", "bound"]

EPS = float(np.finfo(np.float64).eps)
ROUNDING = 2 * EPS  # of |K| |c|: measured 0.2 to 5, least where the ridge is small; more is seen by the check of `krylov`
SPAN = 16 * EPS  # of |y|: how well the basis holds it; measured up to 16


class Ritz(NamedTuple):
    """Eigenvalues of T, descending and clipped at zero; their vectors; labels and the last coupling in their coordinates."""

    d: Array
    vectors: Array
    z: Array
    coupling: Array


class Bound(NamedTuple):
    """Largest error over ridges, members and outputs, its part from rounding, its ridge and that one's |rho| (p, T + 1)."""

    error: float
    rounding: float
    ridge: float
    rho: Array
    at_new: float


def bound(ritz: Ritz, ridges: Array, rounds: int, growth: float) -> Bound:
    """The largest one, and what it consists of."""
    j = np.arange(rounds + 1)
    m = j - j[:, None]
    g, h = np.where(m >= 0, _peak(np.abs(m), 1.0), 0.0), np.where(m > 0, _peak(np.abs(m - 0.5), 1.5), 0.0)
    towards = (ritz.coupling[:, None, :] * ritz.z.T).reshape(-1, len(ritz.d))  # (next block x outputs, rank)
    bounds = []
    for ridge in ridges:
        phi = members(ritz.d, ridge[None], rounds + 1)[:, :, 0]
        floor = SPAN * np.linalg.norm(ritz.z, axis=0)[:, None] + ROUNDING * ritz.d[0] * np.sqrt((ritz.z.T**2) @ phi**2)
        rho = np.linalg.norm((towards @ phi).reshape(-1, *floor.shape), axis=0) + floor
        error, rounding = (growth * float(np.max(part @ g)) for part in (rho, floor))
        bounds.append(Bound(error, rounding, float(ridge), rho, growth * float(np.max(rho / 2 + rho @ h) / np.sqrt(ridge))))
    return max(bounds, key=lambda each: each.error)._replace(at_new=max(each.at_new for each in bounds))


def _peak(m: Array, k: float) -> Array:
    """Largest a^m (1 - a)^k for a in [0, 1]."""
    return np.asarray((m / (m + k)) ** m * (k / (m + k)) ** k)
