r"""With distillation random rows do as well as the rows that any score picks, where few are kept; hard rows catch up at half.

A teacher learns all rows, one scoring run of further networks ranks them for all shares at once, and students learn what each
method keeps, from the labels alone or from labels and teacher: methods by kept share by teacher weight, without and with label
noise, which the scores see as the students do. All students of a seed share split, noise, teacher, initialisation and, where
they have equal rows, minibatches. Small convolutional network, cross-entropy with temperature; kept rows are not balanced over
classes but where it is said. Nothing is tuned: the teacher alone is stopped on validation labels, as noisy as the others.

Measured: accuracy and error on test points with true labels, never used for anything else; the share of wrong labels and the
number of classes that are missing among the kept rows; rank correlations of the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import spearmanr

import kdtheory as kd
from empirical import extra
from empirical.coverage import features, herding, k_center, moderate, prototypes
from empirical.data import load
from empirical.dynamics import score_run
from empirical.experiments.verdicts_evidence import contrast, decided, untold, written
from empirical.intervals import Estimate
from empirical.memorisation import memorisation
from empirical.pruned import Family, Labelled, distil, drawn, teach
from empirical.recipe import Recipe
from empirical.scores import kernel_leverage
from empirical.store import Row
from empirical.subsets import nested
from empirical.verdict import Verdict
from kdtheory.checks import Array
from kdtheory.kept import Rows, kept_count
from kdtheory.selection import kept_noise_share

with extra():
    import torch

__all__ = ["GRID", "QUICK", "Settings", "fingerprints", "measure", "units", "verdicts"]

#: Methods that read a score otherwise than "the highest are kept, whatever their class".
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "el2n_easy": ("el2n", {"keep": "easy"}),
    "el2n_balanced": ("el2n", {"balanced": True}),
    "ccs": ("aum", {"keep": "stratified", "drop_hardest": 0.1}),
    "prototypes_easy": ("prototypes", {"keep": "easy"}),
}
ORDERS = ("herding", "k_center")  # greedy, no scores of points
#: Of the network's doubts about a point or its label, high first.
HARD = ("el2n", "grand", "loss", "forgetting", "aum", "margin", "least_confidence", "entropy")
Cells = dict[tuple[str, float, float], Array]
FEW, HALF = 0.25, 0.5  # small shares are below the first


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    data : tuple of str
        Names that `empirical.data.load` knows; a regression has no classes and is passed over.
    noises : tuple of floats
        Shares of flipped labels.
    seeds : int
    methods, methods_elsewhere : tuples of str
        On digits, and on data that cost more.
    n, n_validation, n_test : int
        Of each split; a smaller data set is divided in the same proportions.
    keep_fractions, teacher_weights : tuples of floats
    networks, subset_networks : int
        Of the scoring run, and for memorisation, on 70 % of the rows each.
    el2n_epoch, grand_epoch : int
        Epochs after which these are taken; what networks are unsure of is after the last one.
    leverage_ridge : float
        Per row, of the tangent kernel of one hidden layer.
    width, depth, steps, learning_rate, batch, temperature : numbers
        Of teachers, students and scoring networks alike; Adam with a cosine.
    """

    data: tuple[str, ...] = ("digits",)
    noises: tuple[float, ...] = (0.0, 0.2)
    seeds: int = 5
    methods: tuple[str, ...] = (
        *("random", "input_norm", "grand_at_init", *HARD, "memorisation", "leverage", "moderate", "prototypes"),
        *(*ORDERS, *VARIANTS),
    )
    methods_elsewhere: tuple[str, ...] = ("random", "el2n", "k_center", "moderate", "ccs")
    n: int = 3000
    n_validation: int = 1000
    n_test: int = 4000
    keep_fractions: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5)
    teacher_weights: tuple[float, ...] = (0.0, 0.5)
    networks: int = 6
    subset_networks: int = 12
    el2n_epoch: int = 2
    grand_epoch: int = 1
    leverage_ridge: float = 0.01
    width: int = 12
    depth: int = 2
    steps: int = 500
    learning_rate: float = 2e-3
    batch: int = 32
    temperature: float = 4.0


