"""Figures on the teacher of a pruned student: what their captions claim holds in what they compute."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from kdtheory import pruning
from kdtheory.population import Population
from kdtheory.random_subset import pruned_risk_curves
from paper_figs import teacher_capacity, teacher_share
from paper_figs.regression_data import recorded
from paper_figs.style import where

mpl.use("agg")


@pytest.fixture(scope="module")
def capacity():
    return teacher_capacity.compute()


@pytest.fixture(scope="module")
def share():
    return teacher_share.compute()


def line(table, **conditions):
    return where(table, kind="theory", **conditions)


def test_the_record_is_what_the_module_computes(monkeypatch):
    """One design measured again on two shares and three teachers: the same numbers to the digits recorded."""
    kept, counts = (0.03, 0.2), (5, 80, 300)
    monkeypatch.setattr(teacher_capacity, "SHARES", kept)
    monkeypatch.setattr(teacher_capacity, "COUNTS", counts)
    fresh, old = teacher_capacity.measure(0), where(recorded(teacher_capacity.RECORD), design=0)
    rows = np.isin(old["share"], kept) & np.isin(old["k"], counts)
    for name, column in fresh.items():
        np.testing.assert_allclose(column, old[name][rows], rtol=2e-5, err_msg=name)


def test_larger_teachers_are_better_and_hurt_where_little_is_kept(capacity):
    own = where(capacity, kind="teacher")
    assert (np.diff(own["risk"]) < 0).all()
    assert (own["half"] < 0.03 * own["risk"]).all()
    for weight in teacher_capacity.WEIGHTS:
        for kept in (0.03, 0.05, 0.1, 0.2):
            rows = line(capacity, weight=weight, share=kept)
            best = rows["risk"].argmin()
            assert (-5 < rows["change"][best] < -2) if kept < 0.2 else (-1 < rows["change"][best] < 0)
            assert rows["change"][best] + rows["change_half"][best] < 0
        assert line(capacity, weight=weight, share=0.5)["change"].min() == 0
    assert line(capacity, weight="weight 1", share=1.0)["change"].min() == 0


def test_the_best_teacher_grows_with_the_kept_share(capacity):
    for weight in teacher_capacity.WEIGHTS:
        best = where(capacity, kind="best", weight=weight)
        assert (np.diff(best["k"][:5]) > 0).all()
        assert best["high"][0] < best["low"][2] < best["high"][2] < best["low"][4]
        argmin = [line(capacity, weight=weight, share=f)["risk"].argmin() for f in teacher_capacity.SHARES[:5]]
        assert (np.diff(argmin) >= 0).all()
    nobody = line(capacity, weight="best weight", share=1.0)
    assert np.abs(nobody["change"]).max() < 1


def test_the_best_weight_is_no_worse_and_less_particular(capacity):
    for kept in teacher_capacity.SHARES:
        one, best = (line(capacity, weight=weight, share=kept) for weight in teacher_capacity.WEIGHTS)
        assert (best["risk"] <= one["risk"] * (1 + 1e-6)).all()
        assert best["change"].max() < one["change"].max()


def test_simulation_meets_the_closed_form():
    """Label noise is the only difference: paired over designs, no cell of 60 beyond what 60 comparisons allow."""
    rows = recorded(teacher_capacity.RECORD)
    ratio = (rows["simulated"] / rows["risk"]).reshape(teacher_capacity.DESIGNS, -1)
    z = (ratio.mean(axis=0) - 1) / stats.sem(ratio, axis=0)
    assert np.abs(z).max() < 4.5
    assert abs(ratio.mean() - 1) < 0.005


def test_the_teachers_own_risk_is_that_of_the_large_n_limit(capacity):
    """A second theory: features beyond k are noise to a teacher of k features."""
    variances, truth = teacher_capacity.population()
    square = variances * truth**2
    for k, risk in zip(teacher_capacity.COUNTS, where(capacity, kind="teacher")["risk"], strict=True):
        seen = Population(variances[:k], np.sqrt(square[:k]), teacher_capacity.NOISE + square[k:].sum())
        ridges = teacher_capacity.RIDGES["teacher"]
        how = {"n": teacher_capacity.N, "keep_fraction": 1.0, "ridge": ridges, "ridge_convention": "per_example"}
        limit = np.min(pruned_risk_curves(seen, **how).start) - teacher_capacity.NOISE
        assert abs(risk / limit - 1) < 0.02


def test_a_larger_share_for_the_teacher_helps_at_the_tuned_ridge(share):
    for keep, multiple in teacher_share.PANELS:
        rows = where(share, keep_fraction=keep, multiple=multiple)
        nobody = where(rows, line="no teacher")["value"]
        for weight in ("weight 0.5", "weight 1", "best in [0, 1]"):
            assert (np.diff(where(rows, kind="risk", line=weight)["value"]) <= 1e-12).all()
        best, free = (where(rows, kind="risk", line=name) for name in ("best in [0, 1]", "best of all"))
        assert (free["value"] <= best["value"] + 1e-12).all()
        assert (best["value"] <= nobody + 1e-12).all()
        if multiple == 1:
            assert (np.diff(free["value"]) < 0).all()
            assert free["high"][-1] < free["low"][0]
            assert where(rows, kind="risk", line="weight 1")["value"][0] > nobody[0]
        else:
            assert (np.diff(free["value"]) > 0).all()
            assert free["high"][0] < free["low"][-1]
            assert free["teacher_weight"].max() < -1


def test_the_parts_add_up_and_distillation_pays_bias_for_variance(share):
    for keep, multiple in teacher_share.PANELS:
        rows = where(share, keep_fraction=keep, multiple=multiple)
        parts = {
            (name, w): where(rows, kind="part", line=name, teacher_weight=w)["value"]
            for name in ("squared bias", "variance")
            for w in (0.0, 1.0)
        }
        np.testing.assert_allclose(
            parts["squared bias", 1.0] + parts["variance", 1.0], where(rows, kind="risk", line="weight 1")["value"], rtol=1e-12
        )
        assert (parts["variance", 1.0] < parts["variance", 0.0]).all()
        assert (parts["squared bias", 1.0] > parts["squared bias", 0.0]).all()
        assert (np.diff(parts["squared bias", 1.0]) < 0).all()
        assert (np.diff(parts["variance", 1.0]) < 0).all()


def test_simulated_labels_give_the_expected_risk_of_the_sweep(share):
    for keep, multiple in teacher_share.PANELS:
        for weight in ("weight 0.5", "weight 1"):
            rows = where(share, keep_fraction=keep, multiple=multiple, line=weight)
            theory, points = where(rows, kind="risk"), where(rows, kind="simulated")
            exact = theory["value"][:: teacher_share.MEASURED]
            np.testing.assert_allclose(points["value"], exact, rtol=0.05)
            assert ((points["low"] < exact) & (exact < points["high"])).all()


def test_one_ridge_is_tuned_for_the_student_alone(share):
    gram, signal, cross, new = teacher_share.setting()
    assert gram.shape == (310, 310)
    assert len(cross) == 132
    np.testing.assert_allclose(np.mean(signal**2), 1.0)
    how = {"noise_variance": 1.0, "keep_fractions": [0.1], "ridge_convention": "absolute", "cross": cross, "signal_new": new}
    risks = [pruning.risk_curves(gram, signal, ridge=r, **how).mean(0.0)[0] for r in teacher_share.RIDGES]
    best = int(np.argmin(risks))
    assert 0 < best < len(risks) - 1
    assert where(share, keep_fraction=0.1)["ridge"][0] == teacher_share.RIDGES[best]


def test_claims_fail_as_often_as_the_caption_says(share):
    rows = where(share, kind="failures")
    found = dict(zip(rows["line"], zip(rows["count"], rows["worst_ratio"], strict=True), strict=True))
    theorems = [name for name in found if "★" in name]
    assert len(theorems) == 3
    for name in theorems:
        assert found[name][0] == 0
    assert found["mean bias², weight 1"][0] == 0
    for name, low, high, worst in (
        ("bias², weight 1", 0.005, 0.03, 1.5),
        ("risk, weight 0.5", 0.005, 0.03, 1.1),
        ("risk, weight 1", 0.005, 0.04, 1.6),
        ("mean risk, best weight in [0, 1]", 0.001, 0.01, 1.3),
        ("mean risk, best weight of all", 0.5, 0.65, 60),
    ):
        count, ratio = found[name]
        assert low < count / 100_000 < high
        assert 1 < ratio < worst
    assert found["mean risk, best weight of all"][1] > 10
    assert (rows["designs"] == 100_000).all()


@pytest.mark.parametrize("count", [0, 3, 1549, 100_000])
def test_wilson_intervals(count):
    interval = stats.binomtest(count, 100_000).proportion_ci(method="wilson")
    np.testing.assert_allclose(teacher_share.wilson(count, 100_000), interval, rtol=1e-6, atol=1e-12)


def test_the_figures_are_drawn(capacity, share):
    for figure, table in ((teacher_capacity, capacity), (teacher_share, share)):
        plt.close(figure.draw(table))
