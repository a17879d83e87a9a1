"""FeedbackLinear and FeedbackConv2d: the layers of `torch.nn` that take a learning rule."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.rules.autograd import (
    DenseFeedbackConv2dFunction,
    FeedbackConv2dFunction,
    FeedbackLinearFunction,
    Geometry,
    send_dense,
    send_linear,
    send_transposed,
)
from fa_audit.rules.table import RULES, Rule, get_rule


class FeedbackLayer(nn.Module):
    """What the layers share: a rule, its options, and B0 where the rule stores one.

    Attributes:
        rule: The row of RULES in force.
        options: The rule's named variants in force.
        initial_feedback: B0, a buffer: saved with the weights and never trained; None for a rule
            that stores none.
        feedback_scale: σ of B0 ~ N(0, σ²); None where none was given and the rule stores no B0.
        input_size: Height and width of the maps that reach the layer, where a dense rule needs it.
        name: What error messages call the layer.
    """

    rule: Rule
    options: dict[str, str]
    initial_feedback: Tensor | None
    feedback_scale: float | None
    input_size: tuple[int, int] | None
    name: str
    weight: Tensor

    def set_rule(
        self,
        rule: str | Rule,
        *,
        feedback_scale: float | None = None,
        generator: torch.Generator | None = None,
        input_size: tuple[int, int] | None = None,
        **options: str,
    ) -> None:
        """Put `rule` in force and draw B0 where it stores one.

        Args:
            rule: A row of RULES or its name.
            feedback_scale: σ > 0 of B0 ~ N(0, σ²); by default the standard deviation that the
                layer's weights have now. Rules that store no B0 do not use it.
            generator: Where B0 is drawn from, on the CPU whatever the layer's device, so that it
                does not depend on the device; by default PyTorch's global generator.
            input_size: Height and width of the maps that reach the layer; a dense rule needs it at
                a convolution, the others ignore it.
            **options: Named variants of the rule, such as norm="spectral".

        Raises:
            AuditError: No such rule, option or value; σ not above 0, or none given where all
                weights are alike; a size that is missing.
        """
        row = get_rule(rule)
        chosen = row.resolve_options(options)
        scale = self._resolve_scale(row, feedback_scale)
        self.rule, self.options, self.feedback_scale = row, chosen, scale
        self.input_size = input_size
        self.initial_feedback = None
        if scale is not None and row.stores_feedback:
            drawn = torch.randn(
                self.feedback_shape(), generator=generator, device="cpu", dtype=torch.float32
            )
            self.initial_feedback = (drawn * scale).to(self.weight.device, self.weight.dtype)

    def _resolve_scale(self, rule: Rule, feedback_scale: float | None) -> float | None:
        if feedback_scale is None:
            if not rule.stores_feedback:
                return None
            feedback_scale = float(self.weight.detach().std(correction=0))
            if feedback_scale == 0:
                raise AuditError(
                    f"the weights of {self.name} are all alike, so their standard deviation is no "
                    "scale for its feedback; give feedback_scale"
                )
        if not 0 < feedback_scale < math.inf:
            raise AuditError(
                f"feedback_scale of {self.name} is {feedback_scale}; it must be finite and > 0"
            )
        return feedback_scale

    @classmethod
    def from_layer(cls, layer: nn.Module, name: str, rule: str | Rule, **settings: Any) -> Self:
        """The same layer with a rule: shares the parameters of `layer`, which stays as it is."""
        new: Any = copy.copy(layer)
        new.__class__ = cls
        new._parameters, new._buffers = dict(layer._parameters), dict(layer._buffers)
        new.name = name
        new.register_buffer("initial_feedback", None)
        new.set_rule(rule, **settings)
        return cast(Self, new)

    def feedback_shape(self) -> tuple[int, ...]:
        """The shape of B: W's own, but for a dense rule at a convolution."""
        return tuple(self.weight.shape)

    def feedback(self) -> Tensor:
        """B as it is now, the very tensor that the next backward pass will use; no gradient."""
        with torch.no_grad():
            weight = self.weight.detach()
            return self.rule.feedback(weight, self.initial_feedback, **self.options)

    def send(self, error: Tensor, feedback: Tensor, input_size: torch.Size) -> Tensor:
        """Bᵀδ: the error [n, …out] sent through `feedback` to an input of size [n, …in]."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The layer's own description and the rule in force."""
        settings = "".join(f", {option}={value}" for option, value in self.options.items())
        return f"{super().extra_repr()}, rule={self.rule.name}{settings}"


