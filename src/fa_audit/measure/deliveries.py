"""The errors that really arrive at layers in a backward pass, whatever rule brings them there."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit.errors import AuditError


@dataclass(frozen=True, eq=False)
class Delivery:
    """What one layer takes part in.

    Attributes:
        error: ∂L/∂y [n, ...] for the layer's output y, before any nonlinearity; L is the sum of the
            images' cross-entropies, so an image's error does not depend on the others.
        input_size: Size of the layer's input, [n, ...].
        is_output: Whether y is what the network returned: then the error is softmax(y) − truth.
    """

    error: Tensor
    input_size: torch.Size
    is_output: bool


def deliveries(
    network: nn.Module, images: Tensor, labels: Tensor, layers: Mapping[str, nn.Module]
) -> dict[str, Delivery]:
    """The error delivered to each layer under the network's own rule, in its present mode.

    Args:
        network: Images [n, ...] → logits [n, classes].
        images: [n, ...].
        labels: int64 [n].
        layers: Modules of the network by name. Of one that runs several times the last counts.

    Returns:
        Layer name → delivery, in the order in which the layers ran; those that did not run and
        those that do not lead to the logits are left out, and where images are integers also those
        that nothing trainable leads to.

    Raises:
        AuditError: An in-place operation overwrote a layer's output, so that its error cannot be
            read; there is no layer, none runs, or nothing trainable leads to any and images are
            integers.
    """
    names = {layer: name for name, layer in layers.items()}
    outputs: dict[str, tuple[Tensor, int]] = {}
    sizes: dict[str, torch.Size] = {}

    def record(
        layer: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], output: Tensor
    ) -> None:
        if output.requires_grad:
            outputs[names[layer]] = output, output._version
            sizes[names[layer]] = (args[0] if args else kwargs["input"]).shape

    hooks = [layer.register_forward_hook(record, with_kwargs=True) for layer in layers.values()]
    try:
        with torch.enable_grad():
            # Images that ask for a gradient bring errors to frozen layers too. The copy is there
            # because a network may overwrite what it is given, which a leaf would refuse.
            if images.is_floating_point():
                images = images.detach().requires_grad_().clone()
            logits = network(images)
            loss = F.cross_entropy(logits, labels, reduction="sum")
    finally:
        for hook in hooks:
            hook.remove()
    for name, (output, version) in outputs.items():
        if output._version != version:
            raise AuditError(
                f"the output of {name} was overwritten by an in-place operation, so the error "
                "delivered to it cannot be read; replace inplace=True by the ordinary form"
            )
    if not outputs:
        raise AuditError(
            f"no error arrives at any layer of {type(network).__name__} that could be measured: "
            "it has none of the kind, none of them runs, or nothing below them is trained and "
            "images are integers; put a rule into it, or let weights require gradients"
        )
    errors = torch.autograd.grad(
        loss, [output for output, _ in outputs.values()], allow_unused=True
    )
    return {
        name: Delivery(error, sizes[name], output is logits)
        for (name, (output, _)), error in zip(outputs.items(), errors, strict=True)
        if error is not None
    }
