"""`convert` puts a rule into any network and says what it did."""

import copy
from collections import OrderedDict

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils import prune

from fa_audit.errors import AuditError
from fa_audit.rules import (
    RULES,
    Conversion,
    FeedbackConv2d,
    FeedbackLinear,
    convert,
    feedback_layers,
)
from rules.variants import (
    SENDERS,
    Runs,
    assert_same,
    backward,
    every_rule,
    every_variant,
    feedback_names,
    images,
    mlp,
    small_batch,
    small_network,
)

FIRST = "the first layer sends no error down"


@every_variant
def test_every_layer_after_the_first_takes_the_rule(variant):
    network = small_network()
    result = convert(network, variant.rule, example_input=small_batch()[0], **variant.options)
    assert result == Conversion(variant.rule, ("conv2", "fc1", "fc2"), {"conv1": FIRST})
    assert list(feedback_layers(network)) == ["conv2", "fc1", "fc2"]
    for name, layer in feedback_layers(network).items():
        assert (layer.rule, layer.options, layer.name) == (variant.rule, variant.options, name)
    assert type(network.conv1) is nn.Conv2d
    assert (type(network.conv2), type(network.fc1)) == (FeedbackConv2d, FeedbackLinear)


def test_a_conversion_reads_as_a_list_of_what_was_done():
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    assert str(convert(network, "usf_sn")).splitlines() == [
        "uSF SN (B = ‖W‖ · sign(W) / ‖sign(W)‖) in 1 layers:",
        "  2",
        f"  0: kept, {FIRST}",
        "  1: kept, BatchNorm1d propagates exactly",
    ]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_conversion_keeps_the_mode_the_device_and_the_type(training):
    network = mlp(3, 4, 2).double().train(training)
    convert(network, "fa_toeplitz")
    assert network.fc2.training is training
    assert network.fc2.initial_feedback.dtype == torch.float64


def test_first_is_the_layer_that_runs_first_if_there_is_an_example():
    def network() -> Runs:
        return Runs(
            lambda self, x: self.head(self.body(self.stem(x))),
            head=nn.Linear(4, 2),
            body=nn.Linear(4, 4),
            stem=nn.Linear(3, 4),
        )

    by_registration = convert(network(), "usf_sn")
    by_execution = convert(network(), "usf_sn", example_input=images(2, 3))
    assert (by_registration.converted, dict(by_registration.kept)) == (
        ("body", "stem"),
        {"head": FIRST},
    )
    assert (by_execution.converted, dict(by_execution.kept)) == (("body", "head"), {"stem": FIRST})


def test_each_branch_has_a_first_layer():
    network = Runs(
        lambda self, x: self.head(self.left(x) + self.right(-x)),
        left=nn.Linear(3, 4),
        right=nn.Linear(3, 4),
        head=nn.Linear(4, 2),
    )
    result = convert(network, "usf_sn", example_input=images(2, 3))
    assert result.converted == ("head",)
    assert dict(result.kept) == {"left": FIRST, "right": FIRST}


@pytest.mark.parametrize(
    "below",
    [nn.Conv1d(3, 3, 1), nn.utils.parametrizations.weight_norm(nn.Linear(5, 5))],
    ids=["Conv1d", "weight norm"],
)
def test_above_a_trainable_layer_of_another_kind_no_layer_is_the_first(below):
    network = nn.Sequential(below, nn.Linear(5, 4), nn.Linear(4, 2))
    result = convert(network, "usf_sn", example_input=images(2, 3, 5))
    assert result.converted == ("1", "2")
    assert FIRST not in result.kept.values()


def test_a_first_layer_that_runs_again_sends_errors_and_takes_the_rule():
    network = Runs(
        lambda self, x: self.head(self.loop(torch.relu(self.loop(x)))),
        loop=nn.Linear(3, 3),
        head=nn.Linear(3, 2),
    )
    assert convert(network, "usf_sn", example_input=images(2, 3)).converted == ("loop", "head")


def test_frozen_layers_are_converted_as_if_they_were_trained():
    network = mlp(3, 4, 4, 2).requires_grad_(False)
    result = convert(network, "usf_sn", example_input=images(2, 3))
    assert result.converted == ("fc2", "fc3")
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_an_example_that_requires_a_gradient_makes_no_layer_below_the_first():
    result = convert(mlp(3, 4, 2), "usf_sn", example_input=images(2, 3).requires_grad_())
    assert result.converted == ("fc2",)


