"""The commands answer in one sentence; a report says what was found, how, and what was not run."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from empirical import command_line, experiments, runner, table
from empirical.__main__ import main
from empirical.revision import revision_of
from empirical.verdict import OUTCOMES, Verdict, in_words
from tests.empirical.test_runner import Settings, Squares

ROWS = [{"a": 1, "b": 0.1234567891, "seed": 1}, {"a": 2, "c": "x", "b": float("nan"), "seed": 0, "d": True}]


@pytest.fixture
def squares(tmp_path, monkeypatch):
    """The stand-in as an experiment of the command line, in an empty folder."""
    module = Squares()
    module.QUICK = Settings(widths=(1,))
    module.verdicts = lambda rows: [
        Verdict("Squares grow.", "reproduced", f"largest {rows[-1]['square']} [1, 2]", len(rows)),
        Verdict("Cubes grow.", "not testable here", "no cubes were measured", 0),
    ]
    monkeypatch.setattr(command_line, "EXPERIMENTS", ("squares",))
    monkeypatch.setitem(sys.modules, "empirical.experiments.squares", module)
    monkeypatch.chdir(tmp_path)
    return module


def said(capsys, arguments, code=0):
    assert main(arguments) == code
    return capsys.readouterr().err if code else capsys.readouterr().out


def test_run_then_report(squares, capsys):
    assert said(capsys, ["run", "squares"]) == "3 rows of 3 units in results/squares.csv\n"
    how = json.loads(Path("results/squares.json").read_text())
    assert how["units"] == {"finished": 3, "all": 3}
    assert (how["workers"], how["device"], how["revision"]) == (1, "CPU", runner.revision_of(squares))
    revision = how["revision"]
    expected = f"""
squares: Squares of widths.

1. Squares grow.
   reproduced: largest 18 [1, 2] (3 seeds)
2. Cubes grow.
   not testable here: no cubes were measured (0 seeds)

