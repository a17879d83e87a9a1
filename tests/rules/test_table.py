"""RULES: every declared property, checked against what the rule does."""

import copy
import itertools
import math
import pickle
import re
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.rules import RULES, FeedbackLayer, Rule, feedback_layers, get_rule
from oracles import rule_twins as twins
from rules.variants import (
    VARIANTS,
    Variant,
    array,
    assert_same,
    backward,
    conv,
    converted_network,
    every_rule,
    every_variant,
    linear,
    normal,
    small_batch,
    variant_of,
)

# The table itself


@every_rule
def test_every_row_has_all_its_fields(rule):
    row = RULES[rule]
    for name in ("name", "title", "equation", "source", "aliases"):
        assert getattr(row, name), name
    assert row.equation.startswith("B = ")
    assert all(alias.strip() == alias != "" for alias in row.aliases)
    assert callable(row.feedback)
    assert all(len(set(values)) == len(values) >= 2 for values in row.options.values())
    assert len(fields(Rule)) == 15, "a new field of Rule needs a check in this file"


def test_every_row_has_a_twin():
    assert set(twins.FEEDBACK) == set(RULES)


def test_names_titles_and_aliases_mean_one_rule_each():
    assert [row.name for row in RULES.values()] == list(RULES)
    words = [{w.lower() for w in (row.name, row.title, *row.aliases)} for row in RULES.values()]
    assert len(set().union(*words)) == sum(map(len, words)), "one word means two rules"


def test_rows_can_be_set_members_and_be_pickled():
    assert len(set(RULES.values())) == len(RULES)
    for row in RULES.values():
        assert pickle.loads(pickle.dumps(row)) == row
        assert copy.deepcopy(row) == row


def test_defaults_are_what_the_authors_code_of_lance_and_kieu_does():
    assert RULES["usf_sn"].options["norm"][0] == "frobenius"
    assert RULES["usf_init"].options["magnitude"][0] == "absolute"


def test_declared_properties_do_not_contradict_each_other():
    for row in RULES.values():
        assert not (row.redraws_feedback and row.stores_feedback)
        assert row.draws_feedback == (row.redraws_feedback or row.stores_feedback)
        if row.trains_feedback:
            assert row.stores_feedback
            assert not row.dense, "the gradient of B is that of W, so they have one shape"
        if row.direct:
            assert row.dense
            assert row.weight_transport == "none"


# get_rule and options


@every_rule
def test_a_rule_is_found_by_its_name_alone(rule):
    row = RULES[rule]
    assert get_rule(rule) is row
    assert get_rule(row) is row
    for word in (*row.aliases, row.title):
        with pytest.raises(AuditError, match=re.escape(f"{word!r} (did you mean {rule!r}?)")):
            get_rule(word)


def test_a_rule_of_ones_own_passes_through():
    own = replace(RULES["bp"], name="own")
    assert get_rule(own) is own


@pytest.mark.parametrize("name", ["frsf", "frSF", "FRSF"])
def test_fixed_random_magnitudes_are_found_under_their_one_name(name):
    """frSF is the equation of uSF Init: an alias, not a second row."""
    with pytest.raises(AuditError, match=re.escape(f"{name!r} (did you mean 'usf_init'?)")):
        get_rule(name)


def test_redrawn_magnitudes_differ_from_fixed_ones_by_when_they_are_drawn_alone():
    assert RULES["brsf"].feedback is RULES["usf_init"].feedback


def test_an_unknown_rule_is_refused_in_one_sentence_that_names_the_rules():
    with pytest.raises(AuditError) as error:
        get_rule("qqqq")
    assert str(error.value) == f"there is no rule 'qqqq'; the rules are: {', '.join(RULES)}"
    with pytest.raises(AuditError, match=r"'usf-sn' \(did you mean 'usf_sn'\?\); the rules are"):
        get_rule("usf-sn")


@every_rule
def test_options_default_to_their_first_value(rule):
    row = RULES[rule]
    defaults = {option: values[0] for option, values in row.options.items()}
    assert row.resolve_options({}) == defaults
    for option, values in row.options.items():
        for value in values:
            assert row.resolve_options({option: value}) == defaults | {option: value}


@every_rule
def test_unknown_options_and_values_are_refused(rule):
    row = RULES[rule]
    known = ", ".join(row.options) or "none"
    with pytest.raises(AuditError, match=f"{rule!r} has no option 'nrom'; it has: {known}"):
        row.resolve_options({"nrom": "spectral"})
    for option, values in row.options.items():
        with pytest.raises(AuditError, match=f"'nuclear'; choose one of: {', '.join(values)}"):
            row.resolve_options({option: "nuclear"})


