"""Digits, ntk kernel: validation error over teacher weight × round, by ridge and label noise.

The NTK of a ReLU network with 3 hidden layers; what is drawn is told in `paper_figs.digits_panels`.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from paper_figs import digits_panels
from paper_figs.style import Table

RIDGES = (0.1, 1.0, 10.0)


def compute() -> Table:
    """Errors and optima under this kernel."""
    return digits_panels.compute("ntk", RIDGES)


def draw(table: Table) -> Figure:
    """A panel per ridge and noise level."""
    return digits_panels.draw(table, "Digits, NTK, 3 hidden ReLU layers: 1,000 training and 397 validation images")
