r"""The gap between two rules that select rows shrinks as (1 - w)² under distillation, if all labels are equally noisy.

Rules look at the residuals of a teacher that learned all rows: the hardest are kept, the easiest, or random ones. Students
learn the kept rows with weight w on the teacher. Measured is the error of a rule's students less that of students of random
rows, relative to the same at w = 0. Least squares has this law, and the share below which hard rows lose to random ones, in
closed form (`kdtheory.selection`); networks need not obey.

=================  ===================================================================================================
student "network"  fully connected, NTK parameterisation, output minus initial output, squared loss; the teacher too,
                   stopped on validation labels as noisy as the others
"linear"           least squares with an intercept; of regression data only
"planted"          the same where the theory has to hold: real inputs, and as labels the fit of the real ones plus equal
                   Gaussian noise of their residual variance, drawn many times
=================  ===================================================================================================

Errors are mean squares per output on test points: against true classes where labels were flipped, against the labels of a
regression, against the signal where it was planted. Nothing is tuned on them. All students of a seed share split, noise,
teacher, initialisation and, where they have equal rows, minibatches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from empirical import extra
from empirical.data import Split, load
from empirical.experiments.scores import by_cell, fingerprints, units
from empirical.experiments.verdicts_evidence import contrast, decided, untold, written
from empirical.intervals import Estimate, crossed_interval
from empirical.pruned import Family, Labelled, distil, drawn, teach
from empirical.recipe import Recipe
from empirical.scores import el2n
from empirical.store import Row
from empirical.verdict import Verdict
from kdtheory import selection
from kdtheory.checks import Array
from kdtheory.kept import Rows, kept_count, random_orders
from kdtheory.selection import order_by

with extra():
    import torch

__all__ = ["GRID", "QUICK", "Settings", "fingerprints", "measure", "units", "verdicts"]

RULES = ("hardest", "easiest", "random")
FEW, MANY = 0.15, 0.5  # shares at which hard rows should lose, and win
Errors = dict[tuple[str, float, float], Array]


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    data : tuple of str
        Names that `empirical.data.load` knows, classes or values.
    noises : tuple of floats
        Shares of flipped labels; a regression has none.
    seeds : int
    n, n_validation, n_test : int
        Of each split; a smaller data set is divided in the same proportions.
    keep_fractions, teacher_weights : tuples of floats
        0 must be a weight.
    draws : int
        Of planted labels; and of random rows, for least squares on real ones. A network's seed has one random order of rows.
    width, depth, steps, learning_rate, batch : numbers
        Of the networks; SGD with momentum 0.9 and a cosine.
    """

    data: tuple[str, ...] = ("digits",)
    noises: tuple[float, ...] = (0.0, 0.2)
    seeds: int = 5
    n: int = 3000
    n_validation: int = 1000
    n_test: int = 4000
    keep_fractions: tuple[float, ...] = (0.1, 0.2, 0.3, 0.5, 0.7)
    teacher_weights: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
    draws: int = 200
    width: int = 128
    depth: int = 2
    steps: int = 500
    learning_rate: float = 0.1
    batch: int = 64


GRID = ("data", "noises", "seeds")
QUICK = Settings(seeds=3, keep_fractions=(0.1, 0.5), teacher_weights=(0.0, 0.5, 1.0), draws=20, steps=200)


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    """Errors by student, rule, share and weight; and a row for the teacher, with rule "teacher".

    The teacher's `noisy_scale` is how many times larger its residuals are at flipped labels than at others, root mean square.
    """
    sizes = {name: getattr(settings, name) for name in ("n", "n_validation", "n_test")}
    part, seed = drawn(load(unit["data"]), seed=unit["seed"], **sizes), unit["seed"]
    if part.classes is None and unit["noise"]:
        return []
    data = Labelled.flipped(part, rate=unit["noise"], seed=seed)
    recipe = Recipe(steps=settings.steps, batch=settings.batch, learning_rate=settings.learning_rate)
    how = Family("mlp", settings.width, settings.depth, recipe)
    teacher = teach(how, data, seeds=[seed], device=device)
    size = el2n(teacher.train[0], data.coded(data.y), loss="squared")
    kept = {cell: sets[0] for cell, sets in kept_by(settings, size, seed).items()}
    weights, seen = (
        list(settings.teacher_weights) * len(kept),
        [rows for rows in kept.values() for _ in settings.teacher_weights],
    )
    seeds = [seed] * len(seen)
    students = distil(how, data, teacher.train[0], teacher_weights=weights, rows=seen, seeds=seeds, device=device)
    errors = np.reshape([data.score(how, f)["error"] for f in students.test], (len(kept), -1))
    wrong, squares = data.y != part.y, size**2
    scale = float(np.sqrt(squares[wrong].mean() / squares[~wrong].mean())) if wrong.any() else 1.0
    rows = [{"student": "network", "rule": "teacher", **data.score(how, teacher.test[0]), "noisy_scale": scale}]
    rows += _rows(settings, "network", dict(zip(kept, errors, strict=True)))
    if part.classes is None:
        rows += _rows(settings, "linear", linear(settings, *table(part), np.asarray(part.y_test), seed, settings.draws))
        rows += _rows(settings, "planted", planted(settings, part, seed))
    return rows


