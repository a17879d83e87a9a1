"""Invented runs beside a reference: as records, and as the rows taken from them."""

from collections.abc import Mapping, Sequence
from typing import Any

from fa_audit.audit import Evidence, Record
from fa_audit.audit.paired_runs import PairedRun

LAYERS = ("conv1", "conv2", "fc1")

REFERENCE = {"rule": "bp", "training": {"epochs": 50, "learning_rate": 1e-3}}


def run_record(id: str, seed: int, accuracy: float | None, **changes: Any) -> Record:
    """A run of the rule that its id begins with; `changes` are settings of training, or options."""
    options = changes.pop("options", {})
    status = changes.pop("status", "finished")
    training = {"epochs": 50, "learning_rate": 1e-3, "weight_decay": 0.0, **changes}
    configuration = {
        "rule": id.partition(".")[0],
        "seed": seed,
        "training": training,
        "options": options,
    }
    values = {"best-validation": accuracy, "last": 10.0}
    return Record(
        kind="run",
        id=id,
        seed=seed,
        hash=f"{configuration}",
        configuration=configuration,
        status=status,
        measurements={"test_accuracy": {"values": values, "undefined": {}}},
    )


def comparison_record(
    run: Record, similarity: Sequence[float | None], checkpoint: str = "best-validation"
) -> Record:
    """The comparison of a run with BP: conv1 alike, the other layers as similar as is said."""
    diagonal = dict(zip(LAYERS, (0.99, *similarity), strict=True))
    values = {
        f"{row}/{column}": diagonal[row] if row == column else 0.5
        for row in LAYERS
        for column in LAYERS
    }
    undefined = {at: "no image" for at, value in values.items() if value is None}
    return Record(
        kind="comparison",
        id=f"{run.id}~bp",
        seed=run.seed,
        hash=f"{run.hash}~bp",
        configuration={
            "rows": run.configuration,
            "columns": {**REFERENCE, "seed": run.seed},
            "comparison": {"checkpoint": checkpoint},
        },
        status="finished",
        measurements={"cka/all": {"values": values, "undefined": undefined}},
    )


def evidence_of(records: Sequence[Record], **changes: Any) -> Evidence:
    by_id: dict[str, dict[int, Record]] = {}
    for record in records:
        by_id.setdefault(record.id, {})[record.seed] = record
    seeds = tuple(dict.fromkeys(record.seed for record in records))
    return Evidence(
        **{
            "study": "invented",
            "data": "cifar10",
            "stand_in": False,
            "seeds": seeds,
            "records": by_id,
            **changes,
        }
    )


def pair(id: str, seed: int, accuracy: float, similarity: Sequence[float], **changes: Any) -> Any:
    """A run and its comparison with BP."""
    run = run_record(id, seed, accuracy, **changes)
    return run, comparison_record(run, similarity)


def row(
    rule: str,
    configuration: int,
    seed: int,
    accuracy: float,
    similarity: float,
    settings: Mapping[str, Any] | None = None,
) -> PairedRun:
    """A run as it is taken from records, with one layer."""
    return PairedRun(
        **{
            "run": f"{rule}.{configuration}",
            "seed": seed,
            "rule": rule,
            "epochs": 50,
            "learning_rate": 1e-3,
            "feedback_scale": None,
            "weight_decay": 0.0,
            "status": "finished",
            "checkpoint": "best-validation",
            "accuracy": accuracy,
            "layers": {"conv2": similarity},
            **(settings or {}),
        }
    )
