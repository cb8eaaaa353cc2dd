r"""Repeated self-distillation follows the kernel's path: on labels it can trust it hurts, under noise it helps first.

Each student is trained for the same budget of minibatch steps on :math:`(1-w)` labels + w times its teacher's outputs at all
training rows, and teaches the next. No ridge is set: the budget itself regularises. In the limit of great width such training
is a filter h of the tangent kernel's eigenvalues (`empirical.momentum`), so that round t has the multiplier

.. math::
    m_t = h \cdot \big((1 - w) + w\, m_{t-1}\big), \qquad m_0 = h, \qquad
    w = 1: \; m_t = h^{t+1}, \qquad w < 1: \; m_t \to \frac{(1-w)\,h}{1 - w h} .

At w = 1 every round removes small directions, of which label noise has more than its share; with a weight on labels the chain
comes to a limit. Nothing in the path is fitted to the networks.

Learners: the `kernel`; fully connected networks with squared loss, each round of a new initialisation (`anew`), or all of one
and with the same minibatches (`same`), so that nothing but targets tells rounds apart; `cnn`, small convolutional networks
with cross-entropy and temperature, anew. Labels are flipped in training only; errors are at test points with true labels, and
nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import kdtheory as kd
from empirical import extra
from empirical.data import load
from empirical.experiments.verdicts_rounds import verdicts
from empirical.momentum import Momentum
from empirical.pruned import Family, Labelled, Outputs, distil, drawn
from empirical.recipe import Recipe
from kdtheory.checks import Array

with extra():
    import torch

__all__ = ["GRID", "QUICK", "KernelPath", "Settings", "fingerprints", "measure", "units", "verdicts"]

Chain = tuple[float, int, Any, Any]  # teacher weight, round, predictions (n, p) at training and (m, p) at test points


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    chains : tuple of (data, learner)
        Names that `empirical.data.load` knows, of classes, all but digits from the folder of --data-dir; and "kernel", "anew",
        "same" or "cnn".
    seeds : int
        A seed decides split, label noise, initialisations and minibatches.
    n, n_test : int
        Of each split; a smaller data set is divided in the same proportions.
    noises, teacher_weights : tuples of floats
        Shares of flipped labels, and the weights of the chains.
    rounds : int
        Students after the first network, round 0.
    mlp_width, mlp_depth, mlp_steps, mlp_rate, mlp_batch : numbers
        Squared loss: NTK parameterisation, output minus initial output, SGD with momentum 0.9 and a cosine. The rate is such
        that the kernel's round 0 fits more than half of the label noise: there is something to remove. At 0.1 the budget alone
        removes most of it, and every round hurts, the kernel's too.
    cnn_width, cnn_depth, cnn_steps, cnn_rate, cnn_batch, temperature : numbers
        Cross-entropy: channels of the first of the strided convolutions, Adam with a cosine.
    """

    chains: tuple[tuple[str, str], ...] = (("digits", "kernel"), ("digits", "anew"), ("digits", "same"), ("digits", "cnn"))
    seeds: int = 8
    n: int = 1200
    n_test: int = 2000
    noises: tuple[float, ...] = (0.0, 0.2, 0.4)
    teacher_weights: tuple[float, ...] = (0.5, 0.75, 1.0)
    rounds: int = 5
    mlp_width: int = 128
    mlp_depth: int = 2
    mlp_steps: int = 300
    mlp_rate: float = 0.5
    mlp_batch: int = 64
    cnn_width: int = 8
    cnn_depth: int = 2
    cnn_steps: int = 250
    cnn_rate: float = 4e-3
    cnn_batch: int = 32
    temperature: float = 4.0


GRID = ("chains", "seeds")
QUICK = Settings(seeds=2, n=300, noises=(0.0, 0.4), teacher_weights=(0.5, 1.0), rounds=3, mlp_steps=100, cnn_steps=100)


def fingerprints(settings: Settings) -> dict[str, str]:
    """What the data are known by."""
    return {data: load(data).fingerprint for data in dict.fromkeys(data for data, _ in settings.chains)}


def units(settings: Settings) -> list[dict[str, Any]]:
    """One unit per data set, learner and seed: all label noises, weights and rounds of it."""
    return [
        {"data": data, "learner": learner, "seed": seed} for seed in range(settings.seeds) for data, learner in settings.chains
    ]


