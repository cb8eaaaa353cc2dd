"""Optimal teacher weights against numerical minimisation over real chains."""

import itertools
import warnings

import mpmath as mp
import numpy as np
import pytest
from scipy.optimize import minimize

import kdtheory as kd
from tests.brute import chain, gram_from

RNG = np.random.default_rng(0)
pytestmark = pytest.mark.filterwarnings(
    "ignore:The optimal teacher weight of one round", "ignore::kdtheory.IdentifiabilityWarning"
)


def problem(seed, outputs=2):
    rng = np.random.default_rng(seed)
    n, m = 18, 9
    joint = gram_from(np.exp(-0.35 * np.arange(n + m)), rng)
    mixing = rng.normal(size=(n + m, outputs))
    clean = joint @ mixing
    y = clean[:n] + 0.5 * clean.std() * rng.normal(size=(n, outputs))
    return joint[:n, :n], joint[n:, :n], y, clean[n:]


def validation_error(K, cross, y, y_val, ridge, weights):
    return np.mean((chain(cross, K, y, ridge, weights)[-1] - y_val) ** 2)


def test_one_weight_minimises_the_weighted_error_and_outputs_can_have_their_own():
    P, Q, y = RNG.normal(size=(3, 30, 3))
    v = RNG.uniform(0, 2, size=30)
    loss = lambda w: np.sum(v[:, None] * ((1 - w) * P + w * Q - y) ** 2)
    w = kd.optimal_teacher_weight(P, Q, y, sample_weight=v)
    assert isinstance(w, float)
    assert loss(w) <= min(loss(w - 1e-4), loss(w + 1e-4))
    each = kd.optimal_teacher_weight(P, Q, y, v, per_output=True)
    assert each.shape == (3,)
    for j in range(3):
        assert abs(each[j] - kd.optimal_teacher_weight(P[:, j], Q[:, j], y[:, j], v)) < 1e-12
    assert loss(each) <= loss(w)
    share = np.sum(v[:, None] * (Q - P) ** 2, axis=0)
    assert abs(np.average(each, weights=share) - w) < 1e-12  # the common weight is their weighted mean


@pytest.mark.parametrize("seed", range(5))
def test_greedy_takes_the_best_next_step(seed):
    K, cross, y, y_val = problem(seed)
    got = kd.optimal_weights(kd.Spectrum.from_gram(K), y, cross, y_val, ridge=0.05, rounds=3, method="greedy")
    for t in range(3):
        error = lambda w, t=t: validation_error(K, cross, y, y_val, 0.05, [*got[:t], w])
        assert error(got[t]) <= min(error(got[t] - 1e-4), error(got[t] + 1e-4)) + 1e-15


def test_greedy_never_loses_to_no_distillation_but_is_not_monotone():
    rises = 0
    for seed in range(20):
        K, cross, y, y_val = problem(seed, outputs=1)
        w = kd.optimal_weights(kd.Spectrum.from_gram(K), y, cross, y_val, ridge=0.05, rounds=4, method="greedy")
        errors = [validation_error(K, cross, y, y_val, 0.05, w[:t]) for t in range(5)]
        assert all(error <= errors[0] + 1e-15 for error in errors)
        rises += any(later > earlier * (1 + 1e-9) for earlier, later in itertools.pairwise(errors))
    assert rises > 0


@pytest.mark.parametrize("seed", range(4))
def test_joint_is_the_best_of_all_schedules(seed):
    K, cross, y, y_val = problem(seed)
    s = kd.Spectrum.from_gram(K)
    error = lambda w: validation_error(K, cross, y, y_val, 0.05, w)
    joint = kd.optimal_weights(s, y, cross, y_val, ridge=0.05, rounds=2, method="joint")
    found = min(
        minimize(error, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-9, "fatol": 1e-15}).fun
        for start in ([0.5, 0.5], [-1.0, 1.5], [2.0, -1.0])
    )
    assert error(joint) <= found * (1 + 1e-6)
    errors = [error(kd.optimal_weights(s, y, cross, y_val, ridge=0.05, rounds=t, method="joint")) for t in (1, 2, 3, 4)]
    assert all(later <= earlier * (1 + 1e-7) for earlier, later in itertools.pairwise(errors))
    greedy = kd.optimal_weights(s, y, cross, y_val, ridge=0.05, rounds=2, method="greedy")
    assert error(joint) <= error(greedy) * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_simplex_is_the_best_schedule_of_weights_between_zero_and_one(seed):
    K, cross, y, y_val = problem(seed)
    s = kd.Spectrum.from_gram(K)
    error = lambda w: validation_error(K, cross, y, y_val, 0.02, w)
    got = kd.optimal_weights(s, y, cross, y_val, ridge=0.02, rounds=3, method="simplex")
    assert ((got >= 0) & (got <= 1)).all()
    found = min(
        minimize(error, start, method="L-BFGS-B", bounds=[(0, 1)] * 3).fun for start in ([0.5] * 3, [0.9] * 3, [0.1] * 3)
    )
    assert error(got) <= found * (1 + 1e-6)


