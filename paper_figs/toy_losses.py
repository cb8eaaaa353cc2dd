"""All 21 published losses of the toy example are met to their five digits: mean squared error to sin(2 pi x).

Varied: the teacher weight, 1, 0.75 and 0.65; the round, 0 to 5, and the limit of infinitely many.
Tuned: nothing.
Seeds: none, the computation is deterministic; the noise of the labels is the one draw that the authors published.
Sizes: 11 training points; the error is the mean over x = 0, 0.01, ..., 1, 101 test points without noise.

The toy example of ``toy_fits``. In each cell ours is above, the published value below; orange and "differs" would mark a
disagreement. Published are the notebook (weights 1 and 0.75) and the README of the repository of Borup & Andersen (2021,
arXiv:2102.13088). The README's table is headed alpha = 0.25, which would be teacher weight 0.75; its values are those of
the run at 0.35, teacher weight 0.65.
"""

from __future__ import annotations

import csv

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from paper_figs.style import GREY, OKABE_ITO, PAGE, Table, where
from paper_figs.toy import DATA, Toy

TOY = Toy(rounds=5)  # as many as were published


def compute() -> Table:
    """Ours and the published loss, per teacher weight and round."""
    with (DATA / "borup_andersen_losses.csv").open(newline="", encoding="utf-8") as file:
        published = list(csv.DictReader(file))
    weights, rounds, theirs = (
        np.array([float(row[name]) for row in published]) for name in ("teacher_weight", "round", "published")
    )
    losses = {w: np.mean((TOY.fits(w) - TOY.truth) ** 2, axis=1) for w in weights.tolist()}
    ours = np.array([losses[w][-1 if t == np.inf else int(t)] for w, t in zip(weights, rounds, strict=True)])
    return {
        "teacher_weight": weights,
        "round": rounds,
        "ours": ours,
        "published": theirs,
        "agrees_to_five_digits": np.abs(np.round(ours, 5) - theirs) < 1e-9,
        "where": np.array([row["where"] for row in published]),
    }


def draw(table: Table) -> Figure:
    """A table: ours above, published below, in each cell."""
    weights = np.unique(table["teacher_weight"])[::-1]
    rounds = np.unique(table["round"])
    cells, colors, labels = [], [], []
    for weight in weights:
        block = where(table, teacher_weight=weight)
        source = block["where"][0]
        note = '\n(headed "alpha = 0.25")' if source == "README" else ""
        labels.append(f"weight {weight:g}\nauthors' {source}{note}")
        each = list(zip(block["ours"], block["published"], block["agrees_to_five_digits"], strict=True))
        cells.append([f"{ours:.5f}\n{theirs:.5f}" + ("" if ok else "\ndiffers") for ours, theirs, ok in each])
        colors.append([OKABE_ITO[5] + "40" if ok else OKABE_ITO[1] + "60" for _, _, ok in each])
    figure, axis = plt.subplots(figsize=(PAGE, 1.9))
    axis.axis("off")
    heads = [f"round {t:.0f}" if np.isfinite(t) else "limit" for t in rounds]
    sheet = axis.table(
        cells,
        cellColours=colors,
        rowLabels=labels,
        colLabels=heads,
        cellLoc="center",
        bbox=Bbox.from_bounds(0.0, 0.0, 1.0, 0.95),
    )
    sheet.auto_set_font_size(False)
    sheet.set_fontsize(7)
    for (row, _), cell in sheet.get_celld().items():
        cell.set(linewidth=0.4, edgecolor=GREY, height=cell.get_height() * (0.5 if row == 0 else 1.0))
    agree = int(table["agrees_to_five_digits"].sum())
    axis.set_title(f"Losses: ours above, published below; {agree} of {len(table['ours'])} agree to all five printed digits")
    return figure
