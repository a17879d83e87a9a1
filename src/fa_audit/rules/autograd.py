"""The only backward passes of fa-audit: linear, convolution, convolution with dense feedback.

Each computes the usual forward product with W and, on the way back, the usual gradients of weight
and bias from the delivered error δ, but sends the error down through the feedback B. Where B is
trained, its gradient is the weight's.
"""

from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from fa_audit.errors import AuditError


class Geometry(NamedTuple):
    """How a two-dimensional convolution slides: the arguments of `torch.nn.functional.conv2d`."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


def send_linear(error: Tensor, feedback: Tensor) -> Tensor:
    """Bᵀδ for every sample: error [..., out], feedback [out, in] → [..., in]."""
    return error @ feedback


def send_transposed(
    error: Tensor, feedback: Tensor, input_size: torch.Size, geometry: Geometry
) -> Tensor:
    """Bᵀδ with B the convolution whose kernel is `feedback` [out, in / groups, kh, kw].

    Args:
        error: δ [n, out, h', w'].
        feedback: The kernel B.
        input_size: Size [n, in, h, w] of the layer's input.
        geometry: Stride, padding, dilation and groups of the forward convolution.

    Returns:
        The error at the layer's input, [n, in, h, w].
    """
    shape_only = error.new_empty(1).expand(input_size)
    sent, _, _ = _convolution_backward(error, shape_only, feedback, geometry, (True, False, False))
    return cast(Tensor, sent)


def send_dense(error: Tensor, feedback: Tensor, input_size: torch.Size) -> Tensor:
    """Bᵀδ with B a matrix over flattened maps (channel, row, column; the last fastest).

    error [n, out, h', w'], feedback [out · h' · w', in · h · w] → [n, in, h, w].
    """
    return (error.flatten(1) @ feedback).view(input_size)


def saved_tensors(ctx: Any, error: Tensor) -> tuple[Tensor, ...]:
    """The saved tensors, or a clear error if one was overwritten after the forward pass.

    They take the error's type: under autocast it is lower than the one they were saved in.
    """
    try:
        return tuple(tensor.to(error.dtype) for tensor in ctx.saved_tensors)
    except RuntimeError as error:
        if "inplace" not in str(error):
            raise
        raise AuditError(
            f"the input or the weight of {ctx.layer} was changed in place after the layer had "
            "used it, so its gradient would be wrong; replace the in-place operation "
            "(inplace=True, +=, relu_) on that tensor by its ordinary form"
        ) from error


class FeedbackLinearFunction(torch.autograd.Function):
    """y = x Wᵀ + b forward; ∂W = δᵀx, ∂b = Σδ and the error δB backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor, weight: Tensor, bias: Tensor | None, feedback: Tensor, layer: str
    ) -> Tensor:
        """input [n, in], weight and feedback [out, in], bias [out] → [n, out]."""
        return F.linear(input, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass needs."""
        input, _, _, feedback, ctx.layer = inputs
        ctx.save_for_backward(input, feedback)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        """Delivered error [n, out] → gradients of input, weight, bias and feedback."""
        input, feedback = saved_tensors(ctx, error)
        need_input, need_weight, need_bias, need_feedback = ctx.needs_input_grad[:4]
        weight_gradient = error.mT @ input if need_weight or need_feedback else None
        return (
            send_linear(error, feedback) if need_input else None,
            weight_gradient,
            error.sum(0) if need_bias else None,
            _copied(weight_gradient) if need_feedback else None,
            None,
        )


class FeedbackConv2dFunction(torch.autograd.Function):
    """y = W * x + b forward; the error goes down by the transposed convolution with B."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        feedback: Tensor,
        geometry: Geometry,
        layer: str,
    ) -> Tensor:
        """input [n, in, h, w], kernels [out, in / groups, kh, kw] → [n, out, h', w']."""
        return F.conv2d(input, weight, bias, *geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass needs."""
        input, _, _, feedback, ctx.geometry, ctx.layer = inputs
        ctx.save_for_backward(input, feedback)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        """Delivered error [n, out, h', w'] → gradients of input, weight, bias and feedback."""
        input, feedback = saved_tensors(ctx, error)
        need_input, need_weight, need_bias, need_feedback = ctx.needs_input_grad[:4]
        # The kernel's values enter the gradient of the input alone; those of weight and bias take
        # only its shape. So one call with B in W's place gives all three.
        needed = need_input, need_weight or need_feedback, need_bias
        gradients = _convolution_backward(error, input, feedback, ctx.geometry, needed)
        return (*gradients, _copied(gradients[1]) if need_feedback else None, None, None)


class DenseFeedbackConv2dFunction(torch.autograd.Function):
    """y = W * x + b forward; the error goes down by a dense matrix B over flattened maps."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        feedback: Tensor,
        geometry: Geometry,
        layer: str,
    ) -> Tensor:
        """input [n, in, h, w], feedback [out · h' · w', in · h · w] → [n, out, h', w']."""
        return F.conv2d(input, weight, bias, *geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the backward pass needs."""
        input, weight, _, feedback, ctx.geometry, ctx.layer = inputs
        ctx.save_for_backward(input, weight, feedback)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        """Delivered error [n, out, h', w'] → gradients of input, weight and bias."""
        input, weight, feedback = saved_tensors(ctx, error)
        need_input, need_weight, need_bias = ctx.needs_input_grad[:3]
        _, weight_gradient, bias_gradient = _convolution_backward(
            error, input, weight, ctx.geometry, (False, need_weight, need_bias)
        )
        sent = send_dense(error, feedback, input.shape) if need_input else None
        return sent, weight_gradient, bias_gradient, None, None, None


def _copied(gradient: Tensor | None) -> Tensor | None:
    """∂B as a tensor of its own: what is done to ∂W in place shall not be done to it too."""
    return None if gradient is None else gradient.clone()


def _convolution_backward(
    error: Tensor,
    input: Tensor,
    kernel: Tensor,
    geometry: Geometry,
    needed: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """PyTorch's own gradients of a convolution with this kernel: of input, weight and bias."""
    stride, padding, dilation, groups = geometry
    if not any(needed):
        return None, None, None
    gradients: tuple[Tensor | None, Tensor | None, Tensor | None] = (
        torch.ops.aten.convolution_backward(
            error,
            input,
            kernel,
            [kernel.shape[0]],
            list(stride),
            list(padding),
            list(dilation),
            False,
            [0, 0],
            groups,
            list(needed),
        )
    )
    return gradients
