"""Memorisation against networks trained one by one, and the subsets that they see."""

import numpy as np
import pytest
import torch

from empirical.ensembles import fit
from empirical.memorisation import balanced_subsets, memorisation
from empirical.networks import MLP
from empirical.recipe import Recipe
from empirical.stack import outputs, select

torch.set_num_threads(1)


def test_memorised_are_the_wrong_labels():
    """Labels of odd points are known only to networks that saw them."""
    X = np.random.default_rng(1).normal(size=(60, 8))
    y = (X[:, 0] > 0).astype(int)
    odd = np.argsort(-np.abs(X[:, 0]))[:4]
    y[odd] = 1 - y[odd]
    recipe = Recipe(steps=150, batch=20, learning_rate=0.1, loss="cross_entropy")
    model = MLP(8, 2, width=128, depth=1, members=10)
    score = memorisation(model, X, y, recipe=recipe, seed=2)
    assert score[odd].mean() > 0.7
    assert np.delete(score, odd).mean() < 0.3

    subsets, seeds = balanced_subsets(60, 10, 0.7, seed=2), np.random.SeedSequence(2).generate_state(10).astype(np.int64)
    inside, outside = [[] for _ in y], [[] for _ in y]
    for e, rows in enumerate(subsets):
        alone = select(model, [e])
        fit(alone, X, y, recipe=recipe, rows=rows, seeds=seeds[e])
        for i, f_i in enumerate(outputs(alone, X)[0]):
            (inside if i in rows else outside)[i].append(f_i.argmax() == y[i])
    np.testing.assert_allclose(score, [np.mean(a) - np.mean(b) for a, b in zip(inside, outside, strict=True)])


def test_subsets_of_memorisation_are_balanced_and_uniform():
    subsets = balanced_subsets(11, 7, 0.7, seed=3)
    assert {len(rows) for rows in subsets} == {8}
    assert np.ptp(np.bincount(np.concatenate(subsets), minlength=11)) <= 1
    draws = np.array([np.bincount(balanced_subsets(5, 3, 0.4, seed=seed)[2], minlength=5) for seed in range(2000)])
    np.testing.assert_allclose(draws.mean(0), 0.4, atol=4 * np.sqrt(0.24 / 2000))


def test_what_is_refused():
    X, y, recipe = np.eye(20), np.arange(20) % 2, Recipe(steps=1, loss="cross_entropy")
    three, alone = (MLP(20, 2, width=4, depth=1, members=members) for members in (3, None))
    with pytest.raises(ValueError, match="`model` must be a stack"):
        memorisation(alone, X, y, recipe=recipe)
    with pytest.raises(ValueError, match=r"`model` must have more members .* with 3 some point is in all of the subsets"):
        memorisation(three, X, y, recipe=recipe, share=0.9)
    with pytest.raises(ValueError, match="some point is in none of the subsets"):
        memorisation(three, X, y, recipe=recipe, share=0.1)
