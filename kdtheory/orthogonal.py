r"""The orthogonal design: every question about a pruned student answered by a formula of a few numbers.

The features of m rows have moments :math:`X^\top X = m I`, for the teacher's :math:`f_t n` rows and the student's :math:`fn`
among them, as they have on average for white features and many points. With :math:`s = nf/(nf + \lambda_s)`, :math:`t =
nf_t/(nf_t + \lambda_t)`, signal :math:`\theta^2` per coordinate and :math:`\lambda_0 = \sigma^2/\theta^2`, the error of a
coordinate is

.. math::
    \theta^2\,[(1 - s) + w\,s\,(1 - t)]^2
    + \sigma^2 s^2\Big[\frac{(1-w)^2}{nf} + \frac{w^2 t^2 + 2w(1-w)\,t}{nf_t}\Big] .
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kdtheory.checks import Array, finite_array
from kdtheory.kept import require_convention
from kdtheory.risk_curves import RiskCurves

__all__ = ["OrthogonalDesign"]


@dataclass(frozen=True, eq=False)
class OrthogonalDesign:
    r"""One coordinate of an orthogonal design; every number may be an array, together they give the shape of all answers.

    Parameters
    ----------
    n : number or array
        Points in all, :math:`n > 0`.
    keep_fraction : number or array
        f, the student's share, in (0, 1].
    ridge : number or array
        :math:`\lambda \ge 0` in units of the convention, for teacher and student alike.
    ridge_convention : {"absolute", "per_example"}
        :math:`\lambda_s = \lambda_t = \lambda`, or :math:`\lambda_s = nf\lambda` and :math:`\lambda_t = nf_t\lambda`.
    noise_variance : number or array
        :math:`\sigma^2 \ge 0`.
    signal_square : number or array
        :math:`\theta^2 > 0`, the squared coefficient.
    teacher_fraction : number or array
        :math:`f_t \ge f`, the teacher's share.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    Derived in kdtheory. The setting, linear regression with a teacher that has seen more than the student, is that of
    theorem 1 of Ben-Baruch et al. (2025), arXiv:2403.07854.

    Examples
    --------
    The optimal weight grows as less is kept, with noise and with pruning:

    >>> design = OrthogonalDesign(n=100, keep_fraction=[0.1, 0.5, 0.9], ridge=1.0, ridge_convention="per_example",
    ...                           noise_variance=100.0)
    >>> design.curves.optimal_weight.round(2)
    array([0.95, 0.67, 0.18])
    >>> design.helps, design.grows_as_kept_falls
    (array([ True,  True,  True]), array([ True,  True,  True]))
    """

    n: Any
    keep_fraction: Any
    ridge: Any
    ridge_convention: str
    noise_variance: Any
    signal_square: Any = 1.0
    teacher_fraction: Any = 1.0

    def __post_init__(self) -> None:
        require_convention(self.ridge_convention)
        names = [name for name in self.__dataclass_fields__ if name != "ridge_convention"]
        given = [finite_array(getattr(self, name), name) for name in names]
        try:
            arrays = np.broadcast_arrays(*given)
        except ValueError:
            shapes = ", ".join(f"`{name}` {array.shape}" for name, array in zip(names, given, strict=True))
            raise ValueError(f"`n` and the other numbers must have shapes that fit together, got {shapes}.") from None
        for name, array in zip(names, arrays, strict=True):
            zero = name in ("ridge", "noise_variance")
            if not ((array >= 0) if zero else (array > 0)).all():
                wrong = float(array[~((array >= 0) if zero else (array > 0))][0])
                raise ValueError(f"`{name}` must be {'zero or positive' if zero else 'positive'}, got {wrong}.")
            object.__setattr__(self, name, array[()])
        f, f_t = np.asarray(self.keep_fraction), np.asarray(self.teacher_fraction)
        if (f > f_t).any() or (f_t > 1).any():
            got = f"{f.max():.4g} and {f_t.max():.4g}"
            raise ValueError(f"`keep_fraction` must be at most `teacher_fraction`, and that at most 1, got up to {got}.")

    @property
    def _letters(self) -> tuple[Array, Array, Array, Array, Array]:
        """Rows of the student and of the teacher, their ridges, and lambda_0."""
        m, m_t = self.n * self.keep_fraction, self.n * self.teacher_fraction
        each = self.ridge_convention == "per_example"
        ridges = [self.ridge * (count if each else 1.0) for count in (m, m_t)]
        return m, m_t, ridges[0], ridges[1], self.noise_variance / self.signal_square

    @property
    def bias(self) -> RiskCurves:
        """Squared bias of a coordinate."""
        m, m_t, lam, lam_t, _ = self._letters
        s, rest, moved = m / (m + lam), lam / (m + lam), m / (m + lam) * lam_t / (m_t + lam_t)
        square = self.signal_square
        return RiskCurves(square * rest**2, 2 * square * rest * moved, square * moved**2, square * s**2)

    @property
    def variance(self) -> RiskCurves:
        """Variance of a coordinate per unit of noise variance."""
        m, m_t, lam, lam_t, _ = self._letters
        s, own, shared, heard = m / (m + lam), 1 / m, 1 / (m_t + lam_t), m_t / (m_t + lam_t) ** 2
        return RiskCurves(s**2 * own, -2 * s**2 * (own - shared), s**2 * (own - 2 * shared + heard), s**2 * own)

    @property
    def curves(self) -> RiskCurves:
        """Error of a coordinate over the teacher weight."""
        return self.bias + self.variance.scaled(self.noise_variance)

    @property
    def optimal_weight(self) -> Any:
        r"""In closed form, with no sum or matrix,

        .. math::
            w^\star = \frac{\sigma^2 s\,(\tfrac{1}{nf} - \tfrac{t}{nf_t}) - \theta^2(1-s)(1-t)}
                {s\,[\theta^2(1-t)^2 + \sigma^2(\tfrac{1}{nf} + \tfrac{t^2 - 2t}{nf_t})]},

        strictly increasing in the noise; nan where it is not identified.
        """
        return self.curves.optimal_weight

    @property
    def helps(self) -> Any:
        r"""Whether distillation helps, :math:`w^\star > 0 \iff \lambda_s\lambda_t < \lambda_0\,[n(f_t - f) + \lambda_t]`.

        With weight decay per example and a teacher on everything, :math:`l = n\lambda`, that is
        :math:`l^2 < \lambda_0[n(1-f)/f + l/f]`; on all data, :math:`l < \lambda_0`: less ridge than is best.
        """
        m, m_t, lam, lam_t, best = self._letters
        return (lam * lam_t < best * (m_t - m + lam_t))[()]

    @property
    def largest_helpful_ridge(self) -> Any:
        """The ridge, in units of the convention, at which distillation stops to help: the boundary of `helps`."""
        m, m_t, _, _, best = self._letters
        if self.ridge_convention == "absolute":  # l^2 - best l - best (m_t - m) = 0
            return ((best + np.sqrt(best**2 + 4 * best * (m_t - m))) / 2)[()]
        # m m_t l^2 - best m_t l - best (m_t - m) = 0
        return ((best * m_t + np.sqrt((best * m_t) ** 2 + 4 * m * m_t * best * (m_t - m))) / (2 * m * m_t))[()]

    @property
    def grows_as_kept_falls(self) -> Any:
        r"""Whether the optimal weight grows as the kept share falls, everything else, `ridge` included, staying as it is.

        Per example, with :math:`l = nf_t\lambda`: :math:`2l + l^2/(nf_t) > \lambda_0`, at all shares or at none. Absolute:
        :math:`\lambda_0^2(nf_t + l) + l^3 < \lambda_0 l\,(2nf_t + 3l)`. A badly under-regularised student (a ridge below
        half the best one) reverses the rule.
        """
        _, m_t, _, lam, best = self._letters
        if self.ridge_convention == "absolute":
            return (best**2 * (m_t + lam) + lam**3 < best * lam * (2 * m_t + 3 * lam))[()]
        return (2 * lam + lam**2 / m_t > best)[()]
