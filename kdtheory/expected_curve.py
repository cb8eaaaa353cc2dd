r"""The parabola of one round in expectation over label noise, from the spectrum alone: no smoother is formed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import column_shape, outputs, positive
from kdtheory.parabola import RiskCurve
from kdtheory.spectrum import Spectrum, require_spectrum

__all__ = ["expected_curve"]


def expected_curve(
    spectrum: Spectrum, signal: ArrayLike, *, noise_variance: float, ridge: float, error: str = "prediction"
) -> RiskCurve:
    r"""Expected error of one round against its teacher weight, labels :math:`y = f + \varepsilon`.

    With :math:`a = d/(d + \lambda)`, :math:`u = 1 - a`, :math:`\theta = U^\top f` and direction weights :math:`m_i`,

    .. math::
        R(w) = \sum_i m_i\left[u_i^2(1 + w a_i)^2\theta_i^2 + \sigma^2 a_i^2 (1 - w u_i)^2\right], \qquad
        w^\star = \frac{\sum_i m_i\,a_i u_i\,(a_i\sigma^2 - u_i\theta_i^2)}{\sum_i m_i\,a_i^2 u_i^2\,(\theta_i^2 + \sigma^2)} .

    Without a signal (or with infinite noise) it is at least 1; without noise it is negative; it rises with the noise.

    Parameters
    ----------
    spectrum : Spectrum
    signal : (n,) or (n, p) array
        Noiseless f.
    noise_variance : float
        :math:`\sigma^2 \ge 0` of each label.
    ridge : float
        :math:`\lambda > 0`.
    error : {"prediction", "parameters"}
        "prediction": mean squared error at the training points, :math:`m_i = 1/n`. "parameters": squared distance
        :math:`|\hat\beta - \beta|^2` of the parameters (in the kernel's feature space), :math:`m_i = 1/d_i`, summed over
        outputs; the signal must lie in the range of the kernel.

    Returns
    -------
    RiskCurve

    Raises
    ------
    ValueError
        If a parameter is out of its range; if, for "parameters", the signal has a part where the kernel has none; if every
        weight gives the same error.

    References
    ----------
    Das & Sanghavi (2023), arXiv:2301.13304 ("parameters"); Dang, Patil & Rinaldo (2026), arXiv:2602.17565.

    Examples
    --------
    The noisier the labels, the more the teacher is worth, beyond weight 1 in the end:

    >>> s = Spectrum.from_gram(np.diag([4.0, 1.0]))
    >>> for variance in (0.0, 0.25, 100.0):
    ...     print(round(expected_curve(s, [1.0, 1.0], noise_variance=variance, ridge=1.0).optimal_weight, 3))
    -1.782
    -0.851
    2.826
    """
    require_spectrum(spectrum)
    if error not in ("prediction", "parameters"):
        raise ValueError(f'`error` must be "prediction" or "parameters", got {error!r}.')
    f = column_shape(outputs(signal, "signal", length=spectrum.n))
    variance = positive(noise_variance, "noise_variance", zero=True) * f.shape[1]
    ridge, d = positive(ridge, "ridge"), spectrum.eigenvalues
    energy, constant = np.sum(spectrum.project(f) ** 2, axis=1), float(np.sum(spectrum.outside(f) ** 2)) / f.size
    mass = np.full_like(d, 1.0 / f.size)
    held = d > spectrum.floor
    if error == "prediction":
        d = np.where(held, d, 0.0)
    else:
        beyond = float(energy[~held].sum() + constant * f.size)
        if beyond > 1e-16 * float(energy.sum() + constant * f.size):
            raise ValueError(
                f"`signal` must lie in the range of the kernel for an error of the parameters, got {beyond:.3g} of its "
                f"square outside; project it, or ask for the error of the predictions."
            )
        d, energy, mass, constant = d[held], energy[held], 1.0 / d[held], 0.0
    a, u = d / (d + ridge), 1.0 / (1.0 + d / ridge)
    bend = float(np.sum(mass * (a * u) ** 2 * (energy + variance)))
    if not bend > 0:
        raise ValueError("`signal` must be moved by distillation: every weight gives the same error.")
    weight = float(np.sum(mass * a * u * (a * variance - u * energy))) / bend
    bias, noise = (u * (1 + weight * a)) ** 2 * energy, (a * (1 - weight * u)) ** 2 * variance
    size = float(np.sum(mass * a**2 * (energy + variance)))
    return RiskCurve(weight, float(np.sum(mass * (bias + noise))) + constant, bend, float(np.sqrt(bend / size)))
