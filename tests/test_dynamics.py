"""Training of wide networks against steps carried out one by one, simulated ensembles, and the definition of every law."""

import numpy as np
import pytest
import scipy.linalg
from scipy.integrate import solve_ivp

import kdtheory as kd
from kdtheory import kernels
from kdtheory.dynamics import WideNetwork, loss_scale
from kdtheory.early_stopping import closest_ridge
from kdtheory.training_filters import DistilledTraining, GradientDescent, TrainingLimit

RNG = np.random.default_rng(0)
X, X_NEW = RNG.normal(size=(14, 3)), RNG.normal(size=(5, 3))
HOW = {"depth": 2, "activation": "erf", "weight_variance": 1.5, "bias_variance": 0.1}
Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1) + 0.3 * RNG.normal(size=(14, 2))
NET = WideNetwork.fully_connected(X, X_NEW, **HOW)
GRAM, CROSS = kernels.ntk(X, **HOW), kernels.ntk(X_NEW, X, **HOW)
PRIOR = kernels.nngp(np.vstack([X, X_NEW]), **HOW)
D1 = NET.spectrum.eigenvalues[0]
TRAININGS = {
    "short": kd.GradientFlow(0.3 / D1),
    "long": kd.GradientFlow(200.0 / D1),
    "infinite": kd.GradientFlow(np.inf),
    "steps": GradientDescent(learning_rate=1.2 / D1, steps=17),
    "ridge": kd.Ridge(0.2),
}


def train(filter, targets, start, start_new):
    """One training from an initial function, by the definition of each filter: steps, an ODE solver, or a linear solve."""
    if isinstance(filter, GradientDescent):
        f, f_new = start.copy(), start_new.copy()
        for _ in range(filter.steps):
            error = filter.learning_rate * filter.loss_scale * (f - targets)
            f, f_new = f - GRAM @ error, f_new - CROSS @ error
        return f, f_new
    if isinstance(filter, kd.Ridge):
        dual = np.linalg.solve(GRAM + filter.ridge * np.eye(14), targets - start)
    elif filter.time == np.inf:
        dual = scipy.linalg.solve(GRAM, targets - start, assume_a="pos")
    else:
        shape = start.shape
        flow = solve_ivp(
            lambda _, f: (np.vstack([GRAM, CROSS]) @ (targets - f.reshape(19, -1)[:14])).ravel(),
            (0, filter.time),
            np.vstack([start, start_new]).ravel(),
            rtol=1e-11,
            atol=1e-12,
        )
        both = flow.y[:, -1].reshape(19, shape[1])
        return both[:14], both[14:]
    return start + GRAM @ dual, start_new + CROSS @ dual


