r"""Kernel-regression theory of knowledge distillation.

Every model here is a linear smoother, and in the eigenbasis of the Gram matrix distillation is a scalar filter: after
one eigendecomposition every ridge, teacher weight, round and output is elementwise arithmetic.

Words
-----
===================  ==========================================================================================
`teacher_weight` w   weight on the TEACHER's predictions; 0 = labels only, 1 = teacher only; any real number.
                     Borup & Andersen's alpha is 1 - w; the imitation parameter xi of Das & Sanghavi, Pareek et al.
                     and Dang et al. is w; scikit-learn's ``alpha`` is the ridge.
`ridge` λ            K + ridge·I, for the SUM of squares. A mean-loss penalty μ on n examples is ridge = n·μ.
round t              round 0 is the teacher, ridge regression on the labels; round t is the t-th student.
                     `teacher_weights` of length T gives T + 1 models. Borup & Andersen's step is t + 1.
`gram`, `cross`      kernel on the training points (n, n); new points × training points (m, n).
`signal`, `labels`   f, and y = f + noise of variance σ² = `noise_variance`.
`keep_fraction`      share of the rows that is KEPT; a `score` is higher for what should be kept.
===================  ==========================================================================================

Example
-------
>>> import numpy as np, kdtheory as kd
>>> X = np.linspace(0, 1, 11)[:, None]
>>> y = np.sin(2 * np.pi * X[:, 0])
>>> s = kd.Spectrum.from_gram(kd.kernels.rbf(X, gamma=80.0))
>>> kd.rounds(s, y, ridge=0.2, teacher_weights=[0.75] * 5).shape
(6, 11)
>>> kd.Distilled.limit(ridge=0.2, teacher_weight=0.75).ridge
0.8
"""

from kdtheory import (
    activations,
    arrays,
    asymptotics,
    distillation,
    dynamics,
    filters,
    kernels,
    pruning,
    risk,
    scale,
    spectrum,
    weights,
)
from kdtheory.distillation import risk_grid, rounds
from kdtheory.filters import Distilled, DistilledTraining, GradientDescent, GradientFlow, Polynomial, Ridge
from kdtheory.risk import BiasVariance, RiskCurve, bias_variance, gcv, gcv_grid, loo, loo_grid, sure
from kdtheory.spectrum import Filter, Spectrum
from kdtheory.weights import (
    IdentifiabilityWarning,
    identifiability,
    one_shot_weight,
    optimal_polynomial,
    optimal_teacher_weight,
    optimal_weights,
)

__version__ = "0.1.0"

__all__ = [
    "BiasVariance",
    "Distilled",
    "DistilledTraining",
    "Filter",
    "GradientDescent",
    "GradientFlow",
    "IdentifiabilityWarning",
    "Polynomial",
    "Ridge",
    "RiskCurve",
    "Spectrum",
    "activations",
    "arrays",
    "asymptotics",
    "bias_variance",
    "distillation",
    "dynamics",
    "filters",
    "gcv",
    "gcv_grid",
    "identifiability",
    "kernels",
    "loo",
    "loo_grid",
    "one_shot_weight",
    "optimal_polynomial",
    "optimal_teacher_weight",
    "optimal_weights",
    "pruning",
    "risk",
    "risk_grid",
    "rounds",
    "scale",
    "spectrum",
    "sure",
    "weights",
]
