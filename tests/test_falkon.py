"""Conjugate gradients solve what the eigendecomposition solves, and say how far they came."""

from functools import partial

import numpy as np
import pytest

from kdtheory.falkon import falkon
from kdtheory.kernels import laplace, linear, rbf
from kdtheory.low_rank import nystrom
from tests import brute

RNG = np.random.default_rng(0)
WEIGHTS = [0.7, 0.4, 1.2, 1.0]


def problem(p=None, n=240):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, 3))
    y = np.sin(X @ rng.normal(size=(3, p or 1))) + 0.3 * rng.normal(size=(n, p or 1))
    return X, y if p else y[:, 0], rng.normal(size=(30, 3))


@pytest.mark.parametrize("p", [None, 3])
@pytest.mark.parametrize("kernel", [partial(rbf, gamma=0.3), partial(laplace, gamma=0.3)])
@pytest.mark.parametrize("ridge", [0.05, 5.0])
def test_every_round_is_that_of_nystrom_to_the_tolerance(p, kernel, ridge):
    X, y, X_new = problem(p)
    wanted = nystrom(X, y, kernel=kernel, centres=60).rounds(X_new, ridge=ridge, teacher_weights=WEIGHTS)
    for tolerance, error in ((1e-4, 1e-2), (1e-8, 1e-6), (1e-11, 1e-8)):
        model = falkon(X, y, kernel=kernel, centres=60, ridge=ridge, teacher_weights=WEIGHTS, tolerance=tolerance)
        got = model.predict(X_new)
        assert got.shape == wanted.shape
        assert brute.relative(got, wanted) < error
        assert (model.relative_residuals <= tolerance).all()
    assert model.coefficients.shape == (5, 60, p or 1)


def test_it_solves_the_equations_themselves():
    X, y, X_new = problem()
    Z, kernel = X[:25], partial(laplace, gamma=0.3)
    model = falkon(X, y, kernel=kernel, centres=Z, ridge=0.4, teacher_weights=[0.5], tolerance=1e-12)
    K = kernel(X, Z)
    left = K.T @ K + 0.4 * kernel(Z)
    first = np.linalg.solve(left, K.T @ y)
    second = np.linalg.solve(left, K.T @ (0.5 * y + 0.5 * K @ first))
    np.testing.assert_allclose(model.coefficients[..., 0], [first, second], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(model.predict(X_new), np.array([first, second]) @ kernel(X_new, Z).T, rtol=1e-7, atol=1e-9)


def test_the_preconditioner_spares_passes_and_so_does_the_warm_start():
    X, y, _ = problem(n=1000)
    K = rbf(X, X[:50], gamma=0.3)
    assert np.linalg.cond(K.T @ K + 0.5 * K[:50]) > 1e6  # a thousand passes, if nothing were done about it
    model = falkon(X, y, kernel=partial(rbf, gamma=0.3), centres=50, ridge=0.5, teacher_weights=[0.9] * 6)
    assert model.iterations[0] <= 24
    assert falkon(*problem(n=2000)[:2], kernel=partial(rbf, gamma=0.3), centres=20, ridge=10.0).iterations[0] <= 16
    assert (np.diff(model.iterations[1:]) <= 1).all()
    assert model.iterations[-1] < model.iterations[0]
    steady = falkon(X, y, kernel=partial(rbf, gamma=0.3), centres=100, ridge=0.5, teacher_weights=[0.0])
    assert steady.iterations[1] == 0  # labels alone: the teacher again


def test_blocks_and_workers_give_the_same_coefficients():
    pytest.importorskip("joblib")
    X, y, X_new = problem()
    how = {"kernel": partial(rbf, gamma=0.3), "centres": X[:20], "ridge": 0.5, "block_rows": 5}
    wanted = falkon(X, y, **how)
    blocks = [(X[i : i + 80], y[i : i + 80]) for i in range(0, 240, 80)]
    assert (falkon(X, y, scheduler="threads:2", **how).coefficients == wanted.coefficients).all()
    assert brute.relative(falkon(blocks, **how).predict(X_new), wanted.predict(X_new)) < 1e-6


def test_repeated_centres_do_no_harm():
    X, y, X_new = problem()
    kernel = partial(rbf, gamma=0.3)
    model = falkon(X, y, kernel=kernel, centres=np.concatenate([X[:20], X[:20]]), ridge=0.5)
    wanted = nystrom(X, y, kernel=kernel, centres=X[:20]).rounds(X_new, ridge=0.5, teacher_weights=[])
    assert brute.relative(model.predict(X_new), wanted) < 1e-6


def test_a_tolerance_that_is_not_reached_is_told():
    X, y, _ = problem()
    how = {"kernel": partial(rbf, gamma=0.3), "centres": 40, "ridge": 0.01}
    with pytest.warns(RuntimeWarning, match=r"`tolerance` 1e-08 is not reached by round 0, which has .* after 3 passes;"):
        model = falkon(X, y, iterations=3, **how)
    assert model.iterations.tolist() == [3]
    assert 1e-8 < model.relative_residuals[0] < 1
    with pytest.warns(RuntimeWarning, match="`tolerance` 1e-18 is not reached by round 0"):
        falkon(X, y, tolerance=1e-18, **how)


def test_labels_of_zero_are_fitted_at_once():
    X, _, X_new = problem()
    model = falkon(X, np.zeros(240), kernel=partial(rbf, gamma=0.3), centres=10, ridge=1.0)
    assert model.iterations.tolist() == [0]
    assert not model.predict(X_new).any()


def test_it_tells_what_it_is():
    X, y, _ = problem()
    model = falkon(X, y, kernel=partial(rbf, gamma=0.3), centres=10, ridge=1.0, teacher_weights=[0.5])
    assert repr(model).startswith("Falkon(centres=10, rounds=1, outputs=1, relative_residual=")


def test_wrong_arguments_are_refused():
    X, y, _ = problem(n=20)
    how = {"kernel": partial(rbf, gamma=0.3), "centres": 5, "ridge": 1.0}
    with pytest.raises(ValueError, match=r"`y` must be given, or `X` give blocks \(X_block, y_block\)"):
        falkon(X, **how)
    for name, value, sentence in (
        ("ridge", 0.0, "must be positive"),
        ("tolerance", -1.0, "must be positive"),
        ("iterations", 0, "must be a whole number of at least 1"),
        ("teacher_weights", [np.nan], "must be finite"),
        ("centres", 0, "must be a whole number of at least 1"),
        ("choose", "best", 'must be "uniform"'),
    ):
        with pytest.raises(ValueError, match=f"`{name}` {sentence}"):
            falkon(X, y, **{**how, name: value})
    with pytest.raises(ValueError, match="`kernel` must not vanish at all `centres`"):
        falkon(X, y, **{**how, "kernel": linear, "centres": [[0.0, 0.0, 0.0]]})
    with pytest.raises(ValueError, match="`kernel` must give a positive semi-definite matrix at `centres`"):
        falkon(X, y, **{**how, "kernel": lambda A, B=None: np.eye(len(A)) - 2.0 / len(A)})
