"""The pruned limit: against simulation at spectra, shares and ridges of all kinds, and its special cases."""

import numpy as np
import pytest

from kdtheory.asymptotics import Population, best_ridge, implicit_ridge, pruned_risk_curves, risk_curve, two_point_risk
from kdtheory.two_stage import surrogate_risk

I = np.arange(1, 121.0)  # noqa: E741
RNG = np.random.default_rng(5)
POPULATIONS = {
    "white": Population(np.ones(120), np.full(120, 0.1), 0.5),
    "power law": Population(I**-1.3, I**-0.8, 0.2),
    "two levels": Population(np.where(I < 20, 10.0, 0.1), np.where(I < 40, 0.3, 0.02), 1.0),
    "any": Population(np.sort(RNG.exponential(size=120) + 0.01)[::-1], RNG.normal(size=120) / 8, 0.05),
}


def by_simulation(population, *, n, m, ridge, teacher_ridge, draws, seed=0):
    """Mean risk at weights 0, 1/2, 1, and its standard error, by linear solves."""
    rng, p = np.random.default_rng(seed), len(population.eigenvalues)
    risks = []
    for _ in range(draws):
        X, y = population.sample(n, rng)
        teacher = np.linalg.solve(X.T @ X + teacher_ridge * np.eye(p), X.T @ y)
        F, labels = X[:m], y[:m]
        A = F.T @ F + ridge * np.eye(p)
        fits = np.linalg.solve(A, F.T @ np.stack([labels, (labels + F @ teacher) / 2, F @ teacher], axis=1))
        risks.append(population.error(fits))
    return np.mean(risks, axis=0), np.std(risks, axis=0) / np.sqrt(draws)


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize(("share", "own", "other"), [(0.2, 0.3, 1.0), (0.6, 3.0, 0.1), (0.9, 0.05, 5.0), (0.35, 1.0, 1.0)])
def test_simulated_students(name, share, own, other):
    population, n = POPULATIONS[name], 240
    unit = float(population.eigenvalues.mean()) * 30
    curves = pruned_risk_curves(
        population, n=n, keep_fraction=share, ridge=own * unit, teacher_ridge=other * unit, ridge_convention="absolute"
    )
    mean, error = by_simulation(population, n=n, m=round(share * n), ridge=own * unit, teacher_ridge=other * unit, draws=120)
    assert (np.abs(mean - curves([0.0, 0.5, 1.0])) < 4 * error + 0.02 * mean).all(), (mean, curves([0.0, 0.5, 1.0]), error)


def test_on_all_points_it_is_the_known_limit():
    """The parabola of one round with the teacher's own ridge, by derivatives of the two-point risk."""
    for population in POPULATIONS.values():
        for ridge in (1.0, 30.0):
            curves = pruned_risk_curves(population, n=200, keep_fraction=1.0, ridge=ridge, ridge_convention="absolute")
            h = 1e-4
            up, down = ridge * np.exp(h), ridge * np.exp(-h)
            R = two_point_risk(population, n=200, ridges=[down, ridge, up])
            slope = (R[1, 2] - R[1, 0]) / h  # 2 ridge d_1 R, since a pure round is an Euler step along the path
            bend = (R[2, 2] - 2 * R[0, 2] + R[0, 0]) / (4 * h**2)
            np.testing.assert_allclose([curves.start, curves.slope, curves.curvature], [R[1, 1], slope, bend], rtol=1e-3)
            assert risk_curve(population, n=200, ridge=ridge).optimal_weight == pytest.approx(float(curves.vertex))


def test_teacher_that_knows_everything_is_a_noiseless_labeller():
    """n without end: the student at weight 1 has fresh points and true labels."""
    population = POPULATIONS["power law"]
    clean = Population(population.eigenvalues, population.signal, 0.0)
    for m, ridge in ((50, 0.5), (200, 2.0)):
        n = 10**9
        curves = pruned_risk_curves(
            population, n=n, keep_fraction=m / n, ridge=ridge, teacher_ridge=1e-6, ridge_convention="absolute"
        )
        expected = surrogate_risk(clean, clean.signal, n=m, ridge=ridge) + population.noise_variance
        assert float(curves(1.0)) == pytest.approx(expected, rel=1e-5)


def test_weight_rises_as_less_is_kept_where_the_added_part_wants_more():
    population = POPULATIONS["white"]
    shares = np.linspace(0.05, 1.0, 40)
    for ridge in (0.3, 1.0, 3.0):
        w = pruned_risk_curves(population, n=300, keep_fraction=shares, ridge=ridge, ridge_convention="per_example").vertex
        assert (np.diff(w) < 0).all()


