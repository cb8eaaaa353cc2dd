"""docs/extending.md does what it says: its blocks are put into a copy of the tree, and its commands are run there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FOLDERS = ("kdtheory", "empirical", "paper_figs", "tests", "docs")
THEORY, NETWORKS = ("Add a theorem",), ("Add a score", "Add an experiment")
PATH, PLACE = re.compile(r"^[\w/]+\.py"), re.compile(r" \((.+)\)$")


def blocks(text):
    """Language, caption and text of the blocks that are files, changes to files, or commands."""
    return re.findall(r"^```\{code-block\} (\w+)\n:caption: ([^\n]+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def text_of(caption, language="python"):
    (text,) = (text for kind, name, text in blocks(PAGE) if (kind, name) == (language, caption))
    return text


def put(tree, language, caption, text):
    """One block: a new file, lines at the end of a file, or changes whose place must be there once."""
    path = tree / PATH.match(caption).group()
    if language == "diff":
        for hunk in re.split(r"^@@\n", text, flags=re.MULTILINE):
            old, new = ("".join(line[1:] for line in hunk.splitlines(True) if line[0] in f" {sign}") for sign in "-+")
            whole = path.read_text(encoding="utf-8")
            # the beginning of a line may be changed without its end
            assert whole.count(old.rstrip("\n")) == 1, f"{caption}: not there once:\n{old}"
            path.write_text(whole.replace(old.rstrip("\n"), new.rstrip("\n")), encoding="utf-8")
    elif PLACE.search(caption):
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    else:
        assert not path.exists(), f"{caption} is there already"
        path.write_text(text, encoding="utf-8")


def added(parts):
    """The blocks that parts of the page add: files and changes, but not the planted error."""
    for part in parts:
        section = PAGE.partition(f"\n## {part}\n")[2].partition("\n## ")[0]
        yield from (block for block in blocks(section) if block[0] != "sh" and not block[1].endswith("(an error)"))


def extended(parts, copy):
    """A copy of the tree with what these parts add."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("generated", "_build"))
    for file in ("conftest.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, copy / file)
    for block in added(parts):
        put(copy, *block)
    return copy


@pytest.fixture(scope="module")
def with_theorem(tmp_path_factory):
    pytest.importorskip("sklearn")  # the theorem is verified on digits
    return extended(THEORY, tmp_path_factory.mktemp("theory"))


@pytest.fixture(scope="module")
def with_networks(tmp_path_factory):
    pytest.importorskip("torch")
    return extended(NETWORKS, tmp_path_factory.mktemp("networks"))


def run(tree, command):
    """A line of the page in the copy, as in a fresh shell there."""
    words = [sys.executable if word == "python" else word for word in shlex.split(command)]
    environment = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "120"}
    done = subprocess.run(words, check=False, cwd=tree, env=environment, capture_output=True, text=True, timeout=900)
    return done.returncode, done.stdout + done.stderr


def carry_out(tree, caption):
    """Runs all commands of a block, which succeed; what they print."""
    return [succeed(tree, command) for command in text_of(caption, "sh").splitlines()]


def succeed(tree, command):
    code, output = run(tree, command)
    assert code == 0, f"{command}\n{output}"
    return output


def test_the_claim_is_refuted_and_repaired(capsys):
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        exec(compile(block, "extending.md, python", "exec"), names)  # no file: Hypothesis would read its source from it
    assert f"`{names['weights']}`" in PAGE
    assert "Problem(drawn: n=2" in capsys.readouterr().out


def test_a_theorem_is_thirty_lines():
    theorem, laws = (text_of(f"{path}.py").splitlines() for path in ("kdtheory/theorems/efron", "tests/theorems/test_efron"))
    registered = [line for line in text_of("kdtheory/theorems/__init__.py", "diff").splitlines() if line.startswith("+")]
    assert len(theorem) <= 30
    assert sum(bool(line.strip()) for line in (*theorem, *registered, *laws)) <= 30  # in all files


def test_a_theorem_appears_and_holds(with_theorem):
    verify, test, _ = text_of("a theorem that holds", "sh").splitlines()
    verified = succeed(with_theorem, verify)
    assert re.search(r"\* degrees of freedom fall geometrically .* holds", verified)
    assert "1 of 1 theorems hold" in verified
    assert "4 passed" in succeed(with_theorem, test)
    document = "import sys; sys.path.insert(0, 'docs'); import tables; print(tables.document())"
    row = "| degrees of freedom fall geometrically * | Efron (2004) | $`\\mathrm{tr} H_t"
    assert row in succeed(with_theorem, f'python -c "{document}"')


