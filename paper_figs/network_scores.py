"""Networks on rows kept by 21 methods, with and without distillation and label noise; wrong labels kept; scores compared.

Varied: the method that keeps rows, the kept share, the teacher weight (0 or 0.5), the share of labels flipped (0 or a
fifth).
Tuned: nothing; teachers are stopped on validation labels as noisy as their own.
Seeds: 5; means with 95 % t-intervals. Students of a seed share initialisation and teacher.
Sizes: digits: 1,011 training, 337 validation and 449 test images; Fashion-MNIST: 3,000, 1,000 and 4,000. Two convolutions of
12 and 24 channels, cross-entropy, temperature 4, Adam, 500 steps of 32 rows.

Above: test accuracy of students on a tenth and on half of the rows, without (open) and with distillation (filled, teacher
weight 0.5); vertical: random rows with distillation. Colours: methods that look at no labels' fit, at the fit of labels, at
the doubt of predictions, at the place among the other points. Below: share of wrong labels among the kept rows where a fifth
is flipped, lines in closed form (min(1, noise / f) if wrong labels come first, max(0, (noise + f - 1) / f) if last, and the
noise for random rows), and Spearman's correlations of scores, clean labels below the diagonal and a fifth flipped above.

The teacher is the same network on all rows. Scores: 6 further networks, EL2N after 2 epochs, GraNd after 1, the others at
the end or over the run; memorisation 12 networks on 70 % of the rows; leverage of a fully connected tangent kernel. High
scores are kept unless it says easy or near; rows are not balanced over classes unless it says so. CCS: 50 strata of AUM, the
hardest tenth dropped first. All settings are chosen here. Not run: other teacher weights; on Fashion-MNIST the other
methods, and flipped labels. Recorded in data/scores.csv, measured anew by ``python -m paper_figs network_scores
--recompute``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from empirical.table import read
from kdtheory.selection import kept_noise_share
from paper_figs.regression_data import DATA
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where

#: Methods by what they look at, and how they are called.
GROUPS: tuple[dict[str, str], ...] = (
    {"random": "random", "input_norm": "input norm", "leverage": "leverage", "grand_at_init": "GraNd, untrained"},
    {
        **{"el2n": "EL2N", "el2n_balanced": "EL2N, balanced", "el2n_easy": "EL2N, easy", "grand": "GraNd", "loss": "loss"},
        **{"forgetting": "forgetting", "aum": "AUM", "memorisation": "memorisation", "ccs": "CCS"},
    },
    {"margin": "margin", "least_confidence": "least confidence", "entropy": "entropy"},
    {
        **{"herding": "herding", "k_center": "k-center", "moderate": "moderate"},
        **{"prototypes": "prototypes, far", "prototypes_easy": "prototypes, near"},
    },
)
NAMES = {method: name for group in GROUPS for method, name in group.items()}
INKS = {method: ink for group, ink in zip(GROUPS, (INK, *OKABE_ITO[:3]), strict=True) for method in group}
TITLES = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}
CELLS = ((0.1, 0.0), (0.5, 0.0), (0.1, 0.2), (0.5, 0.2))  # share and noise of the columns
WRONG = {"el2n": "o", "forgetting": "s", "moderate": "D", "random": "^", "el2n_easy": "v"}
COMPARED = ("el2n", "grand", "loss", "forgetting", "aum", "memorisation", "margin", "entropy", "leverage", "input_norm")


def compute() -> Table:
    """Means over seeds with their half-widths: accuracies, shares of wrong labels, and rank correlations."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in read(DATA / "scores.csv"):
        of = row["data"], float(row["noise"]), row["method"]
        if "other" in row:
            groups.setdefault(("rank", *of, row["other"], 0.0, 0.0), []).append(row["rank_correlation"])
        elif "teacher_weight" in row:
            at = "", float(row["keep_fraction"]), float(row["teacher_weight"])
            groups.setdefault(("accuracy", *of, *at), []).append(row["accuracy"])
            if row["teacher_weight"] == 0:
                groups.setdefault(("wrong", *of, *at), []).append(row["kept_noise"])
    names = ("quantity", "data", "noise", "method", "other", "share", "teacher_weight")
    return stack(
        [
            {**dict(zip(names, key, strict=True)), "value": np.mean(values), "half_width": half_width(values)}
            for key, values in groups.items()
        ]
    )


