"""Grids from the span of their filters against one filter at a time, mpmath and refits, on spectra of every kind."""

import mpmath
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

import kdtheory as kd
from kdtheory.grid import Seen, validation_grid
from kdtheory.skeleton import Skeleton, members
from tests.brute import relative

RNG = np.random.default_rng(0)
N, M = 90, 40
SPECTRA = {
    "geometric to 1e-16": 10.0 ** np.linspace(2, -14, N + M),
    "clustered": np.sort(np.concatenate([c * (1 + 1e-9 * np.arange(26)) for c in (5.0, 1.0, 1e-2, 1e-6, 1e-9)]))[::-1],
    "repeated": np.repeat([10.0, 1.0, 1e-2, 1e-5, 0.0], 26),
    "rank one": np.r_[7.0, np.zeros(N + M - 1)],
    "flat": np.ones(N + M),
    "large": 1e8 * 10.0 ** -np.linspace(0, 12, N + M),
    "small": 1e-9 * 10.0 ** -np.linspace(0, 12, N + M),
}
RIDGES, WEIGHTS = np.logspace(-6, 2, 17), np.array([0.0, 0.3, 0.9, 1.0, 1.02, -0.5])


def problem(d, outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(len(d), len(d))))[0]
    K = (Q * d) @ Q.T
    K, Y = (K + K.T) / 2, rng.normal(size=(len(d), outputs))
    return kd.Spectrum.from_gram(K[:N, :N]), Y[:N], K[N:, :N], Y[N:]


@pytest.mark.parametrize("T", [0, 1, 20, 100])
@pytest.mark.parametrize("name", SPECTRA)
def test_span_agrees_with_one_filter_at_a_time(name, T):
    d = SPECTRA[name]
    s, y, cross, y_val = problem(d)
    scale = d[0] if name == "large" else 1.0
    how = {"ridges": scale * RIDGES, "teacher_weights": WEIGHTS, "rounds": T}
    fast, direct = (np.sqrt(kd.risk_grid(s, y, cross, y_val, **how, method=m)) for m in ("auto", "direct"))
    assert np.abs(fast - direct).max() < 1e-11 * np.sqrt(np.mean(y_val**2)) * max(1.0, direct.max())


def test_span_of_a_dense_and_of_an_uneven_grid():
    s, y, cross, y_val = problem(SPECTRA["geometric to 1e-16"], outputs=1)
    uneven = np.concatenate([np.geomspace(3e-6, 1e-5, 40), [1e2, 0.7, 0.7], np.geomspace(1e-3, 10, 157)])
    how = {"ridges": uneven, "teacher_weights": [0.5, 1.0], "rounds": 12}
    fast, direct = (kd.risk_grid(s, y, cross, y_val, **how, method=m) for m in ("auto", "direct"))
    np.testing.assert_allclose(fast, direct, rtol=1e-11)


def test_against_sixty_digits():
    d = 10.0 ** np.linspace(1, -9, 12)
    z, V, wanted = RNG.normal(size=(12, 1)), RNG.normal(size=(5, 12)) * np.sqrt(d), RNG.normal(size=(5, 1))
    ridges, weights, T = np.logspace(-5, 1, 9), np.array([0.2, 1.0]), 6
    got = validation_grid(d, z, Seen(V), wanted, ridges=ridges, weights=weights, rounds=T)
    with mpmath.workdps(60):
        for (i, j, t), risk in np.ndenumerate(got):
            total = mpmath.mpf(0)
            for row, target in zip(V, wanted[:, 0], strict=True):
                value = mpmath.mpf(0)
                for v, eigenvalue, label in zip(row, d, z[:, 0], strict=True):
                    fit, dual = mpmath.mpf(0), mpmath.mpf(0)
                    for round_ in range(t + 1):
                        mix = 1 if round_ == 0 else (1 - mpmath.mpf(weights[j])) + mpmath.mpf(weights[j]) * fit
                        dual = mix / (mpmath.mpf(eigenvalue) + mpmath.mpf(ridges[i]))
                        fit = dual * mpmath.mpf(eigenvalue)
                    value += mpmath.mpf(v) * dual * mpmath.mpf(label)
                total += (value - mpmath.mpf(target)) ** 2
            assert risk == pytest.approx(float(total / 5), rel=1e-11)


