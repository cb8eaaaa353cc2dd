"""The regression protocols of two papers, on inputs condensed to as many rows as there are features.

A linear smoother with a linear kernel sees its training points only through X'X, X'y and y'y, and a squared error sees the
points it is measured on through the same products. The triangular factor of [X, y] holds them all: it stands for the points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

import kdtheory as kd
from paper_figs.regression_data import Regression

__all__ = ["Part", "curvature_test", "error_curves", "repeated", "standardised"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Part:
    """Training, validation or test points: X (n, p) and y (n,)."""

    X: Array
    y: Array

    @property
    def n(self) -> int:
        """Number of points."""
        return len(self.y)

    @cached_property
    def condensed(self) -> Part:
        """At most p + 1 points with the same inner products."""
        factor = scipy.linalg.qr(np.column_stack([self.X, self.y]), mode="r", check_finite=False)[0][: self.X.shape[1] + 1]
        return Part(np.asarray(factor[:, :-1], dtype=np.float64), np.asarray(factor[:, -1], dtype=np.float64))

    def halves(self) -> tuple[Part, Part]:
        """The first and the second half, in the order of the points."""
        half = self.n // 2
        return Part(self.X[:half], self.y[:half]), Part(self.X[half:], self.y[half:])


def standardised(data: Regression, order: NDArray[np.intp], cuts: list[int], *, ddof: int = 0) -> list[Part]:
    """Parts of the rows in this order, cut at these places; inputs and target standardised by the first part."""
    rows = np.split(order, cuts)
    X, y = data.X[rows[0]], data.y[rows[0]]
    spread = X.std(axis=0, ddof=ddof)
    scale = np.where(spread > 0, spread, 1.0)
    return [Part((data.X[r] - X.mean(axis=0)) / scale, (data.y[r] - y.mean()) / y.std(ddof=ddof)) for r in rows]


def repeated(train: Part, validation: Part, test: Part, *, ridges: Array, rounds: int) -> tuple[float, float]:
    """Pareek, Du & Oh: coefficients of k rounds by least squares on validation, the ridge of least validation error.

    Returns the test error and that ridge.
    """
    labels, spectrum = train.condensed.y, kd.Spectrum.from_features(train.condensed.X)
    scores = []
    for ridge in ridges.tolist():
        cross, held_out = kd.kernels.linear(validation.condensed.X, train.condensed.X), validation.condensed.y
        best = kd.weights.optimal_polynomial_on_validation(spectrum, labels, cross, held_out, ridge=ridge, rounds=rounds)
        errors = []
        for part in (validation, test):
            prediction = spectrum.predict(best, labels, kd.kernels.linear(part.condensed.X, train.condensed.X))
            errors.append(float(np.sum((prediction - part.condensed.y) ** 2)) / part.n)
        scores.append((*errors, ridge))
    _, error, ridge = min(scores)
    return error, ridge


@dataclass(frozen=True, eq=False)
class Curves:
    """Error on a part against the penalty per example, for a ridge fit and for one round at its best weight."""

    train: Part
    part: Part

    @cached_property
    def spectrum(self) -> kd.Spectrum:
        """Of the training points."""
        return kd.Spectrum.from_features(self.train.condensed.X)

    @cached_property
    def cross(self) -> Array:
        """Kernel between the part's points and the training points, both condensed."""
        return kd.kernels.linear(self.part.condensed.X, self.train.condensed.X)

    def pure(self, penalty: float) -> Array:
        """Predictions of rounds 0, 1, 2 at teacher weight 1."""
        ridge = penalty * self.train.n
        return kd.rounds(self.spectrum, self.train.condensed.y, ridge=ridge, teacher_weights=[1.0, 1.0], cross=self.cross)

    def curve(self, penalty: float) -> kd.RiskCurve:
        """Error of one round as a parabola in its weight."""
        ridge_fit, student, _ = self.pure(penalty)
        of = kd.RiskCurve.from_predictions(ridge_fit, student, self.part.condensed.y)
        share = len(self.part.condensed.y) / self.part.n
        return kd.RiskCurve(of.optimal_weight, share * of.minimum, share * of.curvature)

    def slope(self, log_penalty: float) -> float:
        """Half the derivative of the ridge fit's error by the logarithm of the penalty: -w* D."""
        of = self.curve(float(np.exp(log_penalty)))
        return -of.optimal_weight * of.curvature


def error_curves(train: Part, test: Part, *, penalties: Array) -> dict[str, float]:
    """Dang, Patil & Rinaldo: the least errors over the penalties, by the test points themselves, and the one-shot weight."""
    of = Curves(train, test)
    curves = [of.curve(penalty) for penalty in penalties.tolist()]
    without, with_round = (
        int(np.argmin(values)) for values in (np.array([c(0.0) for c in curves]), np.array([c.minimum for c in curves]))
    )
    whole = kd.Spectrum.from_features(train.X)
    one_shot = kd.one_shot_weight(whole, train.y, ridge=train.n * float(penalties[with_round]))
    return {
        "least error, ridge": float(curves[without](0.0)),
        "its penalty, ridge": float(penalties[without]),
        "least error, 1 round": curves[with_round].minimum,
        "its penalty, 1 round": float(penalties[with_round]),
        "its weight, 1 round": curves[with_round].optimal_weight,
        "one-shot weight there": one_shot,
    }


def curvature_test(train: Part, test: Part, *, penalties: Array) -> dict[str, float]:
    r"""Dang, Patil & Rinaldo: does one round dip below the least error of the ridge fit, at its own best penalty?

    With pure rounds P_0, P_1, P_2 and D = |P_1 - P_0|^2/m, half the second derivative by the penalty, times its square, is
    D + 2 <P_0 - y, P_2 - 2 P_1 + P_0>/m: no finite differences. The held-out gain takes the weight from the first half of
    the test points and both least errors over the penalties from the second half.
    """
    of = Curves(train, test)
    errors = np.array([of.curve(penalty)(0.0) for penalty in penalties.tolist()])
    i = int(errors.argmin())
    lower, upper = np.log(penalties[[max(i - 1, 0), min(i + 1, len(penalties) - 1)]])
    best = float(np.exp(scipy.optimize.brentq(of.slope, lower, upper, xtol=1e-13)))
    P0, P1, P2 = of.pure(best)
    D = np.sum((P1 - P0) ** 2)
    bend = D + 2.0 * np.sum((P0 - of.part.condensed.y) * (P2 - 2.0 * P1 + P0))
    first, second = (Curves(train, half) for half in test.halves())
    pairs = [(second.curve(p)(0.0), second.curve(p)(first.curve(p).optimal_weight)) for p in penalties.tolist()]
    without, with_round = np.min(np.array(pairs), axis=0)
    return {
        "best penalty": best,
        "curvature ratio": float(D / bend),
        "curvature test holds": float(D / bend < 1),
        "held-out gain (%)": 100.0 * float(1.0 - with_round / without),
        "held-out gain is positive": float(with_round < without),
    }
