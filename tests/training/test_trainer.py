import contextlib
import copy
import json
import math
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit.data import Dataset
from fa_audit.errors import AuditError
from fa_audit.rules import RULES, feedback_layers
from fa_audit.streams import stream
from fa_audit.training import trainer as trainer_module
from fa_audit.training.configuration import DataSettings, RankSettings, RunConfiguration
from fa_audit.training.trainer import (
    Trainer,
    split_indices,
    subnormals_flushed,
    untrained_network,
)
from training.tiny import (
    EPOCHS,
    STEPS_PER_EPOCH,
    assert_identical,
    configuration,
    dataset,
    finished,
    float64_trainer,
    stored,
    trained,
)

every_rule = pytest.mark.parametrize("rule", RULES)

RTOL = 1e-6  # the rounding of sums in float32: 3e-8 was seen


def weights(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.named_parameters())


def start(rule: str, seed: int = 0, **changes: Any) -> nn.Module:
    return untrained_network(configuration(rule, seed, **changes), dataset())


# A run is a function of its configuration


@every_rule
def test_the_same_seed_gives_the_same_run_bit_for_bit(rule: str) -> None:
    assert_identical(trained(configuration(rule)), finished(rule))


def test_another_seed_gives_another_run() -> None:
    a, b = finished("fa_toeplitz", 0), finished("fa_toeplitz", 1)
    assert a.history["train_loss"][1] != b.history["train_loss"][1]
    for name, parameter in weights(a.network).items():
        assert not torch.equal(parameter, weights(b.network)[name]), name
    for name, layer in feedback_layers(a.network).items():
        assert not torch.equal(layer.feedback(), feedback_layers(b.network)[name].feedback())


@every_rule
@pytest.mark.parametrize("epoch", range(EPOCHS + 1))
def test_a_run_resumed_after_any_epoch_equals_one_that_never_stopped(rule: str, epoch: int) -> None:
    first = Trainer(configuration(rule), dataset())
    for _ in range(epoch):
        first.train_epoch()
    state = stored(first.state_dict())
    del first
    second = Trainer(configuration(rule), dataset())
    second.load_state_dict(state)
    assert second.epoch == epoch
    while second.status == "training":
        second.train_epoch()
    assert_identical(second, finished(rule))


def test_the_state_of_another_run_is_refused() -> None:
    other = stored(Trainer(configuration(seed=1), dataset()).state_dict())
    with pytest.raises(AuditError, match="another configuration"):
        Trainer(configuration(seed=0), dataset()).load_state_dict(other)


