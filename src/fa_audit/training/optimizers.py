"""The optimizers of the studies."""

from collections.abc import Iterable

import torch
from torch import nn

from fa_audit.errors import AuditError
from fa_audit.training.configuration import TrainingSettings


def build_optimizer(
    parameters: Iterable[nn.Parameter], settings: TrainingSettings
) -> torch.optim.Optimizer:
    """Adam as published (β 0.9, 0.999, ε 1e-8, L2 decay), all parameters in one fused step."""
    return torch.optim.Adam(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )


def trained_parameters(network: nn.Module, settings: TrainingSettings) -> list[nn.Parameter]:
    """The parameters that the optimizer is to change.

    Raises:
        AuditError: `trained_layers` names a layer without parameters, or one that is not there.
    """
    if settings.trained_layers is None:
        return list(network.parameters())
    layers = {name: list(layer.parameters()) for name, layer in network.named_modules() if name}
    for name in settings.trained_layers:
        if not layers.get(name):
            raise AuditError(
                f"trained_layers names {name!r}, which is no layer with weights; choose from: "
                + ", ".join(name for name, parameters in layers.items() if parameters)
            )
    return [parameter for name in settings.trained_layers for parameter in layers[name]]
