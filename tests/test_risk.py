"""The parabola, bias and variance, GCV and SURE: against definitions, Monte Carlo and brute-force minimisation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import kdtheory as kd
from tests.brute import chain, gram_from

RNG = np.random.default_rng(0)


@given(st.integers(0, 1000), st.booleans())
def test_curve_from_predictions_is_the_weighted_mean_squared_error(seed, weighted):
    rng = np.random.default_rng(seed)
    P, Q, y = rng.normal(size=(3, 6, 2))
    v = rng.uniform(0, 2, size=6) if weighted else None
    curve = kd.RiskCurve.from_predictions(P, Q, y, sample_weight=v)
    for w in (-1.3, 0.0, 0.4, 1.0, 2.2):
        squared = np.mean(((1 - w) * P + w * Q - y) ** 2, axis=1)
        assert abs(curve(w) - np.average(squared, weights=v)) < 1e-12
    assert abs(curve.gain - (curve(0.0) - curve.minimum)) < 1e-12
    mass = np.ones(6) if v is None else v
    ratio = np.sqrt(np.sum(mass[:, None] * (P - Q) ** 2) / np.sum(mass[:, None] * P**2))
    assert abs(curve.identifiability - ratio) < 1e-12


def test_curve_of_a_chain_is_what_students_at_other_weights_measure():
    n, m = 20, 8
    joint = gram_from(np.exp(-0.3 * np.arange(n + m)), RNG)
    K, cross, y, y_val = joint[:n, :n], joint[n:, :n], RNG.normal(size=n), RNG.normal(size=m)
    on_labels, on_teacher = (chain(cross, K, y, 0.1, [w])[1] for w in (0.0, 1.0))
    curve = kd.RiskCurve.from_predictions(on_labels, on_teacher, y_val)
    measured = lambda w: np.mean((chain(cross, K, y, 0.1, [w])[1] - y_val) ** 2)
    assert abs(curve(-0.7) - measured(-0.7)) < 1e-12
    best = minimize_scalar(measured, bracket=(-1, 1), tol=1e-12)
    assert abs(best.x - curve.optimal_weight) < 1e-5 * max(1, abs(best.x))
    assert abs(best.fun - curve.minimum) < 1e-12


def test_curve_from_smoothers_is_the_mean_over_noise():
    n, m, variance = 12, 5, 0.4
    rng = np.random.default_rng(2)
    H, G, f, f_new = rng.normal(size=(m, n)) / n, rng.normal(size=(m, n)) / n, rng.normal(size=n), rng.normal(size=m)
    curve = kd.RiskCurve.from_smoothers(H, G, f, noise_variance=variance, signal_new=f_new)
    Y = f[:, None] + np.sqrt(variance) * rng.normal(size=(n, 200_000))
    for w in (-0.5, 0.0, curve.optimal_weight, 2.0):
        losses = np.mean((f_new[:, None] - ((1 - w) * H + w * G) @ Y) ** 2, axis=0)
        assert abs(losses.mean() - curve(w)) < 5 * losses.std() / np.sqrt(losses.size)
    slope = (curve(curve.optimal_weight + 1e-4) - curve(curve.optimal_weight - 1e-4)) / 2e-4
    assert abs(slope) < 1e-9
    two = kd.RiskCurve.from_smoothers(
        H, G, np.stack([f, f], 1), noise_variance=variance, signal_new=np.stack([f_new, f_new], 1)
    )
    assert abs(two.minimum - curve.minimum) < 1e-14
    assert abs(two.optimal_weight - curve.optimal_weight) < 1e-12
    moved, size = np.mean(np.sum(((G - H) @ Y) ** 2, axis=0)), np.mean(np.sum((H @ Y) ** 2, axis=0))
    assert abs(curve.identifiability - np.sqrt(moved / size)) < 0.01 * curve.identifiability


def test_smoothers_agree_with_bias_and_variance():
    K = gram_from([3.0, 1.0, 0.4, 0.1], RNG)
    f, A = RNG.normal(size=4), K @ np.linalg.inv(K + 0.3 * np.eye(4))
    curve = kd.RiskCurve.from_smoothers(A, A @ A, f, noise_variance=0.2)
    for w in (0.0, 0.6, 1.0):
        bias, variance = kd.bias_variance(kd.Spectrum.from_gram(K), f, noise_variance=0.2, ridge=0.3, teacher_weights=[w])
        assert abs(bias[1] + variance[1] - curve(w)) < 1e-13


def test_fit_recovers_an_exact_parabola_and_averages_noise():
    truth = kd.RiskCurve(optimal_weight=1.7, minimum=0.3, curvature=2.5)
    w = np.linspace(0, 1, 9)
    back = kd.RiskCurve.fit(w, truth(w))
    assert abs(back.optimal_weight - 1.7) < 1e-10
    assert abs(back.minimum - 0.3) < 1e-10
    assert abs(back.curvature - 2.5) < 1e-10
    with pytest.raises(ValueError, match="`risks` must bend upwards"):
        kd.RiskCurve.fit([0.0, 0.5, 1.0], [0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="at least three different values"):
        kd.RiskCurve.fit([0.0, 1.0, 1.0], [0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="`risks` must have 3 entries"):
        kd.RiskCurve.fit([0.0, 0.5, 1.0], [0.0, 1.0])


@pytest.mark.parametrize("rank", [4, 9])
def test_bias_variance_and_sure_by_monte_carlo(rank):
    Phi, variance = RNG.normal(size=(9, rank)), 0.3
    s, K, f = kd.Spectrum.from_features(Phi), Phi @ Phi.T, RNG.normal(size=9)
    weights = [0.7, -0.4, 1.3]
    Y = f[:, None] + np.sqrt(variance) * np.random.default_rng(5).normal(size=(9, 40_000))
    fits = chain(K, K, Y, 0.5, weights)
    bias, spread = kd.bias_variance(s, f, noise_variance=variance, ridge=0.5, teacher_weights=weights)
    losses = np.mean((fits - f[:, None]) ** 2, axis=1)
    assert (np.abs(losses.mean(axis=1) - bias - spread) < 5 * losses.std(axis=1) / 200).all()
    np.testing.assert_allclose(bias, np.mean((fits.mean(axis=2) - f) ** 2, axis=1), rtol=0.05, atol=0.002)
    two = kd.bias_variance(s, np.stack([f, 2 * f], axis=1), noise_variance=variance, ridge=0.5, teacher_weights=weights)
    np.testing.assert_allclose(two.bias, 2.5 * bias, rtol=1e-12)
    np.testing.assert_allclose(two.variance, spread, rtol=1e-12)
    estimates = np.stack([kd.sure(s, y, noise_variance=variance, ridge=0.5, teacher_weights=weights) for y in Y.T[:4000]])
    gap = estimates - losses.T[:4000]
    assert (np.abs(gap.mean(axis=0)) < 5 * gap.std(axis=0) / np.sqrt(4000)).all()


@pytest.mark.parametrize("outputs", [1, 3])
def test_gcv_is_its_definition(outputs):
    Phi, y = RNG.normal(size=(10, 4)), RNG.normal(size=(10, outputs))
    K, weights = Phi @ Phi.T, [0.6, -0.2]
    H = chain(K, K, np.eye(10), 0.2, weights)
    loss = np.mean((y - H @ y) ** 2, axis=(1, 2))
    expected = loss / (1 - np.trace(H, axis1=1, axis2=2) / 10) ** 2
    for s in (kd.Spectrum.from_features(Phi), kd.Spectrum.from_gram(K)):
        np.testing.assert_allclose(kd.gcv(s, y, ridge=0.2, teacher_weights=weights), expected, rtol=1e-10)
    s = kd.Spectrum.from_gram(K)
    grid = kd.gcv_grid(s, y, ridges=[1.0, 0.2], teacher_weights=[0.1, 0.6], rounds=2)
    assert grid.shape == (2, 2, 3)
    np.testing.assert_allclose(grid[1, 1, :2], expected[:2], rtol=1e-10)
    estimate = kd.sure(s, y, noise_variance=0.7, ridge=0.2, teacher_weights=weights)
    np.testing.assert_allclose(estimate, loss + 2 * 0.7 * np.trace(H, axis1=1, axis2=2) / 10 - 0.7, rtol=1e-10)
