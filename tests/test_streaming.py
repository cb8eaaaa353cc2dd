"""Sums over rows that come in any form and are summed anywhere: the same, bit for bit, as an array's."""

import builtins
import itertools
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from kdtheory.kernels import rbf
from kdtheory.streaming import BLOCKS_PER_RANGE, Rows, accumulate
from kdtheory.workers import FileRows

RNG = np.random.default_rng(0)
HEIGHT = 3  # so that 200 rows are 67 blocks in 5 ranges


def data(n=200, p=None):
    rng = np.random.default_rng(5)
    return rng.normal(size=(n, 4)), rng.normal(size=n if p is None else (n, p))


def cubic(X):
    assert len(X)
    return np.hstack([X, X**2, X**3])


def direct(X, y):
    Phi = cubic(X)
    return Phi.T @ Phi, Phi.T @ np.reshape(y, (len(X), -1)), np.sum(y**2), np.sum(Phi**2)


def same(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("p", [None, 1, 3])
def test_sums_are_those_of_all_rows_at_once(p):
    X, y = data(p=p)
    sums = accumulate(cubic, X, y, block_rows=HEIGHT)
    H, b, energy, kept = direct(X, y)
    for got, wanted in ((sums.gram, H), (sums.towards, b), (sums.energy, energy), (sums.kept, kept)):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-10)
    assert (sums.n, sums.vector, np.isnan(sums.own)) == (200, p is None, True)


def test_labels_may_be_left_out():
    X, _ = data()
    assert accumulate(cubic, X).towards.shape == (12, 0)


def test_rows_may_come_in_every_form(tmp_path):
    X, y = data()
    wanted = accumulate(cubic, X, y, block_rows=HEIGHT)
    for name, values in (("X", X), ("y", y)):
        np.save(tmp_path / f"{name}.npy", values)
    X_map, y_map = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "Xy")
    cuts = range(0, 200, BLOCKS_PER_RANGE * HEIGHT)
    blocks = [(X[i : i + BLOCKS_PER_RANGE * HEIGHT], y[i : i + BLOCKS_PER_RANGE * HEIGHT]) for i in cuts]
    for rows in (
        (X_map, y_map),
        (X, y_map),
        (X.tolist(), y.tolist()),
        (np.asfortranarray(X), y),
        (lambda: iter(blocks),),
        (blocks,),
    ):
        assert same(accumulate(cubic, *rows, block_rows=HEIGHT), wanted)
    assert same(accumulate(cubic, [X for X, _ in blocks], block_rows=HEIGHT), accumulate(cubic, X, block_rows=HEIGHT))


def test_a_table_is_read_by_rows():
    pandas = pytest.importorskip("pandas")
    X, y = data()
    table = pandas.DataFrame(X)
    assert same(accumulate(cubic, table, pandas.Series(y)), accumulate(cubic, X, y))


def test_a_view_of_a_memory_map_is_read_at_its_place(tmp_path):
    values = np.arange(60.0).reshape(20, 3)
    np.save(tmp_path / "X.npy", values)
    whole = np.load(tmp_path / "X.npy", mmap_mode="r")
    for view, wanted in ((whole, values), (whole[5:], values[5:]), (whole[5:][2:9], values[7:14])):
        file = FileRows.of(view, 2, 300)
        assert isinstance(file, FileRows)
        assert len(file) == len(wanted) - 2
        assert (file[1:4] == wanted[3:6]).all()
        assert (file[1:400] == wanted[3:]).all()
    assert (FileRows.of(whole[:, 1:], 2, 5) == values[2:5, 1:]).all()  # not contiguous: it stays an array
    assert (FileRows.of(values, 2, 5) == values[2:5]).all()
    assert FileRows.of(None, 2, 5) is None
    single = np.load(tmp_path / "X.npy", mmap_mode="r")[:, 0]
    assert (accumulate(lambda X: X, whole[::2], single[::2], block_rows=2).gram == values[::2].T @ values[::2]).all()


@pytest.mark.parametrize("scheduler", ["threads:2", "processes:2"])
def test_workers_give_the_same_bits(scheduler, tmp_path):
    pytest.importorskip("joblib")
    X, y = data()
    np.save(tmp_path / "X.npy", X)
    wanted = accumulate(cubic, X, y, block_rows=HEIGHT)
    for rows in (X, np.load(tmp_path / "X.npy", mmap_mode="r")):
        assert same(accumulate(cubic, rows, y, block_rows=HEIGHT, scheduler=scheduler), wanted)


