"""The shared protocol: against the closed form where students are linear, and what each seed, row and label decides."""

import numpy as np
import pytest
import torch

import kdtheory as kd
from empirical.data import load, split
from empirical.ensembles import fit, outputs, select
from empirical.foretold import Kernels, of_networks
from empirical.networks import MLP
from empirical.pairs import moments, squared_error_weight
from empirical.pruned import Family, Labelled, Predictions, distil, drawn, initial, teach
from empirical.recipe import Recipe
from kdtheory.pruned_students import Teacher
from kdtheory.pruning import risk_curve

RNG = np.random.default_rng(0)
SHORT = Recipe(steps=60, batch=32, learning_rate=0.1)
NARROW = Family("mlp", 16, 1, SHORT)


@pytest.fixture(scope="module")
def digits():
    return drawn(load("digits"), n=120, n_validation=60, n_test=80, seed=3)


def test_linear_students_of_this_loop_have_the_closed_forms_risk_curve():
    """Teacher and students by descent with weight decay, 60 draws of the labels: `kdtheory.pruning.risk_curve`."""
    n, d, draws, decay, variance = 40, 6, 60, 0.1, 0.5
    X, kept, weights = RNG.normal(size=(n, d)), np.arange(20), [0.0, 0.5, 1.0, 1.5]
    f = X @ RNG.normal(size=(d, 1))
    y = f + np.sqrt(variance) * RNG.normal(size=(draws, n, 1))
    recipe = Recipe(steps=250, batch=n, learning_rate=0.1, weight_decay=decay, schedule="constant")
    teacher = MLP(d, 1, width=1, depth=0, weight_variance=1.0, members=draws, dtype=torch.float64)
    fit(teacher, X, y, label_of=np.arange(draws), recipe=recipe)
    of = np.tile(np.arange(draws), len(weights))
    students = select(teacher, of)
    w = np.repeat(weights, draws)
    said = outputs(teacher, X).astype(np.float64)
    fit(students, X, y, label_of=of, teacher=said, teacher_of=of, teacher_weights=w, rows=kept, recipe=recipe)
    risks = np.mean((outputs(students, X) - f) ** 2, axis=(1, 2)).reshape(len(weights), draws)
    K = kd.kernels.linear(X) / d
    expected = risk_curve(K, f[:, 0], noise_variance=variance, kept=kept, ridge=decay, ridge_convention="per_example")
    z = (risks.mean(axis=1) - expected(weights)) / (risks.std(axis=1, ddof=1) / np.sqrt(draws))
    assert np.abs(z).max() < 3
    # and label by label, not only on average
    T = Teacher.ridge(K, ridge=decay, ridge_convention="per_example").predict(y[0])
    np.testing.assert_allclose(said[0], T, atol=1e-5)
    P_l, P_t = kd.pruning.students(K, y[0], kept=kept, ridge=decay, ridge_convention="per_example", teacher=Teacher.fixed(T))
    np.testing.assert_allclose(outputs(students, X)[[0, draws * 2]], np.reshape([P_l, P_t], (2, n, 1)), atol=1e-4)


def test_a_split_of_less_data_keeps_its_proportions():
    part = drawn(load("digits"), n=3000, n_validation=1000, n_test=4000, seed=0)
    assert [len(a) for a in (part.X, part.X_validation, part.X_test)] == [1011, 337, 449]


def test_labels_are_flipped_where_they_are_seen_and_nowhere_else(digits):
    data = Labelled.flipped(digits, rate=0.25, seed=1)
    assert np.sum(data.y != digits.y) == 30
    assert np.sum(data.y_validation != digits.y_validation) == 15
    assert (data.split.y_test == digits.y_test).all()
    again = Labelled.flipped(digits, rate=0.25, seed=1)
    assert (data.y == again.y).all()
    assert (data.y != Labelled.flipped(digits, rate=0.25, seed=2).y).any()


def test_a_seed_decides_its_network_whatever_else_is_trained(digits):
    data, family = Labelled.flipped(digits, rate=0.0, seed=0), Family("mlp", 16, 1, SHORT)
    X = family.points(digits.X)
    few, many = (initial(family, data, seeds, role=1) for seeds in ([7], [3, 7]))
    for model in (few, many):
        fit(model.model, X, data.coded(data.y), recipe=SHORT)
    np.testing.assert_allclose(outputs(few.model, X)[0], outputs(many.model, X)[1], rtol=1e-4, atol=1e-5)
    other_role = initial(family, data, [7], role=0)
    assert not np.allclose(outputs(other_role.model, X), outputs(initial(family, data, [7], role=1).model, X))


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_the_teacher_stops_where_its_validation_error_is_least(digits, loss):
    """Against a teacher of each number of steps, trained by itself under the same schedule."""
    data = Labelled.flipped(digits, rate=0.4, seed=0)
    family = Family("mlp", 64, 1, Recipe(steps=200, batch=32, learning_rate=0.3, loss=loss, schedule="constant"))
    stopped = teach(family, data, seeds=[0, 1], looks=10)
    errors = []
    for k in range(1, 11):
        short = Family("mlp", 64, 1, Recipe(steps=20 * k, batch=32, learning_rate=0.3, loss=loss, schedule="constant"))
        said = teach(short, data, seeds=[0, 1], looks=1).validation
        if loss == "squared":
            errors.append(np.sum((said - data.coded(data.y_validation)) ** 2, axis=(1, 2)))
        else:
            p = family.predictions(said) + 0.1
            errors.append(-np.sum(np.log(p[:, np.arange(60), data.y_validation]), axis=1))
    assert stopped.steps.tolist() == (20 * (1 + np.argmin(errors, axis=0))).tolist()
    assert stopped.steps.min() < 200  # with such labels it is not the end


