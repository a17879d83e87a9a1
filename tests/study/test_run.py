import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file

from fa_audit.errors import AuditError
from fa_audit.study import ledger, run
from fa_audit.study.cells import Cell, ComparisonCell, study_cells
from fa_audit.study.comparisons import comparison_measurements
from fa_audit.study.ledger import Record, read_record
from fa_audit.study.output import OutputFolder
from fa_audit.study.results import Measurements
from fa_audit.study.run import epochs_of, open_cells
from fa_audit.study.selection import select
from fa_audit.study.spec import Study, load_study
from fa_audit.study.weights_file import load_weights
from fa_audit.training.trainer import CHECKPOINTS
from study.tiny import (
    comparison_cells,
    dataset,
    do,
    records,
    results,
    run_cells,
    snapshot,
    write_study,
)
from training.tiny import trained

PROCESSES = Path(__file__).parent / "processes.py"


@pytest.fixture
def copy(finished: tuple[Study, Path], tmp_path: Path) -> tuple[Study, Path]:
    """The finished study in a folder of its own, to be damaged."""
    study, folder = finished
    shutil.copytree(folder, tmp_path / "out")
    return study, tmp_path / "out"


# An undisturbed run


def test_every_cell_has_one_record_and_nothing_else_is_left(finished: tuple[Study, Path]) -> None:
    study, folder = finished
    cells = list(study_cells(study))
    assert set(records(folder)) == {f"{cell.stem}.json" for cell in cells}
    for cell in cells:
        found = OutputFolder(folder).find(cell)
        assert found is not None
        assert (found.kind, found.id, found.seed) == (cell.kind, cell.id, cell.seed)
        assert found.status == "finished"
        assert found.configuration == json.loads(json.dumps(cell.configuration))
    weights = {f"weights/{cell.stem}.safetensors" for cell in run_cells(study)}
    ledger = {f"ledger/{cell.stem}.json" for cell in cells}
    assert set(snapshot(folder)) == weights | ledger | {"study.toml"}


def test_a_second_call_does_nothing(finished: tuple[Study, Path]) -> None:
    study, folder = finished
    before = snapshot(folder)
    assert open_cells(study, OutputFolder(folder)) == []
    assert do(study, folder) == (0, [])
    assert snapshot(folder) == before


def test_a_record_and_its_weights_are_those_of_the_run_alone(
    finished: tuple[Study, Path],
) -> None:
    study, folder = finished
    for cell in run_cells(study):
        alone, found = trained(cell.run), OutputFolder(folder).find(cell)
        assert found is not None
        for stated, expected in (
            (found.series["epoch"], alone.history),
            (found.series["probe"], alone.probe.series),
        ):
            assert stated == rounded(expected)
        path = OutputFolder(folder).weights(cell)
        assert len(load_file(path)) == 2 * 10
        for checkpoint in CHECKPOINTS:
            stored = load_weights(OutputFolder(folder), cell, checkpoint)
            assert stored.keys() == alone.weights[checkpoint].keys()
            for name, value in alone.weights[checkpoint].items():
                assert torch.equal(stored[name], value), f"{checkpoint} {name}"


def rounded(value: Any) -> Any:
    """Floats as a ledger writes them: nine digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def test_a_record_says_where_its_numbers_come_from(finished: tuple[Study, Path]) -> None:
    for record in records(finished[1]).values():
        stated = record.provenance
        assert set(stated) == {
            "code",
            "python",
            "torch",
            "device",
            "threads",
            "replicas",
            "data",
            "seconds",
            "finished",
        }
        assert stated["torch"] == torch.__version__
        assert stated["device"].startswith("cpu (")
        assert stated["threads"] == 1
        assert stated["seconds"] >= 0
        assert stated["data"] == {
            "title": dataset().title,
            "stand_in": True,
            **dataset().fingerprints,
        }


def test_work_is_counted_in_epochs(tmp_path: Path, finished: tuple[Study, Path]) -> None:
    study, folder = finished
    epochs, said = do(study, tmp_path / "out")
    assert epochs == pytest.approx(sum(map(epochs_of, study_cells(study)))) == pytest.approx(10)
    assert said == []
    assert results(tmp_path / "out") == results(folder)


def test_more_seeds_are_added_to_the_ones_that_are_there(
    finished: tuple[Study, Path], tmp_path: Path
) -> None:
    study, folder = finished
    first = load_study(folder, seeds=1)
    do(first, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    assert len(records(tmp_path / "out")) == 3
    do(study, tmp_path / "out")
    assert before.items() <= snapshot(tmp_path / "out").items()
    assert results(tmp_path / "out") == results(folder)


# Comparisons of one seed are made together

PAIRS = ("fa_toeplitz~bp", "bp~bp.other-seed", "untrained~bp", "bp~bp.shuffled")


@pytest.fixture
def compared_together(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What each pass over the images compared, filled while a study runs."""
    seen: list[list[str]] = []

    def recorded(cells: Sequence[ComparisonCell], *arguments: Any) -> list[Measurements]:
        seen.append([f"{cell.id}:{cell.seed}" for cell in cells])
        return comparison_measurements(cells, *arguments)

    monkeypatch.setattr(run, "comparison_measurements", recorded)
    return seen


