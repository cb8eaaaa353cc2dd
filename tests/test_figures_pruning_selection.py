"""Figures of selection rules: theory by a second route, simulation within its interval, digits by dense algebra, captions."""

import functools
import importlib
import logging

import matplotlib as mpl
import numpy as np
import pytest

import kdtheory as kd
from kdtheory.problem import digits
from kdtheory.selection import crossing
from paper_figs import hard_or_random, output, selection_gap
from paper_figs.digits import Split
from paper_figs.style import where
from tests.test_selection import by_integration, excess_by_integration

mpl.use("agg")
logging.getLogger("fontTools").setLevel(logging.ERROR)
NAMES = ("selection_gap", "hard_or_random")
WITHIN = 2.0  # half-widths of a 95 % interval: series share their draws, and there are many
WEIGHTS = selection_gap.WEIGHTS
LAW = (1 - WEIGHTS) ** 2


@functools.cache
def table(name):
    module = importlib.import_module(f"paper_figs.{name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DRAWS", 150)
        patch.setattr(module, "SPLITS", 5)
        return module.compute()


def gaps(panel, rule, share, kind="measured"):
    return where(table("selection_gap"), panel=panel, kind=kind, rule=rule, kept_share=share)


def ratios(**conditions):
    return where(table("hard_or_random"), **conditions)


@pytest.mark.parametrize("name", NAMES)
def test_drawn_from_the_table_and_written(name, tmp_path):
    module = importlib.import_module(f"paper_figs.{name}")
    assert len({len(column) for column in table(name).values()}) == 1
    paths = output.write(name, table(name), module.draw(table(name)), tmp_path)
    assert {path.suffix for path in paths} == {".csv", ".pdf", ".png"}
    assert len(module.__doc__.partition("\n")[0]) <= 150


@pytest.mark.parametrize("noise", [(0.0, 1.0), (0.3, 5.0)])
def test_simulated_fits_by_refitting(noise):
    """The same draw: rows picked by sorting, students by least squares on their rows."""
    shares, n, p = (0.02, 0.3), selection_gap.N, selection_gap.P
    got = selection_gap.simulate(np.random.default_rng(5), shares, *noise)
    rng = np.random.default_rng(5)
    X, wrong, standard = rng.normal(size=(n, p)), rng.random(n) < noise[0], rng.normal(size=n)
    y = standard * np.where(wrong, noise[1], 1.0)  # the true coefficients are zero
    d = np.linalg.lstsq(X, y, rcond=None)[0]
    size, leverage = np.abs(y - X @ d), np.sum(np.linalg.qr(X)[0] ** 2, axis=1)
    for i, score in enumerate((size, -size, leverage)):
        for j, share in enumerate(shares):
            kept = sorted(range(n), key=lambda row: -score[row])[: round(share * n)]
            D = np.linalg.lstsq(X[kept], y[kept], rcond=None)[0] - d
            np.testing.assert_allclose(got[i, j], [D @ D, D @ d, wrong[kept].mean()], rtol=1e-7, atol=1e-15)
    assert got.shape == (4, 2, 3)


def test_risks_of_students_are_the_parabola_of_their_parts():
    """Risk of the student trained on (1 - w) labels + w teacher, refitted, less the teacher's."""
    rng = np.random.default_rng(2)
    X, y, w = rng.normal(size=(200, 4)), rng.normal(size=200), 0.7
    d = np.linalg.lstsq(X, y, rcond=None)[0]
    kept = np.argsort(-np.abs(y - X @ d))[:60]
    D = np.linalg.lstsq(X[kept], y[kept], rcond=None)[0] - d
    student = np.linalg.lstsq(X[kept], ((1 - w) * y + w * (X @ d))[kept], rcond=None)[0]
    assert student @ student - d @ d == pytest.approx((1 - w) ** 2 * D @ D + 2 * (1 - w) * D @ d, rel=1e-9)


