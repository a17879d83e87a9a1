"""What stands in W's place when an error is sent down: pure functions of the weight and of B0.

Each function takes the current weight `weight` and the initial feedback `initial` (None for a rule
that stores none) and returns the feedback B. A layer with weight W, y = Wx + b, that receives the
error δ = ∂L/∂y sends Bᵀδ to the layer below, where backpropagation sends Wᵀδ. Weights of a
convolution, [out, in / groups, kh, kw], are used in their own shape; matrix norms flatten them to
[out, in / groups · kh · kw]. sign(0) = 0: nothing is fed back through a weight that is zero.
"""

import torch
from torch import Tensor


def own_weight(weight: Tensor, initial: Tensor | None) -> Tensor:
    """B = W: backpropagation."""
    return weight


def fixed(weight: Tensor, initial: Tensor) -> Tensor:
    """B = B0, whatever W is: feedback alignment."""
    return initial


def sign_with_initial_magnitude(
    weight: Tensor, initial: Tensor, magnitude: str = "absolute"
) -> Tensor:
    """B = |B0| ⊙ sign(W), or B0 ⊙ sign(W) with magnitude = "signed"; same shape as W."""
    return (initial.abs() if magnitude == "absolute" else initial) * weight.sign()


def sign_with_shared_norm(
    weight: Tensor, initial: Tensor | None, norm: str = "frobenius"
) -> Tensor:
    """B = ‖W‖ · sign(W) / ‖sign(W)‖, zero where W is all zeros; same shape as W.

    Args:
        weight: W.
        initial: Not used: the rule stores nothing.
        norm: "frobenius", √Σw², or "spectral", the largest singular value.
    """
    order = 2 if norm == "spectral" else "fro"
    sign = weight.sign()
    matrix, sign_matrix = weight.flatten(1), sign.flatten(1)
    scale: Tensor = torch.linalg.matrix_norm(matrix, order)
    scale = scale / torch.linalg.matrix_norm(sign_matrix, order)
    # An all-zero weight has no sign to send through: 0 / 0 is taken as 0.
    return sign * scale.nan_to_num(nan=0.0)