def test_a_planted_error_is_caught(with_theorem):
    path, caption = with_theorem / "kdtheory" / "theorems" / "efron.py", "kdtheory/theorems/efron.py (an error)"
    right = path.read_text(encoding="utf-8")
    verify, test, _ = text_of("a theorem that holds", "sh").splitlines()
    try:
        put(with_theorem, "diff", caption, text_of(caption, "diff"))
        code, output = run(with_theorem, verify)
        assert code == 1
        assert "FAILS" in output
        code, output = run(with_theorem, f"{test} -x")
        assert code == 1
        assert "[never_fails: degrees of freedom fall geometrically]" in output
        assert "problem=Problem(drawn: n=2" in output
    finally:
        path.write_text(right, encoding="utf-8")


QUICKLY = """
import numpy as np
from sklearn.datasets import load_digits
from empirical.__main__ import main
from empirical.dynamics import score_run
from empirical.networks import MLP
from empirical.recipe import Recipe
from empirical.subsets import kept

X, y = load_digits(return_X_y=True)
X, y = X[:300] / 16, y[:300]
recipe = Recipe(epochs=3, batch=32, learning_rate=0.05, loss="cross_entropy")
scores = score_run(MLP(64, 10, width=32, depth=1, members=2), X, y, recipe=recipe)
hard, easy = (kept(scores["gini"], 0.5, classes=y, keep=keep) for keep in ("hard", "easy"))
unsure = scores["least_confidence"]
print(len(hard), unsure[hard].mean() > unsure[easy].mean(), len(np.unique(y[hard])))
main(["run", "stopped_teacher", "--quick", "--set", "steps=20", "--set", "width=16"])
main(["report", "stopped_teacher", "--quick"])
"""


def test_a_score_keeps_rows_and_an_experiment_runs_to_verdicts(with_networks):
    printed = succeed(with_networks, f"python -c {shlex.quote(QUICKLY)}")
    assert printed.startswith("150 True 10\n")
    assert "4 rows of 2 units in results/stopped_teacher-quick.csv" in printed
    assert "1. A teacher is better if it was stopped." in printed
    assert len(outcomes(printed)) == 2


def outcomes(report):
    return re.findall(r"^ {3}(reproduced|not reproduced|not testable here):", report, re.MULTILINE)


each_tree = pytest.mark.parametrize(("parts", "tree"), [(THEORY, "with_theorem"), (NETWORKS, "with_networks")])


def files_of(parts):
    return sorted({PATH.match(caption).group() for _, caption, _ in added(parts)})


@each_tree
def test_blocks_keep_the_house_style(parts, tree, request):
    pytest.importorskip("ruff")
    for check in ("check", "format --check"):
        succeed(request.getfixturevalue(tree), f"python -m ruff {check} {' '.join(files_of(parts))}")


@pytest.mark.slow
def test_the_tables_list_the_theorem(with_theorem):
    carry_out(with_theorem, "a theorem that holds")
    assert "degrees of freedom fall geometrically" in (with_theorem / "docs" / "theorems.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_score_in_use(with_networks):
    *_, report = carry_out(with_networks, "a score in use")
    assert "Not the default: methods = ['random', 'gini']" in report


@pytest.mark.slow
def test_the_experiment_says_what_the_page_says_and_is_drawn(with_networks):
    *_, report = carry_out(with_networks, "an experiment, quick")
    assert outcomes(report) == ["not testable here"] * 2
    _, report, *_ = carry_out(with_networks, "an experiment, recorded")
    assert outcomes(report) == ["reproduced", "not reproduced"]
    assert "## stopped_teacher" in (with_networks / "docs" / "verdicts.md").read_text(encoding="utf-8")
    carry_out(with_networks, "a figure")
    assert (with_networks / "figures" / "stopped_teacher.png").stat().st_size > 5000


@pytest.mark.slow
@each_tree
def test_types_and_house_rules_hold_with_it(parts, tree, request):
    copy = request.getfixturevalue(tree)
    succeed(copy, f"python -m mypy {' '.join(file for file in files_of(parts) if not file.startswith('tests'))}")
    succeed(copy, "python -m pytest -q tests/test_house.py")