def chain(filter, weights, starts):
    """Rounds of one chain, whose round t starts from the function starts[t] at all 19 points."""
    teacher, rounds = None, []
    for t, start in enumerate(starts):
        targets = Y if t == 0 else (1 - weights[t - 1]) * Y + weights[t - 1] * teacher
        teacher, new = train(filter, targets, start[:14], start[14:])
        rounds.append((teacher, new))
    return rounds


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("initialisation", ["fresh", "same", "centred"])
def test_the_law_of_a_chain_is_that_of_its_linear_maps(name, initialisation):
    """The chain is affine in its initial functions: carried out on unit vectors, it gives mean and covariance exactly."""
    filter, weights = TRAININGS[name], [0.7, -0.4, 1.3]
    runs = {"fresh": 4, "same": 1, "centred": 1}[initialisation]
    zero = [np.zeros((19, 2))] * 4
    mean = chain(filter, weights, zero)
    covariance = [np.zeros((19, 19)) for _ in range(4)]
    for run in range(runs):
        maps = [np.zeros((19, 19)) for _ in range(4)]
        for point in range(19):
            unit = np.zeros((19, 2))
            unit[point, 0] = 1.0
            where = {"fresh": [run], "same": [0, 1, 2, 3], "centred": []}[initialisation]
            for t, (f, f_new) in enumerate(chain(filter, weights, [unit if t in where else zero[0] for t in range(4)])):
                maps[t][:, point] = np.concatenate([f[:, 0] - mean[t][0][:, 0], f_new[:, 0] - mean[t][1][:, 0]])
        covariance = [total + step @ PRIOR @ step.T for total, step in zip(covariance, maps, strict=True)]
    tolerance = 2e-6 if name == "infinite" else 1e-8
    for at, rows, part in (("train", slice(0, 14), 0), ("new", slice(14, 19), 1)):
        laws = NET.distilled(Y, filter, weights, initialisation=initialisation, at=at)
        assert len(laws) == 4
        for t, law in enumerate(laws):
            np.testing.assert_allclose(law.mean, mean[t][part], rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(law.covariance, covariance[t][rows, rows], rtol=tolerance, atol=tolerance)


def test_one_training_is_a_chain_of_none():
    for name, filter in TRAININGS.items():
        law, (first, *_) = NET.trained(Y, filter), NET.distilled(Y, filter, [0.5])
        np.testing.assert_array_equal(law.mean, first.mean, err_msg=name)
        np.testing.assert_array_equal(law.covariance, first.covariance)


def test_simulated_networks_have_this_law():
    """Initial functions drawn from the prior and trained step by step: mean, covariance, and samples of the law."""
    draws = np.random.default_rng(1).multivariate_normal(np.zeros(19), PRIOR, size=4000, method="cholesky")
    f = [train(TRAININGS["steps"], Y[:, :1], start[:14, None], start[14:, None])[1][:, 0] for start in draws]
    law = NET.trained(Y[:, 0], TRAININGS["steps"])
    error = np.std(f, axis=0) / np.sqrt(4000)
    assert (np.abs(np.mean(f, axis=0) - law.mean) < 5 * error).all()
    measured = np.cov(np.array(f).T)
    root = law.standard_deviation
    assert (np.abs(measured - law.covariance) < 5 * np.sqrt(2 / 4000) * np.outer(root, root)).all()
    again = law.sample(4000, seed=2)
    assert (np.abs(np.cov(again.T) - law.covariance) < 5 * np.sqrt(2 / 4000) * np.outer(root, root)).all()
    both = NET.trained(Y, TRAININGS["steps"]).sample(4000)
    assert both.shape == (4000, 5, 2)
    between = np.corrcoef(both[:, 0, 0], both[:, 0, 1])[0, 1]
    assert abs(between) < 5 / np.sqrt(4000)  # outputs are independent


def test_fresh_students_hand_their_teachers_noise_down_and_the_same_start_does_not():
    """With pure distillation fresh starts add up; a chain from one start ends at that start's own share."""
    filter, weights = TRAININGS["ridge"], [1.0] * 6
    fresh = NET.distilled(Y, filter, weights, at="train")
    spread = [np.trace(law.covariance) for law in fresh]
    assert (np.diff(spread) > 0).all()
    same = NET.distilled(Y, filter, weights, initialisation="same", at="train")[-1]
    missed = kd.Distilled(ridge=0.2, teacher_weights=weights).residual(NET.spectrum.eigenvalues)
    U = NET.spectrum.eigenvectors
    expected = U @ np.diag(missed) @ U.T @ PRIOR[:14, :14] @ U @ np.diag(missed) @ U.T
    np.testing.assert_allclose(same.covariance, expected, atol=1e-10)


def test_without_new_points_the_training_points_are_meant():
    train_only = WideNetwork.fully_connected(X, **HOW)
    law = train_only.trained(Y, kd.GradientFlow(1.0))
    np.testing.assert_allclose(law.covariance, NET.trained(Y, kd.GradientFlow(1.0), at="train").covariance)


@pytest.mark.parametrize("steps", [0, 1, 2, 13, 1_000_000])
@pytest.mark.parametrize("rate", [1e-9, 0.3, 1.0, 1.9])
def test_gradient_descent_is_its_steps(steps, rate):
    d = np.array([0.0, 1e-14, 1e-3, 0.4, 0.51, 1.0])
    f = GradientDescent(rate, steps, loss_scale=1.0)
    if steps < 100:
        error = np.ones(6)
        for _ in range(steps):
            error = error - rate * d * error
        np.testing.assert_allclose(f.residual(d), error, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(f.fit(d) + f.residual(d), 1.0, atol=1e-14)
    np.testing.assert_allclose(f.dual(d) * d, f.fit(d), rtol=1e-14)
    assert abs(f.dual(d)[0] - rate * steps) <= 1e-12 * rate * steps
    np.testing.assert_allclose(f.fit(d[1:2]), [rate * steps * 1e-14], rtol=1e-6, atol=1e-30)
    split = GradientDescent(rate * 4, steps, loss_scale=0.25)
    np.testing.assert_allclose(split.fit(d), f.fit(d), rtol=1e-12)


@pytest.mark.parametrize(("loss", "definition"), [
    ("half sum", lambda f: 0.5 * np.sum((f - Y) ** 2)),
    ("half mean", lambda f: 0.5 * np.mean(np.sum((f - Y) ** 2, axis=1))),
    ("sum", lambda f: np.sum((f - Y) ** 2)),
    ("mean", lambda f: np.mean(np.sum((f - Y) ** 2, axis=1))),
    ("mean over outputs", lambda f: np.mean((f - Y) ** 2)),
])  # fmt: skip
def test_loss_scales_are_those_of_the_losses(loss, definition):
    """The gradient of the loss by finite differences is c (f - y)."""
    f, h = RNG.normal(size=Y.shape), 1e-6
    bump = np.zeros_like(f)
    bump[3, 1] = h
    slope = (definition(f + bump) - definition(f - bump)) / (2 * h)
    assert abs(slope - loss_scale(loss, 14, 2) * (f - Y)[3, 1]) < 1e-8


def test_students_of_a_ridge_are_distilled():
    d = np.logspace(-8, 4, 30)
    weights = [0.9, -0.5, 1.2, 0.3]
    general, special = DistilledTraining(kd.Ridge(0.3), weights), kd.Distilled(ridge=0.3, teacher_weights=weights)
    for part in ("fit", "dual", "residual"):
        np.testing.assert_allclose(getattr(general, part)(d), getattr(special, part)(d), rtol=1e-12)
    empty = DistilledTraining(kd.GradientFlow(2.0), [])
    np.testing.assert_allclose(empty.fit(d), kd.GradientFlow(2.0).fit(d), rtol=1e-14)
    np.testing.assert_allclose(empty.dual(d), kd.GradientFlow(2.0).dual(d), rtol=1e-14)


def test_many_rounds_of_trained_students_reach_their_limit():
    d = np.logspace(-4, 2, 20)
    for w in (0.8, -0.9, 0.0):
        many = DistilledTraining(kd.GradientFlow(1.5), [w] * 400)
        limit = DistilledTraining.limit(kd.GradientFlow(1.5), teacher_weight=w)
        for part in ("fit", "dual", "residual"):
            np.testing.assert_allclose(getattr(many, part)(d), getattr(limit, part)(d), rtol=1e-11, atol=1e-15)
    ridge = TrainingLimit(kd.Ridge(0.2), 0.75)
    np.testing.assert_allclose(ridge.dual(d), kd.Ridge(0.8).dual(d), rtol=1e-13)


def test_infinite_time_is_the_pseudo_inverse():
    basis = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    singular = basis[:, :4] @ np.diag([3.0, 1.0, 0.5, 0.1]) @ basis[:, :4].T
    s = kd.Spectrum.from_gram(singular)
    y = RNG.normal(size=6)
    np.testing.assert_allclose(s.coefficients(kd.GradientFlow(np.inf), y), np.linalg.pinv(singular) @ y, atol=1e-10)
    # what rounding leaves of a zero eigenvalue is not learned, however long; what is above it is
    leftover = kd.GradientFlow(np.inf)
    np.testing.assert_array_equal(leftover.fit([1.0, 1e-12, 3e-16, 0.0]), [1.0, 1.0, 0.0, 0.0])
    np.testing.assert_array_equal(leftover.dual([1.0, 1e-12, 3e-16, 0.0]), [1.0, 1e12, 0.0, 0.0])
    np.testing.assert_array_equal(leftover.residual([1.0, 1e-12, 3e-16, 0.0]), [0.0, 0.0, 1.0, 1.0])
    long = kd.GradientFlow(1e6)
    np.testing.assert_allclose(s.fit(kd.GradientFlow(np.inf), y), s.fit(long, y), atol=1e-8)
    np.testing.assert_allclose(s.residual(kd.GradientFlow(np.inf), y), s.residual(long, y), atol=1e-8)


def test_the_closest_ridge_is_found_and_near_one_over_the_time():
    s = NET.spectrum
    ridges = np.logspace(-4, 4, 4001) / 0.7
    for y in (None, Y, Y[:, 0]):
        energy = np.ones(14) if y is None else np.sum(s.project(y).reshape(14, -1) ** 2, axis=1)
        target = kd.GradientFlow(0.7).fit(s.eigenvalues)
        errors = [np.sum(energy * (target - kd.Ridge(r).fit(s.eigenvalues)) ** 2) for r in ridges]
        match = closest_ridge(s, kd.GradientFlow(0.7), y)
        assert abs(np.log(match.ridge / ridges[np.argmin(errors)])) < 0.01
        assert match.error**2 * np.sum(energy * target**2) <= min(errors) * (1 + 1e-9)
        assert match.error < 0.12
        assert 0.2 < match.ridge * 0.7 < 2.0
    exact = closest_ridge(s, kd.Ridge(0.37), Y)
    assert abs(exact.ridge / 0.37 - 1) < 1e-4
    assert exact.largest_gap < 1e-5


@pytest.mark.parametrize("time", [1e-12, 1e-6, 1.0, 1e3])
def test_the_closest_ridge_at_any_time(time):
    s = kd.Spectrum.from_gram(np.diag([4.0, 2.0, 1.0, 0.5, 0.1]))
    match = closest_ridge(s, kd.GradientFlow(time))
    if time * 4 < 1e-3:  # both are linear in d there
        assert abs(match.ridge * time - 1) < 1e-2
    target = kd.GradientFlow(time).fit(s.eigenvalues)
    ridges = np.logspace(-60, 20, 4001)
    best = min(np.sum((target - kd.Ridge(r).fit(s.eigenvalues)) ** 2) for r in ridges)
    assert match.error**2 * np.sum(target**2) <= best * (1 + 1e-9) + 1e-30
    for ridge in (1e-6, 1e8):
        assert abs(closest_ridge(s, kd.Ridge(ridge)).ridge / ridge - 1) < 1e-3


def test_at_one_over_the_time_the_gap_is_universal():
    x = np.linspace(0, 20, 400_001)
    gap = kd.GradientFlow(1.0).fit(x) - kd.Ridge(1.0).fit(x)
    assert abs(gap.max() - 0.2036) < 5e-5
    assert gap.min() >= 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: loss_scale("hinge", 3), "`loss` must be one of half sum, half mean"),
        (lambda: loss_scale("mean", 0), "`n` must be"),
        (lambda: GradientDescent(0.0, 3), "`learning_rate` must be positive"),
        (
            lambda: GradientDescent(3.0, 3).fit([1.0]),
            r"`learning_rate` must be at most 2 / .* = 2 for training that converges",
        ),
        (lambda: GradientDescent(0.1, -1), "`steps` must be"),
        (lambda: kd.GradientFlow(np.nan), "`time` must be"),
        (lambda: kd.GradientFlow(-np.inf), "`time` must be"),
        (lambda: DistilledTraining(0.3, [1.0]), "`student` must be a filter such as GradientFlow"),
        (lambda: TrainingLimit(kd.Ridge(1.0), 1.0), r"`teacher_weight` must lie in \[-1, 1\)"),
        (lambda: TrainingLimit(kd.Ridge(1.0), -1.1), r"`teacher_weight` must lie in \[-1, 1\)"),
        (lambda: TrainingLimit(GradientDescent(1.9, 1), 0.9).fit([1.0]), "`teacher_weight` must be below 1 / 1.9 in size"),
        (lambda: GradientDescent(2.01, 3).fit([1.0]), "`learning_rate` must be at most"),
        (lambda: NET.trained(Y, 0.3), "`filter` must be a filter such as GradientFlow"),
        (lambda: NET.trained(Y, kd.GradientFlow), "`filter` must be a filter such as GradientFlow"),
        (lambda: closest_ridge(NET.spectrum, 1.0), "`filter` must be a filter such as GradientFlow"),
        (lambda: WideNetwork.fully_connected(X, X[:, :2], depth=1), "`X_new` must have shape"),
        (lambda: NET.trained(Y, kd.Ridge(1.0), at=X), "`at` must be train or new"),
        (lambda: WideNetwork(NET.spectrum, PRIOR[:14, :14], 5.0, CROSS, CROSS), "`cross` must be two-dimensional"),
        (lambda: WideNetwork(NET.spectrum, -np.eye(14)), "`nngp` must be a covariance, got a negative variance"),
        (lambda: loss_scale(["mean"], 3), "`loss` must be one of"),
        (lambda: closest_ridge(NET.spectrum, kd.GradientFlow(np.inf)), "the closest ridge is zero"),
        (
            lambda: NET.distilled(Y, kd.Ridge(1.0), [1.0], initialisation="warm"),
            "`initialisation` must be fresh, same or centred",
        ),
        (lambda: NET.trained(Y, kd.Ridge(1.0), at="test"), "`at` must be train or new"),
        (lambda: NET.trained(Y[:3], kd.Ridge(1.0)), "`y` must have"),
        (lambda: WideNetwork.fully_connected(X, depth=1).trained(Y, kd.Ridge(1.0), at="new"), "`at` may be new only for"),
        (lambda: WideNetwork(kd.Spectrum.from_gram(GRAM), PRIOR), "`nngp` must have shape"),
        (lambda: WideNetwork(kd.Spectrum.from_gram(GRAM), PRIOR[:14, :14], CROSS), "must come together"),
        (lambda: WideNetwork(kd.Spectrum.from_features(X), PRIOR[:14, :14]), "`spectrum` must hold all 14 eigenvalues, got 3"),
        (lambda: closest_ridge(NET.spectrum, kd.GradientFlow(0.0)), "`filter` must fit a part of the labels"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
