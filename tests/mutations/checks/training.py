"""Checks of how a run goes: its order, its optimizer, its checkpoints."""

import numpy as np
import torch
from torch import Tensor, nn

from fa_audit.training.configuration import TrainingSettings
from fa_audit.training.optimizers import build_optimizer
from fa_audit.training.trainer import Trainer
from mutations.registry import check
from mutations.small import small_run
from rules.variants import array, assert_same, normal


def epochs_drawn(trainer: Trainer, epochs: int = 2) -> list[Tensor]:
    """For each epoch, one row for each image trained on: its index, offsets and flip."""
    steps: list[Tensor] = []
    crop = trainer.batches.crop

    def recorded(index: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
        steps.append(torch.cat([index[:, None], offsets, flips[:, None]], dim=1))
        return crop(index, offsets, flips)

    trainer.batches.crop = recorded
    drawn = []
    for _ in range(epochs):
        steps.clear()
        trainer.train_epoch()
        drawn.append(torch.cat(steps))
    return drawn


@check
def order_for_all_rules() -> None:
    """One seed gives the same images in the same order, cut alike, under every rule."""
    ours, theirs = (epochs_drawn(small_run(rule), 1)[0] for rule in ("bp", "fa_toeplitz"))
    assert torch.equal(ours, theirs)


@check
def order_of_epochs() -> None:
    """Each epoch takes every image but those for validation once, in an order of its own."""
    trainer = small_run()
    first, second = epochs_drawn(trainer)
    for epoch in (first, second):
        seen = torch.cat([epoch[:, 0], trainer.validation_index])
        assert torch.equal(seen.sort().values, torch.arange(len(trainer.labels)))
    assert not torch.equal(first[:, 0], second[:, 0])
    assert not torch.equal(first[:, 1:], second[:, 1:])


@check
def best_of_equals() -> None:
    """Of epochs with equal validation accuracy the first is the best."""
    trainer = small_run(learning_rate=1e-30)
    for _ in range(2):
        trainer.train_epoch()
    assert len(set(trainer.history["validation_accuracy"])) == 1
    assert trainer.best_epoch == 1


@check
def adam() -> None:
    """The optimizer is Adam with β = .9, .999, ε = 1e-8 and the decay added to the gradient."""
    rate, decay = 0.01, 0.1
    parameter = nn.Parameter(normal(0, 5))
    network, settings = nn.ParameterList([parameter]), TrainingSettings(1, rate, weight_decay=decay)
    optimizer = build_optimizer(network, settings)
    w, m, v = array(parameter), np.zeros(5), np.zeros(5)
    for t in range(1, 4):
        parameter.grad = normal(t, 5)
        optimizer.step()
        g = array(normal(t, 5)) + decay * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        assert_same(parameter, w)


@check
def mean_training_loss() -> None:
    """An epoch's training loss is the mean over its images, the smaller last batch included."""
    trainer = small_run(learning_rate=1e-30)
    shown: list[tuple[Tensor, Tensor]] = []
    crop = trainer.batches.crop

    def recorded(index: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
        shown.append((crop(index, offsets, flips), trainer.labels[index]))
        return shown[-1][0]

    trainer.batches.crop = recorded
    trainer.train_epoch()
    losses = [
        nn.functional.cross_entropy(trainer.network(images), labels, reduction="none").detach()
        for images, labels in shown
    ]
    assert_same(torch.tensor(trainer.history["train_loss"][1]), torch.cat(losses).mean(), 1e-6)
