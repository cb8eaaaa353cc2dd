r"""Training of infinitely wide networks: the law of their outputs after any time, and along a chain of students.

A network of infinite width trains like its first-order expansion: with :math:`f_0` its function at initialisation,
:math:`\Theta` its tangent kernel and M the smoother of its training (any filter of `kdtheory.filters`),

.. math:: f(x) = f_0(x) + M_x\,(y - f_0(X)), \qquad f_0 \sim N(0, \Sigma)

with :math:`\Sigma` the NNGP kernel. So the ensemble over initialisations is Gaussian: its mean is the kernel predictor, and
its covariance is what training leaves of :math:`\Sigma`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from kdtheory.activations import DualActivation
from kdtheory.checks import Array, column_shape, matrix, outputs, require_symmetric, schedule, whole
from kdtheory.network_recursion import Network
from kdtheory.spectrum import Filter, Spectrum, require_spectrum
from kdtheory.training_filters import DistilledTraining, loss_scale, require_filter

__all__ = ["Ensemble", "WideNetwork", "loss_scale"]

Initialisation = Literal["fresh", "same", "centred"]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Gaussian law, over initialisations, of trained networks' outputs at m points.

    Attributes
    ----------
    mean : (m,) or (m, p) array
    covariance : (m, m) array
        Between points; the same for every output, and outputs are independent.
    """

    mean: Array
    covariance: Array

    @property
    def standard_deviation(self) -> Array:
        """At every point, (m,): how far one network lies from the ensemble's mean."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def sample(self, networks: int, seed: int | np.random.Generator = 0) -> Array:
        """Outputs of so many networks: (networks, m) or (networks, m, p)."""
        d, U = scipy.linalg.eigh(self.covariance)
        root = U * np.sqrt(np.maximum(d, 0.0))
        shape = (whole(networks, "networks", least=1), len(d), *self.mean.shape[1:])
        return np.asarray(self.mean + np.einsum("ij,ej...->ei...", root, np.random.default_rng(seed).normal(size=shape)))


@dataclass(frozen=True, eq=False)
class WideNetwork:
    r"""An infinitely wide network on n training points, seen at m new points if their kernels are given.

    Parameters
    ----------
    spectrum : Spectrum
        Of the tangent kernel :math:`\Theta(X, X)`, all n eigenvalues.
    nngp : (n, n) array
        Covariance at initialisation, :math:`\Sigma(X, X)`.
    cross, nngp_cross : (m, n) arrays, optional
        :math:`\Theta(X', X)` and :math:`\Sigma(X', X)`.
    nngp_new : (m, m) array, optional
        :math:`\Sigma(X', X')`.

    Raises
    ------
    ValueError
        If an array has another shape, the spectrum is of low rank, or one of the last three comes without the others.

    References
    ----------
    Jacot, Gabriel & Hongler (2018), arXiv:1806.07572, section 5; Lee et al. (2019), arXiv:1902.06720, for the covariance.

    Examples
    --------
    Trained to the end, all networks agree at the training points, and elsewhere they do not:

    >>> from kdtheory import GradientFlow
    >>> net = WideNetwork.fully_connected([[1.0], [2.0]], [[3.0]], depth=1, bias_variance=0.1)
    >>> trained = net.trained([1.0, -1.0], GradientFlow(np.inf))
    >>> net.trained([1.0, -1.0], GradientFlow(np.inf), at="train").standard_deviation.round(6).tolist()
    [0.0, 0.0]
    >>> bool(trained.standard_deviation[0] > 0.1)
    True
    """

    spectrum: Spectrum
    nngp: Array
    cross: Array | None = None
    nngp_cross: Array | None = None
    nngp_new: Array | None = None

    def __post_init__(self) -> None:
        require_spectrum(self.spectrum)
        n = self.spectrum.n
        if self.spectrum.rank != n:
            raise ValueError(
                f"`spectrum` must hold all {n} eigenvalues, got {self.spectrum.rank}; make it by Spectrum.from_gram."
            )
        new = [self.cross, self.nngp_cross, self.nngp_new]
        if any(part is None for part in new) and any(part is not None for part in new):
            raise ValueError("`cross`, `nngp_cross` and `nngp_new` must come together.")
        m = None if self.cross is None else len(matrix(self.cross, "cross"))
        for name, shape in {"nngp": (n, n), "cross": (m, n), "nngp_cross": (m, n), "nngp_new": (m, m)}.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, matrix(getattr(self, name), name, shape=shape))
        for name in ("nngp", "nngp_new"):
            if getattr(self, name) is not None:
                require_symmetric(getattr(self, name), name, 1e-8)
                if (np.diag(getattr(self, name)) < 0).any():
                    raise ValueError(f"`{name}` must be a covariance, got a negative variance.")

    @classmethod
    def of(cls, pair: Callable[..., tuple[Array, Array]], X: ArrayLike, X_new: ArrayLike | None = None) -> WideNetwork:
        """From inputs and a function that gives both kernels, ``pair(X)`` and ``pair(X_new, X)`` -> (tangent, NNGP).

        For any architecture: ``functools.partial(kdtheory.infinite.gram, network, get=("ntk", "nngp"))``.
        """
        theta, sigma = pair(X)
        if X_new is None:
            return cls(Spectrum.from_gram(theta), sigma)
        return cls(Spectrum.from_gram(theta), sigma, *pair(X_new, X), pair(X_new)[1])

    @classmethod
    def fully_connected(
        cls,
        X: ArrayLike,
        X_new: ArrayLike | None = None,
        *,
        depth: int,
        activation: str | DualActivation = "relu",
        weight_variance: float = 2.0,
        bias_variance: float = 0.0,
        output_layer: bool = True,
    ) -> WideNetwork:
        """From inputs, with the arguments of `kdtheory.kernels.ntk`; the initial function has the output layer in any case."""
        net = functools.partial(Network.of, depth, activation, weight_variance, bias_variance)
        tangent, prior = net(tangent=True, output_layer=output_layer), net(tangent=False)

        def pair(X: ArrayLike, X_train: ArrayLike | None = None) -> tuple[Array, Array]:
            return tangent.gram(X, X_train), prior.gram(X, X_train)

        features = matrix(X, "X").shape[1]
        return cls.of(pair, X, None if X_new is None else matrix(X_new, "X_new", shape=(None, features)))

    def trained(self, y: ArrayLike, filter: Filter, *, at: str | None = None) -> Ensemble:
        r"""Law of the outputs of networks trained on y.

        With fit, residual and dual of the training as functions of :math:`\Theta`: at the training points the mean is
        :math:`\mathrm{fit}\,y` and the covariance :math:`\mathrm{residual}\,\Sigma\,\mathrm{residual}`. At new points, with
        :math:`M = \Theta_{X'X}\,\mathrm{dual}`, they are :math:`My` and
        :math:`\Sigma_{X'X'} - M\Sigma_{XX'} - \Sigma_{X'X}M^\top + M\Sigma M^\top`.

        Parameters
        ----------
        y : (n,) or (n, p) array
        filter : Filter
            `GradientFlow` (for a time, or to infinity), `GradientDescent`, `Ridge` (a penalty on the distance from the
            initial parameters, sum of squares convention), ...
        at : {"train", "new"}, optional
            New points where the network has them, otherwise the training points.

        Raises
        ------
        ValueError
            If `y` does not fit, or new points are asked for and the network has none.
        """
        return self.distilled(y, filter, (), at=at)[0]

    def distilled(
        self,
        y: ArrayLike,
        filter: Filter,
        teacher_weights: ArrayLike,
        *,
        initialisation: Initialisation = "fresh",
        at: str | None = None,
    ) -> tuple[Ensemble, ...]:
        r"""Law of every network in a chain of students, round 0 to round T.

        Round t is trained on :math:`(1 - w_t)\,y + w_t f_{t-1}(X)`. The mean is the chain's kernel predictor in each case;
        what :math:`f_0` leaves behind depends on where the students start. With :math:`B_t` the chain's smoother and A the
        training's, at the training points

        * `same` initialisation: :math:`f_t = f_0 + B_t(y - f_0)`;
        * `fresh` ones: :math:`f_t = B_t y + \sum_{s \le t} \big(\prod_{j=s+1}^{t} w_j A\big)(I - A) f_0^{(s)}`,
          the teachers' noise handed down;
        * `centred` output (training :math:`f - f_0`): :math:`f_t = B_t y`, no spread at all.

        Parameters
        ----------
        y, filter, at
            As in `trained`.
        teacher_weights : (T,) array
        initialisation : {"fresh", "same", "centred"}

        Returns
        -------
        tuple of T + 1 Ensembles

        Raises
        ------
        ValueError
            As in `trained`; or if `initialisation` is none of the three.
        """
        require_filter(filter, "filter")
        weights = schedule(teacher_weights, "teacher_weights", may_be_empty=True).tolist()
        if initialisation not in ("fresh", "same", "centred"):
            raise ValueError(f"`initialisation` must be fresh, same or centred, got {initialisation!r}.")
        new = self._asks_for_new(at)
        labels = outputs(y, "y", length=self.spectrum.n)
        z = self.spectrum.project(labels)
        basis = self._cross if new else self.spectrum.eigenvectors
        ensembles = []
        for t in range(len(weights) + 1):
            chain = DistilledTraining(filter, weights[:t])
            multiplier = chain.dual(self.spectrum.eigenvalues) if new else chain.fit(self.spectrum.eigenvalues)
            mean = basis @ (multiplier[:, None] * column_shape(z))
            if initialisation == "centred":
                covariance = np.zeros((len(basis), len(basis)))
            else:
                covariance = self._spread(filter, weights[:t], fresh=initialisation == "fresh", new=new)
            ensembles.append(Ensemble(np.asarray(mean).reshape(len(basis), *labels.shape[1:]), covariance))
        return tuple(ensembles)

    def _asks_for_new(self, at: str | None) -> bool:
        if not (at is None or (isinstance(at, str) and at in ("train", "new"))):
            raise ValueError(f"`at` must be train or new, got {at!r}.")
        if at == "new" and self.cross is None:
            raise ValueError("`at` may be new only for a network with `cross`, `nngp_cross` and `nngp_new`.")
        return at == "new" or (at is None and self.cross is not None)

    @cached_property
    def _sigma(self) -> Array:
        """U' Sigma U."""
        U = self.spectrum.eigenvectors
        return np.asarray(U.T @ self.nngp @ U)

    @cached_property
    def _cross(self) -> Array:
        """Theta(X', X) U."""
        return np.asarray(np.asarray(self.cross) @ self.spectrum.eigenvectors)

    def _spread(self, filter: Filter, weights: list[float], *, fresh: bool, new: bool) -> Array:
        """Covariance of the last round: what is left of the initial functions, each a multiplier in the eigenbasis."""
        d = self.spectrum.eigenvalues
        own: Filter = filter if fresh else DistilledTraining(filter, weights)
        a, missed = filter.fit(d), filter.residual(d)
        handed_down = []  # multipliers of the initial functions of rounds 0 .. t - 1
        for s in range(len(weights) if fresh else 0):
            later = weights[s + 1 :]
            last = filter.dual(d) if new else a
            handed_down.append(weights[s] * float(np.prod(later)) * a ** len(later) * last * missed)
        if not new:
            handed_down.append(own.residual(d))
        gains = np.array(handed_down).reshape(len(handed_down), len(d))
        basis = self._cross if new else self.spectrum.eigenvectors
        covariance = basis @ (self._sigma * (gains.T @ gains)) @ basis.T
        if new:
            M = self._cross * own.dual(d)
            through = M @ np.transpose(np.asarray(self.nngp_cross) @ self.spectrum.eigenvectors)
            covariance += np.asarray(self.nngp_new) - through - through.T + M @ self._sigma @ M.T
        return np.asarray((covariance + covariance.T) / 2)
