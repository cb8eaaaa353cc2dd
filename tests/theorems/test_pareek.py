import mpmath as mp
import numpy as np
import pytest

import kdtheory as kd
from kdtheory.theorems import pareek
from kdtheory.weights import optimal_polynomial
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(pareek))
def test_theorem(law, theorem):
    law(theorem)


def best(k, s, f, noise):
    """Least total risk over ridges."""
    risks = []
    for ridge in np.logspace(-4, 4, 1200):
        P = optimal_polynomial(s, f, noise_variance=noise, ridge=ridge, rounds=k).fit(s.eigenvalues)
        risks.append(np.sum((1 - P) ** 2 * f**2 + noise * P**2))
    return min(risks)


def test_the_synthetic_risks():
    """Singular values 1, 1/2, 1/3, 1/4, noise 0.125, signal in the first; one round is best at infinite ridge."""
    s = kd.Spectrum(np.array([1, 1 / 2, 1 / 3, 1 / 4]) ** 2, np.eye(4))
    got = [best(k, s, np.eye(4)[0], 0.125**2) for k in range(5)]
    np.testing.assert_allclose(got, [0.03576, 0.01658, 0.01539, 0.01538, 0.01538], atol=1e-5)


@pytest.mark.parametrize(("r", "ridge", "once"), [(2, 1.99, 1.25), (4, 3.97, 2.39), (8, 7.89, 4.70)])
def test_the_gain_grows_with_the_number_of_directions(r, ridge, once):
    s, f, noise = kd.Spectrum(np.linspace(1, 0.5, r), np.eye(r)), np.eye(r)[0], 1e-3
    wiener = noise / (1 + noise)
    assert abs(best(0, s, f, noise) / wiener - ridge) < 6e-3
    assert abs(best(1, s, f, noise) / wiener - once) < 6e-3
    if r <= 4:
        assert abs(best(r, s, f, noise) / wiener - 1) < 1e-6


@pytest.mark.parametrize("jitter", [0.0, 1e-15, 1e-12])
@pytest.mark.parametrize("distinct", range(1, 9))
def test_more_rounds_than_directions_do_no_harm(distinct, jitter):
    """Where the recurrence ends, the filter stays: ties and narrow ranges of shrinkages once broke it."""
    spread = np.linspace(1, 0.5, distinct)[np.arange(8) % distinct]
    d = np.sort(spread * (1 + jitter * np.random.default_rng(0).normal(size=8)))[::-1]
    f, noise = np.eye(8)[0], 1e-3
    pooled = int(np.sum(np.abs(d - d[0]) < 1e-9)) * noise
    for ridge in (0.01, 0.5, 100.0):
        filter = optimal_polynomial(kd.Spectrum(d.copy(), np.eye(8)), f, noise_variance=noise, ridge=ridge, rounds=8)
        P = filter.fit(d)
        risk = np.sum((1 - P) ** 2 * f**2 + noise * P**2)  # between that of free multipliers and that of tied ones
        assert (1 - 1e-5) * noise / (1 + noise) <= risk <= (1 + 1e-5) * pooled / (1 + pooled)
        if jitter == 0:
            assert abs(risk - pooled / (1 + pooled)) < 1e-5 * pooled
        np.testing.assert_allclose(filter.fit(d) + filter.residual(d), 1.0, atol=1e-12)


def test_the_filter_is_a_chain():
    s, f = kd.Spectrum(np.array([1.0, 0.5, 0.2, 0.1]), np.eye(4)), np.array([1.0, 0.5, -0.3, 0.2])
    best_three = optimal_polynomial(s, f, noise_variance=0.1, ridge=0.3, rounds=3)
    chain = kd.Distilled(0.3, best_three.teacher_weights())
    np.testing.assert_allclose(chain.fit(s.eigenvalues), best_three.fit(s.eigenvalues), atol=1e-10)
    np.testing.assert_allclose(best_three.polynomial().dual(s.eigenvalues), best_three.dual(s.eigenvalues), rtol=1e-10)


def test_validation_optimum_is_that_of_joint_weights():
    rng = np.random.default_rng(3)
    X, X_new = rng.normal(size=(30, 2)), rng.normal(size=(20, 2))
    s, cross = kd.Spectrum.from_gram(kd.kernels.rbf(X, gamma=0.5)), kd.kernels.rbf(X_new, X, gamma=0.5)
    y, y_new = np.sin(X[:, 0]) + rng.normal(size=30), np.sin(X_new[:, 0])
    for k in (1, 2, 3):
        joint = kd.optimal_weights(s, y, cross, y_new, ridge=0.5, rounds=k, method="joint")
        chain = kd.rounds(s, y, ridge=0.5, teacher_weights=joint, cross=cross)[-1]
        free = kd.weights.optimal_polynomial_on_validation(s, y, cross, y_new, ridge=0.5, rounds=k)
        np.testing.assert_allclose(s.predict(free, y, cross), chain, atol=1e-7)


def test_powers_lose_the_digits_that_the_recurrence_keeps():
    """At six rounds the normal matrix in powers has condition number above 1e16; the best risk is still reached."""
    d, ridge, noise, k = np.linspace(1.0, 0.2, 12), 0.05, 1e-3, 6
    f, h = np.cos(3 * np.arange(12)), d / (d + ridge)
    columns = np.array([h * (1 - h ** (i + 1)) for i in range(k)])
    M = (columns * (f**2 + noise)) @ columns.T
    assert np.linalg.cond(M) > 1e16
    risk = lambda P: np.sum((1 - P) ** 2 * f**2 + noise * P**2)
    naive = risk(h - np.linalg.solve(M, columns @ (h * noise - (1 - h) * f**2)) @ columns)
    ours = risk(optimal_polynomial(kd.Spectrum(d, np.eye(12)), f, noise_variance=noise, ridge=ridge, rounds=k).fit(d))
    with mp.workdps(60):
        H = [mp.mpf(float(x)) / (mp.mpf(float(x)) + mp.mpf(ridge)) for x in d]
        E = [mp.mpf(float(x)) ** 2 for x in f]
        C = [[x * (1 - x ** (i + 1)) for x in H] for i in range(k)]
        A = mp.matrix(k, k)
        b = mp.matrix(k, 1)
        for i in range(k):
            b[i] = sum(c * (x * mp.mpf(noise) - (1 - x) * e) for c, x, e in zip(C[i], H, E, strict=True))
            for j in range(k):
                A[i, j] = sum((e + mp.mpf(noise)) * p * q for e, p, q in zip(E, C[i], C[j], strict=True))
        x = mp.lu_solve(A, b)
        P = [H[j] - sum(x[i] * C[i][j] for i in range(k)) for j in range(12)]
        exact = float(sum((1 - p) ** 2 * e + mp.mpf(noise) * p**2 for p, e in zip(P, E, strict=True)))
    assert abs(ours / exact - 1) < 1e-10
    assert naive / exact - 1 > 1e-8
