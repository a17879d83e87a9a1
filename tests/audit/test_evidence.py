"""What a claim can take from a study's records."""

import ast
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import fa_audit.audit
from audit.invented import evidence, record


def test_a_value_is_a_number_or_the_reason_why_there_is_none() -> None:
    one = record({"last": 75, "first": None, "odd": None}, undefined={"first": "too early"})
    assert one.value("test_accuracy", "last") == 75.0
    assert one.value("test_accuracy", "first") == "too early"
    assert one.value("test_accuracy", "odd") == "the record gives neither value nor reason"
    assert one.value("rank", "last") == "the record holds no measure 'rank'"
    infinite = record({"last": float("inf")})
    assert infinite.value("test_accuracy", "last") == "the value recorded is inf"


def test_places_are_those_with_a_value_or_a_reason() -> None:
    one = record({"last": 75.0, "best": None}, undefined={"first": "too early"})
    assert one.places("test_accuracy") == {"last", "best", "first"}
    assert one.places("rank") == set()


def test_settings_are_found_in_every_training_table() -> None:
    run = record({"last": 75.0}, epochs=50)
    assert run.settings("epochs") == [50]
    assert run.settings("decay") == []
    pair = {
        "epochs": "not a training setting",
        "runs": [{"training": {"epochs": 50}}, {"deeper": {"training": {"epochs": 6}}}],
    }
    assert replace(run, configuration=pair).settings("epochs") == [50, 6]


def test_a_sample_follows_the_declared_seeds() -> None:
    found = evidence({"bp": [75.0, 76.0, 77.0]}, seeds=(2, 0, 5))
    sample = found.sample("bp", "test_accuracy", "last")
    assert dict(sample.values) == {2: 77.0, 0: 75.0}
    assert list(sample.values) == [2, 0]
    assert sample.missing == (5,)
    assert sample.diverged == 0


@pytest.mark.parametrize("name", ["__init__", "claims", "evidence", "statistics", "verdicts"])
def test_judging_needs_nothing_that_trains(name: str) -> None:
    """It imports its own room, the errors, NumPy, SciPy and the standard library."""
    source = Path(fa_audit.audit.__path__[0]) / f"{name}.py"
    imported = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    outside = {
        name
        for name in imported
        if not name.startswith(("fa_audit.audit", "fa_audit.errors", "numpy", "scipy"))
        and name.split(".")[0] not in sys.stdlib_module_names
    }
    assert not outside
