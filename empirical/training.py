r"""One loop for every network: full-batch gradient descent on squared error, and the chain of self-distillation made of it.

A stack of E networks is trained as one batch. Its members do not influence each other: the loss is a sum over members, and
each is penalised around its own initialisation.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from empirical import extra, progress_bar
from empirical.networks import Centred, as_array, predict, tensor_for, trained
from kdtheory.checks import Array, finite_array, positive, schedule, whole

with extra():
    import torch
    from torch import Tensor, nn

__all__ = ["Step", "Training", "self_distil", "stable_step", "train"]

CHECK_EVERY = 50  # steps between two looks at the loss; each look waits for the device


@dataclass(frozen=True, eq=False)
class Training:
    """What `train` recorded.

    Attributes
    ----------
    steps : (R,) array
        Numbers of steps taken when each record was made; 0 is before the first.
    losses : (R,) or (R, E) array
        The minimised objective, penalty included; of a stack, one per member.
    predictions : (R, n or m, p) or (R, E, n or m, p) array
        At `points`, or else at the training points.
    """

    steps: NDArray[np.int64]
    losses: Array
    predictions: Array


class Step(NamedTuple):
    """Constants of Nesterov's method; made by `stable_step`."""

    learning_rate: float
    momentum: float
    steps: int


def stable_step(gram: ArrayLike, *, ridge: float, tolerance: float = 1e-4, margin: float = 1.15) -> Step:
    r"""Nesterov's constants for :math:`\tfrac12 |f - t|^2 + \tfrac\lambda2 |\theta - \theta_0|^2` at this tangent kernel.

    .. math::
        \eta = \frac{1}{1.15\, d_1 + \lambda}, \qquad \kappa = \frac{1}{\eta\lambda}, \qquad
        \text{momentum} = \frac{\sqrt\kappa - 1}{\sqrt\kappa + 1}, \qquad \text{steps} = \sqrt\kappa\, \ln(1/\text{tolerance}).

    Parameters
    ----------
    gram : (n, n) or (..., n, n) array
        Tangent kernel K on the training points, :math:`d_1` its largest eigenvalue; of several (members, outputs) the largest
        counts. Multiply it by `loss_scale` where that is not 1.
    ridge : float
        :math:`\lambda > 0`. Without a ridge there is no rate to compute with: choose a time, steps = time / `learning_rate`.
    tolerance : float
        Share of the initial error that may be left.
    margin : float
        Room above :math:`d_1`, for a kernel that moves in training.

    Raises
    ------
    ValueError
        If the matrices are not square or a number is out of its range.

    References
    ----------
    Nesterov (2004), Introductory lectures on convex optimization, section 2.2.

    Examples
    --------
    >>> stable_step([[99.0]], ridge=1.0, margin=1.0, tolerance=1e-4)
    Step(learning_rate=0.01, momentum=0.8181818181818182, steps=93)
    """
    K, lam = finite_array(gram, "gram"), positive(ridge, "ridge")
    if K.ndim < 2 or K.shape[-1] != K.shape[-2]:
        raise ValueError(f"`gram` must be square, got shape {K.shape}.")
    n = K.shape[-1]
    each = K.reshape(-1, n, n)
    largest = max(float(scipy.linalg.eigh(one, eigvals_only=True, subset_by_index=(n - 1, n - 1))[0]) for one in each)
    curvature = positive(margin, "margin") * max(largest, 0.0) + lam
    root = math.sqrt(curvature / lam)
    if not 0 < tolerance < 1:
        raise ValueError(f"`tolerance` must lie strictly between 0 and 1, got {tolerance}.")
    return Step(1.0 / curvature, (root - 1.0) / (root + 1.0), math.ceil(root * math.log(1.0 / tolerance)))


