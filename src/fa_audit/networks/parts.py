"""What the networks share: batch normalisation, and the initial weights of He et al. 2015."""

import math
from collections import OrderedDict

from torch import nn

from fa_audit.errors import AuditError

NORMALISATIONS = ("batch",)


def require_normalisation(name: str | None) -> None:
    """Refuse a normalisation that there is not; None is none at all.

    Raises:
        AuditError: It is not in NORMALISATIONS.
    """
    if name is not None and name not in NORMALISATIONS:
        raise AuditError(
            f"normalisation is {name!r}; choose one of: {', '.join(NORMALISATIONS)}, none"
        )


def normalisation_of(layer: nn.Conv2d | nn.Linear, name: str | None) -> nn.Module:
    """What normalises the outputs of a layer: batch normalisation, or nothing where name is None.

    y = γ (x − mean) / √(variance + 1e-5) + β for each channel, over the batch in training and over
    running averages of weight .1 in evaluation. The layer loses its bias, which the mean would take
    away again. The bias was drawn all the same, so that one seed gives the same initial weights
    with and without normalisation.

    Source: Ioffe & Szegedy 2015.

    Raises:
        AuditError: No such normalisation.
    """
    require_normalisation(name)
    if name is None:
        return nn.Identity()
    layer.bias = None
    if isinstance(layer, nn.Conv2d):
        return nn.BatchNorm2d(layer.out_channels)
    return nn.BatchNorm1d(layer.out_features)


def normalised(network: nn.Sequential, name: str | None) -> nn.Sequential:
    """The network with norm1, norm2, … after each of its layers with weights but the last.

    Raises:
        AuditError: No such normalisation.
    """
    require_normalisation(name)
    if name is None:
        return network
    children = OrderedDict(network.named_children())
    weighted = [key for key, child in children.items() if isinstance(child, nn.Conv2d | nn.Linear)]
    result: OrderedDict[str, nn.Module] = OrderedDict()
    number = 0
    for key, child in children.items():
        result[key] = child
        if isinstance(child, nn.Conv2d | nn.Linear) and key != weighted[-1]:
            number += 1
            result[f"norm{number}"] = normalisation_of(child, name)
    return nn.Sequential(result)


def draw_he_weights(network: nn.Module) -> None:
    """Draw convolutions from N(0, 2 / inputs) and linear layers from N(0, 1 / inputs), biases 0.

    Thus deep stacks of ReLUs keep the size of their signals, which PyTorch's default halves twice
    in every layer; and a rule's B0 ~ N(0, σ²), σ the standard deviation of the layer's weights, is
    drawn from the very distribution that the weights were drawn from.

    Source: He et al. 2015; the linear layer is the classifier, which no ReLU follows.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            gain = 2.0 if isinstance(layer, nn.Conv2d) else 1.0
            nn.init.normal_(layer.weight, std=math.sqrt(gain / layer.weight[0].numel()))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
