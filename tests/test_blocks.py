"""A matrix filled block by block is the whole matrix; what is kept survives a kill, damage, and other runs beside it."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from kdtheory.blocks import BlockCache, digest, fill

pytestmark = pytest.mark.skipif(find_spec("tqdm") is None, reason="needs tqdm")
RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(23, 3))
MORE = np.vstack([RNG.normal(size=(8, 3)), POINTS[4:9]])


def pairs(x, y):
    """Two kernels, wrong by one where the inputs are equal, as an arccosine of rounded numbers would be by 1e-8."""
    product = x @ y.T
    equal = (x[:, None] == y).all(axis=2)
    return np.stack([product + equal, 2 * product + equal])


def selves(x):
    squares = np.sum(x**2, axis=1)
    return np.stack([squares, 2 * squares])


class Counted:
    """The same kernel, and the number of blocks asked for."""

    def __init__(self):
        self.calls = 0

    def pairs(self, x, y):
        self.calls += 1
        return pairs(x, y)

    def selves(self, x):
        self.calls += 1
        return selves(x)

    def fill(self, first, second, side, store=None):
        return fill(first, second, side, self.pairs, self.selves, 2, store, progress=False)


@pytest.mark.parametrize("side", [1, 4, 22, 23, 99])
def test_blocks_are_the_whole_matrix(side):
    K = Counted().fill(POINTS, POINTS, side)
    np.testing.assert_allclose(K, np.stack([POINTS @ POINTS.T, 2 * POINTS @ POINTS.T]), rtol=1e-12, atol=1e-13)
    assert (K == K.transpose(0, 2, 1)).all()
    cross = Counted().fill(POINTS, MORE, side)
    np.testing.assert_allclose(cross[0], POINTS @ MORE.T, rtol=1e-12, atol=1e-13)


def test_equal_inputs_have_the_kernel_of_an_input_with_itself():
    repeated = np.vstack([POINTS, POINTS[:5]])
    K = Counted().fill(repeated, repeated, 4)[0]
    own = np.sum(repeated**2, axis=1)
    assert (np.diag(K) == own).all()
    assert (np.diag(K[23:, :5]) == own[:5]).all()
    assert (np.diag(K[:5, 23:]) == own[:5]).all()
    cross = Counted().fill(POINTS, MORE, 4)[0]
    assert (np.diag(cross[4:9, 8:]) == own[4:9]).all()


def test_half_of_a_gram_matrix_is_computed():
    kernel = Counted()
    kernel.fill(POINTS, POINTS, 5)
    assert kernel.calls == 5 + 5 * 6 // 2
    kernel = Counted()
    kernel.fill(POINTS, MORE[:8], 5)  # no input is in both
    assert kernel.calls == 5 * 2


def test_the_bar_counts_blocks(capsys):
    fill(POINTS, POINTS, 10, pairs, selves, 2)
    assert "9/9" in capsys.readouterr().err
    fill(POINTS, POINTS, 10, pairs, selves, 2, progress=False)
    assert not capsys.readouterr().err


def test_what_is_kept_is_not_computed_again(tmp_path):
    kernel, store = Counted(), BlockCache.of_run(tmp_path, {"run": 1})
    K = kernel.fill(POINTS, POINTS, 10, store)
    again = Counted()
    assert (again.fill(POINTS, POINTS, 10, BlockCache.of_run(tmp_path, {"run": 1})) == K).all()
    assert (kernel.calls, again.calls) == (9, 0)
    assert not list(tmp_path.glob("*/*.part"))


def test_a_damaged_block_is_computed_again(tmp_path):
    store = BlockCache.of_run(tmp_path, {"run": 1})
    K = Counted().fill(POINTS, POINTS, 12, store)
    paths = sorted(store.folder.glob("*.npy"))
    assert [path.stem for path in paths] == ["block-0-0", "block-0-1", "block-1-1", "self-0", "self-1"]
    assert np.load(paths[0]).shape == (2, 12, 12)  # an ordinary file of NumPy
    paths[0].write_bytes(paths[0].read_bytes()[:-100])
    content = bytearray(paths[1].read_bytes())
    content[200] ^= 1
    paths[1].write_bytes(content)
    paths[2].write_bytes(b"")
    paths[3].write_bytes(paths[4].read_bytes())  # whole, but of another place
    kernel = Counted()
    assert (kernel.fill(POINTS, POINTS, 12, store) == K).all()
    assert kernel.calls == 4
    kernel = Counted()
    assert (kernel.fill(POINTS, POINTS, 12, store) == K).all()
    assert kernel.calls == 0


def test_runs_in_one_folder_are_told_apart(tmp_path):
    stores = [BlockCache.of_run(tmp_path, {"run": run}) for run in (1, 2)]
    expected = [Counted().fill(points, points, 12, store) for points, store in zip((POINTS, 3 * POINTS), stores, strict=True)]
    assert json.loads((stores[1].folder / "run.json").read_text()) == {"run": 2}
    for name in ("block-0-0.npy", "block-0-1.npy"):  # carried over, and not believed
        (stores[0].folder / name).write_bytes((stores[1].folder / name).read_bytes())
    kernel = Counted()
    assert (kernel.fill(POINTS, POINTS, 12, stores[0]) == expected[0]).all()
    assert kernel.calls == 2


WORKER = """
import sys, time
from kdtheory.blocks import BlockCache
from tests.test_blocks import POINTS, fill, pairs, selves
def slowly(x, y):
    time.sleep(0.02)
    return pairs(x, y)
