"""From data to advice: exact held-out errors, signal and noise, and intervals that refitting bears out."""

import re

import numpy as np
import pytest
import scipy.stats

import kdtheory as kd
from kdtheory.kept import random_orders
from kdtheory.likelihood import marginal_likelihood
from kdtheory.plan import plan
from kdtheory.problem import diabetes
from kdtheory.pruned_leave_one_out import held_out_pairs
from kdtheory.pruned_students import KeptStudent, Teacher


def truth(X):
    return np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] * X[:, 2]


def kernel(*points):
    return kd.kernels.rbf(*points, gamma=0.3)


def draws_of(s, scale, noise_variance):
    """A square root of scale K + noise_variance I."""
    return s.eigenvectors * np.sqrt(scale * s.eigenvalues + noise_variance)


def sample(n, rng, noise=0.7):
    X = rng.normal(size=(n, 3))
    return X, truth(X) + noise * rng.normal(size=n)


@pytest.mark.parametrize("seen", [np.arange(20), np.arange(4, 17)])
@pytest.mark.parametrize("same", [True, False])
def test_held_out_predictions_are_those_of_refits(seen, same):
    rng = np.random.default_rng(3)
    X, Y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    K = kernel(X)
    K_t = K if same else kd.kernels.laplace(X, gamma=0.4)
    kept = np.array([3, 17, 1, 12, 5, 9])
    teacher = Teacher.ridge(K_t, ridge=0.3, ridge_convention="absolute", seen=seen)
    ridges = np.array([0.05, 1.0])
    for ridge, pair in zip(ridges, held_out_pairs(KeptStudent.of(K, kept), Y, teacher, ridges), strict=True):
        for i in range(20):
            T, F = seen[seen != i], kept[kept != i]
            heard = K_t[:, T] @ np.linalg.solve(K_t[np.ix_(T, T)] + 0.3 * np.eye(len(T)), Y[T])
            at = np.linalg.solve(K[np.ix_(F, F)] + ridge * np.eye(len(F)), K[F, i])
            np.testing.assert_allclose(pair.on_labels[i], at @ Y[F], atol=1e-12)
            np.testing.assert_allclose(pair.change[i], at @ (heard[F] - Y[F]), atol=1e-11)


def test_held_out_on_a_given_teacher():
    rng = np.random.default_rng(4)
    X, y, g = rng.normal(size=(12, 2)), rng.normal(size=(12, 1)), rng.normal(size=(12, 1))
    K, kept = kernel(np.c_[X, X[:, 0]]), np.arange(7)
    (pair,) = held_out_pairs(KeptStudent.of(K, kept), y, Teacher.fixed(g), np.array([0.2]))
    for i in range(12):
        F = kept[kept != i]
        at = np.linalg.solve(K[np.ix_(F, F)] + 0.2 * np.eye(len(F)), K[F, i])
        np.testing.assert_allclose(pair.on_labels[i] + pair.change[i], at @ g[F], atol=1e-12)


def test_likelihood_against_the_density():
    """The maximum and the interval's ends on SciPy's multivariate normal density."""
    rng = np.random.default_rng(0)
    X, y = sample(40, rng)
    K = kernel(X)
    estimate = marginal_likelihood(kd.Spectrum.from_gram(K), y)

    def log_density(scale, variance):
        return scipy.stats.multivariate_normal.logpdf(y, np.zeros(40), scale * K + variance * np.eye(40))

    best = log_density(estimate.scale, estimate.noise_variance)
    for scale in (0.9, 1.0, 1.1):
        for variance in (0.9, 1.0, 1.1):
            assert log_density(scale * estimate.scale, variance * estimate.noise_variance) <= best + 1e-6
    for end in (estimate.low, estimate.high):
        assert 2 * (best - log_density(*end)) == pytest.approx(3.8415, rel=1e-3)
    assert estimate.ridge == estimate.noise_variance / estimate.scale


def test_likelihood_finds_what_it_draws():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 3))
    s = kd.Spectrum.from_gram(kernel(X))
    y = draws_of(s, 2.0, 0.5) @ rng.normal(size=(300, 5))
    estimate = marginal_likelihood(s, y)
    assert estimate.noise_variance == pytest.approx(0.5, rel=0.1)
    assert estimate.scale == pytest.approx(2.0, rel=0.25)
    assert estimate.low[1] < 0.5 < estimate.high[1]


