r"""Claim: labels that people got wrong ask for more teacher the less is kept, and for another weight than random flips do.

CIFAR-10N has three people's labels for every training image of CIFAR-10: their vote ("aggre", 9 % wrong), one of them
("random1", 17 %), and a wrong one wherever there is one ("worst", 40 %). People err where images are hard and mistake classes
that look alike. So each kind stands beside two that share its rate and lack the first, or both: flips by the measured
confusion of classes (`class_dependent`), and flips to any class (`symmetric`).

A teacher learns all rows, stopped where its loss on validation labels is least; students learn the kept ones, from
initialisations of their own, at every weight on the teacher; those of a cell differ by their weight alone. Validation labels
are of the same kind as the training labels; test labels are true and decide nothing. Images have half the resolution. Two
families: squared loss with a fully connected network, and cross-entropy with temperature and small strided convolutions. With
squared loss such convolutions learn too little in so many steps: of clean labels 0.29 right, the fully connected network 0.41.

References
----------
Wei, Zhu, Cheng, Liu, Niu & Liu (2022), Learning with noisy labels revisited, arXiv:2110.12088.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirical import extra
from empirical.data import Dataset, Split, flip, load
from empirical.experiments.verdicts_human_noise import verdicts
from empirical.foretold import of_networks
from empirical.pruned import Family, Labelled, distil, drawn, teach
from empirical.recipe import Recipe
from kdtheory.kept import kept_count, random_orders

with extra():
    import torch

__all__ = ["GRID", "QUICK", "Settings", "fingerprints", "measure", "units", "verdicts"]

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    data : str
        A name of `empirical.data.load` with people's labels, from the folder of --data-dir.
    losses : tuple of {"squared", "cross_entropy"}
    seeds : int
        A seed decides split, flips, what is kept, initialisations and minibatches.
    n, n_validation, n_test : int
        Of each split.
    labels : tuple of (labels, noise)
        "clean" with "none"; a kind of people's labels with "human", "symmetric" or "class_dependent".
    keep_fractions, teacher_weights : tuples of floats
        Shares kept, nested and at random, and the grid, in which 0 and 1 must be. Weights above 1 are for squared loss only:
        a cross-entropy with a negative weight on the labels has no lower bound.
    steps, batch : int
    mlp_width, mlp_depth, mlp_rate : numbers
        Squared loss: NTK parameterisation, output minus initial output, SGD with momentum 0.9 and a cosine.
    cnn_width, cnn_depth, cnn_rate, temperature : numbers
        Cross-entropy: channels of the first of the strided convolutions, Adam with a cosine.
    """

    data: str = "cifar10n"
    losses: tuple[str, ...] = ("squared", "cross_entropy")
    seeds: int = 5
    n: int = 8000
    n_validation: int = 2000
    n_test: int = 2000
    labels: tuple[tuple[str, str], ...] = (
        ("clean", "none"),
        *((kind, noise) for kind in ("aggre", "random1", "worst") for noise in ("human", "symmetric")),
        ("worst", "class_dependent"),
    )
    keep_fractions: tuple[float, ...] = (0.1, 0.3, 1.0)
    teacher_weights: tuple[float, ...] = (0.0, 0.35, 0.7, 1.0, 1.25)
    steps: int = 300
    batch: int = 64
    mlp_width: int = 128
    mlp_depth: int = 2
    mlp_rate: float = 0.3
    cnn_width: int = 12
    cnn_depth: int = 2
    cnn_rate: float = 4e-3
    temperature: float = 4.0


GRID = ("losses", "seeds")
QUICK = Settings(
    seeds=2,
    n=1000,
    n_validation=500,
    n_test=500,
    labels=(("clean", "none"), ("worst", "human"), ("worst", "symmetric")),
    keep_fractions=(0.3, 1.0),
    teacher_weights=(0.0, 0.5, 1.0),
    steps=60,
)


def units(settings: Settings) -> list[dict[str, Any]]:
    """One unit per loss and seed: all labels, shares and weights of it."""
    return [{"loss": loss, "seed": seed} for seed in range(settings.seeds) for loss in settings.losses]


