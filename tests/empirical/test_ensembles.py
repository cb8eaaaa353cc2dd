"""Networks trained as one batch are the networks trained one by one."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from empirical.convolutional import ConvNet, ResNet
from empirical.ensembles import fit, outputs, select
from empirical.losses import cross_entropy, squared
from empirical.minibatches import Minibatches
from empirical.networks import MLP, Centred
from empirical.recipe import Recipe
from empirical.stability import largest_rate

RNG = np.random.default_rng(0)
SLOW = Recipe(steps=30, batch=8, learning_rate=0.05)


def mlp(members, seed=0, **how):
    return MLP(5, 3, width=16, depth=2, members=members, seed=seed, dtype=torch.float64, **how)


def problem(n=24):
    return RNG.normal(size=(n, 5)), RNG.normal(size=(n, 3)), RNG.normal(size=(n, 3))


def by_hand(model, X, y, T, w, rows, seed, recipe):
    """One network, one optimiser, a loop: what a stack is compared with."""
    model = copy.deepcopy(model)
    stream = Minibatches([rows], [seed], recipe.batch)
    v = [torch.zeros_like(p) for p in model.parameters()]
    X, target = torch.tensor(X), torch.tensor((1 - w) * y + w * T)
    for step in range(recipe.steps):
        index = stream.next()[0]
        loss = ((model(X[index]) - target[index]) ** 2).sum(1).mean() / 2
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        rate = recipe.learning_rate * (1 + np.cos(np.pi * step / recipe.steps)) / 2
        with torch.no_grad():
            for p, velocity, g in zip(model.parameters(), v, gradients, strict=True):
                velocity.mul_(recipe.momentum).add_(g)
                p.sub_(rate * (g + recipe.momentum * velocity))
    return model


def test_a_stack_is_its_members_trained_by_hand():
    X, y, T = problem()
    model = mlp(3, seed=4)
    alone = [model.member(e) for e in range(3)]
    rows, weights, seeds = [np.arange(24), np.arange(0, 24, 2), np.arange(5)], [0.0, 0.7, 1.3], [0, 1, 1]
    fit(model, X, y, teacher=T, teacher_weights=weights, rows=rows, seeds=seeds, recipe=SLOW)
    for e in range(3):
        expected = by_hand(alone[e], X, y, T, weights[e], rows[e], seeds[e], SLOW)(torch.tensor(X))
        np.testing.assert_allclose(model(torch.tensor(X))[e].detach(), expected.detach(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("stack", [1, 2, 7])
def test_the_size_of_the_stack_changes_nothing(stack):
    X, y, T = problem()
    models = [mlp(7, seed=1) for _ in range(2)]
    for model, size in zip(models, (stack, 100), strict=True):
        fit(model, X, y, teacher=T, teacher_weights=np.linspace(0, 1, 7), seeds=np.arange(7), stack=size, recipe=SLOW)
    f, g = (model(torch.tensor(X)).detach() for model in models)
    np.testing.assert_allclose(f, g, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "make", [lambda E: ConvNet((1, 6, 6), 3, width=3, members=E), lambda E: ResNet((1, 6, 6), 3, depth=8, width=2, members=E)]
)
def test_images_too(make):
    X, y = RNG.normal(size=(20, 1, 6, 6)).astype(np.float32), RNG.integers(3, size=20)
    how = {"recipe": Recipe(steps=6, batch=8, loss="cross_entropy", learning_rate=0.05)}
    together, apart = make(3), [select(make(3), [e]) for e in range(3)]
    fit(together, X, y, seeds=[0, 1, 2], **how)
    for e, one in enumerate(apart):
        fit(one, X, y, seeds=e, **how)
        np.testing.assert_allclose(outputs(together, X)[e], outputs(one, X)[0], rtol=2e-3, atol=2e-4)


def test_batch_normalisation_is_pytorchs_own():
    net, X = (
        ResNet((2, 6, 6), 3, depth=8, width=2, members=2, dtype=torch.float64),
        torch.tensor(RNG.normal(size=(5, 2, 6, 6))),
    )
    norms = [torch.nn.BatchNorm2d(2, dtype=torch.float64) for _ in range(2)]
    h = net.first(net.images(X))
    expected = torch.cat([norm(h[:, 2 * e : 2 * e + 2]) for e, norm in enumerate(norms)], 1)
    torch.testing.assert_close(net.first_norm(h), expected)
    torch.testing.assert_close(net.first_norm.running_var[1], norms[1].running_var)


def test_students_of_one_seed_differ_by_their_weight_alone():
    X, y, T = problem()
    twins = select(mlp(1), [0, 0, 0])
    fit(twins, X, y, teacher=T, teacher_weights=[0.3, 0.3, 0.4], seeds=[5, 5, 5], recipe=SLOW)
    f = outputs(twins, X)
    assert (f[0] == f[1]).all()
    assert (f[0] != f[2]).any()


def test_equal_epochs_are_counted_in_own_rows():
    X, y, _ = problem(24)
    met = {0: np.zeros(24, int), 1: np.zeros(24, int)}

    def count(step, members, index, f):
        for e, rows in zip(members, index, strict=True):
            np.add.at(met[int(e)], rows, 1)

    recipe = Recipe(epochs=3, batch=4, learning_rate=0.01)
    done = fit(mlp(2), X, y, rows=[np.arange(24), np.arange(8)], recipe=recipe, on_batch=count)
    assert done.steps.tolist() == [18, 6]
    assert (met[0] == 3).all()
    assert (met[1] == np.repeat([3, 0], [8, 16])).all()


def test_a_linear_student_is_affine_in_its_weight():
    X, y, T = problem()
    line = select(MLP(5, 3, width=1, depth=0, members=1, dtype=torch.float64), [0] * 4)
    fit(line, X, y, teacher=T, teacher_weights=[0.0, 1.0, -0.5, 1.7], recipe=SLOW)
    f = line(torch.tensor(X)).detach()
    for e, w in ((2, -0.5), (3, 1.7)):
        torch.testing.assert_close(f[e], (1 - w) * f[0] + w * f[1])


def test_what_is_watched_is_the_network_of_that_step():
    X, y, _ = problem()
    seen = []
    model = mlp(3)
    start = outputs(model, X)
    fit(
        model,
        X,
        y,
        recipe=SLOW,
        at=(0, 30),
        stack=2,
        watch=lambda step, part, members: seen.append((step, members, outputs(part, X))),
    )
    for step, members, f in seen:
        np.testing.assert_allclose(f, (start if step == 0 else outputs(model, X))[members], rtol=1e-5, atol=1e-6)
    assert sorted(step for step, _, _ in seen) == [0, 0, 30, 30]


def test_the_losses_of_their_ends():
    f, T, y = (torch.tensor(a) for a in (RNG.normal(size=(2, 7, 4)), RNG.normal(size=(2, 7, 4)), RNG.integers(4, size=(2, 7))))
    ends = cross_entropy(f, y, T, torch.tensor([0.0, 1.0]), 3.0)
    hard = torch.nn.functional.cross_entropy(f[0], y[0])
    p, q = softmax(T[1].numpy() / 3, axis=-1), log_softmax(f[1].numpy() / 3, axis=-1)
    soft = 9 * np.mean(np.sum(p * (np.log(p) - q), axis=-1))
    assert ends[0] == cross_entropy(f, y, None, torch.zeros(2))[0]  # to the last bit
    assert ends[0] == pytest.approx(float(hard), rel=1e-12)
    assert ends[1] == pytest.approx(soft, rel=1e-12)
    near = cross_entropy(f, y, T, torch.tensor([1e-6, 1 - 1e-6]), 3.0)
    torch.testing.assert_close(near, ends, rtol=1e-5, atol=0, check_dtype=False)  # no jump by the temperature squared
    line = squared(f, T, f * 0, torch.ones(2))
    torch.testing.assert_close(line, f.square().sum(-1).mean(-1) / 2)


def test_the_limit_of_the_step_is_where_descent_diverges():
    X, y, _ = problem()
    model = MLP(5, 3, width=1, depth=0, members=1, dtype=torch.float64)
    limit = float(largest_rate(model, torch.tensor(X))[0])
    K = 2 / 5 * X @ X.T
    assert limit == pytest.approx(2 / np.linalg.eigvalsh(K / 24)[-1], rel=1e-6)
    how = {"steps": 2000, "batch": 24, "momentum": 0.0, "schedule": "constant"}
    fit(select(model, [0]), X, y, recipe=Recipe(learning_rate=0.98 * limit, **how))
    with pytest.raises(ArithmeticError, match=r"the limit 2/lambda_max .* is " + f"{limit:.3g}"):
        fit(select(model, [0]), X, y, recipe=Recipe(learning_rate=1.05 * limit, **how))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((24, 2))}, r"`labels` must have shape \(24, 3\)"),
        (
            {"teacher": np.zeros((24, 4)), "teacher_weights": 1.0},
            "`teacher` must have shape .* as many outputs as the student",
        ),
        ({"teacher_weights": 0.5}, "`teacher` must be given where `teacher_weights` are not zero"),
        ({"teacher_weights": [0.0, 0.0]}, r"`teacher_weights` must be one number or one per member, \(3,\)"),
        ({"rows": [[0], [1]]}, "`rows` must be one set of indices or 3, one per member, got 2"),
        ({"rows": [[0], [1], []]}, "`rows` must keep at least one row"),
        ({"rows": [[0], [1], [99]]}, "`rows` must hold indices between 0 and 23, got 99"),
        ({"seeds": [0, 1]}, "`seeds` must be a whole number or 3 of them"),
        ({"label_of": 1}, "`label_of` must be below 1"),
        (
            {"recipe": Recipe(steps=3, loss="cross_entropy")},
            "`labels` must hold the class of each of the 24 points as a whole number",
        ),
        (
            {"labels": np.full(24, 3), "recipe": Recipe(steps=3, loss="cross_entropy")},
            "`labels` must hold classes from 0 to 2, got 3",
        ),
        ({"model": MLP(5, 3, width=4, depth=1)}, "`model` must be a stack of networks"),
    ],
)
def test_bad_input_is_named(change, message):
    X, y, _ = problem()
    given = {"model": mlp(3), "labels": y, "recipe": SLOW} | change
    model, labels = given.pop("model"), given.pop("labels")
    with pytest.raises(ValueError, match=message):
        fit(model, X, labels, **given)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "`steps` or `epochs` must be given"),
        ({"steps": 3, "epochs": 1}, "`steps` or `epochs` must be given, and not both"),
        ({"steps": 3, "momentum": 1.0}, "`momentum` must be at least 0 and below 1"),
        ({"steps": 3, "loss": "mse"}, "`loss` must be one of squared, cross_entropy"),
        ({"steps": 3, "optimiser": "lamb"}, "`optimiser` must be one of sgd, adam"),
    ],
)
def test_bad_recipes_are_named(how, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**how)


def test_the_architectures_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="`depth` must be 6k"):
        ResNet((3, 32, 32), 10, depth=21)
    with pytest.raises(ValueError, match=r"`X` must have shape \(n, 1, 8, 8\)"):
        ConvNet((1, 8, 8), 10)(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="`members` must hold numbers from 0 to 1"):
        select(mlp(2), [2])


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (18, 11.17)])
def test_residual_networks_have_the_published_size(depth, millions):
    assert sum(p.numel() for p in ResNet((3, 32, 32), 10, depth=depth).parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_a_centred_stack_trains_as_its_members():
    X, y, T = problem()
    g = Centred(mlp(1))
    many = select(g, [0, 0])
    for model in (g, many):
        fit(model, X, y, teacher=T, teacher_weights=np.full(model.members, 0.5), recipe=SLOW)
    np.testing.assert_allclose(outputs(many, X)[1], outputs(g, X)[0], rtol=1e-5, atol=1e-7)


def test_compiled_and_lower_precision_run():
    X, y, _ = problem()
    f = []
    for how in ({}, {"precision": "bfloat16"}):
        model = MLP(5, 3, width=16, depth=2, members=2)
        fit(model, X, y, recipe=Recipe(steps=20, batch=8, learning_rate=0.05, **how))
        f.append(outputs(model, X))
    assert 0 < np.linalg.norm(f[1] - f[0]) < 0.1 * np.linalg.norm(f[0])


def test_a_weight_above_one_of_a_soft_teacher_is_no_explosion():
    """The cross-entropy is then negative for a network that does well."""
    X, y, T = RNG.normal(size=(40, 5)), RNG.integers(2, size=40), 0.1 * RNG.normal(size=(40, 2))
    model = MLP(5, 2, width=16, depth=1, members=1)
    how = {"steps": 120, "batch": 20, "learning_rate": 0.01, "loss": "cross_entropy", "optimiser": "adam"}
    done = fit(model, X, y, teacher=T, teacher_weights=1.25, recipe=Recipe(**how))
    assert done.losses[0] < 0


def test_streams_of_a_seed_do_not_meet():
    """Flipped labels, random scores and random orders of one seed are independent."""
    from empirical.label_noise import flip
    from empirical.scores import random
    from kdtheory.kept import random_orders

    n, shares = 400, []
    for seed in (0, 1):
        flipped = flip(np.zeros(n, int), 10, rate=0.2, seed=seed) != 0
        for order in (np.argsort(random(n, seed=seed)), random_orders(n, 1, seed)[0]):
            shares.append([flipped[order[:80]].sum(), flipped[order[-80:]].sum()])
    assert np.abs(np.array(shares) - 16).max() < 4 * np.sqrt(80 * 0.16)  # of 80 rows a fifth
