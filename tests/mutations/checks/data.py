"""Checks of the images that networks see, against slices of NumPy arrays."""

import hashlib

import numpy as np
import torch

from fa_audit.data import Batches, Images, draw_crops, split_train_validation
from mutations.registry import check
from mutations.small import random_images
from oracles.rule_twins import Array

MEAN, STD, SIDE = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), 24


def cut(images: Images, i: int, row: int, column: int, flip: bool = False) -> Array:
    """One crop by hand: [3, crop, crop], mirrored left to right where asked, normalised."""
    pixels = images.pixels[i].numpy()[row : row + SIDE, column : column + SIDE]
    pixels = pixels[:, ::-1] if flip else pixels
    return ((pixels / 255 - np.array(MEAN)) / np.array(STD)).transpose(2, 0, 1)


@check
def centre_crop() -> None:
    """For evaluation the middle 24 × 24 of the 32 × 32 pixels are cut out and normalised."""
    images = random_images(3)
    found = Batches(images, MEAN, STD, SIDE).centre(torch.tensor([2, 0])).numpy()
    for crop, i in zip(found, (2, 0), strict=True):
        assert abs(crop - cut(images, i, 4, 4)).max() < 1e-5


@check
def crop_and_flip() -> None:
    """Each image is cut at its own row and column, and mirrored left to right where asked."""
    images, index = random_images(4), [3, 1, 0]
    offsets, flips = [(0, 8), (5, 2), (8, 0)], [True, False, True]
    found = Batches(images, MEAN, STD, SIDE).crop(
        torch.tensor(index), torch.tensor(offsets), torch.tensor(flips)
    )
    for crop, i, (row, column), flip in zip(found.numpy(), index, offsets, flips, strict=True):
        assert abs(crop - cut(images, i, row, column, flip)).max() < 1e-5


@check
def random_crops() -> None:
    """Every offset from 0 to 8 is drawn, rows and columns apart, and about half are mirrored."""
    offsets, flips = draw_crops(600, 32, SIDE, True, torch.Generator().manual_seed(0))
    for drawn in offsets.T:
        assert set(drawn.tolist()) == set(range(9))
    assert abs(torch.corrcoef(offsets.T.double())[0, 1]) < 0.2
    assert 0.4 < flips.double().mean() < 0.6


@check
def split() -> None:
    """Training and validation images are disjoint, all there are, and drawn without order."""
    train, validation = split_train_validation(30, 10, torch.Generator().manual_seed(0))
    assert (len(train), len(validation)) == (20, 10)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(30))
    assert validation.tolist() != sorted(validation.tolist())


@check
def order_by_content() -> None:
    """Images stand in the order of their records' SHA-256, whatever order they came in."""
    images = random_images(6)
    turned = Images(images.pixels.flip(0), images.labels.flip(0))
    (first, name), (second, other) = images.sorted_by_content(), turned.sorted_by_content()
    assert torch.equal(first.pixels, second.pixels)
    assert torch.equal(first.labels, second.labels)
    assert first.digests() == sorted(images.digests())
    assert name == other == images.fingerprint()


@check
def fingerprint() -> None:
    """A fingerprint is that of the sorted records: any order gives it, another pixel does not."""
    images = random_images(5)
    planes = images.pixels.numpy().transpose(0, 3, 1, 2)
    records = [
        bytes([label]) + image.tobytes()
        for label, image in zip(images.labels.tolist(), planes, strict=True)
    ]
    digests = sorted(hashlib.sha256(record).digest() for record in records)
    expected = hashlib.sha256(b"".join(digests)).hexdigest()
    order = torch.tensor([3, 0, 4, 1, 2])
    assert images.fingerprint() == expected
    assert Images(images.pixels[order], images.labels[order]).fingerprint() == expected
    changed = images.pixels.clone()
    changed[0, 0, 0, 0] ^= 1
    assert Images(changed, images.labels).fingerprint() != expected
