from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Every test starts from one global random state and leaves it as it found it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
