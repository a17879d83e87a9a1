"""An invented study: every kind of cell, claim and mishap that a report has to show."""

import hashlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fa_audit.data import draw_shapes
from fa_audit.data.editions import CIFAR10
from fa_audit.measure.exemplars import brightness_and_contrast
from fa_audit.study.cells import Cell, ChannelCell, CostCell, RunCell, study_cells
from fa_audit.study.ledger import Ledger, Record
from fa_audit.study.spec import Study, load_study

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
LEVELS = {"bp": 75.0, "fa_random": 30.0, "fa_toeplitz": 36.0, "usf_init": 73.0, "usf_sn": 74.5}
ANGLES = {"bp": 0.0, "fa_random": 88.0, "fa_toeplitz": 85.0, "usf_init": 46.0, "usf_sn": 30.0}
MARKUP = """<script>document.title = "taken over"</script> & "quoted" <b>'bold'</b>"""

IMAGES = replace(draw_shapes(train=10, test=30), fingerprints=CIFAR10.fingerprints or {})
"""What stands in for the images of the invented study."""

STUDY = """\
name = "invented"
title = "An invented study"
source = "a test"
seeds = [0, 1, 2]
network = "architecture1"

[data]
name = "cifar10"
validation = 5000

[training]
epochs = 3
learning_rate = 1e-3

[comparison]
pairs = [
    "fa_toeplitz~bp",
    "usf_sn~bp",
    "usf_sn~bp.other-seed",
    "bp~bp.other-seed",
    "untrained~bp",
    "bp~bp.shuffled",
    "grid-fa_toeplitz.learning_rate=0.003.feedback_scale=0.1~bp",
]

[channels]
of = ["usf_sn", "untrained"]
class = "star"
layers = ["conv2"]
channels = 2
images = 4
groups = { round = ["disc", "ring"] }

[cost]
of = ["fa_random"]
repeats = 2

[[configurations]]
rule = "bp"

[[configurations]]
rule = "fa_random"
feedback_scale = 0.01

[[configurations]]
rule = "fa_toeplitz"
feedback_scale = 0.01

[[configurations]]
rule = "usf_init"
feedback_scale = 0.1

[[configurations]]
rule = "usf_sn"

[[configurations]]
id = "usf_sn-spectral"
rule = "usf_sn"
norm = "spectral"

[[configurations]]
id = "grid-fa_toeplitz"
rule = "fa_toeplitz"
epochs = 1
seeds = [0, 1]
learning_rate = [1e-3, 3e-3]
feedback_scale = [0.01, 0.1]
"""

