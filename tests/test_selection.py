"""Selection rules: closed forms against integrals, sampled quantiles and real fits; orders against dense algebra."""

import functools
import re
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import brentq

import kdtheory as kd
from kdtheory import selection

RNG = np.random.default_rng(0)
N, P, DRAWS = 4000, 20, 200
SHARES = np.array([0.1, 0.3, 0.6])
WEIGHTS = np.array([0.0, 0.25, 0.5, 0.75, 0.9])
NOISES = {"equal": (0.0, 1.0), "few": (0.05, 10.0), "many": (0.2, 4.0)}
MIXTURES = [(0.0, 1.0), (0.05, 10.0), (0.2, 4.0), (0.3, 0.2), (1.0, 3.0)]
RULES = ("hardest", "easiest")


def by_integration(f, rule, rho, scale):
    """Inflation g, boundary term b = 2 q p(q)/f (negative for the easiest) and noisy share, of residuals of variance one."""
    weights, scales = np.array([1 - rho, rho]), np.array([1.0, scale]) / np.sqrt(1 - rho + rho * scale**2)
    beyond = f if rule == "hardest" else 1 - f
    q = brentq(lambda x: weights @ stats.norm.sf(x, scale=scales) - beyond / 2, 1e-12, 60.0, xtol=1e-15, rtol=1e-14)
    edges = [0.0, q] if rule == "easiest" else [q, q + 40 * scales.min(), 80.0 + q]

    def integral(function):
        return 2 * sum(quad(function, *piece, epsabs=1e-14, epsrel=1e-12, limit=200)[0] for piece in pairwise(edges))

    def density(x):
        return weights * stats.norm.pdf(x, scale=scales)

    g, noisy = integral(lambda x: x**2 * density(x).sum()) / f, integral(lambda x: density(x)[1]) / f
    return g, (1 if rule == "hardest" else -1) * 2 * q * density(q).sum() / f, noisy


def excess_by_integration(f, rule, rho, scale, w=0.0):
    """Excess risk over the teacher's relative to random rows, from first principles.

    Which rows are kept moves with the teacher's error d: the kept fit errs by D - b d, D as if the noise itself were ranked.
    With Var D = g/f, Cov(D, d) = g, Var d = 1 (over n) it is E |(1 - w)(D - (1 + b) d) + d|² - 1.
    """
    g, b, _ = by_integration(f, rule, rho, scale)
    variance, covariance = g / f - 2 * (1 + b) * g + (1 + b) ** 2, g - (1 + b)
    return (variance + 2 * covariance / (1 - w)) / (1 / f - 1)


@functools.cache
def fits(noise):
    """Excess risk of least-squares students over their teacher: (draws, rules, shares, weights).

    A student is fitted to (1 - w) labels + w teacher on the rows kept; rules are hardest, easiest, leverage, random. The
    features are correlated, the true coefficients zero.
    """
    rho, scale = NOISES[noise]
    out = np.empty((DRAWS, 4, len(SHARES), len(WEIGHTS)))
    for draw in range(DRAWS):
        rng = np.random.default_rng([11, draw])
        mix = np.eye(P) + 0.5 * rng.normal(size=(P, P)) / np.sqrt(P)
        X = rng.normal(size=(N, P)) @ mix
        y = rng.normal(size=N) * np.where(rng.random(N) < rho, scale, 1.0)
        teacher = np.linalg.solve(X.T @ X, X.T @ y)
        size, basis = np.abs(y - X @ teacher), np.linalg.qr(X)[0]
        targets = np.outer(y, 1 - WEIGHTS) + np.outer(X @ teacher, WEIGHTS)
        for i, score in enumerate((size, -size, np.sum(basis**2, axis=1), rng.random(N))):
            order = np.argsort(-score)
            for j, share in enumerate(SHARES):
                F = order[: round(share * N)]
                students = np.linalg.solve(X[F].T @ X[F], X[F].T @ targets[F])
                out[draw, i, j] = np.sum((mix @ students) ** 2, axis=0) - np.sum((mix @ teacher) ** 2)
    return out


def ratio_of_means(values, reference):
    """Ratio of the means over draws, and its standard error by linearising."""
    ratio = values.mean(axis=0) / reference.mean(axis=0)
    return ratio, stats.sem(values - ratio * reference, axis=0) / np.abs(reference.mean(axis=0))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("rho", "scale"), MIXTURES)
def test_moments_of_the_kept_by_integration(rule, rho, scale):
    how = {"rule": rule, "noisy_share": rho, "noisy_scale": scale}
    for f in (0.02, 0.1, 0.37, 0.8, 0.97):
        g, _, noisy = by_integration(f, rule, rho, scale)
        np.testing.assert_allclose(selection.variance_inflation(f, **how), g, rtol=1e-8)
        np.testing.assert_allclose(selection.kept_noise_share(f, **how), noisy, rtol=1e-8, atol=1e-12)
        excess = excess_by_integration(f, rule, rho, scale)
        np.testing.assert_allclose(selection.excess_over_random(f, **how), excess, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("rho", "scale"), MIXTURES[:3])
