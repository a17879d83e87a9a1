"""Effective ranks of runs, against the steps of the same runs taken by hand."""

import functools
import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fa_audit.errors import AuditError
from fa_audit.measure import error_ranks
from fa_audit.metrics.rank import DEFINITIONS
from fa_audit.rules import RULES
from fa_audit.training.configuration import RankSettings
from fa_audit.training.ranks import OBJECTS
from fa_audit.training.replicas import Replicas, kinship
from fa_audit.training.trainer import Trainer
from oracles import metrics_twins as twins
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

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
STEPS = [1, 3, 10, 12]
SMALL = RankSettings(rows=8, columns=32)
EXACT = RankSettings(rows=12, columns=221_184)
every_rule = pytest.mark.parametrize("rule", RULES)


def ranked(rule: str = "bp", rank: RankSettings = SMALL, **changes: Any) -> Trainer:
    return trained(configuration(rule, rank=rank, **changes))


@functools.cache
def finished_ranked(rule: str) -> Trainer:
    """A run at its end, shared by the tests; none may change it."""
    return ranked(rule)


def series_of(trainer: Trainer) -> dict[str, Any]:
    assert trainer.ranks is not None
    return trainer.ranks.series


def assert_ranks(series: dict[str, list[float]], at: int, matrix: Tensor) -> None:
    """All definitions at a place of the series are those of the matrix."""
    __tracebackhide__ = True
    for definition, values in series.items():
        expected = twins.effective_rank(matrix.double().numpy(), definition)
        assert values[at] == pytest.approx(expected, rel=1e-4), definition


@every_rule
def test_every_object_of_every_layer_is_measured_at_the_probed_steps(rule: str) -> None:
    trainer = finished_ranked(rule)
    series = series_of(trainer)
    assert tuple(series) == OBJECTS
    assert trainer.probe.series["step"] == [0, *STEPS]
    for name in OBJECTS:
        steps = [0, *STEPS] if name == "error" else STEPS
        assert series[name]["step"] == steps
        assert tuple(series[name])[1:] == LAYERS
        for layer in LAYERS:
            ranks = series[name][layer]
            assert tuple(ranks) == tuple(DEFINITIONS)
            for at in range(len(steps)):
                chain = [1.0, *(ranks[definition][at] for definition in DEFINITIONS)]
                for smaller, larger in pairwise(chain):
                    assert smaller <= larger * (1 + 1e-9)
                if name == "trajectory":
                    assert chain[-1] <= min(steps[at], SMALL.rows) * (1 + 1e-9)


@pytest.mark.parametrize("rule", ["bp", "fa_toeplitz"])
def test_gradients_updates_and_trajectories_are_those_of_the_very_steps(rule: str) -> None:
    series = series_of(ranked(rule, EXACT, weight_decay=1e-2))
    by_hand = Trainer(configuration(rule, weight_decay=1e-2), dataset())
    weights = {n: p for n, p in by_hand.network.named_parameters() if n.endswith("weight")}
    gradients: dict[str, list[Tensor]] = {name: [] for name in weights}
    for _ in range(EPOCHS):
        for plan in by_hand.plan_epoch():
            images = by_hand.batches.crop(plan.index, plan.offsets, plan.flips)
            before = {name: weight.detach().clone() for name, weight in weights.items()}
            by_hand.optimizer.zero_grad()
            F.cross_entropy(by_hand.network(images), by_hand.labels[plan.index]).backward()
            for name, weight in weights.items():
                gradients[name].append(weight.grad.clone())
            by_hand.optimizer.step()
            if plan.step not in STEPS:
                continue
            at = STEPS.index(plan.step)
            for name, weight in weights.items():
                layer = name.removesuffix(".weight")
                assert_ranks(series["gradient"][layer], at, gradients[name][-1])
                assert_ranks(series["update"][layer], at, weight.detach() - before[name])
                assert_ranks(series["trajectory"][layer], at, torch.stack(gradients[name]))
        by_hand.end_epoch(1.0)


@every_rule
def test_the_last_errors_are_those_of_the_finished_network_and_within_the_bound(rule: str) -> None:
    trainer = finished_ranked(rule)
    found = error_ranks(trainer.network, trainer.probe.images, trainer.probe.labels)
    for layer in LAYERS:
        last = {d: values[-1] for d, values in series_of(trainer)["error"][layer].items()}
        assert last == found[layer].ranks
    assert trainer.ranks is not None
    assert trainer.ranks.bounds == {"fc3": 9}
    assert max(series_of(trainer)["error"]["fc3"]["entropy"]) <= 9


@every_rule
def test_measuring_ranks_changes_nothing_of_the_run(rule: str) -> None:
    trainer, plain = finished_ranked(rule), finished(rule)
    assert plain.ranks is None
    assert "ranks" not in plain.state_dict()
    assert_identical(trainer, plain)