@given(
    st.lists(st.floats(-8, 3), min_size=1, max_size=12),
    st.integers(0, 40),
    st.floats(-9, 9),
    st.floats(0, 16),
    st.integers(0, 10**6),
)
def test_members_are_what_the_skeleton_makes_of_them(log_ridges, T, log_largest, decades, seed):
    ridges, largest = 10.0 ** np.array(log_ridges), 10.0**log_largest
    smallest = largest * 10.0**-decades
    skeleton = Skeleton.of(ridges, rounds=T, largest=largest, smallest=smallest)
    d = np.append(np.exp(np.random.default_rng(seed).uniform(np.log(smallest), np.log(largest), 200)), [smallest, largest])
    expected, got = members(d, ridges, T + 1), np.einsum("dq,qlj->djl", skeleton.columns(d), skeleton.coefficients)
    reach = np.sqrt(d)[:, None, None]
    gap = np.abs(got - expected) * reach
    assert (gap.max(axis=(0, 1)) <= 1e-11 * (reach[:, 0] / (d[:, None] + ridges)).max(axis=0)).all()
    assert skeleton.error <= 1e-12
    assert len(skeleton.ridges) <= len(ridges) * (T + 1)


def test_ridges_that_no_span_can_hold_are_priced_one_by_one(monkeypatch):
    s, y, cross, y_val = problem(SPECTRA["clustered"])
    how = {"ridges": [1e-3, 1.0], "teacher_weights": [0.4], "rounds": 3}
    expected = kd.risk_grid(s, y, cross, y_val, **how)
    monkeypatch.setattr("kdtheory.grid.ACCEPTED", -1.0)
    np.testing.assert_allclose(kd.risk_grid(s, y, cross, y_val, **how), expected, rtol=1e-11)


def test_either_order_of_the_products_and_many_blocks(monkeypatch):
    s, y, cross, y_val = problem(SPECTRA["repeated"], outputs=1)
    how = {"ridges": np.array([0.1]), "weights": np.array([0.5]), "rounds": 1}
    z = s.project(y)
    seen = Seen(cross, s.eigenvectors)
    assert seen.for_columns(1) is seen  # one column: labels first
    assert seen.for_columns(1000).vectors is None
    whole = validation_grid(s.eigenvalues, z, seen, y_val, **how)
    monkeypatch.setattr("kdtheory.grid.BLOCK_ENTRIES", 7)
    blocks = validation_grid(s.eigenvalues, z, Seen(cross @ s.eigenvectors), y_val, **how)
    np.testing.assert_allclose(blocks, whole, rtol=1e-12)


@pytest.mark.parametrize("name", ["geometric to 1e-16", "repeated", "rank one", "large"])
def test_gcv_moments_are_every_chain_by_itself(name):
    s, y, *_ = problem(SPECTRA[name])
    weights = np.append(WEIGHTS, [1.5, -1.0])
    got = kd.gcv_grid(s, y, ridges=RIDGES[4:], teacher_weights=weights, rounds=9)
    for (i, j, t), value in np.ndenumerate(got):
        if t in (0, 1, 9):
            expected = kd.gcv(s, y, ridge=RIDGES[4 + i], teacher_weights=np.full(t, weights[j]))[t]
            assert value == pytest.approx(expected, rel=1e-11)


def test_gcv_of_a_chain_that_explodes_is_refused():
    s, y, *_ = problem(SPECTRA["flat"])
    with pytest.raises(OverflowError, match="`teacher_weights` make this chain grow"):
        kd.gcv_grid(s, y, ridges=[1e-3], teacher_weights=[1e9], rounds=60)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", ["geometric to 1e-16", "repeated", "rank one", "clustered"])
