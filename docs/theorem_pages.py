"""The theorems on the site: those of a module for the page of its paper, and their verdicts on real data."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from kdtheory import theorems
from kdtheory.theorems import Theorem

ROOT = Path(__file__).parents[1]


def anchor(theorem: Theorem) -> str:
    """The label of a theorem on its paper's page."""
    return "theorem-" + re.sub(r"[^a-z0-9]+", "-", theorem.name.lower()).strip("-")


def statements() -> dict[str, str]:
    """The theorems of a module, to be included by the page of their paper."""
    return {f"theorems/{_name(module)}.md": _statements(module) for module in theorems.PAPERS}


def unwritten() -> dict[str, str]:
    """A page for every module of theorems that no page of docs/papers tells of, and what lists them there."""
    told = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "papers").glob("*.md"))
    modules = [module for module in theorems.PAPERS if f"generated/theorems/{_name(module)}.md" not in told]
    files = {}
    for module in modules:
        title, _, text = (module.__doc__ or "").strip().partition("\n\n")
        files[f"papers/{_name(module)}.md"] = f"# {title.rstrip('.')}\n\n{text}\n\n## Theorems\n\n{_statements(module)}"
    listed = ["```{toctree}", *(f"/generated/papers/{_name(module)}" for module in modules), "```"] if modules else []
    return files | {"unwritten.md": "\n".join(listed) + "\n"}


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _statements(module: ModuleType) -> str:
    name = _name(module)
    lines = []
    for theorem in module.THEOREMS:
        lines += [f"({anchor(theorem)})=", f"### {theorem.name[:1].upper()}{theorem.name[1:]}", ""]
        lines += ["```{math}", theorem.statement.replace("$", "").strip(), "```", ""]
        conditions = "; ".join(assumption.words for assumption in theorem.assumptions)
        origin = f"Derived here, about an object of {theorem.source}." if theorem.derived else f"{theorem.source.reference}."
        figure = f" Figure: [{theorem.figure}](/generated/gallery/{theorem.figure}.md)." if theorem.figure else ""
        lines += [f"{origin}{f' Holds if {conditions}.' if conditions else ''}{figure}", ""]
    lines += [f"Stated in `kdtheory/theorems/{name}.py`, each by two routes; held by `tests/theorems/test_{name}.py`:", ""]
    lines += ["```bash", f"python -m kdtheory verify --paper {name}", "```"]
    return "\n".join(lines) + "\n"


def verdicts(*datasets: str) -> str:
    """Every theorem on real data, computed while the site is built."""
    told = {data: _verified(data) for data in datasets}
    rows = ["| theorem | " + " | ".join(f"error on {data} | limit" for data in datasets) + " |"]
    rows += ["|---|" + "--:|--:|" * len(datasets)]
    for theorem in theorems.all():
        cells = []
        for data in datasets:
            check = told[data]["checks"][theorem.name]
            cells += _cells(check)
        rows.append(f"| [{theorem.name}](#{anchor(theorem)}) | {' | '.join(cells)} |")
    lines = []
    for data in datasets:
        checks, about = told[data]["checks"].values(), told[data]["problem"]
        holding = sum(check["verdict"] == "holds" for check in checks)
        failing = sum(check["verdict"] == "FAILS" for check in checks)
        worst = max(check["error"] / check["tolerance"] for check in checks if check["error"] is not None)
        lines += [
            f"**{data}** ({about['training_points']} training and {about['held_out_points']} held-out points): "
            f"{holding} of {len(checks)} hold, {failing} fail, {len(checks) - holding - failing} without a verdict; "
            f"the largest error is {worst:.0%} of its limit.",
            "",
        ]
    return "\n".join([*lines, *rows]) + "\n"


def _cells(check: dict) -> list[str]:
    if check["error"] is None:
        return ["no verdict", ""]
    error = "not violated" if check["relation"] == "<=" and check["error"] == 0 else f"{check['error']:.0e}"
    return [error if check["error"] or check["relation"] == "<=" else "none", f"{check['tolerance']:.0e}"]


def _verified(data: str) -> dict:
    command = [sys.executable, "-m", "kdtheory", "verify", "--data", data, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise RuntimeError(f"python -m kdtheory verify --data {data} failed: {done.stderr}")
    told = json.loads(done.stdout)
    return told | {"checks": {check["name"]: check for check in told["checks"]}}
