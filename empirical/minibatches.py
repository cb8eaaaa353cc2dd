"""Which rows each member of a stack meets at each step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kdtheory.kept import Rows

__all__ = ["Minibatches"]

STEPS = 32  # drawn at once


class Minibatches:
    """Rows in random order, pass after pass, cut into minibatches: each pass meets every row once.

    Parameters
    ----------
    rows : sequence of E (m,) arrays of ints
        What each member sees.
    seeds : (E,) ints
        Members with equal seeds and rows meet equal minibatches, whoever else is in the stack.
    batch : int

    Examples
    --------
    >>> stream = Minibatches([np.arange(4), np.arange(4), np.array([7])], [0, 0, 0], batch=2)
    >>> first, second = stream.next(), stream.next()
    >>> bool((first[0] == first[1]).all()), sorted([*first[0].tolist(), *second[0].tolist()]), first[2].tolist()
    (True, [0, 1, 2, 3], [7, 7])
    """

    def __init__(self, rows: Sequence[Rows], seeds: Sequence[int] | NDArray[np.int64], batch: int) -> None:
        self.batch = batch
        known: dict[tuple[int, bytes], int] = {}
        self.rows: list[Rows] = []
        self.rngs: list[np.random.Generator] = []
        self.stream_of = np.empty(len(rows), dtype=np.intp)
        for e, (kept, seed) in enumerate(zip(rows, seeds, strict=True)):
            key = (int(seed), kept.tobytes())
            if key not in known:
                known[key] = len(self.rows)
                self.rows.append(kept)
                self.rngs.append(np.random.default_rng([int(seed), len(kept)]))
            self.stream_of[e] = known[key]
        self.left = [kept[:0] for kept in self.rows]
        self.ahead: list[Rows] = []

    def next(self) -> Rows:
        """The next minibatch of every member, (E, batch)."""
        if not self.ahead:
            self.ahead = list(self._drawn().swapaxes(0, 1)[::-1])
        return self.ahead.pop()[self.stream_of]

    def _drawn(self) -> Rows:
        """Minibatches of the next steps, (streams, STEPS, batch)."""
        count = STEPS * self.batch
        drawn = np.empty((len(self.rows), count), dtype=np.intp)
        for j, (kept, rng) in enumerate(zip(self.rows, self.rngs, strict=True)):
            passes = max(0, -(-(count - len(self.left[j])) // len(kept)))
            stream = np.concatenate([self.left[j], *(kept[rng.permutation(len(kept))] for _ in range(passes))])
            drawn[j], self.left[j] = stream[:count], stream[count:]
        return drawn.reshape(len(self.rows), STEPS, self.batch)
