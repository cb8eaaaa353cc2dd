"""The strategies keep their word: what they draw lies where they say, reaches the extremes, and shrinks to something short."""

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from kdtheory import testing

QUICK = settings(max_examples=2000, derandomize=True, database=None)


@given(testing.spectra(most=6, condition=1e12))
def test_spectra_descend_from_one(d):
    assert d[0] == 1.0
    assert (np.diff(d) <= 0).all()
    positive = d[d > 0]
    assert (positive >= 1e-12 * (1 - 1e-9)).all()


@given(testing.spectra(least=3, most=6, condition=100.0, ties=False, zeros=False))
def test_spectra_without_ties_and_zeros(d):
    assert (np.diff(d) < 0).all()
    assert d[-1] >= 0.01 * (1 - 1e-12)


@given(st.integers(1, 6).flatmap(testing.bases))
def test_bases_are_orthogonal(U):
    np.testing.assert_allclose(U.T @ U, np.eye(len(U)), atol=1e-14)


@given(testing.ridges(smallest=1e-3, largest=10.0))
def test_ridges_lie_in_their_range(ridge):
    assert 1e-3 * (1 - 1e-12) <= ridge <= 10.0 * (1 + 1e-12)


@given(testing.schedules(most=4), testing.schedules(most=4, inside=False))
def test_schedules_inside_and_out(inside, anywhere):
    assert all(0 <= w <= 1 for w in inside)
    assert all(-3 <= w <= 3 for w in anywhere)
    assert max(len(inside), len(anywhere)) <= 4


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), testing.subsets(n))))
def test_subsets_are_kept_indices(drawn):
    n, kept = drawn
    assert 1 <= len(kept) <= n
    assert (np.diff(kept) > 0).all()
    assert kept[0] >= 0
    assert kept[-1] < n


@given(testing.problems())
def test_problems_are_kernel_problems(problem):
    """One positive semi-definite kernel holds training and held-out points; the labels are those of the signal and noise."""
    s = problem.spectrum
    assert s.clipped > -1e-12 * s.eigenvalues[0]
    null = s.eigenvectors[:, s.eigenvalues < 1e-14 * s.eigenvalues[0]]
    assert np.abs(problem.cross @ null).max(initial=0.0) <= 1e-6 * np.sqrt(s.eigenvalues[0]) * (
        1 + np.abs(problem.cross).max()
    )
    assert problem.y.shape == problem.signal.shape
    assert np.any(problem.signal)
    if problem.noise_variance == 0:
        np.testing.assert_array_equal(problem.y, problem.signal)


@pytest.mark.parametrize(
    ("what", "reached"),
    [
        ("ill-conditioned", lambda p: 0 < p.spectrum.eigenvalues[-1] < 1e-9 * p.spectrum.eigenvalues[0]),
        ("tied", lambda p: p.n > 2 and np.ptp(p.spectrum.eigenvalues) < 1e-12 * p.spectrum.eigenvalues[0]),
        ("singular", lambda p: p.n > 2 and p.spectrum.eigenvalues[1] < 1e-15 * p.spectrum.eigenvalues[0]),
        ("tiny ridge", lambda p: p.ridge < 1e-7 * p.spectrum.eigenvalues[0]),
        ("huge ridge", lambda p: p.ridge > 1e3 * p.spectrum.eigenvalues[0]),
        ("two outputs", lambda p: p.y.shape[1] == 2),
    ],
)
def test_extremes_are_reached(what, reached):
    find(testing.problems(), reached, settings=QUICK)


def test_counterexamples_shrink_to_few_points_in_the_standard_basis():
    smallest = find(testing.problems(), lambda p: p.ridge < 0.5 * p.spectrum.eigenvalues[0], settings=QUICK)
    assert smallest.n == 2
    assert np.count_nonzero(smallest.gram - np.diag(np.diag(smallest.gram))) == 0
    assert "ridge=" in repr(smallest)
    assert len(repr(smallest)) < 300
