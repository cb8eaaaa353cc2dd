"""Distance to the infinite-round limit: a chain of linear solves meets the exact formula down to rounding.

Varied: the teacher weight, 0.5, 0.75, 0.9, and half way from 1 to the end of the interval of convergence, which is above 1
and amounts to a negative ridge; the round, 0 to 60.
Tuned: nothing.
Seeds: none, the computation is deterministic.
Sizes: 11 training points, at which the distance is taken; no validation or test points.

The toy example of ``toy_fits``. Lines are the exact formula y_t - y_inf = (w A)^(t+1) (y - y_inf), points the chain of
solves, every third round; without noise they have no interval, and they end at the rounding of the solves. Dotted: the
final rate, at which a round shrinks the distance by w d_1 / (d_1 + ridge), d_1 the largest eigenvalue. The limit is that of
Borup & Andersen (2021, arXiv:2102.13088).
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

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
    for weight, color, marker in zip(np.unique(table["teacher_weight"]), cycle(OKABE_ITO), cycle("os^Dv"), strict=False):
        line = where(table, teacher_weight=weight)
        look: dict[str, Any] = {"marker": marker, "ms": 3, "color": color, "mfc": "white", "mew": 0.8}
        axis.plot(line["round"], line["exact"], color=color)
        axis.plot(line["round"][::3], line["measured"][::3], ls="", **look)
        axis.plot([], [], label=f"{weight:.3g}", **look)
        tail = line["exact"][-1] * line["rate"][0] ** (line["round"] - ROUNDS)
        axis.plot(line["round"], tail, ":", color=color, lw=0.8)
    axis.plot([], [], "-", color=INK, label="exact formula")
    axis.plot([], [], "o", ms=3, color=INK, mfc="white", mew=0.8, label="chain of solves")
    axis.plot([], [], ":", color=INK, lw=0.8, label="final rate")
    axis.set(yscale="log", xlabel="round $t$", ylabel=r"distance to the limit, $|\hat y_t - \hat y_\infty|$", ylim=(1e-26, 30))
    axis.set_title(f"toy example, {len(TOY.y)} points")
    axis.legend(title="teacher weight", title_fontsize=7, ncols=2, loc="lower left", columnspacing=1.0)
    return figure