def test_moments_of_the_kept_by_sampling(rule, rho, scale):
    n, batches, shares = 20_000, 20, np.array([0.05, 0.26, 0.7])
    inflation, noisy = np.empty((2, batches, len(shares)))
    for k in range(batches):
        wrong = RNG.random(n) < rho
        e = RNG.normal(size=n) * np.where(wrong, scale, 1.0)
        order = np.argsort(-np.abs(e) if rule == "hardest" else np.abs(e))
        for j, m in enumerate((shares * n).astype(int)):
            inflation[k, j] = np.mean(e[order[:m]] ** 2) / (1 - rho + rho * scale**2)
            noisy[k, j] = wrong[order[:m]].mean()
    how = {"rule": rule, "noisy_share": rho, "noisy_scale": scale}
    for sampled, law in ((inflation, selection.variance_inflation), (noisy, selection.kept_noise_share)):
        gap = np.abs(sampled.mean(axis=0) - law(shares, **how))
        assert (gap <= 4.5 * stats.sem(sampled, axis=0) + 1e-12).all()
        assert (stats.sem(sampled, axis=0) <= 0.02 * sampled.mean(axis=0) + 2e-3).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("rho", [0.05, 0.2, 0.6])
def test_noise_that_stands_out_by_sampling(rule, rho):
    wrong = np.arange(20_000) < rho * 20_000
    size = np.abs(RNG.normal(size=20_000)) + np.where(wrong, 1e9, 0.0)
    order = np.argsort(-size if rule == "hardest" else size)
    shares = np.array([0.03, 0.05, 0.1, 0.3, 0.45, 0.9, 1.0])
    sampled = [wrong[order[: round(f * 20_000)]].mean() for f in shares]
    for scale, close in ((np.inf, 1e-12), (1e7, 1e-5)):
        law = selection.kept_noise_share(shares, noisy_share=rho, noisy_scale=scale, rule=rule)
        np.testing.assert_allclose(law, sampled, atol=close)


def test_kept_and_left_out_make_up_the_whole():
    """f g + (1 - f) g' = 1: the hardest share f and the easiest share 1 - f; all rows are the average."""
    f = np.linspace(0.01, 0.99, 25)
    how = {"noisy_share": 0.2, "noisy_scale": 6.0}
    hard, easy = (selection.variance_inflation(s, rule=r, **how) for s, r in ((f, "hardest"), (1 - f, "easiest")))
    np.testing.assert_allclose(f * hard + (1 - f) * easy, 1.0, rtol=1e-12)
    for rule in RULES:
        assert selection.variance_inflation(1.0, rule=rule, **how) == 1.0
        assert selection.kept_noise_share(1.0, rule=rule, **how) == 0.2


