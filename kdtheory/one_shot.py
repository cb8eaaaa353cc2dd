r"""One-shot tuning: the teacher weight of one round from the teacher's own fit, without a student and without a split.

A student's error on points it has not seen is a parabola in its weight; both of its ends can be estimated from the
training labels. With :math:`S = K(K + \lambda I)^{-1}` the two ends are the residuals r of the student trained on the
labels, which is the teacher itself, and q of the student trained on the teacher's predictions, and

.. math::
    w = \frac{\langle r,\; r - q\rangle}{|r - q|^2} .

The estimates differ in how they take the training error out of r and q, and `one_shot_curve` names them by what they compute.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, outputs, positive
from kdtheory.parabola import RiskCurve
from kdtheory.spectrum import Spectrum, require_spectrum

__all__ = ["METHODS", "one_shot_curve", "one_shot_weight"]

METHODS = ("leave-one-out", "gcv-derivative", "gcv")


def one_shot_weight(spectrum: Spectrum, y: ArrayLike, *, ridge: float, method: str = "leave-one-out") -> float:
    r"""Teacher weight of one round from the training data alone: the vertex of `one_shot_curve`.

    Parameters
    ----------
    spectrum, y, ridge, method
        As in `one_shot_curve`.

    Returns
    -------
    float
        Any real number; negative means that the teacher is over-regularised.

    Raises
    ------
    ValueError
        As in `one_shot_curve`.

    References
    ----------
    Dang, Patil & Rinaldo (2026), arXiv:2602.17565 (one-shot tuning by generalised cross-validation).

    Examples
    --------
    No second model and no held-out point is needed to see which way to go:

    >>> from kdtheory import kernels
    >>> x = np.linspace(0, 1, 40)[:, None]
    >>> y = np.sin(6 * x[:, 0]) + 0.5 * np.random.default_rng(0).normal(size=40)
    >>> s = Spectrum.from_gram(kernels.rbf(x, gamma=20.0))
    >>> [round(one_shot_weight(s, y, ridge=ridge), 2) for ridge in (0.05, 5.0)]
    [0.38, -1.55]
    """
    return one_shot_curve(spectrum, y, ridge=ridge, method=method).optimal_weight


def one_shot_curve(spectrum: Spectrum, y: ArrayLike, *, ridge: float, method: str = "leave-one-out") -> RiskCurve:
    r"""Estimated error on new labels as a function of the teacher weight of one round.

    Parameters
    ----------
    spectrum : Spectrum
        Of the training Gram matrix, n points.
    y : (n,) or (n, p) array
        Training labels.
    ridge : float
        :math:`\lambda > 0` of teacher and student.
    method : {"leave-one-out", "gcv-derivative", "gcv"}
        * "leave-one-out": :math:`r_i = (y_i - \hat y_i)/(1 - S_{ii})` and its derivative along the ridge path,
          :math:`q = r + \lambda\,\partial_\lambda r`. Exact: q are the residuals of teacher and student both refitted
          without the point.
        * "gcv-derivative": the same with every :math:`S_{ii}` replaced by its mean :math:`\mathrm{tr}\,S/n`.
        * "gcv": each student by itself, :math:`r = (I - S)y/(1 - \mathrm{tr}\,S/n)` and
          :math:`q = (I - S^2)y/(1 - \mathrm{tr}\,S^2/n)`: the plain degrees-of-freedom plug-in. It treats the student as if
          its teacher were fixed; where the number of features grows in proportion to n its weight is biased, while
          those of the other two are not (figure ``one_shot_bias`` measures it).

    Returns
    -------
    RiskCurve
        Mean squared error on new *labels*, noise included.

    Raises
    ------
    ValueError
        If `ridge` is not positive, `method` is unknown, or every weight gives the same student.

    References
    ----------
    Dang, Patil & Rinaldo (2026), arXiv:2602.17565; the leave-one-out form is derived in `kdtheory.leave_one_out`.

    Examples
    --------
    >>> s = Spectrum.from_gram([[1.0, 0.5], [0.5, 1.0]])
    >>> curve = one_shot_curve(s, [1.0, 1.0], ridge=1.0)
    >>> round(curve(0.0), 6) == (1 - 0.5 / 2) ** 2  # without distillation: one point predicts the other as 0.5 / (1 + ridge)
    True
    """
    require_spectrum(spectrum)
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}, got {method!r}.")
    labels, ridge = column_shape(outputs(y, "y", length=spectrum.n)), positive(ridge, "ridge")
    d = spectrum.eigenvalues
    a, u = d / (d + ridge), 1.0 / (1.0 + d / ridge)
    first, moved = spectrum.apply(u, 1.0, labels), spectrum.apply(a * u, 0.0, labels)  # (I - S) y, (S - S^2) y
    if method == "gcv":
        r = first / _mean(spectrum, u)
        q = (first + moved) / _mean(spectrum, u * (1.0 + a))
        return _curve(r, q - r)
    left, change = (
        (spectrum.diagonal(u, 1.0)[:, None], spectrum.diagonal(a * u)[:, None])
        if method == "leave-one-out"
        else (_mean(spectrum, u), float(np.sum(a * u)) / spectrum.n)
    )
    r = first / left
    step = moved / left - r * (change / left)  # q - r, without subtracting q from r
    return _curve(r, step)


def _mean(spectrum: Spectrum, values: Array) -> float:
    """tr f(K) / n for f(0) = 1."""
    return float(values.sum() + (spectrum.n - spectrum.rank)) / spectrum.n


def _curve(r: Array, step: Array) -> RiskCurve:
    """|r + w step|^2 / m as a parabola in w."""
    square = float(np.sum(step**2))
    if not square > (1e-13 * np.linalg.norm(r)) ** 2:
        raise ValueError(
            "`y` must be moved by distillation: teacher and labels train the same student, every weight is optimal."
        )
    weight = -float(np.sum(r * step)) / square
    minimum = float(np.mean((r + weight * step) ** 2))
    return RiskCurve(weight, minimum, square / r.size, float(np.sqrt(square) / np.linalg.norm(r)))