print(fill(POINTS, POINTS, 2, slowly, selves, 2, BlockCache.of_run(sys.argv[1], {"run": 1}), progress=False).sum().hex())
"""


def test_a_killed_run_resumes(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.DEVNULL) as process:
        while len(list(tmp_path.glob("*/*.npy"))) < 20:
            assert process.poll() is None, "it finished before it could be killed"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    store = BlockCache.of_run(tmp_path, {"run": 1})
    finished = {path: path.stat().st_mtime_ns for path in store.folder.glob("*.npy")}
    everything = 12 + 12 * 13 // 2
    assert 20 <= len(finished) < everything
    kernel = Counted()
    K = kernel.fill(POINTS, POINTS, 2, store)
    assert kernel.calls == everything - len(finished)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished.items())
    assert (K == Counted().fill(POINTS, POINTS, 2)).all()


def test_two_processes_share_a_folder(tmp_path):
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums = {process.communicate()[0].strip() for process in both}
    assert sums == {Counted().fill(POINTS, POINTS, 2).sum().hex()}
    assert len(list(tmp_path.glob("*/*.npy"))) == 12 + 12 * 13 // 2
    assert not list(tmp_path.glob("*/*.part"))


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    store = BlockCache.of_run(tmp_path, {"run": 1})

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        store.save("block-0-0", np.ones(3))
    assert [path.name for path in store.folder.iterdir()] == ["run.json"]


def test_a_digest_knows_shape_and_numbers():
    assert digest(np.ones((2, 3))) != digest(np.ones((3, 2)))
    assert digest(np.ones(3)) != digest(np.ones(3) + np.spacing(1.0))
    assert digest(np.arange(12.0).reshape(3, 4).T) == digest(np.arange(12.0).reshape(3, 4).T.copy())


def test_errors(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below"):
        with pytest.raises(ValueError, match="`cache` must be a folder, got the file"):
            BlockCache.of_run(folder, {})
    store = BlockCache.of_run(tmp_path, {"run": 1})
    with pytest.raises(OverflowError, match="`network` must keep its kernel within floating point at these inputs"):
        fill(POINTS, POINTS, 5, pairs, lambda x: selves(x) / 0 if len(x) == 0 else np.full((2, len(x)), np.inf), 2, store)
    assert not list(store.folder.glob("*.npy"))
