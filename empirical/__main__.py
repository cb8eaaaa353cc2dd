"""Command line: ``python -m empirical list | run NAME | export NAME | report NAME | suggest-weight``.

Installed, it is ``kdtheory-empirical`` too.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from empirical import command_line
from empirical.engine import BACKENDS
from empirical.experiments import EXPERIMENTS
from empirical.table import FORMATS

SCRIPT = "kdtheory-empirical"
SUGGEST = "suggest-weight"
EXAMPLES = f"""\
examples:
  %(prog)s list                        what each experiment claims, and its size
  %(prog)s run width --quick           the settings of a few minutes
  %(prog)s report width --quick        what its table says of the claims
  %(prog)s {SUGGEST} --predictions held_out.npz --labels-are noisy

list, run, export and report need PyTorch: pip install 'kdtheory[empirical]'.
{SUGGEST} needs NumPy and SciPy, and PyTorch only for --checkpoints.
"""
LIST_EXAMPLE = "example:\n  %(prog)s"
RUN_EXAMPLES = """\
examples:
  %(prog)s width --quick
  %(prog)s weight_vs_fraction --set seeds=5 --device cuda
  %(prog)s gap --workers 8 --format parquet
"""
EXPORT_EXAMPLE = "example:\n  %(prog)s scores --out results"
REPORT_EXAMPLES = "examples:\n  %(prog)s width --quick\n  %(prog)s width --table results/width.csv"
SUGGEST_EXAMPLES = """\
examples:
  %(prog)s --predictions held_out.npz --labels-are clean
  %(prog)s --predictions held_out.npz --labels-are noisy --json

held_out.npz holds on_labels, on_teacher and labels: the predictions of the students at
teacher weights 0 and 1 on points that trained neither of them, and the labels there.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: 0 if all is well, 2 if it cannot be done, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = _parser(with_suggest=SUGGEST in arguments).parse_args(arguments)
        carry_out: Callable[[argparse.Namespace], int] = options.carry_out
        return carry_out(options)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, ArithmeticError, OSError, ImportError, MemoryError) as error:
        print(f"empirical: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        said = str(stop) or "stopped; what is finished is kept, and the same command goes on from there."
        print(f"\nempirical: {said}", file=sys.stderr)
        return 130


def _parser(*, with_suggest: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m empirical",
        description="Trains networks beside the theory of kdtheory and writes what it measured.\n"
        f"{SUGGEST} reads held-out predictions of networks of your own.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, purpose: str, examples: str) -> argparse.ArgumentParser:
        about = f"{purpose[:1].upper()}{purpose[1:]}."
        raw = argparse.RawDescriptionHelpFormatter
        return commands.add_parser(name, help=purpose, description=about, epilog=examples, formatter_class=raw)

    listed = add("list", "name the experiments, their claims and their settings", LIST_EXAMPLE)
    run = add("run", "run an experiment; what is finished is kept, so a run that was stopped goes on", RUN_EXAMPLES)
    export = add("export", "write what is finished of an experiment that is not, as NAME-partial", EXPORT_EXAMPLE)
    report = add("report", "say in plain language what an experiment's table shows of its claims", REPORT_EXAMPLES)
    suggest = add(SUGGEST, "the teacher weight for two students of your own, from held-out predictions", SUGGEST_EXAMPLES)
    for command, carry_out in (
        (listed, command_line.listed),
        (run, command_line.run),
        (export, command_line.export),
        (report, command_line.report),
    ):
        command.set_defaults(carry_out=carry_out)
    for command in (run, export, report):
        command.add_argument("name", metavar="NAME", help=f"one of {', '.join(EXPERIMENTS)}")
        command.add_argument("--quick", action="store_true", help="the settings of a few minutes; the table is NAME-quick")
        command.add_argument(
            "--out",
            type=Path,
            default=Path("results"),
            metavar="DIR",
            help="of tables and their records (default: results)",
        )
    report.add_argument("--table", type=Path, metavar="FILE", help="instead of the last one in --out")
    for command in (run, export):
        command.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting, e.g. --set widths=64,256"
        )
        command.add_argument(
            "--runs",
            type=Path,
            default=Path("runs"),
            metavar="DIR",
            help="of finished units, results.sqlite (default: runs)",
        )
        command.add_argument("--data-dir", type=Path, metavar="DIR", help="with the datasets (default: as KDTHEORY_DATA says)")
        command.add_argument("--any-revision", action="store_true", help="take units of older code too; the table says so")
        command.add_argument("--format", choices=FORMATS, default="csv", help="of the table (default: csv)")
    run.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    run.add_argument("--threads", type=int, default=1, metavar="N", help="of PyTorch on the CPU, per worker (default: 1)")
    run.add_argument("--workers", type=int, metavar="N", help="units at once (default: 1; on a cluster all that it can)")
    run.add_argument("--backend", choices=BACKENDS, default="processes", help="where workers run (default: processes)")
    run.add_argument("--scheduler", metavar="ADDRESS", help="of the Dask cluster, e.g. tcp://host:8786")
    if with_suggest:
        from empirical import suggest as tool  # noqa: PLC0415  # loaded for its own command only

        tool.add_arguments(suggest)
        suggest.set_defaults(carry_out=tool.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
