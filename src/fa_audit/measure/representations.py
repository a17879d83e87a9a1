"""Similarity of what two networks compute, layer by layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure.modes import evaluation_mode
from fa_audit.metrics.cka import MinibatchCKA, gram
from fa_audit.streams import stream

ESTIMATOR = "linear CKA, debiased HSIC summed over minibatches"


@dataclass(frozen=True)
class Similarity:
    """CKA between every layer of one network and every layer of another.

    Attributes:
        matrix: [rows, columns] float64, in [−1, 1]; 0 is what unrelated representations give.
        rows: Layers of the first network.
        columns: Layers of the second network.
        features_rows: p, the number of features of each row's layer.
        features_columns: The same for the columns.
        images: n, the images used in one pass; those of a last partial batch are left out.
        batch_size: Images per batch.
        passes: How often all images were gone through, in another order each time.
    """

    matrix: Tensor
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    features_rows: tuple[int, ...]
    features_columns: tuple[int, ...]
    images: int
    batch_size: int
    passes: int

    def __str__(self) -> str:
        width = max(len(name) for name in ("0.000", *self.rows, *self.columns)) + 2
        lines = [
            f"{ESTIMATOR}; n = {self.images}",
            " " * width + "".join(name.rjust(width) for name in self.columns),
        ]
        for name, values in zip(self.rows, self.matrix.tolist(), strict=True):
            lines.append(name.ljust(width) + "".join(f"{value:{width}.3f}" for value in values))
        return "\n".join(lines)


def measured_layers(network: nn.Module) -> tuple[str, ...]:
    """Names of the Linear and Conv2d layers, with or without a rule: where CKA is taken."""
    return tuple(
        name for name, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)
    )


def compare(
    first: nn.Module,
    second: nn.Module,
    images: Tensor,
    *,
    batch_size: int = 256,
    passes: int = 1,
    seed: int = 0,
) -> Similarity:
    """CKA of every layer pair of two networks on the same images.

    Representations are the outputs of the Linear and Conv2d modules themselves, before any
    activation or pooling, flattened.

    Args:
        first: Its layers are the rows.
        second: Its layers are the columns.
        images: [n, ...], n ≥ 4, as both networks take them.
        batch_size: Images per minibatch, at least 4; all n where there are fewer. A last partial
            batch is left out of each pass, as in Lance & Kieu 2026.
        passes: Passes over the images, each in another order.
        seed: Seed of the orders.

    Raises:
        AuditError: Fewer than 4 images; no pass; a layer whose output is the same for every image.
    """
    if passes < 1:
        raise AuditError(f"CKA was asked for over {passes} passes; it needs at least 1")
    n = len(images)
    size = min(batch_size, n)
    if size < 4:
        raise AuditError(f"CKA needs batches of at least 4 images, got {size}: give more images")
    total = MinibatchCKA()
    with evaluation_mode(first, second), torch.no_grad():
        for number in range(passes):
            order = torch.randperm(n, generator=stream(seed, "measurement", "cka", number))
            for index in order[: n // size * size].split(size):
                batch = images[index.to(images.device)]
                grams_first, features_first = _grams(first, batch)
                grams_second, features_second = _grams(second, batch)
                total.update(list(grams_first.values()), list(grams_second.values()))
    return Similarity(
        matrix=total.matrix().cpu(),
        rows=tuple(grams_first),
        columns=tuple(grams_second),
        features_rows=features_first,
        features_columns=features_second,
        images=n // size * size,
        batch_size=size,
        passes=passes,
    )


def _grams(network: nn.Module, images: Tensor) -> tuple[dict[str, Tensor], tuple[int, ...]]:
    """Gram matrix of every measured layer's output, by name, and each layer's p."""
    names = {network.get_submodule(name): name for name in measured_layers(network)}
    grams: dict[str, Tensor] = {}
    features: dict[str, int] = {}

    # The Gram matrix is taken inside the hook: a later in-place ReLU cannot spoil it any more.
    def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        grams[names[layer]] = gram(output)
        features[names[layer]] = output[0].numel()

    hooks = [layer.register_forward_hook(record) for layer in names]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return grams, tuple(features.values())
