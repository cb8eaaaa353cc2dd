"""What the rows of `empirical.experiments.human_noise` say: which weights people's mistakes ask for, and what they gain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from empirical.experiments.verdicts_evidence import column, contrast, decided, rows_where, untold, values, written
from empirical.intervals import Estimate, crossed_interval
from empirical.pairs import scale_free_within, squared_error_weight
from empirical.store import Row
from empirical.verdict import Verdict
from kdtheory.checks import Array

__all__ = ["Cells", "verdicts"]

LOSSES = {"squared": "Squared loss", "cross_entropy": "Cross-entropy"}
KINDS = {"aggre": "the vote of three people", "random1": "one person", "worst": "the worst of three people"}
OTHERS = {"symmetric": "as many random flips", "class_dependent": "as many flips by people's confusion of classes"}
MOMENTS = ("vv", "vl", "vd", "ll", "ld", "dd")  # as in `empirical.foretold`
SAME = 0.05  # two weights that differ by less ask for the same
CHEAP = 0.01  # of accuracy


@dataclass(frozen=True, eq=False)
class Cells:
    """Rows of one loss, one kind of labels and one noise, by share kept, teacher weight and seed."""

    rows: Sequence[Row]

    @classmethod
    def of(cls, rows: Sequence[Row], loss: str, labels: str, noise: str) -> Cells:
        """Of a table."""
        return cls(rows_where(rows, loss=loss, labels=labels, noise=noise))

    @property
    def weights(self) -> list[float]:
        """The grid."""
        return values(self.rows, "teacher_weight")

    @property
    def seeds(self) -> int:
        """How many."""
        return len(values(self.rows, "seed"))

    def students(self, name: str) -> Array:
        """One column of the students, (shares, weights, seeds)."""
        return self._array(name, ("keep_fraction", "teacher_weight", "seed"), [r for r in self.rows if "teacher_weight" in r])

    def cell(self, name: str) -> Array:
        """One column of the cells, (shares, seeds)."""
        return self._array(name, ("keep_fraction", "seed"), [r for r in self.rows if "teacher_weight" not in r])

    @staticmethod
    def _array(name: str, axes: tuple[str, ...], rows: Sequence[Row]) -> Array:
        ordered = sorted(rows, key=lambda row: [row[axis] for axis in axes])
        return column(ordered, name).reshape([len(values(rows, axis)) for axis in axes])

    def parabolas(self) -> Array:
        """Coefficients of least-squares parabolas through the test errors over the weights, (seeds, shares, 3)."""
        fit = np.linalg.pinv(np.vander(self.weights, 3, increasing=True))
        return np.asarray(np.einsum("kw,fws->sfk", fit, self.students("error")))

    def rule(self, criterion: str) -> Array:
        """Weights that the students at 0 and 1 suggest, on validation labels as they are, within the grid; (shares, seeds)."""
        M = np.stack([self.cell(f"net_noisy_{moment}") for moment in MOMENTS], axis=-1)
        low, high = self.weights[0], self.weights[-1]
        return np.clip(squared_error_weight(M), low, high) if criterion == "squared error" else scale_free_within(M, low, high)

    def at(self, weights: Array, name: str = "accuracy") -> Array:
        """A column read at these weights (shares, seeds), between those of the grid."""
        table = self.students(name)
        read = [
            [np.interp(w, self.weights, curve) for w, curve in zip(ws, of.T, strict=True)]
            for ws, of in zip(weights, table, strict=True)
        ]
        return np.array(read)

    def gain(self) -> Array:
        """Accuracy at the weight that is best by validation accuracy, less that on labels alone; (shares, seeds)."""
        best = np.array(self.weights)[self.students("validation_accuracy").argmax(axis=1)]
        return self.at(best) - self.students("accuracy")[:, 0]

    def regret(self, weights: Array) -> Array:
        """Accuracy at the best weight of the grid, by mean over seeds, less that at these; (shares, seeds)."""
        table = self.students("accuracy")
        best = table[np.arange(len(table)), table.mean(axis=2).argmax(axis=1)]
        return np.asarray(best - self.at(weights))


def vertex(parabolas: Array, low: float, high: float) -> Array:
    """Lowest points of parabolas (..., 3) within bounds."""
    _, slope, bend = np.moveaxis(parabolas, -1, 0)
    end = np.where(slope + bend * (low + high) < 0, high, low)
    return np.where(bend > 0, np.clip(np.divide(-slope, 2 * bend, out=np.zeros_like(slope), where=bend > 0), low, high), end)


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Of each loss; weights are vertices of parabolas through test errors, within the grid."""
    kinds = [kind for kind in KINDS if rows_where(rows, labels=kind, noise="human")]
    if not kinds:
        why = values(rows, "missing") or ["there are no people's labels in this table"]
        return [untold("People's mistakes ask for more teacher the less is kept.", f"skipped, for {why[0]}")]
    found = []
    for loss in values([row for row in rows if "loss" in row], "loss"):
        human = {kind: Cells.of(rows, loss, kind, "human") for kind in kinds}
        found.append(_rises(LOSSES[loss], human))
        for kind in kinds:
            for noise in OTHERS:
                other = Cells.of(rows, loss, kind, noise)
                if other.rows:
                    found.append(_apart(LOSSES[loss], kind, noise, human[kind], other))
        found += [_gains(LOSSES[loss], human), *_rules(LOSSES[loss], human)]
    return found


