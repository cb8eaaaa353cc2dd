"""What needs an optional package that is not installed is skipped, and the report says so: the core is tested without them.

A module that cannot be imported, wherever a test imports it, and a doctest that fails, are skipped where the reason is a
package that pyproject.toml declares in an extra and that is not there. Where a function of the package asks for one when it is
called, its test says so, by ``pytest.importorskip``: otherwise a core that came to need one would be skipped and not fail.
"""

import re
import tomllib
import traceback
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"].values()
DECLARED = {re.match(r"[\w.-]+", requirement)[0] for extra in EXTRAS for requirement in extra}
OPTIONAL = {"sklearn", "neural_tangents", "yaml", *(name.replace("-", "_") for name in DECLARED)} - {"kdtheory"}

collect_ignore_glob = []
if any(find_spec(name) is None for name in ("jax", "neural_tangents", "frozendict", "tqdm")):
    collect_ignore_glob += ["kdtheory/infinite.py", "kdtheory/architectures.py"]  # all of their examples need all of these


def absent(name):
    """Whether a package is declared and not installed."""
    return name in OPTIONAL and find_spec(name) is None


def needed_by(text):
    """The absent package that a failure speaks of."""
    found = re.search(r"ModuleNotFoundError: No module named '(\w+)", text)
    return found[1] if found and absent(found[1]) else None


def needed_at_import(error):
    """The absent package for want of which a module could not be imported; not one that a function asked for."""
    while error is not None:
        name = str(getattr(error, "name", "")).partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and absent(name):
            asking = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
            return name if asking[-1] == "<module>" else None
        error = error.__cause__ or error.__context__
    return None


def skipped(report, path, name):
    """The report of a failure as a skip."""
    report.outcome, report.longrepr = "skipped", (str(path), 0, f"Skipped: {name} is not installed")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """A module of tests, or one with doctests."""
    report = yield
    name = needed_by(str(report.longrepr)) if report.failed else None
    return skipped(report, collector.path, name) if name else report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A doctest, or a test that imports a module."""
    report = yield
    if not report.failed or call.excinfo is None:
        return report
    doctest = isinstance(item, pytest.DoctestItem)
    name = needed_by(str(report.longrepr)) if doctest else needed_at_import(call.excinfo.value)
    return skipped(report, item.path, name) if name else report
