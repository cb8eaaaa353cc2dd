"""The pages of the site: their Python runs in order, what they link to and name exists, and none is missing."""

import re
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from kdtheory import theorems
from paper_figs.__main__ import FIGURES

sys.path.append(str(Path(__file__).parents[1] / "docs"))
import gallery_pages
import interface_pages
import theorem_pages

mpl.use("agg")
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITTEN = sorted(path for path in DOCS.rglob("*.md") if "generated" not in path.parts)
ELSEWHERE = {"arrays.md", "extending.md"}  # have tests of their own
CODE = re.compile(r"```(?:python|\{code-cell\} python3)\n(?::.*\n)*(.*?)```", re.DOTALL)
RUN = [path for path in WRITTEN if CODE.search(path.read_text(encoding="utf-8")) and path.name not in ELSEWHERE]


@pytest.mark.parametrize("path", [path for path in RUN if path.parent.name != "papers"], ids=lambda path: path.stem)
def test_code_blocks_run_in_order(path, tmp_path, monkeypatch):
    text = path.read_text(encoding="utf-8")
    for package in ("sklearn", "torch", "jax"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    with mpl.rc_context():
        for block in CODE.findall(text):
            exec(compile(block, path.name, "exec"), names)
    plt.close("all")


def test_the_gallery_shows_every_figure_once():
    shown = [name for names in gallery_pages.GALLERY.values() for name in names]
    assert sorted(shown) == sorted(FIGURES)
    assert all(f":link: {name}\n" in gallery_pages.gallery()["gallery/index.md"] for name in FIGURES)


def test_a_figure_has_its_caption_its_code_and_its_theorems():
    page = gallery_pages.figure("limit_distance")
    assert "literalinclude} ../../../paper_figs/limit_distance.py" in page
    for theorem in theorems.all():
        assert (theorem_pages.anchor(theorem) in page) == (theorem.figure == "limit_distance")


def test_every_theorem_has_an_anchor_of_its_own():
    anchors = [theorem_pages.anchor(theorem) for theorem in theorems.all()]
    assert len(anchors) == len(set(anchors))
    stated = "".join(theorem_pages.statements().values())
    assert all(stated.count(f"({anchor})=") == 1 for anchor in anchors)


def test_every_public_name_has_its_place():
    interface = interface_pages.interface()
    modules = [name for names in interface_pages.INTERFACE.values() for name in names]
    assert all(f"api/{name}.md" in interface for name in modules)
    kd = __import__("kdtheory")
    for name in kd.__all__:
        full = f"kdtheory.{name}" if f"kdtheory.{name}" in modules else f"| [`kd.{name}`](#kdtheory."
        assert full in interface["api/index.md"], name
    assert ".. autofunction:: optimal_teacher_weight" in interface["api/kdtheory.weights.md"]
    assert "   :value: 0.15" in interface["api/kdtheory.weights.md"]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if re.match(r"https://arxiv\.org/abs/[\w./-]+$", target):
            continue
        generated = re.search(r"generated/(gallery/(\w+)\.(?:md|png)|notebooks/(\w+)\.ipynb|api/([\w.]+)\.md)$", target)
        if generated:
            figure, notebook, module = generated.groups()[1:]
            assert not figure or figure in (*FIGURES, "index")
            assert not notebook or (ROOT / "notebooks" / f"{notebook}.ipynb").is_file(), target
            assert not module or module == "index" or (ROOT / f"{module.replace('.', '/')}.py").is_file()
        else:
            assert (path.parent / target).resolve().exists(), target


def test_theorems_without_a_page_get_one(monkeypatch):
    assert not any("theorems/dang.md" in text or "papers/dang" in text for text in theorem_pages.unwritten().values())
    monkeypatch.setattr(theorem_pages, "ROOT", Path("nowhere"))
    assert "papers/dang.md" in theorem_pages.unwritten()
    assert "/generated/papers/dang" in theorem_pages.unwritten()["unwritten.md"]
