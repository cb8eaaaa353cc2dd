r"""The eigenbasis: one decomposition, after which every smoother is elementwise arithmetic.

A Gram matrix :math:`K = U\,\mathrm{diag}(d)\,U^\top` is held as `Spectrum`. Exact kernels and feature maps
differ only in how ``(d, U)`` was made; a low-rank spectrum (r < n) knows that everything outside its range has
eigenvalue zero, and treats that part of the labels exactly.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, matrix, outputs, positive, require_symmetric, rounding_of
from kdtheory.eigensolver import Driver, decomposed

__all__ = ["Filter", "Spectrum"]


class Filter(Protocol):
    """What a spectrum asks of a filter: three functions of an eigenvalue, each accurate by itself."""

    def fit(self, eigenvalues: ArrayLike, /) -> Array:
        """Multiplier from labels to fitted values."""
        ...

    def dual(self, eigenvalues: ArrayLike, /) -> Array:
        """fit / eigenvalue, the multiplier from labels to dual coefficients, finite at zero."""
        ...

    def residual(self, eigenvalues: ArrayLike, /) -> Array:
        """1 - fit, computed without subtracting."""
        ...


@dataclass(frozen=True, eq=False)
class Spectrum:
    r"""Eigenvalues and eigenvectors of a Gram matrix, :math:`K = U\,\mathrm{diag}(d)\,U^\top`.

    Build it with `from_gram` or `from_features`.

    Attributes
    ----------
    eigenvalues : (r,) array
        :math:`d \ge 0`, descending.
    eigenvectors : (n, r) array
        :math:`U`, orthonormal columns; r < n means that every other eigenvalue is exactly zero.
    clipped : float
        The most negative eigenvalue that was set to zero; 0.0 if none was.

    Examples
    --------
    A smoother only multiplies the labels' coordinates in the eigenbasis:

    >>> from kdtheory import Ridge
    >>> s = Spectrum.from_gram([[2.0, 0.0], [0.0, 1.0]])
    >>> s.fit(Ridge(1.0), [3.0, 2.0])
    array([2., 1.])
    """

    eigenvalues: Array
    eigenvectors: Array
    clipped: float = 0.0

    def __post_init__(self) -> None:
        for array in (self.eigenvalues, self.eigenvectors):
            array.setflags(write=False)

    def __repr__(self) -> str:
        n, r = self.eigenvectors.shape
        d = self.eigenvalues
        return f"Spectrum(n={n}, rank={r}, eigenvalues={d[0]:.4g} .. {d[-1]:.4g}, clipped={self.clipped:.2g})"

    @classmethod
    def from_gram(cls, gram: ArrayLike, *, overwrite: bool = False, driver: Driver | None = None) -> Spectrum:
        r"""Spectrum of a symmetric positive semi-definite Gram matrix.

        Parameters
        ----------
        gram : (n, n) array
            Symmetric and positive semi-definite up to rounding. Negative eigenvalues of rounding size are set to
            zero and the most negative one is reported as `clipped`.
        overwrite : bool
            Let a float64 `gram` be destroyed: the peak memory is then two n × n arrays instead of three.
        driver : {"evd", "evr"}, optional
            Divide and conquer, or relatively robust representations: equally fast; "evd" needs one n × n array more and
            leaves eigenvectors orthonormal to 1e-14, "evr" to 1e-12 .. 1e-10. By default "evd" up to n = 2,000.

        Raises
        ------
        ValueError
            If `gram` is not square, not symmetric, not finite, or has an eigenvalue below :math:`-10^{-6} d_1` (float32:
            :math:`-3.5 \cdot 10^{-4} d_1`), which no rounding explains; if `driver` is "evd" at n > 32,766.

        Warns
        -----
        RuntimeWarning
            If what was clipped is more than the rounding of a matrix computed in this precision.

        Examples
        --------
        >>> Spectrum.from_gram([[1.0, 1.0], [1.0, 1.0]]).eigenvalues.round(12)
        array([2., 0.])
        """
        rounding = rounding_of(gram, "gram")
        K = matrix(gram, "gram")
        require_symmetric(K, "gram", float(np.sqrt(rounding)))
        d, U = decomposed(K, overwrite=overwrite and isinstance(gram, np.ndarray), driver=driver)
        smallest, largest = float(d[-1]), float(max(d[0], 0.0))
        if not np.isfinite(largest):
            raise ValueError("`gram` must have eigenvalues within floating point; divide it by its largest entry.")
        if smallest < -max(1e-6, np.sqrt(rounding)) * largest:
            raise ValueError(
                f"`gram` must be positive semi-definite, got smallest eigenvalue {smallest:.3g} beside largest "
                f"{largest:.3g}; this kernel is indefinite on these points."
            )
        clipped = min(smallest, 0.0)
        if clipped < -10 * len(K) * rounding * largest:
            warnings.warn(
                f"`gram` has a negative eigenvalue {clipped:.2g} (largest {largest:.2g}), more than rounding in "
                f"this precision leaves; it was set to zero.",
                RuntimeWarning,
                stacklevel=2,
            )
        return cls(np.maximum(d, 0.0), U, clipped)

    @classmethod
    def from_features(cls, features: ArrayLike) -> Spectrum:
        r"""Spectrum of :math:`K = \Phi\Phi^\top`, from the singular values of :math:`\Phi`, without forming K.

        Parameters
        ----------
        features : (n, p) array
            :math:`\Phi`; the rank is at most min(n, p). New points enter `predict` by
            ``cross = features_new @ features.T`` (that is `kernels.linear`).

        Raises
        ------
        ValueError
            If `features` is empty, not two-dimensional or not finite.

        Examples
        --------
        >>> Spectrum.from_features([[3.0], [4.0], [0.0]]).eigenvalues
        array([25.])
        """
        U, singular_values, _ = scipy.linalg.svd(matrix(features, "features"), full_matrices=False, check_finite=False)
        if not singular_values[0] < 1e150:
            raise ValueError("`features` must have squares within floating point; divide them by their largest entry.")
        return cls(singular_values**2, np.asfortranarray(U))

    @property
    def n(self) -> int:
        """Number of training points."""
        return int(self.eigenvectors.shape[0])

    @property
    def rank(self) -> int:
        """Number of eigenvalues held."""
        return int(self.eigenvalues.shape[0])

    @property
    def floor(self) -> float:
        """What an eigensolver may leave of an eigenvalue of zero; those up to here are rounding."""
        return self.n * float(np.finfo(float).eps) * float(self.eigenvalues[0])

    def project(self, y: ArrayLike) -> Array:
        r"""Coordinates :math:`z = U^\top y` of labels (n,) or (n, p) in the eigenbasis: (r,) or (r, p)."""
        return np.asarray(self.eigenvectors.T @ outputs(y, "y", length=self.n))

    def outside(self, y: ArrayLike) -> Array:
        r"""Part of the labels outside the range held, :math:`y - UU^\top y`, zero at full rank."""
        labels = outputs(y, "y", length=self.n)
        if self.rank == self.n:
            return np.zeros_like(labels)
        return np.asarray(labels - self.eigenvectors @ (self.eigenvectors.T @ labels))

    def apply(self, values: Array, at_zero: float, y: ArrayLike) -> Array:
        r"""Matrix function times labels, :math:`f(K)\,y`, from :math:`f(d)` (r,) and :math:`f(0)`."""
        labels = outputs(y, "y", length=self.n)
        inside = self.eigenvectors @ _scale(values, self.project(labels))
        return np.asarray(inside if at_zero == 0 else inside + at_zero * self.outside(labels))

    def diagonal(self, values: Array, at_zero: float | Array = 0.0) -> Array:
        r"""Diagonal of :math:`f(K)`, for one function (r,) -> (n,) or several (r, k) -> (n, k)."""
        leverage = self.eigenvectors**2
        inside = leverage @ values
        if self.rank == self.n or not np.any(at_zero):
            return np.asarray(inside)
        missing = np.maximum(1.0 - leverage.sum(axis=1), 0.0)
        return np.asarray(inside + (np.multiply.outer(missing, at_zero) if np.ndim(at_zero) else missing * at_zero))

    def fit(self, filter: Filter, y: ArrayLike) -> Array:
        r"""Fitted values :math:`U\,\mathrm{fit}(d)\,U^\top y` at the training points: (n,) or (n, p)."""
        return self.apply(filter.fit(self.eigenvalues), 0.0, y)

    def residual(self, filter: Filter, y: ArrayLike) -> Array:
        r"""Residuals :math:`y - \hat y = U\,\mathrm{residual}(d)\,U^\top y` plus what lies outside the range."""
        return self.apply(filter.residual(self.eigenvalues), 1.0, y)

    def coefficients(self, filter: Filter, y: ArrayLike) -> Array:
        r"""Dual coefficients c with prediction :math:`k(x)^\top c`: (n,) or (n, p).

        The part outside the range is left out: every kernel value of a point, new or not, is orthogonal to it.
        """
        return self.apply(filter.dual(self.eigenvalues), 0.0, y)

    def predict(self, filter: Filter, y: ArrayLike, cross: ArrayLike) -> Array:
        r"""Predictions at new points.

        Parameters
        ----------
        filter : Filter
            For example `Ridge` or `Distilled`.
        y : (n,) or (n, p) array
            Training labels.
        cross : (m, n) array
            Kernel between the new points and the training points.

        Returns
        -------
        (m,) or (m, p) array
            :math:`k\,U\,\mathrm{dual}(d)\,U^\top y`.

        Raises
        ------
        ValueError
            If `y` or `cross` does not fit the n training points, or holds a value that is not finite.
        """
        return np.asarray(matrix(cross, "cross", shape=(None, self.n)) @ self.coefficients(filter, y))

    def effective_dimension(self, filter: Filter | float) -> float:
        r"""Degrees of freedom of a smoother, :math:`\mathrm{tr}\,H = \sum_i \mathrm{fit}(d_i)`.

        Parameters
        ----------
        filter : Filter or float
            A number is read as a ridge, :math:`\sum_i d_i / (d_i + \text{ridge})`; it must be positive.

        Examples
        --------
        >>> Spectrum.from_gram([[3.0, 0.0], [0.0, 1.0]]).effective_dimension(1.0)
        1.25
        """
        d = self.eigenvalues
        return float(np.sum(filter.fit(d) if hasattr(filter, "fit") else d / (d + positive(filter, "filter"))))

    def alignment(self, y: ArrayLike) -> float | Array:
        r"""Kernel-target alignment :math:`y^\top K y \,/\, (|y|^2\,\|K\|_F)`, between 0 and 1.

        Parameters
        ----------
        y : (n,) or (n, p) array

        Returns
        -------
        float, or (p,) array with one value per output
            1 where y is an eigenvector of a rank-one K. The share of each eigendirection is
            ``s.project(y)**2 / (y**2).sum(axis=0)``.

        Raises
        ------
        ValueError
            If a column of `y`, or the Gram matrix, is zero.

        References
        ----------
        Cristianini, Shawe-Taylor, Elisseeff & Kandola (2001), On kernel-target alignment.

        Examples
        --------
        >>> s = Spectrum.from_gram([[2.0, 0.0], [0.0, 0.0]])
        >>> s.alignment([1.0, 0.0]), s.alignment([0.0, 1.0])
        (1.0, 0.0)
        """
        labels = outputs(y, "y", length=self.n)
        energy = np.sum(column_shape(labels) ** 2, axis=0)
        if not (energy > 0).all():
            raise ValueError("`y` must not be zero: the alignment of a zero target is undefined.")
        largest = self.eigenvalues[0]
        if not largest > 0:
            raise ValueError("`alignment` needs a Gram matrix other than zero.")
        relative = self.eigenvalues / largest
        shares = column_shape(self.project(labels)) ** 2 / energy
        values = relative @ shares / np.linalg.norm(relative)
        return float(values[0]) if labels.ndim == 1 else np.asarray(values)


def require_spectrum(value: object) -> None:
    """Refuse a Gram matrix where its spectrum is wanted."""
    if not isinstance(value, Spectrum):
        raise ValueError(f"`spectrum` must be a Spectrum, got {type(value).__name__}; make one by Spectrum.from_gram(gram).")


def _scale(values: Array, z: Array) -> Array:
    return np.asarray(values[:, None] * z if z.ndim == 2 else values * z)
