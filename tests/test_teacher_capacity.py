"""Teachers of several capacities for pruned students: against explicit refits, simulation, and the other closed forms."""

import numpy as np
import pytest
from scipy import stats

from kdtheory import pruning
from kdtheory.kept import random_orders
from kdtheory.teacher_capacity import leading_features, teacher_capacities

N, P, M = 24, 10, 15
RNG = np.random.default_rng(3)
X, NEW = RNG.normal(size=(N, P)) / np.arange(1, P + 1), RNG.normal(size=(M, P)) / np.arange(1, P + 1)
THETA = RNG.normal(size=(P, 2))
COUNTS, SHARES, RIDGES, OWN = (1, 4, 10), (0.25, 0.5, 1.0), (0.01, 0.1, 1.0), (0.02, 0.3)
NOISE, SUBSETS, SEED = 0.7, 3, 5


def given(**changes):
    """Arguments of the function, errors at new points."""
    how = {"noise_variance": NOISE, "keep_fractions": SHARES, "ridges": RIDGES, "teacher_ridges": OWN}
    how |= {"ridge_convention": "per_example", "subsets": SUBSETS, "seed": SEED}
    how |= {"cross": NEW @ X.T, "signal_new": NEW @ THETA, "teacher_crosses": leading_features(X, COUNTS, NEW)}
    return how | changes


def capacities(**changes):
    return teacher_capacities(X @ X.T, leading_features(X, COUNTS), X @ THETA, **given(**changes))


def ridge_map(features, ridge, convention, at):
    """From labels of the rows to predictions at other points, by one linear solve in feature space."""
    level = ridge * (len(features) if convention == "per_example" else 1)
    return at @ np.linalg.solve(features.T @ features + level * np.eye(features.shape[1]), features.T)


def risk_of(smoother, signal, signal_new):
    """Squared bias and variance of a linear map of labels, per point and output."""
    bias = np.mean((smoother @ signal - signal_new) ** 2)
    return bias + NOISE * np.sum(smoother**2) / len(signal_new)


def brute(convention, weight, share, j):
    """Risks of the best ridge of the mean over subsets, by explicit maps from all labels; that ridge; the teacher's two."""
    k = COUNTS[j]
    own = [risk_of(ridge_map(X[:, :k], r, convention, NEW[:, :k]), X @ THETA, NEW @ THETA) for r in OWN]
    G = ridge_map(X[:, :k], OWN[int(np.argmin(own))], convention, X[:, :k])
    table = []
    for ridge in RIDGES:
        risks = []
        for order in random_orders(N, SUBSETS, SEED):
            rows = order[: round(share * N)]
            targets = (1 - weight) * np.eye(N)[rows] + weight * G[rows]
            risks.append(risk_of(ridge_map(X[rows], ridge, convention, NEW) @ targets, X @ THETA, NEW @ THETA))
        table.append(risks)
    best = int(np.argmin(np.mean(table, axis=1)))
    return table[best], RIDGES[best], min(own), OWN[int(np.argmin(own))]


@pytest.mark.parametrize("convention", ["absolute", "per_example"])
@pytest.mark.parametrize("weight", [1.0, 0.4, -0.5])
def test_every_number_by_explicit_refits(convention, weight):
    found = capacities(ridge_convention=convention, teacher_weight=weight)
    for i, share in enumerate(SHARES):
        for j in range(len(COUNTS)):
            risks, ridge, own, own_ridge = brute(convention, weight, share, j)
            np.testing.assert_allclose(found.risks[i, j], risks, rtol=1e-9)
            np.testing.assert_allclose(found.risk[i, j], np.mean(risks), rtol=1e-9)
            np.testing.assert_allclose(found.teacher_risk[j], own, rtol=1e-9)
            assert (found.ridges[i, j], found.teacher_ridges[j]) == (ridge, own_ridge)
            assert found.teacher_weights[i, j] == weight
    np.testing.assert_array_equal(found.counts, [6, 12, 24])
    np.testing.assert_array_equal(found.best, found.risk.argmin(axis=1))


def test_the_best_weight_is_the_best_of_all_weights():
    found = capacities(teacher_weight=None)
    assert 0.2 < np.ptp(found.teacher_weights)  # it differs from setting to setting
    for i, share in enumerate(SHARES):
        for j in range(len(COUNTS)):
            w = found.teacher_weights[i, j]
            at, ridge = brute("per_example", w, share, j)[:2]
            np.testing.assert_allclose(found.risks[i, j], at, rtol=1e-9)
            assert found.ridges[i, j] == ridge
            for other in (w - 0.1, w + 0.1, 0.0, 0.5, 1.0):
                assert np.mean(at) <= np.mean(brute("per_example", other, share, j)[0]) * (1 + 1e-12)


