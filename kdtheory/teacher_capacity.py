r"""Which teacher should a pruned student have? A small one, if it keeps few rows: large teachers are better, and teach worse.

A teacher of kernel :math:`K_k` (of the first k features, of a network of some width) sees all n rows, with the ridge that is
best for itself, and predicts :math:`G_k y`. The student has its own kernel K and random rows F, m of them. Trained on
:math:`(1 - w)\,y_F + w\,(G_k y)_F`, it errs at new points by

.. math::
    \tilde f - A f_F - w A (G_k - E)_F f - A\,[(1 - w) E + w G_k]_F\,\varepsilon, \qquad
    A = k_F\,(K_{FF} + \lambda I)^{-1} .

What a teacher knows beyond the resolution of m rows is a target that the student cannot fit, and so it acts as noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from kdtheory.checks import Array, finite, matrix, outputs, positive, schedule
from kdtheory.kept import kept_count, ridge_for, shares
from kdtheory.pruned_risk import LEVEL
from kdtheory.pruned_setting import Setting, given, orders_of
from kdtheory.pruned_students import KeptStudent, Teacher, checked_gram
from kdtheory.risk_curves import RiskCurves

__all__ = ["Capacities", "leading_features", "teacher_capacities"]


def leading_features(features: ArrayLike, counts: ArrayLike, features_new: ArrayLike | None = None) -> list[Array]:
    r"""Kernels of the first k features, :math:`\Phi_k\Phi_k^\top`, for each k in `counts`.

    Parameters
    ----------
    features : (n, p) array
        :math:`\Phi`, the features in order of their importance.
    counts : (c,) array of int
        Numbers of features k, each from 1 to p.
    features_new : (m, p) array, optional
        Features of new points; with them the result is :math:`\tilde\Phi_k\Phi_k^\top`, new points × rows.

    Returns
    -------
    list of (n, n) or (m, n) arrays

    Raises
    ------
    ValueError
        If a count is not a whole number between 1 and p, or the new points have another number of features.

    Examples
    --------
    >>> [K.tolist() for K in leading_features([[1.0, 2.0], [3.0, 0.0]], [1, 2])]
    [[[1.0, 3.0], [3.0, 9.0]], [[5.0, 3.0], [3.0, 9.0]]]
    """
    phi = matrix(features, "features")
    at = phi if features_new is None else matrix(features_new, "features_new", shape=(None, phi.shape[1]))
    wanted = schedule(counts, "counts")
    for k in wanted[(wanted != np.round(wanted)) | (wanted < 1) | (wanted > phi.shape[1])].tolist():
        raise ValueError(f"`counts` must be whole numbers between 1 and {phi.shape[1]}, the features, got {k:g}.")
    return [np.asarray(at[:, :k] @ phi[:, :k].T) for k in wanted.astype(int).tolist()]


@dataclass(frozen=True, eq=False)
class Capacities:
    """Expected risk of students of each kept share under teachers of each capacity, ridges tuned.

    Attributes
    ----------
    shares, counts : (s,) arrays
        Of the rows that the student keeps, and the same in rows.
    curves : RiskCurves of shape (s, subsets, c, l)
        Risk over the teacher weight of every share, random subset, teacher and ridge, per point and output.
    grid : (l,) array
        Those ridges, in units of the convention.
    teacher_weight : float or None
        Of the student; None for the best one of each share and teacher.
    teacher_risk, teacher_ridges : (c,) arrays
        The teachers' own expected risk, and where it is least, in units of the convention.
    """

    shares: Array
    counts: NDArray[np.intp]
    curves: RiskCurves
    grid: Array
    teacher_weight: float | None
    teacher_risk: Array
    teacher_ridges: Array
    noise_variance: float
    ridge_convention: str

    def with_weight(self, teacher_weight: float | None) -> Capacities:
        """The same students at another teacher weight, ridges tuned for it: nothing is computed again."""
        return replace(self, teacher_weight=None if teacher_weight is None else finite(teacher_weight, "teacher_weight"))

    @cached_property
    def _chosen(self) -> tuple[Array, Array, Array]:
        mean = self.curves.mean(axis=1)
        best = np.where(mean.identified, mean.vertex, 0.0)  # where none is identified, none has another risk
        weights = best if self.teacher_weight is None else np.full(mean.shape, self.teacher_weight)
        lowest = np.asarray(mean.at(weights)).argmin(axis=2)[..., None]
        risks = np.asarray(self.curves.at(np.broadcast_to(weights[:, None], self.curves.shape)))
        at_lowest = np.take_along_axis(risks, lowest[:, None], axis=3)[..., 0]
        return self.grid[lowest[..., 0]], np.take_along_axis(weights, lowest, axis=2)[..., 0], at_lowest.transpose(0, 2, 1)

    @property
    def ridges(self) -> Array:
        """The student's ridges of least risk averaged over subsets, in units of the convention (s, c)."""
        return self._chosen[0]

    @property
    def teacher_weights(self) -> Array:
        """The weight given, or the best ones together with these ridges, (s, c)."""
        return self._chosen[1]

    @property
    def risks(self) -> Array:
        """On each random subset at these ridges and weights, (s, c, subsets)."""
        return self._chosen[2]

    @property
    def risk(self) -> Array:
        """Averaged over subsets, (s, c)."""
        return np.asarray(self.risks.mean(axis=2))

    @property
    def interval(self) -> Array:
        """95 % t-interval of `risk` over subsets, (s, c, 2); nan for a single subset."""
        count = self.risks.shape[2]
        error = self.risks.std(axis=2, ddof=1) / np.sqrt(count) if count > 1 else np.full(self.risk.shape, np.nan)
        half = stdtrit(max(count - 1, 1), LEVEL) * error
        return np.stack([self.risk - half, self.risk + half], axis=-1)

    @property
    def best(self) -> NDArray[np.intp]:
        """Index of the teacher with the least risk for its student, per share (s,)."""
        return np.asarray(self.risk.argmin(axis=1))

    def __str__(self) -> str:
        means = "absolute: K + ridge I" if self.ridge_convention == "absolute" else "per example: K + ridge m I"
        weight = "the best teacher weights" if self.teacher_weight is None else f"teacher weight {self.teacher_weight:.4g}"
        columns = range(len(self.teacher_risk))
        lines = [
            f"Risk of the student at {weight}, ridges tuned ({means}), noise variance {self.noise_variance:.4g},\n"
            f"{self.risks.shape[2]} random subset(s); * marks the best teacher of each share",
            "  share   rows" + "".join(f"{'teacher ' + str(k):>12s} " for k in columns),
        ]
        for share, rows, risk, best in zip(self.shares, self.counts, self.risk, self.best, strict=True):
            cells = "".join(f"{risk[k]:12.4g}{'*' if k == best else ' '}" for k in columns)
            lines.append(f"{share:7.3g} {rows:6d}{cells}")
        for name, row in (("own risk", self.teacher_risk), ("own ridge", self.teacher_ridges)):
            lines.append(f"{name:>14s}" + "".join(f"{value:12.4g} " for value in row))
        return "\n".join(line.rstrip() for line in lines)


