"""Checks of layers and networks under a rule: NumPy twins, and facts that every rule obeys."""

import copy

import torch
from torch import Tensor, nn

from fa_audit.rules import RULES, FeedbackConv2d, FeedbackLinear, convert, feedback_layers
from mutations.registry import check
from mutations.small import SENDERS, every_rule, perceptron, twin_feedback
from oracles import rule_twins as twins
from rules.variants import array, assert_same, backward, normal

# One layer


@check
def linear_layer() -> None:
    """A linear layer's output, ∂W, ∂b and Bᵀδ, and ∂B where B is trained, are the NumPy twin's."""
    for rule, options in every_rule():
        if rule.direct:
            continue
        layer = FeedbackLinear(5, 4, rule=rule.name, dtype=torch.float64, **options)
        x = normal(1, 3, 5).requires_grad_()
        y = layer(x)
        error = normal(2, 3, 4)
        y.backward(error)
        weight, bias = twins.linear_gradients(array(x), array(error))
        B = twin_feedback(layer, layer.random_part())
        assert_same(y, twins.linear(array(x), array(layer.weight), array(layer.bias)))
        assert_same(layer.weight.grad, weight)
        assert_same(layer.bias.grad, bias)
        assert_same(x.grad, twins.linear_send(array(error), B))
        if rule.name == "kolen_pollack":
            assert layer.trained_feedback is not None
            assert_same(layer.trained_feedback.grad, weight)


def assert_convolution_is_its_twin(rule: str = "fa_toeplitz", **slide: object) -> None:
    """Output, ∂W, ∂b and the error sent down, of 3 × 2 kernels on 6 × 5 maps."""
    layer = FeedbackConv2d(4, 4, (3, 2), rule=rule, input_size=(6, 5), **slide).double()
    x = normal(1, 2, 4, 6, 5).requires_grad_()
    y = layer(x)
    error = normal(2, *y.shape)
    y.backward(error)
    g = twins.geometry((3, 2), **slide)
    W, B = array(layer.weight), twin_feedback(layer, layer.random_part())
    weight, bias = twins.conv2d_gradients(array(x), array(error), W, g)
    assert_same(y, twins.conv2d(array(x), W, array(layer.bias), g))
    assert_same(layer.weight.grad, weight)
    assert_same(layer.bias.grad, bias)
    assert_same(x.grad, twins.conv_send(array(error), B, tuple(x.shape), g))


@check
def convolution_stride() -> None:
    """A convolution with strides, one of which leaves pixels over, is its NumPy twin."""
    assert_convolution_is_its_twin(stride=(3, 2))


@check
def convolution_padding() -> None:
    """A convolution with padding is its NumPy twin."""
    assert_convolution_is_its_twin(padding=(1, 2), stride=2)


@check
def convolution_dilation() -> None:
    """A convolution with dilation is its NumPy twin."""
    assert_convolution_is_its_twin(dilation=(2, 1))


@check
def convolution_groups() -> None:
    """A convolution in groups is its NumPy twin."""
    assert_convolution_is_its_twin(groups=2, stride=2)


@check
def dense_convolution() -> None:
    """Dense feedback runs over flattened maps in the order channel, row, column."""
    assert_convolution_is_its_twin("fa_random", stride=2)


@check
def unrolling() -> None:
    """FA (Toeplitz) is FA (Random) with the dense matrix of the same transposed convolution."""
    slide = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
    toeplitz, dense = (
        FeedbackConv2d(4, 4, 2, **slide, rule=rule, input_size=(4, 5)).double()
        for rule in ("fa_toeplitz", "fa_random")
    )
    matrix = twins.dense_matrix(array(toeplitz.feedback()), (4, 4, 5), twins.geometry(2, **slide))
    dense.initial_feedback = torch.from_numpy(matrix)
    x = normal(1, 2, 4, 4, 5)
    sent = []
    for layer in (toeplitz, dense):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.backward(normal(2, *y.shape))
        sent.append(leaf.grad)
    assert_same(sent[0], sent[1])


# A whole network


