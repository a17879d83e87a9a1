"""Slow readings of what a study left behind, to hold its records against."""

from typing import Any

import torch
from torch import Tensor

from fa_audit.study.cells import Cell, RunCell
from fa_audit.study.ledger import Record
from fa_audit.study.output import OutputFolder
from fa_audit.study.weights_file import load_weights
from fa_audit.training.trainer import untrained_network
from study.tiny import dataset

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
nine_digits = {"rel": 1e-8, "abs": 1e-12}


def record(output: OutputFolder, cell: Cell) -> Record:
    found = output.find(cell)
    assert found is not None
    return found


def centre(pixels: Tensor) -> Tensor:
    """uint8 [n, 32, 32, 3] → the stand-in's normalised 24 × 24 centres [n, 3, 24, 24]."""
    return (pixels[:, 4:28, 4:28].permute(0, 3, 1, 2) / 255 - 0.5) / 0.2


def predictions(run: RunCell, output: OutputFolder, checkpoint: str, images: Tensor) -> Tensor:
    """Predicted labels of the stored weights, one image at a time."""
    weights = load_weights(output, run, checkpoint)
    network = untrained_network(run.run, dataset())
    network.load_state_dict(weights, strict=False)
    with torch.no_grad():
        return torch.stack([network(image[None])[0].argmax() for image in images])


def assert_complete(measurements: dict[str, dict[str, Any]]) -> None:
    """Estimator, n and unit beside every value, a reason beside every value that is not there."""
    __tracebackhide__ = True
    for name, found in measurements.items():
        assert found["estimator"], name
        assert found["unit"], name
        assert isinstance(found["n"], int), name
        missing = {at for at, value in found["values"].items() if value is None}
        assert set(found.get("undefined", {})) == missing, name
        assert all(found.get("undefined", {}).values()), f"{name} gives no reason"
