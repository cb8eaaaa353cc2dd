r"""Rows that do not fit: read block by block, seen as features, and summed.

Of features :math:`\Phi` (n, r) a regression needs :math:`H = \Phi^\top\Phi`, :math:`b = \Phi^\top y` and :math:`|y|^2`. Rows
are taken in ranges, each range gives its part of the sums, and parts are added in the order of the ranges: the sums are the
same bit for bit whether one process made them, several did, or one that was killed and went on from its checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import add
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from kdtheory.checks import Array, column_shape, numeric, whole
from kdtheory.workers import FileRows, in_order

__all__ = ["Block", "Moments", "Rows", "accumulate", "parts"]

BLOCKS_PER_RANGE = 16
SAMPLED = 32  # rows that a checkpoint knows its data and its map by


class Block(NamedTuple):
    """Some rows, finite and in float64."""

    X: Array
    y: Array | None


class _Range(NamedTuple):
    """Consecutive rows, in files or in memory; `first` is the number of the first."""

    first: int
    X: Any
    y: Any

    def blocks(self, height: int) -> Iterator[Block]:
        for start in range(0, len(self.X), height):
            rows, first = slice(start, start + height), self.first + start
            X = _checked(self.X[rows], "X", first)
            yield Block(X, None if self.y is None else _checked(self.y[rows], "y", first))


@dataclass(frozen=True, eq=False)
class Rows:
    """Training rows, read `height` at a time: X (n, features), y (n,) or (n, p), arrays, memory maps or a file's data sets.

    Or X is a function or a re-iterable that gives ``(X_block, y_block)``, or ``X_block`` alone, of some thousand rows each.
    """

    X: Any
    y: Any = None
    height: int = 4096

    def __post_init__(self) -> None:
        whole(self.height, "block_rows", least=1)
        if self.in_blocks:
            if self.y is not None:
                raise ValueError("`y` must be left out where `X` gives blocks: a block is a pair (X_block, y_block).")
            if not callable(self.X) and iter(self.X) is self.X:
                kind = type(self.X).__name__
                raise ValueError(f"`X` must give its blocks more than once, got a {kind}; pass the function that makes it.")
            return
        for name in ("X", "y"):  # lists and tables become arrays once
            value = getattr(self, name)
            if hasattr(value, "to_numpy") or not (hasattr(value, "shape") or (name == "y" and value is None)):
                object.__setattr__(self, name, numeric(value, name))
        if len(self.X.shape) != 2 or 0 in self.X.shape:
            raise ValueError(f"`X` must have shape (n, features) and rows, got {tuple(self.X.shape)}.")
        n, shape = len(self.X), None if self.y is None else tuple(self.y.shape)
        if shape is not None and (len(shape) not in (1, 2) or shape[0] != n or 0 in shape):
            raise ValueError(f"`y` must have {n} rows like `X`, shape ({n},) or ({n}, outputs), got {shape}.")

    @property
    def in_blocks(self) -> bool:
        """Whether rows come as blocks: how many there are is not known before they have come."""
        if not isinstance(self.X, (list, tuple)):
            return callable(self.X) or (hasattr(self.X, "__iter__") and not hasattr(self.X, "shape"))
        first = self.X[0] if self.X else None
        return getattr(first[0] if isinstance(first, tuple) and first else first, "ndim", 0) == 2

    def ranges(self) -> Iterator[_Range]:
        """All rows, in order."""
        if not self.in_blocks:
            step = BLOCKS_PER_RANGE * self.height
            for start in range(0, len(self.X), step):
                yield _Range(start, *(FileRows.of(part, start, start + step) for part in (self.X, self.y)))
            return
        first = 0
        for block in self.X() if callable(self.X) else self.X:
            X, y = (np.asarray(part) for part in block) if isinstance(block, tuple) else (np.asarray(block), None)
            if X.ndim != 2 or (y is not None and (y.ndim not in (1, 2) or len(y) != len(X))):
                shapes = X.shape if y is None else f"{X.shape} and {y.shape}"
                raise ValueError(f"`X` must give blocks of shapes (rows, features) and (rows[, outputs]), got {shapes}.")
            yield _Range(first, X, y)
            first += len(X)
        if first == 0:
            raise ValueError("`X` must give at least one block of rows, got none.")

    def sample(self) -> Block:
        """A few rows, always the same: spread over an array, the first ones of blocks."""
        if self.in_blocks:
            return next(next(self.ranges()).blocks(SAMPLED))
        single = [slice(i, i + 1) for i in np.unique(np.linspace(0, len(self.X) - 1, SAMPLED).astype(int)).tolist()]
        X = np.concatenate([_checked(self.X[row], "X", row.start) for row in single])
        return Block(X, None if self.y is None else np.concatenate([_checked(self.y[row], "y", row.start) for row in single]))


def _checked(values: Any, name: str, first: int) -> Array:
    """Rows as float64; those that are not finite are named by their numbers, of which `first` is the first."""
    array = np.ascontiguousarray(numeric(values, name), dtype=np.float64)
    if not np.isfinite(array).all():
        wrong = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
        where = ", ".join(map(str, (first + wrong[:5]).tolist())) + (" ..." if len(wrong) > 5 else "")
        raise ValueError(f"`{name}` must be finite, got nan or infinity in row(s) {where}; remove or impute them.")
    return array


def parts(function: Callable[[Iterator[Block]], Any], rows: Rows, *, skip: int = 0, scheduler: Any = None) -> Iterator[Any]:
    """The function of each range after the first `skip`, in order; adding up is left to who asks."""
    return in_order(partial(_part, function, rows.height), islice(rows.ranges(), skip, None), scheduler=scheduler)


def _part(function: Callable[[Iterator[Block]], Any], height: int, rows: _Range) -> Any:
    return function(rows.blocks(height))


class Moments(NamedTuple):
    r"""Sums over rows: :math:`H = \Phi^\top\Phi` (r, r), :math:`b = \Phi^\top y` (r, p) and :math:`|y|^2` over all outputs.

    `own` and `kept` are :math:`\sum_i k(x_i, x_i)` (nan where the map does not know its kernel) and
    :math:`\sum_i |\phi(x_i)|^2`; `vector` says whether labels came as (n,). Without labels p = 0.
    """

    gram: Array
    towards: Array
    energy: float
    own: float
    kept: float
    n: int
    vector: bool

    def plus(self, other: Moments) -> Moments:
        """Of both sets of rows."""
        if self.towards.shape != other.towards.shape or self.vector != other.vector:
            raise ValueError("`X` must give labels of one shape in all blocks, got different numbers of outputs.")
        return Moments._make([*map(add, self[:-1], other[:-1]), self.vector])


def accumulate(
    map: Callable[[Array], NDArray[Any]],
    X: Any,
    y: Any = None,
    *,
    block_rows: int = 4096,
    dtype: DTypeLike = np.float64,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    scheduler: Any = None,
) -> Moments:
    r"""Sums over all rows, :math:`H = \sum_B \Phi_B^\top \Phi_B` and :math:`b = \sum_B \Phi_B^\top y_B`, block by block.

    The memory is that of three (r, r) matrices and `block_rows` rows of features, whatever n is.

    Parameters
    ----------
    map : callable
        Rows (m, features) in float64 -> their features (m, r); see `kdtheory.feature_maps`.
    X, y, block_rows
        As in `Rows`: arrays, memory maps, or a function that gives blocks of whatever it reads from.
    dtype : float64 or float32
        Of a block's features and products; sums are float64. In float32 eigenvalues of H below 1e-7 of the largest are lost.
    progress : bool
        A bar over the rows on the standard error.
    checkpoint : path, optional
        A file, replaced after every 16 blocks. A run that was killed goes on from there, to the same sums bit for bit.
    scheduler : optional
        As in `kdtheory.workers.mapped`. Workers read a memory map's file under the same path; other rows are sent to them.

    Returns
    -------
    Moments

    Raises
    ------
    ValueError
        If rows are not finite (it says which), shapes disagree, or `checkpoint` is of something else.

    Examples
    --------
    Whether rows come as one array or in blocks, the sums are the same:

    >>> X, y = np.arange(6.0).reshape(3, 2), np.ones(3)
    >>> whole = accumulate(np.square, X, y)
    >>> blocks = accumulate(np.square, lambda: zip(np.split(X, 3), np.split(y, 3)))
    >>> bool((whole.gram == blocks.gram).all()), whole.towards.ravel()
    (True, array([20., 35.]))
    """
    rows, kind = Rows(X, y, block_rows), np.dtype(dtype)
    if kind not in (np.float64, np.float32):
        raise ValueError(f"`dtype` must be float64 or float32, got {kind}.")
    kept = None if checkpoint is None else _Checkpoint.of(Path(checkpoint), map, rows, kind)
    (done, total), new = (0, None) if kept is None else kept.load(), 0
    with _bar(None if rows.in_blocks else len(rows.X)) if progress else contextlib.nullcontext() as bar:
        for part in parts(partial(_moments, map, kind), rows, skip=done, scheduler=scheduler):
            total, done, new = part if total is None else total.plus(part), done + 1, new + part.n
            if kept is not None and new >= BLOCKS_PER_RANGE * block_rows:
                new = kept.save(done, total)
            if bar is not None:
                bar.update(total.n - bar.n)
    assert total is not None  # there is at least one range
    if kept is not None and new:
        kept.save(done, total)
    return total


def _bar(total: int | None) -> Any:
    try:
        from tqdm import tqdm  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ImportError("`progress` needs tqdm, which is not installed: pip install tqdm.") from error
    return tqdm(total=total, unit="row", unit_scale=True)


def _moments(map: Callable[[Array], NDArray[Any]], kind: np.dtype[Any], blocks: Iterator[Block]) -> Moments:
    gram, towards, energy, own, kept, n, vector = np.zeros(()), np.zeros(()), 0.0, 0.0, 0.0, 0, False
    diagonal = getattr(map, "diagonal", None)
    for X, y in blocks:
        Phi = np.asarray(map(X), dtype=kind)
        if Phi.ndim != 2 or len(Phi) != len(X):
            raise ValueError(f"`map` must give one row of features per row, got shape {Phi.shape} for {len(X)} rows.")
        H = Phi.T @ Phi
        if not np.isfinite(np.trace(H)):
            raise ValueError("`map` must give finite features, got some that are not.")
        labels = np.empty((len(X), 0)) if y is None else column_shape(y)
        gram, towards = gram + H, towards + Phi.T @ labels
        energy, kept = energy + float(np.sum(labels**2)), kept + float(np.trace(H))
        own += np.nan if diagonal is None else float(np.sum(diagonal(X)))
        n, vector = n + len(X), y is not None and y.ndim == 1
    return Moments(gram, towards, energy, own, kept, n, vector)


@dataclass(frozen=True)
class _Checkpoint:
    """A file with the sums so far, and a digest of what they are sums of."""

    path: Path
    key: str

    @classmethod
    def of(cls, path: Path, map: Callable[[Array], NDArray[Any]], rows: Rows, kind: np.dtype[Any]) -> _Checkpoint:
        sample = rows.sample()
        arrays = [*sample, np.asarray(map(sample.X), dtype=kind)]  # what the map makes of them stands for all that it holds
        shapes = [None if a is None else a.shape for a in (*arrays, *(() if rows.in_blocks else (rows.X, rows.y)))]
        key = hashlib.sha256(repr((rows.height, kind.name, shapes)).encode())
        for array in arrays:
            key.update(b"" if array is None else array.tobytes())
        return cls(path, key.hexdigest())

    def load(self) -> tuple[int, Moments | None]:
        """How many ranges are done, and their sums."""
        if not self.path.exists():
            return 0, None
        try:
            with np.load(self.path, allow_pickle=False) as saved:
                key, gram, towards, numbers = (saved[part] for part in ("key", "gram", "towards", "numbers"))
        except Exception as error:
            raise ValueError(f"`checkpoint` must be a file of these sums, got '{self.path}' ({error}).") from error
        if str(key) != self.key:
            what = "rows, map, block_rows, dtype and number of BLAS threads"
            raise ValueError(
                f"`checkpoint` must be of the same {what}, got '{self.path}' of others; delete it or name another."
            )
        energy, own, kept, n, vector, done = numbers.tolist()
        return int(done), Moments(gram, towards, energy, own, kept, int(n), bool(vector))

    def save(self, done: int, total: Moments) -> int:
        """In one step: a run that is killed meanwhile leaves the file before. No rows are unsaved then."""
        new, (gram, towards, *numbers) = self.path.with_name(self.path.name + ".part"), total
        with new.open("wb") as file:
            np.savez(file, key=np.array(self.key), gram=gram, towards=towards, numbers=np.array([*numbers, done], float))
        os.replace(new, self.path)
        return 0
