"""A run's weights on disk: both checkpoints in one file, which says whose they are.

What is compared are weights, and a record of a comparison names runs: so a file that was put in
another run's place must not pass for it.
"""

import json
from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from fa_audit.study.cells import RunCell
from fa_audit.study.files import unreadable, write_atomically
from fa_audit.study.output import OutputFolder

# Under which key the file keeps the hash of its run's configuration.
RUN = "run"


class DamagedWeightsError(Exception):
    """Weights that cannot be had; what is left of them is out of the way of a new run."""


def write_weights(
    output: OutputFolder, cell: RunCell, weights: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Keep the weights of a run: checkpoint → name → tensor."""
    both = {  # each tensor its own, row by row: what safetensors takes
        f"{checkpoint}/{name}": tensor.clone(memory_format=torch.contiguous_format)
        for checkpoint, tensors in weights.items()
        for name, tensor in tensors.items()
    }
    write_atomically(
        output.weights(cell), lambda file: save_file(both, file, metadata={RUN: cell.hash})
    )


def load_weights(output: OutputFolder, cell: RunCell, checkpoint: str) -> dict[str, Tensor]:
    """The weights of a run at "best-validation" or "last", by name.

    Raises:
        DamagedWeightsError: The file is damaged or another run's and has been set aside, or
            another process has just done so.
        AuditError: The file cannot be read for now, or is damaged a second time; it stays.
    """
    path, prefix = output.weights(cell), f"{checkpoint}/"
    found: dict[str, Tensor] = {}
    try:
        # Read as a whole: not every file system can map a file into memory.
        content = path.read_bytes()
        tensors = load(content)
        if _run_named(content) == cell.hash:
            found = {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
    except SafetensorError:
        pass
    except FileNotFoundError as error:  # by now there may be new ones, not to be set aside
        raise _damaged(output, cell, "it is gone") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if not found:
        try:
            now = f"it is now {output.set_weights_aside(cell).name}"
        except FileNotFoundError:
            now = "it is gone"
        raise _damaged(output, cell, now)
    return found


def _damaged(output: OutputFolder, cell: RunCell, now: str) -> DamagedWeightsError:
    return DamagedWeightsError(
        f"{output.weights(cell)} does not hold weights of {cell.id}, seed {cell.seed}, that can be "
        f"read; {now}, and the run is trained again."
    )


def _run_named(content: bytes) -> str | None:
    """The run that a file names: its first eight bytes are the length of a header in JSON."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    run: str | None = metadata.get(RUN)
    return run
