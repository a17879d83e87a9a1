"""Run a study with several worker processes, one thread each, and one progress bar."""

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from fa_audit.data import load_dataset
from fa_audit.errors import AuditError
from fa_audit.study.inspections import require_channels
from fa_audit.study.output import OutputFolder
from fa_audit.study.process import end_with_parent, prepare_process, short_memory_said
from fa_audit.study.provenance import running_code
from fa_audit.study.run import Progress, epochs_of, open_cells, work
from fa_audit.study.spec import COST, Study
from fa_audit.training.configuration import RunConfiguration
from fa_audit.training.precision import require_device
from fa_audit.training.trainer import require_trainable, split_indices

# A worker reports its steps at most this often, in seconds.
REPORT_EVERY = 0.5


@dataclass(frozen=True)
class Execution:
    """How a study is carried out: what may change without changing any result.

    Attributes:
        output: Folder for ledger, weights and checkpoints.
        data: Folder that holds the data set; None for the default places.
        device: "cpu", "cuda" or "auto": CUDA where there is one.
        workers: Processes; each takes the next free cell. None: on the CPU one per core that may
            be used, one on CUDA.
        replicas: How many runs of one rule each process may train as one program. Results differ by
            the rounding of sums. None: 1 on the CPU, where it is slower, 10 on CUDA.
        threads: Threads of each process. Sums are ordered by it, so results are the same bit for
            bit only for the same number.
    """

    output: Path
    data: Path | None = None
    device: str = "auto"
    workers: int | None = None
    replicas: int | None = None
    threads: int = 1

    def torch_device(self) -> torch.device:
        """The device meant.

        Raises:
            AuditError: CUDA was asked for and is not there.
        """
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise AuditError(
                "device is cuda, but no CUDA device is available here; use cpu or auto"
            )
        return torch.device("cuda" if available and self.device != "cpu" else "cpu")


def run_study(study: Study, execution: Execution) -> None:
    """Do every open cell of the study.

    Shows progress on standard error: epochs done, rate and time left. May be stopped at any time;
    the same call goes on where it was.

    Raises:
        AuditError: The data cannot be had, a setting does not fit it or the device, memory is
            short, a folder cannot be written, a file cannot be read for now, or workers died.
    """
    device = execution.torch_device()
    output = OutputFolder(execution.output)
    pending = open_cells(study, output)
    if not pending:
        return
    output.require_writable()
    _check(study, execution, device)
    count = execution.workers or (1 if device.type == "cuda" else _cores())
    context = multiprocessing.get_context("spawn")
    reports: Any = context.Queue()
    workers: list[BaseProcess] = [
        context.Process(target=_worker, args=(study, execution, reports), daemon=True)
        for _ in range(min(count, len(pending)))
    ]
    # A log file gets a line now and then, a terminal a moving bar.
    interval = 0.1 if sys.stderr.isatty() else 30.0
    total = sum(map(epochs_of, pending))
    bar = tqdm(
        total=total,
        desc=study.name,
        unit="epoch",
        mininterval=interval,
        bar_format="{desc} {percentage:3.0f}% |{bar}| {n:.1f}/{total} epochs "
        "[{elapsed} < {remaining}, {rate_fmt}]",
    )
    try:
        with _interrupts_ignored():  # as the workers do from birth; the parent ends them
            _start(workers)
        with bar:
            _follow(workers, reports, bar, total)
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
            if worker.pid is not None:
                worker.join()
    left = open_cells(study, output)
    if left:
        codes = ", ".join(str(worker.exitcode) for worker in workers)
        raise AuditError(
            f"{len(left)} cells are not done because workers died (exit codes {codes}); "
            "run the same command again, with fewer workers if memory was short"
        )


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C for a moment, where signals can be dealt with at all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        try:
            worker.start()
        except OSError as error:
            raise AuditError(
                f"of {len(workers)} workers not all can be started ({error.strerror}); use fewer "
                "with --workers"
            ) from error


def _cores() -> int:
    """The cores that this process may use: containers and batch systems may leave it a few."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check(study: Study, execution: Execution, device: torch.device) -> None:
    """Let what cannot be run fail here, once and at once, and not when its turn comes."""
    with short_memory_said():
        dataset = load_dataset(study.data.name, execution.data, **study.data.sizes)
        for id, run in _one_run_each(study).items():
            with _place_said(f"study.toml: configuration {id!r}"):
                require_device(run.training.precision, device)
                split_indices(run, dataset)
                require_trainable(run, dataset)
        with _place_said("study.toml"):
            require_channels(study, dataset)


def _one_run_each(study: Study) -> dict[str, RunConfiguration]:
    """By id, a run of every configuration that is trained or whose cost is measured."""
    runs = {id: next(iter(by_seed.values())) for id, by_seed in study.configurations.items()}
    for id, pairs in study.costs.items():
        for pair in pairs.values():
            runs.setdefault(id.removesuffix(COST), pair.run)
            runs.setdefault(study.cost.reference, pair.reference)
    return runs


@contextmanager
def _place_said(place: str) -> Iterator[None]:
    """Say where the setting stands that is refused."""
    try:
        yield
    except AuditError as error:
        raise AuditError(f"{place}: {error}") from error


def _follow(workers: list[BaseProcess], reports: Any, bar: "tqdm[Any]", total: float) -> None:
    """Show what the workers report until all have ended."""
    while True:
        alive = any(worker.is_alive() for worker in workers)
        try:
            kind, content = reports.get(timeout=0.2)
        except queue.Empty:
            if not alive:
                return
            continue
        if kind == "advance":
            bar.update(min(content, total - bar.n))
        elif kind == "say":
            bar.write(content, file=sys.stderr)
        elif kind == "mistake":
            raise AuditError(content)
        else:
            raise RuntimeError(f"a worker failed:\n{content}")


def _worker(study: Study, execution: Execution, reports: Any) -> None:
    end_with_parent()
    prepare_process(execution.threads)
    running_code()
    try:
        with short_memory_said():
            dataset = load_dataset(study.data.name, execution.data, **study.data.sizes)
            advance, flush = _throttled(lambda epochs: reports.put(("advance", epochs)))
            progress = Progress(advance, lambda sentence: reports.put(("say", sentence)))
            device = execution.torch_device()
            replicas = execution.replicas or (10 if device.type == "cuda" else 1)
            work(study, OutputFolder(execution.output), dataset, device, progress, replicas)
            flush()
    except KeyboardInterrupt:
        pass  # the parent was interrupted too, and says so
    except AuditError as error:
        reports.put(("mistake", str(error)))
    except BaseException:
        reports.put(("failure", traceback.format_exc()))


def _throttled(
    send: Callable[[float], None],
) -> tuple[Callable[[float], None], Callable[[], None]]:
    """`send`, but with many small amounts gathered into few; and a function that sends the rest."""
    gathered, sent = 0.0, time.monotonic()

    def flush() -> None:
        nonlocal gathered, sent
        send(gathered)
        gathered, sent = 0.0, time.monotonic()

    def add(amount: float) -> None:
        nonlocal gathered
        gathered += amount
        if time.monotonic() - sent > REPORT_EVERY:
            flush()

    return add, flush
