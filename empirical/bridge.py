r"""What was measured of a cell of trained students: the risk over a grid of teacher weights, its optimum, and its parabola.

A cell is one setting (data, kept share, label noise), trained at W teacher weights for S seeds; students of one seed share
everything but the weight. What the theory and the two-endpoint rule predict for it is in `empirical.rules` and
`empirical.kernel_students`; `empirical.comparison` puts both beside each other.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from empirical.intervals import DRAWS, Estimate, crossed_interval
from empirical.pairs import identifiability, moments, of_seeds, scale_free_weight
from empirical.rules import require_labels_are
from kdtheory.checks import Array, finite_array, schedule
from kdtheory.parabola import RiskCurve

__all__ = ["MeasuredCurve", "accuracy_optimum", "measured_curve", "superposition_error", "vertex"]


@dataclass(frozen=True, eq=False)
class MeasuredCurve:
    r"""Squared risk of trained students over their teacher weight, as measured.

    Attributes
    ----------
    weights : (W,) array
    risks : (W, S) array
        Mean squared error per point and output.
    curve : RiskCurve or None
        Least-squares parabola through the mean risks; None where they do not bend upwards.
    curves : tuple of S RiskCurve or None
        The same of each seed.
    r_squared : (S,) array
        Share of the risks' variance over weights that the parabola explains; nan where they do not vary.
    superposition : (W, S) array
        :math:`|f(w) - ((1 - w) f(0) + w f(1))| / |f(w)|`, zero for students that are affine in their weight.
    optimal_weight : Estimate
        Vertex of `curve`, with an interval over seeds and points; the mean of the statistics, not of the seeds' vertices.
    scale_free_weight : Estimate
        Weight of the greatest cosine with the labels, from a line through :math:`\langle V, f(w)\rangle` and a parabola
        through :math:`|f(w)|^2`.
    identifiability : float
        :math:`|f(1) - f(0)| / |f(0)|`.
    labels_are : {"clean", "noisy"}
        The held-out labels that it was measured with.
    """

    weights: Array
    risks: Array
    curve: RiskCurve | None
    curves: tuple[RiskCurve | None, ...]
    r_squared: Array
    superposition: Array
    optimal_weight: Estimate
    scale_free_weight: Estimate
    identifiability: float
    labels_are: str


def measured_curve(
    weights: ArrayLike,
    predictions: ArrayLike,
    labels: ArrayLike,
    *,
    labels_are: str,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> MeasuredCurve:
    r"""Measured risk curve of one cell.

    Parameters
    ----------
    weights : (W,) array
        Teacher weights, three or more, 0 and 1 among them.
    predictions : (W, S, m, p) or (W, S, m) array
        Held-out outputs of the students.
    labels : (m, p) or (S, m, p) array, or (m,) for one output
        Coded as the students' targets were (one-hot minus 1/p).
    labels_are : {"clean", "noisy"}
    rng : numpy.random.Generator
        Of the bootstrap.
    draws : int

    Returns
    -------
    MeasuredCurve

    Raises
    ------
    ValueError
        If shapes disagree, a value is not finite, or the weights are fewer than three or lack 0 or 1.

    Examples
    --------
    Students that are affine in their weight have the parabola of the two endpoints:

    >>> draw = np.random.default_rng(0)
    >>> P_l, P_t, V = draw.normal(size=(3, 2, 50, 3))
    >>> w = np.array([0.0, 0.5, 1.0, 1.5])
    >>> grid = P_l + w[:, None, None, None] * (P_t - P_l)
    >>> cell = measured_curve(w, grid, V, labels_are="clean", rng=draw)
    >>> round(cell.optimal_weight.value - RiskCurve.from_predictions(
    ...     P_l.reshape(100, 3), P_t.reshape(100, 3), V.reshape(100, 3)).optimal_weight, 9) == 0
    True
    """
    require_labels_are(labels_are)
    w, f = schedule(weights, "weights"), finite_array(predictions, "predictions")
    f = f[..., None] if f.ndim == 3 else f
    if f.ndim != 4 or len(f) != len(w):
        raise ValueError(
            f"`predictions` must have shape ({len(w)}, seeds, m, outputs), one for each of `weights`, got {f.shape}."
        )
    if len(np.unique(w)) < 3:
        raise ValueError(f"`weights` must hold at least three different values to fix a parabola, got {len(np.unique(w))}.")
    zero, one = (_place(w, end) for end in (0.0, 1.0))
    M = moments(f[zero], f[one], labels)
    V = np.broadcast_to(of_seeds(labels, "labels"), f.shape[1:])
    size, overlap = (np.einsum("wsmp,wsmp->wsm", f, other) / f.shape[3] for other in (f, np.broadcast_to(V, f.shape)))
    errors = M[None, ..., 0] - 2 * overlap + size
    parabola, line = (np.linalg.pinv(np.vander(w, degree + 1, increasing=True)) for degree in (2, 1))
    coefficients = np.einsum("kw,wsm->smk", parabola, errors)
    slopes, sizes = np.einsum("kw,wsm->smk", line, overlap), np.einsum("kw,wsm->smk", parabola, size)
    fitted = np.stack([M[..., 0], *np.moveaxis(slopes, -1, 0), sizes[..., 0], sizes[..., 1] / 2, sizes[..., 2]], axis=-1)
    risks = errors.mean(axis=2)
    residual = risks - np.vander(w, 3, increasing=True) @ coefficients.mean(axis=1).T
    spread = np.sum((risks - risks.mean(axis=0)) ** 2, axis=0)
    unexplained = np.divide(np.sum(residual**2, axis=0), spread, out=np.full(spread.shape, np.nan), where=spread > 0)
    moved = identifiability(M.mean(axis=1))
    return MeasuredCurve(
        weights=w,
        risks=risks,
        curve=_parabola(w, risks.mean(axis=1), float(identifiability(M.mean(axis=(0, 1))))),
        curves=tuple(_parabola(w, risks[:, s], float(moved[s])) for s in range(risks.shape[1])),
        r_squared=1 - unexplained,
        superposition=superposition_error(w, f),
        optimal_weight=crossed_interval(coefficients, vertex, rng=rng, draws=draws),
        scale_free_weight=crossed_interval(fitted, scale_free_weight, rng=rng, draws=draws),
        identifiability=float(identifiability(M.mean(axis=(0, 1)))),
        labels_are=labels_are,
    )


def superposition_error(weights: ArrayLike, predictions: ArrayLike) -> Array:
    r"""How far students are from affine in their weight, :math:`|f(w) - ((1 - w) f(0) + w f(1))| / |f(w)|`.

    Parameters
    ----------
    weights : (W,) array
        0 and 1 among them.
    predictions : (W, S, ...) array

    Returns
    -------
    (W, S) array

    Examples
    --------
    >>> superposition_error([0.0, 0.5, 1.0], [[[0.0]], [[2.0]], [[2.0]]]).ravel()
    array([0. , 0.5, 0. ])
    """
    w, f = schedule(weights, "weights"), finite_array(predictions, "predictions")
    f = f.reshape(*f.shape[:2], -1)
    at = w[:, None, None]
    gap = np.linalg.norm(f - ((1 - at) * f[_place(w, 0.0)] + at * f[_place(w, 1.0)]), axis=2)
    size = np.linalg.norm(f, axis=2)
    return np.asarray(np.divide(gap, size, out=np.where(gap > 0, np.inf, 0.0), where=size > 0))


def accuracy_optimum(
    weights: ArrayLike, correct: ArrayLike, *, rng: np.random.Generator, degree: int = 3, draws: int = DRAWS
) -> Estimate:
    """Weight of the highest accuracy: the peak, within the grid, of a polynomial through mean accuracies.

    Parameters
    ----------
    weights : (W,) array
    correct : (W, S) or (W, S, m) array
        Accuracies, or which points were right; the interval is over seeds, or over seeds and points.
    rng : numpy.random.Generator
        Of the bootstrap.
    degree : {2, 3}
    draws : int

    Returns
    -------
    Estimate
        To a thousandth of the grid's range; where the polynomial is highest at an end of the grid, that end.

    Raises
    ------
    ValueError
        If shapes disagree, the degree is neither, or there are no more weights than its value.

    Examples
    --------
    >>> w = np.linspace(0.0, 1.0, 5)
    >>> curves = 0.9 - 0.1 * (w[:, None] - np.array([0.3, 0.4, 0.5])) ** 2
    >>> round(accuracy_optimum(w, curves, rng=np.random.default_rng(0), degree=2).value, 3)
    0.4
    """
    w, right = schedule(weights, "weights"), finite_array(correct, "correct")
    right = right[..., None] if right.ndim == 2 else right
    if right.ndim != 3 or len(right) != len(w):
        raise ValueError(f"`correct` must have shape ({len(w)}, seeds) or ({len(w)}, seeds, m), got {np.shape(correct)}.")
    if degree not in (2, 3):
        raise ValueError(f"`degree` must be 2 or 3, got {degree!r}.")
    if len(np.unique(w)) <= degree:
        raise ValueError(f"`weights` must hold more than {degree} different values, got {len(np.unique(w))}.")
    fine = np.linspace(w.min(), w.max(), 1001)
    at_fine = np.vander(fine, degree + 1, increasing=True).T
    coefficients = np.einsum("kw,wsm->smk", np.linalg.pinv(np.vander(w, degree + 1, increasing=True)), right)
    if coefficients.shape[:2] == (1, 1):
        peak = float(fine[np.argmax(coefficients[0, 0] @ at_fine)])
        return Estimate(peak, float(w.min()), float(w.max()))  # one accuracy a weight says nothing of its error
    found = crossed_interval(coefficients, lambda c: np.asarray(fine[np.argmax(c @ at_fine, axis=-1)]), rng=rng, draws=draws)
    return Estimate(found.value, max(found.low, float(w.min())), min(found.high, float(w.max())))


def _place(weights: Array, value: float) -> int:
    where = np.flatnonzero(np.isclose(weights, value, rtol=0, atol=1e-9))
    if len(where) == 0:
        raise ValueError(f"`weights` must hold {value:g}, the student that the others are mixed of, got {weights.tolist()}.")
    return int(where[0])


def _parabola(weights: Array, risks: Array, moved: float) -> RiskCurve | None:
    try:
        return dataclasses.replace(RiskCurve.fit(weights, risks), identifiability=moved)
    except ValueError:  # it does not bend upwards
        return None


def vertex(coefficients: Array) -> Array:
    """Of parabolas (..., 3); nan where they do not bend upwards."""
    _, slope, bend = np.moveaxis(coefficients, -1, 0)
    return np.asarray(np.divide(-slope, 2 * bend, out=np.full(np.shape(bend), np.nan), where=np.asarray(bend > 0)))
