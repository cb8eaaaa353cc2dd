"""The scikit-learn face: its own checks, agreement with the theory, and ordinary use."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import kdtheory as kd
from kdtheory.cholesky import plain_chain
from kdtheory.estimators import (
    SelfDistilledKernelRidge,
    SelfDistilledKernelRidgeClassifier,
    SelfDistilledKernelRidgeClassifierCV,
    SelfDistilledKernelRidgeCV,
)
from tests.brute import chain, leave_one_out, relative

RNG = np.random.default_rng(0)
X, X_NEW = RNG.normal(size=(40, 3)), RNG.normal(size=(11, 3))
Y = np.stack([np.sin(X[:, 0]), X[:, 1] ** 2], axis=1) + 0.3 * RNG.normal(size=(40, 2))


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        SelfDistilledKernelRidge(),
        SelfDistilledKernelRidge(kernel="ntk", teacher_weights=[0.5, 1.2]),
        SelfDistilledKernelRidgeCV(),
        SelfDistilledKernelRidgeCV(criterion="gcv", kernel="laplace"),
        SelfDistilledKernelRidgeClassifier(),
        SelfDistilledKernelRidgeClassifierCV(),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("outputs", [1, 2])
def test_every_stage_is_the_chain(outputs):
    y = Y[:, 0] if outputs == 1 else Y
    model = SelfDistilledKernelRidge(ridge=0.3, teacher_weights=[0.8, -0.2], gamma=0.5).fit(X, y)
    K, cross = kd.kernels.rbf(X, gamma=0.5), kd.kernels.rbf(X_NEW, X, gamma=0.5)
    expected = chain(cross, K, y, 0.3, [0.8, -0.2])
    np.testing.assert_allclose(list(model.staged_predict(X_NEW)), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.predict(X_NEW), expected[-1], rtol=1e-9, atol=1e-12)
    assert model.dual_coef_.shape == (3, *y.shape)


def test_without_rounds_it_is_kernel_ridge():
    ours = SelfDistilledKernelRidge(ridge=0.4, rounds=0, gamma=0.5).fit(X, Y).predict(X_NEW)
    np.testing.assert_allclose(ours, KernelRidge(alpha=0.4, kernel="rbf", gamma=0.5).fit(X, Y).predict(X_NEW), rtol=1e-9)


def gaussian_of_sets(a, b):
    return np.exp(-((a[:, None] - b[None]) ** 2).sum(-1))


def gaussian_of_points(a, b):
    return float(np.exp(-((a - b) ** 2).sum()))


@pytest.mark.parametrize(
    ("kernel", "K"),
    [
        (RBF(0.7), RBF(0.7)(X)),
        (gaussian_of_sets, kd.kernels.rbf(X, gamma=1.0)),
        (gaussian_of_points, kd.kernels.rbf(X, gamma=1.0)),
        (lambda a, b: a @ b.T + 1.0, X @ X.T + 1.0),
        (lambda a, b: np.asarray(a) @ np.asarray(b), X @ X.T),
    ],
    ids=["scikit-learn Kernel", "of point sets", "of two points", "matrix product", "inner product"],
)
def test_any_kernel_function(kernel, K):
    model = SelfDistilledKernelRidge(ridge=0.3, kernel=kernel).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), chain(K, K, Y, 0.3, [0.5])[-1], rtol=1e-7, atol=1e-10)
    assert model.predict(X_NEW).shape == (11, 2)


def test_white_noise_belongs_to_the_ridge_not_the_kernel():
    """A Kernel object is called as kernel(X, X), so its white noise does not count the training points as new ones."""
    model = SelfDistilledKernelRidge(ridge=0.3, kernel=RBF(0.7) + WhiteKernel(0.5)).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), SelfDistilledKernelRidge(ridge=0.3, kernel=RBF(0.7)).fit(X, Y).predict(X))


def test_precomputed_is_the_same_model():
    named = SelfDistilledKernelRidgeCV(gamma=0.5).fit(X, Y)
    given = SelfDistilledKernelRidgeCV(kernel="precomputed").fit(kd.kernels.rbf(X, gamma=0.5), Y)
    np.testing.assert_allclose(given.predict(kd.kernels.rbf(X_NEW, X, gamma=0.5)), named.predict(X_NEW), rtol=1e-9)
    scores = cross_val_score(SelfDistilledKernelRidge(kernel="precomputed"), kd.kernels.rbf(X, gamma=0.5), Y, cv=4)
    np.testing.assert_allclose(scores, cross_val_score(SelfDistilledKernelRidge(gamma=0.5), X, Y, cv=4))


def test_weights_are_repetitions():
    counts = RNG.integers(0, 4, size=40)
    weighted = SelfDistilledKernelRidge(ridge=0.3, rounds=4, gamma=0.5).fit(X, Y, sample_weight=counts)
    rows = np.repeat(np.arange(40), counts)
    expected = chain(kd.kernels.rbf(X_NEW, X[rows], gamma=0.5), kd.kernels.rbf(X[rows], gamma=0.5), Y[rows], 0.3, [0.5] * 4)
    np.testing.assert_allclose(list(weighted.staged_predict(X_NEW)), expected, rtol=1e-8, atol=1e-10)


def test_chosen_chain_has_the_least_error_of_real_refits():
    ridges, weights = [0.03, 0.3], [-0.5, 0.5, 1.0]
    model = SelfDistilledKernelRidgeCV(ridges=ridges, teacher_weights=weights, rounds=2, gamma=0.5).fit(X, Y)
    K = kd.kernels.rbf(X, gamma=0.5)
    refits = np.array([[np.mean((leave_one_out(K, Y, r, [w, w]) - Y) ** 2, axis=(1, 2)) for w in weights] for r in ridges])
    assert relative(model.errors_, refits) < 1e-10
    best = np.unravel_index(refits.argmin(), refits.shape)
    assert (model.ridge_, model.rounds_) == (ridges[best[0]], best[2])
    assert model.best_error_ == model.errors_.min()
    again = SelfDistilledKernelRidge(
        ridge=model.ridge_, teacher_weight=model.teacher_weight_, rounds=model.rounds_, gamma=0.5
    ).fit(X, Y)
    np.testing.assert_allclose(model.predict(X_NEW), again.predict(X_NEW), rtol=1e-10)


def test_weighted_choice_leaves_out_a_point_with_all_its_copies():
    counts = RNG.integers(0, 4, size=40)
    how = {"ridges": [0.03, 0.3], "teacher_weights": [0.5], "rounds": 2, "gamma": 0.5}
    model = SelfDistilledKernelRidgeCV(**how).fit(X, Y, sample_weight=counts)
    rows = np.repeat(np.arange(40), counts)
    for i, ridge in enumerate(how["ridges"]):
        errors = []
        for left_out in np.flatnonzero(counts):
            kept = rows[rows != left_out]
            cross = kd.kernels.rbf(X[[left_out]], X[kept], gamma=0.5)
            fits = chain(cross, kd.kernels.rbf(X[kept], gamma=0.5), Y[kept], ridge, [0.5, 0.5])
            errors.append(counts[left_out] * np.mean((fits[:, 0] - Y[left_out]) ** 2, axis=1))
        np.testing.assert_allclose(model.errors_[i, 0], np.sum(errors, axis=0) / counts.sum(), rtol=1e-9)
    repeated = SelfDistilledKernelRidgeCV(**how).fit(X[rows], Y[rows])
    np.testing.assert_allclose(repeated.errors_, model.errors_, rtol=1e-9)
    by_gcv = [
        SelfDistilledKernelRidgeCV(**how, criterion="gcv").fit(*data).errors_ for data in ((X, Y, counts), (X[rows], Y[rows]))
    ]
    np.testing.assert_allclose(by_gcv[0], by_gcv[1], rtol=1e-9)


def test_undefined_scores_are_never_chosen():
    model = SelfDistilledKernelRidgeCV(ridges=[1e-170, 1.0], criterion="gcv", gamma=0.5).fit(X, Y)
    assert model.ridge_ == 1.0
    with pytest.raises(ValueError, match="the sum of the sample weights, must exceed"):
        SelfDistilledKernelRidgeCV(criterion="gcv", gamma=0.5).fit(X, Y, sample_weight=np.full(40, 1 / 40))


def test_float32_kernels_stay_float32_with_weights():
    K = kd.kernels.rbf(X, gamma=0.5).astype(np.float32)
    K[0, 1] += 2e-7
    model = SelfDistilledKernelRidge(kernel="precomputed").fit(K, Y, sample_weight=1 + np.arange(40) % 2)
    assert np.isfinite(model.predict(K)).all()


def test_a_pipeline_and_a_grid_search_on_diabetes():
    data, target = load_diabetes(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), SelfDistilledKernelRidge(kernel="rbf"))
    grid = {
        "selfdistilledkernelridge__ridge": [0.3, 3.0],
        "selfdistilledkernelridge__teacher_weight": [0.0, 0.5],
        "selfdistilledkernelridge__gamma": [0.001, 0.01],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(data[:300], target[:300] - target[:300].mean())
    assert search.score(data[300:], target[300:] - target[:300].mean()) > 0.3


def test_classifier_on_iris_with_names():
    data, target = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[target]
    model = make_pipeline(StandardScaler(), SelfDistilledKernelRidgeClassifierCV(gamma=0.2)).fit(data[::2], names[::2])
    assert model.score(data[1::2], names[1::2]) > 0.93
    last = model[-1]
    assert last.decision_function(data[:5]).shape == (5, 3)
    assert len(list(last.staged_predict(data[:5]))) == last.rounds_ + 1
    binary = SelfDistilledKernelRidgeClassifier(gamma=0.2).fit(data[:100], names[:100])
    assert binary.decision_function(data[:5]).shape == (5,)
    assert binary.score(data[:100], names[:100]) == 1.0


def test_clone_and_pickle():
    model = SelfDistilledKernelRidge(ridge=0.3, teacher_weights=(0.5, 0.2), kernel="ntk", kernel_params={"depth": 2}).fit(X, Y)
    back = pickle.loads(pickle.dumps(model))
    assert (back.predict(X_NEW) == model.predict(X_NEW)).all()
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (SelfDistilledKernelRidge(ridge=0), "`ridge` must be positive"),
        (SelfDistilledKernelRidge(rounds=-1), "`rounds` must be a whole number"),
        (SelfDistilledKernelRidge(kernel="sigmoid"), "`kernel` must be one of laplace, linear"),
        (SelfDistilledKernelRidge(kernel=3), "`kernel` must be a name or a function"),
        (SelfDistilledKernelRidge(kernel="precomputed"), "`X` must be the square Gram matrix"),
        (
            SelfDistilledKernelRidge(kernel="ntk", kernel_params={"dept": 3}),
            "`kernel_params` of 'ntk' may hold .*depth.*, got 'dept'",
        ),
        (SelfDistilledKernelRidge(kernel_params=3), "`kernel_params` must be a dictionary, got 3"),
        (SelfDistilledKernelRidge(kernel="ntk", kernel_params={"activation": ["relu"]}), "`activation` must be one of"),
        (SelfDistilledKernelRidge(gamma=-1.0), "`gamma` must be positive"),
        (SelfDistilledKernelRidge(kernel=lambda a, b: -(a @ b.T)), "`gram` must be positive semi-definite"),
        (SelfDistilledKernelRidgeCV(ridges=[]), "`ridges` must not be empty"),
        (SelfDistilledKernelRidgeCV(ridges=[-1.0]), "`ridges` must be positive"),
        (SelfDistilledKernelRidgeCV(criterion="aic"), '`criterion` must be "loo" or "gcv"'),
    ],
)
def test_bad_parameters_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)


def test_bad_weights_are_named():
    with pytest.raises(ValueError, match="at least one non-zero"):
        SelfDistilledKernelRidge().fit(X, Y, sample_weight=np.zeros(40))
    with pytest.raises(ValueError, match="got one class: a"):
        SelfDistilledKernelRidgeClassifier().fit(X, ["a"] * 40)


@pytest.mark.parametrize("weights", [[0.5] * 5, [1.0, -1.0, 2.5], []])
@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_one_chain_by_cholesky_is_the_chain_of_the_spectrum(weights, ridge, monkeypatch):
    rng = np.random.default_rng(3)
    X, Y, v = rng.normal(size=(60, 4)), rng.normal(size=(60, 2)), rng.uniform(0.5, 2, size=60)
    model = SelfDistilledKernelRidge(ridge, teacher_weights=weights, gamma=0.1)
    with monkeypatch.context() as patched:  # no eigendecomposition is needed
        patched.setattr("kdtheory.machine.Spectrum.from_gram", None)
        by_cholesky = model.fit(X, Y, sample_weight=v).dual_coef_
    monkeypatch.setattr("kdtheory.machine.plain_chain", lambda *_: None)
    np.testing.assert_allclose(by_cholesky, model.fit(X, Y, sample_weight=v).dual_coef_, rtol=1e-9, atol=1e-9 / ridge)


def test_what_is_not_positive_semi_definite_is_told_by_the_spectrum():
    rng = np.random.default_rng(3)
    Q = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    for smallest, outcome in ((-1e-9, pytest.warns(RuntimeWarning)), (-1e-3, pytest.raises(ValueError, match="indefinite"))):
        K = (Q * np.append(np.ones(19), smallest)) @ Q.T
        with outcome:
            SelfDistilledKernelRidge(1.0, kernel="precomputed").fit((K + K.T) / 2, rng.normal(size=20))


def test_long_chains_of_one_ridge_take_the_spectrum():
    assert plain_chain(np.eye(50), np.ones((50, 1)), kd.Distilled.constant(ridge=1.0, teacher_weight=0.5, rounds=500)) is None
