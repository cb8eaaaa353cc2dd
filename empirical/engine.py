"""Carrying units out: here, in processes of this machine, or on a Dask cluster; what comes back is the same.

A worker is an executor of `concurrent.futures`, the one interface that both engines have: on this machine joblib's loky, which
never forks and so is safe after PyTorch and JAX were loaded; elsewhere the client of a Dask cluster. Only the process that
asks writes the store, so a worker may be anywhere and may die. (`joblib.Parallel` would be shorter, but in joblib 1.6 a
worker that dies takes all units in flight with it, and on Dask the call then never returns.)
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import resource_tracker
from types import ModuleType
from typing import Any, NamedTuple

from empirical import extra
from empirical.revision import revision_of
from empirical.store import Row

__all__ = ["BACKENDS", "OWN_FATE", "Engine", "Failure", "Job", "Measured", "WorkerDiedError", "device_name"]

BACKENDS = ("processes", "dask")
DATA = "KDTHEORY_DATA"
TRIES = 3  #: of a unit whose worker died
PATIENCE = 60.0  #: seconds to wait for a cluster

Unit = dict[str, Any]


class Measured(NamedTuple):
    """The rows of a unit, the seconds they took and the name of the device."""

    rows: list[Row]
    seconds: float
    device: str


class Failure(NamedTuple):
    """What stopped a unit: the error, and as text where it was raised, if that was in another process."""

    error: Exception
    trace: str = ""


class WorkerDiedError(OSError):
    """The processes that measured a unit ended, each time."""


#: Errors that say nothing about the other units: a learning rate that diverges, a network too large.
OWN_FATE = (ArithmeticError, MemoryError, WorkerDiedError)


class Job(NamedTuple):
    """What the units of a grid have in common: the module's name, the code's revision, the settings."""

    module: str
    revision: str
    settings: Any


#: Numbered units in; each number with what came of it out, in the order in which they end.
CarryOut = Callable[[Iterator[tuple[int, Unit]]], Iterator[tuple[int, Measured | Failure]]]


@dataclass(frozen=True)
class Engine:
    """Where units are measured.

    Attributes
    ----------
    workers : int
        Processes on this machine (1: this process itself), or units at once on a cluster (0: as many as it has threads).
    backend : str
        One of `BACKENDS`.
    scheduler : str, optional
        Address of a Dask scheduler, such as "tcp://host:8786".
    device : str
        For PyTorch.
    threads : int
        Of PyTorch in each worker; of the other linear algebra too in processes that are started here.
    """

    workers: int = 1
    backend: str = "processes"
    scheduler: str | None = None
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(f"`--backend` must be one of {', '.join(BACKENDS)}, got {self.backend!r}.")
        if (self.backend == "dask") != bool(self.scheduler):
            raise ValueError("`--scheduler` must be given with `--backend dask` and only with it.")
        for name, least in (("workers", 0 if self.backend == "dask" else 1), ("threads", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"`--{name}` must be a whole number of at least {least}, got {getattr(self, name)}.")

    @contextmanager
    def start(self, module: ModuleType, job: Job) -> Iterator[tuple[int, CarryOut]]:
        """How many units are measured at once, and what measures them; what is under way at the end is given up.

        Raises
        ------
        OSError
            If no Dask scheduler answers at the address, or it has no workers.
        ImportError
            If joblib or Dask is needed and not installed.
        """
        if self.backend == "processes" and self.workers == 1:
            yield 1, lambda units: ((number, _here(module, job.settings, unit, self.device)) for number, unit in units)
            return
        measure = partial(_there, job, self.device, self.threads, os.environ.get(DATA))
        crew = _cluster(str(self.scheduler)) if self.backend == "dask" else _processes(self.threads)
        with crew as (places, make):
            at_once = partial(int, self.workers) if self.workers else places
            idle: list[Executor] = []
            yield at_once(), lambda units: _shared_out(units, measure, at_once, make, idle)


def device_name(device: str) -> str:
    """The GPU's name, or CPU."""
    if not device.startswith("cuda"):
        return device.upper()
    with extra():
        import torch  # noqa: PLC0415
    return torch.cuda.get_device_name(device)


def _here(module: ModuleType, settings: Any, unit: Unit, device: str) -> Measured | Failure:
    with extra():
        import torch  # noqa: PLC0415
    started = time.perf_counter()
    try:
        rows = [{**unit, **row} for row in module.measure(settings, unit, torch.device(device))]
    except torch.OutOfMemoryError as error:
        return Failure(MemoryError(f"{device_name(device)} has too little memory ({error})"))
    except Exception as error:  # the caller says which unit it was, and goes on or stops
        return Failure(error)
    return Measured(rows, time.perf_counter() - started, device_name(device))


