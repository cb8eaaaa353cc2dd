"""Infinite depth against very deep recursions."""

import numpy as np
import pytest
from scipy.optimize import brentq

from kdtheory import activations, kernels
from kdtheory.infinite_depth import infinite_depth, singular_exponent

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 7))
SPHERE = X / np.linalg.norm(X, axis=1)[:, None] * np.sqrt(7)
APART = ~np.eye(5, dtype=bool)


def critical_variance(activation, bias):
    """Weight variance at which chi_1 is one, by bisection over what `infinite_depth` says of the phase."""
    return brentq(lambda w: infinite_depth(activation, weight_variance=w, bias_variance=bias).chi - 1.0, 1.0, 3.0, xtol=1e-13)


@pytest.mark.parametrize(("activation", "w", "b"), [("relu", 1.5, 0.2), ("erf", 0.7, 0.3), ("gelu", 1.0, 0.5)])
def test_ordered_networks_see_one_point(activation, w, b):
    limit = infinite_depth(activation, weight_variance=w, bias_variance=b)
    K = kernels.ntk(X, depth=400, activation=activation, weight_variance=w, bias_variance=b)
    assert limit.phase == "ordered"
    np.testing.assert_allclose(K, limit.diagonal, rtol=1e-9)
    assert (limit.gram(3) == 1).all()


@pytest.mark.parametrize(("activation", "w", "b"), [("erf", 4.0, 0.1), ("erf", 3.0, 0.0), ("sine", 5.0, 0.2)])
def test_chaotic_networks_see_points_alone(activation, w, b):
    limit = infinite_depth(activation, weight_variance=w, bias_variance=b)
    depth = 300
    K = kernels.ntk(X, depth=depth, activation=activation, weight_variance=w, bias_variance=b)
    assert limit.phase == "chaotic"
    np.testing.assert_allclose(K[APART], limit.off_diagonal, rtol=1e-6, atol=1e-6)
    settled = kernels.ntk(X, depth=depth + 1, activation=activation, weight_variance=w, bias_variance=b)
    np.testing.assert_allclose(np.diag(settled) / np.diag(K), limit.chi, rtol=1e-8)
    sigma = kernels.nngp(X, depth=depth, activation=activation, weight_variance=w, bias_variance=b)
    np.testing.assert_allclose(np.diag(sigma), limit.variance, rtol=1e-10)
    np.testing.assert_allclose(sigma[APART], limit.correlation * limit.variance, atol=1e-8)
    assert (limit.gram(2) == np.eye(2)).all()
    # starting at the fixed variance, the growth is the geometric sum
    if limit.variance > b:
        start = SPHERE[:1] * np.sqrt((limit.variance - b) / w)
        grown = kernels.ntk(start, depth=30, activation=activation, weight_variance=w, bias_variance=b)[0, 0]
        assert abs(grown / limit.chi**30 / limit.diagonal - 1) < 2 * limit.chi**-31


@pytest.mark.parametrize(("activation", "share"), [("relu", 0.25), (activations.leaky_relu(0.3), 0.25), ("erf", 1 / 3)])
def test_critical_networks_keep_a_share(activation, share):
    """Convergence is like log(L)/L, so the limit is read off where a fit in 1/L and log(L)/L meets the axis."""
    b = 0.1 if activation == "erf" else 0.0
    w = critical_variance(activation, b) if b else 2.0
    limit = infinite_depth(activation, weight_variance=w, bias_variance=b)
    assert limit.phase == "critical"
    assert abs(limit.gram(2)[0, 1] - share) < 1e-12
    depths = np.array([500, 1000, 2000, 4000, 8000])
    pair = SPHERE[:2, :]
    ratios = [
        kernels.ntk(pair, depth=int(L), activation=activation, weight_variance=w, bias_variance=b, normalised=True)[0, 1]
        for L in depths
    ]
    design = np.stack([np.ones(5), np.log(depths) / depths, 1 / depths], axis=1)
    assert abs(np.linalg.lstsq(design, ratios, rcond=None)[0][0] - share) < 2e-4
    assert abs(ratios[-1] - share) < 0.01


