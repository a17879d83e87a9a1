"""Slow, obvious twins of what is done to updates: numpy's SVD, singular value by singular value.

Nothing is imported from the package.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def truncated(update: Array, rank: int) -> Array:
    """The `rank` largest singular values as they are, at the norm of the update."""
    U, sigma, Vt = np.linalg.svd(update, full_matrices=False)
    kept = sum(sigma[i] * np.outer(U[:, i], Vt[i]) for i in range(min(rank, len(sigma))))
    return resized(kept, update)


def flattened(update: Array, rank: int) -> Array:
    """The `rank` largest singular values, all made 1, at the norm of the update."""
    U, _, Vt = np.linalg.svd(update, full_matrices=False)
    return resized(sum(np.outer(U[:, i], Vt[i]) for i in range(rank)), update)


def resized(changed: Array, update: Array) -> Array:
    return changed * np.linalg.norm(update) / np.linalg.norm(changed)