# Declared properties against behaviour

KINDS = {"linear": (6, 5), "conv": (6, 2, 3, 3)}
both_kinds = pytest.mark.parametrize("kind", KINDS)


def feedback_of(variant: Variant, W: Tensor, R: Tensor | None) -> Tensor:
    return variant.rule.feedback(W, R, **variant.options)


def random_for(variant: Variant, kind: str) -> Tensor | None:
    if not variant.rule.draws_feedback:
        return None
    dense = variant.rule.dense and kind == "conv"
    return normal(3, *((6 * 9, 2 * 25) if dense else KINDS[kind]))


def make(kind: str, variant: Variant) -> FeedbackLayer:
    if kind == "linear":
        return linear(variant, 5, 6, dtype=torch.float64)
    return conv(variant, 2, 6, (5, 5), {"kernel_size": 3}, dtype=torch.float64)


def run(kind: str, layer: FeedbackLayer) -> tuple[Tensor, Tensor, Tensor]:
    """One training pass: the input with its gradient, the delivered error, B as then reported."""
    x = normal(0, *((4, 5) if kind == "linear" else (4, 2, 5, 5))).requires_grad_()
    y = layer(x)
    error = normal(1, *y.shape)
    layer.zero_grad(set_to_none=True)
    y.backward(error)
    return x, error, layer.feedback().clone()


@every_variant
@both_kinds
def test_weight_transport_is_what_is_declared(variant, kind):
    """Three changes of W, each hiding less of it, tell what B knows."""
    R = random_for(variant, kind)
    W = normal(0, *KINDS[kind])
    B = feedback_of(variant, W, R)
    resized = feedback_of(variant, W * normal(1, *KINDS[kind]).abs(), R)  # the signs are kept
    unrelated = feedback_of(variant, normal(2, *KINDS[kind]), R)
    ratio = resized / B
    if torch.equal(unrelated, B):
        knows = "none"
    elif torch.equal(resized, B):
        knows = "sign"
    elif ratio.max() - ratio.min() < 1e-12:
        knows = "sign and norm"
    else:
        knows = "exact"
    assert knows == variant.rule.weight_transport


@pytest.mark.parametrize(
    "variant", [v for v in VARIANTS if v.rule.weight_transport == "sign and norm"], ids=str
)
@both_kinds
def test_a_transported_norm_is_the_weights_own(variant, kind):
    W = normal(0, *KINDS[kind])
    B = feedback_of(variant, W, None)
    order = {"frobenius": "fro", "spectral": 2}[variant.options["norm"]]
    norms = [torch.linalg.matrix_norm(matrix.flatten(1), order) for matrix in (W, B)]
    assert_same(norms[1], norms[0], 1e-12)


@every_variant
@both_kinds
def test_feedback_is_stored_where_declared(variant, kind):
    layer, rule = make(kind, variant), variant.rule
    assert (layer.initial_feedback is not None) == (
        rule.stores_feedback and not rule.trains_feedback
    )
    stored = [n for n in layer.state_dict() if n in ("initial_feedback", "trained_feedback")]
    assert bool(stored) == rule.stores_feedback
    assert (layer.random_part() is not None) == rule.draws_feedback
    W = normal(0, *KINDS[kind])
    if rule.draws_feedback:
        R = random_for(variant, kind)
        assert not torch.equal(feedback_of(variant, W, R), feedback_of(variant, W, R * 2))
    else:
        assert torch.equal(feedback_of(variant, W, None), feedback_of(variant, W, None))


@every_variant
@both_kinds
def test_feedback_changes_in_training_where_declared(variant, kind):
    layer = make(kind, variant)
    optimizer = torch.optim.SGD(layer.parameters(), lr=10)
    before = layer.feedback().clone()
    run(kind, layer)
    optimizer.step()
    assert torch.equal(layer.feedback(), before) != variant.rule.changes_in_training


@every_variant
@both_kinds
def test_feedback_is_drawn_anew_for_every_pass_in_training_where_declared(variant, kind):
    """The weights stay as they are: what changes was drawn."""
    layer = make(kind, variant)
    drawn = [layer.feedback(), *(run(kind, layer)[2] for _ in range(3))]
    assert all(torch.equal(B, drawn[0]) for B in drawn) != variant.rule.redraws_feedback
    if variant.rule.redraws_feedback:
        assert not any((a == b).any() for a, b in itertools.combinations(drawn, 2))


