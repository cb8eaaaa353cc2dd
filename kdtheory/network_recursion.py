r"""The layer recursion of infinitely wide fully connected networks, by strips of rows and in place.

`kdtheory.wide_networks` states what is computed here. Activations with a kink see the angle between two points, and arccos
turns a rounding error of 1e-16 in their correlation c into an angle of 1e-8; so for them :math:`1 - c` is carried from layer
to layer.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdtheory.activations import DualActivation, chosen
from kdtheory.checks import Array, positive, whole
from kdtheory.gram import STRIP_ENTRIES, fill_products, point_sets
from kdtheory.kinked_activations import kink_of_opposite, kink_of_versine

__all__ = ["Network"]

CLOSE = 1e-4  # 1 - |correlation| below which it is computed from differences: a product has lost four digits of it there
LARGE = 1e2  # variance above which smooth activations, too, see rounding errors of a product
LARGEST = 1e150  # variance whose square is still a number

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True, eq=False)
class Network:
    """Architecture and parameter variances of a network, and which of its kernels is wanted."""

    dual: DualActivation
    depth: int
    weight_variance: float
    bias_variance: float
    tangent: bool
    output_layer: bool

    @classmethod
    def of(
        cls,
        depth: int,
        activation: str | DualActivation,
        weight_variance: float,
        bias_variance: float,
        *,
        tangent: bool,
        output_layer: bool = True,
    ) -> Network:
        """From a user's arguments, checked."""
        depth = whole(depth, "depth")
        if not output_layer and depth == 0:
            raise ValueError("`output_layer` must be True at `depth` 0: without it a linear model has no parameters.")
        variances = positive(weight_variance, "weight_variance"), positive(bias_variance, "bias_variance", zero=True)
        return cls(chosen(activation), depth, *variances, tangent, output_layer)

    @property
    def kinked(self) -> bool:
        """Whether angles decide."""
        return bool(self.dual.negative_slope is not None and self.depth > 0)

    def gram(self, X: ArrayLike, X_train: ArrayLike | None = None, *, normalised: bool = False) -> Array:
        """The kernel between two point sets, or of one with itself."""
        if (
            normalised and self.kinked and self.bias_variance == 0
        ):  # any weight variance gives the same: one that stays in range
            scale_free = replace(self, weight_variance=1.0 / float(self.dual.variance(np.ones(1))[0]))
            return scale_free._fill(X, X_train, normalised=True)
        return self._fill(X, X_train, normalised=normalised)

    def _fill(self, X: ArrayLike, X_train: ArrayLike | None, *, normalised: bool) -> Array:
        first, second = point_sets(X, X_train)
        q_first = self.variances(first)
        q_second = q_first if second is first else self.variances(second)
        own, own_second = (np.sqrt(self.diagonal(q)) for q in (q_first, q_second))
        if not (np.isfinite(own).all() and np.isfinite(own_second).all()):
            raise OverflowError("`weight_variance` makes the kernel grow beyond floating point at this `depth`.")
        if normalised and not (own.all() and own_second.all()):
            raise ValueError("`normalised` must be False where the kernel of a point with itself is zero.")
        large = max(float(q_first[0].max()), float(q_second[0].max())) > LARGE
        angles = None
        if self.kinked or (large and self.depth):
            unit = self._directions(first, q_first[0])
            angles = _Angles(unit, unit if second is first else self._directions(second, q_second[0]))
        # x.x' carries the rounding of a sum over features
        same = 1.0 - 2 * np.finfo(np.float64).eps * (4 + np.sqrt(first.shape[1]))

        def smooth(sigma: Array, q: list[Array], q_other: list[Array], rows: slice, columns: slice) -> None:
            sigma += self.bias_variance
            # equal points stay equal: in a chaotic network depth would tear apart what rounding separates
            most = same * np.maximum(q[0][:, None], q_other[0])
            pairs = [(_places(sigma >= most), 1)]
            if self.dual.parity and self.bias_variance == 0:
                pairs.append((_places((-sigma >= most) & (most > 0)), self.dual.parity))
            v = None
            if angles is not None:
                root = np.sqrt(q[0])[:, None] * np.sqrt(q_other[0])
                v = angles.versine(np.divide(sigma, root, out=np.zeros_like(sigma), where=root > 0), rows, columns)
            self._smooth(sigma, q, q_other, v)
            for (i, j), sign in pairs:
                sigma[i, j] = sign * own[rows][i] * own_second[columns][j]

        def fill(block: Array, rows: slice, columns: slice) -> None:
            q, q_other = [each[rows] for each in q_first], [each[columns] for each in q_second]
            if self.kinked and angles is not None:
                self._kinked(block, q, q_other, angles, rows, columns)
            else:
                smooth(block, q, q_other, rows, columns)
            if normalised:
                block /= own[rows, None]
                block /= own_second[columns]

        if self.kinked and angles is not None:
            return fill_products(angles.first, angles.second, fill)
        return fill_products(first, second, fill, scale=self.weight_variance / first.shape[1])

    def variances(self, points: Array) -> list[Array]:
        """Sigma(x, x) of every layer."""
        with np.errstate(over="ignore"):
            layers = [self.weight_variance * np.einsum("ij,ij->i", points, points) / points.shape[1] + self.bias_variance]
            if not layers[0].max() < LARGEST:
                raise OverflowError(f"`X` must have squares that, times `weight_variance`, stay below {LARGEST:g}.")
            for _ in range(self.depth):
                layers.append(self.weight_variance * self.dual.variance(layers[-1]) + self.bias_variance)
        if not all(layer.max() < LARGEST for layer in layers):
            raise OverflowError("`weight_variance` makes the network's variance grow beyond floating point at this `depth`.")
        return layers

    def diagonal(self, q: list[Array]) -> Array:
        """The wanted kernel at equal points, from the variances of every layer."""
        if not self.tangent:
            return q[-1]
        theta = q[0].copy()
        with np.errstate(over="ignore"):
            for layer in range(self.depth):
                theta *= self.weight_variance * self.dual.slope_variance(q[layer])
                if self._counts(layer):
                    theta += q[layer + 1]
        return theta

    def _directions(self, points: Array, q: Array) -> Array:
        """Unit vectors whose products are the correlations that enter the first layer; zero for a point without variance."""
        scaled = points * np.sqrt(self.weight_variance / points.shape[1])
        if self.bias_variance:
            scaled = np.column_stack([scaled, np.full(len(q), self.bias_variance**0.5)])
        norms = np.sqrt(q)[:, None]
        return np.asarray(np.divide(scaled, norms, out=scaled, where=norms > 0))

    def _counts(self, layer: int) -> bool:
        """Whether the parameters that lead out of this hidden layer are trained."""
        return self.output_layer or layer < self.depth - 1

    def _smooth(self, sigma: Array, q: list[Array], q_other: list[Array], versine: Array | None) -> None:
        """From the inputs' covariance to the output's kernel, in place."""
        theta = sigma.copy() if self.tangent else sigma
        layer = sigma.copy() if self.tangent else sigma
        for level in range(self.depth):
            layer, slope = self.dual.pair(layer, q[level], q_other[level], versine if level == 0 else None)
            layer *= self.weight_variance
            layer += self.bias_variance
            if self.tangent:
                slope *= self.weight_variance
                theta *= slope
                if self._counts(level):
                    theta += layer
        sigma[...] = theta if self.tangent else layer

    def _kinked(
        self, block: Array, q: list[Array], q_other: list[Array], angles: _Angles, rows: slice, columns: slice
    ) -> None:
        r"""The same for leaky ReLU, from correlations c by :math:`v = 1 - c`, whose root is accurate to one rounding.

        With :math:`\eta = \sigma_w^2 g^2(1 + a^2)/2`, :math:`r = \sqrt{qq'}` and :math:`\hat c` the correlation of a layer's
        outputs, the next layer has :math:`r_+ = \eta r` without a bias, and in general

        .. math::
            r_+ v_+ = \eta r(1 - \hat c) + \sigma_b^2 \eta(\sqrt q - \sqrt{q'})^2/(r_+ + \eta r + \sigma_b^2).

        The block holds the kernel in units of :math:`r`, so that without a bias no layer sees the lengths of the points.
        """
        b, a = self.bias_variance, float(self.dual.negative_slope or 0.0)
        eta = self.weight_variance * self.dual.gain**2 * (1.0 + a * a) / 2
        v = angles.versine(block, rows, columns)
        opposite, u = angles.opposite(v, rows, columns)
        np.subtract(1.0, v, out=block)
        for level in range(self.depth):
            v, slope = kink_of_versine(v, a)
            if level == 0 and len(u):
                v[opposite], slope[opposite] = kink_of_opposite(u, a)
            if b:
                spread = np.sqrt(q[level])[:, None] - np.sqrt(q_other[level])
                spread *= spread
                spread *= b * eta
                share = eta * np.sqrt(q[level])[:, None] * np.sqrt(q_other[level])
                top = np.sqrt(q[level + 1])[:, None] * np.sqrt(q_other[level + 1])
                spread /= top + share + b
                v *= share
                v += spread
                v /= top
                share /= top
                slope *= share
            if self.tangent:
                block *= slope
                if self._counts(level):
                    block += np.subtract(1.0, v, out=slope)
        if not self.tangent:
            np.subtract(1.0, v, out=block)
        block *= np.sqrt(q[-1])[:, None]
        block *= np.sqrt(q_other[-1])


