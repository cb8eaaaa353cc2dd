"""The published gains on real regression data, recomputed; the largest comes from the order of the rows.

Varied: the data set, the number of rounds, and the order of the rows: that of the file, or random.
Tuned: repeated distillation: coefficients of 0, 1, 2 rounds by least squares on validation, and the ridge, 1e-3 to 1e5, of
least validation error; curvature test: penalty (100 from 1e-3 to 50) and weight of least error on the test rows, as the
authors take them, but for the held-out gain, whose weight comes from the first half of the test rows; the one-shot weight on
the training rows.
Seeds: 20 random splits (mean; 95 % t-intervals, smaller than the symbols); the order of the file and the authors' splits are
one split each.
Sizes: repeated distillation: 30 % of the rows to train, 30 % to validate, 40 % to test; curvature test: 5 % to train
(BlogFeedback, Communities) or the first 70 % (Air Quality), all others to test; the tables name the training rows n.

Repeated distillation: Pareek, Du & Oh (2024), table 2. Inputs and target are standardised by the training rows, the kernel
is linear. The headline gain of 47 % on Air Quality comes from the shift between the seasons that the rows train, validate
and test on, and is gone on random splits. Curvature test: Dang, Patil & Rinaldo (2026), table 2, as re-measured by a
reproduction; one round beats the best ridge where D / bend is below one. Least errors over penalty and weight: beside an
earlier run of other code, no published number. CIFAR-10 needs a network's features, which are not here.

Sets that are not at hand come from data/regression_tables_ours.csv, which this writes, with KDTHEORY_DATA set: ``python -m
paper_figs.published_tables --record FILE``
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from paper_figs.regression_data import ANALYSERS, Regression, air_quality, available, load, record, recorded
from paper_figs.regression_protocols import curvature_test, error_curves, repeated, standardised
from paper_figs.style import GREY, OKABE_ITO, PAGE, Table, half_width, stack, where

PUBLISHED, OURS = "regression_tables.csv", "regression_tables_ours.csv"
REPEATED = ("air_quality", "airfoil", "appliances_energy")
CURVATURE = ("blog_feedback", "communities_crime", "air_quality")
ROUNDS = ("ridge", "1 round", "2 rounds")
RIDGES = np.logspace(-3, 5, 9)
PENALTIES = np.logspace(-3, np.log10(50), 100)
SEEDS = 20
SCRIPT_SEED = 2026  # of the authors' scripts, NumPy's old generator
GAIN, SIZE = "gain of 2 rounds (%)", "training rows"
VERDICTS = ("holds", "positive")  # 1 for yes, 0 for no


def _repeated(name: str) -> Iterator[dict[str, Any]]:
    """Test errors of 0, 1 and 2 rounds, in the order of the file and on random splits."""
    data = air_quality(ANALYSERS) if name == "air_quality" else load(name)
    n = len(data.y)
    orders = [("sequential", 0, np.arange(n))]
    orders += [("random", seed, np.random.default_rng(seed).permutation(n)) for seed in range(SEEDS)]
    for split, seed, order in orders:
        parts = standardised(data, order, [int(0.3 * n), int(0.6 * n)])
        how = {"data": name, "split": split, "seed": seed}
        yield how | {"quantity": SIZE, "ours": float(parts[0].n)}
        errors = []
        for rounds, label in enumerate(ROUNDS):
            error, ridge = repeated(*parts, ridges=RIDGES, rounds=rounds)
            errors.append(error)
            yield how | {"quantity": f"test error, {label}", "ours": error}
            yield how | {"quantity": f"ridge chosen, {label}", "ours": ridge}
        yield how | {"quantity": GAIN, "ours": 100.0 * (1.0 - errors[2] / errors[0])}


def _curvature(name: str) -> Iterator[dict[str, Any]]:
    """The curvature test, and for Air Quality the least errors too; the authors divide by n - 1 where they standardise."""
    data = load(name)
    order, cut = _script_split(data)
    quantities = curvature_test(*standardised(data, order, [cut]), penalties=PENALTIES)
    if name == "air_quality":
        quantities |= error_curves(*standardised(data, order, [cut], ddof=1), penalties=PENALTIES)
    quantities[SIZE] = float(cut)
    for quantity, value in quantities.items():
        yield {"data": name, "split": "authors'", "seed": 0, "quantity": quantity, "ours": value}


def _script_split(data: Regression) -> tuple[NDArray[np.intp], int]:
    n = len(data.y)
    if data.name == "air_quality":
        return np.arange(n), int(0.7 * n)
    return np.random.RandomState(SCRIPT_SEED).permutation(n), int(0.05 * n)


def _measured(names: list[str]) -> Table:
    """All quantities of these data sets, computed."""
    rows = [row for name in REPEATED if name in names for row in _repeated(name)]
    rows += [row for name in CURVATURE if name in names for row in _curvature(name)]
    return stack(rows)


def compute() -> Table:
    """Ours beside the published value, per data set, quantity and split; nan where there is only one of them."""
    here = [name for name in {*REPEATED, *CURVATURE} if name in available()]
    ours = recorded(OURS)
    ours["computed"] = np.full(len(ours["data"]), "recorded")
    if here:
        kept = ~np.isin(ours["data"], here)
        fresh = _measured(here)
        fresh["computed"] = np.full(len(fresh["data"]), "now")
        earlier = {name: column[kept] for name, column in ours.items()}
        ours = stack([fresh, earlier]) if kept.any() else fresh
    published = recorded(PUBLISHED, text=("published",))
    rows: list[dict[str, Any]] = []
    for i in range(len(ours["data"])):
        row = {name: ours[name][i] for name in ("data", "split", "seed", "quantity", "ours", "computed")}
        mine = (published["data"] == row["data"]) & (published["quantity"] == row["quantity"]) & (row["split"] != "random")
        rows.append(row | _beside(float(row["ours"]), published, mine))
    for name, quantity in zip(published["data"], published["quantity"], strict=True):
        if name not in ours["data"]:
            row = {"data": name, "split": "authors'", "seed": 0, "quantity": quantity, "ours": np.nan, "computed": "not here"}
            rows.append(row | _beside(np.nan, published, (published["data"] == name) & (published["quantity"] == quantity)))
    return stack(rows)


def _beside(ours: float, published: Table, mine: NDArray[np.bool_]) -> dict[str, Any]:
    """The published value, and how many units of its last printed digit ours is off, once rounded like it."""
    if not mine.any():
        return {"published": "", "units_off": np.nan, "status": "", "source": ""}
    printed, status, source = (str(published[name][mine][0]) for name in ("published", "status", "source"))
    decimals = len(printed.partition(".")[2])
    off = abs(round(round(ours, decimals) - float(printed), decimals)) * 10.0**decimals
    return {"published": printed, "units_off": round(off, 6), "status": status, "source": source}


def draw(table: Table) -> Figure:
    """Tables with ours above published in each cell, and a panel of the sequential split beside random ones."""
    figure = plt.figure(figsize=(PAGE, 6.3))
    space = figure.add_gridspec(3, 2, width_ratios=[1.25, 1.0], height_ratios=[1.5, 1.35, 0.62])
    quantities = [f"test error, {label}" for label in ROUNDS]
    first = figure.add_subplot(space[0, 0])
    _sheet(first, where(table, split="sequential"), REPEATED, [*quantities, GAIN], [*ROUNDS, "gain (%)"])
    first.set_title("Test error, rows in the order of the file, n of them\nto train; ours above published")
    _splits(figure.add_subplot(space[0, 1]), table)
    rows = where(table, split="authors'")
    names = ["best penalty", "curvature ratio", "curvature test holds", "held-out gain (%)", "held-out gain is positive"]
    second = figure.add_subplot(space[1, :])
    heads = ["best penalty", "D / bend (< 1: holds)", "test holds", "held-out gain (%)", "gain is positive"]
    _sheet(second, rows, (*CURVATURE, "cifar10"), names, heads, left=0.17)
    second.set_title("Does one round beat the best ridge? The curvature test; ours above published")
    third = figure.add_subplot(space[2, :])
    names = [f"{start}, {label}" for label in ROUNDS[:2] for start in ("least error", "its penalty")]
    heads = ["least error, ridge", "its penalty", "least, 1 round", "its penalty", "its weight", "one-shot weight"]
    _sheet(third, rows, ("air_quality",), [*names, "its weight, 1 round", "one-shot weight there"], heads, left=0.17)
    third.set_title("Least test error over penalty and weight, order of the file; ours above an earlier run")
    figure.suptitle(_summary(table), fontsize=8.5)
    return figure


def _summary(table: Table) -> str:
    """What the 47 % are, in one line, from the table."""
    gains = where(table, data="air_quality", quantity=GAIN)
    ordered, shuffled = (where(gains, split=split)["ours"].mean() for split in ("sequential", "random"))
    now = "computed now" if (gains["computed"] == "now").all() else "recorded results"
    return (
        f"Two rounds on Air Quality gain {ordered:.0f} % in the order of the file, {shuffled:.2f} % on {SEEDS} random splits "
        f"({now})\nBlue: the printed digits; yellow: one unit of the last one off; orange: more; grey: not comparable"
    )


def _sheet(
    axis: Axes, rows: Table, names: tuple[str, ...], quantities: list[str], heads: list[str], left: float = 0.28
) -> None:
    """A table of data sets by quantities."""
    axis.axis("off")
    cells, colors = [], []
    for name in names:
        entries = [where(rows, data=name, quantity=quantity) for quantity in quantities]
        cells.append([_cell(entry) for entry in entries])
        colors.append([_shade(entry) for entry in entries])
    sheet = axis.table(
        cells,
        cellColours=colors,
        rowLabels=[_label(where(rows, data=name), quantities) for name in names],
        colLabels=heads,
        cellLoc="center",
        bbox=Bbox.from_bounds(left, 0.0, 1.0 - left, 1.0),
    )
    sheet.auto_set_font_size(False)
    sheet.set_fontsize(6.5)
    for cell in sheet.get_celld().values():
        cell.set_linewidth(0.4)


def _cell(entry: Table) -> str:
    ours, printed = float(entry["ours"][0]), str(entry["published"][0])
    if str(entry["quantity"][0]).endswith(VERDICTS):
        ours_text, printed = ("yes" if ours else "no"), ("yes" if float(printed) else "no")
    else:
        decimals = len(printed.partition(".")[2]) + 1 if printed else 2
        ours_text = f"{ours:.{decimals}f}"
    return f"{ours_text if np.isfinite(ours) else 'not here'}\n{printed or 'not given'}"


def _shade(entry: Table) -> str:
    if not entry["published"][0]:
        return "#ffffff"
    if str(entry["status"][0]).startswith("recalled") or not np.isfinite(entry["ours"][0]):
        return GREY + "40"
    units, verdict = float(entry["units_off"][0]), str(entry["quantity"][0]).endswith(VERDICTS)
    if units == 0:
        return OKABE_ITO[5] + "40"
    return OKABE_ITO[4] + "50" if units == 1 and not verdict else OKABE_ITO[1] + "70"


def _label(rows: Table, quantities: list[str]) -> str:
    """The data set, and where the values beside ours come from if not from the paper's print."""
    name, size = str(rows["data"][0]).replace("_", " "), where(rows, quantity=SIZE)["ours"]
    name += f", n = {size[0]:.0f}" if len(size) else ""
    shown = rows["status"][np.isin(rows["quantity"], quantities)]
    status = next((str(s) for s in shown if s and s != "printed"), "")
    return f"{name}\n({status})" if status else name


