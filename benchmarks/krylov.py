"""Block Krylov against one eigendecomposition: cost, rank, and the error estimate beside the true error.

``OPENBLAS_NUM_THREADS=1 python benchmarks/krylov.py --n 4000`` prints, for a Gaussian kernel in 10 dimensions and a Laplace
kernel in 20, one and ten outputs, and ridge / n from 1e-6 to 1e-2: process CPU time over that of `Spectrum.from_gram`; how
many directions were needed; the estimate, and the true error of the fitted values and of new points at round 0 and at round 20
of weight 1 and 0.8, against the eigendecomposition (itself rounded). A refusal is printed as one.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time

import numpy as np

import kdtheory as kd
from kdtheory.kernel_product import kernel_product
from kdtheory.krylov import ConvergenceError, krylov

ROUNDS, NEW = 20, 500
KERNELS = {"rbf, 10 features": (kd.kernels.rbf, 10, 0.05), "laplace, 20 features": (kd.kernels.laplace, 20, 0.1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=4000, help="training points (default: 4000)")
    parser.add_argument("--tolerance", type=float, default=1e-10, help="of the fitted values (default: 1e-10)")
    parser.add_argument("--repetitions", type=int, default=3, help="of the Krylov part (default: 3)")
    parser.add_argument("--matrix-free", action="store_true", help="also with the kernel evaluated in every product")
    options = parser.parse_args()
    n = options.n
    for name, (family, features, gamma) in KERNELS.items():
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n + NEW, features))
        Y = np.sin(X[:n, :10]) + 0.3 * rng.normal(size=(n, 10))
        kernel = functools.partial(family, gamma=gamma)
        (K, built), cross = timed(lambda: kernel(X[:n])), kernel(X[n:], X[:n])
        spectrum, eigh = timed(lambda: kd.Spectrum.from_gram(K))
        print(f"{name}, n = {n}: eigh {eigh:.1f} s, kernel {built / eigh:.3f} of it")
        print("  outputs ridge/n  rank  cost/eigh  estimate | error of the fit: 0, 20, 20 at w = 0.8 | of new points: 0, 20")
        for outputs in (1, 10):
            y = Y[:, :outputs]
            for share in (1e-6, 1e-5, 1e-4, 1e-2):
                how = {"ridges": [share * n], "rounds": ROUNDS, "tolerance": options.tolerance}
                forms = {"": K, " matrix-free": kernel_product(X[:n], kernel)}
                for form in forms if options.matrix_free and share == 1e-4 else [""]:
                    try:
                        runs = [timed(lambda: krylov(forms[form], y, **how)) for _ in range(options.repetitions)]
                    except ConvergenceError as refusal:
                        print(f"  {outputs:7d} {share:7.0e}  refused: {refusal}", flush=True)
                        continue
                    reduced, cost = runs[0][0], statistics.median(seconds for _, seconds in runs)
                    fits = [error(reduced, spectrum, y, share * n, w, K) for w in (1.0, 0.8)]
                    new = error(reduced, spectrum, y, share * n, 1.0, cross)
                    print(
                        f"  {outputs:7d} {share:7.0e} {reduced.rank:5d} {cost / eigh:10.3f} {reduced.error:9.0e} |"
                        f" {fits[0][0]:.0e} {fits[0][-1]:.0e} {fits[1][-1]:.0e} | {new[0]:.0e} {new[-1]:.0e}{form}",
                        flush=True,
                    )


def error(reduced, spectrum, y, ridge, weight, cross):
    """Of every round, relative to the root mean square of the labels, the worst output: (T + 1,)."""
    got = reduced.rounds(cross, ridge=ridge, teacher_weights=[weight] * ROUNDS)
    # the spectrum's own products with z are exact to rounding; fitted values by the multiplier fit
    where = None if len(cross) == spectrum.n else cross
    true = kd.rounds(spectrum, y, ridge=ridge, teacher_weights=[weight] * ROUNDS, cross=where)
    return np.max(np.sqrt(np.mean((got - true) ** 2, axis=1) / np.mean(y**2, axis=0)), axis=1)


def timed(function):
    start = time.process_time()
    value = function()
    return value, time.process_time() - start


if __name__ == "__main__":
    main()
