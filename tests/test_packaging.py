"""What is built and declared: contents of wheel and sdist, extras, pins, classifiers, scripts."""

import ast
import functools
import importlib
import os
import re
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import kdtheory

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ROOMS = ("kdtheory", "empirical", "paper_figs")
WRITTEN = {"generated", "_build", "__pycache__", ".ipynb_checkpoints", "jupyter_execute"}
#: Packages that are imported under another name, or come with another one.
DISTRIBUTIONS = {
    "cycler": "matplotlib",
    "docutils": "sphinx",
    "jupyter_client": "ipykernel",
    "mpl_toolkits": "matplotlib",
    "sklearn": "scikit-learn",
    "threadpoolctl": "scikit-learn",
    "neural_tangents": "frozendict",  # itself by a line of its own
    "packaging": "pytest",
    "trove_classifiers": "hatchling",
    "yaml": "pyyaml",
}


def requirements(*extras):
    """Names of the distributions, with those of the extras that these name."""
    names = set()
    for requirement in (each for extra in extras for each in EXTRAS[extra]):
        name, _, others = re.match(r"([\w.-]+)(\[([\w,]+)\])?", requirement).groups()
        names |= requirements(*others.split(",")) if name == "kdtheory" else {name}
    return names


CORE = {re.match(r"[\w.-]+", requirement)[0] for requirement in PROJECT["dependencies"]}


@functools.cache
def imported(*folders):
    """(file, top-level name) of everything imported that is neither Python's nor the project's."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    own = {*ROOMS, "tests", "benchmarks", "toygrid"} | {path.stem for path in paths}  # a test writes toygrid
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found |= {(path.name, name.partition(".")[0]) for name in names}
    return {(name, top) for name, top in found if top not in own | set(sys.stdlib_module_names)}


def test_what_is_tested_is_what_was_installed():
    """`tests/installed.py` says where that is."""
    site = os.environ.get("KDTHEORY_INSTALLED")
    if site is None:
        pytest.skip("of `make test-core`")
    assert Path(kdtheory.__file__).resolve().is_relative_to(Path(site).resolve())
    assert metadata.version("kdtheory") == kdtheory.__version__


def test_extras_that_are_named_exist():
    sources = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    pages = [ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*.md") if not WRITTEN & set(path.parts))]
    named = set()
    for path in (*sources, *pages):
        for names in re.findall(r"(?:kdtheory|['\"]\.)\[([\w,]+)\]", path.read_text(encoding="utf-8")):
            assert set(names.split(",")) <= set(EXTRAS), path.name
            named |= set(names.split(","))
    assert {"estimators", "empirical", "figures", "ntk", "tables", "testing", "workers"} <= named


def test_what_the_rooms_import_is_declared():
    known = requirements("all") | CORE
    for name, top in imported(*ROOMS):
        assert DISTRIBUTIONS.get(top, top) in known, f"{name} imports {top}"


def test_what_tests_benchmarks_and_pages_import_is_declared():
    known = requirements("dev") | CORE
    for name, top in imported("tests", "benchmarks", "docs"):
        assert DISTRIBUTIONS.get(top, top) in known, f"{name} imports {top}"


def test_every_requirement_of_dev_has_a_pin_in_its_range():
    packaging = pytest.importorskip("packaging.requirements")
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if "==" in line)
    for requirement in (*PROJECT["dependencies"], *(each for name in EXTRAS if name != "notebooks" for each in EXTRAS[name])):
        needed = packaging.Requirement(requirement)
        if needed.name != "kdtheory":
            assert needed.specifier.contains(pins[needed.name], prereleases=True), requirement


def test_classifiers_name_the_pythons_and_are_known():
    known = pytest.importorskip("trove_classifiers").classifiers
    assert set(PROJECT["classifiers"]) <= known
    versions = re.findall(r"Python :: 3\.(\d+)", "\n".join(PROJECT["classifiers"]))
    assert PROJECT["requires-python"] == f">=3.{min(versions, key=int)}"


def test_scripts_are_functions():
    assert len(PROJECT["scripts"]) == len(ROOMS)
    for target in PROJECT["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_rooms_are_typed():
    assert all((ROOT / room / "py.typed").is_file() for room in ROOMS)
    assert "Typing :: Typed" in PROJECT["classifiers"]


def test_the_wheel_holds_the_rooms_and_nothing_else(tmp_path):
    wheel = pytest.importorskip("hatchling.builders.wheel")
    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
    wanted = {path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()}
    files = {path.as_posix() for path in wanted if not WRITTEN & set(path.parts)}
    assert any(name.startswith("paper_figs/data/") and name.endswith(".json") for name in files)
    assert {name for name in names if not name.startswith(f"kdtheory-{kdtheory.__version__}.dist-info/")} == files
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_holds_what_the_tests_and_make_need(tmp_path):
    sdist = pytest.importorskip("hatchling.builders.sdist")
    (built,) = sdist.SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "constraints.txt", "conftest.py", "pyproject.toml", "README.md", "LICENSE", ".ci/run"} <= names
    for folder in (".github", "benchmarks", "docs", "notebooks", "tests"):
        paths = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert {path.as_posix() for path in paths if not WRITTEN & set(path.parts)} <= names
    assert not any(WRITTEN & set(name.split("/")) for name in names)
    for page in ("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md"):
        assert (ROOT / page).is_file() == (page in names)


def test_what_ci_makes_exists():
    targets = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8")))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"lint", "test", "docs", "dist"} <= targets
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
