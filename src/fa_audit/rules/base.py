"""FeedbackLayer: what a layer keeps of a learning rule, and the feedback B that this comes to."""

import copy
import math
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.rules.direct import NetworkOutput
from fa_audit.rules.table import Rule, get_rule
from fa_audit.streams import stream


def is_hooks(attribute: str, value: Any) -> bool:
    """Whether this attribute of a module is one of its dictionaries of hooks."""
    return "hooks" in attribute and isinstance(value, dict)


class FeedbackLayer(nn.Module):
    """What the layers share: a rule, its options, and the random part of its feedback.

    Attributes:
        rule: The row of RULES in force.
        options: The rule's named variants in force.
        initial_feedback: B0, a buffer: saved with the weights and never trained; None for a rule
            that stores none or trains it.
        trained_feedback: B, a parameter, where the rule trains it; else None.
        feedback_draws: int64 [3], a buffer, where the rule draws anew for every pass; else None:
            the seed of the layer's stream, how often it was drawn from, and σ as the bits of a
            float64, which no change of type rounds.
        feedback_scale: σ of B0 ~ N(0, σ²); None where none was given and the rule draws nothing.
        input_size: Height and width of the maps that reach the layer, where a dense rule needs it.
        network_output: The end of the network, where the rule sends down the error from there.
        name: What error messages call the layer.
    """

    rule: Rule
    options: dict[str, str]
    initial_feedback: Tensor | None
    trained_feedback: nn.Parameter | None
    feedback_draws: Tensor | None
    feedback_scale: float | None
    input_size: tuple[int, int] | None
    network_output: NetworkOutput | None
    name: str
    weight: Tensor

    def set_rule(
        self,
        rule: str | Rule,
        *,
        feedback_scale: float | None = None,
        generator: torch.Generator | None = None,
        input_size: tuple[int, int] | None = None,
        network_output: NetworkOutput | None = None,
        **options: str,
    ) -> None:
        """Put `rule` in force and draw what it needs: B0, or the seed of a stream of magnitudes.

        Args:
            rule: A row of RULES or its name.
            feedback_scale: σ > 0 of B0 ~ N(0, σ²); by default the standard deviation that the
                layer's weights have now. Rules that draw nothing do not use it.
            generator: Where B0 is drawn from, on the CPU whatever the layer's device, so that it
                does not depend on the device; by default PyTorch's global generator.
            input_size: Height and width of the maps that reach the layer; a dense rule needs it at
                a convolution, the others ignore it.
            network_output: The end of the layer's network, from `convert`; a direct rule needs it.
            **options: Named variants of the rule, such as norm="spectral".

        Raises:
            AuditError: No such rule, option or value; σ not above 0, or none given where all
                weights are alike; a size or a network that is missing.
        """
        row = get_rule(rule)
        chosen = row.resolve_options(options)
        scale = self._resolve_scale(row, feedback_scale)
        if row.direct and network_output is None:
            raise AuditError(
                f"rule {row.name!r} sends down the error at a network's output, which {self.name} "
                f"alone does not know; use convert(network, {row.name!r}, example_input=...)"
            )
        draws = initial = None
        if scale is not None and row.redraws_feedback:
            draws = self._draw_seed(scale, generator)
        elif scale is not None and row.draws_feedback:
            shape = self.shape_under(row, input_size, network_output)
            initial = self._draw(shape, scale, generator)
        # Only now, when nothing can be refused any more: else the layer stays as it was.
        self.rule, self.options, self.feedback_scale = row, chosen, scale
        self.input_size, self.network_output = input_size, network_output
        self.initial_feedback = self.trained_feedback = None
        self.feedback_draws = draws
        if initial is not None and row.trains_feedback:
            self.trained_feedback = nn.Parameter(initial, requires_grad=self.weight.requires_grad)
        else:
            self.initial_feedback = initial

    def _draw_seed(self, scale: float, generator: torch.Generator | None) -> Tensor:
        """`feedback_draws` of a new stream of magnitudes."""
        seed = torch.randint(2**62, (1,), generator=generator, device="cpu")
        sigma = torch.tensor([scale], dtype=torch.float64, device="cpu").view(torch.int64)
        return torch.cat([seed, torch.zeros_like(seed), sigma]).to(self.weight.device)

    def _draw(
        self, shape: tuple[int, ...], scale: float, generator: torch.Generator | None
    ) -> Tensor:
        """Numbers from N(0, scale²), drawn on the CPU."""
        drawn = torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)
        return (drawn * scale).to(self.weight.device, self.weight.dtype)

    def _resolve_scale(self, rule: Rule, feedback_scale: float | None) -> float | None:
        if feedback_scale is None:
            if not rule.draws_feedback:
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
        """The same layer with a rule: shares the parameters of `layer`, which stays as it is.

        Hooks that `layer` has are taken along; later ones are of the one layer they are given to.
        """
        new: Any = copy.copy(layer)
        new.__class__ = cls
        for attribute, value in vars(layer).items():
            if is_hooks(attribute, value):
                setattr(new, attribute, copy.copy(value))
        new._parameters, new._buffers = dict(layer._parameters), dict(layer._buffers)
        new._begin(name, rule, settings)
        return cast(Self, new)

    def _begin(self, name: str, rule: str | Rule, settings: dict[str, Any]) -> None:
        """What is left of construction once the layer of torch.nn is there."""
        self.name = name
        self.register_buffer("initial_feedback", None)
        self.register_parameter("trained_feedback", None)
        self.register_buffer("feedback_draws", None)
        self.set_rule(rule, **settings)

    def feedback_shape(self) -> tuple[int, ...]:
        """The shape of B: W's own, but for a dense or a direct rule."""
        return self.shape_under(self.rule, self.input_size, self.network_output)

    def shape_under(
        self,
        rule: Rule,
        input_size: tuple[int, int] | None,
        network_output: NetworkOutput | None,
    ) -> tuple[int, ...]:
        """The shape that B has under `rule`, which need not be the one in force."""
        raise NotImplementedError

    def random_part(self) -> Tensor | None:
        """R, what the rule makes B of besides W: B0, the trained B, or the latest magnitudes drawn.

        None for a rule that has none. Magnitudes are a function of the seed and of how many were
        drawn before, so asking for them draws nothing new.
        """
        if self.rule.redraws_feedback:
            assert self.feedback_draws is not None
            seed, count, sigma = self.feedback_draws.cpu().split(1)
            generator = stream(int(seed), "feedback", int(count))
            return self._draw(self.feedback_shape(), float(sigma.view(torch.float64)), generator)
        return self.trained_feedback if self.rule.trains_feedback else self.initial_feedback

    def feedback(self) -> Tensor:
        """B as it is now, what a forward pass begun now fixes for its way back; no gradient.

        The way back from an earlier forward pass uses B as it was then. Where the rule draws anew
        for every forward pass in training, this is the one that the latest used.
        `torch.utils.checkpoint` runs a forward pass again on the way back, and so draws again: the
        error then goes through a B that is drawn just for that.
        """
        return self._current_feedback().detach()

    def _current_feedback(self) -> Tensor:
        """The same, with a gradient where the rule trains it."""
        return self.rule.feedback(self.weight.detach(), self.random_part(), **self.options)

    def run(self, input: Tensor, samples: torch.Size) -> Tensor:
        """The output of the layer of torch.nn; on the way back the error goes through B.

        Args:
            input: [n, …in].
            samples: How the n samples lay in what the layer was called with, [] for one alone.
        """
        # Whether the input needs a gradient cannot be asked here: within torch.func.vmap it says no
        # where the answer is yes, and the layer would silently propagate as BP.
        if not torch.is_grad_enabled():
            return self.compute(input)
        self.check_input_size(input)
        if self.rule.redraws_feedback and self.training:
            assert self.feedback_draws is not None
            self.feedback_draws[1] += 1
        feedback = self._current_feedback()
        if self.rule.direct:
            output = self.compute(input.detach())
            return self.end.connect(self, input, output, feedback, samples)
        return self.propagate(input, feedback)

    def check_input_size(self, input: Tensor) -> None:
        """Refuse inputs for which there is no feedback."""

    def compute(self, input: Tensor) -> Tensor:
        """What the layer of torch.nn computes, errors included."""
        raise NotImplementedError

    def propagate(self, input: Tensor, feedback: Tensor) -> Tensor:
        """The same, but with Bᵀδ as the error that goes to the input."""
        raise NotImplementedError

    @property
    def end(self) -> NetworkOutput:
        """The end of the network, under a direct rule."""
        assert self.network_output is not None
        return self.network_output

    @property
    def error_source(self) -> "FeedbackLayer":
        """The layer whose delivered error this one sends down: itself, or the network's last."""
        return self.end.layer if self.rule.direct else self

    def send(self, error: Tensor, feedback: Tensor, input_size: torch.Size) -> Tensor:
        """Bᵀδ: the error [n, …out] sent through `feedback` to an input of size [n, …in].

        Under a direct rule the error is that of the network's output, [n, …outputs].
        """
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The layer's own description and the rule in force."""
        settings = "".join(f", {option}={value}" for option, value in self.options.items())
        return f"{super().extra_repr()}, rule={self.rule.name}{settings}"
