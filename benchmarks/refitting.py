"""One eigendecomposition against refitting without each point: leave-one-out of a chain, and the weight that it chooses.

``python benchmarks/refitting.py`` prints ratios of process CPU time, medians of interleaved repetitions: `loo` and
`one_shot_weight` with their eigendecomposition against n real refits by Cholesky. (Grids: `grids.py`.)
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg

import kdtheory as kd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=300, help="points (default: 300)")
    parser.add_argument("--repetitions", type=int, default=3, help="interleaved repetitions (default: 3)")
    options = parser.parse_args()
    n, rng = options.n, np.random.default_rng(0)
    X = rng.normal(size=(n, 10))
    small = kd.kernels.rbf(X, gamma=0.05), np.sin(X[:, 0]) + 0.3 * rng.normal(size=n)
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
