"""What a whole grid costs beside the one eigendecomposition that it needs: growing with the points, the grid and the outputs.

Varied: the training points n (a), the ridges of the grid (b), the outputs (c), and the program.
Tuned: nothing.
Seeds: one draw, seed 0; times are medians of 3 interleaved repetitions, without intervals.
Sizes: 250 to 4,000 training points (a), 2,000 in b and c, a quarter as many validation points; 21 teacher weights, 20
rounds, 50 ridges unless varied; one output in b.

RBF kernel (gamma 0.05) of standard normal inputs in 10 dimensions, labels sin(x) + 0.3 noise, ridges from 1e-6 to 1e2. CPU
seconds of one core as a share of the eigendecomposition of the same Gram matrix; leave-one-out per ridge, at any number of
weights. Lines join the points. b: from the span of all filters, ridge by ridge, and filter by filter. Recorded, since times
are of one machine, by ``python -m paper_figs.grid_cost --record FILE`` (a quarter of an hour). The smallest size is measured
now (large, hollow), so that the figure shows what this machine does.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # before NumPy is loaded
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import kdtheory as kd
from paper_figs.regression_data import record, recorded
from paper_figs.style import INK, OKABE_ITO, PAGE, Table, plain, stack, where

RECORD = "grid_cost.csv"
POINTS, RIDGES, OUTPUTS = (250, 500, 1000, 2000, 4000), (5, 20, 50, 200, 1000, 4000), (1, 3, 10, 30, 100)
N, WEIGHTS, ROUNDS, SOME, REPETITIONS = 2000, 21, 20, 8, 3
PROGRAMS = {  # label, colour and marker
    "risk_grid, 1 output": ("risk grid, 1 output", OKABE_ITO[0], "o"),
    "risk_grid, 10 outputs": ("risk grid, 10 outputs", OKABE_ITO[1], "s"),
    "risk_grid": ("risk grid", OKABE_ITO[0], "o"),
    "gcv_grid": ("GCV grid", OKABE_ITO[2], "^"),
    "loo_grid": ("leave-one-out, per ridge", OKABE_ITO[3], "D"),
    "auto": ("span of all filters", OKABE_ITO[0], "o"),
    "basis": ("ridge by ridge", OKABE_ITO[4], "v"),
    "direct": ("filter by filter", OKABE_ITO[5], "X"),
}


def measure(sizes: tuple[int, ...] = POINTS, *, others: bool = True) -> Iterator[dict[str, Any]]:
    """One row per panel, program and abscissa: share of the eigendecomposition, its seconds, number of models."""
    for n in sizes:
        one, ten = _problem(n, 1), _problem(n, 10)
        run = {
            "risk_grid, 1 output": partial(kd.risk_grid, *one[1:], **_grid(50)),
            "risk_grid, 10 outputs": partial(kd.risk_grid, *ten[1:], **_grid(50)),
            "gcv_grid": partial(kd.gcv_grid, *one[1:3], **_grid(50)),
            "loo_grid": partial(kd.loo_grid, *one[1:3], **_grid(SOME)),
        }
        yield from _rows("points", n, one[0], run)
    for count in RIDGES if others else ():
        data = _problem(N, 1)
        methods = [m for m, most in (("auto", np.inf), ("basis", 1000), ("direct", 50)) if count <= most]
        run = {m: partial(kd.risk_grid, *data[1:], **_grid(count), method=m) for m in methods}
        yield from _rows("models", count * WEIGHTS * (ROUNDS + 1), data[0], run)
    for outputs in OUTPUTS if others else ():
        data = _problem(N, outputs)
        run = {
            "risk_grid": partial(kd.risk_grid, *data[1:], **_grid(50)),
            "gcv_grid": partial(kd.gcv_grid, *data[1:3], **_grid(50)),
            "loo_grid": partial(kd.loo_grid, *data[1:3], **_grid(SOME)),
        }
        yield from _rows("outputs", outputs, data[0], run)


def _problem(n: int, outputs: int) -> tuple[Any, ...]:
    """Gram matrix, spectrum, labels, cross matrix, validation values."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + n // 4, 10))
    Y = np.sin(X[:, np.arange(outputs) % 10]) + 0.3 * rng.normal(size=(len(X), outputs))
    gram = kd.kernels.rbf(X[:n], gamma=0.05)
    cross = kd.kernels.rbf(X[n:], X[:n], gamma=0.05)
    return gram, kd.Spectrum.from_gram(gram), Y[:n], cross, Y[n:]


