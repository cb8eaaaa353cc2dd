"""What a theorem is here: one statement, two routes to it, and a verdict on a problem."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg

from kdtheory.checks import Array
from kdtheory.problem import Problem

__all__ = ["COARSEST", "Assumption", "Check", "Source", "Theorem", "by_rounding"]

COARSEST = 0.1  # a larger tolerance would pass anything

Side = Callable[[Problem], Array]


@dataclass(frozen=True)
class Source:
    """Where a result is from."""

    authors: str
    year: int
    arxiv: str = ""

    def __str__(self) -> str:
        return f"{self.authors} ({self.year})"

    @property
    def reference(self) -> str:
        """Authors, year and arXiv number."""
        return f"{self}, arXiv:{self.arxiv}" if self.arxiv else str(self)


@dataclass(frozen=True)
class Assumption:
    """A condition of a theorem: in words, and as a predicate that says what breaks it (an empty text: nothing)."""

    words: str
    broken: Callable[[Problem], str]


@dataclass(frozen=True)
class Check:
    """Verdict of one theorem on one problem.

    Attributes
    ----------
    theorem : Theorem
    left, right : arrays
        The two sides as computed; empty where the theorem was not applicable.
    error : float
        Largest difference (for an inequality: violation), relative to the left side's largest value, or to each entry.
    tolerance : float
        What rounding, conditioning, or a simulation's spread explain.
    reason : str
        Why the theorem does not apply to the problem, or why rounding leaves nothing to compare.
    """

    theorem: Theorem
    left: Array
    right: Array
    error: float
    tolerance: float
    reason: str = ""

    @property
    def name(self) -> str:
        """The theorem's name."""
        return self.theorem.name

    @property
    def holds(self) -> bool:
        """Whether the theorem applies, and both sides agree within the tolerance."""
        return not self.reason and bool(self.error <= self.tolerance)

    @property
    def fails(self) -> bool:
        """Whether the theorem applies and the two sides differ."""
        return not self.reason and not self.holds

    @property
    def verdict(self) -> str:
        """Either "holds" or "FAILS", or why neither can be said."""
        return self.reason or ("holds" if self.holds else "FAILS")

    def __str__(self) -> str:
        return (
            f"{self.name} [{self.theorem.source}]: {self.verdict} (error {self.error:.2g}, tolerance {self.tolerance:.2g})\n"
            f"  statement: {self.theorem.statement}\n"
            f"  by definition {_short(self.left)}\n"
            f"  {'at most' if self.theorem.at_most else 'closed form'} {_short(self.right)}"
        )


def by_rounding(p: Problem) -> float:
    """The default tolerance: 1e-11, and a thousand times what rounding does to a ridge fit."""
    return 1e-11 + 1000 * p.rounding


@dataclass(frozen=True)
class Theorem:
    r"""One result, stated once and computed by two routes.

    Parameters
    ----------
    name : str
        What it says, in a few words.
    source : Source
        The paper that states it, or whose object it is about.
    statement : str
        LaTeX.
    left : function of a problem
        The definition, by the most naive honest route: dense solves, refits, dense traces, simulation.
    right : function of a problem
        The closed form, by the package's own functions.
    tolerance : number or function of a problem
        How far rounding (or a simulation) may set them apart, relative to the left side's largest value.
    assumptions : Assumptions
        Checked first; a problem that breaks one is reported as not applicable.
    at_most : bool
        The statement is left <= right, entry by entry, instead of left = right.
    derived : bool
        Derived and checked in kdtheory about an object of the source, which need not state it.
    figure : str
        Name of the figure in ``paper_figs`` that shows it.
    simulated : bool
        The left side is a simulation, slower and less sharp than the others.
    by_entry : bool
        The error is relative to each entry of the left side instead of to its largest.

    Examples
    --------
    Adding a theorem is adding one such object to a module's `THEOREMS`:

    >>> from kdtheory import kernels, rounds
    >>> from kdtheory.theorems.naive import fit
    >>> affine = Theorem(
    ...     name="half a teacher is half way",
    ...     source=Source("Nobody", 2026),
    ...     statement=r"\hat y(\tfrac12) = \tfrac12\hat y(0) + \tfrac12\hat y(1)",
    ...     left=lambda p: fit(p, (0.5,)),
    ...     right=lambda p: sum(rounds(p.spectrum, p.y, ridge=p.ridge, teacher_weights=[w])[1] for w in (0, 1)) / 2,
    ... )
    >>> X = np.linspace(-1, 1, 30)[:, None]
    >>> affine.check(Problem.split("line", X, X**2, kernel=kernels.rbf, ridge=0.1)).verdict
    'holds'
    """

    name: str
    source: Source
    statement: str
    left: Side
    right: Side
    tolerance: float | Callable[[Problem], float] = by_rounding
    assumptions: tuple[Assumption, ...] = field(default=())
    at_most: bool = False
    derived: bool = False
    figure: str = ""
    simulated: bool = False
    by_entry: bool = False

    def check(self, problem: Problem) -> Check:
        """Both sides on this problem, unless it breaks an assumption or rounding would leave nothing to compare."""
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore", UserWarning)  # that a weight means little: laws hold nonetheless
                for assumption in self.assumptions:
                    why = assumption.broken(problem)
                    if why:
                        return self._none(f"not applicable: {why}")
                tolerance = self.tolerance if isinstance(self.tolerance, float) else float(self.tolerance(problem))
                if not tolerance < COARSEST:
                    return self._none("not resolved: too ill-conditioned at this ridge", tolerance)
                left, right = np.asarray(self.left(problem)), np.asarray(self.right(problem))
        except scipy.linalg.LinAlgError:
            return self._none("not resolved: the naive route meets a matrix singular in floating point", float("inf"))
        except (ValueError, OverflowError) as refusal:  # one side refuses the data: never at the price of the other theorems
            return self._none(f"not computed: {refusal}")
        if left.shape != right.shape:
            raise ValueError(f"`left` and `right` of {self.name!r} must have one shape, got {left.shape} and {right.shape}.")
        if not (np.isfinite(left).all() and np.isfinite(right).all()):
            return self._none("not computed: a side is not finite")
        size = np.maximum(np.abs(left) if self.by_entry else np.abs(left).max(), np.finfo(float).tiny)
        gap = (left - right) / size
        error = float(max(gap.max(), 0.0)) if self.at_most else float(np.abs(gap).max())
        return Check(self, left, right, error, tolerance)

    def _none(self, reason: str, tolerance: float = float("nan")) -> Check:
        return Check(self, np.empty(0), np.empty(0), float("nan"), tolerance, reason)


def _short(values: Array) -> str:
    return np.array2string(np.asarray(values), precision=6, threshold=8, edgeitems=3).replace("\n", "")
