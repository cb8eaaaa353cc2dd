r"""A teacher on all points, a student on a random subset of them: its risk as the sample grows, without data.

The teacher (n points, ridge :math:`\lambda_t`) and the student (m = fn of these points, ridge :math:`\lambda_s`) act through
their implicit ridges :math:`\kappa_t` at n and :math:`\kappa` at m. With

.. math::
    s = \frac{e}{e+\kappa}, \quad \rho = \frac{\kappa}{e+\kappa}, \quad \delta = \frac{e}{(e+\kappa)(e+\kappa_t)}, \quad
    \Omega_{ij} = \frac1n\sum s_i s_j, \quad N_{ij} = \sigma^2 + \sum \rho_i\rho_j v^2, \quad
    R_{ij} = \frac{N_{ij}}{1 - \Omega_{ij}}

the student's error on a new label is :math:`\varepsilon + w\tau\,d\varepsilon`, with :math:`\langle\cdot,\cdot\rangle` the
values and divided differences of R in :math:`\kappa`, and :math:`\tau = (\lambda_t/n)/(1 - \Omega_{st})`. What a subset adds
to a fit of all points is a multiple of that fit's training error, here in the same letters:

.. math::
    R_m(w) = |\varepsilon + w\tau\,d\varepsilon|^2
           + C\,\Big|\varepsilon + w\tfrac{\tau}{\kappa_t}(\kappa\,d\varepsilon - \varepsilon)\Big|^2, \qquad
    C = \frac{1 - \tfrac1n\sum s^2}{1 - \tfrac1m\sum s^2} - 1 .

C is zero on all points and grows without bound as points are pruned. The first term is least at the weight of
self-distillation, the second at a weight of at least one: the optimal weight is an average of the two, and pruning moves it
to the second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, finite, finite_array
from kdtheory.kept import require_convention
from kdtheory.population import BLOCK, Population, implicit_ridges, sample_sizes
from kdtheory.risk_curves import RiskCurves

__all__ = ["best_ridge", "pruned_risk_curves"]

RIDGES_TRIED = 61  # over twelve decades, before the search is narrowed
NARROWING = 40  # steps of the golden section


def pruned_risk_curves(
    population: Population,
    *,
    n: ArrayLike,
    keep_fraction: ArrayLike,
    ridge: ArrayLike,
    ridge_convention: str,
    teacher_ridge: ArrayLike | None = None,
    noise_variance: ArrayLike | None = None,
) -> RiskCurves:
    r"""Risk over the teacher weight of a student on a random subset, in the limit of many points and features.

    All of `n`, `keep_fraction`, `ridge`, `teacher_ridge` and `noise_variance` may be arrays; together they give the shape of
    the answer.

    Parameters
    ----------
    population : Population
    n : int, or array
        Points of the teacher. A teacher that saw a share of the points only has that many; the others play no part.
    keep_fraction : float, or array
        f = m / n, the student's share of the teacher's points, in (0, 1].
    ridge : float, or array
        :math:`\lambda_s \ge 0` of the student; zero is the limit.
    ridge_convention : {"absolute", "per_example"}
        Whether `ridge` and `teacher_ridge` are ridges of :math:`K + \lambda I`, or are times the number of examples: m and n.
    teacher_ridge : float, or array, optional
        :math:`\lambda_t \ge 0`; left out, `ridge` under the same convention.
    noise_variance : float, or array, optional
        Of a label, in place of the population's.

    Returns
    -------
    RiskCurves
        Expected squared error on a new label, noise included.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or the student's risk is infinite (ridge 0 with as many points as features).

    Notes
    -----
    Where the student nearly interpolates (m near the number of strong directions, a tiny ridge) samples of hundreds of points
    are still several per cent away from the limit.

    References
    ----------
    Derived in kdtheory and checked by simulation; at ``keep_fraction=1`` it is `asymptotics.risk_curve`, the setting of
    Dang, Patil & Rinaldo (2026), arXiv:2602.17565. For the observation: Ben-Baruch et al. (2025), arXiv:2403.07854.

    Examples
    --------
    The fewer points are kept, the more the teacher is worth:

    >>> white = Population(np.ones(100), np.full(100, 0.1), 1.0)
    >>> curves = pruned_risk_curves(white, n=200, keep_fraction=[1.0, 0.6, 0.2], ridge=0.5, ridge_convention="per_example")
    >>> curves.optimal_weight.round(3) + 0.0
    array([0.   , 0.617, 0.906])
    """
    if not isinstance(population, Population):
        raise ValueError(f"`population` must be a Population, got {type(population).__name__}.")
    given = {
        "keep_fraction": keep_fraction,
        "ridge": ridge,
        "teacher_ridge": ridge if teacher_ridge is None else teacher_ridge,
    }
    given["noise_variance"] = population.noise_variance if noise_variance is None else noise_variance
    arrays = [sample_sizes(n, "n"), *(_not_negative(value, name) for name, value in given.items())]
    try:
        sizes, fraction, lam, lam_t, noise = np.broadcast_arrays(*arrays)
    except ValueError:
        shapes = ", ".join(f"`{name}` {array.shape}" for name, array in zip(["n", *given], arrays, strict=True))
        raise ValueError(f"`n` and the other arrays must have shapes that fit together, got {shapes}.") from None
    if ((fraction <= 0) | (fraction > 1)).any():
        wrong = float(fraction[(fraction <= 0) | (fraction > 1)][0])
        raise ValueError(f"`keep_fraction` must be above 0 and at most 1, got {wrong}.")
    require_convention(ridge_convention)
    kept = fraction * sizes
    if ridge_convention == "per_example":
        lam, lam_t = lam * kept, lam_t * sizes
    flat = [array.ravel() for array in (sizes, kept, lam, lam_t, noise)]
    step = max(1, BLOCK // len(population.eigenvalues))
    blocks = [_curves(population, *(array[i : i + step] for array in flat)) for i in range(0, flat[0].size, step)]
    return RiskCurves(*(np.concatenate(part).reshape(sizes.shape) for part in zip(*blocks, strict=True)))


def _curves(population: Population, n: Array, m: Array, lam: Array, lam_t: Array, noise: Array) -> tuple[Array, ...]:
    """Start, slope, curvature and size, by the letters of the module's docstring; t marks the teacher."""
    e, v2 = population.eigenvalues, population.signal**2
    kappa, kappa_t = implicit_ridges(population, m, lam), implicit_ridges(population, n, lam_t)
    sum_e = e + kappa[:, None]
    s, rho = e / sum_e, kappa[:, None] / sum_e
    delta = s / (e + kappa_t[:, None])
    omega, move, bend = (np.sum(pair, axis=1) / n for pair in (s**2, s * delta, delta**2))
    gap = kappa_t - kappa
    # 1 - Omega at (s, s), (s, t) and (t, t): each share of the teacher is s - gap delta
    here, across, there = 1 - omega, 1 - omega + gap * move, 1 - omega + 2 * gap * move - gap**2 * bend
    left = 1 - omega * n / m
    if not (left > 1e-12).all():
        where = np.flatnonzero(left <= 1e-12)[0]
        raise ValueError(
            f"`ridge` must be positive where the student's points number about as many as the features, got {lam[where]:.3g} "
            f"at {m[where]:.4g} points: the risk is infinite."
        )
    N, n1, n2 = noise + rho**2 @ v2, (rho * delta) @ v2, delta**2 @ v2
    R = N / here
    # divided differences of R in kappa, first and second: nothing is subtracted that was not a difference before
    first = n1 / across - N * move / (here * across)
    of_variance = (bend + move * (2 * move - gap * bend) / here) / (across * there)
    second = N * of_variance + 2 * n1 * (gap * bend - move) / (across * there) + n2 / there
    # tau / kappa_t = (1 - df_1 / n) / across, which is lam_t / (n kappa_t) wherever the teacher's implicit ridge is not zero
    untrained = np.divide(lam_t, n * kappa_t, out=1 - len(e) / n, where=kappa_t > 0) / across
    tau, C = kappa_t * untrained, here / left - 1
    slope = 2 * tau * first + 2 * C * untrained * (kappa * first - R)
    curvature = tau**2 * second + C * untrained**2 * (kappa**2 * second - 2 * kappa * first + R)
    return N / left, slope, np.maximum(curvature, 0.0), s**2 @ v2 + N * (1 - left) / left


