"""Verdicts of the seven experiments on tangent kernels: what the recorded tables say, and tables made up either way."""

import importlib
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from empirical.experiments import circle_kernel, circle_outputs, narrow_ensembles, output_scale, principal_components, width
from empirical.experiments.verdicts_evidence import contrast, decided, exponent, rows_where, untold, values, written
from empirical.table import read

DATA = Path(__file__).parents[2] / "paper_figs" / "data"
RNG = np.random.default_rng(0)
YES, NO, UNTOLD = "reproduced", "not reproduced", "not testable here"
RECORDED = {
    "circle_kernel": [YES, YES],
    "circle_outputs": [YES, YES, YES],
    "principal_components": [YES, UNTOLD, UNTOLD],
    "width": [YES, YES, YES, YES, UNTOLD, YES, NO, YES],
    "narrow_ensembles": [YES, YES, YES, YES],
    "output_scale": [YES, YES, YES, YES, YES, UNTOLD, YES],
    "grokking": [YES, YES, YES],
}


def outcomes(module, rows):
    return [verdict.outcome for verdict in module.verdicts(rows)]


@pytest.mark.parametrize("name", RECORDED)
def test_what_the_recorded_table_says(name):
    found = importlib.import_module(f"empirical.experiments.{name}").verdicts(read(DATA / f"{name}.csv"))
    assert [verdict.outcome for verdict in found] == RECORDED[name]
    assert all(verdict.seeds > 2 for verdict in found)
    assert len({verdict.claim for verdict in found}) == len(found)


@pytest.mark.parametrize("name", RECORDED)
def test_quick_settings_are_a_part_of_the_default_ones(name):
    module = importlib.import_module(f"empirical.experiments.{name}")
    assert type(module.QUICK) is module.Settings
    assert module.QUICK != module.Settings()
    assert 0 < len(module.units(module.QUICK)) < len(module.units(module.Settings()))
    json.dumps([getattr(module.QUICK, field.name) for field in fields(module.QUICK)])


# ---- intervals


def test_contrasts_are_welchs_intervals():
    a, b = RNG.normal(size=7), RNG.normal(1.0, 3.0, size=4)
    ours = contrast([a, b], [1.0, -1.0])
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose([ours.low, ours.high], theirs)
    one, alone = contrast([a]), contrast([a, [1.0]], [1.0, 1.0])
    np.testing.assert_allclose([one.low, one.high], stats.t.interval(0.95, 6, a.mean(), stats.sem(a)))
    assert (alone.low, alone.high) == (-np.inf, np.inf)
    assert contrast([[2.0, 2.0]]).width == 0


def test_exponents_are_least_squares_lines_of_mean_logarithms():
    x, groups = np.array([1.0, 4.0, 9.0]), [RNG.lognormal(size=k) for k in (3, 5, 4)]
    slope = np.polyfit(np.log(x), [np.log(g).mean() for g in groups], 1)[0]
    assert exponent(x, groups).value == pytest.approx(slope)
    inside = np.mean([-0.5 in exponent(x, [m**-0.5 * RNG.lognormal(0, 0.2, size=5) for m in x]) for _ in range(400)])
    assert 0.92 < inside < 0.98


def test_intervals_decide():
    rows = [{"a": 1, "b": 2.0}, {"a": 2, "b": 3.0}, {"a": 1}]
    assert len(rows_where(rows, a=1)) == 2
    assert values(rows, "b") == [2.0, 3.0]
    wide = contrast([[0.0, 10.0]])
    assert decided("It is.", wide, 0.0, 1.0, "5", 2).effect == "5; the interval is too wide to tell"
    assert untold("It is.", "no rows").outcome == UNTOLD
    assert written(contrast([[1.0, 1.0]]), 1) == "1.0 [1.0, 1.0]"


# ---- tables made up


@pytest.mark.parametrize(("power", "moves", "expected"), [(-0.5, -1.0, [YES, YES]), (0.2, 0.3, [NO, NO])])
def test_kernels_that_tend_to_their_limit_and_that_do_not(power, moves, expected):
    angles = np.linspace(-np.pi, np.pi, 5)
    X = circle_kernel.on_circle
    limit = circle_kernel.kd.kernels.ntk(X([0.0]), X(angles), **circle_kernel.architecture(circle_kernel.Settings()))[0]
    rows = []
    for m in (100, 400, 1600):
        for i in range(6):
            start = limit * (1 + 0.1 * (m / 100) ** power * RNG.lognormal(0, 0.1))
            trained = start + limit * 0.1 * (m / 100) ** moves * RNG.lognormal(0, 0.1)
            about = {"width": m, "initialisation": i, "steps": 200 if i < 4 else 0}
            rows += [about | {"angle": a, "start": s, "trained": t} for a, s, t in zip(angles, start, trained, strict=True)]
    assert outcomes(circle_kernel, rows) == expected
    assert circle_kernel.verdicts(rows)[1].seeds == 4


