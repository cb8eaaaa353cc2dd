"""A block-Krylov basis of labels and matrices at the ends of floating point, and of matrices that are none."""

import numpy as np
import pytest

import kdtheory as kd
from kdtheory import kernels
from kdtheory.krylov import ConvergenceError, krylov

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("scale", [1e-170, 1e140])
def test_labels_of_any_size_are_seen(scale):
    K, y = kernels.rbf(RNG.normal(size=(40, 3)), gamma=0.2), RNG.normal(size=40)
    reduced = krylov(K, scale * y, ridges=[0.1], tolerance=1e-8)
    expected = krylov(K, y, ridges=[0.1], tolerance=1e-8).predict(kd.Ridge(0.1), K)
    np.testing.assert_allclose(reduced.predict(kd.Ridge(0.1), K) / scale, expected, atol=1e-8)


def test_what_cannot_be_bounded_is_refused():
    K, y = kernels.rbf(RNG.normal(size=(40, 3)), gamma=0.2), RNG.normal(size=40)
    with np.errstate(all="ignore"), pytest.raises((ConvergenceError, ValueError)):
        krylov(K * 1e-160, y, ridges=[1e-163], max_rank=3, tolerance=1e-8)
    with pytest.raises(ValueError, match="`gram` must be positive semi-definite"):
        krylov(-np.eye(5), np.ones(5), ridges=[1.0])
