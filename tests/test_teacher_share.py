"""What a teacher's share of the data does to a pruned student: counterexample, theorems, orthogonal designs."""

import numpy as np
import pytest

from kdtheory import pruning
from kdtheory.kept import random_orders
from kdtheory.orthogonal import OrthogonalDesign
from paper_figs.teacher_share import FEATURES, KEPT, ROWS, designs, errors

Teacher = pruning.Teacher


def parameters(X, theta):
    """Arguments that make the error that of the parameters, per coordinate."""
    return {"gram": X @ X.T, "signal": X @ theta, "cross": np.eye(X.shape[1]) @ X.T, "signal_new": theta}


def curve(X, theta, *, kept, seen, ridge, teacher_ridge=None, convention="absolute", noise=1.0):
    teacher = Teacher.ridge(
        X @ X.T, ridge=ridge if teacher_ridge is None else teacher_ridge, ridge_convention=convention, seen=seen
    )
    how = {"kept": kept, "ridge": ridge, "ridge_convention": convention, "teacher": teacher, "noise_variance": noise}
    return pruning.risk_curve(**parameters(X, theta), **how)


def refit(X, theta, kept, seen, ridge, weight):
    """Bias of the student's parameters by hand: normal equations of the teacher, then of the student."""
    eye = ridge * np.eye(X.shape[1])
    y = X @ theta
    taught = X @ np.linalg.solve(X[seen].T @ X[seen] + eye, X[seen].T @ y[seen])
    targets = (1 - weight) * y[kept] + weight * taught[kept]
    return np.linalg.solve(X[kept].T @ X[kept] + eye, X[kept].T @ targets) - theta


def test_more_data_for_the_teacher_can_add_bias():
    """The counterexample, in whole numbers: 0.14425 and 0.15350 are squared norms of the bias."""
    X, theta, kept = np.array([[3.0, 3.0], [0.0, 2.0], [-3.0, -1.0]]), np.array([2.0, 3.0]), [0, 1]
    for seen, square in (([0, 1], 0.14425), ([0, 1, 2], 0.15350)):
        by_hand = np.sum(refit(X, theta, kept, seen, 1.0, 1.0) ** 2)
        assert abs(by_hand - square) < 5e-6
        bias = curve(X, theta, kept=kept, seen=seen, ridge=1.0).bias
        np.testing.assert_allclose(2 * bias(1.0), by_hand, rtol=1e-10)
        batched = errors(X[None, [0, 1, 2]], theta[None, :, None], np.ones(1), len(seen), kept=2)[0]
        np.testing.assert_allclose(batched(1.0), by_hand, rtol=1e-10)


def test_batched_algebra_of_the_figure_is_that_of_the_package():
    """A second implementation, on parameters instead of kernels, for 36 designs, both teachers, bias and variance."""
    X, theta, ridge, _ = designs(36, 7)
    theta = np.concatenate([theta, np.broadcast_to(np.eye(FEATURES), (36, FEATURES, FEATURES))], axis=2)
    weights = np.array([-1.0, 0.0, 0.5, 1.0, 3.0])
    for seen in (KEPT, ROWS):
        bias, variance = (part(weights) for part in errors(X, theta, ridge, seen))
        for i in range(36):
            found = curve(X[i], theta[i], kept=np.arange(KEPT), seen=np.arange(seen), ridge=ridge[i])
            size = theta[i].size  # the package averages over coordinates and outputs
            np.testing.assert_allclose(found.bias(weights) * size, bias[i], rtol=1e-6)
            np.testing.assert_allclose(found.variance(weights) * FEATURES, variance[i], rtol=1e-6)


