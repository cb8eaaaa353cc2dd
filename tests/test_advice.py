"""From held-out errors to a choice: every number of a small plan by a second, plain computation."""

import numpy as np
import pytest

from kdtheory.advice import FOLDS, Measured, choose
from kdtheory.likelihood import NoiseEstimate
from kdtheory.pruning_plan import Plan
from kdtheory.risk_curves import RiskCurves

N, SUBSETS, RIDGES = 60, 4, np.array([0.1, 1.0, 10.0])
FREE = (-np.inf, np.inf)


def errors(seed, rows=20, shift=0.0):
    """Gaps and changes (subsets, ridges, points) of students that a teacher helps, and their curves as a plan holds them."""
    rng = np.random.default_rng(seed)
    gaps = rng.normal(size=(SUBSETS, 3, N)) + np.array([0.3, 0.0, 0.5])[:, None] + shift
    changes = 0.6 * gaps + 0.5 * rng.normal(size=gaps.shape)
    curves = RiskCurves(gaps**2, -2 * gaps * changes, changes**2, 1.0)
    measured = Measured(rows, RIDGES, curves.mean(axis=0), curves.mean(axis=2).transpose(), 2.0)
    return gaps, changes, measured


def partitions(seed=0, count=3):
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(N) % FOLDS for _ in range(count)])


def best_pair(gaps, changes, points):
    """Ridge and weight of least mean squared error over some points; near-ties by the weight's distance to [0, 1]."""
    found = []
    for i in range(3):
        g, c = gaps[:, i, points], changes[:, i, points]
        w = np.sum(g * c) / np.sum(c**2)
        found.append((np.mean((g - w * c) ** 2), max(w - 1, 0, -w), i, w))
    least = min(found)[0]
    close = [entry for entry in found if entry[0] <= least * 1.005]
    return min(close, key=lambda entry: (entry[1], entry[0]))[2:]


def test_choice_and_cross_fitted_risk():
    gaps, changes, measured = errors(0)
    folds = partitions()
    choice = choose(measured, FREE, folds)
    i, w = best_pair(gaps, changes, np.arange(N))
    assert choice.ridge == RIDGES[i]
    assert choice.weight == pytest.approx(w)
    by_point = np.zeros(N)
    for fold in folds:
        for k in range(FOLDS):
            j, v = best_pair(gaps, changes, fold != k)
            by_point[fold == k] += np.mean((gaps[:, j] - v * changes[:, j]) ** 2, axis=0)[fold == k] / len(folds)
    np.testing.assert_allclose(choice.points, by_point)
    assert choice.risk == pytest.approx(by_point.mean())
    assert (
        choice.risk > measured.by_subset.mean(axis=1)[i].minimum
    )  # what was chosen on the same points looks better than it is
    np.testing.assert_allclose(choice.subsets, np.mean((gaps[:, i] - w * changes[:, i]) ** 2, axis=1))


def test_interval_of_the_weight():
    """Linearised over points, kept ones counted twice, or by the jackknife over folds; and over subsets."""
    for seed, rows in ((0, 20), (3, 60), (5, 6)):
        gaps, changes, measured = errors(seed, rows=rows)
        folds = partitions(seed)
        choice = choose(measured, FREE, folds)
        i, w = best_pair(gaps, changes, np.arange(N))
        influence = (gaps[:, i] - w * changes[:, i]) * changes[:, i] / np.mean(changes[:, i] ** 2)
        points = influence.mean(axis=0).var(ddof=1) / N * (1 + rows / N)
        weights = [[best_pair(gaps, changes, fold != k)[1] for k in range(FOLDS)] for fold in folds]
        jackknife = np.mean([(FOLDS - 1) * np.var(each) for each in weights])
        half = 1.959964 * np.sqrt(max(points, jackknife) + influence.mean(axis=1).var(ddof=1) / SUBSETS)
        np.testing.assert_allclose(choice.weight_interval, [w - half, w + half], rtol=1e-5)


def test_both_routes_to_the_spread_are_used():
    wider = []
    for seed in range(12):
        gaps, changes, _ = errors(seed)
        i, w = best_pair(gaps, changes, np.arange(N))
        influence = ((gaps[:, i] - w * changes[:, i]) * changes[:, i]).mean(axis=0) / np.mean(changes[:, i] ** 2)
        points = influence.var(ddof=1) / N * (1 + 20 / N)
        weights = [[best_pair(gaps, changes, fold != k)[1] for k in range(FOLDS)] for fold in partitions()]
        wider.append(np.mean([(FOLDS - 1) * np.var(each) for each in weights]) > points)
    assert any(wider)
    assert not all(wider)


def test_bounds_clip_weight_and_interval():
    _, _, measured = errors(0)
    free, clipped = (choose(measured, bounds, partitions()) for bounds in (FREE, (0.0, 0.5)))
    assert free.weight > 0.5
    assert clipped.weight == 0.5
    assert clipped.weight_interval[1] == 0.5
    assert clipped.points.mean() > free.points.mean()


