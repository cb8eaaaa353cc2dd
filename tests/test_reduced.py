"""Labels in coordinates against the functions of a spectrum; what a certificate refuses."""

import numpy as np
import pytest

import kdtheory as kd
from kdtheory.reduced import Certificate, Reduced
from tests.brute import gram_from

RNG = np.random.default_rng(0)
N, M = 30, 8
GRID = {"ridges": [0.1, 2.0], "teacher_weights": [0.0, 0.6, 1.2], "rounds": 4}


def problem(outputs):
    joint = gram_from(10.0 ** -np.linspace(-1, 4, N + M), RNG)
    y = RNG.normal(size=N) if outputs is None else RNG.normal(size=(N, outputs))
    y_val = RNG.normal(size=M) if outputs is None else RNG.normal(size=(M, outputs))
    return kd.Spectrum.from_gram(joint[:N, :N]), y, joint[N:, :N], y_val


@pytest.mark.parametrize("outputs", [None, 1, 3])
def test_exact_coordinates_are_the_spectrum(outputs):
    s, y, cross, y_val = problem(outputs)
    reduced = Reduced.from_spectrum(s, y)
    weights = [0.3, 1.0, -0.5]
    np.testing.assert_allclose(
        reduced.rounds(cross, ridge=0.2, teacher_weights=weights),
        kd.rounds(s, y, ridge=0.2, teacher_weights=weights, cross=cross),
        atol=1e-12,
    )
    for f in (kd.Ridge(0.2), kd.Distilled(0.2, weights), kd.GradientFlow(3.0)):
        np.testing.assert_allclose(reduced.predict(f, cross), s.predict(f, y, cross), atol=1e-12)
        assert reduced.effective_dimension(f) == pytest.approx(s.effective_dimension(f))
    np.testing.assert_allclose(reduced.risk_grid(cross, y_val, **GRID), kd.risk_grid(s, y, cross, y_val, **GRID), rtol=1e-11)
    np.testing.assert_allclose(reduced.gcv_grid(**GRID), kd.gcv_grid(s, y, **GRID), rtol=1e-12)
    assert (reduced.rank, reduced.n, reduced.error) == (N, N, 0.0)


def test_points_go_through_the_kernel():
    X, new, y = RNG.normal(size=(N, 3)), RNG.normal(size=(M, 3)), RNG.normal(size=N)
    s = kd.Spectrum.from_gram(kd.kernels.rbf(X, gamma=0.3))
    reduced = Reduced.from_spectrum(s, y, lambda points: kd.kernels.rbf(points, X, gamma=0.3))
    expected = s.predict(kd.Ridge(0.1), y, kd.kernels.rbf(new, X, gamma=0.3))
    np.testing.assert_allclose(reduced.predict(kd.Ridge(0.1), new), expected, atol=1e-12)


def certified(**changes):
    s, y, cross, y_val = problem(2)
    exact = Reduced.from_spectrum(s, y)
    values = {name: getattr(exact, name) for name in ("eigenvalues", "labels", "basis", "energy", "outside", "n", "method")}
    return Reduced(**values, certificate=Certificate(0.1, 3, 1.0), **changes), cross, y_val


def test_a_certificate_holds_for_its_chains_only():
    reduced, cross, y_val = certified()
    asked = {"ridges": [0.1], "teacher_weights": [0.0, 1.0], "rounds": 3}
    reduced.risk_grid(cross, y_val, **asked)
    reduced.rounds(cross, ridge=0.1, teacher_weights=[0.5] * 3)
    reduced.predict(kd.Ridge(0.1), cross)
    reduced.predict(kd.Polynomial(0.1, (0.5, 0.5)), cross)
    with pytest.raises(ValueError, match=r"`ridge` must be at least 0\.1, the smallest .* got 0\.05"):
        reduced.risk_grid(cross, y_val, **asked | {"ridges": [1.0, 0.05]})
    with pytest.raises(ValueError, match=r"`ridge` must be at least 0\.1"):
        reduced.predict(kd.Ridge(0.05), cross)
    with pytest.raises(ValueError, match=r"`ridge` must be at least 0\.1"):
        reduced.predict(kd.Distilled([0.1, 0.05], [0.5]), cross)
    with pytest.raises(ValueError, match="`rounds` must be at most 3, which this basis was made for, got 4"):
        reduced.rounds(cross, ridge=0.1, teacher_weights=[0.5] * 4)
    with pytest.raises(ValueError, match=r"`teacher_weights` must grow by at most 1, .* got 3; name them"):
        reduced.rounds(cross, ridge=0.1, teacher_weights=[-1.0])
    with pytest.raises(ValueError, match=r"`teacher_weights` must grow by at most 1, .* got 1\.662; name them"):
        reduced.risk_grid(cross, y_val, **asked | {"teacher_weights": [0.5, 1.1]})


def test_what_is_not_complete_has_no_traces():
    reduced, *_ = certified(complete=False)
    for ask in (lambda: reduced.gcv_grid(**GRID), lambda: reduced.effective_dimension(kd.Ridge(1.0))):
        with pytest.raises(ValueError, match="needs the trace of the smoother"):
            ask()


def test_outputs_must_agree():
    reduced, cross, _ = certified()
    with pytest.raises(ValueError, match="`y_val` must have 2 outputs like `y`, got 3"):
        reduced.risk_grid(cross, np.zeros((M, 3)), ridges=[1.0], teacher_weights=[0.5], rounds=1)


def test_a_certificate_knows_the_filters_of_chains():
    reduced, cross, _ = certified()
    with pytest.raises(ValueError, match=r"`filter` must be a Ridge, Distilled or Polynomial: .* got GradientFlow"):
        reduced.predict(kd.GradientFlow(1.0), cross)
    with pytest.raises(ValueError, match="`filter` must have coefficients of absolute sum 1 at most, got 3"):
        reduced.predict(kd.Polynomial(0.1, (2.0, -1.0)), cross)
    with pytest.raises(ValueError, match=r"`ridge` must be at least 0\.1"):
        reduced.predict(kd.Polynomial(1e-8, (1.0,)), cross)
    with pytest.raises(ValueError, match="`rounds` must be at most 3"):
        reduced.predict(kd.Polynomial(0.1, (0.2,) * 5), cross)
