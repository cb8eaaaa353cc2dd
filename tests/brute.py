"""The second route: definitions carried out literally, with solves and refits and nothing clever."""

import numpy as np


def chain_coefficients(K, y, ridge, weights):
    """Dual coefficients of each round, by one linear solve per round."""
    ridges = np.broadcast_to(ridge, len(weights) + 1)
    identity = np.eye(len(K))
    coefficients = [np.linalg.solve(K + ridges[0] * identity, y)]
    for weight, lam in zip(weights, ridges[1:], strict=True):
        targets = (1 - weight) * y + weight * (K @ coefficients[-1])
        coefficients.append(np.linalg.solve(K + lam * identity, targets))
    return np.array(coefficients)


def chain(cross, K, y, ridge, weights):
    """Predictions of each round at the rows of `cross`: (rounds + 1, rows[, p])."""
    return np.einsum("mi,ti...->tm...", cross, chain_coefficients(K, y, ridge, weights))


def leave_one_out(K, y, ridge, weights, points=None):
    """Predictions at each point by a chain refitted without it: (rounds + 1, points[, p])."""
    out = []
    for i in range(len(K)) if points is None else points:
        kept = np.arange(len(K)) != i
        coefficients = chain_coefficients(K[np.ix_(kept, kept)], y[kept], ridge, weights)
        out.append([K[i, kept] @ c for c in coefficients])
    return np.moveaxis(np.array(out), 0, 1)


def gram_from(spectrum, rng):
    """A Gram matrix with the given eigenvalues in a random basis."""
    basis, _ = np.linalg.qr(rng.normal(size=(len(spectrum), len(spectrum))))
    K = basis @ np.diag(spectrum) @ basis.T
    return (K + K.T) / 2


def relative(got, expected):
    """Largest difference, relative to the largest expected value."""
    return float(np.max(np.abs(np.asarray(got) - expected)) / max(np.max(np.abs(expected)), 1e-300))
