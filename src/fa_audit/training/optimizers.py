"""The optimizers of the studies."""

from collections.abc import Iterable

import torch
from torch import nn

from fa_audit.training.configuration import TrainingSettings


def build_optimizer(
    parameters: Iterable[nn.Parameter], settings: TrainingSettings
) -> torch.optim.Optimizer:
    """Adam as published (β 0.9, 0.999, ε 1e-8, L2 decay), all parameters in one fused step."""
    return torch.optim.Adam(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
