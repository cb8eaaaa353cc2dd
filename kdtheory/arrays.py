r"""The chain, the grid and the kernels where the arrays are: NumPy, JAX, or PyTorch on any device, same kind in and out.

A door beside the theory's core, not the core: it writes the formulas with the array's own namespace (the Python array API
standard), so that they run on its device, trace under ``jax.jit``, ``grad`` and ``vmap``, and carry gradients to ridges,
weights, kernel parameters and inputs. Only shapes and kinds are checked here; values, and digits that rounding takes, are
looked after in `kdtheory.kernels` and `kdtheory.rounds`. It computes in the arrays' precision: float64 is meant
(docs/arrays.md).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from kdtheory.array_kernels import Array, entries, laplace, namespace, ntk, rbf, shaped

__all__ = ["laplace", "ntk", "optimal_teacher_weight", "rbf", "risk", "risk_grid", "rounds"]

#: Cholesky solves are not in the standard: where a namespace has them
SOLVERS = {"numpy": "scipy.linalg", "jax.numpy": "jax.scipy.linalg"}


def rounds(
    gram: Array, y: Array, cross: Array | None = None, *, ridge: Array | float, teacher_weights: Array | list[float]
) -> Array:
    r"""Predictions of every round of one chain, `kdtheory.rounds`, by Cholesky instead of eigenvectors.

    .. math::
        (K + \lambda_t I)\,\alpha_t = (1 - w_t)\, y + w_t\, \hat y_{t-1}, \qquad \hat y_t = K \alpha_t .

    Differentiable in the Gram matrix, labels, ridges and weights, at repeated eigenvalues too, where those of an
    eigendecomposition have no derivative. One ridge is one factorisation, a list of ridges one for each round.

    Parameters
    ----------
    gram : (n, n) array
    y : (n,) or (n, p) array
        Training labels.
    cross : (m, n) array, optional
        Kernel between new points and training points. Left out, the predictions are at the training points.
    ridge : float or (T + 1,) array
        :math:`\lambda > 0`, one for all rounds or one per round from round 0.
    teacher_weights : (T,) array
        :math:`w_1 \dots w_T`.

    Returns
    -------
    (T + 1, n or m) or (T + 1, n or m, p) array

    Raises
    ------
    ValueError
        If an array is of no namespace or of another one, does not hold floating-point numbers, or shapes disagree.

    Examples
    --------
    Pure distillation is a power of d / (d + ridge), here one half:

    >>> import numpy as np
    >>> rounds(np.eye(1), np.ones(1), ridge=1.0, teacher_weights=[1.0, 1.0]).ravel().round(12).tolist()
    [0.5, 0.25, 0.125]
    """
    xp = namespace(gram=gram, y=y, cross=cross)
    n = _training(gram, y)
    if cross is not None:
        shaped(cross, "cross", (None, n))
    weights = [0.0, *entries(teacher_weights)]
    ridges = entries(ridge)
    if len(ridges) not in (1, len(weights)):
        raise ValueError(f"`ridge` must be one number or {len(weights)}, one per round, got {len(ridges)}.")
    labels = y if y.ndim == 2 else y[:, None]
    solvers = [_solver(xp, gram + each * _identity(xp, gram)) for each in ridges]
    solvers, ridges = (each * len(weights) if len(ridges) == 1 else each for each in (solvers, ridges))
    fit, every = labels, []
    for solve, own, weight in zip(solvers, ridges, weights, strict=True):
        mixed = (1 - weight) * labels + weight * fit
        dual = solve(mixed)
        fit = mixed - own * dual  # K dual, and nothing of it is lost to a product
        every.append(fit if cross is None else cross @ dual)
    stacked = xp.stack(every, axis=0)
    return stacked if y.ndim == 2 else stacked[..., 0]


def risk(
    gram: Array, y: Array, cross: Array, y_val: Array, *, ridge: Array | float, teacher_weights: Array | list[float]
) -> Array:
    """Mean squared validation error of every round of one chain: what to differentiate when tuning.

    Parameters
    ----------
    gram, y, cross, ridge, teacher_weights
        As in `rounds`.
    y_val : (m,) or (m, p) array
        Validation targets.

    Returns
    -------
    (T + 1,) array

    Raises
    ------
    ValueError
        As in `rounds`.

    Examples
    --------
    >>> import numpy as np
    >>> risk(np.eye(1), np.ones(1), np.ones((1, 1)), np.ones(1), ridge=1.0, teacher_weights=[1.0]).round(12).tolist()
    [0.25, 0.5625]
    """
    xp = namespace(gram=gram, y=y, cross=cross, y_val=y_val)
    shaped(y_val, "y_val", (cross.shape[0], *y.shape[1:]))
    errors = rounds(gram, y, cross, ridge=ridge, teacher_weights=teacher_weights) - y_val
    return xp.mean(xp.reshape(errors * errors, (errors.shape[0], -1)), axis=1)


def risk_grid(
    gram: Array,
    y: Array,
    cross: Array,
    y_val: Array,
    *,
    ridges: Array | list[float],
    teacher_weights: Array | list[float],
    rounds: int,
) -> Array:
    r"""Validation error of every ridge, constant teacher weight and round, `kdtheory.risk_grid`, by one eigendecomposition.

    Each model is evaluated filter by filter, (A, T + 1) at a time, where `kdtheory.risk_grid` knows that all of them span few
    dimensions; the eigendecomposition is of the array's device. Its derivative is infinite at repeated eigenvalues: to
    differentiate, use `risk`.

    Parameters
    ----------
    gram, y, cross, y_val
        As in `risk`.
    ridges : (L,) array
        Positive.
    teacher_weights : (A,) array
    rounds : int
        T, the number of students after the teacher.

    Returns
    -------
    (L, A, T + 1) array

    Raises
    ------
    ValueError
        As in `rounds`.

    Examples
    --------
    Enough rounds at weight 0.75 are one ridge four times as large:

    >>> import numpy as np
    >>> how = {"ridges": [0.1, 0.4], "teacher_weights": [0.75], "rounds": 99}
    >>> grid = risk_grid(np.array([[1.0, 0.2], [0.2, 1.0]]), np.eye(2)[0], np.array([[0.9, 0.3]]), np.array([0.5]), **how)
    >>> bool(np.isclose(grid[0, 0, 99], grid[1, 0, 0]))
    True
    """
    xp = namespace(gram=gram, y=y, cross=cross, y_val=y_val)
    shaped(cross, "cross", (None, _training(gram, y)))
    shaped(y_val, "y_val", (cross.shape[0], *y.shape[1:]))
    d, U = xp.linalg.eigh(gram)
    d = xp.where(d > 0, d, 0.0)
    V, z = cross @ U, U.mT @ (y if y.ndim == 2 else y[:, None])
    wanted = (y_val if y_val.ndim == 2 else y_val[:, None])[:, None, None, :]
    w = xp.stack([xp.ones_like(d[0]) * each for each in entries(teacher_weights)], axis=0)
    grid = []
    for ridge in entries(ridges):
        shrinkage, mixes = (d / (d + ridge))[:, None], [xp.ones_like(d)[:, None] * xp.ones_like(w)]
        for _ in range(rounds):
            mixes.append((1 - w) + w * (shrinkage * mixes[-1]))
        duals = xp.stack(mixes, axis=2) / (d + ridge)[:, None, None]  # (n, A, T + 1)
        predictions = V @ xp.reshape(duals[..., None] * z[:, None, None, :], (d.shape[0], -1))
        errors = xp.reshape(predictions, (V.shape[0], *duals.shape[1:], z.shape[1])) - wanted
        grid.append(xp.mean(errors * errors, axis=(0, 3)))
    return xp.stack(grid, axis=0)


def optimal_teacher_weight(on_labels: Array, on_teacher: Array, targets: Array) -> Array:
    r"""Teacher weight with the least squared error, :math:`\langle y - P_l, P_t - P_l\rangle / |P_t - P_l|^2`.

    Parameters
    ----------
    on_labels, on_teacher : (m,) or (m, p) arrays
        Held-out predictions of the student trained on labels only, and of the one trained on the teacher only.
    targets : array of the same shape
        Held-out targets y.

    Returns
    -------
    array without axes

    Raises
    ------
    ValueError
        As in `rounds`.

    Examples
    --------
    >>> import numpy as np
    >>> float(optimal_teacher_weight(np.array([2.0, -2.0]), np.array([1.0, -1.0]), np.array([1.5, -1.5])))
    0.5
    """
    xp = namespace(on_labels=on_labels, on_teacher=on_teacher, targets=targets)
    shaped(on_teacher, "on_teacher", on_labels.shape)
    shaped(targets, "targets", on_labels.shape)
    step = on_teacher - on_labels
    return xp.sum((targets - on_labels) * step) / xp.sum(step * step)


def _training(gram: Array, y: Array) -> int:
    """How many training points there are, once matrix and labels agree on it."""
    n = int(gram.shape[0])
    shaped(gram, "gram", (n, n))
    if y.ndim not in (1, 2) or y.shape[0] != n:
        raise ValueError(f"`y` must have shape ({n},) or ({n}, outputs), got {tuple(y.shape)}.")
    return n


def _solver(xp: Any, A: Array) -> Callable[[Array], Array]:
    """b -> A^-1 b by one Cholesky factorisation; by elimination where a namespace has no triangular solves."""
    if xp.__name__ not in ("torch", *SOLVERS):
        return lambda b: xp.linalg.solve(A, b)
    L = xp.linalg.cholesky(A)
    if xp.__name__ == "torch":
        return lambda b: xp.cholesky_solve(b, L)
    linalg = importlib.import_module(SOLVERS[xp.__name__])
    return lambda b: linalg.cho_solve((L, True), b)


def _identity(xp: Any, gram: Array) -> Array:
    where = {"device": gram.device} if hasattr(gram, "device") else {}  # under jax.jit an array has none
    return xp.eye(gram.shape[0], dtype=gram.dtype, **where)