def test_expected_curves_are_averages_over_draws():
    """The likelihood's curves against held-out errors of many labels from the same law."""
    rng = np.random.default_rng(2)
    X, y = sample(40, rng, noise=0.2)
    how = {"keep_fractions": [0.3], "ridge_convention": "absolute", "ridge": 0.5, "subsets": 3, "bounds": (-2.0, 2.0)}
    advice = plan(kernel(X), y, method="likelihood", **how)
    s, noise = kd.Spectrum.from_gram(kernel(X)), advice.noise
    labels = draws_of(s, noise.scale, noise.noise_variance) @ rng.normal(size=(40, 4000))
    teacher = Teacher.ridge(kernel(X), ridge=0.5, ridge_convention="absolute")
    gaps, changes = [], []
    for order in random_orders(40, 3, 0):
        (pair,) = held_out_pairs(KeptStudent.of(kernel(X), order[:12]), labels, teacher, np.array([0.5]))
        gaps.append(labels - pair.on_labels)
        changes.append(pair.change)
    gap, change = np.array(gaps), np.array(changes)
    assert advice.without.risk[0] == pytest.approx(np.mean(gap**2), rel=0.02)
    w = np.mean(gap * change) / np.mean(change**2)
    assert advice.with_distillation.teacher_weight[0] == pytest.approx(w, abs=0.05)


def refitted(X, y, advice, strategy, Z):
    """Optimal weight and risk on new clean points of students of other subsets, at the ridges of the plan."""
    K, cross, f = kernel(X), kernel(Z, X), truth(Z)[:, None]
    teacher = Teacher.ridge(K, ridge=advice.teacher_ridge, ridge_convention="absolute")
    weights, risks = [], []
    for i, m in enumerate(advice.counts):
        sums = np.zeros(3)
        for order in random_orders(len(K), 12, 99):
            on_labels, change = KeptStudent.of(K, order[:m], cross).predictions(y[:, None], teacher, strategy.ridge[i])
            gap = f - on_labels
            sums += [np.mean(gap**2) / 12, np.mean(gap * change) / 12, np.mean(change**2) / 12]
        w = np.nan_to_num(strategy.teacher_weight[i])
        weights.append(sums[1] / sums[2])
        risks.append(sums[0] - 2 * w * sums[1] + w**2 * sums[2])
    return np.array(weights), np.array(risks)


@pytest.mark.parametrize("convention", ["absolute", "tuned"])
def test_intervals_cover_what_refitting_finds(convention):
    """Twenty-four data sets, a thousand new points each: 95 % intervals of the weight and of the loss."""
    covered, lost = [], []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        X, y = sample(150, rng)
        given = {} if convention == "tuned" else {"ridge": 0.3}
        advice = plan(X, y, kernel=kernel, keep_fractions=[0.2, 0.6], ridge_convention=convention, subsets=6, **given)
        Z = rng.normal(size=(1000, 3))
        weights, risks = refitted(X, y, advice, advice.with_distillation, Z)
        base, instead = refitted(X, y, advice, advice.without, Z)[1][-1], refitted(X, y, advice, advice.without, Z)[1]
        risks = np.where(advice.with_distillation.helps, risks, instead)
        low, high = advice.with_distillation.teacher_weight_interval.T
        covered += ((low <= weights) & (weights <= high))[np.isfinite(low)].tolist()
        low, high = advice.with_distillation.loss_interval.T
        lost.append((low <= risks - base) & (risks - base <= high))
    assert 0.85 <= np.mean(covered) <= 0.998
    assert 0.85 <= np.mean(lost) <= 0.998


def test_the_two_methods_and_conventions_agree_on_a_real_set():
    pytest.importorskip("sklearn")  # the diabetes data
    X, y = diabetes()
    X, y = (X / X.std(axis=0))[:250], (y / y.std())[:250]

    def smooth(X):
        return kd.kernels.rbf(X, gamma=0.02)

    how = {"kernel": smooth, "keep_fractions": [0.1, 0.5], "subsets": 4}
    loo, law = (plan(X, y, method=method, **how) for method in ("loo", "likelihood"))
    ends = [method.with_distillation.teacher_weight_interval[:2] for method in (loo, law)]
    assert (np.maximum(ends[0][:, 0], ends[1][:, 0]) < np.minimum(ends[0][:, 1], ends[1][:, 1])).all()
    assert loo.with_distillation.risk[0] < loo.without.risk[0]
    per, absolute = (plan(X, y, ridge=30.0, ridge_convention=c, **how) for c in ("per_example", "absolute"))
    np.testing.assert_allclose(per.with_distillation.ridge, 30.0 * per.counts / 250)
    np.testing.assert_allclose(absolute.with_distillation.ridge, 30.0)


def test_bounds_table_and_figure(tmp_path):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    X, y = sample(80, rng)
    advice = plan(X, y, kernel=kernel, keep_fractions=[0.25, 0.5], bounds=(0.0, 0.8), subsets=3)
    assert (advice.with_distillation.teacher_weight <= 0.8).all()
    text = str(advice)
    assert "80 rows, teacher ridge" in text
    assert "the student's ridge tuned for every share" in text
    assert text.count("\n") == 15
    advice.figure().savefig(tmp_path / "plan.png")
    assert (tmp_path / "plan.png").stat().st_size > 10_000


