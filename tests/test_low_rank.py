"""A regression through few features against the same one solved with all n rows, and its error against the exact one."""

import contextlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import kdtheory as kd
from kdtheory.feature_maps import NystromMap, RandomFourierMap
from kdtheory.kernels import laplace, polynomial, rbf
from kdtheory.low_rank import nystrom, random_features
from kdtheory.reduced import Reduced
from tests import brute

RNG = np.random.default_rng(0)
KERNEL = partial(rbf, gamma=0.3)
CHAIN = {"ridge": 0.2, "teacher_weights": [0.7, 0.4, 1.2]}
GRID = {"ridges": [0.01, 0.3, 5.0], "teacher_weights": [0.0, 0.6, 1.0], "rounds": 6}


def problem(n=250, p=None, features=3):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, features))
    labels = np.sin(X @ rng.normal(size=(features, p or 1))) + 0.3 * rng.normal(size=(n, p or 1))
    return X, labels if p else labels[:, 0], rng.normal(size=(40, features))


def low_rank_gram(map, X, X_new):
    return map(X) @ map(X).T, map(X_new) @ map(X).T


@pytest.mark.parametrize("p", [None, 2])
def test_nystrom_is_ridge_regression_with_the_approximate_kernel(p):
    X, y, X_new = problem(p=p)
    model = nystrom(X, y, kernel=KERNEL, centres=X[:30], block_rows=37)
    K, k = low_rank_gram(NystromMap.of(KERNEL, X[:30]), X, X_new)
    wanted = brute.chain(k, K, y, 0.2, CHAIN["teacher_weights"])
    np.testing.assert_allclose(model.rounds(X_new, **CHAIN), wanted, atol=1e-9)
    np.testing.assert_allclose(model.predict(kd.Ridge(0.2), X_new), wanted[0], atol=1e-9)
    assert (model.method, model.n, model.rank, model.error, model.vector) == ("nystrom", 250, 30, None, p is None)


def test_random_features_are_ridge_regression_with_their_kernel():
    X, y, X_new = problem()
    model = random_features(X, y, gamma=0.3, count=50, seed=4)
    K, k = low_rank_gram(RandomFourierMap.of("rbf", 3, gamma=0.3, count=50, seed=4), X, X_new)
    np.testing.assert_allclose(model.rounds(X_new, **CHAIN), brute.chain(k, K, y, 0.2, CHAIN["teacher_weights"]), atol=1e-9)
    assert model.method == "random features"


@pytest.mark.parametrize("p", [None, 2])
@pytest.mark.parametrize("count", [30, 400])
def test_grids_are_those_of_the_approximate_kernel_s_spectrum(p, count):
    """More features than rows too: there the rank is the number of rows."""
    X, y, X_new = problem(p=p)
    y_new = problem(n=40, p=p)[1]
    model = random_features(X, y, gamma=0.3, count=count)
    K, k = low_rank_gram(RandomFourierMap.of("rbf", 3, gamma=0.3, count=count), X, X_new)
    s = kd.Spectrum.from_gram(K)
    assert model.rank == min(count, 250)
    np.testing.assert_allclose(model.risk_grid(X_new, y_new, **GRID), kd.risk_grid(s, y, k, y_new, **GRID), rtol=1e-9)
    np.testing.assert_allclose(model.gcv_grid(**GRID), kd.gcv_grid(s, y, **GRID), rtol=1e-8)
    assert np.isclose(model.effective_dimension(kd.Ridge(0.3)), s.effective_dimension(0.3))
    assert np.isclose(model.outside + model.energy.sum(), np.sum(y**2))


def test_with_every_row_as_a_centre_it_is_exact():
    X, y, X_new = problem(n=120)
    kernel = partial(laplace, gamma=0.5)
    model = nystrom(X, y, kernel=kernel, centres=120, ridge=[1e-3, 1.0])
    exact = kd.rounds(kd.Spectrum.from_gram(kernel(X)), y, cross=kernel(X_new, X), **CHAIN)
    np.testing.assert_allclose(model.rounds(X_new, **CHAIN), exact, atol=1e-10)
    assert model.error < 1e-10
    assert "leave 0 of the kernel's trace" in model.note or "e-" in model.note.split("leave")[1]


