"""Costs against numbers counted by hand, against loops, and against PyTorch's own counter."""

import dataclasses
import math
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fa_audit import AuditError, FeedbackConv2d, FeedbackLinear, convert
from fa_audit.cli import main
from fa_audit.measure import Cost, NetworkCost, cost_table, network_cost, rule_costs
from fa_audit.networks import architecture1
from fa_audit.rules import RULES, feedback_layers
from measure.networks import images, same, small_network, trace
from oracles import cost_twins as twins
from rules.variants import (
    GEOMETRIES,
    SENDERS,
    VARIANTS,
    Runs,
    Variant,
    converted_network,
    every_rule,
    every_variant,
    normal,
    slide_twin,
    small_batch,
    variant_of,
)

COUNTABLE = [v for v in VARIANTS if v.options.get("norm") != "spectral"]


def seeded(build: Any, *arguments: Any, **settings: Any) -> Any:
    """What `build` makes, without a trace in the shared random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(*arguments, **settings)


def products(cost: Cost) -> twins.Products:
    return twins.Products(cost.forward, cost.sent, cost.weight_gradient)


def kept_and_made(cost: Cost) -> twins.Feedback:
    return twins.Feedback(cost.stored, cost.made, cost.operations)


# Counted by hand


def costs_of_architecture1(rule: str) -> NetworkCost:
    network, x = seeded(architecture1), normal(0, 2, 3, 24, 24).float()
    convert(network, rule, example_input=x)
    return network_cost(network, x)


@every_rule
def test_parameters_and_forward_pass_of_architecture1(rule: str) -> None:
    found = costs_of_architecture1(rule)
    weights = {"conv1": 4_800, "conv2": 102_400, "fc1": 221_184, "fc2": 73_728, "fc3": 1_920}
    biases = {"conv1": 64, "conv2": 64, "fc1": 384, "fc2": 192, "fc3": 10}
    forward = {"conv1": 1_920_000, "conv2": 3_686_400}
    assert list(found.layers) == list(weights)
    for name, cost in found.layers.items():
        assert cost.parameters == weights[name] + biases[name]
        assert cost.forward == cost.weight_gradient == forward.get(name, weights[name])
    assert found.other_parameters == 0
    assert found.total.parameters == 404_032 + 714
    assert found.total.forward == 1_920_000 + 3_686_400 + 296_832


def test_dense_feedback_of_conv2_is_59_megabytes_and_14_7_million_multiply_adds() -> None:
    conv2 = costs_of_architecture1("fa_random").layers["conv2"]
    assert conv2.stored == conv2.sent == 2_304 * 6_400 == 14_745_600
    assert 4 * conv2.stored == 58_982_400


SENT_BY_KERNEL = 3_686_400 + 221_184 + 73_728 + 1_920


@pytest.mark.parametrize(
    ("rule", "stored", "made", "operations", "sent"),
    [
        ("bp", 0, 0, 0, SENT_BY_KERNEL),
        ("fa_random", 14_745_600 + 296_832, 0, 0, 14_745_600 + 296_832),
        ("fa_toeplitz", 399_232, 0, 0, SENT_BY_KERNEL),
        ("usf_init", 399_232, 399_232, 3 * 399_232, SENT_BY_KERNEL),
        ("usf_sn", 0, 399_232, 4 * 399_232, SENT_BY_KERNEL),
        ("brsf", 0, 399_232, 5 * 399_232, SENT_BY_KERNEL),
        ("kolen_pollack", 399_232, 0, 0, SENT_BY_KERNEL),
        ("dfa", 10 * (6_400 + 576 + 384 + 192), 0, 0, 10 * (6_400 + 576 + 384 + 192)),
    ],
)
def test_feedback_of_architecture1(
    rule: str, stored: int, made: int, operations: int, sent: int
) -> None:
    total = costs_of_architecture1(rule).total
    assert (total.stored, total.made, total.operations, total.sent) == (
        stored,
        made,
        operations,
        sent,
    )


def test_strides_and_groups_by_hand() -> None:
    # 4 → 6 maps in two groups, 3 × 2 kernels, every second row: 4 × 6 outputs of 2 · 3 · 2 weights.
    network = seeded(
        lambda: nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 6, (3, 2), stride=(2, 1), groups=2))
    )
    cost = network_cost(network, torch.zeros(1, 1, 9, 7)).layers["1"]
    assert cost.parameters == 6 * 2 * 3 * 2 + 6
    assert products(cost) == twins.Products(*[6 * (4 * 6) * 12] * 3)


# Counted by loops


@every_variant
def test_every_layer_costs_what_loops_count(variant: Variant) -> None:
    found = network_cost(seeded(converted_network, variant), small_batch(n=3)[0])
    by_loop = {
        "conv1": twins.conv2d(2, 3, (10, 10), GEOMETRIES["conv1"]),
        "conv2": twins.conv2d(3, 4, (4, 4), GEOMETRIES["conv2"]),
        "fc1": twins.linear(8, 6),
        "fc2": twins.linear(6, 4),
    }
    inputs = {"conv2": 3 * 4 * 4, "fc1": 8, "fc2": 6}
    outputs = {"conv2": 4 * 4 * 3, "fc1": 6, "fc2": 4}
    weights = {"conv2": 4 * 3 * 3 * 2, "fc1": 48, "fc2": 24}
    assert list(found.layers) == list(by_loop)
    assert products(found.layers["conv1"]) == dataclasses.replace(by_loop["conv1"], sent=0)
    assert kept_and_made(found.layers["conv1"]) == twins.Feedback(0, 0, 0)
    for name in SENDERS:
        expected = by_loop[name]
        matrix = twins.dense(inputs[name], 4 if variant.rule.direct else outputs[name])
        if variant.rule.dense:
            expected = dataclasses.replace(expected, sent=matrix)
        assert products(found.layers[name]) == expected
        if variant in COUNTABLE:
            assert kept_and_made(found.layers[name]) == twins.feedback(
                variant.rule.name, weights[name], matrix, variant.options
            )


@given(
    st.sampled_from([(2, 4, 1), (4, 2, 2), (6, 3, 3)]),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from(["usf_sn", "fa_random"]),
)
def test_convolutions_of_any_geometry_cost_what_loops_count(
    maps: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    rule: str,
) -> None:
    channels, outputs, groups = maps
    slide = {
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }
    network = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, channels, 1),
            FeedbackConv2d(channels, outputs, rule=rule, input_size=(7, 6), **slide),
        )
    )
    cost = network_cost(network, torch.zeros(2, 1, 7, 6)).layers["1"]
    geometry = slide_twin(slide)
    expected = twins.conv2d(channels, outputs, (7, 6), geometry)
    if rule == "fa_random":
        matrix = twins.dense(channels * 42, outputs * math.prod(geometry.output_size((7, 6))))
        assert cost.stored == matrix
        expected = dataclasses.replace(expected, sent=matrix)
    assert products(cost) == expected


def test_linear_layers_pay_for_every_row_of_an_image() -> None:
    network = seeded(lambda: nn.Sequential(nn.Linear(5, 4), FeedbackLinear(4, 3, rule="usf_init")))
    cost = network_cost(network, torch.zeros(2, 7, 5)).layers["1"]
    assert products(cost) == twins.linear(4, 3, rows=7)
    assert kept_and_made(cost) == twins.feedback("usf_init", 12, 12, network[1].options)


@pytest.mark.parametrize("size", [8, 24])
def test_the_spectral_norm_costs_two_decompositions(size: int) -> None:
    network = seeded(
        lambda: nn.Sequential(
            nn.Linear(1, 3 * size), FeedbackLinear(3 * size, size, rule="usf_sn", norm="spectral")
        )
    )
    operations = network_cost(network, torch.zeros(1, 1)).layers["1"].operations
    weights = 3 * size * size
    assert 2 * weights * size < operations < 2 * weights * size + 20 * weights


# Counted by PyTorch


def flops_of_a_step(network: nn.Module, x: Tensor) -> int:
    """FLOPs of matrix products and convolutions, forward and backward, by PyTorch's counter."""
    with FlopCounterMode(display=False) as counter:
        network(x).sum().backward()
    return int(counter.get_total_flops())


