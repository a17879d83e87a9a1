"""CIFAR-10 and CIFAR-100 from a folder in either official layout, refused if they are damaged.

CIFAR-10 is known by its content, whatever the layout. Of CIFAR-100 no fingerprint is known here. In
the python layout the MD5 sums that torchvision publishes tell that its files are the official ones;
in the binary layout only the structure is checked: sizes, as many images of every class, five
classes to a superclass. So results on it carry a caveat beside the fingerprint of the images used,
by which runs on other images are told apart.
"""

from __future__ import annotations

import os
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fa_audit.data.editions import EDITIONS, Edition
from fa_audit.data.images import Dataset, Images
from fa_audit.errors import AuditError

FOLDER_VARIABLE = "FA_AUDIT_DATA"

SIDE = 32
PIXEL_BYTES = 3 * SIDE * SIDE

BY_MD5 = "recognised by the MD5 sums of its files; its fingerprint was not known beforehand"
BY_STRUCTURE = "recognised by its structure alone; its fingerprint was not known beforehand"


def load_cifar(name: str, folder: Path) -> Dataset:
    """Read CIFAR-10 or CIFAR-100 and make sure of it as far as that can be.

    Args:
        name: "cifar10" or "cifar100".
        folder: Holds the unpacked binary or python archive, or is what it unpacks to.

    Returns:
        50,000 training and 10,000 test images with their fingerprints: those of CIFAR-10 verified,
        those of CIFAR-100 with a caveat. Images stand in the order of their digests, so that a seed
        means the same images in every layout, and with records in any order.

    Raises:
        AuditError: The folder is missing or holds neither layout, a file cannot be read or has the
            wrong size, a split's fingerprint is not CIFAR-10's, or its labels not CIFAR-100's.
    """
    edition = EDITIONS[name]
    read, caveat = _read(edition, folder)
    splits: dict[str, Images] = {}
    found: dict[str, str] = {}
    for split in tuple(read):
        # Taken out, so that what was read can go before the next is sorted.
        splits[split], found[split] = read.pop(split).sorted_by_content()
    for split, expected in (edition.fingerprints or {}).items():
        if found[split] != expected:
            raise AuditError(
                f"The {split} split in {folder} is not {edition.title}'s: its fingerprint is "
                f"{found[split][:12]}…, expected {expected[:12]}…; unpack the official archive "
                "again."
            )
    return Dataset(
        name=edition.name,
        title=edition.title,
        stand_in=False,
        classes=edition.classes,
        train=splits["train"],
        test=splits["test"],
        mean=edition.mean,
        std=edition.std,
        fingerprints=found,
        caveat="" if edition.fingerprints else caveat,
    )


def find_cifar(name: str) -> Path:
    """Find the folder with the images when none is named; download them when there is none.

    Args:
        name: "cifar10" or "cifar100".

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
    edition = EDITIONS[name]
    try:
        _torchvision(edition)(cache, train=False, download=True)
    except (OSError, RuntimeError, HTTPException) as error:
        raise AuditError(
            f"{edition.title} could not be downloaded to {cache} ({_reason(error)}); unpack the "
            f"official archive in a folder and name that folder in {FOLDER_VARIABLE}."
        ) from error
    return cache


def cifar_at_hand(name: str) -> Path | None:
    """The folder that `find_cifar` would name, if that needs no download; else None."""
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named) if named else _cache()
    return folder if named or (folder / EDITIONS[name].python_folder).is_dir() else None


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fa-audit"


def _torchvision(edition: Edition) -> Any:
    """torchvision's class, imported late: it takes seconds that the stand-in need not wait for."""
    from torchvision import datasets

    return getattr(datasets, edition.torchvision_class)