def test_losses_are_paired_with_all_rows():
    """The same noise in both errors leaves their difference alone."""
    _, _, few = errors(0)
    _, _, every = errors(0, rows=N, shift=0.02)
    chosen, base = choose(few, FREE, partitions()), choose(every, None, partitions())
    value, low, high = chosen.interval(base)
    difference = chosen.points - base.points
    assert value == pytest.approx(difference.mean())
    half = 1.959964 * np.sqrt(difference.var(ddof=1) / N * (1 + 20 / N) + chosen.subsets.var(ddof=1) / SUBSETS)
    np.testing.assert_allclose([low, high], [value - half, value + half], rtol=1e-5)
    alone, lowest, highest = chosen.interval()
    half = 1.959964 * np.sqrt(chosen.points.var(ddof=1) / N * (1 + 20 / N) + chosen.subsets.var(ddof=1) / SUBSETS)
    np.testing.assert_allclose(
        [alone, lowest, highest], [chosen.risk, max(0, chosen.risk - half), chosen.risk + half], rtol=1e-5
    )


def test_laws_give_the_centre_and_widen_the_interval():
    _, _, measured = errors(0)
    slopes = np.array([[-1.0, -2.0, -1.0], [-0.8, -1.6, -0.8], [-1.2, -2.4, -1.2]])
    law = RiskCurves(np.array([[3.0, 2.0, 3.0]] * 3) + np.array([[0.0], [-0.1], [0.2]]), slopes, 1.0, 1.0)
    plain, choice = (choose(m, FREE, partitions()) for m in (measured, measured._replace(law=law)))
    assert choice.ridge == 1.0
    assert choice.weight == pytest.approx(1.0)
    assert choice.risk == pytest.approx(1.0)
    np.testing.assert_allclose(choice.laws, [1.0, 2.0 - 0.1 - 1.6 + 1, 2.0 + 0.2 - 2.4 + 1])
    assert choice.weight_interval[0] < 0.8
    assert choice.weight_interval[1] > 1.2
    value, low, high = choice.interval()
    assert value == pytest.approx(1.0)
    assert low < 0.8
    assert high > 1.3
    assert plain.laws is None


def test_what_is_not_identified():
    _, _, measured = errors(0)
    still = RiskCurves(measured.by_point.start, 1e-8, 1e-12, 1.0)
    unmoved = measured._replace(by_point=still, by_subset=RiskCurves(measured.by_subset.start, 1e-8, 1e-12, 1.0))
    choice = choose(unmoved, FREE, partitions())
    assert np.isnan(choice.weight)
    assert np.isnan(choice.weight_interval).all()
    rng = np.random.default_rng(0)
    vague = RiskCurves(1.0, rng.normal(size=(3, N)), 0.01, 1.0)
    by_subset = vague.mean(axis=1).reshape(3, 1)
    assert np.isnan(choose(Measured(20, RIDGES, vague, by_subset, 1.0), FREE, partitions()).weight)


def small_plan(**changes):
    few, many = errors(0)[2], errors(1, rows=N)[2]
    noise = NoiseEstimate(1.0, 0.25, (1.1, 0.2), (0.9, 0.3))
    known = {
        "noise": noise,
        "teacher_ridge": 1.0,
        "labels_variance": 2.0,
        "ridge_convention": "tuned",
        "method": "loo",
        "bounds": FREE,
        "tolerance": 0.01,
        "subsets": SUBSETS,
    }
    return Plan.of([few, many], np.array([1 / 3, 1.0]), **(known | changes))


def test_table_says_what_the_columns_hold():
    plan = small_plan()
    row = str(plan).splitlines()[7].split()
    a, b, base = plan.without, plan.with_distillation, plan.without.risk[-1]
    assert [float(row[0]), int(row[1])] == [0.333, 20]
    assert float(row[2].strip("<>") or row[3]) in (*RIDGES, 1.0)
    numbers = [float(cell.strip("[],%<>")) for cell in row if cell.strip("[],%<>")]
    expected = [a.ridge[0], a.risk[0], 100 * a.loss[0] / base, b.ridge[0], b.teacher_weight[0], *b.teacher_weight_interval[0]]
    expected += [b.risk[0], 100 * b.loss[0] / base, *(100 * b.loss_interval[0] / base)]
    np.testing.assert_allclose(numbers[2:], expected, rtol=0.03, atol=0.06)


def test_where_distillation_does_not_pay_it_is_not_advised():
    gaps, changes, measured = errors(1, rows=N)
    rng = np.random.default_rng(0)
    useless = 0.3 * rng.normal(size=changes.shape)  # unrelated to the gaps: the weight is noise, the cross-fitted risk larger
    curves = RiskCurves(gaps**2, -2 * gaps * useless, useless**2, 1.0)
    bad = measured._replace(by_point=curves.mean(axis=0), by_subset=curves.mean(axis=2).transpose(), rows=20)
    known = {"noise": NoiseEstimate(1.0, 0.2, (1.0, 0.1), (1.0, 0.3)), "teacher_ridge": 1.0, "ridge_convention": "tuned"}
    known["labels_variance"] = 2.0
    plan = Plan.of([bad, measured], np.array([0.3, 1.0]), method="loo", bounds=FREE, tolerance=0.01, subsets=4, **known)
    chosen = plan.with_distillation
    assert not chosen.helps[0]
    assert plan.advised_weight[0] == 0.0
    assert plan.advised_ridge[0] == plan.without.ridge[0]
    assert chosen.risk[0] == plan.without.risk[0]
    assert chosen.loss[0] == plan.without.loss[0]
    assert "no gain" in str(plan).splitlines()[7] or "not identified" in str(plan).splitlines()[7]


def test_a_figure_without_any_weight(tmp_path):
    pytest.importorskip("matplotlib")
    plan = small_plan()
    nothing = np.full(2, np.nan)
    object.__setattr__(plan.with_distillation, "teacher_weight", nothing)
    plan.figure().savefig(tmp_path / "plan.png")
