"""Gram and cross matrices against what users would otherwise run: scikit-learn, SciPy's cdist, JAX and neural-tangents.

``python benchmarks/kernels.py`` builds the Gaussian, the Laplace (Euclidean distance) and the depth-3 ReLU tangent kernel of
the same points by every contender in one process, on one core and with one BLAS thread (``--threads`` changes both), and
prints medians of interleaved repetitions after one call that compiles: CPU seconds, wall seconds, both as ratios to ours, and
the largest difference from ours in units of the largest entry. ``--new M`` adds cross matrices of M new points.
Peak memory of ours comes from fresh processes, in units of the result. The points are standard normal, scaled so that the
distances are of order one; results go back to NumPy, as float64.
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
from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from kdtheory import kernels

DEPTH, GAMMA = 3, 0.7
KERNELS = {
    "rbf": partial(kernels.rbf, gamma=GAMMA),
    "laplace": partial(kernels.laplace, gamma=GAMMA),
    "ntk": partial(kernels.ntk, depth=DEPTH),
}
Kernel = Callable[..., np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=8000, help="points (default: 8000)")
    parser.add_argument("--features", type=int, default=784, help="features (default: 784)")
    parser.add_argument("--new", type=int, help="new points, for cross matrices as well")
    parser.add_argument("--repetitions", type=int, default=3, help="interleaved repetitions (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="cores and BLAS threads (default: 1)")
    parser.add_argument("--only", nargs="+", choices=KERNELS, default=list(KERNELS), help="kernels (default: all)")
    parser.add_argument("--task", choices=["times", "memory"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task is None:  # threads are set before any library is loaded, memory is that of a fresh process
        again(options, "times", options.only)
        for name in options.only:
            again(options, "memory", [name])
        return
    if hasattr(os, "sched_setaffinity"):  # the pool of XLA is as large as the number of cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    if options.task == "memory":
        memory(options.only[0], options)
        return
    for name in options.only:
        compare(name, options, None)
        if options.new:
            compare(name, options, options.new)


def again(options: argparse.Namespace, task: str, names: list[str]) -> None:
    """Run one task in a new process."""
    counts = {f"{library}_NUM_THREADS": str(options.threads) for library in ("OPENBLAS", "OMP", "MKL")}
    given = {key: value for key, value in vars(options).items() if key not in ("only", "task") and value is not None}
    arguments = [f"--{key}={value}" for key, value in given.items()]
    command = [sys.executable, __file__, *arguments, "--task", task, "--only", *names]
    subprocess.run(command, env={**os.environ, **counts, "OMP_WAIT_POLICY": "PASSIVE"}, check=True)


def points(n: int, features: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, features)) / features**0.5


def contenders(name: str) -> dict[str, Kernel]:
    """Ours first. Each is called with X, or with X_new and X."""
    ours = {"kdtheory": KERNELS[name]}
    if name == "ntk":
        return ours | jax_contenders(name)
    from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

    def scipy_route(X: np.ndarray, Y: np.ndarray | None = None) -> np.ndarray:
        return decay(cdist(X, X if Y is None else Y, "sqeuclidean" if name == "rbf" else "euclidean"))

    sklearn = partial(rbf_kernel, gamma=GAMMA) if name == "rbf" else lambda X, Y=None: decay(euclidean_distances(X, Y))
    return ours | {"scikit-learn": sklearn, "SciPy, cdist": scipy_route} | jax_contenders(name)


def decay(distances: np.ndarray) -> np.ndarray:
    distances *= -GAMMA
    return np.exp(distances, out=distances)


def jax_contenders(name: str) -> dict[str, Kernel]:
    """Compiled and in double precision; without JAX none."""
    try:
        import jax
        import jax.numpy as jnp

        from kdtheory._neural_tangents import neural_tangents
    except ImportError:
        return {}
    if name == "ntk":
        nt = neural_tangents()
        jax.config.update("jax_enable_x64", True)
        layer = nt.stax.Dense(512, W_std=2.0**0.5)
        *_, kernel_fn = nt.stax.serial(*[layer, nt.stax.Relu()] * DEPTH, layer)
        compiled = jax.jit(lambda X, Y: kernel_fn(X, Y, "ntk"))
        return {"neural-tangents": lambda X, Y=None: np.asarray(compiled(X, Y))}
    jax.config.update("jax_enable_x64", True)

    def kernel(X, Y):  # 2 (X Y') and not (2 X) Y', which XLA takes twice as long for
        squared = jnp.maximum((X**2).sum(1)[:, None] + (Y**2).sum(1) - 2 * (X @ Y.T), 0)
        return jnp.exp(-GAMMA * (squared if name == "rbf" else jnp.sqrt(squared)))

    cross, gram = jax.jit(kernel), jax.jit(lambda X: kernel(X, X))
    return {"JAX": lambda X, Y=None: np.asarray(gram(X) if Y is None else cross(X, Y))}


def compare(name: str, options: argparse.Namespace, new: int | None) -> None:
    X = points(options.n, options.features)
    sets = (X,) if new is None else (points(new, options.features, 1), X)
    print(f"{name}, {' x '.join(str(len(each)) for each in (sets[0], sets[-1]))}, {options.features} features:", flush=True)
    functions = contenders(name)
    K = functions["kdtheory"](*sets)
    gaps = {who: float(np.abs(function(*sets) - K).max() / np.abs(K).max()) for who, function in functions.items()}
    K_shape = K.shape
    del K
    times: dict[str, list[tuple[float, float]]] = {who: [] for who in functions}
    for _ in range(options.repetitions):
        for who, function in functions.items():
            np.ones((3, *K_shape))  # written and freed: pages that the system has yet to find are nobody's cost
            times[who].append(timed(function, sets))
    for who, spent in times.items():
        cpu, wall = (statistics.median(each) for each in zip(*spent, strict=True))
        ratios = [statistics.median(a[i] / b[i] for a, b in zip(spent, times["kdtheory"], strict=True)) for i in range(2)]
        print(
            f"  {who:16} CPU {cpu:8.3f} s = {ratios[0]:5.2f}, wall {wall:8.3f} s = {ratios[1]:5.2f}; differs by {gaps[who]:.0e}",
            flush=True,
        )


def timed(function: Kernel, sets: tuple[np.ndarray, ...]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    function(*sets)
    return time.process_time() - cpu, time.perf_counter() - wall


def memory(name: str, options: argparse.Namespace) -> None:
    KERNELS[name](points(200, options.features))
    X = points(options.n, options.features)
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    KERNELS[name](X)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit / (8 * options.n**2)
    print(f"{name}: peak memory of ours {grown:.2f} n x n arrays", flush=True)


if __name__ == "__main__":
    main()
