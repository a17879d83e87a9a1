"""Files that are either whole or not there."""

import os
from collections.abc import Callable
from pathlib import Path

from fa_audit.errors import AuditError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a temporary file beside `path`, then put it in `path`'s place in one step.

    A reader, or a process started after a crash, sees the old content or the new, never a part.

    Raises:
        AuditError: The folder or the file cannot be written; says which and why.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
        raise AuditError(
            f"{path} cannot be written ({error.strerror or error}); choose another output folder "
            "or make room there"
        ) from error
