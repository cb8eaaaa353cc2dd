"""The README's Python runs as printed, and what it names exists."""

import re
from pathlib import Path

import pytest

from paper_figs.__main__ import FIGURES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_code_blocks_run_in_order(capsys, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    assert round(names["w"], 2) == 0.74
    assert "teacher weight [95 %]" in capsys.readouterr().out
    assert (tmp_path / "toy_fits.png").is_file()


def test_every_figure_is_in_the_table():
    table = README.partition("## Figures, theorems, tests")[2]
    for name in FIGURES:
        assert f"`{name}`" in table, name


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:kdtheory|empirical|tests|paper_figs)/[\w/]*(?:\.\w+)?)`", README)))
)
def test_named_files_exist(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z-]+)", README)) - {"it"}))
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_links_lead_to_files():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_what_networks_said_is_what_the_verdicts_say():
    table = README.partition("## What holds, and where")[2].partition("## Conventions")[0]
    verdicts = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    assert "students are 0.01 to 0.11 of their size off" in table
    assert "squared: of a cell's mean errors" in verdicts
    assert "students are 0.01 to 0.11 of their size off the mix" in verdicts
    assert "0.05 to 0.53" in table
    assert "0.05 to 0.53 of their size off the mix" in verdicts
    assert "of 11 settings, 11 rise and 0 fall" in table
    assert "of 11 settings, 11 rise and 0 fall" in verdicts
    assert "8 of 19 settings rise and 0 fall" in table
    assert "of 19 settings, 8 rise and 0 fall" in verdicts
    for digits in ("0.2 [0.0, 0.4] points lost", "digits, cross-entropy: 0.4 [0.2, 0.6] points lost"):
        assert digits in verdicts
