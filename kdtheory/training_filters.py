r"""Filters of training: gradient descent by steps, and students that are trained for a while instead of to a ridge.

`GradientFlow`, the limit of small steps, is stated in `kdtheory.elementary_filters`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, finite, positive, schedule, whole
from kdtheory.elementary_filters import nonnegative
from kdtheory.spectrum import Filter

__all__ = ["DistilledTraining", "GradientDescent", "TrainingLimit", "loss_scale"]


#: Each loss as c/2 times the sum of squares: c before the mean, and whether it is a mean over examples, and over outputs.
LOSSES = {
    "half sum": (1.0, False, False),
    "half mean": (1.0, True, False),
    "sum": (2.0, False, False),
    "mean": (2.0, True, False),
    "mean over outputs": (2.0, True, True),
}


def loss_scale(loss: str, n: int, outputs: int = 1) -> float:
    r"""Factor c that writes a squared loss as :math:`\frac{c}{2}\sum_{i,o} (f_o(x_i) - y_{io})^2`.

    Gradient descent at learning rate :math:`\eta` for k steps then is gradient flow for the time :math:`t = \eta c k`, up to
    the size of its steps.

    Parameters
    ----------
    loss : {"half sum", "half mean", "sum", "mean", "mean over outputs"}
        The sum of squares halved; that over n (Jacot et al.); the sum; the mean over examples of the squared norm; the mean
        over examples and outputs (PyTorch's ``MSELoss``).
    n, outputs : int
        Examples and outputs.

    Raises
    ------
    ValueError
        If the loss is not one of these, or a count is not a whole number from 1.

    Examples
    --------
    >>> [loss_scale(loss, n=100, outputs=10) for loss in ("half sum", "half mean", "mean over outputs")]
    [1.0, 0.01, 0.002]
    """
    if not isinstance(loss, str) or loss not in LOSSES:
        raise ValueError(f"`loss` must be one of {', '.join(LOSSES)}, got {loss!r}.")
    c, over_examples, over_outputs = LOSSES[loss]
    n, outputs = whole(n, "n", least=1), whole(outputs, "outputs", least=1)
    return c / ((n if over_examples else 1) * (outputs if over_outputs else 1))


@dataclass(frozen=True)
class GradientDescent:
    r"""Gradient descent from zero with a constant step, :math:`\mathrm{fit}(d) = 1 - (1 - \eta c d)^k`.

    On the loss :math:`\frac{c}{2}\sum_i (f(x_i) - y_i)^2` a step is :math:`f \leftarrow f - \eta c K(f - y)`. Small steps are
    gradient flow for the time :math:`t = \eta c k`; a step of :math:`\eta c d = 1` learns a direction at once.

    Parameters
    ----------
    learning_rate : float
        :math:`\eta > 0`.
    steps : int
        k, zero or more.
    loss_scale : float
        :math:`c > 0`; the function `loss_scale` gives it for the usual losses.

    Raises
    ------
    ValueError
        If a parameter is out of its range; when evaluated, if the steps diverge (:math:`\eta c d > 2`).

    Examples
    --------
    >>> from kdtheory import GradientFlow
    >>> steps = GradientDescent(learning_rate=1e-6, steps=2_000_000)
    >>> bool(np.allclose(steps.fit([0.1, 1.0]), GradientFlow(2.0).fit([0.1, 1.0]), rtol=1e-5))
    True
    """

    learning_rate: float
    steps: int
    loss_scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rate", positive(self.learning_rate, "learning_rate"))
        object.__setattr__(self, "steps", whole(self.steps, "steps"))
        object.__setattr__(self, "loss_scale", positive(self.loss_scale, "loss_scale"))

    def _moved(self, eigenvalues: ArrayLike) -> tuple[Array, Array]:
        """Eigenvalues d and the share x = eta c d of a direction that one step learns."""
        d = nonnegative(eigenvalues)
        x = self.learning_rate * self.loss_scale * d
        if self.steps and x.max() > 2.0 * (1.0 + 4 * np.finfo(float).eps):
            limit = 2.0 / (self.loss_scale * float(d.max()))
            raise ValueError(
                f"`learning_rate` must be at most 2 / (loss_scale * largest eigenvalue) = {limit:.6g} "
                f"for training that converges, got {self.learning_rate}."
            )
        return d, x

    def fit(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`1 - (1 - \eta c d)^k`."""
        _, x = self._moved(eigenvalues)
        slow = np.minimum(x, 0.5)
        return np.where(x <= 0.5, -np.expm1(self.steps * np.log1p(-slow)), 1.0 - (1.0 - x) ** self.steps)

    def dual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`(1 - (1 - \eta c d)^k)/d`, and :math:`\eta c k` at d = 0."""
        d, _ = self._moved(eigenvalues)
        at_zero = np.full_like(d, self.learning_rate * self.loss_scale * self.steps)
        return np.divide(self.fit(d), d, out=at_zero, where=d > 0)

    def residual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`(1 - \eta c d)^k`."""
        _, x = self._moved(eigenvalues)
        slow = np.minimum(x, 0.5)
        return np.where(x <= 0.5, np.exp(self.steps * np.log1p(-slow)), (1.0 - x) ** self.steps)


@dataclass(frozen=True)
class DistilledTraining:
    r"""Iterated self-distillation by any training: round 0 is trained on labels, round t on the mix with round t - 1.

    With :math:`a = \mathrm{fit}(d)` of one training, teacher weights :math:`w_t` and :math:`b_{-1} = 1`,

    .. math::
        b_t = a\,[(1 - w_t) + w_t\, b_{t-1}], \qquad 1 - b_t = (1 - a) + a\, w_t\,(1 - b_{t-1}).

    Where `student` is a `Ridge`, this is `Distilled`.

    Parameters
    ----------
    student : Filter
        Training of every model: `GradientFlow`, `GradientDescent`, `Ridge`, ...
    teacher_weights : (T,) array
        :math:`w_1 \dots w_T`.

    Raises
    ------
    ValueError
        If `student` is no filter or the weights are not finite numbers.

    References
    ----------
    Borup & Andersen (2021), arXiv:2102.13088, for ridge students.

    Examples
    --------
    Students that stop early forget what their teacher did not learn:

    >>> from kdtheory import GradientFlow
    >>> twice = DistilledTraining(GradientFlow(1.0), [1.0])
    >>> bool(np.allclose(twice.fit([0.1, 3.0]), GradientFlow(1.0).fit([0.1, 3.0]) ** 2))
    True
    """

    student: Filter
    teacher_weights: ArrayLike

    def __post_init__(self) -> None:
        require_filter(self.student, "student")
        weights = schedule(self.teacher_weights, "teacher_weights", may_be_empty=True)
        object.__setattr__(self, "teacher_weights", tuple(weights.tolist()))

    @staticmethod
    def limit(student: Filter, *, teacher_weight: float) -> TrainingLimit:
        r"""Infinitely many rounds of one teacher weight, :math:`b = a(1 - w)/(1 - wa)`, for weights in [-1, 1)."""
        return TrainingLimit(student, teacher_weight)

    def _rounds(self, d: Array) -> Iterator[tuple[Array, Array]]:
        """What rounds -1, 0, ... keep and miss of each direction."""
        a, missed = self.student.fit(d), self.student.residual(d)
        b, r = np.ones_like(d), np.zeros_like(d)
        for w in (1.0, *np.asarray(self.teacher_weights).tolist()):
            yield b, r
            b, r = a * ((1.0 - w) + w * b), missed + a * w * r
        yield b, r

    def fit(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`b_T`."""
        *_, (b, _) = self._rounds(nonnegative(eigenvalues))
        return b

    def dual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`b_T / d`."""
        d = nonnegative(eigenvalues)
        *_, (b, _), _ = self._rounds(d)
        w = float((1.0, *np.asarray(self.teacher_weights).tolist())[-1])
        return np.asarray(self.student.dual(d) * ((1.0 - w) + w * b))

    def residual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`1 - b_T`."""
        *_, (_, r) = self._rounds(nonnegative(eigenvalues))
        return r


@dataclass(frozen=True)
class TrainingLimit:
    r"""Infinitely many rounds of distillation by one training and one teacher weight, :math:`b = a(1 - w)/(1 - wa)`.

    A ridge student gives kernel ridge regression at ridge/(1 - w). Gradient flow for a time t does not give gradient flow
    for another time: small eigenvalues see the time (1 - w)t, large ones are damped to :math:`1 - e^{-td}/(1 - w)`.

    Parameters
    ----------
    student : Filter
    teacher_weight : float
        In [-1, 1).

    Raises
    ------
    ValueError
        If `student` is no filter or the weight is outside [-1, 1), where rounds converge for no or for some spectra only;
        when evaluated, if the student overshoots (:math:`|wa| > 1`) and rounds diverge.

    Examples
    --------
    >>> from kdtheory import Ridge
    >>> float(TrainingLimit(Ridge(0.2), 0.75).fit(1.0)) == float(Ridge(0.8).fit(1.0))
    True
    """

    student: Filter
    teacher_weight: float

    def __post_init__(self) -> None:
        require_filter(self.student, "student")
        object.__setattr__(self, "teacher_weight", finite(self.teacher_weight, "teacher_weight"))
        if not -1.0 <= self.teacher_weight < 1.0:
            raise ValueError(f"`teacher_weight` must lie in [-1, 1) for rounds that converge, got {self.teacher_weight}.")

    def _over(self, eigenvalues: ArrayLike, part: Array) -> Array:
        """A part over 1 - w a, which is (1 - a) + (1 - w) a."""
        left, a = 1.0 - self.teacher_weight, self.student.fit(eigenvalues)
        if np.abs(self.teacher_weight * a).max() > 1.0 + 1e-12:
            raise ValueError(
                f"`teacher_weight` must be below 1 / {np.abs(a).max():.6g} in size for rounds that converge with this "
                f"student, got {self.teacher_weight}."
            )
        return np.asarray(part / (self.student.residual(eigenvalues) + left * a))

    def fit(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`a(1 - w)/(1 - wa)`."""
        return self._over(eigenvalues, (1.0 - self.teacher_weight) * self.student.fit(eigenvalues))

    def dual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`(1 - w)/(1 - wa)` times the student's own."""
        return self._over(eigenvalues, (1.0 - self.teacher_weight) * self.student.dual(eigenvalues))

    def residual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`(1 - a)/(1 - wa)`."""
        return self._over(eigenvalues, self.student.residual(eigenvalues))


def require_filter(value: object, name: str) -> None:
    """Refuse a number where a filter is wanted."""
    if isinstance(value, type) or not all(callable(getattr(value, part, None)) for part in ("fit", "dual", "residual")):
        raise ValueError(f"`{name}` must be a filter such as GradientFlow(time), got {value!r}.")
