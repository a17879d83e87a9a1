"""A cell that was computed again, held against its record: is it the recorded number?

On one processor and with the same versions every number comes out again. Elsewhere sums are rounded
in another order, and training makes much of little: steps agree to many digits at first and to none
in the end, and a whole run is another draw of the same random quantity.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fa_audit.study.cells import Cell, study_cells
from fa_audit.study.ledger import Record, rounded
from fa_audit.study.output import OutputFolder
from fa_audit.study.spec import Study

Measured = Mapping[str, Mapping[str, Any]]


def agreement(recorded: Record, measurements: Measured, provenance: Mapping[str, Any]) -> str:
    """In words, how a cell that was computed again agrees with its record.

    Only numbers that both have are compared, to the nine digits that a ledger keeps; where they
    differ, the first measure that does is told where it differs most, and which of PyTorch, device,
    threads and replicas differ: if none does, something else has changed.

    Args:
        recorded: The cell's record.
        measurements: The same cell's by name, computed again.
        provenance: Where these come from.
    """
    pairs = list(_pairs(recorded.measurements, measurements))
    differing = [(name, at, old, new) for name, at, old, new in pairs if old != new]
    if not differing:
        return f"all {len(pairs)} numbers are as recorded"
    first = differing[0][0]
    name, at, old, new = max(
        (one for one in differing if one[0] == first), key=lambda one: _distance(*one[2:])
    )
    unit = recorded.measurements[name]["unit"]
    return (
        f"{len(differing)} of {len(pairs)} numbers are not as recorded; {name} at {at} is "
        f"{_told(new, unit)}, in the record {_told(old, unit)}; "
        f"{_circumstances(recorded.provenance, provenance)}"
    )


def _circumstances(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Which of those differ on which numbers depend beside the configuration and the code."""
    first, second = ({"replicas": 1, **one} for one in (recorded, found))
    differing = [
        f"{key} is {second.get(key)}, in the record {first.get(key)}"
        for key in ("torch", "device", "threads", "replicas")
        if second.get(key) != first.get(key)
    ]
    return "; ".join(differing) or "torch, device, threads and replicas are those of the record"


def agreements(study: Study, own: OutputFolder, other: OutputFolder) -> list[str]:
    """For each cell that both folders have a record of, in the study's order: how they agree."""
    return [
        f"{cell.id}:{cell.seed}: {sentence}"
        for cell in study_cells(study)
        if (sentence := _agreement_of(cell, own, other))
    ]


def _agreement_of(cell: Cell, own: OutputFolder, other: OutputFolder) -> str:
    recorded, found = own.find(cell), other.find(cell)
    if recorded is None or found is None:
        return ""
    return agreement(recorded, found.measurements, found.provenance)


def _pairs(
    recorded: Measured, found: Measured
) -> Iterator[tuple[str, str, float | None, float | None]]:
    """(measure, place, recorded, found) of every number that both have."""
    for name, measurement in recorded.items():
        values = rounded(found.get(name, {}).get("values", {}))
        for at, value in measurement["values"].items():
            if at in values:
                yield name, at, value, values[at]


def _distance(old: float | None, new: float | None) -> float:
    """How far two numbers lie apart; infinitely, where one is undefined."""
    return float("inf") if old is None or new is None else abs(new - old)


def _told(value: float | None, unit: str) -> str:
    if value is None:
        return "undefined"
    return f"{value:.4g}" if unit == "1" else f"{value:.4g} {unit}"
