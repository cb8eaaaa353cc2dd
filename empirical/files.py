"""Published data files as arrays: idx, CIFAR batches, MATLAB, NumPy, CSV. Nothing that a file says is run."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirical.pickles import unpickle

__all__ = ["Files", "Raw", "content", "digest", "listed_digests", "read_dataset"]

Raw = NDArray[Any]

IDX_NAME = re.compile(r"(train|t10k|test)[-_](images|labels)[-.]idx\d-ubyte(\.gz)?")
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NAMES = {  # what the arrays of a file may be called, in small letters
    "x_train": ("x_train", "train_x", "train_images", "x", "images", "data", "features"),
    "y_train": ("y_train", "train_y", "train_labels", "y", "labels", "label", "target", "targets"),
    "x_test": ("x_test", "test_x", "test_images"),
    "y_test": ("y_test", "test_y", "test_labels"),
    "idx_train": ("idx_train",),
}
MISSING = ("", "?", "na", "n/a", "nan", "null")


@dataclass(frozen=True, eq=False)
class Files:
    """The files of a folder or of a tar archive, or one file: readers by name, and the digests that are expected of them.

    `seen` has of each file read so far whether its digest was the expected one; None where none is known.
    """

    where: Path
    members: Mapping[str, Callable[[], bytes]]
    expected: Mapping[str, str]
    seen: dict[str, bool | None] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path, expected: Mapping[str, str]) -> Files:
        """Those of a folder, of an archive (.tar.gz, .tgz, .tar; nothing is written to disk), or the file itself."""
        if path.is_dir():
            return cls(path, {file.name: file.read_bytes for file in sorted(path.iterdir()) if file.is_file()}, expected)
        if not path.name.endswith((".tar.gz", ".tgz", ".tar")):
            return cls(path, {path.name: path.read_bytes}, expected)
        with _whole(path.name, "tar archive"), tarfile.open(path) as archive:
            inside = ((Path(member.name).name, archive.extractfile(member)) for member in archive if member.isfile())
            contents = {name: io.BytesIO(file.read()) for name, file in inside if file is not None}
        return cls(path, {name: contents[name].getvalue for name in sorted(contents)}, expected)

    def read(self, name: str) -> bytes:
        """Content of a file."""
        raw, known = self.members[name](), self.expected.get(name)
        self.seen[name] = None if known is None else digest(raw, known) == known
        return raw

    def require_digests(self) -> None:
        """Refuse what was read if a digest is not the known one; asked after the reading, whose own errors say more."""
        for name in (name for name, right in self.seen.items() if right is False):
            known = self.expected[name]
            got = digest(self.members[name](), known)
            raise ValueError(
                f"`{name}` must have the checksum {known}, got {got}: it is damaged, or other data, which need a name of "
                f"their own ({self.where})."
            )


def digest(raw: bytes | memoryview, like: str) -> str:
    """MD5, or SHA-256 if `like` starts with "sha256:", as many digits of it as `like` has."""
    kind, _, digits = like.rpartition(":")
    found = hashlib.sha256(raw) if kind else hashlib.md5(raw, usedforsecurity=False)
    return like[: len(like) - len(digits)] + found.hexdigest()[: len(digits)]


def listed_digests(path: Path, root: Path) -> dict[str, str]:
    """SHA-256 of the file `path`, or of the files in it, where a file SHA256SUMS in `root` lists them."""
    sums = root / "SHA256SUMS"
    with _whole("SHA256SUMS", "list of checksums"):
        lines = [line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines()] if sums.is_file() else []
    listed = {root / line[1].lstrip("*"): f"sha256:{line[0].lower()}" for line in lines if len(line) == 2}
    return {file.name: known for file, known in listed.items() if path in (file, file.parent)}


@contextmanager
def _whole(name: str, what: str) -> Iterator[None]:
    """One sentence for whatever a reader says of a file that is truncated, damaged or of another kind."""
    try:
        yield
    except Exception as error:
        because = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise ValueError(f"`{name}` must be a whole {what}, got one that cannot be read ({because}).") from error


def read_dataset(files: Files, *, any_name: bool) -> dict[str, Raw] | None:
    """Arrays x_train, y_train (and x_test, y_test, idx_train) of a dataset; None where no file is of a kind that is known.

    Known by their names are ``train-images-idx3-ubyte`` and its companions (``t10k-`` or ``test-``, gzipped or not), CIFAR's
    ``data_batch_1`` ... with ``test_batch`` or ``train`` with ``test``, also ending in ``.bin``, SVHN's ``train_32x32.mat``,
    ``train.csv`` with ``test.csv``, and ``x_train.npy``, ``y_train.npy`` ...; with `any_name` also a lone .npz, .mat or .csv.
    """
    names = set(files.members)
    if idx := [match for match in map(IDX_NAME.fullmatch, sorted(names, reverse=True)) if match]:
        found = {
            f"{'x' if m[2] == 'images' else 'y'}_{m[1].replace('t10k', 'test')}": m[0] for m in idx
        }  # rather than its .gz
        return {key: _idx(files.read(name), name) for key, name in found.items()}
    for suffix in ("", ".bin"):
        if batches := [name for name in names if re.fullmatch(rf"data_batch_\d+{re.escape(suffix)}", name)]:
            batches.sort(key=lambda name: int(re.sub(r"\D", "", name)))
            return _cifar(files, "train", batches, 1) | _cifar(files, "test", sorted({f"test_batch{suffix}"} & names), 1)
        if f"train{suffix}" in names:
            return _cifar(files, "train", [f"train{suffix}"], 2) | _cifar(files, "test", sorted({f"test{suffix}"} & names), 2)
    for suffix in ("_32x32.mat", ".csv"):
        if f"train{suffix}" in names:
            halves = {part: _parts(files, f"{part}{suffix}") for part in ("train", "test") if f"{part}{suffix}" in names}
            both = {f"{key[:2]}{part}": array for part, half in halves.items() for key, array in half.items()}
            return {k: a % 10 if suffix == "_32x32.mat" and k[0] == "y" else a for k, a in both.items()}  # SVHN's zero is a 10
    if {"x_train.npy", "y_train.npy"} <= names:
        return {key: content(files, f"{key}.npy")[key] for key in NAMES if f"{key}.npy" in names}
    tables = [name for name in names if name.endswith((".npz", ".mat", ".csv"))]
    return _parts(files, tables[0]) if any_name and len(tables) == 1 else None


def _idx(raw: bytes, name: str) -> Raw:
    """An array in LeCun's format: two zero bytes, a type, the number of axes, their lengths, the values, big end first."""
    if name.endswith(".gz"):
        with _whole(name, "gzip file"):
            raw = gzip.decompress(raw)
    kind, axes = (raw[2], raw[3]) if raw[:2] == b"\0\0" and len(raw) >= 4 else (0, 0)
    if kind not in IDX_TYPES or len(raw) < 4 + 4 * axes:
        raise ValueError(f"`{name}` must be an idx file, got one that begins with {raw[:4].hex(' ') or 'nothing'}.")
    shape, dtype = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes]), np.dtype(IDX_TYPES[kind])
    if len(raw) - 4 - 4 * axes != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"`{name}` must hold the {shape} values it announces, got {len(raw) - 4 - 4 * axes} bytes of them.")
    return np.frombuffer(raw, dtype, offset=4 + 4 * axes).reshape(shape)


