r"""Small teachers for few rows: the best capacity of a teacher rises with the share of the rows that its student keeps.

Ben-Baruch et al. (2025, arXiv:2403.07854) report that where little is kept larger teachers lower the accuracy, and that ones
smaller than the student may raise it; linear theory has the best capacity rise with the kept share
(`kdtheory.teacher_capacity`). Teachers of several widths learn all rows, stopped where their loss on the validation labels is
least; a teacher of the student's width is also taken early in its training. All students have one width: kept share by
teacher weight by teacher, those of a seed with one split, nested subsets, one initialisation and the same minibatches.

Measured: error and accuracy on test points with true labels, never used for anything else. "Worse" is lost accuracy in points
for the cross-entropy, as the paper has it, and mean squared error in per cent for the squared loss, as the theory has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from empirical import extra
from empirical.data import Dataset, load
from empirical.ensembles import fit
from empirical.experiments import weight_vs_fraction
from empirical.experiments.verdicts_evidence import contrast, decided, rows_where, untold, values, written
from empirical.experiments.weight_vs_fraction import GRID, TRIAL_SHARE, family, fingerprints
from empirical.experiments.weight_vs_fraction import by_seed as units
from empirical.intervals import Estimate
from empirical.pruned import TEACHER, Family, Labelled, Predictions, distil, drawn, initial, minibatch_seeds, teach
from empirical.store import Row
from empirical.verdict import Verdict
from kdtheory.checks import Array
from kdtheory.kept import kept_count, random_orders

with extra():
    import torch

__all__ = ["GRID", "QUICK", "TRIAL_SHARE", "Settings", "fingerprints", "lesser", "measure", "trial", "units", "verdicts"]

FEW = 0.1  # kept shares up to this are "where little is kept"


@dataclass(frozen=True)
class Settings(weight_vs_fraction.Settings):
    """Parameters of the experiment: those of `weight_vs_fraction`, with other defaults, and some more.

    Attributes
    ----------
    teacher_weights : tuple of floats
        Beside 0, the student without a teacher.
    mlp_width, cnn_width : int
        Of the student.
    mlp_teacher_widths, cnn_teacher_widths : tuples of ints
        The student's must be among them.
    mlp_teacher_steps, cnn_teacher_steps : int
        Budget within which teachers are stopped.
    early : tuple of floats
        Shares of that budget after which the teacher of the student's width is taken too, for students of few rows.
    side : int
        Images are halved by means of 2 × 2 pixels until no side is longer. Not run: 28 × 28, which takes five times as long.
    """

    seeds: int = 8
    noises: tuple[float, ...] = (0.0,)
    keep_fractions: tuple[float, ...] = (0.05, 0.1, 0.25, 1.0)
    teacher_weights: tuple[float, ...] = (0.5, 1.0)
    mlp_width: int = 64
    mlp_teacher_widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    cnn_teacher_widths: tuple[int, ...] = (2, 4, 8, 12, 24, 32)
    mlp_teacher_steps: int = 1000
    cnn_teacher_steps: int = 1000
    early: tuple[float, ...] = (0.02, 0.05, 0.2)
    side: int = 14


QUICK = Settings(seeds=2, keep_fractions=(0.05, 1.0), mlp_teacher_widths=(8, 64, 256), cnn_teacher_widths=(4, 12, 32))


def trial(settings: Settings) -> Settings:
    """A share of the steps, to tell how long all of them will take."""
    names = ("mlp_steps", "cnn_steps", "mlp_teacher_steps", "cnn_teacher_steps")
    return replace(settings, **{name: max(1, round(TRIAL_SHARE * getattr(settings, name))) for name in names})


@dataclass(frozen=True, eq=False)
class Taught:
    """A teacher: its width, the step at which it was stopped, whether early, its outputs (n, p) and its scores."""

    width: int
    steps: int
    early: bool
    outputs: NDArray[np.float32]
    scores: dict[str, float]


def lesser(dataset: Dataset, side: int) -> Dataset:
    """Images halved by means of 2 × 2 pixels until no side is longer than this; other points as they are."""
    if dataset.X.ndim != 4 or max(dataset.X.shape[2:]) <= side or any(s % 2 for s in dataset.X.shape[2:]):
        return dataset
    X, X_test = (
        None if X is None else (X[..., ::2, ::2] + X[..., ::2, 1::2] + X[..., 1::2, ::2] + X[..., 1::2, 1::2]) / 4
        for X in (dataset.X, dataset.X_test)
    )
    return lesser(replace(dataset, X=X, X_test=X_test), side)  # type: ignore[arg-type]  # X is there


def teachers(settings: Settings, student: Family, data: Labelled, seed: int, device: torch.device) -> list[Taught]:
    """One of each width, stopped on the validation labels, then the early ones."""
    widths, steps = (getattr(settings, f"{student.network}_teacher_{what}") for what in ("widths", "steps"))
    of_width = replace(student, recipe=replace(student.recipe, steps=steps))
    found = []
    for width in widths:
        best = teach(how := replace(of_width, width=width), data, seeds=[seed], device=device)
        found.append(Taught(width, int(best.steps[0]), False, best.train[0], data.score(how, best.test[0])))

    def take(step: int, part: torch.nn.Module, members: NDArray[np.intp]) -> None:
        f = Predictions.of(part, of_width, data.split, np.full(len(members), step))
        found.append(Taught(of_width.width, step, True, f.train[0], data.score(of_width, f.test[0])))

    fit(
        initial(of_width, data, [seed], role=TEACHER, device=device),
        of_width.points(data.split.X),
        data.for_loss(data.y, of_width.recipe.loss),
        recipe=of_width.recipe,
        seeds=minibatch_seeds([seed], TEACHER),
        at=[max(1, round(share * steps)) for share in settings.early],
        watch=take,
    )
    return found


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    r"""One split: every student's error and accuracy.

    Columns: `noise`, `keep_fraction`; `teacher`, which is "none", "width 12" or "step 50"; `student_width`, `teacher_width`,
    `teacher_steps`, zero without a teacher; `teacher_weight`; `error`, the mean squared error per output on the test points
    (of probabilities if the loss is cross-entropy), and `accuracy`; `teacher_error` and `teacher_accuracy`, nan without one.
    """
    seed = unit["seed"]
    dataset = lesser(load(unit["data"]), settings.side)
    part = drawn(dataset, n=settings.n, n_validation=settings.n_validation, n_test=settings.n_test, seed=seed)
    if part.classes is None and unit["loss"] != "squared":
        return []  # a regression has no classes
    how = family(settings, unit["loss"], images=part.X.ndim == 4)
    order = random_orders(len(part.X), 1, seed)[0]
    kept = {f: order[: kept_count(f, len(order))] for f in settings.keep_fractions}
    rows: list[dict[str, Any]] = []
    for noise in settings.noises if part.classes else settings.noises[:1]:
        data = Labelled.flipped(part, rate=noise, seed=seed)
        taught = teachers(settings, how, data, seed, device)
        pairs = [(f, t) for f in settings.keep_fractions for t in range(len(taught)) if f <= FEW or not taught[t].early]
        cells = [(f, t, w) for f, t in pairs for w in settings.teacher_weights]
        cells += [(f, -1, 0.0) for f in settings.keep_fractions]
        students = distil(
            how,
            data,
            np.stack([teacher.outputs for teacher in taught]),
            teacher_weights=[w for _, _, w in cells],
            rows=[kept[f] for f, _, _ in cells],
            seeds=[seed] * len(cells),
            teacher_of=[max(t, 0) for _, t, _ in cells],
            device=device,
        )
        for (f, t, w), outputs in zip(cells, students.test, strict=True):
            here = {"noise": noise, "keep_fraction": f, **_of_teacher(taught[t] if w else None), "student_width": how.width}
            rows.append(here | {"teacher_weight": w} | data.score(how, outputs))
    return rows


def _of_teacher(teacher: Taught | None) -> dict[str, Any]:
    if teacher is None:
        return {"teacher": "none", "teacher_width": 0, "teacher_steps": 0, "teacher_error": np.nan, "teacher_accuracy": np.nan}
    name = f"step {teacher.steps}" if teacher.early else f"width {teacher.width}"
    scores = {f"teacher_{name}": value for name, value in teacher.scores.items()}
    return {"teacher": name, "teacher_width": teacher.width, "teacher_steps": teacher.steps, **scores}


def cost(row: Row) -> float:
    """What "worse" counts: lost accuracy in points, or 100 log error, whose differences are per cent."""
    return 100 * (1 - float(row["accuracy"])) if row["loss"] == "cross_entropy" else 100 * float(np.log(float(row["error"])))


def costs(rows: Iterable[Row], **conditions: Any) -> Array:
    """Of the students whose columns have these values, by seed."""
    return np.array([cost(row) for row in sorted(rows_where(rows, **conditions), key=lambda row: float(row["seed"]))])


def simultaneous(differences: Sequence[ArrayLike]) -> list[Estimate]:
    r"""Means of k rows of paired differences (S,) with t-intervals that hold together with 95 %: each at 1 - 0.05/k.

    Examples
    --------
    >>> alone, among_ten = simultaneous([[1.0, 2.0, 3.0]])[0], simultaneous([[1.0, 2.0, 3.0]] * 10)[0]
    >>> round(alone.width, 2), round(among_ten.width, 2)
    (4.97, 16.27)
    """
    found, tail = [], 0.025 / len(differences)
    for d in (np.asarray(each, dtype=np.float64) for each in differences):
        half = float(stdtrit(len(d) - 1, 1 - tail) * d.std(ddof=1) / np.sqrt(len(d)))
        found.append(Estimate(float(d.mean()), float(d.mean()) - half, float(d.mean()) + half))
    return found


def least(found: Sequence[Estimate]) -> Estimate:
    """The least of several numbers: an interval for it, if theirs hold together."""
    return Estimate(*(min(getattr(each, end) for each in found) for end in ("value", "low", "high")))


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Per loss: whether large teachers harm students of few rows, smaller or early ones help, and the best width rises."""
    found: list[Verdict] = []
    for loss in values(rows, "loss"):
        of_loss = rows_where(rows, loss=loss)
        places = {name: rows_where(of_loss, data=name) for name in values(of_loss, "data")}
        seeds = min(len(values(here, "seed")) for here in places.values())
        start, end = "Where at most a tenth is kept,", f"({str(loss).replace('_', '-')})."
        few = {
            "largest": f"{start} the largest teacher makes a worse student than a teacher of the student's width {end}",
            "smaller": f"{start} some teacher smaller than the student makes a better one than a teacher of its width {end}",
            "early": f"{start} some early teacher makes a better student than the same one stopped by validation {end}",
        }
        rise = f"The best width of a teacher is larger where most is kept than where least is {end}"
        if seeds < 2:
            found += [untold(claim, "one seed has no interval") for claim in (*few.values(), rise)]
            continue
        found += [_few(claim, kind, places, seeds) for kind, claim in few.items()]
        found.append(_best_width(rise, places, seeds))
    return found


