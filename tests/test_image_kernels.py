"""The recorded self-distillation of images: what the caption claims, and rows that are measured again."""

import importlib.util

import numpy as np
import pytest

from paper_figs import image_kernels as figure
from paper_figs.style import half_width, where

TABLE = figure.compute()


def paired(data, kernel, rule):
    errors = where(TABLE, data=data, kernel=kernel, ridge_rule=rule)["error"].reshape(figure.SPLITS, -1)
    return errors[:, -1] - errors[:, 0]


def test_every_kernel_is_there():
    assert set(TABLE["data"]) == set(figure.DATA)
    for data in figure.DATA:
        kernels = set(where(TABLE, data=data)["kernel"])
        assert kernels == set(figure.KERNELS) - (set() if data == "digits" else {"CNTK, pooling"})
    assert len(TABLE["error"]) == (4 + 3 + 3) * figure.SPLITS * 2 * (figure.ROUNDS + 1)


def test_rounds_hurt_at_the_tuned_ridge_and_not_below_it():
    for data in figure.DATA:
        for kernel in set(where(TABLE, data=data)["kernel"]):
            change = paired(data, kernel, "ridge tuned")
            assert change.mean() > half_width(change), (data, kernel)
            assert paired(data, kernel, "ridge tuned / 30").mean() < 2e-5, (data, kernel)
        change = paired(data, "RBF", "ridge tuned / 30")
        assert change.mean() < -half_width(change), data


def again(kernel, X, labels, split, rule):
    K = figure._grams("digits")[kernel](X)
    return figure._path(K, np.eye(10)[labels], split, figure.SHARES[rule])


@pytest.mark.parametrize("kernel", ["RBF", "NTK"])
def test_rows_are_measured_again(kernel):
    X, labels = figure._images("digits")
    for split, rule in ((0, "ridge tuned"), (3, "ridge tuned / 30")):
        recorded = where(TABLE, data="digits", kernel=kernel, split=split, ridge_rule=rule)
        path = again(kernel, X, labels, split, rule)
        for column in ("ridge", "error", "accuracy"):
            np.testing.assert_allclose(recorded[column], path[column], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("neural_tangents") is None, reason="neural-tangents is not installed")
def test_convolutional_rows_are_measured_again():
    X, labels = figure._images("digits")
    recorded = where(TABLE, data="digits", kernel="CNTK, flatten", split=2, ridge_rule="ridge tuned")
    np.testing.assert_allclose(recorded["error"], again("CNTK, flatten", X, labels, 2, "ridge tuned")["error"], rtol=1e-5)


def test_the_tuned_ridge_is_the_best_of_the_grid():
    import kdtheory as kd

    X, labels = figure._images("digits")
    K = figure._grams("digits")["RBF"](X)[:100, :100]
    y = np.eye(10)[labels[:100]]
    s = kd.Spectrum.from_gram(K)
    ridge = figure.tuned_ridge(s, y)
    errors = {}
    for r in figure.RIDGES[::4] * s.eigenvalues[0]:  # leaving out one image at a time, by refits
        left = []
        for i in range(100):
            rest = np.delete(np.arange(100), i)
            c = np.linalg.solve(K[np.ix_(rest, rest)] + r * np.eye(99), y[rest])
            left.append(K[i, rest] @ c - y[i])
        errors[r] = np.mean(np.square(left))
    best = min(errors, key=errors.get)
    assert abs(np.log10(ridge / best)) <= 1.0
