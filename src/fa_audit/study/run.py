"""Work through a study's cells: each once, by any number of processes, stopped and resumed at will.

A process takes a cell by locking a file named after the cell's hash; the operating system drops the
lock when the process ends, however it ends. Whoever holds the lock looks at the ledger once more
before starting. A run saves its state after every epoch and goes on from there next time.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from filelock import BaseFileLock, FileLock, Timeout
from safetensors.torch import load_file, save_file
from torch import Tensor

from fa_audit.data import Dataset
from fa_audit.errors import AuditError
from fa_audit.study.cells import Cell, ComparisonCell, RunCell, study_cells
from fa_audit.study.files import write_atomically
from fa_audit.study.ledger import DamagedRecordError, Ledger, Record
from fa_audit.study.process import release_memory
from fa_audit.study.provenance import provenance
from fa_audit.study.results import comparison_measurements, run_measurements
from fa_audit.study.spec import Study
from fa_audit.training.trainer import CHECKPOINTS, Trainer, subnormals_flushed

# What a comparison counts for in the progress bar, in epochs.
COMPARISON_EPOCHS = 1.0

# Seconds between looks at cells that other processes hold.
PATIENCE = 0.5


@dataclass(frozen=True)
class Progress:
    """Where news of the work goes.

    Attributes:
        advance: Called with the epochs' worth of work just done; negative when a run starts over.
        say: Called with a sentence for the user.
    """

    advance: Callable[[float], None] = lambda epochs: None
    say: Callable[[str], None] = lambda sentence: None


class OutputFolder:
    """A study's files: ledger/, to keep and commit; beside it weights/, checkpoints/ and locks/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "ledger")

    def require_writable(self) -> None:
        """Find out now, and not after the first epoch, whether results can be kept.

        Raises:
            AuditError: The folder cannot be made or written.
        """
        try:
            self.ledger.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.ledger.folder):
                pass
        except OSError as error:
            raise self._not_writable(error) from error

    def _not_writable(self, error: OSError) -> AuditError:
        return AuditError(
            f"{self.folder} cannot be written ({error.strerror}); choose another output folder"
        )

    def weights(self, cell: RunCell) -> Path:
        """Parameters of a run at both checkpoints, in one file."""
        return self.folder / "weights" / f"{cell.stem}.safetensors"

    def checkpoint(self, cell: RunCell) -> Path:
        """The state of a run in progress."""
        return self.folder / "checkpoints" / f"{cell.stem}.pt"

    def locked(self, cell: Cell) -> AbstractContextManager[BaseFileLock]:
        """Take the lock under which a cell is worked on, until the end of the block.

        Raises:
            Timeout: Another process has it.
            AuditError: The lock cannot be made or opened.
        """
        path = self.folder / "locks" / f"{cell.hash}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return FileLock(path, timeout=0).acquire()
        except Timeout:
            raise
        except OSError as error:
            raise self._not_writable(error) from error

    def find(self, cell: Cell) -> Record | None:
        """A cell's record; a damaged one counts as none."""
        try:
            return self.ledger.find(cell.id, cell.seed, cell.hash)
        except DamagedRecordError:
            return None

    def set_damaged_aside(self, cell: Cell, say: Callable[[str], None]) -> None:
        """Move a damaged record out of the way and say so; only under the cell's lock."""
        try:
            self.ledger.find(cell.id, cell.seed, cell.hash)
        except DamagedRecordError as damage:
            aside = self.ledger.set_aside(cell.id, cell.seed, cell.hash)
            say(f"{damage}. It is now {aside.name}; {cell.id}, seed {cell.seed}, is run again.")


def open_cells(study: Study, output: OutputFolder) -> list[Cell]:
    """The cells that still need work, in order.

    A run whose record is there but whose weights are not is trained again only where a comparison
    that is still to be made needs them.
    """
    cells = list(study_cells(study))
    missing = {cell.hash for cell in cells if output.find(cell) is None}
    needed = {
        run.hash
        for cell in cells
        if isinstance(cell, ComparisonCell) and cell.hash in missing
        for run in (cell.rows, cell.columns)
    }
    return [
        cell
        for cell in cells
        if cell.hash in missing
        or (isinstance(cell, RunCell) and cell.hash in needed and not output.weights(cell).exists())
    ]


def epochs_of(cell: Cell) -> float:
    """How much a cell counts for in the progress bar."""
    return cell.run.training.epochs if isinstance(cell, RunCell) else COMPARISON_EPOCHS


