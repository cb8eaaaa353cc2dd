"""Digits, tangent kernel: the best weight of a round is negative at large ridges; at small ones noise makes it positive.

Varied: the ridge, three values; the share of training labels flipped to another class, 0, 20 and 40 %; the teacher weight,
67 values from -6 to 9, the same in every round of a chain; the round, 1 to 20.
Tuned: nothing but what is marked: small dots are the best weights of the grid for rounds 2 to 20, by the error on clean
validation labels (black) and by exact leave-one-out on the training labels (white); stars and circle are closed-form optima
of round 1, by noisy or clean validation labels and by leave-one-out.
Seeds: one draw, seed 0, of the split and the flips.
Sizes: 1,000 training and 397 validation images; no test images are used.

Kernel: NTK of an infinitely wide ReLU network with 3 hidden layers. Colour is the squared error on the validation images
with clean labels over that of the undistilled round 0, on a logarithmic scale centred at 1; beyond 0.5 and 2 it stays the
same, and the darkest red is mostly chains that diverge. An arrow stands for a closed-form optimum beyond the panel. A
weight tuned on labels as noisy as the training's and one tuned on clean labels differ: flips shrink the conditional mean.
All settings are chosen here. The figure is drawn by ``paper_figs.digits_panels``, as is ``digits_rbf``.
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
