"""Filters against 50-digit arithmetic: fit, dual and residual, where the naive forms lose every digit."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kdtheory as kd

RATIOS = np.logspace(-16, 16, 33)
DIGITS = 120  # enough that 1 - fit keeps 50 digits at a residual of 1e-50


def exact_chain(d, ridges, weights):
    """(fit, dual, residual) of the last round by the recursion, in high precision."""
    d = mp.mpf(float(d))
    fit = mp.mpf(1)
    for ridge, weight in zip(ridges, (0.0, *weights), strict=True):
        lam, w = mp.mpf(float(ridge)), mp.mpf(float(weight))
        dual = ((1 - w) + w * fit) / (d + lam)
        fit = d * dual
    return fit, dual, 1 - fit


def exact_constant(d, ridge, weight, rounds):
    """The same for one weight by summing the geometric series, in high precision."""
    d, lam, w = (mp.mpf(float(v)) for v in (d, ridge, weight))
    a, r = d / (d + lam), w * d / (d + lam)
    powers = lambda m: mp.mpf(m) if r == 1 else (1 - r**m) / (1 - r)
    fit, teacher = ((1 - w) * a * powers(m) + r**m for m in (rounds + 1, rounds))
    return fit, ((1 - w) + w * teacher) / (d + lam), lam / (d + lam) * powers(rounds + 1)


def worst_error(filter, d_values, exact):
    worst = 0.0
    for name, index in (("fit", 0), ("dual", 1), ("residual", 2)):
        got = getattr(filter, name)(d_values)
        for value, d in zip(got, d_values, strict=True):
            reference = exact(d)[index]
            if abs(reference) > mp.mpf("1e-290"):
                worst = max(worst, float(abs((mp.mpf(float(value)) - reference) / reference)))
    return worst


@pytest.mark.parametrize("rounds", [0, 1, 2, 3, 20, 999, 10**6])
@pytest.mark.parametrize("weight", [0.0, 1e-12, 0.3, 0.75, 1 - 1e-6, 1 - 1e-12, 1.0, -0.5, -1.0])
def test_constant_chain_keeps_twelve_digits(weight, rounds):
    with mp.workdps(DIGITS):
        ridge = 0.3
        filter = kd.Distilled.constant(ridge=ridge, teacher_weight=weight, rounds=rounds)
        assert worst_error(filter, RATIOS * ridge, lambda d: exact_constant(d, ridge, weight, rounds)) < 1e-12


@pytest.mark.parametrize("rounds", [1, 2, 7])
def test_the_two_references_agree(rounds):
    with mp.workdps(DIGITS):
        for d in (1e-9, 0.4, 1e9):
            one = exact_chain(d, [0.3] * (rounds + 1), [0.75] * rounds)
            two = exact_constant(d, 0.3, 0.75, rounds)
            assert all(abs(a - b) < mp.mpf("1e-60") * abs(b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(
    ("ridges", "weights"),
    [
        ([0.2] * 5, [0.9, 0.9, 0.1, 1.0]),
        ([0.2, 3.0, 1e-8, 1e8, 0.2], [1.0, 0.5, 1 - 1e-12, 0.0]),
        ([1.0] * 301, [1.0, 1 - 1e-12] * 150),
        ([1e16, 1e-16, 1.0], [0.0, 1.0]),
    ],
)
def test_any_schedule_in_the_unit_interval_keeps_twelve_digits(ridges, weights):
    with mp.workdps(DIGITS):
        assert worst_error(kd.Distilled(ridges, weights), RATIOS, lambda d: exact_chain(d, ridges, weights)) < 1e-12


@pytest.mark.parametrize("pairs", [10_000, pytest.param(500_000, marks=pytest.mark.slow)])
def test_many_alternating_rounds_keep_twelve_digits(pairs):
    """Single rounds near weight 1 change the fit by less than its rounding; nothing of it may get lost."""
    filter = kd.Distilled(1.0, [1.0, 1 - 1e-12] * pairs)
    d_values = np.array([1e-3, 1.0, 1e3, 1e6, 1e9, 1e12, 1e16])
    with mp.workdps(60):
        fit, residual = filter.fit(d_values), filter.residual(d_values)
        for got_fit, got_residual, d in zip(fit, residual, d_values, strict=True):
            u = 1 / (1 + mp.mpf(float(d)))
            r1, r2 = 1 - u, (1 - u) * mp.mpf(1 - 1e-12)
            pair = r1 * r2
            e = (u + r2 * u) * (1 - pair**pairs) / (1 - pair) + pair**pairs * u
            assert abs(mp.mpf(float(got_residual)) - e) < 1e-12 * e
            assert abs(mp.mpf(float(got_fit)) - (1 - e)) < 1e-13 * (1 - e)


def test_naive_residual_loses_every_digit_and_ours_does_not():
    """The planted comparison: 1 - fit by subtraction is not even the right order of magnitude."""
    filter = kd.Distilled.constant(ridge=1e-16, teacher_weight=0.5, rounds=10)
    d = np.array([3.0])
    exact = 1e-16 / 3 * (1 - 0.5**11) / 0.5
    assert abs(filter.residual(d)[0] / exact - 1) < 1e-12
    assert abs((1 - filter.fit(d)[0]) / exact - 1) > 0.1


@given(
    st.lists(st.floats(-2.0, 2.0), min_size=0, max_size=6),
    st.floats(1e-6, 1e6),
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=5),
)
def test_every_round_is_the_recursion(weights, ridge, d):
    d = np.array(d)
    got = kd.Distilled(ridge, weights).every_round(d)
    fit = np.ones_like(d)
    growth = 1.0
    for t, weight in enumerate([0.0, *weights]):
        dual = ((1 - weight) + weight * fit) / (d + ridge)
        fit = d * dual
        growth = max(growth, growth * abs(weight) + abs(1 - weight))
        np.testing.assert_allclose(got.dual[t] * (d + ridge), dual * (d + ridge), rtol=0, atol=1e-13 * growth)
        np.testing.assert_allclose(got.fit[t], fit, rtol=0, atol=1e-13 * growth)
        np.testing.assert_allclose(got.residual[t], 1 - fit, rtol=0, atol=1e-13 * growth)
    np.testing.assert_allclose(kd.Distilled(ridge, weights).fit(d), got.fit[-1], rtol=0, atol=1e-13 * growth)
    np.testing.assert_allclose(kd.Distilled(ridge, weights).dual(d), got.dual[-1], rtol=0, atol=1e-13 * growth / ridge)


@given(st.lists(st.floats(0.05, 0.95), min_size=1, max_size=6))
def test_schedule_and_polynomial_are_the_same_filter(weights):
    chain = kd.Distilled(0.7, weights)
    polynomial = chain.polynomial()
    assert abs(sum(polynomial.coefficients) - 1) < 1e-12
    for name in ("fit", "dual", "residual"):
        np.testing.assert_allclose(getattr(polynomial, name)(RATIOS), getattr(chain, name)(RATIOS), rtol=1e-10)
    np.testing.assert_allclose(polynomial.teacher_weights(), weights, rtol=1e-6)


@pytest.mark.parametrize("weights", [[1e17], [1e10], [-3.0] * 30, [-6433713753386421.0, 1.1e-16, 0.78, 0.9], [-1e8, 0.5, 2.0]])
def test_weights_far_outside_spoil_neither_round_zero_nor_what_can_be_kept(weights):
    with mp.workdps(DIGITS):
        for d in (1e-6, 3.0, 1e6, 1e16):
            got = kd.Distilled(1.0, weights).every_round(d)
            assert abs(got.dual[0] * (1 + d) - 1) < 1e-15
            for t in range(1, len(weights) + 1):
                fit, dual, residual = exact_chain(d, [1.0] * (t + 1), weights[:t])
                _, _, before = exact_chain(d, [1.0] * t, weights[: t - 1])
                condition = 1 + abs(weights[t - 1] * before) / abs(1 - mp.mpf(weights[t - 1]) * before)
                assert abs(got.fit[t] / fit - 1) < 1e-13 * condition
                assert abs(got.dual[t] / dual - 1) < 1e-13 * condition
                assert abs(got.residual[t] - residual) < 1e-13 * abs(residual) + 1e-13 * max(map(abs, weights[:t]))


def test_limit_is_where_many_rounds_end():
    for weight in (-0.9, 0.0, 0.4, 0.99):
        limit = kd.Distilled.limit(ridge=0.2, teacher_weight=weight)
        many = kd.Distilled.constant(ridge=0.2, teacher_weight=weight, rounds=10**5)
        np.testing.assert_allclose(many.fit(RATIOS[:24]), limit.fit(RATIOS[:24]), rtol=1e-12)
    assert kd.Distilled.limit(ridge=0.2, teacher_weight=0.75) == kd.Ridge(0.8)
    zero = kd.Distilled.limit(ridge=0.2, teacher_weight=1.0)
    assert zero.fit([0.0, 3.0]).tolist() == [0.0, 0.0]
    assert zero.residual([0.0, 3.0]).tolist() == [1.0, 1.0]


def test_limit_above_weight_one_is_a_negative_ridge():
    d = np.array([0.5, 2.0])
    limit = kd.Distilled.limit(ridge=0.2, teacher_weight=1.05, largest_eigenvalue=2.0)
    assert limit.ridge < 0
    many = kd.Distilled.constant(ridge=0.2, teacher_weight=1.05, rounds=5000)
    np.testing.assert_allclose(many.fit(d), limit.fit(d), rtol=1e-10)
    np.testing.assert_allclose(many.residual(d), limit.residual(d), rtol=1e-10)


@pytest.mark.parametrize("weight", [1.11, -1.11])
def test_outside_the_interval_the_chain_diverges_and_limit_says_so(weight):
    with pytest.raises(ValueError, match=r"`teacher_weight` must lie in \(-1\.1, 1\.1\).*diverges"):
        kd.Distilled.limit(ridge=0.2, teacher_weight=weight, largest_eigenvalue=2.0)
    fits = np.abs(kd.Distilled.constant(ridge=0.2, teacher_weight=weight, rounds=2000).every_round([2.0]).fit)
    assert fits[-1] > 1e3 * fits[100]
    inside = np.sign(weight) * 1.09
    kd.Distilled.limit(ridge=0.2, teacher_weight=inside, largest_eigenvalue=2.0)
    fits = kd.Distilled.constant(ridge=0.2, teacher_weight=inside, rounds=5000).every_round([2.0]).fit
    assert abs(fits[-1] - fits[-2]) < 1e-9 * abs(fits[-1])


def test_without_a_spectrum_limit_takes_what_converges_on_all():
    assert kd.Distilled.limit(ridge=0.2, teacher_weight=-1.0) == kd.Ridge(0.1)
    with pytest.raises(ValueError, match=r"`teacher_weight` must lie in \[-1, 1\].*largest_eigenvalue"):
        kd.Distilled.limit(ridge=0.2, teacher_weight=1.0001)


def test_gradient_flow_solves_its_equation():
    d, t, h = np.array([0.0, 1e-9, 0.3, 5.0]), 2.0, 1e-5
    speed = (kd.GradientFlow(t + h).fit(d) - kd.GradientFlow(t - h).fit(d)) / (2 * h)
    np.testing.assert_allclose(speed, d * (1 - kd.GradientFlow(t).fit(d)), atol=1e-9)
    with mp.workdps(60):
        for ratio in (1e-16, 1e-8, 1.0, 100.0):
            flow, x = kd.GradientFlow(3.0), mp.mpf(float(ratio))
            assert abs(flow.fit(ratio) / (1 - mp.exp(-3 * x)) - 1) < 1e-14
            assert abs(flow.dual(ratio) * x / (1 - mp.exp(-3 * x)) - 1) < 1e-14
            assert abs(flow.residual(ratio) / mp.exp(-3 * x) - 1) < 1e-13
    assert kd.GradientFlow(3.0).dual(0.0) == 3.0


def test_polynomial_residual_does_not_cancel():
    with mp.workdps(80):
        for d in (1e-12, 1.0, 1e14):
            a = mp.mpf(d) / (mp.mpf(d) + 2)
            exact = 1 - (mp.mpf(0.5) * a + mp.mpf(0.25) * a**2 + mp.mpf(0.25) * a**3)
            assert abs(kd.Polynomial(2.0, (0.5, 0.25, 0.25)).residual(d) / exact - 1) < 1e-14


@pytest.mark.parametrize("boosts", [1, 2, 5])
def test_boosting_residual_is_a_power_to_the_last_digit(boosts):
    """1 - (1 - a)^(m + 1) has alternating coefficients; its residual u^(m + 1) must survive where a is close to one."""
    polynomial = kd.Polynomial(1.0, [-((-1) ** i) * math.comb(boosts + 1, i) for i in range(1, boosts + 2)])
    expected = [-(boosts - j) / (j + 1) for j in range(boosts)][::-1]  # L2 boosting as teacher weights
    np.testing.assert_allclose(polynomial.teacher_weights(), expected, rtol=1e-12)
    with mp.workdps(DIGITS):
        for d in RATIOS:
            power = (1 / (1 + mp.mpf(float(d)))) ** (boosts + 1)
            assert abs(polynomial.residual(d) / power - 1) < 1e-12
            assert abs(polynomial.fit(d) / (1 - power) - 1) < 1e-12
