"""A run trained among others equals the same run trained alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fa_audit.rules import RULES, feedback_layers
from fa_audit.training.configuration import RunConfiguration
from fa_audit.training.optimizers import build_optimizer
from fa_audit.training.replicas import Replicas, kinship, side_by_side
from fa_audit.training.trainer import Trainer
from training.tiny import EPOCHS, assert_identical, configuration, dataset, stored, trained

TOGETHER = [name for name in RULES if kinship(configuration(name)) is not None]
every_rule = pytest.mark.parametrize("rule", TOGETHER)
devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])

VARIANTS = [(name, {}) for name in TOGETHER] + [
    ("usf_sn", {"norm": "spectral"}),
    ("usf_init", {"magnitude": "signed"}),
]


def different_runs(rule: str, **changes: object) -> list[RunConfiguration]:
    """Three runs that differ in all that replicas may differ in."""
    scales = (0.01, 0.05, 0.3) if RULES[rule].draws_feedback else (None,) * 3
    return [
        configuration(
            rule,
            seed,
            learning_rate=rate,
            weight_decay=decay,
            feedback_scale=scale,
            epochs=EPOCHS,
            **changes,
        )
        for seed, rate, decay, scale in zip(
            (4, 0, 9), (1e-3, 3e-3, 1e-4), (0.0, 1e-2, 1e-4), scales, strict=True
        )
    ]


def float64_trainer(run: RunConfiguration, device: str) -> Trainer:
    trainer = Trainer(run, dataset(), device)
    trainer.network.double()
    trainer.optimizer = build_optimizer(trainer.network, run.training)
    return trainer


def batches(trainer: Trainer, steps: int) -> list[tuple[Tensor, Tensor]]:
    plans = [plan for _ in range(steps) for plan in trainer.plan_epoch()][:steps]
    return [
        (
            trainer.batches.crop(plan.index, plan.offsets, plan.flips).double(),
            trainer.labels[plan.index],
        )
        for plan in plans
        if len(plan.index) == trainer.configuration.training.batch_size
    ]


@devices
@pytest.mark.parametrize(("rule", "options"), VARIANTS)
def test_in_float64_a_run_among_others_is_the_run_alone(
    rule: str, options: dict[str, str], device: str
) -> None:
    runs = different_runs(rule, batch_size=8, options=options)
    alone = [float64_trainer(run, device) for run in runs]
    among = [float64_trainer(run, device) for run in runs]
    replicas = Replicas(among)
    images = [batches(trainer, 24)[:20] for trainer in alone]
    assert all(len(given) == 20 for given in images)
    for step in range(20):
        together = replicas.step(
            torch.stack([given[step][0] for given in images]),
            torch.stack([given[step][1] for given in images]),
        )
        losses = [trainer._step(*given[step]) for trainer, given in zip(alone, images, strict=True)]
        torch.testing.assert_close(together, torch.stack(losses), rtol=1e-9, atol=0)
    for a, b in zip(alone, among, strict=True):
        for (name, one), other in zip(
            a.network.named_parameters(), b.network.parameters(), strict=True
        ):
            gap = (one - other).detach().norm() / one.detach().norm()
            assert gap < 1e-9, f"{name} differs by {gap}"


@every_rule
def test_in_float32_whole_runs_agree_within_rounding(rule: str) -> None:
    runs = different_runs(rule)
    among = [Trainer(run, dataset()) for run in runs]
    replicas = Replicas(among)
    while among[0].status == "training":
        replicas.train_epoch()
    for run, b in zip(runs, among, strict=True):
        a = trained(run)
        assert (b.status, b.epoch) == ("finished", EPOCHS)
        for series in ("train_loss", "validation_loss"):
            assert b.history[series][1:] == pytest.approx(a.history[series][1:], rel=1e-4)
        assert b.history["validation_accuracy"] == pytest.approx(
            a.history["validation_accuracy"], abs=100 / 60 + 1e-9
        )  # of 60 images one may change sides
        assert b.probe.series["step"] == a.probe.series["step"]
        assert b.probe.series["fc1"]["distance"] == pytest.approx(
            a.probe.series["fc1"]["distance"], rel=1e-3
        )


def test_one_replica_is_the_run_alone_too() -> None:
    run = configuration("fa_toeplitz")
    trainer = Trainer(run, dataset())
    replicas = Replicas([trainer])
    while trainer.status == "training":
        replicas.train_epoch()
    assert trainer.history["train_loss"][1:] == pytest.approx(
        trained(run).history["train_loss"][1:], rel=1e-5
    )


def test_replicas_learn_at_their_own_rates_from_their_own_feedback() -> None:
    trainers = [Trainer(run, dataset()) for run in different_runs("fa_toeplitz")]
    Replicas(trainers).train_epoch()
    moved = [trainer.probe.series["fc1"]["distance"][-1] for trainer in trainers]
    assert moved[1] > 2 * moved[0] > 4 * moved[2]
    drawn = [feedback_layers(trainer.network)["fc1"].feedback() for trainer in trainers]
    assert [float(B.std()) for B in drawn] == pytest.approx([0.01, 0.05, 0.3], rel=0.02)


def test_a_run_that_diverges_leaves_the_others_as_they_are() -> None:
    good, bad = configuration("usf_sn", 1), configuration("usf_sn", 2, learning_rate=1e30)
    trainers = [Trainer(run, dataset()) for run in (good, bad)]
    Replicas(trainers).train_epoch()
    assert [trainer.status for trainer in trainers] == ["training", "diverged"]
    alone = Trainer(good, dataset())
    alone.train_epoch()
    assert trainers[0].history["train_loss"][1] == pytest.approx(
        alone.history["train_loss"][1], rel=1e-5
    )


def test_a_run_may_leave_the_group_and_go_on_alone_or_in_another() -> None:
    runs = [configuration("usf_init", seed, feedback_scale=0.1) for seed in range(3)]

    def after_epochs(*groups: list[int]) -> list[Trainer]:
        trainers = [Trainer(run, dataset()) for run in runs]
        for group in groups:
            Replicas([trainers[i] for i in group]).train_epoch()
        return trainers

    kept = after_epochs([0, 1, 2], [0, 1, 2])
    changed = after_epochs([0, 1, 2], [2, 0], [1])
    for a, b in zip(kept, changed, strict=True):
        assert a.epoch == b.epoch == 2
        assert a.history["train_loss"][1:] == pytest.approx(b.history["train_loss"][1:], rel=1e-5)


def test_a_run_stopped_among_others_is_resumed_among_others_bit_for_bit() -> None:
    runs = [configuration("kolen_pollack", seed) for seed in (0, 1)]

    def go_on(trainers: list[Trainer]) -> list[Trainer]:
        replicas = Replicas(trainers)
        while trainers[0].status == "training":
            replicas.train_epoch()
        return trainers

    whole = go_on([Trainer(run, dataset()) for run in runs])
    stopped = [Trainer(run, dataset()) for run in runs]
    Replicas(stopped).train_epoch()
    resumed = [Trainer(run, dataset()) for run in runs]
    for trainer, before in zip(resumed, stopped, strict=True):
        trainer.load_state_dict(stored(before.state_dict()))
    for a, b in zip(whole, go_on(resumed), strict=True):
        assert_identical(a, b)


def test_parameters_side_by_side_are_one_tensor_seen_twice() -> None:
    networks = [Trainer(configuration(seed=seed), dataset()).network for seed in range(3)]
    before = [network.get_parameter("fc1.weight").detach().clone() for network in networks]
    whole = side_by_side(networks)["fc1.weight"]
    assert torch.equal(whole, torch.stack(before))
    with torch.no_grad():
        networks[1].get_parameter("fc1.weight").zero_()
    assert not whole[1].any()
    assert whole[0].any()
    assert whole[2].any()


def test_steps_are_counted_once_for_all() -> None:
    trainers = [Trainer(configuration(seed=seed), dataset()) for seed in range(2)]
    steps = []
    Replicas(trainers).train_epoch(lambda: steps.append(1))
    assert len(steps) == trainers[0].steps_per_epoch


def test_runs_are_kin_if_they_differ_in_nothing_but_what_replicas_may_differ_in() -> None:
    first, *others = different_runs("fa_toeplitz")
    assert all(kinship(other) == kinship(first) for other in others)
    longer = replace(first, training=replace(first.training, epochs=7))
    assert kinship(longer) == kinship(first)
    for change in (
        {"batch_size": 16},
        {"precision": "bf16"},
        {"probe": replace(first.probe, images=8)},
        {"data": replace(first.data, flip=False)},
    ):
        assert kinship(configuration("fa_toeplitz", **change)) != kinship(first), change
    assert kinship(configuration("fa_random")) != kinship(first)
    assert kinship(configuration("usf_sn")) != kinship(
        configuration("usf_sn", options={"norm": "spectral"})
    )


def test_rules_that_count_passes_or_look_past_layers_are_trained_alone() -> None:
    assert [name for name in RULES if name not in TOGETHER] == ["brsf", "dfa"]
