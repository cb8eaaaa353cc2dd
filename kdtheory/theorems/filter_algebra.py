r"""The algebra of filters: what chains of ridge fits are, and what else is one of them.

Rounds at one ridge are polynomials in the shrinkage, or derivatives along the ridge path; rounds at different ridges are
mixtures of ridge fits with weights that sum to one. Leave-one-out residuals obey the same algebra.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import comb

from kdtheory.checks import Array
from kdtheory.distillation import rounds
from kdtheory.elementary_filters import Polynomial
from kdtheory.filters import Distilled
from kdtheory.leave_one_out import loo
from kdtheory.problem import Problem
from kdtheory.risk import gcv
from kdtheory.theorems.naive import DENSE, SCHEDULE, SOMETHING_TO_LEARN, cancellation, dual, new, press, smoother, solve
from kdtheory.theorems.statement import Source, Theorem

__all__ = ["THEOREMS"]

BORUP = Source("Borup & Andersen", 2021, "2102.13088")
TUKEY = Source("Tukey", 1977)
GOLUB = Source("Golub, Heath & Wahba", 1979)
ALLEN = Source("Allen", 1974)
DANG = Source("Dang, Patil & Rinaldo", 2026, "2602.17565")

REFITS = 5
RATIOS = (1.0, 3.0, 0.5)  # of the ridges of three rounds
MIXED = (0.7, -0.4)
COEFFICIENTS = (2.5, -0.75, 0.5, -1.25)


def _rounds(p: Problem, weights: tuple[float, ...]) -> Array:
    return np.asarray(rounds(p.spectrum, p.y, ridge=p.ridge, teacher_weights=weights, cross=p.cross)[-1])


def _polynomial_in_smoother(p: Problem) -> Array:
    """sum c_i k M A^(i-1) y by repeated solves."""
    term = solve(p.gram, p.y, p.ridge)
    total = COEFFICIENTS[0] * term
    for c in COEFFICIENTS[1:]:
        term = solve(p.gram, p.gram @ term, p.ridge)
        total = total + c * term
    return np.asarray(p.cross @ total)


def _as_a_chain(p: Problem) -> Array:
    weights = Polynomial(p.ridge, COEFFICIENTS).teacher_weights()
    return np.asarray(p.spectrum.predict(Distilled(p.ridge, weights), p.y, p.cross))


def _twice(p: Problem) -> Array:
    """Fit, and fit what is left."""
    first = solve(p.gram, p.y, p.ridge)
    return np.asarray(p.cross @ (first + solve(p.gram, p.y - p.gram @ first, p.ridge)))


def _mixture_weights() -> Array:
    """c_j of g(x) = sum_j c_j / (x + l_j) for the chain with ridges l_j in units of the problem's, as residues at -l_j."""
    l0, l1, _ = RATIOS
    w1, w2 = MIXED

    def numerator(x: float) -> float:  # (x + l0)(x + l1)(x + l2) times the dual filter of round 2
        first = (1 - w1) * (x + l0) + w1 * x
        return (1 - w2) * (x + l0) * (x + l1) + w2 * x * first

    return np.array(
        [numerator(-a) / np.prod([b - a for b in RATIOS if b != a]) for a in RATIOS],
    )


def _mixture(p: Problem) -> Array:
    c = _mixture_weights()
    return np.asarray(sum(cj * (p.cross @ solve(p.gram, p.y, ratio * p.ridge)) for cj, ratio in zip(c, RATIOS, strict=True)))


def _mixed_rounds(p: Problem) -> Array:
    ridges = [ratio * p.ridge for ratio in RATIOS]
    return np.asarray(rounds(p.spectrum, p.y, ridge=ridges, teacher_weights=MIXED, cross=p.cross)[-1])


def _mixture_of_residuals(p: Problem) -> Array:
    small = p.first(DENSE)
    c = _mixture_weights()
    return np.asarray(sum(cj * press(small.gram, small.y, r * p.ridge) for cj, r in zip(c, RATIOS, strict=True)))


def _residuals_of_mixed_rounds(p: Problem) -> Array:
    small = p.first(DENSE)
    ridges = [ratio * p.ridge for ratio in RATIOS]
    return np.asarray(small.y - loo(small.spectrum, small.y, ridge=ridges, teacher_weights=MIXED)[-1])


def _jet(p: Problem, count: int) -> Array:
    """sum_j C(k, j) (ridge^j / j!) d^j/dridge^j of ridge regression, whose derivatives are (-1)^j j! M^(j+1)."""
    term, total = p.y, np.zeros_like(p.y)
    for j in range(count + 1):
        term = solve(p.gram, term, p.ridge)
        total = total + comb(count, j) * (-p.ridge) ** j * term
    return np.asarray(p.cross @ total)


def _jet_rounding(p: Problem) -> float:
    """The terms of the jet cancel where the ridge exceeds every eigenvalue."""
    return float(1e-11 + 100 * p.rounding * (1 + p.ridge / p.spectrum.eigenvalues[0]) ** 3)


def _points(p: Problem) -> NDArray[np.intp]:
    return np.random.default_rng(0).choice(p.n, size=min(REFITS, p.n), replace=False)


def _refits(p: Problem, weights: tuple[float, ...]) -> Array:
    """Residuals at a few points by chains that never saw them."""
    residuals = []
    for i in _points(p):
        kept = np.arange(p.n) != i
        c = dual(p.gram[np.ix_(kept, kept)], p.y[kept], weights, p.ridge)
        residuals.append(p.y[i] - p.gram[i, kept] @ c)
    return np.array(residuals)


def _left_out(p: Problem, weights: tuple[float, ...]) -> Array:
    return np.asarray((p.y - loo(p.spectrum, p.y, ridge=p.ridge, teacher_weights=weights)[-1])[_points(p)])


