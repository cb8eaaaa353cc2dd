r"""The layer recursion of infinitely wide fully connected networks, by blocks of rows and in place.

`kdtheory.wide_networks` states what is computed here. Activations with a kink see the angle between two points, and arccos
turns a rounding error of 1e-16 in their correlation c into an angle of 1e-8; so for them :math:`1 - c` is carried from layer
to layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdtheory.activations import DualActivation, chosen
from kdtheory.checks import Array, positive, whole
from kdtheory.gram import BLOCK_ENTRIES, fill_products, point_sets
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

        def fill(sigma: Array, rows: slice, columns: slice) -> None:
            sigma *= self.weight_variance / first.shape[1]
            sigma += self.bias_variance
            q, q_other = [each[rows] for each in q_first], [each[columns] for each in q_second]
            if self.kinked and angles is not None:
                self._kinked(sigma, q, q_other, angles, rows, columns)
            else:  # equal points stay equal: in a chaotic network depth would tear apart what rounding separates
                most = same * np.maximum(q[0][:, None], q_other[0])
                pairs = [(np.nonzero(sigma >= most), 1)]
                if self.dual.parity and self.bias_variance == 0:
                    pairs.append((np.nonzero((-sigma >= most) & (most > 0)), self.dual.parity))
                v = None if angles is None else angles.versine(sigma, q[0], q_other[0], rows, columns)
                self._smooth(sigma, q, q_other, v)
                for (i, j), sign in pairs:
                    sigma[i, j] = sign * own[rows][i] * own_second[columns][j]
            if normalised:
                sigma /= own[rows, None]
                sigma /= own_second[columns]

        return fill_products(first, second, fill)

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
        scaled = np.column_stack(
            [points * np.sqrt(self.weight_variance / points.shape[1]), np.full(len(q), self.bias_variance**0.5)]
        )
        return np.asarray(np.divide(scaled, np.sqrt(q)[:, None], out=np.zeros_like(scaled), where=q[:, None] > 0))

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
        self, sigma: Array, q: list[Array], q_other: list[Array], angles: _Angles, rows: slice, columns: slice
    ) -> None:
        r"""The same for leaky ReLU, by :math:`v = 1 - c`, whose root keeps an absolute error of one rounding.

        With :math:`\eta = \sigma_w^2 g^2(1 + a^2)/2`, :math:`r = \sqrt{qq'}` and :math:`\hat c` the correlation of a layer's
        outputs, the next layer has
        :math:`r_+ v_+ = \eta r(1 - \hat c) + \sigma_b^2 \eta(\sqrt q - \sqrt{q'})^2/(r_+ + \eta r + \sigma_b^2)`.
        """
        b, a = self.bias_variance, float(self.dual.negative_slope or 0.0)
        w = self.weight_variance * self.dual.gain**2
        eta = w * (1.0 + a * a) / 2
        v = angles.versine(sigma, q[0], q_other[0], rows, columns)
        opposite, u = angles.opposite(v, rows, columns)
        top = np.sqrt(q[0])[:, None] * np.sqrt(q_other[0])
        np.multiply(top, 1.0 - v, out=sigma)
        for level in range(self.depth):
            v, slope = kink_of_versine(v, a)
            if level == 0:
                v[opposite], slope[opposite] = kink_of_opposite(u, a)
            root, top = top, np.sqrt(q[level + 1])[:, None] * np.sqrt(q_other[level + 1])
            if b:
                v *= eta * root
                spread = np.sqrt(q[level])[:, None] - np.sqrt(q_other[level])
                spread *= spread
                spread *= b * eta
                root *= eta
                root += b
                root += top
                spread /= root
                v += spread
                v /= top
            if self.tangent:
                slope *= w
                sigma *= slope
                if self._counts(level):
                    sigma += top * (1.0 - v)
        if not self.tangent:
            np.multiply(top, 1.0 - v, out=sigma)


@dataclass(frozen=True, eq=False)
class _Angles:
    """Unit vectors of both point sets, (m, d) and (n, d): for angles that scalar products have lost."""

    first: Array
    second: Array

    def versine(self, sigma: Array, q: Array, q_other: Array, rows: slice, columns: slice) -> Array:
        """1 - c of a block, from its covariances; of nearly parallel points from their difference. 1 without a variance."""
        most = np.sqrt(q)[:, None] * np.sqrt(q_other)
        v = np.divide(sigma, most, out=np.zeros_like(sigma), where=most > 0)
        np.subtract(1.0, v, out=v)
        np.clip(v, 0.0, 2.0, out=v)
        close = np.nonzero(v < CLOSE)
        if len(close[0]) > v.size / 8:  # a whole cluster: around its centre the products keep their digits
            centre = self.second[columns].mean(axis=0)
            left, right = self.first[rows] - centre, self.second[columns] - centre
            size = np.einsum("if,if->i", left, left)[:, None] + np.einsum("jf,jf->j", right, right)
            around = size / 2 - left @ right.T
            np.copyto(v, np.maximum(around, 0.0), where=v < CLOSE)
            close = np.nonzero((v < CLOSE) & (v <= CLOSE * size))
        for i, j in self._chunks(close):
            gap = self.first[rows][i] - self.second[columns][j]
            v[i, j] = np.einsum("kf,kf->k", gap, gap) / 2
        return np.asarray(v)

    def opposite(self, v: Array, rows: slice, columns: slice) -> tuple[Pairs, Array]:
        """Places of nearly opposite points in a block of versines, and their 1 + c."""
        places = np.nonzero(2.0 - v < CLOSE)
        u = np.empty(len(places[0]))
        start = 0
        for i, j in self._chunks(places):
            total = self.first[rows][i] + self.second[columns][j]
            u[start : start + len(i)] = np.einsum("kf,kf->k", total, total) / 2
            start += len(i)
        return (places[0], places[1]), u

    def _chunks(self, places: tuple[NDArray[np.intp], ...]) -> Iterator[Pairs]:
        step = max(1, BLOCK_ENTRIES // self.first.shape[1])
        for start in range(0, len(places[0]), step):
            yield places[0][start : start + step], places[1][start : start + step]
