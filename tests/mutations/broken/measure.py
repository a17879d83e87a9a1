"""Measurements of networks that are wrong in one way each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit.measure import (
    Evaluation,
    Similarity,
    compare,
    error_angles,
    evaluate,
    representations,
)
from fa_audit.metrics import gram
from mutations.registry import broken, replace_function


@broken
def local_angle_called_true(patch: pytest.MonkeyPatch) -> None:
    """The angle to Wᵀδ for the rule's own δ is reported as that to backpropagation's error."""

    def wrong(*arguments: Any) -> dict[str, Any]:
        found = error_angles(*arguments)
        return {name: replace(angles, true=angles.local) for name, angles in found.items()}

    replace_function(patch, error_angles, wrong)


@broken
def true_angle_called_local(patch: pytest.MonkeyPatch) -> None:
    """The angle to backpropagation's error is reported as that to Wᵀδ."""

    def wrong(*arguments: Any) -> dict[str, Any]:
        found = error_angles(*arguments)
        return {name: replace(angles, local=angles.true) for name, angles in found.items()}

    replace_function(patch, error_angles, wrong)


@broken
def accuracy_as_a_fraction(patch: pytest.MonkeyPatch) -> None:
    """Accuracy lies between 0 and 1 in place of 0 and 100."""

    def wrong(*arguments: Any, **settings: Any) -> Evaluation:
        found = evaluate(*arguments, **settings)
        per_class = tuple(None if one is None else one / 100 for one in found.per_class)
        return replace(found, accuracy=found.accuracy / 100, per_class=per_class)

    replace_function(patch, evaluate, wrong)


@broken
def loss_averaged_over_batches(patch: pytest.MonkeyPatch) -> None:
    """The loss is a mean of the batches' means, so a smaller last batch counts too much."""

    def wrong(
        network: nn.Module,
        batch_of: Callable[[Tensor], Tensor],
        index: Tensor,
        labels: Tensor,
        batch_size: int = 250,
    ) -> Evaluation:
        parts = zip(index.split(batch_size), labels.split(batch_size), strict=True)
        losses = [evaluate(network, batch_of, *part).loss for part in parts]
        right = evaluate(network, batch_of, index, labels, batch_size)
        return replace(right, loss=sum(losses) / len(losses))

    replace_function(patch, evaluate, wrong)


@broken
def rows_and_columns_exchanged(patch: pytest.MonkeyPatch) -> None:
    """The first network's layers are the columns of the similarity, though called its rows."""

    def wrong(first: nn.Module, second: nn.Module, images: Tensor, **settings: Any) -> Similarity:
        found = compare(first, second, images, **settings)
        return replace(found, matrix=found.matrix.T)

    replace_function(patch, compare, wrong)


@broken
def subset_left_out_of_account(patch: pytest.MonkeyPatch) -> None:
    """Networks are compared on all images, whichever subset is asked for."""

    def wrong(*arguments: Any, subset: Tensor | None = None, **settings: Any) -> Similarity:
        return compare(*arguments, **settings)

    replace_function(patch, compare, wrong)


@broken
def shuffling_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The null control shows both networks the same images in the same order."""

    def wrong(*arguments: Any, shuffled: bool = False, **settings: Any) -> Similarity:
        return compare(*arguments, **settings)

    replace_function(patch, compare, wrong)


@broken
def representations_after_the_relu(patch: pytest.MonkeyPatch) -> None:
    """CKA is taken of rectified outputs in place of the layers' own."""
    patch.setattr(representations, "gram", lambda features: gram(F.relu(features)))
