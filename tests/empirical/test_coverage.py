"""Scores by where points lie: greedy orders against brute force, and what each of them is for."""

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from empirical.convolutional import ConvNet, ResNet
from empirical.coverage import features, herding, k_center, moderate, prototypes
from empirical.networks import MLP, Centred
from empirical.subsets import kept

torch.set_num_threads(1)
RNG = np.random.default_rng(0)
PHI = RNG.normal(size=(40, 3)) + 5.0
Y = RNG.integers(3, size=40)
SCORES = {
    "herding": lambda phi, y: herding(phi),
    "herding_by_class": lambda phi, y: herding(phi, classes=y),
    "k_center": lambda phi, y: k_center(phi),
    "k_center_by_class": lambda phi, y: k_center(phi, classes=y),
    "moderate": moderate,
    "prototypes": lambda phi, y: prototypes(phi, clusters=1),
}


def order(score):
    return np.argsort(-score, kind="stable")


def slow_herding(phi, count):
    taken = []
    for m in range(count):
        wanted = (m + 1) * phi.mean(0) - phi[taken].sum(0)
        taken.append(min(set(range(len(phi))) - set(taken), key=lambda i: np.linalg.norm(wanted - phi[i])))
    return taken


def slow_k_center(phi, count):
    taken = [int(np.argmin(np.linalg.norm(phi - phi.mean(0), axis=1)))]
    while len(taken) < count:
        taken.append(max(range(len(phi)), key=lambda i: min(np.linalg.norm(phi[i] - phi[s]) for s in taken)))
    return taken


@pytest.mark.parametrize(("score", "slow"), [(herding, slow_herding), (k_center, slow_k_center)])
def test_greedy_orders_by_their_definition(score, slow):
    assert order(score(PHI)).tolist() == slow(PHI, 40)
    assert order(score(PHI, count=9))[:9].tolist() == slow(PHI, 9)
    assert sorted(score(PHI, count=9)) == [-9.0] * 31 + sorted(-np.arange(9.0))
    by_class = score(PHI, classes=Y)
    for c in range(3):
        rows = np.flatnonzero(Y == c)
        assert rows[order(by_class[rows])].tolist() == rows[slow(PHI[rows], len(rows))].tolist()