@pytest.mark.parametrize("rule", ["bp", "brsf", "dfa"])
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_resumed_run_measures_what_one_that_never_stopped_does(rule: str, epoch: int) -> None:
    first = Trainer(configuration(rule, rank=SMALL), dataset())
    for _ in range(epoch):
        first.train_epoch()
    second = Trainer(configuration(rule, rank=SMALL), dataset())
    second.load_state_dict(stored(first.state_dict()))
    while second.status == "training":
        second.train_epoch()
    assert series_of(second) == series_of(finished_ranked(rule))


def test_runs_trained_as_one_measure_what_they_do_alone() -> None:
    # In float64: in float32 the steps themselves part after a few, gradients near zero first.
    runs = [configuration("fa_toeplitz", seed, rank=SMALL) for seed in (0, 1)]
    alone, among = ([float64_trainer(run) for run in runs] for _ in range(2))
    for trainer in (*alone, *among):
        assert trainer.ranks is not None
        trainer.ranks.attach(trainer.optimizer)
    replicas = Replicas(among)
    given = [batches(trainer, 3) for trainer in alone]
    for step in range(3):
        replicas.step(*(torch.stack([one[step][part] for one in given]) for part in (0, 1)))
        for trainer, own in zip(alone, given, strict=True):
            trainer._step(*own[step])
    assert len(given[0]) == 3
    for a, b in zip(alone, among, strict=True):
        assert a.ranks is not None
        assert b.ranks is not None
        for found, expected in (
            (b.ranks._latest["gradient"], a.ranks._latest["gradient"]),
            (b.ranks._latest["update"], a.ranks._latest["update"]),
            (b.ranks._trajectories.ranks(), a.ranks._trajectories.ranks()),
        ):
            assert tuple(found) == LAYERS
            for layer in LAYERS:
                assert found[layer] == pytest.approx(expected[layer], rel=1e-5)
    first, second = (trainer.ranks._latest["update"]["fc1"] for trainer in among if trainer.ranks)
    assert first != second


def test_an_epoch_of_runs_trained_as_one_is_probed() -> None:
    together = [
        Trainer(configuration("usf_sn", seed, rank=SMALL, epochs=1), dataset()) for seed in (0, 1)
    ]
    Replicas(together).train_epoch()
    for trainer in together:
        assert series_of(trainer)["gradient"]["step"] == [1, 3, 4]
        assert None not in series_of(trainer)["trajectory"]["fc2"]["entropy"]


def test_runs_that_are_measured_differently_are_not_kin() -> None:
    plain = configuration()
    ranked_, more = (replace(plain, rank=rank) for rank in (SMALL, replace(SMALL, columns=64)))
    kinships = [kinship(run) for run in (plain, ranked_, more)]
    assert kinships[0] != kinships[1] != kinships[2] != kinships[0]


def test_a_dead_layer_has_no_rank_and_stops_nothing() -> None:
    trainer = Trainer(configuration(rank=SMALL), dataset())
    with torch.no_grad():
        trainer.network.fc1.bias.fill_(-1e3)
    while trainer.status == "training":
        trainer.train_epoch()
    series = series_of(trainer)
    for name in ("gradient", "update", "trajectory"):
        assert series[name]["conv2"]["entropy"] == [None] * len(STEPS)
        assert series[name]["fc1"]["entropy"] == [None] * len(STEPS)
    assert series["error"]["fc1"]["entropy"][0] is not None
    assert series["error"]["fc1"]["entropy"][1:] == [None] * len(STEPS)
    assert None not in series["error"]["fc3"]["entropy"]


@pytest.mark.parametrize("rule", ["bp", "fa_toeplitz"])
@pytest.mark.parametrize("learning_rate", [1e30, 1e38])
def test_a_run_that_diverges_has_ranks_as_long_as_it_is_finite(
    rule: str, learning_rate: float
) -> None:
    trainer = ranked(rule, learning_rate=learning_rate)
    assert trainer.status == "diverged"
    series = series_of(trainer)
    json.dumps(series, allow_nan=False)
    for name in OBJECTS:
        for layer in LAYERS:
            for values in series[name][layer].values():
                assert len(values) == len(series[name]["step"])
    assert None not in series["error"]["fc1"]["stable"][:1]


def test_layers_that_are_not_trained_have_gradients_and_no_update() -> None:
    series = series_of(ranked(trained_layers=("fc2", "fc3")))
    for layer in ("conv2", "fc1"):
        assert None not in series["gradient"][layer]["entropy"]
        assert series["update"][layer]["entropy"] == [None] * len(STEPS)
    assert None not in series["update"]["fc2"]["entropy"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rows": 0}, "rank.rows is 0; it must be at least 1"),
        ({"rows": 9, "columns": 8}, "rank.columns is 8, fewer than rank.rows, 9"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, int], sentence: str) -> None:
    with pytest.raises(AuditError) as refusal:
        RankSettings(**settings)
    assert str(refusal.value).startswith(sentence)


def test_ranks_enter_the_hash_only_where_they_are_measured() -> None:
    plain = configuration()
    assert "rank" not in plain.to_json()
    hashes = {
        replace(plain, rank=rank).hash
        for rank in (None, RankSettings(), RankSettings(rows=255), RankSettings(columns=8191))
    }
    assert len(hashes) == 4
