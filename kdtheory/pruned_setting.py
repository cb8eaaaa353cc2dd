r"""What every function about pruned students is given: a kernel, a signal, a teacher, and where the error counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdtheory.checks import Array, column_shape, matrix, outputs, positive
from kdtheory.kept import random_orders, rows_kept
from kdtheory.pruned_students import Teacher, checked_gram

__all__ = ["Setting", "given", "orders_of"]


class Setting(NamedTuple):
    """Kernel (n, n), signal or labels (n, p), the kernel (m, n) and the signal (m, p) where the error counts, the teacher."""

    gram: Array
    signal: Array
    cross: Array | None
    signal_new: Array
    teacher: Teacher


def given(
    gram: ArrayLike,
    signal: ArrayLike,
    *,
    ridge: float,
    ridge_convention: str,
    teacher: Teacher | None = None,
    cross: ArrayLike | None = None,
    signal_new: ArrayLike | None = None,
    name: str = "signal",
) -> Setting:
    """The border: without a teacher one sees all rows; without new points the error is that at all rows."""
    K = checked_gram(gram)
    f = column_shape(outputs(signal, name, length=len(K)))
    level = positive(ridge, "ridge", zero=True)
    if teacher is None:
        teacher = Teacher.ridge(K, ridge=level, ridge_convention=ridge_convention)
    if not isinstance(teacher, Teacher):
        raise ValueError(
            f"`teacher` must be a Teacher, got {type(teacher).__name__}; make one by Teacher.ridge, linear or fixed."
        )
    if teacher.n != len(K):
        raise ValueError(f"`teacher` must predict at all {len(K)} rows of `gram`, got {teacher.n}.")
    if (cross is None) != (signal_new is None):
        raise ValueError(
            "`cross` and `signal_new` must be given together: the kernel of new points with all rows, and f there."
        )
    if cross is None or signal_new is None:
        return Setting(K, f, None, f, teacher)
    k = matrix(cross, "cross", shape=(None, len(K)))
    f_new = column_shape(outputs(signal_new, "signal_new", length=len(k)))
    if f_new.shape[1] != f.shape[1]:
        raise ValueError(f"`signal_new` must have {f.shape[1]} outputs like `signal`, got {f_new.shape[1]}.")
    return Setting(K, f, k, f_new, teacher)


def orders_of(orders: ArrayLike | None, n: int, subsets: int, seed: int) -> NDArray[np.intp]:
    """Orders of all rows, (subsets, n): those given, or random ones."""
    if orders is None:
        return random_orders(n, subsets, seed)
    try:
        given = np.array([rows_kept(order, n, "orders") for order in np.atleast_2d(np.asarray(orders))])
    except ValueError as error:
        raise ValueError(f"`orders` must be one order of all {n} rows, or one for each subset: {error}") from None
    if given.shape[1] != n:
        raise ValueError(f"`orders` must hold all {n} rows in each order, got {given.shape[1]}.")
    return given
