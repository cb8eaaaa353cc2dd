r"""Distillation onto pruned data: a teacher on rows T, a student on the kept rows F, and the weight between the two.

A student is affine in its teacher weight, whatever it keeps and whatever teaches it, so its risk is a parabola in that
weight. Here is the parabola in closed form, in expectation over the label noise: of one kept set (`risk_curve`), of a nested
family of random sets (`risk_curves`), of teachers that saw more and more (`teacher_shares`), and of larger and smaller ones
(`teacher_capacities`).

What distillation reduces is **variance**: if the teacher is a ridge fit, of any kernel, that has seen the kept rows, no
weight in [0, 1] adds any. It does not reduce bias against labels only: in an orthogonal design every such weight adds some,
in others nearly always. It has less bias than distillation from a teacher that saw no more than the student: the same two
words hold.

The ridge decides the optimal weight, so that every function asks how `ridge` is meant: "absolute", :math:`K + \lambda I`
whatever is kept, or "per_example", the ridge per kept example, which is weight decay in a mean loss.

References
----------
Ben-Baruch, Botach, Kviatkovsky, Aggarwal & Medioni (2025), arXiv:2403.07854, for the observation. The formulas are derived
in kdtheory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.advice import Strategy
from kdtheory.checks import Array, matrix, outputs
from kdtheory.kept import ridge_for, rows_kept
from kdtheory.orthogonal import OrthogonalDesign
from kdtheory.plan import plan
from kdtheory.pruned_curves import risk_curve, risk_curves, teacher_shares
from kdtheory.pruned_risk import PrunedRisk, PrunedRisks
from kdtheory.pruned_setting import given
from kdtheory.pruned_students import KeptStudent, Teacher, checked_gram
from kdtheory.pruning_plan import Plan
from kdtheory.risk_curves import RiskCurves
from kdtheory.selection import (
    crossing,
    excess_over_random,
    gap_ratio,
    kept_noise_share,
    order_by,
    scores,
    variance_inflation,
)
from kdtheory.teacher_capacity import Capacities, leading_features, teacher_capacities

__all__ = [
    "Capacities",
    "OrthogonalDesign",
    "Plan",
    "PrunedRisk",
    "PrunedRisks",
    "RiskCurves",
    "Strategy",
    "Students",
    "Teacher",
    "crossing",
    "distillation_helps",
    "excess_over_random",
    "gap_ratio",
    "kept_noise_share",
    "leading_features",
    "optimal_teacher_weight",
    "order_by",
    "plan",
    "risk_curve",
    "risk_curves",
    "scores",
    "smoothers",
    "students",
    "teacher_capacities",
    "teacher_shares",
    "variance_inflation",
]


def optimal_teacher_weight(gram: ArrayLike, signal: ArrayLike, **settings: Any) -> float:
    """Teacher weight of least expected risk; the arguments are those of `risk_curve`.

    Raises
    ------
    ValueError
        As in `risk_curve`; and if no weight is identified, because the teacher agrees with the kept labels (zero noise and a
        teacher that interpolates, for example); see `PrunedRisk.identified`.

    Examples
    --------
    >>> import numpy as np
    >>> features = np.repeat(np.eye(2), 20, axis=0)
    >>> K, f = features @ features.T, features @ [1.0, -1.0]
    >>> noisy = {"noise_variance": 4.0, "ridge": 0.2, "ridge_convention": "per_example"}
    >>> [round(optimal_teacher_weight(K, f, kept=range(0, 40, every), **noisy), 3) for every in (1, 2, 4)]
    [-0.583, 0.479, 0.778]
    """
    risk = risk_curve(gram, signal, **settings)
    if not risk.identified:
        raise ValueError(
            f"`teacher` must differ from the labels at the kept rows for an optimal weight to be identified: at noise "
            f"variance {risk.noise_variance:.3g} it moves the student by {risk.identifiability:.2g} of its size, and the "
            f"least noise would decide the weight; give it a larger ridge."
        )
    return risk.optimal_weight


def distillation_helps(gram: ArrayLike, signal: ArrayLike, **settings: Any) -> bool:
    r"""Whether some positive weight on the teacher lowers the expected risk of the student, :math:`w^\star > 0`.

    Exact for any kernels, rows and ridges: the slope of the risk at weight zero is negative,

    .. math::
        \langle \tilde f - A f_F,\; A(G_F - E_F) f\rangle > \sigma^2 \langle A E_F,\; A(G_F - E_F)\rangle_F .

    For an orthogonal design it is an inequality of four numbers, `OrthogonalDesign.helps`. The arguments are those of
    `risk_curve`.

    Examples
    --------
    >>> import numpy as np
    >>> helps = {"noise_variance": 1.0, "kept": [0, 1], "ridge_convention": "absolute"}
    >>> [distillation_helps(np.eye(2), [1.0, 1.0], ridge=ridge, **helps) for ridge in (0.5, 2.0)]
    [True, False]
    """
    return risk_curve(gram, signal, **settings).helps


def smoothers(
    gram: ArrayLike,
    *,
    kept: ArrayLike,
    ridge: float,
    ridge_convention: str,
    teacher: Teacher | None = None,
    cross: ArrayLike | None = None,
) -> Students:
    """Both students as matrices (m, n) from all labels to predictions; `RiskCurve.from_smoothers` takes them.

    Parameters
    ----------
    gram, kept, ridge, ridge_convention, teacher, cross
        As in `risk_curve`; left out, the m points are the n rows. What a given teacher predicts is not in its matrix, zero.

    Examples
    --------
    >>> both = smoothers([[1.0, 0.5], [0.5, 1.0]], kept=[0], ridge=1.0, ridge_convention="absolute")
    >>> both.on_labels
    array([[0.5 , 0.  ],
           [0.25, 0.  ]])
    """
    K = checked_gram(gram)
    at = given(K, np.zeros(len(K)), ridge=ridge, ridge_convention=ridge_convention, teacher=teacher)
    rows = rows_kept(kept, len(K))
    new = None if cross is None else matrix(cross, "cross", shape=(None, len(K)))
    return Students(*KeptStudent.of(K, rows, new).smoothers(at.teacher, ridge_for(ridge, len(rows), ridge_convention)))


class Students(NamedTuple):
    """The student on the kept labels and the one on the teacher: predictions (m,) or (m, p), or smoothers (m, n)."""

    on_labels: Array
    on_teacher: Array


def students(
    gram: ArrayLike,
    y: ArrayLike,
    *,
    kept: ArrayLike,
    ridge: float,
    ridge_convention: str,
    teacher: Teacher | None = None,
    cross: ArrayLike | None = None,
) -> Students:
    """Both students trained on actual labels; `RiskCurve.from_predictions` weighs them on held-out targets.

    Parameters
    ----------
    gram, kept, ridge, ridge_convention, teacher, cross
        As in `risk_curve`.
    y : (n,) or (n, p) array
        Labels of all rows; the student sees those of the kept ones, the teacher those of its own.

    Examples
    --------
    A teacher that interpolates tells the student nothing new:

    >>> K = [[2.0, 1.0], [1.0, 2.0]]
    >>> echo = Teacher.ridge(K, ridge=0.0, ridge_convention="absolute")
    >>> both = students(K, [1.0, 3.0], kept=[1], ridge=1.0, ridge_convention="absolute", teacher=echo)
    >>> both.on_labels, both.on_teacher
    (array([1., 2.]), array([1., 2.]))
    """
    at = given(gram, y, ridge=ridge, ridge_convention=ridge_convention, teacher=teacher, name="y")
    rows = rows_kept(kept, len(at.gram))
    new = None if cross is None else matrix(cross, "cross", shape=(None, len(at.gram)))
    level = ridge_for(ridge, len(rows), ridge_convention)
    on_labels, change = KeptStudent.of(at.gram, rows, new).predictions(at.signal, at.teacher, level)
    shape = (-1, *outputs(y, "y").shape[1:])
    return Students(on_labels.reshape(shape), (on_labels + change).reshape(shape))
