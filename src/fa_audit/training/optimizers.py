"""The optimizers of the studies."""

import torch
from torch import nn

from fa_audit.errors import AuditError
from fa_audit.measure import measured_layers
from fa_audit.training.configuration import TrainingSettings
from fa_audit.training.muon import MuonWithAdamW


def build_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer of a network's trained parameters.

    "adam": Adam as published (β 0.9, 0.999, ε 1e-8, L2 decay), all parameters in one fused step.
    "muon": Muon for `hidden_matrices`, AdamW for the first and the last layer, biases and
    normalisation: see `MuonWithAdamW`.

    Raises:
        AuditError: As `trained_parameters` and `MuonWithAdamW`.
    """
    trained = trained_parameters(network, settings)
    if settings.optimizer == "adam":
        return torch.optim.Adam(
            trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
    assert settings.muon_learning_rate is not None
    hidden = {id(parameter) for parameter in hidden_matrices(network)}
    return MuonWithAdamW(
        [parameter for parameter in trained if id(parameter) in hidden],
        [parameter for parameter in trained if id(parameter) not in hidden],
        muon_learning_rate=settings.muon_learning_rate,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )


def hidden_matrices(network: nn.Module) -> list[nn.Parameter]:
    """Weights, and B where it is trained, of every Linear and Conv2d layer but first and last.

    First and last in the order of registration, which in NETWORKS is that of running.
    """
    return [
        parameter
        for name in measured_layers(network)[1:-1]
        for parameter in network.get_submodule(name).parameters(recurse=False)
        if parameter.ndim > 1
    ]


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
