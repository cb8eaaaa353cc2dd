"""What the cells of `weight_vs_fraction` say about its claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from empirical.bridge import vertex
from empirical.cells import Cell, agreement_of, regrets_of
from empirical.intervals import Estimate, crossed_interval
from empirical.verdict import Verdict

__all__ = ["findings", "gain", "rise"]

LOW_REGRET = 0.01  # of accuracy: one point
SAME_ORDER = 0.8  # rank correlation
QUADRATIC = 0.99  # share of the variance over weights
MANY_WEIGHTS, MANY_CELLS = 5, 8  # fewer say nothing of a parabola, or of an order


def rise(cell: Cell, other: Cell, rng: np.random.Generator, *, compared: int = 1) -> Estimate:
    """How much the optimal weight of a cell exceeds that of another, paired by seed.

    The interval is one of `compared` that hold together with 95 % (Bonferroni).
    """
    both = np.concatenate([cell.vertices(), other.vertices()], axis=1)
    how: dict[str, Any] = {"rng": rng, "draws": 2000 * compared, "level": 1 - 0.05 / compared}
    return crossed_interval(both[:, None], lambda c: vertex(c[..., :3]) - vertex(c[..., 3:]), **how)


def gain(cell: Cell, rng: np.random.Generator) -> Estimate:
    """Accuracy won over labels alone by the two endpoints' weight within [0, 1], from each seed's own validation points."""
    used = cell.used_by_seed("two endpoints", "scale-free", "noisy")
    reached = [np.interp(w, cell.weights, cell.accuracies[:, s]) for s, w in enumerate(used.tolist())]
    won = np.array(reached) - cell.accuracies[list(cell.weights).index(0.0)]
    return crossed_interval(won[:, None, None], lambda mean: mean[..., 0], rng=rng)


def findings(cells: Sequence[Cell]) -> list[Verdict]:
    """A verdict per claim, over all data sets and losses of the table."""
    rng, seeds = np.random.default_rng(0), min(cell.seeds for cell in cells)
    if seeds < 2:
        return [
            Verdict("The teacher weight and what foretells it.", "not testable here", "an interval needs two seeds", seeds)
        ]
    found = [_as_less_is_kept(cells, rng, seeds), *_with_noise(cells, rng, seeds), _is_a_parabola(cells, seeds)]
    classified = [cell for cell in cells if np.isfinite(cell.accuracies).all()]
    if classified:
        found += [_two_replace_the_grid(classified, rng, seeds), _gains(classified, rng, seeds)]
    fed = [cell for cell in cells if "fed kernel" in cell.rules]
    if fed:
        found.append(_kernel_orders(fed, rng, seeds))
    return found


def _as_less_is_kept(cells: Sequence[Cell], rng: np.random.Generator, seeds: int) -> Verdict:
    pairs = []
    for group in _groups(cells, lambda cell: (cell.data, cell.loss, cell.noise)):
        least, most = (pick(group, key=lambda cell: cell.keep_fraction) for pick in (min, max))
        if least is not most:
            pairs.append((f"{_name(least)}, noise {least.noise:g}", least, most))
    changes = [(name, rise(a, b, rng, compared=len(pairs))) for name, a, b in pairs]
    f = sorted({cell.keep_fraction for cell in cells})
    return _signs(f"The optimal teacher weight is larger where {f[0]:g} is kept than where {f[-1]:g} is.", changes, seeds)


def _with_noise(cells: Sequence[Cell], rng: np.random.Generator, seeds: int) -> list[Verdict]:
    found = []
    for low, high in pairwise(sorted({cell.noise for cell in cells})):
        pairs = []
        for group in _groups(cells, lambda cell: (cell.data, cell.loss, cell.keep_fraction)):
            by_noise = {cell.noise: cell for cell in group}
            if low in by_noise and high in by_noise:
                pairs.append((f"{_name(group[0])}, kept {group[0].keep_fraction:g}", by_noise[high], by_noise[low]))
        changes = [(name, rise(a, b, rng, compared=len(pairs))) for name, a, b in pairs]
        found.append(_signs(f"The optimal teacher weight rises from label noise {low:g} to {high:g}.", changes, seeds))
    return found


def _signs(claim: str, changes: Sequence[tuple[str, Estimate]], seeds: int) -> Verdict:
    """A claim that holds in most settings and is contradicted in none."""
    without = sum(np.isnan(e.value) for _, e in changes)
    changes = [(name, e) for name, e in changes if np.isfinite(e.value)]
    if not changes:
        return Verdict(claim, "not testable here", "the table has nothing to compare", seeds)
    up, down = sum(e.low > 0 for _, e in changes), sum(e.high < 0 for _, e in changes)
    outcome = "not reproduced" if down else "reproduced" if up > len(changes) / 2 else "not testable here"
    values = np.array([e.value for _, e in changes])
    least, most = changes[int(np.argmin(values))], changes[int(np.argmax(values))]
    effect = (
        f"of {len(changes)} settings, {up} rise and {down} fall beyond intervals that hold together with 95 %; median "
        f"{np.median(values):+.2f}, from {least[1]} ({least[0]}) to {most[1]} ({most[0]})"
        + (f"; in {without} more the risk does not bend upwards" if without else "")
    )
    return Verdict(claim, outcome, effect, seeds)


def _is_a_parabola(cells: Sequence[Cell], seeds: int) -> Verdict:
    claim = (
        f"Squared error is a parabola in the teacher weight for networks on squared loss ({QUADRATIC:.0%} of its variance)."
    )
    if min(len(cell.weights) for cell in cells) < MANY_WEIGHTS:
        why = f"a parabola passes near any points of fewer than {MANY_WEIGHTS} weights"
        return Verdict(claim, "not testable here", why, seeds)
    parts, holds = [], True
    for group in _groups(cells, lambda cell: cell.loss):
        explained, apart = [cell.quadratic() for cell in group], [float(np.median(cell.superposition)) for cell in group]
        holds = holds and (group[0].loss != "squared" or min(explained) >= QUADRATIC)
        parts.append(
            f"{group[0].loss.replace('_', '-')}: of a cell's mean errors a parabola explains {min(explained):.4f} or more "
            f"(median {np.median(explained):.4f}); students are {min(apart):.2f} to {max(apart):.2f} of their size off the mix"
        )
    return Verdict(claim, "reproduced" if holds else "not reproduced", "; ".join(parts), seeds)


def _two_replace_the_grid(cells: Sequence[Cell], rng: np.random.Generator, seeds: int) -> Verdict:
    parts, ends = [], []
    for group in _groups(cells, lambda cell: (cell.data, cell.loss)):
        lost = regrets_of(group, "two endpoints", "scale-free", rng=rng)
        fixed = {w: regrets_of(group, w, rng=rng).value for w in (0.0, 0.5, 1.0)}
        ends.append(lost)
        best = min(fixed, key=fixed.__getitem__)
        parts.append(
            f"{_name(group[0])}: {_points(lost)} points lost, against {100 * fixed[0.0]:.1f} at weight 0 and "
            f"{100 * fixed[best]:.1f} at {best:g}, the best of 0, 0.5 and 1"
        )
    claim = "A weight read from two students on noisy validation labels costs less than a point on average over cells."
    below = [Estimate(LOW_REGRET - e.value, LOW_REGRET - e.high, LOW_REGRET - e.low) for e in ends]
    return Verdict(claim, _outcome(below), "; ".join(parts), seeds)


def _gains(cells: Sequence[Cell], rng: np.random.Generator, seeds: int) -> Verdict:
    least = min(cell.keep_fraction for cell in cells)
    some = [cell for cell in cells if cell.keep_fraction == least]
    won = [gain(cell, rng) for cell in some]
    parts = [f"{_name(cell)}, noise {cell.noise:g}: {_points(e)}" for cell, e in zip(some, won, strict=True)]
    outcome = _outcome(won)
    return Verdict(
        f"Where {least:g} is kept, that weight is worth accuracy over labels alone.", outcome, "; ".join(parts), seeds
    )


def _kernel_orders(cells: Sequence[Cell], rng: np.random.Generator, seeds: int) -> Verdict:
    parts, above = [], []
    for group in _groups(cells, lambda cell: cell.data):
        said = {labels: agreement_of(group, "fed kernel", "squared error", labels, rng=rng) for labels in ("noisy", "clean")}
        own = agreement_of(group, "own kernel", "squared error", "noisy", rng=rng)
        rho = said["noisy"].rank_correlation
        low = rho.low if len(group) >= MANY_CELLS else -1.0
        above.append(Estimate(rho.value - SAME_ORDER, low - SAME_ORDER, rho.high - SAME_ORDER))
        parts.append(
            f"{group[0].data}, {len(group)} cells: rank correlation {rho}, mean distance {said['noisy'].error} read on noisy "
            f"validation labels, {said['clean'].rank_correlation.value:.2f} and {said['clean'].error.value:.2f} on true ones, "
            f"{own.rank_correlation.value:.2f} and {own.error.value:.2f} with the kernel's own teacher"
        )
    claim = "The tangent kernel's students, fed the network's teacher, order the cells as the networks do."
    return Verdict(claim, _outcome(above), "; ".join(parts), seeds)


def _outcome(margins: Sequence[Estimate]) -> str:
    """Every margin beyond its interval above zero, one of them below, or neither."""
    if any(e.high < 0 for e in margins):
        return "not reproduced"
    return "reproduced" if all(e.low > 0 for e in margins) else "not testable here"


def _groups(cells: Sequence[Cell], key: Callable[[Cell], object]) -> list[list[Cell]]:
    grouped: dict[object, list[Cell]] = {}
    for cell in cells:
        grouped.setdefault(key(cell), []).append(cell)
    return list(grouped.values())


def _name(cell: Cell) -> str:
    return f"{cell.data}, {cell.loss.replace('_', '-')}"


def _points(e: Estimate) -> str:
    return f"{100 * e.value:.1f} [{100 * e.low:.1f}, {100 * e.high:.1f}]"
