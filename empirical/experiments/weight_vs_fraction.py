r"""The best teacher weight rises as less is kept, and in some settings with label noise; two trained students foretell it.

A teacher learns all rows, students learn the kept ones with a weight on the teacher's outputs: fraction kept by label noise by
teacher weight, each seed with a split, noise, teacher, nested random subsets and initialisations of its own, students of one
seed differing by subset and weight alone. Two families: squared loss with a fully connected network, for which the kernel
theory makes predictions; cross-entropy with temperature and a small convolutional network.

Measured: error and accuracy on test points with true labels, never used for anything else. Predicted, from validation points
alone, whose labels are as noisy as the training ones: the closed form of the two students at weights 0 and 1; the student of
the analytic tangent kernel, trained for the time that the network was and fed the network's teacher; the same with the
kernel's own teacher, stopped on the validation labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from empirical import extra
from empirical.cells import cells_of
from empirical.data import load
from empirical.findings import findings
from empirical.foretold import Kernels, of_networks
from empirical.losses import LOSSES
from empirical.pruned import Family, Labelled, distil, drawn, teach
from empirical.recipe import Recipe
from empirical.verdict import Verdict
from kdtheory.checks import whole
from kdtheory.kept import kept_count, random_orders, shares

with extra():
    import torch

__all__ = ["GRID", "QUICK", "TRIAL_SHARE", "Settings", "by_seed", "fingerprints", "measure", "trial", "units", "verdicts"]


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    data : tuple of str
        Names that `empirical.data.load` knows; all but digits from the folder of --data-dir.
    losses : tuple of {"squared", "cross_entropy"}
    seeds : int
    n, n_validation, n_test : int
        Of each split; a smaller data set is divided in the same proportions.
    noises, keep_fractions, teacher_weights : tuples of floats
        Shares of flipped labels, shares kept, and the grid, in which 0 and 1 must be.
    mlp_width, mlp_depth, mlp_steps, mlp_rate, mlp_batch : numbers
        Squared loss: NTK parameterisation, output minus initial output, SGD with momentum 0.9 and a cosine.
    cnn_width, cnn_depth, cnn_steps, cnn_rate, cnn_batch, temperature : numbers
        Cross-entropy: channels of the first of the strided convolutions, Adam with a cosine.
    kernels : bool
        Whether the tangent kernel's students are computed; they cost the cube of `n`.
    """

    data: tuple[str, ...] = ("digits",)
    losses: tuple[str, ...] = ("squared", "cross_entropy")
    seeds: int = 8
    n: int = 3000
    n_validation: int = 1000
    n_test: int = 4000
    noises: tuple[float, ...] = (0.0, 0.2, 0.4)
    keep_fractions: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    teacher_weights: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
    mlp_width: int = 128
    mlp_depth: int = 2
    mlp_steps: int = 500
    mlp_rate: float = 0.1
    mlp_batch: int = 64
    cnn_width: int = 12
    cnn_depth: int = 2
    cnn_steps: int = 500
    cnn_rate: float = 2e-3
    cnn_batch: int = 32
    temperature: float = 4.0
    kernels: bool = True


GRID = ("data", "losses", "seeds")
TRIAL_SHARE = 1 / 20  # of the steps of a unit, in a trial
QUICK = Settings(seeds=2, noises=(0.0, 0.4), keep_fractions=(0.1, 1.0), mlp_steps=200, cnn_steps=200)


def trial(settings: Settings) -> Settings:
    """A share of the steps and no kernels, to tell how long all of them will take."""
    steps = {name: max(1, round(TRIAL_SHARE * getattr(settings, name))) for name in ("mlp_steps", "cnn_steps")}
    return replace(settings, kernels=False, **steps)


def fingerprints(settings: Any) -> dict[str, str]:
    """What the data are known by: results on other data of the same name are other results."""
    return {name: load(name).fingerprint for name in settings.data}


