"""The border: everything that enters the package passes here once, and leaves as finite float64.

Each function either returns the value in the form that the theory computes with, or raises a
``ValueError`` of one sentence that names the argument, what it must be, and what came.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

__all__ = [
    "Array",
    "column_shape",
    "finite",
    "finite_array",
    "matrix",
    "number",
    "numeric",
    "outputs",
    "positive",
    "require_symmetric",
    "rounding_of",
    "rows",
    "schedule",
    "values_like_y",
    "whole",
]


def numeric(value: ArrayLike, name: str) -> NDArray[Any]:
    """`value` as an array of real numbers, before any conversion to float64."""
    if value is None:
        raise ValueError(f"`{name}` must be given, got None.")
    if hasattr(value, "toarray"):
        raise ValueError(f"`{name}` must be a dense array, got a sparse one; pass `{name}.toarray()`.")
    if np.ma.is_masked(value):
        raise ValueError(f"`{name}` must have no masked entries; fill or remove them.")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(f"`{name}` must be a rectangular array of numbers, got rows of different lengths.") from None
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"`{name}` must hold real numbers, got {_first_foreign(array)!r}.") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"`{name}` must hold real numbers, got dtype {array.dtype}.")
    return array


def _first_foreign(array: NDArray[Any]) -> Any:
    for item in array.ravel():
        try:
            float(item)
        except (TypeError, ValueError):
            return item
    return array.dtype


def finite_array(value: ArrayLike, name: str) -> Array:
    """`value` as a finite, non-empty float64 array."""
    array = np.asarray(numeric(value, name), dtype=np.float64)
    if array.size == 0:
        raise ValueError(f"`{name}` must not be empty, got shape {array.shape}.")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        place = f" at index {where if len(where) > 1 else where[0]}" if where else ""
        raise ValueError(f"`{name}` must be finite, got {array[where]}{place}; remove or impute it.")
    return array


def matrix(value: ArrayLike, name: str, *, shape: tuple[int | None, int | None] = (None, None)) -> Array:
    """`value` as a finite (m, n) array; a number in `shape` is a demand, None is free."""
    array = finite_array(value, name)
    if array.ndim != 2:
        hint = f"; reshape it to ({array.size}, 1)" if array.ndim == 1 and shape[1] is None else ""
        raise ValueError(f"`{name}` must be two-dimensional, got shape {array.shape}{hint}.")
    if any(want is not None and want != got for want, got in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"`{name}` must have shape ({wanted}), got {array.shape}.")
    return array


def outputs(value: ArrayLike, name: str, *, length: int | None = None) -> Array:
    """`value` as finite (n,) or (n, p) outputs with `length` rows: labels, a signal, predictions."""
    array = finite_array(value, name)
    if array.ndim not in (1, 2):
        raise ValueError(f"`{name}` must have shape (n,) or (n, outputs), got {array.shape}.")
    return rows(array, name, length)


def values_like_y(value: ArrayLike, name: str, *, length: int, columns: int) -> Array:
    """`value` as finite (length, outputs) values with as many outputs as `y` has columns."""
    array = column_shape(outputs(value, name, length=length))
    if array.shape[1] != columns:
        raise ValueError(f"`{name}` must have {columns} outputs like `y`, got {array.shape[1]}.")
    return array


def rows(array: Array, name: str, length: int | None) -> Array:
    """The array itself, once its number of rows is the one demanded."""
    if length is not None and array.shape[0] != length:
        raise ValueError(f"`{name}` must have {length} rows, one per point, got {array.shape[0]}.")
    return array


def column_shape(array: Array) -> Array:
    """(n,) outputs as (n, 1); (n, p) outputs unchanged."""
    return array[:, None] if array.ndim == 1 else array


def finite(value: Any, name: str) -> float:
    """`value` as one finite number."""
    got = number(value, name)
    if not np.isfinite(got):
        raise ValueError(f"`{name}` must be finite, got {got}.")
    return got


def positive(value: Any, name: str, *, zero: bool = False) -> float:
    """`value` as one finite number above zero (or equal to it, where `zero` says so)."""
    got = number(value, name)
    if not (np.isfinite(got) and (got > 0 or (zero and got == 0))):
        raise ValueError(f"`{name}` must be {'zero or positive' if zero else 'positive'} and finite, got {got}.")
    return got


def whole(value: Any, name: str, *, least: int = 0) -> int:
    """`value` as an integer that is at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"`{name}` must be a whole number of at least {least}, got {value!r}.")
    return int(value)


def schedule(value: ArrayLike, name: str, *, above_zero: bool = False, may_be_empty: bool = False) -> Array:
    """`value` as a one-dimensional list of finite numbers."""
    array = np.atleast_1d(numeric(value, name))
    if array.size == 0 and may_be_empty:
        return np.empty(0)
    array = finite_array(array, name)
    if array.ndim != 1:
        raise ValueError(f"`{name}` must be one-dimensional, got shape {array.shape}.")
    if above_zero and not (array > 0).all():
        raise ValueError(f"`{name}` must be positive, got {float(array[array <= 0][0])}.")
    return array


def number(value: Any, name: str) -> float:
    """`value` as one real number, infinite and nan included."""
    array = numeric(value, name)
    if array.size != 1:
        raise ValueError(f"`{name}` must be one number, got an array of shape {array.shape}.")
    return float(array.ravel()[0])


def rounding_of(value: ArrayLike, name: str) -> float:
    """Unit roundoff of the numbers as they came in: float32 input carries float32 errors."""
    dtype = numeric(value, name).dtype
    return float(np.finfo(dtype).eps if dtype.kind == "f" else np.finfo(np.float64).eps)


def require_symmetric(K: Array, name: str, tolerance: float) -> None:
    """Refuse a matrix that is not square, or not symmetric up to `tolerance` times its largest entry."""
    n, m = K.shape
    if n != m:
        raise ValueError(f"`{name}` must be square, got shape {K.shape}; for new points use `cross`.")
    scale = max(float(K.max()), -float(K.min()))
    for start in range(0, n, 512):  # by blocks of rows: no second n × n array
        gap = np.abs(K[start : start + 512] - K[:, start : start + 512].T)
        if gap.max() > tolerance * scale:
            i, j = np.unravel_index(int(gap.argmax()), gap.shape)
            raise ValueError(
                f"`{name}` must be symmetric, got entries [{start + i}, {j}] and [{j}, {start + i}] that differ "
                f"by {gap[i, j]:.3g}; if that is rounding, pass ({name} + {name}.T) / 2."
            )
