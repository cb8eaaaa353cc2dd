r"""From data to advice: how much could be dropped, and what weight the teacher should have then.

For every kept share and several random subsets, teacher and student are fitted to the data, and their exact leave-one-out
errors (`kdtheory.pruned_leave_one_out`) give a risk curve at n held-out points. Nothing is assumed of the labels; a
prediction's error counts against the label itself, noise included, which moves every curve by the noise variance and no
optimum.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.advice import Measured
from kdtheory.checks import Array, column_shape, matrix, numeric, outputs, positive, whole
from kdtheory.kept import kept_count, random_orders, ridge_for, shares
from kdtheory.leave_one_out_grid import loo_grid
from kdtheory.likelihood import NoiseEstimate, marginal_likelihood
from kdtheory.pruned_leave_one_out import HeldOut, held_out_pairs
from kdtheory.pruned_students import KeptStudent, Teacher, checked_gram
from kdtheory.pruning_plan import Plan
from kdtheory.risk_curves import RiskCurves
from kdtheory.spectrum import Spectrum

__all__ = ["plan"]

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
CONVENTIONS = ("tuned", "absolute", "per_example")
TINY = 1e-200  # mean squares beyond it, and beyond its inverse, leave floating point
FEWEST = 10  # points, below which a leave-one-out error says nothing
AROUND = 10.0 ** np.arange(-3.0, 2.25, 0.5)  # ridges tried for the student, times the teacher's
TEACHERS = 10.0 ** np.arange(-7.0, 1.1, 0.25)  # ridges tried for the teacher, times the trace of its kernel


def plan(
    points: ArrayLike,
    y: ArrayLike,
    *,
    keep_fractions: ArrayLike = FRACTIONS,
    kernel: Callable[[Array], Array] | None = None,
    ridge_convention: str = "tuned",
    ridge: float | None = None,
    method: str = "loo",
    bounds: tuple[float, float] | None = None,
    tolerance: float = 0.01,
    subsets: int = 10,
    seed: int = 0,
    progress: bool = False,
) -> Plan:
    r"""Risk with and without distillation for every kept share, the optimal weight, and what could be dropped at no loss.

    The teacher is kernel ridge regression on all rows, the student on random rows with the same kernel.

    Parameters
    ----------
    points : (n, features) array, or (n, n) Gram matrix
        Inputs, if `kernel` is given; else the Gram matrix. Rows that repeat others betray each other's labels: leave them out.
    y : (n,) or (n, p) array
        Labels, best centred (a kernel machine has no intercept). For classes, one-hot.
    keep_fractions : (k,) array
        Shares of the rows to advise on; all rows are added.
    kernel : function, optional
        From inputs to a Gram matrix, for example :func:`kdtheory.kernels.rbf`.
    ridge_convention : {"tuned", "absolute", "per_example"}
        The student's ridge: "tuned" for every share, once for its risk on labels and once for its risk with the best weight;
        or the teacher's, as it is or in proportion to the rows.
    ridge : float, optional
        The teacher's ridge of :math:`K + \lambda I`; left out, that of least leave-one-out error, or of largest likelihood.
    method : {"loo", "likelihood"}
        "loo": exact leave-one-out errors of these labels. "likelihood": their expectation over labels from
        :math:`N(0, aK + \sigma^2 I)`, with a and :math:`\sigma^2` of largest likelihood: steadier, if the kernel describes
        the data.
    bounds : (lowest, highest), optional
        Of the teacher weight; (0, 1) for training code that takes no other. Left out, any: on all rows the tuned ridge
        leaves little to gain, and an extreme weight at an extreme ridge may come out as the best by a hair.
    tolerance : float
        A loss up to this share of the risk on all rows counts as none.
    subsets, seed : int
        Random subsets of each share, and their seed.
    progress : bool
        Whether to count the fits on the standard error stream.

    Returns
    -------
    Plan
        ``print(plan)`` is the table, ``plan.figure()`` the figure.

    Raises
    ------
    ValueError
        If a parameter is out of its range, there are fewer than 10 rows, or the labels are zero.

    Notes
    -----
    A fit of every share and subset costs the cube of its rows: in all 4 seconds of one core for 1,000 rows, 25 for 2,000;
    "likelihood" the cube of all rows for every subset and ridge: 14 seconds for 600 rows, a minute for 1,000.

    The 95 % intervals hold the labels fixed and count points and subsets as random. On eight real data sets those of the
    weight cover the optimum of refits on new points in 93 to 98 % of the splits, those of the loss in 93 or 94 % below all
    rows (``python -m paper_figs plan_check``; the refits' own error is counted). They do not know that the teacher's ridge
    was chosen by the same labels: without that error the loss was covered in 77 to 87 % on 200 rows of a smooth function,
    and it may come out up to a point too small.

    References
    ----------
    Derived in kdtheory.

    Examples
    --------
    >>> from kdtheory import kernels
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1.0, 1.0, size=(200, 2))
    >>> y = np.sin(3.0 * X[:, 0]) + X[:, 1] + 0.5 * rng.normal(size=200)
    >>> advice = plan(X, y, kernel=kernels.rbf, keep_fractions=[0.1, 0.3, 1.0])
    >>> bool(advice.with_distillation.risk[0] < advice.without.risk[0])
    True
    >>> advice.droppable() >= advice.droppable(distilled=False)
    True
    """
    K, labels = _data(points, y, kernel)
    n = len(K)
    for name, value, known in (("ridge_convention", ridge_convention, CONVENTIONS), ("method", method, ("loo", "likelihood"))):
        if value not in known:
            raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.")
    limits = np.array([-np.inf, np.inf]) if bounds is None else numeric(bounds, "bounds").astype(np.float64)
    if limits.shape != (2,) or not limits[0] < limits[1]:
        raise ValueError(f"`bounds` must be (lowest, highest) teacher weights, the first below the second, got {bounds!r}.")
    spectrum = Spectrum.from_gram(K)
    noise = marginal_likelihood(spectrum, labels)
    level = _teacher_ridge(spectrum, labels, ridge, noise, method)
    teacher = Teacher.of_spectrum(spectrum, level)
    fractions = np.unique(np.append(shares(keep_fractions), 1.0))
    counts = np.array([kept_count(fraction, n) for fraction in fractions.tolist()])
    apart = np.append(np.diff(counts) > 0, True)  # shares that keep the same rows are one
    fractions, counts = fractions[apart], counts[apart]
    orders = random_orders(n, whole(subsets, "subsets", least=2), seed)
    laws: tuple[tuple[float, float], ...] = ()
    if method == "likelihood":
        laws = ((noise.scale, noise.noise_variance), noise.low, noise.high)
    measured = []
    for i, count in enumerate(counts.tolist()):
        ridges = np.array([ridge_for(level / n, count, "per_example") if ridge_convention == "per_example" else level])
        if ridge_convention == "tuned":
            ridges = level * AROUND
        students = [KeptStudent.of(K, order[:count]) for order in (orders if count < n else orders[:1])]
        measured.append(_measure(students, labels, teacher, ridges, spectrum, laws))
        if progress:
            end = "" if i + 1 < len(fractions) else "\n"
            print(f"\rplan: {i + 1} of {len(fractions)} shares", end=end, file=sys.stderr, flush=True)
    return Plan.of(
        measured,
        fractions,
        noise=noise,
        teacher_ridge=level,
        labels_variance=float(np.mean(labels.var(axis=0))),
        ridge_convention=ridge_convention,
        method=method,
        bounds=(float(limits[0]), float(limits[1])),
        tolerance=positive(tolerance, "tolerance", zero=True),
        subsets=len(orders),
    )


def _data(points: ArrayLike, y: ArrayLike, kernel: Any) -> tuple[Array, Array]:
    """The border: kernel matrix and labels (n, p), of sizes that can be squared."""
    given = matrix(points, "points")
    if kernel is None and given.shape[0] != given.shape[1]:
        raise ValueError(f"`points` must be a square Gram matrix where no `kernel` is given, got shape {given.shape}.")
    if kernel is not None and not callable(kernel):
        got = f"{kernel!r:.20} of type {type(kernel).__name__}"
        raise ValueError(f"`kernel` must be a function of point sets, got {got}; a Gram matrix goes in as `points`.")
    K = checked_gram(given, "points") if kernel is None else checked_gram(kernel(given), "kernel")
    labels = column_shape(outputs(y, "y", length=len(K)))
    for name, array in (("points", K), ("y", labels)):
        with np.errstate(over="ignore", under="ignore"):
            size = float(np.mean(array**2))
        if not TINY < size < 1 / TINY:
            if not np.any(array):
                raise ValueError(f"`{name}` must not be zero everywhere: there is nothing to learn.")
            raise ValueError(f"`{name}` must have squares within floating point, got a mean square of {size:.3g}; scale it.")
    if len(K) < FEWEST:
        raise ValueError(f"`points` must hold at least {FEWEST} rows for a plan, got {len(K)}.")
    return K, labels


def _teacher_ridge(spectrum: Spectrum, labels: Array, ridge: float | None, noise: NoiseEstimate, method: str) -> float:
    """As given, or of largest likelihood, or of least leave-one-out error."""
    if ridge is not None:
        return positive(ridge, "ridge")
    if method == "likelihood":
        return noise.ridge
    tried = TEACHERS * float(spectrum.eigenvalues.sum())
    errors = loo_grid(spectrum, labels, ridges=tried, teacher_weights=[0.0], rounds=0)[:, 0, 0]
    return float(tried[errors.argmin()])


def _measure(
    students: Sequence[KeptStudent],
    labels: Array,
    teacher: Teacher,
    ridges: Array,
    spectrum: Spectrum,
    laws: Sequence[tuple[float, float]],
) -> Measured:
    """Leave-one-out curves of one share, of the labels and in expectation under each law (scale, noise variance)."""
    pairs = [held_out_pairs(student, labels, teacher, ridges) for student in students]
    even = np.full((1, labels.shape[1]), 1.0 / labels.shape[1])
    measured = RiskCurves.gather(
        RiskCurves.gather(_by_point(pair, labels, even)[0] for pair in of_ridges) for of_ridges in pairs
    )  # (subsets, ridges, points)
    law = None
    if laws:
        # labels of covariance a K + s^2 I are its eigenvectors with independent weights of variance a d + s^2
        U = spectrum.eigenvectors
        variances = np.array([scale * spectrum.eigenvalues + noise for scale, noise in laws])
        drawn = [
            [_by_point(pair, U, variances).mean(axis=1) for pair in held_out_pairs(each, U, teacher, ridges)]
            for each in students
        ]
        law = RiskCurves.gather(RiskCurves.gather(each) for each in drawn).mean(axis=0).transpose()
    by_subset, square = measured.mean(axis=2).transpose(), float(np.mean(labels.var(axis=0)))
    return Measured(len(students[0].kept), ridges, measured.mean(axis=0), by_subset, square, law)


def _by_point(pair: HeldOut, labels: Array, weights: Array) -> RiskCurves:
    """Risk curves (k, n) of the points, squares weighed over outputs (n, p) by each row of the weights (k, p)."""
    gap = labels - pair.on_labels
    parts = (gap**2, -2 * gap * pair.change, pair.change**2, pair.on_labels**2)
    return RiskCurves(*(weights @ part.T for part in parts))
