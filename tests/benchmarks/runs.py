"""The networks and runs that are timed: the study's five rules at its settings."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from fa_audit.data import Dataset, Images, load_dataset
from fa_audit.measure import network_cost
from fa_audit.networks import architecture1
from fa_audit.rules import RULES, convert
from fa_audit.training.configuration import DataSettings, RunConfiguration, TrainingSettings

STUDY = ("bp", "fa_random", "fa_toeplitz", "usf_init", "usf_sn")
SCALE = {"fa_random": 0.01, "fa_toeplitz": 0.01, "usf_init": 0.1}


def images(folder: Path, train: int, validation: int) -> Dataset:
    """The first images of CIFAR-10, validation among the training images."""
    dataset = load_dataset("cifar10", folder)
    n = train + validation
    return replace(dataset, train=Images(dataset.train.pixels[:n], dataset.train.labels[:n]))


def configuration(
    rule: str, validation: int, seed: int = 0, precision: str = "float32", batch_size: int = 128
) -> RunConfiguration:
    """A run at the published settings."""
    return RunConfiguration(
        rule=rule,
        seed=seed,
        data=DataSettings("cifar10", validation=validation),
        training=TrainingSettings(
            epochs=50,
            learning_rate=1e-3,
            weight_decay=1e-4 if rule == "bp" else 0.0,
            feedback_scale=SCALE.get(rule),
            precision=precision,
            batch_size=batch_size,
        ),
    )


def network(rule: str, width: int = 64, seed: int = 0) -> nn.Module:
    """The five-layer network under a rule, `width` channels wide."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = architecture1(10, width).to(memory_format=torch.channels_last)
    scale = SCALE.get(rule) if RULES[rule].draws_feedback else None
    example = torch.zeros(1, 3, 24, 24)
    convert(made, rule, feedback_scale=scale, seed=seed, example_input=example)
    return made


def flop(rule: str) -> int:
    """Floating-point operations of one training step per image: two for each multiply-add."""
    cost = network_cost(network(rule), torch.zeros(1, 3, 24, 24)).total
    return 2 * (cost.forward + cost.sent + cost.weight_gradient)
