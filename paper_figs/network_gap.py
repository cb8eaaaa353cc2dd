"""Trained students: how the gap between selection rules shrinks under distillation, and where hard rows beat random ones.

Varied: the rule that keeps rows (hardest or easiest, against random), the kept share f, the teacher weight w, the data, and
the share of labels flipped (0 or a fifth).
Tuned: nothing; the networks' teachers are stopped on validation labels as noisy as their own.
Seeds: 5 (split, noise, networks), paired; a: 200 draws of the planted labels in each. Intervals of ratios: 95 % bootstrap
over seeds, corrected for their number.
Sizes: 3,000 training rows (concrete 579, digits 1,011), up to 1,000 to validate and 4,000 to test; networks of 2 hidden
layers of 128, NTK parameterisation, squared loss, 500 steps of 64 rows.

Above: error of students on the hardest (circles) or easiest (triangles) tenth (filled) and half (open) of the rows less that
of students on random rows, relative to the same at w = 0; drawn where the 95 % interval of the latter excludes zero. Lines:
(1 - w)², the law for least squares and equally noisy labels, and dotted 1 - w; dashed in c and d, the closed form for the
hardest tenth and half where a fifth of the labels is noisier, by as much as the teacher's residuals are larger there. Below:
error on hardest over error on random rows without distillation; line in a: closed form, large-sample limit; vertical, where
it says that they cross. a: least squares on real inputs and planted labels (the linear fit of the real ones and equal
Gaussian noise), errors against the signal. b to d: networks; teacher: the same network on all rows; rules look at its
residuals. c, d: errors against true labels; b: against the labels as they are.

All settings are chosen here. Not run: other widths, other scores, more than 5 seeds. Recorded in data/gap.csv, measured anew
by ``python -m paper_figs network_gap --recompute``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from empirical.intervals import Estimate, crossed_interval
from empirical.table import read
from kdtheory.selection import crossing, excess_over_random, gap_ratio
from paper_figs.regression_data import DATA
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where

Floats = NDArray[np.float64]

SHARES = (0.1, 0.5)  # of the upper row
RULES = {"hardest": "o", "easiest": "^"}
#: Columns: title, and series by name: student, data, label noise.
COLUMNS: tuple[tuple[str, dict[str, tuple[str, str, float]]], ...] = (
    ("a  least squares,\nregression", {name: ("planted", name, 0.0) for name in ("kin8nm", "concrete")}),
    ("b  networks,\nregression", {name: ("network", name, 0.0) for name in ("kin8nm", "concrete")}),
    *(
        (f"{letter}  networks,\n{title}", {"clean labels": ("network", name, 0.0), "a fifth flipped": ("network", name, 0.2)})
        for letter, title, name in (("c", "digits", "digits"), ("d", "Fashion-MNIST", "fashion_mnist"))
    ),
)
LINE = np.linspace(0.0, 0.999, 101)
KEPT = np.linspace(0.05, 0.95, 91)
INKS = (OKABE_ITO[0], OKABE_ITO[1])


def compute() -> Table:
    """Gap ratios by weight and error ratios by share, measured with intervals and in theory, by column and series."""
    teachers, students = measured(DATA / "gap.csv")
    rows: list[dict[str, Any]] = []
    for column, (_, series) in enumerate(COLUMNS):
        for name, (student, data, noise) in series.items():
            here = where(students, student=student, data=data, noise=noise)
            errors = {rule: by_seed(here, rule) for rule in (*RULES, "random")}
            shares, weights = (np.unique(where(here, rule="random")[key]) for key in ("keep_fraction", "teacher_weight"))
            of = {"column": column, "series": name}
            for rule in RULES:
                gaps = errors[rule] - errors["random"]  # (S, shares, weights)
                for f in SHARES:
                    at = gaps[:, int(np.flatnonzero(shares == f)[0])]
                    clear = abs(at[:, 0].mean()) > half_width(at[:, 0])
                    found = [ratio(at[:, i], at[:, 0]) for i in range(len(weights))]
                    rows.append(
                        of
                        | {"quantity": "gap", "kind": "measured", "rule": rule, "share": f, "clear": clear}
                        | _columns(weights, found)
                    )
            found = [ratio(errors["hardest"][:, i, 0], errors["random"][:, i, 0]) for i in range(len(shares))]
            rows.append(
                of
                | {"quantity": "error", "kind": "measured", "rule": "hardest", "share": shares, "clear": True}
                | _columns(0.0, found)
            )
            if noise:
                scale = float(np.mean(where(teachers, data=data, noise=noise)["noisy_scale"]))
                how: dict[str, Any] = {"noisy_share": noise, "noisy_scale": scale}
                for f in SHARES:
                    above = [excess_over_random(f, teacher_weight=w, **how) - 1 for w in LINE.tolist()]
                    value = gap_ratio(LINE) * np.array(above) / above[0]
                    rows.append(of | _theory("gap", f, LINE, value))
    rows.append({"column": 0, "series": "theory"} | _theory("error", KEPT, 0.0, KEPT + (1 - KEPT) * excess_over_random(KEPT)))
    return stack(rows)


def measured(path: Path) -> tuple[Table, Table]:
    """The recorded rows of teachers and of students."""
    rows = read(path)
    parts = ([row for row in rows if ("teacher_weight" in row) == student] for student in (False, True))
    teachers, students = ({name: np.array([row[name] for row in part]) for name in shared(part)} for part in parts)
    return teachers, students


def shared(rows: list[dict[str, Any]]) -> list[str]:
    """Columns that every row has; the teacher of a regression has no accuracy."""
    return [name for name in rows[0] if all(name in row for row in rows)]


def by_seed(table: Table, rule: str) -> Floats:
    """Errors of a rule, (S, shares, weights)."""
    here = where(table, rule=rule)
    order = np.lexsort((here["teacher_weight"], here["keep_fraction"], here["seed"]))
    size = (len(np.unique(here["seed"])), len(np.unique(here["keep_fraction"])), -1)
    return np.reshape(np.asarray(here["error"], dtype=np.float64)[order], size)


def ratio(above: Floats, below: Floats) -> Estimate:
    """Of two means over the same seeds."""
    pairs = np.stack([above, below], axis=-1)[:, None]
    return crossed_interval(pairs, lambda mean: mean[..., 0] / mean[..., 1], rng=np.random.default_rng(0))


def _columns(weights: Any, found: list[Estimate]) -> dict[str, Any]:
    ends = {name: [getattr(each, name) for each in found] for name in ("value", "low", "high")}
    return {"teacher_weight": weights, **ends}


def _theory(quantity: str, share: Any, weight: Any, value: Floats) -> dict[str, Any]:
    return {
        **{"quantity": quantity, "kind": "theory", "rule": "hardest", "share": share, "clear": True},
        **{"teacher_weight": weight, "value": value, "low": value, "high": value},
    }


def draw(table: Table) -> Figure:
    """Gap ratios above, error ratios below; a column per setting."""
    figure, axes = plt.subplots(2, len(COLUMNS), figsize=(PAGE, 5.0), sharey="row", sharex="row", height_ratios=(1.35, 1))
    for column, (title, series) in enumerate(COLUMNS):
        above, below = axes[:, column]
        here = where(table, column=column)
        _laws(above, below, column, where(here, kind="theory"))
        for i, (name, ink) in enumerate(zip(series, INKS, strict=True)):
            points = where(here, kind="measured", series=name)
            for j, (rule, marker) in enumerate(RULES.items()):
                for k, f in enumerate(SHARES):
                    line = where(points, quantity="gap", rule=rule, share=f, clear=True)
                    shift = 0.012 * (2 * i + j - 1.5 + 0.5 * k)
                    _points(above, line["teacher_weight"] + shift, line, color=ink, marker=marker, mfc=(ink, "white")[k])
            line = where(points, quantity="error")
            _points(below, line["share"] + 0.008 * (2 * i - 1), line, color=ink, marker="o", mfc=ink, label=name)
        above.set(title=title, xlabel="teacher weight $w$", xticks=[0, 0.5, 1])
        below.set(xlabel="kept share $f$", yscale="log")
        below.set_yticks([0.25, 0.5, 1, 2, 4, 8], ["0.25", "0.5", "1", "2", "4", "8"], minor=False)
        below.minorticks_off()
        below.legend(loc="upper right", handletextpad=0.1, borderaxespad=0.1)
    axes[0, 0].set(xlim=(-0.05, 1.08), ylim=(-2.3, 2.6), ylabel="gap to random rows, relative")
    axes[1, 0].set(xlim=(0.03, 0.77), ylim=(0.17, 9), ylabel="error, hardest / random")
    figure.legend(
        handles=_handles(), loc="outside lower center", ncols=7, columnspacing=1.0, handletextpad=0.4, handlelength=1.8
    )
    return figure


def _laws(above: Axes, below: Axes, column: int, theory: Table) -> None:
    above.axhline(0.0, color=GREY, lw=0.5)
    above.plot(LINE, gap_ratio(LINE), color=INK, lw=1.0, zorder=1)
    above.plot(LINE, 1 - LINE, color=INK, lw=0.8, ls=":", zorder=1)
    for f in SHARES if column > 1 else ():
        line = where(theory, quantity="gap", share=f)
        above.plot(line["teacher_weight"], line["value"], color=INKS[1], lw=0.9, ls="--", zorder=1)
    below.axhline(1.0, color=GREY, lw=0.5)
    below.axvline(crossing(), color=GREY, lw=0.5)
    line = where(theory, quantity="error")
    below.plot(line["share"], line["value"], color=INK, lw=1.0, zorder=1)


def _points(axis: Axes, x: Floats, line: Table, **style: Any) -> None:
    spread = np.abs(np.stack([line["low"], line["high"]]) - line["value"])
    axis.errorbar(x, line["value"], spread, ls="", ms=3.2, mew=0.8, lw=0.7, **style)


def _handles() -> list[Line2D]:
    rules = [Line2D([], [], color=INK, marker=marker, ls="", ms=4, label=rule) for rule, marker in RULES.items()]
    faces = zip(SHARES, (INK, "white"), strict=True)
    shares = [
        Line2D([], [], color=INK, marker="D", ls="", ms=3.5, mfc=face, label=f"{100 * f:.0f} % kept") for f, face in faces
    ]
    return [
        *rules,
        *shares,
        Line2D([], [], color=INK, lw=1.0, label="closed form, $(1-w)^2$ above"),
        Line2D([], [], color=INK, lw=0.8, ls=":", label="$1-w$"),
        Line2D([], [], color=INKS[1], lw=0.9, ls="--", label="closed form, flipped labels"),
    ]
