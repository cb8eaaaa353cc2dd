import numpy as np
import pytest

from kdtheory.asymptotics import Population
from kdtheory.theorems import ildiz
from kdtheory.two_stage import optimal_mask, optimal_surrogate, surrogate_risk, two_stage_risk
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(ildiz))
def test_theorem(law, theorem):
    law(theorem)


def test_figure_one_of_the_paper():
    """500 features, 200 points, eigenvalues i^-2, e beta^2 = i^-1.5: recomputed by an independent implementation."""
    i = np.arange(1, 501.0)
    truth = Population(i**-2.0, i**-0.75, 0.0)
    best, kept = optimal_surrogate(truth, n=200), optimal_mask(truth, n=200)
    risks = [surrogate_risk(truth, s, n=200) for s in (truth.signal, truth.signal * kept, best)]
    np.testing.assert_allclose(risks, [0.11937, 0.08966, 0.08325], atol=6e-6)
    assert (int(kept.sum()), int(np.sum(best > truth.signal))) == (203, 126)


def test_figure_one_by_simulation():
    """The smallest function through 200 points among 500 features, labelled by the truth and by the best surrogate."""
    i, rng, errors = np.arange(1, 501.0), np.random.default_rng(0), []
    truth = Population(i**-2.0, i**-0.75, 0.0)
    labellers = np.stack([truth.signal, optimal_surrogate(truth, n=200)], axis=1)
    for _ in range(100):
        z = rng.normal(size=(200, 500))
        X = z / i
        errors.append(truth.error(X.T @ np.linalg.solve(X @ X.T, z @ labellers)))
    expected = [surrogate_risk(truth, s, n=200) for s in labellers.T]
    assert (np.abs(np.mean(errors, axis=0) - expected) < 4 * np.std(errors, axis=0) / 10 + 0.005 * np.array(expected)).all()


def test_bad_input():
    truth = Population(np.ones(10), np.ones(10), 0.0)
    with pytest.raises(ValueError, match="`surrogate` must have 10 entries like the signal, got 2"):
        surrogate_risk(truth, [1.0, 2.0], n=5)
    with pytest.raises(ValueError, match="`n` must differ from the number of features where `ridge` is zero, got 10"):
        surrogate_risk(truth, truth.signal, n=10)


def test_two_stages_where_every_term_counts():
    """Hardly more points than directions, a noisy teacher, a strong student ridge: each variance is much of the risk."""
    white, rng, risks = Population(np.ones(50), np.full(50, 0.2), 4.0), np.random.default_rng(0), []
    for _ in range(1500):
        X, y = white.sample(60, rng)
        teacher = np.linalg.solve(X.T @ X + 15 * np.eye(50), X.T @ y)
        Z, _ = white.sample(60, rng)
        student = np.linalg.solve(Z.T @ Z + 15 * np.eye(50), Z.T @ (Z @ teacher))
        risks.append([float(white.error(beta)) - 4.0 for beta in (teacher, student)])
    theory = two_stage_risk(white, n_teacher=60, ridge_teacher=15.0, n_student=60, ridge_student=15.0)
    assert (np.abs(np.mean(risks, axis=0) / theory - 1) < 0.02).all()
