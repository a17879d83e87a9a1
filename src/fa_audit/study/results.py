"""What the ledger says of a cell: a finished run, or two runs compared, as measurements."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fa_audit.data import Batches, Dataset
from fa_audit.errors import AuditError
from fa_audit.measure import compare, evaluate, measured_layers
from fa_audit.measure.representations import ESTIMATOR as CKA_ESTIMATOR
from fa_audit.study.cells import ComparisonCell
from fa_audit.training.configuration import RunConfiguration
from fa_audit.training.trainer import CHECKPOINTS, Trainer, split_indices, untrained_network

Measurements = dict[str, dict[str, Any]]
Weights = Mapping[str, Tensor]


def measurement(
    estimator: str,
    n: int,
    unit: str,
    values: Mapping[str, float | None],
    reason: str = "",
    **more: Any,
) -> dict[str, Any]:
    """One measure of a record; `reason` says why values that are None are undefined."""
    undefined = {at: reason for at, value in values.items() if value is None}
    return {
        "estimator": estimator,
        "n": n,
        "unit": unit,
        **more,
        "values": dict(values),
        **({"undefined": undefined} if undefined else {}),
    }


def run_measurements(trainer: Trainer) -> Measurements:
    """All measurements of a run that has ended."""
    return {**_accuracies(trainer), **_losses(trainer), **_probed(trainer)}


def _accuracies(trainer: Trainer) -> Measurements:
    dataset, history = trainer.dataset, trainer.history
    test = dataset.test.to(trainer.device)
    batches = Batches(test, dataset.mean, dataset.std, trainer.configuration.data.crop)
    index = torch.arange(len(test), device=trainer.device)
    found = {}
    for checkpoint in CHECKPOINTS:
        load_parameters(trainer.network, trainer.weights[checkpoint])
        found[checkpoint] = evaluate(trainer.network, batches.centre, index, test.labels)
    last = len(history["validation_accuracy"]) - (1 if trainer.status == "finished" else 2)
    at_epoch = {"best-validation": trainer.best_epoch, "last": last}
    correct = "correct predictions, centre crop"
    result = {
        "test_accuracy": measurement(
            correct, len(test), "%", {c: found[c].accuracy for c in CHECKPOINTS}
        ),
        "validation_accuracy": measurement(
            correct,
            len(trainer.validation_index),
            "%",
            {c: history["validation_accuracy"][at_epoch[c]] for c in CHECKPOINTS},
        ),
        "epoch": measurement("epoch of the checkpoint", 1, "epochs", at_epoch),
    }
    for checkpoint in CHECKPOINTS:
        values = dict(zip(dataset.classes, found[checkpoint].per_class, strict=True))
        result[f"test_accuracy_per_class/{checkpoint}"] = measurement(
            correct, len(test), "%", values, "the test set has no image of this class"
        )
    return result


def _losses(trainer: Trainer) -> Measurements:
    losses = trainer.history["train_loss"][1:]
    return {
        "train_loss": measurement(
            "mean cross-entropy over an epoch's batches, as they were trained on",
            len(trainer.train_index),
            "nats",
            {"first": losses[0], "last": losses[-1]},
            "the loss was not finite",
            chance=math.log(len(trainer.dataset.classes)),
        )
    }


def _probed(trainer: Trainer) -> Measurements:
    series, probe = trainer.probe.series, trainer.probe
    layers = [layer for layer in probe.layers if "local_angle" in series[layer]]
    result = {}
    angle = f"mean over images of the angle per image, zero errors: {probe.settings.zero_errors}"
    no_error = "every error of the batch is zero or overflows"
    no_pair = "feedback and weight differ in shape, or overflow"
    for quantity, estimator, reason in (
        ("local_angle", f"{angle}; Bᵀδ against Wᵀδ", no_error),
        ("true_angle", f"{angle}; Bᵀδ against BP's error", no_error),
        ("predicted_angle", "angle between W and B as vectors", no_pair),
        ("sign_concordance", "fraction of entries with sign(W) = sign(B)", no_pair),
    ):
        weights = quantity in ("predicted_angle", "sign_concordance")
        more = {"p": {layer: probe.features(layer) for layer in layers}} if weights else {}
        for moment, pick in (("start", _first), ("lowest", _lowest), ("end", _last)):
            result[f"{quantity}/{moment}"] = measurement(
                estimator,
                1 if weights else len(probe.labels),
                "1" if quantity == "sign_concordance" else "degrees",
                {layer: pick(series[layer][quantity]) for layer in layers},
                reason,
                **more,
            )
    result["distance/end"] = measurement(
        "‖W − W₀‖ / ‖W₀‖",
        1,
        "1",
        {layer: _last(series[layer]["distance"]) for layer in probe.layers},
        "the weights overflow when squared",
    )
    return result


def _first(values: list[float | None]) -> float | None:
    return values[0]


def _last(values: list[float | None]) -> float | None:
    return values[-1]


def _lowest(values: list[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def load_parameters(network: nn.Module, weights: Weights) -> None:
    """Copy parameters by name into `network`."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(weights[name])


