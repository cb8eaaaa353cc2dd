"""Trained networks beside the theory: the bridge from `kdtheory` to PyTorch.

`empirical` may import `kdtheory`, never the other way round. This package itself loads no PyTorch; each module that computes
with networks does so at its top.

=================  ==========================================================================================
`networks`         the architectures: `MLP`, whose infinite width is `kdtheory.kernels.ntk`, and `Centred`
`training`         full-batch training of a network or a stack of them, and chains of self-distillation
`ntk`              the empirical tangent kernel of a network, and how far training moves it
`linear`           a network to first order in its parameters: its linearisation and its Jacobian
`experiments`      questions asked of networks, each a grid of units; ``python -m empirical list``
`runner`, `store`  carrying them out: every finished unit is kept
=================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["extra", "progress_bar"]

T = TypeVar("T")


@contextmanager
def extra() -> Iterator[None]:
    """Imports from the optional packages of this room: one that is missing is named in one sentence with the cure.

    Raises
    ------
    ImportError
        If a package that is imported within is not installed.

    Examples
    --------
    >>> with extra():
    ...     import a_package_that_is_missing
    Traceback (most recent call last):
    ImportError: `empirical` needs a_package_that_is_missing, which is not installed: pip install 'kdtheory[empirical]'.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"`empirical` needs {error.name}, which is not installed: pip install 'kdtheory[empirical]'."
        ) from error


def progress_bar(items: Iterable[T], show: bool, what: str) -> Iterable[T]:
    """The items, with a bar on the terminal where one is asked for.

    Raises
    ------
    ImportError
        If a bar is asked for and tqdm is not installed.

    Examples
    --------
    >>> list(progress_bar(range(3), False, "nothing is shown"))
    [0, 1, 2]
    """
    if not show:
        return items
    with extra():
        from tqdm import tqdm  # noqa: PLC0415
    bar: Iterable[T] = tqdm(items, desc=what)
    return bar
