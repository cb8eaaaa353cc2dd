"""Chains of trained students and of the kernel: the path by steps in function space, students by hand, verdicts either way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import kdtheory as kd
from empirical.data import load
from empirical.experiments import rounds
from empirical.experiments.rounds import KernelPath, Settings, described, family, measure, network_chains, units, verdicts
from empirical.experiments.verdicts_rounds import NAMES, Chains
from empirical.pruned import Labelled, distil, drawn

RNG = np.random.default_rng(0)
CPU = torch.device("cpu")
TINY = Settings(
    n=100, n_test=200, noises=(0.0, 0.4), teacher_weights=(0.5, 1.0), rounds=2, mlp_width=32, mlp_steps=20, cnn_steps=20
)
YES, NO = "reproduced", "not reproduced"


@pytest.fixture(scope="module")
def part():
    return drawn(load("digits"), n=100, n_validation=100, n_test=200, seed=3)


def test_the_kernels_path_by_steps_in_function_space(part):
    settings, data = TINY, Labelled.flipped(part, rate=0.4, seed=3)
    how, X, X_test = (
        family(settings, "kernel"),
        *(points.reshape(len(points), -1).astype(float) for points in (part.X, part.X_test)),
    )
    K, k, y = kd.kernels.ntk(X, depth=2), kd.kernels.ntk(X_test, X, depth=2), data.coded(data.y).astype(float)

    def descend(target):
        """Nesterov's method on the dual coefficients, a step at a time."""
        dual, v = np.zeros_like(target), np.zeros_like(target)
        for step in range(settings.mlp_steps):
            gradient = (K @ dual - target) / len(X)
            v = 0.9 * v + gradient
            dual = dual - how.recipe.rate(step, settings.mlp_steps) * (gradient + 0.9 * v)
        return dual

    found = {(w, t): (train, test) for w, t, train, test, _ in KernelPath.of(how, part.X, part.X_test).chains(settings, data)}
    assert set(found) == {(0.0, 0), (0.5, 1), (0.5, 2), (1.0, 1), (1.0, 2)}
    for w in settings.teacher_weights:
        target = y
        for t in range(settings.rounds + 1):
            dual = descend(target)
            train, test = found[w if t else 0.0, t]
            np.testing.assert_allclose(train, K @ dual, atol=1e-10)
            np.testing.assert_allclose(test, k @ dual, atol=1e-10)
            target = (1 - w) * y + w * (K @ dual)


@pytest.mark.parametrize("anew", [True, False])
def test_students_learn_from_the_one_before_them(part, anew):
    data, how = Labelled.flipped(part, rate=0.4, seed=3), family(TINY, "anew")
    found = {(w, t): test for w, t, _, test in network_chains(TINY, how, data, 5, anew, CPU)}
    rows, seeds = [np.arange(len(part.X))], [5 * 3 + t if anew else 5 for t in range(3)]
    for w in TINY.teacher_weights:
        teacher = None
        for t, seed in enumerate(seeds):
            student = distil(how, data, teacher, teacher_weights=[w if t else 0.0], rows=rows, seeds=[seed], train=True)
            np.testing.assert_allclose(found[w if t else 0.0, t], student.test[0], atol=1e-5)
            teacher = student.train


def test_wide_networks_of_one_initialisation_go_the_kernels_path():
    far = {}
    for m in (16, 512):
        settings = replace(TINY, noises=(0.4,), mlp_width=m, mlp_steps=40, mlp_rate=0.2, mlp_batch=100)
        of = [measure(settings, {"data": "digits", "learner": learner, "seed": 0}, CPU) for learner in ("kernel", "same")]
        kernel, networks = ({(row["teacher_weight"], row["round"]): row for row in rows} for rows in of)
        assert set(kernel) == set(networks)
        far[m] = [row["distance"] for row in networks.values()]
    assert max(far[512]) < 0.4 * min(far[16])
    for key, row in networks.items():
        for name, tolerance in (("size", 0.04), ("noise_kept", 0.03), ("step", 0.02)):
            assert row.get(name, 0.0) == pytest.approx(kernel[key].get(name, 0.0), abs=tolerance)


