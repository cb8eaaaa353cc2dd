"""Output scale and grokking: the recorded numbers say what the captions claim, the theory by a second route, cells again."""

import dataclasses
import json

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.linalg

import kdtheory as kd
from paper_figs import lazy_to_rich, output_scale
from paper_figs.regression_data import DATA, recorded
from paper_figs.style import where

mpl.use("agg")


@pytest.fixture(scope="module")
def grokked():
    return lazy_to_rich.compute()


@pytest.fixture(scope="module")
def scaled():
    return output_scale.compute()


def one(table, column="value", **conditions):
    (value,) = where(table, **conditions)[column]
    return value


def settings_of(module, name):
    """The settings that a table was recorded with, after the check that they are the module's own."""
    recorded_with = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))["settings"]
    assert recorded_with == json.loads(json.dumps(dataclasses.asdict(module.Settings())))
    return module.Settings()


# The output scale


def test_a_smooth_network_follows_its_kernel_at_an_error_of_one_over_the_scale(scaled):
    for quantity in ("error_own", "kernel_change"):
        exponent = where(scaled, activation="erf", quantity=quantity, kind="exponent")
        assert abs(exponent["value"][0] + 1) < 0.01
        erf = where(scaled, activation="erf", quantity=quantity, kind="measured")
        large = erf["scale"] >= 100  # nothing but 1/a is left there
        np.testing.assert_allclose(erf["value"][large] * erf["scale"][large], 1000 * erf["value"][-1], rtol=3e-3)


def test_kinks_make_it_one_over_the_root(scaled):
    for n in (40, 200):
        exponent = where(scaled, activation="relu", n=n, quantity="error_own", kind="exponent")
        assert -0.75 < exponent["value"][0] < -0.4


def test_the_scale_does_nothing_for_the_infinite_width(scaled):
    for activation, n in output_scale.NETWORKS:
        errors = where(scaled, activation=activation, n=n, quantity="error")
        assert np.ptp(errors["value"]) < 0.06 * errors["value"][0]
        own = where(scaled, activation=activation, n=n, quantity="error_own", kind="measured")
        assert (own["value"] < errors["value"] / 3).all()


def test_fewer_kinks_cross_at_a_larger_scale():
    table = where(recorded("output_scale.csv"), round=0, activation="relu")
    for n in (40, 200):
        counts = [where(table, n=n, scale=a)["crossings"].mean() for a in np.unique(table["scale"])]
        assert (np.diff(counts) <= 0).all()
        assert 0.5 < counts[0] / (10 * counts[2]) < 2  # ten times the scale, a tenth of them


def test_slopes_by_another_least_squares():
    values = np.exp(np.random.default_rng(0).normal(size=(3, 5)))
    a = np.geomspace(1, 100, 5)
    slopes = np.polyfit(np.log(a), np.log(values).T, 1)[0]
    np.testing.assert_allclose(output_scale.exponents(a, values), slopes, rtol=1e-12)


@pytest.mark.parametrize(("activation", "scale"), [("erf", 100.0), ("relu", 3.0)])
def test_a_cell_of_the_output_scale_again(activation, scale):
    torch = pytest.importorskip("torch")
    from empirical.experiments import output_scale as experiment

    settings = settings_of(experiment, "output_scale")
    unit = next(u for u in experiment.units(settings) if u["activation"] == activation and u["scale"] == scale)
    stored = where(recorded("output_scale.csv"), **unit)
    for row in experiment.measure(settings, unit, torch.device("cpu")):
        for name, value in row.items():
            np.testing.assert_allclose(value, one(stored, name, round=row["round"]), rtol=1e-3, err_msg=name)