def _cifar(files: Files, part: str, names: list[str], labels: int) -> dict[str, Raw]:
    """Batches of images, each a row of 3072 bytes, channel by channel; of two labels, coarse and fine, the fine one."""
    xs, ys = [], []
    for name in names:
        raw = files.read(name)
        if name.endswith(".bin"):
            if not raw or len(raw) % (3072 + labels):
                raise ValueError(f"`{name}` must hold records of {3072 + labels} bytes, got {len(raw)} bytes in all.")
            records = np.frombuffer(raw, np.uint8).reshape(-1, 3072 + labels)
            x, y = records[:, labels:], records[:, labels - 1]
        else:
            batch = unpickle(raw, name)
            x, y = np.array(batch.get("data")), np.array(batch.get("fine_labels", batch.get("labels")))
            if x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != 3072 or y.dtype.kind not in "iu" or len(x) != len(y):
                raise ValueError(
                    f"`{name}` must hold `data`, rows of 3072 bytes, and `labels`, one for each, got {x.shape}, {y.shape}."
                )
        xs.append(x.reshape(-1, 3, 32, 32))
        ys.append(y)
    return {f"x_{part}": np.concatenate(xs), f"y_{part}": np.concatenate(ys)} if names else {}


def content(files: Files, name: str) -> dict[str, Raw]:
    """Arrays of one .npz, .npy, .mat (versions 5 to 7), .csv or .pt file by their names; of a table ``x`` and, last, ``y``.

    A .npy or .pt file may hold a pickled dict of arrays, which `unpickle` reads.
    """
    raw, suffix = files.read(name), Path(name).suffix
    if suffix == ".csv":
        return _table(raw, name)
    with _whole(name, f"{suffix} file"):
        file: Any = io.BytesIO(raw)
        if suffix == ".mat":
            from scipy.io import loadmat  # noqa: PLC0415  (slow to load)

            return {key: value for key, value in loadmat(file).items() if not key.startswith("__")}
        if suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        if suffix == ".npy":
            first = np.lib.format.read_magic(file) == (1, 0)
            read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
            if not read(file)[2].hasobject:
                return {Path(name).stem: np.load(io.BytesIO(raw), allow_pickle=False)}
            pickled = file.read()
        else:  # PyTorch's archive: tensors lie beside the pickle, arrays in it
            with zipfile.ZipFile(file) as archive:
                pickled = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
    return {key: np.asarray(value) for key, value in unpickle(pickled, name).items()}


