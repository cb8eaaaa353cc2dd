"""The three figures of Jacot, Gabriel & Hongler (2018): captions, limits by a second route, a cell measured anew."""

import functools
import importlib
import logging

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

import kdtheory as kd
from paper_figs import jacot_components, jacot_kernel, jacot_outputs
from paper_figs.regression_data import recorded
from paper_figs.style import where

mpl.use("agg")
logging.getLogger("fontTools").setLevel(logging.ERROR)
NAMES = ("jacot_kernel", "jacot_outputs", "jacot_components")
KERNEL = {"depth": 3, "activation": "relu", "weight_variance": 1.0, "bias_variance": 0.01}
BETA = 0.1  # of the paper


@functools.cache
def table(name):
    return importlib.import_module(f"paper_figs.{name}").compute()


def value(of, **conditions):
    (row,) = where(of, **conditions)["value" if "value" in of else "y"].tolist()
    return row


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_is_complete(name):
    columns = table(name)
    assert {len(column) for column in columns.values()} == {len(columns["kind"])}
    figure = importlib.import_module(f"paper_figs.{name}").draw(columns)
    assert all(axis.get_xlabel() for axis in figure.axes)


# ---- figure 1


def layer_by_layer(x, other):
    """The kernels' recursion in the paper's letters, its Gaussian expectations by integration over the angle."""
    sigma = np.array([[a @ b for b in (x, other)] for a in (x, other)]) / len(x) + BETA**2
    theta = sigma[0, 1]
    for _ in range(3):
        scale = np.sqrt(sigma[0, 0] * sigma[1, 1])
        angle = np.arccos(np.clip(sigma[0, 1] / scale, -1, 1))
        # (u, v) = r (cos p, cos(p - angle)) up to scale, r**2 / 2 exponential: both are positive from angle - pi/2 to pi/2
        ends = angle - np.pi / 2, np.pi / 2
        product = scale / np.pi * quad(lambda p, angle=angle: np.cos(p) * np.cos(p - angle), *ends)[0]
        slopes = (ends[1] - ends[0]) / (2 * np.pi)
        sigma = np.array([[sigma[0, 0] / 2, product], [product, sigma[1, 1] / 2]]) + BETA**2
        theta = theta * slopes + sigma[0, 1]
    return theta


def test_the_limit_kernel_by_integration():
    angles = np.array([-2.5, -1.0, 0.0, 0.3, np.pi / 2, np.pi])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    expected = [layer_by_layer(np.array([1.0, 0.0]), point) for point in x]
    assert np.allclose(jacot_kernel.limit(angles), expected, rtol=1e-10)
    drawn = where(table("jacot_kernel"), kind="limit")
    at = np.searchsorted(drawn["x"], 0.0)
    assert np.isclose(drawn["value"][at], jacot_kernel.limit([0.0])[0], rtol=1e-9)


def test_kernels_close_in_on_the_limit_and_stop_moving():
    columns = table("jacot_kernel")
    for name in jacot_kernel.MEASURES:
        assert (np.diff(where(columns, kind=name)["value"]) < 0).all(), name
    slope, half = (where(columns, kind="slope of distance")[name][0] for name in ("value", "interval"))
    assert abs(slope + 0.5) < half < 0.15
    wide, narrow = (where(columns, kind="growth", x=float(width)) for width in (10000, 500))
    assert narrow["value"][0] - narrow["interval"][0] > wide["value"][0] + wide["interval"][0]


def test_measures_and_slopes_of_made_up_kernels():
    limit = np.array([1.0, 3.0])
    start, trained = np.array([[1.0, 3.0], [2.0, 6.0]]), np.array([[2.0, 3.0], [2.0, 6.0]])
    got = jacot_kernel.measures(start, trained, limit)
    assert np.allclose(got["distance"], [0.0, 1.0])
    assert np.allclose(got["movement"], [1 / np.sqrt(10), 0.0])
    assert np.allclose(got["growth"], [0.25, 0.0])
    rng = np.random.default_rng(0)
    noise = rng.normal(1.0, 0.3, size=(400, 3, 10))
    fits = [jacot_kernel.slope_of([(m, m**-0.5 * z) for m, z in zip((10, 100, 1000), draw, strict=True)]) for draw in noise]
    inside = np.mean([abs(slope + 0.5) < half for slope, half, _ in fits])
    assert 0.86 < inside < 0.97  # ten networks: a normal interval holds a little less than 95 %
    assert np.isclose(np.median([at_one for _, _, at_one in fits]), 1.0, atol=0.05)


