"""The gap experiment: least squares by refitting and against closed forms, a small run, verdicts on rows of known truth."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from empirical.experiments import gap
from empirical.experiments.gap import Settings, crossing, errors_of, kept_by, linear, measure, planted, ratios, verdicts
from empirical.table import read, write
from kdtheory.selection import crossing as closed_crossing
from kdtheory.selection import excess_over_random, gap_ratio

torch.set_num_threads(1)
RNG = np.random.default_rng(0)
SMALL = Settings(
    n=150,
    n_validation=50,
    n_test=100,
    keep_fractions=(0.2, 0.5),
    teacher_weights=(0.0, 0.5, 1.0),
    draws=3,
    width=16,
    steps=40,
)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A regression of 240 rows in a folder."""
    X = RNG.normal(size=(240, 3)) * [1, 100, 0.01]
    y = X @ [1.0, 0.02, 30.0] + RNG.normal(size=240)
    np.savetxt(tmp_path / "tiny.csv", np.column_stack([X, y]), delimiter=",", header="a,b,c,y", comments="")
    monkeypatch.setenv("KDTHEORY_DATA", str(tmp_path))
    return {"data": "tiny", "noise": 0.0, "seed": 0}


def test_a_small_run_on_flipped_labels():
    rows = measure(SMALL, {"data": "digits", "noise": 0.2, "seed": 0}, torch.device("cpu"))
    teacher, *students = rows
    assert teacher["rule"] == "teacher"
    assert teacher["noisy_scale"] > 1.2
    assert len(students) == 3 * 2 * 3
    assert {row["student"] for row in students} == {"network"}
    error = {(row["rule"], row["keep_fraction"], row["teacher_weight"]): row["error"] for row in students}
    for f in SMALL.keep_fractions:  # most of the hardest have wrong labels, and the teacher takes their part
        assert error["hardest", f, 0.0] > 1.2 * error["random", f, 0.0]
        assert error["hardest", f, 0.5] < error["hardest", f, 0.0]


def test_a_small_run_on_a_regression(tiny):
    rows = measure(SMALL, tiny, torch.device("cpu"))
    by_student = {name: [row for row in rows if row["student"] == name] for name in ("network", "linear", "planted")}
    assert {name: len(of) for name, of in by_student.items()} == {"network": 19, "linear": 18, "planted": 18}
    for name in ("linear", "planted"):  # of the teacher alone they are the teacher, whatever they see
        alone = [row["error"] for row in by_student[name] if row["teacher_weight"] == 1]
        np.testing.assert_allclose(alone, alone[0], rtol=1e-9)
    assert measure(SMALL, tiny | {"noise": 0.2}, torch.device("cpu")) == []
    assert len(gap.units(SMALL)) == 2 * SMALL.seeds


def test_rows_by_sorting():
    size = RNG.random(50)
    kept = kept_by(SMALL, size, 3, sets=2)
    for f, m in ((0.2, 10), (0.5, 25)):
        assert set(kept["hardest", f][0]) == set(np.argsort(-size)[:m])
        assert set(kept["easiest", f][0]) == set(np.argsort(size)[:m])
        assert [len(set(rows)) for rows in kept["random", f]] == [m, m]
    assert set(kept["random", 0.2][0]) < set(kept["random", 0.5][0])
    assert set(kept["random", 0.5][0]) != set(kept["random", 0.5][1])


def test_least_squares_by_refitting_on_mixed_labels():
    X, X_test = (np.column_stack([np.ones(n), RNG.normal(size=(n, 3))]) for n in (80, 30))
    y, truth = RNG.normal(size=80), RNG.normal(size=30)
    theta = np.linalg.lstsq(X, y)[0]
    errors = linear(SMALL, X, y, X_test, truth, seed=5, sets=2)
    for cell, sets in kept_by(SMALL, np.abs(y - X @ theta), 5, sets=2).items():
        for i, w in enumerate(SMALL.teacher_weights):
            mixed = (1 - w) * y + w * (X @ theta)
            fits = [np.linalg.lstsq(X[rows], mixed[rows])[0] for rows in sets]
            mean = np.mean([np.mean((X_test @ fit - truth) ** 2) for fit in fits])
            assert errors[cell][i] == pytest.approx(mean, rel=1e-9)


@pytest.fixture(scope="module")
def law():
    """Errors of planted labels on 600 rows with two features, without a file."""
    from empirical.data import Dataset, split

    X = np.random.default_rng(1).normal(size=(900, 2)).astype(np.float32)
    data = Dataset("made", X, X[:, 0] + np.random.default_rng(2).normal(size=900), None, None, None)
    part = split(data, train=600, validation=100, test=200, seed=0)
    settings = replace(SMALL, keep_fractions=(0.1, 0.2, 0.3, 0.5), draws=600)
    seeds = [planted(settings, part, seed) for seed in range(2)]
    return {cell: np.array([errors[cell] for errors in seeds]) for cell in seeds[0]}


