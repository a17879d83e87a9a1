"""The networks that the studies train."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn

from fa_audit.errors import AuditError


def architecture1(classes: int = 10, width: int = 64) -> nn.Sequential:
    """Architecture 1 of Moskovitz et al. 2018, the five-layer network of Lance & Kieu 2026.

    conv1 3→64 5×5 · pool · ReLU · conv2 64→64 5×5 · pool · ReLU · fc1 576→384 · ReLU ·
    fc2 384→192 · ReLU · fc3 192→classes. No padding; 2×2 max pooling; images [n, 3, 24, 24].

    Differs from the source in the order of pooling and ReLU, which commute: max pooling first
    leaves the ReLU a quarter of the values.

    Args:
        classes: Number of outputs.
        width: Channels of both convolutions; fc1 and fc2 have 6 and 3 times as many units.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, width, 5),
            pool1=nn.MaxPool2d(2),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, width, 5),
            pool2=nn.MaxPool2d(2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(9 * width, 6 * width),
            relu3=nn.ReLU(),
            fc2=nn.Linear(6 * width, 3 * width),
            relu4=nn.ReLU(),
            fc3=nn.Linear(3 * width, classes),
        )
    )


NETWORKS: dict[str, Callable[[int], nn.Module]] = {"architecture1": architecture1}


def build_network(name: str, classes: int, generator: torch.Generator) -> nn.Module:
    """A network of NETWORKS with PyTorch's default initialisation, drawn from `generator`.

    PyTorch's layers draw from the global generator; it is seeded from `generator` for the time of
    the construction and then put back as it was.

    Raises:
        AuditError: No such network.
    """
    if name not in NETWORKS:
        raise AuditError(f"there is no network {name!r}; the networks are: {', '.join(NETWORKS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        return NETWORKS[name](classes)
