import math
from dataclasses import fields, replace
from typing import Any

import pytest

from fa_audit.errors import AuditError
from fa_audit.hashing import content_hash
from fa_audit.rules import RULES
from fa_audit.training.configuration import (
    DataSettings,
    ProbeSettings,
    RunConfiguration,
    TrainingSettings,
)

DATA = DataSettings("cifar10", validation=5000)
TRAINING = TrainingSettings(epochs=6, learning_rate=1e-3)
RUN = RunConfiguration("fa_toeplitz", 0, DATA, TRAINING)


def with_setting(room: str, name: str, value: Any) -> RunConfiguration:
    return replace(RUN, **{room: replace(getattr(RUN, room), **{name: value})})


def test_the_hash_of_a_published_run_is_what_its_ledger_file_is_named_after() -> None:
    # The bp, seed 0 cell of reproductions/lance_kieu_2026: with another hash no ledger fits.
    run = RunConfiguration("bp", 0, DATA, replace(TRAINING, weight_decay=1e-4))
    assert run.hash == "1823ee78c9d0f7677461d1af62499eb56a3af6316f60824940b3c054cc2d631b"


def test_the_hash_of_a_run_with_options_and_feedback_is_fixed() -> None:
    data = DataSettings("shapes", 60, split_seed=1, crop=20, flip=False, train=160, test=50)
    training = TrainingSettings(2, 0.01, 0.5, 0.1, 32, initialisation="independent")
    probe = ProbeSettings(16, 2, "ninety")
    run = RunConfiguration(
        "usf_init", 7, data, training, options={"magnitude": "signed"}, probe=probe
    )
    # sha256sum (GNU coreutils) of the same written out by hand as JSON with sorted keys, no spaces.
    assert run.hash == "698c831255dafa332ae8f573ab187ac8fee4da30c729dfd331e970c140740441"


def test_configuration_is_plain_data_without_what_is_not_set() -> None:
    assert RUN.to_json() == {
        "kind": "run",
        "rule": "fa_toeplitz",
        "seed": 0,
        "data": {"name": "cifar10", "validation": 5000, "split_seed": 42, "crop": 24, "flip": True},
        "training": {
            "epochs": 6,
            "learning_rate": 0.001,
            "weight_decay": 0.0,
            "batch_size": 128,
            "optimizer": "adam",
            "initialisation": "shared",
            "precision": "float32",
        },
        "network": "architecture1",
        "options": {},
        "probe": {"images": 256, "per_decade": 8, "zero_errors": "exclude"},
    }
    assert RUN.hash == content_hash(RUN.to_json())


OTHER = {
    "data": {
        "name": "shapes",
        "validation": 4000,
        "split_seed": 1,
        "crop": 20,
        "flip": False,
        "train": 100,
        "test": 10,
    },
    "training": {
        "epochs": 7,
        "learning_rate": 2e-3,
        "weight_decay": 1e-4,
        "feedback_scale": 0.1,
        "batch_size": 64,
        "initialisation": "independent",
        "optimizer": "muon",
        "precision": "bf16",
        "trained_layers": ("fc3",),
        "intervention": "flatten",
    },
    "probe": {"images": 16, "per_decade": 2, "zero_errors": "ninety"},
}


def test_every_setting_with_a_choice_enters_the_hash() -> None:
    # These need another setting beside them; test_interventions has the hashes of ranks.
    not_alone = {"muon_learning_rate", "intervention_rank"}
    for room, values in OTHER.items():
        assert set(values) == {f.name for f in fields(getattr(RUN, room))} - not_alone
    changed = [
        with_setting(room, name, value)
        for room, values in OTHER.items()
        for name, value in values.items()
    ]
    muon = with_setting("training", "optimizer", "muon")
    changed += [replace(muon, training=replace(muon.training, muon_learning_rate=0.01))]
    changed += [replace(RUN, normalisation="batch"), replace(RUN, network="cnn4")]
    changed += [replace(RUN, seed=1), replace(RUN, rule="usf_init"), replace(RUN, rule="usf_sn")]
    changed += [replace(RUN, rule="usf_init", options={"magnitude": "signed"})]
    hashes = [run.hash for run in [RUN, *changed]]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize("rule", RULES)
def test_options_left_out_are_the_defaults_spelled_out(rule: str) -> None:
    defaults = {option: values[0] for option, values in RULES[rule].options.items()}
    short, long = (
        RunConfiguration(rule, 0, DATA, TRAINING, options=options) for options in ({}, defaults)
    )
    assert short.options == defaults
    assert short.hash == long.hash