def test_a_teacher_in_the_range_zero_to_one_never_adds_variance():
    """Nested rows, any two ridges, any metric; in pure noise the best weight is at least one half."""
    rng = np.random.default_rng(0)
    weights = np.linspace(0, 1, 21)
    most = 0.0
    for _ in range(400):
        n, p = rng.integers(4, 12), rng.integers(1, 7)
        m, t = np.sort(rng.integers(1, n + 1, size=2))
        X = rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-1, 1, size=(n, 1))
        order = rng.permutation(n)
        ridge, own = 10.0 ** rng.uniform(-3, 3, size=2)
        metric = rng.normal(size=(rng.integers(1, 5), p))
        teacher = Teacher.ridge(X @ X.T, ridge=own, ridge_convention="absolute", seen=order[:t])
        risk = pruning.risk_curve(
            X @ X.T,
            np.zeros(n),
            noise_variance=1.0,
            kept=order[:m],
            ridge=ridge,
            ridge_convention="absolute",
            teacher=teacher,
            cross=metric @ X.T,
            signal_new=np.zeros(len(metric)),
        )
        ratio = risk.variance(weights) / risk.variance(0.0)
        most = max(most, ratio.max())
        if risk.identifiability > 1e-5:
            assert risk.noise_limit >= 0.5 - 1e-6
    assert most <= 1 + 1e-9


def test_a_teacher_on_other_rows_does_add_variance():
    """The theorem needs nested rows: one row of its own, and small features there, make a noisy teacher."""
    X = np.array([[1.0], [1.0], [0.1]])
    apart = curve(X, np.ones(1), kept=[0, 1], seen=[2], ridge=1e-3)
    assert apart.variance(1.0) > 2 * apart.variance(0.0)
    assert apart.noise_limit < 0.5


def test_the_mean_error_at_the_tuned_ridge_falls_with_the_teacher_s_rows():
    r"""For theta ~ N(0, I) and ridge = noise variance: the mean error is tr[I - 2(1-w)P - 2wPG + (1-w)^2 P + ...].

    With P the student's smoother on parameters and G = I - ridge S_T the covariance of the teacher's parameters. G grows with
    the rows, and enters by -tr[(2wP - w^2 P^2) G]: the error falls at weights in [0, 2], where the best one lies.
    """
    X, _, ridge, _ = designs(3000, 5)
    eye = np.broadcast_to(np.eye(FEATURES), (len(X), FEATURES, FEATURES))
    weights = np.linspace(0, 2, 9)
    before = None
    for seen in range(KEPT, ROWS + 1):
        bias, variance = errors(X, eye, ridge, seen)
        total = bias + variance.scaled(ridge)
        A, A_T = (np.swapaxes(X[:, :rows], 1, 2) @ X[:, :rows] for rows in (KEPT, seen))
        P, G = (np.linalg.solve(a + ridge[:, None, None] * eye, a) for a in (A, A_T))
        for w in weights:
            parts = eye - 2 * (1 - w) * P - 2 * w * P @ G + (1 - w) ** 2 * P + 2 * w * (1 - w) * P @ P + w**2 * P @ G @ P
            np.testing.assert_allclose(total(w), np.trace(parts, axis1=1, axis2=2), rtol=1e-7, atol=1e-9)
        best = total.vertex[total.curvature > 1e-6]
        assert best.min() > -1e-6
        assert best.max() < 2
        now = total(weights)
        if before is not None:
            assert (now <= before * (1 + 1e-9)).all()
        before = now


def test_the_mean_bias_may_rise_with_the_teacher_s_rows():
    """No theorem: with two rows kept of eight it fails, rarely and by little."""
    ratios = []
    for seed in range(3):
        X, _, ridge, _ = designs(20_000, seed)
        eye = np.broadcast_to(np.eye(FEATURES), (len(X), FEATURES, FEATURES))
        few, all_rows = (errors(X, eye, ridge, seen, kept=2)[0](1.0) for seen in (2, ROWS))
        ratios.append(all_rows / few)
    rises = np.concatenate(ratios) > 1 + 1e-9
    assert 0 < rises.sum() < 60
    assert np.max(ratios) < 1.001


def test_bias_falls_with_the_teacher_s_share_where_designs_commute():
    """0 of 5,000 rise, at any positive weight and an absolute ridge; per example the teacher shrinks alike at any share."""
    rng = np.random.default_rng(1)
    low, high = np.sort(rng.uniform(size=(2, 5000)), axis=0)
    how = {"n": rng.integers(1, 1000, 5000), "keep_fraction": low * rng.uniform(0.01, 1, 5000)}
    how |= {"ridge": 10.0 ** rng.uniform(-3, 3, 5000), "noise_variance": 1.0}
    w = rng.uniform(1e-3, 3, 5000)
    for convention in ("absolute", "per_example"):
        less, more = (OrthogonalDesign(**how, ridge_convention=convention, teacher_fraction=share) for share in (low, high))
        ratio = more.bias.at(w) / less.bias.at(w)
        assert (ratio < 1).all() if convention == "absolute" else np.allclose(ratio, 1, rtol=1e-12)
    X, theta, ridge, _ = designs(5000, 2, commuting=True)
    few, all_rows = (errors(X, theta, ridge, seen)[0](1.0) for seen in (KEPT, ROWS))
    assert (all_rows <= few * (1 + 1e-12)).all()


