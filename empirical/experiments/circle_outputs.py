r"""Claim: trained on the same points, wide networks are draws of a Gaussian process known beforehand, mean and covariance.

Measured as in figure 2 of Jacot, Gabriel & Hongler (2018): networks drawn independently, each trained by 1,000 steps of
gradient descent on four points of the unit circle; recorded is what each of them then says around the circle. The law is
`kdtheory.dynamics.WideNetwork`. One unit is a few networks, trained as one stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

import kdtheory as kd
from empirical import extra
from empirical.experiments.circle_kernel import architecture, on_circle
from empirical.experiments.verdicts_evidence import column, contrast, decided, rows_where, untold, values, written
from empirical.intervals import Estimate
from empirical.networks import MLP
from empirical.store import Row
from empirical.training import train
from empirical.verdict import Verdict
from kdtheory.checks import Array
from kdtheory.dynamics import loss_scale

with extra():
    import torch

__all__ = ["GRID", "QUICK", "Settings", "measure", "units", "verdicts"]

JOINT = (-180, -150, -85, -10, 10, 65, 140)  # degrees, away from the training points

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


QUICK = Settings(widths=(50, 200), networks=20)


def units(settings: Settings) -> list[dict[str, Any]]:
    """So many networks at once."""
    return [{"width": m, "unit": b} for m in settings.widths for b in range(settings.networks // settings.together)]


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    """A row per network: its outputs around the circle, in columns named by the angle in degrees."""
    seed = [unit["unit"], settings.seed]
    networks = MLP(2, width=unit["width"], members=settings.together, seed=seed, device=device, **architecture(settings))
    X = on_circle(np.deg2rad(settings.training_angles))
    degrees = range(-180, 181, settings.angle_step)
    how: dict[str, Any] = {"learning_rate": settings.learning_rate, "loss_scale": loss_scale("half mean", len(X))}
    run = train(networks, X, X[:, 0] * X[:, 1], steps=settings.steps, points=on_circle(np.deg2rad(degrees)), **how)
    outputs = run.predictions[-1, :, :, 0].tolist()
    return [{"member": e} | {str(a): f for a, f in zip(degrees, row, strict=True)} for e, row in enumerate(outputs)]


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Whether the widest networks lie in the law's bands and have its covariance, and whether narrow ones do not."""
    settings = Settings()
    angles = [a for a in range(-180, 181, settings.angle_step) if a not in settings.training_angles and str(a) in rows[0]]
    inside, law = {}, limit(settings, angles)
    for width in values(rows, "width"):
        F = np.stack([column(rows_where(rows, width=width), str(a)) for a in angles], axis=1)
        inside[width] = np.mean(np.abs(F - law.mean) < stats.norm.ppf(0.9) * law.standard_deviation, axis=1)
    narrow, wide = min(inside), max(inside)
    share = {width: contrast([of_width]) for width, of_width in inside.items()}
    band = f"{written(share[wide])} of the functions of width {wide:,} lie in it"
    claims = [
        decided(
            "Over angles, 80 % of what wide trained networks say lies in the law's central 80 % band, to within 5 %.",
            share[wide],
            0.75,
            0.85,
            band,
            len(inside[wide]),
        )
    ]
    joint = "Wide networks have the law's covariance between angles (p above 0.01 by Kolmogorov-Smirnov)."
    if set(JOINT) <= set(angles):
        p = float(stats.kstest(mahalanobis(rows_where(rows, width=wide), settings), "chi2", (len(JOINT),)).pvalue)
        found, effect = Estimate(p, p, p), f"p = {p:.2g} for the Mahalanobis distances over {len(JOINT)} angles"
        claims.append(decided(joint, found, 0.01, 1.0, effect, len(inside[wide])))
    else:
        claims.append(untold(joint, "the angles were not recorded"))
    closer = contrast([np.array(inside[wide]), np.array(inside[narrow])], [1.0, -1.0])
    effect = f"{written(closer)} more of the functions of width {wide:,} than of width {narrow:,} lie in the 80 % band"
    claim = "Narrow networks leave the law: fewer of their functions are in its band than of wide ones."
    return [*claims, decided(claim, closer, 0.0, np.inf, effect, len(inside[narrow]))]


def limit(settings: Settings, angles: Sequence[int]) -> kd.dynamics.Ensemble:
    """Law of infinitely wide networks at these angles in degrees."""
    X = on_circle(np.deg2rad(settings.training_angles))
    network = kd.dynamics.WideNetwork.fully_connected(X, on_circle(np.deg2rad(angles)), **architecture(settings))
    steps = kd.GradientDescent(settings.learning_rate, settings.steps, loss_scale("half mean", len(X)))
    return network.trained(X[:, 0] * X[:, 1], steps)


def mahalanobis(rows: list[Row], settings: Settings) -> Array:
    """Squared distances of networks from the law at `JOINT`, in units of its covariance."""
    law, F = limit(settings, JOINT), np.stack([column(rows, str(a)) for a in JOINT], axis=1)
    return np.asarray(np.einsum("ei,ie->e", F - law.mean, np.linalg.solve(law.covariance, (F - law.mean).T)))
