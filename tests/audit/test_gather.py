"""Records of one study are of the same images, known beforehand or not."""

from pathlib import Path

import pytest

from fa_audit.audit.gather import gather
from fa_audit.data.editions import CIFAR10
from fa_audit.errors import AuditError
from fa_audit.study.cells import RunCell, study_cells
from fa_audit.study.ledger import Ledger, Record
from fa_audit.study.spec import Study, load_study

STUDY = """
name = "two"
title = "Two runs"
source = "a test"
seeds = [0, 1]
network = "cnn4"
data = {{ name = "{data}", validation = 10 }}
training = {{ epochs = 1, learning_rate = 1e-3 }}
probe = {{ images = 16 }}
configurations = [{{ rule = "bp" }}]
"""


def study(folder: Path, data: str, trains: tuple[str, str]) -> Study:
    """A study whose two records were made of training images with these fingerprints."""
    (folder / "study.toml").write_text(STUDY.format(data=data), encoding="utf-8")
    loaded = load_study(folder)
    cells = [cell for cell in study_cells(loaded) if isinstance(cell, RunCell)]
    for cell, train in zip(cells, trains, strict=True):
        test = (CIFAR10.fingerprints or {})["test"]
        Ledger(folder / "ledger").write(
            Record(
                kind=cell.kind,
                id=cell.id,
                seed=cell.seed,
                hash=cell.hash,
                configuration=cell.configuration,
                status="finished",
                measurements={},
                provenance={"data": {"train": train, "test": test}},
            )
        )
    return loaded


def test_images_without_a_known_fingerprint_must_be_those_of_the_first_record(
    tmp_path: Path,
) -> None:
    assert len(gather(study(tmp_path, "cifar100", ("a", "a")), tmp_path).records["bp"]) == 2
    with pytest.raises(AuditError, match=r"bp-s1-.* was not made with the images of the other rec"):
        gather(study(tmp_path, "cifar100", ("a", "b")), tmp_path)


def test_images_with_a_known_fingerprint_must_be_those(tmp_path: Path) -> None:
    known = (CIFAR10.fingerprints or {})["train"]
    assert gather(study(tmp_path, "cifar10", (known, known)), tmp_path).records["bp"]
    with pytest.raises(AuditError, match=r"bp-s0-.* was not made with CIFAR-10: the fingerprint "):
        gather(study(tmp_path, "cifar10", ("a", "a")), tmp_path)
