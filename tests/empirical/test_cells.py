"""What is read from the recorded rows, against students whose law is known."""

import numpy as np
import pytest

from empirical.cells import agreement_of, cells_of, regrets_of
from empirical.findings import findings, gain, rise
from empirical.foretold import MOMENTS
from empirical.table import read, write

RNG = np.random.default_rng(0)
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
SHARES = (0.1, 0.3, 1.0)


def best(noise, share):
    """The law that the rows below obey: more weight where less is kept, and under noise."""
    return 0.9 - 0.7 * share + 0.5 * noise


def rows(law=best, seeds=6, noises=(0.0, 0.4), spread=0.02, loss="squared"):
    """Rows as the experiment writes them, of students whose squared error has its vertex where the law says."""
    out = []
    for noise in noises:
        for share in SHARES:
            for seed in range(seeds):
                w_star = law(noise, share) + spread * RNG.normal()
                here = {"data": "made", "loss": loss, "seed": seed, "noise": noise, "keep_fraction": share}
                for w in WEIGHTS:
                    error = 0.05 + 0.1 * (w - w_star) ** 2
                    out.append(here | {"teacher_weight": w, "error": error, "accuracy": 1 - error})
                # |D|^2 = 0.1, <V - P, D> = 0.1 w_star, |V - P|^2 = 0.05 + 0.1 w_star^2, |P|^2 = <V, P> = 0.5
                vv = 0.5 + 0.05 + 0.1 * w_star**2
                moments = (vv, 0.5, 0.05 + 0.1 * w_star, 0.5, 0.05, 0.1)
                cell = {"teacher_accuracy": 0.9, "teacher_error": 0.1, "teacher_steps": 100, "superposition": 0.02}
                for pair in ("net_test", "net_clean", "net_noisy", "fed_clean", "fed_noisy", "own_clean", "own_noisy"):
                    cell |= {f"{pair}_{name}": value for name, value in zip(MOMENTS, moments, strict=True)}
                out.append(here | cell)
    return out


def test_cells_are_what_was_written(tmp_path):
    written = rows()
    cells = cells_of(read(write(tmp_path / "table.csv", written)))
    assert len(cells) == 6
    assert {cell.seeds for cell in cells} == {6}
    one = next(cell for cell in cells if (cell.noise, cell.keep_fraction) == (0.4, 0.3))
    students = [r for r in written if r.get("teacher_weight") == 0.75 and (r["noise"], r["keep_fraction"]) == (0.4, 0.3)]
    np.testing.assert_allclose(one.errors[list(WEIGHTS).index(0.75)], [r["error"] for r in students], rtol=1e-5)
    assert one.rules == ["two endpoints", "fed kernel", "own kernel"]


def test_the_optimum_of_the_grid_and_of_the_pairs_is_the_laws():
    for cell in cells_of(rows(seeds=20)):
        wanted = best(cell.noise, cell.keep_fraction)
        for found in (cell.measured(RNG), cell.predicted("two endpoints", "squared error", "noisy", RNG)):
            assert found.low - 0.01 < wanted < found.high + 0.01
            assert found.high - found.low < 0.04
        assert cell.quadratic() == pytest.approx(1)
        assert cell.predicted_by_seed("fed kernel", "squared error", "clean").std() == pytest.approx(0.02, rel=0.6)


def test_differences_are_paired_by_seed():
    """A spread that two cells share does not count."""
    shared = RNG.normal(size=6)
    table = rows(spread=0.0)
    for row in table:
        if "teacher_weight" in row:
            w_star = best(row["noise"], row["keep_fraction"]) + shared[row["seed"]]
            row["error"] = 0.05 + 0.1 * (row["teacher_weight"] - w_star) ** 2
    small, large = (next(c for c in cells_of(table) if (c.noise, c.keep_fraction) == (0.0, f)) for f in (0.1, 1.0))
    found = rise(small, large, RNG)
    assert found.value == pytest.approx(0.63)
    assert found.width < 1e-6 < small.measured(RNG).width


def test_regret_counts_what_was_lost():
    cells = cells_of(rows(spread=0.0))
    # accuracy is 1 - error; the grid's best point misses the vertex by at most 0.125
    for cell in cells:
        wanted = 0.1 * (0.0 - best(cell.noise, cell.keep_fraction)) ** 2
        on_grid = min(0.1 * (w - best(cell.noise, cell.keep_fraction)) ** 2 for w in WEIGHTS if w <= 1)
        assert regrets_of([cell], 0.0, rng=RNG).value == pytest.approx(wanted - on_grid)
    assert abs(regrets_of(cells, "two endpoints", rng=RNG).value) < 0.002
    kept_little = next(cell for cell in cells if (cell.noise, cell.keep_fraction) == (0.0, 0.1))
    assert gain(kept_little, RNG).value > 0.02


def test_rules_are_compared_over_cells():
    found = agreement_of(cells_of(rows(spread=0.0)), "own kernel", "squared error", "noisy", rng=RNG)
    assert found.cells == 6
    assert found.rank_correlation.value == pytest.approx(1)
    assert found.error.value < 1e-6


def outcomes(table):
    return {
        verdict.claim.partition(" from ")[0].partition(" where")[0]: verdict.outcome for verdict in findings(cells_of(table))
    }


def test_verdicts_follow_the_law():
    said = outcomes(rows())
    assert said["The optimal teacher weight is larger"] == "reproduced"
    assert said["The optimal teacher weight rises"] == "reproduced"
    reverse = outcomes(rows(lambda noise, share: 1.0 - best(noise, share)))
    assert reverse["The optimal teacher weight is larger"] == "not reproduced"
    assert reverse["The optimal teacher weight rises"] == "not reproduced"
    flat = outcomes(rows(lambda noise, share: 0.5, spread=0.3))
    assert flat["The optimal teacher weight is larger"] == "not testable here"
    assert {verdict.outcome for verdict in findings(cells_of(rows(seeds=1)))} == {"not testable here"}


def test_a_bent_curve_is_no_parabola():
    table = rows()
    for row in table:
        if "teacher_weight" in row:
            row["error"] += 0.02 * (row["teacher_weight"] > 0.6)
    verdict = next(v for v in findings(cells_of(table)) if "parabola" in v.claim)
    assert verdict.outcome == "not reproduced"


def test_a_regression_has_no_accuracy():
    table = [{k: v for k, v in row.items() if "accuracy" not in k} for row in rows(noises=(0.0,))]
    claims = [verdict.claim for verdict in findings(cells_of(table))]
    assert not any("point" in claim for claim in claims)
    with pytest.raises(ValueError, match="`rows` must hold the rows of `weight_vs_fraction`"):
        cells_of([])


def test_a_seed_without_all_its_students_is_named():
    table = rows()
    short = [row for row in table if not (row["seed"] == 1 and row.get("teacher_weight") == 0.5 and row["noise"] == 0.4)]
    for some in (short, [row for row in table if "teacher_weight" in row]):
        with pytest.raises(ValueError, match="`rows` must have every seed's students and one row of the cell itself"):
            cells_of(some)


def test_claims_that_hold_by_construction_are_not_tested():
    few = [row for row in rows() if row.get("teacher_weight", 0.0) in (0.0, 0.5, 1.0)]
    said = {verdict.claim[:20]: verdict.outcome for verdict in findings(cells_of(few))}
    assert said["Squared error is a p"] == "not testable here"
    assert said["The tangent kernel's"] == "not testable here"  # six cells
