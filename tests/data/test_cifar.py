from __future__ import annotations

import hashlib
import http.client
import io
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from fa_audit.data import cifar, load_cifar
from fa_audit.data.editions import EDITIONS
from fa_audit.errors import AuditError

Records = dict[str, np.ndarray]
BINARY, PYTHON = "cifar-10-batches-bin", "cifar-10-batches-py"


def refusal(folder: Path) -> str:
    """The one sentence with which loading is refused."""
    with pytest.raises(AuditError) as caught:
        load_cifar("cifar10", folder)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence
    return sentence


def assert_holds(images: cifar.Images, records: np.ndarray) -> None:
    """Compare with the description of the records, pixel by pixel at some places.

    Images stand in the order of their records' SHA-256, whatever that of the files.
    """
    records = np.stack(sorted(records, key=lambda record: hashlib.sha256(record).digest()))
    assert images.pixels.shape == (len(records), 32, 32, 3)
    assert images.pixels.dtype == torch.uint8
    assert images.pixels.is_contiguous()
    assert images.labels.dtype == torch.int64
    assert images.labels.tolist() == records[:, 0].tolist()
    for i, record in enumerate(records):
        for row, column, channel in ((0, 0, 0), (0, 31, 1), (31, 0, 2), (17, 5, 1)):
            place = 1 + 1024 * channel + 32 * row + column
            assert images.pixels[i, row, column, channel] == record[place]


# The binary layout


@pytest.mark.parametrize("inside", [True, False], ids=["folder above", "folder itself"])
def test_the_binary_layout_is_read(
    small_cifar: Records, write_binary: Any, tmp_path: Path, inside: bool
) -> None:
    write_binary(tmp_path / BINARY, small_cifar)
    data = load_cifar("cifar10", tmp_path if inside else tmp_path / BINARY)
    train = np.concatenate([small_cifar[f"data_batch_{i}"] for i in range(1, 6)])
    assert_holds(data.train, train)
    assert_holds(data.test, small_cifar["test_batch"])
    assert (data.name, data.title, data.stand_in) == ("cifar10", "CIFAR-10", False)
    assert data.classes[5] == "dog"
    assert len(data.classes) == 10
    assert data.fingerprints == EDITIONS["cifar10"].fingerprints


def test_the_same_records_in_another_order_are_the_same_images_in_the_same_order(
    small_cifar: Records, write_binary: Any, tmp_path: Path
) -> None:
    train = np.concatenate([small_cifar[f"data_batch_{i}"] for i in range(1, 6)])
    shuffled = np.random.default_rng(0).permutation(train).reshape(5, -1, 3073)
    reordered = {f"data_batch_{i}": shuffled[i - 1] for i in range(1, 6)}
    write_binary(tmp_path, reordered | {"test_batch": small_cifar["test_batch"][::-1]})
    data = load_cifar("cifar10", tmp_path)
    assert data.fingerprints == EDITIONS["cifar10"].fingerprints
    write_binary(tmp_path / "official", small_cifar)
    official = load_cifar("cifar10", tmp_path / "official")
    for here, there in ((data.train, official.train), (data.test, official.test)):
        assert torch.equal(here.pixels, there.pixels)
        assert torch.equal(here.labels, there.labels)


@pytest.mark.parametrize("byte", [0, 3072], ids=["a label", "a pixel"])
@pytest.mark.parametrize(("file", "split"), [("data_batch_4", "train"), ("test_batch", "test")])
def test_one_altered_byte_is_refused(
    small_cifar: Records, write_binary: Any, tmp_path: Path, file: str, split: str, byte: int
) -> None:
    small_cifar[file][3, byte] ^= 1
    write_binary(tmp_path, small_cifar)
    sentence = refusal(tmp_path)
    assert f"The {split} split in {tmp_path} is not CIFAR-10's" in sentence


def test_training_and_test_images_exchanged_are_refused(
    small_cifar: Records, write_binary: Any, tmp_path: Path
) -> None:
    first, test = small_cifar["data_batch_1"], small_cifar["test_batch"]
    write_binary(tmp_path, small_cifar | {"data_batch_1": test, "test_batch": first})
    assert "The train split" in refusal(tmp_path)


@pytest.mark.parametrize("change", [-1, 1, 3073, -7 * 3073], ids=["cut", "long", "one more", "no"])
def test_a_file_of_the_wrong_size_is_refused_with_both_sizes(
    small_cifar: Records, write_binary: Any, tmp_path: Path, change: int
) -> None:
    write_binary(tmp_path, small_cifar)
    path = tmp_path / "data_batch_2.bin"
    path.write_bytes((path.read_bytes() + bytes(3073))[: 7 * 3073 + change])
    assert f"{path} has {7 * 3073 + change:,} bytes, expected 21,511;" in refusal(tmp_path)


@pytest.mark.parametrize("file", ["data_batch_1.bin", "test_batch.bin"])
def test_a_missing_or_unreadable_binary_file_is_named(
    small_cifar: Records, write_binary: Any, tmp_path: Path, file: str
) -> None:
    write_binary(tmp_path, small_cifar)
    (tmp_path / file).unlink()
    assert f"{tmp_path / file} cannot be read (No such file or directory);" in refusal(tmp_path)
    (tmp_path / file).mkdir()
    assert f"{tmp_path / file} cannot be read (Is a directory);" in refusal(tmp_path)


def test_a_full_size_file_is_expected_to_hold_ten_thousand_records(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(30_729_999))
    assert "has 30,729,999 bytes, expected 30,730,000;" in refusal(tmp_path)


# The python layout


