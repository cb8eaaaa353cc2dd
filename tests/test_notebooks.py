"""The notebooks run from top to bottom, check what they claim, and are kept without outputs."""

from __future__ import annotations

import ast
import itertools
import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

mpl.use("agg")
NAMES = ["ntk_and_networks", "optimal_weight", "pruned_data", "quick_tour"]
FOLDER = Path(__file__).parents[1] / "notebooks"
each = pytest.mark.parametrize("name", NAMES)


def cells(name, kind="code"):
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def sources(name, kind="code"):
    return ["".join(cell["source"]) for cell in cells(name, kind)]


def imported(source):
    """The packages that a cell imports."""
    for node in ast.walk(ast.parse(source)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")]
        yield from (module.partition(".")[0] for module in modules if module)


def test_there_are_four():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


@each
def test_every_cell_runs(name):
    needs = {package for source in sources(name) for package in imported(source)}
    for package in needs & {"sklearn", "sympy"} | ({"torch"} if "empirical" in needs else set()):
        pytest.importorskip(package)
    seen = {"__name__": "__main__"}
    with mpl.rc_context():
        for number, source in enumerate(sources(name), 1):
            exec(compile(source, f"{name}, code cell {number}", "exec"), seen)
            plt.close("all")  # as a notebook does: every cell has figures of its own


@each
def test_outputs_are_stripped(name):
    for cell in cells(name):
        assert not cell["outputs"]
        assert cell["execution_count"] is None


@each
def test_claims_are_asserted(name):
    assert sum("assert " in source for source in sources(name)) >= 4


@each
def test_it_is_short(name):
    assert 10 <= len(cells(name)) + len(cells(name, "markdown")) <= 18
    assert max(len(source.splitlines()) for source in sources(name)) <= 20


@each
def test_cells_keep_their_ids(name):
    ids = [cell["id"] for kind in ("code", "markdown") for cell in cells(name, kind)]
    assert len(set(ids)) == len(ids)
    assert all(i.startswith(name.replace("_", "-")) for i in ids)


@each
def test_headings_do_not_jump(name):
    lines = [line for source in sources(name, "markdown") for line in source.splitlines() if line.startswith("#")]
    levels = [len(line.partition(" ")[0]) for line in lines]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
