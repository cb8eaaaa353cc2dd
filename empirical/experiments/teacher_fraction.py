r"""The more a teacher has seen, the better its student, at any fixed teacher weight in (0, 1].

Teachers learn nested shares of the rows, each stopped by the same rule: where its loss on the validation labels is least.
Students keep a share that all of their teachers have seen, and differ by teacher and weight alone: one split, one subset, one
initialisation, the same minibatches for one seed. Two families as in `weight_vs_fraction`; validation labels are as noisy as
the training ones, errors are taken on test points with true labels and used for nothing else.

Beside the squared loss, on the same splits, subsets and labels: students of the analytic tangent kernel, trained for the time
that the networks were, whose teachers are kernel teachers of the same rows stopped by the same rule. Nothing of them is fitted
to the networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from empirical import extra
from empirical.data import Split, load
from empirical.experiments import weight_vs_fraction
from empirical.experiments.teacher_capacity import cost, least, lesser, simultaneous
from empirical.experiments.verdicts_evidence import contrast, decided, rows_where, untold, values, written
from empirical.experiments.weight_vs_fraction import GRID, TRIAL_SHARE, family, fingerprints, trial
from empirical.experiments.weight_vs_fraction import by_seed as units
from empirical.intervals import Estimate, crossed_interval
from empirical.kernel_students import best_filter, kept_student, student_pair
from empirical.momentum import Momentum
from empirical.pruned import Family, Labelled, distil, drawn, teach
from empirical.store import Row
from empirical.verdict import Verdict
from kdtheory.checks import Array
from kdtheory.kept import Rows, kept_count, random_orders
from kdtheory.kernels import ntk
from kdtheory.pruned_students import KeptStudent

with extra():
    import torch

__all__ = ["GRID", "QUICK", "TRIAL_SHARE", "Settings", "fingerprints", "measure", "trial", "units", "verdicts"]

LOOKS = 20  # at the validation labels, by which teachers of both kinds are stopped


@dataclass(frozen=True)
class Settings(weight_vs_fraction.Settings):
    """Parameters of the experiment: those of `weight_vs_fraction`, with other defaults, and one more.

    Attributes
    ----------
    seen_fractions : tuple of floats
        Shares of the rows that teachers learn, beside the students' own; a student's teachers have seen all that it keeps.
    teacher_weights : tuple of floats
        Beside 0, the student without a teacher.
    side : int
        As in `teacher_capacity`.
    """

    seeds: int = 8
    n: int = 2000
    n_validation: int = 700
    noises: tuple[float, ...] = (0.0, 0.2)
    keep_fractions: tuple[float, ...] = (0.1, 0.25)
    seen_fractions: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    teacher_weights: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    side: int = 14


QUICK = Settings(seeds=2, keep_fractions=(0.1,), seen_fractions=(0.5, 1.0), mlp_steps=200, cnn_steps=200)


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    r"""One split: every student's error and accuracy.

    Columns: `noise`, `keep_fraction`; `seen`, the teacher's share; `teacher_weight`, zero once, beside `seen` zero; `error`,
    the mean squared error per output on the test points (of probabilities if the loss is cross-entropy), and `accuracy`;
    `teacher_error`, `teacher_accuracy`, `teacher_steps` of its teacher. Of the kernel (squared loss): `kernel`, the error of
    its student of its own teacher, and `fed`, of its student of the network's teacher. What does not apply is nan.
    """
    seed, dataset = unit["seed"], lesser(load(unit["data"]), settings.side)
    part = drawn(dataset, n=settings.n, n_validation=settings.n_validation, n_test=settings.n_test, seed=seed)
    if part.classes is None and unit["loss"] != "squared":
        return []  # a regression has no classes
    how = family(settings, unit["loss"], images=part.X.ndim == 4)
    order, seen = random_orders(len(part.X), 1, seed)[0], sorted({*settings.keep_fractions, *settings.seen_fractions})
    nested = {s: order[: kept_count(s, len(order))] for s in seen}
    taught = [(f, s, w) for f in settings.keep_fractions for s in seen if s >= f for w in settings.teacher_weights]
    cells = [*((f, 0.0, 0.0) for f in settings.keep_fractions), *taught]
    kernels = Kernels.of(how, part, nested) if settings.kernels and unit["loss"] == "squared" else None
    rows = []
    for noise in settings.noises if part.classes else settings.noises[:1]:
        data = Labelled.flipped(part, rate=noise, seed=seed)
        teachers = teach(how, data, seeds=[seed] * len(seen), rows=[nested[s] for s in seen], looks=LOOKS, device=device)
        students = distil(
            how,
            data,
            teachers.train,
            teacher_weights=[w for _, _, w in cells],
            rows=[nested[f] for f, _, _ in cells],
            seeds=[seed] * len(cells),
            teacher_of=[seen.index(s or seen[0]) for _, s, _ in cells],
            device=device,
        )
        own = {s: np.zeros_like(teachers.train[0]) if kernels is None else kernels.teacher(data, s) for s in seen}
        for i, (f, s, w) in enumerate(cells):
            t, row = seen.index(s or seen[0]), {"noise": noise, "keep_fraction": f, "seen": s, "teacher_weight": w}
            row |= data.score(how, students.test[i])
            row |= {f"teacher_{name}": value if s else np.nan for name, value in data.score(how, teachers.test[t]).items()}
            row["teacher_steps"] = int(teachers.steps[t]) if s else 0
            for name, said in (("kernel", own[seen[t]]), ("fed", teachers.train[t])):
                row[name] = np.nan if kernels is None else kernels.error(data, f, said, w)
            rows.append(row)
    return rows


@dataclass(frozen=True, eq=False)
class Kernels:
    """Teachers and students of the limit's tangent kernel on one split, decomposed once for all label noises.

    Attributes
    ----------
    family : Family
        A fully connected one trained by plain descent on squared error.
    to_validation : (v, n) array
        Kernel values of the validation points with the training points.
    nested : mapping from a share to the student of its rows, read at the test points
    """

    family: Family
    to_validation: Array
    nested: Mapping[float, KeptStudent]

    @classmethod
    def of(cls, family: Family, split: Split, nested: Mapping[float, Rows]) -> Kernels:
        """On these rows."""
        X, *new = (family.points(part).astype(np.float64) for part in (split.X, split.X_validation, split.X_test))
        gram, (to_validation, to_test) = ntk(X, depth=family.depth), (ntk(points, X, depth=family.depth) for points in new)
        return cls(family, to_validation, {s: kept_student(gram, to_test, rows) for s, rows in nested.items()})

    def teacher(self, data: Labelled, seen: float) -> Array:
        """Outputs (n, p) of the kernel's teacher, stopped as `teach` stops networks; zero where it is not asked."""
        of, y = self.nested[seen], data.coded(data.y)
        trained = Momentum.following(self.family.recipe, len(of.kept))
        rates = np.asarray(trained.learning_rates)
        ends = (round(len(rates) * look / LOOKS) for look in range(1, LOOKS + 1))
        stops = [replace(trained, learning_rates=rates[:end]) for end in ends]
        to_validation, y_validation = self.to_validation[:, of.kept], data.coded(data.y_validation)
        best = best_filter(of.spectrum, y[of.kept], to_validation, y_validation, stops)
        outputs = np.zeros(y.shape)
        outputs[of.kept] = of.spectrum.fit(best, y[of.kept])
        return outputs

    def error(self, data: Labelled, keep_fraction: float, teacher: Array, teacher_weight: float) -> float:
        """Mean squared error per output at the test points of the student of a teacher."""
        student = self.nested[keep_fraction]
        filter = Momentum.following(self.family.recipe, len(student.kept))
        on_labels, on_teacher = student_pair(student, data.coded(data.y), teacher, filter)
        mix = (1 - teacher_weight) * on_labels + teacher_weight * on_teacher
        return float(np.mean((mix - data.coded(data.split.y_test)) ** 2))


