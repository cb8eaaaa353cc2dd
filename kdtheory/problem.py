"""A problem to check claims on: inputs, labels, a kernel, a ridge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kdtheory.checks import Array, column_shape, matrix, outputs, positive, whole
from kdtheory.spectrum import Spectrum

__all__ = ["Problem", "digits"]

FEWEST_POINTS = 10


@dataclass(frozen=True, eq=False)
class Problem:
    """Training and held-out points with a kernel and a ridge; kernel matrices are computed when first needed.

    Attributes
    ----------
    name : str
    X, y : (n, features) and (n, p) arrays
        Training points; standardised inputs, labels of unit size.
    X_new, y_new : (m, features) and (m, p) arrays
        Held-out points.
    kernel : function of two point sets
    ridge : float
    """

    name: str
    X: Array
    y: Array
    X_new: Array
    y_new: Array
    kernel: Callable[..., Array]
    ridge: float

    @cached_property
    def gram(self) -> Array:
        """K (n, n)."""
        return self.kernel(self.X)

    @cached_property
    def cross(self) -> Array:
        """k (m, n)."""
        return self.kernel(self.X_new, self.X)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Eigenbasis of the Gram matrix."""
        return Spectrum.from_gram(self.gram)

    @property
    def rounding(self) -> float:
        """What rounding alone may do to a ridge fit, relative: the unit roundoff times d_1 / ridge, at least 1."""
        largest = float(self.spectrum.eigenvalues[0])
        return float(np.finfo(np.float64).eps) * max(1.0, largest / self.ridge)

    @classmethod
    def split(
        cls, name: str, X: Array, y: Array, *, kernel: Callable[..., Array], ridge: float, seed: int, max_points: int
    ) -> Problem:
        """Shuffle, keep at most `max_points`, hold out three in ten, standardise by the training part."""
        X = matrix(X, "X")
        y = column_shape(outputs(y, "y", length=len(X)))
        if len(X) < FEWEST_POINTS:
            raise ValueError(f"`X` must hold at least {FEWEST_POINTS} points, some of them to hold out, got {len(X)}.")
        if not np.any(y):
            raise ValueError("`y` must not be zero everywhere: there is nothing to learn.")
        most = whole(max_points, "max_points", least=FEWEST_POINTS)
        order = np.random.default_rng(whole(seed, "seed")).permutation(len(X))[:most]
        held = order[: max(1, 3 * len(order) // 10)]
        kept = order[len(held) :]
        centre, scale = X[kept].mean(axis=0), X[kept].std(axis=0)
        inputs = (X - centre) / np.where(scale > 0, scale, 1.0)
        with np.errstate(over="ignore"):
            size = np.sqrt(np.mean(y[kept] ** 2)) or 1.0
        if not (np.isfinite(size) and np.isfinite(scale).all()):
            raise ValueError("`X` and `y` must have squares within floating point; scale them down.")
        return cls(name, inputs[kept], y[kept] / size, inputs[held], y[held] / size, kernel, positive(ridge, "ridge"))


def digits() -> tuple[Array, Array]:
    """The 1,797 images of scikit-learn's digits, 64 pixels, and their one-hot labels (1797, 10)."""
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            "The digits come with scikit-learn: pip install 'kdtheory[estimators]', or give your own data."
        ) from error
    X, labels = load_digits(return_X_y=True)
    return np.asarray(X, dtype=np.float64), np.eye(10)[labels]
