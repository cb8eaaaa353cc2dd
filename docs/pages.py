"""Pages of the site that come from the code: gallery, theorems paper by paper, interface, verdicts on real data.

They are written into docs/generated/ whenever the site is built (`make docs`); a theorem, a figure or a public name
appears by existing.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

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
    files = {**gallery(), **statements(), **unwritten(), **interface(), "verify.md": verdicts("digits", "diabetes")}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in FIGURES:
        for suffix in ("png", "pdf", "csv"):
            if not (DRAWN / f"{name}.{suffix}").is_file():
                raise FileNotFoundError(f"{name}.{suffix} is not drawn: run `make figures` first, or `make docs`, which does.")
            shutil.copy(DRAWN / f"{name}.{suffix}", folder / "gallery" / f"{name}.{suffix}")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
