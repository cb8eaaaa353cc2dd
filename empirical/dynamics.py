r"""One scoring run: a stack of networks trains once, and every score that training yields is recorded, for all fractions.

Scores of outputs and gradients are taken in eval mode at the ends of epochs, on all points in one order; forgetting is counted
as the source does, at the minibatches in which a point is shown.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from empirical import extra, scores
from empirical.ensembles import fit
from empirical.gradient_norms import grand
from empirical.networks import members_of, tensor_for
from empirical.recipe import Recipe
from empirical.stack import Indices, outputs
from empirical.uncertainty import entropy, least_confidence, margin
from kdtheory.checks import Array, numeric, positive, whole

with extra():
    import torch
    from torch import Tensor, nn

__all__ = ["Scores", "forgetting", "score_run"]

UNSURE = {"margin": margin, "least_confidence": least_confidence, "entropy": entropy}


@dataclass(frozen=True, eq=False)
class Scores(Mapping[str, Array]):
    """What one scoring run says of each point; ``scores[name]`` is (n,) float64 over all runs, higher = keep.

    A mean over the runs; "forgetting" is summed, as its source does. `by_run` holds (R, n) of each, and (1, n) where training
    has no part in it; `model` is the trained stack, in eval mode, and `train_accuracy` (R,) its share of right labels.
    """

    by_run: Mapping[str, Array]
    model: nn.Module
    train_accuracy: Array | None

    def __getitem__(self, name: str) -> Array:
        if name not in self.by_run:
            raise KeyError(f"`name` must be one of {', '.join(self.by_run)}, got {name!r}.")
        each = self.by_run[name]
        return np.asarray(each.sum(axis=0) if name == "forgetting" else each.mean(axis=0))

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_run)

    def __len__(self) -> int:
        return len(self.by_run)

    def rank_correlation(self, first: str, second: str) -> float:
        """Spearman's, of two scores over all runs: of "grand_at_init" and "input_norm", to begin with."""
        return float(np.corrcoef(rankdata(self[first]), rankdata(self[second]))[0, 1])

    def agreement(self, name: str) -> float:
        """Mean over pairs of runs of Spearman's correlation: how much of a score is not the luck of one run."""
        each = self.by_run[name]
        if len(each) < 2:
            raise ValueError(f"`name` must be a score of at least two runs, got {name!r}, of which there is one.")
        between = np.asarray(np.corrcoef(rankdata(each, axis=1)))
        return float(between[np.triu_indices(len(each), 1)].mean())


def forgetting(index: ArrayLike, correct: ArrayLike, n: int, *, never_learned: float | None = None) -> Array:
    """How often each point went from right to wrong between two presentations; what is forgotten often is kept.

    Parameters
    ----------
    index : (T,) or (R, T) ints
        The points in the order in which they were shown.
    correct : (T,) or (R, T) truth values
        Whether the network was right about each when it was shown.
    n : int
    never_learned : float, optional
        Score of a point that was never right. Left out, as often as it was shown, more than any learned point can be
        forgotten: such points come first, as in the source. At 0 they are dropped first.

    Returns
    -------
    (n,) or (R, n) array

    Raises
    ------
    ValueError
        If shapes disagree, or a number is out of its range.

    References
    ----------
    Toneva, Sordoni, Tachet des Combes, Trischler, Bengio & Gordon (2019), arXiv:1812.05159.

    Examples
    --------
    Point 0 is learned and forgotten, point 1 learned for good, point 2 never:

    >>> forgetting([0, 1, 2, 2, 1, 0], [True, False, False, False, True, False], 3)
    array([1., 0., 2.])
    """
    rows, right = numeric(index, "index"), numeric(correct, "correct").astype(bool)
    if rows.shape != right.shape or rows.ndim not in (1, 2):
        raise ValueError(f"`correct` must have the shape of `index`, (T,) or (runs, T), got {right.shape} and {rows.shape}.")
    size, policy = (
        whole(n, "n", least=1),
        None if never_learned is None else positive(never_learned, "never_learned", zero=True),
    )
    if rows.size and (rows.min() < 0 or rows.max() >= size):
        raise ValueError(f"`index` must hold numbers from 0 to {size - 1}, got {int(rows.min())} to {int(rows.max())}.")
    if rows.ndim == 2:
        return np.array([forgetting(*run, size, never_learned=policy) for run in zip(rows, right, strict=True)])
    order = np.argsort(rows, kind="stable")  # point after point, each in the order of its presentations
    rows, right = rows[order], right[order]
    forgotten = (rows[1:] == rows[:-1]) & right[:-1] & ~right[1:]
    shown, learned = np.bincount(rows, minlength=size), np.bincount(rows[right], minlength=size) > 0
    counts = np.bincount(rows[1:][forgotten], minlength=size).astype(np.float64)
    return np.where(learned, counts, shown if policy is None else policy)


