"""Direct feedback: the error at the network's output is sent down from every layer."""

import copy
import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fa_audit.errors import AuditError
from fa_audit.rules import FeedbackConv2d, FeedbackLinear, convert, feedback_layers
from rules.variants import (
    Runs,
    assert_same,
    backward,
    converted_network,
    images,
    mlp,
    normal,
    small_batch,
    small_network,
    variant_of,
)

DFA = variant_of("dfa")

# What is sent


def test_feedback_has_a_row_for_each_output_of_the_network_and_a_column_for_each_input():
    layers = feedback_layers(converted_network(DFA))
    shapes = {name: tuple(layer.feedback().shape) for name, layer in layers.items()}
    assert shapes == {"conv2": (4, 3 * 4 * 4), "fc1": (4, 8), "fc2": (4, 6)}
    assert all(layer.feedback_shape() == shapes[name] for name, layer in layers.items())


def test_with_the_product_of_all_weights_above_a_linear_network_learns_by_backpropagation():
    """Without activations backpropagation itself sends (W_L … W_l)ᵀ e from layer l."""
    layers = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise((5, 7, 6, 4, 3))]
    plain = nn.Sequential(*layers).double()
    network = copy.deepcopy(plain)
    x, labels = normal(1, 9, 5), torch.arange(9) % 3
    convert(network, "dfa", example_input=x)
    product = torch.eye(3, dtype=torch.float64)
    for layer in reversed(network[1:]):
        product = product @ layer.weight.detach()
        layer.initial_feedback.copy_(product)
    exact = backward(plain, x, labels)
    for name, gradient in backward(network, x, labels).items():
        assert_same(gradient, exact[name], 1e-12, name)


def test_in_a_network_of_one_converted_layer_it_is_feedback_alignment():
    networks = [mlp(5, 7, 3)[:-1].double() for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    x, labels = normal(1, 9, 5), torch.arange(9) % 3
    for network, rule in zip(networks, ("dfa", "fa_toeplitz"), strict=True):
        convert(network, rule, example_input=x)
    direct, aligned = (backward(network, x, labels) for network in networks)
    for name in direct:
        assert_same(direct[name], aligned[name], 1e-14, name)


def sent_by_hand(network: nn.Module, layer: str, error: Tensor) -> Tensor:
    """Bᵀe, sample by sample."""
    B = network.get_submodule(layer).feedback()
    return torch.stack([B.mT @ e.flatten() for e in error])


def gradient_at(network: nn.Module, layer: str, x: Tensor, error: Tensor) -> Tensor:
    """The gradient at the input of a layer when this error is delivered to the output."""
    seen = []
    hook = network.get_submodule(layer).register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0])
    )
    y = network(x)
    hook.remove()
    return torch.autograd.grad(y, seen[0], error)[0]


@pytest.mark.parametrize(
    ("network", "shape", "layer"),
    [
        (nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3)), (5, 2, 7, 6), "2"),
        (
            nn.Sequential(
                nn.Conv2d(2, 3, 3),
                nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
                nn.Tanh(),
                nn.Conv2d(4, 2, 2, padding="same", stride=1, groups=2),
                nn.Flatten(),
                nn.Linear(2 * 5 * 4, 3),
            ),
            (5, 2, 7, 6),
            "1",
        ),
    ],
    ids=["maps at the output", "any padding"],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_maps_are_flattened_at_both_ends(network, shape, layer):
    network, x = copy.deepcopy(network).double(), normal(1, *shape)
    convert(network, "dfa", example_input=x)
    error = normal(2, *network(x).shape)
    found = gradient_at(network, layer, x, error)
    assert_same(found.flatten(1), sent_by_hand(network, layer, error), 1e-13)


def test_a_network_that_answers_at_every_position_sends_the_error_of_each_position():
    network, x = mlp(5, 7, 6, 3)[:-1].double(), normal(1, 4, 9, 5)
    convert(network, "dfa", example_input=x)
    error = normal(2, 4, 9, 3)
    found = gradient_at(network, "fc2", x, error)
    expected = sent_by_hand(network, "fc2", error.flatten(0, 1))
    assert_same(found.flatten(0, 1), expected, 1e-13)


def test_a_single_sample_without_a_batch_is_a_batch_of_one():
    network = converted_network(DFA)
    network[6] = nn.Flatten(-3)
    x, error = small_batch(n=1)[0], normal(2, 1, 4)
    batched = gradient_at(network, "conv2", x, error)
    assert_same(gradient_at(network, "conv2", x[0], error[0]), batched[0], 1e-13)


