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

import numpy as np

import kdtheory as kd
from empirical import extra
from empirical.experiments.verdicts_evidence import column, contrast, decided, rows_where, values, written
from empirical.experiments.width import Split, kernel_chain, relative
from empirical.networks import MLP, Centred
from empirical.ntk import empirical_ntk, relative_change
from empirical.store import Row
from empirical.training import self_distil, stable_step, train
from empirical.verdict import Verdict
from kdtheory.checks import Array

with extra():
    import torch

__all__ = ["GRID", "QUICK", "Settings", "measure", "units", "verdicts"]

CLOSE, CLOSE_AT = 2e-3, 100.0  # relative error, and the scale at which it is asked for
MOST_KINKS = 30.0  # the scale up to which two kinks or more cross in the recorded networks


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
QUICK = Settings(networks=(("erf", 32, 20, 3), ("relu", 128, 20, 3)), scales=(1.0, 10.0, 100.0), n_new=100, margin=3.0)


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


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Exponents of the error over the scale of the output, each network's own; and what the scale does not do."""
    found = []
    for activation, n in sorted({(row["activation"], row["n"]) for row in rows}):
        here, name = rows_where(rows, activation=activation, n=n), f"{activation}, {n} points"
        last = rows_where(here, round=max(values(here, "round")))
        smooth = activation == "erf"
        below = [row for row in last if smooth or row["scale"] <= MOST_KINKS]
        slopes = contrast([_slopes(below, "error_own")])
        power, near = (-1.0, 0.02) if smooth else (-0.5, 0.1)
        claim = f"{name}: the error beside the own kernel falls as the scale to the power {power:g}, to within {near:g}."
        effect = f"exponent {written(slopes, 3)}" + ("" if smooth else f" up to scale {MOST_KINKS:g}")
        found.append(decided(claim, slopes, power - near, power + near, effect, len(values(last, "seed"))))
        if smooth and CLOSE_AT in values(here, "scale"):
            at = rows_where(here, scale=CLOSE_AT)
            worst = [column(rows_where(at, seed=seed), "error_own").max() for seed in values(at, "seed")]
            claim = f"{name}: at scale {CLOSE_AT:g} every round follows the own kernel's to within {CLOSE:g}."
            effect = f"largest error of a network's rounds {written(contrast([worst]), 5)}, at most {max(worst):.5f}"
            found.append(decided(claim, contrast([worst]), 0.0, CLOSE, effect, len(worst)))
        ends = [
            column(rows_where(last, scale=scale), "error") for scale in (values(last, "scale")[0], values(last, "scale")[-1])
        ]
        same = contrast([ends[1] / ends[0]])
        claim = f"{name}: the scale does nothing for the distance to the infinite width, which changes by less than a tenth."
        effect = f"at the largest scale over the smallest {written(same, 3)}"
        found.append(decided(claim, same, 0.9, 1.1, effect, len(ends[0])))
    return found


def _slopes(rows: list[Row], name: str) -> Array:
    """Least-squares slopes of the logarithm over that of the scale, one per network."""
    x = np.log(np.array(values(rows, "scale")))
    x = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    each = [rows_where(rows, seed=seed) for seed in values(rows, "seed")]
    return np.array([np.log(column(sorted(of, key=lambda row: row["scale"]), name)) @ x for of in each])
