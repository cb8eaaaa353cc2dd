r"""A teacher on all rows, students on what is kept: the protocol that the experiments share.

The teacher learns the labels as they are, flipped ones included, and stops where its validation loss on such labels is least:
never on what is measured later. Students start from networks of their own; those of one seed differ by their teacher weight
and their rows alone, down to the minibatches.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from empirical import extra
from empirical.convolutional import ConvNet, ResNet
from empirical.data import Dataset, Split, flip, one_hot, split
from empirical.ensembles import fit
from empirical.lessons import seen_rows
from empirical.losses import LOSSES
from empirical.networks import MLP, Centred, as_array, members_of
from empirical.recipe import Recipe
from empirical.stack import Indices, outputs, put_back, select
from kdtheory.checks import Array, whole
from kdtheory.kept import Rows

with extra():
    import torch
    from torch import nn

__all__ = ["Family", "Labelled", "Predictions", "distil", "drawn", "teach"]

Outputs = NDArray[np.float32]
TEACHER, STUDENT = 0, 1  # roles: networks and minibatches of one seed differ between them


@dataclass(frozen=True)
class Family:
    """An architecture and how it is trained.

    Attributes
    ----------
    network : {"mlp", "cnn", "resnet"}
        `MLP` in the NTK parameterisation, minus itself at initialisation (`Centred`) if the loss is squared; `ConvNet`;
        `ResNet`.
    width, depth : int
    recipe : Recipe

    Examples
    --------
    >>> wide = Family("mlp", 128, 2, Recipe(steps=100))
    >>> wide.stack((1, 8, 8), 10, members=3, seed=0).members
    3
    """

    network: str
    width: int
    depth: int
    recipe: Recipe

    def __post_init__(self) -> None:
        if self.network not in ("mlp", "cnn", "resnet"):
            raise ValueError(f'`network` must be "mlp", "cnn" or "resnet", got {self.network!r}.')

    def stack(
        self, shape: Sequence[int], outputs: int, *, members: int, seed: int | Sequence[int], device: Any = "cpu"
    ) -> nn.Module:
        """So many networks for points of this shape, drawn anew."""
        how: dict[str, Any] = {"width": self.width, "depth": self.depth, "members": members, "seed": seed, "device": device}
        if self.network == "mlp":
            net = MLP(int(np.prod(shape)), outputs, **how)
            return Centred(net) if self.recipe.loss == "squared" else net
        if len(shape) != 3:
            raise ValueError(f"`network`={self.network!r} needs images (channels, height, width), got points {tuple(shape)}.")
        return (ConvNet if self.network == "cnn" else ResNet)(shape, outputs, **how)

    def points(self, X: Outputs) -> Outputs:
        """Points as the architecture takes them: flat for an MLP."""
        return X.reshape(len(X), -1) if self.network == "mlp" else X

    def predictions(self, f: Outputs) -> Array:
        """Outputs as they are compared with coded labels: themselves, or probabilities minus 1/C of a cross-entropy."""
        return (
            f.astype(np.float64) if self.recipe.loss == "squared" else softmax(f.astype(np.float64), axis=-1) - 1 / f.shape[-1]
        )


def drawn(dataset: Dataset, *, n: int, n_validation: int, n_test: int, seed: int) -> Split:
    """A split of these sizes; of a dataset that has less, in the same proportions.

    Where the dataset has no test part, at most a quarter of its rows are that. Columns of a table are scaled each by itself,
    images by one number.
    """
    available = len(dataset.X)
    test = min(n_test, available // 4 if dataset.X_test is None else len(dataset.X_test))
    available -= test if dataset.X_test is None else 0
    shrink = min(1.0, available / (n + n_validation))
    sizes = {"train": int(n * shrink), "validation": int(n_validation * shrink), "test": test}
    return split(dataset, **sizes, seed=seed, each_column=dataset.X.ndim == 2)


@dataclass(frozen=True, eq=False)
class Labelled:
    """A split with the labels that are seen; made by `flipped`.

    Attributes
    ----------
    split : Split
        With the true labels.
    y, y_validation : (n,) and (m,) arrays
        What teacher and students see, and what the teacher is stopped and weights are chosen on.
    """

    split: Split
    y: NDArray[Any]
    y_validation: NDArray[Any]

    @classmethod
    def flipped(cls, split: Split, *, rate: float, seed: int, kind: str = "symmetric") -> Labelled:
        """A share of the labels replaced by other classes, in the training and the validation part; the test part is true."""
        if rate == 0:
            return cls(split, split.y, split.y_validation)
        if split.classes is None:
            raise ValueError(f"`rate` must be 0 for a regression, whose labels cannot be flipped, got {rate}.")
        parts = [
            flip(y, split.classes, rate=rate, seed=2 * seed + part, kind=kind)
            for part, y in enumerate((split.y, split.y_validation))
        ]
        return cls(split, *parts)

    def coded(self, y: NDArray[Any]) -> Outputs:
        """Labels as targets of the squared loss: one-hot minus 1/C, or the values (n, 1)."""
        return np.asarray(y, dtype=np.float32)[:, None] if self.split.classes is None else one_hot(y, self.split.classes)

    def for_loss(self, y: NDArray[Any], loss: str) -> NDArray[Any]:
        """Labels as a loss takes them."""
        return y if loss == "cross_entropy" else self.coded(y)

    def score(self, family: Family, f: Outputs) -> dict[str, float]:
        """Mean squared error per output and accuracy of one network's outputs at the test points; no accuracy of values."""
        error = float(np.mean((family.predictions(f) - self.coded(self.split.y_test)) ** 2))
        if self.split.classes is None:
            return {"error": error}
        return {"error": error, "accuracy": float(np.mean(f.argmax(axis=-1) == self.split.y_test))}

    @property
    def outputs(self) -> int:
        """Of a network for this: classes, or 1."""
        return self.split.classes or 1


