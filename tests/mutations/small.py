"""What several checks need: every rule as it stands in RULES now, a small network, a small run."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from fa_audit.data import Dataset, Images
from fa_audit.networks import NETWORKS
from fa_audit.rules import RULES, FeedbackLayer, Rule
from fa_audit.training.configuration import (
    DataSettings,
    ProbeSettings,
    RunConfiguration,
    TrainingSettings,
)
from fa_audit.training.trainer import Trainer
from oracles import rule_twins as twins
from rules.variants import array

SENDERS = ("fc2", "fc3")


def every_rule() -> Iterator[tuple[Rule, dict[str, str]]]:
    """Each row that RULES has just now, with each choice of its options."""
    for rule in RULES.values():
        for values in product(*rule.options.values()):
            yield rule, dict(zip(rule.options, values, strict=True))


def twin_feedback(layer: FeedbackLayer, random_part: Tensor | None) -> twins.Array:
    """B by the rule's equation, from the weight as it is now and the random part given."""
    R = None if random_part is None else array(random_part)
    B: twins.Array = twins.FEEDBACK[layer.rule.name](array(layer.weight), R, **layer.options)
    return B


def perceptron() -> nn.Sequential:
    """Inputs [n, 5] to 4 classes in float64: fc1, fc2 and fc3 with ReLUs in between."""
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(5, 6),
            relu1=nn.ReLU(),
            fc2=nn.Linear(6, 6),
            relu2=nn.ReLU(),
            fc3=nn.Linear(6, 4),
        )
    ).double()


def random_images(n: int) -> Images:
    """Images of 32 × 32 random pixels; label k for the k-th, modulo 10."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (n, 32, 32, 3), generator=random, dtype=torch.uint8)
    return Images(pixels, torch.arange(n) % 10)


def two_layers(classes: int, normalisation: None) -> nn.Sequential:
    """Images [n, 3, 8, 8] to classes."""
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, classes))


EPOCHS, IMAGES, VALIDATION, BATCH = 2, 16, 6, 6  # 10 to train on: batches of 6 and 4


def small_run(rule: str = "bp", learning_rate: float = 1e-3) -> Trainer:
    """A run at its start: two linear layers on 8 × 8 pixels of random images."""
    images = random_images(IMAGES)
    dataset = Dataset(
        name="shapes",
        title="random",
        stand_in=True,
        classes=tuple("0123456789"),
        train=images,
        test=images,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        fingerprints={},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "small", two_layers)
        configuration = RunConfiguration(
            rule=rule,
            seed=0,
            data=DataSettings("shapes", VALIDATION, crop=8),
            training=TrainingSettings(EPOCHS, learning_rate, batch_size=BATCH),
            network="small",
            probe=ProbeSettings(images=2, per_decade=1),
        )
        return Trainer(configuration, dataset)
