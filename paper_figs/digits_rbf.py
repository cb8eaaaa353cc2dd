"""Digits, rbf kernel: validation error over teacher weight × round, by ridge and label noise.

Trained on 1,000 images with the Gaussian kernel, gamma 0.25; colour is the squared error on 397
validation images with clean labels, against the undistilled round 0 (dark red: diverging). Stars and circle: the
closed-form optimum of round 1 by validation and by exact leave-one-out on the training labels, an arrow where it lies
outside. One split (seed 0); ridge, weight, round and label noise are varied, nothing else is tuned, and no test image is used.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from paper_figs import digits_panels
from paper_figs.style import Table

RIDGES = (0.03, 0.3, 10.0)


def compute() -> Table:
    """Errors and optima under this kernel."""
    return digits_panels.compute("rbf", RIDGES)


def draw(table: Table) -> Figure:
    """A panel per ridge and noise level."""
    return digits_panels.draw(table, "Digits, Gaussian kernel: 1,000 training and 397 validation images")
