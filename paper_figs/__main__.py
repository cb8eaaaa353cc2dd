"""Command line: ``python -m paper_figs [NAME ...] [--list] [--out DIR] [--recompute [--set NAME=VALUE]]``.

Installed, it is ``kdtheory-figures`` too.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import importlib.util
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

FIGURES = (
    "one_idea",
    "toy_fits",
    "toy_filters",
    "toy_ratios",
    "toy_losses",
    "ratio_peak",
    "limit_distance",
    "digits_rbf",
    "digits_ntk",
    "digits_tuning",
    "removed_directions",
    "image_kernels",
    "jacot_kernel",
    "jacot_outputs",
    "jacot_components",
    "width_convergence",
    "wide_path",
    "output_scale",
    "lazy_to_rich",
    "sign_rule",
    "noise_weight",
    "rounds_gain",
    "proportional_asymptotics",
    "one_shot_bias",
    "one_shot_tuning",
    "published_tables",
    "pruning_phase",
    "pruned_digits",
    "pruned_fashion",
    "plan_check",
    "selection_gap",
    "hard_or_random",
    "teacher_share",
    "teacher_capacity",
    "network_weights",
    "network_rules",
    "network_scores",
    "network_gap",
    "network_capacity",
    "network_teacher_fraction",
    "network_rounds",
    "network_human_noise",
    "grid_cost",
)

SCRIPT = "kdtheory-figures"
EXAMPLES = """\
examples:
  %(prog)s --list                             what each figure shows
  %(prog)s toy_fits --out figures             figures/toy_fits.pdf, .png and .csv
  %(prog)s                                    all of them, in minutes
  %(prog)s network_weights --recompute --set seeds=2 --set data=digits   (minutes)

Drawing needs Matplotlib and scikit-learn: pip install 'kdtheory[figures]'.
--recompute trains networks and needs PyTorch, too: pip install 'kdtheory[empirical]'.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the named figures, all by default; stops at the first that fails."""
    parser = argparse.ArgumentParser(
        prog=SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m paper_figs",
        description="Draws the figures of kdtheory: PDF, PNG, and the numbers as CSV. Results of long runs come with\n"
        "the package; everything else is computed afresh.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="figures to draw (default: all of them)")
    parser.add_argument("--list", action="store_true", help="name the figures and what each one shows")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write to (default: figures; with --recompute figures_recomputed)"
    )
    parser.add_argument(
        "--recompute", action="store_true", help="train the named figures' networks anew, into DIR/recorded (needs PyTorch)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="with --recompute: change a setting of the experiment"
    )
    options = parser.parse_args(arguments)
    options.out = options.out or Path("figures_recomputed" if options.recompute else "figures")
    wrong = _wrong(options)
    if wrong:
        print(f"paper_figs: {wrong}", file=sys.stderr)
        return 2
    if options.list:
        try:
            print("\n".join(f"{name:24} {_claim(name)}" for name in FIGURES), flush=True)
        except BrokenPipeError:  # whoever reads has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    try:
        if options.recompute:
            from paper_figs.recompute import recompute  # noqa: PLC0415

            for name in options.names:
                recompute(name, options.out / "recorded", options.set)
        return _draw(options.names or FIGURES, options.out, measured=options.recompute)
    except ValueError as error:
        print(f"paper_figs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\npaper_figs: stopped; what was finished before is complete.", file=sys.stderr)
        return 130


def _wrong(options: argparse.Namespace) -> str:
    """What is wrong with the options, in a sentence."""
    unknown = [name for name in options.names if name not in FIGURES]
    if unknown:
        near = difflib.get_close_matches(unknown[0], FIGURES, 3, 0.5)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"NAME must be one of {', '.join(FIGURES)}, got {unknown[0]!r}.{meant}"
    blocked = next((path for path in (options.out, *options.out.parents) if path.exists() and not path.is_dir()), None)
    if blocked is not None:
        return f"--out must be a folder, {str(blocked)!r} is a file."
    there = next(path for path in (options.out, *options.out.absolute().parents) if path.exists())
    if not options.list and not os.access(there, os.W_OK):
        return f"--out must be a folder that can be written to, got {str(options.out)!r}."
    if (options.recompute and not options.names) or (options.set and not options.recompute):
        return "--recompute needs the NAMEs of figures, and --set needs --recompute."
    return "" if options.list else _missing(recompute=options.recompute)


def _missing(*, recompute: bool) -> str:
    """Which extra is needed, in a sentence."""
    if importlib.util.find_spec("matplotlib") is None or importlib.util.find_spec("sklearn") is None:
        return "the figures need matplotlib and scikit-learn: pip install 'kdtheory[figures]'."
    if recompute and importlib.util.find_spec("torch") is None:
        return "--recompute needs PyTorch: pip install 'kdtheory[empirical]'."
    return ""


def _draw(names: Sequence[str], folder: Path, *, measured: bool) -> int:
    for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(
            threads, "1"
        )  # many small matrices: more threads wait for each other, and on a busy machine forever
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("agg")
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it remarks on the fonts' dates

    from paper_figs.output import write  # noqa: PLC0415
    from paper_figs.style import RC  # noqa: PLC0415

    mpl.rcParams.update(RC)
    for count, name in enumerate(names, 1):
        print(f"[{count}/{len(names)}] {name:24}", end=" ", flush=True)
        start = time.perf_counter()
        try:
            figure = _figure(name)
            table = figure.compute()
            paths = write(name, table, figure.draw(table), folder)
        except (ValueError, OSError) as error:
            print("FAILED; the figures before it are complete.", flush=True)
            print(f"paper_figs: {error}", file=sys.stderr)
            return 2
        except Exception as error:
            print("FAILED; the figures before it are complete.", flush=True)
            if not measured:
                raise
            raise ValueError(
                f"{name} cannot be drawn from what these settings measured ({error!r}); its table is in {folder / 'recorded'}."
            ) from error
        print(f"{time.perf_counter() - start:5.1f} s  {', '.join(path.name for path in paths)}", flush=True)
    print(f"{len(names)} figure{'s' if len(names) > 1 else ''} in {folder.resolve()}")
    return 0


def _claim(name: str) -> str:
    """What a figure shows, read and not imported: naming the figures needs none of their packages."""
    spec = importlib.util.find_spec(f"paper_figs.{name}")
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _figure(name: str) -> ModuleType:
    return importlib.import_module(f"paper_figs.{name}")


if __name__ == "__main__":
    sys.exit(main())
