"""Tables that come from the code are current, and what they claim holds."""

import importlib.util
import re
from pathlib import Path

import pytest

from kdtheory import theorems
from tests.mutants import MUTANTS

ROOT = Path(__file__).parents[1]


def script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_current():
    pytest.importorskip("torch")  # the table of verdicts asks the experiments
    pytest.importorskip("matplotlib")
    tables = script(ROOT / "docs" / "tables.py")
    assert (ROOT / "docs" / "theorems.md").read_text(encoding="utf-8") == tables.document(), "run: python docs/tables.py"
    assert (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8") == tables.verdicts(), "run: python docs/tables.py"
    assert (ROOT / "docs" / "paper_numbers.md").read_text(encoding="utf-8") == tables.paper_numbers.page()
    assert tables.picture_is_current(), "run: python docs/tables.py"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == tables.readme(readme), "run: python docs/tables.py"


def test_every_theorem_has_its_own_name_and_an_existing_figure():
    from paper_figs.__main__ import FIGURES

    names = [theorem.name for theorem in theorems.all()]
    assert len(names) == len(set(names))
    assert all(not theorem.figure or theorem.figure in FIGURES for theorem in theorems.all())
    for module in theorems.PAPERS:
        assert (ROOT / "tests" / "theorems" / f"test_{module.__name__.rpartition('.')[2]}.py").is_file()


def test_worst_errors_are_those_of_the_table():
    printed = re.findall(r"^\| (.+?) \| .+? \| (\S+) \|$", (ROOT / "docs" / "precision.md").read_text(), re.MULTILINE)
    errors = script(ROOT / "benchmarks" / "precision.py").worst_errors()
    assert [name for name, _ in printed] == list(errors)
    for name, value in printed:
        assert errors[name] <= max(10 * float(value), 1e-15), name


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_every_planted_error_still_fits_the_code_and_was_caught(mutant):
    assert (ROOT / "kdtheory" / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    table = (ROOT / "docs" / "mutants.md").read_text(encoding="utf-8")
    row = next(line for line in table.splitlines() if line.startswith(f"| {mutant.what} |"))
    assert "SURVIVES" not in row
