"""What is said of a cell that was computed again."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from fa_audit.study.agreement import agreement, agreements
from fa_audit.study.ledger import Record
from fa_audit.study.output import OutputFolder
from fa_audit.study.spec import Study
from study.tiny import comparison_cells, do, records, run_cells


def measures(**changes: Any) -> dict[str, dict[str, Any]]:
    """Three measures, with other values where `changes` name them."""
    values = {
        "test_accuracy": {"best-validation": 75.0, "last": 74.0},
        "cka/all": {"fc1/fc1": 0.5, "fc1/fc2": None},
        "epoch": {"last": 50},
    }
    units = {"test_accuracy": "%", "cka/all": "1", "epoch": "epochs"}
    return {
        name: {"unit": units[name], "values": {**at, **changes.get(name.partition("/")[0], {})}}
        for name, at in values.items()
    }


def test_equal_numbers_are_as_recorded_and_counted() -> None:
    assert agreement(measures(), measures()) == "all 5 numbers are as recorded"


def test_numbers_are_compared_to_the_digits_that_a_ledger_keeps() -> None:
    found = measures(test_accuracy={"last": 74.0 + 1e-9})
    assert agreement(measures(), found) == "all 5 numbers are as recorded"
    found = measures(test_accuracy={"last": 74.0000001})
    assert agreement(measures(), found).startswith("1 of 5 numbers are not as recorded")


def test_the_first_measure_that_differs_is_told_where_it_differs_most() -> None:
    found = measures(test_accuracy={"best-validation": 75.1, "last": 72.5}, epoch={"last": 49})
    assert agreement(measures(), found) == (
        "3 of 5 numbers are not as recorded; test_accuracy at last is 72.5 %, in the record 74 %"
    )


def test_a_number_that_became_undefined_differs() -> None:
    found = measures(cka={"fc1/fc1": None})
    assert agreement(measures(), found) == (
        "1 of 5 numbers are not as recorded; cka/all at fc1/fc1 is undefined, in the record 0.5"
    )


def test_measures_that_only_one_of_them_has_are_not_compared() -> None:
    found = measures()
    del found["epoch"]
    assert agreement(measures(), found) == "all 4 numbers are as recorded"
    assert agreement(found, measures()) == "all 4 numbers are as recorded"


def altered(record: Record) -> Record:
    """A record whose network gets more right at its best."""
    measurements = {name: dict(one) for name, one in record.measurements.items()}
    accuracy = measurements["test_accuracy"]
    accuracy["values"] = {**accuracy["values"], "best-validation": 99.0}
    return replace(record, measurements=measurements)


def test_every_cell_that_two_folders_have_is_compared(
    finished: tuple[Study, Path], tmp_path: Path
) -> None:
    study, folder = finished
    shutil.copytree(folder / "ledger", tmp_path / "ledger")
    own, other = OutputFolder(tmp_path), OutputFolder(folder)
    first, second = run_cells(study)[:2]
    found = own.find(first)
    assert found is not None
    own.ledger.write(altered(found))
    (tmp_path / "ledger" / f"{second.stem}.json").unlink()
    said = dict(sentence.split(": ", 1) for sentence in agreements(study, own, other))
    names = [f"{record.id}:{record.seed}" for record in records(folder).values()]
    assert sorted(said) == sorted(set(names) - {f"{second.id}:{second.seed}"})
    differing = said.pop(f"{first.id}:{first.seed}")
    assert differing.startswith("1 of ")
    assert differing.endswith(" in the record 99 %")
    assert all(sentence.endswith("are as recorded") for sentence in said.values())


def test_a_run_trained_again_for_its_weights_is_held_to_its_record(
    finished: tuple[Study, Path], tmp_path: Path
) -> None:
    study, folder = finished
    shutil.copytree(folder / "ledger", tmp_path / "ledger")
    comparison = comparison_cells(study)[0]
    (tmp_path / "ledger" / f"{comparison.stem}.json").unlink()
    output = OutputFolder(tmp_path)
    same, other = comparison.runs
    found = output.find(other)
    assert found is not None
    output.ledger.write(altered(found))
    before = output.find(other)
    _, said = do(study, tmp_path)
    again = "was trained again because its weights were missing: "
    assert len(said) == 2
    (of_same,) = (one for one in said if one.startswith(f"{same.id}:{same.seed} {again}all "))
    (of_other,) = (one for one in said if one.startswith(f"{other.id}:{other.seed} {again}1 of "))
    assert of_same.endswith(" are as recorded.")
    assert of_other.endswith(" in the record 99 %.")
    assert output.find(other) == before