def test_layers_that_do_not_run_are_kept_and_named():
    network = Runs(
        lambda self, x: self.b(self.a(x)), a=nn.Linear(3, 3), b=nn.Linear(3, 3), c=nn.Linear(3, 3)
    )
    result = convert(network, "usf_sn", example_input=images(2, 3))
    assert dict(result.kept) == {"a": FIRST, "c": "it did not run on example_input"}


def test_layers_called_by_keyword_are_seen():
    network = Runs(
        lambda self, x: self.b(input=self.a(input=x)), a=nn.Conv2d(3, 4, 3), b=nn.Conv2d(4, 2, 3)
    )
    result = convert(network, "fa_random", example_input=images(2, 3, 8, 9))
    assert result.converted == ("b",)
    assert network.b.input_size == (6, 7)


def test_lazy_layers_are_converted_with_an_example():
    network = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(5), nn.LazyLinear(2))
    result = convert(network, "fa_random", example_input=images(2, 3, 6, 6))
    assert result.converted == ("2", "3")


def test_nested_modules_are_converted_under_their_full_names():
    network = nn.Sequential(
        OrderedDict(
            stem=nn.Linear(3, 4),
            tail=nn.Sequential(nn.Sequential(nn.ReLU(), nn.Linear(4, 4)), nn.Linear(4, 2)),
        )
    )
    assert convert(network, "usf_sn").converted == ("tail.0.1", "tail.1")
    assert list(feedback_layers(network)) == ["tail.0.1", "tail.1"]


class Renamed(nn.Linear):
    """A subclass: what it does in its forward pass is its own affair."""


def test_subclasses_are_kept_and_named():
    network = nn.Sequential(nn.Linear(3, 3), Renamed(3, 3), nn.Linear(3, 2))
    result = convert(network, "usf_sn")
    assert result.converted == ("2",)
    assert result.kept["1"] == "Renamed propagates exactly"
    assert type(network[1]) is Renamed


def test_attention_is_kept_and_the_layers_around_it_are_converted():
    block = nn.TransformerEncoderLayer(8, 2, dim_feedforward=12, batch_first=True)
    network = nn.Sequential(nn.Linear(5, 8), block, nn.Linear(8, 2))
    x = images(2, 3, 5)
    network.eval()
    before = network(x).detach()
    result = convert(network, "fa_toeplitz", example_input=x)
    assert result.converted == ("1.linear1", "1.linear2", "2")
    assert result.kept["1.self_attn"] == "MultiheadAttention propagates exactly"
    assert "NonDynamicallyQuantizableLinear" in result.kept["1.self_attn.out_proj"]
    assert torch.equal(network(x), before)
    with torch.no_grad():
        assert_same(network(x), before, 1e-6)  # PyTorch's fused path


def test_a_module_in_several_places_is_converted_in_all_of_them():
    tied = nn.Linear(3, 3)
    network = nn.Sequential(nn.Linear(3, 3), tied, nn.Sequential(nn.ReLU(), tied), tied)
    for name in ("1", "2.1", "3"):
        assert network.get_submodule(name) is tied
    assert convert(network, "fa_toeplitz").converted == ("1",)
    assert isinstance(network[1], FeedbackLinear)
    assert network[2][1] is network[3] is network[1]


def test_parameters_that_two_modules_share_stay_shared():
    network = mlp(3, 4, 4, 4)
    network.fc3.weight = network.fc2.weight
    weight = network.fc2.weight
    convert(network, "fa_toeplitz")
    assert network.fc3.weight is network.fc2.weight is weight
    assert not torch.equal(network.fc2.initial_feedback, network.fc3.initial_feedback)


@every_rule
def test_an_optimizer_built_before_still_trains_the_network(rule):
    network = small_network()
    parameters = list(network.parameters())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    convert(network, rule, example_input=small_batch()[0])
    trained = feedback_names(RULES[rule], SENDERS) if RULES[rule].trains_feedback else set()
    shared = {name: p for name, p in network.named_parameters() if name not in trained}
    assert all(map(Tensor.is_set_to, shared.values(), parameters))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    backward(network, *small_batch())
    optimizer.step()
    assert len(shared) == 8
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]) == (name in trained), name


