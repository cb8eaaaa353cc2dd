"""Carrying out an experiment: unit by unit, each kept when it is finished, then one table."""

from __future__ import annotations

import ast
import csv
import dataclasses
import importlib
import io
import json
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from empirical import extra, progress_bar
from empirical.experiments import EXPERIMENTS
from empirical.store import Row, Store, write_whole

with extra():
    import torch

__all__ = ["changed", "experiment", "record", "require_device", "run"]


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
    torch.set_num_threads(threads)
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"`--device` must be one that PyTorch finds here, got {device!r}.") from error


def run(
    module: ModuleType, settings: Any, *, runs: Path, device: str = "cpu", progress: bool = True
) -> tuple[list[Row], float]:
    """All rows of an experiment, and the seconds they took; units finished before are read, the others measured and kept.

    Parameters
    ----------
    module : module
        Of `empirical.experiments`.
    settings : the module's Settings
    runs : Path
        Folder of all experiments' results.
    device : str
        For PyTorch.
    progress : bool
        Show a bar over the units.
    """
    store = Store(runs / module.__name__.rpartition(".")[2])
    fixed = {name: value for name, value in dataclasses.asdict(settings).items() if name not in module.GRID}
    try:
        units = list(module.units(settings))
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"`--set` must keep the form of the defaults, {type(settings)()}, got {settings}.") from error
    if not units:
        raise ValueError(f"`--set` must leave something to measure, got {settings}.")
    rows: list[Row] = []
    seconds = 0.0
    for unit in progress_bar(units, progress, module.__name__.rpartition(".")[2]):
        known = store.get({**fixed, **unit})
        if known is None:
            started = time.perf_counter()
            measured = [{**unit, **row} for row in module.measure(settings, unit, torch.device(device))]
            known = measured, time.perf_counter() - started
            store.put({**fixed, **unit}, *known)
        rows += known[0]
        seconds += known[1]
    return rows, seconds


def record(name: str, settings: Any, rows: Sequence[Mapping[str, Any]], folder: Path, *, device: str, seconds: float) -> Path:
    """NAME.csv with the rows (six digits) and NAME.json with the settings and versions; the table's path."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
    how = {
        "settings": dataclasses.asdict(settings),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "CPU",
        "seconds": round(seconds),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in ("kdtheory", "torch", "numpy")},
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{name}.csv", text.getvalue())
    write_whole(folder / f"{name}.json", json.dumps(how, indent=1) + "\n")
    return folder / f"{name}.csv"
