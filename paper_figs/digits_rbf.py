"""Digits, rbf kernel: validation error over teacher weight × round, by ridge and label noise.

The Gaussian kernel, gamma 0.25 on pixels in [0, 1]; what is drawn is told in `paper_figs.digits_panels`.
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
