"""What a network costs under its rules, counted from its layers and one example; nothing is timed.

A layer that makes m outputs of an image, each from k weights, needs m · k multiply-adds for them,
m · k for ∂W = δ xᵀ, and m · k to send the error down through a feedback of W's own shape. Through a
dense feedback B [outputs, inputs] it needs outputs · inputs, however few weights W has. Positions
on zero padding count like all others; sums over the batch, biases and all that stands between the
layers are left out.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fa_audit.errors import AuditError
from fa_audit.measure.representations import measured_layers
from fa_audit.rules import RULES, FeedbackLayer, convert
from fa_audit.rules.example import untouched


@dataclass(frozen=True)
class Cost:
    """What a layer, or several together, cost in one training step.

    Attributes:
        parameters: Numbers in weights and biases.
        stored: Floats of feedback kept from step to step: B0, or B where the rule trains it.
        made: Floats of feedback made anew in a step, whatever the batch.
        operations: Elementary operations that make them, in a step, whatever the batch.
        forward: Multiply-adds per image of the outputs.
        sent: Multiply-adds per image of the error sent down; 0 where nothing below is trained.
        weight_gradient: Multiply-adds per image of ∂W; 0 where W is not trained.
    """

    parameters: int
    stored: int
    made: int
    operations: int
    forward: int
    sent: int
    weight_gradient: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


NOTHING = Cost(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs, layer by layer.

    Attributes:
        layers: Linear and Conv2d layers by name, in the order of registration. What several layers
            share counts at the first.
        other_parameters: Parameters of all other modules, batch normalisation say, whose arithmetic
            is not counted.
    """

    layers: Mapping[str, Cost]
    other_parameters: int

    @property
    def total(self) -> Cost:
        """The sum over the layers."""
        return reduce(Cost.__add__, self.layers.values(), NOTHING)

    def __str__(self) -> str:
        table = cost_table({**self.layers, "total": self.total})
        return f"{table}\nparameters of other modules: {self.other_parameters:,}"


class _Run(NamedTuple):
    """One run of a layer on the example: how many numbers went in and out, and what comes back."""

    inputs: int
    outputs: int
    sends: bool


def network_cost(network: nn.Module, example_input: Tensor) -> NetworkCost:
    """Cost of one training step of a network as it stands, each layer under its own rule.

    The example is run forward once, in the network's present mode; only sizes and what requires a
    gradient are read. A layer that runs several times pays for each run, one that does not run only
    for what it keeps. A plain layer of `torch.nn` is backpropagation.

    Args:
        network: Any network that `convert` takes, before or after.
        example_input: [images, …], as the network takes it. Multiply-adds per image are the mean
            over these images, rounded. Nothing is sent down to it.

    Returns:
        The cost of every Linear and Conv2d layer. The network stays as it was.

    Raises:
        AuditError: No image; no such layer.
    """
    images = len(example_input) if example_input.ndim else 0
    if not images:
        raise AuditError(
            f"cost is counted per image, but example_input of shape {list(example_input.shape)} "
            "holds none: give a batch as the network takes it"
        )
    runs = _runs(network, example_input)
    layers: dict[str, Any] = {
        name: network.get_submodule(name) for name in measured_layers(network)
    }
    if not layers:
        raise AuditError(
            f"there is nothing to count in {type(network).__name__}: it has no Linear or Conv2d"
        )
    uncounted = {id(parameter): parameter.numel() for parameter in network.parameters()}
    costs = {}
    for name, layer in layers.items():
        trained_feedback = getattr(layer, "trained_feedback", None)
        uncounted.pop(id(trained_feedback), None)  # counts as stored
        own = sum(uncounted.pop(id(p), 0) for p in layer.parameters(recurse=False))
        costs[name] = _layer_cost(layer, own, runs[name], images)
    return NetworkCost(costs, sum(uncounted.values()))


def rule_costs(build: Callable[[], nn.Module], example_input: Tensor) -> dict[str, Cost]:
    """Total cost of one network under each rule with its default options.

    Args:
        build: Makes the network, without any rule.
        example_input: As `network_cost` takes it.

    Returns:
        Name of the rule → cost, in the order of RULES.
    """
    costs = {}
    for rule in RULES:
        network = build()
        convert(network, rule, example_input=example_input)
        costs[rule] = network_cost(network, example_input).total
    return costs


def cost_table(costs: Mapping[str, Cost]) -> str:
    """Costs by name as lines of text; multiply-adds are per image, made and operations per step."""
    fields = list(Cost.__dataclass_fields__)
    rows = [["", *(field.replace("_", " ") for field in fields)]]
    rows += [[name, *(f"{number:,}" for number in astuple(cost))] for name, cost in costs.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    return "\n".join(lines)


def _runs(network: nn.Module, example_input: Tensor) -> Mapping[str, list[_Run]]:
    """The runs of every Linear and Conv2d layer on the example, by the layer's name."""
    runs: defaultdict[str, list[_Run]] = defaultdict(list)

    def recording(name: str) -> Callable[..., None]:
        def record(layer: nn.Module, args: Any, kwargs: dict[str, Any], output: Tensor) -> None:
            given = args[0] if args else kwargs["input"]
            runs[name].append(_Run(given.numel(), output.numel(), given.requires_grad))

        return record

    hooks = [
        network.get_submodule(name).register_forward_hook(recording(name), with_kwargs=True)
        for name in measured_layers(network)
    ]
    try:
        with untouched(network), torch.enable_grad():
            network(example_input.detach())
    finally:
        for hook in hooks:
            hook.remove()
    return runs


def _layer_cost(layer: Any, parameters: int, runs: list[_Run], images: int) -> Cost:
    weights_per_output = layer.weight[0].numel()
    forward = sum(run.outputs for run in runs) * weights_per_output
    sending = [run for run in runs if run.sends]
    sent = sum(run.outputs for run in sending) * weights_per_output
    stored = made = operations = 0
    trained: bool = layer.weight.requires_grad
    if isinstance(layer, FeedbackLayer):
        kept = [t for t in (layer.initial_feedback, layer.trained_feedback) if t is not None]
        stored = sum(tensor.numel() for tensor in kept)
        made, operations = (len(runs) * number for number in _making(layer))
        if layer.rule.dense:
            sent = sum(run.inputs for run in sending) * layer.feedback_shape()[0]
        if layer.trained_feedback is not None:  # ∂B is ∂W: computed once for both
            trained = trained or layer.trained_feedback.requires_grad
    return Cost(
        parameters=parameters,
        stored=stored,
        made=made,
        operations=operations,
        forward=round(forward / images),
        sent=round(sent / images),
        weight_gradient=round(forward / images) if trained else 0,
    )


def _making(layer: FeedbackLayer) -> tuple[int, int]:
    """Floats of feedback that the layer makes of its weight once, and the operations it takes."""
    with _Operations() as operations:
        feedback = layer.feedback()
    return (feedback.numel() if operations.count else 0), operations.count


class _Operations(TorchDispatchMode):
    """Counts elementary operations, so that any rule's feedback function can be counted as it is.

    Arithmetic by element, a reduction or a draw counts the numbers it reads or makes, whichever are
    more; a singular value decomposition of an m × n matrix counts m · n · min(m, n), its order of
    magnitude. Views, copies to another type or device, and single numbers are free.
    """

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.is_view or func is torch.ops.aten._to_copy.default:
            return result
        tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor)]
        numbers = max((tensor.numel() for tensor in tensors), default=0)
        if func is torch.ops.aten._linalg_svd.default:
            numbers *= min(args[0].shape[-2:])
        self.count += numbers if numbers > 1 else 0
        return result
