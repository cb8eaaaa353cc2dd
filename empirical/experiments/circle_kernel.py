r"""Claim: with width, the tangent kernel of a random network tends to its limit, and it moves less and less in training.

Measured as in figure 1 of Jacot, Gabriel & Hongler (2018): :math:`\Theta(x_0, x_\gamma)` between :math:`x_0 = (1, 0)` and
points :math:`(\cos\gamma, \sin\gamma)` of the unit circle, at initialisation and after 200 steps of gradient descent on
:math:`f^*(x) = x_1 x_2` at random inputs, for networks drawn independently. One unit is one network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import kdtheory as kd
from empirical import extra
from empirical.experiments.verdicts_evidence import column, decided, exponent, rows_where, values, written
from empirical.networks import MLP
from empirical.ntk import empirical_ntk
from empirical.store import Row
from empirical.training import train
from empirical.verdict import Verdict
from kdtheory.checks import Array
from kdtheory.dynamics import loss_scale

with extra():
    import torch

__all__ = ["GRID", "QUICK", "Settings", "measure", "on_circle", "units", "verdicts"]

GRID = ("widths", "initialisations", "trained")


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    widths : tuple of ints
        Of all hidden layers. Stated by the paper: 500 and 10,000; the others are ours, for the slopes.
    initialisations : int
        Networks per width; stated: 10.
    trained : tuple of ints
        So many of them are trained too, for each width; stated: all. Not run: more than 5 of width 10,000, which takes minutes
        each on several cores.
    depth : int
        Hidden layers; stated as L = 4, which counts layers of weights.
    activation, weight_variance, bias_variance
        Stated: ReLU, 1, and beta = 0.1, whose square the variance is.
    learning_rate, steps : float and int
        Of full-batch gradient descent on the halved mean of squares; stated: 1 and 200.
    training_points : int
        N(0, 1) inputs in two dimensions; their number is not stated, and with more of them the kernel moves further. The
        same points for every network.
    angles : int
        From -pi to pi, both ends included.
    seed : int
        Of the points; of the networks with their number.
    """

    widths: tuple[int, ...] = (125, 500, 2000, 10000)
    initialisations: int = 10
    trained: tuple[int, ...] = (10, 10, 10, 5)
    depth: int = 3
    activation: str = "relu"
    weight_variance: float = 1.0
    bias_variance: float = 0.01
    learning_rate: float = 1.0
    steps: int = 200
    training_points: int = 16
    angles: int = 61
    seed: int = 0


QUICK = Settings(widths=(60, 240, 960), initialisations=3, trained=(3, 3, 3), angles=13)


def units(settings: Settings) -> list[dict[str, Any]]:
    """One network each, with the number of its steps."""
    return [
        {"width": width, "initialisation": i, "steps": settings.steps if i < trained else 0}
        for width, trained in zip(settings.widths, settings.trained, strict=True)
        for i in range(settings.initialisations)
    ]


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    """A row per angle: the kernel at initialisation and after the unit's steps, and both losses."""
    network = MLP(
        2, width=unit["width"], seed=[unit["initialisation"], settings.seed], device=device, **architecture(settings)
    )
    angles = np.linspace(-np.pi, np.pi, settings.angles)
    N = settings.training_points
    X = np.random.default_rng(settings.seed).normal(size=(N, 2))
    start = slice_of_kernel(network, angles)
    how: dict[str, Any] = {"learning_rate": settings.learning_rate, "loss_scale": loss_scale("half mean", N)}
    run = train(network, X, X[:, 0] * X[:, 1], steps=unit["steps"], record=[0, unit["steps"]], **how)
    columns = {"angle": angles, "start": start, "trained": slice_of_kernel(network, angles)}
    losses = {"first_loss": float(run.losses[0]), "last_loss": float(run.losses[-1])}
    return [
        {name: float(value) for name, value in zip(columns, row, strict=True)} | losses
        for row in zip(*columns.values(), strict=True)
    ]


def verdicts(rows: list[Row]) -> list[Verdict]:
    """How the kernel's distance from its limit and its movement fall with width; both by their norms over the angles."""
    angles = np.array(values(rows, "angle"))
    limit = kd.kernels.ntk(on_circle([0.0]), on_circle(angles), **architecture(Settings()))[0]
    distance, movement = {}, {}
    for width in values(rows, "width"):
        here = rows_where(rows, width=width)
        start, trained = (column(here, name).reshape(-1, len(angles)) for name in ("start", "trained"))
        was_trained = column(here, "steps").reshape(-1, len(angles))[:, 0] > 0
        distance[width] = np.linalg.norm(start - limit, axis=1) / np.linalg.norm(limit)
        movement[width] = (np.linalg.norm(trained - start, axis=1) / np.linalg.norm(limit))[was_trained]
    falls, moves = (exponent(list(of), list(of.values())) for of in (distance, movement))
    widest, fewest = max(movement), min(len(networks) for networks in movement.values())
    return [
        decided(
            "The wider random networks are, the nearer is their tangent kernel to its limit.",
            falls,
            -np.inf,
            0.0,
            f"exponent of the distance {written(falls)}, -1/2 expected; {distance[widest].mean():.1%} at width {widest:,}",
            min(map(len, distance.values())),
        ),
        decided(
            "Training moves the tangent kernel less the wider the network is.",
            moves,
            -np.inf,
            0.0,
            f"exponent of the movement {written(moves)}; {movement[widest].mean():.1%} at width {widest:,}",
            fewest,
        ),
    ]


def architecture(settings: Any) -> dict[str, Any]:
    """What the networks and their limit kernel have in common."""
    return {name: getattr(settings, name) for name in ("depth", "activation", "weight_variance", "bias_variance")}


def on_circle(angles: ArrayLike) -> Array:
    """Points of the unit circle, (m, 2)."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def slice_of_kernel(network: MLP, angles: Array) -> Array:
    """Tangent kernel between the point at angle 0 and points of the circle, (m,)."""
    return np.asarray(empirical_ntk(network, on_circle([0.0]), on_circle(angles), output="traced")[0])
