"""Figures: their numbers against published and independent ones, and files written whole or not at all."""

import csv
import importlib
import logging
import re
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

import kdtheory as kd
from paper_figs import (
    digits_ntk,
    digits_panels,
    digits_rbf,
    digits_tuning,
    limit_distance,
    output,
    ratio_peak,
    toy_filters,
    toy_fits,
    toy_losses,
    toy_ratios,
)
from paper_figs.__main__ import FIGURES, main
from paper_figs.digits import Split
from paper_figs.style import COLUMN, PAGE, stack, where

mpl.use("agg")
logging.getLogger("fontTools").setLevel(logging.ERROR)
SMALLEST = 6.5  # points, at the printed size
#: Drawn by tests of their own, which compute them once.
SLOW = (
    "digits",
    "hard_or_random",
    "one_shot_bias",
    "plan_check",
    "pruned_digits",
    "pruning_phase",
    "selection_gap",
    "teacher_share",
)
QUICK = [name for name in FIGURES if not name.startswith(SLOW)]


def faults(figure):
    """What a reader at the printed size would frown at, as far as code can see it."""
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    found = [f"{text.get_text()!r} has {text.get_fontsize()} pt" for text in texts if text.get_fontsize() < SMALLEST]
    if figure.get_figwidth() not in (COLUMN, PAGE):
        found.append(f"{figure.get_figwidth()} inches wide")
    page, ink = figure.bbox_inches, figure.get_tightbbox()
    if min(ink.x0 - page.x0, ink.y0 - page.y0, page.x1 - ink.x1, page.y1 - ink.y1) < -0.02:
        found.append(f"clipped: {ink.extents} inches")
    grid = [axis for axis in figure.axes if axis.axison and axis.get_label() != "<colorbar>" and axis.has_data()]
    for axis in grid:
        for k, (name, own) in enumerate((("y", axis.yaxis), ("x", axis.xaxis))):
            joined = getattr(axis, f"get_shared_{name}_axes")().joined
            same = [one for one in grid if one is axis or joined(one, axis) or cells(one)[k] == cells(axis)[k]]
            words = any(letter.isalpha() for text in own.get_ticklabels() for letter in plain(text))
            if not (
                words or getattr(figure, f"get_sup{name}label")() or any(getattr(one, f"get_{name}label")() for one in same)
            ):
                found.append(f"no {name} label: {axis.get_title()}")
        found += [f"{side} spine: {axis.get_title()}" for side in ("top", "right") if axis.spines[side].get_visible()]
    bars = [axis for axis in figure.axes if axis.get_label() == "<colorbar>"]
    return found + ["no label on the colour bar"] * any(not (bar.get_ylabel() or bar.get_xlabel()) for bar in bars)


def cells(axis):
    """Row and column of the figure's grid that an axis stands in; a label at their edge is shared."""
    place = axis.get_subplotspec()
    return ((place.get_gridspec(), place.rowspan), (place.get_gridspec(), place.colspan)) if place else (axis, axis)


def plain(text):
    """Without formulas: a tick at 10^3 is a number, not a word."""
    return re.sub(r"\$.*?\$", "", text.get_text())


