r"""Which rows stand for all of them: centres of a Nyström approximation, by four rules.

Each rule returns the numbers of rows of X. Rules that look at the kernel look at `candidates` rows at most, drawn uniformly:
from more than ten times as many as are wanted little is to be gained.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kdtheory.checks import Array, numeric, positive, whole
from kdtheory.spectrum import Spectrum

__all__ = ["Kernel", "RowNumbers", "kernel_diagonal", "leverage", "pivoted", "taken", "uniform"]

Kernel = Callable[..., Array]  # kernel(X) -> (n, n), kernel(X_new, X) -> (m, n)
RowNumbers = NDArray[np.intp]

CANDIDATES = 5000  # at least so many are looked at, or ten times as many as are wanted
PILOT = 500  # uniform centres from which leverage is estimated, at least
SQUARE = 64  # the diagonal of a kernel is read off squares of this side


def uniform(X: Array, count: int, *, seed: int = 0) -> RowNumbers:
    """So many different rows, all equally likely, in ascending order.

    Parameters
    ----------
    X : (n, features) array, memory map, or anything with a shape
    count : int
        m, from 1 to n.
    seed : int

    Raises
    ------
    ValueError
        If there are fewer rows.

    Examples
    --------
    >>> uniform(np.zeros((5, 1)), 5)
    array([0, 1, 2, 3, 4])
    """
    n, m = len(X), whole(count, "count", least=1)
    if m > n:
        raise ValueError(f"`count` must be at most the number of rows, {n}, got {m}.")
    return np.sort(np.random.default_rng(whole(seed, "seed")).choice(n, m, replace=False))


def leverage(
    X: Array,
    count: int,
    *,
    kernel: Kernel,
    ridge: float,
    seed: int = 0,
    candidates: int | None = None,
    pilot: int | None = None,
) -> RowNumbers:
    r"""Rows drawn with probabilities proportional to their ridge leverage, :math:`[K(K + \lambda I)^{-1}]_{ii}`.

    With s uniform rows S in the place of all n,

    .. math::
        \ell_i = \tfrac1\lambda\big[k_{ii} - k_{iS}\,(K_{SS} + \mu I)^{-1}\,k_{Si}\big], \qquad \mu = \tfrac{s}{n}\,\lambda ,

    which is exact at s = n.

    Parameters
    ----------
    X, count, seed
        As in `uniform`.
    kernel : callable
        ``kernel(X, Z)``, such as ``functools.partial(kd.kernels.rbf, gamma=0.1)``.
    ridge : float
        :math:`\lambda > 0`, of the regression on all n rows.
    candidates : int, optional
        Rows that are looked at: 10 m, and 5,000 at least, when left out.
    pilot : int, optional
        s: as many as are wanted, and 500 at least, when left out.

    Returns
    -------
    (m,) array
        Different rows, ascending.

    Raises
    ------
    ValueError
        If there are fewer rows, or a parameter is out of its range.

    References
    ----------
    Alaoui & Mahoney (2015), arXiv:1411.0306; Rudi, Calandriello, Carratino & Rosasco (2018), arXiv:1810.13258. (Reweighting,
    which sampled sums would need, is not needed by centres.)

    Examples
    --------
    Rows far from the others are the ones that others cannot replace:

    >>> from functools import partial
    >>> from kdtheory.kernels import rbf
    >>> X = np.append(np.zeros(200), [5.0, -5.0])[:, None]
    >>> leverage(X, 3, kernel=partial(rbf, gamma=1.0), ridge=0.1)[1:]
    array([200, 201])
    """
    level = positive(ridge, "ridge")
    chosen, looked_at, rng = _candidates(X, count, candidates, seed)
    s = min(len(chosen), max(PILOT, count) if pilot is None else whole(pilot, "pilot", least=1))
    scores = _leverage(looked_at, kernel, level, rng.choice(len(chosen), s, replace=False), len(X))
    return np.sort(chosen[rng.choice(len(chosen), count, replace=False, p=scores / scores.sum())])


def _leverage(X: Array, kernel: Kernel, ridge: float, pilot: RowNumbers, n: int) -> Array:
    spectrum = Spectrum.from_gram(kernel(X[pilot]))
    coordinates = kernel(X, X[pilot]) @ spectrum.eigenvectors
    explained = coordinates**2 @ (1 / (spectrum.eigenvalues + ridge * len(pilot) / n))
    own = kernel_diagonal(kernel, X)
    # a score of zero is rounding, and rows of such scores may be wanted if there are no others
    return np.asarray(np.maximum(own - explained, np.finfo(float).eps * own.max()) / ridge)


def pivoted(
    X: Array, count: int, *, kernel: Kernel, seed: int = 0, candidates: int | None = None, random: bool = False
) -> RowNumbers:
    r"""Rows one by one, each where the kernel is explained worst by those before: pivoted Cholesky.

    The residual :math:`r_i = k_{ii} - k_{iZ} K_{ZZ}^{-1} k_{Zi}` decides: its largest entry is next, or a row drawn with
    probability proportional to it.

    Parameters
    ----------
    X, count, kernel, candidates
        As in `leverage`.
    seed : int
        Of the candidates, and of the draws.
    random : bool
        Draw the next row; the largest is greedy, and prefers outliers.

    Returns
    -------
    (m,) array
        In the order in which they were chosen; fewer where these explain all candidates.

    Raises
    ------
    ValueError
        If there are fewer rows, or a parameter is out of its range.

    References
    ----------
    Greedy: Fine & Scheinberg (2001), J. Mach. Learn. Res. 2; random: Chen, Epperly, Tropp & Webber (2022), arXiv:2207.06503.

    Examples
    --------
    Three different points need no fourth centre:

    >>> from kdtheory.kernels import rbf
    >>> pivoted(np.array([[0.0], [1.0], [0.0], [9.0]]), 4, kernel=rbf).tolist()
    [0, 3, 1]
    """
    chosen, looked_at, rng = _candidates(X, count, candidates, seed)
    residual = kernel_diagonal(kernel, looked_at).copy()
    rounding = len(chosen) * float(np.finfo(float).eps) * float(residual.max())
    F = np.empty((count, len(chosen)))
    pivots: list[int] = []
    while len(pivots) < count and residual.max() > rounding:
        i = int(rng.choice(len(chosen), p=residual / residual.sum()) if random else residual.argmax())
        done = len(pivots)
        F[done] = kernel(looked_at[i : i + 1], looked_at)[0] - F[:done, i] @ F[:done]
        F[done] /= np.sqrt(residual[i])
        residual = np.maximum(residual - F[done] ** 2, 0.0)
        residual[i] = 0.0
        pivots.append(i)
    return np.asarray(chosen[pivots])


def kernel_diagonal(kernel: Kernel, X: Array) -> Array:
    """The kernel of each row with itself, off small squares on the diagonal."""
    squares = (kernel(X[start : start + SQUARE]) for start in range(0, len(X), SQUARE))
    return np.concatenate([np.diagonal(square) for square in squares])


def taken(X: Array, numbers: RowNumbers) -> Array:
    """Those rows of an array, a memory map or a file's data set in float64; read in ascending order, as files want it."""
    ascending = np.unique(numbers)
    values = np.asarray(numeric((X if hasattr(X, "shape") else np.asarray(X))[ascending], "X"), dtype=np.float64)
    if not np.isfinite(values).all():
        row = ascending[~np.isfinite(values.reshape(len(values), -1)).all(axis=1)][0]
        raise ValueError(f"`X` must be finite, got nan or infinity in row {row}; remove or impute it.")
    return np.asarray(values[np.searchsorted(ascending, numbers)])


def _candidates(X: Array, count: int, candidates: int | None, seed: int) -> tuple[RowNumbers, Array, np.random.Generator]:
    wanted = whole(count, "count", least=1)
    most = max(CANDIDATES, 10 * wanted) if candidates is None else whole(candidates, "candidates", least=wanted)
    chosen = uniform(X, min(len(X), max(most, wanted)), seed=seed) if wanted <= len(X) else uniform(X, wanted)
    return chosen, taken(X, chosen), np.random.default_rng([seed, 1])
