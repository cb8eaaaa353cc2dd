"""neural-tangents 0.6.5 on a JAX that is newer than it, for `kdtheory.infinite` and `kdtheory.architectures` only.

The last release of neural-tangents (December 2023) imports names that JAX has moved since 0.6. They are put back for
as long as that import takes: `Jaxpr` and its like on ``jax.core``, ``jax.util``, two primitives that its empirical
kernels mention, and an empty ``neural_tangents.experimental`` (the real one needs TensorFlow). Nothing of it stays
behind. Because nobody tests the package against today's JAX any more, the first use in a process compares a small
network with `kdtheory.kernels`.

Tested with JAX 0.6.2, 0.8.3, 0.9.2, 0.10.0, 0.10.1 and 0.10.2 on the CPU (Python 3.11, x86-64).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kdtheory import kernels

__all__ = ["compiled", "double_precision", "lowered", "neural_tangents"]

CURE = "pip install 'kdtheory[ntk]'\npip install --no-deps neural-tangents==0.6.5"
MOVED = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")  # from jax.core to jax.extend.core
TOLERANCE = 1e-10


@functools.cache
def neural_tangents() -> Any:
    """The package ``neural_tangents``, imported and compared with a closed form once in a process.

    Raises
    ------
    ImportError
        If JAX, neural-tangents, frozendict or tqdm is not installed.
    RuntimeError
        If this JAX and this neural-tangents do not work together.
    """
    try:
        for name in ("jax", "frozendict", "tqdm"):
            importlib.import_module(name)
        package = _imported()
    except ModuleNotFoundError as error:
        raise ImportError(f"kdtheory.infinite needs JAX and neural-tangents ({error}):\n{CURE}") from error
    except (ImportError, AttributeError) as error:
        raise RuntimeError(f"`neural_tangents` must be importable, got {error!r} with JAX {_version('jax')}.") from error
    _compare(package)
    return package


def _imported() -> Any:
    if sys.modules.get("neural_tangents") is None:
        with _moved_names():
            package = importlib.import_module("neural_tangents")
        del package.experimental
    return sys.modules["neural_tangents"]


@contextlib.contextmanager
def _moved_names() -> Iterator[None]:
    """Names that neural-tangents imports and JAX no longer has, for the length of the block."""
    import jax.core  # noqa: PLC0415
    import jax.extend.core  # noqa: PLC0415
    import jax.interpreters.ad  # noqa: PLC0415

    primitive = jax.extend.core.Primitive
    wanted = [(jax.core, name, getattr(jax.extend.core, name)) for name in MOVED]
    wanted += [
        (jax.interpreters.ad, "zeros_like_p", primitive("zeros_like")),
        (jax.lax, "device_put_p", primitive("device_put")),
    ]
    stand_ins = {"neural_tangents.experimental": types.ModuleType("neural_tangents.experimental")}
    with warnings.catch_warnings(), contextlib.ExitStack() as undo:
        warnings.simplefilter("ignore")  # older versions warn at each name that is about to move
        with contextlib.suppress(ImportError):
            importlib.import_module("jax.util")
        if not hasattr(sys.modules.get("jax.util"), "safe_map"):
            stand_ins["jax.util"] = _Util("jax.util")
        for name, stand_in in stand_ins.items():
            _set_for_now(undo, sys.modules, name, stand_in)
        for module, name, value in wanted:
            if not hasattr(module, name):
                _set_for_now(undo, vars(module), name, value)
        yield


class _Util(types.ModuleType):
    """The two functions of ``jax.util`` that are used."""

    @staticmethod
    def safe_zip(*lists: Any) -> list[Any]:
        return list(zip(*lists, strict=True))

    @staticmethod
    def safe_map(function: Callable[..., Any], *lists: Any) -> list[Any]:
        return [function(*items) for items in zip(*lists, strict=True)]


def _set_for_now(undo: contextlib.ExitStack, names: dict[str, Any], name: str, value: Any) -> None:
    if name in names:
        undo.callback(names.__setitem__, name, names[name])
    else:
        undo.callback(names.pop, name, None)
    names[name] = value


def double_precision() -> contextlib.AbstractContextManager[Any]:
    """float64 inside a ``with`` block of this thread; the user's own JAX setting holds outside."""
    jax = importlib.import_module("jax")
    if not hasattr(jax, "enable_x64"):  # before JAX 0.8
        jax = importlib.import_module("jax.experimental")
    block: contextlib.AbstractContextManager[Any] = jax.enable_x64(True)
    return block


def lowered(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Any:
    """A function of float64 arrays of these shapes, traced and lowered; ``as_text()`` is the whole computation."""
    jax = importlib.import_module("jax")
    return jax.jit(function).lower(*(jax.ShapeDtypeStruct(shape, np.float64) for shape in shapes))


def compiled(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Callable[..., Any]:
    """The same function, compiled.

    On the CPU without loop vectorisation: with AVX-512, XLA (jaxlib 0.9.2 to 0.10.2 were tried) reads 72 bytes before the
    first pixel of a float64 convolution with padding, which ends the process where that page is not mapped. It costs a
    tenth at most.
    """
    jax = importlib.import_module("jax")
    careful = {"xla_backend_optimization_level": 1} if jax.default_backend() == "cpu" else {}
    run: Callable[..., Any] = lowered(function, *shapes).compile(compiler_options=careful)
    return run


def _compare(package: Any) -> None:
    """Two hidden layers against the closed form, on enough pairs that vectorised code is what runs."""
    layer = package.stax.Dense(1, W_std=1.3, b_std=0.4)
    kernel_fn = package.stax.serial(layer, package.stax.Relu(), layer, package.stax.Relu(), layer)[2]
    first, second = np.split(np.random.default_rng(0).normal(size=(29, 7)), [12])
    with double_precision():
        found = compiled(lambda x, y: kernel_fn(x, y, get=("ntk", "nngp")), first.shape, second.shape)(first, second)
    for kernel, values in ((kernels.ntk, found.ntk), (kernels.nngp, found.nngp)):
        expected = kernel(first, second, depth=2, weight_variance=1.3**2, bias_variance=0.4**2)
        gap = float(np.max(np.abs(np.asarray(values) - expected)) / np.max(np.abs(expected)))
        if not gap < TOLERANCE:
            raise RuntimeError(
                f"neural-tangents {package.__version__} on JAX {_version('jax')} must agree with `kernels.{kernel.__name__}` "
                f"to {TOLERANCE}, got a relative difference of {gap:.2g}; install a JAX between 0.6.2 and 0.10.2."
            )


def _version(name: str) -> str:
    return str(importlib.import_module(name).__version__)
