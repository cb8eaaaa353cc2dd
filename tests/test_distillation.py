"""Chains against a brute-force chain of solves; the limit; grids against the one-by-one evaluation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kdtheory as kd
from tests.brute import chain, gram_from, relative

RNG = np.random.default_rng(0)
EPS = np.finfo(float).eps


@pytest.mark.parametrize("weight", [-1.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize(("decay", "ridge"), [(0.1, 0.5), (2.0, 1e-3), (0.6, 1e-6)], ids=["well", "ill", "near-interpolating"])
def test_rounds_are_a_chain_of_solves(weight, decay, ridge):
    n, m = 40, 15
    joint = gram_from(np.exp(-decay * np.arange(n + m)) * 10, RNG)
    K, cross, y = joint[:n, :n], joint[n:, :n], RNG.normal(size=(n, 3))
    s = kd.Spectrum.from_gram(K)
    tolerance = max(1e-10, 50 * EPS * s.eigenvalues[0] / ridge)
    assert (
        relative(kd.rounds(s, y, ridge=ridge, teacher_weights=[weight] * 6), chain(K, K, y, ridge, [weight] * 6)) < tolerance
    )
    assert (
        relative(
            kd.rounds(s, y, ridge=ridge, teacher_weights=[weight] * 6, cross=cross), chain(cross, K, y, ridge, [weight] * 6)
        )
        < tolerance
    )


@given(
    st.lists(st.floats(-2.0, 2.0), min_size=0, max_size=5),
    st.lists(st.floats(-3.0, 2.0), min_size=6, max_size=6),
    st.integers(0, 1000),
)
def test_mixed_schedules_and_ridges(weights, log_ridges, seed):
    rng = np.random.default_rng(seed)
    K = gram_from(10.0 ** rng.uniform(-8, 1, size=8), rng)
    y, ridges = rng.normal(size=8), 10.0 ** np.array(log_ridges[: len(weights) + 1])
    s = kd.Spectrum.from_gram(K)
    expected = chain(K, K, y, ridges, weights)
    got = kd.rounds(s, y, ridge=ridges, teacher_weights=weights)
    assert got.shape == (len(weights) + 1, 8)
    np.testing.assert_allclose(got, expected, atol=1e-11 * max(1, np.abs(expected).max()) * s.eigenvalues[0] / ridges.min())


def test_affine_in_the_teacher_weight_at_every_point():
    K = gram_from([3.0, 1.0, 0.5, 0.1], RNG)
    s, y = kd.Spectrum.from_gram(K), RNG.normal(size=4)
    on_labels, on_teacher, at = (kd.rounds(s, y, ridge=0.3, teacher_weights=[0.4, w])[2] for w in (0.0, 1.0, -2.3))
    np.testing.assert_allclose(at, on_labels - 2.3 * (on_teacher - on_labels), atol=1e-13)


def test_limit_is_ridge_regression_and_its_distance_is_exact():
    K = gram_from([2.0, 1.0, 0.3, 0.05], RNG)
    s, y, ridge, w = kd.Spectrum.from_gram(K), RNG.normal(size=4), 0.2, 0.7
    limit = kd.distillation.limit(s, y, ridge=ridge, teacher_weight=w)
    np.testing.assert_allclose(limit, K @ np.linalg.solve(K + ridge / (1 - w) * np.eye(4), y), atol=1e-13)
    contraction = w * K @ np.linalg.inv(K + ridge * np.eye(4))
    for t, fit in enumerate(kd.rounds(s, y, ridge=ridge, teacher_weights=[w] * 9)):
        np.testing.assert_allclose(fit - limit, np.linalg.matrix_power(contraction, t + 1) @ (y - limit), atol=1e-13)


def test_limit_beyond_one_is_the_negative_ridge():
    K = gram_from([2.0, 1.0], RNG)
    s, y = kd.Spectrum.from_gram(K), RNG.normal(size=2)
    limit = kd.distillation.limit(s, y, ridge=0.2, teacher_weight=1.05)
    np.testing.assert_allclose(limit, K @ np.linalg.solve(K - 4.0 * np.eye(2), y), rtol=1e-10)
    np.testing.assert_allclose(kd.rounds(s, y, ridge=0.2, teacher_weights=[1.05] * 4000)[-1], limit, rtol=1e-9)
    with pytest.raises(ValueError, match="interval of convergence"):
        kd.distillation.limit(s, y, ridge=0.2, teacher_weight=1.2)


def test_predict_is_the_last_round():
    K = gram_from([2.0, 1.0, 0.5], RNG)
    s, y, cross = kd.Spectrum.from_gram(K), RNG.normal(size=3), RNG.normal(size=(2, 3))
    got = kd.distillation.predict(s, y, cross, ridge=[0.1, 0.2], teacher_weights=[0.6])
    np.testing.assert_allclose(got, kd.rounds(s, y, ridge=[0.1, 0.2], teacher_weights=[0.6], cross=cross)[1], rtol=1e-12)


@pytest.mark.parametrize("outputs", [None, 3])
def test_risk_grid_is_every_chain_refitted(outputs):
    n, m, T = 25, 9, 4
    joint = gram_from(np.exp(-0.3 * np.arange(n + m)), RNG)
    K, cross = joint[:n, :n], joint[n:, :n]
    y = RNG.normal(size=n if outputs is None else (n, outputs))
    y_val = RNG.normal(size=m if outputs is None else (m, outputs))
    ridges, weights = [1e-3, 0.1, 10.0], [-1.0, 0.0, 0.4, 1.0, 1.7, 8.0]
    s = kd.Spectrum.from_gram(K)
    grid = kd.risk_grid(s, y, cross, y_val, ridges=ridges, teacher_weights=weights, rounds=T)
    direct = kd.risk_grid(s, y, cross, y_val, ridges=ridges, teacher_weights=weights, rounds=T, method="direct")
    assert grid.shape == (3, 6, T + 1)
    for i, ridge in enumerate(ridges):
        for j, weight in enumerate(weights):
            fits = chain(cross, K, y, ridge, [weight] * T)
            errors = ((fits - y_val) ** 2).reshape(T + 1, -1).mean(axis=1)
            np.testing.assert_allclose(direct[i, j], errors, rtol=1e-9)
            np.testing.assert_allclose(grid[i, j], errors, rtol=1e-9)


def test_the_basis_keeps_eleven_digits_where_auto_uses_it():
    X = RNG.normal(size=(120, 3))
    K = kd.kernels.rbf(X, gamma=0.3)
    s, y, y_val = kd.Spectrum.from_gram(K[:80, :80]), np.sin(X[:80, 0]), np.sin(X[80:, 0])
    how = {"ridges": np.logspace(-8, 2, 11), "teacher_weights": [-0.5, 0.0, 0.5, 0.9, 1 - 1e-9, 1.0], "rounds": 20}
    fast, slow = (kd.risk_grid(s, y, K[80:, :80], y_val, **how, method=method) for method in ("basis", "direct"))
    np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-14)


def test_singular_kernels_and_constant_labels():
    X = np.repeat(RNG.normal(size=(6, 2)), 2, axis=0)
    K = kd.kernels.rbf(X, gamma=1.0)
    s, ones = kd.Spectrum.from_gram(K), np.ones(12)
    got = kd.rounds(s, ones, ridge=0.1, teacher_weights=[0.5] * 3)
    assert relative(got, chain(K, K, ones, 0.1, [0.5] * 3)) < 1e-12
    assert (kd.rounds(s, np.zeros(12), ridge=0.1, teacher_weights=[0.5]) == 0).all()
