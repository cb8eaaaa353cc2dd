r"""Memorisation: what a point's own label adds, by networks that saw the point and networks that did not."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import ArrayLike

from empirical import extra
from empirical.ensembles import fit
from empirical.networks import members_of, tensor_for
from empirical.recipe import Recipe
from empirical.scores import label_margin
from empirical.stack import outputs
from kdtheory.checks import Array, numeric, whole
from kdtheory.kept import Rows, kept_count

with extra():
    from torch import Tensor, nn

__all__ = ["balanced_subsets", "memorisation"]

STREAM = 0x3E30  # of random numbers: no other use of the same seed draws from it


def balanced_subsets(n: int, subsets: int, share: float, *, seed: int = 0) -> list[Rows]:
    """Random subsets of equal size that hold every row equally often, up to one.

    Each takes the rows that were taken least so far, at random among equals; so each by itself is a uniform subset.

    Parameters
    ----------
    n, subsets : int
    share : float
        Of the rows in each subset, in (0, 1].
    seed : int

    Returns
    -------
    list of (m,) arrays of ints, ascending

    Examples
    --------
    >>> halves = balanced_subsets(6, 2, 0.5)
    >>> np.sort(np.concatenate(halves))
    array([0, 1, 2, 3, 4, 5])
    """
    rng, m = np.random.default_rng([STREAM, whole(seed, "seed")]), kept_count(share, n, "share")
    taken, chosen = np.zeros(n, dtype=np.intp), []
    for _ in range(whole(subsets, "subsets", least=1)):
        rows = np.lexsort((rng.random(n), taken))[:m]
        taken[rows] += 1
        chosen.append(np.sort(rows))
    return chosen


def memorisation(
    model: nn.Module,
    X: ArrayLike | Tensor,
    y: ArrayLike,
    *,
    recipe: Recipe,
    share: float = 0.7,
    seed: int = 0,
    stack: int | None = None,
    progress: bool = False,
) -> Array:
    r"""How much oftener networks that saw a point are right about it than networks that did not; high is kept.

    .. math::
        P(h_S(x_i) = y_i \mid i \in S) - P(h_S(x_i) = y_i \mid i \notin S).

    All networks train as one stack, each on a random subset of its own; every point is in equally many of them.

    Parameters
    ----------
    model : nn.Module
        A stack of untrained networks; it is copied. The score of a point is as fine as there are networks.
    X : (n, ...) array or tensor
    y : (n,) classes for the cross-entropy, (n, p) coded labels for the squared loss
    recipe : Recipe
        Of each network on its subset.
    share : float
        Of the points in each subset; the source takes 0.7.
    seed, stack, progress
        Of the subsets and the minibatches; as in `fit`.

    Returns
    -------
    (n,) array in [-1, 1]

    Raises
    ------
    ValueError
        If the model is no stack, or so small that a point would be in all subsets or in none.

    References
    ----------
    Feldman & Zhang (2020), arXiv:2008.03703.

    Examples
    --------
    A point among others of its class is known without having been seen; a lone one with a label of its own is not:

    >>> from empirical.networks import MLP
    >>> X = np.array([[1.0, 0.0]] * 8 + [[-1.0, 0.0]] * 8 + [[0.0, 2.0]])
    >>> y = np.repeat([0, 1, 2], [8, 8, 1])
    >>> recipe = Recipe(steps=100, batch=16, loss="cross_entropy")
    >>> memorisation(MLP(2, 3, width=32, depth=1, members=4), X, y, recipe=recipe, share=0.5)[[0, 8, 16]]
    array([0., 0., 1.])
    """
    E = members_of(model)
    if E is None:
        raise ValueError("`model` must be a stack of networks; make one with members=1 for a network alone.")
    model, points = copy.deepcopy(model), tensor_for(model, X, "X")
    subsets = balanced_subsets(len(points), E, share, seed=seed)
    seen = np.zeros((E, len(points)), dtype=bool)
    for e, rows in enumerate(subsets):
        seen[e, rows] = True
    often = seen.sum(axis=0)
    if often.min() < 1 or often.max() == E:
        where = "in none" if often.min() < 1 else "in all"
        raise ValueError(
            f"`model` must have more members for `share`={share:g}: with {E} some point is {where} of the subsets."
        )
    seeds = np.random.SeedSequence(seed).generate_state(E).astype(np.int64)
    fit(model, points, y, recipe=recipe, rows=subsets, seeds=seeds, stack=stack, progress=progress)
    right = label_margin(outputs(model, points), numeric(y, "y")) > 0
    return np.asarray((right & seen).sum(axis=0) / often - (right & ~seen).sum(axis=0) / (E - often))
