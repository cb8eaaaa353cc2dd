"""One call: every way answers like the exact one, and the choice follows size, ridges, memory and tolerance."""

import importlib
from functools import partial

import numpy as np
import pytest

import kdtheory as kd
from kdtheory import kernels
from kdtheory.kernel_product import kernel_product
from kdtheory.krylov import ConvergenceError, krylov
from kdtheory.reduced import Reduced
from kdtheory.solve import solve

module = importlib.import_module("kdtheory.solve")
RNG = np.random.default_rng(0)
N, M = 240, 30
KERNEL = partial(kernels.rbf, gamma=0.1)
MANY = np.logspace(-1, 1, 60)
GRAM = 8 * N * N  # bytes


def problem(outputs=None, features=3):
    X = np.random.default_rng(4).normal(size=(N + M, features))
    y = np.sin(X[:, :1]) + 0.1 * RNG.normal(size=(N + M, outputs or 1))
    y = y[:, 0] if outputs is None else y
    return X[:N], y[:N], X[N:], y[N:]


@pytest.fixture
def large(monkeypatch):
    """240 points count as many."""
    monkeypatch.setattr(module, "SMALL", 50)
    monkeypatch.setattr(module, "LEAST_RANK", 10)


@pytest.mark.parametrize("outputs", [None, 2])
@pytest.mark.parametrize(
    ("method", "tolerance"),
    [("exact", 1e-9), ("cholesky", 1e-9), ("krylov", 1e-9), ("nystrom", 1e-4), ("random features", 0.3)],
)
def test_every_method_answers_alike(method, tolerance, outputs):
    X, y, new, y_new = problem(outputs)
    ridges, weights = [0.5, 3.0], [0.2, 1.0, 0.7]
    how = {"ridges": ridges, "rounds": 4, "tolerance": 1e-10, "method": method, "centres": 230, "seed": 3}
    result = solve(X, y, kernel=KERNEL, **how)
    exact = Reduced.from_spectrum(kd.Spectrum.from_gram(KERNEL(X)), y)
    k = KERNEL(new, X)
    assert result.method == method
    assert result.note
    assert result.error is None or result.error >= 0
    got, expected = (r.rounds(x, ridge=0.5, teacher_weights=weights) for r, x in [(result, new), (exact, k)])
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < tolerance
    for filter in (kd.Ridge(3.0), kd.Distilled(0.5, weights)):
        assert np.abs(result.predict(filter, new) - exact.predict(filter, k)).max() < tolerance
    grid = {"ridges": ridges, "teacher_weights": [0.0, 0.6], "rounds": 4}
    np.testing.assert_allclose(result.risk_grid(new, y_new, **grid), exact.risk_grid(k, y_new, **grid), rtol=10 * tolerance)
    if method in ("exact", "cholesky", "krylov"):
        from_gram = solve(KERNEL(X), y, **how)
        assert np.abs(from_gram.predict(kd.Ridge(0.5), k) - result.predict(kd.Ridge(0.5), new)).max() < 1e-9
        with pytest.raises(ValueError, match=r"`X_new` must have shape \(any, 3\), got \(2, 4\)"):
            result.predict(kd.Ridge(0.5), np.ones((2, 4)))


def test_the_gram_that_was_given_is_left_alone():
    X, y, *_ = problem()
    K = KERNEL(X)
    for method in ("exact", "cholesky", "krylov"):
        solve(K, y, ridges=[0.5, 1.0], method=method)
        assert (KERNEL(X) == K).all()


def test_few_ridges_by_cholesky_many_by_the_spectrum():
    X, y, *_ = problem()
    assert solve(X, y, kernel=KERNEL, ridges=[0.1]).method == "cholesky"
    result = solve(X, y, kernel="rbf", ridges=MANY)
    assert result.method == "exact"
    assert 0 < result.error < 1e-12
    assert result.note.startswith(
        "Eigendecomposition of 240 points: rounding leaves about 2e-13 |y| at ridge 0.1; chosen because"
    )
    assert solve(X, y, kernel=KERNEL, ridges=[0.1] * 60).method == "cholesky"  # one ridge, said sixty times
    assert solve(X, y, kernel=KERNEL, ridges=MANY[:9]).method == "exact"
    assert solve(X, y, kernel=KERNEL, ridges=MANY[:2]).method == "cholesky"
    assert solve(X, y, kernel=KERNEL, ridges=MANY[:2], rounds=200).method == "exact"


