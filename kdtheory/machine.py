"""What the estimators share: inputs to kernels, weighted training of a chain, evaluation of its rounds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdtheory import kernels
from kdtheory.checks import Array
from kdtheory.cholesky import plain_chain
from kdtheory.distillation import every_product
from kdtheory.filters import Distilled
from kdtheory.spectrum import Spectrum

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
    from sklearn.metrics.pairwise import pairwise_kernels
    from sklearn.preprocessing import LabelBinarizer
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("kdtheory.estimators needs scikit-learn 1.6 or later: pip install 'kdtheory[estimators]'") from error

__all__ = ["ClassifierMixin", "KernelMachine", "MultiOutputMixin", "RegressorMixin"]

DEPTH = 3  # hidden layers of "ntk" and "nngp" unless `kernel_params` says otherwise
DTYPES = (np.float64, np.float32)  # a float32 Gram matrix is judged by float32 rounding


class KernelMachine(BaseEstimator):  # type: ignore[misc]
    """A chain of kernel ridge regressions: the one that is `_given`, or the one that `_choose` finds."""

    kernel: Any
    gamma: float | None
    kernel_params: dict[str, Any] | None

    _given: Callable[[], Distilled | None]
    _choose: Callable[[Spectrum, Array, float], Distilled]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self._precomputed
        return tags

    @property
    def _precomputed(self) -> bool:
        return isinstance(self.kernel, str) and self.kernel == "precomputed"

    def _validate(self, X: ArrayLike, y: ArrayLike, **how: Any) -> tuple[Array, NDArray[Any]]:
        inputs, labels = validate_data(self, X, y, dtype=DTYPES, **how)
        if self._precomputed and inputs.shape[0] != inputs.shape[1]:
            raise ValueError(f'`X` must be the square Gram matrix with kernel="precomputed", got shape {inputs.shape}.')
        return inputs, labels

    def _train(self, X: Array, y: Array, sample_weight: ArrayLike | None) -> None:
        r"""Weights v turn K into :math:`V^{1/2} K V^{1/2}` and y into :math:`V^{1/2} y`; the filter is unchanged."""
        self.X_fit_ = X
        self._rowwise = callable(self.kernel) and not _takes_point_sets(self.kernel, X, self.kernel_params or {})
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        distinct, mass = _merge_copies(X, y, weight)
        points = X[np.ix_(distinct, distinct)] if self._precomputed else X[distinct]
        scale = np.sqrt(mass)[:, None]
        gram = self._kernel_matrix(points, None)
        weighted = gram if (mass == 1).all() else (scale * gram * scale.T).astype(gram.dtype)
        columns = scale * y.reshape(len(y), -1)[distinct]
        given = self._given()
        plain = None if given is None else plain_chain(weighted, columns, given)
        if given is not None and plain is not None:
            self.chain_, coefficients = given, plain
        else:
            spectrum = Spectrum.from_gram(weighted)
            self.chain_ = given or self._choose(spectrum, columns, float(mass.sum()))
            duals = self.chain_.every_round(spectrum.eigenvalues).dual
            coefficients = every_product(spectrum.eigenvectors, duals, spectrum.project(columns))
        self.dual_coef_ = np.zeros((len(coefficients), *y.shape))
        self.dual_coef_[:, distinct] = (scale * coefficients).reshape(len(coefficients), -1, *y.shape[1:])

    def _evaluate(self, X: ArrayLike) -> Array:
        return np.asarray(self._cross(X) @ self.dual_coef_[-1])

    def _evaluate_every_round(self, X: ArrayLike) -> Iterator[Array]:
        cross = self._cross(X)
        for coefficients in self.dual_coef_:
            yield np.asarray(cross @ coefficients)

    def _cross(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        return self._kernel_matrix(validate_data(self, X, dtype=DTYPES, reset=False), self.X_fit_)

    def _encode(self, y: NDArray[Any]) -> tuple[NDArray[Any], Array]:
        check_classification_targets(y)
        binarizer = LabelBinarizer(neg_label=-1, pos_label=1).fit(y)
        if len(binarizer.classes_) < 2:
            raise ValueError(f"`y` must hold at least two classes, got one class: {binarizer.classes_[0]}.")
        codes = np.asarray(binarizer.transform(y), dtype=np.float64)
        return binarizer.classes_, codes[:, 0] if codes.shape[1] == 1 else codes

    def _kernel_matrix(self, X: Array, X_train: Array | None) -> Array:
        """(n, n) for the training points, (m, n) for new ones."""
        if not isinstance(self.kernel_params, (dict, type(None))):
            raise ValueError(f"`kernel_params` must be a dictionary, got {self.kernel_params!r}.")
        params = dict(self.kernel_params or {})
        if isinstance(self.kernel, str):
            if self._precomputed:
                return X
            kernel = kernels.named(self.kernel, gamma=self.gamma, depth=DEPTH)
            known = [name for name in inspect.signature(kernel).parameters if name not in ("X", "X_train")]
            for name in params:
                if name not in known:
                    raise ValueError(
                        f"`kernel_params` of {self.kernel!r} may hold {', '.join(known) or 'nothing'}, got {name!r}."
                    )
            return kernel(X, X_train, **params)
        if not callable(self.kernel):
            raise ValueError(f"`kernel` must be a name or a function, got {self.kernel!r}.")
        other = X if X_train is None else X_train
        if self._rowwise:
            return np.asarray(pairwise_kernels(X, other, metric=self.kernel, **params))
        return np.asarray(self.kernel(X, other, **params))


def _merge_copies(X: Array, y: Array, weight: Array) -> tuple[NDArray[Any], Array]:
    """First index and total weight of each distinct (row, target); rows without weight are dropped."""
    _, first, inverse = np.unique(np.column_stack([X, y]), axis=0, return_index=True, return_inverse=True)
    mass = np.bincount(inverse.ravel(), weights=weight)
    kept = np.flatnonzero(mass > 0)
    order = kept[np.argsort(first[kept])]
    return np.asarray(first[order]), np.asarray(mass[order], dtype=np.float64)


def _takes_point_sets(kernel: Callable[..., Any], X: Array, params: dict[str, Any]) -> bool:
    """Whether the function maps two point sets to their matrix; otherwise it is for pairs of points.

    Asked with 3 and features + 3 points, counts that no product or broadcast of two row-wise arguments can match.
    """
    count = X.shape[1] + 3
    try:
        return bool(np.shape(kernel(X[[0] * 3], X[[0] * count], **params)) == (3, count))
    except Exception:
        return False
