r"""The training time that minibatch descent with momentum amounts to, and its filter step by step.

On the mean over n examples of :math:`\tfrac12|f - y|^2`, gradient flow for :math:`\eta` moves the fit by
:math:`-\tfrac{\eta}{n} K (f - y)`: the sum's flow for the time :math:`\eta/n`. With momentum :math:`\mu`, torch's
:math:`v_k = \mu v_{k-1} + g_k,\ \theta_{k+1} = \theta_k - \eta_k v_k`, the gradient of step j moves the parameters
by :math:`\sum_{k\ge j}\eta_k\mu^{k-j}` in all, so that a direction which is hardly learned has seen

.. math::
    t = c\sum_k \eta_k \sum_{j \le k} \mu^{k-j} = c \sum_{k=0}^{K-1} \eta_k\, \frac{1 - \mu^{k+1}}{1 - \mu},

with c = 1/n for that loss: nearly :math:`\sum_k \eta_k / (n(1 - \mu))`. Nesterov's look-ahead,
:math:`\theta_{k+1} = \theta_k - \eta_k (g_k + \mu v_k)`, has :math:`\mu^{k+2}` there. Directions with :math:`td \gg 1` are
learned under any schedule.

Minibatches that are drawn independently leave this true of the mean over their choice, exactly, because a linear model's
gradient is affine in where it is; `Momentum` is that mean, step by step. Minibatches that pass over all rows in turn are near
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, number, positive, schedule
from kdtheory.elementary_filters import nonnegative
from kdtheory.training_filters import loss_scale

if TYPE_CHECKING:
    from empirical.recipe import Recipe

__all__ = ["Momentum", "matched_time"]


def matched_time(
    learning_rates: ArrayLike,
    *,
    n: int,
    momentum: float = 0.0,
    nesterov: bool = False,
    loss: str = "half mean",
    outputs: int = 1,
) -> float:
    r"""Time of `kdtheory.GradientFlow` that gradient descent with these learning rates takes a network through.

    Parameters
    ----------
    learning_rates : (K,) array
        :math:`\eta_k` of every step, zero or positive.
    n : int
        Examples that the loss is a mean over: the rows that the network sees, not the minibatch.
    momentum : float
        :math:`0 \le \mu < 1`, as in ``torch.optim.SGD`` (no dampening).
    nesterov : bool
    loss : str
        One of `kdtheory.training_filters.loss_scale`; "half mean" is the mean over examples of half the squared norm, "mean
        over outputs" is ``MSELoss``.
    outputs : int
        p, for "mean over outputs".

    Returns
    -------
    float
        t on half the sum of squares.

    Raises
    ------
    ValueError
        If a number is out of its range or the loss is unknown.

    Examples
    --------
    The velocity is not there at once: 400 steps of 0.2 with momentum 0.9 are 782, not 800.

    >>> round(matched_time([0.2] * 400, n=1, momentum=0.9))
    782
    """
    rates, mu = _rates(learning_rates, momentum)
    speed = (1 - mu ** (np.arange(1, len(rates) + 1) + nesterov)) / (1 - mu)
    return float(loss_scale(loss, n, outputs) * np.sum(rates * speed))


@dataclass(frozen=True)
class Momentum:
    r"""Gradient descent with momentum from zero, under any schedule of learning rates: the mean over independent minibatches.

    A filter like `kdtheory.GradientDescent`. From residual r = 1 and dual :math:`\alpha = v = 0`, for each step,

    .. math::
        v \leftarrow \mu v + c\,r, \qquad \alpha \leftarrow \alpha + \eta_k u, \qquad r \leftarrow r - \eta_k d\,u,

    with u = v, or :math:`u = c\,r + \mu v` for Nesterov's method.

    Parameters
    ----------
    learning_rates : (K,) array
        :math:`\eta_k`, zero or positive.
    momentum : float
        :math:`0 \le \mu < 1`.
    nesterov : bool
    loss_scale : float
        c of :math:`\tfrac{c}{2}\sum_i (f(x_i) - y_i)^2`, by `kdtheory.training_filters.loss_scale`.

    Raises
    ------
    ValueError
        If a number is out of its range; when evaluated, if the largest step diverges: :math:`\eta c d > 2(1 + \mu)`, for
        Nesterov's method over :math:`1 + 2\mu`.

    References
    ----------
    Polyak (1964), Some methods of speeding up the convergence of iteration methods; Nesterov (1983).

    Examples
    --------
    Small steps are gradient flow for `matched_time`:

    >>> import kdtheory as kd
    >>> rates, d = [1e-3] * 4000, np.array([0.01, 0.1, 1.0])
    >>> flow = kd.GradientFlow(matched_time(rates, n=1, momentum=0.9))
    >>> bool(np.allclose(Momentum(rates, 0.9).fit(d), flow.fit(d), atol=2e-3))
    True
    """

    learning_rates: ArrayLike
    momentum: float = 0.0
    nesterov: bool = False
    loss_scale: float = 1.0

    def __post_init__(self) -> None:
        rates, mu = _rates(self.learning_rates, self.momentum)
        object.__setattr__(self, "learning_rates", tuple(rates.tolist()))
        object.__setattr__(self, "momentum", mu)
        object.__setattr__(self, "loss_scale", positive(self.loss_scale, "loss_scale"))

    @classmethod
    def following(cls, recipe: Recipe, rows: int) -> Momentum:
        """What a recipe does to a network that sees so many rows, in the limit of great width.

        Raises
        ------
        ValueError
            If the recipe is not of plain descent on squared loss: another optimiser or loss, or weight decay.
        """
        if (recipe.optimiser, recipe.loss, recipe.weight_decay) != ("sgd", "squared", 0.0):
            raise ValueError(
                f'`recipe` must be of "sgd" on "squared" loss without weight decay to be a filter, got {recipe.optimiser!r}, '
                f"{recipe.loss!r} and weight decay {recipe.weight_decay:g}."
            )
        steps = recipe.steps_for(rows)
        rates = [recipe.rate(step, steps) for step in range(steps)]
        return cls(rates, recipe.momentum, recipe.momentum > 0, loss_scale("half mean", rows))

    @property
    def time(self) -> float:
        """`matched_time` of these steps."""
        return self.loss_scale * matched_time(self.learning_rates, n=1, momentum=self.momentum, nesterov=self.nesterov)

    def _trained(self, eigenvalues: ArrayLike) -> tuple[Array, Array, Array]:
        """d, dual and residual."""
        d, rates, c, mu = nonnegative(eigenvalues), np.asarray(self.learning_rates), self.loss_scale, self.momentum
        limit = 2 * (1 + mu) / (1 + 2 * mu if self.nesterov else 1)
        if rates.max() * c * d.max() > limit:
            raise ValueError(
                f"`learning_rates` must be at most {limit:.3g} / (loss_scale * largest eigenvalue) = "
                f"{limit / (c * d.max()):.6g} for training that converges, got {rates.max()}."
            )
        r, v, dual = np.ones_like(d), np.zeros_like(d), np.zeros_like(d)
        for rate in rates:
            v = mu * v + c * r
            step = rate * (c * r + mu * v if self.nesterov else v)
            dual, r = dual + step, r - d * step
        return d, dual, r

    def fit(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`d\alpha`."""
        d, dual, _ = self._trained(eigenvalues)
        return np.asarray(d * dual)

    def dual(self, eigenvalues: ArrayLike, /) -> Array:
        r""":math:`\alpha`."""
        return self._trained(eigenvalues)[1]

    def residual(self, eigenvalues: ArrayLike, /) -> Array:
        """r."""
        return self._trained(eigenvalues)[2]


def _rates(learning_rates: ArrayLike, momentum: float) -> tuple[Array, float]:
    rates, mu = schedule(learning_rates, "learning_rates"), number(momentum, "momentum")
    if (rates < 0).any():
        raise ValueError(f"`learning_rates` must be zero or positive, got {float(rates.min())}.")
    if not 0 <= mu < 1:
        raise ValueError(f"`momentum` must be at least 0 and below 1, got {mu}.")
    return rates, mu
