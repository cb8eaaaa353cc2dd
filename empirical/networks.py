r"""Networks of finite width, drawn so that their infinite width is the kernel of `kdtheory.kernels`; and nothing else.

A model here is an ``nn.Module`` from inputs (n, features) to outputs (n, p). A stack of E independent networks is one model
too: its ``members`` is E, its parameters and outputs have a leading axis of that length, and its inputs may have one.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from empirical import extra
from kdtheory.checks import Array, finite_array, positive, whole

with extra():
    import torch
    from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "MLP", "Centred", "Layer", "as_array", "members_of", "predict", "tensor_for", "trained"]

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Activation | None] = {
    "relu": torch.relu,
    "leaky_relu": nn.functional.leaky_relu,  # slope 0.01
    "erf": torch.erf,
    "linear": None,
    "gelu": nn.functional.gelu,  # exact, by erf
    "sine": torch.sin,
    "cosine": torch.cos,
}


@dataclass(frozen=True, eq=False)
class Layer:
    r"""One affine map and what follows it, :math:`h \mapsto \sigma(s_w\, h W + s_b\, b)`.

    `weight` is ([E,] fan_in, fan_out) and `bias` ([E,] 1, fan_out) or None; no `activation` is the identity.
    """

    weight: Tensor
    bias: Tensor | None
    weight_scale: float = 1.0
    bias_scale: float = 1.0
    activation: Activation | None = None

    def affine(self, h: Tensor) -> Tensor:
        """What enters the activation."""
        z = self.weight_scale * (h @ self.weight)
        return z if self.bias is None else z + self.bias_scale * self.bias

    def __call__(self, h: Tensor) -> Tensor:
        """Output of the layer."""
        z = self.affine(h)
        return z if self.activation is None else self.activation(z)


class MLP(nn.Module):
    r"""Fully connected network, the finite width of `kdtheory.kernels.ntk` with the same arguments.

    .. math::
        z^{(l+1)} = \frac{\sigma_w}{\sqrt{m_l}}\, h^{(l)} W^{(l)} + \sigma_b\, b^{(l)}, \qquad
        h^{(l)} = \sigma(z^{(l)}), \quad h^{(0)} = x, \qquad W^{(l)}, b^{(l)} \sim N(0, 1).

    Parameters
    ----------
    inputs, outputs : int
        Features of a point, and p.
    width : int or sequence of `depth` ints
        :math:`m_1, m_2, \dots` of the hidden layers.
    depth : int
        Number of hidden layers; 0 is a linear model.
    activation : str or elementwise function of a tensor
        One of `ACTIVATIONS`, or a function that acts on each entry by itself.
    weight_variance, bias_variance : float
        :math:`\sigma_w^2 > 0` and :math:`\sigma_b^2 \ge 0`; at 0 there are no biases.
    parameterisation : {"ntk", "standard"}
        "standard" is the same function at initialisation with the scales inside the parameters; the tangent kernel differs.
    members : int, optional
        E, for a stack of E independent networks as one model: inputs (n, features) or (E, n, features), outputs (E, n, p).
        Member e does not depend on E, and member 0 is the network without `members`.
    seed : int or sequence of ints
    dtype, device
        Numbers are drawn in float64 on the CPU, so that every precision and device holds the same network.

    Raises
    ------
    ValueError
        If a number is out of its range, a name is unknown, or the activation is not elementwise.

    References
    ----------
    Jacot, Gabriel & Hongler (2018), arXiv:1806.07572; their weight variance is 1, their beta squared `bias_variance`.

    Examples
    --------
    Members of a stack are networks of their own, whatever else is in the stack:

    >>> few, many = (MLP(3, width=8, depth=2, members=members, seed=1) for members in (2, 5))
    >>> X = torch.ones(4, 3)
    >>> bool(torch.equal(few(X)[1], many(X)[1])), bool(torch.equal(few(X)[0], few(X)[1]))
    (True, False)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 1,
        *,
        width: int | Sequence[int],
        depth: int,
        activation: str | Activation = "relu",
        weight_variance: float = 2.0,
        bias_variance: float = 0.0,
        parameterisation: str = "ntk",
        members: int | None = None,
        seed: int | Sequence[int] = 0,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        hidden = [width] * whole(depth, "depth") if isinstance(width, (int, np.integer)) else list(width)
        if len(hidden) != depth:
            raise ValueError(f"`width` must be one number or one per hidden layer, got {len(hidden)} for `depth`={depth}.")
        if parameterisation not in ("ntk", "standard"):
            raise ValueError(f'`parameterisation` must be "ntk" or "standard", got {parameterisation!r}.')
        ends = whole(inputs, "inputs", least=1), whole(outputs, "outputs", least=1)
        self.widths = [ends[0], *(whole(m, "width", least=1) for m in hidden), ends[1]]
        self.activation = _elementwise(activation)
        self.weight_variance = positive(weight_variance, "weight_variance")
        self.bias_variance = positive(bias_variance, "bias_variance", zero=True)
        self.parameterisation = parameterisation
        self.members = None if members is None else whole(members, "members", least=1)
        self.seed = [whole(s, "seed") for s in ([seed] if isinstance(seed, (int, np.integer)) else seed)]
        rngs = [np.random.default_rng([e, *self.seed]) for e in range(self.members or 1)]

        def normal(variance: float, *shape: int) -> nn.Parameter:
            drawn = np.stack([rng.normal(size=shape) for rng in rngs])
            if parameterisation == "standard":
                drawn *= math.sqrt(variance)
            return nn.Parameter(torch.tensor(drawn if self.members else drawn[0], dtype=dtype, device=device))

        drawn = [
            (normal(self.weight_variance / fan_in, fan_in, fan_out), normal(self.bias_variance, 1, fan_out))
            for fan_in, fan_out in itertools.pairwise(self.widths)
        ]
        self.weights = nn.ParameterList(W for W, _ in drawn)
        self.biases = nn.ParameterList(b for _, b in drawn if self.bias_variance)  # drawn without them too: the same weights

    def layers(self) -> list[Layer]:
        """The layers from input to output, holding the parameters themselves."""
        tangent, layers = self.parameterisation == "ntk", []
        for level, W in enumerate(self.weights):
            weight_scale = math.sqrt(self.weight_variance / self.widths[level]) if tangent else 1.0
            bias = self.biases[level] if self.bias_variance else None
            bias_scale = math.sqrt(self.bias_variance) if tangent else 1.0
            layers.append(Layer(W, bias, weight_scale, bias_scale, self.activation if level < len(self.weights) - 1 else None))
        return layers

    def forward(self, X: Tensor) -> Tensor:
        """Outputs (n, p), or (E, n, p) of a stack."""
        stacks = (2,) if self.members is None else (2, 3)
        if X.ndim not in stacks or X.shape[-1] != self.widths[0] or (X.ndim == 3 and len(X) != self.members):
            or_each = "" if self.members is None else f" or ({self.members}, n, {self.widths[0]})"
            raise ValueError(f"`X` must have shape (n, {self.widths[0]}){or_each}, got {tuple(X.shape)}.")
        h = X if self.members is None or X.ndim == 3 else X.expand(self.members, *X.shape)
        for layer in self.layers():
            h = layer(h)
        return h

    def member(self, e: int) -> MLP:
        """Network e of a stack, by itself: a copy of its parameters as they are now."""
        if self.members is None or not 0 <= e < self.members:
            raise ValueError(f"`e` must be the number of a member, from 0 below {self.members or 0}, got {e}.")
        alone = self._like(members=None)
        with torch.no_grad():
            for own, stacked in zip(alone.parameters(), self.parameters(), strict=True):
                own.copy_(stacked[e].reshape(own.shape))
        return alone

    def fresh(self, draw: int) -> MLP:
        """The same architecture, drawn anew: each number gives another draw, and 0 the initialisation of this network."""
        return self._like(seed=[*self.seed, whole(draw, "draw")])

    def _like(self, **changes: Any) -> MLP:
        same = ("activation", "weight_variance", "bias_variance", "parameterisation", "members", "seed")
        options = {name: getattr(self, name) for name in same} | changes
        first, *hidden, last = self.widths
        where = {"dtype": self.weights[0].dtype, "device": self.weights[0].device}
        other = MLP(first, last, width=hidden, depth=len(hidden), **where, **options)
        for own, mine in zip(other.parameters(), self.parameters(), strict=True):
            own.requires_grad_(mine.requires_grad)
        return other


