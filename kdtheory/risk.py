r"""Risk: the parabola in the teacher weight, bias and variance, and estimates that need no validation data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, outputs, positive, schedule, whole
from kdtheory.filters import Distilled
from kdtheory.grid import residual_moments
from kdtheory.leave_one_out import loo
from kdtheory.leave_one_out_grid import loo_grid
from kdtheory.parabola import RiskCurve
from kdtheory.recursion import Chain
from kdtheory.spectrum import Spectrum, require_spectrum

__all__ = ["BiasVariance", "RiskCurve", "bias_variance", "gcv", "gcv_grid", "loo", "loo_grid", "sure"]


class BiasVariance(NamedTuple):
    """Squared bias and variance of every round, each (T + 1,); their sum is the risk."""

    bias: Array
    variance: Array


def bias_variance(
    spectrum: Spectrum, signal: ArrayLike, *, noise_variance: float, ridge: ArrayLike, teacher_weights: ArrayLike
) -> BiasVariance:
    r"""Squared bias and variance at the training points (fixed design), for every round of a chain.

    .. math::
        \text{bias}_t = \frac1n \sum_i (1 - b_t(d_i))^2 \theta_i^2, \qquad
        \text{variance}_t = \frac{\sigma^2}{n} \sum_i b_t(d_i)^2, \qquad \theta = U^\top f .

    Parameters
    ----------
    spectrum : Spectrum
    signal : (n,) or (n, p) array
        Noiseless f.
    noise_variance : float
        :math:`\sigma^2` of each label.
    ridge, teacher_weights
        As in `rounds`; the weights must not have been chosen on these labels.

    Raises
    ------
    ValueError, OverflowError
        As in `rounds`, or if `noise_variance` is negative.

    Examples
    --------
    Distillation trades variance for bias:

    >>> s = Spectrum.from_gram([[1.0, 0.0], [0.0, 1.0]])
    >>> bias_variance(s, [1.0, 0.0], noise_variance=1.0, ridge=1.0, teacher_weights=[1.0])
    BiasVariance(bias=array([0.125  , 0.28125]), variance=array([0.25  , 0.0625]))
    """
    require_spectrum(spectrum)
    f = column_shape(outputs(signal, "signal", length=spectrum.n))
    every = Distilled(ridge, teacher_weights).every_round(spectrum.eigenvalues)
    variance = positive(noise_variance, "noise_variance", zero=True) * np.sum(every.fit**2, axis=1)
    return BiasVariance(_loss(_energy(spectrum, f), every) / f.size, variance / spectrum.n)


def gcv(spectrum: Spectrum, y: ArrayLike, *, ridge: ArrayLike, teacher_weights: ArrayLike) -> Array:
    r"""Generalised cross-validation of every round, :math:`\frac{1}{n}|y - \hat y_t|^2 \,/\, (\mathrm{tr}(I - H_t)/n)^2`.

    Parameters
    ----------
    spectrum, y, ridge, teacher_weights
        As in `rounds`. The score is averaged over outputs.

    Returns
    -------
    (T + 1,) array

    Raises
    ------
    ValueError, OverflowError
        As in `rounds`.

    References
    ----------
    Golub, Heath & Wahba (1979).

    Examples
    --------
    >>> s = Spectrum.from_gram([[1.0, 0.0], [0.0, 1.0]])
    >>> gcv(s, [1.0, 1.0], ridge=1.0, teacher_weights=[])
    array([1.])
    """
    require_spectrum(spectrum)
    labels = column_shape(outputs(y, "y", length=spectrum.n))
    every = Distilled(ridge, teacher_weights).every_round(spectrum.eigenvalues)
    freedom = every.residual.sum(axis=1) + (spectrum.n - spectrum.rank)
    return gcv_score(_loss(_energy(spectrum, labels), every), freedom, float(spectrum.n), labels.shape[1])


def gcv_grid(
    spectrum: Spectrum,
    y: ArrayLike,
    *,
    ridges: ArrayLike,
    teacher_weights: ArrayLike,
    rounds: int,
    n_effective: float | None = None,
) -> Array:
    r"""Generalised cross-validation of constant-weight chains over ridge × teacher weight × round.

    Parameters
    ----------
    spectrum, y, ridges, teacher_weights, rounds
        As in `loo_grid`.
    n_effective : float, optional
        Takes the place of n where points carry weights: their sum.

    Returns
    -------
    (L, A, T + 1) array
        Each entry as in `gcv`.

    Raises
    ------
    ValueError
        If `n_effective` does not exceed a smoother's degrees of freedom; otherwise as in `loo_grid`.

    Examples
    --------
    Where the smoother treats every direction alike, GCV does not depend on how much it shrinks:

    >>> s = Spectrum.from_gram([[1.0, 0.0], [0.0, 1.0]])
    >>> gcv_grid(s, [1.0, 1.0], ridges=[1.0, 3.0], teacher_weights=[0.5], rounds=1)
    array([[[1., 1.]],
           [[1., 1.]]])
    """
    require_spectrum(spectrum)
    labels = column_shape(outputs(y, "y", length=spectrum.n))
    n = float(spectrum.n) if n_effective is None else positive(n_effective, "n_effective")
    inside, outside = _energy(spectrum, labels)
    losses, traces = residual_moments(
        spectrum.eigenvalues,
        inside,
        schedule(ridges, "ridges", above_zero=True),
        schedule(teacher_weights, "teacher_weights"),
        whole(rounds, "rounds"),
    )
    freedom = traces + (n - spectrum.rank)
    if n != spectrum.n and not (freedom > 0).all():
        raise ValueError(
            f"`n_effective`, the sum of the sample weights, must exceed the smoother's degrees of freedom, "
            f"{n - freedom.min():.4g}, got {n:.4g}."
        )
    return gcv_score(losses + outside, freedom, n, labels.shape[1])


def sure(spectrum: Spectrum, y: ArrayLike, *, noise_variance: float, ridge: ArrayLike, teacher_weights: ArrayLike) -> Array:
    r"""Stein's unbiased estimate of the risk of every round.

    .. math::
        \tfrac1n |y - \hat y_t|^2 + \tfrac{2\sigma^2}{n}\,\mathrm{tr}\,H_t - \sigma^2,

    unbiased for :math:`\tfrac1n E|\hat y_t - f|^2` under Gaussian noise where ridge and weights do not depend on the labels.

    Parameters
    ----------
    spectrum, y, ridge, teacher_weights
        As in `rounds`.
    noise_variance : float
        :math:`\sigma^2` of each label.

    Returns
    -------
    (T + 1,) array

    Raises
    ------
    ValueError, OverflowError
        As in `rounds`, or if `noise_variance` is negative.

    References
    ----------
    Stein (1981).

    Examples
    --------
    >>> s = Spectrum.from_gram([[1.0, 0.0], [0.0, 1.0]])
    >>> sure(s, [1.0, 1.0], noise_variance=1.0, ridge=1.0, teacher_weights=[])
    array([0.25])
    """
    require_spectrum(spectrum)
    labels = column_shape(outputs(y, "y", length=spectrum.n))
    variance = positive(noise_variance, "noise_variance", zero=True)
    every = Distilled(ridge, teacher_weights).every_round(spectrum.eigenvalues)
    loss = _loss(_energy(spectrum, labels), every)
    return np.asarray(loss / labels.size + variance * (2 * every.fit.sum(axis=1) / spectrum.n - 1))


def _energy(spectrum: Spectrum, labels: Array) -> tuple[Array, float]:
    """|y|^2 in each eigendirection (r,), and outside all of them; summed over outputs."""
    return np.sum(spectrum.project(labels) ** 2, axis=1), float(np.sum(spectrum.outside(labels) ** 2))


def _loss(energy: tuple[Array, float], every: Chain) -> Array:
    """|y - y_t|^2 of every round, summed over points and outputs, from residual filters: nothing is subtracted."""
    inside, outside = energy
    return np.asarray(every.residual**2 @ inside + outside)


def gcv_score(losses: Array, freedom: Array, n: float, outputs: int) -> Array:
    """GCV from |y - y_t|^2 and tr(I - H_t); without any freedom left it is infinite or undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(losses * n / (freedom**2 * outputs))