def test_many_points_by_krylov_where_the_tolerance_allows(large):
    X, y, *_ = problem()
    result = solve(X, y, kernel=KERNEL, ridges=MANY, tolerance=1e-4)
    assert result.method == "krylov"
    assert result.error <= 1e-4
    assert "chosen because its error estimate meets the tolerance at a fraction" in result.note
    result = solve(X, y, kernel=KERNEL, ridges=MANY / 1e8, tolerance=1e-4)
    assert result.method == "exact"
    assert "Another way was tried before: `tolerance` 0.0001 is not reached: 30 directions" in result.note
    assert solve(X, y, kernel=KERNEL, ridges=[1e-8, 1e-7], tolerance=1e-4).method == "cholesky"  # after Krylov as well
    assert solve(KERNEL(X), y, ridges=MANY, tolerance=1e-4).method == "krylov"


def test_one_ridge_of_many_points_does_without_krylov(large, monkeypatch):
    X, y, *_ = problem()
    monkeypatch.setattr(module, "few_ridges", lambda *_: 11.0)
    assert solve(X, y, kernel=KERNEL, ridges=[0.1]).method == "cholesky"
    assert solve(X, y, kernel=KERNEL, ridges=[0.1, 1.0]).method == "krylov"


def test_memory_decides(large):
    X, y, new, _ = problem()
    how = {"kernel": KERNEL, "ridges": MANY, "tolerance": 1e-4}
    formed = solve(X, y, memory=2.2 * GRAM, **how)
    assert (formed.method, "does not fit" in formed.note) == ("krylov", False)
    free = solve(X, y, memory=0.99 * GRAM, **how)
    assert (free.method, "the Gram matrix does not fit" in free.note) == ("krylov", True)
    np.testing.assert_allclose(free.predict(kd.Ridge(1.0), new), formed.predict(kd.Ridge(1.0), new), atol=1e-4)
    with pytest.warns(RuntimeWarning, match=r"`tolerance` 0.0001 is not certified: nothing else fits, and the error of 20 "):
        low = solve(X, y, memory=8 * N * 9, centres=20, **how)
    assert low.method == "nystrom"
    accurate = solve(X, y, memory=8 * N * 9, centres=N, **how | {"tolerance": 1e-3})
    assert (accurate.method, accurate.error <= 1e-3) == ("nystrom", True)
    with pytest.warns(RuntimeWarning, match=r"Another way was tried before: .* not reached"):
        solve(X, y, kernel=KERNEL, ridges=MANY / 1e8, memory=1.2 * GRAM, centres=20)
    small = {"ridges": MANY / 1e8, "memory": GRAM, "tolerance": 1e-4}
    with pytest.raises(ValueError, match=r"`memory` must hold two more Gram matrices of 240 points, 9.22e\+05 bytes, or"):
        solve(KERNEL(X), y, **small)
    assert solve(KERNEL(X), y, **small | {"memory": 2 * GRAM}).method == "exact"


def test_beyond_the_limits_of_time_centres_stand_in(large, monkeypatch):
    X, y, *_ = problem()
    monkeypatch.setattr(module, "EXACT_LIMIT", N - 1)
    monkeypatch.setattr(module, "FREE_LIMIT", N - 1)
    how = {"ridges": MANY / 1e8, "tolerance": 1e-4}
    with pytest.warns(RuntimeWarning, match="is not certified"):
        assert solve(X, y, kernel=KERNEL, centres=20, **how).method == "nystrom"
    assert solve(KERNEL(X), y, **how).method == "exact"  # a Gram matrix leaves no other way
    with pytest.warns(RuntimeWarning, match="is not certified"):
        assert solve(X, y, kernel=KERNEL, centres=20, ridges=MANY, memory=0.9 * GRAM).method == "nystrom"


def test_asked_for_krylov_refuses_and_does_without_the_gram(capsys):
    X, y, *_ = problem()
    with pytest.raises(ConvergenceError, match="`tolerance` 1e-12 is not reached"):
        solve(X, y, kernel=KERNEL, ridges=[1e-10], method="krylov", tolerance=1e-12)
    calls = []

    def kernel(*sets):
        calls.append(len(sets))
        return KERNEL(*sets)

    solve(X, y, kernel=kernel, ridges=[0.01], method="krylov", memory=GRAM / 2, progress=True)
    assert len(calls) > 10
    assert "krylov: 10 directions" in capsys.readouterr().err


def test_weights_outside_the_unit_interval_reach_the_bound():
    X, y, *_ = problem()
    how = {"kernel": KERNEL, "ridges": [0.5], "rounds": 5, "tolerance": 1e-5, "method": "krylov"}
    assert solve(X, y, teacher_weights=[3.0, -2.0], **how).rank > solve(X, y, **how).rank


