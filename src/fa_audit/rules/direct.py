"""Direct feedback: every layer sends down the error at the network's output, not its own.

A layer with input x sends Bᵀe to the layer below, where e = ∂L/∂(output of the network) is the same
for all layers and B [outputs of the network, inputs of the layer] is fixed. Weights and biases
learn from the delivered error, as under every rule. (Nøkland 2016, arXiv:1609.01596.)

How e gets there: when the last layer has run, it follows autograd's graph down to all that led to
its input and hands a `Passage` to each layer on the way. Going backward the last layer runs before
these; it leaves e in the passage. Nothing is kept in the modules, so forward passes, copies and
networks cannot take each other's errors.

Each sample of a layer's input takes the error of the output's sample that lies in the same place:
where a layer and the output have several samples, they lie along the same axes. Axes of equal
length that were exchanged in between cannot be told apart.
"""

from functools import reduce
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fa_audit.errors import AuditError
from fa_audit.rules.autograd import saved_tensors

if TYPE_CHECKING:
    from fa_audit.rules.base import FeedbackLayer


class Passage:
    """From one output of the network down to the layers that led to it: the output's error.

    Attributes:
        samples: How the samples lie at the output: the sizes of their axes.
    """

    def __init__(self, samples: torch.Size) -> None:
        self.samples = samples
        self._error: Tensor | None = None
        self._backward_pass = -1

    def leave(self, error: Tensor) -> None:
        """Leave the output's error here, for the backward pass now running."""
        self._error, self._backward_pass = error, _backward_pass()

    def error(self) -> Tensor | None:
        """The error left in the backward pass now running; None if there was none."""
        return self._error if self._backward_pass == _backward_pass() else None


def _backward_pass() -> int:
    # PyTorch's number of the backward pass now running, by which its checkpointing goes too. An
    # error left by an earlier pass through the same graph is never mistaken for this one's.
    return torch._C._current_graph_task_id()


class NetworkOutput:
    """The end of a network whose layers take a direct rule; shared by these layers.

    Attributes:
        size: Number of the network's outputs, for one sample.
        layer: The last layer: its output is the network's.
    """

    layer: "FeedbackLayer"

    def __init__(self, size: int) -> None:
        self.size = size

    def connect(
        self,
        layer: "FeedbackLayer",
        input: Tensor,
        output: Tensor,
        feedback: Tensor,
        samples: torch.Size,
    ) -> Tensor:
        """The same output, connected to the layer's input by the error Bᵀe alone.

        Args:
            layer: The layer that ran.
            input: What it was given, [n, …].
            output: What it made of the detached input.
            feedback: B [size, inputs].
            samples: How the n samples lay in what the layer was called with.
        """
        passage = Passage(samples) if layer is self.layer else None
        if passage is not None:
            self._hand_down(passage, input.grad_fn)
        return cast(
            Tensor,
            DirectFunction.apply(output, input, feedback, self, passage, samples, layer.name),
        )

    def _hand_down(self, passage: Passage, start: Any) -> None:
        """Hand a passage to all layers of the network that led to where it starts."""
        waiting, seen = [start], set()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if getattr(node, "network_output", None) is self:
                if node.is_last:
                    continue  # the network is run on what it gave before; that has an error itself
                node.passages.append(passage)
            waiting += [below for below, _ in node.next_functions]


class DirectFunction(torch.autograd.Function):
    """The identity on a layer's output; backward δ goes on into the layer, and Bᵀe to its input."""

    @staticmethod
    def forward(
        ctx: Any,
        output: Tensor,
        input: Tensor,
        feedback: Tensor,
        network_output: NetworkOutput,
        passage: Passage | None,
        samples: torch.Size,
        layer: str,
    ) -> Tensor:
        """output [n, …], input [n, …], feedback [outputs of the network, inputs] → output.

        `passage` is where the last layer leaves the error, None for the others.
        """
        ctx.save_for_backward(input, feedback)
        ctx.network_output, ctx.samples, ctx.layer = network_output, samples, layer
        ctx.is_last, ctx.passages = passage is not None, [passage] if passage else []
        # The very tensor, not a copy, and not a view of it, which ReLU could not overwrite.
        ctx.mark_dirty(output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        """Delivered error [n, …] → gradients of output and input."""
        if ctx.is_last:
            ctx.passages[0].leave(error)
        arrived = [(p, e) for p in ctx.passages if (e := p.error()) is not None]
        if not arrived:
            raise AuditError(
                f"{ctx.layer} sends down the error at the network's output, but this backward pass "
                "brought none there; start it from a loss of what the whole network returns"
            )
        # Several where its output went into the last layer several times.
        sent = reduce(torch.add, (_send(ctx, passage, e) for passage, e in arrived))
        return error, sent, None, None, None, None, None


def _send(ctx: Any, passage: Passage, error: Tensor) -> Tensor:
    """Bᵀe for every sample of a layer's input."""
    input, feedback = saved_tensors(ctx, error)
    if _axes(ctx.samples) != _axes(passage.samples):
        raise AuditError(
            f"{ctx.layer} was given {_text(ctx.samples)} samples, but the network's output has "
            f"errors of {_text(passage.samples)}; a direct rule needs one sample of each layer's "
            "input for every sample of the output, along the same axes"
        )
    return (error.reshape(-1, len(feedback)) @ feedback).view(input.shape)


def _axes(samples: torch.Size) -> list[int]:
    """The sizes of the axes that order the samples: an axis of one sample does not."""
    return [size for size in samples if size != 1]


def _text(samples: torch.Size) -> str:
    return " × ".join(map(str, samples)) or "1"
