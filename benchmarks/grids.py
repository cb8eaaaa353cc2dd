"""A whole grid beside the one eigendecomposition that it needs, and beside what one would otherwise run.

``python benchmarks/grids.py`` prints, for ridge × teacher weight × round grids on n training and n/4 validation points,

- `risk_grid`, `loo_grid` and `gcv_grid` as shares of the Gram matrix's eigendecomposition (SciPy's, in place), and the largest
  difference from evaluating filter by filter (``method="direct"``), relative to the root mean square of the validation values;
- other programs over ours, eigendecomposition included (`peers.py`). Where a program's own grid would take hours, it runs the
  small grid and its cost per model is multiplied: such ratios are marked ~.

Times are interleaved, medians: process CPU seconds with one BLAS thread, wall clock with more (``--threads``, set before NumPy
is imported).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

RIDGES, WEIGHTS, ROUNDS = (-6.0, 2.0), 21, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=2000, help="training points (default: 2000)")
    parser.add_argument(
        "--peers-n", type=int, default=1000, help="training points beside other programs (default: 1000; 0: none)"
    )
    parser.add_argument("--repetitions", type=int, default=5, help="interleaved repetitions (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="BLAS threads (default: 1)")
    parser.add_argument("--accuracy", action="store_true", help="also compare with one filter at a time (a minute)")
    options = parser.parse_args()
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = str(options.threads)
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false" if options.threads == 1 else ""
    options.clock = time.process_time if options.threads == 1 else time.perf_counter
    for outputs in (1, 10):
        shares(options.n, outputs, options)
    if options.peers_n:
        import torch

        torch.set_num_threads(options.threads)
        for outputs in (1, 10):
            peers(options.peers_n, outputs, options)


def problem(n, outputs):
    """Gram and cross matrix of an RBF kernel, noisy labels and values at n // 4 further points."""
    import numpy as np

    import kdtheory as kd

    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + n // 4, 10))
    Y = np.sin(X[:, :outputs]) + 0.3 * rng.normal(size=(len(X), outputs))
    K = kd.kernels.rbf(X, gamma=0.05)
    return K[:n, :n].copy(), Y[:n], K[n:, :n].copy(), Y[n:]


def shares(n, outputs, options) -> None:
    import numpy as np
    import scipy.linalg

    import kdtheory as kd

    K, y, cross, y_val = problem(n, outputs)
    s = kd.Spectrum.from_gram(K)
    grid = {"ridges": np.logspace(*RIDGES, 50), "teacher_weights": np.linspace(0, 1, WEIGHTS), "rounds": ROUNDS}
    dense = {"ridges": np.logspace(*RIDGES, 500), "teacher_weights": np.linspace(0, 1, 41), "rounds": ROUNDS}
    some = {"ridges": grid["ridges"][::5], "teacher_weights": np.linspace(0, 1, 6), "rounds": ROUNDS}
    programs = {
        "eigendecomposition": lambda: scipy.linalg.eigh(K.copy().T, driver="evr", overwrite_a=True, check_finite=False),
        "risk_grid,  50 ridges x 21 weights x 20 rounds": lambda: kd.risk_grid(s, y, cross, y_val, **grid),
        "risk_grid, 500 ridges x 41 weights x 20 rounds": lambda: kd.risk_grid(s, y, cross, y_val, **dense),
        "gcv_grid,   50 ridges x 21 weights x 20 rounds": lambda: kd.gcv_grid(s, y, **grid),
        "loo_grid, per ridge, 6 weights x 20 rounds": lambda: kd.loo_grid(s, y, **some),
        "loo_grid,   50 ridges x 21 weights x 20 rounds": lambda: kd.loo_grid(s, y, **grid),
    }
    times = interleaved(programs, options.repetitions, options.clock)[0]
    print(f"n = {n}, {n // 4} validation points, {outputs} output{'s' * (outputs > 1)}, {options.threads} thread(s)")
    for name, spent in times.items():
        share = statistics.median(spent) / statistics.median(times["eigendecomposition"])
        print(f"  {share / (10 if 'per ridge' in name else 1):8.4f}  {name}")
    if options.accuracy:
        fast, direct = (np.sqrt(kd.risk_grid(s, y, cross, y_val, **some, method=m)) for m in ("auto", "direct"))
        print(
            f"  {np.abs(fast - direct).max() / np.sqrt(np.mean(y_val**2)):8.1e}  largest difference from one filter at a time"
        )
    print(flush=True)


def peers(n, outputs, options) -> None:
    import numpy as np
    import peers as programs

    data = problem(n, outputs)
    small = (np.logspace(-4, 2, 10), np.linspace(0, 1, 5), 9)
    large = (np.logspace(*RIDGES, 50), np.linspace(0, 1, WEIGHTS), ROUNDS)
    models = [len(r) * len(w) * (t + 1) for r, w, t in (small, large)]
    quick = {"ours": programs.ours, "JAX, eigh, vmap and scan (warm)": programs.jax_eigh}
    slow = {"PyTorch, batched Cholesky": programs.torch_cholesky, "JAX, Cholesky, vmap and scan (warm)": programs.jax_cholesky}
    slowest = {"scikit-learn KernelRidge, refitted": programs.scikit_learn, "the authors' procedure": programs.notebook}
    print(f"n = {n}, {n // 4} validation points, {outputs} output{'s' * (outputs > 1)}: times ours")
    for title, grid, run, repetitions in (
        (f"{models[0]} models (10 x 5 x 10)", small, quick | slow, options.repetitions),
        (f"{models[0]} models (10 x 5 x 10)", small, {"ours": programs.ours} | slowest, 1),
        (f"{models[1]} models (50 x 21 x 21)", large, quick, options.repetitions),
        (f"{models[1]} models (50 x 21 x 21)", large, {"ours": programs.ours} | slow, 1),
    ):
        if "the authors' procedure" in run and outputs > 1:
            continue
        for program in run.values():
            if program in (programs.jax_eigh, programs.jax_cholesky):
                program(*data, *grid)  # compiles
        times, results = interleaved(
            {name: lambda f=f: f(*data, *grid) for name, f in run.items()}, repetitions, options.clock
        )
        print(f" {title}; ours {statistics.median(times['ours']):.3f} s")
        for name, spent in times.items():
            if name == "ours":
                continue
            ratio = statistics.median(spent) / statistics.median(times["ours"])
            gap = np.max(np.abs(results[name] - results["ours"])) / np.max(np.abs(results["ours"]))
            print(f"  {ratio:9.1f}  {name} (differs by {gap:.0e})")
            if name in slowest:
                our_large = interleaved({"ours": lambda: programs.ours(*data, *large)}, 3, options.clock)[0]["ours"]
                per_model = statistics.median(spent) / models[0]
                print(f" ~{per_model * models[1] / statistics.median(our_large):9.1f}  the same, {models[1]} models")
    print(flush=True)


def interleaved(programs: dict[str, Callable], repetitions: int, clock: Callable = time.process_time):
    """Seconds of each program, taking turns, after one call that is not counted; and what they return."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    results = {name: run() for name, run in programs.items()} if repetitions > 1 else {}
    for _ in range(repetitions):
        for name, run in programs.items():
            start = clock()
            results[name] = run()
            times[name].append(clock() - start)
    return times, results


if __name__ == "__main__":
    main()
