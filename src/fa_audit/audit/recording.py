"""Recording: verdicts as JSON, and what differs between those recorded and those derived now."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from fa_audit.audit.verdict import Verdict
from fa_audit.audit.wording import listed
from fa_audit.errors import AuditError


def verdicts_to_json(verdicts: Sequence[Verdict]) -> str:
    """Verdicts as text that is the same whenever they are: sorted, six significant digits."""
    rows = [_rounded(asdict(verdict)) for verdict in sorted(verdicts, key=lambda one: one.claim)]
    content = {"verdicts": rows}
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(entry) for entry in value]
    return value


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
    """What is no longer as it was: the claim itself, or records behind it."""

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
        One change for each claim that differs, or whose verdict, estimate or records do, sorted by
        claim.

    Raises:
        AuditError: The recorded text is damaged.
    """
    try:
        old = {row["claim"]: _essence(row) for row in json.loads(recorded)["verdicts"]}
    except (ValueError, KeyError, TypeError) as error:
        raise AuditError(
            f"The recorded verdicts are damaged ({error!r}); restore the file, or judge again and "
            "record the result."
        ) from error
    new = {row["claim"]: _essence(row) for row in json.loads(verdicts_to_json(derived))["verdicts"]}
    changes = []
    for claim in sorted({*old, *new}):
        before, after = old.get(claim, _NOTHING), new.get(claim, _NOTHING)
        if before != after:
            altered = before.definition and after.definition not in (None, before.definition)
            causes = (
                *(["the claim itself was altered"] if altered else []),
                *_moves(before.digests, after.digests),
            )
            changes.append(
                Change(claim, before.word, after.word, before.estimate, after.estimate, causes)
            )
    return changes


class _Essence(NamedTuple):
    """What must stay the same of a verdict."""

    word: str | None
    estimate: float | None
    definition: str | None
    digests: Mapping[str, str]
    """Record → its digest."""


_NOTHING = _Essence(None, None, None, {})


def _essence(row: Mapping[str, Any]) -> _Essence:
    digests = {f"{one['subject']} seed {one['seed']}": one["digest"] for one in row["records"]}
    return _Essence(row["word"], row["estimate"], row["definition"], digests)


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
