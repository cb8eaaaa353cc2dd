"""A few ridges by Cholesky: the chain of solves by brute force, the spectral grid, and solves in extended precision."""

import numpy as np
import pytest

import kdtheory as kd
from kdtheory import kernels
from kdtheory.cholesky import cholesky, few_ridges, plain_chain
from tests.brute import chain, gram_from, relative
from tests.test_krylov import members

RNG = np.random.default_rng(0)
N, M = 300, 20  # more rows than one block of the mirror
RIDGES = [0.03, 2.0, 0.5]


def problem(outputs=None):
    X = np.random.default_rng(3).normal(size=(N + M, 3))
    K = kernels.rbf(X, gamma=0.2)
    shape = () if outputs is None else (outputs,)
    return K[:N, :N].copy(), K[N:, :N], RNG.normal(size=(N, *shape)), RNG.normal(size=(M, *shape))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("outputs", [None, 1, 3])
def test_rounds_are_a_chain_of_solves(outputs, order, overwrite):
    K, cross, y, _ = problem(outputs)
    gram, weights = np.array(K, order=order), [0.3, 1.0, -0.5, 1.4, 0.0, 0.8]
    factored = cholesky(gram, y, ridges=RIDGES, rounds=len(weights), overwrite=overwrite)
    assert (gram == K).all() == (not overwrite)  # one place is enough for all ridges, and it is the caller's where he says so
    for ridge in RIDGES:
        for length in (0, 2, 6):
            got = factored.rounds(cross, ridge=ridge, teacher_weights=weights[:length])
            expected = chain(cross, K, y, ridge, weights[:length])
            assert got.shape == expected.shape
            assert relative(got, expected) < 1e-11
    assert factored.method == "cholesky"
    assert 0 < factored.error < 1e-9
    assert repr(factored) == f"Factored(cholesky, n=300, ridges=3, rounds=6, outputs={outputs or 1})"


def test_a_read_only_or_integer_gram_is_copied():
    K = np.diag([1, 2, 3])
    assert cholesky(K, [2.0, 3.0, 4.0], ridges=[1.0], overwrite=True).predict(kd.Ridge(1.0), np.eye(3)).round(12).tolist() == [
        1,
        1,
        1,
    ]
    assert K.tolist() == [[1, 0, 0], [0, 2, 0], [0, 0, 3]]
    K = K.astype(float)
    K.setflags(write=False)
    cholesky(K, [2.0, 3.0, 4.0], ridges=[1.0, 2.0], overwrite=True)
    assert K[0, 0] == 1


@pytest.mark.parametrize("outputs", [None, 3])
def test_risk_grid_and_filters_as_from_the_spectrum(outputs):
    K, cross, y, y_val = problem(outputs)
    spectrum, grid = kd.Spectrum.from_gram(K), {"ridges": RIDGES, "teacher_weights": [0.0, 0.4, 1.0, -0.7, 1.5], "rounds": 4}
    factored = cholesky(K, y, ridges=RIDGES, rounds=5)
    np.testing.assert_allclose(
        factored.risk_grid(cross, y_val, **grid), kd.risk_grid(spectrum, y, cross, y_val, **grid), rtol=1e-11
    )
    np.testing.assert_allclose(  # fewer validation values than members
        factored.risk_grid(cross[:1], y_val[:1], **grid), kd.risk_grid(spectrum, y, cross[:1], y_val[:1], **grid), rtol=1e-11
    )
    for filter in (
        kd.Ridge(0.5),
        kd.Distilled(0.03, [0.2, 0.9, 1.3]),
        kd.Distilled([2.0, 2.0], [0.5]),
        kd.Polynomial(2.0, (2.0, -1.5, 0.5)),
    ):
        assert relative(factored.predict(filter, cross), spectrum.predict(filter, y, cross)) < 1e-11


def test_cross_takes_new_points():
    X, new = RNG.normal(size=(30, 2)), RNG.normal(size=(5, 2))
    y = RNG.normal(size=30)
    factored = cholesky(kernels.rbf(X), y, ridges=[0.1], cross=lambda points: kernels.rbf(points, X))
    expected = kernels.rbf(new, X) @ np.linalg.solve(kernels.rbf(X) + 0.1 * np.eye(30), y)
    assert relative(factored.predict(kd.Ridge(0.1), new), expected) < 1e-12


def test_near_interpolation_later_rounds_keep_their_digits():
    """y - ridge c is accurate where K c is not: errors stay at the floor of one solve, eps |K| / ridge."""
    K = gram_from(np.geomspace(1.0, 1e-16, 60), RNG)
    y, ridge, rounds = RNG.normal(size=(60, 1)), 1e-8, 20
    fits = members(K, y, ridge, rounds + 1)[1]
    factored = cholesky(K, y, ridges=[ridge], rounds=rounds)
    implied = y - ridge * np.cumsum(factored.coefficients[0, :, 0, :], axis=1)
    assert (
        np.max(np.abs(implied.T[..., None] - fits.astype(float))) < 20 * np.finfo(float).eps / ridge * np.abs(y).max() * 1e-1
    )


