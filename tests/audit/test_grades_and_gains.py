"""Grades of evidence, gains beyond other gains, and claims whose runs are not there at all."""

from pathlib import Path

import numpy as np
import pytest

from audit.invented import evidence, record, table, verdict, write_claims
from fa_audit.audit import Evidence, Word, load_claims
from fa_audit.errors import AuditError

GAIN = {"of": "fa+m", "minus": "fa", "beyond": ["bp+m", "bp"], "low": 0, "high": 50}
NUMBERS = {
    "fa": [30.0, 31.0, 29.0],
    "fa+m": [40.0, 41.5, 38.7],
    "bp": [75.0, 75.5, 74.5],
    "bp+m": [76.0, 76.4, 75.8],
}


def test_a_gain_beyond_another_is_a_difference_of_differences_seed_by_seed(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("range", **GAIN), evidence(NUMBERS))
    fa, fa_m, bp, bp_m = (np.array(NUMBERS[id]) for id in ("fa", "fa+m", "bp", "bp+m"))
    expected = (fa_m - fa) - (bp_m - bp)
    assert found.estimate == pytest.approx(expected.mean())
    assert found.quantity == "(fa+m − fa) − (bp+m − bp)"
    half = 2.91999 * expected.std(ddof=1) / 3**0.5  # t(2), 5 % on each side
    assert found.half_width == pytest.approx(half, rel=1e-4)
    assert found.word == Word.REPRODUCED
    assert {one.subject for one in found.records} == set(NUMBERS)


def test_equal_gains_are_no_gain_beyond(tmp_path: Path) -> None:
    same = {**NUMBERS, "fa+m": [31.0, 31.9, 30.3]}
    found = verdict(tmp_path, table("range", **GAIN), evidence(same))
    assert found.estimate == pytest.approx(0, abs=1e-12)
    assert found.word == Word.INCONCLUSIVE


def test_one_missing_subject_of_four_is_waited_for(tmp_path: Path) -> None:
    numbers = {**NUMBERS, "bp": [75.0, 75.5]}
    found = verdict(tmp_path, table("range", **GAIN), evidence(numbers, seeds=range(3)))
    assert found.reason == "Declared, but not there yet: bp seed 2."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"minus": None}, "beyond subtracts from a difference; add minus"),
        ({"beyond": ["bp"]}, "beyond = ['bp'] will not do; it must be two configurations"),
        ({"beyond": ["bp", "fa"]}, "twice; compare different ones"),
    ],
)
def test_a_gain_that_makes_no_sense_is_refused(
    tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    with pytest.raises(AuditError) as refusal:
        load_claims(write_claims(tmp_path, table("range", **{**GAIN, **changes})))
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("grade", ["abstract", "second-hand", "unknown"])
def test_a_grade_of_evidence_is_read(tmp_path: Path, grade: str) -> None:
    (claim,) = load_claims(write_claims(tmp_path, table("source", grade=grade))).claims
    assert claim.grade == grade


def test_another_grade_is_refused_and_none_is_needed(tmp_path: Path) -> None:
    (claim,) = load_claims(write_claims(tmp_path, table("source"))).claims
    assert claim.grade == ""
    with pytest.raises(AuditError, match=r"grade = .rumour. will not do; it must be .abstract. or"):
        load_claims(write_claims(tmp_path, table("source", grade="rumour")))


@pytest.mark.parametrize("kind", ["value", "range", "equivalence", "order", "winner"])
def test_claims_without_any_record_are_not_run(tmp_path: Path, kind: str) -> None:
    empty = Evidence("invented", "cifar10", False, (0, 1), {"bp": {}, "fa": {}})
    found = verdict(tmp_path, table(kind, requires={"epochs": 50}), empty)
    assert found.word == Word.INCONCLUSIVE
    assert found.reason == "Not run: the ledger has no record of what the claim is about."
    one_there = {"bp": {0: record({"last": 75.0})}, "fa": {}}
    partly = Evidence("invented", "cifar10", False, (0, 1), one_there)
    assert "Not run" not in verdict(tmp_path, table(kind), partly).reason
