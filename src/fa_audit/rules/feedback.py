"""What stands in W's place when an error is sent down: pure functions of W and a random part.

Each function takes the current weight `weight` and the rule's random part (`initial` where that is
B0; None for a rule that has none) and returns the feedback B. A layer with weight W, y = Wx + b,
that receives the error δ = ∂L/∂y sends Bᵀδ to the layer below, where backpropagation sends Wᵀδ.
Weights of a convolution, [out, in / groups, kh, kw], are used in their own shape; matrix norms
flatten them to [out, in / groups · kh · kw]. sign(0) = 0: nothing is fed back through a weight that
is zero.
"""

from typing import cast

import torch
from torch import Tensor


def own_weight(weight: Tensor, initial: Tensor | None) -> Tensor:
    """B = W: backpropagation."""
    return weight


def fixed(weight: Tensor, initial: Tensor) -> Tensor:
    """B = B0, whatever W is: feedback alignment."""
    return initial


def trained(weight: Tensor, current: Tensor) -> Tensor:
    """B = B as the optimizer has left it, and open to its next gradient: Kolen–Pollack."""
    return current


def sign_with_random_magnitude(
    weight: Tensor, random: Tensor, magnitude: str = "absolute"
) -> Tensor:
    """B = |R| ⊙ sign(W), or R ⊙ sign(W) with magnitude = "signed"; same shape as W.

    R is B0, or drawn anew for every pass.
    """
    return (random.abs() if magnitude == "absolute" else random) * weight.sign()


def sign_with_shared_norm(
    weight: Tensor, initial: Tensor | None, norm: str = "frobenius"
) -> Tensor:
    """B = ‖W‖ · sign(W) / ‖sign(W)‖, zero where W is all zeros; same shape and type as W.

    Args:
        weight: W.
        initial: Not used: the rule has no random part.
        norm: "frobenius", √Σw², or "spectral", the largest singular value.
    """
    sign = weight.sign()
    # Either norm of a sign matrix is at least 1 unless it is all zeros; then 0 / 0 is taken as 0.
    scale = _matrix_norm(weight, norm) / _matrix_norm(sign, norm).clamp(min=1)
    return (sign * scale).to(weight.dtype)


def _matrix_norm(weight: Tensor, norm: str) -> Tensor:
    """A norm of the flattened weight in float32 or better, NaN where the weight has diverged."""
    matrix = weight.flatten(1).to(torch.promote_types(weight.dtype, torch.float32))
    if norm == "frobenius":
        return cast(Tensor, torch.linalg.matrix_norm(matrix))
    # LAPACK raises on what is not finite, which would end the run and, where many networks are
    # trained as one, that of the others too.
    finite = matrix.isfinite()
    size: Tensor = torch.linalg.matrix_norm(torch.where(finite, matrix, 0), 2)
    return torch.where(finite.all(), size, float("nan"))