def test_leave_one_out_by_power_series_is_every_refit(name, outputs):
    s, y, *_ = problem(SPECTRA[name], outputs)
    K = (s.eigenvectors * s.eigenvalues) @ s.eigenvectors.T
    T, ridges, weights = 4, [1e-2, 3.0], [0.0, 0.7, 1.0, -1.3, 2.0]
    errors = np.zeros((2, 5, T + 1))
    for i in range(N):
        rest = np.arange(N) != i
        for a, ridge in enumerate(ridges):
            factor = scipy.linalg.cho_factor(K[np.ix_(rest, rest)] + ridge * np.eye(N - 1))
            for b, w in enumerate(weights):
                fit = y[rest]
                for t in range(T + 1):
                    c = scipy.linalg.cho_solve(factor, (1 - w) * y[rest] + w * fit if t else y[rest])
                    fit = K[np.ix_(rest, rest)] @ c
                    errors[a, b, t] += np.sum((K[i, rest] @ c - y[i]) ** 2)
    got = kd.loo_grid(s, y, ridges=ridges, teacher_weights=weights, rounds=T)
    assert relative(got, errors / y.size) < 1e-9
    single = kd.loo(s, y, ridge=3.0, teacher_weights=[-1.3] * T)
    np.testing.assert_allclose(got[1, 3], np.mean((single - y) ** 2, axis=(1, 2)), rtol=1e-11)


def test_leave_one_out_does_not_depend_on_the_blocks(monkeypatch):
    s, y, *_ = problem(SPECTRA["clustered"])
    how = {"ridges": RIDGES[5:9], "teacher_weights": [0.5, 1.0], "rounds": 5}
    whole = kd.loo_grid(s, y, **how)
    monkeypatch.setattr("kdtheory.leave_one_out_grid.BLOCK_ENTRIES", 2_000)
    np.testing.assert_allclose(kd.loo_grid(s, y, **how), whole, rtol=1e-12)


def test_low_rank_leave_one_out_grid():
    features = RNG.normal(size=(N, 5))
    y = RNG.normal(size=(N, 2))
    exact = kd.Spectrum.from_gram(features @ features.T)
    low = kd.Spectrum.from_features(features)
    how = {"ridges": [0.1, 2.0], "teacher_weights": [0.4, 1.0], "rounds": 3}
    np.testing.assert_allclose(kd.loo_grid(low, y, **how), kd.loo_grid(exact, y, **how), rtol=1e-10)
    np.testing.assert_allclose(kd.gcv_grid(low, y, **how), kd.gcv_grid(exact, y, **how), rtol=1e-10)


def test_weights_that_would_cancel_are_evaluated_filter_by_filter():
    s, y, cross, y_val = problem(SPECTRA["clustered"])
    how = {"ridges": [1e-2, 1.0], "teacher_weights": [3.0, -2.5], "rounds": 20}
    np.testing.assert_allclose(
        kd.risk_grid(s, y, cross, y_val, **how), kd.risk_grid(s, y, cross, y_val, **how, method="direct")
    )
    chains = [[kd.loo(s, y, ridge=r, teacher_weights=[w] * 20) for w in how["teacher_weights"]] for r in how["ridges"]]
    expected = [[np.mean((each - y) ** 2, axis=(1, 2)) for each in row] for row in chains]
    np.testing.assert_allclose(kd.loo_grid(s, y, **how), expected, rtol=1e-12)


def test_long_chains_need_no_square_of_their_length():
    s, y, cross, y_val = problem(SPECTRA["geometric to 1e-16"], outputs=1)
    how = {"ridges": [1e-2], "teacher_weights": [0.9, 1.0], "rounds": 3000}
    fast = kd.risk_grid(s, y, cross, y_val, **how)
    direct = [
        [np.mean((p - y_val) ** 2) for p in kd.rounds(s, y, ridge=1e-2, teacher_weights=[w] * 3000, cross=cross)]
        for w in (0.9, 1.0)
    ]
    np.testing.assert_allclose(fast[0], direct, rtol=1e-11)
