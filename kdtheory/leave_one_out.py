r"""Exact leave-one-out of whole chains: the teacher and every student refitted without the point.

Write the chain without point i as a chain with all n points whose i-th target is free in every round. Choosing it so
that the i-th dual coefficient vanishes removes the point, and the value it takes is the prediction at the point. With
:math:`S = K(K + \lambda I)^{-1}`, :math:`M = (K + \lambda I)^{-1}` and the full chain's dual coefficients :math:`c_t`,
the correction :math:`\gamma_t` of the i-th target solves a triangular system with diagonals only,

.. math::
    \sum_{s \le t} \Big(\prod_{j=s+1}^{t} w_j\Big) (M S^{t-s})_{ii}\, \gamma_s = -c_{t,i}, \qquad
    \hat y^{(-i)}_t = \hat y_{t,i} + \sum_{s \le t} \Big(\prod_{j=s+1}^{t} w_j\Big) (S^{t-s+1})_{ii}\, \gamma_s .

Both sums contract where the chain does; the shorter :math:`(1 - w_t)\,y_i + w_t\,\hat y^{(-i)}_{t-1} + \gamma_t` would
amplify its own rounding by w in every round.

The textbook shortcut :math:`y_i - (y_i - \hat y_i)/(1 - h_{ii})` is exact for round 0 and for the limit, and for no
round between: there the teacher has seen the point.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, outputs
from kdtheory.distillation import every_product
from kdtheory.filters import Distilled
from kdtheory.spectrum import Spectrum, require_spectrum

__all__ = ["loo"]


def loo(spectrum: Spectrum, y: ArrayLike, *, ridge: ArrayLike, teacher_weights: ArrayLike) -> Array:
    r"""Leave-one-out predictions of every round, the whole chain refitted without each point.

    Costs one n × n × (T + 1) product after the eigendecomposition (with a different ridge per round, (T + 2)/2 times
    as much), not n refits.

    Parameters
    ----------
    spectrum : Spectrum
        Of the training Gram matrix, n points.
    y : (n,) or (n, p) array
        Training labels.
    ridge : float or (T + 1,) array
        :math:`\lambda > 0`, one for all rounds or one per round from round 0.
    teacher_weights : (T,) array

    Returns
    -------
    (T + 1, n) or (T + 1, n, p) array
        Entry [t, i] is round t's prediction at point i by the chain that never saw point i.

    Raises
    ------
    ValueError, OverflowError
        As in `rounds`.

    References
    ----------
    Derived in the module's docstring; round 0 is the identity of Allen (1974), PRESS.

    Examples
    --------
    Two unrelated points say nothing about each other, in any round:

    >>> from kdtheory import Spectrum
    >>> unrelated = Spectrum.from_gram([[1.0, 0.0], [0.0, 1.0]])
    >>> bool(np.allclose(loo(unrelated, [1.0, 2.0], ridge=0.5, teacher_weights=[0.5]), 0.0, atol=1e-12))
    True
    """
    require_spectrum(spectrum)
    labels = outputs(y, "y", length=spectrum.n)
    columns = column_shape(labels)
    chain = Distilled(ridge, teacher_weights)
    every = chain.every_round(spectrum.eigenvalues)
    at_zero = (1.0 - np.concatenate(([0.0], chain.weights))) / chain.ridges
    U, z, outside = spectrum.eigenvectors, spectrum.project(columns), spectrum.outside(columns)
    coefficients = every_product(U, every.dual, z) + np.multiply.outer(at_zero, outside)
    fits = every_product(U, every.fit, z)
    return _solve(coefficients, fits, chain.weights, _Diagonals(spectrum, chain.ridges)).reshape(-1, *labels.shape)


class _Diagonals:
    """Diagonals of M_t S_(t-1) ... S_s (`dual`) and S_t ... S_s (`fit`), s <= t; with one ridge only t - s matters."""

    def __init__(self, spectrum: Spectrum, ridges: Array) -> None:
        d, count = spectrum.eigenvalues[:, None], len(ridges)
        self.same = bool((ridges == ridges[0]).all())
        shrinkage = d / (d + ridges)  # (r, T + 1)
        starts = [0] if self.same else range(count)
        blocks, at_zero = [], []
        for s in starts:
            product = np.cumprod(np.concatenate([np.ones_like(d), shrinkage[:, s : count - 1]], axis=1), axis=1)
            blocks.append(product / (d + ridges[s:]))
            at_zero += [1.0 / ridges[s]] + [0.0] * (count - s - 1)
        values = np.concatenate(blocks, axis=1)
        both = spectrum.diagonal(np.concatenate([values, d * values], axis=1), np.array(at_zero + [0.0] * len(at_zero)))
        self.dual, self.fit = np.split(both, 2, axis=1)
        self.offsets = np.cumsum([0] + [count - s for s in starts])

    def columns(self, t: int) -> list[int]:
        """Where s = 0 .. t are kept, for this t."""
        return [t - s if self.same else int(self.offsets[s]) + t - s for s in range(t + 1)]


def _solve(coefficients: Array, fits: Array, weights: Array, diagonals: _Diagonals) -> Array:
    """The triangular recursion of the module's docstring, for all points and outputs: (T + 1, n, p)."""
    passed = np.empty_like(coefficients)  # gamma_s times the product of the teacher weights after s
    predictions = np.empty_like(coefficients)
    for t, (coefficient, fit) in enumerate(zip(coefficients, fits, strict=True)):
        columns = diagonals.columns(t)
        if t:
            passed[:t] *= weights[t - 1]
        held = coefficient + np.einsum("ns,snp->np", diagonals.dual[:, columns[:-1]], passed[:t])
        passed[t] = -held / diagonals.dual[:, columns[-1], None]
        predictions[t] = fit + np.einsum("ns,snp->np", diagonals.fit[:, columns], passed[: t + 1])
    return predictions
