"""Command line: ``python -m kdtheory verify``, ``theorems`` and ``about``; installed, it is ``kdtheory`` too."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from kdtheory import __version__, kernels, theorems, verify
from kdtheory.about import about, in_words
from kdtheory.problem import EMBEDDED, NOISE_VARIANCE, Problem
from kdtheory.tables import read

SCRIPT = "kdtheory"
EXAMPLES = """\
examples:
  %(prog)s verify                    every theorem, on scikit-learn's digits
  %(prog)s verify --data table.csv   on your own data; NumPy and SciPy suffice
  %(prog)s theorems --paper mobahi   what a paper's theorems say
  %(prog)s about                     versions, for a bug report
"""
VERIFY_EXAMPLES = """\
examples:
  %(prog)s --data table.csv --target price
  %(prog)s --kernel ntk --ridge 0.5
  %(prog)s --paper dang --json

digits and diabetes come with scikit-learn; a file of your own needs NumPy and SciPy.
exit code: 0 if what was checked holds, 1 if a theorem fails or none applies,
2 if the input cannot be used
"""
THEOREMS_EXAMPLES = """\
examples:
  %(prog)s --paper mobahi
  %(prog)s --name limit
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if all is well, 1 if a theorem fails (or none holds), 2 if the input cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.carry_out(options))
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OverflowError, ImportError) as error:
        print(f"kdtheory: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nkdtheory: stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog=SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m kdtheory",
        description="Kernel-regression theory of knowledge distillation, in closed form.\n"
        "Each theorem is computed by two routes, which are compared, on your data too.",
        epilog=EXAMPLES,
        formatter_class=raw,
    )
    parser.add_argument("--version", action="version", version=f"kdtheory {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    verify = commands.add_parser(
        "verify",
        help="check the theorems on digits or on your own data",
        description="Computes both sides of every theorem, by definition and in closed form,\nand prints how far they differ.",
        epilog=VERIFY_EXAMPLES,
        formatter_class=raw,
    )
    verify.set_defaults(carry_out=_verify)
    verify.add_argument(
        "--data",
        metavar="FILE",
        default="digits",
        help="digits, diabetes, a CSV of numbers (comma, semicolon or tab; header optional) or an .npz with X and y "
        "(default: digits)",
    )
    verify.add_argument("--target", metavar="COLUMN", help="CSV column to predict, by name or number (default: the last)")
    verify.add_argument(
        "--kernel", choices=tuple(kernels.KERNELS), default="rbf", help="kernel on standardised inputs (default: rbf)"
    )
    verify.add_argument("--gamma", type=float, help="of rbf, laplace and polynomial (default: 1 / features)")
    verify.add_argument("--depth", type=int, default=3, help="hidden layers of ntk and nngp (default: 3)")
    verify.add_argument("--ridge", type=float, default=0.1, help="of K + ridge I (default: 0.1)")
    verify.add_argument(
        "--noise-variance",
        type=float,
        default=NOISE_VARIANCE,
        help="of labels scaled to a mean square of 1, for statements about the average over noise (default: 0.25)",
    )
    verify.add_argument("--max-points", type=int, default=2000, help="use a random part of larger data (default: 2000)")
    verify.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    verify.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    listing = commands.add_parser(
        "theorems",
        help="list the theorems with their statements and assumptions",
        description="Lists every theorem: its statement in LaTeX, its assumptions, and the figure\nthat draws it.",
        epilog=THEOREMS_EXAMPLES,
        formatter_class=raw,
    )
    listing.set_defaults(carry_out=_list)
    for command in (verify, listing):
        command.add_argument("--paper", default="", metavar="TEXT", help="only those of this paper (author, year or arXiv id)")
        command.add_argument("--name", default="", metavar="TEXT", help="only those with this in their name")
    report = commands.add_parser(
        "about",
        help="print versions, BLAS, threads and which optional packages are installed",
        description="Prints what is installed, for a bug report. It names no path, user or host.",
        epilog="examples:\n  %(prog)s\n  %(prog)s --json",
        formatter_class=raw,
    )
    report.add_argument("--json", action="store_true", help="print one JSON object")
    report.set_defaults(carry_out=_about)
    return parser


def _about(options: argparse.Namespace) -> int:
    facts = about()
    print(json.dumps(facts, indent=2) if options.json else in_words(facts))
    return 0


def _list(options: argparse.Namespace) -> int:
    heading = ""
    for theorem in theorems.find(options.name, paper=options.paper):
        if theorems.heading(theorem) != heading:
            heading = theorems.heading(theorem)
            print(heading)
        print(f"  {theorem.name}{' (derived here)' if theorem.derived else ''}")
        print(textwrap.indent(theorem.statement, "      "))
        for assumption in theorem.assumptions:
            print(f"      if {assumption.words}")
        if theorem.figure:
            print(f"      figure: python -m paper_figs {theorem.figure}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    embedded = EMBEDDED.get(options.data)
    if options.target and embedded:
        raise ValueError(f"`target` must come with `data` of your own: {options.data} has its target.")
    chosen = theorems.find(options.name, paper=options.paper)
    X, y = embedded() if embedded else read(options.data, target=options.target)
    kernel = kernels.named(options.kernel, gamma=options.gamma, depth=options.depth)
    problem = Problem.split(
        options.data,
        X,
        y,
        kernel=kernel,
        ridge=options.ridge,
        seed=options.seed,
        max_points=options.max_points,
        noise_variance=options.noise_variance,
    )
    results = _table(problem, chosen, options) if not options.json else list(verify.check(problem, chosen))
    checks = [result for result, _ in results]
    if options.json:
        settings = {key: value for key, value in vars(options).items() if key not in ("carry_out", "json")}
        print(verify.as_json(problem, results, settings))
    else:
        print(f"\n{verify.summary(checks)}")
    return 0 if any(c.holds for c in checks) and not any(c.fails for c in checks) else 1


def _table(problem: Problem, chosen: Sequence[theorems.Theorem], options: argparse.Namespace) -> list[verify.Timed]:
    width, spectrum = shutil.get_terminal_size((100, 24)).columns, problem.spectrum
    print(
        f"{problem.name}: {problem.n} training and {len(problem.cross)} held-out points, {problem.y.shape[1]} outputs; "
        f"{options.kernel} kernel, ridge {problem.ridge:g},\n"
        f"eigenvalues {spectrum.eigenvalues[0]:.3g} .. {spectrum.eigenvalues[-1]:.1g}, effective dimension "
        f"{spectrum.effective_dimension(problem.ridge):.1f}; averages over noise take the labels as\n"
        f"the signal (mean square 1) and noise of variance {problem.noise_variance:g}\n\n{verify.heading(width)}",
        flush=True,
    )
    results, heading, progress = [], "", sys.stderr.isatty() and sys.stdout.isatty()
    for count, theorem in enumerate(chosen, 1):
        if theorems.heading(theorem) != heading:
            heading = theorems.heading(theorem)
            print(heading[: max(width, verify.NARROWEST)], flush=True)
        if progress:
            print(f"\r  [{count}/{len(chosen)}] {theorem.name} ..."[: width - 1], end="\r", file=sys.stderr, flush=True)
        results += list(verify.check(problem, [theorem]))
        if progress:
            print("\r" + " " * (width - 1), end="\r", file=sys.stderr, flush=True)
        print(verify.row(results[-1][0], width), flush=True)
    return results


if __name__ == "__main__":
    sys.exit(main())
