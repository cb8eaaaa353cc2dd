r"""Early stopping is nearly a ridge: how near, on given eigenvalues and labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from kdtheory.checks import Array, column_shape
from kdtheory.elementary_filters import Ridge
from kdtheory.spectrum import Filter, Spectrum, require_spectrum
from kdtheory.training_filters import require_filter

__all__ = ["RidgeMatch", "closest_ridge"]


@dataclass(frozen=True)
class RidgeMatch:
    """A ridge beside another filter.

    Attributes
    ----------
    ridge : float
    error : float
        Distance of the two fits, relative to the filter's own fit.
    largest_gap : float
        Largest difference of the two multipliers over the eigenvalues.
    """

    ridge: float
    error: float
    largest_gap: float


def closest_ridge(spectrum: Spectrum, filter: Filter, y: ArrayLike | None = None) -> RidgeMatch:
    r"""The ridge whose fit is closest to another filter's, such as that of training for a while.

    Minimises :math:`\sum_i z_i^2\,\big(\mathrm{fit}(d_i) - \frac{d_i}{d_i + \lambda}\big)^2` over :math:`\lambda`, with
    :math:`z = U^\top y`. Gradient flow for a time t is closest to a ridge of about 1/t: at :math:`\lambda = 1/t` the
    multipliers differ by at most 0.2036, on any spectrum.

    Parameters
    ----------
    spectrum : Spectrum
    filter : Filter
    y : (n,) or (n, p) array, optional
        Labels; every direction counts the same if left out.

    Returns
    -------
    RidgeMatch

    Raises
    ------
    ValueError
        If the filter fits nothing (zero time, a zero Gram matrix, labels without a part in its range) or everything (infinite
        time): no ridge does.

    References
    ----------
    Ali, Kolter & Tibshirani (2019), arXiv:1810.10082.

    Examples
    --------
    >>> from kdtheory import GradientFlow
    >>> s = Spectrum.from_gram(np.diag([4.0, 2.0, 1.0, 0.5, 0.1]))
    >>> match = closest_ridge(s, GradientFlow(1.0))
    >>> round(match.ridge, 3), round(match.largest_gap, 3)
    (0.569, 0.106)
    """
    require_spectrum(spectrum)
    require_filter(filter, "filter")
    d = spectrum.eigenvalues
    energy = np.ones_like(d) if y is None else np.sum(column_shape(spectrum.project(y)) ** 2, axis=1)
    target = filter.fit(d)
    size = float(np.sum(energy * target**2))
    if not (d[0] > 0 and size > 0):
        raise ValueError("`filter` must fit a part of the labels; here it fits nothing, like an infinite ridge.")

    def error(log_ridge: float) -> float:
        return float(np.sum(energy * (target - Ridge(float(np.exp(log_ridge))).fit(d)) ** 2)) / size

    # direction i alone would ask for the ridge d_i residual_i / fit_i; outside the range of these the error grows
    counts = (d > 0) & (energy > 0) & (target > 0)
    own = d[counts] * filter.residual(d)[counts] / target[counts]
    if not (own.size and own.max() > np.finfo(float).tiny):
        raise ValueError("`filter` must leave a part of the labels: where it fits them all, the closest ridge is zero.")
    least = max(float(own.min()), np.finfo(float).eps * min(float(d[counts].min()), float(own.max())))
    grid = np.linspace(np.log(least), np.log(own.max()), 400)  # the error may have several minima
    best = int(np.argmin([error(x) for x in grid]))
    inside = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(error, bounds=inside, method="bounded", options={"xatol": 1e-10})
    ridge = float(np.exp(found.x))
    gap: Array = np.abs(target - Ridge(ridge).fit(d))
    return RidgeMatch(ridge, float(np.sqrt(found.fun)), float(gap.max()))
