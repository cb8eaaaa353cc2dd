"""Processes and a Dask cluster give the table of one process; a worker that dies costs the unit it was measuring."""

import pickle
import signal
import subprocess
import sys
import time

import pytest

from empirical import runner
from empirical.engine import Engine, Failure, Job, WorkerDiedError, _there
from empirical.store import Store
from tests.empirical.test_runner import Settings, Squares, measured, toy


@pytest.fixture
def toygrid(tmp_path, monkeypatch):
    """The module, and the folder in which workers find it and its stand-in for PyTorch."""
    toy(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toygrid", raising=False)
    import toygrid

    return toygrid


def carry_out(toygrid, folder, engine, **settings):
    settings = toygrid.Settings(log=str(folder / "log"), **settings)
    return runner.carry_out(toygrid, settings, runs=folder / "runs", engine=engine, progress=False)


TABLE = [{"x": x, "square": x**2, "seed": 0, "threads": 1} for x in range(8)]


def test_two_processes_give_the_same_table_and_one_of_them_dies(toygrid, tmp_path):
    outcome = carry_out(toygrid, tmp_path, Engine(workers=2), count=8, fatal=3)
    assert outcome.rows == TABLE
    assert outcome.how["workers"] == 2
    assert sorted(measured(tmp_path)) == sorted("012334567")  # the other worker's unit was not lost


def test_a_unit_whose_workers_die_is_named(toygrid, tmp_path, monkeypatch):
    monkeypatch.setattr(toygrid, "__name__", "toydeath")
    (tmp_path / "toydeath.py").write_text((tmp_path / "toygrid.py").read_text().replace(".touch()", ""))
    monkeypatch.setattr(toygrid, "__file__", str(tmp_path / "toydeath.py"))
    with pytest.raises(OSError, match=r"^toydeath, unit x=0 failed, 0 of 1 are .* kept: its worker died, 3 times; is there"):
        carry_out(toygrid, tmp_path, Engine(workers=2), count=1, fatal=0)
    assert measured(tmp_path) == ["0"] * 3
    assert isinstance(pickle.loads(pickle.dumps(WorkerDiedError("x"))), OSError)


def test_a_cluster_gives_the_same_table_and_a_worker_dies(toygrid, tmp_path):
    distributed = pytest.importorskip("distributed")
    how = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**how) as cluster:
        outcome = carry_out(toygrid, tmp_path, Engine(0, "dask", cluster.scheduler_address), count=8, fatal=3)
    assert outcome.rows == TABLE
    assert set(measured(tmp_path)) == set("01234567")
    assert measured(tmp_path).count("3") == 2
    assert len(measured(tmp_path)) <= 10  # and a result that the dead worker had not handed over yet


def test_ctrl_c_ends_the_workers_and_kill_9_too(toygrid, tmp_path):
    code = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path[:0] = {[str(tmp_path), *sys.path]!r}
import toygrid
from tests.empirical.test_engine import Engine, carry_out
from pathlib import Path
try:
    carry_out(toygrid, Path({str(tmp_path)!r}), Engine(workers=2), seconds=60)
except KeyboardInterrupt as stop:
    print(stop)
"""
    for number, how in enumerate((signal.SIGINT, signal.SIGKILL), 1):
        process = subprocess.Popen([sys.executable, "-c", code], text=True, stdout=subprocess.PIPE, start_new_session=True)
        while len(measured(tmp_path)) < 2 * number:
            time.sleep(0.02)
        process.send_signal(how)  # its workers hold the other end of stdout, so it ends only with them
        printed = process.communicate(timeout=60)[0]
        assert printed.startswith("stopped; 0 of 20 units are finished and kept, and the same") == (how == signal.SIGINT)
        claims = Store(tmp_path / "runs" / "results.sqlite")._connection()
        with claims as database:
            assert database.execute("SELECT count(*) FROM claims").fetchone() == (2 * (number - 1),)


def test_workers_with_other_code_are_refused(toygrid, tmp_path, monkeypatch):
    job = Job("toygrid", "another", toygrid.Settings(log=str(tmp_path / "log")))
    result = _there(job, "cpu", 1, None, {"x": 1})
    assert isinstance(result, Failure)
    assert "a worker must have the code of revision another, it has loaded " in str(result.error)
    assert measured(tmp_path) == []


def test_an_error_that_cannot_be_sent_is_told_in_words(monkeypatch):
    class OddError(Exception):  # local, so not to be pickled
        pass

    def measure(settings, unit, device):
        raise OddError("odd")

    squares = Squares()
    monkeypatch.setitem(sys.modules, "squares", squares)
    monkeypatch.setattr(squares, "measure", measure, raising=False)
    result = _there(Job("squares", runner.revision_of(squares), Settings()), "cpu", 1, None, {"width": 1})
    assert str(pickle.loads(pickle.dumps(result)).error) == "OddError: odd"
    assert "in measure" in result.trace


def test_memory_that_does_not_suffice_is_a_unit_s_own_fate(tmp_path):
    import torch

    class Large(Squares):
        def measure(self, settings, unit, device):
            if unit["width"] == 1:
                raise torch.OutOfMemoryError("tried to allocate 1 TiB")
            return super().measure(settings, unit, device)

    with pytest.raises(MemoryError, match=r"unit width=1 failed, 2 of 3 .*: CPU has too little memory \(tried to allocate"):
        runner.run(Large(), Settings(), runs=tmp_path, progress=False)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"workers": 0}, "`--workers` must be a whole number of at least 1, got 0"),
        ({"workers": -1, "backend": "dask", "scheduler": "x"}, "`--workers` must be a whole number of at least 0, got -1"),
        ({"threads": 0}, "`--threads` must be a whole number of at least 1, got 0"),
        ({"backend": "abacus"}, "`--backend` must be one of processes, dask, got 'abacus'"),
        ({"backend": "dask"}, "`--scheduler` must be given with `--backend dask` and only with it"),
        ({"scheduler": "tcp://here"}, "`--scheduler` must be given with `--backend dask` and only with it"),
    ],
)
def test_wrong_engines_are_refused(how, sentence):
    with pytest.raises(ValueError, match=sentence):
        Engine(**how)


def test_a_scheduler_that_is_not_there(toygrid, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("empirical.engine.PATIENCE", 1.0)
    with pytest.raises(
        OSError, match=r"`--scheduler` must be the address of a running Dask scheduler, got 'tcp://127.0.0.1:1'"
    ):
        carry_out(toygrid, tmp_path, Engine(0, "dask", "tcp://127.0.0.1:1"), count=1)


def test_engines_that_are_not_installed(toygrid, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"`--backend dask` needs distributed, .*: pip install 'kdtheory\[workers\]'"):
        carry_out(toygrid, tmp_path, Engine(0, "dask", "tcp://127.0.0.1:1"), count=1)