def test_droppable_reads_the_losses():
    rng = np.random.default_rng(0)
    X, y = sample(120, rng)
    advice = plan(X, y, kernel=kernel, keep_fractions=[0.1, 0.2, 0.4, 0.7], subsets=4, tolerance=0.05)
    for distilled, strategy in ((True, advice.with_distillation), (False, advice.without)):
        for surely in (False, True):
            loss = strategy.loss_interval[:, 1] if surely else strategy.loss
            share = 1 - advice.droppable(distilled=distilled, surely=surely)
            kept = advice.keep_fractions
            fine = loss <= 0.05 * advice.without.risk[-1]
            assert fine[:-1][kept[:-1] >= share - 1e-9].all()
            below = np.flatnonzero(kept < share - 1e-9)
            assert not len(below) or not fine[below[-1]]


def test_a_teacher_that_moves_nothing_is_said_to():
    """Labels without noise in the span of few features: every student is its teacher."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    advice = plan(X @ X.T, X @ [1.0, -1.0], keep_fractions=[0.5], ridge=1e-4, ridge_convention="absolute", subsets=2)
    assert np.isnan(advice.with_distillation.teacher_weight).all()
    assert "not identified" in str(advice)


def test_an_offset_of_the_labels_changes_no_advice():
    """A kernel with a large constant learns the offset; how far a teacher moves is measured by the labels' variance."""
    X, y = sample(120, np.random.default_rng(0))
    K = kernel(X) + 1000.0
    how = {"keep_fractions": [0.2, 0.5], "subsets": 4, "ridge": 0.5, "ridge_convention": "absolute"}
    centred, shifted = (plan(K, labels, **how).with_distillation for labels in (y - y.mean(), y + 50.0))
    np.testing.assert_allclose(shifted.teacher_weight[:2], centred.teacher_weight[:2], atol=0.1)


@pytest.mark.parametrize("kind", ["noise", "unrelated points", "ten rows"])
def test_nothing_to_learn_gives_no_extreme_weight(kind):
    rng = np.random.default_rng(0)
    n = 10 if kind == "ten rows" else 100
    X, y = rng.normal(size=(n, 20)) * (10.0 if kind == "unrelated points" else 1.0), rng.normal(size=n)
    for method in ("loo", "likelihood"):
        advice = plan(X, y, kernel=kd.kernels.rbf, keep_fractions=[0.3], subsets=3, method=method)
        assert advice.explained < 0.02
        assert advice.droppable() == 0.0
        assert "nothing is lost, for nothing was learned" in str(advice)
        assert (np.abs(advice.advised_weight) < 5).all()
        assert (advice.with_distillation.risk <= advice.without.risk + 1e-12).all()


def test_progress_goes_to_the_error_stream(capsys):
    X, y = sample(30, np.random.default_rng(0))
    plan(X, y, kernel=kernel, keep_fractions=[0.5], subsets=2, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "plan: 2 of 2 shares" in captured.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep_fractions": [0.0]}, "`keep_fractions` must be positive, got 0.0"),
        ({"keep_fractions": [1.5]}, "`keep_fractions` must be at most 1, the share that is KEPT, got 1.5"),
        ({"keep_fractions": [0.001]}, "`keep_fractions` must keep at least one of 30 rows, got 0.001, which keeps none"),
        ({"ridge_convention": "mean"}, "`ridge_convention` must be one of tuned, absolute, per_example, got 'mean'"),
        ({"method": "cv"}, "`method` must be one of loo, likelihood, got 'cv'"),
        ({"ridge": 0.0}, "`ridge` must be positive and finite, got 0.0"),
        (
            {"bounds": (1.0, 0.0)},
            "`bounds` must be (lowest, highest) teacher weights, the first below the second, got (1.0, 0.0)",
        ),
        ({"bounds": 1.0}, "`bounds` must be (lowest, highest) teacher weights, the first below the second, got 1.0"),
        ({"subsets": 1}, "`subsets` must be a whole number of at least 2, got 1"),
        ({"tolerance": -0.1}, "`tolerance` must be zero or positive and finite, got -0.1"),
        ({"y": np.zeros(30)}, "`y` must not be zero everywhere"),
        ({"y": np.ones(29)}, "`y` must have 30 rows, one per point, got 29"),
        ({"points": np.eye(5), "y": np.ones(5)}, "`points` must hold at least 10 rows for a plan, got 5"),
        ({"y": np.full(30, 1e170)}, "`y` must have squares within floating point, got a mean square of inf; scale it."),
        ({"points": np.zeros((30, 30))}, "`points` must not be zero everywhere: there is nothing to learn."),
        ({"kernel": "rbf"}, "`kernel` must be a function of point sets, got 'rbf'"),
        (
            {"kernel": np.eye(30)},
            "of type ndarray; a Gram matrix goes in as `points`.",
        ),
        ({"points": np.ones((30, 2))}, "`points` must be a square Gram matrix where no `kernel` is given, got shape (30, 2)"),
    ],
)
def test_bad_input(changes, message):
    X, y = sample(30, np.random.default_rng(0))
    given = {"points": kernel(X), "y": y, "keep_fractions": [0.5], "subsets": 2} | changes
    with pytest.raises(ValueError, match=re.escape(message)):
        plan(given.pop("points"), given.pop("y"), **given)
