"""A run's weights on disk: both checkpoints in one file, which says whose they are.

What is compared are weights, and a record of a comparison names runs: so a file that was put in
another run's place must not pass for it.
"""

from collections.abc import Mapping

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fa_audit.study.cells import RunCell
from fa_audit.study.files import set_aside, write_atomically
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
    """
    path, prefix = output.weights(cell), f"{checkpoint}/"
    found: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get(RUN) == cell.hash:
                names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
                found = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (OSError, SafetensorError):
        pass
    if not found:
        try:
            now = f"it is now {set_aside(path).name}"
        except FileNotFoundError:
            now = "it is gone"
        raise DamagedWeightsError(
            f"{path} does not hold weights of {cell.id}, seed {cell.seed}, that can be read; "
            f"{now}, and the run is trained again."
        )
    return found
