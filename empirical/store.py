r"""Finished work is kept: every unit of a grid is one row of one database file, which any number of processes may share.

The file is SQLite's, ``results.sqlite`` in the folder of the runs. A unit that was measured is written in one transaction:
it is there whole or not at all, whatever stops the process. Before a unit is measured it is claimed, in a transaction too,
so that no two processes measure the same; a claim whose owner is dead is free.

The journal is SQLite's rollback journal, not its write-ahead log: that one needs memory shared by all who have the file
open, which a folder on a network has not, and gains speed where seconds of training precede every write. After kill -9 the
next who opens the file rolls back what was half written. Every operation opens and closes the file, so threads need no care.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Cell", "Owner", "Result", "Row", "Store"]

Row = dict[str, Any]

FILE = "results.sqlite"
LAYOUT = 1  #: of the tables, kept as the file's user_version
PATIENCE = 60.0  #: seconds to wait for another process's transaction
BEAT = 30.0  #: seconds between the signs of life of a process that holds claims
SILENCE = 600.0  #: seconds after which a process of another machine counts as dead

TABLES = """
CREATE TABLE IF NOT EXISTS results (
  experiment TEXT NOT NULL, configuration TEXT NOT NULL, revision TEXT NOT NULL,
  rows TEXT NOT NULL, digest TEXT NOT NULL, seconds REAL NOT NULL, device TEXT NOT NULL,
  PRIMARY KEY (experiment, configuration, revision));
CREATE TABLE IF NOT EXISTS claims (
  experiment TEXT NOT NULL, configuration TEXT NOT NULL, revision TEXT NOT NULL,
  machine TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL, seen REAL NOT NULL,
  PRIMARY KEY (experiment, configuration, revision));
"""
THIS = "experiment = ? AND configuration = ? AND revision = ?"
OURS = "machine = ? AND pid = ? AND started = ?"


class Cell(NamedTuple):
    """What a result is known by: the experiment, everything that determines it (as JSON), and the code's revision."""

    experiment: str
    configuration: str
    revision: str

    @classmethod
    def of(cls, experiment: str, configuration: Mapping[str, Any], revision: str) -> Cell:
        """The order of the names does not matter."""
        return cls(experiment, json.dumps(configuration, sort_keys=True, default=_plain), revision)


class Result(NamedTuple):
    """Rows of a finished unit, the seconds it took, the device's name, and the revision of the code that measured it."""

    rows: list[Row]
    seconds: float
    device: str
    revision: str


class Owner(NamedTuple):
    """A process: its machine, its number there, and when it started, for numbers are used again."""

    machine: str
    pid: int
    started: str

    @classmethod
    def here(cls) -> Owner:
        """The process that asks."""
        return cls(_machine(), os.getpid(), _started(os.getpid()) or "")

    def alive(self, silence: float) -> bool:
        """Whether the process is there; on another machine, whether its last sign of life is less than `SILENCE` ago."""
        if self.machine != _machine() or os.name == "nt":  # Windows has no way to ask that does not harm
            return silence < SILENCE
        return _started(self.pid) == self.started


@cache
def _machine() -> str:
    """The machine's name; where they can be told also this start of it, and whose process numbers are seen here."""
    with contextlib.suppress(OSError):
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{platform.node()} {start[:8]} {os.readlink('/proc/self/ns/pid')}"
    return platform.node()


def _started(pid: int) -> str | None:
    """When a process of this machine started; "" if it is there and this cannot be told, None if it is not."""
    if Path("/proc/self/stat").exists():
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return None
        return None if state in "ZX" else fields[18]  # ended, but not yet fetched by its parent
    try:
        with contextlib.suppress(PermissionError):  # someone else's
            os.kill(pid, 0)
    except ProcessLookupError:
        return None
    return ""


