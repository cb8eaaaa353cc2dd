r"""From two students to a teacher weight: by squared error and by cosine, with an interval, and whether it can be trusted.

The two-endpoint rule is `optimal_weight` of two trained students' predictions on validation data; a kernel's prediction is
the same function of two kernel students' predictions (`empirical.kernel_students`). What was used is written in the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from empirical.intervals import DRAWS, Estimate, crossed_interval
from empirical.pairs import identifiability, moments, scale_free_weight, squared_error, squared_error_weight
from kdtheory.checks import Array
from kdtheory.weights import IDENTIFIABLE

__all__ = ["CRITERIA", "WIDE", "Optimum", "doubts", "optimal_weight", "optimal_weights", "require_labels_are"]

#: What a weight can be best for.
CRITERIA = {"squared error": squared_error_weight, "scale-free": scale_free_weight}
WORTHWHILE = 0.05  # of the risk: a gain for which students that differ by less than IDENTIFIABLE are told apart
WIDE = 1.0  # an interval of the weight that leaves nothing of it


@dataclass(frozen=True)
class Optimum:
    """A teacher weight, how well it is known, and on what it rests.

    Attributes
    ----------
    criterion : {"squared error", "scale-free"}
        What the weight is best for; "cross-entropy" in `empirical.suggest`.
    labels_are : {"clean", "noisy"}
        The held-out labels that it was chosen on.
    weight : float
        On the teacher, any real number; infinite where no finite scale-free weight is best, nan where all are the same.
    low, high : float
        Its 95 % interval, over students (with two or more seeds) and held-out points.
    identifiability : float
        :math:`|P_t - P_l| / |P_l|`.
    gain : float
        Share of the squared risk on labels only that this weight saves on these data; negative where it costs.
    doubt : str
        Why the weight is not to be trusted; empty if it is.
    """

    criterion: str
    labels_are: str
    weight: float
    low: float
    high: float
    identifiability: float
    gain: float
    doubt: str = ""

    @property
    def trusted(self) -> bool:
        """Whether nothing speaks against the weight."""
        return not self.doubt

    @property
    def estimate(self) -> Estimate:
        """The weight with its interval."""
        return Estimate(self.weight, self.low, self.high)

    def within(self, low: float = 0.0, high: float = 1.0) -> float:
        """The weight clipped; nan stays."""
        return float(np.clip(self.weight, low, high))


def require_labels_are(value: str) -> None:
    """Refuse what is neither clean nor noisy: the answer means something else for each."""
    if value not in ("clean", "noisy"):
        raise ValueError(f'`labels_are` must be "clean" or "noisy", got {value!r}.')


def optimal_weight(
    on_labels: ArrayLike,
    on_teacher: ArrayLike,
    labels: ArrayLike,
    *,
    criterion: str = "squared error",
    labels_are: str,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Optimum:
    r"""The best teacher weight by held-out predictions of two students, trained at weights 0 and 1: no grid.

    Parameters
    ----------
    on_labels, on_teacher : (m,), (m, p) or (S, m, p) arrays
        Predictions of the students at weight 0 and at weight 1; seed s of both shares initialisation and minibatches.
    labels : the same without or with the axis of seeds
        Held-out targets, coded as the students' targets were (one-hot minus 1/p).
    criterion : {"squared error", "scale-free"}
        The vertex of the risk parabola, or the greatest cosine with the labels (`empirical.pairs.scale_free_weight`).
    labels_are : {"clean", "noisy"}
        Whether the held-out labels are; recorded, and it changes what a squared-error optimum means.
    rng : numpy.random.Generator
        Of the bootstrap.
    draws : int

    Returns
    -------
    Optimum
        Of the sums over seeds, not the mean of their optima: seeds whose students hardly differ count little.

    Raises
    ------
    ValueError
        If shapes disagree, a value is not finite, or an option is unknown.

    Examples
    --------
    >>> rng, P_l = np.random.default_rng(0), np.random.default_rng(1).normal(size=(400, 2))
    >>> P_t = P_l + np.random.default_rng(2).normal(size=(400, 2))
    >>> best = optimal_weight(P_l, P_t, 0.7 * P_l + 0.3 * P_t, labels_are="clean", rng=rng)
    >>> round(best.weight, 6), best.trusted
    (0.3, True)
    """
    return _of_moments(moments(on_labels, on_teacher, labels), criterion, labels_are, rng, draws)


def optimal_weights(
    on_labels: ArrayLike,
    on_teacher: ArrayLike,
    labels: ArrayLike,
    *,
    labels_are: str,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> tuple[Optimum, Optimum]:
    """`optimal_weight` by squared error and scale-free, in this order."""
    M = moments(on_labels, on_teacher, labels)
    squared, scale_free = (_of_moments(M, criterion, labels_are, rng, draws) for criterion in CRITERIA)
    return squared, scale_free


def _of_moments(M: Array, criterion: str, labels_are: str, rng: np.random.Generator, draws: int) -> Optimum:
    require_labels_are(labels_are)
    if criterion not in CRITERIA:
        raise ValueError(f"`criterion` must be one of {', '.join(CRITERIA)}, got {criterion!r}.")
    mean = M.mean(axis=(0, 1))
    best = crossed_interval(M, CRITERIA[criterion], rng=rng, draws=draws)
    moved = float(identifiability(mean))
    at = np.array([0.0, np.clip(np.nan_to_num(best.value), -1e6, 1e6)])
    without, with_teacher = squared_error(mean, at)
    gain = float(1 - with_teacher / without) if without > 0 else 0.0
    doubt = "; ".join(doubts(best, moved, gain if criterion == "squared error" else 0.0))
    return Optimum(criterion, labels_are, best.value, best.low, best.high, moved, gain, doubt)


def doubts(best: Estimate, moved: float, gain: float) -> list[str]:
    """What speaks against a weight, from its interval, the students' identifiability and the share of risk that it saves.

    The thresholds are those of `kdtheory.optimal_teacher_weight`, for students that were trained: retraining moves a network's
    predictions by 0.01 to 0.14 of their size. `kdtheory.risk_curves` accepts less, for kernel students, which are exact.
    """
    if moved == 0:
        return ["the two students predict the same, so every weight is as good"]
    if np.isnan(best.value):
        return ["the two students differ in scale only, so that every weight ranks the same"]
    found = []
    if moved < IDENTIFIABLE and gain < WORTHWHILE:
        found.append(f"the teacher moves the student by {moved:.2g} of its predictions' size, below {IDENTIFIABLE}")
    if np.isinf(best.value):
        found.append("no finite weight is best: the cosine with the labels grows for ever")
    elif not best.width <= WIDE:
        found.append(f"the interval of the weight, {best.low:.2g} to {best.high:.2g}, is wider than {WIDE:g}")
    return found
