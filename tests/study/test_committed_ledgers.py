"""The first steps of committed runs, taken again: would they still give the recorded numbers?

A run takes a quarter of an hour and more, its first steps take a second, and nothing in them
depends on how many follow. What the ledger holds of them is what was measured at the probed steps.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch

from fa_audit.data import Dataset, load_cifar
from fa_audit.study.ledger import Ledger, Record
from fa_audit.study.provenance import device_name
from fa_audit.study.spec import load_study
from fa_audit.training.configuration import RunConfiguration
from fa_audit.training.trainer import Trainer, subnormals_flushed

REPRODUCTIONS = Path(__file__).parents[2] / "reproductions"
STEPS = 7
COMMITTED = [
    ("lance_kieu_2026", id) for id in ("bp", "fa_random", "fa_toeplitz", "usf_init", "usf_sn")
]

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def dataset(cifar10_folder: Path) -> Dataset:
    return load_cifar("cifar10", cifar10_folder)


def committed(study: str, id: str) -> tuple[RunConfiguration, Record]:
    """The run of seed 0, and its record."""
    run = load_study(REPRODUCTIONS / study).configurations[id][0]
    record = Ledger(REPRODUCTIONS / study / "ledger").find(id, 0, run.hash)
    assert record is not None, f"{study} has no record of {id}, seed 0"
    return run, record


def retaken(run: RunConfiguration, dataset: Dataset) -> Trainer:
    """The run after its first steps."""
    trainer = Trainer(run, dataset)
    with subnormals_flushed():
        for batch in takewhile(lambda batch: batch.step <= STEPS, trainer.plan_epoch()):
            images = trainer.batches.crop(batch.index, batch.offsets, batch.flips)
            trainer._step(images, trainer.labels[batch.index])
            trainer.measure(batch.step)
    return trainer


def values(
    series: Mapping[str, Any], steps: int, at: str = ""
) -> Iterator[tuple[str, list[float]]]:
    """Every list of numbers below `series`, as far as the first steps go, with its path.

    To nine digits, as the ledger has them.
    """
    for name, found in series.items():
        path = f"{at}/{name}"
        if isinstance(found, Mapping):
            yield from values(found, steps, path)
        else:
            yield path, [math.nan if x is None else float(f"{x:.9g}") for x in found[:steps]]


@pytest.mark.parametrize(("study", "id"), COMMITTED, ids=map("/".join, COMMITTED))
def test_the_first_steps_give_the_recorded_numbers(study: str, id: str, dataset: Dataset) -> None:
    run, record = committed(study, id)
    trainer = retaken(run, dataset)
    series = {"probe": trainer.probe.series}
    if trainer.ranks is not None:
        series["rank"] = trainer.ranks.series
    for kind, found in series.items():
        steps = len(found["step"])
        ours, recorded = (dict(values(of, steps)) for of in (found, record.series[kind]))
        assert ours["/step"] == recorded["/step"]
        assert ours["/step"][-1] == STEPS
        assert ours.keys() == recorded.keys()
        for path, numbers in ours.items():
            # Bit for bit on the same processor and versions; elsewhere sums are rounded otherwise.
            here = (torch.__version__, device_name(torch.device("cpu")))
            if here == (record.provenance["torch"], record.provenance["device"]):
                assert numbers == recorded[path], path
            else:
                assert numbers == pytest.approx(recorded[path], rel=5e-3, abs=1e-4, nan_ok=True), (
                    path
                )
    accuracy = record.series["epoch"]["validation_accuracy"][0]
    assert trainer.history["validation_accuracy"][0] == pytest.approx(accuracy, abs=0.05)
