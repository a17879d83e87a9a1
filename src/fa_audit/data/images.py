"""Images held in memory as bytes, and their content as what names and orders them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Records hashed at a time: large enough to be fast, small enough (12 MB) not to double the memory.
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Images:
    """One split of a data set, held in memory as one array of bytes.

    Attributes:
        pixels: uint8 [n, height, width, 3], rows from the top, channels R, G, B last.
        labels: int64 [n], 0 ≤ label ≤ 255.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Images:
        """The same images on another device."""
        return Images(self.pixels.to(device), self.labels.to(device))

    def digests(self) -> list[bytes]:
        """Name every image by its content, label included.

        SHA-256 of the record that CIFAR-10's binary layout stores: one byte of label, then all of
        R, of G and of B, each row by row (3,073 bytes for 32 × 32 pixels).

        Returns:
            32 bytes for each image, in their order.
        """
        digests: list[bytes] = []
        for pixels, labels in zip(
            self.pixels.split(_CHUNK), self.labels.split(_CHUNK), strict=True
        ):
            planes = pixels.permute(0, 3, 1, 2).flatten(1)
            records = torch.cat((labels.to(torch.uint8)[:, None], planes), dim=1).cpu().numpy()
            digests.extend(hashlib.sha256(record).digest() for record in records)
        return digests

    def fingerprint(self) -> str:
        """Name the split by its content, whatever the order and the container of its records.

        SHA-256(sort(SHA-256(record_1), …, SHA-256(record_n))), the sorted digests joined.

        Returns:
            64 hexadecimal digits, equal for equal multisets of labelled images.
        """
        return _joined(sorted(self.digests()))

    def sorted_by_content(self) -> tuple[Images, str]:
        """Put the images into the order of their digests, which no container has a part in.

        Returns:
            The same images in ascending order of `digests`, and their fingerprint.
        """
        digests = self.digests()
        order = sorted(range(len(self)), key=digests.__getitem__)
        index = torch.tensor(order, device=self.labels.device)
        fingerprint = _joined([digests[i] for i in order])
        return Images(self.pixels[index], self.labels[index]), fingerprint


def _joined(digests: list[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification task: two splits, and what is needed to present and to recognise them.

    Attributes:
        name: The key by which `load_dataset` finds it.
        title: The name to print beside every result.
        stand_in: Whether it only takes the place of the data that a claim speaks of; such results
            are never judged as the paper's.
        classes: The name of each label.
        train: The images to be trained and validated on.
        test: The images to be tested on.
        mean: Mean of R, G and B in [0, 1], subtracted from the scaled pixels.
        std: Standard deviation of R, G and B, by which the difference is divided.
        fingerprints: `Images.fingerprint` of "train" and "test".
        caveat: How the images were recognised, where not by a fingerprint known beforehand; else
            empty.
    """

    name: str
    title: str
    stand_in: bool
    classes: tuple[str, ...]
    train: Images
    test: Images
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fingerprints: Mapping[str, str]
    caveat: str = ""
