"""Teachers of several widths: what is measured, and verdicts where the truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from empirical import table
from empirical.data import Dataset, load
from empirical.experiments import teacher_capacity as experiment
from empirical.experiments.teacher_capacity import Settings, best_width, lesser, simultaneous
from empirical.experiments.weight_vs_fraction import family
from empirical.pruned import Labelled, distil, drawn, teach
from kdtheory.kept import random_orders

RNG = np.random.default_rng(0)
WIDTHS, OWN = (8, 64, 256), 64
TINY = Settings(
    seeds=1,
    n=80,
    n_validation=30,
    n_test=60,
    keep_fractions=(0.1, 0.5),
    mlp_steps=8,
    cnn_steps=8,
    mlp_teacher_steps=40,
    cnn_teacher_steps=40,
    mlp_width=16,
    mlp_teacher_widths=(4, 16),
    cnn_teacher_widths=(2, 12),
    early=(0.25, 1.0),
)


def made_up(sign, *, noise=0.002, seeds=8, losses=("squared", "cross_entropy"), data=("digits", "other")):
    """Where little is kept, the largest teacher is worse by 5 %, small and early ones better, and the reverse of all rows."""
    rows = []
    for place in data:
        for loss in losses:
            for seed in range(seeds):
                common = 0.1 * RNG.normal()
                for f in (0.05, 0.1, 1.0):
                    few = 1 if f <= 0.1 else -1
                    effects = {f"width {m}": sign * few * 0.05 * np.log2(m / OWN) for m in WIDTHS}
                    effects |= {"step 50": -sign * 0.05} if few > 0 else {}
                    about = {"data": place, "loss": loss, "seed": seed, "keep_fraction": f, "student_width": OWN}
                    cells = [(name, w, effect) for name, effect in effects.items() for w in (0.5, 1.0)]
                    for name, w, effect in [("none", 0.0, 0.0), *cells]:
                        change = common + effect + noise * RNG.normal()
                        width = 0 if name == "none" else OWN if "step" in name else int(name.split()[1])
                        row = {"teacher": name, "teacher_width": width, "teacher_weight": w}
                        rows.append(about | row | {"error": 0.02 * np.exp(change), "accuracy": 0.8 - 0.3 * change})
    return rows


@pytest.mark.parametrize(("sign", "outcome"), [(1, "reproduced"), (-1, "not reproduced")])
def test_verdicts_tell_what_is_there(sign, outcome, tmp_path):
    rows = made_up(sign)
    found = experiment.verdicts(rows)
    assert len(found) == 8
    assert [verdict.outcome for verdict in found] == [outcome] * 8, found
    assert {verdict.seeds for verdict in found} == {8}
    again = experiment.verdicts(table.read(table.write(tmp_path / "table.csv", rows)))
    assert [verdict.outcome for verdict in again] == [outcome] * 8
    if sign > 0:
        assert "digits: width 8.0 at 0.05 kept, 256.0 at 1 kept, 5.00 [5.00, 5.00] doublings more" in found[-1].effect


def test_nothing_is_claimed_of_noise():
    found = experiment.verdicts(made_up(0, noise=0.05))
    assert {verdict.outcome for verdict in found} == {"not testable here"}


def test_one_data_set_against_the_other_is_no_reproduction():
    rows = made_up(1, data=("digits",)) + made_up(-1, data=("other",))
    largest, smaller, early, best = (verdict.outcome for verdict in experiment.verdicts(rows)[:4])
    assert (largest, best) == ("not reproduced", "not reproduced")  # of every data set
    assert (smaller, early) == ("reproduced", "reproduced")  # on some


def test_verdicts_say_what_is_missing():
    found = experiment.verdicts(made_up(1, seeds=1))
    assert {verdict.effect for verdict in found} == {"one seed has no interval"}
    rows = [row for row in made_up(1) if row["keep_fraction"] == 1.0]
    assert "no share up to a tenth" in experiment.verdicts(rows)[0].effect


def test_data_sets_may_differ_in_seeds():
    rows = [row for row in made_up(1) if row["data"] == "digits" or row["seed"] < 5]
    assert {(verdict.outcome, verdict.seeds) for verdict in experiment.verdicts(rows)} == {("reproduced", 5)}


def test_intervals_that_hold_together_are_bonferronis():
    d = RNG.normal(size=(7, 9))
    for each, x in zip(simultaneous(list(d)), d, strict=True):
        low, high = stats.t.interval(1 - 0.05 / 7, 8, x.mean(), stats.sem(x))
        np.testing.assert_allclose((each.value, each.low, each.high), (x.mean(), low, high))


def test_best_width_is_that_of_the_least_cost():
    costs = RNG.normal(size=(20, 4))
    np.testing.assert_array_equal(best_width(costs, [2, 4, 8, 16]), costs.argmin(axis=1) + 1)


def test_images_are_averaged_down():
    X = RNG.random((3, 2, 28, 28)).astype(np.float32)
    small = lesser(Dataset("x", X, np.arange(3), X[:2], np.arange(2), 3), 14)
    blocks = [[X[..., 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean(axis=(2, 3)) for j in range(14)] for i in range(14)]
    np.testing.assert_allclose(small.X, np.moveaxis(blocks, (0, 1), (2, 3)), rtol=1e-6)
    np.testing.assert_array_equal(small.X_test, small.X[:2])
    assert lesser(small, 3).X.shape == (3, 2, 7, 7)  # an odd number of pixels is not halved
    assert lesser(load("digits"), 14).X.shape == (1797, 1, 8, 8)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_students_are_measured_with_each_teacher(loss):
    unit = {"data": "digits", "loss": loss, "seed": 3}
    rows = experiment.measure(TINY, unit, torch.device("cpu"))
    widths = TINY.mlp_teacher_widths if loss == "squared" else TINY.cnn_teacher_widths
    names = [f"width {m}" for m in widths]
    assert [row["teacher"] for row in rows if row["keep_fraction"] == 0.5 and row["teacher_weight"] == 1.0] == names
    few = [row["teacher"] for row in rows if row["keep_fraction"] == 0.1 and row["teacher_weight"] == 1.0]
    assert few == [*names, "step 10", "step 40"]
    assert [row["keep_fraction"] for row in rows if row["teacher"] == "none"] == [0.1, 0.5]

    # the same student and teachers by themselves
    part = drawn(load("digits"), n=80, n_validation=30, n_test=60, seed=3)
    data, how = Labelled(part, part.y, part.y_validation), family(TINY, loss)
    order = random_orders(80, 1, 3)[0]
    alone = distil(how, data, None, teacher_weights=[0.0], rows=[order[:8]], seeds=[3])
    here = next(row for row in rows if row["teacher"] == "none")
    assert here["error"] == pytest.approx(data.score(how, alone.test[0])["error"], rel=1e-5)
    of_width = replace(how, recipe=replace(how.recipe, steps=40))
    last = teach(of_width, data, seeds=[3], looks=1)
    early = next(row for row in rows if row["teacher"] == "step 40")
    assert early["teacher_error"] == pytest.approx(data.score(how, last.test[0])["error"], rel=1e-5)
    student = distil(how, data, last.train[0], teacher_weights=[1.0], rows=[order[:8]], seeds=[3])
    early = next(row for row in rows if row["teacher"] == "step 40" and row["teacher_weight"] == 1.0)
    assert early["error"] == pytest.approx(data.score(how, student.test[0])["error"], rel=1e-4)


def test_trials_are_short_and_units_pair_everything():
    assert experiment.trial(Settings()).cnn_teacher_steps == 50
    units = experiment.units(replace(Settings(), data=("digits", "x"), seeds=2))
    assert len(units) == 8
    assert units[0] == {"data": "digits", "loss": "squared", "seed": 0}
