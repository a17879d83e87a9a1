"""A study whose runs are trained as one program: the same cells, the same numbers to rounding."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fa_audit.study import run
from fa_audit.study.cells import RunCell
from fa_audit.study.output import OutputFolder
from fa_audit.study.run import Progress
from fa_audit.training.replicas import Replicas
from fa_audit.training.trainer import Trainer
from study.tiny import dataset, do, records, write_study

THREE_SEEDS = ("seeds = [0, 1]", "seeds = [0, 1, 2]")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study of three seeds done run by run, and with at most two runs as one program."""
    folders = []
    for replicas in (1, 2):
        folder = tmp_path_factory.mktemp(f"replicas-{replicas}")
        epochs, _ = do(write_study(folder, THREE_SEEDS), folder, replicas=replicas)
        assert epochs == pytest.approx(2 * 3 * 2 + 3)
        folders.append(folder)
    return folders[0], folders[1]


def test_the_ledger_has_the_same_cells_and_the_same_numbers(both: tuple[Path, Path]) -> None:
    alone, together = (records(folder) for folder in both)
    assert alone.keys() == together.keys()
    for name, record in alone.items():
        other = together[name]
        assert (other.hash, other.status) == (record.hash, record.status)
        for measure in ("train_loss", "distance/end", "local_angle/end", "cka/all"):
            if measure in record.measurements:
                assert other.measurements[measure]["values"] == pytest.approx(
                    record.measurements[measure]["values"], rel=1e-3, abs=1e-3
                ), (name, measure)


def test_a_record_says_how_many_runs_were_one_program(both: tuple[Path, Path]) -> None:
    alone, together = (
        sorted(r.provenance["replicas"] for r in records(folder).values() if r.kind == "run")
        for folder in both
    )
    assert alone == [1] * 6
    assert together == [1, 1, 2, 2, 2, 2]  # two rules, three seeds each


def test_seconds_of_an_epoch_are_shared_out_among_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, output = write_study(tmp_path), OutputFolder(tmp_path)
    cells = [RunCell("bp", study.configurations["bp"][seed]) for seed in (0, 1)]
    group = [run._Going(cell, Trainer(cell.run, dataset()), 3.0) for cell in cells]
    clock = iter([100.0, 110.0, 110.0])  # one program takes ten seconds
    monkeypatch.setattr(run.time, "monotonic", lambda: next(clock))
    run._train_epoch(group, output, Progress())
    assert [going.seconds for going in group] == [8.0, 8.0]


def test_runs_stopped_at_different_epochs_end_as_if_they_never_stopped(
    tmp_path: Path, both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write_study(tmp_path, THREE_SEEDS)
    output = OutputFolder(tmp_path)

    class StoppedError(Exception):
        pass

    saved = []
    write = run.write_atomically

    def stop_after_three(path: Path, save: Any) -> None:
        write(path, save)
        saved.append(path)
        if len(saved) == 3:  # one run has done two epochs, the other of its pair one
            raise StoppedError

    monkeypatch.setattr(run, "write_atomically", stop_after_three)
    with pytest.raises(StoppedError):
        run.work(study, output, dataset(), torch.device("cpu"), Progress(), replicas=2)
    monkeypatch.undo()
    _, said = do(study, tmp_path, replicas=2)
    assert said == []
    expected, found = records(both[0]), records(tmp_path)
    assert expected.keys() == found.keys()
    for name, record in expected.items():
        if record.kind == "run":
            losses = record.series["epoch"]["train_loss"][1:]
            assert found[name].series["epoch"]["train_loss"][1:] == pytest.approx(losses, rel=1e-4)


def test_one_run_at_a_time_never_goes_through_the_stacked_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Replicas, trainers: Any) -> None:
        raise AssertionError("a single run was stacked")

    monkeypatch.setattr(Replicas, "__init__", refuse)
    do(write_study(tmp_path), tmp_path)
    assert any(record.kind == "run" for record in records(tmp_path).values())