def test_another_weight_needs_no_new_computation():
    first = capacities(teacher_weight=1.0)
    for weight in (None, 0.3, 2.0):
        second = capacities(teacher_weight=weight)
        moved = first.with_weight(weight)
        for name in ("risk", "ridges", "teacher_weights", "interval", "teacher_risk"):
            np.testing.assert_array_equal(getattr(moved, name), getattr(second, name))


def test_the_student_s_own_kernel_as_teacher_is_the_ordinary_sweep():
    """One ridge for all and the same kernel: `pruning.risk_curves` on the same subsets."""
    for convention in ("absolute", "per_example"):
        how = {"noise_variance": NOISE, "keep_fractions": SHARES, "ridge_convention": convention, "subsets": 4, "seed": 1}
        found = teacher_capacities(X @ X.T, [X @ X.T], X @ THETA, ridges=0.1, teacher_ridges=0.1, **how)
        sweep = pruning.risk_curves(X @ X.T, X @ THETA, ridge=0.1, **how)
        np.testing.assert_allclose(found.risk[:, 0], sweep.mean(1.0), rtol=1e-10)
        np.testing.assert_allclose(found.interval[:, 0], sweep.risk_interval(1.0), rtol=1e-8, atol=1e-14)
        np.testing.assert_allclose(found.with_weight(None).risk[:, 0], sweep.mean.minimum, rtol=1e-10)
        full = X @ X.T @ np.linalg.solve(X @ X.T + 0.1 * (N if convention == "per_example" else 1) * np.eye(N), np.eye(N))
        np.testing.assert_allclose(found.teacher_risk, risk_of(full, X @ THETA, X @ THETA), rtol=1e-9)


def test_teachers_without_new_points_are_judged_at_the_rows():
    found = capacities(teacher_crosses=None)
    for j, k in enumerate(COUNTS):
        own = [risk_of(ridge_map(X[:, :k], r, "per_example", X[:, :k]), X @ THETA, X @ THETA) for r in OWN]
        np.testing.assert_allclose(found.teacher_risk[j], min(own), rtol=1e-9)
    j = int(np.flatnonzero(found.teacher_ridges == capacities().teacher_ridges)[0])
    np.testing.assert_allclose(found.risk[:, j], capacities().risk[:, j], rtol=1e-12)  # the students are judged as before


def test_simulated_labels_give_the_expected_risk():
    found = capacities(subsets=1)
    draws = 4000
    y = (X @ THETA)[..., None] + np.sqrt(NOISE) * np.random.default_rng(0).normal(size=(N, 2, draws))
    order = random_orders(N, 1, SEED)[0]
    for i, j in ((0, 0), (1, 1), (2, 2)):
        k, rows = COUNTS[j], order[: found.counts[i]]
        taught = np.tensordot(ridge_map(X[:, :k], found.teacher_ridges[j], "per_example", X[:, :k]), y, 1)[rows]
        fit = np.tensordot(ridge_map(X[rows], found.ridges[i, j], "per_example", NEW), taught, 1)
        errors = np.mean((fit - (NEW @ THETA)[..., None]) ** 2, axis=(0, 1))
        assert abs(errors.mean() - found.risk[i, j]) < 4 * stats.sem(errors)


def test_intervals_are_t_intervals_over_subsets():
    found = capacities(subsets=6)
    half = stats.sem(found.risks, axis=2) * stats.t.ppf(0.975, 5)
    np.testing.assert_allclose(found.interval, np.stack([found.risk - half, found.risk + half], axis=-1), rtol=1e-12)
    np.testing.assert_allclose(found.interval[2, :, 0], found.risk[2])  # all rows are one subset
    assert np.isnan(capacities(subsets=1).interval).all()


