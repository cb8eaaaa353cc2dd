"""Every published format, written here by hand from its description and read back bit for bit; traps and damage refused."""

from __future__ import annotations

import gzip
import os
import pickle
import pickletools
import struct
import tarfile

import numpy as np
import pytest
from scipy.io import savemat

from empirical.files import Files, read_dataset, unpickle

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (30, 3, 32, 32), dtype=np.uint8)
Y = RNG.integers(0, 10, 30)
GREY = RNG.integers(0, 256, (12, 5, 4), dtype=np.uint8)


def read(path, *, any_name=True):
    return read_dataset(Files.at(path, {}), any_name=any_name)


def idx(array):
    code = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}[array.dtype.str[1:]]
    big = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return bytes([0, 0, code, array.ndim]) + b"".join(struct.pack(">I", n) for n in array.shape) + big


def python_2(value):
    """A protocol-2 pickle as Python 2 wrote it: byte strings as BINSTRING, arrays by numpy.core.multiarray."""

    def text(raw):
        return (b"U" + bytes([len(raw)]) if len(raw) < 256 else b"T" + struct.pack("<i", len(raw))) + raw

    def build(item):
        if isinstance(item, dict):
            return b"}(" + b"".join(text(k.encode()) + build(v) for k, v in item.items()) + b"u"
        if isinstance(item, list):
            return b"](" + b"".join(b"K" + bytes([n]) for n in item) + b"e"
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        kind = (
            b"cnumpy\ndtype\n"
            + text(b"u1")
            + b"K\x00K\x01\x87R(K\x03"
            + text(b"|")
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        )
        shape = b"".join(b"J" + struct.pack("<i", n) for n in item.shape)
        return empty + b"(K\x01(" + shape + b"t" + kind + b"\x89" + text(item.tobytes()) + b"tb"

    return b"\x80\x02" + build(value) + b"."


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx(tmp_path, dtype, zipped):
    images = RNG.normal(0, 50, (7, 3, 2)).astype(dtype)
    for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", np.arange(7, dtype="u1"))):
        (tmp_path / f"{name}{'.gz' * zipped}").write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    found = read(tmp_path, any_name=False)
    np.testing.assert_array_equal(found["x_train"], images)
    np.testing.assert_array_equal(found["y_train"], np.arange(7))
    assert set(found) == {"x_train", "y_train"}


def test_idx_unpacked_goes_before_its_own_gz(tmp_path):
    (tmp_path / "train-images.idx3-ubyte").write_bytes(idx(GREY))
    (tmp_path / "train-images.idx3-ubyte.gz").write_bytes(b"damaged")
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(idx(np.zeros(12, "u1")))
    (tmp_path / "test-images.idx3-ubyte").write_bytes(idx(GREY[:2]))
    np.testing.assert_array_equal(read(tmp_path)["x_test"], GREY[:2])


@pytest.mark.parametrize("form", ["python 2", "python 3", "protocol 5", "binary"])
@pytest.mark.parametrize("archive", [False, True])
def test_cifar_10_batches(tmp_path, form, archive):
    """Eleven batches, so that 10 must come after 9."""
    folder = tmp_path / "cifar-10-batches"
    folder.mkdir()
    for k in range(12):
        rows = slice(29, 30) if k == 11 else slice(2 * k, 2 * k + 2)
        x, y = X[rows].reshape(-1, 3072), Y[rows]
        name = "test_batch" if k == 11 else f"data_batch_{k + 1}"
        if form == "binary":
            (folder / f"{name}.bin").write_bytes(
                b"".join(bytes([label]) + row.tobytes() for label, row in zip(y, x, strict=True))
            )
        elif form == "python 2":
            (folder / name).write_bytes(python_2({"data": x, "labels": y.tolist(), "batch_label": [1]}))
        else:
            (folder / name).write_bytes(
                pickle.dumps({"data": x, "labels": y.tolist()}, protocol=5 if form == "protocol 5" else 2)
            )
    path = folder
    if archive:
        path = tmp_path / "cifar.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            tar.add(folder, "cifar-10-batches")
    found = read(path, any_name=False)
    np.testing.assert_array_equal(found["x_train"], X[:22])
    np.testing.assert_array_equal(found["y_train"], Y[:22])
    np.testing.assert_array_equal(found["x_test"], X[29:])
    np.testing.assert_array_equal(found["y_test"], Y[29:])


