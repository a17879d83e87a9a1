"""What an implementer writes: how to build a layer of theirs, and how to read its feedback."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn

LayerKind = Literal["linear", "conv2d"]
KINDS: tuple[LayerKind, ...] = ("linear", "conv2d")


class NotOfferedError(Exception):
    """Raised by an adapter for what its implementation does not claim to do.

    The check is skipped, and the message, which should say what is not offered, is its reason.
    """


class Optimizer(Protocol):
    """What the checks need of an optimizer; any of `torch.optim` will do."""

    def step(self) -> Any:
        """Change the trained numbers by their gradients."""


class GradientDescent:
    """p ← p − η (∂p + λp) for every parameter with a gradient.

    The same as `torch.optim.SGD`, which takes longer to import than all checks to run.
    """

    def __init__(
        self, parameters: Iterable[Tensor], learning_rate: float, weight_decay: float
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters by their gradients."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                change = parameter.grad + self.weight_decay * parameter
                parameter.sub_(self.learning_rate * change)


@dataclass(frozen=True)
class LayerSpec:
    """A layer that a check asks for.

    Attributes:
        kind: "linear" or "conv2d".
        rule: The rule's name in RULES.
        options: Every option of the rule with the value asked for; empty where it has none.
        arguments: What `torch.nn.Linear` or `torch.nn.Conv2d` would be built with, by name:
            in_features, out_features, bias; or in_channels, out_channels, kernel_size, stride,
            padding (two numbers or "same"), dilation, groups, bias, padding_mode.
        weight: W, [out, in] or [out, in / groups, kh, kw].
        bias: [out], or None.
        initial_feedback: B0, negative entries included; shaped like W or, for a dense rule at a
            convolution, [out · h' · w', in · h · w] over maps flattened in the order (channel, row,
            column), or, for a direct rule, [outputs of the network, inputs of the layer], where a
            layer by itself is a network. None for a rule that stores none.
        input_size: Height and width of the maps that reach a convolution; None for "linear".
        dtype: Type of the layer's numbers.
    """

    kind: LayerKind
    rule: str
    options: Mapping[str, str]
    arguments: Mapping[str, Any]
    weight: Tensor
    bias: Tensor | None
    initial_feedback: Tensor | None
    input_size: tuple[int, int] | None

    @property
    def dtype(self) -> torch.dtype:
        """Type of the layer's numbers."""
        return self.weight.dtype

    def fill(self, layer: nn.Module) -> None:
        """Give `layer` the type asked for, and copy W and b into its `weight` and `bias`."""
        layer.to(self.dtype)
        with torch.no_grad():
            cast(Tensor, layer.weight).copy_(self.weight)
            if self.bias is not None:
                cast(Tensor, layer.bias).copy_(self.bias)


class Adapter(ABC):
    """Between the checks and one implementation of feedback layers in PyTorch, on the CPU.

    Define subclasses at the top of an importable module: the checks run in a process of their own,
    which has to find them there. Raise `NotOfferedError` anywhere for what is not claimed.

    Attributes:
        name: What tables and files of expected failures call the implementation; by default the
            name of the class.
        rules: The rules that are offered: name in RULES → what the implementation calls it.
        dtype: The type in which the checks run; float64 shows faults down to rounding, float32 is
            for implementations that know nothing else.
    """

    name: str
    rules: Mapping[str, str]
    dtype: torch.dtype = torch.float64

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if not hasattr(cls, "name"):
            cls.name = cls.__name__

    @abstractmethod
    def build(self, spec: LayerSpec) -> nn.Module:
        """A layer as specified, with these numbers in it, ready to train."""

    @abstractmethod
    def feedback(self, layer: nn.Module) -> Tensor:
        """B as the layer reports it after a backward pass: that pass's, in the shape of B0 or W."""

    def network(self, specs: Sequence[LayerSpec]) -> tuple[nn.Module, list[nn.Module]]:
        """These layers one after the other, with a ReLU between each two; and the layers in it.

        To be overridden where layers must know of each other, as under a direct rule.
        """
        layers = [self.build(spec) for spec in specs]
        modules = [module for layer in layers for module in (nn.ReLU(), layer)]
        return nn.Sequential(*modules[1:]), layers

    def weight(self, layer: nn.Module) -> Tensor:
        """The layer's current W, whose `.grad` holds ∂W."""
        return cast(Tensor, layer.weight)

    def bias(self, layer: nn.Module) -> Tensor:
        """The layer's current b, whose `.grad` holds ∂b."""
        return cast(Tensor, layer.bias)

    def optimizer(
        self, layer: nn.Module, learning_rate: float, weight_decay: float = 0.0
    ) -> Optimizer:
        """Gradient descent, W ← W − η (∂W + λW), on what users of the layer would train.

        By default all its parameters.

        Args:
            layer: One that `build` made.
            learning_rate: η.
            weight_decay: λ.
        """
        return GradientDescent(layer.parameters(), learning_rate, weight_decay)
