"""CIFAR-100 in both layouts, from small stand-ins written from their description."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR100 as TORCHVISION

from fa_audit.data import load_cifar, load_dataset
from fa_audit.data.editions import CIFAR10, CIFAR100, EDITIONS
from fa_audit.errors import AuditError

BINARY, PYTHON = "cifar-100-binary", "cifar-100-python"
PER_CLASS = {"train": 2, "test": 1}
Records = dict[str, np.ndarray]


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    """Two files of random images in random order: a coarse label, a fine one, then 3,072 bytes."""
    rng = np.random.default_rng(7)
    superclass = rng.permutation(np.repeat(np.arange(20), 5))
    made = {}
    for split, each in PER_CLASS.items():
        fine = rng.permutation(np.repeat(np.arange(100), each))
        pixels = rng.integers(256, size=(len(fine), 3072))
        made[split] = np.column_stack([superclass[fine], fine, pixels]).astype(np.uint8)
    sizes = {split: len(rows) for split, rows in made.items()}
    monkeypatch.setitem(EDITIONS, "cifar100", replace(CIFAR100, records=sizes))
    return made


def write_binary(folder: Path, records: Records) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in records.items():
        (folder / f"{split}.bin").write_bytes(rows.tobytes())


@pytest.fixture
def write_python(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Records], None]:
    """Write records in the python layout, and let torchvision expect their MD5 sums."""

    def write(folder: Path, records: Records) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        contents: dict[str, object] = {
            split: {
                "data": rows[:, 2:],
                "coarse_labels": rows[:, 0].tolist(),
                "fine_labels": rows[:, 1].tolist(),
            }
            for split, rows in records.items()
        }
        contents["meta"] = {"fine_label_names": list(CIFAR100.classes)}
        sums = {}
        for file, content in contents.items():
            data = pickle.dumps(content, protocol=2)
            (folder / file).write_bytes(data)
            sums[file] = hashlib.md5(data).hexdigest()
        monkeypatch.setattr(TORCHVISION, "train_list", [["train", sums["train"]]])
        monkeypatch.setattr(TORCHVISION, "test_list", [["test", sums["test"]]])
        monkeypatch.setattr(TORCHVISION, "meta", {**TORCHVISION.meta, "md5": sums["meta"]})

    return write


def refusal(folder: Path) -> str:
    """The one sentence with which loading is refused."""
    with pytest.raises(AuditError) as caught:
        load_cifar("cifar100", folder)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert ". " not in sentence
    return sentence


def slow_fingerprint(records: np.ndarray) -> str:
    """As for CIFAR-10: of the fine label and the pixels."""
    digests = sorted(hashlib.sha256(record[1:].tobytes()).digest() for record in records)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def test_there_are_a_hundred_classes_in_alphabetical_order() -> None:
    assert len(set(CIFAR100.classes)) == 100
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)
    # By number as papers use them: 0, 1, 8, 52, 68, 99.
    found = [CIFAR100.classes[i] for i in (0, 1, 8, 52, 68, 99)]
    assert found == ["apple", "aquarium_fish", "bicycle", "oak_tree", "road", "worm"]


@pytest.mark.parametrize("inside", [True, False], ids=["folder above", "folder itself"])
def test_the_binary_layout_is_read_by_its_fine_labels(
    records: Records, tmp_path: Path, inside: bool
) -> None:
    write_binary(tmp_path / BINARY, records)
    data = load_cifar("cifar100", tmp_path if inside else tmp_path / BINARY)
    assert (data.name, data.title, data.stand_in) == ("cifar100", "CIFAR-100", False)
    for split, images in (("train", data.train), ("test", data.test)):
        rows = np.stack(
            sorted(records[split], key=lambda record: hashlib.sha256(record[1:]).digest())
        )
        assert images.labels.tolist() == rows[:, 1].tolist()
        planes = torch.from_numpy(rows[:, 2:].copy()).view(-1, 3, 32, 32)
        assert torch.equal(images.pixels, planes.permute(0, 2, 3, 1))
        assert images.pixels.is_contiguous()
        assert data.fingerprints[split] == slow_fingerprint(rows)
    assert "structure alone" in data.caveat


def test_the_python_layout_holds_the_same_images_and_rests_on_its_md5_sums(
    records: Records, write_python: Callable[[Path, Records], None], tmp_path: Path
) -> None:
    write_python(tmp_path / PYTHON, records)
    write_binary(tmp_path / "other", records)
    data, other = load_cifar("cifar100", tmp_path), load_cifar("cifar100", tmp_path / "other")
    for here, there in ((data.train, other.train), (data.test, other.test)):
        assert torch.equal(here.pixels, there.pixels)
        assert torch.equal(here.labels, there.labels)
    assert data.fingerprints == other.fingerprints
    assert "MD5 sums" in data.caveat
    path = tmp_path / PYTHON / "train"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert f"CIFAR-100 in {tmp_path / PYTHON} is incomplete or damaged" in refusal(tmp_path)


def test_the_sums_expected_are_those_that_torchvision_publishes() -> None:
    assert TORCHVISION.train_list == [["train", "16019d7e3df5f24257cddd939b257f8d"]]
    assert TORCHVISION.test_list == [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    assert CIFAR100.torchvision_class == TORCHVISION.__name__
    assert TORCHVISION.base_folder == CIFAR100.python_folder


def exchange_labels(records: Records) -> None:
    """The coarse label in the place of the fine one."""
    records["train"][:, :2] = records["train"][:, [1, 0]]


def one_more_of_a_class(records: Records) -> None:
    other = next(row for row in records["train"] if row[1] != records["train"][0, 1])
    records["train"][0, :2] = other[:2]


def a_class_in_two_superclasses(records: Records) -> None:
    records["train"][0, 0] = (records["train"][0, 0] + 1) % 20


def a_class_too_many(records: Records) -> None:
    records["test"][0, 1] = 100


def unequal_superclasses(records: Records) -> None:
    rows = records["test"]
    rows[0, 0] = (rows[0, 0] + 1) % 20


@pytest.mark.parametrize(
    ("damage", "split"),
    [
        (exchange_labels, "train"),
        (one_more_of_a_class, "train"),
        (a_class_in_two_superclasses, "train"),
        (a_class_too_many, "test"),
        (unequal_superclasses, "test"),
    ],
)
def test_labels_that_cannot_be_the_official_ones_are_refused(
    records: Records, tmp_path: Path, damage: Callable[[Records], None], split: str
) -> None:
    damage(records)
    write_binary(tmp_path, records)
    sentence = refusal(tmp_path)
    assert f"The {split} split in {tmp_path} is not CIFAR-100's" in sentence
    each = PER_CLASS[split]
    assert f"{each} images of each of 100 classes, 5 classes to a superclass" in sentence


@pytest.mark.parametrize("change", [-1, 1, 3074])
def test_a_file_of_the_wrong_size_is_refused_with_both_sizes(
    records: Records, tmp_path: Path, change: int
) -> None:
    write_binary(tmp_path, records)
    path = tmp_path / "test.bin"
    path.write_bytes((path.read_bytes() + bytes(3074))[: 100 * 3074 + change])
    assert f"{path} has {100 * 3074 + change:,} bytes, expected 307,400;" in refusal(tmp_path)


def test_a_full_size_file_holds_fifty_thousand_records(tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(bytes(3074))
    assert "has 3,074 bytes, expected 153,700,000;" in refusal(tmp_path)


def test_folders_called_like_files_are_no_cifar100(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    assert f"The data folder {tmp_path} holds no CIFAR-100" in refusal(tmp_path)


def test_it_is_loaded_by_name_and_has_no_sizes_to_choose(records: Records, tmp_path: Path) -> None:
    write_binary(tmp_path / BINARY, records)
    assert load_dataset("cifar100", tmp_path).classes == CIFAR100.classes
    with pytest.raises(AuditError, match=r"^cifar100 takes no train: "):
        load_dataset("cifar100", tmp_path, train=5)


def test_cifar10_carries_no_caveat_and_cifar100_no_fingerprint() -> None:
    assert CIFAR10.fingerprints is not None
    assert CIFAR100.fingerprints is None
