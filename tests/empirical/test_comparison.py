"""Predicted beside measured weights: SciPy's correlation, plain means, loops that resample."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from empirical.comparison import agreement, mean_over_cells, regret

RNG = np.random.default_rng(0)


def test_agreement_is_scipys_correlation_and_a_plain_mean():
    a, b = RNG.normal(size=(2, 12))
    b += a
    found = agreement(np.append(a, np.nan), np.append(b, 0.3), bounds=(-9, 9), rng=RNG)
    assert (found.cells, found.left_out) == (12, 1)
    assert found.rank_correlation.value == pytest.approx(spearmanr(a, b).statistic)
    assert found.error.value == pytest.approx(np.abs(a - b).mean())
    drawn = [spearmanr(a[i], b[i]).statistic for i in RNG.integers(12, size=(600, 12))]
    assert found.rank_correlation.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.15)
    clipped = agreement([-75.0, np.inf, 0.5], [0.0, 1.0, 0.5], bounds=(-0.5, 1.5), rng=RNG)
    assert clipped.error.value == pytest.approx(1 / 3)
    by_seed = agreement(np.stack([a, a], 1), np.stack([b, b], 1), bounds=(-9, 9), rng=RNG)
    assert by_seed.error.value == pytest.approx(found.error.value)
    assert by_seed.rank_correlation.value == pytest.approx(found.rank_correlation.value)


def test_regret_is_what_the_best_grid_point_has_more():
    w, table = np.array([0.0, 0.5, 1.0, 1.2]), RNG.random((4, 6))
    found = regret(w, table, 0.8, higher_is_better=True, rng=RNG)
    best = table.mean(axis=1).argmax()
    reached = 0.4 * table[1] + 0.6 * table[2]
    assert found.loss.value == pytest.approx((table[best] - reached).mean())
    assert found.best_weight == w[best]
    nearest = regret(w, table, 7.0, higher_is_better=True, between="nearest", rng=RNG)
    assert (nearest.used, nearest.loss.value) == (1.0, pytest.approx((table[best] - table[2]).mean()))
    each = np.array([0.0, 0.5, 1.0, 1.0, 0.5, -3.0])
    own = regret(w, -table, each, higher_is_better=False, rng=RNG)
    assert own.loss.value == pytest.approx(np.mean([table[best, s] - table[w == max(x, 0), s][0] for s, x in enumerate(each)]))


def test_choosing_and_judging_on_the_same_seeds_is_optimistic_and_halves_are_not():
    """Where all weights are as good, the best of the grid leads by chance, and leads by nothing on other seeds."""
    w = np.linspace(0, 1, 9)
    found = [regret(w, RNG.normal(size=(9, 8)), 0.5, higher_is_better=True, rng=RNG) for _ in range(150)]
    assert np.mean([one.loss.value for one in found]) > 0.3
    assert abs(np.mean([one.honest for one in found])) < 0.1


def test_a_mean_over_cells_is_resampled_by_cell():
    x = RNG.random(20)
    found = mean_over_cells(x, rng=RNG)
    low, high = np.quantile([x[RNG.integers(20, size=20)].mean() for _ in range(4000)], [0.025, 0.975])
    np.testing.assert_allclose([found.value, found.low, found.high], [x.mean(), low, high], atol=0.02)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: agreement([0.1], [0.1, 0.2], rng=r), r"`predicted` must have the shape of `measured`"),
        (lambda r: agreement([np.nan], [0.1], rng=r), "must share a cell in which neither weight is nan"),
        (lambda r: agreement([0], [1], bounds=(1, 0), rng=r), "`bounds` must be a lower and a higher weight"),
        (lambda r: regret([0, 1], np.ones((3, 2)), 0.5, higher_is_better=True, rng=r), "`scores` must have 2 rows"),
        (
            lambda r: regret([0, 0.5], np.ones((2, 2)), 0.5, higher_is_better=True, rng=r),
            "`weights` must reach the bounds 0 and 1",
        ),
        (
            lambda r: regret([0, 1], np.ones((2, 2)), np.nan, higher_is_better=True, rng=r),
            "must be one weight or 2, none of them nan",
        ),
        (
            lambda r: regret([0, 1], np.ones((2, 2)), 0, higher_is_better=True, rng=r, between="x"),
            '`between` must be "linear"',
        ),
        (lambda r: mean_over_cells(np.ones((2, 2)), rng=r), "`values` must be one-dimensional"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call(RNG)
