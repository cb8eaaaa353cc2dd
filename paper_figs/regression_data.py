"""Real regression data: diabetes from scikit-learn always, eleven more from a folder that the user names.

The environment variable KDTHEORY_DATA names the folder that holds ``uci/*.npz``, or that ``uci`` folder itself. Without it the
figures compute diabetes and read the rest from their recorded results. Each file holds X (rows, features) and y (rows,); two
differ: ``air_quality`` holds `data` with named `columns` (nan: no reading), ``blog_feedback`` X_train and y_train.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes

from paper_figs.style import Table

__all__ = ["ANALYSERS", "FILES", "VARIABLE", "Regression", "air_quality", "available", "load", "record", "recorded"]

Array = NDArray[np.float64]
DATA = Path(__file__).parent / "data"
VARIABLE = "KDTHEORY_DATA"
RECORDED = "KDTHEORY_RECORDED"
FILES = (
    "airfoil",
    "air_quality",
    "appliances_energy",
    "blog_feedback",
    "california_housing",
    "communities_crime",
    "concrete",
    "energy_efficiency",
    "kin8nm",
    "pumadyn32nm",
    "wine_quality_red",
)
SENSORS = ("PT08.S1(CO)", "PT08.S2(NMHC)", "PT08.S3(NOx)", "PT08.S4(NO2)", "PT08.S5(O3)", "T", "RH", "AH")
ANALYSERS = ("CO(GT)", "C6H6(GT)", "NOx(GT)", "NO2(GT)")  # reference instruments


@dataclass(frozen=True, eq=False)
class Regression:
    """Inputs X (rows, features) and targets y (rows,), in the order of the file: by time or by design, never shuffled."""

    name: str
    X: Array
    y: Array


def available() -> list[str]:
    """Names that `load` knows here: diabetes, and what lies in the user's folder."""
    folder = _folder()
    return ["diabetes"] + [name for name in FILES if folder is not None and (folder / f"{name}.npz").is_file()]


def load(name: str) -> Regression:
    """One data set; columns with missing values are left out (communities_crime), and rows with any (air_quality)."""
    if name == "diabetes":
        X, y = load_diabetes(return_X_y=True)
        return Regression(name, X, y)
    if name == "air_quality":
        return air_quality()
    arrays = _arrays(name)
    suffix = "_train" if name == "blog_feedback" else ""
    X, y = arrays[f"X{suffix}"], arrays[f"y{suffix}"]
    return Regression(name, X[:, np.isfinite(X).all(axis=0)], y)


def air_quality(present: tuple[str, ...] = ()) -> Regression:
    """NO2 from eight sensor columns, by the hour: rows complete in those, and in the columns named as `present` too."""
    arrays = _arrays("air_quality")
    names = arrays["columns"].tolist()
    X = arrays["data"][:, [names.index(name) for name in SENSORS]]
    wanted = arrays["data"][:, [names.index(name) for name in ("NO2(GT)", *present)]]
    complete = np.isfinite(X).all(axis=1) & np.isfinite(wanted).all(axis=1)
    return Regression("air_quality", X[complete], wanted[complete, 0])


def _arrays(name: str) -> dict[str, NDArray[Any]]:
    if name not in FILES:
        raise ValueError(f"`name` must be one of diabetes, {', '.join(FILES)}, got {name!r}.")
    folder = _folder()
    if folder is None:
        raise FileNotFoundError(f"{name} needs {VARIABLE}, the folder that contains uci/{name}.npz; it is not set.")
    path = folder / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"{name} needs {name}.npz in the folder that {VARIABLE} names; there is none in {str(folder)!r}."
        )
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _folder() -> Path | None:
    """The folder with the files; None where the variable is not set."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        return None
    places = [Path(named).expanduser() / "uci", Path(named).expanduser()]
    for place in places:
        if any((place / f"{name}.npz").is_file() for name in FILES):
            return place
    raise FileNotFoundError(
        f"{VARIABLE} must name the folder that contains uci/*.npz, or that uci folder itself: none of the expected files "
        f"({', '.join(f'{name}.npz' for name in FILES)}) is in {str(places[0])!r} or in {str(places[1])!r}."
    )


def recorded(file: str, text: tuple[str, ...] = ()) -> Table:
    """A recorded table: columns of whole numbers, numbers or text; those named in `text` as printed.

    It is the one in the folder that KDTHEORY_RECORDED names, if there is one of that name, else the one in paper_figs/data.
    """
    own = Path(os.environ.get(RECORDED, "")) / file
    path = own if os.environ.get(RECORDED) and own.is_file() else DATA / file
    with path.open(newline="", encoding="utf-8") as lines:
        head, *rows = csv.reader(lines)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(head)}
    return {name: np.array(values) if name in text else _column(values) for name, values in columns.items()}


def record(compute: Callable[[], Table], needs: Sequence[str], arguments: Sequence[str] | None = None) -> None:
    """Command line of a figure's module: ``--record FILE`` computes from the data sets it needs, and writes six digits."""
    parser = argparse.ArgumentParser(description=f"Computes the recorded results again, from the data that {VARIABLE} names.")
    parser.add_argument("--record", type=Path, required=True, metavar="FILE", help="CSV file to write")
    file = parser.parse_args(arguments).record
    try:
        here = available()
    except FileNotFoundError as error:
        parser.error(str(error))
    missing = [name for name in needs if name not in here]
    if missing:
        parser.error(f"{VARIABLE} must name the folder with all of the data sets, there is no {', '.join(missing)}.")
    table = compute()
    columns = [[f"{value:.6g}" if isinstance(value, float) else value for value in c.tolist()] for c in table.values()]
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*columns, strict=True))


def _column(texts: list[str]) -> NDArray[Any]:
    for kind in (int, float):
        try:
            return np.array([kind(text) for text in texts])
        except ValueError:
            continue
    return np.array(texts)