class FeedbackLinear(FeedbackLayer, nn.Linear):
    """`torch.nn.Linear` that sends errors down through a rule's feedback B [out, in].

    y = x Wᵀ + b; backward: ∂W = δᵀx, ∂b = Σδ, and δB in place of δW.

    Args:
        in_features: Size of each input.
        out_features: Size of each output.
        bias: Whether there is a bias.
        rule: A row of RULES or its name.
        device: Where the parameters live.
        dtype: Their type.
        **settings: `feedback_scale`, `generator` and the rule's options: see
            `FeedbackLayer.set_rule`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rule: str | Rule,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **settings: Any,
    ) -> None:
        nn.Linear.__init__(self, in_features, out_features, bias, device, dtype)
        self.name = f"Linear({in_features}, {out_features})"
        self.register_buffer("initial_feedback", None)
        self.set_rule(rule, **settings)

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        if not (torch.is_grad_enabled() and input.requires_grad):
            return F.linear(input, self.weight, self.bias)  # nothing is sent down from here
        return cast(
            Tensor,
            FeedbackLinearFunction.apply(input, self.weight, self.bias, self.feedback(), self.name),
        )

    def send(self, error: Tensor, feedback: Tensor, input_size: torch.Size) -> Tensor:
        """[n, out] → [n, in]."""
        return send_linear(error, feedback)


class FeedbackConv2d(FeedbackLayer, nn.Conv2d):
    """`torch.nn.Conv2d` that sends errors down through a rule's feedback B.

    B is a kernel [out, in / groups, kh, kw] used by transposed convolution or, for a dense rule, a
    matrix [out · h' · w', in · h · w] over flattened maps; then the layer takes inputs of one size.
    Any stride, padding (numbers, "same", "valid"), padding mode, dilation and groups; a dense rule
    takes zero padding that is the same on both sides.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Height and width of the kernel.
        *geometry: stride, padding, dilation, groups, bias, padding_mode, device and dtype as in
            `torch.nn.Conv2d`, by position or by name.
        rule: A row of RULES or its name.
        **settings: The same by name, and `feedback_scale`, `generator`, `input_size` and the
            rule's options: see `FeedbackLayer.set_rule`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *geometry: Any,
        rule: str | Rule,
        **settings: Any,
    ) -> None:
        conv = {key: settings.pop(key) for key in _CONV2D_SETTINGS if key in settings}
        nn.Conv2d.__init__(self, in_channels, out_channels, kernel_size, *geometry, **conv)
        self.name = f"Conv2d({in_channels}, {out_channels})"
        self.register_buffer("initial_feedback", None)
        self.set_rule(rule, **settings)

    def feedback_shape(self) -> tuple[int, ...]:
        """The kernel's shape or, for a dense rule, [out · h' · w', in · h · w]."""
        if not self.rule.dense:
            return tuple(self.weight.shape)
        if self.input_size is None:
            raise AuditError(
                f"rule {self.rule.name!r} has a dense feedback matrix at {self.name}, so the size "
                "of its input must be known: give input_size, or example_input to convert"
            )
        geometry, padding = self._geometry()
        if padding is not None:
            raise AuditError(
                f"rule {self.rule.name!r} takes zero padding, the same on both sides; {self.name} "
                f"has padding {self.padding!r} in mode {self.padding_mode!r}"
            )
        kernel = cast("tuple[int, int]", self.kernel_size)
        outputs = [
            (size + 2 * pad - step * (width - 1) - 1) // stride + 1
            for size, stride, pad, step, width in zip(
                self.input_size, *geometry[:3], kernel, strict=True
            )
        ]
        return (
            self.out_channels * outputs[0] * outputs[1],
            self.in_channels * self.input_size[0] * self.input_size[1],
        )

    def forward(self, input: Tensor) -> Tensor:
        """[n, in, h, w] → [n, out, h', w'], or the same without n."""
        if input.ndim == 3:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        geometry, padding = self._geometry()
        if padding is not None:
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            input = F.pad(input, padding, mode=mode)
        if not (torch.is_grad_enabled() and input.requires_grad):
            return F.conv2d(input, self.weight, self.bias, *geometry)
        function: type[torch.autograd.Function] = FeedbackConv2dFunction
        if self.rule.dense:
            function = DenseFeedbackConv2dFunction
            if tuple(input.shape[2:]) != self.input_size:
                raise AuditError(
                    f"{self.name} has dense feedback for inputs of size {self.input_size}, "
                    f"but got {tuple(input.shape[2:])}; convert it again with such an example_input"
                )
        return cast(
            Tensor,
            function.apply(input, self.weight, self.bias, self.feedback(), geometry, self.name),
        )

    def send(self, error: Tensor, feedback: Tensor, input_size: torch.Size) -> Tensor:
        """[n, out, h', w'] → [n, in, h, w]; a matrix is dense feedback, a kernel is slid."""
        if feedback.ndim == 2:
            return send_dense(error, feedback, input_size)
        geometry, padding = self._geometry()
        if padding is None:
            return send_transposed(error, feedback, input_size, geometry)
        raise AuditError(
            f"{self.name} pads by {self.padding!r} in mode {self.padding_mode!r}; the error it "
            "sends is measured only for zero padding that is the same on both sides"
        )

    def _geometry(self) -> tuple[Geometry, list[int] | None]:
        """The convolution's geometry, and the padding to apply before it where it cannot pad."""
        stride = cast("tuple[int, int]", self.stride)
        dilation = cast("tuple[int, int]", self.dilation)
        # Left, right, top, bottom: how torch.nn.Conv2d resolves "same" and "valid".
        left, right, top, bottom = padding = self._reversed_padding_repeated_twice
        if self.padding_mode == "zeros" and left == right and top == bottom:
            return Geometry(stride, (top, left), dilation, self.groups), None
        return Geometry(stride, (0, 0), dilation, self.groups), list(padding)


_CONV2D_SETTINGS = (
    "stride",
    "padding",
    "dilation",
    "groups",
    "bias",
    "padding_mode",
    "device",
    "dtype",
)


def feedback_layers(module: nn.Module) -> dict[str, FeedbackLayer]:
    """The layers of `module` that carry a rule, by name, in the order of registration."""
    return {name: m for name, m in module.named_modules() if isinstance(m, FeedbackLayer)}


@contextmanager
def as_backpropagation(module: nn.Module) -> Iterator[None]:
    """Forward passes within the block will send their errors down by backpropagation, B = W."""
    layers = feedback_layers(module).values()
    before = [(layer.rule, layer.options) for layer in layers]
    for layer in layers:
        layer.rule, layer.options = RULES["bp"], {}
    try:
        yield
    finally:
        for layer, (rule, options) in zip(layers, before, strict=True):
            layer.rule, layer.options = rule, options
