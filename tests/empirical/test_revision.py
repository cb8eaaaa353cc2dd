"""The revision changes with the code an experiment reaches and with nothing else."""

import importlib
import sys
from pathlib import Path

import pytest

from empirical.experiments import output_scale
from empirical.revision import ROOMS, reached, revision_of

ROOT = Path(__file__).parents[2]
FILES = {
    "__init__": '"""A room."""\nfrom room.public import shown\n\ndef helper():\n    """Help."""\n    return 1\n',
    "public": "from room.hidden import base\ndef shown():\n    return base()\n",
    "hidden": "def base():\n    '''The base.'''\n    return 1  # one\n",
    "late": "def late():\n    return 1\n",
    "helped": "from room import helper\n",
    "apart": "def apart():\n    return 1\n",
    "question": '"""A question."""\nimport room as r\n\ndef measure():\n    from room.late import late\n    return r.shown()',
}
GRID = """
from room.hidden import base
from room import shown, helper
LEVEL = 1
QUICK = 1
def units(settings):
    return [LEVEL]
def measure(settings, unit, device):
    return helped(unit)
def helped(unit):
    return base()
def judged():
    return 3 * shown() + helper()
def verdicts(rows):
    return judged()
"""


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A package of a question, what it reaches, and what it does not."""
    folder = tmp_path / "room"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "room"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def revision(name="room.question"):
    return revision_of(importlib.import_module(name), ("room",))


def edit(room, name, old, new):
    path = room / f"{name}.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_what_is_reached(room):
    def names(name):
        return {full.partition(".")[2] for full in reached(importlib.import_module(f"room.{name}"), ("room",))}

    assert names("question") == {"question", "public", "hidden", "late"}
    assert names("helped") == {"helped", "", "public", "hidden"}  # what the package itself defines comes with all of it
    assert names("apart") == {"apart"}
    edit(room, "question", "r.shown()", "getattr(r, 'shown')()")
    assert names("question") == {"question", "", "public", "hidden", "late"}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("hidden", "The base", "Another word"),
        ("hidden", "# one", "# the first number"),
        ("hidden", "    '''The base.'''\n", ""),
        ("question", "A question.", "A better question."),
        ("question", "\n\ndef measure", "\n\n\n\ndef measure"),
        ("apart", "return 1", "return 2"),
        ("helped", "helper", "helper as h"),
        ("__init__", "return 1", "return 2"),
    ],
)
def test_wording_and_what_is_not_reached_change_nothing(room, name, old, new):
    before = revision()
    edit(room, name, old, new)
    assert revision() == before


@pytest.mark.parametrize("name", ["hidden", "late"])
def test_code_that_is_reached_changes_it(room, name):
    before = revision()
    edit(room, name, "return 1", "return 2")
    assert revision() != before


def test_of_an_experiment_only_the_measuring_counts(room):
    (room / "grid.py").write_text(GRID)
    before = revision("room.grid")
    assert {name.partition(".")[2] for name in reached(importlib.import_module("room.grid"), ("room",))} == {"grid", "hidden"}
    edit(room, "grid", "3 * shown()", "4 * shown()")
    edit(room, "grid", "QUICK = 1", "QUICK = 2")
    edit(room, "public", "return base()", "return 2 * base()")
    assert revision("room.grid") == before
    edit(room, "apart", "return 1", "from room.grid import judged\n    return judged()")
    beside = revision("room.apart")
    edit(room, "grid", "4 * shown()", "5 * shown()")
    assert revision("room.grid") == before
    assert revision("room.apart") != beside
    edit(room, "apart", "from room.grid import judged\n    return judged()", "import room.grid as g\n    return f(g)")
    beside = revision("room.apart")
    edit(room, "grid", "QUICK = 2", "QUICK = 3")
    assert revision("room.apart") != beside
    edit(room, "grid", "LEVEL = 1", "LEVEL = 2")
    assert revision("room.grid") != before


def test_a_name_from_elsewhere_changes_it(room):
    before = revision()
    edit(room, "__init__", "from room.public import shown", "from room.apart import apart as shown")
    assert revision() != before


def test_imports_that_cannot_be_followed_are_refused(room):
    edit(room, "question", "import room as r", "from . import public as r")
    with pytest.raises(ValueError, match=r"imports must give the whole name, got 'from . import'"):
        revision("room.apart") and revision()
    with pytest.raises(ValueError, match="`module` must be a file"):
        revision_of(sys)


def test_every_function_that_runs_was_reached():
    """The second route: a tiny experiment is run, and every file of ours in which a function ran was foreseen."""
    import torch

    ran = set()
    small = {"networks": (("erf", 8, 12, 1),), "scales": (1.0,), "n_new": 4, "rounds": 1}
    settings = output_scale.Settings(tolerance=0.5, ridge_per_point=1.0, **small)
    (unit,) = output_scale.units(settings)
    output_scale.measure(settings, unit, torch.device("cpu"))  # what PyTorch loads on the way need not be watched
    sys.setprofile(lambda frame, event, _: ran.add((frame.f_code.co_filename, frame.f_code.co_name)))
    try:
        output_scale.measure(settings, unit, torch.device("cpu"))
    finally:
        sys.setprofile(None)
    ours = {Path(file) for file, name in ran if name != "<module>" and Path(file).is_relative_to(ROOT)}
    ours = {path for path in ours if path.relative_to(ROOT).parts[0] in ROOMS}
    foreseen = set(reached(output_scale).values())
    assert len(ours) > 10
    assert ours <= foreseen
    assert ROOT / "kdtheory" / "pruning.py" not in foreseen
