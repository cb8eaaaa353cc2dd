"""The naive routes: definitions carried out with dense solves, for the left sides of the theorems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg

from kdtheory.asymptotics import Population
from kdtheory.checks import Array
from kdtheory.parabola import RiskCurve
from kdtheory.problem import Problem
from kdtheory.theorems.statement import Assumption

__all__ = [
    "ASYMPTOTIC",
    "DENSE",
    "LABELS_SEEN",
    "MOVED",
    "SCHEDULE",
    "SIGNAL",
    "SIGNAL_SEEN",
    "SOMETHING_TO_LEARN",
    "UNEQUAL",
    "Samples",
    "Simulated",
    "cancellation",
    "change",
    "dual",
    "expected_risk",
    "faintness",
    "fit",
    "half_learned",
    "new",
    "population",
    "positive_eigenvalues",
    "press",
    "ridge_fits",
    "simulate",
    "smoother",
    "solve",
    "spread",
    "two_students",
    "vertex",
]

SCHEDULE = (0.3, 1.7, -1.0, 1.0)
DENSE = 200  # points that the routes with dense n × n operators take
DIRECTIONS = 60  # of the population made from a problem


def solve(K: Array, targets: Array, ridge: float | complex) -> Array:
    """(K + ridge I)^-1 targets."""
    return np.asarray(
        scipy.linalg.solve(K + ridge * np.eye(len(K)), targets, assume_a="sym" if np.iscomplexobj(ridge) else "pos")
    )


def dual(K: Array, labels: Array, weights: Sequence[float], ridge: float) -> Array:
    """Dual coefficients of a chain's last round, one Cholesky solve per round."""
    factor = scipy.linalg.cho_factor(K + ridge * np.eye(len(K)), lower=True)
    coefficients = scipy.linalg.cho_solve(factor, labels)
    for weight in weights:
        coefficients = scipy.linalg.cho_solve(factor, (1 - weight) * labels + weight * (K @ coefficients))
    return np.asarray(coefficients)


def fit(p: Problem, weights: Sequence[float] = ()) -> Array:
    """A chain's last round at the training points."""
    return np.asarray(p.gram @ dual(p.gram, p.y, weights, p.ridge))


def new(p: Problem, weights: Sequence[float] = ()) -> Array:
    """A chain's last round at the held-out points."""
    return np.asarray(p.cross @ dual(p.gram, p.y, weights, p.ridge))


def smoother(p: Problem, weights: Sequence[float] = ()) -> Array:
    """The operator from labels to fitted values, (n, n)."""
    return np.asarray(p.gram @ dual(p.gram, np.eye(p.n), weights, p.ridge))


def expected_risk(p: Problem, operator: Array) -> float:
    """Mean squared error at the training points of a linear smoother, averaged over label noise."""
    bias = np.mean((p.signal - operator @ p.signal) ** 2)
    return float(bias + p.noise_variance * np.sum(operator**2) / p.n)


def press(K: Array, labels: Array, ridge: float | complex) -> Array:
    """Leave-one-out residuals of ridge regression by the textbook formula (Allen, 1974); analytic in the ridge."""
    left = ridge * solve(K, np.eye(len(K)), ridge)
    return np.asarray((left @ labels) / np.diag(left)[:, None])


def cancellation(p: Problem) -> float:
    """What I - H and y - H y of ridge regression lose as differences: n / tr(I - H) + |y| / |y - H y|."""
    s, u = p.spectrum, p.ridge / (p.spectrum.eigenvalues + p.ridge)
    residual = np.sqrt(np.sum((u[:, None] * s.project(p.y)) ** 2) + np.sum(s.outside(p.y) ** 2))
    return float(s.n / u.sum() + np.linalg.norm(p.y) / residual)


def vertex(on_labels: Array, change: Array, targets: Array) -> float:
    """Weight at which on_labels + w change is closest to the targets."""
    return float(np.sum((targets - on_labels) * change) / np.sum(change**2))


def change(p: Problem, k: Array) -> Array:
    """What the teacher in place of the labels does to a student's predictions, kernel values k: -ridge k M^2 y."""
    return np.asarray(-p.ridge * (k @ solve(p.gram, solve(p.gram, p.y, p.ridge), p.ridge)))


def two_students(p: Problem) -> RiskCurve:
    """The parabola of the held-out error, from two students' predictions."""
    on_labels = new(p, (0.0,))
    moved = change(p, p.cross)
    square, weight = float(np.mean(moved**2)), vertex(on_labels, moved, p.y_new)
    minimum = float(np.mean((on_labels + weight * moved - p.y_new) ** 2))
    return RiskCurve(weight, minimum, square, float(np.sqrt(square / max(float(np.mean(on_labels**2)), 1e-300))))


def faintness(p: Problem) -> float:
    """Rounding of the optimal weight, relative: that of the fits, over how much the teacher moves them and helps."""
    curve = two_students(p)
    needed = np.sqrt(float(curve(0.0)) / curve.curvature)
    return float(p.rounding / curve.identifiability * (1.0 + (1.0 + needed) / max(abs(curve.optimal_weight), 1e-300)))


