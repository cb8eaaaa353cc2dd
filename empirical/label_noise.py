r"""What rests on the labels alone: classes, one-hot codes, people's mistakes, flips of exact number, draws by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirical.files import Files, content, listed_digests
from kdtheory.checks import Array, finite_array, matrix, number, numeric, whole

__all__ = ["as_classes", "class_labels", "flip", "human_labels", "one_hot", "stratified"]

STREAM = 0xF11B  # of random numbers: no other use of the same seed draws from it

HUMAN = {"clean_label": "clean", "aggre_label": "aggre", "worse_label": "worst"} | {
    f"random_label{k}": f"random{k}" for k in (1, 2, 3)
}


def class_labels(y: ArrayLike, classes: int, name: str = "y") -> NDArray[np.int64]:
    """`y` as (n,) whole numbers from 0 to classes - 1; a ``ValueError`` names what is not.

    Examples
    --------
    >>> class_labels([0.0, 2.0], classes=3)
    array([0, 2])
    """
    labels, C = numeric(y, name), whole(classes, "classes", least=2)
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"`{name}` must hold one label for every row, got shape {labels.shape}.")
    right = np.isin(labels, np.arange(C))
    if not right.all():
        raise ValueError(f"`{name}` must hold whole numbers from 0 to {C - 1}, got {labels[~right][0]}.")
    return labels.astype(np.int64)


def as_classes(labels: NDArray[Any], known: NDArray[Any], few: int, name: str) -> tuple[NDArray[Any], int | None]:
    """Labels of a file as classes from 0, in sorted order of the `known` ones of its training part, and how many there are.

    Text and whole numbers are classes if at most `few` differ and two rows or more have each on average; other numbers come
    back as float64, with None.

    Examples
    --------
    >>> y = np.array(["cat", "dog", "cat", "cat"])
    >>> as_classes(y, y, few=100, name="pets.csv")
    (array([0, 1, 0, 0]), 2)
    """
    values = np.unique(known)
    if known.dtype.kind not in "biuUS" or (known.dtype.kind in "iu" and not len(values) <= min(few, len(known) / 2)):
        return finite_array(labels, name), None
    if len(values) < 2:
        raise ValueError(f"`{name}` must have labels of two classes or more, got {values[0]} alone.")
    places = np.minimum(np.searchsorted(values, labels), len(values) - 1)
    if (values[places] != labels).any():
        raise ValueError(
            f"`{name}` must have only labels that its training part has, got {labels[values[places] != labels][0]}."
        )
    return places, len(values)


def human_labels(root: Path, y: NDArray[np.int64], rows: NDArray[Any]) -> dict[str, NDArray[np.int64]]:
    """CIFAR-10N's labels "aggre", "worst", "random1", "random2", "random3" of these `rows` of CIFAR-10, whose true ones are y.

    Read from ``cifar10n_human_labels.npz`` or the published ``CIFAR-10_human.npy`` or ``.pt``, in `root` or up to two folders
    down.

    Raises
    ------
    ValueError
        If no such file is there, or it is damaged, or its true labels are not those of the images.

    References
    ----------
    Wei, Zhu, Cheng, Liu, Niu & Liu (2022), Learning with noisy labels revisited, arXiv:2110.12088.
    """
    names = ("cifar10n_human_labels.npz", "CIFAR-10_human.npy", "CIFAR-10_human.pt")
    path = next((path for name in names for depth in ("", "*/", "*/*/") for path in root.glob(depth + name)), None)
    if path is None:
        raise ValueError(f"`name`='cifar10n' needs one of {', '.join(names)} in {root} (github.com/UCSC-REAL/cifar-10-100n).")
    files = Files.at(path, listed_digests(path, root))
    found = {
        HUMAN.get(key, key): class_labels(value, 10, f"{path.name}: {key}") for key, value in content(files, path.name).items()
    }
    files.require_digests()
    if (n := min(map(len, found.values()))) <= rows.max() or "clean" not in found or (found["clean"][rows] != y).any():
        raise ValueError(f"`{path.name}` must have the labels of these images, got {n} rows of others.")
    return {key: values[rows] for key, values in found.items() if key != "clean"}


def stratified(y: NDArray[np.int64], sizes: Sequence[int], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Disjoint draws of rows, shuffled, each with every class in proportion: exact sizes, by the largest remainder.

    The last draw keeps a row of every class if its size allows that. An earlier draw does not depend on later sizes.

    Examples
    --------
    >>> y = np.array([0] * 6 + [1] * 3)
    >>> [np.bincount(y[rows]).tolist() for rows in stratified(y, [3, 6], np.random.default_rng(0))]
    [[2, 1], [4, 2]]
    """
    order = rng.permutation(len(y))
    members = [order[y[order] == c] for c in range(int(y.max()) + 1)]
    counts, taken = np.array([len(rows) for rows in members]), np.zeros(len(members), dtype=np.int64)
    draws = []
    for size, last in zip(sizes, [*[False] * (len(sizes) - 1), True], strict=True):
        low = np.minimum(counts, 1 if last and size >= len(counts) else 0)
        high = counts - taken - (0 if last else np.minimum(counts, 1))
        share = _apportioned(size, size * counts / len(y), low, high)
        draws.append(
            rng.permutation(np.concatenate([rows[a : a + k] for rows, a, k in zip(members, taken, share, strict=True)]))
        )
        taken = taken + share
    return draws


