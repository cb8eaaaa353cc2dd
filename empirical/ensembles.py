r"""One loop for teachers and students: a whole ensemble of networks trains as one batch.

Teacher weights, seeds, kept subsets, label noise: whatever tells the networks of a grid apart, they are members of one stack
and take their steps together, by batched matrix products. Members do not influence each other. Those with the same seed and
the same rows meet the same minibatches (common random numbers), so that what is left between them is what was varied.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirical import extra, progress_bar
from empirical.lessons import Lessons, one_each, seen_rows
from empirical.losses import LOSSES
from empirical.minibatches import Minibatches
from empirical.networks import as_array, members_of, trained
from empirical.recipe import Recipe
from empirical.stability import largest_rate
from empirical.stack import Indices, outputs, put_back, select, stack_size
from kdtheory.checks import Array, whole

with extra():
    import torch
    from torch import Tensor, nn

__all__ = ["Fit", "fit", "outputs", "select"]

CHECK_EVERY = 50  # steps between two looks at the losses; each look waits for the device
EXPLODED = 100  # times the size of the loss on the first minibatch, or of that of saying nothing


@dataclass(frozen=True, eq=False)
class Fit:
    """What `fit` recorded of each member: steps taken, and the mean loss of its last `CHECK_EVERY` minibatches."""

    steps: NDArray[np.int64]
    losses: Array


def fit(
    model: nn.Module,
    X: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    recipe: Recipe,
    teacher: ArrayLike | Tensor | None = None,
    teacher_weights: ArrayLike = 0.0,
    rows: ArrayLike | Sequence[ArrayLike] | None = None,
    seeds: ArrayLike = 0,
    label_of: ArrayLike = 0,
    teacher_of: ArrayLike = 0,
    at: Sequence[int] = (),
    watch: Callable[[int, nn.Module, Indices], None] | None = None,
    on_batch: Callable[[int, Indices, Indices, Tensor], None] | None = None,
    stack: int | None = None,
    progress: bool = False,
) -> Fit:
    r"""Train every network of a stack, in place, each on its own rows, labels, teacher and teacher weight.

    Parameters
    ----------
    model : nn.Module
        A stack of E members, with outputs (E, n, p). It decides device and precision.
    X : (n, ...) array or tensor
        All training points, whoever sees them.
    labels : (n,) or (n, p) array, or (L, n) or (L, n, p) with `label_of`
        Classes as whole numbers for the cross-entropy; coded labels for the squared loss.
    recipe : Recipe
    teacher : (n, p) array, or (T, n, p) with `teacher_of`
        The teacher's outputs at the training points: of the squared loss its predictions, of the cross-entropy its logits.
    teacher_weights : float or (E,) array
        w of each member.
    rows : (m,) indices or mask, or a sequence of E of these
        What each member sees; left out, everything.
    seeds : int or (E,) ints
        Of the minibatches. Members with equal seeds and rows meet equal ones.
    label_of, teacher_of : int or (E,) ints
        Which labels and which teacher each member learns from.
    at, watch
        ``watch(step, part, members)`` is called after each number of steps in `at` (0: before the first) with the members
        that are being trained, as a stack, and their numbers.
    on_batch
        ``on_batch(step, members, index, outputs)`` after each forward pass, with the rows (E', B) and the outputs (E', B, p).
    stack : int, optional
        Members that train together; left out, `stack_size`. Results do not depend on it but for rounding.
    progress : bool
        Show a bar over the steps.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        If shapes or numbers of members disagree, labels are not what the loss needs, or a teacher is weighed and not given.
    ArithmeticError
        If a loss is not finite or explodes: the step size is too large. The largest stable one is named.

    Examples
    --------
    Students of one seed differ by their teacher weight alone; on squared loss the middle one is nearly the mean of the others:

    >>> from empirical.networks import MLP
    >>> rng = np.random.default_rng(0)
    >>> X, y, T = rng.normal(size=(40, 5)), rng.normal(size=(40, 1)), rng.normal(size=(40, 1))
    >>> students = select(MLP(5, width=256, depth=1, members=1), [0, 0, 0])
    >>> done = fit(students, X, y, teacher=T, teacher_weights=[0, 0.5, 1], recipe=Recipe(steps=50, learning_rate=0.05))
    >>> f = outputs(students, X)
    >>> bool(np.linalg.norm(f[1] - (f[0] + f[2]) / 2) < 0.05 * np.linalg.norm(f[1]))
    True
    """
    E = members_of(model)
    if E is None:
        raise ValueError("`model` must be a stack of networks; make one with members=1 for a network alone.")
    where = next(iter(trained(model).values()))
    lessons = Lessons.of(
        model,
        X,
        labels,
        recipe.loss,
        teacher=teacher,
        teacher_weights=teacher_weights,
        label_of=label_of,
        teacher_of=teacher_of,
    )
    sees, seed_of = seen_rows(rows, len(lessons.X), E), one_each(seeds, E, "seeds")
    steps = np.array([recipe.steps_for(len(sees[e])) for e in range(E)])
    recorded = np.full(E, np.nan)
    size = stack_size(where.device) if stack is None else whole(stack, "stack", least=1)
    parts = [part for count in np.unique(steps) for part in _chunks(np.flatnonzero(steps == count), size)]
    bar = iter(progress_bar(range(sum(int(steps[part[0]]) for part in parts)), progress, "training"))
    for part in parts:
        together = select(model, part)
        stream = Minibatches([sees[e] for e in part], seed_of[part], recipe.batch)
        calls = _Calls(set(at), watch, on_batch, lambda: next(bar, None))
        recorded[part] = _train(together, part, lessons, recipe, int(steps[part[0]]), stream, calls)
        put_back(model, together, part)
    next(bar, None)
    model.eval()
    return Fit(steps, recorded)


@dataclass(frozen=True, eq=False)
class _Calls:
    """Who is told of what while a stack trains."""

    at: set[int]
    watch: Callable[[int, nn.Module, Indices], None] | None
    on_batch: Callable[[int, Indices, Indices, Tensor], None] | None
    advance: Callable[[], Any]


def _train(
    model: nn.Module, part: Indices, lessons: Lessons, recipe: Recipe, steps: int, stream: Minibatches, calls: _Calls
) -> Array:
    """Train one stack that fits the device; the mean loss of each member over its last minibatches."""
    theta = list(trained(model).values())
    device, dtype = theta[0].device, theta[0].dtype
    members = torch.as_tensor(part, device=device)
    loss_of, optimiser = LOSSES[recipe.loss], recipe.optimiser_of(theta)
    forward: Any = torch.compile(model) if recipe.compiled else model
    start, scale, sums, mean = copy.deepcopy(model), None, torch.zeros(len(part), device=device), np.zeros(len(part))
    model.train()
    for step in range(steps + 1):
        if step in calls.at and calls.watch is not None:
            calls.watch(step, model, part)
            model.train()
        if step == steps:
            break
        index = stream.next()
        inputs, labels, teacher, weights = lessons.batch(members, torch.as_tensor(index, device=device))
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step, steps)
        with _precision(recipe.precision, inputs):
            f = forward(inputs)
        each = loss_of(f.to(dtype), labels, teacher, weights, recipe.temperature)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(each.sum())
        optimiser.step()
        if calls.on_batch is not None:
            calls.on_batch(step, part, index, f.detach())
        if scale is None:  # a weight above one makes the cross-entropy negative: only its size tells anything
            nothing = loss_of(torch.zeros_like(f, dtype=dtype), labels, None, weights, recipe.temperature)
            scale = as_array(torch.maximum(each.detach().abs(), nothing.abs()))
        sums += each.detach()
        if (step + 1) % CHECK_EVERY == 0 or step == steps - 1:
            mean = as_array(sums) / (step % CHECK_EVERY + 1)
            sums.zero_()
            exploded = np.flatnonzero(~(np.abs(mean) <= EXPLODED * scale))
            if len(exploded):
                raise ArithmeticError(_too_fast(start, lessons, int(exploded[0]), part, step + 1, recipe))
        calls.advance()
    model.eval()
    return mean


def _too_fast(start: nn.Module, lessons: Lessons, e: int, part: Indices, step: int, recipe: Recipe) -> str:
    """What to say of a loss that exploded: the step size and the limit at the start of training."""
    limit = float(largest_rate(select(start, [e]), lessons.X, curvature=1.0 if recipe.loss == "squared" else 0.5)[0])
    slower = ", of plain gradient descent" if recipe.optimiser != "sgd" else ", less with momentum and minibatches"
    return (
        f"The loss of member {part[e]} exploded within {step} steps at `learning_rate`={recipe.learning_rate:.3g}: take a "
        f"smaller one; the limit 2/lambda_max of its tangent kernel at the start is {limit:.3g}{slower}."
    )


def _chunks(members: Indices, size: int) -> Iterator[Indices]:
    """As few stacks of about equal size as hold all members."""
    yield from np.array_split(members, -(-len(members) // size))


def _precision(precision: str, X: Tensor) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 where it is asked for; "auto": images on CUDA."""
    if precision == "bfloat16" or (precision == "auto" and X.device.type == "cuda" and X.ndim > 3):
        return torch.autocast(X.device.type, torch.bfloat16)
    return contextlib.nullcontext()
