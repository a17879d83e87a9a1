"""Claims: what a paper says, written down so that it can turn out wrong.

Each claim says, in our words, what is claimed, where it stands, how it was read, and, fixed before
anything is run, what would count as reproduced. Seven kinds:

- ``value``: a published number; could it be one of our runs? `margin` is the largest half-width of
  the prediction interval that still informs.
- ``order``: `groups` of configurations, "descending" or "ascending"; every member of an earlier
  group against every member of a later one, paired by seed. `at_least` adds how far apart.
- ``range``: our mean lies between `low` and `high`.
- ``equivalence``: our mean lies within `margin` of `target`.
- ``winner``: of the configurations in `grid`, a search (one seed) most often finds `winner` to have
  the highest measurement. Where a winner stands at the edge of its grid is part of the verdict.
- ``property``: what a rule needs, stores and changes by its definition; settled by RULES, whose
  declared properties the tests hold every layer to.
- ``source``: settled by reading, without a run.

The subject of a claim is a configuration or a comparison of the study; `minus` names a second one,
whose value is subtracted seed by seed. `minus_measure` and `minus_at` name another measurement to
subtract, of the same subject unless `minus` names one: after training minus before, say. `beyond`
names two more subjects, whose own difference is subtracted from that: "A gains more from it than B
does" is of = A with it, minus = A, beyond = [B with it, B].

`origin` says who claims it. "paper" is the default. "audit" is a question that the paper does not
ask: a control, a baseline, another reading. It is judged alike, but it holds or does not hold,
since what nobody published cannot be reproduced, and it is counted by itself.

`grade` says how well it is known that a paper says so, where that is in question: "abstract", read
in the paper's abstract or in a review of all of it; "second-hand", told by others and not verified;
"unknown", not known to be said at all.

Claims of one `family` ask one question and share one error rate; `control` says which:
"family-wise" (the default) bounds the chance that any of them errs, "false-discovery" the share
that errs among those settled, which is for maps of many cells that are explored.

A winner in a claims file::

    [[claims]]
    id = "grid-winner-fa_random"
    kind = "winner"
    statement = "FA (Random): the grid is won by learning rate 1e-3 and scale .01"
    where = "Appendix"
    read = "printed"
    published = "1e-3, .01"
    measure = "validation_accuracy"
    at = "best-validation"
    unit = "%"
    winner = "grid-fa_random.learning_rate=0.001.feedback_scale=0.01"
    grid = [
        "grid-fa_random.learning_rate=0.001.feedback_scale=0.01",
        "grid-fa_random.learning_rate=0.003.feedback_scale=0.01",
    ]
    requires = { epochs = 3 }
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from fa_audit.errors import AuditError, suggest


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What every claim says of itself."""

    kind: ClassVar[str]
    id: str
    statement: str
    where: str
    read: str
    note: str = ""
    grade: str = ""
    origin: str = "paper"

    @property
    def subjects(self) -> tuple[str, ...]:
        """The configurations and comparisons the claim is about, as it names them."""
        return ()


@dataclass(frozen=True, kw_only=True)
class SourceClaim(Claim):
    """A claim settled by reading the paper and its code: the verdict, and what settles it."""

    kind = "source"
    verdict: str
    evidence: str


@dataclass(frozen=True, kw_only=True)
class PropertyClaim(Claim):
    """What a rule is like in one aspect of PLAUSIBILITY, in the words of `fa_audit.rules`.

    Where the paper has another word, `published` is the paper's, and `read_as` what it is read as.
    """

    kind = "property"
    rule: str
    aspect: str
    published: str
    read_as: str = ""


class Term(NamedTuple):
    """One measurement that a claim is about."""

    subject: str
    measure: str
    at: str


@dataclass(frozen=True, kw_only=True)
class MeasuredClaim(Claim):
    """A claim about a measurement of our runs.

    Only value claims compute with `published`; elsewhere it is shown beside our numbers.
    """

    measure: str
    at: str
    unit: str
    published: float | str | None = None
    published_runs: int = 1
    reading_error: float = 0.0
    requires: Mapping[str, Any] = field(default_factory=dict)
    family: str | None = None
    control: str = "family-wise"

    @property
    def difference_unit(self) -> str:
        """The unit of a difference between two such measurements: of percentages it is points."""
        return "points" if self.unit == "%" else self.unit

    @property
    def terms(self) -> Mapping[str, Term]:
        """The measurements that the claim is about, each under the name of its subject."""
        return {subject: Term(subject, self.measure, self.at) for subject in self.subjects}


