"""What rules, layers and `convert` refuse, each with one clear sentence."""

import math
import re

import pytest
import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.rules import (
    RULES,
    FeedbackConv2d,
    FeedbackLinear,
    convert,
    feedback_layers,
)
from rules.variants import (
    VARIANTS,
    Runs,
    both_layers,
    every_rule,
    every_variant,
    images,
    make_input,
    make_layer,
    mlp,
    normal,
    small_network,
)

# Layers


def test_a_refused_rule_leaves_the_layer_as_it_was():
    layer = FeedbackLinear(5, 4, rule="usf_sn", norm="spectral")
    for rule, settings in (
        ("bp", {"norm": "spectral"}),
        ("fa", {}),
        ("fa_toeplitz", {"feedback_scale": 0}),
    ):
        with pytest.raises(AuditError):
            layer.set_rule(rule, **settings)
        assert (layer.rule.name, layer.options) == ("usf_sn", {"norm": "spectral"})


def test_a_rule_that_is_refused_for_its_geometry_leaves_the_layer_as_it_was():
    layer = FeedbackConv2d(3, 4, 3, rule="usf_init", feedback_scale=0.5)
    initial, feedback = layer.initial_feedback, layer.feedback()
    with pytest.raises(AuditError, match="give input_size"):
        layer.set_rule("fa_random", feedback_scale=2)
    assert (layer.rule.name, layer.feedback_scale, layer.input_size) == ("usf_init", 0.5, None)
    assert layer.options == {"magnitude": "absolute"}
    assert layer.initial_feedback is initial
    assert torch.equal(layer.feedback(), feedback)


@every_variant
@both_layers
@pytest.mark.parametrize("scale", [0, -1, 0.0, math.nan, math.inf])
def test_a_scale_that_is_no_scale_is_refused(variant, kind, scale):
    with pytest.raises(AuditError, match=r"feedback_scale of .* it must be finite and > 0"):
        make_layer(kind, variant, feedback_scale=scale)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 2)])
def test_weights_that_are_all_alike_set_no_scale(sizes):
    layer = nn.Linear(*sizes)
    nn.init.zeros_(layer.weight)
    with pytest.raises(AuditError, match=r"weights of head are all alike.*give feedback_scale"):
        FeedbackLinear.from_layer(layer, "head", "fa_toeplitz")
    assert FeedbackLinear.from_layer(layer, "head", "usf_sn").feedback_scale is None
    scaled = FeedbackLinear.from_layer(layer, "head", "fa_toeplitz", feedback_scale=0.1)
    assert (scaled.initial_feedback != 0).all()


def test_dense_feedback_needs_to_know_the_size_of_its_input():
    with pytest.raises(AuditError, match=r"Conv2d\(3, 4\).*give input_size"):
        FeedbackConv2d(3, 4, 3, rule="fa_random")


@pytest.mark.parametrize(
    "padding",
    [
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": "same", "kernel_size": 2},
        {"padding": "same", "padding_mode": "circular"},
    ],
    ids=str,
)
def test_dense_feedback_takes_even_zero_padding_only(padding):
    settings = {"kernel_size": 3} | padding
    with pytest.raises(AuditError, match="zero padding, the same on both sides"):
        FeedbackConv2d(3, 4, **settings, rule="fa_random", input_size=(6, 6))


def test_dense_feedback_refuses_inputs_of_another_size_unless_nothing_is_sent():
    layer = FeedbackConv2d(3, 4, 3, rule="fa_random", input_size=(6, 6))
    other = normal(0, 1, 3, 6, 7).float()
    with pytest.raises(AuditError, match=r"size \(6, 6\), but got \(6, 7\)"):
        layer(other.requires_grad_())
    with torch.no_grad():
        assert layer(other).shape == (1, 4, 4, 5)


def test_sent_errors_are_measured_for_even_zero_padding_only():
    layer = FeedbackConv2d(3, 4, 3, padding=1, padding_mode="reflect", rule="bp")
    error = normal(0, 1, 4, 6, 6).float()
    with pytest.raises(AuditError, match=r"pads by .* in mode 'reflect'"):
        layer.send(error, layer.feedback(), torch.Size((1, 3, 6, 6)))


# Backward passes that cannot be right


@every_variant
@both_layers
def test_an_overwritten_input_is_refused_at_backward(variant, kind):
    layer = make_layer(kind, variant)
    x = make_input(kind) * 1
    y = layer(x)
    x.relu_()
    with pytest.raises(AuditError, match=f"{re.escape(layer.name)}.*changed in place"):
        y.sum().backward()


def test_a_weight_overwritten_before_its_error_is_sent_is_refused():
    layer = FeedbackLinear(20, 16, rule="bp")
    y = layer(make_input("linear"))
    with torch.no_grad():
        layer.weight.add_(1)
    with pytest.raises(AuditError, match="changed in place"):
        y.sum().backward()


@both_layers
def test_a_second_backward_pass_meets_torchs_own_error(kind):
    y = make_layer(kind, VARIANTS[0])(make_input(kind)).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


