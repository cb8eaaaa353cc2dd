r"""The empirical tangent kernel, :math:`\Theta(x, x')_{oo'} = \langle\nabla_\theta f_o(x), \nabla_\theta f_{o'}(x')\rangle`.

Of a wide network it is the Gram matrix of the theory: it tends to `kdtheory.kernels.ntk` and hardly moves in training. Here is
the kernel of any network as it is now, and how far one kernel is from another.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirical import extra, progress_bar
from empirical.linear import Derivatives, by_layers, by_parameters, layers_of, point_axis, require_outputs, require_rowwise
from empirical.networks import Layer, as_array, tensor_for, trained
from empirical.training import train
from kdtheory.checks import Array, finite_array, whole

with extra():
    import torch
    from torch import Tensor, nn

__all__ = ["Drift", "alignment", "drift", "empirical_ntk", "relative_change"]

BLOCK_NUMBERS = 2**27  # of derivatives held for one block of points: a gigabyte in float64; two blocks are held


def empirical_ntk(
    model: nn.Module,
    X: ArrayLike | Tensor,
    X_train: ArrayLike | Tensor | None = None,
    *,
    output: str = "full",
    method: str = "auto",
    block: int | None = None,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> Array:
    r"""Tangent kernel of a network at its present parameters.

    By layers, with :math:`h` what enters a layer, :math:`z = s_w h W + s_b b` and :math:`\delta = \partial f/\partial z`,

    .. math::
        \Theta(x, x')_{oo'} = \sum_{\text{layers}} \langle\delta^o(x), \delta^{o'}(x')\rangle
        \left(s_w^2 \langle h(x), h(x')\rangle + s_b^2\right),

    each term only where its parameter requires a gradient, and no Jacobian is formed. By Jacobian, the derivatives of any
    network are multiplied, a block of points at a time.

    Parameters
    ----------
    model : nn.Module
        With outputs (n, p). Only parameters with requires_grad count.
    X : (m, ...) array or tensor
        For a stack of E members (m, features) or (E, m, features).
    X_train : (n, ...) array or tensor, optional
        Left out, the result is the Gram matrix of `X`.
    output : {"full", "per_output", "traced"}
        Every pair of outputs; each output with itself; or the mean of the latter over outputs, which is what
        tends to `kdtheory.kernels.ntk` as the network grows, with the least fluctuation.
    method : {"auto", "layers", "jacobian"}
        "layers" is for `MLP`, for ``nn.Sequential`` of linear layers and elementwise activations, and for `Centred` of
        these; "auto" takes it there.
    block : int, optional
        Points whose derivatives are held at once; left out, what fits into a gigabyte. A pair of blocks is held.
    device : optional
        Where to compute; left out, where the model is.
    progress : bool
        Show a bar over blocks.

    Returns
    -------
    (m, n, p, p), (p, m, n) or (m, n) float64 array
        With a leading axis E for a stack. Sums are in float64 whatever the model's precision.

    Raises
    ------
    ValueError
        If an option is unknown, the points are not finite, the method does not apply, no parameter requires a gradient,
        or a point's output is random or depends on the others.

    References
    ----------
    Jacot, Gabriel & Hongler (2018), arXiv:1806.07572; Novak, Sohl-Dickstein & Schoenholz (2022), arXiv:2206.08720.

    Examples
    --------
    A wide network's kernel is nearly the limit's:

    >>> import kdtheory as kd
    >>> from empirical.networks import MLP
    >>> X = np.eye(3)
    >>> K = empirical_ntk(MLP(3, width=4096, depth=2), X, output="traced")
    >>> bool(relative_change(K, kd.kernels.ntk(X, depth=2)) < 0.05)
    True
    """
    if output not in ("full", "per_output", "traced"):
        raise ValueError(f'`output` must be "full", "per_output" or "traced", got {output!r}.')
    if method not in ("auto", "layers", "jacobian"):
        raise ValueError(f'`method` must be "auto", "layers" or "jacobian", got {method!r}.')
    if device is not None:
        model = copy.deepcopy(model).to(device)
    require_rowwise(model)
    first = tensor_for(model, X, "X")
    second = first if X_train is None else tensor_for(model, X_train, "X_train")
    network = None if method == "jacobian" else layers_of(model)
    if network is None and method == "layers":
        raise ValueError(
            f"`model` must be an MLP, or a Sequential of Linear and elementwise activations that share no parameters, "
            f'for `method`="layers", got {type(model).__name__}.'
        )
    height = _height(model, network, first)
    height = height if block is None else whole(block, "block", least=1)
    terms = functools.partial(by_parameters, model) if network is None else functools.partial(by_layers, *network)
    blocks, others = (torch.split(points, height, point_axis(model, points)) for points in (first, second))
    K: list[list[Array]] = []
    for i in progress_bar(range(len(blocks)), progress, "tangent kernel"):
        left = terms(blocks[i])
        row = [_transposed(above[i], output) for above in K] if second is first else []
        for j in range(len(row), len(others)):
            same = second is first and i == j
            products = map(functools.partial(_product, output), left, left if same else terms(others[j]))
            values = as_array(functools.reduce(torch.Tensor.add_, products))
            row.append((values + _transposed(values, output)) / 2 if same else values)  # symmetric to the last bit
        K.append(row)
    axis = -4 if output == "full" else -2
    return np.concatenate([np.concatenate(row, axis + 1) for row in K], axis)


def alignment(K: ArrayLike, K_other: ArrayLike, *, centred: bool = False) -> float | Array:
    r"""Cosine between two kernels, :math:`\langle K, K'\rangle_F / (\|K\|_F\,\|K'\|_F)`.

    Parameters
    ----------
    K, K_other : (m, n) or (..., m, n) arrays
        With targets t, the alignment of K with :math:`t t^\top` is that of `kdtheory.Spectrum.alignment`.
    centred : bool
        Take the mean feature away first, :math:`K - 1\bar k^\top - \bar k 1^\top + \bar{\bar k}`.

    Returns
    -------
    float or (...) array
        One value per matrix of a stack.

    Raises
    ------
    ValueError
        If the shapes disagree, or a kernel is zero.

    References
    ----------
    Cristianini, Shawe-Taylor, Elisseeff & Kandola (2001); Cortes, Mohri & Rostamizadeh (2012), arXiv:1203.0550 (centred).

    Examples
    --------
    >>> alignment([[2.0, 0.0], [0.0, 2.0]], [[5.0, 0.0], [0.0, 0.0]])  # identity with a projection to half the space
    0.7071067811865475
    """
    one, other = _pair(K, K_other, "K_other")
    if centred:
        one, other = (A - A.mean(-1, keepdims=True) for A in (one, other))
        one, other = (A - A.mean(-2, keepdims=True) for A in (one, other))
    norms = np.linalg.norm(one, axis=(-2, -1)) * np.linalg.norm(other, axis=(-2, -1))
    if not (norms > 0).all():
        raise ValueError(f"`K` and `K_other` must not be zero{' after centring' if centred else ''}: they have no direction.")
    cosine = np.sum(one * other, axis=(-2, -1)) / norms
    return float(cosine) if cosine.ndim == 0 else np.asarray(cosine)


def relative_change(K: ArrayLike, K_0: ArrayLike) -> float | Array:
    r"""Distance of a kernel from where it was, :math:`\|K - K_0\|_F / \|K_0\|_F`, for (m, n) or stacks (..., m, n).

    Raises
    ------
    ValueError
        If the shapes disagree, or `K_0` is zero.

    Examples
    --------
    >>> relative_change([[3.0]], [[2.0]])
    0.5
    """
    now, start = _pair(K, K_0, "K_0")
    size = np.linalg.norm(start, axis=(-2, -1))
    if not (size > 0).all():
        raise ValueError("`K_0` must not be zero: nothing is large or small beside it.")
    change = np.linalg.norm(now - start, axis=(-2, -1)) / size
    return float(change) if change.ndim == 0 else np.asarray(change)


@dataclass(frozen=True, eq=False)
class Drift:
    """How far a tangent kernel moved in training: a table with columns (R,), or (R, E) of a stack."""

    steps: NDArray[np.int64]
    losses: Array
    relative_change: Array
    alignment_with_start: Array
    alignment_with_targets: Array


def drift(model: nn.Module, X: ArrayLike | Tensor, targets: ArrayLike | Tensor, *, record: Sequence[int], **how: Any) -> Drift:
    r"""Train a network and follow its tangent kernel, the mean over outputs, on the training points.

    Parameters
    ----------
    model, X, targets
        As in `train`, which changes the model.
    record : sequence of ints
        Numbers of steps after which the kernel is computed; it is compared with the one before the first step.
    **how
        `steps`, `learning_rate` and the other options of `train`.

    Returns
    -------
    Drift

    Raises
    ------
    ValueError, ArithmeticError
        As in `train`.

    References
    ----------
    Lee et al. (2019), arXiv:1902.06720: the change shrinks as 1 over the square root of the width, or faster.

    Examples
    --------
    >>> from empirical.networks import MLP
    >>> X, y, how = np.eye(3), [1.0, -1.0, 0.5], {"record": [50], "steps": 50, "learning_rate": 0.2}
    >>> narrow, wide = (drift(MLP(3, width=m, depth=1), X, y, **how).relative_change[0] for m in (4, 2048))
    >>> bool(narrow > 5 * wide)
    True
    """
    t = as_array(tensor_for(model, targets, "targets"))
    t = t[:, None] if t.ndim == 1 else t
    K_0, direction = empirical_ntk(model, X, output="traced"), t @ np.swapaxes(t, -2, -1)
    rows = []

    def watch(step: int) -> None:
        K = K_0 if step == 0 else empirical_ntk(model, X, output="traced")
        rows.append((relative_change(K, K_0), alignment(K, K_0), alignment(K, np.broadcast_to(direction, K.shape))))

    run = train(model, X, targets, record=record, watch=watch, **how)
    return Drift(run.steps, run.losses, *(np.array(column) for column in zip(*rows, strict=True)))


def _height(model: nn.Module, network: tuple[list[Layer], float] | None, X: Tensor) -> int:
    """Points in a block: as many as keep the numbers held for it within bounds."""
    theta = trained(model).values()
    with torch.no_grad():
        f = model(X.narrow(point_axis(model, X), 0, 1))
    require_outputs(model, f)
    held = sum(t.numel() for t in theta)
    if network is not None:
        held = sum(layer.weight.numel() // layer.weight.shape[-2] for layer in network[0])
    return max(1, BLOCK_NUMBERS // (int(f.shape[-1]) * held))


def _pair(K: ArrayLike, K_other: ArrayLike, name: str) -> tuple[Array, Array]:
    one, other = finite_array(K, "K"), finite_array(K_other, name)
    if one.ndim < 2 or one.shape[-2:] != other.shape[-2:]:
        raise ValueError(f"`{name}` must be a matrix of the shape of `K`, {one.shape}, got {other.shape}.")
    return one, other


def _transposed(K: Array, output: str) -> Array:
    """The same kernel with the two sets of points exchanged."""
    return np.swapaxes(np.swapaxes(K, -4, -3), -2, -1) if output == "full" else np.swapaxes(K, -2, -1)


def _product(output: str, a: Derivatives, b: Derivatives) -> Tensor:
    """Part of the kernel between two blocks of points: (..., m, n, p, p), (..., p, m, n) or (..., m, n)."""
    delta, other, p = a.delta, b.delta, a.delta.shape[-3]
    inputs = delta.new_zeros(1, 1) if a.inputs is None or b.inputs is None else a.inputs @ b.inputs.mT
    factor = inputs + a.constant  # (..., m, n)
    if output == "traced":
        delta, other = (one.transpose(-3, -2).flatten(-2) for one in (delta, other))
        return delta @ other.mT / p * factor
    if output == "per_output":
        return delta @ other.mT * factor.unsqueeze(-3)
    pairs = delta.flatten(-3, -2) @ other.flatten(-3, -2).mT
    pairs = pairs.reshape(*delta.shape[:-1], *other.shape[-3:-1])  # (..., p, m, p, n)
    return pairs.movedim((-4, -2), (-2, -1)) * factor[..., None, None]