@pytest.mark.parametrize("name", QUICK)
def test_quick_figures_are_drawn_with_their_numbers(name, tmp_path, capsys, monkeypatch):
    looked = {}

    def look(name, table, figure, folder, write=output.write):
        looked[name] = faults(figure)
        return write(name, table, figure, folder)

    monkeypatch.setattr(output, "write", look)
    assert main([name, "--out", str(tmp_path / "new" / "folder")]) == 0
    assert looked == {name: []}
    files = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert files == {f"{name}.pdf", f"{name}.png", f"{name}.csv"}
    assert all((tmp_path / "new" / "folder" / file).stat().st_size > 500 for file in files)
    with (tmp_path / "new" / "folder" / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = importlib.import_module(f"paper_figs.{name}").compute()
    assert len(rows) == len(next(iter(table.values())))
    assert "[1/1]" in capsys.readouterr().out


def test_all_published_losses_to_five_digits():
    table = toy_losses.compute()
    assert len(table["ours"]) == 21
    assert table["agrees_to_five_digits"].all()
    assert (np.abs(table["ours"] - table["published"]) < 5.01e-6).all()


def test_published_shrinkages_and_ratios():
    """Values printed in the authors' notebook: the first B, and R_9 at weight 0.75."""
    b = where(toy_filters.compute(), teacher_weight=0.75, round=0.0)["b"]
    np.testing.assert_allclose(
        b, [0.9066, 0.9011, 0.8914, 0.8764, 0.8544, 0.8233, 0.7802, 0.7226, 0.6502, 0.5703, 0.5029], atol=6e-5
    )
    ninth = where(toy_ratios.compute(), teacher_weight=0.75, index=9)["ratio"]
    np.testing.assert_allclose(ninth, [1.1400, 1.2407, 1.2874, 1.2973, 1.2930, 1.2863, 1.2732], atol=6e-5)
    assert abs(where(toy_ratios.compute(), teacher_weight=1.0, round=5.0)["ratio"].max() - 2.195) < 6e-4


def test_ratio_peak_obeys_its_criterion_and_bounds():
    table = ratio_peak.compute()
    for weight in ratio_peak.WEIGHTS:
        line = where(table, teacher_weight=weight)
        assert (line["ratio"] <= line["upper_bound"] * (1 + 1e-12)).all()
        assert (line["ratio"] >= line["ratio"][0] * (1 - 1e-12)).all()
        if weight < 1:
            resolved = np.abs(line["ratio"] - line["limit"]) > 1e-9
            above, should = line["ratio"] > line["limit"], line["upper_bound"] > line["d_ratio"]
            assert (above == should)[resolved].all()
            assert 0 < line["ratio"].argmax() < ratio_peak.ROUNDS


def test_limit_distance_measurement_meets_theory():
    table = limit_distance.compute()
    assert (np.abs(table["measured"] - table["exact"]) < 1e-13 + 1e-9 * table["exact"]).all()
    for weight in limit_distance.WEIGHTS:
        tail = where(table, teacher_weight=weight)["exact"][-2:]
        assert abs(tail[1] / tail[0] - where(table, teacher_weight=weight)["rate"][0]) < 0.01


@pytest.mark.parametrize(
    "changes", [{"ridge": 0.05}, {"rounds": 30}, {"rounds": 2}, {"teacher_weights": (1.05, 0.2)}, {"gamma": 10.0}]
)
def test_a_student_may_change_one_parameter(changes, monkeypatch):
    for figure in (toy_fits, toy_filters, toy_ratios, ratio_peak, limit_distance):
        monkeypatch.setattr(figure, "TOY", replace(figure.TOY, **changes))
        if figure is limit_distance:
            monkeypatch.setattr(figure, "WEIGHTS", tuple(np.linspace(0.1, 0.9, 8)))
        plt.close(figure.draw(figure.compute()))
    monkeypatch.setattr(ratio_peak, "PAIR", (0, 1))
    monkeypatch.setattr(ratio_peak, "ROUNDS", 10)
    monkeypatch.setattr(ratio_peak, "WEIGHTS", (0.3, 0.6))
    plt.close(ratio_peak.draw(ratio_peak.compute()))


def test_fits_include_the_limit():
    table = toy_fits.compute()
    assert (where(table, teacher_weight=1.0, round=np.inf)["prediction"] == 0).all()
    assert len(table["x"]) == 2 * 7 * 101


def test_closed_form_optima_agree_with_the_grid_on_digits(monkeypatch):
    monkeypatch.setattr(digits_panels, "NOISES", (0.2,))
    monkeypatch.setattr(digits_panels, "ROUNDS", 2)
    table = digits_panels.compute("rbf", (0.3,))
    first = where(table, round=1)
    step = np.diff(digits_panels.WEIGHTS).max()
    for column, optimum in (("validation_error", "optimum_clean"), ("loo_error", "optimum_loo")):
        best = first["teacher_weight"][first[column].argmin()]
        assert abs(best - first[optimum][0]) < step
        parabola = np.polyfit(first["teacher_weight"], first[column], 2)
        assert abs(-parabola[1] / (2 * parabola[0]) - first[optimum][0]) < 1e-6
    assert digits_panels.draw(table, "two rounds").axes


@pytest.mark.parametrize("figure", [digits_rbf, digits_ntk])
def test_noise_turns_the_best_weight_positive_at_small_ridges_only(figure):
    split = Split.draw(figure.__name__.rpartition("_")[2], 0)
    smallest, *_, largest = figure.RIDGES
    for noise in digits_panels.NOISES:
        labels, _ = split.noisy(noise)
        weights = [split.optimum(labels, ridge, split.labels_validation) for ridge in (smallest, largest)]
        assert weights[1] < 0
        assert (weights[0] > 0) == (noise > 0)


def test_label_noise_flips_its_share_to_other_classes():
    split = Split.draw("rbf", 0)
    some, _ = split.noisy(0.2)
    more, _ = split.noisy(0.4)
    flipped = (some != split.labels).any(axis=1)
    assert abs(flipped.mean() - 0.2) < 0.04
    assert ((more != split.labels).any(axis=1) | ~flipped).all()  # the same labels and more
    assert (some.sum(axis=1) == 1).all()
    assert (
        some[more.argmax(axis=1) == split.labels.argmax(axis=1)]
        == split.labels[more.argmax(axis=1) == split.labels.argmax(axis=1)]
    ).all()
    assert len(split.labels) + len(split.labels_validation) + len(split.labels_test) == 1797


def test_tuned_weights_belong_to_their_data(monkeypatch):
    split = Split.draw("rbf", 1)
    labels, _ = split.noisy(0.2)
    _, by_loo, by_validation = digits_tuning._weights(split, labels, 0.3)
    losses = [
        kd.loo_grid(split.spectrum, labels, ridges=[0.3], teacher_weights=[by_loo + h], rounds=1)[0, 0, 1]
        for h in (-0.01, 0, 0.01)
    ]
    assert losses[1] == min(losses)
    how = {"ridges": [0.3], "rounds": 1}
    losses = [
        kd.risk_grid(
            split.spectrum, labels, split.cross_validation, split.labels_validation, teacher_weights=[by_validation + h], **how
        )[0, 0, 1]
        for h in (-0.01, 0, 0.01)
    ]
    assert losses[1] == min(losses)


@pytest.mark.slow
def test_every_figure(tmp_path):
    assert main(["--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.iterdir())) == 3 * len(FIGURES)


def test_list_and_errors(tmp_path, capsys, monkeypatch):
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in FIGURES)
    assert main(["nothing"]) == 2
    assert f"NAME must be one of {FIGURES[0]}, " in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["toy_fits", "--out", str(tmp_path / "file")]) == 2
    assert "--out must be a folder" in capsys.readouterr().err
    assert main(["toy_fits", "--out", str(tmp_path / "file" / "below")]) == 2
    assert "is a file" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["toy_fits", "--out", str(tmp_path)]) == 2
    assert "pip install 'kdtheory[figures]'" in capsys.readouterr().err


