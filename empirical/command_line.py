"""What the commands of ``python -m empirical`` do, and what their options mean."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from empirical import extra
from empirical.experiments import EXPERIMENTS
from empirical.table import FORMATS, read
from empirical.verdict import in_words

__all__ = ["changed", "experiment", "export", "listed", "quick", "report", "require_device", "run"]

DATA = "KDTHEORY_DATA"


def experiment(name: str) -> ModuleType:
    """The module of an experiment.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"`NAME` must be one of {', '.join(EXPERIMENTS)}, got {name!r}.")
    return importlib.import_module(f"empirical.experiments.{name}")


def quick(module: ModuleType) -> Any:
    """The module's settings of a few minutes.

    Raises
    ------
    ValueError
        If it has none.
    """
    if not hasattr(module, "QUICK"):
        name = module.__name__.rpartition(".")[2]
        raise ValueError(f"`--quick` must be for an experiment that has quick settings, {name} has none; use `--set`.")
    return module.QUICK


def changed(settings: Any, assignments: Sequence[str]) -> Any:
    """Settings with some fields replaced, each given as ``name=value`` in Python's notation.

    Raises
    ------
    ValueError
        If a name is no field, or a value cannot be read or has another type than the default.
    """
    fields = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    values = {}
    for text in assignments:
        name, found, value = text.partition("=")
        if not found or name not in fields:
            raise ValueError(f"`--set` must be NAME=VALUE with NAME one of {', '.join(fields)}, got {text!r}.")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value
        if isinstance(fields[name], tuple) and not isinstance(values[name], tuple):
            values[name] = tuple(values[name]) if isinstance(values[name], list) else (values[name],)
        if isinstance(fields[name], float) and isinstance(values[name], int):
            values[name] = float(values[name])
        if not isinstance(values[name], type(fields[name])):
            kind = type(fields[name]).__name__
            raise ValueError(f"`--set` must give {name} a value of type {kind}, such as {fields[name]!r}, got {value!r}.")
    return dataclasses.replace(settings, **values)


def require_device(device: str, threads: int) -> None:
    """Set PyTorch's threads, and refuse a device that is not there."""
    if threads < 1:
        raise ValueError(f"`--threads` must be a whole number of at least 1, got {threads}.")
    with extra():
        import torch  # noqa: PLC0415
    torch.set_num_threads(threads)
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"`--device` must be one that PyTorch finds here, got {device!r}.") from error


def listed(options: Namespace) -> int:  # noqa: ARG001  # it has none
    """The experiments: claim, units, settings."""
    for name in EXPERIMENTS:
        module = experiment(name)
        settings = module.Settings()
        units = f"{len(module.units(settings))} units"
        if hasattr(module, "QUICK"):
            units += f"; {len(module.units(module.QUICK))} with --quick"
        print(f"{name}\n    {_claim(module)}\n    {units}")
        for field in dataclasses.fields(settings):
            print(f"        {field.name} = {getattr(settings, field.name)!r}")
    return 0


def run(options: Namespace) -> int:
    """Measure what is missing, and write the table."""
    from empirical import runner  # noqa: PLC0415  # not before the options are known to be right
    from empirical.engine import Engine  # noqa: PLC0415

    _require_folders(options)
    workers = options.workers if options.workers is not None else int(options.backend == "processes")
    engine = Engine(workers, options.backend, options.scheduler, options.device, options.threads)
    if options.backend == "processes":  # a cluster has its own devices
        require_device(options.device, options.threads)
    module, settings = _chosen(options)
    outcome = runner.carry_out(module, settings, runs=options.runs, engine=engine, any_revision=options.any_revision)
    return _recorded(options, settings, outcome, "")


def export(options: Namespace) -> int:
    """Write what is finished; as NAME-partial where units are missing, so that a whole table is never replaced by it."""
    from empirical import runner  # noqa: PLC0415

    _require_folders(options)
    module, settings = _chosen(options)
    outcome = runner.finished(module, settings, runs=options.runs, any_revision=options.any_revision)
    if not outcome.rows:
        raise ValueError(f"`--runs` must have finished units of {options.name}, {options.runs} has none; {_cure(options)}.")
    units = outcome.how["units"]
    return _recorded(options, settings, outcome, "" if units["finished"] == units["all"] else "-partial")


