"""Expected failures: which checks an implementation is known to fail, and why; strict both ways."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from fa_audit.conformance.trials import Result, Status, Trial
from fa_audit.errors import AuditError


class ExpectedFailures:
    """Checks by their ids, "*" standing for anything, such as "usf_sn*/conv2d/norm" → reason.

    Strict: a check that matches and passes is at fault, and so is an entry without a match. A check
    that is skipped is at fault if it is named by its very id.

    Raises:
        AuditError: A reason that is missing.
    """

    def __init__(self, reasons: Mapping[str, str]) -> None:
        for pattern, reason in reasons.items():
            if not (isinstance(reason, str) and reason.strip()):
                raise AuditError(f"the expected failure {pattern!r} needs a reason: a sentence")
        self.reasons = dict(reasons)

    def reason(self, trial: Trial) -> str:
        """Why this trial is expected to fail, by the first entry that matches; "" if it is not."""
        matching = (r for pattern, r in self.reasons.items() if fnmatchcase(trial.id, pattern))
        return next(matching, "")

    def judge(self, result: Result) -> Result:
        """The result in the light of what was expected of it."""
        reason = self.reason(result.trial)
        by_star = result.id not in self.reasons
        if not reason or (result.status == Status.SKIPPED and by_star):
            return result
        if result.status == Status.FAILED:
            return replace(result, status=Status.FAILED_AS_EXPECTED, reason=reason)
        sentence = f"Expected to fail, but {result.status}: {result.sentence}"
        return replace(result, status=Status.NOT_AS_EXPECTED, sentence=sentence, reason=reason)

    def stale(self, trials: Iterable[Trial]) -> list[str]:
        """The entries that match none of these trials."""
        ids = [trial.id for trial in trials]
        return [
            pattern
            for pattern in self.reasons
            if not any(fnmatchcase(trial_id, pattern) for trial_id in ids)
        ]


def read_expected_failures(file: str | Path, adapter: str) -> dict[str, str]:
    """The expected failures of one adapter: the table of its name in a TOML file.

    Args:
        file: A file with one table per adapter: `["my layers"]`, then lines `"check" = "reason"`.
        adapter: The adapter's name.

    Raises:
        AuditError: The file cannot be read, or has no such table.
    """
    try:
        tables = tomllib.loads(Path(file).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise AuditError(f"the expected failures in {file} cannot be read: {error}") from error
    table = tables.get(adapter)
    if not isinstance(table, dict):
        found = ", ".join(map(repr, tables)) or "none"
        raise AuditError(f"{file} has no table for adapter {adapter!r}; it has: {found}")
    return table
