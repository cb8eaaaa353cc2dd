"""The illustrative example of Borup & Andersen (2021), arXiv:2102.13088: 11 noisy points of a sine, RBF kernel, ridge 0.2."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import kdtheory as kd

__all__ = ["DATA", "Toy"]

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Toy:
    """The example; change a parameter here or in a figure and draw it again."""

    ridge: float = 0.2
    gamma: float = 80.0
    rounds: int = 5
    teacher_weights: tuple[float, ...] = (1.0, 0.75)

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """Training points (11, 2): x and y."""
        with (DATA / "borup_andersen_toy.csv").open(newline="", encoding="utf-8") as file:
            return np.array([[float(row["x"]), float(row["y"])] for row in csv.DictReader(file)])

    @cached_property
    def spectrum(self) -> kd.Spectrum:
        """Of the RBF Gram matrix."""
        return kd.Spectrum.from_gram(kd.kernels.rbf(self.points[:, :1], gamma=self.gamma))

    @property
    def y(self) -> NDArray[np.float64]:
        """Labels (11,)."""
        return self.points[:, 1]

    @property
    def grid(self) -> NDArray[np.float64]:
        """Evaluation inputs 0, 0.01, ..., 1."""
        return np.linspace(0.0, 1.0, 101)

    @property
    def truth(self) -> NDArray[np.float64]:
        """The noiseless signal on the grid."""
        return np.sin(2 * np.pi * self.grid)

    @cached_property
    def cross(self) -> NDArray[np.float64]:
        """Kernel between grid and training points (101, 11)."""
        return kd.kernels.rbf(self.grid[:, None], self.points[:, :1], gamma=self.gamma)

    def fits(self, teacher_weight: float) -> NDArray[np.float64]:
        """Predictions on the grid, rounds 0 .. T and then the limit: (T + 2, 101)."""
        how: dict[str, Any] = {"ridge": self.ridge, "cross": self.cross}
        chain = kd.rounds(self.spectrum, self.y, teacher_weights=[teacher_weight] * self.rounds, **how)
        limit = kd.distillation.limit(self.spectrum, self.y, teacher_weight=teacher_weight, **how)
        return np.vstack([chain, limit])

    def multipliers(self, teacher_weight: float) -> NDArray[np.float64]:
        """Diagonal of B, rounds 0 .. T and then the limit: (T + 2, 11)."""
        d = self.spectrum.eigenvalues
        chain = kd.Distilled.constant(ridge=self.ridge, teacher_weight=teacher_weight, rounds=self.rounds).every_round(d)
        limit = kd.Distilled.limit(ridge=self.ridge, teacher_weight=teacher_weight, largest_eigenvalue=float(d[0]))
        return np.vstack([chain.fit, limit.fit(d)])

    @property
    def round_numbers(self) -> NDArray[np.float64]:
        """0 .. T and infinity, for tables."""
        return np.append(np.arange(self.rounds + 1.0), np.inf)
