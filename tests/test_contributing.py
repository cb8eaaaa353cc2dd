"""What a contributor is told is so: rooms, commands, templates, versions; and a theorem cannot be added and not appear."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

import kdtheory as kd
from kdtheory import theorems
from tests.test_house import PAPERS

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / ".github" / "ISSUE_TEMPLATE"
TOLD = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "extending.md", *sorted((ROOT / ".github").rglob("*.md"))]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def files_in(room, folder=ROOT):
    return {path.relative_to(folder / room).as_posix() for path in (folder / room).rglob("*.py")}


@pytest.mark.parametrize("room", ["kdtheory", "empirical", "paper_figs"])
def test_every_module_is_once_in_the_page_of_rooms(room):
    section = read("docs/rooms.md").partition(f"\n## `{room}/`")[2].partition("\n## ")[0]
    named = Counter(re.findall(r"`([\w/]+\.py)`", section))
    assert named.keys() == files_in(room)
    assert set(named.values()) == {1}


def test_every_paper_is_registered_and_every_theorem_tested():
    registered = [module.__name__.rpartition(".")[2] for module in theorems.PAPERS]
    assert sorted(registered) == sorted(PAPERS), "add the module to PAPERS in kdtheory/theorems/__init__.py"
    for name in registered:
        assert f"laws.of({name})" in read(f"tests/theorems/test_{name}.py")


@pytest.mark.parametrize("path", TOLD, ids=lambda path: path.name)
def test_commands_exist(path):
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    for word in re.findall(r"`([\w./-]+/[\w.-]*\w)`", text):
        assert word.startswith("results/") or (ROOT / word).exists() or word in set(names_written(text)), word
    for command in re.findall(r"python -m kdtheory (\w+)", text):
        done = subprocess.run(
            [sys.executable, "-m", "kdtheory", command, "--help"], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, command


def names_written(text):
    """Files that blocks of a page make."""
    return re.findall(r"^:caption: ([\w/]+\.py)", text, re.MULTILINE)


def test_contributing_is_one_page_with_ten_rules():
    text = read("CONTRIBUTING.md")
    assert len(text.splitlines()) <= 90
    assert [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)] == list(range(1, 11))
    rooms = re.search(r"starts with the room: (.*?)\. It", text).group(1)
    assert re.findall(r"`(\w+):`", rooms) == ["theory", "empirical", "figs", "docs", "tests"]


def test_issue_templates_say_what_they_are_for():
    found = sorted(path.name for path in TEMPLATES.iterdir())
    assert found == ["bug.md", "config.yml", "new_theorem.md", "wrong_number.md"]
    for path in TEMPLATES.glob("*.md"):
        _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
        about = yaml.safe_load(front)
        assert about["name"]
        assert about["about"]
        assert isinstance(about["labels"], str)
        for code in re.findall(r"```python\n(.*?)```", body, re.DOTALL):
            ast.parse(code)
    assert yaml.safe_load(read(".github/ISSUE_TEMPLATE/config.yml")) == {"blank_issues_enabled": True}
    assert "- [ ] `make lint` and `make test` pass" in read(".github/pull_request_template.md")


def test_versions_agree():
    citation = yaml.safe_load(read("CITATION.cff"))
    newest = re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE).group(1)
    assert str(citation["version"]) == newest == kd.__version__


def test_the_citation_is_complete_and_names_papers_of_the_theorems():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "references"} <= citation.keys()
    sources = {theorem.source.arxiv: theorem.source for theorem in theorems.all()}
    for paper in citation["references"]:
        (arxiv,) = (each["value"].removeprefix("arXiv:") for each in paper["identifiers"])
        families = [author["family-names"] for author in paper["authors"]]
        assert ", ".join(families[:-1]) + f" & {families[-1]}" == sources[arxiv].authors
        assert paper["year"] == sources[arxiv].year
        assert paper["title"]


def test_hooks_are_valid_and_what_they_run_exists():
    pytest.importorskip("pre_commit")
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-config", ROOT / ".pre-commit-config.yaml"], check=True)
    (local,) = (repo for repo in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"] if repo["repo"] == "local")
    entries = [hook["entry"].split() for hook in local["hooks"]]
    assert [words[0] for words in entries] == [".venv/bin/python"] * len(entries)
    assert entries[0][1:] == ["docs/tables.py", "--check"]
    assert entries[1][1:] == ["-m", "mypy"]
