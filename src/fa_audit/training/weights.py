"""The weights of a network: all that decides what it answers, as checkpoints keep it."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fa_audit.rules import FeedbackLayer


def network_weights(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and running statistics by name, the network's own tensors.

    Left out is what a rule keeps beside them: B0 and the state of its draws decide how a network
    learns, not what it answers. A B that is trained is a parameter and belongs to them.
    """
    statistics = {
        f"{module_name}.{name}": buffer
        for module_name, module in network.named_modules()
        if not isinstance(module, FeedbackLayer)
        for name, buffer in module.named_buffers(recurse=False)
    }
    return {**dict(network.named_parameters()), **statistics}


def set_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights by name into `network`; what it has no place for, such as a trained B, is left.

    Args:
        network: With or without its rule. A trained B of which `weights` has none stays as it is.
        weights: What `network_weights` gave of a network of the same layers, with or without a
            rule.
    """
    with torch.no_grad():
        for name, own in network_weights(network).items():
            if name in weights or not name.endswith("trained_feedback"):
                own.copy_(weights[name])


def all_finite(network: nn.Module) -> bool:
    """Whether every weight is a finite number."""
    return all(bool(weight.isfinite().all()) for weight in network_weights(network).values())
