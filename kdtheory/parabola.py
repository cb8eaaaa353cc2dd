r"""The parabola: a student is affine in its teacher weight, so its squared risk is quadratic in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kdtheory import checks
from kdtheory.checks import Array, column_shape, matrix, positive, schedule

__all__ = ["RiskCurve"]


@dataclass(frozen=True)
class RiskCurve:
    r"""Squared risk of a student as a function of its teacher weight: a parabola.

    A student trained on :math:`(1 - w)\,\text{labels} + w\,\text{teacher}` predicts
    :math:`P_l + w\,(P_t - P_l)`, so its mean squared error is

    .. math::
        R(w) = R(w^\star) + c\,(w - w^\star)^2, \qquad
        w^\star = \frac{\langle y - P_l,\; P_t - P_l\rangle}{|P_t - P_l|^2}, \qquad c = \frac{|P_t - P_l|^2}{m}.

    Build it with `from_predictions`, `from_smoothers` or `fit`; call it to evaluate it.

    Attributes
    ----------
    optimal_weight : float
        :math:`w^\star`, any real number.
    minimum : float
        :math:`R(w^\star)`.
    curvature : float
        :math:`c > 0`.
    identifiability : float
        :math:`|P_l - P_t|\,/\,|P_l|`, how much there is to weigh; nan where predictions are not known.

    Examples
    --------
    >>> curve = RiskCurve.fit([0.0, 0.5, 1.0], [2.0, 1.25, 1.0])
    >>> [round(value, 12) for value in (curve.optimal_weight, curve.minimum, curve.gain, curve(0.0))]
    [1.0, 1.0, 1.0, 2.0]
    """

    optimal_weight: float
    minimum: float
    curvature: float
    identifiability: float = float("nan")

    def __call__(self, teacher_weight: ArrayLike) -> Array | float:
        """Risk at one or many teacher weights."""
        w = np.asarray(teacher_weight, dtype=np.float64)
        values = self.minimum + self.curvature * (w - self.optimal_weight) ** 2
        return float(values) if values.ndim == 0 else np.asarray(values)

    @property
    def gain(self) -> float:
        """What the optimal weight saves against no distillation, R(0) - R(w*)."""
        return self.curvature * self.optimal_weight**2

    @classmethod
    def from_predictions(
        cls, on_labels: ArrayLike, on_teacher: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> RiskCurve:
        r"""Risk measured on held-out targets, from two students: trained on labels only, and on the teacher only.

        Parameters
        ----------
        on_labels, on_teacher : (m,) or (m, p) arrays
            Predictions :math:`P_l` and :math:`P_t` of the two students (kernel machines or networks).
        targets : array of the same shape
            Held-out targets. On the training targets the optimum is meaningless: in self-distillation at most -1.
        sample_weight : (m,) array, optional
            Weights of the points in the mean squared error, zero or positive.

        Raises
        ------
        ValueError
            If shapes disagree, or the two students predict the same, so that every weight is optimal.

        References
        ----------
        Borup & Andersen (2021), arXiv:2102.13088.

        Examples
        --------
        >>> curve = RiskCurve.from_predictions([2.0, -2.0], [1.0, -1.0], [1.5, -1.5])
        >>> curve.optimal_weight, curve(0.5), curve.gain
        (0.5, 0.0, 0.25)
        """
        P, D, y, mass = _difference(on_labels, on_teacher, targets, sample_weight)
        with np.errstate(over="ignore"):
            square = float(np.sum(mass * D**2))
        if not np.isfinite(square):
            raise ValueError("`on_labels` and `on_teacher` must have squares within floating point; scale them down.")
        if not square > 0:
            raise ValueError(
                "`on_teacher` must differ from `on_labels` somewhere: with equal predictions every weight is optimal."
            )
        E = y - P
        weight = float(np.sum(mass * E * D)) / square
        size = np.sqrt(np.sum(mass * P**2))
        identifiability = float(np.sqrt(square) / size) if size > 0 else float("inf")
        return cls(weight, float(np.sum(mass * (E - weight * D) ** 2)), square, identifiability)

    @classmethod
    def from_smoothers(
        cls,
        on_labels: ArrayLike,
        on_teacher: ArrayLike,
        signal: ArrayLike,
        *,
        noise_variance: float,
        signal_new: ArrayLike | None = None,
    ) -> RiskCurve:
        r"""Expected risk over label noise, from the two students' smoothers H (on labels) and H + D (on the teacher).

        With labels :math:`y = f + \varepsilon`, the student predicts :math:`(H + wD)\,y` and

        .. math::
            w^\star = \frac{\langle \tilde f - Hf,\, Df\rangle - \sigma^2\,\mathrm{tr}(H^\top D)}
                            {|Df|^2 + \sigma^2 \|D\|_F^2} .

        Parameters
        ----------
        on_labels, on_teacher : (m, n) arrays
            Both map the n training labels to predictions at m points.
        signal : (n,) or (n, p) array
            f at the training points.
        noise_variance : float
            :math:`\sigma^2 \ge 0`, per label.
        signal_new : (m,) or (m, p) array, optional
            :math:`\tilde f` at the m points; left out, they are the training points (m = n).

        Raises
        ------
        ValueError
            If shapes disagree, `signal_new` is missing at new points, or the smoothers are equal.

        References
        ----------
        Das & Sanghavi (2023), arXiv:2301.13304; Dang, Patil & Rinaldo (2026), arXiv:2602.17565.

        Examples
        --------
        The noisier the labels, the more the teacher is worth:

        >>> H = np.diag([0.8, 0.5])
        >>> for variance in (0.0, 0.25, 1.0):
        ...     print(round(RiskCurve.from_smoothers(H, H @ H, [1.0, 0.0], noise_variance=variance).optimal_weight, 3))
        -1.25
        0.656
        1.944
        """
        H = matrix(on_labels, "on_labels")
        D = matrix(on_teacher, "on_teacher", shape=(len(H), H.shape[1])) - H
        f = column_shape(checks.outputs(signal, "signal", length=H.shape[1]))
        if signal_new is None and len(H) != H.shape[1]:
            raise ValueError(
                "`signal_new` must be given where the smoothers predict at other points than the training points."
            )
        f_new = f if signal_new is None else column_shape(checks.outputs(signal_new, "signal_new", length=len(H)))
        if f_new.shape[1] != f.shape[1]:
            raise ValueError(f"`signal_new` must have {f.shape[1]} outputs like `signal`, got {f_new.shape[1]}.")
        variance = positive(noise_variance, "noise_variance", zero=True) * f.shape[1]
        bias, change = f_new - H @ f, D @ f
        square = float(np.sum(change**2) + variance * np.sum(D**2))
        if not square > 0:
            raise ValueError("`on_teacher` must differ from `on_labels`: with equal smoothers every weight is optimal.")
        weight = float(np.sum(bias * change) - variance * np.sum(H * D)) / square
        minimum = np.sum((bias - weight * change) ** 2) + variance * np.sum((H + weight * D) ** 2)
        size = np.sqrt(np.sum((H @ f) ** 2) + variance * np.sum(H**2))
        return cls(
            weight,
            float(minimum) / f_new.size,
            square / f_new.size,
            float(np.sqrt(square) / size) if size > 0 else float("inf"),
        )

    @classmethod
    def fit(cls, weights: ArrayLike, risks: ArrayLike) -> RiskCurve:
        r"""Least-squares parabola :math:`R(w^\star) + c\,(w - w^\star)^2` through measured risks at three or more weights.

        Parameters
        ----------
        weights : (k,) array
            At least three different ones.
        risks : (k,) array

        Raises
        ------
        ValueError
            If the measured risks do not bend upwards, so that no optimum is inside what was measured.

        Examples
        --------
        >>> round(RiskCurve.fit([0.0, 0.5, 1.0], [2.0, 1.25, 1.0]).optimal_weight, 12)
        1.0
        """
        w = schedule(weights, "weights")
        r = schedule(risks, "risks")
        if len(w) != len(r):
            raise ValueError(f"`risks` must have {len(w)} entries like `weights`, got {len(r)}.")
        if len(np.unique(w)) < 3:
            raise ValueError(
                f"`weights` must hold at least three different values to fix a parabola, got {len(np.unique(w))}."
            )
        centre, scale = w.mean(), np.ptp(w)
        x = (w - centre) / scale
        constant, slope, bend = np.linalg.lstsq(np.stack([np.ones_like(x), x, x**2], axis=1), r, rcond=None)[0]
        if not bend > 1e-9 * np.ptp(r):  # a straight line bends by its rounding
            raise ValueError(f"`risks` must bend upwards as a squared risk does, got curvature {bend / scale**2:.3g}.")
        vertex = -slope / (2 * bend)
        return cls(float(centre + scale * vertex), float(constant - bend * vertex**2), float(bend / scale**2))


def _difference(
    on_labels: ArrayLike, on_teacher: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Array, Array, Array, Array]:
    """(m, p) arrays P_l, P_t - P_l and targets, and the mass (m, 1) of each entry in their mean (summing to one)."""
    y = checks.outputs(targets, "targets")
    predictions = []
    for value, name in ((on_labels, "on_labels"), (on_teacher, "on_teacher")):
        array = checks.outputs(value, name, length=len(y))
        if array.shape != y.shape:
            raise ValueError(f"`{name}` must have the shape of `targets`, {y.shape}, got {array.shape}.")
        predictions.append(column_shape(array))
    weight = np.ones(len(y)) if sample_weight is None else schedule(sample_weight, "sample_weight")
    checks.rows(weight, "sample_weight", len(y))
    if (weight < 0).any() or not weight.sum() > 0:
        raise ValueError("`sample_weight` must be zero or positive with a positive sum.")
    columns = column_shape(y)
    mass = weight[:, None] / (weight.sum() * columns.shape[1])
    return predictions[0], predictions[1] - predictions[0], columns, mass
