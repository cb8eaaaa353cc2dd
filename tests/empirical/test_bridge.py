"""Measured optima and their intervals: by brute force over weights, by loops that resample, by simulated truth."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import t as student_t

import kdtheory as kd
from empirical import intervals
from empirical.bridge import accuracy_optimum, measured_curve, superposition_error
from empirical.intervals import Estimate, crossed_interval
from empirical.pairs import (
    cosine,
    identifiability,
    moments,
    scale_free_weight,
    scale_free_within,
    squared_error,
    squared_error_weight,
)
from empirical.rules import optimal_weight, optimal_weights

RNG = np.random.default_rng(0)
FINE = np.linspace(-3, 3, 60001)


def students(rng, seeds=4, points=60, outputs=3, spread=0.3):
    """Labels (m, p) and the two students of each seed (S, m, p), which share errors that no other seed has."""
    V = rng.normal(size=(points, outputs))
    shared, own, teacher = (spread * rng.normal(size=(seeds, 1, outputs)) for _ in range(3))
    P_l = 0.8 * V + 0.5 * rng.normal(size=(seeds, points, outputs)) + shared + own
    P_t = 0.5 * V + 0.2 * rng.normal(size=(seeds, points, outputs)) + shared + teacher
    return P_l, P_t, V


def total(P_l, P_t, V):
    return moments(P_l, P_t, V).mean(axis=(0, 1))


def test_the_squared_error_weight_is_the_lowest_of_a_dense_grid():
    P_l, P_t, V = students(RNG)
    errors = [np.mean((V - P_l - w * (P_t - P_l)) ** 2) for w in FINE[::20]]
    M = total(P_l, P_t, V)
    assert abs(squared_error_weight(M) - FINE[::20][np.argmin(errors)]) < 0.002
    np.testing.assert_allclose(squared_error(M, FINE[::20]), errors, rtol=1e-12)
    assert identifiability(M) == pytest.approx(kd.identifiability(P_l.reshape(-1, 3), P_t.reshape(-1, 3)))


def test_the_scale_free_weight_has_the_greatest_cosine_and_comes_from_the_regression_on_both_students():
    P_l, P_t, V = students(RNG)
    flat = [np.broadcast_to(a, P_l.shape).ravel() for a in (P_l, P_t, V)]
    M = total(P_l, P_t, V)

    def minus_cosine(w):
        f = (1 - w) * flat[0] + w * flat[1]
        return -(f @ flat[2]) / np.linalg.norm(f) / np.linalg.norm(flat[2])

    best = minimize_scalar(minus_cosine, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10})
    (a, b), *_ = np.linalg.lstsq(np.stack(flat[:2], axis=1), flat[2], rcond=None)
    assert scale_free_weight(M) == pytest.approx(best.x, abs=1e-6)
    assert scale_free_weight(M) == pytest.approx(b / (a + b), rel=1e-9)
    assert cosine(M, best.x) == pytest.approx(-best.fun)


@pytest.mark.parametrize("sign", [1, -1])
def test_without_a_finite_scale_free_weight_the_cosine_grows_to_one_side_and_an_end_of_bounds_is_best(sign):
    P_l, P_t = RNG.normal(size=(2, 30, 2))
    V = sign * 0.4 * (P_t - P_l) - P_l - 0.7 * P_t  # a + b < 0
    M = total(P_l, P_t, V)
    values = cosine(M, FINE)
    assert np.isinf(scale_free_weight(M))
    assert np.sign(scale_free_weight(M)) == np.sign(values[-1] - values[0])
    inside = (FINE >= 0) & (FINE <= 1)
    assert scale_free_within(M, 0.0, 1.0) == FINE[inside][np.argmax(values[inside])]


def test_students_of_one_direction_have_no_scale_free_weight():
    P = RNG.normal(size=(30, 2))
    M = total(P, 0.5 * P, RNG.normal(size=(30, 2)))
    assert np.isnan(scale_free_weight(M))
    assert np.isnan(scale_free_within(M, 0, 1))
    assert np.isfinite(squared_error_weight(M))
    assert np.isnan(squared_error_weight(total(P, P, P)))


def test_symmetric_label_noise_moves_the_squared_error_weight_and_not_the_scale_free_one():
    C, m = 5, 40_000
    y = RNG.integers(C, size=m)
    f = np.eye(C)[y] - 1 / C + 0.5 * RNG.normal(size=(m, C))
    P_l, P_t = f + 0.5 * RNG.normal(size=(m, C)), 0.5 * f + 0.1 * RNG.normal(size=(m, C))
    flipped = np.where(RNG.random(m) < 0.4, (y + RNG.integers(1, C, size=m)) % C, y)
    clean, noisy = (total(P_l, P_t, np.eye(C)[labels] - 1 / C) for labels in (y, flipped))
    assert abs(scale_free_weight(clean) - scale_free_weight(noisy)) < 0.03
    assert abs(squared_error_weight(clean) - squared_error_weight(noisy)) > 0.08


def test_resampling_is_that_of_a_loop(monkeypatch):
    monkeypatch.setattr(intervals, "_stretch", lambda *_: 1.0)
    P_l, P_t, V = students(RNG, seeds=5, points=40)
    drawn = []
    for _ in range(2000):
        s, i = RNG.integers(5, size=5), RNG.integers(40, size=40)
        mix = [a[s][:, i].reshape(-1, 3) for a in (P_l, P_t, np.broadcast_to(V, P_l.shape))]
        drawn.append(kd.RiskCurve.from_predictions(*mix).optimal_weight)
    found = crossed_interval(moments(P_l, P_t, V), squared_error_weight, rng=RNG)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert abs(found.low - low) < 0.1 * (high - low)
    assert abs(found.high - high) < 0.1 * (high - low)


@pytest.mark.parametrize("axis", [0, 1])
def test_of_a_mean_over_one_axis_the_interval_is_students(axis):
    x = RNG.normal(size=6)
    found = crossed_interval(np.expand_dims(x, (1 - axis, 2)), lambda mean: mean[..., 0], rng=RNG, draws=20_000)
    half = student_t.ppf(0.975, 5) * x.std(ddof=1) / np.sqrt(6)
    assert found.value == pytest.approx(x.mean())
    assert found.width / 2 == pytest.approx(half, rel=0.08)


def test_leaving_one_out_gives_the_variance_of_a_mean_and_of_one_row_nothing():
    x = RNG.normal(size=7)
    assert intervals._jackknife(x[:, None], lambda mean: mean[..., 0]) == pytest.approx(x.var(ddof=1) / 7)
    assert intervals._jackknife(x[:1, None], lambda mean: mean[..., 0]) == 0.0


def coverage(rng, seeds, points, spread, repeats, **how):
    truth = total(*students(rng, seeds=4000, points=100, spread=spread))
    hits = [
        float(squared_error_weight(truth))
        in crossed_interval(moments(*students(rng, seeds, points, spread=spread)), squared_error_weight, rng=rng, **how)
        for _ in range(repeats)
    ]
    return np.mean(hits)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "points"), [(2, 200), (3, 100), (3, 1000), (5, 300), (10, 300)])
def test_intervals_cover_the_truth(seeds, points):
    assert 0.90 <= coverage(RNG, seeds, points, 0.3, 600, draws=400)


@pytest.mark.slow
def test_percentiles_of_few_seeds_alone_do_not(monkeypatch):
    monkeypatch.setattr(intervals, "_stretch", lambda *_: 1.0)
    assert coverage(RNG, 3, 300, 0.3, 600, draws=400) < 0.88


def test_optima_say_what_they_rest_on_and_when_not_to_be_trusted():
    P_l, P_t, V = students(RNG, points=400)
    squared, free = optimal_weights(P_l, P_t, V, labels_are="noisy", rng=RNG)
    assert (squared.criterion, free.criterion, squared.labels_are) == ("squared error", "scale-free", "noisy")
    assert squared.weight == pytest.approx(squared_error_weight(total(P_l, P_t, V)))
    assert squared.weight in squared.estimate
    one, two = (np.mean((V - f) ** 2) for f in (P_l, P_l + squared.weight * (P_t - P_l)))
    assert squared.gain == pytest.approx(1 - two / one)
    assert squared.within(0.0, 0.1) == 0.1
    near = optimal_weight(P_l, P_l + 0.01 * RNG.normal(size=P_l.shape), V, labels_are="clean", rng=RNG)
    assert not near.trusted
    assert "moves the student" in near.doubt
    same = optimal_weight(P_l, P_l, V, labels_are="clean", rng=RNG)
    assert np.isnan(same.weight)
    assert "predict the same" in same.doubt
    scaled = optimal_weight(P_l, 0.5 * P_l, V, criterion="scale-free", labels_are="clean", rng=RNG)
    assert "scale only" in scaled.doubt
    endless = optimal_weight(P_l, P_t, -P_l - P_t, criterion="scale-free", labels_are="clean", rng=RNG)
    assert "no finite weight" in endless.doubt
    wide = optimal_weight(P_l[:, :5], P_t[:, :5], RNG.normal(size=(5, 3)), labels_are="clean", rng=RNG)
    assert "wider than" in wide.doubt


def cell(rng, weights, bend=0.05):
    P_l, P_t, V = students(rng)
    w = np.asarray(weights)[:, None, None, None]
    return P_l + w * (P_t - P_l) + bend * w * (1 - w) * rng.normal(size=P_l.shape), V


def test_a_measured_curve_is_the_parabola_through_the_grid():
    w = np.array([-0.4, 0.0, 0.3, 0.7, 1.0, 1.2])
    f, V = cell(RNG, w)
    found = measured_curve(w, f, V, labels_are="clean", rng=RNG)
    risks = np.mean((f - V) ** 2, axis=(2, 3))
    np.testing.assert_allclose(found.risks, risks, rtol=1e-12)
    for s in range(4):
        fit = np.polyfit(w, risks[:, s], 2)
        assert found.curves[s].optimal_weight == pytest.approx(-fit[1] / 2 / fit[0])
        rest = risks[:, s] - np.polyval(fit, w)
        assert found.r_squared[s] == pytest.approx(1 - rest @ rest / np.sum((risks[:, s] - risks[:, s].mean()) ** 2))
    assert found.optimal_weight.value == pytest.approx(found.curve.optimal_weight)
    assert found.optimal_weight.low < found.optimal_weight.value < found.optimal_weight.high
    gap = np.linalg.norm(f[3, 2] - 0.3 * f[1, 2] - 0.7 * f[4, 2]) / np.linalg.norm(f[3, 2])
    assert found.superposition[3, 2] == pytest.approx(gap)
    assert found.superposition[[1, 4]].max() == 0


def test_on_affine_students_the_grid_and_the_two_endpoints_agree():
    w = np.array([0.0, 0.4, 1.0, 1.4])
    f, V = cell(RNG, w, bend=0.0)
    found = measured_curve(w, f, V, labels_are="clean", rng=RNG)
    squared, free = optimal_weights(f[0], f[2], V, labels_are="clean", rng=RNG)
    assert found.optimal_weight.value == pytest.approx(squared.weight)
    assert found.scale_free_weight.value == pytest.approx(free.weight)
    assert found.superposition.max() < 1e-12
    assert found.r_squared.min() > 1 - 1e-12


def test_risks_that_do_not_bend_upwards_have_no_parabola():
    w = np.array([0.0, 0.5, 1.0])
    f = (np.array([0.0, 2.0, 0.0])[:, None, None] * np.ones((3, 2, 40)))[..., None]
    found = measured_curve(w, f, np.zeros(40), labels_are="clean", rng=RNG)
    assert found.curve is None
    assert np.isnan(found.optimal_weight.value)


@pytest.mark.parametrize("degree", [2, 3])
def test_the_accuracy_peaks_where_the_polynomial_does(degree):
    w = np.linspace(-0.4, 1.2, 9)
    means = 0.9 - 0.2 * (w - 0.37) ** 2 + 0.03 * (w - 0.4) ** 3
    right = RNG.random((9, 6, 500)) < means[:, None, None]
    found = accuracy_optimum(w, right, rng=RNG, degree=degree)
    fit = np.polyfit(w, right.mean(axis=(1, 2)), degree)
    best = minimize_scalar(lambda at: -np.polyval(fit, at), bounds=(-0.4, 1.2), method="bounded")
    assert found.value == pytest.approx(best.x, abs=0.003)
    assert -0.4 <= found.low <= found.value <= found.high <= 1.2
    assert accuracy_optimum(w, right.mean(axis=2), rng=RNG, degree=degree).value == found.value


A, B = np.zeros((2, 5, 3)), np.zeros((5, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: moments(A, A[:, :4], B), r"`on_teacher` must have the shape of `on_labels`, \(2, 5, 3\), got \(2, 4, 3\)"),
        (
            lambda r: moments(A, A, B[:4]),
            r"`labels` must have the shape of the predictions, \(5, 3\) of each seed, got \(4, 3\)",
        ),
        (lambda r: moments(A[None], A, B), r"`on_labels` must have shape \(m,\), \(m, outputs\) or \(seeds, m, outputs\)"),
        (
            lambda r: crossed_interval(np.ones((1, 1, 2)), None, rng=r),
            "`statistics` must have shape .* two or more seeds or points",
        ),
        (lambda r: crossed_interval(A, None, rng=r, level=2), "`level` must lie between 0 and 1, got 2"),
        (
            lambda r: optimal_weight(A, A, B, labels_are="dirty", rng=r),
            '`labels_are` must be "clean" or "noisy", got \'dirty\'',
        ),
        (
            lambda r: optimal_weight(A, A, B, labels_are="clean", criterion="x", rng=r),
            "`criterion` must be one of squared error",
        ),
        (lambda r: measured_curve([0, 1], A[None], B, labels_are="clean", rng=r), r"`predictions` must have shape \(2, seeds"),
        (lambda r: measured_curve([0, 1], [A, A], B, labels_are="clean", rng=r), "at least three different values"),
        (
            lambda r: measured_curve([0, 2, 3], [A] * 3, B, labels_are="clean", rng=r),
            r"`weights` must hold 1, .* got \[0.0, 2.0",
        ),
        (lambda r: superposition_error([0.5, 1], [A, A]), "`weights` must hold 0, the student"),
        (lambda r: accuracy_optimum([0, 1, 2], np.ones((2, 3)), rng=r), r"`correct` must have shape \(3, seeds\)"),
        (lambda r: accuracy_optimum([0, 1], np.ones((2, 3)), rng=r, degree=4), "`degree` must be 2 or 3, got 4"),
        (lambda r: accuracy_optimum([0, 1], np.ones((2, 3)), rng=r, degree=2), "more than 2 different values, got 2"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call(RNG)


def test_an_estimate_is_printed_with_its_interval():
    assert str(Estimate(0.126, -np.inf, 1.0)) == "0.13 [-inf, 1.00]"
    assert f"{Estimate(0.126, 0.1, 1.0):.1%}" == "12.6% [10.0%, 100.0%]"
