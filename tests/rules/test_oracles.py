"""The oracles of the learning rules: exact facts that hold whatever the implementation."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fa_audit.networks import architecture1
from fa_audit.rules import (
    RULES,
    FeedbackConv2d,
    FeedbackLayer,
    FeedbackLinear,
    convert,
    feedback_layers,
)
from fa_audit.streams import stream
from oracles import rule_twins as twins
from rules.variants import (
    GEOMETRIES,
    SENDERS,
    VARIANTS,
    Variant,
    array,
    assert_same,
    backward,
    converted_network,
    every_variant,
    feedback_names,
    linear,
    normal,
    small_batch,
    small_network,
    variant_of,
)

LAYERS = ("conv1", "conv2", "fc1", "fc2")


def as_dense(layer: nn.Conv2d, kernel: Tensor, input_size: tuple[int, int]) -> Tensor:
    """The dense matrix of the layer's own sliding, with this kernel."""
    g = twins.geometry(layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups)
    return torch.from_numpy(twins.dense_matrix(array(kernel), (layer.in_channels, *input_size), g))


# Oracle 1


def give_sham_feedback(layer: FeedbackLayer) -> None:
    """Set B to W, whatever the rule."""
    if isinstance(layer, FeedbackConv2d) and layer.rule.dense:
        layer.initial_feedback = as_dense(layer, layer.weight, layer.input_size)
    else:
        layer.rule = replace(layer.rule, feedback=lambda weight, initial, **options: weight)


NOT_DIRECT = [v for v in VARIANTS if not v.rule.direct]


# A direct rule sends another error, so no B in W's place makes it backpropagation; test_direct.py
# has the B that does.
@pytest.mark.parametrize("variant", NOT_DIRECT, ids=str)
def test_sham_feedback_gives_autograds_gradients(variant):
    network = converted_network(variant)
    plain = small_network()
    plain.load_state_dict(network.state_dict(), strict=False)
    images, labels = small_batch()
    exact = backward(plain, images, labels)
    if variant.rule.name != "bp":
        assert not torch.allclose(
            backward(network, images, labels)["conv1.weight"], exact["conv1.weight"]
        )
    for layer in feedback_layers(network).values():
        give_sham_feedback(layer)
    for name, gradient in backward(network, images, labels).items():
        assert_same(gradient, exact[name], what=name)


@pytest.mark.parametrize("variant", [v for v in NOT_DIRECT if v.rule.stores_feedback], ids=str)
def test_initial_feedback_equal_to_the_weight_is_sham_feedback(variant):
    """Through the rule's own formula: B0 = W, or |W| where the sign of W is put to it."""
    network, plain = converted_network(variant), small_network()
    plain.load_state_dict(network.state_dict(), strict=False)
    for layer in feedback_layers(network).values():
        W = layer.weight.detach()
        if isinstance(layer, FeedbackConv2d) and variant.rule.dense:
            W = as_dense(layer, W, layer.input_size)
        with torch.no_grad():
            layer.random_part().copy_(W.abs() if variant.rule.weight_transport == "sign" else W)
    images, labels = small_batch()
    exact = backward(plain, images, labels)
    for name, gradient in backward(network, images, labels).items():
        assert_same(gradient, exact[name.replace("trained_feedback", "weight")], what=name)


# Oracle 2


def test_top_layers_gradients_do_not_depend_on_the_rule():
    images, labels = small_batch()
    start = small_network().state_dict()
    exact: dict[str, Tensor] = {}
    for variant in VARIANTS:  # bp is the first
        network = converted_network(variant)
        network.load_state_dict(start, strict=False)
        gradients = backward(network, images, labels)
        exact = exact or gradients
        assert torch.equal(gradients["fc2.weight"], exact["fc2.weight"])
        assert torch.equal(gradients["fc2.bias"], exact["fc2.bias"])
        for name in ("fc1.weight", "conv2.weight", "conv1.bias"):
            same = torch.allclose(gradients[name], exact[name], rtol=1e-6)
            assert same == (variant.rule.name == "bp"), (str(variant), name)


# Oracle 3


