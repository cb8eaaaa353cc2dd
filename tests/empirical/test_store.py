"""Results are in the file whole or not at all; a unit is claimed once; a file that is damaged is left as it is."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from empirical import store as module
from empirical.store import SILENCE, Cell, Owner, Store

ROOT = Path(__file__).parents[2]
CELL, OTHER = Cell.of("width", {"width": 64, "seed": 0}, "a1"), Cell.of("width", {"width": 64, "seed": 1}, "a1")


def put(store, cell=CELL, rows=({"error": 0.5},), seconds=1.0, device="CPU"):
    store.put(cell, list(rows), seconds=seconds, device=device)


def sql(store, text, *values):
    with closing(sqlite3.connect(store.path)) as database:
        found = database.execute(text, values).fetchall()
        database.commit()
        return found


def test_rows_come_back_as_they_were(tmp_path):
    store = Store.open(tmp_path)
    put(store, rows=[{"a": np.int64(1), "b": np.float64(0.1), "c": float("inf"), "d": "x", "e": None, "f": np.arange(2)}])
    result = Store.open(tmp_path).finished([OTHER, CELL])
    assert list(result) == [CELL]
    assert result[CELL].rows == [{"a": 1, "b": 0.1, "c": float("inf"), "d": "x", "e": None, "f": [0, 1]}]
    assert result[CELL][1:] == (1.0, "CPU", "a1")
    with pytest.raises(TypeError, match="a table holds numbers and text, got object"):
        put(store, OTHER, [{"a": object()}])


def test_a_result_belongs_to_its_whole_cell():
    assert Cell.of("width", {"seed": 0, "width": 64}, "a1") == CELL
    assert len({CELL, OTHER, CELL._replace(revision="b2"), CELL._replace(experiment="depth")}) == 4


def test_older_code_counts_only_on_purpose(tmp_path):
    store = Store.open(tmp_path)
    new = CELL._replace(revision="c3")
    for revision in ("a1", "b2"):
        put(store, CELL._replace(revision=revision), [{"by": revision}])
    assert store.finished([new]) == {}
    assert store.finished([new], any_revision=True)[new].rows == [{"by": "b2"}]
    put(store, new, [{"by": "c3"}])
    put(store, CELL._replace(revision="d4"), [{"by": "d4"}])
    assert store.finished([new], any_revision=True)[new].rows == [{"by": "c3"}]


def test_what_was_put_first_stays(tmp_path):
    store = Store.open(tmp_path)
    put(store, rows=[{"x": 1}])
    put(store, rows=[{"x": 2}])
    assert store.finished([CELL])[CELL].rows == [{"x": 1}]


def test_threads_of_claims_get_each_unit_once(tmp_path, monkeypatch):
    store = Store.open(tmp_path)
    cells = [Cell.of("width", {"seed": seed}, "a1") for seed in range(12)]
    me = threading.local()
    monkeypatch.setattr(Owner, "here", classmethod(lambda cls: cls("here", me.number, "")))
    monkeypatch.setattr(Owner, "alive", lambda owner, silence: True)
    taken, connect = [], sqlite3.connect

    class Slow(sqlite3.Connection):
        def execute(self, text, *values):
            time.sleep(0.005 * text.startswith("INSERT OR REPLACE"))  # between looking and taking
            return super().execute(text, *values)

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **how: connect(*args, factory=Slow, **how))

    def work(number):
        me.number = number
        while (cell := store.claim(cells)) is not None and not taken.append((number, cell)):
            put(store, cell)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(cell for _, cell in taken) == sorted(cells)


def test_a_claim_holds_until_its_owner_is_dead(tmp_path):
    store = Store.open(tmp_path)
    assert store.claim([CELL, OTHER]) == CELL
    here = Owner.here()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        alive = Owner(here.machine, child.pid, module._started(child.pid))
        sql(store, "UPDATE claims SET pid = ?, started = ?, seen = 0", alive.pid, alive.started)
        assert store.claim([CELL, OTHER]) == OTHER
        assert store.claim([CELL]) is None
        assert store.holders([CELL, OTHER]) == sorted([alive, here])
        sql(store, "UPDATE claims SET started = 'before' WHERE pid = ?", alive.pid)  # its number was another process's
        assert store.claim([CELL]) == CELL
        sql(store, "UPDATE claims SET pid = ?, started = ?", alive.pid, alive.started)
        child.kill()
        while module._started(child.pid) is not None:  # ended, though its parent has not looked yet
            time.sleep(0.01)
        assert store.claim([CELL]) == CELL
    store.release("width")
    assert store.holders([CELL]) == []


def test_a_process_of_another_machine_is_alive_while_it_gives_signs(tmp_path, monkeypatch):
    store = Store.open(tmp_path)
    store.claim([CELL])
    sql(store, "UPDATE claims SET machine = 'elsewhere'")
    assert store.claim([CELL]) is None
    sql(store, "UPDATE claims SET seen = ?", time.time() - SILENCE - 1)
    assert store.claim([CELL]) == CELL
    monkeypatch.setattr(module, "BEAT", 0.01)
    sql(store, "UPDATE claims SET seen = 0")
    with store.heartbeat():
        deadline = time.time() + 10
        while sql(store, "SELECT seen FROM claims") == [(0.0,)] and time.time() < deadline:
            time.sleep(0.01)
    assert sql(store, "SELECT seen FROM claims")[0][0] > time.time() - 60


@pytest.mark.parametrize("moment", ["BEGIN IMMEDIATE", "INSERT OR IGNORE", "DELETE", "COMMIT"])
def test_a_writer_killed_at_any_step_leaves_all_or_nothing(tmp_path, moment):
    code = f"""
    import os, sqlite3, sys
    from pathlib import Path
    from tests.empirical.test_store import CELL, OTHER, Store, put
    store = Store.open(Path({str(tmp_path)!r}))
    put(store, OTHER)
    store.claim([CELL])
    class Dying(sqlite3.Connection):
        def execute(self, text, *values):
            if text.startswith({moment!r}):
                os.kill(os.getpid(), 9)
            return super().execute(text, *values)
    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **how: connect(*args, factory=Dying, **how)
    put(store)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    store = Store.open(tmp_path)
    assert list(store.finished([CELL, OTHER])) == [OTHER]
    assert store.claim([OTHER, CELL]) == CELL


