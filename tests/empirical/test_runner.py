"""A killed experiment loses the unit in flight and nothing else; two processes on one grid share it."""

import json
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from empirical import runner
from empirical.store import Store

pytest.importorskip("torch")  # a run asks for its device first

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Settings:
    """A stand-in for an experiment's settings."""

    widths: tuple[int, ...] = (1, 2, 3)
    scale: float = 2.0
    name: str = "plain"


class Squares:
    """A stand-in for an experiment's module that counts its measurements."""

    __name__ = "empirical.experiments.squares"
    __file__ = __file__
    __doc__ = "Squares of widths."
    GRID = ("widths",)
    Settings = Settings

    def __init__(self):
        self.measured = []

    def units(self, settings):
        return [{"width": width} for width in settings.widths]

    def measure(self, settings, unit, device):
        self.measured.append(unit["width"])
        return [{"square": settings.scale * unit["width"] ** 2, "device": str(device)}]


#: A grid in a file of its own, for other processes. Its folder also has a stand-in for PyTorch, which takes seconds to load.
TOY = '''
"""Squares are what they are."""
import os, pathlib, signal, time
from dataclasses import dataclass

@dataclass(frozen=True)
class Settings:
    count: int = 20
    seconds: float = 0.03
    log: str = ""
    fatal: int = -1

GRID = ("count", "seconds", "log", "fatal")

def units(settings):
    return [{"x": x} for x in range(settings.count)]

def measure(settings, unit, device):
    import torch
    x, log = unit["x"], pathlib.Path(settings.log)
    with log.open("a") as file:
        file.write(f"{x}\\n")
    time.sleep(settings.seconds)
    if x == settings.fatal and not log.with_suffix(".killed").exists():
        log.with_suffix(".killed").touch()
        os.kill(os.getpid(), 9)
    return [{"square": x**2, "seed": 0, "threads": torch.threads}]
'''
TORCH = """
threads = 0
device, OutOfMemoryError = str, MemoryError
def set_num_threads(number):
    global threads
    threads = number
"""


def toy(folder):
    (folder / "toygrid.py").write_text(TOY)
    (folder / "torch.py").write_text(TORCH)
    (folder / "runs").mkdir()
    return folder / "log", folder / "runs"


