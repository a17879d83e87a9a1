"""Expected failures are strict both ways, and their files say what is wrong with them."""

import pytest

from conformance.adapters import torch_nn
from fa_audit.conformance import Result, Status, check_rule, read_expected_failures
from fa_audit.conformance.expected import ExpectedFailures
from fa_audit.conformance.trials import trials_of
from fa_audit.errors import AuditError

TRIALS = trials_of("bp")


def judged(status: Status, reasons: dict[str, str]) -> Result:
    return ExpectedFailures(reasons).judge(Result(TRIALS[0], status, "Found out."))


def test_a_failure_that_was_expected_is_good_and_carries_its_reason():
    result = judged(Status.FAILED, {TRIALS[0].id: "known"})
    assert (result.status, result.reason, result.good) == ("failed as expected", "known", True)
    assert result.sentence == "Found out."


@pytest.mark.parametrize("status", [Status.PASSED, Status.SKIPPED])
def test_a_check_that_was_to_fail_and_did_not_is_at_fault(status):
    result = judged(status, {TRIALS[0].id: "known"})
    assert (result.status, result.good) == ("did not fail as expected", False)
    assert result.sentence == f"Expected to fail, but {status}: Found out."


def test_a_star_forgives_checks_that_are_skipped_but_none_that_passes():
    assert judged(Status.SKIPPED, {"bp/*": "known"}).status == "skipped"
    assert judged(Status.PASSED, {"bp/*": "known"}).status == "did not fail as expected"


@pytest.mark.parametrize("status", [Status.PASSED, Status.SKIPPED, Status.FAILED])
def test_a_check_of_which_nothing_was_expected_stays_as_it_is(status):
    result = judged(status, {TRIALS[1].id: "another"})
    assert (result.status, result.reason) == (status, "")
    assert result.good == (status != Status.FAILED)


def test_a_star_stands_for_anything_and_the_first_entry_counts():
    assert judged(Status.FAILED, {"bp/*": "all", "*": "more"}).reason == "all"
    assert judged(Status.FAILED, {"bp/conv2d/*": "another layer"}).reason == ""


def test_entries_that_match_no_check_are_named():
    reasons = {"bp/linear/forward": "a", "bp/linear/froward": "b", "*/types": "c", "fa*": "d"}
    assert ExpectedFailures(reasons).stale(TRIALS) == ["bp/linear/froward", "fa*"]


@pytest.mark.parametrize("reason", ["", "  ", None, 3])
def test_a_reason_is_a_sentence(reason):
    with pytest.raises(AuditError, match="the expected failure 'bp/\\*' needs a reason"):
        ExpectedFailures({"bp/*": reason})


def test_a_real_run_in_the_light_of_expectations():
    expected = ExpectedFailures({"bp/linear/forward": "it does not"})
    results = [expected.judge(r) for r in check_rule(torch_nn, "bp", time_limit=None)]
    assert [r.id for r in results if not r.good] == ["bp/linear/forward"]


FILE = """
["mine"]
"bp/linear/forward" = "known"

["yours, too"]
"""


def test_a_file_has_a_table_for_each_adapter(tmp_path):
    file = tmp_path / "expected.toml"
    file.write_text(FILE, encoding="utf-8")
    assert read_expected_failures(file, "mine") == {"bp/linear/forward": "known"}
    assert read_expected_failures(file, "yours, too") == {}
    with pytest.raises(AuditError, match="no table for adapter 'his'; it has: 'mine', 'yours, to"):
        read_expected_failures(file, "his")


def test_a_byte_order_mark_before_the_tables_is_no_part_of_them(tmp_path):
    file = tmp_path / "expected.toml"
    file.write_text(FILE, encoding="utf-8-sig")
    assert read_expected_failures(file, "mine") == {"bp/linear/forward": "known"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: .*No such file"),
        (b"[", "cannot be read: "),
        (b"\xff", "cannot be read: "),
        (b"mine = " + 9999 * b"[" + 9999 * b"]", "cannot be read: "),
        (b"mine = 3", "has no table for adapter 'mine'; it has: 'mine'"),
        (b"", "has no table for adapter 'mine'; it has: none"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, content, sentence):
    file = tmp_path / "expected.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AuditError, match=sentence):
        read_expected_failures(file, "mine")
