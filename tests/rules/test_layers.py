"""FeedbackLinear and FeedbackConv2d as layers of torch.nn."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from fa_audit.rules import (
    RULES,
    FeedbackConv2d,
    FeedbackLayer,
    FeedbackLinear,
    as_backpropagation,
    feedback_layers,
)
from rules.variants import (
    VARIANTS,
    assert_same,
    backward,
    both_layers,
    converted_network,
    every_variant,
    feedback_twin,
    make_input,
    make_layer,
    normal,
    small_batch,
    small_network,
)

# Construction


@every_variant
def test_layers_say_which_rule_they_take(variant):
    for kind in ("linear", "conv"):
        text = repr(make_layer(kind, variant))
        assert f"rule={variant.rule.name}" in text
        for option, value in variant.options.items():
            assert f"{option}={value}" in text


def test_a_convolution_takes_its_geometry_by_position_as_torch_nn_does():
    ours = FeedbackConv2d(4, 8, 3, 2, 1, 1, 2, False, "circular", rule="bp")
    theirs = nn.Conv2d(4, 8, 3, 2, 1, 1, 2, False, "circular")
    for name in ("stride", "padding", "dilation", "groups", "bias", "padding_mode"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize("plain", [nn.Linear(5, 4), nn.Conv2d(3, 4, 3)], ids=["linear", "conv"])
def test_a_layer_made_from_another_shares_its_parameters_and_leaves_it_as_it_was(plain):
    before = set(plain.state_dict())
    kind = FeedbackLinear if isinstance(plain, nn.Linear) else FeedbackConv2d
    layer = kind.from_layer(plain, "fc2", "fa_toeplitz")
    assert layer.weight is plain.weight
    assert layer.bias is plain.bias
    assert layer.name == "fc2"
    layer.weight = nn.Parameter(torch.zeros_like(plain.weight))
    assert (plain.weight != 0).all()
    assert set(plain.state_dict()) == before
    assert set(layer.state_dict()) == before | {"initial_feedback"}


def test_set_rule_puts_another_rule_in_force():
    layer = FeedbackLinear(5, 4, rule="usf_sn", norm="spectral")
    layer.set_rule("fa_toeplitz", feedback_scale=2)
    assert (layer.rule, layer.options) == (RULES["fa_toeplitz"], {})
    assert torch.equal(layer.feedback(), layer.initial_feedback)
    layer.set_rule("bp")
    assert layer.initial_feedback is None
    assert layer.feedback_scale is None
    assert torch.equal(layer.feedback(), layer.weight)


# What a layer sends


def sent_and_learned(layer: FeedbackLayer, x: Tensor) -> tuple[Tensor, Tensor]:
    """The error sent down and the weight's gradient for one delivered error."""
    layer.zero_grad(set_to_none=True)
    leaf = x.detach().requires_grad_()
    y = layer(leaf)
    y.backward(normal(2, *y.shape).to(y.dtype))
    return leaf.grad, layer.weight.grad


@every_variant
def test_feedback_is_the_matrix_that_the_backward_pass_uses(variant):
    """Unit errors, one per output, return the rows of B, after the weights have moved too."""
    layer = make_layer("linear", variant)
    for _ in range(2):
        x = normal(1, 16, 20).float().requires_grad_()
        layer(x).backward(torch.eye(16))
        assert_same(x.grad, layer.feedback(), 1e-6)
        assert_same(layer.feedback(), feedback_twin(variant, layer), 1e-6)
        assert not layer.feedback().requires_grad
        with torch.no_grad():
            layer.weight.copy_(normal(9, 16, 20))


@every_variant
@both_layers
def test_zero_weights_give_zero_feedback_or_fixed_feedback_but_never_nan(variant, kind):
    layer = make_layer(kind, variant)
    with torch.no_grad():
        layer.weight.zero_()
    sent, learned = sent_and_learned(layer, make_input(kind))
    assert (sent == 0).all() == (variant.rule.weight_transport != "none")
    assert sent.isfinite().all()
    assert (learned != 0).any()


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.rule.name == "usf_sn"], ids=str)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_feedback_of_diverged_weights_is_not_finite(variant, value):
    """It neither hides the divergence nor ends the run."""
    layer = make_layer("linear", variant)
    with torch.no_grad():
        layer.weight[0, 0] = value
    assert not layer.feedback().isfinite().all()


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.rule.name == "usf_sn"], ids=str)
def test_norms_of_low_precision_weights_do_not_overflow(variant):
    layer = make_layer("linear", variant, dtype=torch.float16)
    with torch.no_grad():
        layer.weight.fill_(300)  # 300² is more than float16 holds
    assert layer.feedback().dtype == torch.float16
    assert_same(layer.feedback(), layer.weight, 1e-3)


