r"""Rows of `weight_vs_fraction` as cells: what was measured over the grid of weights, and what each rule had said of it.

A cell is one data set, loss, label noise and kept share, with all its seeds. Each seed draws a split of its own from the same
data, networks and noise, and intervals are over seeds: for another draw from these data, not for other data. The rules, each
a pair of students (`empirical.foretold`) and a criterion (`empirical.pairs`):

================  ===================================================================================================
two endpoints     the networks at weights 0 and 1 themselves
fed kernel        the tangent kernel's students, fed the network's teacher
own kernel        the same with the kernel's own teacher
================  ===================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from empirical.bridge import vertex
from empirical.comparison import Agreement, agreement
from empirical.intervals import Estimate, crossed_interval
from empirical.pairs import identifiability, scale_free_weight, scale_free_within, squared_error_weight
from kdtheory.checks import Array

__all__ = ["BOUNDS", "CRITERIA", "MOMENTS", "RULES", "Cell", "agreement_of", "cells_of", "regrets_of"]

#: Inner products of `empirical.pairs.moments`: labels v, student on labels l, and the difference d to the one on the teacher.
MOMENTS = ("vv", "vl", "vd", "ll", "ld", "dd")
#: Pairs of students by rule.
RULES = {"two endpoints": "net", "fed kernel": "fed", "own kernel": "own"}
CRITERIA = {"squared error": squared_error_weight, "scale-free": scale_free_weight}
BOUNDS = (-0.4, 1.6)  # within which weights are compared
NAMES = ("data", "loss", "noise", "keep_fraction")


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell, all seeds.

    Attributes
    ----------
    data, loss : str
    noise, keep_fraction : float
    weights : (W,) array
    errors, accuracies : (W, S) arrays
        On test points with true labels; accuracies are nan for a regression.
    moments : mapping from "net_test", "net_clean", "net_noisy", "fed_clean", ... to (S, 6) arrays
    teacher_accuracy, superposition : (S,) arrays
    """

    data: str
    loss: str
    noise: float
    keep_fraction: float
    weights: Array
    errors: Array
    accuracies: Array
    moments: Mapping[str, Array]
    teacher_accuracy: Array
    superposition: Array

    @property
    def seeds(self) -> int:
        """S."""
        return len(self.superposition)

    def vertices(self) -> Array:
        """Coefficients of each seed's least-squares parabola through its measured errors, (S, 3)."""
        return np.asarray(self.errors.T @ np.linalg.pinv(np.vander(self.weights, 3, increasing=True)).T)

    def quadratic(self) -> float:
        """Share of the mean errors' variance over the grid that a parabola explains."""
        mean = self.errors.mean(axis=1)
        fitted = np.vander(self.weights, 3, increasing=True) @ self.vertices().mean(axis=0)
        return float(1 - np.sum((mean - fitted) ** 2) / np.sum((mean - mean.mean()) ** 2))

    def measured(self, rng: np.random.Generator) -> Estimate:
        """Vertex of the parabola through the errors of the whole grid."""
        return crossed_interval(self.vertices()[:, None], vertex, rng=rng)

    def predicted(self, rule: str, criterion: str, labels: str, rng: np.random.Generator) -> Estimate:
        """The weight that a rule gives from all seeds' points, whose `labels` are "noisy", "clean" or (networks) "test"."""
        return crossed_interval(self.moments[f"{RULES[rule]}_{labels}"][:, None], CRITERIA[criterion], rng=rng)

    def predicted_by_seed(self, rule: str, criterion: str, labels: str) -> Array:
        """The same from each seed alone, (S,): what somebody with one pair of students gets."""
        return CRITERIA[criterion](self.moments[f"{RULES[rule]}_{labels}"])

    def used_by_seed(self, rule: str, criterion: str, labels: str) -> Array:
        """What is then trained with, within 0 and 1: where no finite weight is best the better end, where all are alike 0."""
        M = self.moments[f"{RULES[rule]}_{labels}"]
        within = scale_free_within(M, 0.0, 1.0) if criterion == "scale-free" else np.clip(squared_error_weight(M), 0.0, 1.0)
        return np.nan_to_num(within, nan=0.0)

    @property
    def identifiability(self) -> float:
        """How far the teacher moves the student on test points, relative to its size."""
        return float(identifiability(self.moments["net_test"].mean(axis=0)))

    @property
    def rules(self) -> list[str]:
        """Of which there are numbers: kernels speak of squared loss only."""
        return [rule for rule, pair in RULES.items() if f"{pair}_noisy" in self.moments]


