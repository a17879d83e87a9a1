"""Runs with batch normalisation: their statistics are trained, kept, resumed and left alone."""

import copy
import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure import evaluate
from fa_audit.training.configuration import RunConfiguration
from fa_audit.training.replicas import Replicas, kinship
from fa_audit.training.trainer import Trainer, untrained_network
from fa_audit.training.weights import all_finite, network_weights, set_weights
from training.tiny import (
    EPOCHS,
    STEPS_PER_EPOCH,
    assert_identical,
    configuration,
    dataset,
    stored,
    trained,
)

NETWORKS = ("architecture1", "cnn4")
every_network = pytest.mark.parametrize("network", NETWORKS)
STATISTICS = ("running_mean", "running_var")


def run(rule: str = "bp", network: str = "cnn4", seed: int = 0, **changes: Any) -> RunConfiguration:
    return replace(configuration(rule, seed, **changes), network=network, normalisation="batch")


@functools.cache
def finished(rule: str = "bp", network: str = "cnn4") -> Trainer:
    return trained(run(rule, network))


def statistics(network: nn.Module) -> dict[str, Tensor]:
    return {
        name: buffer.clone()
        for name, buffer in network.named_buffers()
        if name.endswith((*STATISTICS, "num_batches_tracked"))
    }


def test_without_normalisation_the_configuration_does_not_mention_it() -> None:
    assert "normalisation" not in configuration().to_json()
    assert run().to_json()["normalisation"] == "batch"
    assert run().hash != replace(run(), normalisation=None).hash


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(AuditError, match=r"^normalisation is 'layer'; choose one of: batch, none$"):
        replace(configuration(), normalisation="layer")


@every_network
def test_running_statistics_are_averages_of_the_batches_of_training_alone(network: str) -> None:
    """Recomputed from the outputs of the first layer over one epoch, .9 of the old and .1 new."""
    trainer = Trainer(run(network=network), dataset())
    mean, variance = 0.0, 1.0
    norm = trainer.network.get_submodule("norm1")
    assert torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))

    def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal mean, variance
        if module.training:
            x = inputs[0].detach().double()
            mean = 0.9 * mean + 0.1 * x.mean((0, 2, 3))
            variance = 0.9 * variance + 0.1 * x.var((0, 2, 3), correction=1)

    norm.register_forward_pre_hook(record)
    trainer.train_epoch()
    assert int(norm.num_batches_tracked) == STEPS_PER_EPOCH
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "network"), [("fa_toeplitz", "architecture1"), ("brsf", "cnn4"), ("dfa", "cnn4")]
)
def test_probes_and_validation_move_no_statistic_and_leave_the_mode(
    rule: str, network: str
) -> None:
    trainer = Trainer(run(rule, network), dataset())
    trainer.train_epoch()
    before = statistics(trainer.network)
    trainer.probe.measure(10_000)
    trainer._validate(0.0)
    for name, value in statistics(trainer.network).items():
        assert torch.equal(value, before[name]), name
    assert all(module.training for module in trainer.network.modules())


def test_probed_errors_of_an_image_do_not_depend_on_the_other_images() -> None:
    trainer = finished("fa_toeplitz")
    network = copy.deepcopy(trainer.network)
    whole = copy.copy(trainer.probe)
    halves = []
    for part in (slice(0, 8), slice(8, 16)):
        half = copy.copy(trainer.probe)
        half.network, half.images = network, trainer.probe.images[part]
        half.labels = trainer.probe.labels[part]
        halves.append(half._error_angles()["conv3"].local)
    whole.network = network
    found = whole._error_angles()["conv3"].local
    assert found.norm_u == pytest.approx(sum(half.norm_u for half in halves) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("rule", "network"),
    [("bp", "architecture1"), *((rule, "cnn4") for rule in ("bp", "fa_toeplitz", "brsf"))],
)
def test_checkpoints_answer_as_the_network_did_when_they_were_taken(
    rule: str, network: str
) -> None:
    trainer = finished(rule, network)
    fresh = untrained_network(trainer.configuration, dataset())
    index = trainer.validation_index
    for checkpoint, epoch in (("best-validation", trainer.best_epoch), ("last", EPOCHS)):
        weights = trainer.weights[checkpoint]
        assert {f"norm1.{name}" for name in STATISTICS} <= weights.keys()
        assert not any(name.endswith(("initial_feedback", "draws")) for name in weights)
        set_weights(fresh, weights)
        found = evaluate(fresh, trainer.batches.centre, index, trainer.labels[index])
        assert found.loss == trainer.history["validation_loss"][epoch]
        assert found.accuracy == trainer.history["validation_accuracy"][epoch]