def test_the_ridge_is_not_scaled():
    """Of a linear model the minimiser, by one solve for its parameters, is kernel regression whatever the scale."""
    rng = np.random.default_rng(1)
    J, t, lam = rng.normal(size=(6, 9)), rng.normal(size=6), 0.3
    for a in (1.0, 50.0):
        theta = np.linalg.solve(a**2 * J.T @ J / a**2 + lam * np.eye(9), a * J.T @ t / a**2)
        K = J @ J.T
        np.testing.assert_allclose(a * J @ theta, K @ np.linalg.solve(K + lam * np.eye(6), t), rtol=1e-10)


# Grokking


def test_the_kernel_describes_large_scales_only(grokked):
    first = one(grokked, kind="agreement")
    final = where(grokked, kind="network", quantity="final", width="500", centred=1)
    kernel = one(grokked, kind="kernel", quantity="test", width="500", t=lazy_to_rich.END)
    off = np.abs(kernel / final["value"] - 1)
    assert (off[final["scale"] >= first] < lazy_to_rich.AGREEMENT).all()
    assert off[final["scale"] < first][-1] > lazy_to_rich.AGREEMENT
    assert (np.diff(final["value"][final["scale"] >= 1 / 4]) > 0).all()  # these end at the same t
    assert final["value"][0] < 1e-3
    assert kernel > 0.5
    change = where(grokked, kind="network", quantity="final change", width="500", centred=1)
    large = change["scale"] >= 32
    slope = np.polyfit(np.log(change["scale"][large]), np.log(change["value"][large]), 1)[0]
    assert abs(slope + 1) < 0.1


def test_at_the_largest_scale_the_kernel_is_followed_at_all_times():
    table = where(recorded("grokking.csv", text=("width",)), width="500", centred="True", scale=512.0)
    for seed in np.unique(table["seed"]):
        draw, here = lazy_to_rich.Draw.of(seed), where(table, seed=seed)
        kernel = lazy_to_rich.Kernel(draw, draw.kernel(draw.X), draw.kernel(draw.X_new))
        for t, train, test in zip(here["t"].tolist(), here["train"], here["test"], strict=True):
            at = [float(loss[0]) for loss in kernel.losses(t, np.ones(1), centred=True)]
            np.testing.assert_allclose(test / np.mean(draw.y_new**2), at[1], rtol=0.05)
            assert abs(train / np.mean(draw.y**2) - at[0]) < 0.1 * at[0] + 1e-3


def test_a_kept_start_is_not_lazy_at_any_scale(grokked):
    change = where(grokked, kind="network", quantity="final change", width="500", centred=0)["value"]
    assert change[-1] > 0.3 * change[-3]
    final = where(grokked, kind="network", quantity="final", width="500", centred=0, scale=8.0)
    assert final["value"][0] < one(grokked, kind="network", quantity="final", width="500", centred=1, scale=8.0) / 2


def test_infinite_width_is_not_lazy_at_a_fixed_scale(grokked):
    for scale in (1 / 4, 1.0, 8.0):
        final = {w: one(grokked, quantity="final", width=w, centred=1, scale=scale) for w in ("500", "infinite")}
        assert 0.5 < final["infinite"] / final["500"] < 2


def test_small_scales_grok_late_but_before_large_ones(grokked):
    times = {
        name: where(grokked, kind="network", quantity=f"time {name}", width="500", centred=1) for name in ("train", "test")
    }
    reached = np.isfinite(times["test"]["value"])
    assert reached[0]
    assert not reached[-1]
    assert (times["test"]["value"][reached] > 2 * times["train"]["value"][reached]).all()
    later = times["test"]["value"][reached][times["test"]["scale"][reached] >= 1 / 4]
    assert (np.diff(later) > 0).all()


def test_first_time_below_the_threshold():
    t = np.array([1.0, 10.0, 100.0])
    assert lazy_to_rich._first_below(t, np.array([1.0, 0.5, 0.2])) == np.inf
    np.testing.assert_allclose(lazy_to_rich._first_below(t, np.array([10.0, 1.0, 0.01])), 10**1.5)


