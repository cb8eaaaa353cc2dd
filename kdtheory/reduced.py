r"""A training set reduced to r directions: all that filters ask of it, whatever made the directions.

The exact eigendecomposition, a block-Krylov basis, Nyström centres and random features differ in how (d, z, basis) came
about and in the error they leave; every ridge, teacher weight and round afterwards is the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, matrix, outputs, schedule, values_like_y, whole
from kdtheory.distillation import every_product
from kdtheory.filters import Distilled, Polynomial, Ridge
from kdtheory.grid import Seen, growth, residual_moments, validation_grid
from kdtheory.risk import gcv_score
from kdtheory.spectrum import Filter, Spectrum

__all__ = ["Certificate", "Reduced"]


@dataclass(frozen=True)
class Certificate:
    """The chains that an error was bounded for; what else is asked is refused, for it may be wrong by any amount.

    Attributes
    ----------
    smallest_ridge : float
    rounds : int
        The most.
    growth : float
        The largest sum of a round's absolute coefficients in its members; 1 for teacher weights in [0, 1].
    """

    smallest_ridge: float
    rounds: int
    growth: float

    def require(self, ridges: Array, weights: Array) -> None:
        """Refuse a ridge below the smallest, more rounds, or weights (rounds, chains) that grow further."""
        if ridges.min() < self.smallest_ridge * (1 - 1e-12):
            raise ValueError(
                f"`ridge` must be at least {self.smallest_ridge:.6g}, the smallest that this basis was made for, got "
                f"{ridges.min():.6g}."
            )
        if len(weights) > self.rounds:
            raise ValueError(f"`rounds` must be at most {self.rounds}, which this basis was made for, got {len(weights)}.")
        if (grown := growth(weights)) > self.growth * (1 + 1e-12):
            raise ValueError(
                f"`teacher_weights` must grow by at most {self.growth:.4g}, as those that this basis was made for, got "
                f"{grown:.4g}; name them when it is made."
            )

    def require_filter(self, filter: Filter) -> None:
        """The same of a filter, which must be one of chains."""
        if isinstance(filter, Distilled):
            self.require(filter.ridges, filter.weights)
        elif isinstance(filter, Ridge):
            self.require(np.atleast_1d(filter.ridge), np.empty(0))
        elif isinstance(filter, Polynomial):
            self.require(np.atleast_1d(filter.ridge), np.empty(len(filter.coefficients) - 1))
            if (grown := float(np.abs(filter.coefficients).sum())) > self.growth * (1 + 1e-12):
                raise ValueError(
                    f"`filter` must have coefficients of absolute sum {self.growth:.4g} at most, got {grown:.4g}."
                )
        else:
            raise ValueError(
                f"`filter` must be a Ridge, Distilled or Polynomial: this basis is for chains; got {type(filter).__name__}."
            )


@dataclass(frozen=True, eq=False)
class Reduced:
    r"""Labels in the coordinates of r directions: predictions are :math:`V\,\mathrm{dual}(d)\,z`.

    Attributes
    ----------
    eigenvalues : (r,) array
        :math:`d \ge 0`, descending, of the (approximate) Gram matrix.
    labels : (r, p) array
        z, one column per output.
    basis : callable
        New points (m, features) -> V (m, r). (Made from a Gram matrix: the cross matrix (m, n) -> V.)
    energy : (r,) array
        Squared labels along each orthonormal direction, summed over outputs.
    outside : float
        Squared labels in no direction held, summed over outputs.
    n : int
        Number of training points.
    method : str
        What made it: "exact", "krylov", "nystrom", "random features".
    error : float or None
        Estimate of the largest error of the fitted values against the exact Gram matrix, over the ridges that it was made for,
        relative to the labels (of centres and random features: to the fitted values); None where nothing estimates it.
    note : str
        One sentence: what was chosen, and why.
    certificate : Certificate or None
        The chains that may be asked for; None if any. (An exact basis, or one of centres, answers for every chain; its
        `error` then speaks of the ridges that it was made for.)
    complete : bool
        Whether `eigenvalues` are all that are not zero. A Krylov basis holds only what its labels see: it has no traces.
    vector : bool
        Whether the labels came as (n,), so that predictions leave as (m,).
    """

    eigenvalues: Array
    labels: Array
    basis: Callable[[ArrayLike], Array]
    energy: Array
    outside: float
    n: int
    method: str
    error: float | None = None
    note: str = ""
    certificate: Certificate | None = None
    complete: bool = True
    vector: bool = False

    def __repr__(self) -> str:
        error = "unknown" if self.error is None else f"{self.error:.1g}"
        return f"Reduced({self.method}, n={self.n}, rank={self.rank}, outputs={self.labels.shape[1]}, error={error})"

    @classmethod
    def from_spectrum(cls, spectrum: Spectrum, y: ArrayLike, cross: Callable[[ArrayLike], Array] | None = None) -> Reduced:
        """The exact one; `cross` maps new points to their kernel with the training points, left out they come as that."""
        y = outputs(y, "y", length=spectrum.n)
        z = spectrum.project(column_shape(y))

        def basis(new: ArrayLike) -> Array:
            K = new if cross is None else cross(new)
            return np.asarray(matrix(K, "cross", shape=(None, spectrum.n)) @ spectrum.eigenvectors)

        outside = float(np.sum(spectrum.outside(y) ** 2))
        return cls(spectrum.eigenvalues, z, basis, np.sum(z**2, axis=1), outside, spectrum.n, "exact", 0.0, vector=y.ndim == 1)

    @property
    def rank(self) -> int:
        """Number of directions held."""
        return len(self.eigenvalues)

    def predict(self, filter: Filter, X_new: ArrayLike) -> Array:
        """Predictions (m,) or (m, p) of one filter at new points."""
        if self.certificate is not None:
            self.certificate.require_filter(filter)
        values = self.basis(X_new) @ (filter.dual(self.eigenvalues)[:, None] * self.labels)
        return np.asarray(values[:, 0] if self.vector else values)

    def rounds(self, X_new: ArrayLike, *, ridge: ArrayLike, teacher_weights: ArrayLike) -> Array:
        """Predictions of every round of one chain at new points: (T + 1, m) or (T + 1, m, p); see `kdtheory.rounds`."""
        chain = Distilled(ridge, teacher_weights)
        if self.certificate is not None:
            self.certificate.require(chain.ridges, chain.weights)
        dual = chain.every_round(self.eigenvalues).dual
        values = every_product(self.basis(X_new), dual, self.labels)
        return np.asarray(values[..., 0] if self.vector else values)

    def risk_grid(
        self,
        X_val: ArrayLike,
        y_val: ArrayLike,
        *,
        ridges: ArrayLike,
        teacher_weights: ArrayLike,
        rounds: int,
        method: str = "auto",
    ) -> Array:
        """Validation error of every ridge, teacher weight and round: (L, A, T + 1); see `kdtheory.risk_grid`."""
        tried, weights = schedule(ridges, "ridges", above_zero=True), schedule(teacher_weights, "teacher_weights")
        T = whole(rounds, "rounds")
        if self.certificate is not None:
            self.certificate.require(tried, np.broadcast_to(weights, (T, len(weights))))
        V = self.basis(X_val)
        wanted = values_like_y(y_val, "y_val", length=len(V), columns=self.labels.shape[1])
        return validation_grid(
            self.eigenvalues,
            self.labels,
            Seen(V),
            wanted,
            ridges=tried,
            weights=weights,
            rounds=T,
            method=method,
        )

    def gcv_grid(self, *, ridges: ArrayLike, teacher_weights: ArrayLike, rounds: int) -> Array:
        """Generalised cross-validation of every ridge, teacher weight and round: (L, A, T + 1); see `kdtheory.gcv_grid`."""
        self._require_complete("gcv_grid")
        losses, traces = residual_moments(
            self.eigenvalues,
            self.energy,
            schedule(ridges, "ridges", above_zero=True),
            schedule(teacher_weights, "teacher_weights"),
            whole(rounds, "rounds"),
        )
        return gcv_score(losses + self.outside, traces + (self.n - self.rank), float(self.n), self.labels.shape[1])

    def effective_dimension(self, filter: Filter) -> float:
        """Degrees of freedom of a smoother, the trace of its fit."""
        self._require_complete("effective_dimension")
        return float(np.sum(filter.fit(self.eigenvalues)))

    def _require_complete(self, what: str) -> None:
        if not self.complete:
            raise ValueError(
                f"`{what}` needs the trace of the smoother, which a {self.method} basis of the labels does not hold; "
                f"use a Nyström or an exact one."
            )