@dataclass(frozen=True)
class Store:
    """The results of all experiments in one file.

    A unit is known by its `Cell` and by nothing else, so that a grid that has grown computes only what is new.

    Examples
    --------
    A unit can be claimed once, and once it is finished no more:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store, cell = Store.open(Path(folder)), Cell.of("width", {"width": 64, "seed": 0}, "a1")
    ...     store.claim([cell]) == cell
    ...     store.put(cell, [{"error": 0.5}], seconds=1.5, device="CPU")
    ...     store.claim([cell]), store.finished([cell])[cell].rows
    True
    (None, [{'error': 0.5}])
    """

    path: Path

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The store of a folder, which is made where it is missing.

        Raises
        ------
        OSError
            If there is no writing to the folder, or what is there is damaged or no store: then nothing of it is touched.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"`--runs` must be a folder that can be made, {folder} cannot ({error.strerror}).") from error
        store = cls(folder / FILE)
        with store._connection() as database:
            if (found := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise OSError(store._damaged(str(found)))
            layout = database.execute("PRAGMA user_version").fetchone()[0]
            if layout not in (0, LAYOUT):
                raise OSError(f"`--runs` must hold a store of this version, {store.path} has layout {layout}, not {LAYOUT}.")
            if layout == 0:
                database.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {LAYOUT}; COMMIT;")
        return store

    def finished(self, cells: Sequence[Cell], *, any_revision: bool = False) -> dict[Cell, Result]:
        """Those of the cells that are finished; by any revision of the code, this one first and else the last, if asked.

        Raises
        ------
        OSError
            If the database cannot be read, or rows are not those that were written.
        """
        found = {}
        with self._transaction("") as database:
            for cell in cells:
                row = database.execute(
                    "SELECT rows, digest, seconds, device, revision FROM results WHERE experiment = ? AND configuration = ? "
                    "AND (revision = ? OR ?) ORDER BY revision = ? DESC, rowid DESC LIMIT 1",
                    (*cell, any_revision, cell.revision),
                ).fetchone()
                if row is not None:
                    text, digest, *how = row
                    if digest != _digest(text):
                        raise OSError(self._damaged(f"the rows of {cell.configuration} are not those that were written"))
                    found[cell] = Result(json.loads(text), *how)
        return found

    def claim(self, cells: Sequence[Cell]) -> Cell | None:
        """The first of the cells that is neither finished nor claimed by a living process; it is this process's now.

        A claim by this process itself is no hindrance.
        """
        me = Owner.here()
        with self._transaction("IMMEDIATE") as database:
            for cell in cells:
                if database.execute(f"SELECT 1 FROM results WHERE {THIS}", cell).fetchone() is not None:
                    continue
                holder = database.execute(f"SELECT machine, pid, started, seen FROM claims WHERE {THIS}", cell).fetchone()
                if holder is None or Owner(*holder[:3]) == me or not Owner(*holder[:3]).alive(time.time() - holder[3]):
                    database.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?, ?, ?)", (*cell, *me, time.time()))
                    return cell
        return None

    def put(self, cell: Cell, rows: Sequence[Row], *, seconds: float, device: str) -> None:
        """Keep the rows of a finished unit and give up its claim; what another process put first stays."""
        text = json.dumps(rows, default=_plain)
        with self._transaction("IMMEDIATE") as database:
            database.execute(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", (*cell, text, _digest(text), seconds, device)
            )
            database.execute(f"DELETE FROM claims WHERE {THIS}", cell)

    def release(self, experiment: str) -> None:
        """Give up the claims of this process on an experiment's units."""
        with self._transaction("IMMEDIATE") as database:
            database.execute(f"DELETE FROM claims WHERE experiment = ? AND {OURS}", (experiment, *Owner.here()))

    def holders(self, cells: Sequence[Cell]) -> list[Owner]:
        """Who holds claims on the cells."""
        with self._transaction("") as database:
            query = f"SELECT machine, pid, started FROM claims WHERE {THIS}"
            rows = [row for cell in cells for row in database.execute(query, cell)]
        return sorted({Owner(*row) for row in rows})

    def usual_seconds(self, experiment: str, device: str) -> float | None:
        """Mean seconds of an experiment's finished units on a device, whatever their settings; None if there are none."""
        with self._transaction("") as database:
            query = "SELECT avg(seconds) FROM results WHERE experiment = ? AND device = ?"
            mean: float | None = database.execute(query, (experiment, device)).fetchone()[0]
        return mean

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Show, while the body runs, that this process is alive, to processes of other machines that see its claims."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT):
                with contextlib.suppress(OSError), self._transaction("IMMEDIATE") as database:  # the next beat tries again
                    database.execute(f"UPDATE claims SET seen = ? WHERE {OURS}", (time.time(), *Owner.here()))

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with self._connection() as database:
            database.execute(f"BEGIN {kind}")
            yield database  # an error closes the connection, and that rolls back
            database.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)) as database:
                yield database
        except sqlite3.Error as error:
            raise OSError(self._sentence(error)) from error

    def _sentence(self, error: sqlite3.Error) -> str:
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the upper bits say more than is needed
            case sqlite3.SQLITE_FULL:
                return f"`--runs` must be on a disk with room, {self.path} has none left; what was finished is kept."
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return f"`--runs` must be a folder that can be written to, {self.path} cannot ({error}); nothing is changed."
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return self._damaged(str(error))
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return f"`--runs` must be free to write, {self.path} has been locked by another process for {PATIENCE:.0f} s."
            case _:
                return f"`--runs` must be a folder that works, {self.path} does not ({error}); all that was finished is kept."

    def _damaged(self, how: str) -> str:
        aside = self.path.with_name(f"damaged-{self.path.name}")
        return (
            f"`--runs` must hold a sound database, {self.path} is damaged ({' '.join(how.split())}) and was left as it is: "
            f"move it away with `mv {self.path} {aside}` to begin a new one."
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """NumPy's and PyTorch's numbers and arrays as Python's."""
    if not hasattr(value, "tolist"):
        raise TypeError(f"a table holds numbers and text, got {type(value).__name__}.")
    return value.tolist()
