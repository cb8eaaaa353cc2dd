r"""Datasets as arrays, and splits of them: what is published loads by its name, and so does what is put into the data folder.

``load("digits")`` needs no file. Every other name is looked up in the folder that is given, or else in the one that the
environment variable ``KDTHEORY_DATA`` names. Nothing is downloaded, written or run.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirical import extra
from empirical.files import Files, Raw, digest, listed_digests, read_dataset
from empirical.label_noise import as_classes, class_labels, flip, human_labels, one_hot
from empirical.published import PUBLISHED, published_digests
from empirical.splits import Split, split

__all__ = ["Dataset", "Split", "flip", "load", "one_hot", "split"]

Array32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset as arrays, before any split.

    Attributes
    ----------
    name : str
    X : (n, features) or (n, channels, height, width) float32 array
        Images lie between 0 and 1.
    y : (n,) array
        int64 classes from 0, or float64 values of a regression.
    X_test, y_test : arrays, or None
        The official test part where there is one.
    classes : int, or None
        None: regression.
    labels : mapping from a name to an (n,) int64 array
        Further labels of the training part, such as CIFAR-10N's "aggre", "worst", "random1".
    dropped : int
        Rows left out because a value was missing (NaN).
    files : tuple of str
        What was read.
    verified : bool
        Whether all of it was compared with digests that are known, and agreed.
    """

    name: str
    X: Array32
    y: NDArray[Any]
    X_test: Array32 | None
    y_test: NDArray[Any] | None
    classes: int | None
    labels: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    dropped: int = 0
    files: tuple[str, ...] = ()
    verified: bool = False

    @cached_property
    def fingerprint(self) -> str:
        """First 16 digits of the SHA-256 of all arrays with their shapes: what results on these data can be known by."""
        found, test = hashlib.sha256(), {"X_test": self.X_test, "y_test": self.y_test}
        for name, array in sorted({"X": self.X, "y": self.y, **test, **self.labels}.items()):
            if array is not None:
                found.update(f"{name} {array.dtype} {array.shape}".encode())
                found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()[:16]


