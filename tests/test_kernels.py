"""Kernels against other libraries, quadrature, and finite networks."""

import itertools
import tracemalloc

import mpmath as mp
import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy.spatial.distance import cdist
from scipy.special import erf
from sklearn.metrics.pairwise import linear_kernel, polynomial_kernel, rbf_kernel

from kdtheory import kernels
from kdtheory.activations import DUAL_ACTIVATIONS

RNG = np.random.default_rng(0)
X, X_NEW = RNG.normal(size=(23, 5)), RNG.normal(size=(7, 5))
ALL = {
    "linear": kernels.linear,
    "polynomial": lambda *a: kernels.polynomial(*a, degree=3, gamma=0.4, coef0=0.5),
    "rbf": lambda *a: kernels.rbf(*a, gamma=0.3),
    "laplace": lambda *a: kernels.laplace(*a, gamma=0.3),
    "ntk": lambda *a: kernels.ntk(*a, depth=3, bias_variance=0.1),
    "nngp": lambda *a: kernels.nngp(*a, depth=3, bias_variance=0.1),
    "ntk_erf": lambda *a: kernels.ntk(*a, depth=2, activation="erf", weight_variance=1.5),
}
SIGMA = {"relu": (lambda u: np.maximum(u, 0), lambda u: (u > 0).astype(float))}
SIGMA["erf"] = (erf, lambda u: 2 / np.sqrt(np.pi) * np.exp(-(u**2)))