def _which(rows: list[Row], kind: str) -> list[str]:
    """Names of the teachers of a kind."""
    named, own = {str(row["teacher"]): int(row["teacher_width"]) for row in rows}, int(rows[0]["student_width"])
    widths = sorted((width, name) for name, width in named.items() if name.startswith("width"))
    return {
        "widths": [name for _, name in widths],
        "largest": [name for width, name in widths[-1:] if width > own],
        "smaller": [name for width, name in widths if width < own],
        "early": [name for name in named if name.startswith("step")],
    }[kind]


def _few(claim: str, kind: str, places: dict[str, list[Row]], seeds: int) -> Verdict:
    """Teachers of a kind against the one of the student's width, where little is kept: all cells at once."""
    each: dict[tuple[str, str, Any, Any], Array] = {}
    for place, rows in places.items():
        for f in (f for f in values(rows, "keep_fraction") if f <= FEW):
            for w in values(rows, "teacher_weight")[1:]:
                here: dict[str, Any] = {"keep_fraction": f, "teacher_weight": w}
                own = costs(rows, teacher=f"width {rows[0]['student_width']}", **here)
                each |= {(place, t, f, w): costs(rows, teacher=t, **here) - own for t in _which(rows, kind)}
    if not each:
        return untold(claim, "the table has no such teacher, or no share up to a tenth")
    found, means, texts = dict(zip(each, simultaneous(list(each.values())), strict=True)), [], []
    for place in dict.fromkeys(cell[0] for cell in each):
        cells = [cell for cell in each if cell[0] == place]
        unit = "points" if places[place][0]["loss"] == "cross_entropy" else "%"
        _, teacher, f, w = cell = sorted(cells, key=lambda cell: found[cell].value)[-1 if kind == "largest" else 0]
        means.append(contrast([np.mean([each[cell] for cell in cells], axis=0)]))
        better, harm = sum(found[cell].high < 0 for cell in cells), sum(found[cell].low > 0 for cell in cells)
        text = f"{place}: worse by {written(means[-1])} {unit} in the mean; " if kind == "largest" else f"{place}: "
        which = "worst" if kind == "largest" else "best"
        text += f"of {len(cells)} students {better} significantly better, {harm} worse; the {which} of them, "
        texts.append(f"{text}{teacher} at {f:g} kept and weight {w:g}, is worse by {written(found[cell])} {unit}")
    if kind == "largest":
        return decided(claim, least(means), 0.0, np.inf, "; ".join(texts), seeds)
    return decided(claim, least(list(found.values())), -np.inf, 0.0, "; ".join(texts), seeds)


