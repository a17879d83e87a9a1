"""The same study written the plain way: what a replication looks like without fa-audit.

PIL transforms behind a DataLoader, PyTorch's default memory layout, ReLU before pooling, module
hooks that replace the error a layer sends down, one `.item()` per step. It is the measure of
fa-audit's speed.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
SCALE = {"fa_random": 0.01, "fa_toeplitz": 0.01, "usf_init": 0.1}
Kept = slice | np.ndarray
"""Which of the records to keep."""


class Network(nn.Module):
    """Architecture 1 in the order in which it is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 64, 5), nn.Conv2d(64, 64, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(576, 384), nn.Linear(384, 192), nn.Linear(192, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as PIL pictures with transforms, one at a time."""

    def __init__(self, folder: Path, files: list[str], keep: Kept, training: bool) -> None:
        raw = np.concatenate(
            [np.fromfile(folder / f"{name}.bin", np.uint8).reshape(-1, 3073) for name in files]
        )[keep]
        self.labels = raw[:, 0].astype(int).tolist()
        self.pixels = raw[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()
        cut = (
            [transforms.RandomCrop(24), transforms.RandomHorizontalFlip()]
            if training
            else [transforms.CenterCrop(24)]
        )
        self.transform = transforms.Compose(
            [*cut, transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def hook_rule(network: Network, rule: str, feedback: dict[str, Tensor] | None = None) -> None:
    """Let full backward hooks replace what each layer after the first sends down."""
    for name in ("conv2", "fc1", "fc2", "fc3"):
        layer = getattr(network, name)
        shape = (2304, 6400) if rule == "fa_random" and name == "conv2" else layer.weight.shape
        initial = torch.randn(shape) * SCALE.get(rule, 0.0)
        if feedback is not None and name in feedback:
            initial = feedback[name]
        layer.register_full_backward_hook(_hook(rule, layer, initial))


def _hook(rule: str, layer: nn.Module, initial: Tensor):  # type: ignore[no-untyped-def]
    def hook(module, grad_input, grad_output):  # type: ignore[no-untyped-def]
        weight, error = module.weight, grad_output[0]
        if rule in ("fa_random", "fa_toeplitz"):
            B = initial
        elif rule == "usf_init":
            B = initial.abs() * weight.sign()
        else:
            sign = weight.sign()
            B = weight.norm() * sign / sign.norm()
        if B.ndim == 2 and error.ndim == 4:
            return ((error.flatten(1) @ B).view(len(error), 64, 10, 10),)
        if error.ndim == 4:
            return (F.conv_transpose2d(error, B),)
        return (error @ B,)

    return hook


class PlainLoop:
    """One run of one rule; `epoch()` trains one epoch and validates."""

    def __init__(self, folder: Path, rule: str, train: Kept, validation: Kept) -> None:
        files = [f"data_batch_{i}" for i in range(1, 6)]
        pictures = Pictures(folder, files, train, training=True)
        held_out = Pictures(folder, files, validation, training=False)
        self.loader = DataLoader(pictures, 128, shuffle=True)
        self.validation = DataLoader(held_out, 128)
        self.network = Network()
        if rule != "bp":
            hook_rule(self.network, rule)
        decay = 1e-4 if rule == "bp" else 0.0
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, weight_decay=decay)

    def epoch(self) -> float:
        """Validation accuracy in % after one more epoch."""
        self.network.train()
        for images, labels in self.loader:
            self.step(images, labels)
        return self.validate()

    def step(self, images: Tensor, labels: Tensor) -> float:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.network(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def validate(self) -> float:
        self.network.eval()
        with torch.no_grad():
            right = [
                (self.network(images).argmax(1) == labels).float()
                for images, labels in self._held()
            ]
        return 100 * torch.cat(right).mean().item()

    def _held(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from self.validation
