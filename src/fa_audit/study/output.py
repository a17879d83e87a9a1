"""Where a study keeps what it makes: records, weights, states of runs in progress, and locks."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from fa_audit.errors import AuditError
from fa_audit.study.cells import Cell, RunCell
from fa_audit.study.files import set_aside
from fa_audit.study.ledger import DamagedRecordError, Ledger, Record


class OutputFolder:
    """A study's files: ledger/, to keep and commit; beside it weights/, checkpoints/ and locks/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "ledger")
        self._seen_whole: set[str] = set()
        self._set_aside: set[Path] = set()

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

    def has(self, cell: Cell) -> bool:
        """Whether a cell has a whole record. Records never change: one seen is not read again."""
        if cell.stem not in self._seen_whole and self.find(cell) is not None:
            self._seen_whole.add(cell.stem)
        return cell.stem in self._seen_whole

    def set_weights_aside(self, cell: RunCell) -> Path:
        """Rename damaged weights so that their run is trained again; returns the new path.

        Raises:
            FileNotFoundError: They are gone.
            AuditError: It would be the second time, and a third might follow.
        """
        path = self.weights(cell)
        if path in self._set_aside and path.exists():
            raise AuditError(
                f"{path} is damaged once more after its run was trained again; check the disk, "
                "or choose another output folder"
            )
        aside = set_aside(path)
        self._set_aside.add(path)
        return aside

    def set_damaged_aside(self, cell: Cell, say: Callable[[str], None]) -> None:
        """Move a damaged record out of the way and say so; only under the cell's lock."""
        try:
            self.ledger.find(cell.id, cell.seed, cell.hash)
        except DamagedRecordError as damage:
            aside = self.ledger.set_aside(cell.id, cell.seed, cell.hash)
            say(f"{damage}. It is now {aside.name}; {cell.id}, seed {cell.seed}, is run again.")
