"""Questions of the audit: judged like a paper's claims, but in words and counts of their own."""

from pathlib import Path

import pytest

from audit.invented import evidence, table, verdict, write_claims
from fa_audit.audit import Word, judge, load_claims, verdict_table
from fa_audit.errors import AuditError

FOUND = evidence({"bp": [75.1, 75.4, 74.9, 75.2], "fa": [36.0, 35.2, 37.1, 35.9]})
ORDER = table("order", id="order", groups=[["fa"], ["bp"]])


def test_a_claim_is_the_papers_unless_it_says_otherwise(tmp_path: Path) -> None:
    (claim,) = load_claims(write_claims(tmp_path, table("range"))).claims
    assert claim.origin == "paper"
    with pytest.raises(AuditError, match=r"origin = .us. will not do; it must be .paper. or .audi"):
        load_claims(write_claims(tmp_path, table("range", origin="us")))


@pytest.mark.parametrize(
    ("changes", "of_paper", "of_audit"),
    [
        ({}, Word.REPRODUCED, Word.HOLDS),
        ({"low": 80.0, "high": 90.0}, Word.NOT_REPRODUCED, Word.DOES_NOT_HOLD),
        ({"low": 75.15, "high": 90.0}, Word.INCONCLUSIVE, Word.INCONCLUSIVE),
    ],
)
def test_what_no_paper_says_is_not_reproduced_but_holds_or_does_not(
    tmp_path: Path, changes: dict[str, object], of_paper: Word, of_audit: Word
) -> None:
    papers = verdict(tmp_path, table("range", **changes), FOUND)
    audits = verdict(tmp_path, table("range", origin="audit", **changes), FOUND)
    assert (papers.word, papers.origin) == (of_paper, "paper")
    assert (audits.word, audits.origin) == (of_audit, "audit")
    assert audits.reason == papers.reason
    assert audits.definition != papers.definition


def test_a_question_settled_by_a_definition_or_by_reading_takes_the_same_words(
    tmp_path: Path,
) -> None:
    found = evidence({"bp": [75.1, 75.4]}, properties={"transport": {"bp": "exact", "fa": "none"}})
    for published, word in (("exact", Word.HOLDS), ("none", Word.DOES_NOT_HOLD)):
        claim = table(
            "property", rule="bp", aspect="transport", published=published, origin="audit"
        )
        assert verdict(tmp_path, claim, found).word == word
    source = table("source", origin="audit", verdict="contradicted by its own source")
    with pytest.raises(AuditError, match="only the paper can contradict itself"):
        load_claims(write_claims(tmp_path, source))


@pytest.mark.parametrize("markdown", [False, True])
def test_a_table_counts_the_papers_claims_and_the_audits_questions_apart(
    tmp_path: Path, markdown: bool
) -> None:
    tables = [
        table("range", id="one"),
        {**ORDER, "id": "two"},
        table("range", id="three", origin="audit"),
        {**ORDER, "id": "four", "origin": "audit"},
        {**ORDER, "id": "five", "origin": "audit"},
    ]
    verdicts = judge(load_claims(write_claims(tmp_path, *tables)), FOUND)
    lines = verdict_table(verdicts, FOUND, markdown=markdown).splitlines()
    at = lines.index("2 claims of the paper: 1 reproduced, 1 not reproduced.")
    assert lines[at + 1] == "3 questions that the audit adds: 1 holds, 2 do not hold."


def test_questions_alone_are_counted_as_such(tmp_path: Path) -> None:
    (one,) = judge(load_claims(write_claims(tmp_path, table("range", origin="audit"))), FOUND)
    assert "1 question that the audit adds: 1 holds." in verdict_table([one], FOUND).splitlines()
