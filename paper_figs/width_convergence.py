"""Networks approach the kernel prediction almost as 1/√width, by their kernels' random start; means of them, to a floor.

Varied: the width, 64 to 8,192, and the number of hidden layers, 1 and 2; lower right, how many networks are averaged, 1 to
48.
Tuned: nothing; the ridge is 0.01 per training point.
Seeds: 10 networks up to width 1,024 (two hidden layers: up to 256), 4 at 8,192, 6 at the other widths; 48 others a width
for the means. Points are means with 95 % t-intervals over networks, or over disjoint groups (all 48: one group, no
interval).
Sizes: 200 training and 300 test images of the digits, one split.

ReLU networks trained once, round 0 of ``paper_figs.wide_path``, where the setting is told. Brackets in the legends:
exponents of least-squares lines through log error, each width counted once, and the 95 % percentile interval of 10,000
bootstrap draws of networks within each width. Full lines are theory without a fitted constant: what the kernel's
fluctuation does to first order (``paper_figs.wide_path.first_order``), and the exact mean square of that fluctuation
(``kernel_constants``); dashed ones are fits. That ReLU kernels move as width^(-3/4) is expected (an argument, not a
theorem): training takes a share 1/√width of the neurons across their kink, and what they contribute to the kernel, of
random sign between outputs, adds up to √(width · 1/√width) / width.
Lower left: relative Frobenius distances of the tangent kernel between all pairs of training points and outputs. Lower
right: means of M networks against the hidden neurons of all of them together. Dashed lines are sqrt(b² + v/M) with unbiased
estimates of the squared floor b² and the variance v of one network from all 48; marks at the right: floors and their 95 %
intervals (``floor_and_variance``).
The fitted exponents exclude 1/2: narrow networks err less than the first order says (0.90 of the full line at width 64,
0.995 at 4,096), so a line through all widths is too flat; from 1,024 on it is -0.493 [-0.499, -0.486].

The papers state the limit (Jacot, Gabriel & Hongler, 2018, arXiv:1806.07572), not these constants; every setting is chosen
here. Not run: two hidden layers beyond width 512, where a step costs the square of the width. Recorded in ``width.csv`` and
``narrow_ensembles.csv``; ``python -m empirical run width`` and ``run narrow_ensembles`` measure them anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from paper_figs.regression_data import recorded
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where
from paper_figs.wide_path import Limit, first_order

Floats = NDArray[np.float64]
DRAWS = 10_000
#: Name, colour and marker.
QUANTITIES = {
    "error": ("network to infinite width", OKABE_ITO[0], "o"),
    "fluctuation": ("its own kernel to infinite width", OKABE_ITO[0], "."),
    "error_own": ("network to its own kernel", OKABE_ITO[1], "^"),
    "kernel_distance": ("to infinite width, at the start", OKABE_ITO[2], "o"),
    "kernel_change": ("moved by training", OKABE_ITO[3], "^"),
}
LARGEST_GROUP = 16  # of 48 members: three groups of it are the fewest with an interval


def power_law(widths: Floats, errors: Floats, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Exponent, its interval's ends, and constant of errors = constant · widths^exponent."""
    groups = [np.log(errors[widths == m]) for m in np.unique(widths)]
    x = np.log(np.unique(widths))
    slope = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    means = np.array([group.mean() for group in groups])
    drawn = np.array([rng.choice(group, (DRAWS, len(group))).mean(axis=1) for group in groups])
    low, high = np.quantile(slope @ drawn, (0.025, 0.975))
    exponent = float(slope @ means)
    return exponent, float(low), float(high), float(np.exp(means.mean() - exponent * x.mean()))


def kernel_constants(limit: Limit) -> tuple[float, float]:
    r"""Constants C of the kernel's distance :math:`(E|\hat\Theta - \Theta|^2)^{1/2}/|\Theta| = C/\sqrt{\text{width}}`, exact.

    Of the whole kernel of one hidden layer, and of its mean over outputs. Between points at an angle :math:`\theta`, a neuron
    contributes :math:`W_o W_{o'} A + \delta_{oo'} B` with :math:`A = 4\cos\theta\,1_{z>0}1_{z'>0}` and
    :math:`B = 2\,\sigma(z)\sigma(z')`; the squares' means are arc-cosine kernels of order 0, 1 and 2 (Cho & Saul, 2009).
    """
    p, cosine = limit.y.shape[1], np.clip(limit.X @ limit.X.T / limit.X.shape[1], -1, 1)
    angle = np.arccos(cosine)
    both = (np.pi - angle) / (2 * np.pi)
    AA, B = 16 * cosine**2 * both, 4 * (np.sin(angle) / (2 * np.pi) + both * cosine)
    AB = 4 * cosine * B
    BB = 16 * (3 * np.sin(angle) * cosine / (2 * np.pi) + both * (1 + 2 * cosine**2))
    size = np.sum(limit.gram**2)
    own, other = np.sum(3 * AA + 2 * AB + BB - limit.gram**2), np.sum(AA)
    of_mean = np.sum((1 + 2 / p) * AA + 2 * AB + BB - limit.gram**2)
    return float(np.sqrt((own + (p - 1) * other) / size)), float(np.sqrt(of_mean / size))


