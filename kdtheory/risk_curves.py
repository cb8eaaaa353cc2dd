r"""Many parabolas at once: the risk of students over their teacher weight, on a whole grid of settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kdtheory.checks import Array, finite_array
from kdtheory.parabola import RiskCurve

__all__ = ["RiskCurves"]

LITTLE, NOTHING = 0.02, 0.005  # of the predictions' size, what the teacher moves the student by
WORTHWHILE = 0.05  # of the risk: a gain for which a little is enough


@dataclass(frozen=True, eq=False)
class RiskCurves:
    r"""Risks :math:`R(w) = R_0 + R_0' w + c\,w^2` of students over their teacher weight w, one for each entry of the arrays.

    Sums and multiples of curves are curves, so that bias and variance, noise levels and subsets combine entry by entry.

    Parameters
    ----------
    start : array of any shape
        :math:`R_0`, the risk on labels only.
    slope : array of the same shape
        :math:`R_0'`, the derivative at weight zero: the teacher helps where it is negative.
    curvature : array of the same shape
        :math:`c = E|P_t - P_l|^2 \ge 0`, per point and output.
    size : array of the same shape
        :math:`E|P_l|^2`, the same of the student on labels.

    Examples
    --------
    >>> curves = RiskCurves(start=[2.0, 2.0], slope=[-2.0, 1.0], curvature=[1.0, 1.0], size=[4.0, 4.0])
    >>> curves.optimal_weight, curves.minimum, curves.helps
    (array([ 1. , -0.5]), array([1.  , 1.75]), array([ True, False]))
    >>> curves([0.0, 1.0])
    array([[2., 1.],
           [2., 4.]])
    """

    start: Any
    slope: Any
    curvature: Any
    size: Any

    def __post_init__(self) -> None:
        parts = [finite_array(getattr(self, name), name) for name in self.__dataclass_fields__]
        for name, part in zip(self.__dataclass_fields__, np.broadcast_arrays(*parts), strict=True):
            object.__setattr__(self, name, part[()])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of every array; () for a single curve."""
        return np.shape(self.start)

    def __call__(self, teacher_weight: ArrayLike) -> Any:
        """Risk at one weight, of the curves' shape, or at many (k,), with k as a last axis."""
        w = np.asarray(teacher_weight, dtype=np.float64)
        start, slope, curvature = (np.reshape(part, self.shape + (1,) * w.ndim) for part in self._parts[:3])
        return (start + w * (slope + w * curvature))[()]

    def at(self, teacher_weight: ArrayLike) -> Any:
        """Risk of each curve at its own weight: an array of the curves' shape."""
        w = np.asarray(teacher_weight, dtype=np.float64)
        return (self.start + w * (self.slope + w * self.curvature))[()]

    @property
    def identifiability(self) -> Any:
        r""":math:`(E|P_t - P_l|^2 / E|P_l|^2)^{1/2}`, how far the teacher moves the student."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.sqrt(np.maximum(self.curvature, 0.0) / self.size)
        return np.where(self.curvature > 0, ratio, 0.0)[()]

    @property
    def identified(self) -> Any:
        """Whether the vertex means anything: the teacher moves the student by 0.02 of its size, or gains 5 % of the risk.

        By less than 0.005 of its size no network or data would agree on a weight, whatever the gain.
        """
        return self.identified_at(self.size)

    def identified_at(self, scale: ArrayLike) -> Any:
        """The same, relative to another mean square than that of the student on labels."""
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = np.sqrt(np.maximum(self.curvature, 0.0) / np.asarray(scale))
        worthwhile = (moved >= NOTHING) & (self._saved >= WORTHWHILE * np.asarray(self.start))
        return ((np.asarray(self.curvature) > 0) & ((moved >= LITTLE) | worthwhile))[()]

    @property
    def vertex(self) -> Any:
        r""":math:`-R_0'/(2c)`, however little it means; nan where all weights are equal."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.curvature > 0, -self.slope / (2 * np.asarray(self.curvature)), np.nan)[()]

    @property
    def optimal_weight(self) -> Any:
        """The vertex where it is identified; nan elsewhere."""
        return np.where(self.identified, self.vertex, np.nan)[()]

    def within(self, lowest: float, highest: float) -> Any:
        """The best weight between two bounds: the vertex, clipped."""
        return np.clip(self.optimal_weight, lowest, highest)[()]

    @property
    def _saved(self) -> Any:
        """R(0) - R(vertex); zero where all weights are equal."""
        with np.errstate(divide="ignore", invalid="ignore"):
            saved = np.asarray(self.slope) ** 2 / (4 * np.asarray(self.curvature))
        return np.where(self.curvature > 0, saved, 0.0)

    @property
    def gain(self) -> Any:
        """What the optimal weight saves against no distillation, R(0) - R(w*); zero where it is not identified."""
        return np.where(self.identified, self._saved, 0.0)[()]

    @property
    def minimum(self) -> Any:
        """Risk at the optimal weight; that on labels only where no weight is identified."""
        return (self.start - self.gain)[()]

    @property
    def helps(self) -> Any:
        """Whether a little weight on the teacher lowers the risk, w* > 0: only the sign of the slope counts."""
        return (np.asarray(self.slope) < 0)[()]

    @property
    def curve(self) -> RiskCurve:
        """A single one as `RiskCurve`.

        Raises
        ------
        ValueError
            If there are several, or every weight gives the same risk.
        """
        if self.shape != ():
            raise ValueError(f"`curve` is for a single one, got curves of shape {self.shape}; choose one by its index.")
        if not self.curvature > 0:
            raise ValueError("`curve` needs a teacher that moves the student: here every weight gives the same risk.")
        w = float(self.vertex)
        return RiskCurve(w, float(self.start - self.curvature * w**2), float(self.curvature), float(self.identifiability))

    @property
    def _parts(self) -> tuple[Any, ...]:
        return self.start, self.slope, self.curvature, self.size

    def _each(self, change: Callable[[Array], Any]) -> RiskCurves:
        return RiskCurves(*(change(np.asarray(part)) for part in self._parts))

    @classmethod
    def gather(cls, curves: Iterable[RiskCurves]) -> RiskCurves:
        """Curves of one shape behind each other along a new first axis."""
        return cls(*(np.array(part) for part in zip(*(each._parts for each in curves), strict=True)))

    def reshape(self, *shape: int) -> RiskCurves:
        """The same curves in another shape."""
        return self._each(lambda part: part.reshape(shape))

    def transpose(self) -> RiskCurves:
        """The same with the axes in reverse."""
        return self._each(lambda part: part.T)

    def __getitem__(self, index: Any) -> RiskCurves:
        """Some of the curves, by the index of their arrays."""
        return self._each(lambda part: part[index])

    def __add__(self, other: RiskCurves) -> RiskCurves:
        return RiskCurves(*(np.asarray(a) + np.asarray(b) for a, b in zip(self._parts, other._parts, strict=True)))

    def scaled(self, factor: ArrayLike) -> RiskCurves:
        """A multiple of each curve."""
        return self._each(lambda part: np.asarray(factor) * part)

    def mean(self, axis: int = -1) -> RiskCurves:
        """The curve of the mean risk over an axis: means of its coefficients, not of its optima."""
        return self._each(lambda part: part.mean(axis=axis))

    def optimal_weight_spread(self, axis: int = -1) -> Any:
        """Standard error of the mean curve's vertex over independent curves along an axis, the ratio linearised."""
        centre = self.mean(axis)
        w = np.expand_dims(np.asarray(centre.vertex), axis)
        count = np.shape(self.start)[axis]
        influence = (np.asarray(self.slope) / 2 + w * np.asarray(self.curvature)) / np.expand_dims(centre.curvature, axis)
        return influence.std(axis=axis, ddof=1) / np.sqrt(count) if count > 1 else np.full(centre.shape, np.nan)[()]
