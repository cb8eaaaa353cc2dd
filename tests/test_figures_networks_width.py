"""Finite width against the infinite: constants by a second route, recorded networks measured again, what captions claim."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise, product

import matplotlib as mpl
import numpy as np
import pytest

import kdtheory as kd
from paper_figs import wide_path, width_convergence
from paper_figs.regression_data import recorded
from paper_figs.style import where
from paper_figs.wide_path import BANDS, RIDGE, ROUNDS, WEIGHTS, Limit, first_order
from paper_figs.width_convergence import floor_and_variance, kernel_constants, power_law

mpl.use("agg")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def limit():
    return Limit.draw()


@pytest.fixture(scope="module")
def networks():
    return recorded("width.csv")


@pytest.fixture(scope="module")
def convergence():
    return width_convergence.compute()


@pytest.fixture(scope="module")
def path():
    return wide_path.compute()


def by_width(table, column, **conditions):
    """Mean over networks, per width."""
    rows = where(table, **conditions)
    return {int(m): rows[column][rows["width"] == m].mean() for m in np.unique(rows["width"])}


def chain(gram, cross, y, weights, ridge=RIDGE):
    """Round by round, by solves: the definition."""
    targets, predictions, fits = y, [], []
    for w in [*weights, 0.0]:
        c = np.linalg.solve(gram + ridge * np.eye(len(gram)), targets)
        predictions.append(cross @ c)
        fits.append(gram @ c)
        targets = (1 - w) * y + w * fits[-1]
    return np.array(predictions), np.array(fits)


def test_figures_load_no_network_library():
    code = "import sys, paper_figs.wide_path, paper_figs.width_convergence as w; w.compute(); print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"torch", "jax", "empirical"}


@pytest.mark.parametrize("p", [1, 3])  # one output shows the kernel's mean best, several show how outputs couple
def test_first_order_is_the_derivative_along_networks_kernels(p):
    """A thousand finite differences of whole chains, along the deviations of networks' own tangent kernels."""
    torch = pytest.importorskip("torch")
    from empirical.networks import MLP
    from empirical.ntk import empirical_ntk

    n, m, width, members, weights = 12, 8, 32, 256, [0.9, 0.4]
    X = 0.3 * RNG.normal(size=(n + m, 5))  # a kernel below the ridge
    y = RNG.normal(size=(n, p))
    gram, cross = kd.kernels.ntk(X[:n], depth=1), kd.kernels.ntk(X[n:], X[:n], depth=1)
    ours = first_order(Limit(X[:n], X[n:], y, np.zeros(m, int), gram, cross), weights, neurons=20_000)
    nets = MLP(5, p, width=width, depth=1, members=members, seed=3, dtype=torch.float64)
    own = empirical_ntk(nets, X, X[:n]).swapaxes(2, 3).reshape(members, (n + m) * p, n * p)
    outer = np.kron(np.vstack([gram, cross]), np.eye(p))
    f, step = chain(outer[: n * p], outer[n * p :], y.ravel(), weights)[0], 1e-5
    squares = np.zeros(len(f))
    for K in own:
        moved = outer + step * (K - outer)
        squares += np.sum(((chain(moved[: n * p], moved[n * p :], y.ravel(), weights)[0] - f) / step) ** 2, axis=1)
    measured = np.sqrt(width * squares / members / np.sum(f**2, axis=1))
    np.testing.assert_allclose(ours, measured, rtol=0.04)


def test_kernel_constants_are_those_of_the_recorded_networks(limit, networks):
    rows = where(networks, depth=1, round=0, teacher_weight=1.0)
    for column, constant in zip(("kernel_distance", "kernel_distance_mean"), kernel_constants(limit), strict=True):
        squares = rows["width"] * rows[column] ** 2
        assert abs(squares.mean() - constant**2) < 3 * squares.std(ddof=1) / np.sqrt(len(squares))
        assert abs(np.sqrt(squares.mean()) / constant - 1) < 0.02


