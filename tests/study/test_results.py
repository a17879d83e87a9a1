"""What the ledger says of runs and comparisons, against slow readings of the same networks."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fa_audit.measure import compare
from fa_audit.metrics import cka
from fa_audit.networks import NETWORKS
from fa_audit.rules import RULES
from fa_audit.study.cells import ComparisonCell, RunCell
from fa_audit.study.ledger import Record
from fa_audit.study.results import (
    comparison_images,
    comparison_measurements,
    measurement,
    run_measurements,
    trained_network,
)
from fa_audit.study.run import OutputFolder, load_weights
from fa_audit.study.spec import ComparisonSettings, Study
from fa_audit.training.trainer import split_indices, untrained_network
from study.tiny import comparison_cells, dataset, run_cells
from training.tiny import INCOMPARABLE, configuration, trained
from training.tiny import finished as finished_run

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
CHECKPOINTS = ("best-validation", "last")
DEVICE = torch.device("cpu")
nine_digits = {"rel": 1e-8, "abs": 1e-12}


@pytest.fixture(scope="module")
def output(finished: tuple[Study, Path]) -> OutputFolder:
    return OutputFolder(finished[1])


@pytest.fixture(scope="module")
def runs(finished: tuple[Study, Path]) -> list[RunCell]:
    return run_cells(finished[0])


def record(output: OutputFolder, cell: RunCell | ComparisonCell) -> Record:
    found = output.find(cell)
    assert found is not None
    return found


def centre(pixels: Tensor) -> Tensor:
    """uint8 [n, 32, 32, 3] → the stand-in's normalised 24 × 24 centres [n, 3, 24, 24]."""
    return (pixels[:, 4:28, 4:28].permute(0, 3, 1, 2) / 255 - 0.5) / 0.2


def predictions(run: RunCell, output: OutputFolder, checkpoint: str, images: Tensor) -> Tensor:
    """Predicted labels of the stored weights, one image at a time."""
    weights = load_weights(output.weights(run), checkpoint)
    network = untrained_network(run.run, dataset())
    network.load_state_dict(weights, strict=False)
    with torch.no_grad():
        return torch.stack([network(image[None])[0].argmax() for image in images])


# One run


def test_accuracies_are_those_of_the_stored_weights(
    output: OutputFolder, runs: list[RunCell]
) -> None:
    test, classes = dataset().test, dataset().classes
    for run in runs:
        found = record(output, run).measurements
        assert found["test_accuracy"]["n"] == 50
        assert found["validation_accuracy"]["n"] == 60
        _, validation = split_indices(run.run, dataset())
        for checkpoint in CHECKPOINTS:
            right = predictions(run, output, checkpoint, centre(test.pixels)) == test.labels
            accuracy = found["test_accuracy"]["values"][checkpoint]
            assert accuracy == pytest.approx(100 * right.double().mean().item(), **nine_digits)
            per_class = found[f"test_accuracy_per_class/{checkpoint}"]["values"]
            assert list(per_class) == list(classes)
            for label, name in enumerate(classes):
                of_class = right[test.labels == label].double()
                assert per_class[name] == pytest.approx(100 * of_class.mean().item())
            images, truth = dataset().train.pixels[validation], dataset().train.labels[validation]
            right = predictions(run, output, checkpoint, centre(images)) == truth
            accuracy = found["validation_accuracy"]["values"][checkpoint]
            assert accuracy == pytest.approx(100 * right.double().mean().item(), **nine_digits)


def test_checkpoints_are_at_the_best_epoch_and_at_the_last(
    output: OutputFolder, runs: list[RunCell]
) -> None:
    for run in runs:
        found = record(output, run)
        accuracies = found.series["epoch"]["validation_accuracy"]
        best = 1 + int(np.argmax(accuracies[1:]))
        assert found.measurements["epoch"]["values"] == {"best-validation": best, "last": 2}
        values = found.measurements["validation_accuracy"]["values"]
        assert values == {"best-validation": accuracies[best], "last": accuracies[2]}


