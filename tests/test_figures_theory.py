"""Figures of the theory: each claim against a second route, and simulation within its interval of the theory."""

import csv
import functools
import importlib
import logging

import matplotlib as mpl
import numpy as np
import pytest
from scipy.integrate import quad

import kdtheory as kd
from kdtheory.asymptotics import Population
from paper_figs import noise_weight, one_shot_bias, output, proportional_asymptotics, rounds_gain, sign_rule
from paper_figs.style import where
from paper_figs.toy import DATA

mpl.use("agg")
logging.getLogger("fontTools").setLevel(logging.ERROR)
NAMES = ("sign_rule", "rounds_gain", "proportional_asymptotics", "one_shot_bias", "noise_weight")
FEW_SEEDS = {100: 120, 400: 120, 800: 12}  # of one_shot_bias
WITHIN = 1.5  # half-widths of a 95 % interval: neighbouring points share their draws, and there are many


@functools.cache
def table(name):
    module = importlib.import_module(f"paper_figs.{name}")
    with pytest.MonkeyPatch.context() as patch:
        if name == "one_shot_bias":
            patch.setattr(module, "SEEDS", FEW_SEEDS)
        return module.compute()


def rows(name):
    with (DATA / name).open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", NAMES)
def test_drawn_from_the_table_and_written(name, tmp_path, monkeypatch):
    module = importlib.import_module(f"paper_figs.{name}")
    if name == "one_shot_bias":
        monkeypatch.setattr(module, "SEEDS", FEW_SEEDS)
    assert len({len(column) for column in table(name).values()}) == 1
    paths = output.write(name, table(name), module.draw(table(name)), tmp_path)
    assert {path.suffix for path in paths} == {".csv", ".pdf", ".png"}


def test_every_number_has_its_source():
    assert all(row["source"] for name in ("isotropic_weights.csv", "das_sanghavi_reported.csv") for row in rows(name))


def white_weight(penalty, ratio, signal_square, noise_variance):
    """-l R'/(2D) of white features from their scalar equation, by central differences."""

    def two_point(x, z):
        k, m = ((x + ratio - 1 + np.sqrt((1 - ratio - x) ** 2 + 4 * x)) / 2 for x in (x, z))
        g = 1 / ((1 + k) * (1 + m))
        return (noise_variance + k * m * g * signal_square) / (1 - ratio * g)

    h = 1e-4
    up, down = penalty * np.exp(h), penalty * np.exp(-h)
    slope = (two_point(up, penalty) - two_point(down, penalty)) / (2 * h)
    bend = (two_point(up, up) - 2 * two_point(up, down) + two_point(down, down)) / (4 * h**2)
    return -slope / bend


def test_reference_weights_hold_to_their_printed_digits():
    reference = where(table("sign_rule"), kind="reference")
    population = Population(np.ones(sign_rule.P), np.full(sign_rule.P, sign_rule.P**-0.5), sign_rule.NOISE_VARIANCE)
    names = ("penalty_per_example", "features_per_point", "signal_square", "noise_variance")
    for row, weight in zip(rows("isotropic_weights.csv"), reference["teacher_weight"], strict=True):
        half_a_digit = 0.5 * 10.0 ** -len(row["teacher_weight"].partition(".")[2])
        ridge = sign_rule.N * float(row["penalty_per_example"])
        drawn = kd.asymptotics.risk_curve(population, n=sign_rule.N, ridge=ridge).optimal_weight
        scalar = white_weight(*(float(row[name]) for name in names))
        assert weight == float(row["teacher_weight"])
        assert max(abs(drawn - weight), abs(scalar - weight)) <= half_a_digit * 1.001
        assert where(reference, ridge=ridge)["teacher_weight"].tolist() == [weight]


def test_sign_rule_on_both_data_sets():
    for data in ("white", "diabetes"):
        line = where(table("sign_rule"), data=data, kind="theory")
        best = sign_rule._lowest(line["ridge"], line["risk"])
        away = np.abs(np.log(line["ridge"] / best)) > 0.02
        assert (np.sign(line["teacher_weight"]) == np.sign(best - line["ridge"]))[away].all()
        assert (line["risk_of_round"] <= line["risk"]).all()
        assert {True, False} == set((line["teacher_weight"] > 0).tolist())
    white = where(table("sign_rule"), data="white", kind="theory")
    assert abs(sign_rule._lowest(white["ridge"], white["risk"]) / sign_rule.P - 1) < 1e-2  # p noise / signal


