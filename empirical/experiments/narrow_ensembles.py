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
from empirical.experiments.verdicts_evidence import contrast, decided, rows_where, untold, values
from empirical.experiments.width import Limit, Split
from empirical.intervals import Estimate
from empirical.networks import MLP, Centred
from empirical.store import Row
from empirical.training import self_distil
from empirical.verdict import Verdict
from kdtheory.checks import Array

with extra():
    import torch

__all__ = ["GRID", "QUICK", "Settings", "measure", "units", "verdicts"]

DRAWS = 2000


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
QUICK = Settings(widths=(32, 128), members=16, rounds=1, n=60, n_new=100)


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


def verdicts(rows: list[Row]) -> list[Verdict]:
    """What many narrow networks do beside one wide one, what is left with ever more, and how that falls with width."""
    claims = (
        "The mean of all the narrowest networks is nearer to the infinite width than one of the widest networks.",
        "Neurons count alike in one network or in several: as many of them err alike, to within a tenth.",
        "The mean of ever more narrow networks stops short of the infinite width.",
        "What it stops at falls as 1/width: its exponent is -1 to within 0.25.",
    )
    widths, rng = values(rows, "width"), np.random.default_rng(0)
    if len(widths) < 2:
        return [untold(claim, "it takes two widths") for claim in claims]
    G = {m: _products(rows, m) for m in widths}
    narrow, wide, M = widths[0], widths[-1], len(G[widths[0]])
    one, floors = np.sqrt(np.diag(G[wide])), {m: _floors(G[m], rng) for m in widths}
    all_of_them = _estimate(np.sqrt(np.maximum(floors[narrow] * (1 - 1 / M) + np.diag(G[narrow]).mean() / M, 0)) / one.mean())
    k = min(wide // narrow, M)
    groups = np.arange(M // k * k).reshape(-1, k)
    means = np.sqrt([G[narrow][np.ix_(group, group)].mean() for group in groups])
    same = contrast([means / one.mean()])
    least = min((_estimate(floor) for floor in floors.values()), key=lambda floor: floor.low)
    text = ", ".join(f"{np.sqrt(max(floor[0], 0)):.3f} at width {m}" for m, floor in floors.items())
    u = np.log(np.array(widths)) - np.mean(np.log(widths))
    with np.errstate(invalid="ignore"):
        falls = _estimate(0.5 * (u / (u @ u)) @ np.log(np.stack(list(floors.values()))))
    found = (
        (all_of_them, 0.0, 1.0, f"{M} of width {narrow} have {all_of_them} times the error of one of width {wide}"),
        (same, 0.9, 1.1, f"{k} of width {narrow} have {same} times the error of one of width {wide}"),
        (least, 0.0, np.inf, f"floors {text}"),
        (falls, -1.25, -0.75, f"exponent {falls}"),
    )
    return [
        decided(claim, estimate, low, high, effect, M)
        for claim, (estimate, low, high, effect) in zip(claims, found, strict=True)
    ]


def _products(rows: list[Row], width: int) -> Array:
    """Inner products of the teachers' deviations, (members, members)."""
    here = rows_where(rows, width=width, round=0)
    i, j = (np.array([row[name] for row in here]) for name in ("first", "second"))
    G = np.zeros((i.max() + 1, i.max() + 1))
    G[i, j] = G[j, i] = [row["product"] for row in here]
    return G


def _floors(G: Array, rng: np.random.Generator) -> Array:
    """Squared floor, the mean product of two different members; then the same of members drawn again."""
    M = len(G)
    counts = np.vstack([np.ones(M), rng.multinomial(M, np.full(M, 1 / M), size=DRAWS)])
    different = np.sum((counts @ G) * counts, axis=1) - counts**2 @ np.diag(G)
    return np.asarray(different / (M**2 - np.sum(counts**2, axis=1)))


def _estimate(drawn: Array) -> Estimate:
    """The first value, between percentiles of the others; without a logarithm counts as lowest."""
    low, high = np.quantile(np.nan_to_num(drawn[1:], nan=-np.inf), [0.025, 0.975], method="nearest")
    return Estimate(float(drawn[0]), float(low), float(high))
