"""Scores of outputs, inputs and kernels: each by a slow loop, in its direction, and what they refuse."""

import numpy as np
import pytest

import kdtheory as kd
from empirical import scores, uncertainty

RNG = np.random.default_rng(0)
R, N, C = 3, 11, 4
F, Y = 2 * RNG.normal(size=(R, N, C)), RNG.integers(C, size=N)
CODED = np.eye(C)[Y] - 1 / C
SCORES = {
    "el2n": scores.el2n,
    "el2n_squared": lambda f, y: scores.el2n(f, np.eye(C)[y] - 1 / C, loss="squared"),
    "loss": scores.training_loss,
    "loss_squared": lambda f, y: scores.training_loss(f, np.eye(C)[y] - 1 / C, loss="squared"),
    "margin": lambda f, _: uncertainty.margin(f),
    "margin_squared": lambda f, _: uncertainty.margin(f, loss="squared"),
    "least_confidence": lambda f, _: uncertainty.least_confidence(f),
    "least_confidence_squared": lambda f, _: uncertainty.least_confidence(f, loss="squared"),
    "entropy": lambda f, _: uncertainty.entropy(f),
    "entropy_squared": lambda f, _: uncertainty.entropy(f, loss="squared"),
    "aum": lambda f, y: -scores.label_margin(f, y),
}


def slow(name, f, y):
    """One point, by the definition."""
    name, squared, _ = name.partition("_squared")
    y_coded = [float(c == y) - 1 / C for c in range(C)]
    p = [np.exp(f_c) / sum(np.exp(f)) for f_c in f]
    if name == "el2n":
        return sum(((f[c] - y_coded[c]) if squared else (p[c] - (c == y))) ** 2 for c in range(C)) ** 0.5
    if name == "loss":
        return sum((f[c] - y_coded[c]) ** 2 for c in range(C)) / 2 if squared else -np.log(p[y])
    if squared:
        p = [f_c - sum(f) / C + 1 / C for f_c in f]
    first, second = sorted(p, reverse=True)[:2]
    if name == "entropy":
        p = [max(p_c, 0) for p_c in p]
        p = [p_c / sum(p) for p_c in p]
    best_other = max(f_c for c, f_c in enumerate(f) if c != y)
    return {
        "margin": second - first,
        "least_confidence": 1 - first,
        "entropy": -sum(p_c * np.log(p_c) for p_c in p if p_c > 0),
        "aum": best_other - f[y],
    }[name]


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_outputs_by_a_slow_loop(name):
    expected = [[slow(name, F[r, i], Y[i]) for i in range(N)] for r in range(R)]
    np.testing.assert_allclose(SCORES[name](F, Y), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(SCORES[name](F[1], Y), expected[1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", SCORES)
def test_points_in_another_order_have_the_same_scores(name):
    order = RNG.permutation(N)
    np.testing.assert_allclose(SCORES[name](F[:, order], Y[order]), SCORES[name](F, Y)[:, order], rtol=1e-13)


@pytest.mark.parametrize("name", SCORES)
def test_what_is_hard_is_kept(name):
    """A confident and right point is kept last; where labels are looked at, a confident and wrong one first."""
    sure, undecided, wrong = [0.98, 0.0, 0.0, 0.0], [0.3, 0.25, 0.25, 0.2], [0.0, 0.98, 0.0, 0.0]
    f = np.array([sure, undecided, wrong]) * (1 if "squared" in name else 8)
    easy, middle, hard = SCORES[name](f, np.array([0, 0, 0]))
    assert easy < middle
    assert hard > middle if name.startswith(("el2n", "loss", "aum")) else hard == pytest.approx(easy)


def test_residuals_are_the_derivative_of_the_training_loss():
    """EL2N is GraNd of the outputs."""
    for loss, labels in (("cross_entropy", Y), ("squared", CODED)):
        step, slope = 1e-6, np.zeros((N, C))
        for c in range(C):
            moved = step * np.eye(C)[c]
            up, down = (scores.training_loss(F[0] + sign * moved, labels, loss=loss) for sign in (1, -1))
            slope[:, c] = (up - down) / (2 * step)
        np.testing.assert_allclose(scores.el2n(F[0], labels, loss=loss), np.linalg.norm(slope, axis=1), rtol=1e-7)


def test_of_the_squared_loss_outputs_are_probabilities_whatever_the_code():
    """Networks that minimise the squared loss put out the mean code, P(c|x) or P(c|x) - 1/C."""
    P = RNG.dirichlet(np.ones(C), size=N)
    for constant in (0.0, 1 / C):
        np.testing.assert_allclose(uncertainty.probabilities(P - constant, loss="squared"), P, rtol=1e-12)


def test_random_input_norm_and_leverage():
    X = RNG.normal(size=(N, 2, 3))
    np.testing.assert_allclose(scores.input_norm(X), [np.sqrt((x**2).sum()) for x in X])
    assert np.array_equal(scores.random(5, seed=1), scores.random(5, seed=1))
    assert not np.array_equal(scores.random(5, seed=1), scores.random(5, seed=2))
    K, ridge = kd.kernels.rbf(X.reshape(N, -1), gamma=0.3), 0.2
    hat = np.linalg.solve(K + ridge * np.eye(N), K).diagonal()
    np.testing.assert_allclose(scores.kernel_leverage(K, ridge=ridge), hat, rtol=1e-9)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"`outputs` must have shape \(n, p\) or \(runs, n, p\), got \(3,\)"):
        scores.el2n([1.0, 2.0, 3.0], [0, 1, 2])
    with pytest.raises(ValueError, match="with at least 2 classes, got"):
        uncertainty.margin(np.ones((4, 1)))
    with pytest.raises(ValueError, match="`labels` must hold classes from 0 to 3, as there are outputs, got 4"):
        scores.el2n(F, [4] * N)
    with pytest.raises(ValueError, match="`labels` must hold a class for each of 11 points, got shape"):
        scores.el2n(F, Y[:5])
    with pytest.raises(ValueError, match=r"`labels` must be coded, of shape \(11, 4\) like the outputs, got \(11,\)"):
        scores.el2n(F, Y, loss="squared")
    with pytest.raises(ValueError, match="`loss` must be"):
        scores.training_loss(F, Y, loss="hinge")
