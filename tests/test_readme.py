"""The README's Python runs as printed, and what it names exists."""

import re
from pathlib import Path

import pytest

from paper_figs import toy_losses
from paper_figs.__main__ import FIGURES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_code_blocks_run_in_order(capsys, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    assert round(names["w"], 2) == 0.74
    assert capsys.readouterr().out.strip()


def test_every_figure_is_in_the_table():
    table = README.partition("## Figures, theorems, tests")[2]
    for name in FIGURES:
        assert f"`{name}`" in table, name


def test_published_numbers_are_those_of_the_figure():
    table = toy_losses.compute()
    assert table["agrees_to_five_digits"].all()
    rows = re.findall(r"^\| ([\d.]+) \| \w+ ((?:\| \.\d{5} ){7})\| the same \|$", README, re.MULTILINE)
    printed = [float(value) for _, row in rows for value in re.findall(r"\.\d{5}", row)]
    assert printed == table["published"].tolist()
    assert [float(weight) for weight, _ in rows] == list(dict.fromkeys(table["teacher_weight"].tolist()))


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:kdtheory|empirical|tests|paper_figs)/[\w/]*(?:\.\w+)?)`", README)))
)
def test_named_files_exist(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z-]+)", README)) - {"it"}))
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