def _weights(cells: Sequence[Cells], of: Any) -> Estimate:
    """A function of the best weights of several sets of cells on the same seeds, each (..., shares)."""
    bounds = cells[0].weights[0], cells[0].weights[-1]
    stacked = np.stack([each.parabolas() for each in cells], axis=1)  # (seeds, cells, shares, 3)
    shape = stacked.shape[1:]

    def function(means: Array) -> Array:
        return np.asarray(of(vertex(means.reshape(*means.shape[:-1], *shape), *bounds)))

    if len(stacked) < 2:
        return Estimate(float(function(stacked.reshape(1, -1))[0]), -np.inf, np.inf)
    return crossed_interval(stacked.reshape(len(stacked), 1, -1), function, rng=np.random.default_rng(0))


def _rises(name: str, human: dict[str, Cells]) -> Verdict:
    each = {kind: _weights([cells], lambda w: w[..., 0, 0] - w[..., 0, -1]) for kind, cells in human.items()}
    least = min(each.values(), key=lambda e: e.low)
    shares = values(next(iter(human.values())).rows, "keep_fraction")
    claim = (
        f"{name}: under people's mistakes the best teacher weight is larger when {shares[0]:g} is kept than {shares[-1]:g}."
    )
    text = ", ".join(f"{written(e)} ({kind})" for kind, e in each.items())
    return decided(claim, least, 1e-9, np.inf, f"by {text}", next(iter(human.values())).seeds)


def _apart(name: str, kind: str, noise: str, human: Cells, other: Cells) -> Verdict:
    """Not reproduced if the interval excludes a difference that matters, reproduced if it excludes none."""
    gap = _weights([human, other], lambda w: np.mean(w[..., 0, :] - w[..., 1, :], axis=-1))
    claim = f"{name}: the mistakes of {KINDS[kind]} ask for another teacher weight than {OTHERS[noise]}."
    effect = f"weight {'+' if gap.value > 0 else ''}{written(gap)} beside the flips, mean over shares"
    if gap.low > -SAME and gap.high < SAME:
        return Verdict(claim, "not reproduced", effect, human.seeds)
    if gap.low > 0 or gap.high < 0:
        return Verdict(claim, "reproduced", effect, human.seeds)
    return Verdict(claim, "not testable here", f"{effect}; the interval is too wide to tell", human.seeds)


def _gains(name: str, human: dict[str, Cells]) -> Verdict:
    each = {kind: contrast([cells.gain().mean(axis=0)]) for kind, cells in human.items()}
    text = ", ".join(f"{written(e, 3)} ({kind})" for kind, e in each.items())
    claim = (
        f"{name}: at every rate of people's mistakes, distillation at the weight that noisy validation picks gains accuracy."
    )
    seeds = next(iter(human.values())).seeds
    return decided(claim, min(each.values(), key=lambda e: e.low), 1e-9, np.inf, f"mean over shares {text}", seeds)


def _rules(name: str, human: dict[str, Cells]) -> list[Verdict]:
    found = []
    for criterion in ("squared error", "scale-free"):
        lost = contrast([np.mean([cells.regret(cells.rule(criterion)).mean(axis=0) for cells in human.values()], axis=0)])
        none = np.mean([cells.regret(0 * cells.rule(criterion)).mean() for cells in human.values()])
        claim = (
            f"{name}: the weight that two students suggest on people's labels ({criterion}) costs less than a hundredth of "
            "accuracy against the best of the grid."
        )
        effect = f"{written(lost, 4)}, labels alone {none:.4f}"
        found.append(decided(claim, lost, -np.inf, CHEAP, effect, next(iter(human.values())).seeds))
    return found
