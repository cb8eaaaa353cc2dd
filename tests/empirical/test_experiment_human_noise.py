"""People's labels beside flips: labels by counting, a small unit on made-up images, verdicts on made-up rows either way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from empirical.data import Dataset, split
from empirical.experiments import human_noise
from empirical.experiments.human_noise import Settings, confusion, fingerprints, halved, labelled, measure, units, verdicts
from empirical.experiments.verdicts_human_noise import Cells, vertex
from empirical.pairs import moments

RNG = np.random.default_rng(0)
CPU = torch.device("cpu")
TINY = Settings(
    n=200, n_validation=80, n_test=60, keep_fractions=(0.2, 1.0), teacher_weights=(0.0, 0.5, 1.0, 1.25), steps=10, cnn_width=4
)
YES, NO, UNTOLD = "reproduced", "not reproduced", "not testable here"


@pytest.fixture
def people(monkeypatch):
    """Images of four classes, and people who take every class for the next one as often as not, but never the last."""
    rng = np.random.default_rng(1)
    y, y_test = rng.integers(4, size=400), rng.integers(4, size=100)
    means = rng.random((4, 3, 8, 8))
    X, X_test = (np.clip(means[k] + 0.1 * rng.normal(size=(len(k), 3, 8, 8)), 0, 1).astype(np.float32) for k in (y, y_test))
    wrong = np.where((rng.random(400) < 0.5) & (y < 3), y + 1, y)
    data = Dataset("cifar10n", X, y, X_test, y_test, 4, {"aggre": y, "random1": wrong, "worst": wrong})
    monkeypatch.setattr(human_noise, "load", lambda name: data)
    return data


def test_labels_are_peoples_own_or_as_many_flips(people):
    part = split(people, train=250, validation=100, test=50, seed=2)
    human, symmetric, confused = (
        labelled(people, part, "worst", noise, 2) for noise in ("human", "symmetric", "class_dependent")
    )
    for rows, y, true in ((part.rows, human.y, part.y), (part.rows_validation, human.y_validation, part.y_validation)):
        assert (y == people.labels["worst"][rows]).all()
        assert (people.y[rows] == true).all()
    for other in (symmetric, confused):
        for ours, theirs, true in ((other.y, human.y, part.y), (other.y_validation, human.y_validation, part.y_validation)):
            assert np.sum(ours != true) == np.sum(theirs != true) > 0
            assert (ours != theirs).any()
    moved = confused.y != part.y
    assert (confused.y[moved] == part.y[moved] + 1).all()
    assert (symmetric.y[symmetric.y != part.y] != part.y[symmetric.y != part.y] + 1).any()
    assert labelled(people, part, "clean", "none", 2).y is part.y
    with pytest.raises(ValueError, match=r"`labels` must be clean or one of aggre, random1, worst, got 'best'\."):
        labelled(people, part, "best", "human", 2)


def test_confusion_and_half_resolution_by_other_means():
    y, labels = RNG.integers(5, size=300), RNG.integers(5, size=300)
    np.testing.assert_allclose(confusion(y, labels, 5), confusion_matrix(y, labels, normalize="true"))
    X = RNG.random((2, 3, 6, 4)).astype(np.float32)
    torchs = torch.nn.functional.avg_pool2d(torch.tensor(X), 2)
    np.testing.assert_allclose(halved(X), torchs, rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_a_small_unit(people, loss):
    settings = replace(TINY, labels=(("clean", "none"), ("worst", "human")))
    rows = measure(settings, {"loss": loss, "seed": 0}, CPU)
    weights = [0.0, 0.5, 1.0, 1.25][: 4 if loss == "squared" else 3]
    students, cells = ([row for row in rows if ("teacher_weight" in row) == there] for there in (True, False))
    assert [row["teacher_weight"] for row in students[: len(weights)]] == weights
    assert (len(students), len(cells)) == (2 * 2 * len(weights), 2 * 2)
    for cell in cells:
        ends = [row for row in students if all(row[key] == cell[key] for key in ("labels", "noise", "keep_fraction"))]
        one = cell["net_test_vv"] - 2 * cell["net_test_vl"] + cell["net_test_ll"]
        assert one == pytest.approx(ends[0]["error"], rel=1e-5)
        assert cell["rate"] == (0 if cell["labels"] == "clean" else pytest.approx(0.37, abs=0.06))


def test_without_data_it_is_skipped_in_a_sentence(monkeypatch):
    def nothing(name):
        raise ValueError("`folder` must name the data folder that holds 'cifar10n', got None.")

    monkeypatch.setattr(human_noise, "load", nothing)
    assert fingerprints(TINY) == {"cifar10n": "missing"}
    rows = measure(TINY, units(TINY)[0], CPU)
    (verdict,) = verdicts(rows)
    assert verdict.outcome == UNTOLD
    assert verdict.effect.startswith("skipped, for `folder` must name the data folder")


def test_units_and_quick_settings(people):
    assert len(units(Settings())) == 10
    assert fingerprints(TINY) == {"cifar10n": people.fingerprint}
    assert len(units(human_noise.QUICK)) == 4


# ---- verdicts


def table(best, others, gain=0.03):
    """Parabolas whose vertex is a function of kind and share; `others` is what the flips' vertices have more."""
    rows, grid = [], (0.0, 0.4, 0.8, 1.0, 1.25)
    for kind in ("aggre", "worst"):
        for noise in ("human", "symmetric"):
            for share in (0.1, 1.0):
                for seed in range(6):
                    at = best(share) + (others if noise == "symmetric" else 0.0) + 0.02 * (seed - 2.5) + 0.002 * RNG.normal()
                    about = {"loss": "squared", "seed": seed, "labels": kind, "noise": noise, "keep_fraction": share}
                    for w in grid:
                        lost = (w - at) ** 2
                        accuracy = 0.5 - gain * lost / best(share) ** 2
                        rows.append(
                            about
                            | {
                                "teacher_weight": w,
                                "error": 0.08 + 0.02 * lost,
                                "accuracy": accuracy,
                                "validation_accuracy": accuracy,
                            }
                        )
                    P, D, V = np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([1.0, at])
                    M = moments(P, P + D, V).mean(axis=(0, 1))
                    rows.append(
                        about
                        | {f"net_noisy_{name}": m for name, m in zip(("vv", "vl", "vd", "ll", "ld", "dd"), M, strict=True)}
                    )
    return rows