def test_large_teachers_hurt_where_little_is_kept():
    """The law, averaged over designs: the best teacher grows with the share, though the largest is always the better one."""
    i, counts, levels = np.arange(1, 101), (10, 30, 100), np.logspace(-4, 1, 11)
    risks, own = [], []
    for seed in range(8):
        features = np.random.default_rng(seed).normal(size=(300, 100)) * i**-0.5
        metric = np.diag((100 / i) ** 0.5)
        how = {"cross": metric @ features.T, "signal_new": metric @ i**-0.25}
        how |= {"noise_variance": 0.25, "keep_fractions": [0.05, 1.0], "ridge_convention": "per_example", "seed": seed}
        found = teacher_capacities(
            features @ features.T,
            leading_features(features, counts),
            features @ i**-0.25,
            ridges=levels,
            teacher_ridges=levels,
            subsets=2,
            teacher_crosses=leading_features(features, counts, metric),
            **how,
        )
        risks.append(found.risk)
        own.append(found.teacher_risk)
    gain = np.array([risk[0, 2] / risk[0, 1] - 1 for risk in risks])
    assert gain.mean() - stats.sem(gain) * stats.t.ppf(0.975, 7) > 0
    assert (np.mean(risks, axis=0).argmin(axis=1) == [1, 2]).all()
    assert (np.diff(own, axis=1) < 0).all()


def test_leading_features_are_the_first_columns():
    for k, K, cross in zip(COUNTS, leading_features(X, COUNTS), leading_features(X, COUNTS, NEW), strict=True):
        np.testing.assert_allclose(K, sum(np.outer(X[:, c], X[:, c]) for c in range(k)), atol=1e-12)
        np.testing.assert_allclose(cross, sum(np.outer(NEW[:, c], X[:, c]) for c in range(k)), atol=1e-12)


def test_the_table_says_how_ridges_are_meant():
    text = str(capacities())
    assert "per example: K + ridge m I" in text
    assert "teacher weight 1," in text
    assert len([line for line in text.splitlines() if "*" in line]) == 1 + len(SHARES)
    other = str(capacities(ridge_convention="absolute", teacher_weight=None))
    assert "absolute: K + ridge I" in other
    assert "the best teacher weights" in other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ridges": [0.1, -1.0]}, r"`ridges` must be zero or positive and finite, got -1.0\."),
        ({"teacher_ridges": [-2.0]}, r"`teacher_ridges` must be zero or positive and finite, got -2.0\."),
        ({"teacher_crosses": []}, r"`teacher_crosses` must come with `cross`, one for each of 3 teachers, got 0\."),
        (
            {"cross": None, "signal_new": None},
            r"`teacher_crosses` must come with `cross`, one for each of 3 teachers, got 3 and no `cross`\.",
        ),
        ({"teacher_crosses": [NEW @ X.T[:, 1:]] * 3}, r"`teacher_crosses` must have shape \(15, 24\), got \(15, 23\)\."),
        ({"keep_fractions": [0.001]}, r"`keep_fractions` must keep at least one of 24 rows, got 0.001"),
        ({"keep_fractions": [1.5]}, r"`keep_fractions` must be at most 1"),
        ({"ridge_convention": "mean"}, r'`ridge_convention` must be "absolute" or "per_example", got \'mean\'\.'),
        ({"teacher_weight": np.inf}, r"`teacher_weight` must be finite, got inf\."),
        ({"noise_variance": -1.0}, r"`noise_variance` must be zero or positive and finite, got -1.0\."),
        ({"subsets": 0}, r"`subsets` must be a whole number of at least 1, got 0\."),
    ],
)
def test_errors_name_the_argument(changes, message):
    with pytest.raises(ValueError, match=message):
        capacities(**changes)


def test_errors_of_the_kernels():
    how = given(teacher_crosses=None)
    with pytest.raises(ValueError, match=r"`teacher_grams` must hold at least one kernel, got none\."):
        teacher_capacities(X @ X.T, [], X @ THETA, **how)
    with pytest.raises(ValueError, match=r"`teacher_grams` must have 24 rows like `gram`, got 5\."):
        teacher_capacities(X @ X.T, [np.eye(5)], X @ THETA, **how)
    with pytest.raises(ValueError, match="`teacher_grams` must be symmetric"):
        teacher_capacities(X @ X.T, [np.triu(np.ones((N, N)))], X @ THETA, **how)
    with pytest.raises(ValueError, match="`signal` must have 24 rows"):
        teacher_capacities(X @ X.T, [X @ X.T], THETA, **how)
    with pytest.raises(ValueError, match=r"`teacher_weight` must be finite, got nan\."):
        capacities().with_weight(np.nan)
    for counts in ([0], [11], [2.5]):
        with pytest.raises(ValueError, match="`counts` must be whole numbers between 1 and 10, the features, got"):
            leading_features(X, counts)
    with pytest.raises(ValueError, match=r"`features_new` must have shape \(any, 10\), got \(15, 9\)\."):
        leading_features(X, COUNTS, NEW[:, 1:])
