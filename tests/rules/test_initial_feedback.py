"""B0: where it comes from, what it depends on, where it travels."""

import copy
import io
import math

import pytest
import torch
from torch import Tensor, nn

from fa_audit.rules import (
    RULES,
    FeedbackLinear,
    convert,
    feedback_layers,
)
from fa_audit.streams import stream
from rules.variants import (
    VARIANTS,
    assert_same,
    backward,
    both_layers,
    converted_network,
    every_variant,
    make_input,
    make_layer,
    mlp,
    normal,
    small_batch,
    small_network,
)

STORING = [v for v in VARIANTS if v.rule.stores_feedback]
every_storing_variant = pytest.mark.parametrize("variant", STORING, ids=str)


# Drawn by a layer


@every_storing_variant
@both_layers
def test_same_seed_same_feedback_other_seed_other_feedback(variant, kind):
    first, same, other = (
        make_layer(kind, variant, generator=torch.Generator().manual_seed(seed), feedback_scale=0.3)
        for seed in (5, 5, 6)
    )
    assert torch.equal(first.initial_feedback, same.initial_feedback)
    assert not torch.equal(first.weight, same.weight)
    assert not torch.isclose(first.initial_feedback, other.initial_feedback).all()


@every_storing_variant
@both_layers
def test_without_a_generator_feedback_follows_the_global_seed(variant, kind):
    torch.manual_seed(3)
    first = make_layer(kind, variant).initial_feedback
    torch.manual_seed(3)
    assert torch.equal(make_layer(kind, variant).initial_feedback, first)
    assert not torch.equal(make_layer(kind, variant).initial_feedback, first)


@every_storing_variant
@pytest.mark.parametrize("scale", [0.01, 3.0])
def test_feedback_is_normal_with_the_scale_given(variant, scale):
    layer = FeedbackLinear(
        500, 400, **variant.settings, feedback_scale=scale, generator=stream(0, "feedback")
    )
    B0, n = layer.initial_feedback.double(), 500 * 400
    assert B0.mean().item() == pytest.approx(0, abs=4 * scale / math.sqrt(n))
    assert B0.std().item() == pytest.approx(scale, rel=4 / math.sqrt(2 * n))
    assert (B0.abs() < scale).double().mean().item() == pytest.approx(0.6827, abs=0.005)
    assert layer.feedback_scale == scale


@every_storing_variant
@both_layers
def test_by_default_feedback_is_scaled_like_the_weights(variant, kind):
    torch.manual_seed(0)
    layer = make_layer(kind, variant, generator=torch.Generator().manual_seed(5))
    unit = make_layer(kind, variant, generator=torch.Generator().manual_seed(5), feedback_scale=1)
    sigma = layer.weight.std(correction=0).item()
    assert layer.feedback_scale == pytest.approx(sigma, rel=1e-6)
    assert_same(layer.initial_feedback, unit.initial_feedback * sigma, 1e-6)


@every_storing_variant
def test_feedback_does_not_depend_on_device_or_type(variant):
    def draw(**settings) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        layer = FeedbackLinear(
            20, 16, **variant.settings, feedback_scale=1, generator=generator, **settings
        )
        return layer.initial_feedback

    B0 = draw()
    assert torch.equal(draw(device=torch.device("cpu")), B0)
    assert draw(device="meta").device.type == "meta"
    assert torch.equal(draw(dtype=torch.float64), B0.double())
    assert torch.equal(draw(dtype=torch.bfloat16), B0.bfloat16())
    try:
        torch.set_default_dtype(torch.float64)
        assert torch.equal(draw(), B0.double())
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.cuda
@every_variant
@both_layers
def test_on_a_cuda_device_feedback_and_gradients_are_those_of_the_cpu(variant, kind):
    on_cpu, on_cuda = (
        make_layer(
            kind,
            variant,
            dtype=torch.float64,
            device=device,
            feedback_scale=1,
            generator=torch.Generator().manual_seed(5),
        )
        for device in ("cpu", "cuda")
    )
    if variant.rule.stores_feedback:
        assert torch.equal(on_cuda.initial_feedback.cpu(), on_cpu.initial_feedback)
    on_cuda.load_state_dict(on_cpu.state_dict())
    x, error = make_input(kind, torch.float64), None
    gradients = []
    for layer in (on_cpu, on_cuda):
        leaf = x.detach().to(layer.weight.device).requires_grad_()
        y = layer(leaf)
        error = normal(2, *y.shape).to(y.device)
        y.backward(error)
        gradients.append((leaf.grad.cpu(), layer.weight.grad.cpu(), layer.bias.grad.cpu()))
    for ours, theirs in zip(*gradients, strict=True):
        assert_same(ours, theirs, 1e-12)