def test_relu_without_bias_has_the_same_limit_at_any_weight_variance():
    for w in (1.0, 2.0, 3.0):
        deep = kernels.ntk(SPHERE[:2], depth=300, weight_variance=w, normalised=True)[0, 1]
        assert abs(deep - kernels.ntk(SPHERE[:2], depth=300, normalised=True)[0, 1]) < 1e-12
        assert infinite_depth("relu", weight_variance=w).off_diagonal == 0.25


@pytest.mark.parametrize(
    ("activation", "w", "b"),
    [
        ("relu", 1.0, 1e-4),
        ("relu", 1.9999, 0.1),
        ("erf", 0.5, 1e-4),
        ("erf", 0.786, 0.0),
        ("gelu", 1.5, 2.0),
        ("cosine", 2.0, 0.0),
    ],
)
def test_small_and_slow_variances_are_found(activation, w, b):
    q = infinite_depth(activation, weight_variance=w, bias_variance=b).variance
    dual = activations.chosen(activation)
    v = np.array([q])
    assert abs(w * dual.variance(v)[0] + b - q) < 1e-13 * max(q, 1.0)
    settled = np.ones(1)
    for _ in range(100_000):
        settled = w * dual.variance(settled) + b
    assert abs(settled[0] / q - 1) < 1e-2


def test_scaled_activations_have_the_limits_of_their_own_kind():
    for scaled in (activations.RELU.scaled(), activations.RELU.scaled(inputs=3.0, outputs=-0.5)):
        assert infinite_depth(scaled, weight_variance=2.0).off_diagonal == 0.25
        assert infinite_depth(scaled, weight_variance=2.0).chi == pytest.approx(1.0)
    for linear in (activations.LINEAR.scaled(), activations.polynomial([0.0, 2.0])):
        with pytest.raises(ValueError, match="`activation` must not be linear"):
            infinite_depth(linear, weight_variance=1.0)


@pytest.mark.parametrize("activation", ["sine", "erf"])
def test_the_exponent_of_the_singular_kernel(activation):
    """What a layer adds to the kernel over a^L, at ever smaller distances: the logarithmic slope over whole periods of R."""
    dual = activations.chosen(activation)
    one = np.ones(1)
    w = 1.0 / dual.variance(one)[0]

    def limit(c, depth):
        values, slopes = [np.array([[c]])], []
        for _ in range(depth):
            value, slope = dual.pair(values[-1].copy(), one, one)
            values.append(w * value)
            slopes.append(w * slope)
        theta = values[0]
        a = w * dual.pair(np.zeros((1, 1)), one, one)[1][0, 0]
        scale, sums = 1.0, []
        for value, slope in zip(values[1:], slopes, strict=True):
            theta = (theta * slope + value / scale) / a  # in units of a^l
            scale *= a
            sums.append(theta[0, 0])
        return (sums[-1] - sums[depth // 2 - 1]) / (depth - depth // 2)

    ratio = w * dual.slope_variance(one)[0]  # one layer stretches a small distance by its root: the period of R
    alpha = singular_exponent(activation)
    periods = 20
    near, far = (1e-3 * ratio ** -float(m) for m in (periods, 0))
    slope = np.log(limit(1 - near, 600) / limit(1 - far, 600)) / (0.5 * np.log(far / near))
    assert abs(slope - alpha) < 0.002 * alpha


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: infinite_depth("linear"), "`activation` must not be linear"),
        (lambda: infinite_depth("relu", weight_variance=2.5, bias_variance=0.1), "grow with depth without bound"),
        (lambda: infinite_depth("relu", weight_variance=2.0, bias_variance=0.1), "grow with depth without bound"),
        (lambda: infinite_depth("gelu", weight_variance=2.5, bias_variance=0.1), "grow with depth without bound"),
        (lambda: infinite_depth("erf", weight_variance=0.5), "vanish with depth"),
        (lambda: infinite_depth("erf", weight_variance=np.pi / 4), "vanish with depth"),
        (lambda: infinite_depth("sine", weight_variance=1.0), "vanish with depth"),
        (lambda: singular_exponent("relu"), "majority vote"),
        (lambda: singular_exponent(activations.polynomial([-1.0, 0.0, 1.0])), "nearest neighbour"),
        (lambda: singular_exponent("linear"), "`activation` must not be linear"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
