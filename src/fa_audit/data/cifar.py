"""CIFAR-10 from a folder in either official layout, known by its content and refused if damaged.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html describes both layouts.
"""

from __future__ import annotations

import os
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch

from fa_audit.data.images import Dataset, Images
from fa_audit.errors import AuditError

FOLDER_VARIABLE = "FA_AUDIT_DATA"

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
FINGERPRINTS = {
    "train": "55a61f79a40ece2ceda9fb5f9f7078f6ea2fc4952489cef56682bcf92cfcc260",
    "test": "325704b01eb92e1e2a6215ae6a916bb7db7de054af0c496be1c7be2e0fcfbf5f",
}

BINARY_FOLDER, PYTHON_FOLDER = "cifar-10-batches-bin", "cifar-10-batches-py"
FILES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
RECORDS_PER_FILE = 10_000
SIDE = 32
RECORD_BYTES = 1 + 3 * SIDE * SIDE


def load_cifar10(folder: Path) -> Dataset:
    """Read CIFAR-10 and make sure that it is CIFAR-10.

    Args:
        folder: Holds `cifar-10-batches-bin` or `cifar-10-batches-py`, or is one of them.

    Returns:
        50,000 training and 10,000 test images with their verified fingerprints. Records of the
        binary layout may come in any order; the images then do too.

    Raises:
        AuditError: The folder is missing or holds neither layout, a file cannot be read or has the
            wrong size, or a split's fingerprint is not CIFAR-10's.
    """
    splits = _read(folder)
    for split, images in splits.items():
        found, expected = images.fingerprint(), FINGERPRINTS[split]
        if found != expected:
            raise AuditError(
                f"The {split} split in {folder} is not CIFAR-10's: its fingerprint is "
                f"{found[:12]}…, expected {expected[:12]}…; unpack the official archive again."
            )
    return Dataset(
        name="cifar10",
        title="CIFAR-10",
        stand_in=False,
        classes=CLASSES,
        train=splits["train"],
        test=splits["test"],
        mean=MEAN,
        std=STD,
        fingerprints=dict(FINGERPRINTS),
    )


def find_cifar10() -> Path:
    """Find the folder with CIFAR-10 when none is named; download it when there is none.

    Returns:
        The folder in the environment variable FA_AUDIT_DATA if that is set, else `fa-audit` in the
        user's cache folder (XDG_CACHE_HOME, or ~/.cache), into which torchvision has downloaded
        the python layout (170 MB) unless it was there.

    Raises:
        AuditError: The download failed.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    cache = _cache()
    # Imported late, here and below: it takes seconds that the stand-in need not wait for.
    from torchvision.datasets import CIFAR10

    try:
        CIFAR10(cache, train=False, download=True)
    except (OSError, RuntimeError, HTTPException) as error:
        raise AuditError(
            f"CIFAR-10 could not be downloaded to {cache} ({_reason(error)}); unpack the official "
            f"archive in a folder and name that folder in {FOLDER_VARIABLE}."
        ) from error
    return cache


def cifar10_at_hand() -> Path | None:
    """The folder that `find_cifar10` would name, if that needs no download; else None."""
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named) if named else _cache()
    return folder if named or (folder / PYTHON_FOLDER).is_dir() else None


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fa-audit"


def _read(folder: Path) -> dict[str, Images]:
    """Both splits, from whichever layout is found first in the folder."""
    if not folder.is_dir():
        raise AuditError(
            f"The data folder {folder} does not exist; name the folder that holds {BINARY_FOLDER} "
            f"or {PYTHON_FOLDER}."
        )
    for name, suffix, read in ((BINARY_FOLDER, ".bin", _binary), (PYTHON_FOLDER, "", _python)):
        for place in (folder / name, folder):
            # One file is enough to know the layout by: what is missing is reported when reading.
            if any((place / f"{file}{suffix}").exists() for file in sum(FILES.values(), ())):
                return read(place)
    raise AuditError(
        f"The data folder {folder} holds no CIFAR-10: there is neither {BINARY_FOLDER} nor "
        f"{PYTHON_FOLDER} with its files in it; unpack an official archive there."
    )


def _binary(place: Path) -> dict[str, Images]:
    """The binary layout: files of records, a label byte and then the planes R, G and B."""
    splits = {}
    for split, files in FILES.items():
        n = RECORDS_PER_FILE
        pixels = torch.empty((n * len(files), SIDE, SIDE, 3), dtype=torch.uint8)
        labels = torch.empty(n * len(files), dtype=torch.int64)
        for k, file in enumerate(files):
            records = _records(place / f"{file}.bin")
            part = slice(k * n, (k + 1) * n)
            labels[part] = records[:, 0]
            pixels[part] = records[:, 1:].view(n, 3, SIDE, SIDE).permute(0, 2, 3, 1)
        splits[split] = Images(pixels, labels)
    return splits


def _records(path: Path) -> torch.Tensor:
    """One binary file as uint8 [records, 3073]."""
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise AuditError(
            f"{path} cannot be read ({_reason(error)}); unpack the official archive again."
        ) from error
    expected = RECORDS_PER_FILE * RECORD_BYTES
    if data.size != expected:
        raise AuditError(
            f"{path} has {data.size:,} bytes, expected {expected:,}; unpack the official archive "
            "again."
        )
    return torch.from_numpy(data).view(RECORDS_PER_FILE, RECORD_BYTES)


def _python(place: Path) -> dict[str, Images]:
    """The python layout, read by torchvision, which compares MD5 sums before it unpickles."""
    from torchvision.datasets import CIFAR10

    # torchvision adds the official folder name to its root; here the files' own folder is the root.
    in_place = type("CIFAR10", (CIFAR10,), {"base_folder": ""})
    splits = {}
    for split in FILES:
        try:
            data = in_place(place, train=split == "train")
        except RuntimeError as error:
            raise AuditError(
                f"CIFAR-10 in {place} is incomplete or damaged, by the MD5 sums of its files; "
                "unpack the official archive again."
            ) from error
        except OSError as error:
            raise AuditError(
                f"CIFAR-10 in {place} cannot be read ({_reason(error)}); unpack the official "
                "archive again."
            ) from error
        pixels = torch.from_numpy(np.ascontiguousarray(data.data))
        splits[split] = Images(pixels, torch.tensor(data.targets))
    return splits


def _reason(error: Exception) -> str:
    """What went wrong, as a clause within a sentence."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or repr(error)
    return reason.rstrip(".")
