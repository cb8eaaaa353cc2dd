"""How networks are trained: everything but the data, in one value that can be printed and compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from empirical import extra
from empirical.losses import LOSSES
from kdtheory.checks import positive, whole

with extra():
    import torch

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    r"""Minibatch training with a declared budget.

    Attributes
    ----------
    steps, epochs : int or float
        The budget, one of the two: the same number of steps for every student, or of passes over its own kept rows.
    batch : int
        Rows per step; a student with fewer rows meets some of them more than once in a step.
    learning_rate : float
        :math:`\eta`, of the mean loss over the minibatch; stable below :math:`2/\lambda_{\max}(K/m)`, with K the tangent
        kernel of m rows.
    momentum : float
        :math:`\mu` of Nesterov's method, in [0, 1); SGD only.
    optimiser : {"sgd", "adam"}
    schedule : {"cosine", "constant"}
        Of the learning rate: half a cosine down to zero, or none.
    weight_decay : float
        :math:`\lambda/m` of the ridge of the sum of squares, towards zero.
    loss : {"squared", "cross_entropy"}
        As in `empirical.losses`.
    temperature : float
        Of the cross-entropy's teacher.
    precision : {"float32", "bfloat16", "auto"}
        Of the forward pass; parameters stay as they are. "auto" is bfloat16 on CUDA for images, where it pays.
    compiled : bool
        Through ``torch.compile``: pays from some thousand steps on a GPU; on a CPU the compiler costs more than small
        networks save.

    Raises
    ------
    ValueError
        If a number is out of its range or a name unknown.

    Examples
    --------
    >>> Recipe(epochs=2, batch=32).steps_for(rows=100)
    7
    """

    steps: int | None = None
    epochs: float | None = None
    batch: int = 64
    learning_rate: float = 0.2
    momentum: float = 0.9
    optimiser: str = "sgd"
    schedule: str = "cosine"
    weight_decay: float = 0.0
    loss: str = "squared"
    temperature: float = 4.0
    precision: str = "auto"
    compiled: bool = False

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"`steps` or `epochs` must be given, and not both, got {self.steps} and {self.epochs}.")
        if self.steps is not None:
            whole(self.steps, "steps", least=1)
        else:
            positive(self.epochs, "epochs")
        whole(self.batch, "batch", least=1)
        positive(self.learning_rate, "learning_rate")
        positive(self.weight_decay, "weight_decay", zero=True)
        positive(self.temperature, "temperature")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"`momentum` must be at least 0 and below 1, got {self.momentum}.")
        choices: dict[str, Any] = {
            "optimiser": ("sgd", "adam"),
            "schedule": ("cosine", "constant"),
            "loss": tuple(LOSSES),
            "precision": ("float32", "bfloat16", "auto"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {getattr(self, name)!r}.")

    def steps_for(self, rows: int) -> int:
        """The budget in steps, for a student that sees so many rows."""
        return self.steps if self.steps is not None else math.ceil(float(self.epochs or 0) * rows / self.batch)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step, counted from zero."""
        return self.learning_rate * (0.5 * (1 + math.cos(math.pi * step / steps)) if self.schedule == "cosine" else 1.0)

    def optimiser_of(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """PyTorch's, with these constants."""
        if self.optimiser == "adam":
            return torch.optim.Adam(parameters, self.learning_rate, weight_decay=self.weight_decay)
        nesterov = self.momentum > 0
        return torch.optim.SGD(parameters, self.learning_rate, self.momentum, 0.0, self.weight_decay, nesterov)
