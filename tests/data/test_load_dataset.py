from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fa_audit.data import draw_shapes, load_dataset
from fa_audit.errors import AuditError


def test_shapes_are_drawn_in_the_given_sizes() -> None:
    data = load_dataset("shapes", train=20, test=10, seed=4)
    assert torch.equal(data.train.pixels, draw_shapes(train=20, test=10, seed=4).train.pixels)
    assert len(data.test) == 10


def test_cifar10_is_read_from_the_folder_else_from_the_environment(
    small_cifar: dict[str, np.ndarray],
    write_binary: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_binary(tmp_path / "here", small_cifar)
    monkeypatch.setenv("FA_AUDIT_DATA", str(tmp_path / "nowhere"))
    assert load_dataset("cifar10", tmp_path / "here").name == "cifar10"
    assert load_dataset("cifar10", str(tmp_path / "here")).name == "cifar10"
    with pytest.raises(AuditError, match="nowhere does not exist"):
        load_dataset("cifar10")
    monkeypatch.setenv("FA_AUDIT_DATA", str(tmp_path / "here"))
    assert load_dataset("cifar10").name == "cifar10"


def test_cifar10_has_no_sizes_to_choose(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"^cifar10 takes no train, seed: .*\.$"):
        load_dataset("cifar10", tmp_path, train=100, seed=1)


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(AuditError, match=r"^There is no data set 'mnist'; .* shapes\.$"):
        load_dataset("mnist")
