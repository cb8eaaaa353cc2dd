"""Closed forms and training dynamics against neural-tangents, an independent implementation."""

import numpy as np
import pytest

import kdtheory as kd
from kdtheory import activations, kernels
from kdtheory.dynamics import WideNetwork, loss_scale

pytest.importorskip("jax")
pytest.importorskip("frozendict")

from kdtheory._neural_tangents import double_precision, neural_tangents

RNG = np.random.default_rng(0)
X, X_NEW = RNG.normal(size=(9, 6)), RNG.normal(size=(4, 6))
Y = RNG.normal(size=(9, 2))


@pytest.fixture(scope="module")
def nt():
    try:
        return neural_tangents()
    except ImportError as error:
        pytest.skip(str(error))


def theirs(nt, nonlinearity, depth, weight_variance, bias_variance):
    """kernel_fn of the same fully connected network."""
    dense = nt.stax.Dense(1, W_std=weight_variance**0.5, b_std=bias_variance**0.5)
    return nt.stax.serial(*[dense, nonlinearity] * depth, dense)[2]


NONLINEARITIES = {
    "relu": ("relu", lambda stax: stax.Relu()),
    "leaky_relu": ("leaky_relu", lambda stax: stax.LeakyRelu(0.01)),
    "modulus": (activations.leaky_relu(-1.0), lambda stax: stax.Abs()),
    "erf": ("erf", lambda stax: stax.Erf()),
    "linear": ("linear", lambda stax: stax.Identity()),
    "sine": ("sine", lambda stax: stax.Sin()),
    "cosine": ("cosine", lambda stax: stax.Cos()),
    "fast sine": (activations.sine(1.7, 0.4), lambda stax: stax.Sin(b=1.7, c=0.4)),
    "gelu": ("gelu", lambda stax: stax.Gelu()),
    "cubic": (activations.polynomial([0.2, 1.0, -0.3, 0.1]), lambda stax: stax.Polynomial([0.2, 1.0, -0.3, 0.1])),
}


@pytest.mark.parametrize("name", NONLINEARITIES)
@pytest.mark.parametrize("sphere", [False, True])
def test_kernels_to_ten_digits(nt, name, sphere):
    activation, make = NONLINEARITIES[name]
    points, others = (p / np.linalg.norm(p, axis=1)[:, None] * np.sqrt(6) if sphere else p for p in (X_NEW, X))
    for depth, w, b in ((1, 1.0, 0.0), (3, 0.7, 0.3), (2, 1.3, 0.05)):
        with double_precision():
            both = theirs(nt, make(nt.stax), depth, w, b)(points, others, ("ntk", "nngp"))
            ntk, nngp = np.asarray(both.ntk), np.asarray(both.nngp)
        how = {"depth": depth, "activation": activation, "weight_variance": w, "bias_variance": b}
        np.testing.assert_allclose(kernels.ntk(points, others, **how), ntk, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(kernels.nngp(points, others, **how), nngp, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("time", [0.0, 0.4, 30.0, None])
def test_trained_ensembles_in_mean_and_covariance(nt, time):
    how = {"depth": 2, "activation": "erf", "weight_variance": 1.4, "bias_variance": 0.2}
    net = WideNetwork.fully_connected(X, X_NEW, **how)
    rate = 0.7
    with double_precision():
        predict = nt.predict.gradient_descent_mse_ensemble(theirs(nt, nt.stax.Erf(), 2, 1.4, 0.2), X, Y, learning_rate=rate)
        there = predict(t=time, x_test=X_NEW, get="ntk", compute_cov=True)
        mean, covariance = np.asarray(there.mean), np.asarray(there.covariance)
    # theirs is the mean over examples and outputs, halved: 1/(2 n p) times the sum of squares
    flow = kd.GradientFlow(np.inf if time is None else rate * time * loss_scale("half mean", 9) / 2)
    here = net.trained(Y, flow)
    np.testing.assert_allclose(here.mean, mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(here.covariance, covariance, rtol=1e-8, atol=1e-9)