def test_ridge_zero_is_the_limit():
    population = POPULATIONS["power law"]
    for m, n in ((50, 100), (200, 400)):  # fewer and more points than features
        how = {"n": n, "keep_fraction": m / n, "ridge_convention": "absolute", "teacher_ridge": 0.4}
        zero, tiny = (pruned_risk_curves(population, ridge=ridge, **how) for ridge in (0.0, 1e-9))
        np.testing.assert_allclose(zero([0.0, 1.0]), tiny([0.0, 1.0]), rtol=1e-5)
    both = pruned_risk_curves(population, n=400, keep_fraction=0.5, ridge=0.0, ridge_convention="absolute")
    assert both.vertex == pytest.approx(1.0)  # least squares: the student is its teacher
    excess = both([0.0, 1.0]) - population.noise_variance
    assert excess[0] / excess[1] == pytest.approx((120 / 80) / (120 / 280))


def test_families_of_populations():
    power = Population.power_law(50, decay=1.3, signal_decay=0.7, noise_variance=0.2, signal_square=2.0)
    np.testing.assert_allclose(power.eigenvalues, np.arange(1, 51) ** -1.3)
    np.testing.assert_allclose(power.signal**2, 2 * np.arange(1, 51) ** -0.7 / np.sum(np.arange(1, 51) ** -0.7))
    white = Population.isotropic(100, noise_variance=1.0)
    assert (white.eigenvalues == 1).all()
    assert np.sum(white.signal**2) == pytest.approx(1.0)


def test_shapes_are_broadcast():
    population = POPULATIONS["any"]
    noise = np.array([0.1, 1.0])[:, None, None]
    share = np.array([0.2, 0.5, 1.0])[:, None]
    n = np.array([100, 200, 300, 400])
    grid = pruned_risk_curves(
        population, n=n, keep_fraction=share, noise_variance=noise, ridge=0.1, ridge_convention="per_example"
    )
    assert grid.shape == (2, 3, 4)
    single = pruned_risk_curves(
        Population(population.eigenvalues, population.signal, 1.0),
        n=200,
        keep_fraction=0.5,
        ridge=0.1,
        ridge_convention="per_example",
    )
    assert float(grid[1, 1, 1].vertex) == pytest.approx(float(single.vertex), rel=1e-12)
    kappas = implicit_ridge(population, n=n, ridge=[1.0, 2.0, 3.0, 4.0])
    assert kappas[2] == pytest.approx(implicit_ridge(population, n=300, ridge=3.0), rel=1e-13)


def test_best_ridges_are_the_lowest():
    population = POPULATIONS["two levels"]
    for weight in (0.0, 0.5, None):
        for convention in ("absolute", "per_example"):
            how = {"n": 200, "keep_fraction": 0.4, "ridge_convention": convention, "teacher_ridge": 0.3}
            best = best_ridge(population, teacher_weight=weight, **how)
            around = pruned_risk_curves(population, ridge=best * np.geomspace(0.2, 5.0, 41), **how)
            risks = around.minimum if weight is None else around(weight)
            assert risks.argmin() == 20 or risks.min() > risks[20] * (1 - 1e-6)
    # Bayes: ridge regression wants p sigma^2 / r^2 whatever is kept, in either unit
    white = POPULATIONS["white"]
    shares = np.array([0.1, 0.5, 1.0])
    np.testing.assert_allclose(
        best_ridge(white, n=300, keep_fraction=shares, ridge_convention="absolute"), 120 * 0.5 / 1.2, rtol=1e-4
    )
    np.testing.assert_allclose(
        best_ridge(white, n=300, keep_fraction=shares, ridge_convention="per_example"), 50 / (300 * shares), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep_fraction": 1.2}, "`keep_fraction` must be above 0 and at most 1, got 1.2"),
        ({"keep_fraction": 0.0}, "`keep_fraction` must be above 0 and at most 1, got 0.0"),
        ({"ridge": -1.0}, "`ridge` must be zero or positive, got -1.0"),
        ({"teacher_ridge": -1.0}, "`teacher_ridge` must be zero or positive, got -1.0"),
        ({"noise_variance": [-1.0]}, "`noise_variance` must be zero or positive, got -1.0"),
        ({"n": 0}, "`n` must be positive, got 0"),
        ({"ridge_convention": "mean"}, '`ridge_convention` must be "absolute" or "per_example", got \'mean\''),
        ({"n": [100, 200], "keep_fraction": [0.1, 0.2, 0.3]}, "`n` and the other arrays must have shapes that fit together"),
        (
            {"n": 240, "keep_fraction": 0.5, "ridge": 0.0},
            "`ridge` must be positive where the student's points number about as many",
        ),
    ],
)
def test_bad_input(changes, message):
    how = {"n": 100, "keep_fraction": 0.5, "ridge": 1.0, "ridge_convention": "absolute"} | changes
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("^", r"\^")):
        pruned_risk_curves(POPULATIONS["white"], **how)


def test_implicit_ridges_of_bad_arrays():
    with pytest.raises(ValueError, match="`ridge` must be zero or positive, got -1"):
        implicit_ridge(POPULATIONS["white"], n=[10, 20], ridge=[1.0, -1.0])
    with pytest.raises(ValueError, match="`n` must be positive, got 0"):
        implicit_ridge(POPULATIONS["white"], n=[10, 0], ridge=1.0)