@cache
def _loaded(name: str) -> tuple[ModuleType, str]:
    """A worker's module with its revision when it was loaded: what is on disk later is not what runs."""
    module = importlib.import_module(name)
    return module, revision_of(module)


def _there(job: Job, device: str, threads: int, data: str | None, unit: Unit) -> Measured | Failure:
    """In a worker. Nothing is raised: an error that cannot be sent back would end the worker."""
    try:
        with extra():
            import torch  # noqa: PLC0415
        torch.set_num_threads(threads)
        if data is not None:
            os.environ[DATA] = data
        module, revision = _loaded(job.module)
        if revision != job.revision:
            what = f"it has loaded {revision}; was a file changed? Start the workers anew."
            raise ValueError(f"a worker must have the code of revision {job.revision}, {what}")
        result = _here(module, job.settings, unit, device)
    except Exception as error:
        result = Failure(error)
    if isinstance(result, Measured):
        return result
    trace = "".join(traceback.format_exception(result.error))
    try:
        pickle.loads(pickle.dumps(result.error))
    except Exception:
        return Failure(RuntimeError(f"{type(result.error).__name__}: {result.error}"), trace)
    return Failure(result.error, trace)


def _shared_out(
    units: Iterator[tuple[int, Unit]],
    measure: Callable[[Unit], Measured | Failure],
    at_once: Callable[[], int],
    make: Callable[[], Executor],
    idle: list[Executor],
) -> Iterator[tuple[int, Measured | Failure]]:
    """One unit an executor; a unit is taken only when there is one for it. `idle` are those made before."""
    under_way: dict[Future[Measured | Failure], tuple[int, Unit, Executor]] = {}
    again: list[tuple[int, Unit]] = []
    deaths: Counter[int] = Counter()
    while True:
        places = at_once()  # workers may join while the grid is under way
        while len(under_way) < places and (task := again.pop() if again else next(units, None)) is not None:
            future, executor = _submitted(measure, task[1], make, idle)
            under_way[future] = (*task, executor)
        if not under_way:
            return
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            number, unit, executor = under_way.pop(future)
            try:
                result = future.result()
            except BrokenExecutor:
                deaths[number] += 1
                if deaths[number] < TRIES:
                    again.append((number, unit))
                    continue
                result = Failure(WorkerDiedError(f"its worker died, {TRIES} times; is there memory enough?"))
            except CancelledError as error:
                raise OSError("`--scheduler` is gone; what is finished is kept.") from error
            except Exception as error:  # what Dask says of a unit whose workers died, or cannot send
                died = type(error).__name__ == "KilledWorker"
                result = Failure(WorkerDiedError("its workers died; is there memory enough?") if died else error)
            idle.append(executor)
            yield number, result


def _submitted(
    measure: Callable[[Unit], Measured | Failure], unit: Unit, make: Callable[[], Executor], idle: list[Executor]
) -> tuple[Future[Measured | Failure], Executor]:
    while idle:
        executor = idle.pop()
        with suppress(BrokenExecutor):  # its process died while it had nothing to do
            return executor.submit(measure, unit), executor
    with _deaf():
        executor = make()
        return executor.submit(measure, unit), executor


@contextmanager
def _processes(threads: int) -> Iterator[tuple[Callable[[], int], Callable[[], Executor]]]:
    """Executors of one process each, which end with the body."""
    with extra():
        from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415
        from joblib.externals.loky.backend.resource_tracker import ensure_running  # noqa: PLC0415
    resource_tracker.ensure_running()  # if they were started later, they would end what `_deaf` begins
    ensure_running()
    environment = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
    made: list[Any] = []

    def make() -> Executor:
        made.append(ProcessPoolExecutor(1, env=environment, initializer=_end_with, initargs=(os.getpid(),)))
        executor: Executor = made[-1]
        return executor

    try:
        yield partial(int, 1), make
    finally:
        for executor in made:
            executor.shutdown(kill_workers=True)


def _end_with(parent: int) -> None:
    """In a worker: end when the process that asks has ended, even by kill -9."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started in the body do not hear Ctrl-C: it is for the one that asks, which hears it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _cluster(address: str) -> Iterator[tuple[Callable[[], int], Callable[[], Executor]]]:
    """The number of threads of a Dask cluster, and its client as an executor."""
    try:
        from distributed import Client  # noqa: PLC0415
    except ModuleNotFoundError as error:
        cure = "pip install 'kdtheory[workers]'"
        raise ImportError(f"`--backend dask` needs {error.name}, which is not installed: {cure}.") from error
    try:
        client = Client(address, timeout=PATIENCE / 6, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OSError(f"`--scheduler` must be the address of a running Dask scheduler, got {address!r} ({error}).") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise OSError(f"`--scheduler` must have workers, {address} got none in {PATIENCE:.0f} s.") from error
        executor = client.get_executor(pure=False)
        yield lambda: max(1, sum(client.nthreads().values())), lambda: executor