def population(p: Problem) -> Population:
    """The leading directions of a problem as a population: eigenvalues d / n, the first output's signal in them."""
    d = p.spectrum.eigenvalues
    count = min(DIRECTIONS, int(np.sum(d > 1e-10 * d[0])))
    signal = p.spectrum.project(p.signal)[:count, 0] / np.sqrt(p.n)
    return Population(d[:count] / p.n, signal, p.noise_variance)


class Simulated(NamedTuple):
    """Mean and standard error of what a simulation measured."""

    mean: Array
    error: Array


def simulate(population: Population, measure: Callable[[Samples], list[Array]], *, points: int, seed: int) -> Simulated:
    """What `measure` makes of samples of so many points, on average; the more samples, the fewer directions."""
    draws = int(np.clip(100_000 // len(population.signal), 1500, 8000))
    values = np.array(measure(Samples(population, draws, points, np.random.default_rng(seed))))
    return Simulated(values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(draws))


@dataclass(frozen=True, eq=False)
class Samples:
    """Many samples of a population side by side."""

    population: Population
    draws: int
    points: int
    rng: np.random.Generator

    def features(self) -> Array:
        """Gaussian features of unit variance, (draws, points, directions)."""
        return self.rng.normal(size=(self.draws, self.points, len(self.population.signal)))

    def noise(self) -> Array:
        """Label noise, (draws, points)."""
        return self.rng.normal(scale=self.population.noise_variance**0.5, size=(self.draws, self.points))

    def labelled(self) -> tuple[Array, Array]:
        """Features (draws, points, directions) and noisy labels (draws, points)."""
        z = self.features()
        return z * np.sqrt(self.population.eigenvalues), z @ self.population.signal + self.noise()

    def excess(self, coefficients: Array) -> Array:
        """Excess risk of each predictor, (draws,)."""
        return np.asarray(self.population.error(coefficients.T) - self.population.noise_variance)


def ridge_fits(X: Array, y: Array, ridge: float) -> Array:
    """(X'X + ridge I)^-1 X'y sample by sample: (draws, directions)."""
    moments = np.swapaxes(X, 1, 2) @ X + ridge * np.eye(X.shape[2])
    return np.asarray(np.linalg.solve(moments, np.einsum("bnp,bn->bp", X, y)[..., None])[..., 0])


def spread(simulated: Simulated, points: int) -> float:
    """Tolerance of a simulation, entry by entry: four standard errors, and 2 / points for the distance from the limit."""
    return float(np.max(4 * simulated.error / np.maximum(np.abs(simulated.mean), 1e-300))) + 2.0 / points


def half_learned(population: Population, points: int) -> float:
    """A ridge at which about half of the directions are learned, so that bias and variance both count."""
    return float(points * np.median(population.eigenvalues))


def positive_eigenvalues(p: Problem) -> Array:
    """Eigenvalues well above rounding."""
    d = p.spectrum.eigenvalues
    return np.asarray(d[d > 1e-13 * d[0]])


def _nothing(p: Problem) -> str:
    return "" if p.spectrum.eigenvalues[0] > 0 else "the kernel matrix is zero"


def _unmoved(p: Problem) -> str:
    if _nothing(p):
        return _nothing(p)
    on_labels, change = p.cross @ solve(p.gram, p.y, p.ridge), p.cross @ solve(p.gram, solve(p.gram, p.y, p.ridge), p.ridge)
    size = float(np.abs(on_labels).max())
    if not float(p.ridge * np.abs(change).max()) > max(1e-100, 1e-13 * size):
        return "teacher and labels give the same held-out predictions"
    return ""


def _unseen(p: Problem) -> str:
    seen = np.linalg.norm(p.gram @ p.y) > 1e-8 * np.linalg.norm(p.gram) * np.linalg.norm(p.y)
    return "" if seen else "the labels are orthogonal to the range of the kernel"


def _alike(p: Problem) -> str:
    if _nothing(p):
        return _nothing(p)
    d = positive_eigenvalues(p)
    apart = p.ridge / d[-1] - p.ridge / d[0] > 1e-8 and d[0] - d[-1] > 1e-9 * d[0]
    return "" if apart else "all directions are shrunk alike"


def _few_directions(p: Problem) -> str:
    pop = population(p)
    if len(pop.signal) < 5:
        return "fewer than five directions are no limit of many"
    return _no_signal(p)


def _no_signal(p: Problem) -> str:
    leading, whole = np.linalg.norm(population(p).signal), np.linalg.norm(p.signal[:, 0]) / np.sqrt(p.n)
    return "" if leading > 1e-8 * whole else "no signal in the leading directions"


ASYMPTOTIC = Assumption("at least five directions, with a signal in them", _few_directions)
SIGNAL = Assumption("a signal in the leading directions", _no_signal)
UNEQUAL = Assumption("two directions with different shrinkages", _alike)


def _invisible(p: Problem) -> str:
    seen = np.linalg.norm(p.gram @ p.signal) > 1e-8 * np.linalg.norm(p.gram) * np.linalg.norm(p.signal)
    return "" if seen else "the signal is orthogonal to the range of the kernel"


SIGNAL_SEEN = Assumption("the signal has a part that the kernel can fit", _invisible)
LABELS_SEEN = Assumption("the labels have a part that the kernel can fit", _unseen)
SOMETHING_TO_LEARN = Assumption("the kernel matrix is not zero", _nothing)
MOVED = Assumption("teacher and labels give different predictions at the held-out points", _unmoved)