def draw(table: Table) -> Figure:
    """Accuracies above, a row per data set; wrong labels and correlations below."""
    found = {data: [m for m in NAMES if m in set(where(table, data=data)["method"])] for data in TITLES}
    figure = plt.figure(figsize=(PAGE, 8.0))
    parts: Any = figure.subfigures(2, 1, height_ratios=(5.0, 3.0))
    heights = [len(methods) + 1 for methods in found.values()]
    axes = parts[0].subplots(len(TITLES), len(CELLS), sharey="row", sharex="col", height_ratios=heights, squeeze=False)
    for (data, methods), line in zip(found.items(), axes, strict=True):
        for axis, (share, noise) in zip(line, CELLS, strict=True):
            cell = where(table, quantity="accuracy", data=data, noise=noise, share=share)
            if not len(cell["value"]):
                axis.set_axis_off()
                axis.text(0.5, 0.5, "not run", transform=axis.transAxes, ha="center", color=GREY)
                continue
            _accuracies(axis, cell, methods)
            axis.set_xlim(*((0, 102) if share < 0.5 else (58, 100)))
            labels = f"{100 * noise:.0f} % flipped" if noise else "clean labels"
            axis.set_title(f"{TITLES[data]}, {100 * share:.0f} % kept,\n{labels}", fontsize=7.5)
        line[0].set_yticks(range(len(methods)), [NAMES[m] for m in methods])
        line[0].set_ylim(len(methods) - 0.4, -0.6)
        line[0].set_ylabel("rows kept by")
        for label, method in zip(line[0].get_yticklabels(), methods, strict=True):
            label.set_color(INKS[method])
    for axis in axes.flat:
        axis.set_xlabel("test accuracy (%)")
        axis.tick_params(labelbottom=True)
    faces = (("white", "labels alone"), (INK, "with distillation"))
    handles = [Line2D([], [], color=INK, marker="o", ls="", ms=4, mfc=face, label=label) for face, label in faces]
    handles.append(Line2D([], [], color=GREY, lw=0.8, label="random rows with distillation"))
    parts[0].legend(handles=handles, loc="outside upper center", ncols=3)
    left, right = parts[1].subplots(1, 2, width_ratios=(0.85, 1.3))
    _wrong(left, where(table, quantity="wrong", data="digits", noise=0.2))
    _correlations(right, where(table, quantity="rank", data="digits"))
    return figure


def _accuracies(axis: Axes, cell: Table, methods: list[str]) -> None:
    taught = cell["teacher_weight"].max()
    best = where(cell, method="random", teacher_weight=taught)["value"][0]
    axis.axvline(100 * best, color=GREY, lw=0.6, zorder=0)
    for y, method in enumerate(methods):
        ink = INKS[method]
        for weight, face in ((0.0, "white"), (taught, ink)):
            one = where(cell, method=method, teacher_weight=weight)
            x, spread = 100 * one["value"], 100 * one["half_width"]
            axis.errorbar(x, [y], xerr=spread, fmt="o", ms=3.2, mew=0.8, lw=0.7, color=ink, mfc=face)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=GREY, lw=0.3, alpha=0.5)


def _wrong(axis: Axes, wrong: Table) -> None:
    f, rho = np.linspace(0.04, 0.55, 200), 0.2
    for rule in ("hardest", "easiest"):
        axis.plot(f, kept_noise_share(f, noisy_share=rho, rule=rule), color=INK, lw=1.0, zorder=1)
    axis.axhline(rho, color=INK, lw=1.0, zorder=1)
    for i, (method, marker) in enumerate(WRONG.items()):
        points = where(wrong, method=method)
        ink = OKABE_ITO[i] if method != "random" else INK
        style: dict[str, Any] = {"fmt": marker, "ms": 4, "lw": 0.8, "color": ink, "label": NAMES[method]}
        axis.errorbar(points["share"], points["value"], points["half_width"], **style)
    axis.set(xlabel="kept share $f$", ylabel="share of wrong labels kept", ylim=(-0.03, 1.05))
    axis.set_title("digits, 20 % of labels flipped")
    axis.legend(loc="upper right", handletextpad=0.2)


def _correlations(axis: Axes, ranks: Table) -> None:
    size = len(COMPARED)
    table = np.full((size, size), np.nan)
    for i, a in enumerate(COMPARED):
        for j, b in enumerate(COMPARED[:i]):
            for noise, at in ((0.0, (i, j)), (0.2, (j, i))):
                pair = [where(ranks, noise=noise, method=x, other=y)["value"] for x, y in ((a, b), (b, a))]
                table[at] = np.concatenate(pair)[0]
    image = axis.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1)
    bar = axis.figure.colorbar(image, ax=axis, shrink=0.9, pad=0.02, aspect=22)
    bar.set_label("Spearman's rank correlation")
    for i, j in np.argwhere(np.isfinite(table)).tolist():
        color = "white" if abs(table[i, j]) > 0.7 else INK
        hundredths = f"{100 * table[i, j]:.0f}".replace("-", "−")
        axis.text(j, i, hundredths, ha="center", va="center", fontsize=6.5, color=color)
    names = [NAMES[m] for m in COMPARED]
    axis.set_yticks(range(size), names)
    axis.set_xticks(range(size), names, rotation=40, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title("digits, scores compared (hundredths):\nlower left clean labels, upper right 20 % flipped")
