"""The networks that the studies train."""

from functools import partial
from typing import Protocol

import torch
from torch import nn

from fa_audit.errors import AuditError
from fa_audit.networks.parts import NORMALISATIONS, require_normalisation
from fa_audit.networks.plain import architecture1, plain_cnn
from fa_audit.networks.resnet import resnet18

__all__ = [
    "NETWORKS",
    "NORMALISATIONS",
    "architecture1",
    "build_network",
    "plain_cnn",
    "require_normalisation",
    "resnet18",
]


class NetworkBuilder(Protocol):
    """Makes a network for so many classes; normalisation is a name in NORMALISATIONS, or None."""

    def __call__(self, classes: int, *, normalisation: str | None) -> nn.Module: ...


NETWORKS: dict[str, NetworkBuilder] = {
    "architecture1": architecture1,
    "cnn4": partial(plain_cnn, 4),
    "cnn8": partial(plain_cnn, 8),
    "cnn12": partial(plain_cnn, 12),
    "resnet18": resnet18,
}


def build_network(
    name: str, classes: int, generator: torch.Generator, normalisation: str | None = None
) -> nn.Module:
    """A network of NETWORKS with its own initialisation, drawn with the seed of `generator`.

    PyTorch's layers draw from the CPU's global generator; for the time of the construction it gets
    that seed, and is then put back as it was. What was drawn from `generator` before makes no
    difference, and nothing is drawn from it here: networks of one generator are alike.

    Args:
        name: A name in NETWORKS.
        classes: Number of outputs.
        generator: Its seed decides the initial weights; they are the same with and without
            normalisation.
        normalisation: A name in NORMALISATIONS, or None for none.

    Raises:
        AuditError: No such network or normalisation.
    """
    if name not in NETWORKS:
        raise AuditError(f"there is no network {name!r}; the networks are: {', '.join(NETWORKS)}")
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed every accelerator too, which nothing puts back.
        torch.default_generator.manual_seed(generator.initial_seed())
        return NETWORKS[name](classes, normalisation=normalisation)
