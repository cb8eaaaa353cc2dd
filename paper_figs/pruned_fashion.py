"""Pruned students on Fashion-MNIST, labels flipped: the fewer rows, the larger the best teacher weight, as the plan advises.

Varied: the kernel (RBF, NTK), the share of labels flipped (0, 20, 40 %), the kept share of the images, the teacher weight.
Tuned: as in pruned_digits: the ridge by exact leave-one-out of the teacher on the flipped training labels; triangles and
diamonds by ``kdtheory.pruning.plan`` on the same labels. No test label is used, but for the optima (dots).
Seeds: 5 random splits, each with 3 random subsets of every share; 95 % t-intervals over splits.
Sizes: 2,000 random training images, 100 to 2,000 of them kept, 4,000 test images, 10 outputs.

Dots, crosses, intervals, lines and bands are those of pruned_digits. RBF: gamma is one over the mean squared distance of the
training images. NTK: three hidden ReLU layers. Unlike digits, these images leave something to a teacher even with labels as
they are: its weight is above one where few are kept. With the NTK it hardly moves its students then: the optimum differs
between splits, the plan finds no weight identified in some of them (no line), and the diamonds, of the others, lie at 2, the
largest weight that they may take.

The recorded results are computed again, in about a quarter of an hour on one core, by ``python -m paper_figs.pruned_fashion
--record FILE``, which needs the folder that KDTHEORY_DATA names. Not run: more images, at a cost that grows with their cube.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import kdtheory as kd
from paper_figs.pruned_images import Images, measure
from paper_figs.pruned_images import draw as draw_images
from paper_figs.regression_data import VARIABLE, record, recorded
from paper_figs.style import Table, stack

Array = NDArray[np.float64]

RECORD, FILE = "pruned_fashion.csv", "fashion_mnist/fashion_mnist.npz"
TRAIN, TEST, SEEDS, SUBSETS = 2000, 4000, 5, 3
KERNELS: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {
    "rbf": lambda train, test: _rbf(train, test, gamma=1.0 / float(2 * train.var(axis=0).sum())),
    "ntk": lambda train, test: (kd.kernels.ntk(train, depth=3), kd.kernels.ntk(test, train, depth=3)),
}


def compute() -> Table:
    """The recorded parabolas, advice and trained students per kernel, noise, kept share and split."""
    return recorded(RECORD)


def draw(table: Table) -> Figure:
    """Six panels of parabolas, three of optima."""
    title = f"Fashion-MNIST, {TRAIN:,} training images, mean of {SEEDS} splits"
    return draw_images(table, {"rbf": "RBF", "ntk": "NTK"}, title)


def recompute(kernels: tuple[str, ...] = tuple(KERNELS), seeds: int = SEEDS) -> Table:
    """All of it from the images."""
    return stack(
        [{"kernel": kernel} | row for kernel in kernels for s in range(seeds) for row in measure(split(kernel, s), SUBSETS)]
    )


def split(kernel: str, seed: int, train: int = TRAIN, test: int = TEST) -> Images:
    """Random images of the 60,000 of the training part and of the 10,000 of the test part, pixels in [0, 1]."""
    path = Path(os.environ.get(VARIABLE, "")).expanduser() / FILE
    if not path.is_file():
        raise FileNotFoundError(f"Fashion-MNIST needs {VARIABLE}, the folder that contains {FILE}; there is none in it.")
    rng = np.random.default_rng(seed)
    points, classes = [], []
    with np.load(path, allow_pickle=False) as file:
        for part, count in (("train", train), ("test", test)):
            X, y = file[f"x_{part}"], file[f"y_{part}"]
            chosen = rng.permutation(len(y))[:count]
            points.append(X[chosen].reshape(count, -1) / 255.0)
            classes.append(y[chosen])
    return Images.of(*KERNELS[kernel](*points), np.concatenate(classes), seed)


def _rbf(train: Array, test: Array, gamma: float) -> tuple[Array, Array]:
    return kd.kernels.rbf(train, gamma=gamma), kd.kernels.rbf(test, train, gamma=gamma)


if __name__ == "__main__":
    record(recompute, ())