def test_kernel_constants_by_drawn_neurons():
    X = RNG.normal(size=(6, 4))
    X *= 2 / np.linalg.norm(X, axis=1, keepdims=True)
    limit = Limit(X, X, np.zeros((6, 3)), np.zeros(6, int), kd.kernels.ntk(X, depth=1), kd.kernels.ntk(X, depth=1))
    total, of_mean, neurons = 0.0, 0.0, 200_000
    for _ in range(neurons // 1000):
        z, W = X @ RNG.normal(size=(4, 1000)) / np.sqrt(2), RNG.normal(size=(3, 1000))
        A = np.einsum("in,jn->nij", z > 0, z > 0) * (X @ X.T)
        B = 2 * np.einsum("in,jn->nij", np.maximum(z, 0), np.maximum(z, 0))
        for o, q in product(range(3), repeat=2):
            total += np.sum(((W[o] * W[q])[:, None, None] * A + (o == q) * (B - limit.gram)) ** 2)
        of_mean += np.sum((np.mean(W**2, axis=0)[:, None, None] * A + B - limit.gram) ** 2)
    size = neurons * np.sum(limit.gram**2)
    np.testing.assert_allclose(kernel_constants(limit), [np.sqrt(total / size / 3), np.sqrt(of_mean / size)], rtol=0.01)


def test_theory_of_the_path_by_solves(limit, path):
    U = np.linalg.eigh(limit.gram)[1][:, ::-1]
    for w in WEIGHTS:
        f, fits = chain(limit.gram, limit.cross, limit.y, [w] * ROUNDS)
        theory = where(path, source="theory", teacher_weight=w)
        accuracy = [np.mean(f_t.argmax(axis=1) == limit.classes_new) for f_t in f]
        np.testing.assert_allclose(where(theory, quantity="accuracy")["value"], accuracy)
        for band, (i, j) in enumerate(pairwise(BANDS)):
            V = U[:, i:j] @ U[:, i:j].T
            kept = [np.sum(limit.y * (V @ fit)) / np.sum(limit.y * (V @ limit.y)) for fit in fits]
            np.testing.assert_allclose(where(theory, quantity="kept", band=band)["value"], kept, rtol=1e-9)


def test_power_law_finds_an_exact_one():
    widths = np.repeat([64, 256, 1024], 2)
    errors = 3 * widths**-0.7
    np.testing.assert_allclose(power_law(widths, errors, RNG), [-0.7, -0.7, -0.7, 3.0])
    exponent, low, high, constant = power_law(widths, errors * np.tile([1.2, 1 / 1.2], 3), RNG)
    np.testing.assert_allclose((exponent, constant), (-0.7, 3.0))
    assert low < -0.75 < -0.65 < high


def test_power_law_counts_every_width_once():
    few, many = np.repeat([64, 256, 1024], [1, 1, 1]), np.repeat([64, 256, 1024], [9, 1, 1])
    errors = {64: 0.5, 256: 0.1, 1024: 0.09}
    fits = [power_law(widths, np.array([errors[m] for m in widths.tolist()]), RNG)[0] for widths in (few, many)]
    assert fits[0] == pytest.approx(fits[1])


def test_floors_interval_covers(monkeypatch):
    """Known bias and variance: the estimates are unbiased, the interval holds the truth at least as often as it says."""
    monkeypatch.setattr(width_convergence, "DRAWS", 400)
    bias, covered, estimates = np.full(20, 0.05), 0, []
    for _ in range(1000):
        e = bias + RNG.normal(size=(24, 20)) * 0.2
        floor, variance, low, high = floor_and_variance(e @ e.T, RNG)
        covered += low <= bias @ bias <= high
        estimates.append((floor, variance))
    assert covered >= 930
    np.testing.assert_allclose(np.mean(estimates, axis=0), [20 * 0.05**2, 20 * 0.2**2], rtol=0.05)


def test_split_and_chain_of_the_experiment_are_those_of_the_figure(limit):
    pytest.importorskip("torch")
    from empirical.experiments.width import Settings, Split, kernel_chain

    s = Settings()
    split = Split.draw(s.n, s.n_new, s.split)
    for ours, theirs in ((limit.X, split.X), (limit.X_new, split.X_new), (limit.y, split.y)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(limit.classes_new, split.classes_new)
    assert (s.ridge_per_point * s.n, s.rounds, s.bands, s.teacher_weights) == (RIDGE, ROUNDS, BANDS, WEIGHTS)
    by_rounds = kd.rounds(
        kd.Spectrum.from_gram(limit.gram), limit.y, ridge=RIDGE, teacher_weights=[0.3, 1.0], cross=limit.cross
    )
    np.testing.assert_allclose(
        kernel_chain(limit.gram, limit.cross, limit.y, RIDGE, [0.3, 1.0]), by_rounds, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("depth", [1, 2])
def test_a_recorded_network_is_measured_again(networks, depth):
    torch = pytest.importorskip("torch")
    from empirical.experiments import width

    rows = width.measure(width.Settings(), {"depth": depth, "width": 64, "seed": 0}, torch.device("cpu"))
    before = where(networks, depth=depth, width=64, seed=0)
    assert len(rows) == len(before["round"]) == len(WEIGHTS) * (ROUNDS + 1)
    for name in rows[0]:
        np.testing.assert_allclose([row[name] for row in rows], before[name], rtol=1e-3, err_msg=name)


def test_recorded_members_are_measured_again():
    torch = pytest.importorskip("torch")
    from empirical.experiments import narrow_ensembles

    settings = replace(narrow_ensembles.Settings(), members=2)
    rows = narrow_ensembles.measure(settings, {"width": 64}, torch.device("cpu"))
    table = where(recorded("narrow_ensembles.csv"), width=64)
    assert len(rows) == 6
    for row in rows:
        before = where(table, **{name: row[name] for name in ("round", "first", "second")})
        np.testing.assert_allclose(before["product"], [row["product"]], rtol=1e-3)


def test_distances_obey_the_triangle_inequality(networks):
    error, fluctuation, own = (networks[name] for name in ("error", "fluctuation", "error_own"))
    assert (np.abs(error - fluctuation) <= own * (1 + fluctuation) + 1e-5).all()


def test_teachers_are_the_same_at_both_weights(networks):
    one, half = (where(networks, teacher_weight=w, round=0) for w in WEIGHTS)
    for name in ("depth", "width", "seed", "error", "kept_3"):
        np.testing.assert_array_equal(one[name], half[name])


def test_error_falls_as_the_root_of_the_width_towards_first_order(convergence, networks):
    for w in WEIGHTS:
        for t in range(ROUNDS + 1):
            law = where(convergence, quantity="error", depth=1, kind="exponent", teacher_weight=w, round=t)
            assert -0.52 < law["value"][0] < -0.46
    constant = where(convergence, kind="theory constant", quantity="error")["value"][0]
    ratios = [error * np.sqrt(m) / constant for m, error in by_width(networks, "error", depth=1, round=0).items()]
    assert 0.85 < ratios[0] < ratios[-1]
    np.testing.assert_allclose(ratios[-4:], 1, atol=0.06)


def test_nearly_all_of_the_error_is_there_before_training(networks):
    for depth in (1, 2):
        error, own, fluctuation = (by_width(networks, name, depth=depth) for name in ("error", "error_own", "fluctuation"))
        for m in error:
            assert abs(fluctuation[m] / error[m] - 1) < 0.03
            assert own[m] < 0.45 * error[m]


def test_training_moves_faster_to_the_kernel_regime_than_kernels_to_their_limit(convergence):
    for depth in (1, 2):
        of = {
            name: where(convergence, quantity=name, depth=depth, kind="exponent", round=0, teacher_weight=1.0)
            for name in ("error", "error_own", "kernel_distance", "kernel_change")
        }
        assert of["error_own"]["high"][0] < of["error"]["low"][0]
        assert of["kernel_change"]["high"][0] < of["kernel_distance"]["low"][0]


def test_kernels_move_as_the_power_three_quarters_of_one_hidden_layer(networks):
    rows = where(networks, depth=1, round=0, teacher_weight=1.0)
    wide = rows["width"] >= 1024
    _, low, high, _ = power_law(rows["width"][wide], rows["kernel_change"][wide], RNG)
    assert low < -0.75 < high


def test_error_does_not_accumulate(networks, path):
    for w in WEIGHTS:
        for depth in (1, 2):
            first = by_width(networks, "error", depth=depth, teacher_weight=w, round=0)
            last = by_width(networks, "error", depth=depth, teacher_weight=w, round=ROUNDS)
            growth = [last[m] / first[m] for m in first]
            assert max(growth) < (1.0 if depth == 1 or w == 0.5 else 1.15)
    theory = where(path, quantity="error", source="theory", width=4096)
    for w in WEIGHTS:
        line = where(theory, teacher_weight=w)["value"]
        assert line[-1] < line[0]


def test_wide_networks_lie_on_the_lines(path):
    for quantity, tolerance in (("kept", 0.012), ("accuracy", 0.01)):
        for w in WEIGHTS:
            here = where(path, quantity=quantity, teacher_weight=w)
            for band in np.unique(here["band"]):
                line, points = (where(here, source=source, band=band) for source in ("theory", "networks"))
                wide = where(points, width=4096)["value"]
                np.testing.assert_allclose(wide, line["value"], atol=tolerance)


def test_narrow_networks_keep_less_of_small_directions(path):
    """A fluctuating kernel acts as a larger ridge."""
    for band in (1, 2):
        here = where(path, quantity="kept", band=band, teacher_weight=0.5)
        line, narrow = where(here, source="theory"), where(here, source="networks", width=64)
        assert (narrow["value"] + narrow["interval"] < line["value"]).all()


def test_ensembles_stop_at_a_floor_of_one_over_width(convergence):
    ensembles = where(convergence, quantity="ensemble")
    floors = where(ensembles, kind="squared floor")
    assert (floors["low"] > 0).all()
    scaled = np.sqrt(floors["value"]) * floors["width"]
    assert scaled.max() < 1.5 * scaled.min()
    for m in floors["width"]:
        rows = where(ensembles, kind="measured", width=m)
        assert (np.diff(rows["value"]) < 0).all()
        floor, variance = (where(ensembles, kind=kind, width=m)["value"][0] for kind in ("squared floor", "variance"))
        np.testing.assert_allclose(rows["value"][-1], np.sqrt(floor + variance / rows["members"][-1]))
        np.testing.assert_allclose(rows["value"], np.sqrt(floor + variance / rows["members"]), rtol=0.1)
    single = where(convergence, quantity="error", kind="measured", depth=1, round=0, teacher_weight=1.0, width=8192)
    same_size = where(ensembles, kind="measured", width=512, members=16)
    assert single["low"][0] < same_size["value"][0] < single["high"][0]


def test_figures_are_drawn(convergence, path):
    for module, table, panels in ((width_convergence, convergence, 4), (wide_path, path, 6)):
        figure = module.draw(table)
        assert len(figure.axes) == panels
        figure.savefig("/dev/null", format="png")
        mpl.pyplot.close(figure)
