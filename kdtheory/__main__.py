"""Command line: ``python -m kdtheory verify``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kdtheory import kernels
from kdtheory.problem import Problem, digits
from kdtheory.tables import read
from kdtheory.verify import IDENTITIES, check


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if all is well, 1 if an identity fails, 2 if the input cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        return _verify(options)
    except (ValueError, OverflowError, ImportError) as error:
        print(f"kdtheory: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kdtheory", description="Kernel-regression theory of knowledge distillation."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    verify = commands.add_parser(
        "verify",
        help="check the theory's identities on digits or on your own data",
        description="Computes every identity by two routes, linear solves and closed form, and prints how far they differ.",
    )
    verify.add_argument(
        "--data",
        metavar="FILE",
        help="CSV of numbers (comma, semicolon or tab; header optional) or .npz with X and y (default: digits)",
    )
    verify.add_argument("--target", metavar="COLUMN", help="CSV column to predict, by name or number (default: the last)")
    verify.add_argument(
        "--kernel", choices=tuple(kernels.KERNELS), default="rbf", help="kernel on standardised inputs (default: rbf)"
    )
    verify.add_argument("--gamma", type=float, help="of rbf, laplace and polynomial (default: 1 / features)")
    verify.add_argument("--depth", type=int, default=3, help="hidden layers of ntk and nngp (default: 3)")
    verify.add_argument("--ridge", type=float, default=0.1, help="of K + ridge I (default: 0.1)")
    verify.add_argument("--max-points", type=int, default=2000, help="use a random part of larger data (default: 2000)")
    verify.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    return parser


def _verify(options: argparse.Namespace) -> int:
    if options.target and not options.data:
        raise ValueError("`target` must come with `data`: the digits have their own.")
    X, y = read(options.data, target=options.target) if options.data else digits()
    kernel = kernels.named(options.kernel, gamma=options.gamma, depth=options.depth)
    name = options.data or "digits"
    problem = Problem.split(name, X, y, kernel=kernel, ridge=options.ridge, seed=options.seed, max_points=options.max_points)
    spectrum = problem.spectrum
    print(
        f"{name}: {len(problem.y)} training and {len(problem.y_new)} held-out of {len(X)} points, "
        f"{X.shape[1]} features, {problem.y.shape[1]} outputs; {options.kernel} kernel, ridge {problem.ridge:g},\n"
        f"eigenvalues {spectrum.eigenvalues[0]:.3g} .. {spectrum.eigenvalues[-1]:.1g}, "
        f"effective dimension {spectrum.effective_dimension(problem.ridge):.1f}\n"
    )
    width = max(len(identity.name) for identity in IDENTITIES)
    header = f"{'identity':{width}}  {'source':28}  {'error':>7}  {'limit':>7}  verdict"
    print(f"{header}\n{'-' * len(header)}", flush=True)
    results = []
    for result in check(problem):
        results.append(result)
        verdict = "holds" if result.holds else "FAILS" if result.resolved else "not resolved: ill-conditioned, raise --ridge"
        numbers = f"{result.error:7.0e}  {result.tolerance:7.0e}"
        print(f"{result.name:{width}}  {result.source:28}  {numbers}  {verdict}", flush=True)
    holding = sum(result.holds for result in results)
    unresolved = sum(not result.resolved for result in results)
    note = f"; rounding leaves {unresolved} unresolved" if unresolved else ""
    print(f"\n{holding} of {len(results)} identities hold{note}.")
    return 0 if holding and holding + unresolved == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
