from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import functional as transforms

from fa_audit.data import Batches, Images, draw_crops, split_train_validation
from fa_audit.data.editions import CIFAR10
from fa_audit.errors import AuditError

MEAN, STD = CIFAR10.mean, CIFAR10.std


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_images(n: int, side: int = 32) -> Images:
    pixels = torch.randint(256, (n, side, side, 3), generator=generator(1)).to(torch.uint8)
    return Images(pixels, torch.zeros(n, dtype=torch.int64))


def slow_crops(
    pixels: Tensor, index: Tensor, offsets: Tensor, flips: Tensor, crop: int
) -> np.ndarray:
    """One image at a time: cut, mirror, scale, centre, divide, channels first."""
    crops = []
    for i, (row, column), flip in zip(index, offsets.tolist(), flips, strict=True):
        image = pixels[i].numpy()[row : row + crop, column : column + crop]
        image = image[:, ::-1] if flip else image
        scaled = image.astype(np.float32) / np.float32(255)
        normalised = (scaled - np.float32(MEAN)) / np.float32(STD)
        crops.append(normalised.transpose(2, 0, 1))
    return np.stack(crops)


@given(
    n=st.integers(1, 6),
    batch=st.integers(1, 9),
    side_and_crop=st.sampled_from([(32, 24), (32, 32), (32, 1), (5, 3)]),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_crops_equal_those_cut_one_image_at_a_time(
    n: int, batch: int, side_and_crop: tuple[int, int], seed: int
) -> None:
    side, crop = side_and_crop
    images = some_images(n, side)
    random = generator(seed)
    index = torch.randint(n, (batch,), generator=random)
    offsets, flips = draw_crops(batch, side, crop, True, random)
    crops = Batches(images, MEAN, STD, crop).crop(index, offsets, flips)
    np.testing.assert_array_equal(
        crops.numpy(), slow_crops(images.pixels, index, offsets, flips, crop)
    )


def test_every_window_of_an_image_can_be_cut_and_mirrored() -> None:
    images = some_images(2, side=5)
    offsets = torch.cartesian_prod(torch.arange(3), torch.arange(3)).repeat(2, 1)
    flips = torch.arange(18) >= 9
    index = torch.arange(18) % 2
    crops = Batches(images, MEAN, STD, 3).crop(index, offsets, flips)
    np.testing.assert_array_equal(
        crops.numpy(), slow_crops(images.pixels, index, offsets, flips, 3)
    )


def test_values_equal_torchvisions_to_tensor_and_normalize() -> None:
    images = some_images(3)
    index, flips = torch.tensor([2, 0, 1]), torch.tensor([True, False, True])
    offsets = torch.tensor([[0, 8], [8, 0], [3, 4]])
    crops = Batches(images, MEAN, STD, 24).crop(index, offsets, flips)
    for crop, i, (row, column), flip in zip(crops, index, offsets.tolist(), flips, strict=True):
        whole = transforms.normalize(
            transforms.to_tensor(images.pixels[i].numpy()), list(MEAN), list(STD)
        )
        cut = transforms.crop(whole, row, column, 24, 24)
        assert torch.equal(crop, transforms.hflip(cut) if flip else cut)


def test_centre_is_the_crop_at_four_rows_and_columns_without_mirroring() -> None:
    batches = Batches(some_images(4), MEAN, STD, 24)
    index = torch.tensor([3, 1, 1])
    offsets, flips = torch.full((3, 2), 4), torch.zeros(3, dtype=torch.bool)
    assert torch.equal(batches.centre(index), batches.crop(index, offsets, flips))


def test_batches_are_float32_in_channels_last_format() -> None:
    batches = Batches(some_images(4), MEAN, STD, 24)
    index = torch.arange(4)
    offsets, flips = draw_crops(4, 32, 24, True, generator())
    for crops in (batches.crop(index, offsets, flips), batches.centre(index)):
        assert crops.shape == (4, 3, 24, 24)
        assert crops.dtype == torch.float32
        assert crops.is_contiguous(memory_format=torch.channels_last)


def test_an_empty_batch_is_empty() -> None:
    batches = Batches(some_images(4), MEAN, STD, 24)
    nothing = torch.empty(0, dtype=torch.int64)
    offsets, flips = draw_crops(0, 32, 24, True, generator())
    assert batches.crop(nothing, offsets, flips).shape == (0, 3, 24, 24)
    assert batches.centre(nothing).shape == (0, 3, 24, 24)


def test_cutting_leaves_the_images_as_they_were() -> None:
    images = some_images(4)
    before = images.pixels.clone()
    batches = Batches(images, MEAN, STD, 24)
    batches.crop(torch.arange(4), *draw_crops(4, 32, 24, True, generator())).zero_()
    batches.centre(torch.arange(4)).zero_()
    assert torch.equal(images.pixels, before)


@pytest.mark.parametrize(
    ("index", "offset"), [(4, (0, 0)), (0, (9, 0)), (0, (0, 9))], ids=["image", "row", "column"]
)
def test_a_window_outside_the_images_is_refused(index: int, offset: tuple[int, int]) -> None:
    batches = Batches(some_images(4), MEAN, STD, 24)
    with pytest.raises(IndexError):
        batches.crop(torch.tensor([index]), torch.tensor([offset]), torch.tensor([False]))


@pytest.mark.parametrize("crop", [-1, 0, 33])
def test_a_crop_that_does_not_fit_is_refused(crop: int) -> None:
    with pytest.raises(AuditError, match=rf"crop of {crop} × .* 32 × 32; choose 1 to 32\.$"):
        Batches(some_images(1), MEAN, STD, crop)


@pytest.mark.cuda
def test_batches_on_the_accelerator_equal_those_on_the_processor() -> None:
    images = some_images(6)
    index = torch.arange(6)
    offsets, flips = draw_crops(6, 32, 24, True, generator())
    here = Batches(images, MEAN, STD, 24)
    there = Batches(images.to("cuda"), MEAN, STD, 24)
    crops = there.crop(index.cuda(), offsets.cuda(), flips.cuda())
    assert crops.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(crops.cpu(), here.crop(index, offsets, flips), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        there.centre(index.cuda()).cpu(), here.centre(index), rtol=0, atol=1e-6
    )


def test_offsets_take_every_place_equally_and_flips_are_fair() -> None:
    offsets, flips = draw_crops(20_000, 32, 24, True, generator())
    assert offsets.dtype == torch.int64
    assert flips.dtype == torch.bool
    counts = torch.bincount(9 * offsets[:, 0] + offsets[:, 1], minlength=81)
    assert len(counts) == 81
    # 81 places and two faces: five standard deviations of a binomial count.
    assert (counts / 20_000 - 1 / 81).abs().max() < 5 * (1 / 81 * 80 / 81 / 20_000) ** 0.5
    assert (flips.float().mean() - 0.5).abs() < 5 * 0.5 / 20_000**0.5


def test_without_flipping_nothing_is_mirrored_and_the_offsets_stay() -> None:
    offsets, flips = draw_crops(100, 32, 24, False, generator())
    assert not flips.any()
    assert torch.equal(offsets, draw_crops(100, 32, 24, True, generator())[0])


def test_a_crop_of_full_size_has_one_place() -> None:
    offsets, _ = draw_crops(10, 32, 32, True, generator())
    assert torch.equal(offsets, torch.zeros(10, 2, dtype=torch.int64))


@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_the_split_is_disjoint_and_covers_everything(sizes: tuple[int, int]) -> None:
    n, validation = sizes
    train, held_out = split_train_validation(n, validation, generator())
    assert train.dtype == held_out.dtype == torch.int64
    assert len(held_out) == validation
    assert torch.equal(torch.cat((train, held_out)).sort().values, torch.arange(n))


@pytest.mark.parametrize("validation", [-1, 0, 10, 11])
def test_a_split_with_an_empty_part_is_refused(validation: int) -> None:
    with pytest.raises(AuditError, match=rf"^{validation} of 10 training images .*\.$"):
        split_train_validation(10, validation, generator())


def test_draws_follow_the_generators_seed_and_leave_the_global_one_alone() -> None:
    before = torch.get_rng_state()

    def draw(seed: int) -> list[Tensor]:
        random = generator(seed)
        return [*draw_crops(50, 32, 24, True, random), *split_train_validation(50, 10, random)]

    for same, other, drawn in zip(draw(0), draw(1), draw(0), strict=True):
        assert torch.equal(same, drawn)
        assert not torch.equal(other, drawn)
    assert torch.equal(torch.get_rng_state(), before)
