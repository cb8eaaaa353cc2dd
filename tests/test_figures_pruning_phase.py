"""The diagrams of the optimal weight: what their caption claims holds in the table."""

import numpy as np
import pytest

from kdtheory.asymptotics import best_ridge, risk_curve
from kdtheory.population import Population
from paper_figs import pruning_phase as figure
from paper_figs.style import where


@pytest.fixture(scope="module")
def table():
    figure.SEEDS = 40  # of a hundred
    return figure.compute()


def diagram(table, panel):
    """Weights (noises, shares), noises ascending, shares ascending."""
    rows = where(table, panel=panel)
    return rows["value"].reshape(-1, len(np.unique(rows["keep_fraction"])))


def test_points_lie_on_the_lines(table):
    for panel, name in (("slices", "keep_fraction"), ("points", "points")):
        for noise in figure.SLICES:
            line, points = (where(table, panel=panel, kind=kind, noise_variance=noise) for kind in ("theory", "simulation"))
            expected = np.interp(np.log(points[name]), np.log(line[name]), line["value"])
            assert (np.abs(points["value"] - expected) < 2 * points["half_width"] + 0.05).all()


def test_simulated_ridges_follow_the_theory(table):
    for noise in figure.SLICES:
        line, points = (where(table, panel="ridge", kind=kind, noise_variance=noise) for kind in ("theory", "simulation"))
        seen = np.isfinite(points["value"]) & (points["keep_fraction"] >= 0.2)
        assert seen.sum() >= 3
        expected = np.exp(np.interp(np.log(points["keep_fraction"]), np.log(line["keep_fraction"]), np.log(line["value"])))
        assert (np.abs(np.log(points["value"] / expected))[seen] < 0.35).all()


def test_where_pruning_and_noise_raise_the_weight(table):
    for panel in ("per example", "absolute"):
        weights = diagram(table, panel)
        below = (figure.NOISES > 0.02) & (figure.NOISES < 3 * figure.TUNED_AT)
        assert (np.diff(weights[below], axis=1) < 0).all()
        assert (np.diff(weights[:, figure.SHARES > 0.07], axis=0) > 0).all()
        assert (np.diff(weights[:, 0]) < 0).all()
        assert (weights[:, 0] > 1).all()
        assert (np.diff(weights[figure.NOISES > 5][:, figure.SHARES > 0.5], axis=1) > 0).any()


def test_on_all_points_the_boundary_is_the_noise_for_which_the_ridge_is_best(table):
    weights = diagram(table, "per example")[:, -1]
    assert ((weights > 0) == (figure.NOISES > figure.TUNED_AT)).all()
    population = figure._population()
    ridge = float(best_ridge(population, n=figure.N, keep_fraction=1.0, ridge_convention="absolute"))
    for noise, weight in zip(figure.NOISES[::8], weights[::8], strict=True):
        other = Population(population.eigenvalues, population.signal, noise)
        assert risk_curve(other, n=figure.N, ridge=ridge).optimal_weight == pytest.approx(weight, abs=1e-3)


def test_with_both_ridges_tuned_the_weight_is_near_one_until_all_is_kept(table):
    rows = where(table, panel="tuned")
    pruned = rows["keep_fraction"] < 0.9
    assert (rows["value"][pruned] > 0.99).all()
    assert (rows["value"][pruned & (rows["noise_variance"] > figure.TUNED_AT)] < 1.25).all()
    assert np.median(rows["value"][pruned]) < 1.1


def test_it_is_drawn(table, tmp_path):
    figure.draw(table).savefig(tmp_path / "phase.png")
    assert (tmp_path / "phase.png").stat().st_size > 50_000