def test_rows_on_disk_are_never_held_all_at_once(tmp_path, monkeypatch):
    np.save(tmp_path / "X.npy", np.zeros((1000, 2)))
    largest = []
    fromfile = np.fromfile
    monkeypatch.setattr(
        np, "fromfile", lambda path, dtype, count, offset: largest.append(count) or fromfile(path, dtype, count, offset=offset)
    )
    accumulate(cubic, np.load(tmp_path / "X.npy", mmap_mode="r"), block_rows=7)
    assert max(largest) == 14
    assert sum(largest) == 2000


def test_float32_products_are_summed_in_float64():
    X, y = data(n=3000)
    double, single = (accumulate(cubic, X, y, block_rows=50, dtype=kind) for kind in (np.float64, np.float32))
    error = np.abs(single.gram - double.gram).max() / np.abs(double.gram).max()
    assert single.gram.dtype == single.towards.dtype == np.float64
    assert 1e-9 < error < 3e-7


def test_a_map_that_knows_its_kernel_tells_what_it_leaves():
    def map(X):
        return X[:, :2]

    map.diagonal = lambda X: np.sum(X**2, axis=1)
    X, y = data()
    sums = accumulate(map, X, y, block_rows=HEIGHT)
    assert np.isclose(sums.own, np.sum(X**2))
    assert np.isclose(sums.own - sums.kept, np.sum(X[:, 2:] ** 2))


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("form", ["array", "blocks"])
def test_a_stopped_run_goes_on_from_its_checkpoint(form, tmp_path):
    X, y = data()
    blocks = [(X[i : i + 9], y[i : i + 9]) for i in range(0, 200, 9)]
    rows = (X, y) if form == "array" else (blocks,)
    calls = itertools.count()

    def map(X):
        if next(calls) == 50:
            raise StoppedError
        return cubic(X)

    file = tmp_path / "sums"
    with pytest.raises(StoppedError):
        accumulate(map, *rows, block_rows=HEIGHT, checkpoint=file)
    calls = itertools.count(1000)
    resumed = accumulate(map, *rows, block_rows=HEIGHT, checkpoint=file)
    assert 5 < next(calls) - 1000 < 50  # not everything once more
    assert same(resumed, accumulate(cubic, *rows, block_rows=HEIGHT))
    calls = itertools.count(1000)
    assert same(accumulate(map, *rows, block_rows=HEIGHT, checkpoint=file), resumed)
    assert next(calls) == 1001  # the sample, and no rows
    assert [path.name for path in tmp_path.iterdir()] == ["sums"]


WORKER = """
import sys, time
from kdtheory.streaming import accumulate
from tests.test_streaming import HEIGHT, cubic, data
def slowly(X):
    time.sleep(0.01)
    return cubic(X)
accumulate(slowly, *data(), block_rows=HEIGHT, checkpoint=sys.argv[1])
"""


def test_a_run_killed_by_the_system_resumes(tmp_path):
    file = tmp_path / "sums"
    with subprocess.Popen([sys.executable, "-c", WORKER, str(file)]) as process:
        while not file.exists():
            assert process.poll() is None, "it finished before it could be killed"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    with np.load(file) as saved:
        assert 0 < saved["numbers"][-1] < 5  # ranges that were done
    resumed = accumulate(cubic, *data(), block_rows=HEIGHT, checkpoint=file)
    assert same(resumed, accumulate(cubic, *data(), block_rows=HEIGHT))


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    X, y = data()
    file = tmp_path / "sums"
    accumulate(cubic, X, y, block_rows=HEIGHT, checkpoint=file)
    changed = X.copy()
    changed[-1, -1] += 1e-9
    others = [(np.square, X, y, {}), (cubic, changed, y, {}), (cubic, X, y + 1, {}), (cubic, X[:199], y[:199], {})]
    others += [(cubic, X, None, {}), (cubic, X, y, {"block_rows": 4}), (cubic, X, y, {"dtype": np.float32})]
    for map, X_other, y_other, how in others:
        with pytest.raises(
            ValueError, match=r"`checkpoint` must be of the same rows, map, block_rows, .* delete it or name another"
        ):
            accumulate(map, X_other, y_other, **{"block_rows": HEIGHT, **how}, checkpoint=file)
    file.write_bytes(b"something")
    with pytest.raises(ValueError, match="`checkpoint` must be a file of these sums, got '"):
        accumulate(cubic, X, y, checkpoint=file)