def test_of_two_rules_with_one_seed_equal_shapes_get_equal_feedback():
    drawn = [
        make_layer("linear", variant, feedback_scale=1, generator=torch.Generator().manual_seed(5))
        for variant in STORING
    ]
    assert len(drawn) >= 3
    for layer in drawn:
        assert torch.equal(layer.initial_feedback, drawn[0].initial_feedback)


@every_variant
def test_state_dict_holds_the_weights_and_stored_feedback_only(variant):
    keys = set(converted_network(variant).state_dict()) - set(small_network().state_dict())
    layers = ("conv2", "fc1", "fc2") if variant.rule.stores_feedback else ()
    assert keys == {f"{name}.initial_feedback" for name in layers}


# Drawn by convert


def feedback(network: nn.Module, rule: str, **settings) -> dict[str, Tensor]:
    convert(network, rule, **settings)
    return {name: layer.initial_feedback for name, layer in feedback_layers(network).items()}


def test_feedback_is_drawn_from_the_stream_of_the_layers_name():
    drawn = feedback(mlp(3, 4, 5, 2), "fa_toeplitz", seed=7, feedback_scale=0.5)
    assert list(drawn) == ["fc2", "fc3"]
    for name, B0 in drawn.items():
        expected = 0.5 * torch.randn(B0.shape, generator=stream(7, "feedback", name))
        assert torch.equal(B0, expected)


def test_same_seed_same_network_of_feedback_other_seed_other():
    first, same, other = (
        feedback(mlp(3, 4, 5, 2), "fa_toeplitz", seed=seed, feedback_scale=1) for seed in (0, 0, 1)
    )
    for name in first:
        assert torch.equal(first[name], same[name])
        assert not torch.isclose(first[name], other[name]).any()


def test_feedback_of_a_layer_does_not_depend_on_the_others_or_on_the_random_state():
    torch.manual_seed(1)
    drawn = feedback(mlp(3, 4, 5, 2), "fa_toeplitz", feedback_scale=1)
    torch.manual_seed(2)
    longer = mlp(7, 9, 5, 2, 8, 8)
    longer.fc2 = nn.Linear(4, 5)
    in_longer = feedback(longer, "fa_toeplitz", feedback_scale=1)
    assert torch.equal(drawn["fc2"], in_longer["fc2"])
    assert torch.equal(drawn["fc3"], in_longer["fc3"])


def test_feedback_of_equal_shapes_does_not_depend_on_the_rule():
    drawn = {
        rule: feedback(mlp(3, 4, 5, 2), rule, feedback_scale=1)
        for rule, row in RULES.items()
        if row.stores_feedback
    }
    assert len(drawn) >= 3
    for networks in drawn.values():
        assert all(torch.equal(networks[name], drawn["fa_random"][name]) for name in networks)


def test_feedback_is_drawn_on_the_cpu_whatever_the_default_device():
    drawn = feedback(mlp(3, 4, 2), "fa_toeplitz", feedback_scale=1)
    network = mlp(3, 4, 2)
    with torch.device("meta"):
        elsewhere = feedback(network, "fa_toeplitz", feedback_scale=1)
    assert torch.equal(elsewhere["fc2"], drawn["fc2"])


def test_by_default_each_layer_has_feedback_as_large_as_its_weights():
    network = mlp(3, 100, 100, 100)
    with torch.no_grad():
        network.fc3.weight.mul_(50)
    for name, B0 in feedback(network, "fa_toeplitz").items():
        sigma = network.get_submodule(name).weight.std(correction=0).item()
        assert network.get_submodule(name).feedback_scale == pytest.approx(sigma, rel=1e-6)
        assert B0.std().item() == pytest.approx(sigma, rel=4 / math.sqrt(2 * 10_000))


# Copies and files


@every_variant
def test_a_state_dict_carries_the_feedback_to_a_network_converted_with_another_seed(variant):
    network, fresh = converted_network(variant), small_network()
    convert(fresh, variant.rule, seed=1, example_input=small_batch()[0], **variant.options)
    expected = backward(network, *small_batch())
    assert not torch.equal(backward(fresh, *small_batch())["fc2.weight"], expected["fc2.weight"])
    fresh.load_state_dict(network.state_dict())
    gradients = backward(fresh, *small_batch())
    assert all(torch.equal(gradients[name], expected[name]) for name in expected)


@every_variant
def test_copies_and_pickles_send_the_same_error_and_are_independent(variant):
    network = converted_network(variant)
    expected = backward(network, *small_batch())
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    for twin in (copy.deepcopy(network), torch.load(file, weights_only=False)):
        gradients = backward(twin, *small_batch())
        assert all(torch.equal(gradients[name], expected[name]) for name in expected)
        with torch.no_grad():
            for tensor in (*twin.parameters(), *twin.buffers()):
                tensor.zero_()
        again = backward(network, *small_batch())
        assert all(torch.equal(again[name], expected[name]) for name in expected)
