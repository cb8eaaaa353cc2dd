"""Teachers of nested shares: what is measured, kernels by brute force, and verdicts where the truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import kdtheory as kd
from empirical import table
from empirical.data import load
from empirical.experiments import teacher_fraction as experiment
from empirical.experiments.teacher_fraction import LOOKS, Cell, Kernels, Settings, _rises
from empirical.experiments.weight_vs_fraction import family
from empirical.pruned import Labelled, distil, drawn, teach
from kdtheory.kept import random_orders

RNG = np.random.default_rng(0)
SEEN, WEIGHTS = (0.1, 0.25, 0.5, 1.0), (0.5, 1.0)
TINY = Settings(
    seeds=1,
    n=80,
    n_validation=30,
    n_test=60,
    keep_fractions=(0.1, 0.25),
    seen_fractions=(0.25, 1.0),
    teacher_weights=(0.5, 1.0),
    noises=(0.2,),
    mlp_steps=40,
    cnn_steps=20,
    mlp_width=16,
)


def made_up(worth, *, kernel=None, noise=0.002, seeds=8, losses=("squared", "cross_entropy")):
    """Errors that fall by `worth(seen)` (a logarithm), of the kernel by `kernel(seen)`, of every seed a little otherwise."""
    rows = []
    for loss in losses:
        for flipped in (0.0, 0.2):
            for seed in range(seeds):
                common = 0.1 * RNG.normal()
                for f in SEEN[:2]:
                    for s, w in [(0.0, 0.0), *((s, w) for s in SEEN if s >= f for w in WEIGHTS)]:
                        fall = worth(s) - worth(f) if s else 0.0
                        change = common - fall + noise * RNG.normal()
                        row = {"data": "digits", "loss": loss, "seed": seed, "noise": flipped, "keep_fraction": f}
                        row |= {"seen": s, "teacher_weight": w, "error": 0.02 * np.exp(change), "accuracy": 0.8 - change}
                        foretold = kernel(s or f) - kernel(f) if kernel and loss == "squared" else np.nan
                        rows.append(row | {"kernel": 0.02 * np.exp(common - foretold)})
    return rows


def outcomes(rows):
    return [verdict.outcome for verdict in experiment.verdicts(rows)]


def test_verdicts_of_a_teacher_whose_rows_help(tmp_path):
    rows = made_up(lambda s: 0.1 * np.log(s), kernel=lambda s: 0.1 * np.log(s))
    found = experiment.verdicts(rows)
    assert [verdict.outcome for verdict in found] == ["reproduced"] * 7
    assert outcomes(table.read(table.write(tmp_path / "table.csv", rows))) == ["reproduced"] * 7
    assert "digits, 20% flipped" in found[0].effect


def test_worth_of_half_of_the_rows():
    """log(5)/log(10) of a tenth kept and log(2)/log(4) of a quarter, weighed by what all rows are worth."""
    share = (np.log(5) + np.log(2)) / (np.log(10) + np.log(4))
    found = experiment.verdicts(made_up(lambda s: 0.1 * np.log(s), noise=0.0))
    assert all(f"{share:.2f} [{share:.2f}, {share:.2f}] of it" in found[k].effect for k in (2, 5))


def test_verdicts_of_a_teacher_whose_rows_harm():
    falls, rises, half, foretold = outcomes(made_up(lambda s: -0.1 * np.log(s), kernel=np.log, losses=("squared",)))
    assert (falls, rises, half, foretold) == ("not reproduced", "not reproduced", "not testable here", "not reproduced")


def test_one_rise_among_falls_is_found():
    def bent(s):
        return {0.1: 0.0, 0.25: 0.2, 0.5: 0.17, 1.0: 0.4}[s]

    falls, rises, half = outcomes(made_up(bent, losses=("cross_entropy",)))
    assert (falls, rises, half) == ("reproduced", "not reproduced", "not reproduced")
    found = experiment.verdicts(made_up(bent, losses=("cross_entropy",)))[1]
    assert found.effect.startswith("8 of 20 steps rise significantly, 12 fall")


def test_a_kernel_that_foretells_twice_as_much_is_refuted():
    rows = made_up(lambda s: 0.1 * np.log(s), kernel=lambda s: 0.2 * np.log(s), losses=("squared",))
    assert outcomes(rows)[-1] == "not reproduced"
    assert outcomes(made_up(np.log, losses=("squared",)))[-1] == "not testable here"  # no kernel
    right = made_up(lambda s: 0.1 * np.log(s), kernel=lambda s: 0.1 * np.log(s), losses=("squared",))
    mixed = [row for row in right if row["noise"] == 0.0] + [row for row in rows if row["noise"] == 0.2]
    assert outcomes(mixed)[-1] == "not reproduced"  # one place is enough


def test_what_chance_makes_rise_is_no_rise():
    noise = RNG.normal(size=(40, 8, 5))
    cells = [Cell("digits", [0.1, 0.25, 0.5, 0.75, 1.0], x, np.full_like(x, np.nan), "%") for x in noise]
    found = _rises("Nowhere.", cells, 8)
    alone = sum(low > 0 for x in noise for low in (stats.ttest_1samp(np.diff(x), 0).confidence_interval().low))
    assert alone > 0
    assert f"0 of 160 steps rise significantly, 0 fall; with intervals for each step by itself {alone} rise" in found.effect
    assert found.outcome == "reproduced"


def test_nothing_is_claimed_of_noise():
    falls, rises, half = outcomes(made_up(lambda s: 0.0, noise=0.05, losses=("cross_entropy",)))
    assert (falls, rises, half) == ("not testable here", "reproduced", "not testable here")
    assert {verdict.effect for verdict in experiment.verdicts(made_up(np.log, seeds=1))} == {"one seed has no interval"}
    few = [row for row in made_up(np.log) if row["seen"] < 1]
    assert {verdict.effect for verdict in experiment.verdicts(few)} == {"no teacher learned all rows"}


def test_kernel_students_and_teachers_by_brute_force():
    """Momentum, step by step, in the space of functions; the teacher stopped where its validation error is least."""
    part = drawn(load("digits"), n=60, n_validation=30, n_test=40, seed=1)
    data, how = Labelled.flipped(part, rate=0.2, seed=1), family(replace(TINY, mlp_steps=60), "squared")
    order = random_orders(60, 1, 1)[0]
    nested = {0.2: order[:12], 0.5: order[:30]}
    kernels, y = Kernels.of(how, part, nested), data.coded(data.y).astype(float)
    X, V, Z = (how.points(points).astype(float) for points in (part.X, part.X_validation, part.X_test))

    def descend(rows, targets, looks):
        """Dual coefficients after each number of steps."""
        K, a, v, found = kd.kernels.ntk(X[rows], depth=2), np.zeros_like(targets), np.zeros_like(targets), {}
        for step in range(60):
            gradient = (K @ a - targets) / len(rows)
            v = how.recipe.momentum * v + gradient
            a = a - how.recipe.rate(step, 60) * (gradient + how.recipe.momentum * v)
            found[step + 1] = a
        return [found[round(60 * look / looks)] for look in range(1, looks + 1)]

    T, F = nested[0.5], nested[0.2]
    stops = descend(T, y[T], LOOKS)
    errors = [np.mean((kd.kernels.ntk(V, X[T], depth=2) @ a - data.coded(data.y_validation)) ** 2) for a in stops]
    said = kd.kernels.ntk(X[F], X[T], depth=2) @ stops[int(np.argmin(errors))]
    teacher = kernels.teacher(data, 0.5)
    np.testing.assert_allclose(teacher[F], said, rtol=1e-8, atol=1e-10)
    for w in (0.0, 0.7):
        student = descend(F, (1 - w) * y[F] + w * said, 1)[0]
        error = np.mean((kd.kernels.ntk(Z, X[F], depth=2) @ student - data.coded(part.y_test)) ** 2)
        assert kernels.error(data, 0.2, teacher, w) == pytest.approx(error, rel=1e-8)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_students_are_measured_with_each_teacher(loss):
    rows = experiment.measure(TINY, {"data": "digits", "loss": loss, "seed": 3}, torch.device("cpu"))
    assert [(row["keep_fraction"], row["seen"], row["teacher_weight"]) for row in rows] == [
        *((0.1, 0.0, 0.0), (0.25, 0.0, 0.0)),
        *((0.1, s, w) for s in (0.1, 0.25, 1.0) for w in (0.5, 1.0)),
        *((0.25, s, w) for s in (0.25, 1.0) for w in (0.5, 1.0)),
    ]
    assert all(np.isnan(row["kernel"]) == (loss != "squared") for row in rows)
    assert all(np.isnan(row["teacher_error"]) == (row["seen"] == 0) for row in rows)

    # one of them by itself: the teacher of a quarter, and the student of a tenth
    part = drawn(load("digits"), n=80, n_validation=30, n_test=60, seed=3)
    data, how, order = Labelled.flipped(part, rate=0.2, seed=3), family(TINY, loss), random_orders(80, 1, 3)[0]
    teacher = teach(how, data, seeds=[3], rows=order[:20])
    student = distil(how, data, teacher.train[0], teacher_weights=[0.5], rows=[order[:8]], seeds=[3])
    here = next(row for row in rows if (row["keep_fraction"], row["seen"], row["teacher_weight"]) == (0.1, 0.25, 0.5))
    assert here["teacher_error"] == pytest.approx(data.score(how, teacher.test[0])["error"], rel=1e-4)
    assert here["teacher_steps"] == teacher.steps[0]
    assert here["error"] == pytest.approx(data.score(how, student.test[0])["error"], rel=1e-3)
    if loss == "squared":
        kernels = Kernels.of(how, part, {0.1: order[:8], 0.25: order[:20]})
        assert here["kernel"] == pytest.approx(kernels.error(data, 0.1, kernels.teacher(data, 0.25), 0.5), rel=1e-9)
        assert here["fed"] == pytest.approx(kernels.error(data, 0.1, teacher.train[0], 0.5), rel=1e-4)


def test_teachers_need_not_learn_all_rows():
    how = replace(TINY, keep_fractions=(0.1,), seen_fractions=(0.25,), mlp_steps=2, kernels=False)
    rows = experiment.measure(how, {"data": "digits", "loss": "squared", "seed": 0}, torch.device("cpu"))
    assert {row["seen"] for row in rows} == {0.0, 0.1, 0.25}
    assert all(np.isnan(row["kernel"]) for row in rows)
