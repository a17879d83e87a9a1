"""What a study leaves behind for judging: its records, and the numbers a claim takes from them.

Judging sees nothing else. Whoever can read a study's ledger can fill these classes, so that every
verdict can be derived again without training anything.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One finished cell of a study: a run, or a comparison of two runs.

    `measurements` maps the name of a measure to its estimator, n, unit and `values`, which maps a
    place or moment ("conv2", "last", "conv1/fc3") to a number, or to None with a reason under
    `undefined`.
    """

    kind: str
    """Either "run" or "comparison"."""
    hash: str
    """Of the whole configuration."""
    configuration: Mapping[str, object]
    status: str
    """Either "finished" or "diverged". A diverged run is a result: its values count."""
    measurements: Mapping[str, Mapping[str, object]]
    provenance: Mapping[str, object]
    digest: str
    """SHA-256 of the file's content."""

    def value(self, measure: str, at: str) -> float | str:
        """The number measured, or, where there is none, the reason why."""
        if measure not in self.measurements:
            return f"the record holds no measure {measure!r}"
        values, reasons = (_table(self.measurements[measure], key) for key in _TABLES)
        value = values.get(at)
        if isinstance(value, (int, float)):
            return float(value) if math.isfinite(value) else f"the value recorded is {value}"
        return str(reasons.get(at, "the record gives neither value nor reason"))

    def places(self, measure: str) -> set[str]:
        """The places this record knows for a measure; none where it does not hold the measure."""
        measurement = self.measurements.get(measure, {})
        return {at for key in _TABLES for at in _table(measurement, key)}

    def settings(self, name: str) -> list[object]:
        """Every value a training setting has in this record: one for a run, two for a comparison.

        A run's configuration holds one table called `training`; a comparison's holds those of the
        runs it compares, at whatever depth.
        """
        return [table[name] for table in _tables_of_training(self.configuration) if name in table]


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

    def sample(self, subject: str, measure: str, at: str) -> "SeedSample":
        """What the declared seeds of one configuration or comparison give for one measure."""
        records = {
            seed: self.records[subject][seed]
            for seed in self.seeds
            if seed in self.records[subject]
        }
        found = {seed: record.value(measure, at) for seed, record in records.items()}
        return SeedSample(
            subject=subject,
            records=records,
            values={seed: value for seed, value in found.items() if not isinstance(value, str)},
            undefined={seed: value for seed, value in found.items() if isinstance(value, str)},
            missing=tuple(seed for seed in self.seeds if seed not in records),
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
        """How many of the records are of diverged runs."""
        return sum(record.status == "diverged" for record in self.records.values())


_TABLES = ("values", "undefined")


def _table(measurement: Mapping[str, object], key: str) -> Mapping[str, object]:
    table = measurement.get(key)
    return table if isinstance(table, Mapping) else {}


def _tables_of_training(tree: object) -> Iterator[Mapping[str, object]]:
    if isinstance(tree, Mapping):
        for key, branch in tree.items():
            if key == "training" and isinstance(branch, Mapping):
                yield branch
            yield from _tables_of_training(branch)
    elif isinstance(tree, (list, tuple)):
        for branch in tree:
            yield from _tables_of_training(branch)
