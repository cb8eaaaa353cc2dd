"""A stack of networks as one model: taking members out, putting them back, and their outputs."""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirical import extra
from empirical.networks import members_of, tensor_for
from kdtheory.checks import numeric, whole

with extra():
    import torch
    from torch import Tensor, nn

__all__ = ["Indices", "outputs", "put_back", "select", "stack_size"]

Indices = NDArray[np.intp]
Network = TypeVar("Network", bound=nn.Module)
ROWS = {"cpu": 2**11, "cuda": 2**17}  # points of all members together that are held at once: what stays in a cache


def stack_size(device: torch.device) -> int:
    """Members to train together: on a CPU what stays in its cache, on a GPU what keeps it busy.

    Examples
    --------
    >>> stack_size(torch.device("cpu"))
    32
    """
    return 32 if device.type == "cpu" else 256


def select(model: Network, members: ArrayLike) -> Network:
    """Some members of a stack as a stack of their own, copied; one that is named twice is there twice.

    Parameters
    ----------
    model : nn.Module
        A stack: every parameter and buffer has the members as its first axis.
    members : (k,) ints

    Raises
    ------
    ValueError
        If the model is no stack, or has no such member.

    Examples
    --------
    Two students of one initialisation:

    >>> from empirical.networks import MLP
    >>> twins = select(MLP(3, width=4, depth=1, members=5), [2, 2])
    >>> f = twins(torch.ones(1, 3))
    >>> twins.members, bool(torch.equal(f[0], f[1]))
    (2, True)
    """
    E, index = members_of(model), numeric(members, "members").astype(np.intp)
    if E is None:
        raise ValueError("`model` must be a stack of networks; make one with members=1 for a network alone.")
    if index.ndim != 1 or not index.size or index.min() < 0 or index.max() >= E:
        raise ValueError(f"`members` must hold numbers from 0 to {E - 1}, got {members!r}.")
    chosen = copy.deepcopy(model)
    with torch.no_grad():
        for module in chosen.modules():
            for name, parameter in module.named_parameters(recurse=False):
                taken = parameter[torch.as_tensor(index, device=parameter.device)].clone()
                module.register_parameter(name, nn.Parameter(taken, parameter.requires_grad))
            for name, buffer in module.named_buffers(recurse=False):
                module.register_buffer(name, buffer[torch.as_tensor(index, device=buffer.device)].clone())
            if isinstance(getattr(module, "members", None), int):
                module.members = len(index)  # type: ignore[assignment]
    return chosen


def put_back(model: nn.Module, part: nn.Module, members: Indices) -> None:
    """Write a stack of some members over those of the whole."""
    with torch.no_grad():
        for whole_values, values in (
            (model.named_parameters(), part.named_parameters()),
            (model.named_buffers(), part.named_buffers()),
        ):
            for (_, mine), (_, theirs) in zip(whole_values, values, strict=True):
                mine[torch.as_tensor(members, device=mine.device)] = theirs.detach()


def outputs(model: nn.Module, X: ArrayLike | Tensor, *, block: int | None = None) -> NDArray[np.float32]:
    """Outputs at many points in eval mode, block by block: (E, n, p) of a stack, (n, p) of a network alone.

    Parameters
    ----------
    model : nn.Module
    X : (n, ...) array or tensor
    block : int, optional
        Points at a time; left out, as many as the device handles fastest.

    Examples
    --------
    >>> from empirical.networks import MLP
    >>> outputs(MLP(3, width=4, depth=1, members=2), np.ones((5, 3)), block=2).shape
    (2, 5, 1)
    """
    points, was_training = tensor_for(model, X, "X"), model.training
    rows = ROWS.get(points.device.type, ROWS["cuda"])
    size = max(1, rows // (members_of(model) or 1)) if block is None else whole(block, "block", least=1)
    model.eval()
    with torch.no_grad():
        f = torch.cat([model(some) for some in torch.split(points, size)], -2)
    model.train(was_training)
    return np.asarray(f.float().cpu().numpy())
