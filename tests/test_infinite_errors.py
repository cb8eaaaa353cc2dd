"""What `kdtheory.infinite` says when something is wrong or missing, and what it leaves of the user's JAX."""

import re
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from kdtheory import _neural_tangents, architectures, infinite, kernels
from tests.test_infinite import EXTRA, IMAGES, POINTS, gram, in_a_new_process  # noqa: F401, named in ERRORS

installed = pytest.mark.skipif(not all(map(find_spec, EXTRA)), reason="needs the extra `ntk`")


def test_importing_the_room_loads_no_jax():
    loaded = in_a_new_process("import sys, kdtheory.infinite, kdtheory.architectures; print(*sys.modules)").split()
    assert not {name.partition(".")[0] for name in loaded} & {*EXTRA, "jaxlib"}


@pytest.mark.parametrize("name", EXTRA)
def test_what_is_missing_is_named_with_its_cure(name):
    code = f"""
import sys
sys.modules[{name!r}] = None
from kdtheory import architectures, infinite
for use in (lambda: infinite.gram(lambda x, y, get: x, [[1.0]]), lambda: architectures.fully_connected(1)):
    try: use()
    except ImportError as error: print(error)
"""
    message = in_a_new_process(code)
    cure = "pip install 'kdtheory[ntk]'\npip install --no-deps neural-tangents==0.6.5\n"
    assert message.count("kdtheory.infinite needs JAX and neural-tangents (") == message.count(cure) == 2


@installed
def test_the_users_jax_is_left_as_it_was():
    code = """
import jax, jax.core, jax.extend.core, jax.interpreters.ad, sys
before = {module: set(vars(sys.modules[module])) for module in ("jax.core", "jax.interpreters.ad", "jax.lax")}
from kdtheory import architectures, infinite
K = infinite.gram(architectures.fully_connected(1), [[1.0, 2.0]], progress=False)
assert K.dtype == float and not jax.config.jax_enable_x64 and jax.numpy.ones(1).dtype == "float32"
for module, names in before.items():
    assert set(vars(sys.modules[module])) == names, (module, set(vars(sys.modules[module])) ^ names)
assert "neural_tangents.experimental" not in sys.modules and not hasattr(sys.modules["neural_tangents"], "experimental")
"""
    in_a_new_process(code)


@installed
def test_an_import_of_the_users_own_is_taken_as_it_is():
    code = """
import sys
from kdtheory import _neural_tangents, infinite
with _neural_tangents._moved_names():
    import neural_tangents
assert infinite.neural_tangents() is neural_tangents and hasattr(neural_tangents, "experimental")
"""
    in_a_new_process(code)


@installed
def test_convolutions_read_only_their_own_memory():
    """Compiled by default, this ends in a segmentation fault with AVX-512: 72 bytes before the first pixel are read."""
    code = """
import numpy as np
from jax import lax
from kdtheory._neural_tangents import compiled, double_precision
x = np.ones((36_864, 1, 8, 8))
with double_precision():
    run = compiled(lambda x: lax.conv(x, np.eye(3)[None, None], (1, 1), "SAME"), x.shape)
    for _ in range(20):
        assert float(run(x).sum()) == len(x) * (64 + 2 * 49)
"""
    in_a_new_process(code)


