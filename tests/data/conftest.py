"""Small stand-ins for CIFAR-10's official files, written byte by byte from their description."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from fa_audit.data.editions import CIFAR10 as EDITION
from fa_audit.data.editions import EDITIONS

PER_FILE = 7
TRAIN_FILES = [f"data_batch_{i}" for i in range(1, 6)]
FILES = [*TRAIN_FILES, "test_batch"]

Records = dict[str, np.ndarray]
Writer = Callable[[Path, Records], None]


def slow_fingerprint(records: np.ndarray) -> str:
    """SHA-256 over the sorted SHA-256 digests of the rows of a uint8 [n, 3073] array."""
    digests = sorted(hashlib.sha256(record.tobytes()).digest() for record in records)
    return hashlib.sha256(b"".join(digests)).hexdigest()


@pytest.fixture
def records() -> Records:
    """Six files of random records: a label below 10, then 3,072 bytes."""
    rng = np.random.default_rng(5)
    return {
        file: np.concatenate(
            [
                rng.integers(10, size=(PER_FILE, 1), dtype=np.uint8),
                rng.integers(256, size=(PER_FILE, 3072), dtype=np.uint8),
            ],
            axis=1,
        )
        for file in FILES
    }


@pytest.fixture
def small_cifar(records: Records, monkeypatch: pytest.MonkeyPatch) -> Records:
    """Let these records be what CIFAR-10 is known by."""
    train = np.concatenate([records[file] for file in TRAIN_FILES])
    fingerprints = {
        "train": slow_fingerprint(train),
        "test": slow_fingerprint(records["test_batch"]),
    }
    small = replace(
        EDITION, records={"train": PER_FILE, "test": PER_FILE}, fingerprints=fingerprints
    )
    monkeypatch.setitem(EDITIONS, "cifar10", small)
    return records


@pytest.fixture
def write_binary() -> Writer:
    """Write records in the binary layout."""

    def write(folder: Path, records: Records) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for file, rows in records.items():
            (folder / f"{file}.bin").write_bytes(rows.tobytes())

    return write


@pytest.fixture
def write_python(monkeypatch: pytest.MonkeyPatch) -> Writer:
    """Write records in the python layout, and let torchvision expect their MD5 sums."""

    def write(folder: Path, records: Records) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sums = {}
        contents: dict[str, object] = {
            file: {"data": rows[:, 1:], "labels": rows[:, 0].tolist()}
            for file, rows in records.items()
        }
        contents["batches.meta"] = {"label_names": list(EDITION.classes)}
        for file, content in contents.items():
            data = pickle.dumps(content, protocol=2)
            (folder / file).write_bytes(data)
            sums[file] = hashlib.md5(data).hexdigest()
        monkeypatch.setattr(CIFAR10, "train_list", [[file, sums[file]] for file in TRAIN_FILES])
        monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
        monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})

    return write
