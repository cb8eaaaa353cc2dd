"""Wide networks against quadrature, 60-digit arithmetic, and finite networks."""

import itertools

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy import integrate
from scipy.special import erf, ndtr

from kdtheory import activations, kernels

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 5))


def leaky(a):
    return lambda u: np.where(u > 0, u, a * u), lambda u: np.where(u > 0, 1.0, a)


#: name -> the activation, its function and its derivative
SMOOTH = {
    "erf": ("erf", erf, lambda u: 2 / np.sqrt(np.pi) * np.exp(-(u**2))),
    "linear": ("linear", lambda u: u, np.ones_like),
    "sine": ("sine", np.sin, np.cos),
    "cosine": ("cosine", np.cos, lambda u: -np.sin(u)),
    "gelu": ("gelu", lambda u: u * ndtr(u), lambda u: ndtr(u) + u * np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)),
    "fast sine": (
        activations.sine(1.7, 0.4),
        lambda u: np.sin(1.7 * u + 0.4),
        lambda u: 1.7 * np.cos(1.7 * u + 0.4),
    ),
    "quadratic": (activations.polynomial([0.0, 1.0, 0.25]), lambda u: u + u**2 / 4, lambda u: 1 + u / 2),
    "quintic": (
        activations.polynomial([0.5, -1.0, 0.0, 0.3, 0.2, -0.1]),
        lambda u: 0.5 - u + 0.3 * u**3 + 0.2 * u**4 - 0.1 * u**5,
        lambda u: -1 + 0.9 * u**2 + 0.8 * u**3 - 0.5 * u**4,
    ),
    "tanh": (activations.series(np.tanh, lambda u: 1 / np.cosh(u) ** 2), np.tanh, lambda u: 1 / np.cosh(u) ** 2),
    "scaled erf": (
        activations.ERF.scaled(inputs=0.6, outputs=-1.5),
        lambda u: -1.5 * erf(0.6 * u),
        lambda u: -1.8 / np.sqrt(np.pi) * np.exp(-((0.6 * u) ** 2)),
    ),
}
KINKED = {
    "relu": ("relu", *leaky(0.0)),
    "leaky_relu": ("leaky_relu", *leaky(0.01)),
    "half": (activations.leaky_relu(0.5), *leaky(0.5)),
    "modulus": (activations.leaky_relu(-1.0), *leaky(-1.0)),
    "scaled relu": (activations.RELU.scaled(inputs=2.0, outputs=0.7), *(lambda u, f=f: 1.4 * f(u) for f in leaky(0.0))),
}
ALL = SMOOTH | KINKED
Q, Q_OTHER = 0.9, 0.4
COVARIANCES = (-0.59, -0.2, 0.0, 0.3, 0.599)


def by_quadrature(f, k):
    nodes, weights = hermegauss(160)
    grid = np.linalg.cholesky([[Q, k], [k, Q_OTHER]]) @ np.stack([a.ravel() for a in np.meshgrid(nodes, nodes, indexing="ij")])
    return np.outer(weights, weights).ravel() / (2 * np.pi) @ (f(grid[0]) * f(grid[1]))


def by_angle(f, k, degree):
    """Homogeneous functions: the radius integrates to 2 (degree 1) or 1 (degree 0), the angle piece by piece between kinks."""
    (a, _), (b, c) = np.linalg.cholesky([[Q, k], [k, Q_OTHER]])

    def integrand(t):
        return f(a * np.cos(t)) * f(b * np.cos(t) + c * np.sin(t)) / (2 * np.pi)

    kinks = np.sort(np.mod([np.pi / 2, 3 * np.pi / 2, np.arctan2(-b, c), np.arctan2(-b, c) + np.pi], 2 * np.pi))
    pieces = itertools.pairwise([0.0, *kinks, 2 * np.pi])
    return (2 if degree else 1) * sum(integrate.quad(integrand, *piece, epsabs=1e-14)[0] for piece in pieces)


@pytest.mark.parametrize("name", ALL)
def test_dual_activation_is_its_gaussian_expectation(name):
    activation, sigma, slope = ALL[name]
    dual = activations.chosen(activation)
    for k in COVARIANCES:
        got, got_slope = (m[0, 0] for m in dual.pair(np.array([[k]]), np.array([Q]), np.array([Q_OTHER])))
        expected = by_angle(sigma, k, 1) if name in KINKED else by_quadrature(sigma, k)
        expected_slope = by_angle(slope, k, 0) if name in KINKED else by_quadrature(slope, k)
        assert abs(got - expected) < 1e-11, k
        assert abs(got_slope - expected_slope) < 1e-11, k
    for q in (0.3, 2.0):
        v = np.array([q])
        same, same_slope = (m[0, 0] for m in dual.pair(np.array([[q]]), v, v))
        assert abs(same - dual.variance(v)[0]) < 2e-8  # a series converges slowly at the diagonal
        assert abs(same_slope - dual.slope_variance(v)[0]) < 2e-6
        if name != "tanh":
            assert abs(same - dual.variance(v)[0]) < 1e-13
            assert abs(same_slope - dual.slope_variance(v)[0]) < 1e-13


