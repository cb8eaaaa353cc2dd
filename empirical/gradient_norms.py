r"""GraNd: the size of each point's gradient by all parameters, layer by layer in closed form.

The gradient by a layer's parameters is made of what came in, h, and of :math:`\delta = \partial\ell/\partial z` by what went
out. One forward and one backward pass of the SUM of the losses give both for all points and all networks of a stack, since no
point moves the loss of another; no gradient of a single point is ever formed, and nothing depends on the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from empirical import extra, progress_bar
from empirical.convolutional import Affine, Convolution, Normalisation
from empirical.lessons import Lessons
from empirical.linear import layers_of, require_rowwise
from empirical.losses import LOSSES
from empirical.networks import Centred, Layer, as_array, members_of, trained
from kdtheory.checks import Array, whole

with extra():
    import torch
    from torch import Tensor, nn
    from torch.nn.grad import conv2d_weight

__all__ = ["grand"]

# sent out by the layers for one block of points, about: what stays near the cache of a CPU, and what fills another device
ON_CPU, ELSEWHERE = 2**23, 2**27
# what a layer sent out, and the squared norm of its parameters' gradient given the loss's derivative by that
Tape = list[tuple[Tensor, Callable[[Tensor], Tensor]]]


def grand(
    model: nn.Module,
    X: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    loss: str = "cross_entropy",
    block: int | None = None,
    progress: bool = False,
) -> Array:
    r"""GraNd, :math:`|\nabla_\theta\, \ell(f_\theta(x), y)|` over all parameters; the hard points are kept.

    .. math::
        |\nabla|^2 = \sum_{\text{affine}} |\delta|^2 (s_w^2 |h|^2 + s_b^2)
        + \sum_{\text{convolutions}} \Big( \big|\textstyle\sum_u \delta_u h_u^\top\big|^2 + \big|\sum_u \delta_u\big|^2 \Big)
        + \sum_{\text{normalisations}} \dots,

    with :math:`h_u` the patch under place u. Normalisation is in eval mode: a fixed scale and shift per channel.

    Parameters
    ----------
    model : nn.Module
        `MLP`, `ConvNet`, `ResNet`, a Sequential of linear layers and activations, or `Centred` of these, as it is now; it
        comes back in the mode it had. Only parameters with requires_grad count.
    X : (n, ...) array or tensor
    labels : (n,) classes, or (n, p) coded labels for the squared loss
    loss : {"cross_entropy", "squared"}
        The squared one is :math:`\tfrac12|f - y|^2`.
    block : int, optional
        Points at a time; left out, what suits the device. No score depends on it.
    progress : bool
        Show a bar over blocks.

    Returns
    -------
    (n,) array, or (E, n) of a stack
        The mean over members is the score. At initialisation show it beside `empirical.scores.input_norm`.

    Raises
    ------
    ValueError
        If shapes disagree, the loss is unknown, nothing requires a gradient, or the network has layers of another kind.

    References
    ----------
    Paul, Ganguli & Dziugaite (2021), arXiv:2107.07075. Goodfellow (2015), arXiv:1510.01799, for the affine layer.

    Examples
    --------
    A linear model's gradient is the residual times the input:

    >>> from empirical.networks import MLP
    >>> line = MLP(2, width=1, depth=0, weight_variance=2.0)  # the scale of the weights is sqrt(2 / 2)
    >>> X = np.array([[3.0, 4.0]])
    >>> f = line(torch.tensor(X, dtype=torch.float32)).item()
    >>> bool(np.isclose(grand(line, X, [[f - 1.0]], loss="squared")[0], 5.0))
    True
    """
    if loss not in LOSSES:
        raise ValueError(f"`loss` must be one of {', '.join(LOSSES)}, got {loss!r}.")
    was_training = model.training
    trained(model)  # refuses a model that has nothing to derive by
    try:
        lessons = Lessons.of(model, X, labels, loss)
        model.eval()
        require_rowwise(model)
        points, y = lessons.X, lessons.labels[0]
        size = _block(model, points[:1]) if block is None else whole(block, "block", least=1)
        starts = progress_bar(range(0, len(points), size), progress, "gradient norms")
        squares = [_squares(model, points[i : i + size], y[i : i + size], loss) for i in starts]
    finally:
        model.train(was_training)
    return np.sqrt(as_array(torch.cat(squares, -1)))


def _squares(model: nn.Module, X: Tensor, y: Tensor, loss: str) -> Tensor:
    """Squared norms of one block, ([E,] n)."""
    with torch.enable_grad():
        f, tape = _recorded(model, X)
        outputs = f if f.ndim == 3 else f[None]
        labels = y.expand(len(outputs), *y.shape)
        total = len(X) * LOSSES[loss](outputs, labels, None, outputs.new_zeros(len(outputs)), 1.0).sum()
        tape = [(z, squares) for z, squares in tape if z.requires_grad]  # all parameters up to here are frozen in the rest
        deltas = torch.autograd.grad(total, [z for z, _ in tape])
    with torch.no_grad():
        each = [squares(delta).double() for (_, squares), delta in zip(tape, deltas, strict=True)]
        return torch.stack(each).sum(0).reshape(f.shape[:-1])


def _recorded(model: nn.Module, X: Tensor) -> tuple[Tensor, Tape]:
    """Outputs, and every layer with parameters on the way to them."""
    if isinstance(model, Centred):
        f, tape = _recorded(model.model, X)
        with torch.no_grad():
            f_0 = model.start(X)
        return model.scale * (f - f_0), tape
    chain = layers_of(model)
    return _through_modules(model, X) if chain is None else _through_layers(chain[0], X, members_of(model))


def _through_layers(layers: list[Layer], X: Tensor, members: int | None) -> tuple[Tensor, Tape]:
    h = X if members is None else X.expand(members, *X.shape)
    tape: Tape = []
    for layer in layers:
        z = layer.affine(h)
        counts = layer.weight_scale * layer.weight.requires_grad, _trained(layer.bias) * layer.bias_scale
        tape.append((z, functools.partial(_of_affine, h.detach(), *counts)))
        h = z if layer.activation is None else layer.activation(z.clone())  # some work in place
    return h, tape


def _through_modules(model: nn.Module, X: Tensor) -> tuple[Tensor, Tape]:
    """A network of convolutions, normalisations and affine layers, each of which is called once."""
    known = [module for module in model.modules() if isinstance(module, (Affine, Convolution, Normalisation))]
    held = {id(theta) for module in known for theta in module.parameters()}
    foreign = [name for name, theta in trained(model).items() if id(theta) not in held]
    if foreign:
        raise ValueError(
            f"`model` must be a network of affine layers, convolutions and normalisations of `empirical`, or a Sequential "
            f"of linear layers, got a {type(model).__name__} with {foreign[0]!r}."
        )
    tape: Tape = []
    called: list[nn.Module] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], z: Tensor) -> None:
        called.append(module)
        tape.append((z, functools.partial(_of_module, module, inputs[0].detach())))

    hooks = [module.register_forward_hook(note) for module in known]
    try:
        f: Tensor = model(X)
    finally:
        for hook in hooks:
            hook.remove()
    if len(set(called)) < len(called):
        raise ValueError(f"`model` must use each layer once in a forward pass, got a {type(model).__name__} that shares some.")
    return f, tape


def _of_module(module: nn.Module, h: Tensor, delta: Tensor) -> Tensor:
    if isinstance(module, Affine):
        return _of_affine(h, module.weight.requires_grad, _trained(module.bias), delta)
    if isinstance(module, Convolution):
        return _of_convolution(module, h, delta)
    assert isinstance(module, Normalisation)
    return _of_normalisation(module, h, delta)


def _of_affine(h: Tensor, weight_scale: float, bias_scale: float, delta: Tensor) -> Tensor:
    """|δ|² (s_w² |h|² + s_b²), ([E,] n)."""
    return delta.square().sum(-1) * (weight_scale**2 * h.square().sum(-1) + bias_scale**2)


def _of_convolution(layer: Convolution, h: Tensor, delta: Tensor) -> Tensor:
    """(E, n): the gradient of each point and member itself; where places are few, by their Gram matrices of patches and of δ.

    The gradients are those of one convolution that has every point and member as a group of its own.
    """
    n, members, size, stride = len(h), layer.members, layer.weight.shape[-1], layer.stride
    D = delta.reshape(n, members, -1, delta.shape[-2] * delta.shape[-1])
    (k, places), inputs = D.shape[-2:], h.shape[1] // members
    d = inputs * size**2
    total = delta.new_zeros(())
    if layer.weight.requires_grad and places * (k + d) < k * d:
        U = nn.functional.unfold(h, size, padding=size // 2, stride=stride).reshape(n, members, d, places)
        total = ((D.mT @ D) * (U.mT @ U)).sum((-2, -1))
    elif layer.weight.requires_grad:
        groups = n * members
        shape = (groups * k, inputs, size, size)
        apart = h.reshape(1, -1, *h.shape[2:]), shape, delta.reshape(1, -1, *delta.shape[2:])
        each: Tensor = conv2d_weight(*apart, stride=stride, padding=size // 2, groups=groups)  # type: ignore[no-untyped-call]
        total = each.reshape(n, members, -1).square().sum(-1)
    if _trained(layer.bias):
        total = total + D.sum(-1).square().sum(-1)
    return total.expand(n, members).T


def _of_normalisation(layer: Normalisation, h: Tensor, delta: Tensor) -> Tensor:
    """(E, n): of z = w (h - mean) / sqrt(var) + b with the running mean and variance."""
    still = nn.functional.batch_norm(h, layer.running_mean.flatten(), layer.running_var.flatten())
    by_scale, by_shift = (delta * still).sum((-2, -1)).square(), delta.sum((-2, -1)).square()
    by_channel = layer.weight.requires_grad * by_scale + layer.bias.requires_grad * by_shift
    return by_channel.reshape(len(h), layer.members, -1).sum(-1).T


def _trained(parameter: Any) -> bool:
    return parameter is not None and bool(parameter.requires_grad)


def _block(model: nn.Module, point: Tensor) -> int:
    """Points that suit the device."""
    with torch.no_grad():
        _, tape = _recorded(model, point)
    numbers = ON_CPU if point.device.type == "cpu" else ELSEWHERE
    return max(1, numbers // sum(z.numel() for z, _ in tape))
