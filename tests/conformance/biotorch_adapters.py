"""BioTorch (PyPI `biotorch` 0.0.16, 2021) as its users meet it: its layers, and its conversion.

Its four types share one layer: `weight` is W and `weight_backward` is documented as the backward
weight, on which `compute_alignment` measures angles. It stands here for B0 and for the reported B.
For frSF the constructor stores |M|, so that is what `build` copies in. Its DFA is not here: there
the forward pass takes targets and a loss, and forms the output's error before any is delivered.
"""

import contextlib
import io

import torch
from biotorch.layers import backpropagation, brsf, fa, frsf, usf
from biotorch.module.biomodule import BioModule
from torch import Tensor, nn

from fa_audit.conformance import Adapter, LayerSpec, NotOfferedError

MODULES = {"backpropagation": backpropagation, "fa": fa, "usf": usf, "frsf": frsf, "brsf": brsf}


class BioTorch(Adapter):
    """The layers by their names."""

    name = "biotorch"
    rules = {  # noqa: RUF012
        "bp": "backpropagation",
        "fa_toeplitz": "fa",
        "usf_init": "frsf",
        "usf_sn": "usf",
        "brsf": "brsf",
    }
    constrain_weights = False

    def build(self, spec: LayerSpec) -> nn.Module:
        theirs = self.rules[spec.rule]
        if spec.options not in ({}, {"magnitude": "absolute"}, {"norm": "frobenius"}):
            raise NotOfferedError(f"biotorch's {theirs} has no such option")
        layer = self.make(theirs, spec)
        spec.fill(layer)
        if spec.initial_feedback is not None:
            B0 = spec.initial_feedback.abs() if theirs == "frsf" else spec.initial_feedback
            with torch.no_grad():
                layer.weight_backward.copy_(B0)
        if self.constrain_weights:
            layer.norm_initial_weights = layer.weight.norm().detach()
        return layer

    def make(self, theirs: str, spec: LayerSpec) -> nn.Module:
        module = MODULES[theirs]
        options = {"constrain_weights": self.constrain_weights, "init": "xavier"}
        config = {"type": theirs, "options": options}
        layer = {"linear": module.Linear, "conv2d": module.Conv2d}[spec.kind]
        return layer(**spec.arguments, layer_config=config)

    def feedback(self, layer: nn.Module) -> Tensor:
        return layer.weight if layer.type == "backpropagation" else layer.weight_backward


class BioTorchConverted(BioTorch):
    """The layers that its automatic conversion puts in the place of PyTorch's."""

    # Called as the layers are: the same failures are expected of both.

    def make(self, theirs: str, spec: LayerSpec) -> nn.Module:
        layer = {"linear": nn.Linear, "conv2d": nn.Conv2d}[spec.kind](**spec.arguments)
        with contextlib.redirect_stdout(io.StringIO()):
            network = BioModule(nn.Sequential(layer), mode=theirs)
        return network.module[0]


class BioTorchConstrained(BioTorch):
    """The option constrain_weights: weights rescaled to their initial norm at every pass."""

    name = "biotorch, constrain_weights"
    constrain_weights = True
    rules = {"fa_toeplitz": "fa"}  # noqa: RUF012


layers = BioTorch()
converted = BioTorchConverted()
constrained = BioTorchConstrained()
