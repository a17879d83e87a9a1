"""Recording: verdicts as JSON, and what differs between those recorded and those derived now."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fa_audit.audit.verdict import Verdict
from fa_audit.audit.wording import listed
from fa_audit.errors import AuditError
from fa_audit.study.ledger import Record

Records = Mapping[str, Mapping[int, Record]]
"""Configuration or comparison id → seed → record, as `Evidence` has them."""

_NO_RECORDS: Records = {}


def verdicts_to_json(verdicts: Sequence[Verdict], records: Records = _NO_RECORDS) -> str:
    """Verdicts as text that is the same whenever they are: sorted, six significant digits.

    Args:
        verdicts: One for each claim.
        records: All of the study, whose digests are kept beside the verdicts: so a record that no
            claim rests on cannot go or change unnoticed either.
    """
    rows = [_rounded(asdict(verdict)) for verdict in sorted(verdicts, key=lambda one: one.claim)]
    content = {"records": _digests(records), "verdicts": rows}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(entry) for entry in value]
    return value


def _digests(records: Records) -> dict[str, str]:
    return {
        _record_name(subject, seed): record.digest
        for subject, by_seed in records.items()
        for seed, record in by_seed.items()
    }


def _record_name(subject: str, seed: int) -> str:
    return f"{subject} seed {seed}"


@dataclass(frozen=True)
class Change:
    """How the verdict on one claim differs from the one recorded."""

    claim: str
    recorded: str | None
    """The word recorded; None for a claim without one."""
    derived: str | None
    recorded_estimate: float | None
    derived_estimate: float | None
    causes: tuple[str, ...]
    """What is no longer as it was: the claim itself, records behind it, or what was recorded."""

    def __str__(self) -> str:
        def side(word: str | None, estimate: float | None) -> str:
            return f"{word or 'no verdict'}" + ("" if estimate is None else f" ({estimate:.6g})")

        old = side(self.recorded, self.recorded_estimate)
        new = side(self.derived, self.derived_estimate)
        because = f"; {listed(self.causes)}" if self.causes else ""
        return f"{self.claim}: recorded {old}, derived {new}{because}."


def compare_verdicts(recorded: str, derived: Sequence[Verdict]) -> list[Change]:
    """What differs between recorded verdicts and those derived now.

    Args:
        recorded: Text written by `verdicts_to_json`.
        derived: Verdicts derived from the ledger as it is.

    Returns:
        One change for each claim of which anything differs, sorted by claim.

    Raises:
        AuditError: The recorded text is damaged.
    """
    old, _ = _read(recorded)
    new = {
        row["claim"]: (_essence(row), row)
        for row in json.loads(verdicts_to_json(derived))["verdicts"]
    }
    changes, edited = [], []
    for claim in sorted({*old, *new}):
        (before, row), (after, now) = old.get(claim, _NOTHING), new.get(claim, _NOTHING)
        change = partial(Change, claim, before.word, after.word, before.estimate, after.estimate)
        if before != after:
            altered = before.definition and after.definition not in (None, before.definition)
            causes = ["the claim itself was altered"] if altered else []
            changes.append(change((*causes, *_moves(before.digests, after.digests))))
        elif keys := [key for key in sorted({*row, *now}) if not _same(row.get(key), now.get(key))]:
            edited.append(
                change((f"recorded {', '.join(keys)} would not follow from claims and ledger",))
            )
    # A claim of a family moves the adjusted p-values of the others: then these tell nothing more.
    return changes or edited


def compare_records(recorded: str, records: Records) -> list[str]:
    """Which records of a study went, came or changed since its verdicts were recorded.

    Args:
        recorded: Text written by `verdicts_to_json`.
        records: All that the study has now.

    Returns:
        One clause for each, sorted by record: "record bp seed 1 is missing".

    Raises:
        AuditError: The recorded text is damaged.
    """
    _, digests = _read(recorded)
    return _moves(digests, _digests(records))


def _read(
    recorded: str, called: str = "The recorded verdicts"
) -> tuple[dict[str, tuple["_Essence", Mapping[str, Any]]], dict[str, str]]:
    """The recorded verdicts by claim, and the digests of all records there were."""
    try:
        content = json.loads(recorded)
        rows, digests = content["verdicts"], content["records"]
        found = {row["claim"]: (_essence(row), row) for row in rows}
        whole = len(found) == len(rows) and all(isinstance(claim, str) for claim in found)
        whole = whole and all(isinstance(digest, str) for digest in digests.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise AuditError(
            f"{called} are damaged: they are not what judge --record writes, one row for each "
            "claim and one digest for each record; restore the file, or judge again and record "
            "the result."
        )
    return found, digests


ROUNDING = 1.1e-5
"""What two roundings to six digits may differ by: another SciPy may end on another last digit."""


def _same(one: Any, other: Any) -> bool:
    """Equal, numbers up to rounding."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=ROUNDING)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def read_verdicts(path: Path) -> str | None:
    """What was recorded there; None where nothing was.

    Raises:
        AuditError: It cannot be read, or is damaged.
    """
    try:
        recorded = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise AuditError(
            f"{path} cannot be read ({why}); restore it, or remove it and judge with --record"
        ) from error
    _read(recorded, f"The verdicts recorded in {path}")  # here, where the file has a name
    return recorded


class _Essence(NamedTuple):
    """What a change of a verdict is told by."""

    word: str | None
    estimate: float | None
    definition: str | None
    digests: Mapping[str, str]
    """Record → its digest."""


_NOTHING: tuple[_Essence, Mapping[str, Any]] = (_Essence(None, None, None, {}), {})


def _essence(row: Mapping[str, Any]) -> _Essence:
    digests = {_record_name(one["subject"], one["seed"]): one["digest"] for one in row["records"]}
    word, estimate = row["word"], row["estimate"]
    if not (isinstance(word, str) and (estimate is None or type(estimate) in (int, float))):
        raise TypeError("no verdict")
    return _Essence(word, estimate, row["definition"], digests)


def _moves(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    moves = []
    for name in sorted({*before, *after}):
        if name not in after:
            moves.append(f"record {name} is missing")
        elif name not in before:
            moves.append(f"record {name} is new")
        elif before[name] != after[name]:
            moves.append(f"record {name} has changed")
    return moves
