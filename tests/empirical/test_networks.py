"""Networks: the function they compute, the law they are drawn from, and stacks of them."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.special import erf
from torch import nn

import empirical
import kdtheory as kd
from empirical.networks import ACTIVATIONS, MLP, Centred, members_of, predict, tensor_for

torch.set_num_threads(1)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))
SIGMA = {
    "relu": lambda u: np.maximum(u, 0),
    "leaky_relu": lambda u: np.maximum(u, 0.01 * u),
    "erf": erf,
    "linear": lambda u: u,
    "gelu": lambda u: u * (1 + erf(u / np.sqrt(2))) / 2,
    "sine": np.sin,
    "cosine": np.cos,
}
DOUBLE = {"dtype": torch.float64, "weight_variance": 1.7, "bias_variance": 0.3}


@pytest.mark.parametrize("activation", SIGMA)
def test_the_function_is_the_formula(activation):
    model = MLP(3, 2, width=[4, 6], depth=2, activation=activation, **DOUBLE)
    h = X
    for level, (W, b) in enumerate(zip(model.weights, model.biases, strict=True)):
        h = np.sqrt(1.7 / W.shape[0]) * h @ W.detach().numpy() + np.sqrt(0.3) * b.detach().numpy()
        h = SIGMA[activation](h) if level < 2 else h
    assert set(SIGMA) == set(ACTIVATIONS)
    assert [tuple(W.shape) for W in model.weights] == [(3, 4), (4, 6), (6, 2)]
    np.testing.assert_allclose(predict(model, X), h, rtol=1e-12, atol=1e-13)
    standard = MLP(3, 2, width=[4, 6], depth=2, activation=activation, parameterisation="standard", **DOUBLE)
    np.testing.assert_allclose(predict(standard, X), h, rtol=1e-12, atol=1e-13)
    own = MLP(3, 2, width=[4, 6], depth=2, activation=ACTIVATIONS[activation] or (lambda z: z), **DOUBLE)
    assert (predict(own, X) == predict(model, X)).all()


@pytest.mark.parametrize("activation", SIGMA)
@pytest.mark.parametrize("parameterisation", ["ntk", "standard"])
def test_outputs_at_initialisation_have_the_covariance_of_the_limit(activation, parameterisation):
    """1,500 networks of width 100: E[f f'] within 5 standard errors and the correction of order 1/width."""
    how = {"depth": 2, "activation": activation, "weight_variance": 1.7, "bias_variance": 0.3}
    f = predict(MLP(3, width=100, members=1500, parameterisation=parameterisation, **how), X)[..., 0]
    products = f[:, :, None] * f[:, None, :]
    limit, error = kd.kernels.nngp(X, **how), products.std(axis=0) / np.sqrt(len(f))
    assert (np.abs(products.mean(axis=0) - limit) < 5 * error + 0.02 * limit.max()).all()
    assert (np.abs(f.mean(axis=0)) < 5 * f.std(axis=0) / np.sqrt(len(f))).all()


@pytest.mark.parametrize("parameterisation", ["ntk", "standard"])
def test_a_stack_is_its_members(parameterisation):
    how = {"width": 7, "depth": 2, "parameterisation": parameterisation, "seed": 3, **DOUBLE}
    small, large, alone = MLP(3, 2, members=2, **how), MLP(3, 2, members=5, **how), MLP(3, 2, **how)
    for e in range(2):
        for first, second in zip(small.member(e).parameters(), large.member(e).parameters(), strict=True):
            assert torch.equal(first, second)
    for first, second in zip(alone.parameters(), large.member(0).parameters(), strict=True):
        assert torch.equal(first, second)
    each = np.stack([predict(large.member(e), X) for e in range(5)])
    np.testing.assert_allclose(predict(large, X), each, rtol=1e-12, atol=1e-13)
    own_inputs = RNG.normal(size=(5, 4, 3))
    each = np.stack([predict(large.member(e), own_inputs[e]) for e in range(5)])
    np.testing.assert_allclose(predict(large, own_inputs), each, rtol=1e-12, atol=1e-13)
    firsts = np.array([W.detach().flatten(1).numpy()[:, :6] for W in large.weights])
    assert len(np.unique(firsts)) == firsts.size  # nothing is drawn twice
    assert members_of(large) == members_of(Centred(large)) == 5
    assert members_of(alone) is None


def test_seeds_draws_and_precisions():
    how = {"width": 6, "depth": 1, "bias_variance": 0.2}
    one = MLP(3, seed=4, **how)
    assert torch.equal(one.weights[0], MLP(3, seed=4, **how).weights[0])
    assert torch.equal(one.weights[0], MLP(3, seed=4, **how, dtype=torch.float64).weights[0].float())
    assert torch.equal(one.weights[0], one.fresh(0).weights[0])
    assert torch.equal(one.fresh(2).weights[0], MLP(3, seed=(4, 2), **how).weights[0])
    assert torch.equal(one.weights[1], MLP(3, seed=4, width=6, depth=1).weights[1])  # with and without biases
    drawn = [MLP(3, seed=s, **how).weights[0] for s in (0, 1, 4, (4, 1), (4, 2))]
    drawn += [MLP(3, seed=4, members=3, **how).weights[0][e] for e in (1, 2)]
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    assert len(MLP(3, width=6, depth=1).biases) == 0
    one.weights[0].requires_grad_(False)
    assert [p.requires_grad for p in one.fresh(1).parameters()] == [p.requires_grad for p in one.parameters()]
    later = Centred(one, 3.0).fresh(1)
    assert later.scale == 3.0
    assert torch.equal(later.start.weights[0], one.fresh(1).weights[0])


def test_depth_zero_is_linear_and_needs_no_width():
    model = MLP(3, 2, width=9, depth=0, dtype=torch.float64, weight_variance=3.0)
    np.testing.assert_allclose(predict(model, X), X @ model.weights[0].detach().numpy(), rtol=1e-13)


@pytest.mark.parametrize("members", [None, 3])
def test_a_centred_network_starts_at_zero_and_moves_like_the_network(members):
    model = MLP(3, 2, width=8, depth=2, members=members, dtype=torch.float64)
    f_0, g = predict(model, X), Centred(model, scale=7.0)
    assert (predict(g, X) == 0).all()
    with torch.no_grad():
        for theta in g.model.parameters():
            theta.add_(0.1)
    np.testing.assert_allclose(predict(g, X), 7.0 * (predict(model, X) - f_0), rtol=1e-12)
    g(tensor_for(g, X, "X")).sum().backward()
    assert all(theta.grad is not None for theta in g.model.parameters())
    assert all(theta.grad is None and not theta.requires_grad for theta in g.start.parameters())


def test_arrays_at_the_border():
    model = MLP(3, width=4, depth=1)
    frozen = X.copy()
    frozen.setflags(write=False)
    assert tensor_for(model, frozen, "X").dtype == torch.float32
    assert predict(model, torch.tensor(X)).dtype == np.float64
    for value in (np.full((2, 3), np.nan), torch.full((2, 3), torch.inf), torch.empty(0, 3)):
        with pytest.raises(ValueError, match=r"`X` must (be finite|not be empty)"):
            predict(model, value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": [4]}, r"`width` must be one number or one per hidden layer, got 1 for `depth`=2\."),
        ({"width": 0}, r"`width` must be a whole number of at least 1, got 0\."),
        ({"depth": -1}, r"`depth` must be a whole number"),
        ({"outputs": 0}, r"`outputs` must be a whole number"),
        ({"activation": "swish"}, r"`activation` must be one of relu, .* or a function, got 'swish'\."),
        ({"activation": lambda z: torch.softmax(z, -1)}, r"`activation` must act on each entry by itself"),
        ({"activation": lambda z: z.sum(-1)}, r"`activation` must act on each entry by itself"),
        ({"weight_variance": 0.0}, r"`weight_variance` must be positive"),
        ({"bias_variance": -1.0}, r"`bias_variance` must be zero or positive"),
        ({"parameterisation": "mup"}, r"`parameterisation` must be \"ntk\" or \"standard\", got 'mup'\."),
        ({"members": 0}, r"`members` must be a whole number of at least 1, got 0\."),
        ({"seed": -1}, r"`seed` must be a whole number of at least 0, got -1\."),
    ],
)
def test_what_a_network_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        MLP(3, **({"width": 4, "depth": 2} | options))