def test_training_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    trained(configuration("usf_init", epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


# Named streams: what depends on the rule, and what must not


@every_rule
def test_a_shared_initialisation_is_that_of_every_rule(rule: str) -> None:
    found = weights(start(rule))
    for name, parameter in weights(start("bp")).items():
        assert torch.equal(parameter, found[name])


def test_an_independent_initialisation_is_each_rules_own_and_repeatable() -> None:
    networks = [start(rule, initialisation="independent") for rule in RULES]
    networks.append(start("bp"))
    for name in ("conv1.weight", "fc3.bias"):
        values = {tuple(weights(network)[name].flatten().tolist()) for network in networks}
        assert len(values) == len(RULES) + 1, name
    again = start("usf_sn", initialisation="independent")
    independent = dict(zip(RULES, networks, strict=False))["usf_sn"]
    for name, parameter in weights(again).items():
        assert torch.equal(parameter, weights(independent)[name])


def test_initial_feedback_does_not_depend_on_the_rule_or_on_the_initialisation() -> None:
    toeplitz, init, independent, random = (
        feedback_layers(start(rule, feedback_scale=0.1, **changes))
        for rule, changes in (
            ("fa_toeplitz", {}),
            ("usf_init", {}),
            ("fa_toeplitz", {"initialisation": "independent"}),
            ("fa_random", {}),
        )
    )
    for name in ("conv2", "fc1", "fc2", "fc3"):
        B0 = toeplitz[name].initial_feedback
        assert B0 is not None
        assert float(B0.std()) == pytest.approx(0.1, rel=0.1)
        assert torch.equal(B0, init[name].initial_feedback)
        assert torch.equal(B0, independent[name].initial_feedback)
        if name != "conv2":
            assert torch.equal(B0, random[name].initial_feedback)
    assert random["conv2"].initial_feedback.shape == (2_304, 6_400)


def test_initial_feedback_depends_on_the_seed_and_is_unlike_any_weight() -> None:
    for name in ("conv2", "fc1", "fc2", "fc3"):
        first, second = (
            feedback_layers(start("fa_toeplitz", seed, feedback_scale=0.1))[name] for seed in (0, 1)
        )
        pairs = torch.stack(
            [
                x.detach().flatten()
                for x in (first.initial_feedback, second.initial_feedback, first.weight)
            ]
        )
        correlations = torch.corrcoef(pairs) - torch.eye(3)
        assert correlations.abs().max() < 5 / pairs.shape[1] ** 0.5


def test_initial_feedback_never_changes_in_training() -> None:
    for rule in ("fa_random", "fa_toeplitz", "usf_init"):
        for name, layer in feedback_layers(start(rule)).items():
            B0 = feedback_layers(finished(rule).network)[name].initial_feedback
            assert torch.equal(layer.initial_feedback, B0)


def test_trained_feedback_is_optimised_saved_and_loaded_as_weights_are() -> None:
    trainer, initial = finished("kolen_pollack"), weights(start("kolen_pollack"))
    names = [f"{layer}.trained_feedback" for layer in ("conv2", "fc1", "fc2", "fc3")]
    [group] = trainer.optimizer.param_groups
    optimised = {id(parameter) for parameter in group["params"]}
    loaded = start("kolen_pollack", seed=1)
    loaded.load_state_dict(trainer.weights["last"])
    for name in names:
        B = weights(trainer.network)[name]
        assert id(B) in optimised
        assert not torch.equal(B, initial[name])
        for checkpoint in ("best-validation", "last"):
            assert not torch.equal(trainer.weights[checkpoint][name], initial[name])
        assert torch.equal(trainer.weights["last"][name], B)
        assert torch.equal(weights(loaded)[name], B)


def test_redrawn_magnitudes_are_drawn_once_a_step() -> None:
    for layer in feedback_layers(finished("brsf").network).values():
        assert int(layer.feedback_draws[1]) == EPOCHS * STEPS_PER_EPOCH


def draws(rule: str, seed: int = 0, epochs: int = 2) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Indices, offsets and flips of every step of the first epochs, epoch by epoch."""
    trainer = Trainer(configuration(rule, seed, epochs=epochs), dataset())
    steps: list[tuple[Tensor, Tensor, Tensor]] = []
    crop = trainer.batches.crop

    def recorded(*arguments: Tensor) -> Tensor:
        steps.append(arguments)
        return crop(*arguments)

    trainer.batches.crop = recorded
    epoch_by_epoch = []
    for _ in range(epochs):
        steps.clear()
        trainer.train_epoch()
        epoch_by_epoch.append(tuple(torch.cat(parts) for parts in zip(*steps, strict=True)))
    return epoch_by_epoch


@every_rule
def test_the_order_of_images_and_their_crops_do_not_depend_on_the_rule(rule: str) -> None:
    for found, expected in zip(draws(rule), draws("bp"), strict=True):
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b)


def test_every_epoch_takes_every_training_image_once_in_an_order_of_its_own() -> None:
    first, second = draws("bp")
    other_seed = draws("bp", seed=1)[0]
    train, _ = split_indices(configuration(), dataset())
    for index, offsets, flips in (first, second, other_seed):
        assert torch.equal(index.sort().values, train.sort().values)
        assert set(offsets.flatten().tolist()) == set(range(9))  # 32 − 24 = 8 is reached
        assert 0.3 < flips.float().mean() < 0.7
    for other in (second, other_seed):
        for a, b in zip(first, other, strict=True):
            assert not torch.equal(a, b)


def test_validation_images_depend_on_the_split_seed_and_not_on_the_runs_seed() -> None:
    def split(seed: int, split_seed: int) -> tuple[Tensor, Tensor]:
        data = DataSettings("shapes", 60, split_seed=split_seed, train=160, test=50)
        return split_indices(configuration(seed=seed, data=data), dataset())

    (train, validation), same, other = split(0, 42), split(5, 42), split(0, 43)
    assert torch.equal(validation, same[1])
    assert not torch.equal(validation, other[1])
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(160))


# What an epoch is


@pytest.mark.parametrize(("batch_size", "steps"), [(32, 4), (50, 2), (99, 2), (100, 1)])
def test_the_last_step_of_an_epoch_takes_the_images_that_are_left(
    batch_size: int, steps: int
) -> None:
    trainer = Trainer(configuration(batch_size=batch_size), dataset())
    taken, crop = [], trainer.batches.crop
    trainer.batches.crop = lambda *parts: (taken.append(len(parts[0])), crop(*parts))[1]
    calls: list[None] = []
    trainer.train_epoch(lambda: calls.append(None))
    assert trainer.steps_per_epoch == len(calls) == len(taken) == steps
    assert taken == [batch_size] * (100 // batch_size) + [100 % batch_size] * (
        steps > 100 // batch_size
    )


def test_a_batch_larger_than_the_training_set_is_refused() -> None:
    with pytest.raises(
        AuditError, match=r"^batch_size is 101, but there are only 100 training images; "
    ):
        Trainer(configuration(batch_size=101), dataset())


def test_more_validation_images_than_there_are_is_refused() -> None:
    with pytest.raises(AuditError, match=r"^160 of 160 training images cannot be set aside "):
        Trainer(configuration(data=DataSettings("shapes", 160, train=160, test=50)), dataset())


def published_network() -> nn.Sequential:
    """Architecture 1 written out, ReLU before pooling as published; its own initial weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 64, 5),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(64, 64, 5),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                fc1=nn.Linear(576, 384),
                relu3=nn.ReLU(),
                fc2=nn.Linear(384, 192),
                relu4=nn.ReLU(),
                fc3=nn.Linear(192, 10),
            )
        )