@pytest.mark.parametrize(
    "slide",
    [
        {},
        {"stride": 2},
        {"stride": (3, 1), "padding": (2, 1)},
        {"padding": "same", "dilation": (1, 2)},
        {"groups": 2, "bias": False},
        {"stride": 2, "padding": (1, 2), "dilation": (2, 1), "groups": 4},
    ],
    ids=str,
)
def test_toeplitz_feedback_unrolled_is_dense_feedback(slide):
    size = (7, 6)
    toeplitz, dense = (
        FeedbackConv2d(4, 8, 3, **slide, dtype=torch.float64, rule=rule, input_size=size)
        for rule in ("fa_toeplitz", "fa_random")
    )
    dense.load_state_dict(
        toeplitz.state_dict()
        | {"initial_feedback": as_dense(toeplitz, toeplitz.initial_feedback, size)}
    )
    x = normal(1, 2, 4, *size)
    results = []
    for layer in (toeplitz, dense):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.backward(normal(7, *y.shape))
        results.append((y, leaf.grad, layer.weight.grad))
    for one, other in zip(*results, strict=True):
        assert_same(one, other)


# Oracle 4


def record_delivered(network: nn.Sequential) -> dict[str, tuple[Tensor, list[Tensor]]]:
    """The input of each layer and, after a backward pass, the error delivered to it."""
    recorded: dict[str, tuple[Tensor, list[Tensor]]] = {}

    def watch(name: str, layer: nn.Module) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            errors: list[Tensor] = []
            recorded[name] = inputs[0], errors
            output.register_hook(errors.append)

        layer.register_forward_hook(hook)

    for name in LAYERS:
        watch(name, network.get_submodule(name))
    return recorded


def gradient_as_if_weight(layer: nn.Module, name: str, x: Tensor, error: Tensor) -> twins.Array:
    """G: the gradient that B would have if it were the weight."""
    if x.ndim == 2:
        return twins.linear_gradients(array(x), array(error))[0]
    if isinstance(layer, FeedbackLayer) and layer.rule.dense:
        flat_error = array(error) if error.ndim == 2 else twins.flatten(array(error))
        return twins.linear_gradients(twins.flatten(array(x)), flat_error)[0]
    return twins.conv2d_gradients(array(x), array(error), array(layer.weight), GEOMETRIES[name])[0]


@every_variant
@pytest.mark.parametrize("seed", range(3))
def test_balance_law(variant, seed):
    """⟨W_l, ∂W_l⟩ + ⟨b_l, ∂b_l⟩ = ⟨B_{l+1}, G_{l+1}⟩ for every pair of neighbouring layers."""
    torch.manual_seed(seed)
    network = converted_network(variant)
    delivered = record_delivered(network)
    gradients = backward(network, *small_batch(seed))
    for below, above in pairwise(LAYERS):
        layer, sender = network.get_submodule(below), network.get_submodule(above)
        x, (error,) = delivered[above]
        if variant.rule.direct:
            _, (error,) = delivered["fc2"]
        G = gradient_as_if_weight(sender, above, x, error)
        terms = [
            (array(layer.weight) * array(gradients[f"{below}.weight"])).ravel(),
            (array(layer.bias) * array(gradients[f"{below}.bias"])).ravel(),
        ]
        left, right = (
            math.fsum(np.concatenate(terms)),
            math.fsum((array(sender.feedback()) * G).ravel()),
        )
        size = math.fsum(np.abs(np.concatenate(terms)))
        assert size > 0
        assert left == pytest.approx(right, rel=1e-10, abs=1e-13 * size), (below, above)


# Oracle 5


USF_SN = [v for v in VARIANTS if v.rule.name == "usf_sn"]
USF_INIT = [v for v in VARIANTS if v.rule.name == "usf_init"]
SIGNED = [v for v in VARIANTS if v.rule.weight_transport in ("sign", "sign and norm")]


@pytest.mark.parametrize("variant", USF_SN, ids=str)
def test_usf_sn_is_backpropagation_where_all_weights_have_one_size(variant):
    network, plain = converted_network(variant), small_network()
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter.copy_((0.1 + 0.01 * i) * parameter.sign())
    plain.load_state_dict(network.state_dict(), strict=False)
    images, labels = small_batch()
    exact = backward(plain, images, labels)
    for name, gradient in backward(network, images, labels).items():
        assert_same(gradient, exact[name], what=name)


