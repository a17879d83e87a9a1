"""What the tests of the rules share: every variant of RULES, a network, a strict comparison."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import pairwise, product
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fa_audit.rules import (
    RULES,
    FeedbackConv2d,
    FeedbackLayer,
    FeedbackLinear,
    Rule,
    convert,
)
from fa_audit.rules.direct import NetworkOutput
from oracles import rule_twins as twins

L = TypeVar("L", bound=FeedbackLayer)


class Variant(NamedTuple):
    """A row of RULES with one value chosen for each of its options."""

    rule: Rule
    options: dict[str, str]

    def __str__(self) -> str:
        return "-".join([self.rule.name, *self.options.values()])

    def build(self, kind: type[L], outputs: int, *arguments: Any, **settings: Any) -> L:
        """A layer of a kind with this rule; under a direct rule it is a network of its own.

        Args:
            kind: Its class.
            outputs: How many outputs it has for one sample.
            *arguments: What its constructor takes.
            **settings: The same by name.
        """
        settings |= {"rule": self.rule, **self.options}
        if not self.rule.direct:
            return kind(*arguments, **settings)
        end = NetworkOutput(outputs)
        end.layer = layer = kind(*arguments, **settings, network_output=end)
        return layer


VARIANTS = [
    Variant(rule, dict(zip(rule.options, values, strict=True)))
    for rule in RULES.values()
    for values in product(*rule.options.values())
]
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=str)
both_layers = pytest.mark.parametrize("kind", ["linear", "conv"])
every_rule = pytest.mark.parametrize("rule", RULES)


def variant_of(rule: str) -> Variant:
    """A rule with its default options."""
    return next(variant for variant in VARIANTS if variant.rule.name == rule)


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal numbers of a seed and a shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def array(tensor: Tensor) -> twins.Array:
    """The tensor as a float64 NumPy array of its own."""
    return tensor.detach().double().numpy().copy()


def assert_same(
    actual: Tensor, expected: Tensor | twins.Array, tolerance: float = 1e-10, what: str = ""
) -> None:
    """‖actual − expected‖ ≤ tolerance · ‖expected‖, shapes equal."""
    __tracebackhide__ = True
    actual_array = array(actual)
    expected_array = array(expected) if isinstance(expected, Tensor) else expected
    assert actual_array.shape == expected_array.shape, f"{what}: shapes differ"
    distance = np.linalg.norm(actual_array - expected_array)
    size = np.linalg.norm(expected_array)
    assert distance <= tolerance * size, (
        f"{what}: off by {distance:.3g} where the size is {size:.3g}"
    )


def feedback_twin(variant: Variant, layer: FeedbackLayer) -> twins.Array:
    """B of a layer as the twin computes it from W and the random part."""
    R = layer.random_part()
    B: twins.Array = twins.FEEDBACK[variant.rule.name](
        array(layer.weight), None if R is None else array(R), **variant.options
    )
    return B


def feedback_names(rule: Rule, layers: Iterable[str]) -> set[str]:
    """What a rule adds to the state dict of a network with these layers."""
    if rule.trains_feedback:
        added = ["trained_feedback"]
    elif rule.stores_feedback:
        added = ["initial_feedback"]
    else:
        added = ["feedback_draws"] if rule.redraws_feedback else []
    return {f"{layer}.{name}" for layer in layers for name in added}


GEOMETRIES = {"conv1": twins.geometry(3), "conv2": twins.geometry((3, 2), padding=(1, 0))}
SENDERS = ("conv2", "fc1", "fc2")


def small_network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """The network of `twins.train_step`: images [n, 2, 10, 10] to 4 classes."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(2, 3, 3),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(3, 4, (3, 2), padding=(1, 0)),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(8, 6),
            relu3=nn.ReLU(),
            fc2=nn.Linear(6, 4),
        )
    ).to(dtype)


def small_batch(seed: int = 1, n: int = 6) -> tuple[Tensor, Tensor]:
    return normal(seed, n, 2, 10, 10), torch.arange(n) % 4


def converted_network(variant: Variant, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """The small network with a rule in it."""
    network = small_network(dtype)
    images = small_batch()[0].to(dtype)
    convert(network, variant.rule, example_input=images, **variant.options)
    return network


def backward(network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The gradients of the mean cross-entropy, by parameter."""
    network.zero_grad(set_to_none=True)
    torch.nn.functional.cross_entropy(network(images), labels).backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in network.named_parameters()
        if parameter.grad is not None
    }


def linear(variant: Variant, inputs: int, outputs: int, **settings: Any) -> FeedbackLinear:
    return variant.build(FeedbackLinear, outputs, inputs, outputs, **settings)


def conv(
    variant: Variant,
    inputs: int,
    outputs: int,
    input_size: tuple[int, int],
    slide: dict[str, Any],
    **settings: Any,
) -> FeedbackConv2d:
    positions = math.prod(slide_twin(slide).output_size(input_size))
    return variant.build(
        FeedbackConv2d,
        outputs * positions,
        inputs,
        outputs,
        input_size=input_size,
        **slide,
        **settings,
    )


def slide_twin(slide: dict[str, Any]) -> twins.Geometry:
    """How the kernel of a convolution with these settings slides."""
    known = {key: value for key, value in slide.items() if key not in ("kernel_size", "bias")}
    return twins.geometry(slide["kernel_size"], **known)


def make_layer(kind: str, variant: Variant, **settings: Any) -> FeedbackLayer:
    if kind == "linear":
        return linear(variant, 20, 16, **settings)
    return conv(variant, 4, 8, (6, 6), {"kernel_size": 3}, **settings)


def make_input(kind: str, dtype: torch.dtype = torch.float32) -> Tensor:
    shape = (5, 20) if kind == "linear" else (5, 4, 6, 6)
    return normal(1, *shape).to(dtype).requires_grad_()


def images(*shape: int) -> Tensor:
    return normal(1, *shape).float()


def mlp(*widths: int) -> nn.Sequential:
    """fc1, relu1, fc2, … for these widths."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        layers[f"fc{i}"] = nn.Linear(inputs, outputs)
        layers[f"relu{i}"] = nn.ReLU()
    return nn.Sequential(layers)


class Runs(nn.Module):
    """Any layers, run in any way."""

    def __init__(self, run: Callable[["Runs", Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)
