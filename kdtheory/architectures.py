r"""Ready-made networks for `kdtheory.infinite`: fully connected, convolutional, residual, with attention.

Each is a neural-tangents triple ``init_fn, apply_fn, kernel_fn``: one object gives the infinite network's kernel and
draws finite networks of the same law. Conventions are those of `kdtheory.kernels.ntk`: a layer is
:math:`\sqrt{\sigma_w^2 / \text{fan-in}}\, W h + \sigma_b b`, every entry of W and b is standard normal and trained,
and the readout, a dense layer to one output, is included.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from kdtheory._neural_tangents import neural_tangents
from kdtheory.checks import Array, positive, whole

__all__ = ["Architecture", "attention", "convolutional", "fully_connected", "residual"]


@dataclass(frozen=True, eq=False, repr=False)
class Architecture:
    """A network described in words, with the three functions of neural-tangents.

    Attributes
    ----------
    description : str
        What the layers are.
    init_fn : (key, input_shape) -> (output_shape, parameters)
        Draws a finite network for inputs of that shape; the first entry does not matter.
    apply_fn : (parameters, inputs) -> (n, 1) outputs
    kernel_fn : (inputs, inputs or None, get) -> kernel
        What `infinite.gram` evaluates.
    patch : int or None
        None takes vectors (n, features); otherwise images (n, height, width, channels) whose sides are multiples of it.

    Examples
    --------
    >>> fully_connected(depth=2)
    Architecture(2 hidden layers, relu; weight variance 2.0, bias variance 0.0)
    >>> init_fn, apply_fn, kernel_fn = fully_connected(depth=2)
    """

    description: str
    init_fn: Callable[..., Any]
    apply_fn: Callable[..., Any]
    kernel_fn: Callable[..., Any]
    patch: int | None

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter((self.init_fn, self.apply_fn, self.kernel_fn))

    def __repr__(self) -> str:
        return f"Architecture({self.description})"

    def require(self, inputs: Array, name: str) -> None:
        """Refuse inputs of a shape that this network does not read."""
        if inputs.ndim != (wanted := 2 if self.patch is None else 4):
            form = "(n, features)" if wanted == 2 else "(n, height, width, channels)"
            cure = f"; pass {name}[..., None]" if inputs.ndim == 3 and wanted == 4 else ""
            raise ValueError(f"`{name}` must have shape {form} for this network, got {inputs.shape}{cure}.")
        if self.patch is not None and any(side % self.patch for side in inputs.shape[1:3]):
            raise ValueError(f"`{name}` must have sides that are multiples of {self.patch}, got {inputs.shape[1:3]}.")


def fully_connected(
    depth: int, *, activation: Any = "relu", weight_variance: float = 2.0, bias_variance: float = 0.0, width: int = 512
) -> Architecture:
    r"""Fully connected network; its kernels are `kdtheory.kernels.ntk` and `nngp` of the same arguments.

    Parameters
    ----------
    depth : int
        Number of hidden layers; 0 is a linear model.
    activation : "relu", "erf" or a layer of neural-tangents
        For example ``kdtheory.infinite.neural_tangents().stax.Gelu()``.
    weight_variance, bias_variance : float
        :math:`\sigma_w^2 > 0` and :math:`\sigma_b^2 \ge 0`.
    width : int
        Hidden units of the finite networks that ``init_fn`` draws; the kernel does not depend on it.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    ImportError
        If JAX or neural-tangents is not installed.

    References
    ----------
    Jacot, Gabriel & Hongler (2018), arXiv:1806.07572; Novak et al. (2020), Neural Tangents, arXiv:1912.02803.

    Examples
    --------
    >>> import numpy as np
    >>> from kdtheory import infinite, kernels
    >>> K = infinite.gram(fully_connected(depth=3, activation="erf"), np.eye(3), progress=False)
    >>> bool(np.allclose(K, kernels.ntk(np.eye(3), depth=3, activation="erf"), rtol=1e-10))
    True
    """
    make = _Layers(activation, weight_variance, bias_variance, width)
    layers = [make.dense, make.activation] * whole(depth, "depth")
    return make.network(f"{depth} hidden layers, {make.name}", layers, patch=None)


def convolutional(
    depth: int,
    *,
    filter: int = 3,
    pooling: str = "flatten",
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    width: int = 128,
) -> Architecture:
    r"""Convolutional network: `depth` times convolution and nonlinearity, then pooling and readout.

    Convolutions have stride 1 and keep the image's size by zeros around it; their fan-in is filter² × channels.

    Parameters
    ----------
    depth : int
        Number of convolutions.
    filter : int
        Side of the square filter, in pixels.
    pooling : {"flatten", "average"}
        "flatten" gives every pixel weights of its own, and costs pixels per pair of images; "average" costs pixels².
    activation, weight_variance, bias_variance
        As in `fully_connected`.
    width : int
        Channels of the finite networks.

    References
    ----------
    Novak et al. (2019), Bayesian deep convolutional networks with many channels are Gaussian processes, arXiv:1810.05148;
    Arora et al. (2019), On exact computation with an infinitely wide neural net, arXiv:1904.11955.

    Examples
    --------
    On images of one pixel it is the fully connected network:

    >>> import numpy as np
    >>> from kdtheory import infinite, kernels
    >>> K = infinite.gram(convolutional(depth=2, filter=1), np.eye(3).reshape(3, 1, 1, 3), progress=False)
    >>> bool(np.allclose(K, kernels.ntk(np.eye(3), depth=2), rtol=1e-10))
    True
    """
    make = _Layers(activation, weight_variance, bias_variance, width)
    convolution = make.convolution(side := whole(filter, "filter", least=1))
    layers = [convolution, make.activation] * whole(depth, "depth", least=1)
    return make.network(f"{depth} convolutions {side}x{side}, {make.name}", layers, patch=1, pooling=pooling)


def residual(
    depth: int,
    *,
    filter: int = 3,
    pooling: str = "average",
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    width: int = 128,
) -> Architecture:
    r"""Residual network of convolutions: one, `depth` blocks :math:`h + C\phi(C\phi(h))`, nonlinearity, pooling, readout.

    The blocks are those of a wide residual network without its normalisation: with ReLU and weight variance 2 each one
    doubles the variance.

    Parameters
    ----------
    depth : int
        Number of residual blocks of two convolutions each.
    filter, pooling, activation, weight_variance, bias_variance, width
        As in `convolutional`.

    References
    ----------
    He, Zhang, Ren & Sun (2016), arXiv:1603.05027; Zagoruyko & Komodakis (2016), Wide residual networks, arXiv:1605.07146.

    Examples
    --------
    >>> import numpy as np
    >>> from kdtheory import infinite
    >>> networks = [residual(depth, filter=1) for depth in (1, 2, 3)]
    >>> [infinite.gram(f, np.ones((1, 1, 1, 1)), get="nngp", progress=False).round(9).item() for f in networks]
    [4.0, 8.0, 16.0]
    """
    make = _Layers(activation, weight_variance, bias_variance, width)
    convolution = make.convolution(side := whole(filter, "filter", least=1))
    block = make.plus(make.activation, convolution, make.activation, convolution)
    layers = [convolution, *(block * whole(depth, "depth", least=1)), make.activation]
    name = f"{depth} residual blocks of two convolutions {side}x{side}, {make.name}"
    return make.network(name, layers, patch=1, pooling=pooling)


def attention(
    depth: int,
    *,
    patch: int = 2,
    pooling: str = "average",
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    width: int = 128,
    heads: int = 128,
) -> Architecture:
    r"""Transformer on patches: embedding, `depth` times :math:`h + A(h)` and :math:`h + W\phi(h)`, nonlinearity, readout.

    :math:`A` is softmax self-attention with infinitely many heads, whose keys and queries share their weights and whose
    scores are divided by the number of key channels: the form that has a closed kernel. There is no normalisation, and
    there are no positions: the network sees a set of patches.

    Parameters
    ----------
    depth : int
        Number of blocks, of attention and dense layer.
    patch : int
        Side of the square patches in pixels; it must divide the image's sides.
    pooling, activation, weight_variance, bias_variance
        As in `convolutional`. In attention `weight_variance` is that of the output weights; keys and values have 1.
    width, heads : int
        Channels (of keys and values too) and heads of the finite networks.

    References
    ----------
    Hron, Bahri, Sohl-Dickstein & Novak (2020), Infinite attention, arXiv:2006.10540.

    Examples
    --------
    Averaged over the image, the order of the patches does not matter:

    >>> import numpy as np
    >>> from kdtheory import infinite
    >>> X = np.arange(32.0).reshape(2, 4, 4, 1) % 7
    >>> K, other = (infinite.gram(attention(depth=1), images, progress=False) for images in (X, np.roll(X, 2, axis=1)))
    >>> bool(np.allclose(K, other, rtol=1e-8))
    True
    """
    make = _Layers(activation, weight_variance, bias_variance, width)
    side = whole(patch, "patch", least=1)
    block = make.plus(make.attention(whole(heads, "heads", least=1))) + make.plus(make.activation, make.dense)
    embedding = make.convolution(side, strides=(side, side), padding="VALID")
    layers = [embedding, *(block * whole(depth, "depth", least=1)), make.activation]
    name = f"{depth} attention blocks on patches {side}x{side}, {make.name}"
    return make.network(name, layers, patch=side, pooling=pooling)


class _Layers:
    """Layers of one nonlinearity, one pair of variances and one width."""

    def __init__(self, activation: Any, weight_variance: float, bias_variance: float, width: int) -> None:
        self.stax = neural_tangents().stax
        known = {"relu": self.stax.Relu, "erf": self.stax.Erf}
        if isinstance(activation, str) and activation in known:
            self.name, self.activation = activation, known[activation]()
        elif isinstance(activation, tuple) and len(activation) == 3 and all(map(callable, activation)):
            self.name, self.activation = "a given nonlinearity", activation
        else:
            raise ValueError(f"`activation` must be {', '.join(known)} or a neural-tangents layer, got {activation!r}.")
        variances = positive(weight_variance, "weight_variance"), positive(bias_variance, "bias_variance", zero=True)
        self.variances = f"weight variance {variances[0]}, bias variance {variances[1]}"
        self.scales = {"W_std": variances[0] ** 0.5, "b_std": variances[1] ** 0.5}
        self.width = whole(width, "width", least=1)
        self.dense = self.stax.Dense(self.width, **self.scales)

    def convolution(self, side: int, strides: tuple[int, int] = (1, 1), padding: str = "SAME") -> Any:
        return self.stax.Conv(self.width, (side, side), strides=strides, padding=padding, **self.scales)

    def attention(self, heads: int) -> Any:
        sizes = {"n_chan_out": self.width, "n_chan_key": self.width, "n_chan_val": self.width, "n_heads": heads}
        scales = {"W_out_std": self.scales["W_std"], "b_std": self.scales["b_std"]}  # the others are 1
        return self.stax.GlobalSelfAttention(**sizes, **scales, linear_scaling=True)

    def plus(self, *branch: Any) -> list[Any]:
        """Identity plus a branch that ends in weights of its own, so that the two are uncorrelated."""
        both = self.stax.parallel(self.stax.Identity(), self.stax.serial(*branch))
        return [self.stax.FanOut(2), both, self.stax.FanInSum()]

    def network(self, name: str, layers: list[Any], patch: int | None, pooling: str | None = None) -> Architecture:
        pools = {"flatten": self.stax.Flatten, "average": self.stax.GlobalAvgPool}
        if patch is not None:
            if pooling not in pools:
                raise ValueError(f"`pooling` must be {' or '.join(pools)}, got {pooling!r}.")
            name, layers = f"{name}, {pooling}", [*layers, pools[pooling]()]
        init_fn, apply_fn, kernel_fn = map(_quiet, self.stax.serial(*layers, self.stax.Dense(1, **self.scales)))
        return Architecture(f"{name}; {self.variances}", init_fn, apply_fn, kernel_fn, patch)


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without two warnings of every use: these branches are independent, and shared keys and queries are meant."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`FanIn` layers assume independent|Linear scaling attention used")
            return function(*args, **kwargs)

    return call
