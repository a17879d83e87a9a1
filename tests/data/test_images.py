from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fa_audit.data import Images, images


def some_images(n: int, seed: int = 0) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (n, 32, 32, 3), generator=generator).to(torch.uint8)
    return Images(pixels, torch.randint(10, (n,), generator=generator))


def slow_records(split: Images) -> list[bytes]:
    """Label byte, then R, G and B, each row by row; one byte at a time."""
    pixels, labels = split.pixels.numpy(), split.labels.numpy()
    return [
        bytes([labels[i]])
        + bytes(
            pixels[i, row, column, channel]
            for channel in range(3)
            for row in range(pixels.shape[1])
            for column in range(pixels.shape[2])
        )
        for i in range(len(labels))
    ]


def test_fingerprint_is_the_hash_of_the_sorted_hashes_of_the_records() -> None:
    split = some_images(3)
    records = slow_records(split)
    assert {len(record) for record in records} == {3073}
    digests = sorted(hashlib.sha256(record).digest() for record in records)
    assert split.fingerprint() == hashlib.sha256(b"".join(digests)).hexdigest()


@given(st.permutations(range(9)))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_fingerprint_does_not_depend_on_the_order_of_the_records(order: list[int]) -> None:
    split = some_images(9)
    shuffled = Images(split.pixels[order], split.labels[order])
    assert shuffled.fingerprint() == split.fingerprint()


@given(st.permutations(range(9)))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_sorting_by_content_gives_one_order_whatever_it_was(order: list[int]) -> None:
    split = some_images(9)
    split.pixels[3], split.labels[3] = split.pixels[5], split.labels[5]  # one image twice
    shuffled = Images(split.pixels[order], split.labels[order])
    found, fingerprint = shuffled.sorted_by_content()
    assert found.digests() == sorted(split.digests())
    assert fingerprint == found.fingerprint() == split.fingerprint()
    assert found.pixels.is_contiguous()
    assert len(found) == 9


def test_fingerprint_does_not_depend_on_how_many_records_are_hashed_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split = some_images(10)
    at_once = split.fingerprint()
    monkeypatch.setattr(images, "_CHUNK", 3)
    assert split.fingerprint() == at_once


def test_fingerprint_changes_with_any_bit_any_label_and_any_rearrangement_within_an_image() -> None:
    split = some_images(4)
    bit = split.pixels.clone()
    bit[2, 31, 31, 2] ^= 1
    labels = split.labels.clone()
    labels[0] += 1
    variants = [
        split,
        Images(bit, split.labels),
        Images(split.pixels, labels),
        Images(split.pixels.flip(0), split.labels),  # images under each other's labels
        Images(split.pixels.transpose(1, 2), split.labels),
        Images(split.pixels.flip(3), split.labels),  # blue for red
        Images(split.pixels[:3], split.labels[:3]),
        Images(split.pixels.repeat(2, 1, 1, 1), split.labels.repeat(2)),
    ]
    assert len({variant.fingerprint() for variant in variants}) == len(variants)


def test_length_is_the_number_of_images() -> None:
    assert len(some_images(4)) == 4


def test_images_on_another_device_are_the_same_images() -> None:
    split = some_images(2)
    moved = split.to("cpu")
    assert torch.equal(moved.pixels, split.pixels)
    assert torch.equal(moved.labels, split.labels)
    assert split.to("meta").pixels.device.type == split.to("meta").labels.device.type == "meta"


@pytest.mark.cuda
def test_fingerprint_does_not_depend_on_the_device() -> None:
    split = some_images(5)
    assert split.to("cuda").fingerprint() == split.fingerprint()


def test_labels_of_images_keep_their_values_as_bytes() -> None:
    split = Images(torch.zeros(1, 2, 2, 3, dtype=torch.uint8), torch.tensor([255]))
    record = np.concatenate([[255], np.zeros(12)]).astype(np.uint8).tobytes()
    digest = hashlib.sha256(record).digest()
    assert split.fingerprint() == hashlib.sha256(digest).hexdigest()
