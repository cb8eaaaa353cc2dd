"""Networks on disk: numbers and architecture in one file, written whole, read without running anything in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from empirical import extra
from empirical.convolutional import ConvNet, ResNet
from empirical.networks import ACTIVATIONS, MLP, Centred

with extra():
    import torch
    from torch import nn

__all__ = ["load", "save"]

KINDS = {"MLP": MLP, "ConvNet": ConvNet, "ResNet": ResNet}


def save(model: nn.Module, path: str | Path) -> None:
    """Write a network of `empirical`, alone or a stack, `Centred` or not.

    Parameters
    ----------
    model : nn.Module
        An `MLP` with an activation of a known name, a `ConvNet`, a `ResNet`, or `Centred` of one.
    path : path
        Of a file, by custom ``NAME.pt``; replaced whole or not at all.

    Raises
    ------
    ValueError
        If the model is none of these.

    Examples
    --------
    >>> import tempfile
    >>> net = ConvNet((1, 8, 8), 10, members=2, seed=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(net, Path(folder) / "net.pt")
    ...     again = load(Path(folder) / "net.pt")
    >>> X = torch.ones(1, 1, 8, 8)
    >>> bool(torch.equal(net(X), again(X)))
    True
    """
    inner = model.model if isinstance(model, Centred) else model
    content: dict[str, Any] = {"kind": type(inner).__name__, "architecture": _architecture(inner), "state": model.state_dict()}
    if isinstance(model, Centred):
        content["scale"] = model.scale
    path = Path(path)
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        torch.save(content, draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def load(path: str | Path, *, device: torch.device | str = "cpu") -> nn.Module:
    """The network that `save` wrote, in eval mode.

    Raises
    ------
    ValueError
        If the file is not there, is damaged, or holds something else.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        model: nn.Module = KINDS[content["kind"]](**content["architecture"])
        model = Centred(model, content["scale"]) if "scale" in content else model
        dtype = next(value.dtype for value in content["state"].values() if value.is_floating_point())
        model.to(device, dtype).load_state_dict(content["state"])
    except FileNotFoundError:
        raise ValueError(f"`path` must be a checkpoint that is there, got {str(path)!r}.") from None
    except Exception as error:  # PyTorch raises whatever a damaged file makes of it
        raise ValueError(
            f"`path` must be a checkpoint that `empirical.checkpoints.save` wrote, got {str(path)!r}, which is damaged or "
            f"something else ({type(error).__name__})."
        ) from error
    return model.eval()


def _architecture(model: nn.Module) -> dict[str, Any]:
    """What to build it from, in types that are read back safely."""
    if isinstance(model, (ConvNet, ResNet)):
        return model.architecture
    if not isinstance(model, MLP):
        raise ValueError(f"`model` must be an MLP, a ConvNet, a ResNet or Centred of one, got {type(model).__name__}.")
    name = next((name for name, function in ACTIVATIONS.items() if function is model.activation), None)
    if name is None:
        raise ValueError(f"`model` must have an activation of {', '.join(ACTIVATIONS)} to be saved, got {model.activation!r}.")
    first, *hidden, last = (int(np.int64(width)) for width in model.widths)
    same = ("weight_variance", "bias_variance", "parameterisation", "members", "seed")
    options = {key: getattr(model, key) for key in same}
    return {"inputs": first, "outputs": last, "width": hidden, "depth": len(hidden), "activation": name, **options}
