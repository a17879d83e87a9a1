"""Tables of verdicts: plain text for a terminal, Markdown for a README."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

from fa_audit.audit.evidence import Evidence, settings
from fa_audit.audit.matrices import summarise_matrices
from fa_audit.audit.verdict import Verdict, Word
from fa_audit.audit.wording import digits, show

INTERVALS = {
    "PI": ("prediction interval", "of a run like the published one"),
    "CI": ("confidence interval", "of what we estimate"),
}
"""What a row calls an interval for short → what a verdict calls it, and what it is of."""

HEAD = ("claim", "published", "ours", "n", "verdict")


def verdict_table(
    verdicts: Sequence[Verdict],
    evidence: Evidence,
    headlines: Sequence[str] | None = None,
    markdown: bool = False,
) -> str:
    """Verdicts as a table of claim, published, ours [interval], n and verdict.

    Args:
        verdicts: From one call of `judge`.
        evidence: What they were derived from.
        headlines: Ids of the claims to show, in this order; None shows all.
        markdown: Markdown, with each claim in words, instead of plain text with ids.

    Returns:
        Title and table; below it, for all verdicts whether shown or not, their counts and what is
        behind them, matrices one by one or, below headlines, together. The title of a stand-in says
        that it is one.
    """
    by_claim = {verdict.claim: verdict for verdict in verdicts}
    shown = verdicts if headlines is None else [by_claim[claim] for claim in headlines]
    title = f"Verdicts of study {evidence.study} on {evidence.data}"
    if evidence.stand_in:
        title = (
            f"STAND-IN DATA, not the paper's: verdicts of study {evidence.study} on {evidence.data}"
        )
    table = _markdown(title, shown) if markdown else _plain(title, shown)
    matrices = _matrices_together if headlines else _matrices_one_by_one
    below = (_legend(shown), _summary(verdicts), matrices(verdicts), _properties(verdicts))
    return "\n".join([*table, *chain.from_iterable(below), _basis(evidence)])


def _plain(title: str, verdicts: Sequence[Verdict]) -> list[str]:
    rows = [HEAD, *((verdict.claim, *_cells(verdict)) for verdict in verdicts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    rule = "-" * max(map(len, (head, *lines)))
    return [title, rule, head, rule, *lines, rule]


def _markdown(title: str, verdicts: Sequence[Verdict]) -> list[str]:
    rows = [HEAD, *((verdict.statement, *_cells(verdict)) for verdict in verdicts)]
    head, *lines = ("| " + " | ".join(map(_escaped, row)) + " |" for row in rows)
    return [f"**{title}**", "", head, "|---|---|---|---:|---|", *lines, ""]


def _escaped(cell: str) -> str:
    """A cell in one line, without what Markdown takes for its end, emphasis, deletion or HTML."""
    line = " ".join(cell.split())
    return re.sub(r"[|*~`]|<(?=[a-zA-Z/!?])|&(?=[#\w]+;)", r"\\\g<0>", line)


def _cells(verdict: Verdict) -> tuple[str, str, str, str]:
    """What a row says after naming the claim."""
    published = verdict.published
    shown = show(published, verdict.unit) if isinstance(published, (int, float)) else published
    ours = verdict.found
    if verdict.estimate is not None:
        ours = show(verdict.estimate, verdict.unit)
        if verdict.interval is not None:
            low, high = map(digits, verdict.interval)
            ours += f", {_short(verdict.interval_kind)} [{low}, {high}]"
        if verdict.kind == "order":
            ours = f"{verdict.quantity}: {ours}"
    needs = f" (needs n ≥ {verdict.seeds_needed})" if verdict.seeds_needed else ""
    return shown or "", ours, str(verdict.n or ""), f"{verdict.word}{needs}"


def _short(interval_kind: str) -> str:
    """An interval's kind as a row has it, "95 % PI"."""
    for short, (kind, _) in INTERVALS.items():
        interval_kind = interval_kind.replace(kind, short)
    return interval_kind


def _legend(shown: Sequence[Verdict]) -> Iterator[str]:
    """What the abbreviations in the rows stand for."""
    kinds = " ".join(verdict.interval_kind for verdict in shown)
    meanings = [
        f"{short}: {kind} {of}." for short, (kind, of) in INTERVALS.items() if kind in kinds
    ]
    if meanings:
        yield " ".join(meanings)


def _summary(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """How many verdicts there are of each kind, and what keeps several claims open at once."""
    if not verdicts:
        yield "There are no claims."
        return
    yield from counts_by_origin(verdicts)
    open_claims = [verdict for verdict in verdicts if verdict.word == Word.INCONCLUSIVE]
    waiting = sum(bool(verdict.missing) for verdict in open_claims)
    if waiting > 1:
        yield f"{waiting} of the inconclusive wait for runs that are declared, but not there yet."
    # What was judged and stays open has reasons of its own, even where two read alike.
    unjudged = [one for one in open_claims if not one.missing and one.interval is None]
    reasons = Counter(verdict.reason for verdict in unjudged)
    for reason, claims in reasons.most_common():
        if claims > 1:
            yield f"{claims} are inconclusive for one reason: {reason}"


def _matrices_one_by_one(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield from map(str, summarise_matrices(verdicts))


def _matrices_together(verdicts: Sequence[Verdict]) -> Iterator[str]:
    cells = [verdict for verdict in verdicts if verdict.matrix]
    matrices = len({verdict.matrix for verdict in cells})
    if matrices:
        yield f"{len(cells)} claims are cells of {matrices} matrices: {counted(cells)}."


def _properties(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """How many are of definitions: that these are reproduced says nothing of any training."""
    settled = [verdict for verdict in verdicts if verdict.kind == "property"]
    if settled:
        many = f"{len(settled)} claims are" if len(settled) > 1 else "1 claim is"
        yield f"{many} settled by what a rule is, without a run: {counted(settled)}."


def counts_by_origin(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """A sentence on the claims of the paper, and one on the questions that the audit adds."""
    ours = [verdict for verdict in verdicts if verdict.origin == "audit"]
    theirs = [verdict for verdict in verdicts if verdict.origin != "audit"]
    if theirs:
        whose = "of the paper" if ours else "in all"
        yield f"{_numbered(len(theirs), 'claim')} {whose}: {counted(theirs)}."
    if ours:
        yield f"{_numbered(len(ours), 'question')} that the audit adds: {counted(ours)}."


def _numbered(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def counted(verdicts: Sequence[Verdict]) -> str:
    """How many there are of each verdict, in words."""
    counts = Counter(verdict.word for verdict in verdicts)
    return ", ".join(
        f"{counts[word]} {_SEVERAL.get(word, word) if counts[word] > 1 else word}"
        for word in Word
        if counts[word]
    )


_SEVERAL = {Word.HOLDS: "hold", Word.DOES_NOT_HOLD: "do not hold"}


def _basis(evidence: Evidence) -> str:
    """Which images, seeds, epochs and how many of the declared records are behind the verdicts."""
    records = [record for by_seed in evidence.records.values() for record in by_seed.values()]
    declared = [evidence.seeds_of(id) for id in evidence.records]
    seeds = dict.fromkeys(chain(evidence.seeds, *declared))
    epochs = sorted({value for record in records for value in settings(record, "epochs")})
    return (
        f"Data: {evidence.data}. Seeds: {', '.join(map(str, seeds))}. "
        f"Epochs: {', '.join(map(str, epochs)) or 'none yet'}. "
        f"Records: {len(records)} of {sum(map(len, declared))}."
    )
