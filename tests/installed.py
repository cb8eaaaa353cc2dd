"""Tests what was built, as others install it: ``make test-core PYTHONS="python3.11 python3.12 python3.13"``.

For each interpreter: a fresh environment .venv-core-X.Y, the wheel of dist/ with what pip finds for it today, its commands
with nothing else installed, and then the tests of the sdist of dist/. They see the installed packages and no others: in the
unpacked sdist each package is a link to the installed one. What needs a package that is not there skips itself.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST = (3, 11)
PACKAGES = ("kdtheory", "empirical", "paper_figs")
TEST_TOOLS = ("pytest", "pytest-xdist", "hypothesis", "mpmath")
INFO = "import sys, sysconfig; print(*sys.version_info[:2], sysconfig.get_path('purelib'))"


def main() -> int:
    """0 if every interpreter is there and passes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pythons", nargs="+", metavar="PYTHON", help="interpreters, as commands")
    parser.add_argument("--extras", default="", help="of the wheel, e.g. estimators,workers (default: none)")
    parser.add_argument("--jobs", type=int, default=1, help="processes that test (default: 1)")
    parser.add_argument("--no-tests", action="store_true", help="install it and try the commands only")
    options = parser.parse_args()
    (wheel,), (sdist,) = (list((ROOT / "dist").glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    said = []
    for python in options.pythons:
        start = time.perf_counter()
        try:
            outcome = tested(python, wheel, sdist, options)
        except subprocess.CalledProcessError as error:
            outcome = f"FAILED: {' '.join(map(str, error.cmd))}"
        except (OSError, ValueError) as error:
            outcome = f"FAILED: {error}"
        said.append(f"{python}: {outcome} ({time.perf_counter() - start:.0f} s)")
        print(f"== {said[-1]}", flush=True)
    if len(said) > 1:
        print(*("", *said), sep="\n")
    return int(any("FAILED" in line for line in said))


def tested(python: str, wheel: Path, sdist: Path, options: argparse.Namespace) -> str:
    """What came out for one interpreter.

    Raises
    ------
    ValueError
        If the interpreter is absent or too old.
    subprocess.CalledProcessError
        If a command fails.
    """
    major, minor, _ = facts(python)
    if (major, minor) < OLDEST:
        raise ValueError(f"{python} is Python {major}.{minor}, and kdtheory needs {'.'.join(map(str, OLDEST))} or later.")
    folder = ROOT / f".venv-core-{major}.{minor}"
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"

    def run(*command: object, cwd: Path = folder, shown: bool = True) -> None:
        print("$", *command, flush=True)
        words, out = [str(word) for word in command], None if shown else subprocess.DEVNULL
        subprocess.run(words, check=True, cwd=cwd, env=environment, stdout=out)

    run(python, "-m", "venv", "--clear", folder, cwd=ROOT)
    own = folder / "bin" / "python"
    run(own, "-m", "pip", "install", "--quiet", f"{wheel}[{options.extras}]" if options.extras else wheel)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        try_the_commands(run, own, work)
        if options.no_tests:
            return "the commands work"
        run(own, "-m", "pip", "install", "--quiet", *TEST_TOOLS)
        with tarfile.open(sdist) as archive:
            archive.extractall(work, filter="data")
        (checkout,) = (path for path in work.iterdir() if path.is_dir())
        site = Path(facts(str(own))[2])
        for package in PACKAGES:
            shutil.rmtree(checkout / package)
            (checkout / package).symlink_to(site / package)
        environment["KDTHEORY_INSTALLED"] = str(site)  # tests/test_packaging.py holds that this is what is tested
        jobs = ("-n", options.jobs, "--dist", "loadfile") if options.jobs > 1 else ()
        run(own, "-m", "pytest", "-q", "-p", "no:cacheprovider", *jobs, cwd=checkout)
    return "the commands work and the tests pass"


def try_the_commands(run, python: Path, work: Path) -> None:
    """Each program once, with warnings as errors, in an empty folder."""
    rows = "\n".join(f"{i},{i * i},{math.sin(i)}" for i in range(40))
    (work / "rows.csv").write_text(f"a,b,y\n{rows}\n", encoding="utf-8")
    for script in ("kdtheory", "kdtheory-empirical", "kdtheory-figures"):
        run(python.with_name(script), "--help", cwd=work, shown=False)
    run(python, "-W", "error", "-m", "kdtheory", "about", cwd=work)
    run(python, "-W", "error", "-m", "kdtheory", "verify", "--data", "rows.csv", "--paper", "borup", cwd=work)
    run(python, "-W", "error", "-m", "paper_figs", "--list", cwd=work, shown=False)


def facts(python: str) -> tuple[int, int, str]:
    """Version and site-packages of an interpreter.

    Raises
    ------
    ValueError
        If there is none of this name, or it does not run.
    """
    try:
        said = subprocess.run([python, "-c", INFO], capture_output=True, text=True, check=True).stdout.split(maxsplit=2)
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(f"no interpreter {python} runs here; install it or leave it out of PYTHONS.") from None
    return int(said[0]), int(said[1]), said[2].strip()


if __name__ == "__main__":
    sys.exit(main())
