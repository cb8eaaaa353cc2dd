"""Kernels of infinitely wide networks against closed forms, a brute-force recursion and finite networks drawn at random."""

import os
import signal
import subprocess
import sys
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits

from kdtheory import _neural_tangents, architectures, infinite, kernels
from kdtheory.blocks import BlockCache

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(23, 6))
IMAGES = RNG.normal(size=(7, 4, 4, 2))
DIGITS = load_digits().images[:20, 2:6, 2:6, None] / 16.0
EXTRA = ("jax", "neural_tangents", "frozendict", "tqdm")
pytestmark = pytest.mark.skipif(not all(map(find_spec, EXTRA)), reason="needs the extra `ntk`")


@cache
def network(kind, *choice, **choices):
    """One object per architecture, so that it is compiled once."""
    return getattr(architectures, kind)(*choice, **choices)


def gram(*network_and_inputs, **options):
    return infinite.gram(*network_and_inputs, progress=False, **options)


def in_a_new_process(code, **environment):
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


CLOSED_FORMS = [
    (0, "relu", 1.3, 0.2),
    (1, "relu", 2.0, 0.0),
    (5, "relu", 1.7, 0.3),
    (1, "erf", 1.5, 0.2),
    (5, "erf", 2.0, 0.0),
]


@pytest.mark.parametrize(("depth", "activation", "weights", "bias"), CLOSED_FORMS)
def test_fully_connected_networks_have_the_closed_form(depth, activation, weights, bias):
    choice = {"depth": depth, "activation": activation, "weight_variance": weights, "bias_variance": bias}
    chosen = network("fully_connected", **choice)
    points = np.vstack([POINTS, POINTS[:2]])  # two inputs occur twice
    tangent, covariance = gram(chosen, points, get=("ntk", "nngp"))
    np.testing.assert_allclose(tangent, kernels.ntk(points, **choice), rtol=1e-10)
    np.testing.assert_allclose(covariance, kernels.nngp(points, **choice), rtol=1e-10, atol=1e-13)
    assert tangent.dtype == covariance.dtype == np.float64
    cross = gram(chosen, points[:5], POINTS, get=("ntk", "nngp"))[0]  # five inputs occur in both sets
    np.testing.assert_allclose(cross, kernels.ntk(points[:5], POINTS, **choice), rtol=1e-10)


def test_inputs_of_784_features_have_an_exact_diagonal():
    """Sums over many features round differently in a matrix product, and ReLU would turn that into 1e-8."""
    points = RNG.normal(size=(600, 784))  # more than one tile
    K = gram(network("fully_connected", 3), points, block=500)
    np.testing.assert_allclose(np.diag(K), 4 * 2 / 784 * np.sum(points**2, axis=1), rtol=1e-13)
    np.testing.assert_allclose(K, kernels.ntk(points, depth=3), rtol=1e-10)


def relu_moments(K):
    """E[relu relu] and E[relu' relu'] of a covariance between pixels of all images."""
    size = np.sqrt(np.diag(K))
    scale = np.outer(size, size)
    cosine = np.clip(K / scale, -1, 1)
    cosine[cosine > 1 - 1e-14] = 1.0
    obtuse = np.pi - np.arccos(cosine)
    return scale * (np.sqrt(1 - cosine**2) + obtuse * cosine) / (2 * np.pi), obtuse / (2 * np.pi)


