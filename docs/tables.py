"""Writes what comes from the code: docs/theorems.md, verdicts.md, paper_numbers.md, the README's tables and its picture.

``python docs/tables.py`` rewrites them, ``--check`` only says whether they are current. A theorem, or a figure, appears by
existing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))  # this checkout, whatever is installed

import matplotlib as mpl
import numpy as np
import paper_numbers
from gallery_pages import docstring, tests_of

from empirical.command_line import experiment
from empirical.experiments import EXPERIMENTS
from empirical.table import read
from kdtheory import theorems
from kdtheory.theorems import Theorem
from paper_figs import one_idea
from paper_figs.__main__ import FIGURES
from paper_figs.output import write
from paper_figs.recompute import EXPERIMENTS as FIGURES_OF
from paper_figs.recompute import RECORDS
from paper_figs.regression_data import DATA, recorded
from paper_figs.style import RC

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "one_idea.png"
MARK, END = "<!-- {}: written by docs/tables.py -->", "<!-- end of {} -->"


def _module(theorem: Theorem) -> str:
    return theorems.home(theorem).__name__.rpartition(".")[2]


def figures() -> str:
    """One row per figure: its claim, the theorems that name it, the tests that hold both."""
    rows = ["| figure | what it shows | theorems | tests |", "|---|---|---|---|"]
    for name in FIGURES:
        shown = [theorem for theorem in theorems.all() if theorem.figure == name]
        tests = [f"tests/theorems/test_{module}.py" for module in dict.fromkeys(map(_module, shown))]
        files = ", ".join(f"`{test}`" for test in [*tests, *tests_of(name)])
        claim = docstring(name).partition("\n")[0]
        rows.append(f"| `{name}` | {claim} | {'; '.join(theorem.name for theorem in shown)} | {files} |")
    return "\n".join(rows)


def document() -> str:
    """Every theorem, paper by paper."""
    lines = [
        "# Theorems",
        "",
        f"{len(theorems.all())} statements. Of an identity one side is the definition (solves, refits, dense traces, simulation), the",
        "other the closed form of the package; some inequalities compare values of one function. `python -m kdtheory verify` checks them on data, `python -m kdtheory theorems` prints them,",
        "and the tests hold each on random problems of any conditioning. A star marks what was derived in kdtheory about an object of",
        "that paper. Written by `python docs/tables.py`.",
        "",
        "Letters: $K = U\\,\\mathrm{diag}(d)\\,U^\\top$ is the kernel matrix, $d_1 \\ge d_2 \\ge \\dots$; $\\lambda$ the ridge; "
        "$A = S = K(K + \\lambda I)^{-1}$",
        "and $M = (K + \\lambda I)^{-1}$; $a = h = d/(d + \\lambda)$ and $u = 1 - a$; $w_t$ the weight on the teacher in round $t$; "
        "$b_t(d)$ what round $t$",
        "keeps of an eigendirection; $z = U^\\top y$ the labels and $\\theta = U^\\top f$ the signal in the eigenbasis; $\\sigma^2$ "
        "the noise variance of a label;",
        "$R$ a risk, $D$ the mean squared distance of the two students; tildes mark held-out points; in the limits of many points $e$ and "
        "$v$ are a",
        "population's eigenvalues and signal, $\\kappa$ its implicit ridge, $\\zeta = \\kappa/(e + \\kappa)$, "
        "$\\Omega = \\tfrac1n\\sum(1 - \\zeta)^2$, $G = (\\Sigma + \\kappa I)^{-1}$, $p$ and $k$ its directions and features,",
        "$z = \\sum e/(e + \\gamma)$, $q = \\sum (e/(e + \\gamma))^2$; $J$ the Taylor coefficients of $R(\\lambda_1, \\lambda_2)$ "
        "along the ridge path and $c$ those of",
        "the chain; $H_t$ the smoother of round $t$ and $c_t$ its dual coefficients; $P_l$ and $P_t$ the predictions of students "
        "on labels and on the teacher.",
    ]
    for module in theorems.PAPERS:
        name = module.__name__.rpartition(".")[2]
        paragraphs = (module.__doc__ or "").strip().split("\n\n")
        lines += ["", f"## {paragraphs[0].rstrip('.')}", ""]
        lines += [paragraphs[1].replace("\n", " "), ""] if len(paragraphs) > 1 else []
        lines += [f"Stated in `kdtheory/theorems/{name}.py`, held by `tests/theorems/test_{name}.py`.", ""]
        lines += ["| theorem | source | statement | holds if | figure |", "|---|---|---|---|---|"]
        for theorem in module.THEOREMS:
            statement = theorem.statement.replace(r"\|", r"\Vert ").replace("|", r"\vert ")  # a bar would end the cell
            statement = statement.replace("$", "").strip()
            conditions = "; ".join(assumption.words for assumption in theorem.assumptions)
            figure = f"`{theorem.figure}`" if theorem.figure else ""
            star = " *" if theorem.derived else ""
            lines.append(f"| {theorem.name}{star} | {theorem.source.reference} | $`{statement}`$ | {conditions} | {figure} |")
    return "\n".join(lines) + "\n"


def verdicts() -> str:
    """What the recorded experiments say of their claims, as ``python -m empirical report`` prints it."""
    lines = [
        "# What trained networks say",
        "",
        "Every experiment of `python -m empirical list` with its claims and what its recorded table says of them: reproduced, not",
        "reproduced (the interval excludes the claim), or not testable here (it does not decide). Intervals are 95 %, over seeds.",
        "`python -m empirical report NAME --table paper_figs/data/TABLE` prints the same; `run NAME` measures it again.",
        "Written by `python docs/tables.py` from the tables alone.",
    ]
    outcomes = ("reproduced", "not reproduced", "not testable here")
    judged = {name: experiment(name).verdicts(read(DATA / f"{RECORDS.get(name, name)}.csv")) for name in EXPERIMENTS}
    lines += ["", f"| experiment | claims | {' | '.join(outcomes)} |", f"|---|{'--:|' * (1 + len(outcomes))}"]
    everything = [verdict for found in judged.values() for verdict in found]
    for name, found in (*judged.items(), ("**all**", everything)):
        counts = (len(found), *(sum(verdict.outcome == outcome for verdict in found) for outcome in outcomes))
        shown = name if name.startswith("*") else f"[{name}](#{name})"
        lines.append(f"| {shown} | {' | '.join(str(count or '') for count in counts)} |")
    for name in EXPERIMENTS:
        module, table = experiment(name), RECORDS.get(name, name)
        how = json.loads((DATA / f"{table}.json").read_text(encoding="utf-8"))
        lines += ["", f"## {name}", "", (module.__doc__ or "").partition("\n")[0], ""]
        lines += ["| claim | outcome | effect | seeds |", "|---|---|---|---|"]
        for verdict in judged[name]:
            cells = (verdict.claim, f"**{verdict.outcome}**", verdict.effect, str(verdict.seeds))
            lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
        figures = [f"`{figure}`" for figure, shown in FIGURES_OF.items() if name in shown]
        spent = f", {how['seconds'] / 60:.0f} minutes of one core" if "seconds" in how else ""
        older = f", and older: {', '.join(how['other_revisions'])}" if "other_revisions" in how else ""
        units = how.get("units", {"finished": 0, "all": 0})
        left = (
            f"; {units['all'] - units['finished']} of {units['all']} units not run" if units["finished"] < units["all"] else ""
        )
        made = f"{how['device']}{spent}, code revision {how.get('revision', 'not recorded')}{older}{left}"
        lines += ["", f"Recorded in `paper_figs/data/{table}.csv` ({made}); figures: {', '.join(figures) or 'none'}."]
    return "\n".join(lines) + "\n"


def picture_is_current() -> bool:
    """Whether the README's picture has the numbers that its figure has now."""
    if not (PICTURE.is_file() and PICTURE.with_suffix(".csv").is_file()):
        return False
    kept, now = recorded(str(PICTURE.with_suffix(".csv"))), one_idea.compute()
    return list(kept) == list(now) and all(_same(kept[name], now[name]) for name in now)