@pytest.mark.parametrize("convention", ["absolute", "per_example"])
@pytest.mark.parametrize(("m", "t"), [(6, 6), (6, 14), (6, 20), (13, 20)])
def test_orthogonal_formulas_are_those_of_explicit_designs(convention, m, t):
    """Rows with moments m I and (t - m) I, an orthogonal matrix in each block; the coordinates have different signals."""
    p, n, rng = 5, 20, np.random.default_rng(m + t)
    blocks = [np.sqrt(size) * np.linalg.qr(rng.normal(size=(size, p)))[0] for size in (m, t - m) if size]
    X = np.concatenate([*blocks, rng.normal(size=(n - t, p))])
    theta = rng.normal(size=p)
    found = curve(X, theta, kept=np.arange(m), seen=np.arange(t), ridge=0.8, convention=convention, noise=2.0)
    how = {"n": n, "keep_fraction": m / n, "teacher_fraction": t / n, "ridge": 0.8, "ridge_convention": convention}
    exact = OrthogonalDesign(**how, noise_variance=2.0, signal_square=theta**2)
    for mine, formula in ((found.bias, exact.bias), (found.variance, exact.variance), (found.curves, exact.curves)):
        for name in ("start", "slope", "curvature", "size"):
            np.testing.assert_allclose(getattr(mine, name), np.mean(getattr(formula, name)), rtol=1e-9, atol=1e-12)
    one = OrthogonalDesign(**how, noise_variance=2.0, signal_square=np.mean(theta**2))
    np.testing.assert_allclose(found.optimal_weight, one.optimal_weight, rtol=1e-9)


def weight_by_sums(n, f, f_t, ridge, noise, square, convention):
    """The best weight of an orthogonal design from three risks, each a sum over the labels' coefficients."""
    m, t = n * f, n * f_t
    lam, lam_t = (ridge * rows if convention == "per_example" else ridge for rows in (m, t))

    def risk(w):
        kept, others = ((1 - w) + w * m / (t + lam_t)) / (m + lam), w * m / (t + lam_t) / (m + lam)
        return square * (1 - m * kept - (t - m) * others) ** 2 + noise * (m * kept**2 + (t - m) * others**2)

    a, b, c = (risk(np.longdouble(w)) for w in (-1, 0, 1))
    return ((a - c) / (2 * (a + c - 2 * b))).astype(float)


def parameters_at_random(count, seed):
    rng = np.random.default_rng(seed)
    n, f_t = rng.integers(20, 2000, count), rng.uniform(0.3, 1, count)
    f = f_t * rng.uniform(0.02, 0.98, count)
    best = 10.0 ** rng.uniform(-1, 4, count)
    square = 10.0 ** rng.uniform(-1, 1, count)
    return rng, n, f, f_t, best, square


@pytest.mark.parametrize("convention", ["absolute", "per_example"])
def test_when_distillation_helps_and_when_pruning_raises_the_weight(convention):
    """20,000 of 20,000 each, against the exact optimum: its sign, and its change between two shares."""
    rng, n, f, f_t, best, square = parameters_at_random(20_000, 0)
    ridge = best * 10.0 ** rng.uniform(-2, 2, 20_000) / (n * f_t if convention == "per_example" else 1)
    how = {"n": n, "keep_fraction": f, "teacher_fraction": f_t, "ridge": ridge, "ridge_convention": convention}
    design = OrthogonalDesign(**how, noise_variance=best * square, signal_square=square)
    here, less = (weight_by_sums(n, f * c, f_t, ridge, best * square, square, convention) for c in (1.0, 0.9))
    for answer, truth in ((design.helps, here > 0), (design.grows_as_kept_falls, less > here)):
        assert 0.1 < truth.mean() < 0.9
        assert (answer == truth).sum() == 20_000
    np.testing.assert_allclose(design.curves.vertex, here, rtol=1e-6, atol=1e-9)
    edge = OrthogonalDesign(
        **how | {"ridge": design.largest_helpful_ridge}, noise_variance=best * square, signal_square=square
    )
    assert np.abs(edge.curves.vertex).max() < 1e-9


