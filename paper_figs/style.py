"""One look for every figure: column width, colours that survive colour blindness and grey print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray
from scipy import stats

Table = dict[str, NDArray[Any]]

COLUMN, PAGE = 3.4, 7.0  # widths in inches
INK, GREY = "#222222", "#999999"
OKABE_ITO = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]

RC: Any = {
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.prop_cycle": cycler(color=OKABE_ITO),
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "figure.constrained_layout.use": True,
    "mathtext.fontset": "cm",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}


def round_colors(count: int) -> list[Any]:
    """One colour per round, dark to light."""
    return [mpl.colormaps["viridis"](x) for x in np.linspace(0.0, 0.9, count)]


def round_label(t: float, rounds: int) -> str:
    """Legend entry of round t; of many rounds only some are named."""
    return f"round {t:.0f}" if t % max(1, -(-rounds // 8)) == 0 else "_nolegend_"


def plain(axis: Any, *, every: int = 1) -> None:
    """Powers of ten on a logarithmic x or y axis as numbers, 0.01 or 1,000, or every so many of them; no minor ticks."""
    axis.set_major_locator(LogLocator(base=10.0**every, numticks=99))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())


def where(table: Table, **conditions: Any) -> Table:
    """Rows of a table where each named column has the given value."""
    keep = np.ones(len(next(iter(table.values()))), dtype=bool)
    for name, value in conditions.items():
        keep &= table[name] == value
    return {name: column[keep] for name, column in table.items()}


def half_width(values: Any, axis: int = 0) -> NDArray[np.float64]:
    """Half of the 95 % t-interval of the mean along an axis."""
    return np.asarray(stats.sem(values, axis=axis) * stats.t.ppf(0.975, np.shape(values)[axis] - 1))


def stack(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Tables with the same columns, one below the other; single values are repeated to the length of the block."""
    blocks = []
    for row in rows:
        length = max(np.size(column) for column in row.values())
        blocks.append({name: np.broadcast_to(np.asarray(column).ravel(), length) for name, column in row.items()})
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