def load(name: str, folder: str | Path | None = None) -> Dataset:
    """Dataset by its name.

    Parameters
    ----------
    name : str
        "digits" (1797 images of 8 × 8, with scikit-learn); "fashion_mnist", "mnist", "cifar10", "cifar100", "svhn" as they are
        published or as .npz; "cifar10n", which is cifar10 with the human labels of CIFAR-10N in `labels`; or any other NAME in
        the folder: a folder NAME that has idx files (``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-`` or
        ``test-``, gzipped or not), CIFAR batches (``data_batch_1``, ..., or ``.bin``), ``train_32x32.mat``, ``x_train.npy``
        and ``y_train.npy``, ``train.csv``; or a file NAME.npz or NAME.mat with ``x_train``, ``y_train`` (and ``x_test``,
        ``y_test``) or ``X``, ``y``, or NAME.csv of numbers, its last column the target; also one folder down. Arrays of three
        or four axes are images, channels first or last. Whole-numbered labels are classes (in a .csv or .mat file: up to 100
        different ones), other numbers a regression.
    folder : path, optional
        The data folder; left out, what the environment variable KDTHEORY_DATA names.

    Returns
    -------
    Dataset
        Where the full published files are missing, of the largest .npz of that name ("cifar10_12k_2k.npz" for "cifar10").

    Raises
    ------
    ValueError
        If no folder is named, nothing of that name is in it, a file is damaged, has another checksum than the published one
        (or than a file SHA256SUMS in the folder says), asks to run code, or does not hold one finite row for every label.

    References
    ----------
    LeCun, Bottou, Bengio & Haffner (1998), MNIST; Xiao, Rasul & Vollgraf (2017), arXiv:1708.07747; Krizhevsky (2009), CIFAR;
    Netzer et al. (2011), SVHN; Wei et al. (2022), CIFAR-10N, arXiv:2110.12088.

    Examples
    --------
    >>> digits = load("digits")
    >>> digits.X.shape, float(digits.X.max()), digits.classes
    ((1797, 1, 8, 8), 1.0, 10)
    """
    if name == "digits":
        with extra():
            from sklearn.datasets import load_digits  # noqa: PLC0415
        images, y = load_digits(return_X_y=True)
        X = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
        return Dataset("digits", X, y.astype(np.int64), None, None, 10, verified=True)
    root = _root(name, folder)
    stem = re.sub(r"(?i)^(cifar[-_]?10)[-_]?n", r"\1", name)  # cifar10n is cifar10 with more labels
    known = next((key for key in PUBLISHED if key.replace("_", "") == re.sub(r"[-_]", "", stem.lower())), None)
    usual: tuple[str, ...] = (f"{stem}.tar.gz", f"{stem}.tgz")
    classes, cure = None, f"Put {stem}.npz, .mat or .csv there, or a folder {stem} of idx files."
    if known:
        classes, usual, cure = PUBLISHED[known]
    tried = []
    for path in _places(root, known or stem, usual, known):
        place = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
        tried.append(f"{place} (there, but nothing in it is of a known form)" if path.exists() else place)
        if path.exists():
            files = Files.at(path, (published_digests(known) if known else {}) | listed_digests(path, root))
            arrays = read_dataset(files, any_name=known is None or path.suffix in (".npz", ".mat", ".csv"))
            if arrays is None or (path == root and None in files.seen.values()):  # there, names alone do not tell the dataset
                continue
            data = _dataset(name, files, arrays, classes, known)
            if stem == name:
                return data
            return replace(data, labels=human_labels(root, data.y, arrays.get("idx_train", np.arange(len(data.y)))))
    looked = ", ".join(dict.fromkeys(place for place in tried if place[0] != "."))
    raise ValueError(f"`name` must be a dataset that is there, got {name!r}: {root} has none of {looked}. {cure}")


def _root(name: str, folder: str | Path | None) -> Path:
    if not isinstance(name, str) or not name:
        raise ValueError(f"`name` must be the name of a dataset, got {name!r}.")
    given = folder if folder is not None else os.environ.get("KDTHEORY_DATA")
    if not given:
        raise ValueError(f"`folder` must name the data folder that holds {name!r}, got None; give it, or set KDTHEORY_DATA.")
    if not Path(given).is_dir():
        raise ValueError(f"`folder` must be a folder that is there, got {str(given)!r}.")
    return Path(given)


def _places(root: Path, stem: str, usual: Sequence[str], known: str | None) -> Iterator[Path]:
    """Where a dataset may lie: first as it is published, then in one file, then its extracts, the largest first."""
    yield from (inside / place for inside in (root, root / stem) for place in usual)
    yield from (root / stem / "raw", root / stem, *([root] if known else []))
    for suffix in (".npz", ".mat", ".csv"):
        yield root / f"{stem}{suffix}"
        yield from (path for folder in sorted(root.iterdir()) if (path := folder / f"{stem}{suffix}").is_file())
    if known:  # images of another size are found by their own name only
        found = [path for depth in ("", "*/") for path in root.glob(f"{depth}{known}_*.npz")]
        yield from sorted(
            (path for path in found if not re.search(r"\dx\d", path.stem)), key=lambda path: -path.stat().st_size
        )


