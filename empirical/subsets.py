r"""From a score to the rows that are kept: exact sizes, one inside the other across fractions, balanced over classes.

Each rule is an order of all rows, and a fraction keeps the first of them; with balance it is an order within each class. So
the rows of a smaller fraction are among those of a larger one, whatever the rule.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdtheory.checks import Array, numeric, positive, schedule, whole
from kdtheory.kept import Rows, kept_count, shares
from kdtheory.selection import order_by

__all__ = ["kept", "nested"]

KEEP = ("hard", "easy", "stratified")


def kept(
    score: ArrayLike,
    fraction: float,
    *,
    keep: str = "hard",
    classes: ArrayLike | None = None,
    balanced: bool = True,
    seed: int = 0,
    lost_classes: str = "refuse",
    drop_hardest: float = 0.0,
    strata: int = 50,
) -> Rows:
    """Rows that one fraction keeps; arguments and errors as in `nested`, of which this is one entry.

    Examples
    --------
    >>> kept([0.1, 0.9, 0.4, 0.7], 0.5), kept([0.1, 0.9, 0.4, 0.7], 0.5, keep="easy")
    (array([1, 3]), array([0, 2]))
    """
    how = {"keep": keep, "classes": classes, "balanced": balanced, "seed": seed, "lost_classes": lost_classes}
    return nested(score, [fraction], **how, drop_hardest=drop_hardest, strata=strata)[0]  # type: ignore[arg-type]


def nested(
    score: ArrayLike,
    fractions: ArrayLike,
    *,
    keep: str = "hard",
    classes: ArrayLike | None = None,
    balanced: bool = True,
    seed: int = 0,
    lost_classes: str = "refuse",
    drop_hardest: float = 0.0,
    strata: int = 50,
) -> list[Rows]:
    r"""Rows that each fraction keeps, those of a smaller one among those of every larger one.

    Parameters
    ----------
    score : (n,) array
        Higher = keep; equal scores in random order.
    fractions : (k,) floats in (0, 1]
        Shares f that are KEPT, in any order; exactly round(f n) rows each.
    keep : {"hard", "easy", "stratified"}
        The highest scores; the lowest; or coverage-centric (CCS): without the hardest, the range of the scores is cut into
        `strata` of equal width, and rows are taken at random, one from each stratum in turn. So all strata give equally many,
        and what a small one lacks is taken from the others.
    classes : (n,) ints, optional
        Labels, to balance by and to see whether one is lost.
    balanced : bool
        Each class keeps its share f of itself up to one row, by largest remainders: sizes are exact in total. By largest
        remainders alone a class may get fewer rows of more (the Alabama paradox); so fractions are served from the largest
        down and no class gets more than it had, which may move a row between classes.
    seed : int
        Of equal scores, of equal remainders, and of the rows within strata.
    lost_classes : {"refuse", "allow"}
        Whether a fraction may lose a class entirely; a student cannot learn it then.
    drop_hardest : float
        Of "stratified": share of all rows (of each class, if balanced) that goes first. Where a fraction needs some of these
        they come back, the easiest first.
    strata : int
        Of "stratified".

    Returns
    -------
    list of (m,) arrays of ints, ascending

    Raises
    ------
    ValueError
        If a fraction is not in (0, 1] or keeps nothing, a class is lost, or an option is out of its range.

    References
    ----------
    Zheng, Liu, Lai & Prakash (2023), arXiv:2210.15809, for CCS. Balinski & Young (1982), Fair representation, for the paradox.

    Examples
    --------
    Three classes, half of the rows: sizes are exact though no class can be halved.

    >>> rows, some = nested(np.arange(9.0), [1.0, 0.5], classes=[0, 1, 2] * 3)
    >>> len(rows), len(some), np.bincount(some % 3).max() - np.bincount(some % 3).min()
    (9, 4, np.int64(1))
    """
    if keep not in KEEP:
        raise ValueError(f"`keep` must be one of {', '.join(KEEP)}, got {keep!r}.")
    if lost_classes not in ("refuse", "allow"):
        raise ValueError(f'`lost_classes` must be "refuse" or "allow", got {lost_classes!r}.')
    values, asked = schedule(score, "score"), shares(fractions, "fraction")
    n, beta = len(values), positive(drop_hardest, "drop_hardest", zero=True)
    if beta >= 1 or (beta and keep != "stratified"):
        raise ValueError(f'`drop_hardest` must be a share below 1, and 0 unless `keep` is "stratified", got {beta}.')
    layers = whole(strata, "strata", least=1)
    counts = [kept_count(f, n, "fraction") for f in asked]
    y = np.zeros(n, dtype=np.intp) if classes is None else _labels(classes, n)
    names, group = np.unique(y, return_inverse=True) if balanced else (y[:1], np.zeros(n, dtype=np.intp))
    members = [np.flatnonzero(group == g) for g in range(len(names))]
    rng = np.random.default_rng([whole(seed, "seed"), n])
    orders = [rows[_order(values[rows], keep, rng, beta, layers)] for rows in members]
    sizes = _apportioned(np.array([len(rows) for rows in members]), counts, rng.random(len(members)))
    chosen = [np.sort(np.concatenate([order[:m] for order, m in zip(orders, sizes[count], strict=True)])) for count in counts]
    if lost_classes == "refuse":
        for rows, f in zip(chosen, asked, strict=True):
            _require_all_classes(y, rows, float(f))
    return chosen


def _order(score: Array, keep: str, rng: np.random.Generator, drop_hardest: float, strata: int) -> NDArray[np.intp]:
    """All rows, the first to keep first."""
    hardest_first = order_by(score, seed=int(rng.integers(2**31)))
    if keep == "hard":
        return hardest_first
    if keep == "easy":
        return hardest_first[::-1]
    dropped = round(drop_hardest * len(score))
    back, rest = np.split(hardest_first, [dropped])
    if not len(rest):
        return back[::-1]
    low, high = score[rest].min(), score[rest].max()
    width = (high - low) / strata or 1.0
    stratum = np.minimum(((score[rest] - low) / width).astype(np.intp), strata - 1)
    shuffled = rng.permutation(len(rest))
    turn = np.empty(len(rest), dtype=np.intp)
    for s in np.unique(stratum):
        within = shuffled[stratum[shuffled] == s]
        turn[within] = np.arange(len(within))
    place = rng.permutation(strata)[stratum]  # who is served first within a turn
    return np.concatenate([rest[np.lexsort((place, turn))], back[::-1]])


def _apportioned(sizes: NDArray[np.intp], counts: list[int], lots: Array) -> dict[int, NDArray[np.intp]]:
    """How many rows of each class at every count, by largest remainders from the largest count down."""
    n, most, given = sizes.sum(), sizes, {}
    for count in sorted(set(counts), reverse=True):
        seats = count * sizes // n  # not above what a larger count gave, which is at least its own whole part
        while (left := count - seats.sum()) > 0:
            open_to = np.flatnonzero(seats < most)
            remainder = count * sizes[open_to] - n * seats[open_to]
            seats[open_to[np.lexsort((lots[open_to], -remainder))[:left]]] += 1
        most = given[count] = seats
    return given


def _labels(classes: ArrayLike, n: int) -> NDArray[np.intp]:
    y = numeric(classes, "classes")
    if y.shape != (n,) or y.dtype.kind not in "iu":
        raise ValueError(f"`classes` must hold one whole number for each of {n} rows, got shape {y.shape} and {y.dtype}.")
    return y.astype(np.intp)


def _require_all_classes(y: NDArray[np.intp], rows: Rows, fraction: float) -> None:
    lost = np.setdiff1d(y, y[rows])
    if len(lost):
        share = np.mean(y == lost[0])
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise ValueError(
            f"`fraction` must keep a row of each class, got {fraction:.4g}, which loses class {lost[0]} ({share:.2%} of the "
            f'rows){more}; keep more, balance by `classes`, or pass lost_classes="allow".'
        )
