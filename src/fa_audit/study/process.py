"""What a worker process does about threads, memory and the end of its parent."""

import ctypes
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fa_audit.errors import AuditError
from fa_audit.study.files import reason

# glibc's numbers for the settings of mallopt.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def prepare_process(threads: int) -> None:
    """Use `threads` threads and keep freed memory for the next step.

    glibc returns large freed blocks to the system, and the next training step has the same blocks
    cleared and mapped again: 8,000 page faults and a fifth of the time of each step of the
    five-layer network. Blocks up to 32 MB, 256 MB in all, now stay with the process. No result
    depends on it.
    """
    torch.set_num_threads(threads)
    _glibc("mallopt", _M_MMAP_THRESHOLD, 32 * 2**20)
    _glibc("mallopt", _M_TRIM_THRESHOLD, 256 * 2**20)


def release_memory() -> None:
    """Return what is kept to the system, once a cell is done."""
    _glibc("malloc_trim", 0)


def memory_was_short(error: BaseException) -> bool:
    """Whether an error means that; of the CPU's memory torch says it in words alone."""
    named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return named or "DefaultCPUAllocator" in str(error)


@contextmanager
def short_memory_said() -> Iterator[None]:
    """Say in one sentence that memory was short.

    Raises:
        AuditError: It was.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not memory_was_short(error):
            raise
        raise AuditError(
            f"memory was short ({reason(error)}); run the same command again with fewer images, "
            "workers or replicas"
        ) from error


def end_with_parent() -> None:
    """From now on, end this process as soon as its parent has ended, however that ended.

    A parent that is killed cannot end its workers. They would go on unseen and keep their cells
    from whoever starts the study again; what they have saved is resumed.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _glibc(name: str, *arguments: int) -> None:
    """Call a function of glibc; nothing where the C library is another one."""
    if sys.platform == "linux":
        function: Any = getattr(ctypes.CDLL(None), name, None)
        if function is not None:
            function(*arguments)
