"""What one run of a network on an example shows: which layers run, in which order, on what."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


class LayerInput(NamedTuple):
    """What a layer is given: its size when it first ran, and whether an error goes down there."""

    size: torch.Size
    sends: bool


class LastLayer(NamedTuple):
    """The layer that ran last.

    Attributes:
        name: Its name.
        runs: How often it ran.
        outputs: Number of its outputs for one sample.
        is_end: The network returned just these.
    """

    name: str
    runs: int
    outputs: int
    is_end: bool


class Example(NamedTuple):
    """The Linear and Conv2d layers of a network as they ran: inputs in order of first runs."""

    inputs: dict[str, LayerInput]
    last: LastLayer | None


def run_example(network: nn.Module, example_input: Tensor) -> Example:
    """Run the network once as if all of it were trained; leaves it as it was."""
    inputs: dict[str, LayerInput] = {}
    runs: list[str] = []
    latest: list[Any] = []

    def before(name: str) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
            given = args[0] if args else kwargs["input"]
            known = inputs.get(name, LayerInput(given.shape, False))
            inputs[name] = LayerInput(known.size, known.sends or given.requires_grad)

        return record

    def after(name: str) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            runs.append(name)
            # An in-place operation returns the same tensor, in another version.
            latest[:] = output, output._version, _outputs(module, output)

        return record

    hooks = []
    for name, module in network.named_modules():
        # Subclasses too: a lazy layer becomes an ordinary one as it runs.
        if isinstance(module, nn.Linear | nn.Conv2d):
            hooks.append(module.register_forward_pre_hook(before(name), with_kwargs=True))
            hooks.append(module.register_forward_hook(after(name)))
    try:
        with untouched(network), _all_trainable(network), torch.enable_grad():
            returned = network(example_input.detach())
    finally:
        for hook in hooks:
            hook.remove()
    if not latest:
        return Example(inputs, None)
    output, version, outputs = latest
    is_end = returned is output and output._version == version
    return Example(inputs, LastLayer(runs[-1], runs.count(runs[-1]), outputs, is_end))


def _outputs(layer: nn.Module, output: Tensor) -> int:
    return output.shape[-3:].numel() if isinstance(layer, nn.Conv2d) else output.shape[-1]


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Run a network without leaving a trace in its buffers, gradients or the random state.

    Lazy layers become ordinary ones; lazy normalisation then has the statistics of a new one.
    """
    own = [(m, name, b) for m in network.modules() for name, b in m.named_buffers(recurse=False)]
    lazy = {module: None for module, _, buffer in own if is_lazy(buffer)}
    buffers = [(m, name, b, b.clone()) for m, name, b in own if not is_lazy(b)]
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
            for module in lazy:
                if not any(map(is_lazy, module.buffers(recurse=False))):
                    cast(Any, module).reset_running_stats()


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
