from __future__ import annotations

import pytest
import torch

from fa_audit.data import draw_shapes
from fa_audit.data.shapes import SILHOUETTES, Silhouette
from fa_audit.errors import AuditError


def test_the_same_seed_gives_the_recorded_bytes() -> None:
    # Drawn alike by PyTorch 2.11 (Python 3.12) and 2.15 (Python 3.11).
    assert draw_shapes(train=40, test=20, seed=3).fingerprints == {
        "train": "0bb82ab52b90032751a7f9cf935c75750973f22fbe86ba7c9e4eb6a0bb12b0d1",
        "test": "449fe43d9ea17ee868c61e2799d515cd319f340eb2983430870a6fae708aa37c",
    }


def test_the_same_seed_gives_the_same_images_and_another_seed_others() -> None:
    first, again, other = (draw_shapes(30, 20, seed) for seed in (0, 0, 1))
    assert torch.equal(first.train.pixels, again.train.pixels)
    assert torch.equal(first.test.pixels, again.test.pixels)
    assert not (first.train.pixels == other.train.pixels).all(dim=(1, 2, 3)).any()
    assert not (first.test.pixels == other.test.pixels).all(dim=(1, 2, 3)).any()


def test_the_two_splits_differ_and_do_not_depend_on_each_others_size() -> None:
    data = draw_shapes(train=20, test=20)
    assert not (data.train.pixels == data.test.pixels).all(dim=(1, 2, 3)).any()
    assert torch.equal(draw_shapes(train=50, test=20).test.pixels, data.test.pixels)


@pytest.mark.parametrize("n", [10, 57, 100])
def test_the_classes_are_balanced(n: int) -> None:
    counts = torch.bincount(draw_shapes(train=n, test=10).train.labels, minlength=10)
    assert len(counts) == 10
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1


def test_the_default_drawing_says_what_it_is_and_matches_its_normalisation() -> None:
    data = draw_shapes()
    assert data.train.pixels.shape == (5000, 32, 32, 3)
    assert data.test.pixels.shape == (1000, 32, 32, 3)
    assert data.train.pixels.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64
    assert data.stand_in
    assert data.name == "shapes"
    assert "not CIFAR-10" in data.title
    assert len(data.classes) == 10
    assert data.fingerprints["train"] == data.train.fingerprint()
    assert data.fingerprints["test"] == data.test.fingerprint()
    values = data.train.pixels.flatten(0, 2).double() / 255
    torch.testing.assert_close(values.mean(0), torch.tensor(data.mean).double(), rtol=0, atol=0.01)
    torch.testing.assert_close(values.std(0), torch.tensor(data.std).double(), rtol=0, atol=0.01)


def test_colour_alone_does_not_tell_the_class() -> None:
    """The nearest class mean of each image's mean and deviation of R, G and B is near chance."""

    def features(pixels: torch.Tensor) -> torch.Tensor:
        values = pixels.flatten(1, 2).double() / 255
        return torch.cat((values.mean(1), values.std(1)), dim=1)

    data = draw_shapes()
    seen, unseen = features(data.train.pixels), features(data.test.pixels)
    means = torch.stack([seen[data.train.labels == label].mean(0) for label in range(10)])
    guesses = torch.cdist(unseen, means).argmin(1)
    assert (guesses == data.test.labels).double().mean() < 0.2


@pytest.mark.parametrize("silhouette", SILHOUETTES.values(), ids=list(SILHOUETTES))
def test_silhouettes_are_distances_near_their_edge(silhouette: Silhouette) -> None:
    """|∇d| = 1 at d = 0, by central differences on a fine grid."""
    steps = torch.linspace(-1.2, 1.2, 1001, dtype=torch.float64)
    u, v = torch.meshgrid(steps, steps, indexing="ij")
    h = 1e-6
    across = (silhouette(u + h, v) - silhouette(u - h, v)) / (2 * h)
    down = (silhouette(u, v + h) - silhouette(u, v - h)) / (2 * h)
    edge = silhouette(u, v).abs() < 0.01
    slope = (across**2 + down**2).sqrt()[edge]
    assert len(slope) > 10_000
    assert ((slope - 1).abs() < 0.03).double().mean() > 0.99


@pytest.mark.parametrize("silhouette", SILHOUETTES.values(), ids=list(SILHOUETTES))
def test_silhouettes_fill_a_part_of_their_circle_and_nothing_outside_it(
    silhouette: Silhouette,
) -> None:
    steps = torch.linspace(-2, 2, 801, dtype=torch.float64)
    u, v = torch.meshgrid(steps, steps, indexing="ij")
    inside = silhouette(u, v) > 0
    assert 0.2 < inside.sum() * 0.005**2 / 3.1416 < 0.9
    assert (u**2 + v**2)[inside].max() < 1.3**2


@pytest.mark.parametrize("sizes", [{"train": 9}, {"test": 9}, {"train": -1}])
def test_a_drawing_too_small_to_show_every_class_is_refused(sizes: dict[str, int]) -> None:
    ((split, n),) = sizes.items()
    with pytest.raises(AuditError, match=rf"^shapes with {n} {split} images .* at least 10\.$"):
        draw_shapes(**sizes)


def test_drawing_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    draw_shapes(train=10, test=10)
    assert torch.equal(torch.get_rng_state(), before)
