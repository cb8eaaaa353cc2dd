r"""Two stages, two samples: a student on fresh points whose labels come from a surrogate, or from a teacher.

Asymptotic, like `kdtheory.asymptotics`. With the student's implicit ridge :math:`\kappa`,
:math:`\zeta = \kappa/(e + \kappa)` and :math:`\Omega = \tfrac1n\sum(1 - \zeta_i)^2`, labels made by the coefficients s give
the excess risk

.. math::
    \sum_i ((1 - \zeta_i)s_i - v_i)^2 + \frac{\Omega}{1 - \Omega}\Big(\sigma^2 + \sum_i \zeta_i^2 s_i^2\Big).

True labels, s = v, are not the best ones: directions with :math:`1 - \zeta_i > \Omega` should be amplified, the others shrunk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.asymptotics import Population, implicit_ridge
from kdtheory.checks import Array, schedule, whole

__all__ = ["optimal_mask", "optimal_surrogate", "surrogate_risk", "two_stage_risk"]


def _student(population: Population, n: int, ridge: float) -> tuple[Array, float]:
    """zeta (p,) and Omega."""
    e, kappa = population.eigenvalues, implicit_ridge(population, n=n, ridge=ridge)
    zeta = kappa / (e + kappa)
    share = float(np.sum((e / (e + kappa)) ** 2)) / whole(n, "n", least=1)
    if not share < 1:
        raise ValueError(f"`n` must differ from the number of features where `ridge` is zero, got {n}: the risk is infinite.")
    return zeta, share


def surrogate_risk(population: Population, surrogate: ArrayLike, *, n: int, ridge: float = 0.0) -> float:
    r"""Excess risk of a student trained on n fresh points that a surrogate labels.

    Parameters
    ----------
    population : Population
        Its signal is the truth; its noise is on the surrogate's labels.
    surrogate : (p,) array
        Coefficients s of the labelling function, in the same basis as the signal.
    n : int
        Points of the student.
    ridge : float
        Of the student; zero for the smallest interpolating fit.

    Returns
    -------
    float
        Without the noise of a new label.

    Raises
    ------
    ValueError
        If a length or parameter is out of its range.

    References
    ----------
    Ildiz et al. (2025), arXiv:2410.18837.

    Examples
    --------
    >>> e = np.arange(1, 501.0) ** -2.0
    >>> truth = Population(e, np.sqrt(np.arange(1, 501.0) ** -1.5), 0.0)
    >>> round(surrogate_risk(truth, truth.signal, n=200), 5)
    0.11937
    >>> round(surrogate_risk(truth, optimal_surrogate(truth, n=200), n=200), 5)
    0.08325
    """
    s = schedule(surrogate, "surrogate")
    if len(s) != len(population.signal):
        raise ValueError(f"`surrogate` must have {len(population.signal)} entries like the signal, got {len(s)}.")
    zeta, share = _student(population, n, ridge)
    variance = share / (1 - share) * (population.noise_variance + np.sum((zeta * s) ** 2))
    return float(np.sum(((1 - zeta) * s - population.signal) ** 2) + variance)


def optimal_surrogate(population: Population, *, n: int, ridge: float = 0.0) -> Array:
    r"""The labelling function from which a student learns the truth best.

    .. math::
        s_i = v_i \Big/ \Big[(1 - \zeta_i) + \frac{\Omega}{1 - \Omega}\,\frac{\zeta_i^2}{1 - \zeta_i}\Big],

    larger than the truth exactly where :math:`1 - \zeta_i > \Omega`.

    Parameters
    ----------
    population, n, ridge
        As in `surrogate_risk`.

    Returns
    -------
    (p,) array

    References
    ----------
    Ildiz et al. (2025), arXiv:2410.18837.

    Examples
    --------
    >>> e = np.arange(1, 501.0) ** -2.0
    >>> truth = Population(e, np.sqrt(np.arange(1, 501.0) ** -1.5), 0.0)
    >>> int(np.sum(optimal_surrogate(truth, n=200) > truth.signal))
    126
    """
    zeta, share = _student(population, n, ridge)
    return np.asarray(population.signal * (1 - zeta) / ((1 - zeta) ** 2 + share / (1 - share) * zeta**2))


def optimal_mask(population: Population, *, n: int, ridge: float = 0.0) -> Array:
    r"""The best labelling function that keeps or drops each direction of the truth: it keeps :math:`1 - \zeta_i^2 > \Omega`.

    Parameters
    ----------
    population, n, ridge
        As in `surrogate_risk`.

    Returns
    -------
    (p,) array of bool

    References
    ----------
    Ildiz et al. (2025), arXiv:2410.18837.

    Examples
    --------
    >>> e = np.arange(1, 501.0) ** -2.0
    >>> truth = Population(e, np.sqrt(np.arange(1, 501.0) ** -1.5), 0.0)
    >>> kept = optimal_mask(truth, n=200)
    >>> int(kept.sum()), round(surrogate_risk(truth, truth.signal * kept, n=200), 5)
    (203, 0.08966)
    """
    zeta, share = _student(population, n, ridge)
    return np.asarray(1 - zeta**2 > share)


def two_stage_risk(
    population: Population, *, n_teacher: int, ridge_teacher: float, n_student: int, ridge_student: float = 0.0
) -> tuple[float, float]:
    r"""Excess risks of a teacher on noisy labels, and of a student on fresh points that the teacher labels.

    Parameters
    ----------
    population : Population
        Its noise is on the teacher's labels; the student's labels are the teacher's predictions as they are.
    n_teacher, n_student : int
    ridge_teacher, ridge_student : float

    Returns
    -------
    (teacher, student) : floats
        The student can be the better one: its ridge repairs an under-regularised teacher.

    References
    ----------
    Moniri & Hassani (2025), arXiv:2505.18346; Ildiz et al. (2025), arXiv:2410.18837.

    Examples
    --------
    >>> white = Population(np.ones(50), np.full(50, 0.1), 1.0)
    >>> teacher, student = two_stage_risk(white, n_teacher=100, ridge_teacher=1.0, n_student=200, ridge_student=50.0)
    >>> student < teacher
    True
    """
    zeta_t, share_t = _student(population, n_teacher, ridge_teacher)
    zeta_s, share_s = _student(population, n_student, ridge_student)
    v, noise = population.signal, population.noise_variance
    mean = (1 - zeta_t) * v
    spread = (noise + np.sum((zeta_t * v) ** 2)) / (n_teacher * (1 - share_t)) * (1 - zeta_t) ** 2
    teacher = np.sum((mean - v) ** 2 + spread)
    variance = share_s / (1 - share_s) * np.sum(zeta_s**2 * (mean**2 + spread))
    student = np.sum(((1 - zeta_s) * mean - v) ** 2 + (1 - zeta_s) ** 2 * spread) + variance
    return float(teacher), float(student)