def score_run(
    model: nn.Module,
    X: ArrayLike | Tensor,
    y: ArrayLike,
    *,
    recipe: Recipe,
    el2n_epoch: int | None = None,
    grand_epoch: int | None = None,
    never_learned: float | None = None,
    seed: int = 0,
    stack: int | None = None,
    progress: bool = False,
) -> Scores:
    r"""Train R networks as one stack on all points, and score every point by all of them.

    ==================  =====================================================================================
    "random"            uniform numbers of this `seed`
    "input_norm"        :math:`|x|`, to be shown beside the next one
    "grand_at_init"     `grand` before the first step
    "grand", "el2n"     after `grand_epoch` and `el2n_epoch` epochs
    "loss"              `training_loss` after the last step
    "forgetting"        `forgetting` over the whole run
    "aum"               minus the mean over epochs of `label_margin`: what never stands out clearly is kept
    "margin"            after the last step, as are
    "least_confidence"  and
    "entropy"
    ==================  =====================================================================================

    From "forgetting" on they need classes, and are left out where there is one output.

    Parameters
    ----------
    model : nn.Module
        A stack of R untrained networks, such as ``MLP(..., members=10)``; it is copied. Ten runs are the source's choice.
    X : (n, ...) array or tensor
    y : (n,) classes for the cross-entropy, (n, p) coded labels for the squared loss
        With whatever noise a student will meet.
    recipe : Recipe
        For at least one epoch; a fixed recipe gives the same scores for every fraction.
    el2n_epoch, grand_epoch : int, optional
        After how many epochs; left out, after the last full one. 0 is the initialisation itself.
    never_learned : float, optional
        As in `forgetting`.
    seed : int
        Of the minibatches; the networks' own is the model's.
    stack : int, optional
        Members that train together; left out, what suits the device.
    progress : bool
        Show a bar over the steps.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        If the model is no stack, an epoch is beyond the recipe's, the recipe is shorter than one, or shapes disagree.
    ArithmeticError
        As in `fit`.

    References
    ----------
    Paul, Ganguli & Dziugaite (2021), arXiv:2107.07075; Toneva et al. (2019), arXiv:1812.05159; Pleiss et al. (2020),
    arXiv:2001.10528.

    Examples
    --------
    The one point with a wrong label is the hardest, by all scores that look at labels:

    >>> from empirical.networks import MLP
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> X[5], y[5] = [3.0, 0.0, 0.0], 0
    >>> recipe = Recipe(epochs=4, batch=8, learning_rate=0.05, loss="cross_entropy")
    >>> run = score_run(MLP(3, 2, width=64, depth=1, members=2), X, y, recipe=recipe)
    >>> [int(np.argmax(run[name])) for name in ("el2n", "grand", "loss", "aum")]
    [5, 5, 5, 5]
    """
    if members_of(model) is None:
        raise ValueError("`model` must be a stack of networks; make one with members=1 for a network alone.")
    model, points = copy.deepcopy(model), tensor_for(model, X, "X")
    n, steps = len(points), recipe.steps_for(len(points))
    epochs = math.floor(steps * recipe.batch / n)
    if epochs < 1:
        raise ValueError(f"`recipe` must meet each of {n} points at least once, got {steps} steps of {recipe.batch}.")
    ends = [math.ceil(epoch * n / recipe.batch) for epoch in range(epochs + 1)]
    asked = {"el2n": el2n_epoch, "grand": grand_epoch, "grand_at_init": 0}
    when = {name: ends[_epoch(epoch, epochs, name)] for name, epoch in asked.items()}
    record = _Record(model, points, numeric(y, "y"), recipe, when, ends[1:], steps)
    seeds = np.random.SeedSequence(whole(seed, "seed")).generate_state(record.R).astype(np.int64)
    how: dict[str, Any] = {"seeds": seeds, "stack": stack, "progress": progress}
    fit(model, points, y, recipe=recipe, at=[*ends, steps], watch=record.watch, on_batch=record.on_batch, **how)
    if record.p > 1:
        record.scored["forgetting"] = forgetting(*record.presentations(), n, never_learned=never_learned)
    norms = scores.input_norm(points.cpu().numpy())
    by_run = {"random": scores.random(n, seed=seed)[None], "input_norm": norms[None], **record.scored}
    return Scores(by_run, model, record.accuracy if record.p > 1 else None)