def test_students_see_their_rows_alone(digits):
    rows = np.arange(0, 120, 3)
    data = Labelled.flipped(digits, rate=0.0, seed=0)
    y = digits.y.copy()
    y[np.setdiff1d(np.arange(120), rows)] = 0  # of dropped rows
    other = Labelled(digits, y, digits.y_validation)
    teacher = RNG.normal(size=(120, 10)).astype(np.float32)
    students = [distil(NARROW, some, teacher, teacher_weights=[0.3], rows=[rows], seeds=[0]) for some in (data, other)]
    assert (students[0].test == students[1].test).all()
    all_rows = distil(NARROW, other, teacher, teacher_weights=[0.3], rows=[np.arange(120)], seeds=[0])
    assert (all_rows.test != students[0].test).any()


def test_scores_are_those_of_the_true_test_labels(digits):
    data = Labelled.flipped(digits, rate=0.5, seed=0)
    right = data.score(NARROW, data.coded(digits.y_test))
    assert right == {"error": 0.0, "accuracy": 1.0}
    logits = np.zeros((80, 10), dtype=np.float32)
    flat = data.score(Family("mlp", 4, 1, Recipe(steps=1, loss="cross_entropy")), logits)
    assert flat["error"] == pytest.approx(0.09)  # of equal probabilities, (9 * 0.01 + 0.81) / 10


def test_what_is_foretold_of_networks_follows_from_their_predictions(digits):
    data, weights = Labelled.flipped(digits, rate=0.2, seed=0), [0.0, 0.5, 1.0]
    f = RNG.normal(size=(3, 60, 10)).astype(np.float32), RNG.normal(size=(3, 80, 10)).astype(np.float32)
    students = Predictions(np.zeros((3, 0, 10), np.float32), *f, np.zeros(3, np.int64))
    columns = of_networks(NARROW, data, students, range(3), weights)
    noisy = np.array([columns[f"net_noisy_{moment}"] for moment in ("vv", "vl", "vd", "ll", "ld", "dd")])
    best = kd.RiskCurve.from_predictions(f[0][0], f[0][2], data.coded(data.y_validation)).optimal_weight
    assert squared_error_weight(noisy) == pytest.approx(best, rel=1e-5)
    middle = f[1][1] - (f[1][0] + f[1][2]) / 2
    assert columns["superposition"] == pytest.approx(np.linalg.norm(middle) / np.linalg.norm(f[1][1]), rel=1e-5)


def test_very_wide_networks_do_what_the_kernel_foretold():
    """The fed kernel's students are the networks' at great width, teacher and minibatches aside."""
    part = split(load("digits"), train=60, validation=40, test=40, seed=0)
    data = Labelled.flipped(part, rate=0.2, seed=0)
    family = Family("mlp", 2048, 1, Recipe(steps=100, batch=30, learning_rate=0.1))
    kept, teacher = np.arange(30), RNG.normal(size=(60, 10)).astype(np.float32) * 0.2
    students = distil(family, data, teacher, teacher_weights=[0.0, 1.0], rows=[kept] * 2, seeds=[0, 0])
    kernels = Kernels(family, part.X, part.X_validation, {0.5: kept})
    cell = kernels.cell(data, teacher, kernels.own_teacher(data), 0.5)
    M = moments(*students.validation.astype(float), data.coded(data.y_validation)).mean((0, 1))
    fed = np.array([cell[f"fed_noisy_{moment}"] for moment in ("vv", "vl", "vd", "ll", "ld", "dd")])
    np.testing.assert_allclose(fed, M, atol=0.03 * M[3])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Family("vit", 8, 2, SHORT), '`network` must be "mlp", "cnn" or "resnet"'),
        (lambda: Family("cnn", 8, 2, SHORT).stack((64,), 10, members=1, seed=0), "`network`='cnn' needs images"),
    ],
)
def test_bad_families_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_teachers_budgets_are_their_own():
    """Passes over the rows that each sees, by mask or by indices; and not the minibatches of a student of those rows."""
    from empirical.minibatches import Minibatches
    from empirical.pruned import STUDENT, TEACHER, minibatch_seeds

    part = drawn(load("digits"), n=120, n_validation=60, n_test=80, seed=3)
    data = Labelled.flipped(part, rate=0.0, seed=0)
    family = Family("mlp", 8, 1, Recipe(epochs=2, batch=16, learning_rate=0.01))
    mask = np.arange(120) < 32
    assert teach(family, data, seeds=[0], rows=mask, looks=1).steps.tolist() == [4]
    assert teach(family, data, seeds=[0, 0], rows=[np.arange(32), np.arange(96)], looks=1).steps.tolist() == [4, 12]
    streams = [Minibatches([np.arange(32)], minibatch_seeds([5], role), 16).next() for role in (TEACHER, STUDENT)]
    assert (streams[0] != streams[1]).any()
