"""Flips are exact; splits are disjoint, in proportion and see training rows alone; what people labelled stays aligned."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest

from empirical.data import Dataset, load, split
from empirical.label_noise import as_classes, class_labels, flip, human_labels, one_hot, stratified

Y = np.random.default_rng(0).integers(0, 7, 5000)
TABLE = np.random.default_rng(1).normal(size=(60, 3))


@pytest.mark.parametrize("kind", ["symmetric", "class_dependent"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 1 / 3, 0.9999, 1.0])
def test_flips_are_exact_and_to_another_class(kind, rate):
    noisy = flip(Y, 7, rate=rate, seed=3, kind=kind)
    assert (noisy != Y).sum() == round(rate * len(Y))
    assert noisy.dtype == np.int64
    assert noisy.min() >= 0
    assert noisy.max() <= 6
    if kind == "class_dependent":
        np.testing.assert_array_equal(noisy[noisy != Y], (Y[noisy != Y] + 1) % 7)


def test_symmetric_flips_go_everywhere_alike():
    """Every ordered pair of classes within five standard deviations of its binomial mean."""
    y = np.repeat(np.arange(4), 30_000)
    noisy = flip(y, 4, rate=0.3, seed=0)
    counts = np.array([[np.sum((y == a) & (noisy == b)) for b in range(4)] for a in range(4)])
    off = counts[~np.eye(4, dtype=bool)]
    assert np.abs(off - 3000).max() < 5 * np.sqrt(30_000 * 0.1 * 0.9)


def test_flips_shrink_the_mean_target():
    """E[one-hot - 1/C] keeps the share 1 - rate C/(C - 1), so 0 at rate (C - 1)/C."""
    y = np.repeat(np.arange(5), 20_000)
    for rate in (0.2, 0.8):
        mean = one_hot(flip(y, 5, rate=rate, seed=1), 5).reshape(5, 20_000, 5).mean(axis=1)
        np.testing.assert_allclose(mean, (1 - rate * 5 / 4) * one_hot(np.arange(5), 5), atol=0.015)


def test_flips_follow_the_seed_and_are_nested_in_the_rate():
    low, high = flip(Y, 7, rate=0.2, seed=5), flip(Y, 7, rate=0.4, seed=5)
    np.testing.assert_array_equal(low, flip(Y, 7, rate=0.2, seed=5))
    assert (low != flip(Y, 7, rate=0.2, seed=6)).any()
    np.testing.assert_array_equal(low[low != Y], high[low != Y])


def test_a_transition_chooses_rows_and_classes():
    """Classes 0 and 1 stay; 2 goes to 0 or 1 as 3 : 1; 3 flips half as readily as 2, always to 2."""
    T = np.array([[1, 0, 0, 0], [0, 2, 0, 0], [0.75, 0.25, 0, 0], [0, 0, 0.5, 0.5]])
    y = np.repeat(np.arange(4), 10_000)
    noisy = flip(y, 4, rate=0.05, seed=0, kind="class_dependent", transition=T)
    assert (noisy != y).sum() == 2000
    counts = np.array([[np.sum((y == a) & (noisy == b) & (a != b)) for b in range(4)] for a in range(4)])
    assert counts[:2].sum() == 0
    assert counts[2, 3] == counts[3, 0] == counts[3, 1] == 0
    assert counts[2, 0] / counts[2].sum() == pytest.approx(0.75, abs=0.05)
    assert counts[2].sum() / 2000 == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.5}, "`rate` must lie between 0 and 1, got 1.5."),
        ({"rate": float("nan")}, "`rate` must lie between 0 and 1, got nan."),
        ({"kind": "odd"}, "`kind` must be 'symmetric' or 'class_dependent', got 'odd'."),
        ({"seed": -1}, "`seed` must be a whole number of at least 0, got -1."),
        ({"transition": np.eye(2)}, "`transition` must be left out where `kind` is 'symmetric'"),
        (
            {"kind": "class_dependent", "transition": np.eye(2)},
            "`rate` asks for 2 flips, but `transition` lets only 0 rows flip.",
        ),
        ({"kind": "class_dependent", "transition": [[1, 0], [0, 0]]}, "`transition` must hold probabilities"),
        ({"kind": "class_dependent", "transition": [[2, -1], [0, 1]]}, "`transition` must hold probabilities"),
        ({"kind": "class_dependent", "transition": np.eye(3)}, r"`transition` must have shape \(2, 2\), got \(3, 3\)."),
        ({"classes": 1}, "`classes` must be a whole number of at least 2, got 1."),
    ],
)
def test_flip_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        flip([0, 1, 0, 1], **({"classes": 2, "rate": 0.5, "seed": 0} | arguments))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 3], "`y` must hold whole numbers from 0 to 2, got 3."),
        ([0, -1], "from 0 to 2, got -1."),
        ([0.5], "from 0 to 2, got 0.5."),
        ([float("nan")], "from 0 to 2, got nan."),
        ([[0, 1]], r"`y` must hold one label for every row, got shape \(1, 2\)."),
        ([], "`y` must hold one label for every row"),
    ],
)
def test_labels_outside_the_classes_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        one_hot(y, 3)
    with pytest.raises(ValueError, match=message):
        class_labels(y, 3)


def test_one_hot_is_the_identity_less_its_mean():
    np.testing.assert_allclose(one_hot(np.arange(6), 6), np.eye(6) - 1 / 6, atol=1e-7)
    assert one_hot([0], 2).dtype == np.float32


def test_labels_become_classes_in_sorted_order():
    y, count = as_classes(np.array([30, 10, 10, 30]), np.array([30, 10, 10, 30]), 100, "f")
    assert (y.tolist(), count) == ([1, 0, 0, 1], 2)
    values, count = as_classes(np.arange(10), np.arange(10), 100, "f")  # every one another: a regression
    assert (values.dtype, count) == (np.float64, None)
    with pytest.raises(ValueError, match="`f` must have labels of two classes or more, got 1 alone"):
        as_classes(np.ones(4, dtype=int), np.ones(4, dtype=int), 100, "f")
    with pytest.raises(ValueError, match="`f` must have only labels that its training part has, got 7"):
        as_classes(np.array([7]), np.array([1, 2, 1, 2]), 100, "f")


def test_draws_are_disjoint_exact_and_in_proportion():
    rng = np.random.default_rng(1)
    y = rng.choice(5, size=997, p=[0.5, 0.3, 0.1, 0.07, 0.03])
    counts = np.bincount(y)
    draws = stratified(y, [203, 101, 307], np.random.default_rng(2))
    assert [len(rows) for rows in draws] == [203, 101, 307]
    assert len(set(np.concatenate(draws).tolist())) == 611
    for rows in draws:
        assert np.abs(np.bincount(y[rows], minlength=5) - len(rows) * counts / 997).max() < 1
    quota = 203 * counts / 997  # by hand: the floors, and one more for the largest remainders
    share = np.floor(quota).astype(int)
    share[np.argsort(share - quota)[: 203 - share.sum()]] += 1
    np.testing.assert_array_equal(np.bincount(y[draws[0]], minlength=5), share)


def test_a_rare_class_keeps_a_training_row():
    y = np.array([0] * 50 + [1])
    for seed in range(20):
        test, train = stratified(y, [40, 11], np.random.default_rng(seed))
        assert 50 in train
        assert 50 not in test
        assert 50 in stratified(y, [45, 2], np.random.default_rng(seed))[1]


def test_an_earlier_draw_does_not_depend_on_a_later_size():
    first = [stratified(Y, [100, size], np.random.default_rng(4))[0] for size in (50, 900)]
    np.testing.assert_array_equal(*first)


def test_draws_take_every_row_when_asked():
    rows = np.concatenate(stratified(Y, [1000, 1500, 2500], np.random.default_rng(0)))
    np.testing.assert_array_equal(np.sort(rows), np.arange(5000))


def small(n=200, official=True, classes=5):
    rng = np.random.default_rng(1)
    X, y = rng.random((n, 4), dtype=np.float32) + 3, (np.arange(n) % classes if classes else rng.normal(7, 2, n))
    rest = (rng.random((50, 4), dtype=np.float32) + 100, y[:50]) if official else (None, None)
    return Dataset("small", X, y, *rest, classes)


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("classes", [5, None])
def test_split_takes_no_row_twice_and_follows_the_seed(official, classes):
    data = small(official=official, classes=classes)
    parts = [split(data, train=90, validation=41, test=37, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(parts[0].X, parts[1].X)
    assert (parts[0].rows != parts[2].rows).any()
    one = parts[0]
    drawn = [one.rows, one.rows_validation, *([] if official else [one.rows_test])]
    assert len(set(np.concatenate(drawn).tolist())) == sum(map(len, drawn))
    assert [len(one.y), len(one.y_validation), len(one.y_test)] == [90, 41, 37]
    source = data.X_test if official else data.X
    scale = float((one.X_test[0] - one.X_test[1]).std() / (source[one.rows_test[0]] - source[one.rows_test[1]]).std())
    np.testing.assert_allclose(np.diff(one.X_test, axis=0), scale * np.diff(source[one.rows_test], axis=0), atol=2e-4)
    if classes:
        np.testing.assert_array_equal(one.y_test, (data.y_test if official else data.y)[one.rows_test])
        assert np.ptp(np.bincount(one.y_validation)) <= 1
        assert np.bincount(one.y).tolist() == [18] * 5


def test_only_the_training_rows_are_looked_at():
    """Other values in every other row change neither the training inputs nor, where they are the same, the others."""
    data = small(official=False)
    before = split(data, train=60, validation=40, test=50, seed=2)
    X = data.X.copy()
    X[np.setdiff1d(np.arange(200), before.rows)] += 50
    after = split(Dataset("small", X, data.y, None, None, 5), train=60, validation=40, test=50, seed=2)
    np.testing.assert_array_equal(after.X, before.X)
    scale = 1 / data.X[before.rows].astype(float).std(axis=0)
    pooled = np.sqrt(((data.X[before.rows] - data.X[before.rows].astype(float).mean(axis=0)) ** 2).mean())
    np.testing.assert_allclose(after.X_test - before.X_test, 50 / pooled, rtol=1e-4)
    each = split(data, train=60, validation=40, test=50, seed=2, each_column=True)
    np.testing.assert_allclose(each.X, (data.X[before.rows] - data.X[before.rows].mean(axis=0)) * scale, atol=1e-5)
    np.testing.assert_allclose(before.X, (data.X[before.rows] - data.X[before.rows].mean(axis=0)) / pooled, atol=1e-5)


def test_regression_values_are_standardised_by_the_training_rows():
    data = small(official=False, classes=None)
    parts = split(data, train=90, validation=40, test=30, seed=0)
    mean, deviation = data.y[parts.rows].mean(), data.y[parts.rows].std()
    np.testing.assert_allclose(parts.y_test * deviation + mean, data.y[parts.rows_test])
    assert abs(parts.y.mean()) < 1e-12
    assert parts.y.std() == pytest.approx(1)


def test_test_rows_do_not_depend_on_the_training_size():
    pytest.importorskip("sklearn")  # the digits
    few, many = (split(load("digits"), train=n, validation=100, test=300, seed=0) for n in (50, 1000))
    np.testing.assert_array_equal(few.rows_test, many.rows_test)
    np.testing.assert_array_equal(few.rows_validation, many.rows_validation)


def test_split_says_what_is_available():
    tabled, flat = small(official=True), Dataset("flat", np.ones((20, 2), np.float32), np.arange(20) % 2, None, None, 2)
    for data, sizes, message in [
        (tabled, (150, 60, 10), "`train` . `validation` must be at most 200, the rows of small, got 210."),
        (
            small(official=False),
            (150, 40, 20),
            "`train` . `validation` . `test` must be at most 200, the rows of small, got 210.",
        ),
        (tabled, (50, 10, 51), "`test` must be at most 50, the official test rows of small, got 51."),
        (tabled, (4, 0, 0), "`train` must be at least 5, a row for every class, got 4."),
        (tabled, (0.5, 0, 0), "`train` must be a whole number of at least 1, got 0.5."),
        (flat, (10, 5, 5), "`dataset` must have training inputs that differ, got 10 equal rows of flat."),
        (Dataset("c", TABLE, TABLE[:, 0] * 0, None, None, None), (9, 9, 9), "`dataset` must have training values that differ"),
    ]:
        with pytest.raises(ValueError, match=message):
            split(data, train=sizes[0], validation=sizes[1], test=sizes[2], seed=0)


TRUE = np.random.default_rng(7).integers(0, 10, 40)
WRITTEN = {"clean_label": TRUE, "aggre_label": (TRUE + 1) % 10, "worse_label": (TRUE + 2) % 10, "random_label1": TRUE,
             "random_label2": TRUE, "random_label3": (TRUE + 3) % 10}  # fmt: skip


def write_human(folder, form):
    if form == "npz":
        arrays = {
            key.replace("worse", "worst").replace("_label", ""): value.astype(np.uint8) for key, value in WRITTEN.items()
        }
        np.savez(folder / "cifar10n_human_labels.npz", **arrays)
    elif form == "npy":
        np.save(folder / "CIFAR-10_human.npy", WRITTEN, allow_pickle=True)
    else:
        with zipfile.ZipFile(folder / "CIFAR-10_human.pt", "w") as archive:
            archive.writestr("CIFAR-10_human/data.pkl", pickle.dumps(WRITTEN, protocol=2))
            archive.writestr("CIFAR-10_human/version", "3\n")


@pytest.mark.parametrize("form", ["npz", "npy", "pt"])
def test_human_labels_align_with_an_extract(tmp_path, form):
    (tmp_path / "labels").mkdir()
    write_human(tmp_path / "labels", form)
    rows = np.array([5, 39, 0])
    labels = human_labels(tmp_path, TRUE[rows], rows)
    assert set(labels) == {"aggre", "worst", "random1", "random2", "random3"}
    np.testing.assert_array_equal(labels["worst"], (TRUE[rows] + 2) % 10)
    np.testing.assert_array_equal(labels["random3"], (TRUE[rows] + 3) % 10)


def test_human_labels_of_other_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'cifar10n' needs one of cifar10n_human_labels"):
        human_labels(tmp_path, TRUE, np.arange(40))
    write_human(tmp_path, "npz")
    with pytest.raises(ValueError, match="must have the labels of these images, got 40 rows of others"):
        human_labels(tmp_path, TRUE[::-1], np.arange(40))
    with pytest.raises(ValueError, match="must have the labels of these images"):
        human_labels(tmp_path, TRUE[:1], np.array([40]))


def test_a_pickled_trap_among_human_labels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", "unsprung")
    trap = type("Trap", (), {"__reduce__": lambda self: (exec, ("import os; os.environ['TRAP'] = 'sprung'",))})
    file = io.BytesIO()
    np.save(file, np.array({"clean_label": trap()}, dtype=object), allow_pickle=True)
    (tmp_path / "CIFAR-10_human.npy").write_bytes(file.getvalue())
    with pytest.raises(ValueError, match=r"asks for builtins.exec; nothing of it was run"):
        human_labels(tmp_path, TRUE, np.arange(40))
    import os

    assert os.environ["TRAP"] == "unsprung"
