"""What all networks have in common: sizes, initial weights, normalisation, and every rule."""

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure import measured_layers, network_cost
from fa_audit.networks import NETWORKS, architecture1, build_network, plain_cnn, resnet18
from fa_audit.rules import RULES, FeedbackLayer, convert, feedback_layers
from fa_audit.streams import stream

CLASSES = 4
NARROW: dict[str, Callable[..., nn.Module]] = {
    "architecture1": partial(architecture1, width=2),
    "cnn4": partial(plain_cnn, 4, width=2),
    "cnn8": partial(plain_cnn, 8, width=2),
    "cnn12": partial(plain_cnn, 12, width=2),
    "resnet18": partial(resnet18, width=2),
}
PUBLISHED = ("bp", "fa_random", "fa_toeplitz", "usf_init", "usf_sn")
every_network = pytest.mark.parametrize("name", NETWORKS)
with_and_without = pytest.mark.parametrize("normalisation", [None, "batch"])


def built(name: str, normalisation: str | None = None, seed: int = 0) -> nn.Module:
    """The real network."""
    return build_network(name, 10, stream(seed, "initialisation"), normalisation)


def narrow(name: str, normalisation: str | None) -> nn.Module:
    """The same with two channels, in float64, its biases and normalisation away from 0 and 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = NARROW[name](CLASSES, normalisation=normalisation).double()
        for parameter_name, parameter in network.named_parameters():
            if parameter.ndim == 1:
                nn.init.normal_(parameter, 1.0 if "norm" in parameter_name else 0.0, 0.3)
    return network


def batch(name: str) -> tuple[Tensor, Tensor]:
    side = 24 if name == "architecture1" else 8
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, 3, side, side, generator=generator, dtype=torch.float64)
    return images, torch.arange(5) % CLASSES


def gradients(network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Of all parameters, by name."""
    named = dict(network.named_parameters())
    found = torch.autograd.grad(F.cross_entropy(network(images), labels), list(named.values()))
    return dict(zip(named, found, strict=True))


def assert_same_gradients(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    __tracebackhide__ = True
    assert ours.keys() == theirs.keys()
    # A shift that the next batch normalisation takes away has a gradient of nothing but rounding.
    size = max(gradient.norm() for gradient in theirs.values())
    for name, gradient in ours.items():
        gap, norm = (gradient - theirs[name]).norm(), theirs[name].norm()
        assert gap < 1e-10 * norm + 1e-13 * size, f"{name} differs by {gap / norm}"
        assert norm > 0 or gradient.ndim == 1, f"{name} has no gradient to compare"


class SentThrough(nn.Module):
    """What a layer computes, with its error sent down through B by automatic differentiation.

    y = layer(x held constant) + B x − (B x held constant): the value is the layer's, ∂W and ∂b are
    its own, and the derivative by x is B's.
    """

    def __init__(self, layer: FeedbackLayer) -> None:
        super().__init__()
        self._parameters = layer._parameters  # under the names that they have in the layer
        self.feedback, self.compute = layer.feedback(), layer.compute
        self.slide = {key: getattr(layer, key, None) for key in ("stride", "padding")}

    def forward(self, x: Tensor) -> Tensor:
        own = self.compute(x.detach())
        if self.feedback.ndim == 2:
            through = (x.flatten(1) @ self.feedback.T).view_as(own)
        else:
            through = F.conv2d(x, self.feedback, **self.slide)
        return own + through - through.detach()


def sent_through(network: nn.Module) -> nn.Module:
    """The converted network with every layer that has a rule replaced by its twin."""
    twin = copy.deepcopy(network)
    for name, layer in feedback_layers(twin).items():
        parent, _, child = name.rpartition(".")
        setattr(twin.get_submodule(parent), child, SentThrough(layer))
    return twin


@with_and_without
@every_network
def test_backpropagation_through_the_converted_network_is_autograd(
    name: str, normalisation: str | None
) -> None:
    network, (images, labels) = narrow(name, normalisation), batch(name)
    plain = gradients(copy.deepcopy(network), images, labels)
    converted = convert(network, "bp", example_input=images).converted
    assert len(converted) == len(measured_layers(network)) - 1
    assert_same_gradients(gradients(network, images, labels), plain)


@with_and_without
@every_network
@pytest.mark.parametrize("rule", PUBLISHED)
def test_every_rule_sends_its_errors_through_its_own_feedback(
    rule: str, name: str, normalisation: str | None
) -> None:
    network, (images, labels) = narrow(name, normalisation), batch(name)
    convert(network, rule, example_input=images)
    expected = gradients(sent_through(network), images, labels)
    assert_same_gradients(gradients(network, images, labels), expected)


@with_and_without
@every_network
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_there_is_gives_every_parameter_a_gradient(
    rule: str, name: str, normalisation: str | None
) -> None:
    network, (images, labels) = narrow(name, normalisation), batch(name)
    convert(network, rule, example_input=images)
    assert all(g.isfinite().all() for g in gradients(network, images, labels).values())


@every_network
def test_layers_are_registered_in_the_order_in_which_they_run(name: str) -> None:
    network, (images, _) = narrow(name, "batch"), batch(name)
    order: list[str] = []
    for layer in measured_layers(network):
        network.get_submodule(layer).register_forward_hook(lambda *_, n=layer: order.append(n))
    network(images)
    assert tuple(order) == measured_layers(network)


@every_network
def test_normalisation_leaves_initial_weights_as_they_are_and_takes_away_biases(name: str) -> None:
    without, with_it = built(name), built(name, "batch")
    parameters = dict(without.named_parameters())
    layers = measured_layers(without)
    assert measured_layers(with_it) == layers
    for layer in layers:
        for key in ("weight", "bias"):
            found = getattr(with_it.get_submodule(layer), key)
            if key == "bias" and layer != layers[-1]:
                assert found is None
            else:
                assert torch.equal(found, parameters[f"{layer}.{key}"])
    norms = [m for m in with_it.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(norms) == len(layers) - 1
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in without.modules())


@every_network
def test_what_is_normalised_is_each_layers_output(name: str) -> None:
    network, (images, _) = narrow(name, "batch"), batch(name)
    outputs: list[tuple[Tensor, nn.Module]] = []
    for layer in measured_layers(network)[:-1]:
        module = network.get_submodule(layer)
        module.register_forward_hook(lambda m, _, output: outputs.append((output, m)))
    normalised: list[Tensor] = []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.register_forward_pre_hook(lambda _, inputs: normalised.append(inputs[0]))
    network(images)
    assert len(outputs) == len(normalised)
    for (output, layer), given in zip(outputs, normalised, strict=True):
        assert output is given
        channels = output.shape[1]
        assert channels == layer.weight.shape[0]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "architecture1"])
