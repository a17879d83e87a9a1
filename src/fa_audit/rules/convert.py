"""Put a learning rule into any network of `torch.nn` layers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.rules.layers import FeedbackConv2d, FeedbackLayer, FeedbackLinear
from fa_audit.rules.table import Rule, get_rule
from fa_audit.streams import stream

_COUNTERPART: dict[type[nn.Module], type[FeedbackLayer]] = {
    nn.Linear: FeedbackLinear,
    nn.Conv2d: FeedbackConv2d,
}


@dataclass(frozen=True)
class Conversion:
    """What `convert` did to a network.

    Attributes:
        rule: The rule put into the network.
        converted: Names of the layers that now take the rule.
        kept: Names of layers with weights that were left alone → why.
    """

    rule: Rule
    converted: tuple[str, ...]
    kept: Mapping[str, str]

    def __str__(self) -> str:
        lines = [f"{self.rule.title} ({self.rule.equation}) in {len(self.converted)} layers:"]
        lines += [f"  {name}" for name in self.converted]
        lines += [f"  {name}: kept, {why}" for name, why in self.kept.items()]
        return "\n".join(lines)


def convert(
    network: nn.Module,
    rule: str | Rule,
    *,
    feedback_scale: float | None = None,
    seed: int = 0,
    example_input: Tensor | None = None,
    **options: str,
) -> Conversion:
    """Put `rule` into every Linear and Conv2d of `network` but the first; changes it in place.

    The first layer sends nothing down, so a rule has nothing to do there. Parameters are shared,
    not copied: optimizers and tied weights built before stay valid. Everything else (batch
    normalisation, pooling, activations, embeddings, recurrent and attention layers) keeps
    propagating exactly, as automatic differentiation does it.

    Args:
        network: Any module that calls `torch.nn.Linear` and `torch.nn.Conv2d` modules.
        rule: A row of RULES or its name.
        feedback_scale: σ > 0 of B0 ~ N(0, σ²); by default each layer's own standard deviation of
            its weights at conversion. Rules that store no B0 do not use it.
        seed: Seed of B0. Each layer draws from a stream of its own, named after it, so B0 does not
            depend on the other layers, on the device or, for equal shapes, on the rule.
        example_input: A batch as the network takes it. With it the first layer is the first that
            runs, not the first that was registered; dense rules learn the size of their feedback;
            and one forward and backward pass shows at once whether an in-place operation would
            spoil a gradient. The network's parameters, buffers and gradients stay as they were.
        **options: Named variants of the rule, such as norm="spectral".

    Returns:
        The layers changed, and those left alone with the reason.

    Raises:
        AuditError: Nothing to convert; a rule, option or scale that does not exist; a dense rule
            without `example_input`; an in-place operation on what a layer saved.
    """
    row = get_rule(rule)
    sizes = {} if example_input is None else _input_sizes(network, example_input)
    matching = {
        name: module for name, module in network.named_modules() if type(module) in _COUNTERPART
    }
    order = [name for name in sizes if name in matching] or list(matching)
    first, chosen = order[:1], order[1:]
    if not chosen:
        raise AuditError(
            f"there is nothing to convert in {type(network).__name__}: a rule goes into Linear and "
            f"Conv2d layers after the first, and it has {len(order)} of these in all"
        )
    replacement: dict[nn.Module, FeedbackLayer] = {}
    for name in chosen:
        layer = matching[name]
        height_width = sizes.get(name, torch.Size())[-2:]
        replacement[layer] = _COUNTERPART[type(layer)].from_layer(
            layer,
            name,
            row,
            feedback_scale=feedback_scale,
            generator=stream(seed, "feedback", name),
            input_size=tuple(height_width) if len(height_width) == 2 else None,
            **options,
        )
    _replace(network, replacement)
    if example_input is not None:
        try:
            _try_backward(network, example_input)
        except AuditError:
            _replace(network, {new: old for old, new in replacement.items()})
            raise
    return Conversion(row, tuple(chosen), _kept(network, first))


def _replace(network: nn.Module, replacement: Mapping[Any, nn.Module]) -> None:
    """Put the new modules wherever the old ones stand, several places included."""
    for parent in list(network.modules()):
        for child_name, child in parent.named_children():
            if child in replacement:
                setattr(parent, child_name, replacement[child])


def _kept(network: nn.Module, first: list[str]) -> dict[str, str]:
    kept = dict.fromkeys(first, "the first layer sends no error down")
    for name, module in network.named_modules():
        own = list(module.parameters(recurse=False))
        if own and not isinstance(module, FeedbackLayer) and name not in kept:
            kept[name] = f"{type(module).__name__} propagates exactly"
    return kept


@contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    """Run a network without leaving a trace in its buffers, gradients or the random state."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    network.zero_grad(set_to_none=True)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        for name, parameter in network.named_parameters():
            parameter.grad = gradients[name]
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])


def _input_sizes(network: nn.Module, example_input: Tensor) -> dict[str, torch.Size]:
    """The size of each matching layer's input, in the order in which the layers run."""
    sizes: dict[str, torch.Size] = {}

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            sizes.setdefault(name, inputs[0].shape)

        return record

    hooks = [
        module.register_forward_pre_hook(recorder(name))
        for name, module in network.named_modules()
        if type(module) in _COUNTERPART
    ]
    try:
        with _untouched(network), torch.no_grad():
            network(example_input)
    finally:
        for hook in hooks:
            hook.remove()
    return sizes


def _try_backward(network: nn.Module, example_input: Tensor) -> None:
    with _untouched(network), torch.enable_grad():
        output = network(example_input)
        if isinstance(output, Tensor):
            torch.autograd.backward(output.sum())
