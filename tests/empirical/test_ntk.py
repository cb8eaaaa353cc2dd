"""The empirical tangent kernel by four routes, its limit, how it moves, and networks that are linear in their parameters."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import kdtheory as kd
from empirical.linear import jacobian, linearize
from empirical.networks import ACTIVATIONS, MLP, Centred, predict, tensor_for
from empirical.ntk import alignment, drift, empirical_ntk, relative_change
from empirical.training import train

torch.set_num_threads(1)

RNG = np.random.default_rng(0)
X, Z = RNG.normal(size=(7, 3)), RNG.normal(size=(4, 3))
SMALL = {"width": [6, 5], "depth": 2, "bias_variance": 0.3, "weight_variance": 1.7, "dtype": torch.float64}
HOW = {
    "standard": {"parameterisation": "standard"},
    "no_bias": {"bias_variance": 0.0},
    "linear_model": {"width": 1, "depth": 0},
}
HOW |= {name: {"activation": name} for name in ACTIVATIONS} | {"softplus": {"activation": nn.functional.softplus}}


def sequential(*, seed=0):
    """Two activations in a row, one that works in place, and one after the last layer."""
    torch.manual_seed(seed)
    body = nn.Linear(3, 6), nn.Tanh(), nn.LeakyReLU(0.2), nn.Linear(6, 5, bias=False), nn.ReLU(inplace=True), nn.Linear(5, 2)
    return nn.Sequential(*body, nn.Sigmoid()).double()


MODELS = {name: (lambda how=how: MLP(3, 2, **(SMALL | how))) for name, how in HOW.items()}
MODELS |= {"sequential": sequential, "centred": lambda: Centred(MLP(3, 2, **SMALL), 3.0)}


def gradients(model, points):
    """One gradient after the other: (n, p, parameters)."""
    theta = [t for t in model.parameters() if t.requires_grad]
    f = model(tensor_for(model, points, "points"))
    rows = [torch.autograd.grad(f[i, o], theta, retain_graph=True) for i in range(len(f)) for o in range(f.shape[1])]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows]).reshape(*f.shape, -1).numpy()


def differences(model, points, step=1e-5):
    """Central differences by each parameter: (n, p, parameters)."""
    columns = []
    for theta in model.parameters():
        flat = theta.data.view(-1)
        for k in range(len(flat) if theta.requires_grad else 0):
            flat[k] += step
            above = predict(model, points)
            flat[k] -= 2 * step
            columns.append((above - predict(model, points)) / (2 * step))
            flat[k] += step
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("name", MODELS)
def test_four_routes_to_one_kernel(name):
    model = MODELS[name]()
    expected = np.einsum("iop,jqp->ijoq", gradients(model, Z), gradients(model, X))
    by_differences = np.einsum("iop,jqp->ijoq", differences(model, Z), differences(model, X))
    np.testing.assert_allclose(by_differences, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())
    for method in ("layers", "jacobian", "auto"):
        K = empirical_ntk(model, Z, X, method=method)
        np.testing.assert_allclose(K, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())
        diagonal = np.einsum("ijoo->oij", expected)
        per_output = empirical_ntk(model, Z, X, method=method, output="per_output")
        np.testing.assert_allclose(per_output, diagonal, rtol=1e-10, atol=1e-12 * np.abs(expected).max())
        traced = empirical_ntk(model, Z, X, method=method, output="traced")
        np.testing.assert_allclose(traced, diagonal.mean(axis=0), rtol=1e-10, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["relu", "standard", "sequential", "centred"])
@pytest.mark.parametrize("kept", [[0], [1], [2, 3], [-1]])
def test_frozen_parameters_are_left_out(name, kept):
    model = MODELS[name]()
    theta = [t for t in model.parameters() if t.requires_grad]
    for t in theta:
        t.requires_grad_(False)
    for k in kept:
        theta[k].requires_grad_(True)
    expected = np.einsum("iop,jqp->ijoq", gradients(model, X), gradients(model, X))
    for method in ("layers", "jacobian"):
        np.testing.assert_allclose(empirical_ntk(model, X, method=method), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("method", ["layers", "jacobian"])
@pytest.mark.parametrize("output", ["full", "per_output", "traced"])
def test_blocks_and_symmetry_change_nothing(method, output):
    model = MODELS["relu"]()
    whole, cross = (
        empirical_ntk(model, X, output=output, method=method),
        empirical_ntk(model, Z, X, output=output, method=method),
    )
    transposed = whole.transpose(1, 0, 3, 2) if output == "full" else np.swapaxes(whole, -2, -1)
    assert (whole == transposed).all()
    assert (whole == empirical_ntk(model, X, output=output, method=method, device="cpu")).all()
    assert whole.dtype == np.float64
    for block in (1, 3, 7):
        how = {"output": output, "method": method, "block": block}
        np.testing.assert_allclose(empirical_ntk(model, X, **how), whole, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(empirical_ntk(model, X, X, **how), whole, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(empirical_ntk(model, Z, X, **how), cross, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("method", ["layers", "jacobian"])
@pytest.mark.parametrize("output", ["full", "per_output", "traced"])
@pytest.mark.parametrize("around", [lambda model: model, lambda model: Centred(model, 2.0)])
def test_a_stack_has_the_kernels_of_its_members(method, output, around):
    stack, own = MLP(3, 2, members=3, **SMALL), RNG.normal(size=(3, 5, 3))
    how = {"output": output, "method": method, "block": 3}
    got, with_own = empirical_ntk(around(stack), Z, X, **how), empirical_ntk(around(stack), own, X, **how)
    for e in range(3):
        alone = around(stack.member(e))
        np.testing.assert_allclose(got[e], empirical_ntk(alone, Z, X, **how), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(with_own[e], empirical_ntk(alone, own[e], X, **how), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_mean_over_networks_is_the_limit(activation):
    """200 networks of width 256: within 5 standard errors and the correction of order 1/width."""
    how = {"depth": 2, "activation": activation, "weight_variance": 1.7, "bias_variance": 0.3}
    K = empirical_ntk(MLP(3, 2, width=256, members=200, **how), X, output="traced")
    limit, error = kd.kernels.ntk(X, **how), K.std(axis=0) / np.sqrt(len(K))
    assert (np.abs(K.mean(axis=0) - limit) < 5 * error + 0.02 * np.abs(limit).max()).all()
    wide = empirical_ntk(MLP(3, 2, width=1024, members=20, **how), X)
    between = wide[..., 0, 1]  # different outputs have nothing in common in the limit
    assert np.abs(between).max() < 0.3 * limit.max()
    assert np.abs(between.mean(axis=0)).max() < 0.1 * limit.max()


def test_single_precision_loses_no_more_than_its_own_rounding():
    model = MLP(3, 2, **(SMALL | {"dtype": torch.float32}))
    twin = MLP(3, 2, **SMALL)
    twin.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
    points = X.astype(np.float32)
    np.testing.assert_allclose(empirical_ntk(model, points), empirical_ntk(twin, points), rtol=1e-13, atol=1e-14)
    assert (
        relative_change(
            empirical_ntk(model, points, output="traced", method="jacobian"), empirical_ntk(twin, points, output="traced")
        )
        < 1e-6
    )


class Pooled(nn.Module):
    """A convolution: no chain of layers that the formula knows."""

    def __init__(self):
        super().__init__()
        self.filters, self.norm, self.readout = nn.Conv1d(1, 4, 2), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x):
        return self.readout(self.norm(self.filters(x[:, None])).relu().mean(-1))


def test_any_module_by_its_jacobian():
    torch.manual_seed(0)
    model = Pooled().double()
    model(tensor_for(model, X, "X"))  # running statistics
    with pytest.raises(
        ValueError, match=r"`model` must give each point an output of its own, got a BatchNorm1d in training mode"
    ):
        empirical_ntk(model, X)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    G = gradients(model.eval(), X)
    np.testing.assert_allclose(empirical_ntk(model, X), np.einsum("iop,jqp->ijoq", G, G), rtol=1e-10, atol=1e-13)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    tied = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    tied[2].weight = tied[0].weight
    G = gradients(tied, X)
    np.testing.assert_allclose(empirical_ntk(tied, X), np.einsum("iop,jqp->ijoq", G, G), rtol=1e-10, atol=1e-13)
    assert jacobian(tied, tensor_for(tied, X, "X"))[0].shape == (3, 7, 9)


def test_what_the_kernel_refuses():
    model = MLP(3, 2, **SMALL)
    layer = nn.Linear(3, 3)
    for other in (
        Pooled().eval(),
        nn.Sequential(layer, layer),
        nn.Sequential(nn.Tanh(), layer),
        nn.Sequential(layer, nn.Softmax(1)),
    ):
        with pytest.raises(ValueError, match=r"`model` must be an MLP, or a Sequential of Linear and elementwise activations"):
            empirical_ntk(other, X, method="layers")
    with pytest.raises(ValueError, match=r"got a Dropout in training mode"):
        empirical_ntk(nn.Sequential(layer, nn.Dropout()), X)
    with pytest.raises(ValueError, match=r"`output` must be \"full\", \"per_output\" or \"traced\", got 'all'\."):
        empirical_ntk(model, X, output="all")
    with pytest.raises(ValueError, match=r"`method` must be \"auto\", \"layers\" or \"jacobian\", got 'fast'\."):
        empirical_ntk(model, X, method="fast")
    with pytest.raises(ValueError, match=r"`block` must be a whole number of at least 1, got 0\."):
        empirical_ntk(model, X, block=0)
    with pytest.raises(ValueError, match=r"`model` must have outputs \(n, p\), got shape \(1,\)\."):
        empirical_ntk(Flat(), X)
    with pytest.raises(ValueError, match=r"`model` must have a parameter with requires_grad, got none\."):
        empirical_ntk(model.requires_grad_(False), X)


class Flat(nn.Linear):
    def __init__(self):
        super().__init__(3, 1)

    def forward(self, x):
        return super().forward(x)[:, 0]


def test_alignment_and_change_are_their_definitions():
    A, B = (M @ M.T for M in RNG.normal(size=(2, 6, 4)))
    y, H = RNG.normal(size=6), np.eye(6) - 1 / 6
    cosine = lambda P, Q: np.trace(P @ Q.T) / np.sqrt(np.trace(P @ P.T) * np.trace(Q @ Q.T))
    assert abs(alignment(A, B) - cosine(A, B)) < 1e-14
    assert abs(alignment(A, B, centred=True) - cosine(H @ A @ H, H @ B @ H)) < 1e-14
    assert abs(alignment(A, np.outer(y, y)) - kd.Spectrum.from_gram(A).alignment(y)) < 1e-13
    assert abs(relative_change(A, B) - np.sqrt(np.sum((A - B) ** 2) / np.sum(B**2))) < 1e-14
    np.testing.assert_allclose(alignment([A, B], A), [1.0, alignment(A, B)])
    np.testing.assert_allclose(relative_change([2 * A, A], A), [1.0, 0.0])
    with pytest.raises(ValueError, match=r"`K_0` must be a matrix of the shape of `K`, \(6, 6\), got \(6,\)\."):
        relative_change(A, y)
    with pytest.raises(ValueError, match="`K_0` must not be zero"):
        relative_change(A, 0 * A)
    with pytest.raises(ValueError, match="`K` and `K_other` must not be zero after centring"):
        alignment(A, np.ones((6, 6)), centred=True)


def test_wide_networks_keep_their_kernel_and_narrow_ones_do_not():
    points, y = RNG.normal(size=(20, 3)), RNG.normal(size=20)
    how = {"record": [0, 20, 60], "steps": 60, "learning_rate": 0.02}
    tables = {m: drift(MLP(3, width=m, depth=2, members=6), points, y, **how) for m in (16, 1024)}
    narrow, wide = tables[16], tables[1024]
    for table in tables.values():
        assert table.steps.tolist() == [0, 20, 60]
        assert table.losses.shape == table.relative_change.shape == (3, 6)
        assert (table.relative_change[0] == 0).all()
        np.testing.assert_allclose(table.alignment_with_start[0], 1.0)
        assert (table.losses[2] < table.losses[1]).all()
    assert (wide.relative_change[2] < 0.1).all()
    assert narrow.relative_change[2].mean() > 4 * wide.relative_change[2].mean()
    assert (wide.alignment_with_start > 0.99).all()
    model = MLP(3, width=1024, depth=2, members=6)
    train(model, points, y, steps=20, learning_rate=0.02)
    K = empirical_ntk(model, points, output="traced")
    np.testing.assert_allclose(
        wide.alignment_with_targets[1], alignment(K, np.broadcast_to(np.outer(y, y), K.shape)), rtol=1e-6
    )
    # features are learnt where the kernel turns to the targets
    assert np.mean(narrow.alignment_with_targets[2] - narrow.alignment_with_targets[0]) > 0


@pytest.mark.parametrize("name", ["erf", "relu", "sequential", "centred", "stack"])
def test_a_linearised_network_is_affine_with_one_kernel(name):
    model = MLP(3, 2, members=2, **SMALL) if name == "stack" else MODELS[name]()
    line, f_0 = linearize(model), predict(model, X)
    assert [(n, t.requires_grad) for n, t in line.named_parameters()] == [
        (n, t.requires_grad) for n, t in model.named_parameters()
    ]
    np.testing.assert_allclose(predict(line, X), f_0, rtol=1e-14)
    K = empirical_ntk(model, X)
    np.testing.assert_allclose(empirical_ntk(line, X), K, rtol=1e-10, atol=1e-12)
    direction = [torch.tensor(RNG.normal(size=t.shape)) for t in line.parameters() if t.requires_grad]
    values = []
    for size, other in itertools.product((1e-6, 1.0, 2.0), (model, line)):  # the model's own derivative, then any distance
        theta = [t for t in other.parameters() if t.requires_grad]
        with torch.no_grad():
            for t, d in zip(theta, direction, strict=True):
                t.add_(size * d)
            values.append((predict(other, X) - f_0) / size)
            for t, d in zip(theta, direction, strict=True):
                t.sub_(size * d)
    np.testing.assert_allclose(values[1], values[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(values[3], values[1], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(values[5], values[3], rtol=1e-11, atol=1e-12)
    with torch.no_grad():
        for other in (model, line):  # the line stays where it was drawn, wherever the model goes
            for t, d in zip([t for t in other.parameters() if t.requires_grad], direction, strict=True):
                t.add_(d)
    np.testing.assert_allclose(predict(line, X), f_0 + values[3], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(empirical_ntk(line, X), K, rtol=1e-10, atol=1e-12)
    assert predict(line.float(), X).dtype == np.float64  # the point of expansion moves too
