"""The scores experiment: what each method keeps by sorting, a small run, and verdicts on rows whose truth is known."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from empirical.data import load
from empirical.experiments import scores
from empirical.experiments.scores import HARD, ORDERS, VARIANTS, Settings, by_cell, measure, rows_of, units, verdicts
from empirical.pruned import Labelled, drawn
from empirical.scores import random
from empirical.table import read, write

torch.set_num_threads(1)
RNG = np.random.default_rng(0)
SMALL = Settings(
    n=150,
    n_validation=50,
    n_test=100,
    keep_fractions=(0.2, 0.5),
    networks=2,
    subset_networks=4,
    width=4,
    steps=30,
)
METHODS = SMALL.methods


@pytest.fixture(scope="module")
def rows():
    return measure(SMALL, {"data": "digits", "noise": 0.2, "seed": 0}, torch.device("cpu"))


def test_units_are_the_grid():
    settings = Settings(data=("digits", "mnist"), noises=(0.0, 0.4), seeds=3)
    keys = {tuple(unit.values()) for unit in units(settings)}
    assert keys == set(product(("digits", "mnist"), (0.0, 0.4), range(3)))
    assert list(scores.fingerprints(Settings())) == ["digits"]


def test_a_small_run_has_a_row_for_every_student_and_pair(rows):
    students = [row for row in rows if "teacher_weight" in row]
    cells = {(row["method"], row["keep_fraction"], row["teacher_weight"]) for row in students}
    assert cells == set(product(METHODS, SMALL.keep_fractions, SMALL.teacher_weights))
    assert len(students) == len(cells)
    ranked = [m for m in METHODS if m not in VARIANTS and m not in ORDERS and m != "random"]
    pairs = [row for row in rows if "other" in row]
    assert len(pairs) == len(ranked) * (len(ranked) - 1) / 2
    assert all(-1 <= row["rank_correlation"] <= 1 for row in pairs)
    assert [row["method"] for row in rows if not {"teacher_weight", "other"} & set(row)] == ["teacher"]
    assert all(0 <= row["accuracy"] <= 1 and row["error"] > 0 for row in students)


def test_kept_sets_are_described_by_what_is_kept(rows):
    """Random rows drawn anew: their wrong labels and lost classes are those that were written."""
    part = drawn(load("digits"), n=SMALL.n, n_validation=SMALL.n_validation, n_test=SMALL.n_test, seed=0)
    y = Labelled.flipped(part, rate=0.2, seed=0).y
    assert np.mean(y != part.y) == pytest.approx(0.2)
    numbers = random(len(y), seed=0)
    for row in rows:
        if row["method"] == "random":
            kept = np.argsort(-numbers)[: round(row["keep_fraction"] * len(y))]
            assert row["kept_noise"] == pytest.approx(np.mean((y != part.y)[kept]))
            assert row["classes_lost"] == 10 - len(set(y[kept].tolist()))


def test_a_run_repeats_and_its_students_do_not_depend_on_the_other_methods(rows):
    fewer = replace(SMALL, methods=("el2n", "random"))
    again = measure(fewer, {"data": "digits", "noise": 0.2, "seed": 0}, torch.device("cpu"))
    names = "method", "keep_fraction", "teacher_weight"
    before = {tuple(row[name] for name in names): row for row in rows if "teacher_weight" in row}
    for row in again:
        if "teacher_weight" in row:
            same = before[tuple(row[name] for name in names)]
            assert row["kept_noise"] == same["kept_noise"]
            assert row["error"] == pytest.approx(same["error"], rel=1e-3)


def test_other_data_meet_fewer_methods_and_a_regression_none(tmp_path, monkeypatch):
    X = RNG.normal(size=(120, 3))
    for name, y in (("two_classes", (X[:, 0] > 0).astype(int)), ("values", X[:, 0] + 0.5)):
        np.savetxt(tmp_path / f"{name}.csv", np.column_stack([X, y]), delimiter=",", header="a,b,c,y", comments="")
    monkeypatch.setenv("KDTHEORY_DATA", str(tmp_path))
    small = replace(SMALL, methods_elsewhere=("random", "aum"), n=60, n_validation=20)
    found = measure(small, {"data": "two_classes", "noise": 0.0, "seed": 0}, torch.device("cpu"))
    assert {row["method"] for row in found} == {"random", "aum", "teacher"}
    assert measure(small, {"data": "values", "noise": 0.0, "seed": 0}, torch.device("cpu")) == []


def test_rows_by_sorting():
    n, y = 40, RNG.integers(4, size=40)
    score = {"el2n": RNG.normal(size=n), "aum": RNG.normal(size=n)}
    settings = replace(SMALL, keep_fractions=(0.1, 0.5))
    order = np.argsort(-score["el2n"])
    for method, best in (("el2n", order), ("el2n_easy", order[::-1])):
        few, many = rows_of(settings, method, score, y, 0)
        assert set(few) == set(best[:4])
        assert set(many) == set(best[:20])
    balanced = rows_of(settings, "el2n_balanced", score, y, 0)[1]
    for c in range(4):
        mine = order[y[order] == c]
        kept = [row for row in mine if row in balanced]
        assert abs(len(kept) - len(mine) / 2) <= 1
        assert kept == list(mine[: len(kept)])
    dropped = set(np.argsort(-score["aum"])[:4])
    assert not dropped & set(rows_of(settings, "ccs", score, y, 0)[1])


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="`methods` must be scores that are known here, got charm"):
        measure(replace(SMALL, methods=("charm",)), {"data": "digits", "noise": 0.0, "seed": 0}, torch.device("cpu"))


def table(
    *, hard=-10.0, half=1.0, other=-2.0, gain_random=4.0, gain_hard=20.0, alike=0.95, norm=0.9, wrong=0.0, noise=0.0, seeds=6
):
    """Rows of six seeds: leads over random rows with distillation, in points, and gains by it."""
    made, rng = [], np.random.default_rng(1)
    for seed in range(seeds):
        at = {"data": "digits", "noise": noise, "seed": seed}
        for f in (0.05, 0.2, 0.5):
            level = rng.normal(80, 2)
            for method in ("random", "el2n", "margin", "herding"):
                lead = {"random": 0.0, "herding": other}.get(method, half if f == 0.5 else hard)
                gain = gain_hard if method in HARD else gain_random
                share = min(1.0, noise / f) + wrong if method == "el2n" else noise
                for w in (0.0, 0.5):
                    accuracy = (level + lead - gain * (w == 0) + rng.normal(0, 0.2)) / 100
                    cell = {
                        "method": method,
                        "keep_fraction": f,
                        "teacher_weight": w,
                        "kept_noise": share + rng.normal(0, 0.01),
                    }
                    made.append(at | cell | {"accuracy": accuracy, "error": 0.1, "classes_lost": 0})
        for a, b, rank in (("el2n", "margin", alike), ("el2n", "herding", 0.1), ("input_norm", "grand_at_init", norm)):
            made.append(at | {"method": a, "other": b, "rank_correlation": rank + rng.normal(0, 0.005)})
    return made


def outcomes(**truth):
    return [verdict.outcome for verdict in verdicts(table(**truth))]


def test_verdicts_where_every_claim_is_true():
    assert outcomes(noise=0.2) == ["reproduced"] * 8
    assert outcomes() == ["reproduced"] * 7
    found = verdicts(table())
    assert {verdict.seeds for verdict in found} == {6}
    assert "herding, -2.0 points [" in found[0].effect
    assert "difference 16.0 points [" in found[1].effect


@pytest.mark.parametrize(
    ("truth", "number"),
    [
        ({"other": 3.0}, 0),
        ({"gain_random": 24.0}, 1),
        ({"hard": 5.0}, 2),
        ({"half": -4.0}, 3),
        ({"gain_random": -30.0, "gain_hard": -30.0}, 4),
        ({"alike": 0.8}, 5),
        ({"norm": 0.5}, 6),
        ({"noise": 0.2, "wrong": -0.2}, 7),
    ],
)
def test_verdicts_where_one_claim_is_false(truth, number):
    assert outcomes(**truth)[number] == "not reproduced"


@pytest.mark.parametrize(
    ("lead", "size", "outcome"),
    [
        (-5.0, 4.0, "reproduced"),
        (3.0, 2.0, "not testable here"),
        (3.0, 5.0, "not testable here"),
        (3.0, 9.0, "not reproduced"),
    ],
)
def test_a_lead_is_judged_as_one_of_many(lead, size, outcome):
    """A lead so many times its standard error, which at five degrees counts from 3.5 standard errors above a point on."""
    rows, z = table(), np.array([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    random = {(r["seed"], r["keep_fraction"], r["teacher_weight"]): r["accuracy"] for r in rows if r["method"] == "random"}
    leads = lead + abs(lead) / size * z * np.sqrt(6) / z.std(ddof=1)
    for row in rows:
        if row["method"] == "herding":
            row["accuracy"] = random[row["seed"], row["keep_fraction"], row["teacher_weight"]] + leads[row["seed"]] / 100
    verdict = verdicts(rows)[0]
    assert verdict.outcome == outcome
    assert ("better: herding" in verdict.effect) == (lead > 0 and size > 2.57)


def test_verdicts_of_too_few_rows_say_so():
    rows = [row for row in table() if row["method"] != "random"]
    assert {verdict.outcome for verdict in verdicts(rows)[:5]} == {"not testable here"}


def test_verdicts_read_the_table_that_was_written(tmp_path):
    rows = table(noise=0.2)
    again = read(write(tmp_path / "scores.csv", rows))
    assert [verdict.outcome for verdict in verdicts(again)] == [verdict.outcome for verdict in verdicts(rows)]
    assert set(by_cell(again, "accuracy")) == set(by_cell(rows, "accuracy"))


def test_one_seed_tells_little():
    assert set(outcomes(noise=0.2, seeds=1)) == {"not testable here"}


def test_a_cell_without_all_seeds_is_left_out():
    rows = table()
    assert ("el2n", 0.05, 0.0) in by_cell(rows, "accuracy")
    rows = [row for row in rows if not (row["method"] == "el2n" and row["seed"] == 3 and row.get("teacher_weight") == 0.0)]
    assert ("el2n", 0.05, 0.0) not in by_cell(rows, "accuracy")