def test_kernel_losses_by_stepping():
    """The theory's curve is the one of gradient descent on the linearised network, step by step."""
    draw = lazy_to_rich.Draw.of(1)
    kernel = lazy_to_rich.Kernel(draw, draw.kernel(draw.X), draw.kernel(draw.X_new))
    for scale, centred in ((1.0, True), (4.0, False)):
        f, f_new = ((0 if centred else scale) * draw.output(X) for X in (draw.X, draw.X_new))
        for _ in range(30):
            r = f - draw.y
            f, f_new = f - kernel.gram @ r / len(r), f_new - kernel.cross @ r / len(r)
        sizes = np.mean(draw.y**2), np.mean(draw.y_new**2)
        direct = np.mean((f - draw.y) ** 2) / sizes[0], np.mean((f_new - draw.y_new) ** 2) / sizes[1]
        np.testing.assert_allclose(np.ravel(kernel.losses(30, np.array([scale]), centred=centred)), direct, rtol=1e-9)


def test_the_kernel_of_infinite_width_in_closed_form():
    draw = lazy_to_rich.Draw.of(0)
    s = draw.X @ draw.X.T / 100
    wide = draw.wide_kernel(draw.X)
    np.testing.assert_allclose(wide, s * (1 + 0.25**2 * s), rtol=1e-9, atol=1e-12)
    fluctuation = scipy.linalg.norm(draw.kernel(draw.X) - wide) / scipy.linalg.norm(wide)
    assert 0.2 < fluctuation * np.sqrt(lazy_to_rich.WIDTH) < 0.8


def test_the_kernel_ends_at_its_ridgeless_limit(grokked):
    """By a solve in place of the filter; and its alignment is the one recorded of the networks at their start."""
    ends, aligned = [], []
    table = where(recorded("grokking.csv", text=("width",)), width="500", centred="True", scale=1.0, t=0)
    for seed in table["seed"].tolist():
        draw = lazy_to_rich.Draw.of(seed)
        K = draw.kernel(draw.X)
        f = draw.kernel(draw.X_new) @ scipy.linalg.solve(K, draw.y, assume_a="pos")
        ends.append(np.log(np.mean((f - draw.y_new) ** 2) / np.mean(draw.y_new**2)))
        aligned.append(lazy_to_rich.Kernel(draw, K, K).alignment())
    end = one(grokked, kind="kernel", quantity="test", width="500", t=lazy_to_rich.END)
    np.testing.assert_allclose(end, np.exp(np.mean(ends)), rtol=0.01)
    np.testing.assert_allclose(aligned, table["alignment_centred"], rtol=1e-5)