def test_what_its_methods_refuse():
    model, stack = MLP(3, width=4, depth=1), MLP(3, width=4, depth=1, members=2)
    for one, points in ((model, X[:, :2]), (model, X[None]), (stack, X[:, :2]), (stack, np.ones((3, 5, 3)))):
        with pytest.raises(ValueError, match=r"`X` must have shape \(n, 3\)"):
            predict(one, points)
    for one, e in ((model, 0), (stack, 2), (stack, -1)):
        with pytest.raises(ValueError, match=r"`e` must be the number of a member, from 0 below \d, got"):
            one.member(e)
    with pytest.raises(ValueError, match="`scale` must be positive"):
        Centred(model, scale=0.0)
    with pytest.raises(ValueError, match=r"`model` must have a method `fresh` to be drawn anew, got Linear\."):
        Centred(nn.Linear(3, 1)).fresh(1)


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_room_opens_without_torch_and_names_the_cure():
    assert run("import sys, empirical; assert not {'torch', 'sklearn', 'tqdm'} & set(sys.modules)").returncode == 0
    cure = r"ImportError: `empirical` needs torch, which is not installed: pip install 'kdtheory[empirical]'."
    for module in ("networks", "training", "ntk", "linear"):
        failed = run(f"import sys; sys.modules['torch'] = None; import empirical.{module}")
        assert cure in failed.stderr, module


def test_a_missing_progress_bar_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(empirical.progress_bar(range(2), False, "")) == [0, 1]
    with pytest.raises(
        ImportError, match=r"`empirical` needs tqdm, which is not installed: pip install 'kdtheory\[empirical\]'\."
    ):
        empirical.progress_bar(range(2), True, "")
