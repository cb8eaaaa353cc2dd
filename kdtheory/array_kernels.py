r"""Kernels of `kdtheory.arrays`, and what its functions share: the namespace of an array, shapes, entries of a schedule."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["Array", "entries", "laplace", "namespace", "ntk", "rbf", "shaped"]

Array = Any  #: of NumPy, PyTorch, JAX, or whatever else has a namespace of the array API standard


def namespace(**arrays: Array | None) -> Any:
    """The module whose functions take these arrays; None stands for an argument left out."""
    torch, found, first = sys.modules.get("torch"), None, ""
    for name, array in arrays.items():
        if array is None:
            continue
        if torch is not None and isinstance(array, torch.Tensor):
            own = torch  # whose functions are the standard's in all that is used here, by other names for none of it
        elif hasattr(array, "__array_namespace__"):
            own = array.__array_namespace__()
        else:
            raise ValueError(f"`{name}` must be an array of NumPy, PyTorch or JAX, got {type(array).__name__}.")
        if found not in (None, own):
            raise ValueError(f"`{name}` must be an array of {found.__name__} like `{first}`, got one of {own.__name__}.")
        if "float" not in str(array.dtype):
            raise ValueError(f"`{name}` must hold floating-point numbers, got {array.dtype}.")
        found, first = own, first or name
    return found


def shaped(array: Array, name: str, shape: tuple[int | None, ...]) -> Array:
    """The array itself, once it has the shape demanded; None is free."""
    got = tuple(array.shape)
    if len(got) != len(shape) or any(want not in (None, size) for want, size in zip(shape, got, strict=True)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"`{name}` must have shape ({wanted}), got {got}.")
    return array


def entries(values: Any) -> list[Any]:
    """Numbers, or arrays without axes, of a schedule: gradients pass through them."""
    if isinstance(values, np.ndarray | np.generic):  # a NumPy number would make an array of its own kind
        values = values.tolist()
    if isinstance(values, list | tuple):
        return list(values)
    return [values[i] for i in range(values.shape[0])] if getattr(values, "ndim", 0) else [values]


def rbf(X: Array, X_train: Array | None = None, *, gamma: Array | float) -> Array:
    r"""Gaussian kernel :math:`\exp(-\gamma |x - x'|^2)`, differentiable in `gamma` and in the points.

    Parameters
    ----------
    X : (m, features) array
    X_train : (n, features) array, optional
        Left out, the result is the Gram matrix of `X`.
    gamma : float or array without axes
        Inverse squared length, positive.

    Returns
    -------
    (m, n) array

    Raises
    ------
    ValueError
        If an array has no namespace, or another one, or does not hold floating-point numbers, or shapes disagree.

    Examples
    --------
    >>> rbf(np.array([[0.0], [0.5]]), gamma=4.0).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]])
    """
    xp, squared = _squared_distances(X, X_train)
    return xp.exp(-entries(gamma)[0] * squared)


def laplace(X: Array, X_train: Array | None = None, *, gamma: Array | float) -> Array:
    r"""Laplace kernel :math:`\exp(-\gamma |x - x'|)` with the Euclidean distance; its gradient at equal points is zero.

    Parameters
    ----------
    X, X_train, gamma
        As in `rbf`; `gamma` is an inverse length.

    Returns
    -------
    (m, n) array

    Raises
    ------
    ValueError
        As in `rbf`.

    Examples
    --------
    >>> laplace(np.array([[0.0, 0.0], [3.0, 4.0]]), gamma=0.2).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]])
    """
    xp, squared = _squared_distances(X, X_train)
    return xp.exp(-entries(gamma)[0] * _root(xp, squared))


def ntk(
    X: Array,
    X_train: Array | None = None,
    *,
    depth: int,
    weight_variance: Array | float = 2.0,
    bias_variance: Array | float = 0.0,
) -> Array:
    r"""Tangent kernel of a wide ReLU network, `kdtheory.kernels.ntk`, differentiable in both variances.

    .. math::
        \Theta^{(l+1)} = \Theta^{(l)}\,\sigma_w^2\,\frac{\pi - \theta_l}{2\pi} + \Sigma^{(l+1)}, \qquad
        \Sigma^{(l+1)} = \sigma_w^2 \sqrt{qq'}\,\frac{\sin\theta_l + (\pi - \theta_l)\cos\theta_l}{2\pi} + \sigma_b^2 .

    Angles come from an arc cosine; where two points are parallel or opposite within a few roundings, the derivative is that
    of a pair that stays so.

    Parameters
    ----------
    X, X_train
        As in `rbf`.
    depth : int
        Number of hidden layers.
    weight_variance, bias_variance : float or array without axes
        :math:`\sigma_w^2 > 0` and :math:`\sigma_b^2 \ge 0`.

    Returns
    -------
    (m, n) array

    Raises
    ------
    ValueError
        As in `rbf`.

    Examples
    --------
    With weight variance 2 each layer adds one copy of the prior variance:

    >>> ntk(np.array([[3.0, 4.0]]), depth=5).round(12)
    array([[150.]])
    """
    xp, first, second, rounding = _point_sets(X, X_train)
    (w,), (b,) = entries(weight_variance), entries(bias_variance)
    sigma = w * (first @ second.mT) / first.shape[1] + b
    q, q_other = (w * xp.sum(points * points, axis=1) / first.shape[1] + b for points in (first, second))
    theta = sigma
    for _ in range(depth):
        r = _root(xp, q)[:, None] * _root(xp, q_other)
        c = sigma / xp.where(r > 0, r, 1.0)
        inside, side = xp.abs(c) < 1 - rounding, xp.sign(c)
        safe = xp.where(inside, c, 0.0)  # the arc cosine is taken where it has a derivative, and used there alone
        left = xp.where(inside, np.pi - xp.arccos(safe), (1 + side) * (np.pi / 2))  # pi - angle
        sine = xp.where(inside, xp.sqrt((1 - safe) * (1 + safe)), 0.0)
        sigma = w * r * (sine + left * xp.where(inside, safe, side)) / (2 * np.pi) + b
        theta = theta * (w * left / (2 * np.pi)) + sigma
        q, q_other = w * q / 2 + b, w * q_other / 2 + b
    return theta


def _point_sets(X: Array, X_train: Array | None) -> tuple[Any, Array, Array, float]:
    """The namespace, both sets, and the share of a scalar product that its rounding may take."""
    xp = namespace(X=X, X_train=X_train)
    features = shaped(X, "X", (None, None)).shape[1]
    second = X if X_train is None else shaped(X_train, "X_train", (None, features))
    return xp, X, second, 2 * float(xp.finfo(X.dtype).eps) * (4 + features**0.5)


def _squared_distances(X: Array, X_train: Array | None) -> tuple[Any, Array]:
    """|x - x'|^2, zero where rounding is all of it."""
    xp, first, second, rounding = _point_sets(X, X_train)
    centre = xp.mean(second, axis=0)
    first, second = first - centre, second - centre
    size = xp.sum(first * first, axis=1)[:, None] + xp.sum(second * second, axis=1)
    squared = size - 2 * (first @ second.mT)
    return xp, xp.where(squared > rounding * size, squared, 0.0)


def _root(xp: Any, squares: Array) -> Array:
    """Square root with derivative zero at zero: the root is taken where it has a derivative, and used there alone."""
    above = squares > 0
    return xp.where(above, xp.sqrt(xp.where(above, squares, 1.0)), 0.0)
