"""Plain convolutional networks: one layer after another."""

from collections import OrderedDict

from torch import nn

from fa_audit.errors import AuditError
from fa_audit.networks.parts import draw_he_weights, normalised

STAGES = 3


def architecture1(
    classes: int = 10, width: int = 64, normalisation: str | None = None
) -> nn.Sequential:
    """Architecture 1 of Moskovitz et al. 2018, the five-layer network of Lance & Kieu 2026.

    conv1 3→64 5×5 · pool · ReLU · conv2 64→64 5×5 · pool · ReLU · fc1 576→384 · ReLU ·
    fc2 384→192 · ReLU · fc3 192→classes. No padding; 2×2 max pooling; images [n, 3, 24, 24].
    PyTorch's default initialisation.

    Differs from the source in the order of pooling and ReLU, which commute: max pooling first
    leaves the ReLU a quarter of the values. Normalisation, which the source has not, comes right
    after each layer but fc3.

    Args:
        classes: Number of outputs.
        width: Channels of both convolutions; fc1 and fc2 have 6 and 3 times as many units.
        normalisation: "batch", or None for none.
    """
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, width, 5),
            pool1=nn.MaxPool2d(2),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(width, width, 5),
            pool2=nn.MaxPool2d(2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(9 * width, 6 * width),
            relu3=nn.ReLU(),
            fc2=nn.Linear(6 * width, 3 * width),
            relu4=nn.ReLU(),
            fc3=nn.Linear(3 * width, classes),
        )
    )
    return normalised(network, normalisation)


def plain_cnn(
    depth: int, classes: int = 10, width: int = 32, normalisation: str | None = None
) -> nn.Sequential:
    """A plain network of `depth` layers: 3×3 convolutions in three stages, then a classifier.

    conv1 … conv(depth−1), each followed by normalisation (if any) and ReLU · mean over all
    positions · fc. Stages have width, 2 · width and 4 · width channels, and as equal numbers of
    convolutions as there are, later stages one more; 2×2 max pooling between them. Padding keeps
    the size within a stage, so images [n, 3, h, w] may have any size from 4 × 4 on. He
    initialisation: see `draw_he_weights`.

    Multiply-adds of one image of 24 × 24 and a training step, forward, error and weight gradient:
    depth 4 takes 16.9 million (34 MFLOP; architecture1 takes 15.8), depth 8 takes 80.6 and depth 12
    takes 144.3.

    Args:
        depth: Layers with weights, at least 4: one convolution per stage.
        classes: Number of outputs.
        width: Channels of the first stage.
        normalisation: "batch", or None for none.

    Raises:
        AuditError: Fewer than 4 layers.
    """
    if depth <= STAGES:
        raise AuditError(
            f"a plain network of depth {depth} lacks a convolution in one of its {STAGES} stages; "
            f"give it a depth of at least {STAGES + 1}"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels, number = 3, 0
    for stage in range(STAGES):
        if stage:
            layers[f"pool{stage}"] = nn.MaxPool2d(2)
        for _ in range((depth - 1 + stage) // STAGES):
            number += 1
            layers[f"conv{number}"] = nn.Conv2d(channels, width * 2**stage, 3, padding=1)
            layers[f"relu{number}"] = nn.ReLU()
            channels = width * 2**stage
    layers["mean"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(channels, classes)
    network = normalised(nn.Sequential(layers), normalisation)
    draw_he_weights(network)
    return network