@pytest.mark.parametrize(
    ("name", "unit", "keys", "columns"),
    [
        (
            "circle_kernel",
            {"width": 125, "initialisation": 3, "steps": 200},
            ("width", "initialisation"),
            ("angle", "start", "trained"),
        ),
        ("circle_outputs", {"width": 50, "unit": 2}, ("width", "unit"), ("-180", "-90", "0", "45", "140")),
        (
            "principal_components",
            {"data": "digits", "part": "training", "width": 100, "learning_rate": 5.0, "trial": 1},
            ("data", "part", "width", "learning_rate", "trial"),
            ("time", "along", "across", "frozen_along", "frozen_across"),
        ),
    ],
)
def test_a_cell_measured_again(name, unit, keys, columns):
    torch = pytest.importorskip("torch")
    module = importlib.import_module(f"empirical.experiments.{name}")
    settings = module.Settings()
    assert unit in module.units(settings)
    again = module.measure(settings, unit, torch.device("cpu"))
    before = where(recorded(f"{name}.csv", text=("data", "part")), **{key: unit[key] for key in keys})
    assert len(again) == len(before[columns[0]])
    for column in columns:
        assert np.allclose([row[column] for row in again], before[column], rtol=1e-3, atol=1e-4), column


# ---- figure 2


@pytest.mark.parametrize("steps", [30, 1000])
def test_the_law_by_descent_of_functions(steps):
    """Descent in function space, step by step: a linear map of the initial outputs, whose covariance it carries along."""
    angles, training = jacot_outputs.JOINT, jacot_outputs.TRAINING
    n, points = len(training), jacot_outputs.on_circle((*training, *angles))
    theta, sigma = kd.kernels.ntk(points, **KERNEL)[:, :n], kd.kernels.nngp(points, **KERNEL)
    y, M, shift = np.prod(points[:n], axis=1), np.eye(len(points)), np.zeros(len(points))
    for _ in range(steps):
        M, shift = M - theta @ M[:n] / n, shift - theta @ (shift[:n] - y) / n
    law = jacot_outputs.limit(angles, steps)
    assert np.allclose(law.mean, shift[n:], atol=1e-12)
    assert np.allclose(law.covariance, (M @ sigma @ M.T)[n:, n:], atol=1e-12)


def test_here_a_thousand_steps_are_infinitely_many():
    thousand, for_ever = (jacot_outputs.limit(range(-180, 181, 5), steps) for steps in (1000, None))
    assert np.abs(thousand.mean - for_ever.mean).max() < 1e-12
    assert np.abs(thousand.covariance - for_ever.covariance).max() < 1e-12


def test_wide_networks_are_draws_of_the_law_and_narrow_ones_are_not():
    networks = recorded("circle_outputs.csv")
    angles = jacot_outputs.recorded_angles(networks)
    columns = table("jacot_outputs")
    assert value(columns, kind="p-value", width=1000) > 0.01
    assert value(columns, kind="p-value", width=50) < 1e-4
    band = {width: where(columns, kind="share", width=width, x=0.8) for width in (50, 1000)}
    assert band[1000]["low"][0] < 0.8 < band[1000]["high"][0]
    assert band[50]["high"][0] < 0.8
    # mean and spread at width 1,000: each angle's z and chi square, as probable as the most extreme of so many
    law, at = jacot_outputs.limit(jacot_outputs.JOINT), np.searchsorted(angles, jacot_outputs.JOINT)
    F = jacot_outputs.functions(networks, 1000)[:, at]
    z = (F.mean(axis=0) - law.mean) / law.standard_deviation * np.sqrt(len(F))
    assert np.abs(z).max() < stats.norm.ppf(1 - 0.005 / len(at))
    ratio = (len(F) - 1) * F.var(axis=0, ddof=1) / law.standard_deviation**2
    tails = stats.chi2.cdf(ratio, len(F) - 1)
    assert np.minimum(tails, 1 - tails).min() > 0.005 / len(at)


def test_the_joint_test_on_draws_of_the_law():
    F = jacot_outputs.limit(np.array(jacot_outputs.JOINT)).sample(400, seed=3)
    d = jacot_outputs.distances(F, np.array(jacot_outputs.JOINT))
    assert stats.kstest(d, "chi2", (len(jacot_outputs.JOINT),)).pvalue > 0.05
    assert stats.kstest(1.2 * d, "chi2", (len(jacot_outputs.JOINT),)).pvalue < 0.01