def test_checkpoints_of_networks_without_statistics_hold_parameters_alone() -> None:
    trainer = trained(configuration("brsf", epochs=1))
    assert trainer.weights["last"].keys() == dict(trainer.network.named_parameters()).keys()


@pytest.mark.parametrize(
    ("rule", "network"), [("bp", "architecture1"), ("fa_toeplitz", "cnn4"), ("brsf", "cnn4")]
)
def test_a_run_resumed_after_an_epoch_equals_one_that_never_stopped(
    rule: str, network: str
) -> None:
    first = Trainer(run(rule, network), dataset())
    first.train_epoch()
    second = Trainer(run(rule, network), dataset())
    second.load_state_dict(stored(first.state_dict()))
    while second.status == "training":
        second.train_epoch()
    assert_identical(second, finished(rule, network))


def test_normalised_runs_are_trained_one_at_a_time() -> None:
    assert kinship(replace(run(), normalisation=None)) is not None
    assert kinship(run()) is None
    with pytest.raises(RuntimeError, match="mutate a captured Tensor"):  # never silently wrong
        Replicas([Trainer(run(seed=seed), dataset()) for seed in (0, 1)]).train_epoch()


@pytest.mark.parametrize(("batch_size", "one_left"), [(1, True), (33, True), (32, False)])
def test_a_batch_of_one_image_is_refused_where_there_is_normalisation(
    batch_size: int, one_left: bool
) -> None:
    if not one_left:
        assert Trainer(run(batch_size=batch_size), dataset()).steps_per_epoch == 4
        return
    with pytest.raises(AuditError, match=rf"^batch_size is {batch_size}, which leaves a batch of "):
        Trainer(run(batch_size=batch_size), dataset())
    Trainer(replace(run(batch_size=batch_size), normalisation=None), dataset())


def test_in_bf16_statistics_and_parameters_of_normalisation_stay_float32() -> None:
    trainer = Trainer(run(precision="bf16", epochs=1), dataset())
    start = network_weights(untrained_network(run(), dataset()))
    trainer.train_epoch()
    assert trainer.status == "finished"
    for name, weight in network_weights(trainer.network).items():
        if weight.is_floating_point():
            assert weight.dtype == torch.float32
        assert not torch.equal(weight, start[name]), name
    exact = trained(run(epochs=1))
    assert trainer.history["train_loss"][1] == pytest.approx(
        exact.history["train_loss"][1], rel=0.01
    )


def test_statistics_that_overflow_are_not_finite_weights() -> None:
    network = untrained_network(run(), dataset())
    assert all_finite(network)
    network.get_submodule("norm2").running_var[1] = torch.inf
    assert not all_finite(network)


@pytest.mark.parametrize("learning_rate", [1e30, 1e38])
def test_a_run_that_diverges_is_recorded_with_finite_weights(learning_rate: float) -> None:
    trainer = trained(run(learning_rate=learning_rate))
    for weights in trainer.weights.values():
        assert all(bool(weight.isfinite().all()) for weight in weights.values())


def test_weights_of_a_network_without_the_rule_leave_its_trained_feedback_alone() -> None:
    plain, ruled = (
        untrained_network(configuration(rule), dataset()) for rule in ("bp", "kolen_pollack")
    )
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(1)
    feedback = {n: p.clone() for n, p in ruled.named_parameters() if "trained_feedback" in n}
    set_weights(ruled, network_weights(plain))
    after = dict(ruled.named_parameters())
    assert len(feedback) == 4
    for name, value in feedback.items():
        assert torch.equal(after[name], value)
    for name, value in plain.named_parameters():
        assert torch.equal(after[name], value)


def test_weights_of_another_network_are_no_weights_for_it() -> None:
    network = untrained_network(configuration("kolen_pollack"), dataset())
    weights = dict(network_weights(network))
    del weights["fc2.weight"]
    with pytest.raises(KeyError):
        set_weights(network, weights)
