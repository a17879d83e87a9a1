"""Put a learning rule into any network of `torch.nn` layers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.rules.base import FeedbackLayer, is_hooks
from fa_audit.rules.direct import NetworkOutput
from fa_audit.rules.example import Example, LastLayer, run_example, untouched
from fa_audit.rules.layers import FeedbackConv2d, FeedbackLinear, feedback_layers
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
        if self.rule.trains_feedback:
            lines.append("  the feedback is trained: build the optimizer after this, not before")
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
    not copied: optimizers and tied weights built before stay valid. Only a rule that trains its
    feedback adds parameters; the optimizer for these must be built afterwards. Everything else
    (batch normalisation, pooling, activations, embeddings, recurrent and attention layers) keeps
    propagating exactly, as automatic differentiation does it.

    Args:
        network: Any module that calls `torch.nn.Linear` and `torch.nn.Conv2d` modules, each through
            the module it is registered in. A layer called through a plain list, tuple or closure
            goes on without the rule; `example_input` finds that out.
        rule: A row of RULES or its name.
        feedback_scale: σ > 0 of B0 ~ N(0, σ²); by default each layer's own standard deviation of
            its weights at conversion. Rules that draw nothing do not use it.
        seed: Seed of B0, or of magnitudes drawn anew for every pass. Each layer draws from a stream
            of its own, named after it, so that nothing depends on the other layers or on the device
            and, for equal shapes, B0 not on the rule.
        example_input: A batch as the network takes it. With it the layers are taken in the order
            in which they run, and first is any that has nothing trainable below it, rather than
            the one registered first; dense rules learn the size of their feedback, direct rules
            which layer is the last; and, if the network returns a tensor, one forward and backward
            pass shows at once whether an in-place operation would spoil a gradient. The network's
            parameters, buffers and gradients stay as they were.
        **options: Named variants of the rule, such as norm="spectral".

    Returns:
        The layers changed, and those left alone with the reason.

    Raises:
        AuditError: Nothing to convert; a rule, option or scale that does not exist; a dense or a
            direct rule without `example_input`; a direct rule where what the network returns is not
            the output of one last layer; a layer called through a reference that cannot be
            replaced; an in-place operation on what a layer saved.
    """
    row = get_rule(rule)
    example = None if example_input is None else run_example(network, example_input)
    inputs = {} if example is None else example.inputs
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
    last = _last_layer(network, row, example, chosen) if row.direct else None
    end = NetworkOutput(last.outputs) if last else None
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
            network_output=end,
            **options,
        )
    if last and end:
        end.layer = replacement[matching[last.name]]
    kept = _kept(network, first, chosen)
    _replace(network, replacement)
    if example_input is not None:
        try:
            ran = _try_backward(network, example_input)
            _require_run(network, {name: replacement[matching[name]] for name in chosen}, ran)
        except Exception:
            _replace(network, {new: old for old, new in replacement.items()})
            raise
    return Conversion(row, tuple(chosen), kept)


def _replace(network: nn.Module, replacement: Mapping[Any, nn.Module]) -> None:
    """Put the new modules wherever the old ones stand, several places included.

    Hooks go along: each pair exchanges its dictionaries of them, so that a handle from before goes
    on removing its hook from the layer that is in the network.
    """
    for old, new in replacement.items():
        for name in [name for name in vars(old) if is_hooks(name, vars(old)[name])]:
            theirs, ours = vars(old)[name], vars(new)[name]
            setattr(old, name, ours)
            setattr(new, name, theirs)
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


def _last_layer(
    network: nn.Module, rule: Rule, example: Example | None, chosen: list[str]
) -> LastLayer:
    """The layer whose output the network returns, or why it has none for a direct rule."""
    if example is None or example.last is None:
        raise AuditError(
            f"rule {rule.name!r} sends down the error at the network's output, so the network must "
            "be seen running; give example_input"
        )
    name, runs, _, is_end = example.last
    if not is_end:
        problem = f"returns something else than the output of the layer that runs last, {name}"
    elif runs > 1:
        problem = f"runs its last layer, {name}, more than once"
    elif name not in chosen:
        problem = f"ends with {name}, which cannot take the rule"
    else:
        return example.last
    raise AuditError(
        f"rule {rule.name!r} sends down the error at the network's one output, but "
        f"{type(network).__name__} {problem}; let it end with a Linear or Conv2d layer of its own "
        "and move what follows into the loss"
    )


def _try_backward(network: nn.Module, example_input: Tensor) -> set[nn.Module]:
    """One pass forward and back; the layers with a rule that ran in it."""
    ran: set[nn.Module] = set()
    hooks = [
        layer.register_forward_pre_hook(lambda layer, _: ran.add(layer))
        for layer in network.modules()
        if isinstance(layer, FeedbackLayer)
    ]
    try:
        with untouched(network), torch.enable_grad():
            output = network(example_input.detach())
            if isinstance(output, Tensor) and output.requires_grad:
                torch.autograd.backward(output.sum())
    finally:
        for hook in hooks:
            hook.remove()
    return ran


def _require_run(
    network: nn.Module, layers: Mapping[str, nn.Module], ran: Collection[nn.Module]
) -> None:
    """Refuse a network that goes on calling the layers as they were before they took the rule."""
    idle = [name for name, layer in layers.items() if layer not in ran]
    if idle:
        raise AuditError(
            f"{type(network).__name__} does not call {', '.join(idle)} by the name it is "
            "registered under but through another reference, such as a list, which a rule cannot "
            "be put into; call it as self.NAME or keep the layers in an nn.ModuleList"
        )