def _splits(axis: Axes, table: Table) -> None:
    """Test error against rounds: sequential filled, random hollow with its interval."""
    for k, name in enumerate(REPEATED):
        for split, style in (("sequential", {"mfc": OKABE_ITO[k], "ls": "-"}), ("random", {"mfc": "white", "ls": ":"})):
            block = where(table, data=name, split=split)
            values = np.array([where(block, quantity=f"test error, {label}")["ours"] for label in ROUNDS])
            half = half_width(values, axis=1) if values.shape[1] > 1 else None
            label = name.replace("_", " ") if split == "sequential" else "_nolegend_"
            how: dict[str, Any] = {"fmt": "os^"[k], "ms": 3.5, "lw": 0.8, "color": OKABE_ITO[k], "label": label} | style
            axis.errorbar(np.arange(3) + 0.05 * (k - 1), values.mean(axis=1), yerr=half, **how)
    axis.plot([], [], "o:", ms=3.5, color=GREY, mfc="white", label=f"{SEEDS} random splits")
    axis.set(yscale="log", ylabel="test error (target variance 1)", ylim=(0.2, 4.5))
    axis.set_xticks(range(3), ROUNDS)
    axis.set_yticks([0.25, 0.5, 1.0, 2.0])
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.legend(ncols=2, loc="upper right", fontsize=6.5, columnspacing=1.0)
    axis.set_title("Filled: order of the file;\nhollow: random splits")


if __name__ == "__main__":
    record(lambda: _measured([*REPEATED, *CURVATURE]), [*REPEATED, *CURVATURE])
