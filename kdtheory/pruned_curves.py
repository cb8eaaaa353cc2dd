r"""Expected risk of students of pruned data over their teacher weight: of one kept set, and of families of random sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdtheory.checks import positive
from kdtheory.kept import kept_count, ridge_for, rows_kept, shares
from kdtheory.pruned_risk import PrunedRisk, PrunedRisks
from kdtheory.pruned_setting import Setting, given, orders_of
from kdtheory.pruned_students import KeptStudent, Teacher, checked_gram
from kdtheory.risk_curves import RiskCurves
from kdtheory.workers import mapped

__all__ = ["risk_curve", "risk_curves", "teacher_shares"]

Parts = list[tuple[RiskCurves, RiskCurves]]  # squared bias, and variance per unit of noise variance


def risk_curve(
    gram: ArrayLike,
    signal: ArrayLike,
    *,
    noise_variance: float,
    kept: ArrayLike,
    ridge: float,
    ridge_convention: str,
    teacher: Teacher | None = None,
    cross: ArrayLike | None = None,
    signal_new: ArrayLike | None = None,
) -> PrunedRisk:
    r"""Expected risk of a student on kept rows over its teacher weight, labels :math:`y = f + \varepsilon`.

    Parameters
    ----------
    gram : (n, n) array
        The student's kernel on all n rows.
    signal : (n,) or (n, p) array
        Noiseless f on all rows.
    noise_variance : float
        :math:`\sigma^2 \ge 0` of each label.
    kept : indices or (n,) mask
        Rows F that the student keeps.
    ridge : float
        :math:`\lambda \ge 0` of the student, in units of the convention; zero is the limit.
    ridge_convention : {"absolute", "per_example"}
    teacher : Teacher, optional
        Left out, ridge regression on all rows with the student's kernel, `ridge` and convention.
    cross, signal_new : (m, n) and (m,) or (m, p) arrays, optional
        Kernel between new points and all rows, and f there; left out, the error is that at all n rows.

    Returns
    -------
    PrunedRisk

    Raises
    ------
    ValueError
        If a shape does not fit, `kept` is empty, repeats a row or names one that is not there, a mask has another length
        than n, or the teacher has other outputs.

    References
    ----------
    Derived in kdtheory; the setting of Ben-Baruch et al. (2025), arXiv:2403.07854.

    Examples
    --------
    On all rows it is self-distillation. The fewer rows are kept, the more the teacher is worth:

    >>> from kdtheory import kernels
    >>> x = np.linspace(0.0, 1.0, 40)[:, None]
    >>> K, f = kernels.rbf(x, gamma=20.0), np.sin(6 * x[:, 0])
    >>> for every in (1, 2, 5):
    ...     kept = np.arange(0, 40, every)
    ...     risk = risk_curve(K, f, noise_variance=0.5, kept=kept, ridge=0.05, ridge_convention="per_example")
    ...     print(risk.kept, round(risk.optimal_weight, 3))
    40 -0.274
    20 0.674
    8 0.895
    >>> print(risk)
    8 of 40 rows kept, ridge 0.05 (per example: K + ridge m I), noise variance 0.5:
    optimal teacher weight 0.895, risk 0.1956 on labels, 0.07171 on the teacher, 0.06999 at the optimum.
    """
    at = given(
        gram, signal, ridge=ridge, ridge_convention=ridge_convention, teacher=teacher, cross=cross, signal_new=signal_new
    )
    rows, variance = rows_kept(kept, len(at.gram)), positive(noise_variance, "noise_variance", zero=True)
    ridge = positive(ridge, "ridge", zero=True)
    level = ridge_for(ridge, len(rows), ridge_convention)
    bias, noise = _parts(KeptStudent.of(at.gram, rows, at.cross), at, at.teacher, level)
    return PrunedRisk(bias, noise, variance, ridge, ridge_convention, len(rows), len(at.gram))


def risk_curves(
    gram: ArrayLike,
    signal: ArrayLike,
    *,
    noise_variance: float,
    keep_fractions: ArrayLike,
    ridge: float,
    ridge_convention: str,
    teacher: Teacher | None = None,
    cross: ArrayLike | None = None,
    signal_new: ArrayLike | None = None,
    subsets: int = 20,
    seed: int = 0,
    orders: ArrayLike | None = None,
    scheduler: Any = None,
) -> PrunedRisks:
    """Expected risk for every kept share, on the same random subsets, nested from share to share.

    Parameters
    ----------
    gram, signal, noise_variance, ridge, ridge_convention, teacher, cross, signal_new
        As in `risk_curve`.
    keep_fractions : (k,) array
        Shares of the n rows in (0, 1], rounded to whole rows.
    subsets : int
        Random subsets of each share.
    seed : int
        Of the random orders.
    orders : (n,) or (subsets, n) array, optional
        Orders of all rows in place of random ones: a share keeps the first rows. `selection.order_by` makes one from scores.
    scheduler : optional
        Where subsets are computed, as in `kdtheory.scale.mapped`: None here, "processes:4", the address of a Dask cluster.

    Returns
    -------
    PrunedRisks

    Raises
    ------
    ValueError
        As in `risk_curve`, or if a share keeps nothing.

    Examples
    --------
    >>> from kdtheory import kernels
    >>> x = np.linspace(0.0, 1.0, 40)[:, None]
    >>> K, f = kernels.rbf(x, gamma=20.0), np.sin(6 * x[:, 0])
    >>> print(risk_curves(K, f, noise_variance=0.5, keep_fractions=[0.2, 1.0], ridge=0.05, ridge_convention="per_example"))
    ridge 0.05 (per example: K + ridge m I), noise variance 0.5, 20 random subset(s); shares kept
      share   rows  on labels  on teacher  at optimum  optimal weight [95 % over subsets]
        0.2      8     0.2101      0.1009      0.0993  0.892 [0.882, 0.903]
          1     40    0.05284     0.07203     0.05191  -0.274 [-0.274, -0.274]
    """
    at = given(
        gram, signal, ridge=ridge, ridge_convention=ridge_convention, teacher=teacher, cross=cross, signal_new=signal_new
    )
    n, variance = len(at.gram), positive(noise_variance, "noise_variance", zero=True)
    ridge, fractions = positive(ridge, "ridge", zero=True), shares(keep_fractions)
    counts = np.array([kept_count(fraction, n) for fraction in fractions])
    levels = [(m, ridge_for(ridge, m, ridge_convention)) for m in counts.tolist()]
    parts = mapped(partial(_of_students, at, levels), orders_of(orders, n, subsets, seed), scheduler=scheduler)
    bias, noise = _tables(parts, len(counts))
    return PrunedRisks(fractions, counts, bias, noise, variance, ridge, ridge_convention)


def teacher_shares(
    gram: ArrayLike,
    signal: ArrayLike,
    *,
    noise_variance: float,
    keep_fraction: float,
    seen_fractions: ArrayLike,
    ridge: float,
    ridge_convention: str,
    teacher_gram: ArrayLike | None = None,
    teacher_ridge: float | None = None,
    cross: ArrayLike | None = None,
    signal_new: ArrayLike | None = None,
    subsets: int = 20,
    seed: int = 0,
    scheduler: Any = None,
) -> PrunedRisks:
    """Expected risk of one kept share for teachers that saw more and more, the student's rows among theirs.

    A share below the student's means that the teacher saw fewer rows, all of them among the student's.

    Parameters
    ----------
    gram, signal, noise_variance, ridge, ridge_convention, cross, signal_new, subsets, seed, scheduler
        As in `risk_curves`.
    keep_fraction : float
        The student's share.
    seen_fractions : (k,) array
        The teacher's shares, in (0, 1].
    teacher_gram : (n, n) array, optional
        The teacher's kernel; left out, the student's.
    teacher_ridge : float, optional
        Left out, `ridge` under the same convention.

    Returns
    -------
    PrunedRisks
        Over the teacher's shares.

    Examples
    --------
    At weight 1 the student learns from the teacher alone, and better from one that has seen more:

    >>> from kdtheory import kernels
    >>> x = np.linspace(0.0, 1.0, 40)[:, None]
    >>> sweep = teacher_shares(kernels.rbf(x, gamma=20.0), np.sin(6 * x[:, 0]), noise_variance=0.5, keep_fraction=0.2,
    ...                        seen_fractions=[0.2, 0.5, 1.0], ridge=0.05, ridge_convention="per_example")
    >>> sweep.mean(1.0).round(3)
    array([0.188, 0.124, 0.101])
    """
    at = given(gram, signal, ridge=ridge, ridge_convention=ridge_convention, cross=cross, signal_new=signal_new)
    n, variance = len(at.gram), positive(noise_variance, "noise_variance", zero=True)
    K = at.gram if teacher_gram is None else checked_gram(teacher_gram, "teacher_gram")
    if len(K) != n:
        raise ValueError(f"`teacher_gram` must have {n} rows like `gram`, got {len(K)}.")
    ridge = positive(ridge, "ridge", zero=True)
    own = ridge if teacher_ridge is None else positive(teacher_ridge, "teacher_ridge", zero=True)
    seen = shares(seen_fractions, "seen_fractions")
    counts = np.array([kept_count(fraction, n, "seen_fractions") for fraction in seen])
    share = shares([positive(keep_fraction, "keep_fraction")], "keep_fraction")[0]
    m = kept_count(float(share), n, "keep_fraction")
    taught = partial(Teacher.ridge, K, ridge=own, ridge_convention=ridge_convention)
    task = partial(_of_teachers, at, taught, counts.tolist(), m, ridge_for(ridge, m, ridge_convention))
    parts = mapped(task, orders_of(None, n, subsets, seed), scheduler=scheduler)
    bias, noise = _tables(parts, len(counts))
    return PrunedRisks(
        seen,
        counts,
        bias,
        noise,
        variance,
        ridge,
        ridge_convention,
        whose=f"seen by a teacher of ridge {own:.4g}; the student keeps {m} rows",
    )


def _of_students(at: Setting, levels: list[tuple[int, float]], order: NDArray[np.intp]) -> Parts:
    """Every kept share of one order of the rows, by their numbers and ridges."""
    return [_parts(KeptStudent.of(at.gram, order[:m], at.cross), at, at.teacher, level) for m, level in levels]


def _of_teachers(
    at: Setting, taught: Callable[..., Teacher], counts: list[int], m: int, level: float, order: NDArray[np.intp]
) -> Parts:
    """Every share that the teacher sees, of one order of the rows."""
    student = KeptStudent.of(at.gram, order[:m], at.cross)
    return [_parts(student, at, taught(seen=order[:count]), level) for count in counts]


def _parts(student: KeptStudent, at: Setting, teacher: Teacher, level: float) -> tuple[RiskCurves, RiskCurves]:
    """Squared bias, and variance per unit of noise variance."""
    return student.bias(at.signal, at.signal_new, teacher, level), student.variance(student.heard(teacher), level)


def _tables(parts: list[Parts], count: int) -> list[RiskCurves]:
    """Both parts, listed subset by subset, as one object each of shape (shares, subsets)."""
    pairs = zip(*chain.from_iterable(parts), strict=True)
    return [RiskCurves.gather(each).reshape(-1, count).transpose() for each in pairs]
