"""Angles against backward passes written out in NumPy, every feedback an explicit matrix."""

import copy
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit import AuditError, FeedbackLinear, convert, error_angles
from fa_audit.measure import error_ranks
from fa_audit.metrics.alignment import AngleSummary
from fa_audit.rules import RULES, feedback_layers
from measure.networks import images, same, small_network, trace
from oracles import metrics_twins, rule_twins
from rules.variants import (
    GEOMETRIES,
    SENDERS,
    Variant,
    array,
    converted_network,
    every_rule,
    every_variant,
    feedback_twin,
    small_batch,
)
from rules.variants import small_network as deep_network

Array = rule_twins.Array


def network_of(variant: Variant) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return converted_network(variant)


class Sent(NamedTuple):
    """What one layer sends down, [n, inputs]: by its rule, by its weight, by backpropagation."""

    rule: Array
    weight: Array
    exact: Array


def sent_by_hand(
    variant: Variant, network: nn.Sequential, x: Tensor, labels: Tensor
) -> dict[str, Sent]:
    """Two backward passes, one with every layer's B and one with every W, as matrix products."""
    parameters = {name: array(parameter) for name, parameter in network.named_parameters()}
    W = {name: parameters[f"{name}.weight"] for name in SENDERS}
    B = {name: feedback_twin(variant, layer) for name, layer in feedback_layers(network).items()}
    direct = variant.rule.direct
    under_rule, exact = (
        rule_twins.train_step(
            parameters,
            feedback,
            GEOMETRIES,
            array(x),
            labels.numpy(),
            direct=feedback is B and direct,
        )
        for feedback in (B, W)
    )

    def send(step: rule_twins.Trace, name: str, feedback: Array, source: str = "") -> Array:
        # The twin's loss is the mean over the batch, the angles' errors are each image's own.
        error = len(x) * step.errors[source or name]
        if feedback.ndim == 4:
            size = step.inputs[name].shape[1:]
            feedback = rule_twins.dense_matrix(feedback, size, GEOMETRIES[name])
        flat = rule_twins.flatten(error) if error.ndim == 4 else error
        return flat @ feedback

    return {
        name: Sent(
            send(under_rule, name, B[name], "fc2" if direct else name),
            send(under_rule, name, W[name]),
            send(exact, name, W[name]),
        )
        for name in SENDERS
    }


def assert_summary(found: AngleSummary, u: Array, v: Array) -> None:
    """The mean of the images' angles and norms, images without an angle left out of the former."""
    __tracebackhide__ = True
    present = (np.linalg.norm(u, axis=1) > 0) & (np.linalg.norm(v, axis=1) > 0)
    # arccos keeps half the digits near 0° and 180°: 2e-6 degrees.
    angles = [metrics_twins.angle(*pair) for pair in zip(u[present], v[present], strict=True)]
    assert found.angle == pytest.approx(np.mean(angles), abs=2e-6)
    assert found.norm_u == pytest.approx(np.linalg.norm(u, axis=1).mean(), rel=1e-12)
    assert found.norm_v == pytest.approx(np.linalg.norm(v, axis=1).mean(), rel=1e-12)
    assert (found.n, found.zeros) == (len(u), (~present).sum())


@every_variant
def test_angles_equal_those_of_explicit_matrices(variant: Variant) -> None:
    network, (x, labels) = network_of(variant), small_batch(n=12)
    expected = sent_by_hand(variant, network, x, labels)
    found = error_angles(network, x, labels)
    assert tuple(found) == SENDERS
    for name, sent in expected.items():
        assert_summary(found[name].local, sent.rule, sent.weight)
        assert_summary(found[name].true, sent.rule, sent.exact)


@every_variant
def test_local_and_true_angles_are_the_same_at_the_top_and_differ_below(variant: Variant) -> None:
    found = error_angles(network_of(variant), *small_batch(n=12))
    assert found["fc2"].local == found["fc2"].true
    if variant.rule.name == "bp":
        assert [angles.local.angle for angles in found.values()] == [0, 0, 0]
        assert [angles.true.angle for angles in found.values()] == [0, 0, 0]
    else:
        for name in ("fc1", "conv2"):
            assert abs(found[name].local.angle - found[name].true.angle) > 0.1


@every_variant
def test_angles_of_a_network_within_another_are_its_own(variant: Variant) -> None:
    network, (x, labels) = network_of(variant), small_batch(n=12)
    expected = error_angles(network, x, labels)
    found = error_angles(nn.Sequential(nn.Identity(), network), x, labels)
    assert found == {f"1.{name}": angles for name, angles in expected.items()}


@pytest.mark.parametrize("zero_errors", ["exclude", "ninety"])
def test_images_without_an_error_are_counted_by_the_named_choice(zero_errors: str) -> None:
    network, (x, labels) = network_of(Variant(RULES["fa_toeplitz"], {})), small_batch(n=4)
    with torch.no_grad():
        network.fc1.bias.fill_(-1e3)  # no unit of fc1 responds, so nothing passes below its ReLU
    found = error_angles(network, x, labels, zero_errors)
    for name in ("fc1", "conv2"):
        summary = found[name].local
        assert (summary.zeros, summary.n, summary.norm_u, summary.norm_v) == (4, 4, 0, 0)
        assert summary.angle == {"exclude": None, "ninety": 90}[zero_errors]
    assert found["fc2"].local.zeros == 0


def test_norms_do_not_depend_on_the_size_of_the_batch() -> None:
    network, (x, labels) = network_of(Variant(RULES["fa_random"], {})), small_batch(n=6)
    once = error_angles(network, x, labels)
    twice = error_angles(network, x.repeat(2, 1, 1, 1), labels.repeat(2))
    for name in SENDERS:
        assert twice[name].true.norm_v == pytest.approx(once[name].true.norm_v, rel=1e-12)
        assert twice[name].true.angle == pytest.approx(once[name].true.angle, rel=1e-12)


