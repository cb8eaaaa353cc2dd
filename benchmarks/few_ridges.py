"""How many ridges by Cholesky, with all their rounds, cost as much as one eigendecomposition.

``OPENBLAS_NUM_THREADS=1 python benchmarks/few_ridges.py`` prints, for n, outputs and rounds, the number L of ridges at which
`cholesky` (L factorisations, T + 1 solves each, in place) takes the process CPU time of `Spectrum.from_gram` (in place):
medians of interleaved repetitions, from the time of one ridge and of three.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

import kdtheory as kd
from kdtheory.cholesky import cholesky

OUTPUTS, ROUNDS = (1, 10), (0, 5, 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[500, 1000, 2000, 4000], help="training points")
    parser.add_argument("--repetitions", type=int, default=5, help="interleaved repetitions (default: 5)")
    options = parser.parse_args()
    print("     n  eigh [s]  " + "  ".join(f"p={p} T={T}" for p in OUTPUTS for T in ROUNDS))
    for n in options.n:
        rng = np.random.default_rng(0)
        K, y = kd.kernels.rbf(rng.normal(size=(n, 10)), gamma=0.05), rng.normal(size=(n, max(OUTPUTS)))
        cases = [(p, T) for p in OUTPUTS for T in ROUNDS]
        times: dict[object, list[float]] = {}
        for _ in range(options.repetitions):
            timed(times, "eigh", lambda G: kd.Spectrum.from_gram(G, overwrite=True), K)
            for p, T in cases:
                for count in (1, 3):
                    ridges = np.logspace(-2, 0, count)
                    timed(times, (p, T, count), lambda G: cholesky(G, y[:, :p], ridges=ridges, rounds=T, overwrite=True), K)
        cost = {key: statistics.median(seconds) for key, seconds in times.items()}
        counts = []
        for p, T in cases:
            each = (cost[p, T, 3] - cost[p, T, 1]) / 2
            counts.append(1 + (cost["eigh"] - cost[p, T, 1]) / each)
        print(f"{n:6d} {cost['eigh']:9.3f}  " + "  ".join(f"{count:8.1f}" for count in counts), flush=True)


def timed(times, key, function, K):
    G = K.copy()
    start = time.process_time()
    function(G)
    times.setdefault(key, []).append(time.process_time() - start)


if __name__ == "__main__":
    main()