def test_where_feedback_is_trained_the_conversion_says_when_to_build_the_optimizer():
    told = str(convert(mlp(3, 4, 2), "kolen_pollack")).splitlines()
    assert told[-1] == "  the feedback is trained: build the optimizer after this, not before"


def test_a_pruned_layer_stays_pruned():
    network = mlp(3, 4, 4)
    prune.random_unstructured(network.fc2, "weight", 0.5)
    before = network(images(2, 3)).detach()
    convert(network, "usf_sn", example_input=images(2, 3))
    assert_same(network(images(2, 3)), before, 1e-6)
    network(images(2, 3)).sum().backward()
    assert isinstance(network.fc2, FeedbackLinear)
    assert (network.fc2.weight == 0).sum() == 8
    assert torch.equal(network.fc2.feedback() == 0, network.fc2.weight == 0)
    assert network.fc2.weight_orig.grad is not None


# A network with everything: torchvision's ResNet-18


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torchvision.models.resnet18(weights=None, num_classes=10)


@every_rule
def test_resnet_18(resnet, rule):
    plain, network = resnet, copy.deepcopy(resnet)
    x = images(2, 3, 16, 16)
    result = convert(network, rule, example_input=x)
    matching = [name for name, m in plain.named_modules() if type(m) in (nn.Conv2d, nn.Linear)]
    normalisation = [name for name, m in plain.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert (len(matching), len(normalisation)) == (21, 20)
    assert set(result.converted) == set(matching) - {"conv1"}
    assert result.kept == {"conv1": FIRST} | dict.fromkeys(
        normalisation, "BatchNorm2d propagates exactly"
    )
    for name, theirs in plain.named_parameters():
        assert torch.equal(network.get_parameter(name), theirs), name
    assert all(parameter.grad is None for parameter in network.parameters())
    with torch.no_grad():
        assert torch.equal(network.eval()(x), plain.eval()(x))
    gradients = backward(network.train(), x, torch.tensor([1, 2]))
    trained = feedback_names(RULES[rule], matching[1:]) if RULES[rule].trains_feedback else set()
    assert set(gradients) == {name for name, _ in plain.named_parameters()} | trained
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    exact = backward(copy.deepcopy(plain).train(), x, torch.tensor([1, 2]))
    for name in ("conv1.weight", "layer1.0.conv1.weight", "layer4.1.bn1.weight"):
        same = torch.allclose(gradients[name], exact[name], rtol=1e-3, atol=1e-5)
        assert same == (rule == "bp"), name
    assert torch.allclose(gradients["fc.weight"], exact["fc.weight"], rtol=1e-4, atol=1e-6)


# What conversion leaves alone


@every_rule
def test_conversion_leaves_buffers_gradients_and_random_state_alone(rule):
    torch.manual_seed(0)
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(2, 3, 3),
            norm1=nn.BatchNorm2d(3),
            drop1=nn.Dropout(),
            conv2=nn.Conv2d(3, 3, 3),
            norm2=nn.BatchNorm2d(3, momentum=None),
            conv3=nn.Conv2d(3, 3, 3),
        )
    )
    x = images(4, 2, 9, 9)
    network(x).sum().backward()
    network.conv1.weight.grad = None
    gradients = {name: p.grad for name, p in network.named_parameters()}
    values = {name: None if g is None else g.clone() for name, g in gradients.items()}
    buffers = dict(network.named_buffers())
    state = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()

    convert(network, rule, example_input=x)

    assert torch.equal(torch.get_rng_state(), random)
    for name, parameter in network.named_parameters():
        assert parameter.grad is gradients.get(name)
        assert parameter.grad is None or torch.equal(parameter.grad, values[name])
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in state.items())
    assert all(dict(network.named_buffers())[name] is buffer for name, buffer in buffers.items())
    network(x)
    assert not torch.equal(network.norm2.running_mean, state["norm2.running_mean"])