def test_faults_are_seen():
    figure, (left, right) = plt.subplots(1, 2, figsize=(5.0, 2.0), layout="none")
    left.plot([0, 1], [0, 1])
    right.plot([0, 1], [0, 1])
    left.text(0.5, 0.5, "tiny", fontsize=5)
    left.text(1.5, 0.5, "far out" * 30)
    left.set_ylabel("what")
    right.spines["right"].set_visible(True)
    found = " ".join(faults(figure))
    plt.close(figure)
    for fault in ("'tiny' has 5.0 pt", "5.0 inches wide", "clipped", "no x label", "right spine"):
        assert fault in found
    assert "no y label" not in found


def test_a_failing_figure_stops_and_leaves_nothing_half_written(tmp_path, monkeypatch, capsys):
    def explode(table):
        raise RuntimeError("planted")

    monkeypatch.setattr(toy_ratios, "draw", explode)
    with pytest.raises(RuntimeError, match="planted"):
        main(["toy_filters", "toy_ratios", "toy_fits", "--out", str(tmp_path)])
    assert {path.stem for path in tmp_path.iterdir()} == {"toy_filters"}
    assert "FAILED" in capsys.readouterr().out


def test_a_killed_write_leaves_the_old_files(tmp_path, monkeypatch):
    table = toy_ratios.compute()
    output.write("ratios", table, toy_ratios.draw(table), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    figure = toy_ratios.draw(table)
    monkeypatch.setattr(figure, "savefig", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        output.write("ratios", {"x": np.zeros(3)}, figure, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_tables_stack_single_values():
    table = stack([{"a": 1, "b": [1.0, 2.0]}, {"a": 2, "b": [3.0]}])
    assert table["a"].tolist() == [1, 1, 2]
    assert table["b"].tolist() == [1.0, 2.0, 3.0]
