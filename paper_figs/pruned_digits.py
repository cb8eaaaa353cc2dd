"""Pruned students on digits with flipped labels: the fewer rows, the larger the best teacher weight, as the plan advises.

Varied: the kernel (RBF, NTK), the share of labels flipped (0, 20, 40 %), the kept share of the images, the teacher weight.
Tuned: the ridge, absolute (K + ridge I), one for teacher and students, by exact leave-one-out of the teacher on the flipped
training labels; triangles: a ridge tuned for labels only on every share; diamonds: weight (0 to 2) and ridge together; both
by ``kdtheory.pruning.plan`` on the training labels. No test label is used, but for the optima (dots).
Seeds: 5 random splits, each with 3 random subsets of every share. Vertical intervals: 95 % t-intervals over splits;
horizontal ones the same for the vertex of the mean parabola.
Sizes: 500 training images of scikit-learn's digits, 25 to 500 of them kept, all other 1,297 to test, 10 outputs.

The teacher sees all training images, its student a random part of them with labels and teacher's predictions mixed. Above:
squared test error against clean one-hot labels; lines from both ends of the weight in closed form; crosses: students really
trained, by scikit-learn's KernelRidge on mixed labels. In the absolute convention the best ridge of a Gaussian process does
not depend on the number of its points, and it suits students on labels: the triangles lie within 4 % of the curves with the
NTK, up to 11 % below with RBF. It is too large for the teacher's predictions, which carry less noise: the diamonds beat
every weight at the common ridge wherever rows were dropped, with little ridge and weights of 1 to 2, and buy nothing at all
rows. With labels as they are the tuned teacher interpolates them, and its students cannot tell it from the labels.

Below: the optimal weight by test labels, clean (filled) or in expectation as noisy as the training's (open; flips shrink the
mean of a label by the factor 1 - 10/9 share); lines: the weight that ``plan`` advises from training labels alone at the same
ridge, mean over splits, bands the mean of its own 95 % intervals. The advice is for labels as noisy as those it sees, and
meets the best weight for those: rising as rows are dropped, near zero with all rows, because the ridge is tuned. For clean
labels the best weight is lower, the more so the more rows are kept: a negative weight undoes shrinkage, that of the flips
too.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from kdtheory.problem import digits
from paper_figs.digits import KERNELS
from paper_figs.pruned_images import Images, measure
from paper_figs.pruned_images import draw as draw_images
from paper_figs.style import Table, stack

TRAIN, SEEDS, SUBSETS = 500, 5, 3


def compute() -> Table:
    """Parabolas, advice and trained students per kernel, noise, kept share and split."""
    rows = []
    for kernel in KERNELS:
        for seed in range(SEEDS):
            rows += [{"kernel": kernel} | row for row in measure(split(kernel, seed), SUBSETS)]
    return stack(rows)


def split(kernel: str, seed: int) -> Images:
    """500 images to train, all others to test."""
    X, Y = digits()
    order = np.random.default_rng(seed).permutation(len(X))
    train, test = np.split(X[order] / 16.0, [TRAIN])
    of = KERNELS[kernel]
    return Images.of(of(train), of(test, train), Y[order].argmax(axis=1), seed)


def draw(table: Table) -> Figure:
    """Six panels of parabolas, two of optima."""
    return draw_images(table, {"rbf": "RBF", "ntk": "NTK"}, f"Digits, {TRAIN} training images, mean of {SEEDS} splits")
