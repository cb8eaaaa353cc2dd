"""Rooms whose optional packages are not installed are not collected: the core is tested without them."""

from importlib.util import find_spec

collect_ignore_glob = []
if find_spec("torch") is None:
    collect_ignore_glob += ["empirical/*.py", "tests/empirical/*.py"]
if any(find_spec(name) is None for name in ("jax", "neural_tangents", "frozendict", "tqdm")):
    collect_ignore_glob += ["kdtheory/infinite.py", "kdtheory/architectures.py"]
