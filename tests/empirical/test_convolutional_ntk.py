"""The tangent kernel of convolutional networks, alone and in stacks, and the theory on it."""

import numpy as np
import pytest
import torch

import kdtheory as kd
from empirical.convolutional import ConvNet, ResNet
from empirical.networks import Centred
from empirical.ntk import empirical_ntk
from empirical.stack import select
from empirical.training import train

RNG = np.random.default_rng(0)
MAKE = {
    "cnn": lambda **how: ConvNet((2, 6, 6), 3, width=3, dtype=torch.float64, **how),
    "resnet": lambda **how: ResNet((2, 6, 6), 3, depth=8, width=2, dtype=torch.float64, **how).eval(),
}


def gradients(net, x):
    """One backward pass per output, parameter by parameter."""
    f = net(torch.tensor(x)[None])[0]
    rows = [torch.autograd.grad(o, list(net.parameters()), retain_graph=True) for o in f]
    return np.array([torch.cat([g.flatten() for g in row]).numpy() for row in rows])


@pytest.mark.parametrize("name", MAKE)
def test_it_is_the_product_of_gradients(name):
    net, X = MAKE[name](), RNG.normal(size=(5, 2, 6, 6))
    J = np.array([gradients(net, x) for x in X])
    expected = np.einsum("iok,jqk->ijoq", J, J)
    for block in (None, 2):
        np.testing.assert_allclose(empirical_ntk(net, X, block=block), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        empirical_ntk(net, X[:2], X, output="traced"), expected[:2].trace(axis1=2, axis2=3) / 3, rtol=1e-9
    )


@pytest.mark.parametrize("name", MAKE)
def test_members_have_kernels_of_their_own(name):
    stack, X = MAKE[name](members=3), RNG.normal(size=(4, 2, 6, 6))
    K = empirical_ntk(stack, X, output="traced")
    each = RNG.normal(size=(3, 4, 2, 6, 6))
    K_each = empirical_ntk(stack, each, output="traced")
    for e in range(3):
        one = select(stack, [e])
        np.testing.assert_allclose(K[e], empirical_ntk(one, X, output="traced")[0], rtol=1e-9)
        np.testing.assert_allclose(K_each[e], empirical_ntk(one, each[e], output="traced")[0], rtol=1e-9)


def test_normalisation_in_training_mode_is_refused():
    with pytest.raises(
        ValueError, match="`model` must give each point an output of its own, got a Normalisation in training mode"
    ):
        empirical_ntk(MAKE["resnet"]().train(), np.zeros((2, 2, 6, 6)))


def test_a_lazy_convolutional_network_is_kernel_regression_with_it():
    """Trained around itself at a large output scale, its ridge fit is that of its kernel between all points and outputs."""
    X, y, X_new = RNG.normal(size=(8, 2, 6, 6)), RNG.normal(size=(8, 3)), RNG.normal(size=(4, 2, 6, 6))
    net, scale, ridge = MAKE["cnn"](), 1000.0, 0.5
    K, k = (empirical_ntk(net, a, X).swapaxes(1, 2).reshape(-1, 24) for a in (X, X_new))
    g = Centred(net, scale)
    how = {"steps": 800, "momentum": 0.9, "loss_scale": 1 / scale**2, "ridge": ridge}
    trained = train(g, X, y, learning_rate=1 / (1.1 * np.linalg.eigvalsh(K)[-1] + ridge), points=X_new, **how)
    expected = kd.Spectrum.from_gram(K).predict(kd.Ridge(ridge), y.ravel(), k).reshape(4, 3)
    assert np.linalg.norm(trained.predictions[-1] - expected) < 2e-3 * np.linalg.norm(expected)
