from collections.abc import Callable

import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def normal() -> Callable[..., Tensor]:
    """Standard normal numbers of a seed and a shape, float64 unless said."""

    def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)

    return draw