def test_he_weights_have_the_standard_deviation_that_keeps_signals_in_size(name: str) -> None:
    network = built(name)
    layers = {key: network.get_submodule(key) for key in measured_layers(network)}
    for key, layer in layers.items():
        inputs = layer.weight[0].numel()
        expected = ((2 if isinstance(layer, nn.Conv2d) else 1) / inputs) ** 0.5
        n = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(expected, rel=5 / (2 * n) ** 0.5), key
        assert layer.bias is not None
        assert not layer.bias.any()


@pytest.mark.parametrize(
    ("name", "side", "parameters", "forward"),
    [
        ("cnn4", 24, 94_538, 5_807_360),
        ("cnn8", 24, 435_882, 27_041_024),
        ("cnn12", 24, 666_570, 48_274_688),
        # He et al.'s layers: 3·9·64 + 4·64²·9 + … + 512·10, and a bias each.
        ("resnet18", 32, 11_169_162, 555_422_720),
    ],
)
def test_sizes(name: str, side: int, parameters: int, forward: int) -> None:
    found = network_cost(built(name), torch.zeros(1, 3, side, side)).total
    assert (found.parameters, found.forward) == (parameters, forward)


def test_a_step_of_cnn4_takes_about_the_arithmetic_of_architecture1() -> None:
    costs = {}
    for name in ("cnn4", "architecture1"):
        total = network_cost(built(name), torch.zeros(1, 3, 24, 24)).total
        costs[name] = 2e-6 * (total.forward + total.sent + total.weight_gradient)
    assert costs["architecture1"] == pytest.approx(31.6, abs=0.05)  # MFLOP per image
    assert costs["cnn4"] == pytest.approx(33.8, abs=0.05)


@pytest.mark.parametrize(
    ("depth", "stages"), [(4, (1, 1, 1)), (8, (2, 2, 3)), (9, (2, 3, 3)), (12, (3, 4, 4))]
)
def test_plain_networks_share_their_convolutions_among_three_stages(
    depth: int, stages: tuple[int, ...]
) -> None:
    with torch.random.fork_rng(devices=[]):
        network = plain_cnn(depth, width=2)
    assert len(measured_layers(network)) == depth
    sizes = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert tuple(sizes.count(width) for width in (2, 4, 8)) == stages


def test_resnet18_halves_the_maps_three_times_and_has_three_shortcuts_with_weights() -> None:
    network, sizes = narrow("resnet18", None), []
    x = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    for key, child in network.named_children():
        x = child(x)
        if key.startswith("stage"):
            sizes.append(tuple(x.shape[1:]))
    assert sizes == [(2, 32, 32), (4, 16, 16), (8, 8, 8), (16, 4, 4)]
    shortcuts = [name for name in measured_layers(network) if "shortcut" in name]
    assert shortcuts == [f"stage{stage}.block1.shortcut.conv" for stage in (2, 3, 4)]


def test_a_block_whose_convolutions_vanish_lets_its_input_through() -> None:
    network = narrow("resnet18", None)
    block = network.get_submodule("stage1.block1")
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
    x = torch.arange(32.0, dtype=torch.float64).view(1, 2, 4, 4)
    assert torch.equal(block(x), x)


@every_network
def test_an_unknown_normalisation_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(AuditError, match=r"^normalisation is 'layer'; choose one of: batch, none$"):
        built(name, "layer")


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_plain_network_with_fewer_layers_than_stages_need_is_refused(depth: int) -> None:
    with pytest.raises(AuditError, match=rf"^a plain network of depth {depth} .* at least 4"):
        plain_cnn(depth)
