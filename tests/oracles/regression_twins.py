"""Slow, obvious float64 NumPy twins of the clustered slope, written from the definitions.

Nothing is imported from the package. The whole design [x, Z] is solved at once, where the code it
checks takes Z out of x and y first.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def first_coefficient(y: Array, *columns: Array) -> float:
    """That of the first column in the least-squares fit of y on all of them."""
    return float(np.linalg.lstsq(np.column_stack(columns), y)[0][0])


def residual(y: Array, held: Array) -> Array:
    """What a fit on `held` leaves of y."""
    return y - held @ np.linalg.lstsq(held, y)[0]


def partial_correlation(y: Array, x: Array, held: Array) -> float:
    """From the inverse of the correlation matrix of y, x and the columns held, none constant."""
    precision = np.linalg.inv(np.corrcoef(np.column_stack([y, x, held]), rowvar=False))
    return float(-precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1]))


def inverse_root(matrix: Array) -> Array:
    """A^(−½) with the eigenvalues that are zero left at zero."""
    u, s, vt = np.linalg.svd(matrix)
    return u @ np.diag([value**-0.5 if value > 1e-8 else 0.0 for value in s]) @ vt


def cr2(y: Array, x: Array, held: Array, clusters: list[int]) -> tuple[float, float]:
    """Variance of the first coefficient, and the degrees of freedom of that variance.

    Sandwich B (Σ X_gᵀ A_g e_g e_gᵀ A_g X_g) B with B = (XᵀX)⁻¹ and A_g = (I − H_gg)^(−½). As a
    quadratic form yᵀ Ω y its expectation is tr Ω and its variance 2 tr Ω² for white y, and ν is
    that of the χ² with the same two moments.
    """
    X = np.column_stack([x, held])
    B = np.linalg.pinv(X.T @ X)
    M = np.eye(len(y)) - X @ B @ X.T
    e = M @ y
    meat = np.zeros_like(B)
    omega = np.zeros_like(M)
    for cluster in set(clusters):
        own = [i for i, one in enumerate(clusters) if one == cluster]
        A = inverse_root(M[np.ix_(own, own)])
        score = X[own].T @ A @ e[own]
        meat += np.outer(score, score)
        row = (B @ X[own].T @ A @ M[own])[0]
        omega += np.outer(row, row)
    variance = (B @ meat @ B)[0, 0]
    df = np.trace(omega) ** 2 / np.trace(omega @ omega)
    return float(variance), float(df)
