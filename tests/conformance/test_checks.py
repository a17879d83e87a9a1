"""Which checks there are, and that a rule's declared properties alone decide which apply."""

from dataclasses import replace

import numpy as np
import pytest

from conformance.adapters import replaced_weight
from fa_audit.conformance.adapter import KINDS
from fa_audit.conformance.bench import Bench
from fa_audit.conformance.checks import CHECKS
from fa_audit.conformance.trials import Trial, all_trials, run_trial, trials_of
from fa_audit.conformance.variants import variants_of
from fa_audit.rules import RULES
from oracles import rule_twins as twins


def names(rule, kind="linear") -> set[str]:
    """The checks that the default variant of a rule is held to in one kind of layer."""
    default = variants_of(rule)[0]
    return {check.name for check in CHECKS.values() if check.applies(default, kind)}


def test_every_check_has_a_statement_and_a_source():
    for check in CHECKS.values():
        assert check.statement.endswith("."), check.name
        assert check.source.strip(), check.name


def test_ids_name_rule_layer_and_check_and_are_unique():
    ids = [trial.id for trial in all_trials()]
    assert len(set(ids)) == len(ids)
    assert "usf_sn.norm=spectral/conv2d/stride" in ids
    assert "bp/linear/forward" in ids


def test_every_check_applies_to_some_rule_and_every_rule_has_checks_in_both_layers():
    assert {trial.check.name for trial in all_trials()} == set(CHECKS)
    for rule in RULES:
        assert {trial.kind for trial in trials_of(rule)} == set(KINDS)


# A property of the row → the checks that it brings; without it they are gone.
BROUGHT_BY = [
    (
        "usf_init",
        {"stores_feedback": False},
        {"fixed_initial_feedback", "state_dict", "magnitudes"},
    ),
    ("usf_init", {"changes_in_training": False}, {"follows_weights"}),
    ("usf_init", {"sign_concordant": False}, {"signs", "zero_weights", "magnitudes"}),
    ("usf_init", {"weight_transport": "exact"}, {"signs_alone"}),
    ("usf_sn", {"weight_transport": "exact"}, {"norm"}),
    ("fa_toeplitz", {"weight_transport": "exact"}, {"no_weight_transport"}),
    ("fa_random", {"dense": False}, {"dense_order"}),
    ("brsf", {"redraws_feedback": False}, {"redrawn", "drawn_magnitudes"}),
    ("kolen_pollack", {"trains_feedback": False}, {"trained_feedback"}),
    ("dfa", {"direct": False}, {"direct_error"}),
]

# A property → the checks that make no sense with it.
RULED_OUT_BY = [
    (
        "usf_init",
        {"redraws_feedback": True},
        {"equation", "sham_feedback", "repeatable", "signs_alone", "follows_weights"},
    ),
    (
        "usf_init",
        {"trains_feedback": True},
        {"trained_parameters", "fixed_initial_feedback", "follows_weights"},
    ),
]


@pytest.mark.parametrize(("rule", "given", "checks"), RULED_OUT_BY)
def test_checks_that_a_property_contradicts_are_left_out(rule, given, checks):
    row = RULES[rule]
    assert names(row, "conv2d") - names(replace(row, **given), "conv2d") == checks


@pytest.mark.parametrize(("rule", "without", "checks"), BROUGHT_BY)
def test_checks_come_and_go_with_the_declared_property(rule, without, checks):
    row = RULES[rule]
    assert names(row, "conv2d") - names(replace(row, **without), "conv2d") == checks


def test_a_rule_that_is_only_a_row_is_checked_like_any_other():
    """The name is no part of what decides."""
    row = replace(RULES["usf_init"], name="brand_new")
    assert names(row) == names(RULES["usf_init"])
    trials = [Trial(variants_of(row)[0], "linear", check) for check in CHECKS.values()]
    assert {trial.id.split("/")[0] for trial in trials} == {"brand_new"}


def test_properties_are_promised_for_the_default_options_only():
    ids = {trial.id for trial in trials_of("usf_init")}
    assert "usf_init/linear/signs" in ids
    assert "usf_init.magnitude=signed/linear/signs" not in ids


@pytest.mark.parametrize("trial", all_trials()[::7], ids=lambda trial: trial.id)
def test_a_passed_check_says_what_it_found(trial):
    result = run_trial(replaced_weight, trial)
    assert result.status == "passed"
    assert result.sentence[0].isupper()
    assert result.sentence.endswith(".")
    assert len(result.sentence) > 10


@pytest.mark.parametrize("rule", [name for name in RULES if not RULES[name].redraws_feedback])
def test_the_equation_that_layers_are_held_to_is_the_oracles(rule):
    W, B0 = np.random.default_rng(0).normal(size=(2, 5, 7))
    W[0, :3] = 0
    for variant in variants_of(RULES[rule]):
        expected = twins.FEEDBACK[rule](W, B0, **dict(variant.options))
        np.testing.assert_allclose(variant.feedback(W, B0), expected, rtol=1e-12)


def test_all_rules_are_held_to_the_same_numbers():
    benches = [
        Bench(replaced_weight, variant, "conv2d", "seed")
        for rule in RULES.values()
        for variant in variants_of(rule)
    ]
    for bench in benches:
        np.testing.assert_array_equal(bench.case().weight, benches[0].case().weight)
        np.testing.assert_array_equal(bench.case().error, benches[0].case().error)
    other = Bench(replaced_weight, variants_of(RULES["bp"])[0], "conv2d", "another seed")
    assert not np.isclose(other.case().weight, benches[0].case().weight).any()
