"""Small networks to be measured, and a record of everything that measuring must not change."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn


def small_network(seed: int, inplace: bool = False, width: int = 3) -> nn.Sequential:
    """Images [n, 2, 6, 6] to 4 classes: convolution, normalisation, two linear layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(2, width, 3),
                norm=nn.BatchNorm2d(width),
                relu1=nn.ReLU(inplace),
                flatten=nn.Flatten(),
                fc1=nn.Linear(16 * width, 5),
                relu2=nn.ReLU(inplace),
                dropout=nn.Dropout(0.5),
                fc2=nn.Linear(5, 4),
            )
        )


def images(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


def trace(network: nn.Module) -> list[Any]:
    """Parameters, gradients, buffers, modes, hooks: copies, for comparison with another moment."""
    tensors = [*network.parameters(), *network.buffers()]
    return [
        *[tensor.detach().clone() for tensor in tensors],
        *[None if p.grad is None else p.grad.clone() for p in network.parameters()],
        *[parameter.requires_grad for parameter in network.parameters()],
        *[module.training for module in network.modules()],
        *[len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()],
    ]


def same(before: list[Any], after: list[Any]) -> bool:
    return len(before) == len(after) and all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a is b or a == b
        for a, b in zip(before, after, strict=True)
    )
