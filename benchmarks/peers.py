"""What one would otherwise run for a grid of self-distilled kernel ridge regressions: every program returns (L, A, T + 1).

Each is written as a careful user of the library would write it, and is given the Gram matrix; compilation is not timed.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
import torch
from sklearn.kernel_ridge import KernelRidge

import kdtheory as kd

jax.config.update("jax_enable_x64", True)


def ours(K, y, cross, y_val, ridges, weights, rounds):
    return kd.risk_grid(kd.Spectrum.from_gram(K), y, cross, y_val, ridges=ridges, teacher_weights=weights, rounds=rounds)


def scikit_learn(K, y, cross, y_val, ridges, weights, rounds):
    """One KernelRidge per model."""
    risks = np.empty((len(ridges), len(weights), rounds + 1))
    for i, ridge in enumerate(ridges):
        for j, weight in enumerate(weights):
            targets = y
            for t in range(rounds + 1):
                model = KernelRidge(alpha=ridge, kernel="precomputed").fit(K, targets)
                risks[i, j, t] = np.mean((model.predict(cross) - y_val) ** 2)
                targets = (1 - weight) * y + weight * model.predict(K)
    return risks


def notebook(K, y, cross, y_val, ridges, weights, rounds):
    """The procedure of Borup & Andersen's notebook in our words: an explicit inverse and the smoother matrix in every round."""
    risks = np.empty((len(ridges), len(weights), rounds + 1))
    for i, ridge in enumerate(ridges):
        for j, weight in enumerate(weights):
            targets = y
            for t in range(rounds + 1):
                inverse = np.linalg.inv(K + ridge * np.eye(len(K)))
                smoother = K @ inverse
                risks[i, j, t] = np.mean((cross @ (inverse @ targets) - y_val) ** 2)
                targets = (1 - weight) * y + weight * (smoother @ targets)
    return risks


@partial(jax.jit, static_argnums=6)
def _jax_eigh(K, y, cross, y_val, ridges, weights, rounds):
    d, U = jnp.linalg.eigh(K)
    V, z = cross @ U, U.T @ y

    def chain(ridge, weight):
        def step(fit, _):
            mix = (1 - weight) + weight * fit
            dual = mix / (d + ridge)
            return d * dual, jnp.mean((V @ (dual[:, None] * z) - y_val) ** 2)

        return jax.lax.scan(step, jnp.ones_like(d), length=rounds + 1)[1]

    # round 0 has the perfect fit before it: whatever the weight, its mix is the labels
    return jax.lax.map(lambda ridge: jax.vmap(partial(chain, ridge))(weights), ridges)


@partial(jax.jit, static_argnums=6)
def _jax_cholesky(K, y, cross, y_val, ridges, weights, rounds):
    def chain(factor, weight):
        def step(fit, _):
            c = jax.scipy.linalg.cho_solve((factor, True), (1 - weight) * y + weight * fit)
            return K @ c, jnp.mean((cross @ c - y_val) ** 2)

        return jax.lax.scan(step, y, length=rounds + 1)[1]

    def one_ridge(ridge):
        factor = jnp.linalg.cholesky(K + ridge * jnp.eye(len(K)))
        return jax.vmap(partial(chain, factor))(weights)

    return jax.lax.map(one_ridge, ridges)


def jax_eigh(*problem):
    return np.asarray(_jax_eigh(*problem))


def jax_cholesky(*problem):
    return np.asarray(_jax_cholesky(*problem))


def torch_cholesky(K, y, cross, y_val, ridges, weights, rounds):
    """One factorisation per ridge; the rounds of all weights and outputs are columns of the same solves."""
    K, y, cross, y_val = (torch.from_numpy(np.ascontiguousarray(a)) for a in (K, y, cross, y_val))
    w = torch.as_tensor(weights)[:, None]
    columns = y[:, None, :]  # (n, 1, p)
    risks = np.empty((len(ridges), len(weights), rounds + 1))
    for i, ridge in enumerate(ridges):
        factor = torch.linalg.cholesky(K + ridge * torch.eye(len(K), dtype=K.dtype))
        fit = columns.expand(-1, len(w), -1)
        for t in range(rounds + 1):
            targets = ((1 - w) * columns + w * fit).reshape(len(K), -1)
            c = torch.cholesky_solve(targets, factor)
            fit = (K @ c).reshape(len(K), len(w), -1)
            errors = (cross @ c).reshape(len(cross), len(w), -1) - y_val[:, None, :]
            risks[i, :, t] = (errors**2).mean(dim=(0, 2))
    return risks
