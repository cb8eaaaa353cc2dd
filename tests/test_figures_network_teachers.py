"""Teachers' widths and shares in trained networks: what captions claim, by a second route, and cells measured again."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats

from paper_figs import network_capacity, network_teacher_fraction, regression_data
from paper_figs.regression_data import recorded
from paper_figs.style import where

mpl.use("agg")
DATA, LOSSES = ("digits", "fashion_mnist"), ("squared", "cross_entropy")


@pytest.fixture(scope="module")
def shares():
    return recorded(network_teacher_fraction.RECORD, text=("data", "loss"))


@pytest.fixture(scope="module")
def widths():
    return recorded(network_capacity.RECORD, text=("data", "loss", "teacher"))


@pytest.fixture(scope="module")
def drawn_shares():
    return network_teacher_fraction.compute()


@pytest.fixture(scope="module")
def drawn_widths():
    return network_capacity.compute()


def settings(record):
    return json.loads((Path(regression_data.DATA) / record.replace(".csv", ".json")).read_text(encoding="utf-8"))["settings"]


def as_tuples(given):
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def by_seed(table, column, **conditions):
    """One value for each seed."""
    rows = where(table, **conditions)
    return np.array([float(rows[column][rows["seed"] == seed][0]) for seed in np.unique(rows["seed"])])


def paired(a, b):
    """Mean difference and its interval, by SciPy's paired test."""
    found = stats.ttest_rel(a, b)
    low, high = found.confidence_interval(0.95)
    return np.mean(a) - np.mean(b), low, high


def test_figures_load_no_network_library():
    code = "import sys, paper_figs.network_capacity as c, paper_figs.network_teacher_fraction as f; c.compute(); f.compute(); "
    loaded = subprocess.run([sys.executable, "-c", code + "print(*sys.modules)"], capture_output=True, text=True, check=True)
    assert not set(loaded.stdout.split()) & {"torch", "jax", "empirical.experiments"}


def test_captions_name_the_settings():
    how = settings(network_teacher_fraction.RECORD)
    said = network_teacher_fraction.__doc__
    assert f"Seeds: {how['seeds']}, " in said
    assert (how["mlp_width"], how["mlp_steps"], how["mlp_rate"], how["mlp_batch"]) == (128, 500, 0.1, 64)
    assert (how["cnn_width"], how["cnn_steps"], how["cnn_rate"], how["cnn_batch"]) == (12, 500, 0.002, 32)
    assert (how["n"], how["n_validation"], how["n_test"], how["side"]) == (2000, 700, 4000, 14)
    how, said = settings(network_capacity.RECORD), network_capacity.__doc__
    assert f"Seeds: {how['seeds']}, " in said
    assert (how["mlp_width"], how["cnn_width"], how["mlp_steps"], how["cnn_steps"]) == (64, 12, 500, 500)
    assert how["mlp_teacher_steps"] == how["cnn_teacher_steps"] == 1000
    assert (how["mlp_teacher_widths"][0], how["mlp_teacher_widths"][-1]) == (8, 256)
    assert (how["cnn_teacher_widths"][0], how["cnn_teacher_widths"][-1]) == (2, 32)
    assert (how["n"], how["n_validation"], how["n_test"], how["side"]) == (3000, 1000, 4000, 14)


def test_every_cell_has_every_seed(shares, widths):
    for table in (shares, widths):
        columns = [name for name in ("noise", "keep_fraction", "seen", "teacher", "teacher_weight") if name in table]
        for data, loss in product(DATA, LOSSES):
            here = where(table, data=data, loss=loss)
            cells = set(zip(*(here[name].tolist() for name in columns), strict=True))
            seeds = set(here["seed"].tolist())
            assert len(seeds) == 8
            assert len(here["seed"]) == len(cells) * len(seeds)


def test_changes_are_paired_differences(shares, drawn_shares):
    rng = np.random.default_rng(0)
    rows = where(drawn_shares, kind="change")
    for i in rng.choice(len(rows["value"]), 40, replace=False):
        about = {name: rows[name][i] for name in ("data", "noise", "loss", "keep_fraction", "teacher_weight")}
        column = "accuracy" if about["loss"] == "cross_entropy" else {"network": "error"}.get(rows["source"][i], "kernel")
        at, own = (by_seed(shares, column, seen=seen, **about) for seen in (rows["seen"][i], about["keep_fraction"]))
        a, b = (-100 * at, -100 * own) if column == "accuracy" else (100 * np.log(at), 100 * np.log(own))
        if rows["seen"][i] == about["keep_fraction"]:
            assert rows["value"][i] == rows["low"][i] == rows["high"][i] == 0
        else:
            np.testing.assert_allclose(
                [rows[name][i] for name in ("value", "low", "high")], paired(a, b), rtol=1e-6, atol=1e-9
            )


def test_costs_of_widths_are_paired_differences(widths, drawn_widths):
    rng = np.random.default_rng(0)
    rows = {name: column[np.isin(drawn_widths["kind"], ["width", "step"])] for name, column in drawn_widths.items()}
    for i in rng.choice(len(rows["value"]), 40, replace=False):
        about = {name: rows[name][i] for name in ("data", "loss", "keep_fraction", "teacher_weight")}
        names = f"{rows['kind'][i]} {rows['x'][i]:.0f}", f"width {rows['student_width'][i]:.0f}"
        if names[0] == names[1]:
            continue
        column = "accuracy" if about["loss"] == "cross_entropy" else "error"
        a, b = (by_seed(widths, column, teacher=name, **about) for name in names)
        a, b = (-100 * a, -100 * b) if column == "accuracy" else (100 * np.log(a), 100 * np.log(b))
        np.testing.assert_allclose([rows[name][i] for name in ("value", "low", "high")], paired(a, b), rtol=1e-6, atol=1e-9)


