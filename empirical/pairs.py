r"""A pair of students, one trained on labels and one on the teacher: what their held-out predictions say of every mix.

With predictions :math:`P_l`, :math:`P_t`, their difference :math:`D = P_t - P_l` and labels V, all that is asked of the mix
:math:`P_l + wD` follows from six inner products, `moments`: its squared error, its cosine with the labels, its size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, finite_array

__all__ = [
    "cosine",
    "identifiability",
    "moments",
    "scale_free_weight",
    "scale_free_within",
    "squared_error",
    "squared_error_weight",
]

COLLINEAR = 1e-10  # of |P_l|^2 |D|^2: less is rounding, and the students differ in scale alone


def of_seeds(value: ArrayLike, name: str) -> Array:
    """(m,), (m, p) or (S, m, p) outputs as (S, m, p)."""
    array = finite_array(value, name)
    if array.ndim not in (1, 2, 3):
        raise ValueError(f"`{name}` must have shape (m,), (m, outputs) or (seeds, m, outputs), got {array.shape}.")
    return array if array.ndim == 3 else column_shape(array)[None]


def moments(on_labels: ArrayLike, on_teacher: ArrayLike, labels: ArrayLike) -> Array:
    r"""Inner products of labels and students, point by point.

    Parameters
    ----------
    on_labels, on_teacher : (m,), (m, p) or (S, m, p) arrays
        :math:`P_l` and :math:`P_t`, of S pairs of students.
    labels : the same without or with the axis of seeds
        V, coded as the students' targets were: one-hot minus 1/p, or standardised values.

    Returns
    -------
    (S, m, 6) array
        :math:`|V|^2, \langle V, P_l\rangle, \langle V, D\rangle, |P_l|^2, \langle P_l, D\rangle, |D|^2`, each over p.

    Raises
    ------
    ValueError
        If shapes disagree or a value is not finite.

    Examples
    --------
    >>> moments([2.0], [1.0], [1.5])
    array([[[ 2.25,  3.  , -1.5 ,  4.  , -2.  ,  1.  ]]])
    """
    P, Q, V = (of_seeds(a, n) for a, n in ((on_labels, "on_labels"), (on_teacher, "on_teacher"), (labels, "labels")))
    if P.shape != Q.shape:
        raise ValueError(f"`on_teacher` must have the shape of `on_labels`, {P.shape}, got {Q.shape}.")
    if V.shape not in (P.shape, (1, *P.shape[1:])):
        raise ValueError(f"`labels` must have the shape of the predictions, {P.shape[1:]} of each seed, got {V.shape[-2:]}.")
    V, D = np.broadcast_to(V, P.shape), Q - P
    pairs = ((V, V), (V, P), (V, D), (P, P), (P, D), (D, D))
    return np.asarray(np.stack([np.einsum("smp,smp->sm", a, b) for a, b in pairs], axis=-1) / P.shape[2])


def squared_error(M: Array, teacher_weight: ArrayLike) -> Array:
    r"""Mean squared error of the mix, :math:`|V - P_l - wD|^2`, from moments (..., 6) and weights that broadcast."""
    vv, vP, vD, PP, PD, DD = np.moveaxis(M, -1, 0)
    w = np.asarray(teacher_weight, dtype=np.float64)
    return np.asarray(vv - 2 * vP + PP + w * (2 * (PD - vD) + w * DD))


def squared_error_weight(M: Array) -> Array:
    r"""Weight of least squared error, :math:`\langle V - P_l, D\rangle / |D|^2`, from moments (..., 6); nan where D is zero.

    Examples
    --------
    >>> float(squared_error_weight(moments([2.0, -2.0], [1.0, -1.0], [1.5, -1.5]).mean((0, 1))))
    0.5
    """
    _, _, vD, _, PD, DD = np.moveaxis(M, -1, 0)
    return np.asarray(np.divide(vD - PD, DD, out=np.full(np.shape(DD), np.nan), where=np.asarray(DD > 0)))


def scale_free_weight(M: Array) -> Array:
    r"""Weight of the greatest cosine with the labels, from moments (..., 6).

    With the least-squares coefficients of :math:`V \approx aP_l + bP_t`,

    .. math::
        w = \frac{b}{a + b} = \frac{\langle V, D\rangle |P_l|^2 - \langle V, P_l\rangle\langle P_l, D\rangle}
                                   {\langle V, P_l\rangle |D|^2 - \langle V, D\rangle\langle P_l, D\rangle} .

    The mixes :math:`P_l + wD` run through an open half of the directions of the plane of the two students, from -D to D. The
    best direction of the plane is :math:`aP_l + bP_t`; it lies in that half where :math:`a + b > 0`, and then the cosine has
    one maximum over w. Otherwise it has one minimum, and grows for ever towards one side.

    The weight does not change if the labels are multiplied by a positive number. Symmetric label noise of rate p does this to
    the expected labels (by :math:`1 - pC/(C-1)`, coded one-hot minus 1/C), so that it does not move this optimum, while it
    moves that of the squared error.

    Returns
    -------
    (...) array
        Infinite, with the sign of the better side, where :math:`a + b \le 0`; nan where the students differ in scale only.

    Examples
    --------
    >>> P_l, P_t, V = [1.0, 0.0], [0.0, 1.0], np.array([3.0, 1.0])
    >>> [float(scale_free_weight(moments(P_l, P_t, labels).mean((0, 1)))) for labels in (V, V / 10, -V)]
    [0.25, 0.25, inf]
    """
    above, below, apart = _coefficients(M)
    vD = M[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(below > 0, above / below, np.where(vD == 0, np.nan, np.copysign(np.inf, vD)))
    return np.where(apart, weight, np.nan)


def _coefficients(M: Array) -> tuple[Array, Array, Array]:
    """b and a + b times the determinant of the plane, and whether it is a plane."""
    _, vP, vD, PP, PD, DD = np.moveaxis(M, -1, 0)
    return vD * PP - vP * PD, vP * DD - vD * PD, np.asarray(PP * DD - PD**2 > COLLINEAR * PP * DD)


def cosine(M: Array, teacher_weight: ArrayLike) -> Array:
    """Cosine of the mix with the labels, from moments (..., 6) and weights that broadcast."""
    vv, vP, vD, PP, PD, DD = np.moveaxis(M, -1, 0)
    w = np.asarray(teacher_weight, dtype=np.float64)
    return np.asarray((vP + w * vD) / np.sqrt(vv * (PP + w * (2 * PD + w * DD))))


def scale_free_within(M: Array, low: float, high: float) -> Array:
    """The best weight by cosine between two bounds: clipped where the cosine has a maximum, else the better end."""
    weight, better_end = scale_free_weight(M), np.where(cosine(M, high) > cosine(M, low), high, low)
    return np.where(np.isinf(weight), better_end, np.clip(weight, low, high))


def identifiability(M: Array) -> Array:
    r"""How far the teacher moves the student, :math:`|D| / |P_l|`, from moments (..., 6), as `kdtheory.identifiability`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(M[..., 5] > 0, np.sqrt(M[..., 5] / M[..., 3]), 0.0))
