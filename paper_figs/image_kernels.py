"""Images: five rounds raise the test error at the tuned ridge, not at a thirtieth of it, in convolutional kernels too.

Varied: the kernel, the images, the ridge (tuned, below, or a thirtieth of that, above), and the round, 0 to 5.
Tuned: the ridge, per kernel and split, on the noisy training labels by exact leave-one-out of plain regression; nothing on
test images. The teacher weight is 0.75.
Seeds: 5 random splits of the same images, each with flips of its own; points are means with 95 % t-intervals, and what
differs between kernels is paired.
Sizes: 300 training images, 20 % of their labels flipped to another class, and 300 test images with clean labels.

The error is the mean square over the 10 one-hot outputs. CNTK: tangent kernel of three 3 × 3 convolutions with ReLU,
readout of all pixels ("flatten") or of their mean ("pooling"). NTK: three hidden ReLU layers. RBF: gamma is one over the
mean squared distance. Thin lines guide the eye; there is no theory in this figure. At a thirtieth of the
tuned ridge every mean falls from round 0 to round 5, in two of the ten by less than the paired interval.

The results are recorded in ``image_kernels.csv`` and computed again by ``python -m paper_figs.image_kernels --record
FILE``, which needs the ``ntk`` extra and, for Fashion-MNIST and CIFAR-10 (halved to 16 × 16), the folder that
``KDTHEORY_DATA`` names. Not run: pooling on those two, whose cost grows with the square of the pixels (hours on a CPU).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import kdtheory as kd
from paper_figs.regression_data import VARIABLE, record, recorded
from paper_figs.style import OKABE_ITO, PAGE, Table, half_width, stack, where

Array = NDArray[np.float64]
IMAGES, TRAIN, SPLITS, NOISE = 600, 300, 5, 0.2
WEIGHT, ROUNDS = 0.75, 5
SHARES = {"ridge tuned / 30": 1 / 30, "ridge tuned": 1.0}
RIDGES = np.logspace(-7, 1, 33)  # of the largest eigenvalue over n
KERNELS = ("RBF", "NTK", "CNTK, flatten", "CNTK, pooling")
DATA = {"digits": "Digits, 8 × 8", "fashion_mnist": "Fashion-MNIST, 28 × 28", "cifar10": "CIFAR-10, 16 × 16"}


def compute() -> Table:
    """The recorded test errors and accuracies, by data, kernel, ridge, split and round."""
    return recorded("image_kernels.csv")


def draw(table: Table) -> Figure:
    """A column per data set, a row per ridge."""
    names = [name for name in DATA if name in table["data"]]
    figure, axes = plt.subplots(
        len(SHARES), len(names), figsize=(PAGE, 3.9), squeeze=False, sharex=True, gridspec_kw={"hspace": 0.08}
    )
    for column, name in enumerate(names):
        for row, rule in enumerate(SHARES):
            axis = axes[row, column]
            for kernel, color, marker in zip(KERNELS, OKABE_ITO, "osD^", strict=False):
                line = where(table, data=name, kernel=kernel, ridge_rule=rule)
                if not len(line["round"]):
                    continue
                errors = line["error"].reshape(SPLITS, ROUNDS + 1)
                shift = 0.08 * (KERNELS.index(kernel) - 1.5)
                look = {"color": color, "marker": marker, "ms": 3, "mfc": "white", "mew": 0.8, "lw": 0.5, "elinewidth": 0.8}
                rounds = np.arange(ROUNDS + 1) + shift
                axis.errorbar(rounds, errors.mean(axis=0), half_width(errors), **look, label=kernel)
            axis.set(title=DATA[name] if row == 0 else "", xlabel="round $t$" if row else "", xticks=range(ROUNDS + 1))
            axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            if column == 0:
                axis.set_ylabel(f"{rule}\ntest error (mean square)")
    size = f"{TRAIN} training and {IMAGES - TRAIN} test images, label noise {100 * NOISE:g} %"
    figure.suptitle(f"{size}: means and 95 % intervals of {SPLITS} splits", fontsize=8.5)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def measure(names: tuple[str, ...]) -> Table:
    """Test error and accuracy of every round, for these data sets."""
    rows = []
    for name in names:
        images, labels = _images(name)
        one_hot = np.eye(10)[labels]
        for kernel, gram in _grams(name).items():
            K = gram(images)
            for split in range(SPLITS):
                for rule, share in SHARES.items():
                    rows.append(
                        {"data": name, "kernel": kernel, "split": split, "ridge_rule": rule} | _path(K, one_hot, split, share)
                    )
    return stack(rows)


def _path(K: Array, one_hot: Array, split: int, share: float) -> dict[str, Any]:
    rng = np.random.default_rng([split, 7])
    order = rng.permutation(IMAGES)
    train, test = order[:TRAIN], order[TRAIN:]
    y = one_hot[train].copy()
    flipped = np.flatnonzero(rng.uniform(size=TRAIN) < NOISE)
    other = (y[flipped].argmax(axis=1) + rng.integers(1, 10, size=len(flipped))) % 10
    y[flipped] = np.eye(10)[other]
    mean = y.mean(axis=0)
    s = kd.Spectrum.from_gram(K[np.ix_(train, train)])
    tuned = tuned_ridge(s, y - mean)
    f = mean + kd.rounds(s, y - mean, ridge=share * tuned, teacher_weights=[WEIGHT] * ROUNDS, cross=K[np.ix_(test, train)])
    return {
        "ridge": share * tuned,
        "round": np.arange(ROUNDS + 1),
        "error": np.mean((f - one_hot[test]) ** 2, axis=(1, 2)),
        "accuracy": np.mean(f.argmax(axis=2) == one_hot[test].argmax(axis=1), axis=1),
    }


def tuned_ridge(s: kd.Spectrum, y: Array) -> float:
    """The ridge of a grid with the least exact leave-one-out error of plain regression."""
    grid = RIDGES * float(s.eigenvalues[0])
    errors = [float(np.mean((kd.loo(s, y, ridge=ridge, teacher_weights=[])[0] - y) ** 2)) for ridge in grid]
    return float(grid[int(np.argmin(errors))])


def _grams(name: str) -> dict[str, Callable[[Array], Array]]:
    """Kernels of images (n, height, width, channels)."""
    from kdtheory import architectures, infinite  # noqa: PLC0415

    def flat(X: Array) -> Array:
        return X.reshape(len(X), -1)

    def rbf(X: Array) -> Array:
        points = flat(X)
        return kd.kernels.rbf(points, gamma=1.0 / float(2 * np.sum(points.var(axis=0))))

    def convolutional(X: Array, pooling: str) -> Array:
        cache = os.environ.get("KDTHEORY_CACHE")  # a killed run goes on where it was
        return infinite.gram(architectures.convolutional(depth=3, pooling=pooling), X, cache=cache)

    grams: dict[str, Callable[[Array], Array]] = {"RBF": rbf, "NTK": lambda X: kd.kernels.ntk(flat(X), depth=3)}
    grams["CNTK, flatten"] = functools.partial(convolutional, pooling="flatten")
    if name == "digits":
        grams["CNTK, pooling"] = functools.partial(convolutional, pooling="average")
    return grams


def _images(name: str) -> tuple[Array, NDArray[np.intp]]:
    """The first 600 images (n, height, width, channels), centred by their mean image, and their classes."""
    if name == "digits":
        digits = load_digits()
        X, labels = digits.images[..., None] / 16.0, digits.target
    else:
        small = {"fashion_mnist": "fashion_mnist/fashion_mnist.npz", "cifar10": "cifar10/cifar10_small.npz"}[name]
        with np.load(Path(os.environ.get(VARIABLE, "")).expanduser() / small, allow_pickle=False) as file:
            X, labels = file["x_train"] / 255.0, file["y_train"]
        X = X[..., None] if X.ndim == 3 else X
        if name == "cifar10":
            X = X.reshape(len(X), 16, 2, 16, 2, 3).mean(axis=(2, 4))
    X, labels = X[:IMAGES], labels[:IMAGES].astype(np.intp)
    return X - X.mean(axis=0), labels


if __name__ == "__main__":
    record(lambda: measure(tuple(DATA) if os.environ.get(VARIABLE) else ("digits",)), ())
