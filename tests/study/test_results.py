"""What the ledger says of runs, against slow readings of the same networks."""

import math

import numpy as np
import pytest

from fa_audit.rules import RULES
from fa_audit.study.cells import RunCell
from fa_audit.study.output import OutputFolder
from fa_audit.study.results import measurement, run_measurements
from fa_audit.training.trainer import split_indices
from study.reading import LAYERS, assert_complete, centre, nine_digits, predictions, record
from study.tiny import dataset
from training.tiny import INCOMPARABLE, configuration, trained
from training.tiny import finished as finished_run

CHECKPOINTS = ("best-validation", "last")


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