def _same(kept: np.ndarray, now: np.ndarray) -> bool:
    if now.dtype.kind not in "fiu":
        return kept.astype(str).tolist() == now.astype(str).tolist()
    return len(kept) == len(now) and np.allclose(kept.astype(float), now, rtol=1e-6, atol=1e-9, equal_nan=True)


def draw_picture() -> None:
    """The README's picture, and its numbers beside it."""
    mpl.use("agg")
    with mpl.rc_context(RC), tempfile.TemporaryDirectory() as folder:
        table = one_idea.compute()
        write(PICTURE.stem, table, one_idea.draw(table), Path(folder))
        PICTURE.parent.mkdir(exist_ok=True)
        for suffix in (".csv", ".png"):
            shutil.copy(Path(folder, PICTURE.name).with_suffix(suffix), PICTURE.with_suffix(suffix))


def readme(text: str) -> str:
    """The README with fresh tables between their marks."""
    for name, text_of in (("figures", figures), ("summary", paper_numbers.summary), ("numbers", paper_numbers.table)):
        before, mark, rest = text.partition(MARK.format(name))
        _, end, after = rest.partition(END.format(name))
        text = f"{before}{mark}\n{text_of()}\n{end}{after}" if end else text
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a table is out of date")
    check = parser.parse_args().check
    stale = 0
    for path, wanted in (
        (ROOT / "docs" / "theorems.md", document()),
        (ROOT / "docs" / "verdicts.md", verdicts()),
        (ROOT / "docs" / "paper_numbers.md", paper_numbers.page()),
        (ROOT / "README.md", readme((ROOT / "README.md").read_text(encoding="utf-8"))),
    ):
        if path.is_file() and path.read_text(encoding="utf-8") == wanted:
            continue
        stale += 1
        if check:
            print(f"{path.relative_to(ROOT)} is out of date: run python docs/tables.py")
        else:
            path.write_text(wanted, encoding="utf-8")
            print(f"{path.relative_to(ROOT)} written")
    if not picture_is_current():
        stale += 1
        if check:
            print(f"{PICTURE.relative_to(ROOT)} is out of date: run python docs/tables.py")
        else:
            draw_picture()
            print(f"{PICTURE.relative_to(ROOT)} drawn")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
