"""The bench on which a check builds, runs and compares an implementation's layer.

Whatever an adapter or its layer does wrong on the way ends in a `FailedError` with a sentence.
Numbers are drawn from the name of the check, so they are the same for every rule, implementation
and run; what is expected comes from `arithmetic` alone.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fa_audit.conformance.adapter import Adapter, LayerKind, LayerSpec
from fa_audit.conformance.arithmetic import Array, conv2d_wiring, linear_wiring
from fa_audit.conformance.cases import TOLERANCE, Case, Pass
from fa_audit.conformance.guards import FailedError, array, checked, described, gradient, stage
from fa_audit.conformance.variants import Variant, variants_of
from fa_audit.rules.table import RULES


class Bench:
    """One variant of a rule in one kind of layer of one implementation.

    Attributes:
        adapter: The implementation.
        variant: The rule and its options.
        kind: "linear" or "conv2d".
        seed: What the numbers are drawn from.
        dense: B is a matrix over flattened maps.
        findings: What has been compared and found equal so far, in words.
    """

    def __init__(self, adapter: Adapter, variant: Variant, kind: LayerKind, seed: str) -> None:
        self.adapter, self.variant, self.kind, self.seed = adapter, variant, kind, seed
        self.dense = variant.rule.dense and kind == "conv2d"
        self.findings: list[str] = []

    # What is asked for

    def numbers(self, name: str, *shape: int, scale: float = 1.0) -> Array:
        """Normal numbers of this name and shape."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return np.random.default_rng(list(digest)).normal(0.0, scale, shape)

    def case(
        self,
        *,
        inputs: int | None = None,
        outputs: int | None = None,
        bias: bool = True,
        batch: int = 3,
        weight: Array | None = None,
        initial: Array | None = None,
        dtype: torch.dtype | None = None,
        name: str = "layer",
        **geometry: Any,
    ) -> Case:
        """A layer with random numbers, but for those given.

        Args:
            inputs: Features or channels; by default 7 or 4.
            outputs: The same of the output; by default 5 or 6.
            bias: Whether the layer has one.
            batch: n.
            weight: W.
            initial: B0, used where the rule stores one.
            dtype: Type of the layer's numbers; by default the adapter's.
            name: Tells the layers of one check apart.
            **geometry: Of a convolution: maps (height and width of the input), kernel, stride,
                padding, dilation, groups, padding_mode.
        """
        if self.kind == "linear":
            inputs, outputs, maps = inputs or 7, outputs or 5, None
            wiring = linear_wiring(inputs, outputs)
            arguments = {"in_features": inputs, "out_features": outputs, "bias": bias}
        else:
            inputs, outputs = inputs or 4, outputs or 6
            slide = {
                "stride": (1, 1),
                "padding": (0, 0),
                "dilation": (1, 1),
                "groups": 1,
                "padding_mode": "zeros",
                **geometry,
            }
            maps, kernel = slide.pop("maps", (6, 5)), slide.pop("kernel", (3, 2))
            wiring = conv2d_wiring((inputs, outputs), maps, kernel, **slide)
            channels = {"in_channels": inputs, "out_channels": outputs}
            arguments = {**channels, "kernel_size": kernel, "bias": bias, **slide}
        W = self.numbers(f"{name}/W", *wiring.weight_shape) if weight is None else weight
        b = self.numbers(f"{name}/b", outputs) if bias else np.zeros(outputs)
        B0 = None
        if self.variant.rule.stores_feedback:
            shape = wiring.matrix_shape if self.dense else wiring.weight_shape
            B0 = self.numbers(f"{name}/B0", *shape) if initial is None else initial
        dtype = dtype or self.adapter.dtype
        spec = LayerSpec(
            kind=self.kind,
            rule=self.variant.rule.name,
            options=dict(self.variant.options),
            arguments=arguments,
            weight=torch.tensor(W, dtype=dtype),
            bias=torch.tensor(b, dtype=dtype) if bias else None,
            initial_feedback=None if B0 is None else torch.tensor(B0, dtype=dtype),
            input_size=maps,
        )
        x = self.numbers(f"{name}/x", batch, *wiring.input_shape)
        error = self.numbers(f"{name}/error", batch, *wiring.output_shape, scale=3.0)
        return Case(spec, wiring, W, b, B0, x, error)

    def two_cases(self, outputs: int | None = None, **upper_geometry: Any) -> tuple[Case, Case]:
        """The layers of a network of two, by default with as many outputs of both."""
        lower = self.case(name="lower")
        channels, *maps = lower.wiring.output_shape
        upper_geometry["maps"] = tuple(maps)
        upper = self.case(
            name="upper", inputs=channels, outputs=outputs or channels, **upper_geometry
        )
        if self.variant.rule.direct:
            shape = upper.wiring.matrix_shape[0], lower.wiring.matrix_shape[1]
            lower = self.case(name="lower", initial=self.numbers("lower/direct B0", *shape))
        return lower, upper

    def tensor(self, case: Case, values: Array) -> Tensor:
        """An array in the layer's type."""
        return torch.tensor(np.ascontiguousarray(values), dtype=case.spec.dtype)

    # What is expected

    @property
    def by_rule(self) -> str:
        """Bᵀδ, in words."""
        return f"Bᵀδ with B of rule {self.variant.name!r}"

    def feedback_matrix(self, case: Case, weight: Array | None = None) -> Array:
        """B by the rule's equation as a matrix [outputs, inputs], for W or another weight."""
        B = self.variant.feedback(case.weight if weight is None else weight, case.initial)
        return B if self.dense else case.wiring.matrix(B)

    def sent(self, case: Case, weight: Array | None = None) -> Array:
        """Bᵀδ with B by the rule's equation, for W or another weight."""
        return case.wiring.sent(case.error, self.feedback_matrix(case, weight))

    def suspects(self, case: Case, weight: Array | None = None) -> Iterator[tuple[str, Array]]:
        """What the other rules would send, where they find what they need."""
        for rule in RULES.values():
            stored = case.initial is not None and not self.dense
            if rule.dense or rule.redraws_feedback or (rule.stores_feedback and not stored):
                continue
            for variant in variants_of(rule):
                B = variant.feedback(case.weight if weight is None else weight, case.initial)
                sent = case.wiring.sent(case.error, case.wiring.matrix(B))
                yield f"what rule {variant.name!r} sends", sent

    # What the implementation does

    def build(self, case: Case) -> nn.Module:
        """The adapter's layer."""
        with stage("building the layer"):
            layer = self.adapter.build(case.spec)
        return self._module(layer)

    def build_network(self, *cases: Case) -> tuple[nn.Module, list[nn.Module]]:
        """The adapter's network of these layers, and the layers."""
        with stage("building the network"):
            network, layers = self.adapter.network([case.spec for case in cases])
        return self._module(network), [self._module(layer) for layer in layers]

    def _module(self, built: object) -> nn.Module:
        if not isinstance(built, nn.Module):
            raise FailedError(f"the adapter built {described(built)}, not a torch.nn.Module")
        return built

    def forward(self, layer: nn.Module, case: Case, x: Tensor) -> Tensor:
        """The layer's output for these inputs, a tensor of the right shape and type."""
        with stage("the forward pass"):
            y = layer(x)
        batch = x.shape[: x.ndim - len(case.wiring.input_shape)]
        return checked(y, "the output", (*batch, *case.wiring.output_shape), case.spec.dtype)

    def backward(self, y: Tensor, error: Tensor) -> None:
        """Deliver an error to an output."""
        with stage("the backward pass"):
            y.backward(error)

    def run(self, layer: nn.Module, case: Case, shape: tuple[int, ...] | None = None) -> Pass:
        """One forward and backward pass; the inputs [n, …] may be given in another shape than n."""
        shape = (len(case.x),) if shape is None else shape
        layer.zero_grad(set_to_none=True)
        x = self.tensor(case, case.x.reshape(*shape, *case.wiring.input_shape)).requires_grad_()
        y = self.forward(layer, case, x)
        self.backward(y, self.tensor(case, case.error.reshape(y.shape)))
        sent = gradient(x, "the input", case.spec.dtype).reshape(case.x.shape)
        return Pass(array(y).reshape(case.error.shape), sent, *self.gradients(layer, case))

    def gradients(self, layer: nn.Module, case: Case) -> tuple[Array, Array | None]:
        """∂W and ∂b as the layer holds them; ∂b is None where there is no bias."""
        weight = gradient(self.weight(layer, case), "the weight", case.spec.dtype)
        if case.spec.bias is None:
            return weight, None
        return weight, gradient(self.bias(layer, case), "the bias", case.spec.dtype)

    def weight(self, layer: nn.Module, case: Case) -> Tensor:
        """The layer's W."""
        with stage("reading the weight"):
            weight = self.adapter.weight(layer)
        return checked(weight, "the weight", case.wiring.weight_shape, case.spec.dtype)

    def bias(self, layer: nn.Module, case: Case) -> Tensor:
        """The layer's b."""
        with stage("reading the bias"):
            bias = self.adapter.bias(layer)
        return checked(bias, "the bias", case.wiring.output_shape[:1], case.spec.dtype)

    def reported_matrix(self, layer: nn.Module, case: Case) -> Array:
        """B as the layer reports it, as a matrix [outputs, inputs]."""
        with stage("reading the feedback"):
            reported = self.adapter.feedback(layer)
        shape = case.wiring.matrix_shape if self.dense else case.wiring.weight_shape
        B = array(checked(reported, "the reported feedback", shape, case.spec.dtype))
        return B if self.dense else case.wiring.matrix(B)

    def used_matrix(self, layer: nn.Module, case: Case) -> Array:
        """B as the layer uses it: unit errors, one per output, come back as the rows of B."""
        outputs = case.wiring.matrix_shape[0]
        units = np.eye(outputs).reshape(outputs, *case.wiring.output_shape)
        x = self.numbers("x of unit errors", outputs, *case.wiring.input_shape)
        leaf = self.tensor(case, x).requires_grad_()
        self.backward(self.forward(layer, case, leaf), self.tensor(case, units))
        return gradient(leaf, "the input", case.spec.dtype).reshape(outputs, -1)

    def used_feedback(self, layer: nn.Module, case: Case) -> Array:
        """The same in W's shape; fails where it is not one kernel slid over the maps."""
        matrix = self.used_matrix(layer, case)
        B = case.wiring.weights_in(matrix)
        if self.kind == "conv2d":
            meaning = "one kernel slid over the maps"
            self.same("what unit errors send down", matrix, case.wiring.matrix(B), meaning)
        return B

    def step(
        self, layer: nn.Module, case: Case, learning_rate: float, weight_decay: float = 0.0
    ) -> None:
        """One pass and one step of the adapter's optimizer."""
        with stage("building the optimizer"):
            optimizer = self.adapter.optimizer(layer, learning_rate, weight_decay)
        self.run(layer, case)
        with stage("the optimizer's step"):
            optimizer.step()

    # Comparing

    def same(
        self,
        what: str,
        found: Array | None,
        expected: Array,
        meaning: str,
        suspects: Iterable[tuple[str, Array]] = (),
        tolerance: float | None = None,
    ) -> None:
        """Note that `what` is `meaning`, or fail and say which of the suspects was found."""
        if found is None:
            raise FailedError(f"{what} should be {meaning}; there is none")
        limit = TOLERANCE[self.adapter.dtype] if tolerance is None else tolerance
        off = _difference(found, expected)
        if off > limit:
            sentence = (
                f"{what} should be {meaning}, of size {np.linalg.norm(expected):.3g}; found one "
                f"of size {np.linalg.norm(found):.3g}, off by {100 * off:.3g} %"
            )
            matching = [name for name, value in suspects if _difference(found, value) <= limit]
            raise FailedError(": it is ".join([sentence, *matching[:1]]))
        self.findings.append(f"{what} is {meaning}")

    def same_pass(self, found: Pass, layer: nn.Module, case: Case) -> None:
        """Output and all gradients of a pass are those of the case, or fail.

        The error is held to the layer's own B, reported or found with unit errors (those are
        another pass, for which B may have been drawn again). Which B it ought to be is the subject
        of other checks, so that one fault in B is not found in every check.
        """
        limit = case.tolerance
        self.same("the output", found.y, case.y, "Wx + b", tolerance=limit)
        weight = found.weight_gradient
        self.same("the weight gradient", weight, case.weight_gradient, "Σ δxᵀ", tolerance=limit)
        if case.spec.bias is not None:
            bias = found.bias_gradient
            self.same("the bias gradient", bias, case.bias_gradient, "Σ δ", tolerance=limit)
        sent = self.own_sent(layer, case, found.sent)
        self.same("the error sent down", found.sent, sent, "Bᵀδ with its own B", tolerance=limit)

    def own_sent(self, layer: nn.Module, case: Case, found: Array) -> Array:
        """Bᵀδ with the layer's own B: as reported, if that explains `found`, else as used."""
        with suppress(FailedError):
            sent = case.wiring.sent(case.error, self.reported_matrix(layer, case))
            if _difference(found, sent) <= case.tolerance:
                return sent
        used = self.used_matrix(layer, case)
        if not used.any():
            raise FailedError("unit errors should come back as the rows of B; nothing comes back")
        return case.wiring.sent(case.error, used)

    def holds(self, condition: bool, finding: str, otherwise: str) -> None:
        """Note a finding, or fail with another sentence."""
        if not condition:
            raise FailedError(otherwise)
        self.findings.append(finding)


def _difference(found: Array, expected: Array) -> float:
    """‖found − expected‖ / ‖expected‖, or ‖found‖ where all that is expected is zero."""
    return float(np.linalg.norm(found - expected) / (np.linalg.norm(expected) or 1.0))