def test_a_tiny_ridge_keeps_its_digits():
    """Features are whitened block by block: by stacked least squares, at a ridge of 1e-10 of the kernel's norm."""
    rng = np.random.default_rng(0)
    X, X_new = rng.normal(size=(500, 2)), rng.normal(size=(30, 2))
    y, kernel = np.sin(X[:, 0]) + 0.1 * rng.normal(size=500), partial(rbf, gamma=0.2)
    phi = NystromMap.of(kernel, X[:80])
    ridge = 1e-10 * np.linalg.norm(phi(X), 2) ** 2
    r = phi.whitener.shape[1]
    stacked = np.vstack([phi(X), np.sqrt(ridge) * np.eye(r)])
    wanted = phi(X_new) @ np.linalg.lstsq(stacked, np.append(y, np.zeros(r)), rcond=None)[0]
    got = nystrom(X, y, kernel=kernel, centres=X[:80]).predict(kd.Ridge(ridge), X_new)
    assert brute.relative(got, wanted) < 1e-7


def true_error(model, kernel, X, y, ridge):
    fitted = kd.Spectrum.from_gram(kernel(X)).fit(kd.Ridge(ridge), y)
    return np.linalg.norm(model.predict(kd.Ridge(ridge), X) - fitted) / np.linalg.norm(fitted)


@pytest.mark.parametrize("choose", ["uniform", "leverage", "pivoted", "random pivots"])
@pytest.mark.parametrize("ridge", [0.3, 30.0])
def test_the_estimated_error_is_near_and_not_below_the_true_one(choose, ridge):
    X, y, _ = problem(n=400)
    for kernel in (KERNEL, partial(polynomial, degree=4, gamma=0.3)):
        model = nystrom(X, y, kernel=kernel, centres=30, choose=choose, ridge=ridge)
        true = true_error(model, kernel, X, y, ridge)
        assert 0.7 * true < model.error < max(20 * true, 1e-9)


def test_the_largest_error_of_several_ridges_is_told():
    X, y, _ = problem(n=400, p=2)
    one, other, both = (nystrom(X, y, kernel=KERNEL, centres=30, ridge=ridge) for ridge in (0.3, 30.0, [30.0, 0.3]))
    assert other.error < one.error
    assert np.isclose(both.error, one.error)
    assert "30 centres, chosen: uniform; " in both.note
    assert f"within {one.error:.1g} at ridge 0.3, by the exact equations of 200 rows" in both.note


def test_a_few_rows_far_from_the_others_do_not_hide():
    """Their part of the error is found although one row in forty is among them."""
    X, y, _ = problem(n=400)
    X[:10] += 100 * np.arange(1, 11)[:, None]
    y[:10] = 1.0
    model = nystrom(X, y, kernel=KERNEL, centres=X[10:], ridge=10.0)
    assert 0.9 < model.error / true_error(model, KERNEL, X, y, 10.0) < 1.3


def test_random_features_know_their_error_too():
    X, y, _ = problem(n=400)
    for name, kernel in (("rbf", rbf), ("laplace", laplace)):
        model = random_features(X, y, kernel=name, gamma=0.3, count=300, ridge=30.0)
        true = true_error(model, partial(kernel, gamma=0.3), X, y, 30.0)
        assert 0.7 * true < model.error < 20 * true


def test_rounding_counts_as_error():
    X, y, _ = problem(n=400, features=2)
    kernel = partial(rbf, gamma=0.3)
    how = {"kernel": kernel, "centres": 100, "choose": "pivoted", "ridge": 0.1}
    double, single = (nystrom(X, y, dtype=kind, **how) for kind in ("f8", "f4"))
    assert double.error < 0.1 * single.error < 1e-5
    assert 0.3 < single.error / true_error(single, kernel, X, y, 0.1) < 3


def test_directions_that_no_row_has_carry_no_labels():
    """Five different rows and thirty centres: what rounding leaves in 25 directions is not divided by."""
    X, y, _ = problem(n=250)
    X = X[np.arange(250) % 5]
    model = nystrom(X, y, kernel=KERNEL, centres=problem(n=400)[0][-30:])
    assert (model.energy > 0).sum() == 5
    means = np.array([y[i::5].mean() for i in range(5)])
    assert np.isclose(model.outside, np.sum((y - means[np.arange(250) % 5]) ** 2))


