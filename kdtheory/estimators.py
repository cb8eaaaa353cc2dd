r"""The scikit-learn face: self-distilled kernel ridge regression and classification.

`SelfDistilledKernelRidge` trains one chain; `SelfDistilledKernelRidgeCV` chooses ridge, teacher weight and number of
rounds from one eigendecomposition, by exact leave-one-out or generalised cross-validation. The classifiers do the same
on one-against-rest targets of -1 and +1. How they turn inputs into kernels is `kdtheory.machine`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdtheory.checks import Array, schedule
from kdtheory.filters import Distilled
from kdtheory.machine import ClassifierMixin, KernelMachine, MultiOutputMixin, RegressorMixin
from kdtheory.risk import gcv_grid, loo_grid
from kdtheory.spectrum import Spectrum

__all__ = [
    "SelfDistilledKernelRidge",
    "SelfDistilledKernelRidgeCV",
    "SelfDistilledKernelRidgeClassifier",
    "SelfDistilledKernelRidgeClassifierCV",
]

Kernel = Any  # a name, "precomputed", a function of two point sets or of two points, or a scikit-learn Kernel
RIDGES = tuple(np.logspace(-4, 2, 13).tolist())
TEACHER_WEIGHTS = (-1.0, -0.5, 0.25, 0.5, 0.75, 1.0)


class _OneChain:
    """Parameters of a chain that is given, not chosen."""

    def __init__(
        self,
        ridge: float = 1.0,
        *,
        teacher_weight: float = 0.5,
        rounds: int = 1,
        teacher_weights: Sequence[float] | None = None,
        kernel: Kernel = "rbf",
        gamma: float | None = None,
        kernel_params: dict[str, Any] | None = None,
    ) -> None:
        self.ridge = ridge
        self.teacher_weight = teacher_weight
        self.rounds = rounds
        self.teacher_weights = teacher_weights
        self.kernel = kernel
        self.gamma = gamma
        self.kernel_params = kernel_params

    def _given(self) -> Distilled:
        if self.teacher_weights is not None:
            return Distilled(self.ridge, self.teacher_weights)
        return Distilled.constant(ridge=self.ridge, teacher_weight=self.teacher_weight, rounds=self.rounds)


class _ChosenChain:
    """Grids from which one chain is chosen without a validation set."""

    def __init__(
        self,
        ridges: ArrayLike = RIDGES,
        *,
        teacher_weights: ArrayLike = TEACHER_WEIGHTS,
        rounds: int = 5,
        criterion: str = "loo",
        kernel: Kernel = "rbf",
        gamma: float | None = None,
        kernel_params: dict[str, Any] | None = None,
    ) -> None:
        self.ridges = ridges
        self.teacher_weights = teacher_weights
        self.rounds = rounds
        self.criterion = criterion
        self.kernel = kernel
        self.gamma = gamma
        self.kernel_params = kernel_params

    def _given(self) -> None:
        """No chain is given."""

    def _choose(self, spectrum: Spectrum, y: Array, mass: float) -> Distilled:
        if self.criterion not in ("loo", "gcv"):
            raise ValueError(f'`criterion` must be "loo" or "gcv", got {self.criterion!r}.')
        ridges = schedule(self.ridges, "ridges", above_zero=True)
        weights = schedule(self.teacher_weights, "teacher_weights")
        grid: dict[str, Any] = {"ridges": ridges, "teacher_weights": weights, "rounds": self.rounds}
        if self.criterion == "loo":
            self.errors_ = loo_grid(spectrum, y, **grid) * (spectrum.n / mass)
        else:
            self.errors_ = gcv_grid(spectrum, y, **grid, n_effective=mass)
        comparable = np.where(np.isfinite(self.errors_), self.errors_, np.inf)
        best = np.unravel_index(int(np.argmin(comparable)), comparable.shape)
        self.best_error_ = float(self.errors_[best])
        self.ridge_ = float(ridges[best[0]])
        self.rounds_ = int(best[2])
        self.teacher_weight_ = float(weights[best[1]]) if self.rounds_ else 0.0
        return Distilled.constant(ridge=self.ridge_, teacher_weight=self.teacher_weight_, rounds=self.rounds_)


class _Regression(MultiOutputMixin, RegressorMixin, KernelMachine):  # type: ignore[misc]
    """Targets as they are."""

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train the chain on X (n, features), or (n, n) if precomputed, and y (n,) or (n, p)."""
        inputs, targets = self._validate(X, y, multi_output=True, y_numeric=True)
        self._train(inputs, np.asarray(targets, dtype=np.float64), sample_weight)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Predictions of the last round: (m,) or (m, p)."""
        return self._evaluate(X)

    def staged_predict(self, X: ArrayLike) -> Iterator[Array]:
        """Predictions of round 0, 1, ..., the last."""
        yield from self._evaluate_every_round(X)


class _Classification(ClassifierMixin, KernelMachine):  # type: ignore[misc]
    """Targets as one-against-rest columns of -1 and +1."""

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train the chain on X (n, features), or (n, n) if precomputed, and class labels y (n,)."""
        inputs, labels = self._validate(X, y)
        self.classes_, codes = self._encode(labels)
        self._train(inputs, codes, sample_weight)
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Scores of the last round: (m,) for two classes, positive for the second; (m, classes) otherwise."""
        return self._evaluate(X)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Class labels by the last round: (m,)."""
        return self._label(self.decision_function(X))

    def staged_predict(self, X: ArrayLike) -> Iterator[NDArray[Any]]:
        """Class labels by round 0, 1, ..., the last."""
        for scores in self._evaluate_every_round(X):
            yield self._label(scores)

    def _label(self, scores: Array) -> NDArray[Any]:
        return np.asarray(self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)])


