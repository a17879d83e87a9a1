"""Exemplars against a slow twin, on networks whose answer is known, and what is refused."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fa_audit.errors import AuditError
from fa_audit.measure.exemplars import brightness_and_contrast, exemplars
from measure.networks import images, same, small_network, trace
from oracles import metrics_twins as twins

IMAGES = images(12).contiguous()
CHOSEN = torch.tensor([1, 4, 5, 9])


def found(network: nn.Module, channels: int = 2, k: int = 3, batch_size: int = 5):  # type: ignore[no-untyped-def]
    return exemplars(
        network,
        ["conv"],
        lambda index: IMAGES[index],
        len(IMAGES),
        CHOSEN,
        channels=channels,
        images=k,
        batch_size=batch_size,
    )["conv"]


def maps_and_gradients(network: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Outputs of the convolution and gradients of the predicted logit, one image at a time."""
    network = network.double().eval()
    pairs = []
    for image in IMAGES.double():
        output = network[0](image[None]).detach().requires_grad_()
        logits = network[1:](output.clone())
        logits[0, logits.argmax()].backward()
        assert output.grad is not None
        pairs.append((output.detach(), output.grad))
    network.float()
    return torch.cat([a for a, _ in pairs]), torch.cat([g for _, g in pairs])


@pytest.mark.parametrize("inplace", [False, True], ids=["plain", "in place"])
@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_importance_channels_and_images_match_their_twins(inplace: bool, batch_size: int) -> None:
    network = small_network(0, inplace, width=5)
    result = found(network, batch_size=batch_size)
    activation, gradient = maps_and_gradients(network)
    assert set(result) == {"before", "none"}
    for form, one in result.items():
        importance = twins.channel_importance(activation[CHOSEN], gradient[CHOSEN], form)
        np.testing.assert_allclose(one.importance, importance, rtol=1e-4, atol=1e-7)
        top = sorted(range(5), key=lambda c: -importance[c])[:2]
        assert one.channels.tolist() == top
        assert one.images.tolist() == [twins.top_images(activation, c, 3) for c in top]


def test_the_images_of_a_channel_that_measures_brightness_are_the_brightest() -> None:
    with torch.random.fork_rng(devices=[]):
        layers = {
            "conv": nn.Conv2d(2, 2, 1, bias=False),
            "flatten": nn.Flatten(),
            "fc": nn.Linear(72, 1, bias=False),
        }
    with torch.no_grad():
        filters = torch.tensor([[1.0, 1.0], [0.01, -0.01]])
        layers["conv"].weight.copy_(filters[:, :, None, None])
        layers["fc"].weight.fill_(1.0)
    network = nn.Sequential(OrderedDict(layers))
    brightness = IMAGES.mean((1, 2, 3))
    top = brightness.argsort(descending=True)[:3]
    one = found(network, channels=1)["before"]
    assert one.channels.tolist() == [0]
    assert one.images.tolist() == [top.tolist()]


def test_the_network_stays_as_it_was() -> None:
    network = small_network(0)
    network.eval()(IMAGES).sum().backward()
    network.train()
    before = trace(network)
    found(network)
    assert same(before, trace(network))


def test_frozen_weights_make_no_difference() -> None:
    network, frozen = small_network(0), small_network(0).requires_grad_(False)
    for form, one in found(network).items():
        assert torch.equal(one.importance, found(frozen)[form].importance)


def test_what_the_network_does_not_have_is_refused() -> None:
    network = small_network(0)
    arguments = (lambda index: IMAGES[index], 12, CHOSEN)
    with pytest.raises(AuditError, match="no convolution 'fc1' in the network"):
        exemplars(network, ["fc1"], *arguments)
    with pytest.raises(AuditError, match="conv has 3 channels, but the top 4 were asked for"):
        exemplars(network, ["conv"], *arguments, channels=4)
    with pytest.raises(AuditError, match="top_images was asked for 13 of 12 images"):
        exemplars(network, ["conv"], *arguments, images=13)
    with pytest.raises(AuditError, match="needs images to be averaged over, but there are none"):
        exemplars(network, ["conv"], arguments[0], 12, CHOSEN[:0])


def flat(*colour: int) -> Tensor:
    return torch.tensor(colour, dtype=torch.uint8).expand(1, 4, 4, 3)


@pytest.mark.parametrize(
    ("colour", "brightness"),
    [
        ((0, 0, 0), 0.0),
        ((255, 255, 255), 1.0),
        ((255, 0, 0), 0.299),
        ((0, 255, 0), 0.587),
        ((0, 0, 255), 0.114),
        ((51, 51, 51), 0.2),
    ],
)
def test_an_image_of_one_colour_has_its_grey_and_no_contrast(
    colour: tuple[int, int, int], brightness: float
) -> None:
    mean, deviation = brightness_and_contrast(flat(*colour))
    assert mean.tolist() == pytest.approx([brightness], abs=1e-12)
    assert deviation.tolist() == pytest.approx([0.0], abs=1e-12)


def test_brightness_is_taken_on_the_device_that_the_pixels_lie_on() -> None:
    mean, deviation = brightness_and_contrast(torch.zeros(2, 4, 4, 3, device="meta").byte())
    assert (mean.device.type, deviation.device.type) == ("meta", "meta")


def test_half_black_half_white_has_the_highest_contrast_there_is() -> None:
    halves = torch.cat([flat(0, 0, 0), flat(255, 255, 255)], dim=1)
    mean, deviation = brightness_and_contrast(torch.cat([halves, halves]))
    assert mean.tolist() == pytest.approx([0.5, 0.5], abs=1e-12)
    assert deviation.tolist() == pytest.approx([0.5, 0.5], abs=1e-12)