@every_variant
@both_layers
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_lower_precision_is_close_to_float64(variant, kind, dtype, tolerance):
    layer = make_layer(kind, variant, dtype=dtype)
    exact = copy.deepcopy(layer).double()
    x = make_input(kind, dtype)
    for low, high in zip(
        sent_and_learned(layer, x), sent_and_learned(exact, x.double()), strict=True
    ):
        assert low.dtype == dtype
        assert_same(low, high, tolerance)


@every_variant
@both_layers
def test_autocast_computes_in_low_precision_and_learns_in_full(variant, kind):
    layer, x = make_layer(kind, variant), make_input(kind)
    full = sent_and_learned(copy.deepcopy(layer), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.backward(normal(2, *y.shape).to(y.dtype))
    for low, high in zip((x.grad, layer.weight.grad), full, strict=True):
        assert low.dtype == torch.float32
        assert_same(low, high, 0.02)


@both_layers
def test_backpropagation_under_autocast_is_that_of_torch_nn(kind):
    bp = next(v for v in VARIANTS if v.rule.name == "bp")
    layer = make_layer(kind, bp)
    plain = nn.Linear(20, 16) if kind == "linear" else nn.Conv2d(4, 8, 3)
    plain.load_state_dict(layer.state_dict())
    gradients = []
    for module in (layer, plain):
        x = make_input(kind)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = module(x)
        y.backward(normal(2, *y.shape).to(y.dtype))
        gradients.append((x.grad, module.weight.grad, module.bias.grad))
    for ours, theirs in zip(*gradients, strict=True):
        assert_same(ours, theirs, 1e-2)  # one rounding of bfloat16 in another place


@every_variant
def test_channels_last_maps_send_and_learn_the_same(variant):
    layer = make_layer("conv", variant, dtype=torch.float64)
    x = make_input("conv", torch.float64)
    error = normal(2, 5, 8, 4, 4)
    results = []
    for memory in (torch.contiguous_format, torch.channels_last):
        copied = copy.deepcopy(layer).to(memory_format=memory)
        leaf = x.detach().contiguous(memory_format=memory).requires_grad_()
        copied(leaf).backward(error.contiguous(memory_format=memory))
        results.append((leaf.grad, *(p.grad for p in copied.parameters())))
    for ours, theirs in zip(*results, strict=True):
        assert_same(ours, theirs, 1e-12)


@every_variant
@both_layers
def test_relu_may_overwrite_the_layers_output(variant, kind):
    layer, x = make_layer(kind, variant), make_input(kind)
    for shape in (x.shape, x.shape[1:], (2, *x.shape) if kind == "linear" else x.shape):
        gradients = []
        for inplace in (False, True):
            leaf = normal(4, *shape).float().requires_grad_()
            nn.ReLU(inplace)(copy.deepcopy(layer)(leaf)).sum().backward()
            gradients.append(leaf.grad)
        assert torch.equal(*gradients)


# as_backpropagation


@every_variant
def test_as_backpropagation_gives_autograds_gradients_and_puts_the_rule_back(variant):
    network = converted_network(variant).eval()  # where nothing is drawn anew
    plain = small_network()
    plain.load_state_dict(network.state_dict(), strict=False)
    images, labels = small_batch()
    before = backward(network, images, labels)
    with as_backpropagation(network):
        inside = backward(network, images, labels)
    after = backward(network, images, labels)
    exact = backward(plain, images, labels)
    for name in exact:
        assert_same(inside[name], exact[name], 1e-12, name)
        assert torch.equal(before[name], after[name])


@every_variant
def test_as_backpropagation_puts_the_rule_back_after_an_error(variant):
    network = converted_network(variant)
    with pytest.raises(KeyError), as_backpropagation(network):
        raise KeyError
    for layer in feedback_layers(network).values():
        assert (layer.rule, layer.options) == (variant.rule, variant.options)