class Cell(NamedTuple):
    """What students cost (`teacher_capacity.cost`) along their teacher's share, of one loss, kept share and weight.

    `place` is the data set and its noise; `seen` the shares, ascending from the student's own; `networks` (S, shares), and
    `kernel` the same of the kernel's students, nan where there are none. Costs are in `unit`.
    """

    place: str
    seen: list[Any]
    networks: Array
    kernel: Array
    unit: str

    def worth(self, at: int = -1) -> Array:
        """By how much a student is better for the teacher of that share than for the one of its own rows, per seed."""
        return np.asarray(self.networks[:, 0] - self.networks[:, at])


def cells_of(rows: list[Row]) -> list[Cell]:
    """From all rows of a loss."""
    cells, names = [], ("data", "noise", "keep_fraction", "teacher_weight")
    for about in dict.fromkeys(tuple(row[name] for name in names) for row in rows if row["seen"]):
        here = rows_where(rows, **dict(zip(names, about, strict=True)))
        seen, seeds = values(here, "seen"), values(here, "seed")
        own = {(row["seed"], row["seen"]): (cost(row), 100 * np.log(float(row.get("kernel", np.nan)))) for row in here}
        both = np.array([[own[seed, s] for s in seen] for seed in seeds])
        place = f"{about[0]}, {float(about[1]):.0%} flipped"
        cells.append(Cell(place, seen, both[..., 0], both[..., 1], "points" if here[0]["loss"] == "cross_entropy" else "%"))
    return cells


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Per loss: whether the error falls with the teacher's share, rises anywhere, and how much half of the rows are worth."""
    found: list[Verdict] = []
    for loss in values(rows, "loss"):
        cells = [cell for cell in cells_of(rows_where(rows, loss=loss)) if cell.seen[-1] == 1]
        end = f"({str(loss).replace('_', '-')})."
        claims = {
            f"At a fixed weight, a teacher of all rows makes a better student than one of the student's rows {end}": _falls,
            f"Nowhere is a student significantly worse for a teacher that has seen the next larger share {end}": _rises,
            f"A teacher of half of the rows is worth more than half of what a teacher of all rows is {end}": _half,
        }
        if loss == "squared":
            claims["Students of the tangent kernel foretell what all rows of a teacher are worth to within 3/2 times."] = (
                _foretold
            )
        seeds = min((len(cell.networks) for cell in cells), default=0)
        why = "one seed has no interval" if cells else "no teacher learned all rows"
        found += [judge(claim, cells, seeds) if seeds > 1 else untold(claim, why) for claim, judge in claims.items()]
    return found


