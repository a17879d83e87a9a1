"""Gradients of every rule against NumPy twins that were written from the equations."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fa_audit.rules import (
    FeedbackConv2d,
    FeedbackLayer,
    FeedbackLinear,
    convert,
    feedback_layers,
)
from oracles import rule_twins as twins
from rules.variants import (
    GEOMETRIES,
    SENDERS,
    VARIANTS,
    Variant,
    array,
    assert_same,
    backward,
    conv,
    converted_network,
    every_rule,
    every_variant,
    feedback_twin,
    linear,
    normal,
    slide_twin,
    small_batch,
    small_network,
    variant_of,
)

SLIDES: list[dict[str, Any]] = [
    {"kernel_size": 3},
    {"kernel_size": (1, 1)},
    {"kernel_size": (2, 3)},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 2, "stride": 3},  # pixels that no window sees
    {"kernel_size": 3, "stride": (1, 2)},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (3, 2), "padding": (2, 1)},
    {"kernel_size": 3, "dilation": 2},
    {"kernel_size": (2, 3), "dilation": (3, 1)},
    {"kernel_size": 3, "groups": 2},
    {"kernel_size": 3, "groups": 4},
    {"kernel_size": 3, "bias": False},
    {"kernel_size": 3, "padding": "valid", "stride": 2},
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": (3, 5), "padding": "same", "dilation": (1, 1)},
    {"kernel_size": 3, "stride": 2, "padding": (2, 1), "dilation": (1, 2), "groups": 2},
]
UNEVEN_OR_NOT_ZERO: list[dict[str, Any]] = [
    {"kernel_size": (2, 3), "padding": "same"},
    {"kernel_size": (4, 2), "padding": "same", "dilation": (1, 3), "groups": 2},
    {"kernel_size": 3, "padding": (2, 1), "padding_mode": "reflect"},
    {"kernel_size": 3, "padding": 2, "padding_mode": "replicate", "stride": 2},
    {"kernel_size": 3, "padding": (1, 2), "padding_mode": "circular", "bias": False},
    {"kernel_size": 2, "padding": "same", "padding_mode": "reflect"},
]
INPUT_SIZE = (8, 7)


def spelled(slide: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in slide.items())


def linear_layer(variant: Variant, **settings: Any) -> FeedbackLinear:
    return linear(variant, 5, 4, dtype=torch.float64, **settings)


def conv_layer(variant: Variant, slide: dict[str, Any]) -> FeedbackConv2d:
    return conv(variant, 4, 8, INPUT_SIZE, slide, dtype=torch.float64)


def assert_layer_is_its_twin(
    layer: FeedbackLayer, variant: Variant, x: Tensor, slide: dict[str, Any] | None = None
) -> None:
    """Output and gradients of a layer for a random delivered error."""
    x.requires_grad_()
    y = layer(x)
    error = normal(7, *y.shape)
    y.backward(error)
    W, B, b = array(layer.weight), feedback_twin(variant, layer), layer.bias
    bias = None if b is None else array(b)
    if slide is None:
        expected = twins.linear(array(x), W, bias)
        weight_gradient, bias_gradient = twins.linear_gradients(array(x), array(error))
        sent = twins.linear_send(array(error), B)
    else:
        g = slide_twin(slide)
        expected = twins.conv2d(array(x), W, bias, g)
        weight_gradient, bias_gradient = twins.conv2d_gradients(array(x), array(error), W, g)
        sent = twins.conv_send(array(error), B, tuple(x.shape), g)
    assert_same(layer.feedback(), B, what="B")
    assert_same(y, expected, what="y")
    assert_same(layer.weight.grad, weight_gradient, what="∂W")
    assert_same(x.grad, sent, what="Bᵀδ")
    if b is not None:
        assert_same(b.grad, bias_gradient, what="∂b")
    if variant.rule.trains_feedback:
        assert_same(layer.trained_feedback.grad, weight_gradient, what="∂B")


def twin_step(
    variant: Variant,
    parameters: dict[str, twins.Array],
    feedback: dict[str, twins.Array],
    images: Tensor,
    labels: Tensor,
) -> twins.Trace:
    """The twin's forward and backward pass of the small network."""
    return twins.train_step(
        parameters,
        feedback,
        GEOMETRIES,
        array(images),
        labels.numpy(),
        direct=variant.rule.direct,
        trained=variant.rule.trains_feedback,
    )


