"""Kernel students and their training: against linear solves, matrix exponentials, PyTorch's optimiser and real training."""

import copy

import numpy as np
import pytest
import torch
from scipy.linalg import expm

import kdtheory as kd
from empirical import ensembles
from empirical.kernel_students import best_filter, kept_student, student_pair, tangent_kernels
from empirical.momentum import Momentum, matched_time
from empirical.networks import MLP, Centred, predict
from empirical.ntk import empirical_ntk
from empirical.recipe import Recipe
from kdtheory.pruned_students import Teacher

RNG = np.random.default_rng(0)


def problem(n=30, m=11, features=6):
    X = RNG.normal(size=(n + m, features)) / np.sqrt(features)
    K = kd.kernels.ntk(X, depth=1)
    y, g = RNG.normal(size=(2, n, 2))
    return K[:n, :n], K[n:, :n], y, g


def test_every_weight_is_the_mix_of_the_pair_as_a_linear_solve_gives_it():
    K, k, y, g = problem()
    kept = RNG.permutation(30)[:12]
    P_l, P_t = student_pair(kept_student(K, k, kept), y, g, kd.Ridge(0.3))
    for w in (-0.5, 0.4, 1.3):
        mixed = (1 - w) * y[kept] + w * g[kept]
        solved = k[:, kept] @ np.linalg.solve(K[np.ix_(kept, kept)] + 0.3 * np.eye(12), mixed)
        np.testing.assert_allclose((1 - w) * P_l + w * P_t, solved, atol=1e-10)


def test_a_ridge_student_of_a_ridge_teacher_is_that_of_kdtheory_pruning_and_of_rounds():
    K, k, y, _ = problem()
    s = kd.Spectrum.from_gram(K)
    g = s.fit(kd.Ridge(0.7), y)
    kept = np.arange(30) < 14
    student = kept_student(K, k, kept)
    P_l, P_t = student_pair(student, y, g, kd.Ridge(0.3))
    teacher = Teacher.ridge(K, ridge=0.7, ridge_convention="absolute")
    on_labels, change = student.predictions(y, teacher, 0.3)
    np.testing.assert_allclose(P_l, on_labels, atol=1e-11)
    np.testing.assert_allclose(P_t, on_labels + change, atol=1e-11)
    P_l, P_t = student_pair(kept_student(K, k), y, s.fit(kd.Ridge(0.3), y), kd.Ridge(0.3))
    np.testing.assert_allclose(
        0.4 * P_l + 0.6 * P_t, kd.rounds(s, y, ridge=0.3, teacher_weights=[0.6], cross=k)[1], atol=1e-11
    )


