"""One function over items: the same list wherever it is computed, also when a worker is really killed."""

import contextlib
import os
import signal
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import kdtheory as kd
from kdtheory.workers import in_order, mapped, sweep

ITEMS = list(range(12))


def square(item):
    return item**2


def fails_at(bad, item):
    if item == bad:
        raise ValueError(f"`item` must not be {bad}.")
    return item


def products(A, item):
    """Sums that show their order: one row after the other."""
    return A[item : item + 3].T @ A[item : item + 3]


def dies_once(flag, item):
    """At item 3 the process is killed by the signal that nothing catches, the first time."""
    if item == 3 and not Path(flag).exists():
        Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return np.sin(np.arange(5) + item)


@contextlib.contextmanager
def cluster(**how):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(threads_per_worker=1, processes=True, dashboard_address=":0", **how) as running:
        yield running


@pytest.fixture(scope="module")
def address():
    with cluster(n_workers=2) as running:
        yield running.scheduler_address


def place(scheduler, request):
    """Where the name says, if what that needs is installed."""
    if scheduler == "dask":
        return request.getfixturevalue("address")
    if scheduler is not None:
        pytest.importorskip("joblib")
    return scheduler


@pytest.mark.parametrize("name", [None, "threads", "threads:3", "processes:2", "joblib"])
def test_the_list_is_in_order_and_the_same_everywhere(name, request):
    scheduler = place(name, request)
    assert mapped(square, ITEMS, scheduler=scheduler) == [item**2 for item in ITEMS]
    assert mapped(square, iter(ITEMS), scheduler=scheduler) == [item**2 for item in ITEMS]
    assert mapped(square, [], scheduler=scheduler) == []


def test_dask_gives_the_same_list_by_address_and_by_client(address):
    distributed = pytest.importorskip("distributed")
    assert mapped(square, iter(ITEMS), scheduler=address) == [item**2 for item in ITEMS]
    with distributed.Client(address, set_as_default=False) as client:
        assert mapped(square, ITEMS, scheduler=client) == [item**2 for item in ITEMS]
        assert client.status == "running"


@pytest.mark.parametrize("scheduler", ["threads:2", "processes:2", "dask"])
def test_a_sum_in_the_order_of_items_is_bit_for_bit_the_same(scheduler, request):
    where = place(scheduler, request)
    A = np.random.default_rng(0).normal(size=(40, 6))
    here, there = (sum(in_order(partial(products, A), range(37), scheduler=name)) for name in (None, where))
    assert (here == there).all()


@pytest.mark.parametrize("scheduler", [None, "threads:2", "processes:2", "dask"])
def test_an_error_comes_back_as_it_was_raised(scheduler, request):
    where = place(scheduler, request)
    with pytest.raises(ValueError, match=r"`item` must not be 5\."):
        mapped(partial(fails_at, 5), ITEMS, scheduler=where)


@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_worker_s_items_are_computed_again(workers, tmp_path):
    """With one worker alone the function itself is lost, and sent again."""
    flag = tmp_path / "killed"
    with cluster(n_workers=workers) as running:
        there = mapped(partial(dies_once, str(flag)), ITEMS, scheduler=running.scheduler_address)
    assert flag.exists()
    assert (np.array(there) == [np.sin(np.arange(5) + item) for item in ITEMS]).all()


def dies(item):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_items_that_kill_every_worker_are_told():
    sentence = r"`scheduler` (lost every worker that took|is gone, or lost all)"
    with cluster(n_workers=2) as running, pytest.raises(OSError, match=sentence):
        mapped(dies, [1], scheduler=running.scheduler_address)


def test_a_lost_process_is_told():
    pytest.importorskip("joblib")
    with pytest.raises(OSError, match=r"`scheduler` lost a worker process; is there memory enough\?"):
        mapped(dies, [1, 2], scheduler="processes:2")


def test_few_items_are_under_way(address):
    taken = []

    def items():
        for item in range(30):
            taken.append(item)
            yield item

    results = in_order(square, items(), scheduler=address)
    assert next(results) == 0
    assert len(taken) <= 4  # two for each of two threads
    assert list(results) == [item**2 for item in range(1, 30)]