def train(
    model: nn.Module,
    X: ArrayLike | Tensor,
    targets: ArrayLike | Tensor,
    *,
    steps: int,
    learning_rate: float,
    ridge: float = 0.0,
    momentum: float = 0.0,
    loss_scale: float = 1.0,
    record: Sequence[int] | None = None,
    points: ArrayLike | Tensor | None = None,
    watch: Callable[[int], None] | None = None,
    progress: bool = False,
) -> Training:
    r"""Train a network, or every network of a stack, in place, on all points at each step.

    Minimises :math:`\tfrac{c}{2}\sum_i |f(x_i) - t_i|^2 + \tfrac{\lambda}{2}|\theta - \theta_0|^2` with :math:`\theta_0` the
    parameters at the call. Of a wide network that is kernel regression at ridge :math:`\lambda`; decay towards zero is not.

    Parameters
    ----------
    model : nn.Module
        Its parameters with requires_grad are trained and stay at the last step.
    X, targets : arrays or tensors
        (n, features) or (E, n, features), and (n,), (n, p) or (E, n, p).
    steps, learning_rate : int and float
        :math:`\eta` is for the sum over points; without momentum stable below :math:`2/(c\,d_1 + \lambda)`, where :math:`d_1`
        is the tangent kernel's largest eigenvalue. `stable_step` gives both.
    ridge : float
        :math:`\lambda \ge 0`.
    momentum : float
        Of Nesterov's method, constant, in [0, 1). At 0 it is gradient descent, a flow of time steps · `learning_rate`.
    loss_scale : float
        c > 0; :math:`1/a^2` for `Centred` at scale a.
    record : sequence of ints, optional
        Numbers of steps after which to record, from 0 to `steps`; left out, the end alone.
    points : array or tensor, optional
        Where predictions are recorded; left out, at `X`.
    watch : function of a number of steps, optional
        Called at each record, to look at the model as it is then.
    progress : bool
        Show a bar.

    Returns
    -------
    Training

    Raises
    ------
    ValueError
        If shapes disagree, a number is out of its range, a value is not finite, or no parameter requires a gradient.
    ArithmeticError
        If the loss is not finite, ended above its start or rose to twice as much: the step size is too large.

    Examples
    --------
    Gradient descent on a linear model leaves :math:`(1 - \eta d)^k` of a residual with eigenvalue d:

    >>> from empirical.networks import MLP
    >>> model = MLP(1, width=1, depth=0, weight_variance=1.0, dtype=torch.float64)
    >>> run = train(model, [[2.0]], [0.0], steps=3, learning_rate=0.1, record=[0, 3])
    >>> bool(np.isclose(run.predictions[1] / run.predictions[0], (1 - 0.1 * 4.0) ** 3).all())
    True
    """
    steps, rate = whole(steps, "steps"), positive(learning_rate, "learning_rate")
    lam, c = positive(ridge, "ridge", zero=True), positive(loss_scale, "loss_scale")
    if not 0 <= momentum < 1:
        raise ValueError(f"`momentum` must be at least 0 and below 1, got {momentum}.")
    at = [steps] if record is None else sorted({whole(k, "record") for k in record})
    if not at or at[-1] > steps:
        raise ValueError(f"`record` must hold numbers from 0 to `steps`={steps}, got {record}.")
    f = _on(model, tensor_for(model, X, "X"))
    g = f if points is None else _on(model, tensor_for(model, points, "points"))
    t, shape = tensor_for(model, targets, "targets"), f().shape
    t = t[:, None] if t.ndim == 1 else t
    if t.shape not in (shape, shape[-2:]):
        raise ValueError(f"`targets` must have the shape of the outputs, {tuple(shape)}, got {tuple(t.shape)}.")
    theta = list(trained(model).values())
    # a penalty alone looks back, momentum alone remembers: wide networks have no room for copies that nobody reads
    theta_0 = [parameter.detach().clone() for parameter in theta] if lam else theta
    velocity = [torch.zeros_like(parameter) for parameter in theta] if momentum else theta
    losses: list[Tensor] = []
    kept: list[tuple[Array, Array]] = []
    for k in progress_bar(range(steps + 1), progress, "training"):
        f_k = f()
        loss = c / 2 * (f_k - t).square().sum((-2, -1))
        losses.append(loss.detach())
        if k in at or k % CHECK_EVERY == 0 or k == steps:
            rounding = torch.finfo(t.dtype).eps * float(c * t.square().sum())
            _require_descent(losses, rounding, f"{k} steps at `learning_rate`={rate:.3g}", at_end=k == steps)
            del losses[1:]
        if k in at:
            with torch.no_grad():  # one penalty per entry of the loss, which has one per member
                changes = [(a - b).square().flatten(loss.ndim).sum(-1) for a, b in zip(theta, theta_0, strict=True)]
                kept.append((as_array(loss + lam / 2 * sum(changes)), as_array(f_k if points is None else g())))
            if watch is not None:
                watch(k)
        if k < steps:
            gradients = torch.autograd.grad(loss.sum(), theta, materialize_grads=True)
            with torch.no_grad():
                for parameter, start, v, gradient in zip(theta, theta_0, velocity, gradients, strict=True):
                    step = gradient.add(parameter - start, alpha=lam) if lam else gradient  # two gradients may be one tensor
                    if momentum:
                        step = step.add(v.mul_(momentum).add_(step), alpha=momentum)
                    parameter.sub_(step, alpha=rate)
    return Training(np.array(at, dtype=np.int64), *(np.array(column) for column in zip(*kept, strict=True)))


