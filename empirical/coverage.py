r"""Scores by where points lie among the others, in the features of a trained network; higher = keep.

`features` gives what enters the last layer. Of several networks, put their features side by side: squared distances are then
sums over the networks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from empirical import extra
from empirical.convolutional import ConvNet, ResNet
from empirical.networks import MLP, Centred, members_of, tensor_for
from empirical.scores import classes_of
from kdtheory.checks import Array, matrix, whole

with extra():
    import torch
    from sklearn.cluster import KMeans
    from torch import Tensor, nn

__all__ = ["features", "herding", "k_center", "moderate", "prototypes"]

POINTS = 4096  # whose layers are held at once, over the number of members


def features(model: nn.Module, X: ArrayLike | Tensor) -> NDArray[np.float32]:
    """What enters the last layer, in eval mode, block by block: (n, d) of a network alone, (E, n, d) of a stack.

    Parameters
    ----------
    model : nn.Module
        `MLP`, `ConvNet`, `ResNet`, or `Centred` of one. `np.hstack(features(stack, X))` are those of all members side by side.
    X : (n, ...) array or tensor

    Raises
    ------
    ValueError
        If the network is of another kind.

    Examples
    --------
    >>> features(MLP(3, width=[8, 5], depth=2, members=2), np.ones((4, 3))).shape
    (2, 4, 5)
    """
    if isinstance(model, Centred):
        return features(model.model, X)
    if not isinstance(model, (MLP, ConvNet, ResNet)):
        raise ValueError(f"`model` must be an MLP, a ConvNet or a ResNet to have features, got {type(model).__name__}.")
    members, was_training, points = members_of(model), model.training, tensor_for(model, X, "X")
    model.eval()
    with torch.no_grad():
        blocks = torch.split(points, max(1, POINTS // (members or 1)))
        each = torch.cat([_features(model, some).float().cpu() for some in blocks], 1)
    model.train(was_training)
    return np.asarray((each[0] if members is None else each).numpy())


def _features(model: MLP | ConvNet | ResNet, X: Tensor) -> Tensor:
    """(E, n, d); E is 1 for a network alone."""
    if not isinstance(model, MLP):
        return model.features(X)
    h = X.expand(model.members or 1, *X.shape)
    for layer in model.layers()[:-1]:
        h = layer(h)
    return h


def herding(points: ArrayLike, *, classes: ArrayLike | None = None, count: int | None = None) -> Array:
    r"""Minus the place in the order that keeps the mean of what is taken nearest to the mean :math:`\mu` of all.

    .. math::
        i_{m+1} = \arg\min_i \Big| (m + 1)\,\mu - \sum_{j \le m} \varphi_{i_j} - \varphi_i \Big|.

    Parameters
    ----------
    points : (n, d) array
        Features :math:`\varphi`.
    classes : (n,) ints, optional
        Each class is ordered by itself, around its own mean; for subsets that are balanced over the classes.
    count : int, optional
        Points to take (of each class), all left out; those not taken share the last place. Time is n · count · d, memory n.

    Returns
    -------
    (n,) array
        0, -1, -2, ... in the order taken.

    Raises
    ------
    ValueError
        If the points are no matrix, or there are not so many.

    References
    ----------
    Welling (2009), Herding dynamical weights to learn; Chen, Welling & Smola (2010), arXiv:1203.3472.

    Examples
    --------
    The middle comes first, and the second point stands opposite to the third:

    >>> herding([[-2.0], [-1.0], [0.1], [1.0], [2.0]], count=3)
    array([-3., -1.,  0., -2., -3.])
    """
    return _by_class(points, classes, count, _herd)


def k_center(points: ArrayLike, *, classes: ArrayLike | None = None, count: int | None = None) -> Array:
    r"""Minus the place in the order that takes the point farthest from those taken.

    .. math::
        i_{m+1} = \arg\max_i \min_{j \le m} |\varphi_i - \varphi_{i_j}|.

    At every length the points taken cover the others within twice the least radius. The first is the one nearest to the mean.

    Parameters
    ----------
    points, classes, count
        As in `herding`.

    Returns
    -------
    (n,) array

    Raises
    ------
    ValueError
        As in `herding`.

    References
    ----------
    Gonzalez (1985), Clustering to minimize the maximum intercluster distance; Sener & Savarese (2018), arXiv:1708.00489.

    Examples
    --------
    >>> k_center([[0.0], [1.0], [9.0], [-5.0]])
    array([-3.,  0., -1., -2.])
    """
    return _by_class(points, classes, count, _farthest)


def moderate(points: ArrayLike, classes: ArrayLike) -> Array:
    r"""Minus how far a point's distance to the median of its class is from the median distance; the middle is kept.

    .. math::
        -\big| d_i - \mathrm{median}(d) \big|, \qquad d_i = \big|\varphi_i - \mathrm{median}_{j:\, y_j = y_i} \varphi_j\big|,

    the inner median taken feature by feature. Neither what is typical of a class is kept nor what lies far out.

    Parameters
    ----------
    points : (n, d) array
    classes : (n,) ints

    Returns
    -------
    (n,) array

    Raises
    ------
    ValueError
        If the points are no matrix, or there is not a class for each.

    References
    ----------
    Xia, Liu, Yu, Shen, Han & Liu (2023), Moderate coreset, ICLR.

    Examples
    --------
    >>> moderate([[0.0], [1.0], [-1.0], [3.0], [0.0]], [0, 0, 0, 0, 0])
    array([-1.,  0.,  0., -2., -1.])
    """
    phi = matrix(points, "points")
    y = _classes(classes, len(phi))
    centres = np.zeros_like(phi)
    for c in np.unique(y):
        centres[y == c] = np.median(phi[y == c], axis=0)
    d = np.linalg.norm(phi - centres, axis=1)
    return np.asarray(0.0 - np.abs(d - np.median(d)))


def prototypes(points: ArrayLike, *, clusters: int, seed: int = 0, restarts: int = 4) -> Array:
    r"""Distance to the nearest of the k-means centroids, :math:`\min_k |\varphi_i - m_k|`; what lies far out is kept.

    In features of a network that was trained on the labels, these are the supervised prototypes. Where few points can be kept,
    the source advises the near ones: ``keep="easy"`` in `empirical.subsets`.

    Parameters
    ----------
    points : (n, d) array
    clusters : int
        About as many as classes.
    seed : int
    restarts : int
        Of k-means; the best one counts.

    Returns
    -------
    (n,) array

    Raises
    ------
    ValueError
        If the points are no matrix, or fewer than the clusters.

    References
    ----------
    Sorscher, Geirhos, Shekhar, Ganguli & Morcos (2022), arXiv:2206.14486.

    Examples
    --------
    >>> prototypes([[0.0], [2.0], [1.0], [50.0], [52.0], [51.0]], clusters=2)
    array([1., 1., 0., 1., 1., 0.])
    """
    phi, k = matrix(points, "points"), whole(clusters, "clusters", least=1)
    if k > len(phi):
        raise ValueError(f"`clusters` must be at most the number of points, {len(phi)}, got {k}.")
    found = KMeans(k, n_init=whole(restarts, "restarts", least=1), random_state=whole(seed, "seed")).fit(phi)
    return np.asarray(np.linalg.norm(phi - found.cluster_centers_[found.labels_], axis=1))


def _by_class(
    points: ArrayLike, classes: ArrayLike | None, count: int | None, order: Callable[[Array, int], list[int]]
) -> Array:
    """Minus the place in a greedy order, of all points or of each class; centred, since distances are made of products."""
    phi = matrix(points, "points")
    y = np.zeros(len(phi), dtype=np.intp) if classes is None else _classes(classes, len(phi))
    most = len(phi) if count is None else whole(count, "count", least=1)
    if most > len(phi):
        raise ValueError(f"`count` must be at most the number of points, {len(phi)}, got {most}.")
    score = np.empty(len(phi))
    for c in np.unique(y):
        rows = np.flatnonzero(y == c)
        taken = order(phi[rows] - phi[rows].mean(axis=0), min(most, len(rows)))
        score[rows] = -min(most, len(rows))
        score[rows[taken]] = -np.arange(len(taken))
    return score


def _herd(phi: Array, count: int) -> list[int]:
    """With the mean at zero, the next point is the nearest to minus the sum of those taken."""
    squares, total, taken = (phi**2).sum(axis=1), np.zeros(phi.shape[1]), []
    for _ in range(count):
        i = int(np.argmin(squares + 2 * (phi @ total)))
        taken.append(i)
        total += phi[i]
        squares[i] = np.inf
    return taken


def _farthest(phi: Array, count: int) -> list[int]:
    squares = (phi**2).sum(axis=1)
    taken = [int(np.argmin(squares))]
    nearest = np.full(len(phi), np.inf)
    while len(taken) < count:
        last = taken[-1]
        np.minimum(nearest, squares + squares[last] - 2 * (phi @ phi[last]), out=nearest)
        nearest[last] = -np.inf
        taken.append(int(np.argmax(nearest)))
    return taken


def _classes(classes: ArrayLike, n: int) -> NDArray[np.intp]:
    y = np.asarray(classes)
    return classes_of(y, np.empty((n, 1 + int(y.max(initial=0)) if y.dtype.kind in "iu" else 1)))
