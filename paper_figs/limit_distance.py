"""Distance to the infinite-round limit: measured by a chain of linear solves, against the exact formula.

y_t - y_inf = (w A)^(t+1) (y - y_inf) exactly (lines); in the long run each round shrinks it by w d_1 / (d_1 + ridge) (dotted).
Toy example, weights 0.5, 0.75, 0.9, and half way from 1 to the end of the interval of convergence (towards a negative ridge).
The measured points end at the rounding of the solves. Nothing is tuned.
"""

from __future__ import annotations

from itertools import cycle

import numpy as np
import scipy.linalg
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import kdtheory as kd
from paper_figs.style import COLUMN, INK, OKABE_ITO, Table, stack, where
from paper_figs.toy import Toy

TOY = Toy()
WEIGHTS = (0.5, 0.75, 0.9, 1 + 0.5 * TOY.ridge / float(TOY.spectrum.eigenvalues[0]))
ROUNDS = 60


def compute() -> Table:
    """Measured distance, exact formula and asymptotic rate, per teacher weight and round."""
    s, y = TOY.spectrum, TOY.y
    K = kd.kernels.rbf(TOY.points[:, :1], gamma=TOY.gamma)
    factor = scipy.linalg.cho_factor(K + TOY.ridge * np.eye(len(y)))
    shrinkage = s.eigenvalues / (s.eigenvalues + TOY.ridge)
    rows = []
    for w in WEIGHTS:
        limit = kd.distillation.limit(s, y, ridge=TOY.ridge, teacher_weight=w)
        fit, measured = y, []
        for _ in range(ROUNDS + 1):
            fit = K @ scipy.linalg.cho_solve(factor, (1 - w) * y + w * fit)
            measured.append(np.linalg.norm(fit - limit))
        powers = (w * shrinkage) ** np.arange(1, ROUNDS + 2)[:, None]
        exact = np.linalg.norm(powers * s.project(y - limit), axis=1)
        rows.append(
            {
                "teacher_weight": w,
                "round": np.arange(ROUNDS + 1),
                "measured": measured,
                "exact": exact,
                "rate": w * shrinkage[0],
            }
        )
    return stack(rows)


def draw(table: Table) -> Figure:
    """Measurement as points, theory as lines, the asymptotic slope dotted."""
    figure, axis = plt.subplots(figsize=(COLUMN, 2.9))
    for weight, color in zip(np.unique(table["teacher_weight"]), cycle(OKABE_ITO), strict=False):
        line = where(table, teacher_weight=weight)
        axis.plot(line["round"], line["exact"], color=color, label=f"{weight:.3g}")
        axis.plot(line["round"][::3], line["measured"][::3], "o", ms=2.5, color=color, mfc="white", mew=0.8)
        tail = line["exact"][-1] * line["rate"][0] ** (line["round"] - ROUNDS)
        axis.plot(line["round"], tail, ":", color=color, lw=0.8)
    axis.plot([], [], "-", color=INK, label="exact formula")
    axis.plot([], [], "o", ms=2.5, color=INK, mfc="white", mew=0.8, label="chain of solves")
    axis.plot([], [], ":", color=INK, lw=0.8, label="final rate")
    axis.set(yscale="log", xlabel="round $t$", ylabel=r"$|\hat y_t - \hat y_\infty|$", ylim=(1e-26, 30))
    axis.legend(title="teacher weight", ncols=2, loc="lower left", columnspacing=1.0)
    return figure