@pytest.mark.parametrize("name", ["risk", "risk_of_round", "teacher_weight"])
def test_sign_rule_simulation_meets_theory(name):
    white = where(table("sign_rule"), data="white")
    line, points = where(white, kind="theory"), where(white, kind="measured")
    gap = points[name] - line[name][:: sign_rule.EVERY]
    assert (np.abs(gap) <= WITHIN * points[f"{name}_interval"]).all()
    assert (points[f"{name}_interval"] < 0.05 * np.ptp(line[name]) + 0.01).all()


@pytest.mark.parametrize("name", ["risk", "risk_of_round", "teacher_weight"])
def test_two_students_and_the_ridge_path_agree_on_diabetes(name):
    diabetes = where(table("sign_rule"), data="diabetes")
    line, points = where(diabetes, kind="theory"), where(diabetes, kind="measured")
    np.testing.assert_allclose(points[name], line[name][::4], rtol=1e-4, atol=1e-4)


def least_risk(squares, ridge, rounds, noise_variance):
    """The best P(a) = a + a(1 - a) q(a) by least squares in Chebyshev polynomials of the shifted shrinkage."""
    theta = np.zeros(len(squares))
    theta[0] = np.sqrt(squares[0])
    a = squares / (squares + ridge)
    x = (2 * a - a.max() - a.min()) / max(np.ptp(a), 1e-300) if np.ptp(a) > 0 else 0 * a
    columns = (a * (1 - a))[:, None] * np.polynomial.chebyshev.chebvander(x, max(rounds - 1, 0))[:, :rounds]
    design = np.vstack([columns * theta[:, None], columns * np.sqrt(noise_variance)])
    start = np.concatenate([(a - 1) * theta, a * np.sqrt(noise_variance)])
    rest = start - design @ np.linalg.lstsq(design, start, rcond=1e-14)[0] if rounds else start
    return rest @ rest


def test_synthetic_minima_are_those_of_the_reference():
    panel = where(table("rounds_gain"), panel="a", kind="theory")
    minima = [where(panel, rounds=k)["risk"].min() for k in rounds_gain.ROUNDS]
    np.testing.assert_allclose(minima[2:], [0.01539, 0.01538, 0.01538], atol=5.01e-6)
    how = (*rounds_gain._leading(np.array(rounds_gain.SINGULAR_VALUES) ** 2), rounds_gain.NOISE_VARIANCE)
    finer = min(rounds_gain._best(*how, ridge, 0) for ridge in np.logspace(-1.2, -0.8, 200).tolist())
    assert abs(finer - 0.03576) < 5.01e-6
    assert finer <= minima[0] < finer * 1.002
    one = where(panel, rounds=1)  # the reference stopped at ridge 100; the infimum is at infinity
    assert abs(np.interp(2.0, np.log10(one["x"]), one["risk"]) - 0.01661) < 6e-6
    assert (np.diff(one["risk"][-40:]) < 0).all()
    assert (panel["risk"] >= panel["wiener"] * (1 - 1e-12)).all()
    np.testing.assert_allclose(where(panel, rounds=4)["risk"], panel["wiener"][0], rtol=1e-9)


@pytest.mark.parametrize("k", rounds_gain.ROUNDS)
def test_chains_of_solves_and_least_squares_meet_the_optimum(k):
    panel = where(table("rounds_gain"), panel="a", rounds=k)
    line, points = where(panel, kind="theory"), where(panel, kind="measured")
    at = np.searchsorted(line["x"], points["x"])
    assert (line["x"][at] == points["x"]).all()
    assert (np.abs(points["risk"] - line["risk"][at]) <= WITHIN * points["interval"]).all()
    squares = np.array(rounds_gain.SINGULAR_VALUES) ** 2
    independent = [least_risk(squares, ridge, k, rounds_gain.NOISE_VARIANCE) for ridge in line["x"][::10]]
    np.testing.assert_allclose(line["risk"][::10], independent, rtol=1e-7)


def test_gain_grows_with_the_directions():
    panel = where(table("rounds_gain"), panel="b")
    for k, printed in ((0, (1.99, 3.97, 7.89)), (1, (1.25, 2.39, 4.70))):
        line = where(panel, rounds=k)
        ratio = line["risk"] / line["wiener"]
        np.testing.assert_allclose(ratio[[1, 3, 7]], printed, atol=5.01e-3)
        assert (np.diff(ratio) > 0).all()
    four = where(panel, rounds=4)
    np.testing.assert_allclose((four["risk"] / four["wiener"])[:4], 1.0, rtol=1e-9)
    assert (four["risk"] / four["wiener"])[4:].min() > 1.005


def test_tied_eigenvalues_cannot_be_told_apart():
    panel = where(table("rounds_gain"), panel="c")
    pooled, chain = where(panel, kind="theory"), where(panel, kind="chain", rounds=8)
    np.testing.assert_allclose(chain["risk"], pooled["risk"], rtol=1e-9)
    size = np.array([8, 4, 3, 2, 2, 2, 2, 1])  # of the leading group
    np.testing.assert_allclose(pooled["risk"], size * 1e-3 / (1 + size * 1e-3), rtol=1e-12)


