"""The state of a run in progress on disk: what a run that was stopped goes on from."""

import io
from pathlib import Path

import torch

from fa_audit.study.files import set_aside, unreadable
from fa_audit.study.process import memory_was_short
from fa_audit.training.trainer import Trainer


class BrokenStateError(Exception):
    """A state that a run cannot go on from; the trainer may be half changed."""


def resume(trainer: Trainer, checkpoint: Path) -> float:
    """Go on from a checkpoint where there is a whole one; the seconds already spent.

    Raises:
        BrokenStateError: The file is damaged or another run's and has been set aside.
        AuditError: The file cannot be read for now, or the computer is at fault; it stays.
    """
    if not checkpoint.exists():
        return 0.0
    try:
        content = io.BytesIO(checkpoint.read_bytes())
    except (OSError, MemoryError) as error:
        raise unreadable(checkpoint, error) from error
    try:
        # To the CPU first: the trainer copies what it needs to its device.
        state = torch.load(content, weights_only=True, map_location="cpu")
        seconds = float(state["seconds"])
        trainer.load_state_dict(state)
    except Exception as error:  # torch.load promises no particular exception for a broken file
        if memory_was_short(error) or isinstance(error, torch.AcceleratorError):
            raise unreadable(checkpoint, error) from error
        aside = set_aside(checkpoint)
        raise BrokenStateError(
            f"{checkpoint} cannot be gone on from ({type(error).__name__}); it is now "
            f"{aside.name}, and the run starts over."
        ) from error
    return seconds