def test_against_other_libraries():
    np.testing.assert_allclose(ALL["linear"](X_NEW, X), linear_kernel(X_NEW, X), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        ALL["polynomial"](X_NEW, X), polynomial_kernel(X_NEW, X, degree=3, gamma=0.4, coef0=0.5), rtol=1e-11
    )
    np.testing.assert_allclose(ALL["rbf"](X_NEW, X), rbf_kernel(X_NEW, X, gamma=0.3), rtol=1e-12)
    np.testing.assert_allclose(ALL["laplace"](X_NEW, X), np.exp(-0.3 * cdist(X_NEW, X)), rtol=1e-12)
    np.testing.assert_allclose(kernels.rbf(X), rbf_kernel(X), rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_cross_is_a_block_of_the_joint_gram(name):
    joint = ALL[name](np.vstack([X_NEW, X]))
    np.testing.assert_allclose(ALL[name](X_NEW, X), joint[:7, 7:], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ALL[name](X), joint[7:, 7:], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_gram_is_exactly_symmetric_and_positive(name):
    points = RNG.normal(size=(700, 5))  # more than one block of rows
    K = ALL[name](points)
    assert (K == K.T).all()
    eigenvalues = np.linalg.eigvalsh(K)
    assert eigenvalues[0] > -1e-10 * eigenvalues[-1]


@pytest.mark.parametrize("name", ALL)
def test_a_repeated_point_has_a_repeated_row(name):
    K = ALL[name](np.vstack([X, X[:4]]))
    np.testing.assert_allclose(K[:, 23:], K[:, :4], rtol=1e-13, atol=1e-14)
    assert np.linalg.eigvalsh(K)[3] < 1e-12 * np.linalg.eigvalsh(K)[-1]


def test_rounding_of_products_is_not_an_angle():
    """x.x summed in another order than |x|^2 gives correlations one rounding below 1, and arccos turns that into 1e-8."""
    images = RNG.normal(size=(50, 784))
    K = kernels.ntk(np.vstack([images, images]), depth=3)
    expected = 4 * 2 / 784 * np.sum(images**2, axis=1)  # four layers of the prior variance
    np.testing.assert_allclose(np.diag(K)[:50], expected, rtol=1e-13)
    np.testing.assert_allclose(np.diag(K[50:, :50]), expected, rtol=1e-13)
    np.testing.assert_allclose(np.diag(kernels.ntk(images, images.copy(), depth=3)), expected, rtol=1e-13)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_dual_activation_is_its_gaussian_expectation(activation):
    """Two-dimensional Gauss-Hermite quadrature of E[s(u)s(v)] and E[s'(u)s'(v)], in polar form for the kink."""
    q, q_other, k = 0.9, 1.7, 0.4
    sigma, slope = SIGMA[activation]
    L = np.linalg.cholesky([[q, k], [k, q_other]])
    if activation == "relu":
        theta = (np.arange(400_000) + 0.5) / 400_000 * 2 * np.pi
        direction = L @ np.stack([np.cos(theta), np.sin(theta)])
        expected = np.mean(sigma(direction[0]) * sigma(direction[1])) * 2  # E[radius^2] = 2
        expected_slope = np.mean(slope(direction[0]) * slope(direction[1]))
    else:
        nodes, weights = hermegauss(120)
        grid = L @ np.stack([a.ravel() for a in np.meshgrid(nodes, nodes, indexing="ij")])
        mass = np.outer(weights, weights).ravel() / (2 * np.pi)
        expected = mass @ (sigma(grid[0]) * sigma(grid[1]))
        expected_slope = mass @ (slope(grid[0]) * slope(grid[1]))
    got, got_slope = DUAL_ACTIVATIONS[activation].pair(np.array([[k]]), np.array([q]), np.array([q_other]))
    assert abs(got[0, 0] - expected) < 1e-8
    assert abs(got_slope[0, 0] - expected_slope) < 3e-6
    same, _ = DUAL_ACTIVATIONS[activation].pair(np.array([[q]]), np.array([q]), np.array([q]))
    assert abs(same[0, 0] - DUAL_ACTIVATIONS[activation].variance(np.array([q]))[0]) < 1e-14


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_wide_networks_have_this_tangent_kernel(activation):
    """Gradients of 400 random networks of width 512, two hidden layers: their mean kernels within 5 standard errors."""
    sigma, slope = SIGMA[activation]
    rng, width, points = np.random.default_rng(1), 512, X[:4, :3]
    variance_w, variance_b = 1.8, 0.3
    tangent, covariance = [], []
    for _ in range(400):
        h, backward_hidden, pre = points.T, [], []
        layers, sizes = [], (3, width, width)
        for fan_in, fan_out in itertools.pairwise(sizes):
            W, b = rng.normal(size=(fan_out, fan_in)), rng.normal(size=(fan_out, 1))
            backward_hidden.append(h)
            pre.append(np.sqrt(variance_w / fan_in) * W @ h + np.sqrt(variance_b) * b)
            layers.append(W)
            h = sigma(pre[-1])
        readout = rng.normal(size=width)
        kernel = variance_w / width * h.T @ h + variance_b  # gradient of the last layer
        delta = np.sqrt(variance_w / width) * readout[:, None] * slope(pre[1])
        for level in (1, 0):
            inputs = backward_hidden[level]
            kernel += (delta.T @ delta) * (variance_w / inputs.shape[0] * inputs.T @ inputs + variance_b)
            if level:
                delta = np.sqrt(variance_w / width) * (layers[1].T @ delta) * slope(pre[0])
        tangent.append(kernel)
        output = np.sqrt(variance_w / width) * readout @ h + np.sqrt(variance_b) * rng.normal()
        covariance.append(np.outer(output, output))
    how = {"depth": 2, "activation": activation, "weight_variance": variance_w, "bias_variance": variance_b}
    for samples, limit, finite_width in ((tangent, kernels.ntk, 0.02), (covariance, kernels.nngp, 0.02)):
        K, error = limit(points, **how), np.std(samples, axis=0) / np.sqrt(len(samples))
        assert (np.abs(np.mean(samples, axis=0) - K) < 5 * error + finite_width * np.abs(K).max()).all()


def test_published_limit_values_of_the_circle():
    """Jacot et al. (2018), setting of their figure 1: depth 4, beta = 0.1, points at angle 0, pi/2 and pi."""
    circle = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    K = kernels.ntk(circle, depth=3, weight_variance=1.0, bias_variance=0.01)
    np.testing.assert_allclose(K[0], [0.2825, 0.0927, 0.0644], atol=5e-5)


def test_depth_zero_is_the_linear_model():
    np.testing.assert_allclose(kernels.ntk(X, depth=0, weight_variance=3.0, bias_variance=0.5), 3.0 * X @ X.T / 5 + 0.5)


def test_the_zero_point_is_allowed():
    K = kernels.ntk(np.vstack([np.zeros(5), X]), depth=2)
    assert np.isfinite(K).all()
    assert (K[0] == 0).all()


@pytest.mark.parametrize("name", ALL)
def test_integers_and_float32_are_computed_in_float64(name):
    small = RNG.integers(0, 5, size=(9, 5))
    K = ALL[name](small)
    assert K.dtype == np.float64
    np.testing.assert_allclose(ALL[name](small.astype(np.float32)), K, rtol=1e-14)


@pytest.mark.parametrize("name", ["rbf", "laplace", "ntk"])
def test_memory_is_the_result_and_a_few_blocks(name):
    points = RNG.normal(size=(2000, 5))
    tracemalloc.start()
    ALL[name](points)
    peak = tracemalloc.get_traced_memory()[1] / (8 * 2000**2)
    tracemalloc.stop()
    assert peak < 2.0


@pytest.mark.parametrize("kernel", [kernels.rbf, kernels.laplace])
def test_outliers_clusters_and_wide_columns_keep_their_digits(kernel):
    wide = np.column_stack([1.7e9 + RNG.integers(0, 10, 200) * 1e8, RNG.normal(size=200)])
    clusters = np.vstack([RNG.normal(size=(40, 3)), 1e8 + RNG.normal(size=(40, 3))])
    outlier = np.array([[0.0], [1.0], [1e9]])
    for points in (wide, clusters, outlier):
        metric = "sqeuclidean" if kernel is kernels.rbf else "euclidean"
        np.testing.assert_allclose(
            kernel(points, gamma=0.7), np.exp(-0.7 * cdist(points, points, metric)), rtol=1e-9, atol=1e-12
        )
    for h in (1e-6, 1e-8):
        near = np.array([[1.0, 2.0], [1.0 + h, 2.0]])
        distance = near[1, 0] - near[0, 0]
        assert abs(kernel(near, gamma=1.0 / h)[0, 1] - np.exp(-(distance ** (2 if kernel is kernels.rbf else 1)) / h)) < 1e-12


@pytest.mark.parametrize("features", [64, 784, 3072])
def test_gram_diagonals_are_exact(features):
    pixels = RNG.integers(0, 256, size=(300, features)).astype(float)
    assert (np.diag(kernels.laplace(pixels, gamma=0.1)) == 1).all()
    assert (np.diag(kernels.rbf(pixels, gamma=0.1)) == 1).all()
    expected = 3 * 2 / features * np.sum(pixels**2, axis=1)
    np.testing.assert_allclose(np.diag(kernels.ntk(pixels, depth=2)), expected, rtol=1e-13)


def test_erf_network_of_huge_inputs_stays_finite():
    for scale in (1e4, 1e8, 1e12):
        K = kernels.ntk([[scale]], depth=1, activation="erf")[0, 0]
        q = mp.mpf(2) * mp.mpf(scale) ** 2
        tangent = q * 2 * 4 / mp.pi / mp.sqrt(1 + 4 * q) + 2 * 2 / mp.pi * mp.asin(2 * q / (1 + 2 * q))
        assert abs(K / tangent - 1) < 1e-10
        many = kernels.ntk(scale * RNG.normal(size=(6, 3)), depth=2, activation="erf")
        assert np.isfinite(many).all()


def test_laplace_does_not_see_rounding_as_distance():
    far = RNG.normal(size=(6, 5)) + 1e3
    K = kernels.laplace(np.vstack([far, far]), gamma=1.0)
    np.testing.assert_allclose(np.diag(K[:6, 6:]), 1.0, atol=1e-15)
