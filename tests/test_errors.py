"""Bad input: one sentence that names the argument, what it must be, and what came."""

import re

import numpy as np
import pytest

import kdtheory as kd
from kdtheory import theorems
from kdtheory.asymptotics import Population
from kdtheory.eigenframework import random_feature_error
from kdtheory.weights import expected_curve, one_shot_weight

EYE = kd.Spectrum.from_gram(np.eye(3))
Y = np.array([1.0, 2.0, 3.0])
CROSS = np.ones((2, 3))
GOOD = {"ridge": 0.1, "teacher_weights": [0.5]}
GRID = {"ridges": [0.1], "teacher_weights": [0.5], "rounds": 1}

CASES = {
    "gram not square": (lambda: kd.Spectrum.from_gram(np.ones((2, 3))), "`gram` must be square, got shape (2, 3); for new"),
    "gram asymmetric": (
        lambda: kd.Spectrum.from_gram([[1.0, 0.5], [0.4, 1.0]]),
        "`gram` must be symmetric, got entries [0, 1]",
    ),
    "gram indefinite": (lambda: kd.Spectrum.from_gram([[1.0, 2.0], [2.0, 1.0]]), "`gram` must be positive semi-definite"),
    "gram negative": (lambda: kd.Spectrum.from_gram([[-1.0]]), "`gram` must be positive semi-definite"),
    "gram nan": (lambda: kd.Spectrum.from_gram([[np.nan]]), "`gram` must be finite, got nan at index (0, 0)"),
    "gram infinite": (lambda: kd.Spectrum.from_gram([[np.inf]]), "`gram` must be finite, got inf"),
    "gram empty": (lambda: kd.Spectrum.from_gram(np.ones((0, 0))), "`gram` must not be empty, got shape (0, 0)"),
    "gram one-dimensional": (lambda: kd.Spectrum.from_gram([1.0, 2.0]), "`gram` must be two-dimensional, got shape (2,)"),
    "gram of text": (lambda: kd.Spectrum.from_gram([["a"]]), "`gram` must hold real numbers"),
    "gram complex": (lambda: kd.Spectrum.from_gram([[1j]]), "`gram` must hold real numbers, got dtype complex128"),
    "gram ragged": (lambda: kd.Spectrum.from_gram([[1.0], [1.0, 2.0]]), "`gram` must be a rectangular array"),
    "gram of objects": (
        lambda: kd.Spectrum.from_gram(np.array([[None]])),
        "`gram` must be finite, got nan at index (0, 0); remove",
    ),
    "gram masked": (lambda: kd.Spectrum.from_gram(np.ma.masked_equal(np.eye(2), 0)), "`gram` must have no masked entries"),
    "gram huge": (
        lambda: kd.Spectrum.from_gram(1e308 * np.ones((3, 3))),
        "`gram` must have eigenvalues within floating point",
    ),
    "features huge": (lambda: kd.Spectrum.from_features([[1e200]]), "`features` must have squares within floating point"),
    "straight line": (lambda: kd.RiskCurve.fit([0, 1, 2], [1, 2, 3]), "`risks` must bend upwards"),
    "predictions huge": (
        lambda: kd.RiskCurve.from_predictions([1e200, 0], [0, 1e200], [1, 2]),
        "must have squares within floating",
    ),
    "ragged ridges": (lambda: kd.Distilled([1.0, [2.0]], [0.5]), "`ridge` must be a rectangular array"),
    **{
        f"gram for spectrum in {f.__name__}": (
            lambda f=f, a=a: f(np.eye(3), *a[0], **a[1]),
            "`spectrum` must be a Spectrum, got ndarray; make one by Spectrum.from_gram(gram).",
        )
        for f, a in (
            (kd.rounds, ((Y,), GOOD)),
            (kd.loo, ((Y,), GOOD)),
            (kd.gcv, ((Y,), GOOD)),
            (kd.sure, ((Y,), GOOD | {"noise_variance": 1.0})),
            (kd.bias_variance, ((Y,), GOOD | {"noise_variance": 1.0})),
            (kd.loo_grid, ((Y,), GRID)),
            (kd.gcv_grid, ((Y,), GRID)),
            (kd.risk_grid, ((Y, CROSS, [1.0, 1.0]), GRID)),
            (kd.optimal_weights, ((Y, CROSS, [1.0, 1.0]), {"ridge": 1.0, "rounds": 1})),
            (kd.distillation.limit, ((Y,), {"ridge": 1.0, "teacher_weight": 0.5})),
            (kd.distillation.predict, ((Y, CROSS), GOOD)),
        )
    },
    "features empty": (lambda: kd.Spectrum.from_features(np.ones((3, 0))), "`features` must not be empty"),
    "X one-dimensional": (
        lambda: kd.kernels.rbf([1.0, 2.0]),
        "`X` must be two-dimensional, got shape (2,); reshape it to (2, 1)",
    ),
    "X nan": (
        lambda: kd.kernels.ntk([[np.nan]], depth=1),
        "`X` must be finite, got nan at index (0, 0); remove or impute it.",
    ),
    "X_train width": (
        lambda: kd.kernels.rbf(np.ones((2, 3)), np.ones((2, 4))),
        "`X_train` must have shape (any, 3), got (2, 4)",
    ),
    "gamma": (lambda: kd.kernels.rbf(np.eye(2), gamma=0.0), "`gamma` must be positive and finite, got 0.0."),
    "degree": (lambda: kd.kernels.polynomial(np.eye(2), degree=0), "`degree` must be a whole number of at least 1, got 0."),
    "coef0": (lambda: kd.kernels.polynomial(np.eye(2), coef0=-1), "`coef0` must be zero or positive"),
    "depth": (lambda: kd.kernels.ntk(np.eye(2), depth=1.5), "`depth` must be a whole number of at least 0, got 1.5."),
    "activation": (
        lambda: kd.kernels.ntk(np.eye(2), depth=1, activation="tanh"),
        "`activation` must be one of cosine, erf, gelu, leaky_relu, linear, relu, sine, or an object of kdtheory.activations, "
        "got 'tanh'.",
    ),
    "weight_variance": (lambda: kd.kernels.nngp(np.eye(2), depth=1, weight_variance=0), "`weight_variance` must be positive"),
    "bias_variance": (
        lambda: kd.kernels.nngp(np.eye(2), depth=1, bias_variance=-1),
        "`bias_variance` must be zero or positive",
    ),
    "ridge zero": (lambda: kd.Ridge(0.0), "`ridge` must be positive, got 0.0."),
    "ridge negative": (
        lambda: kd.rounds(EYE, Y, ridge=-0.1, teacher_weights=[]),
        "`ridge` must be positive and finite, got -0.1.",
    ),
    "ridge nan": (lambda: kd.Ridge(float("nan")), "`ridge` must be positive, got nan."),
    "ridge text": (lambda: kd.Ridge("big"), "`ridge` must hold real numbers"),
    "ridge per round": (
        lambda: kd.rounds(EYE, Y, ridge=[0.1, 0.2], teacher_weights=[]),
        "`ridge` must be one number or 1 of them",
    ),
    "ridge infinite": (
        lambda: kd.rounds(EYE, Y, ridge=np.inf, teacher_weights=[]),
        "`ridge` must be positive and finite, got inf.",
    ),
    "weights nan": (
        lambda: kd.rounds(EYE, Y, ridge=0.1, teacher_weights=[np.nan]),
        "`teacher_weights` must be finite, got nan at index 0",
    ),
    "weights shape": (
        lambda: kd.rounds(EYE, Y, ridge=0.1, teacher_weights=[[0.5]]),
        "`teacher_weights` must be one-dimensional",
    ),
    "y length": (lambda: kd.rounds(EYE, [1.0, 2.0], **GOOD), "`y` must have 3 rows, one per point, got 2."),
    "y shape": (
        lambda: kd.rounds(EYE, np.ones((3, 1, 1)), **GOOD),
        "`y` must have shape (n,) or (n, outputs), got (3, 1, 1).",
    ),
    "y nan": (lambda: kd.loo(EYE, [1.0, np.nan, 2.0], **GOOD), "`y` must be finite, got nan at index 1"),
    "y empty": (lambda: kd.gcv(EYE, [], **GOOD), "`y` must not be empty"),
    "cross width": (lambda: kd.rounds(EYE, Y, **GOOD, cross=np.ones((2, 4))), "`cross` must have shape (any, 3), got (2, 4)."),
    "y_val length": (lambda: kd.risk_grid(EYE, Y, CROSS, [1.0], **GRID), "`y_val` must have 2 rows, one per point, got 1."),
    "y_val outputs": (
        lambda: kd.risk_grid(EYE, Y, CROSS, np.ones((2, 2)), **GRID),
        "`y_val` must have 1 outputs like `y`, got 2.",
    ),
    "method of grid": (
        lambda: kd.risk_grid(EYE, Y, CROSS, [1.0, 1.0], **GRID, method="fast"),
        '`method` must be "auto", "basis" or',
    ),
    "rounds": (
        lambda: kd.risk_grid(EYE, Y, CROSS, [1, 1], ridges=[1], teacher_weights=[1], rounds=-1),
        "`rounds` must be a whole",
    ),
    "ridges": (
        lambda: kd.loo_grid(EYE, Y, ridges=[0.0], teacher_weights=[1], rounds=1),
        "`ridges` must be positive, got 0.0.",
    ),
    "no ridges": (lambda: kd.loo_grid(EYE, Y, ridges=[], teacher_weights=[1], rounds=1), "`ridges` must not be empty"),
    "divergence": (
        lambda: kd.rounds(EYE, Y, ridge=0.1, teacher_weights=[9.0] * 999),
        "`teacher_weights` make this chain grow beyond",
    ),
    "polynomial sum": (lambda: kd.Polynomial(0.1, [0.5]), "`coefficients` must sum to one, got a sum of 0.5."),
    "polynomial schedule": (
        lambda: kd.Polynomial(0.1, [1.0, 1.0, -1.0]).teacher_weights(),
        "`coefficients` have a partial sum of one",
    ),
    "two ridges polynomial": (
        lambda: kd.Distilled([0.1, 0.2], [0.5]).polynomial(),
        "`polynomial` needs one ridge for every round",
    ),
    "time": (lambda: kd.GradientFlow(-1.0), "`time` must be zero or positive and finite, got -1.0."),
    "negative eigenvalue": (lambda: kd.Ridge(1.0).fit([-0.1]), "`eigenvalues` must be zero or positive, got -0.1."),
    "beyond the bound": (
        lambda: kd.Ridge(-3.0, 2.0).fit([2.5]),
        "`eigenvalues` must not exceed `largest_eigenvalue`=2.0, got 2.5.",
    ),
    "predictions shape": (lambda: kd.optimal_teacher_weight(Y, Y[:2], Y), "`on_teacher` must have 3 rows"),
    "predictions outputs": (
        lambda: kd.optimal_teacher_weight(Y, Y[:, None], Y),
        "`on_teacher` must have the shape of `targets`, (3,)",
    ),
    "negative weight": (
        lambda: kd.optimal_teacher_weight(Y, 2 * Y, Y, [1, -1, 1]),
        "`sample_weight` must be zero or positive",
    ),
    "weight length": (lambda: kd.optimal_teacher_weight(Y, 2 * Y, Y, [1.0]), "`sample_weight` must have 3 rows"),
    "method of weights": (
        lambda: kd.optimal_weights(EYE, Y, CROSS, [1, 1], ridge=1, rounds=1, method="x"),
        "`method` must be",
    ),
    "no rounds": (
        lambda: kd.optimal_weights(EYE, Y, CROSS, [1, 1], ridge=1, rounds=0),
        "`rounds` must be a whole number of at least 1",
    ),
    "zero labels": (
        lambda: kd.optimal_weights(EYE, 0 * Y, CROSS, [1, 1], ridge=1, rounds=1),
        "`y` must be moved by distillation",
    ),
    "smoothers equal": (
        lambda: kd.RiskCurve.from_smoothers(CROSS, CROSS, Y, noise_variance=1, signal_new=[1, 1]),
        "every weight is optimal",
    ),
    "signal_new": (lambda: kd.RiskCurve.from_smoothers(CROSS, 2 * CROSS, Y, noise_variance=1), "`signal_new` must be given"),
    "signal_new outputs": (
        lambda: kd.RiskCurve.from_smoothers(CROSS, 2 * CROSS, np.ones((3, 2)), noise_variance=1, signal_new=[1, 1]),
        "`signal_new` must have 2 outputs like `signal`, got 1.",
    ),
    "n_effective": (
        lambda: kd.gcv_grid(EYE, Y, **GRID, n_effective=1.0),
        "`n_effective`, the sum of the sample weights, must exceed the smoother's",
    ),
    "network overflow": (
        lambda: kd.kernels.ntk(np.eye(2), depth=500, weight_variance=100.0),
        "`weight_variance` makes the network's",
    ),
    "kernel name": (
        lambda: kd.kernels.named("sigmoid"),
        "`kernel` must be one of laplace, linear, nngp, ntk, polynomial, rbf, got",
    ),
    "identifiability": (lambda: kd.identifiability(Y, Y[:2]), "`on_teacher` must have 3 rows"),
    "identifiability shape": (
        lambda: kd.identifiability(Y, Y[:, None]),
        "`on_teacher` must have the shape of `on_labels`, (3,)",
    ),
    "noise_variance": (lambda: kd.sure(EYE, Y, noise_variance=-1.0, **GOOD), "`noise_variance` must be zero or positive"),
    "number wanted": (
        lambda: kd.Distilled.limit(ridge=[0.1, 0.2], teacher_weight=0.5),
        "`ridge` must be one number, got an array",
    ),
    "one-shot method": (
        lambda: one_shot_weight(EYE, Y, ridge=0.1, method="loo"),
        "`method` must be one of leave-one-out, gcv-derivative, gcv, got 'loo'.",
    ),
    "one-shot ridge": (lambda: one_shot_weight(EYE, Y, ridge=-1.0), "`ridge` must be positive and finite, got -1.0."),
    "one-shot gram": (lambda: one_shot_weight(np.eye(3), Y, ridge=1.0), "`spectrum` must be a Spectrum, got ndarray"),
    "one-shot of nothing": (
        lambda: one_shot_weight(kd.Spectrum.from_features([[0.0], [0.0]]), [1.0, 2.0], ridge=1.0),
        "`y` must be moved by distillation",
    ),
    "free polynomial rounds": (
        lambda: kd.optimal_polynomial(EYE, Y, noise_variance=1.0, ridge=1.0, rounds=-1),
        "`rounds` must be a whole number of at least 0, got -1.",
    ),
    "free polynomial noise": (
        lambda: kd.optimal_polynomial(EYE, Y, noise_variance=-1.0, ridge=1.0, rounds=1),
        "`noise_variance` must be zero or positive and finite, got -1.0.",
    ),
    "expected curve's error": (
        lambda: expected_curve(EYE, Y, noise_variance=1.0, ridge=1.0, error="risk"),
        '`error` must be "prediction" or "parameters", got \'risk\'.',
    ),
    "signal out of reach": (
        lambda: expected_curve(
            kd.Spectrum.from_gram(np.diag([1.0, 0.0])), [1, 2], noise_variance=1, ridge=1, error="parameters"
        ),
        "`signal` must lie in the range of the kernel for an error of the parameters, got 4 of its square outside",
    ),
    "weight that changes nothing": (
        lambda: expected_curve(EYE, 0 * Y, noise_variance=0.0, ridge=1.0),
        "`signal` must be moved by distillation: every weight gives the same error.",
    ),
    "features of the eigenframework": (
        lambda: random_feature_error(Population([1.0], [1.0], 0.0), n=3, features=0, ridge=1.0),
        "`features` must be a whole number of at least 1, got 0.",
    ),
    "no such theorem": (
        lambda: theorems.find(paper="nobody", name="nothing"),
        "No theorem has `paper` containing 'nobody' and `name` containing 'nothing'; the papers are mobahi,",
    ),
    "weight infinite": (
        lambda: kd.Distilled.limit(ridge=0.1, teacher_weight=np.inf),
        "`teacher_weight` must be finite, got inf.",
    ),
}


class Sparse:
    def toarray(self):
        return np.eye(2)


@pytest.mark.parametrize("name", CASES)
def test_the_sentence(name):
    call, sentence = CASES[name]
    with pytest.raises((ValueError, OverflowError), match=re.escape(sentence)) as caught:
        call()
    text = str(caught.value)
    assert text.count("\n") == 0
    assert len(text) < 400


def test_sparse_input_is_told_the_cure():
    with pytest.raises(ValueError, match=r"pass `gram\.toarray\(\)`"):
        kd.Spectrum.from_gram(Sparse())