@pytest.mark.parametrize("entries", [1, 300, 240 * 7, 10**6])
def test_the_product_without_the_matrix(entries):
    X, *_ = problem()
    seen = []

    def kernel(*sets):
        seen.append(np.prod([len(points) for points in sets]) if len(sets) == 2 else len(sets[0]) ** 2)
        return kernels.laplace(*sets, gamma=0.3)

    V = RNG.normal(size=(N, 3))
    np.testing.assert_allclose(
        kernel_product(X, kernel, block_entries=entries)(V), kernels.laplace(X, gamma=0.3) @ V, atol=1e-12
    )
    height = max(1, entries // N)
    assert max(seen) <= max(entries, N)
    assert sum(seen) <= N * (N + height) / 2 + height**2  # each pair once
    with pytest.raises(ValueError, match=r"`kernel` must have shape"):
        kernel_product(X, lambda *sets: np.ones((2, 2)), block_entries=entries)(V)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "best"}, "`method` must be one of auto, exact, cholesky, krylov, nystrom, random features, got 'best'"),
        ({"kernel": 3}, "`kernel` must be a function, a name or None, got 3"),
        ({"kernel": "gauss"}, "`kernel` must be one of laplace, linear"),
        ({"kernel": None}, r"`data` must be a square Gram matrix where no `kernel` is given, got shape \(6, 2\)"),
        ({"y": np.ones(3)}, "`y` must have 6 rows"),
        ({"ridges": [-1.0]}, "`ridges` must be positive"),
        ({"rounds": 0.5}, "`rounds` must be a whole number"),
        ({"tolerance": -1.0}, "`tolerance` must be positive"),
        ({"memory": 0}, "`memory` must be positive"),
        ({"centres": 0}, "`centres` must be a whole number of at least 1"),
        ({"method": "random features", "kernel": kernels.rbf}, r"`kernel` must be functools.partial\(rbf or laplace, gamma"),
        ({"method": "nystrom", "kernel": None, "data": np.eye(6)}, '`kernel` must be given, .* for `method` "nystrom"'),
    ],
)
def test_arguments_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        solve(**{"data": np.eye(6, 2), "y": np.ones(6), "kernel": "rbf", "ridges": [1.0], **change})


def test_where_the_system_does_not_tell_its_memory(monkeypatch):
    monkeypatch.delattr(module.os, "sysconf")
    X, y, *_ = problem()
    with pytest.raises(ValueError, match="`memory` must be given where the system does not tell its size"):
        solve(X, y, kernel=KERNEL, ridges=[1.0])
    assert solve(X, y, kernel=KERNEL, ridges=[1.0], memory=1e9).method == "cholesky"


@pytest.mark.slow
def test_ten_thousand_points_without_their_gram():
    X = RNG.normal(size=(10_000, 10))
    y, kernel = np.sin(X[:, 0]), partial(kernels.rbf, gamma=0.05)
    free = solve(X, y, kernel=kernel, ridges=[1.0, 10.0], memory=1e8)
    assert free.error <= 1e-6
    formed = krylov(kernel(X), y, ridges=[1.0, 10.0])
    np.testing.assert_allclose(
        free.predict(kd.Ridge(1.0), X[:50]), formed.predict(kd.Ridge(1.0), kernel(X[:50], X)), atol=1e-6
    )


def test_rounding_above_the_tolerance_is_told():
    X, y, *_ = problem()
    for ridges in ([1e-11], MANY / 1e12):
        with pytest.warns(RuntimeWarning, match="`tolerance` 1e-06 is below what rounding leaves at the smallest ridge"):
            assert solve(X, y, kernel=KERNEL, ridges=ridges).error > 1e-6


def test_a_singular_matrix_falls_to_the_eigendecomposition():
    x, y = np.linspace(-3, 3, 200)[:, None], np.linspace(0, 1, 200)
    with pytest.warns(RuntimeWarning, match="rounding"):
        result = solve(x, y, kernel="linear", ridges=[1e-16])
    assert result.method == "exact"
    assert "Another way was tried before" in result.note


def test_single_precision_is_judged_by_its_own_rounding():
    X, y, *_ = problem()
    K = KERNEL(X).astype(np.float32)
    K[0, 1] *= 1 + 1e-7
    assert solve(K, y, ridges=[0.1]).method == "cholesky"
    assert solve(K, y, ridges=MANY).method == "exact"


def test_a_kernel_may_keep_what_it_returns():
    X, y, *_ = problem()
    kept = KERNEL(X)
    before = kept.copy()
    for ridges in ([0.1], MANY):
        solve(X, y, kernel=lambda *sets: kept if len(sets) == 1 else KERNEL(*sets), ridges=ridges)
    assert (kept == before).all()
