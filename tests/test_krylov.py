"""The block-Krylov basis: its error estimate against solves refined in extended precision, and the exact package."""

import importlib
import re

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

import kdtheory as kd
from kdtheory import kernels, testing
from kdtheory.kernel_product import kernel_product
from kdtheory.krylov import ConvergenceError, krylov
from kdtheory.krylov_bound import bound as krylov_bound
from kdtheory.reduced import Reduced
from tests.brute import chain, gram_from, relative

module = importlib.import_module("kdtheory.krylov")
RNG = np.random.default_rng(0)
EPS = np.finfo(float).eps
N, T = 120, 6


def members(K, y, ridge, count):
    """Dual coefficients and fitted values of M S^j y, refined in extended precision: two (count, n, p)."""
    long = K.astype(np.longdouble)
    factor = scipy.linalg.cho_factor(K + ridge * np.eye(len(K)))
    s, coefficients, fits = y.astype(np.longdouble), [], []
    for _ in range(count):
        c = np.zeros_like(s)
        for _ in range(8):
            c += scipy.linalg.cho_solve(factor, (s - long @ c - np.longdouble(ridge) * c).astype(float))
        s = s - np.longdouble(ridge) * c
        coefficients.append(c)
        fits.append(s)
    return np.array(coefficients), np.array(fits)


def points(features):
    return np.random.default_rng(1).normal(size=(N + 40, features))


