"""Many parabolas at once: their arithmetic, and what is said where nothing is identified."""

import numpy as np
import pytest

from kdtheory.risk_curves import RiskCurves

CURVES = RiskCurves([[2.0, 1.0], [3.0, 1.0]], [[-2.0, 1.0], [0.5, -1e-9]], [[1.0, 2.0], [0.1, 1e-12]], 4.0)


def test_values_are_those_of_the_polynomial():
    w = np.array([-1.0, 0.0, 0.5, 2.0])
    expected = CURVES.start[..., None] + CURVES.slope[..., None] * w + CURVES.curvature[..., None] * w**2
    np.testing.assert_allclose(CURVES(w), expected)
    np.testing.assert_allclose(CURVES(0.5), expected[..., 2])
    own = np.array([[0.1, 0.2], [0.3, 0.4]])
    np.testing.assert_allclose(CURVES.at(own), CURVES.start + CURVES.slope * own + CURVES.curvature * own**2)


def test_vertex_minimum_and_gain():
    grid = np.linspace(-5, 5, 100_001)
    values = CURVES[0](grid)
    np.testing.assert_allclose(CURVES[0].optimal_weight, grid[values.argmin(axis=1)], atol=1e-4)
    np.testing.assert_allclose(CURVES[0].minimum, values.min(axis=1), atol=1e-8)
    np.testing.assert_allclose(CURVES[0].gain, CURVES[0].start - values.min(axis=1), atol=1e-8)
    np.testing.assert_allclose(CURVES[0].within(0.0, 0.5), [0.5, 0.0])
    assert CURVES.helps.tolist() == [[True, False], [False, True]]


def test_what_moves_nothing_is_not_identified():
    last = CURVES[1, 1]
    assert not last.identified
    assert np.isnan(last.optimal_weight)
    assert last.vertex == pytest.approx(500.0)
    assert last.gain == 0.0
    assert last.minimum == last.start
    flat = RiskCurves(1.0, 0.0, 0.0, 1.0)
    assert np.isnan(flat.vertex)
    assert flat.identifiability == 0.0
    with pytest.raises(ValueError, match="`curve` needs a teacher that moves the student"):
        _ = flat.curve
    with pytest.raises(ValueError, match=r"`curve` is for a single one, got curves of shape \(2, 2\)"):
        _ = CURVES.curve


def test_sums_and_means_are_curves():
    both = CURVES + CURVES.scaled(0.5)
    np.testing.assert_allclose(both(0.7), 1.5 * CURVES(0.7))
    np.testing.assert_allclose(CURVES.mean(axis=1)(0.3), CURVES(0.3).mean(axis=1))
    np.testing.assert_allclose(RiskCurves.gather([CURVES[0], CURVES[1]])(0.3), CURVES(0.3))
    np.testing.assert_allclose(CURVES.reshape(4).transpose()(0.3), CURVES(0.3).ravel())


def test_one_curve_agrees_with_the_single_class():
    curve, single = CURVES[0, 0].curve, CURVES[0, 0]
    assert curve.optimal_weight == single.vertex
    assert curve(0.3) == pytest.approx(single(0.3))
    assert curve.identifiability == pytest.approx(0.5)


def test_spread_of_a_ratio_by_bootstrap():
    rng = np.random.default_rng(0)
    slopes, bends = rng.normal(-1.0, 0.3, size=400), rng.gamma(20.0, 0.05, size=400)
    curves = RiskCurves(1.0, slopes, bends, 1.0)
    pick = rng.integers(400, size=(4000, 400))
    resampled = -slopes[pick].mean(axis=1) / (2 * bends[pick].mean(axis=1))
    assert curves.optimal_weight_spread(axis=0) == pytest.approx(resampled.std(), rel=0.1)
    assert np.isnan(curves[:1].optimal_weight_spread(axis=0))


def test_bad_input():
    with pytest.raises(ValueError, match="`slope` must be finite, got nan"):
        RiskCurves([1.0], [np.nan], [1.0], [1.0])
