"""BioTorch, for real: the committed table, and each reason for a failure found to be true."""

import math
import re
from collections.abc import Iterator

import pytest
import torch

pytest.importorskip("biotorch", reason="the optional group `peers` is not installed")

from biotorch.layers import brsf, fa, frsf, usf
from biotorch.layers.metrics import compute_matrix_angle

from conformance import biotorch_table
from conformance.biotorch_adapters import constrained, converted, layers
from fa_audit.conformance import read_expected_failures
from fa_audit.conformance.expected import ExpectedFailures
from fa_audit.conformance.trials import trials_of


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """BioTorch draws from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def without_messages(table: str) -> str:
    """What PyTorch says when it raises differs between its versions."""
    return re.sub(r"( raised \w+): .*", r"\1", table)


def test_the_committed_table_is_what_comes_out():
    committed = biotorch_table.TABLE.read_text(encoding="utf-8")
    assert without_messages(biotorch_table.render()) == without_messages(committed)


@pytest.mark.parametrize(
    "adapter", [layers, converted, constrained], ids=lambda a: type(a).__name__
)
def test_nothing_fails_but_what_is_expected_and_that_does(adapter):
    assert [result for result in biotorch_table.judged(adapter) if not result.good] == []
    reasons = read_expected_failures(biotorch_table.EXPECTED, adapter.name)
    trials = [trial for rule in adapter.rules for trial in trials_of(rule)]
    assert ExpectedFailures(reasons).stale(trials) == []


def test_converted_layers_behave_as_those_made_by_name():
    assert biotorch_table.judged(converted) == biotorch_table.judged(layers)


# The reasons, one by one, without the checks


def backward(layer, *shape: int) -> torch.Tensor:
    """The error sent down for errors of one."""
    x = torch.ones(*shape, requires_grad=True)
    layer(x).sum().backward()
    return x.grad


def test_frsf_keeps_magnitudes_and_sends_magnitudes_with_signs():
    layer = frsf.Linear(7, 5)
    M, signs = layer.weight_backward, layer.weight.detach().sign()
    assert (M >= 0).all()
    torch.testing.assert_close(backward(layer, 1, 7)[0], (M * signs).sum(0))
    angle_logged, angle = layer.compute_alignment(), compute_matrix_angle(M * signs, layer.weight)
    assert angle_logged == compute_matrix_angle(M, layer.weight)
    assert angle < 60 < angle_logged


def test_usf_has_the_scale_of_the_initialisation_whatever_the_weights():
    layer = usf.Linear(7, 5)
    with torch.no_grad():
        layer.weight.mul_(100)
    scale = math.sqrt(2 / (7 + 5))
    expected = scale * layer.weight.detach().sign().sum(0)
    torch.testing.assert_close(backward(layer, 1, 7)[0], expected)


def test_brsf_draws_new_magnitudes_at_every_forward_pass():
    layer = brsf.Linear(7, 5)
    first, second = (backward(layer, 1, 7) for _ in range(2))
    assert not torch.isclose(first, second).any()


def test_linear_layers_take_matrices_and_no_single_output():
    for shape in ((7,), (2, 3, 7)):
        with pytest.raises(RuntimeError, match="matrix"):
            fa.Linear(7, 5)(torch.ones(shape))
    with pytest.raises(RuntimeError, match="invalid gradient at index 3"):
        backward(fa.Linear(7, 1), 2, 7)
    backward(fa.Linear(7, 1, bias=False), 2, 7)


def test_convolutions_fail_on_the_way_back_for_single_images_and_same_padding():
    single = fa.Conv2d(2, 3, 3)
    assert single(torch.ones(2, 5, 5)).shape == (3, 3, 3)
    with pytest.raises(RuntimeError, match="4-dimensional"):
        backward(single, 2, 5, 5)
    same = fa.Conv2d(2, 3, 3, padding="same")
    assert same(torch.ones(1, 2, 5, 5)).shape == (1, 3, 5, 5)
    with pytest.raises((RuntimeError, TypeError), match="padding"):
        backward(same, 1, 2, 5, 5)


def test_convolutions_keep_the_padding_mode_and_pad_with_zeros():
    layer = fa.Conv2d(2, 3, 3, padding=1, padding_mode="circular")
    assert layer.padding_mode == "circular"
    x = torch.ones(1, 2, 5, 5)
    zeros = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), zeros)


def test_constrained_weights_are_another_parameter_at_every_pass():
    config = {"type": "fa", "options": {"constrain_weights": True, "init": "xavier"}}
    layer = fa.Linear(7, 5, layer_config=config)
    before = layer.weight
    before.requires_grad_(False)
    layer.bias.requires_grad_(False)
    backward(layer, 1, 7)
    assert layer.weight is not before
    assert before.grad is None
    assert layer.weight.grad is not None
