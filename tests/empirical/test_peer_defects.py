"""Errors found in other libraries for pruning and distillation: each stands beside what is right, and would be caught."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from empirical import scores, uncertainty
from empirical.convolutional import ResNet
from empirical.coverage import herding, k_center, moderate
from empirical.dynamics import forgetting, score_run
from empirical.gradient_norms import grand
from empirical.losses import cross_entropy
from empirical.networks import MLP
from empirical.recipe import Recipe
from empirical.stack import outputs
from empirical.subsets import kept

torch.set_num_threads(1)
RNG = np.random.default_rng(0)
N = 44  # batches of 8 leave 4
X, Y = RNG.normal(size=(N, 6)), RNG.integers(3, size=N)
RECIPE = Recipe(epochs=4, batch=8, learning_rate=0.1, loss="cross_entropy")


def network(**how):
    return MLP(6, 3, **({"width": 16, "depth": 2, "members": 2, "dtype": torch.float64} | how))


def gradients(model, points, y, *, mean_over=1):
    """One example after the other, as the gradient of a mean over a batch has it: divided by the batch's length."""
    norms = []
    for x, label in zip(torch.tensor(points), torch.tensor(y), strict=True):
        loss = nn.functional.cross_entropy(model(x[None]), label[None]) / mean_over
        grads = torch.autograd.grad(loss, list(model.parameters()))
        norms.append(float(torch.cat([g.flatten() for g in grads]).norm()))
    return np.array(norms)


def test_gradient_norms_are_not_divided_by_the_batch():
    """DeepCore's GraNd: the criterion is a mean, so a last batch of 4 scores twice what a full one of 8 does."""
    model = network(members=None)
    true = gradients(model, X, Y)
    peer = np.concatenate([gradients(model, X[i : i + 8], Y[i : i + 8], mean_over=min(8, N - i)) for i in range(0, N, 8)])
    last = np.arange(N) >= 40
    assert last[kept(peer, 0.2)].mean() > 2 * last[kept(true, 0.2)].mean() + 0.1  # what the error does
    ours = grand(model, X, Y, block=8)
    np.testing.assert_allclose(ours / true, 1.0, rtol=1e-10)
    np.testing.assert_array_equal(kept(ours, 0.2), kept(true, 0.2))


def test_gradient_norms_are_of_all_layers():
    """DeepCore's GraNd: of the last layer alone, which orders points otherwise."""
    model = network(members=None)
    ours = grand(model, X, Y)
    for theta in (*model.weights[:-1], *model.biases[:-1]):
        theta.requires_grad_(False)
    last_layer = grand(model, X, Y)
    assert (last_layer < ours).all()
    assert spearmanr(last_layer, ours).statistic < 0.98


def test_gradient_norms_at_initialisation_are_those_of_step_zero():
    """Data Diet with flax before April 2021: `if step:` loaded the latest checkpoint for step 0."""
    model = network()
    run = score_run(model, X, Y, recipe=RECIPE, grand_epoch=0)
    at_start, at_end = grand(model, X, Y), grand(run.model, X, Y)
    for name in ("grand", "grand_at_init"):
        np.testing.assert_allclose(run.by_run[name], at_start, rtol=1e-12)
    assert np.abs(at_end / at_start - 1).max() > 0.1
    assert "input_norm" in run  # never shown without it


def test_scores_for_any_number_of_points():
    """data_diet: n must be divisible by the batch, or the split fails."""
    for n in (1, 7, N):
        run = score_run(network(), X[:n], Y[:n], recipe=RECIPE)
        assert all(run[name].shape == (n,) for name in run)


def test_herding_takes_the_nearest_not_the_farthest():
    """DeepCore's herding: argmax of the distance; the mean of what is kept is farther off than by chance."""
    phi = RNG.normal(size=(400, 5)) ** 3

    def farthest(count):
        taken = []
        for m in range(count):
            wanted = (m + 1) * phi.mean(0) - phi[taken].sum(0)
            distance = np.linalg.norm(wanted - phi, axis=1)
            distance[taken] = -np.inf
            taken.append(int(distance.argmax()))
        return taken

    def off(rows):
        return np.linalg.norm(phi[rows].mean(0) - phi.mean(0))

    by_chance = np.median([off(RNG.permutation(400)[:40]) for _ in range(40)])
    assert off(kept(herding(phi), 0.1)) < by_chance / 3 < by_chance < off(farthest(40))


@pytest.mark.parametrize("classes", [None, Y], ids=["overall", "balanced"])
@pytest.mark.parametrize("name", ["entropy", "margin", "least_confidence"])
def test_uncertain_points_are_kept_with_balance_and_without(name, classes):
    """DeepCore's Uncertainty: without balance the most certain points were kept."""
    f = RNG.normal(size=(N, 3)) * RNG.gamma(1.0, 3.0, size=(N, 1))
    rows = kept(getattr(uncertainty, name)(f), 0.3, classes=classes)
    unsure = uncertainty.entropy(f)
    assert unsure[rows].mean() > 1.5 * unsure.mean()


def test_confidence_is_of_probabilities():
    """DeepCore's least confidence: the largest output, so that outputs moved together change the order."""
    f = RNG.normal(size=(N, 3))
    moved = f + RNG.normal(scale=10.0, size=(N, 1))
    np.testing.assert_allclose(uncertainty.least_confidence(moved), uncertainty.least_confidence(f), rtol=1e-9)
    assert abs(spearmanr(-moved.max(1), uncertainty.least_confidence(f)).statistic) < 0.7