def start(folder, **settings):
    code = f"""
    import sys
    sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]
    from pathlib import Path
    import toygrid
    from empirical import runner
    runner.POLL = 0.05
    settings = toygrid.Settings(log={str(folder / "log")!r}, **{settings!r})
    rows, _ = runner.run(toygrid, settings, runs=Path({str(folder / "runs")!r}), progress=False)
    print([row["square"] for row in rows])
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)


def measured(folder):
    return (folder / "log").read_text().split() if (folder / "log").exists() else []


def go(module, settings, folder, **how):
    return runner.carry_out(module, settings, runs=folder, progress=False, **how).rows


def test_finished_units_are_not_measured_again(tmp_path):
    module = Squares()
    first = go(module, Settings(), tmp_path)
    assert [row["square"] for row in first] == [2.0, 8.0, 18.0]
    assert go(module, Settings(), tmp_path) == first
    assert module.measured == [1, 2, 3]
    go(module, Settings(widths=(3, 4)), tmp_path)  # a grid that grew
    assert module.measured == [1, 2, 3, 4]
    go(module, Settings(scale=3.0), tmp_path)  # another experiment
    assert module.measured == [1, 2, 3, 4, 1, 2, 3]


def test_other_code_or_other_data_are_another_result(tmp_path, monkeypatch):
    module = Squares()
    go(module, Settings(), tmp_path)
    monkeypatch.setattr(runner, "revision_of", lambda module: "another")
    older = go(module, Settings(), tmp_path, any_revision=True)
    assert [set(row) for row in older] == [{"width", "square", "device", "revision"}] * 3
    assert module.measured == [1, 2, 3]
    outcome = runner.carry_out(module, Settings(widths=(3, 4)), runs=tmp_path, any_revision=True, progress=False)
    assert module.measured == [1, 2, 3, 4]
    assert outcome.how["revision"] == "another"
    assert [row["revision"] for row in outcome.rows] == [*outcome.how["other_revisions"], "another"]
    go(module, Settings(), tmp_path)
    assert module.measured == [1, 2, 3, 4, 1, 2, 3]
    module.fingerprints = lambda settings: {"digits": "0f"}
    assert runner.carry_out(module, Settings(), runs=tmp_path, progress=False).how["data"] == {"digits": "0f"}
    assert module.measured == [1, 2, 3, 4, 1, 2, 3, 1, 2, 3]


def test_the_seconds_of_finished_units_are_kept(tmp_path):
    class Slow(Squares):
        def measure(self, settings, unit, device):
            time.sleep(0.02)
            return super().measure(settings, unit, device)

    first = runner.run(Slow(), Settings(), runs=tmp_path, progress=False)[1]
    assert first >= 0.06
    assert runner.run(Slow(), Settings(), runs=tmp_path, progress=False)[1] == first


def test_kill_at_random_moments_and_resume(tmp_path):
    toy(tmp_path)
    moments, stored, kills = random.Random(0), set(), 6
    for kill in range(1, kills + 1):
        before = len(measured(tmp_path))
        process = start(tmp_path)
        while len(measured(tmp_path)) == before and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not stored & set(measured(tmp_path)[before:]), "measured after it was stored"
        stored = stored_units(tmp_path)
        assert len(measured(tmp_path)) - len(stored) <= kill  # each kill lost the unit in flight, at most
    assert start(tmp_path).communicate()[0] == f"{[x**2 for x in range(20)]}\n"
    assert len(set(measured(tmp_path))) == 20
    assert len(measured(tmp_path)) <= 20 + kills


def stored_units(folder):
    if not (folder / "runs" / "results.sqlite").exists():
        return set()
    with Store(folder / "runs" / "results.sqlite")._transaction("") as database:
        return {str(json.loads(text)["x"]) for (text,) in database.execute("SELECT configuration FROM results")}


def test_two_processes_share_a_grid(tmp_path):
    toy(tmp_path)
    both = [start(tmp_path, seconds=0.05) for _ in range(2)]
    tables = [process.communicate()[0] for process in both]
    assert tables == [f"{[x**2 for x in range(20)]}\n"] * 2
    assert sorted(measured(tmp_path), key=int) == [str(x) for x in range(20)]


def test_a_process_waits_for_the_units_of_another_and_takes_over_when_it_dies(tmp_path):
    toy(tmp_path)
    first = start(tmp_path, count=1, seconds=30)
    while not measured(tmp_path):
        time.sleep(0.01)
    second = start(tmp_path, count=1, seconds=0)
    with pytest.raises(subprocess.TimeoutExpired):
        second.communicate(timeout=1)
    assert measured(tmp_path) == ["0"]
    first.kill()
    assert second.communicate()[0] == "[0]\n"
    assert measured(tmp_path) == ["0", "0"]
    first.communicate()


def failing(error):
    class Failing(Squares):
        def measure(self, settings, unit, device):
            rows = super().measure(settings, unit, device)
            if unit["width"] == 2:
                raise error
            return rows

    return Failing()


def test_a_unit_that_diverges_is_named_after_all_others_are_kept(tmp_path):
    module = failing(ArithmeticError("the limit is 2/3."))
    sentence = "^squares, unit width=2 failed, 2 of 3 are finished and kept: the limit is 2/3.$"
    for _ in range(2):
        with pytest.raises(ArithmeticError, match=sentence):
            go(module, Settings(), tmp_path)
    assert module.measured == [1, 2, 3, 2]
    assert len(go(Squares(), Settings(), tmp_path)) == 3


@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError])
def test_any_other_error_stops_the_grid_at_once(tmp_path, kind):
    module = failing(kind("no data"))
    with pytest.raises(OSError if kind is FileNotFoundError else kind, match=r"^squares, unit width=2 failed, 1 of 3 are"):
        go(module, Settings(), tmp_path)
    assert module.measured == [1, 2]


def test_a_defect_shows_where_it_is(tmp_path):
    with pytest.raises(TypeError, match=r"^a defect\n") as info:
        go(failing(TypeError("a defect")), Settings(), tmp_path)
    assert info.value.__notes__ == ["squares, unit width=2 failed, 1 of 3 are finished and kept.\n"]
    assert any(entry.name == "measure" for entry in info.traceback)


def test_ctrl_c_says_what_is_kept(tmp_path):
    module = failing(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt, match=r"^stopped; 1 of 3 units are finished and kept, and the same command goes on"):
        go(module, Settings(), tmp_path)
    assert Store.open(tmp_path).holders(list(runner.Grid.of(module, Settings()).cells)) == []
    assert len(go(Squares(), Settings(), tmp_path)) == 3


def told(module, settings, folder, capsys):
    runner.carry_out(module, settings, runs=folder)
    return capsys.readouterr().err


def test_settings_of_another_form(tmp_path):
    for widths, sentence in (((), "must leave something to measure"), (3, "must keep the form of the defaults")):
        with pytest.raises(ValueError, match=f"`--set` {sentence}"):
            go(Squares(), Settings(widths=widths), tmp_path)

    class Strict(Squares):
        def units(self, settings):
            raise ValueError("`scale` must be 1, got 2.")

    with pytest.raises(ValueError, match=r"^`scale` must be 1, got 2.$"):
        go(Strict(), Settings(), tmp_path)
