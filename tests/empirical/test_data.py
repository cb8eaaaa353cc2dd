"""Datasets by their names, as published or as anybody would write them; damage, other data and mistaken labels refused."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from empirical import data as room
from empirical.data import Split, flip, load, one_hot
from empirical.files import Files, content, digest, listed_digests, read_dataset

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (60, 6, 5), dtype=np.uint8), np.arange(60) % 4
COLOUR = RNG.integers(0, 256, (60, 8, 6, 3), dtype=np.uint8)
TABLE = RNG.normal(size=(60, 3))


def write_idx(folder, images=IMAGES, labels=LABELS, part="train", packed=gzip.compress):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels.astype(np.uint8))):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"{name}{'.gz' if packed is gzip.compress else ''}").write_bytes(packed(head + array.tobytes()))


def write_cifar(folder, names=("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")):
    folder.mkdir(parents=True)
    for name in names:
        rows = RNG.integers(0, 256, (10, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": list(range(10))}))


@pytest.fixture
def without_digests(monkeypatch):
    """Tiny sets under published names, whose checksums they cannot have."""
    monkeypatch.setattr(room, "published_digests", lambda name: {})


def test_digits_are_scikit_learns():
    pytest.importorskip("sklearn")
    digits = load("digits")
    assert digits.X.shape == (1797, 1, 8, 8)
    assert digits.X.dtype == np.float32
    assert np.unique(digits.X * 16).tolist() == list(range(17))
    assert np.bincount(digits.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (digits.classes, digits.X_test, digits.verified) == (10, None, True)


@pytest.mark.parametrize("place", ["mnist", "mnist/raw", "MNIST/raw", "MNIST"])
def test_mnist_where_it_is_unpacked(tmp_path, monkeypatch, without_digests, place):
    write_idx(tmp_path / place, labels=LABELS + 6)
    write_idx(tmp_path / place, IMAGES[:8], LABELS[:8], part="t10k")
    monkeypatch.setenv("KDTHEORY_DATA", str(tmp_path))
    mnist = load("mnist")
    np.testing.assert_array_equal(mnist.X[:, 0], np.float32(IMAGES) / np.float32(255))
    np.testing.assert_array_equal(mnist.y, LABELS + 6)  # not mapped: the classes of MNIST are known
    assert (mnist.X_test.shape, mnist.classes, mnist.y.dtype) == ((8, 1, 6, 5), 10, np.int64)
    assert load("MNIST", tmp_path).fingerprint == mnist.fingerprint


def test_fashion_mnist_is_not_mistaken_for_mnist(tmp_path):
    """Without digests nothing tells two datasets of the same file names apart but the folder they are in."""
    write_idx(tmp_path, packed=bytes)
    with pytest.raises(ValueError, match=r"'mnist': .* has none of MNIST/raw, MNIST, mnist/MNIST/raw"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("place", ["cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10", "."])
def test_cifar10_where_it_is_unpacked(tmp_path, monkeypatch, place):
    write_cifar(tmp_path / "here" / place if place != "." else tmp_path / "here")
    with pytest.raises(
        ValueError, match=r"`data_batch_1` must have the checksum c99cafc152244af753f735de768cd75f, got [0-9a-f]{32}: "
    ):
        load("cifar10", tmp_path / "here")
    own = {name: digest(path.read_bytes(), "0" * 32) for path in (tmp_path / "here").rglob("*_batch*") if (name := path.name)}
    monkeypatch.setattr(room, "published_digests", lambda name: own if name == "cifar10" else {})
    cifar = load("cifar10", tmp_path / "here")
    assert (cifar.X.shape, cifar.X_test.shape, cifar.classes, cifar.verified) == ((50, 3, 32, 32), (10, 3, 32, 32), 10, True)
    next((tmp_path / "here").rglob("data_batch_4")).unlink()
    with pytest.raises(ValueError, match="but has no data_batch_4"):
        load("cifar10", tmp_path / "here")


def test_other_data_in_a_published_form_have_a_name_of_their_own(tmp_path):
    write_cifar(tmp_path / "mine", names=["data_batch_1"])
    mine = load("mine", tmp_path)
    assert (mine.X.shape, mine.classes, mine.verified) == ((10, 3, 32, 32), None, False)  # ten labels of ten: no classes
    write_idx(tmp_path / "letters", labels=LABELS * 3)
    letters = load("letters", tmp_path)
    assert letters.classes == 4
    np.testing.assert_array_equal(letters.y, LABELS)


@pytest.mark.parametrize("where", ["blobs.npz", "somewhere/blobs.npz", "blobs/anything.npz"])
@pytest.mark.parametrize(
    "layout", [COLOUR, COLOUR.transpose(0, 3, 1, 2), COLOUR / 255, COLOUR.astype(int), COLOUR * np.uint16(257)]
)
def test_npz_images_in_any_layout_and_scale(tmp_path, where, layout):
    (tmp_path / where).parent.mkdir(exist_ok=True)
    np.savez(tmp_path / where, X=layout, y=LABELS)
    blobs = load("blobs", tmp_path)
    np.testing.assert_allclose(blobs.X, COLOUR.transpose(0, 3, 1, 2) / 255, atol=1e-7)
    assert blobs.files == (Path(where).name,)


def test_mat_and_csv_tell_classes_by_their_values(tmp_path):
    savemat(tmp_path / "m.mat", {"X": TABLE, "y": LABELS[:, None] * 1.0})
    assert load("m", tmp_path).classes == 4
    for name, target, classes in (("c", LABELS + 5, 4), ("r", TABLE[:, 0], None), ("many", np.arange(60), None)):
        (tmp_path / f"{name}.csv").write_text(
            "\n".join(f"{a},{b},{t}" for (a, b, _), t in zip(TABLE.tolist(), target, strict=True))
        )
        found = load(name, tmp_path)
        assert found.classes == classes
        np.testing.assert_allclose(found.y, target - 5 if classes else target)
        np.testing.assert_allclose(found.X, TABLE[:, :2], rtol=1e-6)
    np.savez(tmp_path / "f.npz", X=TABLE, y=LABELS * 1.0)
    assert load("f", tmp_path).classes is None  # a .npz has whole numbers of its own
    assert load("f.npz", tmp_path).fingerprint == load(str(tmp_path / "f.npz"), tmp_path).fingerprint


def test_rows_with_a_value_missing_are_dropped_and_counted(tmp_path):
    holes = TABLE.copy()
    holes[[3, 7], [0, 1]] = np.nan
    target = TABLE[:, 2].copy()
    target[9] = np.nan
    np.savez(tmp_path / "t.npz", X=holes, y=target)
    found = load("t", tmp_path)
    np.testing.assert_array_equal(found.X, np.delete(TABLE, [3, 7, 9], axis=0).astype(np.float32))
    assert (found.dropped, len(found.y)) == (3, 57)


def test_the_largest_extract_and_human_labels(tmp_path, without_digests):
    rows = np.array([4, 9, 2, 7, 0, 1])
    images, truth = RNG.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8), np.arange(10) % 3
    folder = tmp_path / "cifar10"
    folder.mkdir()
    np.savez(folder / "cifar10_few.npz", x_train=images[:2], y_train=truth[rows[:2]], idx_train=rows[:2])
    np.savez(folder / "cifar10_more.npz", x_train=images, y_train=truth[rows], idx_train=rows)
    np.savez(folder / "cifar10_all_16x16.npz", x_train=RNG.integers(0, 256, (90, 16, 16, 3), dtype=np.uint8), y_train=[0] * 90)
    np.savez(tmp_path / "cifar10n_human_labels.npz", clean=truth, worst=(truth + 1) % 10)
    found = load("cifar10n", tmp_path)
    assert (found.name, found.files, len(load("cifar10_few", tmp_path).y)) == ("cifar10n", ("cifar10_more.npz",), 2)
    np.testing.assert_array_equal(found.labels["worst"], (found.y + 1) % 10)
    assert load("cifar10", tmp_path).labels == {}
    assert load("cifar10", tmp_path).fingerprint != found.fingerprint


def test_what_is_missing_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("KDTHEORY_DATA", raising=False)
    (tmp_path / "blank").mkdir()
    for arguments, message in [
        (("mnist",), "`folder` must name the data folder that holds 'mnist', got None; give it, or set KDTHEORY_DATA."),
        (("mnist", tmp_path / "no"), "`folder` must be a folder that is there, got '.*no'."),
        (("svhn", tmp_path), r"has none of SVHN, svhn/SVHN, .*svhn.npz, .* Put train_32x32.mat and test_32x32.mat \(ufldl"),
        (("cifar100", tmp_path), "has none of cifar-100-python, .* Put cifar-100-python.tar.gz or cifar-100-binary.tar.gz"),
        (("fashion-mnist", tmp_path), "'fashion-mnist': .* Put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and"),
        (
            ("blank", tmp_path),
            "blank .there, but nothing in it is of a known form.*blank.csv. Put blank.npz, .mat or .csv there",
        ),
        (("", tmp_path), "`name` must be the name of a dataset, got ''."),
    ]:
        with pytest.raises(ValueError, match=message):
            load(*arguments)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": IMAGES, "y": LABELS[:-1]}, r"a label for each, got shape \(60, 6, 5\) and shape \(59,\)"),
        (
            {"X": IMAGES, "y": LABELS, "x_test": IMAGES},
            r"of its test part and a label for each, got shape \(60, 6, 5\) and none",
        ),
        ({"X": IMAGES[:0], "y": LABELS[:0]}, "examples of its train part"),
        ({"X": np.where(IMAGES == 0, np.nan, IMAGES), "y": LABELS}, "images of values from 0 to 1, 255 or 65535, got nan"),
        ({"X": IMAGES.astype(int) - 1, "y": LABELS}, "images of values from 0 to 1, 255 or 65535, got -1"),
        ({"X": TABLE * 1e300, "y": LABELS}, "hold finite numbers, got -?inf"),
        ({"X": np.array([["a"]] * 60), "y": LABELS}, "hold numbers, got <U1"),
        ({"X": TABLE, "y": LABELS * 0}, "labels of two classes or more, got 0 alone"),
        ({"X": TABLE, "y": LABELS, "x_test": TABLE, "y_test": LABELS + 1}, "only labels that its training part has, got 4"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=rf"`.*bad.npz` must .*{message}"):
        load("bad", tmp_path)


def test_labels_outside_the_published_classes_are_refused(tmp_path, without_digests):
    np.savez(tmp_path / "mnist.npz", x_train=IMAGES, y_train=LABELS + 7)
    with pytest.raises(ValueError, match=r"`.*mnist.npz: y_train` must hold whole numbers from 0 to 9, got 10"):
        load("mnist", tmp_path)


def test_checksums(tmp_path, monkeypatch):
    assert digest(b"abc", "0" * 32) == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321
    assert digest(b"abc", "sha256:" + "0" * 64).endswith("b410ff61f20015ad")  # FIPS 180-2
    np.savez(tmp_path / "mnist.npz", x_train=IMAGES, y_train=LABELS)
    right = digest((tmp_path / "mnist.npz").read_bytes(), "sha256:" + "0" * 64)
    (tmp_path / "SHA256SUMS").write_text(f"{right[7:]}  ./mnist.npz\n")
    assert load("mnist", tmp_path).verified
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64} *mnist.npz\n")
    with pytest.raises(ValueError, match=rf"`mnist.npz` must have the checksum sha256:0+, got {right}"):
        load("mnist", tmp_path)
    (tmp_path / "SHA256SUMS").unlink()
    monkeypatch.setattr(
        room, "published_digests", lambda name: {"x_train(60,6,5,1)": "sha256:" + "0" * 64} if name == "mnist" else {}
    )
    with pytest.raises(
        ValueError, match=r"must have x_train\(60,6,5,1\) with the checksum sha256:0+, got sha256:[0-9a-f]{64}"
    ):
        load("mnist", tmp_path)
    assert listed_digests(tmp_path, tmp_path) == {}


def test_a_folder_of_nothing_known_is_none(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    assert read_dataset(Files.at(tmp_path, {}), any_name=True) is None
    np.savez(tmp_path / "a.npz", X=IMAGES, y=LABELS)
    assert read_dataset(Files.at(tmp_path, {}), any_name=False) is None
    assert read_dataset(Files.at(tmp_path, {}), any_name=True)["x_train"].shape == IMAGES.shape


def test_an_array_and_a_pickled_dict_of_npy(tmp_path):
    for name, value in (("a", IMAGES), ("b", {"a": IMAGES})):
        file = io.BytesIO()
        np.save(file, value, allow_pickle=True)
        (tmp_path / f"{name}.npy").write_bytes(file.getvalue())
        np.testing.assert_array_equal(content(Files.at(tmp_path, {}), f"{name}.npy")["a"], IMAGES)


def test_the_contract_is_importable_from_here():
    assert {"Dataset", "Split", "load", "split", "flip", "one_hot"} == set(room.__all__)
    assert (flip([0, 1], 2, rate=1.0, seed=0).tolist(), one_hot([1], 2).tolist()) == ([1, 0], [[-0.5, 0.5]])
    assert set(Split.__dataclass_fields__) > {"name", "classes", "X", "X_validation", "y_test", "rows_test"}


@pytest.mark.skipif(not os.environ.get("KDTHEORY_DATA"), reason="KDTHEORY_DATA names no data folder")
def test_the_real_folder():
    for name in ("fashion_mnist", "cifar10", "cifar10n", "mnist", "cifar100", "svhn"):
        try:
            found = load(name)
        except ValueError as error:
            assert "must be a dataset that is there" in str(error) or "needs one of" in str(error)  # noqa: PT017
            continue
        assert found.verified
        assert found.X.max() == 1
        for label, share in {"aggre": 0.09, "worst": 0.40}.items():
            if label in found.labels:
                assert np.mean(found.labels[label] != found.y) == pytest.approx(share, abs=0.01)


def test_standardised_images_are_left_as_they_are(tmp_path):
    X = (IMAGES - IMAGES.mean()) / IMAGES.std()
    np.savez(tmp_path / "standard.npz", X=X, y=LABELS)
    assert load("standard", tmp_path).X.ravel() == pytest.approx(X.ravel())
