"""Angles between errors, and the angle that the weights alone predict.

An angle says nothing about size: a vanishing error has an angle too. Every mean angle therefore
comes with the mean norms of both sides and with the number of samples that had no angle at all.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from fa_audit.errors import AuditError

ZeroErrors: TypeAlias = Literal["exclude", "ninety"]


@dataclass(frozen=True)
class AngleSummary:
    """Mean angle of n pairs of vectors with what is needed to read it.

    Attributes:
        angle: mean in degrees, in [0, 180]; None where no pair has an angle.
        n: pairs, those with a zero vector included.
        zeros: pairs in which at least one vector is zero.
        norm_u: mean L2 norm of the first vectors, over all n.
        norm_v: mean L2 norm of the second vectors, over all n.
    """

    angle: float | None
    n: int
    zeros: int
    norm_u: float
    norm_v: float


def angles(u: Tensor, v: Tensor) -> Tensor:
    """Angle between two vectors, sample by sample.

    θ = 2 · atan2(‖û − v̂‖, ‖û + v̂‖), û = u/‖u‖, v̂ = v/‖v‖: exact to rounding at every angle, where
    arccos of a cosine loses half the digits near 0° and 180°.

    Args:
        u: [n, ...], one vector per sample once flattened.
        v: the same shape.

    Returns:
        [n], float64, degrees in [0, 180]; NaN where either vector is zero.

    Raises:
        AuditError: if shapes differ, are empty or have no second dimension, or a value is NaN or
            infinite.

    Source: Kahan 2006.
    """
    if u.shape != v.shape or u.ndim < 2 or u.numel() == 0:
        raise AuditError(
            "angles need two tensors of one shape [samples, ...], not empty, got "
            f"{list(u.shape)} and {list(v.shape)}"
        )
    a, b = _unit_rows(u), _unit_rows(v)
    norm = torch.linalg.vector_norm
    return torch.rad2deg(2 * torch.atan2(norm(a - b, dim=1), norm(a + b, dim=1)))


def mean_angle(u: Tensor, v: Tensor, zero_errors: ZeroErrors = "exclude") -> AngleSummary:
    """Mean over samples of the angle between two vectors, with their norms.

    Args:
        u: [n, ...], one vector per sample.
        v: the same shape.
        zero_errors: what a sample with a zero vector counts as. "exclude": nothing, it is only
            counted. "ninety": 90°, as a cosine clamped by an epsilon has it (Lance & Kieu's code).

    Returns:
        The summary; its angle is None where every sample is excluded.

    Raises:
        AuditError: as angles does, and if zero_errors is unknown.
    """
    if zero_errors not in get_args(ZeroErrors):
        raise AuditError(f"zero_errors {zero_errors!r} is unknown: use 'exclude' or 'ninety'")
    theta = angles(u, v)
    zero = theta.isnan()
    kept = theta[~zero] if zero_errors == "exclude" else theta.masked_fill(zero, 90.0)
    return AngleSummary(
        angle=float(kept.mean()) if len(kept) else None,
        n=len(theta),
        zeros=int(zero.sum()),
        norm_u=_mean_norm(u),
        norm_v=_mean_norm(v),
    )


def predicted_angle(weight: Tensor, feedback: Tensor) -> float:
    """Angle between Wᵀδ and Bᵀδ that errors δ independent of both would show.

    cos θ = ⟨W, B⟩ / (‖W‖_F ‖B‖_F), the angle between the two matrices read as vectors, since
    E⟨Wᵀδ, Bᵀδ⟩ = σ²⟨W, B⟩ for δ with independent entries. Neither width nor scale enters. A
    measured angle that differs shows how the errors depend on the weights. Of a convolution that
    holds where every entry of the kernel has as many wires as any other, so without padding, and
    nearly where maps are large against kernels; on 1 × 1 or 2 × 2 maps with padding it may be
    several degrees off.

    Args:
        weight: W, any shape.
        feedback: B, the feedback used in W's place, the same shape.

    Returns:
        Degrees, in [0, 180].

    Raises:
        AuditError: if shapes differ, or a tensor is empty, zero, NaN or infinite.
    """
    theta = angles(weight.reshape(1, -1), _same_shape(weight, feedback).reshape(1, -1)).item()
    if math.isnan(theta):
        raise AuditError(
            "the predicted angle is undefined because the weight or the feedback is zero throughout"
        )
    return theta


def sign_angle(weight: Tensor, magnitude: Tensor | None = None) -> float:
    """Predicted angle of a feedback that has the weight's signs: B = |M| ⊙ sign(W).

    cos θ = E[|w||m|] / √(E[w²] E[m²]); with all magnitudes equal, as in uSF SN,
    cos θ = E|w| / √E[w²]. Uniform weights give 30.0° and, with Gaussian magnitudes as in uSF Init,
    46.3°; Gaussian weights give 37.1° and 50.5°. sign(0) = 0, so zero weights carry no magnitude.

    Args:
        weight: W, any shape.
        magnitude: M, the same shape, of which the absolute value is used; None: all equal.

    Returns:
        Degrees, in [0, 90].

    Raises:
        AuditError: as predicted_angle does.
    """
    M = torch.ones_like(weight) if magnitude is None else _same_shape(weight, magnitude).abs()
    return predicted_angle(weight, M * weight.sign())


def _unit_rows(x: Tensor) -> Tensor:
    """Rows of unit length, float64; NaN where a row is zero."""
    x = x.detach().flatten(1).double()
    peak = x.abs().amax(1, keepdim=True)  # divided out first: squares neither over- nor underflow
    if not peak.isfinite().all():
        raise AuditError(
            f"vectors of shape {list(x.shape)} hold NaN or infinite values, so their angles are "
            "undefined: measure a run that did not diverge"
        )
    x = x / peak
    norm: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / norm


def _mean_norm(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x.detach().flatten(1).double(), dim=1).mean())


def _same_shape(weight: Tensor, other: Tensor) -> Tensor:
    if weight.shape != other.shape:
        raise AuditError(
            f"weight {list(weight.shape)} and feedback {list(other.shape)} differ in shape, so no "
            "angle is predicted: use a feedback of the weight's own shape"
        )
    return other