def fingerprints(settings: Settings) -> dict[str, str]:
    """What the images and labels are known by; that they are missing is a result for as long as they are."""
    data = _loaded(settings.data)
    return {settings.data: data.fingerprint if isinstance(data, Dataset) else "missing"}


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    r"""One split with all kinds of labels; without data a row that says so, `missing`.

    Rows with a `teacher_weight` are students: `error` is the mean squared error per output on test points against true labels
    (of probabilities if the loss is cross-entropy), `accuracy` theirs, `validation_accuracy` that on validation labels as they
    are seen. Rows without one are cells: `rate` of wrong training labels, `teacher_accuracy`, `teacher_steps`, and the moments
    of the students at weights 0 and 1 (`empirical.foretold`).
    """
    data = _loaded(settings.data)
    if isinstance(data, str):
        return [{"missing": data}]
    how, seed = family(settings, unit["loss"]), unit["seed"]
    weights = [w for w in settings.teacher_weights if w <= 1 or unit["loss"] == "squared"]
    part = drawn(data, n=settings.n, n_validation=settings.n_validation, n_test=settings.n_test, seed=seed)
    part = replace(part, X=halved(part.X), X_validation=halved(part.X_validation), X_test=halved(part.X_test))
    order = random_orders(len(part.X), 1, seed)[0]
    kept = {f: order[: kept_count(f, len(part.X))] for f in settings.keep_fractions}
    cells = [(f, w) for f in settings.keep_fractions for w in weights]
    rows = []
    for labels, noise in settings.labels:
        seen = labelled(data, part, labels, noise, seed)
        teacher = teach(how, seen, seeds=[seed], device=device)
        students = distil(
            how,
            seen,
            teacher.train[0],
            teacher_weights=[w for _, w in cells],
            rows=[kept[f] for f, _ in cells],
            seeds=[seed] * len(cells),
            device=device,
        )
        right = np.mean(students.validation.argmax(axis=-1) == seen.y_validation, axis=1)
        for i, (f, w) in enumerate(cells):
            here = {"labels": labels, "noise": noise, "keep_fraction": f, "teacher_weight": w}
            rows.append(here | seen.score(how, students.test[i]) | {"validation_accuracy": float(right[i])})
        of_teacher = {
            "rate": float(np.mean(seen.y != part.y)),
            "teacher_accuracy": seen.score(how, teacher.test[0])["accuracy"],
            "teacher_steps": int(teacher.steps[0]),
        }
        for k, f in enumerate(settings.keep_fractions):
            pair = of_networks(how, seen, students, range(k * len(weights), (k + 1) * len(weights)), weights)
            rows.append({"labels": labels, "noise": noise, "keep_fraction": f, **of_teacher, **pair})
    return rows


def family(settings: Settings, loss: str) -> Family:
    """The architecture and recipe that goes with a loss."""
    how: dict[str, Any] = {"steps": settings.steps, "batch": settings.batch, "loss": loss}
    if loss == "squared":
        return Family("mlp", settings.mlp_width, settings.mlp_depth, Recipe(learning_rate=settings.mlp_rate, **how))
    recipe = Recipe(learning_rate=settings.cnn_rate, optimiser="adam", temperature=settings.temperature, **how)
    return Family("cnn", settings.cnn_width, settings.cnn_depth, recipe)


def labelled(data: Dataset, part: Split, labels: str, noise: str, seed: int) -> Labelled:
    """A split with people's labels, or with as many wrong ones of another kind in each of the two parts.

    Raises
    ------
    ValueError
        If there are no such labels, or the noise is unknown.
    """
    if labels == "clean":
        return Labelled(part, part.y, part.y_validation)
    if labels not in data.labels:
        raise ValueError(f"`labels` must be clean or one of {', '.join(data.labels)}, got {labels!r}.")
    human = [data.labels[labels][rows] for rows in (part.rows, part.rows_validation)]
    if noise == "human":
        return Labelled(part, *human)
    classes = int(part.classes or 0)
    transition = confusion(data.y, data.labels[labels], classes) if noise == "class_dependent" else None
    return Labelled(part, *_flipped((part.y, part.y_validation), human, classes, noise, transition, seed))


def _flipped(
    true: tuple[Classes, Classes], human: list[Classes], classes: int, kind: str, transition: Any, seed: int
) -> Iterator[Classes]:
    for part, (y, theirs) in enumerate(zip(true, human, strict=True)):
        yield flip(y, classes, rate=float(np.mean(theirs != y)), seed=2 * seed + part, kind=kind, transition=transition)


def confusion(y: Classes, labels: Classes, classes: int) -> NDArray[np.float64]:
    """Share of each class (a row) that people call each class.

    Examples
    --------
    >>> confusion(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2)
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    counts = np.zeros((classes, classes))
    np.add.at(counts, (y, labels), 1.0)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def halved(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (n, channels, height, width) of half the height and width: means over squares of four pixels."""
    n, channels, height, width = X.shape
    return np.asarray(X.reshape(n, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5)))


def _loaded(name: str) -> Dataset | str:
    """The data, or why they are not there."""
    try:
        return load(name)
    except ValueError as error:
        return str(error)
