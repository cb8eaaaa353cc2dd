"""The eigendecomposition of a symmetric matrix in place: two or three n × n arrays at the peak, the input among them."""

from __future__ import annotations

from typing import Literal

import scipy.linalg

from kdtheory.checks import Array

__all__ = ["Driver", "decomposed"]

Driver = Literal["evd", "evr"]

SMALL = 2_000  # up to here four n × n arrays are little memory, and "evd" is the more accurate driver
EVD_LIMIT = 32_766  # beyond it the workspace length of LAPACK's dsyevd overflows a 32-bit integer


def decomposed(K: Array, *, overwrite: bool, driver: Driver | None) -> tuple[Array, Array]:
    """Eigenvalues (n,), descending, and eigenvectors (n, n) in columns, as `Spectrum.from_gram` describes them."""
    if driver is None:
        driver = "evd" if len(K) <= SMALL else "evr"
    elif driver not in ("evd", "evr") or (driver == "evd" and len(K) > EVD_LIMIT):
        raise ValueError(f'`driver` must be "evd" (up to n = {EVD_LIMIT}) or "evr", got {driver!r} at n = {len(K)}.')
    # LAPACK reads columns: a matrix stored by rows goes in as its transpose, which is itself, and is not copied
    by_columns = K if K.flags.f_contiguous else K.T
    overwrite = overwrite and K.flags.writeable
    d, U = scipy.linalg.eigh(by_columns, driver=driver, overwrite_a=overwrite, check_finite=False)
    _reverse_columns(U)
    return d[::-1], U


def _reverse_columns(U: Array) -> None:
    """From ascending to descending order without a second matrix."""
    n, width = U.shape[1], 64
    for start in range(0, n // 2, width):
        stop = min(start + width, n // 2)
        left, right = U[:, start:stop], U[:, n - stop : n - start]
        kept = left[:, ::-1].copy()
        left[:] = right[:, ::-1]
        right[:] = kept
