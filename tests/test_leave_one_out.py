"""Exact leave-one-out of whole chains against n real refits of teacher and students."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kdtheory as kd
from tests.brute import gram_from, leave_one_out, relative

RNG = np.random.default_rng(0)


@given(
    st.lists(st.floats(-1.5, 1.7), min_size=0, max_size=4),
    st.lists(st.floats(-2.0, 1.0), min_size=5, max_size=5),
    st.booleans(),
    st.integers(0, 1000),
)
def test_loo_is_n_refits(weights, log_ridges, same, seed):
    rng = np.random.default_rng(seed)
    K = gram_from(10.0 ** rng.uniform(-4, 1, size=7), rng)
    y = rng.normal(size=(7, 2))
    ridge = 10.0 ** (log_ridges[0] if same else np.array(log_ridges[: len(weights) + 1]))
    s = kd.Spectrum.from_gram(K)
    tolerance = 1e-11 * s.eigenvalues[0] / np.min(ridge)
    assert relative(kd.loo(s, y, ridge=ridge, teacher_weights=weights), leave_one_out(K, y, ridge, weights)) < tolerance


def test_loo_on_a_real_problem_and_one_output():
    X = RNG.normal(size=(60, 4))
    K, y = kd.kernels.ntk(X, depth=2), np.sin(X[:, 0])
    got = kd.loo(kd.Spectrum.from_gram(K), y, ridge=0.3, teacher_weights=[0.8] * 10)
    assert got.shape == (11, 60)
    assert relative(got, leave_one_out(K, y, 0.3, [0.8] * 10)) < 1e-11


def test_low_rank_loo_counts_the_part_outside():
    Phi, y = RNG.normal(size=(15, 4)), RNG.normal(size=15)
    got = kd.loo(kd.Spectrum.from_features(Phi), y, ridge=0.3, teacher_weights=[0.8, -0.3])
    assert relative(got, leave_one_out(Phi @ Phi.T, y, 0.3, [0.8, -0.3])) < 1e-11


def test_the_shortcut_is_exact_at_round_zero_and_in_the_limit_only():
    K = gram_from(np.exp(-0.4 * np.arange(20)), RNG)
    s, y, weights = kd.Spectrum.from_gram(K), RNG.normal(size=20), [0.7] * 400
    exact = kd.loo(s, y, ridge=0.1, teacher_weights=weights)
    fits = kd.Distilled(0.1, weights).every_round(s.eigenvalues).fit
    for t, agrees in ((0, True), (1, False), (2, False), (400, True)):
        leverage = s.diagonal(fits[t])
        shortcut = y - (y - s.apply(fits[t], 0.0, y)) / (1 - leverage)
        assert (np.abs(shortcut - exact[t]).max() < 1e-9) == agrees


def test_grid_is_the_mean_over_single_chains():
    Phi, y = RNG.normal(size=(12, 5)), RNG.normal(size=(12, 3))
    ridges, weights = [0.01, 1.0], [-0.5, 0.0, 0.6, 1.3, 9.0]
    for s in (kd.Spectrum.from_gram(Phi @ Phi.T), kd.Spectrum.from_features(Phi)):
        grid = kd.loo_grid(s, y, ridges=ridges, teacher_weights=weights, rounds=3)
        assert grid.shape == (2, 5, 4)
        for i, ridge in enumerate(ridges):
            for j, weight in enumerate(weights):
                errors = (kd.loo(s, y, ridge=ridge, teacher_weights=[weight] * 3) - y) ** 2
                np.testing.assert_allclose(grid[i, j], errors.mean(axis=(1, 2)), rtol=1e-9)


@pytest.mark.parametrize("weight", [-2.0, 1.5, 3.0])
def test_long_chains_outside_the_unit_interval_keep_their_digits(weight):
    X = np.linspace(0, 1, 11)[:, None]
    K, y = kd.kernels.rbf(X, gamma=80.0), np.sin(2 * np.pi * X[:, 0])
    s, ridge = kd.Spectrum.from_gram(K), 5.0  # converges for |w| < 3.58
    exact = leave_one_out(K, y, ridge, [weight] * 100)
    assert relative(kd.loo(s, y, ridge=ridge, teacher_weights=[weight] * 100)[-1], exact[-1]) < 1e-10
    grid = kd.loo_grid(s, y, ridges=[ridge], teacher_weights=[weight], rounds=100)
    np.testing.assert_allclose(grid[0, 0], np.mean((exact - y) ** 2, axis=1), rtol=1e-10)


def test_large_ridges_keep_relative_digits():
    K, y = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([3.0, 1.0])
    for ridge in (1e10, 1e17):
        got = kd.loo(kd.Spectrum.from_gram(K), y, ridge=ridge, teacher_weights=[0.5])
        np.testing.assert_allclose(got[0], [1.0 / ridge, 3.0 / ridge], rtol=1e-9)


def test_one_point_knows_nothing_without_itself():
    np.testing.assert_allclose(
        kd.loo(kd.Spectrum.from_gram([[2.0]]), [3.0], ridge=0.5, teacher_weights=[0.5]), 0.0, atol=1e-15
    )


@pytest.mark.slow
def test_loo_on_all_digits_at_random_points():
    X, labels = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    Y = np.eye(10)[labels]
    K = kd.kernels.rbf(X / 16, gamma=0.5)
    points = RNG.choice(len(X), size=6, replace=False)
    got = kd.loo(kd.Spectrum.from_gram(K), Y, ridge=0.1, teacher_weights=[0.8, 0.5, -0.2])[:, points]
    assert relative(got, leave_one_out(K, Y, 0.1, [0.8, 0.5, -0.2], points)) < 1e-10
