"""A stack of networks against what users would otherwise run: one network after the other, and ``torch.func.vmap``.

``python benchmarks/ensembles.py`` trains E students, each with its own teacher weight, by `empirical.ensembles.fit`, by a loop
over ``nn.Sequential`` networks of PyTorch's own layers, and by ``vmap`` of the gradient over stacked parameters, from the same
initialisation on the same minibatches by the same SGD with momentum (Adam for images). It prints milliseconds per network and
step, medians of interleaved repetitions in one process on one thread, their ratios, and how far the trained outputs are
apart. ``--device cuda`` runs them on a GPU, ``--members`` chooses the sizes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from empirical.convolutional import ConvNet
from empirical.ensembles import fit, outputs
from empirical.minibatches import Minibatches
from empirical.networks import MLP
from empirical.recipe import Recipe

POINTS, CLASSES = 1000, 10
CASES = {
    "MLP 64-128-128-10, batch 64": (
        (64,),
        lambda members, device: MLP(
            64, CLASSES, width=128, depth=2, parameterisation="standard", bias_variance=1e-9, members=members, device=device
        ),
        Recipe(steps=40, batch=64, learning_rate=0.02, schedule="constant"),
    ),
    "CNN 12/24 on 14 x 14, batch 32": (
        (1, 14, 14),
        lambda members, device: ConvNet((1, 14, 14), CLASSES, width=12, depth=2, members=members, device=device),
        Recipe(steps=40, batch=32, learning_rate=2e-3, schedule="constant", optimiser="adam"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--members", type=int, nargs="+", default=[8, 32, 128], help="networks (default: 8 32 128)")
    parser.add_argument("--repetitions", type=int, default=5, help="interleaved repetitions (default: 5)")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    for name, (shape, make, recipe) in CASES.items():
        X = rng.normal(size=(POINTS, *shape)).astype(np.float32)
        y, T = (rng.normal(size=(POINTS, CLASSES)).astype(np.float32) for _ in range(2))
        print(f"{name}: ms per network and step, median (least)", flush=True)
        for E in options.members:
            compare(E, make, recipe, X, y, T, options)


def compare(
    E: int, make: Callable, recipe: Recipe, X: np.ndarray, y: np.ndarray, T: np.ndarray, options: argparse.Namespace
) -> None:
    w = np.linspace(0, 1, E)
    contestants = {"stack": stacked, "loop": looped, "vmap": vmapped}
    spent: dict[str, list[float]] = {name: [] for name in contestants}
    said = {}
    for _ in range(options.repetitions):
        for name, train in contestants.items():
            model = make(E, options.device)
            started = time.perf_counter()
            said[name] = train(model, X, y, T, w, recipe)
            if options.device.startswith("cuda"):
                torch.cuda.synchronize()
            spent[name].append((time.perf_counter() - started) * 1e3 / E / recipe.steps)
    for name, times in spent.items():
        ratio = statistics.median(b / a for a, b in zip(spent["stack"], times, strict=True))
        apart = np.linalg.norm(said[name] - said["stack"]) / np.linalg.norm(said["stack"])
        print(
            f"  E = {E:4}  {statistics.median(times):7.3f} ({min(times):.3f})  {name}: {ratio:.2f} times the stack; outputs differ by {apart:.0e}",
            flush=True,
        )


def stacked(model: nn.Module, X: np.ndarray, y: np.ndarray, T: np.ndarray, w: np.ndarray, recipe: Recipe) -> np.ndarray:
    fit(model, X, y, teacher=T, teacher_weights=w, recipe=recipe)
    return outputs(model, X)


def plain(model: nn.Module, e: int) -> nn.Module:
    """Member e in PyTorch's own layers."""
    if isinstance(model, MLP):
        layers: list[nn.Module] = []
        for layer in model.layers():
            linear = nn.Linear(*layer.weight.shape[1:])
            linear.weight.data, linear.bias.data = layer.weight[e].detach().mT.clone(), layer.bias[e, 0].detach().clone()
            layers += [linear, nn.ReLU()]
        return nn.Sequential(*layers[:-1])
    layers = []
    for layer in model.convolutions:
        convolution = nn.Conv2d(layer.weight.shape[2], layer.weight.shape[1], 3, stride=2, padding=1)
        convolution.weight.data, convolution.bias.data = layer.weight[e].detach().clone(), layer.bias[e].detach().clone()
        layers += [convolution, nn.ReLU()]
    last = nn.Linear(*model.last.weight.shape[1:])
    last.weight.data, last.bias.data = model.last.weight[e].detach().mT.clone(), model.last.bias[e, 0].detach().clone()
    return nn.Sequential(*layers, nn.Flatten(), last)


def looped(model: nn.Module, X: np.ndarray, y: np.ndarray, T: np.ndarray, w: np.ndarray, recipe: Recipe) -> np.ndarray:
    device = next(model.parameters()).device
    points, labels, teacher = (torch.as_tensor(a, device=device) for a in (X, y, T))
    said = []
    for e in range(len(w)):
        net = plain(model, e).to(device)
        optimiser, stream = recipe.optimiser_of(list(net.parameters())), Minibatches([np.arange(len(X))], [0], recipe.batch)
        for _ in range(recipe.steps):
            index = torch.as_tensor(stream.next()[0], device=device)
            target = (1 - w[e]) * labels[index] + w[e] * teacher[index]
            loss = (net(points[index]) - target).square().sum(1).mean() / 2
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            said.append(net(points).cpu().numpy())
    return np.stack(said)


def vmapped(model: nn.Module, X: np.ndarray, y: np.ndarray, T: np.ndarray, w: np.ndarray, recipe: Recipe) -> np.ndarray:
    device = next(model.parameters()).device
    points, labels, teacher = (torch.as_tensor(a, device=device) for a in (X, y, T))
    nets = [plain(model, e).to(device) for e in range(len(w))]
    theta, _ = stack_module_state(nets)
    theta = {name: nn.Parameter(value.detach()) for name, value in theta.items()}
    base, weights = nets[0], torch.as_tensor(w, dtype=torch.float32, device=device)

    def loss(values: dict[str, Tensor], x: Tensor, labels: Tensor, teacher: Tensor, w: Tensor) -> Tensor:
        target = (1 - w) * labels + w * teacher
        return (functional_call(base, values, (x,)) - target).square().sum(1).mean() / 2

    gradient = vmap(grad(loss), in_dims=(0, None, None, None, 0))
    optimiser, stream = recipe.optimiser_of(list(theta.values())), Minibatches([np.arange(len(X))], [0], recipe.batch)
    for _ in range(recipe.steps):
        index = torch.as_tensor(stream.next()[0], device=device)
        for name, value in gradient(
            {k: v.detach() for k, v in theta.items()}, points[index], labels[index], teacher[index], weights
        ).items():
            theta[name].grad = value
        optimiser.step()
    with torch.no_grad():
        return vmap(lambda values: functional_call(base, values, (points,)))(theta).cpu().numpy()


if __name__ == "__main__":
    main()
