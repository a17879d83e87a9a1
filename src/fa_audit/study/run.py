"""Work through a study's cells: each once, by any number of processes, stopped and resumed at will.

A process takes a cell by locking a file named after the cell's hash; the operating system drops the
lock when the process ends, however it ends. Whoever holds the lock looks at the ledger once more
before starting. A run saves its state after every epoch and goes on from there next time. Of the
comparisons of one seed a process takes all that are free and can be made now, and of runs that can
be trained as one program as many as it may. Weights that are damaged are set aside, and their run
becomes one that still needs work.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from filelock import BaseFileLock, Timeout
from torch import Tensor

from fa_audit.data import Dataset
from fa_audit.hashing import content_hash
from fa_audit.study.agreement import agreement
from fa_audit.study.cells import Cell, ChannelCell, ComparisonCell, CostCell, RunCell, study_cells
from fa_audit.study.checkpoint_file import BrokenStateError, resume
from fa_audit.study.comparisons import comparison_measurements
from fa_audit.study.costs import cost_measurements
from fa_audit.study.files import write_atomically
from fa_audit.study.inspections import channel_measurements
from fa_audit.study.ledger import Record
from fa_audit.study.output import OutputFolder
from fa_audit.study.process import release_memory
from fa_audit.study.provenance import provenance
from fa_audit.study.results import Measurements, run_measurements, run_series
from fa_audit.study.spec import Study
from fa_audit.study.weights_file import DamagedWeightsError, load_weights, write_weights
from fa_audit.training.precision import products_in
from fa_audit.training.replicas import Replicas, kinship
from fa_audit.training.trainer import Trainer, subnormals_flushed

# What a cell that is not a run counts for in the progress bar, in epochs.
EPOCHS_OF = {ComparisonCell: 1.0, ChannelCell: 0.5, CostCell: 0.5}

# Seconds until the next look at cells that other processes hold, doubled from look to look.
PATIENCE, LONGEST_PATIENCE = 0.5, 4.0


@dataclass(frozen=True)
class Progress:
    """Where news of the work goes.

    Attributes:
        advance: Called with the epochs' worth of work just done; negative when a run starts over.
        say: Called with a sentence for the user.
    """

    advance: Callable[[float], None] = lambda epochs: None
    say: Callable[[str], None] = lambda sentence: None


def open_cells(study: Study, output: OutputFolder) -> list[Cell]:
    """The cells that still need work, in order.

    A run whose record is there but whose weights are not is trained again only where a measurement
    that is still to be made needs them.
    """
    return _open(list(study_cells(study)), output)


def _open(cells: Sequence[Cell], output: OutputFolder) -> list[Cell]:
    """Those of the cells that still need work."""
    missing = {cell.hash for cell in cells if not output.has(cell)}
    needed = {
        run.hash
        for cell in cells
        if not isinstance(cell, RunCell) and cell.hash in missing
        for run in cell.runs
    }
    return [
        cell
        for cell in cells
        if cell.hash in missing
        or (isinstance(cell, RunCell) and cell.hash in needed and not output.weights(cell).exists())
    ]


def epochs_of(cell: Cell) -> float:
    """How much a cell counts for in the progress bar."""
    return cell.run.training.epochs if isinstance(cell, RunCell) else EPOCHS_OF[type(cell)]


def work(
    study: Study,
    output: OutputFolder,
    dataset: Dataset,
    device: torch.device,
    progress: Progress,
    replicas: int = 1,
) -> None:
    """Do open cells until none is left; returns when all are done, here or by others.

    Args:
        study: What is to be done.
        output: Where results go.
        dataset: The study's images.
        device: Where to compute.
        progress: Where news goes.
        replicas: How many runs of one rule may be trained as one program.

    Raises:
        AuditError: A setting that the data cannot satisfy, a file that cannot be read for now, or
            a folder that cannot be written.
    """
    cells = list(study_cells(study))
    patience = PATIENCE
    while pending := _open(cells, output):
        if any(_try(job, output, dataset, device, progress) for job in _jobs(pending, replicas)):
            patience = PATIENCE
        else:  # all that can be done now is being done by others
            time.sleep(patience)
            patience = min(2 * patience, LONGEST_PATIENCE)


def _jobs(cells: Sequence[Cell], replicas: int) -> list[list[Cell]]:
    """What is done together, first things first.

    Comparisons of one seed share one pass over the images; up to `replicas` runs that differ in
    little more than their seeds are trained as one program.
    """
    jobs: list[list[Cell]] = []
    unfilled: dict[str | int, list[Cell]] = {}
    for cell in cells:
        together = _together(cell, replicas)
        job = None if together is None else unfilled.get(together)
        if job is None or (isinstance(cell, RunCell) and len(job) == replicas):
            jobs.append(job := [])
        job.append(cell)
        if together is not None:
            unfilled[together] = job
    return jobs


def _together(cell: Cell, replicas: int) -> str | int | None:
    """Cells of which this says the same can be done together; None for a cell that is alone."""
    if isinstance(cell, ComparisonCell):
        return cell.seed
    if not isinstance(cell, RunCell) or replicas == 1:
        return None
    kin = kinship(cell.run)
    return None if kin is None else content_hash(kin)


def _try(
    job: Sequence[Cell],
    output: OutputFolder,
    dataset: Dataset,
    device: torch.device,
    progress: Progress,
) -> bool:
    """Do the cells of a job that are free and have what they need; whether there were any."""
    with ExitStack() as held:
        locks: list[BaseFileLock] = []
        todo: list[Cell] = []
        for cell in job:
            if not _possible(cell, output):
                continue
            try:
                locks.append(held.enter_context(output.locked(cell)))
            except Timeout:
                continue
            output.set_damaged_aside(cell, progress.say)
            recorded = output.find(cell) is not None
            if not recorded or (isinstance(cell, RunCell) and not output.weights(cell).exists()):
                todo.append(cell)
        if runs := [cell for cell in todo if isinstance(cell, RunCell)]:
            _run(runs, output, dataset, device, progress)
        try:
            if comparisons := [cell for cell in todo if isinstance(cell, ComparisonCell)]:
                _compare(comparisons, output, dataset, device, progress)
            for cell in todo:
                if isinstance(cell, ChannelCell | CostCell):
                    _measure(cell, output, dataset, device, progress)
        except DamagedWeightsError as error:
            progress.say(str(error))  # its run is open now, and then these cells
        # Whoever locks the same paths from now on finds the records first.
        for lock in locks:
            Path(lock.lock_file).unlink(missing_ok=True)
    release_memory()
    return bool(locks)


def _possible(cell: Cell, output: OutputFolder) -> bool:
    """Whether all the runs that a cell needs have ended."""
    return isinstance(cell, RunCell) or all(
        output.weights(run).exists() and output.has(run) for run in cell.runs
    )


def _run(
    cells: Sequence[RunCell],
    output: OutputFolder,
    dataset: Dataset,
    device: torch.device,
    progress: Progress,
) -> None:
    """Train runs to their ends, those that are equally far as one program, and record them."""
    going = [_Going.start(cell, output, dataset, device, progress) for cell in cells]
    with subnormals_flushed():
        while training := [run for run in going if run.trainer.status == "training"]:
            least = min(run.trainer.epoch for run in training)
            _train_epoch([run for run in training if run.trainer.epoch == least], output, progress)
        for run in going:
            if run.trainer.status == "diverged":
                progress.say(
                    f"{run.cell.id}, seed {run.cell.seed}, diverged in epoch {run.trainer.epoch}; "
                    "recorded as such."
                )
                progress.advance(run.cell.run.training.epochs - run.trainer.epoch)
            origin = provenance(dataset, device, run.seconds, replicas=len(cells))
            _keep(run.cell, run.trainer, origin, output, progress)


@dataclass
class _Going:
    """A run in progress, and the seconds spent on it so far."""

    cell: RunCell
    trainer: Trainer
    seconds: float

    @classmethod
    def start(
        cls,
        cell: RunCell,
        output: OutputFolder,
        dataset: Dataset,
        device: torch.device,
        progress: Progress,
    ) -> Self:
        """Begin, or go on from a checkpoint where there is a whole one."""
        start = time.monotonic()
        trainer, before = Trainer(cell.run, dataset, device), 0.0
        try:
            before = resume(trainer, output.checkpoint(cell))
            progress.advance(trainer.epoch)
        except BrokenStateError as error:
            progress.say(str(error))
            trainer = Trainer(cell.run, dataset, device)
        return cls(cell, trainer, before + time.monotonic() - start)


def _train_epoch(group: Sequence[_Going], output: OutputFolder, progress: Progress) -> None:
    """Train runs that are equally far for one epoch, as one program, and save their states."""
    start = time.monotonic()
    trainers = [run.trainer for run in group]
    program = trainers[0] if len(group) == 1 else Replicas(trainers)
    share = len(group) / trainers[0].steps_per_epoch
    program.train_epoch(lambda: progress.advance(share))
    for run in group:
        run.seconds += (time.monotonic() - start) / len(group)
        state = {**run.trainer.state_dict(), "seconds": run.seconds}
        write_atomically(output.checkpoint(run.cell), partial(torch.save, state))


def _keep(
    cell: RunCell,
    trainer: Trainer,
    origin: dict[str, Any],
    output: OutputFolder,
    progress: Progress,
) -> None:
    """Measure a run that has ended, and write its weights and its record; a record stays."""
    with products_in("float32"):
        measurements = run_measurements(trainer)
    write_weights(output, cell, trainer.weights)
    recorded = output.find(cell)
    if recorded is not None:
        progress.say(
            f"{cell.id}:{cell.seed} was trained again because its weights were missing: "
            f"{agreement(recorded, measurements, origin)}."
        )
    else:
        _record(cell, measurements, run_series(trainer), origin, output, trainer.status)
    output.checkpoint(cell).unlink(missing_ok=True)


def _compare(
    cells: Sequence[ComparisonCell],
    output: OutputFolder,
    dataset: Dataset,
    device: torch.device,
    progress: Progress,
) -> None:
    """Make comparisons of one seed in one pass; each is recorded with its share of the time."""
    start = time.monotonic()

    def weights_of(run: RunCell) -> dict[str, Tensor]:
        return load_weights(output, run, cells[0].settings.checkpoint)

    with products_in("float32"):
        found = comparison_measurements(cells, dataset, weights_of, device)
    seconds = (time.monotonic() - start) / len(cells)
    for cell, measurements in zip(cells, found, strict=True):
        origin = provenance(dataset, device, seconds)
        _record(cell, measurements, {}, origin, output)
        progress.advance(epochs_of(cell))


def _measure(
    cell: ChannelCell | CostCell,
    output: OutputFolder,
    dataset: Dataset,
    device: torch.device,
    progress: Progress,
) -> None:
    """Look at the channels of one network, or at the cost of one rule, and record it."""
    start = time.monotonic()
    series: dict[str, Any] = {}
    if isinstance(cell, ChannelCell):

        def weights_of(run: RunCell) -> dict[str, Tensor]:
            return load_weights(output, run, cell.checkpoint)

        with products_in("float32"):
            measurements, series = channel_measurements(cell, dataset, weights_of, device)
    else:
        measurements = cost_measurements(cell, dataset, device)
    origin = provenance(dataset, device, time.monotonic() - start)
    _record(cell, measurements, series, origin, output)
    progress.advance(epochs_of(cell))


def _record(
    cell: Cell,
    measurements: Measurements,
    series: dict[str, Any],
    origin: dict[str, Any],
    output: OutputFolder,
    status: str = "finished",
) -> None:
    output.ledger.write(
        Record(
            kind=cell.kind,
            id=cell.id,
            seed=cell.seed,
            hash=cell.hash,
            configuration=cell.configuration,
            status=status,
            measurements=measurements,
            series=series,
            provenance=origin,
        )
    )
