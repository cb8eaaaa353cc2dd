"""What is suggested to a practitioner, whether to trust it, and how it is said."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np

from empirical.held_out import HeldOut
from empirical.intervals import Estimate
from empirical.rules import Optimum

__all__ = ["Suggestion", "in_words", "next_step", "what_speaks_against"]

FEW = 100  # held-out points, below which no interval is believed


@dataclass(frozen=True)
class Suggestion:
    """A suggested teacher weight and what is known about it.

    Attributes
    ----------
    weight : float
        To train the next student with, in [0, 1]; nan where every weight is as good.
    optimum : Optimum
        What it was clipped from: that of the squared error, the scale-free one or that of the cross-entropy.
    squared_error, scale_free : Optimum
        Both optima, whichever is suggested.
    gain : Estimate
        Share of the risk of the student on labels that is saved, by weights chosen without the points they are judged on. The
        risk is that of `optimum.criterion`: squared error, that of the best multiple of the predictions, or cross-entropy.
    accuracy, accuracy_gain : Estimate or None
        Of the mixed predictions at such weights, and above that of the student on labels; None for regression.
    points, seeds : int
        Held-out points and pairs of students.
    doubts : tuple of str
        Why not to trust it; empty if it can be trusted.
    next_step : str
        One sentence.
    """

    weight: float
    optimum: Optimum
    squared_error: Optimum
    scale_free: Optimum
    gain: Estimate
    accuracy: Estimate | None
    accuracy_gain: Estimate | None
    points: int
    seeds: int
    doubts: tuple[str, ...]
    next_step: str

    def __str__(self) -> str:
        """In words, as the command line prints it."""
        return in_words(self)

    @property
    def trusted(self) -> bool:
        """Whether nothing speaks against the weight."""
        return not self.doubts


def what_speaks_against(best: Optimum, gain: Estimate, h: HeldOut) -> tuple[str, ...]:
    """Why a suggestion is not to be trusted, in clauses; nothing if it is."""
    m, p = h.on_labels.shape[1:]
    found = [best.doubt] if best.doubt else []
    if best.weight <= -1 and not best.doubt:
        found.append(f"a weight of {best.weight:.2g} is what training data gives: make sure that the points are held out")
    elif not 0 <= best.weight <= 1 and not best.doubt:
        found.append(f"the best weight, {best.weight:.2g}, lies outside [0, 1], where no student was trained")
    if gain.low <= 0 and best.identifiability > 0:
        found.append("the gain over labels only is not significant")
    if m < FEW:
        found.append(f"{m} held-out points are fewer than {FEW}")
    missing = np.setdiff1d(np.arange(p), h.classes) if h.classes is not None else np.empty(0)
    if len(missing):
        found.append(f"{len(missing)} of {p} classes have no held-out point, such as class {missing[0]}")
    return tuple(found)


def next_step(best: Optimum, weight: float, gain: Estimate, against: tuple[str, ...], seeds: int) -> str:
    """What to do now, in one sentence: the first of these that applies."""
    more = "more held-out points" + ("" if seeds >= 5 else " and more pairs of students")
    steps = [
        (best.identifiability == 0, "Check that the second student was trained on the teacher: both files say the same."),
        (
            "moves the student" in best.doubt,
            "Regularise the teacher or stop it earlier, so that it says more than the labels.",
        ),
        (np.isnan(weight), "Choose the weight by squared error: these students rank everything alike."),
        (best.weight <= -1, "Predict again at points that no model was trained on."),
        (weight == 0, "Keep the student that was trained on labels."),
        (gain.low <= 0, f"Keep the student that was trained on labels, or measure again with {more}."),
        (weight == 1, "Use the student that was trained on the teacher alone: no mix with the labels is better."),
        (bool(against), f"Measure again with {more}."),
    ]
    sure = f"Train a student at weight {weight:.2f}, and compare it with these two on other held-out points."
    return next((sentence for applies, sentence in steps if applies), sure)


def in_words(s: Suggestion, width: int = 100) -> str:
    """A suggestion as a short text."""
    best, own = s.optimum, s.squared_error.labels_are
    pairs = "1 pair of students" if s.seeds == 1 else f"{s.seeds} pairs of students"
    lines = [
        f"Suggested teacher weight: {'none' if np.isnan(s.weight) else f'{s.weight:.2f}'}",
        f"  {best.criterion:14} {best.estimate}  (best weight, 95 % interval)",
        *(
            f"  {other.criterion:14} {other.estimate}"
            for other in (s.squared_error, s.scale_free)
            if other.criterion != best.criterion
        ),
        f"  from {s.points} held-out points with {own} labels and {pairs}; |P_t - P_l| / |P_l| = {best.identifiability:.2g}",
    ]
    if s.seeds == 1:
        lines.append("  The interval speaks of the points alone; students trained from another seed move the weight further.")
    if own == "noisy" and s.accuracy is not None:
        lines.append("  Noisy classes shrink the squared-error optimum's target; the scale-free weight is not moved by that.")
    risk = {"squared error": "squared error", "scale-free": "squared error, up to scale"}.get(best.criterion, "cross-entropy")
    lines.append(f"Expected gain over labels only: {s.gain:.1%} of the {risk}")
    if s.accuracy is not None and s.accuracy_gain is not None:
        lines.append(f"Held-out accuracy at that weight, by mixing predictions: {s.accuracy:.1%}")
        lines.append(f"  {s.accuracy_gain:+.1%} above that of the student on labels; judged by {own} labels")
    trust = "yes" if s.trusted else f"no: {'; '.join(s.doubts)}."
    lines += textwrap.wrap(f"Can it be trusted? {trust}", width, subsequent_indent="  ")
    lines += textwrap.wrap(f"Next: {s.next_step}", width, subsequent_indent="  ")
    return "\n".join(lines)