def multiply_adds(network: nn.Module, x: Tensor) -> int:
    total = network_cost(network, x).total
    return len(x) * (total.forward + total.sent + total.weight_gradient)


@every_variant
def test_a_step_takes_the_flops_that_pytorch_counts(variant: Variant) -> None:
    network, x = seeded(converted_network, variant), small_batch(n=5)[0]
    assert flops_of_a_step(network, x) == 2 * multiply_adds(network, x)


@pytest.mark.parametrize("rule", [None, "usf_sn", "fa_random", "dfa"])
def test_a_step_of_resnet_18_takes_the_flops_that_pytorch_counts(rule: str | None) -> None:
    network = seeded(torchvision.models.resnet18, weights=None, num_classes=10)
    x = normal(0, 2, 3, 16, 16).float()
    if rule:
        convert(network, rule, example_input=x)
    assert flops_of_a_step(network, x) == 2 * multiply_adds(network, x)
    found = network_cost(network, x)
    assert found.total.parameters + found.other_parameters == sum(
        parameter.numel() for parameter in network.parameters()
    )
    assert found.other_parameters == sum(
        parameter.numel()
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d)
        for parameter in module.parameters()
    )


def test_pytorch_counts_the_weight_gradient_of_a_grouped_convolution_once_per_group() -> None:
    """Its formula takes all input maps to meet all output maps there; forward it does not."""
    layer = seeded(nn.Conv2d, 6, 9, 3, stride=2, groups=3)
    x = normal(0, 4, 6, 11, 11).float()
    cost = network_cost(nn.Sequential(layer), x).layers["0"]
    assert products(cost) == dataclasses.replace(
        twins.conv2d(6, 9, (11, 11), slide_twin({"kernel_size": 3, "stride": 2, "groups": 3})),
        sent=0,
    )
    assert flops_of_a_step(layer, x) == 2 * 4 * (cost.forward + 3 * cost.weight_gradient)


