"""One function over many items: here, in threads or processes, by joblib, or on a Dask cluster; the list is the same.

Results come in the order of the items and each is what the function returns here, so a sum over them in that order is the same
number wherever they were made. (One reservation: a BLAS that splits a product among its own threads rounds otherwise than one
that does not, and worker processes give it one thread each.)
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar
from warnings import catch_warnings, filterwarnings

import numpy as np
from numpy.typing import NDArray

from kdtheory.checks import whole

__all__ = ["FileRows", "in_order", "mapped", "sweep"]

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 10.0  # seconds until a Dask scheduler must have answered, and six times as many until it has a worker
LOSSES = 3  # how often all workers that hold the function may be lost
CURE = "pip install 'kdtheory[workers]'"


def mapped(
    function: Callable[[Item], Result], items: Iterable[Item], *, scheduler: Any = None, progress: bool = False
) -> list[Result]:
    r"""The function of every item, in the items' order, wherever it is computed.

    Parameters
    ----------
    function : callable
        Of one item. It is sent to each worker once, with all that it holds; processes and Dask need it to be picklable.
    items : iterable
        Taken as workers become free, a few ahead: it may be a generator of large things.
    scheduler : optional
        Where:

        - None: here, one after the other.
        - ``"threads"``, ``"threads:4"``: threads of this process. They share its BLAS; set ``OPENBLAS_NUM_THREADS=1`` where
          items are many and products small.
        - ``"processes"``, ``"processes:4"``: processes of this machine, one BLAS thread each.
        - ``"joblib"``: joblib's active backend, ``with joblib.parallel_config(backend="ray"): ...``
        - ``"tcp://host:8786"`` or a ``distributed.Client``: a Dask cluster. What a killed worker held is computed again.
    progress : bool
        Count finished items on the standard error.

    Returns
    -------
    list

    Raises
    ------
    ValueError
        If `scheduler` is none of these, or `function` cannot be sent to a process.
    ImportError
        If joblib or Dask is needed and not installed.
    OSError
        If no Dask scheduler answers, it has no workers, or workers die again and again.

    Examples
    --------
    How much the risk of a student depends on the rows it kept, one random subset per item:

    >>> import numpy as np
    >>> from kdtheory import kernels, pruning
    >>> x = np.linspace(0.0, 1.0, 40)[:, None]
    >>> K, f = kernels.rbf(x, gamma=20.0), np.sin(6 * x[:, 0])
    >>> def risk(seed):
    ...     kept = np.random.default_rng(seed).permutation(40)[:10]
    ...     how = {"noise_variance": 0.5, "ridge": 0.05, "ridge_convention": "per_example"}
    ...     return pruning.risk_curve(K, f, kept=kept, **how)(1.0)
    >>> sweep(risk, range(5), scheduler="threads:2") == [risk(seed) for seed in range(5)]
    True
    """
    results = in_order(function, items, scheduler=scheduler)
    if not progress:
        return list(results)
    finished = []
    total = f" of {len(items)}" if isinstance(items, Sized) else ""
    for result in results:
        finished.append(result)
        print(f"\r{len(finished)}{total} finished", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return finished


sweep = mapped  # its name where the items are seeds, subsets or settings


def in_order(function: Callable[[Item], Result], items: Iterable[Item], *, scheduler: Any = None) -> Iterator[Result]:
    """The results of `mapped` one by one, so that a sum of large ones need not hold them all."""
    if scheduler is None:
        return map(function, items)
    if hasattr(scheduler, "scatter") and hasattr(scheduler, "submit"):
        return _by_dask(function, items, nullcontext(scheduler))
    name, _, count = scheduler.partition(":") if isinstance(scheduler, str) else ("", "", "")
    if count.startswith("//"):
        return _by_dask(function, items, _client(str(scheduler)))
    if scheduler == "joblib":
        return _by_joblib(function, items)
    if name not in ("threads", "processes") or not (count.isdecimal() or count == ""):
        raise ValueError(
            f'`scheduler` must be None, "threads", "processes" (with a number: "threads:4"), "joblib", the address of a '
            f'Dask scheduler such as "tcp://host:8786", or a distributed.Client, got {scheduler!r}.'
        )
    workers = whole(int(count), "scheduler", least=1) if count else -1
    if name == "threads":
        return _by_joblib(function, items, backend="threading", n_jobs=workers)
    return _by_joblib(function, items, backend="loky", n_jobs=workers, inner_max_num_threads=1)


@dataclass(frozen=True)
class FileRows:
    """Rows of a memory map, sent as the file's path and read where they are needed: a map would be sent with its contents."""

    path: str
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: Any, start: int, stop: int) -> Any:
        """Those rows of a memory map as a place in its file, where they lie in it one after the other; else the rows."""
        rows: Any = None if array is None else array[start:stop]
        root: Any = rows
        while isinstance(getattr(root, "base", None), np.memmap):
            root = root.base
        if not isinstance(root, np.memmap) or root.filename is None or not rows.flags.c_contiguous:
            return rows
        shift = rows.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        return cls(str(root.filename), int(root.offset) + shift, rows.dtype, rows.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        width = int(np.prod(self.shape[1:], dtype=int))
        start, stop, _ = rows.indices(len(self))
        at = self.offset + start * width * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, (stop - start) * width, offset=at).reshape(-1, *self.shape[1:])


