"""Direct feedback: every layer sends down the error at the network's output, not its own.

A layer with input x sends Bᵀe to the layer below, where e = ∂L/∂(output of the network) is the same
for all layers and B [outputs of the network, inputs of the layer] is fixed. Weights and biases
learn from the delivered error, as under every rule. (Nøkland 2016, arXiv:1609.01596.)

Going forward, a layer runs before the output's error exists; going backward, the last layer runs
first. So the layers of one forward pass share a `Passage`, where the last one leaves e.
"""

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fa_audit.errors import AuditError
from fa_audit.rules.autograd import saved_tensors

if TYPE_CHECKING:
    from fa_audit.rules.base import FeedbackLayer


class Passage:
    """What one forward pass and the backward passes through it share: the output error."""

    def __init__(self) -> None:
        self._error: Tensor | None = None
        self._backward_pass = -1

    def leave(self, error: Tensor) -> None:
        """Leave the output error to the other layers, for the backward pass now running."""
        self._error, self._backward_pass = error, _backward_pass()

    def take(self, layer: str) -> Tensor:
        """The output error of the backward pass now running.

        Raises:
            AuditError: It never went through the network's output.
        """
        if self._error is None or self._backward_pass != _backward_pass():
            raise AuditError(
                f"{layer} sends down the error at the network's output, but this backward pass "
                "brought none there; start it from a loss of what the whole network returns"
            )
        return self._error


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
        self._passage = Passage()

    def connect(
        self, layer: "FeedbackLayer", input: Tensor, output: Tensor, feedback: Tensor
    ) -> Tensor:
        """The same output, connected to the layer's input by the error Bᵀe alone.

        Args:
            layer: The layer that ran.
            input: What it was given, [n, …].
            output: What it made of the detached input.
            feedback: B [size, inputs].
        """
        passage, last = self._passage, layer is self.layer
        if last:
            self._passage = Passage()  # whatever runs next belongs to another forward pass
        return cast(
            Tensor, DirectFunction.apply(output, input, feedback, passage, last, layer.name)
        )


class DirectFunction(torch.autograd.Function):
    """The identity on a layer's output; backward δ goes on into the layer, and Bᵀe to its input."""

    @staticmethod
    def forward(
        ctx: Any,
        output: Tensor,
        input: Tensor,
        feedback: Tensor,
        passage: Passage,
        last: bool,
        layer: str,
    ) -> Tensor:
        """output [n, …], input [n, …], feedback [outputs of the network, inputs] → output."""
        ctx.save_for_backward(input, feedback)
        ctx.passage, ctx.last, ctx.layer = passage, last, layer
        # The very tensor, not a copy, and not a view of it, which ReLU could not overwrite.
        ctx.mark_dirty(output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        """Delivered error [n, …] → gradients of output and input."""
        if ctx.last:
            ctx.passage.leave(error)
        output_error = ctx.passage.take(ctx.layer)
        input, feedback = saved_tensors(ctx, output_error)
        rows = output_error.reshape(-1, len(feedback))
        if len(rows) * feedback.shape[1] != input.numel():
            raise AuditError(
                f"{ctx.layer} was given {input.numel() // feedback.shape[1]} samples, but the "
                f"network's output has errors of {len(rows)}; a direct rule needs one sample of "
                "each layer's input for every sample of the output"
            )
        return error, (rows @ feedback).view(input.shape), None, None, None, None