@dataclass(frozen=True, eq=False)
class Predictions:
    """Outputs of E networks at the three parts of a split, (E, n or m, p), and the steps of training they had."""

    train: Outputs
    validation: Outputs
    test: Outputs
    steps: NDArray[np.int64]

    @classmethod
    def of(
        cls, model: nn.Module, family: Family, split: Split, steps: NDArray[np.int64], *, train: bool = True
    ) -> Predictions:
        """What a stack says at all parts; without `train` that part is left empty."""
        parts = split.X if train else split.X[:1], split.X_validation, split.X_test
        f = [outputs(model, family.points(X)) for X in parts]
        return cls(f[0] if train else f[0][:, :0], f[1], f[2], steps)


class _Best:
    """The parameters at which each member's validation loss was least so far."""

    def __init__(self, model: nn.Module, X: Outputs, labels: NDArray[Any], loss: str) -> None:
        members = members_of(model) or 1
        self.best, self.X, self.loss = copy.deepcopy(model), X, loss
        self.labels = torch.as_tensor(labels)[None].expand(members, *labels.shape)
        self.least, self.steps = np.full(members, np.inf), np.zeros(members, dtype=np.int64)

    def __call__(self, step: int, part: nn.Module, members: Indices) -> None:
        f = torch.as_tensor(outputs(part, self.X))
        losses = as_array(LOSSES[self.loss](f, self.labels[members], None, torch.zeros(len(f)), 1.0))
        better = np.flatnonzero(losses < self.least[members])
        if len(better):
            self.least[members[better]], self.steps[members[better]] = losses[better], step
            put_back(self.best, select(part, better), members[better])


def teach(
    family: Family,
    data: Labelled,
    *,
    seeds: Sequence[int],
    rows: Rows | Sequence[Rows] | None = None,
    looks: int = 20,
    device: Any = "cpu",
) -> Predictions:
    """Teachers on the labels, one per seed, each stopped where its validation loss was least.

    Parameters
    ----------
    family : Family
    data : Labelled
    seeds : sequence of ints
        Of initialisation and minibatches.
    rows : optional
        What the teachers see, as in `fit`; left out, everything.
    looks : int
        Times that the validation loss is looked at, evenly over the steps; 1 is at the end only.
    device : optional

    Returns
    -------
    Predictions
        With the numbers of steps at which they were stopped.
    """
    model = initial(family, data, seeds, role=TEACHER, device=device)
    loss, n, times = family.recipe.loss, len(data.split.X), whole(looks, "looks", least=1)
    sees = seen_rows(rows, n, len(seeds))
    budgets = {family.recipe.steps_for(len(each)) for each in sees}
    at = sorted({max(1, round(steps * k / times)) for steps in budgets for k in range(1, times + 1)})
    best = _Best(model, family.points(data.split.X_validation), data.for_loss(data.y_validation, loss), loss)
    fit(
        model,
        family.points(data.split.X),
        data.for_loss(data.y, loss),
        recipe=family.recipe,
        rows=sees,
        seeds=minibatch_seeds(seeds, TEACHER),
        at=at,
        watch=best,
    )
    return Predictions.of(best.best, family, data.split, best.steps)


def distil(
    family: Family,
    data: Labelled,
    teacher: Outputs | None,
    *,
    teacher_weights: Sequence[float],
    rows: Sequence[Rows],
    seeds: Sequence[int],
    teacher_of: Sequence[int] | int = 0,
    train: bool = False,
    device: Any = "cpu",
) -> Predictions:
    """Students, each with its own teacher weight, rows and seed, trained together.

    Parameters
    ----------
    family : Family
    data : Labelled
    teacher : (n, p) or (T, n, p) array, or None
        Outputs at all training rows.
    teacher_weights, rows, seeds : sequences of length E
        Students of one seed start from one initialisation; with equal rows they meet equal minibatches.
    teacher_of : int or E ints
    train : bool
        Whether to keep the students' outputs at all training points too.
    device : optional

    Returns
    -------
    Predictions
    """
    distinct, place = np.unique(np.asarray(seeds), return_inverse=True)
    model = select(initial(family, data, distinct.tolist(), role=STUDENT, device=device), place)
    done = fit(
        model,
        family.points(data.split.X),
        data.for_loss(data.y, family.recipe.loss),
        recipe=family.recipe,
        teacher=teacher,
        teacher_weights=np.asarray(teacher_weights, dtype=np.float64),
        teacher_of=teacher_of,
        rows=list(rows),
        seeds=minibatch_seeds(seeds, STUDENT),
    )
    return Predictions.of(model, family, data.split, done.steps, train=train)


def minibatch_seeds(seeds: Sequence[int], role: int) -> NDArray[np.int64]:
    """Of `fit`: a teacher and a student of one seed and the same rows meet different minibatches."""
    return 2 * np.asarray(seeds, dtype=np.int64) + role


def initial(family: Family, data: Labelled, seeds: Sequence[int], *, role: int, device: Any = "cpu") -> nn.Module:
    """A stack of one network per seed: the same network for a seed whatever else is in the stack."""
    shape = family.points(data.split.X).shape[1:]
    each = [family.stack(shape, data.outputs, members=1, seed=[seed, role], device=device) for seed in seeds]
    model = select(each[0], [0] * len(each))
    for e, one in enumerate(each):
        put_back(model, one, np.array([e]))
    return model
