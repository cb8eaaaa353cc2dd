r"""How unsure a network is of a point, whatever its label: margin, least confidence, entropy; higher = keep.

Outputs are (n, C), or (R, n, C) of R networks, and scores then (R, n).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax, xlogy

from kdtheory.checks import Array, finite_array

__all__ = ["checked_outputs", "entropy", "least_confidence", "margin", "probabilities", "require_loss"]


def probabilities(outputs: ArrayLike, *, loss: str = "cross_entropy") -> Array:
    r"""What a network's outputs say of the classes; they sum to one.

    Cross-entropy: :math:`p = \mathrm{softmax}(f)`. Squared loss: :math:`p_c = f_c + (1 - \sum_b f_b)/C`, since the outputs
    that minimise it are the probabilities themselves up to the code's constant (one-hot, or one-hot minus 1/C). They may lie
    outside [0, 1]; a softmax of them would never be confident, at most e / (e + C - 1).

    Parameters
    ----------
    outputs : (n, C) or (R, n, C) array
    loss : {"cross_entropy", "squared"}
        What the network was trained on.

    Returns
    -------
    array of the same shape

    Examples
    --------
    >>> float(probabilities([[0.9, -0.1]], loss="squared")[0, 0]), float(probabilities([[0.0, 0.0]])[0, 0])
    (1.0, 0.5)
    """
    f = checked_outputs(outputs, least=2)
    require_loss(loss)
    return np.asarray(softmax(f, axis=-1) if loss == "cross_entropy" else f + (1 - f.sum(-1, keepdims=True)) / f.shape[-1])


def margin(outputs: ArrayLike, *, loss: str = "cross_entropy") -> Array:
    r"""Minus the lead of the first class over the second, :math:`-(p_{(1)} - p_{(2)})`; undecided points are kept.

    Parameters
    ----------
    outputs, loss
        As in `probabilities`; no labels are looked at.

    Returns
    -------
    (n,) or (R, n) array

    Examples
    --------
    >>> np.argsort(-margin([[3.0, 0.0, 0.0], [1.0, 1.0, 0.0]]))
    array([1, 0])
    """
    top = np.sort(probabilities(outputs, loss=loss), axis=-1)
    return np.asarray(top[..., -2] - top[..., -1])


def least_confidence(outputs: ArrayLike, *, loss: str = "cross_entropy") -> Array:
    r"""What is left to the other classes, :math:`1 - \max_c p_c`; unsure points are kept.

    On probabilities: by raw outputs a point with large logits everywhere would look sure.

    Parameters
    ----------
    outputs, loss
        As in `probabilities`; no labels are looked at.

    Returns
    -------
    (n,) or (R, n) array

    Examples
    --------
    >>> least_confidence([[9.0, 9.0], [0.0, 5.0]]).round(2)
    array([0.5 , 0.01])
    """
    return np.asarray(1.0 - probabilities(outputs, loss=loss).max(axis=-1))


def entropy(outputs: ArrayLike, *, loss: str = "cross_entropy") -> Array:
    r"""Entropy of the classes, :math:`-\sum_c p_c \log p_c`; unsure points are kept.

    Of the squared loss what lies below zero counts as zero, and the rest is divided by its sum.

    Parameters
    ----------
    outputs, loss
        As in `probabilities`; no labels are looked at.

    Returns
    -------
    (n,) or (R, n) array, in nats

    Examples
    --------
    >>> (entropy([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]]) / np.log(3)).round(2)
    array([1., 0.])
    """
    p = np.maximum(probabilities(outputs, loss=loss), 0.0)
    p /= p.sum(-1, keepdims=True)
    return np.asarray(-xlogy(p, p).sum(axis=-1))


def checked_outputs(outputs: ArrayLike, least: int = 1) -> Array:
    """(n, p) or (R, n, p) float64, with at least so many columns."""
    f = finite_array(outputs, "outputs")
    if f.ndim not in (2, 3) or f.shape[-1] < least:
        classes = f" with at least {least} classes" if least > 1 else ""
        raise ValueError(f"`outputs` must have shape (n, p) or (runs, n, p){classes}, got {f.shape}.")
    return f


def require_loss(loss: str) -> None:
    """Refuse what is neither of the two losses."""
    if loss not in ("cross_entropy", "squared"):
        raise ValueError(f'`loss` must be "cross_entropy" or "squared", got {loss!r}.')