@pytest.mark.parametrize("name", ["relu", "half", "erf", "cosine", "gelu", "quadratic", "tanh"])
def test_wide_networks_have_this_tangent_kernel(name):
    """Gradients of 300 random networks of width 512, two hidden layers: their mean kernels within 5 standard errors."""
    activation, sigma, slope = ALL[name]
    rng, width, points = np.random.default_rng(1), 512, X[:4, :3]
    variance_w, variance_b = 1.2, 0.3
    tangent, hidden, covariance = [], [], []
    for _ in range(300):
        h, inputs, pre, layers = points.T, [], [], []
        for fan_in, fan_out in itertools.pairwise((3, width, width)):
            W, b = rng.normal(size=(fan_out, fan_in)), rng.normal(size=(fan_out, 1))
            inputs.append(h)
            pre.append(np.sqrt(variance_w / fan_in) * W @ h + np.sqrt(variance_b) * b)
            layers.append(W)
            h = sigma(pre[-1])
        readout = rng.normal(size=width)
        kernel = np.zeros((4, 4))
        delta = np.sqrt(variance_w / width) * readout[:, None] * slope(pre[1])
        for level in (1, 0):
            kernel += (delta.T @ delta) * (variance_w / inputs[level].shape[0] * inputs[level].T @ inputs[level] + variance_b)
            if level:
                delta = np.sqrt(variance_w / width) * (layers[1].T @ delta) * slope(pre[0])
        hidden.append(kernel)
        tangent.append(kernel + variance_w / width * h.T @ h + variance_b)  # and the gradient of the last layer
        output = np.sqrt(variance_w / width) * readout @ h + np.sqrt(variance_b) * rng.normal()
        covariance.append(np.outer(output, output))
    how = {"depth": 2, "activation": activation, "weight_variance": variance_w, "bias_variance": variance_b}
    limits = kernels.ntk(points, **how), kernels.ntk(points, **how, output_layer=False), kernels.nngp(points, **how)
    for samples, K in zip((tangent, hidden, covariance), limits, strict=True):
        error = np.std(samples, axis=0) / np.sqrt(len(samples))
        assert (np.abs(np.mean(samples, axis=0) - K) < 5 * error + 0.02 * np.abs(K).max()).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("depth", [1, 4])
def test_normalised_kernels_have_a_diagonal_of_ones(name, depth):
    how = {"depth": depth, "activation": ALL[name][0], "weight_variance": 0.3, "bias_variance": 0.2}
    for kernel in (kernels.ntk, kernels.nngp):
        K, unit = kernel(X, **how), kernel(X, **how, normalised=True)
        root = np.sqrt(np.diag(K))
        tolerance = 1e-12 if name != "tanh" else 1e-6
        np.testing.assert_allclose(unit, K / root[:, None] / root, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(kernel(X[:3], X, **how, normalised=True), unit[:3], rtol=1e-12, atol=1e-13)
    hidden = kernels.ntk(X, **how, output_layer=False)
    np.testing.assert_allclose(kernels.ntk(X, **how) - hidden, kernels.nngp(X, **how), rtol=1e-10, atol=1e-12)


def test_depth_zero_is_the_linear_model():
    np.testing.assert_allclose(kernels.ntk(X, depth=0, weight_variance=3.0, bias_variance=0.5), 3.0 * X @ X.T / 5 + 0.5)


def test_a_deep_linear_network_repeats_its_kernel():
    K = kernels.nngp(X, depth=0, weight_variance=1.0)
    np.testing.assert_allclose(kernels.ntk(X, depth=6, activation="linear", weight_variance=1.0), 7 * K, rtol=1e-13)


def test_published_limit_values_of_the_circle():
    """Jacot et al. (2018), setting of their figure 1: depth 4, beta = 0.1, points at angle 0, pi/2 and pi."""
    circle = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    K = kernels.ntk(circle, depth=3, weight_variance=1.0, bias_variance=0.01)
    np.testing.assert_allclose(K[0], [0.2825, 0.0927, 0.0644], atol=5e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.ntk(X, depth=1, activation="tanh"), "`activation` must be one of cosine, erf"),
        (lambda: kernels.ntk(X, depth=0, output_layer=False), "`output_layer` must be True at `depth` 0"),
        (lambda: kernels.ntk([[0.0]], depth=1, normalised=True), "`normalised` must be False where"),
        (lambda: activations.leaky_relu(np.nan), "`negative_slope` must be finite"),
        (lambda: activations.sine(0.0), "`frequency` must be positive"),
        (lambda: activations.polynomial([0.0, 0.0]), "`coefficients` must not all be zero"),
        (lambda: activations.series(np.tanh, np.cosh, terms=0), "`terms` must be"),
        (lambda: activations.ERF.scaled(outputs=0.0), "`outputs` must be a number other than zero"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("name", KINKED)
def test_one_cone_of_points_far_from_the_origin(name, bias):
    """All pairs nearly parallel, as of features with a large mean: every digit comes from differences."""
    cone, h = 100.0 + RNG.normal(size=(300, 6)), 1e-3
    how = {"depth": 2, "activation": KINKED[name][0], "bias_variance": bias}
    whole = kernels.ntk(cone, **how)
    assert (whole == whole.T).all()
    pairs = [(0, 1), (5, 299), (100, 200), (256, 257)]
    for i, j in pairs:  # pairs alone are no cluster: they go by their own difference
        alone = kernels.ntk(cone[i][None], cone[j][None], **how)[0, 0]
        assert abs(whole[i, j] - alone) < 1e-13 * alone
    moved = cone + h * RNG.normal(size=cone.shape)
    own, other, both = np.diag(whole), np.diag(kernels.ntk(moved, **how)), np.diag(kernels.ntk(cone, moved, **how))
    assert (own + other - 2 * both > 0).all()  # a squared distance