def test_on_training_data_the_weight_is_minus_one_or_less():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        K = gram_from(10.0 ** rng.uniform(-3, 1, size=10), rng)
        y = rng.normal(size=10)
        on_labels, on_teacher = (chain(K, K, y, 0.3, [w])[1] for w in (0.0, 1.0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", kd.IdentifiabilityWarning)
            with pytest.warns(UserWarning, match="in self-distillation training data always gives -1 or less"):
                assert kd.optimal_teacher_weight(on_labels, on_teacher, y) <= -1
        with pytest.raises(ValueError, match="must be held out, got the training set"):
            kd.optimal_weights(kd.Spectrum.from_gram(K), y, K, y, ridge=0.3, rounds=1)


@pytest.mark.parametrize("method", ["greedy", "joint", "simplex"])
def test_every_method_warns_where_the_weight_means_little(method):
    K, cross, y, y_val = problem(0)
    s, how = kd.Spectrum.from_gram(K), {"rounds": 2, "method": method}
    with pytest.warns(kd.IdentifiabilityWarning, match="not well identified"):
        kd.optimal_weights(s, y, cross, y_val, ridge=1e-9, **how)
    with pytest.warns(UserWarning, match="`cross` and `y_val` are held out"):
        kd.optimal_weights(s, y[::-1], K[::-1], y, ridge=0.3, **how)  # the training set in another order


def test_joint_weights_survive_parallel_directions_and_few_points():
    K, cross, y, y_val = problem(1, outputs=1)
    s = kd.Spectrum.from_gram(K)
    for ridge in (1e-6, 1e-2, 1e3):
        for rows in (2, 9):
            for rounds in (1, 3, 8):
                w = kd.optimal_weights(s, y, cross[:rows], y_val[:rows], ridge=ridge, rounds=rounds, method="joint")
                assert w.shape == (rounds,)
                assert np.isfinite(w).all()
                fits = kd.rounds(s, y, ridge=ridge, teacher_weights=w, cross=cross[:rows])[-1]
                none = kd.rounds(s, y, ridge=ridge, teacher_weights=[], cross=cross[:rows])[0]
                assert np.mean((fits - y_val[:rows]) ** 2) <= np.mean((none - y_val[:rows]) ** 2) * (1 + 1e-6)


@pytest.mark.parametrize(("ridge", "rounds"), [(1e6, 3), (1e4, 5), (100.0, 8), (0.3, 4), (1e-3, 6)])
def test_joint_attains_the_optimum_of_high_precision(ridge, rounds):
    K, cross, y, y_val = (np.asarray(a) for a in problem(3, outputs=1))
    with mp.workdps(100):
        smoother = mp.matrix((K).tolist()) * mp.inverse(mp.matrix((K + 0 * K).tolist()) + ridge * mp.eye(len(K)))
        power = mp.inverse(mp.matrix(K.tolist()) + ridge * mp.eye(len(K))) * mp.matrix(y.ravel().tolist())
        columns = []
        for _ in range(rounds + 1):
            columns.append(mp.matrix(cross.tolist()) * power)
            power = smoother * power
        steps = mp.matrix(len(cross), rounds)
        for j in range(rounds):
            steps[:, j] = columns[j + 1] - columns[j]
        gap = mp.matrix(y_val.ravel().tolist()) - columns[0]
        free = mp.lu_solve(steps.T * steps, steps.T * gap)
        optimum = float(mp.norm(gap - steps * free) ** 2 / len(cross))
    w = kd.optimal_weights(kd.Spectrum.from_gram(K), y, cross, y_val, ridge=ridge, rounds=rounds, method="joint")
    fits = kd.rounds(kd.Spectrum.from_gram(K), y, ridge=ridge, teacher_weights=w, cross=cross)[-1]
    none = kd.rounds(kd.Spectrum.from_gram(K), y, ridge=ridge, teacher_weights=[], cross=cross)[0]
    assert np.mean((fits - y_val) ** 2) <= optimum * (1 + 1e-6) + 1e-9 * np.mean((none - y_val) ** 2)


def test_greedy_after_a_perfect_round_goes_on():
    w = kd.optimal_weights(kd.Spectrum.from_gram(np.eye(3)), [1.0, 2, 3], np.eye(3)[:2], [1.0, 2.0], ridge=1.0, rounds=2)
    np.testing.assert_allclose(w, [-2.0, 0.0], atol=1e-12)


def test_identifiability_is_reported_and_warned_about():
    P = np.array([1.0, 2.0, -1.0])
    assert abs(kd.identifiability(P, 0.9 * P) - 0.1) < 1e-12
    with pytest.warns(kd.IdentifiabilityWarning, match=r"by 0\.1 of its predictions' size"):
        kd.optimal_teacher_weight(P, 0.9 * P, np.add(P, [0.5, -0.3, 0.4]))
    few = RNG.normal(size=(2, 6))
    with pytest.warns(kd.IdentifiabilityWarning, match="6 held-out values leave a standard error of"):
        kd.optimal_teacher_weight(0.3 * few[0], 0.2 * few[0], few[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", kd.IdentifiabilityWarning)
        kd.optimal_teacher_weight(P, 0.8 * P, 0.9 * P)  # 0.2 is enough
        kd.optimal_teacher_weight(P + 1000, 0.8 * P + 1000, 0.9 * P + 1000)  # so is the same change beside a large mean
    with pytest.raises(ValueError, match="every weight is optimal"):
        kd.optimal_teacher_weight(P, P, P)
    assert kd.identifiability([0.0, 0.0], [1.0, 0.0]) == np.inf


def test_sign_rule_under_regularised_teachers_are_imitated():
    """w* = -ridge R'(ridge) / (2 D): the weight is positive exactly where more ridge would help."""
    for seed in range(30):
        K, cross, y, y_val = problem(seed, outputs=1)
        s = kd.Spectrum.from_gram(K)
        for ridge in (1e-3, 1e-1, 3.0):
            risk = lambda r: validation_error(K, cross, y, y_val, r, [])
            slope = (risk(ridge * 1.0001) - risk(ridge * 0.9999)) / 2e-4
            (weight,) = kd.optimal_weights(s, y, cross, y_val, ridge=ridge, rounds=1)
            if abs(slope) > 1e-9:
                assert np.sign(weight) == -np.sign(slope)