How: CPU, 0 s of measuring.
Code: revision {revision}, the present one.
"""
    assert said(capsys, ["report", "squares"]) == expected.lstrip()


def test_a_report_says_what_was_not_run_and_by_which_code(squares, capsys, monkeypatch):
    said(capsys, ["run", "squares", "--set", "widths=1,2", "--set", "name=rich"])
    squares.fingerprints = lambda settings: {"digits": "0f"}
    monkeypatch.setattr(runner, "revision_of", lambda module: "another")
    said(capsys, ["run", "squares", "--set", "widths=1,2", "--set", "name=rich", "--out", "new"])
    report = said(capsys, ["report", "squares", "--table", "new/squares.csv"])
    assert f"Code: revision another; the present code is another, {revision_of(squares)}.\n" in report
    assert "Data: digits, checksum 0f.\n" in report
    assert "Not the default: widths = [1, 2], default [1, 2, 3].\nNot the default: name = rich, default plain.\n" in report
    Path("results/squares.json").unlink()
    assert said(capsys, ["report", "squares"]).endswith("How: not recorded.\n")


def test_older_code_is_taken_on_purpose_only(squares, capsys, monkeypatch):
    said(capsys, ["run", "squares"])
    monkeypatch.setattr(runner, "revision_of", lambda module: "another")
    said(capsys, ["run", "squares", "--any-revision"])
    assert squares.measured == [1, 2, 3]
    monkeypatch.setattr("empirical.revision.revision_of", lambda module: "another")
    assert "Code: revision another and, on purpose, older: " in said(capsys, ["report", "squares"])
    assert {row["revision"] for row in table.read(Path("results/squares.csv"))} == {revision_of(squares)}


def test_quick_never_replaces_a_whole_result(squares, capsys):
    said(capsys, ["run", "squares"])
    assert said(capsys, ["run", "squares", "--quick"]) == "1 rows of 1 units in results/squares-quick.csv\n"
    assert squares.measured == [1, 2, 3]
    assert len(table.read(Path("results/squares.csv"))) == 3
    assert "largest 2 [1, 2] (1 seed)" in said(capsys, ["report", "squares", "--quick"])
    assert "Not the default: widths = [1], default [1, 2, 3]." in said(capsys, ["report", "squares", "--quick"])
    del squares.QUICK
    assert "`--quick` must be for an experiment that has quick settings" in said(capsys, ["run", "squares", "--quick"], 2)


def test_what_is_finished_can_be_had_before_the_rest(squares, capsys):
    sentence = "`--runs` must have finished units of squares, runs has none; `python -m empirical run squares` makes them"
    assert sentence in said(capsys, ["export", "squares"], 2)
    said(capsys, ["run", "squares", "--quick"])
    assert said(capsys, ["export", "squares"]) == "1 rows of 1 units in results/squares-partial.csv\n"
    assert "Not run: 2 of 3 units.\n" in said(capsys, ["report", "squares", "--table", "results/squares-partial.csv"])
    said(capsys, ["run", "squares"])
    assert "results/squares.parquet" in said(capsys, ["export", "squares", "--format", "parquet"])
    assert "largest 18.0" in said(capsys, ["report", "squares"])  # the last one written


def test_the_data_folder_is_told_to_what_is_run(squares, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("KDTHEORY_DATA", "elsewhere")
    (tmp_path / "data").mkdir()
    squares.measure = lambda settings, unit, device: [{"folder": os.environ["KDTHEORY_DATA"], "square": 1}]
    said(capsys, ["run", "squares", "--data-dir", "data"])
    assert table.read(Path("results/squares.csv"))[0]["folder"] == str(tmp_path / "data")
    assert "`--data-dir` must be a folder that is there, got 'none'" in said(
        capsys, ["run", "squares", "--data-dir", "none"], 2
    )


def test_reports_that_cannot_be_made(squares, capsys):
    cure = "`--out` must hold results of squares, results has none; `python -m empirical run squares --quick` makes them"
    assert cure in said(capsys, ["report", "squares", "--quick"], 2)
    Path("other.csv").write_text("a,b\n1,2\n")
    assert "other.csv has no column 'square'" in said(capsys, ["report", "squares", "--table", "other.csv"], 2)
    Path("other.csv").write_text("a,b\n1\n")
    assert "`other.csv` must be a table, and cannot be read" in said(capsys, ["report", "squares", "--table", "other.csv"], 2)
    del squares.verdicts
    assert "squares does not; its table is other.csv" in said(capsys, ["report", "squares", "--table", "other.csv"], 2)


def test_ctrl_c(squares, capsys):
    def stopped(settings, unit, device):
        raise KeyboardInterrupt

    squares.measure = stopped
    assert "empirical: stopped; 0 of 3 units are finished and kept" in said(capsys, ["run", "squares"], 130)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["widths=4,5"], {"widths": (4, 5)}),
        (["widths=4"], {"widths": (4,)}),
        (["widths=[4, 5]"], {"widths": (4, 5)}),
        (["scale=3"], {"scale": 3.0}),
        (["name=rich", "scale=.5"], {"name": "rich", "scale": 0.5}),
    ],
)
def test_settings_from_the_command_line(given, expected):
    assert command_line.changed(Settings(), given) == Settings(**expected)


@pytest.mark.parametrize("wrong", ["depth=3", "widths", "scale=fast", "name=3"])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="`--set` must"):
        command_line.changed(Settings(), [wrong])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "nothing"], "`NAME` must be one of"),
        (["report", "nothing"], "`NAME` must be one of"),
        (["run", "nothing", "--device", "abacus"], "`--device` must be one that PyTorch finds here, got 'abacus'"),
        (["run", "width", "--set", "networks=64"], "`--set` must keep the form of the defaults"),
        (["run", "width", "--set", "networks=()"], "`--set` must leave something to measure"),
        (["run", "width", "--out", __file__], "`--out` must be a folder"),
        (["run", "width", "--runs", __file__], "`--runs` must be a folder"),
        (["run", "nothing", "--threads", "0"], "`--threads` must be a whole number of at least 1, got 0"),
        (["run", "nothing", "--workers", "0"], "`--workers` must be a whole number of at least 1, got 0"),
        (["run", "nothing", "--backend", "dask"], "`--scheduler` must be given with `--backend dask`"),
    ],
)
def test_the_command_line_answers_in_one_sentence(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = said(capsys, arguments, 2)
    assert sentence in error
    assert error.count("\n") == 1


def test_every_experiment_says_what_it_claims_and_lists_its_settings(capsys):
    printed = said(capsys, ["list"])
    for name in experiments.EXPERIMENTS:
        module = command_line.experiment(name)
        assert f"{name}\n    {module.__doc__.partition(chr(10))[0]}\n" in printed
        fields = module.Settings.__dataclass_fields__
        assert all(f"\n        {field} = " in printed for field in fields)
        assert set(module.GRID) <= set(fields), name
        units = module.units(module.Settings())
        assert len({json.dumps(unit, sort_keys=True) for unit in units}) == len(units) > 0
        assert runner.revision_of(module)


def test_help_and_misspelt_names_load_no_pytorch():
    code = "import sys, empirical.__main__ as e; e.main(['report', 'nothing']); print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# ---- tables and verdicts


def test_the_table_and_its_settings_are_written(tmp_path):
    path = table.record("squares", Settings(), ROWS, tmp_path, device="cpu", seconds=12.3, how={"revision": "a1"})
    with path.open(newline="") as lines:
        first = {"a": "1", "b": "0.123457", "seed": "1", "c": "", "d": ""}
        assert list(csv.DictReader(lines)) == [first, {"a": "2", "b": "nan", "seed": "0", "c": "x", "d": "True"}]
    how = json.loads((tmp_path / "squares.json").read_text())
    assert how.pop("settings") == {"widths": [1, 2, 3], "scale": 2.0, "name": "plain"}
    assert set(how.pop("versions")) == {"python", "kdtheory", "torch", "numpy"}
    assert how == {"device": "CPU", "seconds": 12, "revision": "a1", "seeds": [0, 1]}


@pytest.mark.parametrize(("kind", "digits"), [("csv", 6), ("parquet", 17)])
def test_a_table_comes_back_with_its_types(tmp_path, kind, digits):
    back = table.read(table.write(tmp_path / "new" / f"table.{kind}", ROWS))
    assert str(back) == str([{**ROWS[0], "b": float(f"{ROWS[0]['b']:.{digits}g}")}, {**ROWS[1], "c": "x"}]).replace(
        "'c': 'x', 'b': nan, 'seed': 0", "'b': nan, 'seed': 0, 'c': 'x'"
    )
    mixed = table.read(table.write(tmp_path / f"mixed.{kind}", [{"width": 64}, {"width": "infinite"}]))
    assert [str(row["width"]) for row in mixed] == ["64", "infinite"]


def test_parquet_columns_have_types(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    schema = parquet.read_schema(table.write(tmp_path / "table.parquet", ROWS))
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "a": "int64", "b": "double", "seed": "int64", "c": "string", "d": "bool",
    }  # fmt: skip


def test_tables_that_cannot_be_had(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"a table must end in .csv or .parquet, got 'table.txt'"):
        table.write(Path("table.txt"), ROWS)
    (tmp_path / "bad.parquet").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"bad.parquet` must be a table, and cannot be read"):
        table.read(tmp_path / "bad.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"Parquet needs pyarrow, .*: pip install 'kdtheory\[tables\]'"):
        table.write(tmp_path / "table.parquet", ROWS)
    assert not (tmp_path / "table.parquet").exists()


def test_a_draft_that_failed_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    table.write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        table.write_whole(path, "\ud800")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_verdicts():
    with pytest.raises(ValueError, match=f"`outcome` must be one of {', '.join(OUTCOMES)}, got 'true'"):
        Verdict("A claim.", "true", "much", 1)
    with pytest.raises(ValueError, match="`seeds` must be zero or more, got -1"):
        Verdict("A claim.", "reproduced", "much", -1)
    lines = in_words([Verdict("A long claim. " * 12, "reproduced", "much " * 30, 2)] * 10).split("\n")
    assert max(map(len, lines)) <= 100
    assert all(line.startswith("   ") or line[0].isdigit() for line in lines)
