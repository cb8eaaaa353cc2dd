"""The cost of scoring points: GraNd in closed form against one gradient per point, and R networks at once against one by one.

``python benchmarks/scores.py`` prints process CPU times per call, medians of interleaved repetitions after one call that
warms up, and the ratio to our route. GraNd of all parameters: in closed form; ``vmap(grad)``, in blocks of points; and a Python
loop with a backward pass for each point, as the peers have it, timed on some of the points. Then one run of R stacked networks,
from which every score of training comes, against R such runs one after the other. ``--device cuda`` times the wall instead,
waiting for the device.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from empirical.convolutional import ConvNet, ResNet
from empirical.dynamics import score_run
from empirical.gradient_norms import grand
from empirical.networks import MLP
from empirical.recipe import Recipe
from empirical.stack import outputs, select

CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=1024, help="points of the dense network (default: 1024)")
    parser.add_argument("--images", type=int, default=128, help="points of the convolutional ones (default: 128)")
    parser.add_argument("--runs", type=int, nargs="+", default=[10], help="networks of a scoring run (default: 10)")
    parser.add_argument("--epochs", type=int, default=3, help="of a scoring run (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default: 1)")
    parser.add_argument("--device", default="cpu", help='"cpu" or "cuda" (default: cpu)')
    parser.add_argument("--repetitions", type=int, default=3, help="interleaved repetitions (default: 3)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.device}, PyTorch {torch.__version__}, {options.threads} thread{'s' if options.threads > 1 else ''}")
    one_pass(options)
    one_run(options)


def networks(device: str, members: int | None = None) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    how = {"members": members, "device": device}
    return {
        "MLP 784-256-256-10": (MLP(784, CLASSES, width=256, depth=2, bias_variance=0.1, **how), (784,)),
        "ConvNet, 28 x 28": (ConvNet((1, 28, 28), CLASSES, width=12, depth=2, **how), (1, 28, 28)),
        "ResNet-20, 32 x 32": (ResNet((3, 32, 32), CLASSES, depth=20, **how).eval(), (3, 32, 32)),
    }


def points(n: int, shape: tuple[int, ...], device: str) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(0)
    return torch.tensor(rng.normal(size=(n, *shape)), dtype=torch.float32, device=device), rng.integers(CLASSES, size=n)


def one_pass(options: argparse.Namespace) -> None:
    for name, (model, shape) in networks(options.device).items():
        n = options.n if len(shape) == 1 else options.images
        X, y = points(n, shape, options.device)
        labels = torch.tensor(y, device=options.device)
        some = min(n, 64)
        print(f"{name}, n = {n}: GraNd of all parameters")
        compare(
            {
                "closed form": (lambda: grand(model, X, y), 1.0),
                "vmap(grad), blocks of 64": (lambda: by_vmap(model, X, labels), 1.0),
                "a backward pass for each point": (lambda: by_loop(model, X[:some], labels[:some]), n / some),
                "outputs alone (EL2N)": (lambda: outputs(model, X), 1.0),
            },
            options,
        )
        ours, oracle = grand(model, X, y), by_vmap(model, X, labels)
        print(f"    closed form and vmap(grad) differ by {np.abs(ours / oracle - 1).max():.0e}")


def one_run(options: argparse.Namespace) -> None:
    for R in options.runs:
        stacks = networks(options.device, R)
        for name in list(stacks)[:2]:
            model, shape = stacks[name]
            n = options.n
            X, y = points(n, shape, options.device)
            recipe = Recipe(epochs=options.epochs, batch=128, learning_rate=0.01, loss="cross_entropy")
            print(f"{name}, n = {n}, {R} networks, {options.epochs} epochs: all scores of training")
            compare(
                {
                    "one stack": (lambda: score_run(model, X, y, recipe=recipe), 1.0),
                    "one network after the other": (
                        lambda: [score_run(select(model, [e]), X, y, recipe=recipe) for e in range(R)],
                        1.0,
                    ),
                },
                options,
            )


def by_vmap(model: nn.Module, X: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    theta = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(theta: dict[str, torch.Tensor], x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(functional_call(model, theta, (x[None],)), label[None])

    norms = []
    for some, labels in zip(X.split(64), y.split(64), strict=True):
        each = vmap(grad(loss), (None, 0, 0))(theta, some, labels)
        norms.append(sum(g.flatten(1).square().sum(1) for g in each.values()).sqrt())
    return torch.cat(norms).cpu().double().numpy()


def by_loop(model: nn.Module, X: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    norms = []
    for x, label in zip(X, y, strict=True):
        model.zero_grad()
        nn.functional.cross_entropy(model(x[None]), label[None]).backward()
        norms.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm().item())
    return np.array(norms)


def compare(routes: dict[str, tuple[Callable[[], object], float]], options: argparse.Namespace) -> None:
    """The first route is the one that the others are divided by; a route that did a part counts so many times over."""
    times: dict[str, list[float]] = {name: [] for name in routes}
    for repetition in range(options.repetitions + 1):
        for name, (run, times_over) in routes.items():
            spent = times_over * seconds(run, options.device)
            if repetition:
                times[name].append(spent)
    first = next(iter(routes))
    for name, spent in times.items():
        ratio = statistics.median(b / a for a, b in zip(times[first], spent, strict=True))
        print(f"  {statistics.median(spent):9.3f} s ({min(spent):.3f}, {max(spent):.3f})  {ratio:7.2f} x  {name}", flush=True)


def seconds(run: Callable[[], object], device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


if __name__ == "__main__":
    main()