def best_ridge(
    population: Population,
    *,
    n: ArrayLike,
    keep_fraction: ArrayLike,
    ridge_convention: str,
    teacher_weight: float | None = 0.0,
    teacher_ridge: ArrayLike | None = None,
    noise_variance: ArrayLike | None = None,
) -> Any:
    r"""The student's ridge of least risk at a teacher weight, or together with the best weight.

    Parameters
    ----------
    population, n, keep_fraction, ridge_convention, teacher_ridge, noise_variance
        As in `pruned_risk_curves`. A teacher without its own ridge has the one that is found.
    teacher_weight : float or None
        0 for ridge regression on the subset; None for the optimal weight of each ridge.

    Returns
    -------
    float, or array of the shape that the arrays have together
        In units of the convention. Searched from 1e-8 to 1e4 times the mean diagonal of the kernel (times the number of
        examples, if absolute); on a plateau any point of it.

    Raises
    ------
    ValueError
        As in `pruned_risk_curves`.

    Examples
    --------
    Ridge regression on white features wants p times noise over signal, however few points are kept:

    >>> white = Population(np.ones(100), np.full(100, 0.1), 1.0)
    >>> best_ridge(white, n=200, keep_fraction=[0.2, 1.0], ridge_convention="absolute").round(3)
    array([100., 100.])
    """
    weight = None if teacher_weight is None else finite(teacher_weight, "teacher_weight")
    sizes, fractions = np.broadcast_arrays(sample_sizes(n, "n"), sample_sizes(keep_fraction, "keep_fraction"))
    count = sizes * fractions if ridge_convention == "absolute" else np.ones(sizes.shape)
    unit = np.log(float(population.eigenvalues.sum()) * count)

    def risk(log_ridge: Array) -> Array:
        curves = pruned_risk_curves(
            population,
            n=n,
            keep_fraction=keep_fraction,
            ridge=np.exp(log_ridge),
            ridge_convention=ridge_convention,
            teacher_ridge=teacher_ridge,
            noise_variance=noise_variance,
        )
        return np.asarray(curves(weight) if weight is not None else curves.at(np.nan_to_num(curves.vertex)))

    tried = np.linspace(np.log(1e-8), np.log(1e4), RIDGES_TRIED)
    risks = np.array([risk(unit + x) for x in tried])
    best = np.clip(risks.argmin(axis=0), 1, len(tried) - 2)
    low, high = unit + tried[best - 1], unit + tried[best + 1]
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(NARROWING):
        inner, outer = high - ratio * (high - low), low + ratio * (high - low)
        below = risk(inner) < risk(outer)
        low, high = np.where(below, low, inner), np.where(below, outer, high)
    return np.exp((low + high) / 2)[()]


def _not_negative(value: ArrayLike, name: str) -> Array:
    array = finite_array(value, name)
    if (array < 0).any():
        raise ValueError(f"`{name}` must be zero or positive, got {float(array[array < 0][0])}.")
    return array