@pytest.mark.parametrize("inside", [True, False], ids=["folder above", "folder itself"])
def test_the_python_layout_holds_the_same_images_as_the_binary_one(
    small_cifar: Records, write_binary: Any, write_python: Any, tmp_path: Path, inside: bool
) -> None:
    write_python(tmp_path / PYTHON, small_cifar)
    write_binary(tmp_path / "other", small_cifar)
    data = load_cifar("cifar10", tmp_path if inside else tmp_path / PYTHON)
    other = load_cifar("cifar10", tmp_path / "other")
    for here, there in ((data.train, other.train), (data.test, other.test)):
        assert torch.equal(here.pixels, there.pixels)
        assert here.pixels.is_contiguous()
        assert torch.equal(here.labels, there.labels)
    assert data.fingerprints == other.fingerprints


@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_a_damaged_python_layout_is_refused_before_it_is_unpickled(
    small_cifar: Records, write_python: Any, tmp_path: Path, damage: str
) -> None:
    write_python(tmp_path / PYTHON, small_cifar)
    path = tmp_path / PYTHON / "data_batch_3"
    data = path.read_bytes()
    path.unlink()
    if damage == "altered":
        path.write_bytes(data[:-1] + b"?")  # unpickling this would raise another error
    sentence = refusal(tmp_path)
    assert f"CIFAR-10 in {tmp_path / PYTHON} is incomplete or damaged" in sentence


def test_an_unreadable_python_layout_is_refused(
    small_cifar: Records, write_python: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_python(tmp_path, small_cifar)

    def denied(_: CIFAR10) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(CIFAR10, "_check_integrity", denied)
    assert f"CIFAR-10 in {tmp_path} cannot be read (Permission denied);" in refusal(tmp_path)


def test_other_images_in_the_python_layout_are_refused(
    small_cifar: Records, write_python: Any, tmp_path: Path
) -> None:
    small_cifar["test_batch"][0, 9] ^= 1
    write_python(tmp_path / PYTHON, small_cifar)
    assert f"The test split in {tmp_path} is not CIFAR-10's" in refusal(tmp_path)


# Folders


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert f"The data folder {tmp_path / 'none'} does not exist" in refusal(tmp_path / "none")


def test_a_folder_with_neither_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / BINARY).mkdir()
    assert f"The data folder {tmp_path} holds no CIFAR-10" in refusal(tmp_path)


def test_the_named_folder_comes_before_any_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FA_AUDIT_DATA", str(tmp_path))
    assert cifar.find_cifar("cifar10") == tmp_path


# The download


# Older torchvision leaves tarfile's filter to Python, which in 3.12 and 3.13 warns of a change.
unpacking = pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")


class Response(io.BytesIO):
    """What `urlopen` returns, with as much of it as torchvision uses."""

    def __init__(self, url: str, data: bytes) -> None:
        super().__init__(data)
        self.url, self.length = url, len(data)


@pytest.fixture
def archive(
    small_cifar: Records, write_python: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An archive of the python layout, which torchvision takes for the official one."""
    write_python(tmp_path / "source", small_cifar)
    path = tmp_path / "cifar.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tmp_path / "source", arcname=PYTHON)

    def urlopen(request: urllib.request.Request) -> Response:
        assert request.full_url == "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
        return Response(request.full_url, path.read_bytes())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.delenv("FA_AUDIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return path


@unpacking
def test_without_a_folder_the_archive_is_downloaded_once_into_the_users_cache(
    archive: Path, small_cifar: Records, tmp_path: Path
) -> None:
    folder = cifar.find_cifar("cifar10")
    assert folder == tmp_path / "cache" / "fa-audit"
    assert_holds(load_cifar("cifar10", folder).test, small_cifar["test_batch"])
    archive.unlink()
    assert cifar.find_cifar("cifar10") == folder


@unpacking
def test_the_cache_lies_in_the_home_folder_unless_another_is_named(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("FA_AUDIT_DATA", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cifar.find_cifar("cifar10") == tmp_path / "home" / ".cache" / "fa-audit"


def failed_download() -> str:
    with pytest.raises(AuditError) as caught:
        cifar.find_cifar("cifar10")
    sentence = str(caught.value)
    assert sentence.endswith("name that folder in FA_AUDIT_DATA.")
    assert ". " not in sentence
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (urllib.error.URLError("Name or service not known"), "Name or service not known"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (http.client.IncompleteRead(b"", 170), "170 more expected"),
        (TimeoutError(), "TimeoutError"),
    ],
    ids=["no network", "reset", "cut off", "timeout"],
)
def test_a_failed_download_is_one_sentence(
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    reason: str,
) -> None:
    def fail(request: urllib.request.Request) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    sentence = failed_download()
    assert f"could not be downloaded to {tmp_path / 'cache' / 'fa-audit'}" in sentence
    assert reason in sentence


def test_a_download_of_something_else_is_one_sentence(archive: Path) -> None:
    archive.write_bytes(b"a login page")
    assert "not found or corrupted" in failed_download()


def test_a_cache_that_cannot_be_written_is_one_sentence(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert "Not a directory" in failed_download()


# The real images


@pytest.mark.real_data
def test_the_real_images_have_the_published_mean_and_deviation(cifar10_folder: Path) -> None:
    data = load_cifar("cifar10", cifar10_folder)
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert torch.bincount(data.train.labels).tolist() == [5_000] * 10
    assert torch.bincount(data.test.labels).tolist() == [1_000] * 10
    counts = torch.stack(
        [torch.bincount(data.train.pixels[..., c].flatten(), minlength=256) for c in range(3)]
    ).double()
    values = torch.arange(256, dtype=torch.float64) / 255
    total = counts.sum(1)
    mean = counts @ values / total
    std = (counts @ values**2 / total - mean**2).sqrt()
    torch.testing.assert_close(mean, torch.tensor(data.mean).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(std, torch.tensor(data.std).double(), rtol=0, atol=1e-4)
