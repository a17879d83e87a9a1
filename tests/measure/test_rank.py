"""Ranks of errors and gradients, against backward passes written out in NumPy."""

import functools
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit import AuditError, convert
from fa_audit.measure import GradientTrajectories, error_ranks, gradient_ranks
from fa_audit.measure.deliveries import deliveries
from fa_audit.metrics import effective_ranks
from fa_audit.networks import architecture1
from fa_audit.rules import RULES, feedback_layers
from measure.networks import images, same, small_network, trace
from oracles import metrics_twins, rule_twins
from rules.variants import (
    GEOMETRIES,
    Variant,
    array,
    converted_network,
    every_rule,
    every_variant,
    feedback_twin,
    normal,
    small_batch,
)

LAYERS = ("conv1", "conv2", "fc1", "fc2")


def network_of(variant: Variant) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return converted_network(variant)


def written_out(variant: Variant, network: nn.Sequential, x: Tensor, y: Tensor) -> rule_twins.Trace:
    return rule_twins.train_step(
        {name: array(parameter) for name, parameter in network.named_parameters()},
        {name: feedback_twin(variant, layer) for name, layer in feedback_layers(network).items()},
        GEOMETRIES,
        array(x),
        y.numpy(),
        direct=variant.rule.direct,
    )


def assert_ranks(found: dict[str, float] | None, matrix: rule_twins.Array) -> None:
    __tracebackhide__ = True
    assert found is not None
    for definition, value in found.items():
        # The twin takes the Gram matrix too, and so loses half the digits of small values.
        expected = metrics_twins.effective_rank(matrix, definition)
        assert value == pytest.approx(expected, rel=1e-5), definition


@every_variant
def test_ranks_are_those_of_a_pass_written_out(variant: Variant) -> None:
    network, (x, labels) = network_of(variant), small_batch(n=12)
    expected = written_out(variant, network, x, labels)
    errors, gradients = error_ranks(network, x, labels), gradient_ranks(network, x, labels)
    assert tuple(errors) == tuple(gradients) == LAYERS
    for name in LAYERS:
        found = errors[name]
        assert_ranks(found.ranks, expected.errors[name])
        assert (found.images, found.units) == (12, expected.errors[name][0].size)
        assert_ranks(gradients[name], expected.gradients[f"{name}.weight"])


# The bound of C − 1


@functools.cache
def trained_a_little(rule: str) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A narrow architecture1 after ten steps, and a batch it has not seen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = architecture1(width=8)
    draw = functools.partial(torch.randn, generator=torch.Generator().manual_seed(4))
    convert(network, rule, example_input=draw(1, 3, 24, 24))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(10):
        optimizer.zero_grad()
        F.cross_entropy(network(draw(40, 3, 24, 24)), torch.arange(40) % 10).backward()
        optimizer.step()
    return network, draw(60, 3, 24, 24), torch.arange(60) % 10


def numerical_rank(error: Tensor) -> int:
    """How many singular values stand out of float32's rounding."""
    sigma = np.linalg.svd(array(error.flatten(1)), compute_uv=False)
    return int((sigma > 1e-5 * sigma[0]).sum())


@every_rule
def test_the_output_error_of_c_classes_has_rank_c_minus_1_at_most(rule: str) -> None:
    network, x, labels = trained_a_little(rule)
    layers = {name: network.get_submodule(name) for name in ("fc1", "fc2", "fc3")}
    delivered = deliveries(network, x, labels, layers)
    assert numerical_rank(delivered["fc3"].error) == 9
    assert delivered["fc3"].error.sum(1).abs().max() < 1e-5
    found = error_ranks(network, x, labels)
    assert found["fc3"].bound == 9
    assert found["fc3"].ranks is not None
    assert max(found["fc3"].ranks.values()) <= 9
    assert [found[name].bound for name in ("conv1", "conv2", "fc1", "fc2")] == [None] * 4