def best_width(costs_of: Array, widths: Sequence[int]) -> Array:
    """log2 of the width of least cost (S, k), the mean of equals, per seed.

    Examples
    --------
    >>> best_width(np.array([[3.0, 1.0, 2.0], [1.0, 2.0, 1.0]]), [2, 4, 8])
    array([2., 2.])
    """
    lowest = costs_of <= costs_of.min(axis=1, keepdims=True)
    return np.asarray((lowest * np.log2(widths)).sum(axis=1) / lowest.sum(axis=1))


def _best_width(claim: str, places: dict[str, list[Row]], seeds: int) -> Verdict:
    """The refutation criterion of docs/pruning.md; the mean over weights."""
    rises, texts = [], []
    for place, rows in places.items():
        names, shares = _which(rows, "widths"), values(rows, "keep_fraction")
        widths, best = [int(name.split()[1]) for name in names], []
        for f in (shares[0], shares[-1]):
            at = (
                [costs(rows, teacher=name, keep_fraction=f, teacher_weight=w) for name in names]
                for w in values(rows, "teacher_weight")[1:]
            )
            best.append(np.mean([best_width(np.transpose(of_weight), widths) for of_weight in at], axis=0))
        rises.append(contrast([best[1] - best[0]]))
        means = ", ".join(f"{2 ** b.mean():.1f} at {f:g} kept" for b, f in zip(best, (shares[0], shares[-1]), strict=True))
        texts.append(f"{place}: width {means}, {written(rises[-1])} doublings more")
    return decided(claim, least(rises), 0.0, np.inf, "; ".join(texts), seeds)
