"""Printing to a reader that may stop reading, as `head` does, or to none, as after `>&-`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_closed_streams() -> None:
    """Let what is printed where the caller closed a stream, for which Python has None, go nowhere.

    Left alone, what is for stderr would be printed to stdout, and flushing stdout would fail.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, nowhere)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Go on quietly where the reader has left."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        hang_up()


def hang_up() -> None:
    """Let what is still to be printed, also when Python ends, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
