import itertools
from pathlib import Path

import numpy as np
import pytest

import kdtheory as kd
from kdtheory.theorems import mobahi
from tests.theorems import laws

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(**laws.of(mobahi))
def test_theorem(law, theorem):
    law(theorem)


def test_the_illustrative_problem_collapses_after_four_rounds():
    """Green's function of the fourth derivative, toy labels, tolerance 0.045; values of an independent implementation."""
    x = np.arange(11) / 10
    X, Z = np.meshgrid(x, x, indexing="ij")
    K = np.maximum(X - Z, 0) ** 3 / 6 - X * (1 - Z) * (X**2 - 2 * Z + Z**2) / 6
    y = np.genfromtxt(ROOT / "paper_figs" / "data" / "borup_andersen_toy.csv", delimiter=",", names=True)["y"]
    result = kd.constrained.constrained_rounds(kd.Spectrum.from_gram((K + K.T) / 2), y, tolerance=0.045)
    np.testing.assert_allclose(result.ridges, [3.0e-5, 9.64e-4, 3.011e-3, 8.690e-3], rtol=1e-2)
    np.testing.assert_allclose(result.norms, [2.5118, 2.3637, 1.8809, 1.2475, 0.5857], atol=5e-5)
    assert result.rounds == 4
    assert abs(result.guaranteed - 2.570) < 5e-4


def test_unreachable_and_trivial_tolerances_are_refused(monkeypatch):
    s = kd.Spectrum.from_gram([[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="`tolerance` must leave room for what the kernel cannot fit"):
        kd.constrained.constrained_rounds(s, [1.0, -1.0], tolerance=0.5)
    with pytest.raises(ValueError, match="`tolerance` must be below the labels' mean square, 1, got 2"):
        kd.constrained.constrained_rounds(s, [1.0, -1.0], tolerance=2.0)
    monkeypatch.setattr(kd.constrained, "MOST_ROUNDS", 50)
    with pytest.raises(ValueError, match="`tolerance` must be larger: no collapse within 50 rounds, got 1e-11"):
        kd.constrained.constrained_rounds(kd.Spectrum.from_gram(np.eye(1)), [1.0], tolerance=1e-11)


def test_every_round_misses_by_the_tolerance_though_the_kernel_is_blind_to_a_part():
    """A kernel of rank two: what lies outside its range counts in the first round and is gone afterwards."""
    s, y = kd.Spectrum.from_features([[1.0, 0.0], [1.0, 1.0], [0.5, -1.0]]), np.array([1.0, 0.8, 0.2])
    assert 0.01 < np.mean(s.outside(y) ** 2) < 0.1
    result = kd.constrained.constrained_rounds(s, y, tolerance=0.1)
    rounds = [y] + [s.apply(multiplier, 0.0, y) for multiplier in result.multipliers[1:]]
    for before, after in itertools.pairwise(rounds):
        assert abs(np.mean((before - after) ** 2) - 0.1) < 1e-12
