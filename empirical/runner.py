"""Carrying out an experiment: unit by unit, each kept when it is finished, then one table.

A module of `empirical.experiments` may have, beside `Settings`, `GRID`, `units` and `measure`:

``QUICK``
    Settings of a few minutes, for ``--quick``.
``trial(settings)`` and ``TRIAL_SHARE``
    The same settings with fewer steps, and the share of a unit's time that they take: for an estimate before the start.
``fingerprints(settings)``
    Names and checksums of the files that are read. They belong to what a result is known by.
``verdicts(rows)``
    What the table says about the claims, as `empirical.verdict.Verdict`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from empirical import extra
from empirical.engine import OWN_FATE, Engine, Failure, Job, Unit, device_name
from empirical.revision import revision_of
from empirical.store import Cell, Result, Row, Store
from empirical.table import record

with extra():
    from tqdm import tqdm

__all__ = ["Grid", "Outcome", "carry_out", "finished", "record", "run"]

POLL = 2.0  #: seconds between looks at units that another process measures
#: Errors that are told in one sentence; any other is a defect of the code, and shows where it was raised.
TOLD = (ArithmeticError, ValueError, ImportError, MemoryError, OSError)


@dataclass(frozen=True)
class Outcome:
    """Rows of an experiment, in the order of its units.

    Attributes
    ----------
    rows : list of dicts
    seconds : float
        That the units took, one after the other.
    how : dict
        For the record: `units` finished and all, code `revision`, `device`, and what else there is to say.
    """

    rows: list[Row]
    seconds: float
    how: dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """An experiment's units and what each is known by."""

    module: ModuleType
    settings: Any
    revision: str
    fingerprints: dict[str, str]
    cells: dict[Cell, Unit]

    @classmethod
    def of(cls, module: ModuleType, settings: Any, device: str = "cpu") -> Grid:
        """The settings that span the grid are in the units, the others belong to each, and so does the kind of device.

        Raises
        ------
        ValueError
            If the settings have another form than the defaults, or leave nothing to measure.
        """
        try:
            units = list(module.units(settings))
        except (TypeError, ValueError, IndexError) as error:
            if str(error).startswith("`"):  # the experiment says itself what is wrong
                raise
            raise ValueError(f"`--set` must keep the form of the defaults, {type(settings)()}, got {settings}.") from error
        if not units:
            raise ValueError(f"`--set` must leave something to measure, got {settings}.")
        fixed = {name: value for name, value in dataclasses.asdict(settings).items() if name not in module.GRID}
        fingerprints = dict(module.fingerprints(settings)) if hasattr(module, "fingerprints") else {}
        kind = device.partition(":")[0]
        known = {**fixed, **({"device": kind} if kind != "cpu" else {})}
        revision, name = revision_of(module), module.__name__.rpartition(".")[2]
        cells = {}
        for unit in units:  # of the data it reads alone, so that a grid that has grown to more data keeps what it has
            prints = {data: fingerprints[data] for data in fingerprints if unit.get("data", data) == data}
            cells[Cell.of(name, {**known, **unit, **({"fingerprints": prints} if prints else {})}, revision)] = unit
        return cls(module, settings, revision, fingerprints, cells)

    @property
    def name(self) -> str:
        """Of the experiment."""
        return self.module.__name__.rpartition(".")[2]

    def outcome(self, found: dict[Cell, Result], **how: Any) -> Outcome:
        """Of the units that are finished; rows of other code than the present say of which."""
        results = [found[cell] for cell in self.cells if cell in found]
        others = sorted({result.revision for result in results} - {self.revision})
        rows = [{**row, "revision": result.revision} if others else row for result in results for row in result.rows]
        how = {
            "device": ", ".join(sorted({result.device for result in results})),
            "revision": self.revision,
            **({"other_revisions": others} if others else {}),
            "units": {"finished": len(results), "all": len(self.cells)},
            **({"data": self.fingerprints} if self.fingerprints else {}),
            **how,
        }
        return Outcome(rows, sum(result.seconds for result in results), how)


def run(
    module: ModuleType, settings: Any, *, runs: Path, device: str = "cpu", progress: bool = True
) -> tuple[list[Row], float]:
    """Rows and seconds of `carry_out`, in this process."""
    outcome = carry_out(module, settings, runs=runs, engine=Engine(device=device), progress=progress)
    return outcome.rows, outcome.seconds


def finished(module: ModuleType, settings: Any, *, runs: Path, any_revision: bool = False, device: str = "cpu") -> Outcome:
    """What is finished of an experiment on this kind of device; nothing is measured."""
    grid = Grid.of(module, settings, device)
    return grid.outcome(Store.open(runs).finished(list(grid.cells), any_revision=any_revision))


def carry_out(
    module: ModuleType,
    settings: Any,
    *,
    runs: Path,
    engine: Engine | None = None,
    any_revision: bool = False,
    progress: bool = True,
) -> Outcome:
    """All rows of an experiment: units finished before are read, the others measured and kept as they end.

    Other processes may work on the same grid: each unit is measured by one of them, and each of them returns all rows.

    Parameters
    ----------
    module : module
        Of `empirical.experiments`.
    settings : the module's Settings
    runs : Path
        Folder of all experiments' results.
    engine : Engine, optional
        Where units are measured; default: in this process.
    any_revision : bool
        Take results of other code where there are none of the present; their rows then have a column `revision`.
    progress : bool
        Show a bar over the units, and an estimate of the time.

    Raises
    ------
    ArithmeticError, ValueError, ImportError, MemoryError, OSError
        If a unit raised it, with the unit's name; after all other units, if the error is one of `empirical.engine.OWN_FATE`.
    KeyboardInterrupt
        With the number of units that are finished and kept.
    """
    engine = engine or Engine()
    grid, store = Grid.of(module, settings, engine.device), Store.open(runs)
    found = store.finished(list(grid.cells), any_revision=any_revision)
    say = partial(tqdm.write, file=sys.stderr) if progress else _nothing
    with (
        store.heartbeat(),
        tqdm(total=len(grid.cells), initial=len(found), desc=grid.name, unit="unit", disable=not progress) as bar,
    ):
        try:
            failed = _measure(grid, store, engine, found, bar, say) if len(found) < len(grid.cells) else {}
        except KeyboardInterrupt:
            kept = f"{len(found)} of {len(grid.cells)} units are finished and kept"
            raise KeyboardInterrupt(f"stopped; {kept}, and the same command goes on from there.") from None
        finally:
            with contextlib.suppress(OSError):  # the claims of a process that has ended are free in any case
                store.release(grid.name)
    if failed:
        _raise(grid, failed, len(found))
    return grid.outcome(found, workers=engine.workers or "all of the cluster")


