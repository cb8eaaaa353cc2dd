r"""Activations of wide networks, by name or as objects: what `kdtheory.kernels.ntk` and `nngp` take as `activation`.

`leaky_relu`, `sine`, `polynomial` and `series` make them with parameters; `DualActivation.scaled` scales any of them.
"""

from __future__ import annotations

import numpy as np

from kdtheory.dual_activation import DualActivation
from kdtheory.kinked_activations import LINEAR, RELU, leaky_relu
from kdtheory.smooth_activations import ERF, GELU, polynomial, series, sine

__all__ = [
    "ACTIVATIONS",
    "ERF",
    "GELU",
    "LINEAR",
    "RELU",
    "DualActivation",
    "chosen",
    "leaky_relu",
    "polynomial",
    "series",
    "sine",
]

#: Activations that have a name.
ACTIVATIONS = {
    "relu": RELU,
    "leaky_relu": leaky_relu(),
    "erf": ERF,
    "linear": LINEAR,
    "sine": sine(),
    "cosine": sine(phase=np.pi / 2),
    "gelu": GELU,
}


def chosen(activation: str | DualActivation) -> DualActivation:
    """The activation of that name, or the object itself."""
    if isinstance(activation, DualActivation):
        return activation
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise ValueError(
            f"`activation` must be one of {', '.join(sorted(ACTIVATIONS))}, "
            f"or an object of kdtheory.activations, got {activation!r}."
        )
    return ACTIVATIONS[activation]
