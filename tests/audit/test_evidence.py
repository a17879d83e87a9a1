"""What a claim can take from a study's records."""

import ast
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import fa_audit.audit
from audit.invented import evidence, record
from fa_audit.audit.evidence import measured, places, settings

MODULES = sorted(Path(fa_audit.audit.__path__[0]).glob("*.py"))


def test_a_value_is_a_number_or_the_reason_why_there_is_none() -> None:
    one = record({"last": 75, "first": None, "odd": None}, undefined={"first": "too early"})
    assert measured(one, "test_accuracy", "last") == 75.0
    assert measured(one, "test_accuracy", "first") == "too early"
    silent = "the record gives neither value nor reason"
    assert measured(one, "test_accuracy", "odd") == silent
    assert measured(one, "test_accuracy", "never") == silent
    assert measured(one, "rank", "last") == "the record holds no measure 'rank'"
    infinite = record({"last": float("inf")})
    assert measured(infinite, "test_accuracy", "last") == "the value recorded is inf"


def test_places_are_those_with_a_value_or_a_reason() -> None:
    one = record({"last": 75.0, "best": None}, undefined={"first": "too early"})
    assert places(one, "test_accuracy") == {"last", "best", "first"}
    assert places(one, "rank") == set()


def test_settings_are_found_in_every_training_table() -> None:
    run = record({"last": 75.0}, epochs=50)
    assert settings(run, "epochs") == [50]
    assert settings(run, "decay") == []
    pair = {
        "epochs": "not a training setting",
        "rows": {"training": {"epochs": 50}},
        "columns": {"deeper": {"training": {"epochs": 6}}},
    }
    assert settings(replace(run, configuration=pair), "epochs") == [50, 6]


def test_a_sample_follows_the_declared_seeds() -> None:
    found = evidence({"bp": [75.0, 76.0, 77.0]}, seeds=(2, 0, 5))
    sample = found.sample("bp", "test_accuracy", "last")
    assert dict(sample.values) == {2: 77.0, 0: 75.0}
    assert list(sample.values) == [2, 0]
    assert sample.missing == (5,)
    assert sample.diverged == 0


def test_a_sample_follows_the_seeds_declared_for_its_subject() -> None:
    numbers = {"bp": [75.0, 76.0, 77.0], "fa": [36.0, 35.0, 34.0]}
    found = evidence(numbers, declared={"fa": (1, 7)})
    assert dict(found.sample("fa", "test_accuracy", "last").values) == {1: 35.0}
    assert found.sample("fa", "test_accuracy", "last").missing == (7,)
    assert found.sample("bp", "test_accuracy", "last").missing == ()
    assert (found.seeds_of("fa"), found.seeds_of("bp")) == ((1, 7), (0, 1, 2))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_judging_needs_nothing_that_trains(module: Path) -> None:
    """It imports its own room, ledger, hashes, errors, NumPy, SciPy and the standard library.

    Only `gather`, which reads a study's folder, knows more.
    """
    imported = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    own = ("fa_audit.audit", "fa_audit.errors", "fa_audit.hashing")
    own = (*own, "fa_audit.study.ledger", "numpy", "scipy")
    outside = {
        name
        for name in imported
        if not name.startswith(own) and name.split(".")[0] not in sys.stdlib_module_names
    }
    more = {"data.editions", "rules", "study.cells", "study.spec"}
    assert outside == ({f"fa_audit.{room}" for room in more} if module.stem == "gather" else set())


def test_judging_does_not_load_torch() -> None:
    code = "import sys, fa_audit.audit; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(fa_audit.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
