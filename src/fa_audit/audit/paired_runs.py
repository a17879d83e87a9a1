"""Runs beside the reference: how accurate each is, and how similar to the reference of its seed."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any

from fa_audit.audit.evidence import Evidence, measured
from fa_audit.study.ledger import Record

SIMILARITY = "cka/all"
ACCURACY = "test_accuracy"

NUMERIC = ("learning_rate", "feedback_scale", "weight_decay")
"""Settings that a regression can hold fixed; others make another variant of a rule."""


@dataclass(frozen=True)
class PairedRun:
    """One run: its settings, its accuracy, and its similarity to the reference of its seed."""

    run: str
    """The configuration's id."""
    seed: int
    rule: str
    """The rule; where a study has variants of it (an option, layers left untrained), with them."""
    epochs: int
    learning_rate: float
    feedback_scale: float | None
    weight_decay: float
    status: str
    """Whether it "finished" or "diverged"; a diverged run is a result like any other."""
    checkpoint: str
    """Of which weights both numbers are: "best-validation" or "last"."""
    accuracy: float
    """On the test images, in %."""
    layers: Mapping[str, float]
    """Layer → CKA between it and the same layer of the reference, over all compared images."""

    @property
    def mean(self) -> float:
        """The mean over the layers."""
        return fmean(self.layers.values())


@dataclass(frozen=True)
class PairedRuns:
    """All runs of a study that are compared with the reference."""

    reference: str
    runs: tuple[PairedRun, ...]
    left_out: Mapping[str, str]
    """Run and seed, as "fa_random:0" → why it is not among the runs."""


def paired_runs(evidence: Evidence, reference: str = "bp") -> PairedRuns:
    """Every run that was compared with the reference of the same seed.

    Those are the runs of each configuration X for which the study has the comparison X~reference.
    Layers are compared with themselves; the first is left out, because all networks of a seed start
    from the same weights and a first layer hardly has to leave them: even untrained networks of
    different seeds agree there, so that its similarity says little of what was learnt. The accuracy
    is that of the very weights that were compared, as the comparison gives it; of a comparison that
    does not, made before comparisons did, it is the run's.

    A run that is the reference itself under another name is no pair, nor is its beginning: a
    network compared with its own past is alike for another reason than what it learnt. A run that
    occurs under two names is counted once. One whose CKA is undefined at a layer, as where a layer
    answers every image alike, is left out, and its accuracy said: such runs are not a fair sample.

    Args:
        evidence: The study's records.
        reference: A configuration's id.
    """
    found: list[tuple[Record, Record]] = []
    left_out: dict[str, str] = {}
    hashes: set[str] = set()
    for id in evidence.records:
        pair = f"{id}~{reference}"
        for seed in evidence.seeds_of(pair) if pair in evidence.records else ():
            run, comparison = (evidence.records[name].get(seed) for name in (id, pair))
            if run is None or comparison is None:
                missing = "run" if run is None else "comparison"
                left_out[f"{id}:{seed}"] = f"the record of the {missing} is missing"
            elif _same(comparison):
                continue
            elif reason := _cut_short(comparison) or _undefined(run, comparison):
                left_out[f"{id}:{seed}"] = reason
            elif run.hash not in hashes:
                hashes.add(run.hash)
                found.append((run, comparison))
    rules = _rule_names([run.configuration for run, _ in found])
    runs = tuple(_paired(run, pair, rule) for (run, pair), rule in zip(found, rules, strict=True))
    return PairedRuns(reference, runs, left_out)


def to_csv(runs: Sequence[PairedRun]) -> str:
    """Runs as CSV: a line of names, then a line for each run; a rule without scale has none."""
    names = [field.name for field in fields(PairedRun) if field.name != "layers"]
    layers = list(runs[0].layers) if runs else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "mean", *layers])
    for run in runs:
        own = [getattr(run, name) for name in names]
        writer.writerow([*own, f"{run.mean:.9g}", *(run.layers[layer] for layer in layers)])
    return text.getvalue()


def _undefined(run: Record, comparison: Record) -> str:
    """Why a run and its comparison do not give all numbers; empty where they do."""
    accuracy, layers = _accuracy(run, comparison), _layers_of(comparison)
    if isinstance(accuracy, str):
        return accuracy
    if not layers:
        return f"the comparison holds no {SIMILARITY}"
    found = {layer: measured(comparison, SIMILARITY, f"{layer}/{layer}") for layer in layers}
    gaps = [layer for layer, value in found.items() if isinstance(value, str)]
    what = f"CKA at {', '.join(gaps)} is undefined; test accuracy {accuracy:.4g} %"
    return what if gaps else ""


def _accuracy(run: Record, comparison: Record) -> float | str:
    """The accuracy of the compared weights, or why there is none."""
    if ACCURACY in comparison.measurements:
        return measured(comparison, ACCURACY, "rows")
    return measured(run, ACCURACY, _checkpoint(comparison))


def _layers_of(comparison: Record) -> list[str]:
    """The layers compared with themselves, from the second on."""
    measurement = comparison.measurements.get(SIMILARITY, {})
    places = {**measurement.get("values", {}), **measurement.get("undefined", {})}
    sides = (place.split("/") for place in places)
    return [rows for rows, columns in sides if rows == columns][1:]


def _checkpoint(comparison: Record) -> str:
    return str(comparison.configuration["comparison"]["checkpoint"])


def _same(comparison: Record) -> bool:
    return bool(comparison.configuration["rows"] == comparison.configuration["columns"])


def _cut_short(comparison: Record) -> str:
    """Why a run that is the reference but for its length is no pair; empty for any other."""
    rows, columns = (
        {**whole, "training": {**whole["training"], "epochs": None}}
        for whole in (comparison.configuration[side] for side in ("rows", "columns"))
    )
    return "it is the reference itself, cut short" if rows == columns else ""


def _paired(run: Record, comparison: Record, rule: str) -> PairedRun:
    training, values = run.configuration["training"], comparison.measurements[SIMILARITY]["values"]
    checkpoint = _checkpoint(comparison)
    return PairedRun(
        run=run.id,
        seed=run.seed,
        rule=rule,
        epochs=training["epochs"],
        learning_rate=training["learning_rate"],
        feedback_scale=training.get("feedback_scale"),
        weight_decay=training.get("weight_decay", 0.0),
        status=run.status,
        checkpoint=checkpoint,
        accuracy=float(_accuracy(run, comparison)),
        layers={layer: float(values[f"{layer}/{layer}"]) for layer in _layers_of(comparison)},
    )


def _rule_names(configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each configuration's rule, with the variants by which runs of that rule differ."""
    variants = [_variants(configuration) for configuration in configurations]
    names = []
    for configuration, own in zip(configurations, variants, strict=True):
        rule = configuration["rule"]
        alike = [
            others
            for other, others in zip(configurations, variants, strict=True)
            if other["rule"] == rule
        ]
        differing = (key for key in own if any(others.get(key) != own[key] for others in alike))
        names.append(rule + "".join(f".{key}={own[key]}" for key in differing))
    return names


def _variants(configuration: Mapping[str, Any]) -> dict[str, str]:
    """The settings without order: options of the rule, layers trained, precision and the like."""
    training = configuration["training"].items()
    named = {key: value for key, value in training if key not in (*NUMERIC, "epochs")}
    return {
        key: "+".join(value) if isinstance(value, list | tuple) else str(value)
        for key, value in {**configuration.get("options", {}), **named}.items()
    }