def floor_and_variance(products: Floats, rng: np.random.Generator) -> tuple[float, float, float, float]:
    r"""Unbiased estimates of the squared floor and of one network's variance, and the bootstrap interval of the former.

    Of members with inner products G (M, M): the means of :math:`G_{ij}` over pairs of different members, and of :math:`G_{ii}`
    minus that. A pair of two draws of the same member is left out, in which the same error would count as common.
    """
    M = len(products)
    counts = rng.multinomial(M, np.full(M, 1 / M), size=DRAWS).astype(float)
    counts = np.vstack([np.ones(M), counts])
    different = np.sum((counts @ products) * counts, axis=1) - counts**2 @ np.diag(products)
    floors = different / (M**2 - np.sum(counts**2, axis=1))
    low, high = np.quantile(floors[1:], (0.025, 0.975))
    return float(floors[0]), float(np.mean(np.diag(products)) - floors[0]), float(low), float(high)


def compute() -> Table:
    """Rows: quantity, kind (measured, of a fit, of the theory), depth, width, members, round, weight, value, low and high."""
    rng, limit = np.random.default_rng(0), Limit.draw()
    measured = recorded("width.csv")
    rows: list[dict[str, Any]] = []
    for depth in (1, 2):
        here = where(measured, depth=depth)
        for quantity in QUANTITIES:
            models = [(w, t) for w in (1.0, 0.5) for t in range(4)] if "kernel" not in quantity else [(1.0, 0)]
            for w, t in models:
                of = where(here, teacher_weight=w, round=t)
                about = {"quantity": quantity, "depth": depth, "round": t, "teacher_weight": w}
                exponent, low, high, constant = power_law(of["width"], of[quantity], rng)
                rows.append(_row(**about, kind="exponent", value=exponent, low=low, high=high))
                rows.append(_row(**about, kind="constant", value=constant))
                for m in np.unique(of["width"]):
                    rows.append(_row(**about, kind="measured", width=m, **_mean(of[quantity][of["width"] == m])))
    constants = {"error": first_order(limit, [])[0], "kernel_distance": kernel_constants(limit)[0]}
    rows += [_row(quantity=name, depth=1, kind="theory constant", value=value) for name, value in constants.items()]
    return stack([*rows, *_ensembles(rng)])


