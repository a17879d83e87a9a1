"""A case: a claim with the numbers that bear on it, or with what keeps it from being judged."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fa_audit.audit.claims import (
    Claim,
    MeasuredClaim,
    PropertyClaim,
    SingleClaim,
    SourceClaim,
    ValueClaim,
)
from fa_audit.audit.differences import paired_differences
from fa_audit.audit.evidence import Evidence, SeedSample, is_trained, places, settings
from fa_audit.audit.verdict import RecordReference, Verdict, Word
from fa_audit.audit.wording import listed
from fa_audit.errors import AuditError, suggest
from fa_audit.hashing import content_hash

Found = TypeVar("Found")

Numbers = Mapping[str, NDArray[np.float64]]
"""Name of a term → its values, at the seeds that all terms of a claim have."""


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
        definition=definition(claim),
        statement=claim.statement,
        kind=claim.kind,
        origin=claim.origin,
        word=Word.INCONCLUSIVE,
        reason="",
        study=evidence.study,
        data=evidence.data,
        stand_in=evidence.stand_in,
        matrix=claim.matrix if isinstance(claim, ValueClaim) else "",
    )
    if isinstance(claim, SourceClaim):
        return Case(claim, replace(draft, word=Word(claim.verdict), reason=claim.evidence))
    if isinstance(claim, PropertyClaim):
        return Case(claim, _property(claim, file, evidence, draft))
    assert isinstance(claim, MeasuredClaim)
    by_term = {name: evidence.sample(*term) for name, term in claim.terms.items()}
    _check_place(claim, by_term, file)
    # Two terms may be of one subject; its records count once.
    samples = list({one.subject: one for one in by_term.values()}.values())
    shared = set.intersection(*(set(one.values) for one in by_term.values()))
    seeds = tuple(seed for seed in samples[0].values if seed in shared)
    numbers = {
        name: np.array([one.values[seed] for seed in seeds]) for name, one in by_term.items()
    }
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
        draft = replace(draft, unit=claim.quantity_unit, quantity=claim.quantity, estimate=estimate)
    obstacle = _obstacle(claim, by_term, draft)
    if obstacle:
        return Case(claim, obstacle)
    return Case(claim, draft, numbers, {one.subject: one.training for one in samples})


def definition(claim: Claim) -> str:
    """Hash of what a claim says; keys that are not given do not enter it."""
    given = {
        entry.name: getattr(claim, entry.name)
        for entry in fields(claim)
        if entry.default is MISSING or getattr(claim, entry.name) != entry.default
    }
    return content_hash({"kind": claim.kind, **given})


def quantity(claim: SingleClaim, numbers: Numbers) -> NDArray[np.float64]:
    """The numbers a single claim is about, seed by seed."""
    first, *others = (numbers[name] for name in claim.terms)
    if not others:
        return first
    difference = paired_differences(first, others[0])
    if not claim.beyond:
        return difference
    return paired_differences(difference, paired_differences(*others[1:]))


def _property(claim: PropertyClaim, file: str, evidence: Evidence, draft: Verdict) -> Verdict:
    """The verdict on what a rule is by its definition."""
    by_rule = _looked_up(claim.aspect, evidence.properties, f"{file}, claim {claim.id!r}: aspect")
    found = _looked_up(claim.rule, by_rule, f"{file}, claim {claim.id!r}: rule")
    claimed = claim.read_as or claim.published
    _looked_up(claimed, dict.fromkeys(by_rule.values()), f"{file}, claim {claim.id!r}:")
    reading = f"; “{claim.published}” is read as: {claim.read_as}" if claim.read_as else ""
    return replace(
        draft,
        word=Word.REPRODUCED if found == claimed else Word.NOT_REPRODUCED,
        reason=f"By definition the {claim.aspect} of {claim.rule} is: {found}; tests hold the "
        f"layers to it{reading}.",
        published=claim.published,
        quantity=claim.rule,
        found=found,
    )


def _looked_up(name: str, table: Mapping[str, Found], what: str) -> Found:
    if name not in table:
        raise AuditError(f"{what} {name!r} is unknown; {suggest(name, table)}")
    return table[name]


def _check_place(claim: MeasuredClaim, by_term: Mapping[str, SeedSample], file: str) -> None:
    """Refuse a measure, layer or moment that none of the records knows."""
    for name, sample in by_term.items():
        _, measure, at = claim.terms[name]
        records = sample.records.values()
        measures = {measure for one in records for measure in one.measurements}
        if measures and measure not in measures:
            raise AuditError(
                f"{file}, claim {claim.id!r}: {measure!r} is not measured of "
                f"{sample.subject!r}; {suggest(measure, measures)}"
            )
        for unit in {one.measurements.get(measure, {}).get("unit") for one in records}:
            if unit is not None and not _same_unit(claim.unit, unit):
                raise AuditError(
                    f"{file}, claim {claim.id!r}: its unit is {claim.unit!r}, and {measure!r} is "
                    f"recorded in {unit!r}; give the numbers of the claim in that unit"
                )
        known = {at for one in records for at in places(one, measure)}
        if known and at not in known:
            raise AuditError(
                f"{file}, claim {claim.id!r}: {measure!r} of {sample.subject!r} is not "
                f"measured at {at!r}; {suggest(at, known)}"
            )


UNITS = ("%", "degrees", "epochs", "images", "nats")
"""What a number without a unit cannot be called. Otherwise a claim may say what it is a part of."""


def _same_unit(claimed: str, recorded: str) -> bool:
    return claimed == recorded or (recorded == "1" and claimed not in UNITS)


def _obstacle(
    claim: MeasuredClaim, by_term: Mapping[str, SeedSample], draft: Verdict
) -> Verdict | None:
    """The verdict of a claim that cannot be judged, with the reason; None where it can."""
    samples = by_term.values()
    for name, sample in by_term.items():
        what = f"{claim.terms[name].measure} at {claim.terms[name].at}"
        if sample.undefined and not sample.values:
            reason = f"{sample.subject} has no {what}: {next(iter(sample.undefined.values()))}."
            return replace(draft, word=Word.NOT_TESTABLE, reason=reason)
    records = [record for sample in samples for record in sample.records.values()]
    if not records:
        reason = "Not run: the ledger has no record of what the claim is about."
        return replace(draft, reason=reason)
    trained = [record for record in records if is_trained(record)]
    for name, wanted in claim.requires.items():
        found = [settings(record, name) for record in trained]
        unlike = sorted({str(one) for values in found for one in values if one != wanted})
        if unlike or not found or not all(found):
            ours = f"ours have {name} = {' and '.join(unlike)}" if unlike else "ours do not say"
            return replace(draft, reason=f"The claim is about {name} = {wanted}, and {ours}.")
    if draft.missing:
        return replace(draft, reason=f"Declared, but not there yet: {listed(draft.missing)}.")
    for name, sample in by_term.items():
        if sample.undefined:
            gaps = [f"{sample.subject} seed {s} ({why})" for s, why in sample.undefined.items()]
            what = f"{claim.terms[name].measure} at {claim.terms[name].at}"
            reason = f"No run may be left out, and some have no {what}: {listed(gaps)}."
            return replace(draft, reason=reason)
    if draft.n < 2:
        reason = "One run does not tell how far runs scatter; at least 2 seeds are needed."
        return replace(draft, reason=reason, seeds_needed=2)
    return None
