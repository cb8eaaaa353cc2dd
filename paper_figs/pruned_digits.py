"""Digits with flipped labels: pruned students' error over the teacher weight, the optimum over the kept share, the advice.

Kernel regression on 500 training images, all other 1,297 to test; the teacher sees all 500, its student a random part of them
with labels and teacher's predictions mixed. Above: squared test error against clean one-hot labels, mean over 5 random splits
and 3 random subsets of each share; lines from both ends of the weight in closed form. Ridge: absolute, K + ridge I, one for
teacher and students, which exact leave-one-out of the teacher chose on the flipped training labels. That is the convention in
which the best ridge of a Gaussian process does not depend on the number of its points, and it suits students on labels: the
triangles, a ridge tuned for labels on every share, lie within 4 % of the curves with the NTK, up to 11 % below with RBF. It is
too large for the teacher's predictions, which carry less noise: weight and ridge tuned together (diamonds) beat every weight
at the common ridge wherever rows were dropped, with little ridge and weights of 1 to 2, and buy nothing at all rows. All
ridges are tuned on the training labels by leave-one-out, diamonds and triangles by `kdtheory.pruning.plan`; no test label is
used, but for the optima (dots). Crosses: students really trained, by scikit-learn's KernelRidge on mixed labels. Vertical
intervals: 95 % t-intervals over splits; horizontal ones the same for the vertex.

With labels as they are the tuned teacher interpolates them, and its students cannot tell it from the labels. Below: the
optimal weight by test labels, clean or in expectation as noisy as the training's (flips shrink the mean of a label by the
factor 1 - 10/9 share), with 95 % t-intervals over splits; lines: the weight that `plan` advises from training labels alone at
the same ridge, mean over splits, bands the mean of its own 95 % intervals. The advice is for labels as noisy as those it sees,
and meets the best weight for those: rising as rows are dropped, near zero with all rows, because the ridge is tuned. For clean
labels the best weight is lower, the more so the more rows are kept: a negative weight undoes shrinkage, that of the flips too.
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
