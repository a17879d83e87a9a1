"""What the ledger says of a finished run, as measurements."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fa_audit.data import Batches
from fa_audit.measure import evaluate
from fa_audit.training.ranks import RankProbe
from fa_audit.training.trainer import CHECKPOINTS, Trainer
from fa_audit.training.weights import set_weights

CORRECT = "correct predictions, centre crop"
"""The estimator of every accuracy."""

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
    ranks = {} if trainer.ranks is None else rank_measurements(trainer.ranks)
    return {**_accuracies(trainer), **_losses(trainer), **_probed(trainer), **ranks}


def run_series(trainer: Trainer) -> dict[str, Any]:
    """All series of a run: by epoch, and by probed step."""
    series = {"epoch": trainer.history, "probe": trainer.probe.series}
    return series if trainer.ranks is None else {**series, "rank": trainer.ranks.series}


def _accuracies(trainer: Trainer) -> Measurements:
    dataset, history = trainer.dataset, trainer.history
    test = dataset.test.to(trainer.device)
    batches = Batches(test, dataset.mean, dataset.std, trainer.configuration.data.crop)
    index = torch.arange(len(test), device=trainer.device)
    found = {}
    for checkpoint in CHECKPOINTS:
        set_weights(trainer.network, trainer.weights[checkpoint])
        found[checkpoint] = evaluate(trainer.network, batches.centre, index, test.labels)
    last = len(history["validation_accuracy"]) - (1 if trainer.status == "finished" else 2)
    at_epoch = {"best-validation": trainer.best_epoch, "last": last}
    result = {
        "test_accuracy": measurement(
            CORRECT, len(test), "%", {c: found[c].accuracy for c in CHECKPOINTS}
        ),
        "validation_accuracy": measurement(
            CORRECT,
            len(trainer.validation_index),
            "%",
            {c: history["validation_accuracy"][at_epoch[c]] for c in CHECKPOINTS},
        ),
        "epoch": measurement("epoch of the checkpoint", 1, "epochs", at_epoch),
    }
    for checkpoint in CHECKPOINTS:
        values = dict(zip(dataset.classes, found[checkpoint].per_class, strict=True))
        result[f"test_accuracy_per_class/{checkpoint}"] = measurement(
            CORRECT, len(test), "%", values, "the test set has no image of this class"
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
    if trainer.configuration.normalisation:
        angle = f"{angle}, batch normalisation by its running statistics"
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


_RANK_OF = {
    "error": "error that arrives at the layer's output, a row for each image of the probe",
    "gradient": "one training step's weight gradient before the optimizer, [out, in · kh · kw]",
    "update": "one training step's change of the weight, [out, in · kh · kw]",
    "trajectory": "weight gradients of all steps so far or, beyond n, of a random sample of n, a "
    "row for each, folded to {columns} columns",
}
_BOUND = (
    "; at most the bound, classes − 1, and so is what the layer sends down, before any "
    "nonlinearity masks it"
)
_NO_RANK = "it was zero or not finite, or no step was measured"


def rank_measurements(ranks: RankProbe) -> Measurements:
    """effective_rank/<object>/<layer>/<definition>, at the first and last step that was measured,
    and where it was lowest and highest."""
    result = {}
    for name, sizes in ranks.sizes.items():
        what = _RANK_OF[name].format(columns=ranks.columns)
        series = ranks.series[name]
        for layer, (rows, columns) in sizes.items():
            bound = ranks.bounds.get(layer) if name == "error" else None
            for definition, values in series[layer].items():
                result[f"effective_rank/{name}/{layer}/{definition}"] = measurement(
                    f"{definition} of the {what}{_BOUND if bound else ''}",
                    rows,
                    "directions",
                    {
                        "first": _first(values),
                        "lowest": _lowest(values),
                        "highest": _highest(values),
                        "last": _last(values),
                    },
                    _NO_RANK,
                    p=columns,
                    **({"bound": bound} if bound else {}),
                )
    return result


def _first(values: list[float | None]) -> float | None:
    return values[0] if values else None


def _last(values: list[float | None]) -> float | None:
    return values[-1] if values else None


def _lowest(values: list[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _highest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
