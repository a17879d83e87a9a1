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


MADE = {"torch": "2.15.0", "device": "cpu (AVX2)", "threads": 1, "replicas": 1, "seconds": 9.0}
ALIKE = "; torch, device, threads and replicas are those of the record"


def told(recorded: dict[str, Any], found: dict[str, Any], **made: Any) -> str:
    record = Record("run", "bp", 0, "", {}, "finished", recorded, provenance=MADE)
    return agreement(record, found, {**MADE, **made})


def test_equal_numbers_are_as_recorded_and_counted() -> None:
    assert told(measures(), measures()) == "all 5 numbers are as recorded"
    assert told(measures(), measures(), torch="2.14.1") == "all 5 numbers are as recorded"


def test_numbers_are_compared_to_the_digits_that_a_ledger_keeps() -> None:
    found = measures(test_accuracy={"last": 74.0 + 1e-9})
    assert told(measures(), found) == "all 5 numbers are as recorded"
    found = measures(test_accuracy={"last": 74.0000001})
    assert told(measures(), found).startswith("1 of 5 numbers are not as recorded")


def test_the_first_measure_that_differs_is_told_where_it_differs_most() -> None:
    found = measures(test_accuracy={"best-validation": 75.1, "last": 72.5}, epoch={"last": 49})
    assert told(measures(), found) == (
        "3 of 5 numbers are not as recorded; test_accuracy at last is 72.5 %, in the record 74 %"
        + ALIKE
    )


def test_a_number_that_became_undefined_differs() -> None:
    found = measures(cka={"fc1/fc1": None})
    assert told(measures(), found) == (
        "1 of 5 numbers are not as recorded; cka/all at fc1/fc1 is undefined, in the record 0.5"
        + ALIKE
    )


def test_what_numbers_depend_on_is_told_where_it_differs_too() -> None:
    found = measures(test_accuracy={"last": 72.5})
    assert told(measures(), found, torch="2.14.1", threads=2, seconds=7.0).endswith(
        "in the record 74 %; torch is 2.14.1, in the record 2.15.0; threads is 2, in the record 1"
    )
    earlier = {key: value for key, value in MADE.items() if key != "replicas"}  # always one
    record = Record("run", "bp", 0, "", {}, "finished", measures(), provenance=earlier)
    assert agreement(record, found, MADE).endswith(ALIKE)


def test_measures_that_only_one_of_them_has_are_not_compared() -> None:
    found = measures()
    del found["epoch"]
    assert told(measures(), found) == "all 4 numbers are as recorded"
    assert told(found, measures()) == "all 4 numbers are as recorded"


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
    assert differing.endswith(f" in the record 99 %{ALIKE}")
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
    assert of_other.endswith(f" in the record 99 %{ALIKE}.")
    assert output.find(other) == before
