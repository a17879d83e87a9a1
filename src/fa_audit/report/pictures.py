"""The images behind the exemplars of a record, where the data set is at hand.

A ledger holds numbers only. Which images it means is found by their content, because the records
of a data set may come in another order in another folder.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from fa_audit.data import Dataset
from fa_audit.measure.exemplars import brightness_and_contrast
from fa_audit.study.inspections import DIGEST
from fa_audit.study.ledger import Record

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """The test images at hand, as the networks see them.

    Attributes:
        dataset: The data set.
        crop: Side of the centre crop.
    """

    dataset: Dataset
    crop: int

    def exemplars(self, record: Record, layer: str, form: str) -> Pixels | None:
        """The exemplars of a record's top channels.

        Args:
            record: Of kind "channels".
            layer: One of its layers.
            form: "absolute" or "signed" importance.

        Returns:
            uint8 [channels, images, crop, crop, 3]; None where they are not among the images.
        """
        found = record.series["channels"][layer][form]
        if "digests" in found:
            named = [[self._places.get(digest) for digest in of] for of in found["digests"]]
            index = [[place for place in of if place is not None] for of in named]
            if index != named:
                return None
        else:
            index = found["exemplars"]
            if not self._are_where_they_were(record, layer, form, index):
                return None
        pixels: Pixels = self._centre(torch.tensor(index)).numpy()
        return pixels

    @cached_property
    def _places(self) -> Mapping[str, int]:
        digests = self.dataset.test.digests()
        return {digest.hex()[:DIGEST]: place for place, digest in enumerate(digests)}

    def _are_where_they_were(
        self, record: Record, layer: str, form: str, index: list[list[int]]
    ) -> bool:
        """Whether a record that names places only was made of images in this order.

        It was if the images there have the mean brightness and contrast that it holds to nine
        digits.
        """
        places = torch.tensor(index).flatten()
        if places.max() >= len(self.dataset.test):
            return False
        tones = brightness_and_contrast(self._centre(places))
        return all(
            math.isclose(
                tone.mean().item(),
                record.measurements[f"exemplar_{name}/{layer}/{form}"]["values"]["exemplars"],
                rel_tol=1e-8,
            )
            for name, tone in zip(("brightness", "contrast"), tones, strict=True)
        )

    def _centre(self, index: torch.Tensor) -> torch.Tensor:
        pixels = self.dataset.test.pixels[index]
        row, column = ((side - self.crop) // 2 for side in pixels.shape[-3:-1])
        return pixels[..., row : row + self.crop, column : column + self.crop, :]
