"""What is measured of a network while it trains."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure import ErrorAngles, error_angles, measured_layers
from fa_audit.metrics.alignment import predicted_angle
from fa_audit.metrics.signs import sign_concordance
from fa_audit.rules import FeedbackLayer, feedback_layers
from fa_audit.training.configuration import ProbeSettings

T = TypeVar("T")

# Quantities of the errors, in the order of the series.
OF_ERRORS = (
    "local_angle",
    "true_angle",
    "sent_norm",
    "local_norm",
    "true_norm",
    "zero_errors",
    "zero_true_errors",
)


def probe_steps(total: int, per_decade: int) -> tuple[int, ...]:
    """Step numbers 0, 1, … `total`, evenly spaced in the logarithm, each at most once."""
    exponents = range(1 + math.floor(per_decade * math.log10(total)))
    spaced = {round(10 ** (exponent / per_decade)) for exponent in exponents}
    return tuple(sorted({0, total, *(step for step in spaced if step <= total)}))


class Probe:
    """Measures one network again and again on one batch, and keeps the series.

    Everything is measured in evaluation mode, as validation is: batch normalisation is the fixed
    map of its running statistics, so that no error depends on the other images of the batch and no
    probe moves a statistic. Errors of the training step itself pass through the batch's own mean
    and variance instead. Before the first step running means are 0 and variances 1.

    Attributes:
        series: {"step": [s₀, s₁, …], layer: {quantity: [value at s₀, …]}}. Quantities: local_angle
            and true_angle in degrees (None where every error is zero); sent_norm, local_norm and
            true_norm, the mean norms ‖Bᵀδ‖, ‖Wᵀδ‖ and of backpropagation's error; zero_errors and
            zero_true_errors, images left without an angle (all of these None where an error
            overflows); predicted_angle, the angle that errors independent of the weights would
            show, and sign_concordance (None where B and W differ in shape); distance,
            ‖W − W₀‖ / ‖W₀‖.
    """

    def __init__(
        self, network: nn.Module, images: Tensor, labels: Tensor, settings: ProbeSettings
    ) -> None:
        self.network, self.images, self.labels = network, images, labels
        self.settings = settings
        self.layers = measured_layers(network)
        self.initial = {name: self._weight(name).clone() for name in self.layers}
        self.series: dict[str, Any] = {"step": [], **{name: {} for name in self.layers}}

    def measure(self, step: int) -> None:
        """Append one value to every series."""
        self.series["step"].append(step)
        for name in self.layers:
            weight, start = self._weight(name), self.initial[name]
            self._append(name, distance=float((weight - start).norm() / start.norm()))
        for name, layer in feedback_layers(self.network).items():
            concordance = _defined(sign_concordance, layer)
            self._append(
                name,
                sign_concordance=concordance.value if concordance else None,
                predicted_angle=_defined(predicted_angle, layer),
            )
        try:
            found = self._error_angles()
        except AuditError:
            # Errors of a network that is about to diverge overflow before its weights do.
            for name in feedback_layers(self.network):
                self._append(name, **dict.fromkeys(OF_ERRORS))
            return
        for name, angles in found.items():
            local, true = angles.local, angles.true
            norms = local.norm_u, local.norm_v, true.norm_v
            values = (local.angle, true.angle, *norms, local.zeros, true.zeros)
            self._append(name, **dict(zip(OF_ERRORS, values, strict=True)))

    def _error_angles(self) -> dict[str, ErrorAngles]:
        zero_errors: Any = self.settings.zero_errors
        return error_angles(self.network, self.images, self.labels, zero_errors)

    def features(self, layer: str) -> int:
        """p of a layer: the number of its weights."""
        return self._weight(layer).numel()

    def _weight(self, name: str) -> Tensor:
        weight = self.network.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        return weight.detach()

    def _append(self, layer: str, **values: float | None) -> None:
        for quantity, value in values.items():
            finite = value is not None and math.isfinite(value)
            self.series[layer].setdefault(quantity, []).append(value if finite else None)


def _defined(measure: Callable[[Tensor, Tensor], T], layer: FeedbackLayer) -> T | None:
    """A measure of W and B; None where their shapes differ, one is all zeros or B overflows.

    None too where B does not stand in W's place because it takes another layer's error; that their
    shapes agree then means nothing.
    """
    if layer.error_source is not layer:
        return None
    try:
        return measure(layer.weight.detach(), layer.feedback())
    except AuditError:
        return None