def test_few_easiest_rows_keep_their_digits():
    """Residuals up to z have mean square z²/3 and share f = z sqrt(2/pi): g = pi f²/6."""
    f = np.logspace(-8, -3, 6)
    np.testing.assert_allclose(selection.variance_inflation(f, rule="easiest"), np.pi * f**2 / 6, rtol=2e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("rho", [0.0, 1e-12, 0.05, 1 - 1e-12, 1.0])
@pytest.mark.parametrize("scale", [0.01, 0.999999, 1.000001, 10.0, 1e6])
def test_every_mixture_has_a_threshold(rule, rho, scale):
    """Also where one of the two parts is empty or both are alike: then the law is that of one Gaussian."""
    shares = np.array([1e-9, 1e-3, 0.05, 0.2, 0.37, 0.77, 0.999, 1 - 1e-9])
    g = selection.variance_inflation(shares, rule=rule, noisy_share=rho, noisy_scale=scale)
    assert (np.isfinite(g) & (g >= 0)).all()
    if rho in (0.0, 1.0) or 0.99 < scale < 1.01:
        np.testing.assert_allclose(g, selection.variance_inflation(shares, rule=rule), rtol=1e-4)


@pytest.mark.parametrize("k", [0, 2])
@pytest.mark.parametrize("noise", NOISES)
def test_excess_over_random_of_real_fits(noise, k):
    rho, scale = NOISES[noise]
    excess = fits(noise)[..., k]
    for i, rule in enumerate((*RULES, "leverage")):
        how = {"features": P} if rule == "leverage" else {"noisy_share": rho, "noisy_scale": scale}
        how |= {"teacher_weight": WEIGHTS[k]} if rho else {}  # equal noise: the same at every weight
        law = selection.excess_over_random(SHARES, rule=rule, **how)
        ratio, error = ratio_of_means(excess[:, i], excess[:, -1])
        finite = P / (SHARES * N) * np.abs(law)  # the law is the limit of many rows per feature
        assert (np.abs(ratio - law) <= 4 * error + finite).all(), (rule, ratio, error, law)


def test_the_fits_are_sharp_enough_to_tell():
    """Errors of the simulated ratios are small beside what the parts of the law change."""
    excess, law = fits("equal")[..., 0], selection.excess_over_random(SHARES)
    ratio, error = ratio_of_means(excess[:, 0], excess[:, -1])
    assert (10 * error < np.abs(selection.variance_inflation(SHARES) - law)).all()  # without (1 - f g)/(1 - f)
    assert ratio[0] - 4 * error[0] > 1 > ratio[2] + 4 * error[2]  # hard rows lose, then win: a crossing between
    ratio, error = ratio_of_means(excess[:, 2], excess[:, -1])
    assert (6 * error < 1 - ratio).all()  # leverage beside random
    easiest = fits("few")[:, 1, 1:, 0]
    assert (easiest.mean(axis=0) + 3 * stats.sem(easiest, axis=0) < 0).all()  # better than all rows


@pytest.mark.parametrize("p", [1, 2, 7, 40])
def test_leverage_by_integrating_the_squared_size(p):
    """Rows of the largest |x|² have second moment c per feature, and the student's variance is 1/(c f) of random's 1/f."""
    for f in (0.05, 0.3, 0.8):
        c = stats.chi2.expect(lambda x: x, args=(p,), lb=stats.chi2.isf(f, p)) / (p * f)
        law = selection.excess_over_random(f, rule="leverage", features=p)
        assert law == pytest.approx((1 / c - f) / (1 - f), rel=1e-7)


def test_crossing_by_its_definition():
    assert selection.crossing() == pytest.approx(0.2615, abs=5e-5)
    for rho, scale, w in ((0.0, 1.0, 0.0), (0.05, 10.0, 0.0), (0.05, 10.0, 0.5), (0.2, 4.0, 0.9)):
        f = selection.crossing(noisy_share=rho, noisy_scale=scale, teacher_weight=w)
        above, below = (excess_by_integration(share, "hardest", rho, scale, w) for share in (f * 0.9999, f * 1.0001))
        assert below < 1 < above
    assert selection.crossing() < selection.crossing(noisy_share=0.05, noisy_scale=10.0)


def test_gap_between_any_two_rules_shrinks_by_its_law():
    risk = fits("equal")
    for one, other in ((0, 3), (1, 3), (2, 3), (0, 1), (1, 2)):
        gaps = risk[:, one] - risk[:, other]
        sharp = np.abs(gaps[..., 0].mean(axis=0)) > 8 * stats.sem(gaps[..., 0], axis=0)  # there is a gap to speak of
        ratio, error = ratio_of_means(gaps, gaps[..., :1])
        assert sharp.any()
        assert (np.abs(ratio - selection.gap_ratio(WEIGHTS)) <= 4 * error + 1e-9)[sharp].all()
        assert (error[sharp] < 0.05).all()


def test_gap_shrinks_otherwise_where_some_labels_are_noisier():
    how = {"noisy_share": 0.05, "noisy_scale": 10.0}
    at = np.array([selection.excess_over_random(SHARES, teacher_weight=w, **how) - 1 for w in WEIGHTS]).T
    law = selection.gap_ratio(WEIGHTS) * at / at[:, :1]
    gaps = fits("few")[:, 0] - fits("few")[:, -1]
    ratio, error = ratio_of_means(gaps, gaps[..., :1])
    assert (np.abs(ratio - law) <= 4 * error + 0.05 * law)[[0, 2]].all()  # no gap at the middle share, near the crossing
    assert (np.abs(ratio - selection.gap_ratio(WEIGHTS)) > 6 * error)[0, 1:].all()


@pytest.mark.parametrize("outputs", [(), (1,), (3,)])
def test_scores_by_dense_algebra(outputs):
    features, y = RNG.normal(size=(12, 4)), RNG.normal(size=(12, *outputs))
    K = features @ features.T
    H = K @ np.linalg.inv(K + 0.3 * np.eye(12))
    size = np.array([np.sqrt(np.sum(row**2)) for row in y - H @ y])
    for rule, score in (("hardest", size), ("easiest", -size), ("leverage", np.diag(H))):
        np.testing.assert_allclose(selection.scores(K, y, rule=rule, ridge=0.3), score, rtol=1e-9, atol=1e-12)


def test_random_scores_are_uniform_and_follow_their_seed():
    K, seeds = np.eye(20), (3, *range(3, 60))
    one, same, *others = (selection.scores(K, K[0], rule="random", ridge=1.0, seed=seed) for seed in seeds)
    assert (one == same).all()
    assert stats.kstest(np.concatenate(others), "uniform").pvalue > 1e-3


def test_order_is_from_the_highest_score_down_and_random_among_equals():
    distinct = RNG.normal(size=50)
    assert selection.order_by(distinct, seed=5).tolist() == sorted(range(50), key=lambda i: -distinct[i])
    score = np.repeat([1.0, 3.0, 2.0], 4)
    orders = [selection.order_by(score, seed=seed).tolist() for seed in range(400)]
    assert selection.order_by(score).tolist() == orders[0]
    assert all(sorted(order[:4]) == [4, 5, 6, 7] and sorted(order[4:8]) == [8, 9, 10, 11] for order in orders)
    assert stats.chisquare(np.bincount([order[0] - 4 for order in orders], minlength=4)).pvalue > 1e-3
    assert len({tuple(order[:2]) for order in orders}) == 12  # every beginning occurs


def test_shares_of_any_shape():
    grid, how = np.array([[0.1, 0.5], [0.25, 0.9]]), {"noisy_share": 0.1, "noisy_scale": 3.0}
    for law in (selection.variance_inflation, selection.kept_noise_share, selection.excess_over_random):
        assert law(grid, **how).tolist() == [[law(f, **how) for f in row] for row in grid.tolist()]


EYE = np.eye(3)
KEPT, RULE, NOISE = "`keep_fraction` must be ", '`rule` must be "hardest" or "easiest", got ', "`noisy_share` must be "
DEFAULTS = {
    "scores": {"gram": EYE, "y": EYE[0], "rule": "hardest", "ridge": 1.0},
    "variance_inflation": {"keep_fraction": 0.5},
    "kept_noise_share": {"keep_fraction": 0.5, "noisy_share": 0.1},
    "excess_over_random": {"keep_fraction": 0.5},
}
OF_EVERY_LAW = [
    ({"keep_fraction": 0.0}, KEPT + "positive, got 0.0."),
    ({"keep_fraction": 1.5}, KEPT + "at most 1, the share that is KEPT, got 1.5."),
    ({"noisy_share": 1.2}, NOISE + "at most 1, got 1.2."),
    ({"noisy_share": -0.1}, NOISE + "zero or positive and finite, got -0.1."),
    ({"noisy_scale": 0.0}, "`noisy_scale` must be positive and finite, got 0.0."),
    ({"rule": "margin"}, RULE + "'margin'."),
]
REFUSED = [
    *[(law, *case) for law in list(DEFAULTS)[1:] for case in OF_EVERY_LAW],
    ("scores", {"rule": "margin"}, '`rule` must be "random", "hardest", "easiest" or "leverage", got \'margin\'.'),
    ("scores", {"ridge": 0.0}, "`ridge` must be positive and finite, got 0.0."),
    ("scores", {"y": [1.0, 2.0]}, "`y` must have 3 rows, one per point, got 2."),
    ("scores", {"y": [1.0, 2.0], "rule": "leverage"}, "`y` must have 3 rows, one per point, got 2."),
    ("scores", {"rule": "random", "seed": -1}, "`seed` must be a whole number of at least 0, got -1."),
    ("order_by", {"score": [1.0, np.nan]}, "`score` must be finite, got nan at index 1"),
    ("order_by", {"score": EYE}, "`score` must be one-dimensional, got shape (3, 3)."),
    ("kept_noise_share", {"rule": "margin", "noisy_scale": 2.0}, RULE + "'margin'."),
    ("variance_inflation", {"noisy_scale": np.inf}, "`noisy_scale` must be positive and finite, got inf."),
    ("excess_over_random", {"keep_fraction": [0.5, 1.0]}, KEPT + "below 1: on all rows every rule is the teacher."),
    ("excess_over_random", {"rule": "leverage"}, '`features` must be given for the rule "leverage".'),
    ("excess_over_random", {"rule": "leverage", "features": 0}, "`features` must be a whole number of at least 1, got 0."),
    ("excess_over_random", {"teacher_weight": 1.0}, "`teacher_weight` must be below 1"),
    ("crossing", {"noisy_share": 3.0}, NOISE + "at most 1, got 3.0."),
    ("gap_ratio", {"teacher_weight": [0.0, np.inf]}, "`teacher_weight` must be finite, got inf at index 1"),
]


@pytest.mark.parametrize(("name", "wrong", "message"), REFUSED)
def test_refused_in_one_sentence(name, wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(selection, name)(**(DEFAULTS.get(name, {}) | wrong))


def test_the_public_face_is_the_same():
    assert all(getattr(kd.pruning, name) is getattr(selection, name) for name in selection.__all__)
