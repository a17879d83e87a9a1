"""brSF: magnitudes drawn anew for every forward pass in training, and for nothing else."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fa_audit.rules import FeedbackLayer, as_backpropagation, convert, feedback_layers
from fa_audit.streams import stream
from rules.variants import (
    SENDERS,
    assert_same,
    backward,
    both_layers,
    converted_network,
    linear,
    make_input,
    make_layer,
    mlp,
    normal,
    small_batch,
    small_network,
    variant_of,
)

BRSF = variant_of("brsf")


def draws(layer: FeedbackLayer) -> int:
    """How often magnitudes were drawn."""
    return int(layer.feedback_draws[1])


def train(network: nn.Module, passes: int = 1) -> list[dict[str, Tensor]]:
    """The magnitudes of every layer in these passes; the weights stay as they are."""
    found = []
    for _ in range(passes):
        backward(network, *small_batch())
        layers = feedback_layers(network)
        found.append({name: layer.random_part() for name, layer in layers.items()})
    return found


# When


@both_layers
def test_the_feedback_reported_after_a_forward_pass_is_that_of_its_backward_pass(kind):
    """Two forward passes before any backward pass: each keeps its own B."""
    layer = make_layer(kind, BRSF, dtype=torch.float64)
    passes = []
    for _ in range(3):
        x = make_input(kind, torch.float64)
        passes.append((x, layer(x), layer.feedback()))
    for x, y, B in reversed(passes):
        error = normal(2, *y.shape)
        y.backward(error)
        assert_same(x.grad, layer.send(error, B, x.shape), 1e-14)
    assert draws(layer) == 3


def in_evaluation_mode(layer: FeedbackLayer, x: Tensor) -> None:
    layer.eval()(x).sum().backward()
    layer.train()


def without_gradients(layer: FeedbackLayer, x: Tensor) -> None:
    with torch.no_grad():
        layer(x)


def by_backpropagation(layer: FeedbackLayer, x: Tensor) -> None:
    with as_backpropagation(layer):
        layer(x).sum().backward()


def asking(layer: FeedbackLayer, x: Tensor) -> None:
    layer.feedback()


@both_layers
@pytest.mark.parametrize(
    "use",
    [in_evaluation_mode, without_gradients, by_backpropagation, asking],
)
def test_nothing_is_drawn(kind: str, use: Callable[[FeedbackLayer, Tensor], None]):
    layer = make_layer(kind, BRSF)
    layer(make_input(kind))
    before, B = layer.feedback_draws.clone(), layer.feedback()
    use(layer, make_input(kind))
    assert torch.equal(layer.feedback_draws, before)
    assert torch.equal(layer.feedback(), B)


@both_layers
def test_an_error_sent_in_evaluation_mode_goes_through_the_latest_feedback(kind):
    layer, x = make_layer(kind, BRSF, dtype=torch.float64), make_input(kind, torch.float64)
    layer(make_input(kind, torch.float64))
    B = layer.feedback()
    y = layer.eval()(x)
    y.backward(torch.ones_like(y))
    assert_same(x.grad, layer.send(torch.ones_like(y), B, x.shape), 1e-14)


def test_conversion_draws_no_magnitudes_and_training_neither_moves_nor_uses_the_global_state():
    network = converted_network(BRSF)
    assert [draws(layer) for layer in feedback_layers(network).values()] == [0, 0, 0]
    again = copy.deepcopy(network)
    state = torch.get_rng_state()
    first = train(network)[0]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert all(torch.equal(M, first[name]) for name, M in train(again)[0].items())


# What


def test_magnitudes_are_a_function_of_the_seed_of_the_layer_and_of_the_count():
    network = mlp(3, 4, 5)
    convert(network, "brsf", seed=7, feedback_scale=0.5)
    layer = network.fc2
    seed = int(torch.randint(2**62, (1,), generator=stream(7, "feedback", "fc2")))
    for count in range(3):
        expected = 0.5 * torch.randn(5, 4, generator=stream(seed, "feedback", count))
        assert torch.equal(layer.random_part(), expected)
        assert torch.equal(layer.feedback(), expected.abs() * layer.weight.sign())
        layer(torch.ones(1, 4, requires_grad=True))


def test_same_seed_same_magnitudes_in_every_pass_other_seed_others():
    networks = []
    for seed in (0, 0, 1):
        network = small_network()
        convert(network, "brsf", seed=seed, feedback_scale=1, example_input=small_batch()[0])
        networks.append(train(network, passes=3))
    for first, same, other in zip(*networks, strict=True):
        for name in SENDERS:
            assert torch.equal(first[name], same[name])
            assert not (first[name] == other[name]).any()


def test_magnitudes_of_two_passes_or_layers_are_unrelated():
    layers = [linear(BRSF, 100, 50, generator=stream(seed, "feedback")) for seed in (0, 1)]
    drawn = []
    for layer in layers:
        for _ in range(4):
            layer(torch.ones(1, 100, requires_grad=True))
            drawn.append(layer.random_part().flatten().double())
    correlation = torch.corrcoef(torch.stack(drawn)) - torch.eye(len(drawn))
    assert correlation.abs().max() < 5 / math.sqrt(5_000)


def test_on_average_over_passes_feedback_is_the_sign_of_the_weight():
    """E|M| = σ √(2/π), and every single B has the weight's signs."""
    layer, passes = linear(BRSF, 20, 16, feedback_scale=0.3), 400
    total = torch.zeros(16, 20)
    for _ in range(passes):
        layer(torch.ones(1, 20, requires_grad=True))
        assert torch.equal(layer.feedback().sign(), layer.weight.sign())
        total += layer.feedback()
    mean = total / passes * layer.weight.detach().sign()
    scatter = 0.3 * math.sqrt((1 - 2 / math.pi) / passes)
    assert (mean - 0.3 * math.sqrt(2 / math.pi)).abs().max() < 5 * scatter


@pytest.mark.parametrize("through", [torch.bfloat16, torch.float16, torch.float64])
def test_a_change_of_type_rounds_neither_the_seed_nor_the_scale(through):
    layer = linear(BRSF, 20, 16, feedback_scale=0.123456789)
    expected = layer.random_part()
    layer.to(through)
    assert torch.equal(layer.random_part(), expected.to(through))
    assert torch.equal(layer.float().random_part(), expected)


def test_a_state_dict_goes_on_in_a_layer_with_other_weights_and_another_scale():
    first, second = (linear(BRSF, 20, 16, feedback_scale=scale) for scale in (0.1, 3.0))
    for _ in range(2):
        first(make_input("linear"))
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        assert torch.equal(second.feedback(), first.feedback())
        first(make_input("linear"))
        second(make_input("linear"))
