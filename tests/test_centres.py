"""Rules that choose centres, each against its definition on the whole Gram matrix."""

from functools import partial

import numpy as np
import pytest

from kdtheory.centres import _leverage as scores
from kdtheory.centres import kernel_diagonal, leverage, pivoted, taken, uniform
from kdtheory.kernels import laplace, linear, polynomial, rbf

RNG = np.random.default_rng(0)
KERNEL = partial(rbf, gamma=0.5)


def residual_diagonal(K, chosen):
    """Of K after the Nyström approximation by these, by least squares."""
    chosen = list(chosen)
    return np.diag(K - K[:, chosen] @ np.linalg.pinv(K[np.ix_(chosen, chosen)], rcond=1e-12, hermitian=True) @ K[chosen])


def test_uniform_rows_are_different_and_equally_likely():
    X = np.zeros((10, 1))
    counts = np.bincount(np.concatenate([uniform(X, 3, seed=seed) for seed in range(2000)]), minlength=10)
    assert counts.sum() == 6000
    assert abs(counts - 600).max() < 4 * np.sqrt(600)
    assert (uniform(X, 3, seed=4) == uniform(X, 3, seed=4)).all()


def test_leverage_scores_of_all_rows_are_exact():
    X = RNG.normal(size=(60, 2))
    K = KERNEL(X)
    exact = np.diag(K @ np.linalg.inv(K + 0.3 * np.eye(60)))
    np.testing.assert_allclose(scores(X, KERNEL, 0.3, np.arange(60), 60), exact, rtol=1e-9)


def test_leverage_scores_of_a_pilot_are_near():
    X = RNG.normal(size=(600, 2))
    K = KERNEL(X)
    exact = np.diag(K @ np.linalg.inv(K + 3.0 * np.eye(600)))
    ratio = scores(X, KERNEL, 3.0, RNG.choice(600, 200, replace=False), 600) / exact
    assert 0.4 < ratio.min() < ratio.max() < 2.5
    assert abs(np.median(ratio) - 1) < 0.1


def test_rows_are_drawn_in_proportion_to_their_leverage():
    X = np.append(np.zeros(30), [3.0, -3.0])[:, None]
    first = [leverage(X, 1, kernel=KERNEL, ridge=1.0, seed=seed)[0] for seed in range(500)]
    K = KERNEL(X)
    exact = np.diag(K @ np.linalg.inv(K + np.eye(32)))
    share = np.mean(np.array(first) >= 30)
    assert abs(share - exact[30:].sum() / exact.sum()) < 0.05


def test_rows_that_nothing_needs_are_chosen_when_there_are_no_others():
    assert len(leverage(np.zeros((5, 1)), 5, kernel=KERNEL, ridge=1e-12)) == 5


def test_each_pivot_is_where_the_kernel_is_explained_worst():
    X = RNG.normal(size=(50, 2))
    K, chosen = KERNEL(X), pivoted(X, 15, kernel=KERNEL)
    assert len(set(chosen.tolist())) == 15
    for k in range(1, 15):
        left = residual_diagonal(K, chosen[:k])
        assert left[chosen[k]] > left.max() - 1e-9


def test_random_pivots_are_drawn_in_proportion_to_what_is_left():
    """The first by the diagonal, the second by the residual: probabilities of a two-step draw."""
    X = np.array([[1.0], [2.0], [3.0]])
    kernel = partial(polynomial, degree=2)
    K = kernel(X)
    expected = np.zeros((3, 3))
    for i in range(3):
        left = np.diag(K) - K[i] ** 2 / K[i, i]
        left[i] = 0.0
        expected[i] = np.diag(K)[i] / np.trace(K) * left / left.sum()
    counts = np.zeros((3, 3))
    for seed in range(1200):
        i, j = pivoted(X, 2, kernel=kernel, seed=seed, random=True)
        counts[i, j] += 1
    np.testing.assert_allclose(counts / 1200, expected, atol=0.05)


@pytest.mark.parametrize("random", [False, True])
def test_pivots_end_where_the_rank_does(random):
    X = np.repeat(RNG.normal(size=(30, 3)), 2, axis=0)
    chosen = pivoted(X, 40, kernel=linear, random=random)
    assert len(chosen) == 3
    assert residual_diagonal(linear(X), chosen).max() < 1e-10


def test_chosen_rows_leave_less_than_uniform_ones():
    """Trace of what is left, of clustered points: the reason for the rules."""
    X = np.concatenate([RNG.normal(size=(380, 2)) * 0.1, RNG.normal(size=(20, 2)) * 4])
    K = KERNEL(X)

    def left(rows):
        return residual_diagonal(K, rows).sum()

    by_chance = np.mean([left(uniform(X, 30, seed=seed)) for seed in range(5)])
    assert left(leverage(X, 30, kernel=KERNEL, ridge=0.1)) < 0.5 * by_chance
    assert left(pivoted(X, 30, kernel=KERNEL)) < 0.1 * by_chance
    assert left(pivoted(X, 30, kernel=KERNEL, random=True)) < 0.1 * by_chance


@pytest.mark.parametrize("rule", [partial(leverage, ridge=1.0), pivoted])
def test_candidates_are_all_that_is_looked_at(rule, monkeypatch):
    X = np.arange(1000.0)[:, None]
    seen = []

    def kernel(A, B=None):
        seen.extend(np.ravel(A))
        return KERNEL(A, B)

    assert len(rule(X, 10, kernel=kernel, candidates=50)) == 10
    assert 10 < len(set(seen)) <= 50


def test_rows_are_taken_from_a_file_in_the_order_that_is_asked_for(tmp_path):
    values = RNG.normal(size=(20, 2)).astype(np.float32)
    np.save(tmp_path / "X.npy", values)
    rows = taken(np.load(tmp_path / "X.npy", mmap_mode="r"), np.array([7, 3, 11]))
    assert rows.dtype == np.float64
    assert (rows == values[[7, 3, 11]]).all()
    assert (taken(values.tolist(), np.array([1, 0])) == values[[1, 0]]).all()


def test_the_diagonal_of_a_kernel():
    X = RNG.normal(size=(150, 3))
    for kernel in (linear, partial(laplace, gamma=0.3), partial(polynomial, degree=2)):
        np.testing.assert_allclose(kernel_diagonal(kernel, X), np.diag(kernel(X)), rtol=1e-14)


def test_wrong_arguments_are_refused():
    X = np.zeros((5, 1))
    for rule in (uniform, partial(leverage, kernel=KERNEL, ridge=1.0), partial(pivoted, kernel=KERNEL)):
        with pytest.raises(ValueError, match="`count` must be at most the number of rows, 5, got 6"):
            rule(X, 6)
        with pytest.raises(ValueError, match="`count` must be a whole number of at least 1, got 0"):
            rule(X, 0)
    with pytest.raises(ValueError, match="`ridge` must be positive"):
        leverage(X, 1, kernel=KERNEL, ridge=0.0)
    with pytest.raises(ValueError, match="`candidates` must be a whole number of at least 3, got 2"):
        pivoted(X, 3, kernel=KERNEL, candidates=2)
    X[3] = np.nan
    with pytest.raises(ValueError, match="`X` must be finite, got nan or infinity in row 3; remove or impute it"):
        pivoted(X, 3, kernel=KERNEL)
