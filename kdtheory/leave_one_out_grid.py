r"""Exact leave-one-out of a whole grid of constant-weight chains: one division of power series at every point.

With one ridge and one teacher weight the triangular system of `kdtheory.leave_one_out` is a product of power series, and its
solution does not know the weight. With the members :math:`\varphi_j` of `kdtheory.skeleton`,

.. math::
    p_j = \varphi_j(K)\, y, \quad m_j = \mathrm{diag}\,\varphi_j(K), \qquad
    y - \hat y_t = \lambda \sum_{j \le t} w^j p_j, \qquad
    y - \hat y_t^{(-)} = \sum_{j \le t} w^j q_j, \quad \sum_j q_j x^j = \frac{\sum_j p_j x^j}{\sum_j m_j x^j} .

(The free targets :math:`\gamma` of that module satisfy :math:`m(wx)\,\gamma(x) = -c(x)`, where the dual coefficients of the
chain are :math:`c(x) = p(wx)\,(1 - wx)/(1 - x)`; and a point without a dual coefficient is predicted as its own target,
:math:`e_t = w\,e_{t-1} - \gamma_t`, so that :math:`e(x) = p(wx)/[m(wx)\,(1 - x)]`.) The :math:`m_j` are moments of a
measure on [0, 1], so the coefficients of 1/m but the first are negative and sum to at most the first one (Kaluza 1928):
the division at most doubles what rounding left in p.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, outputs, schedule, whole
from kdtheory.grid import in_power_basis, squared_sums
from kdtheory.leave_one_out import loo
from kdtheory.skeleton import members
from kdtheory.spectrum import Spectrum, require_spectrum

__all__ = ["loo_grid"]

BLOCK_ENTRIES = 2**22


def loo_grid(spectrum: Spectrum, y: ArrayLike, *, ridges: ArrayLike, teacher_weights: ArrayLike, rounds: int) -> Array:
    r"""Mean squared leave-one-out error, :math:`\frac{1}{np}\sum_i |y_i - \hat y^{(-i)}_t|^2`, over ridge × weight × round.

    Parameters
    ----------
    spectrum : Spectrum
        Of the training Gram matrix, n points.
    y : (n,) or (n, p) array
        Training labels.
    ridges : (L,) array
        Positive.
    teacher_weights : (A,) array
        Each is used in every round of its chain.
    rounds : int
        T, the number of students after the teacher.

    Returns
    -------
    (L, A, T + 1) array
        Averaged over points and outputs, against the labels `y` themselves (noise included).

    Raises
    ------
    ValueError, OverflowError
        As in `risk_grid`.

    Examples
    --------
    With a second point of the same label and kernel value 0.5, a point is predicted as 0.5 / (1 + ridge):

    >>> from kdtheory import Spectrum
    >>> s = Spectrum.from_gram([[1.0, 0.5], [0.5, 1.0]])
    >>> loo_grid(s, [1.0, 1.0], ridges=[1.0], teacher_weights=[0.0], rounds=0).round(4)
    array([[[0.5625]]])
    >>> (1 - 0.5 / (1 + 1)) ** 2
    0.5625
    """
    require_spectrum(spectrum)
    columns = column_shape(outputs(y, "y", length=spectrum.n))
    ridge_list = schedule(ridges, "ridges", above_zero=True)
    weights, T = schedule(teacher_weights, "teacher_weights"), whole(rounds, "rounds")
    steady = in_power_basis(weights, T)
    grid = np.empty((len(ridge_list), len(weights), T + 1))
    if steady.any():
        grid[:, steady] = _steady_grid(spectrum, columns, ridge_list, weights[steady], T)
    for i in np.flatnonzero(~steady):
        for row, ridge in zip(grid, ridge_list, strict=True):
            predictions = loo(spectrum, columns, ridge=ridge, teacher_weights=np.full(T, weights[i]))
            row[i] = np.mean((columns - predictions) ** 2, axis=(1, 2))
    return grid


def _steady_grid(spectrum: Spectrum, columns: Array, ridges: Array, weights: Array, T: int) -> Array:
    """Mean squared errors (L, A, T + 1), some ridges and some points at a time."""
    (n, p), r, count = columns.shape, spectrum.rank, T + 1
    U, z, outside = spectrum.eigenvectors, spectrum.project(columns), spectrum.outside(columns)
    missing = np.maximum(1.0 - np.einsum("nr,nr->n", U, U), 0.0) if r < n else np.zeros(n)
    errors = np.empty((len(ridges), len(weights), count))
    some = max(1, BLOCK_ENTRIES // (r * count * p))
    for first in range(0, len(ridges), some):
        at = ridges[first : first + some]
        phi = members(spectrum.eigenvalues, at, count).reshape(r, -1)
        labelled = (z[:, :, None] * phi[:, None, :]).reshape(r, -1)
        R = np.empty((len(at), 0, count))
        height = max(1, BLOCK_ENTRIES // (len(at) * count * p))
        for start in range(0, n, height):
            rows = slice(start, start + height)
            q = _divided(
                _by_round(U[rows] @ labelled, outside[rows], at), _by_round(U[rows] ** 2 @ phi, missing[rows, None], at)
            )
            stacked = np.concatenate([R, q.transpose(1, 2, 3, 0).reshape(len(at), -1, count)], axis=1)
            R = np.asarray(np.linalg.qr(stacked, mode="r"))
        errors[first : first + some] = squared_sums(R, weights)
    return errors / columns.size


def _by_round(products: Array, beyond: Array, ridges: Array) -> Array:
    """Products (points, outputs × round × ridge) as (round, ridge, points, outputs); beyond the range only phi_0(0) counts."""
    by_round = np.ascontiguousarray(products.reshape(*beyond.shape, -1, len(ridges)).transpose(2, 3, 0, 1))
    by_round[0] += beyond / ridges[:, None, None]
    return by_round


def _divided(p: Array, m: Array) -> Array:
    """Coefficients of p(x) / m(x), in place of those of p, along the first axis."""
    for t in range(len(p)):
        for j in range(1, t + 1):
            p[t] -= m[j] * p[t - j]
        p[t] /= m[0]
    return p