# What is stored


@every_variant
def test_stored_floats_are_those_that_conversion_adds(variant: Variant) -> None:
    network = seeded(converted_network, variant)
    plain = seeded(converted_network, variant_of("bp")).state_dict()
    added = [
        tensor.numel()
        for name, tensor in network.state_dict().items()
        if name not in plain and tensor.is_floating_point()
    ]
    found = network_cost(network, small_batch()[0])
    assert found.total.stored == sum(added)
    assert bool(added) == variant.rule.stores_feedback


@every_variant
def test_parameters_are_the_networks_own_whatever_the_rule(variant: Variant) -> None:
    found = network_cost(seeded(converted_network, variant), small_batch()[0])
    plain = network_cost(seeded(converted_network, variant_of("bp")), small_batch()[0])
    assert found.total.parameters == plain.total.parameters
    assert found.other_parameters == 0


# Which passes are paid for


@every_rule
def test_per_image_and_per_step_do_not_depend_on_the_batch(rule: str) -> None:
    network = seeded(converted_network, variant_of(rule))
    once, often = (network_cost(network, small_batch(n=n)[0]) for n in (1, 7))
    assert once == often


def test_nothing_is_sent_to_frozen_layers_and_they_have_no_gradient() -> None:
    network = seeded(converted_network, variant_of("fa_toeplitz"))
    free = network_cost(network, small_batch()[0]).layers
    network.conv1.requires_grad_(False)
    network.conv2.requires_grad_(False)
    frozen = network_cost(network, small_batch()[0]).layers
    assert frozen["conv2"] == dataclasses.replace(free["conv2"], sent=0, weight_gradient=0)
    assert frozen["fc1"] == dataclasses.replace(free["fc1"], sent=0)
    assert frozen["fc2"] == free["fc2"]
    assert flops_of_a_step(network, small_batch()[0]) == 2 * multiply_adds(
        network, small_batch()[0]
    )


