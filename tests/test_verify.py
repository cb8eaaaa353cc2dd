"""The command line: theorems on real data, exit codes, JSON, filters, and what a bad file is told."""

import json

import numpy as np
import pytest

from kdtheory import kernels, rounds, theorems, verify
from kdtheory.__main__ import main
from kdtheory.problem import Problem
from kdtheory.tables import read

RNG = np.random.default_rng(0)
QUICK = ["--paper", "borup"]


@pytest.fixture
def digits():
    """The data of `verify` unless others are named."""
    pytest.importorskip("sklearn")


def small_problem(**changes):
    X = RNG.normal(size=(40, 3))
    how = {"kernel": lambda *a: kernels.rbf(*a, gamma=0.4), "ridge": 0.1, "seed": 0, "max_points": 100} | changes
    return Problem.split("small", X, np.sin(X[:, 0]) + X[:, 1], **how)


@pytest.mark.usefixtures("digits")
def test_the_table_on_digits(capsys):
    assert main(["verify", "--max-points", "300"]) == 0
    out = capsys.readouterr().out
    count = len(theorems.all())
    assert f"{count} of {count} theorems hold." in out
    assert all(str(theorem.source) in out for theorem in theorems.all())


@pytest.mark.usefixtures("digits")
def test_the_table_on_a_regression_set(capsys):
    assert main(["verify", "--data", "diabetes", "--kernel", "linear", "--ridge", "1"]) == 0
    assert "diabetes: 310 training and 132 held-out points, 1 outputs" in capsys.readouterr().out


@pytest.mark.usefixtures("digits")
@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_table_fits_the_terminal(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["verify", "--max-points", "40", "--kernel", "linear", *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("  theorem"))
    assert max(len(line) for line in lines[start:]) <= max(width, verify.NARROWEST)


@pytest.mark.usefixtures("digits")
def test_json_says_everything_the_table_says(capsys):
    assert main(["verify", "--max-points", "40", "--json", *QUICK]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in result["checks"]] == [t.name for t in theorems.find(paper="borup")]
    assert all(check["verdict"] == "holds" and check["error"] <= check["tolerance"] for check in result["checks"])
    assert result["problem"]["training_points"] == 28
    assert result["settings"]["kernel"] == "rbf"


@pytest.mark.usefixtures("digits")
def test_filters_by_paper_and_name(capsys):
    assert main(["verify", "--max-points", "40", "--paper", "2102.13088", "--name", "limit"]) == 0
    out = capsys.readouterr().out
    assert "the limit is ridge / (1 - w)" in out
    assert "Mobahi" not in out
    assert main(["verify", "--paper", "nobody"]) == 2
    assert "No theorem has `paper` containing 'nobody'; the papers are mobahi, " in capsys.readouterr().err
    assert main(["theorems", "--paper", "mobahi"]) == 0
    out = capsys.readouterr().out
    assert "arXiv:2002.05715" in out
    assert "if the kernel can fit the labels within the tolerance" in out


@pytest.mark.usefixtures("digits")
def test_a_law_that_fails_is_named(capsys, monkeypatch):
    def wrong(s, y, *, ridge, **how):
        return rounds(s, y, ridge=s.n * np.asarray(ridge), **how)

    monkeypatch.setattr(theorems.borup_andersen, "rounds", wrong)
    assert main(["verify", "--max-points", "40", *QUICK]) == 1
    out = capsys.readouterr().out
    assert "any schedule is a function of the initial fit [Borup & Andersen (2021)]: FAILS" in out
    assert "by definition" in out


@pytest.mark.usefixtures("digits")
def test_a_broken_assumption_is_said_and_not_passed(capsys):
    arguments = ["verify", "--max-points", "40", "--noise-variance", "0", "--name", "white features"]
    assert main(arguments) == 1  # nothing holds
    out = capsys.readouterr().out
    assert "not applicable: the labels have no noise" in out
    assert "0 of 1 theorems hold; 1 do not apply to these data." in out


@pytest.mark.usefixtures("digits")
@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["rbf", "laplace", "linear", "polynomial", "ntk", "nngp"])
def test_all_digits_with_every_kernel(kernel):
    assert main(["verify", "--kernel", kernel]) == 0


def test_duplicates_and_constant_targets(tmp_path):
    X = np.repeat(RNG.normal(size=(15, 2)), 3, axis=0)
    for y in (X[:, 0], np.ones(45)):
        np.savez(tmp_path / "data.npz", X=X, y=y)
        assert main(["verify", "--data", str(tmp_path / "data.npz")]) == 0


def test_points_out_of_reach_get_a_reason(tmp_path, capsys):
    np.savez(tmp_path / "far.npz", X=np.arange(20.0)[:, None] ** 3, y=np.arange(20.0))
    assert main(["verify", "--data", str(tmp_path / "far.npz"), "--gamma", "1e9"]) == 0
    printed = " ".join(capsys.readouterr().out.split())  # in lines as wide as the terminal
    assert "teacher and labels give the same held-out predictions" in printed


@pytest.mark.usefixtures("digits")
def test_no_digits_left_is_not_a_pass(capsys):
    assert main(["verify", "--max-points", "100", "--ridge", "1e-16", "--name", "schedule"]) == 1
    assert "not resolved: too ill-conditioned at this ridge" in capsys.readouterr().out


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


@pytest.mark.usefixtures("digits")
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
        (["--noise-variance", "-1"], "`noise_variance` must be zero or positive and finite, got -1.0."),
        (["--seed", "-1"], "`seed` must be a whole number of at least 0, got -1."),
        (["--target", "2"], "`target` must come with `data` of your own: digits has its target."),
        (["--data", str(tmp_path / "scalar.npz")], "`X` must be two-dimensional, got shape ()."),
        (["--data", str(tmp_path / "scalar.npz"), "--target", "2"], "`target` must name a column of a .csv file"),
    ]:
        assert main(["verify", *arguments]) == 2
        assert sentence in capsys.readouterr().err
