"""People's mistakes beside flips: points and lines by another route, what the caption says, a cell measured anew."""

import json
from dataclasses import asdict, replace

import matplotlib as mpl
import numpy as np
import pytest
from scipy import optimize, stats

from paper_figs import network_human_noise
from paper_figs.network_human_noise import LOSSES, TEXT, vertex
from paper_figs.regression_data import DATA, recorded
from paper_figs.style import where

mpl.use("agg")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def table():
    return network_human_noise.compute()


@pytest.fixture(scope="module")
def rows():
    columns = recorded("network_human_noise.csv", text=TEXT)
    return {name: column if name in TEXT else network_human_noise._numbers(column) for name, column in columns.items()}


def test_what_is_drawn_is_complete(table):
    assert {len(column) for column in table.values()} == {len(table["value"])}
    figure = network_human_noise.draw(table)
    assert len(figure.axes) == 6
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in figure.axes)
    figure.savefig("/dev/null", format="png")
    mpl.pyplot.close(figure)


def test_the_lowest_point_of_a_parabola_by_search():
    for c in RNG.normal(size=(40, 3)):
        grid, at = np.linspace(0, 1.25, 26), lambda w, c=c: np.polynomial.polynomial.polyval(w, c)
        near, value = optimize.minimize_scalar(at, bounds=(0, 1.25), method="bounded"), at(grid)
        best = near.x if near.fun < value.min() else grid[np.argmin(value)]
        assert vertex(c, 0.0, 1.25) == pytest.approx(best, abs=1e-4)


def test_points_are_means_with_students_intervals(table, rows):
    about = {"loss": "cross_entropy", "labels": "worst", "noise": "human", "keep_fraction": 0.1}
    errors = where(rows, **about, teacher_weight=0.7)["error"]
    assert len(errors) == 5
    drawn = where(table, **about, quantity="error", x=0.7)
    expected = [errors.mean(), *stats.t.interval(0.95, 4, errors.mean(), stats.sem(errors))]
    np.testing.assert_allclose([drawn[name][0] for name in ("value", "low", "high")], expected)


def test_lines_go_through_their_two_students(table):
    for loss in LOSSES:
        for noise in ("human", "symmetric", "class_dependent"):
            here = where(table, loss=loss, labels="worst", noise=noise, keep_fraction=0.1)
            line, points = where(here, quantity="prediction"), where(here, quantity="error")
            for w in (0.0, 1.0):
                at = np.interp(w, line["x"], line["value"])
                assert at == pytest.approx(points["value"][points["x"] == w][0], rel=2e-3)


def test_rates_of_mistakes_are_those_of_the_paper_and_of_the_flips(rows):
    def rate(labels, noise):
        return np.nanmean(where(rows, labels=labels, noise=noise)["rate"])

    for labels, of_the_paper in (("aggre", 0.0903), ("random1", 0.1723), ("worst", 0.4021)):
        assert rate(labels, "human") == pytest.approx(of_the_paper, abs=0.01)
        assert rate(labels, "symmetric") == pytest.approx(rate(labels, "human"), abs=1e-6)
    assert rate("clean", "none") == 0


def test_the_recorded_settings_are_the_modules_own():
    module = pytest.importorskip("empirical.experiments.human_noise")
    known = json.loads((DATA / "network_human_noise.json").read_text(encoding="utf-8"))["settings"]
    assert known == json.loads(json.dumps(asdict(module.Settings())))


def test_a_recorded_cell_is_measured_again(rows):
    """Up to its minibatches, which draw other numbers now."""
    torch = pytest.importorskip("torch")
    from empirical.experiments import human_noise

    settings = replace(human_noise.Settings(), labels=(("clean", "none"),), keep_fractions=(0.1,), teacher_weights=(0.0, 1.0))
    again = human_noise.measure(settings, {"loss": "squared", "seed": 1}, torch.device("cpu"))
    if "missing" in again[0]:
        pytest.skip(again[0]["missing"])
    before = where(rows, loss="squared", seed=1, labels="clean", noise="none", keep_fraction=0.1)
    for row in again[:2]:
        then = where(before, teacher_weight=row["teacher_weight"])
        assert then["error"][0] == pytest.approx(row["error"], rel=0.03)
        assert then["accuracy"][0] == pytest.approx(row["accuracy"], abs=0.05)


# ---- what the caption and the verdicts say


def test_the_best_weight_rises_as_less_is_kept(table):
    for loss in LOSSES:
        for labels in ("clean", "aggre", "random1", "worst"):
            here = where(table, loss=loss, labels=labels, quantity="weight", noise="none" if labels == "clean" else "human")
            assert (np.diff(here["value"][np.argsort(here["x"])]) < 0).all()


def test_distillation_gains_with_a_tenth_kept(table):
    here = where(table, quantity="gain", keep_fraction=0.1)
    assert (here["value"] > 0.02).all()
    assert (where(here, loss="squared")["low"] > 0).all()


def test_students_of_squared_loss_are_nearly_affine_in_their_weight(rows):
    squared, cross_entropy = (where(rows, loss=loss)["superposition"] for loss in LOSSES)
    assert np.nanmax(squared) < 0.15
    assert np.nanmean(cross_entropy) > 2 * np.nanmean(squared)
