"""Training: the loop against closed forms and another optimiser, and trained networks against kernel regression."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm

import kdtheory as kd
from empirical.linear import linearize
from empirical.networks import MLP, Centred, predict
from empirical.ntk import empirical_ntk
from empirical.training import self_distil, stable_step, train
from kdtheory.problem import digits

torch.set_num_threads(1)

RNG = np.random.default_rng(0)
X, Y, Z = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 2)), RNG.normal(size=(5, 3))
SMALL = {"width": 6, "depth": 2, "bias_variance": 0.2, "dtype": torch.float64}


def relative(got, expected):
    return np.linalg.norm(got - expected, axis=(-2, -1)) / np.linalg.norm(expected, axis=(-2, -1))


def images(n, new=300):
    """Digits centred by the training mean, rows of norm sqrt(features); one-hot labels minus their mean."""
    points, labels = digits()
    order = np.random.default_rng(0).permutation(len(points))[: n + new]
    points = points[order] - points[order[:n]].mean(axis=0)
    points *= 8 / np.linalg.norm(points, axis=1, keepdims=True)
    return points[:n], labels[order[:n]] - 0.1, points[n:]


def flat(K):
    """Kernel (m, n, p, p) between all outputs of all points, as one matrix."""
    m, n, p, _ = K.shape
    return K.transpose(0, 2, 1, 3).reshape(m * p, n * p)


@pytest.mark.parametrize("ridge", [0.0, 3.0])
def test_gradient_descent_on_a_linear_model_is_a_filter(ridge):
    r"""f_k = f_0 + K (K + ridge)^{-1} (1 - (1 - eta (K + ridge))^k) (y - f_0)."""
    model, eta, k = MLP(3, 2, width=1, depth=0, dtype=torch.float64), 0.02, 17
    f_0, K = predict(model, X), empirical_ntk(model, X, output="traced")
    run = train(model, X, Y, steps=k, learning_rate=eta, ridge=ridge, record=[0, 5, k])
    d, U = np.linalg.eigh(K)
    for steps, predictions in zip(run.steps, run.predictions, strict=True):
        share = np.where(d > 1e-12, d / (d + ridge + 1e-300), 0.0) * (1 - (1 - eta * (d + ridge)) ** steps)
        np.testing.assert_allclose(predictions, f_0 + U @ (share[:, None] * (U.T @ (Y - f_0))), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(run.predictions[-1], predict(model, X))


class TwoBiases(torch.nn.Module):
    """Autograd hands out one and the same tensor as the gradient of both."""

    def __init__(self):
        super().__init__()
        self.one, self.two = (torch.nn.Parameter(torch.full((12, 2), b, dtype=torch.float64)) for b in (0.1, 0.2))

    def forward(self, x):
        return (self.one + self.two)[: len(x)]


@pytest.mark.parametrize("model", [lambda: MLP(3, 2, **SMALL), TwoBiases])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_the_loop_is_that_of_another_optimiser(momentum, model):
    ours, theirs = model(), model()
    run = train(
        ours, X, Y, steps=30, learning_rate=0.01, ridge=0.7, momentum=momentum, loss_scale=0.5, record=[0, 30], points=Z
    )
    theta, theta_0 = list(theirs.parameters()), [t.detach().clone() for t in theirs.parameters()]
    optimiser = torch.optim.SGD(theta, lr=0.01, momentum=momentum, nesterov=momentum > 0)

    def objective():
        penalty = sum(((t - start) ** 2).sum() for t, start in zip(theta, theta_0, strict=True))
        return 0.25 * ((theirs(torch.tensor(X)) - torch.tensor(Y)) ** 2).sum() + 0.35 * penalty

    losses = [objective().item()]
    for _ in range(30):
        optimiser.zero_grad()
        objective().backward()
        optimiser.step()
    np.testing.assert_allclose(run.losses, [*losses, objective().item()], rtol=1e-12)
    np.testing.assert_allclose(run.predictions[1], predict(theirs, Z), rtol=1e-11)


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_members_do_not_influence_each_other(momentum):
    how = {"steps": 40, "learning_rate": 0.01, "momentum": momentum, "ridge": 0.3, "record": [0, 20, 40]}
    targets = RNG.normal(size=(3, 12, 2))
    stack = MLP(3, 2, members=3, **SMALL)
    alone = [train(stack.member(e), X, targets[e], **how) for e in range(3)]
    together = train(stack, X, targets, **how)
    for e, run in enumerate(alone):
        np.testing.assert_allclose(together.losses[:, e], run.losses, rtol=1e-12)
        np.testing.assert_allclose(together.predictions[:, e], run.predictions, rtol=1e-11, atol=1e-12)
    targets[2] *= -5
    again = train(MLP(3, 2, members=3, **SMALL), X, targets, **how)
    assert (again.predictions[:, :2] == together.predictions[:, :2]).all()  # to the last bit, and the same every time
    assert not np.allclose(again.predictions[1:, 2], together.predictions[1:, 2])
    shared = train(MLP(3, 2, members=3, **SMALL), X, Y, **how)
    assert shared.losses.shape == (3, 3)
    assert shared.predictions.shape == (3, 3, 12, 2)


def test_the_stable_step_reaches_kernel_ridge_regression_in_its_number_of_steps():
    line = Centred(MLP(3, 2, width=1, depth=0, dtype=torch.float64))
    K = kd.kernels.ntk(X, depth=0)
    expected = kd.Spectrum.from_gram(K).fit(kd.Ridge(0.5), Y)
    for tolerance in (1e-2, 1e-4, 1e-8):
        step = stable_step(K, ridge=0.5, tolerance=tolerance)
        assert 1 / step.learning_rate == pytest.approx(1.15 * np.linalg.eigvalsh(K)[-1] + 0.5)
        run = train(line.fresh(0), X, Y, ridge=0.5, **step._asdict())
        assert relative(run.predictions[-1], expected) < 3 * tolerance
    assert stable_step(np.stack([K / 2, K]), ridge=0.5) == stable_step(K, ridge=0.5)


def test_what_is_recorded_and_watched():
    model, seen = MLP(3, 1, **SMALL), []
    look = lambda k: seen.append((k, predict(model, Z)))
    run = train(model, X, Y[:, 0], steps=6, learning_rate=0.01, record=np.array([4, 0, 6]), points=Z, watch=look)
    assert run.steps.tolist() == [k for k, _ in seen] == [0, 4, 6]
    np.testing.assert_allclose(run.predictions, [f for _, f in seen], rtol=1e-13)
    assert run.predictions.shape == (3, 5, 1)
    assert run.losses.shape == (3,)
    assert (np.diff(run.losses) < 0).all()


def test_a_bar_is_shown_when_asked_for(capsys):
    train(MLP(3, **SMALL), X, Y[:, 0], steps=2, learning_rate=0.01)
    assert capsys.readouterr().err == ""
    train(MLP(3, **SMALL), X, Y[:, 0], steps=2, learning_rate=0.01, progress=True)
    assert "training" in capsys.readouterr().err


@pytest.mark.parametrize(("rate", "steps"), [(0.5, 3), (0.5, 400), (1e30, 60)])
@pytest.mark.parametrize("members", [None, 2])
def test_a_step_that_is_too_large_is_refused(rate, steps, members):
    refused = pytest.raises(
        ArithmeticError, match=r"The loss rose from .* to .* within \d+ steps at `learning_rate`=.*: take a"
    )
    with refused:
        train(MLP(3, 2, members=members, **SMALL), X, Y, steps=steps, learning_rate=rate)
    line, eta = MLP(3, 2, width=1, depth=0, members=members), 2.2 / np.linalg.eigvalsh(kd.kernels.ntk(X, depth=0))[-1]
    with refused:  # one step that overshoots to 1.2 times the distance
        train(line, X, X[:, :2] * [1.0, 0.0], steps=1, learning_rate=eta)


def test_rounding_at_the_optimum_is_no_divergence():
    model = MLP(3, 2, width=1, depth=0)
    for steps in (400, *[1] * 30):
        run = train(model, X, X[:, :2], steps=steps, learning_rate=0.05)
    np.testing.assert_allclose(run.predictions[-1], X[:, :2], rtol=1e-4, atol=1e-6)
    train(Centred(MLP(3, 2, **SMALL)), X, 0 * Y, steps=5, learning_rate=0.01, ridge=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, r"`steps` must be a whole number"),
        ({"learning_rate": 0.0}, r"`learning_rate` must be positive"),
        ({"ridge": -1.0}, r"`ridge` must be zero or positive"),
        ({"loss_scale": 0.0}, r"`loss_scale` must be positive"),
        ({"momentum": 1.0}, r"`momentum` must be at least 0 and below 1, got 1\.0\."),
        ({"record": [0, 4]}, r"`record` must hold numbers from 0 to `steps`=3, got \[0, 4\]\."),
        ({"record": []}, r"`record` must hold numbers"),
        ({"targets": Y[:, :1]}, r"`targets` must have the shape of the outputs, \(12, 2\), got \(12, 1\)\."),
        ({"targets": Y[None]}, r"`targets` must have the shape of the outputs"),
        ({"targets": Y * np.nan}, r"`targets` must be finite"),
        ({"X": X[:, :2]}, r"`X` must have shape \(n, 3\)"),
        ({"model": MLP(3, 2, **SMALL).requires_grad_(False)}, r"`model` must have a parameter with requires_grad"),
    ],
)
def test_what_training_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        train(**({"model": MLP(3, 2, **SMALL), "X": X, "targets": Y, "steps": 3, "learning_rate": 0.01} | options))


def test_what_the_helpers_refuse():
    with pytest.raises(ValueError, match=r"`ridge` must be positive"):
        stable_step(np.eye(3), ridge=0.0)
    with pytest.raises(ValueError, match=r"`gram` must be square, got shape \(2, 3\)\."):
        stable_step(np.ones((2, 3)), ridge=1.0)
    with pytest.raises(ValueError, match=r"`tolerance` must lie strictly between 0 and 1, got 1\.0\."):
        stable_step(np.eye(3), ridge=1.0, tolerance=1.0)
    how = {"teacher_weights": [0.5], "steps": 1, "learning_rate": 0.01}
    with pytest.raises(ValueError, match=r"`start` must be \"same\" or \"fresh\", got 'new'\."):
        self_distil(MLP(3, 2, **SMALL), X, Y, start="new", **how)
    with pytest.raises(ValueError, match=r"`start`=\"fresh\" needs a `model` with a method `fresh`, got Linear\."):
        self_distil(torch.nn.Linear(3, 2), X, Y, start="fresh", **how)


@pytest.mark.parametrize("start", ["same", "fresh"])
@pytest.mark.parametrize("members", [None, 2])
def test_the_chain_is_training_by_hand(start, members):
    model, weights = MLP(3, 2, members=members, **SMALL), [0.7, -0.4, 1.3]
    before, how = predict(model, Z), {"steps": 20, "learning_rate": 0.01, "ridge": 0.1, "momentum": 0.5}
    fitted, new = self_distil(model, X, Y, teacher_weights=weights, points=Z, start=start, **how)
    assert (predict(model, Z) == before).all()
    targets = Y
    for s, w in enumerate([*weights, 0.0]):
        student = model.fresh(s if start == "fresh" else 0)
        f = train(student, X, targets, **how).predictions[-1]
        np.testing.assert_allclose(fitted[s], f, rtol=1e-13)
        np.testing.assert_allclose(new[s], predict(student, Z), rtol=1e-13)
        targets = (1 - w) * Y + w * f


def test_a_linear_chain_is_the_closed_form():
    line, K = Centred(MLP(3, 2, width=1, depth=0, dtype=torch.float64)), kd.kernels.ntk(X, depth=0)
    weights, step = [0.8, 1.0, -0.5], stable_step(K, ridge=0.4, tolerance=1e-10)
    fitted, again = self_distil(line, X, Y, teacher_weights=weights, ridge=0.4, **step._asdict())
    expected = kd.rounds(kd.Spectrum.from_gram(K), Y, ridge=0.4, teacher_weights=weights)
    np.testing.assert_allclose(fitted, expected, rtol=1e-7, atol=1e-9)
    assert (fitted == again).all()


def test_lazy_networks_are_kernel_regression_with_an_error_of_one_over_the_scale():
    """An erf network of width 64 and its own tangent kernel: errors 5e-4 at scale 100 and ten times that at scale 10."""
    points, labels, new = images(40)
    errors = {}
    for scale in (10.0, 100.0):
        g = Centred(MLP(64, 10, width=64, depth=1, activation="erf", dtype=torch.float64), scale)
        K, cross = (flat(empirical_ntk(g, *where)) / scale**2 for where in ((points,), (new, points)))
        how = {"ridge": 0.4, "loss_scale": scale**-2, **stable_step(K, ridge=0.4, tolerance=1e-7)._asdict()}
        _, got = self_distil(g, points, labels, teacher_weights=[0.5] * 3, points=new, **how)
        spectrum = kd.Spectrum.from_gram(K)
        expected = kd.rounds(spectrum, labels.ravel(), ridge=0.4, teacher_weights=[0.5] * 3, cross=cross)
        errors[scale] = relative(got, expected.reshape(got.shape))
    assert (errors[100.0] < 2e-3).all()
    assert ((errors[10.0] / errors[100.0] > 8) & (errors[10.0] / errors[100.0] < 12)).all()


def distilled(width, depth, members, teacher_weights):
    """Trained networks and the analytic kernel on 200 digits: (T + 1, members, m, 10) and (T + 1, m, 10)."""
    points, labels, new = images(200)
    K, cross = kd.kernels.ntk(points, depth=depth), kd.kernels.ntk(new, points, depth=depth)
    how = {"ridge": 2.0, "teacher_weights": teacher_weights}
    g = Centred(MLP(64, 10, width=width, depth=depth, members=members))
    _, got = self_distil(g, points, labels, points=new, **how, **stable_step(K, ridge=2.0)._asdict())
    return got, kd.rounds(kd.Spectrum.from_gram(K), labels, cross=cross, **how)


def test_relu_networks_approach_the_analytic_kernel_as_one_over_root_width():
    widths, errors = np.array([64, 256, 1024]), []
    for width in widths:
        got, expected = distilled(width, 1, 4, [0.5])
        errors.append(relative(got[1], expected[1]).mean())
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert -0.65 < slope < -0.35
    assert errors[-1] < 0.11


def test_the_mean_of_networks_is_closer_to_the_analytic_kernel():
    got, expected = distilled(256, 2, 8, [0.5])
    single, mean = relative(got[1], expected[1]).mean(), relative(got[1].mean(axis=0), expected[1])
    assert mean < single / 2


@pytest.mark.slow
@pytest.mark.parametrize("teacher_weight", [0.5, 1.0])
def test_the_error_does_not_grow_along_the_chain(teacher_weight):
    widths, errors = np.array([256, 1024, 4096]), []
    for width in widths:
        got, expected = distilled(width, 1, 3, [teacher_weight] * 4)
        errors.append([relative(f, e).mean() for f, e in zip(got, expected, strict=True)])
    slopes = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert ((slopes > -0.6) & (slopes < -0.4)).all()
    assert (np.array(errors)[:, -1] < 1.1 * np.array(errors)[:, 1]).all()


def test_early_stopping_of_a_linearised_network_is_the_kernel_filter():
    """Discrete steps leave (1 - eta d)^k of each coordinate; small ones a gradient flow, at new points too."""
    model = MLP(3, 2, activation="erf", **SMALL)
    K, cross, f_0, f_new = (
        flat(empirical_ntk(model, X)),
        flat(empirical_ntk(model, Z, X)),
        predict(model, X),
        predict(model, Z),
    )
    d, U = np.linalg.eigh(K)
    residual = U.T @ (Y - f_0).ravel()
    for eta, k in ((1.5 / d[-1], 1), (1.5 / d[-1], 30), (0.3 / d[-1], 100)):
        line = linearize(model)
        fitted = train(line, X, Y, steps=k, learning_rate=eta).predictions[-1]
        share = 1 - (1 - eta * d) ** k
        np.testing.assert_allclose(fitted, f_0 + (U @ (share * residual)).reshape(f_0.shape), rtol=1e-9, atol=1e-10)
        expected = f_new + (cross @ U @ (np.divide(share, d) * residual)).reshape(f_new.shape)
        np.testing.assert_allclose(predict(line, Z), expected, rtol=1e-7, atol=1e-9)
    time, steps = 5 / d[-1], 1000
    line = linearize(model)
    fitted = train(line, X, Y, steps=steps, learning_rate=time / steps).predictions[-1]
    flow = f_0.ravel() + (np.eye(len(K)) - expm(-time * K)) @ (Y - f_0).ravel()
    assert relative(fitted, flow.reshape(f_0.shape)) < 5e-3
    by_filter = kd.Spectrum.from_gram(K).fit(kd.GradientFlow(time), (Y - f_0).ravel())
    np.testing.assert_allclose(flow, f_0.ravel() + by_filter, rtol=1e-9, atol=1e-10)
