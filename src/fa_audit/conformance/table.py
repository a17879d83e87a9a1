"""The conformance table: for people, and as JSON."""

import json
from collections.abc import Sequence

from fa_audit.conformance.adapter import KINDS
from fa_audit.conformance.checks import CHECKS
from fa_audit.conformance.trials import Result, Status

MARK = {
    Status.PASSED: "pass",
    Status.FAILED: "FAIL",
    Status.SKIPPED: "skip",
    Status.FAILED_AS_EXPECTED: "xfail",
    Status.NOT_AS_EXPECTED: "XPASS",
}
NOT_CALLED_FOR = "·"


def human_table(name: str, results: Sequence[Result], stale: Sequence[str] = ()) -> str:
    """Checks × rules, then a sentence for everything that did not simply pass.

    Args:
        name: The adapter's.
        results: Of one adapter.
        stale: Expected failures that match no check.
    """
    parts = [f"Conformance of {name}", _grid(results), _counts(results)]
    for title, statuses in (
        ("Failed", (Status.FAILED, Status.NOT_AS_EXPECTED)),
        ("Failed as expected", (Status.FAILED_AS_EXPECTED,)),
    ):
        chosen = [_explained(result) for result in results if result.status in statuses]
        parts += ["\n".join([title, *chosen])] if chosen else []
    if skipped := _skipped(results):
        parts.append("\n".join(["Skipped", *skipped]))
    if stale:
        lines = (f"  {pattern}" for pattern in stale)
        parts.append("\n".join(["Expected failures that match no check", *lines]))
    return "\n\n".join(parts)


def json_table(name: str, results: Sequence[Result], stale: Sequence[str] = ()) -> str:
    """The same as JSON, with every statement, source and sentence."""
    document = {
        "adapter": name,
        "summary": {status.value: _count(results, status) for status in Status},
        "unmatched_expected_failures": list(stale),
        "results": [
            {
                "id": result.id,
                "rule": result.trial.variant.rule.name,
                "options": dict(result.trial.variant.options),
                "layer": result.trial.kind,
                "check": result.trial.check.name,
                "status": result.status.value,
                "sentence": result.sentence,
                "reason": result.reason,
                "statement": result.trial.check.statement,
                "source": result.trial.check.source,
            }
            for result in results
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _grid(results: Sequence[Result]) -> str:
    """Marks, checks down and variants across; variants of which nothing was tried are left out."""
    tried = (result.trial.variant.name for result in results if result.status != Status.SKIPPED)
    variants = list(dict.fromkeys(tried))
    marks = {result.id: MARK[result.status] for result in results}
    every_row = (f"{kind}/{check}" for kind in KINDS for check in CHECKS)
    rows = [row for row in every_row if any(f"{name}/{row}" in marks for name in variants)]
    # The rule in the first line of the head, the options that are not its defaults in the second.
    columns = [
        [name.split(".")[0], " ".join(chosen.split("=")[1] for chosen in name.split(".")[1:])]
        + [marks.get(f"{name}/{row}", NOT_CALLED_FOR) for row in rows]
        for name in variants
    ]
    table = zip(["", "", *rows], *columns, strict=True)
    widths = [max(map(len, column)) for column in (["", *rows], *columns)]
    lines = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in table)
    return "\n".join(line for line in lines if line)


def _counts(results: Sequence[Result]) -> str:
    counts = {status: _count(results, status) for status in Status}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)


def _count(results: Sequence[Result], status: Status) -> int:
    return sum(result.status == status for result in results)


def _explained(result: Result) -> str:
    lines = [
        f"  {result.id}",
        f"    {result.sentence}",
        f"    Check: {result.trial.check.statement} Source: {result.trial.check.source}.",
    ]
    if result.reason:
        lines.append(f"    Reason: {result.reason}")
    return "\n".join(lines)


def _skipped(results: Sequence[Result]) -> list[str]:
    """Reasons with what each is about; "*" where it is about all checks of a kind of layer."""
    of_layer: dict[str, list[Result]] = {}
    for result in results:
        layer = f"{result.trial.variant.name}/{result.trial.kind}"
        of_layer.setdefault(layer, []).append(result)
    reasons: dict[str, list[str]] = {}
    for layer, all_of_it in of_layer.items():
        skipped = [result for result in all_of_it if result.status == Status.SKIPPED]
        for reason in dict.fromkeys(result.sentence for result in skipped):
            ids = [result.id for result in skipped if result.sentence == reason]
            reasons.setdefault(reason, []).extend(
                [f"{layer}/*"] if len(ids) == len(all_of_it) else ids
            )
    return [f"  {', '.join(ids)}: {reason}" for reason, ids in reasons.items()]