def test_a_student_of_gradient_flow_is_a_matrix_exponential():
    K, k, y, g = problem()
    kept = np.arange(5, 20)
    A = K[np.ix_(kept, kept)]
    _, P_t = student_pair(kept_student(K, k, kept), y, g, kd.GradientFlow(3.0))
    np.testing.assert_allclose(P_t, k[:, kept] @ np.linalg.solve(A, g[kept] - expm(-3.0 * A) @ g[kept]), atol=1e-8)


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_filter_is_pytorchs_optimiser_on_a_linear_model(nesterov):
    n, rates = 12, 0.3 * (1 + np.cos(np.pi * np.arange(40) / 40))
    X, y = RNG.normal(size=(n, 20)) / 4, RNG.normal(size=(n, 3))
    beta = torch.zeros(20, 3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([beta], lr=1.0, momentum=0.8, nesterov=nesterov)
    for rate in rates:
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        loss = (torch.tensor(X) @ beta - torch.tensor(y)).square().sum(1).mean() / 2
        loss.backward()
        optimiser.step()
    K, training = X @ X.T, Momentum(rates, 0.8, nesterov, 1 / n)
    s = kd.Spectrum.from_gram(K)
    np.testing.assert_allclose(s.fit(training, y), X @ beta.detach().numpy(), atol=1e-11)
    d = np.append(s.eigenvalues, 0.0)
    np.testing.assert_allclose(training.fit(d) + training.residual(d), 1.0, atol=1e-12)
    assert training.dual(d)[-1] == pytest.approx(training.time)


def test_the_mean_over_independent_minibatches_is_the_filter():
    n, steps, runs = 8, 25, 6_000
    X, y, rates = RNG.normal(size=(n, 3)), RNG.normal(size=n), np.full(25, 0.05)
    beta, v = np.zeros((2, runs, 3))
    for k in range(steps):
        i = RNG.integers(n, size=(runs, 2))
        residual = np.einsum("rbf,rf->rb", X[i], beta) - y[i]
        v = 0.6 * v + np.einsum("rb,rbf->rf", residual, X[i]) / 2
        beta = beta - rates[k] * v
    fitted = kd.Spectrum.from_gram(X @ X.T).fit(Momentum(rates, 0.6, loss_scale=1 / n), y)
    error = (beta @ X.T).std(axis=0) / np.sqrt(runs)
    assert (np.abs((beta @ X.T).mean(axis=0) - fitted) < 4.5 * error).all()


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_matched_time_is_the_sum_of_all_that_each_gradient_moves(nesterov):
    rates, mu = RNG.random(30), 0.7
    time = 0.0
    for k in range(30):
        time += rates[k] * sum(mu ** (k - j) for j in range(k + 1)) * (mu if nesterov else 1) + nesterov * rates[k]
    assert matched_time(rates, n=5, momentum=mu, nesterov=nesterov) == pytest.approx(time / 5)
    assert matched_time(rates, n=5, loss="mean over outputs", outputs=4) == pytest.approx(2 * rates.sum() / 20)


def test_a_recipe_is_followed():
    recipe = Recipe(epochs=3, batch=8, learning_rate=0.1, momentum=0.5)
    training = Momentum.following(recipe, rows=20)
    assert len(training.learning_rates) == recipe.steps_for(20) == 8
    rates = [0.05 * (1 + np.cos(np.pi * k / 8)) for k in range(8)]
    assert training.time == pytest.approx(sum(rates) / 0.5 / 20, rel=0.15)  # but for the first steps' momentum
    with pytest.raises(ValueError, match=r'`recipe` must be of "sgd" on "squared" loss without weight decay .* got \'adam\''):
        Momentum.following(Recipe(steps=2, optimiser="adam"), rows=20)


def test_a_linear_student_of_the_loop_is_the_filter_and_a_wide_one_nearly():
    """Full batches: what the loop of ensembles trains, at weights 0 and 1, is what the kernel says."""
    X, X_new = RNG.normal(size=(2, 24, 10)) / np.sqrt(10)
    y, g = RNG.normal(size=(2, 24, 2))
    kept, recipe = np.arange(16), Recipe(steps=60, batch=16, learning_rate=0.5, momentum=0.8)
    for depth, width, tolerance in ((0, 1, 1e-4), (1, 4096, 0.04)):
        model = Centred(MLP(10, 2, width=width, depth=depth, members=1, seed=3))
        gram, cross = tangent_kernels(model.model.member(0), X, X_new)
        pair = student_pair(kept_student(gram, cross, kept), y, g, Momentum.following(recipe, rows=16))
        both = ensembles.select(model, [0, 0])
        ensembles.fit(both, X, y, teacher=g, teacher_weights=[0.0, 1.0], rows=kept, recipe=recipe)
        trained = predict(both, X_new)
        for student, predicted in zip(trained, pair, strict=True):
            assert np.linalg.norm(student - predicted) < tolerance * np.linalg.norm(predicted)


def test_the_best_filter_is_that_of_a_loop():
    K, k, y, _ = problem()
    s, v = kd.Spectrum.from_gram(K), RNG.normal(size=(11, 2))
    ridges = np.geomspace(1e-3, 1e3, 25)
    errors = [np.mean((k @ np.linalg.solve(K + ridge * np.eye(30), y) - v) ** 2) for ridge in ridges]
    assert best_filter(s, y, k, v, [kd.Ridge(ridge) for ridge in ridges]).ridge == ridges[np.argmin(errors)]


def test_tangent_kernels_are_exact_for_a_network_of_single_precision():
    model, (X, X_new) = MLP(4, 3, width=16, depth=2), RNG.normal(size=(2, 9, 4))
    gram, cross = tangent_kernels(model, X, X_new)
    exact = copy.deepcopy(model).double()
    by_jacobian = empirical_ntk(exact, X_new, X, output="traced", method="jacobian")
    np.testing.assert_allclose(cross, by_jacobian, rtol=1e-11, atol=1e-11)
    assert kd.Spectrum.from_gram(gram).clipped > -1e-12
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: matched_time([-0.1], n=3), "`learning_rates` must be zero or positive, got -0.1"),
        (lambda: matched_time([0.1], n=3, momentum=1.0), "`momentum` must be at least 0 and below 1, got 1.0"),
        (lambda: matched_time([0.1], n=0), "`n` must be a whole number of at least 1, got 0"),
        (
            lambda: Momentum([0.1, 5.0], 0.5).fit([1.0]),
            r"`learning_rates` must be at most 3 / .* = 3 for training that converges",
        ),
        (lambda: Momentum([2.0], 0.5, nesterov=True).fit([1.0]), r"at most 1.5 / \(loss_scale"),
        (lambda: kept_student(np.eye(3), np.ones((2, 4))), r"`cross` must have shape \(any, 3\), got \(2, 4\)"),
        (lambda: kept_student(np.eye(3), np.eye(3), [0, 3]), "`kept` must hold indices between 0 and 2, got 3"),
        (
            lambda: student_pair(kept_student(np.eye(3), np.eye(3)), [1.0, 2.0], [1.0, 2.0], kd.Ridge(1.0)),
            r"`teacher` and `labels` must have one shape, a row for each of the training rows, got \(2, 1\) and \(2, 1\)",
        ),
        (
            lambda: best_filter(kd.Spectrum.from_gram(np.eye(2)), [1.0, 2.0], np.eye(2), np.ones((2, 3)), [kd.Ridge(1.0)]),
            "`validation` must have 1 outputs like `labels`, got 3",
        ),
        (lambda: best_filter(kd.Spectrum.from_gram(np.eye(2)), [1.0, 2.0], np.eye(2), [1, 2], []), "at least one filter"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()
