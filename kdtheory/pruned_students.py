r"""The two students of a kept set, exactly: a teacher on rows T, a student on rows F, any overlap, any two kernels.

The teacher predicts :math:`g = G y` at all n points, its smoother G zero in the columns of rows it has not seen. The student
on rows F, with its own kernel K and ridge :math:`\lambda`, is trained on :math:`(1 - w)\,y_F + w\,g_F`. With :math:`A =
k_F\,(K_{FF} + \lambda I)^{-1}` at m points it predicts

.. math::
    A\,y_F + w\,A\,(G_F - E_F)\,y, \qquad E_F\,y = y_F,

so that labels :math:`y = f + \varepsilon` of noise variance :math:`\sigma^2` give it the risk

.. math::
    \tfrac1m|\tilde f - A f_F - w A(G_F - E_F)f|^2 + \tfrac{\sigma^2}{m}\,\|A E_F + w A (G_F - E_F)\|_F^2 .

Any other metric is a choice of the m points: with features :math:`\phi` and the kernel :math:`\phi\phi^\top`, the cross kernel
:math:`M^{1/2}\phi_F^\top` and the values :math:`M^{1/2}\theta^\star` measure the parameters in the metric M.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, matrix, outputs, positive, require_symmetric, rounding_of
from kdtheory.kept import Rows, ridge_for, rows_kept
from kdtheory.risk_curves import RiskCurves
from kdtheory.spectrum import Spectrum

__all__ = ["KeptStudent", "Teacher", "checked_gram", "dual_of"]


def checked_gram(gram: ArrayLike, name: str = "gram") -> Array:
    """A finite symmetric Gram matrix; whether it is positive is seen where its rows are decomposed."""
    K = matrix(gram, name)
    require_symmetric(K, name, float(np.sqrt(rounding_of(gram, name))))
    return K


def dual_of(spectrum: Spectrum, ridge: float) -> Array:
    """1 / (d + ridge); at ridge zero its limit on targets in the range, the pseudo-inverse."""
    d = spectrum.eigenvalues
    if ridge > 0:
        return np.asarray(1.0 / (d + ridge))
    return np.divide(1.0, d, out=np.zeros_like(d), where=d > spectrum.floor)


@dataclass(frozen=True, eq=False)
class Teacher:
    r"""What a student hears from: predictions at all n points, a linear function of the labels, or given numbers.

    Build it by `ridge`, `linear` or `fixed`.

    Attributes
    ----------
    n : int
        Points it predicts at.
    smoother : (n, n) array or None
        G, from all labels to all predictions; None where the predictions do not depend on the labels.
    predictions : (n, p) array or None
        Given predictions.

    Examples
    --------
    >>> Teacher.ridge([[1.0, 0.0], [0.0, 3.0]], ridge=1.0, ridge_convention="absolute", seen=[1]).smoother
    array([[0.  , 0.  ],
           [0.  , 0.75]])
    """

    n: int
    smoother: Array | None = None
    predictions: Array | None = None

    def __post_init__(self) -> None:
        if (self.smoother is None) == (self.predictions is None):
            raise ValueError("`Teacher` must have a smoother or predictions; make one by Teacher.ridge, linear or fixed.")

    @classmethod
    def ridge(cls, gram: ArrayLike, *, ridge: float, ridge_convention: str, seen: ArrayLike | None = None) -> Teacher:
        r"""Kernel ridge regression on the rows it has seen, :math:`G = K_{\cdot T}(K_{TT} + \lambda_t I)^{-1}E_T`.

        Parameters
        ----------
        gram : (n, n) array
            The teacher's kernel on all n points.
        ridge : float
            :math:`\lambda_t \ge 0`; zero is the limit, a teacher that interpolates what it has seen.
        ridge_convention : {"absolute", "per_example"}
        seen : indices or (n,) mask, optional
            Rows T; all if left out.

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        """
        K = checked_gram(gram, "gram")
        rows = np.arange(len(K)) if seen is None else rows_kept(seen, len(K), "seen")
        level = ridge_for(positive(ridge, "ridge", zero=True), len(rows), ridge_convention)
        s = Spectrum.from_gram(K[np.ix_(rows, rows)])
        smoother = np.zeros_like(K)
        smoother[np.ix_(rows, rows)] = cls.of_spectrum(s, level).smoother
        others = np.setdiff1d(np.arange(len(K)), rows)
        if len(others):
            U, dual = s.eigenvectors, dual_of(s, level)
            smoother[np.ix_(others, rows)] = (K[np.ix_(others, rows)] @ (U * dual)) @ U.T
        return cls(len(K), smoother)

    @classmethod
    def of_spectrum(cls, spectrum: Spectrum, ridge: float) -> Teacher:
        """Ridge regression on all rows, from the decomposition of their kernel, at an absolute ridge."""
        U = spectrum.eigenvectors
        return cls(spectrum.n, np.asarray((U * (spectrum.eigenvalues * dual_of(spectrum, ridge))) @ U.T))

    @classmethod
    def linear(cls, smoother: ArrayLike) -> Teacher:
        """Any other linear teacher, by the matrix (n, n) that takes labels to its predictions."""
        G = matrix(smoother, "smoother")
        if len(G) != G.shape[1]:
            raise ValueError(f"`smoother` must be square, all labels to all predictions, got shape {G.shape}.")
        return cls(len(G), G)

    @classmethod
    def fixed(cls, predictions: ArrayLike) -> Teacher:
        """Given predictions (n,) or (n, p) at all n points, taken as independent of the noise in the labels.

        A teacher that was trained on these labels is not: its measured risk curve is right all the same, the expected one is
        not.
        """
        g = column_shape(outputs(predictions, "predictions"))
        return cls(len(g), predictions=g)

    def predict(self, labels: Array) -> Array:
        """Predictions (n, p) at all points from labels (n, p), or the given ones."""
        if self.predictions is None:
            assert self.smoother is not None
            return np.asarray(self.smoother @ labels)
        if self.predictions.shape[1] != labels.shape[1]:
            raise ValueError(
                f"`teacher` must have the outputs of the labels, {labels.shape[1]}, got {self.predictions.shape[1]}."
            )
        return self.predictions


@dataclass(frozen=True, eq=False)
class KeptStudent:
    """A student's rows, decomposed once: serves every ridge, teacher, label and noise level.

    Attributes
    ----------
    kept : (k,) array
        Rows of the training set.
    spectrum : Spectrum
        Of the student's kernel on them.
    basis : (m, r) array
        Kernel values of the m points where the error counts, times the eigenvectors.
    """

    kept: Rows
    spectrum: Spectrum
    basis: Array

    @classmethod
    def of(cls, gram: Array, kept: Rows, cross: Array | None = None) -> KeptStudent:
        """From the kernel on all n points, and that of the m points with them; left out, the m points are the n."""
        spectrum = Spectrum.from_gram(gram[np.ix_(kept, kept)])
        at = gram[:, kept] if cross is None else cross[:, kept]
        return cls(kept, spectrum, np.asarray(at @ spectrum.eigenvectors))

    @cached_property
    def gram_of_basis(self) -> Array:
        """Second moments (r, r) of the basis over the m points."""
        return np.asarray(self.basis.T @ self.basis) / len(self.basis)

    def predictions(self, labels: Array, teacher: Teacher, ridge: float) -> tuple[Array, Array]:
        """Predictions (m, p) of the student on the labels (n, p), and what the teacher in their place adds."""
        change = teacher.predict(labels)[self.kept] - labels[self.kept]
        at_labels, at_change = (self._apply(targets, ridge) for targets in (labels[self.kept], change))
        return at_labels, at_change

    def _apply(self, targets: Array, ridge: float) -> Array:
        z = self.spectrum.project(targets)
        return np.asarray(self.basis @ (dual_of(self.spectrum, ridge)[:, None] * z))

    def smoothers(self, teacher: Teacher, ridge: float) -> tuple[Array, Array]:
        """Both students as matrices (m, n) on all labels: the one on labels, and the one on the teacher."""
        A = (self.basis * dual_of(self.spectrum, ridge)) @ self.spectrum.eigenvectors.T
        on_labels = np.zeros((len(self.basis), teacher.n))
        on_labels[:, self.kept] = A
        return on_labels, np.zeros_like(on_labels) if teacher.smoother is None else np.asarray(A @ teacher.smoother[self.kept])

    def bias(self, signal: Array, signal_new: Array, teacher: Teacher, ridge: float) -> RiskCurves:
        """Squared error of the noiseless student."""
        on_labels, change = self.predictions(signal, teacher, ridge)
        gap = signal_new - on_labels
        return RiskCurves(np.mean(gap**2), -2 * np.mean(gap * change), np.mean(change**2), np.mean(on_labels**2))

    def heard(self, teacher: Teacher) -> tuple[Array, Array] | None:
        """The teacher's covariances with the kept labels and with itself, in the eigenbasis; they serve every ridge."""
        if teacher.smoother is None:
            return None
        rotated = self.spectrum.eigenvectors.T @ teacher.smoother[self.kept]
        return np.asarray(rotated[:, self.kept] @ self.spectrum.eigenvectors), np.asarray(rotated @ rotated.T)

    def variance(self, heard: tuple[Array, Array] | None, ridge: float) -> RiskCurves:
        """Variance of the student per unit noise variance, from what the teacher lets it hear."""
        dual = dual_of(self.spectrum, ridge)
        W = dual[:, None] * self.gram_of_basis * dual
        own = float(np.trace(W))
        if heard is None:
            return RiskCurves(own, -2 * own, own, own)
        with_labels, with_itself = (float(np.sum(W * part.T)) for part in heard)
        return RiskCurves(own, 2 * (with_labels - own), max(with_itself - 2 * with_labels + own, 0.0), own)
