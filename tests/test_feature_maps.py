"""Features whose products are the kernel: Nyström's where it must be, random ones on average."""

import pickle
from functools import partial

import numpy as np
import pytest

import kdtheory as kd
from kdtheory.feature_maps import NystromMap, RandomFourierMap, RandomReluMap, chosen, spectrum_of
from kdtheory.kernels import laplace, linear, nngp, rbf
from kdtheory.streaming import Rows

RNG = np.random.default_rng(0)
KERNEL = partial(rbf, gamma=0.5)


def test_nystrom_is_the_kernel_through_its_centres():
    X, Z = RNG.normal(size=(40, 2)), RNG.normal(size=(12, 2))
    phi = NystromMap.of(KERNEL, Z)
    wanted = KERNEL(X, Z) @ np.linalg.solve(KERNEL(Z), KERNEL(Z, X))
    np.testing.assert_allclose(phi(X) @ phi(X).T, wanted, atol=1e-9)
    np.testing.assert_allclose(phi(X) @ phi(Z).T, KERNEL(X, Z), atol=1e-9)


def test_nystrom_is_never_more_than_the_kernel():
    X = RNG.normal(size=(60, 2))
    phi = NystromMap.of(KERNEL, X[:9])
    left = np.linalg.eigvalsh(KERNEL(X) - phi(X) @ phi(X).T)
    assert left.min() > -1e-9
    assert np.isclose(left.sum(), np.sum(phi.diagonal(X)) - np.sum(phi(X) ** 2))


def test_repeated_centres_count_once():
    Z = RNG.normal(size=(6, 2))
    phi = NystromMap.of(KERNEL, np.concatenate([Z, Z]))
    assert phi(Z).shape == (6, 6)
    np.testing.assert_allclose(phi(Z) @ phi(Z).T, KERNEL(Z), atol=1e-10)


def test_single_precision_whitens_only_what_it_can_hold():
    Z = RNG.normal(size=(200, 2))
    rough, smooth = NystromMap.of(partial(laplace, gamma=0.5), Z), NystromMap.of(KERNEL, Z)
    single = rough.single()
    assert single(Z).dtype == np.float32
    assert np.abs(single(Z) @ single(Z).T - laplace(Z, gamma=0.5)).max() < 1e-4
    assert smooth.single() is smooth


def test_a_map_can_be_sent():
    phi = NystromMap.of(KERNEL, RNG.normal(size=(6, 2)))
    X = RNG.normal(size=(3, 2))
    assert (pickle.loads(pickle.dumps(phi))(X) == phi(X)).all()


@pytest.mark.parametrize(("name", "kernel"), [("rbf", rbf), ("laplace", laplace)])
def test_random_waves_are_the_kernel_on_average(name, kernel):
    X = RNG.normal(size=(12, 3))
    maps = [RandomFourierMap.of(name, 3, gamma=0.4, count=500, seed=seed) for seed in range(40)]
    draws = np.array([phi(X) @ phi(X).T for phi in maps])
    error, spread = draws.mean(axis=0) - kernel(X, gamma=0.4), draws.std(axis=0) / np.sqrt(40)
    assert (np.abs(error) < 4.5 * spread + 1e-12).all()
    assert np.abs(error).max() < 0.03
    np.testing.assert_allclose(np.sum(maps[0](X) ** 2, axis=1), 1.0)


def test_cauchy_frequencies_have_their_density():
    """In two dimensions |frequency| > t has probability rate / sqrt(rate^2 + t^2)."""
    size = np.linalg.norm(RandomFourierMap.of("laplace", 2, gamma=0.7, count=40_000).frequencies, axis=0)
    for t in (0.2, 1.0, 5.0):
        assert abs(np.mean(size > t) - 0.7 / np.hypot(0.7, t)) < 0.015


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_random_units_are_a_network_s_covariance_on_average(bias):
    X = RNG.normal(size=(8, 3))
    how = {"weight_variance": 1.7, "bias_variance": bias}
    draws = np.array([phi(X) @ phi(X).T for phi in (RandomReluMap.of(3, count=400, seed=seed, **how) for seed in range(60))])
    error, spread = draws.mean(axis=0) - nngp(X, depth=1, **how), draws.std(axis=0) / np.sqrt(60)
    assert (np.abs(error) < 4.5 * spread + 1e-12).all()