@pytest.mark.parametrize("position", ["relu1", "relu2"])
def test_an_output_that_is_overwritten_in_place_is_refused_by_name(position: str) -> None:
    network = small_network(1)
    del network.norm  # so that relu1 stands right behind conv
    convert(network, "fa_toeplitz", example_input=images(1))
    network.get_submodule(position).inplace = True
    if position == "relu1":  # conv takes no rule: nothing is measured there
        error_angles(network, images(4), torch.arange(4))
    else:
        with pytest.raises(AuditError, match=r"^the output of fc1 was overwritten by an in-place"):
            error_angles(network, images(4), torch.arange(4))


@every_rule
def test_measuring_leaves_the_network_as_it_was(rule: str) -> None:
    network, x, labels = small_network(1).train(), images(8), torch.arange(8) % 4
    convert(network, rule, seed=1, example_input=x)
    network.norm.eval()
    with torch.random.fork_rng(devices=[]):  # dropout draws
        F.cross_entropy(network(x), labels).backward()
    before = trace(network)
    rules = [(layer.rule, layer.options) for layer in feedback_layers(network).values()]
    with torch.no_grad():  # and it works where gradients are off
        error_angles(network, x, labels)
    assert same(before, trace(network))
    assert rules == [(layer.rule, layer.options) for layer in feedback_layers(network).values()]


def test_rules_are_put_back_where_the_measurement_fails() -> None:
    network = small_network(1)
    convert(network, "fa_toeplitz", example_input=images(1))
    before = trace(network)
    with pytest.raises(IndexError):
        error_angles(network, images(2), torch.tensor([0, 99]))
    assert same(before, trace(network))
    assert {layer.rule.name for layer in feedback_layers(network).values()} == {"fa_toeplitz"}


def test_layers_that_do_not_run_are_left_out() -> None:
    network = network_of(Variant(RULES["usf_sn"], {"norm": "frobenius"}))
    expected = error_angles(network, *small_batch())
    with torch.random.fork_rng(devices=[]):
        network.fc1.auxiliary = FeedbackLinear(6, 3, rule="bp")
    assert error_angles(network, *small_batch()) == expected


def test_errors_that_overflow_are_refused_as_diverged() -> None:
    network = small_network(1)
    convert(network, "fa_toeplitz", example_input=images(1))
    with torch.no_grad():
        for layer in feedback_layers(network).values():
            layer.initial_feedback.mul_(1e38)
    with pytest.raises(AuditError, match="measure a run that did not diverge"):
        error_angles(network, images(4), torch.arange(4))


class Branched(nn.Module):
    """An auxiliary output beside the logits; one layer is called by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.below, self.aside, self.logits = nn.Linear(72, 9), nn.Linear(9, 2), nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.below(x.flatten(1)).relu()
        self.other = self.aside(h)
        return self.logits(input=h)


def test_what_does_not_lead_to_the_logits_is_left_out() -> None:
    with torch.random.fork_rng(devices=[]):
        network = Branched()
    convert(network, "fa_toeplitz", example_input=images(2))
    labels = torch.tensor([0, 1, 2, 3])
    found = error_angles(network, images(4), labels)
    assert list(found) == ["logits"]
    ranks = error_ranks(network, images(4), labels)
    assert "aside" not in ranks


class Lowered(nn.Sequential):
    """Computes in bfloat16 whoever calls it, and answers in float32."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y: Tensor = super().forward(x)
        return y.float()


@every_rule
@pytest.mark.parametrize("within", [True, False], ids=["in the network", "around it"])
def test_angles_under_autocast_are_nearly_those_without(rule: str, within: bool) -> None:
    if within and RULES[rule].direct:
        pytest.skip("the network does not end with a layer")
    x, labels = small_batch(n=8)[0].float(), torch.arange(8) % 4
    with torch.random.fork_rng(devices=[]):
        network = deep_network(torch.float32)
    lowered = copy.deepcopy(network)
    if within:
        lowered = Lowered(OrderedDict(lowered.named_children()))
    for one in (network, lowered):
        convert(one, rule, seed=1, example_input=x)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not within):
        found = error_angles(lowered, x, labels)
    for name, expected in error_angles(network, x, labels).items():
        for low, full in zip(
            (found[name].local, found[name].true), (expected.local, expected.true), strict=True
        ):
            assert low.angle == pytest.approx(full.angle, abs=3)
            assert low.norm_v == pytest.approx(full.norm_v, rel=0.1)


@every_rule
@pytest.mark.parametrize("frozen", [("conv", "norm"), ("",)], ids=["below", "all"])
def test_frozen_layers_are_measured_like_those_that_are_trained(
    rule: str, frozen: tuple[str, ...]
) -> None:
    network, x, labels = small_network(1), images(8), torch.arange(8) % 4
    convert(network, rule, seed=1, example_input=x)
    expected = error_angles(network, x, labels), error_ranks(network, x, labels)
    for name in frozen:
        network.get_submodule(name).requires_grad_(False)
    assert (error_angles(network, x, labels), error_ranks(network, x, labels)) == expected
    assert not x.requires_grad


def test_images_that_the_network_overwrites_may_be_measured() -> None:
    network = nn.Sequential(nn.ReLU(inplace=True), small_network(1))
    convert(network, "fa_toeplitz", example_input=images(2))
    assert error_angles(network, images(4), torch.arange(4))


def test_a_network_without_a_rule_has_no_angles_and_says_so() -> None:
    with pytest.raises(AuditError, match=r"^no error arrives at any layer of Sequential.*put a r"):
        error_angles(small_network(1), images(4), torch.arange(4))
