"""Kolen–Pollack: B is trained as W is, so that weight decay makes them one (oracle 10)."""

import copy

import pytest
import torch
from torch import Tensor, nn

from fa_audit.rules import as_backpropagation, convert, feedback_layers
from rules.variants import (
    SENDERS,
    assert_same,
    backward,
    both_layers,
    converted_network,
    make_input,
    make_layer,
    mlp,
    small_batch,
    small_network,
    variant_of,
)

KOLEN_POLLACK = variant_of("kolen_pollack")


def differences(network: nn.Module) -> dict[str, Tensor]:
    """W − B of every layer."""
    return {
        name: (layer.weight - layer.feedback()).detach()
        for name, layer in feedback_layers(network).items()
    }


@pytest.mark.parametrize("decay", [0.0, 0.01, 0.2])
@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.SGD,
        torch.optim.AdamW,  # decays apart from the gradient, and moves W and B alike
    ],
)
def test_the_difference_of_weight_and_feedback_decays_exactly(optimizer, decay):
    """With equal updates and decay λ in every step, W − B = (1 − λ)^t (W₀ − B₀)."""
    network = converted_network(KOLEN_POLLACK)
    rate, steps = 0.05, 20
    before = differences(network)
    weights = {name: network.get_submodule(name).weight.detach().clone() for name in SENDERS}
    step = optimizer(network.parameters(), lr=rate, weight_decay=decay / rate)
    for seed in range(steps):
        backward(network, *small_batch(seed))
        step.step()
    for name, after in differences(network).items():
        assert_same(after, (1 - decay) ** steps * before[name], 1e-12, name)
        moved = network.get_submodule(name).weight - (1 - decay) ** steps * weights[name]
        assert moved.norm() > 1e-6 * weights[name].norm(), "there were no updates to be equal"


def test_in_the_end_kolen_pollack_is_backpropagation():
    network, plain = converted_network(KOLEN_POLLACK), small_network()
    images, labels = small_batch()

    def difference_from_backpropagation() -> float:
        plain.load_state_dict(network.state_dict(), strict=False)
        gradients, exact = (backward(n, images, labels)["conv1.weight"] for n in (network, plain))
        return float((gradients - exact).norm() / exact.norm())

    assert difference_from_backpropagation() > 0.5
    step = torch.optim.SGD(network.parameters(), lr=0.5, weight_decay=0.04)
    for _ in range(400):  # 0.98⁴⁰⁰ = 0.0003
        backward(network, images, labels)
        step.step()
    assert difference_from_backpropagation() < 0.005


@both_layers
def test_feedback_is_trained_where_no_error_is_sent_down_too(kind):
    layer = make_layer(kind, KOLEN_POLLACK)
    layer(make_input(kind).detach()).square().sum().backward()
    assert layer.weight.grad.norm() > 0
    assert torch.equal(layer.trained_feedback.grad, layer.weight.grad)


@both_layers
@pytest.mark.parametrize("frozen", ["weight", "trained_feedback"])
def test_either_may_be_frozen_without_the_other(kind, frozen):
    layer = make_layer(kind, KOLEN_POLLACK)
    free = "trained_feedback" if frozen == "weight" else "weight"
    gradients = {}
    for copied in (layer, copy.deepcopy(layer)):
        if copied is not layer:
            copied.get_parameter(frozen).requires_grad_(False)
        x = make_input(kind)
        copied(x).square().sum().backward()
        gradients[copied is layer] = copied.get_parameter(free).grad, x.grad
    assert copied.get_parameter(frozen).grad is None
    for one, other in zip(gradients[True], gradients[False], strict=True):
        assert torch.equal(one, other)


def test_the_gradients_of_weight_and_feedback_add_up_apart():
    layer = make_layer("conv", KOLEN_POLLACK).to(memory_format=torch.channels_last)
    for _ in range(2):
        layer(make_input("conv")).square().sum().backward()
        layer.weight.grad.add_(1)
    assert torch.allclose(layer.weight.grad, layer.trained_feedback.grad + 2)


def test_feedback_of_a_layer_that_is_frozen_at_conversion_is_frozen():
    network = mlp(3, 4, 4, 2)
    network.fc2.requires_grad_(False)
    convert(network, "kolen_pollack")
    assert not network.fc2.trained_feedback.requires_grad
    assert network.fc3.trained_feedback.requires_grad


@both_layers
def test_backpropagation_for_a_while_trains_the_weight_alone(kind):
    layer = make_layer(kind, KOLEN_POLLACK)
    with as_backpropagation(layer):
        layer(make_input(kind)).sum().backward()
    assert layer.weight.grad is not None
    assert layer.trained_feedback.grad is None


def test_another_rule_takes_the_trained_feedback_out_again():
    layer = make_layer("linear", KOLEN_POLLACK)
    layer.set_rule("fa_toeplitz")
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    layer.set_rule("kolen_pollack")
    assert len(list(layer.parameters())) == 3
    assert layer.initial_feedback is None


@both_layers
def test_gradients_of_weight_and_feedback_are_two_tensors(kind):
    layer = make_layer(kind, KOLEN_POLLACK)
    y = layer(make_input(kind))
    first, second = torch.autograd.grad(y.sum(), [layer.weight, layer.trained_feedback])
    assert torch.equal(first, second)
    first.mul_(2)
    assert torch.equal(first, 2 * second)
