"""One eigendecomposition against refitting: ridge × teacher weight × round on validation data, and leave-one-out of a chain.

``python benchmarks/refitting.py`` prints ratios of process CPU time, medians of interleaved repetitions. What is compared:
`risk_grid` and the Gram's eigendecomposition together, against one scikit-learn ``KernelRidge`` (precomputed kernel) per
model; and `loo` with its eigendecomposition, against n real refits by Cholesky. Every model of the grid is really refitted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg
from sklearn.kernel_ridge import KernelRidge

import kdtheory as kd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=1000, help="training points (default: 1000)")
    parser.add_argument("--outputs", type=int, default=1, help="target columns (default: 1)")
    parser.add_argument("--repetitions", type=int, default=3, help="interleaved repetitions (default: 3)")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(options.n * 5 // 4, 10))
    Y = np.sin(X[:, : options.outputs]) + 0.3 * rng.normal(size=(len(X), options.outputs))
    K = kd.kernels.rbf(X, gamma=0.05)
    data = K[: options.n, : options.n], Y[: options.n], K[options.n :, : options.n], Y[options.n :]
    ridges, weights, rounds = np.logspace(-4, 2, 10), np.linspace(0, 1, 10), 19
    models = len(ridges) * len(weights) * (rounds + 1)
    print(f"n = {options.n}, {options.n // 4} validation points, {options.outputs} outputs; CPU seconds, median (least, most)")
    compare(
        f"risk_grid, {len(ridges)} ridges x {len(weights)} weights x {rounds + 1} rounds = {models} models",
        lambda: ours(*data, ridges, weights, rounds),
        "scikit-learn KernelRidge, one fit per model",
        lambda: refitted(*data, ridges, weights, rounds),
        options.repetitions,
    )
    n = min(options.n, 300)
    small = K[:n, :n], Y[:n]
    compare(
        f"loo of a chain of 10 rounds, n = {n}",
        lambda: kd.loo(kd.Spectrum.from_gram(small[0]), small[1], ridge=0.1, teacher_weights=[0.8] * 10),
        f"{n} refits of the chain",
        lambda: left_out(*small),
        options.repetitions,
    )
    compare(
        f"one_shot_weight, n = {n}",
        lambda: kd.one_shot_weight(kd.Spectrum.from_gram(small[0]), small[1], ridge=0.1),
        f"the same by {n} refits of teacher and student",
        lambda: weight_by_refits(*small),
        options.repetitions,
    )


def ours(K, y, cross, y_val, ridges, weights, rounds):
    return kd.risk_grid(kd.Spectrum.from_gram(K), y, cross, y_val, ridges=ridges, teacher_weights=weights, rounds=rounds)


def refitted(K, y, cross, y_val, ridges, weights, rounds):
    """Every model by scikit-learn: the teacher, then each student on its mixed targets."""
    risks = np.empty((len(ridges), len(weights), rounds + 1))
    for i, ridge in enumerate(ridges):
        for j, weight in enumerate(weights):
            targets = y
            for t in range(rounds + 1):
                model = KernelRidge(alpha=ridge, kernel="precomputed").fit(K, targets)
                risks[i, j, t] = np.mean((model.predict(cross) - y_val) ** 2)
                targets = (1 - weight) * y + weight * model.predict(K)
    return risks


def weight_by_refits(K, y):
    teacher, student = left_out(K, y, weight=1.0, rounds=1)
    return np.sum((y - teacher) * (student - teacher)) / np.sum((student - teacher) ** 2)


def left_out(K, y, weight=0.8, rounds=10):
    predictions = np.empty((rounds + 1, *y.shape))
    for i in range(len(y)):
        kept = np.arange(len(y)) != i
        rest, labels = K[np.ix_(kept, kept)], y[kept]
        factor = scipy.linalg.cho_factor(rest + 0.1 * np.eye(len(rest)))
        targets = labels
        for t in range(rounds + 1):
            coefficients = scipy.linalg.cho_solve(factor, targets)
            predictions[t, i] = K[i, kept] @ coefficients
            targets = (1 - weight) * labels + weight * (rest @ coefficients)
    return predictions


def compare(name: str, run: Callable, other_name: str, other: Callable, repetitions: int) -> None:
    times: dict[str, list[float]] = {name: [], other_name: []}
    results = {}
    for _ in range(repetitions):
        for label, function in ((name, run), (other_name, other)):
            start = time.process_time()
            results[label] = function()
            times[label].append(time.process_time() - start)
    for label, spent in times.items():
        print(f"  {statistics.median(spent):9.3f} s ({min(spent):.3f}, {max(spent):.3f})  {label}")
    gap = np.max(np.abs(results[name] - results[other_name])) / np.max(np.abs(results[other_name]))
    ratio = statistics.median(b / a for a, b in zip(*times.values(), strict=True))
    print(f"  ratio {ratio:.0f}, largest relative difference {gap:.0e}\n", flush=True)


if __name__ == "__main__":
    main()