CLAIMS = """\
paper = "An Invented Paper"
source = "its text"
data = "cifar10"
headlines = ["bp-accuracy", "order"]

[[claims]]
id = "bp-accuracy"
kind = "value"
statement = "BP: test accuracy"
where = "Table 1"
read = "printed"
published = 75.2
unit = "%"
of = "bp"
measure = "test_accuracy"
at = "best-validation"
margin = 3
requires = { epochs = 3 }

[[claims]]
id = "best-bp"
kind = "value"
statement = '''MARKUP'''
where = '''<i>Table</i> 1'''
read = "figure"
reading_error = 1
published = 99
unit = "%"
of = "bp"
measure = "validation_accuracy"
at = "best-validation"
margin = 3
note = '''a note with <em>markup</em>'''

[[claims]]
id = "fa-at-the-end"
kind = "value"
statement = "FA (Toeplitz): validation accuracy at the end"
where = "Figure 2"
read = "figure"
reading_error = 1
published = 36
unit = "%"
of = "fa_toeplitz"
measure = "validation_accuracy"
at = "last"
margin = 1.5

[[claims]]
id = "order"
kind = "order"
statement = "BP and uSF SN beat FA (Toeplitz) by 20 points"
where = "Table 1"
read = "printed"
published = "75, 74 > 36"
unit = "%"
groups = [["bp", "usf_sn"], ["fa_toeplitz"]]
direction = "descending"
at_least = 20
measure = "test_accuracy"
at = "best-validation"

[[claims]]
id = "near-bp"
kind = "equivalence"
statement = "uSF SN about equals BP"
where = "Table 1"
read = "printed"
unit = "%"
of = "usf_sn"
minus = "bp"
measure = "test_accuracy"
at = "best-validation"
target = 0
margin = 5

[[claims]]
id = "angle-end"
kind = "range"
statement = "FA (Toeplitz): angle after training, {at}"
where = "Figure 3"
read = "figure"
published = [85, 78]
unit = "degrees"
of = "fa_toeplitz"
measure = "local_angle/end"
at = ["conv2", "fc1"]
low = 60
high = 80

[[claims]]
id = "signs"
kind = "equivalence"
statement = "FA (Random): sign concordance, {at}"
where = "Figure 4"
read = "figure"
unit = "fraction"
of = "fa_random"
measure = "sign_concordance/end"
at = ["conv2", "fc1"]
target = 0.5
margin = 0.05

[[claims]]
id = "round-exemplars"
kind = "range"
statement = "uSF SN shows round things"
where = "Figure 6"
read = "prose"
unit = "images"
of = "usf_sn.channels"
measure = "exemplar_classes/conv2/absolute"
at = "round"
low = 4
high = 8

[[claims]]
id = "long-training"
kind = "value"
statement = "uSF Init after 50 epochs"
where = "Table 1"
read = "printed"
published = 74.3
unit = "%"
of = "usf_init"
measure = "test_accuracy"
at = "best-validation"
margin = 2
requires = { epochs = 50 }

[[claims]]
id = "winner"
kind = "winner"
statement = "The grid is won by 1e-3 and .01"
where = "Appendix"
read = "printed"
measure = "validation_accuracy"
at = "best-validation"
unit = "%"
winner = "grid-fa_toeplitz.learning_rate=0.001.feedback_scale=0.01"
grid = [
    "grid-fa_toeplitz.learning_rate=0.001.feedback_scale=0.01",
    "grid-fa_toeplitz.learning_rate=0.001.feedback_scale=0.1",
    "grid-fa_toeplitz.learning_rate=0.003.feedback_scale=0.01",
]

[[claims]]
id = "read"
kind = "source"
statement = "The figure shows what the text says"
where = "Section 4"
read = "prose"
verdict = "contradicted by its own source"
evidence = "It does not."

[[claims]]
id = "asked-and-so"
kind = "order"
origin = "audit"
statement = "BP beats FA (Toeplitz) at the end, too"
where = "A control"
read = "prose"
groups = [["bp"], ["fa_toeplitz"]]
direction = "descending"
unit = "%"
measure = "test_accuracy"
at = "best-validation"

[[claims]]
id = "asked-and-not-so"
kind = "order"
origin = "audit"
statement = "FA (Toeplitz) beats BP"
where = "A control"
read = "prose"
groups = [["fa_toeplitz"], ["bp"]]
direction = "descending"
unit = "%"
measure = "test_accuracy"
at = "best-validation"

[[matrices]]
id = "cka-usf_sn"
statement = "uSF SN: CKA with BP, {at}"
where = "Figure 8"
read = "printed"
reading_error = 0.005
unit = "fraction"
of = "usf_sn~bp"
measure = "cka/all"
rows = ["conv1", "conv2"]
columns = ["conv1", "conv2"]
published = [[0.99, 0.30], [0.24, 0.93]]
margin = 0.1
family = "cka"
control = "false-discovery"
""".replace("MARKUP", MARKUP)


def write_study(
    folder: Path,
    *changes: tuple[str, str],
    skipped: Collection[tuple[str, int]] = (),
    diverged: Collection[tuple[str, int]] = (),
) -> Study:
    """Write study.toml, claims.toml and a record for every cell.

    Args:
        folder: Where to.
        *changes: Parts of the two files to be replaced, wherever they stand.
        skipped: (id, seed) of cells without a record.
        diverged: (id, seed) of runs that diverged.
    """
    study_text, claims_text = STUDY, CLAIMS
    for old, new in changes:
        assert old in STUDY + CLAIMS, old
        study_text, claims_text = study_text.replace(old, new), claims_text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.toml").write_text(study_text, encoding="utf-8")
    (folder / "claims.toml").write_text(claims_text, encoding="utf-8")
    study = load_study(folder)
    ledger = Ledger(folder / "ledger")
    for cell in study_cells(study):
        if (cell.id, cell.seed) not in skipped:
            ledger.write(_record(cell, (cell.id, cell.seed) in diverged))
    return study


def _record(cell: Cell, diverged: bool) -> Record:
    digest = hashlib.sha256(f"{cell.id} {cell.seed}".encode()).digest()
    draw = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    series: dict[str, Any] = {}
    if isinstance(cell, RunCell):
        measurements, series = _run(cell, draw, diverged)
    elif isinstance(cell, ChannelCell):
        measurements, series = _channels(cell, draw)
    elif isinstance(cell, CostCell):
        measurements = _cost(draw)
    else:
        measurements = _comparison(cell.id, draw)
    return Record(
        kind=cell.kind,
        id=cell.id,
        seed=cell.seed,
        hash=cell.hash,
        configuration=cell.configuration,
        status="diverged" if diverged else "finished",
        measurements=measurements,
        series=series,
        provenance={
            "code": "0.1.0 (0123456789ab)",
            "python": "3.12",
            "torch": "2.11",
            "device": "invented <device>",
            "threads": 1,
            "data": {"title": "CIFAR-10", "stand_in": False, **(CIFAR10.fingerprints or {})},
            "seconds": 100.0 + cell.seed,
            "finished": "2026-01-02T03:04:05Z",
        },
    )


def _measured(unit: str, values: dict[str, float | None], reason: str = "") -> dict[str, Any]:
    undefined = {at: reason for at, value in values.items() if value is None}
    found = {"estimator": "invented", "n": 100, "unit": unit, "values": values}
    return {**found, "undefined": undefined} if undefined else found


