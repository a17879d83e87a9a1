"""What the ledger says of a network's channels: their importance, and the images they answer to.

The weights are looked at in a plain network, without the rule that they were learned by. Outputs do
not depend on the rule, but the gradient of a logit would: with the rule in place a layer below
another would be given the rule's error, which is not the derivative that importance asks for.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fa_audit.data import Batches, Dataset
from fa_audit.errors import AuditError
from fa_audit.measure import evaluate
from fa_audit.measure.exemplars import (
    FORMS,
    Exemplars,
    brightness_and_contrast,
    exemplars,
    require_convolution,
)
from fa_audit.networks import build_network
from fa_audit.streams import stream
from fa_audit.study.cells import ChannelCell, RunCell
from fa_audit.study.comparisons import bare_network
from fa_audit.study.results import CORRECT, Measurements, Weights, measurement
from fa_audit.study.settings import ChannelSettings
from fa_audit.study.spec import Study

# How the ledger calls the two forms of importance.
FORM_NAMES = {"before": "absolute", "none": "signed"}

_FORM = {
    "before": "mean over images of |gradient · activation|",
    "none": "mean over images of gradient · activation",
}


def require_channels(study: Study, dataset: Dataset) -> None:
    """Refuse what [channels] asks for and the images or the network do not have.

    Raises:
        AuditError: A class or convolution that is not there, or fewer channels or test images than
            asked for.
    """
    settings = study.channels
    if not study.inspections:
        return
    for name in (settings.class_, *(name for of in settings.groups.values() for name in of)):
        if name not in dataset.classes:
            raise AuditError(
                f"[channels] names the class {name!r}, which {dataset.title} does not have; "
                f"choose from: {', '.join(dataset.classes)}"
            )
    for name in settings.groups:
        if name in dataset.classes:
            raise AuditError(f"channels.groups.{name} is called like a class; choose another name")
    if settings.images > len(dataset.test):
        raise AuditError(
            f"channels.images is {settings.images}, but there are only {len(dataset.test)} test "
            "images; ask for fewer"
        )
    network = build_network(study.network, len(dataset.classes), stream(0, "initialisation"))
    for layer in settings.layers:
        require_convolution(network, layer, settings.channels)


def channel_measurements(
    cell: ChannelCell,
    dataset: Dataset,
    weights_of: Callable[[RunCell], Weights],
    device: torch.device,
) -> tuple[Measurements, dict[str, Any]]:
    """Look at the channels of one network.

    Args:
        cell: Which network, and what of it.
        dataset: The images.
        weights_of: A run's weights by name.
        device: Where to compute.

    Returns:
        The measurements: the accuracy of the very weights looked at, and for each layer and form of
        importance the exemplars' classes, brightness and contrast. And as series, for each layer
        and form: importance of every channel, the top channels, and for each of these its
        exemplars: their indices among the test images.
    """
    settings, crop = cell.settings, cell.network.data.crop
    test = dataset.test.to(device)
    batches = Batches(test, dataset.mean, dataset.std, crop)
    network = bare_network(cell.network, dataset, weights_of).to(device)
    of_class = (test.labels == dataset.classes.index(settings.class_)).nonzero().flatten()
    seen = _centre(dataset.test.pixels, crop)
    tones = dict(zip(("brightness", "contrast"), brightness_and_contrast(seen), strict=True))
    index = torch.arange(len(test), device=device)
    accuracy = evaluate(network, batches.centre, index, test.labels).accuracy
    measurements: Measurements = {
        "test_accuracy": measurement(CORRECT, len(test), "%", {"network": accuracy})
    }
    try:
        found = exemplars(
            network,
            settings.layers,
            batches.centre,
            len(test),
            of_class,
            channels=settings.channels,
            images=settings.images,
        )
    except AuditError as error:
        # An activation that overflows: a fact about this network, as require_channels has passed.
        return measurements | _undefined(settings, dataset, str(error)), {}
    series: dict[str, Any] = {}
    for layer in settings.layers:
        series[layer] = {}
        for form in FORMS:
            one = found[layer][form]
            measurements |= _measurements(layer, form, one, settings, dataset, tones)
            series[layer][FORM_NAMES[form]] = {
                "importance": one.importance.tolist(),
                "channels": one.channels.tolist(),
                "exemplars": one.images.tolist(),
            }
    return measurements, {"channels": series}


def _measurements(
    layer: str,
    form: str,
    found: Exemplars,
    settings: ChannelSettings,
    dataset: Dataset,
    tones: dict[str, Tensor],
) -> Measurements:
    """What is counted and averaged over the exemplars of one layer and form."""
    images = found.images.flatten()
    counts = torch.bincount(dataset.test.labels[images], minlength=len(dataset.classes))
    by_class = dict(zip(dataset.classes, map(float, counts.tolist()), strict=True))
    groups = {name: sum(by_class[c] for c in of) for name, of in settings.groups.items()}
    result = {
        _name("classes", layer, form): measurement(
            _estimator("images of a class or group", form, settings),
            len(images),
            "images",
            {**by_class, **groups},
        )
    }
    for tone, values in tones.items():
        own, whole = values[images].mean().item(), values.mean().item()
        result[_name(tone, layer, form)] = measurement(
            _estimator(_TONE[tone], form, settings),
            len(images),
            "1",
            {"exemplars": own, "test-set": whole, "difference": own - whole},
        )
    return result


_TONE = {
    "brightness": "mean over images of the mean grey value of the centre crop, white = 1",
    "contrast": "mean over images of the standard deviation of grey values in the centre crop",
}


def _name(quantity: str, layer: str, form: str) -> str:
    return f"exemplar_{quantity}/{layer}/{FORM_NAMES[form]}"


def _estimator(what: str, form: str, settings: ChannelSettings) -> str:
    return (
        f"{what}; the {settings.images} test images of highest mean activation for each of the top "
        f"{settings.channels} channels by {_FORM[form]}, test images of class {settings.class_}"
    )


def _undefined(settings: ChannelSettings, dataset: Dataset, reason: str) -> Measurements:
    places = {
        "classes": ("images", (*dataset.classes, *settings.groups)),
        **dict.fromkeys(_TONE, ("1", ("exemplars", "test-set", "difference"))),
    }
    return {
        _name(quantity, layer, form): measurement(
            _estimator(_TONE.get(quantity, "images of a class or group"), form, settings),
            0,
            unit,
            dict.fromkeys(at),
            reason,
        )
        for layer in settings.layers
        for form in FORMS
        for quantity, (unit, at) in places.items()
    }


def _centre(pixels: Tensor, crop: int) -> Tensor:
    """The part of each image that the network sees."""
    row, column = ((side - crop) // 2 for side in pixels.shape[1:3])
    return pixels[:, row : row + crop, column : column + crop]