@dataclass(frozen=True, kw_only=True)
class SingleClaim(MeasuredClaim):
    """A claim about one quantity: a measurement of one subject, or a difference, or of two."""

    of: str
    minus: str | None = None
    minus_measure: str | None = None
    minus_at: str | None = None
    beyond: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subject, another one subtracted from it, and the two whose difference is."""
        return (self.of,) if self.minus is None else (self.of, self.minus, *self.beyond)

    @property
    def quantity(self) -> str:
        """What is estimated, in the names of the terms."""
        terms = list(self.terms)
        difference = " − ".join(terms[:2])
        return f"({difference}) − ({' − '.join(terms[2:])})" if self.beyond else difference

    @property
    def quantity_unit(self) -> str:
        """The unit of what is estimated."""
        return self.difference_unit if self.is_difference else self.unit

    @property
    def is_difference(self) -> bool:
        """Whether something is subtracted."""
        return any((self.minus, self.minus_measure, self.minus_at))

    @property
    def terms(self) -> Mapping[str, Term]:
        """The measurement, the one subtracted from it, and the two whose difference is.

        Two of one subject are told apart by what differs: "bp best-validation" and "bp last".
        """
        own = Term(self.of, self.measure, self.at)
        if not self.is_difference or self.beyond:
            return super().terms
        other = Term(
            self.minus or self.of, self.minus_measure or self.measure, self.minus_at or self.at
        )
        if other.subject != own.subject:
            return {own.subject: own, other.subject: other}
        what = "measure" if other.measure != own.measure else "at"
        return {f"{term.subject} {getattr(term, what)}": term for term in (own, other)}


@dataclass(frozen=True, kw_only=True)
class ValueClaim(SingleClaim):
    """A published number, to be predicted from our seeds."""

    kind = "value"
    published: float
    margin: float
    matrix: str = ""
    """The matrix that the claim is a cell of, where it is one."""


@dataclass(frozen=True, kw_only=True)
class RangeClaim(SingleClaim):
    """Our mean lies between two bounds."""

    kind = "range"
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class EquivalenceClaim(SingleClaim):
    """Our mean lies within a margin of a target."""

    kind = "equivalence"
    target: float
    margin: float

    @property
    def low(self) -> float:
        """The lower bound, target − margin."""
        return self.target - self.margin

    @property
    def high(self) -> float:
        """The upper bound, target + margin."""
        return self.target + self.margin


@dataclass(frozen=True, kw_only=True)
class OrderClaim(MeasuredClaim):
    """Groups of subjects in descending or ascending order."""

    kind = "order"
    groups: tuple[tuple[str, ...], ...]
    direction: str
    at_least: float | None = None

    @property
    def subjects(self) -> tuple[str, ...]:
        """The members of all groups."""
        return tuple(member for group in self.groups for member in group)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(larger, smaller) for every member of a group against every member of a later one."""
        pairs = [
            (earlier, later)
            for i, group in enumerate(self.groups)
            for earlier in group
            for later_group in self.groups[i + 1 :]
            for later in later_group
        ]
        return tuple(pairs if self.direction == "descending" else [(b, a) for a, b in pairs])


@dataclass(frozen=True, kw_only=True)
class WinnerClaim(MeasuredClaim):
    """A search of a grid most often comes out with one of its configurations."""

    kind = "winner"
    grid: tuple[str, ...]
    winner: str

    @property
    def subjects(self) -> tuple[str, ...]:
        """All configurations of the grid."""
        return self.grid


KINDS: Mapping[str, type[Claim]] = {
    kind.kind: kind
    for kind in (
        ValueClaim,
        OrderClaim,
        RangeClaim,
        EquivalenceClaim,
        WinnerClaim,
        PropertyClaim,
        SourceClaim,
    )
}


@dataclass(frozen=True)
class Claims:
    """A claims file: the paper, the images it is about, the error rate, and the claims."""

    file: str
    paper: str
    source: str
    data: str
    alpha: float
    claims: tuple[Claim, ...]
    headlines: tuple[str, ...] = ()
    """Ids of the claims that a short table shows, in its order."""

    def check_subjects(self, known: Collection[str]) -> None:
        """Refuse claims about what the study does not have.

        Args:
            known: Ids of the study's configurations and comparisons.

        Raises:
            AuditError: A claim names another one.
        """
        for claim in self.claims:
            for subject in claim.subjects:
                if subject not in known:
                    raise AuditError(
                        f"{self.file}, claim {claim.id!r}: {subject!r} is no configuration or "
                        f"comparison of the study; {suggest(subject, known)}"
                    )
