r"""The layer recursion of infinitely wide fully connected networks, by blocks of rows and in place.

`kdtheory.wide_networks` states what is computed here. Nearly parallel points of kinked activations take a road of their own,
because arccos turns a rounding error of 1e-16 in their correlation into an angle of 1e-8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kdtheory.activations import DualActivation, chosen
from kdtheory.checks import Array, positive, whole
from kdtheory.gram import BLOCK_ENTRIES, fill_products, point_sets
from kdtheory.kinked_activations import kink_of_versine

__all__ = ["Network"]

CLOSE = 1e-4  # 1 - |correlation| below which an angle is computed from differences: arccos has lost two digits there


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

    def gram(self, X: ArrayLike, X_train: ArrayLike | None = None, *, normalised: bool = False) -> Array:
        """The kernel between two point sets, or of one with itself."""
        first, second = point_sets(X, X_train)
        q_first = self.variances(first)
        q_second = q_first if second is first else self.variances(second)
        own, own_second = (np.sqrt(self.diagonal(q)) for q in (q_first, q_second))
        if normalised and not (own.all() and own_second.all()):
            raise ValueError("`normalised` must be False where the kernel of a point with itself is zero.")
        kinked = self.dual.negative_slope is not None and self.depth > 0
        # x.x' carries the rounding of a sum over features
        same = 2 * np.finfo(np.float64).eps * (4 + np.sqrt(first.shape[1]))

        def fill(sigma: Array, rows: slice, columns: slice) -> None:
            sigma *= self.weight_variance / first.shape[1]
            sigma += self.bias_variance
            if kinked:
                most = np.sqrt(q_first[0][rows])[:, None] * np.sqrt(q_second[0][columns])
                close = np.nonzero((np.abs(sigma) >= (1.0 - CLOSE) * most) & (most > 0))
                opposite = sigma[close] < 0
            else:  # equal points stay equal: in a chaotic network depth would tear apart what rounding separates
                close = np.nonzero(sigma >= (1.0 - same) * np.maximum(q_first[0][rows, None], q_second[0][columns]))
            self._layers(sigma, [q[rows] for q in q_first], [q[columns] for q in q_second])
            if kinked:
                step = max(1, BLOCK_ENTRIES // first.shape[1])
                for start in range(0, len(opposite), step):
                    i, j = (index[start : start + step] for index in close)
                    at = i + rows.start, j + columns.start
                    sigma[i, j] = self._parallel(
                        first[at[0]],
                        second[at[1]],
                        [q[at[0]] for q in q_first],
                        [q[at[1]] for q in q_second],
                        opposite[start : start + step],
                    )
            else:
                sigma[close] = own[rows][close[0]] * own_second[columns][close[1]]
            if normalised:
                sigma /= own[rows, None]
                sigma /= own_second[columns]

        return fill_products(first, second, fill)

    def variances(self, points: Array) -> list[Array]:
        """Sigma(x, x) of every layer."""
        layers = [self.weight_variance * np.einsum("ij,ij->i", points, points) / points.shape[1] + self.bias_variance]
        with np.errstate(over="ignore"):
            for _ in range(self.depth):
                layers.append(self.weight_variance * self.dual.variance(layers[-1]) + self.bias_variance)
        if not np.isfinite(layers[-1]).all():
            raise OverflowError("`weight_variance` makes the network's variance grow beyond floating point at this `depth`.")
        return layers

    def diagonal(self, q: list[Array]) -> Array:
        """The wanted kernel at equal points, from the variances of every layer."""
        if not self.tangent:
            return q[-1]
        theta = q[0].copy()
        for layer in range(self.depth):
            theta *= self.weight_variance * self.dual.slope_variance(q[layer])
            if self._counts(layer):
                theta += q[layer + 1]
        return theta

    def _counts(self, layer: int) -> bool:
        """Whether the parameters that lead out of this hidden layer are trained."""
        return self.output_layer or layer < self.depth - 1

    def _layers(self, sigma: Array, q: list[Array], q_other: list[Array]) -> None:
        """From the inputs' covariance to the output's kernel, in place."""
        theta = sigma.copy() if self.tangent else sigma
        layer = sigma.copy() if self.tangent else sigma
        for level in range(self.depth):
            layer, slope = self.dual.pair(layer, q[level], q_other[level])
            layer *= self.weight_variance
            layer += self.bias_variance
            if self.tangent:
                slope *= self.weight_variance
                theta *= slope
                if self._counts(level):
                    theta += layer
        sigma[...] = theta if self.tangent else layer

    def _parallel(self, x: Array, other: Array, q: list[Array], q_other: list[Array], opposite: NDArray[np.bool]) -> Array:
        r"""The same for pairs of nearly (anti)parallel points of a kinked activation, one pair a row.

        Carried along is :math:`v = 1 - c`, from differences of unit vectors; :math:`\sqrt v` keeps an absolute error of one
        rounding. With :math:`g = \sigma_w^2(1 + a^2)/2`, :math:`r = \sqrt{qq'}` and :math:`\hat c` the correlation of the
        outputs of a layer, the next has
        :math:`r_+ v_+ = g r(1 - \hat c) + \sigma_b^2 g(\sqrt q - \sqrt{q'})^2/(r_+ + gr + \sigma_b^2)`.
        """
        w, b, a = self.weight_variance, self.bias_variance, self.dual.negative_slope or 0.0
        g = w * (1.0 + a * a) / 2
        sign = np.where(opposite, -1.0, 1.0)
        unit, unit_other = (
            points * np.sqrt(w / x.shape[1]) / np.sqrt(v[0])[:, None] for points, v in ((x, q), (other, q_other))
        )
        gap = unit - sign[:, None] * unit_other
        bias_gap = np.sqrt(b) * (1.0 / np.sqrt(q[0]) - sign / np.sqrt(q_other[0]))
        v = (np.einsum("ij,ij->i", gap, gap) + bias_gap**2) / 2
        top = np.sqrt(q[0]) * np.sqrt(q_other[0])
        sigma = sign * top * (1.0 - v)
        theta = sigma.copy()
        for level in range(self.depth):
            versine, slope = kink_of_versine(v, opposite, a)
            root, top = top, np.sqrt(q[level + 1]) * np.sqrt(q_other[level + 1])
            spread = b * g * (np.sqrt(q[level]) - np.sqrt(q_other[level])) ** 2
            v = g * root * versine + np.divide(spread, top + g * root + b, out=np.zeros_like(top), where=top > 0)
            v = np.divide(v, top, out=np.zeros_like(top), where=top > 0)
            sigma, opposite = top * (1.0 - v), np.zeros_like(opposite)
            theta *= w * slope
            if self._counts(level):
                theta += sigma
        return np.asarray(theta if self.tangent else sigma)