def test_what_is_reached_is_a_ratio_of_means(shares, drawn_shares):
    for rows in (where(drawn_shares, kind="reached", source=source) for source in ("network", "kernel")):
        for i in range(len(rows["value"])):
            about = {name: rows[name][i] for name in ("data", "noise", "loss", "keep_fraction")}
            column = "accuracy" if about["loss"] == "cross_entropy" else {"network": "error"}.get(rows["source"][i], "kernel")
            of = np.negative if column == "accuracy" else np.log
            mean = {}
            for seen in (about["keep_fraction"], rows["seen"][i], 1.0):
                here = where(shares, seen=seen, **about)
                mean[seen] = np.mean(of(here[column]))
            own = mean[about["keep_fraction"]]
            expected = (own - mean[rows["seen"][i]]) / (own - mean[1.0])
            assert rows["value"][i] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_best_width_rises_with_the_kept_share_but_for_cross_entropy_on_digits(drawn_widths):
    best = where(drawn_widths, kind="best")
    for data, loss, w in product(DATA, LOSSES, (0.5, 1.0)):
        here = where(best, data=data, loss=loss, teacher_weight=w)
        rises = here["value"][here["x"] == 1.0][0] > here["value"][here["x"] == 0.05][0]
        assert rises or (data, loss) == ("digits", "cross_entropy")
    apart = where(best, loss="squared", teacher_weight=0.5)
    for data in DATA:
        here = where(apart, data=data)
        assert here["high"][here["x"] == 0.05][0] < here["low"][here["x"] == 1.0][0]


def test_no_smaller_teacher_is_better_and_larger_ones_harm_where_least_is_kept(drawn_widths):
    rows = where(drawn_widths, kind="width")
    for data, loss in product(DATA, LOSSES):
        here = where(rows, data=data, loss=loss)
        few = {name: column[here["keep_fraction"] <= 0.1] for name, column in here.items()}
        assert (few["high"][few["x"] < few["student_width"]] > 0).all()
        least = where(here, keep_fraction=0.05, teacher_weight=0.5)
        if (data, loss) != ("digits", "cross_entropy"):
            assert least["low"][np.argmax(least["x"])] > 0


def test_students_are_better_for_teachers_that_saw_more(drawn_shares):
    rows = where(drawn_shares, kind="change", seen=1.0)
    of_networks = where(rows, source="network")
    assert (of_networks["value"] < 0).all()
    assert np.mean(of_networks["high"] < 0) > 0.9
    half = where(drawn_shares, kind="reached", seen=0.5, source="network")
    assert (half["value"] > 0.5).all()
    for data, noise in product(DATA, (0.0, 0.2)):
        here = where(rows, data=data, noise=noise, loss="squared")
        network, kernel = (where(here, source=source)["value"].mean() for source in ("network", "kernel"))
        assert 0.75 < network / kernel < 1.25


def test_recorded_networks_are_measured_again(shares, widths):
    torch = pytest.importorskip("torch")
    from empirical.experiments import teacher_capacity, teacher_fraction

    small = {"seen_fractions": (0.25,), "keep_fractions": (0.1,), "noises": (0.0,), "teacher_weights": (1.0,)}
    how = replace(teacher_fraction.Settings(**as_tuples(settings(network_teacher_fraction.RECORD))), **small)
    for row in teacher_fraction.measure(how, {"data": "digits", "loss": "squared", "seed": 0}, torch.device("cpu")):
        names = ("noise", "keep_fraction", "seen", "teacher_weight")
        before = where(shares, data="digits", loss="squared", seed=0, **{name: row[name] for name in names})
        for name in ("error", "accuracy", "teacher_error", "kernel", "fed"):
            np.testing.assert_allclose(before[name], [row[name]], rtol=1e-2, err_msg=name)
        np.testing.assert_allclose(before["kernel"], [row["kernel"]], rtol=1e-5)

    small = {"keep_fractions": (0.05,), "cnn_teacher_widths": (12,), "early": (0.02,), "teacher_weights": (1.0,)}
    how = replace(teacher_capacity.Settings(**as_tuples(settings(network_capacity.RECORD))), **small)
    for row in teacher_capacity.measure(how, {"data": "digits", "loss": "cross_entropy", "seed": 0}, torch.device("cpu")):
        names = ("keep_fraction", "teacher", "teacher_weight")
        before = where(widths, data="digits", loss="cross_entropy", seed=0, **{name: row[name] for name in names})
        np.testing.assert_allclose(before["error"], [row["error"]], rtol=2e-2, err_msg=row["teacher"])


def test_figures_are_drawn(drawn_shares, drawn_widths):
    for module, table in ((network_teacher_fraction, drawn_shares), (network_capacity, drawn_widths)):
        figure = module.draw(table)
        assert len(figure.axes) == 12
        figure.savefig("/dev/null", format="png")
        mpl.pyplot.close(figure)
