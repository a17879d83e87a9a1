"""Runs so small that an epoch takes a tenth of a second: 100 training images, 4 steps an epoch."""

import functools
import io
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fa_audit.data import Dataset, draw_shapes
from fa_audit.training.configuration import (
    DataSettings,
    ProbeSettings,
    RunConfiguration,
    TrainingSettings,
)
from fa_audit.training.optimizers import build_optimizer
from fa_audit.training.trainer import Trainer
from fa_audit.training.weights import network_weights

EPOCHS, STEPS_PER_EPOCH = 3, 4

# Where B does not stand in W's place and has another shape, so that the two cannot be compared.
INCOMPARABLE = {"fa_random": {"conv2"}, "dfa": {"conv2", "fc1", "fc2"}}


@functools.cache
def dataset() -> Dataset:
    return draw_shapes(train=160, test=50)


def configuration(rule: str = "bp", seed: int = 0, **changes: Any) -> RunConfiguration:
    """A tiny run; changes to its training settings, or whole rooms of settings, by name."""
    whole = {
        key: changes.pop(key) for key in ("data", "probe", "rank", "options") if key in changes
    }
    settings = {
        "rule": rule,
        "seed": seed,
        "data": DataSettings("shapes", validation=60, train=160, test=50),
        "training": replace(TrainingSettings(EPOCHS, 1e-3, batch_size=32), **changes),
        "probe": ProbeSettings(images=16, per_decade=2),
    }
    return RunConfiguration(**{**settings, **whole})


def trained(configuration: RunConfiguration) -> Trainer:
    """The run at its end."""
    trainer = Trainer(configuration, dataset())
    while trainer.status == "training":
        trainer.train_epoch()
    return trainer


@functools.cache
def finished(rule: str = "bp", seed: int = 0) -> Trainer:
    """The run of a rule and a seed at its end, shared by the tests; none may change it."""
    return trained(configuration(rule, seed))


def float64_trainer(run: RunConfiguration, device: str = "cpu") -> Trainer:
    """A run before its first step in float64, in which runs stay together for many steps."""
    trainer = Trainer(run, dataset(), device)
    trainer.network.double()
    trainer.optimizer = build_optimizer(trainer.network, run.training)
    return trainer


def batches(trainer: Trainer, steps: int) -> list[tuple[Tensor, Tensor]]:
    """The first whole batches of a run, float64."""
    plans = [plan for _ in range(steps) for plan in trainer.plan_epoch()][:steps]
    return [
        (
            trainer.batches.crop(plan.index, plan.offsets, plan.flips).double(),
            trainer.labels[plan.index],
        )
        for plan in plans
        if len(plan.index) == trainer.configuration.training.batch_size
    ]


def stored(state: dict[str, Any]) -> dict[str, Any]:
    """A state as it comes back from a file."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def assert_identical(a: Trainer, b: Trainer) -> None:
    """Two runs agree bit for bit: weights, checkpoints, losses and everything measured."""
    __tracebackhide__ = True
    assert (a.status, a.epoch, a.best_epoch) == (b.status, b.epoch, b.best_epoch)
    assert a.history == b.history
    assert a.probe.series == b.probe.series
    current = [network_weights(trainer.network) for trainer in (a, b)]
    for checkpoint, first, second in [
        ("current", *current),
        *[(name, a.weights[name], b.weights[name]) for name in a.weights],
    ]:
        assert first.keys() == second.keys()
        for name in first:
            assert torch.equal(first[name], second[name]), f"{checkpoint} {name} differ"
