"""With labels in the mix distillation sparsifies, peaks, and goes back a little: the ratio of two multipliers over 60 rounds.

Varied: the teacher weight, 0.5 to 1, and the round, 0 to 60 (drawn over the number of fits, t + 1).
Tuned: nothing.
Seeds: none, the computation is deterministic.
Sizes: 11 training points, of which the eigendirections 9 and 10 are drawn; no validation or test points.

R(t) = b_9(t) / b_10(t) of the toy example, see ``toy_ratios``; all lines are theory. For teacher weights strictly between 0
and 1 it rises, peaks (marks), and falls to its limit (dashed) from above; it exceeds the limit exactly where R(0)^(t+1) is
above the ratio of the two eigenvalues, whatever the weight (dotted). At weight 1 it is R(0)^(t+1), unbounded, and leaves
the panel. Six rounds, as in the figure of Borup & Andersen (2021, arXiv:2102.13088), are too few to see it for weights near
one.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import kdtheory as kd
from paper_figs.style import COLUMN, GREY, OKABE_ITO, Table, stack, where
from paper_figs.toy import Toy

TOY = Toy()
PAIR = (8, 9)
WEIGHTS = (0.5, 0.75, 0.9, 0.95, 1.0)
ROUNDS = 60


def compute() -> Table:
    """Ratio, its limit and the bounds R(0) and R(0)^(t+1), per teacher weight and round."""
    d = TOY.spectrum.eigenvalues[list(PAIR)]
    rounds = np.arange(ROUNDS + 1)
    rows = []
    for w in WEIGHTS:
        b = kd.Distilled.constant(ridge=TOY.ridge, teacher_weight=w, rounds=ROUNDS).every_round(d).fit
        end = kd.Distilled.limit(ridge=TOY.ridge, teacher_weight=w, largest_eigenvalue=float(d[0])).fit(d)
        ratio, limit = b[:, 0] / b[:, 1], end[0] / end[1] if end.all() else np.inf
        power = (b[0, 0] / b[0, 1]) ** (rounds + 1)
        rows.append(
            {
                "teacher_weight": w,
                "round": rounds,
                "ratio": ratio,
                "limit": limit,
                "upper_bound": power,
                "d_ratio": d[0] / d[1],
            }
        )
    return stack(rows)


def draw(table: Table) -> Figure:
    """One line per weight, its peak as a dot, its limit as a dashed line on the right."""
    figure, axis = plt.subplots(figsize=(COLUMN, 2.9))
    top = 0.0
    for weight, color, marker in zip(np.unique(table["teacher_weight"]), cycle(OKABE_ITO), cycle("os^Dv"), strict=False):
        line = where(table, teacher_weight=weight)
        fits, peak, bounded = line["round"] + 1, int(line["ratio"].argmax()), np.isfinite(line["limit"]).all()
        mark: dict[str, Any] = {"marker": marker, "ms": 4, "markevery": [peak]} if bounded else {}
        axis.plot(fits, line["ratio"], color=color, label=f"{weight:g}", **mark)
        if bounded:
            top = max(top, line["ratio"][peak])
            axis.plot([fits[-1], 1.6 * fits[-1]], [line["limit"][0]] * 2, "--", color=color, lw=1.0)
    first, last = table["upper_bound"][0], int(table["round"].max()) + 1
    crossing, high = np.log(table["d_ratio"][0]) / np.log(first), 1 + 1.6 * (top - 1)
    low = first - 0.08 * (high - first)
    axis.axvline(crossing, color=GREY, lw=0.8, ls=":")
    note = "above their\nlimits from here"
    axis.annotate(note, (crossing, low), xytext=(4, 3), textcoords="offset points", fontsize=7)
    label = f"ratio $R = b_{{{PAIR[0] + 1}}}\\,/\\,b_{{{PAIR[1] + 1}}}$"
    axis.set(xscale="log", xlabel="fits $t + 1$", ylabel=label, ylim=(low, high), xlim=(1, 1.6 * last))
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if tick <= last]
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.plot([], [], "--", lw=1.0, color=GREY, label="limit")
    axis.legend(title="teacher weight, mark: peak", title_fontsize=7, loc="upper right", ncols=2)
    axis.set_title(f"toy example, {len(TOY.y)} points")
    return figure