def _run(
    cell: RunCell, draw: np.random.Generator, diverged: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    rule, epochs = cell.run.rule, cell.run.training.epochs
    level = LEVELS[rule] + draw.normal(0, 0.4)
    course = [10.0, *(level * (1 - 0.5 ** (epoch + 1)) / 0.9 for epoch in range(epochs))]
    if diverged:
        course = course[:2]
    loss = None if diverged else 9.0 if rule == "fa_random" else 1.1
    steps = [0, 1, 10, 100, 1000]
    angle = ANGLES[rule] + draw.normal(0, 0.5, len(steps))
    probe: dict[str, Any] = {"step": steps}
    angles: dict[str, float | None] = {}
    signs: dict[str, float | None] = {}
    for layer in LAYERS:
        probe[layer] = {"distance": list(np.linspace(0, 1, len(steps)))}
        if layer != "conv1":
            dense = rule == "fa_random" and layer == "conv2"
            concordance = [1.0 if rule in ("bp", "usf_init", "usf_sn") else 0.505] * len(steps)
            probe[layer] |= {
                "local_angle": [None if diverged and i > 2 else a for i, a in enumerate(angle)],
                "true_angle": list(angle),
                "predicted_angle": [None if dense else a for a in angle],
                "sign_concordance": [None if dense else value for value in concordance],
            }
            angles[layer] = float(angle[-1])
            signs[layer] = None if dense else concordance[-1]
    accuracy = {"best-validation": course[-1], "last": course[-1] - 0.2}
    measurements = {
        "test_accuracy": _measured("%", accuracy),
        "validation_accuracy": _measured("%", accuracy),
        "epoch": _measured("epochs", {"best-validation": epochs, "last": epochs}),
        "train_loss": {
            **_measured("nats", {"first": 2.0, "last": loss}, "the loss was not finite"),
            "chance": 2.30258509,
        },
        "local_angle/start": _measured("degrees", dict.fromkeys(angles, float(angle[0]))),
        "local_angle/end": _measured("degrees", angles),
        "true_angle/end": _measured("degrees", angles),
        "sign_concordance/end": _measured("1", signs, "feedback and weight differ in shape"),
        "distance/end": _measured("1", dict.fromkeys(LAYERS, 1.0)),
        "invented_measure": _measured("apples", {"basket": 3.0}),
    }
    return measurements, {"epoch": {"validation_accuracy": course}, "probe": probe}


def _comparison(id: str, draw: np.random.Generator) -> dict[str, Any]:
    high = {"usf_sn~bp": 0.9, "bp~bp.other-seed": 0.8, "bp~bp.shuffled": 0.0}.get(id, 0.4)
    values = {
        f"{row}/{column}": float(high - 0.1 * abs(i - j) + draw.normal(0, 0.01))
        for i, row in enumerate(LAYERS)
        for j, column in enumerate(LAYERS)
    }
    return {"cka/all": _measured("1", values), "cka/both-right": _measured("1", values)}


def _channels(
    cell: ChannelCell, draw: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The exemplars of two channels: four test images each, drawn."""
    settings, test = cell.settings, IMAGES.test
    measurements: dict[str, Any] = {}
    series: dict[str, Any] = {}
    for layer in settings.layers:
        series[layer] = {}
        for form in ("absolute", "signed"):
            places = [draw.permutation(len(test))[: settings.images] for _ in range(2)]
            shown = torch.tensor(np.concatenate(places))
            labels = test.labels[shown].tolist()
            counts = {name: float(labels.count(i)) for i, name in enumerate(IMAGES.classes)}
            round_ones = sum(counts[name] for name in settings.groups["round"])
            tones = brightness_and_contrast(test.pixels[shown, 4:28, 4:28])
            measurements |= {
                f"exemplar_classes/{layer}/{form}": _measured(
                    "images", {**counts, "round": round_ones}
                ),
                f"exemplar_brightness/{layer}/{form}": _measured(
                    "1", {"exemplars": tones[0].mean().item()}
                ),
                f"exemplar_contrast/{layer}/{form}": _measured(
                    "1", {"exemplars": tones[1].mean().item()}
                ),
            }
            series[layer][form] = {
                "importance": list(np.linspace(1, 0, 64)),
                "channels": [0, 1],
                "exemplars": [of.tolist() for of in places],
            }
    return measurements, {"channels": series}


def _cost(draw: np.random.Generator) -> dict[str, Any]:
    return {
        "cost/stored": _measured("numbers", {"total": 1000.0}),
        "cost_ratio/multiply_adds": _measured("1", {"total": 1.7}),
        "cost_ratio/kept": _measured("1", {"total": 38.0}),
        "cost_ratio/peak_memory": _measured("1", {"total": 3.4}),
        "cost_ratio/seconds": _measured("1", {"median": 1.6 + draw.normal(0, 0.05)}),
    }
