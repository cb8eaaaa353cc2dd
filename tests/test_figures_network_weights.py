"""Figures of trained students' weights: their numbers are those of the record, and the record is what the code measures."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import spearmanr

from paper_figs import network_rules, network_weights
from paper_figs.style import where

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def cells():
    return network_weights.cells()


@pytest.fixture(scope="module")
def weights():
    return network_weights.compute()


@pytest.fixture(scope="module")
def rules():
    return network_rules.compute()


def test_the_record_is_what_the_caption_says(cells):
    groups = {(cell.data, cell.loss) for cell in cells}
    assert groups == {(data, loss) for data in ("digits", "fashion_mnist") for loss in ("squared", "cross_entropy")}
    assert len(cells) == 4 * 3 * 5
    assert {cell.seeds for cell in cells} == {8}


def test_one_unit_is_measured_again(cells):
    """A share and a noise of the first seed, by the code that is here: to what another order of sums may change."""
    import torch

    from empirical.experiments.weight_vs_fraction import Settings, measure

    few = replace(Settings(), noises=(0.2,), keep_fractions=(0.1,), n_test=4000)
    rows = measure(few, {"data": "digits", "loss": "squared", "seed": 0}, torch.device("cpu"))
    recorded = next(c for c in cells if (c.data, c.loss, c.noise, c.keep_fraction) == ("digits", "squared", 0.2, 0.1))
    students = [row for row in rows if "teacher_weight" in row]
    np.testing.assert_allclose([row["error"] for row in students], recorded.errors[:, 0], rtol=0.02)
    np.testing.assert_allclose([row["accuracy"] for row in students], recorded.accuracies[:, 0], atol=0.012)
    cell = rows[-1]
    for pair in ("net_noisy", "fed_noisy", "own_noisy"):
        again = [cell[f"{pair}_{moment}"] for moment in ("vv", "vl", "vd", "ll", "ld", "dd")]
        np.testing.assert_allclose(again, recorded.moments[pair][0], rtol=0.03, atol=0.03 * again[3])


def test_optima_are_vertices_of_what_is_drawn(weights):
    """By numpy's polynomial fit through the mean errors."""
    for data, loss, noise, share in (("digits", "squared", 0.2, 0.1), ("fashion_mnist", "squared", 0.4, 0.5)):
        here = where(weights, data=data, loss=loss, noise=noise, keep_fraction=share)
        risk, best = where(here, quantity="risk"), where(here, quantity="optimum")
        a, b, _ = np.polyfit(risk["weight"], risk["value"], 2)
        assert best["value"][0] == pytest.approx(-b / (2 * a))
        assert best["low"][0] < best["value"][0] < best["high"][0]


def test_the_parabola_of_the_two_ends_passes_the_other_weights(weights):
    """Squared loss: at the weights between and beyond, which it has not seen, within a twentieth of the risk."""
    for data in ("digits", "fashion_mnist"):
        for share in (0.05, 0.2, 1.0):
            here = where(weights, data=data, loss="squared", noise=0.2, keep_fraction=share)
            mix, risk = where(here, quantity="mix"), where(here, quantity="risk")
            read = np.interp(risk["weight"], mix["weight"], mix["value"])
            np.testing.assert_allclose(read, risk["value"], rtol=0.1)
            ends = np.isin(risk["weight"], (0.0, 1.0))
            np.testing.assert_allclose(read[ends], risk["value"][ends], rtol=2e-3)


def test_less_kept_asks_for_more_teacher(weights):
    """Squared loss: at every step down; cross-entropy: from half of the rows to a fifth, and no more below."""
    for data in ("digits", "fashion_mnist"):
        best = where(weights, data=data, loss="squared", quantity="optimum", noise=0.2)
        assert spearmanr(best["keep_fraction"], best["value"]).statistic < -0.85
        for noise in (0.0, 0.2, 0.4):
            for loss in ("squared", "cross_entropy"):
                best = where(weights, data=data, loss=loss, quantity="optimum", noise=noise)
                assert best["keep_fraction"].tolist() == [0.05, 0.1, 0.2, 0.5, 1.0]
                steps = np.diff(best["value"])
                assert steps[2] < 0
                assert (steps < 0).all() if loss == "squared" else abs(steps[:2]).max() < 0.06


def test_the_ends_foretell_closest_and_the_fed_kernel_ranks_as_well(rules):
    """The first line of network_rules."""
    for criterion in ("squared error", "scale-free"):
        rank, apart = (
            [
                where(rules, kind=kind, rule=rule, criterion=criterion)["value"][0]
                for rule in ("two endpoints", "fed kernel", "own kernel")
            ]
            for kind in ("rank", "distance")
        )
        assert apart[0] == min(apart)
        assert rank[1] > rank[0] - 0.02


def test_rank_correlations_are_scipys(rules):
    for rule in ("two endpoints", "fed kernel", "own kernel"):
        points = where(rules, kind="weight", rule=rule, criterion="squared error")
        x, y = (np.clip(points[name], -0.4, 1.6) for name in ("measured", "value"))
        known = np.isfinite(x) & np.isfinite(y)
        drawn = where(rules, kind="rank", rule=rule, criterion="squared error")["value"][0]
        assert drawn == pytest.approx(spearmanr(x[known], y[known]).statistic)


def test_rules_cost_less_than_no_distillation(rules):
    for data in ("digits", "fashion_mnist"):
        for loss in ("squared", "cross_entropy"):
            lost = where(rules, kind="regret", data=data, loss=loss)
            rule, labels = (where(lost, rule=name) for name in ("two endpoints, scale-free", "labels only"))
            assert rule["high"][0] < labels["low"][0]


def test_recomputing_takes_the_settings_of_the_record(tmp_path):
    import json

    from paper_figs.recompute import EXPERIMENTS, RECORDS, command, recompute
    from paper_figs.regression_data import DATA

    for names in EXPERIMENTS.values():
        for name in names:
            words = command(name, tmp_path, ["seeds=2"])
            sets = [word for before, word in pairwise(words) if before == "--set"]
            settings = json.loads((DATA / f"{RECORDS.get(name, name)}.json").read_text())["settings"]
            assert [word.partition("=")[0] for word in sets] == [*settings, "seeds"]
            assert "[" not in "".join(sets)
    with pytest.raises(ValueError, match="--recompute must be for figures of trained networks"):
        recompute("toy_fits", tmp_path)
