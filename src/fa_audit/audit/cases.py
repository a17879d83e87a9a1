"""A case: a claim with the numbers that bear on it, or with what keeps it from being judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fa_audit.audit import statistics
from fa_audit.audit.claims import Claim, MeasuredClaim, SingleClaim, SourceClaim, ValueClaim
from fa_audit.audit.evidence import Evidence, SeedSample, places, settings
from fa_audit.audit.verdict import RecordReference, Verdict, Word
from fa_audit.audit.wording import listed, suggest
from fa_audit.errors import AuditError

Numbers = Mapping[str, NDArray[np.float64]]
"""Subject → its values, at the seeds that all subjects of a claim have."""


@dataclass(frozen=True)
class Case:
    """A claim on its way to a verdict; without numbers, the draft is final."""

    claim: Claim
    draft: Verdict
    numbers: Numbers | None = None
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Subject → the training settings of its runs."""


def open_case(claim: Claim, file: str, evidence: Evidence) -> Case:
    """Gather what the evidence holds for one claim.

    Args:
        claim: One whose subjects the evidence has.
        file: The claims file, to be named in mistakes.
        evidence: The study's records.

    Raises:
        AuditError: The claim asks for a measure, layer or moment that none of the records knows.
    """
    draft = Verdict(
        claim=claim.id,
        statement=claim.statement,
        kind=claim.kind,
        word=Word.INCONCLUSIVE,
        reason="",
        study=evidence.study,
        data=evidence.data,
        stand_in=evidence.stand_in,
        matrix=claim.matrix if isinstance(claim, ValueClaim) else "",
    )
    if isinstance(claim, SourceClaim):
        return Case(claim, replace(draft, word=Word(claim.verdict), reason=claim.evidence))
    assert isinstance(claim, MeasuredClaim)
    samples = [evidence.sample(subject, claim.measure, claim.at) for subject in claim.subjects]
    _check_place(claim, samples, file)
    first = samples[0].values
    seeds = tuple(seed for seed in first if all(seed in one.values for one in samples))
    numbers = {one.subject: np.array([one.values[seed] for seed in seeds]) for one in samples}
    draft = replace(
        draft,
        unit=claim.unit,
        published=claim.published,
        n=len(seeds),
        seeds=seeds,
        diverged=sum(one.diverged for one in samples),
        missing=tuple(f"{one.subject} seed {seed}" for one in samples for seed in one.missing),
        records=tuple(
            RecordReference(one.subject, seed, record.hash, record.digest)
            for one in samples
            for seed, record in one.records.items()
        ),
    )
    if isinstance(claim, SingleClaim):
        estimate = float(np.mean(quantity(claim, numbers))) if seeds else None
        draft = replace(draft, quantity=claim.quantity, estimate=estimate)
    obstacle = _obstacle(claim, samples, draft)
    if obstacle:
        return Case(claim, obstacle)
    return Case(claim, draft, numbers, {one.subject: one.training for one in samples})


def quantity(claim: SingleClaim, numbers: Numbers) -> NDArray[np.float64]:
    """The numbers a single claim is about, seed by seed."""
    if claim.minus is None:
        return numbers[claim.of]
    difference = statistics.paired_differences(numbers[claim.of], numbers[claim.minus])
    if not claim.beyond:
        return difference
    other = statistics.paired_differences(*(numbers[subject] for subject in claim.beyond))
    return statistics.paired_differences(difference, other)


def _check_place(claim: MeasuredClaim, samples: Sequence[SeedSample], file: str) -> None:
    """Refuse a measure, layer or moment that none of the records knows."""
    for sample in samples:
        records = sample.records.values()
        measures = {measure for one in records for measure in one.measurements}
        if measures and claim.measure not in measures:
            raise AuditError(
                f"{file}, claim {claim.id!r}: {claim.measure!r} is not measured of "
                f"{sample.subject!r}; {suggest(claim.measure, measures)}"
            )
        known = {at for one in records for at in places(one, claim.measure)}
        if known and claim.at not in known:
            raise AuditError(
                f"{file}, claim {claim.id!r}: {claim.measure!r} of {sample.subject!r} is not "
                f"measured at {claim.at!r}; use one of {', '.join(sorted(known))}."
            )


def _obstacle(
    claim: MeasuredClaim, samples: Sequence[SeedSample], draft: Verdict
) -> Verdict | None:
    """The verdict of a claim that cannot be judged, with the reason; None where it can."""
    what = f"{claim.measure} at {claim.at}"
    for sample in samples:
        if sample.undefined and not sample.values:
            reason = f"{sample.subject} has no {what}: {next(iter(sample.undefined.values()))}."
            return replace(draft, word=Word.NOT_TESTABLE, reason=reason)
    records = [record for sample in samples for record in sample.records.values()]
    if not records:
        reason = "Not run: the ledger has no record of what the claim is about."
        return replace(draft, reason=reason)
    for name, wanted in claim.requires.items():
        found = [settings(record, name) for record in records]
        unlike = sorted({str(one) for values in found for one in values if one != wanted})
        if unlike or not all(found):
            ours = f"ours have {name} = {' and '.join(unlike)}" if unlike else "ours do not say"
            return replace(draft, reason=f"The claim is about {name} = {wanted}, and {ours}.")
    if draft.missing:
        return replace(draft, reason=f"Declared, but not there yet: {listed(draft.missing)}.")
    gaps = [
        f"{sample.subject} seed {seed} ({reason})"
        for sample in samples
        for seed, reason in sample.undefined.items()
    ]
    if gaps:
        reason = f"No run may be left out, and some have no {what}: {listed(gaps)}."
        return replace(draft, reason=reason)
    if draft.n < 2:
        reason = "One run does not tell how far runs scatter; at least 2 seeds are needed."
        return replace(draft, reason=reason, seeds_needed=2)
    return None