def test_errors():
    K, cross, y, y_val = problem()
    factored = cholesky(K, y, ridges=[0.5, 0.25], rounds=2)
    grid = {"ridges": [0.5], "teacher_weights": [0.5], "rounds": 2}
    for match, ask in [
        (r"`ridge` must be one of those factored, 0.5, 0.25, got 0.3", lambda: factored.predict(kd.Ridge(0.3), cross)),
        (
            r"`ridge` must be one of those factored, 0.5, 0.25, got 1",
            lambda: factored.risk_grid(cross, y_val, **grid | {"ridges": [1.0]}),
        ),
        (
            r"`rounds` must be at most 2, those solved for, got 3",
            lambda: factored.risk_grid(cross, y_val, **grid | {"rounds": 3}),
        ),
        (r"`rounds` must be at most 2", lambda: factored.rounds(cross, ridge=0.5, teacher_weights=[0.1] * 3)),
        (r"`ridge` must be one number", lambda: factored.rounds(cross, ridge=[0.5, 0.25], teacher_weights=[0.1])),
        (
            r"`filter` must be a Ridge, Distilled or Polynomial, got Gradient",
            lambda: factored.predict(kd.GradientFlow(1.0), cross),
        ),
        (r"needs one ridge for every round", lambda: factored.predict(kd.Distilled([0.5, 0.25], [0.1]), cross)),
        (r"`y_val` must have 1 outputs like `y`, got 2", lambda: factored.risk_grid(cross, np.ones((M, 2)), **grid)),
        (r"`cross` must have shape \(any, 300\)", lambda: factored.predict(kd.Ridge(0.5), np.ones((2, 3)))),
        (r"`gram` must be symmetric", lambda: cholesky(np.tri(3), np.ones(3), ridges=[1.0])),
        (r"`gram` must be positive semi-definite, got K \+ 0.5 I", lambda: cholesky(-np.eye(3), np.ones(3), ridges=[0.5])),
        (r"`ridges` must be positive", lambda: cholesky(K, y, ridges=[0.5, -1.0])),
        (r"`rounds` must be a whole number", lambda: cholesky(K, y, ridges=[0.5], rounds=-1)),
        (r"`gram` must have shape \(4, 4\)", lambda: cholesky(np.eye(3), np.ones(4), ridges=[1.0])),
    ]:
        with pytest.raises(ValueError, match=match):
            ask()
    with pytest.raises(OverflowError, match="`teacher_weights` make this chain grow beyond floating point"):
        factored.rounds(cross, ridge=0.5, teacher_weights=[1e200, 1e200])


def test_few_ridges_grows_with_n_and_falls_with_solves():
    for outputs in (1, 10):
        for rounds in (0, 20):
            counts = [few_ridges(n, outputs, rounds) for n in (100, 500, 1000, 2000, 4000, 9000)]
            assert counts == sorted(counts)
            assert (
                few_ridges(1000, outputs, rounds)
                > few_ridges(1000, outputs, rounds + 1)
                > few_ridges(1000, outputs + 1, rounds + 1)
            )


def test_chains_whose_digits_would_cancel_are_left_to_the_spectrum():
    factored = cholesky(np.eye(4), np.ones(4), ridges=[0.5], rounds=20)
    for ask in (
        lambda: factored.rounds(np.eye(4), ridge=0.5, teacher_weights=[3.0] * 18),
        lambda: factored.risk_grid(np.eye(4), np.ones(4), ridges=[0.5], teacher_weights=[3.0], rounds=18),
    ):
        with pytest.raises(ValueError, match="`teacher_weights` must keep the sum of absolute coefficients below 100"):
            ask()
    with pytest.raises(OverflowError, match="`teacher_weights` make this chain grow"):
        factored.risk_grid(np.eye(4), np.ones(4), ridges=[0.5], teacher_weights=[1e200], rounds=5)
    assert plain_chain(np.eye(4), np.ones((4, 1)), kd.Distilled(0.5, [3.0] * 18)) is None
    assert plain_chain(np.eye(4), np.ones((4, 1)), kd.Distilled([0.5, 0.4], [0.5])) is None


def test_negative_eigenvalues_beside_the_ridge_are_left_to_the_spectrum():
    d = np.append(np.ones(30), -1e-15)
    Q = np.linalg.qr(RNG.normal(size=(31, 31)))[0]
    K = (Q * d) @ Q.T
    K = (K + K.T) / 2
    assert plain_chain(K, np.ones((31, 1)), kd.Distilled(2e-15, [])) is None
    assert plain_chain(K, np.ones((31, 1)), kd.Distilled(1e-3, [])) is not None


def test_the_same_ridge_computed_twice_is_the_same():
    factored = cholesky(np.eye(4), np.ones(4), ridges=[0.3])
    factored.predict(kd.Ridge(0.1 * 3), np.eye(4))
