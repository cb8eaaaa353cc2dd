"""The tool for practitioners: its suggestion against brute force, what it does not trust, and what it says of bad input."""

import argparse
import json
import sys
import types

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

import kdtheory as kd
from empirical import suggest
from empirical.criteria import by_squared_error, scale_free
from empirical.cross_entropy import cross_entropy_weight
from empirical.held_out import HeldOut, read_array
from empirical.intervals import Estimate
from empirical.pairs import moments
from empirical.suggest import suggest_weight
from empirical.suggestion import in_words, what_speaks_against

RNG = np.random.default_rng(0)


def classification(rng, points=600, classes=4, flip=0.0, seeds=None):
    """Outputs of two students of squared error, and their true or noisy classes."""
    y = rng.integers(classes, size=points)
    f = 0.7 * (np.eye(classes)[y] - 1 / classes) + 0.25 * rng.normal(size=(points, classes))
    many = (points, classes) if seeds is None else (seeds, points, classes)
    P_l, P_t = f + 0.3 * rng.normal(size=many), 0.7 * f + 0.15 * rng.normal(size=many)
    noisy = np.where(rng.random(points) < flip, (y + rng.integers(1, classes, size=points)) % classes, y)
    return P_l, P_t, noisy


def test_on_clean_classes_the_best_squared_error_is_suggested_and_its_gain_is_that_of_new_points():
    P_l, P_t, y = classification(RNG, seeds=3)
    found = suggest_weight(P_l, P_t, y, labels_are="clean", predictions_are="outputs")
    V = np.broadcast_to(np.eye(4)[y] - 0.25, P_l.shape)
    curve = kd.RiskCurve.from_predictions(*(a.reshape(-1, 4) for a in (P_l, P_t, V)))
    assert found.weight == pytest.approx(curve.optimal_weight)
    assert (found.points, found.seeds, found.trusted) == (600, 3, True)
    P_l, P_t, y = classification(RNG, points=40_000)
    mixed = P_l + found.weight * (P_t - P_l)
    V = np.eye(4)[y] - 0.25
    assert 1 - np.mean((mixed - V) ** 2) / np.mean((P_l - V) ** 2) in found.gain
    assert np.mean(mixed.argmax(1) == y) in found.accuracy
    assert np.mean(mixed.argmax(1) == y) - np.mean(P_l.argmax(1) == y) in found.accuracy_gain


def test_on_noisy_classes_the_scale_free_weight_is_suggested_and_is_that_of_clean_ones():
    P_l, P_t, y = classification(np.random.default_rng(5), points=5000)
    noisy = classification(np.random.default_rng(5), points=5000, flip=0.3)[2]
    clean = suggest_weight(P_l, P_t, y, labels_are="clean", predictions_are="outputs")
    found = suggest_weight(P_l, P_t, noisy, labels_are="noisy", predictions_are="outputs")
    assert found.optimum.criterion == "scale-free"
    assert clean.optimum.criterion == "squared error"
    assert found.weight == pytest.approx(clean.scale_free.weight, abs=0.05)
    assert clean.scale_free.weight in found.optimum.estimate
    assert abs(found.squared_error.weight - clean.squared_error.weight) > 0.1
    assert "not moved by that" in in_words(found)


def test_noise_in_values_of_a_regression_moves_nothing_and_has_no_accuracy():
    f = RNG.normal(size=3000)
    own, teacher = f + RNG.normal(size=3000), 0.7 * f
    found = suggest_weight(own, teacher, f + RNG.normal(size=3000), labels_are="noisy")
    assert found.optimum.criterion == "squared error"
    assert found.accuracy is None
    assert kd.optimal_teacher_weight(own, teacher, f) in found.optimum.estimate


@pytest.mark.parametrize("make", [by_squared_error, scale_free])
def test_the_weight_of_a_criterion_has_its_least_risk(make):
    P_l, P_t, y = classification(RNG, points=200)
    c = make(moments(P_l, P_t, np.eye(4)[y] - 0.25))
    risks = [float(c.risk(c.parts(np.full(200, w)).mean((0, 1)))) for w in np.linspace(0, 1, 2001)]
    assert float(c.weight(c.statistics.mean((0, 1)))) == pytest.approx(np.argmin(risks) / 2000, abs=6e-4)


