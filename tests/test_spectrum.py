"""The decomposition, what it clips and refuses, and the part of the labels that a low rank does not see."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kdtheory as kd
from tests.brute import gram_from

RNG = np.random.default_rng(0)


@given(st.lists(st.floats(-12.0, 3.0), min_size=1, max_size=12), st.integers(0, 100))
def test_decomposition_is_the_gram_matrix(exponents, seed):
    K = gram_from(10.0 ** np.array(exponents), np.random.default_rng(seed))
    s = kd.Spectrum.from_gram(K)
    scale = np.abs(K).max()
    U, d = s.eigenvectors, s.eigenvalues
    assert (np.diff(d) <= 0).all()
    assert (d >= 0).all()
    np.testing.assert_allclose(U * d @ U.T, K, atol=1e-13 * scale)
    np.testing.assert_allclose(U.T @ U, np.eye(s.n), atol=1e-13)


def test_features_and_gram_are_the_same_spectrum():
    Phi, y = RNG.normal(size=(12, 4)), RNG.normal(size=(12, 2))
    low, full = kd.Spectrum.from_features(Phi), kd.Spectrum.from_gram(Phi @ Phi.T)
    assert (low.rank, full.rank) == (4, 12)
    np.testing.assert_allclose(low.eigenvalues, full.eigenvalues[:4], rtol=1e-12)
    f, cross = kd.Distilled(0.3, [0.5, -0.4]), RNG.normal(size=(5, 4)) @ Phi.T
    np.testing.assert_allclose(low.fit(f, y), full.fit(f, y), atol=1e-13)
    np.testing.assert_allclose(low.residual(f, y), full.residual(f, y), atol=1e-13)
    np.testing.assert_allclose(low.predict(f, y, cross), full.predict(f, y, cross), atol=1e-12)
    np.testing.assert_allclose(low.fit(f, y) + low.residual(f, y), y, atol=1e-13)
    assert abs(low.effective_dimension(f) - full.effective_dimension(f)) < 1e-12
    np.testing.assert_allclose(low.alignment(y), full.alignment(y), rtol=1e-12)


def test_more_features_than_points():
    Phi = RNG.normal(size=(4, 9))
    np.testing.assert_allclose(kd.Spectrum.from_features(Phi).eigenvalues, np.linalg.eigvalsh(Phi @ Phi.T)[::-1], rtol=1e-12)


def test_matrix_functions_and_their_diagonals():
    Phi, y = RNG.normal(size=(9, 3)), RNG.normal(size=9)
    s, K = kd.Spectrum.from_features(Phi), Phi @ Phi.T
    inverse = np.linalg.inv(K + 0.7 * np.eye(9))
    np.testing.assert_allclose(s.apply(1 / (s.eigenvalues + 0.7), 1 / 0.7, y), inverse @ y, atol=1e-12)
    np.testing.assert_allclose(s.diagonal(1 / (s.eigenvalues + 0.7), 1 / 0.7), np.diag(inverse), atol=1e-12)


def test_effective_dimension_and_alignment_are_their_definitions():
    K = gram_from([3.0, 1.0, 0.2], RNG)
    y = RNG.normal(size=3)
    s = kd.Spectrum.from_gram(K)
    assert abs(s.effective_dimension(0.5) - np.trace(K @ np.linalg.inv(K + 0.5 * np.eye(3)))) < 1e-12
    assert abs(s.effective_dimension(kd.Ridge(0.5)) - s.effective_dimension(0.5)) < 1e-15
    assert abs(s.alignment(y) - np.sum(K * np.outer(y, y)) / (np.linalg.norm(K) * (y @ y))) < 1e-14
    assert s.effective_dimension(np.float32(0.5)) == s.effective_dimension(1 / 2)
    Y = RNG.normal(size=(3, 2))
    each = [np.sum(K * np.outer(column, column)) / (np.linalg.norm(K) * (column @ column)) for column in Y.T]
    np.testing.assert_allclose(s.alignment(Y), each, rtol=1e-13)
    with pytest.raises(ValueError, match="`y` must not be zero"):
        s.alignment([0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="other than zero"):
        kd.Spectrum.from_gram(np.zeros((3, 3))).alignment(y)


def test_rounding_is_clipped_and_reported():
    X = np.repeat(RNG.normal(size=(10, 2)), 3, axis=0)
    s = kd.Spectrum.from_gram(kd.kernels.rbf(X, gamma=1.0))
    assert s.clipped < 0
    assert s.eigenvalues.min() == 0
    assert "clipped" in repr(s)
    assert kd.Spectrum.from_gram(np.eye(3)).clipped == 0


def test_float32_gram_is_judged_by_float32_rounding():
    K = kd.kernels.rbf(RNG.normal(size=(60, 2)), gamma=0.3).astype(np.float32)
    assert kd.Spectrum.from_gram(K).clipped > -1e-4
    with pytest.warns(RuntimeWarning, match="more than rounding in this precision leaves"):
        kd.Spectrum.from_gram(K.astype(np.float64))


def test_one_point_integers_and_zero_matrix():
    one = kd.Spectrum.from_gram([[4]])
    assert one.fit(kd.Ridge(4.0), [3]).tolist() == [1.5]
    zero = kd.Spectrum.from_gram(np.zeros((2, 2)))
    assert zero.fit(kd.Ridge(1.0), [1.0, 2.0]).tolist() == [0.0, 0.0]
    assert zero.residual(kd.Ridge(1.0), [1.0, 2.0]).tolist() == [1.0, 2.0]


def test_a_spectrum_is_frozen():
    s = kd.Spectrum.from_gram(np.eye(2))
    with pytest.raises(ValueError, match="read-only"):
        s.eigenvalues[0] = 3.0


def test_the_input_is_left_alone():
    K = gram_from([2.0, 1.0], RNG)
    before = K.copy()
    kd.Spectrum.from_gram(K)
    assert (K == before).all()


@pytest.mark.parametrize("n", [1, 2, 3, 64, 127, 129, 200])
@pytest.mark.parametrize("driver", [None, "evd", "evr"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_in_place_and_by_either_driver_it_is_the_same_spectrum(n, driver, order):
    d = np.sort(RNG.exponential(size=n))[::-1]
    K = np.array(gram_from(d, RNG), order=order)
    kept = K.copy()
    s = kd.Spectrum.from_gram(K, driver=driver)
    assert (K == kept).all()
    in_place = kd.Spectrum.from_gram(K, overwrite=True, driver=driver)
    for spectrum in (s, in_place):
        U = spectrum.eigenvectors
        np.testing.assert_allclose(spectrum.eigenvalues, d, atol=1e-13 * d[0])
        np.testing.assert_allclose((U * spectrum.eigenvalues) @ U.T, kept, atol=1e-12 * d[0])
        np.testing.assert_allclose(U.T @ U, np.eye(n), atol=1e-11)
    if n > 2:
        assert (K != kept).any()


def test_overwriting_needs_an_array_of_ones_own():
    fixed = gram_from([2.0, 1.0], RNG)
    fixed.setflags(write=False)
    kept = fixed.copy()
    rows = [[2.0, 1.0], [1.0, 2.0]]
    for gram in (fixed, rows):
        kd.Spectrum.from_gram(gram, overwrite=True)
    assert (fixed == kept).all()
    assert rows == [[2.0, 1.0], [1.0, 2.0]]


def test_drivers_are_two():
    with pytest.raises(ValueError, match=r'`driver` must be "evd" \(up to n = 32766\) or "evr", got \'ev\' at n = 2\.'):
        kd.Spectrum.from_gram(np.eye(2), driver="ev")


@pytest.mark.slow
@pytest.mark.parametrize(("overwrite", "arrays"), [(True, 2.1), (False, 3.1)])
def test_peak_memory(overwrite, arrays):
    n = 5000
    code = f"""
import numpy as np, kdtheory as kd
def peak():  # of this process alone: ru_maxrss starts at what the parent had
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
K, before = None, peak()
K = np.minimum.outer(np.arange(1.0, {n} + 1), np.arange(1.0, {n} + 1))
s = kd.Spectrum.from_gram(K, overwrite={overwrite})
print((peak() - before) / (8 * {n} ** 2))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < arrays
