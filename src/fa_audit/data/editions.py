"""What is known of CIFAR-10 and CIFAR-100: classes, files, and by what their images are known.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html describes the layouts of both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True)
class Edition:
    """One of the two data sets.

    Attributes:
        name: The key by which studies name it.
        title: Its name for people.
        classes: The name of each label; of CIFAR-100 the fine ones.
        mean: Mean of R, G and B over the training images, in [0, 1].
        std: Their standard deviation.
        binary_folder: What the official binary archive unpacks to; files end with ".bin".
        python_folder: The same of the python archive, which torchvision downloads.
        torchvision_class: What reads that one: a class of torchvision.datasets, with MD5 sums.
        files: Split → its files, in order, without an ending.
        records: Split → images in each of its files.
        coarse_classes: Superclasses, whose label comes before the fine one in a binary record; 0
            where there is one label only.
        fingerprints: Split → `Images.fingerprint`; None where it is not known.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    binary_folder: str
    python_folder: str
    torchvision_class: str
    files: Mapping[str, tuple[str, ...]]
    records: Mapping[str, int]
    coarse_classes: int = 0
    fingerprints: Mapping[str, str] | None = None

    @property
    def all_files(self) -> tuple[str, ...]:
        """The files of both splits."""
        return tuple(chain.from_iterable(self.files.values()))

    @property
    def label_bytes(self) -> int:
        """Bytes before the pixels of a binary record; the last is the label."""
        return 2 if self.coarse_classes else 1


CIFAR10 = Edition(
    name="cifar10",
    title="CIFAR-10",
    classes=(
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    binary_folder="cifar-10-batches-bin",
    python_folder="cifar-10-batches-py",
    torchvision_class="CIFAR10",
    files={"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)},
    records={"train": 10_000, "test": 10_000},
    fingerprints={
        "train": "55a61f79a40ece2ceda9fb5f9f7078f6ea2fc4952489cef56682bcf92cfcc260",
        "test": "325704b01eb92e1e2a6215ae6a916bb7db7de054af0c496be1c7be2e0fcfbf5f",
    },
)

_FINE_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

# The fine labels are numbered in alphabetical order. Mean and deviation are the customary ones, as
# NX-AI/vision-lstm (cifar100_norm.py) has them. No fingerprint: nobody here has seen the images.
CIFAR100 = Edition(
    name="cifar100",
    title="CIFAR-100",
    classes=tuple(_FINE_CLASSES.split()),
    mean=(0.5071, 0.4867, 0.4408),
    std=(0.2673, 0.2564, 0.2762),
    binary_folder="cifar-100-binary",
    python_folder="cifar-100-python",
    torchvision_class="CIFAR100",
    files={"train": ("train",), "test": ("test",)},
    records={"train": 50_000, "test": 10_000},
    coarse_classes=20,
)

EDITIONS = {edition.name: edition for edition in (CIFAR10, CIFAR100)}
