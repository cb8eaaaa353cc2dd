r"""Kernel students: what the tangent kernel predicts for networks that are trained for a while on kept rows.

A network whose tangent kernel K does not move in training, started at zero (`empirical.networks.Centred`), is a linear
smoother of its targets, by a filter of the spectrum of K on its rows that the training decides (`empirical.momentum`). One
eigendecomposition of the kept rows serves every teacher weight, teacher, label noise and training time; the student is affine
in its weight, so that two predictions (on labels, on the teacher) are all of its risk curve: give them to
`empirical.rules.optimal_weight`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, matrix, outputs
from kdtheory.kept import rows_kept
from kdtheory.pruned_students import KeptStudent, checked_gram
from kdtheory.spectrum import Filter, Spectrum

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["best_filter", "kept_student", "student_pair", "tangent_kernels"]


def tangent_kernels(model: nn.Module, X: ArrayLike | Tensor, X_new: ArrayLike | Tensor, **how: Any) -> tuple[Array, Array]:
    """Tangent kernel of a network, the mean over outputs: Gram matrix of `X`, and `X_new` with `X`.

    It is computed in float64 whatever the network's precision: float32 leaves negative eigenvalues.

    Parameters
    ----------
    model : nn.Module
        Not changed; at initialisation for the lazy limit, trained for what it has become.
    X, X_new : (n, ...) and (m, ...) arrays
    **how
        `block`, `device`, `progress` of `empirical.ntk.empirical_ntk`.

    Returns
    -------
    (n, n) and (m, n) float64 arrays
        With a leading axis for a stack.
    """
    from empirical.ntk import empirical_ntk  # noqa: PLC0415  # PyTorch is loaded where a network is at hand

    exact = copy.deepcopy(model).double()
    return empirical_ntk(exact, X, output="traced", **how), empirical_ntk(exact, X_new, X, output="traced", **how)


def kept_student(gram: ArrayLike, cross: ArrayLike, kept: ArrayLike | None = None) -> KeptStudent:
    """The kernel's student on kept rows, decomposed once.

    Parameters
    ----------
    gram : (n, n) array
        Kernel of all training rows.
    cross : (m, n) array
        Of the points where the error counts with them.
    kept : indices or (n,) mask, optional
        Left out, all rows.

    Raises
    ------
    ValueError
        If shapes disagree, the kernel is indefinite on the kept rows, or none is kept.
    """
    K = checked_gram(gram)
    rows = np.arange(len(K)) if kept is None else rows_kept(kept, len(K))
    return KeptStudent.of(K, rows, matrix(cross, "cross", shape=(None, len(K))))


def student_pair(student: KeptStudent, labels: ArrayLike, teacher: ArrayLike, filter: Filter) -> tuple[Array, Array]:
    r"""Predictions of the kernel's student trained on labels, and of the one trained on the teacher.

    Parameters
    ----------
    student : KeptStudent
        From `kept_student`.
    labels, teacher : (n,) or (n, p) arrays
        At all n training rows: coded labels, and what the teacher says there. A network's outputs are a fair teacher; the
        kernel's own is ``Spectrum.from_gram(gram).fit(filter, labels)``, trained on all rows.
    filter : Filter
        The student's training: ``kd.GradientFlow(matched_time(rates, n=len(student.kept)))``, `empirical.momentum.Momentum`
        or ``kd.Ridge``.

    Returns
    -------
    (m, p) and (m, p) arrays
        Every other weight is :math:`(1 - w)` times the first plus w times the second, to rounding.

    Raises
    ------
    ValueError
        If shapes disagree or the training diverges.

    Examples
    --------
    A student that is trained for ever on the teacher of all rows interpolates it, whatever the labels of the dropped rows:

    >>> import kdtheory as kd
    >>> student = kept_student(np.eye(3), np.eye(3), kept=[0, 2])
    >>> P_l, P_t = student_pair(student, [1.0, 2.0, 3.0], [0.5, 1.0, 1.5], kd.GradientFlow(np.inf))
    >>> P_l.ravel(), P_t.ravel()
    (array([1., 0., 3.]), array([0.5, 0. , 1.5]))
    """
    y = column_shape(outputs(labels, "labels"))
    g = column_shape(outputs(teacher, "teacher"))
    if g.shape != y.shape or len(y) <= student.kept.max():
        raise ValueError(
            f"`teacher` and `labels` must have one shape, a row for each of the training rows, got {g.shape} and {y.shape}."
        )
    dual = filter.dual(student.spectrum.eigenvalues)[:, None]
    on_labels, on_teacher = (student.basis @ (dual * student.spectrum.project(t[student.kept])) for t in (y, g))
    return on_labels, on_teacher


def best_filter(
    spectrum: Spectrum, labels: ArrayLike, cross: ArrayLike, validation: ArrayLike, filters: Iterable[Filter]
) -> Filter:
    """The filter of least squared error on validation labels: a ridge, or a time to stop at, of a kernel's teacher.

    Parameters
    ----------
    spectrum : Spectrum
        Of the kernel on all n training rows.
    labels : (n,) or (n, p) array
    cross : (m, n) array
        Kernel of the validation points with the training rows.
    validation : (m,) or (m, p) array
        Their labels; noisy ones where the teacher was early-stopped on noisy ones.
    filters : iterable of filters
        To choose from, such as ``[kd.Ridge(l) for l in np.geomspace(...)]``; the first of equals.

    Raises
    ------
    ValueError
        If shapes disagree or there is no filter.

    Examples
    --------
    >>> import kdtheory as kd
    >>> best_filter(Spectrum.from_gram(np.eye(2)), [2.0, 0.0], np.eye(2), [1.0, 0.0], map(kd.Ridge, (0.1, 1.0, 10.0)))
    Ridge(ridge=1.0, largest_eigenvalue=inf)
    """
    k = matrix(cross, "cross", shape=(None, spectrum.n))
    v = column_shape(outputs(validation, "validation", length=len(k)))
    basis, z = k @ spectrum.eigenvectors, column_shape(spectrum.project(labels))
    if z.shape[1] != v.shape[1]:
        raise ValueError(f"`validation` must have {z.shape[1]} outputs like `labels`, got {v.shape[1]}.")
    choices = list(filters)
    if not choices:
        raise ValueError("`filters` must hold at least one filter, got none.")
    errors = [np.sum((basis @ (f.dual(spectrum.eigenvalues)[:, None] * z) - v) ** 2) for f in choices]
    return choices[int(np.argmin(errors))]
