r"""Claim: trained on the same points, wide networks are draws of a Gaussian process known beforehand, mean and covariance.

Measured as in figure 2 of Jacot, Gabriel & Hongler (2018): networks drawn independently, each trained by 1,000 steps of
gradient descent on four points of the unit circle; recorded is what each of them then says around the circle. The law is
`kdtheory.dynamics.WideNetwork`. One unit is a few networks, trained as one stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from empirical import extra
from empirical.experiments.circle_kernel import on_circle
from empirical.networks import MLP
from empirical.training import train
from kdtheory.dynamics import loss_scale

with extra():
    import torch

__all__ = ["GRID", "Settings", "measure", "units"]

GRID = ("widths", "networks")


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    widths : tuple of ints
        Of all hidden layers; stated: 50 and 1,000.
    networks : int
        Per width, a multiple of `together`. The paper draws 10; more are needed to count how many lie in a band.
    together : int
        Networks in a unit. Network e of unit b has the seed (e, b, `seed`), whatever the width.
    depth : int
        Hidden layers; stated as L = 4, which counts layers of weights.
    activation, weight_variance, bias_variance
        Stated: ReLU, 1, and beta = 0.1, whose square the variance is.
    learning_rate, steps : float and int
        Of full-batch gradient descent on the halved mean of squares; stated: 1 and 1,000.
    training_angles : tuple of ints
        In degrees. The paper has four points of the circle too, and says neither where nor with which targets;
        here, as in its figure 1, the targets are the product of the two coordinates.
    angle_step : int
        In degrees, of the grid on which the functions are recorded.
    seed : int
    """

    widths: tuple[int, ...] = (50, 1000)
    networks: int = 100
    together: int = 10
    depth: int = 3
    activation: str = "relu"
    weight_variance: float = 1.0
    bias_variance: float = 0.01
    learning_rate: float = 1.0
    steps: int = 1000
    training_angles: tuple[int, ...] = (-120, -50, 30, 100)
    angle_step: int = 5
    seed: int = 0


def units(settings: Settings) -> list[dict[str, Any]]:
    """So many networks at once."""
    return [{"width": m, "unit": b} for m in settings.widths for b in range(settings.networks // settings.together)]


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    """A row per network: its outputs around the circle, in columns named by the angle in degrees."""
    architecture = {name: getattr(settings, name) for name in ("depth", "activation", "weight_variance", "bias_variance")}
    seed = [unit["unit"], settings.seed]
    networks = MLP(2, width=unit["width"], members=settings.together, seed=seed, device=device, **architecture)
    X = on_circle(np.deg2rad(settings.training_angles))
    degrees = range(-180, 181, settings.angle_step)
    how: dict[str, Any] = {"learning_rate": settings.learning_rate, "loss_scale": loss_scale("half mean", len(X))}
    run = train(networks, X, X[:, 0] * X[:, 1], steps=settings.steps, points=on_circle(np.deg2rad(degrees)), **how)
    outputs = run.predictions[-1, :, :, 0].tolist()
    return [{"member": e} | {str(a): f for a, f in zip(degrees, row, strict=True)} for e, row in enumerate(outputs)]
