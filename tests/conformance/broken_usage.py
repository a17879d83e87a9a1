"""More broken layers: wrong in some places where layers are used, or in how kernels slide."""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from conformance.adapters import ReplacedLayer
from conformance.broken import broken


class SentBesideTheGraph(torch.autograd.Function):
    """Puts the error into the input's `.grad` by hand: right for a leaf, lost in a network."""

    @staticmethod
    def forward(ctx, layer, x, W, b, B):
        ctx.layer, ctx.x = layer, x
        ctx.save_for_backward(B)
        return layer.compute(x, W, b)

    @staticmethod
    def backward(ctx, error):
        (B,) = ctx.saved_tensors
        if ctx.x.is_leaf:
            ctx.x.grad = ctx.layer.send(ctx.x, error, B)
        return None, None, *ctx.layer.learn(ctx.x, error), None


@broken("two_layers")
class ErrorLostInNetworks(ReplacedLayer):
    def forward(self, x):
        self.reported = self.feedback()
        return SentBesideTheGraph.apply(self, x, self.weight, self.bias, self.reported)


@broken("first_layer")
class NothingLearntInFirstLayer(ReplacedLayer):
    def forward(self, x):
        y = super().forward(x)
        return y if x.requires_grad else y.detach()


@broken("frozen")
class FrozenSendsNothing(ReplacedLayer):
    def send(self, x, error, B):
        return super().send(x, error, B) * self.weight.requires_grad


@broken("batch_of_one")
class BatchOfOneSqueezed(ReplacedLayer):
    def forward(self, x):
        return super().forward(x).squeeze(0)


@broken("unbatched", "leading_dimensions", kinds=("linear",))
class MatricesOnly(ReplacedLayer):
    def compute(self, x, W, b):
        return x.mm(W.t()) + (0 if b is None else b)


@broken("unbatched", kinds=("conv2d",))
class BatchesOnly(ReplacedLayer):
    def compute(self, x, W, b):
        if x.ndim != 4:
            raise ValueError("four dimensions, please")
        return super().compute(x, W, b)


@broken("one_output")
class OneOutputSqueezed(ReplacedLayer):
    def learn(self, x, error):
        weight, bias = super().learn(x, error)
        return weight, None if bias is None else bias.squeeze()


@broken("strided_tensors")
class ViewsOnly(ReplacedLayer):
    def send(self, x, error, B):
        return super().send(x, error.view(-1).view_as(error), B)


@broken("arguments_unchanged")
class ErrorChangedInPlace(ReplacedLayer):
    def send(self, x, error, B):
        sent = super().send(x, error, B)
        error.mul_(0.5)
        return sent

    def learn(self, x, error):
        return super().learn(x, error * 2)


@broken("types")
class SinglePrecisionInside(ReplacedLayer):
    def send(self, x, error, B):
        return super().send(x, error.float().to(error.dtype), B)


@broken("types", rule="bp")
class DoublePrecisionOut(ReplacedLayer):
    def compute(self, x, W, b):
        return super().compute(x, W, b).double()


# How kernels slide on the way back


class SlidAnotherWay(ReplacedLayer):
    """The transposed convolution with other settings than the forward pass, in the same shape."""

    def slide(self, x: Tensor, B: Tensor, **settings) -> Tensor:
        return conv2d(x, B, None, **{k: self.spec.arguments[k] for k in SETTINGS} | settings)

    def send(self, x, error, B):
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            y = self.slide(leaf, B)
        # What is missing is zero, what is too much is cut off.
        error = pad(error, [0, y.shape[-1] - error.shape[-1], 0, y.shape[-2] - error.shape[-2]])
        return torch.autograd.grad(y, leaf, error)[0]


SETTINGS = ("stride", "padding", "dilation", "groups")


@broken("padding", "geometry_together", kinds=("conv2d",))
class PaddingIgnored(SlidAnotherWay):
    def slide(self, x, B):
        return super().slide(x, B, padding=0)


@broken("stride", "stride_leftover", "geometry_together", kinds=("conv2d",))
class StrideIgnored(SlidAnotherWay):
    def slide(self, x, B):
        return super().slide(x, B, stride=1)


@broken("dilation", "geometry_together", kinds=("conv2d",))
class DilationIgnored(SlidAnotherWay):
    def slide(self, x, B):
        return super().slide(x, B, dilation=1)


@broken("groups", "geometry_together", kinds=("conv2d",))
class GroupsExchanged(SlidAnotherWay):
    def slide(self, x, B):
        groups = self.spec.arguments["groups"]
        n, channels, *maps = x.shape
        turned = x.view(n, groups, channels // groups, *maps).flip(1).reshape(x.shape)
        return super().slide(turned, B)


@broken("stride_leftover", kinds=("conv2d",))
class LeftoverOnTheWrongSide(SlidAnotherWay):
    def slide(self, x, B):
        over = [
            (size + 2 * padding - dilation * (kernel - 1) - 1) % stride
            for size, kernel, stride, padding, dilation in zip(
                x.shape[2:],
                B.shape[2:],
                *(self.spec.arguments[k] for k in ("stride", "padding", "dilation")),
                strict=True,
            )
        ]
        return super().slide(x[:, :, over[0] :, over[1] :], B)


@broken("same_padding", kinds=("conv2d",))
class OddPixelBefore(ReplacedLayer):
    def send(self, x, error, B):
        sent = super().send(x, error, B)
        return sent.roll(1, dims=-1) if self.spec.arguments["padding"] == "same" else sent


@broken("circular_padding", kinds=("conv2d",))
class PaddingModeIgnored(ReplacedLayer):
    def compute(self, x, W, b):
        return conv2d(x, W, b, **{k: self.spec.arguments[k] for k in SETTINGS})


@broken("dense_order", "equation", rule="fa_random", kinds=("conv2d",))
class DenseInAnotherOrder(ReplacedLayer):
    def send(self, x, error, B):
        n, channels, *maps = x.shape
        flat = error.permute(0, 2, 3, 1).reshape(n, -1) @ B
        return flat.view(n, *maps, channels).permute(0, 3, 1, 2)