def _nothing(text: str) -> None:
    """Say nothing."""


def _measure(
    grid: Grid, store: Store, engine: Engine, found: dict[Cell, Result], bar: Any, say: Callable[[str], Any]
) -> dict[Cell, Failure]:
    """Adds to what is found until nothing is left that can be had; what failed."""
    failed: dict[Cell, Failure] = {}
    cells, job = list(grid.cells), Job(grid.module.__name__, grid.revision, grid.settings)
    known = _seconds(grid, store, engine.device, found)
    told = waits = False
    with engine.start(grid.module, job) as (at_once, carry_out):
        while pending := [cell for cell in cells if cell not in found and cell not in failed]:
            if not told:
                say(_estimate(grid, len(found), known, at_once))
                told = True
            for number, result in carry_out(_claimed(store, grid, pending, failed)):
                cell = pending[number]
                if isinstance(result, Failure):
                    failed[cell] = result
                    continue
                store.put(cell, result.rows, seconds=result.seconds, device=result.device)
                found |= store.finished([cell])
                bar.update()
                if known is None:
                    known = result.seconds, "as the first one took"
                    say(_estimate(grid, len(found), known, at_once))
            if _stopped(failed):
                return failed
            by_others = store.finished([cell for cell in pending if cell not in found])
            found |= by_others
            bar.update(len(by_others))
            left = [cell for cell in pending if cell not in found and cell not in failed]
            if left and not waits and (holders := store.holders(left)):
                say(f"{grid.name}: waiting for {len(left)} units that {', '.join(map(str, holders))} measure.")
                waits = True
            if left:
                time.sleep(POLL)
    return failed


def _claimed(store: Store, grid: Grid, cells: Sequence[Cell], failed: Mapping[Cell, Failure]) -> Iterator[tuple[int, Unit]]:
    """Units by their number, each claimed when it is asked for; none after a failure that concerns all."""
    numbers = {cell: number for number, cell in enumerate(cells)}
    while not _stopped(failed) and (cell := store.claim(list(numbers))) is not None:
        yield numbers.pop(cell), grid.cells[cell]


def _stopped(failed: Mapping[Cell, Failure]) -> bool:
    """Whether an error came that is likely to come in every unit."""
    return not all(isinstance(failure.error, OWN_FATE) for failure in failed.values())


def _raise(grid: Grid, failed: Mapping[Cell, Failure], kept: int) -> NoReturn:
    """The error of a unit, with the unit's name."""
    cell, (error, trace) = min(failed.items(), key=lambda item: isinstance(item[1].error, OWN_FATE))
    unit = ", ".join(f"{name}={value}" for name, value in grid.cells[cell].items())
    more = f" and {len(failed) - 1} more failed" if len(failed) > 1 else " failed"
    where = f"{grid.name}, unit {unit}{more}, {kept} of {len(grid.cells)} are finished and kept"
    if isinstance(error, TOLD):
        kind = next(kind for kind in TOLD if isinstance(error, kind))
        raise kind(f"{where}: {error}") from error
    error.add_note(f"{where}.\n{trace}")
    raise error


def _seconds(grid: Grid, store: Store, device: str, found: Mapping[Cell, Result]) -> tuple[float, str] | None:
    """Seconds of a unit, and how they are known."""
    name = device_name(device)
    if alike := [result.seconds for result in found.values() if result.device == name]:
        return sum(alike) / len(alike), "as the finished ones took"
    if hasattr(grid.module, "trial"):
        with contextlib.suppress(ArithmeticError), extra():
            import torch  # noqa: PLC0415

            trial, share = grid.module.trial, grid.module.TRIAL_SHARE
            few, fewer = trial(grid.settings), trial(trial(grid.settings))
            spent = []
            for settings in (fewer, fewer, few):  # the first loads and warms up what the others use
                started = time.perf_counter()
                grid.module.measure(settings, grid.module.units(settings)[0], torch.device(device))
                spent.append(time.perf_counter() - started)
            per_share = max(0.0, spent[2] - spent[1]) / (share - share**2)
            return spent[1] + (1 - share**2) * per_share, "from a trial with fewer steps"
    usual = store.usual_seconds(grid.name, name)
    return None if usual is None else (usual, "as with other settings or other code")


def _estimate(grid: Grid, kept: int, known: tuple[float, str] | None, at_once: int) -> str:
    left = len(grid.cells) - kept
    start = f"{grid.name}: {kept} of {len(grid.cells)} units are finished"
    if known is None:
        return f"{start}; the time that the others take is told after the first one."
    seconds, how = known
    whole = seconds * left / min(at_once, left or 1)
    return f"{start}, the other {left} take about {_duration(whole)} (at {_duration(seconds)} each, {how}; {at_once} at once)."


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"