def test_the_moment_is_the_network(grokked):
    """The network itself, trained by autograd, gives the recorded losses, and its Jacobian the kernel."""
    torch = pytest.importorskip("torch")
    from empirical.experiments import grokking as experiment
    from empirical.networks import Centred
    from empirical.ntk import alignment, empirical_ntk, relative_change
    from empirical.training import train

    settings = settings_of(experiment, "grokking")
    stored = where(recorded("grokking.csv", text=("width",)), width="500", seed=0)
    draw = lazy_to_rich.Draw.of(0)
    task = experiment.Task.draw(settings.inputs, settings.n, settings.n_new, 0)
    for mine, theirs in ((draw.X, task.X), (draw.y, task.y), (draw.X_new, task.X_new), (draw.y_new, task.y_new)):
        np.testing.assert_array_equal(mine, theirs)
    for scale, centred, stride in ((1 / 32, True, 1), (4.0, False, 16)):
        net = experiment.Committee(settings.inputs, width=500, scale=scale, quadratic=settings.quadratic, seed=0)
        K_0 = empirical_ntk(net, task.X, output="traced")
        np.testing.assert_allclose(K_0 * 500 / scale**2, draw.kernel(draw.X), rtol=1e-9, atol=1e-12)
        here = where(stored, scale=scale, centred=str(centred))
        at = [int(t) for t in here["t"] if t <= 60 * stride]
        rate, c = 250 * stride, 2 / (settings.n * scale**2)
        g, steps = Centred(net) if centred else net, [t // stride for t in at]
        how = {"steps": steps[-1], "record": steps, "points": task.X_new, "loss_scale": c}
        run = train(g, task.X, task.y, learning_rate=rate, **how)
        np.testing.assert_allclose(run.losses * scale**2, here["train"][: len(at)], rtol=1e-5)
        tests = np.mean((run.predictions[..., 0] - task.y_new) ** 2, axis=1)
        np.testing.assert_allclose(tests, here["test"][: len(at)], rtol=1e-5)
        K, last = empirical_ntk(net, task.X, output="traced"), len(at) - 1
        yy = np.outer(task.y, task.y)
        np.testing.assert_allclose(relative_change(K, K_0), here["change"][last], rtol=1e-5)
        np.testing.assert_allclose(alignment(K, yy, centred=True), here["alignment_centred"][last], rtol=1e-5)
        unit = {"width": 500, "centred": centred, "scale": scale, "seed": 0}
        shorter = dataclasses.replace(settings, duration=at[-1], records=3)
        for name, value in experiment.measure(shorter, unit, torch.device("cpu"))[-1].items():
            np.testing.assert_allclose(value, here[name][last], rtol=1e-5, err_msg=name)
        aligned = task.y @ K @ task.y / (task.y @ task.y * np.linalg.norm(K))
        np.testing.assert_allclose(aligned, here["alignment"][last], rtol=1e-5)
        np.testing.assert_allclose(alignment(K, K_0), here["alignment_start"][last], rtol=1e-5)


def test_longer_steps_hardly_change_what_is_drawn():
    """The steps that save time, beside the notebook's own, at the scales where they are longest."""
    torch = pytest.importorskip("torch")
    from empirical.experiments import grokking as experiment

    long = dataclasses.replace(experiment.Settings(), duration=1600, records=3)
    own = dataclasses.replace(long, longest_stride=1.0)
    for scale in (1.0, 32.0):
        unit = {"width": 500, "centred": True, "scale": scale, "seed": 0}
        end, reference = (experiment.measure(s, unit, torch.device("cpu"))[-1] for s in (long, own))
        assert end["t"] == reference["t"] == 1600
        for name in ("train", "test", "alignment_centred", "alignment_start", "change"):
            np.testing.assert_allclose(end[name], reference[name], rtol=0.05, err_msg=name)


def test_infinite_width_starts_at_the_limit_kernel():
    torch = pytest.importorskip("torch")
    from empirical.experiments import grokking as experiment

    S = experiment._start(experiment.Settings(), {"width": "infinite"})
    draw = lazy_to_rich.Draw.of(0)
    K = experiment.Form(S, 2.0, 0.25).kernel(experiment.augmented(torch.tensor(draw.X[:20])))
    np.testing.assert_allclose(K.numpy() / 4, draw.wide_kernel(draw.X)[:20, :20], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("figure", [lazy_to_rich, output_scale])
def test_drawings_show_their_table(figure, grokked, scaled):
    drawn = figure.draw(grokked if figure is lazy_to_rich else scaled)
    drawn.canvas.draw()
    assert len(drawn.axes) == (6 if figure is lazy_to_rich else 3)
    plt.close(drawn)


def test_no_prediction_of_grokking_by_any_stopping_time(grokked):
    """The kernel's test loss never comes below half: no time of stopping makes the kernel generalise here."""
    curve = where(grokked, kind="kernel", quantity="test", width="500")
    assert curve["value"].min() > 0.5
    draw = lazy_to_rich.Draw.of(0)
    s = kd.Spectrum.from_gram(draw.kernel(draw.X))
    f = s.predict(kd.GradientFlow(np.inf), draw.y, draw.kernel(draw.X_new))
    assert np.mean((f - draw.y_new) ** 2) / np.mean(draw.y_new**2) > 0.5
