"""Wide networks where digits are lost: nearly equal and opposite points, deep networks, inputs of any size."""

import itertools

import mpmath as mp
import numpy as np
import pytest

from kdtheory import activations, kernels
from kdtheory.activations import ACTIVATIONS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 5))


def precise_relu(x, z, depth, w, b, a):
    """NTK and NNGP of leaky ReLU in 60 digits, from the definition."""
    with mp.workdps(60):
        x, z = ([mp.mpf(float(v)) for v in p] for p in (x, z))
        w, b, a, d = mp.mpf(w), mp.mpf(b), mp.mpf(a), len(x)
        k, q, r = (w * sum(s * t for s, t in zip(*pair, strict=True)) / d + b for pair in ((x, z), (x, x), (z, z)))
        theta = k
        for _ in range(depth):
            c = k / mp.sqrt(q * r)
            angle = mp.acos(min(c, 1))
            slope = a + (1 - a) ** 2 * (mp.pi - angle) / (2 * mp.pi)
            value = a * k + (1 - a) ** 2 * mp.sqrt(q * r) * (mp.sin(angle) + (mp.pi - angle) * c) / (2 * mp.pi)
            k, q, r = w * value + b, w * q * (1 + a * a) / 2 + b, w * r * (1 + a * a) / 2 + b
            theta = theta * w * slope + k
        return float(theta), float(k)


