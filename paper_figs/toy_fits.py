"""On the toy example every round shrinks the fit: to zero at teacher weight 1, to the fit of a larger ridge at 0.75.

Varied: the teacher weight, 1 (no labels after round 0) and 0.75; the round, 0 to 5, and the limit of infinitely many.
Tuned: nothing.
Seeds: none, the computation is deterministic; the noise of the labels is the one draw that the authors published.
Sizes: 11 training points; fits are drawn at 101 inputs; no validation or test points.

RBF kernel with gamma 80, ridge 0.2, and the weights as in the notebook of Borup & Andersen (2021, arXiv:2102.13088), which
calls the panels ``distill_no_GT`` and ``distill_GT``. The limit at weight 0.75 is ridge regression with four times the
ridge, 0.2/(1 - 0.75). Lines are fits, crosses the labels; nothing here is a measurement with an interval.
"""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from paper_figs.style import GREY, INK, PAGE, Table, round_colors, round_label, stack, where
from paper_figs.toy import Toy

TOY = Toy()


def compute() -> Table:
    """Predictions on 101 inputs, per teacher weight and round."""
    return stack(
        [
            {"teacher_weight": w, "round": t, "x": TOY.grid, "prediction": fit}
            for w in TOY.teacher_weights
            for t, fit in zip(TOY.round_numbers, TOY.fits(w), strict=True)
        ]
    )


def draw(table: Table) -> Figure:
    """One panel per teacher weight."""
    weights = np.unique(table["teacher_weight"])[::-1]
    figure, axes = plt.subplots(1, len(weights), figsize=(PAGE, 2.5), sharey=True, squeeze=False)
    for axis, weight in zip(axes[0], weights, strict=True):
        axis.plot(TOY.grid, TOY.truth, color=GREY, lw=0.8, label=r"$\sin 2\pi x$")
        rounds = np.unique(table["round"])
        for t, color in zip(rounds[:-1], round_colors(len(rounds) - 1), strict=True):
            curve = where(table, teacher_weight=weight, round=t)
            axis.plot(curve["x"], curve["prediction"], color=color, label=round_label(t, TOY.rounds))
        curve = where(table, teacher_weight=weight, round=np.inf)
        axis.plot(curve["x"], curve["prediction"], "--", color=INK, label="limit")
        axis.plot(*TOY.points.T, "x", color=INK, ms=4, label=f"{len(TOY.y)} labels")
        axis.set(xlabel="input $x$", ylim=(-1.5, 1.5), title=f"teacher weight {weight:g}")
    axes[0, 0].set_ylabel("prediction")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
