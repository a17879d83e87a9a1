"""ResNet-18 in its form for small images."""

from collections import OrderedDict

from torch import Tensor, nn

from fa_audit.networks.parts import draw_he_weights, normalisation_of

BLOCKS = 2


class ResidualBlock(nn.Module):
    """relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x)), both convolutions 3×3.

    Args:
        inputs: Channels of x.
        outputs: Channels of what comes out.
        stride: Of conv1 and of the shortcut. The shortcut is x itself or, where size or channels
            change, a 1×1 convolution of it, normalised like the others.
        normalisation: "batch", or None for none.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, normalisation: str | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.norm1 = normalisation_of(self.conv1, normalisation)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = normalisation_of(self.conv2, normalisation)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride)
            norm = normalisation_of(conv, normalisation)
            self.shortcut = nn.Sequential(OrderedDict(conv=conv, norm=norm))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] → [n, outputs, h / stride, w / stride], rounded up."""
        y = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        result: Tensor = self.relu2(y + self.shortcut(x))
        return result


def resnet18(classes: int = 10, width: int = 64, normalisation: str | None = None) -> nn.Sequential:
    """ResNet-18 for small images: 3×3 stem without pooling, four stages of two residual blocks.

    conv1 3→64 3×3 · stage1 64 · stage2 128 · stage3 256 · stage4 512 channels, the stages after the
    first at half the size of the one before · mean over all positions · fc. Images [n, 3, h, w] of
    any size. 20 convolutions, three of them in shortcuts, and one linear layer; 11.2 million
    weights. An image of 32 × 32 takes 555 million multiply-adds forward.

    He initialisation: see `draw_he_weights`. Without normalisation, which the source always has,
    nothing keeps the sums from growing: the variance of the signal doubles in every block.

    FA (Random) has dense feedback of (h · w · channels)² numbers in each layer: 17 GB in each
    convolution of stage1 for images of 32 × 32. The other rules have no such limit.

    Source: He et al. 2016, the 18-layer network with the stem of the paper's CIFAR-10 networks.

    Args:
        classes: Number of outputs.
        width: Channels of the stem and of stage1.
        normalisation: "batch", or None for none.
    """
    conv1 = nn.Conv2d(3, width, 3, padding=1)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=conv1, norm1=normalisation_of(conv1, normalisation), relu1=nn.ReLU()
    )
    inputs = width
    for stage in range(4):
        outputs = width * 2**stage
        blocks = OrderedDict[str, nn.Module]()
        for block in range(BLOCKS):
            stride = 2 if stage and not block else 1
            blocks[f"block{block + 1}"] = ResidualBlock(inputs, outputs, stride, normalisation)
            inputs = outputs
        layers[f"stage{stage + 1}"] = nn.Sequential(blocks)
    layers["mean"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(inputs, classes)
    network = nn.Sequential(layers)
    draw_he_weights(network)
    return network
