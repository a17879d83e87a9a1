"""Adapters of implementations that are right: PyTorch's own layers, and W replaced by hand."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.linalg import matrix_norm
from torch.nn.functional import conv2d, linear, pad

from fa_audit.conformance import Adapter, LayerSpec

LAYERS: dict[str, type[nn.Module]] = {"linear": nn.Linear, "conv2d": nn.Conv2d}


class TorchNN(Adapter):
    """PyTorch's layers: backpropagation."""

    name = "torch.nn"
    rules = {"bp": "torch.nn"}  # noqa: RUF012

    def build(self, spec: LayerSpec) -> nn.Module:
        layer = LAYERS[spec.kind](**spec.arguments)
        spec.fill(layer)
        return layer

    def feedback(self, layer: nn.Module) -> Tensor:
        return layer.weight


class Replaced(torch.autograd.Function):
    """Forward with W; on the way back the layer learns from δ and sends it down through B."""

    @staticmethod
    def forward(ctx: Any, layer: Any, x: Tensor, W: Tensor, b: Tensor | None, B: Tensor) -> Tensor:
        ctx.layer = layer
        ctx.save_for_backward(x, B)
        return layer.compute(x, W, b)

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> tuple[Any, ...]:
        x, B = ctx.saved_tensors
        sent = ctx.layer.send(x, error, B)
        weight, bias = ctx.layer.learn(x, error)
        return None, sent, weight, bias, weight if ctx.needs_input_grad[4] else None


class ReplacedLayer(nn.Module):
    """A layer as somebody without a package would write it: PyTorch differentiates `compute`."""

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(spec.weight.clone())
        self.bias = None if spec.bias is None else nn.Parameter(spec.bias.clone())
        B0 = None if spec.initial_feedback is None else spec.initial_feedback.clone()
        if spec.rule == "kolen_pollack":
            self.B0 = nn.Parameter(B0)
        else:
            self.register_buffer("B0", B0)
        # Under DFA the last layer of a network leaves its error here for the others.
        self.output_error: dict[str, Tensor] = {}
        self.last = True

    def forward(self, x: Tensor) -> Tensor:
        self.reported = self.feedback()
        return Replaced.apply(self, x, self.weight, self.bias, self.reported)

    def compute(self, x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
        if self.spec.kind == "linear":
            return linear(x, W, b)
        g = self.spec.arguments
        padding = g["padding"]
        if g["padding_mode"] == "circular":
            rows, columns = padding
            x, padding = pad(x, [columns, columns, rows, rows], mode="circular"), 0
        return conv2d(x, W, b, g["stride"], padding, g["dilation"], g["groups"])

    def feedback(self) -> Tensor:
        W, B0 = self.weight.detach(), self.B0
        match self.spec.rule:
            case "bp":
                return W
            case "usf_init":
                signed = self.spec.options["magnitude"] == "signed"
                return (B0 if signed else B0.abs()) * W.sign()
            case "brsf":
                return torch.randn_like(W).abs() * W.sign()
            case "usf_sn":
                order = {"frobenius": "fro", "spectral": 2}[self.spec.options["norm"]]
                W_size, sign_size = (matrix_norm(m.flatten(1), order) for m in (W, W.sign()))
                return W.sign() * W_size / sign_size if sign_size else torch.zeros_like(W)
        return B0

    def send(self, x: Tensor, error: Tensor, B: Tensor) -> Tensor:
        if self.spec.rule == "dfa":
            error = self.error_at_output(error)
        if self.spec.rule in ("dfa", "fa_random"):
            rows = error if self.spec.kind == "linear" else error.flatten(-3)
            return (rows @ B).view_as(x)
        return self.differentiate(x, B, error)[0]

    def error_at_output(self, error: Tensor) -> Tensor:
        if self.last:
            self.output_error["e"] = error
        return self.output_error["e"]

    def learn(self, x: Tensor, error: Tensor) -> tuple[Tensor, Tensor | None]:
        _, weight, bias = self.differentiate(x, self.weight, error)
        return weight, None if self.bias is None else bias

    def differentiate(self, x: Tensor, W: Tensor, error: Tensor) -> tuple[Tensor, ...]:
        b = W.new_zeros(len(W))
        leaves = [tensor.detach().requires_grad_() for tensor in (x, W, b)]
        with torch.enable_grad():
            y = self.compute(*leaves)
        return torch.autograd.grad(y, leaves, error)


class ReplacedWeight(Adapter):
    """W replaced by B in a hand-written autograd function."""

    rules = {  # noqa: RUF012
        "bp": "no replacement",
        "fa_random": "a random matrix",
        "fa_toeplitz": "random kernels",
        "usf_init": "signs of W, initial magnitudes",
        "usf_sn": "signs of W, one magnitude",
        "brsf": "signs of W, new magnitudes at every step",
        "kolen_pollack": "a matrix trained like W",
        "dfa": "a random matrix from the output",
    }
    layer: type[ReplacedLayer] = ReplacedLayer

    def build(self, spec: LayerSpec) -> ReplacedLayer:
        return self.layer(spec)

    def feedback(self, layer: nn.Module) -> Tensor:
        return layer.reported

    def network(self, specs: Sequence[LayerSpec]) -> tuple[nn.Module, list[nn.Module]]:
        network, layers = super().network(specs)
        for layer in layers:
            layer.output_error, layer.last = layers[-1].output_error, layer is layers[-1]
        return network, layers


torch_nn = TorchNN()
replaced_weight = ReplacedWeight()