def test_a_layer_that_leads_to_the_output_on_several_ways_sends_its_error_once():
    def run(self: Runs, x: Tensor) -> Tensor:
        h = self.b(self.a(x))
        return self.c(torch.relu(h) + torch.tanh(h) + h)

    network = Runs(run, **{name: nn.Linear(3, 3, dtype=torch.float64) for name in "abc"})
    x, error = normal(1, 5, 3), normal(2, 5, 3)
    convert(network, "dfa", example_input=x)
    found = gradient_at(network, "b", x, error)
    assert_same(found, sent_by_hand(network, "b", error), 1e-13)


# Several forward and backward passes


def losses(network: nn.Module) -> list[Tensor]:
    return [F.cross_entropy(network(x), y) for x, y in (small_batch(seed) for seed in range(3))]


def gradients_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in network.named_parameters()}


def assert_sum_over_batches(network: nn.Module) -> None:
    """The gradients are the sum of those of one batch after the other."""
    __tracebackhide__ = True
    found = gradients_of(network)
    alone = [backward(network, *small_batch(seed)) for seed in range(3)]
    for name, gradient in found.items():
        assert_same(gradient, sum(one[name] for one in alone), 1e-12, name)


def test_forward_passes_before_the_first_backward_pass_keep_their_errors_apart():
    network = converted_network(DFA)
    for loss in reversed(losses(network)):
        loss.backward()
    assert_sum_over_batches(network)


def test_one_backward_pass_through_several_forward_passes_keeps_their_errors_apart():
    network = converted_network(DFA)
    sum(losses(network)).backward()
    assert_sum_over_batches(network)


def test_parts_of_a_network_that_run_in_turns_keep_their_errors_apart():
    network = converted_network(DFA)
    batches = [small_batch(seed) for seed in range(3)]
    hidden = [network[:-1](x) for x, _ in batches]
    for h, (_, labels) in zip(hidden, batches, strict=True):
        F.cross_entropy(network[-1](h), labels).backward()
    assert_sum_over_batches(network)


def test_what_goes_into_the_last_layer_twice_is_sent_the_sum_of_both_errors():
    network, (x, labels) = converted_network(DFA), small_batch()
    y = network(x)
    expected = torch.autograd.grad(
        F.cross_entropy(y, labels) + y.square().sum(), list(network.parameters())
    )
    h = network[:-1](x)
    first, second = network[-1](h), network[-1](h)
    (F.cross_entropy(first, labels) + second.square().sum()).backward()
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        assert_same(parameter.grad, gradient, 1e-12)


@pytest.mark.parametrize("same", [True, False], ids=["itself", "another"])
def test_a_network_on_top_of_a_network_leaves_the_one_below_its_own_output_error(same):
    """The lower one's output error is what the upper one's first layer sends down."""
    x, target = normal(1, 9, 3), normal(2, 9, 3)
    lower, upper = (mlp(3, 5, 4, 3)[:-1].double() for _ in range(2))
    upper = lower if same else upper
    for network in dict.fromkeys((lower, upper)):
        convert(network, "dfa", example_input=x)
    middle = lower(x)
    top = upper(middle)
    error = torch.autograd.grad(F.mse_loss(top, target), middle, retain_graph=True)[0]
    F.mse_loss(upper(lower(x)), target).backward()
    found = gradients_of(lower)
    lower.zero_grad()
    lower(x).backward(error)
    if same:
        F.mse_loss(upper(middle.detach()), target).backward()
    for name, gradient in gradients_of(lower).items():
        assert_same(found[name], gradient, 1e-12, name)


def test_what_runs_between_forward_and_backward_does_not_disturb():
    network = converted_network(DFA)
    graphs = losses(network)
    with torch.no_grad():
        network(small_batch(7)[0])
    network.eval()(small_batch(8, n=2)[0])
    network.train()[:-1](small_batch(9)[0])
    for loss in graphs:
        loss.backward()
    assert_sum_over_batches(network)


def test_backward_passes_of_two_losses_of_one_output_add_up():
    network, (x, labels) = converted_network(DFA), small_batch()
    y = network(x)
    parts = F.cross_entropy(y, labels), y.square().sum()
    parts[0].backward(retain_graph=True)
    parts[1].backward()
    apart = gradients_of(network)
    network.zero_grad()
    y = network(x)
    (F.cross_entropy(y, labels) + y.square().sum()).backward()
    for name, gradient in gradients_of(network).items():
        assert_same(apart[name], gradient, 1e-12, name)


