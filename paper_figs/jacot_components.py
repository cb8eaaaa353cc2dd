"""Wide networks learn a principal component of their kernel nearly along a line, narrow ones leave it; rates are undecided.

Varied: the width of all hidden layers, 100 and 1,000; the images; the kernel as it moves or frozen at initialisation.
Tuned: nothing.
Seeds: 2 networks a width and data set, both drawn; their curves stand for themselves, without intervals.
Sizes: the first 512 images of scikit-learn's digits (above) and of Fashion-MNIST (below), pixels in [0, 1]; no test images.

Figure 3 of Jacot, Gabriel & Hongler (2018, arXiv:1806.07572), on other images than its MNIST. Left: the images on
components 2 and 3 of the limit kernel, not centred; each mark is its class. Networks are trained on f_0 + 0.5 f2, f2 the
second component with mean square 1. Middle: distance of f_t - f_0 from the line along f2, which is zero at infinite width.
Right: what is left along it, and the limit 0.5 exp(-lambda_2 t). Points: networks, at every second recorded time. Thin
dotted: the same networks with their kernel frozen at initialisation, what is due to its randomness and not to its movement.
In the legend the fitted rates of the two networks over lambda_2, by least squares of log(g) up to t = 2/lambda_2.

Stated by the paper: ReLU, bias scale 0.1, learning rate 1, widths 100, 1,000, 10,000, t up to 4,000, where on MNIST
lambda_2 t = 4.3; here that is reached before t = 1,000. Not stated: depth (here four layers of weights, as in the other
figures) and scaling of the pixels. Not run on the CPU: width 10,000, which takes hours. Learning rate 1 at width 100, and 5
at 1,000, which was checked against 1 at width 100. Recorded in ``principal_components.csv``; ``python -m empirical run
principal_components`` measures the digits anew, and Fashion-MNIST too with ``--set "data=('digits','fashion_mnist')"`` and
its folder in ``KDTHEORY_DATA``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from paper_figs.regression_data import recorded
from paper_figs.style import INK, OKABE_ITO, PAGE, Table, plain, stack, where

NAMES = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}
#: Colour and marker by width and learning rate.
TRAININGS = {(100, 1.0): (OKABE_ITO[1], "s"), (1000, 5.0): (OKABE_ITO[0], "o")}
CURVES = ("along", "across", "frozen_along", "frozen_across")

Floats = NDArray[np.float64]


def compute() -> Table:
    """Rows: images, eigenvalues, trainings at their times, limits and fitted rates relative to lambda_2."""
    table = recorded("principal_components.csv", text=("data", "part"))
    rows: list[dict[str, Any]] = []
    for data in NAMES:
        images = where(table, data=data, part="components")
        eigenvalues = [images[f"{name}_value"][0] for name in ("first", "second", "third")]
        rows.append(_row("image", data, x=images["second"], y=images["third"], label=images["label"]))
        rows.append(_row("eigenvalue", data, x=np.arange(1, 4), y=eigenvalues))
        t = np.unique(where(table, data=data, part="training")["time"])
        rows.append(_row("limit", data, x=t, y=0.5 * np.exp(-eigenvalues[1] * t)))
        for (width, step), trial in ((training, trial) for training in TRAININGS for trial in trials(table, data, *training)):
            run = where(table, data=data, part="training", width=width, learning_rate=step, trial=trial)
            of_run = {"width": width, "trial": trial}
            rows += [_row(curve, data, x=run["time"], y=run[curve], **of_run) for curve in CURVES]
            for kind in ("along", "frozen_along"):
                fit = rate(run["time"], run[kind], eigenvalues[1], step)
                rows.append(_row(f"rate of {kind}", data, y=fit / eigenvalues[1], **of_run))
            inside = np.isfinite(run["rate"])
            rows.append(_row("kernel's rate", data, x=run["time"][inside], y=run["rate"][inside] / eigenvalues[1], **of_run))
    return stack(rows)


def _row(kind: str, data: str, **columns: Any) -> dict[str, Any]:
    return {"kind": kind, "data": data, "width": 0, "trial": 0, "x": 0.0, "y": 0.0, "label": -1} | columns


def trials(table: Table, data: str, width: int, learning_rate: float) -> list[float]:
    """Numbers of the recorded networks."""
    runs = where(table, data=data, part="training", width=width, learning_rate=learning_rate)
    return [float(trial) for trial in np.unique(runs["trial"])]


def rate(t: Floats, g: Floats, eigenvalue: float, learning_rate: float) -> float:
    """Rate of decay by least squares of log(g) through its start, up to t = 2/eigenvalue; for steps, as of a flow.

    Steps leave (1 - learning_rate * rate) at each where a flow leaves exp(-learning_rate * rate).
    """
    early = t <= 2 / eigenvalue
    slope = -float(t[early] @ np.log(g[early] / g[0]) / (t[early] @ t[early]))
    return -float(np.expm1(-learning_rate * slope)) / learning_rate


def draw(table: Table) -> Figure:
    """A row of panels per set of images."""
    figure, axes = plt.subplots(len(NAMES), 3, figsize=(PAGE, 4.9))
    for row, (data, name) in zip(axes, NAMES.items(), strict=True):
        of_data = where(table, data=data)
        _draw_images(row[0], of_data, name)
        _draw_across(row[1], of_data)
        _draw_along(row[2], of_data)
    return figure


def _draw_images(axis: Any, table: Table, name: str) -> None:
    images, values = where(table, kind="image"), where(table, kind="eigenvalue")["y"]
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.92, 10))
    for label in range(10):
        of_class = where(images, label=label)
        marker = f"$\\mathsf{{{label}}}$"
        axis.scatter(of_class["x"], of_class["y"], marker=marker, s=13, color=colors[label], lw=0.1)
    axis.set_title(f"{name}, first {len(images['x'])}\n$\\lambda_{{1, 2, 3}}$ = " + ", ".join(f"{v:.2g}" for v in values))
    axis.set(xlabel="component 2, $f^{(2)}$", ylabel="component 3, $f^{(3)}$")


def _draw_across(axis: Any, table: Table) -> None:
    for (width, _), look in TRAININGS.items():
        _curves(axis, table, "across", width, *look, f"width {width:,}")
    axis.plot([], [], color=INK, ls=":", lw=1.0, label="kernel frozen")
    axis.set(xlabel="time $t$ (steps × learning rate)", ylabel=r"distance $\|h_t\|$", ylim=(0, 0.15), title="off the line")
    axis.legend(loc="upper right", ncols=2, columnspacing=0.8, handlelength=1.2, borderaxespad=0.1)


def _draw_along(axis: Any, table: Table) -> None:
    for (width, _), look in TRAININGS.items():
        rates = where(table, kind="rate of along", width=width)["y"]
        _curves(axis, table, "along", width, *look, f"{width:,}: " + ", ".join(f"{value:.2f}" for value in rates))
    limit = where(table, kind="limit")
    axis.plot(limit["x"], limit["y"], color=INK, lw=1.2, zorder=3, label=r"limit, $\frac{1}{2}e^{-\lambda_2 t}$")
    axis.set(
        xlabel="time $t$ (steps × learning rate)",
        ylabel="rest $|g_t|$",
        title="left along the line",
        yscale="log",
        ylim=(1e-3, 12),
    )
    plain(axis.yaxis)
    axis.legend(loc="upper right", title=r"width: rate / $\lambda_2$", title_fontsize=7)


def _curves(axis: Any, table: Table, curve: str, width: int, color: str, marker: str, label: str) -> None:
    measured = {"lw": 0.5, "marker": marker, "ms": 2.0, "mfc": "white", "mew": 0.6, "markevery": 2}
    for kind, look in ((curve, measured), (f"frozen_{curve}", {"lw": 1.0, "ls": ":"})):
        of_width = where(table, kind=kind, width=width)
        for trial in np.unique(of_width["trial"]):
            line = where(of_width, trial=trial)
            name = label if kind == curve and trial == 0 else "_nolegend_"
            axis.plot(line["x"], np.abs(line["y"]), color=color, label=name, **look)
