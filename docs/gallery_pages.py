"""The gallery on the site: a page per figure, with its caption, its numbers, what it shows, and its code."""

from __future__ import annotations

import ast
import html
import re
from pathlib import Path

from theorem_pages import anchor

from kdtheory import theorems
from paper_figs.__main__ import FIGURES
from paper_figs.recompute import EXPERIMENTS as MEASURED

ROOT = Path(__file__).parents[1]

GALLERY = {
    "The one idea": ("one_idea",),
    "The toy example of Borup & Andersen": (
        "toy_fits", "toy_filters", "toy_ratios", "toy_losses", "ratio_peak", "limit_distance",
    ),
    "Ridge, weight and round on images": ("digits_rbf", "digits_ntk", "digits_tuning", "removed_directions", "image_kernels"),
    "Wide networks": (
        "jacot_kernel", "jacot_outputs", "jacot_components", "width_convergence", "wide_path", "output_scale", "lazy_to_rich",
    ),
    "Which weight, and why": (
        "sign_rule", "noise_weight", "rounds_gain", "proportional_asymptotics", "one_shot_bias", "one_shot_tuning",
        "published_tables",
    ),
    "Pruned data: theory": (
        "pruning_phase", "pruned_digits", "pruned_fashion", "plan_check", "selection_gap", "hard_or_random", "teacher_share",
        "teacher_capacity",
    ),
    "Pruned data: trained networks": (
        "network_weights", "network_rules", "network_scores", "network_gap", "network_capacity", "network_teacher_fraction",
        "network_rounds", "network_human_noise",
    ),
    "Cost": ("grid_cost",),
}  # fmt: skip


def gallery() -> dict[str, str]:
    """A page per figure, and one with all of them."""
    files = {f"gallery/{name}.md": figure(name) for name in FIGURES}
    lines = [
        "# Gallery",
        "",
        f"{len(FIGURES)} figures. Each is one file with its numbers, its code, the theorems that it shows and the tests that hold it.",
        "Theory is drawn as lines, measurement as points with 95 % intervals. `python -m paper_figs NAME` draws one again.",
    ]
    for title, names in GALLERY.items():
        lines += ["", f"## {title}", "", "::::{grid} 1 2 2 3", ":gutter: 3", ":class-container: gallery", ""]
        for name in names:
            claim = docstring(name).partition("\n")[0]
            lines += [
                f":::{{grid-item-card}} {name}",
                f":img-top: {name}.png",
                f":img-alt: {_attribute(claim)}",
                f":link: {name}",
                ":link-type: doc",
                "",
                claim,
                ":::",
            ]
        lines += ["::::", "", "```{toctree}", ":hidden:", "", *(f"{name} <{name}>" for name in names), "```"]
    return files | {"gallery/index.md": "\n".join(lines) + "\n"}


def _attribute(text: str) -> str:
    return html.escape(text.replace(":", ","))


def figure(name: str) -> str:
    """One figure: picture, caption, numbers, what it shows and what holds it, how to change it, its code."""
    claim, _, caption = docstring(name).partition("\n")
    shown = [theorem for theorem in theorems.all() if theorem.figure == name]
    lines = [
        f"# {claim.rstrip('.')}",
        "",
        f"![{claim}]({name}.png)",
        "",
        "```{eval-rst}",
        _fields(_linked(caption.strip(), name)),
        "```",
        "",
    ]
    lines += [
        f"{{download}}`the figure as PDF <{name}.pdf>` · {{download}}`its numbers as CSV <{name}.csv>`",
        "",
        "Draw it:",
        "",
    ]
    again = [f"python -m paper_figs {name}"]
    again += [f"python -m paper_figs {name} --recompute   # trains its networks again"] if name in MEASURED else []
    lines += ["```bash", *again, "```", ""]
    if shown:
        lines += ["Theorems that it shows:", "", *(f"- [](#{anchor(theorem)})" for theorem in shown), ""]
    if name in MEASURED:
        questions = ", ".join(f"`empirical/experiments/{question}.py`" for question in MEASURED[name])
        lines += [f"Measured by {questions}; what came out of every claim: [verdicts](/verdicts.md).", ""]
    lines += [f"Held by {', '.join(f'`{test}`' for test in tests_of(name))}.", ""]
    lines += [
        "## Code",
        "",
        f"```{{literalinclude}} ../../../paper_figs/{name}.py",
        ":language: python",
        f":lines: {_after_docstring(name)}-",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _after_docstring(name: str) -> int:
    """The line where the code begins: the docstring is the caption."""
    return 1 + (ast.parse((ROOT / "paper_figs" / f"{name}.py").read_text(encoding="utf-8")).body[0].end_lineno or 0)


def _linked(caption: str, name: str) -> str:
    """A caption with links to the other figures that it names."""
    others = "|".join(sorted(set(FIGURES) - {name}, key=len, reverse=True))
    return re.sub(rf"(?<![\w`:./])(?:``)?\b({others})\b(?:``)?(?![\w`]|\.\w)", r":doc:`\1 <\1>`", caption)


def _fields(caption: str) -> str:
    """A caption whose sentences Varied, Tuned, Seeds and Sizes are a list."""
    told, blank, rest = caption.partition("\n\n")
    marked = re.sub(r"^(\w+): ", r":\1: ", told, flags=re.MULTILINE)
    return re.sub(r"^(?!:\w+: )", "    ", marked, flags=re.MULTILINE) + blank + rest


def tests_of(name: str) -> list[str]:
    """The files of tests that name a figure, or the one that draws every figure."""
    tests = sorted((ROOT / "tests").glob("test_figures*.py"))
    naming = [f"tests/{path.name}" for path in tests if re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))]
    return naming or ["tests/test_figures.py"]


def docstring(name: str) -> str:
    """A figure's docstring, read without importing it: its first line is the claim, the rest the caption."""
    return ast.get_docstring(ast.parse((ROOT / "paper_figs" / f"{name}.py").read_text(encoding="utf-8"))) or ""
