r"""A large output scale a makes a network follow its own tangent kernel: with error 1/a if smooth, about 1/√a with kinks.

Varied: the output scale a, 1 to 1,000; the network, erf with 64 neurons or ReLU with 256; the number of training points.
Tuned: nothing; the ridge is 0.01 n, the teacher weight 0.7.
Seeds: 10 networks, the same for every a, all on the same digits. Points are geometric means (right: means) with 95 %
t-intervals.
Sizes: n = 40 or 200 training and 300 test images of the digits; 10,240 or 51,200 pairs of a neuron and a training point.

Trained is g = a (f - f_0) on the loss over a², with a ridge on the distance from the start that is not scaled: the kernel
regression that is solved is the same for every a. One hidden layer, no biases, a teacher and three students. Left: relative
distance of the last student's predictions at the test points from the chain of the network's own tangent kernel at its
start (coloured), and from that of the infinite width (grey, joined). Middle: relative change of the tangent kernel in round
0. Right: pairs of a neuron and a training point whose preactivation has another sign at the end of round 0; below one the
axis is linear. In brackets are exponents, means over networks of least-squares slopes and their 95 % t-intervals; of erf
over all a, of ReLU over a up to 30, where two or more kinks cross on average. Dotted: what theory says, 1/a and 1/√a,
through the first point (right: 1/a, as the parameters move). When no more kinks cross, a ReLU network is smooth and its
error falls faster; with 40 points that shows below a = 30 already, and the exponent of the kernel's change there excludes
1/2. The exponents are derived in the docstring of ``empirical.experiments.output_scale``.

The scaled output is that of Chizat, Oyallon & Bach (2019), arXiv:1812.07956, everything else is chosen here. Recorded in
``output_scale.csv``; ``python -m empirical run output_scale`` measures it anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from paper_figs.regression_data import recorded
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, plain, stack, where

Floats = NDArray[np.float64]
LAST = 3  # round
#: Activation and training points: name, colour, marker, exponent of the theory, and the largest a of the fit.
NETWORKS: dict[tuple[str, int], tuple[str, str, str, float, float]] = {
    ("erf", 40): ("erf, n = 40", OKABE_ITO[0], "o", -1.0, 1000.0),
    ("relu", 40): ("ReLU, n = 40", OKABE_ITO[1], "^", -0.5, 30.0),
    ("relu", 200): ("ReLU, n = 200", OKABE_ITO[2], "s", -0.5, 30.0),
}
BOUNDS = ("value", "low", "high")
QUANTITIES = ("error_own", "error", "kernel_change", "crossings")


def exponents(scales: Floats, values: Floats) -> Floats:
    """Least-squares slopes of log values (networks, scales) over log scales, one per network."""
    x = np.log(scales) - np.log(scales).mean()
    return np.asarray(np.log(values) @ x / (x @ x))


def compute() -> Table:
    """Rows: activation, n, quantity, kind (measured, or an exponent of it), scale, value, low and high."""
    table, rows = where(recorded("output_scale.csv"), round=LAST), []
    for (activation, n), (_, _, _, _, most) in NETWORKS.items():
        here = where(table, activation=activation, n=n)
        scales, seeds = np.unique(here["scale"]), np.unique(here["seed"])
        for quantity in QUANTITIES:
            about = {"activation": activation, "n": n, "quantity": quantity}
            values = np.array([where(here, seed=seed)[quantity] for seed in seeds], dtype=float)
            measured = _interval(values) if quantity == "crossings" else np.exp(_interval(np.log(values)))
            rows.append(about | {"kind": "measured", "scale": scales} | dict(zip(BOUNDS, measured, strict=True)))
            if quantity in ("error_own", "kernel_change"):
                slopes = _interval(exponents(scales[scales <= most], values[:, scales <= most]))
                rows.append(about | {"kind": "exponent", "scale": most} | dict(zip(BOUNDS, slopes, strict=True)))
    return stack(rows)


def _interval(values: Floats) -> Floats:
    """Mean over networks, the first axis, and the ends of its 95 % t-interval."""
    mean, half = values.mean(axis=0), half_width(values)
    return np.array([mean, mean - half, mean + half])


def draw(table: Table) -> Figure:
    """Errors, change of the kernel, and kinks that cross."""
    figure, (errors, change, crossings) = plt.subplots(1, 3, figsize=(PAGE, 3.2))
    for (activation, n), (name, color, marker, _, _) in NETWORKS.items():
        here = where(table, activation=activation, n=n)
        for axis, quantity in ((errors, "error_own"), (change, "kernel_change")):
            _draw_law(axis, where(here, quantity=quantity), (activation, n))
        limit, crossed = (where(here, quantity=quantity) for quantity in ("error", "crossings"))
        errors.plot(limit["scale"], limit["value"], marker + "-", **(_look(GREY) | {"ms": 2.5, "lw": 0.5}))
        if activation == "relu":
            _draw_points(crossings, crossed, color, marker, name)
            a = np.geomspace(1, crossed["scale"][-1])
            crossings.plot(a, crossed["value"][0] / a, ":", color=color, lw=0.9)
    errors.text(1000, 0.42, "beside infinite width", fontsize=7, ha="right")
    errors.text(1.2, 1.2e-4, "beside the\nown kernel", fontsize=7)
    errors.set(title="error of the predictions", ylabel="relative distance", ylim=(7e-6, 0.8))
    change.set(title="change of the tangent kernel", ylabel="relative change", ylim=(3e-6, 0.15))
    crossings.set(title="kinks that crossed a point", ylabel="number (mean)", ylim=(-0.3, 2e3))
    crossings.set_yscale("symlog", linthresh=1.0)
    crossings.set_yticks((0, 1, 10, 100, 1000), ("0", "1", "10", "100", "1,000"))
    crossings.minorticks_off()
    for axis in (errors, change, crossings):
        axis.set(xscale="log", xlabel="output scale $a$")
        plain(axis.xaxis)
    for axis in (errors, change):
        axis.set_yscale("log")
        _legend(axis, "exponent [95 % interval]")
    _legend(crossings, "")
    return figure


def _legend(axis: Any, title: str) -> None:
    """Below the panel: the points, and the dotted lines."""
    theory = Line2D([], [], ls=":", color=INK, lw=0.9, label="theory, from the first point")
    handles = [*axis.get_legend_handles_labels()[0], theory]
    axis.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.45, -0.2), title=title, title_fontsize=7, handletextpad=0.4
    )


def _look(color: str) -> dict[str, Any]:
    return {"color": color, "ms": 3.5, "mfc": "white", "mew": 0.8, "lw": 0.8}


def _draw_law(axis: Any, table: Table, network: tuple[str, int]) -> None:
    """Points, the exponent measured, and the one of the theory as a line."""
    name, color, marker, exponent, _ = NETWORKS[network]
    points, law = where(table, kind="measured"), where(table, kind="exponent")
    slope, low, high = (law[column][0] for column in ("value", "low", "high"))
    label = (
        f"{name}: {slope:.3f} [{low:.3f}, {high:.3f}]" if exponent == -1 else f"{name}: {slope:.2f} [{low:.2f}, {high:.2f}]"
    )
    bars = [points["value"] - points["low"], points["high"] - points["value"]]
    axis.errorbar(points["scale"], points["value"], bars, fmt=marker, label=label.replace("-", "−"), **_look(color))
    axis.plot(points["scale"], points["value"][0] * points["scale"] ** exponent, ":", color=color, lw=0.9)


def _draw_points(axis: Any, rows: Table, color: str, marker: str, label: str) -> None:
    bars = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
    axis.errorbar(rows["scale"], rows["value"], bars, fmt=marker, label=label, **_look(color))