def test_progress_counts_rows(capsys):
    pytest.importorskip("tqdm")
    accumulate(cubic, *data(), block_rows=HEIGHT, progress=True)
    assert "200/200" in capsys.readouterr().err


def test_rows_that_are_not_finite_are_named(tmp_path):
    X, y = data()
    X[[77, 78, 150], 2] = np.nan
    np.save(tmp_path / "X.npy", X)
    for rows in (X, np.load(tmp_path / "X.npy", mmap_mode="r")):
        with pytest.raises(ValueError, match=r"`X` must be finite, got nan or infinity in row\(s\) 77; remove"):
            accumulate(cubic, rows, y, block_rows=HEIGHT)
        with pytest.raises(ValueError, match=r"row\(s\) 77, 78, 150; remove or impute them"):
            accumulate(cubic, rows, y)
    with pytest.raises(ValueError, match=r"row\(s\) 77, 78, 150"):
        accumulate(cubic, lambda: [(X[:60], y[:60]), (X[60:], y[60:])])
    with pytest.raises(ValueError, match=r"`y` must be finite, got nan or infinity in row\(s\) 0, 1, 2, 3, 4 \.\.\.; remove"):
        accumulate(cubic, data()[0], y * np.inf)


def a_generator():
    yield data()


@pytest.mark.parametrize(
    ("X", "y", "sentence"),
    [
        (None, None, "`X` must be given, got None"),
        (np.zeros(3), None, r"`X` must have shape \(n, features\) and rows, got \(3,\)"),
        (np.zeros((0, 3)), None, r"`X` must have shape \(n, features\) and rows, got \(0, 3\)"),
        (np.zeros((3, 2)), np.zeros(2), r"`y` must have 3 rows like `X`, shape \(3,\) or \(3, outputs\), got \(2,\)"),
        (np.zeros((3, 2)), np.zeros((3, 1, 1)), r"`y` must have 3 rows like `X`, .* got \(3, 1, 1\)"),
        (a_generator, [1.0], "`y` must be left out where `X` gives blocks"),
        (a_generator(), None, "`X` must give its blocks more than once, got a generator; pass the function that makes it"),
        (lambda: [], None, "`X` must give at least one block of rows, got none"),
        (
            lambda: [np.zeros(3)],
            None,
            r"`X` must give blocks of shapes \(rows, features\) and \(rows\[, outputs\]\), got \(3,\)",
        ),
        (lambda: [(np.zeros((3, 1)), np.zeros(2))], None, r"`X` must give blocks of shapes .*, got \(3, 1\) and \(2,\)"),
        (
            lambda: [(np.zeros((3, 1)), np.zeros(3)), (np.zeros((3, 1)), np.zeros((3, 2)))],
            None,
            "labels of one shape in all blocks",
        ),
    ],
)
def test_wrong_rows_are_refused(X, y, sentence):
    with pytest.raises(ValueError, match=sentence):
        accumulate(cubic, X, y)


def test_wrong_settings_and_maps_are_refused(monkeypatch):
    X, y = data()
    with pytest.raises(ValueError, match="`block_rows` must be a whole number of at least 1, got 0"):
        accumulate(cubic, X, y, block_rows=0)
    with pytest.raises(ValueError, match="`dtype` must be float64 or float32, got float16"):
        accumulate(cubic, X, y, dtype=np.float16)
    with pytest.raises(ValueError, match=r"`map` must give one row of features per row, got shape \(4, 200\) for 200 rows"):
        accumulate(np.transpose, X, y)
    with pytest.raises(ValueError, match="`map` must give finite features, got some that are not"):
        accumulate(lambda X: X * np.nan, X, y)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match="`progress` needs tqdm, which is not installed: pip install tqdm"):
        accumulate(cubic, X, y, progress=True)


def test_a_kernel_that_cannot_be_sent_is_told():
    pytest.importorskip("joblib")
    X, y = data()
    with pytest.raises(ValueError, match=r"`function`, with all that it holds, must be .* sent to another process"):
        accumulate(partial(print, sys.stderr), X, y, scheduler="processes:2")


def test_rows_are_what_they_look_like():
    X, _ = data()
    assert not Rows(X).in_blocks
    assert not Rows(X.tolist()).in_blocks
    assert Rows([X]).in_blocks
    assert Rows(builtins.list).in_blocks
    assert rbf(Rows(X.tolist()).X).shape == (200, 200)