def test_copies_keep_their_errors_apart_from_the_original():
    network = converted_network(DFA)
    network(small_batch()[0])
    twin = copy.deepcopy(network)
    for layer in feedback_layers(twin).values():
        assert layer.error_source is twin.fc2
    expected = [backward(network, *small_batch(seed)) for seed in (0, 1)]
    first = F.cross_entropy(network(small_batch(0)[0]), small_batch(0)[1])
    second = F.cross_entropy(twin(small_batch(1)[0]), small_batch(1)[1])
    network.zero_grad()
    second.backward()
    assert all(parameter.grad is None for parameter in network.parameters())
    first.backward()
    for copied, gradients in zip((network, twin), expected, strict=True):
        for name, gradient in gradients_of(copied).items():
            assert torch.equal(gradient, gradients[name])


def test_activations_that_are_computed_again_in_the_backward_pass_change_nothing():
    network, (x, labels) = converted_network(DFA), small_batch()
    expected = backward(network, x, labels)
    network.zero_grad()
    h = checkpoint(network[:4], x.requires_grad_(), use_reentrant=False)
    F.cross_entropy(checkpoint(network[4:], h, use_reentrant=False), labels).backward()
    for name, gradient in gradients_of(network).items():
        assert_same(gradient, expected[name], 1e-14, name)


def test_a_network_is_trained_as_part_of_a_larger_one():
    network, (x, labels) = converted_network(DFA), small_batch()
    expected = backward(network, x, labels)
    larger = nn.Sequential(nn.Identity(), nn.Sequential(network))
    found = backward(larger, x, labels)
    assert all(torch.equal(found[f"1.0.{name}"], expected[name]) for name in expected)


# What cannot be right


def test_an_error_that_never_reached_the_output_is_refused():
    network = converted_network(DFA)
    with pytest.raises(AuditError, match=r"^fc1 sends down the error at the network's output, but"):
        network[:-1](small_batch()[0]).sum().backward()


def test_a_layer_that_does_not_lead_to_the_output_is_refused_where_it_is_learnt_from():
    def run(self: Runs, x: Tensor) -> Tensor:
        h = torch.relu(self.a(x))
        self.kept_back = self.head(h)
        return self.b(h)

    network = Runs(run, a=nn.Linear(3, 4), head=nn.Linear(4, 2), b=nn.Linear(4, 2))
    assert convert(network, "dfa", example_input=images(5, 3)).converted == ("head", "b")
    output = network(images(5, 3))
    output.sum().backward()
    output = network(images(5, 3))
    with pytest.raises(AuditError, match=r"^head sends down the error at the network's output"):
        (output.sum() + network.kept_back.sum()).backward()


def test_the_error_of_another_networks_output_is_not_taken_for_ones_own():
    lower, upper = (mlp(3, 3, 3, 3)[:-1] for _ in range(2))
    for network in (lower, upper):
        convert(network, "dfa", example_input=images(5, 3))
    with pytest.raises(AuditError, match=r"^fc2 sends down the error at the network's output"):
        upper(lower[:-1](images(5, 3))).sum().backward()


def test_the_error_of_an_earlier_backward_pass_is_not_taken_for_this_ones():
    network, (x, labels) = converted_network(DFA), small_batch()
    hidden = network[:-1](x)
    loss = F.cross_entropy(network[-1](hidden), labels)
    loss.backward(retain_graph=True)
    with pytest.raises(AuditError, match="this backward pass brought none there"):
        hidden.sum().backward()


def test_a_last_layer_that_takes_another_rule_leaves_no_error():
    network = converted_network(DFA)
    network.fc2.set_rule("bp")
    with pytest.raises(AuditError, match=r"^fc1 sends down the error at the network's output"):
        backward(network, *small_batch())


def test_a_layer_alone_does_not_know_its_network():
    for build in (
        lambda: FeedbackLinear(5, 4, rule="dfa"),
        lambda: FeedbackConv2d(3, 4, 3, rule="dfa", input_size=(6, 6)),
    ):
        with pytest.raises(AuditError, match=r"alone does not know; use convert\(network, 'dfa'"):
            build()


def test_maps_of_another_size_are_refused():
    network = converted_network(DFA)
    with pytest.raises(AuditError, match=r"^conv2 has dense feedback for inputs of size \(4, 4\)"):
        network[:4](normal(1, 2, 2, 10, 12))


def refused(network: nn.Module, x: Tensor, sentence: str) -> None:
    """`convert` raises this sentence and leaves the network as it was."""
    __tracebackhide__ = True
    before = dict(network.named_modules())
    with pytest.raises(AuditError, match=sentence):
        convert(network, "dfa", example_input=x)
    assert dict(network.named_modules()) == before


class Subclass(nn.Linear):
    pass