class Centred(nn.Module):
    r"""A network minus itself at initialisation, times a scale: :math:`g(x) = a\,(f_\theta(x) - f_{\theta_0}(x))`.

    The initial function is exactly zero, as the statements on kernel regression ask. A large scale makes training lazy: with
    the loss divided by :math:`a^2` the parameters move by O(1/a), and the kernel regression that is solved stays the same.

    Parameters
    ----------
    model : nn.Module
        Trained through this one; :math:`\theta_0` are its parameters now.
    scale : float
        a > 0. From about 100 on use float64: the difference cancels.

    References
    ----------
    Chizat, Oyallon & Bach (2019), arXiv:1812.07956.

    Examples
    --------
    >>> g = Centred(MLP(3, width=8, depth=1), scale=10.0)
    >>> predict(g, np.ones((2, 3)))
    array([[0.],
           [0.]])
    """

    def __init__(self, model: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.model, self.scale = model, positive(scale, "scale")
        self.start = copy.deepcopy(model).requires_grad_(False)
        self.members = members_of(model)

    def at(self, X: Tensor) -> Callable[[], Tensor]:
        """The network on fixed inputs, as a function of nothing but its parameters: the frozen copy runs once."""
        with torch.no_grad():
            f_0 = self.start(X)
        return lambda: self.scale * (self.model(X) - f_0)

    def forward(self, X: Tensor) -> Tensor:
        """Outputs, of the shape that the network has."""
        return self.at(X)()

    def fresh(self, draw: int) -> Centred:
        """The same around the network drawn anew."""
        if not hasattr(self.model, "fresh"):
            raise ValueError(f"`model` must have a method `fresh` to be drawn anew, got {type(self.model).__name__}.")
        return Centred(self.model.fresh(draw), self.scale)  # type: ignore[operator]


def members_of(model: nn.Module) -> int | None:
    """Number of networks in a stack; None for one network, whose outputs have no leading axis."""
    members: int | None = getattr(model, "members", None)
    return members


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient, by name."""
    theta = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not theta:
        raise ValueError("`model` must have a parameter with requires_grad, got none.")
    return theta


def tensor_for(model: nn.Module, value: ArrayLike | Tensor, name: str) -> Tensor:
    """`value` in the precision and on the device of the model's parameters, once it is finite."""
    if not isinstance(value, Tensor):
        value = torch.tensor(finite_array(value, name))
    elif not (value.numel() and value.isfinite().all()):
        raise ValueError(f"`{name}` must be finite and not empty, got a tensor of shape {tuple(value.shape)}.")
    parameter = next(model.parameters())
    return value.detach().to(parameter.device, parameter.dtype)


def as_array(tensor: Tensor) -> Array:
    """A tensor from any device as a float64 array."""
    return np.asarray(tensor.detach().double().cpu().numpy())


def predict(model: nn.Module, X: ArrayLike | Tensor) -> Array:
    """Outputs at the points `X` as a float64 array: (n, p), or (E, n, p) of a stack."""
    with torch.no_grad():
        return as_array(model(tensor_for(model, X, "X")))


def _elementwise(activation: str | Activation | None) -> Activation | None:
    if activation is None or (isinstance(activation, str) and activation in ACTIVATIONS):
        return ACTIVATIONS[activation] if activation else None
    if not callable(activation):
        raise ValueError(f"`activation` must be one of {', '.join(ACTIVATIONS)} or a function, got {activation!r}.")
    z = torch.linspace(-2.0, 2.0, 6, dtype=torch.float64).reshape(2, 3)
    together, alone = activation(z), torch.stack([activation(entry.reshape(1, 1)).reshape(()) for entry in z.flatten()])
    if together.shape != z.shape or not torch.allclose(together.flatten(), alone):
        raise ValueError("`activation` must act on each entry by itself; this function mixes them or changes the shape.")
    return activation