@every_rule
def test_the_error_below_has_that_rank_until_a_nonlinearity_masks_it(rule: str) -> None:
    network, x, labels = trained_a_little(rule)
    layers = {name: network.get_submodule(name) for name in ("fc2", "fc3")}
    delivered = deliveries(network, x, labels, layers)
    top = feedback_layers(network)["fc3"]
    sent = top.send(delivered["fc3"].error, top.feedback(), delivered["fc3"].input_size)
    assert sent.shape == delivered["fc2"].error.shape
    assert numerical_rank(sent) == 9
    assert numerical_rank(delivered["fc2"].error) > 9


def test_a_network_that_goes_on_after_its_last_layer_has_no_bound() -> None:
    network = nn.Sequential(small_network(1), nn.ReLU())
    found = error_ranks(network, images(6), torch.arange(6) % 4)
    assert [one.bound for one in found.values()] == [None] * 3


# What measuring may not do, and what cannot be measured


@every_rule
def test_measuring_leaves_the_network_as_it_was(rule: str) -> None:
    network, x, labels = small_network(1).train(), images(8), torch.arange(8) % 4
    convert(network, rule, seed=1, example_input=x)
    before = trace(network)
    with torch.no_grad():
        error_ranks(network, x, labels)
        gradient_ranks(network, x, labels)
    assert same(before, trace(network))


def test_a_dead_layer_has_no_rank_and_the_others_have() -> None:
    network, x, labels = small_network(1), images(8), torch.arange(8) % 4
    with torch.no_grad():
        network.fc1.bias.fill_(-1e3)
    errors, gradients = error_ranks(network, x, labels), gradient_ranks(network, x, labels)
    for name in ("conv", "fc1"):
        assert errors[name].ranks is None
        assert gradients[name] is None
    assert errors["fc2"].ranks is not None
    assert gradients["fc2"] is None  # nothing comes in


def test_errors_that_overflow_have_no_rank() -> None:
    network = small_network(1)
    convert(network, "fa_toeplitz", example_input=images(1))
    with torch.no_grad():
        for layer in feedback_layers(network).values():
            layer.initial_feedback.mul_(1e38)
    found = error_ranks(network, images(4), torch.arange(4))
    assert found["conv"].ranks is None
    assert found["fc2"].ranks is not None


def test_frozen_layers_have_no_gradient_but_the_error_that_arrives_at_them() -> None:
    network = small_network(1)
    for parameter in (*network.conv.parameters(), *network.norm.parameters()):
        parameter.requires_grad_(False)
    batch = images(8), torch.arange(8) % 4
    assert list(gradient_ranks(network, *batch)) == ["fc1", "fc2"]
    assert list(error_ranks(network, *batch)) == ["conv", "fc1", "fc2"]


def test_gradients_of_a_network_of_which_no_weight_is_trained_are_refused() -> None:
    network = small_network(1).requires_grad_(False)
    with pytest.raises(AuditError, match=r"^no Linear or Conv2d weight of Sequential is trained"):
        gradient_ranks(network, images(8), torch.arange(8) % 4)


