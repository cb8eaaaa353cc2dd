"""The NTK of a fully connected ReLU network: our closed form against neural-tangents, in time and memory.

``python benchmarks/wide_networks.py`` prints seconds and ratios: medians of interleaved repetitions in one process, per
number of threads; that number is given to both, by processor affinity (which XLA's pool follows) and to OpenBLAS by name.
First calls, in which JAX compiles, come before and are printed apart. Compared are `kernels.ntk`, neural-tangents jitted on
the whole matrix, neural-tangents by its own ``batch`` around the jitted function, and `infinite.gram`; depth 3, 784
features, float64. ``--large`` adds 5,000 and 8,000 points, ``--memory`` the growth of resident memory in a fresh process, in
n x n matrices.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import numpy as np

from kdtheory import architectures, infinite, kernels

FEATURES, DEPTH, BATCH = 784, 3, 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, nargs="+", default=[500, 2000], help="points (default: 500 2000)")
    parser.add_argument("--large", action="store_true", help="5000 and 8000 points as well")
    parser.add_argument("--memory", type=int, nargs="?", const=8000, help="peak memory at this many points (8000)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads for both (default: 1, then 2)")
    parser.add_argument("--repetitions", type=int, default=7, help="interleaved repetitions (default: 7)")
    parser.add_argument("--only", nargs=2, metavar=("TASK", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        child(*options.only, options)
        return
    sizes = [*options.n, *([5000, 8000] if options.large else [])]
    for threads in options.threads:
        again("time", "all", threads, ["--n", *map(str, sizes), "--repetitions", str(options.repetitions)])
    if options.memory:
        print(f"n = {options.memory}, 1 thread: growth of peak resident memory, in n x n matrices of float64", flush=True)
        for name in contestants():
            again("memory", name, 1, ["--memory", str(options.memory)])


def again(task: str, name: str, threads: int, arguments: list[str]) -> None:
    """Run this file in a new process, in which the number of threads is set before any library is loaded."""
    counts = {f"{library}_NUM_THREADS": str(threads) for library in ("OPENBLAS", "OMP", "MKL")}
    command = [sys.executable, __file__, *arguments, "--threads", str(threads), "--only", task, name]
    subprocess.run(command, env={**os.environ, **counts, "OMP_WAIT_POLICY": "PASSIVE"}, check=True)


def child(task: str, name: str, options: argparse.Namespace) -> None:
    threads = options.threads[0]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    run = prepare()
    if task == "memory":
        memory(name, run[name], options.memory)
        return
    for n in options.n:
        compare(n, threads, run, options.repetitions)


def contestants() -> list[str]:
    return ["kernels.ntk", "neural-tangents, whole", f"neural-tangents, batch {BATCH}", "infinite.gram"]


def prepare() -> dict[str, Callable]:
    nt = infinite.neural_tangents()
    jax.config.update("jax_enable_x64", True)
    network = architectures.fully_connected(DEPTH)
    whole = jax.jit(network.kernel_fn, static_argnames="get")
    batched = nt.batch(whole, batch_size=BATCH, device_count=0, store_on_device=False)
    functions = [
        lambda X: kernels.ntk(X, depth=DEPTH),
        lambda X: np.asarray(whole(X, None, get="ntk")),
        lambda X: np.asarray(batched(X, None, get="ntk")),
        lambda X: infinite.gram(network, X, progress=False),
    ]
    return dict(zip(contestants(), functions, strict=True))


def points(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, FEATURES))


def memory(name: str, function: Callable, n: int) -> None:
    function(points(BATCH))
    X = points(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    function(X)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    print(f"  {grown / (8 * n * n):5.2f}  {name}", flush=True)


def compare(n: int, threads: int, functions: dict[str, Callable], repetitions: int) -> None:
    X = points(n)
    print(f"n = {n}, {threads} thread{'s' if threads > 1 else ''}; seconds: median (least), CPU seconds, first call")
    first = {name: timed(function, X)[0] for name, function in functions.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            times[name].append(timed(function, X))
    ours, *_ = times.values()
    K = functions["kernels.ntk"](X)
    for name, spent in times.items():
        wall, cpu = zip(*spent, strict=True)
        ratio = statistics.median(b[0] / a[0] for a, b in zip(ours, spent, strict=True))
        gap = np.abs(functions[name](X) / K - 1)
        diagonal = gap.diagonal().max()
        np.fill_diagonal(gap, 0)
        differ = f"differs by {gap.max():.0e}, on the diagonal by {diagonal:.0e}"
        print(
            f"  {statistics.median(wall):8.3f} ({min(wall):.3f}) {statistics.median(cpu):8.3f} {first[name]:8.3f}  {name}: "
            f"{ratio:.2f} times the closed form; {differ}",
            flush=True,
        )


def timed(function: Callable, X: np.ndarray) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    function(X)
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