def _rows(settings: Settings, student: str, errors: Mapping[tuple[str, float], Array]) -> list[dict[str, Any]]:
    return [
        {"student": student, "rule": rule, "keep_fraction": f, "teacher_weight": w, "error": float(error)}
        for (rule, f), each in errors.items()
        for w, error in zip(settings.teacher_weights, each, strict=True)
    ]


def kept_by(settings: Settings, size: Array, seed: int, sets: int = 1) -> dict[tuple[str, float], list[Rows]]:
    """Rows that each rule keeps at each share, by the size of the teacher's residuals; several random sets."""
    n = len(size)
    orders = {
        "hardest": [order_by(size, seed=seed)],
        "easiest": [order_by(-size, seed=seed)],
        "random": list(random_orders(n, sets, seed)),
    }
    return {(rule, f): [o[: kept_count(f, n)] for o in orders[rule]] for rule in RULES for f in settings.keep_fractions}


def table(part: Split) -> tuple[Array, Array, Array]:
    """Training inputs with an intercept, labels, test inputs."""
    X, X_test = (np.column_stack([np.ones(len(Z)), Z]).astype(np.float64) for Z in (part.X, part.X_test))
    return X, np.asarray(part.y, dtype=np.float64), X_test


def linear(
    settings: Settings, X: Array, y: Array, X_test: Array, truth: Array, seed: int, sets: int = 1
) -> dict[tuple[str, float], Array]:
    """Errors (W,) of least-squares students of the least-squares teacher, which are affine in w."""
    theta, w = np.linalg.lstsq(X, y)[0], np.array(settings.teacher_weights)
    errors = {}
    for cell, chosen in kept_by(settings, np.abs(y - X @ theta), seed, sets).items():
        D = np.array([np.linalg.lstsq(X[rows], y[rows])[0] - theta for rows in chosen])
        f = np.tensordot(X_test, theta[:, None, None] + D.T[..., None] * (1 - w), 1)  # (m, sets, W)
        errors[cell] = np.mean((f - truth[:, None, None]) ** 2, axis=(0, 1))
    return errors


def planted(settings: Settings, part: Split, seed: int) -> dict[tuple[str, float], Array]:
    """Mean errors against the signal over labels that are drawn: the fit of the real ones and noise of its residuals' size."""
    X, y, X_test = table(part)
    theta = np.linalg.lstsq(X, y)[0]
    deviation = np.sqrt(np.sum((y - X @ theta) ** 2) / (len(X) - X.shape[1]))
    rng = np.random.default_rng(seed)
    drawn_labels = X @ theta + deviation * rng.normal(size=(settings.draws, len(X)))
    each = [linear(settings, X, labels, X_test, X_test @ theta, k) for k, labels in enumerate(drawn_labels)]
    return {cell: np.mean([errors[cell] for errors in each], axis=0) for cell in each[0]}


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """The law of the gap and the crossing of hard and random rows, for each data set, label noise and student."""
    found = []
    for student, data in dict.fromkeys((row["student"], row["data"]) for row in rows):
        noises = sorted({float(row["noise"]) for row in rows if (row["student"], row["data"]) == (student, data)})
        cells = {noise: errors_of(rows, student, data, noise) for noise in noises}
        for noise, errors in cells.items():
            where = f" ({student}, {data}{f', {noise:.0%} of the labels flipped' if noise else ''})"
            which, quarter, bounds = "hardest or easiest", "a quarter", (0.1, 0.5)
            if noise:
                which, quarter, bounds = "hardest", "more than a quarter", (0.25, np.inf)
            claim = f"The gap of {which} rows to random ones is at w = 1/2 {quarter} of that at w = 0{where}."
            found.append(_within(claim, errors, ratios(errors, 0.5, which.split(" or ")), *bounds))
            claim = f"Students of the teacher alone are alike: the gap at w = 1 is at most a tenth of that at w = 0{where}."
            found.append(_within(claim, errors, ratios(errors, 1.0), -0.1, 0.1))
            if not noise:
                found.append(_hard_or_random(errors, where))
            elif 0.0 in cells:
                found.append(_moved(cells[0.0], errors, where))
    return found


def errors_of(rows: Sequence[Row], student: str, data: str, noise: float) -> Errors:
    """(rule, kept share, teacher weight) to (S,) errors."""
    here = [row for row in rows if (row["student"], row["data"]) == (student, data) and float(row["noise"]) == noise]
    return by_cell(here, "error", name="rule")


def gap(errors: Errors, rule: str, f: float, w: float) -> Array:
    """Error of a rule's student less that of random rows', by seed."""
    return np.asarray(errors[rule, f, w] - errors["random", f, w])


