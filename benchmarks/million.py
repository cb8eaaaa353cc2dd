"""A million rows on disk through a thousand centres: seconds, memory, the whole grid, and how far from exact it is where exact fits.

``python benchmarks/million.py`` writes rows to a temporary folder and prints, for n = 1,000,000 and m = 1,000 by default: CPU
and wall seconds of the fit, the peak memory of the process, the grid of 50 ridges x 21 teacher weights x 20 rounds on 10,000
validation points, the grid by generalised cross-validation on the rows themselves, and the best model against the truth.
Instead of that ``--accuracy`` compares rules of choosing centres, and random features, with the exact solution at n = 4,000,
and ``--falkon`` conjugate gradients with the decomposition.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

import kdtheory as kd
from kdtheory.falkon import falkon
from kdtheory.low_rank import nystrom, random_features

NOISE, RIDGES, WEIGHTS, ROUNDS = 0.5, np.logspace(-9, -1, 50), np.linspace(0, 1, 21), 20
RULES = ("uniform", "leverage", "pivoted", "random pivots", "random features")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=1_000_000, help="rows (default: 1,000,000)")
    parser.add_argument("--features", type=int, default=20, help="columns (default: 20)")
    parser.add_argument("--centres", type=int, default=1000, help="(default: 1000)")
    parser.add_argument("--float32", action="store_true", help="features of a block in float32")
    parser.add_argument("--scheduler", help='"threads:2", "processes:2" or the address of a Dask scheduler')
    parser.add_argument("--folder", type=Path, help="where the rows are written (default: a temporary folder)")
    parser.add_argument("--accuracy", action="store_true", help="errors against the exact solution at n = 4,000")
    parser.add_argument("--falkon", action="store_true", help="one ridge by conjugate gradients against all by decomposition")
    options = parser.parse_args()
    if options.accuracy or options.falkon:
        accuracy() if options.accuracy else by_steps()
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        fit(options, Path(folder))


def truth(X):
    return np.sin(X[:, 0]) + np.cos(X[:, 1]) * X[:, 2] + 0.5 * X[:, 3]


def rows_on_disk(folder, n, features):
    """X and y as .npy files, written by blocks; the process has not held them."""
    rng, paths = np.random.default_rng(0), (folder / "X.npy", folder / "y.npy")
    X, y = (
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=shape)
        for path, shape in zip(paths, [(n, features), (n,)], strict=True)
    )
    for start in range(0, n, 50_000):
        block = rng.normal(size=(min(50_000, n - start), features))
        X[start : start + len(block)] = block
        y[start : start + len(block)] = truth(block) + NOISE * rng.normal(size=len(block))
    del X, y  # the written pages go
    return (np.load(path, mmap_mode="r") for path in paths)


def fit(options, folder):
    X, y = rows_on_disk(folder, options.n, options.features)
    kernel, ridges = partial(kd.kernels.rbf, gamma=0.5 / options.features), options.n * RIDGES
    before, wall, cpu = peak(), time.perf_counter(), time.process_time()
    model = nystrom(
        X,
        y,
        kernel=kernel,
        centres=options.centres,
        dtype=np.float32 if options.float32 else np.float64,
        scheduler=options.scheduler,
        progress=True,
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{model}\n{model.note}")
    print(f"fit: {cpu:.1f} CPU seconds of this process, {wall:.1f} s; peak {peak():.2f} GiB, {before:.2f} GiB before")
    rng = np.random.default_rng(1)
    X_val, X_new = rng.normal(size=(2, 10_000, options.features))
    y_val = truth(X_val) + NOISE * rng.normal(size=len(X_val))
    cpu = time.process_time()
    grid = model.risk_grid(X_val, y_val, ridges=ridges, teacher_weights=WEIGHTS, rounds=ROUNDS)
    print(f"risk_grid: {grid.size:,} models in {time.process_time() - cpu:.2g} CPU seconds; peak {peak():.2f} GiB")
    cpu = time.process_time()
    scores = model.gcv_grid(ridges=ridges, teacher_weights=WEIGHTS, rounds=ROUNDS)
    print(f"gcv_grid: {scores.size:,} models in {time.process_time() - cpu:.2g} CPU seconds; peak {peak():.2f} GiB")
    spread = np.mean((truth(X_new) - truth(X_new).mean()) ** 2)
    for name, values in (("validation", grid), ("GCV", scores)):
        i, j, t = np.unravel_index(values.argmin(), values.shape)
        chain = model.rounds(X_new, ridge=ridges[i], teacher_weights=[WEIGHTS[j]] * t)[-1]
        excess = np.mean((chain - truth(X_new)) ** 2)
        print(
            f"best by {name}: ridge {ridges[i]:.3g}, weight {WEIGHTS[j]:.2f}, round {t}, score {values.min():.5f}; against the truth "
            f"{excess:.2e} = {excess / spread:.1e} of its variance (noise {NOISE**2})"
        )
    ridge = float(ridges[np.unravel_index(grid.argmin(), grid.shape)[0]])
    cpu = time.process_time()
    checked = nystrom(X[:100_000], y[:100_000], kernel=kernel, centres=options.centres, ridge=ridge * min(1, 1e5 / options.n))
    print(f"of the first 100,000 rows, with its error estimated, {time.process_time() - cpu:.1f} CPU seconds:\n{checked.note}")


def accuracy():
    n, shares, counts = 4000, (1e-6, 1e-4, 1e-2), (250, 500, 1000)
    rng = np.random.default_rng(0)
    for features, name in ((5, "rbf"), (20, "rbf"), (5, "laplace")):
        X, X_new = rng.normal(size=(n, features)), rng.normal(size=(1000, features))
        kernel = partial(getattr(kd.kernels, name), gamma=1 / features)
        y = truth(X) + NOISE * rng.normal(size=n)
        s, cross = kd.Spectrum.from_gram(kernel(X)), kernel(X_new, X)
        exact = [s.predict(kd.Ridge(share * n), y, cross) for share in shares]
        print(
            f"\n{name}, {features} features, n = {n}: relative error of predictions at 1,000 new points against the exact ones"
        )
        print(f"{'':16} " + "".join(f"{f'm = {m}':^30}" for m in counts))
        print(f"{'ridge / n':16} " + "".join(f"{share:^10.0e}" for _ in counts for share in shares))
        for rule in RULES:
            cells = []
            for m in counts:
                for share, wanted in zip(shares, exact, strict=True):
                    if rule == "random features":
                        model = random_features(X, y, kernel=name, gamma=1 / features, count=m)
                    else:
                        model = nystrom(X, y, kernel=kernel, centres=m, choose=rule, **leveled(rule, share * n))
                    got = model.predict(kd.Ridge(share * n), X_new)
                    cells.append(f"{np.linalg.norm(got - wanted) / np.linalg.norm(wanted):^10.1e}")
            print(f"{rule:16} " + "".join(cells), flush=True)


def by_steps():
    """Conjugate gradients for one ridge and a chain of three rounds, against the decomposition for all, with as many centres."""
    n, features = 50_000, 10
    rng = np.random.default_rng(0)
    X, X_new = rng.normal(size=(n, features)), rng.normal(size=(1000, features))
    y, kernel = truth(X) + NOISE * rng.normal(size=n), partial(kd.kernels.rbf, gamma=1 / features)
    print(f"n = {n:,}, rbf, {features} features; CPU seconds; `falkon` for one ridge (tolerance 1e-8) and a chain of 3 rounds")
    for m in (500, 1000, 2000, 4000):
        times = [time.process_time()]
        model = nystrom(X, y, kernel=kernel, centres=m)
        times.append(time.process_time())
        for share in (1e-4, 1e-6):
            for weights in ([], [0.5] * 3):
                with warnings.catch_warnings(record=True) as told:
                    warnings.simplefilter("always")
                    steps = falkon(X, y, kernel=kernel, centres=m, ridge=share * n, teacher_weights=weights)
                times.append(time.process_time())
                wanted = model.rounds(X_new, ridge=share * n, teacher_weights=weights)
                gap = np.abs(steps.predict(X_new) - wanted).max() / np.abs(wanted).max()
                print(
                    f"m = {m}, ridge / n = {share:.0e}, {len(weights)} rounds: nystrom {times[1] - times[0]:.1f} s, falkon "
                    f"{times[-1] - times[-2]:.1f} s ({steps.iterations.tolist()} passes), largest difference {gap:.0e}"
                    f"{'; tolerance not reached' if told else ''}",
                    flush=True,
                )


def leveled(rule, ridge):
    return {"ridge": ridge} if rule == "leverage" else {}


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