def explicit(population, n, ridge):
    """Risk of ridge regression, and of one pure round, by explicit formulas in traces of up to fourth order."""
    e, v, s2, x = population.eigenvalues, population.signal, population.noise_variance, ridge / n
    k = kd.asymptotics.implicit_ridge(population, n=n, ridge=ridge)
    t = {j: np.sum(e**2 / (e + k) ** j) / n for j in (2, 3, 4)}
    q = {j: np.sum(v**2 / (e + k) ** j) for j in (2, 3, 4)}
    b = 1 / (1 - t[2])
    u2, u3, u4 = t[2] * b, t[3] * b**3, t[4] * b**4 + 2 * t[3] ** 2 * b**5
    E = k - b * x + b**2 * k * x * t[3]
    a2 = b * E**2 + b**4 * k**2 * x**2 * t[4] + b**5 * k**2 * x**2 * t[3] ** 2
    a3, a4 = 2 * b**2 * k * x * E, b**3 * k**2 * x**2
    ridge_risk = k**2 * b * q[2] + s2 * (1 + u2)
    pure = 4 * k**2 * b * q[2] - 4 * (k * b * E * q[2] + k**2 * b**2 * x * q[3])
    return ridge_risk, pure + a2 * q[2] + a3 * q[3] + a4 * q[4] + s2 * (1 + u2 - 2 * x * u3 + x**2 * u4)


