"""One call for any size: exact, Cholesky, Krylov, Nyström or random features, chosen by cost, memory and tolerance.

Whatever was chosen answers `predict`, `rounds` and `risk_grid`, and says in `method`, `error` and `note` what it is.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, column_shape, matrix, numeric, outputs, positive, schedule, whole
from kdtheory.cholesky import Factored, FactorisationError, cholesky, few_ridges
from kdtheory.kernel_product import kernel_product
from kdtheory.kernels import KERNELS, laplace, named, rbf
from kdtheory.krylov import ConvergenceError, krylov
from kdtheory.low_rank import nystrom, random_features
from kdtheory.reduced import Reduced
from kdtheory.spectrum import Spectrum

__all__ = ["solve"]

EPS = float(np.finfo(np.float64).eps)
METHODS = ("auto", "exact", "cholesky", "krylov", "nystrom", "random features")
SMALL = 1500  # up to here an eigendecomposition takes half a second: nothing approximate is tried
CHEAP = 0.1  # of an eigendecomposition: where Cholesky costs less, Krylov would gain nothing
EXACT_LIMIT = 20_000  # beyond, an eigendecomposition by one thread takes half an hour and more (90 s at 8,000)
LEAST_RANK = 100  # a smaller Krylov basis is hardly ever enough
FREE_LIMIT = 50_000  # beyond, one product without the Gram matrix takes about a minute, and some fifty are needed


def solve(
    data: ArrayLike,
    y: ArrayLike,
    *,
    kernel: str | Callable[..., Array] | None = None,
    ridges: ArrayLike,
    rounds: int = 0,
    teacher_weights: ArrayLike = (),
    tolerance: float = 1e-6,
    method: str = "auto",
    memory: float | None = None,
    centres: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Reduced | Factored:
    """Every teacher weight and round at these ridges, by the cheapest way that is as accurate as asked and fits.

    In this order: Cholesky for few ridges (`few_ridges`), block Krylov if its error estimate meets the tolerance within a
    limited rank, the eigendecomposition, and, if that does not fit, Nyström centres.

    Parameters
    ----------
    data : (n, features) or (n, n) array
        Training points; without a `kernel`, their Gram matrix.
    y : (n,) or (n, p) array
        Training labels.
    kernel : callable or str, optional
        ``kernel(A)`` and ``kernel(A, B)``, such as ``functools.partial(kd.kernels.rbf, gamma=0.1)``; or a name. With it, the
        result takes new points; without, their cross matrix (m, n).
    ridges : (L,) array
        All that will be asked for.
    rounds : int
        T: up to which round.
    teacher_weights : array, optional
        Only those that leave [0, 1] need to be told; see `krylov`.
    tolerance : float
        For the error of the fitted values, relative to the labels.
    method : {"auto", "exact", "cholesky", "krylov", "nystrom", "random features"}
        "auto" decides; the others are done as told, and without the limits of time and memory. Only "exact", "nystrom" and
        "random features" have traces: GCV and degrees of freedom.
    memory : float, optional
        Bytes that may be used; half of the machine's when left out.
    centres, seed
        Number and choice of Nyström centres or random features.
    progress : bool
        Long work tells how far it is on the standard error.

    Returns
    -------
    Reduced or Factored

    Raises
    ------
    ValueError
        If arguments disagree or are out of range, `method` needs points and a kernel, or nothing fits into `memory`.
    ConvergenceError
        If Krylov, asked for by name, does not reach the tolerance.

    Warns
    -----
    RuntimeWarning
        If what is left to "auto" is Nyström, with an error that is unknown or above `tolerance`; or if rounding alone may
        leave more than that.

    Examples
    --------
    One ridge needs no eigendecomposition; thirty do, and both predict the same:

    >>> from kdtheory import Ridge
    >>> X = np.linspace(0, 1, 40)[:, None]
    >>> one, all = (solve(X, X[:, 0] ** 2, kernel="rbf", ridges=r) for r in ([0.1], np.logspace(-2, 1, 30)))
    >>> one.method, all.method, bool(np.allclose(one.predict(Ridge(0.1), [[0.5]]), all.predict(Ridge(0.1), [[0.5]])))
    ('cholesky', 'exact', True)
    """
    rest = teacher_weights, positive(tolerance, "tolerance"), whole(centres, "centres", least=1), seed, progress
    task = _Task.of(data, y, kernel, ridges, rounds, *rest)
    allowed = _half_of_the_machine() if memory is None else positive(memory, "memory")
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}, got {method!r}.")
    if method != "auto":
        return task.by(_Way(method, "it was asked for", free=task.kernel is not None and 8.0 * task.n**2 > allowed))
    refused = None
    for way in task.ways(allowed):
        try:
            result = task.by(way)
        except (ConvergenceError, FactorisationError) as refusal:
            refused = refusal
            continue
        tried = "" if refused is None else f" Another way was tried before: {refused}"
        if way.method in ("exact", "cholesky") and not (result.error is not None and result.error <= tolerance):
            warnings.warn(
                f"`tolerance` {tolerance:.1g} is below what rounding leaves at the smallest ridge, up to {result.error:.1g} "
                "of the labels; take a larger ridge.",
                RuntimeWarning,
                stacklevel=2,
            )
        if way.method == "nystrom" and not (result.error is not None and result.error <= tolerance):
            known = "unknown" if result.error is None else f"estimated as {result.error:.1g}"
            warnings.warn(
                f"`tolerance` {tolerance:.1g} is not certified: {way.why}, and the error of {centres} Nyström centres is "
                f"{known}; allow more `memory` or `centres`, or a larger ridge.{tried}",
                RuntimeWarning,
                stacklevel=2,
            )
        return replace(result, note=f"{result.note.removesuffix('.')}; chosen because {way.why}.{tried}")
    raise ValueError(  # a Gram matrix: with points there is Nyström
        f"`memory` must hold two more Gram matrices of {task.n} points, {16 * task.n**2:.3g} bytes, or `data` be points "
        f"with a `kernel`, got {allowed:.3g}."
    ) from refused


class _Way(NamedTuple):
    method: str
    why: str
    max_rank: int | None = None
    free: bool = False  # of the Gram matrix


@dataclass(frozen=True, eq=False)
class _Task:
    data: Array
    y: Array
    kernel: Callable[..., Array] | None
    ridges: Array
    rounds: int
    teacher_weights: ArrayLike
    tolerance: float
    centres: int
    seed: int
    progress: bool

    @classmethod
    def of(cls, data: ArrayLike, y: ArrayLike, kernel: Any, ridges: ArrayLike, rounds: int, *rest: Any) -> _Task:
        if isinstance(kernel, str):
            kernel = named(kernel)
        elif not (kernel is None or callable(kernel)):
            raise ValueError(f"`kernel` must be a function, a name or None, got {kernel!r}.")
        points = numeric(data, "data")  # float32 is kept, for it is judged by its own rounding
        points = (
            points if points.dtype == np.float32 and np.isfinite(points).all() and points.ndim == 2 else matrix(data, "data")
        )
        if kernel is None and points.shape[0] != points.shape[1]:
            raise ValueError(f"`data` must be a square Gram matrix where no `kernel` is given, got shape {points.shape}.")
        grid = np.unique(schedule(ridges, "ridges", above_zero=True))
        return cls(points, outputs(y, "y", length=len(points)), kernel, grid, whole(rounds, "rounds"), *rest)

    @property
    def n(self) -> int:
        return len(self.data)

    @property
    def owned(self) -> bool:
        """Whether the Gram matrix is made here by a kernel of ours; another's may return one that it keeps."""
        return getattr(self.kernel, "func", self.kernel) in KERNELS.values()

    def cross(self, new: ArrayLike) -> Array:
        if self.kernel is None:
            return matrix(new, "cross")
        return np.asarray(self.kernel(matrix(new, "X_new", shape=(None, self.data.shape[1])), self.data))

    def ways(self, memory: float) -> list[_Way]:
        """What to try, in this order."""
        n, p = self.n, column_shape(self.y).shape[1]
        gram = 8.0 * n * n
        cost = len(self.ridges) / few_ridges(n, p, self.rounds)
        few = _Way("cholesky", f"so few ridges cost {cost:.2f} of an eigendecomposition")
        exact = _Way("exact", f"an eigendecomposition of {n} points is affordable")
        factored = [few] if cost <= 1 and gram <= memory else []
        complete = [exact] if 2 * gram <= memory and (n <= EXACT_LIMIT or self.kernel is None) else []
        last = [_Way("nystrom", "nothing else fits")] if self.kernel is not None else []
        if (n <= SMALL or cost <= CHEAP) and (factored or complete):
            return factored + complete
        # measured at n = 3000 by one thread: 0.23 of an eigendecomposition for a rank of n / 8, with 10 outputs 0.24 for n / 6
        rank = n // (8 if p < 8 else 6)
        why, free = "its error estimate meets the tolerance at a fraction of an eigendecomposition", False
        room = (memory - (0 if self.kernel is None else gram)) / (8 * n)
        if room < LEAST_RANK and self.kernel is not None and n <= FREE_LIMIT:
            why, free, room = "its error estimate meets the tolerance and the Gram matrix does not fit", True, memory / (8 * n)
        tried = [_Way("krylov", why, min(rank, int(room)), free)] if room >= LEAST_RANK else []
        return tried + factored + complete + last

    def by(self, way: _Way) -> Reduced | Factored:
        """The result of one way."""
        kernel, ridges, rounds = self.kernel, self.ridges, self.rounds
        if way.method == "krylov":
            return krylov(
                kernel_product(self.data, kernel) if way.free and kernel is not None else self.gram(),
                self.y,
                ridges=ridges,
                rounds=rounds,
                teacher_weights=self.teacher_weights,
                tolerance=self.tolerance,
                cross=self.cross,
                max_rank=way.max_rank,
                progress=self.progress,
            )
        if way.method == "cholesky":
            return cholesky(self.gram(), self.y, ridges=ridges, rounds=rounds, cross=self.cross, overwrite=self.owned)
        if way.method == "exact":
            spectrum = Spectrum.from_gram(self.gram(), overwrite=self.owned)
            rounding = EPS * float(spectrum.eigenvalues[0]) / float(ridges[0])
            note = f"Eigendecomposition of {self.n} points: rounding leaves about {rounding:.1g} |y| at ridge {ridges[0]:.3g}."
            return replace(Reduced.from_spectrum(spectrum, self.y, self.cross), error=rounding, note=note)
        if kernel is None:
            raise ValueError(f'`kernel` must be given, and points as `data`, for `method` "{way.method}", got None.')
        if way.method == "nystrom":
            m = min(self.centres, self.n)
            return nystrom(self.data, self.y, kernel=kernel, centres=m, ridge=ridges, seed=self.seed, progress=self.progress)
        if not (isinstance(kernel, partial) and kernel.func in (rbf, laplace) and "gamma" in kernel.keywords):
            raise ValueError(
                f"`kernel` must be functools.partial(rbf or laplace, gamma=...) for random features, got {kernel!r}."
            )
        return random_features(
            self.data,
            self.y,
            kernel=kernel.func.__name__,
            gamma=kernel.keywords["gamma"],
            count=self.centres,
            ridge=ridges,
            seed=self.seed,
            progress=self.progress,
        )

    def gram(self) -> Array:
        return self.data if self.kernel is None else np.asarray(self.kernel(self.data))


def _half_of_the_machine() -> float:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
    except (AttributeError, ValueError, OSError):
        raise ValueError("`memory` must be given where the system does not tell its size, got None.") from None
