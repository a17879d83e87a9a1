"""The images behind the exemplars of a record, where the data set is at hand.

A ledger holds numbers only: an exemplar is an index among the test images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from fa_audit.data import Dataset
from fa_audit.study.ledger import Record

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """The test images at hand, as the networks see them; read when the first are shown.

    Attributes:
        load: Reads the data set.
        crop: Side of the centre crop.
    """

    load: Callable[[], Dataset]
    crop: int

    @cached_property
    def dataset(self) -> Dataset:
        """The data set.

        Raises:
            AuditError: It cannot be read.
        """
        return self.load()

    def exemplars(self, record: Record, layer: str, form: str) -> Pixels | None:
        """The exemplars of a record's top channels.

        Args:
            record: Of kind "channels".
            layer: One of its layers.
            form: "absolute" or "signed" importance.

        Returns:
            uint8 [channels, images, crop, crop, 3]; None where the record is of other images.
        """
        if record.provenance.get("data", {}).get("test") != self.dataset.fingerprints["test"]:
            return None
        index = torch.tensor(record.series["channels"][layer][form]["exemplars"])
        shown = self.dataset.test.pixels[index]
        row, column = ((side - self.crop) // 2 for side in shown.shape[-3:-1])
        pixels: Pixels = shown[..., row : row + self.crop, column : column + self.crop, :].numpy()
        return pixels