@pytest.mark.parametrize("convention", ["absolute", "per_example"])
def test_the_weight_grows_strictly_with_noise(convention):
    """12,000 of 12,000."""
    rng, n, f, f_t, best, square = parameters_at_random(12_000, 1)
    ridge = best * 10.0 ** rng.uniform(-2, 2, 12_000) / (n * f_t if convention == "per_example" else 1)
    more = best * (1 + rng.uniform(0.05, 3, 12_000))
    low, high = (weight_by_sums(n, f, f_t, ridge, noise * square, square, convention) for noise in (best, more))
    assert (high > low).sum() == 12_000


def test_the_table_of_weights():
    """n = 100, ridge lambda_0 on all rows: per example to two digits; absolute it collapses at strong noise."""
    shares = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
    table = {
        10: [1.00, 0.99, 0.98, 0.96, 0.92, 0.82, 0.55],
        100: [0.97, 0.95, 0.89, 0.82, 0.67, 0.46, 0.18],
        1000: [0.95, 0.91, 0.81, 0.72, 0.52, 0.32, 0.11],
    }
    for noise, row in table.items():
        how = {"n": 100, "keep_fraction": shares, "noise_variance": float(noise)}
        per_example = OrthogonalDesign(ridge=noise / 100, ridge_convention="per_example", **how)
        np.testing.assert_allclose(per_example.optimal_weight, row, atol=5.01e-3)
        absolute = OrthogonalDesign(ridge=float(noise), ridge_convention="absolute", **how).optimal_weight
        assert (absolute < per_example.optimal_weight).all()
    np.testing.assert_allclose(absolute[[0, -1]], [0.09, 0.01], atol=5e-3)


@pytest.mark.parametrize("convention", ["absolute", "per_example"])
def test_the_sweep_over_teachers_is_a_loop_of_refits(convention):
    """Every share below and above the student's, another kernel and ridge for the teacher, errors at new points."""
    rng = np.random.default_rng(4)
    n, p, keep, noise = 18, 6, 1 / 3, 0.4
    X, new = rng.normal(size=(n, p)), rng.normal(size=(7, p))
    scale = np.diag(rng.uniform(0.2, 2, size=p))
    f, f_new = X @ np.ones(p), new @ np.ones(p)
    seen = [0.2, 1 / 3, 0.6, 1.0]
    found = pruning.teacher_shares(
        X @ X.T,
        f,
        noise_variance=noise,
        keep_fraction=keep,
        seen_fractions=seen,
        ridge=0.3,
        ridge_convention=convention,
        teacher_gram=X @ scale @ X.T,
        teacher_ridge=0.7,
        cross=new @ X.T,
        signal_new=f_new,
        subsets=5,
        seed=2,
    )
    np.testing.assert_array_equal(found.counts, [4, 6, 11, 18])
    each = convention == "per_example"
    for j, order in enumerate(random_orders(n, 5, 2)):
        F = order[:6]
        A = new @ X[F].T @ np.linalg.solve(X[F] @ X[F].T + 0.3 * (6 if each else 1) * np.eye(6), np.eye(6))
        for i, count in enumerate(found.counts):
            T = order[:count]
            K = X[T] @ scale @ X[T].T + 0.7 * (count if each else 1) * np.eye(count)
            G = np.zeros((6, n))
            G[:, T] = X[F] @ scale @ X[T].T @ np.linalg.solve(K, np.eye(count))
            for w in (0.0, 0.5, 1.0, -2.0):
                H = A @ ((1 - w) * np.eye(n)[F] + w * G)
                np.testing.assert_allclose(found.bias(w)[i, j], np.mean((H @ f - f_new) ** 2), rtol=1e-8)
                np.testing.assert_allclose(found.variance(w)[i, j], np.sum(H**2) / 7, rtol=1e-8)
