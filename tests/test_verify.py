"""The command line: every identity on real data, exit codes, and what a bad file is told."""

import numpy as np
import pytest

from kdtheory import kernels, rounds, verify
from kdtheory.__main__ import main
from kdtheory.problem import Problem
from kdtheory.tables import read

RNG = np.random.default_rng(0)


def small_problem(**changes):
    X = RNG.normal(size=(40, 3))
    how = {"kernel": lambda *a: kernels.rbf(*a, gamma=0.4), "ridge": 0.1, "seed": 0, "max_points": 100} | changes
    return Problem.split("small", X, np.sin(X[:, 0]) + X[:, 1], **how)


@pytest.mark.parametrize("identity", verify.IDENTITIES, ids=lambda i: i.name)
def test_every_identity_holds_and_can_fail(identity):
    problem = small_problem()
    assert identity.check(problem).holds
    wrong = verify.Identity(
        identity.name, identity.source, identity.left, lambda p: 1.001 * identity.right(p), identity.tolerance
    )
    assert not wrong.check(problem).holds


@pytest.mark.parametrize(
    ("place", "name", "mutant", "caught"),
    [
        ("rounds", "n times the ridge", lambda f: lambda s, y, *, ridge, **k: f(s, y, ridge=s.n * np.asarray(ridge), **k), 5),
        (
            "rounds",
            "weights reversed",
            lambda f: lambda s, y, *, teacher_weights, **k: f(s, y, teacher_weights=teacher_weights[::-1], **k),
            2,
        ),
        (
            "rounds",
            "weight on the labels",
            lambda f: lambda s, y, *, teacher_weights, **k: f(s, y, teacher_weights=1 - np.array(teacher_weights), **k),
            4,
        ),
        (
            "limit",
            "ridge / w",
            lambda f: lambda s, y, *, teacher_weight, **k: f(s, y, teacher_weight=1 - teacher_weight, **k),
            1,
        ),
        ("loo", "the chain's own fit", lambda f: rounds, 1),
        ("gcv", "twice", lambda f: lambda *a, **k: 2 * f(*a, **k), 1),
    ],
    ids=lambda v: v if isinstance(v, str) and " " in v else None,
)
def test_a_planted_error_is_caught(monkeypatch, place, name, mutant, caught):
    problem = small_problem()
    monkeypatch.setattr(verify, place, mutant(getattr(verify, place)))
    assert sum(not check.holds for check in verify.check(problem)) >= caught


def test_digits_table(capsys):
    assert main(["verify", "--max-points", "300"]) == 0
    out = capsys.readouterr().out
    assert f"{len(verify.IDENTITIES)} of {len(verify.IDENTITIES)} identities hold." in out
    assert "Borup & Andersen (2021)" in out
    assert max(len(line) for line in out.splitlines()) < 125


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["rbf", "laplace", "linear", "polynomial", "ntk", "nngp"])
def test_all_digits_with_every_kernel(kernel):
    assert main(["verify", "--kernel", kernel]) == 0


def test_duplicates_and_constant_targets(tmp_path):
    X = np.repeat(RNG.normal(size=(15, 2)), 3, axis=0)
    for y in (X[:, 0], np.ones(45)):
        np.savez(tmp_path / "data.npz", X=X, y=y)
        assert main(["verify", "--data", str(tmp_path / "data.npz")]) == 0


def test_points_out_of_reach_are_unresolved_not_failed(tmp_path, capsys):
    np.savez(tmp_path / "far.npz", X=np.arange(20.0)[:, None] ** 3, y=np.arange(20.0))
    assert main(["verify", "--data", str(tmp_path / "far.npz"), "--gamma", "1e9"]) == 0
    assert "unresolved" in capsys.readouterr().out


def test_no_digits_left_is_not_a_pass(capsys):
    assert main(["verify", "--max-points", "100", "--ridge", "1e-16"]) == 1
    assert "not resolved: ill-conditioned, raise --ridge" in capsys.readouterr().out


