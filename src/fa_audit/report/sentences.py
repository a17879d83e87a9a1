"""What a claim's card says besides its result: how it was tested, and what would change that."""

from fa_audit.audit import Verdict, Word
from fa_audit.audit.claims import (
    Claim,
    EquivalenceClaim,
    MeasuredClaim,
    OrderClaim,
    PropertyClaim,
    RangeClaim,
    SourceClaim,
    ValueClaim,
    WinnerClaim,
)
from fa_audit.audit.statistics import Interval
from fa_audit.audit.wording import listed, show, span
from fa_audit.report.material import Material
from fa_audit.report.names import quantity_title, subject_title

BELL = "It assumes that seeds scatter like draws from one bell curve"


def how_tested(claim: Claim, material: Material) -> str:
    """How a claim is tested and what that assumes."""
    alpha = material.claims.alpha
    family = _family(claim, material)
    if isinstance(claim, SourceClaim):
        return "No runs are needed: reading the paper and its code settles it."
    if isinstance(claim, PropertyClaim):
        return (
            "No runs are needed: the rule's definition settles it, to which tests hold the layers."
        )
    if isinstance(claim, ValueClaim):
        theirs = (
            "one run" if claim.published_runs == 1 else f"a mean of {claim.published_runs} runs"
        )
        return (
            f"We ask where {theirs} like theirs would fall if it were made as ours were: with "
            f"{100 * (1 - alpha):g} % probability in the prediction interval of our seeds. {BELL}, "
            f"and the published run with them.{family}"
        )
    if isinstance(claim, (RangeClaim, EquivalenceClaim)):
        bounds = span(Interval(claim.low, claim.high), claim.quantity_unit)
        return (
            "We ask whether the mean over seeds is shown to lie between the bounds that the claims "
            f"file sets, {bounds}: the whole {100 * (1 - 2 * alpha):g} % interval of the mean has "
            f"to lie inside (two one-sided t tests). {BELL}.{family}"
        )
    if isinstance(claim, OrderClaim):
        pairs = len(claim.pairs)
        size = (
            f", and then whether each is at least {show(claim.at_least, claim.difference_unit)}"
            if claim.at_least is not None
            else ""
        )
        return (
            f"We ask of {_counted(pairs, 'difference')}, taken seed by seed (paired t test), "
            f"whether {'it has' if pairs == 1 else 'each has'} the sign claimed{size}. It assumes "
            "that these differences scatter like draws from one bell curve."
            + (" All pairs share one error rate (Holm)." if pairs > 1 and not family else family)
        )
    if isinstance(claim, WinnerClaim):
        return (
            "Every seed is one search of the grid. We ask whether this configuration wins more "
            "than half of all searches, by counting its wins (binomial test). It assumes only that "
            f"seeds are independent.{family}"
        )
    return f"Judged as a claim of kind “{claim.kind}”.{family}"


def _family(claim: Claim, material: Material) -> str:
    """That other claims share the error rate, where some do."""
    name = claim.family if isinstance(claim, MeasuredClaim) else None
    if name is None:
        return ""
    members = [
        other
        for other in material.claims.claims
        if isinstance(other, MeasuredClaim) and other.family == name
    ]
    if len(members) < 2:
        return ""
    shared = (
        "share one error rate: the chance that any of them errs is bounded"
        if members[0].control == "family-wise"
        else "are explored together: the share of errors among those settled is bounded"
    )
    return f" {_counted(len(members), 'claim')} of the family “{name}” {shared}."


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


def what_would_change(claim: Claim, verdict: Verdict) -> str:
    """What would have to happen for the verdict to be another."""
    if isinstance(claim, SourceClaim):
        if verdict.word == Word.NOT_TESTABLE:
            return "The fact that is missing, or an experiment that supplies it."
        return "A passage of the paper, or a version of its code, that we have overlooked."
    if isinstance(claim, PropertyClaim):
        return "Another definition of the rule."
    assert isinstance(claim, MeasuredClaim)
    if verdict.word == Word.NOT_TESTABLE:
        return "A definition under which the measurement exists."
    if verdict.interval is None:
        return _what_is_missing(claim, verdict)
    interval, unit = verdict.interval, verdict.unit
    if verdict.word == Word.INCONCLUSIVE:
        if verdict.seeds_needed is None:
            return "More seeds alone would not; runs that scatter less, or a wider margin, would."
        return (
            f"About {_counted(verdict.seeds_needed, 'seed')} in place of {verdict.n}, if mean and "
            "spread stay as they are."
        )
    ours = span(interval, unit)
    if isinstance(claim, ValueClaim):
        if verdict.word.affirms:
            return (
                f"A published value outside {ours}, or seeds so scattered that the interval is "
                f"wider than ± {show(claim.margin, claim.difference_unit)}."
            )
        return f"A published value inside {ours}, or further seeds that move our runs towards it."
    if isinstance(claim, (RangeClaim, EquivalenceClaim)):
        side = "across a bound" if verdict.word.affirms else "between the bounds"
        return f"Further seeds that move the interval of our mean, now {ours}, {side}."
    if isinstance(claim, WinnerClaim):
        rarely = "rarely" if verdict.word.affirms else "often"
        return f"Further searches that this configuration wins more {rarely}."
    far = show(claim.at_least or 0.0 if isinstance(claim, OrderClaim) else 0.0, unit)
    if verdict.word == Word.DIRECTION_ONLY:
        where = f"to {far} or more"
    else:
        where = f"below {far}" if verdict.word.affirms else f"above {show(0.0, unit)}"
    return f"Further seeds that move {quantity_title(verdict.quantity)}, now {ours}, {where}."


def _what_is_missing(claim: MeasuredClaim, verdict: Verdict) -> str:
    """What a claim that could not be judged waits for."""
    if verdict.missing:
        names = [
            f"{subject_title(subject)} seed {seed}"
            for subject, _, seed in (one.partition(" seed ") for one in verdict.missing)
        ]
        return f"The runs that are not there yet: {listed(names)}."
    if verdict.n < 2:
        return "A second seed; one run does not tell how far runs scatter."
    if claim.requires:
        wanted = " and ".join(f"{name} = {value}" for name, value in claim.requires.items())
        return f"Runs with {wanted}, as the claim is about."
    return "A value for every declared seed."