def test_conversion_puts_back_buffers_that_the_forward_pass_replaces_or_resizes():
    def run(self: Runs, x: Tensor) -> Tensor:
        self.count = self.count + 1
        self.cache = torch.cat([self.cache, x[:1]])
        if not hasattr(self, "made"):
            self.register_buffer("made", torch.zeros(1))
        return self.b(self.a(x))

    network = Runs(run, a=nn.Linear(3, 3), b=nn.Linear(3, 3))
    network.register_buffer("count", torch.zeros(1))
    network.register_buffer("cache", torch.zeros(2, 3))
    convert(network, "usf_sn", example_input=images(2, 3))
    assert network.count == 0
    assert torch.equal(network.cache, torch.zeros(2, 3))


def test_conversion_runs_no_hook_of_its_own_afterwards():
    network = mlp(3, 4, 4, 2)
    convert(network, "usf_sn", example_input=images(2, 3))
    for module in network.modules():
        assert not module._forward_pre_hooks
        assert not module._forward_hooks


class Listed(nn.Module):
    """Registers its layers, and calls them through a list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 3)
        self.stack = [self.a, self.b, self.c]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.stack:
            x = layer(x).tanh()
        return x


def test_layers_called_through_another_reference_are_refused_and_left_alone():
    network = Listed()
    with pytest.raises(AuditError, match=r"does not call b, c by the name it is registered under"):
        convert(network, "fa_toeplitz", example_input=torch.ones(2, 6))
    assert type(network.b) is type(network.c) is nn.Linear
    assert not network.b._forward_pre_hooks


def test_hooks_given_later_to_the_new_layer_are_not_the_old_one_s():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    old = network[1]
    seen: list[nn.Module] = []
    old.register_forward_hook(lambda layer, *_: seen.append(layer))
    convert(network, "fa_toeplitz")
    network[1].register_forward_pre_hook(lambda layer, _: seen.append("new"))
    old(torch.ones(1, 3))
    assert seen == [old]
    network(torch.ones(1, 3))
    assert seen == [old, "new", network[1]]


@every_rule
def test_conversion_runs_no_backward_pass_into_what_made_the_example(rule):
    below = nn.Linear(4, 3)
    example = below(images(2, 4))
    convert(mlp(3, 4, 2)[:-1], rule, example_input=example)
    assert below.weight.grad is None
    example.sum().backward()  # its graph is still there
    leaf = images(2, 3).requires_grad_()
    convert(mlp(3, 4, 2)[:-1], rule, example_input=leaf)
    assert leaf.grad is None


@pytest.mark.parametrize("fails", [False, True], ids=["converted", "refused"])
def test_a_hook_from_before_the_conversion_is_removed_by_its_handle(fails):
    network = Listed() if fails else Runs(lambda self, x: self.b(self.a(x)), **layers_a_b())
    seen = []
    handles = [
        network.b.register_forward_hook(lambda *_: seen.append("after")),
        network.b.register_forward_pre_hook(lambda *_: seen.append("before")),
        network.b.register_full_backward_hook(lambda *_: seen.append("back")),
    ]
    try:
        convert(network, "fa_toeplitz", example_input=torch.ones(2, 6))
    except AuditError:
        assert fails
    seen.clear()
    network(torch.ones(2, 6)).sum().backward()
    assert sorted(seen) == ["after", "back", "before"]
    for handle in handles:
        handle.remove()
    network(torch.ones(2, 6)).sum().backward()
    assert len(seen) == 3


def layers_a_b() -> dict[str, nn.Module]:
    return {"a": nn.Linear(6, 5), "b": nn.Linear(5, 4)}


@every_rule
def test_lazy_normalisation_is_as_new_after_the_conversion(rule):
    network = nn.Sequential(
        nn.LazyConv2d(4, 3),
        nn.LazyBatchNorm2d(),
        nn.Flatten(),
        nn.LazyLinear(5),
        nn.LazyBatchNorm1d(),
        nn.LazyLinear(2),
    )
    result = convert(network, rule, example_input=images(3, 3, 6, 6))
    assert result.converted == ("3", "5")
    for norm in (network[1], network[4]):
        assert (norm.running_mean == 0).all()
        assert (norm.running_var == 1).all()
        assert norm.num_batches_tracked == 0


def test_lazy_normalisation_that_does_not_run_stays_lazy():
    network = Runs(lambda self, x: self.b(self.a(x)), norm=nn.LazyBatchNorm1d(), **layers_a_b())
    convert(network, "usf_sn", example_input=torch.ones(2, 6))
    assert type(network.norm) is nn.LazyBatchNorm1d