@pytest.mark.parametrize("rule", ["hardest", "easiest"])
def test_planted_labels_obey_the_closed_forms(law, rule):
    """The law of the gap, and how much rows by rule lose: student's and teacher's errors over the random student's."""
    for f in (0.1, 0.2, 0.5):
        mean, random = law[rule, f].mean(axis=0), law["random", f].mean(axis=0)
        difference = mean - random
        np.testing.assert_allclose(difference[1:] / difference[0], gap_ratio([0.5, 1.0]), atol=0.06)
        expected = f + (1 - f) * excess_over_random(f, rule=rule)
        assert mean[0] / random[0] == pytest.approx(expected, rel=0.15)
        assert mean[2] == pytest.approx(0.5 * 3 / 600, rel=0.15)  # the teacher's: half of the variance is noise


def test_hard_and_random_planted_rows_cross_where_they_should(law):
    errors = {(rule, f, 0.0): each[:, 0] for (rule, f), each in law.items()}
    assert crossing(errors).value == pytest.approx(closed_crossing(), abs=0.04)


def table(*, power=2.0, cross=0.3, alone=0.0, noisy_power=1.0, noisy_cross=0.5, seeds=5):
    """Rows whose gaps shrink by a power of 1 - w down to a share, and change sign at a kept share."""
    made, rng = [], np.random.default_rng(3)
    for seed in range(seeds):
        for noise, exponent, at in ((0.0, power, cross), (0.2, noisy_power, noisy_cross)):
            level = rng.uniform(0.9, 1.1)
            of = {"data": "digits", "noise": noise, "seed": seed, "student": "network"}
            made.append(of | {"rule": "teacher", "error": 0.5, "noisy_scale": 2.0})
            for f in (0.1, 0.2, 0.3, 0.5, 0.7):
                for w in (0.0, 0.5, 1.0):
                    shrink = alone + (1 - alone) * (1 - w) ** exponent
                    gaps = {"random": 0.0, "hardest": 0.8 * np.log(at / f), "easiest": 0.5}
                    for rule, size in gaps.items():
                        error = (
                            level * (1 - 0.3 * w + size * shrink * (0.3 if size < 0 else 1.0)) * np.exp(rng.normal(0, 1e-3))
                        )
                        made.append(of | {"rule": rule, "keep_fraction": f, "teacher_weight": w, "error": error})
    return made


def outcomes(**truth):
    return [verdict.outcome for verdict in verdicts(table(**truth))]


def test_verdicts_where_every_claim_is_true():
    assert outcomes() == ["reproduced"] * 6
    found = verdicts(table())
    assert {verdict.seeds for verdict in found} == {5}
    assert "easiest at 0.1 0.25 [0.2" in found[0].effect
    assert "they cross at 0.30 [" in found[2].effect
    clean, noisy = (errors_of(table(), "network", "digits", noise) for noise in (0.0, 0.2))
    assert crossing(noisy, clean).value == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("truth", "number"),
    [
        ({"power": 0.5}, 0),
        ({"power": 5.0}, 0),
        ({"alone": 0.3}, 1),
        ({"cross": 0.05}, 2),
        ({"cross": 0.9}, 2),
        ({"noisy_power": 4.0}, 3),
        ({"cross": 0.5, "noisy_cross": 0.3}, 5),
    ],
)
def test_verdicts_where_one_claim_is_false(truth, number):
    assert outcomes(**truth)[number] == "not reproduced"


def test_gaps_within_their_noise_are_not_judged():
    rows = table(seeds=4)
    for i, row in enumerate(rows):
        if row["rule"] != "teacher" and not row["noise"]:
            row["error"] = 1 + 0.1 * np.sin(i**2)
    found = verdicts(rows)
    assert found[0].outcome == "not testable here"
    assert len(ratios(errors_of(rows, "network", "digits", 0.0), 0.5)) < 4


@pytest.mark.parametrize(("at", "value"), [(0.02, 0.0), (5.0, 1.0), (0.3, 0.3), (0.41, 0.41)])
def test_the_crossing_of_errors_that_are_known(at, value):
    """Between the shares the logarithm of the ratio is linear in this example's logarithm of the share only nearly."""
    shares = (0.1, 0.2, 0.3, 0.5, 0.7)
    errors = {(rule, f, 0.0): np.full(3, 1.0) for rule in ("hardest", "random") for f in shares}
    errors |= {("hardest", f, 0.0): np.full(3, (at / f) ** 0.1) for f in shares}
    found = crossing(errors)
    assert found.value == pytest.approx(value, abs=0.02)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert crossing(errors, errors).value == 0


def test_a_crossing_that_is_not_there_cannot_move():
    verdict = verdicts(table(cross=0.9))[5]
    assert verdict.outcome == "not testable here"
    assert "lose at every share" in verdict.effect


def test_one_seed_tells_nothing():
    assert {verdict.outcome for verdict in verdicts(table(seeds=1))} == {"not testable here"}


def test_verdicts_read_the_table_that_was_written(tmp_path):
    again = read(write(tmp_path / "gap.csv", table()))
    assert [verdict.outcome for verdict in verdicts(again)] == outcomes()
