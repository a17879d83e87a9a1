"""Verdicts: what a study's records say about each claim.

The words, and what earns them:

- **reproduced**: shown to hold, not merely unrefuted.
- **direction only**: an order holds, but the distance claimed with it is shown to be smaller.
- **not reproduced**: shown to be otherwise.
- **inconclusive**: the runs do not settle it; with the number of seeds that would, where there is
  one. So is every claim whose runs are not the ones it is about, or are not all there.
- **not testable**: a fact is missing, such as a measurement that cannot be defined.
- **contradicted by its own source**: settled by reading.

Claims of one family share one error rate: Holm's method adjusts their p-values, question by
question. A claim that cannot be judged yet counts with p = 1, so that a family has the size it was
declared with, not the one that happened.
"""

import difflib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fa_audit.audit import statistics
from fa_audit.audit.claims import (
    Claim,
    Claims,
    EquivalenceClaim,
    MeasuredClaim,
    OrderClaim,
    RangeClaim,
    SingleClaim,
    SourceClaim,
    ValueClaim,
)
from fa_audit.audit.evidence import Evidence, SeedSample
from fa_audit.audit.statistics import Difference, Interval
from fa_audit.errors import AuditError


class Word(StrEnum):
    """The six verdicts."""

    REPRODUCED = "reproduced"
    DIRECTION_ONLY = "direction only"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTABLE = "not testable"
    CONTRADICTED = "contradicted by its own source"


@dataclass(frozen=True)
class RecordReference:
    """A record behind a verdict."""

    subject: str
    seed: int
    hash: str
    digest: str


@dataclass(frozen=True)
class Comparison:
    """One pair of an order claim, paired by seed: larger minus smaller, as claimed."""

    larger: str
    smaller: str
    difference: Difference
    p_adjusted: float

    @property
    def name(self) -> str:
        """The difference in words."""
        return f"{self.larger} − {self.smaller}"


@dataclass(frozen=True)
class Verdict:
    """What became of one claim, and everything it rests on."""

    claim: str
    kind: str
    word: Word
    reason: str
    """One sentence for a scientist who is no statistician."""
    study: str
    data: str
    stand_in: bool
    unit: str = ""
    published: float | str | None = None
    quantity: str = ""
    """What was estimated: a subject, or a difference of two. In an order, the deciding pair."""
    estimate: float | None = None
    interval: Interval | None = None
    interval_kind: str = ""
    half_width: float | None = None
    n: int = 0
    seeds: tuple[int, ...] = ()
    p: float | None = None
    p_adjusted: float | None = None
    seeds_needed: int | None = None
    diverged: int = 0
    missing: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    records: tuple[RecordReference, ...] = ()


def judge(claims: Claims, evidence: Evidence) -> tuple[Verdict, ...]:
    """Judge every claim by the records of a study.

    Args:
        claims: A checked claims file.
        evidence: The study's records.

    Returns:
        One verdict for each claim, in their order.

    Raises:
        AuditError: The claims are about other images than the evidence, or name a configuration,
            comparison or place that the study does not have.
    """
    if claims.data != evidence.data:
        label = ", a stand-in," if evidence.stand_in else ""
        raise AuditError(
            f"{claims.file} makes claims about {claims.data}, but the records of study "
            f"{evidence.study!r} come from {evidence.data}{label} and say nothing about them; "
            f"judge runs on {claims.data}."
        )
    claims.check_subjects(evidence.records.keys())
    cases = [_gather(claim, claims.file, evidence) for claim in claims.claims]
    answers = _answers(cases)
    return tuple(_decide(case, answers[case.claim.id], claims.alpha) for case in cases)


# Gathering the numbers of a claim, or what keeps it from being judged


_Numbers = Mapping[str, NDArray[np.float64]]
"""Subject → its values, at the seeds that all subjects of a claim have."""


@dataclass(frozen=True)
class _Case:
    """A claim on its way to a verdict; without numbers, the draft is final."""

    claim: Claim
    draft: Verdict
    numbers: _Numbers | None = None