def _parts(files: Files, name: str) -> dict[str, Raw]:
    """x_train, y_train, and x_test, y_test, idx_train where they are there, whatever a file calls them; examples first.

    ``e_train``, ``e_test`` are images whose red and blue are less green and then differences down and across, all modulo 256.
    Columns of one length, each an array, are a table, the last one its target; air quality has `columns`.
    """
    small = {key.lower(): array for key, array in content(files, name).items()}
    found = {
        key: small[next(n for n in known if n in small)] for key, known in NAMES.items() if not small.keys().isdisjoint(known)
    }
    for key in small.keys() & {"e_train", "e_test"}:
        images = np.cumsum(np.cumsum(small[key], axis=2, dtype=np.uint8), axis=3, dtype=np.uint8)
        images[:, ::2] += images[:, 1:2]
        found[key.replace("e", "x", 1)] = images
    if "NO2(GT)" in (columns := small.get("columns", np.array([])).tolist()):
        sensors = [not column.endswith("(GT)") for column in columns]
        found = {"x_train": small["data"][:, sensors], "y_train": small["data"][:, columns.index("NO2(GT)")]}
    if not found and small and {array.ndim for array in small.values()} == {1} and len({len(a) for a in small.values()}) == 1:
        *features, target = small.values()
        found = {"x_train": np.stack(features, axis=1), "y_train": target}
    if not {"x_train", "y_train"} <= found.keys():
        raise ValueError(f"`{name}` must hold arrays x_train and y_train, or X and y, got {', '.join(small) or 'none'}.")
    for x, y in (("x_train", "y_train"), ("x_test", "y_test")):
        if {x, y} <= found.keys():
            found[y] = found[y].ravel() if 1 in found[y].shape else found[y]
            if (
                found[x].ndim and len(found[x]) != len(found[y]) == found[x].shape[-1]
            ):  # MATLAB's images: the example comes last
                found[x] = np.moveaxis(found[x], -1, 0)
    return found


def _table(raw: bytes, name: str) -> dict[str, Raw]:
    """A text with commas, semicolons, tabs or blanks between, with or without a line of names; its last column is y."""
    with _whole(name, "table of text"):
        lines = [line for line in raw.decode("utf-8-sig").splitlines() if line.strip()]
        mark = next((mark for mark in (";", "\t", ",") if mark in lines[0]), None)
    widths = {len(line.split(mark)) for line in lines}
    if (last := min(widths) - 1) < 1 or len(widths) > 1:
        raise ValueError(f"`{name}` must have two or more columns, as many in every line, got {sorted(widths)}.")
    how: dict[str, Any] = {"delimiter": mark, "comments": None, "ndmin": 2}
    with _whole(name, "table of numbers"):
        rows = lines if _numbers(lines[0].split(mark)[:-1]) is not None else lines[1:]  # after a line of names
        try:
            x = np.loadtxt(rows, usecols=range(last), **how)
        except ValueError:  # slower, for cells that are missing
            x = np.loadtxt(rows, usecols=range(last), converters=_number, **how)
        text = np.loadtxt(rows, usecols=[last], dtype=str, **how)[:, 0]
    y = _numbers(text)
    return {"x": x, "y": text if y is None else np.array(y)}


def _number(cell: str) -> float:
    cell = cell.strip().strip('"')
    return math.nan if cell.lower() in MISSING else float(cell)


def _numbers(cells: Any) -> list[float] | None:
    try:
        return [_number(cell) for cell in cells]
    except ValueError:
        return None
