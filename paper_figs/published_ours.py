"""Ours beside published numbers that no figure compares: of the same quantity, as a number, or in another setting, in words.

Each is computed, or a mean over recorded rows of `paper_figs/data`. Wrong labels of CIFAR-10N are counted by
``python -m paper_figs.published_ours --labels cifar10n_human_labels.npz --record FILE`` (arrays `clean`, `aggre`, `worst`,
`random1`, `random2`, `random3`, whole numbers, one per image).
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from sklearn.datasets import load_diabetes, load_digits
from sklearn.preprocessing import StandardScaler

import kdtheory as kd
from kdtheory.asymptotics import Population, risk_curve
from kdtheory.selection import crossing
from paper_figs import noise_weight, one_shot_bias
from paper_figs.regression_data import DATA
from paper_figs.toy import Toy

__all__ = ["ELSEWHERE", "SAME", "digits_eigenvalues", "lines", "mean", "values"]

HERE = "python -m paper_figs.published_numbers --paper"
IMAGES = {"digits": "digits", "fashion_mnist": "Fashion-MNIST"}
PEOPLE = ("aggre", "random1", "random2", "random3", "worst")
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)  # of the recorded students


@cache
def lines(name: str) -> tuple[dict[str, str], ...]:
    """Rows of a table in paper_figs/data, as printed."""
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def values(name: str, column: str, **conditions: str | float) -> list[float]:
    """A column of a recorded table, where the others have these values."""

    def fits(text: str, wanted: str | float) -> bool:
        return text == wanted if isinstance(wanted, str) else text != "" and float(text) == wanted

    rows = [row for row in lines(name) if row[column] and all(fits(row[key], wanted) for key, wanted in conditions.items())]
    if not rows:
        raise ValueError(f"`conditions` must fit rows of {name}, got {conditions}.")
    return [float(row[column]) for row in rows]


def mean(name: str, column: str, **conditions: str | float) -> float:
    """The mean of such a column."""
    return float(np.mean(values(name, column, **conditions)))


def _white(gamma: float, signal_square: float = 1.0, noise: float = 1.0) -> Callable[[float], float]:
    """The best weight by the penalty per example; white features, gamma of them per point."""
    n, p = 1000, round(1000 * gamma)  # the limit depends on the ratio alone
    population = Population(np.ones(p), np.full(p, math.sqrt(signal_square / p)), noise)
    return lambda penalty: risk_curve(population, n=n, ridge=n * penalty).optimal_weight


@cache
def _isotropic(gamma: str, signal_square: str, noise: str, at: str) -> float:
    """The penalty where the best weight is zero, or that weight at a multiple of the penalty."""
    weight = _white(float(gamma), float(signal_square), float(noise))
    zero = float(brentq(weight, 1e-3, 1e3, xtol=1e-13))
    return zero if at == "zero" else weight(zero * float(at))


@cache
def _left_of_error(penalty: str) -> str:
    """Distance of the limits of the plain plug-in and of the best weight."""
    ratio = one_shot_bias.FEATURES_PER_POINT
    population = Population(np.ones(round(1000 * ratio)), np.full(round(1000 * ratio), 1 / math.sqrt(1000 * ratio)), 1.0)
    plain = one_shot_bias.plain_limit(population, n=1000, ridge=1000 * float(penalty))
    return f"{abs(plain - _white(ratio)(float(penalty))):.3f}"


def _wrong_labels(kind: str) -> float:
    counts = {"name": "published_numbers_ours.csv", "labels": kind}
    return 100 * mean(column="wrong", **counts) / mean(column="rows", **counts)


def _rounds() -> str:
    toy, weight = Toy(), 0.75
    d = float(toy.spectrum.eigenvalues[0])
    rate = math.log(weight * d / (d + toy.ridge))
    return ", ".join(f"{math.ceil(math.log(near) / rate)} to come within {100 * near:g} %" for near in (0.1, 0.01, 0.001))


@cache
def _noisiest() -> str:
    spectrum = kd.Spectrum.from_features(StandardScaler().fit_transform(load_diabetes().data))
    how: dict[str, Any] = {"noise_variance": 1.0, "error": "parameters"}
    nothing = np.zeros(len(spectrum.eigenvectors))  # labels that are noise alone: the limit of infinite noise
    curves = [kd.weights.expected_curve(spectrum, nothing, ridge=ridge, **how) for ridge in noise_weight.RIDGES]
    return ", ".join(f"{curve.optimal_weight:.3f}" for curve in curves)


@cache
def _factor() -> str:
    d, noise = 16, 1e-3
    spectrum, signal = kd.Spectrum(np.linspace(1.0, 0.5, d), np.eye(d)), np.eye(d)[0]

    def risk(ridge: float) -> float:
        chain = kd.optimal_polynomial(spectrum, signal, noise_variance=noise, ridge=ridge, rounds=1)
        fit = chain.fit(spectrum.eigenvalues)
        return float(np.sum((1 - fit) ** 2 * signal**2 + noise * fit**2))

    best = min(map(risk, np.geomspace(1e-4, 1e3, 141).tolist()))
    return f"{best * (1 + noise) / noise:.1f} at d = {d}"  # d rounds reach the Wiener risk where eigenvalues are distinct


@cache
def _accuracy(data: str, noise: float, share: float) -> dict[float, float]:
    """Percent by teacher weight, cross-entropy, mean over seeds."""
    how: dict[str, Any] = {"data": data, "loss": "cross_entropy", "noise": noise, "keep_fraction": share}
    weights = sorted({float(row["teacher_weight"]) for row in lines("weight_vs_fraction.csv") if row["teacher_weight"]})
    return {w: 100 * mean("weight_vs_fraction.csv", "accuracy", teacher_weight=w, **how) for w in weights}


def _best(data: str, noise: float, share: float) -> str:
    accuracy = _accuracy(data, noise, share)
    return f"{max(accuracy, key=lambda w: accuracy[w]):g}"


def _gap() -> str:
    students = {noise: [_accuracy("fashion_mnist", noise, share) for share in SHARES] for noise in (0.0, 0.4)}
    clean, noisy = (max(abs(a[0.5] - a[1.0]) for a in cells) for cells in students.values())
    return f"{clean:.1f} on clean labels, {noisy:.1f} with 40 % flipped"


def _half(data: str) -> str:
    return f"{max(_accuracy(data, 0.0, 0.5).values()) - _accuracy(data, 0.0, 1.0)[0.0]:+.1f}"


def _kept(data: str, method: str, share: float) -> float:
    how: dict[str, Any] = {"data": data, "noise": 0.0, "method": method, "keep_fraction": share, "teacher_weight": 0.0}
    return 100 * mean("scores.csv", "accuracy", **how)


def _kept_half(data: str) -> str:
    return f"{_kept(data, 'el2n', 0.5) - 100 * mean('scores.csv', 'accuracy', data=data, noise=0.0, method='teacher'):+.1f}"


def _rank_correlation() -> str:
    how: dict[str, Any] = {"data": "digits", "noise": 0.0, "method": "input_norm", "other": "grand_at_init"}
    return f"{mean('scores.csv', 'rank_correlation', **how):.2f}"


def _eigenvalue(number: str) -> str:
    name = ("first", "second", "third")[int(number) - 1]
    return _each(lambda data: f"{mean('principal_components.csv', f'{name}_value', data=data, part='components'):.3g}")


@cache
def digits_eigenvalues(bias_scale: float) -> tuple[float, ...]:
    """The first three of the limit kernel of 512 digits, over their number: those of the figure `jacot_components` at 0.1."""
    X = load_digits().data[:512] / 16
    K = kd.kernels.ntk(X, depth=3, activation="relu", weight_variance=1.0, bias_variance=bias_scale**2)
    return tuple(kd.Spectrum.from_gram(K / len(X)).eigenvalues[:3].tolist())


def _ratio_growth() -> str:
    before, after = map(digits_eigenvalues, (0.1, 1.0))
    return f"{after[0] / after[1] * before[1] / before[0]:.0f}"


def _across(data: str) -> str:
    return f"{max(values('principal_components.csv', 'across', data=data, part='training', width=100.0)):.2f}"


def _grokked() -> str:
    losses = values("grokking.csv", "test", width="500", centred="False", scale=1 / 32, t=20000.0)
    return ", ".join(f"{loss:.1e}" for loss in sorted(losses))


def _each(of: Callable[[str], str]) -> str:
    """A number per set of images."""
    return ", ".join(f"{of(data)} ({name})" for data, name in IMAGES.items())


#: Of the same quantity, by the first word of the key in published_numbers.csv: ours, and the command that computes it.
SAME: dict[str, tuple[Callable[..., float], str]] = {
    "isotropic": (_isotropic, f"{HERE} Dang"),
    "isotropic-limit": (lambda: _white(0.5)(0.2), "python -m paper_figs one_shot_bias"),
    "wei": (_wrong_labels, f"{HERE} Wei"),
}
#: In another setting, in words.
ELSEWHERE: dict[str, tuple[Callable[..., str], str]] = {
    "borup-rounds": (_rounds, "python -m paper_figs limit_distance"),
    "das-theory": (_noisiest, "python -m paper_figs noise_weight"),
    "das-entropy-50": (lambda: _each(lambda data: _best(data, 0.4, 1.0)), f"{HERE} Das"),
    "das-entropy-30": (lambda: _each(lambda data: _best(data, 0.2, 1.0)), f"{HERE} Das"),
    "pareek-factor": (_factor, "python -m paper_figs rounds_gain"),
    "one-shot": (_left_of_error, "python -m paper_figs one_shot_bias"),
    "ben-baruch-gap": (_gap, f"{HERE} Ben-Baruch"),
    "ben-baruch-share": (
        lambda: " and ".join(f"weight {_best('fashion_mnist', 0.0, share)} at {share:g}" for share in (0.1, 1.0)),
        f"{HERE} Ben-Baruch",
    ),
    "ben-baruch-half": (lambda: _each(_half), f"{HERE} Ben-Baruch"),
    "paul-half": (lambda: _each(_kept_half), "python -m paper_figs network_scores"),
    "kirsch-rank": (_rank_correlation, "python -m paper_figs network_scores"),
    "zheng-90": (lambda: f"{_kept('digits', 'forgetting', 0.1):.1f}", "python -m paper_figs network_scores"),
    "zheng-random": (
        lambda: _each(lambda data: f"{_kept(data, 'ccs', 0.1) - _kept(data, 'random', 0.1):+.1f}"),
        "python -m paper_figs network_scores",
    ),
    "ayed-share": (lambda: f"{100 * crossing():.0f} %", "python -m paper_figs hard_or_random"),
    "jacot-value": (_eigenvalue, "python -m paper_figs jacot_components"),
    "jacot-bias": (_ratio_growth, f"{HERE} Jacot"),
    "jacot-across": (lambda: _each(_across), "python -m paper_figs jacot_components"),
    "kumar-test": (_grokked, f"{HERE} Kumar"),
}


def main(arguments: list[str] | None = None) -> None:
    """Count the wrong labels of CIFAR-10N."""
    parser = argparse.ArgumentParser(description="Counts the labels of CIFAR-10N that differ from the true ones.")
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE", help="cifar10n_human_labels.npz")
    parser.add_argument("--record", type=Path, required=True, metavar="FILE", help="CSV file to write")
    options = parser.parse_args(arguments)
    with np.load(options.labels, allow_pickle=False) as labels, options.record.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("labels", "wrong", "rows"))
        writer.writerows((kind, int(np.sum(labels[kind] != labels["clean"])), len(labels["clean"])) for kind in PEOPLE)


if __name__ == "__main__":
    main()
