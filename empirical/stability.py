r"""The largest stable step: :math:`2/\lambda_{\max}`, from the tangent kernel of the network as it is."""

from __future__ import annotations

from empirical import extra
from empirical.networks import trained

with extra():
    import torch
    from torch import Tensor, nn
    from torch.func import functional_call, jvp, vjp

__all__ = ["largest_rate"]

POINTS, ITERATIONS = 256, 30


def largest_rate(model: nn.Module, X: Tensor, *, curvature: float = 1.0) -> Tensor:
    r"""Largest stable learning rate of gradient descent on a mean loss, :math:`2 / (c\,\lambda_{\max}(K/m))`, of every member.

    The eigenvalue of the tangent kernel K between m points (at most 256 of those given) and outputs comes from power
    iteration with products by the Jacobian. Minibatches, momentum and a kernel that grows in training ask for less.

    Parameters
    ----------
    model : nn.Module
        A stack of E members.
    X : (n, ...) or (E, n, ...) tensor
        On the model's device.
    curvature : float
        c, of the loss by the output: 1 of half a square, at most 1/2 of the cross-entropy.

    Returns
    -------
    (E,) tensor

    Examples
    --------
    A linear model's kernel is that of its inputs:

    >>> from empirical.networks import MLP
    >>> line = MLP(2, width=1, depth=0, weight_variance=2.0, members=1)
    >>> largest_rate(line, torch.tensor([[3.0, 0.0], [0.0, 1.0]]))  # eigenvalues of K / 2: 9/2 and 1/2
    tensor([0.4444])
    """
    model.eval()
    points = X[:POINTS] if X.ndim in (2, 4) else X[:, :POINTS]
    theta = {name: parameter.detach() for name, parameter in trained(model).items()}

    def f(values: dict[str, Tensor]) -> Tensor:
        result: Tensor = functional_call(model, values, (points,))
        return result

    start, pullback, *_ = vjp(f, theta)
    v: Tensor = torch.randn(start.shape, generator=torch.Generator().manual_seed(0)).to(start)
    size = v.new_ones(len(v))
    for _ in range(ITERATIONS):
        v = v / size[:, None, None]
        _, v, *_ = jvp(f, (theta,), pullback(v))
        size = v.flatten(1).norm(dim=1).clamp_min(torch.finfo(v.dtype).tiny)
    limit: Tensor = 2 * v.shape[1] / (curvature * size)
    return limit