def _read(edition: Edition, folder: Path) -> tuple[dict[str, Images], str]:
    """Both splits, from whichever layout is found first in the folder, and how they are known."""
    if not folder.is_dir():
        raise AuditError(
            f"The data folder {folder} does not exist; name the folder that holds "
            f"{edition.binary_folder} or {edition.python_folder}."
        )
    for name, suffix, read, caveat in (
        (edition.binary_folder, ".bin", _binary, BY_STRUCTURE),
        (edition.python_folder, "", _python, BY_MD5),
    ):
        for place in (folder / name, folder):
            # One file is enough to know the layout by: what is missing is reported when reading.
            if any((place / f"{file}{suffix}").is_file() for file in edition.all_files):
                return read(edition, place), caveat
    raise AuditError(
        f"The data folder {folder} holds no {edition.title}: there is neither "
        f"{edition.binary_folder} nor {edition.python_folder} with its files in it; unpack an "
        "official archive there."
    )


def _binary(edition: Edition, place: Path) -> dict[str, Images]:
    """The binary layout: files of records, the labels and then the planes R, G and B."""
    splits = {}
    for split, files in edition.files.items():
        n, labels = edition.records[split], edition.label_bytes
        parts = [_records(place / f"{file}.bin", n, labels + PIXEL_BYTES) for file in files]
        pixels = torch.empty((n * len(files), SIDE, SIDE, 3), dtype=torch.uint8)
        for own, records in zip(pixels.split(n), parts, strict=True):
            own.copy_(records[:, labels:].view(n, 3, SIDE, SIDE).permute(0, 2, 3, 1))
        given = torch.cat([records[:, :labels] for records in parts]).long()
        if edition.coarse_classes:
            _require_structure(edition, split, given[:, 0], given[:, 1], place)
        splits[split] = Images(pixels, given[:, -1].contiguous())
    return splits


def _records(path: Path, n: int, length: int) -> Tensor:
    """One binary file as uint8 [n, length]."""
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise AuditError(
            f"{path} cannot be read ({_reason(error)}); unpack the official archive again."
        ) from error
    if data.size != n * length:
        raise AuditError(
            f"{path} has {data.size:,} bytes, expected {n * length:,}; unpack the official archive "
            "again."
        )
    return torch.from_numpy(data).view(n, length)


def _require_structure(
    edition: Edition, split: str, coarse: Tensor, fine: Tensor, place: Path
) -> None:
    """Refuse labels that cannot be the official ones: what their counts tell of them."""
    classes, superclasses = len(edition.classes), edition.coarse_classes
    pairs = torch.stack([coarse, fine], dim=1).unique(dim=0)
    each = len(fine) // classes
    sound = (
        torch.bincount(fine, minlength=classes).tolist() == [each] * classes
        and len(pairs) == classes
        and torch.bincount(pairs[:, 0], minlength=superclasses).tolist()
        == [classes // superclasses] * superclasses
    )
    if not sound:
        raise AuditError(
            f"The {split} split in {place} is not {edition.title}'s: it should have {each} images "
            f"of each of {classes} classes, {classes // superclasses} classes to a superclass; "
            "unpack the official archive again."
        )


def _python(edition: Edition, place: Path) -> dict[str, Images]:
    """The python layout, read by torchvision, which compares MD5 sums before it unpickles."""
    # torchvision adds the official folder name to its root; here the files' own folder is the root.
    in_place = type("InPlace", (_torchvision(edition),), {"base_folder": ""})
    splits = {}
    for split in edition.files:
        try:
            data = in_place(place, train=split == "train")
        except RuntimeError as error:
            raise AuditError(
                f"{edition.title} in {place} is incomplete or damaged, by the MD5 sums of its "
                "files; unpack the official archive again."
            ) from error
        except OSError as error:
            raise AuditError(
                f"{edition.title} in {place} cannot be read ({_reason(error)}); unpack the "
                "official archive again."
            ) from error
        pixels = torch.from_numpy(np.ascontiguousarray(data.data))
        splits[split] = Images(pixels, torch.tensor(data.targets))
    return splits


def _reason(error: Exception) -> str:
    """What went wrong, as a clause within a sentence."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or repr(error)
    return reason.rstrip(".")
