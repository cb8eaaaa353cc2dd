"""Command line: ``python -m empirical list | run NAME | export NAME | report NAME | suggest-weight``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from empirical import command_line
from empirical.engine import BACKENDS
from empirical.table import FORMATS

SUGGEST = "suggest-weight"


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
    parser = argparse.ArgumentParser(prog="python -m empirical", description="Trains networks and writes what it measured.")
    commands = parser.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="name the experiments, their claims and their settings")
    run = commands.add_parser("run", help="run one; what is finished is kept, so a run that was stopped goes on")
    export = commands.add_parser("export", help="write what is finished of one that is not, as NAME-partial")
    report = commands.add_parser("report", help="say in plain language what a table shows of the claims")
    suggest = commands.add_parser(SUGGEST, help="the teacher weight for two students of your own, from held-out predictions")
    for command, carry_out in (
        (listed, command_line.listed),
        (run, command_line.run),
        (export, command_line.export),
        (report, command_line.report),
    ):
        command.set_defaults(carry_out=carry_out)
    for command in (run, export, report):
        command.add_argument("name", metavar="NAME")
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