# ---- figure 3


def test_components_of_the_digits_by_power_iteration():
    from sklearn.datasets import load_digits

    X = load_digits().data[:512] / 16
    K, images = (
        kd.kernels.ntk(X, **KERNEL) / 512,
        where(recorded("principal_components.csv", text=("data", "part")), data="digits"),
    )
    images = where(images, part="components")
    vector, rng = [], np.random.default_rng(0)
    for name in ("first", "second", "third"):
        f = rng.normal(size=512)
        for _ in range(4000):  # digits' second and third values are within 3 % of one another
            f = K @ (f - sum(g * (g @ f) / 512 for g in vector))
            f *= np.sqrt(512) / np.linalg.norm(f)
        vector.append(f)
        assert np.isclose(f @ K @ f / 512, images[f"{name}_value"][0], rtol=1e-4)
    for f, name in zip(vector[1:], ("second", "third"), strict=True):
        assert min(np.abs(f - sign * images[name]).max() for sign in (1, -1)) < 1e-3


def test_rates_of_known_decays():
    t = np.arange(0.0, 500.0, 10.0)
    assert np.isclose(jacot_components.rate(t, 0.5 * np.exp(-0.01 * t), 0.01, 1e-9), 0.01, rtol=1e-6)
    assert np.isclose(jacot_components.rate(t, 0.5 * (1 - 5 * 0.01) ** (t / 5), 0.01, 5.0), 0.01, rtol=1e-9)


@pytest.mark.parametrize("data", jacot_components.NAMES)
def test_wide_networks_follow_the_line_at_the_kernels_rate(data):
    columns = where(table("jacot_components"), data=data)
    narrow, wide = (where(columns, kind="across", width=width)["y"].max() for width in (100, 1000))
    assert wide < 0.5 * narrow
    narrow, wide = (where(columns, kind="rate of along", width=width)["y"] - 1 for width in (100, 1000))
    assert len(narrow) == len(wide) == 2
    assert narrow.min() > wide.max()
    assert wide.mean() < narrow.mean() / 2


@pytest.mark.parametrize("data", jacot_components.NAMES)
def test_narrow_networks_are_fast_because_their_kernel_grows(data):
    columns = where(table("jacot_components"), data=data)
    moving, frozen = (where(columns, kind=kind, width=100)["y"] for kind in ("rate of along", "rate of frozen_along"))
    assert (moving > 1.2 * frozen).all()
    first, last = np.split(np.sort(where(columns, kind="kernel's rate", width=100)["y"]), 2)
    assert last.min() > 2 * first.max()


@pytest.mark.parametrize("data", jacot_components.NAMES)
def test_larger_steps_change_nothing_that_is_seen(data):
    runs = where(recorded("principal_components.csv", text=("data", "part")), data=data, part="training", width=100)
    one, five = (where(runs, learning_rate=step) for step in (1.0, 5.0))
    assert (one["time"] == five["time"]).all()
    assert np.abs(one["along"] - five["along"]).max() < 0.01
    assert np.abs(one["across"] - five["across"]).max() < 0.01


# ---- images


def test_images_from_both_layouts_of_the_folder(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from empirical.experiments import principal_components as experiment

    monkeypatch.setenv(experiment.VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"fashion_mnist needs KDTHEORY_DATA, the folder that contains"):
        experiment.images("fashion_mnist", 3)
    pixels = np.random.default_rng(0).integers(0, 256, size=(5, 28, 28), dtype=np.uint8)
    (tmp_path / "fashion_mnist").mkdir()
    np.savez(tmp_path / "fashion_mnist" / "fashion_mnist.npz", x_train=pixels, y_train=np.arange(5, dtype=np.uint8))
    for place in (tmp_path, tmp_path / "fashion_mnist"):
        monkeypatch.setenv(experiment.VARIABLE, str(place))
        X, labels = experiment.images("fashion_mnist", 3)
        assert np.array_equal(X, pixels[:3].reshape(3, 784) / 255)
        assert labels.tolist() == [0, 1, 2]
    monkeypatch.delenv(experiment.VARIABLE)
    with pytest.raises(FileNotFoundError, match="fashion_mnist needs KDTHEORY_DATA"):
        experiment.images("fashion_mnist", 3)
    with pytest.raises(ValueError, match=r"`data` must be digits or fashion_mnist, got 'mnist'\."):
        experiment.images("mnist", 3)
