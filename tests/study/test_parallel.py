import contextlib
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from fa_audit.errors import AuditError
from fa_audit.study import parallel
from fa_audit.study.ledger import Ledger
from fa_audit.study.output import OutputFolder
from fa_audit.study.parallel import Execution, _throttled, _worker, run_study
from fa_audit.study.selection import select
from fa_audit.study.spec import Study
from study.tiny import results, run_cells, snapshot, write_study

PATIENCE = 240  # seconds until a test gives up waiting for another process


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_workers_do_what_one_process_does_also_after_workers_died(
    finished: tuple[Study, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, folder = finished
    out = tmp_path / "out"

    def kill_workers() -> None:
        wait_for(lambda: list((out / "ledger").glob("*.json")))
        for child in multiprocessing.active_children():
            child.kill()

    killer = threading.Thread(target=kill_workers)
    killer.start()
    with pytest.raises(
        AuditError, match=r"^[1-5] cells are not done because workers died \(exit codes -9\); "
    ):
        run_study(study, Execution(output=out, device="cpu", workers=1))
    killer.join()
    run_study(study, Execution(output=out, device="cpu", workers=2))
    assert results(out) == results(folder)
    assert multiprocessing.active_children() == []
    progress = capsys.readouterr().err
    assert "tiny" in progress
    assert " epochs [" in progress
    before = snapshot(out)
    run_study(study, Execution(output=out, device="cpu"))
    assert snapshot(out) == before
    assert capsys.readouterr().err == ""


def test_a_killed_command_takes_its_workers_with_it(tmp_path: Path) -> None:
    study = write_study(tmp_path, ("epochs = 2", "epochs = 2000"))
    output, first = OutputFolder(tmp_path / "out"), run_cells(study)[0]
    script = Path(__file__).parent / "processes.py"
    command = subprocess.Popen(
        [sys.executable, str(script), "command", str(tmp_path), str(output.folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(output.checkpoint(first).exists)
        command.kill()
        command.wait()
        # Free within ten seconds, or Timeout: a worker that goes on keeps its lock to the end.
        with FileLock(output.folder / "locks" / f"{first.hash}.lock", timeout=10):
            assert output.find(first) is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
        command.wait()


SHAPES = 'name = "shapes"\nvalidation = 60\ntrain = 160\ntest = 50'


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "validation = 60",
            "validation = 160",
            "study.toml: configuration 'bp': 160 of 160 training images cannot be set aside",
        ),
        (
            "batch_size = 32",
            "batch_size = 101",
            "study.toml: configuration 'bp': batch_size is 101, but there are only 100 training",
        ),
        ("train = 160", "train = 5", "shapes with 5 train images cannot show every class"),
        (SHAPES, 'name = "cifar10"\nvalidation = 60', "The data folder"),
        (
            'rule = "fa_toeplitz"\n',
            'rule = "fa_toeplitz"\ntrained_layers = ["nope"]\n',
            "study.toml: configuration 'fa_toeplitz': trained_layers names 'nope', which is no "
            "layer with weights",
        ),
        (
            "test = 50\n",
            "test = 50\ncrop = 4\n",
            "study.toml: configuration 'bp': images of 4 × 4 do not fit architecture1 (",
        ),
        (
            'rule = "fa_toeplitz"\n',
            'rule = "fa_toeplitz"\nprecision = "tf32"\n',
            "study.toml: configuration 'fa_toeplitz': precision is 'tf32', which only CUDA devices",
        ),
        (
            'pairs = ["fa_toeplitz~bp"]\n',
            'pairs = []\n\n[channels]\nof = ["bp"]\nclass = "nope"\n',
            "study.toml: [channels] names the class 'nope'",
        ),
        # More bytes than any computer can address.
        ("train = 160", f"train = {10**14}", "memory was short ("),
    ],
)
def test_what_the_data_cannot_satisfy_is_said_before_any_worker_starts(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    study = write_study(tmp_path / "study", (old, new))
    execution = Execution(output=tmp_path / "out", data=tmp_path / "nowhere", device="cpu")
    with pytest.raises(AuditError) as refusal:
        run_study(study, execution)
    assert str(refusal.value).startswith(sentence)
    assert Ledger(tmp_path / "out" / "ledger").folder.is_dir()
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_an_output_folder_that_cannot_be_written_is_said_before_any_worker_starts(
    finished: tuple[Study, Path], tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("in the way", encoding="utf-8")
    with pytest.raises(AuditError, match=r"out cannot be written \(.*\); choose another output"):
        run_study(finished[0], Execution(output=tmp_path / "out", device="cpu"))


def test_a_device_that_is_not_there_is_refused_and_auto_takes_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def device(name: str) -> str:
        return Execution(output=Path(), device=name).torch_device().type

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device("auto") == device("cpu") == "cpu"
    with pytest.raises(
        AuditError, match=r"^device is cuda, but no CUDA device is available here; "
    ):
        device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device("auto") == device("cuda") == "cuda"
    assert device("cpu") == "cpu"


def test_many_small_reports_are_gathered_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    now, sent = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    add, flush = _throttled(sent.append)
    for _ in range(100):
        now[0] += 0.02
        add(0.25)
    flush()
    assert sum(sent) == 25
    assert len(sent) <= 5  # two seconds, one report every half second, and the rest


def test_workers_that_cannot_be_started_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", refuse)
    study = write_study(tmp_path / "study")
    with pytest.raises(AuditError, match=r"not all can be started \(Too many open files\); use fe"):
        run_study(study, Execution(output=tmp_path / "out", device="cpu", workers=2))


def test_what_a_measured_cost_cannot_satisfy_is_said_before_any_worker_starts(
    tmp_path: Path,
) -> None:
    cost = '[cost]\nof = ["fa_toeplitz"]\n\n[comparison]'
    study = write_study(
        tmp_path / "study",
        ("[comparison]", cost),
        ('rule = "fa_toeplitz"\n', 'rule = "fa_toeplitz"\nprecision = "tf32"\n'),
    )
    only = select(study, ["fa_toeplitz.cost:0"])
    with pytest.raises(
        AuditError, match=r"^study.toml: configuration 'fa_toeplitz': precision is 'tf32'"
    ):
        run_study(only, Execution(output=tmp_path / "out", device="cpu"))


def test_a_worker_that_is_short_of_memory_says_so_in_one_sentence(
    finished: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")

    monkeypatch.setattr(parallel, "work", fail)
    monkeypatch.setattr(parallel, "prepare_process", lambda threads: None)
    reports: queue.Queue[tuple[str, str]] = queue.Queue()
    _worker(finished[0], Execution(output=finished[1], device="cpu"), reports)
    assert reports.get_nowait() == (
        "mistake",
        "memory was short (CUDA out of memory. Tried to allocate 2.00 GiB.); run the same command "
        "again with fewer images, workers or replicas",
    )
    assert reports.empty()


@pytest.mark.parametrize(("allowed", "started"), [({3}, 1), ({1, 5}, 2), (None, 3)])
def test_there_is_one_worker_per_core_that_the_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: set[int] | None, started: int
) -> None:
    counted: list[int] = []

    def count(workers: Sequence[Any]) -> None:
        counted.append(len(workers))
        raise AuditError("counted")

    monkeypatch.setattr(parallel, "_start", count)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    if allowed is None:  # a system that does not tell
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: allowed, raising=False)
    study = write_study(tmp_path / "study")
    with pytest.raises(AuditError, match="counted"):
        run_study(study, Execution(output=tmp_path / "out", device="cpu"))
    assert counted == [started]