def trained_network(
    configuration: RunConfiguration, dataset: Dataset, weights: Weights
) -> nn.Module:
    """The network of a run with these weights, for looking at what it computes."""
    network = untrained_network(configuration, dataset)
    load_parameters(network, weights)
    return network


def comparison_measurements(
    cell: ComparisonCell,
    dataset: Dataset,
    weights_rows: Weights,
    weights_columns: Weights,
    device: torch.device,
) -> Measurements:
    """CKA of all layer pairs on every subset of the validation and test images."""
    rows = trained_network(cell.rows.run, dataset, weights_rows).to(device)
    columns = trained_network(cell.columns.run, dataset, weights_columns).to(device)
    images, labels = comparison_images(cell.rows.run, dataset, device)
    right_rows, right_columns = (
        evaluate(
            network, lambda i: images[i], torch.arange(len(labels), device=device), labels
        ).predictions
        == labels.cpu()
        for network in (rows, columns)
    )
    chosen = {
        "all": torch.ones_like(right_rows),
        "both-right": right_rows & right_columns,
        "reference-right-only": ~right_rows & right_columns,
    }
    counts = {subset: float(chosen[subset].sum()) for subset in cell.settings.subsets}
    result: Measurements = {
        "subset_size": measurement("number of images", len(labels), "images", counts)
    }
    for subset in cell.settings.subsets:
        index = chosen[subset].nonzero().flatten().to(device)
        result[f"cka/{subset}"] = _cka(rows, columns, images[index], cell)
    return result


def _cka(
    rows: nn.Module, columns: nn.Module, images: Tensor, cell: ComparisonCell
) -> dict[str, Any]:
    settings = cell.settings
    try:
        found = compare(
            rows,
            columns,
            images,
            batch_size=settings.batch_size,
            passes=settings.passes,
            seed=cell.seed,
        )
    except AuditError as error:
        # Too few images, or a layer that says the same of every image: a fact about these networks.
        pairs = _pairs(measured_layers(rows), measured_layers(columns))
        return measurement(CKA_ESTIMATOR, len(images), "1", dict.fromkeys(pairs, None), str(error))
    pairs = _pairs(found.rows, found.columns)
    return measurement(
        CKA_ESTIMATOR,
        found.images,
        "1",
        dict(zip(pairs, found.matrix.flatten().tolist(), strict=True)),
        p={"rows": found.features_rows, "columns": found.features_columns},
        batch_size=found.batch_size,
        passes=found.passes,
    )


def _pairs(rows: tuple[str, ...], columns: tuple[str, ...]) -> list[str]:
    return [f"{row}/{column}" for row in rows for column in columns]


def comparison_images(
    configuration: RunConfiguration, dataset: Dataset, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The validation and the test images of a run as centre crops, and their labels."""
    _, validation = split_indices(configuration, dataset)
    parts = []
    for images, index in (
        (dataset.train, validation),
        (dataset.test, torch.arange(len(dataset.test))),
    ):
        batches = Batches(images, dataset.mean, dataset.std, configuration.data.crop)
        parts.append((batches.centre(index), images.labels[index]))
    return (
        torch.cat([images for images, _ in parts]).to(device),
        torch.cat([labels for _, labels in parts]).to(device),
    )