@pytest.mark.parametrize("form", ["python 2", "binary"])
def test_cifar_100_takes_the_fine_labels(tmp_path, form):
    if form == "binary":
        rows = [bytes([9, label]) + x.tobytes() for label, x in zip(Y, X, strict=True)]
        (tmp_path / "train.bin").write_bytes(b"".join(rows))
    else:
        columns = {"coarse_labels": [9] * 30, "fine_labels": Y.tolist(), "data": X.reshape(30, -1)}
        (tmp_path / "train").write_bytes(python_2(columns))
    found = read(tmp_path)
    np.testing.assert_array_equal(found["x_train"], X)
    np.testing.assert_array_equal(found["y_train"], Y)


def test_svhn(tmp_path):
    """Images come last in MATLAB's arrays, and the digit 0 is written 10."""
    y = np.where(Y == 0, 10, Y)[:, None].astype(np.uint8)
    for part, rows in (("train", slice(0, 20)), ("test", slice(20, 30))):
        savemat(tmp_path / f"{part}_32x32.mat", {"X": X[rows].transpose(2, 3, 1, 0), "y": y[rows]}, do_compression=True)
    found = read(tmp_path)
    np.testing.assert_array_equal(found["x_train"].transpose(0, 3, 1, 2), X[:20])
    np.testing.assert_array_equal(found["y_train"], Y[:20])
    np.testing.assert_array_equal(found["y_test"], Y[20:])


@pytest.mark.parametrize("names", [("X", "y"), ("x_train", "y_train"), ("train_images", "train_labels"), ("data", "target")])
def test_arrays_by_their_usual_names(tmp_path, names):
    np.savez(tmp_path / "one.npz", **dict(zip(names, (GREY, Y[:12, None]), strict=True)), other=np.zeros(3))
    found = read(tmp_path / "one.npz")
    np.testing.assert_array_equal(found["x_train"], GREY)
    np.testing.assert_array_equal(found["y_train"], Y[:12])


def test_npy_and_csv_in_two_parts(tmp_path):
    for name, array in (("x_train", GREY), ("y_train", Y[:12]), ("x_test", GREY[:3]), ("y_test", Y[:3])):
        np.save(tmp_path / f"{name}.npy", array)
    np.testing.assert_array_equal(read(tmp_path)["x_test"], GREY[:3])
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "train.csv").write_text("1,2,0\n3,4,1\n")
    (folder / "test.csv").write_text("5,6,1\n")
    np.testing.assert_array_equal(read(folder)["x_test"], [[5, 6]])


def test_residuals_are_undone(tmp_path):
    """Encoded here as their description says: red and blue less green, differences across, then down, modulo 256."""
    coded = X.astype(int)
    coded[:, [0, 2]] -= coded[:, [1]]
    coded[..., 1:] -= coded[..., :-1].copy()
    coded[..., 1:, :] -= coded[..., :-1, :].copy()
    np.savez(tmp_path / "c.npz", e_train=coded.astype(np.uint8), y_train=Y, idx_train=np.arange(30), class_names=["a"] * 10)
    found = read(tmp_path / "c.npz")
    np.testing.assert_array_equal(found["x_train"], X)
    assert {"y_train", "idx_train"} < set(found)


@pytest.mark.parametrize("mark", [",", ";", "\t", " "])
@pytest.mark.parametrize("names", ["", "a b 1 y"])
def test_csv(tmp_path, mark, names):
    table = RNG.normal(size=(5, 4))
    lines = [names.replace(" ", mark), *(mark.join(map(repr, row)) for row in table.tolist())]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    found = read(tmp_path / "t.csv")
    np.testing.assert_array_equal(np.column_stack([found["x_train"], found["y_train"]]), table)
    (tmp_path / "t.csv").write_text('"a","b","kind"\n1,?,cat\n,2,dog\n')
    found = read(tmp_path / "t.csv")
    np.testing.assert_array_equal(found["x_train"], [[1, np.nan], [np.nan, 2]])
    assert found["y_train"].tolist() == ["cat", "dog"]


