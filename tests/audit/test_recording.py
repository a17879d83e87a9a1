"""Verdicts as JSON, and compared with recorded ones."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from audit.invented import evidence, four_verdicts, table, verdict
from fa_audit.audit import (
    Evidence,
    Record,
    compare_records,
    compare_verdicts,
    read_verdicts,
    verdicts_to_json,
)
from fa_audit.errors import AuditError

NUMBERS = {"bp": [75.1, 75.4, 74.9, 75.2], "fa": [36.0, 35.2, 37.1, 35.9]}


def changed(found: Evidence, subject: str, seed: int, record: Record | None) -> Evidence:
    """Evidence in which one record is another, or gone."""
    runs = {key: value for key, value in found.records[subject].items() if key != seed}
    if record is not None:
        runs[seed] = record
    return replace(found, records={**found.records, subject: runs})


# JSON


def test_json_is_sorted_rounded_and_the_same_whatever_the_order(tmp_path: Path) -> None:
    found = four_verdicts(tmp_path, evidence(NUMBERS))
    text = verdicts_to_json(found)
    assert text == verdicts_to_json(found[::-1])
    assert text.endswith("}\n")
    content = json.loads(text)
    assert list(content) == ["records", "verdicts"]
    assert [row["claim"] for row in content["verdicts"]] == ["open", "order", "source", "z-value"]
    assert all(list(row) == sorted(row) for row in content["verdicts"])


def test_json_holds_everything_a_verdict_rests_on(tmp_path: Path) -> None:
    _, order, _, value = json.loads(verdicts_to_json(four_verdicts(tmp_path, evidence(NUMBERS))))[
        "verdicts"
    ]
    assert value["word"] == "reproduced"
    assert value["estimate"] == 75.15
    assert value["interval"] == [74.4093, 75.8907]
    assert value["seeds"] == [0, 1, 2, 3]
    assert value["records"][0] == {
        "subject": "bp",
        "seed": 0,
        "hash": "hash-bp-0",
        "digest": "digest-bp-0",
    }
    assert order["comparisons"][0]["larger"] == "bp"
    assert order["comparisons"][0]["difference"]["effect_size"] > 10


def test_floats_have_six_significant_digits(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("value"), evidence({"bp": [75.123456789, 75.2, 75.3]}))
    (row,) = json.loads(verdicts_to_json([found]))["verdicts"]
    assert row["estimate"] == 75.2078
    assert found.estimate == pytest.approx(75.207818929667, abs=1e-12)


def test_nothing_that_is_not_a_number_is_written(tmp_path: Path) -> None:
    found = verdict(tmp_path, table("value"), evidence({"bp": [75.0, 75.1]}))
    with pytest.raises(ValueError, match="not JSON compliant"):
        verdicts_to_json([replace(found, estimate=float("nan"))])


# What changed


def test_the_same_evidence_gives_no_change(tmp_path: Path) -> None:
    recorded = verdicts_to_json(four_verdicts(tmp_path, evidence(NUMBERS)))
    assert compare_verdicts(recorded, four_verdicts(tmp_path, evidence(NUMBERS))) == []


def test_a_changed_verdict_names_claim_words_estimates_and_records(tmp_path: Path) -> None:
    before = evidence(NUMBERS)
    recorded = verdicts_to_json(four_verdicts(tmp_path, before))
    old = before.records["fa"][2]
    measured = {"test_accuracy": {"values": {"last": 95.0}, "undefined": {}}}
    after = changed(before, "fa", 2, replace(old, measurements=measured, digest="another"))
    (change,) = compare_verdicts(recorded, four_verdicts(tmp_path, after))
    assert (change.claim, change.recorded, change.derived) == (
        "order",
        "reproduced",
        "inconclusive",
    )
    assert change.recorded_estimate == pytest.approx(39.1)
    assert change.derived_estimate == pytest.approx(24.625)
    assert change.causes == ("record fa seed 2 has changed",)
    assert str(change) == (
        "order: recorded reproduced (39.1), derived inconclusive (24.625); "
        "record fa seed 2 has changed."
    )


def test_a_changed_digest_is_a_change_even_where_the_verdict_stays(tmp_path: Path) -> None:
    before = evidence(NUMBERS)
    recorded = verdicts_to_json(four_verdicts(tmp_path, before))
    old = before.records["fa"][1]
    after = changed(before, "fa", 1, replace(old, digest="another"))
    (change,) = compare_verdicts(recorded, four_verdicts(tmp_path, after))
    assert (change.recorded, change.derived) == ("reproduced", "reproduced")
    assert change.causes == ("record fa seed 1 has changed",)


def test_missing_and_new_records_are_named(tmp_path: Path) -> None:
    whole = evidence(NUMBERS)
    part = changed(whole, "fa", 3, None)
    recorded = verdicts_to_json(four_verdicts(tmp_path, whole))
    (change,) = compare_verdicts(recorded, four_verdicts(tmp_path, part))
    assert change.causes == ("record fa seed 3 is missing",)
    recorded = verdicts_to_json(four_verdicts(tmp_path, part))
    (change,) = compare_verdicts(recorded, four_verdicts(tmp_path, whole))
    assert change.causes == ("record fa seed 3 is new",)


def test_an_altered_claim_is_a_change_even_where_the_verdict_stays(tmp_path: Path) -> None:
    found = evidence({"bp": NUMBERS["bp"]})
    recorded = verdicts_to_json([verdict(tmp_path, table("value", published=75.0), found)])
    for altered in ({"published": 75.1}, {"margin": 2.5}, {"statement": "So it was."}):
        after = verdict(tmp_path, table("value", **{"published": 75.0, **altered}), found)
        (change,) = compare_verdicts(recorded, [after])
        assert (change.recorded, change.derived) == ("reproduced", "reproduced")
        assert change.causes == ("the claim itself was altered",)


def test_claims_that_come_and_go_are_changes(tmp_path: Path) -> None:
    found = four_verdicts(tmp_path, evidence(NUMBERS))
    gone = compare_verdicts(verdicts_to_json(found), found[:3])
    assert [(one.claim, one.derived) for one in gone] == [("open", None)]
    assert "derived no verdict" in str(gone[0])
    new = compare_verdicts(verdicts_to_json(found[:3]), found)
    assert [(one.claim, one.recorded) for one in new] == [("open", None)]


def test_a_record_that_no_claim_rests_on_is_watched_too(tmp_path: Path) -> None:
    whole = evidence({**NUMBERS, "spare": [1.0, 2.0, 3.0, 4.0]})
    spare = whole.records["spare"][2]
    verdicts = four_verdicts(tmp_path, whole)
    text = verdicts_to_json(verdicts, whole.records)
    assert json.loads(text)["records"]["spare seed 2"] == spare.digest
    assert compare_records(text, whole.records) == []

    part = changed(whole, "spare", 2, None)
    assert compare_verdicts(text, four_verdicts(tmp_path, part)) == []
    assert compare_records(text, part.records) == ["record spare seed 2 is missing"]

    altered = changed(whole, "spare", 2, replace(spare, digest="another"))
    assert compare_records(text, altered.records) == ["record spare seed 2 has changed"]
    text = verdicts_to_json(verdicts, part.records)
    assert compare_records(text, whole.records) == ["record spare seed 2 is new"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", "[1]", '{"records": {}}', '{"verdicts": []}'),
        '{"records": {}, "verdicts": [{"claim": "a"}]}',
        '{"records": [], "verdicts": []}',
        '{"records": {"bp seed 0": 1}, "verdicts": []}',
    ],
)
def test_damaged_recorded_verdicts_are_refused(text: str) -> None:
    with pytest.raises(AuditError, match="recorded verdicts are damaged"):
        compare_verdicts(text, [])
    with pytest.raises(AuditError, match="recorded verdicts are damaged"):
        compare_records(text, {})


def test_a_file_with_damaged_verdicts_is_named(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.json"
    file.write_text('{"records": {}}', encoding="utf-8")
    with pytest.raises(AuditError) as caught:
        read_verdicts(file)
    assert str(caught.value).startswith(f"The verdicts recorded in {file} are damaged: ")
    file.write_text(text := verdicts_to_json([]), encoding="utf-8")
    assert read_verdicts(file) == text


def test_whatever_is_edited_in_the_recorded_verdicts_is_named(tmp_path: Path) -> None:
    found = four_verdicts(tmp_path, evidence(NUMBERS))
    content = json.loads(verdicts_to_json(found))
    row = next(row for row in content["verdicts"] if row["claim"] == "z-value")
    row |= {"published": 99.9, "n": 77, "interval": [1.0, 2.0], "reason": "all fine"}
    (change,) = compare_verdicts(json.dumps(content), found)
    assert change.claim == "z-value"
    assert change.causes == (
        "recorded interval, n, published, reason would not follow from claims and ledger",
    )


def test_another_last_digit_is_no_difference(tmp_path: Path) -> None:
    found = four_verdicts(tmp_path, evidence(NUMBERS))
    content = json.loads(verdicts_to_json(found))
    row = next(row for row in content["verdicts"] if row["claim"] == "z-value")
    row["interval"][0] *= 1 + 1e-5
    assert compare_verdicts(json.dumps(content), found) == []
    row["interval"][0] *= 1 + 1e-4
    assert len(compare_verdicts(json.dumps(content), found)) == 1


def test_two_verdicts_on_one_claim_are_damage(tmp_path: Path) -> None:
    found = four_verdicts(tmp_path, evidence(NUMBERS))
    content = json.loads(verdicts_to_json(found))
    content["verdicts"].insert(0, content["verdicts"][0] | {"word": "not reproduced"})
    with pytest.raises(AuditError, match="one row for each claim"):
        compare_verdicts(json.dumps(content), found)


@pytest.mark.parametrize("estimate", ["75 %", [1], True])
def test_an_estimate_that_is_no_number_is_damage(tmp_path: Path, estimate: object) -> None:
    found = four_verdicts(tmp_path, evidence(NUMBERS))
    content = json.loads(verdicts_to_json(found))
    content["verdicts"][0]["estimate"] = estimate
    with pytest.raises(AuditError, match="recorded verdicts are damaged"):
        compare_verdicts(json.dumps(content), found)
