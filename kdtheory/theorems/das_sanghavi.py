r"""Das & Sanghavi (2023): understanding self-distillation in the presence of label noise.

Linear ridge regression with labels f + noise; the error is that of the parameters, in a kernel's feature space the squared
RKHS norm of the error. Their imitation parameter is the teacher weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kdtheory.checks import Array
from kdtheory.expected_curve import expected_curve
from kdtheory.parabola import RiskCurve
from kdtheory.problem import Problem
from kdtheory.theorems.naive import DENSE, SIGNAL_SEEN, SOMETHING_TO_LEARN, solve
from kdtheory.theorems.statement import Source, Theorem

__all__ = ["THEOREMS"]

SOURCE = Source("Das & Sanghavi", 2023, "2301.13304")
NOISES = (0.0, 0.1, 1.0, 10.0)


def _parameters(p: Problem) -> Array:
    """A signal K g in the kernel's range has the dual parameters g; the labels, scaled, serve as g."""
    small = p.first(DENSE)
    return np.asarray(small.signal / small.spectrum.eigenvalues[0])


def _by_traces(p: Problem, noise: float, error: str) -> RiskCurve:
    """Parabola of the expected error by primal ridge regression: theta = (X'X + ridge I)^-1 X'y on the kernel's features X."""
    s, g = p.first(DENSE).spectrum, _parameters(p)
    held = s.eigenvalues > s.floor
    X = s.eigenvectors[:, held] * np.sqrt(s.eigenvalues[held])
    truth, moments = X.T @ g, X.T @ X
    on_labels = solve(moments, X.T, p.ridge)
    change = -p.ridge * solve(moments, on_labels, p.ridge)  # the student on the teacher, less the student on the labels
    bias, moved = p.ridge * solve(moments, truth, p.ridge), change @ (X @ truth)
    if error == "prediction":
        on_labels, change, bias, moved = (X @ part for part in (on_labels, change, bias, moved))
    count = g.size if error == "prediction" else 1  # a mean over points and outputs, or a sum over parameters
    variance = noise * g.shape[1]
    bend = (np.sum(moved**2) + variance * np.sum(change**2)) / count
    slope = (np.sum(bias * moved) - variance * np.sum(on_labels * change)) / count
    start = (np.sum(bias**2) + variance * np.sum(on_labels**2)) / count
    return RiskCurve(float(slope / bend), float(start - slope**2 / bend), float(bend))


def _closed(p: Problem, noise: float, error: str) -> RiskCurve:
    small = p.first(DENSE)
    f = small.gram @ _parameters(p)
    return expected_curve(small.spectrum, f, noise_variance=noise, ridge=small.ridge, error=error)


def _weight_and_errors(curve: RiskCurve) -> list[float]:
    """Weight, and the error at weights 0, 1 and the best, relative to that at 0."""
    start = float(curve(0.0))
    return [curve.optimal_weight, float(curve(1.0)) / start, curve.minimum / start, curve.curvature / start, np.log(start)]


def _without_signal(p: Problem, error: str) -> float:
    small = p.first(DENSE)
    zero = np.zeros_like(small.signal)
    return expected_curve(small.spectrum, zero, noise_variance=1.0, ridge=small.ridge, error=error).optimal_weight


def _noise_by_traces(p: Problem, error: str) -> float:
    small = p.first(DENSE)
    return _by_traces(replace(small, signal=np.zeros_like(small.signal)), 1.0, error).optimal_weight


def _curves(p: Problem, curve: Callable[[Problem, float, str], RiskCurve], error: str) -> Array:
    return np.array([_weight_and_errors(curve(p, noise, error)) for noise in NOISES[1:]])


def _rounding(p: Problem) -> float:
    """Of sums of dense products whose terms cancel at one noise level, but not at all of them."""
    return 1e-9 + 1e4 * p.rounding


THEOREMS = (
    Theorem(
        name="the optimal imitation of a noisy teacher",
        source=SOURCE,
        statement=r"w^\star = \frac{\sum_j (1-h_j)\left[\sigma^2 h_j^2/s_j^2 - h_j(1-h_j)\theta_j^2\right]}"
        r"{\sum_j (1-h_j)^2 h_j^2\left[\theta_j^2 + \sigma^2/s_j^2\right]}, \quad h = \frac{s^2}{s^2 + \lambda}",
        left=lambda p: _curves(p, _by_traces, "parameters"),
        right=lambda p: _curves(p, _closed, "parameters"),
        tolerance=_rounding,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL_SEEN),
        figure="noise_weight",
    ),
    Theorem(
        name="the same for the error of the predictions",
        source=SOURCE,
        statement=r"w^\star = \frac{\sum_i a_i u_i(a_i\sigma^2 - u_i\theta_i^2)}{\sum_i a_i^2 u_i^2(\theta_i^2 + \sigma^2)}",
        left=lambda p: _curves(p, _by_traces, "prediction"),
        right=lambda p: _curves(p, _closed, "prediction"),
        tolerance=_rounding,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL_SEEN),
        derived=True,
        figure="noise_weight",
    ),
    Theorem(
        name="in pure noise the weight is at least one",
        source=SOURCE,
        statement=r"\lim_{\sigma\to\infty} w^\star = \frac{\sum (1-h)h^2/s^2}{\sum (1-h)^2h^2/s^2} \ge 1",
        left=lambda p: np.array([1.0, 1.0, 1.0, 1.0]),
        right=lambda p: np.array([f(p, e) for f in (_noise_by_traces, _without_signal) for e in ("parameters", "prediction")]),
        tolerance=_rounding,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL_SEEN),
        at_most=True,
        figure="noise_weight",
    ),
    Theorem(
        name="the optimal weight rises with the noise",
        source=SOURCE,
        statement=r"\sigma_1^2 \le \sigma_2^2 \implies w^\star(\sigma_1^2) \le w^\star(\sigma_2^2)",
        left=lambda p: np.array([_by_traces(p, v, "parameters").optimal_weight for v in NOISES[:-1]]),
        right=lambda p: np.array([_closed(p, v, "parameters").optimal_weight for v in NOISES[1:]]),
        tolerance=_rounding,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL_SEEN),
        at_most=True,
        derived=True,
        figure="noise_weight",
    ),
    Theorem(
        name="clean labels deserve more than their weight",
        source=SOURCE,
        statement=r"\sigma^2 = 0,\ \theta \ne 0 \implies w^\star \le 0",
        left=lambda p: np.array(
            [_by_traces(p, 0.0, "parameters").optimal_weight, _closed(p, 0.0, "prediction").optimal_weight]
        ),
        right=lambda p: np.zeros(2),
        tolerance=_rounding,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL_SEEN),
        at_most=True,
        derived=True,
        figure="noise_weight",
    ),
)