def _gather(claim: Claim, file: str, evidence: Evidence) -> _Case:
    draft = Verdict(
        claim=claim.id,
        kind=claim.kind,
        word=Word.INCONCLUSIVE,
        reason="",
        study=evidence.study,
        data=evidence.data,
        stand_in=evidence.stand_in,
    )
    if isinstance(claim, SourceClaim):
        return _Case(claim, replace(draft, word=Word(claim.verdict), reason=claim.evidence))
    assert isinstance(claim, MeasuredClaim)
    samples = [evidence.sample(subject, claim.measure, claim.at) for subject in claim.subjects]
    _check_place(claim, samples, file)
    seeds = tuple(seed for seed in evidence.seeds if all(seed in one.values for one in samples))
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
        estimate = float(np.mean(_quantity(claim, numbers))) if seeds else None
        draft = replace(draft, quantity=" − ".join(claim.subjects), estimate=estimate)
    obstacle = _obstacle(claim, samples, draft)
    return _Case(claim, obstacle) if obstacle else _Case(claim, draft, numbers)


def _quantity(claim: SingleClaim, numbers: _Numbers) -> NDArray[np.float64]:
    """The numbers a single claim is about, seed by seed."""
    if claim.minus is None:
        return numbers[claim.of]
    return statistics.paired_differences(numbers[claim.of], numbers[claim.minus])