def teacher_capacities(
    gram: ArrayLike,
    teacher_grams: Sequence[ArrayLike],
    signal: ArrayLike,
    *,
    noise_variance: float,
    keep_fractions: ArrayLike,
    ridges: ArrayLike,
    teacher_ridges: ArrayLike,
    ridge_convention: str,
    teacher_weight: float | None = 1.0,
    cross: ArrayLike | None = None,
    signal_new: ArrayLike | None = None,
    teacher_crosses: Sequence[ArrayLike] | None = None,
    subsets: int = 10,
    seed: int = 0,
) -> Capacities:
    r"""Expected risk of students of pruned data under each of several teachers, labels :math:`y = f + \varepsilon`.

    Every ridge is tuned on the expected risk: a teacher's on its own, so that no teacher is handicapped; the student's per
    kept share and teacher, on the mean over the random subsets. Risk, not accuracy on labels: the noise is not in it.

    Parameters
    ----------
    gram : (n, n) array
        The student's kernel on all rows.
    teacher_grams : sequence of c (n, n) arrays
        The teachers' kernels, in order of capacity; `leading_features` makes some. All rows are theirs.
    signal : (n,) or (n, p) array
        Noiseless f on all rows.
    noise_variance, keep_fractions, subsets, seed
        As in `pruning.risk_curves`.
    ridges, teacher_ridges : arrays
        :math:`\lambda \ge 0` to choose from, for the student and for each teacher, in units of the convention; zero is the
        limit.
    ridge_convention : {"absolute", "per_example"}
        K + ridge I, or K + ridge m I with m the rows of the student (n for a teacher).
    teacher_weight : float or None
        w, the same for all; None for the best weight of each share and teacher, tuned together with the ridge.
    cross, signal_new : (m, n) and (m,) or (m, p) arrays, optional
        The student's kernel between new points and all rows, and f there; left out, the error is that at all n rows.
    teacher_crosses : sequence of c (m, n) arrays, optional
        The same kernels of the teachers: where their own risk counts. Left out, that is at all n rows.

    Returns
    -------
    Capacities

    Raises
    ------
    ValueError
        If a shape does not fit, there is no teacher, a share keeps nothing, a ridge is negative, or new points are given for
        the teachers and not for the student.

    References
    ----------
    That large teachers hurt students of few rows is an observation of Ben-Baruch, Botach, Kviatkovsky, Aggarwal & Medioni
    (2025), arXiv:2403.07854, on networks. The formulas are derived in kdtheory.

    Examples
    --------
    The larger teacher is the better one, but not for a student that keeps few rows:

    >>> features = np.random.default_rng(0).normal(size=(300, 100)) * np.arange(1, 101) ** -0.5
    >>> levels = np.logspace(-4, 1, 11)
    >>> print(teacher_capacities(features @ features.T, leading_features(features, [10, 30, 100]),
    ...                          features @ np.arange(1, 101) ** -0.25, noise_variance=0.25, keep_fractions=[0.05, 0.1, 1.0],
    ...                          ridges=levels, teacher_ridges=levels, ridge_convention="per_example"))
    Risk of the student at teacher weight 1, ridges tuned (per example: K + ridge m I), noise variance 0.25,
    10 random subset(s); * marks the best teacher of each share
      share   rows   teacher 0    teacher 1    teacher 2
       0.05     15      0.7155       0.6108*      0.6521
        0.1     30      0.5068       0.3359*      0.3446
          1    300       0.438       0.1595      0.06112*
          own risk      0.4393       0.1608      0.06363
         own ridge       0.001     0.003162     0.003162
    """
    f = outputs(signal, "signal")
    nobody = Teacher.fixed(np.zeros_like(f))
    at = given(gram, f, ridge=0.0, ridge_convention=ridge_convention, teacher=nobody, cross=cross, signal_new=signal_new)
    n, variance = len(at.gram), positive(noise_variance, "noise_variance", zero=True)
    levels, own = (
        [positive(x, name, zero=True) for x in schedule(value, name)]
        for name, value in (("ridges", ridges), ("teacher_ridges", teacher_ridges))
    )
    theirs = [_tuned(each, own, ridge_convention, variance) for each in _settings(teacher_grams, teacher_crosses, at)]
    teachers, own_risks, own_ridges = zip(*theirs, strict=True)
    fractions, orders = shares(keep_fractions), orders_of(None, n, subsets, seed)
    counts = np.array([kept_count(fraction, n) for fraction in fractions])
    grids = []
    for m in counts.tolist():
        scaled = [ridge_for(ridge, m, ridge_convention) for ridge in levels]
        different = orders[:1] if m == n else orders  # all rows are one set in any order
        grid = [_grid(KeptStudent.of(at.gram, order[:m], at.cross), at, teachers, scaled, variance) for order in different]
        grids += grid * (len(orders) // len(grid))
    curves = RiskCurves.gather(grids).reshape(len(counts), len(orders), len(teachers), len(levels))
    weight = None if teacher_weight is None else finite(teacher_weight, "teacher_weight")
    own_risk, own_ridge = np.array(own_risks), np.array(own_ridges)
    return Capacities(fractions, counts, curves, np.array(levels), weight, own_risk, own_ridge, variance, ridge_convention)


def _tuned(at: Setting, levels: list[float], convention: str, variance: float) -> tuple[Teacher, float, float]:
    """The teacher of least risk, that risk and its ridge: as a student of all rows that no one teaches, decomposed once."""
    own = KeptStudent.of(at.gram, np.arange(len(at.gram)), at.cross)
    scaled = [ridge_for(ridge, len(at.gram), convention) for ridge in levels]
    parts = [(own.bias(at.signal, at.signal_new, at.teacher, level), own.variance(None, level)) for level in scaled]
    risks = [float(bias.start + variance * noise.start) for bias, noise in parts]
    best = int(np.argmin(risks))
    return Teacher.of_spectrum(own.spectrum, scaled[best]), risks[best], levels[best]


def _grid(student: KeptStudent, at: Setting, teachers: Sequence[Teacher], levels: list[float], variance: float) -> RiskCurves:
    """Risks of one set of rows, teachers × ridges."""
    curves = []
    for teacher in teachers:
        heard = student.heard(teacher)
        for level in levels:
            noise = student.variance(heard, level).scaled(variance)
            curves.append(student.bias(at.signal, at.signal_new, teacher, level) + noise)
    return RiskCurves.gather(curves).reshape(len(teachers), len(levels))


def _settings(grams: Sequence[ArrayLike], crosses: Sequence[ArrayLike] | None, at: Setting) -> Iterator[Setting]:
    """What each teacher is given, and where its own error counts."""
    n = len(at.gram)
    if len(grams) == 0:
        raise ValueError("`teacher_grams` must hold at least one kernel, got none.")
    if crosses is not None and (at.cross is None or len(crosses) != len(grams)):
        got = f"{len(crosses)}{' and no `cross`' if at.cross is None else ''}"
        raise ValueError(f"`teacher_crosses` must come with `cross`, one for each of {len(grams)} teachers, got {got}.")
    for i, gram in enumerate(grams):
        K = checked_gram(gram, "teacher_grams")
        if len(K) != n:
            raise ValueError(f"`teacher_grams` must have {n} rows like `gram`, got {len(K)}.")
        if crosses is None:
            yield at._replace(gram=K, cross=None, signal_new=at.signal)
        else:
            yield at._replace(gram=K, cross=matrix(crosses[i], "teacher_crosses", shape=(len(at.signal_new), n)))
