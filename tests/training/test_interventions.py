"""Interventions on updates: what they do to a matrix, and to which of a run's weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.metrics import effective_ranks
from fa_audit.training.configuration import RankSettings, TrainingSettings
from fa_audit.training.interventions import Intervention, confine, flatten, truncate
from fa_audit.training.replicas import Replicas
from fa_audit.training.trainer import Trainer
from oracles import update_twins as twins
from training.tiny import (
    EPOCHS,
    assert_identical,
    batches,
    configuration,
    dataset,
    finished,
    float64_trainer,
    stored,
    trained,
)

HIDDEN = ("conv2", "fc1", "fc2")
KINDS = ("truncate", "flatten", "random-subspace")
seeds, sizes = st.integers(0, 2**31), st.integers(2, 12)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def changed(kind: str, update: Tensor, rank: int) -> Tensor:
    if kind == "random-subspace":
        return confine(update, rank, generator(7))
    return {"truncate": truncate, "flatten": flatten}[kind](update, rank)


def numerical_rank(matrix: Tensor, noise: float = 1e-9) -> int:
    sigma = np.linalg.svd(matrix.double().numpy(), compute_uv=False)
    return int((sigma > noise * sigma[0]).sum())


# Of a matrix


@given(seeds, sizes, sizes, st.integers(1, 12))
def test_cutting_and_flattening_are_those_of_the_svd_written_out(
    seed: int, rows: int, columns: int, rank: int
) -> None:
    update = drawn(seed, rows, columns)
    found = truncate(update, rank).numpy()
    np.testing.assert_allclose(found, twins.truncated(update.numpy(), rank), atol=1e-8)
    r = min(rank, rows, columns)
    # 1/σ of the smallest singular value enlarges the rounding of the Gram matrix.
    small = np.linalg.svd(update.numpy(), compute_uv=False)[r - 1]
    if small > 1e-2:
        expected = twins.flattened(update.numpy(), r)
        np.testing.assert_allclose(flatten(update, rank).numpy(), expected, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@given(seeds, sizes, sizes, st.integers(1, 12))
def test_the_norm_is_kept_and_the_rank_is_what_was_asked_for(
    kind: str, seed: int, rows: int, columns: int, rank: int
) -> None:
    update = drawn(seed, rows, columns)
    found = changed(kind, update, rank)
    assert found.shape == update.shape
    assert found.norm().item() == pytest.approx(update.norm().item(), rel=1e-12)
    assert numerical_rank(found) == min(rank, rows, columns)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_a_turned_update_gives_the_turned_result(kind: str, shape: tuple[int, int]) -> None:
    update = drawn(1, *shape)
    left, right = (
        torch.linalg.qr(drawn(seed, n, n)).Q for seed, n in zip((2, 3), shape, strict=True)
    )
    if kind == "random-subspace":  # its directions stay where they are on the smaller side
        left = torch.eye(shape[0], dtype=torch.float64) if shape[0] <= shape[1] else left
        right = torch.eye(shape[1], dtype=torch.float64) if shape[1] < shape[0] else right
    expected = left @ changed(kind, update, 3) @ right
    torch.testing.assert_close(changed(kind, left @ update @ right, 3), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_an_update_only_scales_the_result(kind: str) -> None:
    update = drawn(0, 6, 10)
    for scale in (1e-30, 1e30):
        torch.testing.assert_close(
            changed(kind, scale * update, 2), scale * changed(kind, update, 2)
        )


@pytest.mark.parametrize("kind", ["truncate", "random-subspace"])
@pytest.mark.parametrize("rank", [5, 6, 1000])
def test_at_full_rank_the_very_update_is_given_back(kind: str, rank: int) -> None:
    update = drawn(0, 5, 9)
    assert changed(kind, update, rank) is update


def test_flattening_makes_every_definition_of_rank_the_number_of_directions() -> None:
    update = drawn(0, 12, 30) * 0.6 ** torch.arange(30)
    for rank in (1, 3, 8):
        found = effective_ranks(flatten(update, rank))
        assert found == pytest.approx(dict.fromkeys(found, rank), rel=1e-6)
    assert effective_ranks(truncate(update, 8))["entropy"] < 6


def test_flattening_all_directions_leaves_out_what_is_rounding() -> None:
    update = drawn(0, 12, 4) @ drawn(1, 4, 30)
    noisy = update + 1e-7 * drawn(2, 12, 30)
    for one in (update, noisy):
        assert effective_ranks(flatten(one))["stable"] == pytest.approx(4, rel=1e-6)
        assert numerical_rank(flatten(one), 1e-5) == numerical_rank(flatten(one, 9), 1e-5) == 4


def test_a_random_subspace_is_another_for_another_generator_and_not_the_leading_one() -> None:
    update = drawn(0, 20, 30) * 0.5 ** torch.arange(30)
    first, same, other = (confine(update, 3, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    cut = truncate(update, 3)
    assert (first * update).sum() < 0.8 * (cut * update).sum()


def test_random_directions_are_uniform_over_all_subspaces() -> None:
    # E P = r/k · 1, so a square update with orthogonal rows keeps r/k of itself on average.
    identity = torch.eye(6, dtype=torch.float64)
    mean = sum(confine(identity, 2, generator(seed)) for seed in range(3000)) / 3000
    assert (mean / mean.trace() * 6 - identity).abs().max() < 0.08


@pytest.mark.parametrize("kind", KINDS)
def test_no_update_stays_none(kind: str) -> None:
    zero = torch.zeros(4, 6, dtype=torch.float64)
    assert torch.equal(changed(kind, zero, 2), zero)


# Of a run


def intervened(kind: str | None, rank: Any = None, rule: str = "bp", **changes: Any) -> Trainer:
    run = configuration(rule, intervention=kind, intervention_rank=rank, **changes)
    return Trainer(run, dataset())


def one_step(trainer: Trainer) -> dict[str, tuple[Tensor, Tensor]]:
    """What the first step makes of every parameter: before and after."""
    plan = next(trainer.plan_epoch())
    before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
    images = trainer.batches.crop(plan.index, plan.offsets, plan.flips)
    trainer._step(images, trainer.labels[plan.index])
    return {name: (before[name], p.detach()) for name, p in trainer.network.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_weights_alone_are_changed_and_as_asked(kind: str) -> None:
    plain, found = one_step(intervened(None)), one_step(intervened(kind, 3))
    for name, (before, after) in found.items():
        update = (after.double() - before.double()).flatten(1 if after.ndim > 1 else 0)
        without = (plain[name][1].double() - before.double()).flatten(1 if after.ndim > 1 else 0)
        layer, _, kind_of = name.partition(".")
        if layer in HIDDEN and kind_of == "weight":
            assert numerical_rank(update, 1e-4) == 3, name
            assert update.norm().item() == pytest.approx(without.norm().item(), rel=1e-5)
            expected = changed_by_twin(kind, without, 3)
            if expected is not None:
                assert np.linalg.norm(update.numpy() - expected) < 1e-4 * np.linalg.norm(expected)
        else:
            assert torch.equal(after, plain[name][1]), name


def changed_by_twin(kind: str, update: Tensor, rank: int) -> twins.Array | None:
    twin = {"truncate": twins.truncated, "flatten": twins.flattened}.get(kind)
    return twin(update.numpy(), rank) if twin else None


def test_cutting_to_full_rank_leaves_every_bit_of_the_run() -> None:
    run = configuration("fa_toeplitz", intervention="truncate", intervention_rank=384)
    assert_identical(trained(run), finished("fa_toeplitz"))


def test_layers_may_have_ranks_of_their_own() -> None:
    found = one_step(intervened("truncate", {"conv2": 2, "fc2": 5}))
    plain = one_step(intervened(None))
    for name, rank in (("conv2", 2), ("fc2", 5)):
        before, after = found[f"{name}.weight"]
        assert numerical_rank((after - before).flatten(1), 1e-4) == rank
    assert torch.equal(found["fc1.weight"][1], plain["fc1.weight"][1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_is_changed_as_one_that_never_stopped(kind: str) -> None:
    run = configuration("fa_toeplitz", intervention=kind, intervention_rank=3)
    first = Trainer(run, dataset())
    first.train_epoch()
    second = Trainer(run, dataset())
    second.load_state_dict(stored(first.state_dict()))
    for trainer in (first, second):
        while trainer.status == "training":
            trainer.train_epoch()
    assert_identical(first, second)
    assert first.history != finished("fa_toeplitz").history
    assert first.epoch == EPOCHS


@pytest.mark.parametrize("kind", ["truncate", "random-subspace"])
def test_runs_trained_as_one_are_changed_as_they_are_alone(kind: str) -> None:
    runs = [configuration(seed=s, intervention=kind, intervention_rank=3) for s in (0, 1)]
    alone, among = ([float64_trainer(run) for run in runs] for _ in range(2))
    for trainer in (*alone, *among):
        assert trainer.intervention is not None
        trainer.intervention.attach(trainer.optimizer)
    given = [batches(trainer, 3) for trainer in alone]
    replicas = Replicas(among)
    for step in range(3):
        replicas.step(*(torch.stack([one[step][part] for one in given]) for part in (0, 1)))
        for trainer, own in zip(alone, given, strict=True):
            trainer._step(*own[step])
    for a, b in zip(alone, among, strict=True):
        for (name, one), other in zip(
            a.network.named_parameters(), b.network.parameters(), strict=True
        ):
            gap = ((one - other).detach().norm() / one.detach().norm()).item()
            assert gap < 1e-9, f"{name} differs by {gap}"


def test_ranks_are_measured_of_gradients_before_and_of_updates_after_the_intervention() -> None:
    rank = RankSettings(rows=4, columns=8)
    found = trained(configuration(rank=rank, intervention="flatten", intervention_rank=5))
    plain = trained(configuration(rank=rank))
    assert found.ranks is not None
    assert plain.ranks is not None
    for layer in HIDDEN:
        first = {name: found.ranks.series[name][layer]["entropy"][0] for name in found.ranks.series}
        assert first["gradient"] == plain.ranks.series["gradient"][layer]["entropy"][0]
        assert first["update"] == pytest.approx(5, rel=0.01)
    for layer in ("conv1", "fc3"):
        updates = [one.ranks.series["update"][layer]["entropy"][0] for one in (found, plain)]
        assert updates[0] == updates[1]


def test_a_run_that_diverges_is_recorded_as_such() -> None:
    trainer = intervened("flatten", learning_rate=1e30)
    while trainer.status == "training":
        trainer.train_epoch()
    assert trainer.status == "diverged"


# Settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"intervention": "cut"}, "intervention is 'cut'; choose one of: truncate, flatten, "),
        ({"intervention_rank": 3}, "intervention_rank is given without intervention; name one"),
        ({"intervention": "truncate"}, "intervention is 'truncate', which needs intervention_rank"),
        ({"intervention": "random-subspace"}, "intervention is 'random-subspace', which needs"),
        ({"intervention": "truncate", "intervention_rank": 0}, "intervention_rank is 0; give each"),
        (
            {"intervention": "truncate", "intervention_rank": {"fc1": 0}},
            "intervention_rank is {'fc1': 0}; give each layer named at least 1",
        ),
        ({"intervention": "flatten", "intervention_rank": {}}, "intervention_rank is {}; give"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AuditError) as refusal:
        TrainingSettings(1, 1e-3, **settings)
    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize("name", ["conv1", "fc3", "fc9"])
def test_a_layer_that_is_not_hidden_is_refused_by_name(name: str) -> None:
    with pytest.raises(AuditError, match=f"names '{name}', .* choose from: conv2, fc1, fc2$"):
        intervened("truncate", {"fc1": 2, name: 3})


def test_a_network_without_hidden_layers_is_refused() -> None:
    settings = TrainingSettings(1, 1e-3, intervention="flatten")
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    with pytest.raises(AuditError, match="this network has none"):
        Intervention(network, settings, 0)


def test_interventions_enter_the_hash_only_where_there_is_one() -> None:
    plain = configuration()
    assert not any(name.startswith("intervention") for name in plain.to_json()["training"])
    changes: list[tuple[str, Any]] = [(kind, 3) for kind in KINDS]
    changes += [("flatten", None), ("truncate", 4), ("truncate", {"fc1": 3})]
    training = [
        replace(plain.training, intervention=kind, intervention_rank=rank) for kind, rank in changes
    ]
    hashes = {plain.hash, *(replace(plain, training=one).hash for one in training)}
    assert len(hashes) == 1 + len(changes)
