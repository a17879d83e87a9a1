"""A study so small that all its cells take a second, and what tests read off its files."""

import json
from pathlib import Path
from typing import Any

import torch

from fa_audit.data import Dataset
from fa_audit.study.cells import ComparisonCell, RunCell, study_cells
from fa_audit.study.ledger import Record, read_record
from fa_audit.study.output import OutputFolder
from fa_audit.study.run import Progress, work
from fa_audit.study.spec import Study, load_study
from training.tiny import dataset

__all__ = ["dataset"]

TINY = """\
name = "tiny"
title = "A tiny study"
source = "a test"
seeds = [0, 1]
network = "architecture1"

[data]
name = "shapes"
validation = 60
train = 160
test = 50

[training]
epochs = 2
batch_size = 32
learning_rate = 1e-3

[probe]
images = 16
per_decade = 2

[comparison]
batch_size = 16
pairs = ["fa_toeplitz~bp"]

[[configurations]]
rule = "bp"

[[configurations]]
rule = "fa_toeplitz"
feedback_scale = 0.01
"""


def edited(*changes: tuple[str, str]) -> str:
    """The tiny study with parts of its text replaced, each of which is there exactly once."""
    text = TINY
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
        text = text.replace(old, new)
    return text


def write_study(folder: Path, *changes: tuple[str, str]) -> Study:
    """Write an edited tiny study into a folder and load it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.toml").write_text(edited(*changes), encoding="utf-8")
    return load_study(folder)


def do(
    study: Study, folder: Path, data: Dataset | None = None, replicas: int = 1
) -> tuple[float, list[str]]:
    """Do all open cells here and now: the epochs' worth of work done, and what was said."""
    advances: list[float] = []
    said: list[str] = []
    progress = Progress(advances.append, said.append)
    images, device = data or dataset(), torch.device("cpu")
    work(study, OutputFolder(folder), images, device, progress, replicas)
    return sum(advances), said


def records(folder: Path) -> dict[str, Record]:
    """All records of an output folder by file name."""
    return {path.name: read_record(path) for path in sorted((folder / "ledger").glob("*.json"))}


def results(folder: Path) -> dict[str, Any]:
    """All that the ledger says but for where and when it was computed."""
    found = {}
    for path in sorted((folder / "ledger").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["provenance"], content["digest"]
        found[path.name] = content
    return found


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder with its time of change and its number on the disk."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): (f.stat().st_mtime_ns, f.stat().st_ino) for f in files}


def run_cells(study: Study) -> list[RunCell]:
    return [cell for cell in study_cells(study) if isinstance(cell, RunCell)]


def comparison_cells(study: Study) -> list[ComparisonCell]:
    return [cell for cell in study_cells(study) if isinstance(cell, ComparisonCell)]
