"""Invented records and claims, so that every rule of judging can be seen at work."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fa_audit.audit import Evidence, Record, Verdict, judge, load_claims

HEADER = 'paper = "A paper"\nsource = "its text"\ndata = "cifar10"\n'


def record(
    values: Mapping[str, float | None],
    measure: str = "test_accuracy",
    undefined: Mapping[str, str] | None = None,
    epochs: int = 50,
    status: str = "finished",
    name: str = "r",
    training: Mapping[str, Any] | None = None,
) -> Record:
    measurement = {
        "estimator": "invented",
        "n": 10_000,
        "values": dict(values),
        "undefined": dict(undefined or {}),
    }
    return Record(
        kind="run",
        id="bp",
        seed=0,
        hash=f"hash-{name}",
        configuration={
            "rule": "bp",
            "training": {"epochs": epochs, "batch": 128, **(training or {})},
        },
        status=status,
        measurements={measure: measurement},
        digest=f"digest-{name}",
    )


def measured_record(measures: Mapping[str, Mapping[str, float]], name: str = "r") -> Record:
    """A record of several measures, each with its values by place."""
    one = record({}, name=name)
    measurements = {
        measure: {"estimator": "invented", "n": 1, "values": dict(values)}
        for measure, values in measures.items()
    }
    return replace(one, measurements=measurements)


def evidence(
    numbers: Mapping[str, Sequence[float]],
    at: str = "last",
    seeds: Sequence[int] | None = None,
    **changes: Any,
) -> Evidence:
    """Evidence in which `numbers[id][seed]` is the test accuracy at `at`."""
    declared = range(max(map(len, numbers.values()))) if seeds is None else seeds
    records = {
        subject: {
            seed: record({at: value}, name=f"{subject}-{seed}") for seed, value in enumerate(values)
        }
        for subject, values in numbers.items()
    }
    return Evidence(
        **{
            "study": "invented",
            "data": "cifar10",
            "stand_in": False,
            "seeds": tuple(declared),
            "records": records,
            **changes,
        }
    )


def toml(value: object) -> str:
    """A Python value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value)


def table(kind: str, /, **keys: object) -> dict[str, object]:
    """A complete claim of a kind, with some keys changed; None leaves a key out."""
    measured = {"measure": "test_accuracy", "at": "last", "unit": "%"}
    own: dict[str, dict[str, object]] = {
        "value": {**measured, "of": "bp", "published": 75.0, "margin": 2.0},
        "range": {**measured, "of": "bp", "low": 70.0, "high": 80.0},
        "equivalence": {**measured, "of": "bp", "target": 75.0, "margin": 2.0},
        "order": {**measured, "groups": [["bp"], ["fa"]], "direction": "descending"},
        "winner": {**measured, "grid": ["bp", "fa"], "winner": "bp"},
        "property": {"rule": "usf_init", "aspect": "weight transport", "published": "sign"},
        "source": {"verdict": "not testable", "evidence": "Nothing tells."},
    }
    always = {"id": "c", "kind": kind, "statement": "So it is.", "where": "Table 1"}
    whole = {**always, "read": "printed", **own[kind], **keys}
    return {key: value for key, value in whole.items() if value is not None}


def write_claims(
    folder: Path, *tables: Mapping[str, object], header: str = HEADER, heading: str = "claims"
) -> Path:
    blocks = [
        f"[[{heading}]]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in one.items())
        for one in tables
    ]
    path = folder / "claims.toml"
    path.write_text(header + "\n" + "\n".join(blocks), encoding="utf-8")
    return path


def verdict(folder: Path, claim: Mapping[str, object], found: Evidence) -> Verdict:
    """The verdict on a single claim."""
    (only,) = judge(load_claims(write_claims(folder, claim)), found)
    return only


def four_verdicts(folder: Path, found: Evidence, header: str = HEADER) -> tuple[Verdict, ...]:
    """Verdicts on a value, an order, a claim settled by reading, and one that stays open."""
    tables = [
        table("value", id="z-value", published=75.0, margin=2.0),
        table("order", id="order", published="75 > 36"),
        table("source", id="source"),
        table("equivalence", id="open", target=75.3, margin=0.2),
    ]
    return judge(load_claims(write_claims(folder, *tables, header=header)), found)
