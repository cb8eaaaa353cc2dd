"""Pages of the site that come from the code: gallery, theorems paper by paper, interface, verdicts on real data.

They are written into docs/generated/ whenever the site is built (`make docs`); a theorem, a figure or a public name
appears by existing.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import yaml
from gallery_pages import gallery
from interface_pages import interface
from theorem_pages import statements, unwritten, verdicts

from paper_figs.__main__ import FIGURES

ROOT = Path(__file__).parents[1]
DRAWN = Path(os.environ.get("KDTHEORY_FIGURES", ROOT / "figures"))


def write(source: Path) -> None:
    """Every generated page, below ``source``/generated."""
    folder = source / "generated"
    shutil.rmtree(folder, ignore_errors=True)
    files = {
        **gallery(),
        **statements(),
        **unwritten(),
        **interface(),
        "verify.md": verdicts("digits", "diabetes"),
        "cite.md": bibtex(),
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in FIGURES:
        for suffix in ("png", "pdf", "csv"):
            if not (DRAWN / f"{name}.{suffix}").is_file():
                raise FileNotFoundError(f"{name}.{suffix} is not drawn: run `make figures` first, or `make docs`, which does.")
            shutil.copy(DRAWN / f"{name}.{suffix}", folder / "gallery" / f"{name}.{suffix}")
    (folder / "notebooks").mkdir()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        (folder / "notebooks" / path.name).write_text(linked(path.read_text(encoding="utf-8")), encoding="utf-8")
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        (folder / name.lower()).write_text(linked((ROOT / name).read_text(encoding="utf-8")), encoding="utf-8")


def bibtex() -> str:
    """The citation file as BibTeX."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    fields = {
        "title": f"{{{cited['title']}}}",
        "author": f"{{{cited['authors'][0]['name']}}}",
        "note": f"Version {cited['version']}",
    }
    entries = [_entry("software", "kdtheory", fields)]
    for paper in cited["references"]:
        names = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
        arxiv = paper["identifiers"][0]["value"].removeprefix("arXiv:")
        key = f"{paper['authors'][0]['family-names'].lower()}{paper['year']}"
        fields = {"title": f"{{{paper['title']}}}", "author": names, "year": str(paper["year"]), "eprint": arxiv}
        entries.append(_entry("misc", key, fields | {"archivePrefix": "arXiv"}))
    return "\n".join(["```bibtex", *entries, "```"]) + "\n"


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    return "\n".join([f"@{kind}{{{key},", *(f"  {name} = {{{value}}}," for name, value in fields.items()), "}"])


def linked(text: str) -> str:
    """A text for the repository, its `docs/NAME.md` as links to the site's pages."""
    text = text.replace("`docs/theorems.md`", "[the papers' pages](/papers/index.md)")
    return re.sub(r"`docs/(\w+)\.md`", r"[\1](/\1.md)", text)


def prune(built: Path) -> None:
    """Takes links out of pages of source code that lead to names which no page shows under that name."""
    for page in (built / "_modules").rglob("*.html"):
        text = page.read_text(encoding="utf-8")

        def back(found: re.Match[str], page: Path = page) -> str:
            target, _, name = found[1].partition("#")
            return found[0] if f'id="{name}"' in (page.parent / target).read_text(encoding="utf-8") else ""

        page.write_text(re.sub(r'<a class="viewcode-back" href="([^"]*)">\[docs\]</a>', back, text), encoding="utf-8")
