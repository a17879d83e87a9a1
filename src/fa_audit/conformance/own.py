"""The project's own layers: `fa-audit check fa_audit.conformance.own:adapter`."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from fa_audit.conformance.adapter import Adapter, LayerSpec, NotOfferedError
from fa_audit.rules import RULES, FeedbackConv2d, FeedbackLayer, FeedbackLinear
from fa_audit.rules.direct import NetworkOutput


class OwnLayers(Adapter):
    """FeedbackLinear and FeedbackConv2d, every rule of the table."""

    name = "fa-audit"

    def __init__(self) -> None:
        self.rules = {name: name for name in RULES}

    def build(self, spec: LayerSpec) -> FeedbackLayer:
        """The layer with W, b and B0 copied in."""
        settings: dict[str, Any] = {**spec.arguments, **spec.options, "rule": spec.rule}
        rule = RULES[spec.rule]
        if rule.direct and spec.initial_feedback is not None:
            settings["network_output"] = NetworkOutput(len(spec.initial_feedback))
        layer: FeedbackLayer
        if spec.kind == "linear":
            layer = FeedbackLinear(**settings)
        else:
            zeros = settings["padding_mode"] == "zeros" and settings["padding"] != "same"
            if rule.dense and not rule.direct and not zeros:
                raise NotOfferedError("dense feedback takes zero padding, the same on both sides")
            layer = FeedbackConv2d(**settings, input_size=spec.input_size)
        spec.fill(layer)
        if rule.direct:
            layer.end.layer = layer
        stored = layer.random_part() if rule.stores_feedback else None
        if stored is not None and spec.initial_feedback is not None:
            with torch.no_grad():
                stored.copy_(spec.initial_feedback)
        return layer

    def feedback(self, layer: nn.Module) -> Tensor:
        """B as the layer's own method tells it."""
        return cast(FeedbackLayer, layer).feedback()

    def network(self, specs: Sequence[LayerSpec]) -> tuple[nn.Module, list[nn.Module]]:
        """As usual; under a direct rule the layers share the network's end."""
        network, layers = super().network(specs)
        last = cast(FeedbackLayer, layers[-1])
        for layer in layers:
            cast(FeedbackLayer, layer).network_output = last.network_output
        return network, layers


adapter = OwnLayers()