def test_comparisons_of_one_seed_share_a_pass_as_soon_as_their_runs_are_done(
    tmp_path: Path, compared_together: list[list[str]]
) -> None:
    listed = ", ".join(f'"{pair}"' for pair in PAIRS)
    study = write_study(tmp_path, ('["fa_toeplitz~bp"]', f"[{listed}]"))
    do(study, tmp_path)
    assert compared_together == [
        ["fa_toeplitz~bp:0", "untrained~bp:0", "bp~bp.shuffled:0"],
        ["bp~bp.other-seed:0"],  # has to wait for BP at the other seed
        ["fa_toeplitz~bp:1", "untrained~bp:1", "bp~bp.shuffled:1"],
    ]
    assert len(records(tmp_path)) == 4 + 7


def test_a_comparison_that_another_process_makes_is_left_to_it(
    finished: tuple[Study, Path], tmp_path: Path, compared_together: list[list[str]]
) -> None:
    study = write_study(tmp_path, ('["fa_toeplitz~bp"]', '["fa_toeplitz~bp", "untrained~bp"]'))
    for kind in ("ledger", "weights"):
        shutil.copytree(finished[1] / kind, tmp_path / kind)
    output = OutputFolder(tmp_path)
    for cell in comparison_cells(study):
        (tmp_path / "ledger" / f"{cell.stem}.json").unlink(missing_ok=True)
    first, *_ = comparison_cells(study)
    advances: list[float] = []

    def advance(epochs: float) -> None:
        advances.append(epochs)
        if len(advances) == 3:  # all but the one that is held
            lock.release()

    (tmp_path / "locks").mkdir()
    lock = FileLock(tmp_path / "locks" / f"{first.hash}.lock")
    lock.acquire()
    run.work(study, output, dataset(), torch.device("cpu"), run.Progress(advance))
    assert compared_together == [
        ["untrained~bp:0"],
        ["fa_toeplitz~bp:1", "untrained~bp:1"],
        ["fa_toeplitz~bp:0"],
    ]


def test_networks_that_were_never_trained_need_no_run(
    tmp_path: Path, compared_together: list[list[str]]
) -> None:
    study = write_study(tmp_path, ('["fa_toeplitz~bp"]', '["untrained~untrained.other-seed"]'))
    do(select(study, ["untrained~untrained.other-seed"]), tmp_path)
    pair = "untrained~untrained.other-seed"
    assert compared_together == [[f"{pair}:0"], [f"{pair}:1"]]
    assert len(records(tmp_path)) == 2


# What is missing or damaged is made again, to the same numbers


def test_missing_weights_are_not_missed_once_everything_is_compared(
    copy: tuple[Study, Path],
) -> None:
    study, folder = copy
    shutil.rmtree(folder / "weights")
    assert do(study, folder) == (0, [])
    assert not (folder / "weights").exists()


def test_missing_weights_that_a_comparison_needs_are_trained_again(
    copy: tuple[Study, Path], finished: tuple[Study, Path]
) -> None:
    study, folder = copy
    shutil.rmtree(folder / "weights")
    comparison = comparison_cells(study)[1]
    (folder / "ledger" / f"{comparison.stem}.json").unlink()
    before = snapshot(folder)
    epochs, _ = do(study, folder)
    assert epochs == pytest.approx(2 + 2 + 1)  # both runs of that seed and their comparison
    assert results(folder) == results(finished[1])
    assert before.items() <= snapshot(folder).items()  # no record was written a second time
    weights = sorted((folder / "weights").iterdir())
    assert {path.stem for path in weights} == {run.stem for run in comparison.runs}
    for path in weights:
        assert path.read_bytes() == (finished[1] / "weights" / path.name).read_bytes()