@pytest.mark.parametrize("variant", SIGNED, ids=str)
def test_no_error_passes_a_weight_that_is_zero(variant):
    W = normal(0, 6, 5)
    W[:, 2] = 0
    W[1, 4] = 0
    layer = linear(variant, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(W)
    assert torch.equal(layer.feedback() == 0, W == 0)
    x = normal(1, 3, 5).requires_grad_()
    layer(x).backward(normal(2, 3, 6))
    assert torch.equal(x.grad == 0, torch.tensor([[False, False, True, False, False]] * 3))


@pytest.mark.parametrize("variant", USF_INIT, ids=str)
def test_usf_init_does_not_depend_on_the_size_of_weights(variant):
    network = converted_network(variant)
    for layer in feedback_layers(network).values():
        before = layer.feedback().clone()
        with torch.no_grad():
            layer.weight.mul_(normal(3, *layer.weight.shape).abs())
        assert torch.equal(layer.feedback(), before)
        with torch.no_grad():
            layer.weight.neg_()
        assert torch.equal(layer.feedback(), -before)


def test_usf_init_with_and_without_the_bars_differ_by_the_sign_of_initial_feedback():
    absolute, signed = (
        linear(v, 5, 4, generator=torch.Generator().manual_seed(0)) for v in USF_INIT
    )
    signed.load_state_dict(absolute.state_dict())
    B0 = absolute.initial_feedback
    assert (B0 < 0).any()
    assert torch.equal(signed.feedback(), absolute.feedback() * B0.sign())


@every_variant
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_initial_feedback_never_changes_in_training(variant, optimizer):
    network, rule = converted_network(variant), variant.rule
    initial = {n: B0 for n, B0 in network.named_buffers() if n.endswith("initial_feedback")}
    before = {name: B0.clone() for name, B0 in initial.items()}
    weights = network.conv2.weight.detach().clone()
    step = optimizer(network.parameters(), lr=0.1, weight_decay=0.1)
    for seed in range(3):
        backward(network, *small_batch(seed))
        step.step()
    assert not torch.equal(network.conv2.weight, weights)
    assert len(before) == (3 if rule.stores_feedback and not rule.trains_feedback else 0)
    for name, B0 in initial.items():
        assert torch.equal(B0, before[name]), name
        assert not B0.requires_grad
    trained = feedback_names(rule, SENDERS) if rule.trains_feedback else set()
    parameters = {name for name, _ in network.named_parameters()}
    assert parameters == set(small_network().state_dict()) | trained


# Oracle 6


@pytest.mark.parametrize(("norm", "factor"), [("frobenius", math.sqrt(5)), ("spectral", 3.0)])
def test_norms_of_a_diagonal_matrix(norm, factor):
    layer = FeedbackLinear(2, 2, rule="usf_sn", norm=norm, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([3.0, 1.0])))
    assert_same(layer.feedback(), factor * torch.eye(2, dtype=torch.float64), 1e-14)


def test_norms_nearly_agree_at_initialisation_and_part_where_few_weights_dominate():
    random, dominated = {}, {}
    for norm in ("frobenius", "spectral"):
        layer = FeedbackLinear(300, 300, rule="usf_sn", norm=norm)
        with torch.no_grad():
            layer.weight.copy_(normal(0, 300, 300))
            random[norm] = layer.feedback().abs().max().item()
            layer.weight += 50 * torch.eye(300)
            dominated[norm] = layer.feedback().abs().max().item()
    assert random["spectral"] == pytest.approx(random["frobenius"], rel=0.03)
    assert dominated["spectral"] < 0.8 * dominated["frobenius"]


# Oracles 7 and 8

UNIFORM = {"usf_sn": math.sqrt(3) / 2, "usf_init": math.sqrt(3) / 2 * math.sqrt(2 / math.pi)}
GAUSSIAN = {"usf_sn": math.sqrt(2 / math.pi), "usf_init": 2 / math.pi}
for angles in (UNIFORM, GAUSSIAN):
    angles["brsf"] = angles["usf_init"]
WIDTH, UNITS, ERRORS = 4096, 256, 64