def test_the_cross_entropy_weight_is_the_minimum_of_the_mixed_logits_with_the_interval_of_a_loop():
    P_l, P_t, y = classification(RNG, points=300)
    z_l, z_t = 6 * P_l, 6 * P_t

    def risk(w, i):
        return -np.mean(log_softmax((1 - w) * z_l[i] + w * z_t[i], axis=1)[np.arange(len(i)), y[i]])

    def best(i):
        return minimize_scalar(risk, bounds=(-1, 2), args=(i,), method="bounded", options={"xatol": 1e-8}).x

    found = cross_entropy_weight(z_l[None], z_t[None], y, rng=RNG)
    assert found.value == pytest.approx(best(np.arange(300)), abs=1e-4)
    drawn = [best(RNG.integers(300, size=300)) for _ in range(400)]
    np.testing.assert_allclose([found.low, found.high], np.quantile(drawn, [0.025, 0.975]), atol=0.25 * np.ptp(drawn) / 4)
    told = suggest_weight(z_l, z_t, y, labels_are="clean", predictions_are="logits", loss="cross_entropy")
    assert told.weight == pytest.approx(found.value, abs=1e-6)
    assert told.gain.value == pytest.approx(1 - risk(found.value, np.arange(300)) / risk(0, np.arange(300)), abs=0.02)


def test_logits_probabilities_and_one_hot_labels_come_to_one_scale():
    P_l, P_t, y = classification(RNG)
    told = [
        suggest_weight(4 * P_l, 4 * P_t, y, labels_are="clean", predictions_are="logits"),
        suggest_weight(softmax(4 * P_l, 1), softmax(4 * P_t, 1), np.eye(4)[y], labels_are="clean"),
    ]
    assert told[0].weight == pytest.approx(told[1].weight)
    assert told[0].accuracy.value == told[1].accuracy.value
    one, two = RNG.normal(size=(2, 300))
    yes = (one + two > 0).astype(int)
    binary = HeldOut.of(one, two, yes, predictions_are="logits")
    np.testing.assert_allclose(binary.on_labels[0, :, 1] + 0.5, 1 / (1 + np.exp(-one)))
    np.testing.assert_array_equal(binary.classes, yes)
    several = HeldOut.of(P_l, P_t, RNG.normal(size=P_l.shape), predictions_are="outputs")
    assert several.classes is None


def doubted(P_l, P_t, y, **how):
    how = {"labels_are": "clean", "predictions_are": "outputs"} | how
    return suggest_weight(P_l, P_t, y, **how)


def test_what_cannot_be_trusted_is_said_with_what_to_do():
    P_l, P_t, y = classification(RNG)
    same = doubted(P_l, P_l, y)
    assert np.isnan(same.weight)
    assert "predict the same" in same.doubts[0]
    assert "both files say the same" in same.next_step
    near = doubted(P_l, P_l + 0.01 * RNG.normal(size=P_l.shape), y)
    assert "moves the student by" in near.doubts[0]
    assert "Regularise the teacher" in near.next_step
    few = doubted(P_l[:50], P_t[:50], y[:50])
    assert "50 held-out points are fewer than 100" in few.doubts
    assert "more held-out points and more pairs" in few.next_step
    beyond = doubted(2 * P_l + 0.2, P_l + 0.2, y)
    assert beyond.weight == 1.0
    assert "lies outside [0, 1]" in beyond.doubts[0]
    assert "trained on the teacher alone" in beyond.next_step
    gone = doubted(P_l[y != 2], P_t[y != 2], y[y != 2])
    assert "1 of 4 classes have no held-out point, such as class 2" in gone.doubts
    useless = doubted(P_t, P_t + 0.3 * RNG.normal(size=P_l.shape), y)
    assert "the gain over labels only is not significant" in useless.doubts
    assert "trained on labels" in useless.next_step
    h = HeldOut.of(P_l, P_t, y, predictions_are="outputs")
    assert what_speaks_against(useless.squared_error, Estimate(0.01, -0.01, 0.03), h)[-1].endswith("not significant")
    V = np.eye(4)[y] - 0.25
    fitted = doubted(V + 0.3 * (P_l - V), V + 0.6 * (P_l - V), y)
    assert "what training data gives" in fitted.doubts[0]
    assert "no model was trained on" in fitted.next_step
    wide = doubted(P_l[:6], P_t[:6], RNG.integers(4, size=6))
    assert any("wider than 1" in doubt for doubt in wide.doubts)


