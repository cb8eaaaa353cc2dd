r"""Closed-form optimal teacher weights: for one round from any two students, and for whole chains of ridge fits.

All of them need targets that no student was trained on. On the training targets the one-round answer of
self-distillation is at most -1 whatever the data (weight on the labels at least 2): undoing the ridge fits them better.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, outputs, positive, whole
from kdtheory.distillation import held_out, power_predictions
from kdtheory.expected_curve import expected_curve
from kdtheory.free_polynomial import optimal_polynomial, optimal_polynomial_on_validation
from kdtheory.one_shot import one_shot_curve, one_shot_weight
from kdtheory.parabola import RiskCurve
from kdtheory.spectrum import Spectrum

__all__ = [
    "IDENTIFIABLE",
    "IdentifiabilityWarning",
    "expected_curve",
    "identifiability",
    "one_shot_curve",
    "one_shot_weight",
    "optimal_polynomial",
    "optimal_polynomial_on_validation",
    "optimal_teacher_weight",
    "optimal_weights",
]

IDENTIFIABLE = 0.15  # below this share of change between the two students, noise in training decides the weight ...
WORTHWHILE = 0.05  # ... unless the gain is more than this share of the risk
COARSE = 1.0  # a standard error of the weight, from the held-out sample, that leaves nothing of it


class IdentifiabilityWarning(UserWarning):
    """The two students are too similar, or the held-out values too few, for the optimal weight to mean anything."""


def identifiability(on_labels: ArrayLike, on_teacher: ArrayLike) -> float:
    r"""How far the teacher moves the student, :math:`|P_l - P_t|\,/\,|P_l|`, from predictions of both, (m,) or (m, p).

    Examples
    --------
    >>> identifiability([3.0, 4.0], [3.0, 3.5])
    0.1
    """
    P = outputs(on_labels, "on_labels")
    Q = outputs(on_teacher, "on_teacher", length=len(P))
    if Q.shape != P.shape:
        raise ValueError(f"`on_teacher` must have the shape of `on_labels`, {P.shape}, got {Q.shape}.")
    size = np.linalg.norm(P)
    return float(np.linalg.norm(Q - P) / size) if size > 0 else float("inf")


def optimal_teacher_weight(
    on_labels: ArrayLike,
    on_teacher: ArrayLike,
    targets: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    per_output: bool = False,
) -> float | Array:
    r"""Teacher weight with the least squared error on held-out targets, from two students instead of a grid.

    .. math::
        w^\star = \frac{\langle y - P_l,\; P_t - P_l\rangle}{|P_t - P_l|^2} .

    Exact for any student that is linear in its training targets (kernel ridge regression, linear models, networks
    in their linear regime), an estimate for others. Any real number can come out: negative means away from the
    teacher, above 1 beyond it. Clipping to [0, 1] gives the exact constrained optimum.

    Parameters
    ----------
    on_labels, on_teacher : (m,) or (m, p) arrays
        Held-out predictions :math:`P_l` of the student trained on labels only, and :math:`P_t` of the same student
        trained on the teacher's predictions only.
    targets : array of the same shape
        Held-out targets y.
    sample_weight : (m,) array, optional
        Zero or positive.
    per_output : bool
        One weight per output instead of one for all.

    Returns
    -------
    float, or (p,) array with `per_output`

    Raises
    ------
    ValueError
        If shapes disagree or the two students predict the same.

    Warns
    -----
    IdentifiabilityWarning
        If the two students differ by less than 0.15 of the predictions' size (see `identifiability`) and the gain is
        below 5 % of the risk, or if the held-out values leave a standard error above 1.
    UserWarning
        If the weight is at most -1, which is what training data always gives in self-distillation.

    References
    ----------
    Borup & Andersen (2021), arXiv:2102.13088 (their optimal weight on the ground truth is 1 - w*).

    Examples
    --------
    The teacher halves an overshoot of 2 to 1, and the truth lies half way between:

    >>> optimal_teacher_weight(on_labels=[2.0, -2.0], on_teacher=[1.0, -1.0], targets=[1.5, -1.5])
    0.5
    """
    curves = [RiskCurve.from_predictions(on_labels, on_teacher, targets, sample_weight)]
    if per_output:
        P, Q, y = (column_shape(np.asarray(value, dtype=np.float64)) for value in (on_labels, on_teacher, targets))
        curves = [RiskCurve.from_predictions(P[:, j], Q[:, j], y[:, j], sample_weight) for j in range(y.shape[1])]
    _warn(curves, np.size(targets) // len(curves), "`targets`")
    weights = np.array([curve.optimal_weight for curve in curves])
    return weights if per_output else float(weights[0])


def optimal_weights(
    spectrum: Spectrum,
    y: ArrayLike,
    cross: ArrayLike,
    y_val: ArrayLike,
    *,
    ridge: float,
    rounds: int,
    method: str = "greedy",
) -> Array:
    r"""Teacher weights of a whole chain with the least validation error, without training a single student.

    Parameters
    ----------
    spectrum : Spectrum
        Of the training Gram matrix, n points.
    y : (n,) or (n, p) array
        Training labels.
    cross : (m, n) array
        Kernel between validation and training points.
    y_val : (m,) or (m, p) array
        Validation targets; the weights are shared by all outputs.
    ridge : float
        The same in every round.
    rounds : int
        T, at least 1.
    method : {"greedy", "joint", "simplex"}
        * "greedy": each round takes the weight that is best for that round given its teacher (the papers' algorithm).
          Never worse than no distillation, but **not monotone**: a later round may be worse than an earlier one, so
          keep the best round, not the last.
        * "joint": the best of all schedules for the last round. The prediction is linear in the products
          :math:`w_T,\, w_T w_{T-1}, \dots`, so it is a least-squares problem, solved by QR. Monotone in T. Weights may be
          large: directions that are parallel to the leading ones at the precision of the data are cut.
        * "simplex": the best schedule with all weights in [0, 1], by non-negative least squares. Monotone in T.

    Returns
    -------
    (T,) array

    Raises
    ------
    ValueError
        If the validation set is the training set, on which tuning is meaningless, or if no weight changes anything.

    Warns
    -----
    IdentifiabilityWarning, UserWarning
        About the weight of one round, as in `optimal_teacher_weight`.

    References
    ----------
    Borup & Andersen (2021), arXiv:2102.13088, algorithm 1 ("greedy"); Pareek, Du & Oh (2024), arXiv:2407.04600 ("joint").

    Examples
    --------
    >>> from kdtheory import Spectrum, kernels
    >>> x = np.linspace(0.0, 1.0, 8)[:, None]
    >>> s = Spectrum.from_gram(kernels.rbf(x, gamma=30.0))
    >>> y, x_val = np.sin(6 * x[:, 0]) + [1.0, -1.0] * 4, x[:-1] + 0.07
    >>> cross, y_val = kernels.rbf(x_val, x, gamma=30.0), np.sin(6 * x_val[:, 0])
    >>> for ridge in (0.1, 0.4):  # the teacher is worth imitating where more ridge would help
    ...     print(optimal_weights(s, y, cross, y_val, ridge=ridge, rounds=1).round(3))
    [1.086]
    [-0.937]
    """
    if method not in ("greedy", "joint", "simplex"):
        raise ValueError(f'`method` must be "greedy", "joint" or "simplex", got {method!r}.')
    ridge, T = positive(ridge, "ridge"), whole(rounds, "rounds", least=1)
    labels, new, wanted = held_out(spectrum, y, cross, y_val)
    d, z, basis = spectrum.eigenvalues, spectrum.project(labels), new @ spectrum.eigenvectors
    _refuse_training_set(spectrum, basis, labels, wanted)
    residual = (ridge / (d + ridge))[:, None]
    on_labels = power_predictions(basis, z, d, ridge, 1)[:, 0]
    steps = power_predictions(basis, residual * z, d, ridge, T)
    if not np.any(steps):
        raise ValueError(
            "`y` must be moved by distillation: teacher and labels train the same student, every weight is optimal."
        )
    shape = wanted.shape
    on_teacher = on_labels - steps[:, 0]
    first = RiskCurve.from_predictions(on_labels.reshape(shape), on_teacher.reshape(shape), wanted)
    _warn([first], wanted.size, "`cross` and `y_val`")
    if method == "greedy":
        return _greedy(on_labels, steps, wanted.ravel())
    if method == "joint":
        return _joint(on_labels, steps, wanted.ravel())
    return _simplex(power_predictions(basis, z, d, ridge, T + 1), wanted.ravel())


def _warn(curves: list[RiskCurve], count: int, held_out_names: str) -> None:
    """Say so where the weight of one round means little, or looks as if it was tuned on training data."""
    for curve in curves:
        error = float(np.sqrt(curve.minimum / (curve.curvature * max(count - 1, 1))))
        faint = curve.identifiability < IDENTIFIABLE and curve.gain < WORTHWHILE * curve(0.0)
        if faint or error > COARSE:
            warnings.warn(
                f"The optimal teacher weight {curve.optimal_weight:.3g} is not well identified: the teacher changes the "
                f"student by {curve.identifiability:.2g} of its predictions' size, and {count} held-out values leave a "
                f"standard error of {error:.2g}; use a more regularised teacher or more held-out data.",
                IdentifiabilityWarning,
                stacklevel=3,
            )
            break
    weight = min(curve.optimal_weight for curve in curves)
    if weight <= -1:
        warnings.warn(
            f"The optimal teacher weight of one round is {weight:.3g}; in self-distillation training data always gives -1 or "
            f"less, so make sure that {held_out_names} are held out.",
            UserWarning,
            stacklevel=3,
        )


# With u = 1 - A, the last round predicts  on_labels - sum_j p_j k (K + ridge I)^-1 u A^j y:  `steps` are these vectors, and
# p_j = w_T w_(T-1) ... w_(T-j) the products of the last weights. No difference of nearly equal predictions is ever taken.


def _greedy(on_labels: Array, steps: Array, wanted: Array) -> Array:
    """The vertex of each round's parabola in turn; `products` are those of the teacher, beginning with an empty one."""
    weights: list[float] = []
    products = np.ones(1)
    for _ in range(steps.shape[1]):
        change = -steps[:, : len(products)] @ products
        moves = np.linalg.norm(change) > 1e-12 * np.linalg.norm(on_labels)  # else every weight is as good
        weights.append(float((wanted - on_labels) @ change / (change @ change)) if moves else 0.0)
        products = np.concatenate(([1.0], weights[-1] * products))
    return np.array(weights)


def _joint(on_labels: Array, steps: Array, wanted: Array) -> Array:
    """Least squares in the products p_j, which are free; directions below the precision of the leading ones are cut."""
    size = np.linalg.norm(steps, axis=0)
    size[size == 0] = 1.0
    Q, R = scipy.linalg.qr(steps / size, mode="economic")
    strength = np.abs(np.diag(R))
    weak = np.flatnonzero(strength <= 1e-12 * strength[0])
    kept = int(weak[0]) if len(weak) else len(strength)
    products = np.zeros(steps.shape[1])
    products[:kept] = scipy.linalg.solve_triangular(R[:kept, :kept], Q[:, :kept].T @ (on_labels - wanted)) / size[:kept]
    return _schedule(products)


def _simplex(columns: Array, wanted: Array) -> Array:
    """Least squares over the simplex of coefficients of A^j, as non-negative least squares without a constraint.

    With B = columns - wanted it is min |B c|. In min |B x|^2 + (1 - sum x)^2 over x >= 0 the best multiple of c has
    value |B c|^2 / (1 + |B c|^2), which grows with |B c|: both problems choose the same direction.
    """
    B = columns - wanted[:, None]
    scale = np.linalg.norm(B, axis=0).min()
    stacked = np.vstack([B / scale if scale > 0 else B, np.ones(B.shape[1])])
    R = scipy.linalg.qr(np.column_stack([stacked, np.append(np.zeros(len(B)), 1.0)]), mode="r")[0]
    x, _ = scipy.optimize.nnls(R[:, :-1], R[:, -1])
    tails = np.cumsum(x[::-1])[::-1]
    return np.clip(_schedule(tails[1:] / tails[0]), 0.0, 1.0)


def _schedule(products: Array) -> Array:
    """Weights from the products of the last of them: w_(T-j) = p_j / p_(j-1), zero once a product is zero."""
    before = np.concatenate(([1.0], products[:-1]))
    weights = np.divide(products, before, out=np.zeros_like(products), where=before != 0)
    return weights[::-1]


def _refuse_training_set(spectrum: Spectrum, basis: Array, labels: Array, wanted: Array) -> None:
    """Training rows of the cross matrix are U d, and their validation values the labels themselves."""
    if wanted.shape == labels.shape and np.array_equal(wanted, labels):
        gap = np.abs(basis - spectrum.eigenvectors * spectrum.eigenvalues).max()
        if gap <= 1e-6 * spectrum.eigenvalues[0]:
            raise ValueError(
                "`cross` and `y_val` must be held out, got the training set: there the optimal weight is always -1 or less."
            )
