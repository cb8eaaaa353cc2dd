"""GraNd in closed form against the gradient of one point at a time: vmap(grad), autograd, and finite differences."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from empirical.convolutional import ConvNet, ResNet
from empirical.gradient_norms import grand
from empirical.losses import LOSSES
from empirical.networks import MLP, Centred

torch.set_num_threads(1)
RNG = np.random.default_rng(0)
N, P = 7, 3
FLAT, IMAGES = RNG.normal(size=(N, 5)), RNG.normal(size=(N, 2, 6, 7))
CLASSES, CODED = RNG.integers(P, size=N), RNG.normal(size=(N, P))
DOUBLE = {"dtype": torch.float64}


def mlp(**how):
    return MLP(5, P, **({"width": [6, 4], "depth": 2, "bias_variance": 0.3, "weight_variance": 1.7} | DOUBLE | how))


def moved(model, *, seed=1):
    """Biases, scales and running statistics away from where they start."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for theta in model.parameters():
            theta.add_(0.3 * torch.randn_like(theta))
        for name, buffer in model.named_buffers():
            buffer.add_(0.5 * torch.rand_like(buffer) if name.endswith("var") else 0.3 * torch.randn_like(buffer))
    return model


def sequential():
    body = nn.Linear(5, 6), nn.ReLU(inplace=True), nn.Linear(6, 4, bias=False), nn.Tanh(), nn.Linear(4, P)
    return nn.Sequential(*body).double()


def frozen(model, *names):
    for name, theta in model.named_parameters():
        theta.requires_grad_(not name.startswith(names))
    return model


MODELS = {
    "mlp_ntk": mlp,
    "mlp_standard": lambda: mlp(parameterisation="standard"),
    "mlp_without_bias": lambda: mlp(bias_variance=0.0),
    "mlp_erf": lambda: mlp(activation="erf"),
    "linear": lambda: mlp(width=1, depth=0),
    "stack": lambda: mlp(members=3),
    "stack_standard": lambda: mlp(members=3, parameterisation="standard"),
    "first_layer_frozen": lambda: frozen(mlp(members=2), "weights.0", "biases.0"),
    "centred": lambda: Centred(mlp(members=2), 3.0),
    "sequential": sequential,
    "convnet": lambda: moved(ConvNet((2, 6, 7), P, width=3, depth=2, **DOUBLE)),
    "convnet_stack": lambda: moved(ConvNet((2, 6, 7), P, width=3, depth=3, members=3, **DOUBLE)),
    "resnet": lambda: moved(ResNet((2, 6, 7), P, depth=8, width=3, **DOUBLE)),
    "resnet_narrow": lambda: moved(ResNet((2, 6, 7), P, depth=8, width=1, **DOUBLE)),
    "resnet_stack": lambda: moved(ResNet((2, 6, 7), P, depth=8, width=3, members=2, **DOUBLE)),
    "resnet_projected": lambda: moved(ResNet((2, 6, 7), P, depth=18, width=2, members=2, **DOUBLE)),
    "resnet_partly_frozen": lambda: frozen(moved(ResNet((2, 6, 7), P, depth=8, width=3, **DOUBLE)), "first", "blocks.1"),
}
LABELS = {"cross_entropy": CLASSES, "squared": CODED}


def points(model):
    return IMAGES if isinstance(model, (ConvNet, ResNet)) else FLAT


def loss_of_one(model, X, y, loss):
    """The loss of points alone, summed over members: a parameter of one member moves the loss of that member only."""
    f = model(X)
    f = f if f.ndim == 3 else f[None]
    return LOSSES[loss](f, y.expand(len(f), *y.shape), None, torch.zeros(len(f)), 1.0).sum()


def brute_force(model, X, y, loss):
    """One gradient per point: ([E,] n)."""
    model.eval()
    E = getattr(model, "members", None)
    theta = {name: t.detach() for name, t in model.named_parameters() if t.requires_grad}

    def one(theta, x, label):
        return loss_of_one(lambda X: functional_call(model, theta, (X,)), x[None], label[None], loss)

    each = vmap(grad(one), (None, 0, 0))(theta, torch.tensor(X), torch.tensor(y))
    squares = [g.reshape(len(X), E or 1, -1).square().sum(-1).T for g in each.values()]
    norms = sum(squares).sqrt().numpy()
    return norms if E else norms[0]


@pytest.mark.parametrize("loss", LABELS)
@pytest.mark.parametrize("name", MODELS)
def test_closed_form_is_the_gradient_of_each_point(name, loss):
    model, y = MODELS[name](), LABELS[loss]
    ours = grand(model, points(model), y, loss=loss)
    np.testing.assert_allclose(ours, brute_force(model, points(model), y, loss), rtol=1e-11)


