"""From scores to rows: sizes, nesting, balance, ties, strata, and what is refused."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from empirical.subsets import kept, nested

RNG = np.random.default_rng(0)
N = 207
SCORE = np.round(RNG.normal(size=N))  # with many ties
Y = RNG.choice(5, size=N, p=[0.5, 0.3, 0.1, 0.06, 0.04])
SHARES = [0.9, 0.05, 0.33, 0.5, 1.0, 0.11]
RULES = {"hard": {}, "easy": {}, "stratified": {}, "stratified_dropped": {"keep": "stratified", "drop_hardest": 0.2}}
RULES = {name: {"keep": name} | how for name, how in RULES.items()}
HOW = [(how, y) for how in RULES.values() for y in (None, Y)]


@pytest.mark.parametrize(("how", "classes"), HOW)
def test_sizes_are_exact_and_smaller_ones_lie_inside(how, classes):
    chosen = nested(SCORE, SHARES, classes=classes, lost_classes="allow", seed=3, **how)
    assert [len(rows) for rows in chosen] == [round(f * N) for f in SHARES]
    for rows in chosen:
        assert np.array_equal(rows, np.unique(rows))
        assert rows.dtype == np.intp
    for (f, rows), (g, others) in itertools.combinations(zip(SHARES, chosen, strict=True), 2):
        small, large = (rows, others) if f < g else (others, rows)
        assert set(small) <= set(large)
    assert np.array_equal(chosen[4], np.arange(N))


@pytest.mark.parametrize(("how", "classes"), HOW)
def test_the_seed_decides_and_one_fraction_is_one_entry(how, classes):
    first, again, other = (nested(SCORE, [0.3], classes=classes, seed=s, lost_classes="allow", **how)[0] for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)  # ties at the edge
    assert np.array_equal(first, kept(SCORE, 0.3, classes=classes, seed=1, lost_classes="allow", **how))


def test_hard_and_easy_keep_the_two_ends():
    hard, easy = kept(SCORE, 0.2), kept(SCORE, 0.2, keep="easy")
    assert SCORE[hard].min() >= np.delete(SCORE, hard).max()
    assert SCORE[easy].max() <= np.delete(SCORE, easy).min()


def test_equal_scores_are_drawn_evenly():
    draws = sum(np.bincount(kept(np.zeros(10), 0.3, seed=seed), minlength=10) for seed in range(2000))
    np.testing.assert_allclose(draws / 2000, 0.3, atol=4 * np.sqrt(0.21 / 2000))


@pytest.mark.parametrize("f", [0.05, 0.11, 0.33, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_each_class_keeps_its_share_by_largest_remainders(f, seed):
    rows = kept(SCORE, f, classes=Y, seed=seed, lost_classes="allow")
    sizes, m = np.bincount(Y), round(f * N)
    quota = [Fraction(int(s) * m, N) for s in sizes]
    seats = [int(q) for q in quota]
    largest = sorted(range(5), key=lambda c: quota[c] - seats[c], reverse=True)
    for c in largest[: m - sum(seats)]:
        seats[c] += 1
    assert np.bincount(Y[rows], minlength=5).tolist() == seats
    for c in range(5):
        inside = np.intersect1d(rows, np.flatnonzero(Y == c))
        left = np.setdiff1d(np.flatnonzero(Y == c), inside)
        assert not len(inside) or not len(left) or SCORE[inside].min() >= SCORE[left].max()


def test_a_class_that_would_have_more_rows_of_fewer():
    """The Alabama paradox: of 10 rows the class of 2 gets 2 by largest remainders, of 11 only 1."""
    y = np.repeat([0, 1, 2], [6, 6, 2])
    alone = [np.bincount(y[kept(np.zeros(14), m / 14, classes=y)]).tolist() for m in (10, 11)]
    assert alone == [[4, 4, 2], [5, 5, 1]]
    small, large = nested(np.zeros(14), [10 / 14, 11 / 14], classes=y)
    assert set(small) <= set(large)
    assert (len(small), len(large)) == (10, 11)
    assert np.bincount(y[large]).tolist() == [5, 5, 1]


@pytest.mark.parametrize("seed", range(30))
def test_nesting_holds_for_any_classes_and_any_fractions(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 60))
    y, shares = rng.integers(rng.integers(1, 7), size=n), rng.uniform(1 / n, 1, size=6)
    chosen = sorted(nested(rng.random(n), shares, classes=y, seed=seed, lost_classes="allow"), key=len)
    assert [len(rows) for rows in chosen] == sorted(round(f * n) for f in shares)
    for rows, more in itertools.pairwise(chosen):
        assert set(rows) <= set(more)


def slow_strata(score, m, dropped, strata):
    """How many rows each stratum gives, after Algorithm 1 of the source: the smallest stratum first."""
    rest = np.sort(score)[: len(score) - dropped]
    edges = np.linspace(rest.min(), rest.max(), strata + 1)
    sizes = [np.sum((rest >= a) & (rest < b)) for a, b in itertools.pairwise(edges)]
    sizes[-1] += np.sum(rest == edges[-1])
    given, left, open_strata = [0] * strata, m, [s for s in range(strata) if sizes[s]]
    for place, s in enumerate(sorted(open_strata, key=lambda s: sizes[s])):
        given[s] = min(sizes[s], left // (len(open_strata) - place))
        left -= given[s]
    return given, edges


@pytest.mark.parametrize("m", [5, 20, 60, 120, 150])
@pytest.mark.parametrize("dropped", [0, 30])
def test_strata_of_equal_width_give_equally_many(m, dropped):
    score = RNG.gamma(1.0, size=200)
    rows = kept(score, m / 200, keep="stratified", drop_hardest=dropped / 200, strata=10)
    expected, edges = slow_strata(score, m, dropped, 10)
    got = np.histogram(score[rows], edges)[0]
    assert len(rows) == m
    assert score[rows].max() <= np.sort(score)[199 - dropped]
    assert np.abs(got - expected).max() <= 1  # who gives the remainder is chance
    assert got.sum() == sum(expected)


def test_where_too_many_are_dropped_the_easiest_come_back():
    score = np.arange(100.0)
    rows = kept(score, 0.9, keep="stratified", drop_hardest=0.3)
    assert np.array_equal(rows, np.arange(90))
    assert np.array_equal(kept(score, 1.0, keep="stratified", drop_hardest=0.3), np.arange(100))
    assert np.array_equal(kept(score, 0.02, keep="stratified", drop_hardest=0.99), [0, 1])


def test_strata_of_equal_scores_are_a_random_subset():
    first, other = (kept(np.ones(50), 0.2, keep="stratified", seed=seed) for seed in (0, 1))
    assert len(first) == len(other) == 10
    assert not np.array_equal(first, other)


def test_classes_can_be_watched_without_balance():
    score = np.where(Y == 4, -10.0, SCORE)
    rows = kept(score, 0.97, classes=Y, balanced=False)
    assert np.array_equal(rows, kept(score, 0.97))
    with pytest.raises(
        ValueError, match=r"`fraction` must keep a row of each class, got 0.5, which loses class 4 \(\d\.\d\d% of"
    ):
        kept(score, 0.5, classes=Y, balanced=False)
    assert len(kept(score, 0.5, classes=Y, balanced=False, lost_classes="allow")) == round(0.5 * N)


def test_a_balanced_subset_too_small_for_its_classes_is_refused():
    y = np.repeat([0, 1, 2], [90, 6, 4])
    with pytest.raises(ValueError, match=r"got 0.05, which loses class 1 \(6.00% of the rows\)|loses class 2 \(4.00%"):
        kept(np.zeros(100), 0.05, classes=y)
    with pytest.raises(ValueError, match=r"got 0.02, which loses class 1 \(6.00% of the rows\) and 1 more; keep more"):
        kept(np.zeros(100), 0.02, classes=y)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"fraction": 0.0}, "`fraction` must be positive, got 0.0"),
        ({"fraction": 1.01}, "`fraction` must be at most 1, the share that is KEPT, got 1.01"),
        ({"fraction": 0.001}, "`fraction` must keep at least one of 207 rows"),
        ({"keep": "best"}, "`keep` must be one of hard, easy, stratified, got 'best'"),
        ({"lost_classes": "ignore"}, '`lost_classes` must be "refuse" or "allow", got'),
        ({"drop_hardest": 0.1}, "`drop_hardest` must be a share below 1, and 0 unless"),
        ({"drop_hardest": 1.0, "keep": "stratified"}, "`drop_hardest` must be a share below 1"),
        ({"strata": 0}, "`strata` must be a whole number of at least 1, got 0"),
        ({"classes": Y[:5]}, "`classes` must hold one whole number for each of 207 rows"),
        ({"classes": Y / 2}, "`classes` must hold one whole number"),
        ({"score": SCORE[:, None]}, "`score` must be one-dimensional"),
        ({"score": [np.nan, 1.0]}, "`score` must be finite"),
    ],
)
def test_what_is_refused(how, message):
    with pytest.raises(ValueError, match=message):
        kept(**({"score": SCORE, "fraction": 0.5} | how))
