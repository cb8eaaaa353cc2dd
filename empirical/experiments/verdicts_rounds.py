"""What the rows of `empirical.experiments.rounds` say: do learners go the kernel's path, and where do their chains end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from empirical.experiments.verdicts_evidence import contrast, decided, rows_where, untold, values, written
from empirical.intervals import Estimate
from empirical.store import Row
from empirical.verdict import Verdict
from kdtheory.checks import Array

__all__ = ["NAMES", "Chains", "verdicts"]

NAMES = {
    "same": "Fully connected networks of one initialisation",
    "anew": "Fully connected networks, each of a new initialisation",
    "cnn": "Convolutional networks with cross-entropy",
}
SOME = 1e-9  # more than nothing


@dataclass(frozen=True, eq=False)
class Chains:
    """The rows of a learner, and what they vary over; round 0 belongs to the chains of all weights."""

    rows: Sequence[Row]
    data: list[str]
    noises: list[float]
    weights: list[float]
    rounds: list[int]
    seeds: list[int]

    @classmethod
    def of(cls, rows: Sequence[Row], learner: str) -> Chains:
        """Of a learner."""
        own = rows_where(rows, learner=learner)
        later = [row for row in own if row["round"] > 0]
        axes = [values(of, name) for of, name in zip((own, own, later, own, own), AXES, strict=True)]
        return cls(own, *axes)

    def column(self, name: str) -> Array:
        """One column, (data, noises, weights, rounds, seeds)."""
        found = {tuple(row[axis] for axis in AXES): float(row[name]) for row in self.rows if name in row}
        return np.array(
            [
                [
                    [[[found[d, noise, w if t else 0.0, t, s] for s in self.seeds] for t in self.rounds] for w in self.weights]
                    for noise in self.noises
                ]
                for d in self.data
            ]
        )


AXES = ("data", "noise", "teacher_weight", "round", "seed")


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Of each learner beside the kernel of the same splits, labels and data sets."""
    found: list[Verdict] = []
    kernel = Chains.of(rows, "kernel")
    for learner, name in NAMES.items():
        networks = Chains.of(rows, learner)
        if networks.rows and {*networks.data} <= {*kernel.data}:
            beside = replace(networks, rows=kernel.rows)
            found += _path(networks, beside, name) + _ends(networks, beside, name)
    return found or [untold("Networks follow the kernel's path.", "there are no networks and kernel in one table")]


def _path(networks: Chains, kernel: Chains, name: str) -> list[Verdict]:
    """Order of the errors and direction of every step, means over data sets and noises by seed; and shrinkage."""
    f, g = networks.column("error"), kernel.column("error")
    order = contrast([_rank_correlation(_models(f), _models(g)).mean(axis=(0, 1))])
    direction = contrast([np.mean(np.sign(np.diff(f, axis=3)) == np.sign(np.diff(g, axis=3)), axis=(0, 1, 2, 3))])
    sizes = (networks.column("size") / kernel.column("size"))[:, :, -1, -1]
    cells = [
        (d, noise, contrast([sizes[i, j]])) for i, d in enumerate(networks.data) for j, noise in enumerate(networks.noises)
    ]
    d, noise, far = max(cells, key=lambda cell: abs(cell[2].value - 1))
    w, T, seeds = networks.weights[-1], networks.rounds[-1], len(networks.seeds)
    found = [
        decided(
            f"{name}: the errors of all weights and rounds are ordered as the kernel's, at a rank correlation above 0.5.",
            order,
            0.5,
            np.inf,
            f"Spearman's correlation {written(order)}",
            seeds,
        ),
        decided(
            f"{name}: three quarters or more of the steps from round to round change the error in the kernel's direction.",
            direction,
            0.75,
            np.inf,
            f"share {written(direction)}, 0.5 by chance",
            seeds,
        ),
    ]
    if name == NAMES["cnn"]:
        return found  # of its probabilities the filter says nothing
    claim = f"{name}: at teacher weight {w:g} the outputs shrink as the filter says, to within 5 % at round {T} of any noise."
    effect = f"size at round {T} over the kernel's {written(far, 3)} where they differ most, on {d} with {noise:.0%} wrong"
    return [*found, decided(claim, far, 0.95, 1.05, effect, seeds)]