def self_distil(
    model: nn.Module,
    X: ArrayLike | Tensor,
    y: ArrayLike | Tensor,
    *,
    teacher_weights: ArrayLike,
    points: ArrayLike | Tensor | None = None,
    start: str = "same",
    **how: Any,
) -> tuple[Array, Array]:
    r"""Train the teacher on labels, then student after student on the mix of labels and the last one's predictions.

    .. math::
        t_0 = y, \qquad t_s = (1 - w_s)\, y + w_s\, f_{s-1}(X).

    For a wide network around zero (`Centred`) this is `kdtheory.rounds` with its tangent kernel.

    Parameters
    ----------
    model : nn.Module
        Its parameters now are the initialisation; it is not changed. Each member of a stack follows a chain of its own.
    X, y, points : arrays or tensors
        Training points, labels (n,), (n, p) or (E, n, p), and new points to predict (optional).
    teacher_weights : (T,) array
        :math:`w_1 \dots w_T`, any real numbers; empty for the teacher alone.
    start : {"same", "fresh"}
        Every round starts from the initialisation of round 0, or from one of its own (for models with a method `fresh`).
    **how
        `steps`, `learning_rate`, `ridge`, `momentum`, `loss_scale`, `progress` of `train`.

    Returns
    -------
    (T + 1, [E,] n, p) and (T + 1, [E,] m, p) arrays
        Predictions of every round at the training points, and at `points` (left out, the first array again).

    Raises
    ------
    ValueError, ArithmeticError
        As in `train`; also if `start` is unknown, or the model cannot be drawn anew.

    References
    ----------
    Borup & Andersen (2021), arXiv:2102.13088; their weight on the ground truth is 1 - w.

    Examples
    --------
    A teacher weight of zero forgets the teacher, whatever it was:

    >>> from empirical.networks import MLP
    >>> X, y = np.eye(3), [1.0, 2.0, 3.0]
    >>> f, _ = self_distil(MLP(3, width=8, depth=1), X, y, teacher_weights=[0.7, 0.0], steps=20, learning_rate=0.1)
    >>> bool((f[2] == f[0]).all())
    True
    """
    weights = schedule(teacher_weights, "teacher_weights", may_be_empty=True)
    if start not in ("same", "fresh"):
        raise ValueError(f'`start` must be "same" or "fresh", got {start!r}.')
    if start == "fresh" and not hasattr(model, "fresh"):
        raise ValueError(f'`start`="fresh" needs a `model` with a method `fresh`, got {type(model).__name__}.')
    labels = as_array(tensor_for(model, y, "y"))
    labels = labels[:, None] if labels.ndim == 1 else labels
    fitted: list[Array] = []
    new: list[Array] = []
    for s, w in enumerate([0.0, *weights.tolist()]):
        student = copy.deepcopy(model) if start == "same" or s == 0 else model.fresh(s)  # type: ignore[operator]
        targets = labels if s == 0 else (1 - w) * labels + w * fitted[-1]
        fitted.append(train(student, X, targets, **how).predictions[-1])
        if points is not None:
            new.append(predict(student, points))
    return np.array(fitted), np.array(new if points is not None else fitted)


def _on(model: nn.Module, X: Tensor) -> Callable[[], Tensor]:
    """The model on fixed inputs, as a function of its parameters."""
    return model.at(X) if isinstance(model, Centred) else functools.partial(model, X)


def _require_descent(losses: list[Tensor], rounding: float, where: str, *, at_end: bool) -> None:
    """Refuse losses that are not finite, reach twice the first (more than momentum does), or end above it."""
    history = as_array(torch.stack(losses))
    first, highest = history[0], history.max(axis=0)
    grown = ~(highest <= 2 * first + rounding) | (at_end & (history[-1] > first * (1 + 1e-6) + rounding))
    if grown.any():
        rise = f"{first[grown].flat[0]:.3g} to {highest[grown].flat[0]:.3g}"
        raise ArithmeticError(f"The loss rose from {rise} within {where}: take a smaller one, as `stable_step` gives.")
