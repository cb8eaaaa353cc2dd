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
