"""Images cut, mirrored, split and named in one wrong way each."""

from typing import Any

import pytest
import torch
from torch import Tensor

from fa_audit.data import Batches, draw_crops, images, split_train_validation
from fa_audit.data.cifar import SIDE
from mutations.registry import broken, replace_function


@broken
def centre_crop_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """The central window lies one pixel too low and too far to the right."""
    right, crop = Batches.centre, Batches.crop

    def centre(batches: Batches, index: Tensor) -> Tensor:
        margin = (SIDE - right(batches, index).shape[-1]) // 2
        offsets = torch.full((len(index), 2), margin + 1)
        return crop(batches, index, offsets, torch.zeros(len(index), dtype=torch.bool))

    patch.setattr(Batches, "centre", centre)


@broken
def flip_of_the_wrong_axis(patch: pytest.MonkeyPatch) -> None:
    """Images are turned upside down in place of mirrored left to right."""
    right = Batches.crop

    def crop(batches: Batches, index: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
        cut = right(batches, index, offsets, torch.zeros_like(flips))
        return torch.where(flips[:, None, None, None], cut.flip(2), cut)

    patch.setattr(Batches, "crop", crop)


@broken
def rows_and_columns_of_crops_exchanged(patch: pytest.MonkeyPatch) -> None:
    """The offset of the row is taken for that of the column."""
    right = Batches.crop

    def crop(batches: Batches, index: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
        return right(batches, index, offsets.flip(1), flips)

    patch.setattr(Batches, "crop", crop)


@broken
def last_offset_never_drawn(patch: pytest.MonkeyPatch) -> None:
    """Random crops never reach the last row or column."""

    def wrong(n: int, size: int, *others: Any) -> tuple[Tensor, Tensor]:
        return draw_crops(n, size - 1, *others)

    replace_function(patch, draw_crops, wrong)


@broken
def one_offset_for_rows_and_columns(patch: pytest.MonkeyPatch) -> None:
    """Random crops lie on the diagonal."""

    def wrong(*arguments: Any) -> tuple[Tensor, Tensor]:
        offsets, flips = draw_crops(*arguments)
        return offsets[:, :1].expand(-1, 2), flips

    replace_function(patch, draw_crops, wrong)


@broken
def validation_images_trained_on(patch: pytest.MonkeyPatch) -> None:
    """The training images are all images, those set aside included."""

    def wrong(n: int, *others: Any) -> tuple[Tensor, Tensor]:
        return torch.arange(n), split_train_validation(n, *others)[1]

    replace_function(patch, split_train_validation, wrong)


@broken
def fingerprint_that_depends_on_order(patch: pytest.MonkeyPatch) -> None:
    """The digests of the records are joined as they come, not sorted."""
    patch.setattr(images, "sorted", lambda of, key=None: list(of), raising=False)


@broken
def images_as_the_folder_has_them(patch: pytest.MonkeyPatch) -> None:
    """Images keep the order of the files, so that one seed means other images elsewhere."""

    def wrong(split: images.Images) -> tuple[images.Images, str]:
        return split, split.fingerprint()

    patch.setattr(images.Images, "sorted_by_content", wrong)


@broken
def fingerprint_without_labels(patch: pytest.MonkeyPatch) -> None:
    """Records are known by their pixels alone."""
    right = images.Images.fingerprint

    def fingerprint(split: images.Images) -> str:
        return right(images.Images(split.pixels, torch.zeros_like(split.labels)))

    patch.setattr(images.Images, "fingerprint", fingerprint)