def test_cross_validation_holds_in_single_precision():
    """Directions far below the strongest one still carry labels."""
    X, y, _ = problem(n=400)
    double, single = (nystrom(X, y, kernel=partial(laplace, gamma=0.03), centres=300, dtype=kind) for kind in ("f8", "f4"))
    assert double.eigenvalues[-1] < 1e-5 * double.eigenvalues[0]
    np.testing.assert_allclose(single.gcv_grid(**GRID), double.gcv_grid(**GRID), rtol=1e-4)


def test_labels_of_zero_have_no_error():
    X, _, _ = problem(n=50)
    assert nystrom(X, np.zeros(50), kernel=KERNEL, centres=5, ridge=1.0).error == 0


def test_blocks_files_checkpoints_and_workers_give_the_same_model(tmp_path):
    pytest.importorskip("joblib")
    X, y, X_new = problem()
    for name, values in (("X", X), ("y", y)):
        np.save(tmp_path / f"{name}.npy", values)
    files = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "Xy"]
    how = {"kernel": KERNEL, "ridge": 0.2, "block_rows": 4}
    wanted = nystrom(X, y, centres=X[:20], **how)
    blocks = [(X[i : i + 64], y[i : i + 64]) for i in range(0, 250, 64)]
    for model in (
        nystrom(*files, centres=X[:20], **how),
        nystrom(blocks, centres=X[:20], **how),
        nystrom(X, y, centres=X[:20], checkpoint=tmp_path / "sums", **how),
        nystrom(X, y, centres=X[:20], checkpoint=tmp_path / "sums", **how),
        nystrom(X, y, centres=X[:20], scheduler="threads:2", **how),
    ):
        assert (model.rounds(X_new, **CHAIN) == wanted.rounds(X_new, **CHAIN)).all()
        assert np.isclose(model.error, wanted.error, rtol=0.5)
    chosen, from_files = (nystrom(*rows, centres=20, **how).rounds(X_new, **CHAIN) for rows in ((X, y), files))
    assert (chosen == from_files).all()
    assert nystrom(blocks, centres=20, choose="pivoted", **how).rank == 20


def dies_once(flag, X, Z=None):
    """The kernel, whose process is killed the first time that it sees row 200."""
    import os

    if Z is not None and not Path(flag).exists() and (np.asarray(X)[:, 0] == problem()[0][200, 0]).any():
        Path(flag).touch()
        os.kill(os.getpid(), 9)
    return rbf(X, Z, gamma=0.3)


@pytest.mark.slow
def test_a_cluster_gives_the_same_model_although_a_worker_is_killed(tmp_path):
    distributed = pytest.importorskip("distributed")
    X, y, X_new = problem()
    with contextlib.ExitStack() as stack:
        how = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "silence_logs": 50}
        cluster = stack.enter_context(distributed.LocalCluster(n_workers=2, **how))
        kernel = partial(dies_once, str(tmp_path / "killed"))
        model = nystrom(X, y, kernel=kernel, centres=X[:20], block_rows=2, scheduler=cluster.scheduler_address)
    assert (tmp_path / "killed").exists()
    assert isinstance(model, Reduced)
    wanted = nystrom(X, y, kernel=KERNEL, centres=X[:20], block_rows=2)
    assert brute.relative(model.rounds(X_new, **CHAIN), wanted.rounds(X_new, **CHAIN)) < 1e-10


def test_wrong_arguments_are_refused():
    X, y, _ = problem(n=20)
    with pytest.raises(ValueError, match=r"`y` must be given, or `X` give blocks \(X_block, y_block\)"):
        nystrom(X, kernel=KERNEL, centres=3)
    with pytest.raises(ValueError, match="`count` must be at most the number of rows, 20, got 1000"):
        nystrom(X, y, kernel=KERNEL)
    with pytest.raises(ValueError, match="`ridge` must be positive"):
        nystrom(X, y, kernel=KERNEL, centres=3, ridge=0.0)
    with pytest.raises(ValueError, match="`centres` must be a whole number of at least 1, got 0"):
        nystrom(X, y, kernel=KERNEL, centres=0)
    with pytest.raises(ValueError, match='`choose` must be "uniform"'):
        nystrom(X, y, kernel=KERNEL, centres=3, choose="random")
    with pytest.raises(ValueError, match='`kernel` must be "rbf" or "laplace"'):
        random_features(X, y, kernel="linear", gamma=1.0)