def _gcv_by_traces(p: Problem) -> Array:
    small = p.first(DENSE)
    H = smoother(small, (0.6,))
    return np.array([np.mean((small.y - H @ small.y) ** 2) / (1 - np.trace(H) / small.n) ** 2])


def _gcv_rounding(p: Problem) -> float:
    """Residual and remaining freedom are differences of nearly equal numbers at small ridges."""
    return 1e-11 + 1000 * p.rounding * cancellation(p.first(DENSE))


THEOREMS = (
    Theorem(
        name="a schedule is a polynomial in the shrinkage, P(1) = 1",
        source=BORUP,
        statement=r"\hat f_T = \sum_{i=1}^{T+1} c_i\, k^\top (K + \lambda I)^{-1} A^{i-1} y, \quad \sum_i c_i = 1",
        left=lambda p: np.concatenate([new(p, SCHEDULE), np.full_like(p.y_new, np.sqrt(np.mean(p.y_new**2)))]),
        right=lambda p: np.concatenate(
            [
                p.spectrum.predict(Distilled(p.ridge, SCHEDULE).polynomial(), p.y, p.cross),
                np.full_like(p.y_new, np.sqrt(np.mean(p.y_new**2)) * sum(Distilled(1.0, SCHEDULE).polynomial().coefficients)),
            ]
        ),
        derived=True,
    ),
    Theorem(
        name="every such polynomial is a schedule",
        source=BORUP,
        statement=r"\sum_i c_i = 1,\ \text{no partial sum equal to } 1 \implies \exists\, w_1 \dots w_T:\ P = P_w",
        left=_polynomial_in_smoother,
        right=_as_a_chain,
        derived=True,
    ),
    Theorem(
        name="leave-one-out of the whole chain",
        source=BORUP,
        statement=r"\hat y^{(-i)}_t = \hat y_{t,i} + \sum_{s \le t} \pi_s (S^{t-s+1})_{ii}\,\gamma_s, \quad "
        r"\sum_{s \le t} \pi_s (MS^{t-s})_{ii}\,\gamma_s = -c_{t,i}, \quad \pi_s = \prod_{j=s+1}^{t} w_j",
        left=lambda p: _refits(p, SCHEDULE),
        right=lambda p: _left_out(p, SCHEDULE),
        tolerance=lambda p: 1e-10 + 1e4 * p.rounding,
        derived=True,
        figure="digits_tuning",
    ),
    Theorem(
        name="different ridges are a mixture of ridge fits",
        source=DANG,
        statement=r"\lambda_i \ne \lambda_j: \quad \hat f_T = \sum_j c_j\,\hat f_{\lambda_j}, \quad \sum_j c_j = 1, \quad "
        r"\sum_j \frac{c_j}{x + \lambda_j} = \frac{b_T(x)}{x}",
        left=_mixture,
        right=_mixed_rounds,
        tolerance=lambda p: 1e-10 + 1000 * p.rounding * (1 + p.ridge / p.spectrum.eigenvalues[0]) ** 2,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
    ),
    Theorem(
        name="a pure round is an Euler step along the ridge path",
        source=DANG,
        statement=r"\hat f_1(w{=}1) = \hat f_\lambda + \lambda\,\partial_\lambda \hat f_\lambda",
        left=lambda p: _jet(p, 1),
        right=lambda p: _rounds(p, (1.0,)),
        tolerance=_jet_rounding,
        assumptions=(SOMETHING_TO_LEARN,),
        figure="sign_rule",
    ),
    Theorem(
        name="k pure rounds are a jet of the ridge path",
        source=DANG,
        statement=r"\hat f_k(w{=}1) = \sum_{j=0}^{k}\binom{k}{j}\frac{\lambda^j}{j!}\,\partial_\lambda^j \hat f_\lambda",
        left=lambda p: _jet(p, 3),
        right=lambda p: _rounds(p, (1.0, 1.0, 1.0)),
        tolerance=_jet_rounding,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
    ),
    Theorem(
        name="leave-one-out residuals mix as the fits do",
        source=DANG,
        statement=r"y_i - \hat y^{(-i)}_T = \sum_j c_j\,\frac{y_i - \hat y_i(\lambda_j)}{1 - S_{ii}(\lambda_j)}",
        left=_mixture_of_residuals,
        right=_residuals_of_mixed_rounds,
        tolerance=lambda p: 1e-9 + 1e4 * p.rounding * (1 + p.ridge / p.spectrum.eigenvalues[0]) ** 2,
        assumptions=(SOMETHING_TO_LEARN,),
        derived=True,
    ),
    Theorem(
        name="twicing is one round at teacher weight -1",
        source=TUKEY,
        statement=r"\hat y + A(y - \hat y) = A(2y - \hat y)",
        left=_twice,
        right=lambda p: _rounds(p, (-1.0,)),
        derived=True,
    ),
    Theorem(
        name="leave-one-out of ridge regression",
        source=ALLEN,
        statement=r"y_i - \hat y^{(-i)} = \frac{y_i - \hat y_i}{1 - S_{ii}}",
        left=lambda p: _refits(p, ()),
        right=lambda p: _left_out(p, ()),
        tolerance=lambda p: 1e-10 + 1e4 * p.rounding,
    ),
    Theorem(
        name="generalised cross-validation by its traces",
        source=GOLUB,
        statement=r"\mathrm{GCV}_t = \frac{\tfrac1n|(I - H_t)y|^2}{(\operatorname{tr}(I - H_t)/n)^2}",
        left=_gcv_by_traces,
        right=lambda p: gcv(p.first(DENSE).spectrum, p.first(DENSE).y, ridge=p.ridge, teacher_weights=(0.6,))[-1:],
        tolerance=_gcv_rounding,
    ),
)
