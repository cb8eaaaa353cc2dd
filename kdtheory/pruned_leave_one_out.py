r"""Exact leave-one-out of a pruned pair: teacher and student refitted without the point, for the price of one fit of each.

Without point i the teacher is the teacher on labels whose i-th is replaced by its own leave-one-out prediction. With its
smoother G that changes its predictions by :math:`-G_{\cdot i}\,r_i`, :math:`r_i = (y_i - (Gy)_i)/(1 - G_{ii})`. A student on
kept rows F then hears :math:`g^{(i)}_F = g_F - G_{Fi}\,r_i` and predicts at i

.. math::
    k_{iF}(K_{FF} + \lambda I)^{-1} g^{(i)}_F \quad (i \notin F), \qquad
    g^{(i)}_i - \frac{[(K_{FF} + \lambda I)^{-1} g^{(i)}_F]_i}{[(K_{FF} + \lambda I)^{-1}]_{ii}} \quad (i \in F);

on labels the same with :math:`y_F`. So one kept set gives a held-out error at every one of the n points, dropped or kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kdtheory.checks import Array
from kdtheory.pruned_students import KeptStudent, Teacher, dual_of

__all__ = ["HeldOut", "held_out_pairs"]


class HeldOut(NamedTuple):
    """Leave-one-out predictions at all points, (n, p): of the student on labels, and what the teacher in their place adds."""

    on_labels: Array
    change: Array


def held_out_pairs(student: KeptStudent, labels: Array, teacher: Teacher, ridges: Array) -> list[HeldOut]:
    """Leave-one-out predictions of both students for every ridge of the student (absolute).

    Parameters
    ----------
    student : KeptStudent
        Whose error counts at all n rows.
    labels : (n, p) array
    teacher : Teacher
        Ridge regression at a fixed ridge, exact; other linear teachers as far as they obey the formula for :math:`r_i`; a
        fixed one is taken as it is.
    ridges : (L,) array
        Positive, absolute.
    """
    kept, s, basis = student.kept, student.spectrum, student.basis
    U, G = s.eigenvectors, teacher.smoother
    heard = teacher.predict(labels)
    change = heard - labels  # on the teacher, less on labels
    jump = np.zeros_like(labels)  # r_i, what leaving out the point takes from its label
    rotated = None
    if G is not None:
        jump = (labels - heard) / (1.0 - np.diag(G))[:, None]
        rotated = U.T @ G[kept]  # (r, n): column i is what the student hears of label i
    at_labels, at_change = s.project(labels[kept]), s.project(change[kept])
    pairs = []
    for ridge in ridges.tolist():
        dual = dual_of(s, ridge)
        on_labels, moved = (basis @ (dual[:, None] * z) for z in (at_labels, at_change))
        # kept points: through the dual coefficients of their own rows
        own, own_change = s.diagonal(dual)[:, None], change[kept]
        c_labels, c_change = (U @ (dual[:, None] * z) for z in (at_labels, at_change))
        if rotated is not None and G is not None:
            heard_of_itself = dual[:, None] * rotated
            moved -= np.einsum("nr,rn->n", basis, heard_of_itself)[:, None] * jump
            c_change -= np.einsum("kr,rk->k", U, heard_of_itself[:, kept])[:, None] * jump[kept]
            own_change = own_change - np.diag(G)[kept, None] * jump[kept]
        on_labels[kept] = labels[kept] - c_labels / own
        moved[kept] = own_change - c_change / own
        pairs.append(HeldOut(on_labels, moved))
    return pairs
