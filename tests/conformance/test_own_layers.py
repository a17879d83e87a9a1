"""Implementations that are right pass every check: the project's, PyTorch's, one by hand."""

import pytest
import torch

from conformance.adapters import ReplacedWeight, TorchNN, replaced_weight, torch_nn
from fa_audit.conformance import Status, check_all, check_rule, parametrize_with_rule_checks
from fa_audit.conformance.adapter import GradientDescent
from fa_audit.conformance.own import adapter as own


@parametrize_with_rule_checks(own, time_limit=None)
def test_own_layers_pass(check):
    check()


def test_of_own_layers_only_the_paddings_that_a_dense_rule_refuses_are_skipped():
    skipped = [r.id for r in check_rule(own, "fa_random", time_limit=None) if r.status != "passed"]
    assert skipped == ["fa_random/conv2d/same_padding", "fa_random/conv2d/circular_padding"]


@pytest.mark.parametrize("adapter", [torch_nn, replaced_weight], ids=lambda adapter: adapter.name)
def test_other_right_layers_pass_whatever_they_offer(adapter):
    for result in check_all(adapter, time_limit=None):
        offered = result.trial.variant.rule.name in adapter.rules
        assert result.status == (Status.PASSED if offered else Status.SKIPPED), result


def test_an_implementation_that_knows_float32_alone_can_be_checked():
    class SinglePrecision(TorchNN):
        dtype = torch.float32

    results = check_rule(SinglePrecision(), "bp", time_limit=None)
    assert {result.status for result in results} == {"passed"}


def test_gradient_descent_is_that_of_pytorch():
    with torch.random.fork_rng(devices=[]):
        layers = [torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)]
    layers[1].load_state_dict(layers[0].state_dict())
    for layer in layers:
        layer.bias.requires_grad_(False)
    optimizers = [
        GradientDescent(layers[0].parameters(), 0.3, 0.2),
        torch.optim.SGD(layers[1].parameters(), lr=0.3, weight_decay=0.2),
    ]
    for _ in range(3):
        for layer, optimizer in zip(layers, optimizers, strict=True):
            layer.zero_grad()
            layer(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(layers[0].weight, layers[1].weight)
    assert torch.equal(layers[0].bias, layers[1].bias)


def test_the_results_are_the_same_on_every_run():
    first, second = (check_rule(own, "usf_init", time_limit=None) for _ in range(2))
    assert first == second


def test_an_adapter_is_called_after_its_class_if_it_has_no_name():
    assert ReplacedWeight().name == "ReplacedWeight"
