"""Rounds of trained networks: points and lines by another route, what the caption says, a cell measured anew."""

import json
from dataclasses import asdict, replace

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats

from paper_figs import network_rounds
from paper_figs.regression_data import DATA, recorded
from paper_figs.style import where

mpl.use("agg")
TEXT = ("data", "learner")


@pytest.fixture(scope="module")
def table():
    return network_rounds.compute()


@pytest.fixture(scope="module")
def rows():
    return recorded("network_rounds.csv", text=TEXT)


def test_what_is_drawn_is_complete(table):
    assert {len(column) for column in table.values()} == {len(table["value"])}
    figure = network_rounds.draw(table)
    assert len(figure.axes) == 9
    assert all(axis.get_xlabel() == "round" for axis in figure.axes)
    figure.savefig("/dev/null", format="png")
    mpl.pyplot.close(figure)


def test_points_are_means_of_paired_ratios(table, rows):
    here = where(rows, data="fashion_mnist", learner="anew", noise=0.4)
    first, third = where(here, round=0), where(here, round=3, teacher_weight=1.0)
    assert first["seed"].tolist() == third["seed"].tolist() == list(range(8))
    logs = np.log(third["error"]) - np.log(first["error"])
    ends = stats.t.interval(0.95, 7, logs.mean(), stats.sem(logs))
    drawn = where(table, data="fashion_mnist", learner="anew", noise=0.4, teacher_weight=1.0, round=3, quantity="error")
    np.testing.assert_allclose([drawn[name][0] for name in ("value", "low", "high")], np.exp([logs.mean(), *ends]))
    assert (where(table, round=0, quantity="error")["value"] == 1).all()


def test_the_recorded_settings_are_the_modules_own_but_for_the_chains():
    module = pytest.importorskip("empirical.experiments.rounds")
    known = json.loads((DATA / "network_rounds.json").read_text(encoding="utf-8"))["settings"]
    ours = json.loads(json.dumps(asdict(module.Settings())))
    assert {key for key in known if known[key] != ours[key]} == {"chains"}
    missing = {(data, learner) for data in network_rounds.NAMES for learner in ("kernel", *network_rounds.LEARNERS)}
    assert missing - {tuple(chain) for chain in known["chains"]} == {("fashion_mnist", "same")}


def test_the_kernels_line_by_solving_for_every_step():
    """The filter as a polynomial of the kernel, step by step on vectors, instead of on eigenvalues."""
    module = pytest.importorskip("empirical.experiments.rounds")
    import kdtheory as kd
    from empirical.data import load
    from empirical.pruned import Labelled, drawn

    settings = module.Settings()
    part = drawn(load("digits"), n=settings.n, n_validation=100, n_test=settings.n_test, seed=0)
    data, how = Labelled.flipped(part, rate=0.0, seed=0), module.family(settings, "kernel")  # flips draw other numbers now
    X, X_test = (points.reshape(len(points), -1).astype(float) for points in (part.X, part.X_test))
    K, k, y = kd.kernels.ntk(X, depth=2), kd.kernels.ntk(X_test, X, depth=2), data.coded(data.y).astype(float)
    target, rows = y, where(recorded("network_rounds.csv", text=TEXT), data="digits", learner="kernel", seed=0, noise=0.0)
    for t in (0, 1):
        dual, v = np.zeros_like(y), np.zeros_like(y)
        for step in range(settings.mlp_steps):
            gradient = (K @ dual - target) / len(X)
            v = 0.9 * v + gradient
            dual = dual - how.recipe.rate(step, settings.mlp_steps) * (gradient + 0.9 * v)
        (error,) = where(rows, round=t, teacher_weight=1.0 if t else 0.0)["error"]
        assert np.mean((k @ dual - data.coded(part.y_test)) ** 2) == pytest.approx(error, rel=1e-5)
        target = K @ dual


def test_a_recorded_network_is_measured_again(rows):
    """Up to its minibatches, which draw other numbers now."""
    torch = pytest.importorskip("torch")
    from empirical.experiments import rounds

    settings = replace(rounds.Settings(), noises=(0.0,), teacher_weights=(1.0,), rounds=1)
    again = rounds.measure(settings, {"data": "digits", "learner": "same", "seed": 2}, torch.device("cpu"))
    before = where(rows, data="digits", learner="same", seed=2, noise=0.0)
    for row in again:
        then = where(before, round=row["round"], teacher_weight=row["teacher_weight"])
        for name in ("error", "size", "distance"):
            assert float(then[name][0]) == pytest.approx(row[name], rel=0.03), name


# ---- what the caption and the verdicts say


def change(table, learner, noise, t, data="digits"):
    here = where(table, data=data, learner=learner, noise=noise, teacher_weight=1.0, quantity="error", round=t)
    return here["low"][0], here["high"][0]


def test_without_noise_it_hurts_and_with_noise_the_first_round_helps(table):
    for learner in ("kernel", "same", "anew"):
        assert change(table, learner, 0.0, 5)[0] > 1
        assert change(table, learner, 0.4, 1)[1] < 1
    assert change(table, "anew", 0.4, 1, "fashion_mnist")[1] < 1


def test_the_kernels_round_0_fits_more_than_half_of_the_noise_and_every_round_less(table):
    for data in network_rounds.NAMES:
        for noise in (0.2, 0.4):
            kept = where(table, data=data, learner="kernel", noise=noise, teacher_weight=1.0, quantity="noise_kept")["value"]
            assert kept[0] > 0.5
            assert (np.diff(kept) < 0).all()
    kept = where(table, data="digits", learner="same", noise=0.4, teacher_weight=1.0, quantity="noise_kept")["value"]
    assert (np.diff(kept) < 0).all()


def test_no_outcome_hangs_on_the_first_seed():
    """Its flips came from the random numbers of its split."""
    verdicts = pytest.importorskip("empirical.experiments.verdicts_rounds").verdicts
    from empirical.table import read

    rows = read(DATA / "network_rounds.csv")
    all_of_them, others = ([v.outcome for v in verdicts([r for r in rows if r["seed"] >= first])] for first in (0, 1))
    assert all_of_them == others


def test_a_weight_on_labels_makes_the_chain_settle(rows):
    same = where(rows, data="digits", learner="same", noise=0.4)
    steps = {w: [where(same, round=t, teacher_weight=w)["step"].astype(float).mean() for t in (1, 5)] for w in (0.5, 1.0)}
    assert steps[0.5][1] < 0.1 * steps[0.5][0]
    assert steps[1.0][1] > 0.1 * steps[1.0][0]