def _grid(ridges: int) -> dict[str, Any]:
    return {"ridges": np.logspace(-6, 2, ridges), "teacher_weights": np.linspace(0, 1, WEIGHTS), "rounds": ROUNDS}


def _rows(panel: str, x: int, gram: Any, programs: Mapping[str, Callable[[], Any]]) -> Iterator[dict[str, Any]]:
    """Median CPU seconds over those of the eigendecomposition, taking turns; a call beforehand is not counted."""
    driver: Any = "evr"
    everything: dict[str, Callable[[], Any]] = {
        "eigh": partial(scipy.linalg.eigh, gram.T, driver=driver, check_finite=False),
        **programs,
    }
    times: dict[str, list[float]] = {name: [] for name in everything}
    for name, run in programs.items():
        if name != "direct":
            run()
    for _ in range(REPETITIONS):
        for name, run in everything.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    base = statistics.median(times["eigh"])
    for name in programs:
        share = statistics.median(times[name]) / base / (SOME if name == "loo_grid" else 1)
        yield {"panel": panel, "program": name, "x": x, "share": share, "eigendecomposition": base}


def compute() -> Table:
    """The recorded costs, and those of the smallest size on this machine now."""
    earlier = recorded(RECORD)
    fresh = stack([row | {"computed": "now"} for row in measure(POINTS[:1], others=False)])
    return stack([earlier | {"computed": np.full(len(earlier["x"]), "recorded")}, fresh])


def draw(table: Table) -> Figure:
    """Three panels on logarithmic axes: points, models, outputs."""
    figure, axes = plt.subplots(1, 3, figsize=(PAGE, 2.6))
    labels = {"points": "training points $n$", "models": "models in the grid", "outputs": "outputs"}
    for axis, (panel, abscissa) in zip(axes, labels.items(), strict=True):
        part = where(table, panel=panel, computed="recorded")
        for program in dict.fromkeys(part["program"].tolist()):
            label, color, marker = PROGRAMS[program]
            rows = where(part, program=program)
            axis.plot(rows["x"], rows["share"], f"{marker}-", ms=3, lw=0.8, color=color, label=label)
            now = where(table, panel=panel, program=program, computed="now")
            axis.plot(now["x"], now["share"], marker, ms=7, mfc="none", color=color)
        axis.axhline(1.0, color=INK, lw=0.6, ls=":")
        axis.set(xscale="log", yscale="log", xlabel=abscissa)
        if panel == "points":
            axis.plot([], [], "o", ms=7, mfc="none", color=INK, label="large: this machine")
        axis.legend(loc="lower left" if panel == "points" else "upper left", handlelength=1.2)
        plain(axis.yaxis)
        plain(axis.xaxis)
    axes[1].set_xticks([10**4, 10**5, 10**6], ["10,000", "100,000", "1,000,000"])
    axes[0].set_xticks(POINTS, [f"{n:,}" for n in POINTS])
    axes[0].minorticks_off()
    axes[0].set_ylabel("CPU time / eigendecomposition")
    for axis, title in zip(axes, ("a  more points", "b  a larger grid", "c  more outputs"), strict=True):
        axis.set_title(title, loc="left")
        low, high = axis.get_ylim()
        axis.set_ylim(low / (8 if axis is axes[0] else 1), high * (1 if axis is axes[0] else 30))
    return figure


if __name__ == "__main__":
    record(lambda: stack(list(measure())), [])
