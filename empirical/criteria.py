"""What a teacher weight is chosen by, so that a choice and what it gains are computed by the same steps for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from empirical.cross_entropy import cross_entropy, crossing, slopes
from empirical.held_out import HeldOut
from empirical.pairs import scale_free_within, squared_error, squared_error_weight
from kdtheory.checks import Array

__all__ = ["Criterion", "by_cross_entropy", "by_squared_error", "scale_free"]


@dataclass(frozen=True, eq=False)
class Criterion:
    """What a weight is chosen by.

    Attributes
    ----------
    statistics : (S, m, q) array
        What it takes of each point.
    weight : function from means (..., q) to weights within [0, 1]
    parts : function from weights (m,), one for each point, to (S, m, k)
        What the risk at these weights takes of each point.
    risk : function from means (..., k) to risks
    """

    statistics: Array
    weight: Callable[[Array], Array]
    parts: Callable[[Array], Array]
    risk: Callable[[Array], Array]


def by_squared_error(M: Array) -> Criterion:
    """From moments (S, m, 6)."""
    return Criterion(
        M,
        lambda mean: np.clip(squared_error_weight(mean), 0.0, 1.0),
        lambda w: squared_error(M, w)[..., None],
        lambda mean: mean[..., 0],
    )


def scale_free(M: Array) -> Criterion:
    """From moments (S, m, 6); the risk is the squared error of the best multiple of the mix f, |V|^2 - <V, f>^2 / |f|^2."""

    def parts(w: Array) -> Array:
        vv, vP, vD, PP, PD, DD = np.moveaxis(M, -1, 0)
        return np.stack([vv, vP + w * vD, PP + w * (2 * PD + w * DD)], axis=-1)

    def risk(mean: Array) -> Array:
        vv, vf, ff = np.moveaxis(mean, -1, 0)
        return np.asarray(vv - np.divide(np.maximum(vf, 0.0) ** 2, ff, out=np.zeros_like(ff), where=ff > 0))

    return Criterion(M, lambda mean: scale_free_within(mean, 0.0, 1.0), parts, risk)


def by_cross_entropy(h: HeldOut) -> Criterion:
    """From logits.

    Raises
    ------
    ValueError
        If there are none.
    """
    if h.logits is None or h.classes is None:
        raise ValueError('`loss` "cross_entropy" needs logits or probabilities of classes, got outputs of squared error.')
    (z_l, z_t), y = h.logits, h.classes
    return Criterion(
        slopes(z_l, z_t, y),
        lambda mean: np.clip(crossing(mean), 0.0, 1.0),
        lambda w: cross_entropy(z_l, z_t, y, w)[..., None],
        lambda mean: mean[..., 0],
    )