class SelfDistilledKernelRidge(_OneChain, _Regression):
    r"""Self-distilled kernel ridge regression.

    Round 0 is kernel ridge regression; each later round is the same regression on
    :math:`(1 - w)\,y + w\,\hat y_{t-1}`. All rounds come from one factorisation.

    Parameters
    ----------
    ridge : float
        :math:`\lambda > 0` of :math:`K + \lambda I` (scikit-learn's KernelRidge calls it ``alpha``).
    teacher_weight : float
        w of every round: 0 ignores the teacher, 1 ignores the labels; any real number.
    rounds : int
        Number of students after the teacher; 0 is kernel ridge regression.
    teacher_weights : sequence of floats, optional
        One weight per round; takes the place of `teacher_weight` and `rounds`.
    kernel : str, callable or scikit-learn Kernel
        "rbf", "laplace", "linear", "polynomial", "ntk", "nngp", "precomputed" (X is then the Gram or cross matrix),
        a function of two point sets (m, features) and (n, features) -> (m, n), or of two points -> float.
    gamma : float, optional
        Of "rbf", "laplace" and "polynomial"; 1 / features when left out.
    kernel_params : dict, optional
        Further keyword arguments of the kernel, for example ``{"depth": 3}`` for "ntk".

    Attributes
    ----------
    dual_coef_ : (rounds + 1, n) or (rounds + 1, n, p) array
        Coefficients of every round: predictions are ``cross @ dual_coef_[t]``.
    X_fit_ : array
        Training inputs.
    chain_ : Distilled
        The filter that was applied.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    `sample_weight` multiplies a point's squared error towards labels and teacher alike, so that weight 2 is the same as
    the point twice. Rows that agree in inputs and targets are trained as one point of their summed weight; the first of
    them carries the coefficient. There is no intercept: centre the targets
    (`sklearn.compose.TransformedTargetRegressor`) where their mean is far from zero.

    Examples
    --------
    >>> X = np.linspace(0, 1, 11)[:, None]
    >>> y = np.sin(2 * np.pi * X[:, 0])
    >>> model = SelfDistilledKernelRidge(ridge=0.2, teacher_weight=0.75, rounds=5, gamma=80.0).fit(X, y)
    >>> len(list(model.staged_predict(X)))
    6
    """


class SelfDistilledKernelRidgeCV(_ChosenChain, _Regression):
    r"""Self-distilled kernel ridge regression with ridge, teacher weight and number of rounds chosen from the data.

    The choice minimises the exact leave-one-out error of the whole chain (teacher and students refitted without the point) or
    GCV, over every combination, from one eigendecomposition.

    Parameters
    ----------
    ridges : (L,) array
        Candidates for :math:`\lambda`.
    teacher_weights : (A,) array
        Candidates for w, constant along a chain. No distillation is always a candidate: round 0.
    rounds : int
        The largest number of rounds; every smaller one is a candidate too.
    criterion : {"loo", "gcv"}
        "loo" leaves a point out with all its copies and weight; "gcv" counts a point of weight 2 as two points.
    kernel, gamma, kernel_params
        As in `SelfDistilledKernelRidge`.

    Attributes
    ----------
    ridge_, teacher_weight_, rounds_ : the choice
    errors_ : (L, A, rounds + 1) array
        The criterion at every candidate.
    best_error_ : float
    dual_coef_, X_fit_, chain_, n_features_in_, feature_names_in_
        As in `SelfDistilledKernelRidge`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = np.linspace(0, 1, 40)[:, None]
    >>> y = np.sin(2 * np.pi * X[:, 0]) + 0.5 * rng.normal(size=40)
    >>> model = SelfDistilledKernelRidgeCV(gamma=20.0).fit(X, y)
    >>> bool(model.best_error_ <= model.errors_[:, :, 0].min())  # never worse than no distillation, by its own criterion
    True
    """


class SelfDistilledKernelRidgeClassifier(_OneChain, _Classification):
    """Self-distilled kernel ridge classifier: one-against-rest targets of -1 and +1.

    Parameters and attributes are those of `SelfDistilledKernelRidge`, and ``classes_``.

    Examples
    --------
    >>> X, y = [[0.0], [0.1], [1.0], [1.1]], ["low", "low", "high", "high"]
    >>> SelfDistilledKernelRidgeClassifier(ridge=0.1, gamma=5.0).fit(X, y).predict([[0.05], [1.05]]).tolist()
    ['low', 'high']
    """


class SelfDistilledKernelRidgeClassifierCV(_ChosenChain, _Classification):
    """Self-distilled kernel ridge classifier that chooses its chain by the squared error of the -1/+1 targets.

    Parameters and attributes are those of `SelfDistilledKernelRidgeCV`, and ``classes_``.

    Examples
    --------
    >>> X, y = [[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1]
    >>> SelfDistilledKernelRidgeClassifierCV(gamma=5.0).fit(X, y).predict([[0.05], [1.05]]).tolist()
    [0, 1]
    """
