"""How much more each round keeps of one direction than of the next: R_k = b_k / b_{k+1} (Rk_no_GT and Rk_GT of the authors).

Varied: teacher weight 1 and 0.75, on the toy example. At weight 1 the ratios grow without bound, R_k(t) = R_k(0)^(t+1), so
there is no limit to draw.
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
            axis.plot(line["index"], line["ratio"], "o-", ms=2.5, color=color, label=round_label(t, TOY.rounds))
        limit = where(table, teacher_weight=weight, round=np.inf)
        if np.isfinite(limit["ratio"]).all():
            axis.plot(limit["index"], limit["ratio"], "--", color=INK, label="limit")
        axis.set(xlabel="eigendirection $k$", title=f"teacher weight {weight:g}", xticks=limit["index"])
    axes[0, 0].set_ylabel("$R_k = b_k\\,/\\,b_{k+1}$")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