def test_a_map_gives_a_spectrum_of_rows_that_fit():
    X, y, X_new = RNG.normal(size=(30, 2)), RNG.normal(size=30), RNG.normal(size=(5, 2))
    phi = RandomFourierMap.of("rbf", 2, gamma=0.5, count=20)
    s, cross = spectrum_of(phi, X)
    K, k = phi(X) @ phi(X).T, phi(X_new) @ phi(X).T
    wanted = k @ np.linalg.solve(K + 0.2 * np.eye(30), y)
    np.testing.assert_allclose(s.predict(kd.Ridge(0.2), y, cross(X_new)), wanted, rtol=1e-9)
    assert s.rank == 20


@pytest.mark.parametrize("choose", ["uniform", "leverage", "pivoted", "random pivots"])
def test_centres_of_blocks_are_rows_of_them(choose):
    X = RNG.normal(size=(300, 2))
    blocks = Rows(lambda: np.split(X, [90, 100, 250]))
    for rows in (blocks, Rows(X)):
        Z = chosen(rows, 20, kernel=KERNEL, choose=choose, ridge=0.1, seed=3)
        assert (Z == chosen(rows, 20, kernel=KERNEL, choose=choose, ridge=0.1, seed=3)).all()
        assert len({tuple(z) for z in Z.tolist()} & {tuple(x) for x in X.tolist()}) == 20


def test_candidates_have_their_share_of_the_ridge(monkeypatch):
    """A leverage score of all rows at a ridge is about one of a tenth of them at a tenth of it."""
    given = []
    monkeypatch.setattr("kdtheory.feature_maps.CANDIDATES", 30)
    monkeypatch.setattr(
        "kdtheory.feature_maps.leverage", lambda X, m, **how: given.append((len(X), how["ridge"])) or np.arange(m)
    )
    for rows in (Rows(lambda: [np.zeros((300, 1))]), Rows(np.zeros((300, 1)))):
        chosen(rows, 3, kernel=KERNEL, choose="leverage", ridge=[5.0, 2.0])
    assert given == [(30, 0.2), (300, 2.0)]


def test_uniform_centres_of_blocks_are_equally_likely():
    X = np.arange(12.0)[:, None]
    blocks = Rows(lambda: np.split(X, [1, 3, 8]), height=2)
    draws = np.concatenate([chosen(blocks, 3, kernel=KERNEL, seed=seed).ravel() for seed in range(1600)])
    assert abs(np.bincount(draws.astype(int), minlength=12) - 400).max() < 4.5 * np.sqrt(400)


def test_too_few_rows_in_blocks_are_told():
    with pytest.raises(ValueError, match="`count` must be at most the number of rows, 5, got 6"):
        chosen(Rows(lambda: [np.zeros((5, 1))]), 6, kernel=KERNEL)


def test_wrong_maps_are_refused():
    with pytest.raises(ValueError, match=r"`kernel` must be a function kernel\(X, Z\), got str"):
        NystromMap.of("rbf", [[1.0]])
    with pytest.raises(ValueError, match="`kernel` must not vanish at all `centres`"):
        NystromMap.of(linear, [[0.0]])
    with pytest.raises(ValueError, match="`centres` must be two-dimensional"):
        NystromMap.of(rbf, [1.0])
    with pytest.raises(ValueError, match='`kernel` must be "rbf" or "laplace", got \'ntk\''):
        RandomFourierMap.of("ntk", 2, gamma=1.0, count=2)
    with pytest.raises(ValueError, match="`count` must be even, a cosine and a sine for each frequency, got 3"):
        RandomFourierMap.of("rbf", 2, gamma=1.0, count=3)
    with pytest.raises(ValueError, match="`gamma` must be positive"):
        RandomFourierMap.of("rbf", 2, gamma=0.0, count=2)
    with pytest.raises(ValueError, match="`bias_variance` must be zero or positive"):
        RandomReluMap.of(2, count=2, bias_variance=-1.0)
    for phi in (RandomFourierMap.of("rbf", 2, gamma=1.0, count=2), RandomReluMap.of(2, count=2)):
        with pytest.raises(ValueError, match=r"`X` must have shape \(any, 2\), got \(1, 3\)"):
            phi(np.zeros((1, 3)))
    with pytest.raises(ValueError, match='`choose` must be "uniform", "leverage", "pivoted" or "random pivots", got \'best\''):
        chosen(Rows(np.zeros((3, 1))), 2, kernel=KERNEL, choose="best")
    with pytest.raises(ValueError, match='`ridge` must be given for centres by "leverage"'):
        chosen(Rows(np.zeros((3, 1))), 2, kernel=KERNEL, choose="leverage")
