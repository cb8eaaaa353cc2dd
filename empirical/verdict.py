"""What an experiment's table says about its claims, in plain language."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["OUTCOMES", "Verdict", "in_words"]

#: What can come out: the claim held, it did not, or this table cannot tell.
OUTCOMES = ("reproduced", "not reproduced", "not testable here")


@dataclass(frozen=True)
class Verdict:
    """One claim, and what the table says about it.

    Attributes
    ----------
    claim : str
        One plain sentence that could be false.
    outcome : str
        One of `OUTCOMES`.
    effect : str
        The size of the effect in words and numbers, with its 95 % interval; if it was not testable, why.
    seeds : int
        Independent repetitions behind it.

    Raises
    ------
    ValueError
        If the outcome is none of `OUTCOMES`, or `seeds` is negative.

    Examples
    --------
    >>> print(in_words([Verdict("A student gains.", "reproduced", "+0.021 in accuracy [0.014, 0.028]", seeds=10)]))
    1. A student gains.
       reproduced: +0.021 in accuracy [0.014, 0.028] (10 seeds)
    """

    claim: str
    outcome: str
    effect: str
    seeds: int

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"`outcome` must be one of {', '.join(OUTCOMES)}, got {self.outcome!r}.")
        if self.seeds < 0:
            raise ValueError(f"`seeds` must be zero or more, got {self.seeds}.")


def in_words(verdicts: Sequence[Verdict], width: int = 100) -> str:
    """The claims, numbered, each with its outcome, its effect and its seeds."""
    lines = []
    for number, verdict in enumerate(verdicts, 1):
        seeds = "1 seed" if verdict.seeds == 1 else f"{verdict.seeds} seeds"
        found = f"{verdict.outcome}: {verdict.effect} ({seeds})"
        indent = " " * (len(str(number)) + 2)
        lines += textwrap.wrap(verdict.claim, width, initial_indent=f"{number}. ", subsequent_indent=indent)
        lines += textwrap.wrap(found, width, initial_indent=indent, subsequent_indent=indent)
    return "\n".join(lines)