@every_variant
def test_whole_network_is_its_twin(variant):
    network = converted_network(variant)
    images, labels = small_batch()
    gradients = backward(network, images, labels)
    parameters = {name: array(value) for name, value in network.named_parameters()}
    layers = dict(network.named_children())
    feedback = {name: feedback_twin(variant, layers[name]) for name in SENDERS}
    trace = twin_step(variant, parameters, feedback, images, labels)
    loss = F.cross_entropy(network(images), labels).item()
    assert loss == pytest.approx(trace.loss, rel=1e-12)
    assert set(gradients) == set(trace.gradients)
    for name, gradient in gradients.items():
        assert_same(gradient, trace.gradients[name], what=name)
    assert all(np.linalg.norm(gradient) > 0 for gradient in trace.gradients.values())


@every_variant
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (2, 1, 3, 2)], ids=str)
def test_linear_is_its_twin(variant, leading, bias):
    assert_layer_is_its_twin(linear_layer(variant, bias=bias), variant, normal(1, *leading, 5))


@every_variant
@pytest.mark.parametrize("slide", SLIDES, ids=spelled)
def test_convolution_is_its_twin(variant, slide):
    x = normal(1, 2, 4, *INPUT_SIZE)
    assert_layer_is_its_twin(conv_layer(variant, slide), variant, x, slide)


@pytest.mark.parametrize(
    "variant", [v for v in VARIANTS if not v.rule.dense or v.rule.direct], ids=str
)
@pytest.mark.parametrize("slide", UNEVEN_OR_NOT_ZERO, ids=spelled)
def test_convolution_with_uneven_or_other_padding_is_its_twin(variant, slide):
    x = normal(1, 2, 4, *INPUT_SIZE)
    assert_layer_is_its_twin(conv_layer(variant, slide), variant, x, slide)


@given(data=st.data())
@settings(deadline=None, derandomize=True, max_examples=25)
def test_convolution_is_its_twin_at_any_geometry(data):
    groups = data.draw(st.sampled_from([1, 2, 4]))
    pairs = {
        "kernel_size": st.integers(1, 3),
        "stride": st.integers(1, 3),
        "padding": st.integers(0, 3),
        "dilation": st.integers(1, 2),
    }
    slide: dict[str, Any] = {key: (data.draw(s), data.draw(s)) for key, s in pairs.items()}
    slide |= {"groups": groups, "bias": data.draw(st.booleans())}
    variant = data.draw(st.sampled_from(VARIANTS))
    x = normal(data.draw(st.integers(0, 99)), data.draw(st.integers(1, 2)), 4, *INPUT_SIZE)
    assert_layer_is_its_twin(conv_layer(variant, slide), variant, x, slide)


@every_variant
def test_unbatched_maps_are_a_batch_of_one(variant):
    slide = {"kernel_size": 3, "stride": 2, "padding": 1}
    layer = conv_layer(variant, slide)
    x = normal(1, 4, *INPUT_SIZE).requires_grad_()
    y = layer(x)
    error = normal(7, *y.shape)
    y.backward(error)
    g = slide_twin(slide)
    B, batch = feedback_twin(variant, layer), (1, *x.shape)
    expected = twins.conv2d(array(x)[None], array(layer.weight), array(layer.bias), g)[0]
    assert_same(y, expected)
    assert_same(x.grad, twins.conv_send(array(error)[None], B, batch, g)[0])
    weight, bias = twins.conv2d_gradients(
        array(x)[None], array(error)[None], array(layer.weight), g
    )
    assert_same(layer.weight.grad, weight)
    assert_same(layer.bias.grad, bias)


@every_variant
def test_send_is_what_the_backward_pass_sends(variant):
    slide = {"kernel_size": 3, "stride": 2, "padding": 1, "groups": 2}
    for layer, x in (
        (linear_layer(variant), normal(1, 3, 5)),
        (conv_layer(variant, slide), normal(1, 2, 4, *INPUT_SIZE)),
    ):
        y = layer(x.requires_grad_())
        error = normal(7, *y.shape)
        y.backward(error)
        assert_same(layer.send(error, layer.feedback(), x.shape), x.grad, 1e-14)


@every_variant
def test_first_layer_learns_though_it_sends_nothing(variant):
    slide = {"kernel_size": 3}
    for layer, x, twin in (
        (linear_layer(variant), normal(1, 3, 5), twins.linear_gradients),
        (
            conv_layer(variant, slide),
            normal(1, 2, 4, *INPUT_SIZE),
            lambda x, e: twins.conv2d_gradients(x, e, np.zeros((8, 4, 3, 3)), slide_twin(slide)),
        ),
    ):
        y = layer(x)
        error = normal(7, *y.shape)
        y.backward(error)
        weight, bias = twin(array(x), array(error))
        assert_same(layer.weight.grad, weight)
        assert_same(layer.bias.grad, bias)


