import re

import numpy as np
import pytest

from kdtheory.asymptotics import Population, implicit_ridge, risk, risk_curve, two_point_risk
from kdtheory.theorems import deterministic_equivalents
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(deterministic_equivalents))
def test_theorem(law, theorem):
    law(theorem)


WHITE = {"eigenvalues": np.ones(100), "signal": np.full(100, 0.1), "noise_variance": 1.0}


@pytest.mark.parametrize(("penalty", "weight"), [(0.1, 1.867), (0.2, 0.953571), (1.0, -0.7083), (5.0, -3.293)])
def test_isotropic_weights(penalty, weight):
    """Roots of the scalar equation kappa^2 + kappa (1 - gamma - l) - l = 0, gamma = 1/2; kept to the digits given."""
    curve = risk_curve(Population(**WHITE), n=200, ridge=200 * penalty)
    assert abs(curve.optimal_weight - weight) < (5e-7 if weight == 0.953571 else 5e-4)


def test_isotropic_risks():
    curve = risk_curve(Population(**WHITE), n=200, ridge=40.0)
    np.testing.assert_allclose([curve(0.0), curve(1.0), curve.minimum], [1.48400, 1.41602, 1.41585], atol=6e-6)


@pytest.mark.parametrize(
    ("gamma", "weights"),
    [
        (0.2, (0.8725, 0.3127, -0.3718, -0.6111)),
        (0.5, (0.7083, 0.2887, -0.4083, -0.7083)),
        (1.0, (0.6429, 0.2794, -0.4231, -0.75)),
        (2.0, (0.6667, 0.2816, -0.4242, -0.7593)),
    ],
)
def test_isotropic_weights_around_the_best_ridge(gamma, weights):
    p, n = round(100 * gamma), 100
    white = Population(np.ones(p), np.full(p, p**-0.5), 1.0)
    got = [risk_curve(white, n=n, ridge=factor * p).optimal_weight for factor in (0.5, 0.75, 1.5, 2.0)]
    np.testing.assert_allclose(got, weights, atol=6e-5)


def mixture(ridges, weights):
    """Weights of the ridge fits that a chain is, as residues of its rational filter, round by round."""
    c = np.zeros(len(ridges))
    for j, ridge in enumerate(ridges):
        total = 1.0
        for t, w in enumerate(weights, 1):
            total = (1 - w) * np.prod(ridges[:t] - ridge) - w * ridge * total
        c[j] = total / np.prod([other - ridge for other in ridges if other != ridge])
    return c


def test_equal_ridges_are_the_limit_of_close_ones():
    """Where the ridges differ, the two-point form is exact; the mean over both orders leaves an error of second order."""
    population = Population(np.arange(1, 31.0) ** -1.0, np.arange(1, 31.0) ** -0.7, 0.2)
    weights, mixed = [0.7, -0.5, 0.4], []
    for step in (0.05, -0.05):
        ridges = 2.0 * (1 + step * np.array([-1.5, -0.5, 0.5, 1.5]))
        c = mixture(ridges, weights)
        assert abs(c.sum() - 1) < 1e-9
        mixed.append(c @ two_point_risk(population, n=40, ridges=ridges) @ c)
    assert abs(np.mean(mixed) / risk(population, n=40, ridge=2.0, teacher_weights=weights)[-1] - 1) < 2e-3


def test_another_test_distribution_by_simulation():
    rng = np.random.default_rng(0)
    e, v = np.arange(1, 41.0) ** -0.8, np.arange(1, 41.0) ** -0.6
    population, test = Population(e, v, 0.3), np.linspace(0.2, 2.0, 40)
    errors = []
    for _ in range(200):
        X, y = population.sample(80, rng)
        beta = X.T @ np.linalg.solve(X @ X.T + 3.0 * np.eye(80), y)
        errors.append(np.sum(test * (beta - v / np.sqrt(e)) ** 2) + 0.3)
    theory = two_point_risk(population, n=80, ridges=[3.0], test_eigenvalues=test)[0, 0]
    assert abs(np.mean(errors) - theory) < 4 * np.std(errors) / 200**0.5 + 0.02 * theory


def test_bad_populations_and_samples_get_one_sentence():
    for change, sentence in [
        ({"eigenvalues": [1.0, 0.0]}, "`eigenvalues` must be positive, got 0.0."),
        ({"signal": np.ones(3)}, "`signal` must have 100 entries like `eigenvalues`, got 3."),
        ({"noise_variance": -1.0}, "`noise_variance` must be zero or positive and finite, got -1.0."),
    ]:
        with pytest.raises(ValueError, match=re.escape(sentence)):
            Population(**WHITE | change)
    with pytest.raises(ValueError, match="`n` must be a whole number of at least 1, got 0"):
        risk(Population(**WHITE), n=0, ridge=1.0)
    with pytest.raises(ValueError, match="`ridge` must be positive and finite, got 0"):
        risk(Population(**WHITE), n=10, ridge=0.0)


def test_without_ridge_only_interpolation_has_an_implicit_one():
    population = Population(np.ones(20), np.ones(20), 0.0)
    assert implicit_ridge(population, n=30, ridge=0.0) == 0.0
    assert abs(implicit_ridge(population, n=10, ridge=0.0) - 1.0) < 1e-12  # 20 / (1 + kappa) = 10
