"""The empirical tangent kernel by layers, against the Jacobian in PyTorch and against neural-tangents (where it is installed).

``python benchmarks/empirical_ntk.py`` prints process CPU times per call, medians of interleaved repetitions after one call
that compiles. All compute every pair of outputs, (n, n, p, p), of one and the same ReLU network. The layers are in float64
whatever the network's precision; the Jacobians are in the network's, and only `empirical_ntk` multiplies them in float64.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.func import functional_call, jacrev, vmap

from empirical.networks import MLP
from empirical.ntk import empirical_ntk, relative_change


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=200, help="points (default: 200)")
    parser.add_argument("--outputs", type=int, default=1, help="outputs (default: 1)")
    parser.add_argument("--width", type=int, default=512, help="width of three hidden layers (default: 512)")
    parser.add_argument("--double", action="store_true", help="a float64 network (default: float32)")
    parser.add_argument("--repetitions", type=int, default=3, help="interleaved repetitions (default: 3)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dtype = torch.float64 if options.double else torch.float32
    model = MLP(784, options.outputs, width=options.width, depth=3, dtype=dtype)
    X = np.random.default_rng(0).normal(size=(options.n, 784))
    parameters = sum(theta.numel() for theta in model.parameters())
    print(
        f"784-{'-'.join([str(options.width)] * 3)}-{options.outputs}, {parameters} parameters, n = {options.n}, {dtype}, one thread"
    )
    routes = {
        "empirical_ntk, layers": lambda: empirical_ntk(model, X, method="layers"),
        "empirical_ntk, jacobian in blocks": lambda: empirical_ntk(model, X, method="jacobian"),
        "vmap(jacrev), the whole Jacobian": lambda: whole_jacobian(model, X),
    }
    compare(routes | neural_tangents_routes(model, X), options.repetitions)


def whole_jacobian(model: MLP, X: np.ndarray) -> np.ndarray:
    theta = {name: parameter.detach() for name, parameter in model.named_parameters()}
    points = torch.tensor(X, dtype=model.weights[0].dtype)
    J = vmap(jacrev(lambda theta, x: functional_call(model, theta, (x[None],))[0]), (None, 0))(theta, points)
    return sum(torch.einsum("iop,jqp->ijoq", j.flatten(2), j.flatten(2)) for j in J.values()).numpy()


def neural_tangents_routes(model: MLP, X: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Its two general methods; `NTK_VECTOR_PRODUCTS` is the better one for one output."""
    try:
        import jax

        from kdtheory._neural_tangents import double_precision, neural_tangents

        nt = neural_tangents()
    except (ImportError, RuntimeError) as error:
        print(f"  neural-tangents is left out: {error}")
        return {}
    layers = [(layer.weight.detach().numpy(), layer.weight_scale) for layer in model.layers()]

    def network(weights, x):
        for i, (W, (_, scale)) in enumerate(zip(weights, layers, strict=True)):
            x = scale * (x if i == 0 else jax.nn.relu(x)) @ W
        return x

    def route(implementation):
        kernel = nt.empirical_ntk_fn(network, trace_axes=(), vmap_axes=0, implementation=implementation)
        compiled = jax.jit(lambda x, weights: kernel(x, None, weights))

        def run():
            with double_precision():
                dtype = layers[0][0].dtype
                return np.asarray(compiled(X.astype(dtype), [W for W, _ in layers]))

        return run

    methods = nt.NtkImplementation
    return {
        "neural-tangents, NTK_VECTOR_PRODUCTS": route(methods.NTK_VECTOR_PRODUCTS),
        "neural-tangents, JACOBIAN_CONTRACTION": route(methods.JACOBIAN_CONTRACTION),
    }


def compare(routes: dict[str, Callable[[], np.ndarray]], repetitions: int) -> None:
    """The first route is the one that the others are divided by; a short one is repeated until half a second is spent."""
    results, calls, times = {}, {}, {name: [] for name in routes}
    for name, run in routes.items():
        results[name] = run()
        calls[name] = max(1, round(0.5 / seconds(run, 1)))
    for _ in range(repetitions):
        for name, run in routes.items():
            times[name].append(seconds(run, calls[name]))
    first = next(iter(routes))
    for name, spent in times.items():
        ratio = statistics.median(b / a for a, b in zip(times[first], spent, strict=True))
        gap = relative_change(results[name].reshape(1, -1), results[first].reshape(1, -1))
        print(
            f"  {statistics.median(spent):9.3f} s ({min(spent):.3f}, {max(spent):.3f})  {ratio:7.1f} x  {name} (differs by {gap:.0e})"
        )


def seconds(run: Callable[[], np.ndarray], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - start) / calls


if __name__ == "__main__":
    main()