def gradients_of(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    return backward(network, x, torch.arange(len(x)) % 4)


@check
def sham_feedback() -> None:
    """With W in B0's place feedback alignment has the gradients of automatic differentiation."""
    network, x = perceptron(), normal(1, 6, 5)
    exact = gradients_of(network, x)
    convert(network, "fa_toeplitz")
    for layer in feedback_layers(network).values():
        layer.initial_feedback = layer.weight.detach().clone()
    for name, gradient in gradients_of(network, x).items():
        assert_same(gradient, exact[name], what=name)


@check
def top_layer() -> None:
    """The last layer's gradients are those of automatic differentiation under every rule."""
    start, x = perceptron(), normal(1, 6, 5)
    exact = gradients_of(start, x)
    for rule in RULES.values():
        network = copy.deepcopy(start)
        convert(network, rule.name, example_input=x if rule.direct else None)
        found = gradients_of(network, x)
        assert_same(found["fc3.weight"], exact["fc3.weight"])
        assert_same(found["fc3.bias"], exact["fc3.bias"])


@check
def balance_law() -> None:
    """⟨W, ∂W⟩ + ⟨b, ∂b⟩ of a layer is ⟨B, G⟩ of the next, G formed as if B were its weight."""
    network, x = perceptron(), normal(1, 6, 5)
    convert(network, "fa_toeplitz")
    seen: dict[str, tuple[Tensor, list[Tensor]]] = {}

    def watch(name: str, layer: nn.Module) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            errors: list[Tensor] = []
            seen[name] = inputs[0], errors
            output.register_hook(errors.append)

        layer.register_forward_hook(hook)

    for name in SENDERS:
        watch(name, network.get_submodule(name))
    gradients = gradients_of(network, x)
    parameters = dict(network.named_parameters())
    for below, above in (("fc1", "fc2"), ("fc2", "fc3")):
        left = sum(
            (parameters[f"{below}.{kind}"] * gradients[f"{below}.{kind}"]).sum()
            for kind in ("weight", "bias")
        )
        above_input, (error,) = seen[above]
        G = error.mT @ above_input
        right = (feedback_layers(network)[above].feedback() * G).sum()
        assert_same(left, right)


def assert_network_is_its_twin(rule: str) -> None:
    """All gradients of two convolutions and two linear layers with ReLU and pooling."""
    network = nn.Sequential()
    for name, layer in (
        ("conv1", nn.Conv2d(2, 2, 3)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(2)),
        ("conv2", nn.Conv2d(2, 4, 2, padding=(1, 0))),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(8, 6)),
        ("relu3", nn.ReLU()),
        ("fc2", nn.Linear(6, 4)),
    ):
        network.add_module(name, layer.double())
    x, labels = normal(1, 2, 2, 8, 8), torch.tensor([0, 3])
    convert(network, rule, example_input=x)
    found = backward(network, x, labels)
    feedback = {
        name: twin_feedback(layer, layer.random_part())
        for name, layer in feedback_layers(network).items()
    }
    direct = rule == "dfa"
    assert not direct or all(len(B) == 4 for B in feedback.values())  # from the outputs of all
    trace = twins.train_step(
        {name: array(parameter) for name, parameter in network.named_parameters()},
        feedback,
        {"conv1": twins.geometry(3), "conv2": twins.geometry(2, padding=(1, 0))},
        array(x),
        labels.numpy(),
        direct=direct,
    )
    assert set(found) == set(trace.gradients)
    for name, gradient in found.items():
        assert_same(gradient, trace.gradients[name], what=name)


@check
def network_of_feedback_alignment() -> None:
    """Every gradient of a convolutional network under FA is that of the NumPy twin."""
    assert_network_is_its_twin("fa_toeplitz")


@check
def network_of_direct_feedback() -> None:
    """Every gradient of a convolutional network under DFA is that of the NumPy twin."""
    assert_network_is_its_twin("dfa")


# Conversion and training


@check
def first_layer() -> None:
    """The first layer sends nothing down, so it takes no rule; all others do."""
    network, x = perceptron(), normal(1, 6, 5)
    conversion = convert(network, "fa_toeplitz", example_input=x)
    assert conversion.converted == tuple(feedback_layers(network)) == SENDERS
    assert list(conversion.kept) == ["fc1"]


def trained(network: nn.Module, weight_decay: float = 0.1) -> None:
    """Three steps of gradient descent."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5, weight_decay=weight_decay)
    for seed in range(3):
        gradients_of(network, normal(seed, 6, 5))
        optimizer.step()


@check
def fixed_feedback() -> None:
    """FA's B is the same after training, and no parameter that an optimizer could change."""
    network = perceptron()
    parameters = [name for name, _ in network.named_parameters()]
    convert(network, "fa_toeplitz")
    assert [name for name, _ in network.named_parameters()] == parameters
    before = {name: layer.feedback().clone() for name, layer in feedback_layers(network).items()}
    trained(network)
    for name, layer in feedback_layers(network).items():
        assert torch.equal(layer.feedback(), before[name])


@check
def kolen_pollack_law() -> None:
    """Under Kolen–Pollack W − B shrinks by the decay alone, by (1 − lr · λ) at each step."""
    network = perceptron()
    convert(network, "kolen_pollack")
    layers = feedback_layers(network)
    before = {name: (layer.weight - layer.feedback()).detach() for name, layer in layers.items()}
    start = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    trained(network, weight_decay=0.1)
    for name, layer in layers.items():
        assert not torch.allclose(layer.weight, start[name] * (1 - 0.05) ** 3)
        assert_same(layer.weight - layer.feedback(), before[name] * (1 - 0.05) ** 3)


@check
def backpropagation_is_torch() -> None:
    """Three steps with the layers of rule `bp` end where the layers of torch.nn end."""
    plain, ours = perceptron(), perceptron()
    ours.load_state_dict(plain.state_dict())
    convert(ours, "bp")
    trained(plain)
    trained(ours)
    for (name, one), other in zip(ours.named_parameters(), plain.parameters(), strict=True):
        assert_same(one, other, what=name)
