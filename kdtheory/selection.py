r"""Which rows to keep: orders of rows by rule, and what a rule does to the noise in what is kept, in closed form.

The closed forms are for linear regression with many points per feature and small ridges, where the student on labels is the
least-squares fit of the kept rows. A rule looks at the inputs and at the residuals of the fit of all rows (the teacher).
Where all labels are equally noisy, Gaussian residuals are independent of that fit, so for every rule the student's excess
risk over the teacher is :math:`(1 - w)^2` times what it is without distillation: the gap between any two rules shrinks by that
factor. Where some labels are noisier than others the teacher is not efficient and its residuals are uncorrelated with it but
not independent: part of the gap then shrinks by :math:`1 - w` only. At weight one all rules are the teacher.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import chdtr, chdtrc, chdtri, gammainccinv, gammaincinv

from kdtheory.checks import Array, column_shape, finite_array, number, outputs, positive, schedule, whole
from kdtheory.elementary_filters import Ridge
from kdtheory.kept import shares
from kdtheory.spectrum import Spectrum

__all__ = ["crossing", "excess_over_random", "gap_ratio", "kept_noise_share", "order_by", "scores", "variance_inflation"]

RULES = ("hardest", "easiest")


def scores(gram: ArrayLike, y: ArrayLike, *, rule: str, ridge: float, seed: int = 0) -> Array:
    r"""A score per row by ridge regression on all rows; higher = keep.

    Parameters
    ----------
    gram : (n, n) array
    y : (n,) or (n, p) array
        Labels.
    rule : {"random", "hardest", "easiest", "leverage"}
        "hardest": size of the residual :math:`|y_i - \hat y_i|`; "easiest": its negative; "leverage": :math:`H_{ii}`.
    ridge : float
        :math:`\lambda > 0` of the fit, absolute.
    seed : int
        Of "random".

    Returns
    -------
    (n,) array

    Raises
    ------
    ValueError
        If the rule is none of these, or a parameter out of its range.

    Examples
    --------
    >>> scores(np.eye(3), [1.0, -3.0, 2.0], rule="hardest", ridge=1.0)
    array([0.5, 1.5, 1. ])
    """
    s = Spectrum.from_gram(gram)
    labels = column_shape(outputs(y, "y", length=s.n))
    level = Ridge(positive(ridge, "ridge"))
    if rule == "random":
        return np.random.default_rng(whole(seed, "seed")).random(s.n)
    if rule == "leverage":
        return s.diagonal(level.fit(s.eigenvalues))
    if rule not in RULES:
        raise ValueError(f'`rule` must be "random", "hardest", "easiest" or "leverage", got {rule!r}.')
    size = np.linalg.norm(s.residual(level, labels), axis=1)
    return np.asarray(size if rule == "hardest" else -size)


def order_by(score: ArrayLike, *, seed: int = 0) -> NDArray[np.intp]:
    """Rows from the highest score to the lowest, equal scores in random order: the first m rows are what a share of m keeps.

    Examples
    --------
    >>> order_by([0.5, 1.5, 1.0])
    array([1, 2, 0])
    """
    values = schedule(score, "score")
    return np.lexsort((np.random.default_rng(whole(seed, "seed")).random(len(values)), -values))


def variance_inflation(
    keep_fraction: ArrayLike, *, rule: str = "hardest", noisy_share: float = 0.0, noisy_scale: float = 1.0
) -> Any:
    r"""How much larger than on average the kept squared residuals are, :math:`g(f)`.

    For Gaussian residuals and the hardest rows, with :math:`q = \Phi^{-1}(1 - f/2)`,

    .. math::
        g(f) = 1 + \frac{2q\,\varphi(q)}{f} .

    Parameters
    ----------
    keep_fraction : float or array
        f in (0, 1].
    rule : {"hardest", "easiest"}
    noisy_share, noisy_scale : floats
        A share of the rows has labels whose noise is so many times larger (standard deviation).

    Returns
    -------
    float or array

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> variance_inflation([0.1, 0.5, 1.0]).round(2)
    array([4.39, 1.86, 1.  ])
    """
    return _by_share(keep_fraction, lambda f: _moments(f, rule, noisy_share, noisy_scale)[0])


def excess_over_random(
    keep_fraction: ArrayLike,
    *,
    rule: str = "hardest",
    features: int | None = None,
    noisy_share: float = 0.0,
    noisy_scale: float = 1.0,
    teacher_weight: float = 0.0,
) -> Any:
    r"""Excess risk over the teacher's of a student that keeps rows by a rule, relative to random rows.

    By residual, :math:`g(f)\,(1 - f\,g(f))/(1 - f)` with the `variance_inflation` g: the second factor is there because the
    residuals of the fit of all rows sum to zero along every feature. By leverage, Gaussian features: :math:`(1/c - f)/(1 - f)`
    with :math:`c = P(\chi^2_{p+2} > q)/f`, :math:`P(\chi^2_p > q) = f`, the mean squared size of the kept rows. Both are the
    same at every teacher weight.

    With labels of unequal noise, :math:`s_k\sigma` on a share :math:`\rho_k` of the rows, :math:`\sum_k\rho_k s_k^2 = 1`,
    the kept rows and the teacher share :math:`C = \tfrac1f\sum_k\rho_k(s_k^2 - 1)\,P(\chi^2_3 > q^2/s_k^2)` ("easiest": with
    :math:`<`), zero where they are equal; by residual it is

    .. math::
        \frac{g\,(1 - fg) + f\,C\,[C + 2/(1 - w)]}{1 - f},

    which is negative where the rows kept are better than all: the easiest of labels some of which are very noisy.

    Parameters
    ----------
    keep_fraction : float or array
        f in (0, 1).
    rule : {"hardest", "easiest", "leverage"}
    features : int, optional
        p, for "leverage" only.
    noisy_share, noisy_scale
        As in `variance_inflation`; no matter for "leverage", which does not look at labels.
    teacher_weight : float
        w < 1, for labels of unequal noise; no matter otherwise.

    Returns
    -------
    float or array
        Above one where the rule loses to random.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or `features` is missing.

    References
    ----------
    Derived in kdtheory, checked by simulation. That score-based pruning loses to random at small shares was observed by Ayed
    & Hayou (2023), arXiv:2302.06960.

    Examples
    --------
    Hard rows are better than random ones while many are kept, and much worse when few are:

    >>> excess_over_random([0.05, 0.2, 0.4, 0.7]).round(2)
    array([4.24, 1.42, 0.47, 0.07])

    One label in twenty is ten times noisier: the easiest rows teach more than all rows do:

    >>> excess_over_random([0.3, 0.5, 0.7], rule="easiest", noisy_share=0.05, noisy_scale=10.0).round(2)
    array([-0.02, -0.19, -0.96])
    """
    f = shares(np.ravel(finite_array(keep_fraction, "keep_fraction")), "keep_fraction")
    if (f == 1).any():
        raise ValueError("`keep_fraction` must be below 1: on all rows every rule is the teacher.")
    w = number(teacher_weight, "teacher_weight")
    if not w < 1:
        raise ValueError(f"`teacher_weight` must be below 1: at 1 every rule is the teacher, got {w}.")
    if rule == "leverage":
        if features is None:
            raise ValueError('`features` must be given for the rule "leverage".')
        p = whole(features, "features", least=1)
        return _by_share(keep_fraction, lambda share: (share / chdtrc(p + 2, chdtri(p, share)) - share) / (1 - share))

    def ratio(share: float) -> float:
        g, common, _ = _moments(share, rule, noisy_share, noisy_scale)
        return (g * (1 - share * g) + share * common * (common + 2 / (1 - w))) / (1 - share)

    return _by_share(keep_fraction, ratio)


def kept_noise_share(
    keep_fraction: ArrayLike, *, noisy_share: float, noisy_scale: float = np.inf, rule: str = "hardest"
) -> Any:
    r"""Share of noisy labels among the kept rows.

    Where wrong labels stand out (`noisy_scale` infinite) they come first among the hardest: :math:`\min(1, \rho/f)`, and
    last among the easiest: :math:`\max(0, (\rho + f - 1)/f)`.

    Parameters
    ----------
    keep_fraction, noisy_share, noisy_scale, rule
        As in `variance_inflation`; :math:`\rho` is `noisy_share`.

    Examples
    --------
    Five in a hundred wrong labels are half of the hardest tenth:

    >>> kept_noise_share([0.05, 0.1, 1.0], noisy_share=0.05)
    array([1.  , 0.5 , 0.05])
    """
    if np.isposinf(number(noisy_scale, "noisy_scale")):
        rho = _share_of_noise(noisy_share)
        if rule not in RULES:
            raise ValueError(f'`rule` must be "hardest" or "easiest", got {rule!r}.')
        first = rule == "hardest"
        return _by_share(keep_fraction, lambda f: min(1.0, rho / f) if first else max(0.0, (rho + f - 1) / f))
    return _by_share(keep_fraction, lambda f: _moments(f, rule, noisy_share, noisy_scale)[2])


def crossing(*, noisy_share: float = 0.0, noisy_scale: float = 1.0, teacher_weight: float = 0.0) -> float:
    """The kept share below which the hardest rows lose to random ones; arguments as in `excess_over_random`.

    Examples
    --------
    >>> round(crossing(), 4)
    0.2615
    """

    def gap(f: float) -> float:
        at = excess_over_random(f, noisy_share=noisy_share, noisy_scale=noisy_scale, teacher_weight=teacher_weight)
        return float(at) - 1.0

    return float(brentq(gap, 1e-6, 1 - 1e-6, xtol=1e-13))


def gap_ratio(teacher_weight: ArrayLike) -> Any:
    r"""The gap between two rules at a teacher weight, relative to that without distillation: :math:`(1 - w)^2`.

    Exact for least squares, equally noisy Gaussian labels and any two rules that look at inputs and residuals only: the
    student's coefficients are :math:`(1 - w)\,\hat\theta_F + w\,\hat\theta`, and Gaussian residuals are independent of
    :math:`\hat\theta`. With labels of unequal noise the gap to random rows is :math:`(1 - w)^2` times
    `excess_over_random` at that weight less one, which need not shrink so.

    Examples
    --------
    >>> gap_ratio([0.0, 0.5, 0.9, 1.0]).round(4)
    array([1.  , 0.25, 0.01, 0.  ])
    """
    return (1.0 - finite_array(teacher_weight, "teacher_weight")) ** 2


def _by_share(keep_fraction: ArrayLike, value: Any) -> Any:
    f = finite_array(keep_fraction, "keep_fraction")
    each = [value(float(share)) for share in shares(f.ravel(), "keep_fraction")]
    return np.reshape(each, f.shape)[()]


def _share_of_noise(noisy_share: float) -> float:
    rho = positive(noisy_share, "noisy_share", zero=True)
    if rho > 1:
        raise ValueError(f"`noisy_share` must be at most 1, got {rho}.")
    return rho


def _moments(f: float, rule: str, noisy_share: float, noisy_scale: float) -> tuple[float, float, float]:
    """Inflation g of the squared residuals, what the kept rows share with the fit of all, C, and the share of noisy rows."""
    if rule not in RULES:
        raise ValueError(f'`rule` must be "hardest" or "easiest", got {rule!r}.')
    rho, scale = _share_of_noise(noisy_share), positive(noisy_scale, "noisy_scale")
    weights, scales = np.array([1 - rho, rho]), np.array([1.0, scale])
    scales /= np.sqrt(weights @ scales**2)
    kept, quantile = (chdtrc, gammainccinv) if rule == "hardest" else (chdtr, gammaincinv)  # of chi-squared
    if f == 1:
        return 1.0, 0.0, rho
    alone = np.sqrt(2 * quantile(0.5, f)) * scales  # the threshold of each part by itself: that of both lies between
    low, high = alone.min() / 2, 2 * alone.max()
    q = brentq(lambda x: weights @ kept(1, (x / scales) ** 2) - f, low, high, xtol=1e-300, rtol=1e-15)
    z2 = (q / scales) ** 2
    squares = kept(3, z2)  # E z^2 where kept
    g, common = weights @ (scales**2 * squares) / f, weights @ ((scales**2 - 1) * squares) / f
    return float(g), float(common), min(1.0, float(weights[1] * kept(1, z2)[1] / f))
