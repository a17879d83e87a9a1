"""Loss and accuracy of a classifier, over all and per class."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure.modes import evaluation_mode


@dataclass(frozen=True)
class Evaluation:
    """How a classifier does on n images.

    Attributes:
        loss: Mean cross-entropy in nats; chance is ln(number of classes).
        accuracy: Percent of images whose largest logit is the label's. An image whose largest
            logit is no finite number, as NaN or overflow makes it, counts as wrong.
        per_class: The same per label; None for a label that no image has.
        n: Number of images.
        predictions: int64 [n], the predicted labels, on the CPU; −1 for an image whose largest
            logit is no finite number.
    """

    loss: float
    accuracy: float
    per_class: tuple[float | None, ...]
    n: int
    predictions: Tensor


def evaluate(
    network: nn.Module,
    batch_of: Callable[[Tensor], Tensor],
    index: Tensor,
    labels: Tensor,
    batch_size: int = 250,
) -> Evaluation:
    """Evaluate `network` on the images `batch_of(index)`.

    Args:
        network: Images [b, ...] → logits [b, classes].
        batch_of: Indices int64 [b] → the network's input for these images.
        index: int64 [n], the images to use.
        labels: int64 [n], their labels.
        batch_size: Images at a time.

    Raises:
        AuditError: There is no image.
    """
    if not len(index):
        raise AuditError("there is no image to evaluate the network on; give at least one index")
    loss = torch.zeros((), dtype=torch.float64, device=labels.device)
    predictions = []
    with evaluation_mode(network), torch.no_grad():
        for part, truth in zip(index.split(batch_size), labels.split(batch_size), strict=True):
            logits = network(batch_of(part)).float()
            loss += F.cross_entropy(logits, truth, reduction="sum").double()
            # argmax takes NaN for the largest, which would give it to a class by its place.
            predictions.append(logits.argmax(1).where(logits.amax(1).isfinite(), -1))
    predicted = torch.cat(predictions)
    right = (predicted == labels).double()
    counts = torch.bincount(labels, minlength=logits.shape[1])
    hits = torch.bincount(labels, weights=right, minlength=logits.shape[1])
    return Evaluation(
        loss=loss.item() / len(index),
        accuracy=100 * right.mean().item(),
        per_class=tuple(
            100 * hit / count if count else None
            for hit, count in zip(hits.tolist(), counts.tolist(), strict=True)
        ),
        n=len(index),
        predictions=predicted.cpu(),
    )