@every_variant
@both_kinds
def test_feedback_is_trained_as_the_weight_is_where_declared(variant, kind):
    layer = make(kind, variant)
    assert (layer.trained_feedback is not None) == variant.rule.trains_feedback
    names = [name for name, _ in layer.named_parameters()]
    extra = ["trained_feedback"] if variant.rule.trains_feedback else []
    assert names == ["weight", "bias", *extra]
    if variant.rule.trains_feedback:
        assert torch.equal(layer.feedback(), layer.trained_feedback)
        assert layer.trained_feedback.shape == layer.weight.shape
        run(kind, layer)
        assert torch.equal(layer.trained_feedback.grad, layer.weight.grad)
        assert layer.trained_feedback.grad.data_ptr() != layer.weight.grad.data_ptr()


@every_variant
def test_the_error_of_the_networks_output_is_sent_down_where_declared(variant):
    """A layer to which no error is delivered sends none down, or that of the output."""
    network = converted_network(variant)

    def keep_error_from(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        output.register_hook(torch.zeros_like)

    network.fc1.register_forward_hook(keep_error_from)
    gradients = backward(network, *small_batch())
    assert (gradients["fc1.weight"] == 0).all()
    assert (gradients["conv2.weight"] != 0).any() == variant.rule.direct
    for layer in feedback_layers(network).values():
        assert layer.error_source is (network.fc2 if variant.rule.direct else layer)


@every_rule
@both_kinds
def test_signs_are_concordant_where_declared(rule, kind):
    variant = variant_of(rule)
    W = normal(0, *KINDS[kind])
    W[0] = 0
    R = random_for(variant, kind)
    B = feedback_of(variant, W, R)
    concordant = B.shape == W.shape and torch.equal(B.sign(), W.sign())
    assert concordant == RULES[rule].sign_concordant


def test_usf_init_without_the_bars_is_not_sign_concordant():
    """Equation 5 as printed against the authors' code: a declared property tells them apart."""
    W, B0 = normal(0, 100, 100), normal(1, 100, 100)
    agreement = {}
    for variant in (v for v in VARIANTS if v.rule.name == "usf_init"):
        B = feedback_of(variant, W, B0)
        agreement[variant.options["magnitude"]] = (B.sign() == W.sign()).double().mean().item()
    assert agreement["absolute"] == 1
    assert agreement["signed"] == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(10_000))


@every_variant
def test_feedback_is_dense_at_convolutions_where_declared(variant):
    layer = make("conv", variant)
    shape = (6 * 3 * 3, 2 * 5 * 5) if variant.rule.dense else layer.weight.shape
    assert layer.feedback().shape == shape == layer.feedback_shape()
    assert make("linear", variant).feedback_shape() == (6, 5)
    # A kernel sends an error no further than its window, a dense matrix everywhere.
    x = normal(0, 1, 2, 5, 5).requires_grad_()
    layer(x)[0, 0, 0, 0].backward()
    reached = x.grad[0].abs().sum(0) > 0
    assert reached[:3, :3].all()
    assert reached[3:].any() == reached[:, 3:].any() == variant.rule.dense


@every_rule
@both_kinds
def test_every_option_value_is_a_rule_of_its_own(rule, kind):
    variants = [v for v in VARIANTS if v.rule.name == rule]
    assert len(variants) == math.prod(map(len, RULES[rule].options.values()))
    W = normal(0, *KINDS[kind])
    feedbacks = [feedback_of(v, W, random_for(v, kind)) for v in variants]
    for i, one in enumerate(feedbacks):
        assert not any(torch.allclose(one, other) for other in feedbacks[:i])
    default = RULES[rule].feedback(W, random_for(variants[0], kind))
    assert torch.equal(default, feedbacks[0]), "the function's default is not the table's"


@every_variant
@both_kinds
def test_feedback_is_its_twin_and_leaves_its_arguments_alone(variant, kind):
    W, R = normal(0, *KINDS[kind]), random_for(variant, kind)
    W[1, 1] = 0
    before = W.clone(), None if R is None else R.clone()
    expected = twins.FEEDBACK[variant.rule.name](
        array(W), None if R is None else array(R), **variant.options
    )
    assert_same(feedback_of(variant, W, R), expected)
    assert torch.equal(W, before[0])
    assert R is None or torch.equal(R, before[1])