def plain_loop(run: RunConfiguration, dataset: Dataset) -> dict[str, list[float]]:
    """Backpropagation as anybody would write it: one image at a time cut, mirrored, normalised."""
    network = published_network().double()
    network.load_state_dict(untrained_network(run, dataset).state_dict())
    settings = run.training
    optimizer = torch.optim.Adam(
        network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    pixels = dataset.train.pixels.permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (dataset.mean, dataset.std))
    pixels, labels = ((pixels - mean) / std).double(), dataset.train.labels
    shuffled = torch.randperm(len(pixels), generator=stream(run.data.split_seed, "split"))
    validation, train = shuffled[: run.data.validation], shuffled[run.data.validation :]
    history: dict[str, list[float]] = {"train_loss": [], "loss": [], "accuracy": []}
    for epoch in range(1, settings.epochs + 1):
        order = train[torch.randperm(len(train), generator=stream(run.seed, "order", epoch))]
        random = stream(run.seed, "augmentation", epoch)
        corners = torch.randint(9, (len(train), 2), generator=random).tolist()
        mirrored = torch.randint(2, (len(train),), generator=random).tolist()
        crops = []
        for i, (top, left), mirror in zip(order.tolist(), corners, mirrored, strict=True):
            crop = pixels[i, :, top : top + 24, left : left + 24]
            crops.append(crop.flip(2) if mirror else crop)
        total = 0.0
        for first in range(0, len(train), settings.batch_size):
            batch = slice(first, first + settings.batch_size)
            truth = labels[order[batch]]
            optimizer.zero_grad()
            loss = F.cross_entropy(network(torch.stack(crops[batch])), truth)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(truth)
        with torch.no_grad():
            logits, truth = network(pixels[validation, :, 4:28, 4:28]), labels[validation]
        history["train_loss"].append(total / len(train))
        history["loss"].append(F.cross_entropy(logits, truth).item())
        history["accuracy"].append(100 * (logits.argmax(1) == truth).float().mean().item())
    return history


