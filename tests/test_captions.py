"""Captions: every figure's docstring says in the same words what was varied, tuned and seeded, and how large; it renders."""

import importlib
import io
import re

import pytest

from paper_figs.__main__ import FIGURES

SENTENCES = ["Varied", "Tuned", "Seeds", "Sizes"]


def caption(name):
    return importlib.import_module(f"paper_figs.{name}").__doc__


@pytest.mark.parametrize("name", FIGURES)
def test_the_first_line_is_a_statement_that_fits_a_table(name):
    first = caption(name).partition("\n")[0]
    assert 0 < len(first) <= 150
    assert "|" not in first
    assert first.endswith(".")


@pytest.mark.parametrize("name", FIGURES)
def test_varied_tuned_seeds_and_sizes_are_told_in_this_order(name):
    text = caption(name)
    assert re.findall(r"^(Varied|Tuned|Seeds|Sizes): \S", text, flags=re.MULTILINE) == SENTENCES
    assert text.split("\n\n")[1].startswith("Varied: ")  # they are the second paragraph, ahead of everything else


@pytest.mark.parametrize("name", FIGURES)
def test_it_is_clean_markup(name):
    core, nodes = pytest.importorskip("docutils.core"), pytest.importorskip("docutils.nodes")
    complaints = io.StringIO()
    settings = {"warning_stream": complaints, "report_level": 1}
    tree = core.publish_doctree(caption(name), settings_overrides=settings)
    assert complaints.getvalue() == ""
    single = [node.astext() for node in tree.findall(nodes.title_reference)]
    assert not single, "single backticks"