def test_a_full_disk_keeps_what_was_finished(tmp_path, monkeypatch):
    store = Store.open(tmp_path)
    put(store)
    connect = sqlite3.connect

    def full(*args, **how):
        database = connect(*args, **how)
        database.execute("PRAGMA max_page_count = 1")
        return database

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(OSError, match=r"`--runs` must be on a disk with room, .*results.sqlite has none left; what was"):
        put(store, OTHER, [{"text": "x" * 100_000}])
    monkeypatch.undo()
    assert list(store.finished([CELL, OTHER])) == [CELL]
    put(store, OTHER)


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    store = Store.open(tmp_path)
    put(store)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **how: connect(f"file:{path}?mode=ro", uri=True, **how))
    assert list(Store.open(tmp_path).finished([CELL])) == [CELL]
    with pytest.raises(OSError, match="`--runs` must be a folder that can be written to"):
        store.claim([OTHER])
    monkeypatch.undo()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"`--runs` must be a folder that can be made, .*file/runs cannot"):
        Store.open(tmp_path / "file" / "runs")
    (tmp_path / "taken" / "results.sqlite").mkdir(parents=True)
    with pytest.raises(OSError, match=r"`--runs` must be a folder that can be written to, .*unable to open"):
        Store.open(tmp_path / "taken")


def damaged(content, how):
    if how == "text":
        return b"not a database, though there was one"
    if how == "cut":
        return content[: len(content) // 2]
    if how == "holes":
        return content[:4096] + b"\0" * 4096 + content[8192:]
    return content.replace(b"0.123456", b"0.123457")  # a digit of a result


@pytest.mark.parametrize("how", ["text", "cut", "holes", "digit"])
def test_a_damaged_file_is_named_and_left_alone(tmp_path, how):
    store = Store.open(tmp_path)
    for seed in range(40):
        put(store, Cell.of("width", {"seed": seed}, "a1"), [{"error": 0.123456, "text": "x" * 200}])
    content = damaged(store.path.read_bytes(), how)
    store.path.write_bytes(content)
    with pytest.raises(OSError, match=r"is damaged \(.*\) and was left as it is: move it away with `mv .*damaged-results"):
        Store.open(tmp_path).finished([Cell.of("width", {"seed": seed}, "a1") for seed in range(40)])
    assert store.path.read_bytes() == content
    store.path.rename(tmp_path / "damaged-results.sqlite")
    put(Store.open(tmp_path))


def test_a_store_of_a_later_version_is_refused(tmp_path):
    store = Store.open(tmp_path)
    sql(store, "PRAGMA user_version = 7")
    with pytest.raises(OSError, match=r"`--runs` must hold a store of this version, .* has layout 7, not 1"):
        Store.open(tmp_path)


def test_a_lock_that_does_not_end_is_told(tmp_path, monkeypatch):
    store = Store.open(tmp_path)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OSError, match=r"`--runs` must be free to write, .* has been locked by another process for 0 s"):
            store.claim([CELL])


def test_the_database_is_one_file_that_others_can_read(tmp_path):
    store = Store.open(tmp_path)
    put(store)
    assert [path.name for path in tmp_path.iterdir()] == ["results.sqlite"]
    assert sql(store, "PRAGMA journal_mode") == [("delete",)]
    assert [json.loads(text) for (text,) in sql(store, "SELECT configuration FROM results")] == [{"seed": 0, "width": 64}]
    assert store.usual_seconds("width", "CPU") == 1.0
    assert store.usual_seconds("width", "a GPU") is None
    assert os.getpid() == Owner.here().pid
