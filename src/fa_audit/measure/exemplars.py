"""Exemplars: the images that a network's most important channels answer to most."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure.modes import evaluation_mode
from fa_audit.metrics import channel_importance, top_images
from fa_audit.metrics.channels import Absolute

FORMS: tuple[Absolute, ...] = get_args(Absolute)

# ITU-R BT.601: what R, G and B contribute to grey.
_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, eq=False)
class Exemplars:
    """What one form of channel importance shows of a layer.

    Attributes:
        importance: float64 [C], every channel's.
        channels: int64 [c], the most important ones, the first first; of equals the earlier.
        images: int64 [c, k], for each of these the images of highest mean activation, likewise.
    """

    importance: Tensor
    channels: Tensor
    images: Tensor


def exemplars(
    network: nn.Module,
    layers: Sequence[str],
    batch_of: Callable[[Tensor], Tensor],
    n: int,
    important_for: Tensor,
    *,
    channels: int = 3,
    images: int = 9,
    batch_size: int = 250,
) -> dict[str, dict[Absolute, Exemplars]]:
    """The most important channels of convolutions, and the images that excite them most.

    Importance is that of `channel_importance`: I_c = 1/m Σᵢ ḡᵢ_c · āᵢ_c with a the output of the
    convolution itself, before any activation or pooling, and g the gradient of the logit of the
    class that the network predicts.

    Args:
        network: Images [b, ...] → logits [b, classes], no rule in it: under a rule the gradient of
            a lower layer would be the rule's error.
        layers: Names of Conv2d layers.
        batch_of: Indices int64 [b] → the network's input for these images.
        n: Exemplars are sought among images 0 … n − 1.
        important_for: int64 [m], those of these images over which importance is averaged.
        channels: c, how many channels of each layer.
        images: k, how many exemplars of each channel, 1 ≤ k ≤ n.
        batch_size: Images at a time.

    Returns:
        Layer → form of importance, "before" (absolute value per image) or "none" (signed) → what it
        shows. The network stays as it was.

    Raises:
        AuditError: A layer that is no Conv2d of the network or has fewer channels; no image, or
            fewer than asked for; an activation that is not finite.

    Source: Lance & Kieu 2026, c = 3 and k = 9.
    """
    for name in layers:
        require_convolution(network, name, channels)
    if not len(important_for):
        raise AuditError("channel importance needs images to be averaged over, but there are none")
    everything = torch.arange(n, device=important_for.device).split(batch_size)
    with evaluation_mode(network):
        every = [_answers(network, layers, batch_of(part)) for part in everything]
        chosen = [
            _gradients(network, layers, batch_of(part)) for part in important_for.split(batch_size)
        ]
    result = {}
    for name in layers:
        means = torch.cat([batch[name] for batch in every])
        gradients = torch.cat([batch[name] for batch in chosen])
        result[name] = {
            form: _exemplars(
                channel_importance(means[important_for], gradients, form), means, channels, images
            )
            for form in FORMS
        }
    return result


def _exemplars(importance: Tensor, means: Tensor, channels: int, images: int) -> Exemplars:
    top = torch.argsort(importance, descending=True, stable=True)[:channels]
    return Exemplars(importance.cpu(), top.cpu(), top_images(means, top, images).cpu())


def require_convolution(network: nn.Module, name: str, channels: int) -> None:
    """Refuse a name that is no Conv2d of the network, or one with fewer channels.

    Raises:
        AuditError: It is.
    """
    known = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    if name not in known:
        raise AuditError(
            f"there is no convolution {name!r} in the network; choose from: {', '.join(known)}"
        )
    if channels > known[name].out_channels:
        raise AuditError(
            f"{name} has {known[name].out_channels} channels, but the top {channels} were asked "
            "for; ask for fewer"
        )


def _answers(network: nn.Module, layers: Sequence[str], batch: Tensor) -> Mapping[str, Tensor]:
    """Spatial means [b, C] of each layer's outputs."""
    with torch.no_grad():
        outputs, _ = _run(network, layers, batch)
    return {name: _spatial_mean(output) for name, output in outputs.items()}


def _gradients(network: nn.Module, layers: Sequence[str], batch: Tensor) -> Mapping[str, Tensor]:
    """Spatial means [b, C] of the gradients of each image's predicted logit."""
    with torch.enable_grad():
        # The images ask for a gradient, so that there is one also where all weights are frozen.
        outputs, logits = _run(network, layers, batch.detach().requires_grad_())
        predicted = logits.gather(1, logits.argmax(1, keepdim=True))
    gradients = torch.autograd.grad(predicted.sum(), list(outputs.values()))
    return dict(zip(outputs, map(_spatial_mean, gradients), strict=True))


def _run(
    network: nn.Module, layers: Sequence[str], batch: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """The outputs of the layers, and the logits."""
    outputs: dict[str, Tensor] = {}

    def recording(name: str) -> Callable[..., Tensor]:
        def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            outputs[name] = output
            return output.clone()  # a later in-place ReLU shall not spoil what is kept

        return record

    with ExitStack() as stack:
        for name in layers:
            hook = network.get_submodule(name).register_forward_hook(recording(name))
            stack.callback(hook.remove)
        logits: Tensor = network(batch)
    return outputs, logits


def _spatial_mean(maps: Tensor) -> Tensor:
    return maps.detach().double().mean((2, 3))


def brightness_and_contrast(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each image's grey values.

    Grey is .299 R + .587 G + .114 B (ITU-R BT.601).

    Args:
        pixels: uint8 [n, height, width, 3], n ≥ 1.

    Returns:
        Brightness and contrast, float64 [n] each, in [0, 1] and [0, 1/2]; the standard deviation is
        that of all the image's pixels, not an estimate from some.
    """
    weights = torch.tensor(_GREY, dtype=torch.float64, device=pixels.device)
    grey = (pixels.double() / 255 @ weights).flatten(1)
    return grey.mean(1), grey.std(1, correction=0)
