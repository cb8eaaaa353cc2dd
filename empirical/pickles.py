"""Pickles of arrays, read by an unpickler that knows numbers, text, lists and dicts, and calls nothing that a file names."""

from __future__ import annotations

import io
import pickle
import re
from typing import Any

import numpy as np

__all__ = ["unpickle"]


class _ForeignError(Exception):
    """A pickle asks for something that is not here."""


class _Type:
    """Stands for numpy.dtype: the kind and size of a number, or 'O', and its byte order."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = _text(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.code = _text(state[1]) + self.code


class _Array:
    """Stands for numpy.ndarray, whose own rebuilding trusts the file; here the bytes must be what type and shape say."""

    def __init__(self, *_: object) -> None:
        self.value: Any = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, raw = state
        self.value = _array(raw, kind, shape, "F" if fortran else "C")


def _array(raw: Any, kind: _Type, shape: tuple[int, ...], order: Any) -> Any:
    if kind.code.strip("|") in ("O", "O8") and shape == () and len(raw) == 1:
        return raw[0]  # a dict that was saved as if it were an array
    if not re.fullmatch(r"[<>|=]?([iuf][1248]|b1)", kind.code):
        raise _ForeignError(f"an array of type {kind.code}")
    flat = np.frombuffer(bytes(raw), np.dtype(kind.code))
    return flat.reshape(shape, order=order)


class _Unpickler(pickle.Unpickler):
    """Builds dicts, lists, text, bytes, numbers and arrays of numbers; the names it knows stand for what is defined here."""

    def find_class(self, module: str, name: str, /) -> Any:
        match module.replace("numpy.core", "numpy._core"), name:
            case ("numpy", "ndarray") | ("numpy._core.multiarray", "_reconstruct"):
                return _Array
            case "numpy", "dtype":
                return _Type
            case (
                "numpy._core.multiarray",
                "scalar",
            ):  # functions are made anew, since a pickle can set attributes of what it gets
                return lambda kind, raw: _array(raw, kind, (), "C").item()
            case "numpy._core.numeric", "_frombuffer":
                return lambda *of: _array(*of)  # noqa: PLW0108
            case "_codecs", "encode":
                return lambda text, _: text.encode("latin1")
        raise _ForeignError(f"{module}.{name}")


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def unpickle(raw: bytes, name: str) -> dict[str, Any]:
    """A pickled dict of arrays, lists and numbers, by an unpickler that can build nothing else.

    Parameters
    ----------
    raw : bytes
    name : str
        Of the file, for the error.

    Raises
    ------
    ValueError
        If the pickle asks for anything else, is damaged, or is no dict.

    Examples
    --------
    >>> unpickle(pickle.dumps({"data": np.arange(3)}), "batch")
    {'data': array([0, 1, 2])}
    >>> unpickle(pickle.dumps(print), "batch")
    Traceback (most recent call last):
    ValueError: `batch` must hold numbers and text alone, got a pickle that asks for builtins.print; nothing of it was run.
    """
    try:
        value = _Unpickler(io.BytesIO(raw), encoding="bytes").load()
    except _ForeignError as error:
        raise ValueError(
            f"`{name}` must hold numbers and text alone, got a pickle that asks for {error}; nothing of it was run."
        ) from None
    except Exception as error:  # damaged bytes can raise anything
        raise ValueError(
            f"`{name}` must be a whole pickle, got one that cannot be read ({error or type(error).__name__})."
        ) from error
    value = value.value if isinstance(value, _Array) else value
    if not isinstance(value, dict):
        raise ValueError(f"`{name}` must hold a pickled dict, got {type(value).__name__}.")
    return {_text(key): item.value if isinstance(item, _Array) else item for key, item in value.items()}