@dataclass(frozen=True, eq=False)
class _Angles:
    """Unit vectors of both point sets, (m, d) and (n, d): for angles that scalar products have lost."""

    first: Array
    second: Array

    @functools.cached_property
    def around_centre(self) -> tuple[Array, Array]:
        """Both sets from the middle of the second one."""
        centre = self.second.mean(axis=0)
        left = self.first - centre
        return left, left if self.second is self.first else self.second - centre

    def versine(self, c: Array, rows: slice, columns: slice) -> Array:
        """1 - c from a block of correlations; of nearly parallel points from their difference."""
        v = 1.0 - c
        close = _places(v < CLOSE)
        if len(close[0]) > v.size / 8:  # a whole cluster: around its centre the products keep their digits
            left, right = self.around_centre[0][rows], self.around_centre[1][columns]
            size = np.einsum("if,if->i", left, left)[:, None] + np.einsum("jf,jf->j", right, right)
            around = size / 2 - left @ right.T
            np.copyto(v, np.maximum(around, 0.0), where=v < CLOSE)
            close = _places((v < CLOSE) & (v <= CLOSE * size))
        for i, j in self._chunks(close):
            gap = self.first[rows][i] - self.second[columns][j]
            v[i, j] = np.einsum("kf,kf->k", gap, gap) / 2
        return np.minimum(v, 2.0, out=v)

    def opposite(self, v: Array, rows: slice, columns: slice) -> tuple[Pairs, Array]:
        """Places of nearly opposite points in a block of versines, and their 1 + c."""
        places = _places(v > 2.0 - CLOSE)
        u = np.empty(len(places[0]))
        start = 0
        for i, j in self._chunks(places):
            total = self.first[rows][i] + self.second[columns][j]
            u[start : start + len(i)] = np.einsum("kf,kf->k", total, total) / 2
            start += len(i)
        return places, u

    def _chunks(self, places: Pairs) -> Iterator[Pairs]:
        step = max(1, STRIP_ENTRIES // self.first.shape[1])
        for start in range(0, len(places[0]), step):
            yield places[0][start : start + step], places[1][start : start + step]


def _places(mask: NDArray[np.bool_]) -> Pairs:
    """Rows and columns where a block is true; where none are, in one fast pass."""
    return np.divmod(np.flatnonzero(mask), mask.shape[1])