ZOO = {
    "geometric": np.geomspace(1e2, 1e-14, N),
    "clustered": np.repeat([1e3, 1.0, 1e-3], N // 3) * (1 + 1e-9 * np.sin(np.arange(N))),
    "repeated": np.repeat([10.0, 1.0, 0.1], N // 3),
    "rank one": np.append(5.0, np.zeros(N - 1)),
    "power": 100 / np.arange(1.0, N + 1) ** 2,
    "rank 20": np.append(np.linspace(1, 3, 20), np.zeros(N - 20)),
    "one value": np.full(N, 2.0),
    "rbf": kernels.rbf(points(3), gamma=0.2),
    "laplace": kernels.laplace(points(20), gamma=0.1),
}


def of_the_zoo(name):
    """K (n, n) and new points' kernel, or None."""
    if ZOO[name].ndim == 2:
        return ZOO[name][:N, :N], ZOO[name][N:, :N]
    return gram_from(ZOO[name], np.random.default_rng(2)), None


def unless_rounding_forbids(*arguments, **how):
    try:
        return krylov(*arguments, **how)
    except ConvergenceError as refusal:
        if "a tolerance above that" not in str(refusal):
            raise
        return None


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", ZOO)
def test_the_estimate_is_honest_and_not_loose(name, outputs):
    K, cross = of_the_zoo(name)
    y = np.sin(np.arange(N))[:, None] + RNG.normal(size=(N, outputs))
    norms, ratios = np.linalg.norm(y, axis=0), []
    for share in (1e-7, 1e-4, 1.0):
        ridge = share * np.linalg.eigvalsh(K)[-1]
        coefficients, fits = members(K, y, ridge, T + 1)
        for tolerance in (1e-3, 1e-6, 1e-9):
            reduced = unless_rounding_forbids(K, y, ridges=[ridge], rounds=T, tolerance=tolerance)
            if reduced is None:
                assert share == 1e-7
                continue
            assert reduced.error <= tolerance
            got = reduced.rounds(K, ridge=ridge, teacher_weights=[1.0] * T)
            error = np.max(np.linalg.norm((got - fits).astype(float), axis=1) / norms)
            assert error <= reduced.error
            ratios.append(reduced.error / max(error, 10 * EPS / share))
            if cross is not None:
                (bound,) = re.findall(r"new points within (\S+) sqrt", reduced.note)
                got = reduced.rounds(cross, ridge=ridge, teacher_weights=[1.0] * T)
                true = np.einsum("mi,tip->tmp", cross, coefficients.astype(float))
                assert np.max(np.abs(got - true) / norms) <= 1.1 * float(bound)
    assert len(ratios) >= 6
    assert np.median(ratios) < 20


@settings(max_examples=30)
@given(testing.spectra(least=2, most=40), st.floats(-9, 0), st.integers(0, 4), st.integers(0, 1000), st.floats(-10, -2))
def test_whatever_the_spectrum_what_is_returned_is_within_its_error(spectrum, ridge, rounds, seed, tolerance):
    rng = np.random.default_rng(seed)
    K, ridge = gram_from(spectrum, rng), 10.0**ridge
    y = rng.normal(size=(len(K), 2)) * 10.0 ** rng.uniform(-3, 3, size=2)
    reduced = unless_rounding_forbids(K, y, ridges=[ridge], rounds=rounds, tolerance=10.0**tolerance)
    if reduced is None:
        assert ridge < 100 * EPS / 10.0**tolerance
        return
    fits = members(K, y, ridge, rounds + 1)[1]
    got = reduced.rounds(K, ridge=ridge, teacher_weights=[1.0] * rounds)
    assert np.max(np.linalg.norm((got - fits).astype(float), axis=1) / np.linalg.norm(y, axis=0)) <= reduced.error


def test_the_residuals_in_the_bound_are_those_of_the_members():
    K, _ = of_the_zoo("power")
    y, ridge = RNG.normal(size=(N, 2)), 0.05
    first, R = module._orthonormal(y / np.linalg.norm(y, axis=0), 0.0)
    basis = module._Basis(lambda V: K @ V, first, N)
    for _, residual in zip(range(6), basis.residuals(R, ridge), strict=False):
        ritz = basis.ritz(R)
        bound = krylov_bound(ritz, np.array([ridge]), T, 1.0)
        W = basis.Q[:, : basis.rank] @ ritz.vectors
        s = y / np.linalg.norm(y, axis=0)
        for j in range(T + 1):
            c = W @ ((ritz.d / (ritz.d + ridge)) ** j / (ritz.d + ridge) * ritz.z.T).T
            np.testing.assert_allclose(bound.rho[:, j], np.linalg.norm(K @ c + ridge * c - s, axis=0), rtol=1e-7)
            s = s - ridge * c
        assert residual == pytest.approx(bound.rho[:, 0].max(), rel=1e-7)
        a = np.linspace(0, 1, 10_001)
        fits, new = np.zeros((2, 2, T + 1))
        for j in range(T + 1):
            for i in range(j + 1):
                fits[:, j] += bound.rho[:, i] * np.max(a ** (j - i) * (1 - a))
                new[:, j] += bound.rho[:, i] * (0.5 if i == j else np.max(a ** (j - i - 0.5) * (1 - a) ** 1.5))
        assert bound.error == pytest.approx(fits.max(), rel=1e-6)
        assert bound.at_new == pytest.approx(new.max() / np.sqrt(ridge), rel=1e-6)
    np.testing.assert_allclose(W.T @ W, np.eye(basis.rank), atol=1e-14)


def test_what_the_products_lose_is_in_the_error():
    K, _ = of_the_zoo("power")
    y, ridge, single = np.cos(np.outer(np.arange(N), [1, 2.5])), 0.01, K.astype(np.float32)

    def by_single_precision(tolerance):
        return krylov(lambda V: single @ V.astype(np.float32), y, ridges=[ridge], rounds=2, tolerance=tolerance)

    reduced, fits = by_single_precision(1e-3), members(K, y, ridge, 3)[1]
    got = reduced.rounds(K, ridge=ridge, teacher_weights=[1.0, 1.0])
    assert np.max(np.linalg.norm((got - fits).astype(float), axis=1) / np.linalg.norm(y, axis=0)) <= reduced.error
    with pytest.raises(ConvergenceError, match="a tolerance above that or a larger ridge would do"):
        by_single_precision(1e-5)


@pytest.mark.parametrize("outputs", [None, 1, 4, 9])
@pytest.mark.parametrize("form", ["rows", "columns", "part", "product"])
def test_everything_as_from_the_eigendecomposition(outputs, form):
    X = points(4)
    K, cross = kernels.rbf(X[:N], gamma=0.2), kernels.rbf(X[N:], X[:N], gamma=0.2)
    y, y_val = (RNG.normal(size=length if outputs is None else (length, outputs)) for length in (N, 40))
    if form == "part":
        large = np.zeros((2 * N, 2 * N))
        large[::2, ::2] = K
        gram = large[::2, ::2]
    else:
        product = kernel_product(X[:N], lambda *sets: kernels.rbf(*sets, gamma=0.2), block_entries=1000)
        gram = {"rows": K, "columns": np.asfortranarray(K), "product": product}[form]
    grid = {"ridges": np.logspace(-3, 1, 5), "teacher_weights": [0.0, 0.3, 1.0], "rounds": T}
    reduced = krylov(gram, y, ridges=grid["ridges"], rounds=T, tolerance=1e-9)
    exact = Reduced.from_spectrum(kd.Spectrum.from_gram(K), y)
    assert reduced.method == "krylov"
    assert reduced.error <= 1e-9
    assert reduced.vector == (outputs is None)
    for ridge in grid["ridges"][[0, 3]]:
        chain = {"ridge": ridge, "teacher_weights": [0.2, 1.0, 0.7]}
        np.testing.assert_allclose(reduced.rounds(cross, **chain), exact.rounds(cross, **chain), atol=1e-8)
        filter = kd.Distilled(**chain)
        np.testing.assert_allclose(reduced.predict(filter, cross), exact.predict(filter, cross), atol=1e-8)
    np.testing.assert_allclose(reduced.risk_grid(cross, y_val, **grid), exact.risk_grid(cross, y_val, **grid), rtol=1e-8)
    assert reduced.energy.sum() + reduced.outside == pytest.approx(np.sum(y**2))
    assert reduced.outside < 1e-25 * np.sum(y**2)
    assert f"{reduced.rank} directions" in reduced.note
    with pytest.raises(ValueError, match="`gcv_grid` needs the trace of the smoother, which a krylov basis"):
        reduced.gcv_grid(**grid)


def test_cross_takes_new_points():
    X = points(2)
    kernel = lambda *sets: kernels.rbf(*sets, gamma=0.3)
    y = RNG.normal(size=N)
    direct, indirect = (krylov(kernel(X[:N]), y, ridges=[0.1], cross=c) for c in (None, lambda new: kernel(new, X[:N])))
    got = indirect.predict(kd.Ridge(0.1), X[N:])
    assert (got == direct.predict(kd.Ridge(0.1), kernel(X[N:], X[:N]))).all()


def test_dependent_and_zero_outputs_cost_nothing():
    K, _ = of_the_zoo("power")
    y = RNG.normal(size=(N, 1))
    alone = krylov(K, y, ridges=[0.1], tolerance=1e-9)
    y2 = np.hstack([y, 0 * y, -3e-5 * y, y * 1e7])
    together = krylov(K, y2, ridges=[0.1], tolerance=1e-9)
    assert together.rank == alone.rank
    got = together.predict(kd.Ridge(0.1), K)
    assert relative(got, alone.predict(kd.Ridge(0.1), K) * [1, 0, -3e-5, 1e7]) < 1e-12
    assert (got[:, 1] == 0).all()
    nothing = krylov(K, np.zeros(N), ridges=[0.1], rounds=2)
    assert nothing.error == 0
    assert (nothing.rounds(K, ridge=0.1, teacher_weights=[1.0, 0.5]) == 0).all()


@pytest.mark.parametrize("values", [[3.0], [3.0, 1.0], [3.0, 1.0, 0.0], [3.0, 1.0, 1e-3]])
def test_an_invariant_space_is_exact(values):
    K = np.diag(np.repeat(values, 10))
    reduced = krylov(K, RNG.normal(size=(len(K), 2)), ridges=[1e-2, 1.0], rounds=5, tolerance=1e-12)
    assert reduced.rank == 2 * len(values)
    assert reduced.error < 1e-12
    np.testing.assert_allclose(reduced.eigenvalues, np.repeat(values, 2), atol=1e-13)


def test_more_outputs_than_room_and_a_single_point():
    K, y = np.array([[2.0]]), np.array([[1.0, 3.0]])
    assert krylov(K, y, ridges=[1.0]).predict(kd.Ridge(1.0), [[2.0]]) == pytest.approx(y * 2 / 3)
    K, _ = of_the_zoo("power")
    with pytest.raises(ConvergenceError, match="7 directions"):
        krylov(K, RNG.normal(size=(N, 7)), ridges=[1e-3], max_rank=3)
    full = krylov(K, np.eye(N), ridges=[0.5], tolerance=1e-9)
    np.testing.assert_allclose(full.predict(kd.Ridge(0.5), K), K @ np.linalg.solve(K + 0.5 * np.eye(N), np.eye(N)), atol=1e-9)


def test_weights_outside_the_unit_interval_are_paid_for():
    K, _ = of_the_zoo("power")
    y, weights = RNG.normal(size=N), [-1.0, 2.0, -0.5]
    reduced = krylov(K, y, ridges=[0.01], rounds=3, teacher_weights=weights, tolerance=1e-4)
    true = chain(K, K, y, 0.01, weights)
    got = reduced.rounds(K, ridge=0.01, teacher_weights=weights)
    assert np.max(np.linalg.norm(got - true, axis=1)) <= reduced.error * np.linalg.norm(y) <= 1e-4 * np.linalg.norm(y)
    within = krylov(K, y, ridges=[0.01], rounds=3, tolerance=1e-4, teacher_weights=[0.0, 0.4, 1.0])
    assert within.rank < reduced.rank
    # sum of absolute coefficients: 2 + 1, then 1 + 2 * 3, and the worst weight in every round
    for rounds, growth in [(0, 1), (1, 1 + 2), (2, 1 + 2 * 3)]:  # sums of absolute coefficients at weight 2
        errors = [
            krylov(K, y, ridges=[0.01], rounds=rounds, teacher_weights=w, tolerance=1e6).error for w in ([2.0, 0.5], [0.5])
        ]
        assert errors[0] == pytest.approx(growth * errors[1])


def test_a_basis_that_is_too_small_is_refused():
    K, _ = of_the_zoo("geometric")
    y = RNG.normal(size=N)
    with pytest.raises(ConvergenceError, match=r"`tolerance` 1e-10 is not reached: 10 directions leave .* larger `max_rank`"):
        krylov(K, y, ridges=[1.0, 1e-6], max_rank=10)
    with pytest.raises(ConvergenceError, match=r"at ridge 1e-06, .* by rounding; a tolerance above that or a larger ridge"):
        krylov(K, y, ridges=[1.0, 1e-6])
    assert krylov(K, y, ridges=[1.0, 1.0], max_rank=60).error <= 1e-10


def test_products_that_are_no_symmetric_matrix_are_refused():
    K, y = of_the_zoo("power")[0], RNG.normal(size=N)
    with pytest.raises(ValueError, match="`gram` must be one symmetric matrix in float64, got residuals"):
        krylov(lambda V: (K + np.eye(N) + 1e-3 * np.tri(N)) @ V, y, ridges=[1.0])
    with pytest.raises(ValueError, match="`gram` must be positive semi-definite, got eigenvalues from"):
        krylov(lambda V: V - 0.1 * K @ V, y, ridges=[20.0])
    with pytest.raises(ValueError, match=r"`gram` must have shape \(120, 1\), got"):
        krylov(lambda V: V[:5], y, ridges=[1.0])
    with pytest.raises(ValueError, match="`gram` must be finite"):
        krylov(lambda V: V * np.nan, y, ridges=[1.0])
    with pytest.raises(ValueError, match="`gram` must be symmetric"):
        krylov(K + np.tri(N), y, ridges=[1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.ones(3)}, r"`gram` must have shape \(3, 3\)"),
        ({"ridges": [0.0]}, "`ridges` must be positive, got 0.0"),
        ({"rounds": -1}, "`rounds` must be a whole number of at least 0, got -1"),
        ({"tolerance": 0.0}, "`tolerance` must be positive and finite, got 0.0"),
        ({"max_rank": 0}, "`max_rank` must be a whole number of at least 1, got 0"),
        ({"teacher_weights": [np.nan]}, "`teacher_weights` must be finite"),
    ],
)
def test_arguments_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        krylov(**{"gram": np.eye(4), "y": np.ones(4), "ridges": [1.0], **change})


def test_new_points_are_checked_and_progress_is_told(capsys):
    K, _ = of_the_zoo("power")
    reduced = krylov(K, RNG.normal(size=N), ridges=[1e-2], progress=True)
    assert re.search(r"krylov: 10 directions, residual \d", capsys.readouterr().err)
    with pytest.raises(ValueError, match=r"`cross` must have shape \(any, 120\), got \(2, 3\)"):
        reduced.predict(kd.Ridge(1.0), np.ones((2, 3)))
