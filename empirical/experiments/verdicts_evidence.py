r"""From recorded rows to verdicts: columns and choices of rows, exact intervals of contrasts, and what an interval decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from empirical.intervals import Estimate
from empirical.store import Row
from empirical.verdict import Verdict
from kdtheory.checks import Array

__all__ = ["column", "contrast", "decided", "exponent", "rows_where", "untold", "values", "written"]


def rows_where(rows: Iterable[Row], **conditions: Any) -> list[Row]:
    """The rows whose named columns have these values."""
    return [row for row in rows if all(row.get(name) == value for name, value in conditions.items())]


def column(rows: Iterable[Row], name: str) -> Array:
    """One column as numbers."""
    return np.array([float(row[name]) for row in rows])


def values(rows: Iterable[Row], name: str) -> list[Any]:
    """What a column holds, sorted, each once."""
    return sorted({row[name] for row in rows if name in row})


def contrast(groups: Sequence[ArrayLike], coefficients: ArrayLike = 1.0) -> Estimate:
    r"""A sum of means of independent groups, :math:`\sum_j c_j \bar x_j`, with its 95 % interval by Welch and Satterthwaite.

    .. math::
        V_j = c_j^2 s_j^2 / n_j, \qquad \nu = \frac{(\sum_j V_j)^2}{\sum_j V_j^2 / (n_j - 1)} .

    Parameters
    ----------
    groups : sequence of (n_j,) arrays
        Of one value nothing is known of how it varies: the interval is then infinite.
    coefficients : (k,) array, or one number

    Returns
    -------
    Estimate

    References
    ----------
    Satterthwaite (1946), An approximate distribution of estimates of variance components; Welch (1947).

    Examples
    --------
    Of one group it is Student's interval:

    >>> print(contrast([[1.0, 2.0, 3.0, 4.0, 5.0]]))
    3.00 [1.04, 4.96]
    """
    x = [np.asarray(group, dtype=np.float64) for group in groups]
    n = np.array([len(group) for group in x])
    c = np.broadcast_to(np.asarray(coefficients, dtype=np.float64), len(x))
    value = float(sum(a * group.mean() for a, group in zip(c, x, strict=True)))
    if (n < 2).any():
        return Estimate(value, -np.inf, np.inf)
    V = c**2 * np.array([group.var(ddof=1) for group in x]) / n
    if V.sum() == 0:
        return Estimate(value, value, value)
    half = float(stdtrit(V.sum() ** 2 / np.sum(V**2 / (n - 1)), 0.975) * np.sqrt(V.sum()))
    return Estimate(value, value - half, value + half)


def exponent(x: ArrayLike, groups: Sequence[ArrayLike]) -> Estimate:
    """Of a power law through groups of positive values at positive x: slope of the mean logarithms, each x counted once.

    Examples
    --------
    >>> x, noise = np.array([1.0, 10.0, 100.0]), np.array([0.9, 1.0, 1.1])
    >>> -0.5 in exponent(x, [noise / root for root in np.sqrt(x)])
    True
    """
    u = np.log(np.asarray(x, dtype=np.float64))
    u = u - u.mean()
    return contrast([np.log(np.asarray(group, dtype=np.float64)) for group in groups], u / (u @ u))


def written(found: Estimate, digits: int = 2, unit: str = "") -> str:
    """An estimate with its interval, to so many digits after the point."""
    return f"{found.value:.{digits}f}{unit} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def decided(claim: str, found: Estimate, low: float, high: float, effect: str, seeds: int) -> Verdict:
    """A claim that a number lies between two bounds: it holds if the interval does, and fails if the interval is outside.

    An interval that is neither is too wide to tell.

    Examples
    --------
    >>> [decided("It is positive.", contrast([x]), 0, np.inf, "", 3).outcome for x in ([2, 3, 4], [-2, -3, -4], [-1, 0, 2])]
    ['reproduced', 'not reproduced', 'not testable here']
    """
    if low <= found.low and found.high <= high:
        return Verdict(claim, "reproduced", effect, seeds)
    if found.high < low or found.low > high:
        return Verdict(claim, "not reproduced", effect, seeds)
    told = "" if np.isnan(found.value) else f"{effect}; "
    return Verdict(claim, "not testable here", f"{told}the interval is too wide to tell", seeds)


def untold(claim: str, why: str) -> Verdict:
    """A claim that these rows say nothing about."""
    return Verdict(claim, "not testable here", why, 0)