@pytest.mark.parametrize("gap", [0.0, 1e-13, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 0.1])
@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("slope", [0.0, 0.3, -1.0])
def test_nearly_equal_and_opposite_points_keep_their_digits(gap, opposite, slope):
    """Half of the digits would go with arccos; relative to the kernel's diagonal all but two are there."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=30)
    z = (-1 if opposite else 1) * x + gap * rng.normal(size=30)
    for depth, b in itertools.product((1, 3, 10), (0.0, 0.2)):
        how = {"depth": depth, "activation": activations.leaky_relu(slope), "bias_variance": b}
        theta, sigma = precise_relu(x, z, depth, 2.0, b, slope)
        assert abs(kernels.ntk([x], [z], **how)[0, 0] - theta) < 5e-14 * kernels.ntk([x], **how)[0, 0]
        assert abs(kernels.nngp([x], [z], **how)[0, 0] - sigma) < 5e-14 * kernels.nngp([x], **how)[0, 0]
        joint = kernels.ntk([x, z], **how)
        assert abs(joint[0, 1] - theta) < 5e-14 * joint[0, 0]


@pytest.mark.parametrize(("w", "b", "depth"), [(1.5, 0.2, 120), (1.0, 0.5, 50), (0.5, 0.2, 25), (2.0, 0.0, 300)])
def test_deep_networks_keep_their_digits(w, b, depth):
    """In the ordered phase all points become nearly parallel on the way."""
    for z in (X[1], X[0] + 1e-7 * X[1], -X[0]):
        theta, sigma = precise_relu(X[0], z, depth, w, b, 0.0)
        how = {"depth": depth, "weight_variance": w, "bias_variance": b}
        assert abs(kernels.ntk(X[:1], [z], **how)[0, 0] / theta - 1) < 1e-12
        assert abs(kernels.nngp(X[:1], [z], **how)[0, 0] / sigma - 1) < 1e-13


def test_a_scaled_relu_is_a_relu_at_small_angles_too():
    points = np.vstack([X[0], X[0] + 1e-8 * X[1], -X[0]])
    scaled = activations.RELU.scaled(inputs=2.0, outputs=0.5)
    for b in (0.0, 0.3):
        np.testing.assert_allclose(
            kernels.ntk(points, depth=3, activation=scaled, bias_variance=b),
            kernels.ntk(points, depth=3, bias_variance=b),
            rtol=1e-14,
        )


@pytest.mark.parametrize("activation", ["sine", "erf", "cosine", "gelu"])
def test_small_inputs_keep_their_digits(activation):
    """Near zero an odd activation is linear, and the tangent kernel that of its slope."""
    for scale in (1e-3, 1e-6, 1e-9):
        K = kernels.ntk(scale * X, depth=1, activation=activation, weight_variance=1.0)
        assert np.linalg.eigvalsh(K)[0] > -1e-13 * np.abs(K).max()
        if activation in ("sine", "erf"):
            slope = {"sine": 1.0, "erf": 4 / np.pi}[activation]
            np.testing.assert_allclose(K, 2 * slope * scale**2 * X @ X.T / 5, rtol=30 * scale**2 + 1e-13)
    dual = activations.chosen("cosine")
    k, q = np.array([[1e-12]]), np.array([1e-12])
    assert abs(dual.pair(k, q, q)[1][0, 0] / 1e-12 - 1) < 1e-9  # E[sin u sin v]


def test_opposite_points_stay_opposite_in_chaotic_networks():
    pair = np.vstack([X[0], -X[0]])
    for activation, sign in (("erf", -1), ("sine", -1), ("cosine", 1), (activations.leaky_relu(-1.0), 1)):
        K = kernels.ntk(pair, depth=200, activation=activation, weight_variance=1.0 if sign == 1 else 4.0)
        np.testing.assert_allclose(K[0, 1], sign * K[0, 0], rtol=1e-10)


@pytest.mark.parametrize("activation", ["erf", "sine", "gelu"])
@pytest.mark.parametrize("scale", [1e4, 1e6])
def test_large_inputs_keep_the_slope_of_near_points(activation, scale):
    """One hidden layer on the line, in 50 digits: a product of inputs has lost what separates the points."""
    x, z = scale, scale + 0.1
    with mp.workdps(50):
        q, r, k = mp.mpf(x) ** 2, mp.mpf(z) ** 2, mp.mpf(x) * mp.mpf(z)
        if activation == "erf":
            value = 2 / mp.pi * mp.asin(2 * k / mp.sqrt((1 + 2 * q) * (1 + 2 * r)))
            slope = 4 / mp.pi / mp.sqrt((1 + 2 * q) * (1 + 2 * r) - 4 * k * k)
        elif activation == "sine":
            near, far = (mp.exp(-(q + r - 2 * s * k) / 2) / 2 for s in (1, -1))
            value, slope = near - far, near + far
        else:
            delta = (1 + q) * (1 + r) - k * k
            G = mp.mpf(1) / 4 + mp.asin(k / mp.sqrt((1 + q) * (1 + r))) / (2 * mp.pi)
            A = q * r + k * k * (1 - q * r) / ((1 + q) * (1 + r))
            value = k * G + A / (2 * mp.pi * mp.sqrt(delta))
            slope = G + (k + k * A / delta + 2 * k * (1 - q * r) / ((1 + q) * (1 + r))) / (2 * mp.pi * mp.sqrt(delta))
        theta = float(k * slope + value)
    assert abs(kernels.ntk([[x]], [[z]], depth=1, activation=activation, weight_variance=1.0)[0, 0] / theta - 1) < 1e-9


def test_points_of_different_length_in_one_direction():
    for depth, b in itertools.product((1, 4), (0.0, 0.5)):
        for factor in (3.0, 1.001, -0.5):
            theta, sigma = precise_relu(X[0], factor * X[0], depth, 1.5, b, 0.0)
            how = {"depth": depth, "weight_variance": 1.5, "bias_variance": b}
            assert abs(kernels.ntk(X[:1], factor * X[:1], **how)[0, 0] - theta) < 1e-13 * abs(theta) + 1e-16
            assert abs(kernels.nngp(X[:1], factor * X[:1], **how)[0, 0] - sigma) < 1e-14


def test_blocks_of_nearly_parallel_points_are_those_of_pairs():
    rng = np.random.default_rng(4)
    base = rng.normal(size=(6, 3))
    points = np.repeat(base, 150, axis=0) + 1e-7 * rng.normal(size=(900, 3))
    points[::2] *= -1
    K = kernels.ntk(points, depth=2, bias_variance=0.1)
    for i, j in rng.integers(0, 900, size=(60, 2)):
        theta, _ = precise_relu(points[i], points[j], 2, 2.0, 0.1, 0.0)
        assert abs(K[i, j] / theta - 1) < 1e-13
    np.testing.assert_allclose(kernels.ntk(points[:40], points, depth=2, bias_variance=0.1), K[:40], rtol=1e-13)


@pytest.mark.parametrize("scale", [1e4, 1e8, 1e12])
def test_huge_inputs_stay_finite(scale):
    K = kernels.ntk([[scale]], depth=1, activation="erf")[0, 0]
    q = mp.mpf(2) * mp.mpf(scale) ** 2
    tangent = q * 2 * 4 / mp.pi / mp.sqrt(1 + 4 * q) + 2 * 2 / mp.pi * mp.asin(2 * q / (1 + 2 * q))
    assert abs(K / tangent - 1) < 1e-10
    gelu, relu = (kernels.ntk([[scale]], depth=2, activation=name)[0, 0] for name in ("gelu", "relu"))
    assert abs(gelu / relu - 1) < 1e-4  # far from zero they are the same function
    for name in ACTIVATIONS:
        many = kernels.ntk(scale * RNG.normal(size=(6, 3)), depth=2, activation=name)
        assert np.isfinite(many).all()
        assert np.linalg.eigvalsh(many)[0] > -1e-12 * np.linalg.eigvalsh(many)[-1]


def test_clusters_of_nearly_equal_points():
    """Blocks where most pairs are close take another road: the same numbers as pair by pair."""
    rng = np.random.default_rng(5)
    points = np.repeat(rng.normal(size=(2, 40)), 40, axis=0) + 1e-5 * rng.normal(size=(80, 40))
    K = kernels.ntk(points, depth=2, bias_variance=0.1)
    assert (K == K.T).all()
    for i, j in rng.integers(0, 80, size=(40, 2)):
        theta, _ = precise_relu(points[i], points[j], 2, 2.0, 0.1, 0.0)
        assert abs(K[i, j] / theta - 1) < 1e-13


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.ntk(X, depth=3000, weight_variance=4.0), "variance grow beyond floating point"),
        (lambda: kernels.ntk(X, depth=4000, activation="erf", weight_variance=50.0), "kernel grow beyond floating point"),
        (lambda: kernels.ntk([[1e160]], depth=1, activation="sine"), "`X` must have squares"),
    ],
)
def test_what_leaves_floating_point_is_refused(call, message):
    with pytest.raises(OverflowError, match=message):
        call()


def test_normalised_kernels_without_bias_do_not_depend_on_the_weight_variance():
    expected = kernels.ntk(X, depth=1200, normalised=True)
    for w in (0.5, 1.0, 3.0):
        np.testing.assert_allclose(kernels.ntk(X, depth=1200, weight_variance=w, normalised=True), expected, rtol=1e-13)
