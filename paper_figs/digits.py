"""The digits experiment: 1,797 images of 8 × 8 pixels, 10 one-hot outputs, 1,000 to train, 397 to validate, 400 to test.

Label noise flips a share of the training labels to another class, uniformly. Validation and test labels stay clean; a noisy
copy of the validation labels is kept beside them, because whoever tunes on noisy labels tunes to something else: the
noisy conditional mean is the clean one shrunk by the factor 1 - 10/9 · share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kdtheory as kd
from kdtheory.problem import digits

__all__ = ["KERNELS", "NOISES", "Split", "flipped"]

Array = NDArray[np.float64]
TRAIN, VALIDATION = 1000, 397
NOISES = (0.0, 0.2, 0.4)
KERNELS: dict[str, Callable[..., Array]] = {
    "rbf": lambda *points: kd.kernels.rbf(*points, gamma=0.25),
    "ntk": lambda *points: kd.kernels.ntk(*points, depth=3),
}


@dataclass(frozen=True, eq=False)
class Split:
    """One random split under one kernel: eigenbasis of the training points, kernels to the held-out ones, labels, images."""

    spectrum: kd.Spectrum
    cross_validation: Array
    cross_test: Array
    labels: Array
    labels_validation: Array
    labels_test: Array
    images: Array
    seed: int

    @classmethod
    def draw(cls, kernel: str, seed: int) -> Split:
        """Shuffle with this seed; pixels are scaled to [0, 1], nothing else is fitted to the data."""
        X, Y = digits()
        order = np.random.default_rng(seed).permutation(len(X))
        train, validation, test = np.split(order, [TRAIN, TRAIN + VALIDATION])
        points, of = X / 16.0, KERNELS[kernel]
        spectrum = kd.Spectrum.from_gram(of(points[train]))
        on_validation, on_test = (of(points[part], points[train]) for part in (validation, test))
        return cls(spectrum, on_validation, on_test, Y[train], Y[validation], Y[test], points[train], seed)

    def noisy(self, share: float) -> tuple[Array, Array]:
        """Training and validation labels with this share flipped; a larger share flips the same labels and more."""
        rng = np.random.default_rng([self.seed, 1])
        return flipped(self.labels, share, rng), flipped(self.labels_validation, share, rng)

    def optimum(self, labels: Array, ridge: float, held_out: Array) -> float:
        """Closed-form teacher weight of round 1 by these labels of the validation images."""
        how: dict[str, Any] = {"ridge": ridge, "cross": self.cross_validation}
        ends = [kd.rounds(self.spectrum, labels, teacher_weights=[w], **how)[1] for w in (0.0, 1.0)]
        return kd.RiskCurve.from_predictions(ends[0], ends[1], held_out).optimal_weight

    def optimum_by_loo(self, labels: Array, ridge: float) -> float:
        """The same by exact leave-one-out on the training labels."""
        ends = [kd.loo(self.spectrum, labels, ridge=ridge, teacher_weights=[w])[1] for w in (0.0, 1.0)]
        return kd.RiskCurve.from_predictions(ends[0], ends[1], labels).optimal_weight


def flipped(labels: Array, share: float, rng: np.random.Generator) -> Array:
    """One-hot labels, this share of them flipped to another class."""
    chance, shift = rng.random(len(labels)), rng.integers(1, 10, size=len(labels))
    classes = labels.argmax(axis=1)
    return np.asarray(np.eye(10)[np.where(chance < share, (classes + shift) % 10, classes)])
