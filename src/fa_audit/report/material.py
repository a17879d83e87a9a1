"""What a report is made of: a study, its claims, its records and the verdicts, and how to ask them.

Nothing here computes a statistic; that is done where verdicts are derived.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fa_audit.audit import Claims, Evidence, Verdict
from fa_audit.audit.association import Associations, associate
from fa_audit.audit.claims import Claim, MeasuredClaim, PropertyClaim, SingleClaim
from fa_audit.report.names import base, is_control, sides
from fa_audit.report.pictures import Pictures
from fa_audit.study.ledger import Record
from fa_audit.study.spec import Study


@dataclass(frozen=True)
class Missing:
    """A figure that cannot be drawn, and why."""

    title: str
    reason: str


@dataclass(frozen=True)
class Published:
    """A published number as a claim gives it."""

    value: float
    reading_error: float
    where: str


@dataclass(frozen=True)
class Material:
    """Everything a report shows."""

    study: Study
    claims: Claims
    evidence: Evidence
    verdicts: Sequence[Verdict]
    pictures: Pictures | None = None
    """The study's test images, where they are at hand."""

    @cached_property
    def claim(self) -> Mapping[str, Claim]:
        """Claims by id."""
        return {claim.id: claim for claim in self.claims.claims}

    @cached_property
    def configurations(self) -> tuple[str, ...]:
        """The study itself, without grids and variants.

        A variant has another name than its rule, while another configuration is called after it,
        such as "usf_sn-spectral" beside "usf_sn". What is added to a configuration, as in
        "bp+muon", makes no variant of it.
        """
        ids = tuple(id for id in self.study.configurations if id not in self.grid)
        rules = {id: self.rule(id) for id in ids}
        return tuple(
            id for id, rule in rules.items() if id.partition("+")[0] == rule or rule not in ids
        )

    @cached_property
    def grid(self) -> tuple[str, ...]:
        """The configurations that a list of settings was expanded to."""
        return tuple(id for id in self.study.configurations if "=" in id)

    @cached_property
    def variants(self) -> tuple[str, ...]:
        """All other configurations."""
        known = {*self.configurations, *self.grid}
        return tuple(id for id in self.study.configurations if id not in known)

    @cached_property
    def comparisons(self) -> tuple[str, ...]:
        """Ids of all comparisons, with or without records."""
        return tuple(id for id in self.evidence.records if "~" in id)

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """All records, configuration by configuration, seed by seed."""
        return tuple(
            by_seed[seed] for by_seed in self.evidence.records.values() for seed in sorted(by_seed)
        )

    def line(self, id: str) -> int:
        """Which of the configurations of its rule one is: 0 for the first."""
        rule = self.rule(id)
        alike = [other for other in self.study.configurations if self.rule(other) == rule]
        return alike.index(base(id))

    @cached_property
    def reference(self) -> str:
        """The configuration with which most others are compared; "bp" where none is."""
        columns = Counter(sides(id)[1] for id in self.comparisons if not is_control(id))
        return columns.most_common(1)[0][0] if columns else "bp"

    @cached_property
    def associations(self) -> Associations:
        """How accuracy goes with similarity to the reference."""
        return associate(self.evidence, self.reference)

    @cached_property
    def data_title(self) -> str:
        """The data set, as the records call it, with the caveat they have about it."""
        data = [record.provenance.get("data", {}) for record in self.records]
        titles = dict.fromkeys(
            "; ".join(str(one[key]) for key in ("title", "caveat") if one.get(key)) for one in data
        )
        return ", ".join(filter(None, titles)) or self.evidence.data

    def runs(self, id: str) -> Mapping[int, Record]:
        """Seed → record of a configuration or comparison."""
        return self.evidence.records.get(id, {})

    def rule(self, side: str) -> str:
        """The rule of a configuration, measurement or side; empty for an untrained network."""
        by_seed = self.study.configurations.get(base(side))
        return next(iter(by_seed.values())).rule if by_seed else ""

    def rules(self, claim: Claim) -> tuple[str, ...]:
        """The rules that a claim is about."""
        if isinstance(claim, PropertyClaim):
            return (claim.rule,)
        found = (self.rule(side) for subject in claim.subjects for side in subject.split("~"))
        return tuple(dict.fromkeys(rule for rule in found if rule))

    def values(self, subject: str, measure: str, at: str) -> Mapping[int, float]:
        """Seed → value, of the declared seeds that have one."""
        return self.evidence.sample(subject, measure, at).values

    def places(self, subjects: Sequence[str], measure: str) -> tuple[str, ...]:
        """Where a measure was taken, in the order of the records."""
        found: dict[str, None] = {}
        for subject in subjects:
            for record in self.runs(subject).values():
                found.update(dict.fromkeys(record.measurements.get(measure, {}).get("values", {})))
        return tuple(found)

    def published(self, subject: str, measure: str, at: str) -> Published | None:
        """The number that a claim gives for one measurement, where one does."""
        return self._published.get((subject, measure, at))

    @cached_property
    def _published(self) -> Mapping[tuple[str, str, str], Published]:
        return {
            (claim.of, claim.measure, claim.at): Published(
                float(claim.published), claim.reading_error, claim.where
            )
            for claim in self.claims.claims
            if isinstance(claim, SingleClaim)
            and not claim.is_difference
            and isinstance(claim.published, (int, float))
        }

    def published_epochs(self, ids: Sequence[str]) -> tuple[int, ...]:
        """How long the claims about some configurations say that networks were trained."""
        named = {
            claim.requires["epochs"]
            for claim in self.claims.claims
            if isinstance(claim, MeasuredClaim) and "epochs" in claim.requires
            if any(base(side) in ids for subject in claim.subjects for side in subject.split("~"))
        }
        return tuple(sorted(named))

    def epochs_of(self, ids: Sequence[str]) -> tuple[int, ...]:
        """How long the runs of some configurations were trained."""
        found = {
            record.configuration["training"]["epochs"]
            for id in ids
            for record in self.runs(id).values()
        }
        return tuple(sorted(found))

    def seeds_of(self, subjects: Sequence[str]) -> int:
        """The largest number of seeds that one of the subjects has."""
        return max((len(self.runs(subject)) for subject in subjects), default=0)


def numbers(series: Sequence[Any] | None) -> list[float]:
    """A series of a record, with NaN where it holds nothing."""
    return [math.nan if value is None else float(value) for value in series or ()]


def mean(values: Mapping[int, float]) -> float | None:
    """The mean over seeds; None where there is none."""
    return math.fsum(values.values()) / len(values) if values else None
