"""B0 and other random parts: where they come from, what they depend on, where they travel."""

import copy
import io
import math

import pytest
import torch
from torch import Tensor, nn

from fa_audit.rules import RULES, convert, feedback_layers
from fa_audit.streams import stream
from rules.variants import (
    SENDERS,
    VARIANTS,
    assert_same,
    backward,
    both_layers,
    converted_network,
    every_variant,
    feedback_names,
    images,
    linear,
    make_input,
    make_layer,
    mlp,
    normal,
    small_batch,
    small_network,
)

STORING = [v for v in VARIANTS if v.rule.stores_feedback]
every_drawing_variant = pytest.mark.parametrize(
    "variant", [v for v in VARIANTS if v.rule.draws_feedback], ids=str
)


# Drawn by a layer


@every_drawing_variant
@both_layers
def test_same_seed_same_feedback_other_seed_other_feedback(variant, kind):
    first, same, other = (
        make_layer(kind, variant, generator=torch.Generator().manual_seed(seed), feedback_scale=0.3)
        for seed in (5, 5, 6)
    )
    assert torch.equal(first.random_part(), same.random_part())
    assert not torch.equal(first.weight, same.weight)
    assert not torch.isclose(first.random_part(), other.random_part()).any()


@every_drawing_variant
@both_layers
def test_without_a_generator_feedback_follows_the_global_seed(variant, kind):
    torch.manual_seed(3)
    first = make_layer(kind, variant).random_part()
    torch.manual_seed(3)
    assert torch.equal(make_layer(kind, variant).random_part(), first)
    assert not torch.equal(make_layer(kind, variant).random_part(), first)


@every_drawing_variant
@pytest.mark.parametrize("scale", [0.01, 3.0])
def test_feedback_is_normal_with_the_scale_given(variant, scale):
    layer = linear(variant, 500, 400, feedback_scale=scale, generator=stream(0, "feedback"))
    R, n = layer.random_part().double(), 500 * 400
    assert R.mean().item() == pytest.approx(0, abs=4 * scale / math.sqrt(n))
    assert R.std().item() == pytest.approx(scale, rel=4 / math.sqrt(2 * n))
    assert (R.abs() < scale).double().mean().item() == pytest.approx(0.6827, abs=0.005)
    assert layer.feedback_scale == scale


@every_drawing_variant
@both_layers
def test_by_default_feedback_is_scaled_like_the_weights(variant, kind):
    torch.manual_seed(0)
    layer = make_layer(kind, variant, generator=torch.Generator().manual_seed(5))
    unit = make_layer(kind, variant, generator=torch.Generator().manual_seed(5), feedback_scale=1)
    sigma = layer.weight.std(correction=0).item()
    assert layer.feedback_scale == pytest.approx(sigma, rel=1e-6)
    assert_same(layer.random_part(), unit.random_part() * sigma, 1e-6)


@every_drawing_variant
def test_feedback_does_not_depend_on_device_or_type(variant):
    def draw(**settings) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        return linear(
            variant, 20, 16, feedback_scale=1, generator=generator, **settings
        ).random_part()

    R = draw()
    assert torch.equal(draw(device=torch.device("cpu")), R)
    if variant.rule.stores_feedback:
        assert draw(device="meta").device.type == "meta"
    assert torch.equal(draw(dtype=torch.float64), R.double())
    assert torch.equal(draw(dtype=torch.bfloat16), R.bfloat16())
    try:
        torch.set_default_dtype(torch.float64)
        assert torch.equal(draw(), R.double())
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
    if variant.rule.draws_feedback:
        assert torch.equal(on_cuda.random_part().cpu(), on_cpu.random_part())
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
        assert torch.equal(layer.random_part(), drawn[0].random_part())


@every_variant
def test_state_dict_holds_the_weights_and_stored_feedback_only(variant):
    keys = set(converted_network(variant).state_dict()) - set(small_network().state_dict())
    assert keys == feedback_names(variant.rule, SENDERS)


# Drawn by convert


def feedback(network: nn.Module, rule: str, **settings) -> dict[str, Tensor]:
    convert(network, rule, **settings)
    return {name: layer.random_part() for name, layer in feedback_layers(network).items()}


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
        rule: feedback(mlp(3, 4, 5, 2)[:-1], rule, feedback_scale=1, example_input=images(1, 3))
        for rule, row in RULES.items()
        if row.stores_feedback
    }
    assert len(drawn) >= 5
    for rule, network in drawn.items():
        for name, expected in drawn["fa_toeplitz"].items():
            # The network has 2 outputs: direct feedback has W's shape at the last layer alone.
            other_shape = RULES[rule].direct and name == "fc2"
            assert (network[name].shape != expected.shape) == other_shape
            assert other_shape or torch.equal(network[name], expected)


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
    backward(network, *small_batch())
    state = copy.deepcopy(network.state_dict())
    expected = backward(network, *small_batch())
    assert not torch.equal(backward(fresh, *small_batch())["fc2.weight"], expected["fc2.weight"])
    fresh.load_state_dict(state)
    gradients = backward(fresh, *small_batch())
    assert all(torch.equal(gradients[name], expected[name]) for name in expected)


@every_variant
def test_copies_and_pickles_send_the_same_error_and_are_independent(variant):
    network = converted_network(variant)
    backward(network, *small_batch())
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    copies = copy.deepcopy(network), torch.load(file, weights_only=False)
    expected = [backward(network, *small_batch()) for _ in range(2)]
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.zero_()
    for twin in copies:
        for gradients in expected:
            found = backward(twin, *small_batch())
            assert all(torch.equal(found[name], gradients[name]) for name in gradients)
