"""What is installed here: versions, BLAS, thread settings, optional packages; for the head of a log or of a bug report."""

from __future__ import annotations

import os
import platform
import re
import textwrap
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import Any

__all__ = ["about", "in_words"]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
COLLECTIONS = ("all", "docs", "notebooks", "dev")  # extras that hold others, in this order: only what they add is listed
NEURAL_TANGENTS = "pip install --no-deps neural-tangents==0.6.5"  # it declares TensorFlow, which nothing here needs
GPU = 'python -c "import torch; print(torch.cuda.is_available())"'
WIDTH = 100


def about() -> dict[str, Any]:
    """What is installed, as plain values; nothing of the optional packages is imported, and no path or host is named.

    Examples
    --------
    >>> from kdtheory import theorems
    >>> about()["theorems"] == len(theorems.all())
    True
    """
    from kdtheory import __version__, theorems  # noqa: PLC0415  # they load NumPy and SciPy

    return {
        "kdtheory": __version__,
        "theorems": len(theorems.all()),
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": " ".join(filter(None, (platform.system(), platform.machine(), *platform.libc_ver()))),
        "processors": os.cpu_count(),
        "numpy": _version("numpy"),
        "scipy": _version("scipy"),
        "blas": _blas(),
        "threads": {name: os.environ.get(name) for name in THREADS},
        "optional": {name: {each: _version(each) for each in packages} for name, packages in _extras().items()},
        "neural-tangents": _version("neural-tangents"),
    }


def in_words(facts: Mapping[str, Any]) -> str:
    """The same for people, with the command that installs what is missing."""
    threads = ", ".join(f"{name} {'not set' if value is None else value}" for name, value in facts["threads"].items())
    lines = [
        f"kdtheory {facts['kdtheory']}, {facts['theorems']} theorems",
        f"Python {facts['python']} on {facts['platform']}, {facts['processors']} processors",
        f"NumPy {facts['numpy']}, SciPy {facts['scipy']}",
        *(f"BLAS: {library}" for library in facts["blas"]),
        f"threads: {threads}",
        "optional packages" if facts["optional"] else "optional packages: not known, kdtheory is not installed here",
    ]
    for extra, packages in facts["optional"].items():
        missing = [name for name, version in packages.items() if version is None]
        words = ", ".join(f"{name}\xa0{version}" for name, version in packages.items() if version is not None)
        cure = f"{', '.join(missing)} not installed: pip install 'kdtheory[{extra}]'"
        lines += _entry(extra, "; ".join(filter(None, (words, cure if missing else ""))))
        if extra == "ntk":
            lines += _entry("", f"neural-tangents {facts['neural-tangents'] or f'not installed: {NEURAL_TANGENTS}'}")
    torch = facts["optional"].get("empirical", {}).get("torch")
    lines.append(
        f"device: PyTorch {torch} is installed; `{GPU}` says whether it finds a GPU" if torch else "device: the processor"
    )
    return "\n".join(lines)


def _entry(name: str, words: str) -> list[str]:
    wrapper = textwrap.TextWrapper(WIDTH, subsequent_indent=" " * 14, break_on_hyphens=False, break_long_words=False)
    wrapper.initial_indent = f"  {name:12}"
    return [line.replace("\xa0", " ") for line in wrapper.wrap(words)]  # which kept a package and its version together


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> dict[str, list[str]]:
    """The packages of each extra as the installed kdtheory declares them, and of a collection those that it adds."""
    try:
        declared = metadata.metadata("kdtheory")
    except metadata.PackageNotFoundError:  # a copy that is on the path and was not installed
        return {}
    found: dict[str, list[str]] = {name: [] for name in declared.get_all("Provides-Extra", [])}
    for requirement in declared.get_all("Requires-Dist", []):
        package, extra = re.match(r"[\w.-]+", requirement), re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if package and extra:
            found[extra[1]].append(package[0])
    rooms = {name: packages for name, packages in found.items() if name not in COLLECTIONS}
    known = {package for packages in rooms.values() for package in packages}
    for name in COLLECTIONS:
        added = [package for package in found.get(name, ()) if package not in known]
        known |= set(added)
        rooms |= {name: added} if added else {}
    return rooms


def _blas() -> list[str]:
    """Each BLAS: from threadpoolctl, which knows what is loaded, and otherwise what NumPy and SciPy were built with."""
    import numpy as np  # noqa: PLC0415
    import scipy.linalg  # noqa: PLC0415

    if find_spec("threadpoolctl"):
        from threadpoolctl import threadpool_info  # noqa: PLC0415

        loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
        return [f"{each['internal_api']} {each['version']}, threads {each['num_threads']}" for each in loaded]
    built = {each.__name__: each.show_config(mode="dicts")["Build Dependencies"]["blas"] for each in (np, scipy)}
    return [f"{blas['name']} {blas['version']}, built into {name}" for name, blas in built.items()]