def brute_force(kind, images, depth, pooling, weights, bias):
    """NNGP and NTK from every covariance between two pixels of two images, layer by layer."""
    n, height, width, channels = images.shape
    pixels = height * width

    def affine(state, mix):
        K, theta = weights * mix(state[0]) + bias, weights * mix(state[1])
        return np.stack([K, theta + K])

    def relu(state):
        K, slope = relu_moments(state[0])
        return np.stack([K, state[1] * slope])

    def patches(S):
        """A patch is nine shifted copies of the zero-padded image."""
        full = np.pad(S.reshape(n, height, width, n, height, width), [(0, 0), (1, 1), (1, 1)] * 2)
        shifts = [(slice(a, a + height), slice(b, b + width)) for a in range(3) for b in range(3)]
        return sum(full[:, a, b, :, a, b] for a, b in shifts).reshape(n * pixels, n * pixels) / 9

    def attention(state):
        """Scores are the covariance itself; values and outputs have a gradient each, keys none in the limit."""
        size = len(state[0]) // n
        weight = np.zeros_like(state[0])
        for i in range(n):
            own = slice(i * size, (i + 1) * size)
            weight[own, own] = softmax(state[0][own, own], axis=1)
        K, theta = (weights * weight @ S @ weight.T for S in state)
        return np.stack([K + bias, theta + 2 * K + bias])

    flat = images.reshape(n * pixels, channels)
    if kind == "attention":
        cut = images.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
        flat = cut.reshape(n * pixels // 4, 4 * channels)
    K = flat @ flat.T / flat.shape[1]
    state = affine([K, 0 * K], np.asarray if kind == "attention" else patches)
    for step in range(depth):
        if kind == "residual":
            state = state + affine(relu(affine(relu(state), patches)), patches)
        elif kind == "attention":
            state = state + attention(state)
            state = state + affine(relu(state), np.asarray)
        elif step > 0:
            state = affine(relu(state), patches)
    pairs = relu(state).reshape(2, n, len(flat) // n, n, -1)
    return affine(np.einsum("kipjp->kij", pairs) / pairs.shape[2] if pooling == "flatten" else pairs.mean((2, 4)), np.asarray)


LAYERED = [("convolutional", 1, "flatten", 0.0), ("convolutional", 3, "flatten", 0.2), ("convolutional", 2, "average", 0.1)]
LAYERED += [("residual", 1, "average", 0.2), ("residual", 2, "flatten", 0.0), ("attention", 2, "average", 0.1)]


@pytest.mark.parametrize(("kind", "depth", "pooling", "bias"), LAYERED)
def test_networks_of_images_are_a_recursion_over_pairs_of_pixels(kind, depth, pooling, bias):
    chosen = network(kind, depth, pooling=pooling, weight_variance=1.7, bias_variance=bias)
    expected = brute_force(kind, IMAGES, depth, pooling, 1.7, bias)
    off = ~np.eye(len(IMAGES), dtype=bool)
    for got, value in zip(gram(chosen, IMAGES, get=("nngp", "ntk"), block=3), expected, strict=True):
        np.testing.assert_allclose(got[off], value[off], rtol=1e-10)
        np.testing.assert_allclose(got.diagonal(), value.diagonal(), rtol=1e-12 if pooling == "flatten" else 2e-9)


DRAWN = [("convolutional", 32, ("nngp", "ntk")), ("residual", 24, ("nngp",)), ("attention", 16, ("nngp",))]
DRAWN += [pytest.param(kind, 96, ("nngp", "ntk"), marks=pytest.mark.slow) for kind in ("residual", "attention")]


@pytest.mark.parametrize(("kind", "width", "quantities"), DRAWN)
def test_finite_networks_of_the_same_law_average_to_the_kernel(kind, width, quantities):
    """Covariance of outputs and mean tangent kernel of random networks: within 5 standard errors and 3 / width."""
    import jax
    import jax.numpy as jnp

    images = IMAGES[:3]
    heads = {"heads": width} if kind == "attention" else {}
    chosen = network(kind, 1, width=width, weight_variance=1.5, bias_variance=0.1, **heads)
    init_fn, apply_fn, _ = chosen
    inputs = jnp.asarray(images, jnp.float32)

    def outputs(parameters):
        return apply_fn(parameters, inputs)[:, 0]

    def product(key):
        f = outputs(init_fn(key, images.shape)[1])
        return jnp.outer(f, f)

    def tangent(key):
        jacobian = jax.tree_util.tree_leaves(jax.jacrev(outputs)(init_fn(key, images.shape)[1]))
        flat = [part.reshape(len(images), -1) for part in jacobian]
        return sum(part @ part.T for part in flat)

    keys = jax.random.split(jax.random.key(0), 400)
    draws = {"nngp": (product, keys), "ntk": (tangent, keys[:30])}
    for quantity, limit in zip(quantities, gram(chosen, images, get=quantities), strict=True):
        samples = np.asarray(jax.jit(jax.lax.map, static_argnums=0)(*draws[quantity]))
        error = samples.std(axis=0) / np.sqrt(len(samples))
        assert (np.abs(samples.mean(axis=0) - limit) < 5 * error + 3 / width * limit.max()).all()


@pytest.mark.parametrize(
    ("kind", "pooling"), [("convolutional", "flatten"), ("residual", "average"), ("attention", "average")]
)
def test_blocks_and_order_leave_no_trace(kind, pooling):
    """On digits, whose patches coincide, to the square root of rounding in those patches' share."""
    chosen = network(kind, 1, pooling=pooling)
    K = gram(chosen, DIGITS)
    assert (K == K.T).all()
    eigenvalues = np.linalg.eigvalsh(K)
    assert eigenvalues[0] > -1e-9 * eigenvalues[-1]
    order = RNG.permutation(20)
    np.testing.assert_allclose(gram(chosen, DIGITS[order], block=7), K[np.ix_(order, order)], rtol=1e-9)
    np.testing.assert_allclose(gram(chosen, DIGITS[:13], DIGITS[8:], block=5), K[:13, 8:], rtol=1e-9)


def test_generic_blocks_and_tiles_agree_to_rounding(monkeypatch):
    chosen = network("convolutional", 1)
    K = gram(chosen, IMAGES)
    for block in (1, 3, 6, 7):
        np.testing.assert_allclose(gram(chosen, IMAGES, block=block), K, rtol=1e-12)
    monkeypatch.setattr(infinite, "TILE_ENTRIES", 16 * 2**2)  # two images by two
    infinite._limit.cache_clear()
    np.testing.assert_allclose(gram(chosen, IMAGES), K, rtol=1e-12)
    np.testing.assert_allclose(gram(chosen, IMAGES, IMAGES[:3]), K[:, :3], rtol=1e-12)
    infinite._limit.cache_clear()


def test_attention_without_average_sees_where_a_patch_is():
    swapped = np.roll(IMAGES, 2, axis=2)
    for pooling, same in (("average", True), ("flatten", False)):
        chosen = network("attention", 1, pooling=pooling)
        assert np.allclose(gram(chosen, IMAGES[:3], swapped[3:]), gram(chosen, IMAGES[:3], IMAGES[3:]), rtol=1e-9) is same


def test_any_stack_of_layers_will_do():
    """Layers that none of the ready-made networks has, as a triple and as its kernel function alone."""
    stax = infinite.neural_tangents().stax
    layers = [stax.Conv(8, (3, 3), padding="CIRCULAR"), stax.Gelu(), stax.Conv(8, (2, 2), (2, 2)), stax.LayerNorm()]
    chosen = stax.serial(*layers, stax.Dense(8), stax.Abs(), stax.GlobalAvgPool(), stax.Dense(1))
    shifted = gram(chosen[2], np.roll(IMAGES, 2, axis=1), block=5)  # a circular convolution does not see where a pattern is
    np.testing.assert_allclose(gram(chosen, IMAGES, block=4), shifted, rtol=1e-8)
    own = architectures.fully_connected(2, activation=stax.Erf())
    np.testing.assert_allclose(gram(own, POINTS), kernels.ntk(POINTS, depth=2, activation="erf"), rtol=1e-10)


def test_a_killed_run_resumes_and_a_finished_one_is_only_read(tmp_path, monkeypatch):
    code = f"""
from kdtheory import architectures, infinite
from tests.test_infinite import DIGITS
infinite.gram(architectures.convolutional(1), DIGITS[:14], block=1, cache={str(tmp_path)!r}, progress=False)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        while len(list(tmp_path.glob("*/*.npy"))) < 30:
            assert process.poll() is None, "it finished before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.npy")}
    everything = 14 + 14 * 15 // 2
    assert 30 <= len(finished) < everything
    computed, save = [], BlockCache.save
    monkeypatch.setattr(BlockCache, "save", lambda store, name, block: (computed.append(name), save(store, name, block)))
    for missing in (everything - len(finished), 0):
        K = gram(network("convolutional", 1), DIGITS[:14], block=1, cache=tmp_path)
        assert len(computed) == missing
        computed.clear()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())
    np.testing.assert_allclose(K, gram(network("convolutional", 1), DIGITS[:14]), rtol=1e-9)


def test_runs_in_one_folder_are_told_apart(tmp_path):
    flat = network("fully_connected", 1)
    close = network("fully_connected", 1, weight_variance=2 + 1e-9)
    runs = [(flat, POINTS, {}), (close, POINTS, {}), (flat, POINTS + 1e-12, {}), (flat, POINTS, {"get": "nngp"})]
    runs += [(flat, POINTS, {"block": 9}), (flat, POINTS[:9], {"block": 9})]
    expected = [gram(chosen, points, **options) for chosen, points, options in runs]
    for _ in range(2):
        for (chosen, points, options), K in zip(runs, expected, strict=True):
            assert (gram(chosen, points, **options, cache=tmp_path) == K).all()
    assert len(list(tmp_path.iterdir())) == len(runs)
    assert (gram(flat, POINTS, POINTS, cache=tmp_path) == expected[0]).all()


VARIANTS = """[
    architectures.convolutional(1), architectures.convolutional(2), architectures.convolutional(1, filter=2),
    architectures.convolutional(1, pooling="average"), architectures.convolutional(1, activation="erf"),
    architectures.convolutional(1, weight_variance=1.9), architectures.convolutional(1, bias_variance=1e-12),
    architectures.residual(1), architectures.attention(1), architectures.attention(1, weight_variance=1.9),
]"""


def identities(variants):
    with _neural_tangents.double_precision():
        return [infinite._Limit(one.kernel_fn, ("ntk",), (4, 4, 1)).identity["network"] for one in variants]


def test_an_architecture_is_known_by_its_computation():
    """Different choices differ; the width of finite networks, another process, hash seed or history do not."""
    found = identities(eval(VARIANTS))
    assert len(set(found)) == len(found)
    assert identities([architectures.convolutional(1, width=77)]) == found[:1]
    code = f"from kdtheory import architectures; from tests.test_infinite import *; print(*identities({VARIANTS}[::-1]))"
    assert in_a_new_process(code, PYTHONHASHSEED="12345").split()[::-1] == found
