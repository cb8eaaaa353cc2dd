"""Sums over rows on disk here, in threads, in processes and on a Dask cluster: seconds, memory, and the same sums.

``python benchmarks/workers.py`` prints, for 200,000 rows and 500 centres, the wall seconds of each way relative to one process
with one BLAS thread (medians of interleaved repetitions; the start of a cluster is counted apart), the peak memory of all
processes together (the idle cluster included), and the largest difference from the sums made here. Set OPENBLAS_NUM_THREADS=1:
threads share the BLAS.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster
from million import rows_on_disk

import kdtheory as kd
from kdtheory.feature_maps import NystromMap
from kdtheory.streaming import accumulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=200_000, help="rows (default: 200,000)")
    parser.add_argument("--centres", type=int, default=500, help="(default: 500)")
    parser.add_argument("--workers", type=int, default=2, help="(default: 2)")
    parser.add_argument("--repetitions", type=int, default=3, help="interleaved repetitions (default: 3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        X, y = rows_on_disk(Path(folder), options.n, 20)
        map = NystromMap.of(partial(kd.kernels.rbf, gamma=0.025), X[: options.centres])
        start = time.perf_counter()
        with (
            LocalCluster(n_workers=options.workers, threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster) as dask,
        ):
            print(f"a Dask cluster of {options.workers} workers starts in {time.perf_counter() - start:.1f} s")
            ways = {
                "here": None,
                f"threads:{options.workers}": f"threads:{options.workers}",
                f"processes:{options.workers}": f"processes:{options.workers}",
                "dask": dask,
            }
            compare(ways, map, X, y, options.repetitions)


def compare(ways, map, X, y, repetitions):
    times, memory, sums = ({name: [] for name in ways} for _ in range(3))
    for _ in range(repetitions):
        for name, scheduler in ways.items():
            with most_memory() as most:
                start = time.perf_counter()
                sums[name] = accumulate(map, X, y, scheduler=scheduler)
                times[name].append(time.perf_counter() - start)
            memory[name].append(most[0])
    base, scale = statistics.median(times["here"]), np.abs(sums["here"].gram).max()
    for name, spent in times.items():
        gap = np.abs(sums[name].gram - sums["here"].gram).max() / scale
        print(
            f"  {statistics.median(spent) / base:5.2f} ({min(spent):.1f} .. {max(spent):.1f} s)  {name:12} "
            f"{max(memory[name]):.2f} GiB in all processes, largest relative difference {gap:.0e}"
        )


@contextmanager
def most_memory():
    """The most that this process and its children have in memory together meanwhile, what they share counted once: GiB."""
    most, ended = [0.0], threading.Event()

    def watch():
        while not ended.wait(0.05):
            most[0] = max(most[0], sum(map(proportional_set, [Path("/proc/self"), *descendants()])) / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def descendants():
    """The folders in /proc of this process's children, and of theirs."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:  # it has ended
            continue
    found = [Path("/proc/self").resolve().name]
    for name in found:
        found += [child for child, parent in parents.items() if parent == name]
    return [Path("/proc") / name for name in found[1:]]


def proportional_set(folder):
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
