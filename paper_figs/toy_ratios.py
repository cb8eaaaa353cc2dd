"""How much more a round keeps of one eigendirection than of the next: bounded with labels in the mix, unbounded without.

Varied: the teacher weight, 1 and 0.75; the round, 0 to 5, and the limit of infinitely many.
Tuned: nothing.
Seeds: none, the computation is deterministic.
Sizes: 11 training points, hence 10 pairs of neighbouring eigendirections; no validation or test points.

The toy example of ``toy_fits``; the ratio is R_k = b_k / b_(k+1) of the multipliers in ``toy_filters`` (``Rk_no_GT`` and
``Rk_GT`` in the notebook of Borup & Andersen, 2021, arXiv:2102.13088). At weight 1 it is R_k(0)^(t+1) in round t and grows
without bound, so there is no limit to draw. All lines are theory; between the pairs they only guide the eye.
"""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from paper_figs.style import INK, PAGE, Table, round_colors, round_label, stack, where
from paper_figs.toy import Toy

TOY = Toy()


def compute() -> Table:
    """Ratios of neighbouring multipliers, per teacher weight and round; infinite in the limit of weight 1."""
    rows = []
    for w in TOY.teacher_weights:
        for t, b in zip(TOY.round_numbers, TOY.multipliers(w), strict=True):
            ratio = np.full(len(b) - 1, np.inf) if not b.any() else b[:-1] / b[1:]
            rows.append({"teacher_weight": w, "round": t, "index": np.arange(1, len(b)), "ratio": ratio})
    return stack(rows)


def draw(table: Table) -> Figure:
    """One line per round; the limit dashed where it exists."""
    weights = np.unique(table["teacher_weight"])[::-1]
    figure, axes = plt.subplots(1, len(weights), figsize=(PAGE, 2.4), squeeze=False)
    rounds = np.unique(table["round"])[:-1]
    for axis, weight in zip(axes[0], weights, strict=True):
        for t, color in zip(rounds, round_colors(len(rounds)), strict=True):
            line = where(table, teacher_weight=weight, round=t)
            axis.plot(line["index"], line["ratio"], color=color, label=round_label(t, TOY.rounds))
        limit = where(table, teacher_weight=weight, round=np.inf)
        if np.isfinite(limit["ratio"]).all():
            axis.plot(limit["index"], limit["ratio"], "--", color=INK, label="limit")
        else:
            axis.text(0.03, 0.98, "no limit: unbounded", transform=axis.transAxes, va="top", fontsize=7)
        axis.set(xlabel="eigendirection $k$", title=f"teacher weight {weight:g}", xticks=limit["index"])
    axes[0, 0].set_ylabel("ratio $R_k = b_k\\,/\\,b_{k+1}$")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