@pytest.mark.parametrize("covariance", proportional_asymptotics.COVARIANCES)
def test_deterministic_equivalents_by_two_routes_and_simulation(covariance):
    f = proportional_asymptotics
    population = f._population(covariance)
    squares = population.signal**2 / population.eigenvalues  # of the coefficients, largest eigenvalues first
    np.testing.assert_allclose([squares.sum(), squares[: f.P // 10].sum()], [1.0, 0.9])
    assert (np.diff(population.eigenvalues) <= 1e-12).all()
    panel = where(table("proportional_asymptotics"), covariance=covariance)
    plain, pure, best = (where(panel, chain=chain)["theory"] for chain in f.CHAINS)
    by_formula = np.array([explicit(population, f.N, ridge) for ridge in f.RIDGES]).T
    np.testing.assert_allclose([plain, pure], by_formula, rtol=1e-9)
    assert (best <= np.minimum(plain, pure) * (1 + 1e-12)).all()
    assert np.isfinite(panel["measured"]).sum() == 3 * 10
    simulated = where({k: v[np.isfinite(panel["measured"])] for k, v in panel.items()})
    assert (np.abs(simulated["measured"] - simulated["theory"]) <= WITHIN * simulated["interval"]).all()
    assert np.abs(simulated["relative_deviation"]).max() < 0.015


def test_the_simulated_round_is_the_one_that_two_solves_give():
    f = proportional_asymptotics
    population = f._population("autoregressive 0.5")
    ridges = f.RIDGES[:: f.EVERY]
    weights = np.linspace(-1.0, 2.0, 3 * len(ridges)).reshape(3, -1)
    risks = f._simulate(population, weights, seed=5)
    X, y = population.sample(f.N, np.random.default_rng(5))
    for i, j in ((0, 0), (1, 4), (2, 9)):
        matrix = X.T @ X + ridges[j] * np.eye(f.P)
        teacher = X @ np.linalg.solve(matrix, X.T @ y)
        student = np.linalg.solve(matrix, X.T @ ((1 - weights[i, j]) * y + weights[i, j] * teacher))
        np.testing.assert_allclose(risks[i, j], population.error(student), rtol=1e-9)


def marchenko_pastur(function, ratio):
    """Integral of f over the limiting spectrum of X X'/n, for p/n = ratio < 1, its mass at zero included."""
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2

    def integrand(angle):
        x = (low + high) / 2 + (high - low) / 2 * np.cos(angle)
        return function(x) * ((high - low) / 2 * np.sin(angle)) ** 2 / (2 * np.pi * x)

    return (1 - ratio) * function(0.0) + quad(integrand, 0.0, np.pi, epsabs=1e-12)[0]


def test_plain_limit_by_the_spectrum_of_the_gram_matrix():
    """Labels have covariance x r²/ratio + s² in the eigenbasis of X X'/n, so every product is one integral."""
    ratio, printed = 0.5, (2.052, 1.077, -0.805, -3.512)
    limits = table("one_shot_bias")
    for penalty, value in zip(one_shot_bias.PENALTIES, printed, strict=True):
        u = lambda x: penalty / (x + penalty)
        left_r, left_q = marchenko_pastur(u, ratio), marchenko_pastur(lambda x: u(x) * (2 - u(x)), ratio)
        products = [marchenko_pastur(lambda x: u(x) ** 2 * (2 - u(x)) ** j * (x / ratio + 1), ratio) for j in range(3)]
        rr, rq, qq = (product / left_r ** (2 - j) / left_q**j for j, product in enumerate(products))
        plain = where(limits, kind="plain limit", penalty=penalty)["teacher_weight"][0]
        assert abs(plain - (rr - rq) / (rr - 2 * rq + qq)) < 1e-6
        assert abs(plain - value) < 5.01e-4
        truth = where(limits, kind="optimal limit", penalty=penalty)["teacher_weight"][0]
        assert abs(truth - white_weight(penalty, ratio, 1.0, 1.0)) < 1e-6
    costs = [where(limits, kind="plain limit", penalty=x)["relative_cost"][0] for x in (0.2, 1.0, 5.0)]
    np.testing.assert_allclose(costs, [0.017, 0.019, 0.004], atol=5.01e-4)


def test_estimates_go_to_their_own_limits():
    limits = table("one_shot_bias")
    for penalty in one_shot_bias.PENALTIES:
        at = where(limits, penalty=penalty)
        optimal, plain = (where(at, kind=f"{kind} limit")["teacher_weight"][0] for kind in ("optimal", "plain"))
        for method, own in (("leave-one-out", optimal), ("gcv-derivative", optimal), ("gcv", plain)):
            estimate = where(at, kind=method, points=400.0)
            assert np.abs(estimate["teacher_weight"] - own) <= WITHIN * estimate["teacher_weight_interval"]
        both = [where(at, kind=method, points=400.0)["teacher_weight"][0] for method in ("gcv", "leave-one-out")]
        assert 0.5 < (both[0] - both[1]) / (plain - optimal) < 1.5  # the same draws: their difference is the bias


def test_the_spectrum_from_the_smaller_product_is_the_same():
    X, y = one_shot_bias._population(60).sample(60, np.random.default_rng(0))
    ours, direct = one_shot_bias._spectrum(X), kd.Spectrum.from_features(X)
    np.testing.assert_allclose(ours.eigenvalues, direct.eigenvalues, rtol=1e-10)
    for method in one_shot_bias.METHODS:
        weights = [kd.one_shot_weight(s, y, ridge=6.0, method=method) for s in (ours, direct)]
        assert abs(weights[0] - weights[1]) < 1e-9


@pytest.mark.parametrize("error", noise_weight.ERRORS)
@pytest.mark.parametrize("ridge", noise_weight.RIDGES)
def test_weight_rises_with_noise_to_its_limit_and_meets_simulation(error, ridge):
    X, signal = noise_weight._design()
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    h, theta, power = s**2 / (s**2 + ridge), U.T @ signal / s, 0 if error == "parameters" else 2
    line = where(table("noise_weight"), kind="theory", error=error, ridge=ridge)
    noise = line["noise_variance"][:, None]
    top = (1 - h) * (noise * h**2 / s**2 - h * (1 - h) * theta**2) * s**power
    bottom = (1 - h) ** 2 * h**2 * (theta**2 + noise / s**2) * s**power
    np.testing.assert_allclose(line["teacher_weight"], top.sum(axis=1) / bottom.sum(axis=1), rtol=1e-9)  # Das & Sanghavi
    limit = np.sum((1 - h) * h**2 * s ** (power - 2)) / np.sum((1 - h) ** 2 * h**2 * s ** (power - 2))
    np.testing.assert_allclose(line["infinite_noise"], limit, rtol=1e-9)
    assert (np.diff(line["teacher_weight"]) > 0).all()
    assert line["teacher_weight"][0] < 0
    assert 1 < line["teacher_weight"][-1] < limit
    points = where(table("noise_weight"), kind="measured", error=error, ridge=ridge)
    theory, w = line["teacher_weight"][:: noise_weight.EVERY], points["teacher_weight"]
    assert (theory <= w + WITHIN * (points["high"] - w)).all()
    assert (theory >= w - WITHIN * (w - points["low"])).all()


def test_reported_gains_are_those_in_print():
    reported = where(table("noise_weight"), kind="reported")
    printed = [float(row["gain"]) for row in rows("das_sanghavi_reported.csv")]
    np.testing.assert_allclose(reported["gain"], printed, atol=1e-9)
    assert reported["teacher_weight"].tolist() == [1.5, 1.2, 3.5, 1.0]
    noisy = reported["noise_share"] > 0
    assert (reported["teacher_weight"][noisy] > 1).all()
    assert (reported["gain"][noisy] > 0).all()
