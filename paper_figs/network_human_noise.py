r"""Labels that people got wrong (CIFAR-10N) beside random flips of the same rate: best teacher weights, and what they gain.

Varied: the labels (true, the vote of three people, 9 % wrong, one of them, 17 %, a wrong one wherever there is one, "worst",
40 %), or flips of the same rate to any class, beside "worst" also by people's confusion of classes; the kept share; the
teacher weight (squared loss up to 1.25, cross-entropy up to 1).
Tuned: architectures and learning rates, chosen from eight by the test accuracy of one seed's teachers, clean and "worst"; at
the right the weight, by accuracy on validation labels as wrong as the training labels.
Seeds: 5, paired by split, subset, initialisation and minibatches; 95 % intervals (Student's; middle: bootstrap over seeds).
Sizes: CIFAR-10 at half resolution, 8,000 training, 2,000 validation and 2,000 test images. Squared loss: 128-128 ReLU
networks, SGD; cross-entropy at temperature 4: strided convolutions of 12 and 24 channels, Adam; 300 steps of 64 for all.

The teacher sees all rows, stopped where its loss on validation labels of the same kind is least; students see random shares.
Left: test error against true labels with a tenth kept, "worst" labels (of probabilities with cross-entropy); lines: what the
two students at weights 0 and 1 say of all others if a student is affine in its weight, no constant fitted. Middle: weight of
least test error, the vertex of a parabola through the mean errors, within the grid. Right: accuracy at the chosen weight
less that of labels alone; a tenth kept (large) and all (small).

People's labels: Wei et al. (2022, arXiv:2110.12088). Not run: other architectures, the 50,000 images, full resolution.
Recorded in data/network_human_noise.csv; of its units (column ``revision``) some by code that draws other random numbers for
flips and minibatches than the present one. Measured anew by ``python -m paper_figs network_human_noise --recompute``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from empirical.intervals import crossed_interval
from empirical.pairs import squared_error
from paper_figs.regression_data import recorded
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where

Floats = NDArray[np.float64]
LOSSES = {"squared": "squared loss", "cross_entropy": "cross-entropy"}
KINDS = {
    "clean": ("true labels", INK),
    "aggre": ("vote", OKABE_ITO[2]),
    "random1": ("one person", OKABE_ITO[0]),
    "worst": ("worst", OKABE_ITO[1]),
}
NOISES = {
    "human": ("people", "o", "-"),
    "class_dependent": ("flips by confusion", "D", "--"),
    "symmetric": ("random flips", "^", ":"),
}
MOMENTS = ("vv", "vl", "vd", "ll", "ld", "dd")
MARKERS = {"none": "s"} | {noise: marker for noise, (_, marker, _) in NOISES.items()}
TEXT = ("loss", "labels", "noise", "revision")


def compute() -> Table:
    """Rows: quantity (error, its prediction, best weight, gain), loss, labels, noise, share kept, x, value, low and high."""
    table = recorded("network_human_noise.csv", text=TEXT)
    table.pop("revision", None)  # of the code, where units are of several
    table |= {name: _numbers(column) for name, column in table.items() if name not in TEXT}
    students = {name: column[np.isfinite(table["teacher_weight"])] for name, column in table.items()}
    cells = {name: column[~np.isfinite(table["teacher_weight"])] for name, column in table.items()}
    rows: list[dict[str, Any]] = []
    for loss in LOSSES:
        pairs = dict.fromkeys(zip(students["labels"].tolist(), students["noise"].tolist(), strict=True))
        for labels, noise in pairs:
            for share in np.unique(students["keep_fraction"]).tolist():
                about = {"loss": loss, "labels": labels, "noise": noise, "keep_fraction": share}
                rows += _cell(where(students, **about), where(cells, **about), about)
    return stack(rows)


def _numbers(texts: NDArray[Any]) -> Floats:
    """A column with empty places, as nan."""
    return np.where(texts == "", "nan", texts).astype(float) if texts.dtype.kind == "U" else texts.astype(float)


def _cell(students: Table, cell: Table, about: dict[str, Any]) -> list[dict[str, Any]]:
    """One share of one kind of labels, over its seeds."""
    w, by_seed = np.unique(students["teacher_weight"]), np.lexsort((students["teacher_weight"], students["seed"]))
    error, accuracy, seen = (
        students[name][by_seed].reshape(-1, len(w)) for name in ("error", "accuracy", "validation_accuracy")
    )
    moments = np.stack([cell[f"net_test_{name}"] for name in MOMENTS], axis=-1).mean(axis=0)
    fine, best = (
        np.linspace(w[0], w[-1], 41),
        crossed_interval(_parabolas(w, error), lambda c: vertex(c, w[0], w[-1]), rng=np.random.default_rng(0)),
    )
    ends = dict(zip(("low", "high"), np.clip([best.low, best.high], w[0], w[-1]), strict=True))
    gain = accuracy[np.arange(len(accuracy)), seen.argmax(axis=1)] - accuracy[:, 0]
    rate = float(cell["rate"].mean())
    return [
        about | {"quantity": "error", "x": w} | _interval(error),
        about | {"quantity": "prediction", "x": fine, "value": squared_error(moments, fine), "low": np.nan, "high": np.nan},
        about | {"quantity": "weight", "x": about["keep_fraction"], "value": best.value} | ends,
        about | {"quantity": "gain", "x": rate} | _interval(gain),
    ]


def _interval(values: Floats) -> dict[str, Any]:
    """Mean over seeds, the first axis, and the ends of its 95 % t-interval."""
    mean, half = values.mean(axis=0), half_width(values)
    return {"value": mean, "low": mean - half, "high": mean + half}


def _parabolas(w: Floats, errors: Floats) -> Floats:
    """Coefficients of each seed's least-squares parabola, (seeds, 1, 3)."""
    return np.asarray(np.polynomial.polynomial.polyfit(w, errors.T, 2).T[:, None])