@pytest.mark.parametrize("name", ["mlp_ntk", "convnet", "resnet_narrow"])
def test_closed_form_is_what_finite_differences_give(name):
    model, step = MODELS[name]().eval(), 1e-6
    X, y = torch.tensor(points(model)), torch.tensor(CLASSES)
    squares = np.zeros(N)

    def losses():
        return nn.functional.cross_entropy(model(X), y, reduction="none").numpy()

    with torch.no_grad():
        for theta in model.parameters():
            flat = theta.view(-1)
            for k in range(len(flat)):
                flat[k] += step
                above = losses()
                flat[k] -= 2 * step
                squares += ((above - losses()) / (2 * step)) ** 2
                flat[k] += step
    np.testing.assert_allclose(grand(model, points(model), CLASSES), np.sqrt(squares), rtol=1e-5)


@pytest.mark.parametrize("name", ["mlp_ntk", "stack", "convnet_stack", "resnet_stack"])
@pytest.mark.parametrize("block", [1, 2, 3, 7, 100])
def test_no_score_depends_on_the_batch(name, block):
    model = MODELS[name]()
    whole = grand(model, points(model), CLASSES)
    np.testing.assert_allclose(grand(model, points(model), CLASSES, block=block), whole, rtol=1e-12)


@pytest.mark.parametrize("name", ["stack", "convnet_stack", "resnet_stack"])
def test_points_in_another_order_have_the_same_scores(name):
    model, order = MODELS[name](), RNG.permutation(N)
    there = grand(model, points(model)[order], CLASSES[order], block=4)
    np.testing.assert_allclose(there, grand(model, points(model), CLASSES)[..., order], rtol=1e-12)


def test_a_member_scores_as_it_does_alone():
    stack = mlp(members=3)
    np.testing.assert_allclose(grand(stack, FLAT, CLASSES)[2], grand(stack.member(2), FLAT, CLASSES), rtol=1e-12)


@pytest.mark.parametrize("size", [(2, 3, 3), (2, 12, 12)], ids=["few_places", "many_places"])
def test_both_ways_round_a_convolution(size):
    """With few places the Gram matrices of places are smaller than the gradient, with many it is the other way round."""
    model, X = ConvNet(size, P, width=4, depth=2, members=2, **DOUBLE), RNG.normal(size=(4, *size))
    y = CLASSES[:4]
    np.testing.assert_allclose(grand(model, X, y), brute_force(model, X, y, "cross_entropy"), rtol=1e-11)


def test_in_single_precision_to_its_rounding():
    single, double = (mlp(dtype=dtype, members=2) for dtype in (torch.float32, torch.float64))
    ours = grand(single, FLAT, CLASSES)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, grand(double, FLAT, CLASSES), rtol=1e-5)


def test_scores_are_those_of_eval_mode_and_the_model_comes_back_as_it_was():
    model = MODELS["resnet_stack"]().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    in_training = grand(model, IMAGES, CLASSES)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(theta.grad is None for theta in model.parameters())
    np.testing.assert_array_equal(in_training, grand(model.eval(), IMAGES, CLASSES))
    assert not model.training


def test_inside_a_block_without_gradients():
    with torch.no_grad():
        assert (grand(mlp(), FLAT, CLASSES) > 0).all()


def test_the_hard_points_are_kept():
    """A label that is wrong has the larger gradient."""
    model, X = mlp(), np.repeat(FLAT[:1], 2, axis=0)
    best, worst = (int(pick(model(torch.tensor(FLAT[:1]))[0])) for pick in (torch.argmax, torch.argmin))
    right, wrong = grand(model, X, [best, worst])
    assert wrong > right


def test_what_is_refused():
    with pytest.raises(ValueError, match="`loss` must be one of squared, cross_entropy, got 'hinge'"):
        grand(mlp(), FLAT, CLASSES, loss="hinge")
    with pytest.raises(ValueError, match="`block` must be a whole number of at least 1, got 0"):
        grand(mlp(), FLAT, CLASSES, block=0)
    with pytest.raises(ValueError, match="`labels` must hold classes from 0 to 2, got 3"):
        grand(mlp(), FLAT, [3] * N)
    with pytest.raises(ValueError, match=r"`labels` must have shape \(7, 3\)"):
        grand(mlp(), FLAT, CODED[:, :2], loss="squared")
    with pytest.raises(ValueError, match="requires_grad"):
        grand(frozen(mlp(), "weights", "biases"), FLAT, CLASSES)
    foreign = nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(6, P)).double()
    with pytest.raises(ValueError, match=r"`model` must be a network of affine layers.* got a Sequential with '1.weight'"):
        grand(foreign, FLAT, CLASSES)
    twice = ConvNet((2, 2, 2), P, width=2, depth=1, **DOUBLE)
    twice.convolutions.append(twice.convolutions[0])
    with pytest.raises(ValueError, match="`model` must use each layer once"):
        grand(twice, IMAGES[:, :, :2, :2], CLASSES)