@pytest.mark.parametrize("name", SCORES)
def test_points_in_another_order_have_the_same_scores(name):
    there = RNG.permutation(40)
    np.testing.assert_allclose(SCORES[name](PHI[there], Y[there]), SCORES[name](PHI, Y)[there], atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_where_the_points_are_is_not_what_counts(name):
    """Moved and turned together they have the same scores."""
    Q, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    if name != "moderate":  # medians are taken feature by feature
        np.testing.assert_allclose(SCORES[name](PHI @ Q, Y), SCORES[name](PHI, Y), atol=1e-12)
    np.testing.assert_allclose(SCORES[name](PHI + 100.0, Y), SCORES[name](PHI, Y), atol=1e-11)


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_what_herding_keeps_is_nearer_to_the_mean_than_random(fraction):
    phi = RNG.normal(size=(300, 8)) ** 3

    def off(rows):
        return np.linalg.norm(phi[rows].mean(0) - phi.mean(0))

    by_chance = [off(kept(RNG.random(300), fraction)) for _ in range(50)]
    assert off(kept(herding(phi), fraction)) < min(by_chance)


def test_k_center_covers_within_twice_the_least_radius():
    phi = RNG.normal(size=(12, 2))
    distances = np.linalg.norm(phi[:, None] - phi[None], axis=2)

    def radius(rows):
        return distances[:, list(rows)].min(1).max()

    for count in (2, 3, 4):
        least = min(map(radius, itertools.combinations(range(12), count)))
        assert least <= radius(order(k_center(phi))[:count]) <= 2 * least


@pytest.mark.parametrize("score", [herding, k_center])
def test_greedy_orders_need_memory_for_the_points_alone(score):
    """The matrix of distances to those taken would be 2000 times 20,000 numbers."""
    phi = RNG.normal(size=(20000, 2))
    tracemalloc.start()
    score(phi, count=2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * phi.nbytes


def test_moderate_keeps_the_middle():
    """Neither the most typical of a class nor what lies farthest out."""
    phi = RNG.normal(size=(201, 2))
    distance = np.linalg.norm(phi - np.median(phi, axis=0), axis=1)
    rank = distance.argsort().argsort()
    rows = kept(moderate(phi, np.zeros(201, dtype=int)), 0.3)
    assert rank[rows].min() > 30
    assert rank[rows].max() < 170
    assert (distance[rows] < np.median(distance)).any()
    assert (distance[rows] > np.median(distance)).any()


def test_moderate_measures_from_the_median_of_each_class():
    far = np.where(Y[:, None] == 1, 1000.0, 0.0)
    np.testing.assert_allclose(moderate(PHI + far, Y), moderate(PHI, Y), atol=1e-9)
    centres = np.array([[np.median(PHI[Y == c, j]) for j in range(3)] for c in range(3)])
    d = [np.linalg.norm(x - centres[c]) for x, c in zip(PHI, Y, strict=True)]
    np.testing.assert_allclose(moderate(PHI, Y), [-abs(d_i - np.median(d)) for d_i in d])


def test_prototypes_keep_what_lies_far_from_every_cluster():
    centres = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    phi = np.concatenate([centre + RNG.normal(size=(30, 2)) for centre in centres])
    score = prototypes(phi, clusters=3)
    means = [phi[30 * k : 30 * k + 30].mean(0) for k in range(3)]
    np.testing.assert_allclose(score, [min(np.linalg.norm(x - m) for m in means) for x in phi], rtol=1e-6)
    assert np.array_equal(score, prototypes(phi, clusters=3))


IMAGES = RNG.normal(size=(5, 1, 4, 4))
MODELS = {
    "mlp": (lambda members: MLP(3, 2, width=[6, 5], depth=2, bias_variance=0.1, members=members), PHI[:5]),
    "linear": (lambda members: MLP(3, 2, width=1, depth=0, members=members), PHI[:5]),
    "convnet": (lambda members: ConvNet((1, 4, 4), 2, width=3, members=members), IMAGES),
    "resnet": (lambda members: ResNet((1, 4, 4), 2, depth=8, width=3, members=members), IMAGES),
}


@pytest.mark.parametrize("name", MODELS)
def test_features_are_what_the_last_layer_makes_outputs_of(name):
    make, X = MODELS[name]
    for members in (None, 2):
        model = make(members).eval()
        phi, f = features(model, X), model(torch.tensor(X, dtype=torch.float32)).detach().numpy()
        if isinstance(model, MLP):
            made = model.layers()[-1](torch.tensor(phi)).detach().numpy()
        else:
            made = model.last(torch.tensor(phi if members else phi[None])).detach().numpy()
        np.testing.assert_allclose(made.reshape(f.shape), f, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(features(Centred(model), X), phi)
    assert features(make(2).train(), X).shape[:2] == (2, 5)


def test_what_is_refused():
    with pytest.raises(ValueError, match="`points` must be two-dimensional"):
        herding(PHI[0])
    with pytest.raises(ValueError, match="`count` must be at most the number of points, 40, got 41"):
        k_center(PHI, count=41)
    with pytest.raises(ValueError, match="`clusters` must be at most the number of points, 40, got 41"):
        prototypes(PHI, clusters=41)
    with pytest.raises(ValueError, match="`labels` must hold a class for each of 40 points"):
        moderate(PHI, Y[:7])
    with pytest.raises(ValueError, match="`model` must be an MLP, a ConvNet or a ResNet to have features, got Linear"):
        features(nn.Linear(3, 2), PHI)
