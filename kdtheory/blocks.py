"""A kernel matrix whose entries are dear: filled block by block, every finished block kept in a folder.

A run has a folder of its own, named by a digest of everything that decides its numbers. A block is an ordinary ``.npy``
file and 32 bytes, a digest of the run, the block's name and its contents: what was cut short, changed or brought over
from another run is not read but computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdtheory.checks import Array

__all__ = ["BlockCache", "digest", "fill"]


def fill(
    first: Array,
    second: Array,
    side: int,
    pairs: Callable[[Array, Array], Array],
    selves: Callable[[Array], Array],
    count: int,
    store: BlockCache | None = None,
    *,
    progress: bool = True,
) -> Array:
    """Kernel matrices between two sets of inputs: (count, first, second).

    Parameters
    ----------
    first, second : (m, ...) and (n, ...) arrays
        The same object twice for a Gram matrix, of which the blocks on and above the diagonal are computed.
    side : int
        Rows and columns of a block.
    pairs : (inputs, inputs) -> (count, rows, columns) block
        Given the same object twice for a block on the diagonal of a Gram matrix.
    selves : inputs -> (count, inputs) values
        The kernel of an input with itself; it is written wherever two inputs are equal.
    count : int
        Number of matrices that are computed together.
    store : BlockCache, optional
        Where finished blocks are looked for and kept.
    progress : bool
        A bar over the blocks on the standard error.

    Raises
    ------
    OverflowError
        If a value is not finite.
    """
    from tqdm import tqdm  # noqa: PLC0415

    labels, labels_other = _labels(first, second)
    shared, places = np.unique(labels, return_index=True)
    in_both = np.isin(shared, labels_other)
    shared, places = shared[in_both], places[in_both]
    own = np.full((count, labels.max() + 1), np.nan)
    out = np.empty((count, len(first), len(second)))
    diagonal = list(enumerate(_slices(len(shared), side)))
    blocks = [
        (i, rows, j, columns)
        for i, rows in enumerate(_slices(len(first), side))
        for j, columns in enumerate(_slices(len(second), side))
        if second is not first or j >= i
    ]
    with tqdm(total=len(diagonal) + len(blocks), unit="block", disable=not progress) as bar:

        def finished(name: str, compute: Callable[..., Array], *inputs: Array) -> Array:
            block = None if store is None else store.load(name)
            if block is None:
                block = compute(*inputs)
                if not np.isfinite(block).all():
                    raise OverflowError("`network` must keep its kernel within floating point at these inputs.")
                if store is not None:
                    store.save(name, block)
            bar.update()
            return block

        for k, part in diagonal:
            own[:, shared[part]] = finished(f"self-{k}", selves, first[places[part]])
        for i, rows, j, columns in blocks:
            x = first[rows]
            y = x if second is first and i == j else second[columns]
            block = finished(f"block-{i}-{j}", pairs, x, y)
            same_x, same_y = np.nonzero(labels[rows, None] == labels_other[columns])
            block[:, same_x, same_y] = own[:, labels[rows][same_x]]
            out[:, rows, columns] = block
            if second is first:
                out[:, columns, rows] = block.transpose(0, 2, 1)
    return out


def _slices(length: int, side: int) -> list[slice]:
    """Consecutive slices of `side`; the last is what remains."""
    return [slice(start, min(start + side, length)) for start in range(0, length, side)]


def _labels(first: Array, second: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers that are equal where inputs are."""
    seen: dict[bytes, int] = {}
    sets = [first] if second is first else [first, second]
    found = [np.array([seen.setdefault(one.tobytes(), len(seen)) for one in points]) for points in sets]
    return found[0], found[-1]


def digest(array: Array) -> str:
    """Digest of an array's shape and numbers."""
    return hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


@dataclass(frozen=True)
class BlockCache:
    """The blocks of one run.

    Attributes
    ----------
    folder : Path
        Holds the blocks, and ``run.json`` that says what they are of.
    key : bytes
        Digest of the run.
    """

    folder: Path
    key: bytes

    @classmethod
    def of_run(cls, folder: str | os.PathLike[str], run: dict[str, object]) -> BlockCache:
        """The cache of the run that this description belongs to, in a subfolder of `folder`."""
        text = json.dumps(run, indent=2, sort_keys=True).encode()
        key = hashlib.sha256(text)
        here = Path(folder) / key.hexdigest()[:32]
        try:
            here.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"`cache` must be a folder, got the file {os.fspath(folder)!r}.") from None
        _replace(here / "run.json", text)
        return cls(here, key.digest())

    def load(self, name: str) -> Array | None:
        """The block of that name; None if it is not there, or not as it was saved."""
        try:
            content = self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        body, seal = content[:-32], content[-32:]
        if seal != self._seal(name, body):
            return None
        block: Array = np.load(io.BytesIO(body), allow_pickle=False)
        return block

    def save(self, name: str, block: Array) -> None:
        """Write a block beside its place and move it there in one step."""
        buffer = io.BytesIO()
        np.save(buffer, block, allow_pickle=False)
        body = buffer.getvalue()
        _replace(self._path(name), body + self._seal(name, body))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _seal(self, name: str, body: bytes) -> bytes:
        return hashlib.sha256(self.key + name.encode() + body).digest()


def _replace(path: Path, content: bytes) -> None:
    """A file appears whole or not at all, whoever else writes it at the same time."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
