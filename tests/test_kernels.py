"""Kernels against other libraries, quadrature, and finite networks."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from kdtheory import kernels

RNG = np.random.default_rng(0)
X, X_NEW = RNG.normal(size=(23, 5)), RNG.normal(size=(7, 5))
ALL = {
    "linear": kernels.linear,
    "polynomial": lambda *a: kernels.polynomial(*a, degree=3, gamma=0.4, coef0=0.5),
    "rbf": lambda *a: kernels.rbf(*a, gamma=0.3),
    "laplace": lambda *a: kernels.laplace(*a, gamma=0.3),
    "ntk": lambda *a: kernels.ntk(*a, depth=3, bias_variance=0.1),
    "nngp": lambda *a: kernels.nngp(*a, depth=3, bias_variance=0.1),
    "ntk_erf": lambda *a: kernels.ntk(*a, depth=2, activation="erf", weight_variance=1.5),
}


def test_laplace_against_distances_of_scipy():
    np.testing.assert_allclose(ALL["laplace"](X_NEW, X), np.exp(-0.3 * cdist(X_NEW, X)), rtol=1e-12)


def test_against_scikit_learn():
    theirs = pytest.importorskip("sklearn.metrics.pairwise")
    np.testing.assert_allclose(ALL["linear"](X_NEW, X), theirs.linear_kernel(X_NEW, X), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        ALL["polynomial"](X_NEW, X), theirs.polynomial_kernel(X_NEW, X, degree=3, gamma=0.4, coef0=0.5), rtol=1e-11
    )
    np.testing.assert_allclose(ALL["rbf"](X_NEW, X), theirs.rbf_kernel(X_NEW, X, gamma=0.3), rtol=1e-12)
    np.testing.assert_allclose(kernels.rbf(X), theirs.rbf_kernel(X), rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_cross_is_a_block_of_the_joint_gram(name):
    joint = ALL[name](np.vstack([X_NEW, X]))
    np.testing.assert_allclose(ALL[name](X_NEW, X), joint[:7, 7:], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ALL[name](X), joint[7:, 7:], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_gram_is_exactly_symmetric_and_positive(name):
    points = RNG.normal(size=(700, 5))  # more than one block of rows
    K = ALL[name](points)
    assert (K == K.T).all()
    eigenvalues = np.linalg.eigvalsh(K)
    assert eigenvalues[0] > -1e-10 * eigenvalues[-1]


@pytest.mark.parametrize("name", ALL)
def test_a_repeated_point_has_a_repeated_row(name):
    K = ALL[name](np.vstack([X, X[:4]]))
    np.testing.assert_allclose(K[:, 23:], K[:, :4], rtol=1e-13, atol=1e-14)
    assert np.linalg.eigvalsh(K)[3] < 1e-12 * np.linalg.eigvalsh(K)[-1]


def test_rounding_of_products_is_not_an_angle():
    """x.x summed in another order than |x|^2 gives correlations one rounding below 1, and arccos turns that into 1e-8."""
    images = RNG.normal(size=(50, 784))
    K = kernels.ntk(np.vstack([images, images]), depth=3)
    expected = 4 * 2 / 784 * np.sum(images**2, axis=1)  # four layers of the prior variance
    np.testing.assert_allclose(np.diag(K)[:50], expected, rtol=1e-13)
    np.testing.assert_allclose(np.diag(K[50:, :50]), expected, rtol=1e-13)
    np.testing.assert_allclose(np.diag(kernels.ntk(images, images.copy(), depth=3)), expected, rtol=1e-13)


def test_the_zero_point_is_allowed():
    K = kernels.ntk(np.vstack([np.zeros(5), X]), depth=2)
    assert np.isfinite(K).all()
    assert (K[0] == 0).all()


@pytest.mark.parametrize("name", ALL)
def test_integers_and_float32_are_computed_in_float64(name):
    small = RNG.integers(0, 5, size=(9, 5))
    K = ALL[name](small)
    assert K.dtype == np.float64
    np.testing.assert_allclose(ALL[name](small.astype(np.float32)), K, rtol=1e-14)


@pytest.mark.parametrize("name", ["rbf", "laplace", "ntk"])
def test_memory_is_the_result_and_a_few_blocks(name):
    points = RNG.normal(size=(2000, 5))
    tracemalloc.start()
    ALL[name](points)
    peak = tracemalloc.get_traced_memory()[1] / (8 * 2000**2)
    tracemalloc.stop()
    assert peak < 2.0


@pytest.mark.parametrize("kernel", [kernels.rbf, kernels.laplace])
def test_outliers_clusters_and_wide_columns_keep_their_digits(kernel):
    wide = np.column_stack([1.7e9 + RNG.integers(0, 10, 200) * 1e8, RNG.normal(size=200)])
    clusters = np.vstack([RNG.normal(size=(40, 3)), 1e8 + RNG.normal(size=(40, 3))])
    outlier = np.array([[0.0], [1.0], [1e9]])
    for points in (wide, clusters, outlier):
        metric = "sqeuclidean" if kernel is kernels.rbf else "euclidean"
        np.testing.assert_allclose(
            kernel(points, gamma=0.7), np.exp(-0.7 * cdist(points, points, metric)), rtol=1e-9, atol=1e-12
        )
    for h in (1e-6, 1e-8):
        near = np.array([[1.0, 2.0], [1.0 + h, 2.0]])
        distance = near[1, 0] - near[0, 0]
        assert abs(kernel(near, gamma=1.0 / h)[0, 1] - np.exp(-(distance ** (2 if kernel is kernels.rbf else 1)) / h)) < 1e-12


@pytest.mark.parametrize("features", [64, 784, 3072])
def test_gram_diagonals_are_exact(features):
    pixels = RNG.integers(0, 256, size=(300, features)).astype(float)
    assert (np.diag(kernels.laplace(pixels, gamma=0.1)) == 1).all()
    assert (np.diag(kernels.rbf(pixels, gamma=0.1)) == 1).all()
    expected = 3 * 2 / features * np.sum(pixels**2, axis=1)
    np.testing.assert_allclose(np.diag(kernels.ntk(pixels, depth=2)), expected, rtol=1e-13)


def test_laplace_does_not_see_rounding_as_distance():
    far = RNG.normal(size=(6, 5)) + 1e3
    K = kernels.laplace(np.vstack([far, far]), gamma=1.0)
    np.testing.assert_allclose(np.diag(K[:6, 6:]), 1.0, atol=1e-15)


@pytest.mark.parametrize("name", ["rbf", "laplace", "ntk"])
@pytest.mark.parametrize(("m", "n"), [(1, 700), (700, 1), (257, 255), (1000, 300), (3, 70_000), (70_000, 3)])
def test_every_strip_of_a_cross_matrix_is_its_pairs(name, m, n):
    """Sizes on both sides of panels and strips; the first and last points are shared by both sets."""
    first, second = RNG.normal(size=(m, 3)), RNG.normal(size=(n, 3))
    second[[0, -1]] = first[[0, -1]]
    K = ALL[name](first, second)
    assert K.shape == (m, n)
    for i, j in [(0, 0), (-1, -1), *zip(RNG.integers(0, m, 20), RNG.integers(0, n, 20), strict=True)]:
        assert abs(K[i, j] - ALL[name](first[i][None], second[j][None])[0, 0]) < 1e-13 * max(1.0, np.abs(K).max())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 513])
def test_every_panel_of_a_gram_matrix_is_its_cross_matrix(name, n):
    points = RNG.normal(size=(n, 4))
    points[-1] = points[0] * (1 + 1e-9)  # close pairs in two panels
    K, other = ALL[name](points), ALL[name](points, points.copy())
    assert (K == K.T).all()
    np.testing.assert_allclose(K, other, rtol=1e-12, atol=1e-13 * np.abs(other).max())


def test_strided_and_transposed_points_are_the_same_points():
    wide = RNG.normal(size=(40, 12))
    for view in (wide[::2, 1::3], np.asfortranarray(wide), wide[::-1]):
        for name in ("linear", "rbf", "laplace", "ntk"):
            np.testing.assert_allclose(ALL[name](view), ALL[name](np.ascontiguousarray(view)), rtol=1e-13, atol=1e-14)


def test_what_stood_in_memory_does_not_show():
    """Of a Gram matrix BLAS writes one half; the other is never read before it is written."""
    for _ in range(5):
        np.full((300, 300), np.nan)  # freed, and given out again
        with np.errstate(all="raise", under="ignore"):
            for name in ("rbf", "laplace", "ntk"):
                assert np.isfinite(ALL[name](RNG.normal(size=(300, 5)))).all()


@pytest.mark.parametrize("kernel", [kernels.rbf, kernels.laplace])
def test_close_pairs_are_found_among_points_of_very_different_lengths(kernel):
    points = RNG.normal(size=(600, 6)) * np.exp(3 * RNG.normal(size=(600, 1)))
    points[300:] = points[:300] + 1e-9 * RNG.normal(size=(300, 6))
    far = points + 1e4  # a centre that is not at zero
    for each in (points, far):
        gap = each[:300] - each[300:]
        squared = np.einsum("ij,ij->i", gap, gap)
        expected = np.exp(-0.5e8 * (squared if kernel is kernels.rbf else np.sqrt(squared)))
        np.testing.assert_allclose(np.diag(kernel(each, gamma=0.5e8)[:300, 300:]), expected, rtol=1e-7)
    p = np.array([1e6 / 3, 1e6 / 7])
    star = np.array(
        [0 * p, p, p + np.array([6.1, -8.3]), -p, -2 * p]
    )  # the first is the centre: not every point is close to its like
    expected = np.exp(-1e-2 * np.linalg.norm(star[1] - star[2]) ** (2 if kernel is kernels.rbf else 1))
    assert abs(kernel(star, gamma=1e-2)[1, 2] - expected) < 1e-11 * expected