GRID = ("data", "noises", "seeds")
QUICK = Settings(seeds=2, methods=("random", "el2n", "aum", "ccs"), keep_fractions=(0.1, 0.5), networks=3, steps=200)


def units(settings: Settings) -> list[dict[str, Any]]:
    """One unit per data set, label noise and seed: all that is compared on it."""
    return [
        {"data": data, "noise": noise, "seed": seed}
        for data in settings.data
        for noise in settings.noises
        for seed in range(settings.seeds)
    ]


def fingerprints(settings: Settings) -> dict[str, str]:
    """Of the data sets."""
    return {name: load(name).fingerprint for name in settings.data}


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    """Rows with a `teacher_weight` are students; rows with an `other` are pairs of scores; and one is the teacher.

    `error` is the mean squared error of the probabilities per class, `kept_noise` the share of wrong labels among the kept
    rows, `classes_lost` how many classes are missing there, by their labels as they are seen.
    """
    sizes = {name: getattr(settings, name) for name in ("n", "n_validation", "n_test")}
    part, seed = drawn(load(unit["data"]), seed=unit["seed"], **sizes), unit["seed"]
    if part.classes is None:
        return []
    data = Labelled.flipped(part, rate=unit["noise"], seed=seed)
    shared: dict[str, Any] = {name: getattr(settings, name) for name in ("steps", "batch", "learning_rate", "temperature")}
    recipe = Recipe(optimiser="adam", loss="cross_entropy", **shared)
    how = Family("cnn" if part.X.ndim == 4 else "mlp", settings.width, settings.depth, recipe)
    teacher = teach(how, data, seeds=[seed], device=device)
    methods = settings.methods if unit["data"] == "digits" else settings.methods_elsewhere
    scored = scores_of(settings, how, data, {VARIANTS.get(m, (m,))[0] for m in methods}, seed, device)
    kept = {m: rows_of(settings, m, scored, data.y, seed) for m in methods}
    cells = [(m, k, w) for m in methods for k in range(len(settings.keep_fractions)) for w in settings.teacher_weights]
    seen, weights, seeds = [kept[m][k] for m, k, _ in cells], [w for *_, w in cells], [seed] * len(cells)
    students = distil(how, data, teacher.train[0], teacher_weights=weights, rows=seen, seeds=seeds, device=device)
    rows: list[dict[str, Any]] = []
    for (m, k, w), f in zip(cells, students.test, strict=True):
        lost = part.classes - len(np.unique(data.y[kept[m][k]]))
        cell = {"method": m, "keep_fraction": settings.keep_fractions[k], "teacher_weight": w, **data.score(how, f)}
        rows.append(cell | {"kept_noise": float((data.y != part.y)[kept[m][k]].mean()), "classes_lost": lost})
    pairs = combinations((m for m in methods if m in scored and m not in ("random", *ORDERS)), 2)
    rows += [{"method": a, "other": b, "rank_correlation": float(spearmanr(scored[a], scored[b])[0])} for a, b in pairs]
    return [*rows, {"method": "teacher", **data.score(how, teacher.test[0])}]


