"""Command line: ``python -m empirical list | run NAME [--set NAME=VALUE] [--out DIR] [--runs DIR] [--device cuda]``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from empirical.experiments import EXPERIMENTS


def main(arguments: Sequence[str] | None = None) -> int:
    """List the experiments, or run one."""
    parser = argparse.ArgumentParser(prog="python -m empirical", description="Trains networks and writes what it measured.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the experiments, their claims and their settings")
    run = commands.add_parser("run", help="run one; what is finished is kept, so a run that was stopped goes on")
    run.add_argument("name", metavar="NAME")
    run.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting, e.g. --set widths=64,256"
    )
    run.add_argument(
        "--out", type=Path, default=Path("results"), metavar="DIR", help="for NAME.csv, NAME.json (default: results)"
    )
    run.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="for finished units (default: runs)")
    run.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    run.add_argument("--threads", type=int, default=1, help="PyTorch threads on the CPU (default: 1)")
    options = parser.parse_args(arguments)
    try:
        return _list() if options.command == "list" else _run(options)
    except (ValueError, ArithmeticError, OSError, ImportError) as error:
        print(f"empirical: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nempirical: stopped; what is finished is kept, and the same command goes on from there.", file=sys.stderr)
        return 130


def _list() -> int:
    for name in EXPERIMENTS:
        module = importlib.import_module(f"empirical.experiments.{name}")
        print(f"{name:24} {(module.__doc__ or '').partition(chr(10))[0]}\n{'':24} {module.Settings()}")
    return 0


def _run(options: argparse.Namespace) -> int:
    from empirical import runner  # noqa: PLC0415

    for name, folder in (("--out", options.out), ("--runs", options.runs)):
        blocked = next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None)
        if blocked is not None:
            raise ValueError(f"`{name}` must be a folder, {str(blocked)!r} is a file.")
    runner.require_device(options.device, options.threads)
    module = runner.experiment(options.name)
    settings = runner.changed(module.Settings(), options.set)
    rows, seconds = runner.run(module, settings, runs=options.runs, device=options.device)
    path = runner.record(options.name, settings, rows, options.out, device=options.device, seconds=seconds)
    print(f"{len(rows)} rows in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