def test_losses_stand_beside_chance(output: OutputFolder, runs: list[RunCell]) -> None:
    for run in runs:
        found = record(output, run)
        loss = found.measurements["train_loss"]
        series = found.series["epoch"]["train_loss"]
        assert loss["values"] == {"first": series[1], "last": series[-1]}
        assert loss["chance"] == pytest.approx(math.log(10), **nine_digits)
        assert (loss["n"], loss["unit"]) == (100, "nats")


def test_probed_quantities_are_read_at_start_lowest_and_end(
    output: OutputFolder, runs: list[RunCell]
) -> None:
    for run in runs:
        found = record(output, run)
        for quantity in ("local_angle", "true_angle", "predicted_angle", "sign_concordance"):
            weights = quantity in ("predicted_angle", "sign_concordance")
            for layer in LAYERS[1:]:
                series = found.series["probe"][layer][quantity]
                for moment, value in (
                    ("start", series[0]),
                    ("lowest", min(series)),
                    ("end", series[-1]),
                ):
                    stated = found.measurements[f"{quantity}/{moment}"]
                    assert stated["values"][layer] == value
                    assert stated["n"] == (1 if weights else 16)
                    assert ("p" in stated) == weights
            if weights:
                p = found.measurements[f"{quantity}/end"]["p"]
                assert p == {"conv2": 102_400, "fc1": 221_184, "fc2": 73_728, "fc3": 1_920}
        distance = found.measurements["distance/end"]["values"]
        assert distance == {name: found.series["probe"][name]["distance"][-1] for name in LAYERS}


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


@pytest.mark.parametrize("rule", RULES)
def test_no_number_travels_alone_and_what_is_undefined_says_why(rule: str) -> None:
    found = run_measurements(finished_run(rule))
    assert_complete(found)
    undefined = {name for name, stated in found.items() if "undefined" in stated}
    moments = ("start", "lowest", "end")
    expected = {f"{q}/{m}" for q in ("predicted_angle", "sign_concordance") for m in moments}
    assert undefined == (expected if rule in INCOMPARABLE else set())
    for name in undefined:
        reasons = found[name]["undefined"]
        assert set(reasons) == INCOMPARABLE[rule]
        assert set(reasons.values()) == {"feedback and weight differ in shape, or overflow"}


@pytest.mark.parametrize("rule", RULES)
def test_a_diverged_run_says_why_what_is_not_there(rule: str) -> None:
    run = trained(configuration(rule, learning_rate=1e30))
    assert run.status == "diverged"
    found = run_measurements(run)
    assert_complete(found)
    assert found["train_loss"]["undefined"] == dict.fromkeys(
        ("first", "last"), "the loss was not finite"
    )
    assert found["epoch"]["values"] == {"best-validation": 0, "last": 0}
    untrained = run.history["validation_accuracy"][0]
    assert found["validation_accuracy"]["values"] == dict.fromkeys(CHECKPOINTS, untrained)


def test_a_measurement_names_only_what_is_undefined() -> None:
    assert measurement("mean", 3, "%", {"a": 1.0, "b": None}, "no data", p=2) == {
        "estimator": "mean",
        "n": 3,
        "unit": "%",
        "p": 2,
        "values": {"a": 1.0, "b": None},
        "undefined": {"b": "no data"},
    }
    assert "undefined" not in measurement("mean", 3, "%", {"a": 1.0})


# Two runs compared


def test_compared_images_are_validation_and_test_images_as_centre_crops(
    runs: list[RunCell],
) -> None:
    images, labels = comparison_images(runs[0].run, dataset(), DEVICE)
    _, validation = split_indices(runs[0].run, dataset())
    pixels = torch.cat([dataset().train.pixels[validation], dataset().test.pixels])
    torch.testing.assert_close(images, centre(pixels))
    expected = torch.cat([dataset().train.labels[validation], dataset().test.labels])
    assert torch.equal(labels, expected)


