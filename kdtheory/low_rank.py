r"""All rows through few features: Nyström centres or random features, then every ridge, teacher weight and round for nothing.

With the sums :math:`H = \Phi^\top\Phi = W\,\mathrm{diag}(d)\,W^\top` and :math:`b = \Phi^\top y` of one pass over the rows,
labels are :math:`z = W^\top b`, new points :math:`V = \phi(X_{new})\,W`, and a filter predicts :math:`V\,\mathrm{dual}(d)\,z`:
nothing is divided by :math:`\sqrt d`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kdtheory.centres import Kernel
from kdtheory.checks import Array, column_shape, schedule
from kdtheory.eigensolver import decomposed
from kdtheory.feature_maps import NystromMap, RandomFourierMap, chosen
from kdtheory.kernels import named
from kdtheory.reduced import Reduced
from kdtheory.streaming import Block, Moments, Rows, accumulate, parts

__all__ = ["nystrom", "random_features"]

PROBES = 200  # rows on which the exact equations are looked at
POOL = 4000  # rows that probes are drawn from


def nystrom(
    X: Any,
    y: Any = None,
    *,
    kernel: Kernel,
    centres: int | ArrayLike = 1000,
    choose: str = "uniform",
    ridge: ArrayLike | None = None,
    seed: int = 0,
    block_rows: int = 4096,
    dtype: DTypeLike = np.float64,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    scheduler: Any = None,
) -> Reduced:
    r"""Kernel regression on any number of rows, with the kernel seen from some of them: memory of a few (m, m) matrices.

    One pass, 3 n m² operations: about a minute for a million rows and a thousand centres on one core.

    Parameters
    ----------
    X, y
        Arrays, memory maps, or a function that gives blocks ``(X_block, y_block)``; see `kdtheory.streaming.Rows`.
    kernel : callable
        ``kernel(X, Z)``, such as ``functools.partial(kd.kernels.rbf, gamma=0.1)``.
    centres : int, or (m, features) array
        How many of the rows, or any points.
    choose : {"uniform", "leverage", "pivoted", "random pivots"}
        How rows are chosen; see `kdtheory.centres`. "leverage" needs `ridge`.
    ridge : float or array, optional
        The ridges for which `error` is estimated, by a second and cheaper pass. The result is good for others too.
    seed : int
    block_rows, dtype, progress, checkpoint, scheduler
        As in `kdtheory.streaming.accumulate`. With float32 predictions are right to 1e-7 where the ridge is above 1e-6 of the
        kernel's norm (to 1e-4 if the kernel is whitened in float32 too; see `NystromMap.single`), for 0.5 to 0.9 of the time.

    Returns
    -------
    Reduced
        With `error`, where `ridge` was given, an estimate of the exact equations' bound: :math:`|K - \tilde K|` acting on the
        residuals, over the ridge, at some random rows. It is sharp where it is small.

    Raises
    ------
    ValueError
        As in `accumulate`, `NystromMap.of` and `kdtheory.centres`; or if `choose` is unknown, or labels are missing.

    References
    ----------
    Williams & Seeger (2000), NIPS 13; Rudi, Camoriano & Rosasco (2015), arXiv:1507.04717.

    Examples
    --------
    A smooth function of 500 points needs few centres:

    >>> from kdtheory import Ridge, kernels
    >>> X = np.linspace(-1, 1, 500)[:, None]
    >>> model = nystrom(X, np.sin(3 * X[:, 0]), kernel=partial(kernels.rbf, gamma=2.0), centres=20, ridge=0.1)
    >>> model.n, model.rank, model.error < 1e-6
    (500, 15, True)
    >>> bool(abs(model.predict(Ridge(1e-3), [[0.3]])[0] - np.sin(0.9)) < 1e-3)
    True
    """
    rows = Rows(X, y, block_rows)
    Z = chosen(rows, centres, kernel=kernel, choose=choose, ridge=ridge, seed=seed)
    how = "given" if np.ndim(centres) else f"chosen: {choose}"
    map = NystromMap.of(kernel, Z)
    if np.dtype(dtype) == np.float32:
        map = map.single()
    sums = accumulate(
        map, X, y, block_rows=block_rows, dtype=dtype, progress=progress, checkpoint=checkpoint, scheduler=scheduler
    )
    share = max(sums.own - sums.kept, 0.0) / sums.own
    note = f"{len(Z)} centres, {how}; their features leave {share:.1g} of the kernel's trace"
    map = replace(map, whitener=map.whitener.astype(np.float64))
    return _reduced(map, sums, rows, kernel, ridge, method="nystrom", note=note, seed=seed, dtype=dtype, scheduler=scheduler)


def random_features(
    X: Any,
    y: Any = None,
    *,
    kernel: str = "rbf",
    gamma: float,
    count: int = 1000,
    ridge: ArrayLike | None = None,
    seed: int = 0,
    block_rows: int = 4096,
    dtype: DTypeLike = np.float64,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    scheduler: Any = None,
) -> Reduced:
    r"""Kernel regression on any number of rows through random Fourier features.

    At the same number of features `nystrom` is 10 to 1000 times nearer to the exact kernel; these need no rows to be chosen.

    Parameters
    ----------
    X, y, ridge, seed, block_rows, dtype, progress, checkpoint, scheduler
        As in `nystrom`.
    kernel, gamma, count
        As in `kdtheory.feature_maps.RandomFourierMap.of`.

    Returns
    -------
    Reduced

    Raises
    ------
    ValueError
        As in `nystrom` and `RandomFourierMap.of`.

    References
    ----------
    Rahimi & Recht (2007), NIPS 20.

    Examples
    --------
    >>> X = np.linspace(-1, 1, 500)[:, None]
    >>> random_features(X, np.sin(3 * X[:, 0]), gamma=2.0, count=200).rank
    200
    """
    rows = Rows(X, y, block_rows)
    map = RandomFourierMap.of(kernel, rows.sample().X.shape[1], gamma=gamma, count=count, seed=seed)
    sums = accumulate(
        map, X, y, block_rows=block_rows, dtype=dtype, progress=progress, checkpoint=checkpoint, scheduler=scheduler
    )
    exact, note = named(kernel, gamma=gamma), f"{count} random Fourier features"
    return _reduced(
        map, sums, rows, exact, ridge, method="random features", note=note, seed=seed, dtype=dtype, scheduler=scheduler
    )


def _reduced(
    map: Any,
    sums: Moments,
    rows: Rows,
    kernel: Kernel,
    ridge: ArrayLike | None,
    *,
    method: str,
    note: str,
    seed: int,
    dtype: DTypeLike,
    scheduler: Any,
) -> Reduced:
    if sums.towards.shape[1] == 0:
        raise ValueError("`y` must be given, or `X` give blocks (X_block, y_block).")
    d, W = decomposed(sums.gram, overwrite=False, driver=None)
    rank = min(len(d), sums.n)
    d, W = np.maximum(d[:rank], 0.0), W[:, :rank]
    z = W.T @ sums.towards
    held = d > len(W) ** 0.5 * float(np.finfo(dtype).eps) * d[0]  # the others are rounding of H
    energy = np.divide(np.sum(z**2, axis=1), d, out=np.zeros(rank), where=held)
    outside = max(sums.energy - float(energy.sum()), 0.0)
    model = Reduced(d, z, partial(_basis, map, W), energy, outside, sums.n, method, None, note, vector=sums.vector)
    if ridge is None:
        return model
    ridges = schedule(ridge, "ridge", above_zero=True)
    errors = _errors(model, map, W, rows, kernel, ridges, energy=sums.energy, seed=seed, scheduler=scheduler)
    worst = int(errors.argmax())
    told = f"; fitted values within {errors[worst]:.1g} at ridge {ridges[worst]:.3g}, by the exact equations of {PROBES} rows"
    return replace(model, error=float(errors[worst]), note=note + told)


def _basis(map: Callable[[ArrayLike], Array], W: Array, X_new: ArrayLike) -> Array:
    return np.asarray(map(X_new) @ W)


def _errors(
    model: Reduced, map: Any, W: Array, rows: Rows, kernel: Kernel, ridges: Array, *, energy: float, seed: int, scheduler: Any
) -> Array:
    r"""Relative error of the fitted values at each ridge (L,), against the exact kernel.

    With residuals :math:`e = y - \tilde K(\tilde K + \lambda I)^{-1} y` the exact fit is further by
    :math:`(K + \lambda I)^{-1}(K - \tilde K)\,e`, at most :math:`|(K - \tilde K)\,e|/\lambda`: some rows S of it are estimated
    from, :math:`k(S, X)\,e - \phi(S)\,\Phi^\top e`. What rounding left of :math:`\Phi^\top e = \lambda a` is added.
    """
    d, z, lam = model.eigenvalues, model.labels, ridges[:, None]
    a = (W @ (z[:, None] / (d[:, None] + ridges)[:, :, None]).reshape(len(d), -1)).reshape(len(W), len(ridges), -1)
    probes, weights = _probes(chosen(rows, min(POOL, model.n), kernel=kernel, seed=seed + 1), map, seed)
    seen, E = (map.seen, map.whitener) if isinstance(map, NystromMap) else (map, np.eye(len(W)))
    towards = sum(parts(partial(_products, seen, np.tensordot(E, a, 1), kernel, probes), rows, scheduler=scheduler))
    g = np.tensordot(E.T, towards[len(probes) :], 1)
    missed = towards[: len(probes)] - np.tensordot(map(probes), g, 1)
    rounding = np.tensordot(W.T, g - lam * a, 1) * (np.sqrt(d)[:, None] / (d[:, None] + ridges))[:, :, None]
    sizes = np.sqrt(model.n) * _norms(missed, weights) / ridges + _norms(rounding, np.ones(len(d)))
    fitted = np.sqrt(model.energy @ (d[:, None] / (d[:, None] + ridges)) ** 2)
    return np.asarray(np.divide(np.minimum(sizes, np.sqrt(energy)), fitted, out=np.zeros(len(ridges)), where=fitted > 0))


def _products(
    seen: Callable[[Array], Array], coefficients: Array, kernel: Kernel, probes: Array, blocks: Iterator[Block]
) -> Array:
    """Residuals e of every ridge times the probes' kernel and what is seen: (probes + seen, L, p)."""
    (_, L, p), total = coefficients.shape, np.zeros(())
    for X, y in blocks:
        features = seen(X)
        e = np.tile(column_shape(y), L) - features @ coefficients.reshape(-1, L * p)  # type: ignore[arg-type]
        total = total + np.vstack([kernel(probes, X) @ e, features.T @ e]).reshape(-1, L, p)
    return total


def _probes(pool: Array, map: Any, seed: int) -> tuple[Array, Array]:
    r"""Some of the pool's rows, and weights for a mean over it.

    For a Nyström map :math:`[(K - \tilde K)\,e]_i^2` is at most a multiple of :math:`r_i = k(x_i, x_i) - |\phi(x_i)|^2`, and
    rows are drawn in proportion to it: the few that are badly seen are where the error is.
    """
    chances = np.full(len(pool), 1 / len(pool))
    if isinstance(map, NystromMap):
        r = np.maximum(map.diagonal(pool) - np.sum(map(pool) ** 2, axis=1), 0.0)
        chances = 0.1 * chances + 0.9 * r / r.sum() if r.any() else chances
    at = np.random.default_rng([seed, 1]).choice(len(pool), PROBES, p=chances)
    return pool[at], 1 / (chances[at] * len(pool) * PROBES)


def _norms(values: Array, weights: Array) -> Array:
    """Of (rows, L, p), with weights of the squares of rows: (L,)."""
    return np.asarray(np.sqrt(np.einsum("ilp,i->l", values**2, weights)))
