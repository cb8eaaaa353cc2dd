r"""A network to first order in its parameters: the linearised network, and its Jacobian, whole or as factors by layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from empirical import extra
from empirical.convolutional import Normalisation
from empirical.networks import MLP, Activation, Centred, Layer, members_of, trained

with extra():
    import torch
    from torch import Tensor, nn
    from torch.func import functional_call, jacrev, jvp, vjp, vmap

ELEMENTWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.ELU, nn.SELU, nn.CELU, nn.Mish),
    *(nn.ReLU6, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Softsign, nn.LogSigmoid, nn.Identity),
)
__all__ = ["Derivatives", "Linearized", "by_layers", "by_parameters", "jacobian", "layers_of", "linearize", "point_axis"]


class Linearized(nn.Module):
    """A network's first-order expansion around its parameters; made by `linearize`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        require_rowwise(model)
        self.members = members_of(model)
        # in a tuple, where nn.Module does not count its parameters as its own
        self._around = (copy.deepcopy(model).requires_grad_(False),)
        for name, parameter in model.named_parameters():
            *path, leaf = name.split(".")
            holder: nn.Module = self
            for part in path:
                if not hasattr(holder, part):
                    holder.add_module(part, nn.Module())
                holder = getattr(holder, part)
            holder.register_parameter(leaf, nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad))

    def forward(self, X: Tensor) -> Tensor:
        """Outputs, of the shape that the network has."""
        (model,) = self._around
        theta_0 = dict(model.named_parameters())
        moved = {name: theta - theta_0[name] for name, theta in self.named_parameters()}
        f_0, change, *_ = jvp(lambda theta: functional_call(model, theta, (X,)), (theta_0,), (moved,))
        return torch.add(f_0, change)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the expansion point too, to another device or precision."""
        self._around[0]._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]


def linearize(model: nn.Module) -> Linearized:
    r"""A network's first-order expansion, :math:`f_{\mathrm{lin}}(\theta) = f(\theta_0) + J(\theta_0)(\theta - \theta_0)`.

    Its tangent kernel never changes, and its gradient flow on the sum of squares is
    :math:`f_0 + K(I - e^{-tK})K^{-1}(y - f_0)`.

    Parameters
    ----------
    model : nn.Module
        Copied; :math:`\theta_0` are its parameters now. A stack is linearised member by member.

    Returns
    -------
    Linearized
        An ``nn.Module`` with the same parameter names and values, to be trained like the model itself.

    Raises
    ------
    ValueError
        If the model's output for one point is random or depends on the others.

    References
    ----------
    Lee et al. (2019), arXiv:1902.06720.

    Examples
    --------
    It is the model at its parameters, and affine in them:

    >>> import torch
    >>> from empirical.networks import MLP
    >>> X, model = torch.ones(1, 3), MLP(3, width=8, depth=1, activation="erf")
    >>> line = linearize(model)
    >>> values = [line(X).item()]
    >>> for _ in range(2):
    ...     line.get_parameter("weights.0").data += 0.5
    ...     values.append(line(X).item())
    >>> values[0] == model(X).item(), abs(values[2] - 2 * values[1] + values[0]) < 1e-5
    (True, True)
    """
    return Linearized(model)


def jacobian(model: nn.Module, X: Tensor) -> list[Tensor]:
    r"""Derivatives of the outputs by every parameter that is trained, :math:`\partial f_o(x_i) / \partial\theta`.

    Parameters
    ----------
    model : nn.Module
        With outputs (n, p), or (E, n, p) of a stack.
    X : (n, ...) or (E, n, features) tensor
        On the model's device; the leading axis for a stack only.

    Returns
    -------
    list of (p, n, size) or (E, p, n, size) tensors
        One per parameter that requires a gradient, flattened; of a stack, each member by its own parameters.

    Raises
    ------
    ValueError
        If nothing requires a gradient, the outputs are not (n, p), or a point's output is random or depends on the others.

    Examples
    --------
    >>> import torch
    >>> [tuple(J.shape) for J in jacobian(nn.Linear(3, 2), torch.ones(5, 3))]
    [(2, 5, 6), (2, 5, 2)]
    """
    require_rowwise(model)
    theta_0 = {name: theta.detach() for name, theta in trained(model).items()}
    stack, axis = members_of(model) is not None, point_axis(model, X)

    def outputs(theta: dict[str, Tensor], x: Tensor) -> Tensor:
        f: Tensor = functional_call(model, theta, (x.unsqueeze(axis),))
        require_outputs(model, f)
        # the sum over members tells them apart again: a parameter of one member moves the outputs of that member only
        return f[:, 0].sum(0) if stack else f[0]

    derivatives = vmap(jacrev(outputs), in_dims=(None, axis))(theta_0, X)  # (n, p, [E,] ...)
    if stack:
        return [J.flatten(3).permute(2, 1, 0, 3) for J in derivatives.values()]
    return [J.flatten(2).transpose(0, 1) for J in derivatives.values()]


def require_rowwise(model: nn.Module) -> None:
    """Refuse a model whose output for one point is random, or depends on the other points of the batch."""
    for module in model.modules():
        batch = isinstance(module, (nn.modules.batchnorm._BatchNorm, Normalisation))
        batch = batch and (module.training or module.running_mean is None)
        if batch or (isinstance(module, nn.modules.dropout._DropoutNd) and module.training):
            raise ValueError(
                f"`model` must give each point an output of its own, got a {type(module).__name__} in training mode "
                f"(or without running statistics); call model.eval() first."
            )


@dataclass(frozen=True, eq=False)
class Derivatives:
    r"""Derivatives by the parameters of one layer, as factors: their products need no Jacobian.

    By a layer's weights they are :math:`\delta^o(x)\, h(x)^\top`, by its biases a multiple of :math:`\delta^o(x)`, and
    their products :math:`\langle\delta^o(x), \delta^{o'}(x')\rangle\, (\langle h(x), h(x')\rangle + \mathrm{constant})`.
    """

    delta: Tensor  # (..., p, n, k)
    inputs: Tensor | None  # h, (..., n, d)
    constant: float


def by_parameters(model: nn.Module, X: Tensor) -> list[Derivatives]:
    """The Jacobian itself in float64, one piece per parameter."""
    return [Derivatives(J.double(), None, 1.0) for J in jacobian(model, X)]


def by_layers(layers: list[Layer], scale: float, X: Tensor) -> list[Derivatives]:
    r"""One piece per layer, in float64: forward for its inputs, backward for :math:`\delta = \partial f/\partial z`."""
    h, passed = X.double(), []
    for layer in layers:
        W, b = layer.weight.detach().double(), None if layer.bias is None else layer.bias.detach().double()
        z = replace(layer, weight=W, bias=b).affine(h)
        value, slope = (z, None) if layer.activation is None else _value_and_slope(layer.activation, z)
        passed.append((layer, W, h, slope))
        h = value
    p = h.shape[-1]
    delta = scale * torch.eye(p, dtype=h.dtype, device=h.device).unsqueeze(-2).expand(*h.shape[:-2], p, *h.shape[-2:])
    pieces = []
    for layer, W, h, slope in reversed(passed):
        delta = delta if slope is None else delta * slope.unsqueeze(-3)
        constant = layer.bias_scale**2 if layer.bias is not None and layer.bias.requires_grad else 0.0
        if layer.weight.requires_grad:
            pieces.append(Derivatives(delta, layer.weight_scale * h, constant))
        elif constant:
            pieces.append(Derivatives(delta, None, constant))
        if layer is not layers[0]:
            delta = layer.weight_scale * (delta.flatten(-3, -2) @ W.mT).reshape(*delta.shape[:-1], W.shape[-2])
    return pieces


def _value_and_slope(activation: Activation, z: Tensor) -> tuple[Tensor, Tensor]:
    """An elementwise function and its derivative; on a copy, since some work in place."""
    value, pullback, *_ = vjp(lambda z: activation(z.clone()), z)
    return value, pullback(torch.ones_like(value))[0]


def layers_of(model: nn.Module) -> tuple[list[Layer], float] | None:
    """The layers and a factor of the output, of a model that is such a chain and has no parameter twice; else None."""
    if isinstance(model, Centred):
        inner = layers_of(model.model)
        return None if inner is None else (inner[0], inner[1] * model.scale)
    if type(model) is MLP:
        return model.layers(), 1.0
    layers: list[Layer] = []
    for module in model if type(model) is nn.Sequential else ():
        if type(module) is nn.Linear and isinstance(module.weight, nn.Parameter):
            layers.append(Layer(module.weight.detach().mT.requires_grad_(module.weight.requires_grad), module.bias))
        elif type(module) in ELEMENTWISE and layers:
            layers[-1] = replace(layers[-1], activation=_after(layers[-1].activation, module))
        else:
            return None
    names = list(model.named_parameters(remove_duplicate=False))
    return (layers, 1.0) if layers and len(names) == len(set(model.parameters())) else None


def _after(first: Activation | None, second: Activation) -> Activation:
    return second if first is None else lambda z: second(first(z))


def point_axis(model: nn.Module, X: Tensor) -> int:
    """The axis of points: the second where the members of a stack have inputs of their own."""
    return 1 if members_of(model) is not None and X.ndim in (3, 5) else 0  # of vectors, of images


def require_outputs(model: nn.Module, f: Tensor) -> None:
    """Refuse outputs other than (n, p), or (E, n, p) of a stack."""
    wanted = "(n, p)" if members_of(model) is None else "(members, n, p)"
    if f.ndim != wanted.count(",") + 1:
        raise ValueError(f"`model` must have outputs {wanted}, got shape {tuple(f.shape)}.")