def test_columns_are_a_table_and_air_quality_has_its_own(tmp_path):
    np.savez(tmp_path / "c.npz", Z=np.arange(3), A=np.arange(3) * 2, R=np.array([0.5, 0.6, 0.7]))
    found = read(tmp_path / "c.npz")
    np.testing.assert_array_equal(found["x_train"], [[0, 0], [1, 2], [2, 4]])
    np.testing.assert_array_equal(found["y_train"], [0.5, 0.6, 0.7])
    np.savez(tmp_path / "air.npz", data=np.arange(8.0).reshape(2, 4), columns=["T", "CO(GT)", "NO2(GT)", "RH"])
    found = read(tmp_path / "air.npz")
    np.testing.assert_array_equal(found["x_train"], [[0, 3], [4, 7]])
    np.testing.assert_array_equal(found["y_train"], [2, 6])


DAMAGE = [
    ("train-images-idx3-ubyte.gz", gzip.compress(idx(GREY))[:-20], "`train-images-idx3-ubyte.gz` must be a whole gzip file"),
    ("train-images-idx3-ubyte.gz", b"not gzip", "must be a whole gzip file, got one that cannot be read"),
    ("train-images-idx3-ubyte", idx(GREY)[:-1], r"must hold the \(12, 5, 4\) values it announces, got 239 bytes"),
    ("train-images-idx3-ubyte", idx(GREY) + b"x", "values it announces, got 241 bytes"),
    ("train-images-idx3-ubyte", b"\1\2\3\4", "must be an idx file, got one that begins with 01 02 03 04"),
    ("train-images-idx3-ubyte", b"", "must be an idx file, got one that begins with nothing"),
    ("data_batch_1.bin", bytes(3072), "`data_batch_1.bin` must hold records of 3073 bytes, got 3072 bytes in all"),
    ("train.bin", b"", "`train.bin` must hold records of 3074 bytes, got 0"),
    (
        "data_batch_1",
        pickle.dumps({"data": X.reshape(30, -1), "labels": [0] * 30})[:-9],
        "`data_batch_1` must be a whole pickle",
    ),
    ("data_batch_1", pickle.dumps([1]), "`data_batch_1` must hold a pickled dict, got list"),
    ("data_batch_1", pickle.dumps({"data": GREY}), "must hold `data`, rows of 3072 bytes, and `labels`, one for each"),
    ("data_batch_1", pickle.dumps({"data": X.reshape(30, -1), "labels": [0]}), r"one for each, got \(30, 3072\), \(1,\)"),
    ("a.npz", b"PK\3\4 and no more", "`a.npz` must be a whole .npz file"),
    ("a.npz", b"", "`a.npz` must be a whole .npz file"),
    ("a.mat", b"MATLAB 5.0 " + bytes(200), "`a.mat` must be a whole .mat file"),
    ("a.csv", b"1,2\n3\n", r"`a.csv` must have two or more columns, as many in every line, got \[1, 2\]"),
    ("a.csv", b"1\n2\n", r"two or more columns, as many in every line, got \[1\]"),
    ("a.csv", b"", "`a.csv` must be a whole table of text"),
    ("a.csv", b"\xff\xfe1,2", "`a.csv` must be a whole table of text"),
    ("a.csv", b"1,2,3\n1,x,3\n", "`a.csv` must be a whole table of numbers, got one that cannot be read"),
]


