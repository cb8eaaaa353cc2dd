r"""A network whose output is multiplied by a large a follows its own tangent kernel: at an error of 1/a, or 1/√a with kinks.

Trained is :math:`g = a\,(f - f_0)` on the loss over :math:`a^2`. The kernel regression that is solved does not depend on a:

.. math::
    \frac{1}{2a^2} |g - t|^2 + \frac\lambda2 |\theta - \theta_0|^2, \qquad g \approx a J (\theta - \theta_0)
    \quad\Longrightarrow\quad g = K (K + \lambda)^{-1} t, \qquad K = J J^\top,

so the ridge is not scaled. The parameters move by O(1/a), hence the kernel of a smooth network by O(1/a), relatively. A ReLU
network's kernel moves where a kink crosses a point: of order 1/a of its neurons do, each by a jump, and their sum over the
square root of their number is :math:`a^{-1/2}`, until too few cross for a sum. The distance to the kernel of the infinite
width is there before training; the scale does nothing for it.

Networks are distilled from themselves, as in `empirical.experiments.width`, and compared at test points with the chains of
both kernels, in float64: at large a the difference :math:`f - f_0` cancels.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import kdtheory as kd
from empirical import extra
from empirical.experiments.width import Split, kernel_chain, relative
from empirical.networks import MLP, Centred
from empirical.ntk import empirical_ntk, relative_change
from empirical.training import self_distil, stable_step, train

with extra():
    import torch

__all__ = ["GRID", "Settings", "measure", "units"]


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    networks : tuple of (activation, width, training points, number of seeds)
        One hidden layer, weight variance 2, no biases. A seed draws the network; the digits are the same for all.
    scales : tuple of floats
        a.
    n_new, split : int
        Test points of the digits, and the seed that draws them and the training points.
    ridge_per_point : float
        The ridge of the sum of squares over n.
    teacher_weight, rounds : float, int
        Of the chain.
    tolerance, margin : float
        Of `stable_step` at the limit's kernel; training must end well below the smallest error that is measured.
    """

    networks: tuple[tuple[str, int, int, int], ...] = (("erf", 64, 40, 10), ("relu", 256, 40, 10), ("relu", 256, 200, 10))
    scales: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    n_new: int = 300
    split: int = 0
    ridge_per_point: float = 0.01
    teacher_weight: float = 0.7
    rounds: int = 3
    tolerance: float = 1e-8
    margin: float = 1.5


GRID = ("networks", "scales")


def units(settings: Settings) -> list[dict[str, Any]]:
    """One network at one scale a unit."""
    return [
        {"activation": activation, "width": width, "n": n, "seed": seed, "scale": scale}
        for activation, width, n, seeds in settings.networks
        for seed in range(seeds)
        for scale in settings.scales
    ]


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    r"""One network at one scale, round by round.

    Columns: `error_own` is :math:`|g - g_K| / |g_K|` over test points and outputs, with :math:`g_K` the chain of the network's
    own tangent kernel at its initialisation, taken between all pairs of outputs; `error` the same beside the infinite width.
    `kernel_change` is the relative distance, in the Frobenius norm, of the kernel on the training points at the end of round 0
    from its start, `moved` that of the parameters, and `crossings` the number of pairs of a neuron and a training point whose
    preactivation changes its sign in that round.
    """
    split = Split.draw(unit["n"], settings.n_new, settings.split)
    n, p = split.y.shape
    how = {"width": unit["width"], "depth": 1, "activation": unit["activation"], "seed": unit["seed"]}
    net = MLP(64, p, dtype=torch.float64, device=device, **how)
    lam, weights = settings.ridge_per_point * n, [settings.teacher_weight] * settings.rounds
    gram, cross = (
        kd.kernels.ntk(points, split.X, depth=1, activation=unit["activation"]) for points in (split.X, split.X_new)
    )
    wide = kernel_chain(gram, cross, split.y, lam, weights)
    step = stable_step(gram, ridge=lam, tolerance=settings.tolerance, margin=settings.margin)
    training = {**step._asdict(), "ridge": lam, "loss_scale": unit["scale"] ** -2}
    g = Centred(net, scale=unit["scale"])
    teacher = copy.deepcopy(net)
    train(Centred(teacher, scale=unit["scale"]), split.X, split.y, **training)
    K, k, K_end = (
        empirical_ntk(model, points, split.X).swapaxes(1, 2).reshape(-1, n * p)  # outputs beside points
        for model, points in ((net, split.X), (net, split.X_new), (teacher, split.X))
    )
    own = kernel_chain(K, k, split.y.ravel(), lam, weights).reshape(wide.shape)
    _, predicted = self_distil(g, split.X, split.y, teacher_weights=weights, points=split.X_new, **training)
    theta, theta_0 = (torch.cat([W.detach().flatten() for W in model.parameters()]) for model in (teacher, net))
    sides = [model.layers()[0].affine(torch.tensor(split.X, device=device)) > 0 for model in (teacher, net)]
    moved = {
        "kernel_change": relative_change(K_end, K),
        "moved": float((theta - theta_0).norm() / theta_0.norm()),
        "crossings": int((sides[0] != sides[1]).sum()),
    }
    return [
        {"round": t, "error_own": relative(predicted[t], own[t]), "error": relative(predicted[t], wide[t]), **moved}
        for t in range(settings.rounds + 1)
    ]