@installed
def test_versions_that_do_not_work_together_are_refused(monkeypatch):
    package = infinite.neural_tangents()
    ntk = kernels.ntk
    monkeypatch.setattr(kernels, "ntk", lambda *points, **choice: ntk(*points, **choice) * (1 + 1e-9))
    with pytest.raises(
        RuntimeError, match=r"neural-tangents 0.6.5 on JAX .* must agree .* got a relative difference of 1e-09"
    ):
        _neural_tangents._compare(package)
    monkeypatch.setattr(_neural_tangents, "MOVED", ("NoSuchName",))
    for name in [name for name in sys.modules if name.startswith("neural_tangents")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(RuntimeError, match=r"`neural_tangents` must be importable, got AttributeError"):
        _neural_tangents.neural_tangents.__wrapped__()


@installed
def test_a_type_that_is_not_float64_is_refused():
    with pytest.raises(RuntimeError, match="JAX must return float64 here, got float32"):
        infinite._double(np.ones(2, np.float32))


ERRORS = [
    ("gram(images, POINTS)", "`X` must have shape (n, height, width, channels) for this network, got (23, 6)."),
    ("gram(images, IMAGES[..., 0])", "for this network, got (7, 4, 4); pass X[..., None]."),
    ("gram(vectors, IMAGES)", "`X` must have shape (n, features) for this network, got (7, 4, 4, 2)."),
    ("gram(images, IMAGES, POINTS)", "`X_train` must have shape (n, height, width, channels)"),
    ("gram(architectures.attention(1, patch=3), IMAGES)", "`X` must have sides that are multiples of 3, got (4, 4)."),
    ("gram(vectors, POINTS, POINTS[:, :2])", "`X_train` must have inputs of shape (6,) like `X`, got (2,)."),
    ("gram(vectors[2], POINTS[0])", "`X` must have at least two dimensions, inputs first, got shape (6,)."),
    ("gram(vectors, [[np.nan]])", "`X` must be finite, got nan"),
    ("gram(vectors, POINTS, get='cov')", "`get` must be ntk, nngp or a tuple of them, got 'cov'."),
    ("gram(vectors, POINTS, get=('ntk', 'ntk'))", "`get` must be ntk, nngp or a tuple of them, got ('ntk', 'ntk')."),
    ("gram(vectors, POINTS, get=())", "`get` must be ntk, nngp or a tuple of them, got ()."),
    ("gram(vectors, POINTS, block=0)", "`block` must be a whole number of at least 1, got 0."),
    ("gram('relu', POINTS)", "`network` must be an Architecture, (init_fn, apply_fn, kernel_fn) or a kernel_fn, got 'relu'."),
    ("gram((len, len), POINTS)", "`network` must be an Architecture, (init_fn, apply_fn, kernel_fn) or a kernel_fn"),
    ("gram(stax.Conv(8, (3, 3)), IMAGES)", "`network` must end in a readout (stax.Flatten or pooling, then stax.Dense)"),
    (
        "gram(stax.Dense(1, W_std=single), POINTS)",
        "`network` must be built from Python floats and compute in float64, got f32",
    ),
    ("gram(vectors, POINTS, cache=__file__)", "`cache` must be a folder, got the file"),
    ("architectures.fully_connected(-1)", "`depth` must be a whole number of at least 0, got -1."),
    ("architectures.convolutional(0)", "`depth` must be a whole number of at least 1, got 0."),
    ("architectures.convolutional(1, filter=0)", "`filter` must be a whole number of at least 1, got 0."),
    ("architectures.residual(1, pooling='max')", "`pooling` must be flatten or average, got 'max'."),
    ("architectures.attention(1, activation=1)", "`activation` must be relu, erf or a neural-tangents layer, got 1."),
    ("architectures.attention(1, heads=0)", "`heads` must be a whole number of at least 1, got 0."),
    ("architectures.attention(1, patch=0)", "`patch` must be a whole number of at least 1, got 0."),
    ("architectures.residual(1, weight_variance=0)", "`weight_variance` must be positive and finite, got 0.0."),
    ("architectures.residual(1, bias_variance=-1)", "`bias_variance` must be zero or positive and finite, got -1.0."),
    ("architectures.residual(1, width=0)", "`width` must be a whole number of at least 1, got 0."),
]


@installed
@pytest.mark.parametrize(("code", "message"), ERRORS, ids=[code for code, _ in ERRORS])
def test_errors_name_the_argument_what_it_must_be_and_what_came(code, message):
    import jax.numpy as jnp

    names = {"vectors": architectures.fully_connected(1), "images": architectures.convolutional(1)}
    names |= {"stax": infinite.neural_tangents().stax, "single": jnp.float32(1.5)}
    if "[2]" in code:
        names["vectors"] = tuple(names["vectors"])
    with pytest.raises(ValueError, match=re.escape(message)):
        eval(code, globals() | names)


@installed
def test_a_kernel_beyond_floating_point_is_refused(tmp_path):
    with pytest.raises(OverflowError, match="`network` must keep its kernel within floating point at these inputs"):
        gram(architectures.fully_connected(3), [[1e200, 1.0]], cache=tmp_path)
    assert not list(tmp_path.glob("*/*.npy"))