@pytest.mark.parametrize(("spread", "expected"), [(1.0, [YES, YES]), (1.6, [NO, NO])])
def test_draws_of_the_law_and_wider_ones(spread, expected):
    settings, rows = circle_outputs.Settings(), []
    angles = [a for a in range(-180, 181, 5) if a not in settings.training_angles]
    law = circle_outputs.limit(settings, angles)
    for m, factor in ((50, 3.0), (1000, spread)):
        F = law.mean + factor * (law.sample(200, seed=m) - law.mean)
        rows += [{"width": m} | dict(zip(map(str, angles), f.tolist(), strict=True)) for f in F]
    assert outcomes(circle_outputs, rows) == [*expected, YES]
    few = [{key: row[key] for key in ("width", "-170", "60")} for row in rows]
    assert outcomes(circle_outputs, few)[1] == UNTOLD


@pytest.mark.parametrize(("across", "speed", "expected"), [(0.03, 1.02, [YES, YES, YES]), (0.08, 1.6, [NO, NO, NO])])
def test_runs_along_the_line_and_off_it(across, speed, expected):
    rows, value, t = [], 0.01, np.arange(0.0, 400.0, 20.0)
    for data in ("digits", "fashion_mnist"):
        rows.append({"data": data, "part": "components", "second_value": value})
        for m, off, rate in ((100, 0.08, 1.5), (1000, across, speed)):
            for trial in (0, 1):
                along, about = (
                    0.5 * np.exp(-value * rate * t * RNG.lognormal(0, 0.01)),
                    {"data": data, "part": "training", "trial": trial},
                )
                far = off * RNG.lognormal(0, 0.02) * t / t.max()
                rows += [
                    about | {"width": m, "learning_rate": 1.0, "time": a, "along": b, "across": c}
                    for a, b, c in zip(t.tolist(), along, far, strict=True)
                ]
    assert outcomes(principal_components, rows) == expected
    one_width = [row for row in rows if row.get("width") != 100]
    assert outcomes(principal_components, one_width) == [UNTOLD] * 3


@pytest.mark.parametrize(("power", "growth", "own", "expected"), [(-0.5, 0.9, 1.0, [YES] * 3), (-0.3, 1.2, 0.6, [NO] * 3)])
def test_errors_that_fall_with_width_and_stay(power, growth, own, expected):
    rows = []
    for m in (64, 256, 1024):
        for seed in range(8):
            error = (m / 64) ** power * 0.3 * RNG.lognormal(0, 0.02)
            for t in (0, 1):
                grown = error * growth**t * RNG.lognormal(0, 0.01)
                rows.append(
                    {
                        "depth": 1,
                        "width": m,
                        "seed": seed,
                        "teacher_weight": 1,
                        "round": t,
                        "error": grown,
                        "fluctuation": own * grown,
                    }
                )
    assert outcomes(width, rows) == expected


def test_means_of_networks_with_and_without_a_floor():
    def table(bias, variance):
        rows = []
        for m in (64, 256):
            e = bias(m) / 4000**0.5 + RNG.normal(size=(24, 4000)) * np.sqrt(variance(m) / 4000)
            G = e @ e.T
            rows += [
                {"width": m, "round": 0, "first": i, "second": j, "product": G[i, j]} for i in range(24) for j in range(i + 1)
            ]
        return outcomes(narrow_ensembles, rows)

    assert table(lambda m: 3 / m, lambda m: 5 / m) == [YES, YES, YES, YES]
    without = table(lambda m: 0.0, lambda m: 5 / m)
    assert without[:2] == [YES, YES]
    assert YES not in without[2:]
    assert table(lambda m: 0.5, lambda m: 0.1)[3] == NO


@pytest.mark.parametrize(("power", "grows", "expected"), [(-1.0, 0.0, [YES, YES, YES]), (-0.7, 0.1, [NO, NO, NO])])
def test_scales_that_make_a_network_lazy_and_that_do_not(power, grows, expected):
    rows = []
    for a in (1.0, 10.0, 100.0):
        for seed in range(8):
            error = 0.1 * a**power * RNG.lognormal(0, 0.005)
            about = {"activation": "erf", "width": 64, "n": 40, "seed": seed, "scale": a}
            rows += [
                about | {"round": t, "error_own": error, "error": 0.3 * a**grows * RNG.lognormal(0, 0.005)} for t in range(3)
            ]
    assert outcomes(output_scale, rows) == expected


def test_grokking_on_other_losses():
    module = importlib.import_module("empirical.experiments.grokking")
    rows = read(DATA / "grokking.csv")
    worse = [row | {"test": row["test"] * (1.3 if row["t"] else 1.0)} for row in rows]
    assert outcomes(module, worse)[0] == NO
    never = [row | {"test": max(row["test"], 2.0)} for row in rows]
    assert outcomes(module, never)[1:] == [NO, UNTOLD]
    at_once = [row | {"test": row["train"]} for row in rows]
    assert outcomes(module, at_once)[2] == NO
    other = [row | {"train": row["train"] * 2} for row in rows]
    assert "default settings" in module.verdicts(other)[0].effect