def _apportioned(size: int, quota: Array, low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers that sum to `size`, each the quota rounded down or up where the bounds allow it."""
    share = np.clip(np.floor(quota).astype(np.int64), low, high)
    while (missing := size - share.sum()) != 0:
        step = 1 if missing > 0 else -1
        room = share < high if step > 0 else share > low
        share[np.argmax(np.where(room, step * (quota - share), -np.inf))] += step
    return share


def one_hot(y: ArrayLike, classes: int) -> NDArray[np.float32]:
    r"""Targets of a squared loss, :math:`e_y - \tfrac1C \mathbf 1`: every row sums to zero, as the outputs at the start do.

    Parameters
    ----------
    y : (n,) array
        Labels from 0.
    classes : int
        C, at least 2.

    Returns
    -------
    (n, C) float32 array

    Raises
    ------
    ValueError
        If a label is outside the classes.

    Examples
    --------
    >>> one_hot([1, 0], classes=2)
    array([[-0.5,  0.5],
           [ 0.5, -0.5]], dtype=float32)
    """
    labels = class_labels(y, classes)
    codes = np.full((len(labels), classes), -1.0 / classes, dtype=np.float32)
    codes[np.arange(len(labels)), labels] = 1.0 - 1.0 / classes
    return codes


def flip(
    y: ArrayLike,
    classes: int,
    *,
    rate: float,
    seed: int,
    kind: str = "symmetric",
    transition: ArrayLike | None = None,
) -> NDArray[np.int64]:
    r"""Labels of which exactly round(rate · n) have become another class.

    The flipped rows of a lower rate are among those of a higher one at the same seed, and they get the same wrong label. Flips
    to a uniformly drawn other class leave of the mean target :math:`E\,e_{\tilde y} - \tfrac1C \mathbf 1` the share
    :math:`1 - \text{rate}\, C / (C - 1)`.

    Parameters
    ----------
    y : (n,) array
        True labels from 0.
    classes : int
        C, at least 2.
    rate : float
        Share of the rows to flip, from 0 to 1.
    seed : int
        Of the draw; zero or positive.
    kind : "symmetric" or "class_dependent"
        To any other class with the same probability, or from class c to c + 1 (the last to 0).
    transition : (C, C) array, optional
        With "class_dependent": row c is proportional to the probabilities of what class c becomes. A row is chosen to flip in
        proportion to the probability off the diagonal, so a class that always stays itself is never flipped; what it becomes
        is drawn off the diagonal.

    Returns
    -------
    (n,) int64 array

    Raises
    ------
    ValueError
        If a label is outside the classes, `rate` outside [0, 1], `kind` unknown, or `transition` not (C, C), negative, with an
        empty row, given for symmetric flips, or leaving fewer rows that can flip than are to be flipped.

    References
    ----------
    Patrini, Rozza, Menon, Nock & Qu (2017), Making deep neural networks robust to label noise, arXiv:1609.03683.

    Examples
    --------
    >>> y = np.arange(1000) % 10
    >>> int((flip(y, 10, rate=0.25, seed=0) != y).sum())
    250
    """
    labels, share = class_labels(y, classes), number(rate, "rate")
    if not 0 <= share <= 1:
        raise ValueError(f"`rate` must lie between 0 and 1, got {share}.")
    away = _away(classes, kind, transition)
    rng, n = np.random.default_rng([STREAM, whole(seed, "seed")]), len(labels)
    wanted, chance = round(share * n), away.sum(axis=1)[labels]
    if wanted > np.count_nonzero(chance):
        raise ValueError(f"`rate` asks for {wanted} flips, but `transition` lets only {np.count_nonzero(chance)} rows flip.")
    waiting = np.full(n, np.inf)  # exponential times at these rates: the first to ring are a draw without replacement
    np.divide(rng.exponential(size=n), chance, out=waiting, where=chance > 0)
    flipped = np.argsort(waiting, kind="stable")[:wanted]
    cumulative = np.cumsum(away, axis=1)
    u = rng.random(n)[flipped] * cumulative[labels[flipped], -1]
    noisy = labels.copy()
    noisy[flipped] = (u[:, None] >= cumulative[labels[flipped]]).sum(axis=1)
    return noisy


def _away(classes: int, kind: str, transition: ArrayLike | None) -> Array:
    """(C, C) probabilities of becoming another class, the diagonal zero."""
    others = 1.0 - np.eye(classes)
    if kind not in ("symmetric", "class_dependent"):
        raise ValueError(f"`kind` must be 'symmetric' or 'class_dependent', got {kind!r}.")
    if transition is None:
        return others / (classes - 1) if kind == "symmetric" else np.roll(np.eye(classes), 1, axis=1)
    if kind == "symmetric":
        raise ValueError("`transition` must be left out where `kind` is 'symmetric'; its flips go to every class alike.")
    T = matrix(transition, "transition", shape=(classes, classes))
    if (T < 0).any() or not (T.sum(axis=1) > 0).all():
        raise ValueError("`transition` must hold probabilities, no entry negative and no row zero.")
    return np.asarray(T / T.sum(axis=1, keepdims=True) * others)