def _dataset(name: str, files: Files, arrays: dict[str, Raw], classes: int | None, known: str | None) -> Dataset:
    """What was read, checked and brought into one form."""
    where, expected = str(files.where), published_digests(known or "")
    for form in (".gz", ".bin", ".mat", ""):  # of the files of one form, all must be there
        complete = {file for file in expected if "(" not in file and Path(file).suffix == form}
        if complete & files.seen.keys() and (lacking := complete - files.seen.keys()):
            raise ValueError(f"`{where}` must hold {', '.join(sorted(complete))}, but has no {min(lacking)}.")
    files.require_digests()
    expected |= published_digests(files.where.stem)
    X: dict[str, Raw] = {}
    y: dict[str, Raw] = {}
    same, dropped = [], 0
    for part in ("train", "test") if {"x_test", "y_test"} & arrays.keys() else ("train",):
        x, labels = arrays.get(f"x_{part}"), arrays.get(f"y_{part}")
        if x is None or labels is None or labels.ndim != 1 or x.shape[:1] != labels.shape or x.ndim > 4 or not x.size:
            got = " and ".join("none" if array is None else f"shape {array.shape}" for array in (x, labels))
            raise ValueError(f"`{where}` must hold examples of its {part} part and a label for each, got {got}.")
        if x.dtype.kind not in "biuf":
            raise ValueError(f"`{where}` must hold numbers, got {x.dtype}.")
        if x.ndim > 2:  # images, the channel last
            x = x[..., None] if x.ndim == 3 else np.moveaxis(x, 1, -1) if x.shape[1] < x.shape[3] else x
        for array, key in ((x, f"x_{part}{x.shape}".replace(" ", "")), (labels, f"y_{part}{labels.shape}")):
            same.append(key in expected)
            if key in expected and (got := digest(np.ascontiguousarray(array, np.uint8).data, expected[key])) != expected[key]:
                raise ValueError(f"`{where}` must have {key} with the checksum {expected[key]}, got {got}: it is damaged.")
        if x.ndim <= 2:
            x = x.reshape(len(x), -1)
            there = ~(np.isnan(x.astype(float)).any(axis=1) | (labels.dtype.kind == "f") & (labels != labels))  # noqa: PLR0124
            x, labels, dropped = x[there], labels[there], dropped + int((~there).sum())
        X[part], y[part] = x, labels
    unit = max(_unit(x, where) for x in X.values())
    X = {part: _inputs(x, unit, where) for part, x in X.items()}
    by_value = any(file.endswith((".csv", ".mat")) for file in files.seen)  # these do not tell whole numbers from others
    if by_value and y["train"].dtype.kind == "f" and (y["train"] == np.floor(y["train"])).all():
        y["train"] = y["train"].astype(np.int64)
    labelled = {
        part: (class_labels(labels, classes, f"{where}: y_{part}"), classes)
        if classes
        else as_classes(labels, y["train"], 100 if by_value else 1000, where)
        for part, labels in y.items()
    }
    (y_train, count), (y_test, _) = labelled["train"], labelled.get("test", (None, None))
    verified = all(same) or all(files.seen.values())
    return Dataset(name, X["train"], y_train, X.get("test"), y_test, count, {}, dropped, tuple(files.seen), verified)


def _unit(x: Raw, where: str) -> int:
    """What stands for full brightness: 255 or 65535, also 1 where numbers are not whole.

    Features are left as they are (1), and so are images of numbers that are not whole and partly negative: standardised ones.
    """
    if x.ndim == 2:
        return 1
    low, high = x.min(), x.max()
    if x.dtype.kind == "f" and low < 0 and np.isfinite(high):
        return 1
    if not (low >= 0 and high <= 65535):
        raise ValueError(f"`{where}` must hold images of values from 0 to 1, 255 or 65535, got {low} to {high}.")
    return 1 if x.dtype.kind in "bf" and high <= 1 else 255 if high <= 255 else 65535


def _inputs(x: Raw, unit: int, where: str) -> Array32:
    """float32, channels before pixels."""
    view = np.moveaxis(x, -1, 1) if x.ndim == 4 else x
    X = np.empty(view.shape, dtype=np.float32)
    with np.errstate(over="ignore"):  # what does not fit is reported
        np.divide(view, unit, out=X, casting="same_kind", dtype=np.float32)
    if x.dtype.kind == "f" and not np.isfinite(X).all():
        raise ValueError(f"`{where}` must hold finite numbers, got {X[~np.isfinite(X)][0]}.")
    return X
