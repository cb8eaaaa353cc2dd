"""One run of a stack against its networks one by one, forgetting by a slow loop, and wrong labels among digits."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from empirical import scores, uncertainty
from empirical.convolutional import ResNet
from empirical.dynamics import forgetting, score_run
from empirical.ensembles import fit
from empirical.gradient_norms import grand
from empirical.networks import MLP
from empirical.recipe import Recipe
from empirical.stack import outputs, select
from empirical.subsets import kept

torch.set_num_threads(1)
RNG = np.random.default_rng(0)
R = 3


def slow_forgetting(shown, right, n, never):
    counts, before, learned, times = [0] * n, [False] * n, [False] * n, [0] * n
    for i, ok in zip(shown, right, strict=True):
        counts[i] += before[i] and not ok
        before[i], learned[i], times[i] = ok, learned[i] or ok, times[i] + 1
    return [c if seen else (t if never is None else never) for c, seen, t in zip(counts, learned, times, strict=True)]


@pytest.mark.parametrize("never", [None, 0, 2.5])
def test_forgetting_by_a_slow_loop(never):
    shown, right = RNG.integers(6, size=(R, 40)), RNG.random((R, 40)) < 0.4
    expected = [slow_forgetting(*run, 8, never) for run in zip(shown, right, strict=True)]  # 6 and 7 are never shown
    np.testing.assert_array_equal(forgetting(shown, right, 8, never_learned=never), expected)


RECIPE = Recipe(epochs=3, batch=8, learning_rate=0.1, loss="cross_entropy")
X = RNG.normal(size=(21, 5))
LABELS = RNG.integers(3, size=21)
CALLS = {
    "cross_entropy": (RECIPE, LABELS),
    "squared": (Recipe(epochs=3, batch=8, learning_rate=0.05), np.eye(3)[LABELS] - 1 / 3),
}


def network(**how):
    return MLP(5, 3, **({"width": 16, "depth": 1, "members": R, "dtype": torch.float64} | how))


@pytest.mark.parametrize("loss", CALLS)
def test_one_run_is_what_the_networks_give_one_by_one(loss):
    """21 points in batches of 8: epochs end after 3, 6 and 8 steps, and batches go over their ends."""
    recipe, y = CALLS[loss]
    model = network()
    run = score_run(model, X, y, recipe=recipe, el2n_epoch=2, grand_epoch=1, seed=4)
    seeds = np.random.SeedSequence(4).generate_state(R).astype(np.int64)
    for e in range(R):
        alone, said, at = select(model, [e]), [], {}

        def note(step, _, index, f, said=said):
            said += [(int(i), int(f_i.argmax()) == LABELS[i]) for i, f_i in zip(index[0], f[0], strict=True)]

        def look(step, part, _, at=at):
            at[step] = outputs(part, X)[0], grand(part, X, y, loss=loss)[0]

        fit(alone, X, y, recipe=recipe, seeds=seeds[e : e + 1], at=[0, 3, 6, 8], watch=look, on_batch=note)
        counted = slow_forgetting(*zip(*said, strict=True), 21, None)
        margins = [
            [f[i, y_i] - max(np.delete(f[i], y_i)) for i, y_i in enumerate(LABELS)] for f in (at[k][0] for k in (3, 6, 8))
        ]
        expected = {
            "grand_at_init": at[0][1],
            "grand": at[3][1],
            "el2n": scores.el2n(at[6][0], y, loss=loss),
            "forgetting": counted,
            "aum": -np.mean(margins, axis=0),
            "loss": scores.training_loss(at[8][0], y, loss=loss),
            "margin": uncertainty.margin(at[8][0], loss=loss),
            "least_confidence": uncertainty.least_confidence(at[8][0], loss=loss),
            "entropy": uncertainty.entropy(at[8][0], loss=loss),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(run.by_run[name][e], value, rtol=1e-6, atol=1e-7, err_msg=name)
        assert run.train_accuracy[e] == np.mean(at[8][0].argmax(1) == LABELS)
    assert set(run) == {"random", "input_norm", *expected}
    assert all(run[name].shape == (21,) and run[name].dtype == np.float64 for name in run)
    np.testing.assert_array_equal(run["forgetting"], run.by_run["forgetting"].sum(0))
    np.testing.assert_allclose(run["el2n"], run.by_run["el2n"].mean(0))


def test_a_run_does_not_depend_on_how_its_networks_are_stacked():
    whole, parts = (score_run(network(), X, LABELS, recipe=RECIPE, stack=stack) for stack in (3, 1))
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_a_run_leaves_the_model_alone_and_repeats_itself():
    model = network()
    first, again = (score_run(model, X, LABELS, recipe=RECIPE) for _ in range(2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert torch.equal(model.weights[0], network().weights[0])
    assert not torch.equal(first.model.weights[0], model.weights[0])


def test_a_run_of_residual_networks_scores_in_eval_mode():
    images, y = RNG.normal(size=(13, 1, 4, 4)), RNG.integers(3, size=13)
    model = ResNet((1, 4, 4), 3, depth=8, width=2, members=2)
    run = score_run(model, images, y, recipe=Recipe(epochs=2, batch=5, learning_rate=0.05, loss="cross_entropy"))
    np.testing.assert_allclose(run.by_run["grand"], grand(run.model, images, y), rtol=1e-6)
    one_by_one = np.concatenate([outputs(run.model, images[i : i + 1]) for i in range(13)], 1)
    np.testing.assert_allclose(run.by_run["el2n"], scores.el2n(one_by_one, y), rtol=1e-4, atol=1e-5)


def test_regression_has_the_scores_that_need_no_classes():
    run = score_run(MLP(5, width=8, depth=1, members=2), X, X[:, :1], recipe=Recipe(epochs=1, batch=8, learning_rate=0.05))
    assert set(run) == {"random", "input_norm", "grand_at_init", "grand", "el2n", "loss"}
    assert run.train_accuracy is None


@pytest.fixture(scope="module")
def digits():
    """500 digits with one label in ten wrong, and the scores of ten networks."""
    images, truth = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(images))[:500]
    X, y = images[rows] - images[rows].mean(0), truth[rows]
    flipped = np.zeros(500, dtype=bool)
    flipped[rng.permutation(500)[:50]] = True
    y = np.where(flipped, (y + rng.integers(1, 10, size=500)) % 10, y)
    X /= np.sqrt((X**2).mean())
    model = MLP(64, 10, width=128, depth=1, members=10)
    recipe = Recipe(epochs=12, batch=50, learning_rate=0.4, loss="cross_entropy")
    return score_run(model, X, y, recipe=recipe, el2n_epoch=6, grand_epoch=6), flipped


@pytest.mark.parametrize("name", ["el2n", "grand", "forgetting", "aum", "loss"])
def test_wrong_labels_come_first(digits, name):
    run, flipped = digits
    top = kept(run[name], 0.1)
    assert flipped[top].mean() > 0.8
    assert flipped[kept(run[name], 0.5, keep="easy")].mean() < 0.02


def test_gradients_at_initialisation_are_the_length_of_the_input(digits):
    run, _ = digits
    assert run.rank_correlation("grand_at_init", "input_norm") > 0.8
    assert abs(run.rank_correlation("el2n", "input_norm")) < 0.3
    assert 0.5 < run.agreement("el2n") < 1.0


def test_what_is_refused():
    with pytest.raises(ValueError, match="`correct` must have the shape of `index`"):
        forgetting([0, 1], [True], 2)
    with pytest.raises(ValueError, match="`index` must hold numbers from 0 to 1, got 0 to 2"):
        forgetting([0, 2], [True, True], 2)
    with pytest.raises(ValueError, match="`never_learned` must be zero or positive"):
        forgetting([0], [True], 1, never_learned=-1.0)
    with pytest.raises(ValueError, match="`el2n_epoch` must be at most 3, the full epochs of the recipe, got 4"):
        score_run(network(), X, LABELS, recipe=RECIPE, el2n_epoch=4)
    with pytest.raises(ValueError, match="`recipe` must meet each of 21 points at least once, got 2 steps of 8"):
        score_run(network(), X, LABELS, recipe=Recipe(steps=2, batch=8))
    with pytest.raises(ValueError, match="`model` must be a stack"):
        score_run(network(members=None), X, LABELS, recipe=RECIPE)
    run = score_run(network(members=1), X, LABELS, recipe=RECIPE)
    with pytest.raises(ValueError, match="`name` must be a score of at least two runs, got 'el2n'"):
        run.agreement("el2n")
    with pytest.raises(KeyError, match="`name` must be one of random, input_norm"):
        run["el3n"]