def vertex(parabolas: Floats, low: float, high: float) -> Floats:
    """Where parabolas (..., 3) are least within bounds."""
    ends = np.array([low, high])
    at_ends = np.polynomial.polynomial.polyval(ends, np.moveaxis(parabolas, -1, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = -parabolas[..., 1] / (2 * parabolas[..., 2])
    return np.where((parabolas[..., 2] > 0) & (low < inside) & (inside < high), inside, ends[np.argmin(at_ends, axis=-1)])


def draw(table: Table) -> Figure:
    """A row of panels per loss: errors over the weight, best weight over the share kept, gain over the rate of mistakes."""
    figure, axes = plt.subplots(2, 3, figsize=(PAGE, 4.9))
    for row, (loss, name) in zip(axes, LOSSES.items(), strict=True):
        here = where(table, loss=loss)
        _draw_errors(row[0], where(here, labels="worst", keep_fraction=np.min(table["keep_fraction"])), name)
        _draw_weights(row[1], where(here, quantity="weight"), name)
        _draw_gains(row[2], where(here, quantity="gain"), name)
    handles = [Line2D([], [], color=color, lw=2.0, label=name) for name, color in KINDS.values()]
    handles += [
        Line2D([], [], color=GREY, ls=dashes, lw=0.9, marker=marker, mfc="white", ms=4, label=name)
        for name, marker, dashes in NOISES.values()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=7, columnspacing=1.0, handletextpad=0.4, handlelength=2.0)
    return figure


def _draw_errors(axis: Any, table: Table, name: str) -> None:
    for i, (noise, (_, marker, dashes)) in enumerate(NOISES.items()):
        line, points = (where(table, noise=noise, quantity=quantity) for quantity in ("prediction", "error"))
        axis.plot(line["x"], line["value"], dashes, color=KINDS["worst"][1], lw=0.9)
        _points(axis, points, 0.015 * (i - 1), KINDS["worst"][1], marker)
    axis.set(xlabel="teacher weight", ylabel="test error per class", title=f"{name}\nworst labels, 10 % kept")


def _draw_weights(axis: Any, table: Table, name: str) -> None:
    kinds = [
        (labels, noise)
        for labels in KINDS
        for noise in ("none", *NOISES)
        if len(where(table, labels=labels, noise=noise)["x"])
    ]
    for i, (labels, noise) in enumerate(kinds):
        points = where(table, labels=labels, noise=noise)
        shift = np.exp(0.09 * (i - (len(kinds) - 1) / 2))
        bars = [points["value"] - points["low"], points["high"] - points["value"]]
        axis.errorbar(points["x"] * shift, points["value"], bars, **_look(KINDS[labels][1], MARKERS[noise]))
    shares = np.unique(table["x"])
    axis.set(
        xscale="log",
        xlabel="kept share of the rows (%)",
        ylabel="best teacher weight",
        title=f"{name}\nbest weights",
        xticks=shares,
        xticklabels=[f"{100 * f:g}" for f in shares],
    )
    axis.minorticks_off()


def _draw_gains(axis: Any, table: Table, name: str) -> None:
    shares = np.unique(table["keep_fraction"])[[0, -1]]
    for share, size in zip(shares, (4.5, 2.5), strict=True):
        for labels, (_, color) in KINDS.items():
            for noise, shift in (("none", 0.0), ("human", -0.006), ("symmetric", 0.006), ("class_dependent", 0.0)):
                points = where(table, keep_fraction=share, labels=labels, noise=noise)
                if len(points["x"]):
                    percent = {key: 100 * points[key] for key in ("value", "low", "high")}
                    _points(axis, points | percent, shift, color, MARKERS[noise], ms=size)
    axis.axhline(0.0, color=GREY, lw=0.6, ls=":", zorder=0)
    axis.set(xlabel="share of labels that are wrong", ylabel="gain in accuracy (points)")
    axis.set_title(f"{name}\n10 % kept (large), all (small)")


def _points(axis: Any, points: Table, shift: float, color: str, marker: str, **more: Any) -> None:
    bars = [points["value"] - points["low"], points["high"] - points["value"]]
    axis.errorbar(points["x"] + shift, points["value"], bars, **(_look(color, marker) | more))


def _look(color: str, marker: str) -> dict[str, Any]:
    return {"fmt": marker, "ms": 3.2, "mfc": "white", "mew": 0.8, "lw": 0.8, "color": color}
