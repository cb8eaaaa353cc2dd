r"""What a point is worth to a student: scores of training points from a network's outputs, the inputs, or a kernel.

One direction for every score: **higher = keep**. Outputs are (n, p), or (R, n, p) of R networks, and scores then (R, n): the
score of a point is its mean over the runs. What looks at no labels is in `empirical.uncertainty`; scores from gradients are in
`empirical.gradient_norms`, from features in `empirical.coverage`, from a whole training run in `empirical.dynamics`, by
networks that did not see the point in `empirical.memorisation`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from empirical.uncertainty import checked_outputs, probabilities, require_loss
from kdtheory import selection
from kdtheory.checks import Array, finite_array, numeric, whole

__all__ = [
    "classes_of",
    "el2n",
    "input_norm",
    "kernel_leverage",
    "label_margin",
    "random",
    "training_loss",
]

STREAM = 0x5C0E  # of random numbers: no other use of the same seed draws from it


def random(n: int, *, seed: int = 0) -> Array:
    """The baseline of every comparison: uniform numbers, so that a share of m rows is a random subset of them.

    Parameters
    ----------
    n : int
        Points.
    seed : int

    Returns
    -------
    (n,) array
    """
    return np.random.default_rng([STREAM, whole(seed, "seed")]).random(whole(n, "n", least=1))


def input_norm(X: ArrayLike) -> Array:
    r"""Length of the input, :math:`|x|`; long inputs are kept.

    No method, but a baseline: the gradients of an untrained network grow with the length of its input, so that `grand` at
    initialisation ranks points nearly as this does and must not be shown without it.

    Parameters
    ----------
    X : (n, ...) array

    Returns
    -------
    (n,) array

    References
    ----------
    Kirsch (2023), arXiv:2303.14753.
    """
    points = finite_array(X, "X")
    return np.asarray(np.linalg.norm(points.reshape(len(points), -1), axis=1))


def kernel_leverage(gram: ArrayLike, *, ridge: float) -> Array:
    r"""Ridge leverage, :math:`[K(K + \lambda I)^{-1}]_{ii}`: how much a point decides its own prediction. High is kept.

    It looks at no labels, so wrong ones do not attract it.

    Parameters
    ----------
    gram : (n, n) array
        Of any kernel: `kdtheory.kernels`, or `empirical.ntk.empirical_ntk` of a network.
    ridge : float
        :math:`\lambda > 0`, absolute.

    Returns
    -------
    (n,) array
        Their sum is the effective dimension.

    References
    ----------
    Alaoui & Mahoney (2015), arXiv:1411.0306.

    Examples
    --------
    Of two equal points each one is worth less than a point alone:

    >>> kernel_leverage([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], ridge=1.0).round(3)
    array([0.333, 0.333, 0.5  ])
    """
    K = finite_array(gram, "gram")
    return selection.scores(K, np.zeros(len(K)), rule="leverage", ridge=ridge)


def el2n(outputs: ArrayLike, labels: ArrayLike, *, loss: str = "cross_entropy") -> Array:
    r"""Size of the residual, :math:`|p(x) - y|` with y one-hot; the hard points are kept, and wrong labels first.

    It is the loss's gradient by the outputs, so for the squared loss it is :math:`|f(x) - y|` itself, and `grand` is what
    becomes of it on the way back to the parameters. The distance, not its square: means over runs differ.

    Parameters
    ----------
    outputs : (n, p) or (R, n, p) array
        Logits, in eval mode, of networks that trained for a few epochs (20 of 200 in the source; mean of 10 runs).
    labels : (n,) classes or (n, p) coded labels
        Coded for the squared loss.
    loss : {"cross_entropy", "squared"}

    Returns
    -------
    (n,) or (R, n) array

    Raises
    ------
    ValueError
        If shapes disagree or the loss is unknown.

    References
    ----------
    Paul, Ganguli & Dziugaite (2021), arXiv:2107.07075.

    Examples
    --------
    A wrong label, an undecided point, a point that is right:

    >>> el2n([[9.0, 0.0], [0.0, 0.0], [0.0, 9.0]], [1, 1, 1]).round(2)
    array([1.41, 0.71, 0.  ])
    """
    f = checked_outputs(outputs)
    require_loss(loss)
    if loss == "squared":
        return np.asarray(np.linalg.norm(f - _coded(labels, f), axis=-1))
    one_hot = np.eye(f.shape[-1])[classes_of(labels, f)]
    return np.asarray(np.linalg.norm(probabilities(f) - one_hot, axis=-1))


def training_loss(outputs: ArrayLike, labels: ArrayLike, *, loss: str = "cross_entropy") -> Array:
    r"""The loss of each point, :math:`-\log p_y(x)` or :math:`\tfrac12 |f(x) - y|^2`; what is not learned is kept.

    Parameters and errors are those of `el2n`; of the squared loss the order is the same, of the cross-entropy not quite.

    Returns
    -------
    (n,) or (R, n) array
    """
    if loss != "cross_entropy":
        return el2n(outputs, labels, loss=loss) ** 2 / 2
    f = checked_outputs(outputs)
    return -_at(log_softmax(f, axis=-1), classes_of(labels, f))


def label_margin(outputs: ArrayLike, labels: ArrayLike) -> Array:
    r"""Lead of the label over the best other class, :math:`f_y - \max_{c \ne y} f_c`, on outputs. Not a score: high is easy.

    Minus its mean over epochs is the score "aum" of `empirical.dynamics`. On outputs and not on probabilities, where all
    that is learned looks the same.

    Parameters
    ----------
    outputs : (n, C) or (R, n, C) array
    labels : (n,) classes or (n, C) coded labels

    Returns
    -------
    (n,) or (R, n) array

    References
    ----------
    Pleiss, Zhang, Elenberg & Weinberger (2020), arXiv:2001.10528.

    Examples
    --------
    >>> label_margin([[3.0, 1.0, 0.0], [3.0, 1.0, 0.0]], [0, 1])
    array([ 2., -2.])
    """
    f = checked_outputs(outputs, least=2)
    classes = classes_of(labels, f)
    others = np.where(np.eye(f.shape[-1], dtype=bool)[classes], -np.inf, f)
    return np.asarray(_at(f, classes) - others.max(axis=-1))


def classes_of(labels: ArrayLike, outputs: Array) -> NDArray[np.intp]:
    """The class of each point, from classes or from coded labels, of which it is the largest entry."""
    values, (n, C) = numeric(labels, "labels"), outputs.shape[-2:]
    if values.ndim == 2:
        return np.asarray(_coded(values, outputs).argmax(axis=1))
    if values.dtype.kind not in "iu" or values.shape != (n,):
        raise ValueError(f"`labels` must hold a class for each of {n} points, got shape {values.shape}, {values.dtype}.")
    if values.min() < 0 or values.max() >= C:
        wrong = values[(values < 0) | (values >= C)][0]
        raise ValueError(f"`labels` must hold classes from 0 to {C - 1}, as there are outputs, got {wrong}.")
    return values.astype(np.intp)


def _coded(labels: ArrayLike, outputs: Array) -> Array:
    y, shape = finite_array(labels, "labels"), outputs.shape[-2:]
    y = y[:, None] if y.ndim == 1 and shape[1] == 1 else y
    if y.shape != shape:
        raise ValueError(f"`labels` must be coded, of shape {shape} like the outputs, got {y.shape}.")
    return y


def _at(values: Array, classes: NDArray[np.intp]) -> Array:
    return np.asarray(values[..., np.arange(len(classes)), classes])
