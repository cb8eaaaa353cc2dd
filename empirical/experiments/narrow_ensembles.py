r"""The mean of narrow networks approaches the infinite width as 1/√members, down to a floor of the order 1/width.

Predictions are not linear in the kernel, and training moves it, so that averaging leaves a bias. Recorded are all inner
products :math:`G_{ij} = \langle f_i - f_\infty, f_j - f_\infty\rangle/|f_\infty|^2` between members' deviations at the test
points: the squared error of the mean of any subset is the mean of its entries, and the mean of all :math:`i \ne j` estimates
the squared floor without bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from empirical import extra
from empirical.experiments.width import Limit, Split
from empirical.networks import MLP, Centred
from empirical.training import self_distil

with extra():
    import torch

__all__ = ["GRID", "Settings", "measure", "units"]


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment; those not named here are as in `empirical.experiments.width.Settings`.

    Attributes
    ----------
    widths : tuple of ints
        One hidden layer.
    members : int
        Networks in the largest ensemble.
    teacher_weight, rounds : float, int
        Of every member's own chain; the teacher and the last student are recorded.
    seed : int
        Of the stack of networks; none of them is in `empirical.experiments.width`.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512)
    members: int = 48
    teacher_weight: float = 0.5
    rounds: int = 3
    seed: int = 100
    n: int = 200
    n_new: int = 300
    split: int = 0
    ridge_per_point: float = 0.01
    tolerance: float = 1e-5
    margin: float = 1.5


GRID = ("widths",)


def units(settings: Settings) -> list[dict[str, Any]]:
    """One width a unit: all its members are needed for their products."""
    return [{"width": width} for width in settings.widths]


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    """Products of the deviations of all pairs of members, for the teacher and the last student."""
    split = Split.draw(settings.n, settings.n_new, settings.split)
    limit = Limit.of(split, 1, settings.ridge_per_point * settings.n)
    weights = [settings.teacher_weight] * settings.rounds
    f_limit, how = limit.chain(weights), {**limit.step(settings)._asdict(), "ridge": limit.ridge}
    nets = MLP(64, 10, width=unit["width"], depth=1, members=settings.members, seed=settings.seed, device=device)
    _, f = self_distil(Centred(nets), split.X, split.y, teacher_weights=weights, points=split.X_new, **how)
    rows = []
    for t in dict.fromkeys((0, settings.rounds)):
        e = ((f[t] - f_limit[t]) / np.linalg.norm(f_limit[t])).reshape(settings.members, -1)
        pairs = zip(*np.tril_indices(settings.members), strict=True)
        rows += [{"round": t, "first": int(i), "second": int(j), "product": float(e[i] @ e[j])} for i, j in pairs]
    return rows
