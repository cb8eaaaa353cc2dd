r"""What is said of a cell before its grid is trained: sums over held-out points from which every rule's weight follows.

Three pairs of students, trained on labels and on the teacher: the networks themselves (`net`: the two-endpoint rule), students
of the tangent kernel in the limit of great width, trained as long as the networks and `fed` the network's teacher, and the
same with the kernel's `own` teacher. Each is read on validation labels, `clean` and `noisy`; the networks on `test` labels
too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

import kdtheory as kd
from empirical.bridge import superposition_error
from empirical.cells import MOMENTS
from empirical.kernel_students import best_filter, kept_student, student_pair
from empirical.momentum import Momentum
from empirical.pairs import moments
from empirical.pruned import Family, Labelled, Outputs, Predictions
from kdtheory.checks import Array
from kdtheory.kept import Rows
from kdtheory.pruned_students import KeptStudent

__all__ = ["Kernels", "of_networks", "sums"]


def sums(name: str, on_labels: Array, on_teacher: Array, labels: Outputs) -> dict[str, float]:
    """The six moments of a pair as columns, means over points and outputs."""
    means = moments(on_labels, on_teacher, labels).mean(axis=(0, 1))
    return {f"{name}_{moment}": float(value) for moment, value in zip(MOMENTS, means, strict=True)}


def of_networks(
    family: Family, data: Labelled, students: Predictions, chosen: Sequence[int], weights: Sequence[float]
) -> dict[str, float]:
    """Sums of the two students at weights 0 and 1, and how far the one nearest to 1/2 is from their mix."""
    zero, one = (chosen[list(weights).index(end)] for end in (0.0, 1.0))
    middle = int(np.argmin(np.abs(np.asarray(weights) - 0.5)))
    validation, test = ([family.predictions(part[i]) for i in (zero, one)] for part in (students.validation, students.test))
    columns: dict[str, float] = {}
    for name, pair, y in (
        ("net_test", test, data.split.y_test),
        ("net_clean", validation, data.split.y_validation),
        ("net_noisy", validation, data.y_validation),
    ):
        columns |= sums(name, pair[0], pair[1], data.coded(y))
    three = np.stack([test[0], family.predictions(students.test[chosen[middle]]), test[1]])
    columns["superposition"] = float(superposition_error([0.0, weights[middle], 1.0], three[:, None])[1, 0])
    return columns


@dataclass(frozen=True, eq=False)
class Kernels:
    """Students of the tangent kernel on one split: decomposed once for all label noises, weights and teachers.

    Attributes
    ----------
    family : Family
        A fully connected one trained by plain descent on squared error.
    X, X_new : arrays
        Training and validation points.
    kept : mapping from a share to its rows
    """

    family: Family
    X: Outputs
    X_new: Outputs
    kept: Mapping[float, Rows]

    @cached_property
    def grams(self) -> tuple[Array, Array]:
        """Of the limit of great width: (n, n) between training points, (m, n) of new points with them."""
        X, X_new = (self.family.points(points).astype(np.float64) for points in (self.X, self.X_new))
        return kd.kernels.ntk(X, depth=self.family.depth), kd.kernels.ntk(X_new, X, depth=self.family.depth)

    @cached_property
    def all_rows(self) -> KeptStudent:
        """The kernel on everything."""
        return kept_student(*self.grams)

    @cached_property
    def students(self) -> dict[float, KeptStudent]:
        """One for each share."""
        n = len(self.X)
        return {f: self.all_rows if len(rows) == n else kept_student(*self.grams, rows) for f, rows in self.kept.items()}

    def own_teacher(self, data: Labelled, looks: int = 20) -> Array:
        """The kernel's teacher on all rows (n, p), stopped where its error on the validation labels is least."""
        steps, y = self.family.recipe.steps_for(len(self.X)), data.coded(data.y)
        trained = Momentum.following(self.family.recipe, len(self.X))
        rates = np.asarray(trained.learning_rates)
        ends = sorted({max(1, round(steps * k / looks)) for k in range(1, looks + 1)})
        stops = [replace(trained, learning_rates=rates[:end]) for end in ends]
        spectrum = self.all_rows.spectrum
        best = best_filter(spectrum, y, self.grams[1], data.coded(data.y_validation), stops)
        return np.asarray(spectrum.fit(best, y))

    def cell(self, data: Labelled, teacher: Outputs, own: Array, share: float) -> dict[str, float]:
        """Sums of the students fed by the network's teacher, and by the kernel's own."""
        student, y = self.students[share], data.coded(data.y)
        filter = Momentum.following(self.family.recipe, len(student.kept))
        columns: dict[str, float] = {}
        for name, said in (("fed", teacher), ("own", own)):
            pair = student_pair(student, y, said, filter)
            columns |= sums(f"{name}_clean", *pair, data.coded(data.split.y_validation))
            columns |= sums(f"{name}_noisy", *pair, data.coded(data.y_validation))
        return columns
