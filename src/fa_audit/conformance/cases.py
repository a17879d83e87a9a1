"""A case: a layer to build, the numbers to run it with, and what the arithmetic says of them."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from fa_audit.conformance.adapter import LayerSpec
from fa_audit.conformance.arithmetic import Array, Wiring

# Relative difference ‖found − expected‖ / ‖expected‖ up to which two results count as equal.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}


@dataclass(frozen=True)
class Case:
    """A layer to build and the numbers to run it with, in float64.

    Attributes:
        spec: What the adapter is asked for.
        wiring: The layer's connections.
        weight: W.
        bias: b; zeros for a layer without.
        initial: B0, or None for a rule that stores none.
        x: Inputs [n, …].
        error: Errors δ delivered to the outputs [n, …], many of them beyond ±1.
    """

    spec: LayerSpec
    wiring: Wiring
    weight: Array
    bias: Array
    initial: Array | None
    x: Array
    error: Array

    @property
    def y(self) -> Array:
        """Wx + b."""
        return self.wiring.output(self.x, self.weight, self.bias)

    @property
    def weight_gradient(self) -> Array:
        """Σ δxᵀ."""
        return self.wiring.weight_gradient(self.x, self.error)

    @property
    def bias_gradient(self) -> Array:
        """Σ δ."""
        return self.wiring.bias_gradient(self.error)

    @property
    def tolerance(self) -> float:
        """The relative difference up to which results of this layer count as equal."""
        return TOLERANCE[self.spec.dtype]


class Pass(NamedTuple):
    """What one forward and backward pass gave; no bias gradient from a layer without bias."""

    y: Array
    sent: Array
    weight_gradient: Array
    bias_gradient: Array | None
