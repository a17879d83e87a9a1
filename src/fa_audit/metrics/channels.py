"""Channel importance: which channels of a convolution carry the predicted class's logit."""

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from fa_audit.errors import AuditError

Absolute: TypeAlias = Literal["before", "none"]


def channel_importance(activation: Tensor, gradient: Tensor, absolute: Absolute) -> Tensor:
    """Gradient times activation, channel by channel, averaged over images.

    I_c = 1/n Σᵢ ḡᵢ_c · āᵢ_c, or 1/n Σᵢ |ḡᵢ_c · āᵢ_c|, a bar standing for the mean over space.

    Args:
        activation: a, [n, C, h, w], or [n, C] where spatial means were taken already.
        gradient: g = ∂(logit of the predicted class)/∂a, the same shape.
        absolute: "before": absolute value of each image's product, then the mean (the code of Lance
            & Kieu). "none": the signed mean (their equation), in which images can cancel.

    Returns:
        [C], float64; not negative under "before".

    Raises:
        AuditError: if shapes differ, are empty or have no channels, values are NaN or infinite, or
            absolute is unknown.

    Source: Lance & Kieu 2026, whose code and equation differ in the absolute value.
    """
    if absolute not in get_args(Absolute):
        raise AuditError(f"absolute {absolute!r} is unknown: use 'before' or 'none'")
    if activation.shape != gradient.shape:
        raise AuditError(
            f"activation {list(activation.shape)} and gradient {list(gradient.shape)} must have "
            "one shape"
        )
    product = _spatial_mean(gradient) * _spatial_mean(activation)
    return (product.abs() if absolute == "before" else product).mean(0)


def top_images(activation: Tensor, channels: Tensor, k: int) -> Tensor:
    """Images with the highest mean activation in each of the given channels.

    Args:
        activation: [n, C, h, w], or [n, C] where spatial means were taken already.
        channels: [c], channel indices in 0 … C−1.
        k: images per channel, 1 ≤ k ≤ n.

    Returns:
        [c, k], image indices, highest first; of equal images the earlier one first.

    Raises:
        AuditError: if k or a channel is out of range, or activation is as channel_importance
            refuses it.
    """
    means = _spatial_mean(activation)
    n, C = means.shape
    if not 1 <= k <= n:
        raise AuditError(f"top_images was asked for {k} of {n} images: ask for 1 to {n}")
    if channels.ndim != 1 or ((channels < 0) | (channels >= C)).any():
        raise AuditError(
            f"top_images was asked for channels {channels.tolist()}: list indices in 0 to {C - 1}"
        )
    order = torch.argsort(means[:, channels], dim=0, descending=True, stable=True)
    return order[:k].T


def _spatial_mean(maps: Tensor) -> Tensor:
    if maps.ndim < 2 or maps.numel() == 0 or not maps.isfinite().all():
        raise AuditError(
            f"channels need maps [n, C, h, w] of finite values, not empty, got shape "
            f"{list(maps.shape)}: measure a run that did not diverge"
        )
    return maps.detach().double().reshape(*maps.shape[:2], -1).mean(2)