@every_variant
@both_layers
def test_gradients_of_gradients_are_refused(variant, kind):
    x = make_input(kind)
    y = make_layer(kind, variant)(x)
    (gradient,) = torch.autograd.grad((y**2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


# convert


@pytest.mark.parametrize(
    ("network", "how_many"),
    [
        (nn.Linear(3, 3), 1),
        (nn.Sequential(nn.ReLU()), 0),
        (nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.BatchNorm1d(3)), 1),
        (nn.LSTM(3, 3), 0),
    ],
    ids=str,
)
def test_a_network_with_nothing_to_convert_is_refused(network, how_many):
    name = type(network).__name__
    with pytest.raises(AuditError, match=f"nothing to convert in {name}: .* {how_many} of these"):
        convert(network, "usf_sn")


def test_a_network_whose_layers_do_not_run_is_refused():
    network = Runs(
        lambda self, x: x @ self.a.weight @ self.b.weight, a=nn.Linear(3, 3), b=nn.Linear(3, 3)
    )
    with pytest.raises(AuditError, match=r"nothing to convert in Runs: .* 0 of these"):
        convert(network, "usf_sn", example_input=images(2, 3))


@pytest.mark.parametrize("example", [None, images(2, 3)], ids=["no example", "example"])
def test_a_second_conversion_is_refused_and_changes_nothing(example):
    network = mlp(3, 4, 4, 2)
    convert(network, "usf_sn")
    with pytest.raises(AuditError, match="besides 2 that take a rule already"):
        convert(network, "bp", example_input=example)
    assert {layer.rule.name for layer in feedback_layers(network).values()} == {"usf_sn"}


def test_layers_that_take_a_rule_already_are_kept_and_named():
    network = mlp(3, 4, 4, 2)
    network.fc2 = FeedbackLinear(4, 4, rule="bp")
    result = convert(network, "usf_sn")
    assert result.converted == ("fc3",)
    assert result.kept["fc2"] == "it takes rule 'bp' already"
    assert network.fc2.rule.name == "bp"


@pytest.mark.parametrize(
    ("rule", "settings", "message"),
    [
        ("qqqq", {}, "there is no rule 'qqqq'; the rules are: bp,"),
        ("feedback alignment", {}, "(did you mean 'fa_toeplitz'?)"),
        ("bp", {"norm": "spectral"}, "rule 'bp' has no option 'norm'; it has: none"),
        ("usf_sn", {"norm": "nuclear"}, "'nuclear'; choose one of: frobenius, spectral"),
        ("fa_toeplitz", {"feedback_scale": 0}, "feedback_scale of conv2 is 0; it must be"),
        ("usf_init", {"feedback_scale": -0.1}, "feedback_scale of conv2 is -0.1; it must be"),
        ("fa_toeplitz", {"feedback_scale": math.nan}, "feedback_scale of conv2 is nan"),
        ("fa_random", {}, "'fa_random' has a dense feedback matrix at conv2"),
        ("frsf", {}, "(did you mean 'usf_init'?)"),
        ("brsf", {"feedback_scale": 0}, "feedback_scale of conv2 is 0; it must be"),
        ("dfa", {}, "the network must be seen running; give example_input"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence_and_change_nothing(rule, settings, message):
    network = small_network()
    before = dict(network.named_modules())
    with pytest.raises(AuditError, match=re.escape(message)):
        convert(network, rule, **settings)
    assert dict(network.named_modules()) == before


def test_dense_feedback_refuses_another_input_size_than_the_examples():
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 3))
    convert(network, "fa_random", example_input=images(1, 2, 8, 8))
    network(images(5, 2, 8, 8))
    with pytest.raises(AuditError, match=r"^1 has dense feedback for inputs of size \(6, 6\)"):
        network(images(1, 2, 8, 9))


def test_dense_feedback_refuses_a_layer_that_runs_at_two_sizes():
    network = Runs(
        lambda self, x: self.conv(self.conv(self.stem(x))),
        stem=nn.Conv2d(3, 3, 3),
        conv=nn.Conv2d(3, 3, 3),
    )
    before = network.conv
    with pytest.raises(AuditError, match="has dense feedback for inputs of size"):
        convert(network, "fa_random", example_input=images(1, 3, 9, 9))
    assert network.conv is before


def overwrites_what_a_layer_saved(self: Runs, x: Tensor) -> Tensor:
    h = torch.sigmoid(self.a(x)) * 1
    y = self.b(h)
    h.add_(1)
    return y


@every_rule
def test_an_overwritten_input_is_refused_at_conversion_and_the_network_left_as_it_was(rule):
    network = Runs(overwrites_what_a_layer_saved, a=nn.Linear(3, 4), b=nn.Linear(4, 4))
    before = dict(network.named_modules())
    network.a.weight.grad = gradient = torch.ones(4, 3)
    with pytest.raises(AuditError, match="input or the weight of b was changed in place"):
        convert(network, rule, example_input=images(2, 3))
    assert dict(network.named_modules()) == before
    assert network.a.weight.grad is gradient
    assert torch.equal(gradient, torch.ones(4, 3))


@pytest.mark.parametrize("rule", [name for name, row in RULES.items() if not row.direct])
def test_an_overwritten_input_is_refused_at_backward_where_no_example_told(rule):
    network = Runs(overwrites_what_a_layer_saved, a=nn.Linear(3, 4), b=nn.Linear(4, 4))
    convert(network, rule)
    with pytest.raises(AuditError, match="input or the weight of b was changed in place"):
        network(images(2, 3)).sum().backward()


def test_a_network_that_fails_for_its_own_reasons_is_left_as_it_was():
    def run(self: Runs, x: Tensor) -> Tensor:
        if isinstance(self.b, FeedbackLinear):
            raise ZeroDivisionError
        return self.b(self.a(x))

    network = Runs(run, a=nn.Linear(3, 4), b=nn.Linear(4, 4))
    with pytest.raises(ZeroDivisionError):
        convert(network, "usf_sn", example_input=images(2, 3))
    assert type(network.b) is nn.Linear
