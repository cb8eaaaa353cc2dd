r"""Arithmetic of the distillation chain at one eigenvalue, in forms that never cancel.

With shrinkage a = d/(d + ridge) and u = 1 - a, one round is two affine maps of the state (fit b, residual e = 1 - b):

    b <- (1 - w) a + r b,      e <- u + r e,      r = w a,

both with positive terms for teacher weights in [0, 1]. m equal rounds are again affine,

    x <- k G + r^m x,          G = 1 + r + ... + r^(m-1) = (1 - r^m) / (1 - r),

where 1 - r = u + (1 - w) a is a sum, and r^m and 1 - r^m come from log1p and expm1 of it once r is above one half
(below, plain powers are the accurate form). Where r is close to one, a step changes the state by less than its
rounding, so the state is carried as an unevaluated sum of two floats. Nothing here divides by d or subtracts from one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from kdtheory.checks import Array

__all__ = ["Chain", "chain"]


class Chain(NamedTuple):
    """Multipliers of every round, each (rounds + 1, ...eigenvalues)."""

    fit: Array
    dual: Array
    residual: Array


class State(NamedTuple):
    """An unevaluated sum high + low, the low part below the rounding of the high one."""

    high: Array
    low: Array | float = 0.0

    def last(self) -> State:
        """State after the last of the rounds."""
        return State(self.high[-1], np.asarray(self.low)[-1])


def chain(d: Array, ridges: Array, weights: Array, *, last_only: bool = False) -> Chain:
    """fit, dual and residual of rounds 0 .. T; with `last_only`, of round T alone (leading axis 1)."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result = _chain(d, ridges, weights, last_only)
    if not all(np.isfinite(values).all() for values in result):
        raise OverflowError(
            "`teacher_weights` make this chain grow beyond floating point: a constant weight converges only within "
            "(-1 - ridge/d, 1 + ridge/d), d the largest eigenvalue."
        )
    return result


def _chain(d: Array, ridges: Array, weights: Array, last_only: bool) -> Chain:
    # Before round 0 stands the perfect fit b = 1: whatever its weight, round 0 is then ridge regression on the labels.
    # Where the first weight lies in [-1, 1], round 0 shares its block, and the residual is one geometric sum.
    joins = len(weights) and abs(weights[0]) <= 1
    fit, residual = State(np.ones_like(d)), State(np.zeros_like(d))
    fits, duals, residuals = [], [], []
    for ridge, weight, length in _runs(ridges, np.concatenate([weights[:1] if joins else [0.0], weights])):
        block = _Block(d, ridge, weight, [length] if last_only else range(1, length + 1))
        # within [0, 1] a student's mix is made of the teacher's fit; outside, of the teacher's residual, which stays accurate
        within = 0 <= weight <= 1
        gain = (1 - weight) * block.shrinkage if within else block.loss
        start = fit if within else residual
        after = block.advance(start, gain=gain)
        teacher = start.high[None]
        if length > 1 and last_only:
            teacher = _Block(d, ridge, weight, [length - 1]).advance(start, gain=gain).high
        elif length > 1:
            teacher = np.concatenate([teacher, after.high[:-1]])
        mix = (1 - weight) + weight * teacher if within else 1 - weight * teacher
        if within:
            fit, residual = after, block.advance(residual, gain=block.loss)
        else:
            fit, residual = State(block.shrinkage * mix, np.zeros_like(mix)), after
        duals.append(mix / (d + ridge))
        fits.append(fit.high)
        residuals.append(residual.high)
        fit, residual = fit.last(), residual.last()
        if last_only:
            fits, duals, residuals = fits[-1:], duals[-1:], residuals[-1:]
    return Chain(np.concatenate(fits), np.concatenate(duals), np.concatenate(residuals))


def _runs(ridges: Array, weights: Array) -> Iterator[tuple[float, float, int]]:
    """(ridge, teacher weight, length) of each maximal block of equal rounds."""
    change = (weights[1:] != weights[:-1]) | (ridges[1:] != ridges[:-1])
    starts = np.concatenate(([0], np.flatnonzero(change) + 1, [len(weights)]))
    for start, stop in pairwise(starts.tolist()):
        yield float(ridges[start]), float(weights[start]), stop - start


class _Block:
    """1, 2, ... or just m rounds of one ridge and one teacher weight, each as an affine map of the state."""

    def __init__(self, d: Array, ridge: float, weight: float, lengths: Sequence[int]) -> None:
        self.shrinkage = d / (d + ridge)
        self.loss = 1.0 / (1.0 + d / ridge)
        size = abs(weight) * self.shrinkage
        gap = self.loss + (1 - abs(weight)) * self.shrinkage  # 1 - |r| as a sum
        if lengths[-1] == 1:
            self.power = (size if weight >= 0 else -size)[None]
            self.complement = (gap if weight >= 0 else 1.0 + size)[None]
            self.geometric = np.ones_like(self.power)
            return
        m = np.array(lengths, dtype=np.float64).reshape(-1, *([1] * d.ndim))
        logs = m * np.log1p(-np.where(size < 0.5, 0.0, gap))
        power = np.where(size < 0.5, size**m, np.exp(logs))
        complement = np.where(size < 0.5, 1.0 - power, -np.expm1(logs))
        if weight >= 0:
            self.power, self.complement = power, complement
            self.geometric = np.divide(complement, gap, out=np.broadcast_to(m, power.shape).copy(), where=gap != 0)
        else:
            odd = m % 2 == 1
            self.power = np.where(odd, -power, power)
            self.complement = np.where(odd, 1.0 + power, complement)
            self.geometric = self.complement / (1.0 + size)

    def advance(self, state: State, *, gain: Array) -> State:
        """The state becomes gain * G + r^m * state, to the last digit also where r^m is close to one."""
        source = gain * self.geometric
        direct = source + self.power * state.high
        slow = self.power > 0.5
        if not slow.any():
            return State(direct, np.zeros_like(direct))
        change = (source - self.complement * state.high) + state.low
        high = state.high + change
        low = change - (high - state.high)
        return State(np.where(slow, high, direct), np.where(slow, low, 0.0))
