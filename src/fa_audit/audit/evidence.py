"""What a study leaves behind for judging: its records, and the numbers a claim takes from them.

Judging sees nothing else, so that every verdict can be derived again from a ledger without training
anything.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fa_audit.study.ledger import Record


@dataclass(frozen=True)
class Evidence:
    """All records of one study."""

    study: str
    data: str
    """Which images: "cifar10", or "shapes" for the stand-in."""
    stand_in: bool
    seeds: tuple[int, ...]
    """Declared before running. Other seeds are not looked at, or one could go on until it fits."""
    records: Mapping[str, Mapping[int, Record]]
    """Configuration or comparison id → seed → record. Every id is a key; seeds may be absent."""
    declared: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Id → its declared seeds; the study's own for an id that is not there."""
    properties: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Aspect → rule → what the rule is like by its definition, as RULES declares and tests hold."""

    def seeds_of(self, subject: str) -> tuple[int, ...]:
        """The seeds declared for a configuration or comparison."""
        return self.declared.get(subject, self.seeds)

    def sample(self, subject: str, measure: str, at: str) -> "SeedSample":
        """What the declared seeds of one configuration or comparison give for one measure."""
        records = {
            seed: self.records[subject][seed]
            for seed in self.seeds_of(subject)
            if seed in self.records[subject]
        }
        found = {seed: measured(record, measure, at) for seed, record in records.items()}
        return SeedSample(
            subject=subject,
            records=records,
            values={seed: value for seed, value in found.items() if not isinstance(value, str)},
            undefined={seed: value for seed, value in found.items() if isinstance(value, str)},
            missing=tuple(seed for seed in self.seeds_of(subject) if seed not in records),
        )


@dataclass(frozen=True)
class SeedSample:
    """The numbers of one configuration by seed, and why there are not more of them."""

    subject: str
    records: Mapping[int, Record]
    values: Mapping[int, float]
    undefined: Mapping[int, str]
    """Seed → reason."""
    missing: tuple[int, ...]
    """Declared seeds without a record."""

    @property
    def diverged(self) -> int:
        """How many of the records are of diverged runs, which are results: their values count."""
        return sum(record.status == "diverged" for record in self.records.values())

    @property
    def training(self) -> Mapping[str, Any]:
        """The training settings of its runs, the same at every seed; none where there is no run."""
        tables = (
            table
            for record in self.records.values()
            for table in _training_tables(record.configuration)
        )
        return next(tables, {})


def measured(record: Record, measure: str, at: str) -> float | str:
    """The number that a record holds for a measure at a place or moment, or why there is none."""
    if measure not in record.measurements:
        return f"the record holds no measure {measure!r}"
    measurement = record.measurements[measure]
    value = measurement.get("values", {}).get(at)
    if value is not None:
        return float(value) if math.isfinite(value) else f"the value recorded is {value}"
    reasons = measurement.get("undefined", {})
    return str(reasons.get(at, "the record gives neither value nor reason"))


def places(record: Record, measure: str) -> set[str]:
    """The places a record knows for a measure; none where it does not hold the measure."""
    measurement = record.measurements.get(measure, {})
    return {*measurement.get("values", {}), *measurement.get("undefined", {})}


def settings(record: Record, name: str) -> list[Any]:
    """Every value a training setting has in a record: one for a run, two for a comparison.

    A run's configuration holds one table called `training`; a comparison's holds those of the runs
    it compares.
    """
    return [table[name] for table in _training_tables(record.configuration) if name in table]


def is_trained(record: Record) -> bool:
    """Whether a record is about a network that was trained, or has one among several."""
    return any(True for _ in _training_tables(record.configuration))


def _training_tables(configuration: Mapping[str, object]) -> Iterator[Mapping[str, Any]]:
    for key, branch in configuration.items():
        if isinstance(branch, Mapping):
            if key == "training":
                yield branch
            yield from _training_tables(branch)
