"""The door for NumPy, PyTorch and JAX arrays against the core, and its gradients against differences of the core."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kdtheory as kd
from kdtheory import arrays

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
POINTS, NEW = RNG.normal(size=(30, 4)), RNG.normal(size=(11, 4))
LABELS, WANTED = RNG.normal(size=(30, 2)), RNG.normal(size=(11, 2))
WEIGHTS, RIDGES = [0.5, 0.9, 1.2, -0.3], [0.3, 0.2, 1.0, 0.5, 0.1]
KERNELS = {
    "rbf": ({"gamma": 0.3}, {}),
    "laplace": ({"gamma": 0.4}, {}),
    "ntk": ({"weight_variance": 1.7, "bias_variance": 0.2}, {"depth": 2}),
}


@pytest.fixture(params=["numpy", "torch", "jax", "cuda"])
def to(request):
    """From NumPy to arrays of one kind, all in double precision."""
    with contextlib.ExitStack() as stack:
        if request.param == "numpy":
            yield np.asarray
        elif request.param == "jax":
            jax = pytest.importorskip("jax")
            stack.enter_context(jax.enable_x64(True))
            yield jax.numpy.asarray
        else:
            torch = pytest.importorskip("torch")
            if request.param == "cuda" and not torch.cuda.is_available():
                pytest.skip("no CUDA device")
            device = "cuda" if request.param == "cuda" else "cpu"
            yield lambda values: torch.asarray(np.asarray(values), device=device)


def back(array):
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array)


def close(got, expected, rtol=1e-12):
    got = back(got)
    assert got.dtype == np.float64
    assert got.shape == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=0, atol=rtol * np.abs(expected).max())


def core_risk(name="rbf", ridge=0.3, weights=WEIGHTS, X=POINTS, new=NEW, **params):
    """Validation risk of the last round, through the core."""
    kernel = getattr(kd.kernels, name)
    given = KERNELS[name][0] | KERNELS[name][1] | params
    K, k = kernel(X, **given), kernel(new, X, **given)
    last = kd.rounds(kd.Spectrum.from_gram(K), LABELS, ridge=ridge, teacher_weights=weights, cross=k)[-1]
    return np.mean((last - WANTED) ** 2)


def door_risk(to, name="rbf", ridge=0.3, weights=WEIGHTS, X=POINTS, new=NEW, **params):
    """The same, through the door."""
    kernel, given = getattr(arrays, name), KERNELS[name][0] | KERNELS[name][1] | params
    X, new = to(X), to(new)
    K, k = kernel(X, **given), kernel(new, X, **given)
    return arrays.risk(K, to(LABELS), k, to(WANTED), ridge=ridge, teacher_weights=weights)[-1]


def difference(function, value, step=1e-5):
    """Central difference of fourth order."""
    at = [function(value + i * step) for i in (-2, -1, 1, 2)]
    return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_those_of_the_core(to, name):
    given = KERNELS[name][0] | KERNELS[name][1]
    door, core = getattr(arrays, name), getattr(kd.kernels, name)
    repeated = np.vstack([POINTS, POINTS[:3], 2 * POINTS[3:4], -POINTS[4:5]])  # the same, parallel and opposite points
    close(door(to(repeated), **given), core(repeated, **given))
    close(door(to(NEW), to(repeated), **given), core(NEW, repeated, **given))
    close(door(to(repeated + 5.0), **given), core(repeated + 5.0, **given), rtol=1e-11)
    if name == "ntk":
        zero = np.vstack([repeated, np.zeros(4)])
        close(door(to(zero), depth=2), core(zero, depth=2))


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("ridge", [0.2, RIDGES])
def test_rounds_and_risk_are_those_of_the_core(to, outputs, ridge):
    y, wanted = (LABELS[:, 0], WANTED[:, 0]) if outputs == 1 else (LABELS, WANTED)
    K, k = kd.kernels.rbf(POINTS, gamma=0.3), kd.kernels.rbf(NEW, POINTS, gamma=0.3)
    s, how = kd.Spectrum.from_gram(K), {"ridge": ridge, "teacher_weights": WEIGHTS}
    close(arrays.rounds(to(K), to(y), to(k), **how), kd.rounds(s, y, cross=k, **how))
    close(arrays.rounds(to(K), to(y), **how), kd.rounds(s, y, **how))
    given = {"ridge": to(ridge), "teacher_weights": to(WEIGHTS)}  # as arrays too
    close(arrays.rounds(to(K), to(y), **given), kd.rounds(s, y, **how))
    risks = [np.mean((each - wanted) ** 2) for each in kd.rounds(s, y, cross=k, **how)]
    close(arrays.risk(to(K), to(y), to(k), to(wanted), **given), risks)


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_grid_is_that_of_the_core(to, outputs):
    y, wanted = (LABELS[:, 0], WANTED[:, 0]) if outputs == 1 else (LABELS, WANTED)
    X = np.vstack([POINTS[:15], POINTS[:15]])  # a singular matrix
    K, k = kd.kernels.rbf(X, gamma=0.3), kd.kernels.rbf(NEW, X, gamma=0.3)
    how = {"ridges": [0.01, 0.1, 3.0], "teacher_weights": [-0.5, 0.0, 0.7, 1.0, 1.001], "rounds": 6}
    expected = kd.risk_grid(kd.Spectrum.from_gram(K), y, k, wanted, **how)
    close(arrays.risk_grid(to(K), to(y), to(k), to(wanted), **how), expected)
    how |= {name: to(how[name]) for name in ("ridges", "teacher_weights")}
    close(arrays.risk_grid(to(K), to(y), to(k), to(wanted), **how), expected)
    chain = arrays.risk(to(K), to(y), to(k), to(wanted), ridge=0.1, teacher_weights=[0.7] * 6)
    close(chain, expected[1, 2])


def test_the_weight_is_that_of_the_core(to):
    on_labels, on_teacher, targets = RNG.normal(size=(3, 40, 2))
    got = arrays.optimal_teacher_weight(to(on_labels), to(on_teacher), to(targets))
    close(got, np.float64(kd.RiskCurve.from_predictions(on_labels, on_teacher, targets).optimal_weight))


def by_torch(function, *values):
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]
    function(*leaves).backward()
    return [leaf.grad.numpy() for leaf in leaves]


def by_jax(function, *values):
    import jax

    return jax.jit(jax.grad(function, argnums=tuple(range(len(values)))))(*map(jax.numpy.asarray, values))


@pytest.fixture(params=["torch", "jax"])
def gradients(request):
    """(Arrays of one kind, gradient of a function of several values)."""
    with contextlib.ExitStack() as stack:
        if request.param == "torch":
            torch = pytest.importorskip("torch")
            yield lambda values: values if torch.is_tensor(values) else torch.tensor(values, dtype=torch.float64), by_torch
        else:
            jax = pytest.importorskip("jax")
            stack.enter_context(jax.enable_x64(True))
            yield jax.numpy.asarray, by_jax


@pytest.mark.parametrize("repeated", [False, True])
def test_gradients_of_the_risk_are_differences_of_the_core(gradients, repeated):
    to, gradient = gradients
    X = np.vstack([POINTS[:15]] * 2) if repeated else POINTS
    ridge, weights = gradient(lambda r, w: door_risk(to, ridge=r, weights=w, X=X), 0.3, WEIGHTS)
    assert abs(ridge - difference(lambda r: core_risk(ridge=r, X=X), 0.3)) < 1e-8 * abs(ridge) + 1e-10
    for i, got in enumerate(weights):
        step = lambda w, i=i: core_risk(weights=[*WEIGHTS[:i], w, *WEIGHTS[i + 1 :]], X=X)
        assert abs(got - difference(step, WEIGHTS[i])) < 1e-8 * np.abs(weights).max()
    (every,) = gradient(lambda r: door_risk(to, ridge=r, X=X), RIDGES)
    for i, got in enumerate(every):
        step = lambda r, i=i: core_risk(ridge=[*RIDGES[:i], r, *RIDGES[i + 1 :]], X=X)
        assert abs(got - difference(step, RIDGES[i])) < 1e-8 * np.abs(every).max()


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("repeated", [False, True])
def test_gradients_of_the_kernels_are_differences_of_the_core(gradients, name, repeated):
    to, gradient = gradients
    X = np.vstack([POINTS[:14], POINTS[:14], -POINTS[:1], 3 * POINTS[:1]]) if repeated else POINTS
    parameters = KERNELS[name][0]
    through = lambda *v: door_risk(to, name, X=X, new=v[-1], **dict(zip(parameters, v[:-1], strict=True)))
    *got, inputs = gradient(through, *parameters.values(), NEW)
    for (parameter, value), slope in zip(parameters.items(), got, strict=True):
        expected = difference(lambda v, p=parameter: core_risk(name, X=X, **{p: v}), value)
        assert abs(slope - expected) < 1e-7 * abs(expected), parameter
    at = lambda v: core_risk(name, X=X, new=np.vstack([[NEW[0, 0], v, *NEW[0, 2:]], NEW[1:]]))
    assert abs(inputs[0, 1] - difference(at, NEW[0, 1])) < 1e-7 * np.abs(inputs).max()


@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_gradients_at_zero_equal_and_opposite_points_are_finite(gradients, bias):
    to, gradient = gradients
    X = np.vstack([POINTS[:3], POINTS[:3], -POINTS[:1], np.zeros((2, 4))])
    for kernel in (
        lambda Z, v: arrays.ntk(Z, depth=2, weight_variance=v, bias_variance=bias),
        lambda Z, v: arrays.laplace(Z, gamma=v),
        lambda Z, v: arrays.rbf(Z, gamma=v),
    ):
        for got in gradient(lambda Z, v, f=kernel: f(Z if hasattr(Z, "mT") else to(Z), v).sum(), X, 0.8):
            assert np.isfinite(got).all()


def test_gradcheck_of_torch():
    torch = pytest.importorskip("torch")
    half = torch.tensor(POINTS[:6, :3])
    leaf = lambda values: torch.tensor(values, dtype=torch.float64, requires_grad=True)

    def chain(X, ridge, weights, gamma):
        K, k = arrays.rbf(X, gamma=gamma), arrays.rbf(half, X, gamma=gamma)
        return arrays.rounds(K, half[:, 0], k, ridge=ridge, teacher_weights=weights)

    assert torch.autograd.gradcheck(chain, (leaf(POINTS[6:12, :3]), leaf(0.3), leaf([0.5, 0.9]), leaf(0.4)))
    network = lambda X, w, b: arrays.ntk(X, depth=2, weight_variance=w, bias_variance=b)
    assert torch.autograd.gradcheck(network, (leaf(POINTS[:4]), leaf(1.5), leaf(0.2)))


def test_one_vmap_over_ridges_is_a_loop_over_ridges():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        X, new, y, wanted = map(jax.numpy.asarray, (POINTS, NEW, LABELS, WANTED))
        K, k = arrays.rbf(X, gamma=0.3), arrays.rbf(new, X, gamma=0.3)
        one = lambda ridge: arrays.risk(K, y, k, wanted, ridge=ridge, teacher_weights=WEIGHTS)
        together = jax.jit(jax.vmap(one))(jax.numpy.asarray(RIDGES))
        close(together, np.stack([back(one(ridge)) for ridge in RIDGES]))
        grid = jax.jit(lambda r, w: arrays.risk_grid(K, y, k, wanted, ridges=r, teacher_weights=w, rounds=3))
        how = {"ridges": RIDGES, "teacher_weights": [0.2, 1.0]}
        expected = kd.risk_grid(kd.Spectrum.from_gram(back(K)), LABELS, back(k), WANTED, **how, rounds=3)
        close(grid(*map(jax.numpy.asarray, how.values())), expected)


def test_float32_stays_float32_and_loses_what_the_documentation_says(to):
    single = lambda values: to(np.asarray(values, dtype=np.float32))
    for name, (parameters, fixed) in KERNELS.items():
        K = getattr(arrays, name)(single(POINTS), **parameters, **fixed)
        assert "float32" in str(K.dtype), name
        expected = getattr(kd.kernels, name)(POINTS, **parameters, **fixed)
        assert np.abs(back(K) - expected).max() < 2e-6 * expected.max()
    K, k = (kd.kernels.rbf(*sets, gamma=0.3) for sets in ((POINTS,), (NEW, POINTS)))
    risk = arrays.risk(*map(single, (K, LABELS, k, WANTED)), ridge=0.3, teacher_weights=WEIGHTS)
    assert "float32" in str(risk.dtype)
    assert abs(float(risk[-1]) / core_risk() - 1) < 1e-5


def test_another_namespace_solves_by_elimination():
    class Other:
        __name__ = "other"
        linalg = np.linalg

    K = kd.kernels.rbf(POINTS, gamma=0.3) + np.eye(30)
    np.testing.assert_allclose(arrays._solver(Other(), K)(LABELS), arrays._solver(np, K)(LABELS), rtol=1e-10)


K, k = np.eye(3), np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arrays.rbf([[1.0]], gamma=1.0), "`X` must be an array of NumPy, PyTorch or JAX, got list"),
        (lambda: arrays.rbf(np.eye(2, dtype=int), gamma=1.0), "`X` must hold floating-point numbers, got int64"),
        (lambda: arrays.laplace(np.ones(3), gamma=1.0), r"`X` must have shape \(any, any\), got \(3,\)"),
        (lambda: arrays.ntk(K, np.ones((2, 4)), depth=1), r"`X_train` must have shape \(any, 3\), got \(2, 4\)"),
        (lambda: arrays.rounds(k, np.ones(2), ridge=1.0, teacher_weights=[]), r"`gram` must have shape \(2, 2\)"),
        (lambda: arrays.rounds(K, np.ones(2), ridge=1.0, teacher_weights=[]), r"`y` must have shape \(3,\) or \(3, outputs\)"),
        (
            lambda: arrays.rounds(K, np.ones(3), ridge=[1.0, 1.0], teacher_weights=[0.5, 0.5]),
            "`ridge` must be one number or 3, one per round, got 2",
        ),
        (lambda: arrays.rounds(K, np.ones(3), k.T, ridge=1.0, teacher_weights=[]), r"`cross` must have shape \(any, 3\)"),
        (
            lambda: arrays.risk(K, np.ones(3), k, np.ones((2, 1)), ridge=1.0, teacher_weights=[]),
            r"`y_val` must have shape \(2\), got \(2, 1\)",
        ),
        (lambda: arrays.optimal_teacher_weight(K, K, k), r"`targets` must have shape \(3, 3\), got \(2, 3\)"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_two_kinds_are_not_mixed():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="`y` must be an array of torch like `gram`, got one of numpy"):
        arrays.rounds(torch.eye(3), np.ones(3), ridge=1.0, teacher_weights=[])


def test_the_door_opens_without_torch_and_jax():
    code = "import sys, kdtheory.arrays; print('torch' in sys.modules, 'jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False False\n"


def test_the_documentation_runs(capsys):
    pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    text = (ROOT / "docs" / "arrays.md").read_text(encoding="utf-8")
    names = {}
    with jax.enable_x64(True):
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(compile(block, "docs/arrays.md", "exec"), names)
    assert names["after"] < names["before"]


def test_the_documentation_quotes_the_core():
    blocks = re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "arrays.md").read_text(encoding="utf-8"), re.DOTALL)
    quoted = {line.strip() for block in blocks for line in re.findall("^-(.*)", block, re.MULTILINE)}
    core = [(ROOT / "kdtheory" / name).read_text(encoding="utf-8") for name in ("checks.py", "gram.py", "recursion.py")]
    assert not quoted - {line.strip() for text in core for line in text.splitlines()}