def ratios(errors: Errors, w: float, rules: Sequence[str] = RULES[:2]) -> dict[tuple[str, float], Estimate]:
    """Gap at a weight relative to that at 0, by rule and share, wherever the interval of the latter excludes zero."""
    found = {}
    for rule in rules:
        for f in shares_of(errors):
            if (rule, f, w) in errors and 0 not in contrast([without := gap(errors, rule, f, 0.0)]):
                pair = np.stack([gap(errors, rule, f, w), without], axis=-1)[:, None]
                rng = np.random.default_rng(0)
                found[rule, f] = crossed_interval(pair, lambda mean: mean[..., 0] / mean[..., 1], rng=rng)
    return found


def shares_of(errors: Errors) -> list[float]:
    """Kept shares, ascending."""
    return sorted({f for _, f, _ in errors})


def crossing(errors: Errors, before: Errors | None = None) -> Estimate:
    """Share from which on hard rows beat random ones at w = 0, by interpolated logarithms of mean errors; less that before.

    It is 0 where they win at every share, and 1, where both are all rows, if they lose at the last.
    """
    shares = shares_of(errors)
    tables = [
        np.stack([of[rule, f, 0.0] for rule in ("hardest", "random") for f in shares], -1) for of in (errors, before) if of
    ]

    def at(mean: Array) -> Array:
        lead = np.log(mean[..., : len(shares)] / mean[..., len(shares) :])
        last = len(shares) - 1 - np.argmax(lead[..., ::-1] > 0, axis=-1)[..., None]  # where hard rows lose for the last time
        f, ends = np.array([*shares, 1.0]), np.concatenate([lead, np.zeros_like(lead[..., :1])], axis=-1)
        above, below = np.take_along_axis(ends, last, -1), np.take_along_axis(ends, last + 1, -1)
        crossed = f[last] + (f[last + 1] - f[last]) * above / (above - below)
        return np.where((lead > 0).any(axis=-1), crossed[..., 0], 0.0)

    def of(mean: Array) -> Array:
        first, *second = np.split(mean, len(tables), axis=-1)
        return at(first) - sum(at(each) for each in second)

    least, means = 0.0 if before is None else -1.0, np.concatenate(tables, axis=-1)
    if len(means) < 2:
        return Estimate(float(of(means[0])), least, 1.0)  # one seed does not tell how seeds differ
    found = crossed_interval(means[:, None], of, rng=np.random.default_rng(0))
    return replace(found, low=max(found.low, least), high=min(found.high, 1.0))


def _within(claim: str, errors: Errors, found: Mapping[tuple[str, float], Estimate], low: float, high: float) -> Verdict:
    """Whether most of these lie between two bounds and none certainly not."""
    if not found:
        return untold(claim, "no gap at w = 0 is beyond its noise")
    inside = [low <= each.low and each.high <= high for each in found.values()]
    outcome = "reproduced" if np.mean(inside) > 0.5 else "not testable here"
    if any(each.high < low or each.low > high for each in found.values()):
        outcome = "not reproduced"
    listed = ", ".join(f"{rule} at {f:g} {written(each)}" for (rule, f), each in found.items())
    told = f"{sum(inside)} of {len(inside)} intervals lie within {low:g} and {high:g}: {listed}"
    return Verdict(claim, outcome, told, _seeds(errors))


def _hard_or_random(errors: Errors, where: str) -> Verdict:
    claim = f"Without distillation hard rows lose to random ones where at most 0.15 are kept, and win from 0.5 on{where}."
    leads = {f: contrast([np.log(errors["random", f, 0.0] / errors["hardest", f, 0.0])]) for f in shares_of(errors)}
    right = [lead.high < 0 if f <= FEW else lead.low > 0 for f, lead in leads.items() if f <= FEW or f >= MANY]
    wrong = [lead.low > 0 if f <= FEW else lead.high < 0 for f, lead in leads.items() if f <= FEW or f >= MANY]
    if not right:
        return untold(claim, "no such share")
    outcome = "reproduced" if all(right) else "not reproduced" if any(wrong) else "not testable here"
    listed = ", ".join(f"{1 - np.exp(-lead.value):+.0%} at {f:g}" for f, lead in leads.items())
    effect = f"they cross at {crossing(errors)}, in theory at {selection.crossing():.2f}; error saved by hard rows {listed}"
    return Verdict(claim, outcome, effect, _seeds(errors))


def _moved(clean: Errors, noisy: Errors, where: str) -> Verdict:
    claim = f"Flipped labels move the crossing of hard and random rows upwards{where}."
    if shares_of(clean) != shares_of(noisy) or _seeds(clean) != _seeds(noisy):
        return untold(claim, "shares or seeds differ from those without label noise")
    if crossing(clean).value == 1:
        return untold(claim, "hard rows lose at every share without label noise already")
    effect = f"from {crossing(clean)} to {crossing(noisy)}, by {(moved := crossing(noisy, clean))}"
    return decided(claim, moved, np.nextafter(0, 1), np.inf, effect, _seeds(noisy))


def _seeds(errors: Errors) -> int:
    return len(next(iter(errors.values())))
