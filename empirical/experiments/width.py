r"""Wide networks follow the kernel chain of self-distillation, at an error of 1/√width that is nearly all there at the start.

Networks of finite width are distilled from themselves, every student from the same initialisation, and compared at test
points with two predictions: the chain of kernel regressions of the infinite width, and that of the network's own tangent
kernel at its initialisation. The distance of the two is the fluctuation of the kernel; that of the network from the second is
what training moves.

With ReLU the tangent kernel of a finite network is different for every output and couples the outputs, by entries as large as
its other deviations. So its own kernel is taken whole, between all pairs of points and outputs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.linalg

import kdtheory as kd
from empirical import extra
from empirical.experiments.verdicts_evidence import column, contrast, decided, exponent, rows_where, values, written
from empirical.networks import MLP, Centred
from empirical.ntk import empirical_ntk, relative_change
from empirical.store import Row
from empirical.training import Step, self_distil, stable_step, train
from empirical.verdict import Verdict
from kdtheory.checks import Array
from kdtheory.problem import digits

with extra():
    import torch

__all__ = ["GRID", "QUICK", "Limit", "Settings", "Split", "kernel_chain", "measure", "relative", "units", "verdicts"]


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    networks : tuple of (hidden layers, width, number of seeds)
        Not run: two hidden layers beyond width 512, where a step costs the square of the width.
    n, n_new, split : int
        Training and test points of the digits, and the seed that draws them.
    ridge_per_point : float
        The ridge of the sum of squares over n.
    teacher_weights, rounds : tuple of floats, int
        A chain of so many students for each weight; networks are paired across weights.
    tolerance, margin : float
        Of `stable_step` at the limit's kernel; the margin has room for a narrow network's larger kernel.
    bands : tuple of ints
        Edges of ranges of eigen-directions in which the share of the labels that is kept is measured.
    """

    networks: tuple[tuple[int, int, int], ...] = (
        *((1, 64, 10), (1, 128, 10), (1, 256, 10), (1, 512, 10), (1, 1024, 10), (1, 2048, 6), (1, 4096, 6), (1, 8192, 4)),
        *((2, 64, 10), (2, 128, 10), (2, 256, 10), (2, 512, 6)),
    )
    n: int = 200
    n_new: int = 300
    split: int = 0
    ridge_per_point: float = 0.01
    teacher_weights: tuple[float, ...] = (1.0, 0.5)
    rounds: int = 3
    tolerance: float = 1e-5
    margin: float = 1.5
    bands: tuple[int, ...] = (1, 4, 16, 64, 200)


GRID = ("networks",)
QUICK = Settings(networks=((1, 64, 3), (1, 256, 3)), n=60, n_new=100, rounds=2, bands=(1, 4, 16, 60))


@dataclass(frozen=True, eq=False)
class Split:
    """Digits: inputs (n, 64) and (m, 64) on a sphere, training targets (n, 10), test classes (m,)."""

    X: Array
    y: Array
    X_new: Array
    classes_new: Array

    @classmethod
    def draw(cls, n: int, n_new: int, seed: int) -> Split:
        """Images centred by the training mean, then scaled to norm √64; targets one-hot minus 1/10."""
        X, Y = digits()
        order = np.random.default_rng(seed).permutation(len(X))
        train, new = order[:n], order[n : n + n_new]
        X = X - X[train].mean(axis=0)
        X *= np.sqrt(X.shape[1]) / np.linalg.norm(X, axis=1, keepdims=True)
        return cls(X[train], Y[train] - 0.1, X[new], Y[new].argmax(axis=1))

    def accuracy(self, f: Array) -> float:
        """Share of test points whose largest output (m, 10) is that of their class."""
        return float(np.mean(f.argmax(axis=1) == self.classes_new))


@dataclass(frozen=True, eq=False)
class Limit:
    """The infinite width: tangent kernels of one split, and what training on it needs."""

    split: Split
    gram: Array
    cross: Array
    ridge: float

    @classmethod
    def of(cls, split: Split, depth: int, ridge: float) -> Limit:
        """Of ReLU networks without biases."""
        return cls(split, kd.kernels.ntk(split.X, depth=depth), kd.kernels.ntk(split.X_new, split.X, depth=depth), ridge)

    def chain(self, teacher_weights: list[float]) -> Array:
        """Predictions of every round at the test points (T + 1, m, 10)."""
        spectrum = kd.Spectrum.from_gram(self.gram)
        return kd.rounds(spectrum, self.split.y, ridge=self.ridge, teacher_weights=teacher_weights, cross=self.cross)

    def step(self, settings: Any) -> Step:
        """Of Nesterov's method, the same at every width."""
        return stable_step(self.gram, ridge=self.ridge, tolerance=settings.tolerance, margin=settings.margin)