def scores_of(
    settings: Settings, how: Family, data: Labelled, names: set[str], seed: int, device: torch.device
) -> dict[str, Array]:
    """All of these scores: from one run of further networks, and what needs others or none."""
    X, y = how.points(data.split.X), data.y

    def networks(members: int, role: int) -> Any:
        return how.stack(X.shape[1:], data.outputs, members=members, seed=[seed, role], device=device)

    epochs: dict[str, Any] = {"el2n_epoch": settings.el2n_epoch, "grand_epoch": settings.grand_epoch}
    run = score_run(networks(settings.networks, 2), X, y, recipe=how.recipe, seed=seed, **epochs)
    found = {name: run[name] for name in names & set(run)}
    if names - set(run) - {"memorisation", "leverage"}:
        of_networks, most = features(run.model, X), kept_count(max(settings.keep_fractions), len(X))
        phi = np.hstack(list(of_networks[: max(1, len(X) // of_networks.shape[-1])]))  # no more features than rows
        further: dict[str, Any] = {
            "herding": lambda: herding(phi, count=most),
            "k_center": lambda: k_center(phi, count=most),
            "moderate": lambda: moderate(phi, y),
            "prototypes": lambda: prototypes(phi, clusters=data.outputs, seed=seed),
        }
        found |= {name: score() for name, score in further.items() if name in names}
    if "memorisation" in names:
        found["memorisation"] = memorisation(networks(settings.subset_networks, 3), X, y, recipe=how.recipe, seed=seed)
    if "leverage" in names:
        gram = kd.kernels.ntk(X.reshape(len(X), -1).astype(np.float64), depth=1)
        found["leverage"] = kernel_leverage(gram, ridge=settings.leverage_ridge * len(X))
    if unknown := names - set(found):
        raise ValueError(f"`methods` must be scores that are known here, got {', '.join(sorted(unknown))}.")
    return found


def rows_of(settings: Settings, method: str, scored: Mapping[str, Array], y: NDArray[Any], seed: int) -> list[Rows]:
    """What a method keeps at every share."""
    name, how = VARIANTS.get(method, (method, {}))
    usual: dict[str, Any] = {"balanced": False, "lost_classes": "allow", "classes": y, "seed": seed}
    return nested(scored[name], settings.keep_fractions, **usual | how)


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """What holds on each data set, without and with label noise; differences are paired by seed, in points of accuracy."""
    found: list[Verdict] = []
    for data, noise in sorted({(row["data"], float(row["noise"])) for row in rows}):
        here = [row for row in rows if row["data"] == data and float(row["noise"]) == noise]
        where = f" ({data}, {f'{noise:.0%} of the labels flipped' if noise else 'clean labels'})"
        found += _students(by_cell(here, "accuracy"), where) + _scores(here, noise, where)
    return found


def by_cell(rows: Sequence[Row], column: str, *, name: str = "method") -> Cells:
    """One number of every student: (method, kept share, teacher weight) to (S,) values, seeds in order."""
    seeds = sorted({int(row["seed"]) for row in rows})
    cells: dict[Any, dict[int, float]] = {}
    for row in rows:
        if "teacher_weight" in row:
            key = str(row[name]), float(row["keep_fraction"]), float(row["teacher_weight"])
            cells.setdefault(key, {})[int(row["seed"])] = float(row[column])
    return {key: np.array([of[s] for s in seeds]) for key, of in cells.items() if len(of) == len(seeds)}


def _students(accuracy: Cells, where: str) -> list[Verdict]:
    methods = list(dict.fromkeys(m for m, *_ in accuracy))
    hard = [m for m in methods if m in HARD]
    shares, weights = sorted({f for _, f, _ in accuracy}), sorted({w for *_, w in accuracy})
    few = [f for f in shares if f < FEW]
    claims = [
        f"With distillation no score beats random rows by over a point, on the mean of all shares below {FEW:g}{where}.",
        f"Distillation helps hard rows more than random ones at these shares{where}.",
        f"It does not lift hard rows up to random ones there{where}.",
        f"At half of the rows, hard rows with distillation are at most a point worse than random ones with it{where}.",
        f"Distillation helps at every share, on the mean of all methods{where}.",
    ]
    if "random" not in methods or not hard or not few or HALF not in shares or len(weights) < 2 or weights[0] != 0:
        return [
            untold(claim, "no random or hard rows at small shares and half, with and without a teacher") for claim in claims
        ]
    taught, seeds, points = weights[-1], len(next(iter(accuracy.values()))), partial(written, digits=1, unit=" points")

    def mean(names: Sequence[str], w: float, among: Sequence[float]) -> Array:
        return np.asarray(100 * np.mean([accuracy[m, f, w] for m in names for f in among], axis=0))

    def gain(names: Sequence[str], among: Sequence[float]) -> Array:
        return np.asarray(mean(names, taught, among) - mean(names, 0.0, among))

    def lead(names: Sequence[str], among: Sequence[float]) -> Estimate:
        return contrast([mean(names, taught, among) - mean(["random"], taught, among)])

    leads = {m: lead([m], few) for m in methods if m != "random"}
    better, worse = ([m for m, each in leads.items() if sign * each.value > 0 and 0 not in each] for sign in (1, -1))
    best, most = max(leads, key=lambda m: leads[m].value), max(each.high for each in leads.values())
    wider = stdtrit(seeds - 1, 1 - 0.025 / len(leads)) / stdtrit(seeds - 1, 0.975)  # for as many scores (Bonferroni)
    clearly = [m for m, each in leads.items() if each.value - wider * (each.value - each.low) > 1]
    outcome = "not reproduced" if clearly else "reproduced" if most <= 1 else "not testable here"
    effect = f"best is {best}, {points(leads[best])} over random; of {len(leads)} scores {len(worse)} are worse, better: "
    effect += (
        f"{', '.join(better) or 'none'}; by an interval for as many comparisons and a point: {', '.join(clearly) or 'none'}"
    )
    on_hard, on_random = gain(hard, few), gain(["random"], few)
    of_hard, of_random, more = (contrast([each]) for each in (on_hard, on_random, on_hard - on_random))
    gains = f"gain {points(of_hard)} on hard rows, {points(of_random)} on random ones"
    short, half, over = lead(hard, few), lead(hard, [HALF]), f"over random, mean of {', '.join(hard)}"
    by_share = {f: contrast([gain(methods, [f])]) for f in shares}
    least = min(by_share, key=lambda f: by_share[f].low)
    each = [contrast([gain([m], [f])]) for m in methods for f in shares]
    up, down = (sum(sign * one.value > 0 and 0 not in one for one in each) for sign in (1, -1))
    cells = f"least at {least:g}, {points(by_share[least])}; of {len(each)} cells {up} gain and {down} lose"
    return [
        Verdict(claims[0], outcome, effect, seeds),
        decided(claims[1], more, 0.0, np.inf, f"{gains}, difference {points(more)}", seeds),
        decided(claims[2], short, -np.inf, 0.0, f"{points(short)} {over}", seeds),
        decided(claims[3], half, -1.0, np.inf, f"{points(half)} {over}", seeds),
        decided(claims[4], by_share[least], 0.0, np.inf, cells, seeds),
    ]


def _scores(rows: Sequence[Row], noise: float, where: str) -> list[Verdict]:
    seeds, found = len({int(row["seed"]) for row in rows}), []
    pairs: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if "rank_correlation" in row:
            pairs.setdefault((str(row["method"]), str(row["other"])), []).append(float(row["rank_correlation"]))
    ranks = {pair: contrast([values]) for pair, values in pairs.items()}
    for names, least in (({"el2n", "grand", "loss", "margin"}, 0.9), ({"grand_at_init", "input_norm"}, 0.8)):
        alike = {pair: rank for pair, rank in ranks.items() if set(pair) <= names}
        if alike:
            worst, rank = min(alike.items(), key=lambda item: item[1].value)
            claim = f"Every two of {', '.join(sorted(names))} rank rows alike, Spearman's correlation at least {least}{where}."
            found.append(decided(claim, rank, least, 1.0, f"least alike: {' and '.join(worst)}, {written(rank)}", seeds))
    kept = {f: share for (m, f, w), share in by_cell(rows, "kept_noise").items() if m == "el2n" and w == 0}
    if noise and kept:
        away = {f: contrast([share - kept_noise_share(f, noisy_share=noise)]) for f, share in kept.items()}
        worst_share = max(away, key=lambda f: abs(away[f].value))
        claim = f"Of the rows that EL2N keeps a share min(1, noise / kept share) is wrong, to within 0.1{where}."
        effect = f"farthest at {worst_share:g}: {kept[worst_share].mean():.2f}, difference {written(away[worst_share])}"
        found.append(decided(claim, away[worst_share], -0.1, 0.1, effect, seeds))
    return found
