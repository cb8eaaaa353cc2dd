"""With width the tangent kernel of networks on the circle tends to its limit, as 1/√width, and moves less in training.

Varied: the width of all hidden layers, 125 to 10,000; before and after 200 steps of gradient descent.
Tuned: nothing.
Seeds: 10 initialisations a width, 5 of them trained at width 10,000; means with 95 % t-intervals over networks.
Sizes: 61 angles; 16 N(0, 1) inputs in two dimensions to train on, the same for every network; no test points.

Figure 1 of Jacot, Gabriel & Hongler (2018, arXiv:1806.07572): the kernel between (1, 0) and (cos g, sin g) of each network,
and the exact limit, computed here (grey). Right, more than theirs: distance of the kernel from the limit at initialisation,
and its movement in training, both the norm over the angles relative to that of the limit; and the growth, how much larger
the kernel gets in training, its mean over the angles relative to the limit's. Lines at the right are fits, slopes of the
logarithms of the means by weighted least squares, with 95 % intervals; the interval of the growth at width 10,000 reaches
below zero.

Stated by the paper: ReLU, four layers of weights, bias scale 0.1, learning rate 1 with the halved mean of squares, target
x1 x2 at N(0, 1) inputs, ten networks, widths 500 and 10,000 (the others are ours). Not stated: the number of inputs. Not
run: more than five trainings at width 10,000. Recorded in ``circle_kernel.csv``; ``python -m empirical run circle_kernel``
measures it anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

import kdtheory as kd
from paper_figs.regression_data import recorded
from paper_figs.style import GREY, OKABE_ITO, PAGE, Table, half_width, plain, stack, where

SHOWN = (500, 10000)  # widths of the paper
MEASURES = {
    "distance": ("distance at start", OKABE_ITO[2], "^"),
    "movement": ("movement", OKABE_ITO[3], "o"),
    "growth": ("growth", OKABE_ITO[4], "s"),
}

Floats = NDArray[np.float64]


def compute() -> Table:
    """Rows: kernels (x is the angle), measures per width with their t-intervals (x is the width), slopes."""
    networks = recorded("circle_kernel.csv")
    angles = np.unique(networks["angle"])
    rows = [_row("limit", x=angles, value=limit(angles))]
    each: dict[str, list[tuple[float, Floats]]] = {name: [] for name in MEASURES}
    for width in np.unique(networks["width"]).tolist():
        start, trained = kernels(networks, width, "start"), kernels(networks, width, "trained")
        for kind, K in (("start", start), ("trained", trained)) if width in SHOWN else ():
            rows += [_row(kind, width=width, network=i, x=angles, value=K[i]) for i in range(len(K)) if np.isfinite(K[i, 0])]
        for name, values in measures(start, trained, limit(angles)).items():
            known = values[np.isfinite(values)]
            rows.append(_row(name, width=width, x=width, value=known.mean(), interval=half_width(known)))
            each[name].append((width, known))
    for name, blocks in each.items():
        slope, half, at_one = slope_of(blocks)
        widths = np.array([width for width, _ in blocks])
        rows.append(_row(f"slope of {name}", value=slope, interval=half))
        rows.append(_row(f"fit of {name}", x=widths, value=at_one * widths**slope))
    return stack(rows)


def _row(kind: str, **columns: Any) -> dict[str, Any]:
    return {"kind": kind, "width": 0, "network": 0, "x": 0.0, "value": 0.0, "interval": 0.0} | columns


def limit(angles: Any) -> Floats:
    """Kernel of infinitely wide networks between the angle 0 and these (in radians)."""
    x_0, x = (np.stack([np.cos(g), np.sin(g)], axis=-1) for g in (np.zeros(1), np.asarray(angles)))
    kernel = kd.kernels.ntk(x_0, x, depth=3, activation="relu", weight_variance=1.0, bias_variance=0.01)
    return np.asarray(kernel[0])


def kernels(networks: Table, width: int, when: str) -> Floats:
    """Kernels of all networks of a width, (E, angles), at the "start" or "trained"; nan where a network was not trained."""
    of_width = where(networks, width=width)
    values = of_width[when] if when == "start" else np.where(of_width["steps"] > 0, of_width[when], np.nan)
    return np.stack([values[of_width["initialisation"] == i] for i in np.unique(of_width["initialisation"])])


def measures(start: Floats, trained: Floats, limit: Floats) -> dict[str, Floats]:
    """Of each network, relative to the limit: distance from it and movement (norms over angles), growth (mean over angles)."""
    size = np.linalg.norm(limit)
    return {
        "distance": np.linalg.norm(start - limit, axis=1) / size,
        "movement": np.linalg.norm(trained - start, axis=1) / size,
        "growth": (trained - start).mean(axis=1) / limit.mean(),
    }


def slope_of(blocks: list[tuple[float, Floats]]) -> tuple[float, float, float]:
    """Slope of log(mean) over log(width), means weighted by precision, half of its 95 % interval, and the fit at width 1."""
    x = np.log([width for width, _ in blocks])
    means = np.array([values.mean() for _, values in blocks])
    weights = (means / np.array([stats.sem(values) for _, values in blocks])) ** 2
    middle, height = np.average(x, weights=weights), np.average(np.log(means), weights=weights)
    spread = np.sum(weights * (x - middle) ** 2)
    slope = float(np.sum(weights * (x - middle) * np.log(means)) / spread)
    return slope, float(stats.norm.ppf(0.975) / np.sqrt(spread)), float(np.exp(height - slope * middle))


def draw(table: Table) -> Figure:
    """Before and after training above, a panel per width of the paper below, and the measures over the width."""
    figure, axes = plt.subplots(1, 3, figsize=(PAGE, 2.75), width_ratios=(1, 1, 1.05))
    for axis, width in zip(axes, SHOWN, strict=False):
        _draw_kernels(axis, table, width)
    axes[0].set_ylabel(r"tangent kernel $\Theta(x_0, x_\gamma)$")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3, columnspacing=1.2, handlelength=1.8)
    _draw_measures(axes[2], table)
    return figure


def _draw_kernels(axis: Any, table: Table, width: int) -> None:
    line = where(table, kind="limit")
    axis.plot(line["x"], line["value"], color=GREY, lw=4.0, alpha=0.6, label="limit")
    for kind, name, color, dash in (
        ("start", "a network at the start", OKABE_ITO[0], "-"),
        ("trained", "after 200 steps", OKABE_ITO[1], "--"),
    ):
        networks = where(table, kind=kind, width=width)
        for i in np.unique(networks["network"]):
            line = where(networks, network=i)
            label = name if i == 0 else "_nolegend_"
            axis.plot(line["x"], line["value"], color=color, ls=dash, lw=0.7, alpha=0.9, label=label)
    axis.set(
        xlabel=r"angle $\gamma$ (radians)", xticks=[-np.pi, 0, np.pi], xticklabels=[r"$-\pi$", "0", r"$\pi$"], ylim=(0, 0.4)
    )
    moved, far = (where(table, kind=kind, x=float(width))["value"][0] for kind in ("movement", "distance"))
    axis.set_title(f"width {width:,}: {len(np.unique(where(table, kind='start', width=width)['network']))} networks")
    text = f"start: {100 * far:.1f} % off the limit\ntraining: moves by {100 * moved:.1f} %"
    axis.text(0.03, 0.97, text, transform=axis.transAxes, va="top", fontsize=7)


def _draw_measures(axis: Any, table: Table) -> None:
    for name, (label, color, marker) in MEASURES.items():
        points, slope = where(table, kind=name), where(table, kind=f"slope of {name}")
        text = f"{label}: {slope['value'][0]:.2f} ± {slope['interval'][0]:.2f}"
        style: dict[str, Any] = {"fmt": marker, "ms": 3.5, "color": color, "mfc": "white", "mew": 0.9, "lw": 0.9}
        axis.errorbar(points["x"], points["value"], points["interval"], label=text.replace("-", "\N{MINUS SIGN}"), **style)
        fit = where(table, kind=f"fit of {name}")
        axis.plot(fit["x"], fit["value"], "--", color=color, lw=0.9)
    widths = np.unique(where(table, kind="distance")["width"])
    axis.set(xscale="log", yscale="log", xlabel="width", ylabel="relative to the limit", ylim=(3e-4, 9))
    axis.set_xticks(widths, [f"{width:,}" for width in widths])
    axis.minorticks_off()
    plain(axis.yaxis)
    axis.set_title("deviations, with fits")
    axis.legend(
        loc="upper left", handletextpad=0.0, borderaxespad=0.0, fontsize=6.5, title="slope ± 95 % interval", title_fontsize=6.5
    )