def _by_place(cells: list[Cell]) -> dict[str, list[Cell]]:
    return {place: [cell for cell in cells if cell.place == place] for place in dict.fromkeys(cell.place for cell in cells)}


def _falls(claim: str, cells: list[Cell], seeds: int) -> Verdict:
    found, texts = [], []
    for place, here in _by_place(cells).items():
        each = [cell.worth() for cell in here]
        found.append(contrast([np.mean(each, axis=0)]))
        better = sum(apart.low > 0 for apart in simultaneous(each))
        kernel = np.mean([cell.kernel[:, 0] - cell.kernel[:, -1] for cell in here])
        foretold = "" if np.isnan(kernel) else f" (kernel {kernel:.1f} %)"
        texts.append(f"{place}: better by {written(found[-1], 1)} {here[0].unit}{foretold}, {better} of {len(each)} alone")
    return decided(claim, least(found), 0.0, np.inf, "; ".join(texts), seeds)


def _rises(claim: str, cells: list[Cell], seeds: int) -> Verdict:
    """Every step is looked at, so that the intervals are those that hold together."""
    steps = [step for cell in cells for step in np.diff(cell.networks, axis=1).T]
    together, alone = simultaneous(steps), [contrast([step]) for step in steps]
    rises, chance = sum(each.low > 0 for each in together), sum(each.low > 0 for each in alone)
    effect = (
        f"{rises} of {len(steps)} steps rise significantly, {sum(each.high < 0 for each in together)} fall; with intervals "
    )
    effect += f"for each step by itself {chance} rise, where chance alone makes {0.025 * len(steps):.1f}; the largest rise is "
    effect += f"{max(each.value for each in alone):.2f} {cells[0].unit}"
    return Verdict(claim, "not reproduced" if rises else "reproduced", effect, seeds)


def _half(claim: str, cells: list[Cell], seeds: int) -> Verdict:
    """Where it is not known that all rows are worth something, there is nothing to be divided."""
    found, texts = [], []
    for place, those in _by_place(cells).items():
        here = [cell for cell in those if 0.5 in cell.seen[1:]]
        whole = [cell.worth() for cell in here]
        if here and contrast([np.mean(whole, axis=0)]).low > 0:
            found.append(_ratio([cell.worth(cell.seen.index(0.5)) for cell in here], whole))
            texts.append(f"{place}: {written(found[-1])} of it")
    if not found:
        return untold(claim, "no teacher learned half of the rows, or all rows are not known to be worth something")
    return decided(claim, least(found), 0.5, np.inf, "; ".join(texts), seeds)


def _foretold(claim: str, cells: list[Cell], seeds: int) -> Verdict:
    """The networks' worth over the kernel's, between 2/3 and 3/2 in every place; one place outside is enough to refute."""
    found = {
        place: _ratio([cell.worth() for cell in here], [cell._replace(networks=cell.kernel).worth() for cell in here])
        for place, here in _by_place(cells).items()
        if np.isfinite(here[0].kernel).all()
    }
    if not found:
        return untold(claim, "no kernel was taken")
    effect = "; ".join(f"{place}: {written(each)} times the kernel's" for place, each in found.items())
    outside = [each for each in found.values() if each.high < 2 / 3 or each.low > 3 / 2]
    whole = Estimate(1.0, min(each.low for each in found.values()), max(each.high for each in found.values()))
    return decided(claim, outside[0] if outside else whole, 2 / 3, 3 / 2, effect, seeds)


def _ratio(above: Sequence[Array], below: Sequence[Array]) -> Estimate:
    """Of the means over cells and seeds, by the bootstrap over seeds."""
    means = np.stack([np.mean(above, axis=0), np.mean(below, axis=0)], axis=-1)[:, None]
    return crossed_interval(means, lambda mean: mean[..., 0] / mean[..., 1], rng=np.random.default_rng(0))
