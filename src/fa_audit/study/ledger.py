"""The ledger: one small file per finished cell, named after the hash of its configuration.

A file holds a cell's configuration, its measurements, its series over training, where the numbers
come from, and a digest of all this. It is written once, whole, and never changed; what is cut short
or altered afterwards no longer fits its digest.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fa_audit.errors import AuditError
from fa_audit.hashing import content_hash
from fa_audit.study.files import set_aside, unreadable, write_atomically

FORMAT = 1

# What reading a file raises that is no record.
BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class DamagedRecordError(AuditError):
    """A ledger file that is cut short, altered or not a record at all."""


@dataclass(frozen=True)
class Record:
    """One finished cell of a study.

    Attributes:
        kind: "run", "comparison", "channels" or "cost".
        id: The cell's name in the study, e.g. "bp", "fa_random~bp" or "fa_random.channels".
        seed: The cell's seed.
        hash: SHA-256 of the configuration.
        configuration: Everything that decides the result.
        status: "finished" or "diverged".
        measurements: name → {"estimator", "n", "p", "unit", "values": {at: number or None},
            "undefined": {at: reason}}.
        series: Values over epochs and over probed steps; of channels, all that is too long for a
            measurement.
        provenance: Code version, packages, device, data fingerprints, seconds, time of completion.
        digest: SHA-256 of all of the above.
    """

    kind: str
    id: str
    seed: int
    hash: str
    configuration: Mapping[str, Any]
    status: str
    measurements: Mapping[str, Mapping[str, Any]]
    series: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def stem(self) -> str:
        """What the cell's files are called."""
        return cell_stem(self.id, self.seed, self.hash)


def cell_stem(id: str, seed: int, hash: str) -> str:
    """Readable and unique: "fa_random-s3-0f2a91c0d4e7"."""
    return f"{id}-s{seed}-{hash[:12]}"


class Ledger:
    """The records in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, id: str, seed: int, hash: str) -> Path:
        """Where the record of a cell is, or will be."""
        return self.folder / f"{cell_stem(id, seed, hash)}.json"

    def find(self, id: str, seed: int, hash: str) -> Record | None:
        """The record of a cell, or None where there is none.

        Raises:
            DamagedRecordError: There is a file, but it is cut short, altered or another cell's.
        """
        path = self.path(id, seed, hash)
        if not path.exists():
            return None
        record = read_record(path)
        if record.hash != hash:
            raise DamagedRecordError(f"{path} is the record of another configuration; set it aside")
        return record

    def write(self, record: Record) -> Path:
        """Write a record, with its digest, in one step; returns its path."""
        path = self.path(record.id, record.seed, record.hash)
        content = _content(record)
        text = _layout({"format": FORMAT, **content, "digest": content_hash(content)})
        write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))
        return path

    def set_aside(self, id: str, seed: int, hash: str) -> Path:
        """Rename a damaged file so that its cell can run again; returns the new path."""
        return set_aside(self.path(id, seed, hash))


def read_record(path: Path) -> Record:
    """Read one ledger file.

    Raises:
        DamagedRecordError: It is cut short or altered: its content does not have its digest.
        AuditError: It was written by a version with another format, or cannot be read for now.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("format")
        if version != FORMAT:
            raise AuditError(
                f"{path} has format {version}, this version of fa-audit reads {FORMAT}; "
                "use the version that wrote it"
            )
        digest = content.pop("digest")
        record = Record(**content, digest=digest)
        intact = content_hash(content) == digest
        consistent = content_hash(record.configuration) == record.hash
    except (*BROKEN, IsADirectoryError) as error:
        raise DamagedRecordError(
            f"{path} is not a whole ledger file; run the study again to make it anew"
        ) from error
    except OSError as error:  # such as too many open files: the record may well be whole
        raise unreadable(path, error) from error
    if not (intact and consistent):
        raise DamagedRecordError(
            f"{path} was altered after it was written: its content does not match its digest; "
            "restore it or run the study again"
        )
    return record


def _content(record: Record) -> dict[str, Any]:
    content = asdict(record)
    del content["digest"]
    # What a reader will get back: numbers of nine digits, which float32 survives, and lists.
    kept: dict[str, Any] = json.loads(json.dumps(rounded(content), allow_nan=False))
    kept["configuration"] = json.loads(json.dumps(record.configuration))
    return kept


def rounded(value: Any) -> Any:
    """Every float within a value to the nine digits that a ledger keeps."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def _layout(content: Mapping[str, Any]) -> str:
    """JSON with one line per entry of the two outer levels: readable, and small in a diff."""
    lines = []
    for key, value in content.items():
        if isinstance(value, dict) and value:
            inner = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f" {json.dumps(key)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
