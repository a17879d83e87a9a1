"""Effective rank: how many directions a matrix really uses, in five definitions.

The literature says "effective rank" for all of them, and they differ, so each has a name here. On
singular values σ, with H the Shannon entropy in nats, always

    1 ≤ stable ≤ gram_participation ≤ entropy_squared ≤ participation ≤ entropy ≤ rank

with equality throughout for equal singular values. All are 1 for a rank-one matrix, n for n
orthonormal rows, and unchanged by scale and by orthogonal maps on either side.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from fa_audit.errors import AuditError


def entropy(sigma: Tensor) -> Tensor:
    """exp H(σ / Σσ): Roy & Vetterli 2007."""
    entropy_in_nats: Tensor = torch.special.entr(sigma / sigma.sum()).sum()
    return entropy_in_nats.exp()


def entropy_squared(sigma: Tensor) -> Tensor:
    """exp H(σ² / Σσ²): the same of the Gram matrix's eigenvalues."""
    return entropy(sigma.square())


def participation(sigma: Tensor) -> Tensor:
    """(Σσ)² / Σσ²: nuclear norm over Frobenius norm, squared."""
    return sigma.sum().square() / sigma.square().sum()


def gram_participation(sigma: Tensor) -> Tensor:
    """(Σσ²)² / Σσ⁴: participation ratio of the Gram matrix's eigenvalues."""
    return participation(sigma.square())


def stable(sigma: Tensor) -> Tensor:
    """Σσ² / max σ²: Frobenius norm over spectral norm, squared."""
    return sigma.square().sum() / sigma.max().square()


DEFINITIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "stable": stable,
    "gram_participation": gram_participation,
    "entropy_squared": entropy_squared,
    "participation": participation,
    "entropy": entropy,
}


def effective_rank(matrix: Tensor, definition: str) -> float:
    """Effective rank of a matrix.

    Args:
        matrix: [m, ...], flattened to [m, p]: errors by sample, a weight gradient by output, or a
            trajectory of gradients by step. Not centred.
        definition: a name in DEFINITIONS.

    Returns:
        In [1, min(m, p)].

    Raises:
        AuditError: if the matrix is empty, zero, NaN or infinite, or the definition is unknown.

    Source: Roy & Vetterli 2007 for "entropy".
    """
    return spectrum_rank(_singular_values(matrix), definition)


def effective_ranks(matrix: Tensor) -> dict[str, float]:
    """Effective rank of a matrix in every definition, from one decomposition.

    Args:
        matrix: [m, ...], as for effective_rank.

    Returns:
        Name to value, in the order of DEFINITIONS, which is increasing.

    Raises:
        AuditError: as effective_rank does.
    """
    return spectrum_ranks(_singular_values(matrix))


def spectrum_ranks(singular_values: Tensor) -> dict[str, float]:
    """Effective rank from singular values in every definition: see spectrum_rank."""
    sigma = singular_values.cpu()
    return {definition: spectrum_rank(sigma, definition) for definition in DEFINITIONS}


def spectrum_rank(singular_values: Tensor, definition: str) -> float:
    """Effective rank from singular values.

    Args:
        singular_values: [k], not negative, in any order and any scale.
        definition: a name in DEFINITIONS.

    Returns:
        In [1, k].

    Raises:
        AuditError: if they are empty, all zero, negative, NaN or infinite, or the definition is
            unknown.
    """
    if definition not in DEFINITIONS:
        raise AuditError(
            f"definition of effective rank {definition!r} is unknown: use {', '.join(DEFINITIONS)}"
        )
    sigma = singular_values.detach().double()
    usable = sigma.ndim == 1 and sigma.numel() > 0 and sigma.isfinite().all() and (sigma >= 0).all()
    if not (usable and sigma.max() > 0):
        raise AuditError(
            "effective rank needs a list of singular values that are finite, not negative and not "
            f"all zero, got {sigma.flatten()[:8].tolist()}"
        )
    return float(DEFINITIONS[definition](sigma / sigma.max()))


def gram_singular_values(matrix: Tensor) -> Tensor:
    """Singular values by way of the smaller Gram matrix, quick where a matrix is far from square.

    σ = √eig(M Mᵀ), or of Mᵀ M, in float64. A root keeps half the digits: values below √(k ε) of
    the largest, 2.4e-7 for k = 256, cannot be told from zero and are given as zero.

    Args:
        matrix: [m, ...], flattened to [m, p]; float32 entries are rounded by about as much.

    Returns:
        [k], k = min(m, p), descending.

    Raises:
        AuditError: if the matrix is empty, NaN or infinite.
    """
    rows = _usable(matrix)
    largest = rows.abs().max()
    if largest == 0:
        return largest.new_zeros(min(rows.shape), dtype=torch.float64)
    rows = (rows if rows.shape[0] <= rows.shape[1] else rows.T).double()
    extreme = not 1e-100 < largest < 1e100  # squares would overflow or vanish
    scale = float(largest) if extreme else 1.0
    if extreme:
        rows = rows / scale
    eigenvalues = torch.linalg.eigvalsh(rows @ rows.T).flip(0)
    unresolved = len(rows) * torch.finfo(torch.float64).eps * eigenvalues[0]
    sigma: Tensor = scale * eigenvalues.where(eigenvalues > unresolved, 0).sqrt()
    return sigma


def _singular_values(matrix: Tensor) -> Tensor:
    sigma: Tensor = torch.linalg.svdvals(_usable(matrix).double())
    return sigma


def _usable(matrix: Tensor) -> Tensor:
    """The matrix as [m, p]."""
    if matrix.ndim < 2 or matrix.numel() == 0 or not matrix.isfinite().all():
        raise AuditError(
            f"effective rank needs a matrix [m, ...] of finite values, not empty, got shape "
            f"{list(matrix.shape)}: measure a run that did not diverge"
        )
    return matrix.detach().flatten(1)