def _models(errors: Array) -> Array:
    """(data, noises, seeds, models): every weight and round, round 0 once."""
    first, later = errors[:, :, 0, 0], errors[:, :, :, 1:]
    return np.concatenate([first[:, :, None], later.reshape(*later.shape[:2], -1, later.shape[-1])], axis=2).swapaxes(2, 3)


def _rank_correlation(a: Array, b: Array) -> Array:
    """Spearman's, over the last axis."""
    x, y = (np.argsort(np.argsort(z, axis=-1), axis=-1) - (z.shape[-1] - 1) / 2 for z in (a, b))
    return np.asarray(np.sum(x * y, axis=-1) / np.sqrt(np.sum(x**2, axis=-1) * np.sum(y**2, axis=-1)))


def _ends(networks: Chains, kernel: Chains, name: str) -> list[Verdict]:
    """Where chains go: on the teacher alone without and with noise, and with a weight on the labels."""
    errors, beside = np.log(networks.column("error")), np.log(kernel.column("error"))
    low, high, mixed, w = networks.noises[0], networks.noises[-1], networks.weights[0], networks.weights[-1]
    T, seeds = networks.rounds[-1], len(networks.seeds)

    def over(noise: int, change: Callable[[Array], Array], sign: int) -> tuple[Estimate, str]:
        """The data set that speaks most against a change of that sign, from errors (rounds, seeds); and all in words."""
        each = [contrast([change(of[noise, -1])]) for of in errors]
        text = [
            f"{100 * np.expm1(e.value):+.1f} % [{100 * np.expm1(e.low):+.1f}, {100 * np.expm1(e.high):+.1f}] on {d}, "
            f"the kernel's {100 * np.expm1(change(g[noise, -1]).mean()):+.1f} %"
            for d, e, g in zip(networks.data, each, beside, strict=True)
        ]
        return min(each, key=lambda e: min(sign * e.low, sign * e.high)), "; ".join(text)

    hurts, by = over(0, lambda e: e[-1] - e[0], 1)
    helps, at_first = over(-1, lambda e: e[1] - e[0], -1)
    again, back = over(-1, lambda e: e[-1] - _best_by_others(e), 1)
    first, then = f"where {low:.0%} of the labels are wrong", f"where {high:.0%} of the labels are wrong"
    found = [
        decided(f"{name}: {first}, {T} rounds at teacher weight {w:g} hurt.", hurts, SOME, np.inf, f"error {by}", seeds),
        decided(
            f"{name}: {then}, the first round at teacher weight {w:g} helps.",
            helps,
            -np.inf,
            -SOME,
            f"error {at_first}",
            seeds,
        ),
        decided(
            f"{name}: {then}, later rounds hurt.", again, SOME, np.inf, f"last round beside the best: error {back}", seeds
        ),
    ]
    sizes = networks.column("size").mean(axis=(0, 1))
    still, on = (sizes[v, -3] - sizes[v, -1] for v in (0, -1))
    settled = contrast([still - 0.25 * on])
    claim = (
        f"{name}: at teacher weight {mixed:g} the chain settles: over its last two rounds the outputs shrink by less than a "
        f"quarter of what they do at {w:g}."
    )
    effect = f"by {still.mean():.2%} of the first size, at {w:g} by {on.mean():.2%}"
    return [*found, decided(claim, settled, -np.inf, 0.0, effect, seeds)] if T > 2 else found


def _best_by_others(errors: Array) -> Array:
    """Of each seed (a column) the value at the round that is best in the mean over all others."""
    return np.array([column[np.argmin(errors.sum(axis=1) - column)] for column in errors.T])