def report(options: Namespace) -> int:
    """Print what a table says about the claims, and how it was made."""
    module = experiment(options.name)
    path = options.table or _newest(options)
    if not hasattr(module, "verdicts"):
        raise ValueError(f"`NAME` must be an experiment that judges its claims, {options.name} does not; its table is {path}.")
    try:
        verdicts = module.verdicts(read(path))
    except KeyError as error:
        raise ValueError(f"`--table` must be a table of {options.name}, {path} has no column {error}.") from error
    how = path.with_suffix(".json")
    print(f"{options.name}: {_claim(module)}\n\n{in_words(verdicts)}\n")
    print("\n".join(_made(module, json.loads(how.read_text(encoding="utf-8")))) if how.is_file() else "How: not recorded.")
    return 0


def _made(module: ModuleType, how: Mapping[str, Any]) -> list[str]:
    """How a table was made, and what was not run."""
    from empirical.revision import revision_of  # noqa: PLC0415

    present, then = revision_of(module), how.get("revision")
    units, seeds = how.get("units"), how.get("seeds", ())
    given = how["settings"]
    defaults = json.loads(json.dumps(dataclasses.asdict(module.Settings())))
    code = "not recorded" if then is None else f"revision {then}"
    if then == present and "other_revisions" in how:
        code += f" and, on purpose, older: {', '.join(how['other_revisions'])}"
    elif then is not None:
        code += ", the present one" if then == present else f"; the present code is another, {present}"
    lines = [
        f"How: {how['device']}, {how['seconds']} s of measuring{f', {len(seeds)} seeds' if seeds else ''}.",
        f"Code: {code}.",
    ]
    lines += [f"Data: {name}, checksum {checksum}." for name, checksum in how.get("data", {}).items()]
    if units and units["finished"] < units["all"]:
        lines.append(f"Not run: {units['all'] - units['finished']} of {units['all']} units.")
    for name in dict.fromkeys([*defaults, *given]):
        if given.get(name) != defaults.get(name):
            lines.append(f"Not the default: {name} = {given.get(name)}, default {defaults.get(name)}.")
    return lines


def _claim(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]


def _cure(options: Namespace) -> str:
    return f"`python -m empirical run {options.name}{' --quick' if options.quick else ''}` makes them"


def _chosen(options: Namespace) -> tuple[ModuleType, Any]:
    module = experiment(options.name)
    return module, changed(quick(module) if options.quick else module.Settings(), options.set)


def _recorded(options: Namespace, settings: Any, outcome: Any, ending: str) -> int:
    from empirical.table import record  # noqa: PLC0415

    name = f"{options.name}{'-quick' if options.quick else ''}{ending}"
    how = {"device": getattr(options, "device", "cpu"), "seconds": outcome.seconds, "how": outcome.how}
    path = record(name, settings, outcome.rows, options.out, format=options.format, **how)
    units = outcome.how["units"]
    print(f"{len(outcome.rows)} rows of {units['finished']} units in {path}")
    return 0


def _newest(options: Namespace) -> Path:
    """The table of the last run."""
    name = f"{options.name}{'-quick' if options.quick else ''}"
    paths = [path for kind in FORMATS if (path := options.out / f"{name}.{kind}").is_file()]
    if not paths:
        raise ValueError(f"`--out` must hold results of {options.name}, {options.out} has none; {_cure(options)}.")
    newest: Path = max(paths, key=lambda path: path.stat().st_mtime)
    return newest


def _require_folders(options: Namespace) -> None:
    for name in ("out", "runs"):
        folder: Path = getattr(options, name)
        blocked = next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None)
        if blocked is not None:
            raise ValueError(f"`--{name}` must be a folder, {str(blocked)!r} is a file.")
    if options.data_dir is not None:
        if not options.data_dir.is_dir():
            raise ValueError(f"`--data-dir` must be a folder that is there, got {str(options.data_dir)!r}.")
        os.environ[DATA] = str(options.data_dir.resolve())
