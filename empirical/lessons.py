"""What the members of a stack learn: inputs, labels, teachers, and who learns from which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirical import extra
from empirical.networks import members_of, tensor_for
from kdtheory.checks import finite_array, numeric
from kdtheory.kept import Rows, rows_kept

with extra():
    import torch
    from torch import Tensor, nn

__all__ = ["Lessons", "one_each", "seen_rows"]


@dataclass(frozen=True, eq=False)
class Lessons:
    """What the members of a stack learn, on their device; made by `fit`.

    `labels` (L, n[, p]) and `teacher` (T, n, p) or None are shared; `label_of`, `teacher_of` (E,) tell who learns which.
    """

    X: Tensor
    labels: Tensor
    teacher: Tensor | None
    teacher_weights: Tensor
    label_of: Tensor
    teacher_of: Tensor

    def batch(self, members: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Inputs (E', B, ...), labels, teacher's outputs and weights of some members at rows (E', B) of each."""
        # rows first: convolutions take them so, without another copy
        inputs = self.X[index.T].transpose(0, 1)
        teacher = None if self.teacher is None else self.teacher[self.teacher_of[members, None], index]
        return inputs, self.labels[self.label_of[members, None], index], teacher, self.teacher_weights[members]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        X: Any,
        labels: Any,
        loss: str,
        *,
        teacher: Any = None,
        teacher_weights: Any = 0.0,
        label_of: Any = 0,
        teacher_of: Any = 0,
    ) -> Lessons:
        """Everything checked as `fit` says, and on the model's device."""
        E = members_of(model) or 1
        points = tensor_for(model, X, "X")
        with torch.no_grad():
            model.eval()
            p = model(points[:1]).shape[-1]
        n = len(points)
        if loss == "squared":
            y = tensor_for(model, labels, "labels")
            y = y[:, None] if y.ndim == 1 else y
            y = y if y.ndim == 3 else y[None]
            if y.shape[1:] != (n, p):
                raise ValueError(
                    f"`labels` must have shape ({n}, {p}) or (L, {n}, {p}) like the outputs, got {tuple(y.shape)}."
                )
        else:
            whole_numbers = numeric(labels.cpu() if isinstance(labels, Tensor) else labels, "labels")
            if whole_numbers.dtype.kind not in "iu" or whole_numbers.shape[-1:] != (n,) or whole_numbers.ndim > 2:
                raise ValueError(
                    f"`labels` must hold the class of each of the {n} points as a whole number for the cross-entropy, got "
                    f"shape {whole_numbers.shape} and dtype {whole_numbers.dtype}."
                )
            if whole_numbers.min() < 0 or whole_numbers.max() >= p:
                raise ValueError(f"`labels` must hold classes from 0 to {p - 1}, got {whole_numbers.max()}.")
            y = torch.as_tensor(np.atleast_2d(whole_numbers).astype(np.int64), device=points.device)
        w = finite_array(teacher_weights, "teacher_weights")
        if w.shape not in ((), (E,)):
            raise ValueError(f"`teacher_weights` must be one number or one per member, ({E},), got shape {w.shape}.")
        T = None if teacher is None else tensor_for(model, teacher, "teacher")
        if T is not None:
            T = T[:, None] if T.ndim == 1 else T
            T = T if T.ndim == 3 else T[None]
            if T.shape[1:] != (n, p):
                raise ValueError(
                    f"`teacher` must have shape ({n}, {p}) or (T, {n}, {p}), as many outputs as the student, got "
                    f"{tuple(T.shape)}."
                )
        elif w.any():
            raise ValueError("`teacher` must be given where `teacher_weights` are not zero.")
        weights = torch.as_tensor(np.broadcast_to(w, (E,)).copy(), device=points.device, dtype=points.dtype)
        of = [
            torch.as_tensor(one_each(value, E, name, below=count), device=points.device)
            for value, name, count in ((label_of, "label_of", len(y)), (teacher_of, "teacher_of", 1 if T is None else len(T)))
        ]
        return cls(points, y, T, weights, of[0], of[1])


def one_each(value: ArrayLike, E: int, name: str, below: int | None = None) -> NDArray[np.int64]:
    """A whole number for each member."""
    numbers = numeric(value, name)
    if numbers.dtype.kind not in "iu" or numbers.shape not in ((), (E,)) or (numbers < 0).any():
        raise ValueError(f"`{name}` must be a whole number or {E} of them, one per member, got {value!r}.")
    if below is not None and numbers.max() >= below:
        raise ValueError(f"`{name}` must be below {below}, of which there are so many, got {numbers.max()}.")
    return np.broadcast_to(numbers, (E,)).astype(np.int64)


def seen_rows(rows: Any, n: int, E: int) -> list[Rows]:
    """What each member sees, as indices."""
    if rows is None:
        return [np.arange(n)] * E
    if len(rows) and np.ndim(rows[0]) == 1:
        if len(rows) != E:
            raise ValueError(f"`rows` must be one set of indices or {E}, one per member, got {len(rows)}.")
        return [rows_kept(each, n, "rows") for each in rows]
    return [rows_kept(rows, n, "rows")] * E