def test_results_can_be_left_untaken():
    pytest.importorskip("joblib")
    results = in_order(square, range(100), scheduler="threads:2")
    assert next(results) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib says that it gives up the rest
        results.close()


def test_joblib_uses_the_active_backend():
    joblib = pytest.importorskip("joblib")
    here = os.getpid()
    assert set(mapped(pid, ITEMS, scheduler="joblib")) == {here}
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert here not in mapped(pid, ITEMS, scheduler="joblib")
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert set(mapped(pid, ITEMS, scheduler="joblib")) == {here}


def pid(item):
    return os.getpid()


def test_processes_have_one_blas_thread_each(monkeypatch):
    pytest.importorskip("joblib")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert set(mapped(threads, ITEMS[:4], scheduler="processes:2")) == {"1"}


def threads(item):
    return os.environ.get("OPENBLAS_NUM_THREADS")


def test_progress_counts_on_the_standard_error(capsys):
    assert mapped(square, [1, 2], progress=True) == [1, 4]
    assert capsys.readouterr().err == "\r1 of 2 finished\r2 of 2 finished\n"
    mapped(square, iter([1]), progress=True)
    assert capsys.readouterr().err == "\r1 finished\n"


def test_sweep_is_mapped():
    assert sweep is mapped


@pytest.mark.parametrize("scheduler", ["thread", "threads:x", "threads:-1", "processes:1.5", "joblib:2", 3, ""])
def test_unknown_schedulers_are_refused(scheduler):
    with pytest.raises(ValueError, match=r"`scheduler` must be None, \"threads\", .*, got "):
        mapped(square, ITEMS, scheduler=scheduler)


def test_no_workers_at_all_are_refused():
    with pytest.raises(ValueError, match="`scheduler` must be a whole number of at least 1, got 0"):
        mapped(square, ITEMS, scheduler="threads:0")


@pytest.mark.parametrize("scheduler", ["processes:2", "dask"])
def test_what_cannot_be_sent_is_told(scheduler, request):
    where = place(scheduler, request)
    with pytest.raises(
        ValueError, match=r"`function`, with all that it holds, must be .* sent to another process, got cannot pickle"
    ):
        mapped(partial(max, sys.stderr), ITEMS, scheduler=where)


def test_an_address_where_nobody_answers_is_told(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("kdtheory.workers.PATIENCE", 0.2)
    with pytest.raises(OSError, match=r"`scheduler` must be the address of a running Dask scheduler, got 'tcp://127.0.0.1:9'"):
        mapped(square, ITEMS, scheduler="tcp://127.0.0.1:9")


def test_a_cluster_without_workers_is_told():
    class Deserted:
        scatter = submit = None

        def wait_for_workers(self, count, timeout):
            assert (count, timeout) == (1, 60)
            raise TimeoutError

    pytest.importorskip("distributed")
    with pytest.raises(OSError, match="`scheduler` must have workers, got none in 60 s"):
        mapped(square, ITEMS, scheduler=Deserted())


@pytest.mark.parametrize(("package", "scheduler"), [("joblib", "threads"), ("distributed", "tcp://127.0.0.1:9")])
def test_missing_packages_are_told_with_the_cure(monkeypatch, package, scheduler):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"`scheduler` needs {package}, .*: pip install 'kdtheory\[workers\]'"):
        mapped(square, ITEMS, scheduler=scheduler)


@pytest.mark.parametrize("where", ["threads:2", "processes:2", "dask"])
def test_random_subsets_of_pruned_data_are_the_same_anywhere(where, request):
    x = np.linspace(0.0, 1.0, 40)[:, None]
    K, f = kd.kernels.rbf(x, gamma=20.0), np.sin(6 * x[:, 0])
    how = {"noise_variance": 0.5, "ridge": 0.05, "ridge_convention": "per_example", "subsets": 5}
    scheduler = place(where, request)
    for family, grid in (
        (kd.pruning.risk_curves, {"keep_fractions": [0.2, 0.21, 1.0]}),
        (kd.pruning.teacher_shares, {"keep_fraction": 0.2, "seen_fractions": [0.2, 0.5, 1.0]}),
    ):
        there, here = family(K, f, **how, **grid, scheduler=scheduler), family(K, f, **how, **grid)
        np.testing.assert_allclose(there.mean(0.5), here.mean(0.5), rtol=1e-10)
