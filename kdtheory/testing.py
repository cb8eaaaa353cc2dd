"""Hypothesis strategies for spectra, bases, problems and schedules: for the package's own tests, and for your claims.

Nothing draws a matrix: the spectrum and the basis are drawn and the matrix is built from them, so conditioning is a parameter,
no example is rejected, and a counterexample shrinks to few points with short numbers in the standard basis.

Example
-------
A claim is a test: teacher weights between 0 and 1 never make a prediction larger than the first fit.

>>> import numpy as np
>>> from hypothesis import given, settings
>>> from kdtheory import rounds
>>> @settings(max_examples=20, derandomize=True, database=None)
... @given(problems(), schedules())
... def test_claim(problem, weights):
...     chain = rounds(problem.spectrum, problem.y, ridge=problem.ridge, teacher_weights=weights)
...     assert np.linalg.norm(chain[-1]) <= np.linalg.norm(chain[0]) * (1 + 1e-12)
>>> test_claim()
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdtheory.checks import Array
from kdtheory.problem import Problem

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("The strategies of kdtheory.testing need hypothesis: pip install 'kdtheory[testing]'.") from error

__all__ = ["bases", "problems", "ridges", "schedules", "spectra", "subsets"]


@st.composite
def spectra(
    draw: st.DrawFn, *, least: int = 1, most: int = 8, condition: float = 1e12, ties: bool = True, zeros: bool = True
) -> Array:
    """Eigenvalues, descending from 1: log-uniform on a grid of half decades down to 1 / `condition`.

    Parameters
    ----------
    least, most : int
        Number of eigenvalues.
    condition : float
        Largest ratio of the positive ones.
    ties : bool
        Whether equal eigenvalues occur.
    zeros : bool
        Whether exact zeros occur at the end; the first eigenvalue is always 1.
    """
    steps = int(np.floor(2 * np.log10(condition)))
    count = draw(st.integers(least, most if ties else min(most, steps + 1)))
    exponents = draw(st.lists(st.integers(0, steps), min_size=count, max_size=count, unique=not ties))
    values = 10.0 ** (-np.sort(np.array(exponents) - min(exponents)) / 2)
    missing = draw(st.integers(0, count - 1)) if zeros else 0
    values[count - missing :] = 0.0
    return np.asarray(values)


def bases(n: int) -> st.SearchStrategy[Array]:
    """Orthogonal (n, n) matrices, Haar-distributed by a seed; seed 0, where shrinking ends, is the standard basis."""
    return st.integers(0, 2**16).map(lambda seed: np.eye(n) if seed == 0 else _haar(n, seed))


def _haar(n: int, seed: int) -> Array:
    Q, R = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    return np.asarray(Q * np.sign(np.diag(R)))


def ridges(*, smallest: float = 1e-8, largest: float = 1e4) -> st.SearchStrategy[float]:
    """Ridges on a grid of half decades; shrinks towards 1."""
    low, high = int(np.ceil(2 * np.log10(smallest))), int(np.floor(2 * np.log10(largest)))
    return st.integers(low, high).map(lambda k: 10.0 ** (k / 2))


def schedules(*, most: int = 6, inside: bool = True, least: int = 0) -> st.SearchStrategy[list[float]]:
    """Teacher weights of a chain, by twentieths: in [0, 1], or in [-3, 3] if not `inside`."""
    bounds = (0, 20) if inside else (-60, 60)
    return st.lists(st.integers(*bounds).map(lambda k: k / 20), min_size=least, max_size=most)


@st.composite
def subsets(draw: st.DrawFn, n: int, *, least: int = 1) -> NDArray[np.intp]:
    """Kept indices: `least` to n different ones of range(n), sorted."""
    kept = draw(st.sets(st.integers(0, n - 1), min_size=least, max_size=n))
    return np.array(sorted(kept), dtype=np.intp)


@st.composite
def problems(
    draw: st.DrawFn,
    *,
    least: int = 2,
    most: int = 8,
    condition: float = 1e12,
    ties: bool = True,
    zeros: bool = True,
    smallest_ridge: float = 1e-8,
    largest_ridge: float = 1e4,
) -> Problem:
    """Problems with a Gram matrix of a drawn spectrum and basis, a signal, noisy labels, and held-out points.

    The signal has a part in the leading direction; a held-out point is a combination of features, so its kernel values lie
    where those of any positive semi-definite kernel would.

    Parameters
    ----------
    least, most : int
        Number of training points.
    condition, ties, zeros
        Of the spectrum, as in `spectra`.
    smallest_ridge, largest_ridge : float
        Relative to the largest eigenvalue.
    """
    d = draw(spectra(least=least, most=most, condition=condition, ties=ties, zeros=zeros))
    n, m, p = len(d), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    U = draw(bases(n))
    scale = 10.0 ** draw(st.integers(-3, 3))
    quarters: Any = st.integers(-8, 8).map(lambda k: k / 4)
    theta = np.array(draw(st.lists(quarters, min_size=n * p, max_size=n * p))).reshape(n, p)
    theta[0] = np.where(theta[0] == 0, 1.0, theta[0])
    signal = U @ theta
    variance = draw(st.sampled_from([1.0, 0.0, 0.01, 0.25, 100.0]))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    labels = signal + np.sqrt(variance) * rng.normal(size=(n, p))
    features = np.sqrt(scale * d) * U
    points = rng.normal(size=(m, n)) / np.sqrt(n)  # coordinates of held-out points in the feature space
    gram = (U * (scale * d)) @ U.T
    wanted = points @ theta + rng.normal(size=(m, p))
    return Problem(
        gram=(gram + gram.T) / 2,
        cross=points @ features.T,
        y=labels,
        y_new=wanted,
        signal=signal,
        noise_variance=variance,
        ridge=scale * draw(ridges(smallest=smallest_ridge, largest=largest_ridge)),
        name="drawn",
    )