def test_points_never_learned_come_first():
    """DeepCore's forgetting: points that were never right score 0 and are dropped first."""
    shown = np.tile(np.arange(4), 5)
    right = np.array([[0, 1, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [1, 0, 1, 0, 1]], dtype=bool).T.ravel()
    assert forgetting(shown, right, 4).tolist() == [2, 0, 5, 2]
    assert kept(forgetting(shown, right, 4), 0.25).tolist() == [2]
    assert forgetting(shown, right, 4, never_learned=0).tolist() == [2, 0, 0, 2]


def test_centres_need_no_matrix_of_budget_times_points(monkeypatch):
    """DeepCore's k-center: a budget × n matrix; no array here is larger than the points."""
    largest = 0
    full = np.full

    def watched(shape, *args, **how):
        nonlocal largest
        largest = max(largest, int(np.prod(shape)))
        return full(shape, *args, **how)

    monkeypatch.setattr(np, "full", watched)
    k_center(RNG.normal(size=(300, 2)), count=200)
    assert largest <= 300


@pytest.mark.parametrize("keep", ["hard", "stratified"])
def test_every_class_has_its_own_size(keep):
    """CCS balanced: the size of the last class was taken for all; wrong where classes differ, as in SVHN."""
    y = np.repeat([0, 1, 2], [60, 30, 10])
    rows = kept(RNG.random(100), 0.5, keep=keep, classes=y)
    assert np.bincount(y[rows]).tolist() == [30, 15, 5]


def test_scores_are_taken_in_eval_mode():
    """CCS's EL2N: in training mode, where normalisation makes a point's score depend on its batch."""
    images, y = RNG.normal(size=(12, 1, 4, 4)), RNG.integers(3, size=12)
    recipe = Recipe(epochs=2, batch=6, learning_rate=0.05, loss="cross_entropy")
    run = score_run(ResNet((1, 4, 4), 3, depth=8, width=2, members=2), images, y, recipe=recipe)
    one_by_one = np.concatenate([outputs(run.model, images[i : i + 1]) for i in range(12)], 1)
    np.testing.assert_allclose(run.by_run["el2n"], scores.el2n(one_by_one, y), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        in_training = run.model.train()(torch.tensor(images, dtype=torch.float32)).numpy()
    assert np.abs(scores.el2n(in_training, y) - run.by_run["el2n"]).max() > 0.01


def test_moderate_keeps_the_middle_and_not_the_ends():
    """D2's moderate selection: the rows to prune were returned as those to keep."""
    phi = RNG.normal(size=(101, 2))
    distance = np.linalg.norm(phi - np.median(phi, axis=0), axis=1)
    rows = kept(moderate(phi, np.zeros(101, dtype=int)), 0.3)
    typical = np.abs(distance - np.median(distance))
    assert typical[rows].max() <= np.delete(typical, rows).min()
    assert not {int(distance.argmin()), int(distance.argmax())} & set(rows.tolist())


def test_the_teacher_weight_is_on_the_teacher_and_nothing_jumps():
    """torchdistill: at the end of a scan tau² was lost. KD_Lib: the distance of two softmaxes instead of the divergence."""
    f, T = torch.tensor(RNG.normal(size=(2, 1, 9, 4)))
    y, tau = torch.tensor(RNG.integers(4, size=(1, 9))), 4.0
    at = [float(cross_entropy(f, y, T, torch.tensor([w], dtype=torch.float64), tau)) for w in (0.0, 1e-9, 0.5, 1 - 1e-9, 1.0)]
    soft = nn.functional.kl_div((f[0] / tau).log_softmax(-1), (T[0] / tau).softmax(-1), reduction="batchmean")
    assert at[0] == float(cross_entropy(f, y, None, torch.zeros(1)))
    assert at[0] == pytest.approx(float(nn.functional.cross_entropy(f[0], y[0])), rel=1e-14)
    assert at[4] == pytest.approx(tau**2 * float(soft), rel=1e-12)
    assert at[1] == pytest.approx(at[0], rel=1e-6)
    assert at[3] == pytest.approx(at[4], rel=1e-6)
    assert at[2] == pytest.approx((at[0] + at[4]) / 2, rel=1e-12)


def test_nothing_outside_is_changed():
    """InfoBatch: torch's loader was patched for the whole process, and NumPy's global generator seeded anew."""
    loader = torch.utils.data.dataloader._BaseDataLoaderIter.__next__
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    run = score_run(network(), X, Y, recipe=RECIPE)
    kept(run["el2n"], 0.3, keep="stratified", classes=Y)
    assert torch.utils.data.dataloader._BaseDataLoaderIter.__next__ is loader
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), torch_before)


def test_margins_add_up_over_epochs_and_are_of_outputs():
    """DUAL: the sum was reset each epoch, which leaves the last one, and was of probabilities."""
    model, seen = network(members=1), []
    run = score_run(model, X, Y, recipe=RECIPE)
    for epochs in (1, 2, 3, 4):  # constant rate: a shorter run is the beginning of a longer one
        recipe = Recipe(steps=-(-epochs * N // 8), batch=8, learning_rate=0.1, schedule="constant", loss="cross_entropy")
        seen.append(outputs(score_run(model, X, Y, recipe=recipe).model, X)[0])
    whole = score_run(model, X, Y, recipe=recipe)
    over_epochs = -np.mean([scores.label_margin(f, Y) for f in seen], axis=0)
    np.testing.assert_allclose(whole["aum"], over_epochs, rtol=1e-5, atol=1e-6)
    assert np.abs(whole["aum"] + scores.label_margin(seen[-1], Y)).max() > 0.1
    assert np.abs(run["aum"]).max() > 1  # no probability


def test_scores_do_not_depend_on_the_fraction():
    """DeepCore: points are scored anew, by new networks, for every fraction; here one run serves all."""
    run = score_run(network(), X, Y, recipe=RECIPE)
    small, large = (kept(run["el2n"], f) for f in (0.2, 0.6))
    assert set(small) < set(large)
