"""Every theorem on one problem: a table for the terminal, or JSON."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence

from kdtheory.problem import Problem
from kdtheory.theorems import Check, Theorem

__all__ = ["as_json", "check", "heading", "row", "summary"]

Timed = tuple[Check, float]
NARROWEST, WIDEST = 72, 116


def check(problem: Problem, theorems: Iterable[Theorem]) -> Iterator[Timed]:
    """Each verdict with the seconds it took, one after the other."""
    for theorem in theorems:
        start = time.perf_counter()
        yield theorem.check(problem), time.perf_counter() - start


def _columns(width: int) -> int:
    """Characters for the name."""
    return max(NARROWEST, min(width, WIDEST)) - 32


def heading(width: int) -> str:
    """Titles of the columns, and a line."""
    title = f"  {'theorem':{_columns(width)}}  {'error':>7}  {'limit':>7}  verdict"
    return f"{title}\n{'-' * min(max(len(title), 20), max(width, NARROWEST))}"


def row(check: Check, width: int) -> str:
    """One line of the table; a reason gets lines of its own."""
    room = _columns(width)
    name = check.name if len(check.name) <= room else check.name[: room - 1] + "…"
    mark = "*" if check.theorem.derived else " "
    if not check.reason:
        relation = "<=" if check.theorem.at_most else "= "
        return f"{mark} {name:{room}}  {check.error:7.0e}  {check.tolerance:7.0e}  {check.verdict} {relation}".rstrip()
    reason = textwrap.fill(
        check.reason, max(NARROWEST, min(width, WIDEST)) - 8, initial_indent=" " * 6, subsequent_indent=" " * 8
    )
    return f"{mark} {name:{room}}  {'-':>7}  {'-':>7}\n{reason}"


def summary(checks: Sequence[Check]) -> str:
    """How many hold, fail, and are left open."""
    count = len(checks)
    holding, failing = sum(c.holds for c in checks), [c for c in checks if c.fails]
    outside = sum(c.reason.startswith("not applicable") for c in checks)
    text = f"* derived in kdtheory about an object of that paper\n{holding} of {count} theorems hold"
    if outside:
        text += f"; {outside} do not apply to these data"
    refused = sum(c.reason.startswith("not computed") for c in checks)
    if refused:
        text += f"; {refused} could not be computed"
    unresolved = count - holding - len(failing) - outside - refused
    if unresolved:
        text += f"; rounding leaves {unresolved} unresolved (another --ridge may resolve more)"
    return f"{text}; {len(failing)} FAIL:\n" + "\n".join(map(str, failing)) if failing else f"{text}."


def as_json(problem: Problem, results: Sequence[Timed], settings: dict[str, object]) -> str:
    """Settings, problem and every verdict as one JSON object."""
    s = problem.spectrum
    checks = [
        {
            "name": c.name,
            "source": str(c.theorem.source),
            "arxiv": c.theorem.source.arxiv,
            "derived": c.theorem.derived,
            "statement": c.theorem.statement,
            "assumptions": [assumption.words for assumption in c.theorem.assumptions],
            "relation": "<=" if c.theorem.at_most else "=",
            "figure": c.theorem.figure,
            "verdict": "no verdict" if c.reason else c.verdict,
            "reason": c.reason,
            "error": None if c.reason else c.error,
            "tolerance": None if c.reason else c.tolerance,
            "seconds": round(seconds, 4),
        }
        for c, seconds in results
    ]
    about = {
        "training_points": problem.n,
        "held_out_points": len(problem.cross),
        "outputs": problem.y.shape[1],
        "ridge": problem.ridge,
        "noise_variance": problem.noise_variance,
        "largest_eigenvalue": float(s.eigenvalues[0]),
        "smallest_eigenvalue": float(s.eigenvalues[-1]),
    }
    return json.dumps({"settings": settings, "problem": about, "checks": checks}, indent=1)
