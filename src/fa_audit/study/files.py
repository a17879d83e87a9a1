"""Files that are either whole or not there."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

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
        with temporary.open("r+b") as file:  # Windows flushes only what may be written
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError | RuntimeError | SafetensorError):
            raise  # such as an interrupt
        raise AuditError(
            f"{path} cannot be written ({reason(error)}); choose another output folder or make "
            "room there"
        ) from error


def unreadable(path: Path, error: BaseException) -> AuditError:
    """What to raise for a file that may well be whole, and so stays where it is."""
    return AuditError(
        f"{path} cannot be read ({reason(error)}) and stays as it is; mend that or remove the "
        "file, then run the same command again"
    )


def set_aside(path: Path) -> Path:
    """Rename a damaged file or folder so that it can be made again; returns the new path.

    Raises:
        FileNotFoundError: It is gone.
        AuditError: It cannot be renamed.
    """
    number = 1
    try:
        while (aside := path.with_suffix(f".damaged-{number}")).exists():
            number += 1
        path.rename(aside)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise AuditError(
            f"{path} is damaged and cannot be renamed ({reason(error)}); remove it, then run the "
            "same command again"
        ) from error
    return aside


def reason(error: BaseException) -> str:
    """What the system, torch or safetensors say went wrong, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__
