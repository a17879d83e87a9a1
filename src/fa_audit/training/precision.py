"""The arithmetic that networks are trained in. Weights and the optimizer are always float32."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fa_audit.errors import AuditError


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Within the block CUDA takes float32 products in TF32 for "tf32", else in full.

    PyTorch's own default is TF32 in convolutions and full float32 in matrix products.
    """
    backends: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def require_device(precision: str, device: torch.device) -> None:
    """Refuse arithmetic that the device does not have.

    Raises:
        AuditError: "tf32" on anything but CUDA.
    """
    if precision == "tf32" and device.type != "cuda":
        raise AuditError(
            f"precision is 'tf32', which only CUDA devices have, but the device is {device.type}; "
            "use float32 or bf16"
        )


def lowered(tensors: Mapping[str, Tensor], precision: str) -> dict[str, Tensor]:
    """The tensors in the type that the passes compute in; gradients go back to the originals."""
    if precision != "bf16":
        return dict(tensors)
    return {
        name: tensor.bfloat16() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def initial_feedback(network: nn.Module) -> dict[str, Tensor]:
    """B0 of every layer that has one: buffers that no pass changes."""
    return {
        name: buffer
        for name, buffer in network.named_buffers()
        if name.endswith("initial_feedback")
    }


def _of_normalisation(network: nn.Module, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of batch normalisation, which stay float32 beside its running statistics."""
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    prefixes = [f"{name}." for name, m in network.named_modules() if isinstance(m, norms)]
    return {
        f"{prefix}{name}": parameters[f"{prefix}{name}"]
        for prefix in prefixes
        for name in ("weight", "bias")
    }


def logits_with(
    network: nn.Module,
    parameters: Mapping[str, Tensor],
    feedback: Mapping[str, Tensor],
    images: Tensor,
    precision: str,
) -> Tensor:
    """What `network` would answer with these parameters, float32 [n, classes].

    Args:
        network: Gives the structure; its own parameters are not used.
        parameters: By name, float32 (float64 where exactness is tested); they take the gradients.
        feedback: B0 by name, already `lowered`.
        images: [n, ...].
        precision: "float32", "tf32" or "bf16".
    """
    if precision != "bf16":
        return cast(Tensor, functional_call(network, {**parameters, **feedback}, (images,)))
    values = {
        **lowered(parameters, precision),
        **_of_normalisation(network, parameters),
        **feedback,
    }
    return cast(Tensor, functional_call(network, values, (images.bfloat16(),))).float()