def cells_of(rows: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """The cells of a table, in the order in which they first appear.

    Raises
    ------
    ValueError
        If there is no row, or a seed lacks a student of the grid or the cell's own row.
    """
    if not rows or not {"data", "loss", "noise", "keep_fraction", "seed", "teacher_weight", "error"} <= set().union(*rows):
        raise ValueError("`rows` must hold the rows of `weight_vs_fraction`, got none of them.")
    grouped: dict[tuple[Any, ...], dict[int, list[Mapping[str, Any]]]] = {}
    for row in rows:
        key = row["data"], row["loss"], float(row["noise"]), float(row["keep_fraction"])
        grouped.setdefault(key, {}).setdefault(int(row["seed"]), []).append(row)
    return [_cell(key, [some for _, some in sorted(by_seed.items())]) for key, by_seed in grouped.items()]


def _cell(key: tuple[Any, ...], seeds: list[list[Mapping[str, Any]]]) -> Cell:
    students = [{float(row["teacher_weight"]): row for row in some if _given(row, "teacher_weight")} for some in seeds]
    weights = np.array(sorted(students[0]))
    summaries = [row for some in seeds for row in some if not _given(row, "teacher_weight")]
    if len(summaries) != len(seeds) or any(set(each) != set(students[0]) for each in students) or 0.0 not in students[0]:
        cell = ", ".join(f"{name}={value}" for name, value in zip(NAMES, key, strict=True))
        raise ValueError(f"`rows` must have every seed's students and one row of the cell itself, got others at {cell}.")

    def table(name: str) -> Array:
        return np.array([[_number(one[w], name) for one in students] for w in weights.tolist()])

    def column(name: str) -> Array:
        return np.array([_number(row, name) for row in summaries])

    pairs = [f"{pair}_{labels}" for pair in RULES.values() for labels in ("test", "clean", "noisy")]
    moments = {
        pair: np.stack([column(f"{pair}_{moment}") for moment in MOMENTS], axis=-1)
        for pair in pairs
        if _given(summaries[0], f"{pair}_vv")
    }
    data, loss, noise, keep_fraction = key
    return Cell(
        data,
        loss,
        noise,
        keep_fraction,
        weights,
        table("error"),
        table("accuracy"),
        moments,
        column("teacher_accuracy"),
        column("superposition"),
    )


def _given(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    return value not in (None, "") and not (isinstance(value, float) and np.isnan(value))


def _number(row: Mapping[str, Any], name: str) -> float:
    return float(row[name]) if _given(row, name) else float("nan")


def agreement_of(cells: Sequence[Cell], rule: str, criterion: str, labels: str, *, rng: np.random.Generator) -> Agreement:
    """A rule's weights beside those measured: the parabola of the whole grid, or the scale-free optimum of the test points."""
    some = [cell for cell in cells if rule in cell.rules]
    predicted = np.array([cell.predicted(rule, criterion, labels, rng).value for cell in some])
    if criterion == "squared error":
        measured = np.array([float(vertex(cell.vertices().mean(axis=0))) for cell in some])
    else:
        measured = np.array([float(scale_free_weight(cell.moments["net_test"].mean(axis=0))) for cell in some])
    return agreement(predicted, measured, bounds=BOUNDS, rng=rng)


def regrets_of(
    cells: Sequence[Cell],
    rule: str | float,
    criterion: str = "squared error",
    labels: str = "noisy",
    *,
    rng: np.random.Generator,
) -> Estimate:
    """Accuracy lost on test points by using a rule, from each seed's own students, or one weight for all: mean over cells.

    Against the best weight of the grid in [0, 1] as the other seeds choose it, read on this one: with eight seeds that choice
    is itself some tenth of a point below the best. The interval is over seeds, each with its mean over cells. Where no weight
    is best (nan), none is used: no distillation.
    """
    lost = []
    for cell in cells:
        if isinstance(rule, float):
            predicted = np.full(cell.seeds, rule)
        elif rule in cell.rules:
            predicted = cell.used_by_seed(rule, criterion, labels)
        else:
            continue
        lost.append(_honest_loss(cell, predicted))
    by_seed = np.mean(lost, axis=0)
    return crossed_interval(by_seed[:, None, None], lambda mean: mean[..., 0], rng=rng)


def _honest_loss(cell: Cell, used: Array) -> Array:
    """(S,) lead of the grid's best weight, chosen on the other seeds, over the weight that was used on this one."""
    inside = (cell.weights >= 0) & (cell.weights <= 1)
    grid, table = cell.weights[inside], cell.accuracies[inside]
    reached = np.array([np.interp(used[s], cell.weights, cell.accuracies[:, s]) for s in range(cell.seeds)])
    others = table.sum(axis=1, keepdims=True) - table
    return np.asarray(table[np.argmax(others, axis=0), np.arange(cell.seeds)] - reached) if len(grid) else reached * np.nan