def test_csv_with_and_without_header(tmp_path):
    table = RNG.normal(size=(20, 3))
    plain, named = tmp_path / "plain.csv", tmp_path / "named.csv"
    np.savetxt(plain, table, delimiter=",")
    np.savetxt(named, table, delimiter=";", header="a;price;c", comments="")
    X, y = read(plain)
    np.testing.assert_allclose(np.column_stack([X, y]), table)
    X, y = read(named, target="price")
    np.testing.assert_allclose(y, table[:, 1])
    np.testing.assert_allclose(read(plain, target="2")[1], table[:, 1])
    assert main(["verify", "--data", str(named), "--target", "price", "--kernel", "ntk"]) == 0


BAD_FILES = {
    "text": ("a,b\n1,2\n3,red\n", "row 2, column 'b' must be a finite number, got 'red'; encode or remove it."),
    "missing": ("a,b\n1,2\n,4\n", "row 2, column 'a' must be a finite number, got nothing; encode or remove it."),
    "nan": ("a,b\n1,2\nnan,4\n", "row 2, column 'a' must be a finite number, got nothing"),
    "number in the header": ("a,2020,c\n1,2,3\n4,x,6\n", "row 2, column '2020' must be a finite number, got 'x'"),
    "no header, first cell missing": ("1,,3\n4,5,6\n", "row 1, column '2' must be a finite number, got nothing"),
    "huge": ("1,1e200\n2,2e200\n" * 6, "must have squares within floating point"),
    "ragged": ("1,2\n3\n", "row 2 must have 2 cells like the others, got 1."),
    "empty": ("", "`data` must not be empty"),
    "header only": ("a,b\n", "`data` must not be empty"),
    "one column": ("1\n2\n", "must have at least two columns"),
    "few": ("1,2\n3,4\n", "`X` must hold at least 10 points, some of them to hold out, got 2."),
    "zeros": ("1,0\n" * 12, "`y` must not be zero everywhere"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_csv_gets_one_sentence(tmp_path, capsys, name):
    text, sentence = BAD_FILES[name]
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert main(["verify", "--data", str(path)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_bad_files_and_options(tmp_path, capsys):
    np.savez(tmp_path / "other.npz", A=np.ones(3))
    np.savez(tmp_path / "scalar.npz", X=np.float64(3.0), y=np.ones(3))
    (tmp_path / "broken.npz").write_bytes(b"not an archive")
    (tmp_path / "good.csv").write_text("1,2\n3,4\n5,7\n6,8\n9,1\n" * 2)
    for arguments, sentence in [
        (["--data", "nowhere.csv"], "`data` must be an existing file, got 'nowhere.csv'."),
        (["--data", str(tmp_path / "other.npz")], "`data` must hold arrays X and y, other.npz holds A."),
        (["--data", str(tmp_path / "broken.npz")], "`data` must be an .npz file of plain arrays, broken.npz is not one."),
        (["--data", __file__], "`data` must be a .csv or .npz file"),
        (
            ["--data", str(tmp_path / "good.csv"), "--target", "age"],
            "`target` must be a column of good.csv (1, 2), got 'age'.",
        ),
        (["--ridge", "-1"], "`ridge` must be positive and finite, got -1.0."),
        (["--gamma", "0"], "`gamma` must be positive and finite, got 0.0."),
        (["--kernel", "ntk", "--depth", "-1"], "`depth` must be a whole number"),
        (["--max-points", "-3"], "`max_points` must be a whole number of at least 10, got -3."),
        (["--seed", "-1"], "`seed` must be a whole number of at least 0, got -1."),
        (["--target", "2"], "`target` must come with `data`"),
        (["--data", str(tmp_path / "scalar.npz")], "`X` must be two-dimensional, got shape ()."),
        (["--data", str(tmp_path / "scalar.npz"), "--target", "2"], "`target` must name a column of a .csv file"),
    ]:
        assert main(["verify", *arguments]) == 2
        assert sentence in capsys.readouterr().err
