"""Trained networks beside the theory: the bridge from `kdtheory` to PyTorch.

`empirical` may import `kdtheory`, never the other way round. This package itself loads no PyTorch; each module that computes
with networks does so at its top.

=====================  ==============================================================================================
networks
`networks`             `MLP`, whose infinite width is `kdtheory.kernels.ntk`, and `Centred`
`convolutional`        `ConvNet` and `ResNet` for small images
`stack`, `ensembles`   many networks as one model, trained as one batch on minibatches (`fit`): `recipe`, `losses`,
                       `lessons`, `minibatches`, `stability`
`training`             full-batch training and chains of self-distillation
`ntk`, `linear`        the empirical tangent kernel of a network, its linearisation and its Jacobian
`checkpoints`          networks on disk

data and pruning
`data`                 datasets of the published formats (`files`, `pickles`, `published`), `splits`, `label_noise`
`scores`               what to keep: `uncertainty`, `gradient_norms`, `coverage`, `dynamics` (one scoring run), `memorisation`
`subsets`              from a score to rows: nested, balanced, stratified
`pruned`               the protocol: a teacher on all rows, students on what is kept

theory beside them
`rules`, `pairs`       the optimal weight from two students; `bridge`, `comparison`, `intervals`: measured curves, agreement,
regret `kernel_students`      the tangent kernel's students under the network's own training (`momentum`) `suggest`
``python -m empirical suggest-weight``: `suggestion`, `held_out`, `criteria`, `cross_entropy` `foretold`, `cells`    what is
said of a cell before its grid is trained, and what came out; `findings`

running
`experiments`          questions asked of networks, each a grid of units; ``python -m empirical list``
`runner`, `engine`     carrying them out, here or on a cluster; every finished unit is kept (`store`, `revision`)
`table`, `verdict`     what comes out: a table, and what it says of each claim (``python -m empirical report``)
=====================  ==============================================================================================
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
