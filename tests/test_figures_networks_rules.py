"""Figures of selection rules for networks: recorded cells measured again, theory by a second route, what captions claim."""

import json
import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from empirical.table import read
from kdtheory.selection import crossing
from paper_figs import network_gap, network_scores
from paper_figs.network_gap import COLUMNS, SHARES
from paper_figs.network_scores import COMPARED, NAMES
from paper_figs.regression_data import DATA
from paper_figs.style import where
from tests.test_selection import excess_by_integration

mpl.use("agg")
FIGURES = {"scores": network_scores, "gap": network_gap}


@pytest.fixture(scope="module")
def tables():
    return {name: module.compute() for name, module in FIGURES.items()}


def gaps(tables, letter, series, **conditions):
    column = next(i for i, (title, _) in enumerate(COLUMNS) if title.startswith(letter))
    return where(tables["gap"], column=column, series=series, **conditions)


def points(tables, data, noise, share, w, method):
    return where(tables["scores"], quantity="accuracy", data=data, noise=noise, share=share, teacher_weight=w, method=method)[
        "value"
    ][0]


def test_figures_load_no_network_library():
    code = "import sys; from paper_figs import network_gap, network_scores as s; network_gap.compute(); s.compute()"
    code += "; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"torch", "jax", "empirical.experiments"}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn(tables, name):
    figure = FIGURES[name].draw(tables[name])
    figure.savefig("/dev/null", format="png")
    mpl.pyplot.close(figure)
    assert len({len(column) for column in tables[name].values()}) == 1
    assert len(FIGURES[name].__doc__.partition("\n")[0]) <= 150


def test_captions_say_how_it_was_recorded():
    how = {name: json.loads((DATA / f"{name}.json").read_text()) for name in FIGURES}
    scores, gap = (how[name]["settings"] for name in ("scores", "gap"))
    noisy = {"scores": ("digits",), "gap": ("digits", "fashion_mnist")}
    for name in FIGURES:
        assert how[name]["seeds"] == [0, 1, 2, 3, 4]
        rows = read(DATA / f"{name}.csv")
        units = {(row["data"], float(row["noise"]), row["seed"]) for row in rows}
        cells = [(data, 0.0) for data in how[name]["settings"]["data"]] + [(data, 0.2) for data in noisy[name]]
        assert units == {(*cell, seed) for cell in cells for seed in range(5)}
    assert (scores["networks"], scores["subset_networks"], scores["el2n_epoch"], scores["grand_epoch"]) == (6, 12, 2, 1)
    assert (scores["width"], scores["temperature"], scores["steps"], scores["batch"]) == (12, 4.0, 500, 32)
    assert set(scores["methods"]) == set(NAMES)
    assert (gap["width"], gap["depth"], gap["steps"], gap["batch"], gap["draws"], gap["n"]) == (128, 2, 500, 64, 200, 3000)


def test_means_are_those_of_the_recorded_rows(tables):
    rows = read(DATA / "scores.csv")
    mine = [
        row["accuracy"]
        for row in rows
        if row["data"] == "digits"
        and row["noise"] == 0.2
        and row["method"] == "ccs"
        and row.get("teacher_weight") == 0.5
        and row["keep_fraction"] == 0.1
    ]
    assert len(mine) == 5
    assert points(tables, "digits", 0.2, 0.1, 0.5, "ccs") == pytest.approx(np.mean(mine))
    pairs = where(tables["scores"], quantity="rank", data="digits")
    assert {*pairs["method"], *pairs["other"]} >= set(COMPARED)


def test_gaps_are_those_of_the_recorded_rows(tables):
    rows = [row for row in read(DATA / "gap.csv") if (row["data"], row["noise"], row["student"]) == ("digits", 0.2, "network")]

    def mean(rule, f, w):
        return np.mean(
            [
                row["error"]
                for row in rows
                if (row["rule"], row.get("keep_fraction"), row.get("teacher_weight")) == (rule, f, w)
            ]
        )

    for rule in ("hardest", "easiest"):
        for f in SHARES:
            line = gaps(tables, "c", "a fifth flipped", kind="measured", quantity="gap", rule=rule, share=f)
            for w, value in zip(line["teacher_weight"].tolist(), line["value"], strict=True):
                expected = (mean(rule, f, w) - mean("random", f, w)) / (mean(rule, f, 0) - mean("random", f, 0))
                assert value == pytest.approx(expected, rel=1e-9)
    line = gaps(tables, "c", "a fifth flipped", quantity="error", kind="measured")
    for f, value in zip(line["share"].tolist(), line["value"], strict=True):
        assert value == pytest.approx(mean("hardest", f, 0) / mean("random", f, 0), rel=1e-9)


