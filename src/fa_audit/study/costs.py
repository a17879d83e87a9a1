"""What the ledger says of the cost of a training step: counted, timed, and its memory.

Times are taken of a configuration and its reference in turns, in one process and on one device:
what else the machine does slows both alike, so the ratio stands where the seconds do not. It is a
measurement of one machine all the same, recorded with device and threads, and another one another
time gives other digits.
"""

import statistics
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor

from fa_audit.data import Batches, Dataset
from fa_audit.measure import Cost, NetworkCost, network_cost
from fa_audit.measure.steps import alternating_seconds, peak_memory
from fa_audit.study.cells import CostCell
from fa_audit.study.results import Measurements, measurement
from fa_audit.training.configuration import RunConfiguration
from fa_audit.training.interventions import intervene
from fa_audit.training.optimizers import build_optimizer
from fa_audit.training.precision import initial_feedback, lowered
from fa_audit.training.trainer import (
    split_indices,
    subnormals_flushed,
    training_step,
    untrained_network,
)

# What is counted, and in which unit.
_COUNTED = {
    "parameters": "numbers",
    "stored": "numbers",
    "made": "numbers per step",
    "operations": "operations per step",
    "forward": "multiply-adds per image",
    "sent": "multiply-adds per image",
    "weight_gradient": "multiply-adds per image",
}


def cost_measurements(cell: CostCell, dataset: Dataset, device: torch.device) -> Measurements:
    """Count and time the training step of a configuration beside its reference's.

    Args:
        cell: Which two.
        dataset: The images; one batch of them is used.
        device: Where to compute.
    """
    own, reference = cell.pair.run, cell.pair.reference
    with subnormals_flushed():
        return {
            **_counted(own, reference, dataset),
            **_timed(own, reference, dataset, device, cell.rounds),
            **_memory(own, reference, dataset, device),
        }


def _counted(own: RunConfiguration, reference: RunConfiguration, dataset: Dataset) -> Measurements:
    costs, beside = _cost(own, dataset), _cost(reference, dataset).total
    layers, total = costs.layers, costs.total
    by_layer = {name: asdict(cost) for name, cost in {**layers, "total": total}.items()}
    return {
        **{
            f"cost/{quantity}": measurement(
                "counted from the layers",
                1,
                unit,
                {name: float(cost[quantity]) for name, cost in by_layer.items()},
            )
            for quantity, unit in _COUNTED.items()
        },
        "cost_ratio/multiply_adds": measurement(
            "forward, error and weight gradient per image, beside the reference's; counted",
            1,
            "1",
            {"total": _multiply_adds(total) / _multiply_adds(beside)},
        ),
        "cost_ratio/kept": measurement(
            "parameters and stored feedback beside the reference's; counted",
            1,
            "1",
            {"total": (total.parameters + total.stored) / (beside.parameters + beside.stored)},
        ),
    }


def _cost(run: RunConfiguration, dataset: Dataset) -> NetworkCost:
    side = run.data.crop
    return network_cost(untrained_network(run, dataset), torch.zeros(2, 3, side, side))


def _multiply_adds(cost: Cost) -> int:
    return cost.forward + cost.sent + cost.weight_gradient


def _timed(
    own: RunConfiguration,
    reference: RunConfiguration,
    dataset: Dataset,
    device: torch.device,
    rounds: int,
) -> Measurements:
    seconds = alternating_seconds(
        _steps(own, dataset, device), _steps(reference, dataset, device), device, rounds=rounds
    )
    ratios = [a / b for a, b in zip(*seconds, strict=True)]
    lower, middle, upper = _quartiles(ratios)
    what = "forward and backward pass and update of one batch"
    return {
        "step_seconds": measurement(
            f"{what}, median over rounds in alternation",
            rounds,
            "s",
            {
                "own": statistics.median(seconds[0]),
                "reference": statistics.median(seconds[1]),
            },
        ),
        "cost_ratio/seconds": measurement(
            f"{what}, beside the reference's in the same round; quartiles over rounds",
            rounds,
            "1",
            {"lower-quartile": lower, "median": middle, "upper-quartile": upper},
        ),
    }


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    lower, middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, middle, upper


def _memory(
    own: RunConfiguration, reference: RunConfiguration, dataset: Dataset, device: torch.device
) -> Measurements:
    peaks = {
        name: float(peak_memory(partial(_steps, run, dataset, device), device))
        for name, run in (("own", own), ("reference", reference))
    }
    what = "most bytes that tensors hold at once in a training step, weights and optimizer included"
    return {
        "peak_memory": measurement(what, 1, "bytes", peaks),
        "cost_ratio/peak_memory": measurement(
            f"{what}, beside the reference's", 1, "1", {"total": peaks["own"] / peaks["reference"]}
        ),
    }


def _steps(run: RunConfiguration, dataset: Dataset, device: torch.device) -> Callable[[], Tensor]:
    """A function that takes one more step of a fresh run, always with the same batch."""
    settings = run.training
    network = untrained_network(run, dataset).to(device)
    optimizer = build_optimizer(network, settings)
    intervene(network, optimizer, settings, run.seed)
    feedback = lowered(initial_feedback(network), settings.precision)
    train, _ = split_indices(run, dataset)
    index = train[: settings.batch_size]
    images = Batches(dataset.train, dataset.mean, dataset.std, run.data.crop).centre(index)
    images, labels = images.to(device), dataset.train.labels[index].to(device)
    return lambda: training_step(network, optimizer, feedback, images, labels, settings.precision)