class Embedded(nn.Module):
    """Takes numbers of words, which have no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(9, 5), nn.Linear(5, 3)

    def forward(self, words: Tensor) -> Tensor:
        out: Tensor = self.head(self.words(words).mean(1))
        return out


def test_errors_of_a_frozen_network_whose_input_is_integers_are_refused() -> None:
    with torch.random.fork_rng(devices=[]):
        network = Embedded()
    batch = torch.arange(8).view(4, 2), torch.arange(4) % 3
    assert list(error_ranks(network, *batch)) == ["head"]
    with pytest.raises(AuditError, match=r"^no error arrives at any layer of Embedded that"):
        error_ranks(network.requires_grad_(False), *batch)


# Trajectories


def steps_of(network: nn.Module, count: int) -> list[dict[str, Tensor]]:
    """Gradients of some steps; the last of them are left in the network."""
    found = []
    for step in range(count):
        network.zero_grad()
        F.cross_entropy(network(images(8, seed=step)), torch.arange(8) % 4).backward()
        weights = {n: p for n, p in network.named_parameters() if n.endswith("weight")}
        found.append({name: weight.grad.clone() for name, weight in weights.items()})
    return found


class Replayed:
    """Puts recorded gradients into a network, step by step, and follows them."""

    def __init__(self, steps: int, **settings: int) -> None:
        self.network = small_network(2).eval()
        self.recorded = steps_of(self.network, steps)
        self.new = functools.partial(GradientTrajectories, self.network, steps, **settings)

    def feed(self, trajectories: GradientTrajectories, start: int, stop: int) -> None:
        for gradients in self.recorded[start:stop]:
            for name, gradient in gradients.items():
                self.network.get_parameter(name).grad = gradient.clone()
            trajectories.add()

    def exact(self, layer: str, steps: list[int]) -> dict[str, float]:
        return effective_ranks(
            torch.stack([self.recorded[step][f"{layer}.weight"].flatten() for step in steps])
        )


def test_as_long_as_there_is_room_the_rank_is_that_of_all_steps() -> None:
    run = Replayed(9, rows=9, columns=300)
    trajectories = run.new()
    for step in range(9):
        run.feed(trajectories, step, step + 1)
        for layer, ranks in trajectories.ranks().items():
            exact = run.exact(layer, list(range(step + 1)))
            assert ranks == pytest.approx(exact, rel=1e-5), layer
            assert max(ranks.values()) <= step + 1 + 1e-9
    assert list(trajectories.ranks()) == ["conv", "fc1", "fc2"]


def test_then_it_is_that_of_a_sample_of_them() -> None:
    run = Replayed(12, rows=4, columns=300)
    trajectories = run.new()
    run.feed(trajectories, 0, 12)
    found = trajectories.ranks()["fc1"]
    samples = [
        steps
        for steps in itertools.combinations(range(12), 4)
        if run.exact("fc1", list(steps)) == pytest.approx(found, rel=1e-5)
    ]
    assert len(samples) == 1
    assert samples[0] != (8, 9, 10, 11)


def test_layers_are_sampled_at_the_same_steps_and_seeds_at_others() -> None:
    run = Replayed(12, rows=4, columns=300)
    found = []
    for seed in (0, 0, 1):
        trajectories = run.new(seed=seed)
        run.feed(trajectories, 0, 12)
        found.append(trajectories.ranks())
    assert found[0] == found[1]
    assert found[0]["fc1"] != found[2]["fc1"]


def test_going_on_from_a_state_is_going_on() -> None:
    run = Replayed(10, rows=4, columns=30)
    whole, first, second = run.new(), run.new(), run.new()
    run.feed(whole, 0, 10)
    run.feed(first, 0, 6)
    second.load_state_dict(first.state_dict())
    run.feed(second, 6, 10)
    assert second.ranks() == whole.ranks()


def test_before_the_first_step_and_without_gradients_there_is_no_rank() -> None:
    network = small_network(2)
    trajectories = GradientTrajectories(network, 3)
    nothing = dict.fromkeys(("conv", "fc1", "fc2"))
    assert trajectories.ranks() == nothing
    trajectories.add()
    assert trajectories.ranks() == nothing


def test_a_trajectory_refuses_more_steps_than_it_was_made_for() -> None:
    trajectories = GradientTrajectories(small_network(2), 1)
    trajectories.add()
    with pytest.raises(AuditError, match="made for 1 steps, and there is one more"):
        trajectories.add()


def test_memory_of_a_layer_of_many_weights_is_bounded() -> None:
    with torch.device("meta"):
        layer = nn.Conv2d(512, 512, 3)
    network = nn.Sequential(layer.to_empty(device="cpu"))
    trajectories = GradientTrajectories(network, 100_000)
    sketch = trajectories._sketches["0"]
    held = [sketch.kept, sketch._order, sketch._signs]
    assert sum(t.element_size() * t.numel() for t in held) < 21e6


@pytest.mark.parametrize("rule", RULES)
def test_rank_one_problems_have_rank_one_gradients(rule: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(*(nn.Linear(6, 6) for _ in range(3))).double()
    x = normal(0, 1, 6)
    convert(network, rule, example_input=x)
    for ranks in gradient_ranks(network, x, torch.tensor([2])).values():
        assert ranks == pytest.approx(dict.fromkeys(ranks or {}, 1.0), rel=1e-9)