def outcomes(rows):
    return [verdict.outcome for verdict in verdicts(rows)]


def test_peoples_mistakes_that_ask_for_more_teacher_and_another_weight():
    found = verdicts(table(lambda share: 1.0 if share < 1 else 0.4, others=0.15))
    assert [verdict.outcome for verdict in found] == [YES, YES, YES, YES, YES, YES]
    assert "weight -0.15 [-0.15, -0.15]" in found[1].effect


def test_weights_that_do_not_move_and_teachers_that_cost():
    same = table(lambda share: 0.5 if share < 1 else 0.9, others=0.0, gain=0.03)
    assert outcomes(same)[:3] == [NO, NO, NO]
    misled = [
        row | {"accuracy": 0.5 - 0.1 * row["teacher_weight"], "validation_accuracy": row["teacher_weight"]}
        if "teacher_weight" in row
        else row
        for row in same
    ]
    assert outcomes(misled)[3] == NO


def test_rules_that_are_off_cost_accuracy():
    rows = table(lambda share: 1.0, others=0.0, gain=0.3)
    off = [row | {"net_noisy_vd": 0.0} if "net_noisy_vd" in row else row for row in rows]
    assert outcomes(rows)[-2:] == [YES, YES]
    assert outcomes(off)[-2:] == [NO, NO]


def test_the_lowest_point_of_a_parabola_by_search():
    fine = np.linspace(0.0, 1.25, 100_001)
    for c in RNG.normal(size=(60, 3)):
        assert vertex(c, 0.0, 1.25) == pytest.approx(fine[np.argmin(np.polynomial.polynomial.polyval(fine, c))], abs=2e-5)


def test_regret_and_gain_are_read_from_the_grid():
    cells = Cells.of(table(lambda share: 1.0, others=0.0), "squared", "worst", "human")
    assert cells.students("error").shape == (2, 5, 6)
    assert (cells.gain() > 0).all()
    best = cells.students("accuracy").mean(axis=2).argmax(axis=1)
    np.testing.assert_allclose(cells.regret(np.broadcast_to(np.array(cells.weights)[best][:, None], (2, 6))), 0.0)
