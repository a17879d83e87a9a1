"""FeedbackLinear and FeedbackConv2d: the layers of `torch.nn` that take a learning rule."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

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
from fa_audit.rules.base import FeedbackLayer
from fa_audit.rules.direct import NetworkOutput
from fa_audit.rules.table import RULES, Rule


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
        self._begin(f"Linear({in_features}, {out_features})", rule, settings)

    def shape_under(
        self,
        rule: Rule,
        input_size: tuple[int, int] | None,
        network_output: NetworkOutput | None,
    ) -> tuple[int, ...]:
        """[out, in] or, for a direct rule, [outputs of the network, in]."""
        outputs = network_output.size if rule.direct and network_output else self.out_features
        return outputs, self.in_features

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        leading = input.shape[:-1]
        if input.ndim == 2:
            return self.run(input, leading)
        # Row by row: of other shapes some versions of PyTorch return a view, which nothing may
        # overwrite if an autograd function made it.
        rows = input.reshape(leading.numel(), self.in_features)
        return self.run(rows, leading).view(*leading, self.out_features)

    def compute(self, input: Tensor) -> Tensor:
        """[n, in] → [n, out]."""
        return F.linear(input, self.weight, self.bias)

    def propagate(self, input: Tensor, feedback: Tensor) -> Tensor:
        """[n, in] → [n, out]."""
        return cast(
            Tensor,
            FeedbackLinearFunction.apply(input, self.weight, self.bias, feedback, self.name),
        )

    def send(self, error: Tensor, feedback: Tensor, input_size: torch.Size) -> Tensor:
        """[n, out] → [n, in]."""
        return send_linear(error, feedback.to(error.dtype))


class FeedbackConv2d(FeedbackLayer, nn.Conv2d):
    """`torch.nn.Conv2d` that sends errors down through a rule's feedback B.

    B is a kernel [out, in / groups, kh, kw] used by transposed convolution or, for a dense rule, a
    matrix [out · h' · w', in · h · w] over flattened maps; then the layer takes inputs of one size.
    Any stride, padding (numbers, "same", "valid"), padding mode, dilation and groups; a dense rule
    that is not direct takes zero padding that is the same on both sides.

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
        self._begin(f"Conv2d({in_channels}, {out_channels})", rule, settings)

    def shape_under(
        self,
        rule: Rule,
        input_size: tuple[int, int] | None,
        network_output: NetworkOutput | None,
    ) -> tuple[int, ...]:
        """The kernel's shape; for a dense rule [out · h' · w', in · h · w], for a direct one
        [outputs of the network, in · h · w]."""
        if not rule.dense:
            return tuple(self.weight.shape)
        if input_size is None:
            raise AuditError(
                f"rule {rule.name!r} has a dense feedback matrix at {self.name}, so the size "
                "of its input must be known: give input_size, or example_input to convert"
            )
        inputs = self.in_channels * input_size[0] * input_size[1]
        if rule.direct and network_output:
            return network_output.size, inputs
        geometry, padding = self._geometry()
        if padding is not None:
            raise AuditError(
                f"rule {rule.name!r} takes zero padding, the same on both sides; {self.name} "
                f"has padding {self.padding!r} in mode {self.padding_mode!r}"
            )
        kernel = cast("tuple[int, int]", self.kernel_size)
        outputs = [
            (size + 2 * pad - step * (width - 1) - 1) // stride + 1
            for size, stride, pad, step, width in zip(
                input_size, *geometry[:3], kernel, strict=True
            )
        ]
        return self.out_channels * outputs[0] * outputs[1], inputs

    def forward(self, input: Tensor) -> Tensor:
        """[n, in, h, w] → [n, out, h', w'], or the same without n."""
        samples = input.shape[:-3]
        if input.ndim == 3:
            return self.run(input.unsqueeze(0), samples).squeeze(0)
        return self.run(input, samples)

    def check_input_size(self, input: Tensor) -> None:
        """Refuse maps for which a dense rule has no feedback."""
        if self.rule.dense and tuple(input.shape[2:]) != self.input_size:
            raise AuditError(
                f"{self.name} has dense feedback for inputs of size {self.input_size}, "
                f"but got {tuple(input.shape[2:])}; convert it again with such an example_input"
            )

    def compute(self, input: Tensor) -> Tensor:
        """[n, in, h, w] → [n, out, h', w']."""
        padded, geometry = self._padded(input)
        return F.conv2d(padded, self.weight, self.bias, *geometry)

    def propagate(self, input: Tensor, feedback: Tensor) -> Tensor:
        """[n, in, h, w] → [n, out, h', w']."""
        padded, geometry = self._padded(input)
        function = DenseFeedbackConv2dFunction if self.rule.dense else FeedbackConv2dFunction
        return cast(
            Tensor, function.apply(padded, self.weight, self.bias, feedback, geometry, self.name)
        )

    def send(self, error: Tensor, feedback: Tensor, input_size: torch.Size) -> Tensor:
        """[n, out, h', w'] → [n, in, h, w]; a matrix is dense feedback, a kernel is slid."""
        feedback = feedback.to(error.dtype)
        if feedback.ndim == 2:
            return send_dense(error, feedback, input_size)
        geometry, padding = self._geometry()
        if padding is None:
            return send_transposed(error, feedback, input_size, geometry)
        raise AuditError(
            f"{self.name} pads by {self.padding!r} in mode {self.padding_mode!r}; the error it "
            "sends is measured only for zero padding that is the same on both sides"
        )

    def _padded(self, input: Tensor) -> tuple[Tensor, Geometry]:
        """The input, padded as far as the convolution cannot do it, and what that has to do."""
        geometry, padding = self._geometry()
        if padding is not None:
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            input = F.pad(input, padding, mode=mode)
        return input, geometry

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