def options(*words):
    parser = argparse.ArgumentParser()
    suggest.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_the_command_reads_one_file_or_three_and_prints_the_same(tmp_path, capsys):
    P_l, P_t, y = classification(RNG, points=150)
    np.savez(tmp_path / "all.npz", on_labels=P_l, on_teacher=P_t, labels=y)
    np.save(tmp_path / "own.npy", P_l)
    np.savetxt(tmp_path / "teacher.csv", P_t, delimiter=",", header="a,b,c,d", comments="", fmt="%.18g")
    np.savetxt(tmp_path / "y.csv", y, fmt="%d")
    how = ["--labels-are", "clean", "--predictions-are", "outputs"]
    three = ["--on-labels", tmp_path / "own.npy", "--on-teacher", tmp_path / "teacher.csv", "--labels", tmp_path / "y.csv"]
    assert suggest.run(options("--predictions", tmp_path / "all.npz", *how)) == 0
    first = capsys.readouterr().out
    assert suggest.run(options(*three, *how)) == 0
    assert capsys.readouterr().out == first
    for words in ("Suggested teacher weight: 0.", "[", "held-out points with clean labels", "Can it be trusted?", "Next: "):
        assert words in first
    assert max(map(len, first.splitlines())) <= 115
    assert suggest.run(options(*three, *how, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert f"{told['weight']:.2f}" in first
    np.savez(tmp_path / "same.npz", on_labels=P_l, on_teacher=P_l, labels=y)
    suggest.run(options("--predictions", tmp_path / "same.npz", *how, "--json"))
    assert json.loads(capsys.readouterr().out)["weight"] is None


def test_checkpoints_are_read_with_the_split_that_they_were_trained_on(monkeypatch, capsys):
    P_l, P_t, y = classification(RNG)
    saved = {"a.pt": P_l, "b.pt": P_t}
    asked = {}

    def split(dataset, **how):
        asked.update(how, dataset=dataset)
        return types.SimpleNamespace(X_validation=np.ones((len(y), 1, 2, 2)), y_validation=y)

    parts = {
        "checkpoints": types.SimpleNamespace(load=lambda path: path.name),
        "data": types.SimpleNamespace(load=lambda name, folder: (name, folder), split=split),
        "networks": types.SimpleNamespace(
            predict=lambda student, X: saved[student] if X.shape == (600, 1, 2, 2) else None, MLP=Exception
        ),
    }
    for name, module in parts.items():
        monkeypatch.setitem(sys.modules, f"empirical.{name}", module)
    words = ["--checkpoints", "a.pt", "b.pt", "--data", "digits", "--labels-are", "clean", "--predictions-are", "outputs"]
    with pytest.raises(ValueError, match="`--checkpoints` needs --data NAME and --sizes TRAIN VALIDATION TEST"):
        suggest.run(options(*words))
    assert suggest.run(options(*words, "--sizes", 10, 20, 30, "--split-seed", 4)) == 0
    assert asked == {"dataset": ("digits", None), "train": 10, "validation": 20, "test": 30, "seed": 4}
    assert (
        f"{suggest_weight(P_l, P_t, y, labels_are='clean', predictions_are='outputs').weight:.2f}" in capsys.readouterr().out
    )
    monkeypatch.setitem(sys.modules, "empirical.checkpoints", None)
    with pytest.raises(ValueError, match=r"`--checkpoints` needs empirical.checkpoints, which is not here; give predictions"):
        suggest.run(options(*words, "--sizes", 10, 20, 30))


Z, Y = np.zeros((5, 3)), np.zeros(5, dtype=int)
OUT = {"labels_are": "clean", "predictions_are": "outputs"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: suggest_weight(Z, Z[:4], Y, **OUT),
            r"`on_teacher` must have the shape of `on_labels`, \(5, 3\), got \(4, 3\)",
        ),
        (lambda: suggest_weight(Z, Z, Y[:4], **OUT), r"`labels` must have 5 rows like the predictions, got shape \(4,\)"),
        (lambda: suggest_weight(Z * np.nan, Z, Y, **OUT), "`on_labels` must be finite, got nan"),
        (lambda: suggest_weight(Z, Z, Y + 3, **OUT), "`labels` must be classes from 0 to 2, as many as .* columns, got 3"),
        (
            lambda: suggest_weight(Z, Z, Y + 0.5, **OUT),
            "`labels` must be whole numbers of classes, or targets of 3 columns, got 0.5",
        ),
        (
            lambda: suggest_weight(Z, Z, np.eye(5), **OUT),
            "`labels` must have 3 columns like the predictions, or be classes, got 5",
        ),
        (lambda: suggest_weight(Z, Z, Y, labels_are="clean"), '`predictions_are` must be said .* "outputs" .* or "logits"'),
        (
            lambda: suggest_weight(Z, Z, Y, labels_are="clean", predictions_are="odds"),
            "`predictions_are` must be one of outputs",
        ),
        (lambda: suggest_weight(Z, Z, Y, labels_are="clean", predictions_are="probabilities"), "do not sum to one"),
        (lambda: suggest_weight(Z, Z, Z, labels_are="clean", predictions_are="logits"), "must be classes, or one-hot rows"),
        (lambda: suggest_weight(Z, Z, Y, labels_are="x"), '`labels_are` must be "clean" or "noisy", got \'x\''),
        (lambda: suggest_weight(Z, Z, Y, **OUT, loss="hinge"), "`loss` must be one of squared, cross_entropy, got 'hinge'"),
        (lambda: suggest_weight(Z, Z, Y, **OUT, loss="cross_entropy"), '`loss` "cross_entropy" needs logits or probabilities'),
        (lambda: suggest_weight(Z[:1], Z[:1], Y[:1], **OUT), "`labels` must hold two or more points, got 1"),
        (lambda: suggest.run(options("--labels-are", "clean")), "`suggest-weight` needs one of --predictions FILE.npz"),
        (lambda: suggest.run(options("--labels-are", "clean", "--labels", "y.npy")), "needs all of .* got no --on-labels"),
        (
            lambda: suggest.run(options("--labels-are", "clean", "--predictions", "no.npz")),
            "`--predictions` must be an existing file",
        ),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_files_are_refused_in_one_sentence(tmp_path):
    np.savez(tmp_path / "two.npz", on_labels=Z, labels=Y)
    np.savez(tmp_path / "pickle.npz", on_labels=np.array([{}], dtype=object), on_teacher=Z, labels=Y)
    (tmp_path / "torn.npz").write_bytes((tmp_path / "two.npz").read_bytes()[:100])
    (tmp_path / "words.csv").write_text("a,b\n1,2\n3,x\n")
    (tmp_path / "ragged.csv").write_text("1,2\n3\n")
    (tmp_path / "odd.csv").write_bytes(b"\xff\xfe1")
    (tmp_path / "a.txt.gz").write_bytes(b"")
    (tmp_path / "empty.csv").write_text("")
    for file, words in {
        "two.npz": "`--predictions` must hold on_labels, on_teacher, labels; two.npz lacks on_teacher",
        "pickle.npz": "must be a file of plain arrays, without pickled objects; pickle.npz is not one",
        "torn.npz": "must be a file of plain arrays, without pickled objects; torn.npz is not one",
        "words.csv": "`--predictions` must be an .npz file with on_labels, on_teacher, labels, got 'words.csv'",
    }.items():
        with pytest.raises(ValueError, match=words):
            suggest.run(options("--labels-are", "clean", "--predictions", tmp_path / file))
    for file, words in {
        "words.csv": "`--on-labels` row 2 of words.csv must hold 2 numbers",
        "ragged.csv": "`--on-labels` row 2 of ragged.csv must hold 2 numbers",
        "odd.csv": "`--on-labels` must be UTF-8 text, odd.csv is not",
        "a.txt.gz": "`--on-labels` must be a .npy or .csv file, got 'a.txt.gz'",
        "empty.csv": "`on_labels` must not be empty",
    }.items():
        with pytest.raises(ValueError, match=words):
            read_array(tmp_path / file, "on_labels")