@pytest.mark.parametrize("kind", ["run", "comparison"])
@pytest.mark.parametrize("damage", ["cut short", "altered"])
def test_a_damaged_record_is_set_aside_said_and_made_again(
    copy: tuple[Study, Path], finished: tuple[Study, Path], kind: str, damage: str
) -> None:
    study, folder = copy
    cell = next(cell for cell in study_cells(study) if cell.kind == kind)
    path = folder / "ledger" / f"{cell.stem}.json"
    whole = path.read_text(encoding="utf-8")
    if damage == "cut short":
        broken, sentence = whole[: len(whole) // 2], "is not a whole ledger file; "
    else:
        broken, sentence = whole.replace('"n": ', '"n": 1', 1), "was altered after it was written: "
    path.write_text(broken, encoding="utf-8")
    before = snapshot(folder)
    epochs, said = do(study, folder)
    assert epochs == pytest.approx(epochs_of(cell))
    assert len(said) == 1
    assert said[0].startswith(f"{path} {sentence}")
    aside = path.with_suffix(".damaged-1")
    assert said[0].endswith(f"It is now {aside.name}; {cell.id}, seed {cell.seed}, is run again.")
    assert aside.read_text(encoding="utf-8") == broken
    assert results(folder) == results(finished[1])
    changed = {name for name, state in snapshot(folder).items() if before.get(name) != state}
    weights = {f"weights/{cell.stem}.safetensors"} if kind == "run" else set()
    assert changed == {f"ledger/{path.name}", f"ledger/{aside.name}"} | weights
    assert do(study, folder) == (0, [])


def test_a_record_of_another_format_stops_the_study_and_stays(copy: tuple[Study, Path]) -> None:
    study, folder = copy
    path = folder / "ledger" / f"{run_cells(study)[0].stem}.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 1', '"format": 2'), "utf-8")
    before = snapshot(folder)
    with pytest.raises(AuditError, match="has format 2, this version of fa-audit reads 1"):
        do(study, folder)
    assert snapshot(folder) == before


@pytest.mark.parametrize("content", [b"not a checkpoint", {"epoch": 1}, {"seconds": 1.0}])
def test_a_checkpoint_that_is_none_is_set_aside_and_starts_its_run_over(
    finished: tuple[Study, Path], tmp_path: Path, content: object
) -> None:
    study, folder = finished
    checkpoint = OutputFolder(tmp_path / "out").checkpoint(run_cells(study)[0])
    checkpoint.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        checkpoint.write_bytes(content)
    else:
        torch.save(content, checkpoint)
    _, said = do(study, tmp_path / "out")
    assert len(said) == 1
    assert said[0].startswith(f"{checkpoint} cannot be gone on from (")
    assert said[0].endswith(".damaged-1, and the run starts over.")
    assert results(tmp_path / "out") == results(folder)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_checkpoint_that_cannot_be_read_for_now_stops_the_study_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    study = write_study(tmp_path)
    checkpoint = OutputFolder(tmp_path / "out").checkpoint(run_cells(study)[0])
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"an epoch's work")
    before = snapshot(tmp_path / "out")

    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    if isinstance(error, OSError):
        refuse_to_read(checkpoint, errno.ESTALE, monkeypatch)
    else:
        monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(AuditError) as refusal:
        do(study, tmp_path / "out")
    assert re.match(f"{re.escape(str(checkpoint))} {UNREADABLE % '.+'}", str(refusal.value))
    assert "\n" not in str(refusal.value)
    assert before.items() <= snapshot(tmp_path / "out").items()


@pytest.mark.parametrize(
    "damage", ["cut short", "empty", "of something else", "another run's", "without a checkpoint"]
)
def test_damaged_weights_are_set_aside_said_and_trained_again(
    copy: tuple[Study, Path], finished: tuple[Study, Path], damage: str
) -> None:
    study, folder = copy
    comparison = comparison_cells(study)[1]
    (folder / "ledger" / f"{comparison.stem}.json").unlink()
    weights = OutputFolder(folder).weights(comparison.runs[0])
    whole = weights.read_bytes()
    if damage == "without a checkpoint":
        last = {k: v for k, v in load_file(weights).items() if k.startswith("last/")}
        save_file(last, weights, metadata={"run": comparison.runs[0].hash})
    elif damage == "of something else":
        save_file({"other": torch.ones(1)}, weights)
    elif damage == "another run's":
        shutil.copy(OutputFolder(folder).weights(comparison.runs[1]), weights)
    else:
        weights.write_bytes(whole[: 1000 if damage == "cut short" else 0])
    epochs, said = do(study, folder)
    assert epochs == pytest.approx(2 + 1)  # the run, and the comparison made of it
    one = comparison.runs[0]
    assert said[0] == (
        f"{weights} does not hold weights of {one.id}, seed {one.seed}, that can be read; it is "
        f"now {weights.stem}.damaged-1, and the run is trained again."
    )
    assert len(said) == 2  # and that the run came out as recorded
    assert said[1].startswith(f"{one.id}:{one.seed} was trained again because its weights were")
    assert weights.read_bytes() == whole
    assert results(folder) == results(finished[1])