def test_columns(part):
    data = Labelled.flipped(part, rate=0.4, seed=3)
    true, seen = (data.coded(y).astype(float) for y in (part.y, data.y))
    f_test = data.coded(part.y_test).astype(float)
    chains = [
        (0.0, 0, seen, 2 * f_test),
        (1.0, 1, true, f_test),
        (0.5, 1, seen / 2, 2 * f_test),
        (1.0, 2, 0 * true, 0 * f_test),
    ]
    rows = list(described(family(TINY, "same"), data, chains))
    assert [row["noise_kept"] for row in rows] == pytest.approx([1.0, 0.0, 0.5, 0.0], abs=1e-6)
    assert [row["size"] for row in rows] == pytest.approx([1.0, 1.0, 0.5, 0.0], abs=1e-6)
    assert [row.get("step") for row in rows] == [None, pytest.approx(0.5), 0.0, pytest.approx(0.5)]
    assert [row["accuracy"] for row in rows[:2]] == [1.0, 1.0]
    assert rows[1]["error"] < 1e-12


@pytest.mark.parametrize("learner", ["kernel", "anew", "cnn"])
def test_a_unit_has_a_row_for_every_round(learner):
    rows = measure(TINY, {"data": "digits", "learner": learner, "seed": 1}, CPU)
    assert len(rows) == 2 * (1 + 2 * 2)
    for row in rows:
        assert row["size"] == 1 or row["round"] > 0
        assert ("step" in row) == (row["round"] > 0)
        assert ("noise_kept" in row) == (row["noise"] > 0)
        assert ("dimension" in row) == (learner == "kernel")
        assert np.isfinite([value for value in row.values() if isinstance(value, float)]).all()


def test_units_and_quick_settings():
    assert len(units(Settings())) == 32
    assert len(units(rounds.QUICK)) == 8
    assert {unit["seed"] for unit in units(rounds.QUICK)} == {0, 1}


# ---- verdicts


def table(errors, sizes=lambda w, t: 0.9 ** (w * t), learners=("same",), noise=0.01):
    """A kernel and networks whose errors are a function of noise, weight and round, times a little chance."""
    rows = []
    for learner in ("kernel", *learners):
        of = table_of_kernel if learner == "kernel" else errors
        for seed in range(8):
            for rate in (0.0, 0.4):
                for w, t in ((0.0, 0), *((w, t) for w in (0.5, 1.0) for t in range(1, 6))):
                    about = {
                        "data": "digits",
                        "learner": learner,
                        "seed": seed,
                        "noise": rate,
                        "teacher_weight": w,
                        "round": t,
                    }
                    shrunk = 0.9 ** (min(t, 2) if w == 0.5 else t) if learner == "kernel" else sizes(w, t)
                    chance = np.exp(noise * RNG.normal()) if learner != "kernel" else 1.0
                    rows.append(about | {"error": of(rate, w, t) * chance, "size": shrunk})
    return rows


def table_of_kernel(rate, w, t):
    """Rises without noise; with noise falls at first and then rises."""
    x = w * t
    return 1 + 0.1 * x if rate == 0 else 1 - 0.3 * x + 0.08 * x**2


def test_networks_that_go_the_path():
    found = verdicts(table(table_of_kernel, lambda w, t: 0.9 ** (min(t, 2) if w == 0.5 else t)))
    assert [verdict.outcome for verdict in found] == [YES] * 7
    assert all(verdict.claim.startswith(NAMES["same"]) and verdict.seeds == 8 for verdict in found)


def test_networks_that_do_not():
    found = verdicts(table(lambda rate, w, t: 2 - table_of_kernel(rate, w, t) / 2, lambda w, t: 0.8**t))
    assert [verdict.outcome for verdict in found] == [NO] * 7


def test_a_chain_whose_last_round_is_best_does_not_turn():
    found = verdicts(table(lambda rate, w, t: 1 - 0.05 * w * t, learners=("cnn",), noise=0.0))
    (turns,) = [verdict for verdict in found if "later rounds hurt" in verdict.claim]
    assert turns.outcome == NO
    assert not any("shrink as the filter says" in verdict.claim for verdict in found)


def test_without_a_kernel_beside_them_nothing_is_said():
    rows = [row for row in table(table_of_kernel) if row["learner"] != "kernel"]
    assert [verdict.outcome for verdict in verdicts(rows)] == ["not testable here"]


def test_round_zero_belongs_to_every_chain():
    chains = Chains.of(table(table_of_kernel, noise=0.0), "same")
    error = chains.column("error")
    assert error.shape == (1, 2, 2, 6, 8)
    assert (error[:, :, :, 0] == 1).all()
    assert error[0, 1, 1, 2, 0] == pytest.approx(table_of_kernel(0.4, 1.0, 2))
