r"""How much of the labels is signal: the noise variance by marginal likelihood of a Gaussian process with the given kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar

from kdtheory.checks import column_shape, outputs
from kdtheory.spectrum import Spectrum, require_spectrum

__all__ = ["NoiseEstimate", "marginal_likelihood"]

DECADES = 8.0  # of the ratio below and above the mean diagonal of the kernel
CHI_SQUARE = 3.841458820694124  # 95 % quantile, one degree of freedom


@dataclass(frozen=True)
class NoiseEstimate:
    r"""Labels as draws of :math:`N(0,\, a K + \sigma^2 I)`.

    Attributes
    ----------
    scale : float
        a, so that the signal's mean variance is a tr K / n.
    noise_variance : float
        :math:`\sigma^2` of a label.
    low, high : (scale, noise_variance) pairs
        The same at the ends of the 95 % likelihood interval of the ratio :math:`\sigma^2/a`.
    """

    scale: float
    noise_variance: float
    low: tuple[float, float]
    high: tuple[float, float]

    @property
    def ridge(self) -> float:
        r"""The ridge of least expected risk under this law, :math:`\sigma^2/a`, at any number of points."""
        return self.noise_variance / self.scale


def marginal_likelihood(spectrum: Spectrum, y: ArrayLike) -> NoiseEstimate:
    r"""Signal and noise of labels of mean zero, by the largest likelihood of :math:`N(0,\, a(K + \lambda_0 I))`.

    For each ratio :math:`\lambda_0 = \sigma^2/a` the best scale is :math:`a = \tfrac1n\sum_i z_i^2/(d_i + \lambda_0)`, so
    that one number is left to be searched, over eight decades to both sides of the mean diagonal of the kernel.

    Parameters
    ----------
    spectrum : Spectrum
    y : (n,) or (n, p) array
        Labels; the outputs share both variances.

    Returns
    -------
    NoiseEstimate

    Raises
    ------
    ValueError
        If a shape does not fit, or the labels are zero.

    References
    ----------
    Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, chapter 5.

    Examples
    --------
    >>> from kdtheory import kernels
    >>> rng, x = np.random.default_rng(0), np.linspace(0.0, 1.0, 200)[:, None]
    >>> y = np.sin(6 * x[:, 0]) + 0.5 * rng.normal(size=200)
    >>> estimate = marginal_likelihood(Spectrum.from_gram(kernels.rbf(x, gamma=20.0)), y)
    >>> [round(float(value), 2) for value in (estimate.low[1], estimate.noise_variance, estimate.high[1])]
    [0.23, 0.23, 0.24]
    """
    require_spectrum(spectrum)
    labels = column_shape(outputs(y, "y", length=spectrum.n))
    if not np.any(labels):
        raise ValueError("`y` must not be zero everywhere: there is nothing to estimate.")
    if not spectrum.eigenvalues[0] > 0:
        raise ValueError("`spectrum` must be that of a kernel matrix other than zero.")
    n, p = labels.shape
    d = np.concatenate([spectrum.eigenvalues, np.zeros(n - spectrum.rank)])
    energy = np.zeros(n)
    energy[: spectrum.rank] = np.sum(spectrum.project(labels) ** 2, axis=1)
    beyond = float(np.sum(spectrum.outside(labels) ** 2))
    if n > spectrum.rank:
        energy[spectrum.rank :] = beyond / (n - spectrum.rank)

    def scale(log_ratio: float) -> float:
        return float(np.sum(energy / (d + np.exp(log_ratio))) / (n * p))

    def deviance(log_ratio: float) -> float:
        """Twice the negative log-likelihood, up to a constant."""
        return float(n * p * np.log(scale(log_ratio)) + p * np.sum(np.log(d + np.exp(log_ratio))))

    middle = float(np.log(d.mean()))
    reach = DECADES * np.log(10.0)
    tried = np.linspace(middle - reach, middle + reach, 81)
    values = np.array([deviance(x) for x in tried])
    best = int(np.clip(values.argmin(), 1, len(tried) - 2))
    centre = float(minimize_scalar(deviance, bounds=(tried[best - 1], tried[best + 1]), method="bounded").x)
    level = deviance(centre) + CHI_SQUARE

    def pair(log_ratio: float) -> tuple[float, float]:
        a = scale(log_ratio)
        return a, a * float(np.exp(log_ratio))

    def end(outer: float) -> tuple[float, float]:
        """Where the deviance has risen by the quantile, or the end of the search."""
        if deviance(outer) <= level:
            return pair(outer)
        return pair(float(brentq(lambda x: deviance(x) - level, min(outer, centre), max(outer, centre))))

    return NoiseEstimate(*pair(centre), end(float(tried[0])), end(float(tried[-1])))