def _by_joblib(function: Callable[[Item], Result], items: Iterable[Item], **config: Any) -> Iterator[Result]:
    try:
        from joblib import Parallel, delayed, parallel_config  # noqa: PLC0415
        from joblib.externals.loky.backend.reduction import dumps  # noqa: PLC0415
        from joblib.parallel import get_active_backend  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ImportError(f"`scheduler` needs {error.name}, which is not installed: {CURE}.") from error
    if config.get("backend") == "loky":
        _require_sendable(function, dumps)
    with parallel_config(**config) if config else nullcontext():
        lazy = getattr(get_active_backend()[0], "supports_return_generator", False)
        run = Parallel(return_as="generator" if lazy else "list")
    try:
        yield from run(delayed(function)(item) for item in items)
    except BrokenExecutor as error:
        raise OSError("`scheduler` lost a worker process; is there memory enough?") from error


def _by_dask(function: Callable[[Item], Result], items: Iterable[Item], connection: Any) -> Iterator[Result]:
    """At most two items per thread are under way; they are kept here until their results have come."""
    with connection as client:
        _require_sendable(function, _dask().protocol.pickle.dumps)
        try:
            client.wait_for_workers(1, timeout=6 * PATIENCE)
        except TimeoutError as error:
            raise OSError(f"`scheduler` must have workers, got none in {6 * PATIENCE:.0f} s.") from error
        ahead = 2 * sum(client.nthreads().values())
        crew = _Crew(client, function)
        waiting: deque[tuple[Item, Any]] = deque()
        for item in items:
            waiting.append((item, crew.submit(item)))
            if len(waiting) >= ahead:
                yield crew.first(waiting)
        while waiting:
            yield crew.first(waiting)


class _Crew:
    """A cluster's workers with the function in their hands."""

    def __init__(self, client: Any, function: Callable[[Any], Any]) -> None:
        self.client, self.function, self.losses = client, function, 0
        self.held = client.scatter(function, broadcast=True, hash=False)

    def submit(self, item: Any) -> Any:
        with catch_warnings():
            filterwarnings("ignore", "Sending large graph", UserWarning)  # a block of rows is meant to be sent
            return self.client.submit(_call, self.held, item, pure=False)

    def first(self, waiting: deque[tuple[Any, Any]]) -> Any:
        """The result of the first in the queue; Dask repeats what a dead worker did, unless nobody has the function now."""
        while True:
            try:
                result = waiting[0][1].result()
            except CancelledError as error:
                self.losses += 1
                if self.losses > LOSSES or self.client.status != "running":
                    raise OSError("`scheduler` is gone, or lost all its workers again and again.") from error
                self.held = self.client.scatter(self.function, broadcast=True, hash=False)
                waiting.extend([(item, self.submit(item)) for item, _ in _emptied(waiting)])
            except Exception as error:
                if type(error).__name__ == "KilledWorker":
                    raise OSError("`scheduler` lost every worker that took an item; is there memory enough?") from error
                raise
            else:
                waiting.popleft()
                return result


def _emptied(queue: deque[Any]) -> list[Any]:
    taken = list(queue)
    queue.clear()
    return taken


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def _dask() -> Any:
    try:
        import distributed  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ImportError(f"`scheduler` needs {error.name}, which is not installed: {CURE}.") from error
    return distributed


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A client of that address for the body."""
    try:
        client = _dask().Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OSError(f"`scheduler` must be the address of a running Dask scheduler, got {address!r} ({error}).") from error
    with client:
        yield client


def _require_sendable(function: Callable[..., Any], dumps: Callable[[Any], bytes]) -> None:
    try:
        dumps(function)
    except Exception as error:
        raise ValueError(
            f"`function`, with all that it holds, must be something that can be sent to another process, got {error}; "
            f"threads need not send it."
        ) from error
