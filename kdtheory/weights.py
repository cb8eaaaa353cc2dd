r"""Closed-form optimal teacher weights: for one round from any two students, and for whole chains of ridge fits.

All of them need targets that no student was trained on. On the training targets the one-round answer is always at most
-1 whatever the data (weight on the labels at least 2), because undoing the ridge fits the training labels better.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, matrix, positive, targets, whole
from kdtheory.filters import Polynomial
from kdtheory.parabola import RiskCurve, difference
from kdtheory.spectrum import Spectrum

__all__ = ["IDENTIFIABLE", "IdentifiabilityWarning", "identifiability", "optimal_teacher_weight", "optimal_weights"]

#: Below this share of change between the two students, noise in the predictions decides the weight.
IDENTIFIABLE = 0.15


class IdentifiabilityWarning(UserWarning):
    """Labels and teacher train nearly the same student: the optimal weight means little, and so does its gain."""


def identifiability(on_labels: ArrayLike, on_teacher: ArrayLike) -> float:
    r"""How far the teacher moves the student, :math:`|P_l - P_t|\,/\,|P_l|`.

    Parameters
    ----------
    on_labels, on_teacher : (m,) or (m, p) arrays
        Predictions of the student trained on labels only and on the teacher only.

    Examples
    --------
    >>> identifiability([3.0, 4.0], [3.0, 3.5])
    0.1
    """
    P, D, _, _ = difference(on_labels, on_teacher, np.asarray(on_labels), None)
    size = np.linalg.norm(P)
    return float(np.linalg.norm(D) / size) if size > 0 else float("inf")


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
        If the two students differ by less than `IDENTIFIABLE` of the predictions' size (see `identifiability`).
    UserWarning
        If the weight is at most -1, which is what training data always gives.

    References
    ----------
    Borup & Andersen (2021), arXiv:2102.13088 (their optimal weight on the ground truth is 1 - w*).

    Examples
    --------
    The teacher halves an overshoot of 2 to 1, and the truth lies half way between:

    >>> optimal_teacher_weight(on_labels=[2.0, -2.0], on_teacher=[1.0, -1.0], targets=[1.5, -1.5])
    0.5
    """
    if per_output:
        P, D, y, _ = difference(on_labels, on_teacher, targets, sample_weight)
        curves = [RiskCurve.from_predictions(P[:, j], P[:, j] + D[:, j], y[:, j], sample_weight) for j in range(P.shape[1])]
    else:
        curves = [RiskCurve.from_predictions(on_labels, on_teacher, targets, sample_weight)]
    weights = np.array([curve.optimal_weight for curve in curves])
    weakest = min(curve.identifiability for curve in curves)
    if weakest < IDENTIFIABLE:
        warnings.warn(
            f"`on_teacher` changes the student by {weakest:.2g} of its predictions' size (below {IDENTIFIABLE}): the "
            "optimal teacher weight is not well identified, and little is gained by it; use a more regularised teacher.",
            IdentifiabilityWarning,
            stacklevel=2,
        )
    if (weights <= -1).any():
        warnings.warn(
            f"The optimal teacher weight is {weights.min():.3g}; training data always gives -1 or less, so make sure that "
            "`targets` are held out.",
            UserWarning,
            stacklevel=2,
        )
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
        * "joint": the best of all schedules for the last round. By :math:`\hat y_T = \sum_i c_i A^i y` with
          :math:`\sum_i c_i = 1` it is a least-squares problem in c, solved by QR, and turned back into weights. Monotone
          in T. Weights may be large: nearly parallel directions are cut at the precision of the data.
        * "simplex": the best schedule with all weights in [0, 1], by non-negative least squares. Monotone in T.

    Returns
    -------
    (T,) array

    Raises
    ------
    ValueError
        If the validation set is the training set, on which tuning is meaningless.

    References
    ----------
    Borup & Andersen (2021), arXiv:2102.13088, algorithm 1 ("greedy"); Pareek, Du & Oh (2024), arXiv:2407.04600 ("joint").

    Examples
    --------
    >>> from kdtheory import Spectrum, kernels
    >>> x = np.linspace(0.0, 1.0, 8)[:, None]
    >>> s = Spectrum.from_gram(kernels.rbf(x, gamma=10.0))
    >>> y, x_val = np.sin(6 * x[:, 0]) + [0.3, -0.3] * 4, x[:-1] + 0.07
    >>> cross, y_val = kernels.rbf(x_val, x, gamma=10.0), np.sin(6 * x_val[:, 0])
    >>> for ridge in (0.01, 0.1):  # an under-regularised teacher is worth imitating, an over-regularised one is not
    ...     print(optimal_weights(s, y, cross, y_val, ridge=ridge, rounds=1).round(3))
    [0.426]
    [-1.09]
    """
    if method not in ("greedy", "joint", "simplex"):
        raise ValueError(f'`method` must be "greedy", "joint" or "simplex", got {method!r}.')
    ridge, T = positive(ridge, "ridge"), whole(rounds, "rounds", least=1)
    labels = column_shape(targets(y, "y", length=spectrum.n))
    new = matrix(cross, "cross", shape=(None, spectrum.n))
    wanted = column_shape(targets(y_val, "y_val", length=len(new)))
    if wanted.shape[1] != labels.shape[1]:
        raise ValueError(f"`y_val` must have {labels.shape[1]} outputs like `y`, got {wanted.shape[1]}.")
    basis, z = new @ spectrum.eigenvectors, spectrum.project(labels)
    _refuse_training_set(spectrum, basis, labels, wanted)
    d = spectrum.eigenvalues
    if method == "greedy":
        return _greedy(basis, z, wanted, d, ridge, T)
    powers = (d / (d + ridge))[:, None] ** np.arange(T + 1) / (d + ridge)[:, None]
    columns = (basis @ np.einsum("rj,rp->rpj", powers, z).reshape(len(d), -1)).reshape(-1, T + 1)
    coefficients = (_joint if method == "joint" else _simplex)(columns, wanted.ravel())
    weights = np.array(Polynomial(ridge, tuple(coefficients.tolist())).teacher_weights())
    return np.clip(weights, 0.0, 1.0) if method == "simplex" else weights


def _greedy(basis: Array, z: Array, wanted: Array, d: Array, ridge: float, T: int) -> Array:
    dual = (1.0 / (d + ridge))[:, None]
    on_labels = basis @ (dual * z)
    fit = d / (d + ridge)
    weights = []
    for _ in range(T):
        on_teacher = basis @ (dual * (fit[:, None] * z))
        change = on_teacher - on_labels
        square = float(np.sum(change**2))
        if not square > 0:
            raise ValueError(
                "`y` must be moved by distillation: teacher and labels train the same student, every weight is optimal."
            )
        weight = float(np.sum((wanted - on_labels) * change)) / square
        weights.append(weight)
        fit = d / (d + ridge) * ((1 - weight) + weight * fit)
    return np.array(weights)


def _joint(columns: Array, wanted: Array) -> Array:
    """Least squares with coefficients summing to one: free steps from the first column towards the others."""
    steps = columns[:, 1:] - columns[:, :1]
    size = np.linalg.norm(steps, axis=0)
    size[size == 0] = 1.0
    Q, R, pivots = scipy.linalg.qr(steps / size, mode="economic", pivoting=True)
    strength = np.abs(np.diag(R))
    kept = int(np.sum(strength > 1e-12 * strength[0])) if strength[0] > 0 else 0
    free = np.zeros(columns.shape[1] - 1)
    free[pivots[:kept]] = scipy.linalg.solve_triangular(R[:kept, :kept], Q[:, :kept].T @ (wanted - columns[:, 0]))
    free /= size
    return np.concatenate(([1.0 - free.sum()], free))


def _simplex(columns: Array, wanted: Array) -> Array:
    """Least squares over the simplex, as non-negative least squares without a constraint.

    With B = columns - targets it is min |B c|. In min |B x|^2 + (1 - sum x)^2 over x >= 0 the best multiple of c has
    value |B c|^2 / (1 + |B c|^2), which grows with |B c|: both problems choose the same direction.
    """
    B = columns - wanted[:, None]
    scale = np.linalg.norm(B, axis=0).min()
    stacked = np.vstack([B / scale if scale > 0 else B, np.ones(B.shape[1])])
    R = scipy.linalg.qr(np.column_stack([stacked, np.append(np.zeros(len(B)), 1.0)]), mode="r")[0]
    x, _ = scipy.optimize.nnls(R[:, :-1], R[:, -1])
    return np.asarray(x / x.sum())


def _refuse_training_set(spectrum: Spectrum, basis: Array, labels: Array, wanted: Array) -> None:
    """Training rows of the cross matrix are U d, and their targets are the labels themselves."""
    if wanted.shape == labels.shape and np.array_equal(wanted, labels):
        gap = np.abs(basis - spectrum.eigenvectors * spectrum.eigenvalues).max()
        if gap <= 1e-6 * spectrum.eigenvalues[0]:
            raise ValueError(
                "`cross` and `y_val` must be held out, got the training set: there the optimal weight is always -1 or less."
            )