def test_backpropagation_learns_as_a_plain_loop_of_torch_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In float64: of the rounding of gradients that cancel, Adam's first updates make whole steps.

    In float32 it took equal programs 1e-7 to 1e-5 apart in three epochs, by the processor; here
    what is left is the rounding of the trainer's own sums of losses.
    """
    run = configuration(weight_decay=1e-2)
    trainer = float64_trainer(run)
    crop, centre = trainer.batches.crop, trainer.batches.centre
    monkeypatch.setattr(trainer.batches, "crop", lambda *parts: crop(*parts).double())
    monkeypatch.setattr(trainer.batches, "centre", lambda index: centre(index).double())
    monkeypatch.setattr(trainer, "probe_steps", frozenset())  # its images are float32
    while trainer.status == "training":
        trainer.train_epoch()
    history, expected = trainer.history, plain_loop(run, dataset())
    assert history["train_loss"][1:] == pytest.approx(expected["train_loss"], rel=RTOL)
    assert history["validation_loss"][1:] == pytest.approx(expected["loss"], rel=RTOL)
    assert history["validation_accuracy"][1:] == pytest.approx(expected["accuracy"], abs=1e-4)
    losses = expected["train_loss"]
    assert abs(losses[0] - losses[-1]) > 100 * RTOL * losses[0]  # there was something to learn


def test_the_untrained_network_is_validated_before_the_first_step() -> None:
    history = Trainer(configuration(), dataset()).history
    assert history["train_loss"] == [None]
    assert history["validation_loss"] == [pytest.approx(math.log(10), rel=0.02)]
    assert len(finished().history["validation_accuracy"]) == EPOCHS + 1


# Checkpoints


def scripted(
    monkeypatch: pytest.MonkeyPatch, accuracies: list[float]
) -> tuple[Trainer, list[dict[str, Tensor]]]:
    """A run whose validation accuracies are given, untrained first, and its weights by epoch."""
    given = iter(accuracies)
    monkeypatch.setattr(
        trainer_module, "evaluate", lambda *_: SimpleNamespace(loss=1.0, accuracy=next(given))
    )
    trainer = Trainer(configuration(epochs=len(accuracies) - 1), dataset())
    by_epoch = [trainer.weights["last"]]
    while trainer.status == "training":
        trainer.train_epoch()
        by_epoch.append({k: v.detach().clone() for k, v in weights(trainer.network).items()})
    return trainer, by_epoch


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [
        ([0, 10, 20, 30], 3),
        ([0, 30, 20, 10], 1),
        ([0, 10, 30, 20, 30, 5], 2),  # the earliest of equals
        ([90, 10, 20, 15], 2),  # the untrained network is no candidate
        ([0, 0, 0], 1),
    ],
)
def test_best_validation_is_the_earliest_maximum_from_epoch_one(
    monkeypatch: pytest.MonkeyPatch, accuracies: list[float], best: int
) -> None:
    trainer, by_epoch = scripted(monkeypatch, accuracies)
    assert trainer.best_epoch == best
    for checkpoint, epoch in (("best-validation", best), ("last", len(accuracies) - 1)):
        for name, value in trainer.weights[checkpoint].items():
            assert torch.equal(value, by_epoch[epoch][name]), f"{checkpoint} {name}"
    assert not torch.equal(by_epoch[-1]["fc3.bias"], by_epoch[-2]["fc3.bias"])


# Divergence


@every_rule
@pytest.mark.parametrize("learning_rate", [1e30, 1e38])
def test_a_run_that_diverges_is_recorded_with_finite_weights(
    rule: str, learning_rate: float
) -> None:
    trainer = trained(configuration(rule, learning_rate=learning_rate))
    assert trainer.status == "diverged"
    assert trainer.epoch < EPOCHS or trainer.history["train_loss"][-1] is None
    for checkpoint in ("best-validation", "last"):
        assert all(bool(v.isfinite().all()) for v in trainer.weights[checkpoint].values())
    json.dumps([trainer.history, trainer.probe.series], allow_nan=False)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_diverged_run_keeps_the_weights_of_its_last_finite_epoch(epoch: int) -> None:
    trainer = Trainer(configuration(), dataset())
    kept = trainer.weights["last"]
    for _ in range(epoch - 1):
        trainer.train_epoch()
        kept = trainer.weights["last"]
    with torch.no_grad():
        trainer.network.fc2.weight[0, 0] = math.inf
    trainer.train_epoch()
    assert (trainer.status, trainer.epoch, trainer.best_epoch) == ("diverged", epoch, epoch - 1)
    assert trainer.history["train_loss"][-1] is None
    for name, value in trainer.weights["last"].items():
        assert torch.equal(value, kept[name])
    resumed = Trainer(configuration(), dataset())
    resumed.load_state_dict(stored(trainer.state_dict()))
    assert resumed.status == "diverged"


# Arithmetic


def test_subnormal_numbers_are_zero_within_the_block_and_back_after_it() -> None:
    tiny = torch.tensor([1e-40])
    assert (tiny / 2).item() != 0
    with subnormals_flushed():
        assert (tiny / 2).item() == 0
    assert (tiny / 2).item() != 0
    with contextlib.suppress(ZeroDivisionError), subnormals_flushed():
        raise ZeroDivisionError
    assert (tiny / 2).item() != 0


def test_a_state_held_in_memory_is_of_its_moment_and_can_be_gone_on_from_twice() -> None:
    with_ranks = configuration("fa_toeplitz", rank=RankSettings(rows=8, columns=64))
    first = Trainer(with_ranks, dataset())
    first.train_epoch()
    held = first.state_dict()
    before = copy.deepcopy(held)
    first.train_epoch()
    assert_same_state(held, before)
    again = []
    for _ in range(2):
        trainer = Trainer(with_ranks, dataset())
        trainer.load_state_dict(held)
        trainer.train_epoch()
        again.append(trainer)
        assert_same_state(held, before)
    for trainer in again:
        assert_same_state(trainer.state_dict(), first.state_dict())


def assert_same_state(one: Any, other: Any) -> None:
    """Equal in every tensor and number."""
    assert type(one) is type(other)
    if isinstance(one, Tensor):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same_state(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same_state(a, b)
    else:
        assert one == other
