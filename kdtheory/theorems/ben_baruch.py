r"""Ben-Baruch et al. (2025): distilling the knowledge in data pruning.

The paper observes that distillation from a teacher on all data rescues students of pruned data, and shows for regularised
linear regression that a teacher that has seen more leaves its student less bias. Its exact hypotheses are not known to us:
everything here is derived in kdtheory for its setting, a teacher on rows T, a student on kept rows F, ridge regression both.
Half of a problem's rows are kept. Here E_F picks the kept labels, A = K_F (K_FF + ridge I)^-1, G is the teacher's smoother
and G_F its kept rows; X are the kernel's features, A_R = X_R'X_R and S_R = (A_R + ridge_R I)^-1 for rows R.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kdtheory.checks import Array
from kdtheory.expected_curve import expected_curve
from kdtheory.kept import Rows
from kdtheory.problem import Problem
from kdtheory.pruned_curves import risk_curve
from kdtheory.pruned_risk import PrunedRisk
from kdtheory.pruned_students import Teacher
from kdtheory.theorems.naive import DENSE, SIGNAL_SEEN, SOMETHING_TO_LEARN, solve
from kdtheory.theorems.statement import Assumption, Source, Theorem

__all__ = ["SOURCE", "THEOREMS"]

SOURCE = Source("Ben-Baruch, Botach, Kviatkovsky, Aggarwal & Medioni", 2025, "2403.07854")
WEIGHTS = np.array([0.0, 0.25, 0.5, 1.0, 2.0, -0.5])
INSIDE = np.array([0.25, 0.5, 0.75, 1.0])
UP_TO_TWO = np.array([0.5, 1.0, 2.0])
NOISES = (0.0, 0.1, 1.0, 10.0, 1000.0)
OWN = 3.0  # the teacher's ridge, relative to the student's


def _rows(n: int) -> tuple[Rows, dict[str, Rows]]:
    """Kept rows, and teachers' rows by how they overlap with them."""
    half, every = max(1, n // 2), np.arange(n)
    return every[:half], {"all": every, "same": every[:half], "others": every[half:], "some": every[half // 2 : max(2, n - 1)]}


def _smoothers(p: Problem, kept: Rows, seen: Rows) -> tuple[Array, Array]:
    """Both students at all rows, (n, n), by dense solves: on labels, and on the teacher."""
    on_labels, teacher = np.zeros_like(p.gram), np.zeros_like(p.gram)
    part = solve(p.gram[np.ix_(kept, kept)], p.gram[kept], p.ridge).T
    on_labels[:, kept] = part
    teacher[:, seen] = solve(p.gram[np.ix_(seen, seen)], p.gram[seen], OWN * p.ridge).T
    return on_labels, part @ teacher[kept]


def _by_definition(p: Problem, operator: Array) -> tuple[float, float]:
    """Squared bias, and variance per unit of noise variance, of a linear smoother at all rows."""
    return float(np.mean((p.signal - operator @ p.signal) ** 2)), float(np.sum(operator**2) / p.n)


def _closed(p: Problem, kept: Rows, seen: Rows) -> PrunedRisk:
    teacher = Teacher.ridge(p.gram, ridge=OWN * p.ridge, ridge_convention="absolute", seen=seen)
    how: dict[str, Any] = {"noise_variance": p.noise_variance, "ridge": p.ridge, "ridge_convention": "absolute"}
    return risk_curve(p.gram, p.signal, kept=kept, teacher=teacher, **how)


def _each_overlap(p: Problem, measure: Any) -> Array:
    small = p.first(DENSE)
    kept, teachers = _rows(small.n)
    return np.array([measure(small, kept, seen) for seen in teachers.values() if len(seen)])


def _naive_risks(p: Problem, kept: Rows, seen: Rows) -> Array:
    on_labels, on_teacher = _smoothers(p, kept, seen)
    parts = [_by_definition(p, (1 - w) * on_labels + w * on_teacher) for w in WEIGHTS]
    return np.array([bias + p.noise_variance * variance for bias, variance in parts])


def _primal(p: Problem, kept: Rows, seen: Rows) -> Array:
    """By the matrices of linear regression: squared norm of the bias and trace of the covariance at each weight."""
    X, theta = _features(p)
    own, other = p.ridge, OWN * p.ridge
    both = np.intersect1d(kept, seen)
    A, A_t, A_o = (X[rows].T @ X[rows] for rows in (kept, seen, both))
    on_teacher = solve(A, A @ solve(A_t, np.eye(len(A)), other), own)  # S_F A_F S_T
    of_labels = solve(A, np.eye(len(A)), own)
    values = []
    for w in WEIGHTS:
        bias = -(own * of_labels + w * other * on_teacher) @ theta
        cross = of_labels @ A_o @ on_teacher.T
        covariance = (1 - w) ** 2 * of_labels @ A @ of_labels + w**2 * on_teacher @ A_t @ on_teacher.T
        covariance += w * (1 - w) * (cross + cross.T)
        values.append([np.sum(bias**2) / theta.size, np.trace(covariance) / len(theta)])
    return np.array(values)


def _features(p: Problem) -> tuple[Array, Array]:
    """Features X with XX' the kernel, and parameters of a signal: those of the problem's labels as dual coefficients."""
    s = p.spectrum
    X = s.eigenvectors * np.sqrt(s.eigenvalues)
    return X, X.T @ p.signal / s.eigenvalues[0]


def _parameters(p: Problem, kept: Rows, seen: Rows) -> Array:
    X, theta = _features(p)
    K = X @ X.T
    teacher = Teacher.ridge(K, ridge=OWN * p.ridge, ridge_convention="absolute", seen=seen)
    at = risk_curve(
        K,
        X @ theta,
        noise_variance=1.0,
        kept=kept,
        ridge=p.ridge,
        ridge_convention="absolute",
        teacher=teacher,
        cross=X.T,
        signal_new=theta,
    )
    return np.stack([at.bias(WEIGHTS), at.variance(WEIGHTS)], axis=1)


def _mean_risks(p: Problem, seen: str) -> Array:
    """Risk of the parameters averaged over N(0, I), at the ridge sigma^2 of least risk, by primal matrices."""
    X = _features(p)[0]
    kept, teachers = _rows(p.n)
    A, A_t = (X[rows].T @ X[rows] for rows in (kept, teachers[seen]))
    identity = np.eye(len(A))
    own, taught = solve(A, X[kept].T, p.ridge), solve(A, A @ solve(A_t, X[teachers[seen]].T, p.ridge), p.ridge)
    risks = []
    for w in UP_TO_TWO:
        on_kept, on_seen = (1 - w) * own, w * taught
        bias = identity - on_kept @ X[kept] - on_seen @ X[teachers[seen]]
        on_seen[:, : len(kept)] += on_kept  # the kept rows are the first of the teacher's
        risks.append((np.sum(bias**2) + p.ridge * np.sum(on_seen**2)) / len(A))
    return np.array(risks)


def _mean_risks_closed(p: Problem, seen: str) -> Array:
    """The same: one output per parameter averages over them."""
    X = _features(p)[0]
    kept, teachers = _rows(p.n)
    K = X @ X.T
    teacher = Teacher.ridge(K, ridge=p.ridge, ridge_convention="absolute", seen=teachers[seen])
    each = np.sqrt(X.shape[1])  # outputs are averaged, and are to be summed
    at: dict[str, Any] = {"cross": X.T, "signal_new": each * np.eye(X.shape[1]), "teacher": teacher, "kept": kept}
    how: dict[str, Any] = {"noise_variance": p.ridge, "ridge": p.ridge, "ridge_convention": "absolute"}
    return np.asarray(risk_curve(K, each * X, **at, **how)(UP_TO_TWO))


def _on_all_rows(p: Problem) -> PrunedRisk:
    every = np.arange(p.n)
    how: dict[str, Any] = {"ridge": p.ridge, "ridge_convention": "absolute", "noise_variance": p.noise_variance}
    return risk_curve(p.gram, p.signal, kept=every, **how)


def _self_distillation(p: Problem) -> Array:
    curve = expected_curve(p.spectrum, p.signal, noise_variance=p.noise_variance, ridge=p.ridge)
    return np.asarray(curve(WEIGHTS))


def _variances(p: Problem) -> Array:
    """By definition, of the student of nested rows at weights in (0, 1]."""
    small = p.first(DENSE)
    kept, teachers = _rows(small.n)
    on_labels, on_teacher = _smoothers(small, kept, teachers["all"])
    return np.array([_by_definition(small, (1 - w) * on_labels + w * on_teacher)[1] for w in INSIDE])


def _nested(p: Problem) -> PrunedRisk:
    small = p.first(DENSE)
    kept, teachers = _rows(small.n)
    return _closed(small, kept, teachers["all"])


def _naive_weights(p: Problem) -> Array:
    """Optimal weights at rising noise, from traces."""
    small = p.first(DENSE)
    kept, teachers = _rows(small.n)
    H, H_t = _smoothers(small, kept, teachers["all"])
    D, f = H_t - H, small.signal
    gap, moved = f - H @ f, D @ f
    outputs = f.shape[1]
    slopes = [np.sum(gap * moved) - v * outputs * np.sum(H * D) for v in NOISES]
    bends = [np.sum(moved**2) + v * outputs * np.sum(D**2) for v in NOISES]
    return np.asarray(np.array(slopes) / np.array(bends))


def _direction(p: Problem) -> float:
    return 1.0 if _nested(p).rises_with_noise else -1.0


def _too_few(p: Problem) -> str:
    return "" if p.n >= 4 else "fewer than four points cannot be halved twice"


def _rounding(p: Problem) -> float:
    return 1e-9 + 1e4 * p.rounding


def _weight_rounding(p: Problem) -> float:
    """Of a ratio of sums that the student's size exceeds by its square over the teacher's effect."""
    risk = _nested(p)
    smallest = min(float(part.identifiability) for part in (risk.bias, risk.variance))
    return 1e-9 + 1e3 * p.rounding / max(smallest, 1e-12) ** 2


HALVES = Assumption("at least four points, half of them kept", _too_few)
NEEDS = (SOMETHING_TO_LEARN, HALVES)

THEOREMS = (
    Theorem(
        name="risk on kept rows is the parabola of two fits",
        source=SOURCE,
        statement=r"R(w) = \tfrac1n|f - Af_F - wA(G_F - E_F)f|^2 + \tfrac{\sigma^2}{n}\|AE_F + wA(G_F - E_F)\|_F^2",
        left=lambda p: _each_overlap(p, _naive_risks),
        right=lambda p: _each_overlap(p, lambda *at: _closed(*at)(WEIGHTS)),
        tolerance=_rounding,
        assumptions=NEEDS,
        derived=True,
        figure="pruned_digits",
    ),
    Theorem(
        name="bias and covariance of the parameters",
        source=SOURCE,
        statement=r"b = -[\lambda_s S_F + w\lambda_t S_F A_F S_T]\theta,\quad \tfrac{C}{\sigma^2} = (1-w)^2 S_F A_F S_F"
        r" + w^2 S_F A_F S_T A_T S_T A_F S_F + w(1-w)(S_F A_{F\cap T} S_T A_F S_F + \cdot^\top)",
        left=lambda p: _each_overlap(p, _primal),
        right=lambda p: _each_overlap(p, _parameters),
        tolerance=_rounding,
        assumptions=(*NEEDS, SIGNAL_SEEN),
        derived=True,
        figure="teacher_share",
    ),
    Theorem(
        name="on all rows it is self-distillation",
        source=SOURCE,
        statement=r"F = T = \{1..n\} \implies R(w) = \tfrac1n\sum_i [u_i^2(1 + wa_i)^2\theta_i^2 + \sigma^2a_i^2(1 - wu_i)^2]",
        left=_self_distillation,
        right=lambda p: np.asarray(_on_all_rows(p)(WEIGHTS)),
        tolerance=_rounding,
        assumptions=(SOMETHING_TO_LEARN, SIGNAL_SEEN),
        derived=True,
    ),
    Theorem(
        name="on nested rows distillation adds no variance",
        source=SOURCE,
        statement=r"F \subseteq T,\ 0 \le w \le 1 \implies V(w) \le V(0) \text{ in every metric}",
        left=_variances,
        right=lambda p: np.full(len(INSIDE), float(_nested(p).variance(0.0))),
        tolerance=_rounding,
        assumptions=NEEDS,
        at_most=True,
        derived=True,
        figure="teacher_share",
    ),
    Theorem(
        name="in pure noise the teacher deserves half at least",
        source=SOURCE,
        statement=r"F \subseteq T \implies \lim_{\sigma\to\infty} w^\star \ge \tfrac12",
        left=lambda p: np.array([0.5]),
        right=lambda p: np.array([_nested(p).noise_limit]),
        tolerance=_weight_rounding,
        assumptions=NEEDS,
        at_most=True,
        derived=True,
    ),
    Theorem(
        name="the weight is monotone in the noise",
        source=SOURCE,
        statement=r"w^\star(\sigma^2) = \frac{a + \sigma^2 b}{c + \sigma^2 d} \text{ rises} \iff w^\star(\infty) > w^\star(0)",
        left=lambda p: _direction(p) * _naive_weights(p)[:-1],
        right=lambda p: _direction(p) * np.array([_nested(p).with_noise(v).curves.vertex for v in NOISES[1:]]),
        tolerance=_weight_rounding,
        assumptions=(*NEEDS, SIGNAL_SEEN),
        at_most=True,
        derived=True,
        figure="pruning_phase",
    ),
    Theorem(
        name="at the best ridge a teacher that saw more never hurts",
        source=SOURCE,
        statement=r"\theta \sim N(0, I),\ \lambda_s = \lambda_t = \sigma^2,\ F \subseteq T \subseteq T',\ 0 \le w \le 2 "
        r"\implies E R(w; T') \le E R(w; T)",
        left=lambda p: _mean_risks(p.first(DENSE), "all"),
        right=lambda p: _mean_risks_closed(p.first(DENSE), "same"),
        tolerance=_rounding,
        assumptions=NEEDS,
        at_most=True,
        derived=True,
        figure="teacher_share",
    ),
)