def work(
    study: Study,
    output: OutputFolder,
    dataset: Dataset,
    device: torch.device,
    progress: Progress,
) -> None:
    """Do open cells until none is left; returns when all are done, here or by others.

    Raises:
        AuditError: A setting that the data cannot satisfy, or a folder that cannot be written.
    """
    while pending := open_cells(study, output):
        if not any(_try_cell(cell, output, dataset, device, progress) for cell in pending):
            time.sleep(PATIENCE)  # all that can be done now is being done by others


def _try_cell(
    cell: Cell, output: OutputFolder, dataset: Dataset, device: torch.device, progress: Progress
) -> bool:
    """Do one cell if it is free and what it needs is there; whether it was done."""
    if isinstance(cell, ComparisonCell) and not all(
        output.weights(run).exists() and output.find(run) for run in (cell.rows, cell.columns)
    ):
        return False
    try:
        with output.locked(cell) as lock:
            output.set_damaged_aside(cell, progress.say)
            done = output.find(cell) is not None
            if isinstance(cell, RunCell):
                if not (done and output.weights(cell).exists()):
                    _run(cell, output, dataset, device, progress)
            elif not done:
                _compare(cell, output, dataset, device, progress)
            # Whoever locks the same path from now on finds the record first.
            Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout:
        return False
    release_memory()
    return True


def _run(
    cell: RunCell, output: OutputFolder, dataset: Dataset, device: torch.device, progress: Progress
) -> None:
    start = time.monotonic()
    trainer = Trainer(cell.run, dataset, device)
    checkpoint = output.checkpoint(cell)
    before = _resume(trainer, checkpoint, progress)
    with subnormals_flushed():
        while trainer.status == "training":
            trainer.train_epoch(lambda: progress.advance(1 / trainer.steps_per_epoch))
            spent = before + time.monotonic() - start
            save = partial(torch.save, {**trainer.state_dict(), "seconds": spent})
            write_atomically(checkpoint, save)
        if trainer.status == "diverged":
            progress.say(
                f"{cell.id}, seed {cell.seed}, diverged in epoch {trainer.epoch}; recorded as such."
            )
            progress.advance(cell.run.training.epochs - trainer.epoch)
        measurements = run_measurements(trainer)
    both = {  # each tensor its own, row by row: what safetensors takes
        f"{checkpoint}/{name}": tensor.clone(memory_format=torch.contiguous_format)
        for checkpoint in CHECKPOINTS
        for name, tensor in trainer.weights[checkpoint].items()
    }
    write_atomically(output.weights(cell), lambda file: save_file(both, file))
    if output.find(cell) is None:
        output.ledger.write(
            Record(
                kind=cell.kind,
                id=cell.id,
                seed=cell.seed,
                hash=cell.hash,
                configuration=cell.configuration,
                status=trainer.status,
                measurements=measurements,
                series={"epoch": trainer.history, "probe": trainer.probe.series},
                provenance=provenance(dataset, device, before + time.monotonic() - start),
            )
        )
    checkpoint.unlink(missing_ok=True)


def _resume(trainer: Trainer, checkpoint: Path, progress: Progress) -> float:
    """Go on from a checkpoint where there is a whole one; the seconds already spent."""
    if not checkpoint.exists():
        return 0.0
    try:
        state = torch.load(checkpoint, weights_only=True, map_location=trainer.device)
    except Exception as error:  # torch.load promises no particular exception for a broken file
        progress.say(f"{checkpoint} cannot be read ({type(error).__name__}); its run starts over.")
        return 0.0
    trainer.load_state_dict(state)
    progress.advance(trainer.epoch)
    return float(state["seconds"])


def load_weights(path: Path, checkpoint: str) -> dict[str, Tensor]:
    """A run's parameters at "best-validation" or "last"."""
    prefix = f"{checkpoint}/"
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in load_file(path).items()
        if name.startswith(prefix)
    }


def _compare(
    cell: ComparisonCell,
    output: OutputFolder,
    dataset: Dataset,
    device: torch.device,
    progress: Progress,
) -> None:
    start = time.monotonic()
    rows, columns = (
        load_weights(output.weights(run), cell.settings.checkpoint)
        for run in (cell.rows, cell.columns)
    )
    measurements = comparison_measurements(cell, dataset, rows, columns, device)
    output.ledger.write(
        Record(
            kind=cell.kind,
            id=cell.id,
            seed=cell.seed,
            hash=cell.hash,
            configuration=cell.configuration,
            status="finished",
            measurements=measurements,
            provenance=provenance(dataset, device, time.monotonic() - start),
        )
    )
    progress.advance(COMPARISON_EPOCHS)