def family(settings: Settings, learner: str) -> Family:
    """The architecture and recipe of a learner; the kernel is that of the fully connected network."""
    if learner != "cnn":
        recipe = Recipe(steps=settings.mlp_steps, batch=settings.mlp_batch, learning_rate=settings.mlp_rate)
        return Family("mlp", settings.mlp_width, settings.mlp_depth, recipe)
    adam: dict[str, Any] = {"optimiser": "adam", "loss": "cross_entropy", "temperature": settings.temperature}
    recipe = Recipe(steps=settings.cnn_steps, batch=settings.cnn_batch, learning_rate=settings.cnn_rate, **adam)
    return Family("cnn", settings.cnn_width, settings.cnn_depth, recipe)


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    r"""One split, all chains of a learner, a row per round; round 0 is there once, with teacher weight 0.

    Columns: `error` and `accuracy` on test points against true labels (of probabilities if the loss is cross-entropy); `size`
    is :math:`|f_t|/|f_0|` at the training points; `step` is :math:`|f_t - f_{t-1}|/|f_0|` at the test points; `noise_kept`
    is :math:`\langle f_t, \epsilon\rangle/|\epsilon|^2` with :math:`\epsilon` what of the coded labels seen is orthogonal to
    the true ones. Of the kernel, `dimension` is the sum of its multipliers; of `same` networks, `distance` is
    :math:`|f_t - g_t|/|g_t|` at the test points, beside the kernel's g.
    """
    part = drawn(load(unit["data"]), n=settings.n, n_validation=100, n_test=settings.n_test, seed=unit["seed"])
    how, rows = family(settings, unit["learner"]), []
    path = KernelPath.of(how, part.X, part.X_test) if unit["learner"] in ("kernel", "same") else None
    for noise in settings.noises:
        data = Labelled.flipped(part, rate=noise, seed=unit["seed"])
        kernel = [] if path is None else list(path.chains(settings, data))
        if unit["learner"] == "kernel":
            of_kernel = zip(described(how, data, [chain[:4] for chain in kernel]), kernel, strict=True)
            rows += [{"noise": noise, **row, "dimension": float(m.sum())} for row, (*_, m) in of_kernel]
            continue
        networks = list(network_chains(settings, how, data, unit["seed"], unit["learner"] != "same", device))
        beside = {(w, t): test for w, t, _, test, _ in kernel}
        for row, (w, t, _, test) in zip(described(how, data, networks), networks, strict=True):
            near = {"distance": norm(test - beside[w, t]) / norm(beside[w, t])} if beside else {}
            rows.append({"noise": noise, **row, **near})
    return rows


def network_chains(
    settings: Settings, family: Family, data: Labelled, seed: int, anew: bool, device: torch.device
) -> Iterator[Chain]:
    """Outputs of every network; the chains of all weights go on side by side, students of a round from one initialisation."""
    teacher, rows = None, np.arange(len(data.split.X))
    for t in range(settings.rounds + 1):
        at = settings.teacher_weights if t else (0.0,)
        networks = [seed * (settings.rounds + 1) + t if anew else seed] * len(at)
        how: dict[str, Any] = {"rows": [rows] * len(at), "seeds": networks, "device": device, "train": True}
        students = distil(family, data, teacher, teacher_weights=at, teacher_of=range(len(at)) if t > 1 else 0, **how)
        yield from ((w, t, students.train[i], students.test[i]) for i, w in enumerate(at))
        teacher = students.train


@dataclass(frozen=True, eq=False)
class KernelPath:
    """The same chains of networks of infinite width, by the filter that their training is.

    Attributes
    ----------
    spectrum : kdtheory.Spectrum
        Of the tangent kernel at the n training points.
    basis : (m, n) array
        Kernel of test points with training points, times the eigenvectors.
    filter : Momentum
    """

    spectrum: kd.Spectrum
    basis: Array
    filter: Momentum

    @classmethod
    def of(cls, family: Family, X: Outputs, X_test: Outputs) -> KernelPath:
        """Of a family's limit."""
        points, new = (family.points(part).astype(np.float64) for part in (X, X_test))
        spectrum = kd.Spectrum.from_gram(kd.kernels.ntk(points, depth=family.depth))
        basis = kd.kernels.ntk(new, points, depth=family.depth) @ spectrum.eigenvectors
        return cls(spectrum, basis, Momentum.following(family.recipe, len(X)))

    def chains(self, settings: Settings, data: Labelled) -> Iterator[tuple[float, int, Array, Array, Array]]:
        """As `network_chains`, with the multipliers m."""
        d, z = self.spectrum.eigenvalues, self.spectrum.project(data.coded(data.y).astype(np.float64))
        h, dual = self.filter.fit(d), self.filter.dual(d)
        for i, w in enumerate(settings.teacher_weights):
            target = np.ones_like(d)
            for t in range(settings.rounds + 1):
                m = h * target
                if t > 0 or i == 0:
                    test = self.basis @ ((dual * target)[:, None] * z)
                    yield w if t else 0.0, t, self.spectrum.eigenvectors @ (m[:, None] * z), test, m
                target = (1 - w) + w * m


def described(family: Family, data: Labelled, chains: Sequence[Chain]) -> Iterator[dict[str, Any]]:
    """The columns of all networks of chains with one round 0, which comes first."""
    seen, true = (data.coded(y).astype(np.float64) for y in (data.y, data.split.y))
    noise = seen - np.sum(seen * true) / np.sum(true**2) * true
    tests = {(w, t): family.predictions(test) for w, t, _, test in chains}
    size, size_test = norm(family.predictions(chains[0][2])), norm(tests[0.0, 0])
    for w, t, train, test in chains:
        f = family.predictions(train)
        row: dict[str, Any] = {"teacher_weight": w, "round": t, **data.score(family, test), "size": norm(f) / size}
        if t > 0:
            row["step"] = norm(tests[w, t] - tests[w if t > 1 else 0.0, t - 1]) / size_test
        if (data.y != data.split.y).any():
            row["noise_kept"] = float(np.sum(f * noise) / np.sum(noise**2))
        yield row


def norm(f: Array | Outputs) -> float:
    """Root of the sum of squares."""
    return float(np.linalg.norm(f))
