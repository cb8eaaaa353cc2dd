"""The eigendecomposition by LAPACK driver, library and number of threads: wall clock, peak memory, orthonormality.

``python benchmarks/eigensolvers.py`` runs each in a process of its own (threads are set before NumPy is loaded; memory is the
process's peak above what it had before the Gram matrix, which counts as one array). Wall clock is the best of ``--repetitions``,
over that of "evr, in place" with one thread; run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

PROGRAMS = (
    "evr, in place",
    "evd, in place",
    "evr",
    "from_gram, overwrite",
    "from_gram",
    "numpy.linalg.eigh",
    "torch.linalg.eigh",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[500, 1000, 2000, 4000], help="points (default: 500 to 4000)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="BLAS threads (default: 1 2)")
    parser.add_argument("--repetitions", type=int, default=3, help="(default: 3)")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        program, n, repetitions = options.run
        print(json.dumps(measured(program, int(n), int(repetitions))))
        return
    print(f"{'wall':>7} {'arrays':>7} {'U^T U - I':>10}")
    for n in options.n:
        base = None
        for threads in options.threads:
            environment = os.environ | {f"{library}_NUM_THREADS": str(threads) for library in ("OPENBLAS", "OMP", "MKL")}
            print(f"n = {n}, {threads} thread(s)")
            for program in PROGRAMS:
                command = [sys.executable, __file__, "--run", program, str(n), str(options.repetitions)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                wall, arrays, gap = json.loads(done.stdout.splitlines()[-1])
                base = base or wall
                print(f"{wall / base:7.2f} {arrays:7.2f} {gap:10.0e}  {program}", flush=True)


def measured(program: str, n: int, repetitions: int) -> tuple[float, float, float]:
    import numpy as np
    import scipy.linalg

    import kdtheory as kd

    if program.startswith("torch"):
        import torch

        torch.zeros(2, 2) @ torch.zeros(2, 2)
    X = np.random.default_rng(0).normal(size=(n, 10))
    kd.Spectrum.from_gram(np.eye(3))
    before, times = peak(), []
    for _ in range(repetitions):
        K = kd.kernels.rbf(X, gamma=0.05)
        start = time.perf_counter()
        if program.startswith("ev"):
            place = {"overwrite_a": "in place" in program, "check_finite": False}
            U = scipy.linalg.eigh(K.T, driver=program[:3], **place)[1]
        elif program.startswith("from_gram"):
            U = kd.Spectrum.from_gram(K, overwrite="overwrite" in program).eigenvectors
        elif program.startswith("numpy"):
            U = np.linalg.eigh(K)[1]
        else:
            U = torch.linalg.eigh(torch.from_numpy(K))[1].numpy()
        times.append(time.perf_counter() - start)
        arrays = (peak() - before) / (8 * n * n)
        if len(times) == repetitions:
            gap = max(float(np.abs(U.T @ U[:, i : i + 200] - np.eye(n)[:, i : i + 200]).max()) for i in range(0, n, 200))
        del K, U
    return min(times), arrays, gap


def peak() -> int:
    """Bytes this process has held at most (not ru_maxrss, which starts at what its parent had)."""
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024


if __name__ == "__main__":
    main()
