"""Every round keeps less of each eigendirection, least of the last ones; with labels in the mix this ends at a limit.

Varied: the teacher weight, 1 and 0.75; the round, 0 to 5, and the limit of infinitely many.
Tuned: nothing.
Seeds: none, the computation is deterministic.
Sizes: 11 training points, hence 11 eigendirections, the largest eigenvalue first; no validation or test points.

The toy example of ``toy_fits``. A bar's height is the multiplier of that round, the diagonal of B in Borup & Andersen
(2021, arXiv:2102.13088), whose notebook calls the panels ``B_no_GT`` and ``B_GT``; later rounds stand in front. At weight 1
the limit is zero in every direction. All bars are theory.
"""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from paper_figs.style import INK, PAGE, Table, round_colors, round_label, stack, where
from paper_figs.toy import Toy

TOY = Toy()


def compute() -> Table:
    """The multiplier b of every eigendirection, per teacher weight and round."""
    index = np.arange(1, len(TOY.y) + 1)
    return stack(
        [
            {"teacher_weight": w, "round": t, "index": index, "eigenvalue": TOY.spectrum.eigenvalues, "b": b}
            for w in TOY.teacher_weights
            for t, b in zip(TOY.round_numbers, TOY.multipliers(w), strict=True)
        ]
    )


def draw(table: Table) -> Figure:
    """Overlaid bars per round, the limit as a dashed outline."""
    weights = np.unique(table["teacher_weight"])[::-1]
    figure, axes = plt.subplots(1, len(weights), figsize=(PAGE, 2.4), sharey=True, squeeze=False)
    rounds = np.unique(table["round"])[:-1]
    for axis, weight in zip(axes[0], weights, strict=True):
        for t, color in zip(rounds, round_colors(len(rounds)), strict=True):
            bars = where(table, teacher_weight=weight, round=t)
            axis.bar(bars["index"], bars["b"], width=0.8, color=color, label=round_label(t, TOY.rounds))
        limit = where(table, teacher_weight=weight, round=np.inf)
        edges = np.append(limit["index"] - 0.5, limit["index"][-1] + 0.5)
        axis.stairs(limit["b"], edges, color=INK, ls="--", lw=1.0, label="limit")
        if not limit["b"].any():
            axis.text(1.0, 0.98, "limit: zero", transform=axis.transAxes, ha="right", va="top", fontsize=7)
        axis.set(xlabel="eigendirection $k$", ylim=(0, 1.05), title=f"teacher weight {weight:g}", xticks=limit["index"])
    axes[0, 0].set_ylabel("multiplier $b_k$ (share kept)")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
