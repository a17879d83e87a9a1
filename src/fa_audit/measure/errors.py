"""How far the error that a rule sends down points away from backpropagation's."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fa_audit.measure.deliveries import deliveries
from fa_audit.measure.modes import evaluation_mode
from fa_audit.metrics.alignment import AngleSummary, ZeroErrors, mean_angle
from fa_audit.rules import as_backpropagation, feedback_layers


@dataclass(frozen=True)
class ErrorAngles:
    """Two angles of the error that one layer sends to the layer below, over a batch.

    Attributes:
        local: Between Bᵀδ and Wᵀδ for the error δ that the rule itself delivers to the layer: what
            this layer's feedback does. `norm_u` is ‖Bᵀδ‖, `norm_v` is ‖Wᵀδ‖. A direct rule sends
            Bᵀe, with e the error at the network's output, in place of Bᵀδ.
        true: Between Bᵀδ (Bᵀe) and the error that backpropagation through the whole network would
            put in the same place. `norm_v` is the norm of the latter.
    """

    local: AngleSummary
    true: AngleSummary


def error_angles(
    network: nn.Module, images: Tensor, labels: Tensor, zero_errors: ZeroErrors = "exclude"
) -> dict[str, ErrorAngles]:
    """Local and true error angles of every layer that carries a rule.

    Errors are gradients of each image's own cross-entropy, so norms do not depend on the size of
    the batch. The angle is taken per image and then averaged.

    Args:
        network: Images [n, ...] → logits [n, classes]; measured in evaluation mode.
        images: [n, ...].
        labels: int64 [n].
        zero_errors: What counts for an image whose error is zero: see `mean_angle`.

    Returns:
        Layer name → angles in degrees, in the order of registration, of the layers that run and
        lead to the logits, frozen ones included. Of a layer that runs several times the last run
        counts.

    Raises:
        AuditError: As `deliveries`; a convolution whose padding is not zeros, the same on both
            sides; an error that is not finite.
    """
    layers = feedback_layers(network)
    names = {layer: name for name, layer in layers.items()}
    with evaluation_mode(network):
        delivered = deliveries(network, images, labels, layers)
        with as_backpropagation(network):
            exact = deliveries(network, images, labels, layers)
    result = {}
    # What autocast made of the errors is kept, but it shall not lower these products too.
    with torch.autocast(images.device.type, enabled=False):
        for name in (name for name in layers if name in delivered):
            layer = layers[name]
            weight = layer.weight.detach()
            error = delivered[names[layer.error_source]].error
            size = delivered[name].input_size
            sent = layer.send(error, layer.feedback(), size)
            by_weight = layer.send(delivered[name].error, weight, size)
            true = layer.send(exact[name].error, weight, size)
            result[name] = ErrorAngles(
                local=mean_angle(sent, by_weight, zero_errors),
                true=mean_angle(sent, true, zero_errors),
            )
    return result