def units(settings: Settings) -> list[dict[str, Any]]:
    """One unit per data set, loss and seed: all label noises, shares and weights of it.

    Raises
    ------
    ValueError
        If a setting is out of its range.
    """
    shares(settings.keep_fractions)
    whole(settings.seeds, "seeds", least=1)
    if not set(settings.losses) <= set(LOSSES):
        raise ValueError(f"`losses` must hold {' or '.join(LOSSES)}, got {settings.losses}.")
    if not {0.0, 1.0} <= set(settings.teacher_weights):
        raise ValueError(f"`teacher_weights` must hold 0 and 1, the ends of every mix, got {settings.teacher_weights}.")
    return by_seed(settings)


def by_seed(settings: Any) -> list[dict[str, Any]]:
    """Every data set, loss and seed of such settings."""
    return [
        {"data": data, "loss": loss, "seed": seed}
        for data in settings.data
        for loss in settings.losses
        for seed in range(settings.seeds)
    ]


def family(settings: Settings, loss: str, *, images: bool = True) -> Family:
    """The architecture and recipe that goes with a loss; points that are no images have a fully connected network only."""
    if loss == "squared":
        recipe = Recipe(steps=settings.mlp_steps, batch=settings.mlp_batch, learning_rate=settings.mlp_rate)
        return Family("mlp", settings.mlp_width, settings.mlp_depth, recipe)
    recipe = Recipe(
        steps=settings.cnn_steps,
        batch=settings.cnn_batch,
        learning_rate=settings.cnn_rate,
        optimiser="adam",
        loss="cross_entropy",
        temperature=settings.temperature,
    )
    if images:
        return Family("cnn", settings.cnn_width, settings.cnn_depth, recipe)
    return Family("mlp", settings.mlp_width, settings.mlp_depth, recipe)


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    r"""One split: every student's error and accuracy, and what was foretold of the cell.

    Rows with a `teacher_weight` are students: `error` is the mean squared error per output on the test points against the true
    labels (of probabilities if the loss is cross-entropy), `accuracy` theirs. Rows without one are cells: `teacher_accuracy`
    and `teacher_steps`; `superposition`, how far the student at the middle weight is from the mix of its two ends; and the six
    moments of each pair of students at weights 0 and 1, called after the pair (`net`, `fed` the network's teacher,
    `own` kernel teacher) and after the labels (`test`, `clean` and `noisy` validation).
    """
    part = drawn(
        load(unit["data"]), n=settings.n, n_validation=settings.n_validation, n_test=settings.n_test, seed=unit["seed"]
    )
    if part.classes is None and unit["loss"] != "squared":
        return []  # a regression has no classes
    how = family(settings, unit["loss"], images=part.X.ndim == 4)
    order = random_orders(len(part.X), 1, unit["seed"])[0]
    kept = {f: order[: kept_count(f, len(part.X))] for f in settings.keep_fractions}
    kernels = Kernels(how, part.X, part.X_validation, kept) if settings.kernels and unit["loss"] == "squared" else None
    grid, rows = settings.teacher_weights, []
    for noise in settings.noises if part.classes else settings.noises[:1]:
        data = Labelled.flipped(part, rate=noise, seed=unit["seed"])
        teacher = teach(how, data, seeds=[unit["seed"]], device=device)
        cells = [(f, w) for f in settings.keep_fractions for w in grid]
        students = distil(
            how,
            data,
            teacher.train[0],
            teacher_weights=[w for _, w in cells],
            rows=[kept[f] for f, _ in cells],
            seeds=[unit["seed"]] * len(cells),
            device=device,
        )
        own = None if kernels is None else kernels.own_teacher(data)
        said = {f"teacher_{name}": value for name, value in data.score(how, teacher.test[0]).items()}
        for k, f in enumerate(settings.keep_fractions):
            here, chosen = {"noise": noise, "keep_fraction": f}, range(k * len(grid), (k + 1) * len(grid))
            for i, w in zip(chosen, grid, strict=True):
                rows.append(here | {"teacher_weight": w} | data.score(how, students.test[i]))
            of_cell = of_networks(how, data, students, chosen, grid)
            if kernels is not None and own is not None:
                of_cell |= kernels.cell(data, teacher.train[0], own, f)
            rows.append(here | said | {"teacher_steps": int(teacher.steps[0])} | of_cell)
    return rows


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """What the table says of each claim."""
    return findings(cells_of(rows))
