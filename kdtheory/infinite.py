r"""Any neural-tangents architecture -> its infinite-width NTK and NNGP Gram matrices in float64, convolutional ones included.

`gram` takes the matrix block by block, in little memory, and can keep finished blocks in a folder. It needs
``pip install 'kdtheory[ntk]'`` and ``pip install --no-deps neural-tangents==0.6.5``; importing this module needs
neither. For fully connected networks `kdtheory.kernels` has closed forms.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from kdtheory._neural_tangents import compiled, double_precision, lowered, neural_tangents
from kdtheory.architectures import Architecture
from kdtheory.blocks import BlockCache, digest, fill
from kdtheory.checks import Array, finite_array, whole

__all__ = ["gram", "neural_tangents"]

#: Entries of the largest intermediate array. A tile is computed at once: its temporaries, some eight such arrays, stay
#: below 32 MB, beyond which malloc asks for fresh pages in every call and the call takes half as long again.
TILE_ENTRIES = 2**18
BLOCK_ENTRIES = 2**26  # a block is saved at once: seconds of work
PROBE = (13, 17)  # rows and columns of a tile that is only traced; few other sizes are multiples of 221


@overload
def gram(
    network: Any,
    X: ArrayLike,
    X_train: ArrayLike | None = None,
    *,
    get: str = "ntk",
    block: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Array: ...
@overload
def gram(
    network: Any,
    X: ArrayLike,
    X_train: ArrayLike | None = None,
    *,
    get: tuple[str, ...],
    block: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> tuple[Array, ...]: ...
def gram(
    network: Any,
    X: ArrayLike,
    X_train: ArrayLike | None = None,
    *,
    get: str | tuple[str, ...] = "ntk",
    block: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Array | tuple[Array, ...]:
    r"""Gram or cross matrix of an infinitely wide network.

    .. math::
        \Sigma(x, x') = E[f(x) f(x')], \qquad \Theta(x, x') = E[\nabla_\theta f(x)^\top \nabla_\theta f(x')]

    over the network's random weights :math:`\theta` as its widths go to infinity.

    Parameters
    ----------
    network : Architecture, triple or kernel function
        One of `kdtheory.architectures`, or any ``(init_fn, apply_fn, kernel_fn)`` of ``neural_tangents.stax``, or the
        last alone. It must end in a readout: one number per pair of inputs. `neural_tangents()` returns the package.
    X : (m, ...) array
        Inputs; images are (m, height, width, channels).
    X_train : (n, ...) array, optional
        Left out, the result is the Gram matrix of `X`, of which one half is computed.
    get : "ntk", "nngp", or a tuple of them
        :math:`\Theta` or :math:`\Sigma`; both together cost little more than one.
    block : int, optional
        Rows and columns of the blocks that are saved one by one; left out, a block takes some seconds. Memory does not
        depend on it: a block is computed in tiles with 32 MB of temporaries, or what one pair needs if that is more
        (50 MB at 28 × 28 pixels with average pooling). Blocks smaller than a tile waste time.
    cache : path, optional
        Folder in which every finished block is kept. The same call takes from there what it finds: a killed run
        resumes, a finished one is only read. Other networks, inputs, `get`, `block` and versions are told apart.
    progress : bool
        A bar over the blocks on the standard error.

    Returns
    -------
    (m, n) float64 array, or a tuple of them in the order of `get`
        Relative errors are 1e-14 in general. Where the angle between two inputs, or two patches of them, is zero or
        tiny, neural-tangents takes the square root of a rounding error: up to 3e-8 of that pair's share with a
        nonlinearity that has a kink. Entries of equal inputs, the diagonal first of all, are therefore computed apart:
        1e-14, and 1e-9 where the network looks at pairs of pixels (average pooling, attention).

    Raises
    ------
    ValueError
        If the inputs do not suit the network, it has no readout, or it computes with float32 constants.
    OverflowError
        If a kernel value is not finite.
    ImportError
        If JAX or neural-tangents is not installed.
    RuntimeError
        If the installed versions do not work together.

    References
    ----------
    Novak et al. (2020), Neural Tangents: fast and easy infinite neural networks in Python, arXiv:1912.02803.

    Examples
    --------
    However the matrix is cut into blocks, it is the same:

    >>> import numpy as np
    >>> from kdtheory import architectures
    >>> images = np.random.default_rng(0).normal(size=(7, 4, 4, 1))
    >>> network = architectures.convolutional(depth=2)
    >>> whole, cut = (gram(network, images, block=block, progress=False) for block in (7, 3))
    >>> bool(np.allclose(whole, cut, rtol=1e-12)), bool((whole == whole.T).all())
    (True, True)
    """
    quantities = _quantities(get)
    neural_tangents()  # first of all: what it says when something is missing is the cure
    first = _inputs(network, X, "X")
    second = first if X_train is None else _inputs(network, X_train, "X_train")
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(f"`X_train` must have inputs of shape {first.shape[1:]} like `X`, got {second.shape[1:]}.")
    with double_precision():
        limit = _limit(_kernel_fn(network), quantities, first.shape[1:])
        limit.require_double()
        side = limit.side(BLOCK_ENTRIES) if block is None else whole(block, "block", least=1)
        store = None
        if cache is not None:
            inputs = {"X": digest(first), "X_train": None if second is first else digest(second), "block": side}
            store = BlockCache.of_run(cache, {**limit.identity, **inputs})
        matrices = fill(first, second, side, limit.pairs, limit.selves, len(quantities), store, progress=progress)
    return matrices[0] if isinstance(get, str) else tuple(matrices)


def _quantities(get: Any) -> tuple[str, ...]:
    quantities = (get,) if isinstance(get, str) else get
    known = isinstance(quantities, tuple) and set(quantities) <= {"ntk", "nngp"}
    if not known or not 0 < len(quantities) == len(set(quantities)):
        raise ValueError(f"`get` must be ntk, nngp or a tuple of them, got {get!r}.")
    return quantities


def _kernel_fn(network: Any) -> Callable[..., Any]:
    if callable(network):
        return network  # type: ignore[no-any-return]
    if isinstance(network, (Architecture, tuple)):
        parts = tuple(network)
        if len(parts) == 3 and callable(parts[2]):
            return parts[2]  # type: ignore[no-any-return]
    raise ValueError(f"`network` must be an Architecture, (init_fn, apply_fn, kernel_fn) or a kernel_fn, got {network!r}.")


def _inputs(network: Any, value: ArrayLike, name: str) -> Array:
    array = finite_array(value, name)
    if array.ndim < 2:
        raise ValueError(f"`{name}` must have at least two dimensions, inputs first, got shape {array.shape}.")
    if isinstance(network, Architecture):
        network.require(array, name)
    return array + 0.0  # -0.0 is 0.0


@dataclass(frozen=True)
class _Limit:
    """A kernel function on inputs of one shape, compiled at its first use and applied tile by tile."""

    kernel_fn: Callable[..., Any]
    quantities: tuple[str, ...]
    shape: tuple[int, ...]

    def pairs(self, x: Array, y: Array) -> Array:
        """(quantities, x, y) kernel values; where `y` is `x`, the lower half is mirrored."""
        side, run = self._compiled_pairs
        out = np.full((len(self.quantities), len(x), len(y)), np.nan)
        for i in range(0, len(x), side):
            for j in range(i if y is x else 0, len(y), side):
                rows, columns = x[i : i + side], y[j : j + side]
                tile = _double(run(_filled(rows, side), _filled(columns, side)))
                out[:, i : i + side, j : j + side] = tile[:, : len(rows), : len(columns)]
        if y is x:
            lower = np.tril_indices(len(x), -1)
            out[:, *lower] = out.transpose(0, 2, 1)[:, *lower]
        return out

    def selves(self, x: Array) -> Array:
        """(quantities, x) kernel values of inputs with themselves."""
        side, run = self._compiled_selves
        parts = [x[i : i + side] for i in range(0, len(x), side)]
        return np.concatenate([_double(run(_filled(part, side)))[:, : len(part)] for part in parts], axis=1)

    def _traced_pairs(self, x: Any, y: Any, **how: Any) -> Any:
        import jax.numpy as jnp  # noqa: PLC0415

        kernel = self.kernel_fn(x, y, get=self.quantities, **how)
        values = [getattr(kernel, name) for name in self.quantities]
        for value in values:
            if value.shape != (len(x), len(x if y is None else y)):
                raise ValueError(
                    f"`network` must end in a readout (stax.Flatten or pooling, then stax.Dense), got a kernel of shape "
                    f"{tuple(value.shape[2:])} per pair of inputs."
                )
        return jnp.stack(values)

    def _traced_selves(self, x: Any) -> Any:
        """Each input alone, with its whole covariance: so its variance and its covariance with itself come out of the same
        operations and are bitwise equal; in a tile, sums in another order would leave an angle of 1e-8.
        """
        import jax  # noqa: PLC0415

        return jax.vmap(lambda one: self._traced_pairs(one[None], None, diagonal_batch=False)[:, 0, 0], out_axes=1)(x)

    @cached_property
    def _compiled_pairs(self) -> tuple[int, Callable[..., Any]]:
        side = self.side(TILE_ENTRIES)
        return side, compiled(self._traced_pairs, (side, *self.shape), (side, *self.shape))

    @cached_property
    def _compiled_selves(self) -> tuple[int, Callable[..., Any]]:
        side = min(1024, max(1, TILE_ENTRIES // max(self.entries, math.prod(self.shape))))
        return side, compiled(self._traced_selves, (side, *self.shape))

    @cached_property
    def text(self) -> str:
        """The whole computation on a tile of size `PROBE`, as StableHLO."""
        return str(lowered(self._traced_pairs, *((rows, *self.shape) for rows in PROBE)).as_text())

    def require_double(self) -> None:
        found = re.search(r"[x<](b?f16|f32)>", self.text)
        if found:
            raise ValueError(f"`network` must be built from Python floats and compute in float64, got {found[1]} inside it.")

    @property
    def identity(self) -> dict[str, object]:
        import jax  # noqa: PLC0415

        versions = {name: metadata.version(name) for name in ("jax", "jaxlib", "neural-tangents")}
        network = hashlib.sha256(self.text.encode()).hexdigest()
        return {"network": network, "get": self.quantities, "device": jax.default_backend(), **versions}

    @cached_property
    def entries(self) -> int:
        """Entries of the largest array, per pair of inputs: pixels, or pixels² where covariances between pixels matter."""
        area = math.prod(PROBE)
        sizes = [math.prod(map(int, found.split("x"))) for found in re.findall(r"tensor<((?:\d+x)*\d+)xf64>", self.text)]
        return max(size // area for size in sizes if size % area == 0)

    def side(self, entries: int) -> int:
        """Side of a square block in which that array has so many entries."""
        return max(1, min(1024, math.isqrt(entries // self.entries)))


_limit = lru_cache(maxsize=16)(_Limit)  # what is compiled for a Gram matrix serves the cross matrix too


def _filled(inputs: Array, side: int) -> Array:
    """The inputs and copies of the first, `side` in all: one shape, one compilation."""
    return np.concatenate([inputs, np.repeat(inputs[:1], side - len(inputs), axis=0)])


def _double(values: Any) -> Array:
    array = np.asarray(values)
    if array.dtype != np.float64:
        raise RuntimeError(f"JAX must return float64 here, got {array.dtype}.")
    return array
