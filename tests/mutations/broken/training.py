"""Runs that go wrong in one way each."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fa_audit.streams import stream
from fa_audit.training import trainer
from fa_audit.training.configuration import TrainingSettings
from fa_audit.training.optimizers import build_optimizer
from fa_audit.training.trainer import Trainer
from mutations.registry import broken, replace_function


def change_order_stream(
    patch: pytest.MonkeyPatch, names: Callable[[Trainer, int], tuple[str | int, ...]]
) -> None:
    """Let an epoch's order come from another stream than that of the epoch's number."""
    right = Trainer.train_epoch

    def train_epoch(run: Trainer) -> None:
        def wrong(seed: int, purpose: str, epoch: int) -> torch.Generator:
            return stream(seed, purpose, *(names(run, epoch) if purpose == "order" else (epoch,)))

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(trainer, "stream", wrong)
            right(run)

    patch.setattr(Trainer, "train_epoch", train_epoch)


@broken
def data_order_depends_on_the_rule(patch: pytest.MonkeyPatch) -> None:
    """Each rule sees the images in an order of its own."""
    change_order_stream(patch, lambda run, epoch: (epoch, run.configuration.rule))


@broken
def every_epoch_in_the_same_order(patch: pytest.MonkeyPatch) -> None:
    """The images are shuffled alike in every epoch."""
    change_order_stream(patch, lambda run, epoch: (1,))


@broken
def best_validation_takes_the_last_of_equals(patch: pytest.MonkeyPatch) -> None:
    """A later epoch that is as good as the best takes its place."""
    right = Trainer.train_epoch

    def train_epoch(run: Trainer) -> None:
        right(run)
        *before, latest = run.history["validation_accuracy"][1:]
        if latest >= max(before, default=0):
            run.best_epoch = run.epoch
            run.weights["best-validation"] = run.weights["last"]

    patch.setattr(Trainer, "train_epoch", train_epoch)


@broken
def training_loss_averaged_over_batches(patch: pytest.MonkeyPatch) -> None:
    """The training loss is a mean of batches' means, so a smaller last batch counts too much."""
    right = Trainer._step

    def step(run: Trainer, images: Tensor, labels: Tensor) -> Tensor:
        mean = right(run, images, labels) / len(labels)
        return mean * len(run.train_index) / run.steps_per_epoch

    patch.setattr(Trainer, "_step", step)


@broken
def weight_decay_decoupled(patch: pytest.MonkeyPatch) -> None:
    """Weights decay beside Adam's step (AdamW), not through the gradient."""

    def wrong(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    replace_function(patch, build_optimizer, wrong)