@pytest.mark.parametrize(("name", "raw", "message"), DAMAGE)
def test_damage_is_named(tmp_path, name, raw, message):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_a_damaged_archive_and_npz_member(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"x" * 2000)[:-5])
    with pytest.raises(ValueError, match=r"`a.tar.gz` must be a whole tar archive"):
        read(tmp_path / "a.tar.gz")
    np.savez(tmp_path / "b.npz", X=GREY, y=Y[:12])
    raw = bytearray((tmp_path / "b.npz").read_bytes())
    raw[raw.index(GREY.tobytes()[:8])] ^= 1
    (tmp_path / "b.npz").write_bytes(raw)
    with pytest.raises(ValueError, match=r"`b.npz` must be a whole .npz file, got one that cannot be read .*CRC"):
        read(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", Z=GREY)
    with pytest.raises(ValueError, match=r"`c.npz` must hold arrays x_train and y_train, or X and y, got z"):
        read(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", X=np.array([{}], dtype=object), y=[0])
    with pytest.raises(ValueError, match=r"`d.npz` must be a whole .npz file.*[Oo]bject"):
        read(tmp_path / "d.npz")


def reduces_to(*call):
    return type("Trap", (), {"__reduce__": lambda self: call})()


SET_CODE = b"\x80\x02c_codecs\nencode\n(N}X\x08\x00\x00\x00__code__K\x01stb."  # BUILD of a function that is given out
TRAPS = {
    "os.system": pickle.dumps({"data": reduces_to(os.system, ("touch sprung",))}),
    "in a key": pickle.dumps({reduces_to(eval, ("open('sprung', 'w')",)): 1}),
    "protocol 0": b"cos\nsystem\n(S'touch sprung'\ntR.",
    "python 2 builtin": b"c__builtin__\nexecfile\n(S'sprung'\ntR.",
    "nested name": pickle.dumps(reduces_to(os.path.join, ("a", "b")), protocol=4),
    "inst opcode": b"(S'touch sprung'\nios\nsystem\n.",
    "numpy's own loader": b"cnumpy\nload\n(S'sprung'\ntR.",
    "getattr on numpy": b"cnumpy\nndarray.tofile\n.",
    "copyreg": b"ccopy_reg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.",
    "subclass for an array": b"cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\n(K\x00tS'b'\ntR.",
    "attributes of a function": SET_CODE,
    "persistent id": b"Psprung\n.",
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_pickle_runs_nothing(tmp_path, monkeypatch, trap):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(TRAPS[trap])
    with pytest.raises(ValueError, match=r"must (hold numbers and text alone|be a whole pickle|hold a pickled dict)"):
        read(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["data_batch_1"]


def test_arrays_in_a_pickle_cannot_lie():
    good = python_2({"data": X[:1].reshape(1, -1)})
    np.testing.assert_array_equal(unpickle(good, "b")["data"], X[:1].reshape(1, -1))
    longer = good.replace(struct.pack("<i", 3072) + b"tc", struct.pack("<i", 3073) + b"tc")
    assert longer != good
    with pytest.raises(ValueError, match="`b` must be a whole pickle"):
        unpickle(longer, "b")
    with pytest.raises(ValueError, match="`b` must hold numbers and text alone, got a pickle that asks for an array of type"):
        unpickle(good.replace(b"U\x02u1", b"U\x02O8"), "b")
    with pytest.raises(ValueError, match="an array of type"):
        unpickle(pickle.dumps({"x": np.zeros(2, dtype=[("a", "f8")])}), "b")
    with pytest.raises(ValueError, match="an array of type"):
        unpickle(pickle.dumps({"x": np.array([print, 1], dtype=object)[1:]}), "b")
    assert "numpy" in " ".join(str(op[1]) for op in pickletools.genops(good))  # the trap is of the kind it claims to be


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_come_back(protocol):
    value = {"a": np.arange(6.0).reshape(2, 3), "f": np.asfortranarray(np.arange(6).reshape(2, 3)), "n": np.int64(3),
             "text": "é", "raw": b"\x00\xff", "list": [1, -2, 3.5, None, True], "big": 10**30}  # fmt: skip
    back = unpickle(pickle.dumps(value, protocol=protocol), "p")
    for key in ("a", "f"):
        np.testing.assert_array_equal(back[key], value[key])
        assert back[key].dtype == value[key].dtype
    assert {key: back[key] for key in ("n", "text", "raw", "list", "big")} == {
        key: value[key] for key in value if key not in "af"
    }