def _ensembles(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Errors of means over disjoint groups of the members, and floor and variance, of the teachers."""
    table, rows = where(recorded("narrow_ensembles.csv"), round=0), []
    for m in np.unique(table["width"]):
        here = where(table, width=m)
        members = int(here["first"].max()) + 1
        G = np.zeros((members, members))
        G[here["first"], here["second"]] = G[here["second"], here["first"]] = here["product"]
        floor, variance, low, high = floor_and_variance(G, rng)
        about = {"quantity": "ensemble", "depth": 1, "width": m}
        rows.append(_row(**about, kind="squared floor", value=floor, low=low, high=high))
        rows.append(_row(**about, kind="variance", value=variance))
        for size in (1, 2, 4, 8, LARGEST_GROUP, members):
            groups = np.arange(members).reshape(-1, size)
            errors = np.array([np.sqrt(G[np.ix_(group, group)].mean()) for group in groups])
            rows.append(_row(**about, kind="measured", members=size, **_mean(errors)))
    return rows


def _mean(values: Floats) -> dict[str, float]:
    """Mean and the ends of its 95 % t-interval, as far as there is one."""
    mean, half = float(values.mean()), float(half_width(values)) if len(values) > 1 else 0.0
    return {"value": mean, "low": mean - half, "high": mean + half}


def _row(**columns: Any) -> dict[str, Any]:
    nothing = {"round": 0, "teacher_weight": 1.0, "width": 0, "members": 1, "low": np.nan, "high": np.nan}
    return nothing | columns


def draw(table: Table) -> Figure:
    """Errors with one and two hidden layers above; the kernel's distances and ensembles below."""
    figure, ((one, two), (kernel, ensembles)) = plt.subplots(2, 2, figsize=(PAGE, 5.9), sharey="row")
    first = where(table, round=0, teacher_weight=1.0)
    for axis, depth, layers in ((one, 1, "one hidden layer"), (two, 2, "two hidden layers")):
        _draw_laws(axis, where(first, depth=depth), ("error", "fluctuation", "error_own"))
        axis.set(title=f"predictions, {layers}", xlabel="width")
    one.set(ylabel="relative distance", ylim=(0.003, 3))
    for depth in (1, 2):
        _draw_laws(kernel, where(first, depth=depth), ("kernel_distance", "kernel_change"), f", {depth} hidden")
    kernel.set(title="tangent kernel", ylabel="relative distance", xlabel="width", ylim=(0.0015, 12))
    _draw_ensembles(ensembles, first)
    for axis, factor, ticks in ((one, 4, 4), (two, 2, 4), (kernel, 4, 4), (ensembles, 4, 5)):
        widths = [64 * factor**i for i in range(ticks)]
        axis.set(xscale="log", yscale="log", xticks=widths, xticklabels=[f"{m:,}" for m in widths])
        axis.set(yticks=(0.01, 0.1, 1), yticklabels=("0.01", "0.1", "1"))
        axis.minorticks_off()
        title = "" if axis is ensembles else "exponent [95 % interval]"
        axis.legend(title=title, title_fontsize=6.5, loc="upper right", fontsize=6.5, handletextpad=0.3, labelspacing=0.3)
    lines = (("-", "theory, nothing fitted"), ("--", "fit"))
    handles = [Line2D([], [], color=INK, lw=0.9, ls=dash, label=label) for dash, label in lines]
    points: dict[str, Any] = {"marker": "o", "ms": 3.5, "mfc": "white", "mew": 0.8, "ls": ""}
    handles.append(Line2D([], [], color=INK, label="networks, mean and 95 % interval", **points))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _draw_laws(axis: Any, table: Table, quantities: tuple[str, ...], layers: str = "") -> None:
    """Points, and a line each: theory where there is a constant, the fit elsewhere."""
    for quantity in quantities:
        here, (name, color, marker) = where(table, quantity=quantity), QUANTITIES[quantity]
        law, theory = where(here, kind="exponent"), where(here, kind="theory constant")
        exponent, low, high = (law[column][0] for column in ("value", "low", "high"))
        label = f"{name}{layers}: {exponent:.2f} [{low:.2f}, {high:.2f}]".replace("-", "−")
        fill = color if "2" in layers or marker == "." else "white"
        m = np.unique(where(here, kind="measured")["width"])
        _points(axis, where(here, kind="measured"), "width", color, fmt=marker, mfc=fill, label=label)
        if len(theory["value"]):
            axis.plot(m, theory["value"][0] / np.sqrt(m), color=INK, lw=0.9, zorder=1)
        elif quantity != "fluctuation":
            axis.plot(m, where(here, kind="constant")["value"][0] * m**exponent, color=color, lw=0.8, ls="--", zorder=1)


def _points(axis: Any, rows: Table, x: str, color: str, **style: Any) -> None:
    errors = [np.nan_to_num(rows["value"] - rows["low"]), np.nan_to_num(rows["high"] - rows["value"])]
    look: dict[str, Any] = {"fmt": "o", "ms": 3.5, "mfc": "white", "mew": 0.8, "lw": 0.8, "color": color}
    axis.errorbar(rows[x], rows["value"], errors, **(look | style))


def _draw_ensembles(axis: Any, table: Table) -> None:
    """Everything against the neurons in all, so that one network and many of the same size stand above each other."""
    constant = where(table, quantity="error", depth=1, kind="theory constant")["value"][0]
    ensembles = where(table, quantity="ensemble")
    most = float(np.max(ensembles["width"] * ensembles["members"]))
    neurons = np.array([64.0, most])
    axis.plot(neurons, constant / np.sqrt(neurons), color=INK, lw=0.9)
    _points(axis, where(table, quantity="error", depth=1, kind="measured"), "width", GREY, label="one network")
    widths = np.unique(ensembles["width"])
    for i, (m, color, marker) in enumerate(zip(widths, np.array(OKABE_ITO)[[1, 4, 2, 0]].tolist(), "s^Dv", strict=True)):
        here = where(ensembles, width=m)
        rows, floor = where(here, kind="measured"), where(here, kind="squared floor")
        M = np.geomspace(1, rows["members"].max())
        variance = where(here, kind="variance")["value"][0]
        axis.plot(m * M, np.sqrt(np.maximum(floor["value"][0] + variance / M, 0)), color=color, lw=0.8, ls="--")
        _points(
            axis,
            rows | {"neurons": m * rows["members"]},
            "neurons",
            color,
            fmt=marker,
            ms=3,
            label=f"mean of networks of width {m}",
        )
        root = {name: np.sqrt(np.maximum(floor[name], 0)) for name in ("value", "low", "high")}
        _points(axis, root | {"at": np.array([most * (1.6 + 0.3 * i)])}, "at", color, fmt=marker, ms=3)
    axis.text(most * 2.2, 0.085, "floors", ha="center", fontsize=6.5)
    axis.set(title="means of networks to infinite width", xlabel="hidden neurons in all")
