"""Distillation onto pruned data: any kernels, rows, teachers, metrics, against Monte Carlo and refits; and what is refused."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kdtheory as kd
from kdtheory import pruning
from kdtheory.kept import kept_count, random_orders, ridge_for, rows_kept
from kdtheory.testing import problems, subsets

RNG = np.random.default_rng(11)
N, P = 24, 5
X, Z, X_NEW = RNG.normal(size=(N, P)), RNG.normal(size=(N, 2)), RNG.normal(size=(9, P))
THETA = RNG.normal(size=P)
KERNELS = {"linear": X @ X.T, "rbf": kd.kernels.rbf(Z, gamma=0.4), "ntk": kd.kernels.ntk(X, depth=2)}
OVERLAPS = {
    "nested": (np.arange(8), np.arange(24)),
    "same": (np.arange(12), np.arange(12)),
    "disjoint": (np.arange(9), np.arange(9, 24)),
    "partial": (np.arange(12), np.arange(6, 20)),
    "teacher saw less": (np.arange(20), np.arange(5)),
}
ABSOLUTE = {"ridge_convention": "absolute"}


def smoothers(K, K_t, F, T, ridge, ridge_t, cross):
    """By explicit inverses: both students as matrices on all labels."""
    H, G = np.zeros((len(cross), N)), np.zeros((N, N))
    H[:, F] = cross[:, F] @ np.linalg.inv(K[np.ix_(F, F)] + ridge * np.eye(len(F)))
    G[:, T] = K_t[:, T] @ np.linalg.inv(K_t[np.ix_(T, T)] + ridge_t * np.eye(len(T)))
    return H, H[:, F] @ G[F]


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("teacher_kernel", KERNELS)
def test_risk_by_monte_carlo(overlap, teacher_kernel):
    F, T = OVERLAPS[overlap]
    K, K_t, cross, f, f_new = KERNELS["linear"], KERNELS[teacher_kernel], X_NEW @ X.T, X @ THETA, X_NEW @ THETA
    teacher = pruning.Teacher.ridge(K_t, ridge=0.4, seen=T, **ABSOLUTE)
    risk = pruning.risk_curve(
        K, f, noise_variance=0.6, kept=F, ridge=0.9, teacher=teacher, cross=cross, signal_new=f_new, **ABSOLUTE
    )
    H, H_t = smoothers(K, K_t, F, T, 0.9, 0.4, cross)
    labels = f[:, None] + np.sqrt(0.6) * np.random.default_rng(0).normal(size=(N, 20_000))
    for w in (0.0, 0.4, 1.0, 1.7):
        errors = np.mean((((1 - w) * H + w * H_t) @ labels - f_new[:, None]) ** 2, axis=0)
        assert abs(errors.mean() - risk(w)) < 4.5 * errors.std() / np.sqrt(20_000)
    single = kd.RiskCurve.from_smoothers(H, H_t, f, noise_variance=0.6, signal_new=f_new)
    assert risk.optimal_weight == pytest.approx(single.optimal_weight, rel=1e-9)
    assert risk.minimum == pytest.approx(single.minimum, rel=1e-9)
    assert risk.gain == pytest.approx(single.gain, rel=1e-8, abs=1e-12)
    assert risk.identifiability == pytest.approx(single.identifiability, rel=1e-9)
    assert risk.helps == (single.optimal_weight > 0)
    both = pruning.smoothers(K, kept=F, ridge=0.9, teacher=teacher, cross=cross, **ABSOLUTE)
    np.testing.assert_allclose(both.on_labels, H, atol=1e-12)
    np.testing.assert_allclose(both.on_teacher, H_t, atol=1e-12)


@given(problems(least=3), st.data())
def test_on_all_rows_it_is_self_distillation(problem, data):
    how = {"noise_variance": problem.noise_variance, "ridge": problem.ridge}
    kept = data.draw(st.permutations(range(problem.n)))
    risk = pruning.risk_curve(problem.gram, problem.signal, kept=kept, **how, **ABSOLUTE)
    curve = kd.weights.expected_curve(problem.spectrum, problem.signal, **how)
    w = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(risk(w), curve(w), rtol=1e-9 + 1e4 * problem.rounding)


@given(problems(least=2, condition=1e4, smallest_ridge=1e-3), st.data())
def test_measured_students_are_two_solves(problem, data):
    F = data.draw(subsets(problem.n))
    both = pruning.students(problem.gram, problem.y, kept=F, ridge=problem.ridge, cross=problem.cross, **ABSOLUTE)
    heard = problem.gram @ np.linalg.solve(problem.gram + problem.ridge * np.eye(problem.n), problem.y)
    inner = problem.gram[np.ix_(F, F)] + problem.ridge * np.eye(len(F))
    for got, targets in zip(both, (problem.y, heard), strict=True):
        expected = problem.cross[:, F] @ np.linalg.solve(inner, targets[F])
        np.testing.assert_allclose(got, expected, atol=1e-9 * (1 + np.abs(expected).max()))


def test_any_metric_is_a_choice_of_points():
    """The error of the parameters in a metric M, by the primal matrices."""
    F, T = OVERLAPS["partial"]
    A_F, A_T, A_O = (X[rows].T @ X[rows] for rows in (F, T, np.intersect1d(F, T)))
    S_F, S_T = np.linalg.inv(A_F + 0.9 * np.eye(P)), np.linalg.inv(A_T + 0.4 * np.eye(P))
    root = RNG.normal(size=(P, P))
    M = root @ root.T
    teacher = pruning.Teacher.ridge(X @ X.T, ridge=0.4, seen=T, **ABSOLUTE)
    how = {"cross": root.T @ X.T, "signal_new": root.T @ THETA}
    risk = pruning.risk_curve(X @ X.T, X @ THETA, noise_variance=0.6, kept=F, ridge=0.9, teacher=teacher, **how, **ABSOLUTE)
    b0, b1 = 0.9 * S_F @ THETA, 0.4 * S_F @ A_F @ S_T @ THETA
    V0, V1, C = S_F @ A_F @ S_F, S_F @ A_F @ S_T @ A_T @ S_T @ A_F @ S_F, S_F @ A_O @ S_T @ A_F @ S_F
    top = 0.6 * (np.trace(M @ V0) - np.trace(M @ C)) - b0 @ M @ b1
    bottom = b1 @ M @ b1 + 0.6 * (np.trace(M @ V0) + np.trace(M @ V1) - 2 * np.trace(M @ C))
    assert risk.optimal_weight == pytest.approx(top / bottom, rel=1e-10)
    assert float(risk.bias(1.0)) * P == pytest.approx((b0 + b1) @ M @ (b0 + b1), rel=1e-10)
    assert float(risk.variance(1.0)) * P == pytest.approx(np.trace(M @ V1), rel=1e-10)


def test_families_are_single_curves_on_the_same_subsets():
    K, f = KERNELS["ntk"], np.stack([X[:, 0], X[:, 1] ** 2], axis=1)
    teacher = pruning.Teacher.ridge(KERNELS["rbf"], ridge=0.3, **ABSOLUTE)
    how = {"noise_variance": 0.5, "ridge": 0.02, "ridge_convention": "per_example", "teacher": teacher}
    family = pruning.risk_curves(K, f, keep_fractions=[0.25, 0.5, 1.0], subsets=7, seed=3, **how)
    orders = random_orders(N, 7, 3)
    assert family.counts.tolist() == [6, 12, 24]
    for i, m in enumerate(family.counts):
        risks = [pruning.risk_curve(K, f, kept=order[:m], **how) for order in orders]
        for j, risk in enumerate(risks):
            assert float(family.curves[i, j](0.3)) == pytest.approx(risk(0.3), rel=1e-10)
        mean = [np.mean([risk(w) for risk in risks]) for w in (0.0, 0.5, 1.0)]
        vertex = kd.RiskCurve.fit([0.0, 0.5, 1.0], mean).optimal_weight
        assert family.optimal_weight[i] == pytest.approx(vertex, rel=1e-8)
    given = pruning.risk_curves(K, f, keep_fractions=[0.25], orders=orders, **how)
    np.testing.assert_array_equal(given.curves.start, family.curves.start[:1])
    louder = pruning.risk_curves(K, f, keep_fractions=[0.5], subsets=7, seed=3, **(how | {"noise_variance": 2.0}))
    np.testing.assert_allclose(family.with_noise(2.0).optimal_weight[1], louder.optimal_weight[0], rtol=1e-12)
    low, high = family.interval[1]
    assert low < family.optimal_weight[1] < high
    low, high = family.risk_interval(0.5)[1]
    assert low < family.mean[1](0.5) < high


def test_intervals_cover_the_mean_over_all_subsets():
    K, f = KERNELS["rbf"], np.sin(Z[:, 0])
    how = {"noise_variance": 0.3, "ridge": 0.01, "ridge_convention": "per_example", "keep_fractions": [0.3]}
    truth = pruning.risk_curves(K, f, subsets=3000, seed=999, **how).optimal_weight[0]
    ends = np.array([pruning.risk_curves(K, f, subsets=12, seed=seed, **how).interval[0] for seed in range(150)])
    assert 0.9 <= np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])) <= 0.99


def test_the_weight_between_its_ends_as_noise_grows():
    F, T = OVERLAPS["nested"]
    teacher = pruning.Teacher.ridge(KERNELS["rbf"], ridge=0.4, seen=T, **ABSOLUTE)
    risk = pruning.risk_curve(KERNELS["rbf"], Z[:, 0], noise_variance=0.0, kept=F, ridge=0.2, teacher=teacher, **ABSOLUTE)
    weights = [risk.with_noise(v).optimal_weight for v in (0.0, 0.1, 1.0, 10.0, 1e6)]
    assert risk.rises_with_noise == (weights[-1] > weights[0])
    assert (np.diff(weights) > 0).all() == risk.rises_with_noise
    assert weights[-1] == pytest.approx(risk.noise_limit, rel=1e-4)


def test_the_noise_above_which_distillation_helps():
    for kernel, overlap in (("rbf", "nested"), ("linear", "nested"), ("ntk", "partial"), ("rbf", "disjoint")):
        F, T = OVERLAPS[overlap]
        teacher = pruning.Teacher.ridge(KERNELS[kernel], ridge=2.0, seen=T, **ABSOLUTE)
        how = {"noise_variance": 1.0, "kept": F, "ridge": 1.0, "teacher": teacher, **ABSOLUTE}
        risk = pruning.risk_curve(KERNELS[kernel], Z[:, 0], **how)
        limit = risk.helps_above
        for v in np.geomspace(1e-6, 1e6, 25):
            assert risk.with_noise(v).helps == (v > limit)
        assert pruning.distillation_helps(KERNELS[kernel], Z[:, 0], **(how | {"noise_variance": 2 * limit + 0.1}))


def test_a_given_teacher_and_a_linear_one():
    K, f = KERNELS["rbf"], Z[:, 0]
    G = RNG.normal(size=(N, N)) / N
    F = np.arange(10)
    how = {"noise_variance": 0.3, "kept": F, "ridge": 0.2, **ABSOLUTE}
    linear = pruning.risk_curve(K, f, teacher=pruning.Teacher.linear(G), **how)
    H = K[:, F] @ np.linalg.inv(K[np.ix_(F, F)] + 0.2 * np.eye(10))
    full = np.zeros((N, N))
    full[:, F] = H
    single = kd.RiskCurve.from_smoothers(full, H @ G[F], f, noise_variance=0.3)
    assert linear.optimal_weight == pytest.approx(single.optimal_weight, rel=1e-10)
    g = RNG.normal(size=N)
    given = pruning.risk_curve(K, f, teacher=pruning.Teacher.fixed(g), **how)
    for w in (0.0, 0.5, 1.0):
        bias = np.mean((f - H @ ((1 - w) * f[F] + w * g[F])) ** 2)
        assert float(given(w)) == pytest.approx(bias + 0.3 * (1 - w) ** 2 * np.sum(H**2) / N, rel=1e-10)


def test_a_teacher_that_interpolates_says_nothing():
    K, f = KERNELS["rbf"], Z[:, 0]
    for ridge_t in (0.0, 1e-9, 1e-3):
        teacher = pruning.Teacher.ridge(K, ridge=ridge_t, **ABSOLUTE)
        how = {"noise_variance": 0.0, "kept": range(8), "ridge": 0.5, "teacher": teacher, **ABSOLUTE}
        risk = pruning.risk_curve(K, f, **how)
        assert not risk.identified
        assert np.isnan(risk.optimal_weight)
        assert risk.minimum == float(risk(0.0))
        assert "the optimal teacher weight is not identified" in str(risk)
        with pytest.raises(ValueError, match="`teacher` must differ from the labels at the kept rows"):
            pruning.optimal_teacher_weight(K, f, **how)
        family = pruning.risk_curves(K, f, keep_fractions=[0.5], **{k: v for k, v in how.items() if k != "kept"})
        assert "not identified" in str(family)


def test_least_squares_students_are_their_teachers():
    K, f = KERNELS["linear"], X @ THETA
    how = {"noise_variance": 1.0, "ridge": 0.0, "cross": np.eye(P) @ X.T, "signal_new": THETA, **ABSOLUTE}
    risk = pruning.risk_curve(K, f, kept=range(10), **how)
    assert risk.optimal_weight == pytest.approx(1.0, abs=1e-8)
    assert float(risk(1.0)) * P == pytest.approx(np.trace(np.linalg.inv(X.T @ X)), rel=1e-8)
    assert float(risk(0.0)) * P == pytest.approx(np.trace(np.linalg.inv(X[:10].T @ X[:10])), rel=1e-8)


def test_what_is_printed_names_the_convention():
    how = {"noise_variance": 0.5, "kept": range(6), "ridge": 0.1}
    texts = [str(pruning.risk_curve(KERNELS["rbf"], Z[:, 0], ridge_convention=c, **how)) for c in ("absolute", "per_example")]
    assert "ridge 0.1 (absolute: K + ridge I)" in texts[0]
    assert "ridge 0.1 (per example: K + ridge m I)" in texts[1]
    assert ridge_for(0.1, 6, "per_example") == pytest.approx(0.6)
    by_hand = pruning.risk_curve(
        KERNELS["rbf"], Z[:, 0], **(how | {"ridge": 0.6}), **ABSOLUTE,
        teacher=pruning.Teacher.ridge(KERNELS["rbf"], ridge=0.1 * N, **ABSOLUTE),
    )  # fmt: skip
    assert f"optimal teacher weight {by_hand.optimal_weight:.3f}" in texts[1]


@given(st.data(), st.integers(1, 40))
def test_masks_and_indices_name_the_same_rows(data, n):
    rows = data.draw(subsets(n))
    mask = np.isin(np.arange(n), rows)
    assert rows_kept(mask, n).tolist() == rows_kept(rows, n).tolist() == rows.tolist()
    assert rows_kept(rows[::-1], n).tolist() == rows[::-1].tolist()


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ([], "`kept` must keep at least one row, got none"),
        (np.zeros(N, dtype=bool), "`kept` must keep at least one row, got none"),
        ([1, 2, 1], "`kept` must name each row once, got 1 more than once"),
        ([0, N], f"`kept` must hold indices between 0 and {N - 1}, got {N}"),
        ([-1], f"`kept` must hold indices between 0 and {N - 1}, got -1"),
        (np.ones(N - 1, dtype=bool), f"`kept` must be a mask of all {N} rows, got {N - 1} entries"),
        ([0.5, 1.0], "`kept` must hold whole numbers or be a boolean mask, got dtype float64"),
        ([[0, 1]], "`kept` must be one-dimensional, indices of rows or a mask, got shape (1, 2)"),
        (None, "`kept` must be given, got None"),
    ],
)
def test_rows_that_are_refused(kept, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        pruning.risk_curve(KERNELS["rbf"], Z[:, 0], noise_variance=1.0, kept=kept, ridge=0.1, **ABSOLUTE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ridge_convention": "n"}, '`ridge_convention` must be "absolute" or "per_example", got \'n\''),
        ({"ridge": -1.0}, "`ridge` must be zero or positive and finite, got -1.0"),
        ({"noise_variance": -1.0}, "`noise_variance` must be zero or positive and finite, got -1.0"),
        ({"teacher": pruning.Teacher.fixed(np.ones((N, 3)))}, "`teacher` must have the outputs of the labels, 1, got 3"),
        ({"teacher": pruning.Teacher.fixed(np.ones(5))}, f"`teacher` must predict at all {N} rows of `gram`, got 5"),
        ({"cross": X_NEW @ X.T}, "`cross` and `signal_new` must be given together"),
        ({"cross": X_NEW @ X.T, "signal_new": np.ones((9, 2))}, "`signal_new` must have 1 outputs like `signal`, got 2"),
        ({"cross": X_NEW, "signal_new": np.ones(9)}, f"`cross` must have shape (any, {N}), got (9, 5)"),
    ],
)
def test_settings_that_are_refused(changes, message):
    how = {"noise_variance": 1.0, "kept": [0, 1], "ridge": 0.1, "ridge_convention": "absolute"} | changes
    with pytest.raises(ValueError, match=re.escape(message)):
        pruning.risk_curve(KERNELS["rbf"], Z[:, 0], **how)


def test_families_that_are_refused():
    how = {"noise_variance": 1.0, "ridge": 0.1, **ABSOLUTE}
    K, f = KERNELS["rbf"], Z[:, 0]
    for fractions, message in (
        ([0.01], f"`keep_fractions` must keep at least one of {N} rows, got 0.01, which keeps none"),
        ([0.5, 1.1], "`keep_fractions` must be at most 1, the share that is KEPT, got 1.1"),
        ([0.0], "`keep_fractions` must be positive, got 0.0"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            pruning.risk_curves(K, f, keep_fractions=fractions, **how)
    with pytest.raises(ValueError, match=f"`orders` must hold all {N} rows in each order, got 3"):
        pruning.risk_curves(K, f, keep_fractions=[0.5], orders=[0, 1, 2], **how)
    with pytest.raises(ValueError, match="`subsets` must be a whole number of at least 1, got 0"):
        pruning.risk_curves(K, f, keep_fractions=[0.5], subsets=0, **how)
    with pytest.raises(ValueError, match=f"`teacher_gram` must have {N} rows like `gram`, got 3"):
        pruning.teacher_shares(K, f, keep_fraction=0.5, seen_fractions=[1.0], teacher_gram=np.eye(3), **how)
    with pytest.raises(ValueError, match="`smoother` must be square"):
        pruning.Teacher.linear(np.ones((3, 2)))
    assert kept_count(0.5, 5) == 2
