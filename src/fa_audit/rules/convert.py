"""Put a learning rule into any network of `torch.nn` layers."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.rules.layers import (
    FeedbackConv2d,
    FeedbackLayer,
    FeedbackLinear,
    feedback_layers,
)
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
        example_input: A batch as the network takes it. With it the layers are taken in the order
            in which they run, and first is any that has nothing trainable below it, rather than
            the one registered first; dense rules learn the size of their feedback; and, if the
            network returns a tensor, one forward and backward pass shows at once whether an
            in-place operation would spoil a gradient. The network's parameters, buffers and
            gradients stay as they were.
        **options: Named variants of the rule, such as norm="spectral".

    Returns:
        The layers changed, and those left alone with the reason.

    Raises:
        AuditError: Nothing to convert; a rule, option or scale that does not exist; a dense rule
            without `example_input`; an in-place operation on what a layer saved.
    """
    row = get_rule(rule)
    inputs = {} if example_input is None else _record_inputs(network, example_input)
    matching = {
        name: module for name, module in network.named_modules() if type(module) in _COUNTERPART
    }
    if example_input is None:
        order = list(matching)
        first = order[:1]
    else:
        order = [name for name in inputs if name in matching]
        first = [name for name in order if not inputs[name].sends]
    chosen = [name for name in order if name not in first]
    if not chosen:
        already = len(feedback_layers(network))
        raise AuditError(
            f"there is nothing to convert in {type(network).__name__}: a rule goes into Linear and "
            f"Conv2d layers after the first, and it has {len(order)} of these in all"
            + (f", besides {already} that take a rule already" if already else "")
        )
    replacement: dict[nn.Module, FeedbackLayer] = {}
    for name in chosen:
        layer = matching[name]
        maps = isinstance(layer, nn.Conv2d) and name in inputs
        replacement[layer] = _COUNTERPART[type(layer)].from_layer(
            layer,
            name,
            row,
            feedback_scale=feedback_scale,
            generator=stream(seed, "feedback", name),
            input_size=tuple(inputs[name].size[-2:]) if maps else None,
            **options,
        )
    kept = _kept(network, first, chosen)
    _replace(network, replacement)
    if example_input is not None:
        try:
            _try_backward(network, example_input)
        except Exception:
            _replace(network, {new: old for old, new in replacement.items()})
            raise
    return Conversion(row, tuple(chosen), kept)


def _replace(network: nn.Module, replacement: Mapping[Any, nn.Module]) -> None:
    """Put the new modules wherever the old ones stand, several places included."""
    for parent in list(network.modules()):
        for child_name, child in list(parent._modules.items()):  # named_children() skips repeats
            if child in replacement:
                setattr(parent, child_name, replacement[child])


def _kept(network: nn.Module, first: list[str], chosen: list[str]) -> dict[str, str]:
    """Why each layer with weights of its own is left alone, before anything is replaced."""
    kept = dict.fromkeys(first, "the first layer sends no error down")
    for name, module in network.named_modules():
        if name in kept or name in chosen or not list(module.parameters(recurse=False)):
            continue
        if isinstance(module, FeedbackLayer):
            kept[name] = f"it takes rule {module.rule.name!r} already"
        elif type(module) in _COUNTERPART:
            kept[name] = "it did not run on example_input"
        else:
            kept[name] = f"{type(module).__name__} propagates exactly"
    return kept


@contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    """Run a network without leaving a trace in its buffers, gradients or the random state."""
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    network.zero_grad(set_to_none=True)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        for name, parameter in network.named_parameters():
            parameter.grad = gradients[name]
        with torch.no_grad():
            for module, buffer_name, buffer, value in buffers:
                setattr(module, buffer_name, buffer.copy_(value))


@contextmanager
def _all_trainable(network: nn.Module) -> Iterator[None]:
    """Frozen parameters take part too: they may be trained later."""
    frozen = [p for p in network.parameters() if p.is_floating_point() and not p.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


class _Input(NamedTuple):
    """What a layer is given: its size when it first ran, and whether an error goes down there."""

    size: torch.Size
    sends: bool


def _record_inputs(network: nn.Module, example_input: Tensor) -> dict[str, _Input]:
    """The input of each Linear and Conv2d, in the order in which the layers run."""
    inputs: dict[str, _Input] = {}

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
            given = args[0] if args else kwargs["input"]
            before = inputs.get(name, _Input(given.shape, False))
            inputs[name] = _Input(before.size, before.sends or given.requires_grad)

        return record

    # Subclasses too: a lazy layer becomes an ordinary one as it runs.
    hooks = [
        module.register_forward_pre_hook(recorder(name), with_kwargs=True)
        for name, module in network.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    ]
    try:
        with _untouched(network), _all_trainable(network), torch.enable_grad():
            network(example_input.detach())
    finally:
        for hook in hooks:
            hook.remove()
    return inputs


def _try_backward(network: nn.Module, example_input: Tensor) -> None:
    with _untouched(network), torch.enable_grad():
        output = network(example_input)
        if isinstance(output, Tensor) and output.requires_grad:
            torch.autograd.backward(output.sum())