@pytest.mark.parametrize(
    ("room", "name", "value", "sentence"),
    [
        ("data", "name", "mnist", "data.name is 'mnist'; choose one of: cifar10, cifar100, shapes"),
        ("data", "validation", 0, "data.validation is 0; it must be at least 1"),
        ("data", "crop", 0, "data.crop is 0; it must lie between 1 and 32"),
        ("data", "crop", 33, "data.crop is 33; it must lie between 1 and 32"),
        ("training", "epochs", 0, "epochs is 0; it must be at least 1"),
        ("training", "learning_rate", 0.0, "learning_rate is 0.0; it must be "),
        ("training", "learning_rate", -1.0, "learning_rate is -1.0; it must be "),
        ("training", "learning_rate", math.nan, "learning_rate is nan; it must be "),
        ("training", "learning_rate", math.inf, "learning_rate is inf; it must be "),
        ("training", "weight_decay", -1e-9, "weight_decay is -1e-09; it must be "),
        ("training", "weight_decay", math.inf, "weight_decay is inf; it must be "),
        ("training", "feedback_scale", 0.0, "feedback_scale is 0.0; it must be "),
        ("training", "feedback_scale", math.inf, "feedback_scale is inf; it must be "),
        ("training", "batch_size", 0, "batch_size is 0; it must be at least 1"),
        ("training", "optimizer", "sgd", "optimizer is 'sgd'; choose one of: adam"),
        ("training", "initialisation", "none", "initialisation is 'none'; choose one of: shared"),
        ("training", "precision", "half", "precision is 'half'; choose one of: float32"),
        ("training", "muon_learning_rate", 0.02, "optimizer 'adam' has no use for muon_learning_"),
        ("probe", "images", 0, "probe.images is 0; it must be at least 1"),
        ("probe", "per_decade", 0, "probe.per_decade is 0; it must be at least 1"),
        ("probe", "zero_errors", "drop", "probe.zero_errors is 'drop'; choose one of: exclude"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(
    room: str, name: str, value: Any, sentence: str
) -> None:
    with pytest.raises(AuditError) as refusal:
        with_setting(room, name, value)
    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rule": "bqp"}, "there is no rule 'bqp' (did you mean 'bp'?)"),
        ({"network": "vgg"}, "network is 'vgg'; choose one of: architecture1"),
        ({"options": {"norm": "spectral"}}, "rule 'fa_toeplitz' has no option 'norm'"),
        ({"rule": "usf_sn", "options": {"norm": "l1"}}, "option 'norm' of rule 'usf_sn' is 'l1'"),
    ],
)
def test_a_run_that_cannot_be_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AuditError) as refusal:
        replace(RUN, **changes)
    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize("rule", RULES)
def test_a_feedback_scale_is_for_rules_that_draw_feedback(rule: str) -> None:
    training = replace(TRAINING, feedback_scale=0.01)
    if RULES[rule].draws_feedback:
        assert RunConfiguration(rule, 0, DATA, training).training.feedback_scale == 0.01
    else:
        with pytest.raises(AuditError, match=f"^rule '{rule}' stores no B0, so feedback_scale "):
            RunConfiguration(rule, 0, DATA, training)


def test_muons_learning_rate_is_the_published_one_unless_given() -> None:
    muon = replace(TRAINING, optimizer="muon")
    assert muon.muon_learning_rate == 0.02
    assert muon == replace(TRAINING, optimizer="muon", muon_learning_rate=0.02)
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(AuditError, match=r"^muon_learning_rate is .*; it must be > 0 and "):
            replace(muon, muon_learning_rate=bad)


def test_an_intervention_on_weights_whose_feedback_is_trained_like_them_is_refused() -> None:
    training = replace(TRAINING, intervention="flatten")
    with pytest.raises(AuditError, match=r"^rule 'kolen_pollack' trains its feedback as it trains"):
        RunConfiguration("kolen_pollack", 0, DATA, training)


def test_a_layer_named_twice_is_refused() -> None:
    with pytest.raises(AuditError, match=r"^trained_layers names a layer twice \(fc1, fc1\)"):
        replace(TRAINING, trained_layers=("fc1", "fc1"))


def test_a_layer_inside_another_that_is_named_is_refused() -> None:
    for layers in (("s", "s.b"), ("fc", "s.b.c", "s")):
        with pytest.raises(AuditError, match=r"^trained_layers names s and s\.b.* inside it; "):
            replace(TRAINING, trained_layers=layers)
    assert replace(TRAINING, trained_layers=("fc1", "fc10", "fc1x.y")).trained_layers