def test_theory_by_integration(tables):
    line = where(tables["gap"], kind="theory", quantity="error")
    for f, value in list(zip(line["share"].tolist(), line["value"], strict=True))[::15]:
        assert value == pytest.approx(f + (1 - f) * excess_by_integration(f, "hardest", 0.0, 1.0, 0.0), rel=1e-6)
    scale = np.mean(
        [
            row["noisy_scale"]
            for row in read(DATA / "gap.csv")
            if row["rule"] == "teacher" and row["data"] == "digits" and row["noise"]
        ]
    )
    for f in SHARES:
        line = gaps(tables, "c", "a fifth flipped", kind="theory", quantity="gap", share=f)
        w = line["teacher_weight"][::25]
        above = np.array([excess_by_integration(f, "hardest", 0.2, scale, x) - 1 for x in (0.0, *w.tolist())])
        np.testing.assert_allclose(line["value"][::25], (1 - w) ** 2 * above[1:] / above[0], rtol=1e-5, atol=1e-9)


def test_planted_labels_obey_theory(tables):
    for data in ("kin8nm", "concrete"):
        for rule in ("hardest", "easiest"):
            line = gaps(tables, "a", data, kind="measured", quantity="gap", rule=rule, share=0.1)
            law = (1 - line["teacher_weight"]) ** 2
            assert line["clear"].all()
            assert (np.abs(line["value"] - law) < 0.03).all()
        line = gaps(tables, "a", data, kind="measured", quantity="error")
        ratio = [f + (1 - f) * excess_by_integration(f, "hardest", 0.0, 1.0, 0.0) for f in line["share"].tolist()]
        few = 0.25 if data == "concrete" else 0.1  # of its 579 rows a tenth is 58, for nine coefficients
        np.testing.assert_allclose(line["value"], ratio, rtol=few)
        left, right = line["share"] < crossing() - 0.05, line["share"] > crossing() + 0.03
        assert (line["low"][left] > 1).all()
        assert (line["high"][right] < 1).all()


def near(value, recorded, spreads=6.0):
    """Within the spread over seeds: numbers are drawn from other streams now than when this was recorded."""
    return abs(value - np.mean(recorded)) < spreads * np.std(recorded, ddof=1)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_recorded_students_of_selected_rows_are_measured_again(noise):
    torch = pytest.importorskip("torch")
    from empirical.experiments import scores

    torch.set_num_threads(1)
    settings = replace(scores.Settings(), methods=("el2n", "random"), keep_fractions=(0.1, 0.5))
    again = scores.measure(settings, {"data": "digits", "noise": noise, "seed": 1}, torch.device("cpu"))
    before = scores.by_cell([r for r in read(DATA / "scores.csv") if (r["data"], r["noise"]) == ("digits", noise)], "error")
    now = scores.by_cell([row | {"seed": 1} for row in again], "error")
    assert len(now) == 8
    for cell, error in now.items():
        assert near(error[0], before[cell]), cell
    if noise:  # the order of the rows, which no spread hides
        assert now["el2n", 0.1, 0.0][0] > 1.5 * now["random", 0.1, 0.0][0]


def test_recorded_gaps_are_measured_again():
    torch = pytest.importorskip("torch")
    from empirical.experiments import gap

    torch.set_num_threads(1)
    settings = replace(gap.Settings(), keep_fractions=(0.1,), teacher_weights=(0.0, 0.5))
    again = gap.measure(settings, {"data": "digits", "noise": 0.2, "seed": 2}, torch.device("cpu"))
    before = gap.errors_of(read(DATA / "gap.csv"), "network", "digits", 0.2)
    unit = {"data": "digits", "noise": 0.2, "seed": 2}
    now = gap.errors_of([row | unit for row in again], "network", "digits", 0.2)
    assert len(now) == 6
    for cell, error in now.items():
        assert near(error[0], before[cell]), cell
    shrunk = gap.gap(now, "hardest", 0.1, 0.5) / gap.gap(now, "hardest", 0.1, 0.0)
    recorded = gap.gap(before, "hardest", 0.1, 0.5) / gap.gap(before, "hardest", 0.1, 0.0)
    assert near(shrunk[0], recorded)
