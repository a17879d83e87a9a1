"""Named random streams."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fa_audit.streams import PURPOSES, stream

names = st.lists(st.one_of(st.integers(0, 9), st.text("ab.", min_size=1, max_size=3)), max_size=2)


def draw(*path: str | int, n: int = 8) -> list[float]:
    return torch.rand(n, generator=stream(*path)).tolist()


@given(st.integers(), st.sampled_from(PURPOSES), names)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_a_stream_is_a_function_of_its_seed_and_names(seed, purpose, names):
    assert draw(seed, purpose, *names) == draw(seed, purpose, *names)
    assert draw(seed, purpose, *names) != draw(seed + 1, purpose, *names)
    assert draw(seed, purpose, *names) != draw(seed, purpose, *names, "more")
    other = PURPOSES[(PURPOSES.index(purpose) + 1) % len(PURPOSES)]
    assert draw(seed, purpose, *names) != draw(seed, other, *names)


def test_streams_of_neighbouring_seeds_purposes_and_names_are_unrelated():
    paths = list(itertools.product(range(5), PURPOSES, range(5)))
    drawn = torch.stack([torch.randn(1000, generator=stream(*path)) for path in paths])
    correlation = torch.corrcoef(drawn.double()) - torch.eye(len(paths))
    assert correlation.abs().max() < 6 / 1000**0.5


def test_drawing_from_one_stream_does_not_move_another():
    expected = draw(0, "order", n=6)
    order, augmentation = stream(0, "order"), stream(0, "augmentation")
    drawn = []
    for _ in range(3):
        torch.rand(100, generator=augmentation)
        drawn += torch.rand(2, generator=order).tolist()
    assert drawn == expected


def test_the_global_generator_is_neither_used_nor_moved():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = draw(0, "feedback", "fc1")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert draw(0, "feedback", "fc1") == first


def test_streams_are_drawn_on_the_cpu():
    with torch.device("meta"):
        assert stream(0, "order").device.type == "cpu"


@pytest.mark.parametrize(
    ("path", "digest"),
    [
        ((42, "split"), 0xAD1A65CD),
        ((0, "feedback", "layer1.0.conv2"), 0x2E82AC5E),
        ((-1, "order", 7), 0x1F00313F),
    ],
)
def test_streams_are_the_same_in_every_version(path, digest):
    """The first 32 bits of, for instance, `printf 42/split | sha256sum` (GNU coreutils 9)."""
    assert stream(*path).initial_seed() == digest


def test_an_unknown_purpose_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'dropout' is not a random stream; there are: split, "):
        stream(0, "dropout")
