"""What a run says of its time before it starts, and what its results are known by."""

import time

import pytest

from empirical import runner
from tests.empirical.test_runner import Settings, Squares, go, told


def test_the_time_is_told_before(tmp_path, capsys):
    module = Squares()
    first = told(module, Settings(), tmp_path, capsys)
    assert "squares: 0 of 3 units are finished; the time that the others take is told after the first one." in first
    assert "squares: 1 of 3 units are finished, the other 2 take about" in first
    assert "as the first one took; 1 at once)." in first
    assert "the other 1 take about" not in first
    assert "as the finished ones took" in told(module, Settings(widths=(1, 4)), tmp_path, capsys)
    assert "as with other settings or other code" in told(module, Settings(scale=3.0), tmp_path, capsys)

    class Tried(Squares):
        TRIAL_SHARE = 0.1

        def trial(self, settings):
            return Settings(widths=(9,), scale=0.1 * settings.scale)

        def measure(self, settings, unit, device):
            time.sleep(
                0.2 + settings.scale if settings.widths == (9,) else 0
            )  # what does not shrink with the steps, and what does
            return super().measure(settings, unit, device)

    module = Tried()
    tried = told(module, Settings(scale=4.0), tmp_path, capsys)
    assert "from a trial with fewer steps" in tried
    assert float(tried.partition("(at ")[2].partition(" s each")[0]) == pytest.approx(4.2, rel=0.3)
    assert module.measured == [9, 9, 9, 1, 2, 3]
    assert "take about" not in told(module, Settings(scale=4.0), tmp_path, capsys)


def test_more_data_in_the_grid_and_other_devices(tmp_path):
    """Results are known by the data that they read and by the kind of device, not by what else the grid has."""

    class Read(Squares):
        def __init__(self):
            super().__init__()
            self.prints = {"mine": "1", "digits": "2"}

        def units(self, settings):
            return [{"width": width, "data": settings.name} for width in settings.widths]

        def fingerprints(self, settings):
            return {name: self.prints[name] for name in ("mine", *(["digits"] if settings.scale > 2 else []))}

    module = Read()
    module.GRID = ("widths", "scale", "name")
    go(module, Settings(name="mine"), tmp_path)
    go(module, Settings(name="mine", scale=3.0), tmp_path)
    assert module.measured == [1, 2, 3]
    module.prints = {"mine": "other", "digits": "2"}
    go(module, Settings(name="mine"), tmp_path)
    assert module.measured == [1, 2, 3, 1, 2, 3]
    cells = [set(runner.Grid.of(module, Settings(name="mine"), device).cells) for device in ("cpu", "cuda", "cuda:1")]
    assert not cells[0] & cells[1]
    assert cells[1] == cells[2]