def units(settings: Settings) -> list[dict[str, Any]]:
    """One network a unit, the narrow ones first."""
    return [
        {"depth": depth, "width": width, "seed": seed}
        for depth, width, seeds in sorted(settings.networks, key=lambda network: network[1])
        for seed in range(seeds)
    ]


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    r"""One network: its two chains, round by round.

    Columns: `error` is :math:`|f - f_\infty|/|f_\infty|` over test points and outputs, `fluctuation` the same of the own
    kernel's prediction, `error_own` the network's beside that prediction; `accuracy`, `accuracy_own` of both;
    `kept_j` is :math:`\langle f, y\rangle/|y|^2` within band j of the limit's eigen-directions at the training points.
    Of the kernels on the training points, relative in the Frobenius norm: `kernel_distance` from the limit at initialisation
    (`kernel_distance_mean`: of the mean over outputs), `kernel_change` from there to the end of round 0.
    """
    split = Split.draw(settings.n, settings.n_new, settings.split)
    limit = Limit.of(split, unit["depth"], settings.ridge_per_point * settings.n)
    p = split.y.shape[1]
    net = MLP(64, p, width=unit["width"], depth=unit["depth"], seed=unit["seed"], device=device)
    gram, cross = empirical_ntk(net, split.X), empirical_ntk(net, split.X_new, split.X)
    g, how = Centred(net), {**limit.step(settings)._asdict(), "ridge": limit.ridge}
    teacher = copy.deepcopy(g)
    train(teacher, split.X, split.y, **how)
    of_limit = np.multiply.outer(limit.gram, np.eye(p))
    kernels = {
        "kernel_distance": relative_change(_flat(gram), _flat(of_limit)),
        "kernel_distance_mean": relative_change(np.trace(gram, axis1=2, axis2=3) / p, limit.gram),
        "kernel_change": relative_change(_flat(empirical_ntk(teacher, split.X)), _flat(gram)),
    }
    U = kd.Spectrum.from_gram(limit.gram).eigenvectors
    rows = []
    for w in settings.teacher_weights:
        weights = [w] * settings.rounds
        f_limit = limit.chain(weights)
        f_own = kernel_chain(_flat(gram), _flat(cross), split.y.ravel(), limit.ridge, weights).reshape(f_limit.shape)
        fitted, f = self_distil(g, split.X, split.y, teacher_weights=weights, points=split.X_new, **how)
        for t in range(settings.rounds + 1):
            products = (U.T @ fitted[t]) * (U.T @ split.y), (U.T @ split.y) ** 2
            kept = [products[0][i:j].sum() / products[1][i:j].sum() for i, j in pairwise(settings.bands)]
            rows.append(
                {
                    "teacher_weight": w,
                    "round": t,
                    "error": relative(f[t], f_limit[t]),
                    "fluctuation": relative(f_own[t], f_limit[t]),
                    "error_own": relative(f[t], f_own[t]),
                    "accuracy": split.accuracy(f[t]),
                    "accuracy_own": split.accuracy(f_own[t]),
                    **{f"kept_{j}": float(share) for j, share in enumerate(kept)},
                    **kernels,
                }
            )
    return rows


def kernel_chain(gram: Array, cross: Array, y: Array, ridge: float, teacher_weights: list[float]) -> Array:
    """Predictions of every round at new points (T + 1, m), by one factorisation and a solve a round.

    The same as `kdtheory.rounds`, at a tenth of the cost of an eigenbasis that is used once.
    """
    factor = scipy.linalg.cho_factor(gram + ridge * np.eye(len(gram)))
    targets, predicted = y, []
    for w in [*teacher_weights, 0.0]:
        c = scipy.linalg.cho_solve(factor, targets)
        predicted.append(cross @ c)
        targets = (1 - w) * y + w * (gram @ c)
    return np.array(predicted)


def relative(f: Array, reference: Array) -> float:
    """Distance of predictions over the size of the reference."""
    return float(np.linalg.norm(f - reference) / np.linalg.norm(reference))


def _flat(K: Array) -> Array:
    """(m, n, p, p) with outputs beside points: (m p, n p)."""
    m, n, p, _ = K.shape
    return K.swapaxes(1, 2).reshape(m * p, n * p)


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Exponents over width, how the error goes on from round to round, and what of it is there before training."""
    found = []
    for depth in values(rows, "depth"):
        here, layers = rows_where(rows, depth=depth), f"{depth} hidden layer{'s' * (depth > 1)}"
        first = rows_where(here, round=0, teacher_weight=here[0]["teacher_weight"])
        by_width = {width: rows_where(first, width=width) for width in values(first, "width")}
        seeds = min(map(len, by_width.values()))
        slope = exponent(list(by_width), [column(of, "error") for of in by_width.values()])
        last = {width: column(of, "error").mean() for width, of in by_width.items()}
        claim = (
            f"{layers}: trained networks approach the infinite width's kernel regression as the width to -1/2, within 0.05."
        )
        effect = f"exponent {written(slope, 3)}; error {last[max(last)]:.1%} at width {max(last):,}"
        found.append(decided(claim, slope, -0.55, -0.45, effect, seeds))
        for w in values(here, "teacher_weight"):
            chain = rows_where(here, teacher_weight=w)
            start, end = (column(rows_where(chain, round=t), "error") for t in (0, max(values(chain, "round"))))
            growth = contrast([end / start])
            claim = (
                f"{layers}, teacher weight {w:g}: the error does not accumulate, the last student's is at most the teacher's."
            )
            effect = f"last over first {written(growth, 3)}, at most {np.max(end / start):.3f}"
            found.append(decided(claim, growth, 0.0, 1.0, effect, len(start)))
        there = contrast([column(first, "fluctuation") / column(first, "error")])
        claim = f"{layers}: nine tenths or more of the error are in the network's kernel before it is trained."
        effect = f"error of its kernel's prediction over its own {written(there, 3)}"
        found.append(decided(claim, there, 0.9, 1.1, effect, len(first)))
    return found
