"""A problem to check claims on: kernel matrices, labels, a ridge, and what the labels would be without noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from kdtheory.checks import Array, column_shape, matrix, outputs, positive, whole
from kdtheory.elementary_filters import Ridge
from kdtheory.spectrum import Spectrum

__all__ = ["EMBEDDED", "Problem", "diabetes", "digits"]

FEWEST_POINTS = 10
NOISE_VARIANCE = 0.25  # of labels whose mean square is 1


@dataclass(frozen=True, eq=False)
class Problem:
    """Training and held-out points under one kernel, with labels and a ridge.

    Make one from your data by `split`, or draw some by `kdtheory.testing.problems`.

    Attributes
    ----------
    gram : (n, n) array
        K on the training points.
    cross : (m, n) array
        Kernel between held-out and training points.
    y, y_new : (n, p) and (m, p) arrays
        Labels of both.
    signal : (n, p) array
        What the labels would be without noise, for statements about the average over label noise.
    noise_variance : float
        Of a label, for the same statements.
    ridge : float
    name : str
    """

    gram: Array
    cross: Array
    y: Array
    y_new: Array
    signal: Array
    noise_variance: float
    ridge: float
    name: str = "problem"

    def __repr__(self) -> str:
        n, p = self.y.shape
        d = np.array2string(self.spectrum.eigenvalues, precision=3, threshold=12, edgeitems=3)
        z = np.array2string(self.spectrum.project(self.y)[:, 0], precision=3, threshold=12, edgeitems=3)
        return (
            f"Problem({self.name}: n={n}, m={len(self.cross)}, outputs={p}, ridge={self.ridge:.6g}, "
            f"noise_variance={self.noise_variance:.6g}, eigenvalues={d}, labels in the eigenbasis={z})"
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002
        """The same in Hypothesis and IPython, which would spell out every matrix."""
        printer.text(repr(self))

    @property
    def n(self) -> int:
        """Number of training points."""
        return len(self.gram)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Eigenbasis of the Gram matrix."""
        return Spectrum.from_gram(self.gram)

    @cached_property
    def rounding(self) -> float:
        """What rounding may do to a ridge fit, relative: the unit roundoff times d_1 / ridge, or times what cancels."""
        largest, size = float(self.spectrum.eigenvalues[0]), float(np.abs(self.gram).max())
        c = self.spectrum.coefficients(Ridge(self.ridge), self.y)
        # entries of a kernel matrix are sums over features: each is rounded relative to the largest
        terms = size * float(np.abs(c).sum(axis=0).max())
        cancelled = [terms / max(float(np.abs(k @ c).max()), 1e-300) for k in (self.gram, self.cross)]
        return float(np.finfo(np.float64).eps) * max(1.0, largest / self.ridge, *cancelled)

    @cached_property
    def _parts(self) -> dict[int, Problem]:
        """Restrictions made so far, so that each is decomposed once."""
        return {}

    def first(self, count: int) -> Problem:
        """The same problem on the first `count` training points."""
        k = min(count, self.n)
        if k == self.n:
            return self
        if k not in self._parts:
            gram, cross = self.gram[:k, :k], self.cross[:, :k]
            self._parts[k] = replace(self, gram=gram, cross=cross, y=self.y[:k], signal=self.signal[:k])
        return self._parts[k]

    @classmethod
    def split(
        cls,
        name: str,
        X: Array,
        y: Array,
        *,
        kernel: Callable[..., Array],
        ridge: float,
        seed: int = 0,
        max_points: int = 2000,
        noise_variance: float = NOISE_VARIANCE,
    ) -> Problem:
        """Shuffle, keep at most `max_points`, hold out three in ten, standardise by the training part.

        Inputs are centred and scaled, labels scaled to a mean square of 1. Statements about the average over label noise take
        the labels as the signal, with noise of the given variance.

        Raises
        ------
        ValueError
            If there are fewer than 10 points, the labels are zero, a value is not finite or a parameter out of its range.
        """
        if not callable(kernel):
            raise ValueError(
                f"`kernel` must be a function of point sets, got {kernel!r}; kernels.named gives one by its name."
            )
        X = matrix(X, "X")
        y = column_shape(outputs(y, "y", length=len(X)))
        if len(X) < FEWEST_POINTS:
            raise ValueError(f"`X` must hold at least {FEWEST_POINTS} points, some of them to hold out, got {len(X)}.")
        if not np.any(y):
            raise ValueError("`y` must not be zero everywhere: there is nothing to learn.")
        most = whole(max_points, "max_points", least=FEWEST_POINTS)
        ridge, variance = positive(ridge, "ridge"), positive(noise_variance, "noise_variance", zero=True)
        order = np.random.default_rng(whole(seed, "seed")).permutation(len(X))[:most]
        held = order[: max(1, 3 * len(order) // 10)]
        kept = order[len(held) :]
        centre, scale = X[kept].mean(axis=0), X[kept].std(axis=0)
        inputs = (X - centre) / np.where(scale > 0, scale, 1.0)
        with np.errstate(over="ignore"):
            size = np.sqrt(np.mean(y[kept] ** 2)) or 1.0
        if not (np.isfinite(size) and np.isfinite(scale).all()):
            raise ValueError("`X` and `y` must have squares within floating point; scale them down.")
        labels, points = y / size, inputs[kept]
        gram, cross = kernel(points), kernel(inputs[held], points)
        return cls(gram, cross, labels[kept], labels[held], labels[kept], variance, ridge, name)


def digits() -> tuple[Array, Array]:
    """The 1,797 images of scikit-learn's digits, 64 pixels, and their one-hot labels (1797, 10)."""
    X, labels = _datasets("digits").load_digits(return_X_y=True)
    return np.asarray(X, dtype=np.float64), np.eye(10)[labels]


def diabetes() -> tuple[Array, Array]:
    """The 442 patients of scikit-learn's diabetes, 10 measurements, and the centred progression of the disease (442,)."""
    X, y = _datasets("diabetes").load_diabetes(return_X_y=True)
    return np.asarray(X, dtype=np.float64), np.asarray(y - y.mean())


#: Data that scikit-learn brings along.
EMBEDDED = {"digits": digits, "diabetes": diabetes}


def _datasets(name: str) -> Any:
    try:
        from sklearn import datasets  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            f"The {name} data come with scikit-learn: pip install 'kdtheory[estimators]', or give your own data."
        ) from error
    return datasets
