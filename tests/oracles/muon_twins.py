"""Slow, obvious float64 NumPy twins of Muon, written from its description."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

A, B, C = 3.4445, -4.7750, 2.0315
MOMENTUM, STEPS = 0.95, 5


def quintic(x: Array) -> Array:
    """What becomes of a singular value x = σ / ‖·‖ in five steps."""
    for _ in range(STEPS):
        x = A * x + B * x**3 + C * x**5
    return x


def polar_factor(X: Array) -> Array:
    """The nearest matrix with orthonormal rows or columns, U Vᵀ."""
    U, _, Vt = np.linalg.svd(X, full_matrices=False)
    return U @ Vt


def orthogonalised(X: Array) -> Array:
    """X with each singular value σ replaced by quintic(σ / ‖X‖)."""
    norm = np.linalg.norm(X)
    if norm == 0:
        return np.zeros_like(X)
    U, singular_values, Vt = np.linalg.svd(X, full_matrices=False)
    return U @ np.diag(quintic(singular_values / norm)) @ Vt


def iterated(X: Array) -> Array:
    """The same by products of matrices, without any decomposition."""
    X = X / np.linalg.norm(X)
    for _ in range(STEPS):
        X = A * X + B * X @ X.T @ X + C * X @ X.T @ X @ X.T @ X
    return X


def muon(W: Array, gradients: list[Array], rate: float, decay: float) -> Array:
    """A matrix after some steps."""
    momentum = np.zeros_like(W)
    scale = np.sqrt(max(1, W.shape[0] / W.shape[1]))
    for gradient in gradients:
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        looking_ahead = (1 - MOMENTUM) * gradient + MOMENTUM * momentum
        W = W - rate * decay * W - rate * scale * orthogonalised(looking_ahead)
    return W