UNREADABLE = (
    r"cannot be read \(%s\) and stays as it is; mend that or remove the file, then run the "
)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ESTALE])
def test_weights_that_cannot_be_read_for_now_stop_the_study_and_stay(
    copy: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    study, folder = copy
    comparison = comparison_cells(study)[1]
    (folder / "ledger" / f"{comparison.stem}.json").unlink()
    weights, before = OutputFolder(folder).weights(comparison.runs[0]), snapshot(folder)
    refuse_to_read(weights, number, monkeypatch)
    sentence = re.escape(str(weights)) + " " + UNREADABLE % re.escape(os.strerror(number))
    with pytest.raises(AuditError, match=f"^{sentence}"):
        do(study, folder)
    assert before.items() <= snapshot(folder).items()


def test_a_folder_in_the_place_of_weights_stops_the_study_and_stays(
    copy: tuple[Study, Path],
) -> None:
    study, folder = copy
    comparison = comparison_cells(study)[1]
    (folder / "ledger" / f"{comparison.stem}.json").unlink()
    weights = OutputFolder(folder).weights(comparison.runs[0])
    weights.unlink()
    weights.mkdir()
    with pytest.raises(AuditError, match=UNREADABLE % ".*"):
        do(study, folder)
    assert weights.is_dir()


def refuse_to_read(refused: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the system refuses to read one file."""
    read = Path.read_bytes

    def read_others(path: Path) -> bytes:
        if path == refused:
            raise OSError(number, os.strerror(number), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_others)


def test_weights_that_are_damaged_once_more_stop_the_study_and_stay(
    copy: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = copy
    comparison = comparison_cells(study)[1]
    (folder / "ledger" / f"{comparison.stem}.json").unlink()
    weights = OutputFolder(folder).weights(comparison.runs[0])
    weights.write_bytes(b"damaged")
    monkeypatch.setattr(
        run, "write_weights", lambda output, cell, found: weights.write_bytes(b"once more")
    )
    with pytest.raises(AuditError, match=r"damaged once more after its run was trained again; che"):
        do(study, folder)
    assert weights.read_bytes() == b"once more"
    assert len(list(weights.parent.glob("*.damaged-*"))) == 1


def test_weights_that_another_process_set_aside_are_trained_again_too(
    copy: tuple[Study, Path], finished: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = copy
    comparison = comparison_cells(study)[1]
    (folder / "ledger" / f"{comparison.stem}.json").unlink()
    weights = OutputFolder(folder).weights(comparison.runs[0])
    possible = run._possible

    def look_then_lose(cell: Cell, output: OutputFolder) -> bool:
        found = possible(cell, output)
        if cell == comparison and found:
            weights.rename(weights.with_suffix(".damaged-1"))
            monkeypatch.setattr(run, "_possible", possible)
        return found

    monkeypatch.setattr(run, "_possible", look_then_lose)
    do(study, folder)
    assert results(folder) == results(finished[1])


# Waiting for what other processes do


def test_waiting_reads_no_record_twice_and_looks_less_and_less_often(
    copy: tuple[Study, Path], finished: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = copy
    cell = comparison_cells(study)[1]
    (folder / "ledger" / f"{cell.stem}.json").unlink()
    reads: Counter[str] = Counter()
    waits: list[float] = []

    def read(path: Path) -> Record:
        reads[path.name] += 1
        return read_record(path)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 6:
            lock.release()

    monkeypatch.setattr(ledger, "read_record", read)
    monkeypatch.setattr(time, "sleep", sleep)
    lock = FileLock(folder / "locks" / f"{cell.hash}.lock")
    lock.acquire()
    do(study, folder)
    assert waits == [0.5, 1, 2, 4, 4, 4]
    assert set(reads.values()) == {1}
    assert results(folder) == results(finished[1])


# What a study meets on its way


def test_a_diverged_run_is_recorded_and_the_study_goes_on(tmp_path: Path) -> None:
    calm = '[[configurations]]\nid = "calm"\nrule = "bp"\n'
    study = write_study(
        tmp_path,
        ("seeds = [0, 1]", "seeds = [0]"),
        ('pairs = ["fa_toeplitz~bp"]', 'pairs = ["bp~calm", "fa_toeplitz~calm"]'),
        ('rule = "bp"\n', f'rule = "bp"\nlearning_rate = 1e30\n\n{calm}'),
        ('rule = "fa_toeplitz"\n', 'rule = "fa_toeplitz"\nlearning_rate = 1e30\n'),
    )
    epochs, said = do(study, tmp_path)
    assert [sentence.split(" in epoch")[0] for sentence in said] == [
        "bp, seed 0, diverged",
        "fa_toeplitz, seed 0, diverged",
    ]
    assert epochs == pytest.approx(sum(map(epochs_of, study_cells(study))))
    status = {record.id: record.status for record in records(tmp_path).values()}
    assert status == {
        "bp": "diverged",
        "calm": "finished",
        "fa_toeplitz": "diverged",
        "bp~calm": "finished",
        "fa_toeplitz~calm": "finished",
    }
    for path in (tmp_path / "ledger").iterdir():
        assert not {"NaN", "Infinity"} & set(path.read_text(encoding="utf-8").split())
    for cell in run_cells(study):
        weights = load_file(OutputFolder(tmp_path).weights(cell))
        assert all(bool(value.isfinite().all()) for value in weights.values())
    assert do(study, tmp_path) == (0, [])


def test_a_setting_that_the_data_cannot_satisfy_stops_the_study(tmp_path: Path) -> None:
    study = write_study(tmp_path, ("batch_size = 32", "batch_size = 101"))
    with pytest.raises(AuditError, match="there are only 100 training images"):
        do(study, tmp_path)
    assert records(tmp_path) == {}


@pytest.mark.parametrize("name", ["", "ledger", "weights", "checkpoints", "locks"])
def test_a_file_where_a_folder_has_to_be_is_one_sentence(
    finished: tuple[Study, Path], tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    if name:
        out.mkdir()
    (out / name).write_text("in the way", encoding="utf-8")
    with pytest.raises(AuditError, match=r"out.* cannot be written \(.*\); choose another output"):
        do(load_study(finished[1], seeds=1), out)
    assert (out / name).read_text(encoding="utf-8") == "in the way"


def test_a_lock_that_cannot_be_opened_is_one_sentence(
    finished: tuple[Study, Path], tmp_path: Path
) -> None:
    study = load_study(finished[1], seeds=1)
    (tmp_path / "locks" / f"{run_cells(study)[0].hash}.lock").mkdir(parents=True)
    with pytest.raises(AuditError, match=r" cannot be written \(.*\); choose another output"):
        do(study, tmp_path)


# Several processes, and their deaths


def processes(job: str, study: Path, out: Path, *numbers: int) -> Any:
    """What `processes.py` prints."""
    command = [sys.executable, str(PROCESSES), job, str(study), str(out), *map(str, numbers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@needs_fork
def test_two_processes_on_one_folder_do_every_cell_exactly_once(
    finished: tuple[Study, Path], tmp_path: Path
) -> None:
    study, folder = finished
    seen = processes("together", folder, tmp_path / "out", 2)
    assert seen["ended"] == [0, 0]
    assert all(epochs > 0 for epochs in seen["epochs"])
    assert sum(seen["epochs"]) == pytest.approx(sum(map(epochs_of, study_cells(study))))
    assert results(tmp_path / "out") == results(folder)
    assert set(snapshot(tmp_path / "out")) == set(snapshot(folder)) - {"study.toml"}


@needs_fork
def test_a_study_killed_at_ten_random_moments_ends_in_the_same_ledger(tmp_path: Path) -> None:
    study = write_study(tmp_path, ("epochs = 2", "epochs = 8"), ("seeds = [0, 1]", "seeds = [0]"))
    do(study, tmp_path / "undisturbed")
    seen = processes("killed", tmp_path, tmp_path / "out", 0, 10)
    assert seen["ended"] == [-9] * 10
    assert seen["last"] == 0
    assert seen["resumed"] >= 3
    assert results(tmp_path / "out") == results(tmp_path / "undisturbed")
    for path in (tmp_path / "undisturbed" / "weights").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / "weights" / path.name).read_bytes()
    assert list((tmp_path / "out" / "checkpoints").glob("*.pt")) == []
    assert do(study, tmp_path / "out") == (0, [])