@every_variant
def test_frozen_parameters_still_send_the_error(variant):
    for layer, x in (
        (linear_layer(variant), normal(1, 3, 5)),
        (conv_layer(variant, {"kernel_size": 3}), normal(1, 2, 4, *INPUT_SIZE)),
    ):
        error = normal(7, *layer(x).shape)
        sent = []
        for trainable in (True, False):
            copied = copy.deepcopy(layer).requires_grad_(trainable)
            leaf = x.clone().requires_grad_()
            copied(leaf).backward(error)
            sent.append(leaf.grad)
            assert all((p.grad is not None) == trainable for p in copied.parameters())
        assert torch.equal(sent[0], sent[1])


def test_backpropagation_passes_gradcheck():
    bp = variant_of("bp")
    cases = [(linear_layer(bp), normal(1, 2, 3, 5))]
    cases += [
        (conv_layer(bp, slide), normal(1, 1, 4, *INPUT_SIZE))
        for slide in (SLIDES[-1], SLIDES[12], *UNEVEN_OR_NOT_ZERO[:3])
    ]
    for layer, x in cases:
        parameters = dict(layer.named_parameters())

        def forward(x, *values, layer=layer, names=tuple(parameters)):
            return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

        assert torch.autograd.gradcheck(
            forward, (x.requires_grad_(), *parameters.values()), raise_exception=True
        )


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.rule.name != "bp"], ids=str)
def test_no_other_rule_passes_gradcheck(variant):
    for layer, x in (
        (linear_layer(variant), normal(1, 2, 5)),
        (conv_layer(variant, {"kernel_size": 3}), normal(1, 1, 4, *INPUT_SIZE)),
    ):
        leaf = x.requires_grad_()
        assert not torch.autograd.gradcheck(layer, (leaf,), raise_exception=False)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_training_with_backpropagation_layers_is_training_with_torch_nn(optimizer):
    plain = small_network()
    rule = copy.deepcopy(plain)
    convert(rule, "bp")
    batches = [small_batch(seed) for seed in range(10)]
    for network in (plain, rule):
        step = optimizer(network.parameters(), lr=0.05, weight_decay=1e-2)
        for images, labels in batches:
            step.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            step.step()
    start = small_network()
    assert not any(map(torch.equal, plain.parameters(), start.parameters()))
    for (name, ours), theirs in zip(rule.named_parameters(), plain.parameters(), strict=True):
        assert_same(ours, theirs, 1e-12, name)


@every_rule
def test_training_follows_the_twin_step_by_step(rule):
    """Feedback that goes stale, or is drawn anew, shows only after the weights have moved."""
    variant = variant_of(rule)
    network = converted_network(variant)
    layers = feedback_layers(network)
    parameters = {name: array(value) for name, value in network.named_parameters()}
    buffers = {name: array(value) for name, value in network.named_buffers()}

    def random_part(name: str) -> twins.Array | None:
        if variant.rule.redraws_feedback:
            return array(layers[name].random_part())
        initial = buffers.get(f"{name}.initial_feedback")
        return parameters.get(f"{name}.trained_feedback", initial)

    optimizer = torch.optim.SGD(network.parameters(), lr=0.3)
    for seed in range(4):
        images, labels = small_batch(seed)
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        feedback = {
            name: twins.FEEDBACK[rule](
                parameters[f"{name}.weight"], random_part(name), **variant.options
            )
            for name in SENDERS
        }
        trace = twin_step(variant, parameters, feedback, images, labels)
        for name, gradient in trace.gradients.items():
            parameters[name] = parameters[name] - 0.3 * gradient
    for name, value in network.named_parameters():
        assert_same(value, parameters[name], what=name)


def test_the_comparison_rejects_what_is_off_by_a_billionth():
    x = normal(0, 3, 4)
    assert_same(x, array(x))
    with pytest.raises(AssertionError, match="off by"):
        assert_same(x * (1 + 1e-9), x)
    with pytest.raises(AssertionError, match="shapes"):
        assert_same(x, x.mT)
    with pytest.raises(AssertionError, match="off by"):
        assert_same(x * float("nan"), x)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_the_twins_convolution_is_that_of_torch_nn():
    for slide in (*SLIDES, *UNEVEN_OR_NOT_ZERO):
        conv = nn.Conv2d(4, 8, **slide, dtype=torch.float64)
        x = normal(1, 2, 4, *INPUT_SIZE).requires_grad_()
        error = normal(7, *conv(x).shape)
        conv(x).backward(error)
        W, b = array(conv.weight), None if conv.bias is None else array(conv.bias)
        g = slide_twin(slide)
        assert_same(conv(x), twins.conv2d(array(x), W, b, g), what=spelled(slide))
        assert_same(x.grad, twins.conv_send(array(error), W, tuple(x.shape), g), 1e-10)
        weight, _ = twins.conv2d_gradients(array(x), array(error), W, g)
        assert_same(conv.weight.grad, weight)
