r"""Iterated self-distillation of kernel ridge regression: every round, the limit, predictions, whole grids.

Round 0 is ridge regression on the labels y. Round t is the same regression on the mixed targets
:math:`(1 - w_t)\,y + w_t\,\hat y_{t-1}`. In the eigenbasis all of it is the filter `Distilled`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, matrix, outputs, schedule, values_like_y, whole
from kdtheory.filters import Distilled
from kdtheory.grid import Seen, validation_grid
from kdtheory.skeleton import members
from kdtheory.spectrum import Spectrum, require_spectrum

__all__ = ["limit", "predict", "risk_grid", "rounds"]


def rounds(
    spectrum: Spectrum,
    y: ArrayLike,
    *,
    ridge: ArrayLike,
    teacher_weights: ArrayLike,
    cross: ArrayLike | None = None,
) -> Array:
    r"""Predictions of every round of one chain.

    .. math::
        \hat y_0 = A_0\, y, \qquad \hat y_t = A_t\,[(1 - w_t)\, y + w_t\, \hat y_{t-1}], \qquad A_t = K(K + \lambda_t I)^{-1}.

    Parameters
    ----------
    spectrum : Spectrum
        Of the training Gram matrix, n points.
    y : (n,) or (n, p) array
        Training labels.
    ridge : float or (T + 1,) array
        :math:`\lambda > 0`, one for all rounds or one per round from round 0.
    teacher_weights : (T,) array
        :math:`w_1 \dots w_T`, any real numbers; empty for the teacher alone.
    cross : (m, n) array, optional
        Kernel between new points and training points. Left out, the predictions are at the training points.

    Returns
    -------
    (T + 1, n or m) or (T + 1, n or m, p) array

    Raises
    ------
    ValueError
        If a length disagrees with the spectrum, a ridge is not positive, or a value is not finite.
    OverflowError
        If weights outside the convergence interval made the chain grow beyond floating point.

    References
    ----------
    Borup & Andersen (2021), arXiv:2102.13088; their weight on the ground truth is 1 - w and their step is t + 1.

    Examples
    --------
    A student is affine in its teacher weight, so half the weight is half the way:

    >>> from kdtheory import Spectrum
    >>> s, y = Spectrum.from_gram([[2.0, 1.0], [1.0, 2.0]]), [1.0, -1.0]
    >>> none, half, full = (rounds(s, y, ridge=1.0, teacher_weights=[w])[1] for w in (0.0, 0.5, 1.0))
    >>> bool(np.allclose(half, (none + full) / 2))
    True
    """
    require_spectrum(spectrum)
    labels = outputs(y, "y", length=spectrum.n)
    every = Distilled(ridge, teacher_weights).every_round(spectrum.eigenvalues)
    if cross is None:
        basis, multipliers = spectrum.eigenvectors, every.fit
    else:
        basis, multipliers = matrix(cross, "cross", shape=(None, spectrum.n)) @ spectrum.eigenvectors, every.dual
    values = every_product(basis, multipliers, column_shape(spectrum.project(labels)))
    return values[..., 0] if labels.ndim == 1 else values


def every_product(basis: Array, multipliers: Array, z: Array) -> Array:
    """Products basis · (multiplier · z) of every round: multipliers (T + 1, r) and z (r, p) -> (T + 1, rows, p)."""
    stacked = np.einsum("tr,rp->rtp", multipliers, z).reshape(len(z), -1)
    products = (basis @ stacked).reshape(len(basis), len(multipliers), z.shape[1])
    return np.ascontiguousarray(products.swapaxes(0, 1))


def predict(spectrum: Spectrum, y: ArrayLike, cross: ArrayLike, *, ridge: ArrayLike, teacher_weights: ArrayLike) -> Array:
    r"""Predictions of the last round at new points, :math:`k\,U\,\mathrm{dual}(d)\,U^\top y` of the filter `Distilled`.

    Parameters
    ----------
    spectrum, y, cross, ridge, teacher_weights
        As in `rounds`; `cross` (m, n) is needed.

    Returns
    -------
    (m,) or (m, p) array

    Raises
    ------
    ValueError, OverflowError
        As in `rounds`.

    Examples
    --------
    >>> from kdtheory import Spectrum
    >>> s, y = Spectrum.from_gram([[2.0, 1.0], [1.0, 2.0]]), [1.0, -1.0]
    >>> last = predict(s, y, [[2.0, 1.0]], ridge=1.0, teacher_weights=[1.0, 1.0])  # the first training point
    >>> bool(np.allclose(last, (1 / (1 + 1)) ** 3))  # pure distillation is a power of d / (d + ridge), here d = 1
    True
    """
    require_spectrum(spectrum)
    return spectrum.predict(Distilled(ridge, teacher_weights), y, cross)


def limit(spectrum: Spectrum, y: ArrayLike, *, ridge: float, teacher_weight: float, cross: ArrayLike | None = None) -> Array:
    r"""Predictions after infinitely many rounds of one teacher weight.

    They are those of ridge regression at :math:`\lambda/(1 - w)`: zero at w = 1, a negative ridge for
    :math:`1 < w < 1 + \lambda/d_1`.

    Parameters
    ----------
    spectrum, y, ridge, cross
        As in `rounds`, with one ridge.
    teacher_weight : float
        Within the chain's interval of convergence :math:`|w| < 1 + \lambda/d_1`.

    Returns
    -------
    (n or m,) or (n or m, p) array

    Raises
    ------
    ValueError
        If the chain diverges; the message gives the interval.

    References
    ----------
    Borup & Andersen (2021), arXiv:2102.13088.

    Examples
    --------
    >>> from kdtheory import Ridge, Spectrum
    >>> s, y = Spectrum.from_gram([[2.0, 1.0], [1.0, 2.0]]), [1.0, 0.0]
    >>> bool(np.allclose(limit(s, y, ridge=0.3, teacher_weight=0.7), s.fit(Ridge(1.0), y)))
    True
    """
    require_spectrum(spectrum)
    largest = float(spectrum.eigenvalues[0])
    filter = Distilled.limit(ridge=ridge, teacher_weight=teacher_weight, largest_eigenvalue=largest)
    return spectrum.fit(filter, y) if cross is None else spectrum.predict(filter, y, cross)


def risk_grid(
    spectrum: Spectrum,
    y: ArrayLike,
    cross: ArrayLike,
    y_val: ArrayLike,
    *,
    ridges: ArrayLike,
    teacher_weights: ArrayLike,
    rounds: int,
    method: str = "auto",
) -> Array:
    r"""Validation error of every ridge, teacher weight and round at once.

    At one ridge, each round of each weight predicts a combination of the same T + 1 vectors
    :math:`k\,(K + \lambda I)^{-1} A^j y` (convex for weights in [0, 1]), so a QR decomposition of
    them and the validation targets prices all weights and rounds by (T + 2)-vectors.

    Parameters
    ----------
    spectrum : Spectrum
        Of the training Gram matrix, n points.
    y : (n,) or (n, p) array
        Training labels.
    cross : (m, n) array
        Kernel between validation and training points: the same kernel as of `spectrum`, so that both are parts of one positive
        semi-definite matrix.
    y_val : (m,) or (m, p) array
        Validation targets.
    ridges : (L,) array
        Positive.
    teacher_weights : (A,) array
        Each is used in every round of its chain; any real numbers.
    rounds : int
        T, the number of students after the teacher.
    method : {"auto", "basis", "direct"}
        "direct" evaluates every filter on its own: slower, and the choice of "auto" for weights so far outside
        [0, 1] that the combination would lose digits.

    Returns
    -------
    (L, A, T + 1) array
        Mean squared error over validation points and outputs; round 0 does not depend on the weight.

    Raises
    ------
    ValueError
        If shapes disagree, a grid is empty, a ridge is not positive or a value is not finite.
    OverflowError
        If a chain grows beyond floating point.

    Examples
    --------
    Enough rounds at weight 0.75 are one ridge four times as large:

    >>> from kdtheory import Spectrum
    >>> s = Spectrum.from_gram([[1.0, 0.2], [0.2, 1.0]])
    >>> how = {"ridges": [0.1, 0.4], "teacher_weights": [0.75], "rounds": 99}
    >>> grid = risk_grid(s, [1.0, 0.0], [[0.9, 0.3]], [0.5], **how)
    >>> bool(np.isclose(grid[0, 0, 99], grid[1, 0, 0]))
    True
    """
    if method not in ("auto", "basis", "direct"):
        raise ValueError(f'`method` must be "auto", "basis" or "direct", got {method!r}.')
    ridge_list = schedule(ridges, "ridges", above_zero=True)
    weights = schedule(teacher_weights, "teacher_weights")
    T = whole(rounds, "rounds")
    labels, new, wanted = held_out(spectrum, y, cross, y_val)
    return validation_grid(
        spectrum.eigenvalues,
        spectrum.project(labels),
        Seen(new, spectrum.eigenvectors),
        wanted,
        ridges=ridge_list,
        weights=weights,
        rounds=T,
        method=method,
    )


def power_predictions(basis: Array, z: Array, d: Array, ridge: float, count: int) -> Array:
    r"""Columns :math:`k\,(K + \lambda I)^{-1} A^j y` for j < `count`, points and outputs in rows: (m p, count)."""
    filters = members(d, np.array([ridge]), count)[..., 0]
    return np.asarray(basis @ np.einsum("rj,rp->rpj", filters, z).reshape(len(d), -1)).reshape(-1, count)


def held_out(spectrum: Spectrum, y: ArrayLike, cross: ArrayLike, y_val: ArrayLike) -> tuple[Array, Array, Array]:
    """Training labels (n, p), cross matrix (m, n) and validation values (m, p), checked against each other."""
    require_spectrum(spectrum)
    labels = column_shape(outputs(y, "y", length=spectrum.n))
    new = matrix(cross, "cross", shape=(None, spectrum.n))
    return labels, new, values_like_y(y_val, "y_val", length=len(new), columns=labels.shape[1])
