"""Adapters that do what none should; the last two are for a process of their own."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from conformance.adapters import TorchNN
from fa_audit.conformance import LayerSpec


class Misbehaving(TorchNN):
    """PyTorch's layers, with something done to the layer, its output or its input's gradient."""

    def __init__(
        self,
        built: Callable[[nn.Module], Any] = lambda layer: layer,
        output: Callable[[Tensor], Any] = lambda y: y,
        sent: Callable[[Tensor], Any] = lambda error: error,
        reported: Callable[[Tensor], Any] = lambda B: B,
    ) -> None:
        self.built, self.output, self.sent, self.reported = built, output, sent, reported

    def build(self, spec: LayerSpec) -> Any:
        layer = super().build(spec)
        layer.register_forward_hook(lambda module, x, y: self.output(y))

        def on_the_way_down(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
            return (WayDown.apply(args[0], self.sent),)

        layer.register_forward_pre_hook(on_the_way_down)
        return self.built(layer)

    def feedback(self, layer: nn.Module) -> Any:
        return self.reported(layer.weight)


class WayDown(torch.autograd.Function):
    """Nothing on the way up; something done to the error on the way down."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sent: Callable[[Tensor], Any]) -> Tensor:
        ctx.sent = sent
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, error: Tensor) -> tuple[Any, None]:
        return ctx.sent(error), None


class Dangerous(TorchNN):
    """Convolutions that print, hang or crash by their geometry."""

    def build(self, spec: LayerSpec) -> nn.Module:
        if spec.kind == "conv2d":
            if spec.arguments["padding"] == (2, 1):
                print("{'not': 'an answer'}", flush=True)
                sys.stdin.readline()
            if spec.arguments["stride"] == (2, 1):
                time.sleep(1000)
            if spec.arguments["dilation"] == (2, 3):
                os.kill(os.getpid(), signal.SIGSEGV)
        return super().build(spec)


class Importing(TorchNN):
    """Layers that cannot be built once anything was imported after the rules were asked for."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def rules_when_asked(self) -> dict[str, str]:
        self.known = set(sys.modules)
        return {"bp": "torch.nn"}

    rules = property(rules_when_asked)  # type: ignore[assignment]

    def build(self, spec: LayerSpec) -> nn.Module:
        if late := set(sys.modules) - self.known:
            raise ImportError(f"{len(late)} modules came late")
        return super().build(spec)


dangerous = Dangerous()
importing = Importing()
