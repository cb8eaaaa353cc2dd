"""The one picture: every panel by a second route (dense powers, plain solves, a search over refits), and its caption."""

import matplotlib as mpl
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from paper_figs import one_idea, output
from paper_figs.__main__ import FIGURES
from paper_figs.style import where

mpl.use("agg")


@pytest.fixture(scope="module")
def problem():
    return one_idea.Problem.draw()


@pytest.fixture(scope="module")
def table():
    return one_idea.compute()


def trained(problem, share, weight, draw):
    """Held-out predictions by plain solves."""
    K, y, n = problem.images.gram, problem.labels[draw], len(problem.images.gram)
    teacher = K @ np.linalg.solve(K + problem.ridge * np.eye(n), y)
    rows = problem.orders[draw][: round(share * n)]
    mixed = (1 - weight) * y[rows] + weight * teacher[rows]
    return problem.images.cross[:, rows] @ np.linalg.solve(K[np.ix_(rows, rows)] + problem.ridge * np.eye(len(rows)), mixed)


def mean_risk(problem, share, weight):
    errors = [trained(problem, share, weight, draw) - problem.images.labels_test for draw in range(one_idea.DRAWS)]
    return np.mean(np.square(errors))


def test_it_is_the_first_figure_and_is_drawn(table, tmp_path):
    assert FIGURES[0] == "one_idea"
    paths = output.write("one_idea", table, one_idea.draw(table), tmp_path)
    assert all(path.stat().st_size > 5_000 for path in paths)


def test_rounds_by_powers_of_the_smoother(problem, table):
    """Multipliers by dense algebra: y_t = S((1 - w) y + w y_(t-1)), read off along eigenvectors of the Gram matrix."""
    K = problem.images.gram
    d, U = np.linalg.eigh(K)
    S = np.linalg.solve(K + problem.ridge * np.eye(len(K)), K)
    chain = np.zeros_like(S)
    for t in range(max(one_idea.ROUNDS) + 1):
        chain = S if t == 0 else S @ ((1 - one_idea.WEIGHT) * np.eye(len(K)) + one_idea.WEIGHT * chain)
        if t in one_idea.ROUNDS:
            measured, line = (where(table, panel="filter", line=t, kind=kind) for kind in ("measured", "theory"))
            kept = np.sum(U * (chain @ U), axis=0)
            np.testing.assert_allclose(measured["value"], np.interp(measured["x"], d, kept), rtol=1e-8)
            np.testing.assert_allclose(
                np.interp(np.log(measured["x"]), np.log(line["x"]), line["value"]), measured["value"], atol=2e-3
            )
    limit, last = (where(table, panel="filter", line=t, kind="theory")["value"] for t in (np.inf, max(one_idea.ROUNDS)))
    assert (limit < last).all()


def test_students_are_affine_in_their_weight(problem, table):
    """Trained at every weight, they lie on the line of two; and the line holds at a weight that is not drawn."""
    for image in np.unique(where(table, panel="prediction")["line"]).astype(int):
        line, points = (where(table, panel="prediction", line=image, kind=kind) for kind in ("theory", "measured"))
        slope, height = np.polyfit(line["x"], line["value"], 1)
        np.testing.assert_allclose(points["value"], height + slope * points["x"], atol=1e-11)
        place = image, problem.images.labels_test[image].argmax()
        np.testing.assert_allclose(trained(problem, 1.0, 3.3, 0)[place] + 0.1, height + 3.3 * slope, atol=1e-11)
        assert abs(slope) > 0.02  # there is something to see


def test_the_pictures_are_those_of_the_lines(problem, table):
    """The split's images, in the order in which the drawing looks them up."""
    pictures, classes = one_idea.digits()
    order = np.random.default_rng(one_idea.SEED).permutation(len(pictures))[one_idea.pruned_digits.TRAIN :]
    np.testing.assert_array_equal(classes[order].argmax(axis=1), problem.images.labels_test.argmax(axis=1))
    assert len(np.unique(where(table, panel="prediction")["line"])) == len(one_idea.SHOWN)


@pytest.mark.parametrize("share", one_idea.DRAWN)
def test_the_vertex_is_the_minimum_over_refits(problem, table, share):
    """A search that trains students at the weights it tries and nothing else."""
    found = minimize_scalar(
        lambda w: mean_risk(problem, share, w), bounds=(-0.5, 2.0), method="bounded", options={"xatol": 1e-5}
    )
    star = where(table, panel="risk", kind="vertex", line=share)
    assert abs(star["x"][0] - found.x) < 2e-4
    start = mean_risk(problem, share, 0.0)
    np.testing.assert_allclose(star["value"][0], 100 * found.fun / start, rtol=1e-7)
    points, line = (where(table, panel="risk", kind=kind, line=share) for kind in ("measured", "theory"))
    a, b, c = np.polyfit(line["x"], line["value"], 2)
    np.testing.assert_allclose(points["value"], a * points["x"] ** 2 + b * points["x"] + c, rtol=1e-9)
    np.testing.assert_allclose(points["value"][2], 100 * mean_risk(problem, share, points["x"][2]) / start, rtol=1e-9)


def test_fewer_rows_want_more_teacher(table):
    """Every step down in rows is a step up in weight, of the theory and of the refits, beyond the intervals of the ends."""
    line, points = (where(table, panel="optimum", kind=kind) for kind in ("theory", "measured"))
    assert (np.diff(line["value"]) < 0).all()
    assert (np.diff(points["value"]) < 0).all()
    assert points["low"][0] > points["high"][-1]
    assert ((points["low"] < line["value"]) & (line["value"] < points["high"])).sum() >= len(line["x"]) - 1
    stars = {share: where(table, panel="risk", kind="vertex", line=share)["x"][0] for share in one_idea.DRAWN}
    for share, weight in stars.items():
        np.testing.assert_allclose(points["value"][points["x"] == share], weight, rtol=1e-8)


def test_what_the_caption_says_of_its_numbers(problem):
    said = " ".join(one_idea.__doc__.split())
    assert f"{problem.ridge:g}, absolute" in said
    assert f"{len(problem.images.gram)} training images" in said
    assert f"other {len(problem.images.labels_test):,} held out" in said
    assert f"teacher weight {one_idea.WEIGHT:g}" in said
    assert f"variance {one_idea.NOISE:g}" in said
    assert f"{one_idea.DRAWS} draws" in said
    assert one_idea.RIDGES[0] < problem.ridge < one_idea.RIDGES[-1]
    flips = 2 * 0.2 / problem.labels.shape[-1]  # a flip changes two outputs of ten by one
    assert one_idea.NOISE == pytest.approx(flips)