def test_subsets_and_similarities_are_those_of_the_stored_weights(
    finished: tuple[Study, Path], output: OutputFolder
) -> None:
    undefined = 0
    for cell in comparison_cells(finished[0]):
        assert cell.columns.id == "bp"
        found = record(output, cell).measurements
        images, labels = comparison_images(cell.rows.run, dataset(), DEVICE)
        rows, columns = (
            predictions(run, output, "best-validation", images) == labels
            for run in (cell.rows, cell.columns)
        )
        subsets = {
            "all": torch.ones(len(labels), dtype=torch.bool),
            "both-right": rows & columns,
            "reference-right-only": columns & ~rows,
        }
        sizes = {name: int(chosen.sum()) for name, chosen in subsets.items()}
        assert found["subset_size"]["values"] == sizes
        networks = [
            trained_network(
                run.run, dataset(), load_weights(output.weights(run), "best-validation")
            )
            for run in (cell.rows, cell.columns)
        ]
        for name, chosen in subsets.items():
            stated = found[f"cka/{name}"]
            if sizes[name] < 4:
                undefined += 1
                continue
            expected = compare(*networks, images[chosen], batch_size=16, seed=cell.seed)
            assert stated["n"] == expected.images
            assert (stated["batch_size"], stated["passes"]) == (expected.batch_size, 1)
            p = [25_600, 2_304, 384, 192, 10]
            assert stated["p"] == {"rows": p, "columns": p}
            for i, row in enumerate(LAYERS):
                for j, column in enumerate(LAYERS):
                    value = expected.matrix[i, j].item()
                    assert stated["values"][f"{row}/{column}"] == pytest.approx(
                        value, **nine_digits
                    )
        assert_complete(dict(found))
    assert undefined < 4  # most subsets were large enough to be looked at


def constant(weights: dict[str, Tensor], label: int) -> dict[str, Tensor]:
    """The same weights, but the network always says `label`."""
    bias = torch.zeros(10)
    bias[label] = 1e6
    return {**weights, "fc3.bias": bias}


def test_a_subset_with_fewer_than_four_images_is_undefined_and_says_so(
    finished: tuple[Study, Path], output: OutputFolder
) -> None:
    cell = comparison_cells(finished[0])[0]
    rows, columns = (
        constant(load_weights(output.weights(run), "last"), label)
        for run, label in ((cell.rows, 0), (cell.columns, 1))
    )
    found = comparison_measurements(cell, dataset(), rows, columns, DEVICE)
    ones = int((comparison_images(cell.rows.run, dataset(), DEVICE)[1] == 1).sum())
    sizes = {"all": 110.0, "both-right": 0.0, "reference-right-only": float(ones)}
    assert found["subset_size"]["values"] == sizes
    empty = found["cka/both-right"]
    assert empty["n"] == 0
    assert set(empty["values"].values()) == {None}
    assert len(empty["undefined"]) == 25
    reason = "CKA needs batches of at least 4 images, got 0: give more images"
    assert set(empty["undefined"].values()) == {reason}
    assert_complete(found)


class Upside(nn.Module):
    """Registers its last layer first."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.last = nn.Linear(6, classes)
        self.first = nn.Linear(3 * 24 * 24, 6)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(images.flatten(1)).relu())
        return logits


def test_similarities_are_named_after_the_layers_whatever_their_order(
    finished: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NETWORKS, "upside", Upside)
    run = replace(finished_run("bp").configuration, network="upside")
    one, other = (RunCell("x", replace(run, seed=seed)) for seed in (0, 1))
    cell = ComparisonCell(one, other, ComparisonSettings(batch_size=110))
    weights = [untrained_network(cell.run, dataset()).state_dict() for cell in (one, other)]
    values = comparison_measurements(cell, dataset(), *weights, DEVICE)["cka/all"]["values"]
    images, _ = comparison_images(run, dataset(), DEVICE)
    first, last = [], []
    for state in weights:
        hidden = images.flatten(1) @ state["first.weight"].T + state["first.bias"]
        first.append(hidden)
        last.append(hidden.relu() @ state["last.weight"].T + state["last.bias"])
    for name, X, Y in (
        ("first/first", first[0], first[1]),
        ("first/last", first[0], last[1]),
        ("last/first", last[0], first[1]),
        ("last/last", last[0], last[1]),
    ):
        assert values[name] == pytest.approx(cka(X.double(), Y.double()), abs=1e-5), name
