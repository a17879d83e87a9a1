"""Layers that are wrong in one way each: the error they send, the gradients they learn from."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fa_audit.rules import FeedbackLinear, Rule, convert
from fa_audit.rules.autograd import (
    DenseFeedbackConv2dFunction,
    FeedbackConv2dFunction,
    FeedbackLinearFunction,
    send_dense,
    send_linear,
)
from mutations.broken.feedback import change_row
from mutations.registry import broken, replace_function

Gradients = tuple[Tensor | None, ...]
FUNCTIONS = (FeedbackLinearFunction, FeedbackConv2dFunction, DenseFeedbackConv2dFunction)


def change_gradients(
    patch: pytest.MonkeyPatch,
    change: Callable[[Gradients, Tensor, Tensor], Gradients],
    functions: tuple[type[torch.autograd.Function], ...] = FUNCTIONS,
) -> None:
    """Let `change` make other gradients of the right ones, the delivered error and B."""

    def wrong(right: Callable[..., Gradients]) -> Callable[..., Gradients]:
        def backward(ctx: Any, error: Tensor) -> Gradients:
            return change(right(ctx, error), error, ctx.saved_tensors[-1])

        return backward

    for function in functions:
        patch.setattr(function, "backward", staticmethod(wrong(function.backward)))


# The error sent down


@broken
def feedback_transposed(patch: pytest.MonkeyPatch) -> None:
    """A linear layer reads B in transposed order: a square B gives Bδ in place of Bᵀδ."""

    def wrong(error: Tensor, feedback: Tensor) -> Tensor:
        return error @ feedback.mT.reshape(feedback.shape)

    replace_function(patch, send_linear, wrong)


@broken
def dense_matrix_in_another_memory_order(patch: pytest.MonkeyPatch) -> None:
    """Dense feedback takes maps in the order row, column, channel."""

    def wrong(error: Tensor, feedback: Tensor, input_size: torch.Size) -> Tensor:
        n, channels, *side = input_size
        flat = error.movedim(1, -1).flatten(1) @ feedback
        return flat.view(n, *side, channels).movedim(-1, 1)

    replace_function(patch, send_dense, wrong)


@broken
def own_error_sent_directly(patch: pytest.MonkeyPatch) -> None:
    """DFA sends down the error delivered to the layer, like any other rule."""
    change_row(patch, "dfa", direct=False, dense=False)


@broken
def relu_mask_forgotten(patch: pytest.MonkeyPatch) -> None:
    """ReLUs let all errors pass, those of silent units included."""

    class StraightThrough(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return F.relu(x)

        @staticmethod
        def backward(ctx: Any, error: Tensor) -> Tensor:
            return error

    patch.setattr(nn.ReLU, "forward", lambda self, x: StraightThrough.apply(x))


@broken
def relu_mask_of_the_wrong_layer(patch: pytest.MonkeyPatch) -> None:
    """A linear layer masks the error by the signs of its own output, the logits included."""

    class Masked(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, y: Tensor) -> Tensor:
            ctx.save_for_backward(y)
            return y.clone()

        @staticmethod
        def backward(ctx: Any, error: Tensor) -> Tensor:
            (y,) = ctx.saved_tensors
            return error * (y > 0)

    right = FeedbackLinear.propagate
    patch.setattr(FeedbackLinear, "propagate", lambda *of: Masked.apply(right(*of)))


# How a kernel slides on the way back


def slide_back(patch: pytest.MonkeyPatch, groups_turned: bool = False, **wrong: Any) -> None:
    """Let convolutions send their errors by a transposed convolution of another geometry."""
    right = FeedbackConv2dFunction.backward

    def backward(ctx: Any, error: Tensor) -> Gradients:
        _, *others = right(ctx, error)
        x, kernel = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.geometry._replace(**wrong)
        if groups_turned:
            error = error.unflatten(1, (groups, -1)).roll(1, dims=1).flatten(1, 2)
        sent = F.conv_transpose2d(error, kernel, None, stride, 0, 0, groups, dilation)
        # The padding is cut off; what is then missing at the far sides is zero.
        top, left = padding
        bottom, right_side = (x.shape[d] + p - sent.shape[d] for d, p in ((2, top), (3, left)))
        return F.pad(sent, [-left, right_side, -top, bottom]), *others

    patch.setattr(FeedbackConv2dFunction, "backward", staticmethod(backward))


@broken
def stride_ignored(patch: pytest.MonkeyPatch) -> None:
    """The transposed convolution takes every pixel, whatever the stride of the forward pass."""
    slide_back(patch, stride=(1, 1))


@broken
def padding_ignored(patch: pytest.MonkeyPatch) -> None:
    """The transposed convolution takes the padding for a part of the image."""
    slide_back(patch, padding=(0, 0))


@broken
def dilation_ignored(patch: pytest.MonkeyPatch) -> None:
    """The transposed convolution uses a kernel without gaps."""
    slide_back(patch, dilation=(1, 1))


@broken
def groups_mixed_up(patch: pytest.MonkeyPatch) -> None:
    """The transposed convolution hands each group of channels the error of the next."""
    slide_back(patch, groups_turned=True)


# What is learnt, and where


@broken
def weight_gradient_with_the_feedback(patch: pytest.MonkeyPatch) -> None:
    """∂W is multiplied by |B|, as if W were a factor of the feedback."""

    def wrong(gradients: Gradients, error: Tensor, B: Tensor) -> Gradients:
        sent, weight, *others = gradients
        return sent, None if weight is None else weight * B.abs(), *others

    change_gradients(patch, wrong, (FeedbackLinearFunction, FeedbackConv2dFunction))


@broken
def bias_gradient_averaged(patch: pytest.MonkeyPatch) -> None:
    """∂b is the mean over the batch, ∂W the sum."""

    def wrong(gradients: Gradients, error: Tensor, B: Tensor) -> Gradients:
        sent, weight, bias, *others = gradients
        return sent, weight, None if bias is None else bias / len(error), *others

    change_gradients(patch, wrong)


@broken
def feedback_gradient_of_the_wrong_sign(patch: pytest.MonkeyPatch) -> None:
    """Kolen–Pollack moves B against the direction in which W moves."""

    def wrong(gradients: Gradients, error: Tensor, B: Tensor) -> Gradients:
        sent, weight, bias, feedback, *others = gradients
        return sent, weight, bias, None if feedback is None else -feedback, *others

    change_gradients(patch, wrong, (FeedbackLinearFunction, FeedbackConv2dFunction))


@broken
def first_layer_converted_too(patch: pytest.MonkeyPatch) -> None:
    """The first layer takes the rule as well, though it has nowhere to send an error."""

    def wrong(network: nn.Module, rule: str | Rule, **settings: Any) -> Any:
        conversion = convert(network, rule, **settings)
        (first,) = (name for name, why in conversion.kept.items() if "first layer" in why)
        layer = network.get_submodule(first)
        if isinstance(layer, nn.Linear) and not conversion.rule.direct:
            network.set_submodule(first, FeedbackLinear.from_layer(layer, first, rule))
        return conversion

    replace_function(patch, convert, wrong)
