"""A killed experiment loses the unit in flight and nothing else; what comes in from the command line is checked."""

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from empirical import experiments, runner
from empirical.__main__ import main
from empirical.store import Store, write_whole

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


def go(module, settings, folder):
    return runner.run(module, settings, runs=folder, progress=False)[0]


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


def test_the_seconds_of_finished_units_are_kept(tmp_path):
    class Slow(Squares):
        def measure(self, settings, unit, device):
            time.sleep(0.02)
            return super().measure(settings, unit, device)

    first = runner.run(Slow(), Settings(), runs=tmp_path, progress=False)[1]
    assert first >= 0.06
    assert runner.run(Slow(), Settings(), runs=tmp_path, progress=False)[1] == first


def test_damaged_files_are_measured_again(tmp_path):
    module = Squares()
    go(module, Settings(), tmp_path)
    files = sorted((tmp_path / "squares").glob("*.json"))
    files[0].write_text(files[0].read_text()[:-5])
    files[1].write_text("{}")
    files[2].write_bytes(b"\xff\xfe\x00")
    assert [row["square"] for row in go(module, Settings(), tmp_path)] == [2.0, 8.0, 18.0]
    assert len(module.measured) == 6


def test_a_file_of_another_unit_is_not_taken(tmp_path):
    store = Store(tmp_path)
    store.put({"width": 1}, [{"x": 1}], 0.0)
    file = next(tmp_path.glob("*.json"))
    file.rename(tmp_path / store._path({"width": 2}).name)
    assert store.get({"width": 2}) is None


def test_a_killed_run_keeps_what_was_finished(tmp_path):
    code = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from tests.empirical.test_runner import Settings, Squares, go
        class Slow(Squares):
            def measure(self, settings, unit, device):
                if unit["width"] == 3:
                    print("third", flush=True)
                    time.sleep(60)
                return super().measure(settings, unit, device)
        go(Slow(), Settings(), Path({str(tmp_path)!r}))
        """
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == "third\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    module = Squares()
    assert len(go(module, Settings(), tmp_path)) == 3
    assert module.measured == [3]


def test_a_draft_that_failed_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text() == "old"


def test_the_table_and_its_settings_are_written(tmp_path):
    rows = [{"a": 1, "b": 0.123456789}, {"a": 2, "c": "x"}]
    path = runner.record("squares", Settings(), rows, tmp_path, device="cpu", seconds=12.3)
    with path.open(newline="") as lines:
        assert list(csv.DictReader(lines)) == [{"a": "1", "b": "0.123457", "c": ""}, {"a": "2", "b": "", "c": "x"}]
    how = json.loads((tmp_path / "squares.json").read_text())
    assert how["seconds"] == 12
    assert how["settings"] == {"widths": [1, 2, 3], "scale": 2.0, "name": "plain"}
    assert set(how["versions"]) == {"python", "kdtheory", "torch", "numpy"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["widths=4,5"], {"widths": (4, 5)}),
        (["widths=4"], {"widths": (4,)}),
        (["widths=[4, 5]"], {"widths": (4, 5)}),
        (["scale=3"], {"scale": 3.0}),
        (["name=rich", "scale=.5"], {"name": "rich", "scale": 0.5}),
    ],
)
def test_settings_from_the_command_line(given, expected):
    assert runner.changed(Settings(), given) == Settings(**expected)


@pytest.mark.parametrize("wrong", ["depth=3", "widths", "scale=fast", "name=3"])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="`--set` must"):
        runner.changed(Settings(), [wrong])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nothing"], "`NAME` must be one of"),
        (["run", "nothing", "--device", "abacus"], "`--device` must be one that PyTorch finds here, got 'abacus'"),
        (["run", "width", "--set", "networks=64"], "`--set` must keep the form of the defaults"),
        (["run", "width", "--set", "networks=()"], "`--set` must leave something to measure"),
        (["run", "width", "--out", __file__], "`--out` must be a folder"),
        (["run", "nothing", "--threads", "0"], "`--threads` must be a whole number of at least 1, got 0"),
    ],
)
def test_the_command_line_answers_in_one_sentence(arguments, sentence, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_every_experiment_says_what_it_claims_and_lists_its_settings(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for name in experiments.EXPERIMENTS:
        module = runner.experiment(name)
        assert name in printed
        assert module.__doc__
        fields = module.Settings.__dataclass_fields__
        assert set(module.GRID) <= set(fields), name
        units = module.units(module.Settings())
        assert len({json.dumps(unit, sort_keys=True) for unit in units}) == len(units) > 0