NOT_THE_OUTPUT = "returns something else than the output of the layer that runs last, "


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (mlp(3, 4, 2), f"Sequential {NOT_THE_OUTPUT}fc2; let it end with a Linear or Conv2d"),
        (nn.Sequential(*mlp(3, 4, 2)[:-1], nn.ReLU(inplace=True)), f"{NOT_THE_OUTPUT}2; "),
        (nn.Sequential(*mlp(3, 4, 2)[:-1], nn.Flatten(0)), f"{NOT_THE_OUTPUT}2; "),
        (nn.Sequential(*mlp(3, 4, 2), nn.LSTM(2, 2)), f"{NOT_THE_OUTPUT}2; "),
        (nn.Sequential(*mlp(3, 4, 2), Subclass(2, 2)), "ends with 4, which cannot take the rule"),
    ],
    ids=["ReLU", "in-place ReLU", "another shape", "LSTM", "subclass"],
)
def test_a_network_that_does_not_end_with_a_layer_is_refused(network, problem):
    refused(copy.deepcopy(network), images(2, 3), f"^rule 'dfa' .* one output, but .*{problem}")


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (lambda self, x: (self.b(self.a(x)), self.c(self.a(x))), f"Runs {NOT_THE_OUTPUT}c; "),
        (lambda self, x: {"logits": self.c(self.b(self.a(x)))}, f"Runs {NOT_THE_OUTPUT}c; "),
        (lambda self, x: (self.b(self.a(x)), self.c(self.a(x)))[0], f"Runs {NOT_THE_OUTPUT}c; "),
        (lambda self, x: self.b(self.a(x)) + self.c(self.a(x)), f"Runs {NOT_THE_OUTPUT}c; "),
        (
            lambda self, x: self.c(torch.relu(self.c(self.b(self.a(x))))),
            "runs its last layer, c, mo",
        ),
    ],
    ids=["two outputs", "a dictionary", "an output kept back", "a sum", "twice"],
)
def test_a_network_without_one_output_is_refused(run: Callable[[Runs, Tensor], Tensor], problem):
    layers = {name: nn.Linear(3, 3) for name in "abc"}
    refused(Runs(run, **layers), images(2, 3), f"^rule 'dfa' sends down .*{problem}")


def test_a_last_layer_that_takes_a_rule_already_is_refused():
    network = Runs(
        lambda self, x: self.c(self.b(self.a(x))),
        a=nn.Linear(3, 3),
        b=nn.Linear(3, 3),
        c=FeedbackLinear(3, 2, rule="bp"),
    )
    refused(network, images(2, 3), "ends with c, which cannot take the rule")


def test_samples_that_are_counted_otherwise_in_the_middle_are_refused():
    network = Runs(
        lambda self, x: self.c(self.b(self.a(x.flatten(0, 1))).unflatten(0, x.shape[:2]).sum(1)),
        a=nn.Linear(3, 3),
        b=nn.Linear(3, 3),
        c=nn.Linear(3, 2),
    )
    sentence = r"^b was given 10 samples, but the network's output has errors of 2; "
    refused(network, images(2, 5, 3), sentence)


def transposed_below_the_head(self: Runs, x: Tensor) -> Tensor:
    h = torch.relu(self.b(torch.relu(self.a(x))))
    return self.c(h.transpose(0, 1))


def test_samples_that_lie_in_another_order_at_the_output_are_refused():
    """As many errors as samples, but each would go to another sample's layer."""
    network = Runs(transposed_below_the_head, **{name: nn.Linear(3, 3) for name in "abc"})
    sentence = r"^b was given 2 × 5 samples, but the network's output has errors of 5 × 2; "
    refused(network, images(2, 5, 3), sentence)


def test_samples_that_come_to_lie_in_another_order_later_are_refused_at_backward():
    network = Runs(transposed_below_the_head, **{name: nn.Linear(3, 3) for name in "abc"})
    convert(network, "dfa", example_input=images(2, 1, 3))
    with pytest.raises(AuditError, match=r"^b was given 2 × 5 samples, but .* errors of 5 × 2; "):
        network(images(2, 5, 3)).sum().backward()


def test_an_example_is_needed():
    with pytest.raises(AuditError, match=r"^rule 'dfa' sends .* seen running; give example_input$"):
        convert(small_network(), "dfa")


def test_the_default_scale_is_each_layers_own():
    network = converted_network(DFA)
    for layer in feedback_layers(network).values():
        sigma = layer.weight.std(correction=0).item()
        n = layer.initial_feedback.numel()
        assert layer.initial_feedback.std().item() == pytest.approx(sigma, rel=4 / math.sqrt(2 * n))