def expected_angle(variant: Variant, distribution: dict[str, float]) -> float:
    """Degrees; no correlation of B and W gives 90, as does |B0| without its bars."""
    if variant.rule.name == "bp":
        return 0.0
    if variant.options.get("magnitude") == "signed":
        return 90.0
    return math.degrees(math.acos(distribution.get(variant.rule.name, 0.0)))


def measured_angle(layer: FeedbackLinear) -> float:
    """Mean angle in degrees between Wᵀδ and Bᵀδ for random errors δ."""
    errors = normal(11, ERRORS, UNITS).numpy()
    exact, sent = errors @ array(layer.weight), errors @ array(layer.feedback())
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(sent, axis=1)
    cosine = ((exact * sent).sum(1) / norms).clip(-1, 1)
    return float(np.degrees(np.arccos(cosine)).mean())


@every_variant
@pytest.mark.parametrize("distribution", [UNIFORM, GAUSSIAN], ids=["uniform", "Gaussian"])
def test_angles_at_initialisation(variant, distribution):
    """One angle scatters by sin θ / √width radians around its value: 57.3° / √width at 90°."""
    layer = linear(variant, WIDTH, UNITS)  # torch's default is uniform
    if distribution is GAUSSIAN:
        with torch.no_grad():
            layer.weight.normal_()
    expected = expected_angle(variant, distribution)
    scatter = math.degrees(math.sin(math.radians(expected)) / math.sqrt(WIDTH))
    # Five standard errors of the mean, and rounding of arccos near 1 where the angle is zero.
    tolerance = 5 * scatter / math.sqrt(ERRORS) + 1e-5
    assert measured_angle(layer) == pytest.approx(expected, abs=tolerance)


def test_angles_at_initialisation_are_the_published_ones():
    published = {"usf_sn": (30.0, 37.1), "usf_init": (46.3, 50.4), "fa_toeplitz": (90.0, 90.0)}
    for name, degrees in published.items():
        variant = variant_of(name)
        for distribution, value in zip((UNIFORM, GAUSSIAN), degrees, strict=True):
            assert expected_angle(variant, distribution) == pytest.approx(value, abs=0.06)


def test_a_single_angle_of_fixed_feedback_scatters_as_random_vectors_do():
    layer = FeedbackLinear(400, 2000, rule="fa_toeplitz", dtype=torch.float64)
    errors = normal(11, 2000, 2000).numpy()
    exact, sent = errors @ array(layer.weight), errors @ array(layer.feedback())
    cosine = (exact * sent).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(sent, axis=1)
    angles = np.degrees(np.arccos(cosine))
    assert angles.std() == pytest.approx(57.3 / math.sqrt(400), rel=0.1)


# Oracle 9


@pytest.mark.parametrize("rule", [name for name, row in RULES.items() if not row.sign_concordant])
def test_sign_concordance_of_fixed_feedback_is_chance(rule):
    """0.5 with standard deviation 0.5 / √n over layers: .0114 at fc3."""
    agreement = []
    for seed in range(400):
        layer = linear(variant_of(rule), 192, 10, generator=stream(seed, "feedback", "fc3"))
        agreement.append((layer.weight.sign() == layer.feedback().sign()).double().mean().item())
    chance = 0.5 / math.sqrt(1920)
    assert round(chance, 4) == 0.0114
    assert np.mean(agreement) == pytest.approx(0.5, abs=4 * chance / math.sqrt(400))
    assert np.std(agreement) == pytest.approx(chance, rel=4 / math.sqrt(2 * 400))


# Oracle 11


def test_parameters_and_dense_feedback_of_architecture_1():
    network = architecture1()
    convert(network, "fa_random", example_input=torch.zeros(1, 3, 24, 24))
    parameters = {name: layer.weight.numel() for name, layer in feedback_layers(network).items()}
    assert parameters == {"conv2": 102_400, "fc1": 221_184, "fc2": 73_728, "fc3": 1_920}
    dense = network.conv2.initial_feedback
    assert dense.shape == (2304, 6400)
    assert dense.numel() * dense.element_size() == 58_982_400
    for name in ("fc1", "fc2", "fc3"):
        layer = network.get_submodule(name)
        assert layer.initial_feedback.shape == layer.weight.shape