@pytest.mark.parametrize("rule", selection_gap.RULES)
@pytest.mark.parametrize("share", selection_gap.SHARES)
def test_gap_theory_by_integration(rule, share):
    line = gaps("equal", rule, share, "theory")
    np.testing.assert_allclose(line["relative_gap"], (1 - line["teacher_weight"]) ** 2, atol=1e-12)
    line = gaps("unequal", rule, share, "theory")
    w = line["teacher_weight"]
    law = (1 - w) ** 2
    if rule != "leverage":
        noise = selection_gap.NOISY_SHARE, selection_gap.NOISY_SCALE
        at = [excess_by_integration(share, rule, *noise, x) - 1 for x in w[::20].tolist()]
        law = law[::20] * np.array(at) / at[0]
    np.testing.assert_allclose(line["relative_gap"][:: 1 if rule == "leverage" else 20], law, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("panel", ["equal", "unequal"])
@pytest.mark.parametrize("rule", selection_gap.RULES)
def test_gap_of_the_simulation_meets_theory(panel, rule):
    for share in selection_gap.SHARES:
        line, points = gaps(panel, rule, share, "theory"), gaps(panel, rule, share)
        expected = np.interp(WEIGHTS, line["teacher_weight"], line["relative_gap"])
        away = np.abs(points["relative_gap"] - expected)
        assert (away <= WITHIN * points["interval"] + 0.002).all()
        assert (points["interval"] < 0.08).all()
        assert selection_gap.clear(points)


def test_gap_of_some_noisier_labels_is_not_the_simple_law():
    """The hardest fifth shrinks as 1 - w, the hardest half faster than (1 - w)², so that it changes sign."""
    fifth, half = (gaps("unequal", "hardest", share) for share in selection_gap.SHARES)
    assert (np.abs(fifth["relative_gap"] - (1 - WEIGHTS)) < 0.06).all()
    inner = (WEIGHTS > 0.1) & (WEIGHTS < 0.9)
    assert (half["relative_gap"] < LAW - half["interval"])[inner].all()
    line = gaps("unequal", "hardest", selection_gap.SHARES[1], "theory")["relative_gap"]
    assert line.min() < -0.01


def test_digits_on_pixels_nearly_obey_and_under_an_rbf_kernel_do_not():
    for rule in ("hardest", "leverage"):
        for share in selection_gap.SHARES:
            points = gaps("pixels", rule, share)
            assert (np.abs(points["relative_gap"] - LAW) < 0.07).all()
    for share in selection_gap.SHARES:
        points = gaps("rbf", "hardest", share)
        away = points["relative_gap"] - LAW
        assert (away > 3 * points["interval"])[WEIGHTS > 0.1].all()
        assert (np.abs(points["relative_gap"] - (1 - WEIGHTS)) < away)[(WEIGHTS > 0.1) & (WEIGHTS < 0.5)].all()
    clean = [gaps("rbf", rule + selection_gap.CLEAN, share) for rule in selection_gap.RULES for share in selection_gap.SHARES]
    assert all(selection_gap.clear(x) == (abs(x["gap_at_zero"][0]) > 2 * x["gap_at_zero_interval"][0]) for x in clean)
    drawn = [points for points in clean if selection_gap.clear(points)]
    assert drawn
    assert all((np.abs(points["relative_gap"] - 1) < 0.03).all() for points in drawn)


@pytest.mark.parametrize("panel", ["pixels", "rbf"])
def test_risks_of_digits_by_dense_algebra(panel):
    """One split at weight one half: ridge, scores and students by solves."""
    split = Split.draw("rbf", 3)
    X, Y = digits()
    test = np.random.default_rng(3).permutation(len(X))[1397:]
    if panel == "pixels":
        K, cross, labels = split.images @ split.images.T, X[test] / 16 @ split.images.T, split.labels
        got = selection_gap._on_pixels(3)
    else:
        K, cross, labels = kd.kernels.rbf(split.images, gamma=0.25), split.cross_test, split.noisy(selection_gap.FLIPPED)[0]
        got = selection_gap._on_rbf(split, selection_gap.FLIPPED)
    n = len(K)
    hats = [K @ np.linalg.inv(K + ridge * np.eye(n)) for ridge in selection_gap.RIDGES]
    best = int(np.argmin([np.mean(((labels - H @ labels) / (1 - np.diag(H))[:, None]) ** 2) for H in hats]))
    ridge, taught = selection_gap.RIDGES[best], hats[best] @ labels
    size = np.linalg.norm(labels - taught, axis=1)
    for i, score in enumerate((size, -size, np.diag(hats[best]))):
        for j, share in enumerate(selection_gap.SHARES):
            kept = np.argsort(-score)[: round(share * n)]
            students = np.linalg.solve(K[np.ix_(kept, kept)] + ridge * share * np.eye(len(kept)), (labels + taught)[kept] / 2)
            assert got[i, j, 15] == pytest.approx(np.mean((cross[:, kept] @ students - Y[test]) ** 2), rel=1e-8)
    assert WEIGHTS[15] == 0.5


@pytest.mark.parametrize("rho", hard_or_random.NOISES)
@pytest.mark.parametrize("rule", ["hardest", "easiest"])
def test_ratio_theory_by_integration(rho, rule):
    line = ratios(quantity="ratio", kind="theory", rule=rule, noisy_share=rho)
    for k in (2, 17, 40, 71):
        expected = excess_by_integration(line["kept_share"][k], rule, rho, hard_or_random.NOISY_SCALE)
        assert line["value"][k] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("rho", hard_or_random.NOISES)
@pytest.mark.parametrize("rule", hard_or_random.RULES)
def test_ratio_of_the_simulation_meets_theory(rho, rule):
    line, points = (ratios(quantity="ratio", kind=kind, rule=rule, noisy_share=rho) for kind in ("theory", "simulation"))
    expected = np.interp(points["kept_share"], line["kept_share"], line["value"])
    finite = 2 * selection_gap.P / (points["kept_share"] * selection_gap.N) * np.abs(expected)  # the line is a limit
    assert (np.abs(points["value"] - expected) <= WITHIN * points["interval"] + finite).all()


def test_crossings_are_where_the_lines_cross_and_move_up_with_noise():
    at = [ratios(kind="crossing", noisy_share=rho)["kept_share"][0] for rho in hard_or_random.NOISES]
    assert at[0] == crossing()
    assert at == sorted(at)
    for rho, share in zip(hard_or_random.NOISES, at, strict=True):
        line = ratios(quantity="ratio", kind="theory", rule="hardest", noisy_share=rho)
        assert ((line["value"] > 1) == (line["kept_share"] < share)).all()


def test_easiest_rows_are_better_than_all_rows_only_where_labels_are_noisier():
    equal, *noisy = (
        ratios(quantity="ratio", kind="simulation", rule="easiest", noisy_share=rho) for rho in hard_or_random.NOISES
    )
    assert (equal["value"] > 0).all()
    for points in noisy:
        assert (points["value"] + points["interval"] < 0)[points["kept_share"] > 0.15].all()


@pytest.mark.parametrize("rho", hard_or_random.NOISES[1:])
def test_noise_among_the_hardest(rho):
    rows = {
        kind: ratios(quantity="noise", kind=kind, noisy_share=rho) for kind in ("theory", "stands out", "simulation", "digits")
    }
    line, outs, points, flipped = rows.values()
    np.testing.assert_allclose(outs["value"], np.minimum(1, rho / outs["kept_share"]), rtol=1e-12)
    for k in (0, 20, 60):
        expected = by_integration(line["kept_share"][k], "hardest", rho, hard_or_random.NOISY_SCALE)[2]
        assert line["value"][k] == pytest.approx(expected, rel=1e-8)
    expected = np.interp(points["kept_share"], line["kept_share"], line["value"])
    assert (np.abs(points["value"] - expected) <= WITHIN * points["interval"] + 0.012).all()
    assert (np.abs(flipped["value"] - np.minimum(1, rho / flipped["kept_share"])) < 0.07).all()
    assert (line["value"] <= outs["value"] + 1e-12).all()