def test_a_layer_that_runs_twice_pays_twice_and_one_that_does_not_run_only_keeps() -> None:
    network = seeded(
        lambda: Runs(
            lambda self, x: self.loop(input=self.loop(self.below(x))),
            below=nn.Linear(5, 4),
            loop=FeedbackLinear(4, 4, rule="usf_init"),
            idle=FeedbackLinear(4, 3, rule="usf_init"),
        )
    )
    layers = network_cost(network, torch.zeros(3, 5)).layers
    assert layers["loop"] == Cost(20, 16, 2 * 16, 2 * 48, 2 * 16, 2 * 16, 2 * 16)
    assert layers["idle"] == Cost(15, 12, 0, 0, 0, 0, 0)


def test_shared_parameters_count_once() -> None:
    network = seeded(lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.LayerNorm(4)))
    network[1].weight = network[0].weight
    found = network_cost(network, torch.zeros(1, 4))
    assert [cost.parameters for cost in found.layers.values()] == [20, 4]
    assert found.other_parameters == 8


def test_a_new_rule_is_counted_without_being_known() -> None:
    rule = dataclasses.replace(
        RULES["bp"], name="twice", feedback=lambda weight, initial: weight + weight
    )
    network = seeded(lambda: nn.Sequential(nn.Linear(2, 4), FeedbackLinear(4, 3, rule=rule)))
    assert kept_and_made(network_cost(network, torch.zeros(1, 2)).layers["1"]) == twins.Feedback(
        stored=0, made=12, operations=12
    )


# Asking


@every_rule
def test_counting_leaves_the_network_as_it_was(rule: str) -> None:
    network, x = small_network(1).train(), images(8)
    convert(network, rule, example_input=x)
    before = trace(network)
    with torch.no_grad():  # and it works where gradients are off
        network_cost(network, x)
    assert same(before, trace(network))


def test_hooks_go_where_the_network_fails() -> None:
    network = small_network(1)
    before = trace(network)
    with pytest.raises(RuntimeError, match="to have 2 channels"):
        network_cost(network, torch.zeros(2, 3, 6, 6))
    assert same(before, trace(network))


@pytest.mark.parametrize("example", [torch.zeros(0, 2, 6, 6), torch.tensor(1.0)])
def test_an_example_without_images_is_refused(example: Tensor) -> None:
    with pytest.raises(AuditError, match="holds none: give a batch"):
        network_cost(small_network(1), example)


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(AuditError, match="nothing to count in Sequential: it has no Linear or"):
        network_cost(nn.Sequential(nn.ReLU()), torch.zeros(1, 2))


def test_the_table_has_every_layer_and_their_sum() -> None:
    network, x = small_network(1), images(2)
    convert(network, "fa_random", example_input=x)
    found = network_cost(network, x)
    header, *rows, last = str(found).splitlines()
    assert header.split() == [
        *("parameters", "stored", "made", "operations", "forward", "sent"),
        *("weight", "gradient"),
    ]
    assert [row.split()[0] for row in rows] == ["conv", "fc1", "fc2", "total"]
    numbers = [[int(n.replace(",", "")) for n in row.split()[1:]] for row in rows]
    assert [sum(column) for column in zip(*numbers[:-1], strict=True)] == numbers[-1]
    assert last == f"parameters of other modules: {2 * 3}"
    assert len({len(line) for line in (header, *rows)}) == 1


def test_every_rule_is_in_the_comparison() -> None:
    found = rule_costs(lambda: small_network(1), images(2))
    assert list(found) == list(RULES)
    for rule, cost in found.items():
        network = small_network(1)
        convert(network, rule, example_input=images(2))
        assert cost == network_cost(network, images(2)).total
        assert feedback_layers(network)
    assert cost_table(found).count("\n") == len(RULES)


def test_the_command_prints_what_each_rule_costs_on_the_studies_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["rules", "--cost"]) == 0
    printed = capsys.readouterr().out
    for rule in RULES:
        assert cost_table({rule: costs_of_architecture1(rule).total}).split()[8:] == next(
            line.split() for line in printed.splitlines() if line.startswith(f"{rule} ")
        )
