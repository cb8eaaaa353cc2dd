"""A teacher weight for practitioners: train two students, one on labels and one on the teacher, and ask which mix is best.

``python -m empirical suggest-weight --predictions FILE.npz --labels-are clean`` prints it with an interval, what it should
gain, whether to trust it and what to do next. On what scale predictions are mixed, and how well that holds for networks
trained on cross-entropy, is said in `empirical.cross_entropy`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from empirical.criteria import Criterion, by_cross_entropy, by_squared_error, scale_free
from empirical.cross_entropy import crossing
from empirical.held_out import KINDS, HeldOut, read_array, read_predictions
from empirical.intervals import DRAWS, Estimate, crossed_interval
from empirical.pairs import identifiability, moments
from empirical.rules import Optimum, doubts, optimal_weights, require_labels_are
from empirical.suggestion import Suggestion, in_words, next_step, what_speaks_against
from kdtheory.checks import Array

__all__ = ["add_arguments", "run", "suggest_weight"]

FOLDS = 10
LOSSES = ("squared", "cross_entropy")


def suggest_weight(
    on_labels: ArrayLike,
    on_teacher: ArrayLike,
    labels: ArrayLike,
    *,
    labels_are: str,
    predictions_are: str | None = None,
    loss: str = "squared",
    seed: int = 0,
    draws: int = DRAWS,
) -> Suggestion:
    r"""Suggest a teacher weight from held-out predictions of the students at weights 0 and 1.

    Parameters
    ----------
    on_labels, on_teacher : (m,), (m, p) or (S, m, p) arrays
        Predictions at m points that neither student, nor the teacher, was trained on. With several pairs of students, trained
        from different seeds, the interval covers their differences too; with one pair it speaks of the points alone.
    labels : (m,) classes or values, or (m, p) coded targets
    labels_are : {"clean", "noisy"}
        The held-out ones. On noisy classes the squared-error optimum is that of noisy targets, which shrink the conditional
        mean (by 1 - pC/(C - 1) at rate p): the scale-free one is suggested. Noise of mean zero in values moves nothing.
    predictions_are : {"outputs", "probabilities", "logits"}, optional
        "outputs" of students trained on squared error; "logits" before a softmax; left out where it is seen: one output is
        an output, rows between 0 and 1 that sum to one are probabilities.
    loss : {"squared", "cross_entropy"}
        What the weight is best for: squared error of mixed outputs or probabilities, or cross-entropy of mixed logits. On
        noisy classes the scale-free weight of the former is suggested all the same.
    seed : int
        Of the bootstrap and the folds.
    draws : int

    Raises
    ------
    ValueError
        If shapes disagree, a value is not finite, classes are others than the predictions have, or an option is unknown.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> f = draw.normal(size=500)
    >>> own, teacher, y = 1.4 * f + draw.normal(size=500), 0.6 * f + 0.1 * draw.normal(size=500), f + draw.normal(size=500)
    >>> found = suggest_weight(own, teacher, y, labels_are="clean")
    >>> found.trusted, 0.5 < found.weight < 1.0
    (True, True)
    """
    require_labels_are(labels_are)
    if loss not in LOSSES:
        raise ValueError(f"`loss` must be one of {', '.join(LOSSES)}, got {loss!r}.")
    h = HeldOut.of(on_labels, on_teacher, labels, predictions_are=predictions_are)
    seeds, points = h.on_labels.shape[:2]
    if points < 2:
        raise ValueError(f"`labels` must hold two or more points, got {points}.")
    rng = np.random.default_rng(seed)
    M = moments(h.on_labels, h.on_teacher, h.labels)
    squared, free = optimal_weights(h.on_labels, h.on_teacher, h.labels, labels_are=labels_are, rng=rng, draws=draws)
    if labels_are == "noisy" and h.classes is not None:
        best, criterion = free, scale_free(M)
    elif loss == "cross_entropy":
        criterion = by_cross_entropy(h)
        best = _optimum(criterion, float(identifiability(M.mean((0, 1)))), labels_are, rng, draws)
    else:
        best, criterion = squared, by_squared_error(M)
    weight = float(criterion.weight(criterion.statistics.mean((0, 1)))) if best.identifiability > 0 else float("nan")
    gain, accuracy, accuracy_gain = _expected(h, criterion, rng, draws)
    against = what_speaks_against(best, gain, h)
    todo = next_step(best, weight, gain, against, seeds)
    return Suggestion(weight, best, squared, free, gain, accuracy, accuracy_gain, points, seeds, against, todo)


def _optimum(c: Criterion, moved: float, labels_are: str, rng: np.random.Generator, draws: int) -> Optimum:
    """Of the cross-entropy."""
    best = crossed_interval(c.statistics, crossing, rng=rng, draws=draws)
    at_zero, at_best = (float(c.parts(np.array([w])).mean()) for w in (0.0, np.clip(np.nan_to_num(best.value), -1, 2)))
    gain = 1 - at_best / at_zero if at_zero > 0 else 0.0
    doubt = "; ".join(doubts(best, moved, gain))
    return Optimum("cross-entropy", labels_are, best.value, best.low, best.high, moved, gain, doubt)


def _expected(
    h: HeldOut, c: Criterion, rng: np.random.Generator, draws: int
) -> tuple[Estimate, Estimate | None, Estimate | None]:
    """What the suggestion gains and how accurate it is, at each point by the weight that the other folds suggest."""
    S, m, _ = h.on_labels.shape
    by_point, fold, w = c.statistics.mean(axis=0), rng.permutation(m) % min(FOLDS, m), np.zeros(m)
    for each in np.unique(fold):
        w[fold == each] = np.nan_to_num(c.weight(by_point[fold != each].mean(axis=0)))  # equal students: no weight gains
    parts = [np.broadcast_to(part, (S, m, part.shape[-1])) for part in (c.parts(np.zeros(m)), c.parts(w))]
    k = parts[0].shape[-1]

    def share(mean: Array) -> Array:
        before, after = c.risk(mean[..., :k]), c.risk(mean[..., k:])
        return np.asarray(np.divide(before - after, before, out=np.zeros_like(before), where=before > 0))

    gain = crossed_interval(np.concatenate(parts, axis=-1), share, rng=rng, draws=draws)
    if h.classes is None:
        return gain, None, None
    mixed = h.on_labels + w[:, None] * (h.on_teacher - h.on_labels)
    right = np.stack([(f.argmax(axis=2) == h.classes).astype(float) for f in (h.on_labels, mixed)], axis=-1)
    accuracy, above = (
        crossed_interval(right, of, rng=rng, draws=draws)
        for of in (lambda mean: mean[..., 1], lambda mean: mean[..., 1] - mean[..., 0])
    )
    return gain, accuracy, above


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``suggest-weight``."""
    parser.add_argument("--predictions", type=Path, metavar="FILE.npz", help="with arrays on_labels, on_teacher, labels")
    parser.add_argument(
        "--on-labels", type=Path, metavar="FILE", help="instead: predictions (.npy or .csv) of the student at weight 0"
    )
    parser.add_argument("--on-teacher", type=Path, metavar="FILE", help="of the student at weight 1")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="of the same points: classes, values or coded targets")
    parser.add_argument(
        "--checkpoints", type=Path, nargs=2, metavar="FILE", help="or: the two students at weights 0 and 1, as saved here"
    )
    parser.add_argument("--data", metavar="NAME", help="with checkpoints: the dataset, whose validation part is used")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="its folder (default: KDTHEORY_DATA)")
    parser.add_argument(
        "--sizes", type=int, nargs=3, metavar=("TRAIN", "VALIDATION", "TEST"), help="its split, as they were trained"
    )
    parser.add_argument("--split-seed", type=int, default=0, metavar="N", help="of that split (default: 0)")
    parser.add_argument("--labels-are", choices=("clean", "noisy"), required=True, help="the held-out labels")
    parser.add_argument("--predictions-are", choices=KINDS, help="needed unless they are probabilities or one output")
    parser.add_argument("--loss", choices=LOSSES, default="squared", help="what the weight is best for (default: squared)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print a suggestion; 0 whether or not it can be trusted.

    Raises
    ------
    ValueError
        If what is given is not one of the three forms, a file is not what it must be, or as in `suggest_weight`.
    """
    own, teacher, labels = _given(options)
    how = {"labels_are": options.labels_are, "predictions_are": options.predictions_are, "loss": options.loss}
    found = suggest_weight(own, teacher, labels, seed=options.seed, **how)
    if options.json:
        print(json.dumps(_plain(dataclasses.asdict(found) | {"trusted": found.trusted})))
    else:
        print(in_words(found))
    return 0


def _plain(value: Any) -> Any:
    """What JSON can hold: null for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _given(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    files = {"on_labels": options.on_labels, "on_teacher": options.on_teacher, "labels": options.labels}
    forms = [options.predictions is not None, any(files.values()), options.checkpoints is not None]
    if sum(forms) != 1:
        raise ValueError(
            "`suggest-weight` needs one of --predictions FILE.npz; --on-labels, --on-teacher and --labels; or --checkpoints."
        )
    if forms[0]:
        return read_predictions(options.predictions)
    if forms[1]:
        missing = [f"--{name.replace('_', '-')}" for name, file in files.items() if file is None]
        if missing:
            raise ValueError(f"`suggest-weight` needs all of --on-labels, --on-teacher and --labels, got no {missing[0]}.")
        own, teacher, labels = (read_array(file, name) for name, file in files.items())
        return own, teacher, labels
    return _of_checkpoints(options)


def _of_checkpoints(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Outputs of two saved students, or of two saved stacks of them, at a dataset's validation points."""
    if options.data is None or options.sizes is None:
        raise ValueError(
            "`--checkpoints` needs --data NAME and --sizes TRAIN VALIDATION TEST, the split they were trained on."
        )
    try:
        checkpoints, data, networks = (
            importlib.import_module(f"empirical.{name}") for name in ("checkpoints", "data", "networks")
        )
    except ModuleNotFoundError as error:
        raise ValueError(f"`--checkpoints` needs {error.name}, which is not here; give predictions instead.") from error
    students = [checkpoints.load(path) for path in options.checkpoints]
    train, validation, test = options.sizes
    parts = data.split(
        data.load(options.data, options.data_dir), train=train, validation=validation, test=test, seed=options.split_seed
    )
    X = parts.X_validation
    flat = X.reshape(len(X), -1)  # for networks that take no images
    own, teacher = (
        networks.predict(student, flat if isinstance(getattr(student, "model", student), networks.MLP) else X)
        for student in students
    )
    return own, teacher, parts.y_validation