class _Record:
    """What is written down while a stack trains, part by part: (R, n) of each score, and every presentation."""

    def __init__(
        self, model: nn.Module, X: Tensor, y: NDArray[Any], recipe: Recipe, when: dict[str, int], ends: list[int], steps: int
    ) -> None:
        self.X, self.y, self.loss = X, y, recipe.loss
        self.when, self.ends, self.steps = when, ends, steps  # steps of single scores, of the epochs' ends, of the end
        self.R, _, self.p = outputs(model, X[:1]).shape
        names = ["grand_at_init", "grand", "el2n", "loss", *(("forgetting", "aum", *UNSURE) if self.p > 1 else ())]
        self.scored = {name: np.zeros((self.R, len(X))) for name in names}
        self.accuracy = np.zeros(self.R)
        self.shown = np.zeros((self.R, steps, recipe.batch), dtype=np.int32)
        self.said = torch.zeros(self.shown.shape, dtype=torch.int16, device=X.device)

    def on_batch(self, step: int, members: Indices, index: Indices, f: Tensor) -> None:
        """What was shown, and what the network said of it; left on the device until the end."""
        self.shown[members, step] = index
        self.said[torch.as_tensor(members, device=self.said.device), step] = f.argmax(-1).to(self.said.dtype)

    def presentations(self) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """(R, T) points in the order shown, and whether the network was right."""
        classes = scores.classes_of(self.y, np.empty((len(self.X), self.p)))
        right = self.said.cpu().numpy() == classes[self.shown]
        return self.shown.reshape(self.R, -1), right.reshape(self.R, -1)

    def watch(self, step: int, part: nn.Module, members: Indices) -> None:
        """All scores that are due after this step."""
        for name in ("grand_at_init", "grand"):
            if step == self.when[name]:
                self.scored[name][members] = grand(part, self.X, self.y, loss=self.loss)
        if step not in {*self.ends, self.when["el2n"], self.steps}:
            return
        f = outputs(part, self.X)
        if step == self.when["el2n"]:
            self.scored["el2n"][members] = scores.el2n(f, self.y, loss=self.loss)
        if step == self.steps:
            self.scored["loss"][members] = scores.training_loss(f, self.y, loss=self.loss)
        if self.p == 1:
            return
        lead = scores.label_margin(f, self.y)
        if step in self.ends:
            self.scored["aum"][members] -= lead / len(self.ends)
        if step == self.steps:
            self.accuracy[members] = (lead > 0).mean(axis=1)
            for name, score in UNSURE.items():
                self.scored[name][members] = score(f, loss=self.loss)


def _epoch(epoch: int | None, epochs: int, name: str) -> int:
    number = epochs if epoch is None else whole(epoch, f"{name}_epoch")
    if number > epochs:
        raise ValueError(f"`{name}_epoch` must be at most {epochs}, the full epochs of the recipe, got {number}.")
    return number