def _check_place(claim: MeasuredClaim, samples: Sequence[SeedSample], file: str) -> None:
    """Refuse a measure, layer or moment that none of the records knows."""
    for sample in samples:
        records = sample.records.values()
        measures = {measure for one in records for measure in one.measurements}
        if measures and claim.measure not in measures:
            near = difflib.get_close_matches(claim.measure, measures, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"use one of {_some(measures)}."
            raise AuditError(
                f"{file}, claim {claim.id!r}: {claim.measure!r} is not measured of "
                f"{sample.subject!r}; {hint}"
            )
        places = {at for one in records for at in one.places(claim.measure)}
        if places and claim.at not in places:
            raise AuditError(
                f"{file}, claim {claim.id!r}: {claim.measure!r} of {sample.subject!r} is not "
                f"measured at {claim.at!r}; use one of {_some(places)}."
            )


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


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
    for name, wanted in claim.requires.items():
        found = [record.settings(name) for record in records]
        unlike = sorted({str(one) for settings in found for one in settings if one != wanted})
        if unlike or not all(found):
            ours = f"ours have {name} = {' and '.join(unlike)}" if unlike else "ours do not say"
            return replace(draft, reason=f"The claim is about {name} = {wanted}, and {ours}.")
    if draft.missing:
        return replace(draft, reason=f"Declared, but not there yet: {_listed(draft.missing)}.")
    gaps = [
        f"{sample.subject} seed {seed} ({reason})"
        for sample in samples
        for seed, reason in sample.undefined.items()
    ]
    if gaps:
        reason = f"No run may be left out, and some have no {what}: {_listed(gaps)}."
        return replace(draft, reason=reason)
    if draft.n < 2:
        reason = "One run does not tell how far runs scatter; at least 2 seeds are needed."
        return replace(draft, reason=reason, seeds_needed=2)
    return None


# Adjusting p-values within families


class _Answer(NamedTuple):
    """One p-value of a claim, and what its family makes of it."""

    p: float
    p_adjusted: float
    family_size: int


def _p_values(case: _Case) -> dict[str, list[float]]:
    """What a claim asks of its numbers, and the raw p-values that answer it."""
    claim, numbers = case.claim, case.numbers
    if isinstance(claim, ValueClaim):
        if numbers is None:
            return {"differs": [1.0]}
        values, k = _quantity(claim, numbers), claim.published_runs
        return {
            "differs": [statistics.prediction_p(values, claim.published, k, claim.reading_error)]
        }
    if isinstance(claim, RangeClaim | EquivalenceClaim):
        if numbers is None:
            return {"inside": [1.0], "outside": [1.0]}
        test = statistics.equivalence_test(_quantity(claim, numbers), claim.low, claim.high)
        return {"inside": [test.p_inside], "outside": [test.p_outside]}
    if isinstance(claim, OrderClaim):
        distances = {"order": 0.0}
        if claim.at_least is not None:
            distances["size"] = claim.at_least
        if numbers is None:
            return {question: [1.0] * len(claim.pairs) for question in distances}
        differences = [
            statistics.paired_differences(numbers[a], numbers[b]) for a, b in claim.pairs
        ]
        return {
            question: [statistics.mean_p(one, distance) for one in differences]
            for question, distance in distances.items()
        }
    return {}


def _answers(cases: Sequence[_Case]) -> Mapping[str, Mapping[str, list[_Answer]]]:
    """Claim id → question → its p-values, adjusted within the claim's family."""
    pools: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for case in cases:
        family = getattr(case.claim, "family", None)
        pool = f"family {family}" if family else f"claim {case.claim.id}"
        for question, p_values in _p_values(case).items():
            pools[pool, question].extend((case.claim.id, p) for p in p_values)
    answers: dict[str, dict[str, list[_Answer]]] = defaultdict(lambda: defaultdict(list))
    for (_, question), pooled in pools.items():
        adjusted = statistics.holm([p for _, p in pooled])
        for (claim, p), p_adjusted in zip(pooled, adjusted, strict=True):
            answers[claim][question].append(_Answer(p, p_adjusted, len(pooled)))
    return answers


# Deciding


def _decide(case: _Case, answers: Mapping[str, list[_Answer]], alpha: float) -> Verdict:
    claim, verdict, numbers = case.claim, case.draft, case.numbers
    if numbers is not None:
        if isinstance(claim, ValueClaim):
            verdict = _decide_value(claim, verdict, _quantity(claim, numbers), answers, alpha)
        elif isinstance(claim, RangeClaim | EquivalenceClaim):
            verdict = _decide_bounds(claim, verdict, _quantity(claim, numbers), answers, alpha)
        elif isinstance(claim, OrderClaim):
            pairs = [statistics.paired_t(numbers[a], numbers[b], alpha) for a, b in claim.pairs]
            verdict = _decide_order(claim, verdict, pairs, answers, alpha)
    if verdict.diverged:
        share = f"{verdict.diverged} of {len(verdict.records)}"
        reason = f"{verdict.reason.rstrip('.')}; {share} runs diverged and count like the others."
        verdict = replace(verdict, reason=reason)
    return verdict


def _decide_value(
    claim: ValueClaim,
    draft: Verdict,
    values: NDArray[np.float64],
    answers: Mapping[str, Sequence[_Answer]],
    alpha: float,
) -> Verdict:
    """Could the published number be one of our runs, and should we have noticed if not?

    A number outside the interval that may still be chance among the claims of its family is neither
    reproduced nor refuted. So "reproduced" always means that our mean is within the margin of it,
    and a number whose true mean is two margins away earns the word with α/2 at most: it would have
    to lie a whole half-width nearer to us than its mean.
    """
    (answer,) = answers["differs"]
    n, mean, sd = statistics.summarise(values)
    k, error, unit = claim.published_runs, claim.reading_error, claim.unit
    half_width = statistics.prediction_half_width(n, sd, alpha, k) + error
    interval = Interval(mean - half_width, mean + half_width)
    draft = replace(
        draft,
        interval=interval,
        interval_kind=f"{100 * (1 - alpha):g} % prediction interval",
        half_width=half_width,
        p=answer.p,
        p_adjusted=answer.p_adjusted,
    )
    published = f"The published {_show(claim.published, unit)}"
    theirs = "a run" if k == 1 else f"a mean of {k} runs"
    where = f"{_span(interval, unit)}, where our {n} seeds place {theirs} like theirs"
    distance = abs(mean - claim.published)
    if answer.p_adjusted <= alpha:
        reason = f"{published} lies outside {where}."
        return replace(draft, word=Word.NOT_REPRODUCED, reason=reason)
    if distance <= half_width <= claim.margin:
        reason = f"{published} lies within {where}, and ± {_show(claim.margin, unit)} was allowed."
        return replace(draft, word=Word.REPRODUCED, reason=reason)
    if distance <= half_width:
        needed = statistics.seeds_for_prediction(sd, claim.margin - error, alpha, k)
        why = f"within {where}, but that is wider than the ± {_show(claim.margin, unit)} allowed"
    else:
        level = alpha / answer.family_size
        needed = statistics.seeds_for_prediction(sd, distance - error, level, k)
        why = f"outside {where}, but one miss among {answer.family_size} claims may be chance"
    reason = f"{published} lies {why}; {_outlook(needed, 'runs like theirs scatter too widely')}."
    return replace(draft, reason=reason, seeds_needed=needed)


def _decide_bounds(
    claim: RangeClaim | EquivalenceClaim,
    draft: Verdict,
    values: NDArray[np.float64],
    answers: Mapping[str, Sequence[_Answer]],
    alpha: float,
) -> Verdict:
    """Is our mean shown to lie between the bounds, shown to lie beyond one, or neither?"""
    (inside,), (outside,) = answers["inside"], answers["outside"]
    n, mean, sd = statistics.summarise(values)
    unit, interval = claim.unit, statistics.mean_interval(values, 2 * alpha)
    answer = inside if claim.low <= mean <= claim.high else outside
    draft = replace(
        draft,
        interval=interval,
        interval_kind=f"{100 * (1 - 2 * alpha):g} % confidence interval",
        half_width=interval.half_width,
        p=answer.p,
        p_adjusted=answer.p_adjusted,
    )
    ours = f"Our mean of {n} seeds, {_show(mean, unit)} (between {_span(interval, unit)}),"
    bounds = _span(Interval(claim.low, claim.high), unit)
    if inside.p_adjusted <= alpha:
        return replace(draft, word=Word.REPRODUCED, reason=f"{ours} lies inside {bounds}.")
    if outside.p_adjusted <= alpha:
        return replace(draft, word=Word.NOT_REPRODUCED, reason=f"{ours} lies outside {bounds}.")
    room = min(abs(mean - claim.low), abs(mean - claim.high))
    needed = statistics.seeds_for_equivalence(sd, room, alpha / answer.family_size)
    outlook = _outlook(needed, "our mean lies too near the edge")
    reason = f"{ours} is not clearly inside nor clearly outside {bounds}; {outlook}."
    return replace(draft, reason=reason, seeds_needed=needed)


class _Settled(NamedTuple):
    """Whether all differences of an order are shown to exceed a distance."""

    state: str
    """Either "above" (all are), "below" (one is shown not to), or "open"."""
    pair: Comparison
    """The one that decides: it refutes, or else it is the least certain."""
    answer: _Answer
    seeds_needed: int | None = None


def _settle(
    comparisons: Sequence[Comparison], answers: Sequence[_Answer], distance: float, alpha: float
) -> _Settled:
    tested = list(zip(comparisons, answers, strict=True))
    shown = [one for one in tested if one[1].p_adjusted <= alpha]
    below = [one for one in shown if one[0].difference.mean < distance]
    if below:
        return _Settled("below", *min(below, key=lambda one: one[1]))
    least_certain = max(tested, key=lambda one: one[1])
    if len(shown) == len(tested):
        return _Settled("above", *least_certain)
    needed = [
        statistics.seeds_for_difference(
            pair.difference.sd, pair.difference.mean - distance, alpha / answer.family_size
        )
        for pair, answer in tested
        if answer.p_adjusted > alpha
    ]
    return _Settled("open", *least_certain, max(needed, key=lambda n: n or math.inf))


def _decide_order(
    claim: OrderClaim,
    draft: Verdict,
    pairs: Sequence[Difference],
    answers: Mapping[str, Sequence[_Answer]],
    alpha: float,
) -> Verdict:
    """Is every difference shown to have the sign claimed, and then the size, if one is claimed?

    One difference shown to be reversed refutes the order. Where the order is shown, a difference
    shown to be smaller than `at_least` leaves the direction only; one that merely may be smaller
    leaves the claim inconclusive, since "direction only" says that the size does *not* hold.
    """
    comparisons = tuple(
        Comparison(larger, smaller, difference, answer.p_adjusted)
        for (larger, smaller), difference, answer in zip(
            claim.pairs, pairs, answers["order"], strict=True
        )
    )
    least, about_size = claim.at_least or 0.0, False
    settled = _settle(comparisons, answers["order"], 0.0, alpha)
    if settled.state == "above" and claim.at_least is not None:
        settled, about_size = _settle(comparisons, answers["size"], least, alpha), True
    difference = settled.pair.difference
    shown = f"{settled.pair.name} = {_show(difference.mean, claim.unit)}"
    shown = f"{shown} ({_span(difference.interval, claim.unit)})"
    far = _show(least, claim.unit)
    outlook = _outlook(settled.seeds_needed, "the difference lies right at the edge")
    word, reason = {
        (False, "below"): (Word.NOT_REPRODUCED, f"{shown} is the reverse of the order claimed."),
        (False, "open"): (Word.INCONCLUSIVE, f"{shown} leaves the order open; {outlook}."),
        (False, "above"): (Word.REPRODUCED, f"The order holds throughout, least surely {shown}."),
        (True, "below"): (Word.DIRECTION_ONLY, f"The order holds, but {shown} is less than {far}."),
        (True, "open"): (
            Word.INCONCLUSIVE,
            f"The order holds, but {shown} may be less than {far}; {outlook}.",
        ),
        (True, "above"): (Word.REPRODUCED, f"All differ by {far} or more, least surely {shown}."),
    }[about_size, settled.state]
    return replace(
        draft,
        word=word,
        reason=reason,
        quantity=settled.pair.name,
        estimate=difference.mean,
        interval=difference.interval,
        interval_kind=f"{100 * (1 - alpha):g} % confidence interval",
        half_width=difference.interval.half_width,
        p=settled.answer.p,
        p_adjusted=settled.answer.p_adjusted,
        seeds_needed=settled.seeds_needed,
        comparisons=comparisons,
    )


# Numbers and outlooks in words


def _show(number: float, unit: str) -> str:
    return f"{number:.4g}" + {"fraction": "", "degrees": "°"}.get(unit, f" {unit}")


def _span(interval: Interval, unit: str) -> str:
    return f"{interval.low:.4g} to {_show(interval.high, unit)}"


def _listed(items: Sequence[str]) -> str:
    rest = f" and {len(items) - 4} more" if len(items) > 4 else ""
    return ", ".join(items[:4]) + rest


def _outlook(seeds_needed: int | None, otherwise: str) -> str:
    if seeds_needed is None:
        return f"more seeds would not settle it, for {otherwise}"
    return f"about {seeds_needed} seeds would settle it, if mean and spread stay as they are"


# Verdicts as JSON, and what changed between two judgements


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
    records: tuple[str, ...]
    """Which records behind it changed, went missing or are new."""

    def __str__(self) -> str:
        def side(word: str | None, estimate: float | None) -> str:
            return f"{word or 'no verdict'}" + ("" if estimate is None else f" ({estimate:.6g})")

        old = side(self.recorded, self.recorded_estimate)
        new = side(self.derived, self.derived_estimate)
        because = f"; {_listed(self.records)}" if self.records else ""
        return f"{self.claim}: recorded {old}, derived {new}{because}."


def compare_verdicts(recorded: str, derived: Sequence[Verdict]) -> list[Change]:
    """What differs between recorded verdicts and those derived now.

    Args:
        recorded: Text written by `verdicts_to_json`.
        derived: Verdicts derived from the ledger as it is.

    Returns:
        One change for each claim whose verdict, estimate or records differ, sorted by claim.

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
    nothing: _Essence = (None, None, {})
    changes = []
    for claim in sorted({*old, *new}):
        (before, estimate_before, digests_before) = old.get(claim, nothing)
        (after, estimate_after, digests_after) = new.get(claim, nothing)
        if old.get(claim) != new.get(claim):
            records = tuple(_moves(digests_before, digests_after))
            changes.append(Change(claim, before, after, estimate_before, estimate_after, records))
    return changes


_Essence = tuple[str | None, float | None, dict[str, str]]


def _essence(row: Mapping[str, Any]) -> _Essence:
    """What must stay the same: word, estimate, and the digest of every record behind them."""
    digests = {f"{one['subject']} seed {one['seed']}": one["digest"] for one in row["records"]}
    return row["word"], row["estimate"], digests


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


# Verdicts as a table


def verdict_table(verdicts: Sequence[Verdict], markdown: bool = False) -> str:
    """Verdicts as a table of claim, published, ours [interval], n and verdict.

    Args:
        verdicts: From one call of `judge`.
        markdown: Markdown for a README instead of plain text for a terminal.

    Returns:
        Title, table and counts. The title of a stand-in says that it is one.
    """
    if not verdicts:
        return "There are no claims, so there are no verdicts."
    first = verdicts[0]
    title = f"Verdicts of study {first.study} on {first.data}"
    if first.stand_in:
        title = f"STAND-IN DATA, not the paper's: verdicts of study {first.study} on {first.data}"
    counts = Counter(verdict.word for verdict in verdicts)
    total = ", ".join(f"{counts[word]} {word}" for word in Word if counts[word])
    rows = [("claim", "published", "ours", "n", "verdict"), *map(_row, verdicts)]
    if markdown:
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        return "\n".join(
            [f"**{title}**", "", lines[0], "|---|---|---|---:|---|", *lines[1:], "", total]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([title, rule, lines[0], rule, *lines[1:], rule, total])


def _row(verdict: Verdict) -> tuple[str, str, str, str, str]:
    published = verdict.published
    shown = _show(published, verdict.unit) if isinstance(published, (int, float)) else published
    ours = ""
    if verdict.estimate is not None:
        ours = _show(verdict.estimate, verdict.unit)
        if verdict.interval is not None:
            ours += f" [{verdict.interval.low:.4g}, {verdict.interval.high:.4g}]"
        if verdict.kind == "order":
            ours = f"{verdict.quantity}: {ours}"
    needs = f" (needs n ≥ {verdict.seeds_needed})" if verdict.seeds_needed else ""
    return verdict.claim, shown or "", ours, str(verdict.n or ""), f"{verdict.word}{needs}"
